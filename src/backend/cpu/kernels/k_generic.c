/* k_generic.c: every kernel in plain C. No intrinsics: this is the definition that the other k_*.c are compared with,
 * and what runs where none of them does. */
#include "backend/cpu/kernels/kernels.h"

#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#include <string.h>

#include "backend/cpu/kernels/tiles.h"
#include "backend/cpu/kernels/v16_generic.h"

#include "backend/cpu/kernels/rows.inc"

V16_FN void gemm_i8_body(int shape, const st_qact *a, uint32_t row0, uint32_t rows, int planes, const uint8_t *w,
                         size_t panel_bytes, uint32_t n_panels, uint32_t blocks, bool accumulate, float *c, size_t ldc)
{
    const int groups = shape >= ST_SHAPE_16 ? 2 : 1, steps = 8 / groups;
    const bool has_min = shape & 1;
    for (uint32_t r = 0; r < rows; r++, c += ldc) {
        const size_t at = (size_t)(row0 + r) * a->ld;
        for (uint32_t p = 0; p < n_panels; p++) {
            const uint8_t *block = w + p * panel_bytes;
            float f[16] = {0};
            if (accumulate) memcpy(f, c + 16 * p, sizeof f);
            for (uint32_t b = 0; b < blocks; b++, block += st_shape_block_bytes((st_gemm_shape)shape)) {
                const float *scales = (const float *)(const void *)(block + 512), *mins = scales + 16 * groups;
                const float ad = planes == 2 ? a->d[at / 32 + b] / 128.0f : a->d[at / 32 + b];
                for (int g = 0; g < groups; g++) {
                    int32_t q[16] = {0}, s = 0;
                    for (int plane = 0; plane < planes; plane++) {
                        const int8_t *x = (plane ? a->lo : a->hi) + at + 32 * (size_t)b + 4 * steps * g;
                        const int32_t *sums = (plane ? a->sum_lo : a->sum_hi) + at / 16 + 2 * (size_t)b + g;
                        for (int i = 0; i < 16; i++) q[i] *= 128;
                        for (int t = 0; t < steps; t++) {
                            const uint8_t *u = block + 64 * (steps * g + t);
                            for (int i = 0; i < 16; i++)
                                for (int j = 0; j < 4; j++) q[i] += (u[4 * i + j] - 128) * x[4 * t + j];
                        }
                        if (has_min) s = 128 * s + sums[0] + (groups == 1 ? sums[1] : 0);
                    }
                    for (int i = 0; i < 16; i++) f[i] = fmaf((float)q[i], scales[16 * g + i] * ad, f[i]);
                    if (has_min)
                        for (int i = 0; i < 16; i++) f[i] = fmaf((float)-s, mins[16 * g + i] * ad, f[i]);
                }
            }
            memcpy(c + 16 * p, f, sizeof f);
        }
    }
}

#define GEMM_I8(name, shape)                                                                                           \
    static void name(const st_qact *a, uint32_t row0, uint32_t rows, int planes, const uint8_t *w, size_t panel_bytes, \
                     uint32_t n_panels, uint32_t blocks, bool accumulate, float *c, size_t ldc)                        \
    {                                                                                                                  \
        gemm_i8_body(shape, a, row0, rows, planes, w, panel_bytes, n_panels, blocks, accumulate, c, ldc);              \
    }
GEMM_I8(gemm_i8_32, ST_SHAPE_32)
GEMM_I8(gemm_i8_32_min, ST_SHAPE_32_MIN)
GEMM_I8(gemm_i8_16, ST_SHAPE_16)
GEMM_I8(gemm_i8_16_min, ST_SHAPE_16_MIN)

#define BYTES 8
typedef uint64_t bytes;
V16_FN bytes bytes_ld(const uint8_t *p)
{
    bytes v;
    memcpy(&v, p, BYTES);
    return v;
}
V16_FN void bytes_st(uint8_t *p, bytes v)
{
    memcpy(p, &v, BYTES);
}
#define bytes_set1(x)   (0x0101010101010101u * (uint8_t)(x))
#define bytes_and(x, y) ((x) & (y))
#define bytes_or(x, y)  ((x) | (y))
#define bytes_add(x, y) ((x) + (y))
#define bytes_shl(x, n) ((x) << (n))
#define bytes_shr(x, n) ((x) >> (n))

#include "backend/cpu/kernels/widen.inc"

V16_FN void gemv_i8_body(int width, const st_panel_form *form, const st_qact *a, uint32_t row0, uint32_t rows,
                         int planes, const uint8_t *src, const uint8_t *apart, uint32_t blocks, float *c, size_t ldc)
{
    uint8_t wide[768]; /* a block of the largest shape */
    st_qact at = *a;
    for (uint32_t b = 0; b < blocks; b++, src += st_form_block_bytes(form)) {
        widen_body(width, form, src, apart, 1, wide);
        if (width == ST_WIDTH_5_3) apart += ST_LOW_BYTES;
        if (form->tails == ST_TAILS_I8 && b % ST_SUPER_BLOCKS == ST_SUPER_BLOCKS - 1)
            apart += st_super_bytes(form->shape);
        gemm_i8_body((int)form->shape, &at, row0, rows, planes, wide, sizeof wide, 1, 1, b > 0, c, ldc);
        at.hi += 32, at.d++, at.sum_hi += 2;
        if (planes == 2) at.lo += 32, at.sum_lo += 2;
    }
}
#define GEMV_I8(name, width)                                                                                \
    static void name(const st_panel_form *form, const st_qact *a, uint32_t row0, uint32_t rows, int planes, \
                     const uint8_t *src, const uint8_t *apart, uint32_t blocks, float *c, size_t ldc)       \
    {                                                                                                       \
        gemv_i8_body(width, form, a, row0, rows, planes, src, apart, blocks, c, ldc);                       \
    }
GEMV_I8(gemv_i8_4, ST_WIDTH_4)
GEMV_I8(gemv_i8_5, ST_WIDTH_5)
GEMV_I8(gemv_i8_6, ST_WIDTH_6)
GEMV_I8(gemv_i8_5_3, ST_WIDTH_5_3)

static void gemm_f32(const float *a, size_t lda, uint32_t rows, const float *b, size_t ldb, size_t panel_ld,
                     uint32_t n_panels, uint32_t k, bool accumulate, float *c, size_t ldc)
{
    for (uint32_t r = 0; r < rows; r++, a += lda, c += ldc)
        for (uint32_t p = 0; p < n_panels; p++) {
            v16 f = accumulate ? v16_ld(c + 16 * p) : v16_set1(0.0f);
            for (uint32_t i = 0; i < k; i++) f = v16_fma(v16_set1(a[i]), v16_ld(b + p * panel_ld + i * ldb), f);
            v16_st(c + 16 * p, f);
        }
}

static void interleave(const uint8_t *src, size_t ld, size_t step, uint32_t blocks, uint8_t flip, uint8_t *dst,
                       size_t dst_step)
{
    const uint32_t flips = 0x01010101u * flip;
    for (uint32_t b = 0; b < blocks; b++, src += step, dst += dst_step)
        for (uint32_t g = 0; g < 8; g++)
            for (uint32_t i = 0; i < 16; i++) {
                uint32_t x;
                memcpy(&x, src + i * ld + 4 * g, 4);
                x ^= flips;
                memcpy(dst + 64 * g + 4 * i, &x, 4);
            }
}

void st_kernels_generic(st_kernels *k)
{
    rows_fill(k);
    k->interleave = interleave;
    widen_fill(k);
    k->gemv_i8[ST_WIDTH_4] = gemv_i8_4;
    k->gemv_i8[ST_WIDTH_5] = gemv_i8_5;
    k->gemv_i8[ST_WIDTH_6] = gemv_i8_6;
    k->gemv_i8[ST_WIDTH_5_3] = gemv_i8_5_3;
    k->gemm_i8[ST_SHAPE_32] = gemm_i8_32;
    k->gemm_i8[ST_SHAPE_32_MIN] = gemm_i8_32_min;
    k->gemm_i8[ST_SHAPE_16] = gemm_i8_16;
    k->gemm_i8[ST_SHAPE_16_MIN] = gemm_i8_16_min;
    k->gemm_f32 = gemm_f32;
}
