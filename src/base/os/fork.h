/* fork.h: has this process been forked since?
 *
 * After fork() the child has the memory of its parent but one thread alone. Whatever keeps threads, or a flag that a
 * thread is to take back, has a mark, whose number differs in each child. It is a page that the kernel wipes in
 * children (MADV_WIPEONFORK), so that asking costs a load and also a raw clone() is seen; where there is none, the pid.
 * pthread_atfork would need a list of all marks, global and locked, and is not run by clone(). */
#ifndef ST_BASE_OS_FORK_H
#define ST_BASE_OS_FORK_H

#include <stdint.h>

typedef struct st_fork {
    _Atomic uint32_t *page;  /* holds the number; 0 in a child that has not asked yet. NULL: the pid is the number */
    _Atomic uint32_t number; /* the last one that was taken */
} st_fork;

void st_fork_open(st_fork *f);
void st_fork_close(st_fork *f);

/* The number of this process: not 0, and none that a process it descends from had. Thread-safe. */
uint32_t st_fork_number(st_fork *f);

#endif
