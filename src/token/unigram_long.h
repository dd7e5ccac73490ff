/* unigram_long.h: pieces of a Unigram vocabulary that are too long to be looked for at each place of a text.
 *
 * A walk from every place costs the length of the longest piece each time. These pieces are found by where they end
 * instead: an automaton (Aho and Corasick, 1975) goes over the text once, and says at each byte which of them end
 * there. Only vocabularies that were made to be slow have such pieces. */
#ifndef ST_TOKEN_UNIGRAM_LONG_H
#define ST_TOKEN_UNIGRAM_LONG_H

#include "token/token_internal.h"

typedef struct st_long_node {
    uint32_t fail;  /* the longest proper suffix that is a node too */
    uint32_t ends;  /* the nearest of these where a piece ends; 0: none */
    uint32_t depth; /* bytes from the root */
} st_long_node;

typedef struct st_longs {
    st_added pieces;     /* the tree; n_nodes is 0 where there are none */
    st_long_node *nodes; /* [pieces.n_nodes] */
} st_longs;

/* Puts in the NORMAL and USER_DEFINED tokens of more than ST_TRIE_MAX bytes. False: no memory. */
bool st_longs_build(st_longs *m, const st_tokenizer *t);
void st_longs_free(st_longs *m, st_mem *mem);

/* The node behind byte b. */
uint32_t st_longs_step(const st_longs *m, uint32_t node, uint8_t b);

/* The longest piece that ends at the node: its node; 0: none. The next shorter one is at its `ends`. */
static inline uint32_t st_longs_ends(const st_longs *m, uint32_t node)
{
    return m->pieces.nodes[node].id >= 0 ? node : m->nodes[node].ends;
}

#endif
