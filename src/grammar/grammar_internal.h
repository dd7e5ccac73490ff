/* grammar_internal.h: what the files of the grammar share.
 *
 *   grammar_parse.c    text -> tree of nodes
 *   grammar_class.c    sets of code points, and their byte automata
 *   grammar_compile.c  tree -> program, and what makes it refused
 *   grammar_match.c    program -> automaton over bytes, state by state
 *   grammar_state.c    where a text stands
 *   grammar_vocab.c    the vocabulary as a trie
 *   grammar_mask.c     trie x automaton -> mask */
#ifndef ST_GRAMMAR_GRAMMAR_INTERNAL_H
#define ST_GRAMMAR_GRAMMAR_INTERNAL_H

#include "grammar/grammar.h"

/* ---- budgets ----------------------------------------------------------------------------------------------------- */

#define ST_G_MAX_TEXT    ((size_t)4 << 20)
#define ST_G_MAX_RULES   (1u << 16)
#define ST_G_MAX_DEPTH   200u               /* of groups */
#define ST_G_MAX_REPEAT  (UINT32_MAX - 1)   /* bounds of {m,n} */
#define ST_G_MAX_PROGRAM (1u << 20)         /* places */
#define ST_G_MAX_GEN     (1u << 23)         /* visits of tree nodes */
#define ST_G_WRITE_OUT   16u                /* repetitions of a class that are places of their own, not a counter */
#define ST_G_MAX_ITEMS   8192u              /* places in one state */
#define ST_G_MAX_STEPS   3000000u           /* of work in one call; about 0.1 us each */
#define ST_G_CACHE       ((size_t)48 << 20) /* bytes of states and stacks before unreachable ones are dropped */
#define ST_G_MASKS       256u               /* masks kept */
#define ST_G_RUNS        16u                /* classes with bitsets */
#define ST_G_RUN_LENS    48u                /* lengths with bitsets of their own */
#define ST_G_RUN_SIZE    64u /* a class with fewer characters is walked: its bitset would save less than it costs */

#define ST_G_NONE UINT32_MAX

/* ---- classes ----------------------------------------------------------------------------------------------------- */

typedef struct st_grange {
    uint32_t lo, hi; /* code points, inclusive */
} st_grange;

typedef struct st_gclass {
    uint32_t at, n; /* of ranges, sorted, disjoint, without surrogates */
    uint32_t size;  /* characters */
    uint32_t root;  /* byte automaton */
} st_gclass;

/* A byte of the encoding: in lo..hi goes on to node `to`; ST_G_NONE: the character is whole. */
typedef struct st_gedge {
    uint8_t lo, hi;
    uint32_t to;
} st_gedge;

typedef struct st_gnode {
    uint32_t at, n; /* of edges */
} st_gnode;

typedef struct st_gclasses {
    st_mem *mem;
    st_grange *ranges;
    st_gclass *classes;
    st_gedge *edges;
    st_gnode *nodes;
    size_t n_ranges, n_classes, n_edges, n_nodes;
    size_t ranges_cap, classes_cap, edges_cap, nodes_cap;
    uint32_t *class_hash, *node_hash; /* index + 1 */
    size_t class_hash_cap, node_hash_cap;
} st_gclasses;

/* Sorts and merges ranges [n] in place, complements if asked, and finds or adds the class; *id is ST_G_NONE if no
 * character is left. False: no memory. */
bool st_gclass_add(st_gclasses *c, st_grange *ranges, size_t n, bool negate, uint32_t *id);
bool st_gclass_union(st_gclasses *c, uint32_t a, uint32_t b, uint32_t *id);
/* Makes the byte automata of all classes. */
bool st_gclass_finish(st_gclasses *c);
void st_gclasses_free(st_gclasses *c);

/* Node after byte b; -1: no such character, -2: the character is whole. */
static inline int64_t st_gnode_step(const st_gclasses *c, uint32_t node, uint8_t b)
{
    const st_gedge *e = c->edges + c->nodes[node].at;
    for (uint32_t i = 0, n = c->nodes[node].n; i < n; i++)
        if (b <= e[i].hi) {
            if (b < e[i].lo) return -1;
            return e[i].to == ST_G_NONE ? -2 : (int64_t)e[i].to;
        }
    return -1;
}

/* ---- tree -------------------------------------------------------------------------------------------------------- */

enum {
    ST_GN_SEQ,   /* children in order */
    ST_GN_ALT,   /* one of the children */
    ST_GN_CLASS, /* arg: class */
    ST_GN_REF,   /* arg: rule */
    ST_GN_REP    /* the child min..max times; max ST_G_NONE: no limit */
};

typedef struct st_gtree {
    uint32_t kind, arg, min, max;
    uint32_t first, next; /* child, sibling; ST_G_NONE: none */
    uint32_t at;          /* in the text */
} st_gtree;

typedef struct st_grule {
    uint32_t name, name_len; /* in the text */
    uint32_t body;           /* tree, ST_G_NONE: not defined */
    uint32_t used;           /* where it is first named */
    uint32_t hash_next;
    uint32_t cls; /* the class that the rule is; ST_G_NONE: it is more; ST_G_NONE - 1: not known yet */
    uint32_t start;
} st_grule;

typedef struct st_gparse {
    const char *text;
    size_t len;
    st_mem *mem;
    strata_error *err;
    st_gclasses *classes;
    st_gtree *tree;
    st_grule *rules;
    size_t n_tree, n_rules, tree_cap, rules_cap;
    uint32_t hash[1024];
    uint32_t root;
    bool spaced; /* white space may come first */
} st_gparse;

int st_grammar_parse(st_gparse *p);
void st_gparse_free(st_gparse *p);
/* BAD_GRAMMAR at an offset of the text. */
int st_grammar_error(const st_gparse *p, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- program ----------------------------------------------------------------------------------------------------- */

enum {
    ST_GP_CHAR,  /* a character of class arg, then next */
    ST_GP_SPLIT, /* next or arg */
    ST_GP_REP,   /* repetition arg, then next */
    ST_GP_CALL,  /* rule whose start is arg, then next */
    ST_GP_TAIL,  /* the same where only the end of the rule follows: no need to come back */
    ST_GP_END
};

typedef struct st_gplace {
    uint32_t kind, arg, next;
} st_gplace;

/* A body that is read min..max times (ST_G_NONE: no limit), as a rule of its own: it is there once, and how often it
 * was read is in the stack. */
typedef struct st_grep {
    uint32_t start, min, max;
    bool nullable; /* the body can be empty; min is then 0 */
} st_grep;

typedef struct st_gprogram {
    st_gplace *places;
    st_grep *reps;
    size_t n, cap, n_reps, reps_cap;
    uint32_t start;
} st_gprogram;

int st_grammar_compile(st_gparse *p, st_gprogram *out);

/* ---- vocabulary -------------------------------------------------------------------------------------------------- */

struct st_gvocab {
    st_mem *mem;
    uint32_t n, n_words, n_nodes, max_depth, max_chars;
    /* Nodes in order of the text: a node's subtree is [i, next[i]). Node 0 is the empty text. */
    uint8_t *byte;
    uint8_t *chars;  /* most characters in a token of the subtree, 255: or more */
    uint16_t *depth; /* bytes */
    uint32_t *next;
    uint32_t *token;    /* id, ST_G_NONE: no token ends here */
    uint32_t *same;     /* [n] the next token with the same bytes */
    uint32_t *node;     /* [n] where it ends; 0: it is never allowed */
    uint32_t *parent;   /* [n_nodes] */
    uint8_t *kinds;     /* [n] */
    uint8_t *tok_chars; /* [n] characters, 255: or more */
    uint32_t *eog;
    uint32_t n_eog;
};

/* ---- automaton --------------------------------------------------------------------------------------------------- */

/* Where to go on after a rule; stack 0 is the bottom. A parent is older than its child. With a count it is the body of
 * the repetition at `place` that is read, for the count-th time. */
typedef struct st_gstack {
    uint32_t place, parent, count, hash_next;
    uint32_t canon; /* the stack that a mask cannot tell from it; ST_G_NONE: not known */
} st_gstack;

/* In the middle of a place: `node` of the byte automaton of its class. */
typedef struct st_gitem {
    uint32_t stack, place, node;
} st_gitem;

typedef struct st_gconfig {
    uint32_t at, n; /* of items, sorted */
    uint32_t hash, hash_next;
    uint32_t mask;  /* slot + 1, 0: none */
    uint32_t canon; /* the config with the same mask that has it; ST_G_NONE: not known */
    bool done;
} st_gconfig;

enum { ST_G_DEAD = 0 }; /* config without items that is not done */

typedef struct st_grun {
    uint32_t cls;
    uint32_t *all;                 /* mask: tokens of characters of the class alone */
    uint32_t *upto[ST_G_RUN_LENS]; /* ... at most i + 1 of them; NULL: not made yet */
    uint8_t *pure;                 /* bit of a node: its whole subtree is such tokens */
    uint32_t *rest, *rest_next;    /* the other nodes, and the index after their subtree */
    uint32_t n_rest;
} st_grun;

struct st_grammar {
    st_mem *mem;
    const st_gvocab *vocab;
    st_gclasses classes;
    st_gprogram prog;
    uint8_t byte_class[256];
    uint32_t n_byte_class;

    st_gstack *stacks;
    size_t n_stacks, stacks_cap;
    uint32_t *stack_hash; /* index + 1 */
    size_t stack_hash_cap;

    st_gconfig *configs;
    size_t n_configs, configs_cap;
    uint32_t *trans; /* [configs_cap, n_byte_class], ST_G_NONE: not known */
    size_t trans_cap;
    uint32_t *config_hash;
    size_t config_hash_cap;
    st_gitem *items;
    size_t n_items, items_cap;
    uint32_t initial, pin; /* pin: one that a purge keeps for who is in the middle of a text */

    /* one closure */
    st_gitem *set;
    size_t n_set, set_cap;
    bool set_done;
    uint64_t *todo; /* stack << 32 | place */
    size_t n_todo, todo_cap;
    uint64_t *seen;
    uint32_t *seen_epoch, epoch;
    size_t seen_cap, n_seen;
    uint32_t steps; /* left in this call */

    /* masks */
    uint32_t *masks[ST_G_MASKS];
    uint32_t mask_owner[ST_G_MASKS];
    uint32_t mask_at;
    st_grun runs[ST_G_RUNS];
    uint32_t n_runs;
    uint32_t *walk; /* [max_depth + 1] configs */

    st_grammar_state *states;
};

struct st_grammar_state {
    st_grammar *g;
    uint32_t config;
    bool ended; /* an end token was accepted */
    st_grammar_state *prev, *next;
};

/* Starts a call: fills the budget and drops what no state can reach if there is too much of it. */
int st_grammar_begin(st_grammar *g, strata_error *err);

/* Config after a byte. Errors: BAD_GRAMMAR, NO_MEMORY. */
int st_grammar_step(st_grammar *g, uint32_t config, uint8_t byte, uint32_t *to, strata_error *err);

static inline int st_grammar_delta(st_grammar *g, uint32_t config, uint8_t byte, uint32_t *to, strata_error *err)
{
    uint32_t t = g->trans[(size_t)config * g->n_byte_class + g->byte_class[byte]];
    if (t == ST_G_NONE) return st_grammar_step(g, config, byte, to, err);
    *to = t;
    return STRATA_OK;
}

/* What can come after (stack, place) without a byte, into g->set (not sorted) and g->set_done. */
int st_grammar_closure(st_grammar *g, uint32_t stack, uint32_t place, strata_error *err);

/* The config whose mask is that of `config` too: counters that a single token cannot bring to a bound are all alike, so
 * a long string has one mask, not one for each length. */
int st_grammar_canon(st_grammar *g, uint32_t config, uint32_t *out, strata_error *err);

void st_grammar_masks_free(st_grammar *g);

#endif
