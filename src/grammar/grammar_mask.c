/* grammar_mask.c: trie x automaton -> which tokens may come next.
 *
 * Most tokens of a large vocabulary are allowed, if many are, because they stay inside one class: the text of a JSON
 * string, a line. From an item that reads class C and can read C again r - 1 times, every token of at most r characters
 * of C is allowed, whatever else the state holds. Those tokens come from a bitset that is made once for C; only the
 * others are walked, and only they are in the class's list of trie nodes. */
#include <string.h>

#include "grammar/grammar_internal.h"

static int mask_no_memory(strata_error *err)
{
    st_error_set(err, STRATA_NO_MEMORY, "no memory for the masks of a grammar");
    return STRATA_NO_MEMORY;
}

static inline void mask_set_bit(uint32_t *mask, uint32_t id)
{
    mask[id >> 5] |= 1u << (id & 31);
}

static inline bool mask_is_pure(const st_grun *r, uint32_t node)
{
    return r->pure[node >> 3] >> (node & 7) & 1;
}

static inline void mask_set_tokens(const st_gvocab *v, uint32_t *mask, uint32_t node)
{
    for (uint32_t id = v->token[node]; id != ST_G_NONE; id = v->same[id]) mask_set_bit(mask, id);
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

/* Walks the trie with the class alone. */
static int mask_run_make(st_grammar *g, uint32_t cls, st_grun *r, strata_error *err)
{
    const st_gvocab *v = g->vocab;
    size_t bytes = (size_t)v->n_nodes / 8 + 1;
    uint32_t root = g->classes.classes[cls].root;
    *r = (st_grun){.cls = cls};
    r->all = st_calloc(g->mem, v->n_words, sizeof *r->all);
    r->pure = st_alloc(g->mem, bytes, 1);
    if (!r->all || !r->pure) return mask_no_memory(err);
    memset(r->pure, 0xff, bytes);
    uint32_t n_rest = 0;
    g->walk[0] = root;
    for (uint32_t i = 1; i < v->n_nodes;) {
        int64_t node = st_gnode_step(&g->classes, g->walk[v->depth[i] - 1], v->byte[i]);
        if (node != -1) {
            g->walk[v->depth[i]] = node == -2 ? root : (uint32_t)node;
            mask_set_tokens(v, r->all, i);
            i++;
            continue;
        }
        for (uint32_t k = i; k < v->next[i]; k++, n_rest++) r->pure[k >> 3] &= (uint8_t) ~(1u << (k & 7));
        for (uint32_t k = v->parent[i]; k && mask_is_pure(r, k); k = v->parent[k], n_rest++)
            r->pure[k >> 3] &= (uint8_t) ~(1u << (k & 7));
        i = v->next[i];
    }
    r->rest = st_alloc(g->mem, n_rest, sizeof *r->rest);
    r->rest_next = st_alloc(g->mem, n_rest, sizeof *r->rest_next);
    if (!r->rest || !r->rest_next) return mask_no_memory(err);
    for (uint32_t i = 1; i < v->n_nodes;) {
        if (mask_is_pure(r, i)) {
            i = v->next[i];
            continue;
        }
        r->rest[r->n_rest++] = i++;
    }
    /* The end of each subtree, from the back: `after` is the first node behind it. */
    for (uint32_t k = r->n_rest; k-- > 0;) {
        uint32_t end = v->next[r->rest[k]], j = k + 1;
        while (j < r->n_rest && r->rest[j] < end) j = r->rest_next[j];
        r->rest_next[k] = j;
    }
    return STRATA_OK;
}

static void mask_run_free(st_grammar *g, st_grun *r)
{
    st_free(g->mem, r->all);
    st_free(g->mem, r->pure);
    st_free(g->mem, r->rest);
    st_free(g->mem, r->rest_next);
    for (uint32_t i = 0; i < ST_G_RUN_LENS; i++) st_free(g->mem, r->upto[i]);
}

/* NULL in *out: there are too many classes. */
static int mask_run_of(st_grammar *g, uint32_t cls, st_grun **out, strata_error *err)
{
    *out = NULL;
    for (uint32_t i = 0; i < g->n_runs; i++)
        if (g->runs[i].cls == cls) return *out = &g->runs[i], STRATA_OK;
    if (g->n_runs == ST_G_RUNS) return STRATA_OK;
    st_grun *r = &g->runs[g->n_runs];
    int rc = mask_run_make(g, cls, r, err);
    if (rc) {
        mask_run_free(g, r);
        return rc;
    }
    g->n_runs++;
    *out = r;
    return STRATA_OK;
}

/* How often the class of an item can be read in a row, as far as one item follows another; *n > max_chars: for ever. */
static int mask_run_length(st_grammar *g, st_gitem item, uint32_t *n, strata_error *err)
{
    uint32_t cls = g->prog.places[item.place].arg, max = g->vocab->max_chars;
    for (*n = 1; *n <= max; ++*n) {
        ST_TRY(st_grammar_closure(g, item.stack, g->prog.places[item.place].next, err));
        const st_gitem *found = NULL;
        for (size_t i = 0; i < g->n_set && !found; i++)
            if (g->prog.places[g->set[i].place].arg == cls) found = &g->set[i];
        if (!found) return STRATA_OK;
        if (found->stack == item.stack && found->place == item.place) break;
        item = *found;
    }
    *n = max + 1;
    return STRATA_OK;
}

/* The bitset of at most n characters. */
static int run_mask(st_grammar *g, st_grun *r, uint32_t n, const uint32_t **mask, strata_error *err)
{
    const st_gvocab *v = g->vocab;
    *mask = r->all;
    if (n > v->max_chars) return STRATA_OK;
    uint32_t **slot = &r->upto[n - 1];
    if (!*slot) {
        uint32_t *m = st_alloc(g->mem, v->n_words, sizeof *m);
        if (!m) return mask_no_memory(err);
        memcpy(m, r->all, v->n_words * sizeof *m);
        for (uint32_t i = 0; i < v->n; i++)
            if (v->tok_chars[i] > n) m[i >> 5] &= ~(1u << (i & 31));
        *slot = m;
    }
    *mask = *slot;
    return STRATA_OK;
}

/* ---- walks ------------------------------------------------------------------------------------------------------- */

/* All of the trie but the subtrees whose tokens are characters of the run, at most n each. */
static int mask_walk_all(st_grammar *g, uint32_t config, const st_grun *r, uint32_t n, uint32_t *mask,
                         strata_error *err)
{
    const st_gvocab *v = g->vocab;
    g->walk[0] = config;
    for (uint32_t i = 1; i < v->n_nodes;) {
        uint32_t to;
        if (r && v->chars[i] <= n && mask_is_pure(r, i)) {
            i = v->next[i];
            continue;
        }
        ST_TRY(st_grammar_delta(g, g->walk[v->depth[i] - 1], v->byte[i], &to, err));
        if (to == ST_G_DEAD) {
            i = v->next[i];
            continue;
        }
        g->walk[v->depth[i]] = to;
        mask_set_tokens(v, mask, i);
        i++;
    }
    return STRATA_OK;
}

static int mask_walk_rest(st_grammar *g, uint32_t config, const st_grun *r, uint32_t *mask, strata_error *err)
{
    const st_gvocab *v = g->vocab;
    g->walk[0] = config;
    for (uint32_t k = 0; k < r->n_rest;) {
        uint32_t i = r->rest[k], to;
        ST_TRY(st_grammar_delta(g, g->walk[v->depth[i] - 1], v->byte[i], &to, err));
        if (to == ST_G_DEAD) {
            k = r->rest_next[k];
            continue;
        }
        g->walk[v->depth[i]] = to;
        mask_set_tokens(v, mask, i);
        k++;
    }
    return STRATA_OK;
}

/* The item at the start of the largest class. */
static bool mask_best_item(const st_grammar *g, uint32_t config, st_gitem *out)
{
    const st_gconfig c = g->configs[config];
    uint32_t best = ST_G_RUN_SIZE - 1;
    bool found = false;
    for (uint32_t i = 0; i < c.n; i++) {
        st_gitem item = g->items[c.at + i];
        const st_gclass *k = &g->classes.classes[g->prog.places[item.place].arg];
        if (item.node != k->root || k->size <= best) continue;
        best = k->size;
        *out = item;
        found = true;
    }
    return found;
}

static int mask_make(st_grammar *g, uint32_t config, uint32_t *mask, strata_error *err)
{
    const st_gvocab *v = g->vocab;
    st_gitem item;
    st_grun *r = NULL;
    uint32_t n = 0;
    if (mask_best_item(g, config, &item)) {
        ST_TRY(mask_run_length(g, item, &n, err));
        /* A run of one character saves less than its bitset costs. */
        if (n > 1) ST_TRY(mask_run_of(g, g->prog.places[item.place].arg, &r, err));
    }
    if (!r) {
        memset(mask, 0, v->n_words * sizeof *mask);
        ST_TRY(mask_walk_all(g, config, NULL, 0, mask, err));
    } else {
        const uint32_t *base;
        if (n <= v->max_chars && n > ST_G_RUN_LENS) n = ST_G_RUN_LENS;
        ST_TRY(run_mask(g, r, n, &base, err));
        memcpy(mask, base, v->n_words * sizeof *mask);
        if (n > v->max_chars)
            ST_TRY(mask_walk_rest(g, config, r, mask, err));
        else
            ST_TRY(mask_walk_all(g, config, r, n, mask, err));
    }
    if (g->configs[config].done)
        for (uint32_t i = 0; i < v->n_eog; i++) mask_set_bit(mask, v->eog[i]);
    return STRATA_OK;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

int st_grammar_mask(st_grammar_state *s, uint32_t *mask, strata_error *err)
{
    st_grammar *g = s->g;
    const st_gvocab *v = g->vocab;
    ST_FAIL_IF(!v, err, STRATA_INVALID_ARG, "the grammar was opened without a vocabulary");
    if (s->ended) {
        memset(mask, 0, v->n_words * sizeof *mask);
        for (uint32_t i = 0; i < v->n_eog; i++) mask_set_bit(mask, v->eog[i]);
        return STRATA_OK;
    }
    ST_TRY(st_grammar_begin(g, err));
    uint32_t config;
    ST_TRY(st_grammar_canon(g, s->config, &config, err));
    uint32_t slot = g->configs[config].mask;
    if (!slot) {
        slot = g->mask_at + 1;
        g->mask_at = slot % ST_G_MASKS;
        uint32_t **m = &g->masks[slot - 1], *owner = &g->mask_owner[slot - 1];
        if (*owner != ST_G_NONE) g->configs[*owner].mask = 0;
        *owner = ST_G_NONE;
        if (!*m) *m = st_alloc(g->mem, v->n_words, sizeof **m);
        if (!*m) return mask_no_memory(err);
        ST_TRY(mask_make(g, config, *m, err));
        *owner = config;
        g->configs[config].mask = slot;
    }
    memcpy(mask, g->masks[slot - 1], v->n_words * sizeof *mask);
    return STRATA_OK;
}

/* Config after a token; ST_G_DEAD: it is not allowed. */
static int mask_follow(st_grammar_state *s, uint32_t id, uint32_t *to, strata_error *err)
{
    st_grammar *g = s->g;
    const st_gvocab *v = g->vocab;
    ST_FAIL_IF(!v, err, STRATA_INVALID_ARG, "the grammar was opened without a vocabulary");
    ST_FAIL_IF(id >= v->n, err, STRATA_INVALID_ARG, "token %u, want 0 to %u", (unsigned)id, (unsigned)v->n - 1);
    *to = ST_G_DEAD;
    if (v->kinds[id] == ST_PIECE_EOG) {
        if (s->ended || g->configs[s->config].done) *to = s->config;
        return STRATA_OK;
    }
    uint32_t end = v->node[id];
    if (s->ended || !end) return STRATA_OK;
    ST_TRY(st_grammar_begin(g, err));
    uint32_t at = s->config;
    for (uint32_t i = end; i; i = v->parent[i]) g->walk[v->depth[i]] = i; /* its nodes from the root */
    for (uint32_t d = 1; d <= v->depth[end] && at != ST_G_DEAD; d++)
        ST_TRY(st_grammar_delta(g, at, v->byte[g->walk[d]], &at, err));
    *to = at;
    return STRATA_OK;
}

int st_grammar_allows(st_grammar_state *s, uint32_t id, bool *allowed, strata_error *err)
{
    uint32_t to = ST_G_DEAD;
    ST_TRY(mask_follow(s, id, &to, err));
    *allowed = to != ST_G_DEAD;
    return STRATA_OK;
}

int st_grammar_accept(st_grammar_state *s, uint32_t id, strata_error *err)
{
    uint32_t to = ST_G_DEAD;
    ST_TRY(mask_follow(s, id, &to, err));
    ST_FAIL_IF(to == ST_G_DEAD, err, STRATA_INVALID_ARG, "the grammar does not allow token %u here", (unsigned)id);
    s->config = to;
    s->ended = s->ended || s->g->vocab->kinds[id] == ST_PIECE_EOG;
    return STRATA_OK;
}

void st_grammar_masks_free(st_grammar *g)
{
    for (uint32_t i = 0; i < ST_G_MASKS; i++) st_free(g->mem, g->masks[i]);
    for (uint32_t i = 0; i < g->n_runs; i++) mask_run_free(g, &g->runs[i]);
}
