/* test_ops_pack.c: panels hold what a type's unpacking gives, for every type and kernel level. */
#include "ops/rig.h"

#include "backend/cpu/kernels/kernels.h"
#include "base/half.h"

/* Like, and not equal to, the tables of pack.c: a width that is too small would lose bits here. */
static void check_panel(const st_kernels *kern, const st_packed *p, const st_gguf_tensor *m, uint32_t panel,
                        bool finite)
{
    bool all = true;
    const st_quant *q = st_quant_get(m->type);
    const uint32_t k = p->k, n = (uint32_t)m->dims[1], per = 32 / q->group, groups = k / q->group;
    int8_t *w = malloc(k);
    float *scale = malloc(groups * sizeof *scale), *min = malloc(groups * sizeof *min);
    const size_t bytes = st_shape_block_bytes(p->form.shape);
    uint8_t *wide = malloc(k / 32 * bytes);
    const uint8_t *got = st_packed_blocks(kern, p, panel, 0, k / 32, wide);
    for (uint32_t c = 0; c < 16; c++) {
        uint32_t r = 16 * panel + c;
        memset(w, 0, k), memset(scale, 0, groups * sizeof *scale), memset(min, 0, groups * sizeof *min);
        if (r < n) q->unpack(m->data + r * st_mat_row_bytes(m), w, scale, min, k);
        for (uint32_t i = 0; i < k; i++)
            if (got[i / 32 * bytes + i % 32 / 4 * 64 + 4 * c + i % 4] != (uint8_t)(w[i] + 128))
                fail_msg("%s %s: row %u, weight %u is not %d", kern->level, q->name, r, i, w[i]);
        for (uint32_t g = 0; g < groups; g++)
            for (uint32_t what = 0; what < (q->has_min ? 2u : 1u); what++) {
                float x, want = what ? min[g] : scale[g];
                memcpy(&x, got + g / per * bytes + 512 + 64 * (what * per + g % per) + 4 * c, 4);
                if (memcmp(&x, &want, 4) != 0 && !(isnan(x) && isnan(want)))
                    fail_msg("%s %s: row %u, group %u: %a, not %a", kern->level, q->name, r, g, (double)x,
                             (double)want);
                all &= isfinite(want) != 0;
            }
    }
    if (all != finite) fail_msg("%s %s, panel %u: said to be %sfinite", kern->level, q->name, panel, all ? "not " : "");
    free(w), free(scale), free(min), free(wide);
}

static void test_types(void **state)
{
    (void)state;
    EACH_LEVEL(level)
    for (uint32_t type = 0; type < ST_TYPE_COUNT; type++) {
        const st_quant *q = st_quant_get(type);
        if (!q || q->group == 0) continue;
        st_kernels kern;
        assert_true(st_kernels_init(&kern, level));
        for (uint32_t n = 13; n <= 37; n += 12) {
            const uint32_t k = 768;
            const size_t row = (size_t)k / q->block * q->bytes;
            uint8_t *data = malloc(n * row);
            uint64_t seed = type * 1000003u + n;
            for (size_t i = 0; i < n * row; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                data[i] = (uint8_t)(seed >> 56) & (n == 25 ? 0xbf : 0xff); /* 25: no scale is NaN or infinity */
            }
            st_gguf_tensor m = rig_matrix(type, data, n, k);
            st_part part = {.m = &m, .n = n, .planes = 1};
            st_packed p = {.kind = ST_PACK_I8, .form = st_pack_form(type), .k = k, .n_panels = (n + 15) / 16};
            p.panel_bytes = k / 32 * st_form_block_bytes(&p.form);
            p.panels = malloc(p.panel_bytes * p.n_panels);
            const size_t apart = p.n_panels * st_form_apart(&p.form, k / 32);
            if (apart) p.apart = malloc(apart);
            bool finite[3];
            for (uint32_t i = 0; i < p.n_panels; i++) finite[i] = st_pack_panel(&kern, &p, &part, i);
            for (uint32_t i = 0; i < p.n_panels; i++) check_panel(&kern, &p, &m, i, finite[i]);
            free(p.panels), free(p.apart), free(data);
        }
    }
}

/* Bits of a weight in memory, scales included: the reason for the narrow forms. */
static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        st_type type;
        double bits;
    } want[] = {{ST_Q4_0, 4.5},   {ST_Q4_1, 5},     {ST_Q5_0, 5.5},    {ST_Q5_1, 6},      {ST_Q8_0, 9},
                {ST_Q4_K, 4.625}, {ST_Q5_K, 5.625}, {ST_Q6_K, 6.5625}, {ST_Q3_K, 4.5625}, {ST_Q2_K, 5.125}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        st_panel_form f = st_pack_form(want[i].type);
        size_t bytes = 8 * st_form_block_bytes(&f) + st_form_apart(&f, 8);
        assert_true((double)bytes * 8 / (8 * 512) == want[i].bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_types), cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
