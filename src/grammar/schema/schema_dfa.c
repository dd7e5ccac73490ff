/* schema_dfa.c: a set of strings -> its states -> GBNF, a rule for each state from which a string can end. */
#include <stdio.h>

#include "base/sort.h"
#include "grammar/schema/schema_lang_internal.h"

typedef struct state {
    uint32_t term, rule;
    bool live;
} state;

typedef struct dfa {
    st_slang *l;
    uint32_t *cuts;  /* [n_cuts + 1] where characters begin that a set may tell from the one before */
    uint32_t *kind;  /* [n_cuts] the class of the characters from a cut to the next */
    uint32_t *first; /* [n_kinds] a character of each */
    size_t n_cuts, n_kinds;
    state *states;
    size_t n_states, states_cap;
    uint32_t *to; /* [n_states, n_kinds] */
    size_t to_cap;
    uint32_t *index; /* term -> state + 1 */
    size_t index_cap;
} dfa;

static bool dfa_no_memory(dfa *d)
{
    st_slang_fail(d->l, "");
    return false;
}

/* ---- characters that no set tells apart -------------------------------------------------------------------------- */

static bool dfa_cut_less(const void *user, const void *a, const void *b)
{
    uint32_t x, y;
    (void)user;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y;
}

static bool dfa_in_set(const st_slang *l, const st_slterm *t, uint32_t cp)
{
    for (uint32_t i = 0; i < t->b; i++)
        if (cp >= l->ranges[t->a + i].lo && cp <= l->ranges[t->a + i].hi) return true;
    return false;
}

static bool dfa_same_kind(const dfa *d, uint32_t a, uint32_t b)
{
    const st_slang *l = d->l;
    if (st_sset_writable((st_srange){a, a}) != st_sset_writable((st_srange){b, b})) return false;
    for (size_t i = 0; i < l->n_terms; i++)
        if (l->terms[i].kind == ST_SL_SET && dfa_in_set(l, &l->terms[i], a) != dfa_in_set(l, &l->terms[i], b))
            return false;
    return true;
}

/* The sets that a term is made of are all there already: derivatives make none. */
static bool dfa_classify(dfa *d)
{
    static const uint32_t edges[] = {0, 8, 9, 10, 11, 12, 13, 14, 0x20, 0x7f, 0x80, 0xd800, 0xe000, 0x110000};
    const st_slang *l = d->l;
    size_t n = 2 * l->n_ranges + sizeof edges / sizeof *edges, m = 0;
    d->cuts = st_alloc(l->mem, n, sizeof *d->cuts);
    d->kind = st_alloc(l->mem, n, sizeof *d->kind);
    d->first = st_alloc(l->mem, n, sizeof *d->first);
    if (!d->cuts || !d->kind || !d->first) return dfa_no_memory(d);
    for (size_t i = 0; i < l->n_ranges; i++) {
        d->cuts[m++] = l->ranges[i].lo;
        d->cuts[m++] = l->ranges[i].hi + 1;
    }
    memcpy(d->cuts + m, edges, sizeof edges);
    st_sort(d->cuts, n, sizeof *d->cuts, dfa_cut_less, NULL);
    m = 0;
    for (size_t i = 0; i < n; i++)
        if (!m || d->cuts[i] != d->cuts[m - 1]) d->cuts[m++] = d->cuts[i];
    d->n_cuts = m - 1;
    for (size_t i = 0; i < d->n_cuts; i++) {
        size_t k = 0;
        while (k < d->n_kinds && !dfa_same_kind(d, d->first[k], d->cuts[i])) k++;
        if (k == d->n_kinds) {
            if (k == 512) return st_slang_fail(d->l, "too many classes of characters"), false;
            d->first[d->n_kinds++] = d->cuts[i];
        }
        d->kind[i] = (uint32_t)k;
    }
    return true;
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static bool dfa_add_state(dfa *d, uint32_t term, uint32_t *id)
{
    size_t had = d->index_cap;
    if (!st_grow(d->l->mem, &d->index, &d->index_cap, (size_t)term + 1, had, sizeof *d->index)) return dfa_no_memory(d);
    if (d->index_cap > had) memset(d->index + had, 0, (d->index_cap - had) * sizeof *d->index);
    if (d->index[term]) return *id = d->index[term] - 1, true;
    if (d->n_states == ST_SL_MAX_STATES) return st_slang_fail(d->l, "too large together"), false;
    if (!st_grow(d->l->mem, &d->states, &d->states_cap, d->n_states + 1, d->n_states, sizeof *d->states) ||
        !st_grow(d->l->mem, &d->to, &d->to_cap, (d->n_states + 1) * d->n_kinds, d->n_states * d->n_kinds,
                 sizeof *d->to))
        return dfa_no_memory(d);
    *id = (uint32_t)d->n_states++;
    d->states[*id] = (state){.term = term, .live = d->l->terms[term].empty};
    d->index[term] = *id + 1;
    return true;
}

static bool dfa_explore(dfa *d, uint32_t set)
{
    uint32_t id;
    if (!dfa_add_state(d, set, &id)) return false;
    for (size_t s = 0; s < d->n_states; s++)
        for (size_t k = 0; k < d->n_kinds; k++) {
            uint32_t to = ST_SL_NONE;
            if (st_sset_writable((st_srange){d->first[k], d->first[k]}))
                to = st_slang_derive(d->l, d->states[s].term, d->first[k]);
            if (d->l->error || !dfa_add_state(d, to, &id)) return false;
            d->to[s * d->n_kinds + k] = id;
        }
    return true;
}

/* Marks the states from which a string can end. */
static bool dfa_mark_live(dfa *d)
{
    size_t n = d->n_states, edges = n * d->n_kinds;
    st_mem *mem = d->l->mem;
    uint32_t *at = st_calloc(mem, n + 2, sizeof *at), *from = st_alloc(mem, edges + 1, sizeof *from);
    uint32_t *todo = st_alloc(mem, n + 1, sizeof *todo);
    size_t n_todo = 0;
    if (at && from && todo) {
        for (size_t i = 0; i < edges; i++) at[d->to[i] + 2]++;
        for (size_t i = 2; i < n + 2; i++) at[i] += at[i - 1];
        for (size_t i = 0; i < edges; i++) from[at[d->to[i] + 1]++] = (uint32_t)(i / d->n_kinds);
        for (size_t i = 0; i < n; i++)
            if (d->states[i].live) todo[n_todo++] = (uint32_t)i;
        while (n_todo > 0) {
            uint32_t s = todo[--n_todo];
            for (uint32_t i = at[s]; i < at[s + 1]; i++)
                if (!d->states[from[i]].live) {
                    d->states[from[i]].live = true;
                    todo[n_todo++] = from[i];
                }
        }
    } else {
        dfa_no_memory(d);
    }
    st_free(mem, at);
    st_free(mem, from);
    st_free(mem, todo);
    return !d->l->error;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static bool dfa_write_state(dfa *d, size_t s, const char *prefix, st_sbuf *b, st_srange *ranges)
{
    const uint32_t *to = d->to + s * d->n_kinds;
    bool bar = false;
    st_sbuf_fmt(b, "%s%u ::= ", prefix, d->states[s].rule);
    for (size_t k = 0; k < d->n_kinds; k++) {
        uint32_t t = to[k];
        bool before = false;
        for (size_t j = 0; j < k && !before; j++) before = to[j] == t;
        if (before || !d->states[t].live) continue;
        size_t n = 0;
        for (size_t c = 0; c < d->n_cuts; c++) {
            if (to[d->kind[c]] != t || !st_sset_writable((st_srange){d->cuts[c], d->cuts[c]})) continue;
            if (n && ranges[n - 1].hi + 1 == d->cuts[c])
                ranges[n - 1].hi = d->cuts[c + 1] - 1;
            else
                ranges[n++] = (st_srange){d->cuts[c], d->cuts[c + 1] - 1};
        }
        if (bar) st_sbuf_str(b, "| ");
        bar = true;
        st_sset_put(b, ranges, n);
        st_sbuf_fmt(b, "%s%u ", prefix, d->states[t].rule);
    }
    if (d->l->terms[d->states[s].term].empty) st_sbuf_str(b, bar ? "| \"\"" : "\"\"");
    st_sbuf_str(b, "\n");
    return !b->no_memory;
}

bool st_slang_write(st_slang *l, uint32_t set, const char *prefix, st_sbuf *rules, bool *any)
{
    dfa d = {.l = l};
    st_mem *mem = l->mem;
    bool ok = !l->error && dfa_classify(&d) && dfa_explore(&d, set) && dfa_mark_live(&d);
    *any = ok && d.states[0].live;
    if (*any) {
        uint32_t n = 0;
        st_srange *ranges = st_alloc(mem, d.n_cuts + 1, sizeof *ranges);
        for (size_t s = 0; s < d.n_states; s++)
            if (d.states[s].live) d.states[s].rule = n++;
        ok = ranges || dfa_no_memory(&d);
        for (size_t s = 0; s < d.n_states && ok; s++)
            if (d.states[s].live) ok = dfa_write_state(&d, s, prefix, rules, ranges) || dfa_no_memory(&d);
        st_free(mem, ranges);
    }
    void *all[] = {d.cuts, d.kind, d.first, d.states, d.to, d.index};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(mem, all[i]);
    return ok;
}
