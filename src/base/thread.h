/* thread.h: a pool of threads that run one function together, and the barrier inside it.
 *
 * st_pool_run wakes the workers, runs fn(arg, ith, nth) on each and on the caller (ith = 0), and returns when all are
 * done. Waiting spins for about 20 us and then sleeps: llama.cpp's pure spinning falls to 8 % of its speed on two
 * loaded cores. Each worker and the caller run with round-to-nearest and denormals kept, whatever the host set; the
 * caller's state is restored. One call at a time for each pool. */
#ifndef ST_BASE_THREAD_H
#define ST_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "base/fp.h"
#include "base/mem.h"

#define ST_MAX_THREADS 1024u

typedef struct st_pool st_pool;
typedef void (*st_pool_fn)(void *arg, uint32_t ith, uint32_t nth);

/* n_threads >= 1 counts the caller. Errors: NO_MEMORY (also when threads cannot be started). */
int st_pool_open(uint32_t n_threads, st_mem *mem, st_pool **out, strata_error *err);
void st_pool_close(st_pool *p);
uint32_t st_pool_size(const st_pool *p);

/* Runs fn on the first `nth` threads (1..size). */
void st_pool_run(st_pool *p, uint32_t nth, st_pool_fn fn, void *arg);

/* Inside fn: waits until all nth threads of the run are here. What they wrote before is visible after. */
void st_pool_barrier(st_pool *p);

/* A lock between threads. st_lock_open gives NO_MEMORY when the system has none left. */
typedef struct st_lock {
    pthread_mutex_t mutex;
} st_lock;
int st_lock_open(st_lock *l, strata_error *err);
void st_lock_close(st_lock *l);
void st_lock_take(st_lock *l);
void st_lock_give(st_lock *l);

/* Physical cores that this process may use: affinity, one per core of siblings, cut by the cgroup's CPU quota; >= 1. */
uint32_t st_cpu_count(void);

/* Threads of a pool beyond which more only wait for each other: the CPUs that this process may use at once,
 * hyperthreads counted, but at least 8. */
uint32_t st_thread_limit(void);

/* Monotonic seconds. */
double st_now(void);

#endif
