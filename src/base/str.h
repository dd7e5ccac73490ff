/* str.h: a view of bytes that somebody else owns. */
#ifndef ST_BASE_STR_H
#define ST_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

/* Not NUL-terminated; any bytes. */
typedef struct st_str {
    const char *ptr;
    size_t len;
} st_str;

static inline bool st_str_eq(st_str s, const char *z)
{
    size_t n = __builtin_strlen(z);
    return s.len == n && (n == 0 || __builtin_memcmp(s.ptr, z, n) == 0);
}

/* A name that may be hostile, for messages: at most 64 bytes of it, what is not printable ASCII as '?', "..." where it
 * was cut. Fills and returns buf, which has ST_STR_PRINT bytes. */
#define ST_STR_PRINT 68
const char *st_str_print(st_str s, char *buf);

/* For printf("%.*s"): at most 64 bytes of a name, as they are. */
#define ST_STR(s) (int)((s).len < 64 ? (s).len : 64), (s).ptr

#endif
