/* schema_rules.h: what the files share that turn a schema's tree into rules: lists of schemas that hold together, and
 * the writer of a rule.
 *
 *   keywords.def     the names of keywords, and which of them are kept
 *   schema.c         the queue of rules, and their bodies
 *   schema_list.c    lists: keywords, $ref and allOf, branches, the rule of a list
 *   schema_merge.c   what a list allows: types, enumerations, whether anything satisfies it
 *   schema_ref.c     $ref: pointers, anchors, identifiers
 *   schema_check.c   whether a value satisfies a schema
 *   schema_enum.c    enumerations -> GBNF
 *   schema_string.c  strings -> GBNF
 *   schema_value.c   counts, numbers and arrays -> GBNF
 *   schema_unique.c  arrays whose items differ -> GBNF
 *   schema_object.c  objects -> GBNF */
#ifndef ST_GRAMMAR_SCHEMA_SCHEMA_RULES_H
#define ST_GRAMMAR_SCHEMA_SCHEMA_RULES_H

#include "grammar/schema/schema_lang.h"

#define ST_S_MAX_RULES 20000u
#define ST_S_MAX_LIST  256u             /* schemas that hold together */
#define ST_S_MAX_COUNT (UINT32_MAX - 1) /* bounds of lengths; no text reaches a larger one */
#define ST_S_MAX_STEPS 2000000u         /* of work on all rules */
#define ST_S_MAX_PROBE 6                /* levels at which what nothing satisfies is noticed */

/* Types of values. */
enum {
    ST_SV_NULL = 1,
    ST_SV_BOOL = 2,
    ST_SV_OBJECT = 4,
    ST_SV_ARRAY = 8,
    ST_SV_STRING = 16,
    ST_SV_INTEGER = 32,
    ST_SV_FRACTION = 64, /* numbers that are not whole */
    ST_SV_NUMBER = ST_SV_INTEGER | ST_SV_FRACTION,
    ST_SV_ALL = 127
};

/* Flags of an entry: its anyOf, its oneOf was turned into alternatives; its $ref and allOf are in the list. */
enum { ST_S_USED_ANY_OF = 1, ST_S_USED_ONE_OF = 2, ST_S_OPENED = 4 };

typedef struct st_sentry {
    uint32_t node, flags;
} st_sentry;

typedef struct st_srule {
    uint32_t at, n; /* of entries */
    uint32_t hash_next;
} st_srule;

typedef struct st_slist {
    st_sentry e[ST_S_MAX_LIST];
    uint32_t n;
} st_slist;

/* Rules that are written once, where any other needs them. */
enum {
    ST_SB_WS = 1,
    ST_SB_CHAR = 2,
    ST_SB_STRING = 4,
    ST_SB_NUMBER = 8,
    ST_SB_INTEGER = 16,
    ST_SB_VALUE = 32,
    ST_SB_FREE_KEY = 64,
    ST_SB_DATE = 128,
    ST_SB_TIME = 256
};

typedef struct st_schema {
    st_json json;
    st_sbuf out;
    st_sentry *entries;
    st_srule *rules;
    size_t n_entries, entries_cap, n_rules, rules_cap;
    uint32_t hash[1024];
    uint32_t builtins, steps;
    size_t n_resource; /* nodes of the document: those that are made later have no resource */
    uint32_t
        *resource; /* [n_resource] the schema with $id that a value is in, by number of its node; 0: the document */
    struct st_sstrings *strings; /* sets of strings that have rules */
    size_t n_strings, strings_cap;
    /* The pattern that values were checked against last. */
    st_slang *lang;
    uint32_t lang_of, lang_set;
} st_schema;

/* Values, by number of their nodes. */
typedef struct st_svalues {
    uint32_t *p;
    size_t n, cap;
} st_svalues;

/* ---- schema_list.c ----------------------------------------------------------------------------------------------- */

/* Where a value of the schema is. */
static inline const st_json_node *st_schema_node(const st_schema *s, uint32_t node)
{
    return &s->json.nodes[node];
}

/* Tells NO_MEMORY, and returns it. */
int st_schema_no_memory(const st_schema *s);
/* The keyword of a schema, ST_S_NONE if it has none. */
uint32_t st_schema_get(const st_schema *s, uint32_t node, const char *key);
/* Whether a value is this text. */
bool st_schema_is_str(const st_schema *s, uint32_t node, const char *text);
/* A piece of work; BAD_GRAMMAR when there were too many. */
int st_schema_step(st_schema *s, uint32_t node);
/* A row of keywords.def. */
typedef struct st_skeyword {
    const char *name;
    enum { ST_S_KEPT, ST_S_REFUSED, ST_S_NOTE } kind;
    uint32_t types; /* ST_SV_* */
} st_skeyword;

/* The i-th, NULL past the last. */
const st_skeyword *st_skeyword_at(size_t i);
/* Refuses keywords that are not kept. */
int st_schema_keywords(st_schema *s, uint32_t node);
/* A `not` that takes strings away: of one const, enum, pattern, minLength or maxLength, for strings. */
bool st_schema_excludes(const st_schema *s, uint32_t negated);
/* Adds a schema to those that hold together. */
int st_slist_push(st_schema *s, st_slist *l, uint32_t node, uint32_t flags);
/* Replaces true and false, follows $ref and allOf. *never: a member is false. */
int st_slist_open(st_schema *s, st_slist *l, bool *never);
/* The first anyOf or oneOf that is not yet used: its list of branches, and the entry. */
int st_slist_branches(const st_schema *s, const st_slist *l, uint32_t *entry_at, uint32_t *flag, uint32_t *branches);
/* The rule of a list: found or new. */
int st_schema_rule(st_schema *s, const st_slist *l, uint32_t *id);

/* ---- schema_merge.c ---------------------------------------------------------------------------------------------- */

/* The types that an entry's own keywords allow. */
int st_schema_entry_types(const st_schema *s, uint32_t node, uint32_t *bits);
/* The type of a value, as a bit. */
uint32_t st_schema_value_types(const st_schema *s, uint32_t node);
/* The types that all of a list allow. */
int st_slist_types(st_schema *s, const st_slist *l, uint32_t *bits);
/* False only if nothing satisfies the list, as far as its types and values tell. A list is 2 KiB: ST_S_MAX_PROBE
 * levels. */
int st_slist_possible(st_schema *s, const st_slist *given, int depth, bool *ok);

/* ---- schema_ref.c ------------------------------------------------------------------------------------------------ */

/* Fills s->resource. */
int st_schema_resources(st_schema *s);
/* The schema that the value of a $ref names. */
int st_schema_resolve(st_schema *s, uint32_t ref, uint32_t *out);

/* ---- schema_check.c ---------------------------------------------------------------------------------------------- */

/* Two values are equal, as JSON Schema has it: numbers by value, objects in any order; and a hash that then is. */
bool st_schema_same(const st_schema *s, uint32_t a, uint32_t b);
uint32_t st_schema_hash(const st_schema *s, uint32_t value);
/* Whether a value satisfies a schema. plain: what a list of schemas knows of its members is left out for this one:
 * enum, const, $ref, allOf, anyOf, oneOf. */
int st_schema_check(st_schema *s, uint32_t schema, uint32_t value, bool plain, bool *ok);

/* ---- schema_enum.c ----------------------------------------------------------------------------------------------- */

/* *is: the list has an enum or a const; the values of it that all of the list allows are added to `out`. */
int st_slist_values(st_schema *s, const st_slist *l, bool *is, st_svalues *out);

/* ---- schema_string.c --------------------------------------------------------------------------------------------- */

/* The format, ST_S_NONE if it is none of those that are kept. */
uint32_t st_schema_format(const st_schema *s, uint32_t value);
/* The pattern in a value. To be freed if there is no error. */
int st_schema_regex(st_schema *s, uint32_t pattern, st_sregex *r);
/* The same for a text of the schema, which stands at `at`. */
int st_schema_regex_text(st_schema *s, const char *p, size_t n, size_t at, st_sregex *r);
/* Sets of strings: of the pattern in a value, of a pattern of the library's, of a format. */
int st_schema_lang_pattern(st_schema *s, st_slang *l, uint32_t pattern, uint32_t *set);
int st_schema_lang_text(st_schema *s, st_slang *l, const char *pattern, uint32_t *set);
int st_schema_lang_format(st_schema *s, st_slang *l, uint32_t format, uint32_t *set);
int st_schema_lang_error(st_schema *s, const st_slang *l, uint32_t at, const char *what);

/* ---- schema_value.c ---------------------------------------------------------------------------------------------- */

/* A count, as the value of keyword `key`: the larger of it and *v, or, where it is one at most, the smaller. */
int st_schema_count(const st_schema *s, uint32_t value, const char *key, bool most, uint32_t *v);
/* multipleOf as n / 10^scale. */
int st_schema_multiple(const st_schema *s, uint32_t value, uint32_t *n, uint32_t *scale);
/* {min,max} or {min,}. */
void st_sbuf_repeat(st_sbuf *b, uint32_t min, uint32_t max);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One rule's own text goes to `b`; rules that it needs beside it are written to s->out first. */
typedef struct st_swriter {
    st_schema *s;
    st_slist l;
    uint32_t id;
    st_sbuf b;
    st_svalues values; /* of enums, written together at the end */
    bool bar;
} st_swriter;

/* Between alternatives. */
void st_swriter_bar(st_swriter *w);
/* BAD_GRAMMAR at the rule's first schema. */
int st_swriter_error(const st_swriter *w, const char *what);
/* A count of a keyword: the largest of minima, the smallest of maxima. */
int st_swriter_count(const st_swriter *w, const char *key, bool smallest, uint32_t *v);
/* Alternatives of the rule: values; any string, number, array or object that does. */
int st_swriter_values(st_swriter *w, const st_svalues *v);
int st_swriter_string(st_swriter *w);
int st_swriter_number(st_swriter *w, bool integer);
/* "[" item-0 ("," item-1 (... ("," rest){m,n}))? "]": one rule for each place of the prefix, which may be the last. */
int st_swriter_array(st_swriter *w);
int st_swriter_object(st_swriter *w);
/* uniqueItems holds; and the array of min..max such items. */
bool st_swriter_wants_unique(const st_swriter *w);
int st_swriter_unique(st_swriter *w, st_slist *item, uint32_t min, uint32_t max);

#endif
