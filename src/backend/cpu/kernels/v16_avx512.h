/* v16_avx512.h: the primitives of v16_generic.h as one 512-bit vector. Needs AVX-512 F, BW, VL and DQ. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define V16_FN static inline __attribute__((always_inline, unused))

typedef __m512 v16;
typedef __m512i v16i;
typedef __mmask16 v16m;

/* ---- memory ---- */

#define v16_ld(p)    _mm512_loadu_ps(p)
#define v16_st(p, v) _mm512_storeu_ps(p, v)
#define v16i_ld(p)   _mm512_loadu_si512(p)

V16_FN v16 v16_ld_n(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
V16_FN void v16_st_n(float *p, v16 v, uint32_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
V16_FN v16 v16_ld_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
V16_FN v16 v16_ld_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
V16_FN v16 v16_ld_bf16(const uint16_t *p)
{
    __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}

/* ---- floats ---- */

#define v16_set1(x)      _mm512_set1_ps(x)
#define v16_add(a, b)    _mm512_add_ps(a, b)
#define v16_sub(a, b)    _mm512_sub_ps(a, b)
#define v16_mul(a, b)    _mm512_mul_ps(a, b)
#define v16_div(a, b)    _mm512_div_ps(a, b)
#define v16_max(a, b)    _mm512_max_ps(a, b)
#define v16_min(a, b)    _mm512_min_ps(a, b)
#define v16_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define v16_rint(a)      _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define v16_abs(a)       _mm512_abs_ps(a)

V16_FN v16 v16_copysign(v16 a, v16 s) /* 0xd8: (third ? second : first), bit by bit */
{
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(a), _mm512_castps_si512(s),
                                                         _mm512_set1_epi32((int)0x80000000u), 0xd8));
}
V16_FN float v16_sum(v16 a)
{
    __m256 s = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
V16_FN float v16_hmax(v16 a)
{
    __m256 s = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

/* ---- masks ---- */

#define v16_lt(a, b)     _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define v16_sel(m, a, b) _mm512_mask_blend_ps(m, b, a)

V16_FN v16m v16_lanes(int lo, int hi)
{
    __m512i i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_cmpge_epi32_mask(i, _mm512_set1_epi32(lo)) & _mm512_cmplt_epi32_mask(i, _mm512_set1_epi32(hi));
}

/* ---- int32 ---- */

#define v16i_set1(x)   _mm512_set1_epi32(x)
#define v16i_iota()    _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define v16i_add(a, b) _mm512_add_epi32(a, b)
#define v16i_sub(a, b) _mm512_sub_epi32(a, b)
#define v16i_and(a, b) _mm512_and_si512(a, b)
#define v16i_max(a, b) _mm512_max_epi32(a, b)
#define v16i_shl(a, n) _mm512_slli_epi32(a, n)
#define v16i_shr(a, n) _mm512_srli_epi32(a, n)

V16_FN int32_t v16i_hmax(v16i a)
{
    __m256i s = _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    __m128i t = _mm_max_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    t = _mm_max_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}

/* ---- between the two ---- */

#define v16_bits(a)      _mm512_castps_si512(a)
#define v16_from_bits(a) _mm512_castsi512_ps(a)
#define v16_from_i(a)    _mm512_cvtepi32_ps(a)
#define v16_to_i(a)      _mm512_cvtps_epi32(a)

V16_FN void v16i_st8_sums(int8_t *p, v16i a, v16i b, int32_t *sums)
{
    __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtepi32_epi8(a)), _mm512_cvtepi32_epi8(b), 1);
    _mm256_storeu_si256((__m256i *)(void *)p, v);
    /* vpsadbw adds 8 unsigned bytes: of value + 128. */
    __m256i s = _mm256_sad_epu8(_mm256_xor_si256(v, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    s = _mm256_permutevar8x32_epi32(_mm256_add_epi32(s, _mm256_shuffle_epi32(s, 0x4e)),
                                    _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
    _mm_storel_epi64((__m128i *)(void *)sums, _mm_sub_epi32(_mm256_castsi256_si128(s), _mm_set1_epi32(16 * 128)));
}

/* ---- across lanes ---- */

V16_FN void v16_unzip(v16 a, v16 b, v16 *even, v16 *odd)
{
    const __m512i i = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, i, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(i, _mm512_set1_epi32(1)), b);
}
V16_FN void v16_zip(v16 even, v16 odd, v16 *a, v16 *b)
{
    const __m512i i = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *a = _mm512_permutex2var_ps(even, i, odd);
    *b = _mm512_permutex2var_ps(even, _mm512_add_epi32(i, _mm512_set1_epi32(8)), odd);
}
V16_FN void v16_transpose(v16 r[16])
{
    v16 t[16];
    for (int i = 0; i < 16; i += 2) { /* within 128-bit lanes: 2 x 2, then 4 x 4 */
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm512_shuffle_ps(t[i + j], t[i + j + 2], 0xee);
        }
    for (int i = 0; i < 16; i += 8) /* and 4 x 4 of the lanes themselves */
        for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0xdd);
    }
}
