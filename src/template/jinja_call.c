/* jinja_call.c: names, assignment, arguments, what a call binds. See jinja_program.h. */
#include "template/jinja_program.h"

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

st_jval st_j_lookup(st_jrun *r, st_jscope *s, st_jstr name)
{
    for (; s; s = s->parent) {
        st_jval *v = st_j_find(r, &s->vars, st_j_string(name));
        if (v) return *v;
    }
    return st_j_undef(name);
}

static void call_assign_namespace(st_jrun *r, st_jscope *s, const st_jnode *target, st_jval v)
{
    st_jstr name = target->name;
    st_jval space = st_j_lookup(r, s, name);
    r->line = target->line;
    r->col = target->col;
    if (space.kind != ST_J_SPACE)
        ST_J_FAIL(r, "'%.*s' is no namespace: only their attributes can be set", (int)(name.n < 60 ? name.n : 60),
                  name.p);
    st_j_space_name(r, target->val.str);
    st_j_put(r, space.dict, target->val, v);
}

void st_j_assign(st_jrun *r, st_jscope *s, const st_jnode *target, st_jval v)
{
    if (target->kind == ST_N_NAME) {
        st_j_set(r, s, target->name, v);
    } else if (target->kind == ST_N_NS_REF) {
        call_assign_namespace(r, s, target, v);
    } else {
        size_t i = 0;
        if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
        st_jlist items = st_j_iterate(r, v);
        for (const st_jnode *t = target->a; t; t = t->next) i++;
        if (i != items.n) ST_J_FAIL(r, "%zu values to unpack into %zu names", items.n, i);
        i = 0;
        st_j_enter(r);
        for (const st_jnode *t = target->a; t; t = t->next) st_j_assign(r, s, t, items.v[i++]);
        st_j_leave(r);
    }
}

bool st_j_compare(st_jrun *r, unsigned op, st_jval a, st_jval b)
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

st_jval st_j_concat(st_jrun *r, const st_jval *v, size_t n)
{
    st_jbuf b;
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < n; i++) st_j_buf_add(&b, st_j_str(r, v[i]));
    return st_j_string(st_j_buf_str(&b));
}

/* ---- arguments ---- */

void st_j_arg_add(st_jrun *r, st_jargs *out, const st_jnode *arg, st_jval v)
{
    if (arg->sub == ST_ARG_POS) {
        st_j_push(r, &out->pos, v);
    } else if (arg->sub == ST_ARG_KW) {
        if (st_j_find(r, &out->kw, st_j_string(arg->name)))
            ST_J_FAIL(r, "the argument '%.*s' twice", (int)(arg->name.n < 60 ? arg->name.n : 60), arg->name.p);
        st_j_put(r, &out->kw, st_j_string(arg->name), v);
    } else if (arg->sub == ST_ARG_STAR) {
        st_jlist l = st_j_iterate(r, v);
        for (size_t i = 0; i < l.n; i++) st_j_push(r, &out->pos, l.v[i]);
    } else {
        if (v.kind != ST_J_DICT) ST_J_FAIL(r, "** needs a dict, not %s", st_j_kind_name(v));
        for (size_t i = 0; i < v.dict->n; i++) {
            st_jval key = v.dict->v[i].key;
            st_j_need_str(r, key, "**");
            if (st_j_find(r, &out->kw, key))
                ST_J_FAIL(r, "the argument '%.*s' twice", (int)(key.str.n < 60 ? key.str.n : 60), key.str.p);
            st_j_put(r, &out->kw, key, v.dict->v[i].val);
        }
    }
}

bool st_j_arg(st_jrun *r, st_jargs *a, size_t i, const char *name, st_jval *out)
{
    st_jval *kw = a->kw.n ? st_j_find_str(r, &a->kw, name) : NULL;
    if (kw && i < a->pos.n) ST_J_FAIL(r, "the argument '%s' twice", name);
    st_jval *v = i < a->pos.n ? &a->pos.v[i] : kw;
    if (v) *out = *v;
    return v != NULL;
}

st_jval st_j_option(st_jrun *r, st_jargs *a, size_t i, const char *name, st_jval otherwise)
{
    st_j_arg(r, a, i, name, &otherwise);
    return otherwise;
}

static bool call_has_word(const char *words, st_jstr w)
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
        if (!call_has_word(names, k))
            ST_J_FAIL(r, "%s takes no argument '%.*s'", what, (int)(k.n < 60 ? k.n : 60), k.p);
    }
}

static bool call_is_parameter(const st_jnode *n, st_jstr name)
{
    for (const st_jnode *p = n->a; p; p = p->next)
        if (st_j_str_equal(p->name, name)) return true;
    return false;
}

/* Arguments that no parameter takes go to varargs and kwargs, if the body looks at these. */
void st_j_bind_rest(st_jrun *r, st_jscope *s, const st_jnode *n, const st_jargs *args)
{
    st_jval rest = st_j_list(r, ST_J_TUPLE, 0), kw = st_j_dict(r, ST_J_DICT);
    size_t taken = 0;
    for (const st_jnode *p = n->a; p; p = p->next, taken++)
        if (taken < args->pos.n && st_j_find(r, &args->kw, st_j_string(p->name)))
            ST_J_FAIL(r, "an argument '%.*s' given twice", (int)(p->name.n < 60 ? p->name.n : 60), p->name.p);
    if (n->sub & ST_USES_CALLER && !call_is_parameter(n, st_j_lit("caller")))
        st_j_set(r, s, st_j_lit("caller"), st_j_undef(st_j_lit("caller")));
    for (size_t i = taken; i < args->pos.n; i++) st_j_push(r, rest.list, args->pos.v[i]);
    if (rest.list->n && !(n->sub & ST_USES_VARARGS)) ST_J_FAIL(r, "a macro takes at most %zu arguments", taken);
    for (size_t i = 0; i < args->kw.n; i++) {
        st_jstr k = args->kw.v[i].key.str;
        bool caller = (n->sub & ST_USES_CALLER) && st_j_same(k, "caller");
        if (call_is_parameter(n, k)) continue;
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

static st_jval call_joiner(st_jcycler *j)
{
    if (j->at++) return j->items.v[0];
    return st_j_string(st_j_lit(""));
}

st_jval st_j_call(st_jrun *r, st_jval f, st_jargs *args)
{
    switch (f.kind) {
    case ST_J_METHOD: return st_j_call_method(r, f.method, args);
    case ST_J_GLOBAL: return st_j_call_global(r, f.i, args);
    case ST_J_JOINER: st_j_args_done(r, args, 0, "", "a joiner"); return call_joiner(f.cycler);
    case ST_J_UNDEF: st_j_undefined(r, f);
    default: ST_J_FAIL(r, "%s cannot be called", st_j_kind_name(f));
    }
}

/* ---- loop ---- */

st_jval st_j_loop_attr(st_jrun *r, st_jval v, st_jstr name)
{
    st_jloop *l = v.loop;
    int64_t i = (int64_t)l->at, n = (int64_t)l->items.n;
    bool length = st_j_same(name, "length") || st_j_same(name, "revindex") || st_j_same(name, "revindex0");
    bool next = st_j_same(name, "last") || st_j_same(name, "nextitem");
    if (l->source && (length || next)) { /* Jinja looks ahead, which takes from an iterator */
        l->counted = true;
        if (length)
            l->source->at = l->source->items.n;
        else if (l->source->at < l->source->items.n && l->source->at == l->source->items.n - l->items.n + l->at + 1)
            l->source->at++;
    }
    if (st_j_same(name, "index")) return st_j_int(i + 1);
    if (st_j_same(name, "index0")) return st_j_int(i);
    if (st_j_same(name, "first")) return st_j_bool(i == 0);
    if (st_j_same(name, "last")) return st_j_bool(i == n - 1);
    if (st_j_same(name, "length")) return st_j_int(n);
    if (st_j_same(name, "revindex")) return st_j_int(n - i);
    if (st_j_same(name, "revindex0")) return st_j_int(n - i - 1);
    if (st_j_same(name, "depth")) return st_j_int(l->depth0 + 1);
    if (st_j_same(name, "depth0")) return st_j_int(l->depth0);
    if (st_j_same(name, "previtem"))
        return i > 0 ? l->items.v[i - 1] : st_j_undef(st_j_lit("there is no previous item"));
    if (st_j_same(name, "nextitem"))
        return i + 1 < n ? l->items.v[i + 1] : st_j_undef(st_j_lit("there is no next item"));
    if (st_j_same(name, "cycle")) return st_j_make_method(r, v, ST_METHOD_CYCLE, name);
    if (st_j_same(name, "changed")) return st_j_make_method(r, v, ST_METHOD_CHANGED, name);
    return st_j_undef(name);
}
