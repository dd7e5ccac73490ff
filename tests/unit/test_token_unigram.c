/* test_token_unigram.c: the rules of Unigram on small vocabularies made here, and what happens when a file is wrong. */
#include "test_token_made.h"

static const tok ugm[] = {{"<pad>", 0, CONTROL}, {"</s>", 0, CONTROL}, {"<unk>", 0, UNKNOWN},   {SP, -2, NORMAL},
                          {"a", -3, NORMAL},     {"b", -3, NORMAL},    {"ab", -5, NORMAL},      {SP "a", -4, NORMAL},
                          {"abab", -9, NORMAL},  {"<x>", 0, USER},     {"<y>", 0, USER},        {"ba", -6.5f, NORMAL},
                          {"aaa", -1, UNUSED},   {"c", -20, NORMAL},   {"\xc3\xa9", -4, NORMAL}};
#define PLAIN .flag = {"tokenizer.ggml.add_space_prefix", "tokenizer.ggml.remove_extra_whitespaces"}

static void unigram_rules(void **state)
{
    (void)state;
    model m;
    opened(&m, "t5", ugm, N(ugm), &(keys){PLAIN});
    assert_string_equal(ids(&m, "ab", 0), "6");      /* -5 against -6 */
    assert_string_equal(ids(&m, "abab", 0), "8");    /* -9 against -10 */
    assert_string_equal(ids(&m, "ba", 0), "5 4");    /* -6 against -6.5 */
    assert_string_equal(ids(&m, "aaa", 0), "4 4 4"); /* unused: never */
    assert_string_equal(ids(&m, "xyz", 0), "2");     /* unknown characters join */
    assert_string_equal(ids(&m, "xaxy a", 0), "2 4 2 7");
    assert_string_equal(spans(&m, "xaxy a"), "0-1 1-2 2-4 4-6");
    assert_string_equal(ids(&m, "a<x>b", 0), "4 9 5");
    assert_string_equal(ids(&m, "</s>", 0), "2");
    assert_string_equal(ids(&m, "a</s>b", STRATA_TOKENIZE_PARSE_SPECIAL), "4 1 5");
    assert_string_equal(ids(&m, "a", STRATA_TOKENIZE_ADD_SPECIAL), "4 1"); /* EOS by default */
    assert_string_equal(ids(&m, "", STRATA_TOKENIZE_ADD_SPECIAL), "1");
    assert_string_equal(TEXT(&m, 7, 2, 4, 1), " a \xe2\x81\x87 a</s>");
    close_model(&m);
}

static void unigram_spaces(void **state)
{
    (void)state;
    model m;
    opened(&m, "t5", ugm, N(ugm), &(keys){0}); /* prefix and squeezing by default */
    assert_string_equal(ids(&m, "  a   b ", 0), "7 3 5");
    assert_string_equal(spans(&m, "  a   b "), "2-3 3-4 6-7");
    assert_string_equal(ids(&m, "   ", 0), "");
    assert_string_equal(TEXT(&m, 3, 7, 7), "a a");
    close_model(&m);
    opened(&m, "t5", ugm, N(ugm), &(keys){PLAIN, .set = {true, false}});
    assert_string_equal(ids(&m, "a a", 0), "7 7");
    assert_string_equal(ids(&m, " a", 0), "3 7");
    assert_string_equal(TEXT(&m, 3, 7), " a");
    close_model(&m);
}

static void unigram_bytes(void **state)
{
    (void)state;
    tok v[N(ugm) + 256];
    char spelled[256][8];
    memcpy(v, ugm, sizeof ugm);
    for (int b = 0; b < 256; b++) {
        snprintf(spelled[b], sizeof spelled[b], "<0x%02X>", (unsigned)b);
        v[N(ugm) + (size_t)b] = (tok){spelled[b], 0, BYTE};
    }
    model m;
    opened(&m, "t5", v, N(v), &(keys){PLAIN});
    assert_string_equal(ids(&m, "a\xc3\xbcz", 0), "4 210 203 137");
    assert_string_equal(spans(&m, "a\xc3\xbcz"), "0-1 1-2 2-3 3-4");
    assert_string_equal(TEXT(&m, 210, 203, 210, 4, 137), "\xc3\xbc" FFFD "az");
    close_model(&m);
}

/* A map made here: units of the trie by hand. Root offset 256 * 1; "A" -> "a", "A" U+0301 stays out. */
static size_t make_map(uint8_t *out, uint32_t n_units, uint32_t value, const char *strings, size_t n_strings)
{
    uint32_t units[512] = {0};
    units[0] = 256u << 10;                         /* root: its children are at 256 ^ byte */
    units[256 ^ 'A'] = 128u << 10 | 1u << 8 | 'A'; /* a leaf: its value is at (256 ^ 'A') ^ 128 */
    units[256 ^ 'A' ^ 128] = 1u << 31 | value;
    uint32_t size = n_units * 4;
    memcpy(out, &size, 4);
    memcpy(out + 4, units, n_units * 4 < sizeof units ? n_units * 4 : sizeof units);
    memcpy(out + 4 + size, strings, n_strings);
    return 4 + size + n_strings;
}

static void unigram_map(void **state)
{
    (void)state;
    uint8_t map[4096];
    model m;
#define MAP(n) PLAIN, .map = map, .n_map = (n)
    size_t n = make_map(map, 512, 1, "\0ab \0x", 6);
    opened(&m, "t5", ugm, N(ugm), &(keys){MAP(n)});
    assert_string_equal(ids(&m, "AbA", 0), "6 3 5 6 3"); /* A is "ab " */
    assert_string_equal(spans(&m, "Ab"), "0-1 0-1 1-2");
    close_model(&m);
    opened(&m, "t5", ugm, N(ugm), &(keys){MAP(n), .set = {false, true}, .map_type = ST_GGUF_I8});
    assert_string_equal(ids(&m, "A A", 0), "6 3 6"); /* the spaces of rules are squeezed, too */
    close_model(&m);
    /* Values that are no replacement count as no rule; indices stay inside. */
    static const uint32_t values[] = {4, 6, 7, 1000, 0x7fffffff};
    for (size_t i = 0; i < N(values); i++) {
        n = make_map(map, 512, values[i], "\0ab \xc3\xa9", 6);
        opened(&m, "t5", ugm, N(ugm), &(keys){MAP(n)});
        assert_string_equal(ids(&m, "Ab", 0), values[i] == 4 ? "14 5" : "2 5");
        close_model(&m);
    }
    n = make_map(map, 300, 1, "\0ab", 4);
    opened(&m, "t5", ugm, N(ugm), &(keys){MAP(n)}); /* the leaf's unit is beyond the array */
    assert_string_equal(ids(&m, "Ab", 0), "2 5");
    close_model(&m);
    opened(&m, "t5", ugm, N(ugm), &(keys){MAP(0)}); /* empty: no rules */
    close_model(&m);
    static const struct {
        uint32_t size;
        size_t n;
        const char *part;
    } bad[] = {
        {0, 1, "has 1 bytes"}, {0, 3, "has 3 bytes"},           {0, 4, "a trie of 0 bytes"},       {8, 12, "below 8"},
        {6, 40, "of 6 bytes"}, {UINT32_MAX, 40, "of 42949672"}, {0x80000000u, 40, "of 2147483648"}};
    for (size_t i = 0; i < N(bad); i++) {
        memset(map, 0, sizeof map);
        memcpy(map, &bad[i].size, 4);
        refused(STRATA_CORRUPT_MODEL, bad[i].part, "t5", ugm, N(ugm), &(keys){MAP(bad[i].n)});
    }
    n = make_map(map, 512, 1, "\0\xff", 3);
    refused(STRATA_CORRUPT_MODEL, "not UTF-8", "t5", ugm, N(ugm), &(keys){MAP(n)});
    refused(STRATA_CORRUPT_MODEL, "not an array of bytes", "t5", ugm, N(ugm),
            &(keys){MAP(n / 4 * 4), .map_type = ST_GGUF_F32});
}

/* Against every segmentation's score, in the order that sentencepiece tries them. */
static void unigram_against_naive(void **state)
{
    (void)state;
    model m;
    opened(&m, "t5", ugm, N(ugm), &(keys){PLAIN});
    uint64_t seed = 3;
    for (int round = 0; round < 500; round++) {
        char text[64], want[400] = "";
        size_t n = 1 + NEXT % 60, from[64] = {0}, stack[64], k = 0;
        int id[64] = {0};
        float best[64];
        for (size_t i = 0; i < n; i++) text[i] = "aabbc"[NEXT % 5];
        for (size_t i = 0; i <= n; i++) best[i] = i ? -1e30f : 0;
        for (size_t i = 0; i < n; i++)
            for (size_t v = 3; v < N(ugm); v++) {
                size_t len = strlen(ugm[v].s);
                if (ugm[v].type != NORMAL || i + len > n || memcmp(text + i, ugm[v].s, len) != 0) continue;
                float sum = best[i] + ugm[v].score;
                if (sum > best[i + len]) best[i + len] = sum, from[i + len] = i, id[i + len] = (int)v;
            }
        for (size_t i = n; i; i = from[i]) stack[k++] = i;
        for (size_t o = 0, j = k; j--;)
            o += (size_t)snprintf(want + o, sizeof want - o, "%s%d", o ? " " : "", id[stack[j]]);
        assert_string_equal(ids_n(&m, text, n, 0), want);
    }
    close_model(&m);
}

static void unigram_wrong(void **state)
{
    (void)state;
    tok v[N(ugm)];
    memcpy(v, ugm, sizeof ugm);
    float zero = ugm[0].score;
    v[4].score = -1 / zero;
    refused(STRATA_CORRUPT_MODEL, "token 4 has the score -inf", "t5", v, N(v), &(keys){0});
    v[4].score = zero / zero;
    refused(STRATA_CORRUPT_MODEL, "token 4 has the score", "t5", v, N(v), &(keys){0});
    v[4] = (tok){"<0x-1>", 0, BYTE};
    refused(STRATA_CORRUPT_MODEL, "token 4 is a byte token", "t5", v, N(v), &(keys){0});
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.unknown_token_id", "t5", ugm, 2, &(keys){0});
    v[4] = (tok){"\xff\xfe", -1, NORMAL}; /* not UTF-8, empty, double: harmless */
    v[5] = (tok){"", -1, NORMAL};
    v[6] = (tok){SP "a", -1, NORMAL};
    model m;
    opened(&m, "t5", v, N(v), &(keys){PLAIN});
    assert_string_equal(ids(&m, " ab", 0), "6 2");
    close_model(&m);
}

static void unigram_long(void **state)
{
    (void)state;
    model m;
    opened(&m, "t5", ugm, N(ugm), &(keys){0});
    size_t n = 1 << 18;
    char *text = malloc(n);
    static const char *const of[] = {"a", "ab", " ", "x", "<x>", "b "};
    for (size_t k = 0; k < N(of); k++) {
        for (size_t i = 0; i < n; i++) text[i] = of[k][i % strlen(of[k])];
        st_tokens out = {.mem = &m.mem};
        clock_t begin = clock();
        assert_int_equal(st_tokenizer_encode(m.t, text, n, 0, &out, &m.err), 0);
        assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5);
        st_tokens_free(&out);
    }
    free(text);
    close_model(&m);
}

static void unigram_memory(void **state)
{
    (void)state;
    uint8_t map[4096];
    size_t n = make_map(map, 512, 1, "\0ab ", 5);
    model m;
    make_file(&m, "t5", ugm, N(ugm), &(keys){MAP(n)});
    fail_every_allocation(&m);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unigram_rules), cmocka_unit_test(unigram_spaces),        cmocka_unit_test(unigram_bytes),
        cmocka_unit_test(unigram_map),   cmocka_unit_test(unigram_against_naive), cmocka_unit_test(unigram_wrong),
        cmocka_unit_test(unigram_long),  cmocka_unit_test(unigram_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
