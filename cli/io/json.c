/* json.c: the reader, which walks a line once, and the writer. */
#include "io/json.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* ---- reading ---- */

typedef struct reader {
    const char *start, *p, *end;
    bool lossy;
    int depth;
    json_error *err;
} reader;

__attribute__((format(printf, 2, 3))) static bool fail(reader *r, const char *fmt, ...)
{
    int n = snprintf(r->err->msg, sizeof r->err->msg, "byte %zu: ", (size_t)(r->p - r->start));
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->err->msg + n, sizeof r->err->msg - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

static void skip_space(reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) r->p++;
}

static bool take(reader *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != c) return false;
    r->p++;
    return true;
}

/* What a value at the cursor would be, for messages. */
static const char *kind(const reader *r)
{
    size_t left = (size_t)(r->end - r->p);
    if (r->p == r->end) return "the end of the line";
    switch (*r->p) {
    case '{': return "an object";
    case '[': return "an array";
    case '"': return "a string";
    case 't': return left >= 4 && memcmp(r->p, "true", 4) == 0 ? "a boolean" : "no JSON value";
    case 'f': return left >= 5 && memcmp(r->p, "false", 5) == 0 ? "a boolean" : "no JSON value";
    case 'n': return left >= 4 && memcmp(r->p, "null", 4) == 0 ? "null" : "no JSON value";
    default: return *r->p == '-' || (*r->p >= '0' && *r->p <= '9') ? "a number" : "no JSON value";
    }
}

size_t utf8_len(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    if (left < 1) return 0;
    if (u[0] < 0x80) return 1;
    /* The first continuation byte has a narrower range where overlong forms, surrogates and > U+10FFFF begin. */
    unsigned lo = 0x80, hi = 0xbf;
    size_t n;
    if (u[0] >= 0xc2 && u[0] <= 0xdf)
        n = 2;
    else if ((u[0] & 0xf0) == 0xe0)
        n = 3, lo = u[0] == 0xe0 ? 0xa0 : 0x80, hi = u[0] == 0xed ? 0x9f : 0xbf;
    else if (u[0] >= 0xf0 && u[0] <= 0xf4)
        n = 4, lo = u[0] == 0xf0 ? 0x90 : 0x80, hi = u[0] == 0xf4 ? 0x8f : 0xbf;
    else
        return 0;
    if (left < n || u[1] < lo || u[1] > hi) return 0;
    for (size_t i = 2; i < n; i++)
        if ((u[i] & 0xc0) != 0x80) return 0;
    return n;
}

static bool hex4(reader *r, unsigned *out)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++, r->p++) {
        char c = r->p < r->end ? *r->p : 0;
        if (c >= '0' && c <= '9')
            v = v << 4 | (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v << 4 | (unsigned)((c | 32) - 'a' + 10);
        else
            return fail(r, "\\u needs four hexadecimal digits");
    }
    *out = v;
    return true;
}

static void put_utf8(buf *out, unsigned c)
{
    char s[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6) s[i] = (char)(0x80 | (c & 0x3f));
    s[0] = (char)(lead[n] | c);
    buf_add(out, s, n);
}

/* After "\u". */
static bool unicode_escape(reader *r, buf *out)
{
    unsigned c = 0, low = 0;
    if (!hex4(r, &c)) return false;
    if (c >= 0xd800 && c <= 0xdbff && r->end - r->p >= 2 && r->p[0] == '\\' && r->p[1] == 'u') {
        const char *back = r->p;
        r->p += 2;
        if (!hex4(r, &low)) return false;
        if (low >= 0xdc00 && low <= 0xdfff)
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        else
            r->p = back; /* not a pair: the first stands alone */
    }
    if (c >= 0xd800 && c <= 0xdfff) {
        if (!r->lossy) return fail(r, "\\u%04x is half of a surrogate pair", c);
        c = 0xfffd;
    }
    if (out) put_utf8(out, c);
    return true;
}

/* A string at the cursor; out NULL: only checked. */
static bool string(reader *r, buf *out)
{
    if (!take(r, '"')) return fail(r, "expected a string, found %s", kind(r));
    for (;;) {
        const char *run = r->p;
        while (r->p < r->end && *r->p != '"' && *r->p != '\\' && (unsigned char)*r->p >= 0x20) {
            size_t n = utf8_len(r->p, r->end);
            if (!n && !r->lossy) return fail(r, "not valid UTF-8");
            r->p += n ? n : 1;
        }
        if (out) buf_add(out, run, (size_t)(r->p - run));
        if (r->p == r->end) return fail(r, "the string does not end");
        char c = *r->p++;
        if (c == '"') return true;
        if (c != '\\') {
            r->p--;
            return fail(r, "control character 0x%02x inside a string", (unsigned char)c);
        }
        c = r->p < r->end ? *r->p++ : 0;
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *at = c ? strchr(from, c) : NULL;
        if (c == 'u') {
            if (!unicode_escape(r, out)) return false;
        } else if (at) {
            if (out) buf_add(out, &to[at - from], 1);
        } else {
            return fail(r, "unknown escape in a string");
        }
    }
}

static size_t digits(reader *r)
{
    const char *p = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
    return (size_t)(r->p - p);
}

/* A number at the cursor; *is_int: neither fraction nor exponent. */
static bool number(reader *r, bool *is_int)
{
    *is_int = true;
    if (r->p < r->end && *r->p == '-') r->p++;
    const char *first = r->p;
    size_t n = digits(r);
    if (n == 0 || (n > 1 && *first == '0')) return fail(r, "malformed number");
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        *is_int = false;
        if (!digits(r)) return fail(r, "malformed number");
    }
    if (r->p < r->end && (*r->p | 32) == 'e') {
        r->p++;
        *is_int = false;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-')) r->p++;
        if (!digits(r)) return fail(r, "malformed number");
    }
    return true;
}

static bool word(reader *r, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n) != 0) return fail(r, "expected a JSON value");
    r->p += n;
    return true;
}

/* Consumes the value of a member; *user is the caller's. */
typedef bool (*member_fn)(reader *r, const buf *key, void *user);

static bool skip(reader *r);

static bool skip_member(reader *r, const buf *key, void *user)
{
    (void)key, (void)user;
    return skip(r);
}

static bool object(reader *r, member_fn member, void *user)
{
    if (!take(r, '{')) return fail(r, "expected an object, found %s", kind(r));
    if (++r->depth > JSON_MAX_DEPTH) return fail(r, "nested deeper than %d", JSON_MAX_DEPTH);
    buf key = {0};
    bool ok = true;
    if (!take(r, '}')) {
        do {
            key.len = 0;
            ok = string(r, member == skip_member ? NULL : &key) && (take(r, ':') || fail(r, "expected ':'"));
            skip_space(r);
            ok = ok && member(r, &key, user);
        } while (ok && take(r, ','));
        ok = ok && (take(r, '}') || fail(r, "expected ',' or '}'"));
    }
    buf_free(&key);
    r->depth--;
    return ok;
}

static bool array(reader *r, bool (*element)(reader *r, void *user), void *user)
{
    if (!take(r, '[')) return fail(r, "expected an array, found %s", kind(r));
    if (++r->depth > JSON_MAX_DEPTH) return fail(r, "nested deeper than %d", JSON_MAX_DEPTH);
    if (!take(r, ']')) {
        do {
            skip_space(r);
            if (!element(r, user)) return false;
        } while (take(r, ','));
        if (!take(r, ']')) return fail(r, "expected ',' or ']'");
    }
    r->depth--;
    return true;
}

static bool skip_element(reader *r, void *user)
{
    (void)user;
    return skip(r);
}

static bool skip(reader *r)
{
    bool is_int;
    skip_space(r);
    switch (r->p < r->end ? *r->p : 0) {
    case '{': return object(r, skip_member, NULL);
    case '[': return array(r, skip_element, NULL);
    case '"': return string(r, NULL);
    case 't': return word(r, "true");
    case 'f': return word(r, "false");
    case 'n': return word(r, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return number(r, &is_int);
    default: return fail(r, "expected a JSON value, found %s", kind(r));
    }
}

static bool nothing_follows(reader *r)
{
    skip_space(r);
    return r->p == r->end || fail(r, "more follows after the JSON value");
}

/* The member that is wanted, and whether it has been seen. */
typedef struct wanted {
    const char *field;
    bool seen;
    buf *text;
    ints *list;
    buf *raw;
} wanted;

/* Text [p, end) with U+FFFD for what is not UTF-8. */
static void add_replaced(buf *out, const char *p, const char *end)
{
    while (p < end) {
        size_t n = utf8_len(p, end);
        if (n)
            buf_add(out, p, n);
        else
            buf_add(out, "\xef\xbf\xbd", 3);
        p += n ? n : 1;
    }
}

static bool integer(reader *r, void *user)
{
    const char *p = r->p;
    bool is_int, negative = p < r->end && *p == '-';
    if (!number(r, &is_int)) return false;
    if (!is_int) return fail(r, "expected a whole number");
    int64_t v = 0;
    for (p += negative; p < r->p; p++) {
        v = v * 10 + (*p - '0');
        if (v > INT32_MAX) return fail(r, "the number does not fit 32 bits");
    }
    ints_add(user, (int32_t)(negative ? -v : v));
    return true;
}

static bool take_member(reader *r, const buf *key, void *user)
{
    wanted *w = user;
    if (key->len != strlen(w->field) || memcmp(key->p, w->field, key->len) != 0) return skip(r);
    if (w->seen) return fail(r, "\"%s\" stands twice", w->field);
    w->seen = true;
    if (w->list) return array(r, integer, w->list);
    if (w->raw) {
        const char *from = r->p;
        if (!skip(r)) return false;
        add_replaced(w->raw, from, r->p);
        return true;
    }
    if (r->p == r->end || *r->p != '"') return fail(r, "\"%s\" is %s, not a string", w->field, kind(r));
    return string(r, w->text);
}

static bool get(reader *r, wanted *w)
{
    if (!object(r, take_member, w) || !nothing_follows(r)) return false;
    if (w->seen) return true;
    snprintf(r->err->msg, sizeof r->err->msg, "no field \"%.100s\" in the object", w->field);
    return false;
}

bool json_get_string(const char *line, size_t len, const char *field, bool lossy, buf *text, json_error *err)
{
    reader r = {.start = line, .p = line, .end = line + len, .lossy = lossy, .err = err};
    size_t before = text->len;
    bool ok = get(&r, &(wanted){.field = field, .text = text});
    if (!ok) text->len = before;
    return ok;
}

int json_get_raw(const char *line, size_t len, const char *field, bool lossy, buf *out, json_error *err)
{
    reader r = {.start = line, .p = line, .end = line + len, .lossy = lossy, .err = err};
    size_t before = out->len;
    wanted w = {.field = field, .raw = out};
    if (object(&r, take_member, &w) && nothing_follows(&r)) return w.seen;
    out->len = before;
    return -1;
}

bool json_decode(const char *text, size_t len, bool lossy, buf *out, json_error *err)
{
    reader r = {.start = text, .p = text, .end = text + len, .lossy = lossy, .err = err};
    size_t before = out->len;
    bool ok = string(&r, out) && nothing_follows(&r);
    if (!ok) out->len = before;
    return ok;
}

typedef struct elements {
    json_part *p;
    size_t n, cap;
} elements;

static bool add_element(reader *r, void *user)
{
    elements *e = user;
    const char *from = r->p;
    if (!skip(r)) return false;
    e->p = must_grow(e->p, &e->cap, e->n + 1, sizeof *e->p);
    e->p[e->n++] = (json_part){from, (size_t)(r->p - from)};
    return true;
}

bool json_elements(const char *text, size_t len, bool lossy, json_part **parts, size_t *cap, size_t *n, json_error *err)
{
    reader r = {.start = text, .p = text, .end = text + len, .lossy = lossy, .err = err};
    elements e = {.p = *parts, .cap = *cap};
    bool ok = array(&r, add_element, &e) && nothing_follows(&r);
    *parts = e.p;
    *cap = e.cap;
    *n = ok ? e.n : 0;
    return ok;
}

bool json_get_ints(const char *line, size_t len, const char *field, ints *out, json_error *err)
{
    reader r = {.start = line, .p = line, .end = line + len, .err = err};
    size_t before = out->n;
    skip_space(&r);
    bool alone = r.p < r.end && *r.p == '[';
    bool ok = alone ? array(&r, integer, out) && nothing_follows(&r) : get(&r, &(wanted){.field = field, .list = out});
    if (!ok) out->n = before;
    return ok;
}

bool json_check(const char *text, size_t len, json_error *err)
{
    reader r = {.start = text, .p = text, .end = text + len, .err = err};
    return skip(&r) && nothing_follows(&r);
}

/* ---- writing ---- */

void json_put_string(FILE *f, const char *s, size_t len)
{
    const char *end = s + len;
    putc('"', f);
    while (s < end) {
        const char *run = s;
        size_t n = 1;
        while (s < end && *s != '"' && *s != '\\' && (unsigned char)*s >= 0x20 && (n = utf8_len(s, end)) > 0) s += n;
        fwrite(run, 1, (size_t)(s - run), f);
        if (s == end) break;
        unsigned char c = (unsigned char)*s++;
        if (c == '"' || c == '\\')
            putc('\\', f), putc(c, f);
        else if (c == '\n')
            fputs("\\n", f);
        else if (c == '\t')
            fputs("\\t", f);
        else if (c == '\r')
            fputs("\\r", f);
        else if (c < 0x20)
            fprintf(f, "\\u%04x", c);
        else
            fputs("\xef\xbf\xbd", f);
    }
    putc('"', f);
}

const char *json_number(double v, char out[32])
{
    if (isfinite(v))
        snprintf(out, 32, "%.9g", v);
    else
        memcpy(out, "null", sizeof "null");
    return out;
}

void json_put_floats(FILE *f, const float *v, size_t n)
{
    putc('[', f);
    for (size_t i = 0; i < n; i++) {
        char s[32];
        if (i) putc(',', f);
        fputs(json_number((double)v[i], s), f);
    }
    putc(']', f);
}

void json_put_ints(FILE *f, const int32_t *v, size_t n)
{
    putc('[', f);
    for (size_t i = 0; i < n; i++) fprintf(f, i ? ",%d" : "%d", (int)v[i]);
    putc(']', f);
}
