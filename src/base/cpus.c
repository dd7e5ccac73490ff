#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

/* Of a file's name and of a line that is looked at: PATH_MAX. */
enum { PATH = 4096, MAX_DEPTH = 256 };

/* ---- small files ------------------------------------------------------------------------------------------------- */

static int open_in(const char *root, const char *path)
{
    char full[PATH];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    return n < 0 || (size_t)n >= sizeof full ? -1 : open(full, O_RDONLY | O_CLOEXEC);
}

static ssize_t read_some(int fd, char *p, size_t n)
{
    ssize_t got;
    do got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

static bool read_text(const char *root, const char *path, char *text, size_t cap)
{
    int fd = open_in(root, path);
    if (fd < 0) return false;
    ssize_t n = read_some(fd, text, cap - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* Lines of a file, without memory of its own; what is longer than a path can be is left out. */
typedef struct lines {
    int fd;
    size_t at, len;
    char block[1024], line[PATH + 256];
} lines;

static bool next_line(lines *l)
{
    size_t n = 0;
    for (bool any = false;; any = true) {
        if (l->at == l->len) {
            ssize_t got = read_some(l->fd, l->block, sizeof l->block);
            l->at = 0;
            l->len = got > 0 ? (size_t)got : 0;
            if (l->len == 0) {
                l->line[n < sizeof l->line ? n : 0] = 0;
                return any;
            }
        }
        char c = l->block[l->at++];
        if (c == '\n') break;
        if (n < sizeof l->line) l->line[n++] = c;
    }
    l->line[n < sizeof l->line ? n : 0] = 0;
    return true;
}

/* ---- control groups ---------------------------------------------------------------------------------------------- */

/* Where one kind of groups is mounted, and the process's group in it. */
typedef struct hierarchy {
    bool v2, mounted, known;
    char top[PATH];   /* the group that is mounted, as the kernel names it */
    char point[PATH]; /* where */
    char group[PATH];
} hierarchy;

/* A comma-separated list. */
static bool lists(const char *list, size_t len, const char *word)
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
static void copy_unescaped(char *out, const char *p, size_t len)
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
static void read_mount(hierarchy *h, const char *line)
{
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
    if (!h->v2 && !(super && lists(super + 1, strlen(super + 1), "cpu"))) return;
    h->mounted = true;
    copy_unescaped(h->top, field[3], len[3]);
    copy_unescaped(h->point, field[4], len[4]);
}

/* "4:cpu,cpuacct:/group", of v2 "0::/group" */
static void read_group(hierarchy *h, const char *line)
{
    const char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    if (!group) return;
    size_t len = (size_t)(group - list - 1);
    if (h->known || !(h->v2 ? len == 0 : lists(list + 1, len, "cpu"))) return;
    h->known = true;
    snprintf(h->group, sizeof h->group, "%.*s", PATH - 1, group + 1);
}

static void read_lines(const char *root, const char *path, hierarchy *h, void (*read_one)(hierarchy *, const char *))
{
    lines l = {.fd = open_in(root, path)};
    if (l.fd < 0) return;
    while (next_line(&l)) read_one(h, l.line);
    close(l.fd);
}

typedef struct quota {
    long long used, period; /* period 0: none */
} quota;

/* Of one group: v2's cpu.max is "max 100000" or "50000 100000"; v1 has two files, and -1 for none. */
static quota read_quota(const char *root, bool v2, const char *folder)
{
    char path[PATH + 32], text[64];
    quota q = {0, 0};
    snprintf(path, sizeof path, "%s/%s", folder, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    if (!read_text(root, path, text, sizeof text)) return q;
    char *end;
    q.used = strtoll(text, &end, 10);
    if (end == text || q.used <= 0) return (quota){0, 0};
    if (v2) {
        q.period = strtoll(end, NULL, 10);
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (read_text(root, path, text, sizeof text)) q.period = strtoll(text, NULL, 10);
    }
    return q.period > 0 ? q : (quota){0, 0};
}

static uint32_t cpus_of(quota q)
{
    if (q.period == 0) return 0;
    long long n = q.used / q.period + (q.used % q.period != 0);
    return n < (long long)ST_MAX_CPUS ? (uint32_t)n : ST_MAX_CPUS;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a == 0 || (b && b < a) ? b : a;
}

/* The group's folder: its path below the mounted one. A group outside of what is mounted (a container that shows the
 * host's names, or "/../x" beyond a namespace) is the mounted one as far as can be seen. */
static void find_folder(const hierarchy *h, char folder[PATH])
{
    const char *below = h->group;
    size_t n = strlen(h->top);
    if (n == 1) n = 0; /* "/" */
    bool inside = h->known && strncmp(below, h->top, n) == 0 && (below[n] == '/' || below[n] == 0);
    below += n;
    if (!inside || strncmp(below, "/..", 3) == 0) below = "";
    int len = snprintf(folder, PATH, "%s%s", h->point, below);
    if (len < 0 || len >= PATH) snprintf(folder, PATH, "%s", h->point);
}

static uint32_t hierarchy_cpus(const char *root, bool v2)
{
    hierarchy h = {.v2 = v2};
    char folder[PATH];
    read_lines(root, "/proc/self/mountinfo", &h, read_mount);
    if (!h.mounted) { /* no /proc: where they usually are */
        snprintf(h.point, sizeof h.point, "%s", v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu");
        snprintf(h.top, sizeof h.top, "/");
    }
    read_lines(root, "/proc/self/cgroup", &h, read_group);
    find_folder(&h, folder);
    size_t top = strlen(h.point), len = strlen(folder);
    uint32_t cpus = 0;
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        while (len > top && folder[len - 1] == '/') folder[--len] = 0;
        cpus = least(cpus, cpus_of(read_quota(root, v2, folder)));
        if (len <= top) break;
        while (len > top && folder[len - 1] != '/') len--;
        folder[len] = 0;
    }
    return cpus;
}

uint32_t st_cgroup_cpus(const char *root)
{
    return least(hierarchy_cpus(root, true), hierarchy_cpus(root, false));
}

/* ---- cores ------------------------------------------------------------------------------------------------------- */

static bool has(const st_cpu_set *s, uint32_t i)
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
        if (!has(set, i)) continue;
        /* A core counts with the first of its siblings that may be used. */
        char path[96], text[256];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", i);
        bool first = true;
        if (read_text(root, path, text, sizeof text)) {
            char *end;
            for (char *p = text; first; p = end + 1) { /* "0,64" or "0-1" */
                unsigned long lo = strtoul(p, &end, 10), hi = lo;
                if (end == p) break;
                if (*end == '-') hi = strtoul(end + 1, &end, 10);
                for (unsigned long k = lo; first && k <= hi && k < i; k++) first = !has(set, (uint32_t)k);
                if (*end != ',') break;
            }
        }
        n += first;
    }
    return n;
}

#if defined(__linux__)

static bool may_use(st_cpu_set *set)
{
    memset(set, 0, sizeof *set);
    /* The kernel takes any room that is large enough; words of a cpu_set_t are longs, so bytes lie as in st_cpu_set. */
    return sched_getaffinity(0, sizeof *set, (cpu_set_t *)(void *)set) == 0;
}

static uint32_t cut(uint32_t n)
{
    uint32_t quota = st_cgroup_cpus("");
    if (n == 0) n = 1;
    return quota && quota < n ? quota : n;
}

uint32_t st_logical_cpus(void)
{
    st_cpu_set set;
    uint32_t n = 0;
    if (may_use(&set))
        for (size_t i = 0; i < ST_MAX_CPUS / 64; i++) n += (uint32_t)__builtin_popcountll(set.bits[i]);
    return cut(n);
}

uint32_t st_cpu_count(void)
{
    st_cpu_set set;
    return cut(may_use(&set) ? st_count_cores("", &set) : 0);
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
