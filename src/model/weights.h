/* weights.h: tensor names -> typed pointers, every shape and type checked once.
 *
 * Matrices stay where they are in the file, in their own type; vectors are float32, a view of the file where it has
 * them so and a copy otherwise. After st_weights_bind nothing checks a shape again. An absent tensor is NULL, or its v
 * is: the plan reads presence as a fact about the model. */
#ifndef ST_MODEL_WEIGHTS_H
#define ST_MODEL_WEIGHTS_H

#include "base/log.h"
#include "gguf/gguf.h"
#include "model/config.h"

/* A row-major matrix [n, k]: n outputs, rows of k values in blocks of the tensor's type. dims = {k, n}. */
typedef const st_gguf_tensor *st_mat;

typedef struct st_vec {
    const float *v; /* [n] or NULL */
    uint32_t n;
} st_vec;

typedef struct st_layer {
    st_vec attn_norm_w, attn_norm_b;     /* [n_embd] before attention */
    st_vec attn_norm_2_w, attn_norm_2_b; /* [n_embd] a second norm of the same stream (falcon-40b) */
    st_mat attn_q;                       /* [n_head*d_head_k, n_embd] */
    st_mat attn_k;                       /* [n_head_kv*d_head_k, n_embd] */
    st_mat attn_v;                       /* [n_head_kv*d_head_v, n_embd] */
    st_mat attn_qkv;                     /* the three above each other, instead of them */
    st_vec attn_q_b, attn_k_b, attn_v_b, attn_qkv_b;
    st_vec attn_q_norm_w, attn_k_norm_w; /* [d_head_k] for every head, [n_head*d_head_k] of a head each or of the row */
    st_vec attn_q_norm_b, attn_k_norm_b;
    st_mat q_down;       /* [n_latent_q, n_embd], attn_q_a: queries by way of a latent */
    st_vec q_down_norm;  /* [n_latent_q] */
    st_mat q_up;         /* [n_head*(d_nope+n_rot), n_latent_q], attn_q_b */
    st_mat kv_down;      /* [n_latent + n_rot, n_embd], attn_kv_a_mqa: the latent, and what rotates of all keys */
    st_vec kv_down_norm; /* [n_latent] */
    st_mat kv_up;        /* [n_head*(d_nope+d_value), n_latent], attn_kv_b: a head's key above its value */
    st_mat k_up, v_up;   /* instead [n_head][n_latent, d_nope], turned, and [n_head][d_value, n_latent] */
    bool qk_norm_row;    /* the norm is over the whole row, not over a head */
    st_mat attn_rel_b;   /* [n_buckets, n_head] bias by distance, the first layer's for all without (T5; UMT5) */
    st_vec attn_sinks;   /* [n_head] one more score after those of the keys, which takes weight and adds no value */
    st_mat attn_output;  /* [n_embd, n_head*d_head_v] */
    st_vec attn_output_b;
    st_vec attn_output_norm_w, attn_output_norm_b; /* [n_embd] of the sum after attention (post-norm) */
    st_vec post_attention_norm;                    /* [n_embd] of the branch before it is added (sandwich) */
    st_vec ffn_norm_w, ffn_norm_b;                 /* [n_embd] before the FFN */
    st_mat ffn_gate, ffn_up;                       /* [n_ff, n_embd]; up alone may be [2*n_ff, n_embd]: gate first */
    st_mat ffn_down;                               /* [n_embd, n_ff] */
    st_vec ffn_gate_b, ffn_up_b, ffn_down_b;
    st_vec layer_output_norm_w, layer_output_norm_b; /* [n_embd] of the sum after the FFN (post-norm) */
    st_vec post_ffw_norm;                            /* [n_embd] of the branch before it is added (sandwich) */
    st_mat ffn_gate_inp;                             /* [n_expert, n_embd] router */
    st_mat ffn_gate_exps, ffn_up_exps;               /* [n_expert][n_ff_expert, n_embd] */
    st_mat ffn_down_exps;                            /* [n_expert][n_embd, n_ff_expert] */
    st_vec ffn_gate_inp_b;                           /* [n_expert] */
    st_vec ffn_gate_exps_b, ffn_up_exps_b;           /* [n_expert, n_ff_expert] */
    st_vec ffn_down_exps_b;                          /* [n_expert, n_embd] */
    st_vec exp_probs_b;                  /* [n_expert] added for the choice of experts, not to their weights */
    st_mat ffn_gate_inp_shexp;           /* [1, n_embd] gate of the shared expert */
    st_mat ffn_gate_shexp, ffn_up_shexp; /* [n_ff_shared, n_embd] */
    st_mat ffn_down_shexp;               /* [n_embd, n_ff_shared] */
} st_layer;

typedef struct st_weights {
    st_mat token_embd;                           /* [n_vocab, n_embd] */
    st_mat position_embd;                        /* [n_ctx, n_embd] */
    st_mat token_types;                          /* [n_types, n_embd] */
    st_vec token_embd_norm_w, token_embd_norm_b; /* [n_embd] */
    st_vec output_norm_w, output_norm_b;         /* [n_embd] */
    st_mat output;                               /* [n_vocab, n_embd]; absent: token_embd is tied to it */
    st_vec output_b;
    st_mat dense_2, dense_3; /* [dense, n_embd], [n_embd_out, dense]: after pooling */
    st_mat cls;              /* [n_embd, n_embd]: dense layer of a classification head */
    st_vec cls_b;
    st_vec cls_norm;
    st_mat cls_output; /* [n_labels, n_embd] */
    st_vec cls_output_b;
    st_vec rope_freqs;                            /* [n_rot/2] divisors of the frequencies (llama3) */
    st_vec rope_factors_short, rope_factors_long; /* [n_rot/2] the same, by length of the sequence (LongRoPE) */
    st_layer *layers;                             /* [n_layer] */
    uint32_t n_vocab, n_types;
    void **copies; /* vectors that the file does not hold as aligned float32 */
    size_t n_copies, cap_copies;
    st_mem *mem;
} st_weights;

/* Finds every tensor of the name table, checks shapes against c and refuses tensors that nobody would read. Errors:
 * CORRUPT_MODEL (the tensor, its shape and the one wanted), UNSUPPORTED_TYPE, UNSUPPORTED_OP, NO_MEMORY. The views
 * point into g's file. */
int st_weights_bind(const st_gguf *g, const st_config *c, const st_log *log, st_mem *mem, st_weights *w,
                    strata_error *err);
void st_weights_free(st_weights *w);

/* Calls fn for every tensor that is there, with its name in the file, its layer (-1: outside of them), and the pointer
 * that the weights hold, until one returns an error, which is returned. */
typedef int (*st_weights_fn)(void *user, const char *name, int layer, const void *data);
int st_weights_each(const st_weights *w, const st_config *c, st_weights_fn fn, void *user);

#endif
