/* jinja_num.c: arithmetic as Python's, in 64 bits; numbers to text and back in any locale. See jinja.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "token/jinja.h"

bool st_j_number(st_jval v, double *f)
{
    if (v.kind == ST_J_FLOAT) return *f = v.f, true;
    if (v.kind == ST_J_INT) return *f = (double)v.i, true;
    if (v.kind == ST_J_BOOL) return *f = v.b, true;
    return false;
}

int64_t st_j_need_int(st_jrun *r, st_jval v, const char *what)
{
    if (v.kind == ST_J_BOOL) return v.b;
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind != ST_J_INT) ST_J_FAIL(r, "%s needs an integer, not %s", what, st_j_kind_name(v));
    return v.i;
}

static _Noreturn void overflow(st_jrun *r)
{
    ST_J_FAIL(r, "an integer that does not fit 64 bits");
}

static int64_t power(st_jrun *r, int64_t base, int64_t exp)
{
    int64_t out = 1;
    for (;; exp >>= 1) {
        if (exp & 1 && __builtin_mul_overflow(out, base, &out)) overflow(r);
        if (exp <= 1) return out;
        if (__builtin_mul_overflow(base, base, &base)) overflow(r);
    }
}

static st_jval int_op(st_jrun *r, st_jop op, int64_t a, int64_t b)
{
    int64_t out = 0;
    bool over = false;
    switch (op) {
    case ST_N_ADD: over = __builtin_add_overflow(a, b, &out); break;
    case ST_N_SUB: over = __builtin_sub_overflow(a, b, &out); break;
    case ST_N_MUL: over = __builtin_mul_overflow(a, b, &out); break;
    case ST_N_POW: out = power(r, a, b); break;
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
    if (over) overflow(r);
    return st_j_int(out);
}

static st_jval float_op(st_jrun *r, st_jop op, double a, double b)
{
    if (b == 0 && (op == ST_N_DIV || op == ST_N_FLOORDIV || op == ST_N_MOD)) ST_J_FAIL(r, "division by zero");
    double m;
    switch (op) {
    case ST_N_ADD: return st_j_float(a + b);
    case ST_N_SUB: return st_j_float(a - b);
    case ST_N_MUL: return st_j_float(a * b);
    case ST_N_DIV: return st_j_float(a / b);
    case ST_N_POW:
        if (a < 0 && b != floor(b)) ST_J_FAIL(r, "a root of a negative number");
        if (a == 0 && b < 0) ST_J_FAIL(r, "division by zero");
        return st_j_float(pow(a, b));
    default:
        m = fmod(a, b);
        if (m != 0 && (m < 0) != (b < 0)) m += b;
        if (op == ST_N_MOD) return st_j_float(m == 0 ? copysign(0.0, b) : m);
        return st_j_float(nearbyint((a - m) / b));
    }
}

static st_jval add_lists(st_jrun *r, st_jval a, st_jval b)
{
    st_jval out = st_j_list(r, a.kind, a.list->n + b.list->n);
    for (size_t i = 0; i < a.list->n; i++) st_j_push(r, out.list, a.list->v[i]);
    for (size_t i = 0; i < b.list->n; i++) st_j_push(r, out.list, b.list->v[i]);
    return out;
}

static st_jval repeat_list(st_jrun *r, st_jval l, int64_t n)
{
    st_jval out = st_j_list(r, l.kind, 0);
    for (int64_t k = 0; k < n && l.list->n; k++)
        for (size_t i = 0; i < l.list->n; i++) st_j_push(r, out.list, l.list->v[i]);
    return out;
}

st_jval st_j_binary(st_jrun *r, st_jop op, st_jval a, st_jval b)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    bool ia = a.kind == ST_J_INT || a.kind == ST_J_BOOL, ib = b.kind == ST_J_INT || b.kind == ST_J_BOOL;
    double x, y;
    if (a.kind == ST_J_UNDEF) st_j_undefined(r, a);
    if (ia && ib && op != ST_N_DIV) {
        int64_t i = a.kind == ST_J_BOOL ? a.b : a.i, k = b.kind == ST_J_BOOL ? b.b : b.i;
        if (op != ST_N_POW || k >= 0) return int_op(r, op, i, k);
    }
    if (st_j_number(a, &x) && st_j_number(b, &y)) return float_op(r, op, x, y);
    if (op == ST_N_MOD && a.kind == ST_J_STR) {
        st_jlist one = {&b, 1, 1};
        return st_j_string(st_j_format(r, a.str, b.kind == ST_J_TUPLE ? b.list : &one));
    }
    if (b.kind == ST_J_UNDEF) st_j_undefined(r, b);
    if (op == ST_N_ADD && a.kind == ST_J_STR && b.kind == ST_J_STR) {
        st_jbuf buf;
        st_j_buf_init(&buf, r);
        st_j_buf_add(&buf, a.str);
        st_j_buf_add(&buf, b.str);
        return st_j_string(st_j_buf_str(&buf));
    }
    if (op == ST_N_ADD && st_j_is_list(a) && a.kind == b.kind) return add_lists(r, a, b);
    if (op == ST_N_MUL && (ia || ib)) {
        st_jval what = ia ? b : a, times = ia ? a : b;
        if (what.kind == ST_J_STR) return st_j_string(st_j_repeat(r, what.str, st_j_need_int(r, times, "*")));
        if (st_j_is_list(what)) return repeat_list(r, what, st_j_need_int(r, times, "*"));
    }
    ST_J_FAIL(r, "%s %s %s is not possible", st_j_kind_name(a), names[op - ST_N_ADD], st_j_kind_name(b));
}

st_jval st_j_negate(st_jrun *r, st_jval v, bool neg)
{
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind == ST_J_FLOAT) return st_j_float(neg ? -v.f : v.f);
    if (v.kind != ST_J_INT && v.kind != ST_J_BOOL) ST_J_FAIL(r, "%s has no sign", st_j_kind_name(v));
    return int_op(r, neg ? ST_N_SUB : ST_N_ADD, 0, v.kind == ST_J_BOOL ? v.b : v.i);
}

/* ---- text ---- */

/* What the locale writes for the decimal point: snprintf and strtod use it, Python and JSON do not. */
static size_t decimal_point(char out[16])
{
    char text[24];
    snprintf(text, sizeof text, "%.1f", 0.5);
    size_t n = strlen(text) - 2;
    if (n >= 16) n = 0;
    memcpy(out, text + 1, n);
    out[n] = 0;
    return n;
}

bool st_j_parse_float(const char *p, size_t n, double *out)
{
    char text[128], point[16], *end;
    bool seen = false;
    size_t k = 0, points = decimal_point(point);
    if (!n || n + 16 > sizeof text) return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '.') {
            if (seen) return false;
            memcpy(text + k, point, points);
            k += points;
            seen = true;
        } else if ((p[i] >= '0' && p[i] <= '9') || p[i] == '-' || p[i] == '+' || p[i] == 'e' || p[i] == 'E') {
            text[k++] = p[i];
        } else {
            return false;
        }
        if (k + 16 > sizeof text) return false;
    }
    text[k] = 0;
    *out = strtod(text, &end);
    return end == text + k;
}

bool st_j_parse_int(const char *p, size_t n, int base, int64_t *out)
{
    bool neg = n && p[0] == '-';
    size_t i = n && (p[0] == '-' || p[0] == '+');
    int64_t v = 0;
    if (i >= n) return false;
    for (; i < n; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10 : 99;
        if (d >= base || __builtin_mul_overflow(v, base, &v) || __builtin_sub_overflow(v, d, &v)) return false;
    }
    if (!neg && v == INT64_MIN) return false;
    *out = neg ? v : -v;
    return true;
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
    return (st_jstr){out, NULL, (size_t)k, false};
}

st_jval st_j_round(st_jrun *r, st_jval v, int64_t digits, st_jstr how)
{
    char text[400];
    double f, scale;
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (!st_j_number(v, &f)) ST_J_FAIL(r, "%s cannot be rounded", st_j_kind_name(v));
    if (digits < 0 || digits > 17) ST_J_FAIL(r, "round to %lld digits: only 0 to 17", (long long)digits);
    if (st_j_same(how, "common")) {
        if (v.kind != ST_J_FLOAT) return v;
        if (!isfinite(f)) return v;
        /* Printing rounds the exact value, half to even, as Python does. */
        snprintf(text, sizeof text, "%.*f", (int)digits, f);
        return st_j_float(strtod(text, NULL));
    }
    bool up = st_j_same(how, "ceil");
    if (!up && !st_j_same(how, "floor")) ST_J_FAIL(r, "round by common, ceil or floor only");
    scale = pow(10, (double)digits);
    return st_j_float((up ? ceil(f * scale) : floor(f * scale)) / scale);
}
