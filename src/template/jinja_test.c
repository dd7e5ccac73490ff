/* jinja_test.c: what follows `is`. See jinja.h. */
#include "template/jinja_program.h"

enum {
    DEFINED,
    UNDEFINED,
    NONE,
    STRING,
    NUMBER,
    INTEGER,
    FLOAT,
    MAPPING,
    SEQUENCE,
    ITERABLE,
    BOOLEAN,
    TRUE,
    FALSE,
    CALLABLE,
    ODD,
    EVEN,
    LOWER,
    UPPER,
    FILTER,
    TEST,
    ESCAPED,
    WITH_ARGUMENT,
    EQ = WITH_ARGUMENT,
    NE,
    LT,
    LE,
    GT,
    GE,
    IN,
    DIVISIBLE,
    SAMEAS
};

static const struct test {
    const char *name;
    int id;
} tests[] = {{"defined", DEFINED},
             {"undefined", UNDEFINED},
             {"none", NONE},
             {"string", STRING},
             {"number", NUMBER},
             {"integer", INTEGER},
             {"float", FLOAT},
             {"mapping", MAPPING},
             {"sequence", SEQUENCE},
             {"iterable", ITERABLE},
             {"boolean", BOOLEAN},
             {"true", TRUE},
             {"false", FALSE},
             {"callable", CALLABLE},
             {"odd", ODD},
             {"even", EVEN},
             {"lower", LOWER},
             {"upper", UPPER},
             {"filter", FILTER},
             {"test", TEST},
             {"escaped", ESCAPED},
             {"equalto", EQ},
             {"eq", EQ},
             {"==", EQ},
             {"ne", NE},
             {"!=", NE},
             {"lt", LT},
             {"lessthan", LT},
             {"<", LT},
             {"le", LE},
             {"<=", LE},
             {"gt", GT},
             {"greaterthan", GT},
             {">", GT},
             {"ge", GE},
             {">=", GE},
             {"in", IN},
             {"divisibleby", DIVISIBLE},
             {"sameas", SAMEAS}};

static int test_find(st_jstr name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (st_j_same(name, tests[i].name)) return tests[i].id;
    return -1;
}

bool st_j_test_known(st_jstr name)
{
    return test_find(name) >= 0;
}

static bool test_is_iterable(st_jval v)
{
    return v.kind == ST_J_UNDEF || v.kind == ST_J_STR || st_j_is_list(v) || v.kind == ST_J_RANGE ||
           v.kind == ST_J_ITER || v.kind == ST_J_DICT || v.kind == ST_J_VIEW || v.kind == ST_J_LOOP;
}

/* Has a length, and items by number or key. */
static bool test_is_sequence(st_jval v)
{
    return test_is_iterable(v) && v.kind != ST_J_ITER && v.kind != ST_J_VIEW && v.kind != ST_J_LOOP;
}

/* Python's callable(): an undefined can be called, and fails. */
static bool test_is_callable(st_jval v)
{
    return v.kind == ST_J_UNDEF || v.kind == ST_J_MACRO || v.kind == ST_J_GLOBAL || v.kind == ST_J_METHOD ||
           v.kind == ST_J_JOINER || v.kind == ST_J_LOOP;
}

static bool test_same_object(st_jrun *r, st_jval a, st_jval b)
{
    if (a.kind != b.kind) return false;
    if (a.kind == ST_J_GLOBAL) return a.i == b.i;
    return a.kind <= ST_J_STR ? st_j_equal(r, a, b) : a.dict == b.dict;
}

static bool test_compare(st_jrun *r, int id, st_jval v, st_jval other)
{
    bool ordered;
    switch (id) {
    case EQ: return st_j_equal(r, v, other);
    case NE: return !st_j_equal(r, v, other);
    case IN: return st_j_contains(r, other, v);
    case SAMEAS: return test_same_object(r, v, other);
    case DIVISIBLE: v = st_j_binary(r, ST_N_MOD, v, other); return st_j_equal(r, v, st_j_int(0));
    default: break;
    }
    int c = st_j_order(r, v, other, &ordered);
    return ordered && (id == LT ? c < 0 : id == LE ? c <= 0 : id == GT ? c > 0 : c >= 0);
}

bool st_j_test(st_jrun *r, st_jstr name, st_jval v, st_jargs *args)
{
    static const char *const keywords[] = {[IN - IN] = "seq", [DIVISIBLE - IN] = "num", [SAMEAS - IN] = "other"};
    int id = test_find(name);
    st_jval other = st_j_none();
    const st_jdict nothing = {0}; /* a key that cannot be one fails there */
    if (id < 0) ST_J_FAIL(r, "no test named '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p);
    bool named = id >= IN && !args->pos.n && args->kw.n == 1 && st_j_arg(r, args, 0, keywords[id - IN], &other);
    if (args->pos.n) other = args->pos.v[0];
    if (args->pos.n + named != (id >= WITH_ARGUMENT) || args->kw.n != named)
        ST_J_FAIL(r, "the test '%.*s' takes %s", (int)(name.n < 60 ? name.n : 60), name.p,
                  id >= WITH_ARGUMENT ? "one argument" : "no arguments");
    switch (id) {
    case DEFINED: return v.kind != ST_J_UNDEF;
    case UNDEFINED: return v.kind == ST_J_UNDEF;
    case NONE: return v.kind == ST_J_NONE;
    case STRING: return v.kind == ST_J_STR;
    case NUMBER: return st_j_is_number(v);
    case INTEGER: return v.kind == ST_J_INT || v.kind == ST_J_BIG;
    case FLOAT: return v.kind == ST_J_FLOAT;
    case MAPPING: return v.kind == ST_J_DICT;
    case SEQUENCE: return test_is_sequence(v);
    case ITERABLE: return test_is_iterable(v);
    case BOOLEAN: return v.kind == ST_J_BOOL;
    case TRUE: return v.kind == ST_J_BOOL && v.b;
    case FALSE: return v.kind == ST_J_BOOL && !v.b;
    case CALLABLE: return test_is_callable(v);
    case ODD:
    case EVEN: return st_j_equal(r, st_j_binary(r, ST_N_MOD, v, st_j_int(2)), st_j_int(id == ODD));
    case LOWER:
    case UPPER: return st_j_is_case(r, st_j_str(r, v), id == UPPER);
    case FILTER: (void)st_j_find(r, &nothing, v); return v.kind == ST_J_STR && st_j_filter_known(v.str);
    case TEST: (void)st_j_find(r, &nothing, v); return v.kind == ST_J_STR && st_j_test_known(v.str);
    case ESCAPED: return v.kind == ST_J_STR && v.str.markup;
    default: return test_compare(r, id, v, other);
    }
}
