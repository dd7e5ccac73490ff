/* output.h: where data goes: the standard output, or a file that appears whole or not at all (base/os/outfile.h).
 *
 * A file that the command reads is not one that it may write: whoever opens one for reading says so, and output_open
 * refuses it, whichever name it has. */
#ifndef CLI_IO_OUTPUT_H
#define CLI_IO_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/os/outfile.h"
#include "options.h"

typedef struct output {
    FILE *f;
    char *path; /* NULL: the standard output */
    st_outfile file;
} output;

/* path NULL or "-": the standard output, which may not be a terminal if `binary`. Returns an exit code; a message has
 * been written. */
int output_open(output *o, const command *c, const char *path, bool binary);

/* What a message calls that path. */
const char *output_name(const char *path);

/* keep: the file takes its name; else nothing is left of it. Returns an exit code. */
int output_close(output *o, bool keep);

/* This file is read: by its path, or open already. Of a part of a split model the other parts count too. */
void output_reads(const char *path);
void output_reads_fd(int fd, const char *path);

/* But it may be replaced all the same. */
void output_may_replace(const char *path);

#endif
