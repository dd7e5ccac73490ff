/* test_ops_linear.c: products of every kind of weights against torch for every kernel level. */
#include "ops/rig.h"

static const struct {
    const char *name;
    uint32_t type, n, k;
} cases[] = {
    {"F32", ST_F32, 40, 48},    {"F32", ST_F32, 23, 300},   {"F16", ST_F16, 33, 70},   {"BF16", ST_BF16, 40, 272},
    {"Q8_0", ST_Q8_0, 40, 320}, {"Q8_0", ST_Q8_0, 19, 32},  {"Q4_0", ST_Q4_0, 33, 96}, {"Q4_1", ST_Q4_1, 24, 64},
    {"Q6_K", ST_Q6_K, 20, 256}, {"Q2_K", ST_Q2_K, 17, 512},
};
enum { N_CASES = sizeof cases / sizeof *cases, ROWS = 18 };

/* N -> Y by one product. */
static rig *product(const char *level, int precision, const st_gguf_tensor *m, const float *x, const float *bias,
                    uint32_t planes, bool exact, uint32_t rows)
{
    static uint32_t starts[2];
    starts[1] = rows;
    uint32_t n = (uint32_t)m->dims[1], k = (uint32_t)m->dims[0];
    rig *r = rig_new(level, precision);
    r->plan.width[ST_SLOT_N] = k;
    r->plan.width[ST_SLOT_Y] = n;
    st_op op = {.kind = ST_OP_LINEAR, .in = ST_SLOT_N, .out = ST_SLOT_Y};
    op.linear = (st_op_linear){.k = k, .n = n, .n_parts = 1, .exact = exact, .scale = 1};
    op.linear.parts[0] = (st_part){.m = m, .n = n, .planes = planes, .bias = bias};
    uint32_t index = rig_op(r, op);
    rig_open(r, starts, 1);
    rig_put(r, ST_SLOT_N, x, rows, k);
    if (r->state->form[ST_SLOT_N] & ST_FORM_HI)
        st_env_quantize(&r->env, ST_SLOT_N, r->env.slots->f[ST_SLOT_N], r->env.slots->ld[ST_SLOT_N], 0, rows, k, 0);
    st_run_linear(&r->env, index);
    return r;
}

static void check(const char *level, const vectors *v, size_t c, uint32_t rows)
{
    uint32_t n = cases[c].n, k = cases[c].k;
    char at[48], what[96];
    snprintf(at, sizeof at, "%s.%u.%u", cases[c].name, n, k);
    const array *w = GET(v, "%s.w", at), *x = GET(v, "%s.x", at), *bias = GET(v, "%s.bias", at),
                *y = GET(v, "%s.y", at);
    st_gguf_tensor m = rig_matrix(cases[c].type, w->b, n, k);
    assert_int_equal(w->type == 2 ? w->n : w->n * 4, m.bytes);
    bool quantised = st_quant_get(cases[c].type)->group != 0;

    /* Float activations: by precision and, for heads after pooling, in any precision. */
    for (int exact = 0; exact < 2; exact++) {
        snprintf(what, sizeof what, "%s %s %u rows, float%s", level, at, rows, exact ? ", exact" : "");
        rig *r = product(level, exact ? STRATA_PRECISION_I8 : STRATA_PRECISION_F32, &m, x->f, bias->f, 1, exact, rows);
        close_rows(what, r->env.slots->f[ST_SLOT_Y], r->env.slots->ld[ST_SLOT_Y], y->f, rows, n, 3e-6);
        rig_close(r);
    }
    if (!quantised) { /* float weights stay float in i8 */
        rig *r = product(level, STRATA_PRECISION_I8, &m, x->f, bias->f, 1, false, rows);
        close_rows(at, r->env.slots->f[ST_SLOT_Y], r->env.slots->ld[ST_SLOT_Y], y->f, rows, n, 3e-6);
        rig_close(r);
        return;
    }
    for (uint32_t planes = 1; planes <= 2; planes++) {
        snprintf(what, sizeof what, "%s %s %u rows, int8 in %u", level, at, rows, planes);
        rig *r = product(level, STRATA_PRECISION_I8, &m, x->f, bias->f, planes, false, rows);
        const float *got = r->env.slots->f[ST_SLOT_Y];
        size_t ld = r->env.slots->ld[ST_SLOT_Y];
        close_rows(what, got, ld, GET(v, "%s.y_int8_%u", at, planes)->f, rows, n, 1e-6);
        for (uint32_t i = 0; i < rows; i++) {
            double cos = cosine(got + i * ld, y->f + (size_t)i * n, n);
            if (!(cos > (planes == 2 ? 0.9999999 : 0.9995)))
                fail_msg("%s: row %u: cosine with torch %.8f", what, i, cos);
        }
        rig_close(r);
    }
}

static void test_products(void **state)
{
    (void)state;
    vectors v = vectors_read("linear");
    EACH_LEVEL(level)
    {
        for (size_t c = 0; c < N_CASES; c++) {
            check(level, &v, c, ROWS);
            check(level, &v, c, 1);
            check(level, &v, c, 5);
        }
    }
    vectors_free(&v);
}

/* Parts of one matrix and of several, side by side, rows of one part beginning in the middle of a matrix. */
static void test_parts(void **state)
{
    (void)state;
    vectors v = vectors_read("linear");
    uint32_t n = 40, k = 320, starts[2] = {0, ROWS};
    const array *w = GET(&v, "Q8_0.40.320.w"), *x = GET(&v, "Q8_0.40.320.x"), *bias = GET(&v, "Q8_0.40.320.bias");
    st_gguf_tensor m = rig_matrix(ST_Q8_0, w->b, n, k);
    EACH_LEVEL(level)
    {
        rig *r = rig_new(level, STRATA_PRECISION_I8);
        r->plan.width[ST_SLOT_N] = k;
        r->plan.width[ST_SLOT_QKV] = n;
        st_op op = {.kind = ST_OP_LINEAR, .in = ST_SLOT_N, .out = ST_SLOT_QKV};
        op.linear = (st_op_linear){.k = k, .n = n, .n_parts = 3, .scale = 1};
        static const uint32_t rows[] = {0, 21, 28, 40};
        for (uint32_t i = 0; i < 3; i++)
            op.linear.parts[i] = (st_part){.m = &m,
                                           .row = rows[i],
                                           .n = rows[i + 1] - rows[i],
                                           .col = rows[i],
                                           .planes = i == 2 ? 2 : 1,
                                           .bias = bias->f + rows[i]};
        uint32_t index = rig_op(r, op);
        rig_open(r, starts, 1);
        rig_put(r, ST_SLOT_N, x->f, ROWS, k);
        st_env_quantize(&r->env, ST_SLOT_N, r->env.slots->f[ST_SLOT_N], r->env.slots->ld[ST_SLOT_N], 0, ROWS, k, 0);
        st_run_linear(&r->env, index);
        const float *one = GET(&v, "Q8_0.40.320.y_int8_1")->f, *two = GET(&v, "Q8_0.40.320.y_int8_2")->f;
        for (uint32_t i = 0; i < ROWS; i++) {
            float want[40];
            memcpy(want, one + i * n, 28 * sizeof *want);
            memcpy(want + 28, two + i * n + 28, 12 * sizeof *want);
            close_rows(level, r->env.slots->f[ST_SLOT_QKV] + i * r->env.slots->ld[ST_SLOT_QKV], n, want, 1, n, 1e-6);
        }
        rig_close(r);
    }
    vectors_free(&v);
}

/* act(x W1) and act(x W1) * (x W2), through H. */
static void test_gated(void **state)
{
    (void)state;
    static const st_act acts[] = {ST_ACT_GELU_ERF, ST_ACT_GELU_TANH, ST_ACT_SILU, ST_ACT_RELU, ST_ACT_TANH};
    vectors v = vectors_read("linear");
    const array *w = GET(&v, "glu.w"), *x = GET(&v, "glu.x");
    uint32_t n = 40, k = 64, starts[2] = {0, ROWS};
    st_gguf_tensor m = rig_matrix(ST_F32, w->b, 2 * (uint64_t)n, k);
    EACH_LEVEL(level)
    {
        for (size_t a = 0; a < sizeof acts / sizeof *acts; a++) {
            for (int glu = 0; glu < 2; glu++) {
                rig *r = rig_new(level, STRATA_PRECISION_F32);
                r->plan.width[ST_SLOT_N] = k;
                r->plan.width[ST_SLOT_H] = n;
                st_op op = {.kind = ST_OP_LINEAR, .in = ST_SLOT_N, .out = ST_SLOT_H};
                op.linear =
                    (st_op_linear){.k = k, .n = n, .n_parts = glu ? 2 : 1, .act = acts[a], .glu = glu != 0, .scale = 1};
                op.linear.parts[0] = (st_part){.m = &m, .n = n, .planes = 1};
                op.linear.parts[1] = (st_part){.m = &m, .row = n, .n = n, .planes = 1};
                uint32_t index = rig_op(r, op);
                rig_open(r, starts, 1);
                rig_put(r, ST_SLOT_N, x->f, ROWS, k);
                st_run_linear(&r->env, index);
                const char *name = st_act_name(acts[a]);
                rig_close_to(r, ST_SLOT_H, name, GET(&v, "%s.%s", glu ? "glu" : "act", name), 2e-6);
                rig_close(r);
            }
        }
    }
    vectors_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_gated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
