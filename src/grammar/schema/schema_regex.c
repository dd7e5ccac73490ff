/* schema_regex.c: a regular expression (ECMA-262, a subset) -> a tree, and that as GBNF for the inside of a JSON string
 * that it matches. Characters that JSON must escape are written with their short escapes. */
#include <stdio.h>

#include "base/utf8.h"
#include "grammar/schema/schema_lang.h"

#define MAX_DEPTH  60 /* of groups: the recursion takes a few hundred bytes for each */
#define MAX_RANGES 512
#define MAX_COUNT  (UINT32_MAX - 1)

typedef st_srange range;

typedef struct set {
    range r[MAX_RANGES];
    uint32_t n;
} set;

typedef struct regex {
    st_sregex *out;
    const char *p;
    size_t n, i;
    int depth;
    const char *wrong;
    set *set; /* one at a time */
} regex;

static const range digit[] = {{'0', '9'}}, word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                   space[] = {{9, 13},          {32, 32},         {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
                              {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}},
                   newline[] = {{10, 10}, {13, 13}, {0x2028, 0x2029}};

static bool regex_fail(regex *x, const char *why)
{
    if (!x->wrong) x->wrong = why;
    return false;
}

static char regex_peek(const regex *x)
{
    return x->i < x->n ? x->p[x->i] : 0;
}

static uint32_t regex_plus(uint32_t a, uint32_t b)
{
    return a == ST_S_NONE || b == ST_S_NONE || a + (uint64_t)b >= ST_S_NONE ? ST_S_NONE : a + b;
}

static uint32_t regex_times(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0) return 0;
    return a == ST_S_NONE || b == ST_S_NONE || (uint64_t)a * b >= ST_S_NONE ? ST_S_NONE : a * b;
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static bool regex_add(regex *x, uint32_t lo, uint32_t hi)
{
    if (x->set->n == MAX_RANGES) return regex_fail(x, "a class with too many ranges");
    x->set->r[x->set->n++] = (range){lo, hi};
    return true;
}

static bool regex_add_all(regex *x, const range *r, size_t n, bool negate)
{
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negate && !regex_add(x, r[i].lo, r[i].hi)) return false;
        if (negate && r[i].lo > from && !regex_add(x, from, r[i].lo - 1)) return false;
        from = r[i].hi + 1;
    }
    return !negate || regex_add(x, from, 0x10ffff);
}

/* Sorted, disjoint, complemented if asked. */
static bool regex_normalise(regex *x, bool negate)
{
    set *s = x->set;
    for (uint32_t i = 1; i < s->n; i++) {
        range e = s->r[i];
        uint32_t j = i;
        for (; j > 0 && s->r[j - 1].lo > e.lo; j--) s->r[j] = s->r[j - 1];
        s->r[j] = e;
    }
    uint32_t m = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (m && s->r[i].lo <= s->r[m - 1].hi + 1) {
            if (s->r[i].hi > s->r[m - 1].hi) s->r[m - 1].hi = s->r[i].hi;
        } else {
            s->r[m++] = s->r[i];
        }
    }
    s->n = m;
    if (!negate) return true;
    if (m == MAX_RANGES) return regex_fail(x, "a class with too many ranges");
    uint32_t from = 0, k = 0;
    for (uint32_t i = 0; i < m; i++) {
        range r = s->r[i];
        if (r.lo > from) s->r[k++] = (range){from, r.lo - 1}; /* k <= i: r was read */
        from = r.hi + 1;
    }
    if (from <= 0x10ffff) s->r[k++] = (range){from, 0x10ffff};
    s->n = k;
    return true;
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static bool regex_read_hex(regex *x, int min, int max, uint32_t *v)
{
    int k = 0;
    *v = 0;
    for (; k < max; k++, x->i++) {
        char c = regex_peek(x);
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) break;
        *v = *v << 4 | (uint32_t)d;
    }
    if (k < min) return regex_fail(x, "hexadecimal digits are missing");
    return *v <= 0x10ffff && (*v < 0xd800 || *v > 0xdfff) ? true : regex_fail(x, "an escape that is no character");
}

/* After the backslash: a character, or a class put into the set (*cp ST_S_NONE). */
static bool regex_read_escape(regex *x, bool in_class, uint32_t *cp)
{
    char c = regex_peek(x);
    if (x->i >= x->n) return regex_fail(x, "a backslash at the end");
    *cp = ST_S_NONE;
    x->i++;
    switch (c) {
    case 'd': return regex_add_all(x, digit, 1, false);
    case 'D': return regex_add_all(x, digit, 1, true);
    case 'w': return regex_add_all(x, word, 4, false);
    case 'W': return regex_add_all(x, word, 4, true);
    case 's': return regex_add_all(x, space, 10, false);
    case 'S': return regex_add_all(x, space, 10, true);
    case 't': return *cp = '\t', true;
    case 'n': return *cp = '\n', true;
    case 'r': return *cp = '\r', true;
    case 'f': return *cp = '\f', true;
    case 'v': return *cp = '\v', true;
    case 'b': return in_class ? (*cp = '\b', true) : regex_fail(x, "\\b is not supported");
    case 'x': return regex_read_hex(x, 2, 2, cp);
    case 'u':
        if (regex_peek(x) != '{') return regex_read_hex(x, 4, 4, cp);
        x->i++;
        if (!regex_read_hex(x, 1, 6, cp)) return false;
        if (regex_peek(x) != '}') return regex_fail(x, "'}' is missing");
        x->i++;
        return true;
    default: break;
    }
    if ((uint8_t)c >= 0x80 || c < 0x20) return regex_fail(x, "an escape that is not supported");
    if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'))
        return regex_fail(x, "an escape that is not supported (back references, \\B, \\p, \\c)");
    *cp = (uint8_t)c;
    return true;
}

static uint32_t regex_read_char(regex *x)
{
    unsigned n;
    uint32_t cp = st_utf8_get((const uint8_t *)x->p + x->i, &n);
    x->i += n;
    return cp;
}

static bool regex_read_member(regex *x, uint32_t *cp)
{
    if (regex_peek(x) != '\\') return *cp = regex_read_char(x), true;
    x->i++;
    return regex_read_escape(x, true, cp);
}

static bool regex_read_class(regex *x)
{
    bool negate = false;
    x->i++;
    if (regex_peek(x) == '^') negate = true, x->i++;
    while (x->i < x->n && regex_peek(x) != ']') {
        uint32_t lo, hi;
        if (!regex_read_member(x, &lo)) return false;
        if (lo == ST_S_NONE) continue;
        hi = lo;
        if (regex_peek(x) == '-' && x->i + 1 < x->n && x->p[x->i + 1] != ']') {
            x->i++;
            if (!regex_read_member(x, &hi)) return false;
            if (hi == ST_S_NONE) { /* [a-\d]: three parts */
                if (!regex_add(x, '-', '-')) return false;
                hi = lo;
            }
            if (hi < lo) return regex_fail(x, "a range that falls");
        }
        if (!regex_add(x, lo, hi)) return false;
    }
    if (x->i >= x->n) return regex_fail(x, "']' is missing");
    x->i++;
    return regex_normalise(x, negate);
}

/* ---- tree -------------------------------------------------------------------------------------------------------- */

static bool regex_node(regex *x, st_srnode n, uint32_t *id)
{
    st_sregex *o = x->out;
    if (!st_grow(o->mem, &o->nodes, &o->nodes_cap, o->n_nodes + 1, o->n_nodes, sizeof *o->nodes))
        return o->no_memory = true, regex_fail(x, "no memory");
    *id = (uint32_t)o->n_nodes;
    n.next = ST_S_NONE;
    o->nodes[o->n_nodes++] = n;
    return true;
}

static bool regex_list_node(regex *x, uint32_t kind, uint32_t *id)
{
    return regex_node(x, (st_srnode){.kind = kind, .first = ST_S_NONE, .last = ST_S_NONE}, id);
}

static void regex_append(regex *x, uint32_t list, uint32_t child)
{
    st_srnode *l = &x->out->nodes[list];
    if (l->last == ST_S_NONE)
        l->first = child;
    else
        x->out->nodes[l->last].next = child;
    l->last = child;
}

/* The set as it is now. */
static bool regex_set_node(regex *x, uint32_t *id)
{
    st_sregex *o = x->out;
    if (!st_grow(o->mem, &o->ranges, &o->ranges_cap, o->n_ranges + x->set->n, o->n_ranges, sizeof *o->ranges))
        return o->no_memory = true, regex_fail(x, "no memory");
    if (x->set->n) memcpy(o->ranges + o->n_ranges, x->set->r, x->set->n * sizeof *o->ranges);
    st_srnode n = {.kind = ST_SR_SET, .first = (uint32_t)o->n_ranges, .last = x->set->n};
    o->n_ranges += x->set->n;
    bool any = false;
    for (uint32_t i = 0; i < x->set->n && !any; i++) any = st_sset_writable(x->set->r[i]);
    return (any || regex_fail(x, "a class without a character that JSON can hold")) && regex_node(x, n, id);
}

static bool regex_any_node(regex *x, uint32_t list)
{
    uint32_t one, all;
    if (!regex_node(x, (st_srnode){.kind = ST_SR_ANY}, &one) ||
        !regex_node(x, (st_srnode){.kind = ST_SR_REP, .first = one, .min = 0, .max = ST_S_NONE}, &all))
        return false;
    regex_append(x, list, all);
    return true;
}

/* top: the alternatives of the whole pattern, or of what a look ahead sees, which begins where it stands. */
enum { INNER, TOP, AHEAD };

static bool regex_alternatives(regex *x, int top, uint32_t *id);

/* (?= or (?!, read up to there. */
static bool regex_look(regex *x, uint32_t *id)
{
    uint32_t inner;
    bool negative = regex_peek(x) == '!';
    x->i++;
    x->out->looks = true;
    if (!regex_alternatives(x, AHEAD, &inner)) return false;
    if (regex_peek(x) != ')' || x->i >= x->n) return regex_fail(x, "')' is missing");
    x->i++;
    return regex_node(x, (st_srnode){.kind = ST_SR_LOOK, .first = inner, .min = negative}, id);
}

static bool regex_group(regex *x, uint32_t *id)
{
    x->i++;
    if (++x->depth > MAX_DEPTH) return regex_fail(x, "groups nested too deep");
    if (regex_peek(x) == '?') {
        x->i++;
        if (regex_peek(x) == '=' || regex_peek(x) == '!') {
            x->depth--;
            return regex_look(x, id);
        }
        if (regex_peek(x) == '<' && x->i + 1 < x->n && x->p[x->i + 1] != '=' && x->p[x->i + 1] != '!') {
            while (x->i < x->n && regex_peek(x) != '>') x->i++; /* a name */
            if (x->i >= x->n) return regex_fail(x, "'>' is missing");
        } else if (regex_peek(x) == '<') {
            return regex_fail(x, "looking behind is not supported");
        } else if (regex_peek(x) != ':') {
            return regex_fail(x, "a group that is not supported: flags");
        }
        x->i++;
    }
    if (!regex_alternatives(x, INNER, id)) return false;
    if (regex_peek(x) != ')' || x->i >= x->n) return regex_fail(x, "')' is missing");
    x->depth--;
    x->i++;
    return true;
}

/* One item without its quantifier. */
static bool regex_atom(regex *x, uint32_t *id)
{
    char c = regex_peek(x);
    uint32_t cp = ST_S_NONE;
    x->set->n = 0;
    switch (c) {
    case '(': return regex_group(x, id);
    case '[': return regex_read_class(x) && regex_set_node(x, id);
    case '.': x->i++; return regex_add_all(x, newline, 3, true) && regex_set_node(x, id);
    case '\\':
        x->i++;
        if (!regex_read_escape(x, false, &cp)) return false;
        break;
    case '^':
    case '$': return regex_fail(x, "^ and $ are supported at the ends of the pattern only");
    case '*':
    case '+':
    case '?':
    case '{': return regex_fail(x, "nothing to repeat");
    default: cp = regex_read_char(x);
    }
    if (cp != ST_S_NONE && !regex_add(x, cp, cp)) return false;
    return regex_normalise(x, false) && regex_set_node(x, id);
}

static bool regex_read_count(regex *x, uint32_t *v)
{
    size_t from = x->i;
    uint64_t n = 0;
    for (; regex_peek(x) >= '0' && regex_peek(x) <= '9'; x->i++) {
        n = n * 10 + (uint32_t)(regex_peek(x) - '0');
        if (n > MAX_COUNT) return regex_fail(x, "more than 4294967294 repetitions");
    }
    *v = (uint32_t)n;
    return x->i > from;
}

static bool regex_quantifier(regex *x, uint32_t *id)
{
    uint32_t min = 1, max = 1;
    switch (regex_peek(x)) {
    case '*': min = 0, max = ST_S_NONE, x->i++; break;
    case '+': max = ST_S_NONE, x->i++; break;
    case '?': min = 0, x->i++; break;
    case '{':
        x->i++;
        if (!regex_read_count(x, &min)) return regex_fail(x, "a number of repetitions is missing");
        max = min;
        if (regex_peek(x) == ',') {
            x->i++;
            max = ST_S_NONE;
            if (regex_peek(x) != '}' && !regex_read_count(x, &max))
                return regex_fail(x, "a number of repetitions is missing");
        }
        if (regex_peek(x) != '}' || max < min) return regex_fail(x, "a quantifier {m,n} that is wrong");
        x->i++;
        break;
    default: return true;
    }
    if (regex_peek(x) == '?') x->i++; /* lazy: the same texts */
    if (x->out->nodes[*id].kind == ST_SR_LOOK) return regex_fail(x, "looking ahead cannot be repeated");
    return regex_node(x, (st_srnode){.kind = ST_SR_REP, .first = *id, .min = min, .max = max}, id);
}

/* $ behind which the pattern, or the look ahead, is over. */
static bool regex_at_end(const regex *x, int top)
{
    if (regex_peek(x) != '$') return false;
    char c = x->i + 1 < x->n ? x->p[x->i + 1] : 0;
    return x->i + 1 == x->n || c == '|' || (top == AHEAD && c == ')');
}

static bool regex_sequence(regex *x, int top, uint32_t *id)
{
    bool start = top == AHEAD, end = false;
    if (!regex_list_node(x, ST_SR_SEQ, id)) return false;
    if (top != INNER && regex_peek(x) == '^') start = true, x->i++;
    if (top == TOP && !start && !regex_any_node(x, *id)) return false;
    while (x->i < x->n && regex_peek(x) != '|' && (top == TOP || regex_peek(x) != ')')) {
        uint32_t one;
        if (top != INNER && regex_at_end(x, top)) {
            x->i++;
            end = true;
            break;
        }
        if (regex_peek(x) == ')') return regex_fail(x, "')' without '('");
        if (!regex_atom(x, &one) || !regex_quantifier(x, &one)) return false;
        regex_append(x, *id, one);
    }
    return top == INNER || end || regex_any_node(x, *id);
}

static bool regex_alternatives(regex *x, int top, uint32_t *id)
{
    if (!regex_list_node(x, ST_SR_ALT, id)) return false;
    for (;;) {
        uint32_t one;
        if (!regex_sequence(x, top, &one)) return false;
        regex_append(x, *id, one);
        if (regex_peek(x) != '|') return true;
        x->i++;
    }
}

const char *st_sregex_parse(st_sregex *out, st_mem *mem, const char *p, size_t n, size_t *at)
{
    regex x = {.out = out, .p = p, .n = n};
    *out = (st_sregex){.mem = mem};
    *at = 0;
    if (memchr(p, 0, n)) return "a NUL character";
    x.set = st_calloc(mem, 1, sizeof *x.set);
    if (!x.set) return out->no_memory = true, "no memory";
    bool ok = regex_alternatives(&x, TOP, &out->root);
    st_free(mem, x.set);
    *at = x.i;
    return ok ? NULL : x.wrong ? x.wrong : "not a pattern";
}

void st_sregex_free(st_sregex *r)
{
    if (!r->mem) return;
    st_free(r->mem, r->nodes);
    st_free(r->mem, r->ranges);
}

/* ---- lengths ----------------------------------------------------------------------------------------------------- */

static void regex_lengths(const st_sregex *r, uint32_t id, uint32_t *min, uint32_t *max)
{
    const st_srnode *n = &r->nodes[id];
    uint32_t lo, hi;
    switch (n->kind) {
    case ST_SR_SET:
    case ST_SR_ANY: *min = *max = 1; return;
    case ST_SR_REP:
        regex_lengths(r, n->first, &lo, &hi);
        *min = regex_times(lo, n->min);
        *max = regex_times(hi, n->max);
        return;
    case ST_SR_ALT: *min = ST_S_NONE, *max = 0; break;
    default: *min = *max = 0;
    }
    for (uint32_t k = n->kind == ST_SR_LOOK ? ST_S_NONE : n->first; k != ST_S_NONE; k = r->nodes[k].next) {
        regex_lengths(r, k, &lo, &hi);
        if (n->kind == ST_SR_SEQ) {
            *min = regex_plus(*min, lo);
            *max = regex_plus(*max, hi);
        } else {
            if (lo < *min) *min = lo;
            if (hi > *max) *max = hi;
        }
    }
}

/* The only part of the pattern whose length is open, if that is one class: its bounds can then carry those of the
 * length. ST_S_NONE: it is not so. *fixed: the length of all others. */
static uint32_t regex_open_part(const st_sregex *r, uint32_t *fixed)
{
    const st_srnode *alt = &r->nodes[r->root];
    uint32_t found = ST_S_NONE, lo, hi;
    *fixed = 0;
    if (alt->first != alt->last) return ST_S_NONE;
    for (uint32_t k = r->nodes[alt->first].first; k != ST_S_NONE; k = r->nodes[k].next) {
        const st_srnode *n = &r->nodes[k];
        regex_lengths(r, k, &lo, &hi);
        if (lo == hi) {
            *fixed = regex_plus(*fixed, lo);
            continue;
        }
        uint32_t what = n->kind == ST_SR_REP ? r->nodes[n->first].kind : ST_SR_ALT;
        if (found != ST_S_NONE || (what != ST_SR_SET && what != ST_SR_ANY)) return ST_S_NONE;
        found = k;
    }
    return *fixed == ST_S_NONE ? ST_S_NONE : found;
}

bool st_sregex_bound(st_sregex *r, uint32_t min, uint32_t max)
{
    uint32_t lo, hi, fixed;
    if (r->looks) return false;
    regex_lengths(r, r->root, &lo, &hi);
    if (lo >= min && hi <= max) return true;
    uint32_t k = regex_open_part(r, &fixed);
    if (k == ST_S_NONE || max < fixed) return false;
    st_srnode *n = &r->nodes[k];
    if (min > fixed && min - fixed > n->min) n->min = min - fixed;
    if (max != ST_S_NONE && max - fixed < n->max) n->max = max - fixed;
    return n->min <= n->max;
}

/* ---- GBNF -------------------------------------------------------------------------------------------------------- */

static const struct {
    uint32_t cp;
    const char *escape;
} escapes[] = {{'"', "\"\\\\\\\"\""}, {'\\', "\"\\\\\\\\\""}, {'\b', "\"\\\\b\""}, {'\f', "\"\\\\f\""},
               {'\n', "\"\\\\n\""},   {'\r', "\"\\\\r\""},    {'\t', "\"\\\\t\""}};
static const range raw[] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x7e}, {0x80, 0xd7ff}, {0xe000, 0x10ffff}};

bool st_sset_writable(st_srange r)
{
    for (size_t k = 0; k < sizeof raw / sizeof *raw; k++)
        if (r.lo <= raw[k].hi && r.hi >= raw[k].lo) return true;
    for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++)
        if (r.lo <= escapes[k].cp && r.hi >= escapes[k].cp) return true;
    return false;
}

static void regex_put_cp(st_sbuf *b, uint32_t cp)
{
    bool plain = (cp >= '0' && cp <= '9') || (cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z');
    st_sbuf_fmt(b, plain ? "%c" : cp < 0x100 ? "\\x%02X" : cp < 0x10000 ? "\\u%04X" : "\\U%08X", (unsigned)cp);
}

void st_sset_put(st_sbuf *b, const st_srange *r, size_t n)
{
    bool any = false;
    st_sbuf_str(b, "(");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof raw / sizeof *raw; k++) {
            uint32_t lo = r[i].lo > raw[k].lo ? r[i].lo : raw[k].lo;
            uint32_t hi = r[i].hi < raw[k].hi ? r[i].hi : raw[k].hi;
            if (lo > hi) continue;
            if (!any) st_sbuf_str(b, "[");
            any = true;
            regex_put_cp(b, lo);
            if (hi == lo) continue;
            st_sbuf_str(b, "-");
            regex_put_cp(b, hi);
        }
    if (any) st_sbuf_str(b, "]");
    for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++) {
        bool in = false;
        for (size_t i = 0; i < n && !in; i++) in = r[i].lo <= escapes[k].cp && r[i].hi >= escapes[k].cp;
        if (!in) continue;
        if (any) st_sbuf_str(b, " | ");
        st_sbuf_str(b, escapes[k].escape);
        any = true;
    }
    st_sbuf_str(b, ") ");
}

static void regex_write_node(const st_sregex *r, uint32_t id, st_sbuf *b)
{
    const st_srnode *n = &r->nodes[id];
    switch (n->kind) {
    case ST_SR_SET: st_sset_put(b, r->ranges + n->first, n->last); return;
    case ST_SR_ANY: st_sbuf_str(b, "char "); return;
    case ST_SR_REP:
        regex_write_node(r, n->first, b);
        if (n->max == ST_S_NONE)
            st_sbuf_fmt(b, "{%u,} ", (unsigned)n->min);
        else
            st_sbuf_fmt(b, "{%u,%u} ", (unsigned)n->min, (unsigned)n->max);
        return;
    default: break;
    }
    st_sbuf_str(b, "(");
    for (uint32_t k = n->first; k != ST_S_NONE; k = r->nodes[k].next) {
        if (n->kind == ST_SR_ALT && k != n->first) st_sbuf_str(b, "| ");
        regex_write_node(r, k, b);
    }
    st_sbuf_str(b, ") ");
}

void st_sregex_write(const st_sregex *r, st_sbuf *b)
{
    regex_write_node(r, r->root, b);
}
