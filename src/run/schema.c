/* schema.c: JSON Schema -> GBNF rules.
 *
 * A rule stands for a list of schemas that must all hold. The list is first opened up ($ref and allOf become members);
 * anyOf then turns it into alternatives, each the list with one branch more; what is left is merged keyword by keyword
 * and written out. Equal lists are one rule, which is what makes recursion end. Rules wait in a queue, so the depth of
 * a schema costs no stack. */
#include "run/schema.h"

#include <stdio.h>

#include "run/schema_impl.h"

#define MAX_RULES 20000u
#define MAX_LIST  256u     /* schemas that hold together */
#define MAX_COUNT 65535u   /* bounds of lengths */
#define MAX_STEPS 2000000u /* of work on all rules */
#define MAX_PROBE 6        /* levels at which what nothing satisfies is noticed */

enum {
    T_NULL = 1,
    T_BOOL = 2,
    T_OBJECT = 4,
    T_ARRAY = 8,
    T_STRING = 16,
    T_INTEGER = 32,
    T_FRACTION = 64, /* numbers that are not whole */
    T_NUMBER = T_INTEGER | T_FRACTION,
    T_ALL = 127
};

/* Flags of an entry: its anyOf, its oneOf was turned into alternatives; its $ref and allOf are in the list. */
enum { USED_ANY_OF = 1, USED_ONE_OF = 2, OPENED = 4 };

typedef struct entry {
    uint32_t node, flags;
} entry;

typedef struct rule {
    uint32_t at, n; /* of entries */
    uint32_t hash_next;
} rule;

typedef struct list {
    entry e[MAX_LIST];
    uint32_t n;
} list;

enum {
    B_WS = 1,
    B_CHAR = 2,
    B_STRING = 4,
    B_NUMBER = 8,
    B_INTEGER = 16,
    B_VALUE = 32,
    B_FREE_KEY = 64,
    B_DATE = 128,
    B_TIME = 256
};

typedef struct schema {
    st_json json;
    st_sbuf out;
    entry *entries;
    rule *rules;
    size_t n_entries, entries_cap, n_rules, rules_cap;
    uint32_t hash[1024];
    uint32_t builtins, steps;
} schema;

/* Where a value of the schema is. */
static const st_json_node *node_of(const schema *s, uint32_t node)
{
    return &s->json.nodes[node];
}

static int no_memory(const schema *s)
{
    st_error_set(s->json.err, STRATA_NO_MEMORY, "no memory for a schema of %zu bytes", s->json.len);
    return STRATA_NO_MEMORY;
}

static uint32_t get(const schema *s, uint32_t node, const char *key)
{
    return st_json_get(&s->json, node, key, strlen(key));
}

static bool is_str(const schema *s, uint32_t node, const char *text)
{
    const st_json_node *n = node_of(s, node);
    return n->type == ST_J_STRING && n->len == strlen(text) &&
           (!n->len || memcmp(s->json.pool.p + n->str, text, n->len) == 0);
}

static int step(schema *s, uint32_t node)
{
    if (++s->steps > MAX_STEPS)
        return st_json_error(&s->json, node_of(s, node)->at, "the schema takes more than %u steps", MAX_STEPS);
    return STRATA_OK;
}

/* ---- which keywords ---------------------------------------------------------------------------------------------- */

static bool key_is(const schema *s, const st_json_node *m, const char *key)
{
    return m->key_len == strlen(key) && memcmp(s->json.pool.p + m->key, key, m->key_len) == 0;
}

static int check_keywords(schema *s, uint32_t node)
{
    static const char *const refused[] = {"not",
                                          "if",
                                          "then",
                                          "else",
                                          "dependentSchemas",
                                          "dependentRequired",
                                          "dependencies",
                                          "patternProperties",
                                          "propertyNames",
                                          "contains",
                                          "minContains",
                                          "maxContains",
                                          "maxProperties",
                                          "unevaluatedProperties",
                                          "unevaluatedItems",
                                          "$dynamicRef",
                                          "$recursiveRef",
                                          "contentSchema"};
    for (uint32_t k = node_of(s, node)->first; k != ST_S_NONE; k = node_of(s, k)->next) {
        const st_json_node *m = node_of(s, k);
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
            if (key_is(s, m, refused[i]))
                return st_json_error(&s->json, m->at, "the keyword '%s' is not supported", refused[i]);
        if (key_is(s, m, "uniqueItems") && m->type != ST_J_FALSE)
            return st_json_error(&s->json, m->at, "the keyword 'uniqueItems' is not supported");
        if (key_is(s, m, "multipleOf") && !(m->type == ST_J_NUMBER && m->len == 1 && s->json.text[m->str] == '1'))
            return st_json_error(&s->json, m->at, "'multipleOf' is supported with 1 only");
    }
    return STRATA_OK;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static int push(schema *s, list *l, uint32_t node, uint32_t flags)
{
    ST_TRY(step(s, node));
    for (uint32_t i = 0; i < l->n; i++)
        if (l->e[i].node == node) {
            if (l->e[i].flags & (USED_ANY_OF | USED_ONE_OF))
                return st_json_error(&s->json, node_of(s, node)->at, "a schema that is an alternative of itself");
            return STRATA_OK;
        }
    if (l->n == MAX_LIST)
        return st_json_error(&s->json, node_of(s, node)->at, "more than %u schemas hold together", MAX_LIST);
    l->e[l->n++] = (entry){node, flags};
    return STRATA_OK;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "#/a/b": the value it points to (RFC 6901). */
static int resolve(schema *s, uint32_t ref, uint32_t *out)
{
    const st_json_node *r = node_of(s, ref);
    if (r->type != ST_J_STRING) return st_json_error(&s->json, r->at, "$ref, want a string");
    const char *p = s->json.pool.p + r->str, *end = p + r->len;
    if (!r->len || *p != '#' || (r->len > 1 && p[1] != '/'))
        return st_json_error(&s->json, r->at,
                             "$ref, want '#' or '#/...': references out of the document are not supported");
    uint32_t at = 0;
    for (p++; p < end;) {
        char name[256];
        size_t n = 0;
        for (p++; p < end && *p != '/'; p++) {
            char c = *p;
            if (c == '%' && end - p > 2 && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
                c = (char)(hex_digit(p[1]) * 16 + hex_digit(p[2]));
                p += 2;
            } else if (c == '~' && end - p > 1 && (p[1] == '0' || p[1] == '1')) {
                c = p[1] == '0' ? '~' : '/';
                p++;
            }
            if (n == sizeof name)
                return st_json_error(&s->json, r->at, "$ref with a name longer than %zu", sizeof name);
            name[n++] = c;
        }
        uint32_t next = st_json_get(&s->json, at, name, n);
        if (node_of(s, at)->type == ST_J_ARRAY) {
            uint32_t index = 0;
            bool number = n > 0 && n < 6;
            for (size_t i = 0; i < n && number; i++) {
                number = name[i] >= '0' && name[i] <= '9';
                index = index * 10 + (uint32_t)(name[i] - '0');
            }
            next = number ? node_of(s, at)->first : ST_S_NONE;
            while (next != ST_S_NONE && index-- > 0) next = node_of(s, next)->next;
        }
        if (next == ST_S_NONE) return st_json_error(&s->json, r->at, "$ref to what is not there");
        at = next;
    }
    *out = at;
    return STRATA_OK;
}

/* Replaces true and false, follows $ref and allOf. *never: a member is false. */
static int open_up(schema *s, list *l, bool *never)
{
    *never = false;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t node = l->e[i].node, k;
        const st_json_node *n = node_of(s, node);
        if (n->type == ST_J_FALSE) *never = true;
        if (n->type == ST_J_TRUE || n->type == ST_J_FALSE) continue;
        if (n->type != ST_J_OBJECT) return st_json_error(&s->json, n->at, "a schema, want an object, true or false");
        if (l->e[i].flags & OPENED) continue;
        l->e[i].flags |= OPENED;
        ST_TRY(check_keywords(s, node));
        if ((k = get(s, node, "$ref")) != ST_S_NONE) {
            uint32_t to = 0;
            ST_TRY(resolve(s, k, &to));
            ST_TRY(push(s, l, to, 0));
        }
        if ((k = get(s, node, "allOf")) != ST_S_NONE) {
            if (node_of(s, k)->type != ST_J_ARRAY)
                return st_json_error(&s->json, node_of(s, k)->at, "allOf, want a list");
            for (k = node_of(s, k)->first; k != ST_S_NONE; k = node_of(s, k)->next) ST_TRY(push(s, l, k, 0));
        }
    }
    return STRATA_OK;
}

/* The first anyOf or oneOf that is not yet used: its list of branches, and the entry. */
static int find_branches(const schema *s, const list *l, uint32_t *entry_at, uint32_t *flag, uint32_t *branches)
{
    *branches = ST_S_NONE;
    for (uint32_t i = 0; i < l->n && *branches == ST_S_NONE; i++) {
        if (node_of(s, l->e[i].node)->type != ST_J_OBJECT) continue;
        for (uint32_t f = USED_ANY_OF; f <= USED_ONE_OF && *branches == ST_S_NONE; f *= 2) {
            uint32_t k = l->e[i].flags & f ? ST_S_NONE : get(s, l->e[i].node, f == USED_ANY_OF ? "anyOf" : "oneOf");
            if (k == ST_S_NONE) continue;
            if (node_of(s, k)->type != ST_J_ARRAY || !node_of(s, k)->n)
                return st_json_error(&s->json, node_of(s, k)->at,
                                     "anyOf and oneOf, want a list with a schema at least");
            *entry_at = i;
            *flag = f;
            *branches = k;
        }
    }
    return STRATA_OK;
}

/* The rule of a list: found or new. */
static int rule_of(schema *s, const list *l, uint32_t *id)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < l->n; i++) h = ((h ^ l->e[i].node) * 16777619u ^ l->e[i].flags) * 16777619u;
    uint32_t *slot = &s->hash[(h ^ h >> 16) & 1023];
    for (uint32_t k = *slot; k; k = s->rules[k - 1].hash_next) {
        const rule *r = &s->rules[k - 1];
        if (r->n == l->n && (!l->n || memcmp(s->entries + r->at, l->e, l->n * sizeof *l->e) == 0))
            return *id = k - 1, STRATA_OK;
    }
    if (s->n_rules == MAX_RULES) return st_json_error(&s->json, 0, "the schema needs more than %u rules", MAX_RULES);
    if (!st_grow(s->json.mem, &s->entries, &s->entries_cap, s->n_entries + l->n, s->n_entries, sizeof *s->entries) ||
        !st_grow(s->json.mem, &s->rules, &s->rules_cap, s->n_rules + 1, s->n_rules, sizeof *s->rules))
        return no_memory(s);
    if (l->n) memcpy(s->entries + s->n_entries, l->e, l->n * sizeof *l->e);
    *id = (uint32_t)s->n_rules++;
    s->rules[*id] = (rule){(uint32_t)s->n_entries, l->n, *slot};
    s->n_entries += l->n;
    *slot = *id + 1;
    return STRATA_OK;
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static int type_bit(const schema *s, uint32_t node, uint32_t *bits)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } types[] = {{"null", T_NULL},     {"boolean", T_BOOL},    {"object", T_OBJECT}, {"array", T_ARRAY},
                 {"string", T_STRING}, {"integer", T_INTEGER}, {"number", T_NUMBER}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (is_str(s, node, types[i].name)) return *bits |= types[i].bits, STRATA_OK;
    return st_json_error(&s->json, node_of(s, node)->at,
                         "a type, want null, boolean, object, array, string, integer or number");
}

/* The types that an entry's own keywords allow. */
static int entry_types(const schema *s, uint32_t node, uint32_t *bits)
{
    static const struct {
        const char *key;
        uint32_t bits;
    } hints[] = {{"properties", T_OBJECT},
                 {"required", T_OBJECT},
                 {"additionalProperties", T_OBJECT},
                 {"minProperties", T_OBJECT},
                 {"items", T_ARRAY},
                 {"prefixItems", T_ARRAY},
                 {"minItems", T_ARRAY},
                 {"maxItems", T_ARRAY},
                 {"minLength", T_STRING},
                 {"maxLength", T_STRING},
                 {"pattern", T_STRING},
                 {"format", T_STRING},
                 {"minimum", T_NUMBER},
                 {"exclusiveMinimum", T_NUMBER},
                 {"maximum", T_NUMBER},
                 {"exclusiveMaximum", T_NUMBER},
                 {"multipleOf", T_NUMBER}};
    uint32_t k = get(s, node, "type");
    *bits = 0;
    if (k != ST_S_NONE && node_of(s, k)->type == ST_J_ARRAY) {
        for (uint32_t i = node_of(s, k)->first; i != ST_S_NONE; i = node_of(s, i)->next) ST_TRY(type_bit(s, i, bits));
    } else if (k != ST_S_NONE) {
        ST_TRY(type_bit(s, k, bits));
    } else {
        for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
            if (get(s, node, hints[i].key) != ST_S_NONE) *bits |= hints[i].bits;
        if (!*bits) *bits = T_ALL;
        return STRATA_OK;
    }
    k = get(s, node, "nullable");
    if (k != ST_S_NONE && node_of(s, k)->type == ST_J_TRUE) *bits |= T_NULL;
    return STRATA_OK;
}

static uint32_t value_types(const schema *s, uint32_t node)
{
    const st_json_node *n = node_of(s, node);
    switch (n->type) {
    case ST_J_NULL: return T_NULL;
    case ST_J_STRING: return T_STRING;
    case ST_J_ARRAY: return T_ARRAY;
    case ST_J_OBJECT: return T_OBJECT;
    case ST_J_NUMBER: {
        st_sdec d;
        return st_sdec_parse(s->json.text + n->str, n->len, &d) && d.n_frac ? T_FRACTION : T_INTEGER;
    }
    default: return T_BOOL;
    }
}

static int list_types(schema *s, const list *l, uint32_t *bits)
{
    *bits = T_ALL;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t one;
        if (node_of(s, l->e[i].node)->type != ST_J_OBJECT) continue;
        ST_TRY(step(s, l->e[i].node));
        ST_TRY(entry_types(s, l->e[i].node, &one));
        *bits &= one;
        if (get(s, l->e[i].node, "multipleOf") != ST_S_NONE) *bits &= ~(uint32_t)T_FRACTION;
    }
    return STRATA_OK;
}

/* ---- enum -------------------------------------------------------------------------------------------------------- */

static bool same_value(schema *s, uint32_t a, uint32_t b)
{
    const st_json_node *x = node_of(s, a), *y = node_of(s, b);
    if (x->type != y->type) return false;
    if (x->type == ST_J_NUMBER) {
        st_sdec p, q;
        return st_sdec_parse(s->json.text + x->str, x->len, &p) && st_sdec_parse(s->json.text + y->str, y->len, &q) &&
               st_sdec_cmp(&p, &q) == 0;
    }
    st_sbuf p = {.mem = s->json.mem}, q = {.mem = s->json.mem};
    st_json_write(&s->json, a, &p);
    st_json_write(&s->json, b, &q);
    bool same = !p.no_memory && !q.no_memory && p.n == q.n && memcmp(p.p, q.p, p.n) == 0;
    s->out.no_memory |= p.no_memory || q.no_memory;
    st_free(s->json.mem, p.p);
    st_free(s->json.mem, q.p);
    return same;
}

/* Whether the other enums and consts of the list allow a value. */
static int allowed(schema *s, const list *l, uint32_t value, bool *ok)
{
    *ok = true;
    for (uint32_t i = 0; i < l->n && *ok; i++) {
        uint32_t k = get(s, l->e[i].node, "const");
        if (k != ST_S_NONE) *ok = same_value(s, k, value);
        k = get(s, l->e[i].node, "enum");
        if (k == ST_S_NONE || !*ok) continue;
        *ok = false;
        for (k = node_of(s, k)->first; k != ST_S_NONE && !*ok; k = node_of(s, k)->next) {
            ST_TRY(step(s, value));
            *ok = k == value || same_value(s, k, value);
        }
    }
    return STRATA_OK;
}

/* The values of the list's enum, *values: the first of them, *one: only that (const). ST_S_NONE: there is no enum. */
static int find_enum(const schema *s, const list *l, uint32_t *values, bool *one)
{
    static const char *const other[] = {"properties",
                                        "required",
                                        "additionalProperties",
                                        "items",
                                        "prefixItems",
                                        "minItems",
                                        "maxItems",
                                        "minLength",
                                        "maxLength",
                                        "pattern",
                                        "minimum",
                                        "maximum",
                                        "exclusiveMinimum",
                                        "exclusiveMaximum",
                                        "minProperties"};
    *values = ST_S_NONE;
    for (uint32_t i = 0; i < l->n && *values == ST_S_NONE; i++) {
        uint32_t k = get(s, l->e[i].node, "const");
        if (k != ST_S_NONE) *values = k, *one = true;
        k = *values == ST_S_NONE ? get(s, l->e[i].node, "enum") : ST_S_NONE;
        if (k == ST_S_NONE) continue;
        if (node_of(s, k)->type != ST_J_ARRAY || !node_of(s, k)->n)
            return st_json_error(&s->json, node_of(s, k)->at, "enum, want a list with a value at least");
        *values = node_of(s, k)->first;
        *one = false;
    }
    for (uint32_t i = 0; i < l->n && *values != ST_S_NONE; i++)
        for (size_t o = 0; o < sizeof other / sizeof *other; o++) {
            uint32_t k = get(s, l->e[i].node, other[o]);
            if (k != ST_S_NONE)
                return st_json_error(&s->json, node_of(s, k)->at, "'%s' beside enum or const is not supported",
                                     other[o]);
        }
    return STRATA_OK;
}

/* ---- what nothing satisfies -------------------------------------------------------------------------------------- */

static int possible(schema *s, const list *given, int depth, bool *ok);

/* At least one branch of anyOf can hold. */
static int possible_branch(schema *s, const list *l, uint32_t at, uint32_t flag, uint32_t branches, int depth, bool *ok)
{
    *ok = false;
    for (uint32_t b = node_of(s, branches)->first; b != ST_S_NONE && !*ok; b = node_of(s, b)->next) {
        list with = *l;
        with.e[at].flags |= flag;
        ST_TRY(push(s, &with, b, 0));
        ST_TRY(possible(s, &with, depth + 1, ok));
    }
    return STRATA_OK;
}

/* False only if nothing satisfies the list, as far as its types and values tell. A list is 2 KiB: MAX_PROBE levels. */
static int possible(schema *s, const list *given, int depth, bool *ok)
{
    list l = *given;
    bool never, one = false;
    uint32_t at = 0, flag = 0, branches, bits, values;
    *ok = true;
    ST_TRY(open_up(s, &l, &never));
    if (never) return *ok = false, STRATA_OK;
    ST_TRY(list_types(s, &l, &bits));
    if (!bits) return *ok = false, STRATA_OK;
    ST_TRY(find_branches(s, &l, &at, &flag, &branches));
    if (branches != ST_S_NONE)
        return depth >= MAX_PROBE ? STRATA_OK : possible_branch(s, &l, at, flag, branches, depth, ok);
    ST_TRY(find_enum(s, &l, &values, &one));
    if (values == ST_S_NONE) return STRATA_OK;
    for (*ok = false; values != ST_S_NONE && !*ok; values = one ? ST_S_NONE : node_of(s, values)->next)
        if (value_types(s, values) & bits) ST_TRY(allowed(s, &l, values, ok));
    return STRATA_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One rule's own text goes to `b`; rules that it needs beside it are written to s->out first. */
typedef struct writer {
    schema *s;
    list l;
    uint32_t id;
    st_sbuf b;
    bool bar;
} writer;

static void bar(writer *w)
{
    if (w->bar) st_sbuf_str(&w->b, " | ");
    w->bar = true;
}

static int error_at(const writer *w, const char *what)
{
    uint32_t node = w->l.n ? w->l.e[0].node : 0;
    return st_json_error(&w->s->json, node_of(w->s, node)->at, "%s", what);
}

/* A count of a keyword: the largest of minima, the smallest of maxima. */
static int count(const writer *w, const char *key, bool smallest, uint32_t *v)
{
    const schema *s = w->s;
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = get(s, w->l.e[i].node, key);
        st_sdec d;
        if (k == ST_S_NONE) continue;
        const st_json_node *n = node_of(s, k);
        if (n->type != ST_J_NUMBER || !st_sdec_parse(s->json.text + n->str, n->len, &d) || d.neg || d.n_frac)
            return st_json_error(&s->json, n->at, "%s, want a whole number from 0", key);
        uint32_t c = 0;
        for (int j = 0; j < d.n_int && c <= MAX_COUNT; j++) c = c * 10 + (uint32_t)(d.i[j] - '0');
        if (c > MAX_COUNT) {
            if (smallest) continue; /* as good as none */
            return st_json_error(&s->json, n->at, "%s, want at most %u", key, MAX_COUNT);
        }
        if (smallest ? *v == ST_S_NONE || c < *v : c > *v) *v = c;
    }
    return STRATA_OK;
}

static void repeat(st_sbuf *b, uint32_t min, uint32_t max)
{
    if (max == ST_S_NONE)
        st_sbuf_fmt(b, "{%u,} ", (unsigned)min);
    else
        st_sbuf_fmt(b, "{%u,%u} ", (unsigned)min, (unsigned)max);
}

static int write_enum(writer *w, uint32_t values, bool one, uint32_t bits)
{
    schema *s = w->s;
    st_sbuf text = {.mem = s->json.mem};
    int rc = STRATA_OK;
    for (uint32_t v = values; v != ST_S_NONE && !rc; v = one ? ST_S_NONE : node_of(s, v)->next) {
        bool ok = false;
        if (value_types(s, v) & bits) rc = allowed(s, &w->l, v, &ok);
        if (rc || !ok) continue;
        text.n = 0;
        st_json_write(&s->json, v, &text);
        bar(w);
        if (text.n) st_sbuf_literal(&w->b, text.p, text.n);
    }
    w->b.no_memory |= text.no_memory;
    st_free(s->json.mem, text.p);
    return rc;
}

static int write_string(writer *w)
{
    static const struct {
        const char *name, *rule;
        uint32_t builtins;
    } formats[] = {
        {"date", "date", B_DATE},
        {"time", "time", B_TIME},
        {"date-time", "date \"T\" time", B_DATE | B_TIME},
        {"uuid", "[0-9a-fA-F]{8} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{12}",
         0}};
    schema *s = w->s;
    uint32_t min = 0, max = ST_S_NONE, pattern = ST_S_NONE, format = ST_S_NONE, which = 0;
    ST_TRY(count(w, "minLength", false, &min));
    ST_TRY(count(w, "maxLength", true, &max));
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = get(s, w->l.e[i].node, "pattern");
        if (k != ST_S_NONE) {
            if (node_of(s, k)->type != ST_J_STRING)
                return st_json_error(&s->json, node_of(s, k)->at, "pattern, want a string");
            if (pattern != ST_S_NONE)
                return st_json_error(&s->json, node_of(s, k)->at, "two patterns for one string are not supported");
            pattern = k;
        }
        k = get(s, w->l.e[i].node, "format");
        for (uint32_t f = 0; k != ST_S_NONE && f < sizeof formats / sizeof *formats; f++) {
            if (!is_str(s, k, formats[f].name)) continue;
            if (format != ST_S_NONE && which != f)
                return st_json_error(&s->json, node_of(s, k)->at, "two formats for one string are not supported");
            format = k;
            which = f;
        }
    }
    if (min > max) return error_at(w, "a string with minLength above maxLength");
    if (format != ST_S_NONE && (pattern != ST_S_NONE || min > 0 || max != ST_S_NONE))
        return st_json_error(&s->json, node_of(s, format)->at,
                             "a format beside pattern, minLength or maxLength is not supported");
    bar(w);
    if (format != ST_S_NONE) {
        s->builtins |= formats[which].builtins;
        st_sbuf_fmt(&w->b, "\"\\\"\" %s \"\\\"\"", formats[which].rule);
    } else if (pattern != ST_S_NONE) {
        const st_json_node *p = node_of(s, pattern);
        uint32_t least = 0, most = 0;
        size_t at = 0;
        s->builtins |= B_CHAR;
        st_sbuf_str(&w->b, "\"\\\"\" ");
        const char *wrong = st_sregex(&w->b, p->len ? s->json.pool.p + p->str : "", p->len, &least, &most, &at);
        if (wrong) return st_json_error(&s->json, p->at, "pattern, character %zu: %s", at, wrong);
        if (least < min || most > max)
            return st_json_error(&s->json, p->at,
                                 "minLength or maxLength beside a pattern that does not imply it is not supported");
        st_sbuf_str(&w->b, "\"\\\"\"");
    } else if (min == 0 && max == ST_S_NONE) {
        s->builtins |= B_STRING;
        st_sbuf_str(&w->b, "string");
    } else {
        s->builtins |= B_CHAR;
        st_sbuf_str(&w->b, "\"\\\"\" char");
        repeat(&w->b, min, max);
        st_sbuf_str(&w->b, "\"\\\"\"");
    }
    return STRATA_OK;
}

/* A bound if it is tighter than what is there. */
static int bound(const schema *s, uint32_t k, bool open, bool lower, st_sbounds *q)
{
    const st_json_node *n = node_of(s, k);
    st_sdec d;
    if (n->type != ST_J_NUMBER) return st_json_error(&s->json, n->at, "a bound, want a number");
    if (!st_sdec_parse(s->json.text + n->str, n->len, &d))
        return st_json_error(&s->json, n->at, "a bound with more than %d digits", ST_S_DIGITS);
    bool *has = lower ? &q->has_lo : &q->has_hi, *is_open = lower ? &q->lo_open : &q->hi_open;
    st_sdec *have = lower ? &q->lo : &q->hi;
    int c = *has ? st_sdec_cmp(&d, have) : lower ? 1 : -1;
    if (c == 0) {
        *is_open |= open;
    } else if (lower ? c > 0 : c < 0) {
        *have = d;
        *is_open = open;
    }
    *has = true;
    return STRATA_OK;
}

static int write_number(writer *w, bool integer)
{
    schema *s = w->s;
    st_sbounds q = {0};
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t node = w->l.e[i].node;
        for (int upper = 0; upper < 2; upper++) {
            uint32_t k = get(s, node, upper ? "maximum" : "minimum");
            uint32_t x = get(s, node, upper ? "exclusiveMaximum" : "exclusiveMinimum");
            bool flag = x != ST_S_NONE && (node_of(s, x)->type == ST_J_TRUE || node_of(s, x)->type == ST_J_FALSE);
            if (k != ST_S_NONE) ST_TRY(bound(s, k, flag && node_of(s, x)->type == ST_J_TRUE, !upper, &q));
            if (x != ST_S_NONE && !flag) ST_TRY(bound(s, x, true, !upper, &q));
        }
    }
    size_t n = w->b.n;
    bool had = w->bar;
    bar(w);
    if (!q.has_lo && !q.has_hi) {
        s->builtins |= integer ? B_INTEGER : B_NUMBER;
        st_sbuf_str(&w->b, integer ? "integer" : "number");
        return STRATA_OK;
    }
    st_sbuf_str(&w->b, "(");
    if (!st_snumber(&w->b, &q, integer)) {
        w->b.n = n;
        w->bar = had;
        return STRATA_OK;
    }
    st_sbuf_str(&w->b, ")");
    return STRATA_OK;
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* The schemas of item i; past all prefixes those of the rest. */
static int item_list(const writer *w, uint32_t i, list *out)
{
    schema *s = w->s;
    out->n = 0;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t node = w->l.e[e].node, prefix = get(s, node, "prefixItems"), items = get(s, node, "items");
        if (items != ST_S_NONE && node_of(s, items)->type == ST_J_ARRAY) { /* before 2020: items, additionalItems */
            prefix = items;
            items = get(s, node, "additionalItems");
        }
        if (prefix != ST_S_NONE && node_of(s, prefix)->type != ST_J_ARRAY)
            return st_json_error(&s->json, node_of(s, prefix)->at, "prefixItems, want a list");
        if (prefix != ST_S_NONE && i < node_of(s, prefix)->n) {
            items = node_of(s, prefix)->first;
            for (uint32_t k = 0; k < i; k++) items = node_of(s, items)->next;
        }
        if (items != ST_S_NONE) ST_TRY(push(s, out, items, 0));
    }
    return STRATA_OK;
}

static uint32_t longest_prefix(const writer *w)
{
    const schema *s = w->s;
    uint32_t n = 0;
    for (uint32_t e = 0; e < w->l.n; e++)
        for (int old = 0; old < 2; old++) {
            uint32_t k = get(s, w->l.e[e].node, old ? "items" : "prefixItems");
            if (k != ST_S_NONE && node_of(s, k)->type == ST_J_ARRAY && node_of(s, k)->n > n) n = node_of(s, k)->n;
        }
    return n;
}

/* "[" item-0 ("," item-1 (... ("," rest){m,n}))? "]": one rule for each place of the prefix, which may be the last. */
static int write_array(writer *w)
{
    schema *s = w->s;
    uint32_t min = 0, max = ST_S_NONE, prefix = longest_prefix(w), rest = 0, n = 0;
    list l;
    bool ok;
    ST_TRY(count(w, "minItems", false, &min));
    ST_TRY(count(w, "maxItems", true, &max));
    if (prefix > 4096) return error_at(w, "more than 4096 prefixItems");
    for (; n < prefix && n < max; n++) {
        ST_TRY(item_list(w, n, &l));
        ST_TRY(possible(s, &l, 0, &ok));
        if (!ok) max = n;
        if (!ok) break;
    }
    if (max > prefix) {
        ST_TRY(item_list(w, prefix, &l));
        ST_TRY(possible(s, &l, 0, &ok));
        if (!ok) max = prefix;
        if (ok) ST_TRY(rule_of(s, &l, &rest));
    }
    if (min > max) return STRATA_OK;
    s->builtins |= B_WS;
    for (uint32_t i = 0; i < n; i++) { /* rID-aI: the array from item i on */
        uint32_t item = 0;
        ST_TRY(item_list(w, i, &l));
        ST_TRY(rule_of(s, &l, &item));
        st_sbuf_fmt(&s->out, "r%u-a%u ::= %s%sr%u ", w->id, i, i < min ? "" : "(", i ? "\",\" ws " : "", item);
        if (i + 1 < n)
            st_sbuf_fmt(&s->out, "r%u-a%u ", w->id, i + 1);
        else if (max > n) {
            st_sbuf_fmt(&s->out, "(\",\" ws r%u)", rest);
            repeat(&s->out, min > n ? min - n : 0, max == ST_S_NONE ? max : max - n);
        }
        st_sbuf_str(&s->out, i < min ? "\n" : ")?\n");
    }
    bar(w);
    st_sbuf_str(&w->b, "\"[\" ws ");
    if (n > 0) {
        st_sbuf_fmt(&w->b, "r%u-a0 ws ", w->id);
    } else if (max > 0) {
        st_sbuf_fmt(&w->b, "(r%u (\",\" ws r%u)", rest, rest);
        repeat(&w->b, min > 1 ? min - 1 : 0, max == ST_S_NONE ? max : max - 1);
        st_sbuf_str(&w->b, min > 0 ? "ws) " : "ws)? ");
    }
    st_sbuf_str(&w->b, "\"]\"");
    return STRATA_OK;
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

typedef struct property {
    uint32_t key, key_len; /* in the pool */
    bool required, possible;
    uint32_t rule;
} property;

typedef struct properties {
    property *p;
    size_t n, cap;
    uint32_t required;
    bool more; /* others are allowed */
    uint32_t more_rule;
} properties;

static int add_property(writer *w, properties *o, uint32_t key, uint32_t key_len, property **out)
{
    schema *s = w->s;
    const char *pool = s->json.pool.p ? s->json.pool.p : "";
    for (size_t i = 0; i < o->n; i++)
        if (o->p[i].key_len == key_len && memcmp(pool + o->p[i].key, pool + key, key_len) == 0)
            return *out = &o->p[i], STRATA_OK;
    s->steps += (uint32_t)(o->n / 16); /* this search is quadratic */
    ST_TRY(step(s, w->l.e[0].node));
    if (!st_grow(s->json.mem, &o->p, &o->cap, o->n + 1, o->n, sizeof *o->p)) return no_memory(s);
    o->p[o->n] = (property){.key = key, .key_len = key_len};
    *out = &o->p[o->n++];
    return STRATA_OK;
}

/* Names, which are required, whether others may come. */
static int collect_names(writer *w, properties *o)
{
    schema *s = w->s;
    bool closed = false, opened = false, named = false;
    property *p = NULL;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = get(s, w->l.e[e].node, "properties");
        if (k != ST_S_NONE) {
            if (node_of(s, k)->type != ST_J_OBJECT)
                return st_json_error(&s->json, node_of(s, k)->at, "properties, want an object");
            named = true;
            for (k = node_of(s, k)->first; k != ST_S_NONE; k = node_of(s, k)->next)
                ST_TRY(add_property(w, o, node_of(s, k)->key, node_of(s, k)->key_len, &p));
        }
        k = get(s, w->l.e[e].node, "additionalProperties");
        if (k == ST_S_NONE) continue;
        if (node_of(s, k)->type == ST_J_FALSE)
            closed = true;
        else
            opened = true;
    }
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = get(s, w->l.e[e].node, "required");
        if (k == ST_S_NONE || node_of(s, k)->type == ST_J_TRUE || node_of(s, k)->type == ST_J_FALSE)
            continue; /* draft 3 */
        if (node_of(s, k)->type != ST_J_ARRAY)
            return st_json_error(&s->json, node_of(s, k)->at, "required, want a list of names");
        for (k = node_of(s, k)->first; k != ST_S_NONE; k = node_of(s, k)->next) {
            if (node_of(s, k)->type != ST_J_STRING)
                return st_json_error(&s->json, node_of(s, k)->at, "required, want names");
            ST_TRY(add_property(w, o, node_of(s, k)->str, node_of(s, k)->len, &p));
            if (!p->required) o->required++;
            p->required = true;
        }
    }
    o->more = !closed && (opened || !named);
    return STRATA_OK;
}

/* The schemas of one property; name NULL: of those that are not named. */
static int property_list(const writer *w, const property *p, list *out)
{
    schema *s = w->s;
    out->n = 0;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = get(s, w->l.e[e].node, "properties"), own = ST_S_NONE;
        if (p && k != ST_S_NONE)
            own = st_json_get(&s->json, k, s->json.pool.p ? s->json.pool.p + p->key : "", p->key_len);
        if (own == ST_S_NONE) own = get(s, w->l.e[e].node, "additionalProperties");
        if (own != ST_S_NONE) ST_TRY(push(s, out, own, 0));
        s->steps += node_of(s, w->l.e[e].node)->n;
    }
    return STRATA_OK;
}

static int name_less(const schema *s, const property *a, const property *b)
{
    uint32_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
    int c = n ? memcmp(s->json.pool.p + a->key, s->json.pool.p + b->key, n) : 0;
    return c ? c < 0 : a->key_len < b->key_len;
}

/* A character of a name as a class of GBNF holds it. */
static void put_cp(st_sbuf *b, const char *p, size_t n)
{
    uint32_t cp = (uint8_t)p[0];
    if (n == 2) cp = (cp & 31) << 6 | (p[1] & 63);
    if (n == 3) cp = (cp & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    if (n == 4) cp = (cp & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
    st_sbuf_fmt(b, "\\U%08X", (unsigned)cp);
}

static size_t cp_len(const char *p)
{
    uint8_t b = (uint8_t)*p;
    return b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

/* Rules for a name that is none of sorted[lo..hi), which agree in their first `at` bytes: rID-nK for each prefix. Keys
 * are written without escapes, so that none spells a name in another way. Names that need escapes cannot be met. */
static int write_other_names(writer *w, const property *const *sorted, size_t n)
{
    typedef struct span {
        size_t lo, hi, at, id;
    } span;
    schema *s = w->s;
    span *todo = NULL;
    size_t n_todo = 0, cap = 0, ids = 1;
    int rc = STRATA_OK;
    if (!st_grow(s->json.mem, &todo, &cap, 1, 0, sizeof *todo)) return no_memory(s);
    todo[n_todo++] = (span){0, n, 0, 0};
    while (n_todo > 0 && !rc) {
        span t = todo[--n_todo];
        bool is_name = t.lo < t.hi && sorted[t.lo]->key_len == t.at;
        st_sbuf_fmt(&s->out, "r%u-n%zu ::= ", w->id, t.id);
        if (is_name) t.lo++;
        if (t.lo == t.hi) {
            st_sbuf_fmt(&s->out, "free-char%s\n", is_name ? "+" : "*");
            continue;
        }
        size_t first = t.lo;
        for (size_t i = t.lo; i < t.hi && !rc;) { /* a group for each next character */
            const char *p = s->json.pool.p + sorted[i]->key + t.at;
            size_t len = cp_len(p), j = i + 1;
            while (j < t.hi && sorted[j]->key_len >= t.at + len &&
                   memcmp(s->json.pool.p + sorted[j]->key + t.at, p, len) == 0)
                j++;
            size_t group = j - i;
            i = j;
            if ((uint8_t)*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f) continue; /* not without an escape */
            if (!st_grow(s->json.mem, &todo, &cap, n_todo + 1, n_todo, sizeof *todo)) rc = no_memory(s);
            if (rc) break;
            todo[n_todo++] = (span){j - group, j, t.at + len, ids};
            st_sbuf_str(&s->out, "[");
            put_cp(&s->out, p, len);
            st_sbuf_fmt(&s->out, "] r%u-n%zu | ", w->id, ids++);
            rc = step(s, w->l.e[0].node);
        }
        st_sbuf_str(&s->out, "[^\"\\\\\\x00-\\x1F\\x7F");
        for (size_t i = first; i < t.hi;) {
            const char *p = s->json.pool.p + sorted[i]->key + t.at;
            size_t len = cp_len(p), j = i + 1;
            while (j < t.hi && sorted[j]->key_len >= t.at + len &&
                   memcmp(s->json.pool.p + sorted[j]->key + t.at, p, len) == 0)
                j++;
            put_cp(&s->out, p, len);
            i = j;
        }
        st_sbuf_fmt(&s->out, "] free-char*%s\n", is_name ? "" : " | \"\"");
    }
    st_free(s->json.mem, todo);
    return rc;
}

/* rID-x: one more property. */
static int write_more(writer *w, properties *o)
{
    schema *s = w->s;
    const property **sorted = st_alloc(s->json.mem, o->n, sizeof(const property *));
    if (!sorted) return no_memory(s);
    for (size_t i = 0; i < o->n; i++) sorted[i] = &o->p[i];
    for (size_t i = o->n / 2, end = o->n; end > 1;) { /* heap sort */
        const property *e;
        if (i > 0) {
            e = sorted[--i];
        } else {
            e = sorted[--end];
            sorted[end] = sorted[0];
        }
        size_t at = i;
        for (size_t c; (c = 2 * at + 1) < end; at = c) {
            if (c + 1 < end && name_less(s, sorted[c], sorted[c + 1])) c++;
            if (!name_less(s, e, sorted[c])) break;
            sorted[at] = sorted[c];
        }
        sorted[at] = e;
    }
    s->builtins |= B_FREE_KEY;
    st_sbuf_fmt(&s->out, "r%u-x ::= \"\\\"\" r%u-n0 \"\\\":\" ws r%u\n", w->id, w->id, o->more_rule);
    int rc = write_other_names(w, sorted, o->n);
    st_free(s->json.mem, sorted);
    return rc;
}

/* rID-fI: the properties from the i-th on if none is written yet, rID-rI: if one is. rID-pI: the i-th. */
static int write_properties(writer *w, properties *o)
{
    schema *s = w->s;
    st_sbuf key = {.mem = s->json.mem};
    for (size_t i = 0; i < o->n; i++) {
        const property *p = &o->p[i];
        if (!p->possible) { /* not there, and not optional: it is skipped */
            st_sbuf_fmt(&s->out, "r%u-f%zu ::= r%u-f%zu\nr%u-r%zu ::= r%u-r%zu\n", w->id, i, w->id, i + 1, w->id, i,
                        w->id, i + 1);
            continue;
        }
        key.n = 0;
        st_json_write_string(&key, s->json.pool.p ? s->json.pool.p + p->key : "", p->key_len);
        st_sbuf_str(&key, ":");
        st_sbuf_fmt(&s->out, "r%u-p%zu ::= ", w->id, i);
        if (key.n) st_sbuf_literal(&s->out, key.p, key.n);
        st_sbuf_fmt(&s->out, " ws r%u\nr%u-f%zu ::= r%u-p%zu r%u-r%zu", p->rule, w->id, i, w->id, i, w->id, i + 1);
        if (!p->required) st_sbuf_fmt(&s->out, " | r%u-f%zu", w->id, i + 1);
        st_sbuf_fmt(&s->out, "\nr%u-r%zu ::= \",\" ws r%u-p%zu r%u-r%zu", w->id, i, w->id, i, w->id, i + 1);
        if (!p->required) st_sbuf_fmt(&s->out, " | r%u-r%zu", w->id, i + 1);
        st_sbuf_str(&s->out, "\n");
    }
    if (o->more)
        st_sbuf_fmt(&s->out, "r%u-f%zu ::= (r%u-x (\",\" ws r%u-x)*)?\nr%u-r%zu ::= (\",\" ws r%u-x)*\n", w->id, o->n,
                    w->id, w->id, w->id, o->n, w->id);
    else
        st_sbuf_fmt(&s->out, "r%u-f%zu ::= \"\"\nr%u-r%zu ::= \"\"\n", w->id, o->n, w->id, o->n);
    s->out.no_memory |= key.no_memory;
    st_free(s->json.mem, key.p);
    return STRATA_OK;
}

static int fill_properties(writer *w, properties *o, bool *ok)
{
    schema *s = w->s;
    list l;
    uint32_t least = 0;
    ST_TRY(collect_names(w, o));
    ST_TRY(count(w, "minProperties", false, &least));
    if (least > o->required) return error_at(w, "minProperties beyond the required ones is not supported");
    for (size_t i = 0; i < o->n && *ok; i++) {
        ST_TRY(property_list(w, &o->p[i], &l));
        ST_TRY(possible(s, &l, 0, &o->p[i].possible));
        if (o->p[i].possible) ST_TRY(rule_of(s, &l, &o->p[i].rule));
        *ok = o->p[i].possible || !o->p[i].required;
    }
    if (!o->more || !*ok) return STRATA_OK;
    ST_TRY(property_list(w, NULL, &l));
    ST_TRY(possible(s, &l, 0, &o->more));
    return o->more ? rule_of(s, &l, &o->more_rule) : STRATA_OK;
}

static int write_object(writer *w)
{
    schema *s = w->s;
    properties o = {0};
    bool ok = true;
    int rc = fill_properties(w, &o, &ok);
    if (!rc && ok) {
        s->builtins |= B_WS;
        if (o.more) rc = write_more(w, &o);
        if (!rc) rc = write_properties(w, &o);
        bar(w);
        st_sbuf_fmt(&w->b, "\"{\" ws r%u-f0 ws \"}\"", w->id);
    }
    st_free(s->json.mem, o.p);
    return rc;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

/* Members of the list that are true say nothing. */
static void drop_true(const schema *s, list *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (node_of(s, l->e[i].node)->type == ST_J_OBJECT) l->e[n++] = l->e[i];
    l->n = n;
}

static int write_branches(writer *w, uint32_t at, uint32_t flag, uint32_t branches)
{
    schema *s = w->s;
    for (uint32_t b = node_of(s, branches)->first; b != ST_S_NONE; b = node_of(s, b)->next) {
        list with = w->l;
        uint32_t id = 0;
        bool ok = false;
        with.e[at].flags |= flag;
        ST_TRY(push(s, &with, b, 0));
        ST_TRY(possible(s, &with, 0, &ok));
        if (!ok) continue;
        ST_TRY(rule_of(s, &with, &id));
        bar(w);
        st_sbuf_fmt(&w->b, "r%u", id);
    }
    return STRATA_OK;
}

static int write_types(writer *w, uint32_t bits)
{
    schema *s = w->s;
    bool plain = true;
    for (uint32_t i = 0; i < w->l.n && plain; i++) {
        uint32_t own;
        ST_TRY(entry_types(s, w->l.e[i].node, &own));
        plain = own == T_ALL;
    }
    if (plain && bits == T_ALL) {
        bar(w);
        s->builtins |= B_VALUE;
        st_sbuf_str(&w->b, "value");
        return STRATA_OK;
    }
    if (bits & T_OBJECT) ST_TRY(write_object(w));
    if (bits & T_ARRAY) ST_TRY(write_array(w));
    if (bits & T_STRING) ST_TRY(write_string(w));
    if (bits & T_NUMBER) ST_TRY(write_number(w, !(bits & T_FRACTION)));
    if (bits & T_BOOL) bar(w), st_sbuf_str(&w->b, "\"true\" | \"false\"");
    if (bits & T_NULL) bar(w), st_sbuf_str(&w->b, "\"null\"");
    return STRATA_OK;
}

static int write_body(writer *w)
{
    schema *s = w->s;
    bool never, one = false;
    uint32_t at = 0, flag = 0, branches = ST_S_NONE, bits, values = ST_S_NONE, node = w->l.n ? w->l.e[0].node : 0;
    ST_TRY(open_up(s, &w->l, &never));
    drop_true(s, &w->l);
    ST_TRY(list_types(s, &w->l, &bits));
    if (never) bits = 0;
    if (bits) ST_TRY(find_branches(s, &w->l, &at, &flag, &branches));
    if (bits && branches != ST_S_NONE) {
        ST_TRY(write_branches(w, at, flag, branches));
    } else if (bits) {
        ST_TRY(find_enum(s, &w->l, &values, &one));
        if (values != ST_S_NONE)
            ST_TRY(write_enum(w, values, one, bits));
        else
            ST_TRY(write_types(w, bits));
    }
    return w->bar ? STRATA_OK : st_json_error(&s->json, node_of(s, node)->at, "nothing satisfies this schema");
}

static void write_builtins(schema *s)
{
    static const struct {
        uint32_t bits; /* of who needs it */
        const char *text;
    } rules[] = {
        {B_VALUE, "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
                  "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)* ws)? \"}\"\n"
                  "array ::= \"[\" ws (value (\",\" ws value)* ws)? \"]\"\n"},
        {B_WS | B_VALUE, "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n"},
        {B_STRING | B_VALUE, "string ::= \"\\\"\" char* \"\\\"\"\n"},
        {B_CHAR | B_STRING | B_VALUE, /* escapes are no halves of surrogate pairs */
         "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] "
         "hex{2} | "
         "[dD] [89abAB] hex{2} \"\\\\u\" [dD] [c-fC-F] hex{2}))\n"
         "hex ::= [0-9a-fA-F]\n"},
        {B_FREE_KEY, "free-char ::= [^\"\\\\\\x00-\\x1F\\x7F]\n"},
        {B_NUMBER | B_VALUE,
         "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"},
        {B_INTEGER, "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"},
        {B_DATE, /* RFC 3339: the days of each month, 29 February in leap years */
         "date ::= year \"-\" (mm31 \"-\" (d28 | \"29\" | \"30\" | \"31\") | mm30 \"-\" (d28 | \"29\" | \"30\") | "
         "\"02-\" d28) | "
         "leap \"-02-29\"\n"
         "year ::= [0-9]{4}\n"
         "mm31 ::= \"01\" | \"03\" | \"05\" | \"07\" | \"08\" | \"10\" | \"12\"\n"
         "mm30 ::= \"04\" | \"06\" | \"09\" | \"11\"\n"
         "d28 ::= \"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]\n"
         "leap ::= [0-9]{2} (\"0\" [48] | [2468] [048] | [13579] [26]) | ([02468] [048] | [13579] [26]) \"00\"\n"},
        {B_TIME, "time ::= hour \":\" sixty \":\" sixty (\".\" [0-9]{1,9})? (\"Z\" | [-+] hour \":\" sixty)\n"
                 "hour ::= [01] [0-9] | \"2\" [0-3]\n"
                 "sixty ::= [0-5] [0-9]\n"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (s->builtins & rules[i].bits) st_sbuf_str(&s->out, rules[i].text);
}

static int write_rules(schema *s)
{
    for (uint32_t id = 0; id < s->n_rules; id++) {
        writer w = {.s = s, .id = id, .b = {.mem = s->json.mem}};
        w.l.n = s->rules[id].n;
        if (w.l.n) memcpy(w.l.e, s->entries + s->rules[id].at, w.l.n * sizeof *w.l.e);
        int rc = write_body(&w);
        st_sbuf_fmt(&s->out, "r%u ::= ", id);
        if (w.b.n) st_sbuf_put(&s->out, w.b.p, w.b.n);
        st_sbuf_str(&s->out, "\n");
        s->out.no_memory |= w.b.no_memory;
        s->out.too_long |= w.b.too_long;
        st_free(s->json.mem, w.b.p);
        if (s->out.no_memory) return no_memory(s);
        if (rc) return rc;
        if (s->out.too_long)
            return st_json_error(&s->json, 0, "the schema needs more than %zu bytes of grammar", ST_S_MAX_OUT);
    }
    return STRATA_OK;
}

int st_schema_to_gbnf(const char *json, size_t len, st_mem *mem, char **gbnf, size_t *gbnf_len, strata_error *err)
{
    schema *s = st_calloc(mem, 1, sizeof *s);
    ST_FAIL_IF(!s, err, STRATA_NO_MEMORY, "no memory for a schema of %zu bytes", len);
    s->json = (st_json){.text = json, .len = len, .mem = mem, .err = err};
    s->out.mem = mem;
    list *first = st_calloc(mem, 1, sizeof *first);
    int rc = first ? st_json_parse(&s->json) : no_memory(s);
    if (!rc) {
        uint32_t id;
        first->n = 1;
        rc = rule_of(s, first, &id);
    }
    if (!rc) {
        st_sbuf_str(&s->out, "root ::= r0\n");
        rc = write_rules(s);
    }
    if (!rc) {
        write_builtins(s);
        if (s->out.no_memory) rc = no_memory(s);
        if (!rc && s->out.too_long)
            rc = st_json_error(&s->json, 0, "the schema needs more than %zu bytes of grammar", ST_S_MAX_OUT);
    }
    st_free(mem, first);
    st_free(mem, s->entries);
    st_free(mem, s->rules);
    st_json_free(&s->json);
    if (rc)
        st_free(mem, s->out.p);
    else
        *gbnf = s->out.p, *gbnf_len = s->out.n;
    st_free(mem, s);
    return rc;
}
