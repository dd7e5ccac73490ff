/* lines.h: lines of output that other processes can rely on: each is written by one write(2), of whole lines.
 *
 * A line is printed into memory first. Short ones go out together, as many as fit LINES_WRITE bytes, so that those of
 * processes that share a pipe do not mix (POSIX: up to PIPE_BUF bytes, 4,096 on Linux); a longer line goes out alone,
 * and in a file opened for appending it stays whole too. */
#ifndef CLI_IO_LINES_H
#define CLI_IO_LINES_H

#include <stdbool.h>
#include <stdio.h>

enum { LINES_WRITE = 4096 };

typedef struct lines {
    FILE *f; /* print here */
    FILE *out;
    char *text; /* of f */
    size_t size, n_held;
    char held[LINES_WRITE];
} lines;

/* Lines for a stream that nobody else writes meanwhile. These return false on failure, with errno set. */
bool lines_open(lines *l, FILE *out);
/* What was printed since the last call is whole lines. */
bool lines_end(lines *l);
/* All lines are out when it returns. */
bool lines_flush(lines *l);
void lines_close(lines *l); /* always, also of a zeroed one; writes nothing */

#endif
