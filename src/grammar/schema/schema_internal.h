/* schema_internal.h: what the files of the schema compiler share.
 *
 *   schema_json.c    JSON text -> tree
 *   schema_number.c  bounds of numbers -> GBNF
 *   schema_lang.h    patterns and other sets of strings -> GBNF
 *   schema.c         schema -> rules; schema_rules.h has the files of that */
#ifndef ST_GRAMMAR_SCHEMA_SCHEMA_INTERNAL_H
#define ST_GRAMMAR_SCHEMA_SCHEMA_INTERNAL_H

#include <stdbool.h>
#include <string.h>

#include "grammar/schema/schema.h"

#define ST_S_NONE     UINT32_MAX
#define ST_S_MAX_JSON ((size_t)1 << 20)
#define ST_S_MAX_OUT  ((size_t)4 << 20) /* of GBNF: as much as a grammar may have */

/* ---- growing text: no memory is remembered and told at the end --------------------------------------------------- */

typedef struct st_sbuf {
    char *p;
    size_t n, cap;
    st_mem *mem;
    bool no_memory, too_long;
} st_sbuf;

void st_sbuf_put(st_sbuf *b, const char *p, size_t n);
void st_sbuf_str(st_sbuf *b, const char *s);
void st_sbuf_fmt(st_sbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* short ones */

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

typedef enum st_json_type {
    ST_J_NULL,
    ST_J_FALSE,
    ST_J_TRUE,
    ST_J_NUMBER,
    ST_J_STRING,
    ST_J_ARRAY,
    ST_J_OBJECT
} st_json_type;

typedef struct st_json_node {
    uint8_t type;
    uint32_t at;             /* in the text */
    uint32_t str, len;       /* string: in the pool; number: in the text */
    uint32_t key, key_len;   /* of a member: in the pool */
    uint32_t first, next, n; /* children, sibling */
} st_json_node;

typedef struct st_json {
    const char *text;
    size_t len;
    st_mem *mem;
    strata_error *err;
    st_json_node *nodes; /* 0: the document */
    size_t n_nodes, nodes_cap;
    st_sbuf pool;
} st_json;

int st_json_parse(st_json *j);
void st_json_free(st_json *j);
/* BAD_GRAMMAR at an offset of the text. */
int st_json_error(const st_json *j, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Member of an object, ST_S_NONE if there is none. */
uint32_t st_json_get(const st_json *j, uint32_t object, const char *key, size_t key_len);
/* The value as JSON in its shortest form. */
void st_json_write(const st_json *j, uint32_t node, st_sbuf *out);
void st_json_write_string(st_sbuf *out, const char *p, size_t n);

/* Text as a GBNF literal, quotes included. */
void st_sbuf_literal(st_sbuf *b, const char *p, size_t n);

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

#define ST_S_DIGITS 40

/* sign * digits.fraction; no leading zeros but for 0 itself, no trailing zeros of the fraction, no -0. */
typedef struct st_sdec {
    bool neg;
    uint8_t n_int, n_frac;
    char i[ST_S_DIGITS + 2], f[ST_S_DIGITS + 2];
} st_sdec;

typedef struct st_sbounds {
    bool has_lo, has_hi, lo_open, hi_open;
    st_sdec lo, hi;
} st_sbounds;

/* A JSON number. False: it has more than ST_S_DIGITS digits before or behind the point. */
bool st_sdec_parse(const char *p, size_t n, st_sdec *out);
/* The number nearest to one that st_sdec_parse refuses as too large or too small, on the side that a lower bound, or an
 * upper one, keeps. False: it is neither, or nothing is kept. *none: no number that is written without bounds is beyond
 * it.
 */
bool st_sdec_inside(const char *p, size_t n, bool upper, st_sdec *out, bool *none);
int st_sdec_cmp(const st_sdec *a, const st_sdec *b);
/* Alternatives without parentheses. False: no such number. */
bool st_snumber(st_sbuf *b, const st_sbounds *q, bool integer);

#endif
