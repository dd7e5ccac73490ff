/* jinja_seq.c: filters on sequences. Where Jinja makes a generator this makes the list at once. See jinja.h. */
#include "template/jinja_program.h"

st_jval st_j_fold_case(st_jrun *r, st_jval v)
{
    return v.kind == ST_J_STR ? st_j_string(st_j_case(r, v.str, ST_CASE_LOWER)) : v;
}

static st_jval jinja_seq_as_list(st_jrun *r, st_jlist l)
{
    st_jval v = st_j_list(r, ST_J_LIST, 0);
    *v.list = l;
    return v;
}

/* What is compared of an item. */
static st_jval jinja_seq_sort_key(st_jrun *r, st_jval v, st_jval attribute, bool case_sensitive)
{
    if (attribute.kind != ST_J_NONE) v = st_j_path(r, v, attribute, NULL);
    return case_sensitive ? v : st_j_fold_case(r, v);
}

/* sort(attribute="a,b.c"): a list of them. */
static st_jval jinja_seq_sort_keys(st_jrun *r, st_jval v, st_jval attribute, bool case_sensitive)
{
    if (attribute.kind != ST_J_STR || !attribute.str.n || !memchr(attribute.str.p, ',', attribute.str.n))
        return jinja_seq_sort_key(r, v, attribute, case_sensitive);
    st_jval keys = st_j_list(r, ST_J_LIST, 0);
    st_jlist *parts = st_j_split(r, attribute.str, st_j_string(st_j_lit(",")), -1, false).list;
    for (size_t i = 0; i < parts->n; i++)
        st_j_push(r, keys.list, jinja_seq_sort_key(r, v, parts->v[i], case_sensitive));
    return keys;
}

static int jinja_seq_order_keys(st_jrun *r, st_jval a, st_jval b, bool equal_first)
{
    bool ordered;
    bool plain = st_j_is_number(a) || a.kind == ST_J_STR;
    /* Jinja sorts lists of one key: what is equal is not asked for its order. */
    if (equal_first && !plain && st_j_equal(r, a, b)) return 0;
    return st_j_order(r, a, b, &ordered);
}

/* Merge sort of indices into `keys`: stable, as Python's, also in reverse. */
static void jinja_seq_merge_sort(st_jrun *r, const st_jval *keys, size_t *idx, size_t *tmp, size_t n, bool reverse,
                                 bool equal_first)
{
    if (n < 2) return;
    size_t half = n / 2, a = 0, b = half, k = 0;
    jinja_seq_merge_sort(r, keys, idx, tmp, half, reverse, equal_first);
    jinja_seq_merge_sort(r, keys, idx + half, tmp, n - half, reverse, equal_first);
    while (a < half && b < n) {
        int c = jinja_seq_order_keys(r, keys[idx[b]], keys[idx[a]], equal_first);
        tmp[k++] = (reverse ? c > 0 : c < 0) ? idx[b++] : idx[a++];
    }
    while (a < half) tmp[k++] = idx[a++];
    while (b < n) tmp[k++] = idx[b++];
    memcpy(idx, tmp, n * sizeof *idx);
}

static void jinja_seq_sort_by(st_jrun *r, st_jlist *l, st_jval *keys, bool reverse, bool equal_first)
{
    st_jval *out = st_j_alloc(r, l->n, sizeof *out);
    size_t *idx = st_j_alloc(r, l->n, 2 * sizeof *idx);
    for (size_t i = 0; i < l->n; i++) idx[i] = i;
    jinja_seq_merge_sort(r, keys, idx, idx + l->n, l->n, reverse, equal_first);
    for (size_t i = 0; i < l->n; i++) out[i] = l->v[idx[i]];
    l->v = out;
    l->cap = l->n;
}

void st_j_sort(st_jrun *r, st_jlist *l, st_jval attribute, bool reverse, bool case_sensitive)
{
    st_jval *keys = st_j_alloc(r, l->n, sizeof *keys);
    for (size_t i = 0; i < l->n; i++) keys[i] = jinja_seq_sort_key(r, l->v[i], attribute, case_sensitive);
    jinja_seq_sort_by(r, l, keys, reverse, false);
}

#define option st_j_option

static st_jval jinja_seq_sort(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval out = jinja_seq_as_list(r, st_j_iterate(r, v));
    bool reverse = st_j_true(r, option(r, a, 0, "reverse", st_j_none()));
    bool sensitive = st_j_true(r, option(r, a, 1, "case_sensitive", st_j_none()));
    st_jval attribute = option(r, a, 2, "attribute", st_j_none());
    st_j_args_done(r, a, 3, "reverse case_sensitive attribute", "sort");
    st_jval *keys = st_j_alloc(r, out.list->n, sizeof *keys);
    for (size_t i = 0; i < out.list->n; i++) keys[i] = jinja_seq_sort_keys(r, out.list->v[i], attribute, sensitive);
    jinja_seq_sort_by(r, out.list, keys, reverse, true);
    return out;
}

static st_jval jinja_seq_pairs(st_jrun *r, st_jval v)
{
    st_jval out = st_j_list(r, ST_J_LIST, v.dict->n);
    for (size_t i = 0; i < v.dict->n; i++) st_j_push(r, out.list, st_j_pair(r, v.dict->v[i].key, v.dict->v[i].val));
    return out;
}

static void jinja_seq_need_dict(st_jrun *r, st_jval v, const char *what)
{
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind != ST_J_DICT) ST_J_FAIL(r, "%s needs a dict, not %s", what, st_j_kind_name(v));
}

static st_jval jinja_seq_dictsort(st_jrun *r, st_jval v, st_jargs *a)
{
    jinja_seq_need_dict(r, v, "dictsort");
    bool sensitive = st_j_true(r, option(r, a, 0, "case_sensitive", st_j_none()));
    st_jstr by = st_j_need_str(r, option(r, a, 1, "by", st_j_string(st_j_lit("key"))), "dictsort");
    bool reverse = st_j_true(r, option(r, a, 2, "reverse", st_j_none()));
    st_j_args_done(r, a, 3, "case_sensitive by reverse", "dictsort");
    if (!st_j_same(by, "key") && !st_j_same(by, "value")) ST_J_FAIL(r, "dictsort by key or value only");
    st_jval out = jinja_seq_pairs(r, v);
    st_j_sort(r, out.list, st_j_int(st_j_same(by, "value")), reverse, sensitive);
    return out;
}

static st_jval jinja_seq_items(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "items");
    if (v.kind == ST_J_UNDEF) return st_j_iter(r, (st_jlist){0});
    jinja_seq_need_dict(r, v, "items");
    return st_j_iter(r, *jinja_seq_pairs(r, v).list);
}

static st_jval jinja_seq_list(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "list");
    return jinja_seq_as_list(r, st_j_iterate(r, v));
}

static st_jval jinja_seq_first(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "first");
    st_jlist l = st_j_iterate(r, v);
    if (v.kind == ST_J_ITER && l.n) v.iter->at -= l.n - 1;
    return l.n ? l.v[0] : st_j_undef(st_j_lit("the first item of nothing"));
}

static st_jval jinja_seq_last(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "last");
    if (v.kind == ST_J_ITER) ST_J_FAIL(r, "last of an iterator");
    st_jlist l = st_j_iterate(r, v);
    return l.n ? l.v[l.n - 1] : st_j_undef(st_j_lit("the last item of nothing"));
}

static st_jval jinja_seq_reverse(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "reverse");
    if (v.kind == ST_J_STR) return st_j_slice(r, v, st_j_none(), st_j_none(), st_j_int(-1));
    st_jval l = jinja_seq_as_list(r, st_j_iterate(r, v));
    l = st_j_slice(r, l, st_j_none(), st_j_none(), st_j_int(-1));
    return v.kind == ST_J_ITER ? l : st_j_iter(r, *l.list);
}

static st_jval jinja_seq_join(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval sep = option(r, a, 0, "d", st_j_string(st_j_lit(""))),
            attribute = option(r, a, 1, "attribute", st_j_none());
    st_j_args_done(r, a, 2, "d attribute", "join");
    st_jlist l = st_j_iterate(r, v), out = {0};
    for (size_t i = 0; i < l.n; i++)
        st_j_push(r, &out, attribute.kind == ST_J_NONE ? l.v[i] : st_j_path(r, l.v[i], attribute, NULL));
    return st_j_string(st_j_join(r, st_j_str(r, sep), &out));
}

static st_jval jinja_seq_unique(st_jrun *r, st_jval v, st_jargs *a)
{
    bool sensitive = st_j_true(r, option(r, a, 0, "case_sensitive", st_j_none()));
    st_jval attribute = option(r, a, 1, "attribute", st_j_none()), seen = st_j_dict(r, ST_J_DICT);
    st_j_args_done(r, a, 2, "case_sensitive attribute", "unique");
    st_jlist l = st_j_iterate(r, v), out = {0};
    for (size_t i = 0; i < l.n; i++) {
        st_jval key = jinja_seq_sort_key(r, l.v[i], attribute, sensitive);
        if (st_j_find(r, seen.dict, key)) continue;
        st_j_put(r, seen.dict, key, st_j_none());
        st_j_push(r, &out, l.v[i]);
    }
    return st_j_iter(r, out);
}

/* The first argument, a name, and the rest as the arguments of what it names. */
static st_jstr jinja_seq_shift(st_jrun *r, st_jargs *a, const char *what)
{
    if (!a->pos.n) ST_J_FAIL(r, "%s needs the name of a filter or test", what);
    st_jstr name = st_j_need_str(r, a->pos.v[0], what);
    a->pos.v++;
    a->pos.n--;
    a->pos.cap = a->pos.n;
    return name;
}

/* What is false is empty for map, select and the like: none, 0, '' and undefined, too. */
static st_jlist jinja_seq_items_of(st_jrun *r, st_jval v)
{
    return st_j_true(r, v) ? st_j_iterate(r, v) : (st_jlist){0};
}

static st_jval jinja_seq_map(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jlist l = jinja_seq_items_of(r, v), out = {0};
    st_jval *attribute = a->pos.n ? NULL : st_j_find_str(r, &a->kw, "attribute");
    st_jval *other = attribute ? st_j_find_str(r, &a->kw, "default") : NULL;
    if (!st_j_true(r, v)) return st_j_iter(r, out); /* whatever the arguments are */
    if (other && other->kind == ST_J_NONE) other = NULL;
    st_jstr name = attribute ? (st_jstr){0} : jinja_seq_shift(r, a, "map");
    if (attribute) st_j_args_done(r, a, 0, "attribute default", "map");
    st_j_enter(r);
    for (size_t i = 0; i < l.n; i++) {
        st_jval item;
        if (attribute) {
            item = attribute->kind == ST_J_NONE ? l.v[i] : st_j_path(r, l.v[i], *attribute, other);
        } else {
            st_jargs args = *a; /* filters may shift them */
            item = st_j_filter(r, name, l.v[i], &args);
        }
        st_j_push(r, &out, item);
    }
    st_j_leave(r);
    return st_j_iter(r, out);
}

/* select and reject, also by attribute. Without a test an item is asked whether it is true. */
static st_jval jinja_seq_choose(st_jrun *r, st_jval v, st_jargs *a, bool by_attribute, bool wanted)
{
    st_jlist l = jinja_seq_items_of(r, v), out = {0};
    st_jval attribute = st_j_none();
    if (!st_j_true(r, v)) return st_j_iter(r, out);
    if (by_attribute) {
        if (!a->pos.n) ST_J_FAIL(r, "an attribute is missing");
        attribute = a->pos.v[0];
        a->pos.v++;
        a->pos.cap = --a->pos.n;
    }
    bool tested = a->pos.n != 0;
    st_jstr name = tested ? jinja_seq_shift(r, a, "select") : (st_jstr){0};
    for (size_t i = 0; i < l.n; i++) {
        bool whole = !by_attribute || attribute.kind == ST_J_NONE;
        st_jval item = whole ? l.v[i] : st_j_path(r, l.v[i], attribute, NULL);
        st_j_step(r, 1);
        if ((tested ? st_j_test(r, name, item, a) : st_j_true(r, item)) == wanted) st_j_push(r, &out, l.v[i]);
    }
    return st_j_iter(r, out);
}

static st_jval jinja_seq_select(st_jrun *r, st_jval v, st_jargs *a)
{
    return jinja_seq_choose(r, v, a, false, true);
}

static st_jval jinja_seq_reject(st_jrun *r, st_jval v, st_jargs *a)
{
    return jinja_seq_choose(r, v, a, false, false);
}

static st_jval jinja_seq_selectattr(st_jrun *r, st_jval v, st_jargs *a)
{
    return jinja_seq_choose(r, v, a, true, true);
}

static st_jval jinja_seq_rejectattr(st_jrun *r, st_jval v, st_jargs *a)
{
    return jinja_seq_choose(r, v, a, true, false);
}

static st_jval jinja_seq_extreme(st_jrun *r, st_jval v, st_jargs *a, int sign, const char *what)
{
    bool sensitive = st_j_true(r, option(r, a, 0, "case_sensitive", st_j_none())), ordered;
    st_jval attribute = option(r, a, 1, "attribute", st_j_none()), best = st_j_none(), out;
    st_j_args_done(r, a, 2, "case_sensitive attribute", what);
    st_jlist l = st_j_iterate(r, v);
    out = st_j_undef(st_j_lit("the extreme of nothing"));
    for (size_t i = 0; i < l.n; i++) {
        st_jval key = jinja_seq_sort_key(r, l.v[i], attribute, sensitive);
        if (i && st_j_order(r, key, best, &ordered) * sign <= 0) continue;
        best = key;
        out = l.v[i];
    }
    return out;
}

static st_jval jinja_seq_min(st_jrun *r, st_jval v, st_jargs *a)
{
    return jinja_seq_extreme(r, v, a, -1, "min");
}

static st_jval jinja_seq_max(st_jrun *r, st_jval v, st_jargs *a)
{
    return jinja_seq_extreme(r, v, a, 1, "max");
}

static st_jval jinja_seq_sum(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval attribute = option(r, a, 0, "attribute", st_j_none()), out = option(r, a, 1, "start", st_j_int(0));
    st_j_args_done(r, a, 2, "attribute start", "sum");
    if (out.kind == ST_J_STR) ST_J_FAIL(r, "sum of strings");
    st_jlist l = st_j_iterate(r, v);
    for (size_t i = 0; i < l.n; i++)
        out =
            st_j_binary(r, ST_N_ADD, out, attribute.kind == ST_J_NONE ? l.v[i] : st_j_path(r, l.v[i], attribute, NULL));
    return out;
}

static st_jval jinja_seq_batch(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval count = st_j_none(), fill = option(r, a, 1, "fill_with", st_j_none()), row = st_j_list(r, ST_J_LIST, 0);
    if (!st_j_arg(r, a, 0, "linecount", &count)) ST_J_FAIL(r, "batch needs a count");
    st_j_args_done(r, a, 2, "linecount fill_with", "batch");
    int64_t n = st_j_clamp_int(r, count, "batch");
    st_jlist l = st_j_iterate(r, v), out = {0};
    for (size_t i = 0; i < l.n; i++) {
        if ((int64_t)row.list->n == n) {
            st_j_push(r, &out, row);
            row = st_j_list(r, ST_J_LIST, 0);
        }
        st_j_push(r, row.list, l.v[i]);
    }
    while (row.list->n && fill.kind != ST_J_NONE && (int64_t)row.list->n < n) st_j_push(r, row.list, fill);
    if (row.list->n) st_j_push(r, &out, row);
    return st_j_iter(r, out);
}

static st_jval jinja_seq_slice(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval count = st_j_none(), fill = option(r, a, 1, "fill_with", st_j_none());
    if (!st_j_arg(r, a, 0, "slices", &count)) ST_J_FAIL(r, "slice needs a count");
    st_j_args_done(r, a, 2, "slices fill_with", "slice");
    int64_t n = st_j_clamp_int(r, count, "slice");
    st_jlist l = st_j_iterate(r, v), out = {0};
    if (!n) ST_J_FAIL(r, "slice into 0");
    size_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        bool more = i < (int64_t)(l.n % (uint64_t)n);
        size_t take = (size_t)(l.n / (uint64_t)n) + more;
        st_jval row = st_j_list(r, ST_J_LIST, take);
        for (size_t k = 0; k < take; k++) st_j_push(r, row.list, l.v[at++]);
        if (!more && fill.kind != ST_J_NONE) st_j_push(r, row.list, fill);
        st_j_push(r, &out, row);
    }
    return st_j_iter(r, out);
}

static st_jval jinja_seq_groupby(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval attribute = st_j_none(), other = option(r, a, 1, "default", st_j_none());
    bool sensitive = st_j_true(r, option(r, a, 2, "case_sensitive", st_j_none()));
    if (!st_j_arg(r, a, 0, "attribute", &attribute)) ST_J_FAIL(r, "groupby needs an attribute");
    st_j_args_done(r, a, 3, "attribute default case_sensitive", "groupby");
    st_jval sorted = jinja_seq_as_list(r, st_j_iterate(r, v)), out = st_j_list(r, ST_J_LIST, 0), last = st_j_none();
    st_jlist *group = NULL;
    st_jval *keys = st_j_alloc(r, sorted.list->n, sizeof *keys);
    const st_jval *otherwise = other.kind == ST_J_NONE ? NULL : &other;
    for (int pass = 0; pass < 2; pass++) { /* once to sort, and again in that order */
        for (size_t i = 0; i < sorted.list->n; i++) {
            st_jval item = sorted.list->v[i];
            st_jval key = attribute.kind == ST_J_NONE ? item : st_j_path(r, item, attribute, otherwise);
            keys[i] = sensitive ? key : st_j_fold_case(r, key);
            if (!pass) continue;
            if (!group || !st_j_equal(r, keys[i], last)) {
                st_jval values = st_j_list(r, ST_J_LIST, 0), pair = st_j_pair(r, key, values);
                pair.list->group = true;
                group = values.list;
                st_j_push(r, out.list, pair);
                last = keys[i];
            }
            st_j_push(r, group, item);
        }
        if (!pass) jinja_seq_sort_by(r, sorted.list, keys, false, false);
    }
    return out;
}

const st_jfilter st_j_filters_seq[] = {{"sort", jinja_seq_sort},
                                       {"dictsort", jinja_seq_dictsort},
                                       {"items", jinja_seq_items},
                                       {"list", jinja_seq_list},
                                       {"first", jinja_seq_first},
                                       {"last", jinja_seq_last},
                                       {"reverse", jinja_seq_reverse},
                                       {"join", jinja_seq_join},
                                       {"unique", jinja_seq_unique},
                                       {"map", jinja_seq_map},
                                       {"select", jinja_seq_select},
                                       {"reject", jinja_seq_reject},
                                       {"min", jinja_seq_min},
                                       {"max", jinja_seq_max},
                                       {"selectattr", jinja_seq_selectattr},
                                       {"rejectattr", jinja_seq_rejectattr},
                                       {"sum", jinja_seq_sum},
                                       {"batch", jinja_seq_batch},
                                       {"slice", jinja_seq_slice},
                                       {"groupby", jinja_seq_groupby},
                                       {NULL, NULL}};
