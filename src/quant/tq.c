/* tq.c: TQ1_0 and TQ2_0, 256 ternary values with one scale, which unpacks to one per 32 (llama.cpp#8151). */
#include "quant/quant_rows.h"

static void spread(float d, float *scale)
{
    for (int g = 0; g < 8; g++) scale[g] = d;
}

/* n bytes, each a number in base 3 as a fraction of 256: the wrapping product with 3^k brings digit k to the top. */
static void unpack_base3(const uint8_t *p, int n, int digits, int8_t *q)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    for (int k = 0; k < digits; k++)
        for (int i = 0; i < n; i++) q[k * n + i] = (int8_t)(((uint8_t)(p[i] * pow3[k]) * 3 >> 8) - 1);
}

/* {u8 qs[48], qh[4]; f16 d}: 32 and 16 bytes of five values, 4 bytes of four */
static void block_tq1_0(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    spread(st_get_f16(p + 52), scale);
    unpack_base3(p, 32, 5, q);
    unpack_base3(p + 32, 16, 5, q + 160);
    unpack_base3(p + 48, 4, 4, q + 240);
}

/* {u8 qs[64]; f16 d}: 2-bit planes as in Q2_K, less 1 */
static void block_tq2_0(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    spread(st_get_f16(p + 64), scale);
    for (int i = 0; i < 256; i++) q[i] = (int8_t)((p[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) - 1);
}

ST_QUANT_TYPE(tq1_0);
ST_QUANT_TYPE(tq2_0);
