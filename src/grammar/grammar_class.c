/* grammar_class.c: sets of code points, each kept once, and the byte automata that read their UTF-8. */
#include <string.h>

#include "grammar/grammar_internal.h"

#define MAX_CP 0x10ffffu

static uint32_t class_mix(uint32_t h, uint32_t v)
{
    h = (h ^ v) * 0x9e3779b1u;
    return h ^ h >> 15;
}

/* Heap sort by lo: no recursion, n log n whatever comes. */
static void class_sort_ranges(st_grange *r, size_t n)
{
    for (size_t i = n / 2, end = n; end > 1;) {
        st_grange e;
        if (i > 0) {
            e = r[--i];
        } else {
            e = r[--end];
            r[end] = r[0];
        }
        size_t at = i;
        for (size_t c; (c = 2 * at + 1) < end; at = c) {
            if (c + 1 < end && r[c + 1].lo > r[c].lo) c++;
            if (r[c].lo <= e.lo) break;
            r[at] = r[c];
        }
        r[at] = e;
    }
}

static bool class_push_range(st_gclasses *c, uint32_t lo, uint32_t hi)
{
    if (lo > hi) return true;
    if (!st_grow(c->mem, &c->ranges, &c->ranges_cap, c->n_ranges + 1, c->n_ranges, sizeof *c->ranges)) return false;
    c->ranges[c->n_ranges++] = (st_grange){lo, hi};
    return true;
}

/* The same without surrogates, which UTF-8 cannot hold. */
static bool class_push_valid(st_gclasses *c, uint32_t lo, uint32_t hi)
{
    if (hi > MAX_CP) hi = MAX_CP;
    return class_push_range(c, lo, hi < 0xd7ff ? hi : 0xd7ff) && class_push_range(c, lo > 0xe000 ? lo : 0xe000, hi);
}

/* A table of index + 1, open addressing, at most half full. False: no memory. */
static bool class_table_grow(st_mem *mem, uint32_t **table, size_t *cap, size_t n)
{
    if (2 * (n + 1) <= *cap) return true;
    size_t next = *cap ? *cap * 2 : 64;
    uint32_t *p = st_calloc(mem, next, sizeof *p);
    if (!p) return false;
    st_free(mem, *table);
    *table = p;
    *cap = next;
    return true;
}

static uint32_t class_hash(const st_gclasses *c, uint32_t at, uint32_t n)
{
    uint32_t h = n;
    for (uint32_t i = 0; i < n; i++) h = class_mix(class_mix(h, c->ranges[at + i].lo), c->ranges[at + i].hi);
    return h;
}

static void class_insert(st_gclasses *c, uint32_t id)
{
    size_t i = class_hash(c, c->classes[id].at, c->classes[id].n) & (c->class_hash_cap - 1);
    while (c->class_hash[i]) i = (i + 1) & (c->class_hash_cap - 1);
    c->class_hash[i] = id + 1;
}

/* The ranges from `at` on are a class: found, and taken away again, or added. */
static bool intern_class(st_gclasses *c, uint32_t at, uint32_t *id)
{
    uint32_t n = (uint32_t)c->n_ranges - at;
    if (n == 0) return *id = ST_G_NONE, true;
    size_t cap = c->class_hash_cap;
    if (!class_table_grow(c->mem, &c->class_hash, &c->class_hash_cap, c->n_classes)) return false;
    if (cap != c->class_hash_cap)
        for (size_t i = 0; i < c->n_classes; i++) class_insert(c, (uint32_t)i);
    for (size_t i = class_hash(c, at, n);; i++) {
        uint32_t k = c->class_hash[i & (c->class_hash_cap - 1)];
        if (!k) break;
        const st_gclass *have = &c->classes[k - 1];
        if (have->n == n && memcmp(c->ranges + have->at, c->ranges + at, n * sizeof *c->ranges) == 0) {
            c->n_ranges = at;
            return *id = k - 1, true;
        }
    }
    if (!st_grow(c->mem, &c->classes, &c->classes_cap, c->n_classes + 1, c->n_classes, sizeof *c->classes))
        return false;
    uint32_t size = 0;
    for (uint32_t i = 0; i < n; i++) size += c->ranges[at + i].hi - c->ranges[at + i].lo + 1;
    *id = (uint32_t)c->n_classes++;
    c->classes[*id] = (st_gclass){at, n, size, ST_G_NONE};
    class_insert(c, *id);
    return true;
}

bool st_gclass_add(st_gclasses *c, st_grange *r, size_t n, bool negate, uint32_t *id)
{
    class_sort_ranges(r, n);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (m && r[i].lo <= (r[m - 1].hi < MAX_CP ? r[m - 1].hi + 1 : MAX_CP)) {
            if (r[i].hi > r[m - 1].hi) r[m - 1].hi = r[i].hi;
        } else {
            r[m++] = r[i];
        }
    }
    uint32_t at = (uint32_t)c->n_ranges, from = 0;
    bool ok = true;
    for (size_t i = 0; i < m && ok; i++) {
        if (!negate)
            ok = class_push_valid(c, r[i].lo, r[i].hi);
        else if (r[i].lo > from)
            ok = class_push_valid(c, from, r[i].lo - 1);
        from = r[i].hi + 1;
    }
    if (negate && ok && from <= MAX_CP) ok = class_push_valid(c, from, MAX_CP);
    /* Ranges that only the surrogates kept apart join. */
    size_t w = at;
    for (size_t i = at; i < c->n_ranges; i++) {
        if (w > at && c->ranges[i].lo == c->ranges[w - 1].hi + 1)
            c->ranges[w - 1].hi = c->ranges[i].hi;
        else
            c->ranges[w++] = c->ranges[i];
    }
    c->n_ranges = w;
    return ok && intern_class(c, at, id);
}

bool st_gclass_union(st_gclasses *c, uint32_t a, uint32_t b, uint32_t *id)
{
    if (a == b) return *id = a, true;
    size_t n = (size_t)c->classes[a].n + c->classes[b].n;
    st_grange *r = st_alloc(c->mem, n, sizeof *r);
    if (!r) return false;
    memcpy(r, c->ranges + c->classes[a].at, c->classes[a].n * sizeof *r);
    memcpy(r + c->classes[a].n, c->ranges + c->classes[b].at, c->classes[b].n * sizeof *r);
    bool ok = st_gclass_add(c, r, n, false, id);
    st_free(c->mem, r);
    return ok;
}

/* ---- byte automata ----------------------------------------------------------------------------------------------- */

/* Encodings whose i-th byte is in lo[i]..hi[i], each independently. */
typedef struct sequence {
    uint8_t n, lo[4], hi[4];
} sequence;

typedef struct sequences {
    sequence *p;
    size_t n, cap;
    st_mem *mem;
} sequences;

static unsigned class_encode(uint32_t cp, uint8_t *p)
{
    if (cp < 0x80) return p[0] = (uint8_t)cp, 1;
    unsigned n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (unsigned i = n - 1; i > 0; i--, cp >>= 6) p[i] = (uint8_t)(0x80 | (cp & 63));
    p[0] = (uint8_t)((n == 2 ? 0xc0u : n == 3 ? 0xe0u : 0xf0u) | cp);
    return n;
}

/* lo..hi as sequences in rising order: cut at the edges of encoded lengths and of blocks of 64, 4096, 262144. The depth
 * of the recursion is at most 3 lengths + 2 cuts for each of 3 block sizes. */
static bool class_split(sequences *s, uint32_t lo, uint32_t hi)
{
    static const uint32_t last[] = {0x7f, 0x7ff, 0xffff};
    for (int i = 0; i < 3; i++)
        if (lo <= last[i] && last[i] < hi) return class_split(s, lo, last[i]) && class_split(s, last[i] + 1, hi);
    unsigned len = hi < 0x80 ? 1 : hi < 0x800 ? 2 : hi < 0x10000 ? 3 : 4;
    for (unsigned i = 1; i < len; i++) {
        uint32_t m = (1u << 6 * i) - 1;
        if ((lo & ~m) == (hi & ~m)) continue;
        if (lo & m) return class_split(s, lo, lo | m) && class_split(s, (lo | m) + 1, hi);
        if ((hi & m) != m) return class_split(s, lo, (hi & ~m) - 1) && class_split(s, hi & ~m, hi);
    }
    if (!st_grow(s->mem, &s->p, &s->cap, s->n + 1, s->n, sizeof *s->p)) return false;
    sequence *q = &s->p[s->n++];
    q->n = (uint8_t)class_encode(lo, q->lo);
    class_encode(hi, q->hi);
    return true;
}

static uint32_t class_edges_hash(const st_gedge *e, uint32_t n)
{
    uint32_t h = n;
    for (uint32_t i = 0; i < n; i++) h = class_mix(class_mix(h, (uint32_t)e[i].lo << 8 | e[i].hi), e[i].to);
    return h;
}

static void class_node_insert(st_gclasses *c, uint32_t id)
{
    size_t i = class_edges_hash(c->edges + c->nodes[id].at, c->nodes[id].n) & (c->node_hash_cap - 1);
    while (c->node_hash[i]) i = (i + 1) & (c->node_hash_cap - 1);
    c->node_hash[i] = id + 1;
}

static bool class_intern_node(st_gclasses *c, const st_gedge *e, uint32_t n, uint32_t *id)
{
    size_t cap = c->node_hash_cap;
    if (!class_table_grow(c->mem, &c->node_hash, &c->node_hash_cap, c->n_nodes)) return false;
    if (cap != c->node_hash_cap)
        for (size_t i = 0; i < c->n_nodes; i++) class_node_insert(c, (uint32_t)i);
    for (size_t i = class_edges_hash(e, n);; i++) {
        uint32_t k = c->node_hash[i & (c->node_hash_cap - 1)];
        if (!k) break;
        const st_gnode *have = &c->nodes[k - 1];
        bool same = have->n == n;
        for (uint32_t j = 0; same && j < n; j++) {
            const st_gedge *x = &c->edges[have->at + j];
            same = x->lo == e[j].lo && x->hi == e[j].hi && x->to == e[j].to;
        }
        if (same) return *id = k - 1, true;
    }
    if (!st_grow(c->mem, &c->edges, &c->edges_cap, c->n_edges + n, c->n_edges, sizeof *c->edges) ||
        !st_grow(c->mem, &c->nodes, &c->nodes_cap, c->n_nodes + 1, c->n_nodes, sizeof *c->nodes))
        return false;
    memcpy(c->edges + c->n_edges, e, n * sizeof *e);
    *id = (uint32_t)c->n_nodes++;
    c->nodes[*id] = (st_gnode){(uint32_t)c->n_edges, n};
    c->n_edges += n;
    class_node_insert(c, *id);
    return true;
}

/* The node that reads byte `depth` of s[0..n), which agree in what is before; depth <= 3. */
static bool class_build(st_gclasses *c, const sequence *s, size_t n, unsigned depth, uint32_t *id)
{
    st_gedge e[256]; /* disjoint ranges of bytes */
    uint32_t m = 0;
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && s[j].lo[depth] == s[i].lo[depth] && s[j].hi[depth] == s[i].hi[depth]) j++;
        uint32_t to = ST_G_NONE;
        if (s[i].n > depth + 1 && depth < 3 && !class_build(c, s + i, j - i, depth + 1, &to)) return false;
        if (m && e[m - 1].to == to && e[m - 1].hi + 1 == s[i].lo[depth])
            e[m - 1].hi = s[i].hi[depth];
        else
            e[m++] = (st_gedge){s[i].lo[depth], s[i].hi[depth], to};
        i = j;
    }
    return class_intern_node(c, e, m, id);
}

bool st_gclass_finish(st_gclasses *c)
{
    sequences s = {.mem = c->mem};
    bool ok = true;
    for (size_t i = 0; i < c->n_classes && ok; i++) {
        st_gclass *k = &c->classes[i];
        s.n = 0;
        for (uint32_t j = 0; j < k->n && ok; j++)
            ok = class_split(&s, c->ranges[k->at + j].lo, c->ranges[k->at + j].hi);
        ok = ok && class_build(c, s.p, s.n, 0, &k->root);
    }
    st_free(c->mem, s.p);
    return ok;
}

void st_gclasses_free(st_gclasses *c)
{
    if (!c->mem) return;
    void *all[] = {c->ranges, c->classes, c->edges, c->nodes, c->class_hash, c->node_hash};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(c->mem, all[i]);
}
