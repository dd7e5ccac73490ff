/* test_threads.c: what the library's threads are: deaf to signals, and with stacks of their own size. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/os/thread.h"

static void look_at_itself(void *arg, uint32_t ith, uint32_t nth)
{
    (void)nth;
    size_t *stacks = arg;
    pthread_attr_t a;
    sigset_t set;
    if (ith == 0 || pthread_getattr_np(pthread_self(), &a)) return;
    pthread_attr_getstacksize(&a, &stacks[ith]);
    pthread_attr_destroy(&a);
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        bool none = sig == SIGKILL || sig == SIGSTOP || (sig > 31 && sig < SIGRTMIN);
        if (!none && !sigismember(&set, sig)) stacks[ith] = 0;
    }
}

/* Whatever the system's default is: musl's is 128 KiB. */
static void threads_of_our_own(void **state)
{
    (void)state;
#if defined(__GLIBC__)
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    assert_int_equal(pthread_setattr_default_np(&small), 0);
#endif
    sigset_t before, after;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    st_mem mem;
    st_pool *p;
    strata_error e;
    size_t stacks[4] = {0};
    st_mem_init(&mem, NULL, 0);
    assert_int_equal(st_pool_open(4, &mem, &p, &e), STRATA_OK);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int sig = 1; sig <= SIGRTMAX; sig++) assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
    assert_int_equal(st_pool_run(p, 4, look_at_itself, stacks, &e), STRATA_OK);
    for (int i = 1; i < 4; i++) assert_true(stacks[i] >= ST_THREAD_STACK);
    st_pool_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_of_our_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
