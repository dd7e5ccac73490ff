/* jinja_big.c: integers beyond 64 bits, as Python has them, up to the 4,300 digits that Python prints. In base 10^9, so
 * that text, which is what a template makes of them, is simple. See jinja.h. */
#include <math.h>
#include <stdio.h>

#include "template/jinja_program.h"

#define BASE 1000000000u
#define MAX  ((ST_J_MAX_DIGITS + 8) / 9 + 1)

static st_jbig *big_make(st_jrun *r, size_t n)
{
    if (n > 4 * MAX) ST_J_FAIL(r, "an integer of more than %d digits", ST_J_MAX_DIGITS);
    st_jbig *b = st_j_alloc(r, 1, sizeof *b + n * sizeof *b->d);
    b->neg = false;
    b->n = (uint32_t)n;
    memset(b->d, 0, n * sizeof *b->d);
    st_j_step(r, n / 8);
    return b;
}

static st_jbig *big_from_u64(st_jrun *r, uint64_t v, bool neg)
{
    st_jbig *b = big_make(r, 3);
    b->neg = neg;
    b->n = 0;
    for (; v; v /= BASE) b->d[b->n++] = (uint32_t)(v % BASE);
    return b;
}

static const st_jbig *big_of(st_jrun *r, st_jval v)
{
    if (v.kind == ST_J_BIG) return v.big;
    int64_t i = v.kind == ST_J_BOOL ? v.b : v.i;
    return big_from_u64(r, i < 0 ? 0 - (uint64_t)i : (uint64_t)i, i < 0);
}

/* The value without leading zeros, in 64 bits where it fits. */
static st_jval big_value(st_jrun *r, st_jbig *b)
{
    while (b->n && !b->d[b->n - 1]) b->n--;
    if ((size_t)b->n * 9 > ST_J_MAX_DIGITS) {
        uint32_t lead = b->d[b->n - 1];
        size_t digits = (b->n - 1) * 9u;
        for (; lead; lead /= 10) digits++;
        if (digits > ST_J_MAX_DIGITS) ST_J_FAIL(r, "an integer of more than %d digits", ST_J_MAX_DIGITS);
    }
    if (b->n <= 3) {
        uint64_t v = 0;
        bool over = false;
        for (uint32_t i = b->n; i-- > 0;)
            over = __builtin_mul_overflow(v, (uint64_t)BASE, &v) || __builtin_add_overflow(v, (uint64_t)b->d[i], &v) ||
                   over;
        if (!over && v <= (uint64_t)INT64_MAX + b->neg) return st_j_int(b->neg ? (int64_t)(0 - v) : (int64_t)v);
    }
    return (st_jval){.kind = ST_J_BIG, .big = b};
}

/* <0, 0, >0 for the magnitudes. */
static int big_order(const st_jbig *a, const st_jbig *b)
{
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (uint32_t i = a->n; i-- > 0;)
        if (a->d[i] != b->d[i]) return a->d[i] < b->d[i] ? -1 : 1;
    return 0;
}

int st_j_int_order(st_jrun *r, st_jval x, st_jval y)
{
    const st_jbig *a = big_of(r, x), *b = big_of(r, y);
    if (a->neg != b->neg) return a->neg ? -1 : 1;
    return a->neg ? -big_order(a, b) : big_order(a, b);
}

static st_jbig *big_add(st_jrun *r, const st_jbig *a, const st_jbig *b)
{
    uint32_t n = a->n > b->n ? a->n : b->n, carry = 0;
    st_jbig *out = big_make(r, (size_t)n + 1);
    for (uint32_t i = 0; i <= n; i++) {
        uint32_t s = carry + (i < a->n ? a->d[i] : 0) + (i < b->n ? b->d[i] : 0);
        carry = s >= BASE;
        out->d[i] = carry ? s - BASE : s;
    }
    return out;
}

/* |a| - |b|, which is not negative. */
static st_jbig *big_take(st_jrun *r, const st_jbig *a, const st_jbig *b)
{
    st_jbig *out = big_make(r, a->n);
    int64_t borrow = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        int64_t s = (int64_t)a->d[i] - (i < b->n ? b->d[i] : 0) - borrow;
        borrow = s < 0;
        out->d[i] = (uint32_t)(s + (borrow ? (int64_t)BASE : 0));
    }
    return out;
}

static st_jbig *big_sum(st_jrun *r, const st_jbig *a, const st_jbig *b, bool subtract)
{
    bool neg = b->neg != subtract, smaller = big_order(a, b) < 0;
    st_jbig *out = a->neg == neg ? big_add(r, a, b) : smaller ? big_take(r, b, a) : big_take(r, a, b);
    out->neg = a->neg != neg && smaller ? neg : a->neg;
    return out;
}

static st_jbig *big_multiply(st_jrun *r, const st_jbig *a, const st_jbig *b)
{
    st_jbig *out = big_make(r, (size_t)a->n + b->n);
    st_j_step(r, (uint64_t)a->n * b->n / 16);
    for (uint32_t i = 0; i < a->n; i++) {
        uint64_t carry = 0;
        for (uint32_t k = 0; k < b->n || carry; k++) {
            uint64_t v = out->d[i + k] + carry + (k < b->n ? (uint64_t)a->d[i] * b->d[k] : 0);
            out->d[i + k] = (uint32_t)(v % BASE);
            carry = v / BASE;
        }
    }
    out->neg = a->neg != b->neg;
    while (out->n && !out->d[out->n - 1]) out->n--;
    return out;
}

/* Digit by digit, each found by halving: simple, and the numbers are short. *rest has the sign of nothing. */
static st_jbig *big_divide(st_jrun *r, const st_jbig *a, const st_jbig *b, st_jbig **rest)
{
    st_jbig *q = big_make(r, a->n), *left = big_make(r, (size_t)b->n + 1);
    left->n = 0;
    for (uint32_t i = a->n; i-- > 0;) {
        memmove(left->d + 1, left->d, left->n * sizeof *left->d);
        left->d[0] = a->d[i];
        if (left->n || a->d[i]) left->n++;
        uint32_t low = 0, high = BASE;
        st_j_step(r, b->n / 2 + 1);
        while (high - low > 1) { /* low * b <= left < high * b */
            uint32_t mid = low + (high - low) / 2, n = left->n;
            uint64_t carry = 0;
            int c = 0;
            for (uint32_t k = 0; k < b->n || carry; k++) {
                uint64_t v = carry + (k < b->n ? (uint64_t)mid * b->d[k] : 0);
                uint32_t digit = (uint32_t)(v % BASE), have = k < n ? left->d[k] : 0;
                carry = v / BASE;
                if (digit != have) c = digit < have ? -1 : 1;
                if (k + 1 >= b->n && !carry && n > k + 1) c = -1;
            }
            if (c <= 0)
                low = mid;
            else
                high = mid;
        }
        q->d[i] = low;
        uint64_t carry = 0;
        for (uint32_t k = 0; k < left->n; k++) { /* left -= low * b */
            uint64_t v = carry + (k < b->n ? (uint64_t)low * b->d[k] : 0);
            uint32_t digit = (uint32_t)(v % BASE);
            carry = v / BASE;
            if (left->d[k] < digit) {
                left->d[k] += BASE;
                carry++;
            }
            left->d[k] -= digit;
        }
        while (left->n && !left->d[left->n - 1]) left->n--;
    }
    *rest = left;
    while (q->n && !q->d[q->n - 1]) q->n--;
    return q;
}

/* Rounds towards minus infinity, as Python does. */
static st_jval big_floor_divide(st_jrun *r, st_jop op, const st_jbig *a, const st_jbig *b)
{
    st_jbig *rest, *q = big_divide(r, a, b, &rest);
    q->neg = a->neg != b->neg;
    if (q->neg && rest->n) {
        st_jbig *one = big_from_u64(r, 1, false);
        q = big_add(r, q, one);
        q->neg = true;
        rest = big_take(r, b, rest);
    }
    rest->neg = b->neg;
    return big_value(r, op == ST_N_FLOORDIV ? q : rest);
}

static st_jval big_power(st_jrun *r, st_jval base, st_jval exp)
{
    if (exp.kind == ST_J_BIG) {
        if (base.kind != ST_J_BIG &&
            (base.kind == ST_J_BOOL ? base.b : base.i) * (base.kind == ST_J_BOOL ? 1 : base.i) <= 1 &&
            base.kind != ST_J_BIG)
            return base.kind == ST_J_BOOL || base.i >= 0 || exp.big->d[0] % 2 ? base : st_j_int(1);
        ST_J_FAIL(r, "an integer of more than %d digits", ST_J_MAX_DIGITS);
    }
    int64_t e = exp.kind == ST_J_BOOL ? exp.b : exp.i;
    st_jval out = st_j_int(1);
    bool unit = base.kind == ST_J_BOOL || (base.kind == ST_J_INT && base.i >= -1 && base.i <= 1);
    for (; e; e >>= 1) {
        if (e & 1) out = st_j_binary(r, ST_N_MUL, out, base);
        if (e > 1) base = unit && base.kind == ST_J_BOOL ? base : st_j_binary(r, ST_N_MUL, base, base);
    }
    return out;
}

st_jval st_j_big_op(st_jrun *r, st_jop op, st_jval x, st_jval y)
{
    const st_jbig *a = big_of(r, x), *b = big_of(r, y);
    switch (op) {
    case ST_N_ADD: return big_value(r, big_sum(r, a, b, false));
    case ST_N_SUB: return big_value(r, big_sum(r, a, b, true));
    case ST_N_MUL: return big_value(r, big_multiply(r, a, b));
    case ST_N_POW: return big_power(r, x, y);
    default:
        if (!b->n) ST_J_FAIL(r, "division by zero");
        return big_floor_divide(r, op, a, b);
    }
}

/* ---- text ---- */

static int big_digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10 : 99;
}

st_jval st_j_int_parse(st_jrun *r, const char *p, size_t n, int base, bool *ok)
{
    bool neg = n && p[0] == '-';
    size_t i = n && (p[0] == '-' || p[0] == '+');
    int64_t small = 0;
    *ok = i < n;
    for (size_t k = i; k < n; k++)
        if (big_digit_of(p[k]) >= base) *ok = false;
    if (!*ok) return st_j_none();
    for (; i < n; i++) {
        int64_t next;
        if (__builtin_mul_overflow(small, base, &next) || __builtin_sub_overflow(next, big_digit_of(p[i]), &next))
            break;
        small = next;
    }
    if (i == n && (neg || small != INT64_MIN)) return st_j_int(neg ? small : -small);
    while (n && (p[0] == '-' || p[0] == '+' || p[0] == '0')) p++, n--;
    if (n > ST_J_MAX_DIGITS) ST_J_FAIL(r, "an integer of more than %d digits", ST_J_MAX_DIGITS);
    st_jbig *b = big_make(r, n / 5 + 2); /* a digit of any base to 36 is less than 2 of ours in 9 */
    b->n = 0;
    st_j_step(r, n * n / 256);
    for (size_t k = 0; k < n; k++) {
        uint64_t carry = (uint64_t)big_digit_of(p[k]);
        for (uint32_t j = 0; j < b->n || carry; j++) {
            if (j == b->n) b->d[b->n++] = 0;
            uint64_t v = (uint64_t)b->d[j] * (unsigned)base + carry;
            b->d[j] = (uint32_t)(v % BASE);
            carry = v / BASE;
        }
    }
    b->neg = neg;
    return big_value(r, b);
}

st_jstr st_j_int_text(st_jrun *r, st_jval v)
{
    const st_jbig *b = big_of(r, v);
    size_t cap = (size_t)b->n * 9 + 3, n = 0;
    char *out = st_j_alloc(r, cap, 1);
    if (b->neg) out[n++] = '-';
    n += (size_t)snprintf(out + n, cap - n, "%u", b->n ? b->d[b->n - 1] : 0);
    for (uint32_t i = b->n; i-- > 1;) n += (size_t)snprintf(out + n, cap - n, "%09u", b->d[i - 1]);
    return (st_jstr){.p = out, .n = n};
}

st_jstr st_j_int_base(st_jrun *r, st_jval v, unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    const st_jbig *from = big_of(r, v);
    st_jbig *b = big_make(r, (size_t)from->n + 1);
    size_t cap = (size_t)from->n * 30 + 1, at = cap;
    char *out = st_j_alloc(r, cap, 1);
    b->n = from->n;
    memcpy(b->d, from->d, from->n * sizeof *b->d);
    st_j_step(r, (uint64_t)b->n * b->n);
    do {
        uint64_t rest = 0;
        for (uint32_t i = b->n; i-- > 0;) {
            rest = rest * BASE + b->d[i];
            b->d[i] = (uint32_t)(rest / base);
            rest %= base;
        }
        while (b->n && !b->d[b->n - 1]) b->n--;
        out[--at] = digits[rest];
    } while (b->n);
    return (st_jstr){.p = out + at, .n = cap - at};
}

/* ---- and floats ---- */

/* Through text: that reads with one rounding. */
static double big_text_float(st_jrun *r, st_jstr s, int64_t exponent)
{
    double f;
    char *text = st_j_alloc(r, s.n + 32, 1);
    memcpy(text, s.p, s.n);
    int n = snprintf(text + s.n, 32, "e%lld", (long long)exponent);
    return st_j_parse_float(text, s.n + (size_t)n, &f) ? f : (double)NAN;
}

double st_j_int_float(st_jrun *r, st_jval v)
{
    if (v.kind == ST_J_BIG) return big_text_float(r, st_j_int_text(r, v), 0);
    return v.kind == ST_J_BOOL ? (double)v.b : (double)v.i;
}

st_jval st_j_int_of_float(st_jrun *r, double f)
{
    if (f > -9.2e18 && f < 9.2e18) return st_j_int((int64_t)f);
    int exp;
    double m = frexp(f, &exp); /* beyond 2^53 a float is an integer: 53 bits, shifted */
    st_jval v = st_j_int((int64_t)ldexp(m, 53));
    return st_j_binary(r, ST_N_MUL, v, st_j_binary(r, ST_N_POW, st_j_int(2), st_j_int(exp - 53)));
}

int st_j_mixed_order(st_jrun *r, st_jval i, double f)
{
    double whole = trunc(f);
    int c = st_j_int_order(r, i, st_j_int_of_float(r, whole));
    return c ? c : (whole > f) - (whole < f);
}

st_jval st_j_int_divide(st_jrun *r, st_jval x, st_jval y)
{
    const int64_t exact = (int64_t)1 << 53;
    const st_jbig *a = big_of(r, x), *b = big_of(r, y);
    if (!b->n) ST_J_FAIL(r, "division by zero");
    if (x.kind != ST_J_BIG && y.kind != ST_J_BIG) {
        double f = st_j_int_float(r, x), g = st_j_int_float(r, y);
        if (fabs(f) <= (double)exact && fabs(g) <= (double)exact) return st_j_float(f / g);
    }
    /* More digits than a tie of two such numbers could need to be told, and a 1 for what is left. */
    uint32_t more = 6 + 2 * b->n;
    st_jbig *wide = big_make(r, (size_t)a->n + more), *rest;
    memcpy(wide->d + more, a->d, a->n * sizeof *a->d);
    st_jbig *q = big_divide(r, wide, b, &rest);
    st_jbig *sticky = big_make(r, (size_t)q->n + 1);
    memcpy(sticky->d + 1, q->d, q->n * sizeof *q->d);
    sticky->d[0] = rest->n != 0;
    while (sticky->n && !sticky->d[sticky->n - 1]) sticky->n--;
    sticky->neg = a->neg != b->neg;
    if (!sticky->n) return st_j_float(a->neg != b->neg ? -0.0 : 0.0);
    st_jstr text = st_j_int_text(r, (st_jval){.kind = ST_J_BIG, .big = sticky});
    double f = big_text_float(r, text, -9 * ((int64_t)more + 1));
    if (isinf(f)) ST_J_FAIL(r, "an integer division whose result is too large for a float");
    return st_j_float(f);
}
