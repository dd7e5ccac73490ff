/* kernels.h: the table of CPU kernels, one pointer an operation.
 *
 * k_generic.c fills every entry in plain C and is the definition; each k_<isa>.c overwrites the entries that it does
 * faster with *the same bits*. levels.def has a row for each, and kernels.c takes those that this CPU and its
 * operating system grant.
 *
 * Why the bits are the same: one output element is owned by one lane and its terms are added in the order stated here,
 * so the width of the vector unit does not matter. Sums over a row use a fixed virtual width: 16 partial sums by
 * (index mod 16), then the tree (i, i+8), (i, i+4), (i, i+2), (i, i+1). exp and tanh are our own. Every product
 * and sum is a separate IEEE operation or an explicit fma, as written.
 *
 * Shapes are row-major. `ld*` is the distance between rows in elements. Pointers need no alignment unless stated. No
 * entry allocates, and none reads or writes outside the shapes given (packed weights and panels excepted: they are
 * whole panels of 16 columns).
 */
#ifndef ST_BACKEND_CPU_KERNELS_KERNELS_H
#define ST_BACKEND_CPU_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/act.h"

/* ---- packed weights ---------------------------------------------------------------------------------------------- *
 * A matrix [n, k] (n outputs) is cut into panels of 16 columns. Integer panels are a row of k/32 blocks, each
 *     u8  q[8][16][4]    q[g][c][j] = weight (column c, k = 4 g + j of the block) + 128
 *     f32 scale[32/group][16]
 *     f32 min[32/group][16]     only if the shape has one
 * so that 64 bytes of q are one VNNI operand (16 columns x 4 k). Float panels are [k][16] of f32, f16 or bf16. Columns
 * past n are zero weights (q = 128) with scale 0. */

typedef enum st_gemm_shape {                      /* value = scale * q - min */
                             ST_SHAPE_32 = 0,     /* a scale for 32 values */
                             ST_SHAPE_32_MIN = 1, /* and a minimum */
                             ST_SHAPE_16 = 2,     /* a scale for 16 values */
                             ST_SHAPE_16_MIN = 3,
                             ST_SHAPE_COUNT = 4
} st_gemm_shape;

/* Scales and minima of one column of a block. */
static inline uint32_t st_shape_tails(st_gemm_shape s)
{
    return (s >= ST_SHAPE_16 ? 2u : 1u) * (s & 1 ? 2u : 1u);
}

/* Bytes of one block of 32 x 16 weights of a shape. */
static inline size_t st_shape_block_bytes(st_gemm_shape s)
{
    return 512 + 64 * (size_t)st_shape_tails(s);
}

/* Types of fewer bits keep them: their blocks are narrow, and widened (`widen`) a few at a time into those above, in
 * cache. A weight is stored as itself + zero, where zero is 0 or half of the width's range (8, 16, 32). Step g is
 * 4 g <= k < 4 g + 4, byte j of a column there is k = 4 g + j:
 *
 *     u8 n[4][16][4]    low four bits: of steps 0..3 in the low halves, of steps 4..7 in the high halves of n[g % 4]
 *     u8 h[16][4]       5 bits: bit 4 of step g in bit g
 *     u8 h[2][16][4]    6 bits: bits 4 and 5 of step g in bits 2 (g % 4) and above of h[g / 4]
 *
 * The scales and minima follow in the order above: as f32; as f16 where the type has f16; or, in K-quants, as the int8
 * that they are in the file, and apart, for each 8 blocks, what they are multiplied with: f16 of the 16 scales, then of
 * the 16 minima, if there are any.
 *
 * 8 bits can be kept in two places, for products that read the lower three of few panels only (op_select.c): 5_3 has
 * the upper five as above, and apart, block by block, the lower three
 *
 *     u8 l[2][16][4]    bits 0 and 1 of step g in bits 2 (g % 4) and above of l[g / 4]
 *     u8 m[16][4]       bit 2 of step g in bit g */
typedef enum st_width { ST_WIDTH_4 = 0, ST_WIDTH_5 = 1, ST_WIDTH_6 = 2, ST_WIDTH_5_3 = 3, ST_WIDTH_8 = 4 } st_width;

typedef enum st_tails { ST_TAILS_F32 = 0, ST_TAILS_F16 = 1, ST_TAILS_I8 = 2 } st_tails;

typedef struct st_panel_form {
    st_gemm_shape shape;
    st_width width; /* ST_WIDTH_8: as the GEMMs take it, zero 128, tails f32 */
    uint8_t zero;   /* with tails of int8: not 0 where, and only where, there is no minimum */
    st_tails tails;
} st_panel_form;

/* Bytes of the weights of a block; of 5_3 those of the upper bits. */
static inline size_t st_width_bytes(int w)
{
    return w == ST_WIDTH_8 ? 512 : w == ST_WIDTH_4 ? 256 : w == ST_WIDTH_6 ? 384 : 320;
}

static inline size_t st_form_block_bytes(const st_panel_form *f)
{
    return st_width_bytes(f->width) + (64u >> f->tails) * (size_t)st_shape_tails(f->shape);
}

/* What a form keeps apart: bytes, and how many blocks they are for. */
#define ST_LOW_BYTES    192u /* of the lower bits of 5_3 */
#define ST_SUPER_BLOCKS 8u   /* that share their factors, of tails of int8 */
static inline size_t st_super_bytes(st_gemm_shape shape)
{
    return shape & 1 ? 64 : 32;
}

/* Bytes that `blocks` blocks have apart; of tails of int8 in whole super-blocks. */
static inline size_t st_form_apart(const st_panel_form *f, size_t blocks)
{
    if (f->width == ST_WIDTH_5_3) return blocks * ST_LOW_BYTES;
    return f->tails == ST_TAILS_I8 ? blocks / ST_SUPER_BLOCKS * st_super_bytes(f->shape) : 0;
}

/* ---- int8 activations -------------------------------------------------------------------------------------------- *
 * A row x [k] (k a multiple of 32) per block of 32: d = amax/127 and hi = rint(x * (127/amax)), |hi| <= 127. If amax is
 * 0 or so small that 127/amax overflows, d = 0 and hi = 0. The second plane keeps the rest,
 * lo = rint((x * (127/amax) - hi) * 128), |lo| <= 64, so that x ~ d/128 * (128 hi + lo): 15 bits for what one plane
 * does not carry (values, see plan.c). */
typedef struct st_qact {
    int8_t *hi;      /* [rows, ld] */
    int8_t *lo;      /* [rows, ld]; only where two planes are wanted */
    float *d;        /* [rows, ld/32] */
    int32_t *sum_hi; /* [rows, ld/16] sums of 16 values of hi */
    int32_t *sum_lo; /* the same of lo */
    size_t ld;       /* multiple of 32, >= k */
} st_qact;

typedef struct st_kernels {
    const char *level; /* "generic", "avx2", ...: the last that had its turn */

    /* Rows row0..row0+rows of a, columns k0..k0+k (multiples of 32) from x [rows, ldx] (x's column 0 is k0). lo and
     * sum_lo are written if planes == 2. Returns 0, or 1 if any value is NaN or infinite (what is written then is
     * unspecified). */
    int (*quantize)(const float *x, size_t ldx, uint32_t rows, uint32_t k, int planes, st_qact *a, uint32_t row0,
                    uint32_t k0);

    /* c [rows, ldc], columns 0..16*n_panels = rows row0.. of a times integer panels (panel p at w + p*panel_bytes),
     * over `blocks` blocks of 32, from 0 or, if accumulate, from c. Any n_panels >= 1. Per output and group of 16 or
     * 32 values, in k order: q = sum of a*w (planes 2: 128 * hi-dot + lo-dot), ad = d (planes 2: d/128), t = scale*ad,
     * f = fma((float)q, t, f); with a minimum then, s = the group's sum (planes 2: 128 * sum_hi + sum_lo): m = min*ad,
     * f = fma((float)-s, m, f). */
    void (*gemm_i8[ST_SHAPE_COUNT])(const st_qact *a, uint32_t row0, uint32_t rows, int planes, const uint8_t *w,
                                    size_t panel_bytes, uint32_t n_panels, uint32_t blocks, bool accumulate, float *c,
                                    size_t ldc);

    /* c [rows, ldc], columns 0..16 = rows row0.. of a times one narrow panel at src: the bits of gemm_i8 over the
     * widened panel, without widening it. apart: what the form keeps apart, else not read. */
    void (*gemv_i8[ST_WIDTH_8])(const st_panel_form *form, const st_qact *a, uint32_t row0, uint32_t rows, int planes,
                                const uint8_t *src, const uint8_t *apart, uint32_t blocks, float *c, size_t ldc);

    /* Blocks of a narrow form -> blocks of its shape. Of tails of int8 the first block begins a super-block, or all are
     * of one. */
    void (*widen[ST_WIDTH_8])(const st_panel_form *form, const uint8_t *src, const uint8_t *apart, uint32_t blocks,
                              uint8_t *dst);

    /* c[j] += the sum over b, in that order, of max(s * up[b], s * down[b]), where s is value j of 16 f16 at
     * src + b*step. Each product is rounded; a NaN among them makes c[j] NaN or is left out. */
    void (*add_bound)(const uint8_t *src, size_t step, uint32_t blocks, const float *up, const float *down, float *c);

    /* c [rows, ldc], columns 0..16*n_panels = a [rows, lda] times b, where b(k, 16 p + j) = b[p*panel_ld + k*ldb + j].
     * One chain of fmas over k per output, from 0 or, if accumulate, from c. Serves float weights, Q K^T and P V.
     * Any n_panels >= 1. */
    void (*gemm_f32)(const float *a, size_t lda, uint32_t rows, const float *b, size_t ldb, size_t panel_ld,
                     uint32_t n_panels, uint32_t k, bool accumulate, float *c, size_t ldc);

    /* n values f16 or bf16 -> f32, exact. */
    void (*f16_to_f32)(const uint16_t *x, float *y, size_t n);
    void (*bf16_to_f32)(const uint16_t *x, float *y, size_t n);

    /* One integer panel -> float [32*blocks][16]: scale*q, then minus min (two roundings, as the scalar dequant). */
    void (*unpack_f32[ST_SHAPE_COUNT])(const uint8_t *panel, uint32_t blocks, float *y);

    /* Packing. Dword g < 8 of block b of row i < 16 (at src + i*ld + b*step + 4*g bytes) goes to
     * dst + b*dst_step + 64*g + 4*i, every byte xor flip. */
    void (*interleave)(const uint8_t *src, size_t ld, size_t step, uint32_t blocks, uint8_t flip, uint8_t *dst,
                       size_t dst_step);

    /* y = x * 1/sqrt(mean(x^2) + eps) * w. mean = sum/n; the reciprocal is one division, then (x*r)*w. w may be NULL
     * (1). x and y may be the same. */
    void (*rms_norm)(const float *x, const float *w, float eps, uint32_t n, float *y);

    /* y = (x - mean) * 1/sqrt(var + eps) * w + b; var = sum((x-mean)^2)/n; ((x-mean)*r)*w, then + b. w, b may be
     * NULL. */
    void (*layer_norm)(const float *x, const float *w, const float *b, float eps, uint32_t n, float *y);

    /* In place on rows of [rows, ld], the first n columns. */
    void (*act)(st_act kind, float *x, size_t ld, uint32_t rows, uint32_t n);
    /* x = act(x) * u; act.h says what SWIGLU_OSS does to u first. */
    void (*glu)(st_act kind, float *x, size_t ldx, const float *u, size_t ldu, uint32_t rows, uint32_t n);
    /* x = x + bias, per row. */
    void (*bias)(float *x, size_t ld, uint32_t rows, uint32_t n, const float *bias);

    /* y = fma(x, s, y): n values. s = 1 is y + x. */
    void (*add_scaled)(const float *x, float s, float *y, size_t n);
    /* y = x * s. x and y may be the same. */
    void (*scale)(const float *x, float s, float *y, size_t n);

    /* Rotates pairs of one head in place: (x[i], x[i+half]) if neox, else (x[2i], x[2i+1]), i < half, by cos[i],
     * sin[i]: a' = a*cos - b*sin as fma(a, cos, -(b*sin)), b' = fma(b, cos, a*sin). */
    void (*rope)(float *x, const float *cos, const float *sin, uint32_t half, bool neox);

    /* Columns of `rows` rows of src [rows, lds], n columns -> panels of 16 rows: dst[r/16][c][r%16], zero past rows.
     * The packing of K^T; dst holds ceil(rows/16) * n * 16. */
    void (*transpose16)(const float *src, size_t lds, uint32_t rows, uint32_t n, float *dst);

    /* Softmax numerators of one row: s[j] -> exp(scale*s[j] - max), for j in [lo, hi), 0 for the other j of [0, n); n
     * is a multiple of 16. First, if cap > 0: s = cap * tanh(scale*s / cap) instead of scale*s. If slope != 0 the ALiBi
     * term slope * -|j - pos_j0| is added before the maximum: pos_j0 is the query's position less that of key 0 of the
     * row. Returns the sum, which is made of 16 partial sums by j mod 16. lo < hi. */
    float (*softmax)(float *s, uint32_t n, uint32_t lo, uint32_t hi, float scale, float cap, float slope,
                     int64_t pos_j0);

    /* Sum of squares / plain sum of n values by the fixed tree; fma(x, x, partial) / partial + x. */
    float (*sum_sq)(const float *x, size_t n);
    float (*sum)(const float *x, size_t n);

    size_t gemv_rows; /* most rows for which gemv_i8 is faster than widen and gemm_i8 */
} st_kernels;

/* The table of the highest level that CPU and OS grant, at most `cap` ("generic", "avx2", ...; NULL or "": no cap).
 * False if there is no such level at all; a level above what the machine has gives the machine's best. */
bool st_kernels_init(st_kernels *k, const char *cap);

/* The i-th level that this machine can run, ascending from "generic"; NULL past the last. Static string. */
const char *st_kernels_level_at(uint32_t i);

/* Each level, overwriting what it has. */
#define ST_KERNEL_LEVEL(name, needs) void st_kernels_##name(st_kernels *k);
#include "backend/cpu/kernels/levels.def"

#endif
