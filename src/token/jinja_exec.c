/* jinja_exec.c: runs statements and macros. Scopes are Jinja's: the body of a loop, a macro, a block set, with, filter
 * and generation have their own, made anew each time; if has none. See jinja.h. */
#include "token/jinja.h"

/* Inlined into one function these would give every level of a recursion the locals of all kinds of node. */
#define OWN_FRAME __attribute__((noinline))

OWN_FRAME static void assign(st_jrun *r, st_jscope *s, const st_jnode *target, st_jval v)
{
    st_jstr name = target->name;
    if (target->kind == ST_N_NAME) {
        st_j_set(r, s, name, v);
    } else if (target->kind == ST_N_NS_REF) {
        st_jval *space = NULL;
        for (; s && !space; s = s->parent) space = st_j_find(r, &s->vars, st_j_string(name));
        r->line = target->line;
        r->col = target->col;
        if (!space || space->kind != ST_J_SPACE)
            ST_J_FAIL(r, "'%.*s' is no namespace: only their attributes can be set", (int)(name.n < 60 ? name.n : 60),
                      name.p);
        st_j_space_name(r, target->val.str);
        st_j_put(r, space->dict, target->val, v);
    } else {
        size_t i = 0;
        st_jlist items = st_j_iterate(r, v);
        for (const st_jnode *t = target->a; t; t = t->next, i++) {
            if (i >= items.n) ST_J_FAIL(r, "too few values to unpack: %zu", items.n);
            assign(r, s, t, items.v[i]);
        }
        if (i != items.n) ST_J_FAIL(r, "%zu values to unpack into %zu names", items.n, i);
    }
}

/* ---- loops ---- */

st_jval st_j_loop_attr(st_jrun *r, st_jval v, st_jstr name)
{
    const st_jloop *l = v.loop;
    int64_t i = (int64_t)l->at, n = (int64_t)l->items->n;
    if (st_j_same(name, "index")) return st_j_int(i + 1);
    if (st_j_same(name, "index0")) return st_j_int(i);
    if (st_j_same(name, "first")) return st_j_bool(i == 0);
    if (st_j_same(name, "last")) return st_j_bool(i == n - 1);
    if (st_j_same(name, "length")) return st_j_int(n);
    if (st_j_same(name, "revindex")) return st_j_int(n - i);
    if (st_j_same(name, "revindex0")) return st_j_int(n - i - 1);
    if (st_j_same(name, "depth")) return st_j_int(1);
    if (st_j_same(name, "depth0")) return st_j_int(0);
    if (st_j_same(name, "previtem"))
        return i > 0 ? l->items->v[i - 1] : st_j_undef(st_j_lit("there is no previous item"));
    if (st_j_same(name, "nextitem"))
        return i + 1 < n ? l->items->v[i + 1] : st_j_undef(st_j_lit("there is no next item"));
    if (st_j_same(name, "cycle")) return st_j_make_method(r, v, ST_METHOD_CYCLE, name);
    if (st_j_same(name, "changed")) return st_j_make_method(r, v, ST_METHOD_CHANGED, name);
    return st_j_undef(name);
}

/* The items that a loop's `if` keeps. */
static st_jlist kept(st_jrun *r, st_jscope *s, const st_jnode *n, st_jlist all)
{
    st_jlist out = {0};
    for (size_t i = 0; i < all.n; i++) {
        st_jscope *inner = st_j_scope(r, s);
        assign(r, inner, n->a, all.v[i]);
        if (st_j_true(r, st_j_eval(r, inner, n->c))) st_j_push(r, &out, all.v[i]);
    }
    return out;
}

OWN_FRAME static st_jflow exec_for(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out)
{
    st_jval over = st_j_eval(r, s, n->b);
    r->line = n->line;
    r->col = n->col;
    st_jlist *items = st_j_alloc(r, 1, sizeof *items);
    *items = st_j_iterate(r, over);
    if (n->c) *items = kept(r, s, n, *items);
    st_jloop *loop = st_j_alloc(r, 1, sizeof *loop);
    *loop = (st_jloop){.items = items, .changed = st_j_none()};
    for (; loop->at < items->n; loop->at++) {
        st_jscope *inner = st_j_scope(r, s);
        st_j_step(r, 1);
        assign(r, inner, n->a, items->v[loop->at]);
        st_j_set(r, inner, st_j_lit("loop"), (st_jval){.kind = ST_J_LOOP, .loop = loop});
        if (st_j_exec(r, inner, n->body, out) == ST_FLOW_BREAK) break;
    }
    if (items->n || !n->other) return ST_FLOW_ON;
    return st_j_exec(r, st_j_scope(r, s), n->other, out); /* a break there is of the loop around */
}

/* ---- blocks ---- */

/* What a body prints, in a scope of its own, through a filter if there is one. */
OWN_FRAME static st_jval capture(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jbuf b;
    st_j_buf_init(&b, r);
    st_j_exec(r, st_j_scope(r, s), n->body, &b);
    return st_j_string(st_j_buf_str(&b));
}

/* Applies a chain of filters whose innermost operand is missing. */
OWN_FRAME static st_jval through(st_jrun *r, st_jscope *s, const st_jnode *filter, st_jval v)
{
    st_jargs args;
    st_jval out = st_j_none();
    if (!filter) return v;
    st_j_enter(r);
    v = through(r, s, filter->a, v);
    st_j_args(r, s, filter->b, &args);
    if (!st_j_filter(r, filter->name, v, &args, &out)) st_j_filter_seq(r, filter->name, v, &args, &out);
    st_j_leave(r);
    return out;
}

static st_jval make_macro(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jmacro *m = st_j_alloc(r, 1, sizeof *m);
    *m = (st_jmacro){n, s};
    return (st_jval){.kind = ST_J_MACRO, .macro = m};
}

OWN_FRAME static void exec_call_block(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out)
{
    st_jargs args;
    st_jval f = st_j_eval(r, s, n->b->a);
    st_j_args(r, s, n->b->b, &args);
    st_j_put(r, &args.kw, st_j_string(st_j_lit("caller")), make_macro(r, s, n));
    r->line = n->line;
    r->col = n->col;
    st_jval v = st_j_call(r, f, &args);
    st_j_buf_add(out, st_j_str(r, v));
}

static bool is_parameter(const st_jnode *n, st_jstr name)
{
    for (const st_jnode *p = n->a; p; p = p->next)
        if (st_j_str_equal(p->name, name)) return true;
    return false;
}

/* Arguments that no parameter takes go to varargs and kwargs, if the body looks at these. */
OWN_FRAME static void bind_rest(st_jrun *r, st_jscope *s, const st_jnode *n, const st_jargs *args, size_t taken)
{
    st_jval rest = st_j_list(r, ST_J_TUPLE, 0), kw = st_j_dict(r, ST_J_DICT);
    for (size_t i = taken; i < args->pos.n; i++) st_j_push(r, rest.list, args->pos.v[i]);
    if (rest.list->n && !(n->sub & ST_USES_VARARGS)) ST_J_FAIL(r, "a macro takes at most %zu arguments", taken);
    for (size_t i = 0; i < args->kw.n; i++) {
        st_jstr k = args->kw.v[i].key.str;
        bool caller = (n->sub & ST_USES_CALLER) && st_j_same(k, "caller");
        if (is_parameter(n, k)) continue;
        if (caller)
            st_j_set(r, s, k, args->kw.v[i].val);
        else if (n->sub & ST_USES_KWARGS)
            st_j_put(r, kw.dict, args->kw.v[i].key, args->kw.v[i].val);
        else
            ST_J_FAIL(r, "a macro takes no argument '%.*s'", (int)(k.n < 60 ? k.n : 60), k.p);
    }
    if (n->sub & ST_USES_VARARGS) st_j_set(r, s, st_j_lit("varargs"), rest);
    if (n->sub & ST_USES_KWARGS) st_j_set(r, s, st_j_lit("kwargs"), kw);
}

st_jval st_j_call_macro(st_jrun *r, const st_jmacro *m, st_jargs *args)
{
    const st_jnode *n = m->node;
    st_jscope *s = st_j_scope(r, m->scope);
    st_jbuf b;
    size_t i = 0;
    for (const st_jnode *p = n->a; p; p = p->next, i++) {
        st_jval *kw = st_j_find(r, &args->kw, st_j_string(p->name));
        if (kw && i < args->pos.n)
            ST_J_FAIL(r, "an argument '%.*s' given twice", (int)(p->name.n < 60 ? p->name.n : 60), p->name.p);
        st_j_set(r, s, p->name,
                 i < args->pos.n ? args->pos.v[i]
                 : kw            ? *kw
                 : p->a          ? st_j_eval(r, s, p->a)
                                 : st_j_undef(p->name));
    }
    if (n->sub & ST_USES_CALLER && !is_parameter(n, st_j_lit("caller")))
        st_j_set(r, s, st_j_lit("caller"), st_j_undef(st_j_lit("caller")));
    bind_rest(r, s, n, args, i);
    st_j_buf_init(&b, r);
    st_j_exec(r, s, n->body, &b);
    return st_j_string(st_j_buf_str(&b));
}

OWN_FRAME static st_jflow exec_if(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out)
{
    while (!st_j_true(r, st_j_eval(r, s, n->a))) {
        const st_jnode *other = n->other;
        if (!other || other->kind != ST_N_IF || other->next) return st_j_exec(r, s, other, out);
        n = other; /* elif, in a loop: a long chain is not deep */
    }
    return st_j_exec(r, s, n->body, out);
}

OWN_FRAME static st_jflow exec_with(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out)
{
    st_jscope *inner = st_j_scope(r, s);
    for (const st_jnode *set = n->a; set; set = set->next) assign(r, inner, set->a, st_j_eval(r, s, set->b));
    return st_j_exec(r, inner, n->body, out);
}

OWN_FRAME static void exec_print(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out)
{
    st_jval v = st_j_eval(r, s, n->a);
    r->line = n->line;
    r->col = n->col;
    st_j_buf_add(out, st_j_str(r, v));
}

static st_jflow exec_one(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out)
{
    switch (n->kind) {
    case ST_N_TEXT: st_j_buf_add(out, n->val.str); break;
    case ST_N_PRINT: exec_print(r, s, n, out); break;
    case ST_N_FOR: return exec_for(r, s, n, out);
    case ST_N_IF: return exec_if(r, s, n, out);
    case ST_N_SET: assign(r, s, n->a, st_j_eval(r, s, n->b)); break;
    case ST_N_SET_BLOCK: assign(r, s, n->a, through(r, s, n->b, capture(r, s, n))); break;
    case ST_N_MACRO: st_j_set(r, s, n->name, make_macro(r, s, n)); break;
    case ST_N_CALL_BLOCK: exec_call_block(r, s, n, out); break;
    case ST_N_FILTER_BLOCK: st_j_buf_add(out, st_j_str(r, through(r, s, n->b, capture(r, s, n)))); break;
    case ST_N_WITH: return exec_with(r, s, n, out);
    case ST_N_GENERATION: st_j_exec(r, st_j_scope(r, s), n->body, out); break;
    case ST_N_BREAK: return ST_FLOW_BREAK;
    default: return ST_FLOW_CONTINUE;
    }
    return ST_FLOW_ON;
}

st_jflow st_j_exec(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out)
{
    st_jflow flow = ST_FLOW_ON;
    st_j_enter(r);
    for (; n && flow == ST_FLOW_ON; n = n->next) {
        r->line = n->line;
        r->col = n->col;
        st_j_step(r, 1);
        flow = exec_one(r, s, n, out);
    }
    st_j_leave(r);
    return flow;
}
