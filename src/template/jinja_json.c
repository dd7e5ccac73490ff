/* jinja_json.c: JSON in (what callers pass: tools, messages, variables) and out (tojson, as Python's json.dumps). See
 * jinja.h. */
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/utf8.h"
#include "template/jinja.h"

/* ---- in ---- */

typedef struct reader {
    st_jrun *r;
    st_json j;
    const char *what;
} reader;

/* Apart from those that call each other, whose frames are many. */
static _Noreturn __attribute__((noinline)) void jinja_json_bad(reader *in)
{
    char why[ST_JSON_REASON];
    st_j_fail(in->r, STRATA_INVALID_ARG, "%s: not JSON at byte %zu: %s", in->what, in->j.at,
              st_json_reason(&in->j, why));
}

static _Noreturn __attribute__((noinline)) void jinja_json_deep(reader *in)
{
    ST_J_FAIL(in->r, "%s: nested more than %d deep at byte %zu", in->what, ST_TEMPLATE_MAX_NESTING, in->j.from);
}

static st_json_event jinja_json_next(reader *in)
{
    st_json_event e = st_json_next(&in->j);
    if (e == ST_JSON_ERROR) jinja_json_bad(in);
    return e;
}

static st_jval jinja_json_string(reader *in)
{
    size_t room = st_json_room(&in->j);
    st_j_step(in->r, room / 16 + 1);
    char *out = st_j_alloc(in->r, room, 1);
    return st_j_string((st_jstr){.p = out, .n = st_json_string(&in->j, out), .user = true});
}

static st_jval jinja_json_number(reader *in)
{
    const char *p = in->j.text + in->j.from;
    size_t n = in->j.to - in->j.from;
    bool ok;
    double f = 0;
    if (*p == 'N') return st_j_float((double)NAN);
    if (*p == 'I') return st_j_float((double)INFINITY);
    if (n > 1 && p[1] == 'I') return st_j_float(-(double)INFINITY);
    if (!in->j.whole) return (void)st_j_parse_float(p, n, &f), st_j_float(f);
    if (n > ST_J_MAX_DIGITS)
        st_j_fail(in->r, STRATA_INVALID_ARG, "%s: an integer of more than %d digits", in->what, ST_J_MAX_DIGITS);
    return st_j_int_parse(in->r, p, n, 10, &ok);
}

static st_jval jinja_json_value(reader *in, st_json_event e);

static st_jval jinja_json_object(reader *in)
{
    st_jval d = st_j_dict(in->r, ST_J_DICT);
    while (jinja_json_next(in) == ST_JSON_NAME) {
        st_jval key = jinja_json_string(in), val = jinja_json_value(in, jinja_json_next(in));
        if (st_j_same(key.str, "role") && val.kind == ST_J_STR && st_template_known_role(val.str.p, val.str.n))
            val.str.user = false; /* see template.h */
        st_j_put(in->r, d.dict, key, val);
    }
    return d;
}

static st_jval jinja_json_array(reader *in)
{
    st_jval v = st_j_list(in->r, ST_J_LIST, 0);
    for (st_json_event e; (e = jinja_json_next(in)) != ST_JSON_CLOSE;)
        st_j_push(in->r, v.list, jinja_json_value(in, e));
    return v;
}

static st_jval jinja_json_value(reader *in, st_json_event e)
{
    st_jval v = st_j_none();
    if (in->r->depth >= ST_TEMPLATE_MAX_NESTING) jinja_json_deep(in);
    st_j_enter(in->r);
    switch (e) {
    case ST_JSON_OBJECT: v = jinja_json_object(in); break;
    case ST_JSON_ARRAY: v = jinja_json_array(in); break;
    case ST_JSON_STRING: v = jinja_json_string(in); break;
    case ST_JSON_NUMBER: v = jinja_json_number(in); break;
    case ST_JSON_TRUE:
    case ST_JSON_FALSE: v = st_j_bool(e == ST_JSON_TRUE); break;
    default: break;
    }
    st_j_leave(in->r);
    return v;
}

st_jval st_j_json_parse(st_jrun *r, st_str text, const char *what)
{
    const char *wrong = st_utf8_begin(&text.ptr, &text.len);
    if (wrong) st_j_fail(r, STRATA_INVALID_ARG, "%s: %s", what, wrong);
    reader in = {.r = r, .what = what};
    /* jinja_json_value stops one level before the reader does. Python reads NaN and half a pair too. */
    st_json_begin(&in.j, text.ptr, text.len, ST_TEMPLATE_MAX_NESTING + 1, ST_JSON_NAN | ST_JSON_LONE_SURROGATES);
    st_jval v = jinja_json_value(&in, jinja_json_next(&in));
    (void)jinja_json_next(&in);
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
