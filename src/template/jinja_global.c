/* jinja_global.c: the functions a template finds: Jinja's range, dict and namespace, HuggingFace's raise_exception and
 * strftime_now. See jinja.h. */
#include "template/jinja.h"

enum { RANGE, DICT, NAMESPACE, RAISE, CYCLER, JOINER, LIPSUM, STRFTIME, N_GLOBALS };
static const char *const names[N_GLOBALS] = {"range",  "dict",   "namespace", "raise_exception",
                                             "cycler", "joiner", "lipsum",    "strftime_now"};

#define MAX_RANGE 100000 /* Jinja's sandbox has this limit */

static st_jval global_range(st_jrun *r, st_jargs *a)
{
    st_jrange *g = st_j_alloc(r, 1, sizeof *g);
    size_t n = a->pos.n;
    if (n < 1 || n > 3 || a->kw.n) ST_J_FAIL(r, "range takes 1 to 3 arguments");
    *g = (st_jrange){.step = 1};
    g->to = st_j_need_int(r, a->pos.v[n > 1], "range");
    if (n > 1) g->from = st_j_need_int(r, a->pos.v[0], "range");
    if (n > 2) g->step = st_j_need_int(r, a->pos.v[2], "range");
    if (!g->step) ST_J_FAIL(r, "the step of a range is 0");
    if (g->step > 0 ? g->from < g->to : g->from > g->to) {
        uint64_t far = g->step > 0 ? (uint64_t)g->to - (uint64_t)g->from : (uint64_t)g->from - (uint64_t)g->to;
        uint64_t by = g->step > 0 ? (uint64_t)g->step : 0 - (uint64_t)g->step;
        uint64_t items = (far - 1) / by + 1;
        if (items > MAX_RANGE) ST_J_FAIL(r, "a range of more than %d items", MAX_RANGE);
        g->n = (int64_t)items;
    }
    return (st_jval){.kind = ST_J_RANGE, .range = g};
}

static st_jval global_cycler(st_jrun *r, st_jargs *a)
{
    st_jcycler *c = st_j_alloc(r, 1, sizeof *c);
    if (!a->pos.n || a->kw.n) ST_J_FAIL(r, "cycler needs items");
    *c = (st_jcycler){.items = a->pos};
    return (st_jval){.kind = ST_J_CYCLER, .cycler = c};
}

static st_jval global_joiner(st_jrun *r, st_jargs *a)
{
    st_jcycler *c = st_j_alloc(r, 1, sizeof *c);
    *c = (st_jcycler){0};
    st_j_push(r, &c->items, st_j_option(r, a, 0, "sep", st_j_string(st_j_lit(", "))));
    st_j_args_done(r, a, 1, "sep", "joiner");
    return (st_jval){.kind = ST_J_JOINER, .cycler = c};
}

void st_j_space_name(st_jrun *r, st_jstr name)
{
    if (name.n && name.p[0] == '_') ST_J_FAIL(r, "a namespace has no attributes that begin with '_'");
}

/* dict(x, a=1) and namespace(x, a=1): a copy of x, which is a dict or a list of pairs, and the keywords. */
static st_jval global_make_dict(st_jrun *r, st_jargs *a, st_jkind kind)
{
    st_jval d = st_j_dict(r, kind);
    if (a->pos.n > 1) ST_J_FAIL(r, "%s takes one argument and keywords", kind == ST_J_DICT ? "dict" : "namespace");
    if (a->pos.n && a->pos.v[0].kind == ST_J_DICT) {
        const st_jdict *from = a->pos.v[0].dict;
        for (size_t i = 0; i < from->n; i++) st_j_put(r, d.dict, from->v[i].key, from->v[i].val);
    } else if (a->pos.n) {
        st_jlist l = st_j_iterate(r, a->pos.v[0]);
        for (size_t i = 0; i < l.n; i++) {
            st_jlist pair = st_j_iterate(r, l.v[i]);
            if (pair.n != 2) ST_J_FAIL(r, "dict needs pairs");
            st_j_put(r, d.dict, pair.v[0], pair.v[1]);
        }
    }
    for (size_t i = 0; i < a->kw.n; i++) st_j_put(r, d.dict, a->kw.v[i].key, a->kw.v[i].val);
    for (size_t i = 0; kind == ST_J_SPACE && i < d.dict->n; i++)
        if (d.dict->v[i].key.kind == ST_J_STR) st_j_space_name(r, d.dict->v[i].key.str);
    return d;
}

static st_jval global_strftime_now(st_jrun *r, st_jargs *a)
{
    st_jval fmt = st_j_none();
    if (!st_j_arg(r, a, 0, "format", &fmt)) ST_J_FAIL(r, "strftime_now needs a format");
    st_j_args_done(r, a, 1, "format", "strftime_now");
    return st_j_string(st_j_strftime(r, st_j_need_str(r, fmt, "strftime_now"), r->now));
}

st_jval st_j_call_global(st_jrun *r, int64_t id, st_jargs *a)
{
    st_jstr what;
    switch (id) {
    case RANGE: return global_range(r, a);
    case DICT: return global_make_dict(r, a, ST_J_DICT);
    case NAMESPACE: return global_make_dict(r, a, ST_J_SPACE);
    case STRFTIME: return global_strftime_now(r, a);
    case CYCLER: return global_cycler(r, a);
    case JOINER: return global_joiner(r, a);
    case LIPSUM: ST_J_FAIL(r, "lipsum, which writes random text, is not supported");
    default:
        what = st_j_str(r, st_j_option(r, a, 0, "message", st_j_string(st_j_lit("an exception without a message"))));
        ST_J_FAIL(r, "%.*s", (int)(what.n < 160 ? what.n : 160), what.p);
    }
}

void st_j_add_globals(st_jrun *r, st_jscope *s)
{
    for (int64_t i = 0; i < N_GLOBALS; i++)
        if (i != STRFTIME || r->now != ST_TEMPLATE_NO_TIME)
            st_j_set(r, s, st_j_lit(names[i]), (st_jval){.kind = ST_J_GLOBAL, .i = i});
}
