/* weights_check.c: whether the tensors that were found make a model, and one that this version runs. */
#include "model/weights_check.h"

#include <stdio.h>
#include <string.h>

static int check_need(const st_binder *b, bool have, const char *what, uint32_t layer)
{
    ST_FAIL_IF(!have, b->err, STRATA_CORRUPT_MODEL, "%s: layer %u has no %s", b->g->name, layer, what);
    return STRATA_OK;
}

/* An expert, or a head, begins at a whole panel of 16 outputs. */
static int check_panels(const st_binder *b, st_mat m, const char *what, const char *name, uint32_t il)
{
    ST_FAIL_IF(m && m->dims[1] % 16 != 0, b->err, STRATA_UNSUPPORTED_OP,
               "%s: tensor 'blk.%u.%s.weight': %s of %llu outputs, only multiples of 16 are supported", b->g->name, il,
               name, what, (unsigned long long)m->dims[1]);
    return STRATA_OK;
}

/* Of latent attention, in one of its two forms. */
static int check_latent(const st_binder *b, uint32_t il)
{
    const st_layer *l = &b->w->layers[il];
    bool absorbed = b->c->absorbed, up = absorbed ? l->k_up && l->v_up : l->kv_up != NULL;
    ST_TRY(check_need(b, l->attn_q || (l->q_down && l->q_down_norm.v && l->q_up),
                      "attn_q, nor attn_q_a, its norm and attn_q_b", il));
    ST_TRY(check_need(b, l->kv_down && l->kv_down_norm.v, "attn_kv_a_mqa with its norm", il));
    ST_TRY(check_need(b, up, absorbed ? "attn_k_b and attn_v_b" : "attn_kv_b", il));
    ST_TRY(check_panels(b, l->k_up, "heads", "attn_k_b", il));
    ST_TRY(check_panels(b, l->v_up, "heads", "attn_v_b", il));
    bool more = l->attn_k || l->attn_v || l->attn_qkv || l->attn_q_norm_w.v || l->attn_k_norm_w.v || l->attn_q_b.v ||
                l->attn_k_b.v || l->attn_v_b.v || (l->attn_q && l->q_down) ||
                (absorbed ? l->kv_up != NULL : l->k_up || l->v_up);
    ST_FAIL_IF(more, b->err, STRATA_UNSUPPORTED_OP,
               "%s: layer %u has tensors of other kinds of attention beside those of a latent", b->g->name, il);
    return STRATA_OK;
}

/* Of a layer with experts. */
static int check_experts(const st_binder *b, uint32_t il)
{
    const st_layer *l = &b->w->layers[il];
    ST_TRY(check_need(b, l->ffn_gate_inp && l->ffn_up_exps && l->ffn_down_exps,
                      "ffn_gate_inp, ffn_up_exps and ffn_down_exps", il));
    ST_TRY(check_panels(b, l->ffn_up_exps, "experts", "ffn_up_exps", il));
    ST_TRY(check_panels(b, l->ffn_down_exps, "experts", "ffn_down_exps", il));
    bool alone = l->ffn_norm_w.v || l->post_attention_norm.v || l->layer_output_norm_w.v || l->post_ffw_norm.v;
    ST_FAIL_IF(b->c->parallel || !alone || l->ffn_up || l->ffn_gate || l->ffn_down, b->err, STRATA_UNSUPPORTED_OP,
               "%s: layer %u has experts in parallel with attention or with an FFN: not supported", b->g->name, il);
    return STRATA_OK;
}

/* A layer must be whole. */
static int check_layer(const st_binder *b, uint32_t il)
{
    const st_layer *l = &b->w->layers[il];
    bool split = l->attn_q && l->attn_k && l->attn_v;
    if (b->c->n_latent)
        ST_TRY(check_latent(b, il));
    else
        ST_TRY(check_need(b, split || l->attn_qkv, "attn_q, attn_k and attn_v, nor attn_qkv", il));
    ST_TRY(check_need(b, l->attn_output, "attn_output", il));
    bool experts = l->ffn_gate_inp && l->ffn_up_exps && l->ffn_down_exps;
    if (l->ffn_gate_inp || l->ffn_gate_exps || l->ffn_up_exps || l->ffn_down_exps) ST_TRY(check_experts(b, il));
    ST_TRY(check_need(b, l->ffn_up || experts, "ffn_up, nor the tensors of experts", il));
    ST_TRY(check_need(b, l->ffn_down || experts, "ffn_down", il));
    bool shared = l->ffn_gate_shexp || l->ffn_up_shexp || l->ffn_down_shexp || l->ffn_gate_inp_shexp;
    ST_TRY(check_need(b, !shared || (l->ffn_gate_shexp && l->ffn_up_shexp && l->ffn_down_shexp), "whole shared expert",
                      il));
    ST_TRY(check_need(b,
                      l->attn_norm_w.v || l->attn_output_norm_w.v || l->post_attention_norm.v || st_first_normed(b, il),
                      "norm around attention", il));
    /* Without a norm of its own the FFN reads attention's: a parallel residual. */
    return check_need(b, l->ffn_norm_w.v || l->layer_output_norm_w.v || l->post_ffw_norm.v || l->attn_norm_w.v,
                      "norm around its FFN", il);
}

/* The same outside the layers: what a layer of this kind cannot do without. */
static int check_globals(const st_binder *b)
{
    const st_weights *w = b->w;
    const st_arch *a = b->c->arch;
    const st_layer *last = &w->layers[b->c->n_layer - 1];
    bool pre = last->attn_norm_w.v != NULL, post = last->attn_output_norm_w.v != NULL,
         biased = last->attn_norm_b.v || last->attn_output_norm_b.v;
    bool positions = a->rope != ST_ROPE_NONE || a->relative_bias || b->c->alibi_max > 0;
    const struct {
        bool missing;
        const char *prefix, *name;
    } rules[] = {
        {!positions && !w->position_embd, NULL, "position_embd.weight"},
        {pre && !w->output_norm_w.v, a->tensor_prefix, "output_norm.weight"},
        {post && !w->token_embd_norm_w.v, NULL, "token_embd_norm.weight"},
        {biased && w->output_norm_w.v && !w->output_norm_b.v, a->tensor_prefix, "output_norm.bias"},
        {biased && w->token_embd_norm_w.v && !w->token_embd_norm_b.v, NULL, "token_embd_norm.bias"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        ST_FAIL_IF(rules[i].missing, b->err, STRATA_CORRUPT_MODEL, "%s: no tensor '%s%s'", b->g->name,
                   rules[i].prefix ? rules[i].prefix : "", rules[i].name);
    return STRATA_OK;
}

/* Facts that span tensors. */
static int check_special(const st_binder *b)
{
    st_weights *w = b->w;
    const st_config *c = b->c;
    ST_FAIL_IF(c->arch->relative_bias && !w->layers[0].attn_rel_b, b->err, STRATA_CORRUPT_MODEL,
               "%s: no tensor '%sblk.0.attn_rel_b.weight'", b->g->name,
               c->arch->tensor_prefix ? c->arch->tensor_prefix : "");
    if (w->layers[0].attn_rel_b) {
        /* Half of them are for keys before a query, half for those after it. */
        unsigned long long n = w->layers[0].attn_rel_b->dims[1];
        ST_FAIL_IF(
            n < 2 || n > 65536 || n % 2, b->err, STRATA_CORRUPT_MODEL,
            "%s: tensor 'blk.0.attn_rel_b.weight' has %llu buckets of distances, want an even number of 2..65536",
            b->g->name, n);
    }
    ST_FAIL_IF((w->rope_factors_short.v == NULL) != (w->rope_factors_long.v == NULL), b->err, STRATA_CORRUPT_MODEL,
               "%s: only one of rope_factors_short and rope_factors_long is there", b->g->name);
    /* After attention_output_norm: a norm of the layer's input plus that (jina-embeddings-v2-base-code). */
    const st_layer *first = &w->layers[0];
    bool second = first->attn_norm_2_w.v && first->attn_output_norm_w.v && first->ffn_gate;
    ST_FAIL_IF(
        first->attn_norm_2_w.v && !c->arch->swapped_norms && !second, b->err, STRATA_UNSUPPORTED_OP,
        "%s: tensor 'blk.0.attn_norm_2.weight' is not supported for architecture '%s'%s", b->g->name, c->arch->name,
        first->attn_output_norm_w.v ? " without 'blk.0.ffn_gate.weight': convert it anew with gate and up apart" : "");
    ST_FAIL_IF(first->attn_sinks.v && (c->attn_softcap > 0 || c->alibi_max > 0 || c->arch->relative_bias), b->err,
               STRATA_UNSUPPORTED_OP,
               "%s: tensor 'blk.0.attn_sinks.weight': sinks beside a softcap or a bias by distance are not supported",
               b->g->name);
    uint32_t q = c->n_head * c->d_head_k;
    for (uint32_t il = 0; il < c->n_layer; il++) {
        st_layer *l = &w->layers[il];
        /* [d, n_head] is a norm of each head, with its own weights; [n_head*d] is one norm of the row. The two differ
         * in the file's dims only. */
        char name[64];
        snprintf(name, sizeof name, "blk.%u.attn_q_norm.weight", il);
        const st_gguf_tensor *t = st_gguf_tensor_find(b->g, name);
        if (c->arch->post_attention_is_ffn_norm && !l->ffn_norm_w.v) {
            l->ffn_norm_w = l->post_attention_norm;
            l->post_attention_norm = (st_vec){0};
        }
        l->qk_norm_row = t && t->n_dims == 1 && t->dims[0] == q && c->n_head > 1;
    }
    return STRATA_OK;
}

/* Of a layer past the last: it guesses the token after the next, which nothing here asks for. */
static bool check_is_extra(const st_binder *b, st_str name)
{
    uint64_t il = 0;
    size_t i = 4;
    if (b->c->n_extra == 0 || name.len < 6 || memcmp(name.ptr, "blk.", 4) != 0) return false;
    for (; i < name.len && i < 10 && name.ptr[i] >= '0' && name.ptr[i] <= '9'; i++)
        il = il * 10 + (uint64_t)(name.ptr[i] - '0');
    return i < name.len && name.ptr[i] == '.' && il >= b->c->n_layer && il - b->c->n_layer < b->c->n_extra;
}

static int check_used(const st_binder *b)
{
    char name[ST_STR_PRINT];
    if (b->c->n_extra)
        st_log_write(b->log, STRATA_LOG_INFO, "%s: the last %u layers predict further tokens and are not used",
                     b->g->name, b->c->n_extra);
    for (size_t i = 0; i < b->g->n_tensors; i++)
        ST_FAIL_IF(!b->used[i] && !check_is_extra(b, b->g->tensors[i].name), b->err, STRATA_UNSUPPORTED_OP,
                   "%s: tensor '%s' is not known for architecture '%s': the model needs more than this version does",
                   b->g->name, st_str_print(b->g->tensors[i].name, name), b->c->arch->name);
    return STRATA_OK;
}

int st_check_layers(const st_binder *b)
{
    for (uint32_t il = 0; il < b->c->n_layer; il++) ST_TRY(check_layer(b, il));
    return STRATA_OK;
}

int st_check_whole(const st_binder *b)
{
    ST_TRY(check_globals(b));
    ST_TRY(check_special(b));
    return check_used(b);
}
