/* bpe.h: state of the byte-level BPE kind, shared by bpe.c (opening, pieces, decode) and bpe_merge.c (merges). */
#ifndef ST_TOKEN_BPE_H
#define ST_TOKEN_BPE_H

#include <stdatomic.h>

#include "token/heap.h"
#include "token/nfc.h"
#include "token/pretok.h"
#include "token/token_internal.h"

/* A token is reached by joining two neighbours: `left` bytes of its spelling and the rest. */
typedef struct st_bpe_split {
    uint32_t rank; /* of the merge: smaller is done first */
    uint32_t left; /* 0: no split */
} st_bpe_split;

typedef struct st_bpe {
    const st_pretok *pre;
    bool prefix;          /* a space goes before each fragment that does not start with one */
    uint16_t spell[256];  /* a byte in the alphabet of the vocabulary: its UTF-8, second byte above the first */
    int32_t bytes[256];   /* token of a byte, -1: none */
    uint32_t *start;      /* [n_vocab + 1]: of a token's splits */
    st_bpe_split *splits; /* [n_merges] */
    /* [n_vocab]: does a piece spelled like this token merge into it? 0 not tried, 1 yes, 2 no */
    _Atomic uint8_t *whole;
} st_bpe;

typedef struct st_bpe_symbol {
    uint32_t at, len; /* of its spelling; len 0: gone into its left neighbour */
    uint32_t prev, next;
    int32_t id;
} st_bpe_symbol;

/* Of one call of encode, reused for all its pieces. */
typedef struct st_bpe_scratch {
    st_normal norm; /* the fragment, where it is not the given text */
    bool normal;    /* it is not */
    size_t base;    /* of the fragment in the text */
    uint8_t *word;  /* the piece, spelled as in the vocabulary */
    uint32_t *kept; /* [bytes of the piece], only if some byte is no token: which ones are left */
    bool dropped;
    size_t word_cap, kept_cap;
    size_t piece; /* where the piece starts in the fragment */
    st_bpe_symbol *symbols;
    size_t symbol_cap;
    st_heap heap;
} st_bpe_scratch;

/* The next bytes that a spelling stands for, from its offset *at on, which is moved: at most cap, their number is
 * returned. 0: no more, or, with *at 0, that it is not all of the alphabet and stands for itself. */
size_t st_bpe_bytes(st_str s, size_t *at, uint8_t *out, size_t cap);

/* Reads tokenizer.ggml.merges into m->start and m->splits. */
int st_bpe_read_merges(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err);

/* Appends the token for bytes [begin, end) of what is left of the piece. */
int st_bpe_push(st_encoder *e, int32_t id, size_t begin, size_t end);

/* Spells p[0..n) in word, without the bytes that are no token; *left is how many bytes remain. UINT32_MAX: no
 * memory. */
uint32_t st_bpe_spell(st_encoder *e, const uint8_t *p, size_t n, uint32_t *left);

/* Merges word[0..len), which spells n bytes, and appends its tokens. */
int st_bpe_merge(st_encoder *e, uint32_t len, uint32_t n);

/* The same for a piece of any length, a window of t->window bytes at a time. */
int st_bpe_merge_long(st_encoder *e, const uint8_t *p, size_t n);

#endif
