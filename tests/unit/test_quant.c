/* test_quant.c: the tensor types against the vectors of gguf-py and ggml (tests/data/quant,
 * tools/gen_quant_vectors.py), and the 16-bit floats against a slow definition. NaN counts as NaN whatever its bits;
 * all else is compared bit for bit.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/half.h"
#include "base/os/file.h"
#include "quant/quant.h"

static const char *const types[] = {
#define ST_QUANT_FLOAT(id, type, ...)  #type,
#define ST_QUANT_BLOCKS(id, type, ...) #type,
#include "quant/types.def"
};
enum { N_TYPES = sizeof types / sizeof *types };

static st_mem mem;

static bool same_float(float a, float b)
{
    return isnan(a) ? isnan(b) : st_f32_bits(a) == st_f32_bits(b);
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

typedef struct vectors {
    st_file file;
    uint32_t type, block, bytes, n_blocks, n_quantized;
    const uint8_t *raw, *quantized;
    const float *values, *inputs; /* in aligned */
    float *aligned;
} vectors;

static vectors load(const char *name)
{
    char path[512];
    strata_error err;
    vectors v = {0};
    snprintf(path, sizeof path, STRATA_SOURCE_DIR "/tests/data/quant/%s.bin", name);
    if (st_file_open(&v.file, path, true, &mem, &err)) fail_msg("%s (tools/gen_quant_vectors.py makes it)", err.msg);
    assert_true(v.file.size > 20);
    memcpy(&v.type, v.file.data, 20);
    size_t raw = (size_t)v.n_blocks * v.bytes, values = (size_t)v.n_blocks * v.block,
           inputs = (size_t)v.n_quantized * v.block;
    assert_int_equal(v.file.size, 20 + raw + 4 * values + 4 * inputs + (size_t)v.n_quantized * v.bytes);
    v.raw = v.file.data + 20;
    v.aligned = malloc(4 * (values + inputs));
    memcpy(v.aligned, v.raw + raw, 4 * (values + inputs));
    v.values = v.aligned;
    v.inputs = v.aligned + values;
    v.quantized = v.raw + raw + 4 * (values + inputs);
    return v;
}

static void unload(vectors *v)
{
    free(v->aligned);
    st_file_close(&v->file);
}

static void equals_gguf_py(const char *name, const vectors *v, const st_quant *t, const uint8_t *raw)
{
    size_t n = (size_t)v->n_blocks * v->block;
    float *got = malloc(4 * n);
    t->dequant(raw, got, n);
    for (size_t i = 0; i < n; i++)
        if (!same_float(got[i], v->values[i]))
            fail_msg("%s: block %zu value %zu is %a, want %a", name, i / v->block, i % v->block, (double)got[i],
                     (double)v->values[i]);
    free(got);
}

static void unpacks_exactly(const char *name, const vectors *v, const st_quant *t)
{
    size_t n = (size_t)v->n_blocks * v->block, groups = n / t->group;
    int8_t *q = malloc(n);
    float *scale = malloc(4 * groups), *min = malloc(4 * groups);
    t->unpack(v->raw, q, scale, t->has_min ? min : NULL, n);
    for (size_t i = 0; i < n; i++) {
        float got = scale[i / t->group] * (float)q[i];
        if (t->has_min) got -= min[i / t->group];
        if (!same_float(got, v->values[i]))
            fail_msg("%s: block %zu value %zu unpacks to %a, want %a", name, i / v->block, i % v->block, (double)got,
                     (double)v->values[i]);
    }
    free(q);
    free(scale);
    free(min);
}

static void quantizes_as_reference(const char *name, const vectors *v, const st_quant *t)
{
    size_t n = (size_t)v->n_quantized * v->block, bytes = (size_t)v->n_quantized * v->bytes;
    uint8_t *got = malloc(bytes);
    t->quantize(v->inputs, got, n);
    for (size_t i = 0; i < bytes; i++)
        if (got[i] != v->quantized[i] && !(v->block == 1 && isnan(v->inputs[i / v->bytes])))
            fail_msg("%s: block %zu byte %zu is %02x, want %02x", name, i / v->bytes, i % v->bytes, got[i],
                     v->quantized[i]);
    free(got);
}

static void vector_case(void **state)
{
    const char *name = *state;
    vectors v = load(name);
    const st_quant *t = st_quant_get(v.type);
    assert_non_null(t);
    assert_int_equal(t->block, v.block);
    assert_int_equal(t->bytes, v.bytes);
    assert_true(v.n_blocks >= 40);
    equals_gguf_py(name, &v, t, v.raw);

    /* Tensors lie at any address. */
    size_t bytes = (size_t)v.n_blocks * v.bytes;
    uint8_t *odd = malloc(bytes + 1);
    memcpy(odd + 1, v.raw, bytes);
    equals_gguf_py(name, &v, t, odd + 1);
    free(odd);

    assert_int_equal(t->unpack != NULL, t->group != 0);
    if (t->unpack) {
        assert_true(t->group == 16 || t->group == 32);
        assert_int_equal(t->block % t->group, 0);
        unpacks_exactly(name, &v, t);
    } else {
        assert_false(t->has_min);
    }
    assert_int_equal(t->quantize != NULL, v.n_quantized != 0);
    if (t->quantize) quantizes_as_reference(name, &v, t);
    unload(&v);
}

/* ---- table ------------------------------------------------------------------------------------------------------- */

/* The rows, for a type that GGUF does not have. */
static bool has_row(uint32_t id)
{
#define ST_QUANT_FLOAT(n, ...)  || id == (n)
#define ST_QUANT_BLOCKS(n, ...) || id == (n)
#define ST_QUANT_SIZED(n, ...)  || id == (n)
    return false
#include "quant/types.def"
        ;
}

static void table_is_whole(void **state)
{
    (void)state;
    /* GGUF's own types, by gguf-py 0.19: none may be missing or have another size. */
    static const struct {
        uint32_t id, block, bytes;
        const char *name;
    } want[] = {{0, 1, 4, "F32"},         {1, 1, 2, "F16"},         {2, 32, 18, "Q4_0"},      {3, 32, 20, "Q4_1"},
                {6, 32, 22, "Q5_0"},      {7, 32, 24, "Q5_1"},      {8, 32, 34, "Q8_0"},      {9, 32, 36, "Q8_1"},
                {10, 256, 84, "Q2_K"},    {11, 256, 110, "Q3_K"},   {12, 256, 144, "Q4_K"},   {13, 256, 176, "Q5_K"},
                {14, 256, 210, "Q6_K"},   {15, 256, 292, "Q8_K"},   {16, 256, 66, "IQ2_XXS"}, {17, 256, 74, "IQ2_XS"},
                {18, 256, 98, "IQ3_XXS"}, {19, 256, 50, "IQ1_S"},   {20, 32, 18, "IQ4_NL"},   {21, 256, 110, "IQ3_S"},
                {22, 256, 82, "IQ2_S"},   {23, 256, 136, "IQ4_XS"}, {24, 1, 1, "I8"},         {25, 1, 2, "I16"},
                {26, 1, 4, "I32"},        {27, 1, 8, "I64"},        {28, 1, 8, "F64"},        {29, 256, 56, "IQ1_M"},
                {30, 1, 2, "BF16"},       {34, 256, 54, "TQ1_0"},   {35, 256, 66, "TQ2_0"},   {39, 32, 17, "MXFP4"},
                {40, 64, 36, "NVFP4"},    {41, 128, 18, "Q1_0"}};
    size_t next = 0;
    for (uint32_t id = 0; id < 1000; id++) {
        const char *name;
        uint32_t block, bytes;
        bool known = st_quant_geometry(id, &name, &block, &bytes);
        const st_quant *t = st_quant_get(id);
        bool of_gguf = next < sizeof want / sizeof *want && want[next].id == id;
        assert_int_equal(known, has_row(id));
        if (!known) {
            assert_false(of_gguf);
            assert_null(t);
            continue;
        }
        if (of_gguf) {
            assert_string_equal(name, want[next].name);
            assert_int_equal(block, want[next].block);
            assert_int_equal(bytes, want[next].bytes);
            next++;
        }
        if (!t) continue;
        assert_string_equal(t->name, name);
        assert_int_equal(t->block, block);
        assert_int_equal(t->bytes, bytes);
        assert_non_null(t->dequant);
    }
    assert_null(st_quant_get(UINT32_MAX));

    char supported[512], *save = supported;
    int n = 0;
    snprintf(supported, sizeof supported, "%s", st_quant_supported());
    for (char *word; (word = save) != NULL; n++) {
        save = strchr(save, ' ');
        if (save) *save++ = 0;
        bool found = false;
        for (uint32_t id = 0; id < ST_TYPE_COUNT; id++)
            found |= st_quant_get(id) && !strcmp(st_quant_get(id)->name, word);
        if (!found) fail_msg("%s is said to run", word);
    }
    for (uint32_t id = 0; id < ST_TYPE_COUNT; id++) n -= st_quant_get(id) != NULL;
    assert_int_equal(n, 0);
}

/* Quantisers must not trip over values that they cannot represent. */
static void quantizers_take_any_float(void **state)
{
    (void)state;
    static const float nasty[] = {NAN,     INFINITY, -INFINITY, 1e-45f, -1e-45f, 1e-39f,
                                  3.4e38f, -3.4e38f, 0.0f,      -0.0f,  65520,   1};
    for (uint32_t id = 0; id < ST_TYPE_COUNT; id++) {
        const st_quant *t = st_quant_get(id);
        if (!t || !t->quantize) continue;
        for (int shift = 0; shift < 12; shift++)
            for (int repeat = 1; repeat < 33; repeat += 31) {
                float x[256];
                uint8_t out[256 * 4];
                for (int i = 0; i < 256; i++) x[i] = nasty[(i / repeat + shift) % 12];
                t->quantize(x, out, 256);
                t->dequant(out, x, 256);
            }
    }
}

/* ---- 16-bit floats ----------------------------------------------------------------------------------------------- */

/* The values by their definition, in double arithmetic, which is exact here. */
static double slow_f16(uint32_t h)
{
    int exp = (int)(h >> 10 & 31), man = (int)(h & 1023);
    double v = exp == 31 ? (man ? NAN : INFINITY) : exp ? ldexp(1024 + man, exp - 25) : ldexp(man, -24);
    return h >> 15 ? -v : v;
}

static uint16_t slow_to_f16(float f)
{
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    double a = fabs((double)f);
    int exp;
    if (isinf(a) || a >= 65520) return sign | 0x7c00;
    if (a == 0) return sign;
    (void)frexp(a, &exp); /* a = m * 2^exp, m in [0.5, 1): its unit is 2^(exp - 11), at least 2^-24 */
    int unit = exp - 11 < -24 ? -24 : exp - 11;
    double steps = nearbyint(ldexp(a, -unit)); /* ties to even */
    /* In steps of its unit a number counts on from the bits of the exponent below it. */
    return (uint16_t)(sign | (((uint32_t)(unit + 24) << 10) + (uint32_t)steps));
}

static void f16_to_f32_is_exact(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float got = st_f16_to_f32((uint16_t)h);
        double want = slow_f16(h);
        if (isnan(want)) {
            assert_true(isnan(got));
            assert_true(isnan(st_f16_to_f32(st_f32_to_f16(got))));
            continue;
        }
        if ((double)got != want || (signbit(got) != 0) != (h >> 15))
            fail_msg("%04x is %a, want %a", h, (double)got, want);
        if (st_f32_to_f16(got) != h) fail_msg("%04x comes back as %04x", h, st_f32_to_f16(got));
    }
}

static void check_to_f16(float f)
{
    uint16_t got = st_f32_to_f16(f), want = slow_to_f16(f);
    if (got != want) fail_msg("%a to f16 is %04x, want %04x", (double)f, got, want);
}

static void f32_to_f16_rounds_to_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) { /* both sides of every tie */
        float a = st_f16_to_f32((uint16_t)h), b = h == 0x7bff ? 65536 : st_f16_to_f32((uint16_t)(h + 1)),
              mid = (a + b) / 2;
        check_to_f16(mid);
        check_to_f16(-mid);
        check_to_f16(nextafterf(mid, 0));
        check_to_f16(nextafterf(mid, INFINITY));
        check_to_f16(nextafterf(b, 0));
        check_to_f16(nextafterf(b, INFINITY));
    }
    for (uint64_t u = 0; u <= UINT32_MAX; u += 1021) { /* a stride that meets every exponent and low bits alike */
        float f = st_bits_f32((uint32_t)u);
        if (!isnan(f))
            check_to_f16(f);
        else
            assert_true(isnan(st_f16_to_f32(st_f32_to_f16(f))) && (st_f32_to_f16(f) & 0x200));
    }
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) static void compare_f16c(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        uint32_t hard = st_f32_bits(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128((int)h))));
        if (st_f32_bits(st_f16_to_f32((uint16_t)h)) != hard) fail_msg("%04x is %08x by F16C", h, hard);
    }
    for (uint64_t u = 0; u <= UINT32_MAX; u += 509) {
        uint32_t hard = (uint32_t)_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(st_bits_f32((uint32_t)u)), 0)) & 0xffff;
        if (st_f32_to_f16(st_bits_f32((uint32_t)u)) != hard) fail_msg("%08x to f16 is %04x by F16C", (unsigned)u, hard);
    }
}
#endif

static void f16_is_what_the_hardware_does(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) { /* F16C is older than AVX2, and not every compiler knows its name here */
        compare_f16c();
        return;
    }
#endif
    skip();
}

static void bf16_rounds_to_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = st_bf16_to_f32((uint16_t)h);
        assert_int_equal(st_f32_bits(f), h << 16);
        if (isnan(f)) {
            assert_true(isnan(st_bf16_to_f32(st_f32_to_bf16(f))));
            continue;
        }
        assert_int_equal(st_f32_to_bf16(f), h);
        if ((h & 0x7fff) == 0x7f80) continue;
        static const uint32_t rest[] = {1, 0x7fff, 0x8000, 0x8001, 0xffff};
        for (int i = 0; i < 5; i++) {
            uint32_t up = rest[i] > 0x8000 || (rest[i] == 0x8000 && (h & 1));
            assert_int_equal(st_f32_to_bf16(st_bits_f32(h << 16 | rest[i])), h + up);
        }
    }
    assert_true(isnan(st_bf16_to_f32(st_f32_to_bf16(st_bits_f32(0x7f800001))))); /* its upper half alone is infinity */
}

int main(void)
{
    static struct CMUnitTest vector_tests[N_TYPES];
    for (int i = 0; i < N_TYPES; i++)
        vector_tests[i] = (struct CMUnitTest){types[i], vector_case, NULL, NULL, (void *)(uintptr_t)types[i]};
    const struct CMUnitTest others[] = {
        cmocka_unit_test(table_is_whole),
        cmocka_unit_test(quantizers_take_any_float),
        cmocka_unit_test(f16_to_f32_is_exact),
        cmocka_unit_test(f32_to_f16_rounds_to_even),
        cmocka_unit_test(f16_is_what_the_hardware_does),
        cmocka_unit_test(bf16_rounds_to_even),
    };
    st_mem_init(&mem, NULL, 0);
    int failed = cmocka_run_group_tests_name("quant vectors", vector_tests, NULL, NULL);
    return cmocka_run_group_tests_name("quant", others, NULL, NULL) + failed;
}
