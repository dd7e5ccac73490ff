/* str.c: names that may be hostile, for messages. */
#include "base/str.h"

#include <string.h>

const char *st_str_print(st_str s, char *buf)
{
    size_t n = s.len < ST_STR_PRINT - 4 ? s.len : ST_STR_PRINT - 4;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        buf[i] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    if (n < s.len) {
        memcpy(buf + n, "...", 3);
        n += 3;
    }
    buf[n] = 0;
    return buf;
}
