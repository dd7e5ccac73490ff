/* file.h: a file as bytes in memory.
 *
 * Mapped read-only, or read into memory when asked to. A mapped file that another process truncates faults on access
 * (SIGBUS); callers who cannot rule that out open with copy = true. */
#ifndef ST_BASE_OS_FILE_H
#define ST_BASE_OS_FILE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/os/mem.h"

typedef struct st_file {
    const uint8_t *data;
    size_t size;
    bool mapped; /* data is a mapping */
    bool copied; /* data is from mem */
    uint64_t device, inode;
    st_mem *mem;
} st_file;

/* Fills *f, which st_file_close releases. Errors: IO (message names the path and the reason), NO_MEMORY. */
int st_file_open(st_file *f, const char *path, bool copy, st_mem *mem, strata_error *err);

/* Bytes that the caller keeps alive. */
void st_file_borrow(st_file *f, const void *data, size_t size);

void st_file_close(st_file *f);

/* Does the path lead to this very file, by whatever name? Not for borrowed bytes. */
bool st_file_is(const st_file *f, const char *path);

/* Lets the system take back the pages that hold [p, p+n): these, with what else lies on the first and the last of them,
 * are read again from the file if touched. No effect on memory that is not mapped. `f` may be any of several files that
 * were opened alike. */
void st_file_release(const st_file *f, const void *p, size_t n);

#endif
