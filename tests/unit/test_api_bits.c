/* test_api_bits.c: the same text gives the same bits: whatever the batch, its order, the threads, the kernel level, the
 * way the file was opened, and the floating-point state of the caller. */
#include <fenv.h>
#include <pthread.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/os/cpus.h"
#include "base/os/thread.h"
#include "support/sanitized.h"
#include "unit/test_api.h"

enum { N_TEXTS = 64, MAX_DIMS = 64 };

static const char *const models[] = {"bert", "bert-q8_0", "gemma-embedding", "gemma-embedding-q8_0", "llama-q8_0"};
enum { N_MODELS = sizeof models / sizeof *models };

/* llama has no pooling of its own and 256 dims: cut them, so that the path over a copy is there too. */
static strata_embed_opts opts_of(const char *name)
{
    bool llama = strncmp(name, "llama", 5) == 0;
    return (strata_embed_opts){
        .pooling = llama ? STRATA_POOLING_LAST : 0, .dims = llama ? MAX_DIMS : 0, .force_dims = llama};
}

/* Each text on its own, one thread. */
static float *alone(const char *name, const char *level, int precision, const texts *x)
{
    strata_model *m = open_level(name, level);
    strata_ctx *c = open_ctx(m, 1, precision);
    strata_embed_opts o = opts_of(name);
    float *v = calloc(x->n, MAX_DIMS * sizeof *v);
    for (size_t i = 0; i < x->n; i++) embed_one(c, x->t[i], &o, v + i * MAX_DIMS, MAX_DIMS);
    strata_ctx_close(c);
    strata_model_close(m);
    return v;
}

static void in_batches(strata_ctx *c, const char *name, const texts *x, size_t batch, const float *want)
{
    strata_embed_opts o = opts_of(name);
    float *v = calloc(x->n, MAX_DIMS * sizeof *v);
    for (size_t i = 0; i < x->n; i += batch) {
        size_t n = x->n - i < batch ? x->n - i : batch;
        OK(strata_embed(c, x->t + i, n, &o, v + i * MAX_DIMS, MAX_DIMS, NULL, err));
    }
    if (memcmp(v, want, x->n * MAX_DIMS * sizeof *v) != 0)
        fail_msg("%s: batches of %zu on %u threads give other bits than each text alone", name, batch,
                 strata_ctx_threads(c));
    free(v);
}

static void reversed(strata_ctx *c, const char *name, const texts *x, const float *want)
{
    strata_embed_opts o = opts_of(name);
    strata_text back[N_TEXTS];
    float *v = calloc(x->n, MAX_DIMS * sizeof *v);
    for (size_t i = 0; i < x->n; i++) back[i] = x->t[x->n - 1 - i];
    OK(strata_embed(c, back, x->n, &o, v, MAX_DIMS, NULL, err));
    for (size_t i = 0; i < x->n; i++)
        assert_memory_equal(v + (x->n - 1 - i) * MAX_DIMS, want + i * MAX_DIMS, MAX_DIMS * sizeof *v);
    free(v);
}

/* Everything in int8; the reference mode, which is slow, in fewer ways. */
static void test_batches_and_threads(void **state)
{
    (void)state;
    static const size_t batches[] = {64, 7, 2};
    texts x = make_texts(N_TEXTS, 1);
    for (int i = 0; i < N_MODELS; i++) {
        bool llama = strncmp(models[i], "llama", 5) == 0;
        for (int precision = 0; precision < 2; precision++) {
            if (precision == STRATA_PRECISION_F32 && (i == 0 || i == 2)) continue; /* float weights: as in i8 */
            float *want = alone(models[i], NULL, precision, &x);
            strata_model *m = open_level(models[i], NULL);
            for (uint32_t t = SANITIZED_THREAD ? 2 : 1; t <= 8; t += SANITIZED_THREAD ? 4 : 1) {
                bool few = precision == STRATA_PRECISION_F32 || llama;
                if (few && t % 2) continue;
                strata_ctx *c = open_ctx(m, t, precision);
                assert_int_equal(strata_ctx_threads(c), t);
                for (int b = 0; b < (few || t > 4 ? 1 : 3); b++) in_batches(c, models[i], &x, batches[b], want);
                reversed(c, models[i], &x, want);
                strata_ctx_close(c);
            }
            strata_model_close(m);
            free(want);
        }
    }
    free_texts(&x);
}

/* More threads than could ever run at once are not made. */
static void test_thread_limit(void **state)
{
    (void)state;
    strata_model *m = open_level(models[0], NULL);
    strata_ctx *c = open_ctx(m, 1000, STRATA_PRECISION_I8);
    assert_int_equal(strata_ctx_threads(c), st_thread_limit());
    strata_ctx_close(c);
    strata_model_close(m);
}

static void test_levels(void **state)
{
    (void)state;
    texts x = make_texts(5, 2);
    for (int i = 0; i < N_MODELS; i += SANITIZED_THREAD ? 4 : 1) {
        for (int precision = 0; precision < 2; precision++) {
            float *want = alone(models[i], "generic", precision, &x);
            for (uint32_t j = 1; strata_cpu_level(j); j++) {
                float *got = alone(models[i], strata_cpu_level(j), precision, &x);
                if (memcmp(got, want, x.n * MAX_DIMS * sizeof *got) != 0)
                    fail_msg("%s: %s and generic differ", models[i], strata_cpu_level(j));
                free(got);
            }
            free(want);
        }
    }
    free_texts(&x);
}

/* ---- raw ids ---- */

static const struct {
    const char *model;
    int what, pooling;
} evals[] = {
    {"llama-q8_0", STRATA_EVAL_LOGITS, 0},
    {"llama-q4_0", STRATA_EVAL_LOGITS, 0},
    {"gemma3", STRATA_EVAL_LOGITS, 0},
    {"gemma3", STRATA_EVAL_HIDDEN, 0},
    {"bert-q8_0", STRATA_EVAL_HIDDEN, 0},
    {"bert-cls", STRATA_EVAL_POOLED, STRATA_POOLING_DEFAULT},
    {"gemma-embedding-q8_0", STRATA_EVAL_POOLED, STRATA_POOLING_MEAN},
};

static float *eval_all(const strata_model *m, int what, int pooling, uint32_t threads, int precision,
                       const uint32_t *lens, size_t n_lens, size_t *total)
{
    strata_ctx *c = open_ctx(m, threads, precision);
    size_t cap = 256 * 320, rows, cols;
    float *v = malloc(n_lens * cap * sizeof *v);
    int32_t ids[256];
    *total = 0;
    for (size_t i = 0; i < n_lens; i++) {
        for (uint32_t j = 0; j < lens[i]; j++) ids[j] = (int32_t)((j * 37 + lens[i] * 11) % 320);
        OK(strata_eval(c, ids, NULL, lens[i], what, pooling, v + *total, cap, &rows, &cols, err));
        assert_int_equal(rows, what == STRATA_EVAL_POOLED ? 1 : lens[i]);
        *total += rows * cols;
    }
    strata_ctx_close(c);
    return v;
}

static void test_eval(void **state)
{
    (void)state;
    static const uint32_t lens[] = {1, 2, 15, 16, 17, 33, 100, 256}, short_lens[] = {1, 16, 33};
    for (size_t i = 0; i < sizeof evals / sizeof *evals; i++) {
        for (int precision = 0; precision < 2; precision++) {
            size_t n, k;
            strata_model *m = open_level(evals[i].model, NULL);
            float *want = eval_all(m, evals[i].what, evals[i].pooling, 1, precision, lens, 8, &n);
            for (uint32_t t = 2; t <= 4; t += SANITIZED_THREAD ? 2 : 1) {
                float *got = eval_all(m, evals[i].what, evals[i].pooling, t, precision, lens, 8, &k);
                if (k != n || memcmp(got, want, n * sizeof *got) != 0)
                    fail_msg("%s: eval on %u threads gives other bits than on one", evals[i].model, t);
                free(got);
            }
            free(want);
            want = eval_all(m, evals[i].what, evals[i].pooling, 1, precision, short_lens, 3, &n);
            strata_model_close(m);
            for (uint32_t j = 0; strata_cpu_level(j); j += SANITIZED_THREAD ? 3 : 1) {
                m = open_level(evals[i].model, strata_cpu_level(j));
                float *got = eval_all(m, evals[i].what, evals[i].pooling, 2, precision, short_lens, 3, &k);
                if (k != n || memcmp(got, want, n * sizeof *got) != 0)
                    fail_msg("%s: eval at level %s gives other bits", evals[i].model, strata_cpu_level(j));
                free(got);
                strata_model_close(m);
            }
            free(want);
        }
    }
}

/* ---- other ways in ---- */

static void test_ways_to_open(void **state)
{
    (void)state;
    texts x = make_texts(16, 3);
    for (int i = 0; i < N_MODELS; i++) {
        float *want = alone(models[i], NULL, 0, &x);
        blob file = blob_read(tiny(models[i]));
        strata_model *opened[4] = {open_model(models[i], &(strata_model_opts){.no_mmap = 1}), open_blob(file, NULL),
                                   open_model(models[i], &(strata_model_opts){.n_threads = 3}), NULL};
        /* Bytes at an odd address: no view of floats can be taken. */
        uint8_t *odd = malloc(file.size + 1);
        memcpy(odd + 1, file.data, file.size);
        opened[3] = open_blob((blob){odd + 1, file.size}, NULL);
        for (int j = 0; j < 4; j++) {
            strata_ctx *c = open_ctx(opened[j], 2, 0);
            in_batches(c, models[i], &x, 64, want);
            strata_ctx_close(c);
            strata_model_close(opened[j]);
        }
        free(odd);
        free(file.data);
        free(want);
    }
    free_texts(&x);
}

/* A traced run goes text by text, op by op. */
typedef struct traced {
    uint32_t n, last;
    int layers;
} traced;

static void on_trace(void *user, uint32_t op, const char *kind, int layer, double micros)
{
    traced *t = user;
    assert_non_null(kind);
    assert_true(micros >= 0);
    assert_true(t->n == 0 || op == t->last + 1 || op == 0);
    t->last = op;
    t->n++;
    if (layer > t->layers) t->layers = layer;
}

static void test_traced(void **state)
{
    (void)state;
    texts x = make_texts(8, 4);
    float *want = alone("gemma-embedding-q8_0", NULL, 0, &x);
    strata_model *m = open_level("gemma-embedding-q8_0", NULL);
    traced t = {0};
    strata_ctx *c = NULL;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 3, .trace = on_trace, .trace_user = &t}, &c, err));
    in_batches(c, "gemma-embedding-q8_0", &x, 8, want);
    assert_true(t.n >= 8 * 7 * 6);
    assert_int_equal(t.layers, 6);
    strata_ctx_close(c);
    strata_model_close(m);
    free(want);
    free_texts(&x);
}

/* ---- the caller's floating-point state ---- */

static void with_state(const texts *x, const float *want, const char *name)
{
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();
#endif
    int rounding = fegetround();
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    float *v = calloc(x->n, MAX_DIMS * sizeof *v), hidden[5 * 64];
    size_t rows, cols;
    int32_t ids[5] = {1, 2, 3, 4, 5};
    strata_embed_opts o = opts_of(name);
    int rc = strata_model_open(tiny(name), NULL, &m, NULL) ||
             strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2}, &c, NULL) ||
             strata_embed(c, x->t, x->n, &o, v, MAX_DIMS, NULL, NULL) ||
             strata_eval(c, ids, NULL, 5, STRATA_EVAL_HIDDEN, 0, hidden, 5 * 64, &rows, &cols, NULL);
    strata_ctx_close(c);
    strata_model_close(m);
#if defined(__x86_64__)
    assert_true((_mm_getcsr() & 0xffc0u) == (before & 0xffc0u)); /* all but the sticky flags */
    _mm_setcsr(0x1f80);
#endif
    assert_int_equal(fegetround(), rounding);
    fesetround(FE_TONEAREST);
    assert_int_equal(rc, 0);
    if (memcmp(v, want, x->n * MAX_DIMS * sizeof *v) != 0)
        fail_msg("%s: the caller's floating-point state shows", name);
    free(v);
}

static void test_host_state(void **state)
{
    (void)state;
    texts x = make_texts(16, 5);
    for (int i = 0; i < 4; i++) { /* bert and gemma */
        float *want = alone(models[i], NULL, 0, &x);
        fesetround(FE_DOWNWARD);
        with_state(&x, want, models[i]);
        fesetround(FE_UPWARD);
        with_state(&x, want, models[i]);
        fesetround(FE_TOWARDZERO);
        with_state(&x, want, models[i]);
#if defined(__x86_64__)
        _mm_setcsr(_mm_getcsr() | 0x8040u); /* FTZ and DAZ */
        with_state(&x, want, models[i]);
#endif
        free(want);
    }
    free_texts(&x);
}

/* ---- two contexts of one model at once ---- */

typedef struct worker {
    const strata_model *m;
    const texts *x;
    float *v;
    int rc;
} worker;

static void *work(void *p)
{
    worker *w = p;
    strata_ctx *c = NULL;
    w->rc = strata_ctx_open(w->m, &(strata_ctx_opts){.n_threads = 2}, &c, NULL) ||
            strata_embed(c, w->x->t, w->x->n, NULL, w->v, MAX_DIMS, NULL, NULL);
    strata_ctx_close(c);
    return NULL;
}

static void test_two_contexts(void **state)
{
    (void)state;
    texts x = make_texts(32, 6);
    for (int i = 0; i < 4; i++) {
        float *want = alone(models[i], NULL, 0, &x);
        strata_model *m = open_level(models[i], NULL);
        worker w[3];
        pthread_t thread[3];
        for (int j = 0; j < 3; j++) {
            w[j] = (worker){m, &x, calloc(x.n, MAX_DIMS * sizeof(float)), 0};
            assert_int_equal(pthread_create(&thread[j], NULL, work, &w[j]), 0);
        }
        for (int j = 0; j < 3; j++) {
            pthread_join(thread[j], NULL);
            assert_int_equal(w[j].rc, 0);
            assert_memory_equal(w[j].v, want, x.n * MAX_DIMS * sizeof(float));
            free(w[j].v);
        }
        strata_model_close(m);
        free(want);
    }
    free_texts(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_and_threads),
        cmocka_unit_test(test_thread_limit),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_ways_to_open),
        cmocka_unit_test(test_traced),
        cmocka_unit_test(test_host_state),
        cmocka_unit_test(test_two_contexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
