/* schema.c: JSON Schema -> GBNF rules.
 *
 * A rule stands for a list of schemas that must all hold. The list is first opened up ($ref and allOf become members);
 * anyOf then turns it into alternatives, each the list with one branch more; what is left is merged keyword by keyword
 * and written out. Equal lists are one rule, which is what makes recursion end. Rules wait in a queue, so the depth of
 * a schema costs no stack. */
#include "grammar/schema/schema.h"

#include <stdio.h>

#include "grammar/schema/schema_rules.h"

/* Members of the list that are true say nothing. */
static void schema_drop_true(const st_schema *s, st_slist *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (st_schema_node(s, l->e[i].node)->type == ST_J_OBJECT) l->e[n++] = l->e[i];
    l->n = n;
}

static int schema_write_branches(st_swriter *w, uint32_t at, uint32_t flag, uint32_t branches)
{
    st_schema *s = w->s;
    for (uint32_t b = st_schema_node(s, branches)->first; b != ST_S_NONE; b = st_schema_node(s, b)->next) {
        st_slist with = w->l;
        uint32_t id = 0, more = ST_S_NONE, ignored;
        bool ok = false, is = false, never = false;
        with.e[at].flags |= flag;
        ST_TRY(st_slist_push(s, &with, b, 0));
        ST_TRY(st_slist_possible(s, &with, 0, &ok));
        if (!ok) continue;
        ST_TRY(st_slist_open(s, &with, &never));
        schema_drop_true(s, &with);
        ST_TRY(st_slist_branches(s, &with, &ignored, &ignored, &more));
        /* Constants of all branches are one list of values. */
        if (more == ST_S_NONE) ST_TRY(st_slist_values(s, &with, &is, &w->values));
        if (is) continue;
        ST_TRY(st_schema_rule(s, &with, &id));
        st_swriter_bar(w);
        st_sbuf_fmt(&w->b, "r%u", id);
    }
    return STRATA_OK;
}

static int schema_write_types(st_swriter *w, uint32_t bits)
{
    st_schema *s = w->s;
    bool plain = true;
    for (uint32_t i = 0; i < w->l.n && plain; i++) {
        uint32_t own;
        ST_TRY(st_schema_entry_types(s, w->l.e[i].node, &own));
        plain = own == ST_SV_ALL && st_schema_get(s, w->l.e[i].node, "not") == ST_S_NONE;
    }
    if (plain && bits == ST_SV_ALL) {
        st_swriter_bar(w);
        s->builtins |= ST_SB_VALUE;
        st_sbuf_str(&w->b, "value");
        return STRATA_OK;
    }
    if (bits & ST_SV_OBJECT) ST_TRY(st_swriter_object(w));
    if (bits & ST_SV_ARRAY) ST_TRY(st_swriter_array(w));
    if (bits & ST_SV_STRING) ST_TRY(st_swriter_string(w));
    if (bits & ST_SV_NUMBER) ST_TRY(st_swriter_number(w, !(bits & ST_SV_FRACTION)));
    if (bits & ST_SV_BOOL) st_swriter_bar(w), st_sbuf_str(&w->b, "\"true\" | \"false\"");
    if (bits & ST_SV_NULL) st_swriter_bar(w), st_sbuf_str(&w->b, "\"null\"");
    return STRATA_OK;
}

static int schema_write_body(st_swriter *w)
{
    st_schema *s = w->s;
    bool never, is = false;
    uint32_t at = 0, flag = 0, branches = ST_S_NONE, bits, node = w->l.n ? w->l.e[0].node : 0;
    ST_TRY(st_slist_open(s, &w->l, &never));
    schema_drop_true(s, &w->l);
    bits = 0;
    if (!never) ST_TRY(st_slist_types(s, &w->l, &bits));
    if (bits) ST_TRY(st_slist_branches(s, &w->l, &at, &flag, &branches));
    if (bits && branches != ST_S_NONE) {
        ST_TRY(schema_write_branches(w, at, flag, branches));
    } else if (bits) {
        ST_TRY(st_slist_values(s, &w->l, &is, &w->values));
        if (!is) ST_TRY(schema_write_types(w, bits));
    }
    if (w->values.n) ST_TRY(st_swriter_values(w, &w->values));
    return w->bar ? STRATA_OK : st_json_error(&s->json, st_schema_node(s, node)->at, "nothing satisfies this schema");
}

static void schema_write_builtins(st_schema *s)
{
    static const struct {
        uint32_t bits; /* of who needs it */
        const char *text;
    } rules[] = {
        {ST_SB_VALUE, "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
                      "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)* ws)? \"}\"\n"
                      "array ::= \"[\" ws (value (\",\" ws value)* ws)? \"]\"\n"},
        {ST_SB_WS | ST_SB_VALUE, "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n"},
        {ST_SB_STRING | ST_SB_VALUE, "string ::= \"\\\"\" char* \"\\\"\"\n"},
        {ST_SB_CHAR | ST_SB_STRING | ST_SB_VALUE, /* escapes are no halves of surrogate pairs */
         "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] "
         "hex{2} | "
         "[dD] [89abAB] hex{2} \"\\\\u\" [dD] [c-fC-F] hex{2}))\n"
         "hex ::= [0-9a-fA-F]\n"},
        {ST_SB_FREE_KEY, "free-char ::= [^\"\\\\\\x00-\\x1F\\x7F]\n"},
        {ST_SB_NUMBER | ST_SB_VALUE,
         "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"},
        {ST_SB_INTEGER, "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"},
        {ST_SB_DATE, /* RFC 3339: the days of each month, 29 February in leap years */
         "date ::= year \"-\" (mm31 \"-\" (d28 | \"29\" | \"30\" | \"31\") | mm30 \"-\" (d28 | \"29\" | \"30\") | "
         "\"02-\" d28) | "
         "leap \"-02-29\"\n"
         "year ::= [0-9]{4}\n"
         "mm31 ::= \"01\" | \"03\" | \"05\" | \"07\" | \"08\" | \"10\" | \"12\"\n"
         "mm30 ::= \"04\" | \"06\" | \"09\" | \"11\"\n"
         "d28 ::= \"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]\n"
         "leap ::= [0-9]{2} (\"0\" [48] | [2468] [048] | [13579] [26]) | ([02468] [048] | [13579] [26]) \"00\"\n"},
        {ST_SB_TIME, "time ::= hour \":\" sixty \":\" sixty (\".\" [0-9]{1,9})? (\"Z\" | [-+] hour \":\" sixty)\n"
                     "hour ::= [01] [0-9] | \"2\" [0-3]\n"
                     "sixty ::= [0-5] [0-9]\n"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (s->builtins & rules[i].bits) st_sbuf_str(&s->out, rules[i].text);
}

static int schema_write_rules(st_schema *s)
{
    for (uint32_t id = 0; id < s->n_rules; id++) {
        st_swriter w = {.s = s, .id = id, .b = {.mem = s->json.mem}};
        w.l.n = s->rules[id].n;
        if (w.l.n) memcpy(w.l.e, s->entries + s->rules[id].at, w.l.n * sizeof *w.l.e);
        int rc = schema_write_body(&w);
        st_sbuf_fmt(&s->out, "r%u ::= ", id);
        if (w.b.n) st_sbuf_put(&s->out, w.b.p, w.b.n);
        st_sbuf_str(&s->out, "\n");
        s->out.no_memory |= w.b.no_memory;
        s->out.too_long |= w.b.too_long;
        st_free(s->json.mem, w.b.p);
        st_free(s->json.mem, w.values.p);
        if (s->out.no_memory) return st_schema_no_memory(s);
        if (rc) return rc;
        if (s->out.too_long)
            return st_json_error(&s->json, 0, "the schema needs more than %zu bytes of grammar", ST_S_MAX_OUT);
    }
    return STRATA_OK;
}

int st_schema_to_gbnf(const char *json, size_t len, st_mem *mem, char **gbnf, size_t *gbnf_len, strata_error *err)
{
    st_schema *s = st_calloc(mem, 1, sizeof *s);
    ST_FAIL_IF(!s, err, STRATA_NO_MEMORY, "no memory for a schema of %zu bytes", len);
    s->json = (st_json){.text = json, .len = len, .mem = mem, .err = err};
    s->out.mem = mem;
    st_slist *first = st_calloc(mem, 1, sizeof *first);
    int rc = first ? st_json_parse(&s->json) : st_schema_no_memory(s);
    if (!rc) rc = st_schema_resources(s);
    if (!rc) {
        uint32_t id;
        first->n = 1;
        rc = st_schema_rule(s, first, &id);
    }
    if (!rc) {
        st_sbuf_str(&s->out, "root ::= r0\n");
        rc = schema_write_rules(s);
    }
    if (!rc) {
        schema_write_builtins(s);
        if (s->out.no_memory) rc = st_schema_no_memory(s);
        if (!rc && s->out.too_long)
            rc = st_json_error(&s->json, 0, "the schema needs more than %zu bytes of grammar", ST_S_MAX_OUT);
    }
    st_free(mem, first);
    st_free(mem, s->entries);
    st_free(mem, s->rules);
    st_free(mem, s->resource);
    st_free(mem, s->strings);
    st_slang_close(s->lang);
    st_json_free(&s->json);
    if (rc)
        st_free(mem, s->out.p);
    else
        *gbnf = s->out.p, *gbnf_len = s->out.n;
    st_free(mem, s);
    return rc;
}
