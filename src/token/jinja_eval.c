/* jinja_eval.c: runs expressions. See jinja.h. */
#include "token/jinja.h"

/* Inlined into one function these would give every level of a recursion the locals of all kinds of node. */
#define OWN_FRAME __attribute__((noinline))

static void at(st_jrun *r, const st_jnode *n)
{
    r->line = n->line;
    r->col = n->col;
}

st_jscope *st_j_scope(st_jrun *r, st_jscope *parent)
{
    st_jscope *s = st_j_alloc(r, 1, sizeof *s);
    *s = (st_jscope){.parent = parent};
    return s;
}

void st_j_set(st_jrun *r, st_jscope *s, st_jstr name, st_jval v)
{
    st_j_put(r, &s->vars, st_j_string(name), v);
}

OWN_FRAME static st_jval lookup(st_jrun *r, st_jscope *s, st_jstr name)
{
    for (; s; s = s->parent) {
        st_jval *v = st_j_find(r, &s->vars, st_j_string(name));
        if (v) return *v;
    }
    return st_j_undef(name);
}

OWN_FRAME static st_jval eval_items(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jval l = st_j_list(r, n->kind == ST_N_TUPLE ? ST_J_TUPLE : ST_J_LIST, 0);
    for (const st_jnode *i = n->a; i; i = i->next) st_j_push(r, l.list, st_j_eval(r, s, i));
    return l;
}

OWN_FRAME static st_jval eval_dict(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jval d = st_j_dict(r, ST_J_DICT);
    for (const st_jnode *i = n->a; i; i = i->next) {
        st_jval key = st_j_eval(r, s, i->a);
        st_j_put(r, d.dict, key, st_j_eval(r, s, i->b));
    }
    return d;
}

OWN_FRAME static st_jval eval_slice(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    const st_jnode *k = n->b;
    st_jval v = st_j_eval(r, s, n->a);
    st_jval start = k->a ? st_j_eval(r, s, k->a) : st_j_none();
    st_jval stop = k->b ? st_j_eval(r, s, k->b) : st_j_none();
    st_jval step = k->c ? st_j_eval(r, s, k->c) : st_j_none();
    at(r, n);
    return st_j_slice(r, v, start, stop, step);
}

OWN_FRAME static bool compare(st_jrun *r, unsigned op, st_jval a, st_jval b)
{
    bool ordered;
    int c;
    switch (op) {
    case ST_CMP_EQ: return st_j_equal(r, a, b);
    case ST_CMP_NE: return !st_j_equal(r, a, b);
    case ST_CMP_IN: return st_j_contains(r, b, a);
    case ST_CMP_NOT_IN: return !st_j_contains(r, b, a);
    default: break;
    }
    c = st_j_order(r, a, b, &ordered);
    if (!ordered) return false;
    return op == ST_CMP_LT ? c < 0 : op == ST_CMP_LE ? c <= 0 : op == ST_CMP_GT ? c > 0 : c >= 0;
}

OWN_FRAME static st_jval eval_compare(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jval left = st_j_eval(r, s, n->a);
    for (const st_jnode *part = n->b; part; part = part->next) {
        st_jval right = st_j_eval(r, s, part->a);
        at(r, part);
        if (!compare(r, part->sub, left, right)) return st_j_bool(false);
        left = right;
    }
    return st_j_bool(true);
}

OWN_FRAME static st_jval eval_logic(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jval v = st_j_none();
    for (const st_jnode *i = n->a; i; i = i->next) {
        v = st_j_eval(r, s, i);
        if (st_j_true(r, v) == (n->kind == ST_N_OR)) break;
    }
    return v;
}

OWN_FRAME static st_jval eval_concat(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jbuf b;
    st_j_buf_init(&b, r);
    for (const st_jnode *i = n->a; i; i = i->next) {
        st_jval v = st_j_eval(r, s, i);
        st_j_buf_add(&b, st_j_str(r, v));
    }
    return st_j_string(st_j_buf_str(&b));
}

void st_j_args(st_jrun *r, st_jscope *s, const st_jnode *list, st_jargs *out)
{
    *out = (st_jargs){0};
    for (; list; list = list->next) {
        st_jval v = st_j_eval(r, s, list->a);
        at(r, list);
        if (list->sub == ST_ARG_POS) {
            st_j_push(r, &out->pos, v);
        } else if (list->sub == ST_ARG_KW) {
            st_j_put(r, &out->kw, st_j_string(list->name), v);
        } else if (list->sub == ST_ARG_STAR) {
            st_jlist l = st_j_iterate(r, v);
            for (size_t i = 0; i < l.n; i++) st_j_push(r, &out->pos, l.v[i]);
        } else {
            if (v.kind != ST_J_DICT) ST_J_FAIL(r, "** needs a dict, not %s", st_j_kind_name(v));
            for (size_t i = 0; i < v.dict->n; i++) {
                st_j_need_str(r, v.dict->v[i].key, "**");
                st_j_put(r, &out->kw, v.dict->v[i].key, v.dict->v[i].val);
            }
        }
    }
}

bool st_j_arg(st_jrun *r, st_jargs *a, size_t i, const char *name, st_jval *out)
{
    st_jval *v = i < a->pos.n ? &a->pos.v[i] : st_j_find_str(r, &a->kw, name);
    if (v) *out = *v;
    return v != NULL;
}

static bool has_word(const char *words, st_jstr w)
{
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n == w.n && memcmp(words, w.p, n) == 0) return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

void st_j_args_done(st_jrun *r, const st_jargs *a, size_t n, const char *names, const char *what)
{
    if (a->pos.n > n) ST_J_FAIL(r, "%s takes at most %zu arguments", what, n);
    for (size_t i = 0; i < a->kw.n; i++) {
        st_jstr k = a->kw.v[i].key.str;
        if (!has_word(names, k)) ST_J_FAIL(r, "%s takes no argument '%.*s'", what, (int)(k.n < 60 ? k.n : 60), k.p);
    }
}

st_jval st_j_call(st_jrun *r, st_jval f, st_jargs *args)
{
    switch (f.kind) {
    case ST_J_MACRO: return st_j_call_macro(r, f.macro, args);
    case ST_J_METHOD: return st_j_call_method(r, f.method, args);
    case ST_J_GLOBAL: return st_j_call_global(r, f.i, args);
    case ST_J_UNDEF: st_j_undefined(r, f);
    default: ST_J_FAIL(r, "%s cannot be called", st_j_kind_name(f));
    }
}

OWN_FRAME static st_jval eval_call(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jargs args;
    st_jval f = st_j_eval(r, s, n->a);
    st_j_args(r, s, n->b, &args);
    at(r, n);
    return st_j_call(r, f, &args);
}

OWN_FRAME static st_jval eval_filter(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jargs args;
    st_jval v = st_j_eval(r, s, n->a), out = st_j_none();
    st_j_args(r, s, n->b, &args);
    at(r, n);
    if (!st_j_filter(r, n->name, v, &args, &out)) st_j_filter_seq(r, n->name, v, &args, &out);
    return out;
}

OWN_FRAME static st_jval eval_test(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jargs args;
    st_jval v = st_j_eval(r, s, n->a);
    st_j_args(r, s, n->b, &args);
    at(r, n);
    return st_j_bool(st_j_test(r, n->name, v, &args));
}

OWN_FRAME static st_jval eval_binary(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jval a = st_j_eval(r, s, n->a), b = st_j_eval(r, s, n->b);
    at(r, n);
    return st_j_binary(r, n->kind, a, b);
}

OWN_FRAME static st_jval eval_unary(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jval v = st_j_eval(r, s, n->a);
    at(r, n);
    if (n->kind == ST_N_NOT) return st_j_bool(!st_j_true(r, v));
    return st_j_negate(r, v, n->kind == ST_N_NEG);
}

OWN_FRAME static st_jval eval_part(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    st_jval v = st_j_eval(r, s, n->a);
    if (n->kind == ST_N_ATTR) {
        at(r, n);
        return st_j_attr(r, v, n->name);
    }
    st_jval key = st_j_eval(r, s, n->b);
    at(r, n);
    return st_j_item(r, v, key);
}

OWN_FRAME static st_jval eval_if(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    if (st_j_true(r, st_j_eval(r, s, n->b))) return st_j_eval(r, s, n->a);
    return n->c ? st_j_eval(r, s, n->c) : st_j_undef(st_j_lit("the else of an if expression"));
}

static st_jval dispatch(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    switch (n->kind) {
    case ST_N_CONST: return n->val;
    case ST_N_NAME: return lookup(r, s, n->name);
    case ST_N_LIST:
    case ST_N_TUPLE: return eval_items(r, s, n);
    case ST_N_DICT: return eval_dict(r, s, n);
    case ST_N_ATTR:
    case ST_N_ITEM: return eval_part(r, s, n);
    case ST_N_SLICE: return eval_slice(r, s, n);
    case ST_N_CALL: return eval_call(r, s, n);
    case ST_N_FILTER: return eval_filter(r, s, n);
    case ST_N_TEST: return eval_test(r, s, n);
    case ST_N_NOT:
    case ST_N_NEG:
    case ST_N_POS: return eval_unary(r, s, n);
    case ST_N_AND:
    case ST_N_OR: return eval_logic(r, s, n);
    case ST_N_IF_EXPR: return eval_if(r, s, n);
    case ST_N_COMPARE: return eval_compare(r, s, n);
    case ST_N_CONCAT: return eval_concat(r, s, n);
    default: return eval_binary(r, s, n);
    }
}

st_jval st_j_eval(st_jrun *r, st_jscope *s, const st_jnode *n)
{
    at(r, n);
    st_j_step(r, 1);
    st_j_enter(r);
    st_jval v = dispatch(r, s, n);
    st_j_leave(r);
    return v;
}
