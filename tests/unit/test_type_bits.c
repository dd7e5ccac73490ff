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

enum { N_IDS = 67, N_VOCAB = 320, N_TEXTS = 15, MAX_MATRICES = 32 };

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

enum { MAX_BLOCK = 256, MAX_BYTES = 1024, POOL = 128 };

static void put_f16(uint8_t *p, float v)
{
    uint16_t h = st_f32_to_f16(v);
    memcpy(p, &h, 2);
}

/* The type's own blocks: random bits, with a scale of d where the type has an f16 for it, and behind that, for types
 * with a minimum, `other`. */
static void make_block(const st_quant *q, uint64_t *seed, float d, float other, uint8_t *p)
{
    for (uint32_t i = 0; i < q->bytes; i++) p[i] = (uint8_t)rng_next(seed);
    if (q->scale_at < 0) return;
    put_f16(p + q->scale_at, d);
    if (q->has_min) put_f16(p + q->scale_at + 2, other);
}

static double block_mean(const st_quant *q, uint64_t *seed, float d, float other)
{
    double sum = 0;
    for (int i = 0; i < 64; i++) {
        uint8_t block[MAX_BYTES];
        float values[MAX_BLOCK];
        make_block(q, seed, d, other, block);
        q->dequant(block, values, q->block);
        for (uint32_t j = 0; j < q->block; j++) sum += values[j] / (64.0 * q->block);
    }
    return sum;
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

/* n floats of `type`, written by its quantiser. */
static void make_floats(uint32_t type, uint64_t *seed, size_t n, double rms, uint8_t *raw)
{
    const st_quant *q = st_quant_get(type);
    assert_non_null(q->quantize);
    for (size_t i = 0; i < n; i++) {
        float x = (float)(rms * 3.4 * ((double)rng_next(seed) / 0x7fffffff - 0.5));
        q->quantize(&x, raw + i * q->bytes, 1);
    }
}

/* n values in blocks whose scale lies elsewhere than in an f16: random bits, and of those what has the length. */
static void make_chosen(const st_quant *q, uint64_t *seed, size_t n, double rms, uint8_t *raw)
{
    static uint8_t pool[POOL][MAX_BYTES];
    for (int i = 0, tries = 0; i < POOL; tries++) {
        float values[MAX_BLOCK];
        double sum = 0;
        if (tries > 1000 * POOL * 10) fail_msg("%s: hardly a block of random bits has values of %g", q->name, rms);
        make_block(q, seed, 0, 0, pool[i]);
        q->dequant(pool[i], values, q->block);
        for (uint32_t j = 0; j < q->block; j++) sum += (double)values[j] * values[j] / q->block;
        i += sum > rms * rms / 3 && sum < rms * rms * 3; /* false too where it is NaN */
    }
    for (size_t i = 0; i < n / q->block; i++) memcpy(raw + i * q->bytes, pool[rng_next(seed) % POOL], q->bytes);
}

/* n values of a root mean square of about `rms`: from blocks of scale 1, what scale that takes. */
static uint8_t *make_values(uint32_t type, uint64_t *seed, size_t n, double rms)
{
    const st_quant *q = st_quant_get(type);
    uint8_t *raw = calloc(n / q->block * q->bytes, 1), unit[MAX_BYTES];
    float values[MAX_BLOCK], ratio = 0;
    double mean = 0;
    assert_non_null(raw);
    assert_true(q->block <= MAX_BLOCK && q->bytes <= MAX_BYTES);
    if (q->group == 0 || q->scale_at < 0) {
        q->group == 0 ? make_floats(type, seed, n, rms, raw) : make_chosen(q, seed, n, rms, raw);
        return raw;
    }
    /* A minimum that takes the values to both sides of 0. */
    if (q->has_min) ratio = (float)(-block_mean(q, seed, 1, 0) / block_mean(q, seed, 0, 1));
    for (int i = 0; i < 8; i++) {
        make_block(q, seed, 1, ratio, unit);
        q->dequant(unit, values, q->block);
        mean += rms_of(values, q->block) / 8;
    }
    for (size_t i = 0; i < n / q->block; i++) {
        float d = (float)(rms / mean * (0.5 + rng_next(seed) % 1024 / 1024.0));
        if (rng_next(seed) & 1) d = -d;
        make_block(q, seed, d, d * ratio, raw + i * q->bytes);
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
        uint8_t *raw = make_values(type, &seed, n, 1 / sqrt((double)t->dims[0]));
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

/* Every type whose blocks go into rows of `width`. */
static void check_types(blob file, const char *name, const char *const *matrices, uint32_t width, int what)
{
    static const uint32_t types[] = {
#define ST_QUANT_FLOAT(id, ...)  id,
#define ST_QUANT_BLOCKS(id, ...) id,
#include "quant/types.def"
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i += SANITIZED_THREAD ? 8 : 1)
        if (st_quant_get(types[i])->block <= width) check_type(file, name, matrices, types[i], what);
    free(file.data);
}

static void test_decoder(void **state)
{
    (void)state;
    blob file = blob_read(tiny("llama-q8_0"));
    check_types(file, "llama", llama_matrices, 256, STRATA_EVAL_LOGITS);
}

static void test_experts(void **state)
{
    (void)state;
    check_types(make_experts(), "experts", experts, 256, STRATA_EVAL_LOGITS);
}

static void test_encoder(void **state)
{
    (void)state;
    blob file = blob_read(tiny("bert-q8_0"));
    check_types(file, "bert", bert_matrices, 64, STRATA_EVAL_HIDDEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoder), cmocka_unit_test(test_experts),
                                       cmocka_unit_test(test_encoder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
