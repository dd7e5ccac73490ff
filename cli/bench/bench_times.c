/* bench_times.c: rows of a report, and the times that they are made of. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/bench_parts.h"

bench_row *bench_add(bench_rows *r, const char *what)
{
    r->p = must_grow(r->p, &r->cap, r->n + 1, sizeof *r->p);
    bench_row *row = &r->p[r->n++];
    *row = (bench_row){.what = what};
    return row;
}

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void bench_time(bench_times *t, double seconds)
{
    t->p = must_grow(t->p, &t->cap, t->n + 1, sizeof *t->p);
    t->p[t->n++] = seconds;
}

static int times_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_times_take(bench_times *t, double *best, double *median)
{
    *best = *median = 0;
    if (t->n) {
        qsort(t->p, t->n, sizeof *t->p, times_ascending);
        *best = t->p[0];
        *median = t->n % 2 ? t->p[t->n / 2] : (t->p[t->n / 2 - 1] + t->p[t->n / 2]) / 2;
    }
    free(t->p);
    *t = (bench_times){0};
}

double bench_peak_mb(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
#if defined(__APPLE__)
    return (double)u.ru_maxrss / 1e6;
#else
    return (double)u.ru_maxrss * 1024 / 1e6;
#endif
}
