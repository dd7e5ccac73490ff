/* test_format.c: messages: printf's conversions, what is cut when it is too long, and what is masked. */
#include "base/format.h"

#include "base/utf8.h"
#include "engine/batcher.h"

#include "unit/test_api.h"

#define WRITES(want, ...)                                                          \
    do {                                                                           \
        char out_[256];                                                            \
        assert_int_equal(st_format(out_, sizeof out_, __VA_ARGS__), strlen(want)); \
        assert_string_equal(out_, want);                                           \
    } while (0)

static void test_conversions(void **state)
{
    (void)state;
    WRITES("", "%s", "");
    WRITES("a 1 -2 3 4 5 6", "%s %d %d %u %zu %llu %lld", "a", 1, -2, 3u, (size_t)4, 5ull, 6ll);
    WRITES("007 ff 0x0A 1e+30 0.50 %", "%03d %x 0x%02X %g %.2f %%", 7, 255, 10, 1e30, 0.5);
    WRITES("abc|ab|c", "%.*s|%.2s|%c", 3, "abcdef", "abc", 'c');
    WRITES("  7", "%*d", 3, 7);
    WRITES("18446744073709551615 -1", "%zu %hhd", SIZE_MAX, (signed char)-1);
}

/* What is behind the name of the file is there whole, and so are the file's name and the path's beginning. */
static void test_long_paths(void **state)
{
    (void)state;
    static const char *const letters[] = {"p", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    static const char reason[] = ": key 'llama.attention.head_count' is 4294967295, want 1..65536";
    char path[4200], msg[256], item[128];
    for (size_t k = 0; k < 4; k++)
        for (size_t len = 100; len < 4096; len = len * 5 / 4 + 1) {
            size_t n = (size_t)snprintf(path, sizeof path, "/srv/");
            while (n < len) n += (size_t)snprintf(path + n, sizeof path - n, "%s", letters[k]);
            snprintf(path + n, sizeof path - n, "/model.gguf");
            size_t got = st_format(msg, sizeof msg, "%s: key '%s' is %u, want %u..%u", path,
                                   "llama.attention.head_count", UINT32_MAX, 1u, 65536u);
            assert_int_equal(got, strlen(msg));
            assert_null(strchr(msg, '?'));
            if (!strstr(msg, "/model.gguf") || strncmp(msg, "/srv/", 5) != 0 ||
                strcmp(msg + got - strlen(reason), reason) != 0)
                fail_msg("%zu: %s", len, msg);
            assert_true(n + 11 + strlen(reason) < sizeof msg || strstr(msg, "..."));
            st_format(item, sizeof item, "%s", msg);
            assert_null(strchr(item, '?'));
            assert_non_null(strstr(item, reason));
        }
}

static void test_longest_of_the_others(void **state)
{
    (void)state;
    char path[300], names[300], msg[256];
    memset(path, 'p', 299), path[299] = 0;
    memset(names, 'n', 299), names[299] = 0;
    st_format(msg, sizeof msg, "%s: '%s' is not one of %s.", path, "short", names);
    assert_int_equal(strlen(msg), 255);
    assert_non_null(strstr(msg, "'short' is not one of n"));
    assert_int_equal(msg[254], '.');
    st_format(msg, 20, "a message of its own that is too long \xc3\xa9");
    assert_string_equal(msg, "a message of its ow");
    st_format(msg, 4, "ab\xc3\xa9");
    assert_string_equal(msg, "ab");
}

static void test_masks(void **state)
{
    (void)state;
    WRITES("a?[31mred?b?c?d?e?", "%s",
           "a\x1b[31mred\nb\rc\td\x7f"
           "e\xc2\x9b");
    WRITES("?2J?", "%s",
           "\x9b"
           "2J\xe2\x80\xae");
    WRITES("\xc3\xa9\xe2\x82\xac?", "%s", "\xc3\xa9\xe2\x82\xac\xe2\x80\xa8");
    WRITES("x\n?", "x\n%s", "\n");
    WRITES("?", "%c", 27);
    /* Cut off by a precision: the half of a character goes too. */
    WRITES("ab|", "%.3s|", "ab\xc3\xa9");
}

/* Of a file, as far as a caller sees it. */
static void test_messages_of_a_file(void **state)
{
    (void)state;
    static const struct {
        edit e;
        const char *what;
    } files[] = {
        {{SET_STR, "general.architecture", .str = "a\x1b[2J\nb"}, "architecture"},
        {{SET_STR, "tokenizer.ggml.model", .str = "x\x1b]0;title\x07"}, "tokenizer"},
        {{ADD, "blk.0.attn_q\x1b[0m\n.bias", .n = 8}, "attn_q?[0m?.bias"},
        {{SET_STR, "tokenizer.chat_template", .str = "{{ raise_exception('a\x1b[2Jb\\nc\xe2\x80\xae') }}"}, "chat"}};
    char name[5000];
    memset(name, 'd', sizeof name - 1);
    memcpy(name, "/start/", 7);
    strcpy(name + 4096 - 12, "/model.gguf");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const edit edits[] = {files[i].e, {0}};
        blob b = rewrite(tiny("llama-q8_0"), edits);
        strata_model *m = NULL;
        strata_error err = {0};
        char text[100];
        size_t n;
        int rc = strata_model_open_buffer(b.data, b.size, name, NULL, &m, &err);
        if (!rc) rc = strata_chat_render(m, NULL, 0, NULL, text, sizeof text, &n, &err);
        if (rc)
            for (const char *p = err.msg; *p; p++)
                if ((unsigned char)*p < 32 || (unsigned char)*p == 127 || strstr(err.msg, "\xc2\x9b") ||
                    strstr(err.msg, "\xe2\x80\xae"))
                    fail_msg("%zu: a control character in '%s'", i, err.msg);
        if (!rc || !strstr(err.msg, files[i].what) ||
            (i < 3 && (!strstr(err.msg, "/model.gguf: ") || strncmp(err.msg, "/start/", 7) != 0)))
            fail_msg("%zu: %s", i, err.msg);
        strata_model_close(m);
        free(b.data);
    }
}

/* The call's message becomes an item's, which is shorter. */
static void test_items_of_a_call(void **state)
{
    (void)state;
    char msg[256] = "a";
    for (int i = 0; i < 100; i++) strcat(msg, "\xc3\xa9");
    strcat(msg, ": the reason");
    strata_embed_item item = {.status = ST_ITEM_PENDING};
    assert_true(st_item_abandon(&item, STRATA_NO_MEMORY, msg));
    assert_int_equal(item.status, STRATA_NO_MEMORY);
    assert_int_equal(st_utf8_check(item.msg, strlen(item.msg)), strlen(item.msg));
    assert_non_null(strstr(item.msg, ": the reason"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversions),           cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_longest_of_the_others), cmocka_unit_test(test_masks),
        cmocka_unit_test(test_messages_of_a_file),    cmocka_unit_test(test_items_of_a_call)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
