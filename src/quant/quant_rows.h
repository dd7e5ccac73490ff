/* quant_rows.h: what the type files share: the rows that they define and the steps that several of them take.
 *
 * A type file says how one block is laid out: a function block_ID that unpacks it, and ST_QUANT_ROW, which makes the
 * rest of the row. A block is bytes, little-endian, without alignment. Layouts and names are those of ggml-common.h;
 * the order of the float operations is that of gguf-py's quants.py, with which the results agree bit for bit. */
#ifndef ST_QUANT_QUANT_ROWS_H
#define ST_QUANT_QUANT_ROWS_H

#include <string.h>

#include "base/half.h"
#include "quant/quant.h"

extern const st_quant st_quant_f32, st_quant_f16, st_quant_bf16;
extern const st_quant st_quant_q8_0, st_quant_q4_0, st_quant_q4_1, st_quant_q5_0, st_quant_q5_1;
extern const st_quant st_quant_q2_k, st_quant_q3_k, st_quant_q4_k, st_quant_q5_k, st_quant_q6_k;
extern const st_quant st_quant_iq1_s, st_quant_iq1_m, st_quant_iq2_xxs, st_quant_iq2_xs, st_quant_iq2_s;
extern const st_quant st_quant_iq3_xxs, st_quant_iq3_s, st_quant_iq4_nl, st_quant_iq4_xs;
extern const st_quant st_quant_tq1_0, st_quant_tq2_0, st_quant_mxfp4, st_quant_nvfp4;

/* Most values and groups that a block has. */
#define ST_QUANT_MAX_BLOCK  256
#define ST_QUANT_MAX_GROUPS 16

/* The row of a type with an integer form. block_ID(p, q, scale, min) unpacks one block; min is NULL without HAS_MIN. */
#define ST_QUANT_ROW(ID, NAME, BLOCK, BYTES, GROUP, HAS_MIN, QUANTIZE) \
    ST_QUANT_ROW_K(ID, NAME, BLOCK, BYTES, GROUP, HAS_MIN, -1, QUANTIZE)
#define ST_QUANT_ROW_K(ID, NAME, BLOCK, BYTES, GROUP, HAS_MIN, FACTORS_AT, QUANTIZE)             \
    static void unpack_##ID(const void *src, int8_t *q, float *scale, float *min, size_t n)      \
    {                                                                                            \
        const uint8_t *p = src;                                                                  \
        for (size_t at = 0; at < n; at += (BLOCK), p += (BYTES))                                 \
            block_##ID(p, q + at, scale + at / (GROUP), (HAS_MIN) ? min + at / (GROUP) : NULL);  \
    }                                                                                            \
    static void dequant_##ID(const void *src, float *dst, size_t n)                              \
    {                                                                                            \
        st_dequant_unpacked(&st_quant_##ID, src, dst, n);                                        \
    }                                                                                            \
    const st_quant st_quant_##ID = {(NAME),       (BLOCK),      (BYTES),  (GROUP),    (HAS_MIN), \
                                    (FACTORS_AT), dequant_##ID, QUANTIZE, unpack_##ID}

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

/* ---- k_quantize.c ------------------------------------------------------------------------------------------------ */

void st_quantize_q4_k(const float *src, void *dst, size_t n);
void st_quantize_q5_k(const float *src, void *dst, size_t n);
void st_quantize_q6_k(const float *src, void *dst, size_t n);

#endif
