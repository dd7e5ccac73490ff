/* cgroup.c: reads /proc/self/mountinfo and /proc/self/cgroup, and walks from the process's group to the topmost. */
#include "base/os/cgroup.h"

#include <stdio.h>
#include <string.h>

#include "base/os/sysfile.h"

enum { PATH = ST_SYSFILE_PATH, MAX_DEPTH = 256 };

/* Where one kind of groups is mounted, and the process's group in it. */
typedef struct cgroup_hierarchy {
    const char *controller;
    bool v2, mounted, known;
    char top[PATH];   /* the group that is mounted, as the kernel names it */
    char point[PATH]; /* where */
    char group[PATH];
} cgroup_hierarchy;

/* Is the word in a comma-separated list? */
static bool cgroup_lists(const char *list, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list, *end = list + len; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        size_t k = (size_t)((comma ? comma : end) - p);
        if (k == n && memcmp(p, word, n) == 0) return true;
        p += k + 1;
    }
    return false;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void cgroup_unescape(char *out, const char *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < PATH; i++) {
        unsigned c = (unsigned char)p[i];
        if (c == '\\' && i + 3 < len && p[i + 1] >= '0' && p[i + 1] <= '3') {
            c = (unsigned)(p[i + 1] - '0') * 64 + (unsigned)(p[i + 2] - '0') * 8 + (unsigned)(p[i + 3] - '0');
            i += 3;
        }
        out[n++] = (char)c;
    }
    out[n] = 0;
}

/* "36 35 98:0 /top /point options [fields...] - type source super-options" */
static void cgroup_read_mount(void *user, const char *line)
{
    cgroup_hierarchy *h = user;
    const char *field[5], *p = line;
    size_t len[5];
    for (int i = 0; i < 5; i++) {
        field[i] = p;
        len[i] = strcspn(p, " ");
        p += len[i];
        if (*p == ' ') p++;
    }
    const char *dash = strstr(p, " - ");
    if (!dash) return;
    const char *type = dash + 3, *source = type + strcspn(type, " "), *super;
    size_t n = (size_t)(source - type);
    super = *source ? strchr(source + 1, ' ') : NULL;
    bool v2 = n == 7 && memcmp(type, "cgroup2", 7) == 0, v1 = n == 6 && memcmp(type, "cgroup", 6) == 0;
    if (h->mounted || !(h->v2 ? v2 : v1)) return;
    if (!h->v2 && !(super && cgroup_lists(super + 1, strlen(super + 1), h->controller))) return;
    h->mounted = true;
    cgroup_unescape(h->top, field[3], len[3]);
    cgroup_unescape(h->point, field[4], len[4]);
}

/* "4:cpu,cpuacct:/group", of v2 "0::/group" */
static void cgroup_read_group(void *user, const char *line)
{
    cgroup_hierarchy *h = user;
    const char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    if (!group) return;
    size_t len = (size_t)(group - list - 1);
    if (h->known || !(h->v2 ? len == 0 : cgroup_lists(list + 1, len, h->controller))) return;
    h->known = true;
    snprintf(h->group, sizeof h->group, "%.*s", PATH - 1, group + 1);
}

/* The group's folder: its path below the mounted one. A group outside of what is mounted (a container that shows the
 * host's names, or "/../x" beyond a namespace) is the mounted one as far as can be seen. */
static void cgroup_find_folder(const cgroup_hierarchy *h, char folder[PATH])
{
    const char *below = h->group;
    size_t n = strlen(h->top);
    if (n == 1) n = 0; /* "/" */
    bool inside = h->known && strncmp(below, h->top, n) == 0 && (below[n] == '/' || below[n] == 0);
    below = inside ? below + n : "";
    if (strncmp(below, "/..", 3) == 0) below = "";
    int len = snprintf(folder, PATH, "%s%s", h->point, below);
    if (len < 0 || len >= PATH) snprintf(folder, PATH, "%s", h->point);
}

static void cgroup_walk_one(const char *root, const char *controller, bool v2, st_cgroup_fn fn, void *user)
{
    cgroup_hierarchy h = {.controller = controller, .v2 = v2};
    char folder[PATH];
    st_sysfile_lines(root, "/proc/self/mountinfo", cgroup_read_mount, &h);
    if (!h.mounted) { /* no /proc: where they usually are */
        snprintf(h.point, sizeof h.point, "/sys/fs/cgroup%s%s", v2 ? "" : "/", v2 ? "" : controller);
        snprintf(h.top, sizeof h.top, "/");
    }
    st_sysfile_lines(root, "/proc/self/cgroup", cgroup_read_group, &h);
    cgroup_find_folder(&h, folder);
    size_t top = strlen(h.point), len = strlen(folder);
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        while (len > top && folder[len - 1] == '/') folder[--len] = 0;
        fn(user, root, v2, folder);
        if (len <= top) break;
        while (len > top && folder[len - 1] != '/') len--;
        folder[len] = 0;
    }
}

void st_cgroup_walk(const char *root, const char *controller, st_cgroup_fn fn, void *user)
{
    cgroup_walk_one(root, controller, true, fn, user);
    cgroup_walk_one(root, controller, false, fn, user);
}
