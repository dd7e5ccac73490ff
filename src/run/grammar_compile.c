/* grammar_compile.c: tree -> program: one array of places in which rules call each other. Repetitions are written out;
 * alternatives of single characters, also behind names, become one class. Then what the automaton could not bear is
 * refused: left recursion, rules that never end. */
#include <string.h>

#include "run/grammar_impl.h"

#define MAX_CLASS_DEPTH 24u
#define MAX_GEN_DEPTH   (4 * ST_G_MAX_DEPTH)
#define END             0u /* place 0: the end of every rule */

typedef struct compiler {
    st_gparse *p;
    st_gprogram *out;
    uint32_t *queue; /* [n_rules] rules to generate, and then those that were */
    uint32_t n_queue;
    uint32_t visits;
} compiler;

static int no_memory(const compiler *c)
{
    st_error_set(c->p->err, STRATA_NO_MEMORY, "no memory for a grammar of %zu rules", c->p->n_rules);
    return STRATA_NO_MEMORY;
}

/* ---- single characters ------------------------------------------------------------------------------------------- */

static int as_class(compiler *c, uint32_t node, unsigned depth, uint32_t *cls);

static int rule_class(compiler *c, uint32_t rule, unsigned depth, uint32_t *cls)
{
    st_grule *r = &c->p->rules[rule];
    if (r->cls == ST_G_NONE - 1) {
        r->cls = ST_G_NONE; /* what it is to itself */
        ST_TRY(as_class(c, r->body, depth, cls));
        c->p->rules[rule].cls = *cls;
    }
    *cls = c->p->rules[rule].cls;
    return STRATA_OK;
}

/* Appends the ranges of a class to a list. */
static bool add_ranges(const st_gclasses *k, uint32_t cls, st_grange **r, size_t *n, size_t *cap)
{
    size_t m = k->classes[cls].n;
    if (!st_grow(k->mem, r, cap, *n + m, *n, sizeof **r)) return false;
    memcpy(*r + *n, k->ranges + k->classes[cls].at, m * sizeof **r);
    *n += m;
    return true;
}

/* The class of the characters that a node stands for, ST_G_NONE if it is more than one character of a class. */
static int as_class(compiler *c, uint32_t node, unsigned depth, uint32_t *cls)
{
    const st_gtree t = c->p->tree[node];
    *cls = ST_G_NONE;
    c->visits++;
    if (depth > MAX_CLASS_DEPTH) return STRATA_OK;
    switch (t.kind) {
    case ST_GN_CLASS: *cls = t.arg; return STRATA_OK;
    case ST_GN_REF: return rule_class(c, t.arg, depth + 1, cls);
    case ST_GN_REP: return t.min == 1 && t.max == 1 ? as_class(c, t.first, depth + 1, cls) : STRATA_OK;
    case ST_GN_SEQ:
        if (t.first == ST_G_NONE || c->p->tree[t.first].next != ST_G_NONE) return STRATA_OK;
        return as_class(c, t.first, depth + 1, cls);
    default: break;
    }
    st_grange *r = NULL;
    size_t n = 0, cap = 0;
    int rc = STRATA_OK;
    bool all = true;
    for (uint32_t i = t.first; i != ST_G_NONE && all && !rc; i = c->p->tree[i].next) {
        uint32_t one = ST_G_NONE;
        rc = as_class(c, i, depth + 1, &one);
        all = !rc && one != ST_G_NONE;
        if (all && !add_ranges(c->p->classes, one, &r, &n, &cap)) rc = no_memory(c);
    }
    if (!rc && all && !st_gclass_add(c->p->classes, r, n, false, cls)) rc = no_memory(c);
    st_free(c->p->mem, r);
    return rc;
}

/* ---- code, from the back ----------------------------------------------------------------------------------------- */

static int emit(compiler *c, uint32_t at, st_gplace place, uint32_t *id)
{
    st_gprogram *o = c->out;
    if (o->n == ST_G_MAX_PROGRAM)
        return st_grammar_error(c->p, at, "more than %u places after {m,n} are written out", ST_G_MAX_PROGRAM);
    if (!st_grow(c->p->mem, &o->places, &o->cap, o->n + 1, o->n, sizeof *o->places)) return no_memory(c);
    *id = (uint32_t)o->n;
    o->places[o->n++] = place;
    return STRATA_OK;
}

static int gen(compiler *c, uint32_t node, uint32_t next, unsigned depth, uint32_t *entry);

static int gen_call(compiler *c, uint32_t at, uint32_t rule, uint32_t next, uint32_t *entry)
{
    uint32_t cls = ST_G_NONE;
    ST_TRY(rule_class(c, rule, 0, &cls));
    if (cls != ST_G_NONE) return emit(c, at, (st_gplace){ST_GP_CHAR, cls, next}, entry);
    st_grule *r = &c->p->rules[rule];
    if (r->start == ST_G_NONE) {
        r->start = END; /* waiting */
        c->queue[c->n_queue++] = rule;
    }
    return emit(c, at, (st_gplace){next == END ? ST_GP_TAIL : ST_GP_CALL, rule, next}, entry);
}

static int gen_repeat(compiler *c, const st_gtree *t, uint32_t next, unsigned depth, uint32_t *entry)
{
    uint32_t e = next;
    if (t->max == ST_G_NONE) {
        uint32_t loop = 0, body = 0;
        ST_TRY(emit(c, t->at, (st_gplace){ST_GP_SPLIT, next, next}, &loop));
        ST_TRY(gen(c, t->first, loop, depth, &body));
        c->out->places[loop].arg = body;
        e = loop;
    } else {
        for (uint32_t i = t->min; i < t->max; i++) { /* (x (x (x)?)?)? */
            uint32_t body = 0;
            ST_TRY(gen(c, t->first, e, depth, &body));
            ST_TRY(emit(c, t->at, (st_gplace){ST_GP_SPLIT, body, next}, &e));
        }
    }
    for (uint32_t i = 0; i < t->min; i++) ST_TRY(gen(c, t->first, e, depth, &e));
    *entry = e;
    return STRATA_OK;
}

static int gen_sequence(compiler *c, const st_gtree *t, uint32_t next, unsigned depth, uint32_t *entry)
{
    size_t n = 0;
    for (uint32_t i = t->first; i != ST_G_NONE; i = c->p->tree[i].next) n++;
    uint32_t few[16], *list = n <= 16 ? few : st_alloc(c->p->mem, n, sizeof *list);
    if (!list) return no_memory(c);
    size_t k = 0;
    for (uint32_t i = t->first; i != ST_G_NONE; i = c->p->tree[i].next) list[k++] = i;
    int rc = STRATA_OK;
    while (k > 0 && !rc) rc = gen(c, list[--k], next, depth, &next);
    if (list != few) st_free(c->p->mem, list);
    *entry = next;
    return rc;
}

/* Alternatives of one character first, as one place. */
static int gen_alternatives(compiler *c, const st_gtree *t, uint32_t next, unsigned depth, uint32_t *entry)
{
    st_grange *r = NULL;
    size_t n = 0, cap = 0;
    uint32_t at = ST_G_NONE, one = ST_G_NONE, cls = ST_G_NONE, e = END;
    int rc = STRATA_OK;
    for (uint32_t i = t->first; i != ST_G_NONE && !rc; i = c->p->tree[i].next) {
        rc = as_class(c, i, 0, &one);
        if (rc) break;
        if (one != ST_G_NONE) {
            if (!add_ranges(c->p->classes, one, &r, &n, &cap)) rc = no_memory(c);
            continue;
        }
        rc = gen(c, i, next, depth, &e);
        if (!rc && at != ST_G_NONE) rc = emit(c, t->at, (st_gplace){ST_GP_SPLIT, e, at}, &e);
        at = e;
    }
    if (!rc && n) {
        if (!st_gclass_add(c->p->classes, r, n, false, &cls)) rc = no_memory(c);
        if (!rc) rc = emit(c, t->at, (st_gplace){ST_GP_CHAR, cls, next}, &e);
        if (!rc && at != ST_G_NONE) rc = emit(c, t->at, (st_gplace){ST_GP_SPLIT, e, at}, &e);
        at = e;
    }
    st_free(c->p->mem, r);
    *entry = at;
    return rc;
}

static int gen(compiler *c, uint32_t node, uint32_t next, unsigned depth, uint32_t *entry)
{
    const st_gtree t = c->p->tree[node];
    if (++c->visits > ST_G_MAX_GEN)
        return st_grammar_error(c->p, t.at, "nested repetitions take more than %u steps to write out", ST_G_MAX_GEN);
    if (depth > MAX_GEN_DEPTH) return st_grammar_error(c->p, t.at, "nested deeper than %u", MAX_GEN_DEPTH);
    switch (t.kind) {
    case ST_GN_CLASS: return emit(c, t.at, (st_gplace){ST_GP_CHAR, t.arg, next}, entry);
    case ST_GN_REF: return gen_call(c, t.at, t.arg, next, entry);
    case ST_GN_REP: return gen_repeat(c, &t, next, depth + 1, entry);
    case ST_GN_SEQ: return gen_sequence(c, &t, next, depth + 1, entry);
    default: return gen_alternatives(c, &t, next, depth + 1, entry);
    }
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

/* Edges of the program turned round, and the calls of each rule. Here CALL and TAIL still name the rule. */
typedef struct graph {
    uint32_t *pred_at, *pred;   /* [n + 1], [2n] */
    uint32_t *calls_at, *calls; /* [n_rules + 1], [n] */
    uint32_t *todo;             /* [2n + 2] */
    uint8_t *ends;              /* [n] an end is reachable from here ... */
    uint8_t *rule_ends;         /* [n_rules] */
} graph;

static inline bool is_call(const st_gplace *x)
{
    return x->kind == ST_GP_CALL || x->kind == ST_GP_TAIL;
}

static bool graph_open(const compiler *c, graph *g)
{
    size_t n = c->out->n, n_rules = c->p->n_rules;
    st_mem *mem = c->p->mem;
    g->pred_at = st_calloc(mem, n + 2, sizeof(uint32_t));
    g->pred = st_alloc(mem, 2 * n, sizeof(uint32_t));
    g->calls_at = st_calloc(mem, n_rules + 2, sizeof(uint32_t));
    g->calls = st_alloc(mem, n, sizeof(uint32_t));
    g->todo = st_alloc(mem, 2 * n + 2, sizeof(uint32_t));
    g->ends = st_alloc(mem, n, 1);
    g->rule_ends = st_alloc(mem, n_rules, 1);
    if (!g->pred_at || !g->pred || !g->calls_at || !g->calls || !g->todo || !g->ends || !g->rule_ends) return false;
    const st_gplace *x = c->out->places;
    for (size_t i = 1; i < n; i++) { /* counts at index + 2, so that filling leaves starts at index */
        g->pred_at[x[i].next + 2]++;
        if (x[i].kind == ST_GP_SPLIT) g->pred_at[x[i].arg + 2]++;
        if (is_call(&x[i])) g->calls_at[x[i].arg + 2]++;
    }
    for (size_t i = 2; i < n + 2; i++) g->pred_at[i] += g->pred_at[i - 1];
    for (size_t i = 2; i < n_rules + 2; i++) g->calls_at[i] += g->calls_at[i - 1];
    for (uint32_t i = 1; i < n; i++) {
        g->pred[g->pred_at[x[i].next + 1]++] = i;
        if (x[i].kind == ST_GP_SPLIT) g->pred[g->pred_at[x[i].arg + 1]++] = i;
        if (is_call(&x[i])) g->calls[g->calls_at[x[i].arg + 1]++] = i;
    }
    return true;
}

static void graph_close(const compiler *c, graph *g)
{
    void *all[] = {g->pred_at, g->pred, g->calls_at, g->calls, g->todo, g->ends, g->rule_ends};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(c->p->mem, all[i]);
}

static void mark(graph *g, uint32_t *n, uint32_t place)
{
    if (g->ends[place]) return;
    g->ends[place] = 1;
    g->todo[(*n)++] = place;
}

/* Marks the places from which the end of their rule can be reached; `chars`: also over characters. Linear. */
static void mark_ends(const compiler *c, graph *g, bool chars, const uint32_t *rule_at, const uint32_t *rule_next)
{
    const st_gplace *x = c->out->places;
    uint32_t n = 0;
    memset(g->ends, 0, c->out->n);
    memset(g->rule_ends, 0, c->p->n_rules);
    mark(g, &n, END);
    while (n > 0) {
        uint32_t at = g->todo[--n];
        for (uint32_t i = g->pred_at[at]; i < g->pred_at[at + 1]; i++) {
            const st_gplace *q = &x[g->pred[i]];
            if (q->kind == ST_GP_SPLIT || (q->kind == ST_GP_CHAR && chars) || (is_call(q) && g->rule_ends[q->arg]))
                mark(g, &n, g->pred[i]);
        }
        for (uint32_t r = rule_at[at]; r != ST_G_NONE; r = rule_next[r]) {
            g->rule_ends[r] = 1;
            for (uint32_t i = g->calls_at[r]; i < g->calls_at[r + 1]; i++)
                if (g->ends[x[g->calls[i]].next]) mark(g, &n, g->calls[i]);
        }
    }
}

static int rule_error(const compiler *c, uint32_t rule, const char *what)
{
    const st_grule *r = &c->p->rules[rule];
    return st_grammar_error(c->p, r->used, "rule '%.*s' %s", (int)(r->name_len < 80 ? r->name_len : 80),
                            c->p->text + r->name, what);
}

/* Rules that a rule calls before its first character, and whether that leads back to it. */
static int check_left(const compiler *c, const graph *g)
{
    const st_gplace *x = c->out->places;
    st_mem *mem = c->p->mem;
    size_t n = c->out->n, n_rules = c->p->n_rules;
    uint32_t *at = st_calloc(mem, n_rules + 1, sizeof *at), *edges = st_alloc(mem, n, sizeof *edges);
    uint32_t *seen = st_calloc(mem, n, sizeof *seen), *path = st_alloc(mem, n_rules, sizeof *path);
    uint32_t *next = st_alloc(mem, n_rules, sizeof *next);
    uint8_t *colour = st_calloc(mem, n_rules, 1); /* 1: on the path, 2: done */
    uint32_t n_edges = 0;
    int rc = STRATA_OK;
    if (!at || !edges || !seen || !path || !next || !colour) rc = no_memory(c);
    uint32_t *end = next; /* of a rule's edges, until the search below moves it */
    for (uint32_t k = 0; !rc && k < c->n_queue; k++) {
        uint32_t r = c->queue[k], m = 0;
        at[r] = n_edges;
        g->todo[m++] = c->p->rules[r].start;
        while (m > 0) {
            uint32_t i = g->todo[--m];
            const st_gplace *q = &x[i];
            if (i == END || q->kind == ST_GP_CHAR || seen[i]) continue;
            seen[i] = 1; /* a place belongs to one rule */
            if (is_call(q)) edges[n_edges++] = q->arg;
            if (q->kind == ST_GP_SPLIT && !seen[q->arg]) g->todo[m++] = q->arg;
            if ((q->kind == ST_GP_SPLIT || g->rule_ends[q->arg]) && !seen[q->next]) g->todo[m++] = q->next;
        }
        end[r] = n_edges;
    }
    for (uint32_t k = 0; !rc && k < c->n_queue; k++) {
        uint32_t m = 0;
        if (colour[c->queue[k]]) continue;
        path[m++] = c->queue[k];
        colour[path[0]] = 1;
        while (m > 0 && !rc) {
            uint32_t r = path[m - 1];
            if (end[r] == at[r]) { /* edges are taken from the back */
                colour[r] = 2;
                m--;
                continue;
            }
            uint32_t to = edges[--end[r]];
            if (colour[to] == 1)
                rc = rule_error(c, to, "calls itself before any character (left recursion)");
            else if (!colour[to])
                colour[to] = 1, path[m++] = to;
        }
    }
    void *all[] = {at, edges, seen, path, next, colour};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(mem, all[i]);
    return rc;
}

static int check(const compiler *c)
{
    st_mem *mem = c->p->mem;
    graph g = {0};
    uint32_t *rule_at = st_alloc(mem, c->out->n, sizeof *rule_at);
    uint32_t *rule_next = st_alloc(mem, c->p->n_rules, sizeof *rule_next);
    int rc = STRATA_OK;
    if (!rule_at || !rule_next || !graph_open(c, &g)) rc = no_memory(c);
    if (!rc) {
        memset(rule_at, 0xff, c->out->n * sizeof *rule_at);
        for (uint32_t k = 0; k < c->n_queue; k++) { /* rules that start at a place */
            uint32_t r = c->queue[k], start = c->p->rules[r].start;
            rule_next[r] = rule_at[start];
            rule_at[start] = r;
        }
        mark_ends(c, &g, true, rule_at, rule_next);
        for (uint32_t k = 0; !rc && k < c->n_queue; k++)
            if (!g.rule_ends[c->queue[k]]) rc = rule_error(c, c->queue[k], "can never end");
    }
    if (!rc) {
        mark_ends(c, &g, false, rule_at, rule_next);
        rc = check_left(c, &g);
    }
    graph_close(c, &g);
    st_free(mem, rule_at);
    st_free(mem, rule_next);
    return rc;
}

int st_grammar_compile(st_gparse *p, st_gprogram *out)
{
    compiler c = {.p = p, .out = out};
    uint32_t end;
    c.queue = st_alloc(p->mem, p->n_rules, sizeof *c.queue);
    int rc = c.queue ? emit(&c, 0, (st_gplace){ST_GP_END, 0, 0}, &end) : no_memory(&c);
    if (!rc) {
        p->rules[p->root].start = END;
        c.queue[c.n_queue++] = p->root;
    }
    for (uint32_t k = 0; !rc && k < c.n_queue; k++) {
        uint32_t start = END;
        rc = gen(&c, p->rules[c.queue[k]].body, END, 0, &start);
        if (!rc) p->rules[c.queue[k]].start = start;
    }
    if (!rc) rc = check(&c);
    if (!rc) {
        for (size_t i = 0; i < out->n; i++)
            if (is_call(&out->places[i])) out->places[i].arg = p->rules[out->places[i].arg].start;
        out->start = p->rules[p->root].start;
        if (!st_gclass_finish(p->classes)) rc = no_memory(&c);
    }
    st_free(p->mem, c.queue);
    return rc;
}
