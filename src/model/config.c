#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Limits far above any real model, low enough that products of two of them stay inside 64 bits. */
#define MAX_LAYERS 4096u
#define MAX_WIDTH (1u << 20)
#define MAX_HEADS 65536u
#define MAX_CTX (1u << 30)

typedef struct reader {
    const st_gguf *g;
    const char *arch;
    strata_error *err;
    char key[128];
} reader;

static const char *key_of(reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, suffix);
    return r->key;
}

static bool has(reader *r, const char *suffix)
{
    return st_gguf_find(r->g, key_of(r, suffix)) != NULL;
}

static int check(reader *r, uint32_t v, uint32_t lo, uint32_t hi)
{
    ST_FAIL_IF(v < lo || v > hi, r->err, STRATA_CORRUPT_MODEL, "%s: key '%s' is %u, want %u..%u", r->g->name, r->key, v, lo,
               hi);
    return STRATA_OK;
}

static int need_u32(reader *r, const char *suffix, uint32_t lo, uint32_t hi, uint32_t *out)
{
    ST_TRY(st_gguf_u32(r->g, key_of(r, suffix), out, r->err));
    return check(r, *out, lo, hi);
}

static int opt_u32(reader *r, const char *suffix, uint32_t def, uint32_t lo, uint32_t hi, uint32_t *out)
{
    ST_TRY(st_gguf_u32_or(r->g, key_of(r, suffix), def, out, r->err));
    return check(r, *out, lo, hi);
}

/* A key that may give one number for all layers or one a layer. Layers of different shapes are not supported yet. */
static int same_u32(reader *r, const char *suffix, uint32_t n_layer, uint32_t lo, uint32_t hi, uint32_t *out)
{
    const st_gguf_kv *kv = st_gguf_find(r->g, key_of(r, suffix));
    if (!kv || kv->type != ST_GGUF_ARRAY) return need_u32(r, suffix, lo, hi, out);
    for (uint32_t il = 0; il < n_layer; il++) {
        uint32_t v;
        ST_TRY(st_gguf_u32_at(r->g, r->key, il, &v, r->err));
        ST_FAIL_IF(il && v != *out, r->err, STRATA_UNSUPPORTED_OP,
                   "%s: key '%s' differs between layers (%u, then %u at layer %u): not supported", r->g->name, r->key, *out, v,
                   il);
        *out = v;
    }
    return check(r, *out, lo, hi);
}

static int opt_f32(reader *r, const char *suffix, float def, float *out)
{
    ST_TRY(st_gguf_f32_or(r->g, key_of(r, suffix), def, out, r->err));
    ST_FAIL_IF(!isfinite(*out), r->err, STRATA_CORRUPT_MODEL, "%s: key '%s' is not a finite number", r->g->name, r->key);
    return STRATA_OK;
}

static int read_shape(reader *r, st_config *c)
{
    ST_TRY(need_u32(r, "block_count", 1, MAX_LAYERS, &c->n_layer));
    ST_TRY(need_u32(r, "context_length", 1, MAX_CTX, &c->n_ctx));
    ST_TRY(need_u32(r, "embedding_length", 1, MAX_WIDTH, &c->n_embd));
    ST_TRY(same_u32(r, "feed_forward_length", c->n_layer, 1, MAX_WIDTH, &c->n_ff));
    ST_TRY(same_u32(r, "attention.head_count", c->n_layer, 1, MAX_HEADS, &c->n_head));
    c->n_head_kv = c->n_head;
    if (has(r, "attention.head_count_kv"))
        ST_TRY(same_u32(r, "attention.head_count_kv", c->n_layer, 1, MAX_HEADS, &c->n_head_kv));
    ST_FAIL_IF(c->n_head % c->n_head_kv != 0, r->err, STRATA_CORRUPT_MODEL,
               "%s: %u attention heads are no multiple of %u key/value heads", r->g->name, c->n_head, c->n_head_kv);
    uint32_t d = c->n_embd / c->n_head;
    if (!has(r, "attention.key_length"))
        ST_FAIL_IF(c->n_embd % c->n_head != 0, r->err, STRATA_CORRUPT_MODEL,
                   "%s: embedding_length %u is no multiple of %u heads and there is no key '%s'", r->g->name, c->n_embd,
                   c->n_head, r->key);
    ST_TRY(opt_u32(r, "attention.key_length", d, 1, 65536, &c->d_head_k));
    ST_TRY(opt_u32(r, "attention.value_length", d, 1, 65536, &c->d_head_v));
    ST_FAIL_IF((uint64_t)c->n_head * c->d_head_k > MAX_WIDTH || (uint64_t)c->n_head * c->d_head_v > MAX_WIDTH, r->err,
               STRATA_CORRUPT_MODEL, "%s: %u heads of %u and %u values are too wide", r->g->name, c->n_head, c->d_head_k,
               c->d_head_v);
    return STRATA_OK;
}

static int read_numbers(reader *r, st_config *c)
{
    const st_arch *a = c->arch;
    const char *eps = a->norm == ST_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
    ST_TRY(st_gguf_f32(r->g, key_of(r, eps), &c->norm_eps, r->err));
    ST_FAIL_IF(!(c->norm_eps >= 0.0f && c->norm_eps < 1.0f), r->err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' is %g, want 0..1", r->g->name, r->key, (double)c->norm_eps);
    c->embed_scale = a->embed_scale_sqrt ? sqrtf((float)c->n_embd) : 1.0f;
    ST_TRY(opt_f32(r, "attention.scale", 1.0f / sqrtf((float)c->d_head_k), &c->attn_scale));
    ST_TRY(st_gguf_bool_or(r->g, key_of(r, "attention.causal"), a->causal, &c->causal, r->err));
    ST_TRY(opt_u32(r, "attention.sliding_window", 0, 0, UINT32_MAX, &c->window));
    c->window_pattern = a->window_pattern;
    return STRATA_OK;
}

static int read_pooling(reader *r, st_config *c)
{
    /* GGUF's numbers: 0 none, 1 mean, 2 cls, 3 last, 4 rank. */
    static const strata_pooling of_file[] = {STRATA_POOLING_NONE, STRATA_POOLING_MEAN, STRATA_POOLING_CLS,
                                             STRATA_POOLING_LAST, STRATA_POOLING_RANK};
    uint32_t v;
    c->pooling = c->arch->pooling;
    if (!has(r, "pooling_type")) return STRATA_OK;
    ST_TRY(need_u32(r, "pooling_type", 0, 4, &v));
    c->pooling = of_file[v];
    return STRATA_OK;
}

static int read_rope(reader *r, st_config *c)
{
    const st_arch *a = c->arch;
    if (a->rope == ST_ROPE_NONE) return STRATA_OK;
    ST_TRY(opt_u32(r, "rope.dimension_count", c->d_head_k, 2, c->d_head_k, &c->n_rot));
    ST_FAIL_IF(c->n_rot % 2 != 0, r->err, STRATA_CORRUPT_MODEL, "%s: %u rotary dims are odd", r->g->name, c->n_rot);
    float base, swa;
    ST_TRY(opt_f32(r, "rope.freq_base", a->rope_base, &base));
    ST_TRY(opt_f32(r, "rope.freq_base_swa", a->rope_base_swa > 0 ? a->rope_base_swa : base, &swa));
    ST_FAIL_IF(!(base > 0 && swa > 0), r->err, STRATA_CORRUPT_MODEL, "%s: rope bases are %g and %g, want > 0", r->g->name,
               (double)base, (double)swa);
    st_str type;
    float factor;
    ST_TRY(st_gguf_str_or(r->g, key_of(r, "rope.scaling.type"), "none", &type, r->err));
    ST_TRY(opt_f32(r, "rope.scaling.factor", 1.0f, &factor));
    bool linear = st_str_eq(type, "linear");
    ST_FAIL_IF(!linear && !st_str_eq(type, "none"), r->err, STRATA_UNSUPPORTED_OP,
               "%s: rope scaling '%.*s' is not supported (none, linear)", r->g->name, ST_STR(type));
    ST_FAIL_IF(!(factor > 0), r->err, STRATA_CORRUPT_MODEL, "%s: rope scaling factor is %g, want > 0", r->g->name,
               (double)factor);
    c->rope[0] = (st_rope){base, linear ? factor : 1.0f};
    /* Gemma 3 scales the positions of its full layers only (HF: rope_local has no scaling). */
    c->rope[1] = (st_rope){swa, linear && a->rope_base_swa == 0 ? factor : 1.0f};
    return STRATA_OK;
}

int st_config_read(const st_gguf *g, st_config *c, strata_error *err)
{
    *c = (st_config){0};
    st_str name;
    ST_TRY(st_gguf_str(g, "general.architecture", &name, err));
    c->arch = st_arch_find(name);
    if (!c->arch) {
        char known[160];
        st_arch_names(known, sizeof known);
        ST_FAIL(err, STRATA_UNSUPPORTED_ARCH, "%s: architecture '%.*s' is not supported; supported: %s", g->name,
                ST_STR(name), known);
    }
    reader r = {.g = g, .arch = c->arch->name, .err = err};
    ST_TRY(read_shape(&r, c));
    ST_TRY(read_numbers(&r, c));
    ST_TRY(read_pooling(&r, c));
    return read_rope(&r, c);
}
