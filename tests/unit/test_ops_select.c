/* test_ops_select.c: a head asked for its largest logits gives those of the whole product, bit for bit, and leaves out
 * only what is smaller. */
#include "ops/rig.h"
#include "support/sanitized.h"

#include <math.h>

#include "base/half.h"

enum { K = 96, N = 16 * 37 + 5, INPUTS = 7, BYTES = 34, MASK = (N + 31) / 32 };

static uint64_t seed = 1;

static uint32_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static float uniform(void)
{
    return (float)rnd() * 0x1p-30f - 1;
}

typedef enum heads { RANDOM, SIGNED, EQUAL, ZEROS, EXTREME, INFINITE, HEADS } heads;

static void fill_head(heads what, uint8_t *data)
{
    for (uint32_t r = 0; r < N; r++)
        for (uint32_t b = 0; b < K / 32; b++) {
            uint8_t *block = data + ((size_t)r * (K / 32) + b) * BYTES;
            float scale = 0.01f + 0.01f * fabsf(uniform());
            if (what == SIGNED && rnd() % 2) scale = -scale;
            if (what == ZEROS && rnd() % 2) scale = 0;
            if (what == EXTREME) scale = rnd() % 2 ? 60000.0f : 6e-8f;
            if (what == INFINITE && r == N / 2 && b == 1) scale = INFINITY;
            uint16_t h = st_f32_to_f16(scale);
            memcpy(block, &h, 2);
            for (int i = 0; i < 32; i++) block[2 + i] = what == EXTREME ? (rnd() % 2 ? 0x80 : 0x7f) : (uint8_t)rnd();
            /* Many rows are the same: their logits tie. */
            if (what == EQUAL && r >= 4) memcpy(block, data + ((size_t)(r % 4) * (K / 32) + b) * BYTES, BYTES);
        }
}

/* Embeddings: plain, with outliers, all zero, tiny, of one sign, huge, and so huge that eight times as much
 * overflows. */
static void fill_inputs(float *x)
{
    for (uint32_t r = 0; r < INPUTS; r++)
        for (uint32_t i = 0; i < K; i++) {
            float v = uniform();
            if (r == 1 && i % 17 == 0) v *= 100;
            if (r == 2) v = 0;
            if (r == 3) v *= 1e-30f;
            if (r == 4) v = fabsf(v);
            if (r == 5) v *= 1e15f;
            if (r == 6) v *= 1e38f;
            x[(size_t)r * K + i] = v;
        }
}

typedef struct model {
    rig *r;
    st_gguf_tensor tokens, head;
    float x[INPUTS * K];
    uint8_t data[(size_t)N * (K / 32) * BYTES];
} model;

static void open_model(model *m, const char *level, heads what, uint32_t planes, float scale, uint32_t threads)
{
    strata_error e = {0};
    fill_inputs(m->x);
    fill_head(what, m->data);
    m->tokens = rig_matrix(ST_F32, m->x, INPUTS, K);
    m->head = rig_matrix(ST_Q8_0, m->data, N, K);
    rig *r = m->r = rig_new(level, STRATA_PRECISION_I8);
    r->plan.width[ST_SLOT_X] = r->plan.width[ST_SLOT_N] = K;
    r->plan.width[ST_SLOT_OUT] = N;
    rig_op(r, (st_op){.kind = ST_OP_EMBED,
                      .layer = -1,
                      .in = ST_SLOT_X,
                      .out = ST_SLOT_N,
                      .embed = {.scale = 1, .tokens = &m->tokens}});
    r->plan.n_body = r->plan.logits = 1;
    st_op head = {.kind = ST_OP_LINEAR, .layer = -1, .in = ST_SLOT_N, .out = ST_SLOT_OUT};
    head.linear = (st_op_linear){.k = K, .n = N, .n_parts = 1, .scale = scale};
    head.linear.parts[0] = (st_part){.m = &m->head, .n = N, .planes = planes};
    rig_op(r, head);
    st_load_opts load = {.n_threads = 1, .level = level, .mem = &r->mem};
    st_state_opts open = {.n_threads = threads};
    if (st_backend_cpu.load(&r->plan, &r->file, &load, &r->exec, &e)) fail_msg("%s", e.msg);
    if (st_backend_cpu.open(r->exec, &open, &r->state, &e)) fail_msg("%s", e.msg);
}

/* Logits of input `id`; returns the status of the sequence. */
static int logits_of(model *m, int32_t id, const st_wanted *wanted, float *out)
{
    strata_error e = {0};
    uint32_t starts[2] = {0, 1};
    int status = -1;
    st_batch b = {.n_seqs = 1,
                  .n_tokens = 1,
                  .ids = &id,
                  .starts = starts,
                  .last_only = 1,
                  .wanted = wanted,
                  .what = STRATA_EVAL_LOGITS,
                  .out = &out,
                  .status = &status};
    m->r->state->skip_select = 0;
    if (st_backend_cpu.run(m->r->state, &b, &e)) fail_msg("%s", e.msg);
    return status;
}

static bool bit(const uint32_t *mask, uint32_t i)
{
    return !mask || (mask[i / 32] >> i % 32 & 1);
}

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The k-th largest of what the mask allows; -infinity if there are fewer. */
static float kth(const float *x, const uint32_t *mask, uint32_t k)
{
    float *s = malloc(N * sizeof *s);
    uint32_t n = 0;
    for (uint32_t i = 0; i < N; i++)
        if (bit(mask, i)) s[n++] = x[i];
    qsort(s, n, sizeof *s, falling);
    float t = k <= n ? s[k - 1] : -INFINITY;
    free(s);
    return t;
}

static uint32_t check_row(const float *all, const float *got, const st_wanted *w, const char *what)
{
    const float t = kth(all, w->mask, w->k);
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < N; i++) {
        bool asked = bit(w->mask, i) && all[i] >= t;
        for (size_t j = 0; j < w->n_ids; j++) asked |= (uint32_t)w->ids[j] == i;
        if (got[i] == -INFINITY && !asked)
            left_out++;
        else if (memcmp(&got[i], &all[i], sizeof *got) != 0)
            fail_msg("%s: logit %u is %a, not %a", what, i, (double)got[i], (double)all[i]);
    }
    return left_out;
}

static void check_head(const char *level, heads what, uint32_t planes, float scale, uint32_t threads)
{
    static float all[N], got[N];
    static const uint32_t ks[] = {1, 2, 40, ST_WANTED_MAX};
    static const int32_t ids[] = {0, N - 1, 77, 77, 300};
    model *m = calloc(1, sizeof *m);
    uint32_t mask[MASK], left_out = 0;
    open_model(m, level, what, planes, scale, threads);
    for (int32_t id = 0; id < INPUTS; id++) {
        const int status = logits_of(m, id, NULL, all);
        for (uint32_t i = 0; i < sizeof ks / sizeof *ks; i++)
            for (uint32_t masked = 0; masked < 3; masked++) { /* all, a third, three columns */
                memset(mask, 0, sizeof mask);
                for (uint32_t j = 0; j < N; j++)
                    if (masked == 1 ? rnd() % 3 == 0 : j % 199 == 3) mask[j / 32] |= 1u << j % 32;
                st_wanted w = {
                    .k = ks[i], .mask = masked ? mask : NULL, .ids = ids, .n_ids = rnd() % 2 ? sizeof ids / 4 : 0};
                char label[128];
                snprintf(label, sizeof label, "%s head %d planes %u scale %g threads %u input %d k %u mask %u", level,
                         what, planes, (double)scale, threads, id, w.k, masked);
                int selected = logits_of(m, id, &w, got);
                if (status) { /* whether the one that is not finite was wanted or is above all that was */
                    if (!selected && !masked) fail_msg("%s: not finite, and not told", label);
                    continue;
                }
                if (selected) fail_msg("%s: status %d", label, selected);
                left_out += check_row(all, got, &w, label);
            }
    }
    /* The point of it: most of a head is left out where few logits are asked for. */
    if (m->r->exec->kern.gemv_rows && what == RANDOM && scale > 0) assert_true(left_out > N);
    rig_close(m->r);
    free(m);
}

static void test_select(void **state)
{
    (void)state;
    EACH_LEVEL(level)
    for (int what = 0; what < HEADS; what += SANITIZED_THREAD ? 3 : 1)
        for (uint32_t planes = 1; planes <= 2; planes++)
            for (uint32_t threads = 1; threads <= 4; threads += planes) {
                check_head(level, (heads)what, planes, 1, threads);
                check_head(level, (heads)what, planes, 0.25f, threads);
                check_head(level, (heads)what, planes, -1, threads); /* no order to go by: all of them */
            }
}

/* Where most of the head is computed after all, the next runs compute all of it at once. */
static void test_learns(void **state)
{
    (void)state;
    static float out[N];
    model *m = calloc(1, sizeof *m);
    open_model(m, NULL, RANDOM, 2, 1, 1);
    st_state *s = m->r->state;
    if (m->r->exec->kern.gemv_rows) {
        st_wanted few = {.k = 1}, many = {.k = ST_WANTED_MAX};
        logits_of(m, 0, &few, out);
        assert_int_not_equal(s->selected, 0);
        assert_int_equal(s->skip_select, 0);
        logits_of(m, 0, &many, out);
        const uint32_t skipped = s->skip_select;
        assert_true(skipped > 0);
        for (uint32_t i = 0; i < N; i++) out[i] = NAN;
        for (uint32_t left = skipped; left > 0; left--) {
            strata_error e = {0};
            int32_t id = 0;
            uint32_t starts[2] = {0, 1};
            int status = -1;
            float *row = out;
            st_batch b = {.n_seqs = 1,
                          .n_tokens = 1,
                          .ids = &id,
                          .starts = starts,
                          .last_only = 1,
                          .wanted = &few,
                          .what = STRATA_EVAL_LOGITS,
                          .out = &row,
                          .status = &status};
            assert_int_equal(s->skip_select, left);
            assert_int_equal(st_backend_cpu.run(s, &b, &e), STRATA_OK);
            assert_int_equal(s->selected, 0);
            for (uint32_t i = 0; i < N; i++) assert_true(isfinite(out[i]));
        }
        assert_int_equal(s->skip_select, 0);
    }
    rig_close(m->r);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_select), cmocka_unit_test(test_learns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
