/* utf8.c: validation, the mark at the beginning of a text, and where in a text something is. token/utf8_fix.c replaces
 * what is invalid. */
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
        for (; i < n && p[i] < 0x80; i++) continue;
        for (unsigned bad, len; i < n && p[i] >= 0x80; i += len) { /* what is not ASCII comes in runs */
            const uint8_t *q = p + i;
            /* Quickly what most of them are, East Asian: behind these bytes no second one is special. */
            bool plain = n - i >= 3 && q[0] >= 0xe1 && q[0] <= 0xec && (q[1] & 0xc0) == 0x80 && (q[2] & 0xc0) == 0x80;
            len = plain ? 3 : st_utf8_step(q, n - i, &bad);
            if (!len) return i;
        }
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

void st_utf8_position(const char *text, size_t n, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < n; i++) {
        if (text[i] == '\n')
            ++*line, *column = 1;
        else if (((uint8_t)text[i] & 0xc0) != 0x80)
            ++*column;
    }
}
