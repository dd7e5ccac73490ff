/* sysfile.c: reads small files without taking memory. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_CLOEXEC, ssize_t under -std=c11 */
#endif
#include "base/os/sysfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int sysfile_open(const char *root, const char *path)
{
    char full[ST_SYSFILE_PATH];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    return n < 0 || (size_t)n >= sizeof full ? -1 : open(full, O_RDONLY | O_CLOEXEC);
}

static size_t sysfile_read(int fd, char *p, size_t n)
{
    ssize_t got;
    do got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got > 0 ? (size_t)got : 0;
}

bool st_sysfile_text(const char *root, const char *path, char *text, size_t cap)
{
    int fd = sysfile_open(root, path);
    if (fd < 0) return false;
    size_t n = sysfile_read(fd, text, cap - 1);
    close(fd);
    text[n] = 0;
    return n > 0;
}

void st_sysfile_lines(const char *root, const char *path, void (*line)(void *user, const char *text), void *user)
{
    char block[1024], text[ST_SYSFILE_PATH + 256];
    int fd = sysfile_open(root, path);
    if (fd < 0) return;
    size_t n = 0, got;
    bool any = false; /* a line has begun */
    while ((got = sysfile_read(fd, block, sizeof block)) > 0)
        for (size_t i = 0; i < got; i++) {
            any = block[i] != '\n';
            if (any) {
                if (n < sizeof text) text[n++] = block[i];
                continue;
            }
            text[n < sizeof text ? n : 0] = 0;
            line(user, text);
            n = 0;
        }
    close(fd);
    text[n < sizeof text ? n : 0] = 0;
    if (any) line(user, text);
}

typedef struct sysfile_search {
    const char *key;
    uint64_t *v;
    bool found, past; /* past: of a file without keys, its first line */
} sysfile_search;

static void sysfile_match(void *user, const char *text)
{
    sysfile_search *s = user;
    size_t len = strlen(s->key);
    char *end;
    if (s->found || s->past || strncmp(text, s->key, len) != 0) return;
    s->past = len == 0;
    unsigned long long v = strtoull(text + len, &end, 10);
    s->found = end != text + len; /* "max" is no number */
    if (s->found) *s->v = v;
}

bool st_sysfile_number(const char *root, const char *path, const char *key, uint64_t *v)
{
    sysfile_search s = {.key = key, .v = v};
    st_sysfile_lines(root, path, sysfile_match, &s);
    return s.found;
}
