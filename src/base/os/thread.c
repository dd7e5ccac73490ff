/* thread.c: the pool, its gate and its barrier; locks; the clock. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* _SC_THREAD_STACK_MIN, clock_gettime under -std=c11 */
#endif
#include "base/os/thread.h"

#include <limits.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/os/cpus.h"
#include "base/os/fork.h"

/* Longest spin before sleeping. A futex wake costs 17-33 us on a 2-core VM, a barrier that spins 0.2 us. */
#define SPIN_SECONDS 20e-6

static void thread_relax(void)
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
            thread_relax();
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
    st_fork mark;
    uint32_t born; /* number of the process that started the threads, */
    uint32_t last; /* and of that which began the last run */
};

bool st_pool_forked(st_pool *p)
{
    return st_fork_number(&p->mark) != p->last;
}

bool st_pool_lost(st_pool *p)
{
    return p->nth > 1 && st_pool_forked(p);
}

int st_forked_error(strata_error *err)
{
    ST_FAIL(err, STRATA_INVALID_ARG, "this process was forked inside the call: only the parent can go on with it");
}

static void *thread_worker(void *p)
{
    st_pool *pool = p;
    uint32_t id = atomic_fetch_add(&pool->next_id, 1) + 1, seen = 0;
    st_fp_enter();
    for (;;) {
        gate_wait(&pool->start, seen++, pool->spin);
        if (atomic_load(&pool->quit)) return NULL;
        st_fp_serve(pool->fp);
        if (id < pool->nth) pool->fn(pool->arg, id, pool->nth);
        if (st_pool_lost(pool)) return NULL; /* a child of this thread: nobody else is there */
        if (atomic_fetch_sub(&pool->running, 1) == 1) gate_open(&pool->done);
    }
}

/* A thread of our own: no signal of the host's, a stack of our size. */
static int start_thread(pthread_t *t, void *(*fn)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t attr;
    if (pthread_attr_init(&attr)) return -1;
    /* What the system itself wants of a stack grows with the registers that it saves for signals. */
    long least = -1;
#if defined(_SC_THREAD_STACK_MIN)
    least = sysconf(_SC_THREAD_STACK_MIN);
#endif
    (void)pthread_attr_setstacksize(&attr, ST_THREAD_STACK + (least > 0 ? st_round_up((size_t)least, 1u << 16) : 0));
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(t, &attr, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

/* Gates and threads; in a child over what was copied of the parent's, whose locks may have been taken. */
static bool thread_start_all(st_pool *p)
{
    p->born = p->last = st_fork_number(&p->mark);
    p->started = 0;
    p->gates = false;
    atomic_store(&p->quit, 0);
    atomic_store(&p->next_id, 0);
    if (gate_init(&p->start)) return false;
    if (gate_init(&p->done)) {
        gate_free(&p->start);
        return false;
    }
    if (gate_init(&p->step)) {
        gate_free(&p->start);
        gate_free(&p->done);
        return false;
    }
    p->gates = true;
    for (; p->started + 1 < p->size; p->started++)
        if (start_thread(&p->threads[p->started], thread_worker, p)) return false;
    return true;
}

static void thread_stop_all(st_pool *p)
{
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
    p->started = 0;
    p->gates = false;
}

int st_pool_open(uint32_t n_threads, st_mem *mem, st_pool **out, strata_error *err)
{
    ST_FAIL_IF(n_threads == 0 || n_threads > ST_MAX_THREADS, err, STRATA_INVALID_ARG, "threads: %u, want 1..%u",
               n_threads, ST_MAX_THREADS);
    st_pool *p = st_calloc(mem, 1, sizeof *p);
    ST_FAIL_IF(!p, err, STRATA_NO_MEMORY, "no memory for a thread pool");
    p->mem = mem;
    p->size = n_threads;
    p->spin = n_threads <= st_logical_cpus();
    st_fork_open(&p->mark);
    p->threads = st_calloc(mem, n_threads, sizeof *p->threads);
    if (!p->threads || !thread_start_all(p)) {
        st_pool_close(p);
        ST_FAIL(err, STRATA_NO_MEMORY, "cannot start a pool of %u threads", n_threads);
    }
    *out = p;
    return STRATA_OK;
}

void st_pool_close(st_pool *p)
{
    if (!p) return;
    /* In a child there are no threads to join, and a gate that one slept at must not be waited for. */
    if (p->threads && st_fork_number(&p->mark) == p->born) thread_stop_all(p);
    st_fork_close(&p->mark);
    st_free(p->mem, p->threads);
    st_free(p->mem, p);
}

uint32_t st_pool_size(const st_pool *p)
{
    return p->size;
}

static int thread_run_all(st_pool *p, uint32_t nth, st_pool_fn fn, void *arg, strata_error *err)
{
    if (p->last != p->born && !thread_start_all(p)) {
        thread_stop_all(p);
        p->born = 0; /* no process's number: the next run tries again */
        ST_FAIL(err, STRATA_NO_MEMORY, "cannot start a pool of %u threads in this forked process", p->size);
    }
    p->nth = nth < p->size ? nth : p->size;
    p->fn = fn;
    p->arg = arg;
    p->fp = st_fp_caller();
    uint32_t before = atomic_load(&p->done.value);
    atomic_store(&p->arrived, 0);
    atomic_store(&p->running, p->started);
    gate_open(&p->start);
    fn(arg, 0, p->nth);
    if (st_pool_lost(p)) return st_forked_error(err);
    gate_wait(&p->done, before, p->spin);
    return STRATA_OK;
}

int st_pool_run(st_pool *p, uint32_t nth, st_pool_fn fn, void *arg, strata_error *err)
{
    uint64_t fp = st_fp_enter();
    int rc = STRATA_OK;
    p->last = st_fork_number(&p->mark);
    if (nth <= 1 || p->size == 1) {
        p->nth = 1;
        fn(arg, 0, 1);
    } else {
        rc = thread_run_all(p, nth, fn, arg, err);
    }
    st_fp_leave(fp);
    return rc;
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
