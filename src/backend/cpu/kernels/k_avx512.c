/* k_avx512.c: level "avx512": AVX-512 F, BW, VL, DQ and VNNI. */
#include "backend/cpu/kernels/kernels.h"

#ifdef __x86_64__
#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "backend/cpu/kernels/tiles.h"
#include "base/half.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif

#include "backend/cpu/kernels/v16_avx512.h"

#include "backend/cpu/kernels/rows.inc"

/* 6 rows x 2 panels: 12 integer and 12 float sums, 2 weights, 1 activation and the scales fill the 32 registers.
 * One thread of a Zen 4 (November 2026), groups of 32: 172 of 236 GMAC/s; with the epilogue's mul and fma on the same
 * ports as vpdpbusd the ceiling is 80 %. */
#define I8_LANES          16
#define I8_MR             6
#define I8_PANELS         2
#define I8_F_IN_REGISTERS 1
#define I8_OFFSET         1
typedef __m512i i8_int;
typedef __m512 i8_float;
typedef __m512i i8_w;
#define i8_ld_w(p)       _mm512_loadu_si512(p)
#define i8_set1(x)       _mm512_set1_epi32(x)
#define i8_to_float(q)   _mm512_cvtepi32_ps(q)
#define i8_fset1(x)      _mm512_set1_ps(x)
#define i8_fld(p)        _mm512_loadu_ps(p)
#define i8_fst(p, v)     _mm512_storeu_ps(p, v)
#define i8_fmul(x, y)    _mm512_mul_ps(x, y)
#define i8_ffma(x, y, z) _mm512_fmadd_ps(x, y, z)

V16_FN __m512i i8_ld_a(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

/* gcc 12 copies accumulators around the intrinsics and spills; assembly keeps them in place. */
V16_FN __m512i i8_dot(__m512i q, __m512i w, __m512i a)
{
#ifdef __clang__
    return _mm512_dpbusd_epi32(q, w, a);
#else
    __asm__("vpdpbusd %2, %1, %0" : "+v"(q) : "v"(w), "v"(a));
    return q;
#endif
}
V16_FN __m512i i8_times128(__m512i q)
{
#ifdef __clang__
    return _mm512_slli_epi32(q, 7);
#else
    __asm__("vpslld $7, %0, %0" : "+v"(q));
    return q;
#endif
}

#include "backend/cpu/kernels/gemm_i8.inc"

#define BYTES 64
typedef __m512i bytes;
#define bytes_ld(p)     _mm512_loadu_si512((p))
#define bytes_st(p, v)  _mm512_storeu_si512((p), v)
#define bytes_set1(x)   _mm512_set1_epi8(x)
#define bytes_and(x, y) _mm512_and_si512(x, y)
#define bytes_or(x, y)  _mm512_or_si512(x, y)
#define bytes_add(x, y) _mm512_add_epi8(x, y)
#define bytes_shl(x, n) _mm512_slli_epi16(x, n)
#define bytes_shr(x, n) _mm512_srli_epi16(x, n)

#include "backend/cpu/kernels/widen.inc"

#define i8_dot_u(q, u, a)  i8_dot(q, u, a)
#define i8_dot_u8(q, u, a) i8_dot(q, u, a)
#define i8_sum(x, y)       _mm512_add_epi32(x, y)
#define i8_fld_f16(p)      _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define i8_fld_i8(p)       v16_ld_i8(p)

#include "backend/cpu/kernels/gemv_i8.inc"

/* 8 rows x 3 panels: 24 sums, 3 weights, 1 activation. 58 of 59 GMAC/s on the same machine. */
#define F32_LANES    16
#define F32_MR       8
#define F32_PANELS   3
#define F32_PANELS_1 4
typedef __m512 f32_vec;
#define f32_ld(p)        _mm512_loadu_ps(p)
#define f32_st(p, v)     _mm512_storeu_ps(p, v)
#define f32_set1(x)      _mm512_set1_ps(x)
#define f32_fma(x, y, z) _mm512_fmadd_ps(x, y, z)

#include "backend/cpu/kernels/gemm_f32.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void st_kernels_avx512(st_kernels *k)
{
    rows_fill(k);
    gemm_i8_fill(k);
    widen_fill(k);
    gemv_i8_fill(k);
    k->gemv_rows = 4;
    k->gemm_f32 = gemm_f32;
}

#else
typedef int k_avx512_is_for_x86; /* no empty translation unit */
#endif
