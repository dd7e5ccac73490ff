/* jinja_expr.c: expressions, by Jinja's own descent and precedences. See jinja.h. */
#include "token/jinja.h"

/* A node of kind `kind` over `a` that stands where `a` does. */
static st_jnode *over(st_jparser *p, st_jop kind, st_jnode *a)
{
    st_jnode *n = st_j_node(p, kind);
    n->a = a;
    return n;
}

/* ---- atoms ---- */

static st_jnode *parse_dict(st_jparser *p)
{
    st_jnode *n = st_j_node(p, ST_N_DICT), **tail = &n->a;
    st_j_expect_op(p, '{');
    while (!st_j_is_op(p, '}')) {
        if (n->a) st_j_expect_op(p, ',');
        if (st_j_is_op(p, '}')) break;
        st_jnode *pair = st_j_node(p, ST_N_PAIR);
        pair->a = st_j_parse_expr(p, true);
        st_j_expect_op(p, ':');
        pair->b = st_j_parse_expr(p, true);
        st_j_append(&tail, pair);
    }
    st_j_expect_op(p, '}');
    return n;
}

/* Items up to `close`; a tuple says with its first comma that it is one. */
static st_jnode *parse_items(st_jparser *p, st_jop kind, unsigned close, bool *comma)
{
    st_jnode *n = st_j_node(p, kind), **tail = &n->a;
    st_j_next(p);
    while (!st_j_is_op(p, close)) {
        if (n->a) {
            st_j_expect_op(p, ',');
            *comma = true;
        }
        if (st_j_is_op(p, close)) break;
        st_j_append(&tail, st_j_parse_expr(p, true));
    }
    st_j_expect_op(p, close);
    return n;
}

static st_jnode *parse_strings(st_jparser *p)
{
    st_jnode *n = st_j_node(p, ST_N_CONST);
    st_jstr s = p->tok.str;
    for (st_j_next(p); p->tok.kind == ST_T_STRING; st_j_next(p)) { /* neighbours are one string */
        char *both = st_j_alloc(p->r, s.n + p->tok.str.n, 1);
        memcpy(both, s.p, s.n);
        memcpy(both + s.n, p->tok.str.p, p->tok.str.n);
        s = (st_jstr){both, NULL, s.n + p->tok.str.n, false};
    }
    n->val = st_j_string(s);
    return n;
}

static st_jnode *parse_name(st_jparser *p)
{
    st_jnode *n = st_j_node(p, ST_N_CONST);
    st_jstr s = p->tok.str;
    if (st_j_same(s, "true") || st_j_same(s, "True")) {
        n->val = st_j_bool(true);
    } else if (st_j_same(s, "false") || st_j_same(s, "False")) {
        n->val = st_j_bool(false);
    } else if (st_j_same(s, "none") || st_j_same(s, "None")) {
        n->val = st_j_none();
    } else {
        n->kind = ST_N_NAME;
        n->name = s;
        if (st_j_same(s, "varargs")) p->uses |= ST_USES_VARARGS;
        if (st_j_same(s, "kwargs")) p->uses |= ST_USES_KWARGS;
        if (st_j_same(s, "caller")) p->uses |= ST_USES_CALLER;
    }
    st_j_next(p);
    return n;
}

st_jnode *st_j_parse_primary(st_jparser *p)
{
    st_jnode *n;
    bool comma = false;
    switch (p->tok.kind) {
    case ST_T_NAME: return parse_name(p);
    case ST_T_STRING: return parse_strings(p);
    case ST_T_INT:
    case ST_T_FLOAT:
        n = st_j_node(p, ST_N_CONST);
        n->val = p->tok.kind == ST_T_INT ? st_j_int(p->tok.i) : st_j_float(p->tok.f);
        st_j_next(p);
        return n;
    default: break;
    }
    if (st_j_is_op(p, '(')) {
        n = parse_items(p, ST_N_TUPLE, ')', &comma);
        return n->a && !comma ? n->a : n;
    }
    if (st_j_is_op(p, '[')) return parse_items(p, ST_N_LIST, ']', &comma);
    if (st_j_is_op(p, '{')) return parse_dict(p);
    st_j_unexpected(p, "an expression");
}

/* ---- what follows an atom ---- */

/* An argument's end within a[...]. */
static bool ends_subscript(const st_jparser *p)
{
    return st_j_is_op(p, ':') || st_j_is_op(p, ']');
}

static st_jnode *parse_subscript(st_jparser *p, st_jnode *on)
{
    st_jnode *n = over(p, ST_N_ITEM, on);
    st_j_expect_op(p, '[');
    st_jnode *start = ends_subscript(p) ? NULL : st_j_parse_tuple(p, true);
    if (st_j_skip_op(p, ':')) {
        n->kind = ST_N_SLICE;
        st_jnode *slice = over(p, ST_N_SLICE, start);
        if (!ends_subscript(p)) slice->b = st_j_parse_expr(p, true);
        if (st_j_skip_op(p, ':') && !ends_subscript(p)) slice->c = st_j_parse_expr(p, true);
        n->b = slice;
    } else {
        if (!start) st_j_unexpected(p, "an index");
        n->b = start;
    }
    st_j_expect_op(p, ']');
    return n;
}

static st_jnode *parse_attribute(st_jparser *p, st_jnode *on)
{
    st_jnode *n = over(p, ST_N_ATTR, on);
    st_j_expect_op(p, '.');
    if (p->tok.kind == ST_T_INT) { /* a.0 */
        n->kind = ST_N_ITEM;
        n->b = st_j_parse_primary(p);
        return n;
    }
    n->name = st_j_take_name(p);
    return n;
}

/* ( ... ): a list of ARG. */
static st_jnode *parse_args(st_jparser *p)
{
    st_jnode *first = NULL, **tail = &first;
    st_j_expect_op(p, '(');
    while (!st_j_is_op(p, ')')) {
        if (first) st_j_expect_op(p, ',');
        if (st_j_is_op(p, ')')) break;
        st_jnode *arg = st_j_node(p, ST_N_ARG);
        if (st_j_skip_op(p, '*')) {
            arg->sub = ST_ARG_STAR;
        } else if (st_j_skip_op(p, ST_OP2('*', '*'))) {
            arg->sub = ST_ARG_STARSTAR;
        } else if (p->tok.kind == ST_T_NAME && st_j_peek(p)->kind == ST_T_OP && p->ahead.op == '=') {
            arg->sub = ST_ARG_KW;
            arg->name = st_j_take_name(p);
            st_j_next(p);
        }
        arg->a = st_j_parse_expr(p, true);
        st_j_append(&tail, arg);
    }
    st_j_expect_op(p, ')');
    return first;
}

static st_jnode *parse_call(st_jparser *p, st_jnode *on)
{
    st_jnode *n = over(p, ST_N_CALL, on);
    n->b = parse_args(p);
    return n;
}

/* Every link of a chain a.b.c... is a level of the tree, so a chain takes of the depth as brackets do. */
st_jnode *st_j_parse_postfix(st_jparser *p, st_jnode *on)
{
    uint32_t depth = p->r->depth;
    for (;;) {
        if (st_j_is_op(p, '.'))
            on = parse_attribute(p, on);
        else if (st_j_is_op(p, '['))
            on = parse_subscript(p, on);
        else if (st_j_is_op(p, '('))
            on = parse_call(p, on);
        else
            break;
        st_j_enter(p->r);
    }
    p->r->depth = depth;
    return on;
}

static st_jnode *parse_filter(st_jparser *p, st_jnode *on)
{
    st_jnode *n = over(p, ST_N_FILTER, on);
    n->name = st_j_take_name(p);
    if (!st_j_filter_known(n->name) && !st_j_filter_seq_known(n->name)) {
        p->r->line = n->line;
        p->r->col = n->col;
        ST_J_FAIL(p->r, "no filter named '%.*s'", (int)(n->name.n < 60 ? n->name.n : 60), n->name.p);
    }
    if (st_j_is_op(p, '(')) n->b = parse_args(p);
    return n;
}

/* `is [not] name`, then arguments in brackets, or one without. */
static st_jnode *parse_test(st_jparser *p, st_jnode *on)
{
    st_j_next(p);
    bool negated = st_j_skip_name(p, "not");
    st_jnode *n = over(p, ST_N_TEST, on);
    n->name = st_j_take_name(p);
    if (!st_j_test_known(n->name))
        ST_J_FAIL(p->r, "no test named '%.*s'", (int)(n->name.n < 60 ? n->name.n : 60), n->name.p);
    st_jtok_kind k = p->tok.kind;
    bool word = k == ST_T_NAME && !st_j_is_name(p, "else") && !st_j_is_name(p, "or") && !st_j_is_name(p, "and");
    if (st_j_is_name(p, "is")) st_j_unexpected(p, "one test only");
    if (st_j_is_op(p, '(')) {
        n->b = parse_args(p);
    } else if (word || k == ST_T_STRING || k == ST_T_INT || k == ST_T_FLOAT || st_j_is_op(p, '[') ||
               st_j_is_op(p, '{')) {
        n->b = st_j_node(p, ST_N_ARG);
        n->b->a = st_j_parse_postfix(p, st_j_parse_primary(p));
    }
    return negated ? over(p, ST_N_NOT, n) : n;
}

st_jnode *st_j_parse_filters(st_jparser *p, st_jnode *on, bool start_inline)
{
    uint32_t depth = p->r->depth;
    if (start_inline) on = parse_filter(p, on);
    for (;;) {
        if (st_j_skip_op(p, '|'))
            on = parse_filter(p, on);
        else if (st_j_is_name(p, "is") && !start_inline)
            on = parse_test(p, on);
        else if (st_j_is_op(p, '(') && !start_inline)
            on = parse_call(p, on);
        else
            break;
        st_j_enter(p->r);
    }
    p->r->depth = depth;
    return on;
}

/* ---- operators ---- */

static st_jnode *parse_unary(st_jparser *p, bool with_filters)
{
    st_jnode *n;
    st_j_enter(p->r);
    if (st_j_is_op(p, '-') || st_j_is_op(p, '+')) {
        n = st_j_node(p, st_j_is_op(p, '-') ? ST_N_NEG : ST_N_POS);
        st_j_next(p);
        n->a = parse_unary(p, false);
    } else {
        n = st_j_parse_primary(p);
    }
    n = st_j_parse_postfix(p, n);
    if (with_filters) n = st_j_parse_filters(p, n, false);
    st_j_leave(p->r);
    return n;
}

static const struct level {
    unsigned op;
    st_jop kind;
} levels[3][5] = {{{ST_OP2('*', '*'), ST_N_POW}},
                  {{'*', ST_N_MUL}, {'/', ST_N_DIV}, {ST_OP2('/', '/'), ST_N_FLOORDIV}, {'%', ST_N_MOD}},
                  {{'+', ST_N_ADD}, {'-', ST_N_SUB}}};

static st_jnode *parse_concat(st_jparser *p);

static st_jnode *parse_math(st_jparser *p, int level)
{
    uint32_t depth = p->r->depth;
    st_jnode *left = level == 0 ? parse_unary(p, true) : level == 1 ? parse_math(p, 0) : parse_concat(p);
    for (;;) {
        const struct level *l = levels[level];
        while (l->op && !st_j_is_op(p, l->op)) l++;
        if (!l->op) break;
        st_j_enter(p->r); /* a + b + c is as deep as it is long */
        st_jnode *n = over(p, l->kind, left);
        st_j_next(p);
        n->b = level == 0 ? parse_unary(p, true) : level == 1 ? parse_math(p, 0) : parse_concat(p);
        left = n;
    }
    p->r->depth = depth;
    return left;
}

static st_jnode *parse_concat(st_jparser *p)
{
    st_jnode *first = parse_math(p, 1);
    if (!st_j_is_op(p, '~')) return first;
    st_jnode *n = over(p, ST_N_CONCAT, first), **tail = &first->next;
    while (st_j_skip_op(p, '~')) st_j_append(&tail, parse_math(p, 1));
    return n;
}

static int comparison(st_jparser *p)
{
    static const unsigned ops[] = {ST_OP2('=', '='), ST_OP2('!', '='), '<', ST_OP2('<', '='), '>', ST_OP2('>', '=')};
    for (int i = 0; i < 6; i++)
        if (st_j_skip_op(p, ops[i])) return i;
    if (st_j_skip_name(p, "in")) return ST_CMP_IN;
    if (st_j_is_name(p, "not") && st_j_peek(p)->kind == ST_T_NAME && st_j_same(p->ahead.str, "in")) {
        st_j_next(p);
        st_j_next(p);
        return ST_CMP_NOT_IN;
    }
    return -1;
}

static st_jnode *parse_compare(st_jparser *p)
{
    st_jnode *n = NULL, **tail = NULL, *left = parse_math(p, 2);
    for (int op; (op = comparison(p)) >= 0;) {
        if (!n) {
            n = over(p, ST_N_COMPARE, left);
            tail = &n->b;
        }
        st_jnode *part = st_j_node(p, ST_N_CMP_PART);
        part->sub = (uint32_t)op;
        part->a = parse_math(p, 2);
        st_j_append(&tail, part);
    }
    return n ? n : left;
}

static st_jnode *parse_not(st_jparser *p)
{
    if (!st_j_is_name(p, "not")) return parse_compare(p);
    st_jnode *n = st_j_node(p, ST_N_NOT);
    st_j_enter(p->r);
    st_j_next(p);
    n->a = parse_not(p);
    st_j_leave(p->r);
    return n;
}

/* a and b and c: one node with the operands in a list, so that length is not depth. */
static st_jnode *parse_logic(st_jparser *p, bool is_or)
{
    const char *word = is_or ? "or" : "and";
    st_jnode *first = is_or ? parse_logic(p, false) : parse_not(p);
    if (!st_j_is_name(p, word)) return first;
    st_jnode *n = over(p, is_or ? ST_N_OR : ST_N_AND, first), **tail = &first->next;
    while (st_j_skip_name(p, word)) st_j_append(&tail, is_or ? parse_logic(p, false) : parse_not(p));
    return n;
}

st_jnode *st_j_parse_expr(st_jparser *p, bool with_if)
{
    st_j_enter(p->r);
    uint32_t depth = p->r->depth;
    st_jnode *n = parse_logic(p, true);
    while (with_if && st_j_is_name(p, "if")) {
        st_jnode *c = over(p, ST_N_IF_EXPR, n);
        st_j_next(p);
        c->b = parse_logic(p, true);
        if (st_j_skip_name(p, "else")) c->c = st_j_parse_expr(p, true);
        n = c;
        st_j_enter(p->r);
    }
    p->r->depth = depth;
    st_j_leave(p->r);
    return n;
}

st_jnode *st_j_parse_tuple(st_jparser *p, bool with_if)
{
    st_jnode *first = st_j_parse_expr(p, with_if);
    if (!st_j_is_op(p, ',')) return first;
    st_jnode *n = over(p, ST_N_TUPLE, first), **tail = &first->next;
    while (st_j_skip_op(p, ',')) {
        if (p->tok.kind == ST_T_VAR_END || p->tok.kind == ST_T_BLOCK_END || st_j_is_op(p, ']')) break;
        st_j_append(&tail, st_j_parse_expr(p, with_if));
    }
    return n;
}
