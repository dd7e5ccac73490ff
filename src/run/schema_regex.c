/* schema_regex.c: a regular expression (ECMA-262, a subset) -> GBNF for the inside of a JSON string that it matches.
 * Characters that JSON must escape are written with their short escapes. */
#include <stdio.h>

#include "run/schema_impl.h"
#include "token/utf8.h"

#define MAX_DEPTH  100
#define MAX_RANGES 512
#define MAX_COUNT  65535u

typedef struct range {
    uint32_t lo, hi;
} range;

typedef struct set {
    range r[MAX_RANGES];
    uint32_t n;
} set;

typedef struct regex {
    st_sbuf *b;
    const char *p;
    size_t n, i;
    int depth;
    const char *wrong;
    set set; /* one at a time */
} regex;

typedef struct length {
    uint32_t min, max; /* ST_S_NONE: no limit */
} length;

static const range digit[] = {{'0', '9'}}, word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                   space[] = {{9, 13},          {32, 32},         {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
                              {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}},
                   newline[] = {{10, 10}, {13, 13}, {0x2028, 0x2029}};

static bool fail(regex *x, const char *why)
{
    if (!x->wrong) x->wrong = why;
    return false;
}

static char peek(const regex *x)
{
    return x->i < x->n ? x->p[x->i] : 0;
}

static uint32_t plus(uint32_t a, uint32_t b)
{
    return a == ST_S_NONE || b == ST_S_NONE || a + (uint64_t)b >= ST_S_NONE ? ST_S_NONE : a + b;
}

static uint32_t times(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0) return 0;
    return a == ST_S_NONE || b == ST_S_NONE || (uint64_t)a * b >= ST_S_NONE ? ST_S_NONE : a * b;
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static bool add(regex *x, uint32_t lo, uint32_t hi)
{
    if (x->set.n == MAX_RANGES) return fail(x, "a class with too many ranges");
    x->set.r[x->set.n++] = (range){lo, hi};
    return true;
}

static bool add_all(regex *x, const range *r, size_t n, bool negate)
{
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negate && !add(x, r[i].lo, r[i].hi)) return false;
        if (negate && r[i].lo > from && !add(x, from, r[i].lo - 1)) return false;
        from = r[i].hi + 1;
    }
    return !negate || add(x, from, 0x10ffff);
}

/* Sorted, disjoint, complemented if asked. */
static bool normalise(regex *x, bool negate)
{
    set *s = &x->set;
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
    if (m == MAX_RANGES) return fail(x, "a class with too many ranges");
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

static bool has(const set *s, uint32_t cp)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (cp >= s->r[i].lo && cp <= s->r[i].hi) return true;
    return false;
}

/* The set as alternatives in a group: what a JSON string holds as it is, and escapes. */
static bool put_set(regex *x)
{
    static const struct {
        uint32_t cp;
        const char *escape;
    } escapes[] = {{'"', "\"\\\\\\\"\""}, {'\\', "\"\\\\\\\\\""}, {'\b', "\"\\\\b\""}, {'\f', "\"\\\\f\""},
                   {'\n', "\"\\\\n\""},   {'\r', "\"\\\\r\""},    {'\t', "\"\\\\t\""}};
    static const range raw[] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x7e}, {0x80, 0xd7ff}, {0xe000, 0x10ffff}};
    bool any = false;
    st_sbuf_str(x->b, "(");
    for (uint32_t i = 0; i < x->set.n; i++)
        for (size_t k = 0; k < sizeof raw / sizeof *raw; k++) {
            uint32_t lo = x->set.r[i].lo > raw[k].lo ? x->set.r[i].lo : raw[k].lo;
            uint32_t hi = x->set.r[i].hi < raw[k].hi ? x->set.r[i].hi : raw[k].hi;
            if (lo > hi) continue;
            st_sbuf_fmt(x->b, "%s\\U%08X-\\U%08X", any ? "" : "[", (unsigned)lo, (unsigned)hi);
            any = true;
        }
    if (any) st_sbuf_str(x->b, "]");
    for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++) {
        if (!has(&x->set, escapes[k].cp)) continue;
        if (any) st_sbuf_str(x->b, " | ");
        st_sbuf_str(x->b, escapes[k].escape);
        any = true;
    }
    st_sbuf_str(x->b, ") ");
    return any || fail(x, "a class without a character that JSON can hold");
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static bool read_hex(regex *x, int min, int max, uint32_t *v)
{
    int k = 0;
    *v = 0;
    for (; k < max; k++, x->i++) {
        char c = peek(x);
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) break;
        *v = *v << 4 | (uint32_t)d;
    }
    if (k < min) return fail(x, "hexadecimal digits are missing");
    return *v <= 0x10ffff && (*v < 0xd800 || *v > 0xdfff) ? true : fail(x, "an escape that is no character");
}

/* After the backslash: a character, or a class put into the set (*cp ST_S_NONE). */
static bool read_escape(regex *x, bool in_class, uint32_t *cp)
{
    char c = peek(x);
    if (x->i >= x->n) return fail(x, "a backslash at the end");
    *cp = ST_S_NONE;
    x->i++;
    switch (c) {
    case 'd': return add_all(x, digit, 1, false);
    case 'D': return add_all(x, digit, 1, true);
    case 'w': return add_all(x, word, 4, false);
    case 'W': return add_all(x, word, 4, true);
    case 's': return add_all(x, space, 10, false);
    case 'S': return add_all(x, space, 10, true);
    case 't': return *cp = '\t', true;
    case 'n': return *cp = '\n', true;
    case 'r': return *cp = '\r', true;
    case 'f': return *cp = '\f', true;
    case 'v': return *cp = '\v', true;
    case 'b': return in_class ? (*cp = '\b', true) : fail(x, "\\b is not supported");
    case 'x': return read_hex(x, 2, 2, cp);
    case 'u':
        if (peek(x) != '{') return read_hex(x, 4, 4, cp);
        x->i++;
        if (!read_hex(x, 1, 6, cp)) return false;
        if (peek(x) != '}') return fail(x, "'}' is missing");
        x->i++;
        return true;
    default: break;
    }
    if ((uint8_t)c >= 0x80 || c < 0x20) return fail(x, "an escape that is not supported");
    if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'))
        return fail(x, "an escape that is not supported (back references, \\B, \\p, \\c)");
    *cp = (uint8_t)c;
    return true;
}

static uint32_t read_char(regex *x)
{
    unsigned n;
    uint32_t cp = st_utf8_get((const uint8_t *)x->p + x->i, &n);
    x->i += n;
    return cp;
}

static bool read_member(regex *x, uint32_t *cp)
{
    if (peek(x) != '\\') return *cp = read_char(x), true;
    x->i++;
    return read_escape(x, true, cp);
}

static bool read_class(regex *x)
{
    bool negate = false;
    x->i++;
    if (peek(x) == '^') negate = true, x->i++;
    while (x->i < x->n && peek(x) != ']') {
        uint32_t lo, hi;
        if (!read_member(x, &lo)) return false;
        if (lo == ST_S_NONE) continue;
        hi = lo;
        if (peek(x) == '-' && x->i + 1 < x->n && x->p[x->i + 1] != ']') {
            x->i++;
            if (!read_member(x, &hi)) return false;
            if (hi == ST_S_NONE) { /* [a-\d]: three parts */
                if (!add(x, '-', '-')) return false;
                hi = lo;
            }
            if (hi < lo) return fail(x, "a range that falls");
        }
        if (!add(x, lo, hi)) return false;
    }
    if (x->i >= x->n) return fail(x, "']' is missing");
    x->i++;
    return normalise(x, negate);
}

static bool alternatives(regex *x, bool top, length *len);

/* One item without its quantifier; written behind b->n. */
static bool atom(regex *x, length *len)
{
    char c = peek(x);
    uint32_t cp = ST_S_NONE;
    *len = (length){1, 1};
    x->set.n = 0;
    switch (c) {
    case '(':
        x->i++;
        if (peek(x) == '?') {
            x->i++;
            if (peek(x) == '<' && x->i + 1 < x->n && x->p[x->i + 1] != '=' && x->p[x->i + 1] != '!') {
                while (x->i < x->n && peek(x) != '>') x->i++; /* a name */
                if (x->i >= x->n) return fail(x, "'>' is missing");
            } else if (peek(x) != ':') {
                return fail(x, "looking ahead or behind is not supported");
            }
            x->i++;
        }
        if (++x->depth > MAX_DEPTH) return fail(x, "groups nested too deep");
        if (!alternatives(x, false, len)) return false;
        if (peek(x) != ')' || x->i >= x->n) return fail(x, "')' is missing");
        x->depth--;
        x->i++;
        return true;
    case '[':
        if (!read_class(x)) return false;
        return put_set(x);
    case '.': x->i++; return add_all(x, newline, 3, true) && put_set(x);
    case '\\':
        x->i++;
        if (!read_escape(x, false, &cp)) return false;
        break;
    case '^':
    case '$': return fail(x, "^ and $ are supported at the ends of the pattern only");
    case '*':
    case '+':
    case '?':
    case '{': return fail(x, "nothing to repeat");
    default: cp = read_char(x);
    }
    if (cp != ST_S_NONE && !add(x, cp, cp)) return false;
    return normalise(x, false) && put_set(x);
}

static bool read_count(regex *x, uint32_t *v)
{
    size_t from = x->i;
    *v = 0;
    for (; peek(x) >= '0' && peek(x) <= '9'; x->i++) {
        *v = *v * 10 + (uint32_t)(peek(x) - '0');
        if (*v > MAX_COUNT) return fail(x, "more than 65535 repetitions");
    }
    return x->i > from;
}

static bool quantifier(regex *x, length *len)
{
    uint32_t min = 1, max = 1;
    switch (peek(x)) {
    case '*': min = 0, max = ST_S_NONE, x->i++; break;
    case '+': max = ST_S_NONE, x->i++; break;
    case '?': min = 0, x->i++; break;
    case '{':
        x->i++;
        if (!read_count(x, &min)) return fail(x, "a number of repetitions is missing");
        max = min;
        if (peek(x) == ',') {
            x->i++;
            max = ST_S_NONE;
            if (peek(x) != '}' && !read_count(x, &max)) return fail(x, "a number of repetitions is missing");
        }
        if (peek(x) != '}' || max < min) return fail(x, "a quantifier {m,n} that is wrong");
        x->i++;
        break;
    default: return true;
    }
    if (peek(x) == '?') x->i++; /* lazy: the same texts */
    if (max == ST_S_NONE)
        st_sbuf_fmt(x->b, "{%u,} ", (unsigned)min);
    else
        st_sbuf_fmt(x->b, "{%u,%u} ", (unsigned)min, (unsigned)max);
    *len = (length){times(len->min, min), times(len->max, max)};
    return true;
}

static bool sequence(regex *x, bool top, length *len)
{
    bool start = false, end = false;
    *len = (length){0, 0};
    if (top && peek(x) == '^') start = true, x->i++;
    if (top && !start) st_sbuf_str(x->b, "char* ");
    while (x->i < x->n && peek(x) != '|' && (top || peek(x) != ')')) {
        length one;
        if (top && peek(x) == '$' && (x->i + 1 == x->n || x->p[x->i + 1] == '|')) {
            x->i++;
            end = true;
            break;
        }
        if (peek(x) == ')') return fail(x, "')' without '('");
        if (!atom(x, &one) || !quantifier(x, &one)) return false;
        *len = (length){plus(len->min, one.min), plus(len->max, one.max)};
    }
    if (top && !end) st_sbuf_str(x->b, "char* ");
    if (top && (!start || !end)) len->max = ST_S_NONE;
    return true;
}

static bool alternatives(regex *x, bool top, length *len)
{
    *len = (length){ST_S_NONE, 0};
    st_sbuf_str(x->b, "(");
    for (;;) {
        length one;
        if (!sequence(x, top, &one)) return false;
        if (one.min < len->min) len->min = one.min;
        if (one.max > len->max) len->max = one.max;
        if (peek(x) != '|') break;
        x->i++;
        st_sbuf_str(x->b, "| ");
    }
    st_sbuf_str(x->b, ") ");
    return true;
}

const char *st_sregex(st_sbuf *b, const char *p, size_t n, uint32_t *min, uint32_t *max, size_t *at)
{
    regex x = {.b = b, .p = p, .n = n};
    length len;
    if (memchr(p, 0, n)) return *at = 0, "a NUL character";
    if (!alternatives(&x, true, &len)) return *at = x.i, x.wrong;
    *min = len.min;
    *max = len.max;
    return NULL;
}
