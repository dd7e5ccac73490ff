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

int st_sjson_error(const st_sjson *j, size_t at, const char *fmt, ...)
{
    char msg[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    size_t line, column;
    st_utf8_position(j->text, j->len, at, &line, &column);
    ST_FAIL(j->err, STRATA_BAD_GRAMMAR, "schema %zu:%zu: %s", line, column, msg);
}

int st_sjson_no_memory(const st_sjson *j)
{
    st_error_set(j->err, STRATA_NO_MEMORY, "no memory for a schema of %zu bytes", j->len);
    return STRATA_NO_MEMORY;
}

/* What the string at hand says, into the pool. */
static int schema_json_keep(st_sjson *j, const st_json *r, uint32_t *str, uint32_t *len)
{
    st_sbuf *pool = &j->pool;
    if (!st_grow(j->mem, &pool->p, &pool->cap, pool->n + st_json_room(r) + 1, pool->n, 1)) return st_sjson_no_memory(j);
    *str = (uint32_t)pool->n;
    *len = (uint32_t)st_json_string(r, pool->p + pool->n);
    pool->n += *len;
    pool->p[pool->n] = 0;
    return STRATA_OK;
}

static int schema_json_add(st_sjson *j, const st_json *r, st_json_event e, st_sjson_node *out)
{
    if (!st_grow(j->mem, &j->nodes, &j->nodes_cap, j->n_nodes + 1, j->n_nodes, sizeof *j->nodes))
        return st_sjson_no_memory(j);
    out->type = (uint8_t)e;
    out->at = (uint32_t)r->from;
    out->first = out->next = ST_S_NONE;
    if (e == ST_JSON_STRING) ST_TRY(schema_json_keep(j, r, &out->str, &out->len));
    if (e == ST_JSON_NUMBER) out->str = (uint32_t)r->from, out->len = (uint32_t)(r->to - r->from);
    j->nodes[j->n_nodes++] = *out;
    return STRATA_OK;
}

/* An array or object that is open: its node, and its last child's. */
typedef struct level {
    uint32_t id, last;
} level;

/* The name at hand, of the object `in`, for the member that follows. */
static int schema_json_name(st_sjson *j, const st_json *r, uint32_t in, st_sjson_node *member)
{
    ST_TRY(schema_json_keep(j, r, &member->key, &member->key_len));
    /* Not in large objects: quadratic. st_sjson_get takes the first. */
    if (j->nodes[in].n < 2000 && st_sjson_get(j, in, j->pool.p + member->key, member->key_len) != ST_S_NONE)
        return st_sjson_error(j, r->from, "a name that stands twice");
    return STRATA_OK;
}

static int schema_json_read(st_sjson *j)
{
    char why[ST_JSON_REASON];
    st_json r;
    level open[MAX_DEPTH + 1] = {{0}}, *top = open; /* the first stands for outside of the document */
    st_sjson_node node = {0};
    st_json_begin(&r, j->text, j->len, MAX_DEPTH, 0);
    for (st_json_event e; (e = st_json_next(&r)) != ST_JSON_END;) {
        if (e == ST_JSON_ERROR) return st_sjson_error(j, r.at, "%s", st_json_reason(&r, why));
        if (e == ST_JSON_CLOSE) {
            top--;
        } else if (e == ST_JSON_NAME) {
            ST_TRY(schema_json_name(j, &r, top->id, &node));
        } else {
            uint32_t id = (uint32_t)j->n_nodes;
            ST_TRY(schema_json_add(j, &r, e, &node));
            if (id) {
                j->nodes[top->id].n++;
                *(top->last == ST_S_NONE ? &j->nodes[top->id].first : &j->nodes[top->last].next) = id;
                top->last = id;
            }
            if (e == ST_JSON_ARRAY || e == ST_JSON_OBJECT) *++top = (level){id, ST_S_NONE};
            node = (st_sjson_node){0};
        }
    }
    return STRATA_OK;
}

int st_sjson_parse(st_sjson *j)
{
    j->pool.mem = j->mem;
    if (j->len > ST_S_MAX_JSON)
        ST_FAIL(j->err, STRATA_BAD_GRAMMAR, "a schema of %zu bytes, want at most %zu", j->len, ST_S_MAX_JSON);
    const char *wrong = st_utf8_begin(&j->text, &j->len);
    if (wrong) ST_FAIL(j->err, STRATA_BAD_GRAMMAR, "schema: %s", wrong);
    return schema_json_read(j);
}

void st_sjson_free(st_sjson *j)
{
    st_free(j->mem, j->nodes);
    st_free(j->mem, j->pool.p);
}

uint32_t st_sjson_get(const st_sjson *j, uint32_t object, const char *key, size_t key_len)
{
    if (j->nodes[object].type != ST_JSON_OBJECT) return ST_S_NONE;
    for (uint32_t k = j->nodes[object].first; k != ST_S_NONE; k = j->nodes[k].next)
        if (j->nodes[k].key_len == key_len && (!key_len || memcmp(j->pool.p + j->nodes[k].key, key, key_len) == 0))
            return k;
    return ST_S_NONE;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

void st_sjson_write_string(st_sbuf *out, const char *p, size_t n)
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
void st_sjson_write(const st_sjson *j, uint32_t node, st_sbuf *out)
{
    const st_sjson_node *n = &j->nodes[node];
    switch (n->type) {
    case ST_JSON_NULL: st_sbuf_str(out, "null"); return;
    case ST_JSON_FALSE: st_sbuf_str(out, "false"); return;
    case ST_JSON_TRUE: st_sbuf_str(out, "true"); return;
    case ST_JSON_NUMBER: st_sbuf_put(out, j->text + n->str, n->len); return;
    case ST_JSON_STRING: st_sjson_write_string(out, j->pool.p + n->str, n->len); return;
    default: break;
    }
    bool object = n->type == ST_JSON_OBJECT;
    st_sbuf_str(out, object ? "{" : "[");
    for (uint32_t k = n->first; k != ST_S_NONE; k = j->nodes[k].next) {
        if (k != n->first) st_sbuf_str(out, ",");
        if (object) {
            st_sjson_write_string(out, j->pool.p + j->nodes[k].key, j->nodes[k].key_len);
            st_sbuf_str(out, ":");
        }
        st_sjson_write(j, k, out);
    }
    st_sbuf_str(out, object ? "}" : "]");
}
