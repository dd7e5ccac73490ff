/* plan.h: the model as a flat list of coarse ops; the layer is written once, in plan.c.
 *
 * A plan is made once per model, knows nothing of devices or batches, and never changes. Ops read and write named slots:
 *
 *     X [n_tokens, n_embd]     the residual stream
 *     N [n_tokens, n_embd]     what the next LINEAR reads: a norm of X, or X
 *     QKV [n_tokens, q|k|v]    queries, keys, values side by side
 *     A [n_tokens, n_head*d_head_v]   attention's output
 *     Y [n_tokens, n_embd]     a branch before it is added to X
 *     H [n_tokens, n_ff]       inside the FFN
 *     P, P2 [n_texts, *]       pooled vectors, in and out of the heads after pooling
 *     OUT [n_tokens, n_vocab]  logits
 *
 * ops[0..n_body) end with the final norm in N; then ops[pool..logits) turn N into pooled vectors, and ops[logits..n_ops)
 * turn N into logits. A backend runs the body and one of the tails, or stops after the body for hidden states. */
#ifndef ST_MODEL_PLAN_H
#define ST_MODEL_PLAN_H

#include "model/weights.h"

typedef enum st_slot {
    ST_SLOT_X,
    ST_SLOT_N,
    ST_SLOT_QKV,
    ST_SLOT_A,
    ST_SLOT_Y,
    ST_SLOT_H,
    ST_SLOT_P,
    ST_SLOT_P2,
    ST_SLOT_OUT,
    ST_SLOT_COUNT
} st_slot;

typedef enum st_op_kind { /* at most 16 */
    ST_OP_EMBED,
    ST_OP_NORM,
    ST_OP_LINEAR,
    ST_OP_QK,
    ST_OP_ATTN,
    ST_OP_RESID,
    ST_OP_POOL,
    ST_OP_KIND_COUNT
} st_op_kind;

typedef struct st_norm {
    st_norm_kind kind; /* NONE: a copy */
    st_vec w, b;       /* [n] or absent */
    float eps;
} st_norm;

/* Rows row..row+n of a matrix: one product that ends in columns col.. of the op's output. */
typedef struct st_part {
    st_mat m;
    uint32_t row, n;
    uint32_t col;
    uint32_t planes;   /* of activations that meet quantised weights: 1, or 2 where one costs accuracy */
    const float *bias; /* [n] or NULL */
} st_part;

#define ST_MAX_PARTS 3

/* X = scale * token row (+ type row + position row), then the norm; N = next(X). */
typedef struct st_op_embed {
    float scale;
    st_mat tokens, types, positions;
    st_norm norm, next;
} st_op_embed;

/* out = parts side by side, or, if glu, out = act(part 0) * part 1. in [rows, k] -> out [rows, n]. */
typedef struct st_op_linear {
    uint32_t k, n; /* n: columns of out */
    uint32_t n_parts;
    st_part parts[ST_MAX_PARTS];
    st_act act;
    bool glu;
    bool exact; /* float activations in every precision: heads after pooling */
} st_op_linear;

/* In place on QKV: norm of each head of q and k, then rope by position. */
typedef struct st_op_qk {
    uint32_t n_head, n_head_kv, d_head, n_rot;
    st_norm q_norm, k_norm; /* over d_head */
    st_rope_kind rope;
    uint32_t rope_class; /* index into st_config.rope */
} st_op_qk;

/* QKV -> A. */
typedef struct st_op_attn {
    uint32_t n_head, n_head_kv, d_head_k, d_head_v;
    float scale;
    bool causal;
    uint32_t window; /* 0: none */
    st_window_kind window_kind;
} st_op_attn;

/* X = sum(X + branch(Y)), N = next(X). */
typedef struct st_op_resid {
    st_norm branch; /* of Y before it is added: sandwich norms */
    st_norm sum;    /* of the sum, replacing X: post-norm */
    st_norm next;   /* what the next op reads */
} st_op_resid;

/* N -> P, by the batch's pooling. */
typedef struct st_op {
    st_op_kind kind;
    int layer; /* -1: outside the layers */
    st_slot in, out;
    union {
        st_op_embed embed;
        st_norm norm;
        st_op_linear linear;
        st_op_qk qk;
        st_op_attn attn;
        st_op_resid resid;
    };
} st_op;

typedef struct st_plan {
    const st_config *config;
    uint32_t width[ST_SLOT_COUNT]; /* columns of each slot, 0: not used */
    st_op *ops;
    uint32_t n_ops, cap_ops;
    uint32_t n_body;     /* the body ends here */
    uint32_t pool;       /* first op of the pooled tail */
    uint32_t logits;     /* first op of the logits tail; n_ops if the model has no head */
    uint32_t n_embd_out; /* columns of a pooled vector */
    st_slot pooled;      /* where the pooled tail leaves it */
    st_mem *mem;
} st_plan;

/* Compiles config and weights, both of which the plan points into. Errors: NO_MEMORY. */
int st_plan_build(const st_config *c, const st_weights *w, st_mem *mem, st_plan *p, strata_error *err);
void st_plan_free(st_plan *p);

const char *st_op_name(st_op_kind kind);
const char *st_slot_name(st_slot slot);

/* One line an op, for people. */
void st_plan_print(const st_plan *p, strata_write_fn write, void *user);

#endif
