/* test_token_api.c: what a token is (strata_token_get) and texts without control tokens (strata_detokenize_flags), on
 * the committed vocabularies; embedding and ranking that are stopped while they tokenize. */
#include "base/utf8.h"
#include "token/token.h"
#include "unit/test_api.h"

#define DATA STRATA_SOURCE_DIR "/tests/data/tok/"

static strata_model *open_vocabulary(const char *name)
{
    char path[600];
    strata_model *m = NULL;
    snprintf(path, sizeof path, DATA "%s.gguf", name);
    OK(strata_model_open(path, &(strata_model_opts){.vocab_only = 1}, &m, err));
    return m;
}

static uint32_t size_of(const strata_model *m)
{
    strata_model_info info;
    strata_model_get_info(m, &info);
    return info.n_vocab;
}

static size_t text_from(const strata_model *m, const int32_t *ids, size_t n, unsigned flags, char *text, size_t cap)
{
    size_t len = 0;
    OK(strata_detokenize_flags(m, ids, n, flags, text, cap, &len, err));
    return len;
}

/* A token adds its bytes to a text, wherever decoding does not depend on what stands beside it. */
static void bytes_are_what_a_text_gets(void **state)
{
    (void)state;
    static const char *const names[] = {"spm4k", "spm2k-ud", "ugm8k", "ugm8k-bf", "bpe3k"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        strata_model *m = open_vocabulary(names[i]);
        int32_t pair[2] = {-1, 0}, a = -1;
        size_t checked = 0;
        for (uint32_t id = 0; id < size_of(m) && pair[0] < 0; id++) { /* the letter a */
            strata_token t;
            char c;
            if (!strata_token_get(m, (int32_t)id, &t, &c, 1, NULL) && t.n_bytes == 1 && c == 'a' &&
                t.kind == STRATA_TOKEN_NORMAL)
                pair[0] = a = (int32_t)id;
        }
        assert_true(a >= 0);
        for (uint32_t id = 0; id < size_of(m); id++) {
            strata_token t;
            char bytes[512], text[1024];
            OK(strata_token_get(m, (int32_t)id, &t, bytes, sizeof bytes, err));
            assert_true(t.kind >= STRATA_TOKEN_NORMAL && t.kind <= STRATA_TOKEN_BYTE);
            if (t.kind == STRATA_TOKEN_UNKNOWN || st_utf8_check(bytes, t.n_bytes) < t.n_bytes) continue;
            pair[1] = (int32_t)id;
            size_t len = text_from(m, pair, 2, 0, text, sizeof text);
            assert_int_equal(len, 1 + t.n_bytes);
            assert_memory_equal(text + 1, bytes, t.n_bytes);
            checked++;
        }
        assert_true(checked > 1000);
        strata_model_close(m);
    }
    strata_model *m = open_vocabulary("wp3k-cased"); /* a word begins with a space, what goes on does not */
    size_t begins = 0, goes_on = 0;
    for (uint32_t id = 0; id < size_of(m); id++) {
        strata_token t;
        char c = 0;
        const char *piece;
        size_t len;
        OK(strata_token_piece(m, (int32_t)id, &piece, &len, err));
        int rc = strata_token_get(m, (int32_t)id, &t, &c, 1, NULL);
        assert_true(rc == 0 || rc == STRATA_TOO_LONG);
        bool word = len > 3 && memcmp(piece, "\xe2\x96\x81", 3) == 0;
        assert_int_equal(t.n_bytes, word ? len - 2 : len);
        assert_int_equal(c == ' ', word);
        begins += word;
        goes_on += !word;
    }
    assert_true(begins > 500 && goes_on > 500);
    strata_model_close(m);
}

static void kinds_and_ends(void **state)
{
    (void)state;
    strata_model *m = open_vocabulary("spm2k-ud");
    strata_model_info info;
    strata_model_get_info(m, &info);
    strata_token t;
    char bytes[8] = "xxxxxxx";
    memset(&t, 0xff, sizeof t);
    OK(strata_token_get(m, info.bos, &t, NULL, 0, err));
    assert_int_equal(t.kind, STRATA_TOKEN_CONTROL);
    assert_int_equal(t.ends, 0);
    for (size_t i = 0; i < sizeof t.reserved / sizeof t.reserved[0]; i++) assert_int_equal(t.reserved[i], 0);
    OK(strata_token_get(m, info.eos, &t, NULL, 0, err));
    assert_int_equal(t.kind, STRATA_TOKEN_CONTROL);
    assert_int_equal(t.ends, 1);
    int32_t sep = -1;
    for (uint32_t id = 0; id < info.n_vocab; id++) {
        const char *piece;
        size_t len;
        OK(strata_token_piece(m, (int32_t)id, &piece, &len, err));
        if (len == 5 && memcmp(piece, "<sep>", 5) == 0) sep = (int32_t)id;
    }
    FAILS(strata_token_get(m, sep, &t, bytes, 3, err), STRATA_TOO_LONG, "room for 3 bytes");
    assert_int_equal(t.n_bytes, 5);
    assert_int_equal(t.kind, STRATA_TOKEN_USER_DEFINED);
    assert_memory_equal(bytes, "<sexxxx", 7);
    FAILS(strata_token_get(m, -1, &t, NULL, 0, err), STRATA_INVALID_ARG, "id -1");
    FAILS(strata_token_get(m, (int32_t)info.n_vocab, &t, NULL, 0, err), STRATA_INVALID_ARG, "id ");
    FAILS(strata_token_get(NULL, 0, &t, NULL, 0, err), STRATA_INVALID_ARG, "m is NULL");
    FAILS(strata_token_get(m, 0, NULL, NULL, 0, err), STRATA_INVALID_ARG, "token is NULL");
    FAILS(strata_token_get(m, 0, &t, NULL, 1, err), STRATA_INVALID_ARG, "bytes is NULL");
    strata_model_close(m);
}

/* Without control tokens: the text of the others, as if they alone were there. */
static void texts_without_control_tokens(void **state)
{
    (void)state;
    static const char *const names[] = {"spm4k", "spm2k-ud", "ugm8k", "ugm8k-bf", "ugm3k-cf", "bpe3k", "wp3k-cased"};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        strata_model *m = open_vocabulary(names[i]);
        uint32_t n_vocab = size_of(m);
        size_t dropped = 0;
        for (int round = 0; round < 300; round++) {
            int32_t ids[40], kept[40];
            size_t n = rng_next(&seed) % 40, k = 0, len;
            for (size_t j = 0; j < n; j++) {
                strata_token t;
                ids[j] = (int32_t)(rng_next(&seed) % (rng_next(&seed) % 2 ? 12 : n_vocab));
                OK(strata_token_get(m, ids[j], &t, NULL, 0, err));
                if (t.kind != STRATA_TOKEN_CONTROL && t.kind != STRATA_TOKEN_UNKNOWN && t.kind != STRATA_TOKEN_UNUSED)
                    kept[k++] = ids[j];
            }
            char want[4096], got[4096];
            size_t n_want = text_from(m, kept, k, 0, want, sizeof want);
            size_t n_got = text_from(m, ids, n, STRATA_DETOKENIZE_SKIP_SPECIAL, got, sizeof got);
            assert_int_equal(n_got, n_want);
            assert_memory_equal(got, want, n_got);
            OK(strata_detokenize_flags(m, ids, n, STRATA_DETOKENIZE_SKIP_SPECIAL, NULL, 0, &len, err));
            assert_int_equal(len, n_want);
            if (n_want > 1)
                FAILS(strata_detokenize_flags(m, ids, n, STRATA_DETOKENIZE_SKIP_SPECIAL, got, n_want - 1, &len, err),
                      STRATA_TOO_LONG, "room for");
            dropped += n - k;
        }
        assert_true(dropped > 0 || strcmp(names[i], "bpe3k") == 0);
        int32_t id = 0;
        size_t len = 7;
        FAILS(strata_detokenize_flags(m, &id, 1, 2, NULL, 0, &len, err), STRATA_INVALID_ARG, "flags: 0x2");
        FAILS(strata_detokenize_flags(m, &id, 1, 0x80000001u, NULL, 0, &len, err), STRATA_INVALID_ARG, "0x80000001");
        assert_int_equal(len, 7);
        strata_model_close(m);
    }
}

/* ---- a text that takes long -------------------------------------------------------------------------------------- */

static void stopped_while_tokenizing(void **state)
{
    (void)state;
    enum { SIZE = 64 << 20 }; /* half a second on a fast machine */
    char *long_text = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) long_text[i] = "abcdefgh "[i * i % 9];
    strata_text texts[2] = {{"a", 1}, {long_text, SIZE}};
    strata_model *m = open_model("bert", &(strata_model_opts){.n_threads = 1});
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    float *v = malloc(2 * dims_of(m) * sizeof *v);
    strata_embed_item items[2];
    strata_embed_opts opts = {.truncate = STRATA_TRUNCATE_END, .deadline_ms = 60};
    FAILS(strata_embed(c, texts, 2, &opts, v, dims_of(m), items, err), STRATA_DEADLINE,
          "before a text of 67108864 bytes was tokenized");
    size_t rows;
    FAILS(strata_embed_tokens(c, long_text, SIZE, &opts, NULL, 0, &rows, NULL, err), STRATA_DEADLINE, "was tokenized");
    int cancel = 1;
    opts = (strata_embed_opts){.truncate = STRATA_TRUNCATE_END, .cancel = &cancel};
    FAILS(strata_embed(c, texts + 1, 1, &opts, v, dims_of(m), NULL, err), STRATA_CANCELLED, "cancelled");
    free(v);
    free(long_text);
    strata_ctx_close(c);
    strata_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_what_a_text_gets),
        cmocka_unit_test(kinds_and_ends),
        cmocka_unit_test(texts_without_control_tokens),
        cmocka_unit_test(stopped_while_tokenizing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
