/* k_neon.c: level "neon": Advanced SIMD as every aarch64 has it. */
#include "backend/cpu/kernels/kernels.h"

#ifdef __aarch64__
#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#include <math.h>
#include <string.h>

#include "backend/cpu/kernels/tiles.h"
#include "backend/cpu/kernels/v16_neon.h"
#include "base/half.h"

#include "backend/cpu/kernels/rows.inc"

/* Products in int16, added in pairs (at most 2 * 128 * 127 = 32512) and then into int32.
 * 4 rows x 1 panel: 16 integer sums, 4 weights, 1 activation, 2 products. */
#define I8_MR     4
#define I8_OFFSET 0
#include "backend/cpu/kernels/i8_neon.h"
typedef int8x16_t i8_w;
#define i8_ld_w(p) veorq_s8(vreinterpretq_s8_u8(vld1q_u8(p)), vdupq_n_s8(-128))

/* In volatile assembly, so that compilers leave the order alone: they would run ahead, and spill. */
V16_FN int32x4_t i8_ld_a(const int8_t *p)
{
    int32x4_t v;
    const struct {
        int8_t four[4];
    } *const at = (const void *)p;
    __asm__ volatile("ld1r {%0.4s}, %1" : "=w"(v) : "Q"(*at));
    return v;
}
V16_FN int32x4_t i8_dot(int32x4_t q, int8x16_t w, int32x4_t a)
{
    int16x8_t t, u;
    __asm__ volatile("smull %1.8h, %3.8b, %4.8b\n\t"
                     "smull2 %2.8h, %3.16b, %4.16b\n\t"
                     "addp %1.8h, %1.8h, %2.8h\n\t"
                     "sadalp %0.4s, %1.8h"
                     : "+w"(q), "=&w"(t), "=&w"(u)
                     : "w"(w), "w"(a));
    return q;
}

#include "backend/cpu/kernels/gemm_i8.inc"

/* 6 rows x 1 panel: 24 sums, 4 weights, 1 activation. */
#define F32_LANES    4
#define F32_MR       6
#define F32_PANELS   1
#define F32_PANELS_1 1
typedef float32x4_t f32_vec;
#define f32_ld(p)        vld1q_f32(p)
#define f32_st(p, v)     vst1q_f32(p, v)
#define f32_set1(x)      vdupq_n_f32(x)
#define f32_one          float /* Arm multiplies by one lane; to fill a vector first takes an operation more */
#define f32_ld_one(p)    (*(p))
#define f32_fma(x, y, z) vfmaq_n_f32(z, y, x)

#include "backend/cpu/kernels/gemm_f32.inc"

void st_kernels_neon(st_kernels *k)
{
    rows_fill(k);
    gemm_i8_fill(k);
    k->gemm_f32 = gemm_f32;
}

#else
typedef int k_neon_is_for_aarch64; /* no empty translation unit */
#endif
