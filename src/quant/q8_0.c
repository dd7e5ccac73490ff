/* q8_0.c: 32 values {f16 d; int8 q[32]}, value = d * q. */
#include <math.h>

#include "quant/quant_rows.h"

static void block_q8_0(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    *scale = st_get_f16(p);
    memcpy(q, p + 2, 32);
}

/* quantize_row_q8_0_ref (ggml-quants.c): the values are divided by the scale before it is rounded to f16. */
void st_quantize_q8_0(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst;
    for (size_t at = 0; at < n; at += 32, p += 34) {
        float amax = 0;
        for (int i = 0; i < 32; i++) amax = fmaxf(amax, fabsf(src[at + i]));
        float d = amax / 127, inv = d == 0 ? 0 : 1 / d;
        if (isinf(inv)) inv = 0; /* d is a denormal, 0 as f16 */
        st_put_f16(p, d);
        for (int i = 0; i < 32; i++) p[2 + i] = (uint8_t)st_clip_int(roundf(src[at + i] * inv), -128, 127);
    }
}

ST_QUANT_TYPE(q8_0);
