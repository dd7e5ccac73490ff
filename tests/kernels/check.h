/* check.h: what the parts of the kernel test share: random data, guarded outputs, comparison by bits. */
#ifndef TESTS_KERNELS_CHECK_H
#define TESTS_KERNELS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/kernels/kernels.h"
#include "base/half.h"

/* ---- random numbers ---- */

static uint64_t rng_state = 0x9e3779b97f4a7c15u;

static inline uint64_t rng(void)
{
    rng_state ^= rng_state << 13, rng_state ^= rng_state >> 7, rng_state ^= rng_state << 17;
    return rng_state;
}
static inline uint32_t rng_below(uint32_t n)
{
    return (uint32_t)((rng() >> 32) * n >> 32);
}
static inline float rng_f32(float lo, float hi)
{
    return lo + (hi - lo) * (float)((double)(rng() >> 40) * 0x1p-24);
}

/* Kinds of floats that a buffer is filled with. */
enum kind {
    PLAIN,   /* -4 .. 4 */
    MIXED,   /* exponents all over, zeros of both signs */
    TINY,    /* denormals and the smallest normals */
    HUGE_,   /* near the largest */
    ZERO,    /* +0 and -0 */
    SPECIAL, /* PLAIN with NaN and infinities here and there */
    N_KINDS
};
static inline const char *kind_name(int kind)
{
    static const char *const names[] = {"plain", "mixed", "tiny", "huge", "zero", "special"};
    return names[kind];
}

static inline float random_float(int kind)
{
    /* Drawn one after the other: the order in which arguments are evaluated differs between compilers. */
    const float sign = rng_below(2) ? 1.0f : -1.0f, mantissa = rng_f32(1, 2);
    switch (kind) {
    case MIXED:
        if (rng_below(16) == 0) return sign * 0.0f;
        return sign * ldexpf(mantissa, (int)rng_below(60) - 40);
    case TINY: return sign * st_bits_f32(rng_below(0x01000000));
    case HUGE_: return sign * ldexpf(mantissa, 100 + (int)rng_below(28));
    case ZERO: return sign * 0.0f;
    case SPECIAL:
        switch (rng_below(24)) {
        case 0: return NAN;
        case 1: return sign * INFINITY;
        case 2: return sign * 1e30f;
        case 3: return sign * 100.0f;
        }
        break;
    }
    return rng_f32(-4, 4);
}

/* ---- buffers ---- *
 * Inputs are malloc'ed to the byte, so that ASan sees a read past them. Outputs come twice, for the two kernels
 * compared, between guard bytes. `skew` floats in front take the alignment away. */

static inline void *exact(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}

static inline float *random_floats(size_t n, int kind)
{
    float *p = exact(n * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = random_float(kind);
    return p;
}

enum { GUARD = 128 };

typedef struct twin {
    uint8_t *mem[2];
    size_t bytes; /* between the guards */
    size_t skew;
} twin;

static inline twin twin_new(size_t bytes, size_t skew_bytes)
{
    twin t = {.bytes = bytes, .skew = skew_bytes};
    for (int i = 0; i < 2; i++) {
        t.mem[i] = exact(bytes + skew_bytes + 2 * GUARD);
        memset(t.mem[i], 0xa5, bytes + skew_bytes + 2 * GUARD);
    }
    return t;
}
static inline void *twin_at(const twin *t, int i)
{
    return t->mem[i] + GUARD + t->skew;
}
/* The same first content for both. */
static inline void twin_set(const twin *t, const void *from)
{
    for (int i = 0; i < 2; i++) memcpy(twin_at(t, i), from, t->bytes);
}
static inline void twin_free(twin *t)
{
    free(t->mem[0]);
    free(t->mem[1]);
}

static inline void twin_guards(const twin *t, const char *what)
{
    for (int i = 0; i < 2; i++)
        for (size_t j = 0; j < GUARD; j++)
            if (t->mem[i][j + t->skew] != 0xa5 || t->mem[i][GUARD + t->skew + t->bytes + j] != 0xa5)
                fail_msg("%s: wrote outside its output (%s)", what, i ? "level" : "generic");
}

/* Equal bits; a NaN equals any NaN. */
static inline void twin_equal_f32(const twin *t, const char *what)
{
    const float *a = twin_at(t, 0), *b = twin_at(t, 1);
    for (size_t i = 0; i < t->bytes / 4; i++)
        if (memcmp(a + i, b + i, 4) != 0 && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s: value %zu is %a, generic has %a", what, i, (double)b[i], (double)a[i]);
    twin_guards(t, what);
}
static inline void twin_equal(const twin *t, const char *what)
{
    if (memcmp(twin_at(t, 0), twin_at(t, 1), t->bytes) != 0) fail_msg("%s: bytes differ from generic's", what);
    twin_guards(t, what);
}

/* ---- activations and panels ---- */

typedef struct qact_mem {
    st_qact q;
    size_t rows;
} qact_mem;

/* worst: +-127, +-64, with the sums that belong to them. */
static inline qact_mem random_qact(size_t rows, size_t ld, bool worst, int d_kind)
{
    qact_mem m = {.rows = rows};
    m.q.ld = ld;
    m.q.hi = exact(rows * ld);
    m.q.lo = exact(rows * ld);
    m.q.d = exact(rows * ld / 32 * sizeof(float));
    m.q.sum_hi = exact(rows * ld / 16 * 4);
    m.q.sum_lo = exact(rows * ld / 16 * 4);
    for (size_t r = 0; r < rows; r++) {
        int sign = rng_below(2) ? 1 : -1, way = (int)rng_below(3); /* a whole row of one sign, or mixed */
        for (size_t i = r * ld; i < (r + 1) * ld; i++) {
            int s = way ? sign : rng_below(2) ? 1 : -1;
            m.q.hi[i] = (int8_t)(worst ? s * 127 : (int)rng_below(255) - 127);
            m.q.lo[i] = (int8_t)(worst ? s * 64 : (int)rng_below(129) - 64);
        }
    }
    for (size_t i = 0; i < rows * ld / 32; i++) m.q.d[i] = fabsf(random_float(d_kind)) * 0.01f;
    for (size_t i = 0; i < rows * ld / 16; i++) {
        m.q.sum_hi[i] = m.q.sum_lo[i] = 0;
        for (size_t j = 0; j < 16; j++) m.q.sum_hi[i] += m.q.hi[16 * i + j], m.q.sum_lo[i] += m.q.lo[16 * i + j];
    }
    return m;
}
static inline void qact_free(qact_mem *m)
{
    free(m->q.hi), free(m->q.lo), free(m->q.d), free(m->q.sum_hi), free(m->q.sum_lo);
}

/* Panels of a shape, `stride` bytes apart. worst: all 0 or all 255. */
static inline uint8_t *random_panels(st_gemm_shape shape, size_t n_panels, size_t stride, size_t blocks, bool worst,
                                     int kind)
{
    uint8_t *w = exact(n_panels * stride);
    memset(w, 0x5a, n_panels * stride);
    const size_t bytes = st_shape_block_bytes(shape);
    for (size_t p = 0; p < n_panels; p++)
        for (size_t b = 0; b < blocks; b++) {
            uint8_t *at = w + p * stride + b * bytes;
            int all = worst ? (int)rng_below(3) : 2;
            for (size_t i = 0; i < 512; i++)
                at[i] = (uint8_t)(worst ? (all == 0 ? 0 : all == 1 ? 255 : rng_below(2) ? 255 : 0) : rng_below(256));
            for (size_t i = 512; i < bytes; i += 4) {
                float f = random_float(kind) * 0.01f;
                memcpy(at + i, &f, 4);
            }
        }
    return w;
}

/* Levels to test: those of this machine after "generic", and "avxvnni" in another encoding where only that can run. At
 * least one: generic against itself on a machine that has nothing else. */
const char *level_name(size_t i); /* NULL at the end */
void level_init(st_kernels *k, size_t i);
void st_kernels_avxvnni_evex(st_kernels *k); /* vnni_evex.c */

void test_accuracy(void **state);
void test_same_bits_everywhere(void **state);
int bench(const char *only);

#endif
