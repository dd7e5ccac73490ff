/* grammar_compile.c: tree -> program: one array of places in which rules call each other. Repetitions are
 * counters over a body that is there once; alternatives of single characters, also behind names, become one class. Then
 * what the automaton could not bear is refused: left recursion, rules that never end. */
#include <string.h>

#include "grammar/grammar_internal.h"

#define MAX_CLASS_DEPTH 24u
#define MAX_GEN_DEPTH   (4 * ST_G_MAX_DEPTH)
#define END             0u /* place 0: the end of every rule */

/* A node whose code is being made. */
typedef struct work {
    uint32_t node, next;
    uint32_t at;    /* the next child */
    uint32_t child; /* entry of the child that was done last */
    uint32_t entry; /* of what is done so far */
    bool begun;
} work;

typedef struct compiler {
    st_gparse *p;
    st_gprogram *out;
    uint32_t *queue; /* [n_rules] rules to generate, and then those that were */
    uint32_t n_queue;
    uint32_t visits;
    work *stack; /* in memory, so that no nesting takes the caller's stack */
    size_t n_stack, stack_cap;
} compiler;

static int compile_no_memory(const compiler *c)
{
    st_error_set(c->p->err, STRATA_NO_MEMORY, "no memory for a grammar of %zu rules", c->p->n_rules);
    return STRATA_NO_MEMORY;
}

/* ---- single characters ------------------------------------------------------------------------------------------- */

static int compile_as_class(compiler *c, uint32_t node, unsigned depth, uint32_t *cls);

static int compile_rule_class(compiler *c, uint32_t rule, unsigned depth, uint32_t *cls)
{
    st_grule *r = &c->p->rules[rule];
    if (r->cls == ST_G_NONE - 1) {
        r->cls = ST_G_NONE; /* what it is to itself */
        ST_TRY(compile_as_class(c, r->body, depth, cls));
        c->p->rules[rule].cls = *cls;
    }
    *cls = c->p->rules[rule].cls;
    return STRATA_OK;
}

/* Appends the ranges of a class to a list. */
static bool compile_add_ranges(const st_gclasses *k, uint32_t cls, st_grange **r, size_t *n, size_t *cap)
{
    size_t m = k->classes[cls].n;
    if (!st_grow(k->mem, r, cap, *n + m, *n, sizeof **r)) return false;
    memcpy(*r + *n, k->ranges + k->classes[cls].at, m * sizeof **r);
    *n += m;
    return true;
}

/* The class of the characters that a node stands for, ST_G_NONE if it is more than one character of a class. */
static int compile_as_class(compiler *c, uint32_t node, unsigned depth, uint32_t *cls)
{
    const st_gtree t = c->p->tree[node];
    *cls = ST_G_NONE;
    c->visits++;
    if (depth > MAX_CLASS_DEPTH) return STRATA_OK;
    switch (t.kind) {
    case ST_GN_CLASS: *cls = t.arg; return STRATA_OK;
    case ST_GN_REF: return compile_rule_class(c, t.arg, depth + 1, cls);
    case ST_GN_REP: return t.min == 1 && t.max == 1 ? compile_as_class(c, t.first, depth + 1, cls) : STRATA_OK;
    case ST_GN_SEQ:
        if (t.first == ST_G_NONE || c->p->tree[t.first].next != ST_G_NONE) return STRATA_OK;
        return compile_as_class(c, t.first, depth + 1, cls);
    default: break;
    }
    st_grange *r = NULL;
    size_t n = 0, cap = 0;
    int rc = STRATA_OK;
    bool all = true;
    for (uint32_t i = t.first; i != ST_G_NONE && all && !rc; i = c->p->tree[i].next) {
        uint32_t one = ST_G_NONE;
        rc = compile_as_class(c, i, depth + 1, &one);
        all = !rc && one != ST_G_NONE;
        if (all && !compile_add_ranges(c->p->classes, one, &r, &n, &cap)) rc = compile_no_memory(c);
    }
    if (!rc && all && !st_gclass_add(c->p->classes, r, n, false, cls)) rc = compile_no_memory(c);
    st_free(c->p->mem, r);
    return rc;
}

/* ---- code, from the back ----------------------------------------------------------------------------------------- */

static int compile_emit(compiler *c, uint32_t at, st_gplace place, uint32_t *id)
{
    st_gprogram *o = c->out;
    if (o->n == ST_G_MAX_PROGRAM) return st_grammar_error(c->p, at, "more than %u places", ST_G_MAX_PROGRAM);
    if (!st_grow(c->p->mem, &o->places, &o->cap, o->n + 1, o->n, sizeof *o->places)) return compile_no_memory(c);
    *id = (uint32_t)o->n;
    o->places[o->n++] = place;
    return STRATA_OK;
}

static int compile_gen_call(compiler *c, uint32_t at, uint32_t rule, uint32_t next, uint32_t *entry)
{
    uint32_t cls = ST_G_NONE;
    ST_TRY(compile_rule_class(c, rule, 0, &cls));
    if (cls != ST_G_NONE) return compile_emit(c, at, (st_gplace){ST_GP_CHAR, cls, next}, entry);
    st_grule *r = &c->p->rules[rule];
    if (r->start == ST_G_NONE) {
        r->start = END; /* waiting */
        c->queue[c->n_queue++] = rule;
    }
    return compile_emit(c, at, (st_gplace){next == END ? ST_GP_TAIL : ST_GP_CALL, rule, next}, entry);
}

static int compile_push_work(compiler *c, uint32_t node, uint32_t next)
{
    uint32_t at = c->p->tree[node].at;
    if (++c->visits > ST_G_MAX_GEN) return st_grammar_error(c->p, at, "more than %u steps to compile", ST_G_MAX_GEN);
    if (c->n_stack == MAX_GEN_DEPTH) return st_grammar_error(c->p, at, "nested deeper than %u", MAX_GEN_DEPTH);
    if (!st_grow(c->p->mem, &c->stack, &c->stack_cap, c->n_stack + 1, c->n_stack, sizeof *c->stack))
        return compile_no_memory(c);
    c->stack[c->n_stack++] = (work){.node = node, .next = next, .entry = ST_G_NONE};
    return STRATA_OK;
}

/* A few repetitions of a class are places of their own. */
static int compile_gen_few(compiler *c, const st_gtree *t, uint32_t cls, uint32_t next, uint32_t *entry)
{
    uint32_t e = next;
    for (uint32_t i = t->max; i > 0; i--) {
        ST_TRY(compile_emit(c, t->at, (st_gplace){ST_GP_CHAR, cls, e}, &e));
        if (i > t->min) ST_TRY(compile_emit(c, t->at, (st_gplace){ST_GP_SPLIT, e, next}, &e)); /* (x (x (x)?)?)? */
    }
    *entry = e;
    return STRATA_OK;
}

static int compile_add_rep(compiler *c, const st_gtree *t, uint32_t next, uint32_t *entry)
{
    st_gprogram *o = c->out;
    if (!st_grow(c->p->mem, &o->reps, &o->reps_cap, o->n_reps + 1, o->n_reps, sizeof *o->reps))
        return compile_no_memory(c);
    o->reps[o->n_reps] = (st_grep){END, t->min, t->max, false};
    return compile_emit(c, t->at, (st_gplace){ST_GP_REP, (uint32_t)o->n_reps++, next}, entry);
}

/* x* and x+ are loops, x? a choice, other bounds counters. */
static int compile_gen_repeat(compiler *c, work *w, bool *done)
{
    const st_gtree t = c->p->tree[w->node];
    st_gprogram *o = c->out;
    if (!w->begun) {
        uint32_t cls = ST_G_NONE, next = w->next;
        w->begun = true;
        if (t.max == 0) return *done = true, w->entry = w->next, STRATA_OK;
        if (t.max != ST_G_NONE && t.max <= ST_G_WRITE_OUT) ST_TRY(compile_as_class(c, t.first, 0, &cls));
        if (cls != ST_G_NONE) return *done = true, compile_gen_few(c, &t, cls, w->next, &w->entry);
        if (t.max == ST_G_NONE && t.min <= 1) {
            ST_TRY(compile_emit(c, t.at, (st_gplace){ST_GP_SPLIT, w->next, w->next}, &w->entry));
            next = w->entry;
        } else if (t.max > 1) {
            ST_TRY(compile_add_rep(c, &t, w->next, &w->entry));
            next = END;
        }
        return compile_push_work(c, t.first, next);
    }
    *done = true;
    uint32_t body = w->child;
    if (t.max == ST_G_NONE && t.min <= 1) {
        o->places[w->entry].arg = body;
        if (t.min) w->entry = body;
    } else if (t.max > 1) {
        o->reps[o->places[w->entry].arg].start = body;
    } else if (t.min == 0) {
        return compile_emit(c, t.at, (st_gplace){ST_GP_SPLIT, body, w->next}, &w->entry);
    } else {
        w->entry = body;
    }
    return STRATA_OK;
}

/* From the back: the list of children is turned round, which nothing else sees since each node is done once. */
static int compile_gen_sequence(compiler *c, work *w, bool *done)
{
    st_gtree *tree = c->p->tree;
    if (!w->begun) {
        uint32_t last = ST_G_NONE;
        for (uint32_t i = tree[w->node].first, next; i != ST_G_NONE; i = next) {
            next = tree[i].next;
            tree[i].next = last;
            last = i;
        }
        tree[w->node].first = w->at = last;
        w->entry = w->next;
        w->begun = true;
    } else {
        w->entry = w->child;
    }
    if (w->at == ST_G_NONE) return *done = true, STRATA_OK;
    uint32_t node = w->at, next = w->entry;
    w->at = tree[node].next;
    return compile_push_work(c, node, next);
}

/* Alternatives of one character are one place; min of such a child is set to 1. */
static int compile_gen_characters(compiler *c, work *w)
{
    const st_gtree t = c->p->tree[w->node];
    st_grange *r = NULL;
    size_t n = 0, cap = 0;
    uint32_t one = ST_G_NONE, cls = ST_G_NONE;
    int rc = STRATA_OK;
    for (uint32_t i = t.first; i != ST_G_NONE && !rc; i = c->p->tree[i].next) {
        rc = compile_as_class(c, i, 0, &one);
        if (rc || one == ST_G_NONE) continue;
        c->p->tree[i].min = 1;
        if (!compile_add_ranges(c->p->classes, one, &r, &n, &cap)) rc = compile_no_memory(c);
    }
    if (!rc && n && !st_gclass_add(c->p->classes, r, n, false, &cls)) rc = compile_no_memory(c);
    if (!rc && n) rc = compile_emit(c, t.at, (st_gplace){ST_GP_CHAR, cls, w->next}, &w->entry);
    st_free(c->p->mem, r);
    return rc;
}

static int compile_gen_alternatives(compiler *c, work *w, bool *done)
{
    const st_gtree *tree = c->p->tree;
    if (!w->begun) {
        w->begun = true;
        w->at = tree[w->node].first;
        ST_TRY(compile_gen_characters(c, w));
    } else if (w->entry == ST_G_NONE) {
        w->entry = w->child;
    } else {
        ST_TRY(compile_emit(c, tree[w->node].at, (st_gplace){ST_GP_SPLIT, w->child, w->entry}, &w->entry));
    }
    while (w->at != ST_G_NONE && tree[w->at].min) w->at = tree[w->at].next;
    if (w->at == ST_G_NONE) return *done = true, STRATA_OK;
    uint32_t node = w->at, next = w->next;
    w->at = tree[node].next;
    return compile_push_work(c, node, next);
}

/* The code of a node that goes on to END, from the back. */
static int compile_gen(compiler *c, uint32_t body, uint32_t *entry)
{
    c->n_stack = 0;
    ST_TRY(compile_push_work(c, body, END));
    while (c->n_stack > 0) {
        size_t top = c->n_stack - 1;
        work w = c->stack[top];
        const st_gtree t = c->p->tree[w.node];
        bool done = false;
        int rc;
        switch (t.kind) {
        case ST_GN_CLASS:
            done = true, rc = compile_emit(c, t.at, (st_gplace){ST_GP_CHAR, t.arg, w.next}, &w.entry);
            break;
        case ST_GN_REF: done = true, rc = compile_gen_call(c, t.at, t.arg, w.next, &w.entry); break;
        case ST_GN_REP: rc = compile_gen_repeat(c, &w, &done); break;
        case ST_GN_SEQ: rc = compile_gen_sequence(c, &w, &done); break;
        default: rc = compile_gen_alternatives(c, &w, &done);
        }
        ST_TRY(rc);
        c->stack[top] = w; /* a child may have moved the stack */
        if (!done) continue;
        c->n_stack = top;
        *entry = w.entry;
        if (top) c->stack[top - 1].child = w.entry;
    }
    return STRATA_OK;
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

/* Edges of the program turned round, and the calls of each unit: a rule, or, from n_rules on, the body of a repetition.
 * Here CALL and TAIL still name the rule. */
typedef struct graph {
    uint32_t *pred_at, *pred;   /* [n + 1], [2n] */
    uint32_t *calls_at, *calls; /* [n_units + 1], [n] */
    uint32_t *todo;             /* [2n + 2] */
    uint8_t *ends;              /* [n] an end is reachable from here ... */
    uint8_t *unit_ends;         /* [n_units] */
} graph;

static size_t compile_n_units(const compiler *c)
{
    return c->p->n_rules + c->out->n_reps;
}

static uint32_t compile_unit_start(const compiler *c, uint32_t unit)
{
    size_t n = c->p->n_rules;
    return unit < n ? c->p->rules[unit].start : c->out->reps[unit - n].start;
}

static inline bool compile_is_call(const st_gplace *x)
{
    return x->kind == ST_GP_CALL || x->kind == ST_GP_TAIL;
}

/* The unit that a place calls; ST_G_NONE: none. */
static inline uint32_t compile_callee(const compiler *c, const st_gplace *x)
{
    return compile_is_call(x) ? x->arg : x->kind == ST_GP_REP ? (uint32_t)c->p->n_rules + x->arg : ST_G_NONE;
}

/* A call that can be passed: what it calls ends, or need not be read at all. */
static inline bool compile_passes(const compiler *c, const graph *g, const st_gplace *x)
{
    uint32_t unit = compile_callee(c, x);
    return unit != ST_G_NONE && (g->unit_ends[unit] || (x->kind == ST_GP_REP && c->out->reps[x->arg].min == 0));
}

static bool compile_graph_open(const compiler *c, graph *g)
{
    size_t n = c->out->n, units = compile_n_units(c);
    st_mem *mem = c->p->mem;
    g->pred_at = st_calloc(mem, n + 2, sizeof(uint32_t));
    g->pred = st_alloc(mem, 2 * n, sizeof(uint32_t));
    g->calls_at = st_calloc(mem, units + 2, sizeof(uint32_t));
    g->calls = st_alloc(mem, n, sizeof(uint32_t));
    g->todo = st_alloc(mem, 2 * n + 2, sizeof(uint32_t));
    g->ends = st_alloc(mem, n, 1);
    g->unit_ends = st_alloc(mem, units, 1);
    if (!g->pred_at || !g->pred || !g->calls_at || !g->calls || !g->todo || !g->ends || !g->unit_ends) return false;
    const st_gplace *x = c->out->places;
    for (size_t i = 1; i < n; i++) { /* counts at index + 2, so that filling leaves starts at index */
        g->pred_at[x[i].next + 2]++;
        if (x[i].kind == ST_GP_SPLIT) g->pred_at[x[i].arg + 2]++;
        if (compile_callee(c, &x[i]) != ST_G_NONE) g->calls_at[compile_callee(c, &x[i]) + 2]++;
    }
    for (size_t i = 2; i < n + 2; i++) g->pred_at[i] += g->pred_at[i - 1];
    for (size_t i = 2; i < units + 2; i++) g->calls_at[i] += g->calls_at[i - 1];
    for (uint32_t i = 1; i < n; i++) {
        g->pred[g->pred_at[x[i].next + 1]++] = i;
        if (x[i].kind == ST_GP_SPLIT) g->pred[g->pred_at[x[i].arg + 1]++] = i;
        if (compile_callee(c, &x[i]) != ST_G_NONE) g->calls[g->calls_at[compile_callee(c, &x[i]) + 1]++] = i;
    }
    return true;
}

static void compile_graph_close(const compiler *c, graph *g)
{
    void *all[] = {g->pred_at, g->pred, g->calls_at, g->calls, g->todo, g->ends, g->unit_ends};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(c->p->mem, all[i]);
}

static void compile_mark(graph *g, uint32_t *n, uint32_t place)
{
    if (g->ends[place]) return;
    g->ends[place] = 1;
    g->todo[(*n)++] = place;
}

/* Marks the places from which the end of their rule can be reached; `chars`: also over characters. Linear. */
static void compile_mark_ends(const compiler *c, graph *g, bool chars, const uint32_t *unit_at,
                              const uint32_t *unit_next)
{
    const st_gplace *x = c->out->places;
    uint32_t n = 0;
    memset(g->ends, 0, c->out->n);
    memset(g->unit_ends, 0, compile_n_units(c));
    compile_mark(g, &n, END);
    while (n > 0) {
        uint32_t at = g->todo[--n];
        for (uint32_t i = g->pred_at[at]; i < g->pred_at[at + 1]; i++) {
            const st_gplace *q = &x[g->pred[i]];
            if (q->kind == ST_GP_SPLIT || (q->kind == ST_GP_CHAR && chars) || compile_passes(c, g, q))
                compile_mark(g, &n, g->pred[i]);
        }
        for (uint32_t r = unit_at[at]; r != ST_G_NONE; r = unit_next[r]) {
            g->unit_ends[r] = 1;
            for (uint32_t i = g->calls_at[r]; i < g->calls_at[r + 1]; i++)
                if (g->ends[x[g->calls[i]].next]) compile_mark(g, &n, g->calls[i]);
        }
    }
}

static int compile_rule_error(const compiler *c, uint32_t rule, const char *what)
{
    const st_grule *r = &c->p->rules[rule];
    return st_grammar_error(c->p, r->used, "rule '%.*s' %s", (int)(r->name_len < 80 ? r->name_len : 80),
                            c->p->text + r->name, what);
}

/* Calls itself: a unit that is a repetition's body has no name, but then a rule is on the way back to it. */
static int compile_left_error(const compiler *c, const uint32_t *path, uint32_t n, uint32_t unit)
{
    while (n > 0 && unit >= c->p->n_rules) unit = path[--n];
    return compile_rule_error(c, unit < c->p->n_rules ? unit : c->p->root,
                              "calls itself before any character (left recursion)");
}

/* Units that a unit calls before its first character, and whether that leads back to it. */
static int compile_check_left(const compiler *c, const graph *g, const uint32_t *list, uint32_t n_list)
{
    const st_gplace *x = c->out->places;
    st_mem *mem = c->p->mem;
    size_t n = c->out->n, units = compile_n_units(c);
    uint32_t *at = st_calloc(mem, units + 1, sizeof *at), *edges = st_alloc(mem, n, sizeof *edges);
    uint32_t *seen = st_calloc(mem, n, sizeof *seen), *path = st_alloc(mem, units, sizeof *path);
    uint32_t *next = st_calloc(mem, units, sizeof *next);
    uint8_t *colour = st_calloc(mem, units, 1); /* 1: on the path, 2: done */
    uint32_t n_edges = 0;
    int rc = STRATA_OK;
    if (!at || !edges || !seen || !path || !next || !colour) rc = compile_no_memory(c);
    uint32_t *end = next; /* of a unit's edges, until the search below moves it */
    for (uint32_t k = 0; !rc && k < n_list; k++) {
        uint32_t r = list[k], m = 0;
        at[r] = n_edges;
        g->todo[m++] = compile_unit_start(c, r);
        while (m > 0) {
            uint32_t i = g->todo[--m];
            const st_gplace *q = &x[i];
            if (i == END || q->kind == ST_GP_CHAR || seen[i]) continue;
            seen[i] = 1; /* a place belongs to one unit */
            if (compile_callee(c, q) != ST_G_NONE) edges[n_edges++] = compile_callee(c, q);
            if (q->kind == ST_GP_SPLIT && !seen[q->arg]) g->todo[m++] = q->arg;
            if ((q->kind == ST_GP_SPLIT || compile_passes(c, g, q)) && !seen[q->next]) g->todo[m++] = q->next;
        }
        end[r] = n_edges;
    }
    for (uint32_t k = 0; !rc && k < n_list; k++) {
        uint32_t m = 0;
        if (colour[list[k]]) continue;
        path[m++] = list[k];
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
                rc = compile_left_error(c, path, m, to);
            else if (!colour[to])
                colour[to] = 1, path[m++] = to;
        }
    }
    void *all[] = {at, edges, seen, path, next, colour};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(mem, all[i]);
    return rc;
}

/* Bodies that can be empty: none of them has to be read, and each begins at a place that nothing in it leads back to,
 * by which st_grammar_closure knows those that have read nothing. */
static int compile_mark_nullable(compiler *c, const uint8_t *unit_ends)
{
    for (uint32_t i = 0; i < c->out->n_reps; i++) {
        st_grep *r = &c->out->reps[i];
        r->nullable = unit_ends[c->p->n_rules + i];
        if (!r->nullable) continue;
        r->min = 0;
        ST_TRY(compile_emit(c, 0, (st_gplace){ST_GP_SPLIT, r->start, r->start}, &r->start));
    }
    return STRATA_OK;
}

static int compile_check(compiler *c)
{
    st_mem *mem = c->p->mem;
    graph g = {0};
    uint32_t *unit_at = st_alloc(mem, c->out->n, sizeof *unit_at);
    uint32_t *unit_next = st_alloc(mem, compile_n_units(c), sizeof *unit_next);
    uint32_t *list = st_alloc(mem, compile_n_units(c), sizeof *list), n_list = c->n_queue; /* units that have code */
    int rc = STRATA_OK;
    if (!unit_at || !unit_next || !list || !compile_graph_open(c, &g)) rc = compile_no_memory(c);
    if (!rc) {
        memcpy(list, c->queue, n_list * sizeof *list);
        for (uint32_t i = 0; i < c->out->n_reps; i++) list[n_list++] = (uint32_t)c->p->n_rules + i;
        memset(unit_at, 0xff, c->out->n * sizeof *unit_at);
        for (uint32_t k = 0; k < n_list; k++) { /* units that start at a place */
            uint32_t r = list[k], start = compile_unit_start(c, r);
            unit_next[r] = unit_at[start];
            unit_at[start] = r;
        }
        compile_mark_ends(c, &g, true, unit_at, unit_next);
        for (uint32_t k = 0; !rc && k < c->n_queue; k++)
            if (!g.unit_ends[c->queue[k]]) rc = compile_rule_error(c, c->queue[k], "can never end");
    }
    if (!rc) {
        compile_mark_ends(c, &g, false, unit_at, unit_next);
        rc = compile_check_left(c, &g, list, n_list);
        if (!rc) rc = compile_mark_nullable(c, g.unit_ends);
    }
    compile_graph_close(c, &g);
    st_free(mem, unit_at);
    st_free(mem, unit_next);
    st_free(mem, list);
    return rc;
}

/* Any white space before the start. */
static int compile_add_space(compiler *c)
{
    st_grange r[] = {{9, 10}, {13, 13}, {32, 32}};
    uint32_t cls = ST_G_NONE, loop = 0, space = 0;
    if (!st_gclass_add(c->p->classes, r, 3, false, &cls)) return compile_no_memory(c);
    ST_TRY(compile_emit(c, 0, (st_gplace){ST_GP_SPLIT, c->out->start, c->out->start}, &loop));
    ST_TRY(compile_emit(c, 0, (st_gplace){ST_GP_CHAR, cls, loop}, &space));
    c->out->places[loop].arg = space;
    c->out->start = loop;
    return STRATA_OK;
}

int st_grammar_compile(st_gparse *p, st_gprogram *out)
{
    compiler c = {.p = p, .out = out};
    uint32_t end;
    c.queue = st_alloc(p->mem, p->n_rules, sizeof *c.queue);
    int rc = c.queue ? compile_emit(&c, 0, (st_gplace){ST_GP_END, 0, 0}, &end) : compile_no_memory(&c);
    if (!rc) {
        p->rules[p->root].start = END;
        c.queue[c.n_queue++] = p->root;
    }
    for (uint32_t k = 0; !rc && k < c.n_queue; k++) {
        uint32_t start = END;
        rc = compile_gen(&c, p->rules[c.queue[k]].body, &start);
        if (!rc) p->rules[c.queue[k]].start = start;
    }
    if (!rc) rc = compile_check(&c);
    if (!rc) {
        for (size_t i = 0; i < out->n; i++)
            if (compile_is_call(&out->places[i])) out->places[i].arg = p->rules[out->places[i].arg].start;
        out->start = p->rules[p->root].start;
        if (p->spaced) rc = compile_add_space(&c);
        if (!rc && !st_gclass_finish(p->classes)) rc = compile_no_memory(&c);
    }
    st_free(p->mem, c.queue);
    st_free(p->mem, c.stack);
    return rc;
}
