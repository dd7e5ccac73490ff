/* jinja_parse.c: the token at hand, and statements. See jinja_program.h. */
#include "template/jinja_program.h"

/* ---- the token at hand ---- */

void st_j_next(st_jparser *p)
{
    if (p->has_ahead)
        p->tok = p->ahead;
    else
        st_j_lex_next(&p->lexer, &p->tok);
    p->has_ahead = false;
    p->r->line = p->tok.line;
    p->r->col = p->tok.col;
}

const st_jtok *st_j_peek(st_jparser *p)
{
    if (!p->has_ahead) st_j_lex_next(&p->lexer, &p->ahead);
    p->has_ahead = true;
    return &p->ahead;
}

bool st_j_is_op(const st_jparser *p, unsigned op)
{
    return p->tok.kind == ST_T_OP && p->tok.op == op;
}

bool st_j_is_name(const st_jparser *p, const char *name)
{
    return p->tok.kind == ST_T_NAME && st_j_same(p->tok.str, name);
}

bool st_j_skip_op(st_jparser *p, unsigned op)
{
    bool is = st_j_is_op(p, op);
    if (is) st_j_next(p);
    return is;
}

bool st_j_skip_name(st_jparser *p, const char *name)
{
    bool is = st_j_is_name(p, name);
    if (is) st_j_next(p);
    return is;
}

_Noreturn void st_j_unexpected(st_jparser *p, const char *wanted)
{
    static const char *const names[] = {
        "the end",  "text",     "'{{'", "the end of the expression", "'{%'", "the end of the block", "", "a string",
        "a number", "a number", ""};
    const st_jtok *t = &p->tok;
    p->r->line = t->line;
    p->r->col = t->col;
    if (t->kind == ST_T_NAME)
        ST_J_FAIL(p->r, "found '%.*s' where %s should be", (int)(t->str.n < 60 ? t->str.n : 60), t->str.p, wanted);
    if (t->kind == ST_T_OP) {
        char op[3] = {(char)(t->op > 255 ? t->op >> 8 : t->op), (char)(t->op > 255 ? t->op & 255 : 0), 0};
        ST_J_FAIL(p->r, "found '%s' where %s should be", op, wanted);
    }
    ST_J_FAIL(p->r, "found %s where %s should be", names[t->kind], wanted);
}

void st_j_expect_op(st_jparser *p, unsigned op)
{
    char wanted[] = "'?'";
    wanted[1] = (char)op;
    if (!st_j_skip_op(p, op)) st_j_unexpected(p, wanted);
}

void st_j_expect_name(st_jparser *p, const char *name)
{
    if (!st_j_skip_name(p, name)) st_j_unexpected(p, name);
}

st_jstr st_j_take_name(st_jparser *p)
{
    if (p->tok.kind != ST_T_NAME) st_j_unexpected(p, "a name");
    st_jstr s = p->tok.str;
    st_j_next(p);
    return s;
}

st_jnode *st_j_node(st_jparser *p, st_jop kind)
{
    st_jnode *n = st_j_alloc(p->r, 1, sizeof *n);
    *n = (st_jnode){.kind = kind, .line = p->tok.line, .col = p->tok.col};
    return n;
}

void st_j_append(st_jnode ***tail, st_jnode *n)
{
    /* No n is NULL; the analyzer loses that in the parser's recursion. */
    **tail = n; /* NOLINT(clang-analyzer-core.NullDereference) */
    *tail = &n->next;
}

/* ---- statements ---- */

static st_jnode *parse_body(st_jparser *p, const char *const *ends);

static st_jnode *parse_target(st_jparser *p, bool with_namespace);

/* A name, an attribute of a namespace, or more of these in brackets. */
static st_jnode *parse_target_item(st_jparser *p, bool with_namespace)
{
    static const char *const constants[] = {"true", "false", "none", "True", "False", "None"};
    if (st_j_skip_op(p, '(')) {
        st_j_enter(p->r);
        st_jnode *inner = parse_target(p, with_namespace);
        st_j_leave(p->r);
        st_j_expect_op(p, ')');
        return inner;
    }
    st_jnode *n = st_j_node(p, ST_N_NAME);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (st_j_is_name(p, constants[i])) st_j_unexpected(p, "a name that can be set");
    n->name = st_j_take_name(p);
    if (with_namespace && st_j_skip_op(p, '.')) {
        n->kind = ST_N_NS_REF;
        n->val = st_j_string(st_j_take_name(p));
    }
    if (p->loops && st_j_same(n->name, "loop")) ST_J_FAIL(p->r, "the special variable 'loop' cannot be set in a loop");
    return n;
}

static st_jnode *parse_target(st_jparser *p, bool with_namespace)
{
    st_jnode *first = NULL, **tail = &first;
    bool comma = false;
    do {
        if (first && p->tok.kind != ST_T_NAME && !st_j_is_op(p, '(')) break; /* a, */
        st_j_append(&tail, parse_target_item(p, with_namespace));
        comma = st_j_is_op(p, ',') || comma;
    } while (st_j_skip_op(p, ','));
    if (!comma) return first;
    st_jnode *n = st_j_node(p, ST_N_TUPLE);
    n->a = first;
    return n;
}

static void jinja_parse_end_block(st_jparser *p)
{
    if (p->tok.kind != ST_T_BLOCK_END) st_j_unexpected(p, "'%}'");
    st_j_next(p);
}

/* The body up to {% end %}, that block included. */
static st_jnode *jinja_parse_body_until(st_jparser *p, const char *end)
{
    const char *ends[] = {end, NULL};
    st_jnode *n = parse_body(p, ends);
    st_j_next(p);
    jinja_parse_end_block(p);
    return n;
}

/* As jinja_parse_body_until, where the output is kept: a break could not leave it. */
static st_jnode *jinja_parse_captured(st_jparser *p, const char *end)
{
    int loops = p->loops;
    p->loops = 0;
    st_jnode *n = jinja_parse_body_until(p, end);
    p->loops = loops;
    return n;
}

static void parse_for(st_jparser *p, st_jnode *n)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    n->kind = ST_N_FOR;
    p->loops++;
    n->a = parse_target(p, false);
    p->loops--;
    st_j_expect_name(p, "in");
    n->b = st_j_parse_tuple(p, false);
    if (st_j_skip_name(p, "if")) n->c = st_j_parse_expr(p, true);
    n->sub = st_j_skip_name(p, "recursive");
    p->loops++;
    n->body = parse_body(p, ends);
    p->loops--;
    bool other = st_j_is_name(p, "else");
    st_j_next(p);
    if (other)
        n->other = jinja_parse_body_until(p, "endfor");
    else
        jinja_parse_end_block(p);
}

/* elif is an if in the else part; a chain of them is not deeper for that. */
static void parse_if(st_jparser *p, st_jnode *n)
{
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    for (;;) {
        n->kind = ST_N_IF;
        n->a = st_j_parse_tuple(p, false);
        n->body = parse_body(p, ends);
        bool elif = st_j_is_name(p, "elif"), other = st_j_is_name(p, "else");
        st_j_next(p);
        if (elif) {
            n->other = st_j_node(p, ST_N_IF);
            n = n->other;
            continue;
        }
        if (other)
            n->other = jinja_parse_body_until(p, "endif");
        else
            jinja_parse_end_block(p);
        return;
    }
}

static void parse_set(st_jparser *p, st_jnode *n)
{
    n->kind = ST_N_SET;
    n->a = parse_target(p, true);
    if (st_j_skip_op(p, '=')) {
        n->b = st_j_parse_tuple(p, true);
        jinja_parse_end_block(p);
        return;
    }
    n->kind = ST_N_SET_BLOCK;
    if (st_j_skip_op(p, '|')) n->b = st_j_parse_filters(p, NULL, true);
    n->body = jinja_parse_captured(p, "endset");
}

/* (a, b=1): NAMEs with their defaults. */
static void parse_signature(st_jparser *p, st_jnode *n)
{
    st_jnode **tail = &n->a;
    st_j_expect_op(p, '(');
    while (!st_j_is_op(p, ')')) {
        if (n->a) st_j_expect_op(p, ',');
        if (st_j_is_op(p, ')')) break;
        st_jnode *arg = st_j_node(p, ST_N_NAME);
        arg->name = st_j_take_name(p);
        if (st_j_skip_op(p, '=')) arg->a = st_j_parse_expr(p, true);
        st_j_append(&tail, arg);
    }
    st_j_expect_op(p, ')');
}

/* The body of a macro or a call block: its loops are its own, and what it uses of varargs, kwargs and caller. */
static void parse_callable(st_jparser *p, st_jnode *n, const char *end)
{
    uint32_t uses = p->uses;
    p->uses = 0;
    n->body = jinja_parse_captured(p, end);
    n->sub = p->uses;
    p->uses = uses;
}

static void parse_call_block(st_jparser *p, st_jnode *n)
{
    n->kind = ST_N_CALL_BLOCK;
    n->name = st_j_lit("caller");
    if (st_j_is_op(p, '(')) parse_signature(p, n);
    n->b = st_j_parse_postfix(p, st_j_parse_primary(p));
    if (n->b->kind != ST_N_CALL) st_j_unexpected(p, "a call");
    parse_callable(p, n, "endcall");
}

static void parse_with(st_jparser *p, st_jnode *n)
{
    st_jnode **tail = &n->a;
    n->kind = ST_N_WITH;
    while (p->tok.kind != ST_T_BLOCK_END) {
        if (n->a) st_j_expect_op(p, ',');
        st_jnode *set = st_j_node(p, ST_N_SET);
        set->a = parse_target(p, false);
        st_j_expect_op(p, '=');
        set->b = st_j_parse_expr(p, true);
        st_j_append(&tail, set);
    }
    n->body = jinja_parse_body_until(p, "endwith");
}

/* {% block name [scoped] %}: where nothing extends it, its body in its place. */
static void parse_block(st_jparser *p, st_jnode *n)
{
    n->kind = ST_N_BLOCK;
    n->name = st_j_take_name(p);
    for (const st_jnode *k = p->blocks; k; k = k->up)
        if (st_j_str_equal(k->name, n->name)) ST_J_FAIL(p->r, "two blocks of one name");
    n->up = p->blocks;
    p->blocks = n;
    n->sub = st_j_skip_name(p, "scoped");
    if (st_j_is_name(p, "required")) ST_J_FAIL(p->r, "a required block: there are no other templates to fill it");
    const char *ends[] = {"endblock", NULL};
    int loops = p->loops;
    p->loops = 0;
    n->body = parse_body(p, ends);
    p->loops = loops;
    st_j_next(p);
    if (p->tok.kind == ST_T_NAME && st_j_str_equal(p->tok.str, n->name)) st_j_next(p);
    jinja_parse_end_block(p);
}

/* {% print a, b %} */
static void parse_print(st_jparser *p, st_jnode *n)
{
    st_jnode **tail = &n->a;
    n->kind = ST_N_PRINT_LIST;
    while (p->tok.kind != ST_T_BLOCK_END) {
        if (n->a) st_j_expect_op(p, ',');
        st_jnode *one = st_j_node(p, ST_N_PRINT);
        one->a = st_j_parse_expr(p, true);
        st_j_append(&tail, one);
    }
    jinja_parse_end_block(p);
}

/* There is nothing to load: as in HuggingFace's environment, that is an error when it is reached. */
static bool parse_loads(st_jparser *p, st_jnode *n, st_jstr word)
{
    static const char *const words[] = {"include", "import", "from", "extends"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!st_j_same(word, words[i])) continue;
        n->kind = ST_N_LOADS;
        n->name = word;
        st_j_parse_expr(p, true);
        while (p->tok.kind == ST_T_NAME || st_j_is_op(p, ',')) st_j_next(p);
        jinja_parse_end_block(p);
        return true;
    }
    return false;
}

/* HuggingFace renders without escaping; a block that turns it on would need another meaning for every filter. */
static void parse_autoescape(st_jparser *p, st_jnode *n)
{
    n->kind = ST_N_GENERATION; /* a scope */
    if (!st_j_is_name(p, "false") && !st_j_is_name(p, "False"))
        ST_J_FAIL(p->r, "autoescape blocks are supported with false only");
    st_j_next(p);
    n->body = jinja_parse_body_until(p, "endautoescape");
}

/* A block, behind its '{%'. */
static st_jnode *parse_statement(st_jparser *p)
{
    st_jnode *n = st_j_node(p, ST_N_IF);
    st_jstr word = st_j_take_name(p);
    if (st_j_same(word, "for")) {
        parse_for(p, n);
    } else if (st_j_same(word, "if")) {
        parse_if(p, n);
    } else if (st_j_same(word, "set")) {
        parse_set(p, n);
    } else if (st_j_same(word, "macro")) {
        n->kind = ST_N_MACRO;
        n->name = st_j_take_name(p);
        parse_signature(p, n);
        parse_callable(p, n, "endmacro");
    } else if (st_j_same(word, "call")) {
        parse_call_block(p, n);
    } else if (st_j_same(word, "filter")) {
        n->kind = ST_N_FILTER_BLOCK;
        n->b = st_j_parse_filters(p, NULL, true);
        n->body = jinja_parse_captured(p, "endfilter");
    } else if (st_j_same(word, "with")) {
        parse_with(p, n);
    } else if (st_j_same(word, "generation")) {
        n->kind = ST_N_GENERATION;
        parse_callable(p, n, "endgeneration");
    } else if (st_j_same(word, "break") || st_j_same(word, "continue")) {
        n->kind = st_j_same(word, "break") ? ST_N_BREAK : ST_N_CONTINUE;
        if (!p->loops) ST_J_FAIL(p->r, "%s outside a loop", n->kind == ST_N_BREAK ? "break" : "continue");
        jinja_parse_end_block(p);
    } else if (st_j_same(word, "block")) {
        parse_block(p, n);
    } else if (st_j_same(word, "print")) {
        parse_print(p, n);
    } else if (st_j_same(word, "autoescape")) {
        parse_autoescape(p, n);
    } else if (!parse_loads(p, n, word)) {
        p->r->line = n->line;
        p->r->col = n->col;
        ST_J_FAIL(p->r, "no statement named '%.*s' here", (int)(word.n < 60 ? word.n : 60), word.p);
    }
    return n;
}

static bool jinja_parse_at_end(const st_jparser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (st_j_is_name(p, *ends)) return true;
    return false;
}

/* Statements up to a block that begins with one of `ends`, which is then the current token; NULL: to the end. With
 * `ends` the block before is still open: its '%}' comes first. */
static st_jnode *parse_body(st_jparser *p, const char *const *ends)
{
    st_jnode *first = NULL, **tail = &first, *n;
    if (ends) jinja_parse_end_block(p);
    st_j_enter(p->r);
    for (;;) {
        switch (p->tok.kind) {
        case ST_T_TEXT:
            n = st_j_node(p, ST_N_TEXT);
            n->val = st_j_string(p->tok.str);
            st_j_next(p);
            break;
        case ST_T_VAR_BEGIN:
            n = st_j_node(p, ST_N_PRINT);
            st_j_next(p);
            n->a = st_j_parse_tuple(p, true);
            if (p->tok.kind != ST_T_VAR_END) st_j_unexpected(p, "'}}'");
            st_j_next(p);
            break;
        case ST_T_BLOCK_BEGIN:
            st_j_next(p);
            if (jinja_parse_at_end(p, ends)) {
                st_j_leave(p->r);
                return first;
            }
            n = parse_statement(p);
            break;
        default:
            if (!ends && p->tok.kind == ST_T_EOF) {
                st_j_leave(p->r);
                return first;
            }
            st_j_unexpected(p, ends ? ends[0] : "text");
        }
        st_j_append(&tail, n);
    }
}

st_jnode *st_j_parse(st_jparser *p, const char *src, size_t n)
{
    st_j_lex_init(&p->lexer, p->r, src, n);
    st_j_next(p);
    return parse_body(p, NULL);
}
