/* cpus.h: how many threads are worth having.
 *
 * What the process may use: the CPUs of its affinity, cut by the CPU quota of its control groups, v1 and v2, nested or
 * not. The functions with `root` read the system's files below that folder, "" being the system itself. */
#ifndef ST_BASE_OS_CPUS_H
#define ST_BASE_OS_CPUS_H

#include <stddef.h>
#include <stdint.h>

/* CPUs that a set of them can name: far more than Linux is built for (8,192). */
#define ST_MAX_CPUS 65536u

/* Bit i % 64 of word i / 64 is CPU i. */
typedef struct st_cpu_set {
    uint64_t bits[ST_MAX_CPUS / 64];
} st_cpu_set;

/* Physical cores that this process may use: one per core of siblings, cut by the quota; >= 1. */
uint32_t st_cpu_count(void);

/* CPUs that it may use at once: hyperthreads count; >= 1. */
uint32_t st_logical_cpus(void);

/* Threads of a pool beyond which more only wait for each other: as many, but at least 8. */
uint32_t st_thread_limit(void);

/* Cores that the CPUs of a set belong to. */
uint32_t st_count_cores(const char *root, const st_cpu_set *set);

/* CPUs that the quotas allow, rounded up: the least of the process's group and all groups around it; 0: no quota. */
uint32_t st_cgroup_cpus(const char *root);

#endif
