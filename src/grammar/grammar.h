/* grammar.h: GBNF text -> which tokens may come next.
 *
 * The syntax is llama.cpp's (grammars/README.md):
 *
 *   name ::= ...                    a rule; names may also hold `_`; there is one called `root`
 *   "text"  [a-z]  [^a-z]  .        a literal, a class, its complement, any character
 *   \n \r \t \\ \" \[ \] \-         escapes in both, and \xHH \uHHHH \UHHHHHHHH
 *   (...)  a | b                    a group, alternatives
 *   *  +  ?  {m}  {m,}  {m,n}       repetitions of what stands before
 *   # ...                           a comment
 *
 * Not supported: token terminals, <[1000]> and <think>. Stricter than llama.cpp: an error is a rule defined twice, one
 * that can never end, left recursion, an empty class.
 *
 * Three objects:
 *
 *   st_gvocab         the vocabulary as a trie of bytes. Immutable: grammars and threads may share one. A context makes
 *                     its own with its first grammar.
 *   st_grammar        a compiled grammar with what it has learnt so far: an automaton over bytes, whose states are sets
 *                     of (place in the grammar, stack of places to return to) and are made when first reached, and
 *                     their masks. One thread at a time, its states included.
 *   st_grammar_state  where one text stands in it.
 *
 * The alphabet is bytes of UTF-8, so a character may be split over tokens anywhere; text that is not UTF-8 never
 * matches.
 *
 * A mask costs a copy where a state was seen before. Otherwise trie and automaton are walked together; tokens that stay
 * inside a run of one character class, such as the inside of a JSON string, come from a bitset made once for the class.
 *
 * {m,n} costs nothing to compile whatever m and n are (at most 4294967294): repetitions are counted, and where the
 * bounds are far away all counts have one mask. A byte order mark before the text is skipped.
 *
 * Every grammar has budgets: text, rules, nesting, places at compile time; places in a state and steps in a call at run
 * time. What exceeds them is BAD_GRAMMAR, well within a second. */
#ifndef ST_GRAMMAR_GRAMMAR_H
#define ST_GRAMMAR_GRAMMAR_H

#include <stdbool.h>

#include "base/error.h"
#include "base/os/mem.h"

enum {
    ST_PIECE_TEXT = 0,
    ST_PIECE_SPECIAL = 1, /* never allowed by a grammar */
    ST_PIECE_EOG = 2      /* allowed where the text may end */
};

/* How the grammar sees a vocabulary. `piece` gives the bytes that a token decodes to in the middle of a text, valid
 * until the next call; empty ones are never allowed. */
typedef struct st_vocab_view {
    uint32_t n;
    void *user;
    const uint8_t *(*piece)(void *user, uint32_t id, size_t *len);
    int (*kind)(void *user, uint32_t id); /* ST_PIECE_* */
} st_vocab_view;

typedef struct st_gvocab st_gvocab;
typedef struct st_grammar st_grammar;
typedef struct st_grammar_state st_grammar_state;

/* Copies what it needs from the view. Errors: INVALID_ARG (no tokens, or more bytes than 2^31), NO_MEMORY. */
int st_gvocab_open(const st_vocab_view *view, st_mem *mem, st_gvocab **out, strata_error *err);
void st_gvocab_close(st_gvocab *v);

/* Words of a mask: (n + 31) / 32. */
uint32_t st_gvocab_words(const st_gvocab *v);

/* vocab may be NULL, for matching bytes alone; else it outlives the grammar. Errors: BAD_GRAMMAR ("grammar 3:14: ..."
 * with line and column, what was found and what was wanted), NO_MEMORY. */
int st_grammar_open(const char *text, size_t len, const st_gvocab *vocab, st_mem *mem, st_grammar **out,
                    strata_error *err);
/* The same language with any white space (blanks, tabs, ends of lines) before it. */
int st_grammar_open_spaced(const char *text, size_t len, const st_gvocab *vocab, st_mem *mem, st_grammar **out,
                           strata_error *err);
void st_grammar_close(st_grammar *g); /* after its states */

/* A text that is still empty. */
int st_grammar_state_open(st_grammar *g, st_grammar_state **out, strata_error *err);
int st_grammar_state_clone(const st_grammar_state *from, st_grammar_state **out, strata_error *err);
void st_grammar_state_copy(st_grammar_state *to, const st_grammar_state *from); /* both of one grammar */
void st_grammar_state_reset(st_grammar_state *s);
void st_grammar_state_close(st_grammar_state *s);

/* Fills mask [st_gvocab_words]: bit id & 31 of word id >> 5 for each token that may come next. End tokens are allowed
 * where the text may end, special ones never. Errors: BAD_GRAMMAR (budget), NO_MEMORY. */
int st_grammar_mask(st_grammar_state *s, uint32_t *mask, strata_error *err);

/* The same for one token: far cheaper where the mask is not known yet. */
int st_grammar_allows(st_grammar_state *s, uint32_t id, bool *allowed, strata_error *err);

/* Goes on by a token, or by bytes. Errors: INVALID_ARG (the grammar does not allow it; the state is as it was),
 * BAD_GRAMMAR (budget), NO_MEMORY. After an end token nothing but another one is allowed. */
int st_grammar_accept(st_grammar_state *s, uint32_t id, strata_error *err);
int st_grammar_accept_bytes(st_grammar_state *s, const uint8_t *p, size_t n, strata_error *err);

/* The text may end here. */
bool st_grammar_is_done(const st_grammar_state *s);

/* ... and must: nothing but an end token can follow. */
bool st_grammar_is_complete(const st_grammar_state *s);

#endif
