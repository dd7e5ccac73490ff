/* jinja_method.c: methods of strings, dicts and lists. Those that would change a value are not there: HuggingFace's
 * sandbox refuses them, too. See jinja.h. */
#include "token/jinja.h"
#include "token/unicode_tables.h"

enum {
    STRIP,
    LSTRIP,
    RSTRIP,
    SPLIT,
    RSPLIT,
    SPLITLINES,
    STARTSWITH,
    ENDSWITH,
    UPPER,
    LOWER,
    TITLE,
    CAPITALIZE,
    REPLACE,
    FIND,
    RFIND,
    INDEX,
    COUNT,
    JOIN,
    ISDIGIT,
    ISALPHA,
    ISALNUM,
    ISSPACE,
    ISUPPER,
    ISLOWER,
    REMOVEPREFIX,
    REMOVESUFFIX,
    PARTITION,
    RPARTITION,
    GET,
    ITEMS,
    KEYS,
    VALUES,
    COPY,
    LIST_INDEX,
    LIST_COUNT,
    REFUSED
};

static const struct method {
    const char *name;
    int id;
    uint8_t min, max; /* arguments */
} of_str[] = {{"strip", STRIP, 0, 1},
              {"lstrip", LSTRIP, 0, 1},
              {"rstrip", RSTRIP, 0, 1},
              {"split", SPLIT, 0, 2},
              {"rsplit", RSPLIT, 0, 2},
              {"splitlines", SPLITLINES, 0, 1},
              {"startswith", STARTSWITH, 1, 1},
              {"endswith", ENDSWITH, 1, 1},
              {"upper", UPPER, 0, 0},
              {"lower", LOWER, 0, 0},
              {"title", TITLE, 0, 0},
              {"capitalize", CAPITALIZE, 0, 0},
              {"replace", REPLACE, 2, 3},
              {"find", FIND, 1, 1},
              {"rfind", RFIND, 1, 1},
              {"index", INDEX, 1, 1},
              {"count", COUNT, 1, 1},
              {"join", JOIN, 1, 1},
              {"isdigit", ISDIGIT, 0, 0},
              {"isalpha", ISALPHA, 0, 0},
              {"isalnum", ISALNUM, 0, 0},
              {"isspace", ISSPACE, 0, 0},
              {"isupper", ISUPPER, 0, 0},
              {"islower", ISLOWER, 0, 0},
              {"removeprefix", REMOVEPREFIX, 1, 1},
              {"removesuffix", REMOVESUFFIX, 1, 1},
              {"partition", PARTITION, 1, 1},
              {"rpartition", RPARTITION, 1, 1},
              {"format", REFUSED, 0, 0},
              {"encode", REFUSED, 0, 0}},
  of_dict[] = {{"get", GET, 1, 2},         {"items", ITEMS, 0, 0},
               {"keys", KEYS, 0, 0},       {"values", VALUES, 0, 0},
               {"copy", COPY, 0, 0},       {"pop", REFUSED, 0, 0},
               {"popitem", REFUSED, 0, 0}, {"update", REFUSED, 0, 0},
               {"clear", REFUSED, 0, 0},   {"setdefault", REFUSED, 0, 0},
               {"fromkeys", REFUSED, 0, 0}},
  of_list[] = {{"index", LIST_INDEX, 1, 1}, {"count", LIST_COUNT, 1, 1}, {"copy", COPY, 0, 0},
               {"append", REFUSED, 0, 0},   {"extend", REFUSED, 0, 0},   {"insert", REFUSED, 0, 0},
               {"pop", REFUSED, 0, 0},      {"remove", REFUSED, 0, 0},   {"clear", REFUSED, 0, 0},
               {"sort", REFUSED, 0, 0},     {"reverse", REFUSED, 0, 0}};

#define N(a) (sizeof(a) / sizeof(a)[0])

static const struct method *find(st_jval v, st_jstr name)
{
    const struct method *m = v.kind == ST_J_STR ? of_str : v.kind == ST_J_DICT ? of_dict : of_list;
    size_t n = v.kind == ST_J_STR ? N(of_str) : v.kind == ST_J_DICT ? N(of_dict) : st_j_is_list(v) ? N(of_list) : 0;
    for (size_t i = 0; i < n; i++)
        if (st_j_same(name, m[i].name)) return &m[i];
    return NULL;
}

st_jval st_j_make_method(st_jrun *r, st_jval self, int id, st_jstr name)
{
    st_jmethod *m = st_j_alloc(r, 1, sizeof *m);
    *m = (st_jmethod){self, id, name};
    return (st_jval){.kind = ST_J_METHOD, .method = m};
}

bool st_j_method(st_jrun *r, st_jval v, st_jstr name, st_jval *out)
{
    const struct method *m = find(v, name);
    if (!m) return false;
    *out = m->id == REFUSED ? st_j_undef(name) : st_j_make_method(r, v, m->id, name);
    return true;
}

/* ---- strings ---- */

static bool starts(st_jstr s, st_jstr with, bool at_end)
{
    if (with.n > s.n) return false;
    return st_j_str_equal(at_end ? st_j_sub(s, s.n - with.n, s.n) : st_j_sub(s, 0, with.n), with);
}

/* Also with a tuple of choices. */
static bool starts_with(st_jrun *r, st_jstr s, st_jval with, bool at_end)
{
    if (with.kind != ST_J_TUPLE) return starts(s, st_j_need_str(r, with, "startswith"), at_end);
    for (size_t i = 0; i < with.list->n; i++)
        if (starts(s, st_j_need_str(r, with.list->v[i], "startswith"), at_end)) return true;
    return false;
}

/* Python counts code points. */
static st_jval found(st_jrun *r, st_jstr s, size_t at, bool must)
{
    if (at == SIZE_MAX && must) ST_J_FAIL(r, "index: the string is not there");
    return st_j_int(at == SIZE_MAX ? -1 : (int64_t)st_j_cps(r, st_j_sub(s, 0, at)));
}

static int64_t count(st_jrun *r, st_jstr s, st_jstr what)
{
    int64_t n = 0;
    if (!what.n) return (int64_t)st_j_cps(r, s) + 1;
    for (size_t at = 0; (at = st_j_str_find(r, s, at, what)) != SIZE_MAX; at += what.n) {
        st_j_step(r, 1);
        n++;
    }
    return n;
}

static st_jval partition(st_jrun *r, st_jstr s, st_jstr sep, bool from_right)
{
    st_jval out = st_j_list(r, ST_J_TUPLE, 3);
    if (!sep.n) ST_J_FAIL(r, "partition with an empty separator");
    size_t at = from_right ? st_j_str_rfind(r, s, sep) : st_j_str_find(r, s, 0, sep);
    size_t from = at != SIZE_MAX ? at : from_right ? 0 : s.n, to = at != SIZE_MAX ? at + sep.n : from;
    st_j_push(r, out.list, st_j_string(st_j_sub(s, 0, from)));
    st_j_push(r, out.list, st_j_string(st_j_sub(s, from, to)));
    st_j_push(r, out.list, st_j_string(st_j_sub(s, to, s.n)));
    return out;
}

static st_jval join(st_jrun *r, st_jstr sep, st_jval v)
{
    st_jlist l = st_j_iterate(r, v);
    for (size_t i = 0; i < l.n; i++) st_j_need_str(r, l.v[i], "join");
    return st_j_string(st_j_join(r, sep, &l));
}

static st_jval call_str(st_jrun *r, int id, st_jstr s, const st_jval *a)
{
    switch (id) {
    case STRIP:
    case LSTRIP:
    case RSTRIP:
        if (a[0].kind != ST_J_NONE) st_j_need_str(r, a[0], "strip");
        return st_j_string(st_j_strip(r, s, a[0], id != RSTRIP, id != LSTRIP));
    case SPLIT:
    case RSPLIT:
        return st_j_split(r, s, a[0], a[1].kind == ST_J_NONE ? -1 : st_j_need_int(r, a[1], "split"), id == RSPLIT);
    case SPLITLINES: return st_j_split_lines(r, s, st_j_true(r, a[0]));
    case STARTSWITH:
    case ENDSWITH: return st_j_bool(starts_with(r, s, a[0], id == ENDSWITH));
    case UPPER: return st_j_string(st_j_case(r, s, ST_CASE_UPPER));
    case LOWER: return st_j_string(st_j_case(r, s, ST_CASE_LOWER));
    case TITLE: return st_j_string(st_j_case(r, s, ST_CASE_TITLE));
    case CAPITALIZE: return st_j_string(st_j_case(r, s, ST_CASE_CAPITALIZE));
    case REPLACE:
        return st_j_string(st_j_replace(r, s, st_j_need_str(r, a[0], "replace"), st_j_need_str(r, a[1], "replace"),
                                        a[2].kind == ST_J_NONE ? -1 : st_j_need_int(r, a[2], "replace")));
    case FIND:
    case INDEX: return found(r, s, st_j_str_find(r, s, 0, st_j_need_str(r, a[0], "find")), id == INDEX);
    case RFIND: return found(r, s, st_j_str_rfind(r, s, st_j_need_str(r, a[0], "rfind")), false);
    case COUNT: return st_j_int(count(r, s, st_j_need_str(r, a[0], "count")));
    case JOIN: return join(r, s, a[0]);
    case ISDIGIT: return st_j_bool(st_j_is_class(s, ST_UC_DIGIT));
    case ISALPHA: return st_j_bool(st_j_is_class(s, ST_UC_L));
    case ISALNUM: return st_j_bool(st_j_is_class(s, ST_UC_L | ST_UC_NUMERIC));
    case ISSPACE: return st_j_bool(st_j_is_class(s, ST_UC_SPACE));
    case ISUPPER:
    case ISLOWER: return st_j_bool(st_j_is_case(r, s, id == ISUPPER));
    case REMOVEPREFIX:
    case REMOVESUFFIX: {
        st_jstr part = st_j_need_str(r, a[0], "removeprefix");
        if (!starts(s, part, id == REMOVESUFFIX)) return st_j_string(s);
        return st_j_string(id == REMOVESUFFIX ? st_j_sub(s, 0, s.n - part.n) : st_j_sub(s, part.n, s.n));
    }
    default: return partition(r, s, st_j_need_str(r, a[0], "partition"), id == RPARTITION);
    }
}

/* ---- dicts and lists ---- */

static st_jval call_dict(st_jrun *r, int id, const st_jdict *d, const st_jval *a)
{
    st_jval out, *v;
    if (id == GET) {
        v = st_j_find(r, d, a[0]);
        return v ? *v : a[1];
    }
    out = id == COPY ? st_j_dict(r, ST_J_DICT) : st_j_list(r, ST_J_LIST, d->n);
    for (size_t i = 0; i < d->n; i++) {
        const st_jpair *p = &d->v[i];
        if (id == COPY) {
            st_j_put(r, out.dict, p->key, p->val);
            continue;
        }
        st_jval item = id == KEYS ? p->key : p->val;
        if (id == ITEMS) {
            item = st_j_list(r, ST_J_TUPLE, 2);
            st_j_push(r, item.list, p->key);
            st_j_push(r, item.list, p->val);
        }
        st_j_push(r, out.list, item);
    }
    return out;
}

static st_jval call_list(st_jrun *r, int id, st_jval self, const st_jval *a)
{
    int64_t n = 0;
    if (id == COPY) return st_j_slice(r, self, st_j_none(), st_j_none(), st_j_none());
    for (size_t i = 0; i < self.list->n; i++) {
        if (!st_j_equal(r, self.list->v[i], a[0])) continue;
        if (id == LIST_INDEX) return st_j_int((int64_t)i);
        n++;
    }
    st_j_step(r, self.list->n);
    if (id == LIST_INDEX) ST_J_FAIL(r, "index: the value is not there");
    return st_j_int(n);
}

static st_jval call_loop(st_jrun *r, int id, st_jloop *l, st_jargs *args)
{
    st_jval seen = st_j_list(r, ST_J_LIST, args->pos.n);
    if (id == ST_METHOD_CYCLE) {
        if (!args->pos.n) ST_J_FAIL(r, "loop.cycle needs arguments");
        return args->pos.v[l->at % args->pos.n];
    }
    for (size_t i = 0; i < args->pos.n; i++) st_j_push(r, seen.list, args->pos.v[i]);
    bool changed = l->changed.kind == ST_J_NONE || !st_j_equal(r, l->changed, seen);
    l->changed = seen;
    return st_j_bool(changed);
}

st_jval st_j_call_method(st_jrun *r, const st_jmethod *m, st_jargs *args)
{
    static const char *const keywords[] = {"sep", "maxsplit", "keepends", "count"};
    st_jval a[3] = {st_j_none(), st_j_none(), st_j_none()};
    int name_len = (int)(m->name.n < 40 ? m->name.n : 40);
    if (m->self.kind == ST_J_LOOP) return call_loop(r, m->id, m->self.loop, args);
    const struct method *info = find(m->self, m->name);
    if (args->pos.n > info->max || args->pos.n + args->kw.n < info->min)
        ST_J_FAIL(r, "%.*s takes %u to %u arguments", name_len, m->name.p, info->min, info->max);
    for (size_t i = 0; i < args->pos.n; i++) a[i] = args->pos.v[i];
    for (size_t i = 0; i < args->kw.n; i++) { /* the few that Python takes by name */
        st_jstr k = args->kw.v[i].key.str;
        bool split = m->id == SPLIT || m->id == RSPLIT;
        size_t at = split && st_j_same(k, keywords[0]) ? 0 : split && st_j_same(k, keywords[1]) ? 1 : 3;
        if (m->id == SPLITLINES && st_j_same(k, keywords[2])) at = 0;
        if (m->id == REPLACE && st_j_same(k, keywords[3])) at = 2;
        if (at == 3)
            ST_J_FAIL(r, "%.*s takes no argument '%.*s'", name_len, m->name.p, (int)(k.n < 40 ? k.n : 40), k.p);
        a[at] = args->kw.v[i].val;
    }
    if (m->self.kind == ST_J_STR) return call_str(r, m->id, m->self.str, a);
    if (m->self.kind == ST_J_DICT) return call_dict(r, m->id, m->self.dict, a);
    return call_list(r, m->id, m->self, a);
}
