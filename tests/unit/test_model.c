/* test_model.c: model files that are wrong in one place: the message names the key or tensor, and the file. */
#include <math.h>

#include "unit/test_api.h"

/* ---- keys ---- */

typedef struct key_case {
    const char *model;
    edit e;
    int status;
    const char *needle; /* in the message, beside the file's name */
} key_case;

#define U32(name_, v)                          \
    {                                          \
        .kind = SET_U32, .name = name_, .u = v \
    }
#define FLT(name_, v)                          \
    {                                          \
        .kind = SET_F32, .name = name_, .f = v \
    }
#define STR(name_, v)                            \
    {                                            \
        .kind = SET_STR, .name = name_, .str = v \
    }
#define CUT(name_)                  \
    {                               \
        .kind = DROP, .name = name_ \
    }
#define GE "gemma-embedding."

static const key_case keys[] = {
    {"bert", STR("general.architecture", "frobnicate"), STRATA_UNSUPPORTED_ARCH,
     "architecture 'frobnicate' is not supported; supported: bert nomic-bert"},
    {"bert", U32("general.architecture", 3), STRATA_CORRUPT_MODEL, "general.architecture"},
    {"bert", U32("bert.block_count", 0), STRATA_CORRUPT_MODEL, "'bert.block_count' is 0, want 1..4096"},
    {"bert", U32("bert.block_count", 5000), STRATA_CORRUPT_MODEL, "'bert.block_count' is 5000"},
    {"bert", U32("bert.block_count", 4), STRATA_CORRUPT_MODEL, "layer 3 has no attn_q"},
    {"bert", U32("bert.block_count", 2), STRATA_UNSUPPORTED_OP, "tensor 'blk.2."},
    {"bert", U32("bert.context_length", 0), STRATA_CORRUPT_MODEL, "'bert.context_length' is 0"},
    {"bert", U32("bert.context_length", 0x80000000), STRATA_CORRUPT_MODEL, "'bert.context_length' is 2147483648"},
    {"bert", U32("bert.context_length", 257), STRATA_CORRUPT_MODEL,
     "'position_embd.weight' is [256, 64], want [257, 64]"},
    {"gemma-embedding", U32(GE "context_length", 0x40000001), STRATA_CORRUPT_MODEL, "context_length"},
    {"bert", U32("bert.embedding_length", 0), STRATA_CORRUPT_MODEL, "'bert.embedding_length' is 0"},
    {"bert", U32("bert.embedding_length", 63), STRATA_CORRUPT_MODEL, "no multiple of 4 heads"},
    {"bert", U32("bert.embedding_length", 128), STRATA_CORRUPT_MODEL,
     "'token_embd.weight' is [320, 64], want [320, 128]"},
    {"bert", U32("bert.embedding_length", 1u << 21), STRATA_CORRUPT_MODEL, "'bert.embedding_length' is 2097152"},
    {"bert", U32("bert.feed_forward_length", 0), STRATA_CORRUPT_MODEL, "'bert.feed_forward_length' is 0"},
    {"bert", U32("bert.feed_forward_length", 127), STRATA_CORRUPT_MODEL,
     "'blk.0.ffn_up.weight' is [128, 64], want [127, 64]"},
    {"bert", U32("bert.attention.head_count", 0), STRATA_CORRUPT_MODEL, "'bert.attention.head_count' is 0"},
    {"bert", U32("bert.attention.head_count", 3), STRATA_CORRUPT_MODEL, "no multiple of 3 heads"},
    {"bert", U32("bert.attention.head_count_kv", 3), STRATA_CORRUPT_MODEL, "4 attention heads are no multiple of 3"},
    {"gemma-embedding", U32(GE "attention.head_count_kv", 0), STRATA_CORRUPT_MODEL, "head_count_kv' is 0"},
    {"gemma-embedding", U32(GE "attention.head_count_kv", 4), STRATA_CORRUPT_MODEL,
     "'blk.0.attn_k.weight' is [64, 64], want [128, 64]"},
    {"gemma-embedding", U32(GE "attention.head_count", 65536), STRATA_CORRUPT_MODEL, "too wide"},
    {"gemma-embedding", U32(GE "attention.key_length", 0), STRATA_CORRUPT_MODEL, "key_length' is 0"},
    {"gemma-embedding", U32(GE "attention.key_length", 31), STRATA_CORRUPT_MODEL, "rotary dims are odd"},
    {"gemma-embedding", U32(GE "attention.value_length", 0), STRATA_CORRUPT_MODEL, "value_length' is 0"},
    {"gemma-embedding", U32(GE "attention.value_length", 16), STRATA_CORRUPT_MODEL,
     "'blk.0.attn_v.weight' is [64, 64], want [32, 64]"},
    {"gemma-embedding", U32(GE "rope.dimension_count", 7), STRATA_CORRUPT_MODEL, "7 rotary dims are odd"},
    {"gemma-embedding", U32(GE "rope.dimension_count", 34), STRATA_CORRUPT_MODEL, "dimension_count' is 34, want 2..32"},
    {"gemma-embedding", U32(GE "rope.dimension_count", 0), STRATA_CORRUPT_MODEL, "dimension_count' is 0"},
    {"gemma-embedding", FLT(GE "rope.freq_base", 0), STRATA_CORRUPT_MODEL, "rope.freq_base' is 0, want"},
    {"gemma-embedding", FLT(GE "rope.freq_base", INFINITY), STRATA_CORRUPT_MODEL, "freq_base' is inf, want"},
    {"gemma-embedding", FLT(GE "rope.freq_base_swa", -1), STRATA_CORRUPT_MODEL, "freq_base_swa' is -1, want"},
    {"gemma-embedding", STR(GE "rope.scaling.type", "warp"), STRATA_UNSUPPORTED_OP, "rope scaling 'warp'"},
    {"gemma-embedding", FLT(GE "attention.scale", NAN), STRATA_CORRUPT_MODEL, "attention.scale' is nan, want"},
    {"gemma-embedding", STR(GE "attention.causal", "yes"), STRATA_CORRUPT_MODEL, "attention.causal"},
    {"gemma-embedding", STR(GE "attention.sliding_window", "8"), STRATA_CORRUPT_MODEL, "sliding_window"},
    {"gemma-embedding", FLT(GE "attention.layer_norm_rms_epsilon", NAN), STRATA_CORRUPT_MODEL,
     "layer_norm_rms_epsilon' is"},
    {"bert", FLT("bert.attention.layer_norm_epsilon", NAN), STRATA_CORRUPT_MODEL, "layer_norm_epsilon' is"},
    {"bert", FLT("bert.attention.layer_norm_epsilon", -1e-5f), STRATA_CORRUPT_MODEL, "layer_norm_epsilon' is -1e-05"},
    {"bert", FLT("bert.attention.layer_norm_epsilon", 1), STRATA_CORRUPT_MODEL, "layer_norm_epsilon' is 1"},
    {"bert", U32("bert.pooling_type", 5), STRATA_CORRUPT_MODEL, "'bert.pooling_type' is 5, want 0..4"},
    {"bert", STR("tokenizer.ggml.model", "crystal ball"), STRATA_UNSUPPORTED_TOKENIZER, "crystal ball"},
};

static void refuses(const char *model, const edit *edits, int status, const char *needle)
{
    blob b = rewrite(tiny(model), edits);
    strata_model *m = NULL;
    strata_error e = {0};
    int rc = strata_model_open_buffer(b.data, b.size, "some/file.gguf", &(strata_model_opts){.n_threads = 1}, &m, &e);
    if (rc != status || e.code != status || !strstr(e.msg, needle) || !strstr(e.msg, "some/file.gguf"))
        fail_msg("%s with '%s' changed: %s '%s', want %s '%s'", model, edits->name, strata_status_name(rc), e.msg,
                 strata_status_name(status), needle);
    assert_null(m);
    free(b.data);
}

/* Rows of an expert are whole panels, or other experts' would be read. */
static void test_expert_rows(void **state)
{
    (void)state;
    for (uint32_t n_ff = 16; n_ff <= 24; n_ff += 8) {
        const edit edits[] = {{.kind = SET_U32, .name = "qwen3moe.expert_feed_forward_length", .u = n_ff},
                              {.kind = EXPERTS, .name = "blk.0.ffn_gate_exps.weight", .n = n_ff, .k = 64, .u = 5},
                              {.kind = EXPERTS, .name = "blk.0.ffn_up_exps.weight", .n = n_ff, .k = 64, .u = 5},
                              {.kind = EXPERTS, .name = "blk.0.ffn_down_exps.weight", .n = 64, .k = n_ff, .u = 5},
                              {.kind = EXPERTS, .name = "blk.1.ffn_gate_exps.weight", .n = n_ff, .k = 64, .u = 5},
                              {.kind = EXPERTS, .name = "blk.1.ffn_up_exps.weight", .n = n_ff, .k = 64, .u = 5},
                              {.kind = EXPERTS, .name = "blk.1.ffn_down_exps.weight", .n = 64, .k = n_ff, .u = 5},
                              {0}};
        if (n_ff % 16) {
            refuses("qwen3moe", edits, STRATA_UNSUPPORTED_OP,
                    "tensor 'blk.0.ffn_up_exps.weight': experts of 24 outputs, only multiples of 16 are supported");
            continue;
        }
        blob b = rewrite(tiny("qwen3moe"), edits);
        strata_model *m = NULL;
        strata_error e = {0};
        if (strata_model_open_buffer(b.data, b.size, "file", NULL, &m, &e)) fail_msg("%s", e.msg);
        strata_model_close(m);
        free(b.data);
    }
}

/* Gates, groups of experts and layers past the last. */
static void test_routers(void **state)
{
    (void)state;
    static const struct {
        edit e;
        int status;
        const char *needle;
    } cases[] = {
        {U32("glm4moe.expert_gating_func", 4), STRATA_UNSUPPORTED_OP,
         "'glm4moe.expert_gating_func' is 4; only softmax"},
        {U32("glm4moe.expert_group_count", 5), STRATA_CORRUPT_MODEL, "12 experts are no multiple of 5 groups"},
        {U32("glm4moe.expert_group_count", 13), STRATA_CORRUPT_MODEL, "expert_group_count' is 13, want 0..12"},
        {U32("glm4moe.expert_group_used_count", 5), STRATA_CORRUPT_MODEL, "expert_group_used_count' is 5, want 0..4"},
        {U32("glm4moe.expert_used_count", 7), STRATA_CORRUPT_MODEL, "7 experts are to be chosen out of 2 groups of 3"},
        {{.kind = SET_BOOL, .name = "glm4moe.use_parallel_residual", .u = 1}, STRATA_UNSUPPORTED_OP, "in parallel"},
        {{.kind = ADD, .name = "blk.1.ffn_up.weight", .n = 32, .k = 32}, STRATA_UNSUPPORTED_OP, "in parallel"},
        {CUT("blk.1.ffn_up_exps.weight"), STRATA_CORRUPT_MODEL, "layer 1 has no ffn_gate_inp, ffn_up_exps"},
        {CUT("blk.1.ffn_gate_inp.weight"), STRATA_CORRUPT_MODEL, "layer 1 has no ffn_gate_inp, ffn_up_exps"},
        {CUT("blk.2.post_attention_norm.weight"), STRATA_UNSUPPORTED_OP, "layer 2 has experts in parallel"},
        {U32("glm4moe.nextn_predict_layers", 4), STRATA_CORRUPT_MODEL, "nextn_predict_layers' is 4, want 0..3"},
        {U32("glm4moe.nextn_predict_layers", 0), STRATA_UNSUPPORTED_OP, "tensor 'blk.3.nextn."},
        {{.kind = RENAME, .name = "blk.3.attn_q.weight", .str = "blk.4.attn_q.weight"},
         STRATA_UNSUPPORTED_OP,
         "tensor 'blk.4.attn_q.weight' is not known"},
        {{.kind = RENAME, .name = "blk.3.attn_q.weight", .str = "blk.4294967299.attn_q.weight"},
         STRATA_UNSUPPORTED_OP,
         "tensor 'blk.4294967299.attn_q.weight' is not known"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses("glm4moe", (const edit[]){cases[i].e, {0}}, cases[i].status, cases[i].needle);
}

/* Latent attention in both its forms. */
static void test_latents(void **state)
{
    (void)state;
#define MLA "deepseek2"
#define OLD "deepseek2-expanded"
#define AT  "deepseek2.attention."
    static const key_case cases[] = {
        {MLA, U32(AT "kv_lora_rank", 16), STRATA_CORRUPT_MODEL,
         "1 key heads of 96 and 64 values do not go with a latent of 16 and 32 that rotate"},
        {MLA, U32(AT "kv_lora_rank", 1u << 21), STRATA_CORRUPT_MODEL, "kv_lora_rank' is 2097152"},
        {MLA, CUT(AT "kv_lora_rank"), STRATA_CORRUPT_MODEL, "'blk.0."},
        {MLA, CUT(AT "q_lora_rank"), STRATA_CORRUPT_MODEL, "'blk.0.attn_q_a.weight' is [32, 32], want [0, 32]"},
        {MLA, CUT("deepseek2.rope.dimension_count"), STRATA_CORRUPT_MODEL, "rope.dimension_count' is missing"},
        {MLA, U32("deepseek2.rope.dimension_count", 31), STRATA_CORRUPT_MODEL, "a latent of 64 and 31 that"},
        {MLA, U32(AT "key_length_mla", 32), STRATA_CORRUPT_MODEL, "key_length_mla' is 32, want 33.."},
        {MLA, U32(AT "key_length_mla", 96), STRATA_CORRUPT_MODEL, "'blk.0.attn_q_b.weight' is ["},
        {MLA, U32(AT "value_length_mla", 0), STRATA_CORRUPT_MODEL, "value_length_mla' is 0"},
        {MLA, U32(AT "value_length_mla", 65536), STRATA_CORRUPT_MODEL, "'blk.0."},
        {MLA, U32(AT "head_count_kv", 2), STRATA_CORRUPT_MODEL, "2 key heads of"},
        {MLA, CUT("blk.1.attn_k_b.weight"), STRATA_CORRUPT_MODEL, "layer 1 has no attn_k_b and attn_v_b"},
        {MLA, CUT("blk.1.attn_kv_a_norm.weight"), STRATA_CORRUPT_MODEL, "layer 1 has no attn_kv_a_mqa with its norm"},
        {MLA, CUT("blk.1.attn_q_a_norm.weight"), STRATA_CORRUPT_MODEL, "layer 1 has no attn_q, nor attn_q_a"},
        {MLA, {.kind = ADD, .name = "blk.1.attn_kv_b.weight", .n = 96, .k = 64}, STRATA_UNSUPPORTED_OP, "layer 1 has"},
        {MLA, {.kind = ADD, .name = "blk.1.attn_k.weight", .n = 96, .k = 32}, STRATA_UNSUPPORTED_OP, "layer 1 has"},
        {"deepseek2-lite",
         {.kind = ADD, .name = "blk.1.attn_q.bias", .n = 96},
         STRATA_UNSUPPORTED_OP,
         "layer 1 has tensors of other kinds"},
        {MLA,
         {.kind = RESHAPE, .name = "blk.0.attn_k_b.weight", .n = 128, .k = 32},
         STRATA_CORRUPT_MODEL,
         "'blk.0.attn_k_b.weight' is [128, 32], want [2, 64, 32]"},
        {MLA, FLT(AT "temperature_scale", 0.1f), STRATA_UNSUPPORTED_OP,
         "temperature_scale' is not supported with latent"},
        {"mistral3", U32("mistral3.attention.temperature_length", 0), STRATA_CORRUPT_MODEL, "temperature_length' is 0"},
        {OLD, U32(AT "head_count_kv", 1), STRATA_CORRUPT_MODEL, "1 key heads of 48 and 16 values do not go"},
        {OLD, CUT("blk.2.attn_kv_b.weight"), STRATA_CORRUPT_MODEL, "layer 2 has no attn_kv_b"},
        {OLD, U32(AT "key_length", 16), STRATA_CORRUPT_MODEL, "'deepseek2.attention.key_length_mla' is 16, want 17"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(cases[i].model, (const edit[]){cases[i].e, {0}}, cases[i].status, cases[i].needle);
}

static void test_wrong_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        refuses(keys[i].model, (const edit[]){keys[i].e, {0}}, keys[i].status, keys[i].needle);
    const edit scaling[] = {STR(GE "rope.scaling.type", "linear"), FLT(GE "rope.scaling.factor", 0), {0}};
    refuses("gemma-embedding", scaling, STRATA_CORRUPT_MODEL, "rope.scaling.factor' is 0");
}

static void test_required_keys(void **state)
{
    (void)state;
    static const char *const shape[] = {"block_count", "context_length", "embedding_length", "feed_forward_length",
                                        "attention.head_count"};
    static const char *const models[][2] = {{"bert", "attention.layer_norm_epsilon"},
                                            {"gemma-embedding", "attention.layer_norm_rms_epsilon"}};
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < 6; k++) {
            char key[96];
            snprintf(key, sizeof key, "%s.%s", models[i][0], k < 5 ? shape[k] : models[i][1]);
            refuses(models[i][0], (const edit[]){CUT(key), {0}}, STRATA_CORRUPT_MODEL, key);
            refuses(models[i][0], (const edit[]){STR(key, "three"), {0}}, STRATA_CORRUPT_MODEL, key);
        }
        refuses(models[i][0], (const edit[]){CUT("general.architecture"), {0}}, STRATA_CORRUPT_MODEL,
                "general.architecture");
        refuses(models[i][0], (const edit[]){CUT("tokenizer.ggml.tokens"), {0}}, STRATA_CORRUPT_MODEL,
                "tokenizer.ggml.tokens");
    }
}

/* Keys that may be absent or unusual, and what then holds. */
static void test_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        edit e;
    } cases[] = {
        {"bert", CUT("bert.pooling_type")},
        {"bert", CUT("bert.attention.causal")},
        {"bert", CUT("general.name")},
        {"bert", FLT("bert.attention.layer_norm_epsilon", 0)},
        {"bert", U32("bert.context_length", 10)},
        {"gemma-embedding", U32(GE "context_length", 1u << 30)},
        {"gemma-embedding", CUT(GE "rope.freq_base")},
        {"gemma-embedding", U32(GE "attention.sliding_window", UINT32_MAX)},
        {"gemma-embedding", U32(GE "rope.dimension_count", 16)},
        {"bert", CUT("token_types.weight")},
        {"gemma-embedding", STR(GE "rope.scaling.type", "linear")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b = rewrite(tiny(cases[i].model), (const edit[]){cases[i].e, {0}});
        strata_model *m = open_blob(b, NULL);
        strata_ctx *c = open_ctx(m, 1, 0);
        float v[64];
        embed_one(c, text_of("abc"), NULL, v, 64);
        assert_false(is_nan_row(v, 64));
        strata_ctx_close(c);
        strata_model_close(m);
        free(b.data);
    }
}

/* ---- tensors ---- */

/* Files that a model may do without, each alone. */
static bool optional(const char *name)
{
    return strcmp(name, "token_types.weight") == 0;
}

static void z(st_str s, char *buf, size_t cap)
{
    snprintf(buf, cap, "%.*s", (int)s.len, s.ptr);
}

/* Every tensor of a model gone, too short, too wide, in a type that cannot be run, under another name. */
static void each_tensor(const char *model)
{
    blob file = blob_read(tiny(model));
    st_mem mem;
    st_gguf g;
    st_mem_init(&mem, NULL, 0);
    assert_int_equal(st_gguf_parse(&g, file.data, file.size, model, false, &mem, NULL), 0);
    for (size_t i = 0; i < g.n_tensors; i++) {
        const st_gguf_tensor *t = &g.tensors[i];
        char name[96], renamed[100], part[96];
        z(t->name, name, sizeof name);
        bool vector = t->n_dims == 1;
        uint64_t n = vector ? t->dims[0] : t->dims[1], k = vector ? 0 : t->dims[0];
        /* The message has the tensor's name, or for a layer's "blk.%u." the rest of it. */
        snprintf(part, sizeof part, "%s", strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') + 1 : name);
        char *dot = strchr(part, '.');
        if (strncmp(name, "blk.", 4) == 0 && dot) *dot = 0;
        if (strcmp(part, "dense_2.weight") == 0 || strcmp(part, "dense_3.weight") == 0)
            snprintf(part, sizeof part, "dense_2");
        if (!optional(name)) {
            blob b = rewrite(tiny(model), (const edit[]){CUT(name), {0}});
            strata_model *m = NULL;
            strata_error e = {0};
            int rc = strata_model_open_buffer(b.data, b.size, "file", NULL, &m, &e);
            /* Several tensors make one norm or one branch: the first one that is missed may be another of them. */
            if (rc != STRATA_CORRUPT_MODEL || !strstr(e.msg, "file: ") ||
                (!strstr(e.msg, part) && !strstr(e.msg, "norm")))
                fail_msg("%s without %s: %s '%s'", model, name, strata_status_name(rc), e.msg);
            free(b.data);
        }
        snprintf(renamed, sizeof renamed, "%s_x", name);
        blob b = rewrite(tiny(model), (const edit[]){{.kind = RENAME, .name = name, .str = renamed}, {0}});
        strata_model *m = NULL;
        assert_int_not_equal(strata_model_open_buffer(b.data, b.size, "file", NULL, &m, NULL), STRATA_OK);
        free(b.data);

        char needle[128];
        snprintf(needle, sizeof needle, "'%s' has type I32 (26)", name);
        refuses(model, (const edit[]){{.kind = RETYPE, .name = name, .u = 26}, {0}}, STRATA_UNSUPPORTED_TYPE, needle);
        snprintf(needle, sizeof needle, "'%s' is [", name);
        if (vector) {
            refuses(model, (const edit[]){{.kind = RESHAPE, .name = name, .n = n - 1}, {0}}, STRATA_CORRUPT_MODEL,
                    needle);
            refuses(model, (const edit[]){{.kind = RESHAPE, .name = name, .n = n + 1}, {0}}, STRATA_CORRUPT_MODEL,
                    needle);
            refuses(model, (const edit[]){{.kind = RESHAPE, .name = name, .n = 2, .k = n / 2}, {0}},
                    STRATA_CORRUPT_MODEL, needle);
            snprintf(needle, sizeof needle, "vector '%s' has type Q8_0", name);
            refuses(model, (const edit[]){{.kind = RETYPE, .name = name, .u = ST_Q8_0}, {0}}, STRATA_UNSUPPORTED_TYPE,
                    needle);
        } else {
            refuses(model, (const edit[]){{.kind = RESHAPE, .name = name, .n = n, .k = k * 2}, {0}},
                    STRATA_CORRUPT_MODEL, needle);
            bool free_rows = strcmp(name, "token_types.weight") == 0 || strcmp(name, "dense_3.weight") == 0;
            bool vocab = strcmp(name, "token_embd.weight") == 0, dense_2 = strcmp(name, "dense_2.weight") == 0;
            snprintf(needle, sizeof needle,
                     vocab     ? "320 tokens but only "
                     : dense_2 ? "'dense_3.weight' is ["
                               : "'%s' is [",
                     name);
            if (free_rows) continue;
            refuses(model, (const edit[]){{.kind = RESHAPE, .name = name, .n = n - 1, .k = k}, {0}},
                    STRATA_CORRUPT_MODEL, needle);
            /* One row, stored as a vector. */
            refuses(model, (const edit[]){{.kind = RESHAPE, .name = name, .n = k}, {0}}, STRATA_CORRUPT_MODEL, needle);
        }
    }
    st_gguf_free(&g);
    free(file.data);
}

static void test_each_tensor(void **state)
{
    (void)state;
    each_tensor("bert-q8_0");
    each_tensor("gemma-embedding-q8_0");
}

static void test_more_tensors(void **state)
{
    (void)state;
    const edit extra[] = {{.kind = ADD, .name = "blk.0.magic.weight", .n = 4, .k = 4}, {0}};
    refuses("bert", extra, STRATA_UNSUPPORTED_OP, "tensor 'blk.0.magic.weight' is not known for architecture 'bert'");
    const edit layer[] = {{.kind = ADD, .name = "blk.1.ffn_norm.weight", .n = 64}, {0}};
    refuses("bert", layer, STRATA_CORRUPT_MODEL, "no tensor 'blk.2.ffn_norm.weight', which layer 1 has");
    const edit gate[] = {{.kind = ADD, .name = "blk.2.ffn_gate.weight", .n = 128, .k = 64}, {0}};
    refuses("bert", gate, STRATA_CORRUPT_MODEL, "no tensor 'blk.0.ffn_gate.weight', which layer 2 has");
    const edit cap[] = {FLT("gpt-oss.attn_logit_softcapping", 5), {0}};
    refuses("gpt-oss", cap, STRATA_UNSUPPORTED_OP, "'blk.0.attn_sinks.weight': sinks beside a softcap");
    const edit sinks[] = {CUT("blk.1.attn_sinks.weight"), {0}};
    refuses("gpt-oss", sinks, STRATA_CORRUPT_MODEL, "no tensor 'blk.1.attn_sinks.weight', which layer 2 has");
    const edit turned[] = {{.kind = RESHAPE, .name = "blk.0.ffn_up_exps.bias", .n = 64, .k = 4}, {0}};
    refuses("gpt-oss", turned, STRATA_CORRUPT_MODEL, "'blk.0.ffn_up_exps.bias' is [64, 4], want [256]");
    const edit few[] = {{.kind = RESHAPE, .name = "blk.0.ffn_down_exps.bias", .n = 3, .k = 32}, {0}};
    refuses("gpt-oss", few, STRATA_CORRUPT_MODEL, "'blk.0.ffn_down_exps.bias' is [3, 32], want [128]");
    const edit one[] = {CUT("dense_3.weight"), {0}};
    refuses("gemma-embedding", one, STRATA_CORRUPT_MODEL, "only one of dense_2 and dense_3");
}

/* A vector may be float16, bfloat16 or [n, 1]; the same values give the same bits. */
static void test_vector_forms(void **state)
{
    (void)state;
    float one[64], v[64], want[64];
    uint16_t f16[64], bf16[64];
    for (int i = 0; i < 64; i++) one[i] = 1.5f, f16[i] = 0x3e00, bf16[i] = 0x3fc0;
    const char *name = "blk.0.attn_norm.weight";
    const edit forms[][2] = {{{.kind = RESHAPE, .name = name, .n = 64, .data = one}, {0}},
                             {{.kind = RETYPE, .name = name, .u = ST_F16, .data = f16}, {0}},
                             {{.kind = RETYPE, .name = name, .u = ST_BF16, .data = bf16}, {0}},
                             {{.kind = RESHAPE, .name = name, .n = 1, .k = 64, .data = one}, {0}}};
    for (int i = 0; i < 4; i++) {
        blob b = rewrite(tiny("gemma-embedding"), forms[i]);
        strata_model *m = open_blob(b, NULL);
        strata_ctx *c = open_ctx(m, 1, 0);
        embed_one(c, text_of("some text"), NULL, i ? v : want, 64);
        if (i) assert_memory_equal(v, want, sizeof v);
        strata_ctx_close(c);
        strata_model_close(m);
        free(b.data);
    }
}

/* Without its heads EmbeddingGemma works, and says so (the warning: test_api_info.c). */
static void test_missing_heads(void **state)
{
    (void)state;
    blob b = rewrite(tiny("gemma-embedding"), (const edit[]){CUT("dense_2.weight"), CUT("dense_3.weight"), {0}});
    strata_model *m = open_blob(b, NULL), *whole = open_model("gemma-embedding", NULL);
    strata_model_info info;
    strata_model_get_info(m, &info);
    assert_int_equal(info.dense, STRATA_DENSE_MISSING);
    strata_ctx *c = open_ctx(m, 1, 0), *d = open_ctx(whole, 1, 0);
    float v[64], w[64];
    embed_one(c, text_of("abc"), NULL, v, 64);
    embed_one(d, text_of("abc"), NULL, w, 64);
    assert_memory_not_equal(v, w, sizeof v);
    strata_ctx_close(c);
    strata_ctx_close(d);
    strata_model_close(m);
    strata_model_close(whole);
    free(b.data);
}

/* More rows than tokens are padding: the vocabulary stays, raw ids reach the rows. */
static void test_padded_vocabulary(void **state)
{
    (void)state;
    blob b = rewrite(tiny("gemma-embedding"),
                     (const edit[]){{.kind = RESHAPE, .name = "token_embd.weight", .n = 384, .k = 64}, {0}});
    strata_model *m = open_blob(b, NULL);
    strata_model_info info;
    strata_model_get_info(m, &info);
    assert_int_equal(info.n_vocab, 384);
    strata_ctx *c = open_ctx(m, 1, 0);
    float v[64];
    int32_t id = 383;
    size_t rows, cols;
    OK(strata_eval(c, &id, NULL, 1, STRATA_EVAL_HIDDEN, 0, v, 64, &rows, &cols, err));
    id = 384;
    FAILS(strata_eval(c, &id, NULL, 1, STRATA_EVAL_HIDDEN, 0, v, 64, &rows, &cols, err), STRATA_INVALID_ARG, "0..383");
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expert_rows),       cmocka_unit_test(test_routers),
        cmocka_unit_test(test_latents),           cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_required_keys),     cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_each_tensor),       cmocka_unit_test(test_more_tensors),
        cmocka_unit_test(test_vector_forms),      cmocka_unit_test(test_missing_heads),
        cmocka_unit_test(test_padded_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
