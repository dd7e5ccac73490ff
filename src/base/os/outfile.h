/* outfile.h: a file that is written: it appears whole under its name, or not at all.
 *
 * A regular file is written without a name where the file system can (so that nothing is left of it however the process
 * ends), else beside its final name, and takes that name at the end. What it replaces gives it its mode and owner; a
 * link keeps pointing where it does, also to what is not there yet. A device or a pipe is written as it stands.
 *
 * No write raises SIGPIPE or SIGXFSZ: they are errors like any other. After a fork() the child leaves the file alone.
 *
 * This module needs nothing but the C library, also no other header of strata: cli/io/output.c includes it too, so that
 * library and program write files by one rule. */
#ifndef ST_BASE_OS_OUTFILE_H
#define ST_BASE_OS_OUTFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ST_OUTFILE_NAME = 256,     /* bytes of a file's name at most, its end included: NAME_MAX + 1 */
    ST_OUTFILE_TMP = 32,       /* and of a temporary one, which does not grow with it */
    ST_OUTFILE_BUFFER = 65536, /* a good buffer */
    ST_OUTFILE_REASON = 128
};

typedef struct st_outfile {
    int fd;    /* -1: not open */
    int dir;   /* the folder of `name`; -1: written as it stands */
    int error; /* errno of the first write that failed */
    long pid;  /* of the process that opened it */
    const volatile int *cancel;
    char name[ST_OUTFILE_NAME];
    char tmp[ST_OUTFILE_TMP]; /* "": the file has no name yet */
    unsigned mode, uid, gid;  /* of what is replaced */
    bool replaces;            /* something of that name was there */
    uint8_t *buffer;          /* the caller's; NULL: writes go straight to the file */
    size_t cap, len;
} st_outfile;

enum {
    ST_OUTFILE_NAMED = 1 /* a temporary name from the start, as file systems that know no nameless files have it */
};

/* Opens it; nothing is to be seen under its name yet. All return 0 or an errno. cancel: the caller's flag, may be NULL;
 * once it is set, waits for a reader end (EINTR). */
int st_outfile_open(st_outfile *o, const char *path, unsigned flags, const volatile int *cancel);

/* Appends; after a failure nothing more is written, and each call gives the same errno. */
int st_outfile_write(st_outfile *o, const void *p, size_t n);

/* Writes what waits in the buffer. */
int st_outfile_flush(st_outfile *o);

/* All that was written is on the disk and takes the name, or, after any failure, nothing is left. Closed then. */
int st_outfile_commit(st_outfile *o);

/* Nothing is left. Does nothing where it is not open. */
void st_outfile_abort(st_outfile *o);

/* For a handler of a signal that ends the process: removes the temporary name. Async-signal-safe. */
void st_outfile_unlink(const st_outfile *o);

/* A file for reading and writing that has no name, in $TMPDIR or /tmp; -1 and errno. */
int st_outfile_scratch(void);

/* Why, for people: "No space left on device" and so on. Thread-safe, unlike strerror. */
const char *st_outfile_reason(int code, char text[ST_OUTFILE_REASON]);

#endif
