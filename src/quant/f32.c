/* f32.c: 32-bit floats, little-endian. */
#include "quant/quant_rows.h"

void st_dequant_f32(const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++, p += 4) dst[i] = st_bits_f32(st_get_u32(p));
}

void st_quantize_f32(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i++, p += 4) st_put_u32(p, st_f32_bits(src[i]));
}
