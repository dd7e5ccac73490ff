/* jinja_case.c: upper, lower, title; what a string is made of; '%s'. See jinja.h. */
#include "token/jinja.h"
#include "token/unicode_tables.h"
#include "token/utf8.h"

#define CASED (ST_UC_LU | ST_UC_LL | ST_UC_LT)

/* The tables map to lower case only. The upper-case letter of most scripts stands at one of few distances, and the
 * table itself tells whether a guess is right. */
static uint32_t to_upper(uint32_t cp)
{
    static const int32_t distances[] = {32,  1,      80,     48,  40,   8,    -121, 37,  38,   63,    64,    74,  86,
                                        96,  100,    112,    126, 128,  210,  202,  203, 205,  206,   207,   209, 211,
                                        213, 214,    217,    218, 219,  79,   300,  232, 7264, -3008, 38864, 28,  16,
                                        26,  -10795, -10792, 71,  -130, -195, -163, -97, -56,  -2,    2};
    const uint32_t *seq;
    if (cp < 128) return cp >= 'a' && cp <= 'z' ? cp - 32 : cp;
    if (cp == 0xb5) return 0x39c;  /* micro sign */
    if (cp == 0x3c2) return 0x3a3; /* final sigma */
    if (cp == 0x17f) return 'S';
    if (cp == 0x131) return 'I';
    if (!(st_uc_props(cp) & (ST_UC_LL | ST_UC_LT)) && !(cp >= 0x2170 && cp <= 0x24e9)) return cp;
    for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
        uint32_t up = cp - (uint32_t)distances[i];
        if (up >= 128 && !(st_uc_props(up) & ST_UC_LT) && st_uc_lower(up, &seq) == 1 && seq[0] == cp) return up;
    }
    return cp;
}

/* The character at s[at..at+n), with its mark, in the other case. */
static void put_case(st_jbuf *b, st_jstr s, size_t at, unsigned n, bool upper)
{
    bool user = s.mark ? s.mark[at] : s.user;
    unsigned len;
    uint8_t out[4];
    uint32_t cp = st_utf8_get((const uint8_t *)s.p + at, &len);
    const uint32_t *seq;
    if (upper && cp == 0xdf) {
        st_j_buf_bytes(b, "SS", 2, user);
        return;
    }
    uint32_t k = upper ? 0 : st_uc_lower(cp, &seq);
    if (upper) {
        st_j_buf_bytes(b, (const char *)out, st_utf8_put(out, to_upper(cp)), user);
    } else if (k) {
        for (uint32_t i = 0; i < k; i++) st_j_buf_bytes(b, (const char *)out, st_utf8_put(out, seq[i]), user);
    } else {
        st_j_buf_bytes(b, s.p + at, n, user);
    }
}

/* Whether a character ends a word for Jinja's title filter. */
static bool splits_title(uint32_t cp)
{
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || st_j_is_space(cp);
}

st_jstr st_j_case(st_jrun *r, st_jstr s, st_jcase how)
{
    st_jbuf b;
    bool first = true; /* of the word, or of the string */
    st_j_buf_init(&b, r);
    for (size_t at = 0; at < s.n;) {
        unsigned n;
        uint32_t cp = st_utf8_get((const uint8_t *)s.p + at, &n);
        bool upper = how == ST_CASE_UPPER || (how != ST_CASE_LOWER && first);
        st_j_step(r, 1);
        put_case(&b, s, at, n, upper);
        if (how == ST_CASE_TITLE)
            first = !(st_uc_props(cp) & CASED);
        else
            first = how == ST_CASE_JINJA_TITLE && splits_title(cp);
        at += n;
    }
    return st_j_buf_str(&b);
}

bool st_j_is_case(st_jrun *r, st_jstr s, bool upper)
{
    bool any = false;
    st_j_step(r, s.n / 8);
    for (size_t at = 0; at < s.n;) {
        unsigned n;
        uint32_t props = st_uc_props(st_utf8_get((const uint8_t *)s.p + at, &n));
        if (props & (upper ? ST_UC_LL | ST_UC_LT : ST_UC_LU | ST_UC_LT)) return false;
        any = any || (props & CASED);
        at += n;
    }
    return any;
}

bool st_j_is_class(st_jstr s, uint32_t props)
{
    for (size_t at = 0; at < s.n;) {
        unsigned n;
        uint32_t cp = st_utf8_get((const uint8_t *)s.p + at, &n);
        bool is = props == ST_UC_SPACE ? st_j_is_space(cp) : (st_uc_props(cp) & props) != 0;
        if (!is) return false;
        at += n;
    }
    return s.n != 0;
}

st_jstr st_j_format(st_jrun *r, st_jstr fmt, const st_jlist *args)
{
    st_jbuf b;
    size_t used = 0, from = 0;
    st_j_buf_init(&b, r);
    for (size_t at = 0; at < fmt.n; at++) {
        if (fmt.p[at] != '%') continue;
        st_j_buf_add(&b, st_j_sub(fmt, from, at));
        char what = ++at < fmt.n ? fmt.p[at] : 0;
        from = at + 1;
        if (what == '%') {
            st_j_buf_add(&b, st_j_sub(fmt, at, at + 1));
            continue;
        }
        if (what != 's' && what != 'd' && what != 'r') ST_J_FAIL(r, "only %%s, %%d and %%r are supported in formats");
        if (used >= args->n) ST_J_FAIL(r, "not enough arguments for a format");
        st_jval v = args->v[used++];
        if (what == 'd') v = st_j_int(st_j_need_int(r, v, "%d"));
        if (what == 'r')
            st_j_repr(&b, v);
        else
            st_j_buf_add(&b, st_j_str(r, v));
    }
    if (used < args->n) ST_J_FAIL(r, "a format leaves arguments over");
    if (from < fmt.n) st_j_buf_add(&b, st_j_sub(fmt, from, fmt.n));
    return st_j_buf_str(&b);
}
