/* output.h: where data goes: the standard output, or a file that appears whole or not at all.
 *
 * A regular file is written beside its final name and renamed at the end; a pipe or device is written directly. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "options.h"

typedef struct output {
    FILE *f;
    char *path, *tmp; /* tmp NULL: written directly */
} output;

/* path NULL or "-": the standard output, which may not be a terminal if `binary`. Returns an exit code; a message has
 * been written. */
int output_open(output *o, const command *c, const char *path, bool binary);

/* What a message calls that path. */
const char *output_name(const char *path);

/* keep: the file takes its name; else nothing is left of it. Returns an exit code. */
int output_close(output *o, bool keep);

#endif
