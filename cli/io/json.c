/* json.c: the reader, which walks a line once, and the writer. */
#include "io/json.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

/* ---- reading ---- */

size_t utf8_len(const char *p, const char *end)
{
    unsigned bad;
    return p < end ? st_utf8_step((const uint8_t *)p, (size_t)(end - p), &bad) : 0;
}

__attribute__((format(printf, 3, 4))) static bool json_line_fail(json_error *err, size_t at, const char *fmt, ...)
{
    int n = snprintf(err->msg, sizeof err->msg, "byte %zu: ", at);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg + n, sizeof err->msg - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

static bool json_broken(const st_json *j, json_error *err)
{
    char why[ST_JSON_REASON];
    return json_line_fail(err, j->at, "%s", st_json_reason(j, why));
}

static void json_begin(st_json *j, const char *text, size_t len, bool lossy)
{
    st_json_begin(j, text, len, JSON_MAX_DEPTH, lossy ? ST_JSON_LONE_SURROGATES | ST_JSON_ANY_BYTES : 0);
}

/* What the value is that the reader met, or what stands where one should. */
static const char *json_kind(const st_json *j, st_json_event e)
{
    static const char *const kinds[] = {
        [ST_JSON_NULL] = "null",       [ST_JSON_FALSE] = "a boolean", [ST_JSON_TRUE] = "a boolean",
        [ST_JSON_NUMBER] = "a number", [ST_JSON_STRING] = "a string", [ST_JSON_ARRAY] = "an array",
        [ST_JSON_OBJECT] = "an object"};
    if (e >= ST_JSON_NULL && e <= ST_JSON_OBJECT) return kinds[e];
    if (j->from >= j->len) return "the end of the line";
    char c = j->text[j->from];
    return c == '"' ? "a string" : c == '-' || (c >= '0' && c <= '9') ? "a number" : "no JSON value";
}

static bool json_nothing_follows(st_json *j, json_error *err)
{
    return st_json_next(j) == ST_JSON_END || json_broken(j, err);
}

static void json_add_string(const st_json *j, buf *out)
{
    out->p = must_grow(out->p, &out->cap, out->len + st_json_room(j) + 1, 1);
    out->len += st_json_string(j, out->p + out->len);
}

/* Text [p, end) with U+FFFD for each maximal part that is not UTF-8, as the library replaces them. */
static void json_add_replaced(buf *out, const char *p, const char *end)
{
    while (p < end) {
        unsigned bad = 0, n = st_utf8_step((const uint8_t *)p, (size_t)(end - p), &bad);
        if (n)
            buf_add(out, p, n);
        else
            buf_add(out, "\xef\xbf\xbd", 3);
        p += n ? n : bad;
    }
}

/* The member that is wanted, and the one place where it goes. */
typedef struct wanted {
    const char *field;
    buf *text; /* of a string */
    buf *raw;
    ints *list;
} wanted;

static bool json_integers(st_json *j, ints *out, json_error *err)
{
    st_json_event e;
    while ((e = st_json_next(j)) == ST_JSON_NUMBER && j->whole) {
        bool negative = j->text[j->from] == '-';
        int64_t v = 0;
        for (size_t i = j->from + negative; i < j->to; i++) {
            v = v * 10 + (j->text[i] - '0');
            if (v > INT32_MAX) return json_line_fail(err, j->from, "the number does not fit 32 bits");
        }
        ints_add(out, (int32_t)(negative ? -v : v));
    }
    if (e == ST_JSON_ERROR) return json_broken(j, err);
    if (e == ST_JSON_NUMBER) return json_line_fail(err, j->from, "expected a whole number");
    return e == ST_JSON_CLOSE || json_line_fail(err, j->from, "expected a whole number, found %s", json_kind(j, e));
}

/* The value that e began, of the member that is wanted. */
static bool json_take(st_json *j, st_json_event e, const wanted *w, json_error *err)
{
    if (w->list) {
        if (e != ST_JSON_ARRAY) return json_line_fail(err, j->from, "expected an array, found %s", json_kind(j, e));
        return json_integers(j, w->list, err);
    }
    if (w->text && (e == ST_JSON_ERROR ? strcmp(json_kind(j, e), "a string") != 0 : e != ST_JSON_STRING))
        return json_line_fail(err, j->from, "\"%s\" is %s, not a string", w->field, json_kind(j, e));
    if (!st_json_finish(j, e)) return json_broken(j, err);
    if (w->text)
        json_add_string(j, w->text);
    else
        json_add_replaced(w->raw, j->text + j->from, j->text + j->to);
    return true;
}

/* Reads an object to its end. *seen: the member is there. */
static bool json_get(st_json *j, const wanted *w, bool *seen, json_error *err)
{
    st_json_event e = st_json_next(j);
    *seen = false;
    if (e != ST_JSON_OBJECT) return json_line_fail(err, j->from, "expected an object, found %s", json_kind(j, e));
    while ((e = st_json_next(j)) == ST_JSON_NAME) {
        bool it = st_json_is(j, w->field);
        e = st_json_next(j);
        if (!it) {
            if (!st_json_finish(j, e)) return json_broken(j, err);
            continue;
        }
        if (*seen) return json_line_fail(err, j->from, "\"%s\" stands twice", w->field);
        if (!json_take(j, e, w, err)) return false;
        *seen = true;
    }
    return e == ST_JSON_CLOSE ? json_nothing_follows(j, err) : json_broken(j, err);
}

static bool json_get_or_say(st_json *j, const wanted *w, json_error *err)
{
    bool seen;
    if (!json_get(j, w, &seen, err)) return false;
    if (!seen) snprintf(err->msg, sizeof err->msg, "no field \"%.100s\" in the object", w->field);
    return seen;
}

bool json_get_string(const char *line, size_t len, const char *field, bool lossy, buf *text, json_error *err)
{
    st_json j;
    size_t before = text->len;
    json_begin(&j, line, len, lossy);
    bool ok = json_get_or_say(&j, &(wanted){.field = field, .text = text}, err);
    if (!ok) text->len = before;
    return ok;
}

int json_get_raw(const char *line, size_t len, const char *field, bool lossy, buf *out, json_error *err)
{
    st_json j;
    size_t before = out->len;
    json_begin(&j, line, len, lossy);
    bool seen;
    if (json_get(&j, &(wanted){.field = field, .raw = out}, &seen, err)) return seen;
    out->len = before;
    return -1;
}

bool json_decode(const char *text, size_t len, bool lossy, buf *out, json_error *err)
{
    st_json j;
    json_begin(&j, text, len, lossy);
    st_json_event e = st_json_next(&j);
    if (e == ST_JSON_ERROR) return json_broken(&j, err);
    if (e != ST_JSON_STRING) return json_line_fail(err, j.from, "expected a string, found %s", json_kind(&j, e));
    st_json string = j;
    if (!json_nothing_follows(&j, err)) return false;
    json_add_string(&string, out);
    return true;
}

bool json_elements(const char *text, size_t len, bool lossy, json_part **parts, size_t *cap, size_t *n, json_error *err)
{
    st_json j;
    *n = 0;
    json_begin(&j, text, len, lossy);
    st_json_event e = st_json_next(&j);
    if (e != ST_JSON_ARRAY) return json_line_fail(err, j.from, "expected an array, found %s", json_kind(&j, e));
    size_t got = 0;
    while ((e = st_json_next(&j)) != ST_JSON_CLOSE) {
        if (!st_json_finish(&j, e)) return json_broken(&j, err);
        *parts = must_grow(*parts, cap, got + 1, sizeof **parts);
        (*parts)[got++] = (json_part){j.text + j.from, j.to - j.from};
    }
    if (!json_nothing_follows(&j, err)) return false;
    *n = got;
    return true;
}

bool json_get_ints(const char *line, size_t len, const char *field, ints *out, json_error *err)
{
    st_json j, at_first;
    size_t before = out->n;
    json_begin(&j, line, len, false);
    at_first = j;
    bool alone = st_json_next(&at_first) == ST_JSON_ARRAY;
    bool ok = alone ? json_integers(&at_first, out, err) && json_nothing_follows(&at_first, err)
                    : json_get_or_say(&j, &(wanted){.field = field, .list = out}, err);
    if (!ok) out->n = before;
    return ok;
}

bool json_check(const char *text, size_t len, json_error *err)
{
    st_json j;
    json_begin(&j, text, len, false);
    return st_json_finish(&j, st_json_next(&j)) ? json_nothing_follows(&j, err) : json_broken(&j, err);
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
