/* k_dotprod.c: level "dotprod": the integer GEMMs of level "neon" with sdot (Armv8.2 and later). */
#include "backend/cpu/kernels/kernels.h"

#ifdef __aarch64__
#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#include <math.h>
#include <string.h>

#include "backend/cpu/kernels/tiles.h"
#include "base/half.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#include "backend/cpu/kernels/v16_neon.h"

/* 6 rows x 1 panel: 24 integer sums, 6 activations, 1 weight and the constant that makes it signed: all 32
 * registers. */
#define I8_MR       6
#define I8_OFFSET   0
#define I8_OWN_DOTS 1
#include "backend/cpu/kernels/i8_neon.h"

/* sdot with 4 of the 16 activations of a. In volatile assembly, so that compilers leave the order alone: they would run
 * ahead, and spill. */
#define DOT(q, w, a, four) __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[%c3]" : "+w"(q) : "w"(w), "w"(a), "i"(four))

V16_FN void dots(i8_int q[8][4], int steps, int mr, int nv, const int8_t *x, size_t ld, const uint8_t *w,
                 size_t panel_bytes)
{
    (void)panel_bytes;
    const int8x16_t sign = vdupq_n_s8(-128);
    int8x16_t a[8];
    EACH_STEP(t, steps, {
        if (t % 4 == 0) {
            KEEP(x);
            EACH_ROW(i, mr, a[i] = vld1q_s8(x + i * ld + 4 * t););
        }
        EACH_COL(j, nv, {
            KEEP(w);
            const int8x16_t u = veorq_s8(vreinterpretq_s8_u8(vld1q_u8(w + 64 * t + 16 * j)), sign);
            EACH_ROW(i, mr, DOT(q[i][j], u, a[i], t % 4););
        });
    });
}

#include "backend/cpu/kernels/gemm_i8.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void st_kernels_dotprod(st_kernels *k)
{
    gemm_i8_fill(k);
}

#else
typedef int k_dotprod_is_for_aarch64; /* no empty translation unit */
#endif
