/* k_avx512bf16.c: precision `bf16` on vdpbf16ps, and for every unit the rounding and decoding. */
#include "backend/cpu/kernels/bf16_unit.h"

#ifdef __x86_64__
#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#include "backend/cpu/kernels/tiles.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")
#endif

#include "backend/cpu/kernels/v16_avx512.h"

/* ---- rounding ---- */

/* 16 values of lo, then 16 of hi. To nearest even; denormals become zero. */
V16_FN __m512i round2(v16 lo, v16 hi)
{
    return (__m512i)_mm512_cvtne2ps_pbh(hi, lo);
}

/* Pairs (lo[i], hi[i]). */
V16_FN __m512i round_pairs(v16 lo, v16 hi)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, round2(lo, hi));
}

/* n < 16 values and zeros; none if n is negative. */
V16_FN v16 ld_some(const float *p, int64_t n)
{
    return n >= 16 ? v16_ld(p) : n > 0 ? v16_ld_n(p, (uint32_t)n) : v16_set1(0.0f);
}

V16_FN v16m not_finite(v16 x)
{
    return _mm512_cmpge_epi32_mask(v16_bits(v16_abs(x)), _mm512_set1_epi32(0x7f800000));
}

static int round_rows(const float *x, size_t ldx, uint32_t rows, uint32_t k, const st_bact *a, size_t row0, size_t k0)
{
    v16m bad = 0;
    for (uint32_t r = 0; r < rows; r++, x += ldx) {
        uint16_t *y = st_bact_at(a, row0 + r, k0);
        for (uint32_t i = 0; i < k; i += 32, y += 512) {
            const v16 lo = ld_some(x + i, (int64_t)k - i), hi = ld_some(x + i + 16, (int64_t)k - i - 16);
            bad = (v16m)(bad | not_finite(lo) | not_finite(hi));
            _mm512_storeu_si512(y, round2(lo, hi));
        }
    }
    return bad != 0;
}

/* ---- weights ---- */

static void pair(const float *x, size_t ldx, uint32_t k, uint16_t *w)
{
    uint32_t i = 0;
    for (; i + 2 <= k; i += 2, w += 32, x += 2 * ldx) _mm512_storeu_si512(w, round_pairs(v16_ld(x), v16_ld(x + ldx)));
    if (i < k) _mm512_storeu_si512(w, round_pairs(v16_ld(x), v16_set1(0.0f))), i += 2, w += 32;
    for (; i & 31; i += 2, w += 32) _mm512_storeu_si512(w, _mm512_setzero_si512());
}

V16_FN void unpack(int shape, const uint8_t *panel, uint32_t blocks, uint16_t *w)
{
    const int groups = shape >= ST_SHAPE_16 ? 2 : 1;
    const __m512i byte0 = _mm512_set1_epi32(255), offset = _mm512_set1_epi32(128);
    for (uint32_t b = 0; b < blocks; b++, panel += st_shape_block_bytes((st_gemm_shape)shape)) {
        for (int h = 0; h < groups; h++) {
            const float *s = (const float *)(const void *)(panel + 512) + 16 * h;
            const v16 scale = v16_ld(s), min = shape & 1 ? v16_ld(s + 16 * groups) : v16_set1(0.0f);
            for (int g = 0; g < 8 / groups; g++, w += 64) {
                const __m512i q = _mm512_loadu_si512(panel + 512 / groups * h + 64 * g);
                v16 v[4];
                for (int j = 0; j < 4; j++) {
                    const __m512i u = _mm512_and_si512(_mm512_srli_epi32(q, (unsigned)(8 * j)), byte0);
                    v[j] = v16_mul(v16_from_i(_mm512_sub_epi32(u, offset)), scale);
                    if (shape & 1) v[j] = v16_sub(v[j], min);
                }
                _mm512_storeu_si512(w, round_pairs(v[0], v[1]));
                _mm512_storeu_si512(w + 32, round_pairs(v[2], v[3]));
            }
        }
    }
}
#define UNPACK(shape)                                                              \
    static void unpack_##shape(const uint8_t *panel, uint32_t blocks, uint16_t *w) \
    {                                                                              \
        unpack(shape, panel, blocks, w);                                           \
    }
UNPACK(ST_SHAPE_32)
UNPACK(ST_SHAPE_32_MIN)
UNPACK(ST_SHAPE_16)
UNPACK(ST_SHAPE_16_MIN)

/* Pairs of k of one row are 32 bits: 16 rows are transposed as floats are. */
static void pair_rows(const float *x, size_t ldx, uint32_t n, uint32_t k, uint16_t *w)
{
    for (uint32_t i = 0; i < k; i += 32, w += 512) {
        v16 r[16];
        for (uint32_t j = 0; j < 16; j++) {
            r[j] = v16_set1(0.0f);
            if (j >= n) continue; /* no row, and without any x may be NULL */
            const float *p = x + j * ldx + i;
            r[j] = v16_from_bits(round2(ld_some(p, (int64_t)k - i), ld_some(p + 16, (int64_t)k - i - 16)));
        }
        v16_transpose(r);
        for (uint32_t j = 0; j < 16; j++) v16_st((float *)(void *)(w + 32 * j), r[j]);
    }
}

/* ---- products ---- */

/* gcc 12 copies accumulators around the intrinsic and spills; assembly keeps them in place. */
V16_FN __m512 dot(__m512 f, __m512i w, __m512i a)
{
#ifdef __clang__
    return _mm512_dpbf16_ps(f, (__m512bh)w, (__m512bh)a);
#else
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(f) : "v"(w), "v"(a));
    return f;
#endif
}

V16_FN __m512i ld_pair(const uint16_t *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

/* Up to 8 rows of one block of 16: with 2 panels 16 sums, 2 weights, 1 activation. */
V16_FN void rows_tile(int mr, int np, const uint16_t *a, const uint16_t *w, size_t panel_ld, uint32_t blocks,
                      bool accumulate, float *c, size_t ldc)
{
    __m512 f[8][4];
    EACH_ROW(i, mr, EACH_COL(j, np, f[i][j] = accumulate ? v16_ld(c + i * ldc + 16 * j) : v16_set1(0.0f);););
    for (const uint16_t *stop = a + (size_t)blocks * 512; a < stop; a += 512 - 32) {
        NO_UNROLL
        for (const uint16_t *block = a + 32; a < block; a += 2, w += 32) {
            __m512i u[4];
            EACH_COL(j, np, u[j] = _mm512_loadu_si512(w + j * panel_ld););
            EACH_ROW(i, mr, {
                const __m512i x = ld_pair(a + 32 * i);
                EACH_COL(j, np, f[i][j] = dot(f[i][j], u[j], x););
            });
        }
    }
    EACH_ROW(i, mr, EACH_COL(j, np, v16_st(c + i * ldc + 16 * j, f[i][j]);););
}

typedef void (*tile_fn)(const uint16_t *a, const uint16_t *w, size_t panel_ld, uint32_t blocks, bool accumulate,
                        float *c, size_t ldc);
#define ROWS_TILE(mr, np)                                                                                              \
    static __attribute__((noinline)) void hot_bf16_##mr##x##np(const uint16_t *a, const uint16_t *w, size_t panel_ld,  \
                                                               uint32_t blocks, bool accumulate, float *c, size_t ldc) \
    {                                                                                                                  \
        rows_tile(mr, np, a, w, panel_ld, blocks, accumulate, c, ldc);                                                 \
    }
#define ROWS_TILES(np) \
    ROWS_TILE(1, np)   \
    ROWS_TILE(2, np)   \
    ROWS_TILE(3, np)   \
    ROWS_TILE(4, np)   \
    ROWS_TILE(5, np)   \
    ROWS_TILE(6, np)   \
    ROWS_TILE(7, np)   \
    ROWS_TILE(8, np)
#define ROWS_NAMES(np)                                                                                        \
    {                                                                                                         \
        hot_bf16_1x##np, hot_bf16_2x##np, hot_bf16_3x##np, hot_bf16_4x##np, hot_bf16_5x##np, hot_bf16_6x##np, \
            hot_bf16_7x##np, hot_bf16_8x##np                                                                  \
    }
ROWS_TILES(1)
ROWS_TILES(2)
static const tile_fn tiles[2][8] = {ROWS_NAMES(1), ROWS_NAMES(2)};

static void gemm(const uint16_t *a, size_t lda, uint32_t rows, const uint16_t *w, size_t panel_ld, uint32_t n_panels,
                 uint32_t k, bool accumulate, float *c, size_t ldc)
{
    for (uint32_t p = 0, np; p < n_panels; p += np, w += np * panel_ld, c += 16 * np) {
        np = n_panels - p > 1 ? 2 : 1;
        for (uint32_t r = 0, mr; r < rows; r += mr) {
            /* Tiles end at halves of a block of 16 rows; what is left at the end is shared evenly by two. */
            const uint32_t in_block = r % 16, left = rows - r < 16 - in_block ? rows - r : 16 - in_block;
            mr = left <= 8 ? left : (left + 1) / 2;
            tiles[np - 1][mr - 1](a + r / 16 * lda + in_block * 32, w, panel_ld, k / 32, accumulate, c + r * ldc, ldc);
        }
    }
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static void nothing(st_bf16_saved *saved)
{
    (void)saved;
}
static void nothing_again(const st_bf16_saved *saved)
{
    (void)saved;
}

void st_bf16_avx512(st_bf16 *k)
{
    *k = (st_bf16){
        .unit = "avx512bf16",
        .begin = nothing,
        .end = nothing_again,
        .round = round_rows,
        .pair = pair,
        .unpack = {unpack_ST_SHAPE_32, unpack_ST_SHAPE_32_MIN, unpack_ST_SHAPE_16, unpack_ST_SHAPE_16_MIN},
        .pair_rows = pair_rows,
        .gemm = gemm,
    };
}

#else
typedef int k_avx512bf16_is_for_x86; /* no empty translation unit */
#endif
