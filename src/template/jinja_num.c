/* jinja_num.c: arithmetic as Python's, in 64 bits; numbers to text and back in any locale. See jinja.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "template/jinja_program.h"

bool st_j_number(st_jrun *r, st_jval v, double *f)
{
    if (v.kind == ST_J_FLOAT) return *f = v.f, true;
    if (!st_j_is_int(v)) return false;
    *f = st_j_int_float(r, v);
    if (isinf(*f)) ST_J_FAIL(r, "an integer that is too large for a float");
    return true;
}

int64_t st_j_need_int(st_jrun *r, st_jval v, const char *what)
{
    if (v.kind == ST_J_BOOL) return v.b;
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_BIG) ST_J_FAIL(r, "%s with an integer beyond 64 bits", what);
    if (v.kind != ST_J_INT) ST_J_FAIL(r, "%s needs an integer, not %s", what, st_j_kind_name(v));
    return v.i;
}

int64_t st_j_clamp_int(st_jrun *r, st_jval v, const char *what)
{
    if (v.kind == ST_J_BIG) return v.big->neg ? INT64_MIN : INT64_MAX;
    return st_j_need_int(r, v, what);
}

static st_jval num_int_op(st_jrun *r, st_jop op, st_jval x, st_jval y)
{
    int64_t out = 0, a = x.kind == ST_J_BOOL ? x.b : x.i, b = y.kind == ST_J_BOOL ? y.b : y.i;
    bool over = x.kind == ST_J_BIG || y.kind == ST_J_BIG;
    if (over) return st_j_big_op(r, op, x, y);
    switch (op) {
    case ST_N_ADD: over = __builtin_add_overflow(a, b, &out); break;
    case ST_N_SUB: over = __builtin_sub_overflow(a, b, &out); break;
    case ST_N_MUL: over = __builtin_mul_overflow(a, b, &out); break;
    case ST_N_POW: return st_j_big_op(r, op, st_j_int(a), y);
    default: /* // and % round towards minus infinity */
        if (!b) ST_J_FAIL(r, "division by zero");
        if (b == -1) {
            over = op == ST_N_FLOORDIV && __builtin_sub_overflow(0, a, &out);
            break;
        }
        int64_t q = a / b, m = a % b;
        bool down = m && (m < 0) != (b < 0);
        out = op == ST_N_FLOORDIV ? q - down : down ? m + b : m;
    }
    return over ? st_j_big_op(r, op, x, y) : st_j_int(out);
}

static st_jval num_float_op(st_jrun *r, st_jop op, double a, double b)
{
    if (b == 0 && (op == ST_N_DIV || op == ST_N_FLOORDIV || op == ST_N_MOD)) ST_J_FAIL(r, "division by zero");
    double m;
    switch (op) {
    case ST_N_ADD: return st_j_float(a + b);
    case ST_N_SUB: return st_j_float(a - b);
    case ST_N_MUL: return st_j_float(a * b);
    case ST_N_DIV: return st_j_float(a / b);
    case ST_N_POW:
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
            ST_J_FAIL(r, "a root of a negative number: complex numbers are not supported");
        if (a == 0 && b < 0) ST_J_FAIL(r, "division by zero");
        m = pow(a, b);
        if (isinf(m) && isfinite(a) && isfinite(b)) ST_J_FAIL(r, "a power that is too large for a float");
        return st_j_float(m);
    default:
        m = fmod(a, b);
        double q = (a - m) / b; /* CPython's float_divmod */
        if (m != 0 && (m < 0) != (b < 0)) {
            m += b;
            q -= 1;
        }
        if (op == ST_N_MOD) return st_j_float(m == 0 ? copysign(0.0, b) : m);
        if (q == 0) return st_j_float(copysign(0.0, a / b));
        double down = floor(q);
        return st_j_float(q - down > 0.5 ? down + 1 : down);
    }
}

static st_jval num_add_lists(st_jrun *r, st_jval a, st_jval b)
{
    st_jval out = st_j_list(r, a.kind, a.list->n + b.list->n);
    for (size_t i = 0; i < a.list->n; i++) st_j_push(r, out.list, a.list->v[i]);
    for (size_t i = 0; i < b.list->n; i++) st_j_push(r, out.list, b.list->v[i]);
    return out;
}

static st_jval num_repeat_list(st_jrun *r, st_jval l, int64_t n)
{
    st_jval out = st_j_list(r, l.kind, 0);
    for (int64_t k = 0; k < n && l.list->n; k++)
        for (size_t i = 0; i < l.list->n; i++) st_j_push(r, out.list, l.list->v[i]);
    return out;
}

/* Markup with text: the text is escaped. */
static st_jstr num_beside(st_jrun *r, st_jval v, bool markup)
{
    return markup && !v.str.markup ? st_j_escape(r, v) : v.str;
}

static st_jval num_add_strings(st_jrun *r, st_jval a, st_jval b)
{
    st_jbuf buf;
    bool markup = a.str.markup || b.str.markup;
    st_j_buf_init(&buf, r);
    st_j_buf_add(&buf, num_beside(r, a, markup));
    st_j_buf_add(&buf, num_beside(r, b, markup));
    st_jstr s = st_j_buf_str(&buf);
    s.markup = markup;
    return st_j_string(s);
}

static st_jval num_multiply(st_jrun *r, st_jval what, st_jval times)
{
    int64_t n = st_j_clamp_int(r, times, "*");
    if (what.kind != ST_J_STR) return num_repeat_list(r, what, n);
    st_jstr s = st_j_repeat(r, what.str, n);
    s.markup = what.str.markup;
    return st_j_string(s);
}

static st_jval num_numbers(st_jrun *r, st_jop op, st_jval a, st_jval b)
{
    double x = 0, y = 0;
    if (st_j_is_int(a) && st_j_is_int(b)) {
        bool negative = b.kind == ST_J_BIG ? b.big->neg : b.kind == ST_J_INT && b.i < 0;
        if (op == ST_N_DIV) return st_j_int_divide(r, a, b);
        if (op != ST_N_POW || !negative) return num_int_op(r, op, a, b);
    }
    st_j_number(r, a, &x);
    st_j_number(r, b, &y);
    return num_float_op(r, op, x, y);
}

st_jval st_j_binary(st_jrun *r, st_jop op, st_jval a, st_jval b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    bool na = st_j_is_number(a), nb = st_j_is_number(b);
    if (a.kind == ST_J_UNDEF) st_j_undefined(r, a);
    if (na && nb) return num_numbers(r, op, a, b);
    if (op == ST_N_MOD && a.kind == ST_J_STR) return st_j_string(st_j_percent(r, a.str, b));
    if (b.kind == ST_J_UNDEF) st_j_undefined(r, b);
    if (op == ST_N_ADD && a.kind == ST_J_STR && b.kind == ST_J_STR) return num_add_strings(r, a, b);
    if (op == ST_N_ADD && st_j_is_list(a) && a.kind == b.kind) return num_add_lists(r, a, b);
    if (op == ST_N_MUL && (a.kind == ST_J_STR || st_j_is_list(a)) && st_j_is_int(b)) return num_multiply(r, a, b);
    if (op == ST_N_MUL && (b.kind == ST_J_STR || st_j_is_list(b)) && st_j_is_int(a)) return num_multiply(r, b, a);
    ST_J_FAIL(r, "%s %s %s is not possible", st_j_kind_name(a), names[op - ST_N_ADD], st_j_kind_name(b));
}

st_jval st_j_negate(st_jrun *r, st_jval v, bool neg)
{
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_FLOAT) return st_j_float(neg ? -v.f : v.f);
    if (!st_j_is_int(v)) ST_J_FAIL(r, "%s has no sign", st_j_kind_name(v));
    return num_int_op(r, neg ? ST_N_SUB : ST_N_ADD, st_j_int(0), v);
}

/* ---- text ---- */

/* Digits beyond this many change no float; they are counted in the exponent, and a 1 stands for them if they are not
 * all zero. The longest decimal of a tie between two doubles has 767 digits. */
#define MAX_DIGITS 800

bool st_j_parse_float(const char *p, size_t n, double *out)
{
    char text[MAX_DIGITS + 64], *end;
    size_t k = 0, i = 0;
    int64_t exponent = 0, given = 0;
    bool digits = false, sticky = false, neg_exp = false, seen_point = false;
    if (n && (p[0] == '-' || p[0] == '+')) text[k++] = p[i++];
    size_t first = k;
    for (; i < n && ((p[i] >= '0' && p[i] <= '9') || (p[i] == '.' && !seen_point)); i++) {
        if (p[i] == '.') {
            seen_point = true;
            continue;
        }
        digits = true;
        if (seen_point) exponent--;
        if (p[i] == '0' && k == first) continue;
        if (k - first < MAX_DIGITS)
            text[k++] = p[i];
        else
            sticky = sticky || p[i] != '0', exponent++;
    }
    if (!digits) return false;
    if (i < n && (p[i] | 0x20) == 'e') {
        i++;
        neg_exp = i < n && p[i] == '-';
        if (i < n && (p[i] == '-' || p[i] == '+')) i++;
        if (i == n) return false;
        for (; i < n && p[i] >= '0' && p[i] <= '9'; i++)
            if (given < 1000000000) given = given * 10 + (p[i] - '0');
    }
    if (i != n) return false;
    if (k == first) text[k++] = '0';
    if (sticky) {
        memcpy(text + k, "1", 1);
        k++;
        exponent--;
    }
    exponent += neg_exp ? -given : given;
    if (exponent > 1000000) exponent = 1000000;
    if (exponent < -1000000) exponent = -1000000;
    snprintf(text + k, sizeof text - k, "e%lld", (long long)exponent);
    *out = strtod(text, &end);
    return *end == 0;
}

st_jstr st_j_float_text(st_jrun *r, double f)
{
    if (isnan(f)) return st_j_lit("nan");
    if (isinf(f)) return st_j_lit(f < 0 ? "-inf" : "inf");
    char text[64], digits[32], *e;
    int digit = 0, n = 0;
    do snprintf(text, sizeof text, "%.*e", digit, f);
    while (strtod(text, NULL) != f && ++digit < 17);
    /* Digits and exponent, then Python's layout of them. */
    for (char *p = text; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    e = strchr(text, 'e');
    int exp = e ? atoi(e + 1) : 0, k = 0;
    while (n > 1 && digits[n - 1] == '0') n--;
    char *out = st_j_alloc(r, 64, 1);
    if (signbit(f)) out[k++] = '-';
    if (exp < -4 || exp >= 16) {
        out[k++] = digits[0];
        if (n > 1) out[k++] = '.';
        for (int i = 1; i < n; i++) out[k++] = digits[i];
        k += snprintf(out + k, 8, "e%c%02d", exp < 0 ? '-' : '+', exp < 0 ? -exp : exp);
    } else {
        if (exp < 0) {
            out[k++] = '0';
            out[k++] = '.';
            for (int i = -1; i > exp; i--) out[k++] = '0';
        }
        for (int i = 0; i < n || i <= exp; i++) {
            if (i && i == exp + 1) out[k++] = '.';
            out[k++] = i < n ? digits[i] : '0';
        }
        if (exp >= 0 && n <= exp + 1) {
            out[k++] = '.';
            out[k++] = '0';
        }
    }
    return (st_jstr){.p = out, .n = (size_t)k};
}

/* Python's round(f, digits): the exact value to the nearest decimal, ties to even, and back. */
static double num_round_float(st_jrun *r, double f, int64_t digits)
{
    double out;
    if (!isfinite(f) || digits > 323) return f;
    if (digits < -308) return copysign(0.0, f);
    if (digits >= 0) {
        size_t cap = 800;
        char *text = st_j_alloc(r, cap, 1);
        int n = snprintf(text, cap, "%.*f", (int)digits, f), k = 0;
        for (int i = 0; i < n; i++) /* whatever the locale has for a point */
            if ((text[i] >= '0' && text[i] <= '9') || text[i] == '-')
                text[k++] = text[i];
            else if (!k || text[k - 1] != '.')
                text[k++] = '.';
        return st_j_parse_float(text, (size_t)k, &out) ? out : f;
    }
    st_jval whole = st_j_int_of_float(r, trunc(f));
    st_jval unit = st_j_binary(r, ST_N_POW, st_j_int(10), st_j_int(-digits));
    st_jval rest = st_j_binary(r, ST_N_MOD, whole, unit), low = st_j_binary(r, ST_N_SUB, whole, rest);
    int half = st_j_int_order(r, st_j_binary(r, ST_N_MUL, rest, st_j_int(2)), unit);
    double fraction = f - trunc(f);
    if (!half && fraction != 0) half = fraction > 0 ? 1 : -1;
    if (!half)
        half =
            st_j_equal(r, st_j_binary(r, ST_N_MOD, st_j_binary(r, ST_N_FLOORDIV, low, unit), st_j_int(2)), st_j_int(1));
    if (half > 0) low = st_j_binary(r, ST_N_ADD, low, unit);
    out = st_j_int_float(r, low);
    if (isinf(out)) ST_J_FAIL(r, "a rounded value that is too large for a float");
    return out == 0 ? copysign(0.0, f) : out;
}

/* Jinja's round filter: Python's round, or ceil or floor of value * 10 ** precision. */
st_jval st_j_round(st_jrun *r, st_jval v, int64_t digits, st_jstr how)
{
    double f;
    bool up = st_j_same(how, "ceil");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (!st_j_is_number(v)) ST_J_FAIL(r, "%s cannot be rounded", st_j_kind_name(v));
    if (!up && !st_j_same(how, "common") && !st_j_same(how, "floor"))
        ST_J_FAIL(r, "round by common, ceil or floor only");
    if (st_j_same(how, "common")) {
        if (v.kind == ST_J_FLOAT) return st_j_float(num_round_float(r, v.f, digits));
        if (v.kind == ST_J_BOOL) v = st_j_int(v.b);
        if (digits >= 0) return v;
        if (digits < -ST_J_MAX_DIGITS) return st_j_int(0);
        st_jval unit = st_j_binary(r, ST_N_POW, st_j_int(10), st_j_int(-digits));
        st_jval rest = st_j_binary(r, ST_N_MOD, v, unit), low = st_j_binary(r, ST_N_SUB, v, rest);
        int half = st_j_int_order(r, st_j_binary(r, ST_N_MUL, rest, st_j_int(2)), unit);
        if (!half)
            half = st_j_equal(r, st_j_binary(r, ST_N_MOD, st_j_binary(r, ST_N_FLOORDIV, low, unit), st_j_int(2)),
                              st_j_int(1));
        return half > 0 ? st_j_binary(r, ST_N_ADD, low, unit) : low;
    }
    st_jval scale = st_j_binary(r, ST_N_POW, st_j_int(10), st_j_int(digits));
    st_jval scaled = st_j_binary(r, ST_N_MUL, v, scale);
    if (scaled.kind == ST_J_FLOAT) {
        f = up ? ceil(scaled.f) : floor(scaled.f);
        if (!isfinite(f)) ST_J_FAIL(r, "%s of a float that is not finite", up ? "ceil" : "floor");
        scaled = st_j_int_of_float(r, f);
    }
    return st_j_binary(r, ST_N_DIV, scaled, scale);
}
