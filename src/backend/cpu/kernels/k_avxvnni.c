/* k_avxvnni.c: level "avxvnni": AVX2 with the 256-bit vpdpbusd in VEX encoding (Alder Lake and later, Zen 5). Only the
 * integer GEMMs differ from level "avx2".
 *
 * A test compiles this file once more with ST_VNNI_EVEX, which encodes the same instruction for AVX-512 VL: machines
 * with AVX-512 but without AVX-VNNI (Zen 4) then run all of it but the three bytes in front of an instruction. */
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

#ifdef ST_VNNI_EVEX
#define TARGET    "avx2,fma,f16c,avx512f,avx512vl,avx512vnni"
#define VNNI_FORM ""
#else
#define TARGET    "avx2,fma,f16c,avxvnni"
#define VNNI_FORM "%{vex%} "
#endif

#define PRAGMA_(x) _Pragma(#x)
#define PRAGMA(x)  PRAGMA_(x)
#ifdef __clang__
PRAGMA(clang attribute push(__attribute__((target(TARGET))), apply_to = function))
#else
#pragma GCC push_options
PRAGMA(GCC target(TARGET))
#endif

#include "backend/cpu/kernels/v16_avx2.h"

/* 6 rows x 1 panel: 12 integer sums, 2 weights, 1 activation. */
#define I8_LANES          8
#define I8_MR             6
#define I8_PANELS         1
#define I8_F_IN_REGISTERS 0
#define I8_OFFSET         1
typedef __m256i i8_int;
typedef __m256 i8_float;
typedef __m256i i8_w;
#define i8_ld_w(p)       _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define i8_set1(x)       _mm256_set1_epi32(x)
#define i8_to_float(q)   _mm256_cvtepi32_ps(q)
#define i8_fset1(x)      _mm256_set1_ps(x)
#define i8_fld(p)        _mm256_loadu_ps(p)
#define i8_fst(p, v)     _mm256_storeu_ps(p, v)
#define i8_fmul(x, y)    _mm256_mul_ps(x, y)
#define i8_ffma(x, y, z) _mm256_fmadd_ps(x, y, z)

V16_FN __m256i i8_ld_a(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm256_set1_epi32(x);
}
/* gcc 12 copies accumulators around the intrinsic and spills, clang 14 loads ahead; assembly keeps things in place. */
V16_FN __m256i i8_dot(__m256i q, __m256i w, __m256i a)
{
    __asm__(VNNI_FORM "vpdpbusd %2, %1, %0" : "+x"(q) : "x"(w), "x"(a));
    return q;
}
V16_FN __m256i i8_times128(__m256i q)
{
    __asm__("vpslld $7, %0, %0" : "+x"(q));
    return q;
}

#include "backend/cpu/kernels/gemm_i8.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void st_kernels_avxvnni(st_kernels *k)
{
    gemm_i8_fill(k);
}

#else
typedef int k_avxvnni_is_for_x86; /* no empty translation unit */
#endif
