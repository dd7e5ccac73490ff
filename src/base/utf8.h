/* utf8.h: UTF-8, checked once at the door and trusted behind it.
 *
 * Invalid input is what WHATWG's decoder and Python's errors="replace" call invalid: each maximal part that starts no
 * valid sequence counts once (https://encoding.spec.whatwg.org/#utf-8-decoder, Unicode 3.9 table 3-7). */
#ifndef ST_BASE_UTF8_H
#define ST_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the valid sequence at p (1..4), or 0 with *bad = the bytes of the maximal invalid part. n >= 1. */
unsigned st_utf8_step(const uint8_t *p, size_t n, unsigned *bad);

/* Offset of the first invalid byte; n if there is none. */
size_t st_utf8_check(const char *text, size_t n);

/* Skips the byte order mark of a text that came out of an editor: a template, JSON, a grammar. Returns NULL, or why it
 * is not UTF-8: it has a mark of UTF-16, or NULs every other byte. */
const char *st_utf8_begin(const char **text, size_t *n);

/* Where byte `at` of a text is for people: line and column, in characters, from 1. */
void st_utf8_position(const char *text, size_t n, size_t at, size_t *line, size_t *column);

/* Length of a sequence by its first byte, in valid text. */
static inline unsigned st_utf8_len(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Code point at p, in valid text; *len is its length. */
static inline uint32_t st_utf8_get(const uint8_t *p, unsigned *len)
{
    uint32_t b = p[0];
    if (b < 0x80) return *len = 1, b;
    if (b < 0xe0) return *len = 2, (b & 31u) << 6 | (p[1] & 63u);
    if (b < 0xf0) return *len = 3, (b & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
    return *len = 4, (b & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
}

/* Writes cp to p[4]; returns the length. */
static inline unsigned st_utf8_put(uint8_t *p, uint32_t cp)
{
    if (cp < 0x80) return p[0] = (uint8_t)cp, 1;
    if (cp < 0x800) return p[0] = (uint8_t)(0xc0 | cp >> 6), p[1] = (uint8_t)(0x80 | (cp & 63)), 2;
    if (cp < 0x10000) {
        p[0] = (uint8_t)(0xe0 | cp >> 12);
        p[1] = (uint8_t)(0x80 | (cp >> 6 & 63));
        p[2] = (uint8_t)(0x80 | (cp & 63));
        return 3;
    }
    p[0] = (uint8_t)(0xf0 | cp >> 18);
    p[1] = (uint8_t)(0x80 | (cp >> 12 & 63));
    p[2] = (uint8_t)(0x80 | (cp >> 6 & 63));
    p[3] = (uint8_t)(0x80 | (cp & 63));
    return 4;
}

#endif
