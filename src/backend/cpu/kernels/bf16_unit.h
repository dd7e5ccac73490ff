/* bf16_unit.h: the kernels of precision `bf16`.
 *
 * Weights and activations are bfloat16, rounded to nearest even; sums are float32. Two units compute it, with different
 * bits: AMX tiles and vdpbf16ps. What holds on each: an output is a function of its own row and column alone and adds
 * in the order of k, 32 values (a block) at a time, so its bits depend neither on the rows beside it nor on threads,
 * panels or the cuts of a long k. Denormals count as zero, of inputs and of sums; no floating-point state is read.
 *
 *     vdpbf16ps, per pair of k:  f = fma(a[k+1], w[k+1], f), then f = fma(a[k], w[k], f)
 *     tdpbf16ps, per block:      e = fma(a[k], w[k], e) over even k from 0, o likewise over odd k, then f = f + (e + o)
 *
 * The first is what a Zen 4 does, bit for bit; the second is what Intel's manual says and was not seen on hardware.
 *
 * Activations lie in tiles: blocks of 16 rows, in these blocks of 32 columns, row by row: 1 KiB is a tile register, and
 * a product walks memory forwards. A row of k values takes round_up(k, 32), the rest zero.
 *
 * Weights lie in panels of 16 columns as pairs of k: u16 w[k/2][16][2], 64 bytes are an operand of vdpbf16ps and a row
 * of a tile. They exist for one panel and ST_BF16_K values of k at a time. */
#ifndef ST_BACKEND_CPU_KERNELS_BF16_UNIT_H
#define ST_BACKEND_CPU_KERNELS_BF16_UNIT_H

#include <string.h>

#include "backend/cpu/kernels/kernels.h"

/* Values of k of a decoded panel: two panels of 12 KB and 16 rows of activations stay in an L1 of 48 KB, with less
 * rereading of sums than 256 gives. */
#define ST_BF16_K 384u

typedef struct st_bact {
    uint16_t *p;
    size_t ld; /* round_up(columns, 32) */
} st_bact;

/* The piece of 32 values of row r that begins at column k, a multiple of 32. The next is 512 further on. */
static inline uint16_t *st_bact_at(const st_bact *a, size_t r, size_t k)
{
    return a->p + r / 16 * 16 * a->ld + k / 32 * 512 + r % 16 * 32;
}

/* Row `to` of a = row `from` of b; a and b may be the same. */
static inline void st_bact_copy(const st_bact *a, size_t to, const st_bact *b, size_t from)
{
    for (size_t k = 0; k < a->ld; k += 32) memmove(st_bact_at(a, to, k), st_bact_at(b, from, k), 32 * sizeof *a->p);
}

/* What the caller's thread had configured. */
typedef struct st_bf16_saved {
    _Alignas(64) uint8_t config[64];
} st_bf16_saved;

typedef struct st_bf16 {
    const char *unit; /* "avx512bf16" or "amx"; NULL: not available */

    /* Around products, on the thread that makes them. */
    void (*begin)(st_bf16_saved *saved);
    void (*end)(const st_bf16_saved *saved);

    /* Rows row0.. of a, columns from k0 (a multiple of 32) = `rows` rows of x [rows, ldx], k columns and zeros up to a
     * multiple of 32. Returns 0, or 1 if any value is NaN or infinite. */
    int (*round)(const float *x, size_t ldx, uint32_t rows, uint32_t k, const st_bact *a, size_t row0, size_t k0);

    /* x(k, j) = x[k*ldx + j], 16 columns -> pairs, zero from k up to a multiple of 32. */
    void (*pair)(const float *x, size_t ldx, uint32_t k, uint16_t *w);

    /* One integer panel -> pairs; the value that unpack_f32 gives, rounded. */
    void (*unpack[ST_SHAPE_COUNT])(const uint8_t *panel, uint32_t blocks, uint16_t *w);

    /* 16 columns of pairs from rows: column j = row j of x [n, ldx], n <= 16, k values and zeros up to a multiple
     * of 32. The packing of K^T. */
    void (*pair_rows)(const float *x, size_t ldx, uint32_t n, uint32_t k, uint16_t *w);

    /* c [rows, ldc], columns 0..16*n_panels = a times w, from 0 or, if accumulate, from c. a is the tile where row 0
     * and k = 0 lie, blocks of 16 rows lda values apart; panel p is at w + p*panel_ld; k is a multiple of 32. There
     * is a panel at least. Reads whole tiles of a, and reads and writes c up to row round_up(rows, 16): what is there
     * past `rows` does not matter. */
    void (*gemm)(const uint16_t *a, size_t lda, uint32_t rows, const uint16_t *w, size_t panel_ld, uint32_t n_panels,
                 uint32_t k, bool accumulate, float *c, size_t ldc);
} st_bf16;

/* Which units may be used below a cap of the kernel level (NULL, "" or "amx": all; "avx512bf16"; any other: none). */
enum { ST_BF16_AVX512 = 1, ST_BF16_AMX = 2, ST_BF16_FORCED = 4 };
unsigned st_bf16_allowed(const char *cap);

/* The unit that this machine lists, by what CPUID says; NULL if it has none. A static string. */
const char *st_bf16_listed(unsigned allowed);

/* The best unit of those allowed, after asking the system for it. False if there is none. */
bool st_bf16_init(st_bf16 *k, unsigned allowed);

#if defined(__x86_64__)
void st_bf16_avx512(st_bf16 *k); /* AVX-512 F BW VL DQ and BF16: every entry */
void st_bf16_amx(st_bf16 *k);    /* begin, end, gemm */
#endif

#endif
