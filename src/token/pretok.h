/* pretok.h: pre-tokenisers: how a text is cut into the pieces that byte-level BPE merges, by tokenizer.ggml.pre.
 *
 * HuggingFace describes them as regular expressions, one after the other. Here each is a small automaton over the
 * property words of unicode_tables.h that says where the first piece of a text ends, looking at most one run ahead:
 * linear time, no recursion, no regex engine. A name is one row of the table in pretok.c: stages, the normaliser that
 * the model's HuggingFace tokenizer runs before, and how its BPE treats whole pieces. */
#ifndef ST_TOKEN_PRETOK_H
#define ST_TOKEN_PRETOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/gguf.h"

#define ST_PRETOK_STAGES 6

/* A set of code points: properties, or inclusive ranges. */
typedef struct st_split_set {
    uint32_t mask;
    const uint32_t (*ranges)[2]; /* ascending */
    uint32_t n_ranges;
} st_split_set;

/* One regular expression of a pre-tokeniser. next gives the end of the first piece of p[0..n): n >= 1, whole valid
 * characters (after a falcon stage: any bytes). The text after n is not there: lookahead ends at n. */
typedef struct st_split_stage {
    size_t (*next)(const struct st_split_stage *s, const uint8_t *p, size_t n);
    st_split_set set;
    uint32_t max;      /* most characters of a piece of the set; 0: no bound */
    uint32_t letters;  /* what words are made of: \p{L}, or \p{L}\p{M} */
    bool contractions; /* English 's 't 're ... in any case are pieces (or ends of words) */
    bool newlines;     /* \r and \n (with slash: and '/') right after punctuation belong to it */
    bool slash;
} st_split_stage;

typedef struct st_pretok {
    const char *name; /* tokenizer.ggml.pre */
    const st_split_stage *stages;
    bool nfc;           /* HF normalises first */
    bool ignore_merges; /* a whole piece that is a token is taken as it is */
    bool add_bos;       /* where the file does not say */
} st_pretok;

/* The row of a name; NULL: none. */
const st_pretok *st_pretok_find(st_str name);

/* The row for a file without the key: files from before it exist for architectures that had one tokenizer. */
const st_pretok *st_pretok_of_arch(st_str arch);

/* Writes the supported names, comma-separated, into buf[cap]: all, or one for each way of splitting. */
void st_pretok_names(char *buf, size_t cap, bool all);

/* Walks a text. */
typedef struct st_splitter {
    const st_split_stage *stages;
    const uint8_t *text;
    size_t n, at;
    size_t end[ST_PRETOK_STAGES]; /* of the piece of each stage that holds `at` */
} st_splitter;

static inline st_splitter st_split_begin(const st_pretok *pre, const uint8_t *text, size_t n)
{
    return (st_splitter){.stages = pre->stages, .text = text, .n = n};
}

/* Moves s->at to the end of the piece that starts there. Before: s->at < s->n. */
static inline void st_split_next(st_splitter *s)
{
    size_t limit = s->n;
    for (int k = 0; k < ST_PRETOK_STAGES && s->stages[k].next; k++) {
        if (s->end[k] <= s->at) s->end[k] = s->at + s->stages[k].next(&s->stages[k], s->text + s->at, limit - s->at);
        limit = s->end[k];
    }
    s->at = limit;
}

/* The automata: pretok_split.c. */
size_t st_split_gpt2(const st_split_stage *s, const uint8_t *p, size_t n);
size_t st_split_words(const st_split_stage *s, const uint8_t *p, size_t n);    /* llama3, qwen2 and kin */
size_t st_split_cased(const st_split_stage *s, const uint8_t *p, size_t n);    /* gpt-4o, tekken */
size_t st_split_deepseek(const st_split_stage *s, const uint8_t *p, size_t n); /* deepseek-v3 */
size_t st_split_isolate(const st_split_stage *s, const uint8_t *p, size_t n);  /* runs of a set */
size_t st_split_newline(const st_split_stage *s, const uint8_t *p, size_t n);  /* each \r and \n */
size_t st_split_spaced(const st_split_stage *s, const uint8_t *p, size_t n);   /* \s? and a run of a set */
size_t st_split_trailing(const st_split_stage *s, const uint8_t *p, size_t n); /* \s+$ */
size_t st_split_bloom(const st_split_stage *s, const uint8_t *p, size_t n);
size_t st_split_mapped_digits(const st_split_stage *s, const uint8_t *p, size_t n); /* falcon */
size_t st_split_three_digits(const st_split_stage *s, const uint8_t *p, size_t n);  /* falcon */

#endif
