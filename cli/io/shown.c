/* shown.c: masks what would steer a terminal. */
#include "io/shown.h"

#include <string.h>

#include "io/json.h"

/* The next character as it is shown. */
static size_t shown_next(const char *s, size_t len, const char **as, size_t *n)
{
    const unsigned char *b = (const unsigned char *)s;
    size_t k = utf8_len(s, s + len);
    int control =
        k == 0 || (k == 1 && (b[0] < 0x20 || b[0] == 0x7f)) || (k == 2 && b[0] == 0xc2 && b[1] < 0xa0) ||
        (k == 2 && b[0] == 0xd8 && b[1] == 0x9c) || (k == 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) ||
        (k == 3 && b[0] == 0xe2 && b[1] == 0x80 && (b[2] == 0x8e || b[2] == 0x8f || (b[2] >= 0xa8 && b[2] <= 0xae))) ||
        (k == 3 && b[0] == 0xe2 && b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9);
    *as = control ? "?" : s;
    *n = control ? 1 : k;
    return k ? k : 1;
}

void shown_put(FILE *f, const char *s, size_t len)
{
    const char *as;
    size_t n;
    for (size_t at = 0; at < len;) {
        at += shown_next(s + at, len - at, &as, &n);
        fwrite(as, 1, n, f);
    }
}

const char *shown_copy(char *out, size_t cap, const char *s)
{
    const char *as;
    size_t n, at = 0, len = strlen(s);
    for (size_t i = 0; i < len;) {
        i += shown_next(s + i, len - i, &as, &n);
        if (at + n >= cap) break;
        memcpy(out + at, as, n);
        at += n;
    }
    out[at] = 0;
    return out;
}
