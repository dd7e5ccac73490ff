/* jinja_case.c: upper, lower, title; what a string is made of. As Python's str has them. See jinja.h. */
#include "base/utf8.h"
#include "template/jinja.h"

enum { LOWER, UPPER, TITLE };

static uint32_t case_next(st_jstr s, size_t *at)
{
    unsigned n;
    uint32_t cp = st_utf8_get((const uint8_t *)s.p + *at, &n);
    *at += n;
    return cp;
}

/* Whether the first character from `at` on (backwards: before it) that is not ignored has case. */
static bool case_cased_beside(st_jrun *r, st_jstr s, size_t at, bool backwards)
{
    for (size_t tries = 0; backwards ? at > 0 : at < s.n; tries++) {
        size_t p = at;
        if (tries % 16 == 15) st_j_step(r, 1);
        if (backwards)
            for (p = --at; p > 0 && ((uint8_t)s.p[p] & 0xc0) == 0x80;) at = --p;
        uint32_t props = st_j_char_props(case_next(s, &p));
        if (!backwards) at = p;
        if (!(props & ST_C_IGNORED)) return props & ST_C_CASED;
    }
    return false;
}

/* The character at s[at..to), with its mark, in another case. */
static void put_case(st_jbuf *b, st_jstr s, size_t at, size_t to, int which)
{
    bool user = s.mark ? s.mark[at] : s.user;
    size_t p = at;
    uint8_t out[4];
    uint32_t cp = case_next(s, &p), seq[3];
    unsigned n = st_j_char_case(cp, which, seq);
    if (cp == 0x3a3 && which == LOWER) /* a sigma at the end of a word */
        seq[0] = case_cased_beside(b->r, s, at, true) && !case_cased_beside(b->r, s, to, false) ? 0x3c2 : 0x3c3;
    for (unsigned i = 0; i < n; i++) st_j_buf_bytes(b, (const char *)out, st_utf8_put(out, seq[i]), user);
}

/* Whether a character begins a word for Jinja's title filter: its _word_beginning_split_re. */
static bool case_splits_title(uint32_t cp)
{
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || st_j_is_space(cp);
}

/* The title filter takes words apart, so that a sigma sees no neighbours beyond them. */
static void case_jinja_title(st_jrun *r, st_jbuf *b, st_jstr s)
{
    for (size_t at = 0; at < s.n;) {
        size_t to = at, first = at;
        bool splits = case_splits_title(case_next(s, &first));
        for (size_t p = at; p < s.n && case_splits_title(case_next(s, &p)) == splits;) to = p;
        st_jstr rest = st_j_sub(s, first, to);
        put_case(b, s, at, first, UPPER);
        st_j_buf_add(b, st_j_case(r, rest, ST_CASE_LOWER));
        at = to;
    }
}

st_jstr st_j_case(st_jrun *r, st_jstr s, st_jcase how)
{
    st_jbuf b;
    bool cased = false; /* what came before */
    st_j_buf_init(&b, r);
    if (how == ST_CASE_JINJA_TITLE) case_jinja_title(r, &b, s);
    for (size_t at = 0, to = 0; how != ST_CASE_JINJA_TITLE && at < s.n; at = to) {
        uint32_t props = st_j_char_props(case_next(s, &to));
        int which = how == ST_CASE_UPPER ? UPPER : LOWER;
        if (how == ST_CASE_CAPITALIZE && !at) which = TITLE;
        if (how == ST_CASE_TITLE && !cased) which = TITLE;
        cased = props & ST_C_CASED;
        st_j_step(r, 1);
        put_case(&b, s, at, to, which);
    }
    st_jstr out = st_j_buf_str(&b);
    out.markup = s.markup && how != ST_CASE_JINJA_TITLE; /* the words are joined by a string that is none */
    return out;
}

bool st_j_is_case(st_jrun *r, st_jstr s, bool upper)
{
    bool any = false;
    st_j_step(r, s.n / 8);
    for (size_t at = 0; at < s.n;) {
        uint32_t props = st_j_char_props(case_next(s, &at));
        if (props & ((upper ? ST_C_LOWER : ST_C_UPPER) | ST_C_TITLE)) return false;
        any = any || (props & (upper ? ST_C_UPPER : ST_C_LOWER));
    }
    return any;
}

bool st_j_is_title(st_jrun *r, st_jstr s)
{
    bool any = false, before = false;
    st_j_step(r, s.n / 8);
    for (size_t at = 0; at < s.n;) {
        uint32_t props = st_j_char_props(case_next(s, &at));
        bool big = props & (ST_C_UPPER | ST_C_TITLE), small = !big && (props & ST_C_LOWER);
        if (big ? before : small && !before) return false;
        any = any || big || small;
        before = big || small;
    }
    return any;
}

bool st_j_is_class(st_jrun *r, st_jstr s, uint32_t props)
{
    st_j_step(r, s.n / 8);
    for (size_t at = 0; at < s.n;) {
        uint32_t cp = case_next(s, &at);
        if (!(props ? (st_j_char_props(cp) & props) != 0 : st_j_is_space(cp))) return false;
    }
    return s.n != 0;
}
