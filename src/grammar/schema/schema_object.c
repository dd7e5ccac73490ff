/* schema_object.c: objects -> GBNF. */
#include <stdio.h>
#include <string.h>

#include "base/sort.h"
#include "grammar/schema/schema_rules.h"

typedef struct property {
    uint32_t key, key_len;            /* in the pool */
    bool required, possible, refused; /* refused: by propertyNames */
    uint32_t rule;
} property;

typedef struct properties {
    property *p;
    size_t n, cap;
    uint32_t required;
    bool more; /* others are allowed: least to most of them, ST_S_NONE: no limit */
    uint32_t more_rule, more_least, more_most;
    bool some;            /* one at least of those that are named */
    uint32_t key_rule;    /* of the others' names; ST_S_NONE: any but those that are named */
    uint32_t key_pattern; /* the member of patternProperties that they follow; ST_S_NONE: none */
} properties;

static int object_add_property(st_swriter *w, properties *o, uint32_t key, uint32_t key_len, property **out)
{
    st_schema *s = w->s;
    const char *pool = s->json.pool.p ? s->json.pool.p : "";
    for (size_t i = 0; i < o->n; i++)
        if (o->p[i].key_len == key_len && memcmp(pool + o->p[i].key, pool + key, key_len) == 0)
            return *out = &o->p[i], STRATA_OK;
    s->steps += (uint32_t)(o->n / 16); /* this search is quadratic */
    ST_TRY(st_schema_step(s, w->l.e[0].node));
    if (!st_grow(s->json.mem, &o->p, &o->cap, o->n + 1, o->n, sizeof *o->p)) return st_schema_no_memory(s);
    o->p[o->n] = (property){.key = key, .key_len = key_len};
    *out = &o->p[o->n++];
    return STRATA_OK;
}

/* The names, which of them are required, and whether others may come. */
static int object_collect_names(st_swriter *w, properties *o)
{
    st_schema *s = w->s;
    bool closed = false, opened = false, named = false;
    property *p = NULL;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = st_schema_get(s, w->l.e[e].node, "properties");
        if (k != ST_S_NONE) {
            if (st_schema_node(s, k)->type != ST_J_OBJECT)
                return st_json_error(&s->json, st_schema_node(s, k)->at, "properties, want an object");
            named = true;
            for (k = st_schema_node(s, k)->first; k != ST_S_NONE; k = st_schema_node(s, k)->next)
                ST_TRY(object_add_property(w, o, st_schema_node(s, k)->key, st_schema_node(s, k)->key_len, &p));
        }
        k = st_schema_get(s, w->l.e[e].node, "additionalProperties");
        if (k == ST_S_NONE) continue;
        if (st_schema_node(s, k)->type == ST_J_FALSE)
            closed = true;
        else
            opened = true;
    }
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = st_schema_get(s, w->l.e[e].node, "required");
        if (k == ST_S_NONE || st_schema_node(s, k)->type == ST_J_TRUE || st_schema_node(s, k)->type == ST_J_FALSE)
            continue; /* draft 3 */
        if (st_schema_node(s, k)->type != ST_J_ARRAY)
            return st_json_error(&s->json, st_schema_node(s, k)->at, "required, want a list of names");
        for (k = st_schema_node(s, k)->first; k != ST_S_NONE; k = st_schema_node(s, k)->next) {
            if (st_schema_node(s, k)->type != ST_J_STRING)
                return st_json_error(&s->json, st_schema_node(s, k)->at, "required, want names");
            ST_TRY(object_add_property(w, o, st_schema_node(s, k)->str, st_schema_node(s, k)->len, &p));
            if (!p->required) o->required++;
            p->required = true;
        }
    }
    o->more = !closed && (opened || !named);
    return STRATA_OK;
}

/* ---- names that a schema tells ----------------------------------------------------------------------------------- */

/* A node that is not in the document, from its text in the pool. */
static int object_make_node(st_schema *s, st_json_node node, uint32_t *id)
{
    st_json *j = &s->json;
    if (!st_grow(j->mem, &j->nodes, &j->nodes_cap, j->n_nodes + 1, j->n_nodes, sizeof *j->nodes))
        return st_schema_no_memory(s);
    *id = (uint32_t)j->n_nodes++;
    node.next = ST_S_NONE;
    j->nodes[*id] = node;
    return STRATA_OK;
}

/* A name as a value, so that it can be checked like one. */
static int object_name_value(st_schema *s, const property *p, uint32_t *value)
{
    return object_make_node(
        s, (st_json_node){.type = ST_J_STRING, .str = p->key, .len = p->key_len, .first = ST_S_NONE}, value);
}

/* Names that propertyNames refuses cannot be there. */
static int object_check_names(st_swriter *w, properties *o)
{
    st_schema *s = w->s;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = st_schema_get(s, w->l.e[e].node, "propertyNames");
        for (size_t i = 0; k != ST_S_NONE && i < o->n; i++) {
            uint32_t name = 0;
            bool ok = true;
            ST_TRY(object_name_value(s, &o->p[i], &name));
            ST_TRY(st_schema_check(s, k, name, false, &ok));
            s->json.n_nodes--;
            o->p[i].refused |= !ok;
        }
    }
    return STRATA_OK;
}

/* Keywords that a name can fail, which is a string. */
static bool object_limits_names(const st_schema *s, const st_slist *l)
{
    static const char *const keys[] = {"pattern", "maxLength", "not"};
    for (uint32_t e = 0; e < l->n; e++) {
        uint32_t k = st_schema_get(s, l->e[e].node, "minLength"), f = st_schema_get(s, l->e[e].node, "format");
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (st_schema_get(s, l->e[e].node, keys[i]) != ST_S_NONE) return true;
        if (k != ST_S_NONE && !(st_schema_node(s, k)->len == 1 && s->json.text[st_schema_node(s, k)->str] == '0'))
            return true;
        if (f != ST_S_NONE && st_schema_format(s, f) != ST_S_NONE) return true;
    }
    return false;
}

static void only_objects(const st_schema *s, st_slist *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (st_schema_node(s, l->e[i].node)->type == ST_J_OBJECT) l->e[n++] = l->e[i];
    l->n = n;
}

/* {"KEY": "TEXT"} as a schema that is not in the document; the text is in the pool. */
static int object_make_schema(st_schema *s, const char *key, uint32_t text, uint32_t text_len, uint32_t at,
                              uint32_t *schema)
{
    st_json_node value = {.type = ST_J_STRING, .at = at, .str = text, .len = text_len, .first = ST_S_NONE};
    value.key = (uint32_t)s->json.pool.n;
    value.key_len = (uint32_t)strlen(key);
    st_sbuf_str(&s->json.pool, key);
    if (s->json.pool.no_memory) return st_schema_no_memory(s);
    uint32_t id = 0;
    ST_TRY(object_make_node(s, value, &id));
    return object_make_node(s, (st_json_node){.type = ST_J_OBJECT, .at = at, .first = id, .n = 1}, schema);
}

/* The rule of the names that propertyNames and a pattern of patternProperties leave. */
static int object_rule_of_names(st_swriter *w, st_slist *l, properties *o)
{
    st_schema *s = w->s;
    uint32_t schema = 0, text = (uint32_t)s->json.pool.n, at = st_schema_node(s, w->l.e[0].node)->at;
    st_sbuf_str(&s->json.pool, "string"); /* whatever else the schema allows: names are strings */
    ST_TRY(object_make_schema(s, "type", text, 6, at, &schema));
    ST_TRY(st_slist_push(s, l, schema, 0));
    if (o->key_pattern != ST_S_NONE) {
        const st_json_node m = *st_schema_node(s, o->key_pattern);
        ST_TRY(object_make_schema(s, "pattern", m.key, m.key_len, m.at, &schema));
        ST_TRY(st_slist_push(s, l, schema, 0));
    }
    return st_schema_rule(s, l, &o->key_rule);
}

/* The names of a list of branches where each is a const or an enum: names that are told, which object_check_names goes
 * through. *is: each is. */
static int object_names_of_branches(st_swriter *w, uint32_t branches, properties *o, bool *is)
{
    st_schema *s = w->s;
    st_svalues v = {0};
    int rc = STRATA_OK;
    property *p;
    *is = true;
    for (uint32_t k = st_schema_node(s, branches)->first; k != ST_S_NONE && *is && !rc;
         k = st_schema_node(s, k)->next) {
        st_slist l = {.n = 0};
        uint32_t at, flag, more = ST_S_NONE;
        bool never = false;
        rc = st_slist_push(s, &l, k, 0);
        if (!rc) rc = st_slist_open(s, &l, &never);
        if (rc || never) continue;
        only_objects(s, &l);
        rc = st_slist_branches(s, &l, &at, &flag, &more);
        *is = more == ST_S_NONE;
        if (!rc && *is) rc = st_slist_values(s, &l, is, &v);
    }
    for (size_t i = 0; i < v.n && *is && !rc; i++)
        if (st_schema_node(s, v.p[i])->type == ST_J_STRING)
            rc = object_add_property(w, o, st_schema_node(s, v.p[i])->str, st_schema_node(s, v.p[i])->len, &p);
    st_free(s->json.mem, v.p);
    return rc;
}

/* propertyNames for the names that are not told: a list of them, then they are told; a rule; or nothing. */
static int object_names_of_others(st_swriter *w, properties *o)
{
    st_schema *s = w->s;
    st_slist l = {.n = 0};
    bool never = false, is = false;
    uint32_t bits = 0, at, flag, branches;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = st_schema_get(s, w->l.e[e].node, "propertyNames");
        if (k != ST_S_NONE) ST_TRY(st_slist_push(s, &l, k, 0));
    }
    if (!l.n || !o->more) return STRATA_OK;
    ST_TRY(st_slist_open(s, &l, &never));
    only_objects(s, &l);
    if (!never) ST_TRY(st_slist_types(s, &l, &bits));
    ST_TRY(st_slist_branches(s, &l, &at, &flag, &branches));
    if (never || !(bits & ST_SV_STRING)) return o->more = false, STRATA_OK;
    st_svalues v = {0};
    property *p;
    int rc = branches == ST_S_NONE ? st_slist_values(s, &l, &is, &v) : object_names_of_branches(w, branches, o, &is);
    for (size_t i = 0; i < v.n && !rc; i++)
        if (st_schema_node(s, v.p[i])->type == ST_J_STRING)
            rc = object_add_property(w, o, st_schema_node(s, v.p[i])->str, st_schema_node(s, v.p[i])->len, &p);
    st_free(s->json.mem, v.p);
    if (is && o->key_pattern != ST_S_NONE)
        rc = st_swriter_error(w, "patternProperties beside propertyNames of an enum or a const is not supported");
    if (is) o->more = false;
    if (rc || is || (branches == ST_S_NONE && !object_limits_names(s, &l))) return rc;
    if (o->n) return st_swriter_error(w, "propertyNames for other names beside those of properties is not supported");
    return object_rule_of_names(w, &l, o);
}

/* One pattern for all names: those that match it, with its schema. */
static int object_pattern_of_names(st_swriter *w, properties *o)
{
    st_schema *s = w->s;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = st_schema_get(s, w->l.e[e].node, "patternProperties");
        if (k == ST_S_NONE) continue;
        if (st_schema_node(s, k)->type != ST_J_OBJECT)
            return st_json_error(&s->json, st_schema_node(s, k)->at, "patternProperties, want an object");
        if (!st_schema_node(s, k)->n) continue;
        bool alone = st_schema_node(s, k)->n == 1 && o->key_pattern == ST_S_NONE && o->n == 0;
        for (uint32_t i = 0; i < w->l.n && alone; i++) {
            alone &= st_schema_get(s, w->l.e[i].node, "properties") == ST_S_NONE;
            alone &= i == e || st_schema_get(s, w->l.e[i].node, "additionalProperties") == ST_S_NONE;
        }
        if (!alone)
            return st_json_error(&s->json, st_schema_node(s, k)->at,
                                 "the keyword 'patternProperties' is supported with one pattern and no other names");
        o->key_pattern = st_schema_node(s, k)->first;
        o->more = true;
    }
    return STRATA_OK;
}

/* rID-k: a name that matches, in quotes. */
static int object_write_key_pattern(st_swriter *w, uint32_t member)
{
    st_schema *s = w->s;
    const st_json_node *m = st_schema_node(s, member);
    st_sregex r;
    ST_TRY(st_schema_regex_text(s, m->key_len ? s->json.pool.p + m->key : "", m->key_len, m->at, &r));
    bool any = true;
    int rc = STRATA_OK;
    if (!r.looks) {
        s->builtins |= ST_SB_CHAR;
        st_sbuf_fmt(&s->out, "r%u-k ::= \"\\\"\" ", w->id);
        st_sregex_write(&r, &s->out);
        st_sbuf_str(&s->out, "\"\\\"\"\n");
    } else {
        char prefix[32];
        st_slang *l = st_slang_open(s->json.mem);
        snprintf(prefix, sizeof prefix, "r%u-l", w->id);
        rc = l ? STRATA_OK : st_schema_no_memory(s);
        if (!rc && !st_slang_write(l, st_slang_pattern(l, &r), prefix, &s->out, &any))
            rc = st_schema_lang_error(s, l, member, "patternProperties");
        st_slang_close(l);
        if (!rc && !any) rc = st_json_error(&s->json, m->at, "patternProperties: no name matches");
        st_sbuf_fmt(&s->out, "r%u-k ::= \"\\\"\" r%u-l0 \"\\\"\"\n", w->id, w->id);
    }
    st_sregex_free(&r);
    return rc;
}

/* The schemas of one property; name NULL: of those that are not named. */
static int object_property_list(const st_swriter *w, const property *p, st_slist *out)
{
    st_schema *s = w->s;
    out->n = 0;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t k = st_schema_get(s, w->l.e[e].node, "properties"), own = ST_S_NONE;
        if (p && k != ST_S_NONE)
            own = st_json_get(&s->json, k, s->json.pool.p ? s->json.pool.p + p->key : "", p->key_len);
        if (own == ST_S_NONE) own = st_schema_get(s, w->l.e[e].node, "additionalProperties");
        if (own != ST_S_NONE) ST_TRY(st_slist_push(s, out, own, 0));
        s->steps += st_schema_node(s, w->l.e[e].node)->n;
    }
    return STRATA_OK;
}

static bool object_name_less(const void *user, const void *x, const void *y)
{
    const st_schema *s = user;
    const property *a, *b;
    memcpy(&a, x, sizeof(const property *));
    memcpy(&b, y, sizeof(const property *));
    uint32_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
    int c = n ? memcmp(s->json.pool.p + a->key, s->json.pool.p + b->key, n) : 0;
    return c ? c < 0 : a->key_len < b->key_len;
}

/* A character of a name as a class of GBNF holds it. */
static void object_put_cp(st_sbuf *b, const char *p, size_t n)
{
    uint32_t cp = (uint8_t)p[0];
    if (n == 2) cp = (cp & 31) << 6 | (p[1] & 63);
    if (n == 3) cp = (cp & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    if (n == 4) cp = (cp & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
    st_sbuf_fmt(b, "\\U%08X", (unsigned)cp);
}

static size_t object_cp_len(const char *p)
{
    uint8_t b = (uint8_t)*p;
    return b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

/* Rules for a name that is none of sorted[lo..hi), which agree in their first `at` bytes: rID-nK for each prefix. Keys
 * are written without escapes, so that none spells a name in another way. Names that need escapes cannot be met. */
static int object_write_other_names(st_swriter *w, const property *const *sorted, size_t n)
{
    typedef struct span {
        size_t lo, hi, at, id;
    } span;
    st_schema *s = w->s;
    span *todo = NULL;
    size_t n_todo = 0, cap = 0, ids = 1;
    int rc = STRATA_OK;
    if (!st_grow(s->json.mem, &todo, &cap, 1, 0, sizeof *todo)) return st_schema_no_memory(s);
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
            size_t len = object_cp_len(p), j = i + 1;
            while (j < t.hi && sorted[j]->key_len >= t.at + len &&
                   memcmp(s->json.pool.p + sorted[j]->key + t.at, p, len) == 0)
                j++;
            size_t group = j - i;
            i = j;
            if ((uint8_t)*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f) continue; /* not without an escape */
            if (!st_grow(s->json.mem, &todo, &cap, n_todo + 1, n_todo, sizeof *todo)) rc = st_schema_no_memory(s);
            if (rc) break;
            todo[n_todo++] = (span){j - group, j, t.at + len, ids};
            st_sbuf_str(&s->out, "[");
            object_put_cp(&s->out, p, len);
            st_sbuf_fmt(&s->out, "] r%u-n%zu | ", w->id, ids++);
            rc = st_schema_step(s, w->l.e[0].node);
        }
        st_sbuf_str(&s->out, "[^\"\\\\\\x00-\\x1F\\x7F");
        for (size_t i = first; i < t.hi;) {
            const char *p = s->json.pool.p + sorted[i]->key + t.at;
            size_t len = object_cp_len(p), j = i + 1;
            while (j < t.hi && sorted[j]->key_len >= t.at + len &&
                   memcmp(s->json.pool.p + sorted[j]->key + t.at, p, len) == 0)
                j++;
            object_put_cp(&s->out, p, len);
            i = j;
        }
        st_sbuf_fmt(&s->out, "] free-char*%s\n", is_name ? "" : " | \"\"");
    }
    st_free(s->json.mem, todo);
    return rc;
}

/* rID-x: one more property. */
static int object_write_more(st_swriter *w, properties *o)
{
    st_schema *s = w->s;
    const property **sorted = st_alloc(s->json.mem, o->n, sizeof(const property *));
    if (!sorted) return st_schema_no_memory(s);
    for (size_t i = 0; i < o->n; i++) sorted[i] = &o->p[i];
    st_sort(sorted, o->n, sizeof(const property *), object_name_less, s);
    if (o->key_rule != ST_S_NONE || o->key_pattern != ST_S_NONE) {
        st_free(s->json.mem, sorted);
        bool pattern = o->key_rule == ST_S_NONE; /* a rule of names has the pattern in it */
        if (pattern) ST_TRY(object_write_key_pattern(w, o->key_pattern));
        if (pattern)
            st_sbuf_fmt(&s->out, "r%u-x ::= r%u-k \":\" ws r%u\n", w->id, w->id, o->more_rule);
        else
            st_sbuf_fmt(&s->out, "r%u-x ::= r%u \":\" ws r%u\n", w->id, o->key_rule, o->more_rule);
        return STRATA_OK;
    }
    s->builtins |= ST_SB_FREE_KEY;
    st_sbuf_fmt(&s->out, "r%u-x ::= \"\\\"\" r%u-n0 \"\\\":\" ws r%u\n", w->id, w->id, o->more_rule);
    int rc = object_write_other_names(w, sorted, o->n);
    st_free(s->json.mem, sorted);
    return rc;
}

/* rID-fI: the properties from the i-th on if none is written yet, rID-rI: if one is. rID-pI: the i-th. */
static int object_write_properties(st_swriter *w, properties *o)
{
    st_schema *s = w->s;
    st_sbuf key = {.mem = s->json.mem};
    size_t last = o->n; /* the last that can be there */
    for (size_t i = 0; i < o->n; i++)
        if (o->p[i].possible) last = i;
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
        if (!p->required && !(o->some && i == last)) st_sbuf_fmt(&s->out, " | r%u-f%zu", w->id, i + 1);
        st_sbuf_fmt(&s->out, "\nr%u-r%zu ::= \",\" ws r%u-p%zu r%u-r%zu", w->id, i, w->id, i, w->id, i + 1);
        if (!p->required) st_sbuf_fmt(&s->out, " | r%u-r%zu", w->id, i + 1);
        st_sbuf_str(&s->out, "\n");
    }
    if (o->more) {
        uint32_t least = o->more_least, most = o->more_most;
        st_sbuf_fmt(&s->out, "r%u-r%zu ::= (\",\" ws r%u-x)", w->id, o->n, w->id);
        st_sbuf_repeat(&s->out, least, most);
        st_sbuf_fmt(&s->out, "\nr%u-f%zu ::= (r%u-x (\",\" ws r%u-x)", w->id, o->n, w->id, w->id);
        st_sbuf_repeat(&s->out, least ? least - 1 : 0, most == ST_S_NONE ? most : most - 1);
        st_sbuf_str(&s->out, least ? ")\n" : ")?\n");
    } else {
        st_sbuf_fmt(&s->out, "r%u-f%zu ::= \"\"\nr%u-r%zu ::= \"\"\n", w->id, o->n, w->id, o->n);
    }
    s->out.no_memory |= key.no_memory;
    st_free(s->json.mem, key.p);
    return STRATA_OK;
}

/* minProperties and maxProperties, where names or a number of the others can say them. *ok: false if they cannot
 * hold. */
static int object_bound_properties(st_swriter *w, properties *o, bool *ok)
{
    uint32_t least = 0, most = ST_S_NONE, named = 0, free = 0;
    ST_TRY(st_swriter_count(w, "minProperties", false, &least));
    ST_TRY(st_swriter_count(w, "maxProperties", true, &most));
    for (size_t i = 0; i < o->n; i++)
        if (o->p[i].possible) named++;
    free = named - o->required;
    if (most < o->required || most < least || (!o->more && least > named)) return *ok = false, STRATA_OK;
    if (most == o->required) { /* no others */
        for (size_t i = 0; i < o->n; i++) o->p[i].possible &= o->p[i].required;
        o->more = false;
        free = 0;
    }
    if (most != ST_S_NONE && most > o->required) {
        if (free && (o->more || most < named))
            return st_swriter_error(w, "maxProperties below the number of optional names is not supported");
        if (o->more) o->more_most = most - o->required;
    }
    if (least <= o->required) return STRATA_OK;
    if (!o->more && least == named) { /* all of them */
        for (size_t i = 0; i < o->n; i++)
            if (o->p[i].possible && !o->p[i].required) o->p[i].required = true, o->required++;
    } else if (least == 1 && !o->more) {
        o->some = true;
    } else if (least == o->required + 1 && !free) {
        o->more_least = 1; /* a second might have the name of the first */
    } else {
        return st_swriter_error(w, "minProperties beyond the required ones is supported up to one more");
    }
    return STRATA_OK;
}

static int object_fill_properties(st_swriter *w, properties *o, bool *ok)
{
    st_schema *s = w->s;
    st_slist l;
    o->more_most = o->key_rule = o->key_pattern = ST_S_NONE;
    ST_TRY(object_collect_names(w, o));
    ST_TRY(object_pattern_of_names(w, o));
    ST_TRY(object_names_of_others(w, o));
    ST_TRY(object_check_names(w, o));
    for (size_t i = 0; i < o->n && *ok; i++) {
        ST_TRY(object_property_list(w, &o->p[i], &l));
        ST_TRY(st_slist_possible(s, &l, 0, &o->p[i].possible));
        o->p[i].possible &= !o->p[i].refused;
        if (o->p[i].possible) ST_TRY(st_schema_rule(s, &l, &o->p[i].rule));
        *ok = o->p[i].possible || !o->p[i].required;
    }
    if (o->more && *ok) {
        if (o->key_pattern != ST_S_NONE) {
            l.n = 0;
            ST_TRY(st_slist_push(s, &l, o->key_pattern, 0));
        } else {
            ST_TRY(object_property_list(w, NULL, &l));
        }
        ST_TRY(st_slist_possible(s, &l, 0, &o->more));
        if (o->more) ST_TRY(st_schema_rule(s, &l, &o->more_rule));
    }
    return *ok ? object_bound_properties(w, o, ok) : STRATA_OK;
}

int st_swriter_object(st_swriter *w)
{
    st_schema *s = w->s;
    properties o = {0};
    bool ok = true;
    int rc = object_fill_properties(w, &o, &ok);
    if (!rc && ok) {
        s->builtins |= ST_SB_WS;
        if (o.more) rc = object_write_more(w, &o);
        if (!rc) rc = object_write_properties(w, &o);
        st_swriter_bar(w);
        st_sbuf_fmt(&w->b, "\"{\" ws r%u-f0 ws \"}\"", w->id);
    }
    st_free(s->json.mem, o.p);
    return rc;
}
