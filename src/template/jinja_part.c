/* jinja_part.c: attributes, items and slices of values, as Jinja finds them in Python's. See jinja.h. */
#include "template/jinja_program.h"

/* What HuggingFace's sandbox and Jinja find by name in values other than dicts. */
static bool part_named(st_jrun *r, st_jval v, st_jstr name, st_jval *out)
{
    bool group = st_j_is_list(v) && v.list->group;
    if (group && st_j_same(name, "grouper")) return *out = v.list->v[0], true;
    if (group && st_j_same(name, "list")) return *out = v.list->v[1], true;
    if (v.kind == ST_J_RANGE && st_j_same(name, "start")) return *out = st_j_int(v.range->from), true;
    if (v.kind == ST_J_RANGE && st_j_same(name, "stop")) return *out = st_j_int(v.range->to), true;
    if (v.kind == ST_J_RANGE && st_j_same(name, "step")) return *out = st_j_int(v.range->step), true;
    if (v.kind == ST_J_CYCLER && st_j_same(name, "current")) return *out = v.cycler->items.v[v.cycler->at], true;
    if (v.kind == ST_J_MACRO && st_j_same(name, "name")) return *out = st_j_string(v.macro->node->name), true;
    return st_j_method(r, v, name, out);
}

st_jval st_j_attr(st_jrun *r, st_jval v, st_jstr name)
{
    st_jval out, *found = NULL;
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_LOOP) return st_j_loop_attr(r, v, name);
    if (v.kind == ST_J_SPACE) {
        found = st_j_find(r, v.dict, st_j_string(name));
    } else {
        /* Python looks for attributes first: d.items is the method even if d has that key. */
        if (part_named(r, v, name, &out)) return out;
        if (v.kind == ST_J_DICT) found = st_j_find(r, v.dict, st_j_string(name));
    }
    return found ? *found : st_j_undef(name);
}

static st_jval part_item_at(st_jrun *r, st_jval v, st_jval key, st_jstr name)
{
    if (key.kind == ST_J_BIG) return st_j_undef(name);
    int64_t n = st_j_length(r, v), i = st_j_need_int(r, key, "an index");
    if (i < 0) i += n;
    if (i < 0 || i >= n) return st_j_undef(name);
    if (v.kind == ST_J_RANGE) return st_j_range_item(v.range, i);
    if (v.kind != ST_J_STR) return v.list->v[i];
    size_t from = st_j_cp_offset(v.str, (size_t)i);
    return st_j_string(st_j_sub(v.str, from, from + st_j_cp_offset(st_j_sub(v.str, from, v.str.n), 1)));
}

static bool part_hashable(st_jval v)
{
    return v.kind != ST_J_LIST && v.kind != ST_J_DICT && v.kind != ST_J_VIEW;
}

st_jval st_j_item(st_jrun *r, st_jval v, st_jval key)
{
    st_jval out, *found;
    st_jstr name = key.kind == ST_J_STR ? key.str : st_j_lit("item");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_DICT) {
        found = part_hashable(key) ? st_j_find(r, v.dict, key) : NULL;
        if (found) return *found;
    } else if (st_j_is_int(key) && (st_j_is_list(v) || v.kind == ST_J_STR || v.kind == ST_J_RANGE)) {
        return part_item_at(r, v, key, name);
    } else if (v.kind == ST_J_SPACE || v.kind == ST_J_LOOP) {
        return key.kind == ST_J_STR ? st_j_attr(r, v, key.str) : st_j_undef(name);
    }
    if (key.kind == ST_J_STR && part_named(r, v, key.str, &out)) return out;
    return st_j_undef(name);
}

/* An end of a slice as Python clamps it. */
static int64_t part_slice_end(st_jrun *r, st_jval v, int64_t n, int64_t step, int64_t none)
{
    if (v.kind == ST_J_NONE) return none;
    int64_t i = st_j_clamp_int(r, v, "a slice");
    if (i < 0) i = i < -n ? -1 : i + n;
    if (step > 0) return i < 0 ? 0 : i > n ? n : i;
    return i < 0 ? -1 : i >= n ? n - 1 : i;
}

/* Items i, i + by, ... before end, a range again. */
static st_jval part_slice_range(st_jrun *r, const st_jrange *g, int64_t i, int64_t end, int64_t by)
{
    st_jrange *out = st_j_alloc(r, 1, sizeof *out);
    int64_t far = by > 0 ? end - i : i - end, step = by > 0 ? by : by == INT64_MIN ? INT64_MAX : -by;
    *out = (st_jrange){st_j_range_item(g, i).i, st_j_range_item(g, end).i, 0, far > 0 ? (far - 1) / step + 1 : 0};
    if (__builtin_mul_overflow(g->step, by, &out->step)) ST_J_FAIL(r, "a range with a step beyond 64 bits");
    return (st_jval){.kind = ST_J_RANGE, .range = out};
}

st_jval st_j_slice(st_jrun *r, st_jval v, st_jval start, st_jval stop, st_jval step)
{
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind != ST_J_STR && !st_j_is_list(v) && v.kind != ST_J_RANGE)
        ST_J_FAIL(r, "%s cannot be sliced", st_j_kind_name(v));
    int64_t n = st_j_length(r, v), by = step.kind == ST_J_NONE ? 1 : st_j_clamp_int(r, step, "a slice");
    if (!by) ST_J_FAIL(r, "the step of a slice is 0");
    int64_t i = part_slice_end(r, start, n, by, by > 0 ? 0 : n - 1),
            end = part_slice_end(r, stop, n, by, by > 0 ? n : -1);
    if (v.kind == ST_J_STR && by == 1) {
        size_t from = st_j_cp_offset(v.str, (size_t)i);
        size_t to = end > i ? from + st_j_cp_offset(st_j_sub(v.str, from, v.str.n), (size_t)(end - i)) : from;
        return st_j_string(st_j_sub(v.str, from, to));
    }
    if (v.kind == ST_J_RANGE) return part_slice_range(r, v.range, i, end, by);
    st_jlist items = st_j_iterate(r, v);
    st_jval out = st_j_list(r, v.kind == ST_J_STR ? ST_J_LIST : v.kind, 0);
    while (by > 0 ? i < end : i > end) {
        st_j_push(r, out.list, items.v[i]);
        if (by > n || by < -n) break; /* and i + by cannot wrap */
        i += by;
    }
    if (v.kind != ST_J_STR) return out;
    st_jstr s = st_j_join(r, st_j_lit(""), out.list);
    s.markup = v.str.markup;
    return st_j_string(s);
}

/* Jinja's make_attrgetter: "a.0.b"; what is missing is `other` if that is given, also in the middle. */
st_jval st_j_path(st_jrun *r, st_jval v, st_jval path, const st_jval *other)
{
    if (path.kind != ST_J_STR) {
        v = st_j_item(r, v, path);
        return v.kind == ST_J_UNDEF && other ? *other : v;
    }
    st_jlist *parts = st_j_split(r, path.str, st_j_string(st_j_lit(".")), -1, false).list;
    for (size_t i = 0; i < parts->n; i++) {
        bool ok = false;
        st_jval part = parts->v[i], index;
        if (part.str.n && strspn(part.str.p, "0123456789") >= part.str.n) {
            index = st_j_int_parse(r, part.str.p, part.str.n, 10, &ok);
            if (ok) part = index;
        }
        v = st_j_item(r, v, part);
        if (v.kind == ST_J_UNDEF && other) v = *other;
    }
    return v;
}
