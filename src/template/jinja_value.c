/* jinja_value.c: values: truth, equality, order, containers. As Python has them. See jinja.h. */
#include <math.h>

#include "template/jinja.h"

const char *st_j_kind_name(st_jval v)
{
    static const char *const names[ST_J_N_KINDS] = {
        [ST_J_UNDEF] = "undefined",
        [ST_J_NONE] = "none",
        [ST_J_BOOL] = "a boolean",
        [ST_J_INT] = "an integer",
        [ST_J_BIG] = "an integer",
        [ST_J_FLOAT] = "a float",
        [ST_J_STR] = "a string",
        [ST_J_LIST] = "a list",
        [ST_J_TUPLE] = "a tuple",
        [ST_J_RANGE] = "a range",
        [ST_J_ITER] = "an iterator (what map, select, batch, items and the like give)",
        [ST_J_DICT] = "a dict",
        [ST_J_VIEW] = "a view of a dict",
        [ST_J_SPACE] = "a namespace",
        [ST_J_LOOP] = "a loop",
        [ST_J_MACRO] = "a macro",
        [ST_J_GLOBAL] = "a function",
        [ST_J_METHOD] = "a method",
        [ST_J_CYCLER] = "a cycler",
        [ST_J_JOINER] = "a joiner",
        [ST_J_ARGS] = "arguments"};
    return names[v.kind];
}

_Noreturn void st_j_undefined(st_jrun *r, st_jval v)
{
    ST_J_FAIL(r, "'%.*s' is undefined", (int)(v.str.n < 80 ? v.str.n : 80), v.str.p);
}

/* ---- containers ---- */

st_jval st_j_list(st_jrun *r, st_jkind kind, size_t cap)
{
    st_jlist *l = st_j_alloc(r, 1, sizeof *l);
    *l = (st_jlist){.v = cap ? st_j_alloc(r, cap, sizeof *l->v) : NULL, .cap = cap};
    return (st_jval){.kind = kind, .list = l};
}

void st_j_push(st_jrun *r, st_jlist *l, st_jval v)
{
    st_j_step(r, 1);
    l->v = st_j_grow(r, l->v, &l->cap, l->n + 1, sizeof *l->v);
    l->v[l->n++] = v;
}

st_jval st_j_iter(st_jrun *r, st_jlist items)
{
    st_jiter *i = st_j_alloc(r, 1, sizeof *i);
    *i = (st_jiter){.items = items};
    return (st_jval){.kind = ST_J_ITER, .iter = i};
}

st_jval st_j_pair(st_jrun *r, st_jval a, st_jval b)
{
    st_jval pair = st_j_list(r, ST_J_TUPLE, 2);
    st_j_push(r, pair.list, a);
    st_j_push(r, pair.list, b);
    return pair;
}

st_jval st_j_range_item(const st_jrange *g, int64_t i)
{
    return st_j_int((int64_t)((uint64_t)g->from + (uint64_t)i * (uint64_t)g->step));
}

st_jval st_j_dict(st_jrun *r, st_jkind kind)
{
    st_jdict *d = st_j_alloc(r, 1, sizeof *d);
    *d = (st_jdict){0};
    return (st_jval){.kind = kind, .dict = d};
}

static void jinja_value_need_hashable(st_jrun *r, st_jval key)
{
    if (key.kind == ST_J_LIST || key.kind == ST_J_DICT || key.kind == ST_J_VIEW)
        ST_J_FAIL(r, "%s cannot be a key", st_j_kind_name(key));
    if (key.kind != ST_J_TUPLE) return;
    st_j_enter(r);
    for (size_t i = 0; i < key.list->n; i++) jinja_value_need_hashable(r, key.list->v[i]);
    st_j_leave(r);
}

st_jval *st_j_find(st_jrun *r, const st_jdict *d, st_jval key)
{
    jinja_value_need_hashable(r, key);
    for (size_t i = 0; i < d->n; i++) {
        st_jval *k = &d->v[i].key;
        bool same =
            k->kind == ST_J_STR && key.kind == ST_J_STR ? st_j_str_equal(k->str, key.str) : st_j_equal(r, *k, key);
        if (same) {
            st_j_step(r, i / 8 + 1);
            return &d->v[i].val;
        }
    }
    st_j_step(r, d->n / 8 + 1);
    return NULL;
}

st_jval *st_j_find_str(st_jrun *r, const st_jdict *d, const char *key)
{
    return st_j_find(r, d, st_j_string(st_j_lit(key)));
}

void st_j_put(st_jrun *r, st_jdict *d, st_jval key, st_jval val)
{
    st_jval *old = st_j_find(r, d, key);
    if (old) {
        *old = val;
        return;
    }
    d->v = st_j_grow(r, d->v, &d->cap, d->n + 1, sizeof *d->v);
    d->v[d->n++] = (st_jpair){key, val};
}

int64_t st_j_length(st_jrun *r, st_jval v)
{
    switch (v.kind) {
    case ST_J_UNDEF: return 0;
    case ST_J_STR: return (int64_t)st_j_cps(r, v.str);
    case ST_J_LIST:
    case ST_J_TUPLE: return (int64_t)v.list->n;
    case ST_J_DICT: return (int64_t)v.dict->n;
    case ST_J_LOOP: st_j_loop_attr(r, v, st_j_lit("length")); return (int64_t)v.loop->items.n;
    case ST_J_RANGE: return v.range->n;
    case ST_J_VIEW: return (int64_t)v.view->dict->n;
    default: ST_J_FAIL(r, "%s has no length", st_j_kind_name(v));
    }
}

static void jinja_value_iterate_dict(st_jrun *r, const st_jdict *d, int what, st_jlist *l)
{
    l->v = st_j_alloc(r, l->cap = d->n, sizeof *l->v);
    for (; l->n < d->n; l->n++) {
        const st_jpair *p = &d->v[l->n];
        l->v[l->n] = what == ST_VIEW_KEYS ? p->key : what == ST_VIEW_VALUES ? p->val : st_j_pair(r, p->key, p->val);
    }
    st_j_step(r, l->n);
}

static void jinja_value_iterate_string(st_jrun *r, st_jstr s, st_jlist *l)
{
    for (size_t at = 0, end; at < s.n; at = end) {
        end = at + st_j_cp_offset(st_j_sub(s, at, s.n), 1);
        st_jstr c = st_j_sub(s, at, end);
        c.markup = false; /* Python iterates over a Markup as over a string */
        st_j_push(r, l, st_j_string(c));
    }
}

/* A cycler is infinite; what else Python cannot iterate over fails, too. */
st_jlist st_j_iterate(st_jrun *r, st_jval v)
{
    st_jlist l = {0};
    switch (v.kind) {
    case ST_J_UNDEF: return l;
    case ST_J_LIST:
    case ST_J_TUPLE: return *v.list;
    case ST_J_DICT: jinja_value_iterate_dict(r, v.dict, ST_VIEW_KEYS, &l); return l;
    case ST_J_VIEW: jinja_value_iterate_dict(r, v.view->dict, v.view->what, &l); return l;
    case ST_J_STR: jinja_value_iterate_string(r, v.str, &l); return l;
    case ST_J_RANGE:
        for (int64_t i = 0; i < v.range->n; i++) st_j_push(r, &l, st_j_range_item(v.range, i));
        return l;
    case ST_J_ITER:
        l.v = v.iter->items.v ? v.iter->items.v + v.iter->at : NULL;
        l.n = l.cap = v.iter->items.n - v.iter->at;
        v.iter->at = v.iter->items.n;
        return l;
    default: ST_J_FAIL(r, "%s cannot be iterated over", st_j_kind_name(v));
    }
}

/* ---- truth, equality, order ---- */

bool st_j_true(st_jrun *r, st_jval v)
{
    (void)r;
    switch (v.kind) {
    case ST_J_UNDEF:
    case ST_J_NONE: return false;
    case ST_J_BOOL: return v.b;
    case ST_J_INT: return v.i != 0;
    case ST_J_FLOAT: return v.f != 0;
    case ST_J_STR: return v.str.n != 0;
    case ST_J_LIST:
    case ST_J_TUPLE: return v.list->n != 0;
    case ST_J_DICT: return v.dict->n != 0;
    case ST_J_RANGE: return v.range->n != 0;
    case ST_J_VIEW: return v.view->dict->n != 0;
    case ST_J_LOOP: return v.loop->items.n != 0;
    default: return true;
    }
}

static int64_t jinja_value_int_of(st_jval v)
{
    return v.kind == ST_J_BOOL ? v.b : v.i;
}

/* Two numbers, exactly, as Python compares an int with a float. */
static int jinja_value_order_numbers(st_jrun *r, st_jval a, st_jval b, bool *ordered)
{
    bool ia = a.kind != ST_J_FLOAT, ib = b.kind != ST_J_FLOAT;
    if (ia && ib) {
        if (a.kind == ST_J_BIG || b.kind == ST_J_BIG) return st_j_int_order(r, a, b);
        return (jinja_value_int_of(a) > jinja_value_int_of(b)) - (jinja_value_int_of(a) < jinja_value_int_of(b));
    }
    double x = ia ? 0 : a.f, y = ib ? 0 : b.f;
    *ordered = !isnan(x) && !isnan(y);
    if (!*ordered) return 0;
    if (isinf(x) || isinf(y)) return (x > y) - (x < y);
    if (ia) return st_j_mixed_order(r, a, y);
    if (ib) return -st_j_mixed_order(r, b, x);
    return (x > y) - (x < y);
}

static bool jinja_value_equal_dicts(st_jrun *r, const st_jdict *a, const st_jdict *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const st_jval *other = st_j_find(r, b, a->v[i].key);
        if (!other || !st_j_equal(r, a->v[i].val, *other)) return false;
    }
    return true;
}

/* Views of keys and items are sets to Python; values are only equal to themselves. */
static bool jinja_value_equal_views(st_jrun *r, st_jval a, st_jval b)
{
    if (a.kind != b.kind || a.view->what == ST_VIEW_VALUES || b.view->what == ST_VIEW_VALUES)
        return a.view == b.view && a.kind == b.kind;
    if (a.view->dict->n != b.view->dict->n) return false;
    bool same = a.view->what == b.view->what || !a.view->dict->n;
    st_j_enter(r);
    for (size_t i = 0; same && i < a.view->dict->n; i++) {
        const st_jval *other = st_j_find(r, b.view->dict, a.view->dict->v[i].key);
        same = other && (a.view->what == ST_VIEW_KEYS || st_j_equal(r, a.view->dict->v[i].val, *other));
    }
    st_j_leave(r);
    return same;
}

static bool jinja_value_same_self(st_jval a, st_jval b)
{
    return a.kind == b.kind && (a.kind == ST_J_STR ? st_j_str_equal(a.str, b.str) : a.dict == b.dict);
}

bool st_j_equal(st_jrun *r, st_jval a, st_jval b)
{
    bool same = true;
    if (st_j_is_number(a) && st_j_is_number(b)) {
        int c = jinja_value_order_numbers(r, a, b, &same);
        return same && c == 0;
    }
    if (a.kind != b.kind) return a.kind == ST_J_VIEW || b.kind == ST_J_VIEW ? jinja_value_equal_views(r, a, b) : false;
    st_j_step(r, 1);
    switch (a.kind) {
    case ST_J_UNDEF:
    case ST_J_NONE: return true;
    case ST_J_STR: st_j_step(r, a.str.n / 64); return st_j_str_equal(a.str, b.str);
    case ST_J_LIST:
    case ST_J_TUPLE:
    case ST_J_DICT: break;
    case ST_J_GLOBAL: return a.i == b.i;
    case ST_J_RANGE:
        return a.range->n == b.range->n && (!a.range->n || a.range->from == b.range->from) &&
               (a.range->n < 2 || a.range->step == b.range->step);
    case ST_J_VIEW: return jinja_value_equal_views(r, a, b);
    case ST_J_METHOD: return a.method->id == b.method->id && jinja_value_same_self(a.method->self, b.method->self);
    default: return a.dict == b.dict; /* the same object */
    }
    st_j_enter(r);
    if (a.kind == ST_J_DICT) {
        same = jinja_value_equal_dicts(r, a.dict, b.dict);
    } else {
        same = a.list->n == b.list->n;
        for (size_t i = 0; same && i < a.list->n; i++) same = st_j_equal(r, a.list->v[i], b.list->v[i]);
    }
    st_j_leave(r);
    return same;
}

int st_j_order(st_jrun *r, st_jval a, st_jval b, bool *ordered)
{
    *ordered = true;
    st_j_step(r, 1);
    if (st_j_is_number(a) && st_j_is_number(b)) return jinja_value_order_numbers(r, a, b, ordered);
    if (a.kind == ST_J_STR && b.kind == ST_J_STR) { /* UTF-8 sorts as its code points */
        size_t n = a.str.n < b.str.n ? a.str.n : b.str.n;
        st_j_step(r, n / 64);
        int c = n ? memcmp(a.str.p, b.str.p, n) : 0;
        return c ? c : (a.str.n > b.str.n) - (a.str.n < b.str.n);
    }
    if (st_j_is_list(a) && a.kind == b.kind) {
        int c = (a.list->n > b.list->n) - (a.list->n < b.list->n);
        st_j_enter(r);
        for (size_t i = 0; i < a.list->n && i < b.list->n; i++)
            if (!st_j_equal(r, a.list->v[i], b.list->v[i])) {
                c = st_j_order(r, a.list->v[i], b.list->v[i], ordered);
                break;
            }
        st_j_leave(r);
        return c;
    }
    if (a.kind == ST_J_UNDEF) st_j_undefined(r, a);
    if (b.kind == ST_J_UNDEF) st_j_undefined(r, b);
    ST_J_FAIL(r, "%s and %s have no order", st_j_kind_name(a), st_j_kind_name(b));
}

static bool jinja_value_in_range(st_jrun *r, const st_jrange *g, st_jval v)
{
    if (v.kind == ST_J_FLOAT && isfinite(v.f) && v.f == trunc(v.f)) v = st_j_int_of_float(r, v.f);
    if (v.kind != ST_J_INT && v.kind != ST_J_BOOL) return false;
    int64_t i = jinja_value_int_of(v), last = g->n ? st_j_range_item(g, g->n - 1).i : 0;
    if (!g->n || (g->step > 0 ? i < g->from || i > last : i > g->from || i < last)) return false;
    return (i - g->from) % g->step == 0;
}

/* An iterator stops behind what was found. */
static bool jinja_value_in_sequence(st_jrun *r, st_jval in, st_jval v)
{
    st_jlist l = st_j_iterate(r, in);
    for (size_t i = 0; i < l.n; i++) {
        if (!st_j_equal(r, l.v[i], v)) continue;
        if (in.kind == ST_J_ITER) in.iter->at -= l.n - i - 1;
        return true;
    }
    return false;
}

bool st_j_contains(st_jrun *r, st_jval in, st_jval v)
{
    switch (in.kind) {
    case ST_J_UNDEF: return false;
    case ST_J_STR:
        if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
        if (v.kind != ST_J_STR) ST_J_FAIL(r, "'in' a string needs a string, not %s", st_j_kind_name(v));
        return st_j_str_find(r, in.str, 0, v.str) != SIZE_MAX;
    case ST_J_DICT: return st_j_find(r, in.dict, v) != NULL;
    case ST_J_RANGE: return jinja_value_in_range(r, in.range, v);
    case ST_J_VIEW:
    case ST_J_ITER: return jinja_value_in_sequence(r, in, v);
    case ST_J_LIST:
    case ST_J_TUPLE:
        for (size_t i = 0; i < in.list->n; i++)
            if (st_j_equal(r, in.list->v[i], v)) return true;
        st_j_step(r, in.list->n);
        return false;
    default: ST_J_FAIL(r, "nothing is in %s", st_j_kind_name(in));
    }
}
