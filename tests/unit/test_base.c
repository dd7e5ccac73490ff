/* test_base.c: memory, errors, log, files, threads, floating-point state. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp, mkfifo */
#endif
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/error.h"
#include "base/log.h"
#include "base/os/cpus.h"
#include "base/os/file.h"
#include "base/os/mem.h"
#include "base/os/thread.h"
#include "base/sort.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

typedef struct counting {
    int left;     /* allocations until all fail */
    int live;     /* blocks not freed */
    size_t align; /* of the last */
} counting;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    counting *c = user;
    if (c->left-- <= 0) return NULL;
    void *p = NULL;
    if (posix_memalign(&p, align, size)) return NULL;
    c->align = align;
    c->live++;
    return p;
}

static void counting_free(void *user, void *p)
{
    ((counting *)user)->live--;
    free(p);
}

static st_mem counting_mem(counting *c, uint64_t cap)
{
    st_mem m;
    st_mem_init(&m, &(strata_allocator){counting_alloc, counting_free, c}, cap);
    return m;
}

static void checked_arithmetic(void **state)
{
    (void)state;
    size_t out = 7;
    assert_true(st_mul(3, 5, &out) && out == 15);
    assert_true(st_mul(SIZE_MAX, 1, &out) && out == SIZE_MAX);
    assert_true(st_mul(SIZE_MAX, 0, &out) && out == 0);
    assert_false(st_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_false(st_mul((size_t)1 << 33, (size_t)1 << 31, &out));
    assert_true(st_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    assert_false(st_add(SIZE_MAX, 1, &out));
    assert_int_equal(st_round_up(0, 64), 0);
    assert_int_equal(st_round_up(1, 64), 64);
    assert_int_equal(st_round_up(64, 64), 64);
}

static void blocks_are_aligned_and_counted(void **state)
{
    (void)state;
    counting c = {100, 0, 0};
    st_mem m = counting_mem(&c, 0);
    void *p[6] = {st_alloc(&m, 1, 1),
                  st_alloc(&m, 0, 8),
                  st_calloc(&m, 100, 3),
                  st_alloc_huge(&m, 1000, 1),
                  st_alloc_huge(&m, 3 << 20, 1),
                  st_alloc(&m, 1 << 20, 4)};
    for (int i = 0; i < 6; i++) {
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % (i == 4 ? 2u << 20 : 64), 0);
    }
    for (int i = 0; i < 300; i++) assert_int_equal(((uint8_t *)p[2])[i], 0);
    memset(p[4], 1, 3 << 20);
    assert_true(m.used >= (7u << 20) + 1300);
    for (int i = 0; i < 6; i++) st_free(&m, p[i]);
    st_free(&m, NULL);
    assert_int_equal(m.used, 0);
    assert_int_equal(c.live, 0);
}

static void sizes_that_wrap_give_null(void **state)
{
    (void)state;
    st_mem m;
    st_mem_init(&m, NULL, 0);
    assert_null(st_alloc(&m, SIZE_MAX, 2));
    assert_null(st_alloc(&m, SIZE_MAX, 1)); /* plus its header */
    assert_null(st_calloc(&m, SIZE_MAX / 4, 8));
    assert_null(st_alloc_huge(&m, SIZE_MAX / 4, 8));
    assert_null(st_alloc_huge(&m, SIZE_MAX - 5, 1));
    assert_int_equal(m.used, 0);
}

static void the_cap_holds(void **state)
{
    (void)state;
    st_mem m;
    st_mem_init(&m, NULL, 10000);
    void *a = st_alloc(&m, 6000, 1);
    assert_non_null(a);
    assert_null(st_alloc(&m, 6000, 1));
    assert_null(st_alloc_huge(&m, 3 << 20, 1));
    void *b = st_alloc(&m, 3000, 1);
    assert_non_null(b);
    st_free(&m, a);
    a = st_alloc(&m, 6000, 1);
    assert_non_null(a);
    st_free(&m, a);
    st_free(&m, b);
    assert_int_equal(m.used, 0);
}

static void growing_keeps_what_was_there(void **state)
{
    (void)state;
    for (int n = 0; n < 12; n++) { /* the Nth allocation fails */
        counting c = {n, 0, 0};
        st_mem m = counting_mem(&c, 0);
        uint32_t *v = NULL;
        size_t cap = 0, len = 0;
        for (; len < 5000 && st_grow(&m, &v, &cap, len + 1, len, sizeof *v); len++) v[len] = (uint32_t)len;
        for (size_t i = 0; i < len; i++) assert_int_equal(v[i], i);
        assert_true(n < 10 ? len < 5000 : len == 5000);
        assert_true(cap >= len);
        st_free(&m, v);
        assert_int_equal(c.live, 0);
        assert_int_equal(m.used, 0);
    }
    st_mem m;
    st_mem_init(&m, NULL, 0);
    uint8_t *v = NULL;
    size_t cap = 0;
    assert_true(st_grow(&m, &v, &cap, 5, 0, 1));
    memcpy(v, "12345", 5);
    assert_false(st_grow(&m, &v, &cap, SIZE_MAX, 5, 1));
    assert_memory_equal(v, "12345", 5);
    st_free(&m, v);
}

/* ---- errors and log ---------------------------------------------------------------------------------------------- */

static int fails(int x, strata_error *err)
{
    ST_FAIL_IF(x == 1, err, STRATA_IO, "x is %d", x);
    if (x == 2) ST_FAIL(err, STRATA_BUSY, "two");
    return STRATA_OK;
}

static int passes_up(int x, strata_error *err)
{
    ST_TRY(fails(x, err));
    return STRATA_OK;
}

static void errors_pass_up(void **state)
{
    (void)state;
    strata_error err = {0};
    assert_int_equal(passes_up(0, &err), STRATA_OK);
    assert_int_equal(err.code, 0);
    assert_int_equal(passes_up(1, &err), STRATA_IO);
    assert_int_equal(err.code, STRATA_IO);
    assert_string_equal(err.msg, "x is 1");
    assert_int_equal(passes_up(2, NULL), STRATA_BUSY);
    char text[1000];
    memset(text, 'e', sizeof text);
    text[999] = 0;
    st_error_set(&err, STRATA_IO, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

typedef struct heard {
    int n, level;
    char msg[600];
} heard;

static void hear(void *user, int level, const char *msg)
{
    heard *h = user;
    h->n++;
    h->level = level;
    snprintf(h->msg, sizeof h->msg, "%s", msg);
}

static void logs_up_to_the_level(void **state)
{
    (void)state;
    heard h = {0};
    st_log log = {hear, &h, STRATA_LOG_INFO}, silent = {0};
    st_log_write(&log, STRATA_LOG_DEBUG, "%d", 1);
    assert_int_equal(h.n, 0);
    st_log_write(&log, STRATA_LOG_INFO, "n is %d", 2);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.level, STRATA_LOG_INFO);
    assert_string_equal(h.msg, "n is 2");
    char text[601];
    memset(text, 'e', 600);
    text[600] = 0;
    st_log_write(&log, STRATA_LOG_ERROR, "%s", text);
    assert_int_equal(strlen(h.msg), 511);
    st_log_write(&silent, STRATA_LOG_ERROR, "nobody");
    st_log_write(NULL, STRATA_LOG_ERROR, "nobody");
    assert_true(st_log_on(&log, STRATA_LOG_WARN));
    assert_false(st_log_on(NULL, STRATA_LOG_ERROR));
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void expect_io(const char *path, const char *why)
{
    st_mem m;
    st_mem_init(&m, NULL, 0);
    for (int copy = 0; copy < 2; copy++) {
        st_file f;
        strata_error err;
        char want[256];
        assert_int_equal(st_file_open(&f, path, copy, &m, &err), STRATA_IO);
        snprintf(want, sizeof want, "%s: %s", path, why);
        assert_string_equal(err.msg, want);
        assert_null(f.data);
        st_file_close(&f);
        assert_int_equal(m.used, 0);
    }
}

static void files(void **state)
{
    (void)state;
    char dir[] = "/tmp/strata-base-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    expect_io(dir, "is a directory, not a model file");
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_io(path, "is not a regular file");
    remove(path);
    expect_io(path, "cannot open: No such file or directory");
    expect_io("/dev/null", "is not a regular file");

    snprintf(path, sizeof path, "%s/file", dir);
    st_mem m;
    st_mem_init(&m, NULL, 0);
    enum { SIZE = 3 * 65536 + 123 };
    static uint8_t bytes[SIZE];
    for (int i = 0; i < SIZE; i++) bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (int size = 0; size <= SIZE; size += SIZE) {
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(bytes, 1, (size_t)size, out), size);
        fclose(out);
        for (int copy = 0; copy < 2; copy++) {
            st_file f;
            strata_error err;
            assert_int_equal(st_file_open(&f, path, copy, &m, &err), STRATA_OK);
            assert_int_equal(f.size, size);
            if (size) {
                assert_memory_equal(f.data, bytes, SIZE);
                assert_ptr_equal(f.held, f.data);
                assert_int_equal(f.mapped, !copy);
                st_file_release(&f, f.data + 1, SIZE - 1); /* comes back from the file, or was never given away */
                st_file_release(&f, f.data + 1, 10);
                st_file_release(&f, f.data, 0);
                assert_memory_equal(f.data, bytes, SIZE);
            }
            st_file_close(&f);
            st_file_close(&f);
            assert_int_equal(m.used, 0);
        }
    }
    counting c = {0, 0, 0};
    m = counting_mem(&c, 0);
    st_file f;
    strata_error err;
    assert_int_equal(st_file_open(&f, path, true, &m, &err), STRATA_NO_MEMORY);
    assert_non_null(strstr(err.msg, "/file: no memory for its 196731 bytes"));
    st_file_borrow(&f, bytes, 10);
    st_file_release(&f, bytes, 10);
    assert_ptr_equal(f.data, bytes);
    assert_int_equal(f.size, 10);
    st_file_close(&f);
    assert_int_equal(bytes[1], 7);
    remove(path);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

enum { MAX_THREADS = 8, STEPS = 50 };

typedef struct crew {
    _Atomic uint32_t calls;
    uint32_t nth;
    uint32_t ran[MAX_THREADS];
    uint64_t cells[MAX_THREADS]; /* written by one thread, read by its neighbour across a barrier */
    st_pool *pool;
    _Atomic uint32_t wrong;
} crew;

static void count_in(void *arg, uint32_t ith, uint32_t nth)
{
    crew *c = arg;
    atomic_fetch_add(&c->calls, 1);
    if (nth != c->nth || ith >= nth)
        atomic_fetch_add(&c->wrong, 1);
    else
        c->ran[ith]++;
}

static void pass_around(void *arg, uint32_t ith, uint32_t nth)
{
    crew *c = arg;
    for (uint64_t step = 1; step <= STEPS; step++) {
        c->cells[ith] = step * 100 + ith;
        st_pool_barrier(c->pool);
        uint32_t next = (ith + 1) % nth;
        if (c->cells[next] != step * 100 + next) atomic_fetch_add(&c->wrong, 1);
        st_pool_barrier(c->pool);
    }
}

static void pools(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 4; size++) {
        st_mem m;
        strata_error err;
        st_pool *p;
        st_mem_init(&m, NULL, 0);
        assert_int_equal(st_pool_open(size, &m, &p, &err), STRATA_OK);
        assert_int_equal(st_pool_size(p), size);
        for (uint32_t cycle = 0; cycle < 2000; cycle++) {
            crew c = {.pool = p, .nth = cycle % size + 1};
            assert_int_equal(st_pool_run(p, c.nth, count_in, &c, NULL), STRATA_OK);
            assert_int_equal(c.calls, c.nth);
            assert_int_equal(c.wrong, 0);
            for (uint32_t i = 0; i < MAX_THREADS; i++) assert_int_equal(c.ran[i], i < c.nth);
            if (cycle % 500 == 250) usleep(2000); /* long enough that the workers sleep */
        }
        for (uint32_t cycle = 0; cycle < 20; cycle++) {
            crew c = {.pool = p};
            assert_int_equal(st_pool_run(p, size, pass_around, &c, NULL), STRATA_OK);
            assert_int_equal(c.wrong, 0);
        }
        crew c = {.pool = p, .nth = size};
        assert_int_equal(st_pool_run(p, size + 5, count_in, &c, NULL), STRATA_OK);
        assert_int_equal(c.calls, size);
        st_pool_close(p);
        assert_int_equal(m.used, 0);
    }
    st_pool_close(NULL);
}

static void pools_that_never_ran(void **state)
{
    (void)state;
    st_mem m;
    strata_error err;
    st_pool *p;
    st_mem_init(&m, NULL, 0);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(st_pool_open(i % 4 + 1, &m, &p, &err), STRATA_OK);
        st_pool_close(p);
    }
    assert_int_equal(st_pool_open(0, &m, &p, &err), STRATA_INVALID_ARG);
    assert_string_equal(err.msg, "threads: 0, want 1..1024");
    assert_int_equal(st_pool_open(1025, &m, &p, &err), STRATA_INVALID_ARG);
    for (int n = 0;; n++) {
        counting c = {n, 0, 0};
        m = counting_mem(&c, 0);
        int rc = st_pool_open(3, &m, &p, &err);
        if (!rc) st_pool_close(p);
        assert_int_equal(c.live, 0);
        if (!rc) break;
        assert_int_equal(rc, STRATA_NO_MEMORY);
        assert_true(n < 5);
    }
}

static void cpus(void **state)
{
    (void)state;
    assert_true(st_cpu_count() >= 1);
    assert_true(st_cpu_count() <= (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    double a = st_now(), b = st_now();
    assert_true(b >= a);
}

/* ---- floating-point state ---------------------------------------------------------------------------------------- */

/* 0 if the state is the one that results depend on: nearest, denormals kept. Not inlined: a compiler that does not know
 * of the state may move arithmetic across the calls that change it. */
__attribute__((noinline)) static int check_fp(void)
{
    volatile float one = 1, tiny = 0x1p-25f, denormal = 0x1p-149f, half = 0x1p-126f;
    int wrong = 0;
    wrong |= one + tiny != 1;
    wrong |= -one - tiny != -1;
    wrong |= denormal * 2 != 0x1p-148f;
    wrong |= half * 0.5f != 0x1p-127f;
    return wrong;
}

static void check_state(void *arg, uint32_t ith, uint32_t nth)
{
    (void)nth;
    ((int *)arg)[ith] = check_fp();
}

static void floats_are_ieee_inside(void **state)
{
    (void)state;
    st_mem m;
    strata_error err;
    st_pool *p;
    st_mem_init(&m, NULL, 0);
    assert_int_equal(check_fp(), 0);
    int before = fegetround();
    assert_int_equal(fesetround(FE_UPWARD), 0);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040u); /* FTZ and DAZ */
#endif
    int host_outside = check_fp();
    uint64_t saved = st_fp_enter();
    int inside = check_fp();
    st_fp_leave(saved);
    int host_after = check_fp();

    /* Workers inherit the state of the thread that started them, here a strange one. */
    int rc = st_pool_open(3, &m, &p, &err);
    int states[3] = {-1, -1, -1};
    if (!rc) rc = st_pool_run(p, 3, check_state, states, NULL);
    int host_after_run = check_fp();
    st_pool_close(p);
#if defined(__x86_64__)
    _mm_setcsr(0x1f80);
#endif
    fesetround(before);
    assert_int_equal(rc, STRATA_OK);
    assert_int_equal(host_outside, 1);
    assert_int_equal(inside, 0);
    assert_int_equal(host_after, 1);
    assert_int_equal(host_after_run, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(states[i], 0);
}

static bool int_less(const void *user, const void *a, const void *b)
{
    int x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return *(const bool *)user ? y < x : x < y;
}

static void sorts(void **state)
{
    (void)state;
    int v[100];
    for (size_t n = 0; n <= 100; n++)
        for (int down = 0; down < 2; down++) {
            unsigned seed = (unsigned)n + 1, sum = 0;
            for (size_t i = 0; i < n; i++)
                v[i] = (int)((seed = seed * 1664525u + 1013904223u) >> 26), sum += (unsigned)v[i];
            bool is = down;
            st_sort(v, n, sizeof *v, int_less, &is);
            for (size_t i = 0; i < n; i++) sum -= (unsigned)v[i];
            assert_int_equal(sum, 0);
            for (size_t i = 1; i < n; i++) assert_true(down ? v[i - 1] >= v[i] : v[i - 1] <= v[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts),
        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(sizes_that_wrap_give_null),
        cmocka_unit_test(the_cap_holds),
        cmocka_unit_test(growing_keeps_what_was_there),
        cmocka_unit_test(errors_pass_up),
        cmocka_unit_test(logs_up_to_the_level),
        cmocka_unit_test(files),
        cmocka_unit_test(pools),
        cmocka_unit_test(pools_that_never_ran),
        cmocka_unit_test(cpus),
        cmocka_unit_test(floats_are_ieee_inside),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
