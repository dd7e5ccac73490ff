/* k_avx512.c: level "avx512", AVX-512 F, BW, VL, DQ and VNNI. Row kernels are rows.inc's; the GEMMs are here. */
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
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif

#include "backend/cpu/v16_avx512.h"

#include "backend/cpu/rows.inc"

/* ---- int8 ---- *
 * A tile is up to 6 rows x 2 panels: 12 integer and 12 float accumulators, 2 weights, 1 activation and 1 scale fill the 32
 * registers. The bytes of the weights are q + 128, so the integers start from -128 * sum(a), which the row sums give.
 * That start, the activations' scales and, for a minimum, -sum(a) as float are prepared for a tile and up to PASS blocks. */
enum { MR = 6, PASS = 64, AD_LD = PASS + 16, SIDE_LD = 2 * PASS + 16 };

typedef struct side {
    int32_t start[MR][SIDE_LD]; /* by group */
    float minus_sum[MR][SIDE_LD];
    float ad[MR][AD_LD];
} side;

V16_FN void prepare(side *s, int shape, int planes, int mr, const st_qact *a, size_t row, uint32_t block, uint32_t blocks)
{
    const int groups = shape >= ST_SHAPE_16 ? 2 : 1;
    const bool has_min = shape & 1;
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1)), zero = _mm512_setzero_si512();
    for (int i = 0; i < mr; i++) {
        const size_t at = (row + (size_t)i) * a->ld / 32 + block;
        for (uint32_t b = 0; b < blocks; b += 16) {
            const uint32_t n = blocks - b < 16 ? blocks - b : 16;
            const uint32_t bits = n == 16 ? 0xffffffffu : (1u << 2 * n) - 1;
            const __mmask16 m[2] = {(__mmask16)bits, (__mmask16)(bits >> 16)};
            __m512 d = _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), a->d + at + b);
            if (planes == 2) d = _mm512_mul_ps(d, _mm512_set1_ps(1.0f / 128));
            _mm512_storeu_ps(s->ad[i] + b, d);
            __m512i v[2];
            for (int h = 0; h < 2; h++) {
                const size_t from = 2 * (at + b) + 16 * (size_t)h;
                v[h] = _mm512_maskz_loadu_epi32(m[h], a->sum_hi + from);
                if (planes == 2)
                    v[h] = _mm512_add_epi32(_mm512_slli_epi32(v[h], 7), _mm512_maskz_loadu_epi32(m[h], a->sum_lo + from));
            }
            if (groups == 1) {
                v[0] = _mm512_add_epi32(_mm512_permutex2var_epi32(v[0], even, v[1]),
                                        _mm512_permutex2var_epi32(v[0], odd, v[1]));
            }
            for (int h = 0; h < groups; h++) {
                const uint32_t to = (uint32_t)groups * b + 16 * (uint32_t)h;
                __m512i minus = _mm512_sub_epi32(zero, v[h]);
                _mm512_storeu_si512(s->start[i] + to, _mm512_slli_epi32(minus, 7));
                if (has_min) _mm512_storeu_ps(s->minus_sum[i] + to, _mm512_cvtepi32_ps(minus));
            }
        }
    }
}

/* gcc 12 copies accumulators around _mm512_dpbusd_epi32 and spills; one instruction of assembly keeps them in place. */
V16_FN __m512i dot4(__m512i acc, __m512i w, __m512i a)
{
#ifdef __clang__
    return _mm512_dpbusd_epi32(acc, w, a);
#else
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(a));
    return acc;
#endif
}

V16_FN __m512i times128_plus(__m512i q, __m512i v)
{
#ifdef __clang__
    return _mm512_add_epi32(_mm512_slli_epi32(q, 7), v);
#else
    __asm__("vpslld $7, %0, %0\n\tvpaddd %1, %0, %0" : "+&v"(q) : "v"(v));
    return q;
#endif
}

V16_FN __m512i broadcast4(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

/* q += one plane's dot products over one group. x: the row of activations. The rows are addressed from x and from x + 3 ld:
 * left alone, gcc keeps six pointers and spills. */
V16_FN void dots(__m512i q[8][4], int steps, int mr, int nr, const int8_t *x, size_t ld, const uint8_t *w,
                 size_t panel_bytes)
{
    const int8_t *x3 = x + 3 * ld;
    if (mr > 2) KEEP(x3);
    EACH_STEP(t, steps, {
        __m512i u[4];
        EACH_COL(j, nr, u[j] = _mm512_loadu_si512(w + j * panel_bytes + 64 * t););
        EACH_ROW(i, mr, {
            __m512i v = broadcast4((i < 3 ? x + i * ld : x3 + (size_t)(i - 3) * ld) + 4 * t);
            EACH_COL(j, nr, q[i][j] = dot4(q[i][j], u[j], v););
        });
    });
}

V16_FN void tile(int shape, int planes, int mr, int nr, const st_qact *a, size_t row, uint32_t block, uint32_t blocks,
                 const side *s, const uint8_t *w, size_t panel_bytes, float *c, size_t ldc)
{
    const int groups = shape >= ST_SHAPE_16 ? 2 : 1, steps = 8 / groups;
    const bool has_min = shape & 1;
    const size_t ld = a->ld, stride = st_shape_block_bytes((st_gemm_shape)shape);
    const int8_t *x = a->hi + row * ld + 32 * (size_t)block, *end = x + 32 * (size_t)blocks;
    const ptrdiff_t to_lo = planes == 2 ? a->lo - a->hi : 0;
    const int32_t *start = s->start[0];
    const float *minus_sum = s->minus_sum[0], *ads = s->ad[0];
    __m512 f[8][4];
    EACH_ROW(i, mr, EACH_COL(j, nr, f[i][j] = block ? _mm512_loadu_ps(c + i * ldc + 16 * j) : _mm512_setzero_ps();););

    const uint8_t *tail = w + 512;
    size_t second = 0; /* groups of 16: 1 in the second half of a block */
    for (; x < end; x += 32 / groups, start++, minus_sum++) {
        __m512i q[8][4];
        EACH_ROW(i, mr, {
            __m512i v = planes == 2 ? _mm512_setzero_si512() : _mm512_set1_epi32(start[i * SIDE_LD]);
            EACH_COL(j, nr, q[i][j] = v;);
        });
        dots(q, steps, mr, nr, x, ld, w, panel_bytes);
        if (planes == 2) { /* 128 * hi-dot + lo-dot in the same registers */
            EACH_ROW(i, mr, {
                __m512i v = _mm512_set1_epi32(start[i * SIDE_LD]);
                EACH_COL(j, nr, q[i][j] = times128_plus(q[i][j], v););
            });
            KEEP(w); /* or the weights stay in registers, and others spill */
            dots(q, steps, mr, nr, x + to_lo, ld, w, panel_bytes);
        }
        __m512 scale[4], min[4];
        EACH_COL(j, nr, scale[j] = _mm512_loadu_ps(tail + j * panel_bytes););
        if (has_min) EACH_COL(j, nr, min[j] = _mm512_loadu_ps(tail + j * panel_bytes + 64 * groups););
        EACH_ROW(i, mr, {
            __m512 ad = _mm512_set1_ps(ads[i * AD_LD]);
            EACH_COL(j, nr, f[i][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(q[i][j]), _mm512_mul_ps(scale[j], ad), f[i][j]););
            if (has_min) {
                __m512 s_ = _mm512_set1_ps(minus_sum[i * SIDE_LD]);
                EACH_COL(j, nr, f[i][j] = _mm512_fmadd_ps(s_, _mm512_mul_ps(min[j], ad), f[i][j]););
            }
        });
        w += 64 * steps, tail += 64, ads++;
        if (groups == 2) {
            w += second * (stride - 512), tail += second * (stride - 128), ads += second - 1;
            second ^= 1;
        } else {
            w += stride - 512, tail += stride - 64;
        }
    }
    EACH_ROW(i, mr, EACH_COL(j, nr, _mm512_storeu_ps(c + i * ldc + 16 * j, f[i][j]);););
}

/* One function a tile, so that tests/kernels/spills.sh finds its loop by name: hot_i8_SHAPE_PLANES_ROWSxPANELS. */
typedef void (*tile_fn)(const st_qact *a, size_t row, uint32_t block, uint32_t blocks, const side *s, const uint8_t *w,
                        size_t panel_bytes, float *c, size_t ldc);
#define TILE(shape, planes, mr, nr)                                                                            \
    static __attribute__((noinline)) void hot_i8_##shape##_##planes##_##mr##x##nr(                             \
        const st_qact *a, size_t row, uint32_t block, uint32_t blocks, const side *s, const uint8_t *w,        \
        size_t panel_bytes, float *c, size_t ldc)                                                              \
    {                                                                                                          \
        tile(shape, planes, mr, nr, a, row, block, blocks, s, w, panel_bytes, c, ldc);                         \
    }
#define TILES(shape, planes, nr)                                                                               \
    TILE(shape, planes, 1, nr)                                                                                 \
    TILE(shape, planes, 2, nr)                                                                                 \
    TILE(shape, planes, 3, nr)                                                                                 \
    TILE(shape, planes, 4, nr)                                                                                 \
    TILE(shape, planes, 5, nr)                                                                                 \
    TILE(shape, planes, 6, nr)                                                                                 \
    static const tile_fn tiles_##shape##_##planes##_##nr[MR] = {                                               \
        hot_i8_##shape##_##planes##_1x##nr, hot_i8_##shape##_##planes##_2x##nr,                                \
        hot_i8_##shape##_##planes##_3x##nr, hot_i8_##shape##_##planes##_4x##nr,                                \
        hot_i8_##shape##_##planes##_5x##nr, hot_i8_##shape##_##planes##_6x##nr};

V16_FN void rows_by_tiles(int shape, int planes, const tile_fn tiles[MR], const st_qact *a, uint32_t row0, uint32_t rows,
                          const uint8_t *w, size_t panel_bytes, uint32_t blocks, float *c, size_t ldc)
{
    side s;
    for (uint32_t block = 0; block < blocks; block += PASS, w += PASS * st_shape_block_bytes((st_gemm_shape)shape)) {
        const uint32_t n = blocks - block < PASS ? blocks - block : PASS;
        for (uint32_t r = 0, mr; r < rows; r += mr) {
            const uint32_t left = rows - r, tiles_left = (left + MR - 1) / MR;
            mr = (left + tiles_left - 1) / tiles_left;
            prepare(&s, shape, planes, (int)mr, a, row0 + r, block, n);
            tiles[mr - 1](a, row0 + r, block, n, &s, w, panel_bytes, c + r * ldc, ldc);
        }
    }
}

/* Rows for one tile are bound by memory, and one stream of weights comes faster than two: panel by panel then. */
#define GEMM_I8(shape)                                                                                               \
    TILES(shape, 1, 1)                                                                                               \
    TILES(shape, 1, 2)                                                                                               \
    TILES(shape, 2, 1)                                                                                               \
    TILES(shape, 2, 2)                                                                                               \
    static void gemm_i8_##shape(const st_qact *a, uint32_t row0, uint32_t rows, int planes, const uint8_t *w,         \
                                size_t panel_bytes, uint32_t n_panels, uint32_t blocks, float *c, size_t ldc)         \
    {                                                                                                                \
        const uint32_t step = rows <= MR ? 1 : n_panels;                                                             \
        for (uint32_t p = 0; p < n_panels; p += step, w += panel_bytes, c += 16) {                                   \
            if (planes == 2)                                                                                         \
                rows_by_tiles(shape, 2, step == 2 ? tiles_##shape##_2_2 : tiles_##shape##_2_1, a, row0, rows, w,     \
                              panel_bytes, blocks, c, ldc);                                                          \
            else                                                                                                     \
                rows_by_tiles(shape, 1, step == 2 ? tiles_##shape##_1_2 : tiles_##shape##_1_1, a, row0, rows, w,     \
                              panel_bytes, blocks, c, ldc);                                                          \
        }                                                                                                            \
    }
GEMM_I8(0)
GEMM_I8(1)
GEMM_I8(2)
GEMM_I8(3)

/* ---- float ---- */

V16_FN void f32_tile(int mr, int nr, const float *a, size_t lda, const float *b, size_t ldb, size_t panel_ld, uint32_t k,
                     bool accumulate, float *c, size_t ldc)
{
    __m512 f[8][4];
    EACH_ROW(i, mr,
             EACH_COL(j, nr, f[i][j] = accumulate ? _mm512_loadu_ps(c + i * ldc + 16 * j) : _mm512_setzero_ps();););
    for (const float *end = a + k; a < end; a++, b += ldb) {
        const float *a3 = a + 3 * lda, *a6 = a + 6 * lda;
        if (mr > 3) KEEP(a3);
        if (mr > 6) KEEP(a6);
        __m512 u[4];
        EACH_COL(j, nr, u[j] = _mm512_loadu_ps(b + j * panel_ld););
        EACH_ROW(i, mr, {
            __m512 x = _mm512_set1_ps(*(i < 3 ? a + i * lda : i < 6 ? a3 + (i - 3) * lda : a6 + (i - 6) * lda));
            EACH_COL(j, nr, f[i][j] = _mm512_fmadd_ps(x, u[j], f[i][j]););
        });
    }
    EACH_ROW(i, mr, EACH_COL(j, nr, _mm512_storeu_ps(c + i * ldc + 16 * j, f[i][j]);););
}

#define F32_TILE(mr, nr)                                                                                           \
    static __attribute__((noinline)) void hot_f32_##mr##x##nr(const float *a, size_t lda, const float *b, size_t ldb, \
                                                              size_t panel_ld, uint32_t k, bool accumulate, float *c, \
                                                              size_t ldc)                                          \
    {                                                                                                              \
        f32_tile(mr, nr, a, lda, b, ldb, panel_ld, k, accumulate, c, ldc);                                         \
    }
#define F32_TILES(mr) \
    F32_TILE(mr, 1)   \
    F32_TILE(mr, 2)   \
    F32_TILE(mr, 3)
F32_TILES(8)
F32_TILES(4)
F32_TILES(2)
F32_TILES(1)
F32_TILE(1, 4)

typedef void (*f32_fn)(const float *a, size_t lda, const float *b, size_t ldb, size_t panel_ld, uint32_t k, bool accumulate,
                       float *c, size_t ldc);
static const f32_fn f32_tiles[4][4] = {
    {hot_f32_1x1, hot_f32_1x2, hot_f32_1x3, hot_f32_1x4},
    {hot_f32_2x1, hot_f32_2x2, hot_f32_2x3, NULL},
    {hot_f32_4x1, hot_f32_4x2, hot_f32_4x3, NULL},
    {hot_f32_8x1, hot_f32_8x2, hot_f32_8x3, NULL},
};

static void gemm_f32(const float *a, size_t lda, uint32_t rows, const float *b, size_t ldb, size_t panel_ld,
                     uint32_t n_panels, uint32_t k, bool accumulate, float *c, size_t ldc)
{
    for (uint32_t p = 0, nr; p < n_panels; p += nr, b += nr * panel_ld, c += 16 * nr) {
        const uint32_t left = n_panels - p;
        nr = rows == 1 && left >= 4 ? 4 : left == 4 ? 2 : left < 3 ? left : 3;
        for (uint32_t r = 0; r < rows;) {
            uint32_t log = rows - r >= 8 ? 3 : rows - r >= 4 ? 2 : rows - r >= 2 ? 1 : 0;
            f32_tiles[log][nr - 1](a + r * lda, lda, b, ldb, panel_ld, k, accumulate, c + r * ldc, ldc);
            r += 1u << log;
        }
    }
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void st_kernels_avx512(st_kernels *k)
{
    k->level = "avx512";
    rows_fill(k);
    k->gemm_i8[ST_SHAPE_32] = gemm_i8_0;
    k->gemm_i8[ST_SHAPE_32_MIN] = gemm_i8_1;
    k->gemm_i8[ST_SHAPE_16] = gemm_i8_2;
    k->gemm_i8[ST_SHAPE_16_MIN] = gemm_i8_3;
    k->gemm_f32 = gemm_f32;
}

#else
typedef int k_avx512_is_for_x86; /* no empty translation unit */
#endif
