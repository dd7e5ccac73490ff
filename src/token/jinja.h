/* jinja.h: the parts of the template engine, for jinja*.c and template.c only; template.h is the interface.
 *
 *   jinja_mem    the arena, budgets, failure
 *   jinja_lex    source -> tokens, with HuggingFace's trim_blocks and lstrip_blocks
 *   jinja_expr   tokens -> expressions         jinja_parse   tokens -> statements
 *   jinja_eval   runs expressions              jinja_exec    runs statements, macros
 *   jinja_value  values: truth, order, dicts   jinja_repr    values -> text, as Python prints them
 *   jinja_num    arithmetic, number texts      jinja_str, jinja_case: strings that know who wrote each byte
 *   jinja_filter, jinja_seq: filters           jinja_test    what follows `is`
 *   jinja_method methods of str and dict       jinja_global  range, namespace, strftime_now...
 *   jinja_json   JSON in and out
 *
 * All memory of a compilation or a rendering is one arena, freed whole, so a failure anywhere may leave by longjmp:
 * st_j_fail does not return. The only frame that holds anything else is the one that called setjmp. */
#ifndef ST_TOKEN_JINJA_H
#define ST_TOKEN_JINJA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "token/template.h"

/* ---- memory, budgets, failure ---- */

typedef struct st_jchunk st_jchunk;
typedef struct st_jnode st_jnode;

typedef struct st_jrun {
    st_mem *mem;
    st_jchunk *chunks;
    uint64_t bytes, max_bytes;
    uint64_t steps; /* left */
    uint64_t max_output;
    uint32_t depth, max_depth;
    uint32_t line, col; /* of the node at work, for messages; line 0: none */
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
void st_j_enter(st_jrun *r); /* one level of nesting */
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
    ST_J_FLOAT,
    ST_J_STR,
    ST_J_LIST,
    ST_J_TUPLE,
    ST_J_DICT,
    ST_J_SPACE, /* namespace(): a dict whose items can be set */
    ST_J_LOOP,
    ST_J_MACRO,
    ST_J_GLOBAL, /* .i indexes the table of jinja_global.c */
    ST_J_METHOD
} st_jkind;

/* Bytes and who made them: mark[i] 1 is the user's, 0 the template's; mark NULL: all as `user`. A view: never owned,
 * never changed. */
typedef struct st_jstr {
    const char *p;
    const uint8_t *mark;
    size_t n;
    bool user;
} st_jstr;

typedef struct st_jval {
    st_jkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        st_jstr str;
        struct st_jlist *list;
        struct st_jdict *dict;
        struct st_jloop *loop;
        struct st_jmacro *macro;
        struct st_jmethod *method;
    };
} st_jval;

typedef struct st_jlist {
    st_jval *v;
    size_t n, cap;
} st_jlist;

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
    const st_jlist *items;
    size_t at;
    int64_t depth;
    st_jval changed; /* the last arguments of loop.changed(); NONE: none yet */
} st_jloop;

typedef struct st_jmacro {
    const st_jnode *node; /* MACRO or CALL_BLOCK */
    st_jscope *scope;     /* where it was defined */
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

/* ---- program ---- */

typedef enum st_jop {
    /* expressions */
    ST_N_CONST,
    ST_N_NAME,
    ST_N_LIST,
    ST_N_TUPLE,
    ST_N_DICT,
    ST_N_PAIR,
    ST_N_ATTR,
    ST_N_ITEM,
    ST_N_SLICE,
    ST_N_CALL,
    ST_N_ARG,
    ST_N_FILTER,
    ST_N_TEST,
    ST_N_NOT,
    ST_N_NEG,
    ST_N_POS,
    ST_N_AND,
    ST_N_OR,
    ST_N_IF_EXPR,
    ST_N_COMPARE,
    ST_N_CMP_PART,
    ST_N_CONCAT,
    ST_N_ADD,
    ST_N_SUB,
    ST_N_MUL,
    ST_N_DIV,
    ST_N_FLOORDIV,
    ST_N_MOD,
    ST_N_POW,
    /* statements */
    ST_N_TEXT,
    ST_N_PRINT,
    ST_N_FOR,
    ST_N_IF,
    ST_N_SET,
    ST_N_SET_BLOCK,
    ST_N_NS_REF,
    ST_N_MACRO,
    ST_N_CALL_BLOCK,
    ST_N_FILTER_BLOCK,
    ST_N_WITH,
    ST_N_GENERATION,
    ST_N_BREAK,
    ST_N_CONTINUE
} st_jop;

enum { ST_ARG_POS, ST_ARG_KW, ST_ARG_STAR, ST_ARG_STARSTAR };
enum { ST_CMP_EQ, ST_CMP_NE, ST_CMP_LT, ST_CMP_LE, ST_CMP_GT, ST_CMP_GE, ST_CMP_IN, ST_CMP_NOT_IN };
enum { ST_USES_VARARGS = 1, ST_USES_KWARGS = 2, ST_USES_CALLER = 4 };

/* Children by kind:
 *   LIST TUPLE DICT CONCAT  a: items          PAIR a: key, b: value      ATTR a, name         ITEM a, b: index
 *   SLICE a, b, c: start, stop, step or NULL  CALL a: callee, b: ARGs    ARG sub, name, a     FILTER TEST name, a, b:
 * ARGs COMPARE a, b: CMP_PARTs (sub, a)          IF_EXPR a if b else c      binary a, b          CONST val TEXT val
 * PRINT a   FOR a: target, b: iterable, c: filter or NULL, body, other   IF a, body, other SET a: target, b   SET_BLOCK
 * a: target, b: FILTER or NULL, body   NS_REF name, val: attribute MACRO name, a: parameters (NAMEs, a: default), body,
 * sub: ST_USES_*   CALL_BLOCK as MACRO, b: CALL FILTER_BLOCK b: FILTER, body   WITH a: SETs, body   GENERATION body */
struct st_jnode {
    st_jop kind;
    uint32_t sub;
    uint32_t line, col;
    st_jstr name;
    st_jval val;
    st_jnode *a, *b, *c, *body, *other;
    st_jnode *next;
};

/* ---- lexer ---- */

typedef enum st_jtok_kind {
    ST_T_EOF,
    ST_T_TEXT,
    ST_T_VAR_BEGIN,
    ST_T_VAR_END,
    ST_T_BLOCK_BEGIN,
    ST_T_BLOCK_END,
    ST_T_NAME,
    ST_T_STRING,
    ST_T_INT,
    ST_T_FLOAT,
    ST_T_OP
} st_jtok_kind;

/* Operators are the characters themselves, two of them as a * 256 + b. */
#define ST_OP2(a, b) ((unsigned)(a) << 8 | (unsigned)(b))

typedef struct st_jtok {
    st_jtok_kind kind;
    unsigned op;
    uint32_t line, col;
    st_jstr str; /* TEXT, NAME, STRING */
    int64_t i;
    double f;
} st_jtok;

typedef struct st_jlexer {
    st_jrun *r;
    const char *src;
    size_t n, at;
    size_t line_at; /* where `line` begins */
    uint32_t line;
    int mode;           /* text, expression or block */
    int nesting;        /* open brackets: }} inside them ends nothing */
    bool line_starting; /* what came before was a trimmed newline */
    char open[256];     /* what closes the open brackets */
} st_jlexer;

void st_j_lex_init(st_jlexer *x, st_jrun *r, const char *src, size_t n);
void st_j_lex_next(st_jlexer *x, st_jtok *t);

/* ---- parser ---- */

typedef struct st_jparser {
    st_jrun *r;
    st_jlexer lexer;
    st_jtok tok, ahead;
    bool has_ahead;
    int loops; /* around this place, inside the macro */
    uint32_t uses;
} st_jparser;

st_jnode *st_j_parse(st_jparser *p, const char *src, size_t n); /* statements of a template */

void st_j_next(st_jparser *p);
const st_jtok *st_j_peek(st_jparser *p);
bool st_j_is_op(const st_jparser *p, unsigned op);
bool st_j_is_name(const st_jparser *p, const char *name);
bool st_j_skip_op(st_jparser *p, unsigned op);
bool st_j_skip_name(st_jparser *p, const char *name);
void st_j_expect_op(st_jparser *p, unsigned op);
void st_j_expect_name(st_jparser *p, const char *name);
st_jstr st_j_take_name(st_jparser *p);
_Noreturn void st_j_unexpected(st_jparser *p, const char *wanted);
st_jnode *st_j_node(st_jparser *p, st_jop kind);
void st_j_append(st_jnode ***tail, st_jnode *n);

/* What jinja_parse.c uses of jinja_expr.c. */
st_jnode *st_j_parse_expr(st_jparser *p, bool with_if);
st_jnode *st_j_parse_tuple(st_jparser *p, bool with_if); /* `a` or `a, b` */
st_jnode *st_j_parse_filters(st_jparser *p, st_jnode *on, bool start_inline);
st_jnode *st_j_parse_primary(st_jparser *p);
st_jnode *st_j_parse_postfix(st_jparser *p, st_jnode *on);

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
    return (st_jstr){s, NULL, strlen(s), false};
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
bool st_j_parse_int(const char *p, size_t n, int base, int64_t *out);

static inline st_jstr st_j_sub(st_jstr s, size_t from, size_t to)
{
    return (st_jstr){s.p + from, s.mark ? s.mark + from : NULL, to - from, s.user};
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
st_jstr st_j_format(st_jrun *r, st_jstr fmt, const st_jlist *args); /* '%s' % args */
typedef enum st_jcase { ST_CASE_LOWER, ST_CASE_UPPER, ST_CASE_TITLE, ST_CASE_CAPITALIZE, ST_CASE_JINJA_TITLE } st_jcase;
st_jstr st_j_case(st_jrun *r, st_jstr s, st_jcase how);
bool st_j_is_case(st_jrun *r, st_jstr s, bool upper);
bool st_j_is_class(st_jstr s, uint32_t props); /* all code points have one of these properties, and there are some */

st_jval st_j_json_parse(st_jrun *r, st_str text, const char *what);
void st_j_json_dump(st_jrun *r, st_jbuf *b, st_jval v, st_jargs *args);

/* ---- arithmetic ---- */

st_jval st_j_binary(st_jrun *r, st_jop op, st_jval a, st_jval b);
st_jval st_j_negate(st_jrun *r, st_jval v, bool neg);
st_jval st_j_round(st_jrun *r, st_jval v, int64_t digits, st_jstr how);
int64_t st_j_need_int(st_jrun *r, st_jval v, const char *what);
bool st_j_number(st_jval v, double *f); /* bool, int, float */

/* ---- running ---- */

typedef enum st_jflow { ST_FLOW_ON, ST_FLOW_BREAK, ST_FLOW_CONTINUE } st_jflow;

st_jval st_j_eval(st_jrun *r, st_jscope *s, const st_jnode *n);
/* A list of statements. */
st_jflow st_j_exec(st_jrun *r, st_jscope *s, const st_jnode *n, st_jbuf *out);
void st_j_args(st_jrun *r, st_jscope *s, const st_jnode *list, st_jargs *out);
st_jval st_j_call(st_jrun *r, st_jval f, st_jargs *args);
st_jval st_j_call_macro(st_jrun *r, const st_jmacro *m, st_jargs *args);
st_jscope *st_j_scope(st_jrun *r, st_jscope *parent);
void st_j_set(st_jrun *r, st_jscope *s, st_jstr name, st_jval v);

/* The ith positional argument or the keyword `name`; false: not given. A keyword found is one that is known. */
bool st_j_arg(st_jrun *r, st_jargs *a, size_t i, const char *name, st_jval *out);
/* Fails if more arguments were given than the n that were taken; `names` "a b c" are the keywords. */
void st_j_args_done(st_jrun *r, const st_jargs *a, size_t n, const char *names, const char *what);

bool st_j_filter(st_jrun *r, st_jstr name, st_jval v, st_jargs *args, st_jval *out); /* false: no such filter */
bool st_j_filter_seq(st_jrun *r, st_jstr name, st_jval v, st_jargs *args, st_jval *out);
bool st_j_filter_known(st_jstr name);
bool st_j_filter_seq_known(st_jstr name);
bool st_j_test(st_jrun *r, st_jstr name, st_jval v, st_jargs *args);
bool st_j_test_known(st_jstr name);
st_jval st_j_call_method(st_jrun *r, const st_jmethod *m, st_jargs *args);
/* A method of the value, or an undefined that says why not; false: no such attribute. */
bool st_j_method(st_jrun *r, st_jval v, st_jstr name, st_jval *out);
st_jval st_j_make_method(st_jrun *r, st_jval self, int id, st_jstr name);
enum { ST_METHOD_CYCLE = 1000, ST_METHOD_CHANGED };
st_jval st_j_call_global(st_jrun *r, int64_t id, st_jargs *args);
void st_j_space_name(st_jrun *r, st_jstr name); /* HuggingFace refuses some attributes of a namespace */
void st_j_add_globals(st_jrun *r, st_jscope *s);
st_jval st_j_loop_attr(st_jrun *r, st_jval v, st_jstr name);

#endif
