/* half.h: float16 and bfloat16 <-> float32, bit-exact in software.
 *
 * To 16 bits: round to nearest even, subnormals kept, NaN stays NaN (quiet). The hardware's F16C gives the same
 * bits. */
#ifndef ST_BASE_HALF_H
#define ST_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float st_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t st_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float st_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = (h >> 10) & 31u, man = h & 0x3ffu;
    if (exp == 31) return st_bits_f32(sign | 0x7f800000u | (man ? 0x400000u | man << 13 : 0));
    if (exp) return st_bits_f32(sign | (exp + 112) << 23 | man << 13);
    float f = (float)man * 0x1p-24f; /* subnormal: man * 2^-24, exact */
    return st_bits_f32(sign | st_f32_bits(f));
}

static inline uint16_t st_f32_to_f16(float f)
{
    uint32_t u = st_f32_bits(f), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* >= 65520 rounds to infinity */
    if (a < 0x38800000u) {                                   /* below 2^-14: subnormal or zero */
        uint32_t shift = 126u - (a >> 23);
        if (shift > 24u) return (uint16_t)sign;
        uint32_t man = (a & 0x7fffffu) | 0x800000u, half = man >> shift, rest = man & ((1u << shift) - 1u),
                 mid = 1u << (shift - 1u);
        half += rest > mid || (rest == mid && (half & 1u));
        return (uint16_t)(sign | half);
    }
    uint32_t r = a - 0x38000000u;
    r += 0xfffu + (r >> 13 & 1u);
    return (uint16_t)(sign | r >> 13);
}

static inline float st_bf16_to_f32(uint16_t h)
{
    return st_bits_f32((uint32_t)h << 16);
}

static inline uint16_t st_f32_to_bf16(float f)
{
    uint32_t u = st_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

#endif
