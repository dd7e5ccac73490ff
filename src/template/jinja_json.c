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

static _Noreturn void jinja_json_bad(reader *j, const char *wanted)
{
    st_j_fail(j->r, STRATA_INVALID_ARG, "%s: not JSON at byte %zu: %s expected", j->what, (size_t)(j->p - j->start),
              wanted);
}

static void jinja_json_skip(reader *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r')) j->p++;
}

static bool jinja_json_take(reader *j, char c)
{
    jinja_json_skip(j);
    if (j->p >= j->end || *j->p != c) return false;
    j->p++;
    return true;
}

static uint32_t jinja_json_hex4(reader *j)
{
    uint32_t cp = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        char c = j->p < j->end ? *j->p : 0;
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
        if (d < 0) jinja_json_bad(j, "four hexadecimal digits");
        cp = cp << 4 | (uint32_t)d;
    }
    return cp;
}

/* The escape behind a backslash. A lone surrogate is no character: U+FFFD. */
static uint32_t jinja_json_escape(reader *j)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = j->p < j->end ? *j->p++ : 0;
    const char *k = c ? strchr(from, c) : NULL;
    if (k) return (uint8_t)to[k - from];
    if (c != 'u') jinja_json_bad(j, "an escape");
    uint32_t cp = jinja_json_hex4(j);
    if (cp >= 0xd800 && cp < 0xdc00 && j->end - j->p >= 6 && j->p[0] == '\\' && j->p[1] == 'u') {
        const char *back = j->p;
        j->p += 2;
        uint32_t low = jinja_json_hex4(j);
        if (low >= 0xdc00 && low < 0xe000) return 0x10000 + ((cp & 0x3ff) << 10 | (low & 0x3ff));
        j->p = back;
    }
    return cp >= 0xd800 && cp < 0xe000 ? 0xfffd : cp;
}

static st_jval jinja_json_read_string(reader *j)
{
    const char *from = j->p;
    while (j->p < j->end && *j->p != '"') j->p += *j->p == '\\' ? 2 : 1;
    if (j->p >= j->end) jinja_json_bad(j, "the end of a string");
    size_t n = 0, cap = (size_t)(j->p - from);
    st_j_step(j->r, cap / 16 + 1);
    char *out = st_j_alloc(j->r, cap, 1);
    for (j->p = from; *j->p != '"';) {
        if ((uint8_t)*j->p < 32) jinja_json_bad(j, "no control character");
        if (*j->p != '\\') {
            out[n++] = *j->p++;
            continue;
        }
        j->p++;
        n += st_utf8_put((uint8_t *)out + n, jinja_json_escape(j));
    }
    j->p++;
    return st_j_string((st_jstr){.p = out, .n = n, .user = true});
}

/* As JSON has them: no sign but '-', no leading zeros, digits on both sides of a point. */
static st_jval jinja_json_read_number(reader *j)
{
    const char *from = j->p, *p = j->p, *end = j->end, *digits;
    bool real = false, ok;
    double f;
    if (p < end && *p == '-') p++;
    for (digits = p; p < end && *p >= '0' && *p <= '9';) p++;
    if (p == digits || (*digits == '0' && p > digits + 1)) jinja_json_bad(j, "a value");
    if (p < end && *p == '.') {
        real = true;
        for (digits = ++p; p < end && *p >= '0' && *p <= '9';) p++;
        j->p = p;
        if (p == digits) jinja_json_bad(j, "a digit");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        real = true;
        if (++p < end && (*p == '-' || *p == '+')) p++;
        for (digits = p; p < end && *p >= '0' && *p <= '9';) p++;
        j->p = p;
        if (p == digits) jinja_json_bad(j, "a digit");
    }
    j->p = p;
    if (real) {
        if (!st_j_parse_float(from, (size_t)(p - from), &f)) jinja_json_bad(j, "a value");
        return st_j_float(f);
    }
    if ((size_t)(p - from) > ST_J_MAX_DIGITS)
        st_j_fail(j->r, STRATA_INVALID_ARG, "%s: an integer of more than %d digits", j->what, ST_J_MAX_DIGITS);
    return st_j_int_parse(j->r, from, (size_t)(p - from), 10, &ok);
}

static st_jval jinja_json_read_value(reader *j);

static st_jval jinja_json_read_object(reader *j)
{
    st_jval d = st_j_dict(j->r, ST_J_DICT);
    while (!jinja_json_take(j, '}')) {
        if (d.dict->n && !jinja_json_take(j, ',')) jinja_json_bad(j, "',' or '}'");
        if (!jinja_json_take(j, '"')) jinja_json_bad(j, "a key");
        st_jval key = jinja_json_read_string(j);
        if (!jinja_json_take(j, ':')) jinja_json_bad(j, "':'");
        st_jval val = jinja_json_read_value(j);
        if (st_j_same(key.str, "role") && val.kind == ST_J_STR && st_template_known_role(val.str.p, val.str.n))
            val.str.user = false; /* see template.h */
        st_j_put(j->r, d.dict, key, val);
    }
    return d;
}

static bool jinja_json_word(reader *j, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0) return false;
    j->p += n;
    return true;
}

static st_jval jinja_json_read_value(reader *j)
{
    st_jval v;
    jinja_json_skip(j);
    st_j_enter(j->r);
    if (jinja_json_take(j, '{')) {
        v = jinja_json_read_object(j);
    } else if (jinja_json_take(j, '[')) {
        v = st_j_list(j->r, ST_J_LIST, 0);
        while (!jinja_json_take(j, ']')) {
            if (v.list->n && !jinja_json_take(j, ',')) jinja_json_bad(j, "',' or ']'");
            st_j_push(j->r, v.list, jinja_json_read_value(j));
        }
    } else if (jinja_json_take(j, '"')) {
        v = jinja_json_read_string(j);
    } else if (jinja_json_word(j, "true")) {
        v = st_j_bool(true);
    } else if (jinja_json_word(j, "false")) {
        v = st_j_bool(false);
    } else if (jinja_json_word(j, "null")) {
        v = st_j_none();
    } else if (jinja_json_word(j, "NaN")) { /* Python reads these three */
        v = st_j_float((double)NAN);
    } else if (jinja_json_word(j, "Infinity")) {
        v = st_j_float((double)INFINITY);
    } else if (jinja_json_word(j, "-Infinity")) {
        v = st_j_float(-(double)INFINITY);
    } else {
        v = jinja_json_read_number(j);
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
    st_jval v = jinja_json_read_value(&j);
    jinja_json_skip(&j);
    if (j.p < j.end) jinja_json_bad(&j, "the end");
    return v;
}

/* ---- out ---- */

typedef struct writer {
    st_jbuf *b;
    st_jstr indent, item, key; /* separators; indent.p NULL: one line */
    bool ascii, sorted;
    size_t level;
} writer;

static void jinja_json_put(writer *w, const char *s)
{
    st_j_buf_bytes(w->b, s, strlen(s), true); /* the engine's, among a user's: counts as the user's */
}

static void jinja_json_put_string(writer *w, st_jstr s)
{
    jinja_json_put(w, "\"");
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
            jinja_json_put(w, esc);
            from = at + n;
        }
        at += n;
    }
    jinja_json_put(w, "\"");
}

static void jinja_json_put_number(writer *w, st_jval v)
{
    st_jstr s = st_j_str(w->b->r, v);
    st_j_buf_bytes(w->b, s.p, s.n, true);
}

static void jinja_json_put_line(writer *w)
{
    if (!w->indent.p) return;
    jinja_json_put(w, "\n");
    for (size_t i = 0; i < w->level; i++) st_j_buf_bytes(w->b, w->indent.p, w->indent.n, true);
}

static void jinja_json_put_separator(writer *w, size_t i)
{
    if (i) st_j_buf_bytes(w->b, w->item.p, w->item.n, true);
    jinja_json_put_line(w);
}

static void jinja_json_put_value(writer *w, st_jval v);

static void jinja_json_put_key(writer *w, st_jval key)
{
    if (key.kind == ST_J_STR) {
        jinja_json_put_string(w, key.str);
    } else if (key.kind == ST_J_NONE || st_j_is_number(key)) {
        jinja_json_put(w, "\"");
        jinja_json_put_value(w, key);
        jinja_json_put(w, "\"");
    } else {
        ST_J_FAIL(w->b->r, "%s cannot be a key in JSON", st_j_kind_name(key));
    }
}

static void jinja_json_put_dict(writer *w, const st_jdict *d)
{
    const st_jdict *from = d;
    st_jval keys = st_j_none();
    if (w->sorted) {
        keys = st_j_list(w->b->r, ST_J_LIST, d->n);
        for (size_t i = 0; i < d->n; i++) st_j_push(w->b->r, keys.list, d->v[i].key);
        st_j_sort(w->b->r, keys.list, st_j_none(), false, true);
    }
    jinja_json_put(w, "{");
    w->level++;
    for (size_t i = 0; i < from->n; i++) {
        st_jval key = w->sorted ? keys.list->v[i] : from->v[i].key;
        jinja_json_put_separator(w, i);
        jinja_json_put_key(w, key);
        st_j_buf_bytes(w->b, w->key.p, w->key.n, true);
        jinja_json_put_value(w, w->sorted ? *st_j_find(w->b->r, from, key) : from->v[i].val);
    }
    w->level--;
    if (d->n) jinja_json_put_line(w);
    jinja_json_put(w, "}");
}

static void jinja_json_put_value(writer *w, st_jval v)
{
    st_jrun *r = w->b->r;
    st_j_step(r, 1);
    st_j_enter(r);
    switch (v.kind) {
    case ST_J_NONE: jinja_json_put(w, "null"); break;
    case ST_J_BOOL: jinja_json_put(w, v.b ? "true" : "false"); break;
    case ST_J_INT:
    case ST_J_BIG: jinja_json_put_number(w, v); break;
    case ST_J_FLOAT:
        if (isnan(v.f) || isinf(v.f))
            jinja_json_put(w, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
        else
            jinja_json_put_number(w, v);
        break;
    case ST_J_STR: jinja_json_put_string(w, v.str); break;
    case ST_J_LIST:
    case ST_J_TUPLE:
        jinja_json_put(w, "[");
        w->level++;
        for (size_t i = 0; i < v.list->n; i++) {
            jinja_json_put_separator(w, i);
            jinja_json_put_value(w, v.list->v[i]);
        }
        w->level--;
        if (v.list->n) jinja_json_put_line(w);
        jinja_json_put(w, "]");
        break;
    case ST_J_DICT: jinja_json_put_dict(w, v.dict); break;
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
    jinja_json_put_value(&w, v);
}
