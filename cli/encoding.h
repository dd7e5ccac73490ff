/* encoding.h: what editors and shells of other systems put before or around UTF-8. */
#ifndef CLI_ENCODING_H
#define CLI_ENCODING_H

#include <stddef.h>

/* Bytes of the byte order mark that a text begins with: 3 or 0. */
size_t encoding_mark(const char *p, size_t n);

/* The name of the encoding in which a file that begins with these bytes is not UTF-8: "UTF-16 (little-endian)"; NULL:
 * nothing says so. By its byte order mark, or by where its zero bytes stand. */
const char *encoding_foreign(const char *p, size_t n);

#endif
