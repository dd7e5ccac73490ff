/* schema_value.c: counts, numbers and arrays -> GBNF. */
#include <stdio.h>

#include "grammar/schema/schema_rules.h"

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

int st_schema_count(const st_schema *s, uint32_t value, const char *key, bool most, uint32_t *v)
{
    const st_json_node *n = st_schema_node(s, value);
    st_sdec d;
    if (n->type != ST_J_NUMBER || !st_sdec_parse(s->json.text + n->str, n->len, &d) || d.neg || d.n_frac)
        return st_json_error(&s->json, n->at, "%s, want a whole number from 0", key);
    uint64_t c = 0;
    for (int j = 0; j < d.n_int && c <= ST_S_MAX_COUNT; j++) c = c * 10 + (uint32_t)(d.i[j] - '0');
    if (c > ST_S_MAX_COUNT) {
        if (most) return STRATA_OK; /* no text is as long: people write 2^53 - 1 for "any" */
        return st_json_error(&s->json, n->at, "%s, want at most %u", key, ST_S_MAX_COUNT);
    }
    if (most ? *v == ST_S_NONE || c < *v : c > *v) *v = (uint32_t)c;
    return STRATA_OK;
}

int st_swriter_count(const st_swriter *w, const char *key, bool smallest, uint32_t *v)
{
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(w->s, w->l.e[i].node, key);
        if (k != ST_S_NONE) ST_TRY(st_schema_count(w->s, k, key, smallest, v));
    }
    return STRATA_OK;
}

void st_sbuf_repeat(st_sbuf *b, uint32_t min, uint32_t max)
{
    if (max == ST_S_NONE)
        st_sbuf_fmt(b, "{%u,} ", (unsigned)min);
    else
        st_sbuf_fmt(b, "{%u,%u} ", (unsigned)min, (unsigned)max);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* A bound if it is tighter than what is there. */
static int schema_value_bound(const st_schema *s, uint32_t k, bool open, bool lower, st_sbounds *q)
{
    const st_json_node *n = st_schema_node(s, k);
    st_sdec d;
    if (n->type != ST_J_NUMBER) return st_json_error(&s->json, n->at, "a bound, want a number");
    if (!st_sdec_parse(s->json.text + n->str, n->len, &d)) {
        /* Beyond all digits that are written: the nearest inside that can be. */
        bool none = false;
        if (!st_sdec_inside(s->json.text + n->str, n->len, !lower, &d, &none))
            return st_json_error(&s->json, n->at, "a bound with more than %d digits", ST_S_DIGITS);
        if (none) return STRATA_OK;
        open = false;
    }
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

int st_schema_multiple(const st_schema *s, uint32_t value, uint32_t *n, uint32_t *scale)
{
    const st_json_node *v = st_schema_node(s, value);
    st_sdec d;
    uint64_t c = 0;
    bool ok = v->type == ST_J_NUMBER && st_sdec_parse(s->json.text + v->str, v->len, &d) && !d.neg;
    if (ok)
        for (int i = 0; i < d.n_int + d.n_frac && c <= UINT32_MAX; i++)
            c = c * 10 + (uint32_t)((i < d.n_int ? d.i[i] : d.f[i - d.n_int]) - '0');
    if (!ok || !c)
        return st_json_error(&s->json, v->at, "multipleOf, want a number above 0 of at most %d digits", ST_S_DIGITS);
    if (c > UINT32_MAX) return st_json_error(&s->json, v->at, "multipleOf with more than 9 digits is not supported");
    *n = (uint32_t)c;
    *scale = d.n_frac;
    return STRATA_OK;
}

/* GBNF of a number, as schema_number.c writes it, as a pattern. */
static void schema_value_to_pattern(const char *p, size_t n, st_sbuf *out)
{
    bool literal = false;
    st_sbuf_str(out, "^(?:");
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"')
            literal = !literal;
        else if (p[i] == '.' && literal)
            st_sbuf_str(out, "\\.");
        else if (p[i] != ' ')
            st_sbuf_put(out, p + i, 1);
    }
    st_sbuf_str(out, ")$");
}

/* Multiples: of 10^k * n, the last k digits are 0 and those before a multiple of n. */
static int schema_value_multiples(st_swriter *w, st_slang *l, uint32_t *set)
{
    st_schema *s = w->s;
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, "multipleOf"), n = 0, scale = 0, zeros = 0, one;
        if (k == ST_S_NONE) continue;
        ST_TRY(st_schema_multiple(s, k, &n, &scale));
        for (; !scale && n % 10 == 0; n /= 10) zeros++;
        one = st_slang_multiple(l, n, scale);
        if (zeros) {
            one = st_slang_cat(l, one, st_slang_repeat(l, st_slang_string(l, "0", 1), zeros, zeros));
            one = st_slang_or(l, one, st_slang_or(l, st_slang_string(l, "0", 1), st_slang_string(l, "-0", 2)));
        }
        *set = st_slang_and(l, *set, one);
    }
    return STRATA_OK;
}

static int schema_value_put_multiples(st_swriter *w, const st_sbounds *q, bool integer, uint32_t at)
{
    st_schema *s = w->s;
    st_sbuf gbnf = {.mem = s->json.mem}, pattern = {.mem = s->json.mem};
    st_slang *l = st_slang_open(s->json.mem);
    uint32_t set = ST_SL_NONE;
    bool any = true;
    if (!l) return st_schema_no_memory(s);
    if (!q->has_lo && !q->has_hi)
        st_sbuf_str(&pattern, integer ? "^-?(?:0|[1-9][0-9]{0,15})$" : "^-?(?:0|[1-9][0-9]{0,15})(?:\\.[0-9]{1,16})?$");
    else if ((any = st_snumber(&gbnf, q, integer)))
        schema_value_to_pattern(gbnf.p, gbnf.n, &pattern);
    int rc = gbnf.no_memory || pattern.no_memory ? st_schema_no_memory(s) : STRATA_OK;
    if (!rc && any) rc = st_schema_lang_text(s, l, pattern.p, &set);
    if (!rc && any) rc = schema_value_multiples(w, l, &set);
    char prefix[32];
    snprintf(prefix, sizeof prefix, "r%u-m", w->id);
    if (!rc && any && !st_slang_write(l, set, prefix, &s->out, &any))
        rc = st_schema_lang_error(s, l, at, "multipleOf with its bounds");
    if (!rc && any) {
        st_swriter_bar(w);
        st_sbuf_fmt(&w->b, "r%u-m0", w->id);
    }
    s->steps += st_slang_steps(l) / 2;
    st_slang_close(l);
    st_free(s->json.mem, gbnf.p);
    st_free(s->json.mem, pattern.p);
    return rc;
}

int st_swriter_number(st_swriter *w, bool integer)
{
    st_schema *s = w->s;
    st_sbounds q = {0};
    uint32_t multiple = ST_S_NONE, m, scale;
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t node = w->l.e[i].node;
        for (int upper = 0; upper < 2; upper++) {
            uint32_t k = st_schema_get(s, node, upper ? "maximum" : "minimum");
            uint32_t x = st_schema_get(s, node, upper ? "exclusiveMaximum" : "exclusiveMinimum");
            bool flag =
                x != ST_S_NONE && (st_schema_node(s, x)->type == ST_J_TRUE || st_schema_node(s, x)->type == ST_J_FALSE);
            if (k != ST_S_NONE)
                ST_TRY(schema_value_bound(s, k, flag && st_schema_node(s, x)->type == ST_J_TRUE, !upper, &q));
            if (x != ST_S_NONE && !flag) ST_TRY(schema_value_bound(s, x, true, !upper, &q));
        }
    }
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, "multipleOf");
        if (k == ST_S_NONE) continue;
        ST_TRY(st_schema_multiple(s, k, &m, &scale));
        if (m != 1 || scale) multiple = k;
    }
    if (multiple != ST_S_NONE) return schema_value_put_multiples(w, &q, integer, multiple);
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
static int schema_value_item_list(const st_swriter *w, uint32_t i, st_slist *out)
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

static uint32_t schema_value_longest_prefix(const st_swriter *w)
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
    uint32_t min = 0, max = ST_S_NONE, prefix = schema_value_longest_prefix(w), rest = 0, n = 0;
    st_slist l;
    bool ok;
    ST_TRY(st_swriter_count(w, "minItems", false, &min));
    ST_TRY(st_swriter_count(w, "maxItems", true, &max));
    if (prefix > 4096) return st_swriter_error(w, "more than 4096 prefixItems");
    for (; n < prefix && n < max; n++) {
        ST_TRY(schema_value_item_list(w, n, &l));
        ST_TRY(st_slist_possible(s, &l, 0, &ok));
        if (!ok) max = n;
        if (!ok) break;
    }
    if (max > prefix) {
        ST_TRY(schema_value_item_list(w, prefix, &l));
        ST_TRY(st_slist_possible(s, &l, 0, &ok));
        if (!ok) max = prefix;
        if (ok) ST_TRY(st_schema_rule(s, &l, &rest));
    }
    if (min > max) return STRATA_OK;
    if (max > 1 && st_swriter_wants_unique(w)) {
        if (prefix) return st_swriter_error(w, "uniqueItems beside prefixItems is not supported");
        ST_TRY(schema_value_item_list(w, 0, &l));
        return st_swriter_unique(w, &l, min, max);
    }
    s->builtins |= ST_SB_WS;
    for (uint32_t i = 0; i < n; i++) { /* rID-aI: the array from item i on */
        uint32_t item = 0;
        ST_TRY(schema_value_item_list(w, i, &l));
        ST_TRY(st_schema_rule(s, &l, &item));
        st_sbuf_fmt(&s->out, "r%u-a%u ::= %s%sr%u ", w->id, i, i < min ? "" : "(", i ? "\",\" ws " : "", item);
        if (i + 1 < n)
            st_sbuf_fmt(&s->out, "r%u-a%u ", w->id, i + 1);
        else if (max > n) {
            st_sbuf_fmt(&s->out, "(\",\" ws r%u)", rest);
            st_sbuf_repeat(&s->out, min > n ? min - n : 0, max == ST_S_NONE ? max : max - n);
        }
        st_sbuf_str(&s->out, i < min ? "\n" : ")?\n");
    }
    st_swriter_bar(w);
    st_sbuf_str(&w->b, "\"[\" ws ");
    if (n > 0) {
        st_sbuf_fmt(&w->b, "r%u-a0 ws ", w->id);
    } else if (max > 0) {
        st_sbuf_fmt(&w->b, "(r%u (\",\" ws r%u)", rest, rest);
        st_sbuf_repeat(&w->b, min > 1 ? min - 1 : 0, max == ST_S_NONE ? max : max - 1);
        st_sbuf_str(&w->b, min > 0 ? "ws) " : "ws)? ");
    }
    st_sbuf_str(&w->b, "\"]\"");
    return STRATA_OK;
}
