/* config.c: reads the numbers of a model from metadata, and checks the range of each. */
#include "model/config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"

/* See ST_MAX_LAYERS. */
#define MAX_WIDTH (1u << 20)
#define MAX_HEADS 65536u
#define MAX_CTX   (1u << 30)

typedef struct reader {
    const st_gguf *g;
    const char *arch;
    strata_error *err;
    char key[128];
} reader;

static const char *config_key_of(reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, suffix);
    return r->key;
}

static bool config_has(reader *r, const char *suffix)
{
    return st_gguf_find(r->g, config_key_of(r, suffix)) != NULL;
}

static int config_check(reader *r, uint32_t v, uint32_t lo, uint32_t hi)
{
    ST_FAIL_IF(v < lo || v > hi, r->err, STRATA_CORRUPT_MODEL, "%s: key '%s' is %u, want %u..%u", r->g->name, r->key, v,
               lo, hi);
    return STRATA_OK;
}

static int config_need_u32(reader *r, const char *suffix, uint32_t lo, uint32_t hi, uint32_t *out)
{
    ST_TRY(st_gguf_u32(r->g, config_key_of(r, suffix), out, r->err));
    return config_check(r, *out, lo, hi);
}

static int config_opt_u32(reader *r, const char *suffix, uint32_t def, uint32_t lo, uint32_t hi, uint32_t *out)
{
    ST_TRY(st_gguf_u32_or(r->g, config_key_of(r, suffix), def, out, r->err));
    return config_check(r, *out, lo, hi);
}

/* A key that may give one number for all layers or one a layer. Layers of different shapes are not supported yet. */
static int config_same_u32(reader *r, const char *suffix, uint32_t n_layer, uint32_t lo, uint32_t hi, uint32_t *out)
{
    const st_gguf_kv *kv = st_gguf_find(r->g, config_key_of(r, suffix));
    if (!kv || kv->type != ST_GGUF_ARRAY) return config_need_u32(r, suffix, lo, hi, out);
    for (uint32_t il = 0; il < n_layer; il++) {
        uint32_t v;
        ST_TRY(st_gguf_u32_at(r->g, r->key, il, &v, r->err));
        ST_FAIL_IF(il && v != *out, r->err, STRATA_UNSUPPORTED_OP,
                   "%s: key '%s' differs between layers (%u, then %u at layer %u): not supported", r->g->name, r->key,
                   *out, v, il);
        *out = v;
    }
    return config_check(r, *out, lo, hi);
}

/* A float of the file in [lo, hi]; what stands in for it is right as it is. Ranges are far beyond any real model, and
 * so narrow that what is computed of them together stays finite. */
static int config_opt_f32(reader *r, const char *suffix, float def, float lo, float hi, float *out)
{
    *out = def;
    if (!config_has(r, suffix)) return STRATA_OK;
    ST_TRY(st_gguf_f32(r->g, r->key, out, r->err));
    ST_FAIL_IF(!(*out >= lo && *out <= hi), r->err, STRATA_CORRUPT_MODEL, "%s: key '%s' is %g, want %g..%g", r->g->name,
               r->key, (double)*out, (double)lo, (double)hi);
    return STRATA_OK;
}

static int config_read_shape(reader *r, st_config *c)
{
    ST_TRY(config_need_u32(r, "block_count", 1, ST_MAX_LAYERS, &c->n_layer));
    ST_TRY(config_opt_u32(r, "nextn_predict_layers", 0, 0, c->n_layer - 1, &c->n_extra));
    c->n_layer -= c->n_extra;
    ST_TRY(config_need_u32(r, "context_length", 1, MAX_CTX, &c->n_ctx));
    ST_TRY(config_need_u32(r, "embedding_length", 1, MAX_WIDTH, &c->n_embd));
    ST_TRY(config_same_u32(r, "feed_forward_length", c->n_layer, 1, MAX_WIDTH, &c->n_ff));
    ST_TRY(config_same_u32(r, "attention.head_count", c->n_layer, 1, MAX_HEADS, &c->n_head));
    c->n_head_kv = c->n_head;
    if (config_has(r, "attention.head_count_kv"))
        ST_TRY(config_same_u32(r, "attention.head_count_kv", c->n_layer, 1, MAX_HEADS, &c->n_head_kv));
    ST_FAIL_IF(c->n_head % c->n_head_kv != 0, r->err, STRATA_CORRUPT_MODEL,
               "%s: %u attention heads are no multiple of %u key/value heads", r->g->name, c->n_head, c->n_head_kv);
    uint32_t d = c->n_embd / c->n_head;
    if (!config_has(r, "attention.key_length"))
        ST_FAIL_IF(c->n_embd % c->n_head != 0, r->err, STRATA_CORRUPT_MODEL,
                   "%s: embedding_length %u is no multiple of %u heads and there is no key '%s'", r->g->name, c->n_embd,
                   c->n_head, r->key);
    ST_TRY(config_opt_u32(r, "attention.key_length", d, 1, 65536, &c->d_head_k));
    ST_TRY(config_opt_u32(r, "attention.value_length", d, 1, 65536, &c->d_head_v));
    ST_FAIL_IF((uint64_t)c->n_head * c->d_head_k > MAX_WIDTH || (uint64_t)c->n_head * c->d_head_v > MAX_WIDTH, r->err,
               STRATA_CORRUPT_MODEL, "%s: %u heads of %u and %u values are too wide", r->g->name, c->n_head,
               c->d_head_k, c->d_head_v);
    return STRATA_OK;
}

/* Multi-head latent attention. Files are of two kinds: older ones have the heads' keys and values to make out of a
 * latent, newer ones treat the latent as the one key head of all. */
static int config_read_latent(reader *r, st_config *c)
{
    uint32_t rot, d;
    ST_TRY(config_opt_u32(r, "attention.kv_lora_rank", 0, 0, MAX_WIDTH, &c->n_latent));
    if (c->n_latent == 0) return STRATA_OK;
    ST_TRY(config_opt_u32(r, "attention.q_lora_rank", 0, 0, MAX_WIDTH, &c->n_latent_q));
    ST_TRY(config_need_u32(r, "rope.dimension_count", 2, 65536, &rot));
    c->absorbed = config_has(r, "attention.key_length_mla");
    ST_TRY(config_opt_u32(r, "attention.key_length_mla", c->d_head_k, rot + 1, 65536 * 2, &d));
    ST_TRY(config_opt_u32(r, "attention.value_length_mla", c->d_head_v, 1, 65536, &c->d_value));
    c->d_nope = d - rot;
    c->n_rot = rot;
    bool fits = c->absorbed ? c->n_head_kv == 1 && c->d_head_k == c->n_latent + rot && c->d_head_v == c->n_latent
                            : c->n_head_kv == c->n_head;
    ST_FAIL_IF(!fits, r->err, STRATA_CORRUPT_MODEL,
               "%s: %u key heads of %u and %u values do not go with a latent of %u and %u that rotate", r->g->name,
               c->n_head_kv, c->d_head_k, c->d_head_v, c->n_latent, rot);
    ST_FAIL_IF((uint64_t)c->n_head * d > MAX_WIDTH || (uint64_t)c->n_head * (c->d_nope + c->d_value) > MAX_WIDTH,
               r->err, STRATA_CORRUPT_MODEL, "%s: %u heads of %u and %u values are too wide", r->g->name, c->n_head, d,
               c->d_value);
    return STRATA_OK;
}

static int config_read_norm(reader *r, st_config *c)
{
    const char *eps =
        c->arch->norm == ST_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
    ST_FAIL_IF(!config_has(r, eps), r->err, STRATA_CORRUPT_MODEL, "%s: key '%s' is missing", r->g->name, r->key);
    return config_opt_f32(r, eps, 0, 0, 0x1.fffffep-1f, &c->norm_eps); /* below 1 */
}

static int config_positive_f32(reader *r, const char *suffix, float def, float *out)
{
    return config_opt_f32(r, suffix, def, 1e-12f, 1e12f, out);
}

/* 0: none. What it divides must not overflow. */
static int config_read_softcap(reader *r, const char *suffix, float *out)
{
    ST_TRY(config_opt_f32(r, suffix, 0.0f, 0, 1e6f, out));
    ST_FAIL_IF(*out > 0 && *out < 1e-3f, r->err, STRATA_CORRUPT_MODEL, "%s: key '%s' is %g, want 0 or 0.001..1e6",
               r->g->name, r->key, (double)*out);
    return STRATA_OK;
}

static int config_read_scales(reader *r, st_config *c)
{
    const st_arch *a = c->arch;
    float logit_scale;
    ST_TRY(config_positive_f32(r, "embedding_scale", a->embed_scale_sqrt ? sqrtf((float)c->n_embd) : 1.0f,
                               &c->embed_scale));
    /* Some converters write 0 for "the usual". */
    uint32_t d = c->n_latent ? c->d_nope + c->n_rot : c->d_head_k;
    bool by_width = a->attn_scale_width_layers && c->n_layer == a->attn_scale_width_layers;
    float usual = a->attn_scale_one ? 1.0f : 1.0f / sqrtf(by_width ? (float)c->n_embd / (float)c->n_head : (float)d);
    ST_TRY(config_opt_f32(r, "attention.scale", usual, 0, 1e6f, &c->attn_scale));
    if (c->attn_scale == 0) c->attn_scale = usual;
    ST_TRY(config_positive_f32(r, "residual_scale", 1.0f, &c->residual_scale));
    ST_TRY(config_positive_f32(r, "logit_scale", 1.0f, &logit_scale));
    c->logit_scale = a->logit_scale_divides ? 1.0f / logit_scale : logit_scale;
    ST_TRY(config_read_softcap(r, "attn_logit_softcapping", &c->attn_softcap));
    ST_TRY(config_read_softcap(r, "final_logit_softcapping", &c->logit_softcap));
    return config_opt_f32(r, "attention.max_alibi_bias", a->alibi ? 8.0f : 0.0f, 0, 1024, &c->alibi_max);
}

static void config_set_windowed(st_config *c, uint32_t il, bool windowed)
{
    if (windowed) c->windowed[il / 64] |= UINT64_C(1) << (il % 64);
}

/* A flag a layer, true where it sees only the window; bools or numbers. */
static int config_read_window_flags(reader *r, const st_gguf_kv *kv, st_config *c)
{
    bool bools = kv->elem_type == ST_GGUF_BOOL;
    ST_FAIL_IF(kv->count < c->n_layer, r->err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' has %llu values, want one for each of %u layers", r->g->name, r->key,
               (unsigned long long)kv->count, c->n_layer);
    for (uint32_t il = 0; il < c->n_layer; il++) {
        uint32_t v = bools ? kv->data[il] : 0;
        if (!bools) ST_TRY(st_gguf_u32_at(r->g, r->key, il, &v, r->err));
        config_set_windowed(c, il, v != 0);
    }
    return STRATA_OK;
}

/* Which layers are windowed: a list of flags, the period of those that are not, or, for files that say nothing, the
 * row. */
static int config_read_window(reader *r, st_config *c)
{
    ST_TRY(config_opt_u32(r, "attention.sliding_window", c->arch->window_default, 0, UINT32_MAX, &c->window));
    if (c->window > 2 * MAX_CTX) c->window = 2 * MAX_CTX; /* all that there can be, to both sides */
    uint32_t period = c->arch->window_pattern;
    const st_gguf_kv *kv = st_gguf_find(r->g, config_key_of(r, "attention.sliding_window_pattern"));
    if (kv && kv->type == ST_GGUF_ARRAY) return config_read_window_flags(r, kv, c);
    if (kv) ST_TRY(config_opt_u32(r, "attention.sliding_window_pattern", 0, 1, ST_MAX_LAYERS, &period));
    for (uint32_t il = 0; il < c->n_layer; il++)
        config_set_windowed(c, il, period == 0 || (c->arch->window_full_first ? il : il + 1) % period != 0);
    return STRATA_OK;
}

static int config_read_attention(reader *r, st_config *c)
{
    ST_TRY(st_gguf_bool_or(r->g, config_key_of(r, "attention.causal"), c->arch->causal, &c->causal, r->err));
    ST_TRY(st_gguf_bool_or(r->g, config_key_of(r, "use_parallel_residual"), false, &c->parallel, r->err));
    float clamp;
    ST_TRY(config_opt_f32(r, "attention.clamp_kqv", 0.0f, -FLT_MAX, FLT_MAX, &clamp));
    ST_FAIL_IF(clamp != 0, r->err, STRATA_UNSUPPORTED_OP,
               "%s: key '%s' is %g; clamped queries, keys and values are not supported", r->g->name, r->key,
               (double)clamp);
    return config_read_window(r, c);
}

/* Rows of layer il's expert tensor, or 0: older files do not say how wide an expert is. */
static uint32_t config_rows_of(const reader *r, const st_config *c, const char *what)
{
    for (uint32_t il = c->n_layer; il-- > 0;) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.%s.weight", il, what);
        const st_gguf_tensor *t = st_gguf_tensor_find(r->g, name);
        if (t) return t->dims[1] <= MAX_WIDTH ? (uint32_t)t->dims[1] : 0;
    }
    return 0;
}

static int config_read_gating(reader *r, st_config *c)
{
    enum { UNSAID, SOFTMAX, SIGMOID, SOFTMAX_OF_CHOSEN };
    uint32_t gating;
    ST_TRY(config_opt_u32(r, "expert_gating_func", UNSAID, 0, UINT32_MAX, &gating));
    ST_FAIL_IF(gating > SOFTMAX_OF_CHOSEN, r->err, STRATA_UNSUPPORTED_OP,
               "%s: key '%s' is %u; only softmax (1, 3) and sigmoid (2) are supported", r->g->name, r->key, gating);
    c->expert_sigmoid = gating == UNSAID ? c->arch->moe_sigmoid : gating == SIGMOID;
    /* A softmax of some logits is that of all, made to sum to 1. */
    if (gating == SOFTMAX_OF_CHOSEN) c->expert_normalize = true;
    return STRATA_OK;
}

static int config_read_groups(reader *r, st_config *c)
{
    ST_TRY(config_opt_u32(r, "expert_group_count", 1, 0, c->n_expert, &c->n_group));
    if (c->n_group == 0) c->n_group = 1;
    ST_FAIL_IF(c->n_expert % c->n_group != 0, r->err, STRATA_CORRUPT_MODEL,
               "%s: %u experts are no multiple of %u groups", r->g->name, c->n_expert, c->n_group);
    ST_TRY(config_opt_u32(r, "expert_group_used_count", c->n_group, 0, c->n_group, &c->n_group_used));
    if (c->n_group_used == 0) c->n_group_used = c->n_group;
    ST_FAIL_IF(c->n_expert_used > c->n_expert / c->n_group * c->n_group_used, r->err, STRATA_CORRUPT_MODEL,
               "%s: %u experts are to be chosen out of %u groups of %u", r->g->name, c->n_expert_used, c->n_group_used,
               c->n_expert / c->n_group);
    return STRATA_OK;
}

static int config_read_experts(reader *r, st_config *c)
{
    ST_TRY(config_opt_u32(r, "expert_count", 0, 0, 4096, &c->n_expert));
    if (c->n_expert == 0) return STRATA_OK;
    ST_TRY(config_need_u32(r, "expert_used_count", 1, c->n_expert, &c->n_expert_used));
    ST_TRY(config_opt_u32(r, "expert_feed_forward_length", config_rows_of(r, c, "ffn_up_exps"), 0, MAX_WIDTH,
                          &c->n_ff_expert));
    if (c->n_ff_expert == 0) c->n_ff_expert = c->n_ff;
    ST_TRY(config_opt_u32(r, "expert_shared_feed_forward_length", config_rows_of(r, c, "ffn_up_shexp"), 0, MAX_WIDTH,
                          &c->n_ff_shared));
    ST_TRY(st_gguf_bool_or(r->g, config_key_of(r, "expert_weights_norm"), c->arch->moe_normalize, &c->expert_normalize,
                           r->err));
    ST_TRY(config_opt_f32(r, "expert_weights_scale", 1.0f, 0, 1e6f, &c->expert_scale));
    if (c->expert_scale == 0) c->expert_scale = 1.0f;
    ST_TRY(config_read_gating(r, c));
    return config_read_groups(r, c);
}

static int config_read_pooling(reader *r, st_config *c)
{
    /* GGUF's numbers: 0 none, 1 mean, 2 cls, 3 last, 4 rank. */
    static const strata_pooling of_file[] = {STRATA_POOLING_NONE, STRATA_POOLING_MEAN, STRATA_POOLING_CLS,
                                             STRATA_POOLING_LAST, STRATA_POOLING_RANK};
    uint32_t v;
    /* Converters write no pooling type for BERT-like rerankers: their head tells. */
    bool ranks = st_gguf_tensor_find(r->g, "cls.output.weight") != NULL;
    c->pooling = ranks ? STRATA_POOLING_RANK : c->arch->pooling;
    if (!config_has(r, "pooling_type")) return STRATA_OK;
    ST_TRY(config_need_u32(r, "pooling_type", 0, 4, &v));
    c->pooling = of_file[v];
    return STRATA_OK;
}

/* yarn_log_multiplier says that the angles have no temperature (HF modeling_rope_utils.py: mscale and mscale_all_dim,
 * which are the same in all files that have them, cancel). In latent attention the scores have it, for it must reach
 * what does not rotate too (modeling_deepseek_v3.py, yarn_apply_mscale); there the key is mscale_all_dim / 10. */
static int config_read_log_multiplier(reader *r, st_config *c, const st_rope *rope, float *of_angles)
{
    float m;
    ST_TRY(config_opt_f32(r, "rope.scaling.yarn_log_multiplier", 0.0f, 0, 100, &m));
    if (m == 0) return STRATA_OK;
    *of_angles = 1.0f;
    if (!c->n_latent || rope->factor <= 1 || config_has(r, "attention.scale")) return STRATA_OK;
    float t = (float)(1.0 + (double)m * st_ln((double)rope->factor));
    c->attn_scale *= t * t;
    return STRATA_OK;
}

/* HF modeling_ministral3.py, get_llama_4_attn_scale. */
static int config_read_temperature(reader *r, st_config *c)
{
    ST_TRY(config_opt_f32(r, "attention.temperature_scale", 0.0f, 0, 1e6f, &c->temperature));
    if (c->temperature == 0) return STRATA_OK;
    ST_FAIL_IF(c->n_latent, r->err, STRATA_UNSUPPORTED_OP, "%s: key '%s' is not supported with latent attention",
               r->g->name, r->key);
    return config_opt_u32(r, "attention.temperature_length", c->rope_original, 1, MAX_CTX, &c->temperature_span);
}

static int config_read_scaling(reader *r, st_config *c, st_rope *rope)
{
    st_str type;
    char seen[ST_STR_PRINT];
    ST_TRY(st_gguf_str_or(r->g, config_key_of(r, "rope.scaling.type"), "none", &type, r->err));
    bool linear = st_str_eq(type, "linear"), yarn = st_str_eq(type, "yarn");
    /* LongRoPE is told by its factor tensors; its files may name the type or not. */
    ST_FAIL_IF(!linear && !yarn && !st_str_eq(type, "none") && !st_str_eq(type, "longrope"), r->err,
               STRATA_UNSUPPORTED_OP, "%s: rope scaling '%s' is not supported (" ST_ROPE_SCALINGS ")", r->g->name,
               st_str_print(type, seen));
    if (linear || yarn) {
        rope->scaling = linear ? ST_ROPE_SCALING_LINEAR : ST_ROPE_SCALING_YARN;
        ST_TRY(config_opt_f32(r, "rope.scaling.factor", 1.0f, 1e-4f, 1e6f, &rope->factor));
    }
    ST_TRY(config_opt_u32(r, "rope.scaling.original_context_length", c->n_ctx, 1, MAX_CTX, &c->rope_original));
    ST_TRY(config_opt_f32(r, "rope.scaling.yarn_beta_fast", 32.0f, 1e-4f, 1e6f, &rope->beta_fast));
    ST_TRY(config_opt_f32(r, "rope.scaling.yarn_beta_slow", 1.0f, 1e-4f, rope->beta_fast, &rope->beta_slow));
    /* Files of the oldest llama converters: positions times this. */
    float legacy;
    ST_TRY(config_opt_f32(r, "rope.scale_linear", 1.0f, 1e-4f, 1e6f, &legacy));
    if (legacy != 1.0f && rope->scaling == ST_ROPE_SCALING_NONE) {
        rope->scaling = ST_ROPE_SCALING_LINEAR;
        rope->factor = legacy;
    }
    /* YaRN's temperature, 0.1 ln(factor) + 1 (paper, eq. 22), unless the file has its own. */
    float usual = yarn && rope->factor > 1 ? (float)(0.1 * st_ln((double)rope->factor) + 1.0) : 1.0f;
    /* Both names hold HF's attention_factor, which stands for the temperature and is not multiplied with it. */
    if (yarn) ST_TRY(config_opt_f32(r, "rope.scaling.yarn_attn_factor", usual, 1e-4f, 1e4f, &usual));
    if (yarn) ST_TRY(config_read_log_multiplier(r, c, rope, &usual));
    return config_opt_f32(r, "rope.scaling.attn_factor", usual, 1e-4f, 1e4f, &rope->attn_factor);
}

static int config_read_rope(reader *r, st_config *c)
{
    const st_arch *a = c->arch;
    if (a->rope == ST_ROPE_NONE) return STRATA_OK;
    ST_TRY(config_opt_u32(r, "rope.dimension_count", c->d_head_k, 2, c->d_head_k, &c->n_rot));
    ST_FAIL_IF(c->n_rot % 2 != 0, r->err, STRATA_CORRUPT_MODEL, "%s: %u rotary dims are odd", r->g->name, c->n_rot);
    float base, swa;
    /* Angles fall with the dimension: the base is above 1, and YaRN divides by its logarithm. */
    ST_TRY(config_opt_f32(r, "rope.freq_base", a->rope_base, 1.0001f, 1e30f, &base));
    ST_TRY(
        config_opt_f32(r, "rope.freq_base_swa", a->rope_base_swa > 0 ? a->rope_base_swa : base, 1.0001f, 1e30f, &swa));
    st_rope full = {.base = base, .factor = 1.0f, .attn_factor = 1.0f, .fractional = a->yarn_fractional};
    ST_TRY(config_read_scaling(r, c, &full));
    c->rope[0] = c->rope[1] = full;
    if (a->rope_swa_unscaled) c->rope[1] = (st_rope){.factor = 1.0f, .attn_factor = 1.0f};
    c->rope[1].base = swa;
    return config_read_temperature(r, c);
}

int st_config_read(const st_gguf *g, st_config *c, strata_error *err)
{
    *c = (st_config){0};
    st_str name;
    ST_TRY(st_gguf_str(g, "general.architecture", &name, err));
    c->arch = st_arch_find(name);
    if (!c->arch) {
        char known[200], seen[ST_STR_PRINT];
        st_arch_names(known, sizeof known);
        ST_FAIL(err, STRATA_UNSUPPORTED_ARCH, "%s: architecture '%s' is not supported; supported: %s", g->name,
                st_str_print(name, seen), known);
    }
    reader r = {.g = g, .arch = c->arch->name, .err = err};
    ST_TRY(config_read_shape(&r, c));
    ST_TRY(config_read_latent(&r, c));
    ST_TRY(config_read_norm(&r, c));
    ST_TRY(config_read_scales(&r, c));
    ST_TRY(config_read_attention(&r, c));
    ST_TRY(config_read_experts(&r, c));
    ST_TRY(config_read_pooling(&r, c));
    return config_read_rope(&r, c);
}
