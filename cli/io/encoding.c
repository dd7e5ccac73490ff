/* encoding.c: tells UTF-16 by its byte order mark or by its zero bytes. */
#include "io/encoding.h"

#include <stdbool.h>
#include <string.h>

size_t encoding_mark(const char *p, size_t n)
{
    return n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* Without a mark: half or more of the pairs have a zero in their high byte and none in their low one, as Latin text
 * has. A line feed as a high byte is none of UTF-16's that stands among Latin letters, but lines of UTF-8 with NULs
 * have it. */
static bool zeros_of_utf16(const unsigned char *p, size_t n, size_t high)
{
    size_t pairs = (n < 1024 ? n : 1024) / 2, zeros = 0;
    for (size_t i = 0; i < pairs; i++) {
        unsigned char h = p[2 * i + high], l = p[2 * i + 1 - high];
        if (l == 0 || h == '\n' || h == '\r') return false;
        zeros += h == 0;
    }
    return pairs >= 2 && zeros * 2 >= pairs;
}

/* The mark stays one in what iconv makes of these, which is UTF-8's, to be skipped. */
static const encoding utf16_little = {"UTF-16 (little-endian)", "UTF-16LE"},
                      utf16_big = {"UTF-16 (big-endian)", "UTF-16BE"},
                      utf32_little = {"UTF-32 (little-endian)", "UTF-32LE"},
                      utf32_big = {"UTF-32 (big-endian)", "UTF-32BE"};

const encoding *encoding_foreign(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n >= 4 && memcmp(p, "\xff\xfe\0\0", 4) == 0) return &utf32_little;
    if (n >= 4 && memcmp(p, "\0\0\xfe\xff", 4) == 0) return &utf32_big;
    if (n >= 2 && p[0] == 0xff && p[1] == 0xfe) return &utf16_little;
    if (n >= 2 && p[0] == 0xfe && p[1] == 0xff) return &utf16_big;
    if (zeros_of_utf16(p, n, 1)) return &utf16_little;
    if (zeros_of_utf16(p, n, 0)) return &utf16_big;
    return NULL;
}
