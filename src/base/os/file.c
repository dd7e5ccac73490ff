/* file.c: maps a file, or reads it whole. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* madvise, O_CLOEXEC under -std=c11 */
#endif
#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/outfile.h"

static int file_read_all(int fd, uint8_t *dst, size_t size, const char *path, strata_error *err)
{
    char why[ST_OUTFILE_REASON];
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, dst + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        ST_FAIL_IF(n < 0, err, STRATA_IO, "%s: cannot read: %s", path, st_outfile_reason(errno, why));
        ST_FAIL_IF(n == 0, err, STRATA_IO, "%s: became shorter while it was read", path);
        at += (size_t)n;
    }
    return STRATA_OK;
}

static int file_fill(st_file *f, int fd, const char *path, bool copy, st_mem *mem, strata_error *err)
{
    struct stat st;
    char why[ST_OUTFILE_REASON];
    ST_FAIL_IF(fstat(fd, &st) != 0, err, STRATA_IO, "%s: cannot stat: %s", path, st_outfile_reason(errno, why));
    ST_FAIL_IF(S_ISDIR(st.st_mode), err, STRATA_IO, "%s: is a directory, not a model file", path);
    ST_FAIL_IF(!S_ISREG(st.st_mode), err, STRATA_IO, "%s: is not a regular file", path);
    f->size = (size_t)st.st_size;
    f->device = (uint64_t)st.st_dev;
    f->inode = (uint64_t)st.st_ino;
    if (f->size == 0) return STRATA_OK;
    if (copy) {
        uint8_t *p = st_alloc_huge(mem, f->size, 1);
        ST_FAIL_IF(!p, err, STRATA_NO_MEMORY, "%s: no memory for its %zu bytes", path, f->size);
        f->data = p;
        f->copied = true;
        return file_read_all(fd, p, f->size, path, err);
    }
    void *p = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
    ST_FAIL_IF(p == MAP_FAILED, err, STRATA_IO, "%s: cannot map: %s", path, st_outfile_reason(errno, why));
    f->data = p;
    f->mapped = true;
    return STRATA_OK;
}

int st_file_open(st_file *f, const char *path, bool copy, st_mem *mem, strata_error *err)
{
    *f = (st_file){.mem = mem};
    char why[ST_OUTFILE_REASON];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a fifo must not hang us */
    ST_FAIL_IF(fd < 0, err, STRATA_IO, "%s: cannot open: %s", path, st_outfile_reason(errno, why));
    int rc = file_fill(f, fd, path, copy, mem, err);
    close(fd);
    if (rc) st_file_close(f);
    return rc;
}

void st_file_borrow(st_file *f, const void *data, size_t size)
{
    *f = (st_file){.data = data, .size = size};
}

void st_file_close(st_file *f)
{
    if (f->mapped) munmap((void *)(uintptr_t)f->data, f->size);
    if (f->copied) st_free(f->mem, (void *)(uintptr_t)f->data);
    *f = (st_file){0};
}

bool st_file_is(const st_file *f, const char *path)
{
    struct stat st;
    return (f->mapped || f->copied) && stat(path, &st) == 0 && f->device == (uint64_t)st.st_dev &&
           f->inode == (uint64_t)st.st_ino;
}

void st_file_release(const st_file *f, const void *p, size_t n)
{
    if (!f->mapped || n == 0) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), lo = (uintptr_t)p & ~(page - 1);
    /* Only ever a hint; the length is rounded up to whole pages. */
    (void)madvise((void *)lo, (uintptr_t)p + n - lo, MADV_DONTNEED);
}
