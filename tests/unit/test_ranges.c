/* test_ranges.c: numbers of a file that make no sense: each key of floats with each bad value, over models that read
 * it, and keys that make none together. CORRUPT_MODEL names the key and the range; nothing that opens gives what is no
 * number without saying so. */
#include <float.h>
#include <math.h>

#include "unit/test_api.h"

typedef struct float_key {
    const char *model, *key; /* behind the architecture's name */
    const char *with;        /* rope.scaling.type to set beside it, NULL: none */
    float lo, hi;            /* the nearest values that are good; 0 is good too where lo is 0 */
} float_key;

static const float_key float_keys[] = {
    {"bert", "attention.layer_norm_epsilon", NULL, 0, 0.1f},
    {"llama-q8_0", "attention.layer_norm_rms_epsilon", NULL, 0, 0.1f},
    {"minicpm", "embedding_scale", NULL, 1e-6f, 1e4f},
    {"minicpm", "residual_scale", NULL, 1e-6f, 1e4f},
    {"minicpm", "logit_scale", NULL, 4e-10f, 1e6f},
    {"granitemoe", "attention.scale", NULL, 0, 1e3f},
    {"gemma2", "attn_logit_softcapping", NULL, 0, 1000},
    {"gemma2", "final_logit_softcapping", NULL, 0, 1000},
    {"jina-bert-v2", "attention.max_alibi_bias", NULL, 0.5f, 64},
    {"llama-q8_0", "rope.freq_base", NULL, 1.01f, 1e12f},
    {"gemma3", "rope.freq_base_swa", NULL, 1.01f, 1e12f},
    {"llama-q8_0", "rope.scaling.factor", "linear", 0.5f, 1000},
    {"llama-q8_0", "rope.scaling.factor", "yarn", 0.5f, 1000},
    {"llama-q8_0", "rope.scale_linear", NULL, 0.5f, 1000},
    {"llama-q8_0", "rope.scaling.attn_factor", NULL, 0.01f, 100},
    {"llama-q8_0", "rope.scaling.yarn_attn_factor", "yarn", 0.01f, 100},
    {"llama-q8_0", "rope.scaling.yarn_beta_fast", "yarn", 1, 1000},
    {"llama-q8_0", "rope.scaling.yarn_beta_slow", "yarn", 0.01f, 32},
    {"llama-q8_0", "rope.scaling.yarn_log_multiplier", "yarn", 0, 10},
    {"mistral3", "attention.temperature_scale", NULL, 0, 100},
    {"qwen3moe", "expert_weights_scale", NULL, 0, 100},
};

static const char *arch_of(const char *model)
{
    static char arch[64];
    strata_model_info info;
    strata_model *m = open_model(model, &(strata_model_opts){.n_threads = 1});
    strata_model_get_info(m, &info);
    snprintf(arch, sizeof arch, "%s", info.arch);
    strata_model_close(m);
    return arch;
}

/* Opens it and runs it: finite numbers, or an error that says that they are not. */
static int open_and_run(blob b, strata_error *err)
{
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    const int32_t ids[] = {3, 4, 5, 6, 7, 8, 9};
    static float out[7 * 256];
    size_t rows, cols;
    int rc = strata_model_open_buffer(b.data, b.size, "file", &(strata_model_opts){.n_threads = 1}, &m, err);
    if (rc) return rc;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1}, &c, err));
    rc = strata_eval(c, ids, NULL, 7, STRATA_EVAL_HIDDEN, 0, out, 7 * 256, &rows, &cols, err);
    for (size_t i = 0; !rc && i < rows * cols; i++) assert_true(isfinite(out[i]));
    strata_ctx_close(c);
    strata_model_close(m);
    return rc == STRATA_NONFINITE ? STRATA_OK : rc;
}

static void test_floats(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof float_keys / sizeof *float_keys; i++) {
        const float_key *k = &float_keys[i];
        const float values[] = {NAN, INFINITY, -INFINITY, -FLT_MAX, -1, -1e-40f, FLT_MAX, 1e-40f, 0, k->lo, k->hi};
        char key[128], type[128];
        const char *arch = arch_of(k->model);
        snprintf(key, sizeof key, "%s.%s", arch, k->key);
        snprintf(type, sizeof type, "%s.rope.scaling.type", arch);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            if (strstr(k->key, "alibi") && (v == 7 || v == 8)) continue; /* then it wants positions */
            edit edits[] = {{SET_F32, .name = key, .f = values[v]}, {0}, {0}};
            if (k->with) edits[1] = (edit){SET_STR, .name = type, .str = k->with};
            blob b = rewrite(tiny(k->model), edits);
            strata_error err = {0};
            int rc = open_and_run(b, &err);
            bool good = v > 8 || (k->lo == 0 && (v == 7 || v == 8));
            if (strstr(k->key, "softcapping") && v == 7) good = false;
            if (good ? rc != STRATA_OK
                     : rc != STRATA_CORRUPT_MODEL || !strstr(err.msg, key) || !strstr(err.msg, "want "))
                fail_msg("%s, %s = %g: %s '%s'", k->model, key, (double)values[v], strata_status_name(rc), err.msg);
            free(b.data);
        }
    }
}

/* Keys of counts: what is 0, too large, or all ones. */
static void test_counts(void **state)
{
    (void)state;
    static const struct {
        const char *model, *key;
        uint32_t values[4]; /* bad ones, ended by 7777 */
    } counts[] = {{"llama-q8_0", "block_count", {0, UINT32_MAX, 4097, 7777}},
                  {"llama-q8_0", "context_length", {0, UINT32_MAX, 0x40000001, 7777}},
                  {"llama-q8_0", "embedding_length", {0, UINT32_MAX, 1u << 31, 7777}},
                  {"llama-q8_0", "feed_forward_length", {0, UINT32_MAX, 1u << 31, 7777}},
                  {"llama-q8_0", "attention.head_count", {0, UINT32_MAX, 65537, 7777}},
                  {"llama-q8_0", "attention.head_count_kv", {0, UINT32_MAX, 65537, 7777}},
                  {"llama-q8_0", "attention.key_length", {0, UINT32_MAX, 65537, 7777}},
                  {"llama-q8_0", "attention.value_length", {0, UINT32_MAX, 65537, 7777}},
                  {"llama-q8_0", "rope.dimension_count", {0, UINT32_MAX, 3, 7777}},
                  {"llama-q8_0", "rope.scaling.original_context_length", {0, UINT32_MAX, 0x40000001, 7777}},
                  {"qwen3moe", "expert_count", {UINT32_MAX, 4097, 7777, 0}},
                  {"qwen3moe", "expert_used_count", {0, UINT32_MAX, 4096, 7777}},
                  {"qwen3moe", "expert_feed_forward_length", {UINT32_MAX, 1u << 31, 7777, 0}},
                  {"deepseek2", "attention.kv_lora_rank", {UINT32_MAX, 1u << 31, 7777, 0}},
                  {"deepseek2", "expert_group_count", {UINT32_MAX, 3, 4097, 7777}},
                  {"deepseek2", "expert_group_used_count", {UINT32_MAX, 4097, 7777, 0}},
                  {"gemma3", "attention.sliding_window_pattern", {0, UINT32_MAX, 4097, 7777}},
                  {"bert", "pooling_type", {5, UINT32_MAX, 7777, 0}},
                  {"mistral3", "attention.temperature_length", {0, UINT32_MAX, 0x40000001, 7777}}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t v = 0; counts[i].values[v] != 7777; v++) {
            char key[128];
            const char *arch = arch_of(counts[i].model);
            snprintf(key, sizeof key, "%s.%s", arch, counts[i].key);
            const edit edits[] = {{SET_U32, .name = key, .u = counts[i].values[v]}, {0}};
            blob b = rewrite(tiny(counts[i].model), edits);
            strata_error err = {0};
            int rc = open_and_run(b, &err);
            if (rc != STRATA_CORRUPT_MODEL)
                fail_msg("%s = %u: %s '%s'", key, counts[i].values[v], strata_status_name(rc), err.msg);
            free(b.data);
        }
}

/* Windows of any size: what is wider than the context is no window. */
static void test_windows(void **state)
{
    (void)state;
    static const char *const models[] = {"gemma3", "gemma-embedding"};
    static const uint32_t windows[] = {1, 2, 1u << 20, 1u << 30, INT32_MAX, UINT32_MAX - 600, UINT32_MAX};
    for (size_t i = 0; i < 2; i++)
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
            char key[128];
            snprintf(key, sizeof key, "%s.attention.sliding_window", arch_of(models[i]));
            const edit edits[] = {{SET_U32, .name = key, .u = windows[w]}, {0}};
            blob b = rewrite(tiny(models[i]), edits);
            OK(open_and_run(b, err));
            free(b.data);
        }
}

static void test_together(void **state)
{
    (void)state;
    static const struct {
        const char *needle;
        edit e[5];
    } files[] = {
        {"rope.freq_base' is 1, want",
         {{SET_STR, "llama.rope.scaling.type", .str = "yarn"},
          {SET_F32, "llama.rope.scaling.factor", .f = 4},
          {SET_F32, "llama.rope.freq_base", .f = 1},
          {0}}},
        {"rope.freq_base' is 1, want", {{SET_F32, "llama.rope.freq_base", .f = 1}, {0}}},
        {"yarn_beta_slow' is 64, want 0.0001..32",
         {{SET_STR, "llama.rope.scaling.type", .str = "yarn"},
          {SET_F32, "llama.rope.scaling.yarn_beta_slow", .f = 64},
          {0}}},
        {"strata.prompt.query", {{SET_STR, "strata.prompt.query", .str = "\xff: "}, {0}}},
        {"strata.prompt.query", {{SET_U32, "strata.prompt.query", .u = 3}, {0}}},
        {"strata.prompt.document", {{SET_STRS, "strata.prompt.document", .str = "a b"}, {0}}},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        blob b = rewrite(tiny("llama-q8_0"), files[i].e);
        strata_error err = {0};
        int rc = open_and_run(b, &err);
        if (rc != STRATA_CORRUPT_MODEL || !strstr(err.msg, files[i].needle))
            fail_msg("%zu: %s '%s', want '%s'", i, strata_status_name(rc), err.msg, files[i].needle);
        free(b.data);
    }
    /* Odd, but they mean something. */
    static const edit fine[][5] = {
        {{SET_STR, "llama.rope.scaling.type", .str = "yarn"},
         {SET_F32, "llama.rope.freq_base", .f = 1.0002f},
         {SET_F32, "llama.rope.scaling.factor", .f = 1e6f},
         {SET_U32, "llama.rope.scaling.original_context_length", .u = 1},
         {0}},
        {{SET_STR, "llama.rope.scaling.type", .str = "yarn"},
         {SET_F32, "llama.rope.freq_base", .f = 1e30f},
         {SET_F32, "llama.rope.scaling.yarn_beta_fast", .f = 1e6f},
         {SET_F32, "llama.rope.scaling.yarn_beta_slow", .f = 1e-4f},
         {0}},
        {{SET_STR, "strata.prompt.query", .str = "\xc3\xa9: "}, {0}},
    };
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        blob b = rewrite(tiny("llama-q8_0"), fine[i]);
        OK(open_and_run(b, err));
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_floats), cmocka_unit_test(test_counts),
                                       cmocka_unit_test(test_windows), cmocka_unit_test(test_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
