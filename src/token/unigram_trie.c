/* unigram_trie.c: building the trie. See unigram_trie.h. */
#include "token/unigram_trie.h"

#include "base/utf8.h"

/* Node number n goes by the name n * NODE, which spreads it over the table. */
#define NODE       0x9e3779b1u
#define MAX_PROBES 1024 /* bounds what crafted spellings can cost */

/* The same while the table is built; NULL: too many edges share a place. */
static st_trie_edge *trie_place_of(const st_trie *m, uint64_t key)
{
    uint32_t k = st_trie_home(m, (uint32_t)(key >> 32), (uint32_t)key >> 8);
    for (int i = 0; i < MAX_PROBES; i++, k = (k + 1) & m->mask)
        if (!m->edges[k].child || (m->edges[k].key ^ key) <= 0xff) return &m->edges[k];
    return NULL;
}

static bool trie_set_slots(st_trie *m, size_t n, st_mem *mem)
{
    st_trie_edge *edges = n > (size_t)1 << 31 ? NULL : st_alloc_huge(mem, n, sizeof *edges);
    if (!edges) return false;
    memset(edges, 0, n * sizeof *edges);
    m->edges = edges;
    m->mask = (uint32_t)(n - 1);
    return true;
}

static int trie_no_room(const st_gguf *g, bool memory, strata_error *err)
{
    ST_FAIL_IF(memory, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    ST_FAIL(err, STRATA_CORRUPT_MODEL, "%s: key 'tokenizer.ggml.tokens': hundreds of tokens share a hash", g->name);
}

static int trie_widen(st_trie *m, const st_gguf *g, st_mem *mem, strata_error *err)
{
    st_trie_edge *old = m->edges;
    size_t n = (size_t)m->mask + 1;
    if (!trie_set_slots(m, n * 2, mem)) return trie_no_room(g, true, err);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        if (!old[i].child) continue;
        st_trie_edge *e = trie_place_of(m, old[i].key & ~(uint64_t)0xff);
        ok = e != NULL;
        if (ok) *e = old[i];
    }
    st_free(mem, old);
    return ok ? STRATA_OK : trie_no_room(g, false, err);
}

/* A piece on its way into the trie. Many go side by side, a character each in turn, so that the places in the table
 * that the next characters need are on their way from memory meanwhile. */
typedef struct lane {
    const uint8_t *p, *end; /* what is left of it after the edge that comes next */
    uint64_t key;           /* of that edge */
    int32_t id;
} lane;

enum { LANES = 24 };

/* Moves the lane's next character into its key. False: it is not UTF-8, and so the token no piece; that some edges
 * lead towards it does no harm. */
static inline bool trie_next_edge(const st_trie *m, lane *l, uint32_t node, uint32_t *cp)
{
    unsigned bad, len = l->p[0] < 0x80 ? 1 : st_utf8_step(l->p, (size_t)(l->end - l->p), &bad);
    if (!len) return false;
    *cp = st_utf8_get(l->p, &len);
    l->p += len;
    l->key = st_trie_key(node, *cp);
    __builtin_prefetch(&m->edges[st_trie_home(m, node, *cp)], 1);
    return true;
}

/* Puts the next token from *i on that is a piece into the lane. False: there is none. */
static bool trie_fill_lane(const st_trie *m, const st_tokenizer *t, lane *l, uint32_t *i)
{
    const unsigned types = 1u << ST_TOKEN_NORMAL | 1u << ST_TOKEN_USER; /* UNUSED ones are never chosen */
    while (*i < t->vocab.n) {
        uint32_t id = (*i)++, cp;
        st_str s = st_vocab_piece(&t->vocab, id);
        *l = (lane){(const uint8_t *)s.ptr, (const uint8_t *)s.ptr + s.len, 0, (int32_t)id};
        if (types >> t->vocab.types[id] & 1 && s.len && s.len <= ST_TRIE_MAX && trie_next_edge(m, l, 0, &cp))
            return true;
    }
    return false;
}

int st_trie_build(st_trie *m, const st_tokenizer *t, const st_gguf *g, strata_error *err)
{
    size_t n_slots = 64, n = 0;
    uint32_t next = 0;
    lane lanes[LANES];
    while (n_slots < (size_t)t->vocab.n * 3) n_slots *= 2;
    m->n_nodes = 1;
    if (!trie_set_slots(m, n_slots, t->mem)) return trie_no_room(g, true, err);
    while (n < LANES && trie_fill_lane(m, t, &lanes[n], &next)) n++;
    for (size_t i = 0; n; i = i + 1 < n ? i + 1 : 0) {
        lane *l = &lanes[i];
        if (m->n_nodes > m->mask / 4 * 3) ST_TRY(trie_widen(m, g, t->mem, err));
        st_trie_edge *e = trie_place_of(m, l->key);
        if (!e) return trie_no_room(g, false, err);
        if (!e->child) *e = (st_trie_edge){l->key, m->n_nodes++ * NODE, -1};
        if (l->p < l->end) {
            uint32_t cp;
            if (trie_next_edge(m, l, e->child, &cp)) {
                e->key |= st_trie_bit(cp);
                continue;
            }
        } else if (e->id < 0 || l->id < e->id) {
            e->id = l->id; /* of equal pieces the first id stays */
        }
        if (!trie_fill_lane(m, t, l, &next)) {
            *l = lanes[--n];
            if (i >= n) i = n ? n - 1 : 0;
        }
    }
    for (uint32_t b = 0; b < 128; b++) {
        const st_trie_edge *e = st_trie_find(m, 0, b);
        m->ascii[b] = e->child ? *e : (st_trie_edge){0, 0, -1};
    }
    return STRATA_OK;
}
