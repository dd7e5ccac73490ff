/* fp4.c: MXFP4 and NVFP4, 4-bit floats of 1 sign, 2 exponent and 1 mantissa bits (OCP Microscaling 1.0). Both tables
 * hold twice the value, so that it is an integer, and the scales half of theirs. */
#include "quant/quant_rows.h"

static void unpack_e2m1(const uint8_t *p, int8_t *q, int n)
{
    static const int8_t twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (int i = 0; i < n; i++) {
        q[i] = twice[p[i] & 15];
        q[n + i] = twice[p[i] >> 4];
    }
}

/* {u8 e; u8 qs[16]}: the scale is 2^(e - 127); half of it is a denormal for e < 2 */
static void block_mxfp4(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    uint32_t e = p[0];
    *scale = st_bits_f32(e < 2 ? 0x200000u << e : (e - 1) << 23);
    unpack_e2m1(p + 1, q, 16);
}

/* Half of an unsigned float of 4 exponent bits, bias 7, and 3 mantissa bits. 0x7f is NaN and counts as 0, as in
 * gguf-py. */
static float half_ue4m3(uint8_t x)
{
    uint32_t exp = x >> 3 & 15, man = x & 7;
    if (x == 0 || x == 0x7f) return 0;
    if (exp == 0) return (float)man * 0x1p-10f;
    return st_bits_f32((exp - 7 - 1 + 127) << 23 | man << 20);
}

/* {u8 d[4], qs[32]}: a scale and 8 bytes per 16 values */
static void block_nvfp4(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    for (int g = 0; g < 4; g++) {
        scale[g] = half_ue4m3(p[g]);
        unpack_e2m1(p + 4 + 8 * g, q + 16 * g, 8);
    }
}

ST_QUANT_TYPE(mxfp4);
ST_QUANT_TYPE(nvfp4);
