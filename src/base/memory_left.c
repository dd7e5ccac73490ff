#include "base/memory_left.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PATH 1024

#if defined(__linux__)
/* The number that stands behind `key` at the start of a line, or, with key "", first in the file. */
static bool read_number(const char *path, const char *key, uint64_t *v)
{
    char line[256];
    size_t len = strlen(key);
    bool found = false;
    FILE *f = fopen(path, "re");
    if (!f) return false;
    while (!found && fgets(line, sizeof line, f)) {
        char *end = line + len;
        if (strncmp(line, key, len) != 0) continue;
        *v = strtoull(line + len, &end, 10);
        found = end != line + len; /* "max" is no number: no limit */
        if (len == 0) break;
    }
    fclose(f);
    return found;
}

/* What the files of a control group are called. */
typedef struct group_files {
    const char *limit, *used;
    const char *inactive, *active; /* keys of memory.stat: files in memory */
} group_files;

static const group_files v2 = {"memory.max", "memory.current", "inactive_file ", "active_file "},
                         v1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ",
                               "total_active_file "};

/* Of one group; UINT64_MAX: no limit. */
static uint64_t group_left(const char *folder, const group_files *g)
{
    char path[MAX_PATH + 64];
    uint64_t limit, used, inactive = 0, active = 0;
    snprintf(path, sizeof path, "%s/%s", folder, g->limit);
    if (!read_number(path, "", &limit)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s/%s", folder, g->used);
    if (!read_number(path, "", &used)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    (void)read_number(path, g->inactive, &inactive);
    (void)read_number(path, g->active, &active);
    uint64_t files = inactive + active < used ? inactive + active : used;
    used -= files;
    return limit > used ? limit - used : 0;
}

/* Of a group and its parents up to the mount, whose own files hold the limit where a container sees no more. A path
 * that is not there, as in a container that keeps the host's names, leaves its parents. */
static uint64_t groups_left(const char *mount, const char *group, const group_files *g)
{
    char folder[MAX_PATH];
    uint64_t least = UINT64_MAX;
    int len = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (len < 0 || (size_t)len >= sizeof folder) len = snprintf(folder, sizeof folder, "%s", mount);
    const size_t top = strlen(mount);
    for (;;) {
        uint64_t left = group_left(folder, g);
        if (left < least) least = left;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top) return least;
        *slash = 0;
    }
}

/* Whether a list "cpu,memory" names memory. */
static bool is_memory(const char *list, size_t n)
{
    for (size_t at = 0, end; at < n; at = end + 1) {
        for (end = at; end < n && list[end] != ','; end++) continue;
        if (end - at == 6 && memcmp(list + at, "memory", 6) == 0) return true;
    }
    return false;
}

/* Lines of /proc/self/cgroup are "id:controllers:path"; v2 has the id 0 and no controllers. */
static uint64_t cgroup_left(const char *root)
{
    static const char *const v2_mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char path[MAX_PATH], line[MAX_PATH];
    uint64_t least = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f) return least;
    while (fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
        if (!group) continue;
        group[strcspn(group, "\n")] = 0;
        bool unified = strncmp(line, "0::", 3) == 0;
        if (!unified && !is_memory(list + 1, (size_t)(group - list - 1))) continue;
        for (int i = 0; i < (unified ? 2 : 1); i++) {
            char mount[MAX_PATH];
            snprintf(mount, sizeof mount, "%s%s", root, unified ? v2_mounts[i] : "/sys/fs/cgroup/memory");
            uint64_t left = groups_left(mount, group + 1, unified ? &v2 : &v1);
            if (left < least) least = left;
        }
    }
    fclose(f);
    return least;
}

static uint64_t machine_left(const char *root)
{
    char path[MAX_PATH];
    uint64_t kb;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (read_number(path, "MemAvailable:", &kb) || read_number(path, "MemFree:", &kb)) return kb * 1024;
    return UINT64_MAX;
}

uint64_t st_memory_left_below(const char *root)
{
    uint64_t machine = machine_left(root), groups = cgroup_left(root);
    return machine < groups ? machine : groups;
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
