/* test_api_run.c: calls that end early or meet each other: cancelling, deadlines, busy contexts, budgets, bad
 * numbers. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* nanosleep */
#endif
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "unit/test_api.h"

enum { DIMS = 64 };

typedef struct job {
    strata_model *m;
    strata_ctx *c;
    strata_text one; /* a long text */
    char *chars;
    float *reference; /* of `one` */
} job;

static int setup(void **state)
{
    job *j = calloc(1, sizeof *j);
    uint64_t seed = 3;
    j->m = open_model("gemma-embedding-q8_0", NULL);
    j->c = open_ctx(j->m, 2, 0);
    j->chars = make_text(&seed, 200, &j->one.len);
    j->one.ptr = j->chars;
    j->reference = calloc(DIMS, sizeof(float));
    embed_one(j->c, j->one, NULL, j->reference, DIMS);
    *state = j;
    return 0;
}

static int teardown(void **state)
{
    job *j = *state;
    strata_ctx_close(j->c);
    strata_model_close(j->m);
    free(j->chars);
    free(j->reference);
    free(j);
    return 0;
}

/* The context is as good as before. */
static void still_works(const job *j)
{
    float v[DIMS];
    embed_one(j->c, j->one, NULL, v, DIMS);
    assert_memory_equal(v, j->reference, sizeof v);
}

/* n times the same text: work for seconds. */
static int embed_many(const job *j, size_t n, const strata_embed_opts *o, strata_error *err)
{
    strata_text *t = malloc(n * sizeof *t);
    float *v = malloc(n * DIMS * sizeof *v);
    for (size_t i = 0; i < n; i++) t[i] = j->one;
    int rc = strata_embed(j->c, t, n, o, v, DIMS, NULL, err);
    free(t);
    free(v);
    return rc;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* ---- progress ---- */

typedef struct progress {
    size_t calls, last, n;
    bool fell;
    volatile int cancel; /* set after the first call if arm */
    bool arm;
} progress;

static void on_progress(void *user, size_t done, size_t n)
{
    progress *p = user;
    p->calls++;
    p->fell |= done < p->last || done > n;
    p->last = done;
    p->n = n;
    if (p->arm && done) __atomic_store_n(&p->cancel, 1, __ATOMIC_RELAXED);
}

static void test_progress(void **state)
{
    const job *j = *state;
    static const size_t sizes[] = {0, 1, 7, 60, 1500}; /* more than one chunk */
    for (int i = 0; i < 5; i++) {
        size_t n = sizes[i];
        progress p = {0};
        strata_text *t = malloc((n + 1) * sizeof *t);
        float *v = malloc((n + 1) * DIMS * sizeof *v);
        strata_embed_item *items = malloc((n + 1) * sizeof *items);
        for (size_t k = 0; k < n; k++) t[k] = k % 7 == 6 ? text_of("") : text_of("short one"); /* failures count too */
        OK(strata_embed(j->c, t, n, &(strata_embed_opts){.progress = on_progress, .progress_user = &p}, v, DIMS, items,
                        err));
        assert_false(p.fell);
        assert_int_equal(p.last, n);
        assert_int_equal(p.n, n);
        free(t);
        free(v);
        free(items);
    }
}

/* ---- cancelling ---- */

static void test_cancel(void **state)
{
    const job *j = *state;
    int flag = 1;
    FAILS(embed_many(j, 3, &(strata_embed_opts){.cancel = &flag}, err), STRATA_CANCELLED, "cancelled");
    still_works(j);
    flag = 0;
    OK(embed_many(j, 3, &(strata_embed_opts){.cancel = &flag}, err));
    /* From the progress callback, in the middle of groups. */
    progress p = {.arm = true};
    strata_embed_opts o = {.cancel = &p.cancel, .progress = on_progress, .progress_user = &p};
    FAILS(embed_many(j, 2000, &o, err), STRATA_CANCELLED, "cancelled");
    assert_true(p.last < 2000);
    still_works(j);
    /* A vector a token. */
    float *v = malloc(256 * DIMS * sizeof *v);
    size_t rows;
    flag = 1;
    FAILS(strata_embed_tokens(j->c, j->one.ptr, j->one.len, &(strata_embed_opts){.cancel = &flag}, v, 256, &rows, NULL,
                              err),
          STRATA_CANCELLED, "cancelled");
    free(v);
    still_works(j);
}

static void *cancel_soon(void *flag)
{
    pause_ms(20);
    __atomic_store_n((int *)flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void test_cancel_from_a_thread(void **state)
{
    const job *j = *state;
    int flag = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &flag), 0);
    FAILS(embed_many(j, 100000, &(strata_embed_opts){.cancel = &flag}, err), STRATA_CANCELLED, "cancelled");
    pthread_join(thread, NULL);
    still_works(j);
}

static void test_deadline(void **state)
{
    const job *j = *state;
    FAILS(embed_many(j, 3, &(strata_embed_opts){.deadline_ms = 1e-6}, err), STRATA_DEADLINE, "deadline");
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    FAILS(embed_many(j, 20000, &(strata_embed_opts){.deadline_ms = 30}, err), STRATA_DEADLINE, "deadline");
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
    assert_true(ms > 29 && ms < 5000);
    still_works(j);
    OK(embed_many(j, 1, &(strata_embed_opts){.deadline_ms = 60000}, err));
}

/* ---- two threads in one context ---- */

typedef struct meeting {
    const job *j;
    _Atomic int inside, go_on;
    int rc;
} meeting;

static void hold(void *user, size_t done, size_t n)
{
    (void)done, (void)n;
    meeting *m = user;
    atomic_store(&m->inside, 1);
    for (int i = 0; i < 10000 && !atomic_load(&m->go_on); i++) pause_ms(1);
}

static void *visitor(void *p)
{
    meeting *m = p;
    m->rc = embed_many(m->j, 2, &(strata_embed_opts){.progress = hold, .progress_user = m}, NULL);
    return NULL;
}

static void test_busy(void **state)
{
    const job *j = *state;
    meeting m = {.j = j};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visitor, &m), 0);
    for (int i = 0; i < 10000 && !atomic_load(&m.inside); i++) pause_ms(1);
    assert_true(atomic_load(&m.inside));
    float v[DIMS];
    size_t rows, cols;
    int32_t id = 1;
    FAILS(strata_embed(j->c, &j->one, 1, NULL, v, DIMS, NULL, err), STRATA_BUSY, "another thread");
    FAILS(strata_embed_tokens(j->c, "x", 1, NULL, v, 1, &rows, NULL, err), STRATA_BUSY, "another thread");
    FAILS(strata_eval(j->c, &id, NULL, 1, STRATA_EVAL_HIDDEN, 0, v, DIMS, &rows, &cols, err), STRATA_BUSY,
          "another thread");
    atomic_store(&m.go_on, 1);
    pthread_join(thread, NULL);
    assert_int_equal(m.rc, STRATA_OK);
    still_works(j);
}

/* ---- memory budgets ---- */

static void test_memory_cap(void **state)
{
    const job *j = *state;
    strata_model *m = NULL;
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.memory_cap = 100}, &m, err), STRATA_NO_MEMORY, "model");
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.memory_cap = 300000}, &m, err), STRATA_NO_MEMORY,
          "packed weights");
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.memory_cap = 300000, .no_mmap = 1}, &m, err),
          STRATA_NO_MEMORY, "bert.gguf: no memory for its 561216 bytes");
    assert_null(m);
    /* Room to open, and then for less and less. */
    bool refused = false, ran = false;
    for (uint64_t cap = 4 << 20; cap > 600000; cap -= 300000) {
        m = NULL;
        int rc = strata_model_open(tiny("gemma-embedding-q8_0"), &(strata_model_opts){.memory_cap = cap}, &m, NULL);
        if (rc) {
            assert_int_equal(rc, STRATA_NO_MEMORY);
            continue;
        }
        strata_ctx *c = open_ctx(m, 2, 0);
        strata_error e = {0};
        float v[DIMS];
        rc = strata_embed(c, &j->one, 1, NULL, v, DIMS, NULL, &e);
        if (rc) {
            refused = true;
            assert_int_equal(rc, STRATA_NO_MEMORY);
            assert_non_null(strstr(e.msg, "no memory for "));
        } else {
            ran = true;
            assert_memory_equal(v, j->reference, sizeof v);
        }
        strata_ctx_close(c);
        strata_model_close(m);
    }
    assert_true(refused && ran);
}

/* ---- numbers that are none ---- */

static void test_nonfinite(void **state)
{
    (void)state;
    static const char *const names[] = {"bert", "gemma-embedding"};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const strata_text t[] = {text_of("abc"), text_of("aZb"), text_of("hello there"), text_of("YY"), text_of("x")};
    enum { N = sizeof t / sizeof *t };
    for (int i = 0; i < 2; i++) {
        float want[N * DIMS], v[N * DIMS];
        strata_model *clean = open_model(names[i], NULL);
        strata_ctx *c = open_ctx(clean, 1, 0);
        OK(strata_embed(c, t, N, NULL, want, DIMS, NULL, err));
        strata_ctx_close(c);
        strata_model_close(clean);
        for (int k = 0; k < 3; k++) {
            /* The rows of the byte tokens Z and Y. */
            const edit edits[] = {{POKE, "token_embd.weight", .f = bad[k], .at = (3 + 'Z') * DIMS + 7}, {0}};
            blob file = rewrite(tiny(names[i]), edits);
            strata_model *m = open_blob(file, NULL);
            for (uint32_t threads = 1; threads <= 3; threads += 2) {
                for (int precision = 0; precision < 2; precision++) {
                    strata_embed_item items[N];
                    c = open_ctx(m, threads, precision);
                    OK(strata_embed(c, t, N, NULL, v, DIMS, items, err));
                    for (int x = 0; x < N; x++) {
                        assert_int_equal(items[x].status, x == 1 ? STRATA_NONFINITE : STRATA_OK);
                        if (x == 1)
                            assert_true(is_nan_row(v + x * DIMS, DIMS));
                        else
                            assert_memory_equal(v + x * DIMS, want + x * DIMS, DIMS * sizeof *v);
                    }
                    assert_non_null(strstr(items[1].msg, "NaN or infinity"));
                    FAILS(strata_embed(c, t, N, NULL, v, DIMS, NULL, err), STRATA_NONFINITE, "text 1: ");
                    int32_t id = 3 + 'Z';
                    size_t rows, cols;
                    FAILS(strata_eval(c, &id, NULL, 1, STRATA_EVAL_HIDDEN, 0, v, DIMS, &rows, &cols, err),
                          STRATA_NONFINITE, "NaN or infinity");
                    FAILS(strata_embed_tokens(c, "Z", 1, NULL, v, 4, &rows, NULL, err), STRATA_NONFINITE,
                          "NaN or infinity");
                    strata_ctx_close(c);
                }
            }
            strata_model_close(m);
            free(file.data);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress),  cmocka_unit_test(test_cancel), cmocka_unit_test(test_cancel_from_a_thread),
        cmocka_unit_test(test_deadline),  cmocka_unit_test(test_busy),   cmocka_unit_test(test_memory_cap),
        cmocka_unit_test(test_nonfinite),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
