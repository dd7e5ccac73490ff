/* schema_value.c: enumerations, strings, numbers and arrays -> GBNF. */
#include <stdio.h>

#include "run/schema_rules.h"

void st_swriter_bar(st_swriter *w)
{
    if (w->bar) st_sbuf_str(&w->b, " | ");
    w->bar = true;
}

int st_swriter_error(const st_swriter *w, const char *what)
{
    uint32_t node = w->l.n ? w->l.e[0].node : 0;
    return st_json_error(&w->s->json, st_schema_node(w->s, node)->at, "%s", what);
}

int st_swriter_count(const st_swriter *w, const char *key, bool smallest, uint32_t *v)
{
    const st_schema *s = w->s;
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, key);
        st_sdec d;
        if (k == ST_S_NONE) continue;
        const st_json_node *n = st_schema_node(s, k);
        if (n->type != ST_J_NUMBER || !st_sdec_parse(s->json.text + n->str, n->len, &d) || d.neg || d.n_frac)
            return st_json_error(&s->json, n->at, "%s, want a whole number from 0", key);
        uint32_t c = 0;
        for (int j = 0; j < d.n_int && c <= ST_S_MAX_COUNT; j++) c = c * 10 + (uint32_t)(d.i[j] - '0');
        if (c > ST_S_MAX_COUNT) {
            if (smallest) continue; /* as good as none */
            return st_json_error(&s->json, n->at, "%s, want at most %u", key, ST_S_MAX_COUNT);
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

int st_swriter_enum(st_swriter *w, uint32_t values, bool one, uint32_t bits)
{
    st_schema *s = w->s;
    st_sbuf text = {.mem = s->json.mem};
    int rc = STRATA_OK;
    for (uint32_t v = values; v != ST_S_NONE && !rc; v = one ? ST_S_NONE : st_schema_node(s, v)->next) {
        bool ok = false;
        if (st_schema_value_types(s, v) & bits) rc = st_slist_allows(s, &w->l, v, &ok);
        if (rc || !ok) continue;
        text.n = 0;
        st_json_write(&s->json, v, &text);
        st_swriter_bar(w);
        if (text.n) st_sbuf_literal(&w->b, text.p, text.n);
    }
    w->b.no_memory |= text.no_memory;
    st_free(s->json.mem, text.p);
    return rc;
}

int st_swriter_string(st_swriter *w)
{
    static const struct {
        const char *name, *rule;
        uint32_t builtins;
    } formats[] = {
        {"date", "date", ST_SB_DATE},
        {"time", "time", ST_SB_TIME},
        {"date-time", "date \"T\" time", ST_SB_DATE | ST_SB_TIME},
        {"uuid", "[0-9a-fA-F]{8} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{12}",
         0}};
    st_schema *s = w->s;
    uint32_t min = 0, max = ST_S_NONE, pattern = ST_S_NONE, format = ST_S_NONE, which = 0;
    ST_TRY(st_swriter_count(w, "minLength", false, &min));
    ST_TRY(st_swriter_count(w, "maxLength", true, &max));
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, "pattern");
        if (k != ST_S_NONE) {
            if (st_schema_node(s, k)->type != ST_J_STRING)
                return st_json_error(&s->json, st_schema_node(s, k)->at, "pattern, want a string");
            if (pattern != ST_S_NONE)
                return st_json_error(&s->json, st_schema_node(s, k)->at,
                                     "two patterns for one string are not supported");
            pattern = k;
        }
        k = st_schema_get(s, w->l.e[i].node, "format");
        for (uint32_t f = 0; k != ST_S_NONE && f < sizeof formats / sizeof *formats; f++) {
            if (!st_schema_is_str(s, k, formats[f].name)) continue;
            if (format != ST_S_NONE && which != f)
                return st_json_error(&s->json, st_schema_node(s, k)->at,
                                     "two formats for one string are not supported");
            format = k;
            which = f;
        }
    }
    if (min > max) return st_swriter_error(w, "a string with minLength above maxLength");
    if (format != ST_S_NONE && (pattern != ST_S_NONE || min > 0 || max != ST_S_NONE))
        return st_json_error(&s->json, st_schema_node(s, format)->at,
                             "a format beside pattern, minLength or maxLength is not supported");
    st_swriter_bar(w);
    if (format != ST_S_NONE) {
        s->builtins |= formats[which].builtins;
        st_sbuf_fmt(&w->b, "\"\\\"\" %s \"\\\"\"", formats[which].rule);
    } else if (pattern != ST_S_NONE) {
        const st_json_node *p = st_schema_node(s, pattern);
        uint32_t least = 0, most = 0;
        size_t at = 0;
        s->builtins |= ST_SB_CHAR;
        st_sbuf_str(&w->b, "\"\\\"\" ");
        const char *wrong = st_sregex(&w->b, p->len ? s->json.pool.p + p->str : "", p->len, &least, &most, &at);
        if (wrong) return st_json_error(&s->json, p->at, "pattern, character %zu: %s", at, wrong);
        if (least < min || most > max)
            return st_json_error(&s->json, p->at,
                                 "minLength or maxLength beside a pattern that does not imply it is not supported");
        st_sbuf_str(&w->b, "\"\\\"\"");
    } else if (min == 0 && max == ST_S_NONE) {
        s->builtins |= ST_SB_STRING;
        st_sbuf_str(&w->b, "string");
    } else {
        s->builtins |= ST_SB_CHAR;
        st_sbuf_str(&w->b, "\"\\\"\" char");
        repeat(&w->b, min, max);
        st_sbuf_str(&w->b, "\"\\\"\"");
    }
    return STRATA_OK;
}

/* A bound if it is tighter than what is there. */
static int bound(const st_schema *s, uint32_t k, bool open, bool lower, st_sbounds *q)
{
    const st_json_node *n = st_schema_node(s, k);
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

int st_swriter_number(st_swriter *w, bool integer)
{
    st_schema *s = w->s;
    st_sbounds q = {0};
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t node = w->l.e[i].node;
        for (int upper = 0; upper < 2; upper++) {
            uint32_t k = st_schema_get(s, node, upper ? "maximum" : "minimum");
            uint32_t x = st_schema_get(s, node, upper ? "exclusiveMaximum" : "exclusiveMinimum");
            bool flag =
                x != ST_S_NONE && (st_schema_node(s, x)->type == ST_J_TRUE || st_schema_node(s, x)->type == ST_J_FALSE);
            if (k != ST_S_NONE) ST_TRY(bound(s, k, flag && st_schema_node(s, x)->type == ST_J_TRUE, !upper, &q));
            if (x != ST_S_NONE && !flag) ST_TRY(bound(s, x, true, !upper, &q));
        }
    }
    size_t n = w->b.n;
    bool had = w->bar;
    st_swriter_bar(w);
    if (!q.has_lo && !q.has_hi) {
        s->builtins |= integer ? ST_SB_INTEGER : ST_SB_NUMBER;
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
static int item_list(const st_swriter *w, uint32_t i, st_slist *out)
{
    st_schema *s = w->s;
    out->n = 0;
    for (uint32_t e = 0; e < w->l.n; e++) {
        uint32_t node = w->l.e[e].node, prefix = st_schema_get(s, node, "prefixItems"),
                 items = st_schema_get(s, node, "items");
        if (items != ST_S_NONE &&
            st_schema_node(s, items)->type == ST_J_ARRAY) { /* before 2020: items, additionalItems */
            prefix = items;
            items = st_schema_get(s, node, "additionalItems");
        }
        if (prefix != ST_S_NONE && st_schema_node(s, prefix)->type != ST_J_ARRAY)
            return st_json_error(&s->json, st_schema_node(s, prefix)->at, "prefixItems, want a list");
        if (prefix != ST_S_NONE && i < st_schema_node(s, prefix)->n) {
            items = st_schema_node(s, prefix)->first;
            for (uint32_t k = 0; k < i; k++) items = st_schema_node(s, items)->next;
        }
        if (items != ST_S_NONE) ST_TRY(st_slist_push(s, out, items, 0));
    }
    return STRATA_OK;
}

static uint32_t longest_prefix(const st_swriter *w)
{
    const st_schema *s = w->s;
    uint32_t n = 0;
    for (uint32_t e = 0; e < w->l.n; e++)
        for (int old = 0; old < 2; old++) {
            uint32_t k = st_schema_get(s, w->l.e[e].node, old ? "items" : "prefixItems");
            if (k != ST_S_NONE && st_schema_node(s, k)->type == ST_J_ARRAY && st_schema_node(s, k)->n > n)
                n = st_schema_node(s, k)->n;
        }
    return n;
}

int st_swriter_array(st_swriter *w)
{
    st_schema *s = w->s;
    uint32_t min = 0, max = ST_S_NONE, prefix = longest_prefix(w), rest = 0, n = 0;
    st_slist l;
    bool ok;
    ST_TRY(st_swriter_count(w, "minItems", false, &min));
    ST_TRY(st_swriter_count(w, "maxItems", true, &max));
    if (prefix > 4096) return st_swriter_error(w, "more than 4096 prefixItems");
    for (; n < prefix && n < max; n++) {
        ST_TRY(item_list(w, n, &l));
        ST_TRY(st_slist_possible(s, &l, 0, &ok));
        if (!ok) max = n;
        if (!ok) break;
    }
    if (max > prefix) {
        ST_TRY(item_list(w, prefix, &l));
        ST_TRY(st_slist_possible(s, &l, 0, &ok));
        if (!ok) max = prefix;
        if (ok) ST_TRY(st_schema_rule(s, &l, &rest));
    }
    if (min > max) return STRATA_OK;
    s->builtins |= ST_SB_WS;
    for (uint32_t i = 0; i < n; i++) { /* rID-aI: the array from item i on */
        uint32_t item = 0;
        ST_TRY(item_list(w, i, &l));
        ST_TRY(st_schema_rule(s, &l, &item));
        st_sbuf_fmt(&s->out, "r%u-a%u ::= %s%sr%u ", w->id, i, i < min ? "" : "(", i ? "\",\" ws " : "", item);
        if (i + 1 < n)
            st_sbuf_fmt(&s->out, "r%u-a%u ", w->id, i + 1);
        else if (max > n) {
            st_sbuf_fmt(&s->out, "(\",\" ws r%u)", rest);
            repeat(&s->out, min > n ? min - n : 0, max == ST_S_NONE ? max : max - n);
        }
        st_sbuf_str(&s->out, i < min ? "\n" : ")?\n");
    }
    st_swriter_bar(w);
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
