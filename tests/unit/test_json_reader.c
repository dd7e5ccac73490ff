/* test_json_reader.c: the one reader of JSON: what RFC 8259 has is taken, everything else refused, where and why; and
 * what each of its three users, schemas, templates and the program's lines, adds to that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* after the headers it wants */

#include "base/json.h"
#include "grammar/schema/schema_internal.h"
#include "template/jinja.h"

#define N(a)   (sizeof(a) / sizeof *(a))
#define LONE   ST_JSON_LONE_SURROGATES
#define BYTES  ST_JSON_ANY_BYTES
#define NANS   ST_JSON_NAN
#define S(...) __VA_ARGS__, sizeof(__VA_ARGS__) - 1 /* a text that may hold NULs, and its length */

/* One value, then nothing. Every prefix lies in memory of its own size, so that a sanitizer sees what is read
 * beyond. */
static bool accepts(const char *text, size_t n, unsigned flags, st_json *j)
{
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n) memcpy(copy, text, n);
    st_json_begin(j, copy, n, 64, flags);
    st_json_event e;
    while ((e = st_json_next(j)) > ST_JSON_END) continue;
    if (e == ST_JSON_ERROR) assert_int_equal(st_json_next(j), ST_JSON_ERROR);
    j->text = text; /* for the reason */
    free(copy);
    return e == ST_JSON_END;
}

static const struct {
    const char *text;
    size_t n;
    unsigned also; /* flags without which it is refused */
    bool good;
    const char *why; /* what is said of it when it is refused */
    size_t at;
} cases[] = {
    /* values, and white space */
    {S("null"), 0, true, NULL, 0},
    {S(" \t\r\n true \t\r\n"), 0, true, NULL, 0},
    {S("false"), 0, true, NULL, 0},
    {S(""), 0, false, "found the end, want a value of JSON", 0},
    {S("  "), 0, false, "found the end, want a value of JSON", 2},
    {S("nul"), 0, false, "found 'n', want a value of JSON", 0},
    {S("nulls"), 0, false, "found 's', want the end", 4},
    {S("True"), 0, false, "found 'T', want a value of JSON", 0},
    {S("TRUE"), 0, false, "found 'T', want a value of JSON", 0},
    {S("undefined"), 0, false, "found 'u', want a value of JSON", 0},
    {S("\0"), 0, false, "found byte 0x00, want a value of JSON", 0},
    {S("1\0"), 0, false, "found byte 0x00, want the end", 1},
    {S("\f1"), 0, false, "found byte 0x0c, want a value of JSON", 0},
    {S("\v1"), 0, false, "found byte 0x0b, want a value of JSON", 0},
    {S("1\xc2\xa0"), 0, false, "found byte 0xc2, want the end", 1},
    {S("\xef\xbb\xbf{}"), 0, false, "found byte 0xef, want a value of JSON", 0},
    {S("1 2"), 0, false, "found '2', want the end", 2},
    {S("{}{}"), 0, false, "found '{', want the end", 2},
    {S("[]]"), 0, false, "found ']', want the end", 2},
    {S("/**/1"), 0, false, "found '/', want a value of JSON", 0},
    {S("1//"), 0, false, "found '/', want the end", 1},
    {S("\xff"), 0, false, "byte 0xff is not UTF-8", 0},
    {S("{\xe5}"), 0, false, "byte 0xe5 is not UTF-8", 1},
    {S("<1>"), 0, false, "found '<', want a value of JSON", 0},
    {S("*"), 0, false, "found '*', want a value of JSON", 0},
    /* numbers */
    {S("0"), 0, true, NULL, 0},
    {S("-0"), 0, true, NULL, 0},
    {S("-0.0e-0"), 0, true, NULL, 0},
    {S("1E+2"), 0, true, NULL, 0},
    {S("1e0002"), 0, true, NULL, 0},
    {S("123456789012345678901234567890.5e-400"), 0, true, NULL, 0},
    {S("01"), 0, false, "found '1', want the end", 1},
    {S("-01"), 0, false, "found '1', want the end", 2},
    {S("00"), 0, false, "found '0', want the end", 1},
    {S("-"), 0, false, "found the end, want a digit", 1},
    {S("--1"), 0, false, "found '-', want a digit", 1},
    {S("+1"), 0, false, "found '+', want a value of JSON", 0},
    {S(".5"), 0, false, "found '.', want a value of JSON", 0},
    {S("-.5"), 0, false, "found '.', want a digit", 1},
    {S("1."), 0, false, "found the end, want a digit", 2},
    {S("1.e5"), 0, false, "found 'e', want a digit", 2},
    {S("1.2.3"), 0, false, "found '.', want the end", 3},
    {S("1e"), 0, false, "found the end, want a digit", 2},
    {S("1e+"), 0, false, "found the end, want a digit", 3},
    {S("1e5.5"), 0, false, "found '.', want the end", 3},
    {S("1ee2"), 0, false, "found 'e', want a digit", 2},
    {S("1_000"), 0, false, "found '_', want the end", 1},
    {S("1 000"), 0, false, "found '0', want the end", 2},
    {S("0x1f"), 0, false, "found 'x', want the end", 1},
    {S("1f"), 0, false, "found 'f', want the end", 1},
    {S("\xef\xbc\x91"), 0, false, "found byte 0xef, want a value of JSON", 0},
    {S("NaN"), NANS, false, "found 'N', want a value of JSON", 0},
    {S("Infinity"), NANS, false, "found 'I', want a value of JSON", 0},
    {S("-Infinity"), NANS, false, "found 'I', want a digit", 1},
    {S("[-Infinity,NaN,-1]"), NANS, false, "found 'I', want a digit", 2},
    {S("-NaN"), 0, false, "found 'N', want a digit", 1},
    {S("+Infinity"), 0, false, "found '+', want a value of JSON", 0},
    {S("Inf"), 0, false, "found 'I', want a value of JSON", 0},
    {S("nan"), 0, false, "found 'n', want a value of JSON", 0},
    /* strings */
    {S("\"\""), 0, true, NULL, 0},
    {S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), 0, true, NULL, 0},
    {S("\"\\u0000\\uABCD\\uabcd\""), 0, true, NULL, 0},
    {S("\"\\uD83D\\uDE00\\ud83d\\ude00\""), 0, true, NULL, 0},
    {S("\"\x7f\xc2\x80\xe2\x80\xa8\xef\xbf\xbf\xf4\x8f\xbf\xbf\""), 0, true, NULL, 0},
    {S("\"0123456789012345678901234567890123456789\""), 0, true, NULL, 0},
    {S("\""), 0, false, "a string without end", 0},
    {S(" \"abcdefgh"), 0, false, "a string without end", 1},
    {S("\"\\\""), 0, false, "a string without end", 0},
    {S("\"\\"), 0, false, "found the end, want an escape of JSON", 2},
    {S("\"\\x\""), 0, false, "found 'x', want an escape of JSON", 2},
    {S("\"\\a\""), 0, false, "found 'a', want an escape of JSON", 2},
    {S("\"\\'\""), 0, false, "found ''', want an escape of JSON", 2},
    {S("\"\\U0041\""), 0, false, "found 'U', want an escape of JSON", 2},
    {S("\"\\\0\""), 0, false, "found byte 0x00, want an escape of JSON", 2},
    {S("\"\\\n\""), 0, false, "found byte 0x0a, want an escape of JSON", 2},
    {S("\"\\\xf0\x9f\x98\x80\""), 0, false, "found byte 0xf0, want an escape of JSON", 2},
    {S("\"\\u\""), 0, false, "found '\"', want four hexadecimal digits", 3},
    {S("\"\\u12"), 0, false, "found the end, want four hexadecimal digits", 5},
    {S("\"\\u00g0\""), 0, false, "found 'g', want four hexadecimal digits", 5},
    {S("\"\\u+123\""), 0, false, "found '+', want four hexadecimal digits", 3},
    {S("\"a\tb\""), 0, false, "found byte 0x09, want an escape: control characters may not stand in a string", 2},
    {S("\"0123456789abcdef\n\""), 0, false, "found byte 0x0a", 17},
    {S("\"a\0b\""), 0, false, "found byte 0x00", 2},
    {S("'a'"), 0, false, "found ''', want a value of JSON", 0},
    {S("\xe2\x80\x9c\xe2\x80\x9d"), 0, false, "found byte 0xe2, want a value of JSON", 0},
    {S("\"a\"b\""), 0, false, "found 'b', want the end", 3},
    {S("\"\\ud800\""), LONE, false, "half a surrogate pair", 1},
    {S("\"a\\udc00\""), LONE, false, "half a surrogate pair", 2},
    {S("\"\\ud800\\u0041\""), LONE, false, "half a surrogate pair", 1},
    {S("\"\\ud800\\ud800\\udc00\""), LONE, false, "half a surrogate pair", 1},
    {S("\"\\udc00\\ud800\""), LONE, false, "half a surrogate pair", 1},
    {S("\"\\ud800\\n\""), LONE, false, "half a surrogate pair", 1},
    {S("\"\\ud800\\u00\""), 0, false, "found '\"', want four hexadecimal digits", 11},
    {S("\"\\ud800\\"), 0, false, "", 0},
    {S("\"\xff\""), BYTES, false, "byte 0xff is not UTF-8", 1},
    {S("\"abcdefgh\x80\""), BYTES, false, "byte 0x80 is not UTF-8", 9},
    {S("\"\xc0\x80\""), BYTES, false, "byte 0xc0 is not UTF-8", 1},
    {S("\"\xe0\x80\x80\""), BYTES, false, "byte 0xe0 is not UTF-8", 1},
    {S("\"\xed\xa0\x80\""), BYTES, false, "byte 0xed is not UTF-8", 1},
    {S("\"\xf4\x90\x80\x80\""), BYTES, false, "byte 0xf4 is not UTF-8", 1},
    {S("\"\xf8\x88\x80\x80\x80\""), BYTES, false, "byte 0xf8 is not UTF-8", 1},
    {S("\"\xc3\""), BYTES, false, "byte 0xc3 is not UTF-8", 1},
    {S("\"\xc3\\n\""), BYTES, false, "byte 0xc3 is not UTF-8", 1},
    {S("\"\xe2\x82\\ud800\""), BYTES | LONE, false, "byte 0xe2 is not UTF-8", 1},
    {S("{\"\xff\":1}"), BYTES, false, "byte 0xff is not UTF-8", 2},
    /* arrays */
    {S("[]"), 0, true, NULL, 0},
    {S("[ ]"), 0, true, NULL, 0},
    {S("[1,\"a\",[],{},null]"), 0, true, NULL, 0},
    {S("[[[]]]"), 0, true, NULL, 0},
    {S("["), 0, false, "found the end, want a value of JSON", 1},
    {S("[1"), 0, false, "found the end, want ',' or ']'", 2},
    {S("[1,"), 0, false, "found the end, want a value of JSON", 3},
    {S("[1,]"), 0, false, "found ']', want a value of JSON", 3},
    {S("[,1]"), 0, false, "found ',', want a value of JSON", 1},
    {S("[,]"), 0, false, "found ',', want a value of JSON", 1},
    {S("[1,,2]"), 0, false, "found ',', want a value of JSON", 3},
    {S("[1 2]"), 0, false, "found '2', want ',' or ']'", 3},
    {S("[1:2]"), 0, false, "found ':', want ',' or ']'", 2},
    {S("[\"a\":1]"), 0, false, "found ':', want ',' or ']'", 4},
    {S("[1}"), 0, false, "found '}', want ',' or ']'", 2},
    {S("[}"), 0, false, "found '}', want a value of JSON", 1},
    {S("]"), 0, false, "found ']', want a value of JSON", 0},
    {S("[1];"), 0, false, "found ';', want the end", 3},
    /* objects */
    {S("{}"), 0, true, NULL, 0},
    {S("{ }"), 0, true, NULL, 0},
    {S("{\"\":0}"), 0, true, NULL, 0},
    {S("{ \"a\" : 1 , \"a\" : [ { } ] }"), 0, true, NULL, 0},
    {S("{\"\\u0000\\\"\":{\"b\":{}}}"), 0, true, NULL, 0},
    {S("{"), 0, false, "found the end, want a name in quotes", 1},
    {S("{\"a\""), 0, false, "found the end, want ':'", 4},
    {S("{\"a\":"), 0, false, "found the end, want a value of JSON", 5},
    {S("{\"a\":1"), 0, false, "found the end, want ',' or '}'", 6},
    {S("{\"a\":1,"), 0, false, "found the end, want a name in quotes", 7},
    {S("{\"a\":1,}"), 0, false, "found '}', want a name in quotes", 7},
    {S("{,}"), 0, false, "found ',', want a name in quotes", 1},
    {S("{a:1}"), 0, false, "found 'a', want a name in quotes", 1},
    {S("{1:1}"), 0, false, "found '1', want a name in quotes", 1},
    {S("{null:1}"), 0, false, "found 'n', want a name in quotes", 1},
    {S("{'a':1}"), 0, false, "found ''', want a name in quotes", 1},
    {S("{[]:1}"), 0, false, "found '[', want a name in quotes", 1},
    {S("{\"a\" 1}"), 0, false, "found '1', want ':'", 5},
    {S("{\"a\",1}"), 0, false, "found ',', want ':'", 4},
    {S("{\"a\"=1}"), 0, false, "found '=', want ':'", 4},
    {S("{\"a\"::1}"), 0, false, "found ':', want a value of JSON", 5},
    {S("{\"a\":}"), 0, false, "found '}', want a value of JSON", 5},
    {S("{\"a\":1 \"b\":2}"), 0, false, "found '\"', want ',' or '}'", 7},
    {S("{\"a\":1]"), 0, false, "found ']', want ',' or '}'", 6},
    {S("{]"), 0, false, "found ']', want a name in quotes", 1},
    {S("}"), 0, false, "found '}', want a value of JSON", 0},
    {S("{\"a\":1}/**/"), 0, false, "found '/', want the end", 7},
};

static void cases_are_judged(void **state)
{
    (void)state;
    char why[ST_JSON_REASON];
    st_json j;
    for (size_t i = 0; i < N(cases); i++) {
        for (unsigned flags = 0; flags < 8; flags++) {
            bool want = cases[i].good || (cases[i].also && (cases[i].also & ~flags) == 0);
            if (accepts(cases[i].text, cases[i].n, flags, &j) != want)
                fail_msg("%s with flags %u: accepted %d", cases[i].text, flags, !want);
        }
        if (cases[i].good || !cases[i].why[0]) continue;
        accepts(cases[i].text, cases[i].n, 0, &j);
        if (!strstr(st_json_reason(&j, why), cases[i].why) || j.at != cases[i].at)
            fail_msg("%s: '%s' at %zu, want '%s' at %zu", cases[i].text, why, j.at, cases[i].why, cases[i].at);
    }
}

/* A text whose every beginning is refused, but for the whole. */
static void beginnings_are_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1.5e+3,\"x\\u00e9\\ud83d\\ude00\\n\xc3\xa9\",null,true,{\"b\":{}},[]],\"c\":\"\"}";
    st_json j;
    for (size_t n = 0; n < sizeof text - 1; n++) assert_false(accepts(text, n, 7, &j));
    assert_true(accepts(text, sizeof text - 1, 0, &j));
}

/* The same verdict from those who build on the reader: schemas are strict, templates are Python's. */
static bool schema_reads(const char *text, size_t n, strata_error *err)
{
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_sjson j = {.text = text, .len = n, .mem = &mem, .err = err};
    int rc = st_sjson_parse(&j);
    st_sjson_free(&j);
    assert_true(mem.used == 0);
    return rc == STRATA_OK;
}

static bool template_reads(const char *text, size_t n, strata_error *err)
{
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_jrun r = {.mem = &mem, .max_bytes = 1 << 20, .steps = 1 << 20, .err = err};
    bool ok = !setjmp(r.leave);
    if (ok) (void)st_j_json_parse(&r, (st_str){text, n}, "x");
    st_j_free_all(&r);
    return r.status == 0;
}

static void users_agree(void **state)
{
    (void)state;
    strata_error err;
    st_json j;
    for (size_t i = 0; i < N(cases); i++) {
        const char *text = cases[i].text;
        if (cases[i].n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) continue; /* they skip a byte order mark */
        bool strict = accepts(text, cases[i].n, 0, &j);
        /* Whose names stand twice is the one thing that schemas do not take. */
        if (schema_reads(text, cases[i].n, &err) != (strict && !strstr(text, ", \"a\" :")))
            fail_msg("as a schema: %s", text);
        if (!strict && !strstr(err.msg, "schema")) fail_msg("%s: %s", text, err.msg);
        bool loose = accepts(text, cases[i].n, LONE | NANS, &j);
        if (template_reads(text, cases[i].n, &err) != loose) fail_msg("in a template: %s", text);
    }
}

static void strings_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        unsigned flags;
        const char *out;
        size_t len;
    } c[] = {
        {S("\"\""), 0, S("")},
        {S("\"abc\""), 0, S("abc")},
        {S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), 0, S("\"\\/\b\f\n\r\t")},
        {S("\"a\\u0000b\""), 0, S("a\0b")},
        {S("\"\\u007f\\u0080\\u07FF\\u0800\\uffff\""), 0, S("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
        {S("\"x\\ud800\\udc00\\uDBFF\\uDFFFy\""), 0, S("x\xf0\x90\x80\x80\xf4\x8f\xbf\xbfy")},
        {S("\"\\ud800\\ud800\\udc00\\udc00\""), LONE, S("\xef\xbf\xbd\xf0\x90\x80\x80\xef\xbf\xbd")},
        {S("\"\\ud800\\u0041\\n\""), LONE,
         S("\xef\xbf\xbd"
           "A\n")},
        {S("\"\xff\\t\xc3\""), BYTES, S("\xff\t\xc3")},
    };
    for (size_t i = 0; i < N(c); i++) {
        st_json j;
        char out[64];
        st_json_begin(&j, c[i].text, c[i].n, 1, c[i].flags);
        assert_int_equal(st_json_next(&j), ST_JSON_STRING);
        assert_true(st_json_room(&j) >= c[i].len);
        assert_int_equal(st_json_string(&j, out), c[i].len);
        assert_memory_equal(out, c[i].out, c[i].len);
        out[c[i].len] = 0;
        assert_int_equal(st_json_is(&j, out), strlen(out) == c[i].len);
        out[c[i].len] = 'x';
        out[c[i].len + 1] = 0;
        assert_false(st_json_is(&j, out));
        assert_int_equal(st_json_is(&j, ""), c[i].len == 0);
    }
}

static void events(void **state)
{
    (void)state;
    static const char text[] = " {\"a\":[1, -2.5 ],\"b\":{\"c\":\"d\"}, \"e\":false } ";
    static const struct {
        st_json_event e;
        const char *what;
    } want[] = {{ST_JSON_OBJECT, "{"},    {ST_JSON_NAME, "\"a\""},   {ST_JSON_ARRAY, "["},    {ST_JSON_NUMBER, "1"},
                {ST_JSON_NUMBER, "-2.5"}, {ST_JSON_CLOSE, "]"},      {ST_JSON_NAME, "\"b\""}, {ST_JSON_OBJECT, "{"},
                {ST_JSON_NAME, "\"c\""},  {ST_JSON_STRING, "\"d\""}, {ST_JSON_CLOSE, "}"},    {ST_JSON_NAME, "\"e\""},
                {ST_JSON_FALSE, "false"}, {ST_JSON_CLOSE, "}"}};
    st_json j;
    st_json_begin(&j, text, sizeof text - 1, 2, 0);
    for (size_t i = 0; i < N(want); i++) {
        assert_int_equal(st_json_next(&j), want[i].e);
        assert_int_equal(j.to - j.from, strlen(want[i].what));
        assert_memory_equal(text + j.from, want[i].what, j.to - j.from);
        if (want[i].e == ST_JSON_NUMBER) assert_int_equal(j.whole, !strchr(want[i].what, '.'));
    }
    assert_int_equal(st_json_next(&j), ST_JSON_END);
    assert_int_equal(st_json_next(&j), ST_JSON_END);

    /* A value at once. */
    st_json_begin(&j, text, sizeof text - 1, 2, 0);
    assert_int_equal(st_json_next(&j), ST_JSON_OBJECT);
    assert_int_equal(st_json_next(&j), ST_JSON_NAME);
    assert_true(st_json_finish(&j, st_json_next(&j)));
    assert_memory_equal(text + j.from, "[1, -2.5 ]", j.to - j.from);
    assert_int_equal(j.to - j.from, 10);
    assert_int_equal(st_json_next(&j), ST_JSON_NAME);
    assert_true(st_json_is(&j, "b"));
    assert_false(st_json_finish(&j, ST_JSON_NAME));
}

static void depth_is_bounded(void **state)
{
    (void)state;
    enum { LEVELS = ST_JSON_MAX_DEPTH };
    char text[2 * LEVELS + 2], why[ST_JSON_REASON];
    st_json j;
    for (uint32_t max = 2; max <= LEVELS; max += 127) {
        memset(text, '[', max);
        memset(text + max, ']', max);
        st_json_begin(&j, text, 2 * (size_t)max, max, 0);
        assert_true(st_json_finish(&j, st_json_next(&j)) && st_json_next(&j) == ST_JSON_END);
        st_json_begin(&j, text, 2 * (size_t)max, max - 1, 0);
        assert_false(st_json_finish(&j, st_json_next(&j)));
        assert_int_equal(j.why, ST_JSON_DEEP);
        assert_int_equal(j.at, max - 1);
        assert_non_null(strstr(st_json_reason(&j, why), "nested deeper than "));
    }
    /* An open bracket is a bit: each is closed by its own kind. */
    char mixed[LEVELS * 8];
    size_t n = 0;
    for (int i = 0; i < LEVELS / 2; i++) n += (size_t)snprintf(mixed + n, sizeof mixed - n, "[{\"\":");
    mixed[n++] = '0';
    size_t opened = n;
    for (int i = 0; i < LEVELS / 2; i++) mixed[n++] = '}', mixed[n++] = ']';
    st_json_begin(&j, mixed, n, LEVELS, 0);
    assert_true(st_json_finish(&j, st_json_next(&j)) && st_json_next(&j) == ST_JSON_END);
    for (size_t at = opened; at < n; at++) { /* the other bracket */
        char was = mixed[at];
        mixed[at] = was == '}' ? ']' : '}';
        st_json_begin(&j, mixed, n, LEVELS, 0);
        assert_false(st_json_finish(&j, st_json_next(&j)));
        assert_int_equal(j.at, at);
        mixed[at] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_are_judged), cmocka_unit_test(beginnings_are_refused),
        cmocka_unit_test(users_agree),      cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(events),           cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
