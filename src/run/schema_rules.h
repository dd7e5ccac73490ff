/* schema_rules.h: what the files share that turn a schema's tree into rules: lists of schemas that hold together, and
 * the writer of a rule.
 *
 *   schema.c         the queue of rules, and their bodies
 *   schema_list.c    lists: keywords, $ref and allOf, branches, the rule of a list
 *   schema_merge.c   what a list allows: types, enumerations, whether anything satisfies it
 *   schema_value.c   enumerations, strings, numbers and arrays -> GBNF
 *   schema_object.c  objects -> GBNF */
#ifndef ST_RUN_SCHEMA_RULES_H
#define ST_RUN_SCHEMA_RULES_H

#include "run/schema_impl.h"

#define ST_S_MAX_RULES 20000u
#define ST_S_MAX_LIST  256u     /* schemas that hold together */
#define ST_S_MAX_COUNT 65535u   /* bounds of lengths */
#define ST_S_MAX_STEPS 2000000u /* of work on all rules */
#define ST_S_MAX_PROBE 6        /* levels at which what nothing satisfies is noticed */

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
} st_schema;

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
/* Whether the other enums and consts of the list allow a value. */
int st_slist_allows(st_schema *s, const st_slist *l, uint32_t value, bool *ok);
/* The values of the list's enum, *values: the first of them, *one: only that (const). ST_S_NONE: there is no enum. */
int st_slist_enum(const st_schema *s, const st_slist *l, uint32_t *values, bool *one);
/* False only if nothing satisfies the list, as far as its types and values tell. A list is 2 KiB: ST_S_MAX_PROBE
 * levels. */
int st_slist_possible(st_schema *s, const st_slist *given, int depth, bool *ok);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One rule's own text goes to `b`; rules that it needs beside it are written to s->out first. */
typedef struct st_swriter {
    st_schema *s;
    st_slist l;
    uint32_t id;
    st_sbuf b;
    bool bar;
} st_swriter;

/* Between alternatives. */
void st_swriter_bar(st_swriter *w);
/* BAD_GRAMMAR at the rule's first schema. */
int st_swriter_error(const st_swriter *w, const char *what);
/* A count of a keyword: the largest of minima, the smallest of maxima. */
int st_swriter_count(const st_swriter *w, const char *key, bool smallest, uint32_t *v);
/* Alternatives of the rule: the enum's values that fit; any string, number, array or object that does. */
int st_swriter_enum(st_swriter *w, uint32_t values, bool one, uint32_t bits);
int st_swriter_string(st_swriter *w);
int st_swriter_number(st_swriter *w, bool integer);
/* "[" item-0 ("," item-1 (... ("," rest){m,n}))? "]": one rule for each place of the prefix, which may be the last. */
int st_swriter_array(st_swriter *w);
int st_swriter_object(st_swriter *w);

#endif
