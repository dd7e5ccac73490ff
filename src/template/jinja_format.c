/* jinja_format.c: Python's '%' and format(), with their specifications. See jinja.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "template/jinja.h"

#define MAX_WIDTH ((int64_t)1 << 20)

/* What a specification says: [[fill]align][sign][z][#][0][width][,][.precision][type] */
typedef struct spec {
    st_jstr fill;
    char align; /* 0: not said */
    char sign;
    bool alternate, zero;
    char comma;               /* ',' or '_' */
    int64_t width, precision; /* -1: not said */
    char type;
} spec;

st_jstr st_j_pad(st_jrun *r, st_jstr s, int64_t width, st_jstr fill, char align)
{
    int64_t have = (int64_t)st_j_cps(r, s), more = width - have;
    if (more <= 0) return s;
    if (more > MAX_WIDTH) ST_J_FAIL(r, "a width of more than %lld", (long long)MAX_WIDTH);
    int64_t left = align == '<' ? 0 : align == '>' ? more : align == '^' ? more / 2 : more / 2 + (more & width & 1);
    st_jbuf b;
    st_j_buf_init(&b, r);
    st_j_buf_add(&b, st_j_repeat(r, fill, left));
    st_j_buf_add(&b, s);
    st_j_buf_add(&b, st_j_repeat(r, fill, more - left));
    st_jstr out = st_j_buf_str(&b);
    out.markup = s.markup;
    return out;
}

static st_jstr jinja_format_join2(st_jrun *r, st_jstr a, st_jstr b)
{
    st_jbuf buf;
    st_j_buf_init(&buf, r);
    st_j_buf_add(&buf, a);
    st_j_buf_add(&buf, b);
    return st_j_buf_str(&buf);
}

/* ---- numbers ---- */

/* The locale's point of snprintf becomes a point. */
static st_jstr jinja_format_with_point(st_jrun *r, const char *text, size_t n)
{
    char *out = st_j_alloc(r, n + 1, 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool plain = (c >= '0' && c <= '9') || c == 'e' || c == 'E' || c == '-' || c == '+';
        if (plain)
            out[k++] = c;
        else if (!k || out[k - 1] != '.')
            out[k++] = '.';
    }
    return (st_jstr){.p = out, .n = k};
}

/* |f| by e, f, g or their capitals. */
static st_jstr jinja_format_float_digits(st_jrun *r, double f, char type, int64_t precision, bool alternate)
{
    char fmt[8];
    bool upper = type >= 'A' && type <= 'Z';
    f = fabs(f);
    if (isnan(f)) return st_j_lit(upper ? "NAN" : "nan");
    if (isinf(f)) return st_j_lit(upper ? "INF" : "inf");
    if (precision > 4000) ST_J_FAIL(r, "a precision of more than 4000");
    snprintf(fmt, sizeof fmt, "%%%s.*%c", alternate ? "#" : "", type);
    size_t cap = (size_t)precision + 400;
    char *text = st_j_alloc(r, cap, 1);
    int n = snprintf(text, cap, fmt, (int)precision, f);
    return jinja_format_with_point(r, text, (size_t)n);
}

/* Separators in the digits before a point or an exponent; zeros in front up to `width`, with separators too. */
static st_jstr jinja_format_group(st_jrun *r, st_jstr s, char comma, int64_t every, int64_t width)
{
    size_t whole = 0, k = 0, cap;
    while (whole < s.n && s.p[whole] != '.' && s.p[whole] != 'e' && s.p[whole] != 'E') whole++;
    if (!comma && width <= (int64_t)s.n) return s;
    if (width > MAX_WIDTH) ST_J_FAIL(r, "a width of more than %lld", (long long)MAX_WIDTH);
    int64_t rest = (int64_t)(s.n - whole), digits = (int64_t)whole;
    if (comma)
        while (digits + (digits - 1) / every + rest < width) digits++;
    else if (digits + rest < width)
        digits = width - rest;
    cap = (size_t)(digits * 2 + rest) + 2;
    char *out = st_j_alloc(r, cap, 1);
    st_j_step(r, cap / 16);
    for (int64_t i = digits; i > 0; i--) {
        out[k++] = i > (int64_t)whole ? '0' : s.p[whole - (size_t)i];
        if (comma && i > 1 && (i - 1) % every == 0) out[k++] = comma;
    }
    if (rest) memcpy(out + k, s.p + whole, (size_t)rest);
    return (st_jstr){.p = out, .n = k + (size_t)rest};
}

static st_jstr jinja_format_number_text(st_jrun *r, const spec *f, bool neg, st_jstr prefix, st_jstr digits,
                                        st_jstr suffix)
{
    bool finite = digits.n && digits.p[0] != 'n' && digits.p[0] != 'i' && digits.p[0] != 'N' && digits.p[0] != 'I';
    st_jstr sign = st_j_lit(neg ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "");
    bool inner = f->align == '=' && st_j_same(f->fill, "0");
    int64_t around = (int64_t)(sign.n + prefix.n + suffix.n);
    char type = (char)(f->type | 0x20);
    int64_t every = type == 'x' || type == 'o' || type == 'b' ? 4 : 3;
    if (finite) digits = jinja_format_group(r, digits, f->comma, every, inner ? f->width - around : 0);
    sign = jinja_format_join2(r, sign, prefix);
    digits = jinja_format_join2(r, digits, suffix);
    if (f->align == '=')
        return jinja_format_join2(r, sign, st_j_pad(r, digits, f->width - (int64_t)sign.n, f->fill, '>'));
    return st_j_pad(r, jinja_format_join2(r, sign, digits), f->width, f->fill, f->align ? f->align : '>');
}

static st_jstr format_float(st_jrun *r, double v, const spec *f)
{
    char type = f->type ? f->type : 'r';
    int64_t precision = f->precision < 0 ? 6 : f->precision;
    st_jstr digits, suffix = st_j_lit("");
    if (type == 'n') ST_J_FAIL(r, "the format type 'n', which follows a locale");
    if (!strchr("reEfFgG%", type)) ST_J_FAIL(r, "unknown format code '%c' for a float", type);
    if (type == '%') {
        v *= 100;
        suffix = st_j_lit("%");
        type = 'f';
    }
    if (type == 'r' && f->precision < 0) {
        digits = st_j_float_text(r, fabs(v));
    } else if (type == 'r') { /* as g, with a digit behind the point, and one digit less before an exponent */
        int64_t p = f->precision ? f->precision : 1;
        digits = jinja_format_float_digits(r, v, 'g', p, f->alternate);
        bool plain = !memchr(digits.p, 'e', digits.n) && !memchr(digits.p, '.', digits.n) && isfinite(v);
        st_jstr e = jinja_format_float_digits(r, v, 'e', p - 1, f->alternate);
        const char *at = e.n ? memchr(e.p, 'e', e.n) : NULL;
        int exp = 0;
        if (at) exp = (at[1] == '-' ? -1 : 1) * (int)strtol(at + 2, NULL, 10);
        if (plain && exp >= p - 1 && v != 0) {
            digits = jinja_format_float_digits(r, v, 'g', p, f->alternate);
            if (exp >= p - 1) { /* Python then writes the exponent */
                size_t head = (size_t)(at - e.p);
                while (!f->alternate && head > 1 && memchr(e.p, '.', head) &&
                       (e.p[head - 1] == '0' || e.p[head - 1] == '.')) {
                    bool point = e.p[head - 1] == '.';
                    head--;
                    if (point) break;
                }
                digits = jinja_format_join2(r, st_j_sub(e, 0, head), st_j_sub(e, (size_t)(at - e.p), e.n));
            }
        } else if (plain) {
            digits = jinja_format_join2(r, digits, st_j_lit(".0"));
        }
    } else {
        if ((type == 'g' || type == 'G') && !precision) precision = 1;
        digits = jinja_format_float_digits(r, v, type, precision, f->alternate);
    }
    return jinja_format_number_text(r, f, signbit(v) && !isnan(v), st_j_lit(""), digits, suffix);
}

static bool jinja_format_is_negative(st_jval v)
{
    return v.kind == ST_J_BIG ? v.big->neg : v.kind == ST_J_INT && v.i < 0;
}

/* Digits of |v| in the base that a type letter means, and its prefix. */
static st_jstr jinja_format_int_digits(st_jrun *r, st_jval v, char type, st_jstr *prefix)
{
    *prefix = st_j_lit(type == 'x' ? "0x" : type == 'X' ? "0X" : type == 'o' ? "0o" : type == 'b' ? "0b" : "");
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    return st_j_int_base(r, v, base, type == 'X');
}

static st_jstr jinja_format_char_of(st_jrun *r, st_jval v)
{
    uint8_t *out = st_j_alloc(r, 4, 1);
    int64_t cp = st_j_need_int(r, v, "%c");
    if (cp < 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) ST_J_FAIL(r, "%%c of no character");
    return (st_jstr){.p = (char *)out, .n = st_utf8_put(out, (uint32_t)cp)};
}

static st_jstr format_int(st_jrun *r, st_jval v, const spec *f)
{
    double d;
    st_jstr prefix;
    if (f->type && strchr("eEfFgG%", f->type)) {
        st_j_number(r, v, &d);
        return format_float(r, d, f);
    }
    if (f->type == 'n') ST_J_FAIL(r, "the format type 'n', which follows a locale");
    if (f->type && !strchr("bcdoxX", f->type)) ST_J_FAIL(r, "unknown format code '%c' for an integer", f->type);
    if (f->precision >= 0) ST_J_FAIL(r, "a precision for an integer");
    if (f->type == 'c') {
        if (f->sign || f->alternate || f->comma) ST_J_FAIL(r, "a sign, '#' or ',' with 'c'");
        return st_j_pad(r, jinja_format_char_of(r, v), f->width, f->fill, f->align && f->align != '=' ? f->align : '<');
    }
    if (f->comma == ',' && f->type && f->type != 'd') ST_J_FAIL(r, "',' with '%c'", f->type);
    st_jstr digits = jinja_format_int_digits(r, v, f->type, &prefix);
    return jinja_format_number_text(r, f, jinja_format_is_negative(v), f->alternate ? prefix : st_j_lit(""), digits,
                                    st_j_lit(""));
}

static st_jstr jinja_format_cut(st_jstr s, int64_t precision)
{
    return precision < 0 ? s : st_j_sub(s, 0, st_j_cp_offset(s, (size_t)precision));
}

static st_jstr jinja_format_string(st_jrun *r, st_jstr s, const spec *f)
{
    if (f->type && f->type != 's') ST_J_FAIL(r, "unknown format code '%c' for a string", f->type);
    if (f->sign || f->alternate || f->comma) ST_J_FAIL(r, "a sign, '#' or ',' for a string");
    if (f->align == '=' && !f->zero) ST_J_FAIL(r, "'=' for a string");
    if (f->align == '=') ST_J_FAIL(r, "'=' for a string");
    if (f->type != 'c') s = jinja_format_cut(s, f->precision); /* a precision does not take a character away */
    return st_j_pad(r, s, f->width, f->fill, f->align ? f->align : '<');
}

static int64_t jinja_format_read_number(st_jrun *r, st_jstr s, size_t *at)
{
    int64_t v = 0;
    for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at) {
        v = v * 10 + (s.p[*at] - '0');
        if (v > MAX_WIDTH) ST_J_FAIL(r, "a width or precision of more than %lld", (long long)MAX_WIDTH);
    }
    return v;
}

static bool jinja_format_is_align(char c)
{
    return c == '<' || c == '>' || c == '=' || c == '^';
}

static spec jinja_format_parse_spec(st_jrun *r, st_jstr s, bool is_string)
{
    spec f = {.fill = st_j_lit(" "), .precision = -1, .width = -1};
    size_t at = 0, n = s.n ? st_utf8_len((uint8_t)s.p[0]) : 0;
    bool filled = false;
    if (n < s.n && jinja_format_is_align(s.p[n])) {
        f.fill = st_j_sub(s, 0, n);
        f.align = s.p[n];
        at = n + 1;
        filled = true;
    } else if (s.n && jinja_format_is_align(s.p[0])) {
        f.align = s.p[0];
        at = 1;
    }
    if (at < s.n && strchr("+- ", s.p[at]) && s.p[at]) f.sign = s.p[at++];
    if (at < s.n && s.p[at] == 'z') ST_J_FAIL(r, "the format option 'z'");
    if (at < s.n && s.p[at] == '#') f.alternate = true, at++;
    if (!filled && at < s.n && s.p[at] == '0') { /* behind a fill it is a digit of the width */
        f.fill = st_j_lit("0");
        f.zero = true;
        if (!f.align) f.align = is_string ? '<' : '=';
        at++;
    }
    if (at < s.n && s.p[at] >= '0' && s.p[at] <= '9') f.width = jinja_format_read_number(r, s, &at);
    if (at < s.n && (s.p[at] == ',' || s.p[at] == '_')) f.comma = s.p[at++];
    if (at < s.n && s.p[at] == '.') {
        at++;
        if (at >= s.n || s.p[at] < '0' || s.p[at] > '9') ST_J_FAIL(r, "a format without its precision");
        f.precision = jinja_format_read_number(r, s, &at);
    }
    if (at < s.n) f.type = s.p[at++];
    if (at < s.n || (uint8_t)f.type >= 0x80) ST_J_FAIL(r, "a format specification that is not valid");
    return f;
}

st_jstr st_j_format_spec(st_jrun *r, st_jval v, st_jstr s)
{
    if (!s.n) return st_j_str(r, v);
    bool number = st_j_is_number(v);
    spec f;
    if (!number && v.kind != ST_J_STR) {
        if (v.kind == ST_J_UNDEF) ST_J_FAIL(r, "a format specification for undefined");
        ST_J_FAIL(r, "a format specification for %s", st_j_kind_name(v));
    }
    f = jinja_format_parse_spec(r, s, !number);
    if (v.kind == ST_J_FLOAT) return format_float(r, v.f, &f);
    if (v.kind == ST_J_BOOL) v = st_j_int(v.b);
    return number ? format_int(r, v, &f) : jinja_format_string(r, v.str, &f);
}

/* ---- str.format ---- */

typedef struct fields {
    st_jrun *r;
    st_jargs *args;
    int64_t next; /* the automatic number; -1: numbers were given */
    bool markup;
} fields;

static st_jval jinja_format_field_first(fields *f, st_jstr name)
{
    bool ok = false;
    st_jval index = name.n ? st_j_int_parse(f->r, name.p, name.n, 10, &ok) : st_j_none();
    if (name.n && name.p[0] != '-' && name.p[0] != '+' && ok) {
        if (f->next > 0) ST_J_FAIL(f->r, "format with automatic and given numbers");
        f->next = -1;
    } else if (!name.n) {
        if (f->next < 0) ST_J_FAIL(f->r, "format with automatic and given numbers");
        index = st_j_int(f->next++);
    } else {
        const st_jval *v = st_j_find(f->r, &f->args->kw, st_j_string(name));
        if (!v) ST_J_FAIL(f->r, "format without its argument '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p);
        return *v;
    }
    if (index.kind != ST_J_INT || index.i >= (int64_t)f->args->pos.n) ST_J_FAIL(f->r, "format with too few arguments");
    return f->args->pos.v[index.i];
}

/* "0.a[b]": attributes and items, through the sandbox. */
static st_jval jinja_format_field_value(fields *f, st_jstr name)
{
    size_t at = 0;
    while (at < name.n && name.p[at] != '.' && name.p[at] != '[') at++;
    st_jval v = jinja_format_field_first(f, st_j_sub(name, 0, at));
    while (at < name.n) {
        bool item = name.p[at] == '[';
        size_t from = ++at;
        if (!item && name.p[at - 1] != '.') ST_J_FAIL(f->r, "a format field: only '.' or '[' may follow ']'");
        while (at < name.n && (item ? name.p[at] != ']' : name.p[at] != '.' && name.p[at] != '[')) at++;
        st_jstr part = st_j_sub(name, from, at);
        if (!part.n || (item && at >= name.n)) ST_J_FAIL(f->r, "a format field with an empty attribute");
        bool ok = false;
        st_jval key = st_j_string(part);
        if (item) {
            st_jval index = part.p[0] != '-' && part.p[0] != '+' ? st_j_int_parse(f->r, part.p, part.n, 10, &ok) : key;
            if (ok) key = index;
            at++;
        }
        v = item ? st_j_item(f->r, v, key) : st_j_attr(f->r, v, part);
        if (v.kind == ST_J_UNDEF) st_j_undefined(f->r, v);
    }
    return v;
}

static st_jstr format_text(fields *f, st_jstr fmt, int depth);

/* name[!conversion][:spec] */
static st_jstr format_field(fields *f, st_jstr field, int depth)
{
    size_t colon = 0, open = 0;
    while (colon < field.n && (open || (field.p[colon] != ':' && field.p[colon] != '!'))) {
        if (field.p[colon] == '[') open = 1;
        if (field.p[colon] == ']') open = 0;
        if (field.p[colon] == '{') ST_J_FAIL(f->r, "unexpected '{' in a format field");
        colon++;
    }
    st_jval v = jinja_format_field_value(f, st_j_sub(field, 0, colon));
    char how = 0;
    if (colon < field.n && field.p[colon] == '!') {
        how = colon + 1 < field.n ? field.p[colon + 1] : 0;
        if (how != 's' && how != 'r' && how != 'a') ST_J_FAIL(f->r, "a format conversion other than !s, !r, !a");
        if (how == 'a') ST_J_FAIL(f->r, "the format conversion !a");
        colon += 2;
        if (colon < field.n && field.p[colon] != ':') ST_J_FAIL(f->r, "':' expected behind a format's conversion");
    }
    st_jstr s = colon < field.n ? format_text(f, st_j_sub(field, colon + 1, field.n), depth + 1) : st_j_lit("");
    if (how == 's') v = st_j_string(st_j_str(f->r, v));
    if (how == 'r') {
        st_jbuf b;
        st_j_buf_init(&b, f->r);
        st_j_repr(&b, v);
        v = st_j_string(st_j_buf_str(&b));
    }
    if (f->markup && v.kind == ST_J_STR && v.str.markup) {
        if (s.n) ST_J_FAIL(f->r, "a format specification for Markup");
        return v.str;
    }
    st_jstr out = st_j_format_spec(f->r, v, s);
    return f->markup ? st_j_escape(f->r, st_j_string(out)) : out;
}

static st_jstr format_text(fields *f, st_jstr fmt, int depth)
{
    st_jbuf b;
    st_j_buf_init(&b, f->r);
    if (depth > 1 && fmt.n && memchr(fmt.p, '{', fmt.n)) ST_J_FAIL(f->r, "a format nested too deep");
    for (size_t at = 0; at < fmt.n;) {
        size_t from = at;
        while (at < fmt.n && fmt.p[at] != '{' && fmt.p[at] != '}') at++;
        st_j_buf_add(&b, st_j_sub(fmt, from, at));
        if (at >= fmt.n) break;
        if (at + 1 < fmt.n && fmt.p[at + 1] == fmt.p[at] && !depth) {
            st_j_buf_add(&b, st_j_sub(fmt, at, at + 1));
            at += 2;
            continue;
        }
        if (fmt.p[at] == '}') ST_J_FAIL(f->r, "a single '}' in a format");
        size_t to = ++at;
        for (int open = 1; to < fmt.n; to++) {
            open += fmt.p[to] == '{' ? 1 : fmt.p[to] == '}' ? -1 : 0;
            if (!open) break;
        }
        if (to >= fmt.n) ST_J_FAIL(f->r, "a single '{' in a format");
        st_j_step(f->r, 1);
        st_j_buf_add(&b, format_field(f, st_j_sub(fmt, at, to), depth));
        at = to + 1;
    }
    return st_j_buf_str(&b);
}

st_jstr st_j_format(st_jrun *r, st_jstr fmt, st_jargs *args)
{
    fields f = {r, args, 0, fmt.markup};
    st_jstr out = format_text(&f, fmt, 0);
    out.markup = fmt.markup;
    return out;
}

/* ---- '%' ---- */

static st_jval jinja_format_next_arg(st_jrun *r, const st_jlist *args, size_t *used)
{
    if (*used >= args->n) ST_J_FAIL(r, "not enough arguments for a format");
    return args->v[(*used)++];
}

static st_jstr jinja_format_percent_number(st_jrun *r, st_jval v, spec *f)
{
    double d;
    st_jstr prefix = st_j_lit(""), digits;
    bool whole = strchr("diuxXo", f->type) != NULL;
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (!st_j_is_number(v)) ST_J_FAIL(r, "%%%c needs a number, not %s", f->type, st_j_kind_name(v));
    if (!whole) {
        st_j_number(r, v, &d);
        if (f->precision < 0) f->precision = 6;
        return format_float(r, d, f);
    }
    if (v.kind == ST_J_FLOAT) {
        if (strchr("xXo", f->type)) ST_J_FAIL(r, "%%%c needs an integer, not a float", f->type);
        if (!isfinite(v.f)) ST_J_FAIL(r, "%%%c of a float that is not finite", f->type);
        v = st_j_int_of_float(r, trunc(v.f));
    }
    if (v.kind == ST_J_BOOL) v = st_j_int(v.b);
    digits = jinja_format_int_digits(r, v, f->type, &prefix);
    if (!f->alternate) prefix = st_j_lit("");
    if (f->precision > 0) digits = jinja_format_group(r, digits, 0, 3, f->precision);
    return jinja_format_number_text(r, f, jinja_format_is_negative(v), prefix, digits, st_j_lit(""));
}

static st_jstr jinja_format_percent_text(st_jrun *r, st_jval v, const spec *f, bool markup)
{
    st_jstr s;
    st_jbuf b;
    if (f->type == 'c') {
        s = v.kind == ST_J_STR ? v.str : jinja_format_char_of(r, v);
        if (st_j_cps(r, s) != 1) ST_J_FAIL(r, "%%c needs one character");
    } else if (f->type == 'a') {
        ST_J_FAIL(r, "the format %%a");
    } else if (f->type == 'r') {
        st_j_buf_init(&b, r);
        st_j_repr(&b, v);
        s = st_j_buf_str(&b);
    } else {
        s = st_j_str(r, v);
    }
    if (markup && !(f->type == 's' && v.kind == ST_J_STR && v.str.markup)) {
        s.markup = false;
        s = st_j_escape(r, st_j_string(s));
    }
    if (f->type != 'c') s = jinja_format_cut(s, f->precision); /* a precision does not take a character away */
    return st_j_pad(r, s, f->width, st_j_lit(" "), f->align == '<' ? '<' : '>');
}

/* %[(name)][flags][width][.precision]type at fmt[*at], which is behind the '%'. */
static st_jstr jinja_format_percent_one(st_jrun *r, st_jstr fmt, size_t *at, st_jval args, const st_jlist *list,
                                        size_t *used)
{
    spec f = {.fill = st_j_lit(" "), .precision = -1, .width = -1, .align = '>'};
    st_jval named = st_j_none(), v;
    bool has_name = *at < fmt.n && fmt.p[*at] == '(', zero = false;
    if (has_name) {
        size_t from = *at + 1, to = from;
        for (int open = 1; to < fmt.n; to++) {
            open += fmt.p[to] == '(' ? 1 : fmt.p[to] == ')' ? -1 : 0;
            if (!open) break;
        }
        if (to >= fmt.n) ST_J_FAIL(r, "a format with an incomplete key");
        if (args.kind != ST_J_DICT) ST_J_FAIL(r, "a format with names needs a dict");
        st_jstr name = st_j_sub(fmt, from, to);
        name.markup = false;
        const st_jval *found = st_j_find(r, args.dict, st_j_string(name));
        if (!found) ST_J_FAIL(r, "a format without its argument '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p);
        named = *found;
        *at = to + 1;
    }
    for (; *at < fmt.n && strchr("#0- +", fmt.p[*at]) && fmt.p[*at]; ++*at) {
        char c = fmt.p[*at];
        if (c == '#') f.alternate = true;
        if (c == '0') zero = true;
        if (c == '-') f.align = '<';
        if (c == '+' || (c == ' ' && !f.sign)) f.sign = c;
    }
    for (int k = 0; k < 2; k++) {
        if (k && (*at >= fmt.n || fmt.p[*at] != '.')) break;
        if (k) ++*at;
        int64_t *into = k ? &f.precision : &f.width;
        if (*at < fmt.n && fmt.p[*at] == '*') {
            ++*at;
            *into = st_j_need_int(r, jinja_format_next_arg(r, list, used), "*");
            if (!k && *into < 0) f.align = '<', *into = *into < -MAX_WIDTH ? MAX_WIDTH + 1 : -*into;
            if (k && *into < 0) *into = 0;
            if (*into > MAX_WIDTH) ST_J_FAIL(r, "a width or precision of more than %lld", (long long)MAX_WIDTH);
        } else {
            *into = k || (*at < fmt.n && fmt.p[*at] >= '0' && fmt.p[*at] <= '9') ? jinja_format_read_number(r, fmt, at)
                                                                                 : -1;
        }
    }
    if (*at < fmt.n && strchr("hlL", fmt.p[*at]) && fmt.p[*at]) ++*at;
    if (*at >= fmt.n) ST_J_FAIL(r, "an incomplete format");
    f.type = fmt.p[(*at)++];
    if (f.type == '%') return st_j_lit("%");
    if (!f.type || !strchr("diuoxXeEfFgGcrsa", f.type)) ST_J_FAIL(r, "an unsupported format character");
    v = has_name ? named : jinja_format_next_arg(r, list, used);
    if (strchr("crsa", f.type)) return jinja_format_percent_text(r, v, &f, fmt.markup);
    if (zero && f.align != '<') {
        f.align = '=';
        f.fill = st_j_lit("0");
    }
    return jinja_format_percent_number(r, v, &f);
}

st_jstr st_j_percent(st_jrun *r, st_jstr fmt, st_jval args)
{
    st_jlist one = {&args, 1, 1, false}, *list = args.kind == ST_J_TUPLE ? args.list : &one;
    size_t used = 0, at = 0;
    st_jbuf b;
    st_j_buf_init(&b, r);
    while (at < fmt.n) {
        size_t from = at;
        while (at < fmt.n && fmt.p[at] != '%') at++;
        st_j_buf_add(&b, st_j_sub(fmt, from, at));
        if (at >= fmt.n) break;
        at++;
        st_jstr s = jinja_format_percent_one(r, fmt, &at, args, list, &used);
        st_j_buf_add(&b, s);
        st_j_step(r, 1);
    }
    bool mapping = args.kind == ST_J_DICT || args.kind == ST_J_LIST || args.kind == ST_J_RANGE;
    if (used < list->n && !mapping) ST_J_FAIL(r, "not all arguments of a format were used");
    st_jstr out = st_j_buf_str(&b);
    out.markup = fmt.markup;
    return out;
}
