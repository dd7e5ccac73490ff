/* k_quants.c: Q2_K to Q6_K, 256 values in groups whose scales are integers times one f16 (llama.cpp#1684). */
#include "quant/quant_rows.h"

/* Values of 2 bits: four planes of 32 in each 32 bytes. */
static void quants_unpack2(const uint8_t *qs, int8_t *q)
{
    for (int j = 0; j < 8; j++) {
        uint8_t b[32];
        memcpy(b, qs + j / 4 * 32, sizeof b);
        for (int i = 0; i < 32; i++) q[32 * j + i] = (int8_t)(b[i] >> j % 4 * 2 & 3);
    }
}

/* {u8 scales[16], qs[64]; f16 d, dmin}: scale and minimum in the nibbles of a byte, per 16 values */
static void block_q2_k(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    float d = st_get_f16(p + 80), dmin = st_get_f16(p + 82);
    for (int g = 0; g < 16; g++) {
        scale[g] = d * (float)(p[g] & 15);
        min[g] = dmin * (float)(p[g] >> 4);
    }
    quants_unpack2(p + 16, q);
}

/* {u8 hmask[32], qs[64], scales[12]; f16 d}: a third bit that subtracts 4 where it is clear; 16 scales of 6 bits less
 * 32, their low nibbles in bytes 0..7 and their upper two bits in bytes 8..11 */
static void block_q3_k(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    const uint8_t *s = p + 96;
    float d = st_get_f16(p + 108);
    for (int g = 0; g < 16; g++) {
        int low = s[g % 8] >> g / 8 * 4 & 15, high = s[8 + g % 4] >> g / 4 * 2 & 3;
        scale[g] = d * (float)((low | high << 4) - 32);
    }
    quants_unpack2(p + 32, q);
    uint8_t h[32];
    memcpy(h, p, sizeof h);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++) q[32 * j + i] = (int8_t)(q[32 * j + i] + (h[i] >> j & 1) * 4 - 4);
}

/* Eight scales and eight minima of 6 bits in 12 bytes: the first four of each whole in bytes 0..3 and 4..7, the upper
 * two bits of the others above them, their low nibbles in bytes 8..11. */
static void quants_scales_of_6_bits(const uint8_t *s, float d, float dmin, float *scale, float *min)
{
    for (int g = 0; g < 4; g++) {
        scale[g] = d * (float)(s[g] & 63);
        min[g] = dmin * (float)(s[4 + g] & 63);
        scale[4 + g] = d * (float)((s[8 + g] & 15) | (s[g] >> 6) << 4);
        min[4 + g] = dmin * (float)((s[8 + g] >> 4) | (s[4 + g] >> 6) << 4);
    }
}

/* {f16 d, dmin; u8 scales[12], qs[128]}: 64 values in each 32 bytes, low nibbles first */
static void block_q4_k(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    quants_scales_of_6_bits(p + 4, st_get_f16(p), st_get_f16(p + 2), scale, min);
    for (int j = 0; j < 4; j++) st_unpack_nibbles(p + 16 + 32 * j, q + 64 * j, 32, 0);
}

/* {f16 d, dmin; u8 scales[12], qh[32], qs[128]}: as Q4_K, with the fifth bits of group g in bit g of qh */
static void block_q5_k(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    quants_scales_of_6_bits(p + 4, st_get_f16(p), st_get_f16(p + 2), scale, min);
    for (int j = 0; j < 4; j++) st_unpack_nibbles(p + 48 + 32 * j, q + 64 * j, 32, 0);
    uint8_t h[32];
    memcpy(h, p + 16, sizeof h);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++) q[32 * j + i] = (int8_t)(q[32 * j + i] | (h[i] >> j & 1) << 4);
}

/* {u8 ql[128], qh[64]; i8 scales[16]; f16 d}: per 128 values, 64 bytes of nibbles and 32 bytes of four 2-bit planes */
static void block_q6_k(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    float d = st_get_f16(p + 208);
    for (int g = 0; g < 16; g++) scale[g] = d * (float)(int8_t)p[192 + g];
    for (int j = 0; j < 2; j++) st_unpack_nibbles(p + 64 * j, q + 128 * j, 64, 0);
    for (int j = 0; j < 8; j++) {
        uint8_t h[32];
        memcpy(h, p + 128 + j / 4 * 32, sizeof h);
        for (int i = 0; i < 32; i++) q[32 * j + i] = (int8_t)((q[32 * j + i] | (h[i] >> j % 4 * 2 & 3) << 4) - 32);
    }
}

ST_QUANT_TYPE(q2_k);
ST_QUANT_TYPE(q3_k);
ST_QUANT_TYPE(q4_k);
ST_QUANT_TYPE(q5_k);
ST_QUANT_TYPE(q6_k);
