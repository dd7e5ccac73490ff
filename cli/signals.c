/* signals.c: what the program does with each signal. */
#define _DEFAULT_SOURCE /* sigaction, the signals beyond POSIX */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* timeout(1) signals the process and its group; a terminal that closes, and systemd, send two kinds: what comes this
 * soon after the first is the same request. */
#define SAME_WISH_SECONDS 0.3

static const int asking[] = {
    SIGHUP,    SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGXCPU,
#ifdef SIGPOLL
    SIGPOLL,
#endif
#ifdef SIGPWR
    SIGPWR,
#endif
#ifdef SIGSTKFLT
    SIGSTKFLT,
#endif
#ifdef SIGEMT
    SIGEMT,
#endif
};
enum { N_ASKING = sizeof asking / sizeof asking[0], MAX_WATCHED = 4 };

static const st_outfile *volatile watched[MAX_WATCHED];
static volatile int at_once, keep_interrupt;
static volatile double asked_at;

static double signals_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* async-signal-safe */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Ends the process by the signal; safe in a handler. */
static void signals_end_by(int sig)
{
    for (int i = 0; i < MAX_WATCHED; i++)
        if (watched[i]) st_outfile_unlink(watched[i]);
    struct sigaction a = {.sa_handler = SIG_DFL};
    sigset_t one;
    sigemptyset(&a.sa_mask);
    sigemptyset(&one);
    sigaddset(&one, sig);
    sigaction(sig, &a, NULL);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    raise(sig);
}

static void signals_on_ask(int sig)
{
    int none = 0, before = errno, interrupt = SIGINT;
    if (at_once) signals_end_by(sig);
    if (__atomic_compare_exchange_n(&cli_cancel, &none, sig, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        asked_at = signals_now();
    else if (keep_interrupt && sig == SIGINT)
        (void)sig;
    else if (keep_interrupt && none == SIGINT) /* the one that came stays: it ends the program */
        __atomic_compare_exchange_n(&cli_cancel, &interrupt, sig, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    else if (signals_now() - asked_at > SAME_WISH_SECONDS)
        signals_end_by(sig);
    errno = before;
}

/* With a write that fails it comes as if the process had sent it; sent by others it is a request like any other. */
static void signals_on_file_size(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_pid != getpid()) signals_on_ask(sig);
}

static void signals_set(int sig, struct sigaction *a)
{
    struct sigaction old;
    if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN && !(old.sa_flags & SA_SIGINFO)) return;
    sigaction(sig, a, NULL);
}

/* No SA_RESTART: a read that waits for input must come back. */
void signals_begin(void)
{
    struct sigaction ask = {.sa_handler = signals_on_ask},
                     size = {.sa_sigaction = signals_on_file_size, .sa_flags = SA_SIGINFO},
                     end = {.sa_handler = signals_end_by};
    sigemptyset(&ask.sa_mask);
    sigemptyset(&size.sa_mask);
    sigemptyset(&end.sa_mask);
    for (int i = 0; i < N_ASKING; i++) signals_set(asking[i], &ask);
#ifdef SIGRTMIN
    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) signals_set(sig, &ask);
#endif
    signals_set(SIGXFSZ, &size);
    signals_set(SIGPIPE, &end);
}

void signals_end(void)
{
    int sig = cli_cancel;
    if (!sig) return;
    (void)fflush(stdout);
    signals_end_by(sig);
}

void signals_at_once(bool on)
{
    at_once = on;
    if (on && cli_cancel) signals_end_by(cli_cancel);
}

void signals_keep_interrupt(void)
{
    keep_interrupt = 1;
}

void signals_forget_interrupt(void)
{
    int sig = SIGINT;
    __atomic_compare_exchange_n(&cli_cancel, &sig, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void signals_watch(const st_outfile *o)
{
    for (int i = 0; i < MAX_WATCHED; i++)
        if (!watched[i]) {
            watched[i] = o;
            return;
        }
}

void signals_unwatch(const st_outfile *o)
{
    for (int i = 0; i < MAX_WATCHED; i++)
        if (watched[i] == o) watched[i] = NULL;
}
