/* schema_list.c: lists of schemas that hold together. */
#include "run/schema_rules.h"

int st_schema_no_memory(const st_schema *s)
{
    st_error_set(s->json.err, STRATA_NO_MEMORY, "no memory for a schema of %zu bytes", s->json.len);
    return STRATA_NO_MEMORY;
}

uint32_t st_schema_get(const st_schema *s, uint32_t node, const char *key)
{
    return st_json_get(&s->json, node, key, strlen(key));
}

bool st_schema_is_str(const st_schema *s, uint32_t node, const char *text)
{
    const st_json_node *n = st_schema_node(s, node);
    return n->type == ST_J_STRING && n->len == strlen(text) &&
           (!n->len || memcmp(s->json.pool.p + n->str, text, n->len) == 0);
}

int st_schema_step(st_schema *s, uint32_t node)
{
    if (++s->steps > ST_S_MAX_STEPS)
        return st_json_error(&s->json, st_schema_node(s, node)->at, "the schema takes more than %u steps",
                             ST_S_MAX_STEPS);
    return STRATA_OK;
}

/* ---- which keywords ---------------------------------------------------------------------------------------------- */

static bool key_is(const st_schema *s, const st_json_node *m, const char *key)
{
    return m->key_len == strlen(key) && memcmp(s->json.pool.p + m->key, key, m->key_len) == 0;
}

static int check_keywords(st_schema *s, uint32_t node)
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
    for (uint32_t k = st_schema_node(s, node)->first; k != ST_S_NONE; k = st_schema_node(s, k)->next) {
        const st_json_node *m = st_schema_node(s, k);
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

int st_slist_push(st_schema *s, st_slist *l, uint32_t node, uint32_t flags)
{
    ST_TRY(st_schema_step(s, node));
    for (uint32_t i = 0; i < l->n; i++)
        if (l->e[i].node == node) {
            if (l->e[i].flags & (ST_S_USED_ANY_OF | ST_S_USED_ONE_OF))
                return st_json_error(&s->json, st_schema_node(s, node)->at,
                                     "a schema that is an alternative of itself");
            return STRATA_OK;
        }
    if (l->n == ST_S_MAX_LIST)
        return st_json_error(&s->json, st_schema_node(s, node)->at, "more than %u schemas hold together",
                             ST_S_MAX_LIST);
    l->e[l->n++] = (st_sentry){node, flags};
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
static int resolve(st_schema *s, uint32_t ref, uint32_t *out)
{
    const st_json_node *r = st_schema_node(s, ref);
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
        if (st_schema_node(s, at)->type == ST_J_ARRAY) {
            uint32_t index = 0;
            bool number = n > 0 && n < 6;
            for (size_t i = 0; i < n && number; i++) {
                number = name[i] >= '0' && name[i] <= '9';
                index = index * 10 + (uint32_t)(name[i] - '0');
            }
            next = number ? st_schema_node(s, at)->first : ST_S_NONE;
            while (next != ST_S_NONE && index-- > 0) next = st_schema_node(s, next)->next;
        }
        if (next == ST_S_NONE) return st_json_error(&s->json, r->at, "$ref to what is not there");
        at = next;
    }
    *out = at;
    return STRATA_OK;
}

int st_slist_open(st_schema *s, st_slist *l, bool *never)
{
    *never = false;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t node = l->e[i].node, k;
        const st_json_node *n = st_schema_node(s, node);
        if (n->type == ST_J_FALSE) *never = true;
        if (n->type == ST_J_TRUE || n->type == ST_J_FALSE) continue;
        if (n->type != ST_J_OBJECT) return st_json_error(&s->json, n->at, "a schema, want an object, true or false");
        if (l->e[i].flags & ST_S_OPENED) continue;
        l->e[i].flags |= ST_S_OPENED;
        ST_TRY(check_keywords(s, node));
        if ((k = st_schema_get(s, node, "$ref")) != ST_S_NONE) {
            uint32_t to = 0;
            ST_TRY(resolve(s, k, &to));
            ST_TRY(st_slist_push(s, l, to, 0));
        }
        if ((k = st_schema_get(s, node, "allOf")) != ST_S_NONE) {
            if (st_schema_node(s, k)->type != ST_J_ARRAY)
                return st_json_error(&s->json, st_schema_node(s, k)->at, "allOf, want a list");
            for (k = st_schema_node(s, k)->first; k != ST_S_NONE; k = st_schema_node(s, k)->next)
                ST_TRY(st_slist_push(s, l, k, 0));
        }
    }
    return STRATA_OK;
}

int st_slist_branches(const st_schema *s, const st_slist *l, uint32_t *entry_at, uint32_t *flag, uint32_t *branches)
{
    *branches = ST_S_NONE;
    for (uint32_t i = 0; i < l->n && *branches == ST_S_NONE; i++) {
        if (st_schema_node(s, l->e[i].node)->type != ST_J_OBJECT) continue;
        for (uint32_t f = ST_S_USED_ANY_OF; f <= ST_S_USED_ONE_OF && *branches == ST_S_NONE; f *= 2) {
            uint32_t k = l->e[i].flags & f ? ST_S_NONE
                                           : st_schema_get(s, l->e[i].node, f == ST_S_USED_ANY_OF ? "anyOf" : "oneOf");
            if (k == ST_S_NONE) continue;
            if (st_schema_node(s, k)->type != ST_J_ARRAY || !st_schema_node(s, k)->n)
                return st_json_error(&s->json, st_schema_node(s, k)->at,
                                     "anyOf and oneOf, want a list with a schema at least");
            *entry_at = i;
            *flag = f;
            *branches = k;
        }
    }
    return STRATA_OK;
}

int st_schema_rule(st_schema *s, const st_slist *l, uint32_t *id)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < l->n; i++) h = ((h ^ l->e[i].node) * 16777619u ^ l->e[i].flags) * 16777619u;
    uint32_t *slot = &s->hash[(h ^ h >> 16) & 1023];
    for (uint32_t k = *slot; k; k = s->rules[k - 1].hash_next) {
        const st_srule *r = &s->rules[k - 1];
        if (r->n == l->n && (!l->n || memcmp(s->entries + r->at, l->e, l->n * sizeof *l->e) == 0))
            return *id = k - 1, STRATA_OK;
    }
    if (s->n_rules == ST_S_MAX_RULES)
        return st_json_error(&s->json, 0, "the schema needs more than %u rules", ST_S_MAX_RULES);
    if (!st_grow(s->json.mem, &s->entries, &s->entries_cap, s->n_entries + l->n, s->n_entries, sizeof *s->entries) ||
        !st_grow(s->json.mem, &s->rules, &s->rules_cap, s->n_rules + 1, s->n_rules, sizeof *s->rules))
        return st_schema_no_memory(s);
    if (l->n) memcpy(s->entries + s->n_entries, l->e, l->n * sizeof *l->e);
    *id = (uint32_t)s->n_rules++;
    s->rules[*id] = (st_srule){(uint32_t)s->n_entries, l->n, *slot};
    s->n_entries += l->n;
    *slot = *id + 1;
    return STRATA_OK;
}
