/* added_flags.c: which added tokens take the white space beside them.
 *
 * HuggingFace's tokenizer.json says it of every added token (lstrip, rstrip, single_word), GGUF files do not. So it is
 * data here: a row a tokenizer that has such tokens, by what the file says of itself. Rows with a "*" at the end of the
 * spelling mean all tokens that begin so; the first row that fits counts. A token without a row has no flags, which is
 * HuggingFace's default and nearly every model's case. No tokenizer that GGUF files are made from is known to set
 * single_word, so no row does; encode.c knows what it means. */
#include <string.h>

#include "token/added.h"

#define L ST_ADDED_LSTRIP
#define R ST_ADDED_RSTRIP

/* NULL: any. arch and name are alternatives: general.architecture, or a part of general.name in lower case without
 * spaces, "-" and "_", since people convert these models under other architectures too. */
static const struct {
    const char *model, *pre, *arch, *name, *spelling;
    unsigned flags;
} ROWS[] = {
    /* microsoft/Phi-3-mini-4k-instruct and kin up to Phi-3.5: all of their own tokens but the end of text
     * (huggingface/transformers#32136; llama.cpp's llama-vocab.cpp has the same list). */
    {"llama", NULL, "phi3", "phi3", "<|endoftext|>", 0},
    {"llama", NULL, "phi3", "phi3", "<|*", R},
    {"llama", NULL, "phi3", "phi3", "</s>", R},
    /* microsoft/Phi-4-mini-instruct: the roles and the end of a turn (iree-org/iree#23805). */
    {"gpt2", "gpt-4o", "phi3", "phi4", "<|assistant|>", R},
    {"gpt2", "gpt-4o", "phi3", "phi4", "<|user|>", R},
    {"gpt2", "gpt-4o", "phi3", "phi4", "<|system|>", R},
    {"gpt2", "gpt-4o", "phi3", "phi4", "<|end|>", R},
    /* microsoft/phi-4, 14B, cl100k with tokens of its own: all of these, <|dummy_0|> to <|dummy_87|> too. */
    {"gpt2", "dbrx", "phi3", "phi4", "<|*", L | R},
    /* answerdotai/ModernBERT-base and what is made from it; mmBERT has Gemma's vocabulary and <mask>. */
    {"gpt2", "modern-bert", NULL, NULL, "[MASK]", L},
    {NULL, NULL, "modern-bert", NULL, "[MASK]", L},
    {NULL, NULL, "modern-bert", NULL, "<mask>", L},
    /* microsoft/deberta-base (transformers, tokenization_deberta.py); DeBERTa v2 and v3 do not have it. */
    {"gpt2", NULL, "deberta", NULL, "[MASK]", L},
    /* FacebookAI/roberta-base, facebook/bart-base, jinaai/jina-embeddings-v2-base-{code,de,es}, granite-embedding:
     * every tokenizer of transformers with byte-level BPE and a <mask> (tokenization_{roberta,bart,longformer,led,
     * blenderbot,mvp}.py; NVIDIA/TensorRT-Model-Connect#1317, #1322; llama.cpp for jina-v2-*). */
    {"gpt2", NULL, NULL, NULL, "<mask>", L},
    /* FacebookAI/xlm-roberta-base, BAAI/bge-m3, intfloat/multilingual-e5, nomic-embed-text-v2-moe, jina-embeddings-v3,
     * CamemBERT, mBART, BARThez: ... and with Unigram (tokenization_{xlm_roberta,camembert,mbart,barthez,xlnet}.py,
     * ggml-org/llama.cpp#13757). T5's <extra_id_0> has no flags in google-t5/t5-small's tokenizer.json. */
    {"t5", NULL, NULL, NULL, "<mask>", L},
    /* sentence-transformers/all-mpnet-base-v2: WordPiece with <mask> (tokenization_mpnet.py). BERT's [MASK] has
     * none. */
    {"bert", NULL, NULL, NULL, "<mask>", L},
};

#undef L
#undef R

/* Is `part` in s, when s is read in lower case without spaces, "-" and "_"? */
static bool flags_names(st_str s, const char *part)
{
    char buf[128];
    size_t n = 0;
    for (size_t i = 0; i < s.len && n + 1 < sizeof buf; i++) {
        char c = s.ptr[i];
        if (c == ' ' || c == '-' || c == '_') continue;
        buf[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c ? c : '?');
    }
    buf[n] = 0;
    return strstr(buf, part) != NULL;
}

static bool flags_spelled(st_str s, const char *pattern)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*') return st_str_eq(s, pattern);
    return s.len >= n - 1 && memcmp(s.ptr, pattern, n - 1) == 0;
}

unsigned st_added_known_flags(const st_family *f, st_str spelling)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (!flags_spelled(spelling, ROWS[i].spelling)) continue;
        if (ROWS[i].model && !st_str_eq(f->model, ROWS[i].model)) continue;
        if (ROWS[i].pre && !st_str_eq(f->pre, ROWS[i].pre)) continue;
        if (ROWS[i].arch && !st_str_eq(f->arch, ROWS[i].arch) && (!ROWS[i].name || !flags_names(f->name, ROWS[i].name)))
            continue;
        return ROWS[i].flags;
    }
    return 0;
}
