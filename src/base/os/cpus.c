/* cpus.c: counts the cores and CPUs of this process: affinity, topology, quotas. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/os/cpus.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include "base/os/cgroup.h"
#include "base/os/sysfile.h"

/* ---- quotas ------------------------------------------------------------------------------------------------------ */

typedef struct quota {
    long long used, period; /* period 0: none */
} quota;

/* Of one group: v2's cpu.max is "max 100000" or "50000 100000"; v1 has two files, and -1 for none. */
static quota cpus_read_quota(const char *root, bool v2, const char *folder)
{
    char path[ST_SYSFILE_PATH + 32], text[64];
    quota q = {0, 0};
    snprintf(path, sizeof path, "%s/%s", folder, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    if (!st_sysfile_text(root, path, text, sizeof text)) return q;
    char *end;
    q.used = strtoll(text, &end, 10);
    if (end == text || q.used <= 0) return (quota){0, 0};
    if (v2) {
        q.period = strtoll(end, NULL, 10);
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (st_sysfile_text(root, path, text, sizeof text)) q.period = strtoll(text, NULL, 10);
    }
    return q.period > 0 ? q : (quota){0, 0};
}

static uint32_t cpus_of(quota q)
{
    if (q.period == 0) return 0;
    long long n = q.used / q.period + (q.used % q.period != 0);
    return n < (long long)ST_MAX_CPUS ? (uint32_t)n : ST_MAX_CPUS;
}

static uint32_t cpus_least(uint32_t a, uint32_t b)
{
    return a == 0 || (b && b < a) ? b : a;
}

static void cpus_of_group(void *user, const char *root, bool v2, const char *folder)
{
    uint32_t *cpus = user;
    *cpus = cpus_least(*cpus, cpus_of(cpus_read_quota(root, v2, folder)));
}

uint32_t st_cgroup_cpus(const char *root)
{
    uint32_t cpus = 0;
    st_cgroup_walk(root, "cpu", cpus_of_group, &cpus);
    return cpus;
}

/* ---- cores ------------------------------------------------------------------------------------------------------- */

static bool cpus_has(const st_cpu_set *s, uint32_t i)
{
    return i < ST_MAX_CPUS && (s->bits[i / 64] >> (i % 64) & 1);
}

uint32_t st_count_cores(const char *root, const st_cpu_set *set)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ST_MAX_CPUS; i++) {
        if (i % 64 == 0 && set->bits[i / 64] == 0) {
            i += 63;
            continue;
        }
        if (!cpus_has(set, i)) continue;
        /* A core counts with the first of its siblings that may be used. */
        char path[96], text[256];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", i);
        bool first = true;
        if (st_sysfile_text(root, path, text, sizeof text)) {
            char *end;
            for (char *p = text; first; p = end + 1) { /* "0,64" or "0-1" */
                unsigned long lo = strtoul(p, &end, 10), hi = lo;
                if (end == p) break;
                if (*end == '-') hi = strtoul(end + 1, &end, 10);
                for (unsigned long k = lo; first && k <= hi && k < i; k++) first = !cpus_has(set, (uint32_t)k);
                if (*end != ',') break;
            }
        }
        n += first;
    }
    return n;
}

#if defined(__linux__)

static bool cpus_may_use(st_cpu_set *set)
{
    memset(set, 0, sizeof *set);
    /* The kernel takes any room that is large enough; words of a cpu_set_t are longs, so bytes lie as in st_cpu_set. */
    return sched_getaffinity(0, sizeof *set, (cpu_set_t *)(void *)set) == 0;
}

static uint32_t cpus_cut(uint32_t n)
{
    uint32_t quota = st_cgroup_cpus("");
    if (n == 0) n = 1;
    return quota && quota < n ? quota : n;
}

uint32_t st_logical_cpus(void)
{
    st_cpu_set set;
    uint32_t n = 0;
    if (cpus_may_use(&set))
        for (size_t i = 0; i < ST_MAX_CPUS / 64; i++) n += (uint32_t)__builtin_popcountll(set.bits[i]);
    return cpus_cut(n);
}

uint32_t st_cpu_count(void)
{
    st_cpu_set set;
    return cpus_cut(cpus_may_use(&set) ? st_count_cores("", &set) : 0);
}

#else

uint32_t st_logical_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

uint32_t st_cpu_count(void)
{
    return st_logical_cpus();
}

#endif

uint32_t st_thread_limit(void)
{
    uint32_t n = st_logical_cpus();
    return n > 8 ? n : 8;
}
