/* test_token.c: the rules of the tokenizers on small vocabularies made here, and what happens when a file is wrong.
 * test_token_golden.c compares ids with the references. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_memalign */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "convert/gguf_write.h"
#include "token/token.h"
#include "token/unicode_tables.h"
#include "token/utf8_fix.h"

#define SP   "\xe2\x96\x81"
#define FFFD "\xef\xbf\xbd"
#define N(a) (sizeof(a) / sizeof(a)[0])

enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE };

typedef struct tok {
    const char *s;
    float score;
    int type;
} tok;

/* What a file says beyond its tokens; a zero says nothing. */
typedef struct keys {
    int no_scores, no_types, no_tokens, cut_scores, cut_types, f64_scores; /* damage */
    const char *key[4];                                                    /* u32 keys and values */
    uint32_t value[4];
    const char *flag[4]; /* bool keys and values */
    bool set[4];
} keys;

typedef struct model {
    st_mem mem;
    uint8_t *data;
    size_t size;
    st_gguf g;
    st_tokenizer *t;
    strata_error err;
} model;

static void make_file(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    st_gguf_writer *w;
    st_str *s = malloc((n + 1) * sizeof *s);
    float *scores = malloc((n + 1) * sizeof *scores);
    int32_t *types = malloc((n + 1) * sizeof *types);
    st_mem_init(&m->mem, NULL, 0);
    m->t = NULL;
    m->err = (strata_error){0};
    assert_int_equal(st_gguf_writer_open(&m->mem, &w, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        s[i] = (st_str){v[i].s, strlen(v[i].s)};
        scores[i] = v[i].score;
        types[i] = v[i].type;
    }
    assert_int_equal(st_gguf_put_str(w, "general.architecture", "test", 4, NULL), 0);
    if (kind) assert_int_equal(st_gguf_put_str(w, "tokenizer.ggml.model", kind, strlen(kind), NULL), 0);
    if (!k->no_tokens) assert_int_equal(st_gguf_put_strings(w, "tokenizer.ggml.tokens", s, n, NULL), 0);
    if (!k->no_scores)
        assert_int_equal(st_gguf_put_array(w, "tokenizer.ggml.scores", k->f64_scores ? ST_GGUF_I32 : ST_GGUF_F32,
                                           scores, n - (size_t)k->cut_scores, NULL),
                         0);
    if (!k->no_types)
        assert_int_equal(
            st_gguf_put_array(w, "tokenizer.ggml.token_type", ST_GGUF_I32, types, n - (size_t)k->cut_types, NULL), 0);
    for (int i = 0; i < 4 && k->key[i]; i++) assert_int_equal(st_gguf_put_u32(w, k->key[i], k->value[i], NULL), 0);
    for (int i = 0; i < 4 && k->flag[i]; i++) assert_int_equal(st_gguf_put_bool(w, k->flag[i], k->set[i], NULL), 0);
    assert_int_equal(st_gguf_writer_finish(w, &m->data, &m->size, NULL), 0);
    st_gguf_writer_close(w);
    free(s);
    free(scores);
    free(types);
    if (st_gguf_parse(&m->g, m->data, m->size, "test.gguf", true, &m->mem, &m->err)) fail_msg("%s", m->err.msg);
}

static int open_model(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    make_file(m, kind, v, n, k ? k : &(keys){0});
    return st_tokenizer_open(&m->g, NULL, NULL, &m->mem, &m->t, &m->err);
}

static void close_model(model *m)
{
    st_tokenizer_close(m->t);
    st_gguf_free(&m->g);
    st_free(&m->mem, m->data);
    assert_int_equal(m->mem.used, 0);
}

static void opened(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    if (open_model(m, kind, v, n, k)) fail_msg("%s", m->err.msg);
}

/* The file is refused with this status and a message that holds `part`. */
static void refused(int status, const char *part, const char *kind, const tok *v, size_t n, const keys *k)
{
    model m;
    assert_int_equal(open_model(&m, kind, v, n, k), status);
    if (!strstr(m.err.msg, part)) fail_msg("'%s' lacks '%s'", m.err.msg, part);
    close_model(&m);
}

/* Ids of a text, space-separated. */
static const char *ids_n(model *m, const char *text, size_t len, unsigned flags)
{
    static char buf[4096];
    st_tokens out = {.mem = &m->mem};
    if (st_tokenizer_encode(m->t, text, len, flags, &out, &m->err)) fail_msg("%s", m->err.msg);
    size_t n = 0;
    buf[0] = 0;
    for (size_t i = 0; i < out.n && n < sizeof buf - 16; i++)
        n += (size_t)snprintf(buf + n, sizeof buf - n, "%s%d", i ? " " : "", out.ids[i]);
    st_tokens_free(&out);
    return buf;
}

static const char *ids(model *m, const char *text, unsigned flags)
{
    return ids_n(m, text, strlen(text), flags);
}

/* "begin-end" of each token. */
static const char *spans(model *m, const char *text, unsigned flags)
{
    static char buf[4096];
    st_tokens out = {.mem = &m->mem, .want_spans = true};
    if (st_tokenizer_encode(m->t, text, strlen(text), flags, &out, &m->err)) fail_msg("%s", m->err.msg);
    size_t n = 0;
    buf[0] = 0;
    for (size_t i = 0; i < out.n; i++)
        n += (size_t)snprintf(buf + n, sizeof buf - n, "%s%zu-%zu", i ? " " : "", out.spans[i].begin, out.spans[i].end);
    st_tokens_free(&out);
    return buf;
}

static const char *text_of(model *m, const int32_t *id, size_t n)
{
    static char buf[1024];
    size_t len = 0;
    if (st_tokenizer_decode(m->t, id, n, buf, sizeof buf - 1, &len, &m->err)) fail_msg("%s", m->err.msg);
    assert_true(len < sizeof buf);
    buf[len] = 0;
    return buf;
}
#define TEXT(m, ...) text_of(m, (const int32_t[]){__VA_ARGS__}, N(((const int32_t[]){__VA_ARGS__})))

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------- */

static void utf8_check(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n, bad;
    } cases[] = {{"", 0, 0},
                 {"abc", 3, 3},
                 {"abcdefgh\xff", 9, 8},
                 {"\xc3\xa9", 2, 2},
                 {"\xc3", 1, 0},
                 {"a\xe2\x82", 3, 1},
                 {"\xed\xa0\x80", 3, 0},
                 {"\xed\x9f\xbf", 3, 3},
                 {"\xc0\xaf", 2, 0},
                 {"\xf4\x8f\xbf\xbf", 4, 4},
                 {"\xf4\x90\x80\x80", 4, 0},
                 {"\xe0\x9f\xbf", 3, 0},
                 {"\x00\x80", 2, 1}};
    for (size_t i = 0; i < N(cases); i++) assert_int_equal(st_utf8_check(cases[i].s, cases[i].n), cases[i].bad);
}

static void utf8_fix(void **state)
{
    (void)state;
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_utf8_fixed f;
    /* A truncated sequence is one part, each stray byte one: WHATWG. */
    assert_true(st_utf8_fix("a\xf0\x9f\x98z\x80\xff", 7, &mem, &f));
    assert_int_equal(f.len, 11);
    assert_memory_equal(f.text, "a" FFFD "z" FFFD FFFD, 11);
    static const size_t begin[] = {0, 1, 1, 1, 4, 5, 5, 5, 6, 6, 6}, end[] = {0, 1, 4, 4, 4, 5, 6, 6, 6, 7, 7, 7};
    for (size_t i = 0; i < 11; i++) assert_int_equal(st_utf8_fixed_offset(&f, i, false), begin[i]);
    for (size_t i = 0; i < 12; i++) assert_int_equal(st_utf8_fixed_offset(&f, i, true), end[i]);
    st_utf8_fixed_free(&f, &mem);
    assert_int_equal(mem.used, 0);
}

static void utf8_code_points(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xd800 && cp < 0xe000) continue;
        uint8_t b[4];
        unsigned n = st_utf8_put(b, cp), len;
        assert_int_equal(st_utf8_check((char *)b, n), n);
        assert_int_equal(st_utf8_get(b, &len), cp);
        assert_int_equal(len, n);
        assert_int_equal(st_utf8_len(b[0]), n);
    }
}

/* ---- Unicode tables ---------------------------------------------------------------------------------------------- */

static void unicode_tables(void **state)
{
    (void)state;
    assert_true(st_uc_props('a') & ST_UC_L && st_uc_props('A') & ST_UC_LU && st_uc_props('7') & ST_UC_NUMERIC);
    assert_true(st_uc_props(0x4e00) & ST_UC_HAN && st_uc_props(0x4e00) & ST_UC_BERT_CJK);
    assert_true(st_uc_props(0x85) & ST_UC_SPACE && st_uc_props(0x85) & ST_UC_BERT_REMOVE);
    assert_false(st_uc_props(0x1c) & ST_UC_SPACE); /* Python's isspace says yes */
    assert_true(st_uc_props(0xe000) & ST_UC_BERT_REMOVE);
    assert_false(st_uc_props(0xffff) & ST_UC_BERT_REMOVE);
    assert_int_equal(st_uc_ccc(st_uc_props(0x301)), 230);
    assert_int_equal(st_uc_props(0x110000), 0);
    uint32_t seq[4];
    const uint32_t *low;
    assert_int_equal(st_uc_nfd(0xe9, seq), 2);
    assert_int_equal(seq[1], 0x301);
    assert_int_equal(st_uc_nfd(0xac01, seq), 3);
    assert_int_equal(st_uc_lower(0x130, &low), 2);
    assert_int_equal(st_uc_lower('a', &low), 0);
    for (int i = 1; i < ST_UC_N_PAIRS; i++) {
        const uint32_t *a = st_uc_pairs[i - 1], *b = st_uc_pairs[i];
        assert_true(a[0] < b[0] || (a[0] == b[0] && a[1] < b[1]));
    }
    for (uint32_t cp = 0; cp < 0x110000; cp++) { /* the flags and the maps agree */
        assert_int_equal(!!(st_uc_props(cp) & ST_UC_NFD), st_uc_nfd(cp, seq) != 0);
        assert_int_equal(!!(st_uc_props(cp) & ST_UC_LOWER), st_uc_lower(cp, &low) != 0);
    }
}

/* ---- files that are wrong ---------------------------------------------------------------------------------------- */

static const tok small_spm[] = {{"<unk>", 0, UNKNOWN}, {"<s>", 0, CONTROL}, {"</s>", 0, CONTROL},
                                {"a", -1, NORMAL},     {"b", -2, NORMAL},   {SP, -3, NORMAL}};
static const tok small_bert[] = {{"[PAD]", 0, CONTROL}, {"[UNK]", 0, CONTROL}, {"[CLS]", 0, CONTROL},
                                 {"[SEP]", 0, CONTROL}, {SP "a", 0, NORMAL},   {"b", 0, NORMAL}};
#define SPM  "llama", small_spm, N(small_spm)
#define BERT "bert", small_bert, N(small_bert)

static void wrong_kind(void **state)
{
    (void)state;
    refused(STRATA_UNSUPPORTED_TOKENIZER, "'rwkv' is not supported (supported: llama, gpt2, bert, t5)", "rwkv",
            small_spm, 6, NULL);
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.model", NULL, small_spm, 6, NULL);
}

static void wrong_arrays(void **state)
{
    (void)state;
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.tokens", SPM, &(keys){.no_tokens = 1});
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.scores", SPM, &(keys){.no_scores = 1});
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.scores' has 5 items, want 6", SPM, &(keys){.cut_scores = 1});
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.scores", SPM, &(keys){.f64_scores = 1});
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.token_type' has 5 items, want 6", SPM, &(keys){.cut_types = 1});
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.token_type' has 5 items, want 6", BERT, &(keys){.cut_types = 1});
    tok v[6];
    memcpy(v, small_spm, sizeof v);
    v[3].type = 7;
    refused(STRATA_CORRUPT_MODEL, "token 3 has type 7", "llama", v, 6, NULL);
    v[3].type = NORMAL;
    v[4].score = (float)(0.0 / (double)(v[0].score)); /* NaN */
    refused(STRATA_CORRUPT_MODEL, "token 4 has the score NaN", "llama", v, 6, NULL);
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.tokens", "bert", small_bert, 0, NULL);
}

static void wrong_specials(void **state)
{
    (void)state;
    static const char *const names[] = {"bos_token_id",       "eos_token_id", "unknown_token_id", "padding_token_id",
                                        "seperator_token_id", "cls_token_id", "mask_token_id"};
    for (size_t i = 0; i < N(names); i++) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s", names[i]);
        refused(STRATA_CORRUPT_MODEL, key, SPM, &(keys){.flag = {key}});
    }
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.unknown_token_id", "bert", small_bert + 4, 2, NULL);
    refused(STRATA_CORRUPT_MODEL, "tokenizer.ggml.add_bos_token", SPM,
            &(keys){.key = {"tokenizer.ggml.add_bos_token"}, .value = {1}});
}

static void wrong_byte_tokens(void **state)
{
    (void)state;
    static const char *const bad[] = {"<0x-1>", "<0x+1>", "<0x 1>", "<0x1>", "<0x123>",
                                      "<0xGG>", "<0X41>", "",       "<0x41"};
    tok v[7];
    memcpy(v, small_spm, sizeof small_spm);
    for (size_t i = 0; i < N(bad); i++) {
        v[6] = (tok){bad[i], 0, BYTE};
        refused(STRATA_CORRUPT_MODEL, "token 6 is a byte token", "llama", v, 7, NULL);
    }
}

static void odd_vocabularies(void **state)
{
    (void)state;
    /* Not UTF-8, empty and doubled spellings: harmless, the first id of a spelling counts. */
    static const tok v[] = {{"<unk>", 0, UNKNOWN}, {"<s>", 0, CONTROL},      {"</s>", 0, CONTROL}, {"a", -1, NORMAL},
                            {"a", -1, NORMAL},     {"\xff\xfe", -1, NORMAL}, {"", 0, NORMAL},      {"", 0, USER},
                            {"\x80", 0, USER},     {"\xe2", 0, CONTROL},     {"b\xff", 0, NORMAL}};
    model m;
    opened(&m, "llama", v, N(v), &(keys){.flag = {"tokenizer.ggml.add_space_prefix"}});
    assert_string_equal(ids(&m, "aa", 0), "3 3");
    assert_string_equal(ids(&m, "a\xe2\x82\xac", STRATA_TOKENIZE_PARSE_SPECIAL), "3 0");
    assert_string_equal(TEXT(&m, 3, 5, 6, 10), "a" FFFD FFFD "b" FFFD);
    close_model(&m);
    opened(&m, SPM, &(keys){.no_types = 1}); /* the special ids are control tokens all the same */
    assert_string_equal(ids(&m, "</s>", STRATA_TOKENIZE_PARSE_SPECIAL), "2");
    assert_int_equal(st_tokenizer_type(m.t, 0), UNKNOWN);
    close_model(&m);
}

static size_t allocs_left;
static void *failing_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    if (!allocs_left) return NULL;
    allocs_left--;
    void *p = NULL;
    return posix_memalign(&p, align, size) ? NULL : p;
}
static void failing_free(void *user, void *p)
{
    (void)user;
    free(p);
}

/* Opens, encodes (invalid text, spans, long segments) and decodes with the n-th allocation failing, for every n. */
static void failing_memory(void **state)
{
    (void)state;
    const char *const kinds[] = {"llama", "bert"};
    char text[600] = " \xff ab<s>a";
    memset(text + strlen(text), 'a', 500);
    static const int32_t some[] = {0, 4, 5};
    for (int k = 0; k < 2; k++) {
        model m;
        make_file(&m, kinds[k], k ? small_bert : small_spm, 6, &(keys){0});
        strata_allocator a = {failing_alloc, failing_free, NULL};
        bool done = false;
        for (size_t n = 0; n < 1000 && !done; n++) {
            st_mem mem;
            st_mem_init(&mem, &a, 0);
            st_tokenizer *t = NULL;
            st_tokens out = {.mem = &mem, .want_spans = true};
            char buf[64];
            size_t len;
            strata_error err = {0};
            allocs_left = n;
            int rc = st_tokenizer_open(&m.g, NULL, NULL, &mem, &t, &err);
            if (!rc) rc = st_tokenizer_encode(t, text, strlen(text), 7, &out, &err);
            if (!rc) rc = st_tokenizer_decode(t, some, N(some), buf, sizeof buf, &len, &err);
            if (rc) {
                assert_int_equal(rc, STRATA_NO_MEMORY);
                assert_true(err.msg[0]);
                assert_int_equal(out.n, 0);
            }
            st_tokens_free(&out);
            st_tokenizer_close(t);
            assert_int_equal(mem.used, 0);
            done = !rc;
        }
        assert_true(done);
        close_model(&m);
    }
}

/* ---- SentencePiece ----------------------------------------------------------------------------------------------- */

static const tok spm[] = {
    {"<unk>", 0, UNKNOWN}, {"<s>", 0, CONTROL},  {"</s>", 0, CONTROL},  {SP, -10, NORMAL},   {"a", -11, NORMAL},
    {"b", -12, NORMAL},    {"c", -13, NORMAL},   {"ab", -1, NORMAL},    {"bc", -1, NORMAL},  {"abc", -9, NORMAL},
    {SP "a", -2, NORMAL},  {"  ", 0, USER},      {"   ", 0, USER},      {"<x>", 0, USER},    {"<x>y", 0, USER},
    {"aa", -3, NORMAL},    {"aaaa", -4, NORMAL}, {SP "ab", -5, NORMAL}, {"<0x41>", 0, BYTE}, {"<0xC3>", 0, BYTE},
    {"<0xa9>", 0, BYTE},
};
#define NO_PREFIX .flag = {"tokenizer.ggml.add_space_prefix"}

static void spm_merges(void **state)
{
    (void)state;
    model m;
    opened(&m, "llama", spm, N(spm), &(keys){NO_PREFIX});
    assert_string_equal(ids(&m, "abc", 0), "9");    /* ab and bc score the same: the left one, then abc */
    assert_string_equal(ids(&m, "aaa", 0), "15 4"); /* leftmost again */
    assert_string_equal(ids(&m, "aaaaa", 0), "16 4");
    assert_string_equal(ids(&m, "cab", 0), "6 7");
    assert_string_equal(ids(&m, "", 0), "");
    assert_string_equal(ids(&m, " ab", 0), "17"); /* ab first, then the space joins it */
    close_model(&m);
}

static void spm_added(void **state)
{
    (void)state;
    model m;
    opened(&m, "llama", spm, N(spm), &(keys){NO_PREFIX});
    assert_string_equal(ids(&m, "<x>y<x>", 0), "14 13"); /* user-defined: always, the longest */
    assert_string_equal(ids(&m, "a  b", 0), "4 11 5");
    assert_string_equal(ids(&m, "a" SP " b", 0), "4 11 5"); /* in normalised text */
    assert_string_equal(ids(&m, "     ", 0), "12 11");
    assert_string_equal(ids(&m, "a<s>b", STRATA_TOKENIZE_PARSE_SPECIAL), "4 1 5");
    assert_string_equal(ids(&m, "<s>", 0), "0"); /* control tokens are text unless asked for; unknowns join */
    assert_string_equal(ids(&m, "<unk>", STRATA_TOKENIZE_PARSE_SPECIAL), "0");
    assert_string_equal(ids(&m, "a", STRATA_TOKENIZE_ADD_SPECIAL), "1 4");
    close_model(&m);
    opened(&m, "llama", spm, N(spm),
           &(keys){.flag = {"tokenizer.ggml.add_space_prefix", "tokenizer.ggml.add_bos_token",
                            "tokenizer.ggml.add_eos_token"},
                   .set = {false, false, true}});
    assert_string_equal(ids(&m, "a", STRATA_TOKENIZE_ADD_SPECIAL), "4 2");
    assert_int_equal(st_tokenizer_info(m.t)->eos, 2);
    close_model(&m);
}

/* Files converted from HuggingFace's added tokens (score -1000): raw runs of U+2581 are cut out first. */
static void spm_raw_runs(void **state)
{
    (void)state;
    tok v[N(spm)];
    memcpy(v, spm, sizeof v);
    v[11].score = v[12].score = -1000;
    model m;
    opened(&m, "llama", v, N(v), &(keys){NO_PREFIX});
    assert_string_equal(ids(&m, SP SP " ", 0), "11 3");
    assert_string_equal(ids(&m, SP SP SP SP "a", 0), "12 10");
    assert_string_equal(ids(&m, SP " ", 0), "11");
    close_model(&m);
    opened(&m, "llama", spm, N(spm), &(keys){NO_PREFIX});
    assert_string_equal(ids(&m, SP SP " ", 0), "12");
    close_model(&m);
}

static void spm_spaces(void **state)
{
    (void)state;
    model m;
    opened(&m, "llama", spm, N(spm), NULL); /* the prefix is the default */
    assert_string_equal(ids(&m, "a", 0), "10");
    assert_string_equal(ids(&m, "", 0), "");
    assert_string_equal(ids(&m, " a", 0), "11 4");
    assert_string_equal(ids(&m, "a<s>a", STRATA_TOKENIZE_PARSE_SPECIAL), "10 1 10"); /* each fragment its own */
    assert_string_equal(spans(&m, "a<s>a b", STRATA_TOKENIZE_PARSE_SPECIAL), "0-1 1-4 4-5 5-6 6-7");
    assert_string_equal(TEXT(&m, 10, 10), "a a");
    assert_string_equal(TEXT(&m, 3, 10), " a"); /* one space goes */
    assert_string_equal(TEXT(&m, 1, 10), "<s> a");
    close_model(&m);
    opened(&m, "llama", spm, N(spm), &(keys){.flag = {"tokenizer.ggml.remove_extra_whitespaces"}, .set = {true}});
    assert_string_equal(ids(&m, "  a   a  ", 0), "10 10");
    assert_string_equal(spans(&m, "  a   a  ", 0), "2-3 3-7");
    assert_string_equal(ids(&m, "   ", 0), "");
    close_model(&m);
}

static void spm_bytes(void **state)
{
    (void)state;
    model m;
    opened(&m, "llama", spm, N(spm), &(keys){NO_PREFIX});
    assert_string_equal(ids(&m, "A", 0), "18");
    assert_string_equal(ids(&m, "<0x41>", 0), "0"); /* the spelling of a byte token is text: 'x41' unknown, joined */
    assert_string_equal(ids(&m,
                            "\xc3\xa9"
                            "a",
                            0),
                        "19 20 4");
    assert_string_equal(spans(&m,
                              "\xc3\xa9"
                              "a",
                              0),
                        "0-1 1-2 2-3");
    assert_string_equal(ids(&m,
                            "\xc3\xa8"
                            "\xc3\xa8"
                            "a\xc3\xa8",
                            0),
                        "0 4 0"); /* no byte token for a8 */
    assert_string_equal(spans(&m,
                              "\xc3\xa8"
                              "\xc3\xa8"
                              "a\xc3\xa8",
                              0),
                        "0-4 4-5 5-7");
    assert_string_equal(TEXT(&m, 19, 20, 4), "\xc3\xa9"
                                             "a");
    assert_string_equal(TEXT(&m, 19, 20, 19, 4),
                        FFFD FFFD FFFD "a"); /* HF: one for each byte of a run that is invalid */
    assert_string_equal(TEXT(&m, 18, 0, 3), "A<unk> ");
    close_model(&m);
    tok v[N(spm)];
    memcpy(v, spm, sizeof v);
    v[18].s = "<0x20>";
    opened(&m, "llama", v, N(v), NULL);
    assert_string_equal(TEXT(&m, 18, 4), "a"); /* the prefix may come as a byte; not where the run is invalid */
    assert_string_equal(TEXT(&m, 18, 19, 4), FFFD FFFD "a");
    close_model(&m);
}

static void spm_unused(void **state)
{
    (void)state;
    static const tok v[] = {{"<unk>", 0, UNKNOWN}, {"<s>", 0, CONTROL}, {"</s>", 0, CONTROL}, {"a", -9, NORMAL},
                            {"b", -9, NORMAL},     {"c", -9, NORMAL},   {"ab", -1, UNUSED},   {"abc", -2, UNUSED},
                            {"bc", -3, NORMAL},    {"abca", -4, NORMAL}};
    model m;
    opened(&m, "llama", v, N(v), &(keys){NO_PREFIX});
    assert_string_equal(ids(&m, "ab", 0), "3 4");
    assert_string_equal(ids(&m, "abc", 0), "3 4 5"); /* abc came from ab + c, and ab from a + b */
    assert_string_equal(ids(&m, "abca", 0), "9");    /* they still count as steps */
    close_model(&m);
}

/* The definition: the best pair of neighbours by score, leftmost, again and again. */
static size_t naive(const tok *v, size_t n_vocab, const char *text, size_t n, int32_t *out)
{
    size_t at[512], k = 0;
    for (size_t i = 0; i <= n; i++) at[k++] = i;
    k--;
    for (;;) {
        size_t best = SIZE_MAX;
        float score = 0;
        for (size_t i = 0; i + 2 <= k; i++)
            for (size_t id = 3; id < n_vocab; id++) {
                size_t len = at[i + 2] - at[i];
                if (v[id].type != NORMAL || strlen(v[id].s) != len || memcmp(v[id].s, text + at[i], len) != 0) continue;
                if (best == SIZE_MAX || v[id].score > score) best = i, score = v[id].score;
            }
        if (best == SIZE_MAX) break;
        memmove(at + best + 1, at + best + 2, (k - best - 1) * sizeof *at);
        k--;
    }
    for (size_t i = 0; i < k; i++)
        for (size_t id = 3; id < n_vocab; id++)
            if (strlen(v[id].s) == at[i + 1] - at[i] && memcmp(v[id].s, text + at[i], at[i + 1] - at[i]) == 0) {
                out[i] = (int32_t)id;
                break;
            }
    return k;
}

static void spm_against_naive(void **state)
{
    (void)state;
    static const tok v[] = {{"<unk>", 0, UNKNOWN},   {"<s>", 0, CONTROL},    {"</s>", 0, CONTROL}, {"a", -50, NORMAL},
                            {"b", -50, NORMAL},      {"c", -50, NORMAL},     {"ab", -1, NORMAL},   {"ba", -1, NORMAL},
                            {"aa", -2, NORMAL},      {"abc", -2.5f, NORMAL}, {"bab", -3, NORMAL},  {"aab", -3, NORMAL},
                            {"abab", -0.5f, NORMAL}, {"cc", -7, NORMAL},     {"ccc", -6, NORMAL},  {"bcab", -4, NORMAL},
                            {"aaaa", -3, NORMAL},    {"ababab", -2, NORMAL}};
    model m;
    opened(&m, "llama", v, N(v), &(keys){NO_PREFIX});
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        char text[300];
        size_t n = 1 + (size_t)(round % 3 ? seed >> 8 & 31 : seed >> 8 & 255);
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = (char)('a' + (seed >> 24) % (round % 2 ? 3 : 2));
        }
        int32_t want[300];
        size_t k = naive(v, N(v), text, n, want);
        for (int again = 0; again < 2; again++) { /* the second time words are remembered */
            st_tokens out = {.mem = &m.mem};
            assert_int_equal(st_tokenizer_encode(m.t, text, n, 0, &out, NULL), 0);
            assert_int_equal(out.n, k);
            assert_memory_equal(out.ids, want, k * sizeof *want);
            st_tokens_free(&out);
        }
    }
    close_model(&m);
}

static void spm_long(void **state)
{
    (void)state;
    model m;
    opened(&m, "llama", spm, N(spm), &(keys){NO_PREFIX});
    size_t n = 1 << 20;
    char *text = malloc(n);
    memset(text, 'a', n);
    st_tokens out = {.mem = &m.mem};
    assert_int_equal(st_tokenizer_encode(m.t, text, n, 0, &out, NULL), 0);
    assert_int_equal(out.n, n / 4);
    st_tokens_free(&out);
    free(text);
    close_model(&m);
}

/* ---- WordPiece --------------------------------------------------------------------------------------------------- */

static const tok bert[] = {
    {"[PAD]", 0, CONTROL},       {"[UNK]", 0, CONTROL},
    {"[CLS]", 0, CONTROL},       {"[SEP]", 0, CONTROL},
    {"[MASK]", 0, CONTROL},      {SP "hello", 0, NORMAL},
    {SP "he", 0, NORMAL},        {"llo", 0, NORMAL},
    {SP ",", 0, NORMAL},         {SP "\xe4\xb8\xad", 0, NORMAL},
    {SP "a", 0, NORMAL},         {"a", 0, NORMAL},
    {SP "e", 0, NORMAL},         {SP "'", 0, NORMAL},
    {SP "s", 0, NORMAL},         {SP "\xe1\x84\x80", 0, NORMAL},
    {"\xe1\x85\xa1", 0, NORMAL}, {SP ".", 0, NORMAL},
    {SP "[", 0, NORMAL},         {SP "]", 0, NORMAL},
    {SP "[x]", 0, USER},
};
#define WP "bert", bert, N(bert)

static void bert_words(void **state)
{
    (void)state;
    model m;
    opened(&m, WP, NULL);
    assert_string_equal(ids(&m, "Hello, HELLO", 0), "5 8 5");
    assert_string_equal(ids(&m, "hello", STRATA_TOKENIZE_ADD_SPECIAL), "2 5 3");
    assert_string_equal(ids(&m, "hellohe", 0), "1");                      /* one unmatched rest spoils the word */
    assert_string_equal(ids(&m, "he\xcc\x81llo h\xc3\xa9llo", 0), "5 5"); /* accents go, composed or not */
    assert_string_equal(spans(&m, "he\xcc\x81llo h\xc3\xa9llo,", 0), "0-7 8-14 14-15");
    assert_string_equal(ids(&m,
                            "a\xe4\xb8\xad"
                            "a",
                            0),
                        "10 9 10");                           /* ideographs stand alone */
    assert_string_equal(ids(&m, "a" SP "a", 0), "1");         /* literal U+2581 is no word start */
    assert_string_equal(ids(&m, "\xea\xb0\x80", 0), "15 16"); /* Hangul: jamo */
    assert_string_equal(spans(&m, "\xea\xb0\x80", 0), "0-3 0-3");
    assert_string_equal(ids_n(&m, "he\0l\x0blo\xe2\x80\x8b a", 12, 0), "5 10"); /* NUL, controls and formats vanish */
    assert_string_equal(ids(&m, "\xef\xbf\xbd", 0), "");
    assert_string_equal(ids(&m, "he\xff", STRATA_TOKENIZE_LOSSY), "6"); /* becomes U+FFFD, which clean_text removes */
    assert_string_equal(ids(&m, "[MASK]", 0), "18 1 19");
    assert_string_equal(ids(&m, "a[MASK]a", STRATA_TOKENIZE_PARSE_SPECIAL), "10 4 10");
    close_model(&m);
}

static void bert_long_words(void **state)
{
    (void)state;
    model m;
    opened(&m, WP, NULL);
    char text[900];
    memset(text, 'a', sizeof text);
    st_tokens out = {.mem = &m.mem, .want_spans = true};
    assert_int_equal(st_tokenizer_encode(m.t, text, 100, 0, &out, NULL), 0);
    assert_int_equal(out.n, 100);
    out.n = 0;
    assert_int_equal(st_tokenizer_encode(m.t, text, 101, 0, &out, NULL), 0);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.ids[0], 1);
    assert_int_equal(out.spans[0].end, 101);
    for (size_t i = 0; i < sizeof text; i += 3) memcpy(text + i, "\xea\xb0\x80", 3); /* 300 syllables, 600 jamo */
    out.n = 0;
    assert_int_equal(st_tokenizer_encode(m.t, text, sizeof text, 0, &out, NULL), 0);
    assert_int_equal(out.n, 1);
    out.n = 0;
    assert_int_equal(st_tokenizer_encode(m.t, text, 150, 0, &out, NULL), 0);
    assert_int_equal(out.n, 1); /* 100 jamo: a long enough word, though only the first two are known */
    st_tokens_free(&out);
    close_model(&m);
}

static void bert_case(void **state)
{
    (void)state;
    model m;
    opened(&m, WP, &(keys){.flag = {"tokenizer.ggml.normalizer.lowercase"}, .set = {false}});
    assert_string_equal(ids(&m, "Hello hello h\xc3\xa9llo", 0), "1 5 1");
    close_model(&m);
    opened(&m, WP,
           &(keys){.flag = {"tokenizer.ggml.normalizer.lowercase", "tokenizer.ggml.normalizer.strip_accents"},
                   .set = {true, false}});
    assert_string_equal(ids(&m, "HELLO h\xc3\xa9llo", 0), "5 1");
    close_model(&m);
    tok v[N(bert)];
    memcpy(v, bert, sizeof v);
    v[10].s = SP "A"; /* no key, but capitals in the vocabulary: cased */
    opened(&m, "bert", v, N(v), NULL);
    assert_string_equal(ids(&m, "A a Hello", 0), "10 1 1");
    close_model(&m);
}

/* Spacing marks stay and stand in canonical order after NFD: U+1D165 (class 216) before U+1D16D (226). */
static void bert_mark_order(void **state)
{
    (void)state;
    tok v[N(bert) + 1];
    memcpy(v, bert, sizeof bert);
    v[N(bert)] = (tok){"\xf0\x9d\x85\xa5\xf0\x9d\x85\xad", 0, NORMAL};
    model m;
    opened(&m, "bert", v, N(v), NULL);
    assert_string_equal(ids(&m, "a\xf0\x9d\x85\xa5\xf0\x9d\x85\xad", 0), "10 21");
    assert_string_equal(ids(&m, "a\xf0\x9d\x85\xad\xf0\x9d\x85\xa5", 0), "10 21");
    assert_string_equal(spans(&m, "a\xf0\x9d\x85\xad\xf0\x9d\x85\xa5", 0), "0-1 1-9");
    close_model(&m);
}

static void bert_decode(void **state)
{
    (void)state;
    model m;
    opened(&m, WP, NULL);
    assert_string_equal(TEXT(&m, 2, 6, 7, 8, 5, 17, 3), "[CLS] hello, hello. [SEP]");
    assert_string_equal(TEXT(&m, 5, 13, 14), "hello ' s");
    assert_string_equal(TEXT(&m, 7, 5), "##llo hello");
    assert_string_equal(TEXT(&m, 1, 1), "[UNK] [UNK]");
    close_model(&m);
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

static void calls(void **state)
{
    (void)state;
    model m;
    opened(&m, WP, NULL);
    st_tokens out = {.mem = &m.mem};
    assert_int_equal(st_tokenizer_encode(m.t, "a\xc3\xa9\xc3", 4, 0, &out, &m.err), STRATA_INVALID_ARG);
    assert_non_null(strstr(m.err.msg, "byte 0xc3 at offset 3"));
    assert_int_equal(out.n, 0);
    assert_int_equal(st_tokenizer_encode(m.t, "a", 1, 0, &out, &m.err), 0); /* appends */
    assert_int_equal(st_tokenizer_encode(m.t, "e", 1, 0, &out, &m.err), 0);
    assert_int_equal(out.n, 2);
    assert_int_equal(st_tokenizer_encode(m.t, NULL, 0, STRATA_TOKENIZE_ADD_SPECIAL, &out, &m.err), 0);
    assert_int_equal(out.n, 4);
    st_tokens_free(&out);
    char buf[4] = "....";
    size_t len = 99;
    static const int32_t id[] = {5, 8}, over[] = {5, 21}, under[] = {-1};
    assert_int_equal(st_tokenizer_decode(m.t, id, 2, buf, 3, &len, &m.err), 0);
    assert_int_equal(len, 6);
    assert_memory_equal(buf, "hel.", 4);
    assert_int_equal(st_tokenizer_decode(m.t, id, 2, NULL, 0, &len, &m.err), 0);
    assert_int_equal(st_tokenizer_decode(m.t, over, 2, buf, 3, &len, &m.err), STRATA_INVALID_ARG);
    assert_non_null(strstr(m.err.msg, "token 1 is 21, want 0 to 20"));
    assert_int_equal(st_tokenizer_decode(m.t, under, 1, buf, 3, &len, &m.err), STRATA_INVALID_ARG);
    st_str piece = st_tokenizer_piece(m.t, 5);
    assert_true(st_str_eq(piece, SP "hello"));
    assert_int_equal(st_tokenizer_info(m.t)->cls, 2);
    assert_int_equal(st_tokenizer_info(m.t)->mask, 4);
    assert_int_equal(st_tokenizer_info(m.t)->bos, -1);
    close_model(&m);
    st_tokenizer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_check),      cmocka_unit_test(utf8_fix),          cmocka_unit_test(utf8_code_points),
        cmocka_unit_test(unicode_tables),  cmocka_unit_test(wrong_kind),        cmocka_unit_test(wrong_arrays),
        cmocka_unit_test(wrong_specials),  cmocka_unit_test(wrong_byte_tokens), cmocka_unit_test(odd_vocabularies),
        cmocka_unit_test(failing_memory),  cmocka_unit_test(spm_merges),        cmocka_unit_test(spm_added),
        cmocka_unit_test(spm_raw_runs),    cmocka_unit_test(spm_spaces),        cmocka_unit_test(spm_bytes),
        cmocka_unit_test(spm_unused),      cmocka_unit_test(spm_against_naive), cmocka_unit_test(spm_long),
        cmocka_unit_test(bert_words),      cmocka_unit_test(bert_long_words),   cmocka_unit_test(bert_case),
        cmocka_unit_test(bert_mark_order), cmocka_unit_test(bert_decode),       cmocka_unit_test(calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
