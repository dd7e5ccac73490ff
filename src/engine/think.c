/* think.c: the families of thinking marks, and an automaton that finds where thinking ends. */
#include "engine/think.h"

#include <string.h>

#define MAX_PIECE 4096u /* bytes of a token */
#define TAIL      256u  /* bytes of a prompt that are looked at: an opener and white space */

typedef struct family {
    const char *open, *end, *then; /* then: NULL, or a second text that the end waits for */
} family;

/* From the chat templates that models ship (tokenizer.chat_template of the models named). Openers that are the end of
 * others stand behind them. */
static const family families[] = {
    {"<think>", "</think>", NULL}, /* DeepSeek R1, QwQ, Qwen3, GLM 4.5, MiniMax M2, Nemotron, Ring, SmolLM3 */
    {"[THINK]", "[/THINK]", NULL}, /* Magistral, Ministral 3 reasoning */
    {"<|START_THINKING|>", "<|END_THINKING|>", NULL},                          /* Command A reasoning, Command R7B */
    {"<seed:think>", "</seed:think>", NULL},                                   /* Seed-OSS */
    {"\xe2\x97\x81think\xe2\x96\xb7", "\xe2\x97\x81/think\xe2\x96\xb7", NULL}, /* Kimi-VL thinking */
    {"<|channel>thought", "<channel|>", NULL},                                 /* Gemma 4 */
    {"<longcat_think>", "</longcat_think>", NULL},                             /* LongCat Flash thinking */
    {"<|think|>", "<|end|><|begin|>assistant<|content|>", NULL},               /* Solar Open */
    {"<|inner_prefix|>", "<|inner_suffix|>", NULL},                            /* Apertus */
    {"<thinking>", "</thinking>", NULL},
    {"<reasoning>", "</reasoning>", NULL},
    {"<thought>", "</thought>", NULL}, /* EXAONE Deep */
    /* gpt-oss: an answer begins in the channel that the model chooses, and what is said to the user is in `final`:
     * <|channel|>final<|message|>, with <|constrain|>json before <|message|> or without. */
    {"<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>final", "<|message|>"},
    {"<|start|>assistant", "<|channel|>final", "<|message|>"},
};

enum { N_FAMILIES = sizeof families / sizeof *families };

struct st_think {
    st_mem *mem;
    const st_tokenizer *t;
    const char *text[3]; /* the last is NULL */
    size_t len[2];
    uint32_t *back[2];     /* [len + 1] longest border of each beginning, as Knuth, Morris and Pratt have it */
    uint32_t which, match; /* the text that is waited for, and how much of it stands at the end */
    uint32_t *past;        /* tokens that could run past the end */
    size_t n_past, past_cap;
    char piece[MAX_PIECE];
};

static bool think_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool st_think_opened(const st_tokenizer *t, const int32_t *ids, size_t n, const char *end[2])
{
    char tail[TAIL], piece[TAIL];
    size_t len = 0;
    for (size_t i = n; i-- > 0 && len < TAIL;) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= st_tokenizer_info(t)->n_vocab) break;
        size_t k = st_tokenizer_raw(t, ids[i], piece, sizeof piece);
        if (k > sizeof piece) break;
        while (len == 0 && k > 0 && think_is_space(piece[k - 1])) k--; /* blanks at the very end */
        if (k > TAIL - len) break;
        memcpy(tail + TAIL - len - k, piece, k);
        len += k;
    }
    for (size_t f = 0; f < N_FAMILIES; f++) {
        size_t k = strlen(families[f].open);
        if (k > len || memcmp(tail + TAIL - k, families[f].open, k) != 0) continue;
        end[0] = families[f].end;
        end[1] = families[f].then;
        return true;
    }
    return false;
}

void st_think_end_of(const st_tokenizer *t, const char *end[2])
{
    uint32_t n = st_tokenizer_info(t)->n_vocab;
    size_t best = N_FAMILIES;
    for (uint32_t id = 0; id < n; id++) {
        int type = st_tokenizer_type(t, (int32_t)id);
        if (type != ST_TOKEN_CONTROL && type != ST_TOKEN_USER) continue;
        st_str piece = st_tokenizer_piece(t, (int32_t)id);
        for (size_t f = 0; f < best; f++) {
            const char *own = families[f].then ? "<|channel|>" : families[f].end;
            if (st_str_eq(piece, own)) best = f;
        }
    }
    if (best == N_FAMILIES) best = 0;
    end[0] = families[best].end;
    end[1] = families[best].then;
}

/* ---- the automaton of the end ------------------------------------------------------------------------------------ */

/* One byte further; true: the end is complete. */
static bool think_step(const st_think *k, uint32_t *which, uint32_t *match, char c)
{
    const char *text = k->text[*which];
    while (*match && text[*match] != c) *match = k->back[*which][*match];
    *match += text[*match] == c;
    if (*match < k->len[*which]) return false;
    *match = 0;
    return !k->text[++*which];
}

/* How far a piece leads: the bytes up to the end of thinking, its own included; n + 1: it does not end there. */
static size_t think_find_end(const st_think *k, uint32_t *which, uint32_t *match, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (think_step(k, which, match, p[i])) return i + 1;
    return n + 1;
}

static size_t think_piece_of(st_think *k, int32_t id)
{
    if ((uint32_t)id >= st_tokenizer_info(k->t)->n_vocab) return 0;
    size_t n = st_tokenizer_raw(k->t, id, k->piece, sizeof k->piece);
    return n < sizeof k->piece ? n : sizeof k->piece;
}

static bool think_fill(st_think *k)
{
    for (uint32_t w = 0; w < 2 && k->text[w]; w++) {
        k->len[w] = strlen(k->text[w]);
        k->back[w] = st_calloc(k->mem, k->len[w] + 1, sizeof *k->back[w]);
        if (!k->back[w]) return false;
        for (size_t i = 1, m = 0; i < k->len[w]; i++) {
            while (m && k->text[w][i] != k->text[w][m]) m = k->back[w][m];
            m += k->text[w][i] == k->text[w][m];
            k->back[w][i + 1] = (uint32_t)m;
        }
    }
    /* Whatever came before, a token that runs past the end has its last byte somewhere before its own. */
    uint32_t last = k->text[1] ? 1 : 0, n = st_tokenizer_info(k->t)->n_vocab;
    char c = k->text[last][k->len[last] - 1];
    for (uint32_t id = 0; id < n; id++) {
        size_t len = think_piece_of(k, (int32_t)id);
        if (len < 2 || !memchr(k->piece, c, len - 1)) continue;
        if (!st_grow(k->mem, &k->past, &k->past_cap, k->n_past + 1, k->n_past, sizeof *k->past)) return false;
        k->past[k->n_past++] = id;
    }
    return true;
}

int st_think_open(const st_tokenizer *t, const char *const end[2], st_mem *mem, st_think **out, strata_error *err)
{
    st_think *k = st_calloc(mem, 1, sizeof *k);
    ST_FAIL_IF(!k, err, STRATA_NO_MEMORY, "no memory for the end of thinking");
    k->mem = mem;
    k->t = t;
    k->text[0] = end[0];
    k->text[1] = end[1];
    if (!think_fill(k)) {
        st_think_close(k);
        ST_FAIL(err, STRATA_NO_MEMORY, "no memory for the end of thinking");
    }
    *out = k;
    return STRATA_OK;
}

void st_think_close(st_think *k)
{
    if (!k) return;
    st_free(k->mem, k->back[0]);
    st_free(k->mem, k->back[1]);
    st_free(k->mem, k->past);
    st_free(k->mem, k);
}

bool st_think_is_on(const st_think *k)
{
    return k->which < 2 && k->text[k->which];
}

bool st_think_passes(const st_think *k, int32_t id)
{
    static const char end[] = "<|end|>"; /* a block's, where others follow */
    bool own = k->text[1] || strncmp(k->text[0], end, sizeof end - 1) == 0;
    return own && st_think_is_on(k) && st_str_eq(st_tokenizer_piece(k->t, id), end);
}

int st_think_mask(st_think *k, const st_grammar_state *start, st_grammar_state *probe, uint32_t *mask, bool *any,
                  strata_error *err)
{
    *any = false;
    for (size_t i = 0; i < k->n_past; i++) {
        uint32_t id = k->past[i], which = k->which, match = k->match;
        size_t n = think_piece_of(k, (int32_t)id), at = think_find_end(k, &which, &match, k->piece, n);
        if (at >= n) continue;
        st_grammar_state_copy(probe, start);
        int rc = st_grammar_accept_bytes(probe, (const uint8_t *)k->piece + at, n - at, err);
        if (rc == STRATA_OK) continue;
        if (rc != STRATA_INVALID_ARG) return rc;
        mask[id >> 5] &= ~(1u << (id & 31));
        *any = true;
    }
    return STRATA_OK;
}

void st_think_accept(st_think *k, int32_t id, const uint8_t **rest, size_t *n_rest)
{
    size_t n = think_piece_of(k, id), at = think_find_end(k, &k->which, &k->match, k->piece, n);
    *rest = (const uint8_t *)k->piece + (at < n ? at : n);
    *n_rest = at < n ? n - at : 0;
}
