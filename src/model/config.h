/* config.h: metadata + row -> the numbers of one model, each range-checked.
 *
 * A number is named after its GGUF key where it has one; the key is `<arch>.<suffix>`. */
#ifndef ST_MODEL_CONFIG_H
#define ST_MODEL_CONFIG_H

#include "gguf/gguf.h"
#include "model/arch.h"

typedef enum st_rope_scaling {
    ST_ROPE_SCALING_NONE = 0, /* also: factors from tensors (llama3, LongRoPE) */
    ST_ROPE_SCALING_LINEAR = 1,
    ST_ROPE_SCALING_YARN = 2
} st_rope_scaling;

/* Limits far above any real model, low enough that products of two of them stay inside 64 bits. */
#define ST_MAX_LAYERS 4096u

/* The values of rope.scaling.type that files may have. LongRoPE and llama3 are told by tensors as well. */
#define ST_ROPE_SCALINGS "none, linear, yarn, longrope"

/* How a class of layers turns positions into angles. Class 0: layers that see everything; 1: windowed layers. */
typedef struct st_rope {
    float base; /* rope.freq_base */
    st_rope_scaling scaling;
    float factor;               /* of LINEAR and YARN: positions are stretched by it */
    float attn_factor;          /* cos and sin are multiplied by it */
    float beta_fast, beta_slow; /* of YARN */
    bool fractional;            /* of YARN: its range is not rounded to whole dims */
} st_rope;

typedef struct st_config {
    const st_arch *arch;
    uint32_t n_layer; /* block_count without nextn_predict_layers */
    uint32_t n_extra; /* nextn_predict_layers: after the others, for guessing more tokens; not run */
    uint32_t n_ctx;   /* context_length */
    uint32_t n_embd;  /* embedding_length */
    uint32_t n_ff;    /* feed_forward_length */
    uint32_t n_head;  /* attention.head_count */
    uint32_t n_head_kv;
    uint32_t d_head_k;        /* attention.key_length, else n_embd / n_head */
    uint32_t d_head_v;        /* attention.value_length */
    uint32_t n_rot;           /* rope.dimension_count, else d_head_k */
    uint32_t n_latent;        /* attention.kv_lora_rank, 0: keys and values are not made of a latent */
    uint32_t n_latent_q;      /* attention.q_lora_rank, 0: queries are not */
    uint32_t d_nope, d_value; /* of a head: values of its query and key besides the n_rot that rotate; of its value */
    bool absorbed;            /* attention.key_length_mla: attention is over latents; d_head_k, d_head_v are theirs */
    float norm_eps;           /* attention.layer_norm_epsilon or _rms_epsilon, by the row's norm */
    float embed_scale;
    float attn_scale;     /* attention.scale, else 1/sqrt(d_head_k) */
    float attn_softcap;   /* attn_logit_softcapping, 0: none */
    float residual_scale; /* of each branch before it is added */
    float logit_scale;    /* logits are multiplied by it */
    float logit_softcap;  /* final_logit_softcapping, 0: none */
    float alibi_max;      /* attention.max_alibi_bias, 0: no ALiBi */
    bool causal;
    bool parallel;                         /* use_parallel_residual: attention and FFN read the same stream */
    uint32_t window;                       /* attention.sliding_window, 0: none */
    uint64_t windowed[ST_MAX_LAYERS / 64]; /* a bit a layer: which see only the window */
    uint32_t n_expert, n_expert_used;      /* 0: no experts */
    uint32_t n_ff_expert, n_ff_shared;
    uint32_t n_group, n_group_used; /* expert_group_count, expert_group_used_count; 1: no groups */
    bool expert_sigmoid;            /* expert_gating_func */
    float expert_scale;             /* expert_weights_scale */
    bool expert_normalize;          /* expert_weights_norm */
    strata_pooling pooling;
    st_rope rope[2];
    float temperature;         /* attention.temperature_scale: queries at p are multiplied by 1 + that * */
    uint32_t temperature_span; /* ln(1 + floor(p / span)); 0: they are not */
    uint32_t rope_original;    /* rope.scaling.original_context_length: longer sequences take LongRoPE's long factors */
} st_config;

/* Errors: UNSUPPORTED_ARCH (with what is supported), CORRUPT_MODEL (the key, its value and the range), UNSUPPORTED_OP
 * (a key that asks for something this version does not do). */
int st_config_read(const st_gguf *g, st_config *c, strata_error *err);

/* Does layer il see only the window? */
static inline bool st_config_windowed(const st_config *c, uint32_t il)
{
    return c->window != 0 && (c->windowed[il / 64] >> (il % 64) & 1);
}

#endif
