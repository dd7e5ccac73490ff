/* grammar_match.c: the automaton over bytes, made state by state as texts reach it.
 *
 * A state ("config") is a sorted set of items; an item is a place that reads a character, how far into the character it
 * is, and the stack of places to return to. Stacks are linked lists kept once, so equal states are found by hashing and
 * a loop in the grammar is a loop in the automaton. */
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar_internal.h"

static int match_no_memory(strata_error *err)
{
    st_error_set(err, STRATA_NO_MEMORY, "no memory for the states of a grammar");
    return STRATA_NO_MEMORY;
}

static int match_too_ambiguous(strata_error *err)
{
    ST_FAIL(err, STRATA_BAD_GRAMMAR, "the grammar is too ambiguous: more than %u ways to read one text",
            ST_G_MAX_ITEMS);
}

static int match_too_long(strata_error *err)
{
    ST_FAIL(err, STRATA_BAD_GRAMMAR, "the grammar takes more than %u steps for one token", ST_G_MAX_STEPS);
}

static uint32_t match_mix(uint32_t h, uint32_t v)
{
    h = (h ^ v) * 0x9e3779b1u;
    return h ^ h >> 15;
}

/* ---- stacks ------------------------------------------------------------------------------------------------------ */

static uint32_t match_stack_slot(const st_grammar *g, uint32_t place, uint32_t parent, uint32_t count)
{
    return match_mix(match_mix(match_mix(0x51ed270bu, place), parent), count) & (uint32_t)(g->stack_hash_cap - 1);
}

/* Links everything anew: after growth, and after a purge. */
static void match_stacks_rehash(st_grammar *g)
{
    memset(g->stack_hash, 0, g->stack_hash_cap * sizeof *g->stack_hash);
    for (uint32_t i = 1; i < g->n_stacks; i++) {
        uint32_t s = match_stack_slot(g, g->stacks[i].place, g->stacks[i].parent, g->stacks[i].count);
        g->stacks[i].hash_next = g->stack_hash[s];
        g->stack_hash[s] = i + 1;
    }
}

static void match_configs_rehash(st_grammar *g)
{
    memset(g->config_hash, 0, g->config_hash_cap * sizeof *g->config_hash);
    for (uint32_t i = 0; i < g->n_configs; i++) {
        uint32_t s = g->configs[i].hash & (uint32_t)(g->config_hash_cap - 1);
        g->configs[i].hash_next = g->config_hash[s];
        g->config_hash[s] = i + 1;
    }
}

/* A table of twice as many heads. False: no memory. */
static bool match_heads_grow(st_mem *mem, uint32_t **heads, size_t *cap)
{
    size_t next = *cap ? *cap * 2 : 256;
    uint32_t *p = st_alloc(mem, next, sizeof *p);
    if (!p) return false;
    st_free(mem, *heads);
    *heads = p;
    *cap = next;
    return true;
}

static int match_push_stack(st_grammar *g, uint32_t place, uint32_t parent, uint32_t count, uint32_t *id,
                            strata_error *err)
{
    for (uint32_t k = g->stack_hash[match_stack_slot(g, place, parent, count)]; k; k = g->stacks[k - 1].hash_next) {
        const st_gstack *have = &g->stacks[k - 1];
        if (have->place == place && have->parent == parent && have->count == count) return *id = k - 1, STRATA_OK;
    }
    if (!st_grow(g->mem, &g->stacks, &g->stacks_cap, g->n_stacks + 1, g->n_stacks, sizeof *g->stacks))
        return match_no_memory(err);
    if (g->n_stacks >= g->stack_hash_cap) {
        if (!match_heads_grow(g->mem, &g->stack_hash, &g->stack_hash_cap)) return match_no_memory(err);
        match_stacks_rehash(g);
    }
    uint32_t s = match_stack_slot(g, place, parent, count);
    *id = (uint32_t)g->n_stacks++;
    g->stacks[*id] = (st_gstack){place, parent, count, g->stack_hash[s], ST_G_NONE};
    g->stack_hash[s] = *id + 1;
    return STRATA_OK;
}

/* ---- closure ----------------------------------------------------------------------------------------------------- */

static void match_set_clear(st_grammar *g)
{
    g->n_set = g->n_todo = g->n_seen = 0;
    g->set_done = false;
    if (++g->epoch == 0) { /* wrapped: old marks would look new */
        memset(g->seen_epoch, 0, g->seen_cap * sizeof *g->seen_epoch);
        g->epoch = 1;
    }
}

static void match_seen_put(st_grammar *g, uint64_t key)
{
    size_t i = match_mix((uint32_t)key, (uint32_t)(key >> 32)) & (g->seen_cap - 1);
    while (g->seen_epoch[i] == g->epoch) i = (i + 1) & (g->seen_cap - 1);
    g->seen[i] = key;
    g->seen_epoch[i] = g->epoch;
}

static bool match_seen_grow(st_grammar *g)
{
    size_t cap = g->seen_cap, next = cap ? cap * 2 : 256;
    uint64_t *keys = st_alloc(g->mem, next, sizeof *keys), *old = g->seen;
    uint32_t *epochs = st_calloc(g->mem, next, sizeof *epochs), *old_epochs = g->seen_epoch;
    if (!keys || !epochs) {
        st_free(g->mem, keys);
        st_free(g->mem, epochs);
        return false;
    }
    g->seen = keys;
    g->seen_epoch = epochs;
    g->seen_cap = next;
    for (size_t i = 0; i < cap; i++)
        if (old_epochs[i] == g->epoch) match_seen_put(g, old[i]);
    st_free(g->mem, old);
    st_free(g->mem, old_epochs);
    return true;
}

static int match_visit(st_grammar *g, uint32_t stack, uint32_t place, strata_error *err)
{
    uint64_t key = (uint64_t)stack << 32 | place;
    if (2 * (g->n_seen + 1) > g->seen_cap && !match_seen_grow(g)) return match_no_memory(err);
    size_t i = match_mix((uint32_t)key, (uint32_t)(key >> 32)) & (g->seen_cap - 1);
    for (; g->seen_epoch[i] == g->epoch; i = (i + 1) & (g->seen_cap - 1))
        if (g->seen[i] == key) return STRATA_OK;
    g->seen[i] = key;
    g->seen_epoch[i] = g->epoch;
    g->n_seen++;
    if (g->n_seen > 4 * (size_t)ST_G_MAX_ITEMS) return match_too_ambiguous(err);
    if (!st_grow(g->mem, &g->todo, &g->todo_cap, g->n_todo + 1, g->n_todo, sizeof *g->todo))
        return match_no_memory(err);
    g->todo[g->n_todo++] = key;
    return STRATA_OK;
}

static bool match_is_seen(const st_grammar *g, uint32_t stack, uint32_t place)
{
    uint64_t key = (uint64_t)stack << 32 | place;
    size_t i = match_mix((uint32_t)key, (uint32_t)(key >> 32)) & (g->seen_cap - 1);
    for (; g->seen_epoch[i] == g->epoch; i = (i + 1) & (g->seen_cap - 1))
        if (g->seen[i] == key) return true;
    return false;
}

static int match_add_item(st_grammar *g, st_gitem item, strata_error *err)
{
    if (g->n_set == ST_G_MAX_ITEMS) return match_too_ambiguous(err);
    if (!st_grow(g->mem, &g->set, &g->set_cap, g->n_set + 1, g->n_set, sizeof *g->set)) return match_no_memory(err);
    g->set[g->n_set++] = item;
    return STRATA_OK;
}

/* The repetition at a place after its body was read `done` times: on, and once more. */
static int match_repeat(st_grammar *g, uint32_t stack, uint32_t place, uint32_t done, strata_error *err)
{
    const st_gplace x = g->prog.places[place];
    const st_grep r = g->prog.reps[x.arg];
    uint32_t inner = 0, enough = r.min ? r.min : 1;
    if (done >= r.min) ST_TRY(match_visit(g, stack, x.next, err));
    if (done >= r.max) return STRATA_OK;
    /* Without a limit nothing is counted beyond the minimum. */
    done += r.max != ST_G_NONE || done < enough;
    ST_TRY(match_push_stack(g, place, stack, done, &inner, err));
    return match_visit(g, inner, r.start, err);
}

/* The end of a rule, or of a repetition's body. */
static int match_pop_stack(st_grammar *g, uint32_t stack, strata_error *err)
{
    const st_gstack f = g->stacks[stack];
    if (!stack) return g->set_done = true, STRATA_OK;
    if (!f.count) return match_visit(g, f.parent, f.place, err);
    const st_grep *r = &g->prog.reps[g->prog.places[f.place].arg];
    /* A body that began here and read nothing leads nowhere new, and one that did read something to no more than the
     * beginning, which has a repetition more left. */
    if (r->nullable && match_is_seen(g, stack, r->start)) return STRATA_OK;
    return match_repeat(g, f.parent, f.place, f.count, err);
}

/* Follows everything on the list that needs no character. */
static int match_follow(st_grammar *g, strata_error *err)
{
    while (g->n_todo > 0) {
        uint64_t key = g->todo[--g->n_todo];
        uint32_t stack = (uint32_t)(key >> 32);
        const st_gplace x = g->prog.places[(uint32_t)key];
        if (g->steps == 0) return match_too_long(err);
        g->steps--;
        switch (x.kind) {
        case ST_GP_CHAR:
            ST_TRY(match_add_item(g, (st_gitem){stack, (uint32_t)key, g->classes.classes[x.arg].root}, err));
            break;
        case ST_GP_SPLIT:
            ST_TRY(match_visit(g, stack, x.next, err));
            ST_TRY(match_visit(g, stack, x.arg, err));
            break;
        case ST_GP_CALL: {
            uint32_t inner = 0;
            ST_TRY(match_push_stack(g, x.next, stack, 0, &inner, err));
            ST_TRY(match_visit(g, inner, x.arg, err));
            break;
        }
        case ST_GP_TAIL: ST_TRY(match_visit(g, stack, x.arg, err)); break;
        case ST_GP_REP: ST_TRY(match_repeat(g, stack, (uint32_t)key, 0, err)); break;
        default: ST_TRY(match_pop_stack(g, stack, err));
        }
    }
    return STRATA_OK;
}

int st_grammar_closure(st_grammar *g, uint32_t stack, uint32_t place, strata_error *err)
{
    match_set_clear(g);
    ST_TRY(match_visit(g, stack, place, err));
    return match_follow(g, err);
}

/* ---- configs ----------------------------------------------------------------------------------------------------- */

static inline bool match_item_less(const st_gitem *a, const st_gitem *b)
{
    if (a->stack != b->stack) return a->stack < b->stack;
    return a->place != b->place ? a->place < b->place : a->node < b->node;
}

static void match_sort_set(st_gitem *s, size_t n)
{
    if (n <= 24) {
        for (size_t i = 1; i < n; i++) {
            st_gitem e = s[i];
            size_t j = i;
            for (; j > 0 && match_item_less(&e, &s[j - 1]); j--) s[j] = s[j - 1];
            s[j] = e;
        }
        return;
    }
    for (size_t i = n / 2, end = n; end > 1;) { /* heap sort */
        st_gitem e;
        if (i > 0) {
            e = s[--i];
        } else {
            e = s[--end];
            s[end] = s[0];
        }
        size_t at = i;
        for (size_t c; (c = 2 * at + 1) < end; at = c) {
            if (c + 1 < end && match_item_less(&s[c], &s[c + 1])) c++;
            if (!match_item_less(&e, &s[c])) break;
            s[at] = s[c];
        }
        s[at] = e;
    }
}

/* g->set as a config. */
static int match_intern(st_grammar *g, uint32_t *id, strata_error *err)
{
    match_sort_set(g->set, g->n_set);
    size_t n = 0;
    uint32_t h = g->set_done;
    for (size_t i = 0; i < g->n_set; i++) { /* two ways into one character: once */
        if (n && !match_item_less(&g->set[n - 1], &g->set[i])) continue;
        g->set[n++] = g->set[i];
        h = match_mix(match_mix(match_mix(h, g->set[i].stack), g->set[i].place), g->set[i].node);
    }
    g->n_set = n;
    for (uint32_t k = g->config_hash[h & (g->config_hash_cap - 1)]; k; k = g->configs[k - 1].hash_next) {
        const st_gconfig *c = &g->configs[k - 1];
        if (c->hash == h && c->n == n && c->done == g->set_done &&
            (!n || memcmp(g->items + c->at, g->set, n * sizeof *g->set) == 0))
            return *id = k - 1, STRATA_OK;
    }
    size_t row = g->n_byte_class;
    uint32_t cost = 16 + (uint32_t)(row / 4);
    if (g->steps < cost) return g->steps = 0, match_too_long(err);
    g->steps -= cost;
    if (!st_grow(g->mem, &g->configs, &g->configs_cap, g->n_configs + 1, g->n_configs, sizeof *g->configs) ||
        !st_grow(g->mem, &g->trans, &g->trans_cap, (g->n_configs + 1) * row, g->n_configs * row, sizeof *g->trans) ||
        !st_grow(g->mem, &g->items, &g->items_cap, g->n_items + n, g->n_items, sizeof *g->items))
        return match_no_memory(err);
    if (g->n_configs >= g->config_hash_cap) {
        if (!match_heads_grow(g->mem, &g->config_hash, &g->config_hash_cap)) return match_no_memory(err);
        match_configs_rehash(g);
    }
    uint32_t *head = &g->config_hash[h & (g->config_hash_cap - 1)];
    *id = (uint32_t)g->n_configs++;
    g->configs[*id] = (st_gconfig){(uint32_t)g->n_items, (uint32_t)n, h, *head, 0, ST_G_NONE, g->set_done};
    *head = *id + 1;
    if (n) memcpy(g->items + g->n_items, g->set, n * sizeof *g->set);
    g->n_items += n;
    memset(g->trans + *id * row, 0xff, row * sizeof *g->trans);
    return STRATA_OK;
}

int st_grammar_step(st_grammar *g, uint32_t config, uint8_t byte, uint32_t *to, strata_error *err)
{
    const st_gconfig c = g->configs[config];
    match_set_clear(g);
    if (g->steps <= c.n) return g->steps = 0, match_too_long(err);
    g->steps -= c.n + 1;
    for (uint32_t i = 0; i < c.n; i++) {
        st_gitem item = g->items[c.at + i];
        int64_t node = st_gnode_step(&g->classes, item.node, byte);
        if (node == -1) continue;
        if (node == -2) {
            ST_TRY(match_visit(g, item.stack, g->prog.places[item.place].next, err));
            ST_TRY(match_follow(g, err));
        } else {
            ST_TRY(match_add_item(g, (st_gitem){item.stack, item.place, (uint32_t)node}, err));
        }
    }
    ST_TRY(match_intern(g, to, err));
    g->trans[(size_t)config * g->n_byte_class + g->byte_class[byte]] = *to;
    return STRATA_OK;
}

/* ---- masks that are alike ---------------------------------------------------------------------------------------- */

/* A count that no token tells from `count`: a token reads a body of characters at most max_chars + 1 times, the first
 * of which may have begun before it. */
static uint32_t match_canon_count(const st_grammar *g, const st_gstack *f)
{
    if (!f->count) return 0;
    const st_grep *r = &g->prog.reps[g->prog.places[f->place].arg];
    uint64_t reach = (uint64_t)f->count + g->vocab->max_chars + 1;
    if (reach < r->min) return 1;
    if (f->count >= r->min && (r->max == ST_G_NONE || reach < r->max)) return r->min ? r->min : 1;
    return f->count;
}

static int match_canon_stack(st_grammar *g, uint32_t stack, uint32_t *out, strata_error *err)
{
    g->n_todo = 0;
    uint32_t at = stack, to;
    for (; at && g->stacks[at].canon == ST_G_NONE; at = g->stacks[at].parent) {
        if (!st_grow(g->mem, &g->todo, &g->todo_cap, g->n_todo + 1, g->n_todo, sizeof *g->todo))
            return match_no_memory(err);
        g->todo[g->n_todo++] = at;
    }
    to = at ? g->stacks[at].canon : 0;
    while (g->n_todo > 0) {
        at = (uint32_t)g->todo[--g->n_todo];
        const st_gstack f = g->stacks[at];
        if (g->steps == 0) return match_too_long(err);
        g->steps--;
        ST_TRY(match_push_stack(g, f.place, to, match_canon_count(g, &f), &to, err));
        g->stacks[to].canon = g->stacks[at].canon = to;
    }
    *out = to;
    return STRATA_OK;
}

int st_grammar_canon(st_grammar *g, uint32_t config, uint32_t *out, strata_error *err)
{
    const st_gconfig c = g->configs[config];
    *out = c.canon;
    if (c.canon != ST_G_NONE) return STRATA_OK;
    match_set_clear(g);
    g->set_done = c.done;
    for (uint32_t i = 0; i < c.n; i++) {
        st_gitem item = g->items[c.at + i];
        ST_TRY(match_canon_stack(g, item.stack, &item.stack, err));
        ST_TRY(match_add_item(g, item, err));
    }
    ST_TRY(match_intern(g, out, err));
    g->configs[*out].canon = g->configs[config].canon = *out;
    return STRATA_OK;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static size_t match_held(const st_grammar *g)
{
    return g->n_stacks * sizeof *g->stacks + g->n_items * sizeof *g->items +
           g->n_configs * (sizeof *g->configs + g->n_byte_class * sizeof *g->trans);
}

/* Forgets all configs but the initial one and those of states, and the stacks that only the others had. Numbers keep
 * their order, so sorted sets stay sorted. */
static int match_purge(st_grammar *g, strata_error *err)
{
    uint32_t *config_to = st_calloc(g->mem, g->n_configs, sizeof *config_to);
    uint32_t *stack_to = st_calloc(g->mem, g->n_stacks, sizeof *stack_to);
    if (!config_to || !stack_to) {
        st_free(g->mem, config_to);
        st_free(g->mem, stack_to);
        return match_no_memory(err);
    }
    config_to[ST_G_DEAD] = config_to[g->initial] = config_to[g->pin] = 1;
    for (st_grammar_state *s = g->states; s; s = s->next) config_to[s->config] = 1;
    for (size_t i = 0; i < g->n_configs; i++)
        for (uint32_t j = 0; config_to[i] && j < g->configs[i].n; j++)
            stack_to[g->items[g->configs[i].at + j].stack] = 1;
    stack_to[0] = 1;
    for (size_t i = g->n_stacks; i-- > 1;) /* parents are older */
        if (stack_to[i]) stack_to[g->stacks[i].parent] = 1;
    uint32_t n = 0;
    for (size_t i = 0; i < g->n_stacks; i++) {
        if (!stack_to[i]) continue;
        st_gstack s = g->stacks[i];
        s.parent = i ? stack_to[s.parent] : 0;
        s.canon = ST_G_NONE;
        g->stacks[n] = s;
        stack_to[i] = n++;
    }
    g->n_stacks = n;
    uint32_t m = 0, items = 0;
    for (size_t i = 0; i < g->n_configs; i++) {
        if (!config_to[i]) continue;
        st_gconfig c = g->configs[i];
        uint32_t h = c.done;
        for (uint32_t j = 0; j < c.n; j++) {
            st_gitem item = g->items[c.at + j];
            item.stack = stack_to[item.stack];
            g->items[items + j] = item;
            h = match_mix(match_mix(match_mix(h, item.stack), item.place), item.node);
        }
        c.at = items;
        c.hash = h;
        c.mask = 0;
        c.canon = ST_G_NONE;
        items += c.n;
        g->configs[m] = c;
        config_to[i] = m++;
    }
    g->n_configs = m;
    g->n_items = items;
    g->initial = config_to[g->initial];
    g->pin = config_to[g->pin];
    for (st_grammar_state *s = g->states; s; s = s->next) s->config = config_to[s->config];
    memset(g->trans, 0xff, g->n_configs * g->n_byte_class * sizeof *g->trans);
    for (uint32_t i = 0; i < ST_G_MASKS; i++) g->mask_owner[i] = ST_G_NONE;
    match_stacks_rehash(g);
    match_configs_rehash(g);
    st_free(g->mem, config_to);
    st_free(g->mem, stack_to);
    return STRATA_OK;
}

int st_grammar_begin(st_grammar *g, strata_error *err)
{
    g->steps = ST_G_MAX_STEPS;
    return match_held(g) > ST_G_CACHE ? match_purge(g, err) : STRATA_OK;
}

/* ---- the grammar ------------------------------------------------------------------------------------------------- */

/* Bytes that no class tells apart are one column of the table. */
static void match_classify_bytes(st_grammar *g)
{
    bool edge[257] = {false};
    for (size_t i = 0; i < g->classes.n_edges; i++)
        edge[g->classes.edges[i].lo] = edge[g->classes.edges[i].hi + 1] = true;
    uint32_t n = 0;
    for (int b = 0; b < 256; b++) {
        if (b && edge[b]) n++;
        g->byte_class[b] = (uint8_t)n;
    }
    g->n_byte_class = n + 1;
}

static int match_start(st_grammar *g, strata_error *err)
{
    uint32_t dead;
    match_classify_bytes(g);
    if (!st_grow(g->mem, &g->stacks, &g->stacks_cap, 1, 0, sizeof *g->stacks) || !match_seen_grow(g) ||
        !match_heads_grow(g->mem, &g->stack_hash, &g->stack_hash_cap) ||
        !match_heads_grow(g->mem, &g->config_hash, &g->config_hash_cap))
        return match_no_memory(err);
    g->stacks[0] = (st_gstack){0, 0, 0, 0, 0};
    g->n_stacks = 1;
    match_stacks_rehash(g);
    match_configs_rehash(g);
    for (uint32_t i = 0; i < ST_G_MASKS; i++) g->mask_owner[i] = ST_G_NONE;
    ST_TRY(st_grammar_begin(g, err));
    match_set_clear(g);
    ST_TRY(match_intern(g, &dead, err)); /* the first is ST_G_DEAD */
    ST_TRY(st_grammar_closure(g, 0, g->prog.start, err));
    return match_intern(g, &g->initial, err);
}

static int match_open_grammar(const char *text, size_t len, bool spaced, const st_gvocab *vocab, st_mem *mem,
                              st_grammar **out, strata_error *err)
{
    st_grammar *g = st_calloc(mem, 1, sizeof *g);
    if (!g) return match_no_memory(err);
    g->mem = mem;
    g->vocab = vocab;
    g->classes.mem = mem;
    st_gparse p = {.text = text, .len = len, .mem = mem, .err = err, .classes = &g->classes, .spaced = spaced};
    int rc = st_grammar_parse(&p);
    if (!rc) rc = st_grammar_compile(&p, &g->prog);
    st_gparse_free(&p);
    if (!rc) rc = match_start(g, err);
    if (!rc && vocab) {
        g->walk = st_alloc(mem, (size_t)vocab->max_depth + 1, sizeof *g->walk);
        if (!g->walk) rc = match_no_memory(err);
    }
    if (rc) {
        st_grammar_close(g);
        return rc;
    }
    *out = g;
    return STRATA_OK;
}

int st_grammar_open(const char *text, size_t len, const st_gvocab *vocab, st_mem *mem, st_grammar **out,
                    strata_error *err)
{
    return match_open_grammar(text, len, false, vocab, mem, out, err);
}

int st_grammar_open_spaced(const char *text, size_t len, const st_gvocab *vocab, st_mem *mem, st_grammar **out,
                           strata_error *err)
{
    return match_open_grammar(text, len, true, vocab, mem, out, err);
}

void st_grammar_close(st_grammar *g)
{
    if (!g) return;
    st_mem *mem = g->mem;
    st_gclasses_free(&g->classes);
    st_grammar_masks_free(g);
    void *all[] = {g->prog.places, g->prog.reps, g->stacks, g->stack_hash, g->configs,    g->trans, g->config_hash,
                   g->items,       g->set,       g->todo,   g->seen,       g->seen_epoch, g->walk,  g};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(mem, all[i]);
}
