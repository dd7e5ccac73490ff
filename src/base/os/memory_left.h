/* memory_left.h: how much memory this process may still take before the system ends it. */
#ifndef ST_BASE_OS_MEMORY_LEFT_H
#define ST_BASE_OS_MEMORY_LEFT_H

#include <stdint.h>

/* The least of what the machine has left (MemAvailable) and what is left of the limits of the process's control groups,
 * v2 and v1, parents included; files in memory count as left, since the system takes them back. Where the system says
 * nothing of this: its memory, or UINT64_MAX. */
uint64_t st_memory_left(void);

/* The same with /proc and /sys below another folder, for tests. */
uint64_t st_memory_left_below(const char *root);

#endif
