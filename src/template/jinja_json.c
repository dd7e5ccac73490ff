/* jinja_json.c: JSON in (what callers pass: tools, messages, variables) and out (tojson, as Python's json.dumps). See
 * jinja.h. */
#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "template/jinja.h"

typedef struct reader {
    st_jrun *r;
    const char *p, *end, *start, *what;
} reader;

static _Noreturn void bad(reader *j, const char *wanted)
{
    st_j_fail(j->r, STRATA_INVALID_ARG, "%s: not JSON at byte %zu: %s expected", j->what, (size_t)(j->p - j->start),
              wanted);
}

static void skip(reader *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r')) j->p++;
}

static bool take(reader *j, char c)
{
    skip(j);
    if (j->p >= j->end || *j->p != c) return false;
    j->p++;
    return true;
}

static uint32_t hex4(reader *j)
{
    uint32_t cp = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        char c = j->p < j->end ? *j->p : 0;
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
        if (d < 0) bad(j, "four hexadecimal digits");
        cp = cp << 4 | (uint32_t)d;
    }
    return cp;
}

/* The escape behind a backslash. A lone surrogate is no character: U+FFFD. */
static uint32_t escape(reader *j)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = j->p < j->end ? *j->p++ : 0;
    const char *k = c ? strchr(from, c) : NULL;
    if (k) return (uint8_t)to[k - from];
    if (c != 'u') bad(j, "an escape");
    uint32_t cp = hex4(j);
    if (cp >= 0xd800 && cp < 0xdc00 && j->end - j->p >= 6 && j->p[0] == '\\' && j->p[1] == 'u') {
        const char *back = j->p;
        j->p += 2;
        uint32_t low = hex4(j);
        if (low >= 0xdc00 && low < 0xe000) return 0x10000 + ((cp & 0x3ff) << 10 | (low & 0x3ff));
        j->p = back;
    }
    return cp >= 0xd800 && cp < 0xe000 ? 0xfffd : cp;
}

static st_jval read_string(reader *j)
{
    const char *from = j->p;
    while (j->p < j->end && *j->p != '"') j->p += *j->p == '\\' ? 2 : 1;
    if (j->p >= j->end) bad(j, "the end of a string");
    size_t n = 0, cap = (size_t)(j->p - from);
    st_j_step(j->r, cap / 16 + 1);
    char *out = st_j_alloc(j->r, cap, 1);
    for (j->p = from; *j->p != '"';) {
        if ((uint8_t)*j->p < 32) bad(j, "no control character");
        if (*j->p != '\\') {
            out[n++] = *j->p++;
            continue;
        }
        j->p++;
        n += st_utf8_put((uint8_t *)out + n, escape(j));
    }
    j->p++;
    return st_j_string((st_jstr){.p = out, .n = n, .user = true});
}

/* As JSON has them: no sign but '-', no leading zeros, digits on both sides of a point. */
static st_jval read_number(reader *j)
{
    const char *from = j->p, *p = j->p, *end = j->end, *digits;
    bool real = false, ok;
    double f;
    if (p < end && *p == '-') p++;
    for (digits = p; p < end && *p >= '0' && *p <= '9';) p++;
    if (p == digits || (*digits == '0' && p > digits + 1)) bad(j, "a value");
    if (p < end && *p == '.') {
        real = true;
        for (digits = ++p; p < end && *p >= '0' && *p <= '9';) p++;
        j->p = p;
        if (p == digits) bad(j, "a digit");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        real = true;
        if (++p < end && (*p == '-' || *p == '+')) p++;
        for (digits = p; p < end && *p >= '0' && *p <= '9';) p++;
        j->p = p;
        if (p == digits) bad(j, "a digit");
    }
    j->p = p;
    if (real) {
        if (!st_j_parse_float(from, (size_t)(p - from), &f)) bad(j, "a value");
        return st_j_float(f);
    }
    if ((size_t)(p - from) > ST_J_MAX_DIGITS)
        st_j_fail(j->r, STRATA_INVALID_ARG, "%s: an integer of more than %d digits", j->what, ST_J_MAX_DIGITS);
    return st_j_int_parse(j->r, from, (size_t)(p - from), 10, &ok);
}

static st_jval read_value(reader *j);

static st_jval read_object(reader *j)
{
    st_jval d = st_j_dict(j->r, ST_J_DICT);
    while (!take(j, '}')) {
        if (d.dict->n && !take(j, ',')) bad(j, "',' or '}'");
        if (!take(j, '"')) bad(j, "a key");
        st_jval key = read_string(j);
        if (!take(j, ':')) bad(j, "':'");
        st_jval val = read_value(j);
        if (st_j_same(key.str, "role") && val.kind == ST_J_STR && st_template_known_role(val.str.p, val.str.n))
            val.str.user = false; /* see template.h */
        st_j_put(j->r, d.dict, key, val);
    }
    return d;
}

static bool word(reader *j, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0) return false;
    j->p += n;
    return true;
}

static st_jval read_value(reader *j)
{
    st_jval v;
    skip(j);
    st_j_enter(j->r);
    if (take(j, '{')) {
        v = read_object(j);
    } else if (take(j, '[')) {
        v = st_j_list(j->r, ST_J_LIST, 0);
        while (!take(j, ']')) {
            if (v.list->n && !take(j, ',')) bad(j, "',' or ']'");
            st_j_push(j->r, v.list, read_value(j));
        }
    } else if (take(j, '"')) {
        v = read_string(j);
    } else if (word(j, "true")) {
        v = st_j_bool(true);
    } else if (word(j, "false")) {
        v = st_j_bool(false);
    } else if (word(j, "null")) {
        v = st_j_none();
    } else if (word(j, "NaN")) { /* Python reads these three */
        v = st_j_float((double)NAN);
    } else if (word(j, "Infinity")) {
        v = st_j_float((double)INFINITY);
    } else if (word(j, "-Infinity")) {
        v = st_j_float(-(double)INFINITY);
    } else {
        v = read_number(j);
    }
    st_j_leave(j->r);
    return v;
}

st_jval st_j_json_parse(st_jrun *r, st_str text, const char *what)
{
    const char *wrong = st_utf8_begin(&text.ptr, &text.len);
    if (wrong) st_j_fail(r, STRATA_INVALID_ARG, "%s: %s", what, wrong);
    reader j = {r, text.ptr, text.ptr + text.len, text.ptr, what};
    size_t bad_at = st_utf8_check(text.ptr, text.len);
    if (bad_at < text.len) st_j_fail(r, STRATA_INVALID_ARG, "%s: not UTF-8 at byte %zu", what, bad_at);
    st_jval v = read_value(&j);
    skip(&j);
    if (j.p < j.end) bad(&j, "the end");
    return v;
}

/* ---- out ---- */

typedef struct writer {
    st_jbuf *b;
    st_jstr indent, item, key; /* separators; indent.p NULL: one line */
    bool ascii, sorted;
    size_t level;
} writer;

static void put(writer *w, const char *s)
{
    st_j_buf_bytes(w->b, s, strlen(s), true); /* the engine's, among a user's: counts as the user's */
}

static void put_string(writer *w, st_jstr s)
{
    put(w, "\"");
    for (size_t at = 0, from = 0; at <= s.n;) {
        char esc[16] = "";
        unsigned n = 1;
        uint32_t cp = at < s.n ? st_utf8_get((const uint8_t *)s.p + at, &n) : 0;
        static const char plain[] = "\"\\\b\f\n\r\t", named[] = "\"\\bfnrt";
        const char *k = at < s.n && cp && cp < 128 ? strchr(plain, (int)cp) : NULL;
        if (k)
            snprintf(esc, sizeof esc, "\\%c", named[k - plain]);
        else if (at < s.n && (cp < 32 || (w->ascii && cp > 126 && cp < 0x10000)))
            snprintf(esc, sizeof esc, "\\u%04x", (unsigned)cp);
        else if (w->ascii && cp >= 0x10000)
            snprintf(esc, sizeof esc, "\\u%04x\\u%04x", 0xd7c0 + (unsigned)(cp >> 10), 0xdc00 + (unsigned)(cp & 0x3ff));
        if (esc[0] || at == s.n) {
            st_j_buf_add(w->b, st_j_sub(s, from, at));
            put(w, esc);
            from = at + n;
        }
        at += n;
    }
    put(w, "\"");
}

static void put_number(writer *w, st_jval v)
{
    st_jstr s = st_j_str(w->b->r, v);
    st_j_buf_bytes(w->b, s.p, s.n, true);
}

static void put_line(writer *w)
{
    if (!w->indent.p) return;
    put(w, "\n");
    for (size_t i = 0; i < w->level; i++) st_j_buf_bytes(w->b, w->indent.p, w->indent.n, true);
}

static void put_separator(writer *w, size_t i)
{
    if (i) st_j_buf_bytes(w->b, w->item.p, w->item.n, true);
    put_line(w);
}

static void put_value(writer *w, st_jval v);

static void put_key(writer *w, st_jval key)
{
    if (key.kind == ST_J_STR) {
        put_string(w, key.str);
    } else if (key.kind == ST_J_NONE || st_j_is_number(key)) {
        put(w, "\"");
        put_value(w, key);
        put(w, "\"");
    } else {
        ST_J_FAIL(w->b->r, "%s cannot be a key in JSON", st_j_kind_name(key));
    }
}

static void put_dict(writer *w, const st_jdict *d)
{
    const st_jdict *from = d;
    st_jval keys = st_j_none();
    if (w->sorted) {
        keys = st_j_list(w->b->r, ST_J_LIST, d->n);
        for (size_t i = 0; i < d->n; i++) st_j_push(w->b->r, keys.list, d->v[i].key);
        st_j_sort(w->b->r, keys.list, st_j_none(), false, true);
    }
    put(w, "{");
    w->level++;
    for (size_t i = 0; i < from->n; i++) {
        st_jval key = w->sorted ? keys.list->v[i] : from->v[i].key;
        put_separator(w, i);
        put_key(w, key);
        st_j_buf_bytes(w->b, w->key.p, w->key.n, true);
        put_value(w, w->sorted ? *st_j_find(w->b->r, from, key) : from->v[i].val);
    }
    w->level--;
    if (d->n) put_line(w);
    put(w, "}");
}

static void put_value(writer *w, st_jval v)
{
    st_jrun *r = w->b->r;
    st_j_step(r, 1);
    st_j_enter(r);
    switch (v.kind) {
    case ST_J_NONE: put(w, "null"); break;
    case ST_J_BOOL: put(w, v.b ? "true" : "false"); break;
    case ST_J_INT:
    case ST_J_BIG: put_number(w, v); break;
    case ST_J_FLOAT:
        if (isnan(v.f) || isinf(v.f))
            put(w, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
        else
            put_number(w, v);
        break;
    case ST_J_STR: put_string(w, v.str); break;
    case ST_J_LIST:
    case ST_J_TUPLE:
        put(w, "[");
        w->level++;
        for (size_t i = 0; i < v.list->n; i++) {
            put_separator(w, i);
            put_value(w, v.list->v[i]);
        }
        w->level--;
        if (v.list->n) put_line(w);
        put(w, "]");
        break;
    case ST_J_DICT: put_dict(w, v.dict); break;
    case ST_J_UNDEF: st_j_undefined(r, v);
    default: ST_J_FAIL(r, "%s cannot be JSON", st_j_kind_name(v));
    }
    st_j_leave(r);
}

/* tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False), as HuggingFace defines the filter. */
void st_j_json_dump(st_jrun *r, st_jbuf *b, st_jval v, st_jargs *args)
{
    writer w = {.b = b, .item = st_j_lit(", "), .key = st_j_lit(": ")};
    st_jval a;
    if (st_j_arg(r, args, 0, "ensure_ascii", &a)) w.ascii = st_j_true(r, a);
    if (st_j_arg(r, args, 1, "indent", &a) && a.kind != ST_J_NONE) {
        w.indent = a.kind == ST_J_STR ? a.str : st_j_repeat(r, st_j_lit(" "), st_j_clamp_int(r, a, "indent"));
        if (!w.indent.n) w.indent.p = "";
        w.item = st_j_lit(",");
    }
    if (st_j_arg(r, args, 2, "separators", &a) && a.kind != ST_J_NONE) {
        if (!st_j_is_list(a) || a.list->n != 2) ST_J_FAIL(r, "separators are two strings");
        w.item = st_j_need_str(r, a.list->v[0], "separators");
        w.key = st_j_need_str(r, a.list->v[1], "separators");
    }
    if (st_j_arg(r, args, 3, "sort_keys", &a)) w.sorted = st_j_true(r, a);
    st_j_args_done(r, args, 4, "ensure_ascii indent separators sort_keys", "tojson");
    put_value(&w, v);
}
