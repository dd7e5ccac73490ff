/* test_nonfinite.c: NaN and infinity where something is decided, hidden or copied: routers of experts, activations,
 * softmaxes, log-probabilities, tensors of a file that is quantised. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp */
#endif
#include <math.h>
#include <unistd.h>

#include "base/half.h"
#include "sample/sampler.h"
#include "unit/test_api.h"

static const float bad_values[] = {NAN, INFINITY, -INFINITY};

/* Name of the first tensor that ends in `tail`, "" if there is none. */
static void find_tensor(const char *model, const char *tail, char *name, size_t cap)
{
    blob b = blob_read(tiny(model));
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_gguf g;
    assert_int_equal(st_gguf_parse(&g, b.data, b.size, model, false, &mem, NULL), 0);
    name[0] = 0;
    for (size_t i = 0; i < g.n_tensors && !name[0]; i++) {
        st_str s = g.tensors[i].name;
        if (s.len > strlen(tail) && g.tensors[i].type == ST_F32 &&
            memcmp(s.ptr + s.len - strlen(tail), tail, strlen(tail)) == 0)
            snprintf(name, cap, "%.*s", (int)s.len, s.ptr);
    }
    st_gguf_free(&g);
    free(b.data);
}

/* ---- routers ----------------------------------------------------------------------------------------------------- */

static void run_routed(const char *what, blob b, const char *level, int precision)
{
    strata_model *m = open_blob(b, &(strata_model_opts){.cpu = level, .n_threads = 1});
    strata_model_info info;
    strata_ctx *c = NULL;
    const int32_t ids[] = {3, 4, 5, 6, 7, 8};
    static float out[256 * 6];
    const float *logits[2] = {NULL, NULL};
    size_t rows, cols;
    strata_model_get_info(m, &info);
    assert_true(info.n_embd <= 256);
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2, .precision = precision, .n_seqs = info.causal ? 2 : 0}, &c,
                       err));
    for (size_t n = 1; n <= 6; n += 5) {
        int rc = strata_eval(c, ids, NULL, n, STRATA_EVAL_HIDDEN, 0, out, 256 * 6, &rows, &cols, NULL);
        if (rc != STRATA_NONFINITE)
            fail_msg("%s, %s, %zu ids: %s", what, level ? level : "best", n, strata_status_name(rc));
        if (!info.causal) continue;
        rc = strata_ctx_sync(c, 1, ids, n, 0, NULL, logits, NULL);
        if (rc != STRATA_NONFINITE)
            fail_msg("%s, %s, sync of %zu: %s", what, level ? level : "best", n, strata_status_name(rc));
    }
    strata_ctx_close(c);
    strata_model_close(m);
}

static void test_routers(void **state)
{
    (void)state;
    static const char *const models[] = {"qwen3moe",     "glm4moe",        "deepseek2", "deepseek2-lite", "gpt-oss",
                                         "dots1",        "granitemoe",     "olmoe",     "hunyuan-moe",    "minimax-m2",
                                         "ernie4_5-moe", "nomic-bert-moe", "qwen3vlmoe"};
    static const char *const tails[] = {"ffn_gate_inp.weight", "ffn_gate_inp.bias", "exp_probs_b.bias",
                                        "ffn_gate_inp_shexp.weight"};
    int routers = 0, biases = 0;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++)
        for (size_t t = 0; t < 4; t++) {
            char name[96];
            find_tensor(models[k], tails[t], name, sizeof name);
            if (!name[0]) continue;
            routers += t == 0;
            biases += t == 2;
            for (size_t v = 0; v < 3; v++) {
                const edit edits[] = {{POKE, .name = name, .f = bad_values[v], .at = 1}, {0}};
                char what[160];
                snprintf(what, sizeof what, "%s, %s = %g", models[k], name, (double)bad_values[v]);
                blob b = rewrite(tiny(models[k]), edits);
                const char *level;
                for (uint32_t i = 0; (level = strata_cpu_level(i)); i++) {
                    run_routed(what, b, level, STRATA_PRECISION_I8);
                    if (i == 0) run_routed(what, b, level, STRATA_PRECISION_F32);
                }
                free(b.data);
            }
        }
    assert_true(routers >= 8);
    assert_true(biases >= 3);
}

/* A sequence whose router fails disturbs no other of its batch, wherever it stands; the bits of the others are those
 * that they have alone. */
static void test_one_of_a_batch(void **state)
{
    (void)state;
    /* The embedding of token 2, "</s>", is infinite, so what its router sees is NaN. */
    strata_text words[] = {text_of("a"), text_of("bb b"), text_of("c"), text_of("x </s>"), text_of("a bc")};
    const int32_t bad = 2;
    strata_model *plain = open_model("granitemoe", NULL);
    strata_model_info info;
    strata_model_get_info(plain, &info);
    blob b = blob_read(tiny("granitemoe"));
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_gguf g;
    assert_int_equal(st_gguf_parse(&g, b.data, b.size, "b", false, &mem, NULL), 0);
    const st_gguf_tensor *t = st_gguf_tensor_find(&g, "token_embd.weight");
    assert_int_equal(t->type, ST_Q8_0);
    const uint16_t infinity = 0x7c00;
    memcpy(b.data + (t->data - b.data) + (size_t)bad * info.n_embd / 32 * 34, &infinity, 2);
    st_gguf_free(&g);
    strata_model *m = open_blob(b, NULL);
    strata_ctx *c = open_ctx(m, 2, STRATA_PRECISION_I8);
    const strata_embed_opts pooled = {.pooling = STRATA_POOLING_LAST};
    float v[5 * 64], alone[64];
    strata_embed_item items[5];
    OK(strata_embed(c, words, 5, &pooled, v, 64, items, err));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(items[i].status, i == 3 ? STRATA_NONFINITE : STRATA_OK);
        if (i == 3) {
            assert_true(is_nan_row(v + (size_t)i * 64, info.n_embd_out));
            continue;
        }
        embed_one(c, words[i], &pooled, alone, 64);
        assert_memory_equal(v + (size_t)i * 64, alone, info.n_embd_out * sizeof *v);
    }
    strata_ctx_close(c);
    strata_model_close(m);
    strata_model_close(plain);
    free(b.data);
}

/* ---- what activations and softmaxes hide ------------------------------------------------------------------------- */

/* The file with the scale of a block of a Q8_0 matrix, or a value of an F32 one, in place of what it was. */
static blob poisoned(const char *model, const char *tensor, size_t block, size_t kind)
{
    static const uint16_t halves[] = {0x7e00, 0x7c00, 0xfc00};
    blob b = blob_read(tiny(model));
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_gguf g;
    assert_int_equal(st_gguf_parse(&g, b.data, b.size, model, false, &mem, NULL), 0);
    const st_gguf_tensor *t = st_gguf_tensor_find(&g, tensor);
    assert_non_null(t);
    size_t at = (size_t)(t->data - b.data);
    if (t->type == ST_Q8_0)
        memcpy(b.data + at + block * 34, &halves[kind], 2);
    else
        memcpy(b.data + at + block * 128, &bad_values[kind], 4);
    assert_true(t->type == ST_Q8_0 || t->type == ST_F32);
    assert_true(block * 32 < (t->type == ST_F32 ? t->bytes / 4 : t->bytes / 34 * 32));
    st_gguf_free(&g);
    return b;
}

/* SiLU and GELU make 0 of minus infinity, and which sign a product has rounding decides. */
static void test_weights_in_front_of_activations(void **state)
{
    (void)state;
    static const struct {
        const char *model, *tensor;
    } cases[] = {{"bert", "blk.1.ffn_up.bias"},         {"bert", "blk.1.ffn_up.weight"},
                 {"bert-q8_0", "blk.1.ffn_up.weight"},  {"llama-q8_0", "blk.1.ffn_gate.weight"},
                 {"llama-q8_0", "blk.1.ffn_up.weight"}, {"gemma2", "blk.0.ffn_gate.weight"},
                 {"gemma2", "blk.1.attn_k.weight"},     {"gemma2", "blk.1.attn_q.weight"},
                 {"deepseek2", "blk.0.ffn_gate.weight"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t block = 0; block < 4; block++)
            for (size_t kind = 0; kind < 3; kind++) {
                blob b = poisoned(cases[i].model, cases[i].tensor, block, kind);
                char what[160];
                snprintf(what, sizeof what, "%s, %s, block %zu: %g", cases[i].model, cases[i].tensor, block,
                         (double)bad_values[kind]);
                const char *level = NULL;
                for (uint32_t n = 0; strata_cpu_level(n); n++) level = strata_cpu_level(n);
                run_routed(what, b, level, STRATA_PRECISION_I8);
                run_routed(what, b, level, STRATA_PRECISION_F32);
                free(b.data);
            }
}

/* An angle over infinity would be a rotation by nothing. */
static void test_rope_factors(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 3; kind++) {
        blob b = poisoned("phi3-edge", "rope_factors_short.weight", 0, kind);
        run_routed("rope_factors_short", b, NULL, STRATA_PRECISION_I8);
        free(b.data);
    }
}

/* The head whose upper bits tell which logits are largest: a bound that is NaN would leave its columns out. */
static void test_weights_of_the_head(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 3; kind++) {
        blob b = poisoned("gemma2", "token_embd.weight", 2 * 90, kind); /* the row of an id that no prompt has */
        strata_model *m = open_blob(b, NULL);
        strata_ctx *c = NULL;
        const int32_t ids[] = {3, 4, 5};
        strata_gen_opts g = strata_gen_default();
        g.max_tokens = 3;
        g.temperature = 0;
        OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .n_seqs = 1, .n_ctx = 32}, &c, err));
        assert_int_equal(strata_generate(c, 0, ids, 3, &g, NULL, NULL), STRATA_NONFINITE);
        strata_ctx_close(c);
        strata_model_close(m);
        free(b.data);
    }
}

/* An expert counts for the tokens that choose it; the others have the bits that they had. */
static void test_one_expert(void **state)
{
    (void)state;
    enum { N_EMBD = 32, N_IDS = 40 };
    strata_model *plain = open_model("granitemoe", NULL);
    strata_ctx *pc = open_ctx(plain, 1, STRATA_PRECISION_I8);
    blob b = poisoned("granitemoe", "blk.0.ffn_gate_exps.weight", 0, 2);
    strata_model *m = open_blob(b, NULL);
    strata_ctx *c = open_ctx(m, 2, STRATA_PRECISION_I8);
    int spoiled = 0, whole = 0;
    for (int32_t id = 3; id < N_IDS; id++) {
        float want[N_EMBD], got[N_EMBD];
        size_t rows, cols;
        OK(strata_eval(pc, &id, NULL, 1, STRATA_EVAL_HIDDEN, 0, want, N_EMBD, &rows, &cols, err));
        int rc = strata_eval(c, &id, NULL, 1, STRATA_EVAL_HIDDEN, 0, got, N_EMBD, &rows, &cols, NULL);
        assert_true(rc == STRATA_OK || rc == STRATA_NONFINITE);
        spoiled += rc == STRATA_NONFINITE;
        if (rc) continue;
        whole++;
        assert_memory_equal(want, got, sizeof got);
    }
    assert_true(spoiled > 0 && whole > 0);
    strata_ctx_close(c), strata_ctx_close(pc);
    strata_model_close(m), strata_model_close(plain);
    free(b.data);
}

/* Keys that overflow for some tokens only: a score of minus infinity would mask them, and the rest look in order. */
static void test_masked_keys(void **state)
{
    (void)state;
    static const size_t places[] = {65, 90, 120, 190, 240, 275, 600, 705};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const edit edits[] = {{POKE, .name = "blk.1.attn_k.weight", .f = 3.4e38f, .at = places[i]}, {0}};
        blob b = rewrite(tiny("bert"), edits);
        const char *level;
        for (uint32_t n = 0; (level = strata_cpu_level(n)); n++)
            for (int precision = 0; precision <= STRATA_PRECISION_F32; precision++) {
                strata_model *m = open_blob(b, &(strata_model_opts){.cpu = level, .n_threads = 1});
                strata_ctx *c = open_ctx(m, 2, precision);
                const int32_t ids[] = {3, 4, 5, 6, 7, 8};
                static float out[6 * 64];
                size_t rows, cols;
                int rc = strata_eval(c, ids, NULL, 6, STRATA_EVAL_HIDDEN, 0, out, 6 * 64, &rows, &cols, NULL);
                if (rc != STRATA_NONFINITE) fail_msg("%s, place %zu: %s", level, places[i], strata_status_name(rc));
                strata_ctx_close(c);
                strata_model_close(m);
            }
        free(b.data);
    }
}

/* ---- log-probabilities ------------------------------------------------------------------------------------------- */

static void test_logprobs_of_huge_logits(void **state)
{
    (void)state;
    enum { N = 67 };
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_sampler_params q = st_sampler_default();
    q.logprobs = true;
    q.n_top = 5;
    q.temperature = 0;
    st_sampler *s = NULL;
    assert_int_equal(st_sampler_open(&q, N, &mem, &s, NULL), 0);
    uint64_t seed = 3;
    for (int e = 0; e <= 127; e++)
        for (int round = 0; round < 4; round++) {
            float l[N];
            for (int i = 0; i < N; i++) {
                float u = (float)rng_next(&seed) / 0x1p31f - 0.5f;
                l[i] = round == 3 ? (float)(0x1p127 + (i % 3 ? -0x1p104 * i : 0)) : ldexpf(u, e);
                if (i % 13 == 5) l[i] = -INFINITY;
                if (i % 17 == 3 && round == 1) l[i] = l[0]; /* ties */
            }
            if (round == 2) l[9] = 3.4e38f;
            double max = -INFINITY;
            for (int i = 0; i < N; i++) max = fmax(max, (double)l[i]);
            long double sum = 0;
            for (int i = 0; i < N; i++) sum += expl((long double)l[i] - (long double)max);
            st_sampled out;
            strata_error err = {0};
            int rc = st_sampler_sample(s, l, NULL, &out, &err);
            if (rc) fail_msg("2^%d: %s", e, err.msg);
            assert_int_equal(out.n_top, 5);
            for (int i = -1; i < 5; i++) {
                int32_t id = i < 0 ? out.id : out.top[i].id;
                double got = i < 0 ? out.logprob : out.top[i].logprob;
                double want = (double)(((long double)l[id] - (long double)max) - logl(sum));
                if (!(got <= 0 && fabs(got - want) <= 1e-13 * fabs(want) + 1e-13))
                    fail_msg("2^%d, round %d: token %d has log-probability %.17g, want %.17g", e, round, id, got, want);
            }
        }
    st_sampler_close(s);
    assert_true(mem.used == 0);
}

/* Every numeric option of a generation refuses what is no number, by its name. */
static void test_options(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t at;
    } options[] = {{"temperature", offsetof(strata_gen_opts, temperature)},
                   {"top_p", offsetof(strata_gen_opts, top_p)},
                   {"min_p", offsetof(strata_gen_opts, min_p)},
                   {"typical_p", offsetof(strata_gen_opts, typical_p)},
                   {"repeat_penalty", offsetof(strata_gen_opts, repeat_penalty)},
                   {"frequency_penalty", offsetof(strata_gen_opts, frequency_penalty)},
                   {"presence_penalty", offsetof(strata_gen_opts, presence_penalty)},
                   {"mirostat_tau", offsetof(strata_gen_opts, mirostat_tau)},
                   {"mirostat_eta", offsetof(strata_gen_opts, mirostat_eta)}};
    strata_model *m = open_model("llama-q8_0", NULL);
    strata_ctx *c = NULL;
    const int32_t ids[] = {3, 4};
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .n_seqs = 1, .n_ctx = 32}, &c, err));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        for (size_t k = 0; k < 3; k++) {
            strata_gen_opts g = strata_gen_default();
            memcpy((char *)&g + options[i].at, &bad_values[k], sizeof(float));
            FAILS(strata_generate(c, 0, ids, 2, &g, NULL, err), STRATA_INVALID_ARG, options[i].name);
        }
    for (size_t k = 0; k < 2; k++) {
        strata_gen_opts g = strata_gen_default();
        strata_logit_bias bias = {3, bad_values[k]};
        g.logit_bias = &bias;
        g.n_logit_bias = 1;
        FAILS(strata_generate(c, 0, ids, 2, &g, NULL, err), STRATA_INVALID_ARG, "logit_bias");
    }
    for (size_t k = 0; k < 3; k++) {
        strata_gen_opts g = strata_gen_default();
        g.deadline_ms = (double)bad_values[k];
        FAILS(strata_generate(c, 0, ids, 2, &g, NULL, err), STRATA_INVALID_ARG, "deadline_ms");
        const strata_embed_opts e = {.pooling = STRATA_POOLING_LAST, .deadline_ms = (double)bad_values[k]};
        float v[64];
        strata_text t = text_of("a");
        FAILS(strata_embed(c, &t, 1, &e, v, 64, NULL, err), STRATA_INVALID_ARG, "deadline_ms");
    }
    strata_ctx_close(c);
    strata_model_close(m);
}

/* ---- quantising -------------------------------------------------------------------------------------------------- */

static char dir[] = "/tmp/strata-nonfinite-XXXXXX";

static void refuses(blob b, const char *type, const char *tensor)
{
    char in[300], out[300];
    snprintf(in, sizeof in, "%s/in.gguf", dir);
    snprintf(out, sizeof out, "%s/out.gguf", dir);
    FILE *f = fopen(in, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
    fclose(f);
    free(b.data);
    FAILS(strata_quantize(in, out, type, &(strata_quantize_opts){.n_threads = 2}, err), STRATA_NONFINITE, tensor);
    if (access(out, F_OK) == 0) fail_msg("%s: a file was left", tensor);
    unlink(in);
}

/* Each kind of tensor that keeps its type, and those that change it. */
static void test_quantize(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    static const struct {
        const char *model, *tensor, *type;
    } cases[] = {{"bert", "token_embd_norm.weight", "Q8_0"}, {"bert", "blk.1.attn_q.bias", "Q4_K_M"},
                 {"bert", "position_embd.weight", "Q8_0"},   {"bert", "blk.0.ffn_up.weight", "F32"},
                 {"bert", "blk.0.ffn_up.weight", "F16"},     {"gemma-embedding", "output_norm.weight", "Q8_0"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t v = 0; v < 3; v++) {
            const edit edits[] = {{POKE, .name = cases[i].tensor, .f = bad_values[v], .at = 7}, {0}};
            refuses(rewrite(tiny(cases[i].model), edits), cases[i].type, cases[i].tensor);
        }
    /* Half floats, and blocks that are copied: their scale. */
    static const uint16_t halves[] = {0x7e00, 0x7c00, 0xfc00}, brains[] = {0x7fc0, 0x7f80, 0xff80};
    for (size_t v = 0; v < 3; v++) {
        uint16_t x[64] = {0};
        x[63] = halves[v];
        const edit half[] = {{RETYPE, "token_embd_norm.weight", .u = ST_F16, .data = x}, {0}};
        refuses(rewrite(tiny("bert"), half), "Q8_0", "token_embd_norm.weight");
        x[63] = brains[v];
        const edit brain[] = {{RETYPE, "token_embd_norm.weight", .u = ST_BF16, .data = x}, {0}};
        refuses(rewrite(tiny("bert"), brain), "Q8_0", "token_embd_norm.weight");
        blob b = blob_read(tiny("bert-q8_0"));
        st_mem mem;
        st_mem_init(&mem, NULL, 0);
        st_gguf g;
        assert_int_equal(st_gguf_parse(&g, b.data, b.size, "b", false, &mem, NULL), 0);
        const st_gguf_tensor *t = st_gguf_tensor_find(&g, "blk.1.ffn_up.weight");
        assert_non_null(t);
        assert_int_equal(t->type, ST_Q8_0);
        size_t at = (size_t)(t->data - b.data) + 34;
        st_gguf_free(&g);
        memcpy(b.data + at, &halves[v], 2);
        refuses(b, "Q8_0", "blk.1.ffn_up.weight"); /* copied */
        b = blob_read(tiny("bert-q8_0"));
        memcpy(b.data + at, &halves[v], 2);
        refuses(b, "Q4_0", "blk.1.ffn_up.weight");
    }
    /* Finite, but not in the new type. */
    static const char *const types[] = {"F16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q6_K", "Q4_K_M", "Q5_K_M"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const edit huge[] = {{POKE, .name = "blk.0.ffn_up.weight", .f = 3.3e38f, .at = 9}, {0}};
        refuses(rewrite(tiny("bert"), huge), types[i], "blk.0.ffn_up.weight");
    }
    rmdir(dir);
}

/* Blocks of the smallest and the largest floats: scales become 0, and their reciprocals infinite. */
static void test_quantise_extremes(void **state)
{
    (void)state;
    static const float values[] = {0,     -0.0f, 1e-45f, -1e-45f, 1e-40f, -3e-39f, 1.2e-38f, 1e-30f, -1e-8f,
                                   6e-8f, 1,     -1,     65504,   -7e4f,  1e9f,    -1e30f,   1e38f,  -3.4e38f};
    enum { N = 256, KINDS = sizeof values / sizeof *values };
    uint64_t seed = 11;
    for (uint32_t type = 0; type < ST_TYPE_COUNT; type++) {
        const st_quant *q = st_quant_get(type);
        if (!q || !q->quantize) continue;
        for (int round = 0; round < 3000; round++) {
            float x[N], y[N];
            uint8_t bytes[N * 4];
            /* Few kinds in a block, often one alone. */
            uint32_t a = rng_next(&seed) % KINDS, b = rng_next(&seed) % KINDS, every = 1 + rng_next(&seed) % 40;
            float most = 0;
            for (int i = 0; i < N; i++) {
                x[i] = values[rng_next(&seed) % every ? a : b];
                if (round % 3 == 2) x[i] = values[rng_next(&seed) % (a + 1)];
                most = fmaxf(most, fabsf(x[i]));
            }
            q->quantize(x, bytes, N);
            q->dequant(bytes, y, N);
            for (int i = 0; i < N; i++)
                if (isfinite(y[i]) && fabs((double)y[i] - (double)x[i]) > 2.1 * (double)most + 1e-6)
                    fail_msg("%s, round %d: %g became %g, the largest is %g", q->name, round, (double)x[i],
                             (double)y[i], (double)most);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_routers),
                                       cmocka_unit_test(test_one_of_a_batch),
                                       cmocka_unit_test(test_weights_in_front_of_activations),
                                       cmocka_unit_test(test_rope_factors),
                                       cmocka_unit_test(test_weights_of_the_head),
                                       cmocka_unit_test(test_one_expert),
                                       cmocka_unit_test(test_masked_keys),
                                       cmocka_unit_test(test_logprobs_of_huge_logits),
                                       cmocka_unit_test(test_options),
                                       cmocka_unit_test(test_quantize),
                                       cmocka_unit_test(test_quantise_extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
