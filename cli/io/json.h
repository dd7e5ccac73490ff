/* json.h: what the program takes out of one line of jsonl, and how it writes JSON strings and numbers.
 *
 * Reading is base/json.h's, strict and without a tree: a line is walked once, all of it is checked, and the one member
 * that is wanted is kept. Nesting goes JSON_MAX_DEPTH deep. Strings must be UTF-8 unless `lossy`; \u0000 is a byte
 * like any other; a lone surrogate is an error, or U+FFFD when lossy. A wanted key that stands twice is refused. */
#ifndef CLI_IO_JSON_H
#define CLI_IO_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "io/buf.h"

#define JSON_MAX_DEPTH 256

typedef struct json_error {
    char msg[160]; /* "byte 12: ..." */
} json_error;

/* The string member `field` of the object in line [len], appended to *text. When lossy, bytes that are not UTF-8 are
 * kept as they are, for the library to replace. On failure *text is what it was. */
bool json_get_string(const char *line, size_t len, const char *field, bool lossy, buf *text, json_error *err);

/* The member `field` as it is written, any value, appended to *out (when lossy, U+FFFD for each maximal part that
 * is not UTF-8). Returns 1, 0 if there is none, -1 on failure. */
int json_get_raw(const char *line, size_t len, const char *field, bool lossy, buf *out, json_error *err);

/* What the string in text [len] means, appended to *out. */
bool json_decode(const char *text, size_t len, bool lossy, buf *out, json_error *err);

/* Part of a document. */
typedef struct json_part {
    const char *p;
    size_t len;
} json_part;

/* The elements of the array in text [len], as they are written, in place of *parts [*cap]. */
bool json_elements(const char *text, size_t len, bool lossy, json_part **parts, size_t *cap, size_t *n,
                   json_error *err);

/* An array of 32-bit integers, alone or as the member `field` of an object, appended to *out. */
bool json_get_ints(const char *line, size_t len, const char *field, ints *out, json_error *err);

/* Checks one whole document. */
bool json_check(const char *text, size_t len, json_error *err);

/* Writes a quoted string; bytes that are not UTF-8 become U+FFFD. */
void json_put_string(FILE *f, const char *s, size_t len);

/* A number with nine digits, which give every float back; "null" for NaN and infinities, which JSON has no name for. */
const char *json_number(double v, char out[32]);
/* [a,b,...] of such. */
void json_put_floats(FILE *f, const float *v, size_t n);
void json_put_ints(FILE *f, const int32_t *v, size_t n);

/* Bytes of the UTF-8 sequence at p, 0 if there is no valid one. */
size_t utf8_len(const char *p, const char *end);

#endif
