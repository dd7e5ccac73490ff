/* memory_left.c: MemAvailable, and the limits of control groups. */
#include "base/os/memory_left.h"

#include <stdio.h>
#include <unistd.h>

#include "base/os/cgroup.h"
#include "base/os/sysfile.h"

#if defined(__linux__)
/* What the files of a control group are called. */
typedef struct memory_files {
    const char *limit, *used;
    const char *inactive, *active; /* keys of memory.stat: files in memory */
} memory_files;

static const memory_files v2_files = {"memory.max", "memory.current", "inactive_file ", "active_file "},
                          v1_files = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ",
                                      "total_active_file "};

static bool memory_number(const char *root, const char *folder, const char *file, const char *key, uint64_t *v)
{
    char path[ST_SYSFILE_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return st_sysfile_number(root, path, key, v);
}

static void memory_of_group(void *user, const char *root, bool v2, const char *folder)
{
    uint64_t *least = user, limit, used, inactive = 0, active = 0;
    const memory_files *g = v2 ? &v2_files : &v1_files;
    if (!memory_number(root, folder, g->limit, "", &limit)) return; /* "max": no limit */
    if (!memory_number(root, folder, g->used, "", &used)) return;
    (void)memory_number(root, folder, "memory.stat", g->inactive, &inactive);
    (void)memory_number(root, folder, "memory.stat", g->active, &active);
    used -= inactive + active < used ? inactive + active : used;
    uint64_t left = limit > used ? limit - used : 0;
    if (left < *least) *least = left;
}

uint64_t st_memory_left_below(const char *root)
{
    uint64_t least = UINT64_MAX, kb;
    if (st_sysfile_number(root, "/proc/meminfo", "MemAvailable:", &kb) ||
        st_sysfile_number(root, "/proc/meminfo", "MemFree:", &kb))
        least = kb * 1024;
    st_cgroup_walk(root, "memory", memory_of_group, &least);
    return least;
}
#else
uint64_t st_memory_left_below(const char *root)
{
    (void)root;
#if defined(_SC_PHYS_PAGES)
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (pages > 0 && size > 0) return (uint64_t)pages * (uint64_t)size;
#endif
    return UINT64_MAX;
}
#endif

uint64_t st_memory_left(void)
{
    return st_memory_left_below("");
}
