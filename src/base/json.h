/* json.h: the one reader of JSON: RFC 8259 to the letter, one event at a time, no tree and no memory of its own.
 *
 *   st_json j;
 *   st_json_begin(&j, text, len, 64, 0);
 *   for (st_json_event e; (e = st_json_next(&j)) > ST_JSON_END;) ...
 *
 * What a value is stands in the text from j.from to j.to. Strings are checked when they are met, escapes and UTF-8 too,
 * so that decoding one cannot fail. Names that stand twice are the caller's affair, and so is what a number is worth.
 *
 * This module needs nothing but the C library, base/utf8.h and base/ascii.h: cli/io/json.c includes it too, so that
 * library and program read JSON by one rule. */
#ifndef ST_BASE_JSON_H
#define ST_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ST_JSON_MAX_DEPTH = 256, /* of what a caller may allow */
    ST_JSON_REASON = 96      /* bytes of a reason */
};

typedef enum st_json_event {
    ST_JSON_ERROR, /* once, then always: st_json_reason */
    ST_JSON_END,   /* one whole value, and nothing behind it but white space */
    ST_JSON_NULL,
    ST_JSON_FALSE,
    ST_JSON_TRUE,
    ST_JSON_NUMBER,
    ST_JSON_STRING,
    ST_JSON_ARRAY,
    ST_JSON_OBJECT,
    ST_JSON_NAME, /* of a member: a string like any other; its value is next */
    ST_JSON_CLOSE /* of the innermost array or object */
} st_json_event;

/* What a caller accepts beyond RFC 8259. */
enum {
    ST_JSON_LONE_SURROGATES = 1, /* half a pair, written as an escape, is U+FFFD */
    ST_JSON_ANY_BYTES = 2,       /* strings need not be UTF-8; they stay what they are */
    ST_JSON_NAN = 4              /* NaN, Infinity and -Infinity are numbers, as Python has them */
};

typedef enum st_json_why {
    ST_JSON_FINE,
    /* Something else was expected at .at. */
    ST_JSON_WANT_VALUE,
    ST_JSON_WANT_NAME,
    ST_JSON_WANT_COLON,
    ST_JSON_WANT_MORE_ITEMS,
    ST_JSON_WANT_MORE_MEMBERS,
    ST_JSON_WANT_END,
    ST_JSON_WANT_DIGIT,
    ST_JSON_WANT_HEX,
    ST_JSON_WANT_ESCAPE,
    ST_JSON_CONTROL,
    /* What is at .at cannot be. */
    ST_JSON_NOT_UTF8,
    ST_JSON_SURROGATE, /* the backslash of its escape */
    ST_JSON_UNENDED,   /* the quote that opens the string */
    ST_JSON_DEEP       /* the bracket of one level too many */
} st_json_why;

/* For the caller to read; the reader alone writes. */
typedef struct st_json {
    const char *text;
    size_t len, at; /* at: behind the last event; of an error, where it is */
    size_t from;    /* of the last event: its first byte, a string's quote; of an error, what was being read */
    size_t to;      /* behind its last byte */
    uint32_t depth; /* arrays and objects that are open */
    uint32_t max_depth;
    unsigned flags;
    bool escaped; /* a string: it has escapes */
    bool whole;   /* a number: neither fraction nor exponent */
    uint8_t next; /* what may follow */
    st_json_why why;
    uint64_t objects[ST_JSON_MAX_DEPTH / 64]; /* which of those that are open are objects */
} st_json;

/* The text must stay. max_depth: 1 to ST_JSON_MAX_DEPTH. */
void st_json_begin(st_json *j, const char *text, size_t len, uint32_t max_depth, unsigned flags);

st_json_event st_json_next(st_json *j);

/* Reads to the end of the value that began with e, the last event; from and to are then all of it. False: an error, or
 * e began none. */
bool st_json_finish(st_json *j, st_json_event e);

/* What the last event, a string or a name, says: at most st_json_room bytes into out, which may hold NULs; returns
 * their number. */
size_t st_json_string(const st_json *j, char *out);
static inline size_t st_json_room(const st_json *j)
{
    return j->to - j->from - 2;
}

/* The last event, a string or a name, says z. */
bool st_json_is(const st_json *j, const char *z);

/* What is wrong, after ST_JSON_ERROR, without the place: "found 'x', want ':'". Fills and returns buf. */
const char *st_json_reason(const st_json *j, char buf[ST_JSON_REASON]);

#endif
