/* token.h: text <-> token ids, as the model's HuggingFace tokenizer does it.
 *
 * A st_tokenizer is built from a file's metadata alone; it keeps views into the file, which must outlive it. No call
 * changes what it answers, so any number of threads may use it: what BPE kinds learn of a vocabulary while they encode
 * (bpe.c, spm.c) is atomic, and each thread would find the same. Each kind of tokenizer is one row of functions
 * (token_internal.h) in a file of its name: bpe.c, spm.c, unigram.c, wordpiece.c. What they share (vocabulary hash,
 * special tokens, added tokens) has files of its own. Time is linear in the length of the text (n log n for merges). */
#ifndef ST_TOKEN_TOKEN_H
#define ST_TOKEN_TOKEN_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "base/os/mem.h"
#include "gguf/gguf.h"

typedef struct st_tokenizer st_tokenizer;

typedef struct st_token_info {
    uint32_t n_vocab;
    int32_t bos, eos, unk, pad, sep, cls, mask; /* -1: none */
    bool add_bos, add_eos;
} st_token_info;

/* GGUF token types. */
enum {
    ST_TOKEN_NORMAL = 1,
    ST_TOKEN_UNKNOWN = 2,
    ST_TOKEN_CONTROL = 3,
    ST_TOKEN_USER = 4,
    ST_TOKEN_UNUSED = 5,
    ST_TOKEN_BYTE = 6
};

/* pre: the pre-tokenizer in place of the one that tokenizer.ggml.pre names; NULL: that one. Errors:
 * UNSUPPORTED_TOKENIZER (names the kind and what is supported; also a pre where the kind has none), CORRUPT_MODEL,
 * NO_MEMORY. */
int st_tokenizer_open(const st_gguf *g, const char *pre, const st_log *log, st_mem *mem, st_tokenizer **out,
                      strata_error *err);
void st_tokenizer_close(st_tokenizer *t);
const st_token_info *st_tokenizer_info(const st_tokenizer *t);

/* When a long call ends before it is done. */
typedef struct st_stop {
    const volatile int *cancel; /* not 0: CANCELLED; NULL: never */
    double deadline;            /* on st_now's clock: DEADLINE; 0: none */
} st_stop;

/* Growing output of encode; the caller frees ids and spans with st_free. spans stays NULL unless want_spans. With
 * `count` nothing but n is kept: what is allocated then does not grow with the number of tokens. */
typedef struct st_tokens {
    int32_t *ids;
    strata_span *spans;
    size_t n, cap, span_cap;
    size_t drop; /* bits of an index that do not count: with `count` all, and ids has one place, the last id's */
    bool want_spans, count;
    st_mem *mem;
    const st_stop *stop; /* looked at every few thousand bytes; NULL: none */
} st_tokens;
void st_tokens_free(st_tokens *out);

/* Appends the tokens of text to *out. flags: STRATA_TOKENIZE_*. Errors: INVALID_ARG (not UTF-8: the byte offset; more
 * than 1 GiB), NO_MEMORY, CANCELLED, DEADLINE. On failure out->n is what it was. Spans are byte offsets in `text` as
 * given. */
int st_tokenizer_encode(const st_tokenizer *t, const char *text, size_t len, unsigned flags, st_tokens *out,
                        strata_error *err);

/* The same for a text in parts, tokenized as the one text that they join to: control tokens are recognised where they
 * lie in neighbouring trusted parts alone, whatever PARSE_SPECIAL says; user-defined ones everywhere. Spans are byte
 * offsets in the joined text; an error about UTF-8 names the part and the offset in it. The 1 GiB are of all parts. */
int st_tokenizer_encode_parts(const st_tokenizer *t, const strata_text_part *parts, size_t n, unsigned flags,
                              st_tokens *out, strata_error *err);

/* Appends decode(ids) to buf [cap]; *len is the length needed, also beyond cap. Errors: INVALID_ARG (an id out of
 * range), NO_MEMORY. _text leaves out control, unknown and unused tokens. */
int st_tokenizer_decode_text(const st_tokenizer *t, const int32_t *ids, size_t n, char *buf, size_t cap, size_t *len,
                             strata_error *err);
int st_tokenizer_decode(const st_tokenizer *t, const int32_t *ids, size_t n, char *buf, size_t cap, size_t *len,
                        strata_error *err);

/* The bytes that a token puts into the middle of a text (control tokens: their spelling); returns their number, also
 * beyond cap. */
size_t st_tokenizer_raw(const st_tokenizer *t, int32_t id, char *buf, size_t cap);

/* Does generation end with this token: the file's end token, or a control token that models end an answer with. */
bool st_tokenizer_is_end(const st_tokenizer *t, int32_t id);

/* Spelling and GGUF type of an id in range. */
st_str st_tokenizer_piece(const st_tokenizer *t, int32_t id);
int st_tokenizer_type(const st_tokenizer *t, int32_t id);

#endif
