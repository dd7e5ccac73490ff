/* same_bits.c: a hash of what the kernels give, recorded once: the same on every machine, instruction set, compiler and
 * libc. A change of a definition in kernels.h changes it: the test prints the new one, which gcc and clang, x86 and
 * aarch64 have to agree on. */
#include "check.h"

static const uint64_t recorded = 0x5867943dd0899a59u;

static st_kernels k;
static uint64_t hash;

static void add(const void *p, size_t bytes)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ b[i]) * 1099511628211u;
}

/* Plain floats and some far from them, no NaN: the bits of a NaN differ between machines. */
static float *inputs(size_t n)
{
    float *p = random_floats(n, PLAIN);
    for (size_t i = 0; i < n; i += 1 + rng_below(9)) p[i] = random_float(rng_below(2) ? MIXED : TINY);
    return p;
}

static void gemms(void)
{
    enum { ROWS = 7, BLOCKS = 5, PANELS = 2, K = 32 * BLOCKS };
    float *x = inputs(ROWS * K), *c = exact(ROWS * 16 * PANELS * 4), *b = inputs(PANELS * 16 * K);
    qact_mem m = random_qact(ROWS, K, false, PLAIN);
    for (int planes = 1; planes <= 2; planes++) {
        assert_int_equal(k.quantize(x, K, ROWS, K, planes, &m.q, 0, 0), 0);
        add(m.q.hi, ROWS * K), add(m.q.d, ROWS * BLOCKS * 4), add(m.q.sum_hi, ROWS * BLOCKS * 8);
        if (planes == 2) add(m.q.lo, ROWS * K), add(m.q.sum_lo, ROWS * BLOCKS * 8);
        for (int shape = 0; shape < ST_SHAPE_COUNT; shape++) {
            const size_t stride = st_shape_block_bytes((st_gemm_shape)shape) * BLOCKS;
            uint8_t *w = random_panels((st_gemm_shape)shape, PANELS, stride, BLOCKS, false, PLAIN);
            k.gemm_i8[shape](&m.q, 0, ROWS, planes, w, stride, PANELS, BLOCKS, false, c, 16 * PANELS);
            add(c, ROWS * 16 * PANELS * 4);
            free(w);
        }
    }
    k.gemm_f32(x, K, ROWS, b, 16, 16 * K, PANELS, K, false, c, 16 * PANELS);
    add(c, ROWS * 16 * PANELS * 4);
    qact_free(&m);
    free(x), free(c), free(b);
}

static void rows(void)
{
    enum { N = 77, M = 80 };
    float *x = inputs(M), *w = inputs(M), y[M], s[3];
    k.rms_norm(x, w, 1e-6f, N, y), add(y, N * 4);
    k.layer_norm(x, w, x, 1e-5f, N, y), add(y, N * 4);
    for (int act = 0; act < ST_ACT_COUNT; act++) {
        memcpy(y, x, N * 4), k.act((st_act)act, y, N, 1, N), add(y, N * 4);
        memcpy(y, x, N * 4), k.glu((st_act)act, y, N, w, N, 1, N), add(y, N * 4);
    }
    for (int neox = 0; neox < 2; neox++) memcpy(y, x, N * 4), k.rope(y, w, w + 38, 38, neox), add(y, N * 4);
    memcpy(y, x, M * 4), s[0] = k.softmax(y, M, 3, 71, 0.7f, 0, 0, 0), add(y, M * 4);
    memcpy(y, x, M * 4), s[1] = k.softmax(y, M, 0, 80, 0.7f, 20, 0.125f, 40), add(y, M * 4);
    s[2] = k.sum_sq(x, N);
    add(s, sizeof s);
    free(x), free(w);
}

void test_same_bits_everywhere(void **state)
{
    (void)state;
    uint64_t at_generic = 0;
    for (int i = -1; i < 0 || level_name((size_t)i); i++) {
        if (i < 0)
            assert_true(st_kernels_init(&k, "generic"));
        else
            level_init(&k, (size_t)i);
        rng_state = 0x1234567890abcdefu;
        hash = 1469598103934665603u;
        for (int round = 0; round < 20; round++) gemms(), rows();
        if (i < 0) at_generic = hash;
        if (hash != recorded) printf("  %s: %#llx\n", k.level, (unsigned long long)hash);
        assert_true(hash == at_generic);
    }
    assert_true(at_generic == recorded);
}
