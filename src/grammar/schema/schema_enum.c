/* schema_enum.c: enumerations -> GBNF. Which values are left is told by tables of hashes, and they are written as a
 * trie, so that a state of the automaton is never all of them. */
#include "base/sort.h"
#include "grammar/schema/schema_rules.h"

/* ---- which values ------------------------------------------------------------------------------------------------ */

/* Takes the values out that the enum (or const) at `k` does not have. */
static int enum_intersect(st_schema *s, uint32_t k, bool list, st_svalues *v)
{
    uint32_t first = list ? st_schema_node(s, k)->first : k, n = list ? st_schema_node(s, k)->n : 1;
    size_t cap = 16;
    while (cap < 2 * (size_t)n) cap *= 2;
    uint32_t *table = st_calloc(s->json.mem, cap, sizeof *table);
    if (!table) return st_schema_no_memory(s);
    for (uint32_t i = first; i != ST_S_NONE; i = list ? st_schema_node(s, i)->next : ST_S_NONE) {
        size_t at = st_schema_hash(s, i) & (cap - 1);
        while (table[at] && !st_schema_same(s, table[at] - 1, i)) at = (at + 1) & (cap - 1);
        table[at] = i + 1;
    }
    size_t m = 0;
    for (size_t i = 0; i < v->n; i++) {
        size_t at = st_schema_hash(s, v->p[i]) & (cap - 1);
        while (table[at] && !st_schema_same(s, table[at] - 1, v->p[i])) at = (at + 1) & (cap - 1);
        if (table[at]) v->p[m++] = v->p[i];
    }
    v->n = m;
    st_free(s->json.mem, table);
    s->steps += n / 8;
    return st_schema_step(s, k);
}

int st_slist_values(st_schema *s, const st_slist *l, bool *is, st_svalues *out)
{
    *is = false;
    size_t from = out->n;
    for (uint32_t i = 0; i < l->n; i++)
        for (int one = 0; one < 2; one++) {
            uint32_t k = st_schema_get(s, l->e[i].node, one ? "const" : "enum");
            if (k == ST_S_NONE) continue;
            if (!one && (st_schema_node(s, k)->type != ST_J_ARRAY || !st_schema_node(s, k)->n))
                return st_json_error(&s->json, st_schema_node(s, k)->at, "enum, want a list with a value at least");
            if (*is) { /* only those that were found before */
                st_svalues part = {.p = out->p + from, .n = out->n - from};
                ST_TRY(enum_intersect(s, k, !one, &part));
                out->n = from + part.n;
                continue;
            }
            *is = true;
            for (uint32_t v = one ? k : st_schema_node(s, k)->first; v != ST_S_NONE;
                 v = one ? ST_S_NONE : st_schema_node(s, v)->next) {
                if (!st_grow(s->json.mem, &out->p, &out->cap, out->n + 1, out->n, sizeof *out->p))
                    return st_schema_no_memory(s);
                out->p[out->n++] = v;
            }
        }
    if (!*is) return STRATA_OK;
    size_t m = from;
    for (uint32_t i = 0; i < l->n && out->n > from; i++) { /* one schema for all values: its pattern is read once */
        m = from;
        for (size_t k = from; k < out->n; k++) {
            bool ok;
            ST_TRY(st_schema_check(s, l->e[i].node, out->p[k], true, &ok));
            if (ok) out->p[m++] = out->p[k];
        }
        out->n = m;
    }
    return STRATA_OK;
}

/* ---- as a trie --------------------------------------------------------------------------------------------------- */

typedef struct text {
    size_t at, len; /* in the pool */
} text;

_Static_assert(sizeof(text) <= ST_SORT_SIZE, "st_sort keeps one aside");

typedef struct span {
    size_t lo, hi, at; /* texts [lo, hi) agree in their first `at` bytes */
    size_t id;
} span;

static bool enum_text_less(const void *user, const void *a, const void *b)
{
    const st_sbuf *pool = user;
    text x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    int c = memcmp(pool->p + x.at, pool->p + y.at, x.len < y.len ? x.len : y.len);
    return c ? c < 0 : x.len < y.len;
}

/* Bytes from `at` on in which the first and the last of a span agree, and so all: whole characters. */
static size_t enum_agreed(const st_sbuf *b, text x, text y, size_t at)
{
    const char *p = b->p + x.at, *q = b->p + y.at;
    size_t n = x.len < y.len ? x.len : y.len, i = at;
    while (i < n && p[i] == q[i]) i++;
    while (i > at && i < x.len && ((uint8_t)p[i] & 0xc0) == 0x80) i--;
    return i;
}

static size_t enum_cp_len(const char *p)
{
    uint8_t b = (uint8_t)*p;
    return b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

/* Rules rID-eK; the first is the whole. */
static int enum_write_trie(st_swriter *w, const st_sbuf *pool, const text *t, size_t n)
{
    st_schema *s = w->s;
    span *todo = NULL;
    size_t n_todo = 0, cap = 0, ids = 1;
    int rc = STRATA_OK;
    if (!st_grow(s->json.mem, &todo, &cap, 1, 0, sizeof *todo)) return st_schema_no_memory(s);
    todo[n_todo++] = (span){0, n, 0, 0};
    while (n_todo > 0 && !rc) {
        span q = todo[--n_todo];
        st_sbuf_fmt(&s->out, "r%u-e%zu ::= ", w->id, q.id);
        bool bar = false;
        if (t[q.lo].len == q.at) { /* it ends here */
            st_sbuf_str(&s->out, "\"\"");
            q.lo++;
            bar = true;
        }
        for (size_t i = q.lo, j; i < q.hi && !rc; i = j) {
            const char *p = pool->p + t[i].at + q.at;
            size_t len = enum_cp_len(p);
            for (j = i + 1; j < q.hi && memcmp(pool->p + t[j].at + q.at, p, len) == 0;) j++;
            size_t to = j == i + 1 ? t[i].len : enum_agreed(pool, t[i], t[j - 1], q.at);
            if (bar) st_sbuf_str(&s->out, " | ");
            bar = true;
            st_sbuf_literal(&s->out, p, to - q.at);
            if (j == i + 1) continue;
            st_sbuf_fmt(&s->out, " r%u-e%zu", w->id, ids);
            if (!st_grow(s->json.mem, &todo, &cap, n_todo + 1, n_todo, sizeof *todo)) rc = st_schema_no_memory(s);
            if (!rc) todo[n_todo++] = (span){i, j, to, ids++};
        }
        st_sbuf_str(&s->out, "\n");
    }
    st_free(s->json.mem, todo);
    return rc;
}

int st_swriter_values(st_swriter *w, const st_svalues *v)
{
    st_schema *s = w->s;
    st_sbuf pool = {.mem = s->json.mem};
    text *t = st_alloc(s->json.mem, v->n, sizeof *t);
    if (!t) return st_schema_no_memory(s);
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        size_t at = pool.n;
        st_json_write(&s->json, v->p[i], &pool);
        t[i] = (text){at, pool.n - at};
    }
    int rc = pool.no_memory || pool.too_long ? st_schema_no_memory(s) : STRATA_OK;
    if (pool.too_long) rc = st_swriter_error(w, "the values of an enum are too long together");
    if (!rc) {
        st_sort(t, v->n, sizeof *t, enum_text_less, &pool);
        for (size_t i = 0; i < v->n; i++)
            if (!n || t[i].len != t[n - 1].len || memcmp(pool.p + t[i].at, pool.p + t[n - 1].at, t[i].len) != 0)
                t[n++] = t[i];
        if (n > 1) rc = enum_write_trie(w, &pool, t, n);
        st_swriter_bar(w);
        if (n > 1)
            st_sbuf_fmt(&w->b, "r%u-e0", w->id);
        else
            st_sbuf_literal(&w->b, pool.p + t[0].at, t[0].len);
    }
    st_free(s->json.mem, t);
    st_free(s->json.mem, pool.p);
    return rc;
}
