/* jinja_expr.c: expressions, by Jinja's own descent and precedences. See jinja_program.h. */
#include "template/jinja_program.h"

/* A node of kind `kind` over `a` that stands where `a` does. */
static st_jnode *expr_over(st_jparser *p, st_jop kind, st_jnode *a)
{
    st_jnode *n = st_j_node(p, kind);
    n->a = a;
    return n;
}

/* ---- atoms ---- */

static st_jnode *expr_parse_dict(st_jparser *p)
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
static st_jnode *expr_parse_items(st_jparser *p, st_jop kind, unsigned close, bool *comma)
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

static st_jnode *expr_parse_strings(st_jparser *p)
{
    st_jnode *n = st_j_node(p, ST_N_CONST);
    st_jstr s = p->tok.str;
    for (st_j_next(p); p->tok.kind == ST_T_STRING; st_j_next(p)) { /* neighbours are one string */
        char *both = st_j_alloc(p->r, s.n + p->tok.str.n, 1);
        memcpy(both, s.p, s.n);
        memcpy(both + s.n, p->tok.str.p, p->tok.str.n);
        s = (st_jstr){.p = both, .n = s.n + p->tok.str.n};
    }
    n->val = st_j_string(s);
    return n;
}

static st_jnode *expr_parse_name(st_jparser *p)
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
    case ST_T_NAME: return expr_parse_name(p);
    case ST_T_STRING: return expr_parse_strings(p);
    case ST_T_INT:
    case ST_T_FLOAT:
        n = st_j_node(p, ST_N_CONST);
        n->val = p->tok.num;
        st_j_next(p);
        return n;
    default: break;
    }
    if (st_j_is_op(p, '(')) {
        n = expr_parse_items(p, ST_N_TUPLE, ')', &comma);
        return n->a && !comma ? n->a : n;
    }
    if (st_j_is_op(p, '[')) return expr_parse_items(p, ST_N_LIST, ']', &comma);
    if (st_j_is_op(p, '{')) return expr_parse_dict(p);
    st_j_unexpected(p, "an expression");
}

/* ---- what follows an atom ---- */

/* An argument's end within a[...]. */
static bool expr_ends_subscript(const st_jparser *p)
{
    return st_j_is_op(p, ':') || st_j_is_op(p, ']');
}

static st_jnode *expr_parse_subscript(st_jparser *p, st_jnode *on)
{
    st_jnode *n = expr_over(p, ST_N_ITEM, on);
    st_j_expect_op(p, '[');
    st_jnode *start = expr_ends_subscript(p) ? NULL : st_j_parse_tuple(p, true);
    if (st_j_skip_op(p, ':')) {
        n->kind = ST_N_SLICE;
        st_jnode *slice = expr_over(p, ST_N_SLICE, start);
        if (!expr_ends_subscript(p)) slice->b = st_j_parse_expr(p, true);
        if (st_j_skip_op(p, ':') && !expr_ends_subscript(p)) slice->c = st_j_parse_expr(p, true);
        n->b = slice;
    } else {
        if (!start) st_j_unexpected(p, "an index");
        n->b = start;
    }
    st_j_expect_op(p, ']');
    return n;
}

static st_jnode *expr_parse_attribute(st_jparser *p, st_jnode *on)
{
    st_jnode *n = expr_over(p, ST_N_ATTR, on);
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
static st_jnode *expr_parse_args(st_jparser *p)
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

static st_jnode *expr_parse_call(st_jparser *p, st_jnode *on)
{
    st_jnode *n = expr_over(p, ST_N_CALL, on);
    n->b = expr_parse_args(p);
    return n;
}

st_jnode *st_j_parse_postfix(st_jparser *p, st_jnode *on)
{
    for (;;) {
        if (st_j_is_op(p, '.'))
            on = expr_parse_attribute(p, on);
        else if (st_j_is_op(p, '['))
            on = expr_parse_subscript(p, on);
        else if (st_j_is_op(p, '('))
            on = expr_parse_call(p, on);
        else
            return on;
    }
}

/* A name with dots: `|a.b` is a filter of that name. */
static st_jstr expr_take_dotted(st_jparser *p)
{
    st_jstr name = st_j_take_name(p);
    while (st_j_skip_op(p, '.')) {
        st_jstr part = st_j_take_name(p);
        char *both = st_j_alloc(p->r, name.n + 1 + part.n, 1);
        memcpy(both, name.p, name.n);
        both[name.n] = '.';
        memcpy(both + name.n + 1, part.p, part.n);
        name = (st_jstr){.p = both, .n = name.n + 1 + part.n};
    }
    return name;
}

static st_jnode *expr_parse_filter(st_jparser *p, st_jnode *on)
{
    st_jnode *n = expr_over(p, ST_N_FILTER, on);
    n->name = expr_take_dotted(p);
    if (st_j_is_op(p, '(')) n->b = expr_parse_args(p);
    return n;
}

/* `is [not] name`, then arguments in brackets, or one without. */
static st_jnode *expr_parse_test(st_jparser *p, st_jnode *on)
{
    st_j_next(p);
    bool negated = st_j_skip_name(p, "not");
    st_jnode *n = expr_over(p, ST_N_TEST, on);
    n->name = expr_take_dotted(p);
    st_jtok_kind k = p->tok.kind;
    bool word = k == ST_T_NAME && !st_j_is_name(p, "else") && !st_j_is_name(p, "or") && !st_j_is_name(p, "and");
    if (st_j_is_name(p, "is")) st_j_unexpected(p, "one test only");
    if (st_j_is_op(p, '(')) {
        n->b = expr_parse_args(p);
    } else if (word || k == ST_T_STRING || k == ST_T_INT || k == ST_T_FLOAT || st_j_is_op(p, '[') ||
               st_j_is_op(p, '{')) {
        n->b = st_j_node(p, ST_N_ARG);
        n->b->a = st_j_parse_postfix(p, st_j_parse_primary(p));
    }
    return negated ? expr_over(p, ST_N_NOT, n) : n;
}

st_jnode *st_j_parse_filters(st_jparser *p, st_jnode *on, bool start_inline)
{
    if (start_inline) on = expr_parse_filter(p, on);
    for (;;) {
        if (st_j_skip_op(p, '|'))
            on = expr_parse_filter(p, on);
        else if (st_j_is_name(p, "is") && !start_inline)
            on = expr_parse_test(p, on);
        else if (st_j_is_op(p, '(') && !start_inline)
            on = expr_parse_call(p, on);
        else
            return on;
    }
}

/* ---- operators ---- */

static st_jnode *expr_parse_unary(st_jparser *p, bool with_filters);

static __attribute__((noinline)) st_jnode *expr_parse_sign(st_jparser *p)
{
    st_jnode *n = st_j_node(p, st_j_is_op(p, '-') ? ST_N_NEG : ST_N_POS);
    st_j_enter(p->r);
    st_j_next(p);
    n->a = expr_parse_unary(p, false);
    st_j_leave(p->r);
    return n;
}

static st_jnode *expr_parse_unary(st_jparser *p, bool with_filters)
{
    bool sign = st_j_is_op(p, '-') || st_j_is_op(p, '+');
    st_jnode *n = sign ? expr_parse_sign(p) : st_j_parse_primary(p);
    n = st_j_parse_postfix(p, n);
    return with_filters ? st_j_parse_filters(p, n, false) : n;
}

/* From the loosest to the tightest, as in Jinja's parser. */
enum { L_OR, L_AND, L_NOT, L_COMPARE, L_ADD, L_CONCAT, L_MUL, L_POW, L_NONE };

static const struct operator
{
    const char *spelling; /* an operator of one or two characters, or a word */
    uint8_t level;
    uint8_t kind; /* of the node; of the comparison */
}
operators[] = {{"or", L_OR, ST_N_OR},        {"and", L_AND, ST_N_AND},
               {"==", L_COMPARE, ST_CMP_EQ}, {"!=", L_COMPARE, ST_CMP_NE},
               {"<", L_COMPARE, ST_CMP_LT},  {"<=", L_COMPARE, ST_CMP_LE},
               {">", L_COMPARE, ST_CMP_GT},  {">=", L_COMPARE, ST_CMP_GE},
               {"in", L_COMPARE, ST_CMP_IN}, {"not", L_COMPARE, ST_CMP_NOT_IN},
               {"+", L_ADD, ST_N_ADD},       {"-", L_ADD, ST_N_SUB},
               {"~", L_CONCAT, ST_N_CONCAT}, {"*", L_MUL, ST_N_MUL},
               {"/", L_MUL, ST_N_DIV},       {"//", L_MUL, ST_N_FLOORDIV},
               {"%", L_MUL, ST_N_MOD},       {"**", L_POW, ST_N_POW}};

/* The operator at hand; NULL: none. */
static const struct operator* expr_operator_here(st_jparser *p)
{
    const st_jtok *t = &p->tok;
    if (t->kind != ST_T_OP && t->kind != ST_T_NAME) return NULL;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        const char *s = operators[i].spelling;
        bool word = s[0] >= 'a' && s[0] <= 'z';
        if (word != (t->kind == ST_T_NAME)) continue;
        if (word ? st_j_same(t->str, s) : t->op == (s[1] ? ST_OP2(s[0], s[1]) : (unsigned)s[0])) {
            if (operators[i].kind != ST_CMP_NOT_IN || !word || s[0] != 'n') return &operators[i];
            const st_jtok *ahead = st_j_peek(p);
            return ahead->kind == ST_T_NAME && st_j_same(ahead->str, "in") ? &operators[i] : NULL;
        }
    }
    return NULL;
}

static st_jnode *expr_parse_level(st_jparser *p, int min);

/* One more operand for `left`. a and b and c, a ~ b and a < b < c are a node with a list, whose last item is *last. */
static st_jnode *expr_parse_operation(st_jparser *p, const struct operator* o, st_jnode *left, st_jnode **last)
{
    bool list = o->level <= L_AND || o->level == L_CONCAT, compares = o->level == L_COMPARE;
    st_jop kind = compares ? ST_N_COMPARE : (st_jop)o->kind;
    st_jnode *n = *last && left->kind == kind ? left : expr_over(p, kind, left);
    st_jnode *part = compares ? st_j_node(p, ST_N_CMP_PART) : NULL;
    if (compares && o->kind == ST_CMP_NOT_IN) st_j_next(p);
    st_j_next(p);
    st_j_enter(p->r);
    st_jnode *right = expr_parse_level(p, o->level + 1);
    st_j_leave(p->r);
    if (compares) {
        part->sub = o->kind;
        part->a = right;
        if (n == left)
            (*last)->next = part;
        else
            n->b = part;
        *last = part;
    } else if (list) {
        (n == left ? *last : left)->next = right;
        *last = right;
    } else {
        n->b = right;
        *last = NULL;
    }
    return n;
}

static st_jnode *expr_parse_not(st_jparser *p)
{
    st_jnode *n = st_j_node(p, ST_N_NOT);
    st_j_enter(p->r);
    st_j_next(p);
    n->a = expr_parse_level(p, L_NOT);
    st_j_leave(p->r);
    return n;
}

static st_jnode *expr_parse_level(st_jparser *p, int min)
{
    st_jnode *last = NULL, *left;
    int max = L_NONE; /* what is looser than what was read may follow, what is tighter not */
    if (min <= L_NOT && st_j_is_name(p, "not")) {
        left = expr_parse_not(p);
        max = L_NOT;
    } else {
        left = expr_parse_unary(p, true);
    }
    for (;;) {
        const struct operator* o = expr_operator_here(p);
        if (!o || o->level < min || o->level > max) return left;
        if (o->level != max) last = NULL;
        max = o->level;
        left = expr_parse_operation(p, o, left, &last);
    }
}

st_jnode *st_j_parse_expr(st_jparser *p, bool with_if)
{
    st_j_enter(p->r);
    st_jnode *n = expr_parse_level(p, L_OR);
    while (with_if && st_j_is_name(p, "if")) {
        st_jnode *c = expr_over(p, ST_N_IF_EXPR, n);
        st_j_next(p);
        c->b = expr_parse_level(p, L_OR);
        if (st_j_skip_name(p, "else")) c->c = st_j_parse_expr(p, true);
        n = c;
    }
    st_j_leave(p->r);
    return n;
}

st_jnode *st_j_parse_tuple(st_jparser *p, bool with_if)
{
    st_jnode *first = st_j_parse_expr(p, with_if);
    if (!st_j_is_op(p, ',')) return first;
    st_jnode *n = expr_over(p, ST_N_TUPLE, first), **tail = &first->next;
    while (st_j_skip_op(p, ',')) {
        if (p->tok.kind == ST_T_VAR_END || p->tok.kind == ST_T_BLOCK_END || st_j_is_op(p, ']')) break;
        st_j_append(&tail, st_j_parse_expr(p, with_if));
    }
    return n;
}
