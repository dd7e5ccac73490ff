/* shown.h: strings of a file for people: what would steer a terminal is written as '?'. JSON has them as they are,
 * escaped. */
#ifndef CLI_IO_SHOWN_H
#define CLI_IO_SHOWN_H

#include <stddef.h>
#include <stdio.h>

/* Control characters (C0, DEL, C1), line separators, marks of text direction and what is not UTF-8 become '?'. */
void shown_put(FILE *f, const char *s, size_t len);

/* Into out [cap], cut at a character. Returns out. */
const char *shown_copy(char *out, size_t cap, const char *s);

#endif
