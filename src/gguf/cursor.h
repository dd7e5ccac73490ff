/* cursor.h: the bounded reader under the GGUF parser, and what its files share. The parser reads no byte of a file but
 * through it.
 *
 * Each take either moves the cursor and fills its output, or returns false and leaves both alone. Integers are put
 * together byte by byte, so alignment does not matter. (Arrays and tensor data are read in place by others: gguf.h says
 * what that asks of the host.) */
#ifndef ST_GGUF_CURSOR_H
#define ST_GGUF_CURSOR_H

#include "gguf/gguf.h"

typedef struct st_cursor {
    const uint8_t *at;
    size_t left;
} st_cursor;

static inline uint32_t st_le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t st_le32(const uint8_t *p)
{
    return st_le16(p) | st_le16(p + 2) << 16;
}

static inline uint64_t st_le64(const uint8_t *p)
{
    return (uint64_t)st_le32(p) | (uint64_t)st_le32(p + 4) << 32;
}

static inline bool st_take(st_cursor *c, uint64_t n, const uint8_t **p)
{
    if (n > c->left) return false;
    *p = c->at;
    c->at += n;
    c->left -= (size_t)n;
    return true;
}

static inline bool st_take_u32(st_cursor *c, uint32_t *v)
{
    const uint8_t *p;
    if (!st_take(c, 4, &p)) return false;
    *v = st_le32(p);
    return true;
}

static inline bool st_take_u64(st_cursor *c, uint64_t *v)
{
    const uint8_t *p;
    if (!st_take(c, 8, &p)) return false;
    *v = st_le64(p);
    return true;
}

/* A 64-bit length and that many bytes. */
static inline bool st_take_str(st_cursor *c, st_str *s)
{
    st_cursor in = *c;
    uint64_t len;
    const uint8_t *p;
    if (!st_take_u64(&in, &len) || !st_take(&in, len, &p)) return false;
    *s = (st_str){(const char *)p, (size_t)len};
    *c = in;
    return true;
}

/* Bytes of one value of a metadata type; 0 for strings, arrays and unknown types. */
static inline uint32_t st_gguf_type_size(uint32_t type)
{
    static const uint8_t size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof size ? size[type] : 0;
}

/* Slots of the hash tables over names hold the record's index + 1; 0 is free. Returns the slot of the name, or the free
 * slot where it belongs. `first` is the first of the records, whose first member is the name. */
uint32_t *st_gguf_probe(uint32_t *table, size_t slots, const void *first, size_t stride, st_str name);

/* "u32" and so on, "unknown". Static string. */
const char *st_gguf_type_name(uint32_t type);

#endif
