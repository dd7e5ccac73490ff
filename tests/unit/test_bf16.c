/* test_bf16.c: precision bf16: every kernel of its units against the definition in bf16_unit.h, AMX in emulation, and
 * whole models: the same bits in any batch and on any number of threads, closeness to float, and refusal. */
#include "kernels/amx_emulated.h"

#define st_bf16_amx emulated_amx
#include "backend/cpu/kernels/k_amx.c"
#undef st_bf16_amx

#include "kernels/check.h"

#include "base/os/cpu_features.h"
#include "engine/engine.h"
#include "support/sanitized.h"
#include "unit/test_api.h"

#include "ops/rig.h"

static void missing(const char *what)
{
    printf("\n  NOT TESTED: %s: this CPU has neither AVX-512 BF16 nor AMX\n", what);
    skip();
}

/* What the machine's own instructions compute, also where they are too slow to be picked; NULL if it has none. Its name
 * is the cap that gives it. */
static const st_bf16 *own_unit(void)
{
    static st_bf16 k;
    return st_bf16_init(&k, ST_BF16_AVX512 | ST_BF16_AMX | ST_BF16_FORCED) ? &k : NULL;
}

/* The units whose products can be tried here. */
static uint32_t product_units(st_bf16 units[3])
{
    uint32_t n = 0;
    memset(units, 0, 3 * sizeof *units);
    emulated_amx(&units[n++]);
    units[0].unit = "amx, emulated";
    if (st_bf16_init(&units[n], ST_BF16_AVX512 | ST_BF16_FORCED)) n++;
    if (st_bf16_init(&units[n], ST_BF16_AMX) && strcmp(units[n].unit, "amx") == 0) n++;
    return n;
}

/* ---- products ---- */

static float flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}
static float fma_flush(uint16_t a, uint16_t w, float f)
{
    return flush(fmaf(flush(st_bf16_to_f32(a)), flush(st_bf16_to_f32(w)), f));
}

/* Row r times column c: `a` and `w` as the kernels take them, `f` what c holds. */
static float product(bool tiles, const uint16_t *a, size_t lda, const uint16_t *w, size_t panel_ld, uint32_t r,
                     uint32_t c, uint32_t k, float f)
{
    f = flush(f);
    for (uint32_t b = 0; b < k / 32; b++) {
        const uint16_t *ar = a + r / 16 * lda + b * 512 + r % 16 * 32;
        const uint16_t *wc = w + c / 16 * panel_ld + b * 512 + c % 16 * 2;
        float even = 0, odd = 0;
        for (uint32_t i = 0; i < 32; i += 2, wc += 32) {
            if (tiles) {
                even = fma_flush(ar[i], wc[0], even);
                odd = fma_flush(ar[i + 1], wc[1], odd);
            } else {
                f = fma_flush(ar[i + 1], wc[1], f);
                f = fma_flush(ar[i], wc[0], f);
            }
        }
        if (tiles) f = flush(f + flush(even + odd));
    }
    return f;
}

static uint16_t *random_bf16(size_t n, int kind)
{
    uint16_t *p = exact(n * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = st_f32_to_bf16(random_float(kind));
    return p;
}

static bool same_or_nan(float x, float y)
{
    return memcmp(&x, &y, 4) == 0 || (isnan(x) && isnan(y));
}

/* Outputs of real tiles whose bits are not those of the manual's pseudocode. */
static unsigned other_bits;

/* The project had no CPU with tiles to compare the manual with: there the sums need only be as close as any order
 * gives, and the test says whether the bits agree. Not asked of sums that leave float's range. */
static bool close_enough(const uint16_t *a, size_t lda, const uint16_t *w, size_t panel_ld, uint32_t r, uint32_t c,
                         uint32_t k, float f, float got, float want)
{
    double size = fabs((double)f);
    for (uint32_t i = 0; i < k; i++)
        size += fabs((double)st_bf16_to_f32(a[r / 16 * lda + i / 32 * 512 + r % 16 * 32 + i % 32]) *
                     (double)st_bf16_to_f32(w[c / 16 * panel_ld + i / 2 * 32 + c % 16 * 2 + i % 2]));
    other_bits++;
    return !(size < 1e38) || fabs((double)got - (double)want) <= size * (k + 2) * 0x1p-23 + 0x1p-120;
}

static void product_case(const st_bf16 *unit, uint32_t rows, uint32_t n_panels, uint32_t blocks, bool accumulate,
                         int kind)
{
    const uint32_t k = 32 * blocks, whole = (rows + 15) / 16 * 16, n = 16 * n_panels;
    const size_t lda = 512 * (blocks + rng_below(3)), panel_ld = 512 * (blocks + rng_below(2)), ldc = n + rng_below(5);
    uint16_t *a = random_bf16(whole / 16 * lda, kind), *w = random_bf16(n_panels * panel_ld, kind);
    float *c0 = random_floats(whole * ldc, kind);
    for (uint32_t r = rows; r < whole; r++) /* what is past the last row must not matter */
        for (uint32_t i = 0; i < k; i++) a[r / 16 * lda + i / 32 * 512 + r % 16 * 32 + i % 32] = 0x7fc0;
    twin c = twin_new(whole * ldc * sizeof(float), 4 * rng_below(4));
    twin_set(&c, c0);
    float *got = twin_at(&c, 1);
    st_bf16_saved saved;
    unit->begin(&saved);
    unit->gemm(a, lda, rows, w, panel_ld, n_panels, k, accumulate, got, ldc);
    unit->end(&saved);
    bool tiles = strncmp(unit->unit, "amx", 3) == 0;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t j = 0; j < n; j++) {
            float start = accumulate ? c0[r * ldc + j] : 0.0f,
                  want = product(tiles, a, lda, w, panel_ld, r, j, k, start);
            if (!same_or_nan(got[r * ldc + j], want) &&
                !(strcmp(unit->unit, "amx") == 0 &&
                  close_enough(a, lda, w, panel_ld, r, j, k, start, got[r * ldc + j], want)))
                fail_msg("%s: %u rows, %u panels, k %u, %s, %s: (%u, %u) is %a, the definition %a", unit->unit, rows,
                         n_panels, k, accumulate ? "+=" : "=", kind_name(kind), r, j, (double)got[r * ldc + j],
                         (double)want);
        }
    for (uint32_t r = 0; r < whole; r++)
        for (size_t j = n; j < ldc; j++) assert_memory_equal(&got[r * ldc + j], &c0[r * ldc + j], 4);
    twin_guards(&c, unit->unit);
    twin_free(&c);
    free(a), free(w), free(c0);
}

static void test_products(void **state)
{
    (void)state;
    st_bf16 units[3];
    uint32_t n = product_units(units);
    for (uint32_t u = 0; u < n; u++) {
        printf("  %s\n", units[u].unit);
        for (uint32_t rows = 1; rows <= 50; rows += SANITIZED_THREAD ? 11 : rows < 34 ? 1 : 5)
            for (uint32_t panels = 1; panels <= 5; panels++)
                product_case(&units[u], rows, panels, 1 + rng_below(3), rng_below(2), rng_below(2) ? PLAIN : MIXED);
        for (int kind = 0; kind < N_KINDS; kind++)
            for (int accumulate = 0; accumulate < 2; accumulate++) product_case(&units[u], 21, 3, 2, accumulate, kind);
        product_case(&units[u], 70, 2, 12, true, PLAIN);
    }
    if (strcmp(units[n - 1].unit, "amx") == 0)
        printf("  AMX: %s\n",
               other_bits ? "NOT the bits of the manual's pseudocode" : "the bits of the manual's pseudocode");
    if (n == 1) missing("products of bf16 by the machine's own instructions");
}

/* The sums of float32 are as close to the exact ones as the order of any sum allows. */
static void test_products_are_close(void **state)
{
    (void)state;
    enum { K = 1152, ROWS = 33 };
    st_bf16 units[3];
    uint32_t n = product_units(units);
    for (uint32_t u = 0; u < n; u++) {
        const size_t lda = 16 * K, panel_ld = 16 * K;
        uint16_t *a = random_bf16(3 * lda, PLAIN), *w = random_bf16(2 * panel_ld, PLAIN);
        float *c = exact(48 * 32 * sizeof *c);
        st_bf16_saved saved;
        units[u].begin(&saved);
        units[u].gemm(a, lda, ROWS, w, panel_ld, 2, K, false, c, 32);
        units[u].end(&saved);
        for (uint32_t r = 0; r < ROWS; r++)
            for (uint32_t j = 0; j < 32; j++) {
                double sum = 0, size = 0;
                for (uint32_t i = 0; i < K; i++) {
                    double p = (double)st_bf16_to_f32(a[r / 16 * lda + i / 32 * 512 + r % 16 * 32 + i % 32]) *
                               (double)st_bf16_to_f32(w[j / 16 * panel_ld + i / 2 * 32 + j % 16 * 2 + i % 2]);
                    sum += p, size += fabs(p);
                }
                assert_true(fabs((double)c[r * 32 + j] - sum) <= size * K * 0x1p-24);
            }
        free(a), free(w), free(c);
    }
}

/* A row has the same bits alone, and a sum the same when k is cut at a block. */
static void test_rows_and_cuts(void **state)
{
    (void)state;
    enum { K = 32 * 24, ROWS = 61 };
    st_bf16 units[3];
    uint32_t n = product_units(units);
    for (uint32_t u = 0; u < n; u++) {
        const st_bf16 *b = &units[u];
        const size_t lda = 16 * K, panel_ld = 16 * K;
        uint16_t *a = random_bf16(4 * lda, MIXED), *w = random_bf16(2 * panel_ld, MIXED),
                 *one = random_bf16(lda, MIXED);
        float *c = exact(64 * 32 * sizeof *c), *cut = exact(64 * 32 * sizeof *c), *alone = exact(16 * 32 * sizeof *c);
        st_bf16_saved saved;
        b->begin(&saved);
        b->gemm(a, lda, ROWS, w, panel_ld, 2, K, false, c, 32);
        for (uint32_t k0 = 0, step = 32; k0 < K; k0 += step, step = 32 * (1 + rng_below(7)))
            b->gemm(a + k0 * 16, lda, ROWS, w + k0 * 16, panel_ld, 2, K - k0 < step ? K - k0 : step, k0 > 0, cut, 32);
        assert_memory_equal(c, cut, ROWS * 32 * sizeof *c);
        st_bact from = {a, K}, to = {one, K};
        for (uint32_t r = 0; r < ROWS; r++) {
            uint32_t at = rng_below(16);
            st_bact_copy(&to, at, &from, r);
            b->gemm(one, lda, at + 1, w, panel_ld, 1, K, false, alone, 32);
            b->gemm(one, lda, at + 1, w + panel_ld, panel_ld, 1, K, false, alone + 16, 32);
            assert_memory_equal(alone + at * 32, c + r * 32, 32 * sizeof *c);
        }
        b->end(&saved);
        free(a), free(w), free(one), free(c), free(cut), free(alone);
    }
}

/* The host's tiles: a configuration comes back, none stays none. */
static void test_host_configuration(void **state)
{
    (void)state;
    st_bf16 k = {0};
    emulated_amx(&k);
    st_bf16_saved saved;
    amx_release();
    k.begin(&saved);
    assert_int_equal(amx.config[0], 1);
    k.end(&saved);
    assert_int_equal(amx.config[0], 0);
    uint8_t mine[64] = {1};
    for (int t = 0; t < 3; t++) mine[16 + 2 * t] = 32, mine[48 + t] = 8;
    amx_config(mine);
    k.begin(&saved);
    assert_int_equal(amx.config[48], 16);
    k.end(&saved);
    assert_memory_equal(amx.config, mine, 64);
    amx_release();
}

/* ---- rounding and decoding ---- */

static uint16_t rounded(float x)
{
    return fabsf(x) < 0x1p-126f ? (uint16_t)(st_f32_bits(x) >> 16 & 0x8000) : st_f32_to_bf16(x);
}
static bool same_bf16(uint16_t x, uint16_t y)
{
    return x == y || (isnan(st_bf16_to_f32(x)) && isnan(st_bf16_to_f32(y)));
}

static void test_round(void **state)
{
    (void)state;
    const st_bf16 *b = own_unit();
    if (!b) missing("rounding to bf16");
    for (uint32_t k = 1; k <= 100; k += SANITIZED_THREAD ? 13 : 1)
        for (int kind = 0; kind < N_KINDS; kind++) {
            const uint32_t rows = 1 + rng_below(20), row0 = rng_below(20), k0 = 32 * rng_below(3);
            const size_t ldx = k + rng_below(3), ld = k0 + (k + 31) / 32 * 32 + 32 * rng_below(2);
            const size_t n = (row0 + rows + 15) / 16 * 16 * ld;
            float *x = random_floats(ldx * (rows - 1) + k, kind);
            twin y = twin_new(n * 2, 2 * rng_below(2));
            st_bact a = {twin_at(&y, 1), ld}, before = {twin_at(&y, 0), ld};
            bool bad = false;
            for (uint32_t r = 0; r < rows; r++)
                for (uint32_t i = 0; i < k; i++) bad |= !isfinite(x[r * ldx + i]);
            assert_int_equal(b->round(x, ldx, rows, k, &a, row0, k0), bad);
            for (size_t r = 0; r < (row0 + rows + 15) / 16 * 16; r++)
                for (size_t i = 0; i < ld; i++) {
                    bool in = r >= row0 && r < row0 + rows && i >= k0 && i < k0 + (k + 31) / 32 * 32;
                    uint16_t want = !in           ? *(st_bact_at(&before, r, i) + i % 32)
                                    : i - k0 >= k ? 0
                                                  : rounded(x[(r - row0) * ldx + i - k0]);
                    if (!same_bf16(*(st_bact_at(&a, r, i) + i % 32), want))
                        fail_msg("round %s k %u row %zu column %zu", kind_name(kind), k, r, i);
                }
            twin_guards(&y, "round");
            twin_free(&y);
            free(x);
        }
}

static void test_pairs(void **state)
{
    (void)state;
    const st_bf16 *b = own_unit();
    if (!b) missing("pairs of bf16");
    for (uint32_t k = 1; k <= 70; k += SANITIZED_THREAD ? 13 : 1)
        for (int kind = 0; kind < N_KINDS; kind++) {
            const uint32_t whole = (k + 31) / 32 * 32, n = rng_below(17);
            const size_t ldx = 16 + rng_below(3), ldr = k + rng_below(3);
            float *x = random_floats(ldx * (k - 1) + 16, kind), *rows = random_floats(ldr * 15 + k, kind);
            twin y = twin_new(whole * 16 * 2, 2 * rng_below(2));
            uint16_t *w = twin_at(&y, 1);
            b->pair(x, ldx, k, w);
            for (uint32_t i = 0; i < whole; i++)
                for (uint32_t j = 0; j < 16; j++)
                    assert_true(same_bf16(w[i / 2 * 32 + 2 * j + i % 2], i < k ? rounded(x[i * ldx + j]) : 0));
            b->pair_rows(rows, ldr, n, k, w);
            for (uint32_t i = 0; i < whole; i++)
                for (uint32_t j = 0; j < 16; j++)
                    assert_true(
                        same_bf16(w[i / 2 * 32 + 2 * j + i % 2], i < k && j < n ? rounded(rows[j * ldr + i]) : 0));
            twin_guards(&y, "pairs");
            twin_free(&y);
            free(x), free(rows);
        }
}

/* Each integer shape, by way of the generic level's floats. */
static void test_unpack(void **state)
{
    (void)state;
    const st_bf16 *b = own_unit();
    if (!b) missing("decoding to bf16");
    st_kernels ref;
    assert_true(st_kernels_init(&ref, "generic"));
    for (int shape = 0; shape < ST_SHAPE_COUNT; shape++)
        for (uint32_t blocks = 1; b->unpack[shape] && blocks <= 4; blocks++)
            for (int kind = 0; kind < ZERO; kind++) {
                const size_t bytes = st_shape_block_bytes((st_gemm_shape)shape);
                uint8_t *panel = random_panels((st_gemm_shape)shape, 1, bytes * blocks, blocks, false, kind);
                float *f = exact(blocks * 512 * sizeof *f);
                twin y = twin_new(blocks * 512 * 2, 2);
                uint16_t *w = twin_at(&y, 1);
                ref.unpack_f32[shape](panel, blocks, f);
                b->unpack[shape](panel, blocks, w);
                for (uint32_t i = 0; i < 32 * blocks; i++)
                    for (uint32_t j = 0; j < 16; j++)
                        assert_true(same_bf16(w[i / 2 * 32 + 2 * j + i % 2], rounded(f[i * 16 + j])));
                twin_guards(&y, "unpack");
                twin_free(&y);
                free(panel), free(f);
            }
}

/* ---- one op ---- */

/* Y = N W^T with sizes that end anywhere, for the types that stay float elsewhere; two sequences, the second with a NaN
 * in its last row. */
static void linear_case(uint32_t type, uint32_t n, uint32_t k, uint32_t rows, bool tiles)
{
    const uint32_t starts[] = {0, rows, rows + 3};
    float *x = random_floats((rows + 3) * k, PLAIN), *wf = random_floats(n * k, PLAIN);
    uint16_t *half = exact(n * k * sizeof *half);
    for (size_t i = 0; i < n * k; i++) half[i] = type == ST_F16 ? st_f32_to_f16(wf[i]) : st_f32_to_bf16(wf[i]);
    for (size_t i = 0; i < n * k && type != ST_F32; i++)
        wf[i] = type == ST_F16 ? st_f16_to_f32(half[i]) : st_bf16_to_f32(half[i]);
    st_gguf_tensor m = rig_matrix(type, type == ST_F32 ? (const void *)wf : half, n, k);
    x[(size_t)(rows + 3) * k - 1] = NAN;

    rig *r = rig_new(own_unit()->unit, STRATA_PRECISION_BF16);
    r->plan.width[ST_SLOT_N] = k;
    r->plan.width[ST_SLOT_Y] = n;
    st_op op = {.kind = ST_OP_LINEAR, .in = ST_SLOT_N, .out = ST_SLOT_Y};
    op.linear = (st_op_linear){.k = k, .n = n, .n_parts = 1, .scale = 1};
    op.linear.parts[0] = (st_part){.m = &m, .n = n, .planes = 2};
    uint32_t index = rig_op(r, op);
    rig_open(r, starts, 2);
    if (tiles) emulated_amx(&r->state->bf16);
    st_bf16_saved saved;
    r->state->bf16.begin(&saved);
    rig_put(r, ST_SLOT_N, x, rows + 3, k);
    assert_int_equal(r->state->form[ST_SLOT_N], ST_FORM_BF16 | ST_FORM_FLOAT);
    st_env_quantize(&r->env, ST_SLOT_N, r->env.slots->f[ST_SLOT_N], r->env.slots->ld[ST_SLOT_N], 0, rows + 3, k, 0);
    assert_int_equal(r->status[0], STRATA_OK);
    assert_int_equal(r->status[1], STRATA_NONFINITE);
    st_run_linear(&r->env, index);
    r->state->bf16.end(&saved);
    for (uint32_t i = 0; i < rows + 2; i++)
        for (uint32_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (uint32_t t = 0; t < k; t++) {
                double p =
                    (double)st_bf16_to_f32(rounded(x[i * k + t])) * (double)st_bf16_to_f32(rounded(wf[j * k + t]));
                sum += p, size += fabs(p);
            }
            float got = r->env.slots->f[ST_SLOT_Y][i * r->env.slots->ld[ST_SLOT_Y] + j];
            if (!(fabs((double)got - sum) <= size * (k + 2) * 0x1p-24))
                fail_msg("type %u, %u x %u, %u rows: (%u, %u) is %g, not %g", type, n, k, rows, i, j, (double)got, sum);
        }
    rig_close(r);
    free(x), free(wf), free(half);
}

/* The machine's own and emulated AMX, which has the same threads and is very slow under ThreadSanitizer. */
enum { N_UNITS = SANITIZED_THREAD ? 1 : 2 };

static void test_linear(void **state)
{
    (void)state;
    static const uint32_t types[] = {ST_F32, ST_F16, ST_BF16}, ns[] = {1, 16, 17, 40},
                          ks[] = {1, 33, 70, 384, 385, 800};
    if (!own_unit()) missing("LINEAR in bf16");
    for (uint32_t i = 0; i < 3 * 4 * 6; i++)
        for (int tiles = 0; tiles < N_UNITS; tiles++)
            linear_case(types[i % 3], ns[i / 3 % 4], ks[i / 12], i % 2 ? 1 : 14 + rng_below(20), tiles);
}

/* ---- models ---- */

/* Heads of 16 and of more, float and quantised weights, a gate, a window, experts, a relative bias by distance. */
static const struct {
    const char *name;
    int what, pooling;
    double cosine; /* with precision f32, each row */
    bool experts;  /* but for a tenth: where a router's margin is small another expert is chosen */
} models[] = {
    {"bert", STRATA_EVAL_POOLED, STRATA_POOLING_MEAN, 0.9999, false},
    {"bert-q8_0", STRATA_EVAL_HIDDEN, 0, 0.9995, false},
    {"bert-cls", STRATA_EVAL_POOLED, STRATA_POOLING_DEFAULT, 0.9995, false},
    {"gemma-embedding-q8_0", STRATA_EVAL_POOLED, STRATA_POOLING_MEAN, 0.9995, false},
    {"jina-bert-v2", STRATA_EVAL_HIDDEN, 0, 0.9995, false},
    {"llama-q4_0", STRATA_EVAL_HIDDEN, 0, 0.9995, false},
    {"gemma3", STRATA_EVAL_LOGITS, 0, 0.9995, false},
    {"mpt", STRATA_EVAL_HIDDEN, 0, 0.9995, false},
    {"deepseek2-expanded", STRATA_EVAL_HIDDEN, 0, 0.999, true},
    {"deepseek2-lite", STRATA_EVAL_HIDDEN, 0, 0.999, true},
    {"deepseek2", STRATA_EVAL_HIDDEN, 0, 0.998, true},
    {"gpt-oss", STRATA_EVAL_HIDDEN, 0, 0.999, true},
};
enum { N_MODELS = sizeof models / sizeof *models };
static const uint32_t lens[] = {1, 2, 15, 16, 17, 33, 100, 250};
enum { N_LENS = sizeof lens / sizeof *lens };

typedef struct values {
    float *v;
    size_t n, cols;
} values;

/* Each length evaluated on its own. tiles: by emulated AMX. */
static values evaluate(const strata_model *m, int i, uint32_t threads, int precision, bool tiles)
{
    values x = {calloc(450 * 512, sizeof(float)), 0, 0};
    strata_ctx *c = open_ctx(m, threads, precision);
    strata_model_info info;
    strata_model_get_info(m, &info);
    if (tiles) emulated_amx(&c->state->bf16);
    for (int l = 0; l < N_LENS; l++) {
        int32_t ids[256];
        size_t rows;
        for (uint32_t j = 0; j < lens[l]; j++) ids[j] = (int32_t)((j * 37 + lens[l] * 11) % info.n_vocab);
        OK(strata_eval(c, ids, NULL, lens[l], models[i].what, models[i].pooling, x.v + x.n, 450 * 512 - x.n, &rows,
                       &x.cols, err));
        x.n += rows * x.cols;
    }
    strata_ctx_close(c);
    return x;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void test_models_are_close(void **state)
{
    (void)state;
    if (!own_unit()) missing("models in bf16");
    for (int i = 0; i < N_MODELS; i += SANITIZED ? 5 : 1) {
        strata_model *m = open_level(models[i].name, own_unit()->unit);
        values want = evaluate(m, i, 1, STRATA_PRECISION_F32, false);
        for (int tiles = 0; tiles < N_UNITS; tiles++) {
            values got = evaluate(m, i, 1, STRATA_PRECISION_BF16, tiles), again = evaluate(m, i, 3, 2, tiles);
            assert_int_equal(got.n, want.n);
            assert_int_equal(got.cols, want.cols);
            if (memcmp(got.v, want.v, got.n * sizeof *got.v) == 0) fail_msg("%s: bf16 is float", models[i].name);
            if (memcmp(got.v, again.v, got.n * sizeof *got.v) != 0)
                fail_msg("%s: bf16 on 3 threads gives other bits than on one", models[i].name);
            size_t n_rows = got.n / got.cols;
            double *cosines = calloc(n_rows, sizeof *cosines);
            for (size_t r = 0; r < got.n; r += got.cols) {
                double dot = 0, g = 0, w = 0;
                for (size_t j = r; j < r + got.cols; j++) {
                    dot += (double)got.v[j] * (double)want.v[j];
                    g += (double)got.v[j] * (double)got.v[j], w += (double)want.v[j] * (double)want.v[j];
                }
                cosines[r / got.cols] = isnan(dot) ? -1 : dot / sqrt(g * w);
            }
            qsort(cosines, n_rows, sizeof *cosines, ascending);
            double worst = cosines[models[i].experts ? n_rows / 10 : 0];
            printf("  %-22s cosine with f32%s: %.6f\n", models[i].name, tiles ? " by emulated tiles" : "", worst);
            if (!(worst >= models[i].cosine)) fail_msg("%s: too far", models[i].name);
            free(got.v), free(again.v), free(cosines);
        }
        free(want.v);
        strata_model_close(m);
    }
}

enum { N_TEXTS = 12, DIMS = 256 };

/* Texts alone, in batches and on several threads: the same bits, on the machine's unit and on emulated tiles. */
static void test_batches(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bert-q8_0", "gemma-embedding-q8_0", "nomic-bert-moe", "jina-bert-v2", "gpt-oss",
        "deepseek2", "deepseek2-expanded"};
    if (!own_unit()) missing("batches in bf16");
    texts x = make_texts(N_TEXTS, 7);
    for (size_t i = 0; i < sizeof names / sizeof *names; i += SANITIZED_THREAD ? 3 : 1) {
        strata_model *m = open_level(names[i], own_unit()->unit);
        strata_embed_opts o = {.pooling = STRATA_POOLING_MEAN};
        for (int tiles = 0; tiles < N_UNITS; tiles++) {
            static float want[N_TEXTS * DIMS], got[N_TEXTS * DIMS];
            assert_true(dims_of(m) <= DIMS);
            memset(want, 0, sizeof want);
            strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_BF16);
            assert_string_equal(strata_ctx_kernels(c), own_unit()->unit);
            if (tiles) emulated_amx(&c->state->bf16);
            for (size_t t = 0; t < x.n; t++) embed_one(c, x.t[t], &o, want + t * DIMS, DIMS);
            strata_ctx_close(c);
            for (uint32_t threads = 1; threads <= 3; threads += 2) {
                c = open_ctx(m, threads, STRATA_PRECISION_BF16);
                if (tiles) emulated_amx(&c->state->bf16);
                for (size_t batch = x.n; batch > 1; batch /= 3) {
                    memset(got, 0, sizeof got);
                    for (size_t t = 0; t < x.n; t += batch)
                        OK(strata_embed(c, x.t + t, x.n - t < batch ? x.n - t : batch, &o, got + t * DIMS, DIMS, NULL,
                                        err));
                    if (memcmp(got, want, sizeof got) != 0)
                        fail_msg("%s, %s: batches of %zu on %u threads give other bits than each text alone", names[i],
                                 tiles ? "emulated tiles" : own_unit()->unit, batch, threads);
                }
                strata_ctx_close(c);
            }
        }
        strata_model_close(m);
    }
    assert_true(amx_n_configs > 0);
    free_texts(&x);
}

/* A text of n tokens, of control tokens, which strata_embed recognises: the tiny eurobert has no words of letters. Free
 * with free(). */
static strata_text long_text(const strata_model *m, size_t n)
{
    const unsigned flags = STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL;
    uint64_t seed = n;
    size_t added, all;
    OK(strata_tokenize(m, "", 0, flags, NULL, NULL, 0, &added, err));
    char *z = malloc(n * 4 + 1), *end = z;
    assert_non_null(z);
    for (size_t i = added; i < n; i++) end += sprintf(end, rng_next(&seed) % 2 ? "<s>" : "</s>");
    OK(strata_tokenize(m, z, (size_t)(end - z), flags, NULL, NULL, 0, &all, err));
    assert_int_equal(all, n);
    return (strata_text){z, (size_t)(end - z)};
}

/* Attention takes more queries at a time from texts of up to 4096 tokens than from longer ones: the scratch for the
 * longest text of a run must do for the others too. */
static void test_long_batch(void **state)
{
    (void)state;
    if (!own_unit()) missing("long texts in bf16");
    const edit edits[] = {{.kind = SET_U32, .name = "eurobert.context_length", .u = 8192},
                          {.kind = SET_U32, .name = "eurobert.block_count", .u = 1},
                          {.kind = DROP_PREFIX, .name = "blk.1."},
                          {0}};
    blob b = rewrite(tiny("eurobert"), edits);
    strata_model *m = open_blob(b, &(strata_model_opts){.cpu = own_unit()->unit, .n_threads = 1});
    strata_embed_opts o = {.pooling = STRATA_POOLING_MEAN};
    strata_text t[] = {long_text(m, 4097), long_text(m, 4096)};
    static float want[2 * DIMS], got[2 * DIMS];
    assert_true(dims_of(m) <= DIMS);
    for (size_t i = 0; i < 2; i++) {
        strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_BF16);
        embed_one(c, t[i], &o, want + i * DIMS, DIMS);
        strata_ctx_close(c);
    }
    for (uint32_t threads = 1; threads <= 2; threads++) {
        strata_ctx *c = open_ctx(m, threads, STRATA_PRECISION_BF16);
        memset(got, 0, sizeof got);
        OK(strata_embed(c, t, 2, &o, got, DIMS, NULL, err));
        if (memcmp(got, want, sizeof got) != 0) fail_msg("on %u threads other bits than each text alone", threads);
        strata_ctx_close(c);
    }
    strata_model_close(m);
    for (size_t i = 0; i < 2; i++) free((char *)(uintptr_t)t[i].ptr);
    free(b.data);
}

typedef struct steps {
    int32_t ids[8];
    double logprobs[8]; /* all bits of a logit show in them */
    uint32_t n;
} steps;

static int on_step(void *user, const char *text, size_t len, const strata_gen_token *t)
{
    (void)text, (void)len;
    steps *s = user;
    if (!t) return 0;
    assert_true(s->n < 8);
    s->ids[s->n] = t->id;
    s->logprobs[s->n++] = t->logprob;
    return 0;
}

/* Through a cache, in chunks of any size, on any number of threads. */
static void test_cache(void **state)
{
    (void)state;
    if (!own_unit()) missing("generation in bf16");
    strata_model *m = open_level("llama-q8_0", own_unit()->unit);
    int32_t prompt[40];
    for (int i = 0; i < 40; i++) prompt[i] = 3 + i * 7 % 300;
    for (int tiles = 0; tiles < N_UNITS; tiles++) {
        steps s[3] = {{{0}, {0}, 0}};
        for (uint32_t way = 0; way < 3; way++) {
            strata_ctx *c = NULL;
            strata_ctx_opts o = {.n_threads = 1 + way,
                                 .precision = STRATA_PRECISION_BF16,
                                 .n_seqs = 1,
                                 .n_ctx = 64,
                                 .kv = STRATA_KV_F32};
            OK(strata_ctx_open(m, &o, &c, err));
            if (tiles) emulated_amx(&c->state->bf16);
            strata_gen_opts g = strata_gen_default();
            g.temperature = 0, g.max_tokens = 8, g.ignore_end = g.logprobs = 1;
            g.chunk = way ? 16 + way : 0;
            g.on_text = on_step, g.user = &s[way];
            strata_gen_result r;
            OK(strata_generate(c, 0, prompt, 40, &g, &r, err));
            assert_int_equal(s[way].n, 8);
            assert_memory_equal(&s[way], &s[0], sizeof s[0]);
            strata_ctx_close(c);
        }
    }
    strata_model_close(m);
}

/* ---- refusal ---- */

static void test_refusal(void **state)
{
    (void)state;
    static const char *const caps[] = {"generic", "avx2", "avx512"};
    for (size_t i = 0; i < 3; i++) {
        strata_model *m = NULL;
        strata_model_info info;
        if (strata_model_open(tiny("bert-q8_0"), &(strata_model_opts){.cpu = caps[i]}, &m, NULL)) continue;
        strata_model_get_info(m, &info);
        assert_null(info.bf16);
        strata_ctx *c = NULL;
        strata_ctx_opts o = {.precision = STRATA_PRECISION_BF16};
        FAILS(strata_ctx_open(m, &o, &c, err), STRATA_UNSUPPORTED_OP, "AMX (amx_tile, amx_bf16)");
        FAILS(strata_ctx_open(m, &o, &c, err), STRATA_UNSUPPORTED_OP, "AVX-512 BF16 (avx512_bf16)");
        FAILS(strata_ctx_open(m, &o, &c, err), STRATA_UNSUPPORTED_OP, info.cpu);
        FAILS(strata_ctx_open(m, &o, &c, err), STRATA_UNSUPPORTED_OP, "use precision i8");
        assert_null(c);
        strata_model_close(m);
    }
    /* Without a cap: what the information says holds, or another unit does. */
    strata_model *m = open_level("bert-q8_0", "");
    strata_model_info info;
    strata_model_get_info(m, &info);
    strata_ctx *c = NULL;
    int rc = strata_ctx_open(m, &(strata_ctx_opts){.precision = STRATA_PRECISION_BF16}, &c, NULL);
    if (!info.bf16) assert_int_equal(rc, STRATA_UNSUPPORTED_OP);
    if (rc == 0) assert_non_null(strstr("amx avx512bf16", strata_ctx_kernels(c)));
    strata_ctx_close(c);
    c = open_ctx(m, 1, STRATA_PRECISION_I8);
    assert_string_equal(strata_ctx_kernels(c), info.cpu);
    assert_null(strata_ctx_kernels(NULL));
    strata_ctx_close(c);
    strata_model_close(m);
}

static void test_caps(void **state)
{
    (void)state;
    assert_int_equal(st_bf16_allowed(NULL), ST_BF16_AVX512 | ST_BF16_AMX);
    assert_int_equal(st_bf16_allowed(""), ST_BF16_AVX512 | ST_BF16_AMX);
#if defined(__x86_64__)
    assert_int_equal(st_bf16_allowed("amx"), ST_BF16_AVX512 | ST_BF16_AMX);
    assert_int_equal(st_bf16_allowed("avx512bf16"), ST_BF16_AVX512 | ST_BF16_FORCED);
#endif
    assert_int_equal(st_bf16_allowed("avx512"), 0);
    assert_int_equal(st_bf16_allowed("generic"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_products_are_close),
        cmocka_unit_test(test_rows_and_cuts),
        cmocka_unit_test(test_host_configuration),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_unpack),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_models_are_close),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_long_batch),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
