#include "model/arch.h"

#include <stdio.h>
#include <string.h>

#define GEMMA_EMBED .norm = ST_NORM_RMS, .act = ST_ACT_GELU_TANH, .rope = ST_ROPE_NEOX, .embed_scale_sqrt = true
/* Decoders: RMS norms, SwiGLU. */
#define DECODER .norm = ST_NORM_RMS, .act = ST_ACT_SILU, .causal = true, .pooling = STRATA_POOLING_NONE, .rope_base = 1e4f
/* Older decoders: LayerNorm. */
#define DECODER_LN .norm = ST_NORM_LAYER, .causal = true, .pooling = STRATA_POOLING_NONE, .rope_base = 1e4f

static const st_arch rows[] = {
    /* ---- encoders ---- */

    /* BERT, RoBERTa, XLM-R and DistilBERT files alike: post-norm, learned positions, exact GELU (HF modeling_bert.py). */
    {.name = "bert",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_GELU_ERF,
     .pooling = STRATA_POOLING_MEAN,
     .rank_pooling = STRATA_POOLING_CLS,
     .cls_act = ST_ACT_TANH},

    {.name = "nomic-bert",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_SILU,
     .act_ungated = ST_ACT_GELU_ERF,
     .rope = ST_ROPE_NEOX,
     .pooling = STRATA_POOLING_MEAN,
     .rope_base = 1000.0f,
     .min_dims = 64, /* nomic-embed-text-v1.5 is trained for 768, 512, 256, 128, 64 */
     .prompt_query = "search_query: ",
     .prompt_document = "search_document: "},

    /* GeGLU with exact GELU, ALiBi in both directions (jinaai/jina-bert-implementation, modeling_bert.py). */
    {.name = "jina-bert-v2",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_GELU_ERF,
     .alibi = true,
     .pooling = STRATA_POOLING_MEAN,
     .rank_pooling = STRATA_POOLING_CLS,
     .cls_act = ST_ACT_TANH},

    /* Pre-norm, gate first in ffn_up, every third layer global beginning with the first (HF modeling_modernbert.py). */
    {.name = "modern-bert",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_GELU_ERF,
     .rope = ST_ROPE_NEOX,
     .pooling = STRATA_POOLING_CLS,
     .rank_pooling = STRATA_POOLING_MEAN,
     .cls_act = ST_ACT_GELU_ERF,
     .window = ST_WINDOW_SYMMETRIC,
     .window_pattern = 3,
     .window_full_first = true,
     .rope_base = 160000.0f,
     .rope_base_swa = 10000.0f},

    /* The encoder half of T5: relative positions, no 1/sqrt(d); v1.0 has a plain ReLU FFN, v1.1 a gated GELU. */
    {.name = "t5encoder",
     .tensor_prefix = "enc.",
     .norm = ST_NORM_RMS,
     .act = ST_ACT_GELU_TANH,
     .act_ungated = ST_ACT_RELU,
     .attn_scale_one = true,
     .relative_bias = true,
     .pooling = STRATA_POOLING_MEAN},

    /* EmbeddingGemma: a bidirectional Gemma 3 (HF modeling_gemma3.py with use_bidirectional_attention). The file has
     * neither a causal key nor a window pattern. */
    {.name = "gemma-embedding",
     GEMMA_EMBED,
     .pooling = STRATA_POOLING_MEAN,
     .window = ST_WINDOW_SYMMETRIC,
     .window_pattern = 6,
     .rope_base = 1e6f,
     .rope_base_swa = 1e4f,
     .dense_heads = true,
     .min_dims = 128,
     .prompt_query = "task: search result | query: ",
     .prompt_document = "title: none | text: "},

    /* ---- decoders ---- */

    {.name = "llama", DECODER, .rope = ST_ROPE_NORM, .moe_normalize = true}, /* with Mistral and Mixtral */
    {.name = "gemma", GEMMA_EMBED, .causal = true, .pooling = STRATA_POOLING_NONE, .rope_base = 1e4f},
    {.name = "gemma2",
     GEMMA_EMBED,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .window_pattern = 2,
     .rope_base = 1e4f},
    {.name = "gemma3",
     GEMMA_EMBED,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .window_pattern = 6,
     .rope_base = 1e6f,
     .rope_base_swa = 1e4f},
    {.name = "qwen2", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "qwen3",
     DECODER,
     .rope = ST_ROPE_NEOX,
     .rank_pooling = STRATA_POOLING_LAST,
     /* Qwen3-Reranker's model card. */
     .rank_template = "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
                      "Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n"
                      "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
                      "<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"},
    {.name = "qwen2moe", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "qwen3moe", DECODER, .rope = ST_ROPE_NEOX, .moe_normalize = true},
    {.name = "phi3", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "olmo2", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "granite", DECODER, .rope = ST_ROPE_NORM, .logit_scale_divides = true},
    {.name = "smollm3", DECODER, .rope = ST_ROPE_NORM, .nope_pattern = 4},
    {.name = "gpt2", DECODER_LN, .act = ST_ACT_GELU_TANH},
    {.name = "gptneox", DECODER_LN, .act = ST_ACT_GELU_ERF, .rope = ST_ROPE_NEOX},
    {.name = "phi2", DECODER_LN, .act = ST_ACT_GELU_TANH, .rope = ST_ROPE_NEOX},
    {.name = "falcon", DECODER_LN, .act = ST_ACT_GELU_ERF, .rope = ST_ROPE_NEOX, .swapped_norms = true},
    {.name = "stablelm", DECODER_LN, .act = ST_ACT_SILU, .rope = ST_ROPE_NEOX},
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
