/* jinja_value.c: values: truth, equality, order, containers. As Python has them. See jinja.h. */
#include <math.h>

#include "token/jinja.h"

const char *st_j_kind_name(st_jval v)
{
    static const char *const names[] = {"undefined", "none",    "a boolean",  "an integer", "a float",
                                        "a string",  "a list",  "a tuple",    "a dict",     "a namespace",
                                        "a loop",    "a macro", "a function", "a method"};
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
    *l = (st_jlist){cap ? st_j_alloc(r, cap, sizeof *l->v) : NULL, 0, cap};
    return (st_jval){.kind = kind, .list = l};
}

void st_j_push(st_jrun *r, st_jlist *l, st_jval v)
{
    st_j_step(r, 1);
    l->v = st_j_grow(r, l->v, &l->cap, l->n + 1, sizeof *l->v);
    l->v[l->n++] = v;
}

st_jval st_j_dict(st_jrun *r, st_jkind kind)
{
    st_jdict *d = st_j_alloc(r, 1, sizeof *d);
    *d = (st_jdict){0};
    return (st_jval){.kind = kind, .dict = d};
}

st_jval *st_j_find(st_jrun *r, const st_jdict *d, st_jval key)
{
    if (key.kind == ST_J_LIST || key.kind == ST_J_DICT) ST_J_FAIL(r, "%s cannot be a key", st_j_kind_name(key));
    if (key.kind == ST_J_UNDEF) st_j_undefined(r, key);
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
    case ST_J_LOOP: return (int64_t)v.loop->items->n;
    default: ST_J_FAIL(r, "%s has no length", st_j_kind_name(v));
    }
}

st_jlist st_j_iterate(st_jrun *r, st_jval v)
{
    st_jlist l = {0};
    switch (v.kind) {
    case ST_J_UNDEF: return l;
    case ST_J_LIST:
    case ST_J_TUPLE: return *v.list;
    case ST_J_DICT:
        l.v = st_j_alloc(r, l.cap = v.dict->n, sizeof *l.v);
        for (; l.n < v.dict->n; l.n++) l.v[l.n] = v.dict->v[l.n].key;
        st_j_step(r, l.n);
        return l;
    case ST_J_STR:
        for (size_t at = 0, end; at < v.str.n; at = end) {
            end = at + st_j_cp_offset(st_j_sub(v.str, at, v.str.n), 1);
            st_j_push(r, &l, st_j_string(st_j_sub(v.str, at, end)));
        }
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
    default: return true;
    }
}

static bool is_int(st_jval v)
{
    return v.kind == ST_J_INT || v.kind == ST_J_BOOL;
}

static int64_t int_of(st_jval v)
{
    return v.kind == ST_J_BOOL ? v.b : v.i;
}

static bool equal_dicts(st_jrun *r, const st_jdict *a, const st_jdict *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const st_jval *other = st_j_find(r, b, a->v[i].key);
        if (!other || !st_j_equal(r, a->v[i].val, *other)) return false;
    }
    return true;
}

bool st_j_equal(st_jrun *r, st_jval a, st_jval b)
{
    double x, y;
    bool same = true;
    if (is_int(a) && is_int(b)) return int_of(a) == int_of(b);
    if (st_j_number(a, &x) && st_j_number(b, &y)) return x == y;
    if (a.kind != b.kind) return false;
    st_j_step(r, 1);
    switch (a.kind) {
    case ST_J_UNDEF:
    case ST_J_NONE: return true;
    case ST_J_STR: st_j_step(r, a.str.n / 64); return st_j_str_equal(a.str, b.str);
    case ST_J_LIST:
    case ST_J_TUPLE:
    case ST_J_DICT: break;
    case ST_J_GLOBAL: return a.i == b.i;
    default: return a.dict == b.dict; /* the same object */
    }
    st_j_enter(r);
    if (a.kind == ST_J_DICT) {
        same = equal_dicts(r, a.dict, b.dict);
    } else {
        same = a.list->n == b.list->n;
        for (size_t i = 0; same && i < a.list->n; i++) same = st_j_equal(r, a.list->v[i], b.list->v[i]);
    }
    st_j_leave(r);
    return same;
}

int st_j_order(st_jrun *r, st_jval a, st_jval b, bool *ordered)
{
    double x, y;
    *ordered = true;
    st_j_step(r, 1);
    if (is_int(a) && is_int(b)) return (int_of(a) > int_of(b)) - (int_of(a) < int_of(b));
    if (st_j_number(a, &x) && st_j_number(b, &y)) {
        *ordered = !isnan(x) && !isnan(y);
        return (x > y) - (x < y);
    }
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

bool st_j_contains(st_jrun *r, st_jval in, st_jval v)
{
    switch (in.kind) {
    case ST_J_UNDEF: return false;
    case ST_J_STR:
        if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
        if (v.kind != ST_J_STR) ST_J_FAIL(r, "'in' a string needs a string, not %s", st_j_kind_name(v));
        return st_j_str_find(r, in.str, 0, v.str) != SIZE_MAX;
    case ST_J_DICT: return st_j_find(r, in.dict, v) != NULL;
    case ST_J_LIST:
    case ST_J_TUPLE:
        for (size_t i = 0; i < in.list->n; i++)
            if (st_j_equal(r, in.list->v[i], v)) return true;
        st_j_step(r, in.list->n);
        return false;
    default: ST_J_FAIL(r, "nothing is in %s", st_j_kind_name(in));
    }
}

/* ---- parts ---- */

st_jval st_j_attr(st_jrun *r, st_jval v, st_jstr name)
{
    st_jval out, *found = NULL;
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_LOOP) return st_j_loop_attr(r, v, name);
    if (v.kind == ST_J_SPACE) {
        found = st_j_find(r, v.dict, st_j_string(name));
    } else {
        /* Python looks for attributes first: d.items is the method even if d has that key. */
        if (st_j_method(r, v, name, &out)) return out;
        if (v.kind == ST_J_DICT) found = st_j_find(r, v.dict, st_j_string(name));
    }
    return found ? *found : st_j_undef(name);
}

st_jval st_j_item(st_jrun *r, st_jval v, st_jval key)
{
    st_jval out, *found;
    st_jstr name = key.kind == ST_J_STR ? key.str : st_j_lit("item");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_DICT) {
        if (key.kind == ST_J_UNDEF || key.kind == ST_J_LIST || key.kind == ST_J_DICT) return st_j_undef(name);
        found = st_j_find(r, v.dict, key);
        if (found) return *found;
    } else if (is_int(key) && (st_j_is_list(v) || v.kind == ST_J_STR)) {
        int64_t n = st_j_length(r, v), i = int_of(key);
        if (i < 0) i += n;
        if (i < 0 || i >= n) return st_j_undef(name);
        if (v.kind != ST_J_STR) return v.list->v[i];
        size_t from = st_j_cp_offset(v.str, (size_t)i);
        return st_j_string(st_j_sub(v.str, from, from + st_j_cp_offset(st_j_sub(v.str, from, v.str.n), 1)));
    } else if (v.kind == ST_J_SPACE || v.kind == ST_J_LOOP) {
        return key.kind == ST_J_STR ? st_j_attr(r, v, key.str) : st_j_undef(name);
    }
    if (key.kind == ST_J_STR && st_j_method(r, v, key.str, &out)) return out;
    return st_j_undef(name);
}

/* An end of a slice as Python clamps it. */
static int64_t slice_end(st_jrun *r, st_jval v, int64_t n, int64_t step, int64_t none)
{
    if (v.kind == ST_J_NONE) return none;
    int64_t i = st_j_need_int(r, v, "a slice");
    if (i < 0) i = i < -n ? -1 : i + n;
    if (step > 0) return i < 0 ? 0 : i > n ? n : i;
    return i < 0 ? -1 : i >= n ? n - 1 : i;
}

st_jval st_j_slice(st_jrun *r, st_jval v, st_jval start, st_jval stop, st_jval step)
{
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind != ST_J_STR && !st_j_is_list(v)) return st_j_undef(st_j_lit("slice"));
    int64_t n = st_j_length(r, v), by = step.kind == ST_J_NONE ? 1 : st_j_need_int(r, step, "a slice");
    if (!by) ST_J_FAIL(r, "the step of a slice is 0");
    int64_t i = slice_end(r, start, n, by, by > 0 ? 0 : n - 1), end = slice_end(r, stop, n, by, by > 0 ? n : -1);
    if (v.kind == ST_J_STR && by == 1) {
        size_t from = st_j_cp_offset(v.str, (size_t)i);
        size_t to = end > i ? from + st_j_cp_offset(st_j_sub(v.str, from, v.str.n), (size_t)(end - i)) : from;
        return st_j_string(st_j_sub(v.str, from, to));
    }
    st_jlist items = st_j_iterate(r, v);
    st_jval out = st_j_list(r, v.kind == ST_J_STR ? ST_J_LIST : v.kind, 0);
    while (by > 0 ? i < end : i > end) {
        st_j_push(r, out.list, items.v[i]);
        if (by > n || by < -n) break; /* and i + by cannot wrap */
        i += by;
    }
    if (v.kind != ST_J_STR) return out;
    return st_j_string(st_j_join(r, st_j_lit(""), out.list));
}

st_jval st_j_path(st_jrun *r, st_jval v, st_jval path, const st_jval *other)
{
    if (path.kind != ST_J_STR) return st_j_item(r, v, path);
    st_jlist *parts = st_j_split(r, path.str, st_j_string(st_j_lit(".")), -1, false).list;
    for (size_t i = 0; i < parts->n; i++) {
        int64_t index;
        st_jval part = parts->v[i];
        bool digits = part.str.n && strspn(part.str.p, "0123456789") >= part.str.n;
        if (digits && st_j_parse_int(part.str.p, part.str.n, 10, &index)) part = st_j_int(index);
        v = st_j_item(r, v, part);
        if (v.kind == ST_J_UNDEF && other) v = *other;
    }
    return v;
}
