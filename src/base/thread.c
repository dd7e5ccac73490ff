#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#endif
#include "base/thread.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* Longest spin before sleeping. A futex wake costs 17-33 us on a 2-core VM, a spin barrier 0.2 us (performance notes).
 */
#define SPIN_SECONDS 20e-6

static void relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

double st_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A counter that threads wait on: it only grows. */
typedef struct gate {
    _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
    pthread_mutex_t lock;
    pthread_cond_t cond;
} gate;

static int gate_init(gate *g)
{
    atomic_init(&g->value, 0);
    atomic_init(&g->sleepers, 0);
    if (pthread_mutex_init(&g->lock, NULL)) return -1;
    if (pthread_cond_init(&g->cond, NULL)) {
        pthread_mutex_destroy(&g->lock);
        return -1;
    }
    return 0;
}

static void gate_free(gate *g)
{
    pthread_cond_destroy(&g->cond);
    pthread_mutex_destroy(&g->lock);
}

static void gate_open(gate *g)
{
    atomic_fetch_add(&g->value, 1);
    if (atomic_load(&g->sleepers) == 0) return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->cond);
    pthread_mutex_unlock(&g->lock);
}

/* Until the value is no longer `old`. spin: before sleeping. */
static void gate_wait(gate *g, uint32_t old, bool spin)
{
    double end = 0;
    for (uint32_t i = 0; atomic_load_explicit(&g->value, memory_order_acquire) == old; i++) {
        if (spin) {
            relax();
            if ((i & 63u) != 63u) continue; /* reading the clock costs ~20 ns: not at every turn */
            double now = st_now();
            if (end == 0) end = now + SPIN_SECONDS;
            if (now < end) continue;
        }
        pthread_mutex_lock(&g->lock);
        atomic_fetch_add(&g->sleepers, 1);
        while (atomic_load(&g->value) == old) pthread_cond_wait(&g->cond, &g->lock);
        atomic_fetch_sub(&g->sleepers, 1);
        pthread_mutex_unlock(&g->lock);
        return;
    }
}

static uint32_t logical_cpus(void);

struct st_pool {
    st_mem *mem;
    pthread_t *threads; /* size - 1 of them */
    uint32_t size, started;
    gate start, done, step;
    _Atomic uint32_t running, arrived;
    _Atomic int quit;
    uint32_t nth;
    bool spin; /* there is a CPU for each thread: else one that spins keeps another from what it waits for */
    st_pool_fn fn;
    void *arg;
    uint64_t fp; /* the caller's floating-point state, for its callbacks */
    _Atomic uint32_t next_id;
    bool gates;
};

static void *worker(void *p)
{
    st_pool *pool = p;
    uint32_t id = atomic_fetch_add(&pool->next_id, 1) + 1, seen = 0;
    st_fp_enter();
    for (;;) {
        gate_wait(&pool->start, seen++, pool->spin);
        if (atomic_load(&pool->quit)) return NULL;
        st_fp_serve(pool->fp);
        if (id < pool->nth) pool->fn(pool->arg, id, pool->nth);
        if (atomic_fetch_sub(&pool->running, 1) == 1) gate_open(&pool->done);
    }
}

int st_pool_open(uint32_t n_threads, st_mem *mem, st_pool **out, strata_error *err)
{
    ST_FAIL_IF(n_threads == 0 || n_threads > ST_MAX_THREADS, err, STRATA_INVALID_ARG, "threads: %u, want 1..%u",
               n_threads, ST_MAX_THREADS);
    st_pool *p = st_calloc(mem, 1, sizeof *p);
    ST_FAIL_IF(!p, err, STRATA_NO_MEMORY, "no memory for a thread pool");
    p->mem = mem;
    p->size = n_threads;
    p->spin = n_threads <= logical_cpus();
    p->threads = st_calloc(mem, n_threads, sizeof *p->threads);
    if (!p->threads) goto fail;
    if (gate_init(&p->start)) goto fail;
    if (gate_init(&p->done)) {
        gate_free(&p->start);
        goto fail;
    }
    if (gate_init(&p->step)) {
        gate_free(&p->start);
        gate_free(&p->done);
        goto fail;
    }
    p->gates = true;
    for (; p->started + 1 < n_threads; p->started++)
        if (pthread_create(&p->threads[p->started], NULL, worker, p)) goto fail;
    *out = p;
    return STRATA_OK;
fail:
    st_pool_close(p);
    ST_FAIL(err, STRATA_NO_MEMORY, "cannot start a pool of %u threads", n_threads);
}

void st_pool_close(st_pool *p)
{
    if (!p) return;
    if (p->started) {
        atomic_store(&p->quit, 1);
        gate_open(&p->start);
        for (uint32_t i = 0; i < p->started; i++) pthread_join(p->threads[i], NULL);
    }
    if (p->gates) {
        gate_free(&p->start);
        gate_free(&p->done);
        gate_free(&p->step);
    }
    st_free(p->mem, p->threads);
    st_free(p->mem, p);
}

uint32_t st_pool_size(const st_pool *p)
{
    return p->size;
}

void st_pool_run(st_pool *p, uint32_t nth, st_pool_fn fn, void *arg)
{
    uint64_t fp = st_fp_enter();
    if (nth <= 1 || p->size == 1) {
        p->nth = 1;
        fn(arg, 0, 1);
    } else {
        p->nth = nth < p->size ? nth : p->size;
        p->fn = fn;
        p->arg = arg;
        p->fp = st_fp_caller();
        uint32_t before = atomic_load(&p->done.value);
        atomic_store(&p->arrived, 0);
        atomic_store(&p->running, p->started);
        gate_open(&p->start);
        fn(arg, 0, p->nth);
        gate_wait(&p->done, before, p->spin);
    }
    st_fp_leave(fp);
}

void st_pool_barrier(st_pool *p)
{
    if (p->nth <= 1) return;
    uint32_t before = atomic_load(&p->step.value);
    if (atomic_fetch_add(&p->arrived, 1) + 1 == p->nth) {
        atomic_store(&p->arrived, 0);
        gate_open(&p->step);
    } else {
        gate_wait(&p->step, before, p->spin);
    }
}

int st_lock_open(st_lock *l, strata_error *err)
{
    ST_FAIL_IF(pthread_mutex_init(&l->mutex, NULL) != 0, err, STRATA_NO_MEMORY, "no memory for a lock");
    return STRATA_OK;
}

void st_lock_close(st_lock *l)
{
    pthread_mutex_destroy(&l->mutex);
}

void st_lock_take(st_lock *l)
{
    pthread_mutex_lock(&l->mutex);
}

void st_lock_give(st_lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}

/* ---- cores ------------------------------------------------------------------------------------------------------- */

#if defined(__linux__)
static bool read_text(const char *path, char *buf, size_t cap)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(buf, 1, cap - 1, f);
    fclose(f);
    buf[n] = 0;
    return n > 0;
}

/* The first CPU of the core that `cpu` belongs to, or cpu itself when the system does not say. */
static int first_sibling(int cpu)
{
    char path[96], text[64];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    return read_text(path, text, sizeof text) ? atoi(text) : cpu;
}

/* CPUs that the cgroup's quota allows, rounded up; 0: no quota. v2 first, then v1. */
static uint32_t cgroup_cpus(void)
{
    char text[128];
    long long quota = 0, period = 0;
    if (read_text("/sys/fs/cgroup/cpu.max", text, sizeof text)) {
        if (sscanf(text, "%lld %lld", &quota, &period) != 2) return 0;
    } else if (read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", text, sizeof text)) {
        quota = atoll(text);
        if (read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", text, sizeof text)) period = atoll(text);
    }
    if (quota <= 0 || period <= 0) return 0;
    return (uint32_t)((quota + period - 1) / period);
}

/* That may run at once: hyperthreads count. */
static uint32_t logical_cpus(void)
{
    cpu_set_t set;
    uint32_t n = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1, quota = cgroup_cpus();
    return quota && quota < n ? quota : n;
}

uint32_t st_cpu_count(void)
{
    cpu_set_t set;
    uint32_t n = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int i = 0; i < CPU_SETSIZE; i++) {
            if (!CPU_ISSET(i, &set)) continue;
            int first = first_sibling(i);
            bool mine = first == i || first < 0 || first >= CPU_SETSIZE || !CPU_ISSET(first, &set);
            n += mine;
        }
    }
    if (n == 0) n = 1;
    uint32_t quota = cgroup_cpus();
    return quota && quota < n ? quota : n;
}
#else
static uint32_t logical_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

uint32_t st_cpu_count(void)
{
    return logical_cpus();
}
#endif

uint32_t st_thread_limit(void)
{
    uint32_t n = logical_cpus();
    return n > 8 ? n : 8;
}
