/* spm.h: state of the SentencePiece BPE kind, shared by spm.c (normalising, segments, decode) and spm_merge.c
 * (merges). */
#ifndef ST_TOKEN_SPM_H
#define ST_TOKEN_SPM_H

#include <stdatomic.h>

#include "token/heap.h"
#include "token/token_internal.h"

typedef struct st_spm {
    const uint8_t *scores; /* f32 [n_vocab] in the file, unaligned */
    int32_t bytes[256];    /* byte tokens, -1: none */
    bool prefix;           /* a space goes before the text */
    bool squeeze;          /* remove_extra_whitespaces */
    bool has_unused;       /* some tokens may be formed but not be output */
    bool joins[256];       /* some token holds a space right after this byte: no cut between the two */
    uint8_t stop[256];     /* bytes that the search for segments looks at: 1 user-defined, 2 may start a space */
    st_added user;         /* user-defined tokens as they look in normalised text */
    _Atomic uint8_t
        *whole; /* [n_vocab]: does a segment spelled like this token merge into it? 0 not tried, 1 yes, 2 no */
} st_spm;

/* A piece of normalised text while it is merged. */
typedef struct st_spm_symbol {
    uint32_t at, len; /* len 0: gone into its left neighbour */
    uint32_t prev, next;
    int32_t id; /* -1: not looked up yet */
} st_spm_symbol;

/* Of one call of encode, reused for all its segments. */
typedef struct st_spm_scratch {
    uint8_t *norm;  /* normalised fragment */
    uint32_t *from; /* [n_norm], only with spans: offset in the fragment of what a byte comes from */
    size_t n_norm, norm_cap, from_cap;
    uint32_t dummy; /* bytes at the start of norm that come from nowhere */
    size_t base;    /* of the fragment in the text */
    bool after_unk; /* the last token is an <unk> that the next unknown character joins */
    st_spm_symbol *symbols;
    uint32_t *stack;
    size_t symbol_cap, stack_cap;
    st_heap heap;
    uint32_t *split; /* [n_vocab], only with unused tokens: length of the left part that last proposed the token */
} st_spm_scratch;

#define ST_SPM_SPACE "\xe2\x96\x81" /* U+2581 */

static inline bool st_spm_is_space(const uint8_t *p)
{
    return p[0] == 0xe2 && p[1] == 0x96 && p[2] == 0x81;
}

/* The bytes of the text that norm[begin..end) comes from; {0, 0} if nobody wants to know. */
strata_span st_spm_span(const st_encoder *e, uint32_t begin, uint32_t end);

/* Appends the token for norm[begin..end). */
int st_spm_push(st_encoder *e, int32_t id, uint32_t begin, uint32_t end);

/* Merges norm[begin..end) and appends its tokens. */
int st_spm_merge(st_encoder *e, uint32_t begin, uint32_t end);

#endif
