/* trial.h: does a piece of code survive on this machine? */
#ifndef ST_BASE_OS_TRIAL_H
#define ST_BASE_OS_TRIAL_H

#include <stdbool.h>

/* Runs fn in a child process that is gone when this returns; true if fn came back with true. A fault ends the child
 * alone: no handler of the host sees it, no core is written, and neither SIGCHLD nor a wait of the host's meets the
 * child. fn has the process to itself but no other threads, so it may not take locks: no memory, no output. False where
 * no child can be had (no Linux, a sandbox). Thread-safe. */
bool st_trial(bool (*fn)(void));

#endif
