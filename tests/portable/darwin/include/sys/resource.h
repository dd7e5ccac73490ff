/* sys/resource.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SYS_RESOURCE_H
#define STUB_SYS_RESOURCE_H

#include <sys/types.h>

struct timeval {
    time_t tv_sec;
    suseconds_t tv_usec;
};
struct rusage {
    struct timeval ru_utime, ru_stime;
    long ru_maxrss;
};
#define RUSAGE_SELF     0
#define RUSAGE_CHILDREN (-1)
int getrusage(int who, struct rusage *u);

#endif
