/* iq.c: IQ1, IQ2 and IQ3, 256 values drawn from lattices: an index picks 4 or 8 magnitudes from a grid, signs are
 * apart. */
#include "quant/iq_grids.h"
#include "quant/quant_rows.h"

/* Eight signs in 7 bits: the number of minus signs is even. */
static uint32_t even_signs(uint32_t bits)
{
    return bits | (uint32_t)__builtin_parity(bits) << 7;
}

/* Eight magnitudes of 2 bits and their signs. */
static void put_iq2(int8_t *q, uint16_t grid, uint32_t signs)
{
    static const int8_t level[4] = {8, 25, 43, 0};
    for (int i = 0; i < 8; i++) {
        int8_t v = level[grid >> 2 * i & 3];
        q[i] = signs >> i & 1 ? (int8_t)-v : v;
    }
}

/* {f16 d; u32 qs[8][2]}: four indices of 8 bits, then four signs of 7 bits under a scale of 4 bits, per 32 values */
static void block_iq2_xxs(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    float d = st_get_f16(p);
    for (int g = 0; g < 8; g++) {
        const uint8_t *index = p + 2 + 8 * g;
        uint32_t rest = st_get_u32(index + 4);
        scale[g] = d * (0.5f + (float)(rest >> 28)) * 0.25f;
        for (int i = 0; i < 4; i++)
            put_iq2(q + 32 * g + 8 * i, st_iq2_xxs_grid[index[i]], even_signs(rest >> 7 * i & 127));
    }
}

static void iq2_scales(const uint8_t *s, float d, float *scale)
{
    for (int g = 0; g < 16; g++) scale[g] = d * (0.5f + (float)(s[g / 2] >> g % 2 * 4 & 15)) * 0.25f;
}

/* {f16 d; u16 qs[32]; u8 scales[8]}: 9 bits of index under 7 of signs, per 8 values */
static void block_iq2_xs(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    iq2_scales(p + 66, st_get_f16(p), scale);
    for (int i = 0; i < 32; i++) {
        uint32_t v = st_get_u16(p + 2 + 2 * i);
        put_iq2(q + 8 * i, st_iq2_xs_grid[v & 511], even_signs(v >> 9));
    }
}

/* {f16 d; u8 qs[32], signs[32], qh[8], scales[8]}: indices of 8 + 2 bits, all eight signs */
static void block_iq2_s(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    iq2_scales(p + 74, st_get_f16(p), scale);
    for (int i = 0; i < 32; i++) {
        int high = p[66 + i / 4] >> i % 4 * 2 & 3;
        put_iq2(q + 8 * i, st_iq2_s_grid[p[2 + i] | high << 8], p[34 + i]);
    }
}

/* Four magnitudes of 3 bits, in nibbles, and their signs. */
static void put_iq3(int8_t *q, const int8_t *level, uint16_t grid, uint32_t signs)
{
    for (int i = 0; i < 4; i++) {
        int8_t v = level[grid >> 4 * i & 7];
        q[i] = signs >> i & 1 ? (int8_t)-v : v;
    }
}

/* {f16 d; u8 qs[64]; u32 rest[8]}: per 32 values eight indices, and signs and scale as in IQ2_XXS */
static void block_iq3_xxs(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    static const int8_t level[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    (void)min;
    float d = st_get_f16(p);
    for (int g = 0; g < 8; g++) {
        uint32_t rest = st_get_u32(p + 66 + 4 * g);
        scale[g] = d * (0.5f + (float)(rest >> 28)) * 0.5f;
        for (int i = 0; i < 8; i++) {
            uint32_t signs = even_signs(rest >> 7 * (i / 2) & 127) >> i % 2 * 4;
            put_iq3(q + 32 * g + 4 * i, level, st_iq3_xxs_grid[p[2 + 8 * g + i]], signs);
        }
    }
}

/* {f16 d; u8 qs[64], qh[8], signs[32], scales[4]}: indices of 8 + 1 bits, all signs, odd scales per 32 values */
static void block_iq3_s(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    static const int8_t level[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    (void)min;
    float d = st_get_f16(p);
    for (int g = 0; g < 8; g++) scale[g] = d * (float)(1 + 2 * (p[106 + g / 2] >> g % 2 * 4 & 15));
    for (int i = 0; i < 64; i++) {
        int high = p[66 + i / 8] >> i % 8 & 1;
        put_iq3(q + 4 * i, level, st_iq3_s_grid[p[2 + i] | high << 8], (uint32_t)p[74 + i / 2] >> i % 2 * 4);
    }
}

/* Eight values of -1, 0, 1, all moved by 1/8 up or down: as integers, eight times that. */
static void put_iq1(int8_t *q, uint16_t grid, bool down)
{
    for (int i = 0; i < 8; i++) q[i] = (int8_t)(((grid >> 2 * i & 3) - 1) * 8 + (down ? -1 : 1));
}

/* {f16 d; u8 qs[32]; u16 qh[8]}: indices of 8 + 3 bits; per 32 values an odd scale of 3 bits and the direction */
static void block_iq1_s(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    float d = st_get_f16(p);
    for (int g = 0; g < 8; g++) {
        int high = st_get_u16(p + 34 + 2 * g);
        scale[g] = d * (float)(2 * (high >> 12 & 7) + 1) * 0.125f;
        for (int i = 0; i < 4; i++)
            put_iq1(q + 32 * g + 8 * i, st_iq1_grid[p[2 + 4 * g + i] | (high >> 3 * i & 7) << 8], high >> 15);
    }
}

/* {u8 qs[32], qh[16]; u16 scales[4]}: indices of 8 + 3 bits and a direction per 8 values; an odd scale of 3 bits per
 * 16; the f16 scale lies in the top nibbles of the four words */
static void block_iq1_m(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) bits |= (uint32_t)(st_get_u16(p + 48 + 2 * i) >> 12) << 4 * i;
    float d = st_f16_to_f32((uint16_t)bits);
    for (int g = 0; g < 16; g++)
        scale[g] = d * (float)(2 * (st_get_u16(p + 48 + g / 4 * 2) >> g % 4 * 3 & 7) + 1) * 0.125f;
    for (int i = 0; i < 32; i++) {
        int high = p[32 + i / 2] >> i % 2 * 4;
        put_iq1(q + 8 * i, st_iq1_grid[p[i] | (high & 7) << 8], high >> 3 & 1);
    }
}

ST_QUANT_TYPE(iq2_xxs);
ST_QUANT_TYPE(iq2_xs);
ST_QUANT_TYPE(iq2_s);
ST_QUANT_TYPE(iq3_xxs);
ST_QUANT_TYPE(iq3_s);
ST_QUANT_TYPE(iq1_s);
ST_QUANT_TYPE(iq1_m);
