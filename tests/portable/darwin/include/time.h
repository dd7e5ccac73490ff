/* time.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_TIME_H
#define STUB_TIME_H

#include <sys/types.h>

struct timespec {
    time_t tv_sec;
    long tv_nsec;
};
struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
    long tm_gmtoff;
    char *tm_zone;
};
typedef enum {
    CLOCK_REALTIME = 0,
    CLOCK_MONOTONIC = 6,
    CLOCK_PROCESS_CPUTIME_ID = 12,
    CLOCK_THREAD_CPUTIME_ID = 16
} clockid_t;
int clock_gettime(clockid_t id, struct timespec *t);
int nanosleep(const struct timespec *t, struct timespec *left);
time_t time(time_t *t);
time_t mktime(struct tm *t);
struct tm *gmtime_r(const time_t *t, struct tm *out);
struct tm *localtime_r(const time_t *t, struct tm *out);
size_t strftime(char *s, size_t n, const char *format, const struct tm *t);
void tzset(void);
#if STUB_ALL
time_t timegm(struct tm *t);
#endif

#endif
