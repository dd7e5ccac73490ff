/* k_amx.c: products of precision `bf16` on AMX tiles. Rounding and decoding are those of k_avx512bf16.c: every CPU with
 * AMX has AVX-512 BF16.
 *
 * The tile instructions stand behind the macros below. A test compiles this file once more over macros in plain C
 * (tests/kernels/amx_emulated.h), and so runs all of it but the instructions themselves on any machine. */
#include "backend/cpu/kernels/bf16_unit.h"

#if defined(__x86_64__) || defined(TILE_DOT)
#ifdef __FAST_MATH__
#error "the kernels need IEEE arithmetic: no -ffast-math"
#endif

#ifndef TILE_DOT
/* Assembly, since the intrinsics of gcc 12 do not say that they read memory, and take 8 bytes of a configuration for
 * all of it. `tile` is a literal number; a tile is 16 rows of 64 bytes, 64 bytes apart in memory where no stride is
 * given. */
#define TILE_CONFIG(p)       __asm__ volatile("ldtilecfg (%0)" ::"r"(p) : "memory")
#define TILE_CONFIG_STORE(p) __asm__ volatile("sttilecfg (%0)" ::"r"(p) : "memory")
#define TILE_RELEASE()       __asm__ volatile("tilerelease" ::: "memory")
#define TILE_ZERO(tile)      __asm__ volatile("tilezero %%tmm" #tile ::: "memory")
#define TILE_LOAD(tile, p, ld) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(p), "r"((size_t)(ld)) : "memory")
#define TILE_STORE(tile, p, ld) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(p), "r"((size_t)(ld)) : "memory")
/* sums += a (rows of pairs) times w (pairs of k by 16 columns) */
#define TILE_DOT(sums, a, w) __asm__ volatile("tdpbf16ps %%tmm" #w ", %%tmm" #a ", %%tmm" #sums ::: "memory")
#endif

/* Palette 1; all eight tiles have 16 rows of 64 bytes. Fewer rows would need another configuration, which takes longer
 * than the rows past the last do. */
static const struct {
    _Alignas(64) uint8_t palette;
    uint8_t start, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config = {.palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

_Static_assert(sizeof config == 64, "LDTILECFG reads 64 bytes");

/* Tile registers are the caller's to save, and a host that multiplies keeps its configuration between calls: it comes
 * back, and a thread without one is left without, so that a task switch saves no tiles. */
static void begin(st_bf16_saved *saved)
{
    TILE_CONFIG_STORE(saved->config);
    TILE_CONFIG(&config);
}

static void end(const st_bf16_saved *saved)
{
    if (saved->config[0])
        TILE_CONFIG(saved->config);
    else
        TILE_RELEASE();
}

#define TILE 512 /* bf16 values of a tile of a or w */

/* 32 rows x 2 panels: four tiles of sums, each operand loaded once for two products. */
static void tiles_2x2(const uint16_t *a, size_t lda, const uint16_t *w, size_t panel_ld, uint32_t blocks,
                      bool accumulate, float *c, size_t ldc)
{
    const uint16_t *a1 = a + lda, *w1 = w + panel_ld;
    const size_t ld = ldc * sizeof *c;
    float *c1 = c + 16 * ldc;
    if (accumulate) {
        TILE_LOAD(0, c, ld);
        TILE_LOAD(1, c + 16, ld);
        TILE_LOAD(2, c1, ld);
        TILE_LOAD(3, c1 + 16, ld);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
    for (const uint16_t *stop = a + blocks * (size_t)TILE; a < stop; a += TILE, a1 += TILE, w += TILE, w1 += TILE) {
        TILE_LOAD(4, a, 64);
        TILE_LOAD(6, w, 64);
        TILE_DOT(0, 4, 6);
        TILE_LOAD(7, w1, 64);
        TILE_DOT(1, 4, 7);
        TILE_LOAD(5, a1, 64);
        TILE_DOT(2, 5, 6);
        TILE_DOT(3, 5, 7);
    }
    TILE_STORE(0, c, ld);
    TILE_STORE(1, c + 16, ld);
    TILE_STORE(2, c1, ld);
    TILE_STORE(3, c1 + 16, ld);
}

/* 16 rows x 2 panels */
static void tiles_1x2(const uint16_t *a, const uint16_t *w, size_t panel_ld, uint32_t blocks, bool accumulate, float *c,
                      size_t ldc)
{
    const uint16_t *w1 = w + panel_ld;
    const size_t ld = ldc * sizeof *c;
    if (accumulate) {
        TILE_LOAD(0, c, ld);
        TILE_LOAD(1, c + 16, ld);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(1);
    }
    for (const uint16_t *stop = a + blocks * (size_t)TILE; a < stop; a += TILE, w += TILE, w1 += TILE) {
        TILE_LOAD(4, a, 64);
        TILE_LOAD(6, w, 64);
        TILE_DOT(0, 4, 6);
        TILE_LOAD(7, w1, 64);
        TILE_DOT(1, 4, 7);
    }
    TILE_STORE(0, c, ld);
    TILE_STORE(1, c + 16, ld);
}

/* 32 rows x 1 panel */
static void tiles_2x1(const uint16_t *a, size_t lda, const uint16_t *w, uint32_t blocks, bool accumulate, float *c,
                      size_t ldc)
{
    const uint16_t *a1 = a + lda;
    const size_t ld = ldc * sizeof *c;
    float *c1 = c + 16 * ldc;
    if (accumulate) {
        TILE_LOAD(0, c, ld);
        TILE_LOAD(2, c1, ld);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(2);
    }
    for (const uint16_t *stop = a + blocks * (size_t)TILE; a < stop; a += TILE, a1 += TILE, w += TILE) {
        TILE_LOAD(6, w, 64);
        TILE_LOAD(4, a, 64);
        TILE_DOT(0, 4, 6);
        TILE_LOAD(5, a1, 64);
        TILE_DOT(2, 5, 6);
    }
    TILE_STORE(0, c, ld);
    TILE_STORE(2, c1, ld);
}

static void tiles_1x1(const uint16_t *a, const uint16_t *w, uint32_t blocks, bool accumulate, float *c, size_t ldc)
{
    const size_t ld = ldc * sizeof *c;
    if (accumulate)
        TILE_LOAD(0, c, ld);
    else
        TILE_ZERO(0);
    for (const uint16_t *stop = a + blocks * (size_t)TILE; a < stop; a += TILE, w += TILE) {
        TILE_LOAD(4, a, 64);
        TILE_LOAD(6, w, 64);
        TILE_DOT(0, 4, 6);
    }
    TILE_STORE(0, c, ld);
}

static void gemm(const uint16_t *a, size_t lda, uint32_t rows, const uint16_t *w, size_t panel_ld, uint32_t n_panels,
                 uint32_t k, bool accumulate, float *c, size_t ldc)
{
    const uint32_t blocks = k / 32;
    for (uint32_t p = 0; p < n_panels; p += 2, w += 2 * panel_ld, c += 32) {
        const bool two = n_panels - p > 1;
        for (uint32_t r = 0; r < rows; r += 32) {
            const uint16_t *ar = a + r / 16 * lda;
            float *cr = c + r * ldc;
            if (rows - r > 16 && two)
                tiles_2x2(ar, lda, w, panel_ld, blocks, accumulate, cr, ldc);
            else if (two)
                tiles_1x2(ar, w, panel_ld, blocks, accumulate, cr, ldc);
            else if (rows - r > 16)
                tiles_2x1(ar, lda, w, blocks, accumulate, cr, ldc);
            else
                tiles_1x1(ar, w, blocks, accumulate, cr, ldc);
        }
    }
}

void st_bf16_amx(st_bf16 *k)
{
    k->unit = "amx";
    k->begin = begin;
    k->end = end;
    k->gemm = gemm;
}

#else
typedef int k_amx_is_for_x86; /* no empty translation unit */
#endif
