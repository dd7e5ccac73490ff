/* plan.h: the model as a flat list of coarse ops; the layer is written once, in plan.c.
 *
 * A plan is made once per model, knows nothing of devices or batches, and never changes. Ops read and write named
 * slots:
 *
 *     X [n_tokens, n_embd]     the residual stream
 *     N [n_tokens, n_embd]     what the next LINEAR reads: a norm of X, or X
 *     N2 [n_tokens, n_embd]    a second norm of X, where attention and FFN read different ones
 *     QKV [n_tokens, q|k|v]    queries, keys, values side by side
 *     A [n_tokens, n_head*d_head_v]   attention's output
 *     L [n_tokens, n_latent_q] what latent queries are made of
 *     Q [n_tokens, *]          queries that are to meet latents; then, of each head, its value
 *     C [n_tokens, n_latent + n_rot]  latents, and what rotates of their keys
 *     KV [n_tokens, *]         keys and values of each head, made of latents
 *     Y [n_tokens, n_embd]     a branch before it is added to X
 *     H [n_tokens, n_ff]       inside the FFN
 *     R [n_tokens, n_expert+1] what the router says, then each expert's weight; the last is the shared expert's
 *     G, E [n_tokens, n_embd]  rows gathered for one expert, and what it makes of them
 *     P, P2 [n_texts, *]       pooled vectors, in and out of the heads after pooling
 *     OUT [n_tokens, n_vocab]  logits
 *
 * ops[0..n_body) end with the final norm in N; then ops[pool..rank) turn N into pooled vectors, ops[rank..logits) into
 * the raw outputs of a classification head, and ops[logits..n_ops) into logits. A backend runs the body and one of the
 * tails, or stops after the body for hidden states. */
#ifndef ST_MODEL_PLAN_H
#define ST_MODEL_PLAN_H

#include "model/weights.h"

typedef enum st_slot {
    ST_SLOT_X,
    ST_SLOT_N,
    ST_SLOT_N2,
    ST_SLOT_QKV,
    ST_SLOT_A,
    ST_SLOT_Y,
    ST_SLOT_H,
    ST_SLOT_R,
    ST_SLOT_G,
    ST_SLOT_E,
    ST_SLOT_L,
    ST_SLOT_Q,
    ST_SLOT_C,
    ST_SLOT_KV,
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
                          ST_OP_MOE,
                          ST_OP_GATHER, /* of N, only the rows whose logits are wanted */
                          ST_OP_POOL,
                          ST_OP_HEADS,  /* a matrix for each head */
                          ST_OP_LATENT, /* rope of latent attention, and its queries, keys and values put together */
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

#define ST_MAX_PARTS 3 /* of a LINEAR */
#define ST_OP_PARTS  8 /* of any op */

/* X = scale * token row (+ type row + position row), then the norm; N = next(X). */
typedef struct st_op_embed {
    float scale;
    st_mat tokens, types, positions;
    st_norm norm, next, next2; /* next2 only if has_next2 */
    bool has_next2;
} st_op_embed;

/* out = parts side by side, or, if glu, out = act(part 0) * part 1. in [rows, k] -> out [rows, n]. */
typedef struct st_op_linear {
    uint32_t k, n; /* n: columns of out */
    uint32_t n_parts;
    st_part parts[ST_MAX_PARTS];
    st_act act;
    bool glu;
    bool exact;      /* float activations in every precision: heads after pooling */
    bool accumulate; /* out += */
    float scale;     /* of the products, before the softcap; 1: none */
    float softcap;   /* softcap * tanh(x / softcap); 0: none */
} st_op_linear;

typedef enum st_qk_norm {
    ST_QK_NORM_HEAD = 0,     /* over each head, the same weights [d_head] for all */
    ST_QK_NORM_OWN_HEAD = 1, /* over each head, its own weights [n_head, d_head] */
    ST_QK_NORM_ROW = 2       /* over the whole row, weights [n_head*d_head] */
} st_qk_norm;

/* In place on QKV: norms of q and k and rope by position, in this order unless norm_last; then queries at p times
 * 1 + temperature * ln(1 + floor(p / span)). */
typedef struct st_op_qk {
    uint32_t n_head, n_head_kv, d_head, n_rot;
    st_norm q_norm, k_norm;
    st_qk_norm span;
    bool norm_last;
    float temperature; /* 0: none */
    uint32_t temperature_span;
    st_rope_kind rope;
    uint32_t rope_class; /* index into st_config.rope */
} st_op_qk;

/* Head h of out = matrix h times head h of in. Heads begin in_stride and out_stride columns apart. */
typedef struct st_op_heads {
    uint32_t n_head, k, n;
    uint32_t in_stride, out_stride;
    st_part part; /* [n_head*n, k] */
    bool exact;   /* float activations in every precision: where heads do not begin at a whole block of 32 */
} st_op_heads;

/* Rotates the last n_rot values of each query and of C, then completes QKV. absorbed: queries are in Q, and each takes
 * its rotated part only, since HEADS writes the rest; the one key is C, the one value its latent. Otherwise queries are
 * in QKV, and KV has each head's key without what rotates, then its value. */
typedef struct st_op_latent {
    uint32_t n_head, d_latent, d_nope, n_rot, d_value;
    uint32_t n; /* columns of QKV */
    bool absorbed;
    st_rope_kind rope;
    uint32_t rope_class;
} st_op_latent;

/* QKV -> A. */
typedef struct st_op_attn {
    uint32_t n_head, n_head_kv, d_head_k, d_head_v;
    float scale;
    bool causal;
    uint32_t window; /* 0: none */
    st_window_kind window_kind;
    float softcap;      /* of scores, 0: none */
    float alibi_max;    /* slopes are 2^(-alibi_max * i / n_head); 0: none */
    st_mat rel_bias;    /* [n_buckets, n_head] added by distance; NULL: none */
    const float *sinks; /* [n_head] a score that counts in the sum alone; NULL: none */
} st_op_attn;

/* X = sum(X + branch(Y)), N = next(X). */
typedef struct st_op_resid {
    st_norm branch;     /* of Y before it is added: sandwich norms */
    bool branch_of_sum; /* of X + Y instead */
    st_norm sum;        /* of the sum, replacing X: post-norm */
    st_norm next;       /* what the next op reads */
    st_norm next2;      /* N2, only if has_next2 */
    bool has_next2;
    float scale; /* of the branch */
} st_op_resid;

typedef enum st_moe_part {
    ST_MOE_GATE, /* of all experts above each other: [n_expert*n_ff, k]; absent: act(up(in)) */
    ST_MOE_UP,
    ST_MOE_DOWN, /* [n_expert*k, n_ff] */
    ST_MOE_SHARED_GATE,
    ST_MOE_SHARED_UP,
    ST_MOE_SHARED_DOWN,
    ST_MOE_ROUTER,       /* [n_expert, k], float activations */
    ST_MOE_SHARED_ROUTER /* [1, k]: how much the shared expert counts, through a sigmoid */
} st_moe_part;

/* out = sum over the chosen experts of weight * down(act(gate(in)) * up(in)), in the order of their indices, plus the
 * shared expert. A gate of the router, softmax over all experts or sigmoid of each, gives their probabilities. Of
 * groups of neighbours the n_group_used best are kept: by the sum of the two largest probabilities + choice_bias, or,
 * without a bias, by the largest. Of what is left the n_used with the largest probability + choice_bias are chosen.
 * Their probabilities, made to sum to 1 if normalize, times scale, are the weights. */
typedef struct st_op_moe {
    uint32_t n_expert, n_used, k, n_ff, n_ff_shared; /* n_ff_shared 0: no shared expert */
    st_part parts[8];                                /* by st_moe_part; m = NULL where there is none; bias [rows] */
    st_act act;
    const float *choice_bias; /* [n_expert] or NULL */
    uint32_t n_group, n_group_used;
    bool sigmoid;
    bool normalize;
    float scale;
} st_op_moe;

/* N -> P. */
typedef struct st_op_pool {
    strata_pooling kind; /* DEFAULT: the batch's */
} st_op_pool;

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
        st_op_moe moe;
        st_op_pool pool;
        st_op_heads heads;
        st_op_latent latent;
    };
} st_op;

typedef struct st_plan {
    const st_config *config;
    const st_weights *weights;
    uint32_t width[ST_SLOT_COUNT]; /* columns of each slot, 0: not used */
    st_op *ops;
    uint32_t n_ops, cap_ops;
    uint32_t n_body;        /* the body ends here */
    uint32_t pool;          /* first op of the pooled tail */
    uint32_t rank;          /* first op of the ranking tail; logits if there is no classification head */
    uint32_t logits;        /* first op of the logits tail; n_ops if the model has no head */
    uint32_t n_embd_out;    /* columns of a pooled vector */
    st_slot pooled;         /* where the pooled tail leaves it */
    uint32_t n_labels;      /* outputs of the classification head, 0: none, or none that is whole */
    const char *head_lacks; /* what the file's head needs to give the model's scores; NULL: nothing */
    st_slot ranked;         /* where the ranking tail leaves them */
    st_mem *mem;
} st_plan;

/* Compiles config and weights, both of which the plan points into. Errors: NO_MEMORY. */
int st_plan_build(const st_config *c, const st_weights *w, st_mem *mem, st_plan *p, strata_error *err);
void st_plan_free(st_plan *p);

/* Every tensor of the weights is read by an op. Errors: UNSUPPORTED_OP names one that is not. */
int st_plan_check_reads(const st_plan *p, const char *file, strata_error *err);

/* The i-th matrix that an op multiplies with and the columns of its input; NULL past the last. Parts with m = NULL are
 * not there. */
const st_part *st_op_part(const st_op *op, uint32_t i, uint32_t *k);

/* Bytes of a row of a matrix. */
static inline size_t st_mat_row_bytes(st_mat m)
{
    return m->bytes / (size_t)(m->dims[1] * m->dims[2] * m->dims[3]);
}

const char *st_op_name(st_op_kind kind);
const char *st_slot_name(st_slot slot);

/* One line an op, for people. */
void st_plan_print(const st_plan *p, strata_write_fn write, void *user);

#endif
