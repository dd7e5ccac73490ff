/* schema_number.c: numbers between bounds -> GBNF, digit by digit. Plain decimals: no exponents, at most 16 digits more
 * than the bounds have. */
#include <stdio.h>

#include "grammar/schema/schema_internal.h"

#define MORE 15 /* digits that may follow where they no longer matter */

/* ---- decimals ---------------------------------------------------------------------------------------------------- */

bool st_sdec_parse(const char *p, size_t n, st_sdec *out)
{
    char digits[2 * ST_S_DIGITS + 1]; /* significant ones */
    size_t i = 0, nd = 0;
    long point = 0, exponent = 0; /* value = 0.digits * 10^(point + exponent) */
    bool seen_point = false, exp_neg = false;
    *out = (st_sdec){0};
    if (n && p[0] == '-') out->neg = true, i++;
    for (; i < n && p[i] != 'e' && p[i] != 'E'; i++) {
        if (p[i] == '.') {
            seen_point = true;
            continue;
        }
        if (nd == 0 && p[i] == '0') {
            point -= seen_point;
            continue;
        }
        point += !seen_point;
        if (nd < sizeof digits)
            digits[nd++] = p[i];
        else if (p[i] != '0')
            return false;
    }
    if (i < n) {
        i++;
        if (i < n && (p[i] == '-' || p[i] == '+')) exp_neg = p[i++] == '-';
        for (; i < n; i++)
            if (exponent < 100000) exponent = exponent * 10 + (p[i] - '0');
    }
    while (nd && digits[nd - 1] == '0') nd--;
    if (nd == 0) {
        out->neg = false;
        out->i[0] = '0';
        out->n_int = 1;
        return true;
    }
    point += exp_neg ? -exponent : exponent;
    if (point > ST_S_DIGITS || (long)nd - point > ST_S_DIGITS) return false;
    for (long k = 0; k < point; k++) out->i[out->n_int++] = (size_t)k < nd ? digits[k] : '0';
    if (point <= 0) out->i[out->n_int++] = '0';
    for (long k = point; k < (long)nd; k++) out->f[out->n_frac++] = k < 0 ? '0' : digits[k];
    return true;
}

bool st_sdec_inside(const char *p, size_t n, bool upper, st_sdec *out, bool *none)
{
    long point = 0, exponent = 0;
    bool neg = n && p[0] == '-', seen_point = false, digit = false, exp_neg = false;
    size_t i = neg;
    for (; i < n && p[i] != 'e' && p[i] != 'E'; i++) {
        if (p[i] == '.')
            seen_point = true;
        else if (digit || p[i] != '0')
            digit = true, point += !seen_point;
        else
            point -= seen_point;
    }
    if (i < n) {
        i++;
        if (i < n && (p[i] == '-' || p[i] == '+')) exp_neg = p[i++] == '-';
        for (; i < n; i++)
            if (exponent < 100000) exponent = exponent * 10 + (p[i] - '0');
    }
    point += exp_neg ? -exponent : exponent; /* value = 0.digits * 10^point */
    bool towards = neg != upper;             /* the side that is kept is that of 0 */
    *out = (st_sdec){.neg = neg};
    *none = towards && point > 120; /* `number` has 16 digits and exponents of two */
    if (point > ST_S_DIGITS && towards) {
        memset(out->i, '9', ST_S_DIGITS);
        out->n_int = ST_S_DIGITS;
        return true;
    }
    if (point > -ST_S_DIGITS) return false;
    out->i[0] = '0';
    out->n_int = 1;
    if (towards) return out->neg = false, true; /* 0 */
    memset(out->f, '0', ST_S_DIGITS);
    out->f[ST_S_DIGITS - 1] = '1';
    out->n_frac = ST_S_DIGITS;
    return true;
}

static int number_cmp_magnitude(const st_sdec *a, const st_sdec *b)
{
    if (a->n_int != b->n_int) return a->n_int < b->n_int ? -1 : 1;
    int c = memcmp(a->i, b->i, a->n_int);
    if (c) return c;
    uint8_t n = a->n_frac < b->n_frac ? a->n_frac : b->n_frac;
    c = memcmp(a->f, b->f, n);
    return c ? c : (int)a->n_frac - (int)b->n_frac;
}

int st_sdec_cmp(const st_sdec *a, const st_sdec *b)
{
    if (a->neg != b->neg) return a->neg ? -1 : 1;
    return a->neg ? number_cmp_magnitude(b, a) : number_cmp_magnitude(a, b);
}

static bool number_is_zero(const st_sdec *d)
{
    return d->n_int == 1 && d->i[0] == '0' && d->n_frac == 0;
}

/* Whole numbers without sign: one more, one less (d > 0). Room for a carry is in the arrays. */
static void number_plus_one(st_sdec *d)
{
    int k = d->n_int - 1;
    for (; k >= 0 && d->i[k] == '9'; k--) d->i[k] = '0';
    if (k >= 0) {
        d->i[k]++;
        return;
    }
    memmove(d->i + 1, d->i, d->n_int);
    d->i[0] = '1';
    d->n_int++;
}

static void number_minus_one(st_sdec *d)
{
    int k = d->n_int - 1;
    for (; k > 0 && d->i[k] == '0'; k--) d->i[k] = '9';
    d->i[k]--;
    if (d->i[0] == '0' && d->n_int > 1) {
        memmove(d->i, d->i + 1, d->n_int - 1u);
        d->n_int--;
    }
}

/* ---- whole numbers ----------------------------------------------------------------------------------------------- */

static void number_digit_range(st_sbuf *b, char from, char to)
{
    if (from == to)
        st_sbuf_fmt(b, "\"%c\" ", from);
    else
        st_sbuf_fmt(b, "[%c-%c] ", from, to);
}

static bool number_all(const char *p, int n, char c)
{
    for (int i = 0; i < n; i++)
        if (p[i] != c) return false;
    return true;
}

/* Strings of n digits from lo to hi. One side is open after the first difference, so the recursion is n deep and its
 * output is linear. */
static void number_same_length(st_sbuf *b, const char *lo, const char *hi, int n)
{
    static const char zeros[ST_S_DIGITS + 3] = "000000000000000000000000000000000000000000",
                                          nines[ST_S_DIGITS + 3] = "999999999999999999999999999999999999999999";
    if (n == 0) return;
    if (number_all(lo, n, '0') && number_all(hi, n, '9')) {
        st_sbuf_fmt(b, "[0-9]{%d} ", n);
        return;
    }
    if (lo[0] == hi[0]) {
        number_digit_range(b, lo[0], lo[0]);
        number_same_length(b, lo + 1, hi + 1, n - 1);
        return;
    }
    char from = lo[0], to = hi[0];
    bool bar = false;
    st_sbuf_str(b, "(");
    if (!number_all(lo + 1, n - 1, '0')) {
        number_digit_range(b, from++, lo[0]);
        number_same_length(b, lo + 1, nines, n - 1);
        bar = true;
    }
    bool rest = !number_all(hi + 1, n - 1, '9');
    if (rest) to--;
    if (from <= to) {
        if (bar) st_sbuf_str(b, "| ");
        number_digit_range(b, from, to);
        if (n > 1) st_sbuf_fmt(b, "[0-9]{%d} ", n - 1);
        bar = true;
    }
    if (rest) {
        if (bar) st_sbuf_str(b, "| ");
        number_digit_range(b, hi[0], hi[0]);
        number_same_length(b, zeros, hi + 1, n - 1);
    }
    st_sbuf_str(b, ") ");
}

/* Whole numbers from lo to hi (NULL: no limit), as alternatives. */
static void number_whole(st_sbuf *b, const st_sdec *lo, const st_sdec *hi, bool *bar)
{
    char from[ST_S_DIGITS + 2], to[ST_S_DIGITS + 2];
    int last = hi ? hi->n_int : lo->n_int;
    for (int n = lo->n_int; n <= last; n++) {
        memset(from, '0', sizeof from);
        from[0] = n == 1 ? '0' : '1';
        memset(to, '9', sizeof to);
        if (n == lo->n_int) memcpy(from, lo->i, (size_t)n);
        if (hi && n == last) memcpy(to, hi->i, (size_t)n);
        if (*bar) st_sbuf_str(b, "| ");
        *bar = true;
        number_same_length(b, from, to, n);
    }
    if (!hi) { /* longer ones */
        st_sbuf_fmt(b, "| [1-9] [0-9]{%d,%d} ", lo->n_int, lo->n_int > MORE ? lo->n_int : MORE);
        *bar = true;
    }
}

/* ---- fractions --------------------------------------------------------------------------------------------------- */

static void number_any_digits(st_sbuf *b)
{
    st_sbuf_fmt(b, "[0-9]{0,%d} ", MORE);
}

/* Digits behind the point whose value is at least 0.d (open: more); may be none where d is. */
static void number_at_least(st_sbuf *b, const char *d, int n, bool open)
{
    for (int k = 0; k < n; k++) {
        st_sbuf_str(b, "(");
        if (d[k] < '9') {
            number_digit_range(b, (char)(d[k] + 1), '9');
            number_any_digits(b);
            st_sbuf_str(b, "| ");
        }
        number_digit_range(b, d[k], d[k]);
    }
    if (open)
        st_sbuf_fmt(b, "\"0\"{0,%d} [1-9] [0-9]{0,%d} ", MORE, MORE);
    else
        number_any_digits(b);
    for (int k = 0; k < n; k++) st_sbuf_str(b, ")");
    st_sbuf_str(b, " ");
}

/* One digit or more whose value is at most 0.d (open: less), d not empty and without trailing zeros unless `padded`.
 * False: none (open, and d is 0). */
static bool number_at_most(st_sbuf *b, const char *d, int n, bool open)
{
    int end = n;
    while (end > 0 && d[end - 1] == '0') end--;
    if (end == 0) { /* 0 itself */
        if (open) return false;
        st_sbuf_fmt(b, "\"0\"{1,%d} ", MORE + 1);
        return true;
    }
    int opened = 0;
    for (int k = 0; k < end; k++) {
        bool last = k + 1 == end;
        st_sbuf_str(b, "(");
        opened++;
        if (d[k] > '0') {
            number_digit_range(b, '0', (char)(d[k] - 1));
            number_any_digits(b);
            if (!(last && open)) st_sbuf_str(b, "| ");
        }
        if (last) {
            if (!open) {
                number_digit_range(b, d[k], d[k]);
                st_sbuf_fmt(b, "\"0\"{0,%d} ", MORE);
            }
        } else {
            number_digit_range(b, d[k], d[k]);
            st_sbuf_str(b, "("); /* may end here: less than d as the rest of it is not 0 */
            opened++;
        }
    }
    for (int k = opened; k > 0; k--) /* groups alternate: choice, optional rest */
        st_sbuf_str(b, (opened - k) % 2 == 0 ? ")" : ")?");
    st_sbuf_str(b, " ");
    return true;
}

/* Digits behind the point, written out, from 0.lo to 0.hi. False: none. */
static bool number_between(st_sbuf *b, const st_sdec *lo, bool lo_open, const st_sdec *hi, bool hi_open)
{
    char l[ST_S_DIGITS + 1], h[ST_S_DIGITS + 1];
    int n = lo->n_frac > hi->n_frac ? lo->n_frac : hi->n_frac, k = 0;
    memset(l, '0', sizeof l);
    memset(h, '0', sizeof h);
    memcpy(l, lo->f, lo->n_frac);
    memcpy(h, hi->f, hi->n_frac);
    while (k < n && l[k] == h[k]) {
        number_digit_range(b, l[k], l[k]);
        k++;
    }
    if (k == n) {
        if (lo_open || hi_open) return false;
        st_sbuf_fmt(b, "\"0\"{%d,%d} ", n ? 0 : 1, MORE);
        return true;
    }
    int low = n - k - 1;
    while (low > 0 && l[k + low] == '0') low--; /* zeros that stand for nothing need not be written */
    st_sbuf_str(b, "(");
    number_digit_range(b, l[k], l[k]);
    number_at_least(b, l + k + 1, low, lo_open);
    if (l[k] + 1 < h[k]) {
        st_sbuf_str(b, "| ");
        number_digit_range(b, (char)(l[k] + 1), (char)(h[k] - 1));
        number_any_digits(b);
    }
    int rest = n - k - 1;
    while (rest > 0 && h[k + rest] == '0') rest--;
    if (rest > 0) {
        st_sbuf_str(b, "| ");
        number_digit_range(b, h[k], h[k]);
        st_sbuf_str(b, "(");
        number_at_most(b, h + k + 1, rest, hi_open);
        st_sbuf_str(b, ")? ");
    } else if (!hi_open) {
        st_sbuf_str(b, "| ");
        number_digit_range(b, h[k], h[k]);
        st_sbuf_fmt(b, "\"0\"{0,%d} ", MORE);
    }
    bool zeros = k > 0 && !lo_open; /* what is left of lo stands for nothing: the digits before may be all */
    for (int m = k; m < n; m++) zeros &= l[m] == '0';
    st_sbuf_str(b, zeros ? ")? " : ") ");
    return true;
}

/* Numbers without sign from lo to hi (NULL: no limit), as alternatives. */
static void number_decimals(st_sbuf *b, const st_sdec *lo, bool lo_open, const st_sdec *hi, bool hi_open, bool *bar)
{
    if (hi && lo->n_int == hi->n_int && memcmp(lo->i, hi->i, lo->n_int) == 0) {
        size_t n = b->n;
        bool had = *bar, whole_ok = lo->n_frac == 0 && !lo_open && (hi->n_frac > 0 || !hi_open);
        if (*bar) st_sbuf_str(b, "| ");
        *bar = true;
        st_sbuf_literal(b, lo->i, lo->n_int);
        size_t point = b->n;
        st_sbuf_str(b, whole_ok ? " (\".\" " : " \".\" ");
        if (number_between(b, lo, lo_open, hi, hi_open)) {
            if (whole_ok) st_sbuf_str(b, ")? ");
        } else {
            b->n = whole_ok ? point : n;
            *bar = whole_ok || had;
        }
        return;
    }
    /* lo's own whole part */
    if (*bar) st_sbuf_str(b, "| ");
    *bar = true;
    st_sbuf_literal(b, lo->i, lo->n_int);
    if (lo->n_frac == 0 && !lo_open) {
        st_sbuf_fmt(b, " (\".\" [0-9]{1,%d})? ", MORE + 1);
    } else {
        st_sbuf_str(b, " \".\" ");
        number_at_least(b, lo->f, lo->n_frac, lo_open);
    }
    /* those between */
    st_sdec from = *lo, to;
    from.n_frac = 0;
    number_plus_one(&from);
    if (hi) {
        to = *hi;
        to.n_frac = 0;
        number_minus_one(&to);
    }
    if (!hi || number_cmp_magnitude(&from, &to) <= 0) {
        bool inner = false;
        st_sbuf_str(b, "| (");
        number_whole(b, &from, hi ? &to : NULL, &inner);
        st_sbuf_fmt(b, ") (\".\" [0-9]{1,%d})? ", MORE + 1);
    }
    if (!hi || (hi->n_frac == 0 && hi_open)) return;
    st_sbuf_str(b, "| ");
    st_sbuf_literal(b, hi->i, hi->n_int);
    if (hi->n_frac == 0) {
        st_sbuf_fmt(b, " (\".\" \"0\"{1,%d})? ", MORE + 1);
        return;
    }
    st_sbuf_str(b, " (\".\" (");
    number_at_most(b, hi->f, hi->n_frac, hi_open);
    st_sbuf_str(b, "))? ");
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

/* The nearest whole number inside a bound. */
static void number_to_whole(st_sdec *d, bool open, bool upper)
{
    bool exact = d->n_frac == 0;
    d->n_frac = 0;
    if (exact && !open) return;
    /* Towards +: a lower bound goes up, an upper one down; cutting the fraction went towards 0. */
    bool up = !upper;
    if (!exact && up == d->neg) { /* cut is already inside */
        if (number_is_zero(d)) d->neg = false;
        return;
    }
    if (number_is_zero(d)) { /* 0 that is left out, or the cut of a fraction on the other side */
        d->neg = !up;
        d->i[0] = '1';
        return;
    }
    if (up == d->neg)
        number_minus_one(d);
    else
        number_plus_one(d);
    if (number_is_zero(d)) d->neg = false;
}

bool st_snumber(st_sbuf *b, const st_sbounds *bounds, bool integer)
{
    static const st_sdec zero = {.n_int = 1, .i = "0"}, one = {.n_int = 1, .i = "1"};
    st_sbounds q = *bounds;
    bool bar = false;
    if (integer) {
        if (q.has_lo) number_to_whole(&q.lo, q.lo_open, false);
        if (q.has_hi) number_to_whole(&q.hi, q.hi_open, true);
        q.lo_open = q.hi_open = false;
    }
    if (q.has_lo && q.has_hi) {
        int c = st_sdec_cmp(&q.lo, &q.hi);
        if (c > 0 || (c == 0 && (q.lo_open || q.hi_open))) return false;
    }
    bool lo_neg = !q.has_lo || q.lo.neg, hi_neg = q.has_hi && (q.hi.neg || (number_is_zero(&q.hi) && q.hi_open));
    if (lo_neg) { /* below 0: magnitudes, the other way round */
        st_sdec top = q.lo, bottom = q.hi;
        bool bottom_open = q.hi_open;
        top.neg = bottom.neg = false;
        if (!q.has_hi || !q.hi.neg) bottom = zero, bottom_open = true;
        if (integer) {
            if (number_is_zero(&bottom)) bottom = one;
            bool inner = false;
            st_sbuf_str(b, "\"-\" (");
            number_whole(b, &bottom, q.has_lo ? &top : NULL, &inner);
            st_sbuf_str(b, ") ");
        } else {
            size_t n = b->n;
            bool inner = false;
            st_sbuf_str(b, "\"-\" (");
            number_decimals(b, &bottom, bottom_open, q.has_lo ? &top : NULL, q.lo_open, &inner);
            st_sbuf_str(b, ") ");
            if (!inner) b->n = n;
            if (!inner) goto positive;
        }
        bar = true;
    }
positive:
    if (!hi_neg) {
        st_sdec bottom = lo_neg ? zero : q.lo;
        bool open = !lo_neg && q.lo_open;
        if (integer)
            number_whole(b, &bottom, q.has_hi ? &q.hi : NULL, &bar);
        else
            number_decimals(b, &bottom, open, q.has_hi ? &q.hi : NULL, q.hi_open, &bar);
    }
    return bar;
}
