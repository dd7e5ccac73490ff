/* k_avx512.c: level "avx512", AVX-512 F, BW, VL, DQ and VNNI. Row kernels are rows.inc's; the GEMMs are here. */
#include "backend/cpu/kernels.h"

#ifdef __x86_64__
#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/half.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), \
                             apply_to = function)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#define UNROLL _Pragma("GCC unroll 16")
#endif

#include "backend/cpu/v16_avx512.h"

#include "backend/cpu/rows.inc"

/* ---- int8 ---- *
 * A tile is up to 6 rows x 2 panels: 12 integer and 12 float accumulators, 2 weights, 1 activation and 1 scale fill the 32
 * registers. The bytes of the weights are q + 128, so the integers start from -128 * sum(a), which the row sums give.
 * That start, the activations' scales and, for a minimum, -sum(a) as float are prepared for a tile and up to PASS blocks. */
enum { MR = 6, PASS = 64 };

typedef struct side {
    int32_t start[MR][2 * PASS + 16]; /* by group */
    float minus_sum[MR][2 * PASS + 16];
    float ad[MR][PASS + 16];
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

V16_FN __m512i broadcast4(const int8_t *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

/* q += one plane's dot products over one group. */
V16_FN void dots(__m512i q[MR][2], int steps, int mr, int nr, const int8_t *x, size_t ld, const uint8_t *w,
                 size_t panel_bytes)
{
    UNROLL for (int t = 0; t < steps; t++)
    {
        __m512i u[2];
        UNROLL for (int j = 0; j < nr; j++) u[j] = _mm512_loadu_si512(w + (size_t)j * panel_bytes + 64 * t);
        UNROLL for (int i = 0; i < mr; i++)
        {
            __m512i v = broadcast4(x + (size_t)i * ld + 4 * t);
            UNROLL for (int j = 0; j < nr; j++) q[i][j] = dot4(q[i][j], u[j], v);
        }
    }
}

V16_FN void tile(int shape, int planes, int mr, int nr, const st_qact *a, size_t row, uint32_t block, uint32_t blocks,
                 const side *s, const uint8_t *w, size_t panel_bytes, float *c, size_t ldc)
{
    const int groups = shape >= ST_SHAPE_16 ? 2 : 1, steps = 8 / groups;
    const bool has_min = shape & 1;
    const size_t ld = a->ld;
    const int8_t *hi = a->hi + row * ld + 32 * (size_t)block;
    const int8_t *lo = planes == 2 ? a->lo + row * ld + 32 * (size_t)block : NULL;
    __m512 f[MR][2];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) f[i][j] =
        block ? _mm512_loadu_ps(c + (size_t)i * ldc + 16 * j) : _mm512_setzero_ps();

    for (uint32_t b = 0; b < blocks; b++) {
        UNROLL for (int g = 0; g < groups; g++)
        {
            __m512i q[MR][2];
            UNROLL for (int i = 0; i < mr; i++)
            {
                __m512i start = planes == 2 ? _mm512_setzero_si512() : _mm512_set1_epi32(s->start[i][(uint32_t)groups * b + (uint32_t)g]);
                UNROLL for (int j = 0; j < nr; j++) q[i][j] = start;
            }
            dots(q, steps, mr, nr, hi + 16 * g, ld, w + 64 * steps * g, panel_bytes);
            if (planes == 2) { /* 128 * hi-dot + lo-dot in the same registers */
                UNROLL for (int i = 0; i < mr; i++)
                {
                    __m512i start = _mm512_set1_epi32(s->start[i][(uint32_t)groups * b + (uint32_t)g]);
                    UNROLL for (int j = 0; j < nr; j++) q[i][j] = _mm512_add_epi32(_mm512_slli_epi32(q[i][j], 7), start);
                }
                dots(q, steps, mr, nr, lo + 16 * g, ld, w + 64 * steps * g, panel_bytes);
            }
            UNROLL for (int j = 0; j < nr; j++)
            {
                const uint8_t *tail = w + (size_t)j * panel_bytes + 512 + 64 * g;
                __m512 scale = _mm512_loadu_ps(tail), min = scale;
                if (has_min) min = _mm512_loadu_ps(tail + 64 * groups);
                UNROLL for (int i = 0; i < mr; i++)
                {
                    __m512 ad = _mm512_set1_ps(s->ad[i][b]);
                    f[i][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(q[i][j]), _mm512_mul_ps(scale, ad), f[i][j]);
                    if (has_min)
                        f[i][j] = _mm512_fmadd_ps(_mm512_set1_ps(s->minus_sum[i][(uint32_t)groups * b + (uint32_t)g]),
                                                  _mm512_mul_ps(min, ad), f[i][j]);
                }
            }
        }
        hi += 32;
        if (planes == 2) lo += 32;
        w += st_shape_block_bytes((st_gemm_shape)shape);
    }
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++)
        _mm512_storeu_ps(c + (size_t)i * ldc + 16 * j, f[i][j]);
}

/* One function a tile, so that tests/kernels/spills.sh can find its loop by name. */
#define TILE(shape, planes, mr, nr)                                                                                  \
    static __attribute__((noinline)) void hot_i8_##shape##_##planes##_##mr##x##nr(                                   \
        const st_qact *a, size_t row, uint32_t block, uint32_t blocks, side *s, const uint8_t *w, size_t panel_bytes, \
        float *c, size_t ldc)                                                                                        \
    {                                                                                                                \
        tile(shape, planes, mr, nr, a, row, block, blocks, s, w, panel_bytes, c, ldc);                               \
    }
#define TILES(shape, planes)  \
    TILE(shape, planes, 6, 2) \
    TILE(shape, planes, 4, 2) \
    TILE(shape, planes, 2, 2) \
    TILE(shape, planes, 1, 2) \
    TILE(shape, planes, 6, 1) \
    TILE(shape, planes, 4, 1) \
    TILE(shape, planes, 2, 1) \
    TILE(shape, planes, 1, 1)
TILES(0, 1)
TILES(0, 2)
TILES(1, 1)
TILES(1, 2)
TILES(2, 1)
TILES(2, 2)
TILES(3, 1)
TILES(3, 2)

#define RUN(shape, planes, mr, nr)                                                                              \
    do {                                                                                                        \
        prepare(&s, shape, planes, mr, a, row0 + r, block, n);                                                  \
        hot_i8_##shape##_##planes##_##mr##x##nr(a, row0 + r, block, n, &s, wb, panel_bytes, cr, ldc);           \
        r += mr;                                                                                                \
        cr += mr * ldc;                                                                                         \
    } while (0)
#define RUN_ROWS(shape, planes, nr)                      \
    while (r + 6 <= rows) RUN(shape, planes, 6, nr);     \
    if (r + 4 <= rows) RUN(shape, planes, 4, nr);        \
    if (r + 2 <= rows) RUN(shape, planes, 2, nr);        \
    if (r < rows) RUN(shape, planes, 1, nr)
/* Up to one tile of rows is bound by memory, and one stream of weights comes faster than two: panel by panel then. */
#define GEMM_I8(shape)                                                                                              \
    static void gemm_i8_##shape(const st_qact *a, uint32_t row0, uint32_t rows, int planes, const uint8_t *w,        \
                                size_t panel_bytes, uint32_t n_panels, uint32_t blocks, float *c, size_t ldc)        \
    {                                                                                                               \
        if (n_panels == 2 && rows <= MR) {                                                                          \
            gemm_i8_##shape(a, row0, rows, planes, w, panel_bytes, 1, blocks, c, ldc);                              \
            w += panel_bytes, c += 16, n_panels = 1;                                                                \
        }                                                                                                           \
        side s;                                                                                                     \
        for (uint32_t block = 0; block < blocks; block += PASS) {                                                   \
            const uint32_t n = blocks - block < PASS ? blocks - block : PASS;                                       \
            const uint8_t *wb = w + block * st_shape_block_bytes(shape);                                            \
            float *cr = c;                                                                                          \
            uint32_t r = 0;                                                                                         \
            if (planes == 2 && n_panels == 2) {                                                                     \
                RUN_ROWS(shape, 2, 2);                                                                              \
            } else if (planes == 2) {                                                                               \
                RUN_ROWS(shape, 2, 1);                                                                              \
            } else if (n_panels == 2) {                                                                             \
                RUN_ROWS(shape, 1, 2);                                                                              \
            } else {                                                                                                \
                RUN_ROWS(shape, 1, 1);                                                                              \
            }                                                                                                       \
        }                                                                                                           \
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
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++) f[i][j] =
        accumulate ? _mm512_loadu_ps(c + (size_t)i * ldc + 16 * j) : _mm512_setzero_ps();
    for (uint32_t t = 0; t < k; t++, a++, b += ldb) {
        __m512 u[4];
        UNROLL for (int j = 0; j < nr; j++) u[j] = _mm512_loadu_ps(b + (size_t)j * panel_ld);
        UNROLL for (int i = 0; i < mr; i++)
        {
            __m512 x = _mm512_set1_ps(a[(size_t)i * lda]);
            UNROLL for (int j = 0; j < nr; j++) f[i][j] = _mm512_fmadd_ps(x, u[j], f[i][j]);
        }
    }
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nr; j++)
        _mm512_storeu_ps(c + (size_t)i * ldc + 16 * j, f[i][j]);
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
