/* v16_avx2.h: the primitives of v16_generic.h as two 256-bit vectors. Needs AVX2, FMA and F16C. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define V16_FN static inline __attribute__((always_inline, unused))

typedef struct v16 {
    __m256 a, b; /* lanes 0-7, 8-15 */
} v16;
typedef struct v16i {
    __m256i a, b;
} v16i;
typedef struct v16m {
    __m256 a, b;
} v16m;

/* ---- memory ---- */

V16_FN v16 v16_ld(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
V16_FN void v16_st(float *p, v16 v)
{
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
/* Lanes 0-7 below n. */
V16_FN __m256i v16_below(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V16_FN v16 v16_ld_n(const float *p, uint32_t n)
{
    if (n <= 8) return (v16){_mm256_maskload_ps(p, v16_below((int)n)), _mm256_setzero_ps()};
    return (v16){_mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, v16_below((int)n - 8))};
}
V16_FN void v16_st_n(float *p, v16 v, uint32_t n)
{
    if (n <= 8) {
        _mm256_maskstore_ps(p, v16_below((int)n), v.a);
        return;
    }
    _mm256_storeu_ps(p, v.a);
    _mm256_maskstore_ps(p + 8, v16_below((int)n - 8), v.b);
}
V16_FN v16i v16i_ld(const void *p)
{
    const __m256i *q = p;
    return (v16i){_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
V16_FN v16 v16_ld_f16(const uint16_t *p)
{
    const __m128i *q = (const void *)p;
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
V16_FN v16 v16_ld_i8(const int8_t *p)
{
    const __m128i q = _mm_loadu_si128((const void *)p);
    return (v16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(q, q)))};
}
V16_FN v16 v16_ld_bf16(const uint16_t *p)
{
    const __m128i *q = (const void *)p;
    __m256i a = _mm256_cvtepu16_epi32(_mm_loadu_si128(q)), b = _mm256_cvtepu16_epi32(_mm_loadu_si128(q + 1));
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
}

/* ---- floats ---- */

V16_FN v16 v16_set1(float x)
{
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
V16_FN v16 v16_add(v16 x, v16 y)
{
    return (v16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
V16_FN v16 v16_sub(v16 x, v16 y)
{
    return (v16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
V16_FN v16 v16_mul(v16 x, v16 y)
{
    return (v16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
V16_FN v16 v16_div(v16 x, v16 y)
{
    return (v16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
V16_FN v16 v16_max(v16 x, v16 y)
{
    return (v16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
V16_FN v16 v16_min(v16 x, v16 y)
{
    return (v16){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
V16_FN v16 v16_fma(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
V16_FN v16 v16_rint(v16 x)
{
    return (v16){_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
V16_FN v16 v16_abs(v16 x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
V16_FN v16 v16_copysign(v16 x, v16 s)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_or_ps(_mm256_andnot_ps(sign, x.a), _mm256_and_ps(sign, s.a)),
                 _mm256_or_ps(_mm256_andnot_ps(sign, x.b), _mm256_and_ps(sign, s.b))};
}
V16_FN float v16_sum(v16 x)
{
    __m256 s = _mm256_add_ps(x.a, x.b);
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
V16_FN float v16_hmax(v16 x)
{
    __m256 s = _mm256_max_ps(x.a, x.b);
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

/* ---- masks ---- */

V16_FN v16m v16_lt(v16 x, v16 y)
{
    return (v16m){_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)};
}
V16_FN v16m v16_lanes(int lo, int hi)
{
    return (v16m){_mm256_castsi256_ps(_mm256_andnot_si256(v16_below(lo), v16_below(hi))),
                  _mm256_castsi256_ps(_mm256_andnot_si256(v16_below(lo - 8), v16_below(hi - 8)))};
}
V16_FN v16 v16_sel(v16m m, v16 x, v16 y)
{
    return (v16){_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)};
}

/* ---- int32 ---- */

V16_FN v16i v16i_set1(int32_t x)
{
    return (v16i){_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
V16_FN v16i v16i_iota(void)
{
    return (v16i){_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
V16_FN v16i v16i_add(v16i x, v16i y)
{
    return (v16i){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
V16_FN v16i v16i_sub(v16i x, v16i y)
{
    return (v16i){_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
V16_FN v16i v16i_and(v16i x, v16i y)
{
    return (v16i){_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
V16_FN v16i v16i_max(v16i x, v16i y)
{
    return (v16i){_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)};
}
V16_FN v16i v16i_shl(v16i x, int n)
{
    return (v16i){_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
V16_FN v16i v16i_shr(v16i x, int n)
{
    return (v16i){_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)};
}
V16_FN int32_t v16i_hmax(v16i x)
{
    __m256i s = _mm256_max_epi32(x.a, x.b);
    __m128i t = _mm_max_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    t = _mm_max_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}

/* ---- between the two ---- */

V16_FN v16i v16_bits(v16 x)
{
    return (v16i){_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
}
V16_FN v16 v16_from_bits(v16i x)
{
    return (v16){_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
V16_FN v16 v16_from_i(v16i x)
{
    return (v16){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
V16_FN v16i v16_to_i(v16 x)
{
    return (v16i){_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}

V16_FN void v16i_st8_sums(int8_t *p, v16i x, v16i y, int32_t *sums)
{
    __m256i v = _mm256_packs_epi16(_mm256_packs_epi32(x.a, x.b), _mm256_packs_epi32(y.a, y.b));
    v = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)p, v);
    /* vpsadbw adds 8 unsigned bytes: of value + 128. */
    __m256i s = _mm256_sad_epu8(_mm256_xor_si256(v, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    s = _mm256_permutevar8x32_epi32(_mm256_add_epi32(s, _mm256_shuffle_epi32(s, 0x4e)),
                                    _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
    _mm_storel_epi64((__m128i *)(void *)sums, _mm_sub_epi32(_mm256_castsi256_si128(s), _mm_set1_epi32(16 * 128)));
}

/* ---- across lanes ---- */

V16_FN void v16_unzip(v16 x, v16 y, v16 *even, v16 *odd)
{
#define FIX(v) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8))
    even->a = FIX(_mm256_shuffle_ps(x.a, x.b, 0x88));
    even->b = FIX(_mm256_shuffle_ps(y.a, y.b, 0x88));
    odd->a = FIX(_mm256_shuffle_ps(x.a, x.b, 0xdd));
    odd->b = FIX(_mm256_shuffle_ps(y.a, y.b, 0xdd));
#undef FIX
}
V16_FN void v16_zip(v16 even, v16 odd, v16 *x, v16 *y)
{
    __m256 l = _mm256_unpacklo_ps(even.a, odd.a), h = _mm256_unpackhi_ps(even.a, odd.a);
    x->a = _mm256_permute2f128_ps(l, h, 0x20), x->b = _mm256_permute2f128_ps(l, h, 0x31);
    l = _mm256_unpacklo_ps(even.b, odd.b), h = _mm256_unpackhi_ps(even.b, odd.b);
    y->a = _mm256_permute2f128_ps(l, h, 0x20), y->b = _mm256_permute2f128_ps(l, h, 0x31);
}

/* 8 x 8 in registers. */
V16_FN void v16_transpose8(__m256 r[8])
{
    __m256 t[8], u[8];
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            u[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
            u[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}
V16_FN void v16_transpose(v16 r[16])
{
    __m256 q[4][8]; /* quadrants: rows 0-7 left and right, rows 8-15 left and right */
    for (int i = 0; i < 8; i++) q[0][i] = r[i].a, q[1][i] = r[i].b, q[2][i] = r[i + 8].a, q[3][i] = r[i + 8].b;
    for (int i = 0; i < 4; i++) v16_transpose8(q[i]);
    for (int i = 0; i < 8; i++) {
        r[i] = (v16){q[0][i], q[2][i]};
        r[i + 8] = (v16){q[1][i], q[3][i]};
    }
}
