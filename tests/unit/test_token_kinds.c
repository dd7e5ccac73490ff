/* test_token_kinds.c: the rules of byte-level BPE and Unigram on small vocabularies made here, and what happens when a
 * file is wrong. test_token.c has the other kinds and what all share. */
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
#include <time.h>

#include <cmocka.h>

#include "gguf/gguf_write.h"
#include "token/token.h"

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
    const char *pre, *arch;
    const char *const *merges;
    size_t n_merges;
    int no_merges, merges_f32; /* damage */
    const void *map;           /* precompiled_charsmap */
    size_t n_map;
    uint32_t map_type; /* ST_GGUF_U8, 0 */
    const char *key[3];
    uint32_t value[3];
    const char *flag[4];
    bool set[4];
} keys;

typedef struct model {
    st_mem mem;
    uint8_t *data;
    size_t size;
    st_gguf g;
    st_tokenizer *t;
    strata_error err;
    char log[4096];
} model;

static void on_log(void *user, int level, const char *msg)
{
    (void)level;
    model *m = user;
    strncat(m->log, msg, sizeof m->log - strlen(m->log) - 1);
}

static void make_file(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    st_gguf_writer *w;
    st_str *s = malloc((n + k->n_merges + 1) * sizeof *s);
    float *scores = malloc((n + 1) * sizeof *scores);
    int32_t *types = malloc((n + 1) * sizeof *types);
    *m = (model){0};
    st_mem_init(&m->mem, NULL, 0);
    assert_int_equal(st_gguf_writer_open(&m->mem, &w, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        s[i] = (st_str){v[i].s, strlen(v[i].s)};
        scores[i] = v[i].score;
        types[i] = v[i].type;
    }
    const char *arch = k->arch ? k->arch : "test";
    int rc = st_gguf_put_str(w, "general.architecture", arch, strlen(arch), NULL) |
             st_gguf_put_str(w, "tokenizer.ggml.model", kind, strlen(kind), NULL) |
             st_gguf_put_strings(w, "tokenizer.ggml.tokens", s, n, NULL) |
             st_gguf_put_array(w, "tokenizer.ggml.scores", ST_GGUF_F32, scores, n, NULL) |
             st_gguf_put_array(w, "tokenizer.ggml.token_type", ST_GGUF_I32, types, n, NULL);
    for (size_t i = 0; i < k->n_merges; i++) s[i] = (st_str){k->merges[i], strlen(k->merges[i])};
    if (k->merges_f32)
        rc |= st_gguf_put_array(w, "tokenizer.ggml.merges", ST_GGUF_F32, scores, n, NULL);
    else if (!k->no_merges)
        rc |= st_gguf_put_strings(w, "tokenizer.ggml.merges", s, k->n_merges, NULL);
    if (k->map)
        rc |= st_gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", k->map_type, k->map,
                                k->map_type == ST_GGUF_F32 ? k->n_map / 4 : k->n_map, NULL);
    if (k->pre) rc |= st_gguf_put_str(w, "tokenizer.ggml.pre", k->pre, strlen(k->pre), NULL);
    for (int i = 0; i < 3 && k->key[i]; i++) rc |= st_gguf_put_u32(w, k->key[i], k->value[i], NULL);
    for (int i = 0; i < 4 && k->flag[i]; i++) rc |= st_gguf_put_bool(w, k->flag[i], k->set[i], NULL);
    assert_int_equal(rc, 0);
    assert_int_equal(st_gguf_writer_finish(w, &m->data, &m->size, NULL), 0);
    st_gguf_writer_close(w);
    free(s);
    free(scores);
    free(types);
    if (st_gguf_parse(&m->g, m->data, m->size, "test.gguf", true, &m->mem, &m->err)) fail_msg("%s", m->err.msg);
}

static int open_model(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    make_file(m, kind, v, n, k);
    st_log log = {on_log, m, STRATA_LOG_WARN};
    return st_tokenizer_open(&m->g, &log, &m->mem, &m->t, &m->err);
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

static void refused(int status, const char *part, const char *kind, const tok *v, size_t n, const keys *k)
{
    model m;
    assert_int_equal(open_model(&m, kind, v, n, k), status);
    if (!strstr(m.err.msg, part)) fail_msg("'%s' lacks '%s'", m.err.msg, part);
    close_model(&m);
}

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

static const char *spans(model *m, const char *text)
{
    static char buf[4096];
    st_tokens out = {.mem = &m->mem, .want_spans = true};
    if (st_tokenizer_encode(m->t, text, strlen(text), 0, &out, &m->err)) fail_msg("%s", m->err.msg);
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

/* ---- byte-level BPE ---------------------------------------------------------------------------------------------- */

#define G "\xc4\xa0" /* U+0120: a space in the byte alphabet */
#define A "\xc3\x83" /* U+00C3 stands for the byte C3 */

static const tok bpe[] = {
    {"a", 0, NORMAL},   {"b", 0, NORMAL},          {"c", 0, NORMAL},        {G, 0, NORMAL},
    {A, 0, NORMAL},     {"\xc2\xa9", 0, NORMAL},   {"ab", 0, NORMAL},       {"bc", 0, NORMAL},
    {"abc", 0, NORMAL}, {G "a", 0, NORMAL},        {"<s>", 0, CONTROL},     {"<u>", 0, USER},
    {"<u>b", 0, USER},  {A "\xc2\xa9", 0, NORMAL}, {"ca", 0, NORMAL},       {"<e>", 0, CONTROL},
    {"cab", 0, NORMAL}, {"s", 0, NORMAL},          {"'", 0, NORMAL},        {"'s", 0, NORMAL},
    {G G, 0, NORMAL},   {"e", 0, NORMAL},          {"\xc3\x8c", 0, NORMAL}, {"\xc4\xa3", 0, NORMAL}};
static const char *const bpe_merges[] = {"b c", "a b", G " a", "a bc", "ab c", "c a", A " \xc2\xa9", "' s", G " " G};
#define BPE(p) .pre = (p), .merges = bpe_merges, .n_merges = N(bpe_merges)

static void bpe_rules(void **state)
{
    (void)state;
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2")});
    assert_string_equal(m.log, "");
    assert_string_equal(ids(&m, "abc", 0), "8"); /* b c, then a bc */
    assert_string_equal(ids(&m, "ab", 0), "6");
    assert_string_equal(ids(&m, "aab abc", 0), "0 6 9 7"); /* G a comes before a bc */
    assert_string_equal(ids(&m, "cab", 0), "2 6");         /* 'cab' is a token that no merge makes */
    assert_string_equal(ids(&m, "cab cab", 0), "2 6 3 2 6");
    assert_string_equal(ids(&m, "cab", 0), "2 6"); /* and the second time */
    assert_string_equal(ids(&m, "\xc3\xa9", 0), "13");
    assert_string_equal(ids(&m, "a's", 0), "0 19");
    assert_string_equal(ids(&m, "a   b", 0), "0 20 3 1");
    assert_string_equal(ids(&m, "", 0), "");
    assert_string_equal(ids(&m, "<s>a<u>bb<u>", 0), "17 0 12 1 11"); /* '<' and '>' are no tokens: left out */
    assert_string_equal(ids(&m, "<s>a", STRATA_TOKENIZE_PARSE_SPECIAL), "10 0");
    assert_string_equal(spans(&m, "a  b\xc3\xa9"
                                  "abc"),
                        "0-1 1-2 2-3 3-4 4-6 6-9");
    assert_string_equal(spans(&m, "<ab>x c"), "1-3 5-6 6-7");
    assert_string_equal(TEXT(&m, 9, 13, 10, 3, 11), " a\xc3\xa9<s> <u>");
    assert_string_equal(TEXT(&m, 4, 0, 5), FFFD "a" FFFD); /* half characters */
    assert_string_equal(TEXT(&m, 4, 4, 5), FFFD "\xc3\xa9");
    close_model(&m);
}

static void bpe_bos_and_pre(void **state)
{
    (void)state;
    model m;
#define BOS .key = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"}, .value = {10, 15}
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("llama-bpe"), BOS});
    assert_string_equal(ids(&m, "cab", STRATA_TOKENIZE_ADD_SPECIAL), "10 16"); /* BOS by default, ignore_merges */
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe),
           &(keys){BPE("llama-bpe"), BOS, .flag = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"},
                   .set = {false, true}});
    assert_string_equal(ids(&m, "c", STRATA_TOKENIZE_ADD_SPECIAL), "2 15");
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe),
           &(keys){BPE("gpt-2"), .key = {"tokenizer.ggml.cls_token_id", "tokenizer.ggml.seperator_token_id"},
                   .value = {10, 15}, .flag = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"},
                   .set = {true, true}});
    assert_string_equal(ids(&m, "c", STRATA_TOKENIZE_ADD_SPECIAL), "10 2 15"); /* files of encoders have these */
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2"), .flag = {"tokenizer.ggml.add_space_prefix"}, .set = {true}});
    assert_string_equal(ids(&m, "abc", 0), "9 7");
    assert_string_equal(ids(&m, " a", 0), "9");
    assert_string_equal(spans(&m, "abc"), "0-1 1-3");
    close_model(&m);
}

static void bpe_nfc(void **state)
{
    (void)state;
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("qwen2")});
    assert_string_equal(ids(&m,
                            "ae\xcc\x81"
                            "b",
                            0),
                        "0 13 1"); /* e and U+0301 are one letter, é */
    assert_string_equal(spans(&m, "ae\xcc\x81"
                                  "b"),
                        "0-1 1-4 4-5");
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2")});
    assert_string_equal(ids(&m,
                            "ae\xcc\x81"
                            "b",
                            0),
                        "0 21 22 23 1");
    close_model(&m);
}

static void bpe_names(void **state)
{
    (void)state;
    model m;
    refused(STRATA_UNSUPPORTED_TOKENIZER, "pre-tokenizer 'gpt-5' is not supported (supported: gpt-2, smollm, llama-bpe",
            "gpt2", bpe, N(bpe), &(keys){BPE("gpt-5")});
    assert_int_equal(open_model(&m, "gpt2", bpe, N(bpe), &(keys){BPE("\x1b[2J")}), STRATA_UNSUPPORTED_TOKENIZER);
    assert_non_null(strstr(m.err.msg, "'?[2J'"));
    assert_non_null(strstr(m.log, "poro-chat, viking")); /* the log has all names */
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE(NULL)});
    assert_non_null(strstr(m.log, "key 'tokenizer.ggml.pre' is missing: assuming 'gpt-2'"));
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("default"), .arch = "gptneox"});
    assert_non_null(strstr(m.log, "says only 'default': assuming 'gpt-neox'"));
    assert_string_equal(ids(&m, "e\xcc\x81", 0), "13");
    close_model(&m);
}

static void bpe_wrong_merges(void **state)
{
    (void)state;
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.merges' is missing", "gpt2", bpe, N(bpe),
            &(keys){.pre = "gpt-2", .no_merges = 1});
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.merges' is not an array of strings", "gpt2", bpe, N(bpe),
            &(keys){.pre = "gpt-2", .merges_f32 = 1});
    /* What makes no token is left out; of two equal ones the last counts, as in HF. */
    static const char *const odd[] = {"",    " ",   "a",   "a ",  " b",  "ab", "a  b",
                                      "x y", "a x", "b c", "a b", "b c", "c",  "  "};
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){.pre = "gpt-2", .merges = odd, .n_merges = N(odd)});
    assert_non_null(strstr(m.log, "11 of 14 merges make no token"));
    assert_string_equal(ids(&m, "abc", 0), "6 2");
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){.pre = "gpt-2"}); /* none at all */
    assert_string_equal(ids(&m, "ab", 0), "0 1");
    close_model(&m);
}

/* The array of short pieces and the heap of long ones against the rule spelled out. */
static void bpe_against_naive(void **state)
{
    (void)state;
    char rules[64][24], spelled[67][16];
    const char *list[64];
    tok v[67];
    size_t n = 3;
    for (int i = 0; i < 3; i++) snprintf(spelled[i], 16, "%c", 'a' + i);
    uint64_t seed = 7;
#define NEXT (seed = seed * 6364136223846793005u + 1442695040888963407u, (size_t)(seed >> 33))
    size_t left[64], right[64], made[64], merges = 0;
    for (int tries = 0; tries < 3000 && merges < 64; tries++) {
        size_t l = NEXT % n, r = NEXT % n;
        if (strlen(spelled[l]) + strlen(spelled[r]) > 8) continue;
        char s[24];
        snprintf(s, sizeof s, "%s%s", spelled[l], spelled[r]);
        size_t id = 0;
        while (id < n && strcmp(spelled[id], s) != 0) id++;
        bool twice = false;
        for (size_t i = 0; i < merges; i++) twice = twice || (left[i] == l && right[i] == r);
        if (twice || id == 67) continue;
        if (id == n) memcpy(spelled[n++], s, 16);
        left[merges] = l, right[merges] = r, made[merges] = id;
        snprintf(rules[merges], sizeof rules[0], "%s %s", spelled[l], spelled[r]);
        list[merges] = rules[merges];
        merges++;
    }
    for (size_t i = 0; i < n; i++) v[i] = (tok){spelled[i], 0, NORMAL};
    model m;
    opened(&m, "gpt2", v, n, &(keys){.pre = "gpt-2", .merges = list, .n_merges = merges});
    for (int round = 0; round < 400; round++) {
        char text[200];
        size_t len = 1 + NEXT % (round % 2 ? 190 : 40), k = len, sym[200];
        for (size_t i = 0; i < len; i++) text[i] = (char)('a' + (sym[i] = NEXT % 3));
        for (;;) {
            size_t best = merges, at = 0;
            for (size_t i = 0; i + 1 < k; i++)
                for (size_t r = 0; r < best; r++)
                    if (left[r] == sym[i] && right[r] == sym[i + 1]) best = r, at = i;
            if (best == merges) break;
            sym[at] = made[best];
            for (size_t i = at + 1; i + 1 < k; i++) sym[i] = sym[i + 1];
            k--;
        }
        char want[1000] = "";
        for (size_t i = 0, o = 0; i < k; i++)
            o += (size_t)snprintf(want + o, sizeof want - o, "%s%zu", i ? " " : "", sym[i]);
        assert_string_equal(ids_n(&m, text, len, 0), want);
    }
    close_model(&m);
}

static void bpe_long(void **state)
{
    (void)state;
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2")});
    size_t n = 1 << 18;
    char *text = malloc(n);
    static const char *const of[] = {"a", "ab", "abc", "'", " "};
    for (size_t k = 0; k < N(of); k++) {
        for (size_t i = 0; i < n; i++) text[i] = of[k][i % strlen(of[k])];
        st_tokens out = {.mem = &m.mem};
        clock_t begin = clock();
        assert_int_equal(st_tokenizer_encode(m.t, text, n, 0, &out, &m.err), 0);
        assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5);
        if (k == 2) assert_int_equal(out.n, n / 3 + n % 3);
        st_tokens_free(&out);
    }
    free(text);
    close_model(&m);
}

/* ---- Unigram ----------------------------------------------------------------------------------------------------- */

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

/* ---- memory ------------------------------------------------------------------------------------------------------ */

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

/* Opens, encodes and decodes with the n-th allocation failing, for every n. */
static void failing_memory(void **state)
{
    (void)state;
    char text[600] = " \xff ab<s>e\xcc\x81 <x>A";
    memset(text + strlen(text), 'a', 500);
    uint8_t map[4096];
    size_t n_map = make_map(map, 512, 1, "\0ab ", 5);
    static const int32_t some[] = {0, 4, 5};
    for (int k = 0; k < 2; k++) {
        model m;
        if (k)
            make_file(&m, "t5", ugm, N(ugm), &(keys){MAP(n_map)});
        else
            make_file(&m, "gpt2", bpe, N(bpe), &(keys){BPE("qwen2")});
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
            int rc = st_tokenizer_open(&m.g, NULL, &mem, &t, &err);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_rules),     cmocka_unit_test(bpe_bos_and_pre),  cmocka_unit_test(bpe_nfc),
        cmocka_unit_test(bpe_names),     cmocka_unit_test(bpe_wrong_merges), cmocka_unit_test(bpe_against_naive),
        cmocka_unit_test(bpe_long),      cmocka_unit_test(unigram_rules),    cmocka_unit_test(unigram_spaces),
        cmocka_unit_test(unigram_bytes), cmocka_unit_test(unigram_map),      cmocka_unit_test(unigram_against_naive),
        cmocka_unit_test(unigram_wrong), cmocka_unit_test(unigram_long),     cmocka_unit_test(failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
