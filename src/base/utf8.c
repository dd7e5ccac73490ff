/* utf8.c: validation, and the mark at the beginning of a text. token/utf8_fix.c replaces what is invalid. */
#include "base/utf8.h"

#include <string.h>

unsigned st_utf8_step(const uint8_t *p, size_t n, unsigned *bad)
{
    uint8_t b = p[0];
    if (b < 0x80) return 1;
    unsigned len = b < 0xc2 ? 0 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : b < 0xf5 ? 4 : 0;
    /* The second byte's range excludes overlong forms, surrogates and code points beyond U+10FFFF. */
    uint8_t lo = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80, hi = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    unsigned i = 1;
    for (; i < len && i < n && p[i] >= lo && p[i] <= hi; i++) lo = 0x80, hi = 0xbf;
    if (len && i == len) return len;
    *bad = i;
    return 0;
}

size_t st_utf8_check(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    while (i < n) {
        uint64_t w;
        while (i + 8 <= n && (memcpy(&w, p + i, 8), !(w & 0x8080808080808080u))) i += 8;
        if (i == n) break;
        unsigned bad, len = st_utf8_step(p + i, n - i, &bad);
        if (!len) return i;
        i += len;
    }
    return n;
}

const char *st_utf8_begin(const char **text, size_t *n)
{
    const uint8_t *p = (const uint8_t *)*text;
    bool marked = *n >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff));
    bool zeros = *n >= 4 && !p[0] != !p[1] && !p[0] == !p[2] && !p[1] == !p[3];
    if (marked || zeros) return "the text is UTF-16, want UTF-8";
    if (*n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) *text += 3, *n -= 3;
    return NULL;
}
