/* jinja_str.c: strings that know who wrote each byte: building, cutting, searching. See jinja.h. */
#include "base/utf8.h"
#include "template/jinja.h"

void st_j_buf_init(st_jbuf *b, st_jrun *r)
{
    *b = (st_jbuf){.r = r};
}

/* Room for n more bytes. */
static void jinja_str_room(st_jbuf *b, size_t n)
{
    st_j_step(b->r, n / 64);
    if (b->is_output && n > b->r->max_output - b->n)
        ST_J_FAIL(b->r, "the output exceeds %llu bytes", (unsigned long long)b->r->max_output);
    if (n <= b->cap - b->n) return;
    size_t cap = b->cap;
    b->p = st_j_grow(b->r, b->p, &cap, b->n + n < 64 ? 64 : b->n + n, 1);
    cap = b->cap;
    b->mark = st_j_grow(b->r, b->mark, &cap, b->n + n < 64 ? 64 : b->n + n, 1);
    b->cap = cap;
}

void st_j_buf_bytes(st_jbuf *b, const char *p, size_t n, bool user)
{
    if (!n) return;
    jinja_str_room(b, n);
    memcpy(b->p + b->n, p, n);
    memset(b->mark + b->n, user, n);
    b->n += n;
    b->any_user = b->any_user || user;
    b->any_template = b->any_template || !user;
}

void st_j_buf_add(st_jbuf *b, st_jstr s)
{
    size_t at = b->n;
    st_j_buf_bytes(b, s.p, s.n, s.user);
    if (!s.mark || !s.n) return;
    memcpy(b->mark + at, s.mark, s.n);
    b->any_user = b->any_template = true;
}

st_jstr st_j_buf_str(const st_jbuf *b)
{
    bool mixed = b->any_user && b->any_template;
    return (st_jstr){b->n ? b->p : "", mixed ? b->mark : NULL, b->n, b->any_user, false};
}

bool st_j_str_equal(st_jstr a, st_jstr b)
{
    return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}

size_t st_j_cps(st_jrun *r, st_jstr s)
{
    size_t n = 0;
    st_j_step(r, s.n / 64);
    for (size_t i = 0; i < s.n; i++) n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
    return n;
}

size_t st_j_cp_offset(st_jstr s, size_t cp)
{
    size_t at = 0;
    while (cp-- && at < s.n) at += st_utf8_len((uint8_t)s.p[at]);
    return at;
}

size_t st_j_str_find(st_jrun *r, st_jstr s, size_t from, st_jstr what)
{
    unsigned tries = 0;
    if (what.n > s.n) return SIZE_MAX;
    if (!what.n) return from <= s.n ? from : SIZE_MAX;
    for (size_t at = from; at + what.n <= s.n; at++) {
        const char *p = memchr(s.p + at, what.p[0], s.n - what.n - at + 1);
        if (!p) break;
        st_j_step(r, ((size_t)(p - s.p) - at + what.n) / 64 + (++tries % 4 == 0));
        at = (size_t)(p - s.p);
        if (memcmp(p, what.p, what.n) == 0) return at;
    }
    return SIZE_MAX;
}

size_t st_j_str_rfind(st_jrun *r, st_jstr s, st_jstr what)
{
    if (what.n > s.n) return SIZE_MAX;
    for (size_t at = s.n - what.n + 1; at-- > 0;) {
        if (at % 64 == 0) st_j_step(r, 1 + what.n / 64);
        if (!what.n || (s.p[at] == what.p[0] && memcmp(s.p + at, what.p, what.n) == 0)) return at;
    }
    return SIZE_MAX;
}

bool st_j_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
           cp == 0x3000;
}

/* Whether the character at p goes: a space, or one of `chars` if they are given. */
static bool jinja_str_strips(const char *p, unsigned len, st_jval chars)
{
    unsigned n;
    if (chars.kind != ST_J_STR) return st_j_is_space(st_utf8_get((const uint8_t *)p, &n));
    for (size_t i = 0; i < chars.str.n; i += n) {
        n = st_utf8_len((uint8_t)chars.str.p[i]);
        if (n == len && memcmp(chars.str.p + i, p, n) == 0) return true;
    }
    return false;
}

st_jstr st_j_strip(st_jrun *r, st_jstr s, st_jval chars, bool left, bool right)
{
    size_t from = 0, to = s.n, per = chars.kind == ST_J_STR ? chars.str.n / 8 + 1 : 1;
    while (left && from < to) {
        unsigned n = st_utf8_len((uint8_t)s.p[from]);
        if (!jinja_str_strips(s.p + from, n, chars)) break;
        from += n;
        st_j_step(r, per);
    }
    while (right && to > from) {
        size_t p = to - 1;
        while (p > from && ((uint8_t)s.p[p] & 0xc0) == 0x80) p--;
        if (!jinja_str_strips(s.p + p, (unsigned)(to - p), chars)) break;
        to = p;
        st_j_step(r, per);
    }
    return st_j_sub(s, from, to);
}

st_jstr st_j_replace(st_jrun *r, st_jstr s, st_jstr from, st_jstr to, int64_t count)
{
    st_jbuf b;
    size_t at = 0;
    st_j_buf_init(&b, r);
    while (count != 0) {
        size_t hit = st_j_str_find(r, s, at, from);
        if (hit == SIZE_MAX) break;
        st_j_step(r, 1);
        st_j_buf_add(&b, st_j_sub(s, at, hit));
        st_j_buf_add(&b, to);
        at = hit + from.n;
        if (!from.n) { /* between all characters, as Python does */
            if (at >= s.n) break;
            size_t end = at + st_utf8_len((uint8_t)s.p[at]);
            st_j_buf_add(&b, st_j_sub(s, at, end));
            at = end;
        }
        if (count > 0) count--;
    }
    if (!at && !b.n) return s;
    st_j_buf_add(&b, st_j_sub(s, at, s.n));
    return st_j_buf_str(&b);
}

static void jinja_str_reverse(st_jlist *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        st_jval v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
}

/* At whitespace, runs of it counting once. */
static void jinja_str_split_space(st_jrun *r, st_jstr s, int64_t max, bool from_right, st_jlist *out)
{
    for (;;) {
        s = st_j_strip(r, s, st_j_none(), !from_right, from_right); /* the other side is Python's to keep */
        if (!s.n) return;
        size_t from = from_right ? s.n : 0, to = s.n;
        unsigned len = 0;
        if (max == 0) {
            from = 0;
        } else if (from_right) {
            while (from > 0) {
                size_t p = from - 1;
                while (p > 0 && ((uint8_t)s.p[p] & 0xc0) == 0x80) p--;
                if (st_j_is_space(st_utf8_get((const uint8_t *)s.p + p, &len))) break;
                from = p;
            }
        } else {
            for (to = 0; to < s.n && !st_j_is_space(st_utf8_get((const uint8_t *)s.p + to, &len)); to += len) continue;
        }
        st_j_push(r, out, st_j_string(st_j_sub(s, from, to)));
        s = from_right ? st_j_sub(s, 0, from) : st_j_sub(s, to, s.n);
        if (max == 0) return;
        if (max > 0) max--;
    }
}

st_jval st_j_split(st_jrun *r, st_jstr s, st_jval sep, int64_t max, bool from_right)
{
    st_jval out = st_j_list(r, ST_J_LIST, 0);
    if (sep.kind == ST_J_NONE) {
        jinja_str_split_space(r, s, max, from_right, out.list);
    } else {
        if (sep.kind != ST_J_STR) ST_J_FAIL(r, "split needs a string, not %s", st_j_kind_name(sep));
        if (!sep.str.n) ST_J_FAIL(r, "split with an empty separator");
        for (; max != 0; max -= max > 0) {
            size_t hit = from_right ? st_j_str_rfind(r, s, sep.str) : st_j_str_find(r, s, 0, sep.str);
            if (hit == SIZE_MAX) break;
            st_jstr head = st_j_sub(s, 0, hit), tail = st_j_sub(s, hit + sep.str.n, s.n);
            st_j_push(r, out.list, st_j_string(from_right ? tail : head));
            s = from_right ? head : tail;
        }
        st_j_push(r, out.list, st_j_string(s));
    }
    if (from_right) jinja_str_reverse(out.list);
    return out;
}

/* Length of the line end at p, 0 if there is none. */
static size_t jinja_str_line_end(const char *p, size_t n)
{
    unsigned len;
    if (p[0] == '\r' && n > 1 && p[1] == '\n') return 2;
    uint32_t cp = st_utf8_get((const uint8_t *)p, &len);
    bool ends = (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
    return ends ? len : 0;
}

st_jval st_j_split_lines(st_jrun *r, st_jstr s, bool keep_ends)
{
    st_jval out = st_j_list(r, ST_J_LIST, 0);
    size_t from = 0;
    for (size_t at = 0; at < s.n;) {
        size_t n = jinja_str_line_end(s.p + at, s.n - at);
        if (n) st_j_push(r, out.list, st_j_string(st_j_sub(s, from, keep_ends ? at + n : at)));
        at += n ? n : st_utf8_len((uint8_t)s.p[at]);
        if (n) from = at;
    }
    if (from < s.n) st_j_push(r, out.list, st_j_string(st_j_sub(s, from, s.n)));
    return out;
}

st_jstr st_j_join(st_jrun *r, st_jstr sep, const st_jlist *l)
{
    st_jbuf b;
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < l->n; i++) {
        st_j_step(r, 1);
        if (i) st_j_buf_add(&b, sep);
        st_j_buf_add(&b, st_j_str(r, l->v[i]));
    }
    return st_j_buf_str(&b);
}

st_jstr st_j_repeat(st_jrun *r, st_jstr s, int64_t n)
{
    st_jbuf b;
    st_j_buf_init(&b, r);
    for (int64_t i = 0; i < n && s.n; i++) {
        st_j_step(r, 1);
        st_j_buf_add(&b, s);
    }
    return st_j_buf_str(&b);
}
