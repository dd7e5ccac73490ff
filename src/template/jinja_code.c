/* jinja_code.c: from the tree to instructions for jinja_vm.c. Chains (a.b.c, a + b + c, x | f | g) are long, not deep:
 * the tree leans to the left there, and the way down is walked, not recursed. See jinja_program.h. */
#include "template/jinja_program.h"

/* Inlined into one function these would give every level of the recursion the locals of all kinds of node. */
#define OWN_FRAME __attribute__((noinline))

typedef struct loop_place {
    uint32_t next;   /* where it goes on */
    uint32_t breaks; /* the last BREAK, which holds the one before it */
} loop_place;

typedef struct compiler {
    st_jprogram code;
    st_jrun *r;
    loop_place *loop;
    bool soft; /* inside if: unknown filters matter when they are reached (Jinja's soft_frame) */
} compiler;

static uint32_t code_put(compiler *c, st_jcode op, const st_jnode *n, uint32_t to)
{
    st_jprogram *p = &c->code;
    if (p->n >= UINT32_MAX / 2) ST_J_FAIL(c->r, "the template is too long");
    p->v = st_j_grow(c->r, p->v, &p->cap, p->n + 1, sizeof *p->v);
    p->v[p->n] = (st_jins){op, to, n};
    return (uint32_t)p->n++;
}

static uint32_t code_here(const compiler *c)
{
    return (uint32_t)c->code.n;
}

static void code_land(compiler *c, uint32_t jump)
{
    c->code.v[jump].to = code_here(c);
}

/* Jumps to one place are a list while it is not known: each holds the one before it. */
static void code_land_all(compiler *c, uint32_t jump)
{
    while (jump != UINT32_MAX) {
        uint32_t before = c->code.v[jump].to;
        code_land(c, jump);
        jump = before;
    }
}

/* ---- expressions ---- */

static void code_emit(compiler *c, st_jnode *n);

static bool code_leans(st_jop kind)
{
    switch (kind) {
    case ST_N_ATTR:
    case ST_N_ITEM:
    case ST_N_SLICE:
    case ST_N_CALL:
    case ST_N_FILTER:
    case ST_N_TEST:
    case ST_N_NOT:
    case ST_N_NEG:
    case ST_N_POS: return true;
    default: return kind >= ST_N_ADD && kind <= ST_N_POW;
    }
}

/* Leaves ST_J_ARGS on the stack if there are arguments; the instruction that takes them has to = 1. */
OWN_FRAME static uint32_t code_emit_args(compiler *c, st_jnode *arg)
{
    if (!arg) return 0;
    code_put(c, ST_I_ARGS, arg, 0);
    for (; arg; arg = arg->next) {
        code_emit(c, arg->a);
        code_put(c, ST_I_ARG, arg, 0);
    }
    return 1;
}

OWN_FRAME static void code_emit_slice(compiler *c, st_jnode *n)
{
    st_jnode *part[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++)
        if (part[i])
            code_emit(c, part[i]);
        else
            code_put(c, ST_I_PUSH, n->b, 0); /* its val is none */
    code_put(c, ST_I_SLICE, n, 0);
}

OWN_FRAME static void code_emit_named(compiler *c, st_jnode *n)
{
    bool filter = n->kind == ST_N_FILTER, known = filter ? st_j_filter_known(n->name) : st_j_test_known(n->name);
    if (!known && !c->soft) {
        c->r->line = n->line;
        c->r->col = n->col;
        ST_J_FAIL(c->r, "no %s named '%.*s'", filter ? "filter" : "test", (int)(n->name.n < 60 ? n->name.n : 60),
                  n->name.p);
    }
    uint32_t args = code_emit_args(c, n->b);
    code_put(c, !known ? ST_I_UNKNOWN : filter ? ST_I_FILTER : ST_I_TEST, n, args);
}

/* What is left of a node when its first operand is on the stack. */
static void code_emit_rest(compiler *c, st_jnode *n)
{
    switch (n->kind) {
    case ST_N_ATTR: code_put(c, ST_I_ATTR, n, 0); break;
    case ST_N_ITEM:
        code_emit(c, n->b);
        code_put(c, ST_I_ITEM, n, 0);
        break;
    case ST_N_SLICE: code_emit_slice(c, n); break;
    case ST_N_CALL: code_put(c, ST_I_CALL, n, code_emit_args(c, n->b)); break;
    case ST_N_FILTER:
    case ST_N_TEST: code_emit_named(c, n); break;
    case ST_N_NOT: code_put(c, ST_I_NOT, n, 0); break;
    case ST_N_NEG:
    case ST_N_POS: code_put(c, ST_I_SIGN, n, 0); break;
    default: code_emit(c, n->b); code_put(c, ST_I_BINARY, n, 0);
    }
}

OWN_FRAME static void code_emit_items(compiler *c, st_jnode *n)
{
    static const st_jcode codes[] = {ST_I_LIST, ST_I_TUPLE, ST_I_DICT};
    uint32_t count = 0;
    for (st_jnode *i = n->a; i; i = i->next, count++) {
        code_emit(c, i->a && n->kind == ST_N_DICT ? i->a : i);
        if (n->kind == ST_N_DICT) code_emit(c, i->b);
    }
    code_put(c, n->kind == ST_N_CONCAT ? ST_I_CONCAT : codes[n->kind - ST_N_LIST], n, count);
}

OWN_FRAME static void code_emit_logic(compiler *c, st_jnode *n)
{
    uint32_t jumps = UINT32_MAX;
    for (st_jnode *i = n->a; i; i = i->next) {
        code_emit(c, i);
        if (i->next) jumps = code_put(c, n->kind == ST_N_OR ? ST_I_JUMP_TRUE_KEEP : ST_I_JUMP_FALSE_KEEP, n, jumps);
    }
    code_land_all(c, jumps);
}

OWN_FRAME static void code_emit_compare(compiler *c, st_jnode *n)
{
    uint32_t jumps = UINT32_MAX;
    code_emit(c, n->a);
    for (st_jnode *part = n->b; part; part = part->next) {
        code_emit(c, part->a);
        if (part->next)
            jumps = code_put(c, ST_I_CHAIN, part, jumps);
        else
            code_put(c, ST_I_COMPARE, part, 0);
    }
    code_land_all(c, jumps);
}

OWN_FRAME static void code_emit_if_expr(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    c->soft = true;
    code_emit(c, n->b);
    uint32_t no = code_put(c, ST_I_JUMP_FALSE, n, 0);
    code_emit(c, n->a);
    uint32_t end = code_put(c, ST_I_JUMP, n, 0);
    code_land(c, no);
    if (n->c)
        code_emit(c, n->c);
    else
        code_put(c, ST_I_UNDEF, n, 0);
    code_land(c, end);
    c->soft = soft;
}

static void code_emit_leaf(compiler *c, st_jnode *n)
{
    switch (n->kind) {
    case ST_N_CONST: code_put(c, ST_I_PUSH, n, 0); break;
    case ST_N_NAME: code_put(c, ST_I_NAME, n, 0); break;
    case ST_N_AND:
    case ST_N_OR: code_emit_logic(c, n); break;
    case ST_N_IF_EXPR: code_emit_if_expr(c, n); break;
    case ST_N_COMPARE: code_emit_compare(c, n); break;
    default: code_emit_items(c, n);
    }
}

/* The value of n onto the stack. A filter without an operand takes the one that is there. */
static void code_emit(compiler *c, st_jnode *n)
{
    st_jnode *up = NULL;
    st_j_enter(c->r);
    while (n && code_leans(n->kind)) {
        n->up = up;
        up = n;
        n = n->a;
    }
    if (n) code_emit_leaf(c, n);
    for (; up; up = up->up) code_emit_rest(c, up);
    st_j_leave(c->r);
}

/* ---- statements ---- */

static void code_emit_body(compiler *c, st_jnode *n);

/* A body whose frame is not soft. */
static void code_emit_hard(compiler *c, st_jnode *body)
{
    bool soft = c->soft;
    c->soft = false;
    code_emit_body(c, body);
    c->soft = soft;
}

/* A loop's `if`: the items it keeps, before the loop begins. */
OWN_FRAME static void code_emit_keep(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    code_put(c, ST_I_KEEP_BEGIN, n, 0);
    uint32_t next = code_put(c, ST_I_KEEP_NEXT, n, 0);
    c->soft = false;
    code_emit(c, n->c);
    c->soft = soft;
    code_put(c, ST_I_KEEP, n, next);
    code_land(c, next);
}

OWN_FRAME static void code_emit_for(compiler *c, st_jnode *n)
{
    loop_place place = {0, UINT32_MAX}, *around = c->loop;
    code_emit(c, n->b);
    if (n->sub) code_put(c, ST_I_AGAIN, n, 0);
    if (n->c) code_emit_keep(c, n);
    code_put(c, ST_I_FOR, n, 0);
    uint32_t next = code_put(c, ST_I_NEXT, n, 0);
    place.next = next;
    c->loop = &place;
    code_emit_hard(c, n->body);
    c->loop = around;
    code_put(c, ST_I_JUMP, n, next);
    code_land(c, next);
    code_land_all(c, place.breaks);
    uint32_t otherwise = code_put(c, ST_I_OTHERWISE, n, 0);
    if (n->other) {
        code_put(c, ST_I_SCOPE, n, 0);
        code_emit_hard(c, n->other);
        code_put(c, ST_I_LEAVE, n, 0);
    }
    code_land(c, otherwise);
    if (n->sub) code_put(c, ST_I_AGAIN_END, n, 0);
}

OWN_FRAME static void code_emit_if(compiler *c, st_jnode *n)
{
    uint32_t ends = UINT32_MAX;
    bool soft = c->soft;
    c->soft = true;
    for (;;) {
        code_emit(c, n->a);
        uint32_t no = code_put(c, ST_I_JUMP_FALSE, n, 0);
        code_emit_body(c, n->body);
        ends = code_put(c, ST_I_JUMP, n, ends);
        code_land(c, no);
        st_jnode *other = n->other;
        if (!other || other->kind != ST_N_IF || other->next) {
            code_emit_body(c, other);
            break;
        }
        n = other; /* elif, in a loop: a long chain is not deep */
    }
    code_land_all(c, ends);
    c->soft = soft;
}

OWN_FRAME static void code_emit_capture(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    code_put(c, ST_I_CAPTURE, n, 0);
    code_emit_hard(c, n->body);
    code_put(c, ST_I_CAPTURED, n, 0);
    c->soft = false;
    if (n->b) code_emit(c, n->b);
    c->soft = soft;
}

OWN_FRAME static void code_emit_with(compiler *c, st_jnode *n)
{
    uint32_t count = 0;
    for (st_jnode *set = n->a; set; set = set->next, count++) code_emit(c, set->b);
    code_put(c, ST_I_SCOPE, n, count);
    for (st_jnode *set = n->a; set; set = set->next) code_put(c, ST_I_SET, set, count--);
    code_emit_hard(c, n->body);
    code_put(c, ST_I_LEAVE, n, 0);
}

/* Parameters and body of a macro or a call block; its beginning. */
OWN_FRAME static uint32_t code_emit_macro(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    loop_place *loop = c->loop;
    c->soft = false;
    c->loop = NULL;
    uint32_t over = code_put(c, ST_I_JUMP, n, 0), entry = code_here(c);
    for (st_jnode *p = n->a; p; p = p->next) {
        uint32_t given = code_put(c, ST_I_PARAM, p, 0);
        if (p->a) {
            code_emit(c, p->a);
            code_put(c, ST_I_SET, p, 0);
        }
        code_land(c, given);
    }
    code_put(c, ST_I_PARAMS_DONE, n, 0);
    code_emit_body(c, n->body);
    code_put(c, ST_I_RETURN, n, 0);
    code_land(c, over);
    c->soft = soft;
    c->loop = loop;
    return entry;
}

OWN_FRAME static void code_emit_call_block(compiler *c, st_jnode *n)
{
    uint32_t entry = code_emit_macro(c, n);
    code_emit(c, n->b->a);
    if (!code_emit_args(c, n->b->b)) code_put(c, ST_I_ARGS, n, 0);
    code_put(c, ST_I_CALLER, n, entry);
    code_put(c, ST_I_CALL, n, 1);
    code_put(c, ST_I_PRINT, n, 0);
}

OWN_FRAME static void code_emit_block(compiler *c, st_jnode *n)
{
    code_put(c, ST_I_SCOPE, n, 0);
    code_emit_hard(c, n->body);
    code_put(c, ST_I_LEAVE, n, 0);
}

OWN_FRAME static void code_emit_simple(compiler *c, st_jnode *n)
{
    switch (n->kind) {
    case ST_N_TEXT: code_put(c, ST_I_TEXT, n, 0); break;
    case ST_N_PRINT:
        code_emit(c, n->a);
        code_put(c, ST_I_PRINT, n, 0);
        break;
    case ST_N_PRINT_LIST: code_emit_body(c, n->a); break;
    case ST_N_SET:
        code_emit(c, n->b);
        code_put(c, ST_I_SET, n, 0);
        break;
    case ST_N_SET_BLOCK:
        code_emit_capture(c, n);
        code_put(c, ST_I_SET, n, 0);
        break;
    case ST_N_FILTER_BLOCK:
        code_emit_capture(c, n);
        code_put(c, ST_I_PRINT, n, 0);
        break;
    case ST_N_BREAK: c->loop->breaks = code_put(c, ST_I_BREAK, n, c->loop->breaks); break;
    case ST_N_CONTINUE: code_put(c, ST_I_CONTINUE, n, c->loop->next); break;
    default: code_put(c, ST_I_LOADS, n, 0);
    }
}

static void code_emit_body(compiler *c, st_jnode *n)
{
    st_j_enter(c->r);
    for (; n; n = n->next) {
        switch (n->kind) {
        case ST_N_FOR: code_emit_for(c, n); break;
        case ST_N_IF: code_emit_if(c, n); break;
        case ST_N_MACRO: {
            uint32_t entry = code_emit_macro(c, n);
            code_put(c, ST_I_MACRO, n, entry);
            break;
        }
        case ST_N_CALL_BLOCK: code_emit_call_block(c, n); break;
        case ST_N_WITH: code_emit_with(c, n); break;
        case ST_N_GENERATION:
        case ST_N_BLOCK: code_emit_block(c, n); break;
        default: code_emit_simple(c, n);
        }
    }
    st_j_leave(c->r);
}

const st_jins *st_j_compile(st_jrun *r, st_jnode *body)
{
    compiler c = {.r = r};
    c.code.r = r;
    code_emit_body(&c, body);
    code_put(&c, ST_I_END, NULL, 0);
    return c.code.v;
}
