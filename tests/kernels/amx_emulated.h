/* amx_emulated.h: the tile instructions that k_amx.c uses, in plain C after Intel's Software Developer's Manual.
 * Included in front of k_amx.c, it takes the place of the assembly there. Each thread has its own tiles, as on the
 * hardware. What would fault there fails the test here. */
#ifndef TESTS_KERNELS_AMX_EMULATED_H
#define TESTS_KERNELS_AMX_EMULATED_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

typedef struct amx_state {
    uint8_t config[64]; /* palette, start row, 14 zeros, 16 x u16 bytes of a row, 16 x u8 rows */
    uint8_t tile[8][16][64];
} amx_state;

static _Thread_local amx_state amx;
static _Thread_local unsigned amx_n_configs;

static inline void amx_must(int good, const char *what)
{
    if (good) return;
    fprintf(stderr, "emulated AMX: %s\n", what);
    abort();
}
static inline uint32_t amx_rows(int t)
{
    return amx.config[48 + t];
}
static inline uint32_t amx_row_bytes(int t)
{
    return amx.config[16 + 2 * t] | (uint32_t)amx.config[17 + 2 * t] << 8;
}

static inline void amx_config(const void *p)
{
    const uint8_t *c = p;
    amx_must(c[0] == 1, "LDTILECFG: palette");
    for (int i = 1; i < 16; i++) amx_must(c[i] == 0, "LDTILECFG: reserved bytes");
    memset(&amx, 0, sizeof amx); /* all tiles become zero */
    memcpy(amx.config, c, 64);
    for (int t = 0; t < 8; t++) amx_must(amx_rows(t) <= 16 && amx_row_bytes(t) <= 64, "LDTILECFG: a tile's shape");
    for (int i = 32; i < 48; i++) amx_must(c[i] == 0, "LDTILECFG: a ninth tile");
    for (int i = 56; i < 64; i++) amx_must(c[i] == 0, "LDTILECFG: a ninth tile");
    amx_n_configs++;
}
static inline void amx_release(void)
{
    memset(&amx, 0, sizeof amx);
}
static inline void amx_zero(int t)
{
    amx_must(amx.config[0] == 1, "no configuration");
    memset(amx.tile[t], 0, sizeof amx.tile[t]);
}
static inline void amx_load(int t, const void *p, size_t ld)
{
    amx_zero(t); /* what is past the shape becomes zero */
    for (uint32_t r = 0; r < amx_rows(t); r++) memcpy(amx.tile[t][r], (const uint8_t *)p + r * ld, amx_row_bytes(t));
}
static inline void amx_store(int t, void *p, size_t ld)
{
    amx_must(amx.config[0] == 1, "no configuration");
    for (uint32_t r = 0; r < amx_rows(t); r++) memcpy((uint8_t *)p + r * ld, amx.tile[t][r], amx_row_bytes(t));
}

/* Denormals are zero, on the way in and on the way out. */
static inline float amx_flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}
static inline float amx_bf16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return amx_flush(st_bf16_to_f32(h));
}
/* The product of two bf16 has 16 bits: unless it leaves float's range, a sum with it is rounded once, as a fma is. */
static inline float amx_fma(float a, float b, float c)
{
    float p = a * b;
    return amx_flush(isnormal(p) ? p + c : fmaf(a, b, c));
}

static inline void amx_dot(int d, int a, int b)
{
    amx_must(amx.config[0] == 1 && d != a && d != b && a != b, "TDPBF16PS: operands");
    amx_must(amx_rows(a) == amx_rows(d) && amx_row_bytes(a) / 4 == amx_rows(b) && amx_row_bytes(b) == amx_row_bytes(d),
             "TDPBF16PS: shapes");
    for (uint32_t m = 0; m < amx_rows(d); m++) {
        float sums[32] = {0};
        for (uint32_t k = 0; k < amx_rows(b); k++)
            for (uint32_t n = 0; n < amx_row_bytes(d) / 4; n++)
                for (uint32_t i = 0; i < 2; i++)
                    sums[2 * n + i] = amx_fma(amx_bf16(&amx.tile[a][m][4 * k + 2 * i]),
                                              amx_bf16(&amx.tile[b][k][4 * n + 2 * i]), sums[2 * n + i]);
        for (uint32_t n = 0; n < amx_row_bytes(d) / 4; n++) {
            float f;
            memcpy(&f, &amx.tile[d][m][4 * n], 4);
            f = amx_flush(amx_flush(f) + amx_flush(sums[2 * n] + sums[2 * n + 1]));
            memcpy(&amx.tile[d][m][4 * n], &f, 4);
        }
    }
}

#define TILE_CONFIG(p)          amx_config(p)
#define TILE_CONFIG_STORE(p)    memcpy(p, amx.config, 64)
#define TILE_RELEASE()          amx_release()
#define TILE_ZERO(tile)         amx_zero(tile)
#define TILE_LOAD(tile, p, ld)  amx_load(tile, p, ld)
#define TILE_STORE(tile, p, ld) amx_store(tile, p, ld)
#define TILE_DOT(sums, a, w)    amx_dot(sums, a, w)

#endif
