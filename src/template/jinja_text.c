/* jinja_text.c: filters on text that few templates use, and the names of those that are not there. See jinja.h. */
#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "template/jinja_program.h"

static st_jstr text_url_quote(st_jrun *r, st_jval v, bool query)
{
    static const char hex[] = "0123456789ABCDEF";
    st_jstr s = st_j_str(r, v);
    st_jbuf b;
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        bool user = s.mark ? s.mark[i] : s.user;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_.-~", c);
        char out[3] = {'%', hex[c >> 4], hex[c & 15]};
        if (c && (plain || (c == '/' && !query)))
            st_j_buf_bytes(&b, s.p + i, 1, user);
        else if (c == ' ' && query)
            st_j_buf_bytes(&b, "+", 1, user);
        else
            st_j_buf_bytes(&b, out, 3, user);
    }
    return st_j_buf_str(&b);
}

static st_jval text_urlencode(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jbuf b;
    st_j_args_done(r, a, 0, "", "urlencode");
    bool pairs = st_j_is_list(v) || v.kind == ST_J_DICT || v.kind == ST_J_ITER || v.kind == ST_J_VIEW ||
                 v.kind == ST_J_RANGE || v.kind == ST_J_UNDEF;
    if (!pairs) return st_j_string(text_url_quote(r, v, false));
    if (v.kind == ST_J_DICT) {
        st_jview items = {v.dict, ST_VIEW_ITEMS};
        st_jval view = {.kind = ST_J_VIEW, .view = &items};
        v = st_j_iter(r, st_j_iterate(r, view));
    }
    st_jlist l = st_j_iterate(r, v);
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < l.n; i++) {
        st_jlist pair = st_j_iterate(r, l.v[i]);
        if (pair.n != 2) ST_J_FAIL(r, "urlencode needs pairs");
        if (i) st_j_buf_bytes(&b, "&", 1, false);
        st_j_buf_add(&b, text_url_quote(r, pair.v[0], true));
        st_j_buf_bytes(&b, "=", 1, false);
        st_j_buf_add(&b, text_url_quote(r, pair.v[1], true));
    }
    return st_j_string(st_j_buf_str(&b));
}

static st_jval text_center(st_jrun *r, st_jval v, st_jargs *a)
{
    int64_t width = st_j_clamp_int(r, st_j_option(r, a, 0, "width", st_j_int(80)), "center");
    st_j_args_done(r, a, 1, "width", "center");
    return st_j_string(st_j_pad(r, st_j_str(r, v), width, st_j_lit(" "), 'c'));
}

static st_jval text_truncate(st_jrun *r, st_jval v, st_jargs *a)
{
    int64_t length = st_j_clamp_int(r, st_j_option(r, a, 0, "length", st_j_int(255)), "truncate");
    bool kill = st_j_true(r, st_j_option(r, a, 1, "killwords", st_j_none()));
    st_jstr end = st_j_need_str(r, st_j_option(r, a, 2, "end", st_j_string(st_j_lit("..."))), "truncate");
    st_jval leeway = st_j_option(r, a, 3, "leeway", st_j_none());
    int64_t more = leeway.kind == ST_J_NONE ? 5 : st_j_clamp_int(r, leeway, "truncate"), keep, all;
    st_j_args_done(r, a, 4, "length killwords end leeway", "truncate");
    keep = length - (int64_t)st_j_cps(r, end);
    if (keep < 0 || more < 0) ST_J_FAIL(r, "truncate to less than its end has, or with a leeway below 0");
    if (v.kind == ST_J_UNDEF) return v;
    st_jstr s = st_j_need_str(r, v, "truncate");
    if (__builtin_add_overflow(length, more, &all)) all = INT64_MAX;
    if ((int64_t)st_j_cps(r, s) <= all) return v;
    s = st_j_sub(s, 0, st_j_cp_offset(s, (size_t)keep));
    if (!kill) s = st_j_split(r, s, st_j_string(st_j_lit(" ")), 1, true).list->v[0].str;
    return st_j_binary(r, ST_N_ADD, st_j_string(s), st_j_string(end));
}

/* Runs of letters, digits and '_'. */
static st_jval text_wordcount(st_jrun *r, st_jval v, st_jargs *a)
{
    st_jstr s = st_j_str(r, v);
    int64_t n = 0;
    bool inside = false;
    st_j_args_done(r, a, 0, "", "wordcount");
    st_j_step(r, s.n / 8);
    for (size_t at = 0; at < s.n;) {
        unsigned len;
        uint32_t cp = st_utf8_get((const uint8_t *)s.p + at, &len);
        bool word = cp == '_' || (st_j_char_props(cp) & (ST_C_ALPHA | ST_C_NUMERIC | ST_C_DIGIT | ST_C_DECIMAL));
        n += word && !inside;
        inside = word;
        at += len;
    }
    return st_j_int(n);
}

static st_jval text_filesizeformat(st_jrun *r, st_jval v, st_jargs *a)
{
    static const char *const units[] = {"kB",  "MB",  "GB",  "TB",  "PB",  "EB",  "ZB",  "YB",
                                        "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    bool binary = st_j_true(r, st_j_option(r, a, 0, "binary", st_j_none()));
    double bytes, base = binary ? 1024 : 1000, unit = base;
    st_jbuf b;
    st_j_args_done(r, a, 1, "binary", "filesizeformat");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    st_jargs none = {0};
    st_j_push(r, &none.pos, st_j_none());
    st_jval f = v.kind == ST_J_STR ? st_j_filter(r, st_j_lit("float"), v, &none) : v;
    if (!st_j_number(r, f, &bytes)) ST_J_FAIL(r, "filesizeformat needs a number, not %s", st_j_kind_name(v));
    st_j_buf_init(&b, r);
    if (bytes == 1) return st_j_string(st_j_lit("1 Byte"));
    if (bytes < base) {
        if (!isfinite(bytes)) ST_J_FAIL(r, "filesizeformat of a float that is not finite");
        st_j_buf_add(&b, st_j_int_text(r, st_j_int_of_float(r, trunc(bytes))));
        st_j_buf_bytes(&b, " Bytes", 6, false);
        return st_j_string(st_j_buf_str(&b));
    }
    int i = 0;
    for (; i < 8; i++) {
        unit *= base;
        if (bytes < unit) break;
    }
    if (isnan(bytes)) i = 8;
    st_j_buf_add(&b, st_j_format_spec(r, st_j_float(base * bytes / unit), st_j_lit(".1f")));
    st_j_buf_bytes(&b, " ", 1, false);
    st_j_buf_add(&b, st_j_lit(units[(i < 8 ? i : 7) + (binary ? 8 : 0)]));
    return st_j_string(st_j_buf_str(&b));
}

static st_jval text_xmlattr(st_jrun *r, st_jval v, st_jargs *a)
{
    bool space = st_j_true(r, st_j_option(r, a, 0, "autospace", st_j_bool(true)));
    st_jbuf b;
    st_j_args_done(r, a, 1, "autospace", "xmlattr");
    if (v.kind == ST_J_UNDEF) st_j_undefined(r, v);
    if (v.kind != ST_J_DICT) ST_J_FAIL(r, "xmlattr needs a dict, not %s", st_j_kind_name(v));
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < v.dict->n; i++) {
        st_jval key = v.dict->v[i].key, val = v.dict->v[i].val;
        if (val.kind == ST_J_NONE || val.kind == ST_J_UNDEF) continue;
        st_jstr name = st_j_need_str(r, key, "xmlattr");
        for (size_t k = 0; k < name.n; k++)
            if (strchr(" \t\n\r\f\v/>=", name.p[k]) && name.p[k])
                ST_J_FAIL(r, "a character that no attribute may have");
        if (b.n || space) st_j_buf_bytes(&b, " ", 1, false);
        st_j_buf_add(&b, name.markup ? name : st_j_escape(r, key));
        st_j_buf_bytes(&b, "=\"", 2, false);
        st_j_buf_add(&b, val.kind == ST_J_STR && val.str.markup ? val.str : st_j_escape(r, val));
        st_j_buf_bytes(&b, "\"", 1, false);
    }
    return st_j_string(st_j_buf_str(&b));
}

/* What `open` ... `close` encloses goes. */
static st_jstr text_cut_between(st_jrun *r, st_jstr s, const char *open, const char *close)
{
    st_jbuf b;
    size_t at = 0, from, to;
    st_j_buf_init(&b, r);
    while ((from = st_j_str_find(r, s, at, st_j_lit(open))) != SIZE_MAX &&
           (to = st_j_str_find(r, s, from, st_j_lit(close))) != SIZE_MAX) {
        st_j_step(r, 1);
        st_j_buf_add(&b, st_j_sub(s, at, from));
        at = to + strlen(close);
    }
    st_j_buf_add(&b, st_j_sub(s, at, s.n));
    return st_j_buf_str(&b);
}

/* markupsafe's striptags: comments, tags, runs of blanks, and the entities that markup has. */
static st_jval text_striptags(st_jrun *r, st_jval v, st_jargs *a)
{
    static const char *const pairs[][2] = {
        {"&lt;", "<"}, {"&gt;", ">"}, {"&#39;", "'"}, {"&#34;", "\""}, {"&quot;", "\""}};
    st_jstr s = st_j_str(r, v);
    st_j_args_done(r, a, 0, "", "striptags");
    s.markup = false;
    s = text_cut_between(r, text_cut_between(r, s, "<!--", "-->"), "<", ">");
    st_jlist *words = st_j_split(r, s, st_j_none(), -1, false).list;
    s = st_j_join(r, st_j_lit(" "), words);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '&') continue;
        bool known = s.n - i >= 5 && memcmp(s.p + i, "&amp;", 5) == 0;
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
            size_t n = strlen(pairs[k][0]);
            known = known || (s.n - i >= n && memcmp(s.p + i, pairs[k][0], n) == 0);
        }
        bool entity = i + 1 < s.n && (s.p[i + 1] == '#' || ((s.p[i + 1] | 0x20) >= 'a' && (s.p[i + 1] | 0x20) <= 'z'));
        if (!known && entity) ST_J_FAIL(r, "striptags with an entity other than those of escape");
    }
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
        s = st_j_replace(r, s, st_j_lit(pairs[k][0]), st_j_lit(pairs[k][1]), -1);
    return st_j_string(st_j_replace(r, s, st_j_lit("&amp;"), st_j_lit("&"), -1));
}

const st_jfilter st_j_filters_text[] = {{"urlencode", text_urlencode},
                                        {"center", text_center},
                                        {"truncate", text_truncate},
                                        {"wordcount", text_wordcount},
                                        {"filesizeformat", text_filesizeformat},
                                        {"xmlattr", text_xmlattr},
                                        {"striptags", text_striptags},
                                        /* Jinja's, but not ours: they say so when they are reached */
                                        {"wordwrap", NULL},
                                        {"urlize", NULL},
                                        {"pprint", NULL},
                                        {"random", NULL},
                                        {NULL, NULL}};
