/* schema_check.c: whether a value of the schema's own text (of an enum, a const) satisfies a schema: all that is kept,
 * exactly. Recursion is as deep as schemas are followed: MAX_DEPTH small frames. */
#include "grammar/schema/schema_rules.h"

#define MAX_DEPTH 96

typedef struct checker {
    st_schema *s;
    bool plain; /* the schema itself without enum, const, $ref, allOf, anyOf and oneOf: the caller's list has them */
} checker;

bool st_schema_same(const st_schema *s, uint32_t a, uint32_t b)
{
    const st_json_node *x = st_schema_node(s, a), *y = st_schema_node(s, b);
    if (a == b) return true;
    if (x->type != y->type || x->n != y->n) return false;
    switch (x->type) {
    case ST_J_NUMBER: {
        st_sdec p, q;
        bool ok = st_sdec_parse(s->json.text + x->str, x->len, &p) && st_sdec_parse(s->json.text + y->str, y->len, &q);
        if (ok) return st_sdec_cmp(&p, &q) == 0;
        return x->len == y->len && memcmp(s->json.text + x->str, s->json.text + y->str, x->len) == 0;
    }
    case ST_J_STRING:
        return x->len == y->len && (!x->len || memcmp(s->json.pool.p + x->str, s->json.pool.p + y->str, x->len) == 0);
    case ST_J_ARRAY:
        for (uint32_t i = x->first, j = y->first; i != ST_S_NONE;
             i = st_schema_node(s, i)->next, j = st_schema_node(s, j)->next)
            if (!st_schema_same(s, i, j)) return false;
        return true;
    case ST_J_OBJECT:
        for (uint32_t i = x->first; i != ST_S_NONE; i = st_schema_node(s, i)->next) {
            const st_json_node *m = st_schema_node(s, i);
            uint32_t j = st_json_get(&s->json, b, m->key_len ? s->json.pool.p + m->key : "", m->key_len);
            if (j == ST_S_NONE || !st_schema_same(s, i, j)) return false;
        }
        return true;
    default: return true;
    }
}

static uint32_t schema_check_mix(uint32_t h, uint32_t v)
{
    h = (h ^ v) * 0x9e3779b1u;
    return h ^ h >> 15;
}

static uint32_t schema_check_hash_bytes(uint32_t h, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)p[i]) * 16777619u;
    return h ^ h >> 13;
}

uint32_t st_schema_hash(const st_schema *s, uint32_t value)
{
    const st_json_node *n = st_schema_node(s, value);
    uint32_t h = 2166136261u + n->type, sum = 0;
    st_sdec d;
    switch (n->type) {
    case ST_J_NUMBER:
        if (!st_sdec_parse(s->json.text + n->str, n->len, &d))
            return schema_check_hash_bytes(h, s->json.text + n->str, n->len);
        return schema_check_hash_bytes(schema_check_hash_bytes(h + d.neg, d.i, d.n_int), d.f, d.n_frac);
    case ST_J_STRING: return schema_check_hash_bytes(h, n->len ? s->json.pool.p + n->str : "", n->len);
    case ST_J_ARRAY:
        for (uint32_t i = n->first; i != ST_S_NONE; i = st_schema_node(s, i)->next)
            h = schema_check_mix(h, st_schema_hash(s, i));
        return h;
    case ST_J_OBJECT: /* in any order */
        for (uint32_t i = n->first; i != ST_S_NONE; i = st_schema_node(s, i)->next) {
            const st_json_node *m = st_schema_node(s, i);
            sum += schema_check_mix(schema_check_hash_bytes(7, m->key_len ? s->json.pool.p + m->key : "", m->key_len),
                                    st_schema_hash(s, i));
        }
        return schema_check_mix(h, sum);
    default: return h;
    }
}

/* ---- keywords ---------------------------------------------------------------------------------------------------- */

static int check(const checker *c, uint32_t schema, uint32_t value, int depth, bool *ok);

static size_t schema_check_characters(const st_schema *s, const st_json_node *v)
{
    size_t n = 0;
    for (uint32_t i = 0; i < v->len; i++) n += ((uint8_t)s->json.pool.p[v->str + i] & 0xc0) != 0x80;
    return n;
}

/* `key` of the schema, a count, against n. */
static int check_count(const checker *c, uint32_t schema, const char *key, bool most, size_t n, bool *ok)
{
    uint32_t k = st_schema_get(c->s, schema, key), v = most ? ST_S_NONE : 0;
    if (k == ST_S_NONE) return STRATA_OK;
    ST_TRY(st_schema_count(c->s, k, key, most, &v));
    if (most ? v != ST_S_NONE && n > v : n < v) *ok = false;
    return STRATA_OK;
}

static int check_string(const checker *c, uint32_t schema, const st_json_node *v, bool *ok)
{
    st_schema *s = c->s;
    size_t n = schema_check_characters(s, v);
    ST_TRY(check_count(c, schema, "minLength", false, n, ok));
    ST_TRY(check_count(c, schema, "maxLength", true, n, ok));
    uint32_t k = st_schema_get(s, schema, "pattern"), f = st_schema_get(s, schema, "format"), set;
    bool pattern = k != ST_S_NONE;
    if (!pattern && (f == ST_S_NONE || (f = st_schema_format(s, f)) == ST_S_NONE)) return STRATA_OK;
    if (pattern && st_schema_node(s, k)->type != ST_J_STRING)
        return st_json_error(&s->json, st_schema_node(s, k)->at, "pattern, want a string");
    if (!*ok) return STRATA_OK;
    uint32_t key = pattern ? k : ST_S_NONE - 1 - f; /* the set of the pattern, made once for a run of values */
    if (!s->lang || s->lang_of != key) {
        st_slang_close(s->lang);
        s->lang = st_slang_open(s->json.mem);
        if (!s->lang) return st_schema_no_memory(s);
        ST_TRY(pattern ? st_schema_lang_pattern(s, s->lang, k, &s->lang_set)
                       : st_schema_lang_format(s, s->lang, f, &s->lang_set));
        s->lang_of = key;
    }
    set = s->lang_set;
    *ok = st_slang_has(s->lang, set, v->len ? s->json.pool.p + v->str : "", v->len);
    if (st_slang_error(s->lang))
        return st_schema_lang_error(s, s->lang, pattern ? k : schema, "a pattern beside an enum");
    return STRATA_OK;
}

static int check_bound(const checker *c, uint32_t schema, bool upper, const st_sdec *v, bool *ok)
{
    st_schema *s = c->s;
    uint32_t k = st_schema_get(s, schema, upper ? "maximum" : "minimum");
    uint32_t x = st_schema_get(s, schema, upper ? "exclusiveMaximum" : "exclusiveMinimum");
    bool flag = x != ST_S_NONE && st_schema_node(s, x)->type == ST_J_TRUE, open;
    for (int i = 0; i < 2; i++) {
        uint32_t b = i ? x : k;
        st_sdec d;
        if (b == ST_S_NONE || st_schema_node(s, b)->type != ST_J_NUMBER) continue;
        if (!st_sdec_parse(s->json.text + st_schema_node(s, b)->str, st_schema_node(s, b)->len, &d))
            return st_json_error(&s->json, st_schema_node(s, b)->at, "a bound with more than %d digits", ST_S_DIGITS);
        int cmp = st_sdec_cmp(v, &d);
        open = i || flag;
        if (upper ? cmp > 0 || (cmp == 0 && open) : cmp < 0 || (cmp == 0 && open)) *ok = false;
    }
    return STRATA_OK;
}

static int check_number(const checker *c, uint32_t schema, const st_json_node *v, bool *ok)
{
    st_schema *s = c->s;
    static const char *const keys[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"};
    st_sdec d;
    if (!st_sdec_parse(s->json.text + v->str, v->len, &d)) {
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (st_schema_get(s, schema, keys[i]) != ST_S_NONE)
                return st_json_error(&s->json, v->at, "a number with more than %d digits beside '%s'", ST_S_DIGITS,
                                     keys[i]);
        return STRATA_OK;
    }
    ST_TRY(check_bound(c, schema, false, &d, ok));
    ST_TRY(check_bound(c, schema, true, &d, ok));
    uint32_t k = st_schema_get(s, schema, "multipleOf"), n = 0, scale = 0;
    if (k == ST_S_NONE || !*ok) return STRATA_OK;
    ST_TRY(st_schema_multiple(s, k, &n, &scale));
    uint64_t r = 0;
    for (int i = 0; i < d.n_int; i++) r = (r * 10 + (uint32_t)(d.i[i] - '0')) % n;
    for (uint32_t i = 0; i < scale || i < d.n_frac; i++) {
        uint32_t digit = i < d.n_frac ? (uint32_t)(d.f[i] - '0') : 0;
        if (i >= scale && digit) *ok = false;
        if (i < scale) r = (r * 10 + digit) % n;
    }
    if (r) *ok = false;
    return STRATA_OK;
}

static int check_array(const checker *c, uint32_t schema, uint32_t value, int depth, bool *ok)
{
    st_schema *s = c->s;
    const st_json_node *v = st_schema_node(s, value);
    ST_TRY(check_count(c, schema, "minItems", false, v->n, ok));
    ST_TRY(check_count(c, schema, "maxItems", true, v->n, ok));
    uint32_t prefix = st_schema_get(s, schema, "prefixItems"), items = st_schema_get(s, schema, "items");
    if (items != ST_S_NONE && st_schema_node(s, items)->type == ST_J_ARRAY)
        prefix = items, items = st_schema_get(s, schema, "additionalItems");
    uint32_t p = prefix == ST_S_NONE ? prefix : st_schema_node(s, prefix)->first;
    for (uint32_t i = v->first; i != ST_S_NONE && *ok; i = st_schema_node(s, i)->next) {
        uint32_t own = p != ST_S_NONE ? p : items;
        if (own != ST_S_NONE) ST_TRY(check(c, own, i, depth, ok));
        if (p != ST_S_NONE) p = st_schema_node(s, p)->next;
    }
    uint32_t k = st_schema_get(s, schema, "uniqueItems");
    if (k == ST_S_NONE || st_schema_node(s, k)->type != ST_J_TRUE) return STRATA_OK;
    for (uint32_t i = v->first; i != ST_S_NONE && *ok; i = st_schema_node(s, i)->next)
        for (uint32_t j = st_schema_node(s, i)->next; j != ST_S_NONE && *ok; j = st_schema_node(s, j)->next) {
            ST_TRY(st_schema_step(s, schema));
            *ok = !st_schema_same(s, i, j);
        }
    return STRATA_OK;
}

static int check_object(const checker *c, uint32_t schema, uint32_t value, int depth, bool *ok)
{
    st_schema *s = c->s;
    const st_json_node *v = st_schema_node(s, value);
    ST_TRY(check_count(c, schema, "minProperties", false, v->n, ok));
    ST_TRY(check_count(c, schema, "maxProperties", true, v->n, ok));
    uint32_t k = st_schema_get(s, schema, "required");
    if (k != ST_S_NONE && st_schema_node(s, k)->type == ST_J_ARRAY)
        for (uint32_t i = st_schema_node(s, k)->first; i != ST_S_NONE && *ok; i = st_schema_node(s, i)->next) {
            const st_json_node *n = st_schema_node(s, i);
            *ok = n->type == ST_J_STRING &&
                  st_json_get(&s->json, value, n->len ? s->json.pool.p + n->str : "", n->len) != ST_S_NONE;
        }
    if (st_schema_get(s, schema, "patternProperties") != ST_S_NONE ||
        st_schema_get(s, schema, "propertyNames") != ST_S_NONE)
        return st_json_error(&s->json, v->at, "an object in an enum beside patternProperties or propertyNames");
    uint32_t named = st_schema_get(s, schema, "properties"), more = st_schema_get(s, schema, "additionalProperties");
    for (uint32_t i = v->first; i != ST_S_NONE && *ok; i = st_schema_node(s, i)->next) {
        const st_json_node *m = st_schema_node(s, i);
        uint32_t own = named == ST_S_NONE
                           ? named
                           : st_json_get(&s->json, named, m->key_len ? s->json.pool.p + m->key : "", m->key_len);
        if (own == ST_S_NONE) own = more;
        if (own != ST_S_NONE) ST_TRY(check(c, own, i, depth, ok));
    }
    return STRATA_OK;
}

static int check_branches(const checker *c, uint32_t schema, const char *key, uint32_t value, int depth, uint32_t *n)
{
    st_schema *s = c->s;
    uint32_t k = st_schema_get(s, schema, key);
    *n = 0;
    if (k == ST_S_NONE) return STRATA_OK;
    for (uint32_t i = st_schema_node(s, k)->first; i != ST_S_NONE; i = st_schema_node(s, i)->next) {
        bool one = true;
        ST_TRY(check(c, i, value, depth, &one));
        *n += one;
    }
    return STRATA_OK;
}

static int check_parts(const checker *c, uint32_t schema, uint32_t value, int depth, bool *ok)
{
    st_schema *s = c->s;
    bool plain = c->plain && depth == 1;
    uint32_t k = plain ? ST_S_NONE : st_schema_get(s, schema, "$ref"), n = 0;
    if (k != ST_S_NONE) {
        uint32_t to = 0;
        ST_TRY(st_schema_resolve(s, k, &to));
        ST_TRY(check(c, to, value, depth, ok));
    }
    if (*ok && !plain && (k = st_schema_get(s, schema, "allOf")) != ST_S_NONE) {
        ST_TRY(check_branches(c, schema, "allOf", value, depth, &n));
        *ok = n == st_schema_node(s, k)->n;
    }
    if (*ok && !plain && st_schema_get(s, schema, "anyOf") != ST_S_NONE) {
        ST_TRY(check_branches(c, schema, "anyOf", value, depth, &n));
        *ok = n > 0;
    }
    if (*ok && !plain && st_schema_get(s, schema, "oneOf") != ST_S_NONE) {
        ST_TRY(check_branches(c, schema, "oneOf", value, depth, &n));
        *ok = n == 1;
    }
    if (*ok && (k = st_schema_get(s, schema, "not")) != ST_S_NONE) {
        bool negated = true;
        ST_TRY(check(c, k, value, depth, &negated));
        *ok = !negated;
    }
    return STRATA_OK;
}

static int check_values(const checker *c, uint32_t schema, uint32_t value, bool *ok)
{
    st_schema *s = c->s;
    uint32_t k = st_schema_get(s, schema, "const");
    if (k != ST_S_NONE) *ok = st_schema_same(s, k, value);
    k = st_schema_get(s, schema, "enum");
    if (!*ok || k == ST_S_NONE) return STRATA_OK;
    *ok = false;
    for (k = st_schema_node(s, k)->first; k != ST_S_NONE && !*ok; k = st_schema_node(s, k)->next) {
        ST_TRY(st_schema_step(s, value));
        *ok = st_schema_same(s, k, value);
    }
    return STRATA_OK;
}

static int check(const checker *c, uint32_t schema, uint32_t value, int depth, bool *ok)
{
    st_schema *s = c->s;
    const st_json_node *n = st_schema_node(s, schema), *v = st_schema_node(s, value);
    uint32_t types = ST_SV_ALL;
    if (n->type == ST_J_FALSE) *ok = false;
    if (n->type == ST_J_TRUE || n->type == ST_J_FALSE || !*ok) return STRATA_OK;
    if (n->type != ST_J_OBJECT) return st_json_error(&s->json, n->at, "a schema, want an object, true or false");
    if (depth == MAX_DEPTH)
        return st_json_error(&s->json, n->at, "a value of an enum that takes more than %d schemas in each other",
                             MAX_DEPTH);
    ST_TRY(st_schema_step(s, schema));
    ST_TRY(st_schema_keywords(s, schema));
    if (st_schema_get(s, schema, "type") != ST_S_NONE) ST_TRY(st_schema_entry_types(s, schema, &types));
    if (!(st_schema_value_types(s, value) & types)) *ok = false;
    if (*ok && !(c->plain && depth == 0)) ST_TRY(check_values(c, schema, value, ok));
    if (*ok && v->type == ST_J_STRING) ST_TRY(check_string(c, schema, v, ok));
    if (*ok && v->type == ST_J_NUMBER) ST_TRY(check_number(c, schema, v, ok));
    if (*ok && v->type == ST_J_ARRAY) ST_TRY(check_array(c, schema, value, depth + 1, ok));
    if (*ok && v->type == ST_J_OBJECT) ST_TRY(check_object(c, schema, value, depth + 1, ok));
    return *ok ? check_parts(c, schema, value, depth + 1, ok) : STRATA_OK;
}

int st_schema_check(st_schema *s, uint32_t schema, uint32_t value, bool plain, bool *ok)
{
    const checker c = {s, plain};
    *ok = true;
    return check(&c, schema, value, 0, ok);
}
