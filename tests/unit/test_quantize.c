/* test_quantize.c: strata_quantize, strata_verify: which tensor gets which type, what a file keeps, what is refused.
 * That the bytes of each type are the reference's is test_quant.c's. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp */
#endif
#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "convert/mix.h"
#include "unit/test_api.h"

static char dir[] = "/tmp/strata-quantize-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[4][512];
    static unsigned at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static const char *write_blob(const char *name, blob b)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
    fclose(f);
    free(b.data);
    return path;
}

static int n_files(void)
{
    DIR *d = opendir(dir);
    int n = -2;
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static void setup_dir(void)
{
    assert_non_null(mkdtemp(dir));
}

static void remove_all(void)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') unlink(path_of(e->d_name));
    closedir(d);
}

/* ---- mixes ------------------------------------------------------------------------------------------------------- */

static uint32_t type_of(const char *mix, const st_mix_model *m, const char *name, uint32_t at, uint64_t cols)
{
    st_mix_tensor t = {st_mix_role(name, strlen(name)), at, cols};
    return st_mix_type(st_mix_find(mix), m, &t, false);
}

static void the_rules(void **state)
{
    (void)state;
    const st_mix_model m = {.n_layer = 32, .n_values = 32}, tied = {.tied = true, .n_layer = 32, .n_values = 32},
                       falcon = {.falcon = true, .n_layer = 32, .n_values = 32},
                       moe = {.n_layer = 32, .n_values = 32, .n_expert = 8},
                       huge = {.n_layer = 80, .n_values = 80, .huge = true};
    static const char v[] = "blk.0.attn_v.weight", down[] = "blk.0.ffn_down.weight", q[] = "blk.0.attn_q.weight";
    static const char k[] = "blk.0.attn_k.weight", o[] = "blk.0.attn_output.weight";
    int more = 0;
    for (uint32_t i = 0; i < 32; i++) {
        bool chosen = i < 4 || i >= 28 || (i - 4) % 3 == 2;
        more += chosen;
        assert_int_equal(type_of("Q4_K_M", &m, v, i, 4096), chosen ? ST_Q6_K : ST_Q4_K);
        assert_int_equal(type_of("Q5_K_M", &m, down, i, 4096), chosen ? ST_Q6_K : ST_Q5_K);
        assert_int_equal(type_of("Q4_K_S", &m, v, i, 4096), i < 4 ? ST_Q5_K : ST_Q4_K);
        assert_int_equal(type_of("Q4_K_S", &m, down, i, 4096), i < 4 ? ST_Q5_K : ST_Q4_K);
        assert_int_equal(type_of("Q4_K_S", &falcon, down, i, 4096), ST_Q4_K);
        assert_int_equal(type_of("Q4_K_M", &falcon, down, i, 4096), i < 2 ? ST_Q6_K : chosen ? ST_Q5_K : ST_Q4_K);
        assert_int_equal(type_of("Q5_K_S", &m, v, i, 4096), ST_Q5_K);
    }
    assert_int_equal(more, 16);
    assert_int_equal(type_of("Q4_K_M", &m, q, 0, 4096), ST_Q4_K);
    assert_int_equal(type_of("Q4_K_M", &huge, v, 20, 8192), ST_Q5_K);
    assert_int_equal(type_of("Q4_0", &moe, v, 0, 4096), ST_Q8_0);
    assert_int_equal(type_of("Q4_K_M", &moe, k, 0, 4096), ST_Q8_0);
    assert_int_equal(type_of("Q4_K_M", &moe, o, 0, 4096), ST_Q5_K);
    assert_int_equal(type_of("Q4_0", &m, "output.weight", 0, 4096), ST_Q6_K);
    assert_int_equal(type_of("Q4_0", &m, "token_embd.weight", 0, 4096), ST_Q4_0);
    assert_int_equal(type_of("Q4_0", &tied, "token_embd.weight", 0, 4096), ST_Q6_K);
    assert_int_equal(type_of("Q4_0", &tied, "token_embd.weight", 0, 4032), ST_Q8_0); /* 63 * 64 */
    assert_int_equal(type_of("Q8_0", &tied, "token_embd.weight", 0, 4096), ST_Q8_0);
    assert_int_equal(type_of("Q4_0", &falcon, "output.weight", 0, 4096), ST_Q8_0);
    /* Rows that are not whole blocks of 256, nor of 32. */
    assert_int_equal(type_of("Q4_K_M", &m, q, 0, 96), ST_Q5_0);
    assert_int_equal(type_of("Q5_K_M", &m, q, 0, 96), ST_Q5_1);
    assert_int_equal(type_of("Q6_K", &m, q, 0, 96), ST_Q8_0);
    assert_int_equal(type_of("Q6_K", &m, q, 0, 40), ST_F16);
    assert_int_equal(type_of("Q4_0", &m, q, 0, 40), ST_F16);
    assert_int_equal(type_of("F16", &m, q, 0, 40), ST_F16);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(st_mix_find("q4_k")->name, "Q4_K_M");
    assert_string_equal(st_mix_find("Q5_K")->name, "Q5_K_M");
    assert_null(st_mix_find("Q4"));
    assert_null(st_mix_find("Q4_K_MM"));
    assert_null(st_mix_find(""));
    for (uint32_t i = 0; st_mix_at(i); i++) {
        assert_ptr_equal(st_mix_find(st_mix_at(i)->name), st_mix_at(i));
        assert_non_null(st_quant_get(st_mix_at(i)->base)->quantize);
        assert_string_equal(strata_quantize_type(i), st_mix_at(i)->name);
    }
    static const struct {
        const char *name;
        int32_t layer;
    } layers[] = {{"blk.12.ffn_down.weight", 12},
                  {"blk.0.x", 0},
                  {"blk.x", -1},
                  {"blk.", -1},
                  {"blk.3", -1},
                  {"enc.blk.3.x", -1}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        assert_int_equal(st_mix_layer(layers[i].name, strlen(layers[i].name)), layers[i].layer);
    static const char *const kept[] = {
        "output_norm.weight",        "blk.0.attn_q.bias",           "position_embd.weight", "token_types.weight",
        "blk.1.ffn_gate_inp.weight", "enc.blk.0.attn_rel_b.weight", "rope_freqs.w",         "w"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_false(st_mix_applies(kept[i], strlen(kept[i]), true));
    assert_true(st_mix_applies("blk.0.attn_q.weight", 19, true));
    assert_false(st_mix_applies("blk.0.attn_q.weight", 19, false));
    assert_true(st_mix_applies("token_embd.weight", 17, true));
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

typedef struct seen {
    size_t n, requantized;
    double worst;
} seen;

static void on_tensor(void *user, const strata_quantize_item *item)
{
    seen *s = user;
    assert_int_equal(item->index, s->n);
    s->n++;
    s->requantized += item->requantized != 0;
    if (item->error > s->worst) s->worst = item->error;
    assert_true(item->bytes_to <= item->bytes_from || s->requantized);
}

static uint32_t file_type(const char *path)
{
    blob b = blob_read(path);
    st_mem mem;
    st_gguf g;
    uint32_t type = 99;
    st_mem_init(&mem, NULL, 0);
    OK(st_gguf_parse(&g, b.data, b.size, path, false, &mem, err));
    OK(st_gguf_u32(&g, "general.file_type", &type, err));
    st_gguf_free(&g);
    free(b.data);
    return type;
}

static float cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return (float)(ab / sqrt(aa * bb));
}

static void last_logits(const char *path, float *v, size_t n)
{
    static const int32_t ids[] = {1, 50, 7, 301, 12};
    strata_model *m = NULL;
    OK(strata_model_open(path, NULL, &m, err));
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_F32);
    size_t rows, cols;
    float *all = malloc(5 * n * sizeof *all);
    OK(strata_eval(c, ids, NULL, 5, STRATA_EVAL_LOGITS, 0, all, 5 * n, &rows, &cols, err));
    assert_int_equal(cols, n);
    memcpy(v, all + 4 * n, n * sizeof *v);
    free(all);
    strata_ctx_close(c);
    strata_model_close(m);
}

/* Every mix of the 256-wide model opens and still says nearly the same; more bits, less error. */
static void every_type_runs(void **state)
{
    (void)state;
    static const float floors[] = {
        [2] = .92f,  [3] = .92f,  [8] = .97f,   [9] = .97f,   [7] = .999f,  [14] = .92f,    [15] = .92f,
        [16] = .97f, [17] = .97f, [18] = .995f, [1] = .9999f, [32] = .999f, [0] = .9999999f};
    float want[320], got[320];
    const char *out = path_of("out.gguf");
    last_logits(tiny("llama-q8_0"), want, 320);
    for (uint32_t i = 0; strata_quantize_type(i); i++) {
        seen s = {0};
        strata_quantize_opts o = {.progress = on_tensor, .progress_user = &s, .n_threads = 2};
        OK(strata_quantize(tiny("llama-q8_0"), out, strata_quantize_type(i), &o, err));
        uint32_t type = file_type(out);
        assert_int_equal(type, st_mix_at(i)->file_type);
        assert_true(s.n > 10);
        assert_int_equal(s.requantized != 0, type != 7); /* to Q8_0 all is copied */
        last_logits(out, got, 320);
        float cos = cosine(want, got, 320);
        if (!(cos >= floors[type])) fail_msg("%s: cosine %f", strata_quantize_type(i), (double)cos);
    }
    remove_all();
}

/* The rest of the file is what it was, and threads change nothing. */
static void what_is_kept(void **state)
{
    (void)state;
    const char *one = path_of("one.gguf"), *three = path_of("three.gguf");
    OK(strata_quantize(tiny("bert"), one, "Q4_0", &(strata_quantize_opts){.n_threads = 1}, err));
    OK(strata_quantize(tiny("bert"), three, "q4_0", &(strata_quantize_opts){.n_threads = 3}, err));
    blob a = blob_read(one), b = blob_read(three), in = blob_read(tiny("bert"));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    st_mem mem;
    st_gguf g, h;
    st_mem_init(&mem, NULL, 0);
    OK(st_gguf_parse(&g, in.data, in.size, "in", false, &mem, err));
    OK(st_gguf_parse(&h, a.data, a.size, "out", false, &mem, err));
    assert_int_equal(g.n_kv, h.n_kv);
    for (size_t i = 0; i < g.n_kv; i++) {
        char key[128];
        snprintf(key, sizeof key, "%.*s", ST_STR(g.kv[i].key));
        const st_gguf_kv *kv = st_gguf_find(&h, key);
        assert_non_null(kv);
        if (strcmp(key, "general.file_type") == 0) continue;
        assert_int_equal(kv->type, g.kv[i].type);
        assert_int_equal(kv->bytes, g.kv[i].bytes);
        assert_memory_equal(kv->data, g.kv[i].data, kv->bytes);
    }
    assert_int_equal(g.n_tensors, h.n_tensors);
    size_t quantised = 0;
    for (size_t i = 0; i < g.n_tensors; i++) {
        const st_gguf_tensor *x = &g.tensors[i], *y = &h.tensors[i];
        assert_int_equal(x->name.len, y->name.len);
        assert_memory_equal(x->name.ptr, y->name.ptr, x->name.len);
        assert_memory_equal(x->dims, y->dims, sizeof x->dims);
        quantised += x->type != y->type;
        if (x->type == y->type) assert_memory_equal(x->data, y->data, x->bytes);
    }
    assert_int_equal(quantised, 3 * 6 + 1);
    st_gguf_free(&g);
    st_gguf_free(&h);
    free(a.data), free(b.data), free(in.data);
    remove_all();
}

static void in_place(void **state)
{
    (void)state;
    const char *path = write_blob("model.gguf", blob_read(tiny("bert")));
    OK(strata_quantize(path, path, "Q8_0", NULL, err));
    assert_int_equal(file_type(path), 7);
    assert_int_equal(n_files(), 1);
    remove_all();
}

static void pure(void **state)
{
    (void)state;
    const char *out = path_of("out.gguf");
    OK(strata_quantize(tiny("bert"), out, "Q4_0", &(strata_quantize_opts){.pure = 1}, err));
    strata_model *m = NULL;
    OK(strata_model_open(out, NULL, &m, err));
    const char *type;
    uint32_t n, types = 0;
    uint64_t bytes;
    while (strata_model_get_type(m, types, &type, &n, &bytes)) {
        if (strcmp(type, "F32") != 0) assert_string_equal(type, "Q4_0");
        types++;
    }
    assert_int_equal(types, 2);
    strata_model_close(m);
    remove_all();
}

static void cancel_after_three(void *user, const strata_quantize_item *item)
{
    if (item->index == 2) *(volatile int *)user = 1;
}

static void refusals(void **state)
{
    (void)state;
    const char *out = path_of("out.gguf");
    const edit nan_in_q[] = {{.kind = POKE, .name = "blk.1.attn_q.weight", .at = 70, .f = NAN}, {0}};
    const edit inf_in_q[] = {{.kind = POKE, .name = "blk.1.attn_q.weight", .at = 70, .f = INFINITY}, {0}};
    const edit large[] = {{.kind = POKE, .name = "blk.1.ffn_up.weight", .at = 7, .f = 1e30f}, {0}};
    const edit split[] = {{.kind = SET_U32, .name = "split.count", .u = 3}, {0}};
    const edit odd[] = {{.kind = RETYPE, .name = "blk.0.attn_q.weight", .u = 24}, {0}};
    FAILS(strata_quantize(tiny("bert"), out, "Q9_9", NULL, err), STRATA_INVALID_ARG, "Q9_9");
    FAILS(strata_quantize(NULL, out, "Q8_0", NULL, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_quantize(path_of("none.gguf"), out, "Q8_0", NULL, err), STRATA_IO, "none.gguf");
    FAILS(strata_quantize(tiny("bert"), path_of("no/such/dir"), "Q8_0", NULL, err), STRATA_IO, "no/such/dir");
    FAILS(strata_quantize(STRATA_SOURCE_DIR "/tests/data/texts.txt", out, "Q8_0", NULL, err), STRATA_NOT_GGUF,
          "texts.txt");
    const char *in = write_blob("in.gguf", rewrite(tiny("bert"), nan_in_q));
    for (uint32_t i = 0; i < 10; i++)
        FAILS(strata_quantize(in, out, strata_quantize_type(i), NULL, err), STRATA_NONFINITE, "blk.1.attn_q.weight");
    in = write_blob("in.gguf", rewrite(tiny("bert"), inf_in_q));
    FAILS(strata_quantize(in, out, "Q4_1", NULL, err), STRATA_NONFINITE, "blk.1.attn_q.weight");
    in = write_blob("in.gguf", rewrite(tiny("bert"), large));
    FAILS(strata_quantize(in, out, "Q4_0", NULL, err), STRATA_NONFINITE, "blk.1.ffn_up.weight");
    FAILS(strata_quantize(in, out, "F16", NULL, err), STRATA_NONFINITE, "too large for F16");
    in = write_blob("in.gguf", rewrite(tiny("bert"), split));
    FAILS(strata_quantize(in, out, "Q4_0", NULL, err), STRATA_UNSUPPORTED_OP, "is part 1 of 3 of a model");
    in = write_blob("in.gguf", rewrite(tiny("bert"), odd));
    FAILS(strata_quantize(in, out, "Q4_0", NULL, err), STRATA_UNSUPPORTED_TYPE, "blk.0.attn_q.weight");
    volatile int cancel = 0;
    strata_quantize_opts o = {
        .cancel = &cancel, .progress = cancel_after_three, .progress_user = (void *)(uintptr_t)&cancel};
    FAILS(strata_quantize(tiny("bert"), out, "Q8_0", &o, err), STRATA_CANCELLED, "");
    assert_int_equal(n_files(), 1); /* in.gguf: nothing is left of what failed */
    remove_all();
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

typedef struct heap {
    size_t n, fail_at;
    long live;
} heap;

static void *take(void *user, size_t size, size_t align)
{
    heap *h = user;
    if (++h->n == h->fail_at) return NULL;
    h->live++;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void give(void *user, void *p)
{
    ((heap *)user)->live--;
    free(p);
}

static void ignore_check(void *user, const strata_verify_check *check)
{
    (void)user, (void)check;
}

static void every_allocation_fails(void **state)
{
    (void)state;
    const char *out = path_of("out.gguf");
    heap h = {0};
    strata_allocator a = {take, give, &h};
    int rc = STRATA_NO_MEMORY, passed;
    for (size_t n = 1; rc == STRATA_NO_MEMORY; n++) {
        h = (heap){.fail_at = n};
        rc = strata_quantize(tiny("bert"), out, "Q4_K_M", &(strata_quantize_opts){.allocator = &a, .n_threads = 2},
                             NULL);
        assert_int_equal(h.live, 0);
        assert_int_equal(n_files(), rc == STRATA_OK);
    }
    assert_int_equal(rc, STRATA_OK);
    rc = STRATA_NO_MEMORY;
    for (size_t n = 1; rc == STRATA_NO_MEMORY; n++) {
        h = (heap){.fail_at = n};
        rc = strata_verify(tiny("bert"), &(strata_verify_opts){.allocator = &a, .n_threads = 1}, ignore_check, NULL,
                           &passed, NULL);
        assert_int_equal(h.live, 0);
    }
    assert_int_equal(rc, STRATA_OK);
    remove_all();
}

/* ---- verify ------------------------------------------------------------------------------------------------------ */

typedef struct table {
    char text[4096];
    int n, failed;
} table;

static void add_check(void *user, const strata_verify_check *check)
{
    table *t = user;
    size_t len = strlen(t->text);
    snprintf(t->text + len, sizeof t->text - len, "%s|%d|%s\n", check->name, check->passed, check->found);
    t->n++;
    t->failed += check->passed == 0;
}

static int verify(const char *path, table *t)
{
    int passed = -5;
    *t = (table){0};
    OK(strata_verify(path, NULL, add_check, t, &passed, err));
    assert_int_equal(passed, t->failed == 0);
    return passed;
}

static void known_models_verify(void **state)
{
    (void)state;
    static const char *const known[] = {"bert",   "bert-cls",   "bert-q8_0", "gemma-embedding", "gemma-embedding-q8_0",
                                        "gemma3", "llama-q8_0", "llama-q4_0"};
    table t;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char name[64];
        snprintf(name, sizeof name, "model|1|tiny %s in ", known[i]);
        if (!verify(tiny(known[i]), &t) || !strstr(t.text, name)) fail_msg("%s: %s", known[i], t.text);
    }
    /* Another quantisation of a known model is known, and held to less. */
    const char *out = path_of("out.gguf");
    OK(strata_quantize(tiny("bert"), out, "Q5_1", NULL, err));
    if (!verify(out, &t) || !strstr(t.text, "no reference was made")) fail_msg("%s", t.text);
    remove_all();
}

static void wrong_weights_are_found(void **state)
{
    (void)state;
    const edit weight[] = {{.kind = POKE, .name = "blk.1.attn_q.weight", .at = 70, .f = 3}, {0}};
    const edit norm[] = {{.kind = POKE, .name = "blk.1.attn_output_norm.weight", .at = 7, .f = 3}, {0}};
    table t;
    if (verify(write_blob("in.gguf", rewrite(tiny("bert"), weight)), &t) || !strstr(t.text, "vectors|0|"))
        fail_msg("%s", t.text);
    if (verify(write_blob("in.gguf", rewrite(tiny("bert"), norm)), &t) ||
        !strstr(t.text, "model|0|not one with a reference"))
        fail_msg("%s", t.text);
    assert_int_equal(t.failed, 1); /* the bits of runs agree all the same */
    int passed = -5;
    FAILS(strata_verify(path_of("none.gguf"), NULL, add_check, &t, &passed, err), STRATA_IO, "none.gguf");
    FAILS(strata_verify(tiny("bert"), NULL, NULL, NULL, &passed, err), STRATA_INVALID_ARG, "report");
    volatile int cancel = 1;
    FAILS(strata_verify(tiny("bert"), &(strata_verify_opts){.cancel = &cancel}, add_check, &t, &passed, err),
          STRATA_CANCELLED, "");
    assert_int_equal(passed, -5);
    remove_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules),
        cmocka_unit_test(names),
        cmocka_unit_test(every_type_runs),
        cmocka_unit_test(what_is_kept),
        cmocka_unit_test(in_place),
        cmocka_unit_test(pure),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(known_models_verify),
        cmocka_unit_test(wrong_weights_are_found),
    };
    setup_dir();
    int failed = cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
