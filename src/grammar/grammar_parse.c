/* grammar_parse.c: GBNF text -> tree.
 *
 * Newlines end a rule except inside a group, after `::=` and after `|`, as in llama.cpp. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "grammar/grammar_internal.h"

typedef struct cursor {
    st_gparse *p;
    size_t i;
    st_grange *ranges; /* of the class being read */
    size_t n_ranges, ranges_cap;
    struct level *levels; /* groups that are open, the rule first: in memory, whatever the nesting */
    size_t n_levels, levels_cap;
} cursor;

/* A list of alternatives that is being read. */
typedef struct level {
    uint32_t list, last_list;          /* the alternatives */
    uint32_t items, last, before_last; /* the sequence */
} level;

/* Line and column in characters, from 1. */
static void grammar_parse_position(const st_gparse *p, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < p->len; i++) {
        if (p->text[i] == '\n')
            (*line)++, *column = 1;
        else if (((uint8_t)p->text[i] & 0xc0) != 0x80)
            (*column)++;
    }
}

int st_grammar_error(const st_gparse *p, size_t at, const char *fmt, ...)
{
    char msg[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    size_t line, column;
    grammar_parse_position(p, at, &line, &column);
    ST_FAIL(p->err, STRATA_BAD_GRAMMAR, "grammar %zu:%zu: %s", line, column, msg);
}

static int grammar_parse_no_memory(const st_gparse *p)
{
    st_error_set(p->err, STRATA_NO_MEMORY, "no memory for a grammar of %zu bytes", p->len);
    return STRATA_NO_MEMORY;
}

/* What stands at the cursor, for messages. */
static const char *grammar_parse_found(const cursor *c, char buf[16])
{
    const st_gparse *p = c->p;
    if (c->i >= p->len) return "the end";
    uint8_t b = (uint8_t)p->text[c->i];
    if (b == '\n' || b == '\r') return "the end of the line";
    if (b < 0x20 || b == 0x7f) return snprintf(buf, 16, "byte 0x%02x", b), buf;
    unsigned n = st_utf8_len(b); /* the text is UTF-8 */
    snprintf(buf, 16, "'%.*s'", (int)n, p->text + c->i);
    return buf;
}

static int grammar_parse_want(const cursor *c, const char *what)
{
    char buf[16];
    return st_grammar_error(c->p, c->i, "found %s, want %s", grammar_parse_found(c, buf), what);
}

static inline char grammar_parse_peek(const cursor *c)
{
    return c->i < c->p->len ? c->p->text[c->i] : 0;
}

static bool grammar_parse_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static void grammar_parse_skip_space(cursor *c, bool newlines)
{
    const st_gparse *p = c->p;
    while (c->i < p->len) {
        char b = p->text[c->i];
        if (b == '#')
            while (c->i < p->len && p->text[c->i] != '\n' && p->text[c->i] != '\r') c->i++;
        else if (b == ' ' || b == '\t' || (newlines && (b == '\n' || b == '\r')))
            c->i++;
        else
            break;
    }
}

static int grammar_parse_new_node(st_gparse *p, st_gtree t, uint32_t *id)
{
    if (!st_grow(p->mem, &p->tree, &p->tree_cap, p->n_tree + 1, p->n_tree, sizeof *p->tree))
        return grammar_parse_no_memory(p);
    t.first = t.first ? t.first : ST_G_NONE; /* node 0 is never a child: it is the first rule's own list */
    t.next = ST_G_NONE;
    *id = (uint32_t)p->n_tree;
    p->tree[p->n_tree++] = t;
    return STRATA_OK;
}

/* Appends a child to a list; *last is its last child, ST_G_NONE at first. */
static void grammar_parse_append(st_gparse *p, uint32_t list, uint32_t *last, uint32_t child)
{
    if (*last == ST_G_NONE)
        p->tree[list].first = child;
    else
        p->tree[*last].next = child;
    *last = child;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static int grammar_parse_rule_id(cursor *c, size_t from, size_t len, uint32_t *id)
{
    st_gparse *p = c->p;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++) h = (h ^ (uint8_t)p->text[from + i]) * 16777619u;
    uint32_t *slot = &p->hash[(h ^ h >> 16) & 1023];
    for (uint32_t k = *slot; k; k = p->rules[k - 1].hash_next) {
        const st_grule *r = &p->rules[k - 1];
        if (r->name_len == len && memcmp(p->text + r->name, p->text + from, len) == 0) return *id = k - 1, STRATA_OK;
    }
    if (p->n_rules == ST_G_MAX_RULES) return st_grammar_error(p, from, "more than %u rules", ST_G_MAX_RULES);
    if (!st_grow(p->mem, &p->rules, &p->rules_cap, p->n_rules + 1, p->n_rules, sizeof *p->rules))
        return grammar_parse_no_memory(p);
    p->rules[p->n_rules] =
        (st_grule){(uint32_t)from, (uint32_t)len, ST_G_NONE, (uint32_t)from, *slot, ST_G_NONE - 1, ST_G_NONE};
    *id = (uint32_t)p->n_rules++;
    *slot = *id + 1;
    return STRATA_OK;
}

static size_t grammar_parse_name_end(const cursor *c)
{
    size_t e = c->i;
    while (e < c->p->len && grammar_parse_is_word(c->p->text[e])) e++;
    return e;
}

/* ---- characters -------------------------------------------------------------------------------------------------- */

static int grammar_parse_read_hex(cursor *c, unsigned digits, uint32_t *cp)
{
    size_t at = c->i - 2;
    *cp = 0;
    for (unsigned k = 0; k < digits; k++, c->i++) {
        char b = grammar_parse_peek(c);
        int v = b >= '0' && b <= '9'   ? b - '0'
                : b >= 'a' && b <= 'f' ? b - 'a' + 10
                : b >= 'A' && b <= 'F' ? b - 'A' + 10
                                       : -1;
        if (v < 0) {
            char what[40];
            snprintf(what, sizeof what, "%u hexadecimal digits", digits);
            return grammar_parse_want(c, what);
        }
        *cp = *cp << 4 | (uint32_t)v;
    }
    if (*cp > 0x10ffff) return st_grammar_error(c->p, at, "U+%X is no character, want at most U+10FFFF", (unsigned)*cp);
    return STRATA_OK;
}

static int grammar_parse_read_char(cursor *c, uint32_t *cp)
{
    const st_gparse *p = c->p;
    if (grammar_parse_peek(c) != '\\') {
        unsigned n;
        *cp = st_utf8_get((const uint8_t *)p->text + c->i, &n);
        c->i += n;
        return STRATA_OK;
    }
    c->i++;
    char b = grammar_parse_peek(c);
    c->i++;
    switch (b) {
    case 'x': return grammar_parse_read_hex(c, 2, cp);
    case 'u': return grammar_parse_read_hex(c, 4, cp);
    case 'U': return grammar_parse_read_hex(c, 8, cp);
    case 't': return *cp = '\t', STRATA_OK;
    case 'r': return *cp = '\r', STRATA_OK;
    case 'n': return *cp = '\n', STRATA_OK;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-': return *cp = (uint8_t)b, STRATA_OK;
    default: c->i--; return grammar_parse_want(c, "an escape: \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\x \\u \\U");
    }
}

static int grammar_parse_class_node(cursor *c, size_t n, bool negate, size_t at, uint32_t *id)
{
    uint32_t cls;
    if (!st_gclass_add(c->p->classes, c->ranges, n, negate, &cls)) return grammar_parse_no_memory(c->p);
    if (cls == ST_G_NONE) return st_grammar_error(c->p, at, "no character matches this");
    return grammar_parse_new_node(c->p, (st_gtree){.kind = ST_GN_CLASS, .arg = cls, .at = (uint32_t)at}, id);
}

static int grammar_parse_push_range(cursor *c, uint32_t lo, uint32_t hi)
{
    if (!st_grow(c->p->mem, &c->ranges, &c->ranges_cap, c->n_ranges + 1, c->n_ranges, sizeof *c->ranges))
        return grammar_parse_no_memory(c->p);
    c->ranges[c->n_ranges++] = (st_grange){lo, hi};
    return STRATA_OK;
}

/* "...": a list of characters. */
static int grammar_parse_read_literal(cursor *c, uint32_t *id)
{
    size_t at = c->i++;
    uint32_t last = ST_G_NONE, child = 0, cp = 0;
    ST_TRY(grammar_parse_new_node(c->p, (st_gtree){.kind = ST_GN_SEQ, .at = (uint32_t)at}, id));
    while (c->i < c->p->len && grammar_parse_peek(c) != '"') {
        size_t from = c->i;
        ST_TRY(grammar_parse_read_char(c, &cp));
        c->n_ranges = 0;
        ST_TRY(grammar_parse_push_range(c, cp, cp));
        ST_TRY(grammar_parse_class_node(c, 1, false, from, &child));
        grammar_parse_append(c->p, *id, &last, child);
    }
    if (c->i >= c->p->len) return st_grammar_error(c->p, at, "a literal without end, want '\"'");
    c->i++;
    return STRATA_OK;
}

/* [...] */
static int grammar_parse_read_class(cursor *c, uint32_t *id)
{
    size_t at = c->i++;
    bool negate = grammar_parse_peek(c) == '^';
    c->i += negate;
    c->n_ranges = 0;
    while (c->i < c->p->len && grammar_parse_peek(c) != ']') {
        size_t from = c->i;
        uint32_t lo = 0, hi = 0;
        ST_TRY(grammar_parse_read_char(c, &lo));
        hi = lo;
        if (grammar_parse_peek(c) == '-' && c->i + 1 < c->p->len && c->p->text[c->i + 1] != ']') {
            c->i++;
            ST_TRY(grammar_parse_read_char(c, &hi));
            if (hi < lo)
                return st_grammar_error(c->p, from, "a range from U+%04X down to U+%04X, want the lower one first",
                                        (unsigned)lo, (unsigned)hi);
        }
        ST_TRY(grammar_parse_push_range(c, lo, hi));
    }
    if (c->i >= c->p->len) return st_grammar_error(c->p, at, "a class without end, want ']'");
    c->i++;
    return grammar_parse_class_node(c, c->n_ranges, negate, at, id);
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

static int grammar_parse_read_count(cursor *c, uint32_t *n)
{
    size_t at = c->i;
    if (grammar_parse_peek(c) < '0' || grammar_parse_peek(c) > '9')
        return grammar_parse_want(c, "a number of repetitions");
    *n = 0;
    for (; grammar_parse_peek(c) >= '0' && grammar_parse_peek(c) <= '9'; c->i++) {
        uint64_t v = (uint64_t)*n * 10 + (uint32_t)(grammar_parse_peek(c) - '0');
        *n = (uint32_t)v;
        if (v > ST_G_MAX_REPEAT) return st_grammar_error(c->p, at, "more than %u repetitions", ST_G_MAX_REPEAT);
    }
    return STRATA_OK;
}

/* * + ? {m} {m,} {m,n}, if one stands here. */
static int grammar_parse_read_repeat(cursor *c, bool nested, uint32_t *min, uint32_t *max, bool *is)
{
    size_t at = c->i;
    *is = true;
    switch (grammar_parse_peek(c)) {
    case '*': *min = 0, *max = ST_G_NONE; break;
    case '+': *min = 1, *max = ST_G_NONE; break;
    case '?': *min = 0, *max = 1; break;
    case '{':
        c->i++;
        grammar_parse_skip_space(c, nested);
        ST_TRY(grammar_parse_read_count(c, min));
        grammar_parse_skip_space(c, nested);
        *max = *min;
        if (grammar_parse_peek(c) == ',') {
            c->i++;
            grammar_parse_skip_space(c, nested);
            *max = ST_G_NONE;
            if (grammar_parse_peek(c) != '}') ST_TRY(grammar_parse_read_count(c, max));
            grammar_parse_skip_space(c, nested);
        }
        if (grammar_parse_peek(c) != '}') return grammar_parse_want(c, *max == *min ? "',' or '}'" : "'}'");
        if (*max < *min)
            return st_grammar_error(c->p, at, "{%u,%u}, want the smaller number first", (unsigned)*min, (unsigned)*max);
        break;
    default: *is = false; return STRATA_OK;
    }
    c->i++;
    return STRATA_OK;
}

/* A name, a literal, a class, any character. */
static int grammar_parse_read_item(cursor *c, uint32_t *id)
{
    st_gparse *p = c->p;
    size_t at = c->i;
    char b = grammar_parse_peek(c);
    if (b == '"') return grammar_parse_read_literal(c, id);
    if (b == '[') return grammar_parse_read_class(c, id);
    if (b == '.') {
        c->i++;
        c->n_ranges = 0;
        return grammar_parse_class_node(c, 0, true, at, id);
    }
    uint32_t rule = 0;
    size_t end = grammar_parse_name_end(c);
    ST_TRY(grammar_parse_rule_id(c, c->i, end - c->i, &rule));
    c->i = end;
    return grammar_parse_new_node(p, (st_gtree){.kind = ST_GN_REF, .arg = rule, .at = (uint32_t)at}, id);
}

static int grammar_parse_open_level(cursor *c)
{
    level l = {.last_list = ST_G_NONE, .last = ST_G_NONE, .before_last = ST_G_NONE};
    if (c->n_levels > ST_G_MAX_DEPTH)
        return st_grammar_error(c->p, c->i, "groups nested deeper than %u", ST_G_MAX_DEPTH);
    if (!st_grow(c->p->mem, &c->levels, &c->levels_cap, c->n_levels + 1, c->n_levels, sizeof *c->levels))
        return grammar_parse_no_memory(c->p);
    ST_TRY(grammar_parse_new_node(c->p, (st_gtree){.kind = ST_GN_ALT, .at = (uint32_t)c->i}, &l.list));
    ST_TRY(grammar_parse_new_node(c->p, (st_gtree){.kind = ST_GN_SEQ, .at = (uint32_t)c->i}, &l.items));
    c->levels[c->n_levels++] = l;
    return STRATA_OK;
}

static void grammar_parse_add_item(cursor *c, uint32_t item)
{
    level *l = &c->levels[c->n_levels - 1];
    l->before_last = l->last;
    grammar_parse_append(c->p, l->items, &l->last, item);
}

/* What stands behind an item repeats it: the new node takes its place. */
static int grammar_parse_repeat_item(cursor *c, size_t at, uint32_t min, uint32_t max)
{
    level *l = &c->levels[c->n_levels - 1];
    uint32_t node = 0;
    if (l->last == ST_G_NONE)
        return st_grammar_error(c->p, at, "found '%c' with nothing before it to repeat", c->p->text[at]);
    ST_TRY(grammar_parse_new_node(
        c->p, (st_gtree){.kind = ST_GN_REP, .min = min, .max = max, .first = l->last, .at = (uint32_t)at}, &node));
    l->last = l->before_last;
    grammar_parse_append(c->p, l->items, &l->last, node);
    return STRATA_OK;
}

static int grammar_parse_read_alternatives(cursor *c, uint32_t *id)
{
    st_gparse *p = c->p;
    c->n_levels = 0;
    ST_TRY(grammar_parse_open_level(c));
    for (;;) {
        level *l = &c->levels[c->n_levels - 1];
        bool nested = c->n_levels > 1, repeat = false;
        char b = grammar_parse_peek(c);
        size_t at = c->i;
        uint32_t min = 0, max = 0, item = 0;
        if (b == '<' || b == '!') return st_grammar_error(p, at, "token terminals such as <[1000]> are not supported");
        if (b == '(') {
            c->i++;
            ST_TRY(grammar_parse_open_level(c));
            grammar_parse_skip_space(c, true);
        } else if (b == '"' || b == '[' || b == '.' || grammar_parse_is_word(b)) {
            ST_TRY(grammar_parse_read_item(c, &item));
            grammar_parse_add_item(c, item);
            grammar_parse_skip_space(c, nested);
        } else if (b == '|') {
            grammar_parse_append(p, l->list, &l->last_list, l->items);
            l->last = l->before_last = ST_G_NONE;
            c->i++;
            grammar_parse_skip_space(c, true);
            ST_TRY(grammar_parse_new_node(p, (st_gtree){.kind = ST_GN_SEQ, .at = (uint32_t)c->i}, &l->items));
        } else {
            ST_TRY(grammar_parse_read_repeat(c, nested, &min, &max, &repeat));
            if (repeat) {
                ST_TRY(grammar_parse_repeat_item(c, at, min, max));
                grammar_parse_skip_space(c, nested);
                continue;
            }
            if (nested && b != ')') return grammar_parse_want(c, "')'");
            grammar_parse_append(p, l->list, &l->last_list, l->items);
            item = l->list;
            c->n_levels--;
            if (!nested) return *id = item, STRATA_OK;
            c->i++;
            grammar_parse_add_item(c, item);
            grammar_parse_skip_space(c, c->n_levels > 1);
        }
    }
}

static int grammar_parse_read_rule(cursor *c)
{
    st_gparse *p = c->p;
    size_t at = c->i, end = grammar_parse_name_end(c);
    uint32_t rule = 0, body = 0;
    if (end == at) return grammar_parse_want(c, "the name of a rule");
    ST_TRY(grammar_parse_rule_id(c, at, end - at, &rule));
    if (p->rules[rule].body != ST_G_NONE)
        return st_grammar_error(p, at, "rule '%.*s' is defined twice", (int)(end - at < 80 ? end - at : 80),
                                p->text + at);
    c->i = end;
    grammar_parse_skip_space(c, false);
    if (p->len - c->i < 3 || memcmp(p->text + c->i, "::=", 3) != 0) return grammar_parse_want(c, "'::='");
    c->i += 3;
    grammar_parse_skip_space(c, true);
    ST_TRY(grammar_parse_read_alternatives(c, &body));
    p->rules[rule].body = body;
    p->rules[rule].used = (uint32_t)at;
    if (c->i < p->len && grammar_parse_peek(c) != '\n' && grammar_parse_peek(c) != '\r')
        return grammar_parse_want(c, "an item, '|' or the end of the line");
    grammar_parse_skip_space(c, true);
    return STRATA_OK;
}

int st_grammar_parse(st_gparse *p)
{
    if (p->len > ST_G_MAX_TEXT)
        ST_FAIL(p->err, STRATA_BAD_GRAMMAR, "a grammar of %zu bytes, want at most %zu", p->len, ST_G_MAX_TEXT);
    const char *wrong = st_utf8_begin(&p->text, &p->len);
    if (wrong) ST_FAIL(p->err, STRATA_BAD_GRAMMAR, "grammar: %s", wrong);
    size_t bad = st_utf8_check(p->text, p->len);
    if (bad < p->len) return st_grammar_error(p, bad, "byte 0x%02x is not UTF-8", (uint8_t)p->text[bad]);
    cursor c = {.p = p};
    uint32_t unused;
    int rc = grammar_parse_new_node(p, (st_gtree){.kind = ST_GN_SEQ}, &unused); /* so that 0 is no child */
    grammar_parse_skip_space(&c, true);
    while (!rc && c.i < p->len) rc = grammar_parse_read_rule(&c);
    st_free(p->mem, c.ranges);
    st_free(p->mem, c.levels);
    if (rc) return rc;
    p->root = ST_G_NONE;
    for (size_t i = 0; i < p->n_rules; i++) {
        const st_grule *r = &p->rules[i];
        if (r->body == ST_G_NONE)
            return st_grammar_error(p, r->used, "rule '%.*s' is not defined",
                                    (int)(r->name_len < 80 ? r->name_len : 80), p->text + r->name);
        if (r->name_len == 4 && memcmp(p->text + r->name, "root", 4) == 0) p->root = (uint32_t)i;
    }
    if (p->root == ST_G_NONE) return st_grammar_error(p, p->len, "no rule 'root', want one");
    return STRATA_OK;
}

void st_gparse_free(st_gparse *p)
{
    st_free(p->mem, p->tree);
    st_free(p->mem, p->rules);
}
