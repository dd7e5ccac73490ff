/* thread.h: a pool of threads that run one function together, and the barrier inside it.
 *
 * st_pool_run wakes the workers, runs fn(arg, ith, nth) on each and on the caller (ith = 0), and returns when all are
 * done. Waiting spins for about 20 us and then sleeps: llama.cpp's pure spinning falls to 8 % of its speed on two
 * loaded cores. Each worker and the caller run with round-to-nearest and denormals kept, whatever the host set; the
 * caller's state is restored. One call at a time for each pool.
 *
 * Workers block all signals, which are the host's, and have stacks of ST_THREAD_STACK bytes whatever the system's
 * default is. After fork() the child has no workers: the pool starts others with its next run, and a run that was going
 * on (fork in a callback) fails there. */
#ifndef ST_BASE_OS_THREAD_H
#define ST_BASE_OS_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/fp.h"
#include "base/os/mem.h"

#define ST_MAX_THREADS 1024u

/* Address space rather than memory: what is not touched takes none. docs/CHOICES.md says what workers need. */
#define ST_THREAD_STACK ((size_t)1 << 20)

typedef struct st_pool st_pool;
typedef void (*st_pool_fn)(void *arg, uint32_t ith, uint32_t nth);

/* n_threads >= 1 counts the caller. Errors: NO_MEMORY (also when threads cannot be started). */
int st_pool_open(uint32_t n_threads, st_mem *mem, st_pool **out, strata_error *err);
void st_pool_close(st_pool *p);
uint32_t st_pool_size(const st_pool *p);

/* Runs fn on the first `nth` threads (1..size). Errors, in a forked child alone: NO_MEMORY (no thread can be started),
 * INVALID_ARG (forked meanwhile, by fn: what the other threads had to do was not done). */
int st_pool_run(st_pool *p, uint32_t nth, st_pool_fn fn, void *arg, strata_error *err);

/* Inside fn: waits until all nth threads of the run are here. What they wrote before is visible after. Not to be called
 * where st_pool_lost says so. */
void st_pool_barrier(st_pool *p);

/* This is a child of the process that the last run began in. */
bool st_pool_forked(st_pool *p);

/* Inside fn, after a callback that may have forked: the other threads of the run are not in this process. fn then has
 * to return, without a barrier or a lock. */
bool st_pool_lost(st_pool *p);

/* INVALID_ARG with a message, for what was forked. */
int st_forked_error(strata_error *err);

/* A lock between threads. st_lock_open gives NO_MEMORY when the system has none left. */
typedef struct st_lock {
    pthread_mutex_t mutex;
} st_lock;
int st_lock_open(st_lock *l, strata_error *err);
void st_lock_close(st_lock *l);
void st_lock_take(st_lock *l);
void st_lock_give(st_lock *l);

/* Monotonic seconds. */
double st_now(void);

#endif
