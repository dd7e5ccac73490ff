/* sys/wait.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SYS_WAIT_H
#define STUB_SYS_WAIT_H

#include <sys/resource.h>

#define WIFEXITED(x)   (((x)&0177) == 0)
#define WEXITSTATUS(x) ((x) >> 8 & 0xff)
#define WIFSIGNALED(x) (((x)&0177) != 0177 && ((x)&0177) != 0)
#define WTERMSIG(x)    ((x)&0177)
#define WNOHANG        1
pid_t waitpid(pid_t pid, int *status, int options);
#if STUB_ALL
pid_t wait4(pid_t pid, int *status, int options, struct rusage *u);
#endif

#endif
