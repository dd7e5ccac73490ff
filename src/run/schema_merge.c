/* schema_merge.c: what a list of schemas allows, keyword by keyword. */
#include "run/schema_rules.h"

/* ---- types ------------------------------------------------------------------------------------------------------- */

static int type_bit(const st_schema *s, uint32_t node, uint32_t *bits)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } types[] = {{"null", ST_SV_NULL},     {"boolean", ST_SV_BOOL},    {"object", ST_SV_OBJECT}, {"array", ST_SV_ARRAY},
                 {"string", ST_SV_STRING}, {"integer", ST_SV_INTEGER}, {"number", ST_SV_NUMBER}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (st_schema_is_str(s, node, types[i].name)) return *bits |= types[i].bits, STRATA_OK;
    return st_json_error(&s->json, st_schema_node(s, node)->at,
                         "a type, want null, boolean, object, array, string, integer or number");
}

int st_schema_entry_types(const st_schema *s, uint32_t node, uint32_t *bits)
{
    static const struct {
        const char *key;
        uint32_t bits;
    } hints[] = {{"properties", ST_SV_OBJECT},
                 {"required", ST_SV_OBJECT},
                 {"additionalProperties", ST_SV_OBJECT},
                 {"minProperties", ST_SV_OBJECT},
                 {"items", ST_SV_ARRAY},
                 {"prefixItems", ST_SV_ARRAY},
                 {"minItems", ST_SV_ARRAY},
                 {"maxItems", ST_SV_ARRAY},
                 {"minLength", ST_SV_STRING},
                 {"maxLength", ST_SV_STRING},
                 {"pattern", ST_SV_STRING},
                 {"format", ST_SV_STRING},
                 {"minimum", ST_SV_NUMBER},
                 {"exclusiveMinimum", ST_SV_NUMBER},
                 {"maximum", ST_SV_NUMBER},
                 {"exclusiveMaximum", ST_SV_NUMBER},
                 {"multipleOf", ST_SV_NUMBER}};
    uint32_t k = st_schema_get(s, node, "type");
    *bits = 0;
    if (k != ST_S_NONE && st_schema_node(s, k)->type == ST_J_ARRAY) {
        for (uint32_t i = st_schema_node(s, k)->first; i != ST_S_NONE; i = st_schema_node(s, i)->next)
            ST_TRY(type_bit(s, i, bits));
    } else if (k != ST_S_NONE) {
        ST_TRY(type_bit(s, k, bits));
    } else {
        for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
            if (st_schema_get(s, node, hints[i].key) != ST_S_NONE) *bits |= hints[i].bits;
        if (!*bits) *bits = ST_SV_ALL;
        return STRATA_OK;
    }
    k = st_schema_get(s, node, "nullable");
    if (k != ST_S_NONE && st_schema_node(s, k)->type == ST_J_TRUE) *bits |= ST_SV_NULL;
    return STRATA_OK;
}

uint32_t st_schema_value_types(const st_schema *s, uint32_t node)
{
    const st_json_node *n = st_schema_node(s, node);
    switch (n->type) {
    case ST_J_NULL: return ST_SV_NULL;
    case ST_J_STRING: return ST_SV_STRING;
    case ST_J_ARRAY: return ST_SV_ARRAY;
    case ST_J_OBJECT: return ST_SV_OBJECT;
    case ST_J_NUMBER: {
        st_sdec d;
        return st_sdec_parse(s->json.text + n->str, n->len, &d) && d.n_frac ? ST_SV_FRACTION : ST_SV_INTEGER;
    }
    default: return ST_SV_BOOL;
    }
}

int st_slist_types(st_schema *s, const st_slist *l, uint32_t *bits)
{
    *bits = ST_SV_ALL;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t one;
        if (st_schema_node(s, l->e[i].node)->type != ST_J_OBJECT) continue;
        ST_TRY(st_schema_step(s, l->e[i].node));
        ST_TRY(st_schema_entry_types(s, l->e[i].node, &one));
        *bits &= one;
        if (st_schema_get(s, l->e[i].node, "multipleOf") != ST_S_NONE) *bits &= ~(uint32_t)ST_SV_FRACTION;
    }
    return STRATA_OK;
}

/* ---- enum -------------------------------------------------------------------------------------------------------- */

static bool same_value(st_schema *s, uint32_t a, uint32_t b)
{
    const st_json_node *x = st_schema_node(s, a), *y = st_schema_node(s, b);
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

int st_slist_allows(st_schema *s, const st_slist *l, uint32_t value, bool *ok)
{
    *ok = true;
    for (uint32_t i = 0; i < l->n && *ok; i++) {
        uint32_t k = st_schema_get(s, l->e[i].node, "const");
        if (k != ST_S_NONE) *ok = same_value(s, k, value);
        k = st_schema_get(s, l->e[i].node, "enum");
        if (k == ST_S_NONE || !*ok) continue;
        *ok = false;
        for (k = st_schema_node(s, k)->first; k != ST_S_NONE && !*ok; k = st_schema_node(s, k)->next) {
            ST_TRY(st_schema_step(s, value));
            *ok = k == value || same_value(s, k, value);
        }
    }
    return STRATA_OK;
}

int st_slist_enum(const st_schema *s, const st_slist *l, uint32_t *values, bool *one)
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
        uint32_t k = st_schema_get(s, l->e[i].node, "const");
        if (k != ST_S_NONE) *values = k, *one = true;
        k = *values == ST_S_NONE ? st_schema_get(s, l->e[i].node, "enum") : ST_S_NONE;
        if (k == ST_S_NONE) continue;
        if (st_schema_node(s, k)->type != ST_J_ARRAY || !st_schema_node(s, k)->n)
            return st_json_error(&s->json, st_schema_node(s, k)->at, "enum, want a list with a value at least");
        *values = st_schema_node(s, k)->first;
        *one = false;
    }
    for (uint32_t i = 0; i < l->n && *values != ST_S_NONE; i++)
        for (size_t o = 0; o < sizeof other / sizeof *other; o++) {
            uint32_t k = st_schema_get(s, l->e[i].node, other[o]);
            if (k != ST_S_NONE)
                return st_json_error(&s->json, st_schema_node(s, k)->at, "'%s' beside enum or const is not supported",
                                     other[o]);
        }
    return STRATA_OK;
}

/* ---- what nothing satisfies -------------------------------------------------------------------------------------- */

/* At least one branch of anyOf can hold. */
static int possible_branch(st_schema *s, const st_slist *l, uint32_t at, uint32_t flag, uint32_t branches, int depth,
                           bool *ok)
{
    *ok = false;
    for (uint32_t b = st_schema_node(s, branches)->first; b != ST_S_NONE && !*ok; b = st_schema_node(s, b)->next) {
        st_slist with = *l;
        with.e[at].flags |= flag;
        ST_TRY(st_slist_push(s, &with, b, 0));
        ST_TRY(st_slist_possible(s, &with, depth + 1, ok));
    }
    return STRATA_OK;
}

int st_slist_possible(st_schema *s, const st_slist *given, int depth, bool *ok)
{
    st_slist l = *given;
    bool never, one = false;
    uint32_t at = 0, flag = 0, branches, bits, values;
    *ok = true;
    ST_TRY(st_slist_open(s, &l, &never));
    if (never) return *ok = false, STRATA_OK;
    ST_TRY(st_slist_types(s, &l, &bits));
    if (!bits) return *ok = false, STRATA_OK;
    ST_TRY(st_slist_branches(s, &l, &at, &flag, &branches));
    if (branches != ST_S_NONE)
        return depth >= ST_S_MAX_PROBE ? STRATA_OK : possible_branch(s, &l, at, flag, branches, depth, ok);
    ST_TRY(st_slist_enum(s, &l, &values, &one));
    if (values == ST_S_NONE) return STRATA_OK;
    for (*ok = false; values != ST_S_NONE && !*ok; values = one ? ST_S_NONE : st_schema_node(s, values)->next)
        if (st_schema_value_types(s, values) & bits) ST_TRY(st_slist_allows(s, &l, values, ok));
    return STRATA_OK;
}
