/* test_kernels.c: every entry of the kernel table, at every level that this CPU has, against generic, bit by bit. After
 * dav1d's checkasm: random and worst-case inputs, odd sizes, no alignment, guard bytes around what is written.
 *
 *     test_kernels            the test
 *     test_kernels --bench    GMAC/s and ns per value of each level beside the machine's measured peaks */
#include "check.h"

#include "base/os/cpu_features.h"

static st_kernels ref, cur;
static char label[160];

#define LABEL(...) (snprintf(label, sizeof label, __VA_ARGS__), label)

#if defined(__x86_64__)
static bool only_evex(void)
{
    const uint32_t have = st_cpu_features();
    return (have & ST_CPU_AVX512) && (have & ST_CPU_AVX2) && !(have & ST_CPU_AVXVNNI);
}
#else
static bool only_evex(void)
{
    return false;
}
void st_kernels_avxvnni_evex(st_kernels *k)
{
    (void)k;
}
#endif

const char *level_name(size_t i)
{
    uint32_t n = 0;
    while (st_kernels_level_at(n)) n++;
    if (n == 1) return i == 0 ? st_kernels_level_at(0) : NULL;
    if (i + 1 < n) return st_kernels_level_at((uint32_t)i + 1);
    return i + 1 == n && only_evex() ? "avxvnni (evex)" : NULL;
}

void level_init(st_kernels *k, size_t i)
{
    const char *name = level_name(i);
    if (st_kernels_init(k, name)) return;
    assert_true(st_kernels_init(k, "avx2"));
    st_kernels_avxvnni_evex(k);
    k->level = "avxvnni (evex)";
}

/* Runs a test body for each level. */
#define EACH_LEVEL                                 \
    assert_true(st_kernels_init(&ref, "generic")); \
    for (size_t level = 0; level_name(level) && (level_init(&cur, level), 1); level++)

/* Sizes: every tail, then some longer ones. */
static const uint32_t lengths[] = {1,  2,  3,  4,  5,  7,  8,  9,  11, 13,  15,  16,  17,  24,
                                   31, 32, 33, 47, 48, 63, 64, 65, 96, 100, 255, 384, 768, 1025};
#define EACH_LENGTH(n) \
    for (size_t n##_ = 0, n; n##_ < sizeof lengths / sizeof *lengths && (n = lengths[n##_], 1); n##_++)

/* ---- the table itself ---- */

static void test_table(void **state)
{
    (void)state;
    st_kernels k;
    assert_true(st_kernels_init(&k, "generic"));
    assert_string_equal(k.level, "generic");
    assert_false(st_kernels_init(&k, "no-such-level"));
    const char *best = st_kernels_level_at(0), *level;
    assert_string_equal(best, "generic");
    printf("  levels:");
    for (uint32_t at = 0; (level = st_kernels_level_at(at)); at++) {
        assert_true(st_kernels_init(&k, level));
        assert_string_equal(k.level, level);
        void *const *entry = (void *const *)(const void *)&k;
        for (size_t i = 0; i < offsetof(st_kernels, gemv_rows) / sizeof *entry; i++) assert_non_null(entry[i]);
        best = level;
        printf(" %s", best);
    }
    printf("%s\n", only_evex() ? "; avxvnni by its EVEX encoding" : "");
    assert_true(st_kernels_init(&k, NULL));
    assert_string_equal(k.level, best);
    assert_true(st_kernels_init(&k, ""));
    assert_string_equal(k.level, best);
}

/* ---- int8 ---- */

static void test_quantize(void **state)
{
    (void)state;
    EACH_LEVEL
    for (int kind = 0; kind < SPECIAL; kind++)
        for (int planes = 1; planes <= 2; planes++)
            for (uint32_t rows = 1; rows <= 5; rows++)
                for (uint32_t k = 32; k <= 160; k += 32) {
                    const size_t ldx = k + rng_below(3), ld = k + 64, n_rows = rows + 2;
                    const uint32_t row0 = rng_below(3), k0 = 32 * rng_below(2 + (uint32_t)(ld - k) / 32 - 1);
                    float *x = random_floats(ldx * rows, kind);
                    /* A block of zeros, and one whose 127/amax overflows. */
                    for (int i = 0; i < 32; i++) x[i] = kind == PLAIN ? 0.0f : x[i] * 0x1p-127f;
                    twin hi = twin_new(n_rows * ld, 1), lo = twin_new(n_rows * ld, 1), d = twin_new(n_rows * ld / 8, 4),
                         sh = twin_new(n_rows * ld / 4, 4), sl = twin_new(n_rows * ld / 4, 4);
                    for (int i = 0; i < 2; i++) {
                        st_qact a = {twin_at(&hi, i), twin_at(&lo, i), twin_at(&d, i),
                                     twin_at(&sh, i), twin_at(&sl, i), ld};
                        if (planes == 1) a.lo = NULL, a.sum_lo = NULL;
                        assert_int_equal((i ? cur : ref).quantize(x, ldx, rows, k, planes, &a, row0, k0), 0);
                        /* Against the definition. */
                        for (uint32_t r = 0; r < rows; r++)
                            for (uint32_t b = 0; b < k; b += 32) {
                                const float *v = x + r * ldx + b;
                                size_t at = (row0 + r) * ld + k0 + b;
                                float amax = 0;
                                for (int j = 0; j < 32; j++) amax = fmaxf(amax, fabsf(v[j]));
                                float inv = 127.0f / amax, scale = amax / 127.0f;
                                if (amax == 0 || isinf(inv)) inv = scale = 0;
                                assert_memory_equal(&a.d[at / 32], &scale, 4);
                                int32_t sum[2][2] = {{0}};
                                for (int j = 0; j < 32; j++) {
                                    float t = v[j] * inv, h = rintf(t);
                                    assert_int_equal(a.hi[at + (size_t)j], (int)h);
                                    sum[0][j / 16] += (int)h;
                                    if (planes == 1) continue;
                                    assert_int_equal(a.lo[at + (size_t)j], (int)rintf((t - h) * 128.0f));
                                    sum[1][j / 16] += a.lo[at + (size_t)j];
                                    assert_true(abs(a.lo[at + (size_t)j]) <= 64);
                                }
                                assert_memory_equal(a.sum_hi + at / 16, sum[0], 8);
                                if (planes == 2) assert_memory_equal(a.sum_lo + at / 16, sum[1], 8);
                            }
                    }
                    LABEL("%s quantize %s planes %d rows %u k %u", cur.level, kind_name(kind), planes, rows, k);
                    twin_equal(&hi, label), twin_equal(&lo, label), twin_equal(&d, label), twin_equal(&sh, label);
                    twin_equal(&sl, label);
                    twin_free(&hi), twin_free(&lo), twin_free(&d), twin_free(&sh), twin_free(&sl);
                    free(x);
                }
    /* NaN and infinities are found wherever they are. */
    EACH_LEVEL
    for (int bad = 0; bad < 4; bad++)
        for (uint32_t at = 0; at < 3 * 64; at++)
            for (int planes = 1; planes <= 2; planes++) {
                float *x = random_floats(3 * 64, bad == 3 ? HUGE_ : PLAIN);
                x[at] = (float[]){NAN, INFINITY, -INFINITY, -NAN}[bad];
                qact_mem m = random_qact(3, 64, false, PLAIN);
                assert_int_equal(cur.quantize(x, 64, 3, 64, planes, &m.q, 0, 0), 1);
                assert_int_equal(ref.quantize(x, 64, 3, 64, planes, &m.q, 0, 0), 1);
                qact_free(&m);
                free(x);
            }
}

/* The definition in kernels.h, written once more, for the reference itself. */
static float gemm_i8_one(const st_qact *a, size_t row, int shape, int planes, const uint8_t *panel, uint32_t blocks,
                         int col, float f)
{
    const int group = shape >= ST_SHAPE_16 ? 16 : 32, per = 32 / group;
    for (uint32_t b = 0; b < blocks; b++, panel += st_shape_block_bytes((st_gemm_shape)shape)) {
        float ad = a->d[row * a->ld / 32 + b];
        if (planes == 2) ad /= 128;
        for (int g = 0; g < per; g++) {
            int64_t hi = 0, lo = 0, s = 0;
            for (int k = g * group; k < (g + 1) * group; k++) {
                int w = panel[k / 4 * 64 + col * 4 + k % 4] - 128;
                size_t at = row * a->ld + 32 * (size_t)b + (size_t)k;
                hi += w * a->hi[at], lo += w * a->lo[at];
                s += planes == 2 ? 128 * a->hi[at] + a->lo[at] : a->hi[at];
            }
            float scale, min;
            memcpy(&scale, panel + 512 + 64 * g + 4 * col, 4);
            memcpy(&min, panel + 512 + 64 * (shape & 1 ? per + g : g) + 4 * col, 4);
            float t = scale * ad;
            f = fmaf((float)(planes == 2 ? 128 * hi + lo : hi), t, f);
            if (shape & 1) {
                float m = min * ad;
                f = fmaf((float)-s, m, f);
            }
        }
    }
    return f;
}

static void gemm_i8_case(int shape, int planes, uint32_t rows, uint32_t n_panels, uint32_t blocks, bool worst, int kind)
{
    const uint32_t row0 = rng_below(3);
    const size_t ld = 32 * (blocks + rng_below(2)), ldc = 16 * n_panels + rng_below(5);
    const size_t stride = st_shape_block_bytes((st_gemm_shape)shape) * blocks + 4 * rng_below(3);
    qact_mem m = random_qact(row0 + rows, ld, worst, kind);
    uint8_t *w = random_panels((st_gemm_shape)shape, n_panels, stride, blocks, worst, kind);
    twin c = twin_new((ldc * (rows - 1) + 16 * n_panels) * 4, 4 * rng_below(4));
    const bool accumulate = rng_below(4) == 0;
    float *c0 = random_floats(c.bytes / 4, kind);
    twin_set(&c, c0);
    ref.gemm_i8[shape](&m.q, row0, rows, planes, w, stride, n_panels, blocks, accumulate, twin_at(&c, 0), ldc);
    cur.gemm_i8[shape](&m.q, row0, rows, planes, w, stride, n_panels, blocks, accumulate, twin_at(&c, 1), ldc);
    LABEL("%s gemm_i8 shape %d planes %d rows %u panels %u blocks %u %s %s", cur.level, shape, planes, rows, n_panels,
          blocks, worst ? "worst" : "random", kind_name(kind));
    twin_equal_f32(&c, label);
    uint32_t row = rng_below(rows), col = rng_below(16), panel = rng_below(n_panels);
    const size_t at = row * ldc + 16 * panel + col;
    float want =
        gemm_i8_one(&m.q, row0 + row, shape, planes, w + panel * stride, blocks, (int)col, accumulate ? c0[at] : 0);
    float got = ((const float *)twin_at(&c, 0))[at];
    if (memcmp(&want, &got, 4) != 0 && !(isnan(want) && isnan(got)))
        fail_msg("%s: generic gives %a, the definition %a", label, (double)got, (double)want);
    twin_free(&c);
    qact_free(&m);
    free(w), free(c0);
}

static void test_gemm_i8(void **state)
{
    (void)state;
    EACH_LEVEL
    for (int shape = 0; shape < ST_SHAPE_COUNT; shape++)
        for (int planes = 1; planes <= 2; planes++) {
            for (uint32_t n_panels = 1; n_panels <= 3; n_panels++) {
                for (uint32_t rows = 1; rows <= 13; rows++)
                    for (uint32_t blocks = 1; blocks <= 4; blocks++)
                        for (int kind = 0; kind < 3; kind++)
                            gemm_i8_case(shape, planes, rows, n_panels, blocks, rng_below(2), kind);
                for (uint32_t blocks = 15; blocks <= 18; blocks++)
                    gemm_i8_case(shape, planes, 3, n_panels, blocks, false, PLAIN);
                for (uint32_t blocks = 63; blocks <= 66; blocks++)
                    gemm_i8_case(shape, planes, 7, n_panels, blocks, true, PLAIN);
                gemm_i8_case(shape, planes, 2, n_panels, 131, true, PLAIN);
                gemm_i8_case(shape, planes, 1, n_panels, 200, false, MIXED);
                gemm_i8_case(shape, planes, 3, n_panels, 5, false, HUGE_);
                gemm_i8_case(shape, planes, 3, n_panels, 5, false, ZERO);
            }
            gemm_i8_case(shape, planes, 67, 2, 24, false, PLAIN);
        }
}

/* ---- float GEMM ---- */

static void gemm_f32_case(uint32_t rows, uint32_t n_panels, uint32_t k, bool accumulate, bool rowmajor, int kind)
{
    const size_t lda = k + rng_below(3), ldc = 16 * n_panels + rng_below(4);
    const size_t ldb = rowmajor ? 16 * n_panels + rng_below(5) : 16 + 16 * rng_below(2);
    const size_t panel_ld = rowmajor ? 16 : ldb * k + rng_below(3);
    float *a = random_floats(k ? lda * (rows - 1) + k : 1, kind);
    float *b = random_floats(k ? panel_ld * (n_panels - 1) + ldb * (k - 1) + 16 : 1, kind);
    float *c0 = random_floats(ldc * (rows - 1) + 16 * n_panels, kind);
    twin c = twin_new((ldc * (rows - 1) + 16 * n_panels) * 4, 4 * rng_below(4));
    twin_set(&c, c0);
    ref.gemm_f32(a, lda, rows, b, ldb, panel_ld, n_panels, k, accumulate, twin_at(&c, 0), ldc);
    cur.gemm_f32(a, lda, rows, b, ldb, panel_ld, n_panels, k, accumulate, twin_at(&c, 1), ldc);
    LABEL("%s gemm_f32 rows %u panels %u k %u %s %s %s", cur.level, rows, n_panels, k, accumulate ? "+=" : "=",
          rowmajor ? "rows" : "panels", kind_name(kind));
    twin_equal_f32(&c, label);
    uint32_t r = rng_below(rows), p = rng_below(n_panels), j = rng_below(16);
    float f = accumulate ? c0[r * ldc + 16 * p + j] : 0, got = ((const float *)twin_at(&c, 0))[r * ldc + 16 * p + j];
    for (uint32_t i = 0; i < k; i++) f = fmaf(a[r * lda + i], b[p * panel_ld + i * ldb + j], f);
    if (memcmp(&f, &got, 4) != 0 && !(isnan(f) && isnan(got))) fail_msg("%s: generic is not the definition", label);
    twin_free(&c);
    free(a), free(b), free(c0);
}

static void test_gemm_f32(void **state)
{
    (void)state;
    EACH_LEVEL
    {
        for (uint32_t rows = 1; rows <= 13; rows++)
            for (uint32_t n_panels = 1; n_panels <= 9; n_panels++)
                for (int v = 0; v < 4; v++)
                    gemm_f32_case(rows, n_panels, 1 + rng_below(20), v & 1, v >> 1, (int)rng_below(2));
        for (int kind = 0; kind < N_KINDS; kind++) gemm_f32_case(9, 5, 33, kind & 1, kind & 2, kind);
        gemm_f32_case(21, 4, 257, false, false, PLAIN);
        gemm_f32_case(34, 16, 64, true, true, PLAIN);
        gemm_f32_case(3, 4, 0, false, true, PLAIN);
        gemm_f32_case(3, 4, 0, true, true, PLAIN);
    }
}

/* ---- weights ---- */

static void test_halves(void **state)
{
    (void)state;
    enum { ALL = 65536 };
    uint16_t *x = exact(ALL * 2);
    for (uint32_t i = 0; i < ALL; i++) x[i] = (uint16_t)i;
    EACH_LEVEL
    for (int bf = 0; bf < 2; bf++) {
        twin y = twin_new(ALL * 4, 4);
        for (int i = 0; i < 2; i++) {
            const st_kernels *k = i ? &cur : &ref;
            (bf ? k->bf16_to_f32 : k->f16_to_f32)(x, twin_at(&y, i), ALL);
        }
        for (uint32_t i = 0; i < ALL; i++) {
            float want = bf ? st_bf16_to_f32((uint16_t)i) : st_f16_to_f32((uint16_t)i),
                  got = ((float *)twin_at(&y, 1))[i];
            if (memcmp(&want, &got, 4) != 0 && !(isnan(want) && isnan(got)))
                fail_msg("%s: half %x is %a, not %a", cur.level, i, (double)got, (double)want);
        }
        twin_equal_f32(&y, cur.level);
        twin_free(&y);
        EACH_LENGTH(n)
        {
            uint16_t *h = exact(n * 2);
            memcpy(h, x + 0x3c00, n * 2);
            y = twin_new(n * 4, 4);
            (bf ? ref.bf16_to_f32 : ref.f16_to_f32)(h, twin_at(&y, 0), n);
            (bf ? cur.bf16_to_f32 : cur.f16_to_f32)(h, twin_at(&y, 1), n);
            twin_equal_f32(&y, cur.level);
            twin_free(&y);
            free(h);
        }
    }
    free(x);
}

static void test_unpack(void **state)
{
    (void)state;
    EACH_LEVEL
    for (int shape = 0; shape < ST_SHAPE_COUNT; shape++)
        for (uint32_t blocks = 1; blocks <= 5; blocks++)
            for (int kind = 0; kind < ZERO; kind++) {
                const size_t bytes = st_shape_block_bytes((st_gemm_shape)shape);
                uint8_t *w = random_panels((st_gemm_shape)shape, 1, bytes * blocks, blocks, false, kind);
                twin y = twin_new(blocks * 512 * 4, 4);
                ref.unpack_f32[shape](w, blocks, twin_at(&y, 0));
                cur.unpack_f32[shape](w, blocks, twin_at(&y, 1));
                twin_equal_f32(&y, LABEL("%s unpack_f32 shape %d blocks %u", cur.level, shape, blocks));
                const int groups = shape >= ST_SHAPE_16 ? 2 : 1;
                for (uint32_t k = 0; k < 32 * blocks; k++)
                    for (uint32_t c = 0; c < 16; c++) {
                        const uint8_t *at = w + k / 32 * bytes;
                        int q = at[k % 32 / 4 * 64 + c * 4 + k % 4] - 128, g = (int)(k % 32) * groups / 32;
                        float s, min, want, got = ((float *)twin_at(&y, 0))[16 * k + c];
                        memcpy(&s, at + 512 + 64 * g + 4 * c, 4);
                        want = s * (float)q;
                        if (shape & 1) {
                            memcpy(&min, at + 512 + 64 * (groups + g) + 4 * c, 4);
                            want -= min;
                        }
                        assert_memory_equal(&want, &got, 4);
                    }
                twin_free(&y);
                free(w);
            }
}

static void test_interleave(void **state)
{
    (void)state;
    EACH_LEVEL
    for (uint32_t blocks = 1; blocks <= 7; blocks++) {
        const size_t step = 32 + rng_below(3), ld = step * blocks + rng_below(9), out = 512 + 64 * rng_below(3),
                     bytes = 15 * ld + step * (blocks - 1) + 32;
        const uint8_t flip = (uint8_t)rng();
        uint8_t *src = exact(bytes);
        for (size_t i = 0; i < bytes; i++) src[i] = (uint8_t)rng();
        twin y = twin_new(out * (blocks - 1) + 512, 4);
        ref.interleave(src, ld, step, blocks, flip, twin_at(&y, 0), out);
        cur.interleave(src, ld, step, blocks, flip, twin_at(&y, 1), out);
        twin_equal(&y, LABEL("%s interleave blocks %u", cur.level, blocks));
        const uint8_t *panel = twin_at(&y, 1);
        for (uint32_t b = 0; b < blocks; b++)
            for (uint32_t c = 0; c < 16; c++)
                for (uint32_t k = 0; k < 32; k++)
                    assert_int_equal(panel[out * b + k / 4 * 64 + 4 * c + k % 4], src[c * ld + step * b + k] ^ flip);
        twin_free(&y);
        free(src);
    }
}

/* A form of a width; centred: weights can be negative. */
static st_panel_form form_of(int shape, int width, bool centred, int tails)
{
    if (tails == ST_TAILS_I8) centred = !(shape & 1);
    uint8_t zero = width == ST_WIDTH_5_3 ? 128 : centred ? (uint8_t)(8u << width) : 0;
    return (st_panel_form){(st_gemm_shape)shape, (st_width)width, zero, (st_tails)tails};
}

/* What blocks keep apart; factors of tails of int8 are f16 of the kind. */
static uint8_t *random_apart(const st_panel_form *f, uint32_t blocks, bool worst, int kind)
{
    const uint32_t up = (blocks + ST_SUPER_BLOCKS - 1) / ST_SUPER_BLOCKS * ST_SUPER_BLOCKS;
    const size_t n = st_form_apart(f, f->tails == ST_TAILS_I8 ? up : blocks);
    uint8_t *apart = exact(n);
    for (size_t i = 0; i < n; i++) apart[i] = worst ? (uint8_t) - (int)rng_below(2) : (uint8_t)rng();
    for (size_t i = 0; i < n && f->tails == ST_TAILS_I8; i += 2) {
        uint16_t h = st_f32_to_f16(random_float(kind) * 0.01f);
        memcpy(apart + i, &h, 2);
    }
    return apart;
}

/* Tail i of 16 of a block, as a float. */
static float tail_of(const st_panel_form *f, const uint8_t *tails, const uint8_t *apart, uint32_t b, uint32_t i)
{
    uint16_t h;
    float x;
    switch (f->tails) {
    case ST_TAILS_F32: memcpy(&x, tails + 4 * i, 4); return x;
    case ST_TAILS_F16: memcpy(&h, tails + 2 * i, 2); return st_f16_to_f32(h);
    case ST_TAILS_I8: break;
    }
    const bool min = i / 16 >= (f->shape >= ST_SHAPE_16 ? 2u : 1u);
    memcpy(&h, apart + b / ST_SUPER_BLOCKS * st_super_bytes(f->shape) + (min ? 32 : 0) + 2 * (i % 16), 2);
    return st_f16_to_f32(h) * (float)(int8_t)tails[i];
}

/* Every form against the definition in kernels.h. */
static void widen_case(st_panel_form form, uint32_t blocks)
{
    const size_t from = st_form_block_bytes(&form), to = st_shape_block_bytes(form.shape);
    const uint32_t tails = st_shape_tails(form.shape);
    const bool split = form.width == ST_WIDTH_5_3;
    uint8_t *src = exact(from * blocks), *low = random_apart(&form, blocks, false, PLAIN);
    for (size_t i = 0; i < from * blocks; i++) src[i] = (uint8_t)rng();
    twin y = twin_new(to * blocks, 4);
    ref.widen[form.width](&form, src, low, blocks, twin_at(&y, 0));
    cur.widen[form.width](&form, src, low, blocks, twin_at(&y, 1));
    LABEL("%s widen shape %d width %d zero %d tails %d blocks %u", cur.level, form.shape, form.width, form.zero,
          form.tails, blocks);
    twin_equal_f32(&y, label); /* scales may be NaN */
    for (uint32_t b = 0; b < blocks; b++) {
        const uint8_t *n = src + from * b, *got = (const uint8_t *)twin_at(&y, 1) + to * b;
        for (int i = 0; i < 512; i++) {
            int g = i / 64, at = i % 64, q = n[g % 4 * 64 + at] >> g / 4 * 4 & 15;
            if (form.width == ST_WIDTH_5 || split) q |= (n[256 + at] >> g & 1) << 4;
            if (form.width == ST_WIDTH_6) q |= (n[256 + g / 4 * 64 + at] >> g % 4 * 2 & 3) << 4;
            if (split) {
                const uint8_t *l = low + ST_LOW_BYTES * b;
                q = q << 3 | (l[g / 4 * 64 + at] >> g % 4 * 2 & 3) | (l[128 + at] >> g & 1) << 2;
            }
            assert_int_equal(got[i], q - form.zero + 128);
        }
        for (uint32_t i = 0; i < 16 * tails; i++) {
            float want = tail_of(&form, n + st_width_bytes(form.width), low, b, i), x;
            memcpy(&x, got + 512 + 4 * i, 4);
            assert_true(x == want || (isnan(x) && isnan(want)));
        }
    }
    twin_free(&y);
    free(src), free(low);
}

/* The bits of the GEMM over the widened panel, on every level. */
static void gemv_case(st_panel_form form, uint32_t rows, int planes, uint32_t blocks, bool worst, int kind)
{
    const uint32_t row0 = rng_below(3), tails = 16 * st_shape_tails(form.shape);
    const size_t from = st_form_block_bytes(&form), weights = st_width_bytes(form.width), ldc = 16 + rng_below(5);
    const size_t to = st_shape_block_bytes(form.shape) * blocks;
    qact_mem m = random_qact(row0 + rows, 32 * (blocks + rng_below(2)), worst, kind);
    uint8_t *src = exact(from * blocks), *wide = exact(to), *low = random_apart(&form, blocks, worst, kind);
    for (uint32_t b = 0; b < blocks; b++) {
        for (size_t i = 0; i < weights; i++) src[from * b + i] = worst ? (uint8_t) - (int)rng_below(2) : (uint8_t)rng();
        for (uint32_t i = 0; i < tails; i++) {
            const float x = random_float(kind) * 0.01f;
            const uint16_t h = st_f32_to_f16(x);
            uint8_t *tail = src + from * b + weights;
            if (form.tails == ST_TAILS_F32) memcpy(tail + 4 * i, &x, 4);
            if (form.tails == ST_TAILS_F16) memcpy(tail + 2 * i, &h, 2);
            if (form.tails == ST_TAILS_I8) tail[i] = (uint8_t)rng();
        }
    }
    ref.widen[form.width](&form, src, low, blocks, wide);
    twin c = twin_new((ldc * (rows - 1) + 16) * 4, 4 * rng_below(4));
    for (int generic = 0; generic < 2; generic++) {
        ref.gemm_i8[form.shape](&m.q, row0, rows, planes, wide, to, 1, blocks, false, twin_at(&c, 0), ldc);
        (generic ? ref : cur)
            .gemv_i8[form.width](&form, &m.q, row0, rows, planes, src, low, blocks, twin_at(&c, 1), ldc);
        LABEL("%s gemv_i8 shape %d width %d zero %d tails %d planes %d rows %u blocks %u %s %s",
              generic ? "generic" : cur.level, form.shape, form.width, form.zero, form.tails, planes, rows, blocks,
              worst ? "worst" : "random", kind_name(kind));
        twin_equal_f32(&c, label);
    }
    twin_free(&c);
    qact_free(&m);
    free(src), free(wide), free(low);
}

static void test_gemv_i8(void **state)
{
    (void)state;
    EACH_LEVEL
    for (int shape = 0; shape < ST_SHAPE_COUNT; shape++)
        for (int width = ST_WIDTH_4; width < ST_WIDTH_8; width++)
            for (int what = 0; what < 12; what++) {
                if (width == ST_WIDTH_5_3 && (shape != ST_SHAPE_32 || what / 4 == ST_TAILS_I8)) continue;
                const st_panel_form form = form_of(shape, width, what & 1, what / 4);
                const int planes = what & 2 ? 2 : 1;
                for (uint32_t rows = 1; rows <= 3; rows++)
                    for (uint32_t blocks = 1; blocks <= 4; blocks++)
                        for (int kind = 0; kind < 3; kind++) gemv_case(form, rows, planes, blocks, rng_below(2), kind);
                for (uint32_t blocks = 15; blocks <= 18; blocks++) gemv_case(form, 1, planes, blocks, true, PLAIN);
                for (uint32_t blocks = 63; blocks <= 66; blocks++) gemv_case(form, 2, planes, blocks, false, PLAIN);
                gemv_case(form, 1, planes, 131, true, PLAIN);
                gemv_case(form, 2, planes, 5, false, HUGE_);
                gemv_case(form, 2, planes, 5, false, ZERO);
            }
}

/* The definition in kernels.h, and never below the bound where no product is NaN. */
static void test_add_bound(void **state)
{
    (void)state;
    EACH_LEVEL
    for (uint32_t blocks = 0; blocks <= 40; blocks++)
        for (int kind = 0; kind < 3; kind++) {
            const size_t step = 32 + 2 * rng_below(200);
            uint8_t *src = exact(blocks ? step * (blocks - 1) + 32 : 0);
            float *up = exact(blocks * sizeof *up), *down = exact(blocks * sizeof *down), start[16];
            twin c = twin_new(64, 4);
            for (uint32_t i = 0; i < 16; i++) start[i] = random_float(PLAIN);
            for (uint32_t b = 0; b < blocks; b++) {
                up[b] = fabsf(random_float(kind)), down[b] = -fabsf(random_float(kind));
                for (uint32_t i = 0; i < 16; i++) {
                    uint16_t h = st_f32_to_f16(random_float(kind));
                    memcpy(src + step * b + 2 * i, &h, 2);
                }
            }
            memcpy(twin_at(&c, 0), start, 64), memcpy(twin_at(&c, 1), start, 64);
            ref.add_bound(src, step, blocks, up, down, twin_at(&c, 0));
            cur.add_bound(src, step, blocks, up, down, twin_at(&c, 1));
            twin_equal_f32(&c, LABEL("%s add_bound blocks %u %s", cur.level, blocks, kind_name(kind)));
            for (uint32_t i = 0; i < 16 && kind == PLAIN; i++) {
                float want = start[i], got;
                for (uint32_t b = 0; b < blocks; b++) {
                    uint16_t h;
                    memcpy(&h, src + step * b + 2 * i, 2);
                    float s = st_f16_to_f32(h), p = s * up[b], q = s * down[b];
                    want += p > q ? p : q;
                }
                memcpy(&got, (float *)twin_at(&c, 1) + i, 4);
                assert_true(got == want);
            }
            twin_free(&c);
            free(src), free(up), free(down);
        }
}

static void test_widen(void **state)
{
    (void)state;
    EACH_LEVEL
    {
        for (int shape = 0; shape < ST_SHAPE_COUNT; shape++)
            for (int width = ST_WIDTH_4; width < ST_WIDTH_8; width++)
                for (uint32_t blocks = 1; blocks <= 5; blocks++)
                    for (int half = 0; half < 2; half++) widen_case(form_of(shape, width, rng_below(2), half), blocks);
    }
}

/* ---- rows ---- */

static float tree_sum(const float *x, size_t n, bool squares)
{
    float p[16] = {0};
    for (size_t i = 0; i < n; i++) p[i % 16] = squares ? fmaf(x[i], x[i], p[i % 16]) : p[i % 16] + x[i];
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++) p[i] += p[i + h];
    return p[0];
}

static bool same(float a, float b)
{
    return memcmp(&a, &b, 4) == 0 || (isnan(a) && isnan(b));
}

static void test_norms(void **state)
{
    (void)state;
    EACH_LEVEL
    EACH_LENGTH(n)
    for (int kind = 0; kind < N_KINDS; kind++) {
        float *x = random_floats(n, kind), *w = random_floats(n, PLAIN), *b = random_floats(n, PLAIN);
        LABEL("%s norms n %zu %s", cur.level, n, kind_name(kind));
        assert_true(same(ref.sum(x, n), tree_sum(x, n, false)) && same(ref.sum_sq(x, n), tree_sum(x, n, true)));
        if (!same(ref.sum(x, n), cur.sum(x, n)) || !same(ref.sum_sq(x, n), cur.sum_sq(x, n)))
            fail_msg("%s: sums", label);
        for (int variant = 0; variant < 8; variant++) {
            const float *w_ = variant & 1 ? w : NULL, *b_ = variant & 2 ? b : NULL;
            const bool in_place = variant & 4;
            twin y = twin_new(n * 4, 4 * (n & 3));
            if (in_place) twin_set(&y, x);
            for (int i = 0; i < 2; i++)
                (i ? cur : ref).layer_norm(in_place ? twin_at(&y, i) : x, w_, b_, 1e-5f, (uint32_t)n, twin_at(&y, i));
            twin_equal_f32(&y, label);
            if (in_place) twin_set(&y, x);
            for (int i = 0; i < 2; i++)
                (i ? cur : ref).rms_norm(in_place ? twin_at(&y, i) : x, w_, 1e-6f, (uint32_t)n, twin_at(&y, i));
            twin_equal_f32(&y, label);
            twin_free(&y);
        }
        free(x), free(w), free(b);
    }
}

static void test_elementwise(void **state)
{
    (void)state;
    EACH_LEVEL
    EACH_LENGTH(n)
    for (int kind = 0; kind < N_KINDS; kind++) {
        const uint32_t rows = 1 + rng_below(3);
        const size_t ld = n + rng_below(4), total = ld * (rows - 1) + n, ldu = n + 1;
        float *x = random_floats(total, kind), *u = random_floats(ldu * rows, PLAIN);
        twin y = twin_new(total * 4, 4 * (n & 3));
        for (int act = 0; act < ST_ACT_COUNT; act++) {
            twin_set(&y, x);
            for (int i = 0; i < 2; i++) (i ? cur : ref).act((st_act)act, twin_at(&y, i), ld, rows, (uint32_t)n);
            twin_equal_f32(&y, LABEL("%s act %d n %zu %s", cur.level, act, n, kind_name(kind)));
            twin_set(&y, x);
            for (int i = 0; i < 2; i++) (i ? cur : ref).glu((st_act)act, twin_at(&y, i), ld, u, ldu, rows, (uint32_t)n);
            twin_equal_f32(&y, LABEL("%s glu %d n %zu %s", cur.level, act, n, kind_name(kind)));
        }
        twin_set(&y, x);
        for (int i = 0; i < 2; i++) (i ? cur : ref).bias(twin_at(&y, i), ld, rows, (uint32_t)n, u);
        twin_equal_f32(&y, LABEL("%s bias n %zu", cur.level, n));
        assert_true(same(((float *)twin_at(&y, 0))[n - 1], x[n - 1] + u[n - 1]));
        twin_free(&y);

        y = twin_new(n * 4, 4 * (n & 3));
        for (int i = 0; i < 2; i++) (i ? cur : ref).scale(x, 1.7f, twin_at(&y, i), n);
        twin_equal_f32(&y, LABEL("%s scale n %zu", cur.level, n));
        twin_set(&y, u);
        for (int i = 0; i < 2; i++) (i ? cur : ref).add_scaled(x, -0.3f, twin_at(&y, i), n);
        twin_equal_f32(&y, LABEL("%s add_scaled n %zu", cur.level, n));
        assert_true(same(((float *)twin_at(&y, 0))[n / 2], fmaf(x[n / 2], -0.3f, u[n / 2])));
        twin_free(&y);
        free(x), free(u);
    }
}

/* ---- attention ---- */

static void test_rope(void **state)
{
    (void)state;
    EACH_LEVEL
    for (uint32_t half = 1; half <= 70; half++)
        for (int neox = 0; neox < 2; neox++)
            for (int kind = 0; kind < N_KINDS; kind++) {
                float *x = random_floats(2 * half, kind), *co = random_floats(half, PLAIN),
                      *si = random_floats(half, PLAIN);
                twin y = twin_new(2 * half * 4, 4);
                twin_set(&y, x);
                for (int i = 0; i < 2; i++) (i ? cur : ref).rope(twin_at(&y, i), co, si, half, neox);
                twin_equal_f32(&y, LABEL("%s rope half %u neox %d %s", cur.level, half, neox, kind_name(kind)));
                for (uint32_t i = 0; i < half; i++) {
                    size_t ia = neox ? i : 2 * i, ib = neox ? i + half : 2 * i + 1;
                    float a = x[ia], b = x[ib], bs = b * si[i], as = a * si[i];
                    assert_true(same(((float *)twin_at(&y, 0))[ia], fmaf(a, co[i], -bs)));
                    assert_true(same(((float *)twin_at(&y, 0))[ib], fmaf(b, co[i], as)));
                }
                twin_free(&y);
                free(x), free(co), free(si);
            }
}

static void test_transpose(void **state)
{
    (void)state;
    EACH_LEVEL
    for (uint32_t rows = 1; rows <= 35; rows += 1 + rows / 18)
        for (uint32_t n = 1; n <= 66; n += 1 + n / 20) {
            const size_t lds = n + rng_below(3);
            float *src = random_floats(lds * (rows - 1) + n, SPECIAL);
            twin y = twin_new((size_t)((rows + 15) / 16) * n * 16 * 4, 4);
            ref.transpose16(src, lds, rows, n, twin_at(&y, 0));
            cur.transpose16(src, lds, rows, n, twin_at(&y, 1));
            twin_equal_f32(&y, LABEL("%s transpose16 rows %u n %u", cur.level, rows, n));
            for (uint32_t r = 0; r < (rows + 15) / 16 * 16; r++)
                for (uint32_t c = 0; c < n; c++)
                    assert_true(same(((float *)twin_at(&y, 0))[(r / 16 * n + c) * 16 + r % 16],
                                     r < rows ? src[r * lds + c] : 0.0f));
            twin_free(&y);
            free(src);
        }
}

static void test_softmax(void **state)
{
    (void)state;
    EACH_LEVEL
    for (uint32_t n = 16; n <= 96; n += 16)
        for (int variant = 0; variant < 60; variant++) {
            const uint32_t lo = rng_below(n), hi = lo + 1 + rng_below(n - lo);
            const float cap = variant & 1 ? 30.0f : 0.0f, slope = variant & 2 ? 0.0625f : 0.0f,
                        scale = rng_f32(0.05f, 2);
            const int64_t pos = (int64_t)rng_below(200) - 50;
            const int kind = variant % 5 == 0 ? (int)rng_below(N_KINDS) : PLAIN;
            float *x = random_floats(n, kind), sums[2];
            twin y = twin_new(n * 4, 4);
            twin_set(&y, x);
            for (int i = 0; i < 2; i++)
                sums[i] = (i ? cur : ref).softmax(twin_at(&y, i), n, lo, hi, scale, cap, slope, pos);
            twin_equal_f32(&y, LABEL("%s softmax n %u [%u, %u) variant %d", cur.level, n, lo, hi, variant));
            if (!same(sums[0], sums[1])) fail_msg("%s: the sum is %a, not %a", label, (double)sums[1], (double)sums[0]);
            const float *e = twin_at(&y, 0);
            if (kind == PLAIN) {
                double max = -INFINITY, t[96];
                for (uint32_t j = lo; j < hi; j++) {
                    t[j] = (double)scale * x[j];
                    if (cap > 0) t[j] = cap * tanh(t[j] / cap);
                    t[j] -= (double)slope * fabs((double)((int64_t)j - pos));
                    max = fmax(max, t[j]);
                }
                assert_true(sums[0] == tree_sum(e, n, false));
                for (uint32_t j = lo; j < hi; j++) assert_true(fabs(e[j] - exp(t[j] - max)) < 2e-6);
            }
            for (uint32_t j = 0; j < n; j++) assert_true((j >= lo && j < hi) || (e[j] == 0 && !signbit(e[j])));
            twin_free(&y);
            free(x);
        }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) return bench(argc > 2 ? argv[2] : NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_gemm_i8),
        cmocka_unit_test(test_gemm_f32),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_unpack),
        cmocka_unit_test(test_interleave),
        cmocka_unit_test(test_widen),
        cmocka_unit_test(test_gemv_i8),
        cmocka_unit_test(test_add_bound),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_same_bits_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
