/* pretok.c: the names of tokenizer.ggml.pre. See pretok.h.
 *
 * What a name means: convert_hf_to_gguf.py and llama-vocab.cpp of llama.cpp say which models carry it; the expressions
 * and normalisers are those of the tokenizer.json of these models, named beside each row. Where HuggingFace and
 * llama.cpp differ (NFC, \p{M} in gpt-4o, Digits after ByteLevel in falcon) HuggingFace counts. */
#include "token/pretok.h"

#include <string.h>

#include "token/unicode_tables.h"

#define N_OF(a) (sizeof(a) / sizeof(a)[0])

/* ---- sets by range ----------------------------------------------------------------------------------------------- */

static const uint32_t KANA_HAN[][2] = {
    {0x3040, 0x309f}, {0x30a0, 0x30ff}, {0x4e00, 0x9fa5}};             /* [一-龥぀-ゟ゠-ヿ] */
static const uint32_t EAST[][2] = {{0x800, 0x9fa5}, {0xac00, 0xd7ff}}; /* [一-龥ࠀ-一가-퟿] */

/* [A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿ...]: the letters with case that DeepSeek LLM lists. */
static const uint32_t DEEPSEEK_LETTERS[][2] = {
    {'A', 'Z'},         {'a', 'z'},         {0xb5, 0xb5},       {0xc0, 0xd6},       {0xd8, 0xf6},
    {0xf8, 0x1ba},      {0x1bc, 0x1bf},     {0x1c4, 0x293},     {0x295, 0x2af},     {0x370, 0x373},
    {0x376, 0x377},     {0x37b, 0x37d},     {0x37f, 0x37f},     {0x386, 0x386},     {0x388, 0x38a},
    {0x38c, 0x38c},     {0x38e, 0x3a1},     {0x3a3, 0x3f5},     {0x3f7, 0x481},     {0x48a, 0x52f},
    {0x531, 0x556},     {0x10a0, 0x10c5},   {0x13a0, 0x13f5},   {0x13f8, 0x13fd},   {0x1c90, 0x1cba},
    {0x1cbd, 0x1cbf},   {0x1d00, 0x1d2b},   {0x1d6b, 0x1d77},   {0x1d79, 0x1d9a},   {0x1e00, 0x1f15},
    {0x1f18, 0x1f1d},   {0x1f20, 0x1f45},   {0x1f48, 0x1f4d},   {0x1f50, 0x1f57},   {0x1f59, 0x1f59},
    {0x1f5b, 0x1f5b},   {0x1f5d, 0x1f5d},   {0x1f5f, 0x1f7d},   {0x1f80, 0x1fb4},   {0x1fb6, 0x1fbc},
    {0x1fbe, 0x1fbe},   {0x1fc2, 0x1fc4},   {0x1fc6, 0x1fcc},   {0x1fd0, 0x1fd3},   {0x1fd6, 0x1fdb},
    {0x1fe0, 0x1fec},   {0x1ff2, 0x1ff4},   {0x1ff6, 0x1ffc},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210a, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211d},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212a, 0x212d},   {0x212f, 0x2134},   {0x2139, 0x2139},   {0x213c, 0x213f},
    {0x2145, 0x2149},   {0x214e, 0x214e},   {0x2183, 0x2184},   {0x2c00, 0x2c7b},   {0x2c7e, 0x2ce4},
    {0x2ceb, 0x2cee},   {0x2cf2, 0x2cf3},   {0xa640, 0xa66d},   {0xa680, 0xa69b},   {0xa722, 0xa76f},
    {0xa771, 0xa787},   {0xa78b, 0xa78e},   {0xab70, 0xabbf},   {0xfb00, 0xfb06},   {0xfb13, 0xfb17},
    {0xff21, 0xff3a},   {0xff41, 0xff5a},   {0x10400, 0x1044f}, {0x104b0, 0x104d3}, {0x104d8, 0x104fb},
    {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df}, {0x1e900, 0x1e943}};

/* [!-/:-~！-／：-～‘-‟　-。] */
static const uint32_t DEEPSEEK_MARKS[][2] = {{0x21, 0x2f},     {0x3a, 0x7e},     {0x2018, 0x201f},
                                             {0x3000, 0x3002}, {0xff01, 0xff0f}, {0xff1a, 0xff5e}};

#define RANGES(r)    .set = {.ranges = (r), .n_ranges = N_OF(r)}
#define MASK(m)      .set = {.mask = (m)}
#define STAGES(name) static const st_split_stage name[ST_PRETOK_STAGES]

/* ---- one array of stages a pre-tokeniser ------------------------------------------------------------------------- */

#define L ST_UC_L
#define GPT2_STAGE            \
    {                         \
        .next = st_split_gpt2 \
    }
#define DIGIT_STAGE                                             \
    {                                                           \
        .next = st_split_isolate, MASK(ST_UC_NUMERIC), .max = 1 \
    } /* Digits(individual_digits) */
#define WORDS(digits) .next = st_split_words, .letters = L, .contractions = true, .newlines = true, .max = (digits)
#define CASED(digits) .next = st_split_cased, .letters = L, .newlines = true, .slash = true, .max = (digits)
#define THREE_OF_N_STAGE                                  \
    {                                                     \
        .next = st_split_isolate, MASK(ST_UC_N), .max = 3 \
    } /* \p{N}{1,3} */

STAGES(gpt2) = {GPT2_STAGE};
STAGES(digits_gpt2) = {DIGIT_STAGE, GPT2_STAGE};
STAGES(llama3) = {{WORDS(3)}};
STAGES(qwen2) = {{WORDS(1)}};
STAGES(qwen35) = {{.next = st_split_words, .letters = L | ST_UC_M, .contractions = true, .newlines = true, .max = 1}};
STAGES(seed_coder) = {{.next = st_split_words, .letters = L, .contractions = true, .max = 1}};
STAGES(no_contractions) = {{.next = st_split_words, .letters = L, .newlines = true, .max = 1}};
STAGES(minicpm5) = {THREE_OF_N_STAGE, {WORDS(0)}};
STAGES(gpt4o) = {{CASED(3), .contractions = true}};
STAGES(tekken) = {{CASED(1)}};
STAGES(deepseek_v3) = {THREE_OF_N_STAGE, {.next = st_split_isolate, RANGES(KANA_HAN)}, {.next = st_split_deepseek}};
STAGES(deepseek_coder) = {{.next = st_split_newline},
                          {.next = st_split_spaced, MASK(ST_UC_L)},
                          {.next = st_split_spaced, MASK(ST_UC_P)},
                          {.next = st_split_isolate, RANGES(EAST)},
                          DIGIT_STAGE};
STAGES(deepseek_llm) = {{.next = st_split_newline},
                        {.next = st_split_spaced, RANGES(DEEPSEEK_LETTERS)},
                        {.next = st_split_spaced, RANGES(DEEPSEEK_MARKS)},
                        {.next = st_split_trailing},
                        {.next = st_split_isolate, RANGES(EAST)},
                        DIGIT_STAGE};
/* Punctuation(contiguous), ByteLevel, Digits, Split. */
STAGES(falcon) = {{.next = st_split_isolate, MASK(ST_UC_BERT_PUNCT)},
                  GPT2_STAGE,
                  {.next = st_split_mapped_digits},
                  {.next = st_split_three_digits}};
STAGES(bloom) = {{.next = st_split_bloom}};
STAGES(viking) = {{.next = st_split_bloom}, DIGIT_STAGE};

/* ---- names ------------------------------------------------------------------------------------------------------- */

static const st_pretok TABLE[] = {
    {"gpt-2", gpt2, 0, 0, 0},        /* openai-community/gpt2 */
    {"phi-2", gpt2, 0, 0, 0},        /* microsoft/phi-2 */
    {"roberta-bpe", gpt2, 0, 0, 0},  /* sentence-transformers/stsb-roberta-base */
    {"jina-v1-en", gpt2, 0, 0, 0},   /* jinaai/jina-reranker-v1-tiny-en */
    {"jina-v2-code", gpt2, 0, 0, 0}, /* jinaai/jina-embeddings-v2-base-code */
    {"jina-es", gpt2, 0, 0, 0},      /* older spellings of the two below */
    {"jina-de", gpt2, 0, 0, 0},
    {"jina-v2-es", gpt2, 0, 0, 0},      /* jinaai/jina-embeddings-v2-base-es */
    {"jina-v2-de", gpt2, 0, 0, 0},      /* jinaai/jina-embeddings-v2-base-de */
    {"jais", gpt2, 0, 0, 0},            /* core42/jais-13b */
    {"gigachat", gpt2, 0, 0, 0},        /* ai-sage/GigaChat-20B-A3B-instruct */
    {"a.x-4.0", gpt2, 0, 0, 0},         /* skt/A.X-4.0 */
    {"mellum", gpt2, 0, 0, 0},          /* JetBrains/Mellum-4b-base */
    {"exaone4", gpt2, 0, 0, 0},         /* LGAI-EXAONE/EXAONE-4.0-32B */
    {"trillion", gpt2, 0, 0, 0},        /* trillionlabs/Trillion-7B-preview */
    {"granite-docling", gpt2, 0, 0, 0}, /* ibm-granite/granite-docling-258M */
    {"gpt-neox", gpt2, 1, 0, 0},        /* EleutherAI/gpt-neox-20b; llama.cpp has no name for it */
    {"gptneox", gpt2, 1, 0, 0},
    {"mpt", gpt2, 1, 0, 0},               /* mosaicml/mpt-7b: gpt-neox's */
    {"olmo", gpt2, 1, 0, 0},              /* allenai/OLMo-1.7-7B-hf: gpt-neox's */
    {"modern-bert", gpt2, 1, 0, 0},       /* answerdotai/ModernBERT-base: OLMo's */
    {"smollm", digits_gpt2, 0, 0, 0},     /* HuggingFaceTB/SmolLM-135M */
    {"starcoder", digits_gpt2, 0, 0, 0},  /* bigcode/starcoder2-3b */
    {"refact", digits_gpt2, 0, 0, 0},     /* smallcloudai/Refact-1_6-base */
    {"codeshell", digits_gpt2, 0, 0, 0},  /* WisdomShell/CodeShell-7B */
    {"exaone", digits_gpt2, 0, 0, 0},     /* LGAI-EXAONE/EXAONE-3.0-7.8B-Instruct */
    {"minerva-7b", digits_gpt2, 0, 0, 0}, /* sapienzanlp/Minerva-7B-base-v1.0 */
    {"command-r", digits_gpt2, 1, 0, 0},  /* CohereForAI/c4ai-command-r-v01 (transformers: CohereTokenizer) */
    {"llama-bpe", llama3, 0, 1, 1},       /* meta-llama/Meta-Llama-3-8B */
    {"llama3", llama3, 0, 1, 1},
    {"llama-v3", llama3, 0, 1, 1},
    {"falcon3", llama3, 0, 1, 1},         /* tiiuae/Falcon3-7B-Base */
    {"falcon-h1", llama3, 0, 1, 1},       /* tiiuae/Falcon-H1-0.5B-Base */
    {"pixtral", llama3, 0, 1, 1},         /* mistral-community/pixtral-12b */
    {"midm-2.0", llama3, 0, 1, 1},        /* K-intelligence/Midm-2.0-Base-Instruct */
    {"lfm2", llama3, 0, 1, 1},            /* LiquidAI/LFM2-Tokenizer */
    {"jina-v5-nano", llama3, 0, 1, 1},    /* jinaai/jina-embeddings-v5-text-nano */
    {"dbrx", llama3, 0, 0, 0},            /* databricks/dbrx-base: cl100k */
    {"smaug-bpe", llama3, 0, 0, 0},       /* abacusai/Smaug-Llama-3-70B-Instruct */
    {"chatglm-bpe", llama3, 0, 0, 0},     /* THUDM/glm-4-9b-chat */
    {"glm4", llama3, 0, 0, 0},            /* THUDM/glm-4-9b-hf, zai-org/GLM-4.5-Air */
    {"minicpm5", minicpm5, 0, 1, 0},      /* openbmb/MiniCPM5-1B */
    {"qwen2", qwen2, 1, 0, 0},            /* Qwen/Qwen1.5-7B ... Qwen3-Embedding */
    {"deepseek-r1-qwen", qwen2, 1, 0, 0}, /* deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B */
    {"megrez", qwen2, 1, 0, 0},           /* Infinigence/Megrez-3B-Instruct: Qwen2Tokenizer */
    {"f2llmv2", qwen2, 1, 0, 0},          /* codefuse-ai/F2LLM-v2-4B: Qwen3 */
    {"stablelm2", qwen2, 1, 0, 0},        /* stabilityai/stablelm-2-1_6b: Arcade100kTokenizer, from Qwen's */
    {"kormo", qwen2, 0, 0, 0},            /* KORMo-Team/KORMo-tokenizer */
    {"hunyuan", qwen2, 0, 0, 0},          /* tencent/Hunyuan-A13B-Instruct */
    {"solar-open", qwen2, 0, 0, 0},       /* upstage/Solar-Open-100B */
    {"grok-2", qwen2, 0, 0, 0},           /* alvarobartt/grok-2-tokenizer */
    {"bailingmoe", qwen2, 0, 0, 0},       /* inclusionAI/Ling-lite: possessive, but the same pieces */
    {"bailingmoe2", qwen2, 0, 0, 0},      /* inclusionAI/Ling-mini-base-2.0 */
    {"llada-moe", qwen2, 0, 0, 0},
    {"ufakzeka", no_contractions, 0, 0, 0},      /* Qwen2's without contractions */
    {"seed-coder", seed_coder, 0, 0, 0},         /* ByteDance-Seed/Seed-Coder-8B-Base */
    {"qwen35", qwen35, 1, 0, 0},                 /* Qwen/Qwen3.5-9B-Instruct */
    {"gpt-4o", gpt4o, 0, 0, 0},                  /* Xenova/gpt-4o: o200k */
    {"llama4", gpt4o, 0, 0, 0},                  /* meta-llama/Llama-4-Scout-17B-16E-Instruct */
    {"kanana2", gpt4o, 0, 0, 0},                 /* kakaocorp/kanana-2-30b-a3b-instruct-2601 */
    {"minimax-m2", gpt4o, 0, 0, 0},              /* MiniMaxAI/MiniMax-M2 */
    {"tekken", tekken, 0, 1, 1},                 /* mistralai/Mistral-Nemo-Base-2407 */
    {"deepseek-llm", deepseek_llm, 0, 0, 0},     /* deepseek-ai/deepseek-llm-7b-base */
    {"deepseek-coder", deepseek_coder, 0, 0, 0}, /* deepseek-ai/deepseek-coder-6.7b-base */
    {"deepseek-v3", deepseek_v3, 0, 0, 0},       /* deepseek-ai/DeepSeek-V3 */
    {"hunyuan-dense", deepseek_v3, 0, 0, 0},     /* tencent/Hunyuan-4B-Instruct */
    {"joyai-llm", deepseek_v3, 0, 0, 0},         /* jdopensource/JoyAI-LLM-Flash */
    {"falcon", falcon, 0, 0, 0},                 /* tiiuae/falcon-7b */
    {"bloom", bloom, 0, 0, 0},                   /* bigscience/bloom */
    {"gpt3-finnish", bloom, 0, 0, 0},            /* TurkuNLP/gpt3-finnish-small */
    {"poro-chat", bloom, 0, 0, 0},               /* LumiOpen/Poro-34B-chat */
    {"viking", viking, 0, 0, 0},                 /* LumiOpen/Viking-7B */
};

/* Architectures of files older than the key (May 2024), each with the one tokenizer that it had. */
static const struct {
    const char *arch, *pre;
} OF_ARCH[] = {{"gptneox", "gpt-neox"}, {"mpt", "mpt"},     {"falcon", "falcon"},      {"starcoder", "starcoder"},
               {"refact", "refact"},    {"bloom", "bloom"}, {"qwen2", "qwen2"},        {"command-r", "command-r"},
               {"olmo", "olmo"},        {"dbrx", "dbrx"},   {"codeshell", "codeshell"}};

static const st_pretok *pretok_find(const char *name)
{
    for (size_t i = 0; i < N_OF(TABLE); i++)
        if (strcmp(TABLE[i].name, name) == 0) return &TABLE[i];
    return NULL;
}

const st_pretok *st_pretok_find(st_str name)
{
    for (size_t i = 0; i < N_OF(TABLE); i++)
        if (st_str_eq(name, TABLE[i].name)) return &TABLE[i];
    return NULL;
}

const st_pretok *st_pretok_of_arch(st_str arch)
{
    for (size_t i = 0; i < N_OF(OF_ARCH); i++)
        if (st_str_eq(arch, OF_ARCH[i].arch)) return pretok_find(OF_ARCH[i].pre);
    return pretok_find("gpt-2");
}

void st_pretok_names(char *buf, size_t cap, bool all)
{
    size_t n = 0;
    buf[0] = 0;
    for (size_t i = 0; i < N_OF(TABLE); i++) {
        if (!all && i && TABLE[i].stages == TABLE[i - 1].stages) continue;
        size_t len = strlen(TABLE[i].name);
        if (n + len + 3 > cap) continue;
        if (n) memcpy(buf + n, ", ", 2), n += 2;
        memcpy(buf + n, TABLE[i].name, len + 1);
        n += len;
    }
}
