/* test_type_bits.c: one model of every tensor type, the same bits whatever the threads, the kernel level, the rows of a
 * pass, the chunks of a prompt and the texts beside it.
 *
 * The models are those of tests/data/tiny, one also with experts, with every matrix made anew: random blocks of the
 * type, scales so that a row has the length of a trained one. In precision f32 each must also be equal to the same
 * matrices written out as F32 by the type's scalar definition. */
#include <math.h>

#include "base/half.h"
#include "support/sanitized.h"
#include "unit/test_api.h"

enum { N_IDS = 67, N_VOCAB = 320, N_TEXTS = 15, N_TYPES = 26, MAX_MATRICES = 32 };

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

/* The decoder with four experts for its FFN, of which a token takes two. */
static const char *const experts[] = {
    "blk.0.ffn_up_exps.weight",
    "blk.0.ffn_gate_exps.weight",
    "blk.0.ffn_down_exps.weight",
    "blk.1.ffn_up_exps.weight",
    "blk.1.ffn_gate_exps.weight",
    "blk.1.ffn_down_exps.weight",
    NULL,
};

static blob make_experts(void)
{
    enum { WIDTH = 256, N = 4 };
    static const char *const dense[] = {"blk.0.ffn_up.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_down.weight",
                                        "blk.1.ffn_up.weight", "blk.1.ffn_gate.weight", "blk.1.ffn_down.weight"};
    float router[2][N * WIDTH];
    edit names[7] = {0}, shapes[11] = {{.kind = SET_U32, .name = "llama.expert_count", .u = N},
                                       {.kind = SET_U32, .name = "llama.expert_used_count", .u = 2}};
    uint64_t seed = 9;
    for (int i = 0; i < 6; i++) {
        names[i] = (edit){.kind = RENAME, .name = dense[i], .str = experts[i]};
        shapes[2 + i] = (edit){.kind = EXPERTS, .name = experts[i], .u = N, .n = WIDTH, .k = WIDTH};
    }
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < N * WIDTH; k++) router[i][k] = (float)rng_next(&seed) * 0x1p-31f - 0.5f;
        shapes[8 + i] = (edit){.kind = ADD,
                               .name = i ? "blk.1.ffn_gate_inp.weight" : "blk.0.ffn_gate_inp.weight",
                               .n = N,
                               .k = WIDTH,
                               .data = router[i]};
    }
    blob named = rewrite(tiny("llama-q8_0"), names), out = rewrite_blob(named, "experts", shapes);
    free(named.data);
    return out;
}

typedef struct pair {
    blob typed, plain; /* the same values in the type, and as F32 */
} pair;

static pair make_pair(blob file, const char *name, const char *const *matrices, uint32_t type)
{
    const st_quant *q = st_quant_get(type);
    edit typed[MAX_MATRICES] = {0}, plain[MAX_MATRICES] = {0};
    st_mem mem;
    st_gguf g;
    uint64_t seed = 77 + type;
    size_t n_matrices = 0;
    st_mem_init(&mem, NULL, 0);
    OK(st_gguf_parse(&g, file.data, file.size, name, false, &mem, err));
    for (; matrices[n_matrices]; n_matrices++) {
        const st_gguf_tensor *t = st_gguf_tensor_find(&g, matrices[n_matrices]);
        assert_true(t && t->n_dims >= 2 && n_matrices + 1 < MAX_MATRICES);
        size_t n = (size_t)(t->dims[0] * t->dims[1] * (t->n_dims > 2 ? t->dims[2] : 1));
        uint8_t *raw = make_values(q, type, &seed, n, 1 / sqrt((double)t->dims[0]));
        float *values = malloc(n * sizeof *values);
        q->dequant(raw, values, n);
        assert_true(rms_of(values, n) > 0.2 / sqrt((double)t->dims[0]) &&
                    rms_of(values, n) < 5 / sqrt((double)t->dims[0]));
        typed[n_matrices] = (edit){.kind = RETYPE, .name = matrices[n_matrices], .u = type, .data = raw};
        plain[n_matrices] = (edit){.kind = RETYPE, .name = matrices[n_matrices], .u = ST_F32, .data = values};
    }
    pair p = {rewrite_blob(file, name, typed), rewrite_blob(file, name, plain)};
    for (size_t i = 0; i < n_matrices; i++) {
        free((void *)(uintptr_t)typed[i].data);
        free((void *)(uintptr_t)plain[i].data);
    }
    st_gguf_free(&g);
    return p;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

typedef struct subject {
    const char *type;
    strata_model *m; /* at the best level */
    int what;        /* STRATA_EVAL_LOGITS of a decoder, HIDDEN of an encoder */
    int precision;
    float *want[3]; /* by precision: [N_IDS, cols] on one thread, or NULL */
    size_t cols;
} subject;

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

static void threads(subject *s)
{
    char how[64];
    for (uint32_t t = 1; t <= 4; t++) {
        strata_ctx *c = open_ctx(s->m, t, s->precision);
        float *v = eval(c, s->what, N_IDS, &s->cols);
        snprintf(how, sizeof how, "%u threads", t);
        if (t == 1)
            s->want[s->precision] = v;
        else
            same(s, v, s->want[s->precision], N_IDS * s->cols, how), free(v);
        strata_ctx_close(c);
    }
}

/* Not bf16: each of its units has bits of its own. */
static void levels(subject *s, blob file)
{
    char how[64];
    for (uint32_t j = 0; strata_cpu_level(j); j++) {
        strata_model *m = open_blob(file, &(strata_model_opts){.cpu = strata_cpu_level(j), .n_threads = 1});
        snprintf(how, sizeof how, "level %s", strata_cpu_level(j));
        for (s->precision = STRATA_PRECISION_I8; s->precision <= STRATA_PRECISION_F32; s->precision++) {
            strata_ctx *c = open_ctx(m, 2, s->precision);
            /* An encoder's rows are another text's when it is cut: it goes whole. */
            size_t cols, n = s->what == STRATA_EVAL_LOGITS ? 13 : N_IDS;
            float *v = eval(c, s->what, n, &cols);
            same(s, v, s->want[s->precision], n * cols, how);
            free(v);
            strata_ctx_close(c);
        }
        strata_model_close(m);
    }
}

/* Rows of a pass: the packed products take other ways for 1, for up to 4 and for many. */
static void rows_of_a_pass(const subject *s)
{
    static const size_t lens[] = {1, 2, 4, 5, 7, 64};
    char how[64];
    strata_ctx *c = open_ctx(s->m, 2, s->precision);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        size_t cols;
        float *v = eval(c, s->what, lens[i], &cols);
        snprintf(how, sizeof how, "the first %zu ids", lens[i]);
        same(s, v, s->want[s->precision], lens[i] * cols, how);
        free(v);
    }
    strata_ctx_close(c);
}

/* A prompt through the cache in chunks, then a token with another sequence beside it. */
static void chunks(const subject *s)
{
    static const uint32_t sizes[] = {1, 7, 64, 0};
    int32_t ids[N_IDS];
    char how[64];
    float *first = malloc(N_VOCAB * sizeof *first);
    for (size_t i = 0; i < N_IDS; i++) ids[i] = id_at(i);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        strata_ctx *c = NULL;
        const float *l, *both[2];
        OK(strata_ctx_open(
            s->m, &(strata_ctx_opts){.n_threads = 2, .precision = s->precision, .n_seqs = 2, .kv = STRATA_KV_F32}, &c,
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
    if (s->precision != STRATA_PRECISION_BF16)
        same(s, first, s->want[s->precision] + (N_IDS - 1) * s->cols, N_VOCAB, "the cache");
    free(first);
}

static void batches(const subject *s, const texts *x)
{
    static const size_t sizes[] = {1, 7, N_TEXTS};
    uint32_t dims;
    char how[64];
    float *want = NULL;
    strata_embed_opts o = {.pooling = s->what == STRATA_EVAL_LOGITS ? STRATA_POOLING_LAST : STRATA_POOLING_MEAN,
                           .lossy = 1}; /* texts are cut anywhere */
    dims = dims_of(s->m);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        strata_ctx *c = open_ctx(s->m, 2, s->precision);
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
}

/* The same matrices as F32, multiplied as floats. */
static float *eval_plain(blob plain, int what)
{
    strata_model *m = open_blob(plain, &(strata_model_opts){.n_threads = 1});
    strata_ctx *c = open_ctx(m, 2, STRATA_PRECISION_F32);
    size_t cols;
    float *v = eval(c, what, N_IDS, &cols);
    strata_ctx_close(c);
    strata_model_close(m);
    return v;
}

/* The root mean square of the difference by that of the values. */
static double distance(const float *got, const float *want, size_t n)
{
    double d = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        double diff = (double)got[i] - want[i];
        d += diff * diff;
        all += (double)want[i] * want[i];
    }
    assert_true(all > 0);
    return sqrt(d / all);
}

static void check_precision(subject *s, const char *name, bool has_experts, const texts *x, const float *plain)
{
    /* The same floats in the same order; int8 and bfloat16 activations through a few layers of noise, which may choose
     * other experts. */
    double noise = has_experts ? 9 : 0.08, most = s->precision == STRATA_PRECISION_F32 ? 0 : noise;
    /* The rows of experts are gathered the same way in every precision. */
    bool all = !has_experts || s->precision == STRATA_PRECISION_I8;
    threads(s);
    if (s->what == STRATA_EVAL_LOGITS && all) {
        rows_of_a_pass(s);
        chunks(s);
    }
    if (all) batches(s, x);
    double d = distance(s->want[s->precision], plain, N_IDS * s->cols);
    if (getenv("STRATA_VERBOSE"))
        print_message("%-8s %s precision %d: %.2e of the float model\n", s->type, name, s->precision, d);
    if (d > most)
        fail_msg("%s, precision %d: %g away from the matrices written out, want %g", s->type, s->precision, d, most);
}

static void check_type(blob file, const char *name, const char *const *matrices, uint32_t type, int what)
{
    pair p = make_pair(file, name, matrices, type);
    texts x = make_texts(N_TEXTS, type);
    subject s = {.type = st_quant_get(type)->name, .m = open_blob(p.typed, NULL), .what = what};
    float *plain = eval_plain(p.plain, what);
    strata_model_info info;
    strata_model_get_info(s.m, &info);
    for (size_t i = 0; i < x.n; i++) x.t[i].len = x.t[i].len < 30 ? x.t[i].len : 10 + i; /* short, for time */
    for (s.precision = 0; s.precision < 3; s.precision++)
        if (s.precision != STRATA_PRECISION_BF16 || info.bf16)
            check_precision(&s, name, matrices == experts, &x, plain);
    levels(&s, p.typed);
    for (int i = 0; i < 3; i++) free(s.want[i]);
    free(plain);
    strata_model_close(s.m);
    free_texts(&x);
    free(p.typed.data);
    free(p.plain.data);
}

/* Every type whose blocks go into rows of `width`; how many they were. */
static int check_types(blob file, const char *name, const char *const *matrices, uint32_t width, int what)
{
    int n = 0;
    for (uint32_t type = 0; type < ST_TYPE_COUNT; type++) {
        if (!st_quant_get(type) || st_quant_get(type)->block > width) continue;
        if (!SANITIZED_THREAD || n % 8 == 1) check_type(file, name, matrices, type, what);
        n++;
    }
    free(file.data);
    return n;
}

static void test_decoder(void **state)
{
    (void)state;
    blob file = blob_read(tiny("llama-q8_0"));
    assert_int_equal(check_types(file, "llama", llama_matrices, 256, STRATA_EVAL_LOGITS), N_TYPES);
}

static void test_experts(void **state)
{
    (void)state;
    assert_int_equal(check_types(make_experts(), "experts", experts, 256, STRATA_EVAL_LOGITS), N_TYPES);
}

static void test_encoder(void **state)
{
    (void)state;
    blob file = blob_read(tiny("bert-q8_0"));
    assert_int_equal(check_types(file, "bert", bert_matrices, 64, STRATA_EVAL_HIDDEN), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoder), cmocka_unit_test(test_experts),
                                       cmocka_unit_test(test_encoder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
