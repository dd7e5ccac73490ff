/* unigram_trie.h: the pieces of a Unigram vocabulary, for finding all that start at a place.
 *
 * A trie whose edges, one a character, sit in one hash table: 262,144 pieces are built in some 25 ms, and a step of a
 * search is a load and an xor away from the next one. */
#ifndef ST_TOKEN_UNIGRAM_TRIE_H
#define ST_TOKEN_UNIGRAM_TRIE_H

#include "token/token_internal.h"

typedef struct st_trie_edge {
    uint64_t key;   /* node << 32 | character << 8 | which characters follow, one bit for an eighth of them */
    uint32_t child; /* a node; 0: free slot; the root, 0, is nobody's child */
    int32_t id;     /* token that ends there, -1: none */
} st_trie_edge;

typedef struct st_trie {
    st_trie_edge *edges;
    st_trie_edge ascii[128]; /* the root's, without a search; id -1 and child 0: none */
    uint32_t mask;           /* slots - 1 */
    uint32_t n_nodes;
} st_trie;

/* Longer pieces, in bytes, are not in the trie: it bounds what a walk can cost (unigram_long.h has the others). Real
 * vocabularies have none. */
#define ST_TRIE_MAX 128

/* Puts in the NORMAL and USER_DEFINED tokens of at most ST_TRIE_MAX bytes that are UTF-8. Errors: NO_MEMORY,
 * CORRUPT_MODEL (crafted spellings). */
int st_trie_build(st_trie *m, const st_tokenizer *t, const st_gguf *g, strata_error *err);

static inline uint64_t st_trie_key(uint32_t node, uint32_t cp)
{
    return (uint64_t)node << 32 | cp << 8;
}

/* A character's bit among those that follow an edge: most searches end here, before they touch the table. */
static inline uint32_t st_trie_bit(uint32_t cp)
{
    return 1u << (cp * 0x9e3779b1u >> 29);
}

static inline uint32_t st_trie_home(const st_trie *m, uint32_t node, uint32_t cp)
{
    return (node ^ cp * 0x85ebca6bu) & m->mask;
}

/* The slot of an edge, or a free one. */
static inline const st_trie_edge *st_trie_find(const st_trie *m, uint32_t node, uint32_t cp)
{
    uint64_t key = st_trie_key(node, cp);
    uint32_t k = st_trie_home(m, node, cp);
    while (m->edges[k].child && (m->edges[k].key ^ key) > 0xff) k = (k + 1) & m->mask;
    return &m->edges[k];
}

#endif
