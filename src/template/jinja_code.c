/* jinja_code.c: from the tree to instructions for jinja_vm.c. Chains (a.b.c, a + b + c, x | f | g) are long, not deep:
 * the tree leans to the left there, and the way down is walked, not recursed. See jinja.h. */
#include "template/jinja.h"

/* Inlined into one function these would give every level of a recursion the locals of all kinds of node. */
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

static uint32_t put(compiler *c, st_jcode op, const st_jnode *n, uint32_t to)
{
    st_jprogram *p = &c->code;
    if (p->n >= UINT32_MAX / 2) ST_J_FAIL(c->r, "the template is too long");
    p->v = st_j_grow(c->r, p->v, &p->cap, p->n + 1, sizeof *p->v);
    p->v[p->n] = (st_jins){op, to, n};
    return (uint32_t)p->n++;
}

static uint32_t here(const compiler *c)
{
    return (uint32_t)c->code.n;
}

static void land(compiler *c, uint32_t jump)
{
    c->code.v[jump].to = here(c);
}

/* Jumps to one place are a list while it is not known: each holds the one before it. */
static void land_all(compiler *c, uint32_t jump)
{
    while (jump != UINT32_MAX) {
        uint32_t before = c->code.v[jump].to;
        land(c, jump);
        jump = before;
    }
}

/* ---- expressions ---- */

static void emit(compiler *c, st_jnode *n);

static bool leans(st_jop kind)
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
OWN_FRAME static uint32_t emit_args(compiler *c, st_jnode *arg)
{
    if (!arg) return 0;
    put(c, ST_I_ARGS, arg, 0);
    for (; arg; arg = arg->next) {
        emit(c, arg->a);
        put(c, ST_I_ARG, arg, 0);
    }
    return 1;
}

OWN_FRAME static void emit_slice(compiler *c, st_jnode *n)
{
    st_jnode *part[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++)
        if (part[i])
            emit(c, part[i]);
        else
            put(c, ST_I_PUSH, n->b, 0); /* its val is none */
    put(c, ST_I_SLICE, n, 0);
}

OWN_FRAME static void emit_named(compiler *c, st_jnode *n)
{
    bool filter = n->kind == ST_N_FILTER, known = filter ? st_j_filter_known(n->name) : st_j_test_known(n->name);
    if (!known && !c->soft) {
        c->r->line = n->line;
        c->r->col = n->col;
        ST_J_FAIL(c->r, "no %s named '%.*s'", filter ? "filter" : "test", (int)(n->name.n < 60 ? n->name.n : 60),
                  n->name.p);
    }
    uint32_t args = emit_args(c, n->b);
    put(c, !known ? ST_I_UNKNOWN : filter ? ST_I_FILTER : ST_I_TEST, n, args);
}

/* What is left of a node when its first operand is on the stack. */
static void emit_rest(compiler *c, st_jnode *n)
{
    switch (n->kind) {
    case ST_N_ATTR: put(c, ST_I_ATTR, n, 0); break;
    case ST_N_ITEM:
        emit(c, n->b);
        put(c, ST_I_ITEM, n, 0);
        break;
    case ST_N_SLICE: emit_slice(c, n); break;
    case ST_N_CALL: put(c, ST_I_CALL, n, emit_args(c, n->b)); break;
    case ST_N_FILTER:
    case ST_N_TEST: emit_named(c, n); break;
    case ST_N_NOT: put(c, ST_I_NOT, n, 0); break;
    case ST_N_NEG:
    case ST_N_POS: put(c, ST_I_SIGN, n, 0); break;
    default: emit(c, n->b); put(c, ST_I_BINARY, n, 0);
    }
}

OWN_FRAME static void emit_items(compiler *c, st_jnode *n)
{
    static const st_jcode codes[] = {ST_I_LIST, ST_I_TUPLE, ST_I_DICT};
    uint32_t count = 0;
    for (st_jnode *i = n->a; i; i = i->next, count++) {
        emit(c, i->a && n->kind == ST_N_DICT ? i->a : i);
        if (n->kind == ST_N_DICT) emit(c, i->b);
    }
    put(c, n->kind == ST_N_CONCAT ? ST_I_CONCAT : codes[n->kind - ST_N_LIST], n, count);
}

OWN_FRAME static void emit_logic(compiler *c, st_jnode *n)
{
    uint32_t jumps = UINT32_MAX;
    for (st_jnode *i = n->a; i; i = i->next) {
        emit(c, i);
        if (i->next) jumps = put(c, n->kind == ST_N_OR ? ST_I_JUMP_TRUE_KEEP : ST_I_JUMP_FALSE_KEEP, n, jumps);
    }
    land_all(c, jumps);
}

OWN_FRAME static void emit_compare(compiler *c, st_jnode *n)
{
    uint32_t jumps = UINT32_MAX;
    emit(c, n->a);
    for (st_jnode *part = n->b; part; part = part->next) {
        emit(c, part->a);
        if (part->next)
            jumps = put(c, ST_I_CHAIN, part, jumps);
        else
            put(c, ST_I_COMPARE, part, 0);
    }
    land_all(c, jumps);
}

OWN_FRAME static void emit_if_expr(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    c->soft = true;
    emit(c, n->b);
    uint32_t no = put(c, ST_I_JUMP_FALSE, n, 0);
    emit(c, n->a);
    uint32_t end = put(c, ST_I_JUMP, n, 0);
    land(c, no);
    if (n->c)
        emit(c, n->c);
    else
        put(c, ST_I_UNDEF, n, 0);
    land(c, end);
    c->soft = soft;
}

static void emit_leaf(compiler *c, st_jnode *n)
{
    switch (n->kind) {
    case ST_N_CONST: put(c, ST_I_PUSH, n, 0); break;
    case ST_N_NAME: put(c, ST_I_NAME, n, 0); break;
    case ST_N_AND:
    case ST_N_OR: emit_logic(c, n); break;
    case ST_N_IF_EXPR: emit_if_expr(c, n); break;
    case ST_N_COMPARE: emit_compare(c, n); break;
    default: emit_items(c, n);
    }
}

/* The value of n onto the stack. A filter without an operand takes the one that is there. */
static void emit(compiler *c, st_jnode *n)
{
    st_jnode *up = NULL;
    st_j_enter(c->r);
    while (n && leans(n->kind)) {
        n->up = up;
        up = n;
        n = n->a;
    }
    if (n) emit_leaf(c, n);
    for (; up; up = up->up) emit_rest(c, up);
    st_j_leave(c->r);
}

/* ---- statements ---- */

static void emit_body(compiler *c, st_jnode *n);

/* A body whose frame is not soft. */
static void emit_hard(compiler *c, st_jnode *body)
{
    bool soft = c->soft;
    c->soft = false;
    emit_body(c, body);
    c->soft = soft;
}

/* A loop's `if`: the items it keeps, before the loop begins. */
OWN_FRAME static void emit_keep(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    put(c, ST_I_KEEP_BEGIN, n, 0);
    uint32_t next = put(c, ST_I_KEEP_NEXT, n, 0);
    c->soft = false;
    emit(c, n->c);
    c->soft = soft;
    put(c, ST_I_KEEP, n, next);
    land(c, next);
}

OWN_FRAME static void emit_for(compiler *c, st_jnode *n)
{
    loop_place place = {0, UINT32_MAX}, *around = c->loop;
    emit(c, n->b);
    if (n->sub) put(c, ST_I_AGAIN, n, 0);
    if (n->c) emit_keep(c, n);
    put(c, ST_I_FOR, n, 0);
    uint32_t next = put(c, ST_I_NEXT, n, 0);
    place.next = next;
    c->loop = &place;
    emit_hard(c, n->body);
    c->loop = around;
    put(c, ST_I_JUMP, n, next);
    land(c, next);
    land_all(c, place.breaks);
    uint32_t otherwise = put(c, ST_I_OTHERWISE, n, 0);
    if (n->other) {
        put(c, ST_I_SCOPE, n, 0);
        emit_hard(c, n->other);
        put(c, ST_I_LEAVE, n, 0);
    }
    land(c, otherwise);
    if (n->sub) put(c, ST_I_AGAIN_END, n, 0);
}

OWN_FRAME static void emit_if(compiler *c, st_jnode *n)
{
    uint32_t ends = UINT32_MAX;
    bool soft = c->soft;
    c->soft = true;
    for (;;) {
        emit(c, n->a);
        uint32_t no = put(c, ST_I_JUMP_FALSE, n, 0);
        emit_body(c, n->body);
        ends = put(c, ST_I_JUMP, n, ends);
        land(c, no);
        st_jnode *other = n->other;
        if (!other || other->kind != ST_N_IF || other->next) {
            emit_body(c, other);
            break;
        }
        n = other; /* elif, in a loop: a long chain is not deep */
    }
    land_all(c, ends);
    c->soft = soft;
}

OWN_FRAME static void emit_capture(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    put(c, ST_I_CAPTURE, n, 0);
    emit_hard(c, n->body);
    put(c, ST_I_CAPTURED, n, 0);
    c->soft = false;
    if (n->b) emit(c, n->b);
    c->soft = soft;
}

OWN_FRAME static void emit_with(compiler *c, st_jnode *n)
{
    uint32_t count = 0;
    for (st_jnode *set = n->a; set; set = set->next, count++) emit(c, set->b);
    put(c, ST_I_SCOPE, n, count);
    for (st_jnode *set = n->a; set; set = set->next) put(c, ST_I_SET, set, count--);
    emit_hard(c, n->body);
    put(c, ST_I_LEAVE, n, 0);
}

/* Parameters and body of a macro or a call block; its beginning. */
OWN_FRAME static uint32_t emit_macro(compiler *c, st_jnode *n)
{
    bool soft = c->soft;
    loop_place *loop = c->loop;
    c->soft = false;
    c->loop = NULL;
    uint32_t over = put(c, ST_I_JUMP, n, 0), entry = here(c);
    for (st_jnode *p = n->a; p; p = p->next) {
        uint32_t given = put(c, ST_I_PARAM, p, 0);
        if (p->a) {
            emit(c, p->a);
            put(c, ST_I_SET, p, 0);
        }
        land(c, given);
    }
    put(c, ST_I_PARAMS_DONE, n, 0);
    emit_body(c, n->body);
    put(c, ST_I_RETURN, n, 0);
    land(c, over);
    c->soft = soft;
    c->loop = loop;
    return entry;
}

OWN_FRAME static void emit_call_block(compiler *c, st_jnode *n)
{
    uint32_t entry = emit_macro(c, n);
    emit(c, n->b->a);
    if (!emit_args(c, n->b->b)) put(c, ST_I_ARGS, n, 0);
    put(c, ST_I_CALLER, n, entry);
    put(c, ST_I_CALL, n, 1);
    put(c, ST_I_PRINT, n, 0);
}

OWN_FRAME static void emit_block(compiler *c, st_jnode *n)
{
    put(c, ST_I_SCOPE, n, 0);
    emit_hard(c, n->body);
    put(c, ST_I_LEAVE, n, 0);
}

OWN_FRAME static void emit_simple(compiler *c, st_jnode *n)
{
    switch (n->kind) {
    case ST_N_TEXT: put(c, ST_I_TEXT, n, 0); break;
    case ST_N_PRINT:
        emit(c, n->a);
        put(c, ST_I_PRINT, n, 0);
        break;
    case ST_N_PRINT_LIST: emit_body(c, n->a); break;
    case ST_N_SET:
        emit(c, n->b);
        put(c, ST_I_SET, n, 0);
        break;
    case ST_N_SET_BLOCK:
        emit_capture(c, n);
        put(c, ST_I_SET, n, 0);
        break;
    case ST_N_FILTER_BLOCK:
        emit_capture(c, n);
        put(c, ST_I_PRINT, n, 0);
        break;
    case ST_N_BREAK: c->loop->breaks = put(c, ST_I_BREAK, n, c->loop->breaks); break;
    case ST_N_CONTINUE: put(c, ST_I_CONTINUE, n, c->loop->next); break;
    default: put(c, ST_I_LOADS, n, 0);
    }
}

static void emit_body(compiler *c, st_jnode *n)
{
    st_j_enter(c->r);
    for (; n; n = n->next) {
        switch (n->kind) {
        case ST_N_FOR: emit_for(c, n); break;
        case ST_N_IF: emit_if(c, n); break;
        case ST_N_MACRO: {
            uint32_t entry = emit_macro(c, n);
            put(c, ST_I_MACRO, n, entry);
            break;
        }
        case ST_N_CALL_BLOCK: emit_call_block(c, n); break;
        case ST_N_WITH: emit_with(c, n); break;
        case ST_N_GENERATION:
        case ST_N_BLOCK: emit_block(c, n); break;
        default: emit_simple(c, n);
        }
    }
    st_j_leave(c->r);
}

const st_jins *st_j_compile(st_jrun *r, st_jnode *body)
{
    compiler c = {.r = r};
    c.code.r = r;
    emit_body(&c, body);
    put(&c, ST_I_END, NULL, 0);
    return c.code.v;
}
