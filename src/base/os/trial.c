/* trial.c: runs a function in a child process that the host does not notice. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* __WALL, syscall */
#endif
#include "base/os/trial.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

bool st_trial(bool (*fn)(void))
{
    sigset_t all, before;
    sigfillset(&all); /* a signal to the whole process group would run the host's handler in the child too */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    /* As fork(), but without a signal when the child ends (flags 0), so that only a wait which asks for such children
     * finds it; and past the C library, whose fork handlers belong to the host. */
    long pid = syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L);
    if (pid == 0) {
        static const int faults[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP, SIGSYS};
        sigset_t set;
        sigemptyset(&set);
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
            signal(faults[i], SIG_DFL); /* the host's handlers came along */
            sigaddset(&set, faults[i]);
        }
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
        _exit(fn() ? 0 : 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) return false;
    int status = 0;
    pid_t got;
    do got = waitpid((pid_t)pid, &status, __WALL);
    while (got < 0 && errno == EINTR);
    return got == (pid_t)pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#else

bool st_trial(bool (*fn)(void))
{
    (void)fn;
    return false;
}

#endif
