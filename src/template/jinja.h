/* jinja.h: values of the template engine and what is done with them, for jinja*.c and template.c only; template.h is
 * the interface. jinja_program.h has how a source becomes a program that runs.
 *
 *   jinja_mem      the arena, budgets, failure
 *   jinja_value    values: truth, order, dicts
 *   jinja_part     their attributes, items, slices
 *   jinja_repr     values -> text, as Python prints them
 *   jinja_num      arithmetic, texts of numbers
 *   jinja_big      integers beyond 64 bits
 *   jinja_str      strings that know who wrote each byte
 *   jinja_case     upper, lower, title
 *   jinja_format   '%s', format()
 *   jinja_chars    what Python knows of characters
 *   jinja_filter   filters on single values; jinja_seq: on sequences; jinja_text: on text, those that few use
 *   jinja_test     what follows `is`
 *   jinja_method   methods of str and dict
 *   jinja_global   range, namespace, strftime_now...
 *   jinja_json     JSON in and out
 *   jinja_date     strftime
 *
 * All memory of a compilation or a rendering is one arena, freed whole, so a failure anywhere may leave by longjmp:
 * st_j_fail does not return. The only frame that holds anything else is the one that called setjmp.
 *
 * A template runs on the stack of whoever calls, which may be small: nothing that a template's run nests (macros,
 * loops, blocks) nests in C, and what does recurse (the parser, printing and comparing of values) counts its levels
 * (st_j_enter) against ST_TEMPLATE_MAX_NESTING. */
#ifndef ST_TEMPLATE_JINJA_H
#define ST_TEMPLATE_JINJA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "template/template.h"

/* ---- memory, budgets, failure ---- */

typedef struct st_jchunk st_jchunk;
typedef struct st_jnode st_jnode;

typedef struct st_jrun {
    st_mem *mem;
    st_jchunk *chunks;
    uint64_t bytes, max_bytes;
    uint64_t steps; /* left */
    uint64_t max_output;
    uint32_t depth;                /* of C's recursion */
    uint32_t n_frames, max_frames; /* of the template's own */
    uint32_t line, col;            /* of the node at work, for messages; line 0: none */
    int64_t now;
    struct st_jscope *globals;
    int status;
    strata_error *err;
    jmp_buf leave;
} st_jrun;

/* Writes "line:column: what" and leaves. */
_Noreturn void st_j_fail(st_jrun *r, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define ST_J_FAIL(r, ...) st_j_fail((r), STRATA_BAD_TEMPLATE, __VA_ARGS__)
/* Never NULL. Aligned to 16 bytes. */
void *st_j_alloc(st_jrun *r, size_t n, size_t size);
void *st_j_grow(st_jrun *r, void *old, size_t *cap, size_t need, size_t size);
void st_j_free_all(st_jrun *r);
void st_j_step(st_jrun *r, uint64_t n);
void st_j_enter(st_jrun *r); /* one level of C's recursion */
static inline void st_j_leave(st_jrun *r)
{
    r->depth--;
}

/* ---- values ---- */

typedef enum st_jkind {
    ST_J_UNDEF, /* .str says what is not defined */
    ST_J_NONE,
    ST_J_BOOL,
    ST_J_INT,
    ST_J_BIG, /* an integer that does not fit ST_J_INT */
    ST_J_FLOAT,
    ST_J_STR,
    ST_J_LIST,
    ST_J_TUPLE,
    ST_J_RANGE,
    ST_J_ITER, /* what filters give that Jinja runs lazily: seen once, then empty */
    ST_J_DICT,
    ST_J_VIEW,  /* keys, values or items of a dict */
    ST_J_SPACE, /* namespace(): a dict whose items can be set */
    ST_J_LOOP,
    ST_J_MACRO,
    ST_J_GLOBAL, /* .i indexes the table of jinja_global.c */
    ST_J_METHOD,
    ST_J_CYCLER,
    ST_J_JOINER,
    ST_J_ARGS, /* of the call at work: on the machine's stack only */
    ST_J_N_KINDS
} st_jkind;

/* Bytes and who made them: mark[i] 1 is the user's, 0 the template's; mark NULL: all as `user`. A view: never owned,
 * never changed. */
typedef struct st_jstr {
    const char *p;
    const uint8_t *mark;
    size_t n;
    bool user;
    bool markup; /* went through `safe` or `escape`: what joins it is escaped */
} st_jstr;

typedef struct st_jval {
    st_jkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        st_jstr str;
        struct st_jbig *big;
        struct st_jrange *range;
        struct st_jiter *iter;
        struct st_jlist *list;
        struct st_jdict *dict;
        struct st_jview *view;
        struct st_jloop *loop;
        struct st_jmacro *macro;
        struct st_jmethod *method;
        struct st_jcycler *cycler;
        struct st_jargs *args;
    };
} st_jval;

typedef struct st_jlist {
    st_jval *v;
    size_t n, cap;
    bool group; /* of groupby: a pair that also has names */
} st_jlist;

/* Magnitude in base 10^9, the least first, without leading zeros. */
typedef struct st_jbig {
    bool neg;
    uint32_t n;
    uint32_t d[];
} st_jbig;

typedef struct st_jrange {
    int64_t from, to, step, n;
} st_jrange;

typedef struct st_jiter {
    st_jlist items;
    size_t at;     /* the first that was not taken */
    bool reversed; /* of a list: it knows its length nowhere */
} st_jiter;

enum { ST_VIEW_KEYS, ST_VIEW_VALUES, ST_VIEW_ITEMS };
typedef struct st_jview {
    struct st_jdict *dict;
    int what;
} st_jview;

typedef struct st_jcycler { /* and joiner: its separator */
    st_jlist items;
    size_t at;
} st_jcycler;

typedef struct st_jpair {
    st_jval key, val;
} st_jpair;

/* In order of insertion. Found by a walk: the dicts of a chat are small, and steps bound the rest. */
typedef struct st_jdict {
    st_jpair *v;
    size_t n, cap;
} st_jdict;

typedef struct st_jscope {
    struct st_jscope *parent;
    st_jdict vars;
} st_jscope;

typedef struct st_jloop {
    st_jlist items;
    size_t at;
    int64_t depth0;
    st_jval changed;             /* the last arguments of loop.changed(); NONE: none yet */
    st_jiter *source;            /* what it was made of, if that can be used up */
    bool counted;                /* its length was asked for */
    const struct st_jins *again; /* a recursive loop: where it begins */
    st_jscope *scope;            /* around it */
} st_jloop;

typedef struct st_jmacro {
    const st_jnode *node; /* MACRO or CALL_BLOCK */
    st_jscope *scope;     /* where it was defined */
    const struct st_jins *entry;
} st_jmacro;

typedef struct st_jmethod {
    st_jval self;
    int id;
    st_jstr name;
} st_jmethod;

/* Growing string with its marks. */
typedef struct st_jbuf {
    st_jrun *r;
    char *p;
    uint8_t *mark;
    size_t n, cap;
    bool any_user, any_template;
    bool is_output; /* of the whole rendering: held to max_output */
} st_jbuf;

/* Arguments of a call, evaluated. */
typedef struct st_jargs {
    st_jlist pos;
    st_jdict kw;
} st_jargs;

/* ---- values ---- */

static inline st_jval st_j_none(void)
{
    return (st_jval){.kind = ST_J_NONE};
}
static inline st_jval st_j_bool(bool b)
{
    return (st_jval){.kind = ST_J_BOOL, .b = b};
}
static inline st_jval st_j_int(int64_t i)
{
    return (st_jval){.kind = ST_J_INT, .i = i};
}
static inline st_jval st_j_float(double f)
{
    return (st_jval){.kind = ST_J_FLOAT, .f = f};
}
static inline st_jval st_j_string(st_jstr s)
{
    return (st_jval){.kind = ST_J_STR, .str = s};
}
static inline st_jstr st_j_lit(const char *s)
{
    return (st_jstr){s, NULL, strlen(s), false, false};
}
static inline st_jval st_j_undef(st_jstr name)
{
    return (st_jval){.kind = ST_J_UNDEF, .str = name};
}
static inline bool st_j_is_list(st_jval v)
{
    return v.kind == ST_J_LIST || v.kind == ST_J_TUPLE;
}
static inline bool st_j_same(st_jstr a, const char *s)
{
    return a.n == strlen(s) && memcmp(a.p, s, a.n) == 0;
}
st_jval st_j_list(st_jrun *r, st_jkind kind, size_t cap);
st_jval st_j_iter(st_jrun *r, st_jlist items);
st_jval st_j_pair(st_jrun *r, st_jval a, st_jval b);
st_jval st_j_range_item(const st_jrange *g, int64_t i);
void st_j_push(st_jrun *r, st_jlist *l, st_jval v);
st_jval st_j_dict(st_jrun *r, st_jkind kind);
st_jval *st_j_find(st_jrun *r, const st_jdict *d, st_jval key); /* NULL: absent */
st_jval *st_j_find_str(st_jrun *r, const st_jdict *d, const char *key);
void st_j_put(st_jrun *r, st_jdict *d, st_jval key, st_jval val);
bool st_j_true(st_jrun *r, st_jval v);
bool st_j_equal(st_jrun *r, st_jval a, st_jval b);
int st_j_order(st_jrun *r, st_jval a, st_jval b, bool *ordered); /* <0, 0, >0; ordered false: NaN */
bool st_j_contains(st_jrun *r, st_jval in, st_jval v);
int64_t st_j_length(st_jrun *r, st_jval v);
st_jlist st_j_iterate(st_jrun *r, st_jval v); /* what a for loop visits */
const char *st_j_kind_name(st_jval v);
_Noreturn void st_j_undefined(st_jrun *r, st_jval v);
st_jval st_j_attr(st_jrun *r, st_jval v, st_jstr name);
st_jval st_j_item(st_jrun *r, st_jval v, st_jval key);
st_jval st_j_slice(st_jrun *r, st_jval v, st_jval start, st_jval stop, st_jval step);
/* "a.b.0" from v, as map(attribute=) and sort(attribute=) do; `other`, if any, for a part that is not there. */
st_jval st_j_path(st_jrun *r, st_jval v, st_jval path, const st_jval *other);
void st_j_sort(st_jrun *r, st_jlist *l, st_jval attribute, bool reverse, bool case_sensitive);
st_jval st_j_fold_case(st_jrun *r, st_jval v); /* what comparisons without case compare */

/* ---- text ---- */

void st_j_buf_init(st_jbuf *b, st_jrun *r);
void st_j_buf_add(st_jbuf *b, st_jstr s);
void st_j_buf_bytes(st_jbuf *b, const char *p, size_t n, bool user);
st_jstr st_j_buf_str(const st_jbuf *b);
st_jstr st_j_str(st_jrun *r, st_jval v); /* Python's str(), Jinja's '' for undefined */
void st_j_repr(st_jbuf *b, st_jval v);   /* Python's repr() */
st_jstr st_j_need_str(st_jrun *r, st_jval v, const char *what);
st_jstr st_j_float_text(st_jrun *r, double f);               /* shortest that reads back, in Python's spelling */
bool st_j_parse_float(const char *p, size_t n, double *out); /* any locale; digits, point, exponent */

static inline st_jstr st_j_sub(st_jstr s, size_t from, size_t to)
{
    return (st_jstr){s.p + from, s.mark ? s.mark + from : NULL, to - from, s.user, s.markup};
}
bool st_j_str_equal(st_jstr a, st_jstr b);
size_t st_j_cps(st_jrun *r, st_jstr s);                                 /* code points */
size_t st_j_cp_offset(st_jstr s, size_t cp);                            /* byte of a code point; s.n beyond the end */
size_t st_j_str_find(st_jrun *r, st_jstr s, size_t from, st_jstr what); /* SIZE_MAX: not there */
size_t st_j_str_rfind(st_jrun *r, st_jstr s, st_jstr what);
bool st_j_is_space(uint32_t cp); /* Python's str.isspace */
st_jstr st_j_strip(st_jrun *r, st_jstr s, st_jval chars, bool left, bool right);
st_jstr st_j_replace(st_jrun *r, st_jstr s, st_jstr from, st_jstr to, int64_t count);
st_jval st_j_split(st_jrun *r, st_jstr s, st_jval sep, int64_t max, bool from_right);
st_jval st_j_split_lines(st_jrun *r, st_jstr s, bool keep_ends);
st_jstr st_j_join(st_jrun *r, st_jstr sep, const st_jlist *l);
st_jstr st_j_repeat(st_jrun *r, st_jstr s, int64_t n);
st_jstr st_j_percent(st_jrun *r, st_jstr fmt, st_jval args);   /* fmt % args */
st_jstr st_j_format(st_jrun *r, st_jstr fmt, st_jargs *args);  /* fmt.format(args) */
st_jstr st_j_format_spec(st_jrun *r, st_jval v, st_jstr spec); /* format(v, spec) */
st_jstr st_j_pad(st_jrun *r, st_jstr s, int64_t width, st_jstr fill,
                 char align);               /* '<', '>', '^', or 'c': str.center */
st_jstr st_j_escape(st_jrun *r, st_jval v); /* markup: &, <, >, ', \" */
typedef enum st_jcase { ST_CASE_LOWER, ST_CASE_UPPER, ST_CASE_TITLE, ST_CASE_CAPITALIZE, ST_CASE_JINJA_TITLE } st_jcase;
st_jstr st_j_case(st_jrun *r, st_jstr s, st_jcase how);
bool st_j_is_case(st_jrun *r, st_jstr s, bool upper);
bool st_j_is_title(st_jrun *r, st_jstr s);
bool st_j_is_class(st_jrun *r, st_jstr s, uint32_t props); /* all code points have one of these, and there are some */

/* What Python knows of a character (jinja_chars.c, made by tools/gen_jinja_chars.py). */
enum {
    ST_C_ALPHA = 1,
    ST_C_DECIMAL = 2,
    ST_C_DIGIT = 4,
    ST_C_NUMERIC = 8,
    ST_C_UPPER = 16,
    ST_C_LOWER = 32,
    ST_C_TITLE = 64,
    ST_C_IGNORED = 128, /* Case_Ignorable */
    ST_C_PRINTABLE = 256,
    ST_C_CASED = 512,
    ST_C_XID_START = 1024,
    ST_C_XID_CONTINUE = 2048
};
uint32_t st_j_char_props(uint32_t cp);
/* The mapping of a character, up to 3 code points; returns how many. which: 0 lower, 1 upper, 2 title, 3 folded */
unsigned st_j_char_case(uint32_t cp, int which, uint32_t out[3]);

st_jval st_j_json_parse(st_jrun *r, st_str text, const char *what);
void st_j_json_dump(st_jrun *r, st_jbuf *b, st_jval v, st_jargs *args);

/* ---- arithmetic ---- */

st_jval st_j_negate(st_jrun *r, st_jval v, bool neg);
st_jval st_j_round(st_jrun *r, st_jval v, int64_t digits, st_jstr how);
int64_t st_j_need_int(st_jrun *r, st_jval v, const char *what);
int64_t st_j_clamp_int(st_jrun *r, st_jval v, const char *what); /* an integer that may be anywhere: its nearest */
bool st_j_number(st_jrun *r, st_jval v, double *f);              /* bool, int, float; an int too large fails */
static inline bool st_j_is_int(st_jval v)
{
    return v.kind == ST_J_INT || v.kind == ST_J_BOOL || v.kind == ST_J_BIG;
}
static inline bool st_j_is_number(st_jval v)
{
    return st_j_is_int(v) || v.kind == ST_J_FLOAT;
}

#define ST_J_MAX_DIGITS 4300 /* Python prints no longer integers */

int st_j_int_order(st_jrun *r, st_jval a, st_jval b);
int st_j_mixed_order(st_jrun *r, st_jval i, double f);     /* an integer against a finite float, exactly */
st_jval st_j_int_divide(st_jrun *r, st_jval a, st_jval b); /* a / b, rounded once */
st_jval st_j_int_parse(st_jrun *r, const char *p, size_t n, int base, bool *ok); /* sign and digits */
st_jval st_j_int_of_float(st_jrun *r, double f);                                 /* truncated */
st_jstr st_j_int_text(st_jrun *r, st_jval v);
double st_j_int_float(st_jrun *r, st_jval v);                            /* infinite beyond a float */
st_jstr st_j_int_base(st_jrun *r, st_jval v, unsigned base, bool upper); /* magnitude only */

/* ---- names, calls, filters, tests, methods ---- */

st_jscope *st_j_scope(st_jrun *r, st_jscope *parent);
st_jval st_j_lookup(st_jrun *r, st_jscope *s, st_jstr name);
void st_j_set(st_jrun *r, st_jscope *s, st_jstr name, st_jval v);
st_jval st_j_concat(st_jrun *r, const st_jval *v, size_t n);
st_jval st_j_call(st_jrun *r, st_jval f, st_jargs *args); /* all but macros and loops */

/* The ith positional argument or the keyword `name`; false: not given. A keyword found is one that is known. */
bool st_j_arg(st_jrun *r, st_jargs *a, size_t i, const char *name, st_jval *out);
/* The same with what holds if it is not given. */
st_jval st_j_option(st_jrun *r, st_jargs *a, size_t i, const char *name, st_jval otherwise);
/* Fails if more arguments were given than the n that were taken; `names` "a b c" are the keywords. */
void st_j_args_done(st_jrun *r, const st_jargs *a, size_t n, const char *names, const char *what);

bool st_j_filter_known(st_jstr name);
bool st_j_test_known(st_jstr name);
typedef st_jval (*st_jfilter_fn)(st_jrun *r, st_jval v, st_jargs *a);
typedef struct st_jfilter {
    const char *name;
    st_jfilter_fn run;
} st_jfilter;
extern const st_jfilter st_j_filters_one[], st_j_filters_seq[], st_j_filters_text[]; /* each ends with a NULL */
st_jval st_j_filter(st_jrun *r, st_jstr name, st_jval v, st_jargs *args);
bool st_j_test(st_jrun *r, st_jstr name, st_jval v, st_jargs *args);
st_jval st_j_call_method(st_jrun *r, const st_jmethod *m, st_jargs *args);
/* A method of the value, or an undefined that says why not; false: no such attribute. */
bool st_j_method(st_jrun *r, st_jval v, st_jstr name, st_jval *out);
st_jval st_j_make_method(st_jrun *r, st_jval self, int id, st_jstr name);
enum { ST_METHOD_CYCLE = 1000, ST_METHOD_CHANGED, ST_METHOD_NEXT, ST_METHOD_RESET };
st_jval st_j_call_global(st_jrun *r, int64_t id, st_jargs *args);
void st_j_space_name(st_jrun *r, st_jstr name); /* HuggingFace refuses some attributes of a namespace */
void st_j_add_globals(st_jrun *r, st_jscope *s);
st_jval st_j_loop_attr(st_jrun *r, st_jval v, st_jstr name);
st_jstr st_j_strftime(st_jrun *r, st_jstr fmt, int64_t now);

#endif
