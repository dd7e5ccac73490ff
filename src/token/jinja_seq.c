/* jinja_seq.c: filters on sequences. Where Jinja makes a generator this makes the list at once. See jinja.h. */
#include "token/jinja.h"

typedef st_jval (*filter_fn)(st_jrun *r, st_jval v, st_jargs *a);

st_jval st_j_fold_case(st_jrun *r, st_jval v)
{
    return v.kind == ST_J_STR ? st_j_string(st_j_case(r, v.str, ST_CASE_LOWER)) : v;
}

static st_jval as_list(st_jrun *r, st_jlist l)
{
    st_jval v = st_j_list(r, ST_J_LIST, 0);
    *v.list = l;
    return v;
}

/* What is compared of an item. */
static st_jval sort_key(st_jrun *r, st_jval v, st_jval attribute, bool case_sensitive)
{
    if (attribute.kind != ST_J_NONE) v = st_j_path(r, v, attribute, NULL);
    return case_sensitive ? v : st_j_fold_case(r, v);
}

/* Merge sort of indices into `keys`: stable, as Python's, also in reverse. */
static void merge_sort(st_jrun *r, const st_jval *keys, size_t *idx, size_t *tmp, size_t n, bool reverse)
{
    bool ordered;
    if (n < 2) return;
    size_t half = n / 2, a = 0, b = half, k = 0;
    merge_sort(r, keys, idx, tmp, half, reverse);
    merge_sort(r, keys, idx + half, tmp, n - half, reverse);
    while (a < half && b < n) {
        int c = st_j_order(r, keys[idx[b]], keys[idx[a]], &ordered);
        tmp[k++] = (reverse ? c > 0 : c < 0) ? idx[b++] : idx[a++];
    }
    while (a < half) tmp[k++] = idx[a++];
    while (b < n) tmp[k++] = idx[b++];
    memcpy(idx, tmp, n * sizeof *idx);
}

void st_j_sort(st_jrun *r, st_jlist *l, st_jval attribute, bool reverse, bool case_sensitive)
{
    st_jval *keys = st_j_alloc(r, l->n, sizeof *keys), *out = st_j_alloc(r, l->n, sizeof *out);
    size_t *idx = st_j_alloc(r, l->n, 2 * sizeof *idx);
    for (size_t i = 0; i < l->n; i++) {
        idx[i] = i;
        keys[i] = sort_key(r, l->v[i], attribute, case_sensitive);
    }
    merge_sort(r, keys, idx, idx + l->n, l->n, reverse);
    for (size_t i = 0; i < l->n; i++) out[i] = l->v[idx[i]];
    l->v = out;
    l->cap = l->n;
}

static st_jval option(st_jrun *r, st_jargs *a, size_t i, const char *name, st_jval v)
{
    st_j_arg(r, a, i, name, &v);
    return v;
}

static st_jval f_sort(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval out = as_list(r, st_j_iterate(r, v));
    bool reverse = st_j_true(r, option(r, a, 0, "reverse", st_j_none()));
    bool sensitive = st_j_true(r, option(r, a, 1, "case_sensitive", st_j_none()));
    st_jval attribute = option(r, a, 2, "attribute", st_j_none());
    st_j_args_done(r, a, 3, "reverse case_sensitive attribute", "sort");
    st_j_sort(r, out.list, attribute, reverse, sensitive);
    return out;
}

static st_jval pairs(st_jrun *r, st_jval v)
{
    st_jval out = st_j_list(r, ST_J_LIST, v.dict->n);
    for (size_t i = 0; i < v.dict->n; i++) {
        st_jval pair = st_j_list(r, ST_J_TUPLE, 2);
        st_j_push(r, pair.list, v.dict->v[i].key);
        st_j_push(r, pair.list, v.dict->v[i].val);
        st_j_push(r, out.list, pair);
    }
    return out;
}

static void need_dict(st_jrun *r, st_jval v, const char *what)
{
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind != ST_J_DICT) ST_J_FAIL(r, "%s needs a dict, not %s", what, st_j_kind_name(v));
}

static st_jval f_dictsort(st_jrun *r, st_jval v, st_jargs *a)
{
    need_dict(r, v, "dictsort");
    bool sensitive = st_j_true(r, option(r, a, 0, "case_sensitive", st_j_none()));
    st_jstr by = st_j_need_str(r, option(r, a, 1, "by", st_j_string(st_j_lit("key"))), "dictsort");
    bool reverse = st_j_true(r, option(r, a, 2, "reverse", st_j_none()));
    st_j_args_done(r, a, 3, "case_sensitive by reverse", "dictsort");
    if (!st_j_same(by, "key") && !st_j_same(by, "value")) ST_J_FAIL(r, "dictsort by key or value only");
    st_jval out = pairs(r, v);
    st_j_sort(r, out.list, st_j_int(st_j_same(by, "value")), reverse, sensitive);
    return out;
}

static st_jval f_items(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "items");
    if (v.kind == ST_J_UNDEF) return st_j_list(r, ST_J_LIST, 0);
    need_dict(r, v, "items");
    return pairs(r, v);
}

static st_jval f_list(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "list");
    return as_list(r, st_j_iterate(r, v));
}

static st_jval f_first(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "first");
    st_jlist l = st_j_iterate(r, v);
    return l.n ? l.v[0] : st_j_undef(st_j_lit("the first item of nothing"));
}

static st_jval f_last(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "last");
    st_jlist l = st_j_iterate(r, v);
    return l.n ? l.v[l.n - 1] : st_j_undef(st_j_lit("the last item of nothing"));
}

static st_jval f_reverse(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "reverse");
    if (v.kind != ST_J_STR && !st_j_is_list(v)) v = as_list(r, st_j_iterate(r, v));
    return st_j_slice(r, v, st_j_none(), st_j_none(), st_j_int(-1));
}

static st_jval f_join(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval sep = option(r, a, 0, "d", st_j_string(st_j_lit(""))),
            attribute = option(r, a, 1, "attribute", st_j_none());
    st_j_args_done(r, a, 2, "d attribute", "join");
    st_jlist l = st_j_iterate(r, v), out = {0};
    for (size_t i = 0; i < l.n; i++)
        st_j_push(r, &out, attribute.kind == ST_J_NONE ? l.v[i] : st_j_path(r, l.v[i], attribute, NULL));
    return st_j_string(st_j_join(r, st_j_str(r, sep), &out));
}

static st_jval f_unique(st_jrun *r, st_jval v, st_jargs *a)
{
    bool sensitive = st_j_true(r, option(r, a, 0, "case_sensitive", st_j_none()));
    st_jval attribute = option(r, a, 1, "attribute", st_j_none()), seen = st_j_list(r, ST_J_LIST, 0);
    st_j_args_done(r, a, 2, "case_sensitive attribute", "unique");
    st_jlist l = st_j_iterate(r, v), out = {0};
    for (size_t i = 0; i < l.n; i++) {
        st_jval key = sort_key(r, l.v[i], attribute, sensitive);
        if (st_j_contains(r, seen, key)) continue;
        st_j_push(r, seen.list, key);
        st_j_push(r, &out, l.v[i]);
    }
    return as_list(r, out);
}

/* The first argument, a name, and the rest as the arguments of what it names. */
static st_jstr shift(st_jrun *r, st_jargs *a, const char *what)
{
    if (!a->pos.n) ST_J_FAIL(r, "%s needs the name of a filter or test", what);
    st_jstr name = st_j_need_str(r, a->pos.v[0], what);
    a->pos.v++;
    a->pos.n--;
    a->pos.cap = a->pos.n;
    return name;
}

static st_jval f_map(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jlist l = st_j_iterate(r, v), out = {0};
    st_jval *attribute = a->pos.n ? NULL : st_j_find_str(r, &a->kw, "attribute");
    st_jval *other = st_j_find_str(r, &a->kw, "default");
    st_jstr name = attribute ? (st_jstr){0} : shift(r, a, "map");
    if (attribute) st_j_args_done(r, a, 0, "attribute default", "map");
    st_j_enter(r);
    for (size_t i = 0; i < l.n; i++) {
        st_jval item = st_j_none();
        if (attribute) {
            item = st_j_path(r, l.v[i], *attribute, other);
        } else {
            st_jargs args = *a; /* filters may shift them */
            if (!st_j_filter(r, name, l.v[i], &args, &item) && !st_j_filter_seq(r, name, l.v[i], &args, &item))
                ST_J_FAIL(r, "no filter named '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p);
        }
        st_j_push(r, &out, item);
    }
    st_j_leave(r);
    return as_list(r, out);
}

/* select and reject, also by attribute. Without a test an item is asked whether it is true. */
static st_jval choose(st_jrun *r, st_jval v, st_jargs *a, bool by_attribute, bool wanted)
{
    st_jlist l = st_j_iterate(r, v), out = {0};
    st_jval attribute = st_j_none();
    if (by_attribute) {
        if (!a->pos.n) ST_J_FAIL(r, "an attribute is missing");
        attribute = a->pos.v[0];
        a->pos.v++;
        a->pos.cap = --a->pos.n;
    }
    bool tested = a->pos.n != 0;
    st_jstr name = tested ? shift(r, a, "select") : (st_jstr){0};
    if (tested && !st_j_test_known(name))
        ST_J_FAIL(r, "no test named '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p);
    for (size_t i = 0; i < l.n; i++) {
        st_jval item = by_attribute ? st_j_path(r, l.v[i], attribute, NULL) : l.v[i];
        st_j_step(r, 1);
        if ((tested ? st_j_test(r, name, item, a) : st_j_true(r, item)) == wanted) st_j_push(r, &out, l.v[i]);
    }
    return as_list(r, out);
}

static st_jval f_select(st_jrun *r, st_jval v, st_jargs *a)
{
    return choose(r, v, a, false, true);
}

static st_jval f_reject(st_jrun *r, st_jval v, st_jargs *a)
{
    return choose(r, v, a, false, false);
}

static st_jval f_selectattr(st_jrun *r, st_jval v, st_jargs *a)
{
    return choose(r, v, a, true, true);
}

static st_jval f_rejectattr(st_jrun *r, st_jval v, st_jargs *a)
{
    return choose(r, v, a, true, false);
}

static st_jval extreme(st_jrun *r, st_jval v, st_jargs *a, int sign, const char *what)
{
    bool sensitive = st_j_true(r, option(r, a, 0, "case_sensitive", st_j_none())), ordered;
    st_jval attribute = option(r, a, 1, "attribute", st_j_none()), best = st_j_none(), out;
    st_j_args_done(r, a, 2, "case_sensitive attribute", what);
    st_jlist l = st_j_iterate(r, v);
    out = st_j_undef(st_j_lit("the extreme of nothing"));
    for (size_t i = 0; i < l.n; i++) {
        st_jval key = sort_key(r, l.v[i], attribute, sensitive);
        if (i && st_j_order(r, key, best, &ordered) * sign <= 0) continue;
        best = key;
        out = l.v[i];
    }
    return out;
}

static st_jval f_min(st_jrun *r, st_jval v, st_jargs *a)
{
    return extreme(r, v, a, -1, "min");
}

static st_jval f_max(st_jrun *r, st_jval v, st_jargs *a)
{
    return extreme(r, v, a, 1, "max");
}

static st_jval f_sum(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval attribute = option(r, a, 0, "attribute", st_j_none()), out = option(r, a, 1, "start", st_j_int(0));
    st_j_args_done(r, a, 2, "attribute start", "sum");
    st_jlist l = st_j_iterate(r, v);
    for (size_t i = 0; i < l.n; i++)
        out =
            st_j_binary(r, ST_N_ADD, out, attribute.kind == ST_J_NONE ? l.v[i] : st_j_path(r, l.v[i], attribute, NULL));
    return out;
}

static const struct filter {
    const char *name;
    filter_fn run;
} filters[] = {
    {"sort", f_sort},     {"dictsort", f_dictsort}, {"items", f_items},           {"list", f_list},
    {"first", f_first},   {"last", f_last},         {"reverse", f_reverse},       {"join", f_join},
    {"unique", f_unique}, {"map", f_map},           {"select", f_select},         {"reject", f_reject},
    {"min", f_min},       {"max", f_max},           {"selectattr", f_selectattr}, {"rejectattr", f_rejectattr},
    {"sum", f_sum}};

static const struct filter *find(st_jstr name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (st_j_same(name, filters[i].name)) return &filters[i];
    return NULL;
}

bool st_j_filter_seq_known(st_jstr name)
{
    return find(name) != NULL;
}

bool st_j_filter_seq(st_jrun *r, st_jstr name, st_jval v, st_jargs *args, st_jval *out)
{
    const struct filter *f = find(name);
    if (f) *out = f->run(r, v, args);
    return f != NULL;
}
