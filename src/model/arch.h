/* arch.h: one row per architecture.
 *
 * A row holds only what a file cannot say. Everything else follows from metadata (config.c) and from which tensors are
 * present (weights.c, plan.c). If the emitter needs to know the name of an architecture, a field is missing here. */
#ifndef ST_MODEL_ARCH_H
#define ST_MODEL_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "gguf/gguf.h"
#include "model/act.h"
#include "strata.h"

typedef enum st_norm_kind { ST_NORM_NONE = 0, ST_NORM_RMS = 1, ST_NORM_LAYER = 2 } st_norm_kind;

/* Which two values of a head rotate together. */
typedef enum st_rope_kind {
    ST_ROPE_NONE = 0,
    ST_ROPE_NORM = 1, /* (2i, 2i+1); llama-family files store Q and K permuted for it */
    ST_ROPE_NEOX = 2  /* (i, i + n_rot/2) */
} st_rope_kind;

typedef enum st_window_kind {
    ST_WINDOW_CAUSAL = 0,   /* key j is seen from i if i - j < window */
    ST_WINDOW_SYMMETRIC = 1 /* if |i - j| <= window/2 */
} st_window_kind;

typedef struct st_arch {
    const char *name;          /* general.architecture, and the prefix of its keys */
    const char *models;        /* what people call the models that have it, for docs/MODELS.md */
    const char *tensor_prefix; /* of layers and the final norm: "enc." for T5; NULL: none */
    st_norm_kind norm;
    st_act act;
    st_act act_ungated; /* when there is no gate, if that differs; NONE: as act */
    st_rope_kind rope;
    uint32_t nope_pattern;            /* every Nth layer rotates nothing; 0: none */
    bool nope_full;                   /* of a model with windows, layers that see everything rotate nothing */
    bool qk_norm_last;                /* norms of q and k after they were rotated, not before */
    bool embed_scale_sqrt;            /* token embeddings times sqrt(n_embd) */
    uint32_t attn_scale_width_layers; /* with so many layers, scores are divided by sqrt(n_embd / n_head); 0: never */
    bool attn_scale_one;              /* scores are not divided by sqrt(d_head_k) */
    bool relative_bias;               /* T5: a learned bias by distance, in the first layer's table */
    bool alibi;                       /* a bias that falls with distance, by head */
    bool causal;                      /* unless the file has attention.causal */
    bool post_attention_is_ffn_norm; /* post_attention_norm is the norm before the FFN, not one of attention's branch */
    bool swapped_norms;              /* falcon-40b: attn_norm_2 is attention's norm, attn_norm the FFN's */
    bool logit_scale_divides;        /* Granite: logits are divided by logit_scale */
    bool moe_normalize;              /* the chosen experts' weights are made to sum to 1, unless the file says */
    bool moe_sigmoid;                /* a router's gate when expert_gating_func is absent: sigmoid, not softmax */
    strata_pooling pooling;          /* unless the file has pooling_type; NONE: a decoder without one */
    strata_pooling rank_pooling;     /* what a classification head reads */
    st_act cls_act;                  /* between the two matrices of a classification head */
    bool cls_dense;                  /* a head has both, in HF, and without the first gives other scores */
    bool cls_norm;                   /* ... and a norm between them */
    st_window_kind window;
    uint32_t window_pattern; /* every Nth layer sees everything, the others the window; 0: all have the window */
    uint32_t window_default; /* when attention.sliding_window is absent */
    bool window_full_first;  /* the first of N sees everything, not the last */
    float rope_base;         /* when rope.freq_base is absent */
    float rope_base_swa;     /* of windowed layers when rope.freq_base_swa is absent; 0: as the other layers */
    bool rope_swa_unscaled;  /* rope.scaling is for full layers only */
    bool yarn_fractional;    /* YaRN's range of dims is not rounded to whole ones */
    bool dense_heads;        /* trained with dense_2/dense_3 after pooling: warn when the file lacks them */
    uint32_t min_dims;       /* smallest Matryoshka cut it is trained for; 0: none known */
    const char *prompt_query, *prompt_document;
    const char *rank_template; /* how a decoder is asked to judge {query} and {document}; NULL: a pair of segments */
} st_arch;

/* NULL when the architecture is not supported. */
const st_arch *st_arch_find(st_str name);

/* The i-th row, NULL past the end. */
const st_arch *st_arch_at(uint32_t i);

/* Writes the supported names, separated by spaces, into buf; as many as fit, then " ...". */
void st_arch_names(char *buf, size_t cap);

#endif
