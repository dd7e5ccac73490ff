/* iq4.c: IQ4_NL and IQ4_XS, 4 bits that index a table of 16 levels, denser near zero. */
#include "quant/quant_rows.h"

static void iq4_unpack_levels(const uint8_t *p, int8_t *q)
{
    static const int8_t level[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    for (int i = 0; i < 16; i++) {
        q[i] = level[p[i] & 15];
        q[16 + i] = level[p[i] >> 4];
    }
}

/* {f16 d; u8 qs[16]} */
static void block_iq4_nl(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    *scale = st_get_f16(p);
    iq4_unpack_levels(p + 2, q);
}

/* {f16 d; u16 scales_h; u8 scales_l[4], qs[128]}: a scale of 4 + 2 bits less 32, per 32 values */
static void block_iq4_xs(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    float d = st_get_f16(p);
    int high = st_get_u16(p + 2);
    for (int g = 0; g < 8; g++) {
        int low = p[4 + g / 2] >> g % 2 * 4 & 15;
        scale[g] = d * (float)((low | (high >> 2 * g & 3) << 4) - 32);
        iq4_unpack_levels(p + 8 + 16 * g, q + 32 * g);
    }
}

ST_QUANT_TYPE(iq4_nl);
ST_QUANT_TYPE(iq4_xs);
