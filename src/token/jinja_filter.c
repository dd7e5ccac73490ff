/* jinja_filter.c: filters on single values. jinja_seq.c has those on sequences. See jinja.h. */
#include <math.h>

#include "token/jinja.h"

typedef st_jval (*filter_fn)(st_jrun *r, st_jval v, st_jargs *a);

static st_jstr text(st_jrun *r, st_jval v)
{
    return st_j_str(r, v);
}

static st_jval f_trim(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval chars = st_j_none();
    st_j_arg(r, a, 0, "chars", &chars);
    if (chars.kind != ST_J_NONE) st_j_need_str(r, chars, "trim");
    st_j_args_done(r, a, 1, "chars", "trim");
    return st_j_string(st_j_strip(r, text(r, v), chars, true, true));
}

static st_jval f_upper(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "upper");
    return st_j_string(st_j_case(r, text(r, v), ST_CASE_UPPER));
}

static st_jval f_lower(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "lower");
    return st_j_string(st_j_case(r, text(r, v), ST_CASE_LOWER));
}

static st_jval f_title(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "title");
    return st_j_string(st_j_case(r, text(r, v), ST_CASE_JINJA_TITLE));
}

static st_jval f_capitalize(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "capitalize");
    return st_j_string(st_j_case(r, text(r, v), ST_CASE_CAPITALIZE));
}

static st_jval f_string(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "string");
    return st_j_string(text(r, v));
}

static st_jval f_length(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "length");
    return st_j_int(st_j_length(r, v));
}

static st_jval f_wordcount(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "wordcount");
    return st_j_int((int64_t)st_j_split(r, text(r, v), st_j_none(), -1, false).list->n);
}

static st_jval f_default(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval other = st_j_string(st_j_lit("")), also_false = st_j_bool(false);
    st_j_arg(r, a, 0, "default_value", &other);
    st_j_arg(r, a, 1, "boolean", &also_false);
    st_j_args_done(r, a, 2, "default_value boolean", "default");
    return v.kind == ST_J_UNDEF || (st_j_true(r, also_false) && !st_j_true(r, v)) ? other : v;
}

static st_jval f_replace(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval from, to, count = st_j_none();
    if (!st_j_arg(r, a, 0, "old", &from) || !st_j_arg(r, a, 1, "new", &to)) ST_J_FAIL(r, "replace needs two arguments");
    st_j_arg(r, a, 2, "count", &count);
    st_j_args_done(r, a, 3, "old new count", "replace");
    int64_t n = count.kind == ST_J_NONE ? -1 : st_j_need_int(r, count, "replace");
    return st_j_string(st_j_replace(r, text(r, v), text(r, from), text(r, to), n));
}

/* Numbers come with a sign, blanks around them and underscores, as Python reads them. */
static st_jstr number_text(st_jrun *r, st_jstr s)
{
    return st_j_replace(r, st_j_strip(r, s, st_j_none(), true, true), st_j_lit("_"), st_j_lit(""), -1);
}

static st_jval f_int(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval other = st_j_int(0), base = st_j_int(10);
    double f;
    int64_t i;
    st_j_arg(r, a, 0, "default", &other);
    st_j_arg(r, a, 1, "base", &base);
    st_j_args_done(r, a, 2, "default base", "int");
    if (v.kind == ST_J_STR) {
        st_jstr s = number_text(r, v.str);
        int64_t b = st_j_need_int(r, base, "int");
        if (b < 2 || b > 36) ST_J_FAIL(r, "int with base %lld: only 2 to 36", (long long)b);
        if (st_j_parse_int(s.p, s.n, (int)b, &i)) return st_j_int(i);
        if (!st_j_parse_float(s.p, s.n, &f)) return other;
    } else if (v.kind == ST_J_INT) {
        return v;
    } else if (!st_j_number(v, &f)) {
        return other;
    }
    if (!(f > -9.2e18 && f < 9.2e18)) return other;
    return st_j_int((int64_t)f);
}

static st_jval f_float(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval other = st_j_float(0);
    double f;
    st_j_arg(r, a, 0, "default", &other);
    st_j_args_done(r, a, 1, "default", "float");
    if (v.kind == ST_J_STR) {
        st_jstr s = number_text(r, v.str);
        return st_j_parse_float(s.p, s.n, &f) ? st_j_float(f) : other;
    }
    return st_j_number(v, &f) ? st_j_float(f) : other;
}

static st_jval f_abs(st_jrun *r, st_jval v, st_jargs *a)
{
    double f;
    st_j_args_done(r, a, 0, "", "abs");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (!st_j_number(v, &f)) ST_J_FAIL(r, "abs needs a number, not %s", st_j_kind_name(v));
    return st_j_negate(r, v, f < 0 || (f == 0 && signbit(f)));
}

static st_jval f_round(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval digits = st_j_int(0), how = st_j_string(st_j_lit("common"));
    st_j_arg(r, a, 0, "precision", &digits);
    st_j_arg(r, a, 1, "method", &how);
    st_j_args_done(r, a, 2, "precision method", "round");
    return st_j_round(r, v, st_j_need_int(r, digits, "round"), st_j_need_str(r, how, "round"));
}

static st_jval f_safe(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "safe");
    return st_j_string(text(r, v));
}

static st_jval f_escape(st_jrun *r, st_jval v, st_jargs *a)
{
    static const char *const pairs[][2] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
    st_jstr s = text(r, v);
    st_j_args_done(r, a, 0, "", "escape");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        st_jstr to = st_j_lit(pairs[i][1]);
        to.user = true;
        s = st_j_replace(r, s, st_j_lit(pairs[i][0]), to, -1);
    }
    return st_j_string(s);
}

static st_jval f_tojson(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jbuf b;
    st_j_buf_init(&b, r);
    st_j_json_dump(r, &b, v, a);
    return st_j_string(st_j_buf_str(&b));
}

static st_jval f_indent(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval width = st_j_int(4), first = st_j_bool(false), blank = st_j_bool(false);
    st_j_arg(r, a, 0, "width", &width);
    st_j_arg(r, a, 1, "first", &first);
    st_j_arg(r, a, 2, "blank", &blank);
    st_j_args_done(r, a, 3, "width first blank", "indent");
    st_jstr by = width.kind == ST_J_STR ? width.str : st_j_repeat(r, st_j_lit(" "), st_j_need_int(r, width, "indent"));
    st_jbuf in, b;
    st_j_buf_init(&in, r);
    st_j_buf_add(&in, text(r, v));
    st_j_buf_bytes(&in, "\n", 1, false); /* Jinja does so: a last newline is a line of its own */
    st_jlist *lines = st_j_split_lines(r, st_j_buf_str(&in), false).list;
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < lines->n; i++) {
        if (i) st_j_buf_bytes(&b, "\n", 1, false);
        if (i ? lines->v[i].str.n || st_j_true(r, blank) : st_j_true(r, first)) st_j_buf_add(&b, by);
        st_j_buf_add(&b, lines->v[i].str);
    }
    return st_j_string(st_j_buf_str(&b));
}

static st_jval f_format(st_jrun *r, st_jval v, st_jargs *a)
{
    if (a->kw.n) ST_J_FAIL(r, "format takes no keywords here");
    return st_j_string(st_j_format(r, text(r, v), &a->pos));
}

static st_jval f_attr(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval name;
    if (!st_j_arg(r, a, 0, "name", &name)) ST_J_FAIL(r, "attr needs a name");
    st_j_args_done(r, a, 1, "name", "attr");
    if (v.kind == ST_J_DICT) return st_j_undef(st_j_need_str(r, name, "attr")); /* attributes only, no items */
    return st_j_attr(r, v, st_j_need_str(r, name, "attr"));
}

static const struct filter {
    const char *name;
    filter_fn run;
} filters[] = {{"trim", f_trim},
               {"upper", f_upper},
               {"lower", f_lower},
               {"title", f_title},
               {"capitalize", f_capitalize},
               {"string", f_string},
               {"length", f_length},
               {"count", f_length},
               {"wordcount", f_wordcount},
               {"default", f_default},
               {"d", f_default},
               {"replace", f_replace},
               {"int", f_int},
               {"float", f_float},
               {"abs", f_abs},
               {"round", f_round},
               {"safe", f_safe},
               {"escape", f_escape},
               {"e", f_escape},
               {"tojson", f_tojson},
               {"indent", f_indent},
               {"format", f_format},
               {"attr", f_attr}};

static const struct filter *find(st_jstr name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (st_j_same(name, filters[i].name)) return &filters[i];
    return NULL;
}

bool st_j_filter_known(st_jstr name)
{
    return find(name) != NULL;
}

bool st_j_filter(st_jrun *r, st_jstr name, st_jval v, st_jargs *args, st_jval *out)
{
    const struct filter *f = find(name);
    if (f) *out = f->run(r, v, args);
    return f != NULL;
}
