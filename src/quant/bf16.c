/* bf16.c: bfloat16: the upper half of a float32. */
#include "quant/quant_rows.h"

void st_dequant_bf16(const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++, p += 2) dst[i] = st_bf16_to_f32(st_get_u16(p));
}

void st_quantize_bf16(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i++, p += 2) st_put_u16(p, st_f32_to_bf16(src[i]));
}
