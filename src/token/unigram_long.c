/* unigram_long.c: building the automaton and walking it. See unigram_long.h. */
#include "token/unigram_long.h"

#include "token/unigram_trie.h"

static bool long_put_pieces(st_longs *m, const st_tokenizer *t)
{
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        int type = t->vocab.types[i];
        st_str s = st_vocab_piece(&t->vocab, i);
        if ((type != ST_TOKEN_NORMAL && type != ST_TOKEN_USER) || s.len <= ST_TRIE_MAX) continue;
        if (!st_added_put(&m->pieces, t->mem, s, (int32_t)i, ST_ADDED_ALWAYS, 0)) return false;
    }
    return true;
}

/* Where a node hangs. */
typedef struct stem {
    uint32_t parent, byte;
} stem;

/* Nodes in order of depth: a suffix is shorter, so it is done before. */
static bool long_by_depth(const st_longs *m, uint32_t *order, st_mem *mem)
{
    size_t n = m->pieces.n_nodes, deepest = 0;
    for (size_t i = 0; i < n; i++) deepest = m->nodes[i].depth > deepest ? m->nodes[i].depth : deepest;
    uint32_t *at = st_calloc(mem, deepest + 2, sizeof *at);
    if (!at) return false;
    for (size_t i = 0; i < n; i++) at[m->nodes[i].depth + 1]++;
    for (size_t d = 0; d <= deepest; d++) at[d + 1] += at[d];
    for (size_t i = 0; i < n; i++) order[at[m->nodes[i].depth]++] = (uint32_t)i;
    st_free(mem, at);
    return true;
}

static bool long_link_suffixes(st_longs *m, st_mem *mem)
{
    const st_added *tree = &m->pieces;
    size_t n = tree->n_nodes;
    stem *stems = st_calloc(mem, n, sizeof *stems);
    uint32_t *order = st_alloc(mem, n, sizeof *order);
    bool ok = stems && order;
    if (ok) {
        for (size_t i = 0; i < tree->edge_cap; i++)
            if (tree->edges[i].child) stems[tree->edges[i].child] = (stem){tree->edges[i].node, tree->edges[i].byte};
        for (size_t i = 1; i < n; i++) m->nodes[i].depth = m->nodes[stems[i].parent].depth + 1; /* a parent is older */
        ok = long_by_depth(m, order, mem);
    }
    for (size_t k = 1; ok && k < n; k++) {
        st_long_node *node = &m->nodes[order[k]];
        stem s = stems[order[k]];
        node->fail = s.parent ? st_longs_step(m, m->nodes[s.parent].fail, (uint8_t)s.byte) : 0;
        node->ends = st_longs_ends(m, node->fail);
    }
    st_free(mem, stems);
    st_free(mem, order);
    return ok;
}

bool st_longs_build(st_longs *m, const st_tokenizer *t)
{
    if (!long_put_pieces(m, t)) return false;
    if (!m->pieces.n_nodes) return true;
    m->nodes = st_calloc(t->mem, m->pieces.n_nodes, sizeof *m->nodes);
    return m->nodes && long_link_suffixes(m, t->mem);
}

void st_longs_free(st_longs *m, st_mem *mem)
{
    st_added_free(&m->pieces, mem);
    st_free(mem, m->nodes);
    *m = (st_longs){0};
}

uint32_t st_longs_step(const st_longs *m, uint32_t node, uint8_t b)
{
    for (;;) {
        uint32_t next = st_added_step(&m->pieces, node, b);
        if (next || !node) return next;
        node = m->nodes[node].fail;
    }
}
