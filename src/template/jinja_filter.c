/* jinja_filter.c: filters on single values. jinja_seq.c has those on sequences. See jinja.h. */
#include <math.h>

#include "base/utf8.h"
#include "template/jinja.h"

static st_jstr filter_text(st_jrun *r, st_jval v)
{
    return st_j_str(r, v);
}

/* Python's str(): no longer Markup. */
static st_jval filter_plain(st_jstr s)
{
    s.markup = false;
    return st_j_string(s);
}

static st_jval filter_trim(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval chars = st_j_none();
    st_j_arg(r, a, 0, "chars", &chars);
    if (chars.kind != ST_J_NONE) st_j_need_str(r, chars, "trim");
    st_j_args_done(r, a, 1, "chars", "trim");
    return st_j_string(st_j_strip(r, filter_text(r, v), chars, true, true));
}

static st_jval filter_upper(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "upper");
    return st_j_string(st_j_case(r, filter_text(r, v), ST_CASE_UPPER));
}

static st_jval filter_lower(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "lower");
    return st_j_string(st_j_case(r, filter_text(r, v), ST_CASE_LOWER));
}

static st_jval filter_title(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "title");
    return st_j_string(st_j_case(r, filter_text(r, v), ST_CASE_JINJA_TITLE));
}

static st_jval filter_capitalize(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "capitalize");
    return st_j_string(st_j_case(r, filter_text(r, v), ST_CASE_CAPITALIZE));
}

static st_jval filter_string(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "string");
    return st_j_string(filter_text(r, v));
}

static st_jval filter_length(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "length");
    return st_j_int(st_j_length(r, v));
}

static st_jval filter_default(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval other = st_j_string(st_j_lit("")), also_false = st_j_bool(false);
    st_j_arg(r, a, 0, "default_value", &other);
    st_j_arg(r, a, 1, "boolean", &also_false);
    st_j_args_done(r, a, 2, "default_value boolean", "default");
    return v.kind == ST_J_UNDEF || (st_j_true(r, also_false) && !st_j_true(r, v)) ? other : v;
}

static st_jval filter_replace(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval from, to, count = st_j_none();
    if (!st_j_arg(r, a, 0, "old", &from) || !st_j_arg(r, a, 1, "new", &to)) ST_J_FAIL(r, "replace needs two arguments");
    st_j_arg(r, a, 2, "count", &count);
    st_j_args_done(r, a, 3, "old new count", "replace");
    int64_t n = count.kind == ST_J_NONE ? -1 : st_j_clamp_int(r, count, "replace");
    return filter_plain(st_j_replace(r, filter_text(r, v), filter_text(r, from), filter_text(r, to), n));
}

/* What Python's int() and float() read: no blanks around, digits of any script as ASCII's. Underscores stay. */
static st_jstr filter_number_text(st_jrun *r, st_jstr s)
{
    st_jbuf b;
    bool ascii = true;
    s = st_j_strip(r, s, st_j_none(), true, true);
    for (size_t i = 0; i < s.n; i++) ascii = ascii && (uint8_t)s.p[i] < 0x80;
    if (ascii) return s;
    st_j_buf_init(&b, r);
    for (size_t at = 0; at < s.n;) {
        unsigned n;
        uint32_t cp = st_utf8_get((const uint8_t *)s.p + at, &n), run = 0;
        char digit;
        while (run <= 50 && (st_j_char_props(cp - run) & ST_C_DECIMAL)) run++;
        digit = (char)('0' + (run + 9) % 10); /* Unicode's decimal digits stand in runs of ten, from 0 on */
        if (run)
            st_j_buf_bytes(&b, &digit, 1, true);
        else
            st_j_buf_add(&b, st_j_sub(s, at, at + n));
        at += n;
    }
    return st_j_buf_str(&b);
}

/* Without underscores, which may stand between digits only; false: one stands elsewhere. */
static bool filter_without_underscores(st_jrun *r, st_jstr *s, bool after_prefix)
{
    if (!s->n || !memchr(s->p, '_', s->n)) return true;
    char *out = st_j_alloc(r, s->n, 1);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] != '_') {
            out[n++] = s->p[i];
            continue;
        }
        bool before = i ? (s->p[i - 1] >= '0' && s->p[i - 1] <= '9') ||
                              ((s->p[i - 1] | 0x20) >= 'a' && (s->p[i - 1] | 0x20) <= 'z')
                        : after_prefix;
        bool after =
            i + 1 < s->n && s->p[i + 1] != '_' && s->p[i + 1] != '.' && s->p[i + 1] != '-' && s->p[i + 1] != '+';
        if (!before || !after) return false;
    }
    *s = (st_jstr){.p = out, .n = n};
    return true;
}

static st_jval filter_int_of_text(st_jrun *r, st_jstr s, int64_t base, bool *ok)
{
    st_jbuf b;
    bool neg = s.n && s.p[0] == '-', zero = true, prefixed = false;
    *ok = false;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = st_j_sub(s, 1, s.n);
    int named = 0;
    if (s.n > 1 && s.p[0] == '0') {
        char c = (char)(s.p[1] | 0x20);
        named = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    }
    if (named && (base == 0 || base == named)) {
        s = st_j_sub(s, 2, s.n);
        base = named;
        prefixed = true;
    }
    for (size_t i = 0; i < s.n; i++) zero = zero && (s.p[i] == '0' || s.p[i] == '_');
    if (base == 0 && s.n > 1 && s.p[0] == '0' && !zero) return st_j_none();
    if (base == 0) base = 10;
    if (base < 2 || base > 36 || !s.n || s.p[0] == '-' || s.p[0] == '+') return st_j_none();
    if (!filter_without_underscores(r, &s, prefixed)) return st_j_none();
    if (s.n > ST_J_MAX_DIGITS && base != 2 && base != 8 && base != 16 && base != 4 && base != 32) return st_j_none();
    st_j_buf_init(&b, r);
    if (neg) st_j_buf_bytes(&b, "-", 1, false);
    st_j_buf_add(&b, s);
    s = st_j_buf_str(&b);
    return st_j_int_parse(r, s.p, s.n, (int)base, ok);
}

static bool filter_same_word(st_jstr s, const char *word)
{
    if (s.n != strlen(word)) return false;
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] | 0x20) != word[i]) return false;
    return true;
}

static bool filter_float_of_text(st_jrun *r, st_jstr s, double *f)
{
    bool sign = s.n && (s.p[0] == '-' || s.p[0] == '+'), neg = sign && s.p[0] == '-';
    st_jstr word = st_j_sub(s, sign, s.n);
    if (filter_same_word(word, "nan")) return *f = (double)NAN, true;
    if (filter_same_word(word, "inf") || filter_same_word(word, "infinity"))
        return *f = neg ? -(double)INFINITY : (double)INFINITY, true;
    for (size_t i = 0; i + 1 < s.n; i++) /* an underscore has a digit on either side */
        if (s.p[i + 1] == '_' && (s.p[i] < '0' || s.p[i] > '9')) return false;
    if (!filter_without_underscores(r, &s, false)) return false;
    return st_j_parse_float(s.p, s.n, f);
}

static st_jval filter_int(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval other = st_j_option(r, a, 0, "default", st_j_int(0)), out;
    int64_t base = st_j_clamp_int(r, st_j_option(r, a, 1, "base", st_j_int(10)), "int");
    bool ok;
    double f;
    st_j_args_done(r, a, 2, "default base", "int");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_BOOL) return st_j_int(v.b);
    if (st_j_is_int(v)) return v;
    if (v.kind == ST_J_STR) {
        st_jstr s = filter_number_text(r, v.str);
        out = filter_int_of_text(r, s, base, &ok);
        if (ok) return out;
        if (!filter_float_of_text(r, s, &f) || !isfinite(f)) return other;
    } else if (v.kind == ST_J_FLOAT) {
        if (isinf(v.f)) ST_J_FAIL(r, "int of an infinite float");
        f = v.f;
    } else {
        return other;
    }
    return isnan(f) ? other : st_j_int_of_float(r, trunc(f));
}

static st_jval filter_float(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval other = st_j_option(r, a, 0, "default", st_j_float(0));
    double f;
    st_j_args_done(r, a, 1, "default", "float");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_STR) return filter_float_of_text(r, filter_number_text(r, v.str), &f) ? st_j_float(f) : other;
    return st_j_number(r, v, &f) ? st_j_float(f) : other;
}

static st_jval filter_abs(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "abs");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (!st_j_is_number(v)) ST_J_FAIL(r, "abs needs a number, not %s", st_j_kind_name(v));
    if (v.kind == ST_J_FLOAT) return st_j_float(fabs(v.f));
    return st_j_negate(r, v, v.kind == ST_J_BIG ? v.big->neg : v.kind == ST_J_INT && v.i < 0);
}

static st_jval filter_round(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval digits = st_j_option(r, a, 0, "precision", st_j_int(0));
    st_jval how = st_j_option(r, a, 1, "method", st_j_string(st_j_lit("common")));
    st_j_args_done(r, a, 2, "precision method", "round");
    return st_j_round(r, v, st_j_clamp_int(r, digits, "round"), st_j_need_str(r, how, "round"));
}

static st_jval filter_safe(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "safe");
    st_jstr s = filter_text(r, v);
    s.markup = true;
    return st_j_string(s);
}

st_jstr st_j_escape(st_jrun *r, st_jval v)
{
    static const char *const pairs[][2] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
    st_jstr s = filter_text(r, v);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        st_jstr to = st_j_lit(pairs[i][1]);
        to.user = true;
        s = st_j_replace(r, s, st_j_lit(pairs[i][0]), to, -1);
    }
    s.markup = true;
    return s;
}

static st_jval filter_escape(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "escape");
    if (v.kind == ST_J_STR && v.str.markup) return v;
    return st_j_string(st_j_escape(r, v));
}

static st_jval filter_forceescape(st_jrun *r, st_jval v, st_jargs *a)
{
    st_j_args_done(r, a, 0, "", "forceescape");
    return st_j_string(st_j_escape(r, v));
}

static st_jval filter_tojson(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jbuf b;
    st_j_buf_init(&b, r);
    st_j_json_dump(r, &b, v, a);
    return st_j_string(st_j_buf_str(&b));
}

static st_jval filter_indent(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval width = st_j_int(4), first = st_j_bool(false), blank = st_j_bool(false);
    st_j_arg(r, a, 0, "width", &width);
    st_j_arg(r, a, 1, "first", &first);
    st_j_arg(r, a, 2, "blank", &blank);
    st_j_args_done(r, a, 3, "width first blank", "indent");
    if (v.kind != ST_J_STR) st_j_need_str(r, v, "indent");
    st_jstr by = width.kind == ST_J_STR ? width.str : st_j_repeat(r, st_j_lit(" "), st_j_clamp_int(r, width, "indent"));
    if (v.str.markup && width.kind == ST_J_STR) by.markup = true;
    if (!v.str.markup && by.markup) ST_J_FAIL(r, "indent of a string by Markup");
    st_jbuf in, b;
    st_j_buf_init(&in, r);
    st_j_buf_add(&in, v.str);
    st_j_buf_bytes(&in, "\n", 1, false); /* Jinja does so: a last newline is a line of its own */
    st_jlist *lines = st_j_split_lines(r, st_j_buf_str(&in), false).list;
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < lines->n; i++) {
        if (i) st_j_buf_bytes(&b, "\n", 1, false);
        if (i ? lines->v[i].str.n || st_j_true(r, blank) : st_j_true(r, first)) st_j_buf_add(&b, by);
        st_j_buf_add(&b, lines->v[i].str);
    }
    st_jstr out = st_j_buf_str(&b);
    out.markup = v.str.markup;
    return st_j_string(out);
}

static st_jval filter_format(st_jrun *r, st_jval v, st_jargs *a)
{
    if (a->pos.n && a->kw.n) ST_J_FAIL(r, "format takes arguments or keywords, not both");
    st_jval args =
        a->kw.n ? (st_jval){.kind = ST_J_DICT, .dict = &a->kw} : (st_jval){.kind = ST_J_TUPLE, .list = &a->pos};
    return st_j_string(st_j_percent(r, filter_text(r, v), args));
}

static st_jval filter_attr(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jval name, out;
    if (!st_j_arg(r, a, 0, "name", &name)) ST_J_FAIL(r, "attr needs a name");
    st_j_args_done(r, a, 1, "name", "attr");
    st_jstr s = st_j_need_str(r, name, "attr");
    if (v.kind == ST_J_DICT) return st_j_method(r, v, s, &out) ? out : st_j_undef(s); /* attributes only, no items */
    return st_j_attr(r, v, s);
}

const st_jfilter st_j_filters_one[] = {{"trim", filter_trim},
                                       {"upper", filter_upper},
                                       {"lower", filter_lower},
                                       {"title", filter_title},
                                       {"capitalize", filter_capitalize},
                                       {"string", filter_string},
                                       {"length", filter_length},
                                       {"count", filter_length},
                                       {"default", filter_default},
                                       {"d", filter_default},
                                       {"replace", filter_replace},
                                       {"int", filter_int},
                                       {"float", filter_float},
                                       {"abs", filter_abs},
                                       {"round", filter_round},
                                       {"safe", filter_safe},
                                       {"escape", filter_escape},
                                       {"e", filter_escape},
                                       {"forceescape", filter_forceescape},
                                       {"tojson", filter_tojson},
                                       {"indent", filter_indent},
                                       {"format", filter_format},
                                       {"attr", filter_attr},
                                       {NULL, NULL}};

static const st_jfilter *filter_find(st_jstr name)
{
    const st_jfilter *const tables[] = {st_j_filters_one, st_j_filters_seq, st_j_filters_text};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const st_jfilter *f = tables[i]; f->name; f++)
            if (st_j_same(name, f->name)) return f;
    return NULL;
}

bool st_j_filter_known(st_jstr name)
{
    return filter_find(name) != NULL;
}

st_jval st_j_filter(st_jrun *r, st_jstr name, st_jval v, st_jargs *args)
{
    const st_jfilter *f = filter_find(name);
    if (!f) ST_J_FAIL(r, "no filter named '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p);
    if (!f->run) ST_J_FAIL(r, "the filter '%s' is not supported", f->name);
    return f->run(r, v, args);
}
