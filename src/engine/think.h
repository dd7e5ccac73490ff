/* think.h: where thinking ends in what a model writes, and whether a prompt opened it.
 *
 * Texts are bytes as tokens spell them, control tokens included. A family is an opener and what ends it; that of
 * harmony (gpt-oss) is two texts, with anything between them. */
#ifndef ST_ENGINE_THINK_H
#define ST_ENGINE_THINK_H

#include <stdbool.h>

#include "base/error.h"
#include "base/os/mem.h"
#include "grammar/grammar.h"
#include "token/token.h"

typedef struct st_think st_think;

/* The end of the block that ids[0..n) opened and did not close: the prompt ends with its opener, but for white space.
 * *end [2]: the texts, NULL in the second where there is one only. False: no block is open. */
bool st_think_opened(const st_tokenizer *t, const int32_t *ids, size_t n, const char *end[2]);

/* The end of thinking for which the vocabulary has a token; else "</think>". */
void st_think_end_of(const st_tokenizer *t, const char *end[2]);

/* `end` is borrowed. The vocabulary is looked through once, for tokens that can run past the end. Errors: NO_MEMORY. */
int st_think_open(const st_tokenizer *t, const char *const end[2], st_mem *mem, st_think **out, strata_error *err);
void st_think_close(st_think *k);

/* Thinking goes on. */
bool st_think_is_on(const st_think *k);

/* A token of a family's own format that ends no answer while thinking goes on: <|end|> of harmony. */
bool st_think_passes(const st_think *k, int32_t id);

/* Clears in mask [words of n_vocab, all set] the tokens that would end thinking and go on with what the grammar does
 * not begin with; *any: there are such. `probe` is a second state of `start`'s grammar. */
int st_think_mask(st_think *k, const st_grammar_state *start, st_grammar_state *probe, uint32_t *mask, bool *any,
                  strata_error *err);

/* Goes on by a token. Where it ends thinking, *rest [*n_rest] is what it says behind the end, valid until the next
 * call. */
void st_think_accept(st_think *k, int32_t id, const uint8_t **rest, size_t *n_rest);

#endif
