/* plan.c: the emitter: config + weights -> ops. Presence of a tensor decides; names of architectures do not appear. */
#include "model/plan.h"

#include <string.h>

typedef struct emitter {
    st_plan *p;
    const st_config *c;
    const st_weights *w;
    strata_error *err;
} emitter;

static int plan_emit(emitter *e, st_op op)
{
    st_plan *p = e->p;
    size_t cap = p->cap_ops;
    ST_FAIL_IF(!st_grow(p->mem, &p->ops, &cap, (size_t)p->n_ops + 1, p->n_ops, sizeof op), e->err, STRATA_NO_MEMORY,
               "no memory for the plan");
    p->cap_ops = (uint32_t)cap;
    p->ops[p->n_ops++] = op;
    return STRATA_OK;
}

static st_norm plan_norm_of(const emitter *e, st_vec w, st_vec b)
{
    if (!w.v) return (st_norm){.kind = ST_NORM_NONE};
    return (st_norm){.kind = e->c->arch->norm, .w = w, .b = b, .eps = e->c->norm_eps};
}

static st_norm plan_norm_w(const emitter *e, st_vec w)
{
    return plan_norm_of(e, w, (st_vec){0});
}

/* What the branches of a layer read. Most have one norm; a parallel residual may have two of the same stream. */
typedef struct entry_norms {
    st_norm first, second;
    bool two;
} entry_norms;

/* Attention and FFN read the same stream: told by its key, or by a layer that has one norm for both. */
static bool plan_is_parallel(const emitter *e, const st_layer *l)
{
    bool ffn_normed = l->ffn_norm_w.v || l->layer_output_norm_w.v || l->post_ffw_norm.v;
    return e->c->parallel || (l->attn_norm_w.v && !ffn_normed);
}

/* Of layer il, or, past the last layer, the final norm. */
static entry_norms plan_norms_before(const emitter *e, uint32_t il)
{
    if (il == e->c->n_layer) return (entry_norms){.first = plan_norm_of(e, e->w->output_norm_w, e->w->output_norm_b)};
    const st_layer *l = &e->w->layers[il];
    entry_norms n = {.first = plan_norm_of(e, l->attn_norm_w, l->attn_norm_b)};
    if (!plan_is_parallel(e, l)) return n;
    if (l->attn_norm_2_w.v) {
        n.second = n.first;
        n.first = plan_norm_of(e, l->attn_norm_2_w, l->attn_norm_2_b);
        n.two = true;
    } else if (l->ffn_norm_w.v) {
        n.second = plan_norm_of(e, l->ffn_norm_w, l->ffn_norm_b);
        n.two = true;
    }
    return n;
}

static st_part plan_part_of(st_mat m, uint32_t row, uint32_t n, uint32_t col, st_vec bias, uint32_t planes)
{
    return (st_part){.m = m, .row = row, .n = n, .col = col, .planes = planes, .bias = bias.v ? bias.v + row : NULL};
}

/* Two planes where one costs accuracy (measured against HF on the same weights, MiniLM 86 texts, worst cosine: one
 * plane everywhere 0.99851; values in two 0.99933; values and FFN-up 0.99980; decoders want FFN-down: perplexity
 * +0.43 % -> +0.20 %). Values always: pooling and the residual stream are linear in them. FFN-up in post-norm layers,
 * whose input is the normed stream itself; FFN-down in decoders. */
static uint32_t plan_planes_up(const st_layer *l)
{
    return l->layer_output_norm_w.v ? 2 : 1;
}
static uint32_t plan_planes_down(const st_config *c)
{
    return c->causal ? 2 : 1;
}

static int plan_emit_qkv(emitter *e, const st_layer *l, int il)
{
    const st_config *c = e->c;
    uint32_t q = c->n_head * c->d_head_k, k = c->n_head_kv * c->d_head_k, v = c->n_head_kv * c->d_head_v;
    st_op_linear op = {.k = c->n_embd, .n = q + k + v, .n_parts = 3, .scale = 1.0f};
    if (l->attn_qkv) {
        op.parts[0] = plan_part_of(l->attn_qkv, 0, q, 0, l->attn_qkv_b, 1);
        op.parts[1] = plan_part_of(l->attn_qkv, q, k, q, l->attn_qkv_b, 1);
        op.parts[2] = plan_part_of(l->attn_qkv, q + k, v, q + k, l->attn_qkv_b, 2);
    } else {
        op.parts[0] = plan_part_of(l->attn_q, 0, q, 0, l->attn_q_b, 1);
        op.parts[1] = plan_part_of(l->attn_k, 0, k, q, l->attn_k_b, 1);
        op.parts[2] = plan_part_of(l->attn_v, 0, v, q + k, l->attn_v_b, 2);
    }
    return plan_emit(e, (st_op){.kind = ST_OP_LINEAR, .layer = il, .in = ST_SLOT_N, .out = ST_SLOT_QKV, .linear = op});
}

static int plan_emit_plain(emitter *e, st_mat m, int il, st_slot in, st_slot out, uint32_t planes)
{
    st_op_linear op = {.k = (uint32_t)m->dims[0], .n = (uint32_t)m->dims[1], .n_parts = 1, .scale = 1.0f};
    op.parts[0] = plan_part_of(m, 0, op.n, 0, (st_vec){0}, planes);
    return plan_emit(e, (st_op){.kind = ST_OP_LINEAR, .layer = il, .in = in, .out = out, .linear = op});
}

static int plan_emit_heads(emitter *e, st_mat m, int il, st_slot in, uint32_t in_stride, st_slot out,
                           uint32_t out_stride)
{
    st_op_heads op = {.n_head = e->c->n_head,
                      .k = (uint32_t)m->dims[0],
                      .n = (uint32_t)m->dims[1],
                      .in_stride = in_stride,
                      .out_stride = out_stride,
                      .exact = in_stride % 32 != 0 || m->dims[0] % 32 != 0};
    op.part = plan_part_of(m, 0, op.n_head * op.n, 0, (st_vec){0}, 2);
    return plan_emit(e, (st_op){.kind = ST_OP_HEADS, .layer = il, .in = in, .out = out, .heads = op});
}

/* Queries, keys and values by way of latents. Where a file has k_up turned, a query is taken to the latents instead of
 * each latent to a key, and attention is that of one key head (DeepSeek-V2 paper, section 2.1.2). Latents carry the
 * values: two planes. */
static int plan_emit_latent(emitter *e, const st_layer *l, int il, bool windowed)
{
    const st_config *c = e->c;
    st_slot q = c->absorbed ? ST_SLOT_Q : ST_SLOT_QKV;
    if (l->q_down) {
        ST_TRY(plan_emit_plain(e, l->q_down, il, ST_SLOT_N, ST_SLOT_L, 1));
        ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_NORM,
                                    .layer = il,
                                    .in = ST_SLOT_L,
                                    .out = ST_SLOT_L,
                                    .norm = plan_norm_w(e, l->q_down_norm)}));
        ST_TRY(plan_emit_plain(e, l->q_up, il, ST_SLOT_L, q, 1));
    } else {
        ST_TRY(plan_emit_plain(e, l->attn_q, il, ST_SLOT_N, q, 1));
    }
    ST_TRY(plan_emit_plain(e, l->kv_down, il, ST_SLOT_N, ST_SLOT_C, 2));
    ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_NORM,
                                .layer = il,
                                .in = ST_SLOT_C,
                                .out = ST_SLOT_C,
                                .norm = plan_norm_w(e, l->kv_down_norm)}));
    if (!c->absorbed) ST_TRY(plan_emit_plain(e, l->kv_up, il, ST_SLOT_C, ST_SLOT_KV, 2));
    st_op_latent op = {.n_head = c->n_head,
                       .d_latent = c->n_latent,
                       .d_nope = c->d_nope,
                       .n_rot = c->n_rot,
                       .d_value = c->d_value,
                       .n = (c->n_head + c->n_head_kv) * c->d_head_k + c->n_head_kv * c->d_head_v,
                       .absorbed = c->absorbed,
                       .rope = c->arch->rope,
                       .rope_class = windowed ? 1 : 0};
    ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_LATENT, .layer = il, .in = ST_SLOT_C, .out = ST_SLOT_QKV, .latent = op}));
    if (!c->absorbed) return STRATA_OK;
    return plan_emit_heads(e, l->k_up, il, ST_SLOT_Q, c->d_nope + c->n_rot, ST_SLOT_QKV, c->d_head_k);
}

static st_act plan_act_of(const st_config *c, bool gated)
{
    return !gated && c->arch->act_ungated != ST_ACT_NONE ? c->arch->act_ungated : c->arch->act;
}

static int plan_emit_ffn(emitter *e, const st_layer *l, int il, st_slot from, bool accumulate)
{
    const st_config *c = e->c;
    uint32_t ff = c->n_ff, up = plan_planes_up(l);
    bool fused = l->ffn_up->dims[1] == 2 * (uint64_t)ff, gated = fused || l->ffn_gate;
    st_op_linear in = {
        .k = c->n_embd, .n = ff, .n_parts = 1, .act = plan_act_of(c, gated), .glu = gated, .scale = 1.0f};
    if (fused) {
        in.parts[0] = plan_part_of(l->ffn_up, 0, ff, 0, l->ffn_up_b, up);
        in.parts[1] = plan_part_of(l->ffn_up, ff, ff, 0, l->ffn_up_b, up);
        in.n_parts = 2;
    } else if (l->ffn_gate) {
        in.parts[0] = plan_part_of(l->ffn_gate, 0, ff, 0, l->ffn_gate_b, up);
        in.parts[1] = plan_part_of(l->ffn_up, 0, ff, 0, l->ffn_up_b, up);
        in.n_parts = 2;
    } else {
        in.parts[0] = plan_part_of(l->ffn_up, 0, ff, 0, l->ffn_up_b, up);
    }
    ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_LINEAR, .layer = il, .in = from, .out = ST_SLOT_H, .linear = in}));
    st_op_linear down = {.k = ff, .n = c->n_embd, .n_parts = 1, .scale = 1.0f, .accumulate = accumulate};
    down.parts[0] = plan_part_of(l->ffn_down, 0, c->n_embd, 0, l->ffn_down_b, plan_planes_down(c));
    return plan_emit(e, (st_op){.kind = ST_OP_LINEAR, .layer = il, .in = ST_SLOT_H, .out = ST_SLOT_Y, .linear = down});
}

static int plan_emit_moe(emitter *e, const st_layer *l, int il)
{
    const st_config *c = e->c;
    uint32_t all_ff = c->n_expert * c->n_ff_expert, all_embd = c->n_expert * c->n_embd;
    st_op_moe op = {.n_expert = c->n_expert,
                    .n_used = c->n_expert_used,
                    .k = c->n_embd,
                    .n_ff = c->n_ff_expert,
                    .act = plan_act_of(c, l->ffn_gate_exps),
                    .choice_bias = l->exp_probs_b.v,
                    .n_group = c->n_group,
                    .n_group_used = c->n_group_used,
                    .sigmoid = c->expert_sigmoid,
                    .normalize = c->expert_normalize,
                    .scale = c->expert_scale};
    st_vec none = {0};
    op.parts[ST_MOE_ROUTER] = plan_part_of(l->ffn_gate_inp, 0, c->n_expert, 0, l->ffn_gate_inp_b, 1);
    if (l->ffn_gate_exps)
        op.parts[ST_MOE_GATE] = plan_part_of(l->ffn_gate_exps, 0, all_ff, 0, l->ffn_gate_exps_b, plan_planes_up(l));
    op.parts[ST_MOE_UP] = plan_part_of(l->ffn_up_exps, 0, all_ff, 0, l->ffn_up_exps_b, plan_planes_up(l));
    op.parts[ST_MOE_DOWN] = plan_part_of(l->ffn_down_exps, 0, all_embd, 0, l->ffn_down_exps_b, plan_planes_down(c));
    if (l->ffn_up_shexp) {
        op.n_ff_shared = c->n_ff_shared;
        if (l->ffn_gate_inp_shexp)
            op.parts[ST_MOE_SHARED_ROUTER] = plan_part_of(l->ffn_gate_inp_shexp, 0, 1, 0, none, 1);
        op.parts[ST_MOE_SHARED_GATE] = plan_part_of(l->ffn_gate_shexp, 0, c->n_ff_shared, 0, none, plan_planes_up(l));
        op.parts[ST_MOE_SHARED_UP] = plan_part_of(l->ffn_up_shexp, 0, c->n_ff_shared, 0, none, plan_planes_up(l));
        op.parts[ST_MOE_SHARED_DOWN] = plan_part_of(l->ffn_down_shexp, 0, c->n_embd, 0, none, plan_planes_down(c));
    }
    return plan_emit(e, (st_op){.kind = ST_OP_MOE, .layer = il, .in = ST_SLOT_N, .out = ST_SLOT_Y, .moe = op});
}

static int plan_emit_resid(emitter *e, int il, st_norm branch, st_norm sum, entry_norms next)
{
    return plan_emit(e, (st_op){.kind = ST_OP_RESID,
                                .layer = il,
                                .in = ST_SLOT_Y,
                                .out = ST_SLOT_N,
                                .resid = {.branch = branch,
                                          .sum = sum,
                                          .next = next.first,
                                          .next2 = next.second,
                                          .has_next2 = next.two,
                                          .scale = e->c->residual_scale}});
}

/* After attention, before the FFN. */
static int plan_emit_attn_resid(emitter *e, const st_layer *l, int il)
{
    st_norm branch = plan_norm_w(e, l->post_attention_norm),
            sum = plan_norm_of(e, l->attn_output_norm_w, l->attn_output_norm_b);
    bool twice = sum.kind != ST_NORM_NONE && l->attn_norm_2_w.v;
    if (twice) {
        branch = sum;
        sum = plan_norm_of(e, l->attn_norm_2_w, l->attn_norm_2_b);
    }
    entry_norms next = {.first = plan_norm_of(e, l->ffn_norm_w, l->ffn_norm_b)};
    ST_TRY(plan_emit_resid(e, il, branch, sum, next));
    e->p->ops[e->p->n_ops - 1].resid.branch_of_sum = twice;
    return STRATA_OK;
}

static int plan_emit_qk(emitter *e, const st_layer *l, uint32_t index, bool windowed)
{
    const st_config *c = e->c;
    uint32_t nope = c->arch->nope_pattern;
    bool still = (nope && (index + 1) % nope == 0) || (c->arch->nope_full && c->window && !windowed);
    bool rotates = c->arch->rope != ST_ROPE_NONE && !still;
    if (!rotates && !l->attn_q_norm_w.v && c->temperature == 0) return STRATA_OK;
    st_op_qk op = {.n_head = c->n_head,
                   .n_head_kv = c->n_head_kv,
                   .d_head = c->d_head_k,
                   .n_rot = c->n_rot,
                   .q_norm = plan_norm_of(e, l->attn_q_norm_w, l->attn_q_norm_b),
                   .k_norm = plan_norm_of(e, l->attn_k_norm_w, l->attn_k_norm_b),
                   .norm_last = c->arch->qk_norm_last,
                   .temperature = c->temperature,
                   .temperature_span = c->temperature_span,
                   .rope = rotates ? c->arch->rope : ST_ROPE_NONE,
                   .rope_class = windowed ? 1 : 0};
    if (l->attn_q_norm_w.n > c->d_head_k) op.span = l->qk_norm_row ? ST_QK_NORM_ROW : ST_QK_NORM_OWN_HEAD;
    return plan_emit(e,
                     (st_op){.kind = ST_OP_QK, .layer = (int)index, .in = ST_SLOT_QKV, .out = ST_SLOT_QKV, .qk = op});
}

static int plan_emit_attn(emitter *e, const st_layer *l, uint32_t index, bool windowed)
{
    const st_config *c = e->c;
    st_op_attn op = {.n_head = c->n_head,
                     .n_head_kv = c->n_head_kv,
                     .d_head_k = c->d_head_k,
                     .d_head_v = c->d_head_v,
                     .scale = c->attn_scale,
                     .causal = c->causal,
                     .window = windowed ? c->window : 0,
                     .window_kind = c->arch->window,
                     .softcap = c->attn_softcap,
                     .alibi_max = c->alibi_max,
                     .rel_bias = l->attn_rel_b ? l->attn_rel_b : e->w->layers[0].attn_rel_b,
                     .sinks = l->attn_sinks.v};
    ST_TRY(plan_emit(
        e, (st_op){.kind = ST_OP_ATTN, .layer = (int)index, .in = ST_SLOT_QKV, .out = ST_SLOT_A, .attn = op}));
    st_slot from = ST_SLOT_A;
    if (l->v_up) {
        from = ST_SLOT_Q;
        ST_TRY(plan_emit_heads(e, l->v_up, (int)index, ST_SLOT_A, c->d_head_v, from, c->d_value));
    }
    uint32_t d_value = c->n_latent ? c->d_value : c->d_head_v;
    st_op_linear out = {.k = c->n_head * d_value, .n = c->n_embd, .n_parts = 1, .scale = 1.0f};
    out.parts[0] = plan_part_of(l->attn_output, 0, c->n_embd, 0, l->attn_output_b, 1);
    return plan_emit(e,
                     (st_op){.kind = ST_OP_LINEAR, .layer = (int)index, .in = from, .out = ST_SLOT_Y, .linear = out});
}

static int plan_emit_layer(emitter *e, uint32_t index)
{
    const st_layer *l = &e->w->layers[index];
    int il = (int)index;
    bool windowed = st_config_windowed(e->c, index), parallel = plan_is_parallel(e, l);
    if (e->c->n_latent) {
        ST_TRY(plan_emit_latent(e, l, il, windowed));
    } else {
        ST_TRY(plan_emit_qkv(e, l, il));
        ST_TRY(plan_emit_qk(e, l, index, windowed));
    }
    ST_TRY(plan_emit_attn(e, l, index, windowed));
    if (parallel) {
        ST_TRY(plan_emit_ffn(e, l, il, plan_norms_before(e, index).two ? ST_SLOT_N2 : ST_SLOT_N, true));
    } else {
        ST_TRY(plan_emit_attn_resid(e, l, il));
        ST_TRY(l->ffn_gate_inp ? plan_emit_moe(e, l, il) : plan_emit_ffn(e, l, il, ST_SLOT_N, false));
    }
    return plan_emit_resid(e, il, plan_norm_w(e, l->post_ffw_norm),
                           plan_norm_of(e, l->layer_output_norm_w, l->layer_output_norm_b),
                           plan_norms_before(e, index + 1));
}

/* A head after pooling: float activations, since it runs once a text and alone would cost a third of the int8 error. */
static int plan_emit_head(emitter *e, st_mat m, st_vec bias, st_act act, st_slot in, st_slot out)
{
    st_op_linear op = {
        .k = (uint32_t)m->dims[0], .n = (uint32_t)m->dims[1], .n_parts = 1, .act = act, .exact = true, .scale = 1.0f};
    op.parts[0] = plan_part_of(m, 0, op.n, 0, bias, 1);
    return plan_emit(e, (st_op){.kind = ST_OP_LINEAR, .layer = -1, .in = in, .out = out, .linear = op});
}

static int plan_emit_pooled(emitter *e)
{
    const st_weights *w = e->w;
    st_plan *p = e->p;
    ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_POOL, .layer = -1, .in = ST_SLOT_N, .out = ST_SLOT_P}));
    p->n_embd_out = e->c->n_embd;
    p->pooled = ST_SLOT_P;
    if (!w->dense_2) return STRATA_OK;
    ST_TRY(plan_emit_head(e, w->dense_2, (st_vec){0}, ST_ACT_NONE, ST_SLOT_P, ST_SLOT_P2));
    ST_TRY(plan_emit_head(e, w->dense_3, (st_vec){0}, ST_ACT_NONE, ST_SLOT_P2, ST_SLOT_P));
    p->n_embd_out = (uint32_t)w->dense_3->dims[1];
    return STRATA_OK;
}

/* Other outputs are of no use: they were trained on what the rest of the head makes of the pooled vector. */
static const char *plan_head_lacks(const emitter *e)
{
    const st_arch *a = e->c->arch;
    if (a->cls_dense && !e->w->cls) return "tensor 'cls.weight', its dense layer";
    if (a->cls_norm && !e->w->cls_norm.v) return "tensor 'cls.norm.weight', its norm";
    bool known = e->c->causal || a->rank_pooling != STRATA_POOLING_DEFAULT;
    return known ? NULL : "form that is known for this architecture";
}

static int plan_emit_ranked(emitter *e)
{
    const st_weights *w = e->w;
    const st_arch *a = e->c->arch;
    if (!w->cls_output) return STRATA_OK;
    e->p->head_lacks = plan_head_lacks(e);
    if (e->p->head_lacks) return STRATA_OK;
    strata_pooling kind = a->rank_pooling;
    /* Of a decoder only the last token has seen the whole text. */
    if (kind == STRATA_POOLING_DEFAULT) kind = e->c->causal ? STRATA_POOLING_LAST : STRATA_POOLING_CLS;
    ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_POOL, .layer = -1, .in = ST_SLOT_N, .out = ST_SLOT_P, .pool = {kind}}));
    st_slot at = ST_SLOT_P;
    if (w->cls) {
        ST_TRY(plan_emit_head(e, w->cls, w->cls_b, a->cls_act, ST_SLOT_P, ST_SLOT_P2));
        at = ST_SLOT_P2;
    }
    if (w->cls_norm.v)
        ST_TRY(plan_emit(
            e, (st_op){.kind = ST_OP_NORM, .layer = -1, .in = at, .out = at, .norm = plan_norm_w(e, w->cls_norm)}));
    e->p->ranked = at == ST_SLOT_P ? ST_SLOT_P2 : ST_SLOT_P;
    e->p->n_labels = (uint32_t)w->cls_output->dims[1];
    return plan_emit_head(e, w->cls_output, w->cls_output_b, ST_ACT_NONE, at, e->p->ranked);
}

static int plan_emit_logits(emitter *e)
{
    const st_config *c = e->c;
    const st_weights *w = e->w;
    /* A decoder without an output matrix ties its head to the embeddings; encoders and embedders have none. */
    bool generates = c->causal && c->pooling == STRATA_POOLING_NONE;
    st_mat head = w->output ? w->output : generates ? w->token_embd : NULL;
    if (!head) return STRATA_OK;
    st_op_linear op = {
        .k = c->n_embd, .n = w->n_vocab, .n_parts = 1, .scale = c->logit_scale, .softcap = c->logit_softcap};
    /* Two planes: a decode step waits for the head's memory, not for its products. */
    op.parts[0] = plan_part_of(head, 0, w->n_vocab, 0, w->output_b, 2);
    ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_GATHER, .layer = -1, .in = ST_SLOT_N, .out = ST_SLOT_N}));
    return plan_emit(e, (st_op){.kind = ST_OP_LINEAR, .layer = -1, .in = ST_SLOT_N, .out = ST_SLOT_OUT, .linear = op});
}

static int plan_emit_model(emitter *e)
{
    const st_config *c = e->c;
    const st_weights *w = e->w;
    st_plan *p = e->p;
    entry_norms first = plan_norms_before(e, 0);
    ST_TRY(plan_emit(e, (st_op){.kind = ST_OP_EMBED,
                                .layer = -1,
                                .in = ST_SLOT_X,
                                .out = ST_SLOT_N,
                                .embed = {.scale = c->embed_scale,
                                          .tokens = w->token_embd,
                                          .types = w->token_types,
                                          .positions = w->position_embd,
                                          .norm = plan_norm_of(e, w->token_embd_norm_w, w->token_embd_norm_b),
                                          .next = first.first,
                                          .next2 = first.second,
                                          .has_next2 = first.two}}));
    for (uint32_t il = 0; il < c->n_layer; il++) ST_TRY(plan_emit_layer(e, il));
    p->n_body = p->pool = p->n_ops;
    ST_TRY(plan_emit_pooled(e));
    p->rank = p->n_ops;
    ST_TRY(plan_emit_ranked(e));
    p->logits = p->n_ops;
    return plan_emit_logits(e);
}

const st_part *st_op_part(const st_op *op, uint32_t i, uint32_t *k)
{
    if (op->kind == ST_OP_LINEAR && i < op->linear.n_parts) {
        *k = op->linear.k;
        return &op->linear.parts[i];
    }
    if (op->kind == ST_OP_HEADS && i == 0) {
        *k = op->heads.k;
        return &op->heads.part;
    }
    if (op->kind == ST_OP_MOE && i < ST_OP_PARTS) {
        *k = i == ST_MOE_DOWN ? op->moe.n_ff : i == ST_MOE_SHARED_DOWN ? op->moe.n_ff_shared : op->moe.k;
        return &op->moe.parts[i];
    }
    return NULL;
}

static void plan_size_slots(st_plan *p)
{
    p->width[ST_SLOT_X] = p->width[ST_SLOT_N] = p->width[ST_SLOT_P] = p->config->n_embd;
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const st_op *op = &p->ops[i];
        uint32_t n = 0;
        if (op->kind == ST_OP_LINEAR) n = op->linear.n;
        if (op->kind == ST_OP_LATENT) n = op->latent.n;
        if (op->kind == ST_OP_HEADS) n = (op->heads.n_head - 1) * op->heads.out_stride + op->heads.n;
        if (op->kind == ST_OP_RESID || op->kind == ST_OP_EMBED) {
            bool two = op->kind == ST_OP_RESID ? op->resid.has_next2 : op->embed.has_next2;
            if (two) p->width[ST_SLOT_N2] = p->config->n_embd;
        }
        if (op->kind == ST_OP_MOE) {
            uint32_t ff = op->moe.n_ff > op->moe.n_ff_shared ? op->moe.n_ff : op->moe.n_ff_shared;
            if (ff > p->width[ST_SLOT_H]) p->width[ST_SLOT_H] = ff;
            n = op->moe.k;
            p->width[ST_SLOT_R] = op->moe.n_expert + 1;
            p->width[ST_SLOT_G] = p->width[ST_SLOT_E] = op->moe.k;
        }
        if (op->kind == ST_OP_ATTN) n = op->attn.n_head * op->attn.d_head_v;
        if (n > p->width[op->out]) p->width[op->out] = n;
    }
}

int st_plan_build(const st_config *c, const st_weights *w, st_mem *mem, st_plan *p, strata_error *err)
{
    *p = (st_plan){.config = c, .weights = w, .mem = mem};
    emitter e = {.p = p, .c = c, .w = w, .err = err};
    int rc = plan_emit_model(&e);
    if (rc)
        st_plan_free(p);
    else
        plan_size_slots(p);
    return rc;
}

void st_plan_free(st_plan *p)
{
    if (p->mem) st_free(p->mem, p->ops);
    *p = (st_plan){0};
}
