/* token_internal.h: what a kind of tokenizer is.
 *
 * A kind is one row of functions, in the file of its name, and one line in the table of tokenizer.c. Around it
 * tokenizer.c reads the vocabulary and the special ids, checks UTF-8, cuts added tokens out of the text and adds what
 * stands around it; the kind turns the fragments between into ids, and ids into text. */
#ifndef ST_TOKEN_TOKEN_INTERNAL_H
#define ST_TOKEN_TOKEN_INTERNAL_H

#include "token/added.h"
#include "token/token.h"
#include "token/vocab.h"

/* Special ids, in the order of st_token_info. */
enum {
    ST_SPECIAL_BOS,
    ST_SPECIAL_EOS,
    ST_SPECIAL_UNK,
    ST_SPECIAL_PAD,
    ST_SPECIAL_SEP,
    ST_SPECIAL_CLS,
    ST_SPECIAL_MASK,
    ST_SPECIAL_COUNT
};

typedef struct st_encoder st_encoder;
typedef struct st_text_out st_text_out;

typedef struct st_token_kind {
    const char *name; /* tokenizer.ggml.model */

    /* Where the file does not say a special id: a spelling to look for (NULL: none), else a number (-1: none). */
    struct {
        const char *spelling;
        int32_t id;
    } specials[ST_SPECIAL_COUNT];
    bool add_bos, add_eos; /* where the file does not say */
    bool has_pre;          /* pieces are cut by a pre-tokenizer that can be named */

    /* The vocabulary is open and info is filled. Builds the index, puts into t->added the tokens that are cut out of
     * raw text, and sets first and last. */
    int (*open)(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err);
    void (*close)(st_tokenizer *t); /* of what open made, also half of it */

    /* Appends the ids of e->text[begin..end), valid UTF-8, not empty. */
    int (*encode)(st_encoder *e, size_t begin, size_t end);
    void (*finish)(st_encoder *e); /* frees e->scratch; may be NULL */

    int (*decode)(const st_tokenizer *t, const int32_t *ids, size_t n, st_text_out *out, strata_error *err);
} st_token_kind;

extern const st_token_kind st_token_spm, st_token_bpe, st_token_wordpiece, st_token_unigram;

struct st_tokenizer {
    const st_token_kind *kind;
    const char *pre; /* while it is opened: in place of the file's pre-tokenizer */
    st_vocab vocab;
    st_added added; /* cut out of raw text */
    st_family family;
    st_token_info info;
    int32_t first, last; /* what add_special puts around a text; -1: nothing */
    uint32_t window;     /* bytes of a word that are merged at a time; tests make it small */
    st_mem *mem;
    void *state; /* the kind's */
};

/* One call of encode. */
struct st_encoder {
    const st_tokenizer *t;
    const uint8_t *text;
    size_t len;
    st_tokens *out;
    void *scratch; /* the kind's, NULL at first */
    size_t spent;  /* bytes of work since out->stop was looked at */
    strata_error *err;

    /* What is known of control tokens: none begins in what was looked at up to here; found: one does here. */
    size_t control;
    bool control_found;
};

/* Puts a token into t->added, spelled s, with the flags that its own spelling is known to have. False: no memory. */
bool st_tokenizer_add_as(st_tokenizer *t, int32_t id, st_str s, unsigned class);

/* Puts the tokens of these types (1 << ST_TOKEN_...) into t->added. False: no memory. */
bool st_tokenizer_add(st_tokenizer *t, unsigned types, unsigned class);

/* User-defined tokens of a vocabulary that puts a space before a text. HuggingFace cuts them out of the raw text, so
 * what follows begins with a space of its own and none stands before them; sentencepiece looks for them in the
 * normalised text. Those that are nothing but spaces stay with the latter. False: no memory. */
bool st_tokenizer_add_user(st_tokenizer *t);

/* <0xNN> with exactly two digits: its byte; else -1. */
int st_byte_token(st_str s);

/* bytes[b] = the byte token of b, -1: none. Errors: CORRUPT_MODEL (a token of that type with another spelling). */
int st_tokenizer_bytes(st_tokenizer *t, int32_t bytes[256], const st_gguf *g, strata_error *err);

/* Output of decode: counts beyond cap. */
struct st_text_out {
    char *buf;
    size_t cap, len;
};

static inline void st_text_put(st_text_out *o, const char *p, size_t n)
{
    if (o->len < o->cap) memcpy(o->buf + o->len, p, n < o->cap - o->len ? n : o->cap - o->len);
    o->len += n;
}

/* The same for bytes of a vocabulary, which may be no UTF-8: each invalid part becomes U+FFFD. */
void st_text_put_lossy(st_text_out *o, const char *p, size_t n);

/* The same for bytes that come piece by piece, a character maybe in parts. */
typedef struct st_lossy {
    st_text_out *out;
    uint8_t held[4]; /* the start of a character */
    unsigned n;
} st_lossy;
void st_lossy_put(st_lossy *l, const uint8_t *p, size_t n);
void st_lossy_end(st_lossy *l);

bool st_tokens_grow(st_tokens *o);

/* Work on n more bytes. Errors: CANCELLED, DEADLINE. */
#define ST_LOOK_BYTES 16384
int st_encoder_look(st_encoder *e);
static inline int st_encoder_spend(st_encoder *e, size_t n)
{
    e->spent += n;
    return e->spent < ST_LOOK_BYTES ? STRATA_OK : st_encoder_look(e);
}

/* Appends a token that stands for [begin, end). False: no memory. */
static inline bool st_tokens_push(st_tokens *o, int32_t id, size_t begin, size_t end)
{
    if ((o->n == o->cap || (o->want_spans && o->n == o->span_cap)) && !st_tokens_grow(o)) return false;
    o->ids[o->n & ~o->drop] = id;
    if (o->want_spans) o->spans[o->n] = (strata_span){begin, end};
    o->n++;
    return true;
}

#endif
