/* encoding.h: what editors and shells of other systems put before or around UTF-8. */
#ifndef CLI_IO_ENCODING_H
#define CLI_IO_ENCODING_H

#include <stddef.h>

/* Bytes of the byte order mark that a text begins with: 3 or 0. */
size_t encoding_mark(const char *p, size_t n);

typedef struct encoding {
    const char *name;  /* "UTF-16 (little-endian)" */
    const char *iconv; /* what iconv -f calls it, with or without a byte order mark */
} encoding;

/* The encoding in which a file that begins with these bytes is not UTF-8; NULL: nothing says so. By its byte order
 * mark, or by where its zero bytes stand. */
const encoding *encoding_foreign(const char *text, size_t n);

#endif
