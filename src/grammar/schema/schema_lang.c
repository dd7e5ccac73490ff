/* schema_lang.c: sets of strings as terms, each kept once, and their derivatives (Brzozowski 1964): with respect to a
 * character, what may follow it. And, or and not are terms like others, which is what patterns that look ahead, and
 * patterns beside lengths and formats, come down to. */
#include "base/utf8.h"
#include "grammar/schema/schema_lang_internal.h"

#define MAX_CP    0x10ffffu
#define MAX_DEPTH 120 /* of a recursion over terms */

uint32_t st_slang_fail(st_slang *l, const char *why)
{
    if (!l->error) l->error = why;
    return ST_SL_NONE;
}

const char *st_slang_error(const st_slang *l)
{
    return l->error;
}

uint32_t st_slang_steps(const st_slang *l)
{
    return l->steps;
}

/* ---- terms ------------------------------------------------------------------------------------------------------- */

static uint32_t lang_mix(uint32_t h, uint32_t v)
{
    h = (h ^ v) * 0x9e3779b1u;
    return h ^ h >> 15;
}

static uint32_t lang_term_hash(const st_slterm *t)
{
    return lang_mix(lang_mix(lang_mix(lang_mix(lang_mix(0, t->kind), t->a), t->b), t->min), t->max);
}

static bool lang_rehash(st_slang *l)
{
    size_t cap = l->hash_cap ? l->hash_cap * 2 : 256;
    uint32_t *p = st_calloc(l->mem, cap, sizeof *p);
    if (!p) return false;
    st_free(l->mem, l->hash);
    l->hash = p;
    l->hash_cap = cap;
    for (uint32_t i = 0; i < l->n_terms; i++) {
        uint32_t *slot = &p[lang_term_hash(&l->terms[i]) & (cap - 1)];
        l->terms[i].hash_next = *slot;
        *slot = i + 1;
    }
    return true;
}

static uint32_t lang_term(st_slang *l, st_slterm t)
{
    if (l->error) return ST_SL_NONE;
    for (uint32_t k = l->hash[lang_term_hash(&t) & (l->hash_cap - 1)]; k; k = l->terms[k - 1].hash_next) {
        const st_slterm *h = &l->terms[k - 1];
        if (h->kind == t.kind && h->a == t.a && h->b == t.b && h->min == t.min && h->max == t.max) return k - 1;
    }
    if (l->n_terms == ST_SL_MAX_TERMS) return st_slang_fail(l, "too large together");
    if (!st_grow(l->mem, &l->terms, &l->terms_cap, l->n_terms + 1, l->n_terms, sizeof *l->terms) ||
        (l->n_terms >= l->hash_cap && !lang_rehash(l)))
        return st_slang_fail(l, "");
    uint32_t id = (uint32_t)l->n_terms++, *slot = &l->hash[lang_term_hash(&t) & (l->hash_cap - 1)];
    t.hash_next = *slot;
    l->terms[id] = t;
    *slot = id + 1;
    return id;
}

static inline bool lang_has_empty(const st_slang *l, uint32_t t)
{
    return l->terms[t].empty;
}

uint32_t st_slang_cat(st_slang *l, uint32_t a, uint32_t b)
{
    if (a == ST_SL_NONE || b == ST_SL_NONE) return ST_SL_NONE;
    if (a == ST_SL_EMPTY) return b;
    if (b == ST_SL_EMPTY) return a;
    return lang_term(
        l, (st_slterm){.kind = ST_SL_CAT, .a = a, .b = b, .empty = lang_has_empty(l, a) && lang_has_empty(l, b)});
}

uint32_t st_slang_repeat(st_slang *l, uint32_t a, uint32_t min, uint32_t max)
{
    if (max == 0 || a == ST_SL_EMPTY) return ST_SL_EMPTY;
    if (a == ST_SL_NONE) return min ? ST_SL_NONE : ST_SL_EMPTY;
    if (lang_has_empty(l, a)) min = 0;
    if (min == 1 && max == 1) return a;
    return lang_term(l, (st_slterm){.kind = ST_SL_REP, .a = a, .min = min, .max = max, .empty = min == 0});
}

/* A sorted list without doubles, nested to the right: so that equal sets are equal terms and states come back. */
static uint32_t lang_join(st_slang *l, uint32_t kind, uint32_t a, uint32_t b)
{
    uint32_t zero = kind == ST_SL_OR ? ST_SL_NONE : l->all, one = kind == ST_SL_OR ? l->all : ST_SL_NONE;
    if (l->error) return ST_SL_NONE;
    if (a == one || b == one) return one;
    if (a == zero || a == b) return b;
    if (b == zero) return a;
    size_t n = 0;
    while (a != ST_S_NONE || b != ST_S_NONE) {
        uint32_t x = a == ST_S_NONE ? a : l->terms[a].kind == kind ? l->terms[a].a : a;
        uint32_t y = b == ST_S_NONE ? b : l->terms[b].kind == kind ? l->terms[b].a : b, least = x < y ? x : y;
        if (x == least) a = l->terms[a].kind == kind ? l->terms[a].b : ST_S_NONE;
        if (y == least) b = l->terms[b].kind == kind ? l->terms[b].b : ST_S_NONE;
        if (!st_grow(l->mem, &l->scratch, &l->scratch_cap, n + 1, n, sizeof *l->scratch)) return st_slang_fail(l, "");
        l->scratch[n++] = least;
    }
    if (n > ST_SL_MAX_STEPS - l->steps) return st_slang_fail(l, "too large together");
    l->steps += (uint32_t)n;
    uint32_t t = l->scratch[--n];
    while (n > 0) {
        uint32_t x = l->scratch[--n];
        bool empty = kind == ST_SL_OR ? lang_has_empty(l, x) || lang_has_empty(l, t)
                                      : lang_has_empty(l, x) && lang_has_empty(l, t);
        t = lang_term(l, (st_slterm){.kind = kind, .a = x, .b = t, .empty = empty});
    }
    return t;
}

/* ---- multiples --------------------------------------------------------------------------------------------------- */

static uint32_t lang_multiple(st_slang *l, uint32_t rest, uint32_t digits, uint32_t n, uint32_t scale)
{
    uint64_t r = rest; /* as if the digits that are not written were 0 */
    for (uint32_t i = digits ? digits - 1 : 0; i < scale; i++) r = r * 10 % n;
    return lang_term(l,
                     (st_slterm){.kind = ST_SL_MOD, .a = rest, .b = digits, .min = n, .max = scale, .empty = r == 0});
}

uint32_t st_slang_multiple(st_slang *l, uint32_t n, uint32_t scale)
{
    return lang_multiple(l, 0, 0, n, scale);
}

static uint32_t lang_derive_multiple(st_slang *l, const st_slterm *t, uint32_t cp)
{
    if (cp == '.' && t->b == 0) return lang_multiple(l, t->a, 1, t->min, t->max);
    if (cp == '-' && t->b == 0) return lang_multiple(l, t->a, 0, t->min, t->max);
    if (cp < '0' || cp > '9') return ST_SL_NONE;
    if (t->b > t->max) return cp == '0' ? lang_multiple(l, t->a, t->b, t->min, t->max) : ST_SL_NONE;
    return lang_multiple(l, (uint32_t)(((uint64_t)t->a * 10 + (cp - '0')) % t->min), t->b ? t->b + 1 : 0, t->min,
                         t->max);
}

uint32_t st_slang_and(st_slang *l, uint32_t a, uint32_t b)
{
    return lang_join(l, ST_SL_AND, a, b);
}

uint32_t st_slang_or(st_slang *l, uint32_t a, uint32_t b)
{
    return lang_join(l, ST_SL_OR, a, b);
}

uint32_t st_slang_not(st_slang *l, uint32_t a)
{
    if (l->error) return ST_SL_NONE;
    if (l->terms[a].kind == ST_SL_NOT) return l->terms[a].a;
    return lang_term(l, (st_slterm){.kind = ST_SL_NOT, .a = a, .empty = !lang_has_empty(l, a)});
}

static uint32_t lang_set(st_slang *l, const st_srange *r, size_t n)
{
    for (size_t at = 0; at + n <= l->n_ranges; at++) /* few: patterns have some dozens */
        if (n && memcmp(l->ranges + at, r, n * sizeof *r) == 0)
            return lang_term(l, (st_slterm){.kind = ST_SL_SET, .a = (uint32_t)at, .b = (uint32_t)n});
    if (n == 0) return ST_SL_NONE;
    if (!st_grow(l->mem, &l->ranges, &l->ranges_cap, l->n_ranges + n, l->n_ranges, sizeof *l->ranges))
        return st_slang_fail(l, "");
    memcpy(l->ranges + l->n_ranges, r, n * sizeof *r);
    l->n_ranges += n;
    return lang_term(l, (st_slterm){.kind = ST_SL_SET, .a = (uint32_t)(l->n_ranges - n), .b = (uint32_t)n});
}

/* ---- making them ------------------------------------------------------------------------------------------------- */

st_slang *st_slang_open(st_mem *mem)
{
    st_slang *l = st_calloc(mem, 1, sizeof *l);
    if (!l) return NULL;
    l->mem = mem;
    if (!lang_rehash(l)) {
        st_slang_close(l);
        return NULL;
    }
    l->all = ST_S_NONE;
    lang_term(l, (st_slterm){.kind = ST_SL_NONE});
    lang_term(l, (st_slterm){.kind = ST_SL_EMPTY, .empty = true});
    l->any = lang_set(l, &(st_srange){0, MAX_CP}, 1);
    for (uint32_t c = '-'; c <= '9'; c++) lang_set(l, &(st_srange){c, c}, 1); /* what multiples tell apart */
    l->all = st_slang_not(l, ST_SL_NONE);
    return l;
}

void st_slang_close(st_slang *l)
{
    if (!l) return;
    st_mem *mem = l->mem;
    void *all[] = {l->terms, l->ranges, l->hash, l->keys, l->values, l->scratch, l};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(mem, all[i]);
}

uint32_t st_slang_length(st_slang *l, uint32_t min, uint32_t max)
{
    return min == 0 && max == ST_S_NONE ? l->all : st_slang_repeat(l, l->any, min, max);
}

uint32_t st_slang_string(st_slang *l, const char *p, size_t n)
{
    uint32_t t = ST_SL_EMPTY;
    for (size_t end = n; end > 0;) {
        size_t at = end - 1;
        unsigned len;
        while (at > 0 && ((uint8_t)p[at] & 0xc0) == 0x80) at--;
        uint32_t cp = st_utf8_get((const uint8_t *)p + at, &len);
        t = st_slang_cat(l, lang_set(l, &(st_srange){cp, cp}, 1), t);
        end = at;
    }
    return t;
}

static bool lang_looks(const st_sregex *r, uint32_t id)
{
    const st_srnode *n = &r->nodes[id];
    if (n->kind == ST_SR_LOOK) return true;
    if (n->kind == ST_SR_SET || n->kind == ST_SR_ANY) return false;
    if (n->kind == ST_SR_REP) return lang_looks(r, n->first);
    for (uint32_t k = n->first; k != ST_S_NONE; k = r->nodes[k].next)
        if (lang_looks(r, k)) return true;
    return false;
}

/* The node and then `next`, which is all of the text that follows. */
static uint32_t lang_build(st_slang *l, const st_sregex *r, uint32_t id, uint32_t next)
{
    const st_srnode *n = &r->nodes[id];
    uint32_t t = ST_SL_NONE;
    if (l->error) return ST_SL_NONE;
    if (++l->steps > ST_SL_MAX_STEPS) return st_slang_fail(l, "too large together");
    switch (n->kind) {
    case ST_SR_SET: return st_slang_cat(l, lang_set(l, r->ranges + n->first, n->last), next);
    case ST_SR_ANY: return st_slang_cat(l, l->any, next);
    case ST_SR_LOOK:
        t = lang_build(l, r, n->first, ST_SL_EMPTY);
        return st_slang_and(l, n->min ? st_slang_not(l, t) : t, next);
    case ST_SR_REP:
        if (!lang_looks(r, n->first)) {
            if (r->nodes[n->first].kind == ST_SR_ANY && n->min == 0 && n->max == ST_S_NONE)
                return st_slang_cat(l, l->all, next);
            return st_slang_cat(l, st_slang_repeat(l, lang_build(l, r, n->first, ST_SL_EMPTY), n->min, n->max), next);
        }
        if (n->max > 1) return st_slang_fail(l, "looking ahead inside a repetition is not supported");
        if (n->max == 0) return next;
        t = lang_build(l, r, n->first, next);
        return n->min ? t : st_slang_or(l, t, next);
    case ST_SR_ALT:
        if (!lang_looks(r, id)) {
            for (uint32_t k = n->first; k != ST_S_NONE; k = r->nodes[k].next)
                t = st_slang_or(l, t, lang_build(l, r, k, ST_SL_EMPTY));
            return st_slang_cat(l, t, next);
        }
        for (uint32_t k = n->first; k != ST_S_NONE; k = r->nodes[k].next)
            t = st_slang_or(l, t, lang_build(l, r, k, next));
        return t;
    default: break;
    }
    /* A sequence from its end. */
    size_t m = 0;
    for (uint32_t k = n->first; k != ST_S_NONE; k = r->nodes[k].next) m++;
    uint32_t *list = st_alloc(l->mem, m + 1, sizeof *list);
    if (!list) return st_slang_fail(l, "");
    m = 0;
    for (uint32_t k = n->first; k != ST_S_NONE; k = r->nodes[k].next) list[m++] = k;
    while (m > 0) next = lang_build(l, r, list[--m], next);
    st_free(l->mem, list);
    return next;
}

uint32_t st_slang_pattern(st_slang *l, const st_sregex *r)
{
    return lang_build(l, r, r->root, ST_SL_EMPTY);
}

/* ---- derivatives ------------------------------------------------------------------------------------------------- */

static bool lang_known_grow(st_slang *l)
{
    size_t cap = l->known_cap ? l->known_cap * 2 : 512;
    uint64_t *keys = st_alloc(l->mem, cap, sizeof *keys);
    uint32_t *values = st_calloc(l->mem, cap, sizeof *values);
    if (!keys || !values) {
        st_free(l->mem, keys);
        st_free(l->mem, values);
        return false;
    }
    for (size_t i = 0; i < l->known_cap; i++) {
        if (!l->values[i]) continue;
        size_t at = lang_mix(lang_mix(0, (uint32_t)l->keys[i]), (uint32_t)(l->keys[i] >> 32)) & (cap - 1);
        while (values[at]) at = (at + 1) & (cap - 1);
        keys[at] = l->keys[i];
        values[at] = l->values[i];
    }
    st_free(l->mem, l->keys);
    st_free(l->mem, l->values);
    l->keys = keys;
    l->values = values;
    l->known_cap = cap;
    return true;
}

static size_t lang_known_slot(const st_slang *l, uint64_t key)
{
    size_t at = lang_mix(lang_mix(0, (uint32_t)key), (uint32_t)(key >> 32)) & (l->known_cap - 1);
    while (l->values[at] && l->keys[at] != key) at = (at + 1) & (l->known_cap - 1);
    return at;
}

static uint32_t lang_derive(st_slang *l, uint32_t id, uint32_t cp, int depth);

static uint32_t lang_derive_new(st_slang *l, uint32_t id, uint32_t cp, int depth)
{
    const st_slterm t = l->terms[id];
    uint32_t got = ST_SL_NONE, kind = t.kind;
    switch (kind) {
    case ST_SL_SET:
        for (uint32_t i = 0; i < t.b; i++)
            if (cp >= l->ranges[t.a + i].lo && cp <= l->ranges[t.a + i].hi) return ST_SL_EMPTY;
        return ST_SL_NONE;
    case ST_SL_CAT:
        for (;;) { /* along the items that may be empty */
            const st_slterm c = l->terms[id];
            if (c.kind != ST_SL_CAT) return st_slang_or(l, got, lang_derive(l, id, cp, depth));
            got = st_slang_or(l, got, st_slang_cat(l, lang_derive(l, c.a, cp, depth), c.b));
            if (!lang_has_empty(l, c.a) || l->error) return got;
            id = c.b;
        }
    case ST_SL_OR:
    case ST_SL_AND:
        got = kind == ST_SL_OR ? ST_SL_NONE : l->all;
        for (;;) {
            const st_slterm c = l->terms[id];
            if (c.kind != kind || l->error) return lang_join(l, kind, got, lang_derive(l, id, cp, depth));
            got = lang_join(l, kind, got, lang_derive(l, c.a, cp, depth));
            id = c.b;
        }
    case ST_SL_MOD: return lang_derive_multiple(l, &t, cp);
    case ST_SL_NOT: return st_slang_not(l, lang_derive(l, t.a, cp, depth));
    case ST_SL_REP:
        return st_slang_cat(l, lang_derive(l, t.a, cp, depth),
                            st_slang_repeat(l, t.a, t.min ? t.min - 1 : 0, t.max == ST_S_NONE ? t.max : t.max - 1));
    default: return ST_SL_NONE;
    }
}

static uint32_t lang_derive(st_slang *l, uint32_t id, uint32_t cp, int depth)
{
    uint64_t key = (uint64_t)id << 32 | cp;
    if (l->error) return ST_SL_NONE;
    if (id <= ST_SL_EMPTY) return ST_SL_NONE;
    if (depth == 0) return st_slang_fail(l, "nested too deep together");
    if (2 * (l->n_known + 1) > l->known_cap && !lang_known_grow(l)) return st_slang_fail(l, "");
    size_t at = lang_known_slot(l, key);
    if (l->values[at]) return l->values[at] - 1;
    if (++l->steps > ST_SL_MAX_STEPS) return st_slang_fail(l, "too large together");
    uint32_t to = lang_derive_new(l, id, cp, depth - 1);
    if (l->error) return ST_SL_NONE;
    if (2 * (l->n_known + 1) > l->known_cap && !lang_known_grow(l)) return st_slang_fail(l, "");
    at = lang_known_slot(l, key);
    l->keys[at] = key;
    l->values[at] = to + 1;
    l->n_known++;
    return to;
}

uint32_t st_slang_derive(st_slang *l, uint32_t t, uint32_t cp)
{
    return lang_derive(l, t, cp, MAX_DEPTH);
}

bool st_slang_has(st_slang *l, uint32_t t, const char *p, size_t n)
{
    for (size_t i = 0; i < n && t != ST_SL_NONE;) {
        unsigned len;
        uint32_t cp = st_utf8_get((const uint8_t *)p + i, &len);
        t = st_slang_derive(l, t, cp);
        i += len;
    }
    return !l->error && lang_has_empty(l, t);
}
