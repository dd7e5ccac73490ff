/* schema_list.c: lists of schemas that hold together. */
#include "grammar/schema/schema_rules.h"

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

static bool list_key_is(const st_schema *s, const st_json_node *m, const char *key)
{
    return m->key_len == strlen(key) && memcmp(s->json.pool.p + m->key, key, m->key_len) == 0;
}

const st_skeyword *st_skeyword_at(size_t i)
{
    static const st_skeyword keywords[] = {
#define ST_S_KEYWORD(kind, name, types) {name, ST_S_##kind, types},
#include "grammar/schema/keywords.def"
    };
    return i < sizeof keywords / sizeof *keywords ? &keywords[i] : NULL;
}

/* The row of a member of a schema; NULL: none. */
static const st_skeyword *list_keyword(const st_schema *s, uint32_t member)
{
    const st_skeyword *k;
    for (size_t i = 0; (k = st_skeyword_at(i)); i++)
        if (list_key_is(s, st_schema_node(s, member), k->name)) return k;
    return NULL;
}

int st_schema_keywords(st_schema *s, uint32_t node)
{
    for (uint32_t k = st_schema_node(s, node)->first; k != ST_S_NONE; k = st_schema_node(s, k)->next) {
        const st_json_node *m = st_schema_node(s, k);
        const st_skeyword *known = list_keyword(s, k);
        if (known && known->kind == ST_S_REFUSED)
            return st_json_error(&s->json, m->at, "the keyword '%s' is not supported", known->name);
        if (list_key_is(s, m, "uniqueItems") && m->type != ST_J_TRUE && m->type != ST_J_FALSE)
            return st_json_error(&s->json, m->at, "uniqueItems, want true or false");
    }
    return STRATA_OK;
}

/* Only keywords that say nothing about values. */
static bool list_says_nothing(const st_schema *s, uint32_t node)
{
    const st_json_node *n = st_schema_node(s, node);
    if (n->type == ST_J_TRUE) return true;
    if (n->type != ST_J_OBJECT) return false;
    for (uint32_t k = n->first; k != ST_S_NONE; k = st_schema_node(s, k)->next) {
        const st_skeyword *known = list_keyword(s, k);
        if (!known || known->kind != ST_S_NOTE) return false;
    }
    return true;
}

bool st_schema_excludes(const st_schema *s, uint32_t negated)
{
    static const char *const keys[] = {"const", "enum", "pattern", "minLength", "maxLength"};
    uint32_t type = st_schema_get(s, negated, "type"), n = 0, values = 0;
    const st_json_node *x = st_schema_node(s, negated);
    if (x->type != ST_J_OBJECT || (type != ST_S_NONE && !st_schema_is_str(s, type, "string"))) return false;
    for (uint32_t k = x->first; k != ST_S_NONE; k = st_schema_node(s, k)->next) {
        bool known = list_key_is(s, st_schema_node(s, k), "type") ||
                     list_key_is(s, st_schema_node(s, k), "description") ||
                     list_key_is(s, st_schema_node(s, k), "title");
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            if (!list_key_is(s, st_schema_node(s, k), keys[i])) continue;
            known = true;
            n++;
            values += i < 2;
        }
        if (!known) return false;
    }
    return n == 1 && (values || type != ST_S_NONE);
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

/* Puts the schemas that were added from `from` on behind entry i: lists are in the order of the text. */
static void list_move_behind(st_slist *l, uint32_t i, uint32_t from)
{
    for (; from < l->n; from++) {
        st_sentry e = l->e[from];
        for (uint32_t k = from; k > i + 1; k--) l->e[k] = l->e[k - 1];
        l->e[++i] = e;
    }
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
        ST_TRY(st_schema_keywords(s, node));
        uint32_t from = l->n;
        if ((k = st_schema_get(s, node, "not")) != ST_S_NONE && list_says_nothing(s, k)) *never = true;
        if ((k = st_schema_get(s, node, "$ref")) != ST_S_NONE) {
            uint32_t to = 0;
            ST_TRY(st_schema_resolve(s, k, &to));
            ST_TRY(st_slist_push(s, l, to, 0));
        }
        if ((k = st_schema_get(s, node, "allOf")) != ST_S_NONE) {
            if (st_schema_node(s, k)->type != ST_J_ARRAY)
                return st_json_error(&s->json, st_schema_node(s, k)->at, "allOf, want a list");
            for (k = st_schema_node(s, k)->first; k != ST_S_NONE; k = st_schema_node(s, k)->next)
                ST_TRY(st_slist_push(s, l, k, 0));
        }
        list_move_behind(l, i, from);
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
