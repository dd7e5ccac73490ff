/* arch.c: the table of architectures. */
#include "model/arch.h"

#include <stdio.h>
#include <string.h>

#define GEMMA_EMBED .norm = ST_NORM_RMS, .act = ST_ACT_GELU_TANH, .rope = ST_ROPE_NEOX, .embed_scale_sqrt = true
/* Decoders: RMS norms, SwiGLU. */
#define DECODER \
    .norm = ST_NORM_RMS, .act = ST_ACT_SILU, .causal = true, .pooling = STRATA_POOLING_NONE, .rope_base = 1e4f
/* Older decoders: LayerNorm. */
#define DECODER_LN .norm = ST_NORM_LAYER, .causal = true, .pooling = STRATA_POOLING_NONE, .rope_base = 1e4f

static const st_arch rows[] = {
    /* ---- encoders ---- */

    /* BERT, RoBERTa, XLM-R and DistilBERT files alike: post-norm, learned positions, exact GELU (HF
     * modeling_bert.py). */
    {.name = "bert",
     .models =
         "BERT, RoBERTa, XLM-R, DistilBERT: all-MiniLM, BGE, E5, GTE, mxbai, Snowflake arctic-embed; their rerankers",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_GELU_ERF,
     .pooling = STRATA_POOLING_MEAN,
     .rank_pooling = STRATA_POOLING_CLS,
     .cls_act = ST_ACT_TANH,
     .cls_dense = true}, /* BERT's pooler, RoBERTa's classifier.dense */

    {.name = "nomic-bert",
     .models = "nomic-embed-text v1, v1.5",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_SILU,
     .act_ungated = ST_ACT_GELU_ERF,
     .rope = ST_ROPE_NEOX,
     .pooling = STRATA_POOLING_MEAN,
     .rope_base = 1000.0f,
     .min_dims = 64, /* nomic-embed-text-v1.5 is trained for 768, 512, 256, 128, 64 */
     .prompt_query = "search_query: ",
     .prompt_document = "search_document: "},

    /* Experts in every second layer, ungated; what they say is not renormalised (nomic-ai/nomic-bert-2048,
     * modeling_hf_nomic_bert.py, NomicExperts). */
    {.name = "nomic-bert-moe",
     .models = "nomic-embed-text v2",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_GELU_ERF,
     .rope = ST_ROPE_NEOX,
     .pooling = STRATA_POOLING_MEAN,
     .rope_base = 10000.0f,
     .min_dims = 256, /* nomic-embed-text-v2-moe is trained for 768 and 256 */
     .prompt_query = "search_query: ",
     .prompt_document = "search_document: "},

    /* GeGLU with exact GELU, ALiBi in both directions (jinaai/jina-bert-implementation, modeling_bert.py). */
    {.name = "jina-bert-v2",
     .models = "jina-embeddings-v2",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_GELU_ERF,
     .alibi = true,
     .pooling = STRATA_POOLING_MEAN,
     .rank_pooling = STRATA_POOLING_CLS,
     .cls_act = ST_ACT_TANH,
     .cls_dense = true},

    /* Pre-norm, gate first in ffn_up, every third layer global beginning with the first (HF modeling_modernbert.py). */
    {.name = "modern-bert",
     .models = "ModernBERT: gte-modernbert, granite-embedding R2; rerankers",
     .norm = ST_NORM_LAYER,
     .act = ST_ACT_GELU_ERF,
     .rope = ST_ROPE_NEOX,
     .pooling = STRATA_POOLING_CLS,
     .rank_pooling = STRATA_POOLING_MEAN,
     .cls_act = ST_ACT_GELU_ERF,
     .cls_dense = true,
     .cls_norm = true, /* ModernBertPredictionHead */
     .window = ST_WINDOW_SYMMETRIC,
     .window_pattern = 3,
     .window_full_first = true,
     .rope_base = 160000.0f,
     .rope_base_swa = 10000.0f,
     .rope_swa_unscaled = true},

    /* A bidirectional llama (HF modeling_eurobert.py). */
    {.name = "eurobert",
     .models = "EuroBERT",
     .norm = ST_NORM_RMS,
     .act = ST_ACT_SILU,
     .rope = ST_ROPE_NEOX,
     .pooling = STRATA_POOLING_MEAN,
     .rope_base = 250000.0f},

    /* The encoder half of T5: relative positions, no 1/sqrt(d); v1.0 has a plain ReLU FFN, v1.1 a gated GELU. */
    {.name = "t5encoder",
     .models = "T5 and Flan-T5 encoders",
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
     .models = "EmbeddingGemma",
     GEMMA_EMBED,
     .pooling = STRATA_POOLING_MEAN,
     .window = ST_WINDOW_SYMMETRIC,
     .window_pattern = 6,
     .rope_base = 1e6f,
     .rope_base_swa = 1e4f,
     .rope_swa_unscaled = true,
     .dense_heads = true,
     .min_dims = 128,
     .prompt_query = "task: search result | query: ",
     .prompt_document = "title: none | text: "},

    /* ---- decoders ---- */

    {.name = "llama",
     .models = "Llama 1 to 3, TinyLlama, SmolLM 1 and 2, Mistral, Mixtral, Yi, DeepSeek LLM and Coder, InternLM 3",
     DECODER,
     .rope = ST_ROPE_NORM,
     .moe_normalize = true},
    {.name = "gemma",
     .models = "Gemma 1, CodeGemma",
     GEMMA_EMBED,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .rope_base = 1e4f},
    /* Of Gemma 2 and 3 only the 27B have query_pre_attn_scalar != head_dim, and the file does not say so. */
    {.name = "gemma2",
     .models = "Gemma 2",
     GEMMA_EMBED,
     .attn_scale_width_layers = 46,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .window_pattern = 2,
     .window_default = 4096, /* the first files lack the key */
     .rope_base = 1e4f},
    {.name = "gemma3",
     .models = "Gemma 3, MedGemma",
     GEMMA_EMBED,
     .attn_scale_width_layers = 62,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .window_pattern = 6,
     .rope_base = 1e6f,
     .rope_base_swa = 1e4f,
     .rope_swa_unscaled = true}, /* HF: rope_local has no scaling */
    {.name = "qwen2", .models = "Qwen 1.5, 2, 2.5, DeepSeek-R1-Distill-Qwen, gte-Qwen2", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "qwen3",
     .models = "Qwen 3, its embedding models and rerankers",
     DECODER,
     .rope = ST_ROPE_NEOX,
     .rank_pooling = STRATA_POOLING_LAST,
     /* Qwen3-Reranker's model card. */
     .rank_template =
         "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
         "Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n"
         "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
         "<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"},
    {.name = "qwen2moe", .models = "Qwen 1.5 and 2 MoE", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "qwen3moe", .models = "Qwen 3 MoE", DECODER, .rope = ST_ROPE_NEOX, .moe_normalize = true},
    {.name = "phi3", .models = "Phi 3, 3.5, 4", DECODER, .rope = ST_ROPE_NEOX},
    /* With OLMo 3, which adds windows; its windowed layers do not scale their positions (HF modeling_olmo3.py). */
    {.name = "olmo2", .models = "OLMo 2 and 3", DECODER, .rope = ST_ROPE_NEOX, .rope_swa_unscaled = true},
    {.name = "granite", .models = "Granite 3", DECODER, .rope = ST_ROPE_NORM, .logit_scale_divides = true},
    /* No gate (HF modeling_arcee.py). */
    {.name = "arcee", .models = "AFM 4.5B", DECODER, .act_ungated = ST_ACT_RELU2, .rope = ST_ROPE_NORM},
    {.name = "smollm3", .models = "SmolLM 3", DECODER, .rope = ST_ROPE_NORM, .nope_pattern = 4},
    {.name = "gpt2", .models = "GPT-2", DECODER_LN, .act = ST_ACT_GELU_TANH},
    {.name = "gptneox", .models = "GPT-NeoX, Pythia", DECODER_LN, .act = ST_ACT_GELU_ERF, .rope = ST_ROPE_NEOX},
    {.name = "phi2", .models = "Phi 1, 1.5, 2", DECODER_LN, .act = ST_ACT_GELU_TANH, .rope = ST_ROPE_NEOX},
    {.name = "falcon",
     .models = "Falcon",
     DECODER_LN,
     .act = ST_ACT_GELU_ERF,
     .rope = ST_ROPE_NEOX,
     .swapped_norms = true},
    {.name = "stablelm", .models = "StableLM, StableLM 2", DECODER_LN, .act = ST_ACT_SILU, .rope = ST_ROPE_NEOX},
    {.name = "starcoder", .models = "StarCoder, SantaCoder", DECODER_LN, .act = ST_ACT_GELU_TANH},
    {.name = "starcoder2", .models = "StarCoder 2", DECODER_LN, .act = ST_ACT_GELU_TANH, .rope = ST_ROPE_NEOX},
    {.name = "bloom", .models = "BLOOM", DECODER_LN, .act = ST_ACT_GELU_TANH, .alibi = true},
    {.name = "mpt", .models = "MPT, without clamped q, k, v", DECODER_LN, .act = ST_ACT_GELU_ERF, .alibi = true},
    /* Cohere's q and k are interleaved in HF already (modeling_cohere.py, rotate_half). */
    {.name = "command-r", .models = "Command R, Aya 23", DECODER_LN, .act = ST_ACT_SILU, .rope = ST_ROPE_NORM},
    {.name = "cohere2",
     .models = "Command R7B, Command A",
     DECODER_LN,
     .act = ST_ACT_SILU,
     .rope = ST_ROPE_NORM,
     .nope_full = true,
     .window_pattern = 4},
    {.name = "olmoe", .models = "OLMoE", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "granitemoe",
     .models = "Granite 3 MoE",
     DECODER,
     .rope = ST_ROPE_NORM,
     .logit_scale_divides = true,
     .moe_normalize = true},
    {.name = "minicpm",
     .models = "MiniCPM 1 and 2",
     DECODER,
     .rope = ST_ROPE_NORM,
     .logit_scale_divides = true}, /* Granite's arithmetic */
    {.name = "internlm2", .models = "InternLM 2, 2.5", DECODER, .rope = ST_ROPE_NORM},
    {.name = "exaone", .models = "EXAONE 3", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "exaone4", .models = "EXAONE 4", DECODER, .rope = ST_ROPE_NEOX, .nope_full = true, .window_pattern = 4},
    {.name = "glm4", .models = "GLM-4-0414", DECODER, .rope = ST_ROPE_NORM}, /* interleaved in HF (modeling_glm4.py) */
    {.name = "ernie4_5", .models = "ERNIE 4.5, dense", DECODER, .rope = ST_ROPE_NORM},
    /* What its files do not say: windows on every other layer, "truncate": false of its YaRN (HF modeling_gpt_oss.py,
     * config.json of openai/gpt-oss-20b). */
    {.name = "gpt-oss",
     .models = "gpt-oss 20B, 120B",
     .norm = ST_NORM_RMS,
     .act = ST_ACT_SWIGLU_OSS,
     .causal = true,
     .pooling = STRATA_POOLING_NONE,
     .rope_base = 150000.0f,
     .rope = ST_ROPE_NEOX,
     .post_attention_is_ffn_norm = true,
     .moe_normalize = true,
     .window_pattern = 2,
     .yarn_fractional = true},
    {.name = "glm4moe",
     .models = "GLM 4.5, 4.6, 4.5 Air",
     DECODER,
     .rope = ST_ROPE_NEOX,
     .post_attention_is_ffn_norm = true},
    {.name = "dots1", .models = "dots.llm1", DECODER, .rope = ST_ROPE_NEOX, .moe_sigmoid = true},
    /* Multi-head latent attention; pairs rotate as in HF (modeling_deepseek_v3.py, rope_interleave). */
    {.name = "deepseek2", .models = "DeepSeek V2, V2 Lite, V3, V3.1, R1", DECODER, .rope = ST_ROPE_NORM},
    /* Softmax, and a bias for the choice (HF modeling_ernie4_5_moe.py). */
    {.name = "ernie4_5-moe", .models = "ERNIE 4.5, mixtures", DECODER, .rope = ST_ROPE_NORM, .moe_normalize = true},
    /* HF modeling_hunyuan_v1_dense.py. */
    {.name = "hunyuan-dense",
     .models = "Hunyuan 0.5B to 7B, HY-MT 1.5",
     DECODER,
     .rope = ST_ROPE_NEOX,
     .qk_norm_last = true},
    {.name = "hunyuan-moe",
     .models = "Hunyuan A13B",
     DECODER,
     .rope = ST_ROPE_NEOX,
     .qk_norm_last = true,
     .moe_normalize = true},
    /* HF modeling_minimax_m2.py. */
    {.name = "minimax-m2", .models = "MiniMax M2, M2.1, M2.5", DECODER, .rope = ST_ROPE_NEOX, .moe_normalize = true},
    {.name = "nemotron", .models = "Nemotron 4, Minitron", DECODER_LN, .act = ST_ACT_RELU2, .rope = ST_ROPE_NEOX},
    /* Its three positions are one where there is only text. */
    {.name = "qwen3vl", .models = "Qwen 3 VL, text alone", DECODER, .rope = ST_ROPE_NEOX},
    {.name = "qwen3vlmoe",
     .models = "Qwen 3 VL mixtures, text alone",
     DECODER,
     .rope = ST_ROPE_NEOX,
     .moe_normalize = true},
    {.name = "mistral3",
     .models = "Ministral 3, Mistral Small 3.1 and later, text alone",
     DECODER,
     .rope = ST_ROPE_NORM},
    {.name = "seed_oss", .models = "Seed-OSS", DECODER, .rope = ST_ROPE_NEOX, .post_attention_is_ffn_norm = true},
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
    static const char more[] = " ...";
    size_t at = 0;
    const st_arch *a;
    if (cap) buf[0] = 0;
    for (uint32_t i = 0; (a = st_arch_at(i)); i++) {
        size_t n = strlen(a->name) + (i > 0);
        if (at + n + sizeof more > cap) {
            if (at) memcpy(buf + at, more, sizeof more);
            return;
        }
        snprintf(buf + at, cap - at, "%s%s", i ? " " : "", a->name);
        at += n;
    }
}

const char *st_act_name(st_act a)
{
    static const char *const names[ST_ACT_COUNT] = {"none", "gelu_erf", "gelu_tanh", "silu",
                                                    "relu", "tanh",     "relu2",     "swiglu_oss"};
    return (unsigned)a < ST_ACT_COUNT ? names[a] : "?";
}
