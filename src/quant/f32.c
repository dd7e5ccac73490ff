/* f32.c: 32-bit floats, little-endian. */
#include "quant/quant_rows.h"

static void f32_dequant(const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++, p += 4) dst[i] = st_bits_f32(st_get_u32(p));
}

static void f32_quantize(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i++, p += 4) st_put_u32(p, st_f32_bits(src[i]));
}

const st_quant st_quant_f32 = {.name = "F32", .block = 1, .bytes = 4, .dequant = f32_dequant, .quantize = f32_quantize};
