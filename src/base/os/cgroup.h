/* cgroup.h: the control groups that limit this process, v1 and v2, nested or not, wherever they are mounted. */
#ifndef ST_BASE_OS_CGROUP_H
#define ST_BASE_OS_CGROUP_H

#include <stdbool.h>

/* One group: its folder, to be read below `root` (sysfile.h). */
typedef void (*st_cgroup_fn)(void *user, const char *root, bool v2, const char *folder);

/* The process's group and all groups around it, as far as what is mounted shows them, of v2 and of v1's hierarchy of
 * this controller: "cpu", "memory". What a controller has no files for in a group does not limit it. */
void st_cgroup_walk(const char *root, const char *controller, st_cgroup_fn fn, void *user);

#endif
