/* test_json.c: the program's JSON: what is accepted, what is refused and where, and that what is written can be
 * read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* after the headers it wants */

#include "io/json.h"
#include "io/shown.h"

static void checks(void **state)
{
    (void)state;
    static const char *const good[] = {"{}",
                                       "[]",
                                       "null",
                                       " true ",
                                       "\"\"",
                                       "-0",
                                       "0.5e-3",
                                       "1E+2",
                                       "[1]",
                                       "[[],{}]",
                                       "{\"\":0}",
                                       "\"\\u0000\\uD83D\\uDE00\\/\"",
                                       "{\"a\":1,\"a\":2}"};
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "01",
                                      "+1",
                                      ".5",
                                      "1.",
                                      "1e",
                                      "-",
                                      "nul",
                                      "truex",
                                      "'a'",
                                      "\"",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\t\"",
                                      "\"\\ud800\"",
                                      "[1 2]",
                                      "{\"a\" 1}",
                                      "1 2",
                                      "\"\xc0\x80\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\"\xff\"",
                                      "\"\\udc00\\ud800\"",
                                      "\"\\ud800\\u0041\"",
                                      "NaN",
                                      "[\"a\":1]"};
    json_error e;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!json_check(good[i], strlen(good[i]), &e)) fail_msg("%s: %s", good[i], e.msg);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (json_check(bad[i], strlen(bad[i]), &e)) fail_msg("accepted: %s", bad[i]);
        assert_non_null(strstr(e.msg, "byte "));
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    json_error e;
    size_t n = 100000;
    char *s = malloc(n);
    memset(s, '[', n);
    assert_false(json_check(s, n, &e));
    assert_non_null(strstr(e.msg, "nested deeper"));
    for (size_t i = 0; i < JSON_MAX_DEPTH; i++) s[JSON_MAX_DEPTH + i] = ']';
    assert_true(json_check(s, (size_t)JSON_MAX_DEPTH * 2, &e));
    free(s);
}

static void strings(void **state)
{
    (void)state;
    json_error e;
    buf b = {0};
    const char *line = "{\"x\":{\"text\":\"no\"},\"te\\u0078t\":\"a\\u0000\\n\\ud83d\\ude00\\u00e9\"}";
    assert_true(json_get_string(line, strlen(line), "text", false, &b, &e));
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.p, "a\0\n\xf0\x9f\x98\x80\xc3\xa9", 9);

    static const char *const bad[] = {"{\"t\":\"a\"}",      "[\"text\"]",
                                      "{\"text\":null}",    "{\"text\":\"a\",\"text\":\"b\"}",
                                      "{\"text\":\"a\"} x", "{\"text\":\"a\",\"u\":}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(json_get_string(bad[i], strlen(bad[i]), "text", false, &b, &e));
        assert_int_equal(b.len, 9);
    }
    line = "{\"text\":\"a\xff\\ud800b\"}";
    assert_false(json_get_string(line, strlen(line), "text", false, &b, &e));
    b.len = 0;
    assert_true(json_get_string(line, strlen(line), "text", true, &b, &e));
    assert_int_equal(b.len, 6);
    assert_memory_equal(b.p,
                        "a\xff\xef\xbf\xbd"
                        "b",
                        6);
    /* As it is written, but for a replacement for each maximal part that is not UTF-8: as texts are read. */
    line = "{\"id\":\"\xe2\x82x\xff\xf0\x9f\x98\"}";
    assert_int_equal(json_get_raw(line, strlen(line), "id", false, &b, &e), -1);
    b.len = 0;
    assert_int_equal(json_get_raw(line, strlen(line), "id", true, &b, &e), 1);
    assert_int_equal(b.len, 12);
    assert_memory_equal(b.p, "\"\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\"", 12);
    buf_free(&b);
}

static void integers(void **state)
{
    (void)state;
    json_error e;
    ints v = {0};
    const char *good = "{\"n\":1.5,\"ids\":[0, -2147483647 ,2147483647]}";
    assert_true(json_get_ints(good, strlen(good), "ids", &v, &e));
    assert_true(json_get_ints("[]", 2, "ids", &v, &e));
    assert_int_equal(v.n, 3);
    assert_int_equal(v.p[1], -2147483647);
    static const char *const bad[] = {"[1.0]",       "[2147483648]", "[1e2]", "[\"1\"]", "[1",
                                      "{\"ids\":1}", "{}",           "1",     "[1]]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(json_get_ints(bad[i], strlen(bad[i]), "ids", &v, &e));
        assert_int_equal(v.n, 3);
    }
    ints_free(&v);
}

static void written_strings_read_back(void **state)
{
    (void)state;
    static const char text[] = "a\"\\\n\t\r\0\x1f\x7f h\xc3\xa9\xf0\x9f\x98\x80";
    char *s;
    size_t n;
    FILE *f = tmpfile();
    assert_non_null(f);
    fputs("{\"text\":", f);
    json_put_string(f, text, sizeof text - 1);
    fputs("}", f);
    n = (size_t)ftell(f);
    rewind(f);
    s = malloc(n);
    assert_int_equal(fread(s, 1, n, f), n);
    fclose(f);
    buf b = {0};
    json_error e;
    assert_true(json_get_string(s, n, "text", false, &b, &e));
    assert_int_equal(b.len, sizeof text - 1);
    assert_memory_equal(b.p, text, b.len);
    buf_free(&b);
    free(s);
}

/* What no JSON document can hold is never written. */
static void numbers(void **state)
{
    (void)state;
    static const double none[] = {NAN, INFINITY, -INFINITY};
    char s[32];
    for (int i = 0; i < 3; i++) assert_string_equal(json_number(none[i], s), "null");
    assert_string_equal(json_number(-1.5, s), "-1.5");
    assert_string_equal(json_number((double)0.1f, s), "0.100000001");
    assert_string_equal(json_number(-3.4028234663852886e38, s), "-3.40282347e+38");
    const float v[] = {1, NAN, -INFINITY};
    char text[64] = "";
    FILE *f = tmpfile();
    assert_non_null(f);
    json_put_floats(f, v, 3);
    rewind(f);
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    assert_string_equal(text, "[1,null,null]");
}

/* What a terminal would obey. */
static void shown(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(shown_copy(out, sizeof out, "a\x1b[2Jb\nc\x7f\xc2\x9b\xe2\x80\xae\xff\xc3\xa9"),
                        "a?[2Jb?c????\xc3\xa9");
    assert_string_equal(shown_copy(out, 4, "ab\xc3\xa9"), "ab");
    assert_string_equal(shown_copy(out, sizeof out, "\xe2\x80\x94 \xd8\xa7 \xe2\x82\xac"),
                        "\xe2\x80\x94 \xd8\xa7 \xe2\x82\xac");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks),   cmocka_unit_test(depth_is_bounded),          cmocka_unit_test(strings),
        cmocka_unit_test(integers), cmocka_unit_test(written_strings_read_back), cmocka_unit_test(numbers),
        cmocka_unit_test(shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
