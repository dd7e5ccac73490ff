/* test_trial.c: code that may fault runs in a child which the host does not notice. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/amx.h"
#include "base/os/cpu_features.h"
#include "base/os/trial.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

/* Seen by the child too. */
static volatile int *shared;

static void on_signal(int sig)
{
    (void)sig;
    shared[0]++;
}
static bool good(void)
{
    shared[1]++;
    return true;
}
static bool says_no(void)
{
    return false;
}
static bool illegal(void)
{
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#else
    __asm__ volatile("udf #0");
#endif
    return true;
}
static bool wild(void)
{
    volatile uintptr_t nowhere = 16;
    *(volatile int *)nowhere = 1;
    return true;
}
static bool raises(void)
{
    kill(getpid(), SIGILL); /* musl's raise() would take the thread of the parent, whose number it remembers */
    return true;
}

static void test_verdicts(void **state)
{
    (void)state;
    int before = shared[1];
    assert_true(st_trial(good));
    assert_int_equal(shared[1], before + 1); /* it did run */
    assert_false(st_trial(says_no));
    assert_false(st_trial(illegal));
    assert_false(st_trial(wild));
    assert_false(st_trial(raises));
}

/* Handlers and the signal mask of the host stay as they are, run for nothing, and a wait for children finds none. */
static void test_unnoticed(void **state)
{
    (void)state;
    static const int sigs[] = {SIGILL, SIGSEGV, SIGCHLD};
    struct sigaction mine = {.sa_handler = on_signal}, old[3], now;
    sigset_t mask, mask_after;
    for (int i = 0; i < 3; i++) assert_int_equal(sigaction(sigs[i], &mine, &old[i]), 0);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    shared[0] = 0;
    assert_false(st_trial(illegal));
    assert_false(st_trial(wild));
    assert_true(st_trial(good));
    assert_int_equal(shared[0], 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    sigprocmask(SIG_SETMASK, NULL, &mask_after);
    for (int s = 1; s < 32; s++) assert_int_equal(sigismember(&mask, s), sigismember(&mask_after, s));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sigaction(sigs[i], &old[i], &now), 0);
        assert_true(now.sa_handler == on_signal);
    }
}

/* A host that ignores SIGCHLD, whose children vanish without a status, still gets verdicts. */
static void test_ignored_children(void **state)
{
    (void)state;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    assert_int_equal(sigaction(SIGCHLD, &ignore, &old), 0);
    bool ok = st_trial(good), bad = st_trial(illegal);
    assert_int_equal(sigaction(SIGCHLD, &old, NULL), 0);
    assert_true(ok);
    assert_false(bad);
}

static void test_amx(void **state)
{
    (void)state;
    bool listed = st_cpu_features() & ST_CPU_AMX, granted = listed && st_amx_claim();
    printf("  AMX is %s\n", granted ? "granted" : listed ? "listed, not granted" : "not listed");
    if (listed) assert_int_equal(st_amx_claim(), granted);
    if (!listed) assert_false(st_amx_claim()); /* asked all the same, a machine without says no */
}

/* Page faults of children that have ended: a trial cannot do without. */
static long child_faults(void)
{
    struct rusage r;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &r), 0);
    return r.ru_minflt;
}

/* The answer stands, a refusal too: asking again starts no child. */
static void test_amx_once(void **state)
{
    (void)state;
    bool first = st_amx_claim();
    long before = child_faults();
    for (int i = 0; i < 3; i++) assert_int_equal(st_amx_claim(), first);
    long after = child_faults();
    assert_true(st_trial(good));
    if (child_faults() == after) {
        printf("\n  NOT TESTED: no second child for AMX: this system does not count the faults of children\n");
        skip();
    }
    assert_int_equal(after, before);
}

int main(void)
{
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ((void *)(uintptr_t)shared == MAP_FAILED) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_unnoticed), cmocka_unit_test(test_ignored_children),
        cmocka_unit_test(test_amx),      cmocka_unit_test(test_amx_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static bool good(void)
{
    return true;
}
static void test_no_children(void **state)
{
    (void)state;
    assert_false(st_trial(good));
    assert_false(st_amx_claim());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_children)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
