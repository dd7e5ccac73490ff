/* schema_lang.h: sets of strings: patterns, formats, lengths, lists of strings, and what they have in common.
 *
 *   schema_regex.c  a pattern -> a tree, and that as GBNF
 *   schema_lang.c   sets of strings with and, or, not: Brzozowski's derivatives, a character at a time
 *   schema_dfa.c    such a set -> GBNF, one rule for each state */
#ifndef ST_GRAMMAR_SCHEMA_SCHEMA_LANG_H
#define ST_GRAMMAR_SCHEMA_SCHEMA_LANG_H

#include "grammar/schema/schema_internal.h"

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

typedef struct st_srange {
    uint32_t lo, hi; /* code points, inclusive */
} st_srange;

enum {
    ST_SR_SET, /* ranges first .. first + last */
    ST_SR_ANY, /* any character */
    ST_SR_SEQ, /* children in order */
    ST_SR_ALT, /* one of the children */
    ST_SR_REP, /* the child min..max times; max ST_S_NONE: no limit */
    ST_SR_LOOK /* the rest of the text is in the child; min 1: is not */
};

typedef struct st_srnode {
    uint32_t kind, first, last, next, min, max;
} st_srnode;

typedef struct st_sregex {
    st_mem *mem;
    st_srnode *nodes;
    st_srange *ranges;
    size_t n_nodes, nodes_cap, n_ranges, ranges_cap;
    uint32_t root;
    bool looks; /* it looks ahead */
    bool no_memory;
} st_sregex;

/* NULL, or what is wrong with the pattern, *at: where. To be freed in any case. */
const char *st_sregex_parse(st_sregex *out, st_mem *mem, const char *p, size_t n, size_t *at);
void st_sregex_free(st_sregex *r);
/* Makes the pattern keep to min..max characters (ST_S_NONE: no limit), if its own bounds can say so. */
bool st_sregex_bound(st_sregex *r, uint32_t min, uint32_t max);
/* As one group of GBNF that may use the rule `char`; not for patterns that look ahead. */
void st_sregex_write(const st_sregex *r, st_sbuf *b);

/* A character of the range can stand in a JSON string as the library writes it. */
bool st_sset_writable(st_srange r);
/* The ranges [n] as one group of GBNF. */
void st_sset_put(st_sbuf *b, const st_srange *r, size_t n);

/* ---- sets of strings --------------------------------------------------------------------------------------------- */

typedef struct st_slang st_slang;

/* Sets are numbers; these two are always there. */
enum { ST_SL_NONE = 0, ST_SL_EMPTY = 1 }; /* no string; the empty one */

st_slang *st_slang_open(st_mem *mem); /* NULL: no memory */
void st_slang_close(st_slang *l);

/* What went wrong since it was opened: NULL; "" for no memory; else the reason. Functions then return ST_SL_NONE. */
const char *st_slang_error(const st_slang *l);

uint32_t st_slang_pattern(st_slang *l, const st_sregex *r);
uint32_t st_slang_length(st_slang *l, uint32_t min, uint32_t max);
uint32_t st_slang_string(st_slang *l, const char *p, size_t n);
/* Decimals without exponent that are a multiple of n / 10^scale, n > 0; together with a pattern that says what a
 * decimal is. */
uint32_t st_slang_multiple(st_slang *l, uint32_t n, uint32_t scale);
uint32_t st_slang_cat(st_slang *l, uint32_t a, uint32_t b);
uint32_t st_slang_repeat(st_slang *l, uint32_t a, uint32_t min, uint32_t max); /* max ST_S_NONE: no limit */
uint32_t st_slang_and(st_slang *l, uint32_t a, uint32_t b);
uint32_t st_slang_or(st_slang *l, uint32_t a, uint32_t b);
uint32_t st_slang_not(st_slang *l, uint32_t a);

/* Work done so far. */
uint32_t st_slang_steps(const st_slang *l);
bool st_slang_has(st_slang *l, uint32_t set, const char *p, size_t n);

/* Rules PREFIX0, PREFIX1 ... of the set's states into `rules`, PREFIX0 for the set itself, without quotes. *any: false
 * if no string of it can be written, and then there are no rules. */
bool st_slang_write(st_slang *l, uint32_t set, const char *prefix, st_sbuf *rules, bool *any);

#endif
