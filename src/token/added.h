/* added.h: tokens that are cut out of a text whole: control tokens, user-defined tokens.
 *
 * A trie whose edges sit in one hash table. Matching takes the longest token that starts at a place and costs one probe
 * a byte matched, so at most the longest spelling's length at each place of a text; callers count it. */
#ifndef ST_TOKEN_ADDED_H
#define ST_TOKEN_ADDED_H

#include "base/error.h"
#include "base/os/mem.h"
#include "gguf/gguf.h"

enum { ST_ADDED_ALWAYS = 1, ST_ADDED_PARSE = 2 }; /* when a token is matched: bits of a class */

/* What HuggingFace's AddedToken says of a token beside its spelling. */
enum {
    ST_ADDED_LSTRIP = 1, /* takes the white space on its left */
    ST_ADDED_RSTRIP = 2, /* ... on its right */
    ST_ADDED_WORD = 4    /* single_word: only where no word character touches it */
};

typedef struct st_added_edge {
    uint32_t node, child; /* child 0: free slot; the root is nobody's child */
    uint32_t byte;
} st_added_edge;

typedef struct st_added_node {
    int32_t id; /* -1: no token ends here */
    uint16_t class, flags;
} st_added_node;

typedef struct st_added {
    st_added_edge *edges;
    st_added_node *nodes; /* [n_nodes] */
    size_t n_nodes, node_cap, edge_cap;
    bool flagged;       /* some token has flags */
    uint8_t first[256]; /* classes of the tokens that start with this byte */
} st_added;

/* What a file says about the tokenizer that it was made from. */
typedef struct st_family {
    st_str model, pre, arch, name; /* tokenizer.ggml.model, tokenizer.ggml.pre, general.architecture, general.name */
} st_family;

/* ST_ADDED_LSTRIP and so on of a token, which files do not carry: added_flags.c has the table. */
unsigned st_added_known_flags(const st_family *f, st_str spelling);

/* Adds a token; the first of equal spellings stays. Spellings that are empty or not UTF-8 are left out. False: no
 * memory. */
bool st_added_put(st_added *a, st_mem *mem, st_str s, int32_t id, unsigned class, unsigned flags);
void st_added_free(st_added *a, st_mem *mem);

/* The node that byte b leads to from a node; 0: none. Before: something was put in. */
uint32_t st_added_step(const st_added *a, uint32_t node, uint8_t b);

/* Longest token of these classes at p; its id and *len, or -1. *work grows by the bytes that were looked at. */
int32_t st_added_match(const st_added *a, const uint8_t *p, size_t n, unsigned classes, size_t *len, size_t *work);

/* Flags of the token that is spelled p[0..n); 0: none, or no such token. */
unsigned st_added_flags(const st_added *a, const uint8_t *p, size_t n);

#endif
