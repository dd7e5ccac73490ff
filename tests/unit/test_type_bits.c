/* test_type_bits.c: one model of every tensor type, the same bits whatever the threads, the kernel level, the rows of a
 * pass, the chunks of a prompt and the texts beside it.
 *
 * The models are those of tests/data/tiny with every matrix made anew: random blocks of the type, scales so that a row
 * has the length of a trained one. In precision f32 each must also be equal to the same matrices written out as F32
 * by the type's scalar definition. */
#include <math.h>

#include "base/half.h"
#include "unit/test_api.h"

enum { N_IDS = 100, N_VOCAB = 320, N_TEXTS = 15, N_TYPES = 26, MAX_MATRICES = 32 };

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* Where a block keeps its f16 scale, and the second one as a multiple of the first, so that values lie around 0. */
static const struct {
    uint32_t type;
    int scale, other; /* byte offsets, -1: none */
    float ratio;
} scales[] = {
    {ST_Q4_0, 0, -1, 0},    {ST_Q4_1, 0, 2, -7.5f},  {ST_Q5_0, 0, -1, 0},    {ST_Q5_1, 0, 2, -15.5f},
    {ST_Q8_0, 0, -1, 0},    {ST_Q2_K, 80, 82, 1.5f}, {ST_Q3_K, 108, -1, 0},  {ST_Q4_K, 0, 2, 7.5f},
    {ST_Q5_K, 0, 2, 15.5f}, {ST_Q6_K, 208, -1, 0},   {ST_IQ1_S, 0, -1, 0},   {ST_IQ2_XXS, 0, -1, 0},
    {ST_IQ2_XS, 0, -1, 0},  {ST_IQ2_S, 0, -1, 0},    {ST_IQ3_XXS, 0, -1, 0}, {ST_IQ3_S, 0, -1, 0},
    {ST_IQ4_NL, 0, -1, 0},  {ST_IQ4_XS, 0, -1, 0},   {ST_TQ1_0, 52, -1, 0},  {ST_TQ2_0, 64, -1, 0},
};
enum { N_SCALES = sizeof scales / sizeof *scales };

static void put_f16(uint8_t *p, float v)
{
    uint16_t h = st_f32_to_f16(v);
    memcpy(p, &h, 2);
}

/* A block of random bits whose scale is d. */
static void make_block(const st_quant *q, uint32_t type, uint64_t *seed, float d, uint8_t *p)
{
    for (uint32_t i = 0; i < q->bytes; i++) p[i] = (uint8_t)rng_next(seed);
    for (int i = 0; i < N_SCALES; i++) {
        if (scales[i].type != type) continue;
        put_f16(p + scales[i].scale, d);
        if (scales[i].other >= 0) put_f16(p + scales[i].other, d * scales[i].ratio);
        return;
    }
    if (type == ST_IQ1_M) { /* its scale lies in the top nibbles of four words */
        uint16_t h = st_f32_to_f16(d);
        for (int i = 0; i < 4; i++) p[49 + 2 * i] = (uint8_t)((p[49 + 2 * i] & 15) | (h >> 4 * i & 15) << 4);
    } else if (type == ST_MXFP4) { /* a power of two, about d */
        p[0] = (uint8_t)(127 + ilogbf(fabsf(d)));
    } else if (type == ST_NVFP4) { /* 4 bits of exponent, bias 7, and 3 of mantissa */
        int e = ilogbf(fabsf(d)) + 7;
        for (int i = 0; i < 4; i++) p[i] = (uint8_t)((e < 1 ? 0 : e > 14 ? 14 : e) << 3 | (p[i] & 7));
    } else {
        fail_msg("%s: this test knows no way to make its blocks", q->name);
    }
}

static double rms_of(const float *v, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(v[i]));
        s += (double)v[i] * v[i];
    }
    return sqrt(s / (double)n);
}

/* n values of a root mean square of about `rms`: from one block of scale 1, what scale that takes. */
static uint8_t *make_values(const st_quant *q, uint32_t type, uint64_t *seed, size_t n, double rms)
{
    uint8_t *raw = calloc(n / q->block * q->bytes, 1);
    assert_non_null(raw);
    if (q->block == 1) {
        for (size_t i = 0; i < n; i++) {
            float x = (float)(rms * 3.4 * ((double)rng_next(seed) / 0x7fffffff - 0.5));
            uint16_t b = st_f32_to_bf16(x);
            if (type == ST_F32) memcpy(raw + 4 * i, &x, 4);
            if (type == ST_F16) put_f16(raw + 2 * i, x);
            if (type == ST_BF16) memcpy(raw + 2 * i, &b, 2);
        }
        return raw;
    }
    uint8_t unit[1024];
    float values[256];
    double mean = 0;
    for (int i = 0; i < 8; i++) {
        make_block(q, type, seed, 1.0f, unit);
        q->dequant(unit, values, q->block);
        mean += rms_of(values, q->block) / 8;
    }
    for (size_t i = 0; i < n / q->block; i++) {
        float d = (float)(rms / mean * (0.5 + rng_next(seed) % 1024 / 1024.0));
        bool minus = rng_next(seed) & 1;
        make_block(q, type, seed, minus ? -d : d, raw + i * q->bytes);
    }
    return raw;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static const char *const llama_matrices[] = {
    "token_embd.weight",        "blk.0.attn_q.weight",   "blk.0.attn_k.weight",   "blk.0.attn_v.weight",
    "blk.0.attn_output.weight", "blk.0.ffn_up.weight",   "blk.0.ffn_gate.weight", "blk.0.ffn_down.weight",
    "blk.1.attn_q.weight",      "blk.1.attn_k.weight",   "blk.1.attn_v.weight",   "blk.1.attn_output.weight",
    "blk.1.ffn_up.weight",      "blk.1.ffn_gate.weight", "blk.1.ffn_down.weight", NULL,
};
static const char *const bert_matrices[] = {
    "token_embd.weight",        "blk.0.attn_q.weight", "blk.0.attn_k.weight",      "blk.0.attn_v.weight",
    "blk.0.attn_output.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight",    "blk.1.attn_q.weight",
    "blk.1.attn_k.weight",      "blk.1.attn_v.weight", "blk.1.attn_output.weight", "blk.1.ffn_up.weight",
    "blk.1.ffn_down.weight",    "blk.2.attn_q.weight", "blk.2.attn_k.weight",      "blk.2.attn_v.weight",
    "blk.2.attn_output.weight", "blk.2.ffn_up.weight", "blk.2.ffn_down.weight",    NULL,
};

typedef struct pair {
    blob typed, plain; /* the same values in the type, and as F32 */
} pair;

static pair make_pair(const char *name, const char *const *matrices, uint32_t type)
{
    const st_quant *q = st_quant_get(type);
    edit typed[MAX_MATRICES] = {0}, plain[MAX_MATRICES] = {0};
    blob file = blob_read(tiny(name));
    st_mem mem;
    st_gguf g;
    uint64_t seed = 77 + type;
    size_t n_matrices = 0;
    st_mem_init(&mem, NULL, 0);
    OK(st_gguf_parse(&g, file.data, file.size, name, false, &mem, err));
    for (; matrices[n_matrices]; n_matrices++) {
        const st_gguf_tensor *t = st_gguf_tensor_find(&g, matrices[n_matrices]);
        assert_true(t && t->n_dims == 2 && n_matrices + 1 < MAX_MATRICES);
        size_t n = (size_t)(t->dims[0] * t->dims[1]);
        uint8_t *raw = make_values(q, type, &seed, n, 1 / sqrt((double)t->dims[0]));
        float *values = malloc(n * sizeof *values);
        q->dequant(raw, values, n);
        assert_true(rms_of(values, n) > 0.2 / sqrt((double)t->dims[0]) &&
                    rms_of(values, n) < 5 / sqrt((double)t->dims[0]));
        typed[n_matrices] = (edit){.kind = RETYPE, .name = matrices[n_matrices], .u = type, .data = raw};
        plain[n_matrices] = (edit){.kind = RETYPE, .name = matrices[n_matrices], .u = ST_F32, .data = values};
    }
    pair p = {rewrite(tiny(name), typed), rewrite(tiny(name), plain)};
    for (size_t i = 0; i < n_matrices; i++) {
        free((void *)(uintptr_t)typed[i].data);
        free((void *)(uintptr_t)plain[i].data);
    }
    st_gguf_free(&g);
    free(file.data);
    return p;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

typedef struct subject {
    const char *type;
    blob file;
    int what; /* STRATA_EVAL_LOGITS of a decoder, HIDDEN of an encoder */
    int precision;
    float *want; /* [N_IDS, cols] on one thread at the best level */
    size_t cols;
} subject;

static strata_model *open_at(const subject *s, const char *level)
{
    return open_blob(s->file, &(strata_model_opts){.cpu = level, .n_threads = 1});
}

static int32_t id_at(size_t i)
{
    return (int32_t)((i * 37 + 11) % N_VOCAB);
}

/* The first n ids through the model; *cols. Free it. */
static float *eval(strata_ctx *c, int what, size_t n, size_t *cols)
{
    int32_t ids[N_IDS] = {0};
    size_t rows;
    float *v = malloc(n * N_VOCAB * sizeof *v);
    for (size_t i = 0; i < n; i++) ids[i] = id_at(i);
    OK(strata_eval(c, ids, NULL, n, what, 0, v, n * N_VOCAB, &rows, cols, err));
    assert_int_equal(rows, n);
    for (size_t i = 0; i < n * *cols; i++) assert_true(isfinite(v[i]));
    return v;
}

static void same(const subject *s, const float *got, const float *want, size_t n, const char *how)
{
    if (memcmp(got, want, n * sizeof *got) != 0)
        fail_msg("%s, precision %d: %s gives other bits", s->type, s->precision, how);
}

static void threads_and_levels(subject *s)
{
    char how[64];
    strata_model *m = open_at(s, NULL);
    for (uint32_t t = 1; t <= 4; t++) {
        size_t cols;
        strata_ctx *c = open_ctx(m, t, s->precision);
        float *v = eval(c, s->what, N_IDS, &cols);
        snprintf(how, sizeof how, "%u threads", t);
        if (t == 1)
            s->want = v, s->cols = cols;
        else
            same(s, v, s->want, N_IDS * cols, how), free(v);
        strata_ctx_close(c);
    }
    strata_model_close(m);
    if (s->precision == STRATA_PRECISION_BF16) return; /* each unit has bits of its own */
    for (uint32_t j = 0; strata_cpu_level(j); j++) {
        m = open_at(s, strata_cpu_level(j));
        strata_ctx *c = open_ctx(m, 2, s->precision);
        size_t cols;
        /* An encoder's rows are another text's when it is cut: it goes whole. */
        size_t n = s->what == STRATA_EVAL_LOGITS ? 21 : N_IDS;
        float *v = eval(c, s->what, n, &cols);
        snprintf(how, sizeof how, "level %s", strata_cpu_level(j));
        same(s, v, s->want, n * cols, how);
        free(v);
        strata_ctx_close(c);
        strata_model_close(m);
    }
}

/* Rows of a pass: the packed products take other ways for 1, for up to 4 and for many. */
static void rows_of_a_pass(const subject *s)
{
    static const size_t lens[] = {1, 2, 4, 5, 7, 64};
    char how[64];
    strata_model *m = open_at(s, NULL);
    strata_ctx *c = open_ctx(m, 2, s->precision);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        size_t cols;
        float *v = eval(c, s->what, lens[i], &cols);
        snprintf(how, sizeof how, "the first %zu ids", lens[i]);
        same(s, v, s->want, lens[i] * cols, how);
        free(v);
    }
    strata_ctx_close(c);
    strata_model_close(m);
}

/* A prompt through the cache in chunks, then a token with another sequence beside it. */
static void chunks(const subject *s)
{
    static const uint32_t sizes[] = {1, 7, 64, 0};
    int32_t ids[N_IDS];
    char how[64];
    float *first = malloc(N_VOCAB * sizeof *first);
    strata_model *m = open_at(s, NULL);
    for (size_t i = 0; i < N_IDS; i++) ids[i] = id_at(i);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        strata_ctx *c = NULL;
        const float *l, *both[2];
        OK(strata_ctx_open(
            m, &(strata_ctx_opts){.n_threads = 2, .precision = s->precision, .n_seqs = 2, .kv = STRATA_KV_F32}, &c,
            err));
        OK(strata_ctx_sync(c, 0, ids, N_IDS, sizes[i], NULL, &l, err));
        snprintf(how, sizeof how, "chunks of %u", sizes[i]);
        if (i == 0) memcpy(first, l, N_VOCAB * sizeof *first);
        same(s, l, first, N_VOCAB, how);
        OK(strata_ctx_sync(c, 0, ids, N_IDS - 1, sizes[i], NULL, &l, err));
        OK(strata_ctx_sync(c, 1, ids, 9, sizes[i], NULL, &l, err));
        OK(strata_ctx_step(c, (const uint32_t[]){1, 0}, (const int32_t[]){5, ids[N_IDS - 1]}, 2, NULL, both, err));
        same(s, both[1], first, N_VOCAB, "another sequence in the pass");
        strata_ctx_close(c);
    }
    /* In bf16 attention without a cache rounds keys and values, which this cache keeps as floats. */
    if (s->precision != STRATA_PRECISION_BF16) same(s, first, s->want + (N_IDS - 1) * s->cols, N_VOCAB, "the cache");
    free(first);
    strata_model_close(m);
}

static void batches(const subject *s, const texts *x)
{
    static const size_t sizes[] = {1, 7, N_TEXTS};
    uint32_t dims;
    char how[64];
    float *want = NULL;
    strata_embed_opts o = {.pooling = s->what == STRATA_EVAL_LOGITS ? STRATA_POOLING_LAST : STRATA_POOLING_MEAN};
    strata_model *m = open_at(s, NULL);
    dims = dims_of(m);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        strata_ctx *c = open_ctx(m, 2, s->precision);
        float *v = malloc(x->n * dims * sizeof *v);
        for (size_t i = 0; i < x->n; i += sizes[k])
            OK(strata_embed(c, x->t + i, x->n - i < sizes[k] ? x->n - i : sizes[k], &o, v + i * dims, dims, NULL, err));
        snprintf(how, sizeof how, "batches of %zu", sizes[k]);
        for (size_t i = 0; i < x->n * dims; i++) assert_true(isfinite(v[i]));
        if (!want)
            want = v;
        else
            same(s, v, want, x->n * dims, how), free(v);
        strata_ctx_close(c);
    }
    free(want);
    strata_model_close(m);
}

/* How far `s->want` is from the same matrices as F32, multiplied as floats: the root mean square of the difference by
 * that of the values. */
static double distance(const subject *s, blob plain)
{
    strata_model *m = open_blob(plain, &(strata_model_opts){.n_threads = 1});
    strata_ctx *c = open_ctx(m, 2, STRATA_PRECISION_F32);
    size_t cols;
    double d = 0, all = 0;
    float *v = eval(c, s->what, N_IDS, &cols);
    for (size_t i = 0; i < N_IDS * cols; i++) {
        double diff = (double)v[i] - s->want[i];
        d += diff * diff;
        all += (double)v[i] * v[i];
    }
    free(v);
    strata_ctx_close(c);
    strata_model_close(m);
    assert_true(all > 0);
    return sqrt(d / all);
}

static bool has_bf16(const subject *s)
{
    strata_model_info info;
    strata_model *m = open_at(s, NULL);
    strata_model_get_info(m, &info);
    strata_model_close(m);
    return info.bf16 != NULL;
}

static void check_type(const char *name, const char *const *matrices, uint32_t type, int what)
{
    /* The same floats in the same order; int8 and bfloat16 activations through a few layers of noise. */
    static const double tolerance[] = {
        [STRATA_PRECISION_I8] = 0.08, [STRATA_PRECISION_F32] = 0, [STRATA_PRECISION_BF16] = 0.05};
    pair p = make_pair(name, matrices, type);
    texts x = make_texts(N_TEXTS, type);
    for (int precision = 0; precision < 3; precision++) {
        subject s = {.type = st_quant_get(type)->name, .file = p.typed, .what = what, .precision = precision};
        if (precision == STRATA_PRECISION_BF16 && !has_bf16(&s)) continue;
        threads_and_levels(&s);
        if (what == STRATA_EVAL_LOGITS) {
            rows_of_a_pass(&s);
            chunks(&s);
        }
        batches(&s, &x);
        double d = distance(&s, p.plain);
        if (getenv("STRATA_VERBOSE"))
            print_message("%-8s %s precision %d: %.2e of the float model\n", s.type, name, precision, d);
        if (d > tolerance[precision])
            fail_msg("%s, precision %d: %g away from the matrices written out, want %g", s.type, precision, d,
                     tolerance[precision]);
        free(s.want);
    }
    free_texts(&x);
    free(p.typed.data);
    free(p.plain.data);
}

static void test_decoder(void **state)
{
    (void)state;
    int n = 0;
    for (uint32_t type = 0; type < ST_TYPE_COUNT; type++) {
        if (!st_quant_get(type)) continue;
        check_type("llama-q8_0", llama_matrices, type, STRATA_EVAL_LOGITS);
        n++;
    }
    assert_int_equal(n, N_TYPES);
}

/* The encoder is 64 and 128 wide: the types whose blocks go into that. */
static void test_encoder(void **state)
{
    (void)state;
    int n = 0;
    for (uint32_t type = 0; type < ST_TYPE_COUNT; type++) {
        if (!st_quant_get(type) || st_quant_get(type)->block > 64) continue;
        check_type("bert-q8_0", bert_matrices, type, STRATA_EVAL_HIDDEN);
        n++;
    }
    assert_int_equal(n, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoder), cmocka_unit_test(test_encoder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
