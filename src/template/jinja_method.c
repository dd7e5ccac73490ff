/* jinja_method.c: methods of strings, dicts and lists. Those that would change a value are not there: HuggingFace's
 * sandbox refuses them, too. See jinja.h. */
#include "base/utf8.h"
#include "template/jinja.h"

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
    SWAPCASE,
    CASEFOLD,
    REPLACE,
    FIND,
    RFIND,
    INDEX,
    RINDEX,
    COUNT,
    JOIN,
    ISDIGIT,
    ISDECIMAL,
    ISNUMERIC,
    ISALPHA,
    ISALNUM,
    ISSPACE,
    ISUPPER,
    ISLOWER,
    ISTITLE,
    ISASCII,
    ISPRINTABLE,
    ISIDENTIFIER,
    REMOVEPREFIX,
    REMOVESUFFIX,
    PARTITION,
    RPARTITION,
    ZFILL,
    LJUST,
    RJUST,
    CENTER,
    EXPANDTABS,
    FORMAT,
    UNSUPPORTED,
    GET,
    ITEMS,
    KEYS,
    VALUES,
    COPY,
    LIST_INDEX,
    LIST_COUNT,
    REFUSED
};

/* REFUSED: would change a value, which HuggingFace's sandbox makes undefined. UNSUPPORTED: says so when called. */
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
              {"startswith", STARTSWITH, 1, 3},
              {"endswith", ENDSWITH, 1, 3},
              {"upper", UPPER, 0, 0},
              {"lower", LOWER, 0, 0},
              {"title", TITLE, 0, 0},
              {"capitalize", CAPITALIZE, 0, 0},
              {"swapcase", SWAPCASE, 0, 0},
              {"casefold", CASEFOLD, 0, 0},
              {"replace", REPLACE, 2, 3},
              {"find", FIND, 1, 3},
              {"rfind", RFIND, 1, 3},
              {"index", INDEX, 1, 3},
              {"rindex", RINDEX, 1, 3},
              {"count", COUNT, 1, 3},
              {"join", JOIN, 1, 1},
              {"isdigit", ISDIGIT, 0, 0},
              {"isdecimal", ISDECIMAL, 0, 0},
              {"isnumeric", ISNUMERIC, 0, 0},
              {"isalpha", ISALPHA, 0, 0},
              {"isalnum", ISALNUM, 0, 0},
              {"isspace", ISSPACE, 0, 0},
              {"isupper", ISUPPER, 0, 0},
              {"islower", ISLOWER, 0, 0},
              {"istitle", ISTITLE, 0, 0},
              {"isascii", ISASCII, 0, 0},
              {"isprintable", ISPRINTABLE, 0, 0},
              {"isidentifier", ISIDENTIFIER, 0, 0},
              {"removeprefix", REMOVEPREFIX, 1, 1},
              {"removesuffix", REMOVESUFFIX, 1, 1},
              {"partition", PARTITION, 1, 1},
              {"rpartition", RPARTITION, 1, 1},
              {"zfill", ZFILL, 1, 1},
              {"ljust", LJUST, 1, 2},
              {"rjust", RJUST, 1, 2},
              {"center", CENTER, 1, 2},
              {"expandtabs", EXPANDTABS, 0, 1},
              {"format", FORMAT, 0, 255},
              {"encode", UNSUPPORTED, 0, 255},
              {"format_map", UNSUPPORTED, 0, 255},
              {"translate", UNSUPPORTED, 0, 255},
              {"maketrans", UNSUPPORTED, 0, 255}},
  of_dict[] = {{"get", GET, 1, 2},
               {"items", ITEMS, 0, 0},
               {"keys", KEYS, 0, 0},
               {"values", VALUES, 0, 0},
               {"copy", COPY, 0, 0},
               {"pop", REFUSED, 0, 0},
               {"popitem", REFUSED, 0, 0},
               {"update", REFUSED, 0, 0},
               {"clear", REFUSED, 0, 0},
               {"setdefault", REFUSED, 0, 0},
               {"fromkeys", UNSUPPORTED, 0, 255}},
  of_list[] = {{"index", LIST_INDEX, 1, 3}, {"count", LIST_COUNT, 1, 1}, {"copy", COPY, 0, 0},
               {"append", REFUSED, 0, 0},   {"extend", REFUSED, 0, 0},   {"insert", REFUSED, 0, 0},
               {"pop", REFUSED, 0, 0},      {"remove", REFUSED, 0, 0},   {"clear", REFUSED, 0, 0},
               {"sort", REFUSED, 0, 0},     {"reverse", REFUSED, 0, 0}},
  of_tuple[] = {{"index", LIST_INDEX, 1, 3}, {"count", LIST_COUNT, 1, 1}},
  of_number[] = {{"bit_length", UNSUPPORTED, 0, 255},
                 {"is_integer", UNSUPPORTED, 0, 255},
                 {"as_integer_ratio", UNSUPPORTED, 0, 255},
                 {"conjugate", UNSUPPORTED, 0, 255},
                 {"to_bytes", UNSUPPORTED, 0, 255},
                 {"bit_count", UNSUPPORTED, 0, 255},
                 {"hex", UNSUPPORTED, 0, 255},
                 {"real", UNSUPPORTED, 0, 255},
                 {"imag", UNSUPPORTED, 0, 255},
                 {"numerator", UNSUPPORTED, 0, 255},
                 {"denominator", UNSUPPORTED, 0, 255},
                 {"from_bytes", UNSUPPORTED, 0, 255},
                 {"fromhex", UNSUPPORTED, 0, 255}},
  of_cycler[] = {{"next", ST_METHOD_NEXT, 0, 0}, {"reset", ST_METHOD_RESET, 0, 0}},
  of_range[] = {{"index", LIST_INDEX, 1, 1}, {"count", LIST_COUNT, 1, 1}};

#define N(a) (sizeof(a) / sizeof(a)[0])

static const struct method *method_find(st_jval v, st_jstr name)
{
    static const struct {
        const struct method *m;
        size_t n;
    } of[ST_J_N_KINDS] = {[ST_J_STR] = {of_str, N(of_str)},        [ST_J_DICT] = {of_dict, N(of_dict)},
                          [ST_J_LIST] = {of_list, N(of_list)},     [ST_J_TUPLE] = {of_tuple, N(of_tuple)},
                          [ST_J_RANGE] = {of_range, N(of_range)},  [ST_J_CYCLER] = {of_cycler, N(of_cycler)},
                          [ST_J_BOOL] = {of_number, N(of_number)}, [ST_J_INT] = {of_number, N(of_number)},
                          [ST_J_BIG] = {of_number, N(of_number)},  [ST_J_FLOAT] = {of_number, N(of_number)}};
    for (size_t i = 0; i < of[v.kind].n; i++)
        if (st_j_same(name, of[v.kind].m[i].name)) return &of[v.kind].m[i];
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
    const struct method *m = method_find(v, name);
    if (!m) return false;
    *out = m->id == REFUSED ? st_j_undef(name) : st_j_make_method(r, v, m->id, name);
    return true;
}

/* ---- strings ---- */

static bool method_starts(st_jstr s, st_jstr with, bool at_end)
{
    if (with.n > s.n) return false;
    return st_j_str_equal(at_end ? st_j_sub(s, s.n - with.n, s.n) : st_j_sub(s, 0, with.n), with);
}

/* A part of s as startswith(x, from, to) counts it; false: it begins behind the end, where not even '' is. */
static bool method_bounds(st_jrun *r, st_jstr s, const st_jval *a, size_t *from, size_t *to)
{
    int64_t n = (int64_t)st_j_cps(r, s), ends[2] = {0, n};
    for (int i = 0; i < 2; i++) {
        if (a[i].kind != ST_J_NONE) ends[i] = st_j_clamp_int(r, a[i], "a bound");
        if (ends[i] < 0) ends[i] = ends[i] < -n ? 0 : ends[i] + n;
        if (i && ends[i] > n) ends[i] = n;
    }
    if (ends[0] > n || ends[0] > ends[1]) return false;
    *from = st_j_cp_offset(s, (size_t)ends[0]);
    *to = st_j_cp_offset(s, (size_t)ends[1]);
    return true;
}

/* Also with a tuple of choices. */
static bool method_starts_with(st_jrun *r, st_jstr s, const st_jval *a, bool at_end)
{
    size_t from, to;
    bool is = false, inside = method_bounds(r, s, a + 1, &from, &to);
    if (a[0].kind != ST_J_TUPLE) {
        st_jstr with = st_j_need_str(r, a[0], "startswith");
        return inside && method_starts(st_j_sub(s, from, to), with, at_end);
    }
    for (size_t i = 0; i < a[0].list->n && !is; i++) {
        st_jstr with = st_j_need_str(r, a[0].list->v[i], "startswith");
        is = inside && method_starts(st_j_sub(s, from, to), with, at_end);
    }
    return is;
}

/* Python counts code points. */
static st_jval method_find_in(st_jrun *r, int id, st_jstr s, const st_jval *a)
{
    size_t from, to, at = SIZE_MAX;
    st_jstr what = st_j_need_str(r, a[0], "find");
    if (method_bounds(r, s, a + 1, &from, &to)) {
        st_jstr part = st_j_sub(s, from, to);
        at = id == RFIND || id == RINDEX ? st_j_str_rfind(r, part, what) : st_j_str_find(r, part, 0, what);
    }
    if (at == SIZE_MAX && (id == INDEX || id == RINDEX)) ST_J_FAIL(r, "index: the string is not there");
    return st_j_int(at == SIZE_MAX ? -1 : (int64_t)st_j_cps(r, st_j_sub(s, 0, from + at)));
}

static int64_t method_count(st_jrun *r, st_jstr s, const st_jval *a)
{
    int64_t n = 0;
    size_t from, to;
    st_jstr what = st_j_need_str(r, a[0], "count");
    if (!method_bounds(r, s, a + 1, &from, &to)) return 0;
    s = st_j_sub(s, from, to);
    if (!what.n) return (int64_t)st_j_cps(r, s) + 1;
    for (size_t at = 0; (at = st_j_str_find(r, s, at, what)) != SIZE_MAX; at += what.n) {
        st_j_step(r, 1);
        n++;
    }
    return n;
}

static st_jval method_partition(st_jrun *r, st_jstr s, st_jstr sep, bool from_right)
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

static st_jval method_join(st_jrun *r, st_jstr sep, st_jval v)
{
    st_jlist l = st_j_iterate(r, v);
    st_jval out = st_j_list(r, ST_J_LIST, l.n);
    for (size_t i = 0; i < l.n; i++) {
        st_jstr s;
        if (sep.markup) /* escapes what is no Markup, also what is no string */
            s = l.v[i].kind == ST_J_STR && l.v[i].str.markup ? l.v[i].str : st_j_escape(r, l.v[i]);
        else
            s = st_j_need_str(r, l.v[i], "join");
        st_j_push(r, out.list, st_j_string(s));
    }
    st_jstr all = st_j_join(r, sep, out.list);
    all.markup = sep.markup;
    return st_j_string(all);
}

static st_jstr method_zfill(st_jrun *r, st_jstr s, int64_t width)
{
    size_t sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
    st_jbuf b;
    st_j_buf_init(&b, r);
    st_j_buf_add(&b, st_j_sub(s, 0, sign));
    st_j_buf_add(
        &b, st_j_pad(r, st_j_sub(s, sign, s.n), width < (int64_t)sign ? 0 : width - (int64_t)sign, st_j_lit("0"), '>'));
    return st_j_buf_str(&b);
}

static st_jstr method_expand_tabs(st_jrun *r, st_jstr s, int64_t size)
{
    st_jbuf b;
    int64_t column = 0;
    st_j_buf_init(&b, r);
    for (size_t at = 0, end; at < s.n; at = end) {
        end = at + st_j_cp_offset(st_j_sub(s, at, s.n), 1);
        st_j_step(r, 1);
        if (s.p[at] == '\t') {
            int64_t n = size > 0 ? size - column % size : 0;
            if (n > 1 << 20) ST_J_FAIL(r, "tabs of more than 2^20 places");
            st_j_buf_add(&b, st_j_repeat(r, st_j_lit(" "), n));
            column += n;
        } else {
            st_j_buf_add(&b, st_j_sub(s, at, end));
            column = s.p[at] == '\n' || s.p[at] == '\r' ? 0 : column + 1;
        }
    }
    return st_j_buf_str(&b);
}

static st_jstr method_swap_case(st_jrun *r, st_jstr s, bool fold)
{
    st_jbuf b;
    uint8_t out[4];
    uint32_t seq[3];
    st_j_buf_init(&b, r);
    for (size_t at = 0, end; at < s.n; at = end) {
        unsigned len;
        uint32_t cp = st_utf8_get((const uint8_t *)s.p + at, &len);
        end = at + len;
        st_j_step(r, 1);
        if (!fold && (st_j_char_props(cp) & ST_C_UPPER)) { /* lower case looks at the neighbours of a sigma */
            if (cp == 0x3a3) ST_J_FAIL(r, "swapcase of a capital sigma");
            st_j_buf_add(&b, st_j_case(r, st_j_sub(s, at, end), ST_CASE_LOWER));
            continue;
        }
        unsigned n = st_j_char_case(cp, fold ? 3 : 1, seq);
        bool user = s.mark ? s.mark[at] : s.user;
        if (!fold && !(st_j_char_props(cp) & ST_C_LOWER)) n = 1, seq[0] = cp;
        for (unsigned i = 0; i < n; i++) st_j_buf_bytes(&b, (const char *)out, st_utf8_put(out, seq[i]), user);
    }
    return st_j_buf_str(&b);
}

static bool method_is_ascii(st_jstr s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] >= 0x80) return false;
    return true;
}

static bool method_is_identifier(st_jrun *r, st_jstr s)
{
    unsigned n;
    if (!s.n) return false;
    uint32_t cp = st_utf8_get((const uint8_t *)s.p, &n);
    if (cp != '_' && !(st_j_char_props(cp) & ST_C_XID_START)) return false;
    return n == s.n || st_j_is_class(r, st_j_sub(s, n, s.n), ST_C_XID_CONTINUE);
}

static bool method_asks(st_jrun *r, int id, st_jstr s)
{
    switch (id) {
    case ISDIGIT: return st_j_is_class(r, s, ST_C_DIGIT);
    case ISDECIMAL: return st_j_is_class(r, s, ST_C_DECIMAL);
    case ISNUMERIC: return st_j_is_class(r, s, ST_C_NUMERIC);
    case ISALPHA: return st_j_is_class(r, s, ST_C_ALPHA);
    case ISALNUM: return st_j_is_class(r, s, ST_C_ALPHA | ST_C_NUMERIC | ST_C_DIGIT | ST_C_DECIMAL);
    case ISSPACE: return st_j_is_class(r, s, 0);
    case ISPRINTABLE: return !s.n || st_j_is_class(r, s, ST_C_PRINTABLE);
    case ISASCII: return method_is_ascii(s);
    case ISTITLE: return st_j_is_title(r, s);
    case ISIDENTIFIER: return method_is_identifier(r, s);
    default: return st_j_is_case(r, s, id == ISUPPER);
    }
}

static st_jstr method_justify(st_jrun *r, int id, st_jstr s, const st_jval *a)
{
    st_jstr fill = a[1].kind == ST_J_NONE ? st_j_lit(" ") : st_j_need_str(r, a[1], "the fill character");
    if (st_j_cps(r, fill) != 1) ST_J_FAIL(r, "the fill character must be one");
    return st_j_pad(r, s, st_j_clamp_int(r, a[0], "a width"), fill, id == LJUST ? '<' : id == RJUST ? '>' : 'c');
}

static int64_t method_limit(st_jrun *r, st_jval v)
{
    return v.kind == ST_J_NONE ? -1 : st_j_clamp_int(r, v, "a count");
}

/* Methods whose result is a string like s. */
static st_jstr method_change(st_jrun *r, int id, st_jstr s, const st_jval *a)
{
    switch (id) {
    case STRIP:
    case LSTRIP:
    case RSTRIP:
        if (a[0].kind != ST_J_NONE) st_j_need_str(r, a[0], "strip");
        return st_j_strip(r, s, a[0], id != RSTRIP, id != LSTRIP);
    case UPPER: return st_j_case(r, s, ST_CASE_UPPER);
    case LOWER: return st_j_case(r, s, ST_CASE_LOWER);
    case TITLE: return st_j_case(r, s, ST_CASE_TITLE);
    case CAPITALIZE: return st_j_case(r, s, ST_CASE_CAPITALIZE);
    case SWAPCASE:
    case CASEFOLD: return method_swap_case(r, s, id == CASEFOLD);
    case REPLACE: {
        st_jstr from = st_j_need_str(r, a[0], "replace"), to = st_j_need_str(r, a[1], "replace");
        if (s.markup && !to.markup) to = st_j_escape(r, a[1]);
        return st_j_replace(r, s, from, to, method_limit(r, a[2]));
    }
    case REMOVEPREFIX:
    case REMOVESUFFIX: {
        st_jstr part = st_j_need_str(r, a[0], "removeprefix");
        if (!method_starts(s, part, id == REMOVESUFFIX)) return s;
        return id == REMOVESUFFIX ? st_j_sub(s, 0, s.n - part.n) : st_j_sub(s, part.n, s.n);
    }
    case ZFILL: return method_zfill(r, s, st_j_clamp_int(r, a[0], "zfill"));
    case EXPANDTABS:
        return method_expand_tabs(r, s, a[0].kind == ST_J_NONE ? 8 : st_j_clamp_int(r, a[0], "expandtabs"));
    default: return method_justify(r, id, s, a);
    }
}

/* What a Markup's method gives is Markup. */
static st_jval method_marked(st_jval v, bool markup)
{
    if (v.kind == ST_J_STR) v.str.markup = markup;
    for (size_t i = 0; st_j_is_list(v) && i < v.list->n; i++) v.list->v[i].str.markup = markup;
    return v;
}

static st_jval method_call_str(st_jrun *r, int id, st_jstr s, const st_jval *a)
{
    switch (id) {
    case SPLIT:
    case RSPLIT: return method_marked(st_j_split(r, s, a[0], method_limit(r, a[1]), id == RSPLIT), s.markup);
    case SPLITLINES: return method_marked(st_j_split_lines(r, s, st_j_true(r, a[0])), s.markup);
    case STARTSWITH:
    case ENDSWITH: return st_j_bool(method_starts_with(r, s, a, id == ENDSWITH));
    case FIND:
    case INDEX:
    case RFIND:
    case RINDEX: return method_find_in(r, id, s, a);
    case COUNT: return st_j_int(method_count(r, s, a));
    case JOIN: return method_join(r, s, a[0]);
    case PARTITION:
    case RPARTITION:
        return method_marked(method_partition(r, s, st_j_need_str(r, a[0], "partition"), id == RPARTITION), s.markup);
    default: break;
    }
    if (id >= ISDIGIT && id <= ISIDENTIFIER) return st_j_bool(method_asks(r, id, s));
    return method_marked(st_j_string(method_change(r, id, s, a)), s.markup);
}

/* ---- dicts and lists ---- */

static st_jval method_call_dict(st_jrun *r, int id, st_jdict *d, const st_jval *a)
{
    if (id == GET) {
        st_jval *v = st_j_find(r, d, a[0]);
        return v ? *v : a[1];
    }
    if (id == COPY) {
        st_jval out = st_j_dict(r, ST_J_DICT);
        for (size_t i = 0; i < d->n; i++) st_j_put(r, out.dict, d->v[i].key, d->v[i].val);
        return out;
    }
    st_jview *view = st_j_alloc(r, 1, sizeof *view);
    *view = (st_jview){d, id == KEYS ? ST_VIEW_KEYS : id == VALUES ? ST_VIEW_VALUES : ST_VIEW_ITEMS};
    return (st_jval){.kind = ST_J_VIEW, .view = view};
}

static st_jval method_call_list(st_jrun *r, int id, st_jval self, const st_jval *a)
{
    int64_t n = 0;
    if (id == COPY) return st_j_slice(r, self, st_j_none(), st_j_none(), st_j_none());
    st_jlist l = st_j_iterate(r, self);
    int64_t len = (int64_t)l.n, ends[2] = {0, len};
    for (int i = 0; i < 2 && id == LIST_INDEX; i++) {
        if (a[i + 1].kind != ST_J_NONE) ends[i] = st_j_clamp_int(r, a[i + 1], "a bound");
        if (ends[i] < 0) ends[i] = ends[i] < -len ? 0 : ends[i] + len;
        if (ends[i] > len) ends[i] = len;
    }
    st_j_step(r, l.n);
    for (int64_t i = ends[0]; i < ends[1]; i++) {
        if (!st_j_equal(r, l.v[i], a[0])) continue;
        if (id == LIST_INDEX) return st_j_int(i);
        n++;
    }
    if (id == LIST_INDEX) ST_J_FAIL(r, "index: the value is not there");
    return st_j_int(n);
}

static st_jval method_call_cycler(int id, st_jcycler *c)
{
    size_t at = c->at;
    c->at = id == ST_METHOD_RESET ? 0 : (at + 1) % c->items.n;
    return id == ST_METHOD_RESET ? st_j_none() : c->items.v[at];
}

static st_jval method_call_loop(st_jrun *r, int id, st_jloop *l, st_jargs *args)
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

/* The few arguments that Python takes by name. */
static size_t method_keyword(const struct method *m, st_jstr k)
{
    bool split = m->id == SPLIT || m->id == RSPLIT;
    if (split && st_j_same(k, "sep")) return 0;
    if (split && st_j_same(k, "maxsplit")) return 1;
    if (m->id == SPLITLINES && st_j_same(k, "keepends")) return 0;
    if (m->id == EXPANDTABS && st_j_same(k, "tabsize")) return 0;
    return 3;
}

st_jval st_j_call_method(st_jrun *r, const st_jmethod *m, st_jargs *args)
{
    st_jval a[3] = {st_j_none(), st_j_none(), st_j_none()};
    int name_len = (int)(m->name.n < 40 ? m->name.n : 40);
    if (m->self.kind == ST_J_LOOP) return method_call_loop(r, m->id, m->self.loop, args);
    const struct method *info = method_find(m->self, m->name);
    if (info->id == UNSUPPORTED) ST_J_FAIL(r, "the method '%.*s' is not supported", name_len, m->name.p);
    if (info->id == FORMAT) return st_j_string(st_j_format(r, m->self.str, args));
    if (args->pos.n > info->max || args->pos.n + args->kw.n < info->min)
        ST_J_FAIL(r, "%.*s takes %u to %u arguments", name_len, m->name.p, info->min, info->max);
    for (size_t i = 0; i < args->pos.n; i++) a[i] = args->pos.v[i];
    for (size_t i = 0; i < args->kw.n; i++) {
        st_jstr k = args->kw.v[i].key.str;
        size_t at = method_keyword(info, k);
        if (at == 3 || at < args->pos.n)
            ST_J_FAIL(r, "%.*s takes no argument '%.*s'", name_len, m->name.p, (int)(k.n < 40 ? k.n : 40), k.p);
        a[at] = args->kw.v[i].val;
    }
    if (m->self.kind == ST_J_STR) return method_call_str(r, m->id, m->self.str, a);
    if (m->self.kind == ST_J_DICT) return method_call_dict(r, m->id, m->self.dict, a);
    if (m->self.kind == ST_J_CYCLER) return method_call_cycler(m->id, m->self.cycler);
    return method_call_list(r, m->id, m->self, a);
}
