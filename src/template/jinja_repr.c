/* jinja_repr.c: values as text, as Python's str() and repr() write them. See jinja.h. */
#include <inttypes.h>
#include <stdio.h>

#include "base/utf8.h"
#include "template/jinja.h"

static st_jstr repr_int_text(st_jrun *r, int64_t i)
{
    char *text = st_j_alloc(r, 24, 1);
    int n = snprintf(text, 24, "%" PRId64, i);
    return (st_jstr){.p = text, .n = (size_t)n};
}

st_jstr st_j_str(st_jrun *r, st_jval v)
{
    st_jbuf b;
    switch (v.kind) {
    case ST_J_UNDEF: return st_j_lit("");
    case ST_J_NONE: return st_j_lit("None");
    case ST_J_BOOL: return st_j_lit(v.b ? "True" : "False");
    case ST_J_INT: return repr_int_text(r, v.i);
    case ST_J_BIG: return st_j_int_text(r, v);
    case ST_J_FLOAT: return st_j_float_text(r, v.f);
    case ST_J_STR: return v.str;
    default: break;
    }
    st_j_buf_init(&b, r);
    st_j_repr(&b, v);
    return st_j_buf_str(&b);
}

st_jstr st_j_need_str(st_jrun *r, st_jval v, const char *what)
{
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind != ST_J_STR) ST_J_FAIL(r, "%s needs a string, not %s", what, st_j_kind_name(v));
    return v.str;
}

/* Quotes and escapes are the engine's doing, but they stand among a user's bytes: they count as the user's. */
static void repr_structure(st_jbuf *b, const char *s)
{
    st_j_buf_bytes(b, s, strlen(s), true);
}

static void repr_string(st_jbuf *b, st_jstr s)
{
    if (s.markup) repr_structure(b, "Markup(");
    bool single = s.n && memchr(s.p, '\'', s.n), twice = s.n && memchr(s.p, '"', s.n);
    const char *quote = single && !twice ? "\"" : "'";
    repr_structure(b, quote);
    for (size_t at = 0, n; at < s.n; at += n) {
        unsigned len;
        char esc[12];
        uint32_t cp = st_utf8_get((const uint8_t *)s.p + at, &len);
        n = len;
        if (cp == '\\' || cp == (uint8_t)quote[0])
            snprintf(esc, sizeof esc, "\\%c", (char)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            snprintf(esc, sizeof esc, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
        else if (cp < 32 || (cp >= 0x7f && cp <= 0xa0) || cp == 0xad)
            snprintf(esc, sizeof esc, "\\x%02x", (unsigned)cp);
        else if (cp >= 0x7f && !(st_j_char_props(cp) & ST_C_PRINTABLE))
            snprintf(esc, sizeof esc, cp > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)cp);
        else
            esc[0] = 0;
        if (esc[0])
            repr_structure(b, esc);
        else
            st_j_buf_add(b, st_j_sub(s, at, at + n));
    }
    repr_structure(b, quote);
    if (s.markup) repr_structure(b, ")");
}

static void repr_items(st_jbuf *b, st_jval v)
{
    bool tuple = v.kind == ST_J_TUPLE;
    repr_structure(b, tuple ? "(" : "[");
    for (size_t i = 0; i < v.list->n; i++) {
        if (i) repr_structure(b, ", ");
        st_j_repr(b, v.list->v[i]);
    }
    repr_structure(b, tuple ? v.list->n == 1 ? ",)" : ")" : "]");
}

static void repr_dict(st_jbuf *b, const st_jdict *d)
{
    repr_structure(b, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) repr_structure(b, ", ");
        st_j_repr(b, d->v[i].key);
        repr_structure(b, ": ");
        st_j_repr(b, d->v[i].val);
    }
    repr_structure(b, "}");
}

static void repr_view(st_jbuf *b, st_jval v)
{
    static const char *const names[] = {"dict_keys(", "dict_values(", "dict_items("};
    st_jval items = st_j_list(b->r, ST_J_LIST, 0);
    *items.list = st_j_iterate(b->r, v);
    repr_structure(b, names[v.view->what]);
    repr_items(b, items);
    repr_structure(b, ")");
}

static void repr_range(st_jbuf *b, const st_jrange *g)
{
    char text[80];
    if (g->step == 1)
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", g->from, g->to);
    else
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", g->from, g->to, g->step);
    st_j_buf_bytes(b, text, strlen(text), false);
}

void st_j_repr(st_jbuf *b, st_jval v)
{
    st_j_step(b->r, 1);
    st_j_enter(b->r);
    switch (v.kind) {
    case ST_J_UNDEF: repr_structure(b, "Undefined"); break;
    case ST_J_STR: repr_string(b, v.str); break;
    case ST_J_LIST:
    case ST_J_TUPLE: repr_items(b, v); break;
    case ST_J_DICT: repr_dict(b, v.dict); break;
    case ST_J_SPACE:
        repr_structure(b, "<Namespace ");
        repr_dict(b, v.dict);
        repr_structure(b, ">");
        break;
    case ST_J_VIEW: repr_view(b, v); break;
    case ST_J_RANGE: repr_range(b, v.range); break;
    case ST_J_NONE:
    case ST_J_BOOL:
    case ST_J_INT:
    case ST_J_BIG:
    case ST_J_FLOAT: st_j_buf_add(b, st_j_str(b->r, v)); break;
    default: ST_J_FAIL(b->r, "%s cannot be printed", st_j_kind_name(v)); /* Python would print an address */
    }
    st_j_leave(b->r);
}
