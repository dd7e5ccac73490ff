/* quant_rows.h: what the type files share: the functions that their rows name and the steps that several of them take.
 *
 * A type file says how one block is laid out: a function block_TYPE that unpacks it, and ST_QUANT_TYPE(TYPE), which
 * makes the rest from the row of types.def; where the row has a target also st_quantize_TYPE. A block is bytes,
 * little-endian, without alignment. Layouts and names are those of ggml-common.h; the order of the float operations is
 * that of gguf-py's quants.py, with which the results agree bit for bit. */
#ifndef ST_QUANT_QUANT_ROWS_H
#define ST_QUANT_QUANT_ROWS_H

#include <string.h>

#include "base/half.h"
#include "quant/quant.h"

/* The functions of each type. Of those whose target is `none` there is no quantiser. */
#define ST_QUANT_FLOAT(id, type, ...)                              \
    void st_dequant_##type(const void *src, float *dst, size_t n); \
    void st_quantize_##type(const float *src, void *dst, size_t n);
#define ST_QUANT_BLOCKS(id, type, ...)                              \
    void st_dequant_##type(const void *src, float *dst, size_t n);  \
    void st_quantize_##type(const float *src, void *dst, size_t n); \
    void st_unpack_##type(const void *src, int8_t *q, float *scale, float *min, size_t n);
#include "quant/types.def"

/* What ST_QUANT_TYPE takes of a row, under the name of the type: compilers see constants. */
enum {
#define ST_QUANT_BLOCKS(id, type, NAME, block, bytes, group, min, ...)                                    \
    ST_ID_##type = (id), ST_BLOCK_##type = (block), ST_BYTES_##type = (bytes), ST_GROUP_##type = (group), \
    ST_MIN_##type = (min),
#include "quant/types.def"
};

/* Most values and groups that a block has. */
#define ST_QUANT_MAX_BLOCK  256
#define ST_QUANT_MAX_GROUPS 16

/* The functions of a type with an integer form. block_TYPE(p, q, scale, min) unpacks one block; min is NULL where the
 * row has none. */
#define ST_QUANT_TYPE(TYPE)                                                                                           \
    _Static_assert(ST_BLOCK_##TYPE <= ST_QUANT_MAX_BLOCK && ST_BLOCK_##TYPE % ST_GROUP_##TYPE == 0 &&                 \
                       ST_BLOCK_##TYPE / ST_GROUP_##TYPE <= ST_QUANT_MAX_GROUPS,                                      \
                   "blocks of whole groups, at most 256 values and 16 groups");                                       \
    void st_unpack_##TYPE(const void *src, int8_t *q, float *scale, float *min, size_t n)                             \
    {                                                                                                                 \
        const uint8_t *p = src;                                                                                       \
        for (size_t at = 0; at < n; at += ST_BLOCK_##TYPE, p += ST_BYTES_##TYPE)                                      \
            block_##TYPE(p, q + at, scale + at / ST_GROUP_##TYPE, ST_MIN_##TYPE ? min + at / ST_GROUP_##TYPE : NULL); \
    }                                                                                                                 \
    void st_dequant_##TYPE(const void *src, float *dst, size_t n)                                                     \
    {                                                                                                                 \
        st_dequant_unpacked(st_quant_get(ST_ID_##TYPE), src, dst, n);                                                 \
    }                                                                                                                 \
    _Static_assert(1, "") /* takes the semicolon */

/* dequant in terms of unpack: scale * q, or scale * q - min. */
void st_dequant_unpacked(const st_quant *type, const void *src, float *dst, size_t n);

static inline uint16_t st_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t st_get_u32(const uint8_t *p)
{
    return (uint32_t)st_get_u16(p) | (uint32_t)st_get_u16(p + 2) << 16;
}

static inline void st_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void st_put_u32(uint8_t *p, uint32_t v)
{
    st_put_u16(p, (uint16_t)v);
    st_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline float st_get_f16(const uint8_t *p)
{
    return st_f16_to_f32(st_get_u16(p));
}

static inline void st_put_f16(uint8_t *p, float f)
{
    st_put_u16(p, st_f32_to_f16(f));
}

/* Towards zero into lo..hi. Converting what does not fit is undefined in C, so NaN must go somewhere: lo. */
static inline int st_clip_int(float x, int lo, int hi)
{
    if (x >= (float)hi) return hi;
    return x > (float)lo ? (int)x : lo;
}

/* ---- blocks of 32 with q in 4 bits, or in 5 with the top bits in a word of their own: q4.c, q5.c ----------------- */

/* n <= 64 low nibbles at p, then the n high ones. The copy tells the compiler that q is elsewhere, so that it takes
 * vectors; so do those in k_quants.c. */
static inline void st_unpack_nibbles(const uint8_t *p, int8_t *q, int n, int offset)
{
    uint8_t b[64];
    memcpy(b, p, (size_t)n);
    for (int i = 0; i < n; i++) q[i] = (int8_t)((b[i] & 15) - offset);
    for (int i = 0; i < n; i++) q[n + i] = (int8_t)((b[i] >> 4) - offset);
}

/* 32 values -> q in 0..2*half-1; returns the scale. The value of largest magnitude, with its sign, becomes 0. */
float st_quantize_symmetric(const float *x, int half, uint8_t *q);

/* 32 values -> q in 0..top; returns the scale. */
float st_quantize_affine(const float *x, int top, uint8_t *q, float *min);

#endif
