/* q4.c: Q4_0 and Q4_1, 32 values of 4 bits. Low nibbles are the first 16 values, high nibbles the last 16. */
#include "quant/quant_rows.h"

static void q4_put_nibbles(uint8_t *p, const uint8_t *q)
{
    for (int i = 0; i < 16; i++) p[i] = (uint8_t)(q[i] | q[16 + i] << 4);
}

/* {f16 d; u8 qs[16]}, value = d * (q - 8) */
static void block_q4_0(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    (void)min;
    *scale = st_get_f16(p);
    st_unpack_nibbles(p + 2, q, 16, 8);
}

void st_quantize_q4_0(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst, q[32];
    for (size_t at = 0; at < n; at += 32, p += 18) {
        st_put_f16(p, st_quantize_symmetric(src + at, 8, q));
        q4_put_nibbles(p + 2, q);
    }
}

/* {f16 d, m; u8 qs[16]}, value = d * q + m */
static void block_q4_1(const uint8_t *p, int8_t *q, float *scale, float *min)
{
    *scale = st_get_f16(p);
    *min = -st_get_f16(p + 2);
    st_unpack_nibbles(p + 4, q, 16, 0);
}

void st_quantize_q4_1(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst, q[32];
    for (size_t at = 0; at < n; at += 32, p += 20) {
        float min;
        st_put_f16(p, st_quantize_affine(src + at, 15, q, &min));
        st_put_f16(p + 2, min);
        q4_put_nibbles(p + 4, q);
    }
}

ST_QUANT_TYPE(q4_0);
ST_QUANT_TYPE(q4_1);
