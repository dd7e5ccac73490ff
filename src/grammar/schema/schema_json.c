/* schema_json.c: JSON text -> tree, and back. */
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"
#include "grammar/grammar.h"
#include "grammar/schema/schema_internal.h"

#define MAX_DEPTH 64

/* ---- text -------------------------------------------------------------------------------------------------------- */

void st_sbuf_put(st_sbuf *b, const char *p, size_t n)
{
    if (b->no_memory || b->too_long || n == 0) return;
    if (b->n + n > ST_S_MAX_OUT)
        b->too_long = true;
    else if (!st_grow(b->mem, &b->p, &b->cap, b->n + n + 1, b->n, 1))
        b->no_memory = true;
    if (b->no_memory || b->too_long) return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void st_sbuf_str(st_sbuf *b, const char *s)
{
    st_sbuf_put(b, s, strlen(s));
}

void st_sbuf_fmt(st_sbuf *b, const char *fmt, ...)
{
    char s[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s, sizeof s, fmt, ap);
    va_end(ap);
    st_sbuf_put(b, s, n < 0 ? 0 : (size_t)n < sizeof s ? (size_t)n : sizeof s - 1);
}

void st_sbuf_literal(st_sbuf *b, const char *p, size_t n)
{
    st_sbuf_str(b, "\"");
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];
        if (c == '"' || c == '\\')
            st_sbuf_fmt(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            st_sbuf_fmt(b, "\\x%02X", c);
        else
            st_sbuf_put(b, p + i, 1);
    }
    st_sbuf_str(b, "\"");
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct reader {
    st_json *j;
    size_t i;
    int depth;
} reader;

int st_json_error(const st_json *j, size_t at, const char *fmt, ...)
{
    char msg[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < j->len; i++) {
        if (j->text[i] == '\n')
            line++, column = 1;
        else if (((uint8_t)j->text[i] & 0xc0) != 0x80)
            column++;
    }
    ST_FAIL(j->err, STRATA_BAD_GRAMMAR, "schema %zu:%zu: %s", line, column, msg);
}

static int schema_json_no_memory(const st_json *j)
{
    st_error_set(j->err, STRATA_NO_MEMORY, "no memory for a schema of %zu bytes", j->len);
    return STRATA_NO_MEMORY;
}

static char schema_json_peek(const reader *r)
{
    return r->i < r->j->len ? r->j->text[r->i] : 0;
}

static void schema_json_skip_space(reader *r)
{
    while (schema_json_peek(r) == ' ' || schema_json_peek(r) == '\t' || schema_json_peek(r) == '\n' ||
           schema_json_peek(r) == '\r')
        r->i++;
}

static int schema_json_want(const reader *r, const char *what)
{
    if (r->i >= r->j->len) return st_json_error(r->j, r->i, "found the end, want %s", what);
    uint8_t c = (uint8_t)schema_json_peek(r);
    if (c < 0x20 || c >= 0x7f) return st_json_error(r->j, r->i, "found byte 0x%02x, want %s", c, what);
    return st_json_error(r->j, r->i, "found '%c', want %s", c, what);
}

static int schema_json_read_hex4(reader *r, uint32_t *v)
{
    *v = 0;
    for (int k = 0; k < 4; k++, r->i++) {
        char c = schema_json_peek(r);
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return schema_json_want(r, "four hexadecimal digits");
        *v = *v << 4 | (uint32_t)d;
    }
    return STRATA_OK;
}

static int schema_json_read_escape(reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t at = r->i++;
    char c = schema_json_peek(r);
    const char *k = c ? strchr(from, c) : NULL;
    r->i++;
    if (k) return st_sbuf_put(&r->j->pool, &to[k - from], 1), STRATA_OK;
    if (c != 'u') return r->i--, schema_json_want(r, "an escape of JSON");
    uint32_t cp, low;
    uint8_t utf8[4];
    ST_TRY(schema_json_read_hex4(r, &cp));
    if (cp >= 0xd800 && cp < 0xdc00 && schema_json_peek(r) == '\\' && r->i + 1 < r->j->len &&
        r->j->text[r->i + 1] == 'u') {
        r->i += 2;
        ST_TRY(schema_json_read_hex4(r, &low));
        if (low >= 0xdc00 && low < 0xe000) cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    }
    if (cp >= 0xd800 && cp < 0xe000) return st_json_error(r->j, at, "half a surrogate pair");
    st_sbuf_put(&r->j->pool, (const char *)utf8, st_utf8_put(utf8, cp));
    return STRATA_OK;
}

static int schema_json_read_string(reader *r, uint32_t *str, uint32_t *len)
{
    size_t open = r->i++;
    *str = (uint32_t)r->j->pool.n;
    for (;;) {
        if (r->i >= r->j->len) return st_json_error(r->j, open, "a string without end");
        char c = schema_json_peek(r);
        if (c == '"') break;
        if ((uint8_t)c < 0x20) return schema_json_want(r, "an escape: control characters may not stand in a string");
        if (c == '\\') {
            ST_TRY(schema_json_read_escape(r));
        } else {
            st_sbuf_put(&r->j->pool, &c, 1);
            r->i++;
        }
    }
    r->i++;
    *len = (uint32_t)r->j->pool.n - *str;
    return STRATA_OK;
}

static bool schema_json_digits(reader *r)
{
    size_t from = r->i;
    while (schema_json_peek(r) >= '0' && schema_json_peek(r) <= '9') r->i++;
    return r->i > from;
}

static int schema_json_read_number(reader *r, st_json_node *n)
{
    n->str = (uint32_t)r->i;
    if (schema_json_peek(r) == '-') r->i++;
    if (schema_json_peek(r) == '0')
        r->i++;
    else if (!schema_json_digits(r))
        return schema_json_want(r, "a digit");
    if (schema_json_peek(r) == '.') {
        r->i++;
        if (!schema_json_digits(r)) return schema_json_want(r, "a digit");
    }
    if (schema_json_peek(r) == 'e' || schema_json_peek(r) == 'E') {
        r->i++;
        if (schema_json_peek(r) == '+' || schema_json_peek(r) == '-') r->i++;
        if (!schema_json_digits(r)) return schema_json_want(r, "a digit");
    }
    n->len = (uint32_t)r->i - n->str;
    return STRATA_OK;
}

static int schema_json_read_value(reader *r, uint32_t *id);

static int schema_json_read_members(reader *r, uint32_t id, bool object)
{
    st_json *j = r->j;
    uint32_t last = ST_S_NONE, n = 0;
    char close = object ? '}' : ']';
    if (++r->depth > MAX_DEPTH) return st_json_error(j, r->i, "nested deeper than %d", MAX_DEPTH);
    r->i++;
    schema_json_skip_space(r);
    while (schema_json_peek(r) != close) {
        uint32_t key = 0, key_len = 0, child = 0;
        if (n) {
            if (schema_json_peek(r) != ',') return schema_json_want(r, object ? "',' or '}'" : "',' or ']'");
            r->i++;
            schema_json_skip_space(r);
        }
        if (object) {
            if (schema_json_peek(r) != '"') return schema_json_want(r, "a name in quotes");
            size_t at = r->i;
            ST_TRY(schema_json_read_string(r, &key, &key_len));
            if (j->pool.no_memory) return schema_json_no_memory(j);
            /* Not in large objects: quadratic. st_json_get takes the first. */
            if (n < 2000 && st_json_get(j, id, j->pool.p ? j->pool.p + key : "", key_len) != ST_S_NONE)
                return st_json_error(j, at, "a name that stands twice");
            schema_json_skip_space(r);
            if (schema_json_peek(r) != ':') return schema_json_want(r, "':'");
            r->i++;
        }
        ST_TRY(schema_json_read_value(r, &child));
        j->nodes[child].key = key;
        j->nodes[child].key_len = key_len;
        if (last == ST_S_NONE)
            j->nodes[id].first = child;
        else
            j->nodes[last].next = child;
        last = child;
        j->nodes[id].n = ++n;
        schema_json_skip_space(r);
    }
    r->i++;
    r->depth--;
    return STRATA_OK;
}

static int schema_json_read_value(reader *r, uint32_t *id)
{
    static const struct {
        const char *word;
        st_json_type type;
    } words[] = {{"null", ST_J_NULL}, {"false", ST_J_FALSE}, {"true", ST_J_TRUE}};
    st_json *j = r->j;
    schema_json_skip_space(r);
    if (!st_grow(j->mem, &j->nodes, &j->nodes_cap, j->n_nodes + 1, j->n_nodes, sizeof *j->nodes))
        return schema_json_no_memory(j);
    *id = (uint32_t)j->n_nodes++;
    st_json_node *n = &j->nodes[*id];
    *n = (st_json_node){.at = (uint32_t)r->i, .first = ST_S_NONE, .next = ST_S_NONE};
    char c = schema_json_peek(r);
    if (c == '{' || c == '[') {
        n->type = c == '{' ? ST_J_OBJECT : ST_J_ARRAY;
        return schema_json_read_members(r, *id, c == '{');
    }
    if (c == '"') {
        n->type = ST_J_STRING;
        return schema_json_read_string(r, &n->str, &n->len);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        n->type = ST_J_NUMBER;
        return schema_json_read_number(r, n);
    }
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        size_t len = strlen(words[k].word);
        if (j->len - r->i < len || memcmp(j->text + r->i, words[k].word, len) != 0) continue;
        n->type = (uint8_t)words[k].type;
        r->i += len;
        return STRATA_OK;
    }
    return schema_json_want(r, "a value of JSON");
}

int st_json_parse(st_json *j)
{
    reader r = {.j = j};
    uint32_t root = 0;
    j->pool.mem = j->mem;
    if (j->len > ST_S_MAX_JSON)
        ST_FAIL(j->err, STRATA_BAD_GRAMMAR, "a schema of %zu bytes, want at most %zu", j->len, ST_S_MAX_JSON);
    const char *wrong = st_utf8_begin(&j->text, &j->len);
    if (wrong) ST_FAIL(j->err, STRATA_BAD_GRAMMAR, "schema: %s", wrong);
    size_t bad = st_utf8_check(j->text, j->len);
    if (bad < j->len) return st_json_error(j, bad, "byte 0x%02x is not UTF-8", (uint8_t)j->text[bad]);
    ST_TRY(schema_json_read_value(&r, &root));
    schema_json_skip_space(&r);
    if (r.i < j->len) return schema_json_want(&r, "the end");
    return j->pool.no_memory ? schema_json_no_memory(j) : STRATA_OK;
}

void st_json_free(st_json *j)
{
    st_free(j->mem, j->nodes);
    st_free(j->mem, j->pool.p);
}

uint32_t st_json_get(const st_json *j, uint32_t object, const char *key, size_t key_len)
{
    if (j->nodes[object].type != ST_J_OBJECT) return ST_S_NONE;
    for (uint32_t k = j->nodes[object].first; k != ST_S_NONE; k = j->nodes[k].next)
        if (j->nodes[k].key_len == key_len && (!key_len || memcmp(j->pool.p + j->nodes[k].key, key, key_len) == 0))
            return k;
    return ST_S_NONE;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

void st_json_write_string(st_sbuf *out, const char *p, size_t n)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    st_sbuf_str(out, "\"");
    for (size_t i = 0; i < n; i++) {
        const char *k = p[i] ? strchr(from, p[i]) : NULL;
        if (k)
            st_sbuf_fmt(out, "\\%c", to[k - from]);
        else if ((uint8_t)p[i] < 0x20)
            st_sbuf_fmt(out, "\\u%04x", (unsigned)(uint8_t)p[i]);
        else
            st_sbuf_put(out, p + i, 1);
    }
    st_sbuf_str(out, "\"");
}

/* Recursion is as deep as the parser allowed. */
void st_json_write(const st_json *j, uint32_t node, st_sbuf *out)
{
    const st_json_node *n = &j->nodes[node];
    switch (n->type) {
    case ST_J_NULL: st_sbuf_str(out, "null"); return;
    case ST_J_FALSE: st_sbuf_str(out, "false"); return;
    case ST_J_TRUE: st_sbuf_str(out, "true"); return;
    case ST_J_NUMBER: st_sbuf_put(out, j->text + n->str, n->len); return;
    case ST_J_STRING: st_json_write_string(out, j->pool.p + n->str, n->len); return;
    default: break;
    }
    bool object = n->type == ST_J_OBJECT;
    st_sbuf_str(out, object ? "{" : "[");
    for (uint32_t k = n->first; k != ST_S_NONE; k = j->nodes[k].next) {
        if (k != n->first) st_sbuf_str(out, ",");
        if (object) {
            st_json_write_string(out, j->pool.p + j->nodes[k].key, j->nodes[k].key_len);
            st_sbuf_str(out, ":");
        }
        st_json_write(j, k, out);
    }
    st_sbuf_str(out, object ? "}" : "]");
}
