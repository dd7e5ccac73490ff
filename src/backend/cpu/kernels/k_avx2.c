/* k_avx2.c: level "avx2": AVX2, FMA and F16C. */
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
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#include "backend/cpu/kernels/v16_avx2.h"

#include "backend/cpu/kernels/rows.inc"

/* vpmaddubsw multiplies unsigned by signed bytes and adds pairs in int16, saturating. |w| <= 128 is the unsigned side
 * and the activation, |a| <= 127, takes the sign of w: a pair is at most 2 * 128 * 127 = 32512, which fits. Int16
 * weights and activations, vpmaddwd alone, are 7 % faster on Zen 4 and need the activations packed first: not worth it.
 * One thread of a Zen 4 (November 2026), groups of 32: 62 of 118 GMAC/s.
 * 4 rows x 1 panel: 8 integer sums, 2 x 2 forms of the weights, 1 activation, 1 for the ones. */
#define I8_LANES          8
#define I8_MR             4
#define I8_PANELS         1
#define I8_F_IN_REGISTERS 0
#define I8_OFFSET         0
typedef __m256i i8_int;
typedef __m256 i8_float;
typedef struct i8_w {
    __m256i w, magnitude;
} i8_w;
#define i8_set1(x)       _mm256_set1_epi32(x)
#define i8_to_float(q)   _mm256_cvtepi32_ps(q)
#define i8_fset1(x)      _mm256_set1_ps(x)
#define i8_fld(p)        _mm256_loadu_ps(p)
#define i8_fst(p, v)     _mm256_storeu_ps(p, v)
#define i8_fmul(x, y)    _mm256_mul_ps(x, y)
#define i8_ffma(x, y, z) _mm256_fmadd_ps(x, y, z)

static const uint8_t bias128[32] __attribute__((aligned(32))) = {
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
};
V16_FN i8_w i8_ld_w(const uint8_t *p)
{
    __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __asm__("vpxor %1, %0, %0" : "+x"(w) : "m"(bias128)); /* from memory: no register is left to keep it in */
    return (i8_w){w, _mm256_abs_epi8(w)};
}
V16_FN __m256i i8_ld_a(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm256_set1_epi32(x);
}
/* In assembly, since compilers know that integer sums can be reordered, do so, and spill. */
V16_FN __m256i i8_dot(__m256i q, i8_w w, __m256i a)
{
    __m256i t;
    __asm__("vpsignb %2, %3, %1\n\t"
            "vpmaddubsw %1, %4, %1\n\t"
            "vpmaddwd %5, %1, %1\n\t"
            "vpaddd %1, %0, %0"
            : "+x"(q), "=&x"(t)
            : "x"(w.w), "x"(a), "x"(w.magnitude), "x"(_mm256_set1_epi16(1)));
    return q;
}
V16_FN __m256i i8_times128(__m256i q)
{
    __asm__("vpslld $7, %0, %0" : "+x"(q));
    return q;
}

#include "backend/cpu/kernels/gemm_i8.inc"

#define BYTES 32
typedef __m256i bytes;
#define bytes_ld(p)     _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define bytes_st(p, v)  _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define bytes_set1(x)   _mm256_set1_epi8(x)
#define bytes_and(x, y) _mm256_and_si256(x, y)
#define bytes_or(x, y)  _mm256_or_si256(x, y)
#define bytes_add(x, y) _mm256_add_epi8(x, y)
#define bytes_shl(x, n) _mm256_slli_epi16(x, n)
#define bytes_shr(x, n) _mm256_srli_epi16(x, n)

#include "backend/cpu/kernels/widen.inc"

/* A pair is at most 2 * 63 * 127. In assembly as above. */
V16_FN __m256i i8_dot_u(__m256i q, __m256i u, __m256i a)
{
    __m256i t;
    __asm__("vpmaddubsw %2, %3, %1\n\t"
            "vpmaddwd %4, %1, %1\n\t"
            "vpaddd %1, %0, %0"
            : "+x"(q), "=&x"(t)
            : "x"(a), "x"(u), "x"(_mm256_set1_epi16(1)));
    return q;
}
/* The top bit apart: pairs are at most 2 * 128 * 127. */
V16_FN __m256i i8_dot_u8(__m256i q, __m256i u, __m256i a)
{
    q = i8_dot_u(q, _mm256_and_si256(u, _mm256_set1_epi8(127)), a);
    return i8_dot_u(q, _mm256_and_si256(u, _mm256_set1_epi8(-128)), a);
}
#define i8_sum(x, y)  _mm256_add_epi32(x, y)
#define i8_fld_f16(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))

V16_FN __m256 i8_fld_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

#include "backend/cpu/kernels/gemv_i8.inc"

/* 6 rows x 1 panel: 12 sums, 2 weights, 1 activation. */
#define F32_LANES    8
#define F32_MR       6
#define F32_PANELS   1
#define F32_PANELS_1 2
typedef __m256 f32_vec;
#define f32_ld(p)        _mm256_loadu_ps(p)
#define f32_st(p, v)     _mm256_storeu_ps(p, v)
#define f32_set1(x)      _mm256_set1_ps(x)
#define f32_fma(x, y, z) _mm256_fmadd_ps(x, y, z)

#include "backend/cpu/kernels/gemm_f32.inc"

/* Four dwords of rows i and i + 4. */
V16_FN __m256i ld_pair(const uint8_t *p, size_t ld)
{
    const __m128i lo = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(lo),
                                   _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * ld)), 1);
}

/* A 4x4 transpose of dwords in each half of a register. */
static void interleave(const uint8_t *src, size_t ld, size_t step, uint32_t blocks, uint8_t flip, uint8_t *dst,
                       size_t dst_step)
{
    const __m256i flips = _mm256_set1_epi8((char)flip);
    for (uint32_t b = 0; b < blocks; b++, src += step, dst += dst_step)
        for (int part = 0; part < 4; part++) {
            const uint8_t *p = src + (size_t)(part & 1) * 8 * ld + (part >> 1) * 16;
            uint8_t *to = dst + (part & 1) * 32 + (part >> 1) * 256;
            const __m256i r0 = ld_pair(p, ld), r1 = ld_pair(p + ld, ld), r2 = ld_pair(p + 2 * ld, ld),
                          r3 = ld_pair(p + 3 * ld, ld);
            const __m256i a = _mm256_xor_si256(_mm256_unpacklo_epi32(r0, r1), flips),
                          c = _mm256_xor_si256(_mm256_unpackhi_epi32(r0, r1), flips),
                          d = _mm256_xor_si256(_mm256_unpacklo_epi32(r2, r3), flips),
                          e = _mm256_xor_si256(_mm256_unpackhi_epi32(r2, r3), flips);
            _mm256_storeu_si256((__m256i *)(void *)to, _mm256_unpacklo_epi64(a, d));
            _mm256_storeu_si256((__m256i *)(void *)(to + 64), _mm256_unpackhi_epi64(a, d));
            _mm256_storeu_si256((__m256i *)(void *)(to + 128), _mm256_unpacklo_epi64(c, e));
            _mm256_storeu_si256((__m256i *)(void *)(to + 192), _mm256_unpackhi_epi64(c, e));
        }
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void st_kernels_avx2(st_kernels *k)
{
    rows_fill(k);
    gemm_i8_fill(k);
    widen_fill(k);
    gemv_i8_fill(k);
    k->gemv_rows = 4;
    k->gemm_f32 = gemm_f32;
    k->interleave = interleave;
}

#else
typedef int k_avx2_is_for_x86; /* no empty translation unit */
#endif
