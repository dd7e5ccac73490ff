/* schema_merge.c: what a list of schemas allows, keyword by keyword. */
#include "grammar/schema/schema_rules.h"

/* ---- types ------------------------------------------------------------------------------------------------------- */

static int schema_merge_type_bit(const st_schema *s, uint32_t node, uint32_t *bits)
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
    uint32_t k = st_schema_get(s, node, "type");
    *bits = 0;
    if (k != ST_S_NONE && st_schema_node(s, k)->type == ST_J_ARRAY) {
        for (uint32_t i = st_schema_node(s, k)->first; i != ST_S_NONE; i = st_schema_node(s, i)->next)
            ST_TRY(schema_merge_type_bit(s, i, bits));
    } else if (k != ST_S_NONE) {
        ST_TRY(schema_merge_type_bit(s, k, bits));
    } else {
        const st_skeyword *keyword;
        for (size_t i = 0; (keyword = st_skeyword_at(i)); i++)
            if (keyword->types && st_schema_get(s, node, keyword->name) != ST_S_NONE) *bits |= keyword->types;
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

static bool schema_merge_has_enum(const st_schema *s, const st_slist *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (st_schema_get(s, l->e[i].node, "enum") != ST_S_NONE || st_schema_get(s, l->e[i].node, "const") != ST_S_NONE)
            return true;
    return false;
}

/* The types that a `not` leaves, where it is about types, or values that are all of theirs. */
static int schema_merge_negate(st_schema *s, uint32_t negated, uint32_t *bits)
{
    const st_json_node *n = st_schema_node(s, negated);
    uint32_t type = st_schema_get(s, negated, "type"), gone = 0, values = 0;
    if (n->type == ST_J_FALSE) return STRATA_OK;
    if (type != ST_S_NONE && n->n == 1) {
        ST_TRY(st_schema_entry_types(s, negated, &gone));
        *bits &= ~gone;
        if ((*bits & ST_SV_FRACTION) && !(*bits & ST_SV_INTEGER))
            return st_json_error(&s->json, n->at, "'not' that leaves numbers which are no integers is not supported");
        return STRATA_OK;
    }
    if (st_schema_excludes(s, negated)) {
        uint32_t k = st_schema_get(s, negated, "const"), some = 0;
        bool list = k == ST_S_NONE && (k = st_schema_get(s, negated, "enum")) != ST_S_NONE;
        for (k = list ? st_schema_node(s, k)->first : k; k != ST_S_NONE;
             k = list ? st_schema_node(s, k)->next : ST_S_NONE) {
            values |= st_schema_value_types(s, k);
            if (st_schema_node(s, k)->type == ST_J_NULL) gone |= ST_SV_NULL;
            some |= st_schema_node(s, k)->type == ST_J_TRUE ? 1u : st_schema_node(s, k)->type == ST_J_FALSE ? 2u : 0u;
        }
        if (some == 3) gone |= ST_SV_BOOL;
        if (type != ST_S_NONE) gone = values = 0; /* of strings alone */
        *bits &= ~gone;
        if (!(values & *bits & ~(uint32_t)ST_SV_STRING)) return STRATA_OK;
    }
    return st_json_error(&s->json, n->at,
                         "'not' is supported with {}, a type, or a const, an enum or a pattern of strings");
}

int st_slist_types(st_schema *s, const st_slist *l, uint32_t *bits)
{
    *bits = ST_SV_ALL;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t one, n = 0, scale = 0;
        if (st_schema_node(s, l->e[i].node)->type != ST_J_OBJECT) continue;
        ST_TRY(st_schema_step(s, l->e[i].node));
        ST_TRY(st_schema_entry_types(s, l->e[i].node, &one));
        *bits &= one;
        uint32_t k = st_schema_get(s, l->e[i].node, "multipleOf");
        if (k == ST_S_NONE) continue;
        ST_TRY(st_schema_multiple(s, k, &n, &scale));
        if (scale == 0) *bits &= ~(uint32_t)ST_SV_FRACTION;
    }
    bool values = schema_merge_has_enum(s, l);
    for (uint32_t i = 0; i < l->n && !values; i++) { /* values are checked one by one */
        uint32_t k = st_schema_get(s, l->e[i].node, "not");
        if (k != ST_S_NONE) ST_TRY(schema_merge_negate(s, k, bits));
    }
    return STRATA_OK;
}

/* ---- what nothing satisfies -------------------------------------------------------------------------------------- */

/* At least one branch of anyOf can hold. */
static int schema_merge_possible_branch(st_schema *s, const st_slist *l, uint32_t at, uint32_t flag, uint32_t branches,
                                        int depth, bool *ok)
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
    bool never;
    uint32_t at = 0, flag = 0, branches, bits;
    *ok = true;
    ST_TRY(st_slist_open(s, &l, &never));
    if (never) return *ok = false, STRATA_OK;
    ST_TRY(st_slist_types(s, &l, &bits));
    if (!bits) return *ok = false, STRATA_OK;
    ST_TRY(st_slist_branches(s, &l, &at, &flag, &branches));
    if (branches != ST_S_NONE)
        return depth >= ST_S_MAX_PROBE ? STRATA_OK : schema_merge_possible_branch(s, &l, at, flag, branches, depth, ok);
    st_svalues values = {0};
    bool is = false;
    int rc = st_slist_values(s, &l, &is, &values);
    if (!rc && is) *ok = values.n > 0;
    st_free(s->json.mem, values.p);
    return rc;
}
