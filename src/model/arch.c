#include "model/arch.h"

#include <stdio.h>
#include <string.h>

static const st_arch rows[] = {
    /* BERT, RoBERTa, XLM-R and DistilBERT files alike: post-norm, learned positions, exact GELU (HF modeling_bert.py). */
    {.name = "bert", .norm = ST_NORM_LAYER, .act = ST_ACT_GELU_ERF, .pooling = STRATA_POOLING_MEAN},

    /* EmbeddingGemma: a bidirectional Gemma 3 (HF modeling_gemma3.py with use_bidirectional_attention). The file has
     * neither a causal key nor a window pattern. */
    {.name = "gemma-embedding",
     .norm = ST_NORM_RMS,
     .act = ST_ACT_GELU_TANH,
     .rope = ST_ROPE_NEOX,
     .embed_scale_sqrt = true,
     .pooling = STRATA_POOLING_MEAN,
     .window = ST_WINDOW_SYMMETRIC,
     .window_pattern = 6,
     .rope_base = 1e6f,
     .rope_base_swa = 1e4f,
     .dense_heads = true,
     .min_dims = 128,
     .prompt_query = "task: search result | query: ",
     .prompt_document = "title: none | text: "},

    {.name = "gemma3",
     .norm = ST_NORM_RMS,
     .act = ST_ACT_GELU_TANH,
     .rope = ST_ROPE_NEOX,
     .embed_scale_sqrt = true,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .window_pattern = 6,
     .rope_base = 1e6f,
     .rope_base_swa = 1e4f},

    {.name = "llama",
     .norm = ST_NORM_RMS,
     .act = ST_ACT_SILU,
     .rope = ST_ROPE_NORM,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .rope_base = 1e4f},
};

const st_arch *st_arch_at(uint32_t i)
{
    return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}

const st_arch *st_arch_find(st_str name)
{
    const st_arch *a;
    for (uint32_t i = 0; (a = st_arch_at(i)); i++)
        if (st_str_eq(name, a->name)) return a;
    return NULL;
}

void st_arch_names(char *buf, size_t cap)
{
    size_t at = 0;
    const st_arch *a;
    if (cap) buf[0] = 0;
    for (uint32_t i = 0; (a = st_arch_at(i)); i++) {
        int n = snprintf(buf + at, cap - at, "%s%s", i ? " " : "", a->name);
        if (n < 0 || (size_t)n >= cap - at) return;
        at += (size_t)n;
    }
}

const char *st_act_name(st_act a)
{
    static const char *const names[ST_ACT_COUNT] = {"none", "gelu_erf", "gelu_tanh", "silu", "relu", "tanh"};
    return (unsigned)a < ST_ACT_COUNT ? names[a] : "?";
}
