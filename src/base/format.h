/* format.h: printf for messages: what does not fit is cut where that does least harm, and what came from a file or a
 * caller cannot steer a terminal.
 *
 * Strings (%s, %.*s) are shortened in their middle, with "..." there and never inside a character: first the one that
 * the message begins with, which names the file, then the longest of the others. Numbers and the message's own words
 * stay. Of strings, control characters (C0, DEL, C1), line separators and marks that turn the direction of text are
 * written as '?', and so is what is not UTF-8. */
#ifndef ST_BASE_FORMAT_H
#define ST_BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* All of printf's conversions of ints, doubles, characters and strings but %n, %a and wide ones; strings have no width.
 * Writes less than `cap` bytes and a NUL; returns their number. */
size_t st_vformat(char *out, size_t cap, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));
size_t st_format(char *out, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
