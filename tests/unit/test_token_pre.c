/* test_token_pre.c: the pre-tokenisers and NFC against what HuggingFace's do with the strings of
 * tests/data/tok/pretokenizers.bin (tools/gen_pretokenizers.py), and what the table of names promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "token/nfc.h"
#include "token/pretok.h"

static uint8_t *data;
static size_t size, at;

static int load(void **state)
{
    (void)state;
    FILE *f = fopen(STRATA_SOURCE_DIR "/tests/data/tok/pretokenizers.bin", "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size = (size_t)ftell(f);
    rewind(f);
    data = malloc(size);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, size, f), size);
    fclose(f);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    free(data);
    return 0;
}

static size_t varint(void)
{
    size_t v = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(at < size);
        uint8_t b = data[at++];
        v |= (size_t)(b & 127) << shift;
        if (b < 128) return v;
    }
}

static st_str blob(void)
{
    size_t n = varint();
    assert_true(n <= size - at);
    st_str s = {(const char *)data + at, n};
    at += n;
    return s;
}

static uint32_t word(void)
{
    assert_true(size - at >= 4);
    uint32_t v = data[at] | (uint32_t)data[at + 1] << 8 | (uint32_t)data[at + 2] << 16 | (uint32_t)data[at + 3] << 24;
    at += 4;
    return v;
}

static uint32_t fnv(uint32_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x01000193u;
    return h;
}

static st_str *strings(size_t *n)
{
    at = 7;
    assert_memory_equal(data, "STPRE1\n", 7);
    *n = varint();
    st_str *s = malloc(*n * sizeof *s);
    for (size_t i = 0; i < *n; i++) s[i] = blob();
    return s;
}

static void show(const char *what, size_t index, st_str s, const st_pretok *pre)
{
    st_splitter split = st_split_begin(pre, (const uint8_t *)s.ptr, s.len);
    print_error("%s, string %zu:", what, index);
    for (size_t begin = 0; split.at < split.n; begin = split.at) {
        st_split_next(&split);
        print_error(" [%.*s]", (int)(split.at - begin), s.ptr + begin);
    }
    print_error("\n");
}

static void splits(void **state)
{
    (void)state;
    size_t n, differ = 0;
    st_str *s = strings(&n);
    at += 4 * n; /* NFC */
    size_t names = varint(), n_known = 0;
    const st_split_stage *known[64];
    assert_true(n >= 2000 && names >= 19 && names < sizeof known / sizeof *known);
    for (size_t k = 0; k < names; k++) {
        st_str name = blob();
        const st_pretok *pre = st_pretok_find(name);
        if (!pre) fail_msg("no pre-tokenizer %.*s", ST_STR(name));
        known[n_known++] = pre->stages;
        for (size_t i = 0; i < n; i++) {
            uint32_t h = 0x811c9dc5u, want = word();
            st_splitter split = st_split_begin(pre, (const uint8_t *)s[i].ptr, s[i].len);
            while (split.at < split.n) {
                size_t before = split.at;
                st_split_next(&split);
                assert_true(split.at > before && split.at <= split.n);
                uint8_t end[4] = {(uint8_t)split.at, (uint8_t)(split.at >> 8), (uint8_t)(split.at >> 16), 0};
                h = fnv(h, end, 4);
            }
            if (h == want) continue;
            if (differ++ < 20) show(pre->name, i, s[i], pre);
        }
    }
    assert_int_equal(at, size);
    /* Every way of splitting has reference pieces, under one of its names. */
    char each[2048];
    st_pretok_names(each, sizeof each, false);
    for (char *name = each, *end; *name; name = *end ? end + 2 : end) {
        end = name + strcspn(name, ",");
        const st_pretok *pre = st_pretok_find((st_str){name, (size_t)(end - name)});
        bool found = false;
        assert_non_null(pre);
        for (size_t i = 0; i < n_known; i++) found |= known[i] == pre->stages;
        if (!found) fail_msg("pretokenizers.bin has no pieces of %s's kind (tools/gen_pretokenizers.py)", pre->name);
    }
    print_message("%zu strings, %zu pre-tokenizers, %zu differ\n", n, names, differ);
    free(s);
    assert_int_equal(differ, 0);
}

static void nfc(void **state)
{
    (void)state;
    size_t n, differ = 0, changed = 0;
    st_str *s = strings(&n);
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_normal o = {0};
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = (const uint8_t *)s[i].ptr;
        uint32_t want = word();
        o.n = 0;
        assert_true(st_nfc_append(&o, p, s[i].len, 0, true, &mem));
        differ += fnv(0x811c9dc5u, o.text, o.n) != want;
        bool same = o.n == s[i].len && memcmp(o.text, p, o.n) == 0;
        changed += !same;
        assert_true(same || st_nfc_check(p, s[i].len) < s[i].len);
        for (size_t k = 0; k < o.n; k++) {
            assert_true(o.from[k] < o.to[k] && o.to[k] <= s[i].len && (!k || o.from[k - 1] <= o.from[k]));
            if (same) assert_true(o.from[k] == k && o.to[k] == k + 1);
        }
    }
    print_message("%zu strings, %zu change, %zu differ\n", n, changed, differ);
    assert_true(changed > 50);
    assert_int_equal(differ, 0);
    /* Marks of many classes in a long row: sorted by counting, the same as one by one. */
    uint8_t marks[4000];
    size_t k = 0;
    while (k < sizeof marks - 8) k += st_utf8_put(marks + k, k % 3 ? 0x323 : 0x307);
    o.n = 0;
    assert_true(st_nfc_append(&o, (const uint8_t *)"q", 1, 0, false, &mem));
    assert_true(st_nfc_append(&o, marks, k, 1, false, &mem));
    assert_memory_equal(o.text + 1, "\xcc\xa3\xcc\xa3\xcc\xa3", 6); /* U+0323, class 220, before all U+0307, 230 */
    assert_memory_equal(o.text + o.n - 4, "\xcc\x87\xcc\x87", 4);
    st_normal_free(&o, &mem);
    assert_int_equal(mem.used, 0);
    free(s);
}

/* A megabyte of one thing takes a moment with every pre-tokeniser: no lookahead is walked twice. */
static void linear(void **state)
{
    (void)state;
#define ACUTE "\xcc\x81"
    static const char *const of[] = {
        "a",    " ", "\n",        "A",         ".",   "1",  "'",        "\xe4\xb8\xad", ACUTE,          " a",
        "\x01", "(", ("A" ACUTE), (ACUTE "A"), " \n", "1 ", "\xc2\xa0", "'S",           "\xef\xbc\x8c "};
    static const char *const names[] = {"gpt-2",        "smollm", "llama-bpe", "minicpm5",    "qwen2",
                                        "qwen35",       "gpt-4o", "tekken",    "deepseek-v3", "deepseek-coder",
                                        "deepseek-llm", "falcon", "bloom",     "viking"};
    size_t n = 1 << 18;
    uint8_t *text = malloc(n + 8);
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        const st_pretok *pre = st_pretok_find((st_str){names[k], strlen(names[k])});
        for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
            size_t len = strlen(of[i]), full = n / len * len;
            for (size_t j = 0; j < full; j++) text[j] = (uint8_t)of[i][j % len];
            clock_t begin = clock();
            st_splitter split = st_split_begin(pre, text, full);
            while (split.at < full) st_split_next(&split);
            double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
            if (seconds > 1) fail_msg("%s on '%s': %.1f s", names[k], of[i], seconds);
        }
    }
    free(text);
}

static void names(void **state)
{
    (void)state;
    static const char *const wanted[] = {"gpt-2",        "llama-bpe",      "qwen2",       "qwen35",   "smollm",
                                         "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon",   "starcoder",
                                         "refact",       "command-r",      "gpt-4o",      "tekken",   "mpt",
                                         "olmo",         "stablelm2",      "dbrx",        "poro-chat"};
    char buf[2048];
    st_pretok_names(buf, sizeof buf, true);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const st_pretok *pre = st_pretok_find((st_str){wanted[i], strlen(wanted[i])});
        if (!pre) fail_msg("no pre-tokenizer %s", wanted[i]);
        assert_non_null(strstr(buf, wanted[i]));
    }
    assert_null(st_pretok_find((st_str){"gpt-", 4}));
    assert_null(st_pretok_find((st_str){"default", 7}));
    st_pretok_names(buf, 20, false);
    assert_string_equal(buf, "gpt-2, smollm");
    assert_string_equal(st_pretok_of_arch((st_str){"gptneox", 7})->name, "gpt-neox");
    assert_string_equal(st_pretok_of_arch((st_str){"llama", 5})->name, "gpt-2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(splits, load, unload),
        cmocka_unit_test_setup_teardown(nfc, load, unload),
        cmocka_unit_test(linear),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
