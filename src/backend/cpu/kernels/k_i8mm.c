/* k_i8mm.c: level "i8mm": the integer GEMMs of level "dotprod" with usmmla (Armv8.6; Neoverse V1 and N2, Apple M2),
 * which multiplies 2 columns x 8 k by 8 k x 2 rows. */
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
#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod+i8mm")
#endif

#include "backend/cpu/kernels/v16_neon.h"

/* 6 rows x 1 panel: 24 integer sums, 3 pairs of rows, 4 weights: 2 as loaded, 2 as wanted. */
#define I8_MR       6
#define I8_OFFSET   1
#define I8_OWN_DOTS 1
#include "backend/cpu/kernels/i8_neon.h"

/* Unsigned times signed. In volatile assembly, so that compilers leave the order alone: they would run ahead, and
 * spill. */
#define MATRIX(q, w, a)    __asm__ volatile("usmmla %0.4s, %1.16b, %2.16b" : "+w"(q) : "w"(w), "w"(a))
#define DOT(q, w, a, four) __asm__ volatile("usdot %0.4s, %1.16b, %2.4b[%c3]" : "+w"(q) : "w"(w), "w"(a), "i"(four))

/* Until i8_in_rows, two rows 2r, 2r + 1 and four columns c.. are the squares (c, 2r) (c, 2r+1) (c+1, 2r) (c+1, 2r+1)
 * and the same of c+2, in the places of the two rows. A row without a partner is a row from the start. */
V16_FN int32x4_t start_of(const int32_t *start, size_t ld, int i, int mr)
{
    if (i == mr - 1 && i % 2 == 0) return vdupq_n_s32(start[(size_t)i * ld]);
    const int32_t *p = start + (size_t)(i & ~1) * ld;
    const int32x2_t two = vld1_lane_s32(p + ld, vld1_dup_s32(p), 1);
    return vcombine_s32(two, two);
}
#define i8_start(start, i, mr) start_of(start, SIDE_LD, i, mr)

V16_FN void squares_to_rows(int32x4_t q[8][4], int mr, int nv)
{
    EACH_ROW(i, mr, {
        if (i % 2)
            EACH_COL(j, nv, {
                const int32x4_t c0 = q[i - 1][j], c2 = q[i][j];
                q[i - 1][j] = vuzp1q_s32(c0, c2), q[i][j] = vuzp2q_s32(c0, c2);
            });
    });
}

#define i8_in_rows(q, mr, nv) squares_to_rows(q, mr, nv)

/* The 4 k of columns 0..3 of two steps, interleaved: 8 k of columns 0 and 1, and of 2 and 3. */
V16_FN void dots(i8_int q[8][4], int steps, int mr, int nv, const int8_t *x, size_t ld, const uint8_t *w,
                 size_t panel_bytes)
{
    (void)panel_bytes;
    int8x16_t pair[8], single = vdupq_n_s8(0);
    EACH_STEP(t, steps, {
        if (t % 4 == 0 && mr % 2) single = vld1q_s8(x + (size_t)(mr - 1) * ld + 4 * t);
        if (t % 2 == 0) {
            KEEP(x);
            EACH_ROW(i, mr, {
                if (i % 2) pair[i] = vcombine_s8(vld1_s8(x + (i - 1) * ld + 4 * t), vld1_s8(x + i * ld + 4 * t));
            });
            EACH_COL(j, nv, {
                KEEP(w);
                const uint32x4_t u = vreinterpretq_u32_u8(vld1q_u8(w + 64 * t + 16 * j)),
                                 v = vreinterpretq_u32_u8(vld1q_u8(w + 64 * (t + 1) + 16 * j));
                const uint32x4_t c0 = vzip1q_u32(u, v), c2 = vzip2q_u32(u, v);
                EACH_ROW(i, mr, {
                    if (i % 2) {
                        MATRIX(q[i - 1][j], c0, pair[i]);
                        MATRIX(q[i][j], c2, pair[i]);
                    } else if (i == mr - 1) {
                        DOT(q[i][j], u, single, t % 4);
                        DOT(q[i][j], v, single, t % 4 + 1);
                    }
                });
            });
        }
    });
}

#include "backend/cpu/kernels/gemm_i8.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void st_kernels_i8mm(st_kernels *k)
{
    gemm_i8_fill(k);
}

#else
typedef int k_i8mm_is_for_aarch64; /* no empty translation unit */
#endif
