/* schema_lang_internal.h: the inside of a set of strings, for schema_lang.c and schema_dfa.c. */
#ifndef ST_GRAMMAR_SCHEMA_SCHEMA_LANG_INTERNAL_H
#define ST_GRAMMAR_SCHEMA_SCHEMA_LANG_INTERNAL_H

#include "grammar/schema/schema_lang.h"

/* Budgets of one set: what takes more is refused by name. */
#define ST_SL_MAX_TERMS  300000u
#define ST_SL_MAX_STATES 40000u
#define ST_SL_MAX_STEPS  2000000u

enum { ST_SL_SET = 2, ST_SL_CAT, ST_SL_OR, ST_SL_AND, ST_SL_NOT, ST_SL_REP, ST_SL_MOD }; /* after NONE and EMPTY */

/* a, b: terms; SET: ranges a .. a + b; REP: a, min..max times; MOD: the rest of a decimal that is a multiple of
 * min / 10^max, when a remains of what stands before and b - 1 digits behind the point were read (0: no point yet). */
typedef struct st_slterm {
    uint32_t kind, a, b, min, max;
    uint32_t hash_next;
    bool empty; /* has the empty string */
} st_slterm;

struct st_slang {
    st_mem *mem;
    st_slterm *terms;
    size_t n_terms, terms_cap;
    st_srange *ranges;
    size_t n_ranges, ranges_cap;
    uint32_t *hash; /* index + 1 */
    size_t hash_cap;
    /* Derivatives that are known: term << 32 | character -> term + 1. */
    uint64_t *keys;
    uint32_t *values;
    size_t n_known, known_cap;
    uint32_t *scratch;
    size_t scratch_cap;
    uint32_t all, any; /* every string; every character */
    uint32_t steps;
    const char *error;
};

/* The set of what may follow character cp of a string of `term`. */
uint32_t st_slang_derive(st_slang *l, uint32_t term, uint32_t cp);
uint32_t st_slang_fail(st_slang *l, const char *why);

#endif
