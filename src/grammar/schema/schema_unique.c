/* schema_unique.c: arrays whose items differ -> GBNF. Items are of few values, and there is a rule for each set of them
 * that may be there already. */
#include "grammar/schema/schema_rules.h"

#define MAX_SETS  4096
#define MAX_ITEMS 64

typedef struct items {
    st_sbuf text; /* values as JSON, one behind the other */
    uint32_t ends[MAX_ITEMS], n;
    bool finite;
} items;

bool st_swriter_wants_unique(const st_swriter *w)
{
    const st_schema *s = w->s;
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, "uniqueItems");
        if (k != ST_S_NONE && st_schema_node(s, k)->type == ST_J_TRUE) return true;
    }
    return false;
}

static void unique_add_item(items *t, const char *word)
{
    st_sbuf_str(&t->text, word);
    t->ends[t->n++] = (uint32_t)t->text.n;
}

/* What an item can be: an enum's values, true, false, null. */
static int unique_collect(st_swriter *w, st_slist *l, items *t)
{
    st_schema *s = w->s;
    bool never = false, is = false;
    uint32_t bits = 0, at, flag, branches, m = 0;
    st_svalues v = {0};
    ST_TRY(st_slist_open(s, l, &never));
    for (uint32_t i = 0; i < l->n; i++)
        if (st_schema_node(s, l->e[i].node)->type == ST_J_OBJECT) l->e[m++] = l->e[i];
    l->n = m;
    if (!never) ST_TRY(st_slist_types(s, l, &bits));
    ST_TRY(st_slist_branches(s, l, &at, &flag, &branches));
    if (never || branches != ST_S_NONE) return STRATA_OK;
    int rc = st_slist_values(s, l, &is, &v);
    t->finite = is || !(bits & ~(uint32_t)(ST_SV_BOOL | ST_SV_NULL));
    for (size_t i = 0; i < v.n && !rc && t->finite; i++) {
        bool again = false;
        for (size_t j = 0; j < i && !again; j++) again = st_schema_same(s, v.p[j], v.p[i]);
        if (again) continue;
        t->finite = t->n < MAX_ITEMS;
        if (!t->finite) break;
        st_json_write(&s->json, v.p[i], &t->text);
        t->ends[t->n++] = (uint32_t)t->text.n;
    }
    st_free(s->json.mem, v.p);
    if (!is && t->finite && (bits & ST_SV_BOOL)) unique_add_item(t, "true"), unique_add_item(t, "false");
    if (!is && t->finite && (bits & ST_SV_NULL)) unique_add_item(t, "null");
    return rc ? rc : t->text.no_memory ? st_schema_no_memory(s) : STRATA_OK;
}

typedef struct sets {
    uint64_t *p; /* of items that are there; rule rID-uK is what may follow the K-th */
    size_t n, cap;
} sets;

static int unique_set_id(st_swriter *w, sets *u, uint64_t set, size_t *id)
{
    for (*id = 0; *id < u->n; ++*id)
        if (u->p[*id] == set) return STRATA_OK;
    w->s->steps += (uint32_t)(u->n / 64);
    if (u->n == MAX_SETS)
        return st_swriter_error(w,
                                "uniqueItems of so many values is not supported: want at most 12, or a small maxItems");
    if (!st_grow(w->s->json.mem, &u->p, &u->cap, u->n + 1, u->n, sizeof *u->p)) return st_schema_no_memory(w->s);
    u->p[u->n++] = set;
    return STRATA_OK;
}

static int unique_write_set(st_swriter *w, const items *t, sets *u, size_t k, uint32_t min, uint32_t max)
{
    st_sbuf *b = &w->s->out;
    uint64_t set = u->p[k];
    uint32_t have = 0;
    size_t id;
    bool bar = false;
    for (uint32_t i = 0; i < t->n; i++) have += set >> i & 1;
    st_sbuf_fmt(b, "r%u-u%zu ::= ", w->id, k);
    if (have >= min) st_sbuf_str(b, "\"\""), bar = true;
    for (uint32_t i = 0; i < t->n && have < max; i++) {
        if (set >> i & 1) continue;
        ST_TRY(unique_set_id(w, u, set | (uint64_t)1 << i, &id));
        uint32_t from = i ? t->ends[i - 1] : 0;
        st_sbuf_str(b, bar ? " | " : "");
        bar = true;
        if (have) st_sbuf_str(b, "\",\" ws ");
        st_sbuf_literal(b, t->text.p + from, t->ends[i] - from);
        st_sbuf_fmt(b, " r%u-u%zu", w->id, id);
    }
    st_sbuf_str(b, "\n");
    return st_schema_step(w->s, w->l.e[0].node);
}

int st_swriter_unique(st_swriter *w, st_slist *item, uint32_t min, uint32_t max)
{
    st_schema *s = w->s;
    items t = {.text = {.mem = s->json.mem}};
    sets u = {0};
    size_t id;
    int rc = unique_collect(w, item, &t);
    if (!rc && !t.finite)
        rc = st_swriter_error(w, "uniqueItems is supported for items that are an enum, true, false or null, and where "
                                 "maxItems is 1");
    if (!rc && t.n < max) max = t.n;
    bool any = min <= max;
    if (!rc && any) rc = unique_set_id(w, &u, 0, &id);
    for (size_t k = 0; k < u.n && !rc; k++) rc = unique_write_set(w, &t, &u, k, min, max);
    st_free(s->json.mem, u.p);
    st_free(s->json.mem, t.text.p);
    if (rc || !any) return rc;
    s->builtins |= ST_SB_WS;
    st_swriter_bar(w);
    st_sbuf_fmt(&w->b, "\"[\" ws r%u-u0 ws \"]\"", w->id);
    return STRATA_OK;
}
