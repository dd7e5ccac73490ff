/* k_avx2.c: level "avx2": AVX2, FMA and F16C. */
#include "backend/cpu/kernels.h"

#ifdef __x86_64__
#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "backend/cpu/tiles.h"
#include "base/half.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#include "backend/cpu/v16_avx2.h"

#include "backend/cpu/rows.inc"

/* Products of int16: the even and the odd bytes of the weights, q + 128 as they are, by activations packed as int16 in
 * the order a0 a2 a1 a3. vpmaddubsw would take bytes, but with |w| and the activation taking w's sign, so that pairs
 * fit int16: vpsignb, vpmaddubsw, vpmaddwd and vpaddd for 32 products against 2 vpmaddwd and 2 vpaddd, and on Zen 4 the
 * first three share two ports. One thread of a Zen 4 (November 2026), groups of 32: 53 GMAC/s that way. 4 rows x 1
 * panel: 8 integer sums, 4 halves of weights, 2 activations, 1 product. */
#define I8_LANES          8
#define I8_MR             4
#define I8_PANELS         1
#define I8_F_IN_REGISTERS 0
#define I8_OFFSET         1
#define I8_PACK           8
typedef __m256i i8_int;
typedef __m256 i8_float;
typedef struct i8_pair {
    __m256i even, odd;
} i8_pair;
typedef i8_pair i8_w;
typedef i8_pair i8_a;
#define i8_set1(x)       _mm256_set1_epi32(x)
#define i8_to_float(q)   _mm256_cvtepi32_ps(q)
#define i8_fset1(x)      _mm256_set1_ps(x)
#define i8_fld(p)        _mm256_loadu_ps(p)
#define i8_fst(p, v)     _mm256_storeu_ps(p, v)
#define i8_fmul(x, y)    _mm256_mul_ps(x, y)
#define i8_ffma(x, y, z) _mm256_fmadd_ps(x, y, z)

V16_FN void i8_pack(int8_t *to, const int8_t *from)
{
    __m256i v = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from));
    v = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(v, 0xd8), 0xd8);
    _mm256_storeu_si256((__m256i *)(void *)to, v);
}
V16_FN i8_pair i8_ld_w(const uint8_t *p)
{
    __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return (i8_pair){_mm256_and_si256(w, _mm256_set1_epi16(255)), _mm256_srli_epi16(w, 8)};
}
V16_FN i8_pair i8_ld_a(const int8_t *p)
{
    int32_t even, odd; /* two loads: of one, gcc makes a load, a shift and moves between register files */
    memcpy(&even, p, 4);
    memcpy(&odd, p + 4, 4);
    return (i8_pair){_mm256_set1_epi32(even), _mm256_set1_epi32(odd)};
}
/* In assembly, since compilers know that integer sums can be reordered, do so, and spill. */
V16_FN __m256i i8_dot(__m256i q, i8_pair w, i8_pair a)
{
    __m256i t;
    __asm__("vpmaddwd %2, %4, %1\n\t"
            "vpaddd %1, %0, %0\n\t"
            "vpmaddwd %3, %5, %1\n\t"
            "vpaddd %1, %0, %0"
            : "+&x"(q), "=&x"(t)
            : "x"(w.even), "x"(w.odd), "x"(a.even), "x"(a.odd));
    return q;
}
V16_FN __m256i i8_times128_plus(__m256i q, __m256i v)
{
    return _mm256_add_epi32(_mm256_slli_epi32(q, 7), v);
}

#include "backend/cpu/gemm_i8.inc"

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

#include "backend/cpu/gemm_f32.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void st_kernels_avx2(st_kernels *k)
{
    k->level = "avx2";
    rows_fill(k);
    gemm_i8_fill(k);
    k->gemm_f32 = gemm_f32;
}

#else
typedef int k_avx2_is_for_x86; /* no empty translation unit */
#endif
