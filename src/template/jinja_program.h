/* jinja_program.h: from the source of a template to a program that runs.
 *
 *   jinja_lex      source -> tokens, with HuggingFace's trim_blocks and lstrip_blocks
 *   jinja_expr     tokens -> expressions
 *   jinja_parse    tokens -> statements
 *   jinja_code     expressions and statements -> instructions
 *   jinja_vm       runs instructions
 *   jinja_call     names, loops, macros, arguments */
#ifndef ST_TEMPLATE_JINJA_PROGRAM_H
#define ST_TEMPLATE_JINJA_PROGRAM_H

#include "template/jinja.h"

/* ---- the tree ---- */

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
    ST_N_BLOCK,
    ST_N_PRINT_LIST,
    ST_N_LOADS, /* include, import, extends: there is nothing to load from */
    ST_N_BREAK,
    ST_N_CONTINUE
} st_jop;

enum { ST_ARG_POS, ST_ARG_KW, ST_ARG_STAR, ST_ARG_STARSTAR };
enum { ST_CMP_EQ, ST_CMP_NE, ST_CMP_LT, ST_CMP_LE, ST_CMP_GT, ST_CMP_GE, ST_CMP_IN, ST_CMP_NOT_IN };
enum { ST_USES_VARARGS = 1, ST_USES_KWARGS = 2, ST_USES_CALLER = 4 };

/* What the fields of a node are, by its kind. A list is linked by `next`.
 *
 *   CONST, TEXT        val
 *   NAME               name
 *   LIST, TUPLE, DICT  a: list; of a DICT of PAIRs
 *   PAIR               a: key; b: value
 *   ATTR               a; name
 *   ITEM               a; b: index
 *   SLICE              a; b: a SLICE whose a, b, c are start, stop, step, or NULL
 *   CALL               a: callee; b: list of ARGs
 *   ARG                sub: ST_ARG_*; name; a: value
 *   FILTER, TEST       name; a: operand; b: list of ARGs
 *   AND, OR, CONCAT    a: list
 *   COMPARE            a; b: list of CMP_PARTs
 *   CMP_PART           sub: ST_CMP_*; a
 *   IF_EXPR            a if b else c
 *   NOT, NEG, POS      a
 *   ADD ... POW        a, b
 *
 *   PRINT              a
 *   PRINT_LIST         a: list of PRINTs
 *   FOR                a: target; b: iterable; c: filter or NULL; body; other; sub: recursive
 *   IF                 a; body; other
 *   SET                a: target; b
 *   SET_BLOCK          a: target; b: FILTER or NULL; body
 *   NS_REF             name; val: attribute
 *   MACRO              name; a: parameters, NAMEs with a: default; body; sub: ST_USES_*
 *   CALL_BLOCK         as MACRO; b: CALL
 *   FILTER_BLOCK       b: FILTER; body
 *   WITH               a: list of SETs; body
 *   GENERATION         body
 *   BLOCK              name; body; sub: scoped
 *   LOADS              name: the word
 *   BREAK, CONTINUE    none */
struct st_jnode {
    st_jop kind;
    uint32_t sub;
    uint32_t line, col;
    st_jstr name;
    st_jval val;
    st_jnode *a, *b, *c, *body, *other;
    st_jnode *next;
    st_jnode *up; /* for jinja_code.c */
};

/* ---- instructions ---- */

typedef enum st_jcode {
    ST_I_PUSH, /* node->val */
    ST_I_UNDEF,
    ST_I_NAME,
    ST_I_LIST, /* of `to` values; so TUPLE, DICT of pairs, CONCAT */
    ST_I_TUPLE,
    ST_I_DICT,
    ST_I_CONCAT,
    ST_I_ATTR,
    ST_I_ITEM,
    ST_I_SLICE,
    ST_I_ARGS, /* an empty ST_J_ARGS, which ARG fills */
    ST_I_ARG,
    ST_I_CALL,
    ST_I_FILTER,
    ST_I_TEST,
    ST_I_NOT,
    ST_I_SIGN,
    ST_I_BINARY,
    ST_I_COMPARE,
    ST_I_CHAIN, /* compares: goes on with the right operand, or leaves with false */
    ST_I_JUMP,
    ST_I_JUMP_FALSE,      /* takes the value */
    ST_I_JUMP_FALSE_KEEP, /* takes it only if it does not jump */
    ST_I_JUMP_TRUE_KEEP,
    ST_I_TEXT,
    ST_I_PRINT,
    ST_I_SET,
    ST_I_SCOPE, /* a frame of its own kind, which LEAVE ends */
    ST_I_LEAVE,
    ST_I_CAPTURE,
    ST_I_CAPTURED,
    ST_I_KEEP_BEGIN, /* a loop's `if`: a loop before the loop */
    ST_I_KEEP_NEXT,
    ST_I_KEEP,
    ST_I_AGAIN, /* a recursive loop begins here, also when it is called */
    ST_I_FOR,
    ST_I_NEXT,
    ST_I_OTHERWISE, /* jumps if the loop that ended had items */
    ST_I_AGAIN_END,
    ST_I_BREAK,
    ST_I_CONTINUE,
    ST_I_MACRO,
    ST_I_CALLER,
    ST_I_PARAM, /* jumps over its default if it is given */
    ST_I_PARAMS_DONE,
    ST_I_RETURN,
    ST_I_LOADS,
    ST_I_UNKNOWN, /* a filter or test that nobody knows was reached */
    ST_I_END
} st_jcode;

typedef struct st_jins {
    st_jcode op;
    uint32_t to; /* a place in the program, or how many values */
    const st_jnode *node;
} st_jins;

typedef struct st_jprogram {
    st_jrun *r;
    st_jins *v;
    size_t n, cap;
} st_jprogram;

/* The instructions of a template. Fails as Jinja's compiler does: unknown filters outside of `if`. */
const st_jins *st_j_compile(st_jrun *r, st_jnode *body);

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
    st_jval num;
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
    int loops;        /* around this place, inside the macro */
    st_jnode *blocks; /* so far, by `up` */
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

/* ---- running ---- */

void st_j_vm_run(st_jrun *r, const st_jins *program, st_jscope *s, st_jbuf *out);
void st_j_assign(st_jrun *r, st_jscope *s, const st_jnode *target, st_jval v);
void st_j_arg_add(st_jrun *r, st_jargs *out, const st_jnode *arg, st_jval v);
bool st_j_compare(st_jrun *r, unsigned op, st_jval a, st_jval b);
void st_j_bind_rest(st_jrun *r, st_jscope *s, const st_jnode *n, const st_jargs *args);
st_jval st_j_binary(st_jrun *r, st_jop op, st_jval a, st_jval b);
st_jval st_j_big_op(st_jrun *r, st_jop op, st_jval a, st_jval b); /* of two integers of any kind; not DIV */

#endif
