/* test_types.c: a row of src/quant/types.def is in everything that speaks of tensor types. */
#include <math.h>
#include <stdio.h>

#include "backend/cpu/cpu.h"
#include "convert/mix.h"
#include "quant/quant.h"
#include "unit/test_api.h"

/* What a row says, each column on its own. */
typedef struct row {
    uint32_t id, block, bytes, group;
    const char *type, *name, *target, *tails;
    int min, scale_at, width, zero, file_type;
} row;

static const row rows[] = {
#define ST_QUANT_FLOAT(id, type, NAME, bytes, target, file_type) \
    {id, 1, bytes, 0, #type, #NAME, #target, "", 0, -1, 0, 0, file_type},
#define ST_QUANT_BLOCKS(id, type, NAME, block, bytes, group, min, scale_at, width, zero, tails, target, file_type) \
    {id, block, bytes, group, #type, #NAME, #target, #tails, min, scale_at, width, zero, file_type},
#include "quant/types.def"
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static char *read_text(const char *path)
{
    blob b = blob_read(path);
    char *text = calloc(b.size + 1, 1);
    memcpy(text, b.data, b.size);
    free(b.data);
    return text;
}

/* Whether `name` stands in text with nothing of a name on either side of it. */
static bool names(const char *text, const char *name)
{
    static const char in_names[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    for (const char *at = text; (at = strstr(at, name)); at++) {
        char before = at > text ? at[-1] : ' ', after = at[strlen(name)];
        if (!strchr(in_names, before) && (!after || !strchr(in_names, after))) return true;
    }
    return false;
}

static void test_ids(void **state)
{
    (void)state;
    for (int i = 0; i < N_ROWS; i++)
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].id, rows[j].id);
            assert_string_not_equal(rows[i].type, rows[j].type);
            assert_string_not_equal(rows[i].name, rows[j].name);
        }
}

static void test_table(void **state)
{
    (void)state;
    for (int i = 0; i < N_ROWS; i++) {
        const row *r = &rows[i];
        const st_quant *q = st_quant_get(r->id);
        if (!q) fail_msg("%s does not run", r->name);
        assert_string_equal(q->name, r->name);
        assert_int_equal(q->block, r->block);
        assert_int_equal(q->bytes, r->bytes);
        assert_int_equal(q->group, r->group);
        assert_int_equal(q->has_min, r->min);
        assert_int_equal(q->scale_at, r->scale_at);
        assert_non_null(q->dequant);
        assert_int_equal(q->unpack != NULL, r->group != 0);
        assert_int_equal(q->quantize != NULL, strcmp(r->target, "none") != 0);
        if (!names(st_quant_supported(), r->name)) fail_msg("%s is in no message", r->name);
    }
}

/* A block's f16 is where the row says: doubling it doubles every value, of a type with a minimum both. */
static void test_scales(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < N_ROWS; i++) {
        const st_quant *q = st_quant_get(rows[i].id);
        if (q->scale_at < 0) continue;
        uint8_t block[512];
        float one[256], two[256];
        double sum = 0;
        for (uint32_t b = 0; b < q->bytes; b++) block[b] = (uint8_t)rng_next(&seed);
        for (int k = 0; k < (q->has_min ? 2 : 1); k++) memcpy(block + q->scale_at + 2 * k, "\x00\x3c", 2);
        q->dequant(block, one, q->block);
        for (int k = 0; k < (q->has_min ? 2 : 1); k++) memcpy(block + q->scale_at + 2 * k, "\x00\x40", 2);
        q->dequant(block, two, q->block);
        for (uint32_t v = 0; v < q->block; v++) {
            if (two[v] != 2 * one[v]) fail_msg("%s: the f16 is not at byte %d", q->name, q->scale_at);
            sum += fabs((double)one[v]);
        }
        assert_true(sum > 0);
    }
}

static void test_panels(void **state)
{
    (void)state;
    for (int i = 0; i < N_ROWS; i++) {
        const row *r = &rows[i];
        if (!r->group) continue;
        st_panel_form f = st_pack_form(r->id);
        static const int bits[] = {[ST_WIDTH_4] = 4, [ST_WIDTH_5] = 5, [ST_WIDTH_6] = 6, [ST_WIDTH_8] = 8};
        static const char *const tails[] = {[ST_TAILS_F32] = "F32", [ST_TAILS_F16] = "F16", [ST_TAILS_I8] = "I8"};
        assert_int_equal(f.shape, (r->group == 16 ? ST_SHAPE_16 : ST_SHAPE_32) + r->min);
        assert_int_equal(bits[f.width], r->width);
        assert_int_equal(f.zero, r->zero);
        assert_string_equal(tails[f.tails], r->tails);
        /* What kernels take as given, see kernels.h. */
        assert_true(r->zero == 0 || r->zero == 1 << (r->width - 1));
        if (r->width == 8) assert_true(r->zero == 128 && f.tails == ST_TAILS_F32);
        if (f.tails == ST_TAILS_I8) assert_true(r->scale_at >= 0 && r->block == 256 && (r->zero == 0) == r->min);
    }
}

static void test_targets(void **state)
{
    (void)state;
    char *page = read_text(STRATA_SOURCE_DIR "/docs/CLI.md");
    uint32_t n = 0;
    for (int i = 0; i < N_ROWS; i++) {
        const row *r = &rows[i];
        bool graded = strcmp(r->target, "graded") == 0;
        const st_mix *plain = st_mix_find(r->name);
        if (strcmp(r->target, "none") == 0) {
            assert_null(plain);
            continue;
        }
        for (int k = 0; k < (graded ? 2 : 1); k++, n++) {
            char name[32];
            snprintf(name, sizeof name, "%s%s", r->name, !graded ? "" : k ? "_M" : "_S");
            const st_mix *m = st_mix_find(name);
            if (!m) fail_msg("%s is no target of quantize", name);
            assert_int_equal(m->base, r->id);
            assert_int_equal(m->file_type, r->file_type + k);
            assert_int_equal(m->grade, !graded ? 0 : k ? 'M' : 'S');
            if (!names(page, name)) fail_msg("docs/CLI.md does not name %s", name);
        }
        assert_string_equal(plain->name + strlen(r->name), graded ? "_M" : "");
    }
    assert_null(st_mix_at(n));
    assert_non_null(st_mix_at(n - 1));
    free(page);
}

static void test_page(void **state)
{
    (void)state;
    char *page = read_text(STRATA_SOURCE_DIR "/docs/MODELS.md"), line[64];
    for (int i = 0; i < N_ROWS; i++) {
        snprintf(line, sizeof line, "\n| %s | %u | %u |", rows[i].name, rows[i].block, rows[i].bytes);
        if (!strstr(page, line)) fail_msg("docs/MODELS.md has no line of %s", rows[i].name);
    }
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids),     cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_scales),  cmocka_unit_test(test_panels),
                                       cmocka_unit_test(test_targets), cmocka_unit_test(test_page)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
