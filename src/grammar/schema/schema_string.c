/* schema_string.c: strings -> GBNF. What stands alone is written as it is; patterns that look ahead, and what stands
 * beside a pattern or a format, become one set of strings and its states. */
#include <stdio.h>

#include "grammar/schema/schema_rules.h"

/* The formats that are kept (RFC 3339, RFC 4122): as rules, and as patterns. */
#define P_DATE                                                                                                        \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|" \
    "2[0-8]))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define P_TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[-+](?:[01]\\d|2[0-3]):[0-5]\\d)"

static const struct {
    const char *name, *rule, *pattern;
    uint32_t builtins;
} formats[] = {{"date", "date", "^" P_DATE "$", ST_SB_DATE},
               {"time", "time", "^" P_TIME "$", ST_SB_TIME},
               {"date-time", "date \"T\" time", "^" P_DATE "T" P_TIME "$", ST_SB_DATE | ST_SB_TIME},
               {"uuid",
                "[0-9a-fA-F]{8} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{12}",
                "^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", 0}};

enum { N_FORMATS = sizeof formats / sizeof *formats, MAX_PATTERNS = 16 };

typedef struct st_sstrings strings;

struct st_sstrings {
    uint32_t id; /* rules rID-d0 ... are of it */
    uint32_t min, max;
    uint32_t patterns[MAX_PATTERNS], n_patterns; /* values of the keyword */
    uint32_t formats;                            /* bits */
    uint32_t last;                               /* the keyword to name in an error */
    bool excludes;                               /* a `not` speaks of strings */
};

uint32_t st_schema_format(const st_schema *s, uint32_t value)
{
    for (uint32_t f = 0; f < N_FORMATS; f++)
        if (st_schema_is_str(s, value, formats[f].name)) return f;
    return ST_S_NONE;
}

static int string_collect(st_swriter *w, strings *q)
{
    st_schema *s = w->s;
    *q = (strings){.max = ST_S_NONE, .last = ST_S_NONE};
    ST_TRY(st_swriter_count(w, "minLength", false, &q->min));
    ST_TRY(st_swriter_count(w, "maxLength", true, &q->max));
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, "format"), f = k == ST_S_NONE ? k : st_schema_format(s, k);
        if (f != ST_S_NONE) q->formats |= 1u << f, q->last = k;
        k = st_schema_get(s, w->l.e[i].node, "not");
        if (k != ST_S_NONE && st_schema_excludes(s, k)) q->excludes = true, q->last = k;
    }
    for (uint32_t i = 0; i < w->l.n; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, "pattern");
        if (k == ST_S_NONE) continue;
        if (st_schema_node(s, k)->type != ST_J_STRING)
            return st_json_error(&s->json, st_schema_node(s, k)->at, "pattern, want a string");
        bool same = false;
        for (uint32_t j = 0; j < q->n_patterns && !same; j++) same = st_schema_same(s, q->patterns[j], k);
        if (same) continue;
        if (q->n_patterns == MAX_PATTERNS)
            return st_json_error(&s->json, st_schema_node(s, k)->at, "more than %d patterns for one string",
                                 MAX_PATTERNS);
        q->patterns[q->n_patterns++] = q->last = k;
    }
    return STRATA_OK;
}

int st_schema_regex_text(st_schema *s, const char *p, size_t n, size_t at, st_sregex *r)
{
    size_t i = 0;
    const char *wrong = st_sregex_parse(r, s->json.mem, p, n, &i);
    if (!wrong) return STRATA_OK;
    bool no_memory = r->no_memory;
    st_sregex_free(r);
    if (no_memory) return st_schema_no_memory(s);
    return st_json_error(&s->json, at, "pattern, character %zu: %s", i, wrong);
}

int st_schema_regex(st_schema *s, uint32_t pattern, st_sregex *r)
{
    const st_json_node *p = st_schema_node(s, pattern);
    return st_schema_regex_text(s, p->len ? s->json.pool.p + p->str : "", p->len, p->at, r);
}

int st_schema_lang_pattern(st_schema *s, st_slang *l, uint32_t pattern, uint32_t *set)
{
    st_sregex r;
    ST_TRY(st_schema_regex(s, pattern, &r));
    *set = st_slang_pattern(l, &r);
    st_sregex_free(&r);
    return STRATA_OK;
}

int st_schema_lang_text(st_schema *s, st_slang *l, const char *pattern, uint32_t *set)
{
    st_sregex r;
    size_t at;
    const char *wrong = st_sregex_parse(&r, s->json.mem, pattern, strlen(pattern), &at);
    *set = wrong ? ST_SL_NONE : st_slang_pattern(l, &r);
    st_sregex_free(&r);
    return wrong ? st_schema_no_memory(s) : STRATA_OK; /* the library's own patterns are right */
}

int st_schema_lang_format(st_schema *s, st_slang *l, uint32_t format, uint32_t *set)
{
    return st_schema_lang_text(s, l, formats[format].pattern, set);
}

int st_schema_lang_error(st_schema *s, const st_slang *l, uint32_t at, const char *what)
{
    const char *why = st_slang_error(l);
    if (!why || !*why) return st_schema_no_memory(s);
    return st_json_error(&s->json, st_schema_node(s, at)->at, "%s: %s", what, why);
}

/* The strings that a `not` leaves. */
static int string_exclude(st_schema *s, st_slang *l, uint32_t negated, uint32_t *set)
{
    uint32_t k = st_schema_get(s, negated, "const"), out = ST_SL_NONE, one;
    bool list = k == ST_S_NONE && (k = st_schema_get(s, negated, "enum")) != ST_S_NONE;
    for (k = list ? st_schema_node(s, k)->first : k; k != ST_S_NONE;
         k = list ? st_schema_node(s, k)->next : ST_S_NONE) {
        const st_json_node *v = st_schema_node(s, k);
        if (v->type == ST_J_STRING)
            out = st_slang_or(l, out, st_slang_string(l, v->len ? s->json.pool.p + v->str : "", v->len));
    }
    k = st_schema_get(s, negated, "pattern");
    if (k != ST_S_NONE) {
        ST_TRY(st_schema_lang_pattern(s, l, k, &one));
        out = st_slang_or(l, out, one);
    }
    for (int most = 0; most < 2; most++) {
        uint32_t v = most ? ST_S_NONE : 0;
        k = st_schema_get(s, negated, most ? "maxLength" : "minLength");
        if (k == ST_S_NONE) continue;
        ST_TRY(st_schema_count(s, k, most ? "maxLength" : "minLength", most, &v));
        out = st_slang_or(l, out, st_slang_length(l, most ? 0 : v, most ? v : ST_S_NONE));
    }
    *set = st_slang_and(l, *set, st_slang_not(l, out));
    return STRATA_OK;
}

static int string_put_set(st_swriter *w, const strings *q, bool with_formats, bool *any)
{
    st_schema *s = w->s;
    st_slang *l = st_slang_open(s->json.mem);
    if (!l) return st_schema_no_memory(s);
    uint32_t set = st_slang_length(l, q->min, q->max), one = ST_SL_NONE;
    int rc = STRATA_OK;
    *any = false;
    for (uint32_t i = 0; i < q->n_patterns && !rc; i++) {
        rc = st_schema_lang_pattern(s, l, q->patterns[i], &one);
        set = st_slang_and(l, set, one);
    }
    for (uint32_t f = 0; f < N_FORMATS && !rc && with_formats; f++) {
        if (!(q->formats >> f & 1)) continue;
        rc = st_schema_lang_format(s, l, f, &one);
        set = st_slang_and(l, set, one);
    }
    for (uint32_t i = 0; i < w->l.n && !rc && q->excludes; i++) {
        uint32_t k = st_schema_get(s, w->l.e[i].node, "not");
        if (k != ST_S_NONE && st_schema_excludes(s, k)) rc = string_exclude(s, l, k, &set);
    }
    char prefix[32];
    snprintf(prefix, sizeof prefix, "r%u-d", w->id);
    if (!rc && !st_slang_write(l, set, prefix, &s->out, any))
        rc = st_schema_lang_error(s, l, q->last, "what a pattern, a format, a length and a not leave of a string");
    s->steps += st_slang_steps(l) / 2;
    st_slang_close(l);
    return rc;
}

/* A format without anything beside it, or a pattern whose own bounds can say the lengths. */
static int string_put_plain(st_swriter *w, const strings *q, bool *done)
{
    st_schema *s = w->s;
    *done = true;
    if (!q->n_patterns && !q->formats) {
        if (q->min == 0 && q->max == ST_S_NONE) {
            s->builtins |= ST_SB_STRING;
            st_swriter_bar(w);
            st_sbuf_str(&w->b, "string");
            return STRATA_OK;
        }
        s->builtins |= ST_SB_CHAR;
        st_swriter_bar(w);
        st_sbuf_str(&w->b, "\"\\\"\" char");
        st_sbuf_repeat(&w->b, q->min, q->max);
        st_sbuf_str(&w->b, "\"\\\"\"");
        return STRATA_OK;
    }
    for (uint32_t f = 0; f < N_FORMATS; f++)
        if (!q->n_patterns && q->formats == 1u << f && q->min == 0 && q->max == ST_S_NONE) {
            s->builtins |= formats[f].builtins;
            st_swriter_bar(w);
            st_sbuf_fmt(&w->b, "\"\\\"\" %s \"\\\"\"", formats[f].rule);
            return STRATA_OK;
        }
    if (q->n_patterns == 1 && !q->formats) {
        st_sregex r;
        ST_TRY(st_schema_regex(s, q->patterns[0], &r));
        if (st_sregex_bound(&r, q->min, q->max)) {
            s->builtins |= ST_SB_CHAR;
            st_swriter_bar(w);
            st_sbuf_str(&w->b, "\"\\\"\" ");
            st_sregex_write(&r, &w->b);
            st_sbuf_str(&w->b, "\"\\\"\"");
            st_sregex_free(&r);
            return STRATA_OK;
        }
        st_sregex_free(&r);
    }
    *done = false;
    return STRATA_OK;
}

/* The same set of strings in another place is the same rules. */
static const strings *string_find_same(const st_schema *s, const strings *q)
{
    for (size_t i = 0; i < s->n_strings && !q->excludes; i++) {
        const strings *have = &s->strings[i];
        bool same = have->min == q->min && have->max == q->max && have->formats == q->formats &&
                    have->n_patterns == q->n_patterns;
        for (uint32_t j = 0; j < q->n_patterns && same; j++)
            same = st_schema_same(s, have->patterns[j], q->patterns[j]);
        if (same) return have;
    }
    return NULL;
}

int st_swriter_string(st_swriter *w)
{
    st_schema *s = w->s;
    strings q;
    bool done = false, any = false;
    ST_TRY(string_collect(w, &q));
    if (q.min > q.max) return st_swriter_error(w, "a string with minLength above maxLength");
    if (!q.excludes) ST_TRY(string_put_plain(w, &q, &done));
    if (done) return STRATA_OK;
    const strings *same = string_find_same(s, &q);
    if (same) {
        st_swriter_bar(w);
        st_sbuf_fmt(&w->b, "\"\\\"\" r%u-d0 \"\\\"\"", same->id);
        return STRATA_OK;
    }
    size_t n = s->out.n;
    int rc = string_put_set(w, &q, true, &any);
    /* A format is an annotation where a pattern says more: that of zod's z.iso.time() has no offset, format "time"
     * has. */
    if (q.n_patterns && q.formats && (rc == STRATA_BAD_GRAMMAR || (!rc && !any))) {
        s->out.n = n;
        rc = string_put_set(w, &q, false, &any);
    }
    ST_TRY(rc);
    if (!any) return STRATA_OK;
    q.id = w->id;
    if (!q.excludes) {
        if (!st_grow(s->json.mem, &s->strings, &s->strings_cap, s->n_strings + 1, s->n_strings, sizeof *s->strings))
            return st_schema_no_memory(s);
        s->strings[s->n_strings++] = q;
    }
    st_swriter_bar(w);
    st_sbuf_fmt(&w->b, "\"\\\"\" r%u-d0 \"\\\"\"", w->id);
    return STRATA_OK;
}
