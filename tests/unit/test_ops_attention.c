/* test_ops_attention.c: softmax attention and the rotation before it, op by op, against torch for every kernel
 * level. */
#include "ops/rig.h"

typedef struct shape {
    uint32_t n_head, n_kv, d, dv;
} shape;
static const shape shapes[] = {{4, 4, 16, 16}, {4, 2, 32, 32},   {4, 1, 64, 64},
                               {2, 2, 80, 80}, {2, 1, 256, 256}, {2, 1, 32, 24}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, WINDOW = 8, MAX_LEN = 40 };

static const struct {
    const char *name;
    bool causal;
    uint32_t window;
    st_window_kind kind;
} masks[] = {
    {"full", false, 0, ST_WINDOW_CAUSAL},
    {"causal", true, 0, ST_WINDOW_CAUSAL},
    {"causal_window", true, WINDOW, ST_WINDOW_CAUSAL},
    {"symmetric", false, WINDOW, ST_WINDOW_SYMMETRIC},
};
enum { N_MASKS = sizeof masks / sizeof *masks };

static st_op_attn op_of(const shape *s, uint32_t mask)
{
    return (st_op_attn){.n_head = s->n_head,
                        .n_head_kv = s->n_kv,
                        .d_head_k = s->d,
                        .d_head_v = s->dv,
                        .scale = 1.0f / sqrtf((float)s->d),
                        .causal = masks[mask].causal,
                        .window = masks[mask].window,
                        .window_kind = masks[mask].kind};
}

static rig *rig_for(const char *level, const shape *s, const uint32_t *starts, uint32_t n_seqs)
{
    rig *r = rig_new(level, STRATA_PRECISION_F32);
    r->config.n_head = s->n_head;
    r->config.n_head_kv = s->n_kv;
    r->config.d_head_k = s->d;
    r->config.d_head_v = s->dv;
    r->plan.width[ST_SLOT_QKV] = s->n_head * s->d + s->n_kv * (s->d + s->dv);
    r->plan.width[ST_SLOT_A] = s->n_head * s->dv;
    rig_open(r, starts, n_seqs);
    return r;
}

static void run(const char *level, const vectors *v, const shape *s, uint32_t mask, uint32_t n, const array *want)
{
    char what[96];
    snprintf(what, sizeof what, "%s attention %u.%u.%u.%u %s, %u tokens", level, s->n_head, s->n_kv, s->d, s->dv,
             masks[mask].name, n);
    uint32_t starts[2] = {0, n};
    rig *r = rig_for(level, s, starts, 1);
    rig_put(r, ST_SLOT_QKV, GET(v, "%u.%u.%u.%u.qkv", s->n_head, s->n_kv, s->d, s->dv)->f, n,
            r->plan.width[ST_SLOT_QKV]);
    st_op_attn op = op_of(s, mask);
    st_run_attn(&r->env, &op, 0);
    close_rows(what, r->env.slots->f[ST_SLOT_A], r->env.slots->ld[ST_SLOT_A], want->f, n, want->dims[1], 4e-6);
    rig_close(r);
}

static void test_attention(void **state)
{
    (void)state;
    vectors v = vectors_read("attention");
    uint32_t ran = 0;
    EACH_LEVEL(level)
    {
        for (uint32_t i = 0; i < N_SHAPES; i++) {
            const shape *s = &shapes[i];
            for (uint32_t m = 0; m < N_MASKS; m++) {
                for (uint32_t n = 1; n <= MAX_LEN; n++) {
                    const array *want =
                        vectors_find(&v, "%u.%u.%u.%u.%s.%u", s->n_head, s->n_kv, s->d, s->dv, masks[m].name, n);
                    /* A shorter causal text is the beginning of a longer one. */
                    if (!want && masks[m].causal && (n == 1 || n == 5 || n == 17))
                        want = GET(&v, "%u.%u.%u.%u.%s.40", s->n_head, s->n_kv, s->d, s->dv, masks[m].name);
                    if (!want) continue;
                    run(level, &v, s, m, n, want);
                    ran++;
                }
            }
        }
    }
    assert_true(ran >= N_SHAPES * 13);
    vectors_free(&v);
}

/* One token sees itself: its output is its value. */
static void test_one_token(void **state)
{
    (void)state;
    vectors v = vectors_read("attention");
    EACH_LEVEL(level)
    {
        for (uint32_t i = 0; i < N_SHAPES; i++) {
            const shape *s = &shapes[i];
            for (uint32_t m = 0; m < N_MASKS; m++) {
                uint32_t starts[2] = {0, 1};
                rig *r = rig_for(level, s, starts, 1);
                const float *x = GET(&v, "%u.%u.%u.%u.qkv", s->n_head, s->n_kv, s->d, s->dv)->f;
                rig_put(r, ST_SLOT_QKV, x, 1, r->plan.width[ST_SLOT_QKV]);
                st_op_attn op = op_of(s, m);
                st_run_attn(&r->env, &op, 0);
                for (uint32_t h = 0; h < s->n_head; h++) {
                    const float *value = x + (s->n_head + s->n_kv) * s->d + h / (s->n_head / s->n_kv) * s->dv;
                    assert_memory_equal(r->env.slots->f[ST_SLOT_A] + h * s->dv, value, s->dv * sizeof *value);
                }
                rig_close(r);
            }
        }
    }
    vectors_free(&v);
}

/* Texts that share a group do not see each other. */
static void test_texts_apart(void **state)
{
    (void)state;
    vectors v = vectors_read("attention");
    EACH_LEVEL(level)
    {
        for (uint32_t m = 0; m < N_MASKS; m++) {
            const shape *s = &shapes[1];
            uint32_t starts[4] = {0, 17, 18, 40}, width = s->n_head * s->d + s->n_kv * (s->d + s->dv);
            const float *x = GET(&v, "%u.%u.%u.%u.qkv", s->n_head, s->n_kv, s->d, s->dv)->f;
            st_op_attn op = op_of(s, m);
            rig *all = rig_for(level, s, starts, 3);
            rig_put(all, ST_SLOT_QKV, x, 40, width);
            st_run_attn(&all->env, &op, 0);
            for (uint32_t t = 0; t < 3; t++) {
                uint32_t n = starts[t + 1] - starts[t], alone[2] = {0, n};
                rig *r = rig_for(level, s, alone, 1);
                rig_put(r, ST_SLOT_QKV, x + (size_t)starts[t] * width, n, width);
                st_run_attn(&r->env, &op, 0);
                size_t ld = r->env.slots->ld[ST_SLOT_A];
                for (uint32_t i = 0; i < n; i++)
                    assert_memory_equal(r->env.slots->f[ST_SLOT_A] + i * ld,
                                        all->env.slots->f[ST_SLOT_A] + (starts[t] + i) * ld,
                                        s->n_head * s->dv * sizeof(float));
                rig_close(r);
            }
            rig_close(all);
        }
    }
    vectors_free(&v);
}

/* ---- rotation ---- */

/* Angles of a base, with positions stretched by a factor. */
static st_rope scaled(float base, float factor)
{
    return (st_rope){.base = base,
                     .scaling = factor == 1 ? ST_ROPE_SCALING_NONE : ST_ROPE_SCALING_LINEAR,
                     .factor = factor,
                     .attn_factor = 1};
}

static rig *rope_rig(const char *level, st_rope_kind kind, uint32_t d, uint32_t n_rot, st_rope rope, uint32_t len)
{
    static uint32_t starts[2];
    starts[1] = len;
    rig *r = rig_new(level, STRATA_PRECISION_F32);
    r->arch.rope = kind;
    r->config.d_head_k = r->config.d_head_v = d;
    r->config.n_rot = n_rot;
    r->config.rope[0] = rope;
    r->plan.width[ST_SLOT_QKV] = 3 * d;
    rig_open(r, starts, 1);
    return r;
}

static void test_rope(void **state)
{
    (void)state;
    static const struct {
        uint32_t d, n_rot;
        float base, factor;
    } cases[] = {{16, 16, 1e4f, 1}, {32, 32, 1e6f, 8}, {64, 64, 5e3f, 1},  {64, 32, 1e4f, 1},
                 {80, 80, 1e4f, 1}, {80, 20, 1e4f, 1}, {256, 256, 1e6f, 1}};
    vectors v = vectors_read("rope");
    const array *rows = GET(&v, "rows");
    uint32_t len = (uint32_t)rows->i[rows->n - 1] + 1;
    EACH_LEVEL(level)
    {
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            for (int neox = 0; neox < 2; neox++) {
                uint32_t d = cases[c].d, n_rot = cases[c].n_rot;
                char at[48], what[96];
                snprintf(at, sizeof at, "%u.%u.%g.%g", d, n_rot, (double)cases[c].base, (double)cases[c].factor);
                snprintf(what, sizeof what, "%s rope %s %s", level, at, neox ? "neox" : "norm");
                st_rope_kind kind = neox ? ST_ROPE_NEOX : ST_ROPE_NORM;
                rig *r = rope_rig(level, kind, d, n_rot, scaled(cases[c].base, cases[c].factor), len);
                const array *x = GET(&v, "%s.x", at), *want = GET(&v, "%s.%s", at, neox ? "neox" : "norm");
                float *q = r->env.slots->f[ST_SLOT_QKV];
                size_t ld = r->env.slots->ld[ST_SLOT_QKV];
                for (uint32_t i = 0; i < len; i++)
                    for (uint32_t j = 0; j < 3 * d; j++) q[i * ld + j] = 7.0f;
                for (uint32_t i = 0; i < rows->n; i++) {
                    float *row = q + (size_t)rows->i[i] * ld;
                    memcpy(row, x->f + i * d, d * sizeof *row);     /* q */
                    memcpy(row + d, x->f + i * d, d * sizeof *row); /* k */
                }
                st_op_qk op = {.n_head = 1, .n_head_kv = 1, .d_head = d, .n_rot = n_rot, .rope = kind};
                st_run_qk(&r->env, &op);
                for (uint32_t i = 0; i < rows->n; i++) {
                    const float *row = q + (size_t)rows->i[i] * ld;
                    /* torch's own float32 pow is an ulp off here and there, which a position multiplies. */
                    double tol = 4e-7 + 1.2e-7 * (double)rows->i[i];
                    close_rows(what, row, d, want->f + i * d, 1, d, tol);
                    close_rows(what, row + d, d, want->f + i * d, 1, d, tol);
                    for (uint32_t j = 0; j < d; j++) assert_true(row[2 * d + j] == 7.0f); /* values stay */
                    assert_memory_equal(row + n_rot, x->f + i * d + n_rot, (d - n_rot) * sizeof *row);
                }
                rig_close(r);
            }
        }
    }
    vectors_free(&v);
}

/* Norms of q and k heads with their own weights, then the rotation: Gemma 3's order. */
static void test_qk_norm(void **state)
{
    (void)state;
    vectors v = vectors_read("rope");
    const array *rows = GET(&v, "rows"), *x = GET(&v, "qk.x"), *w = GET(&v, "qk.w"), *want = GET(&v, "qk.y");
    uint32_t d = 32, len = (uint32_t)rows->i[rows->n - 1] + 1, starts[2] = {0, len};
    EACH_LEVEL(level)
    {
        rig *r = rig_new(level, STRATA_PRECISION_F32);
        r->arch.rope = ST_ROPE_NEOX;
        r->config.n_head = 2;
        r->config.d_head_k = r->config.d_head_v = r->config.n_rot = d;
        r->config.rope[0] = scaled(1e4f, 1);
        r->plan.width[ST_SLOT_QKV] = 4 * d;
        rig_open(r, starts, 1);
        float *q = r->env.slots->f[ST_SLOT_QKV];
        size_t ld = r->env.slots->ld[ST_SLOT_QKV];
        for (size_t i = 0; i < len * ld; i++) q[i] = 1.0f;
        for (uint32_t i = 0; i < rows->n; i++) memcpy(q + (size_t)rows->i[i] * ld, x->f + i * 3 * d, 3 * d * sizeof *q);
        st_op_qk op = {.n_head = 2,
                       .n_head_kv = 1,
                       .d_head = d,
                       .n_rot = d,
                       .q_norm = {.kind = ST_NORM_RMS, .w = {w->f, d}, .eps = 1e-3f},
                       .k_norm = {.kind = ST_NORM_RMS, .w = {w->f + d, d}, .eps = 1e-3f},
                       .rope = ST_ROPE_NEOX};
        st_run_qk(&r->env, &op);
        for (uint32_t i = 0; i < rows->n; i++)
            close_rows(level, q + (size_t)rows->i[i] * ld, 3 * d, want->f + i * 3 * d, 1, 3 * d,
                       1e-6 + 1.2e-7 * (double)rows->i[i]);
        rig_close(r);
    }
    vectors_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention), cmocka_unit_test(test_one_token), cmocka_unit_test(test_texts_apart),
        cmocka_unit_test(test_rope),      cmocka_unit_test(test_qk_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
