/* test_token_parts.c: texts in parts of different trust, on every committed vocabulary: cut anywhere, the parts give
 * the ids of the one text, and no control token stands on what a user wrote. test_token_bpe.c has the rules one by
 * one. */
#include <dirent.h>

#include "unit/test_api.h"

enum { MAX_TEXT = 600, MAX_PARTS = 12, CAP = 2000 };

#define DATA STRATA_SOURCE_DIR "/tests/data/tok"

typedef struct result {
    int32_t id[CAP];
    strata_span span[CAP];
    size_t n;
} result;

/* Words, oddities, and the spellings of tokens of the vocabulary, control tokens among them. */
static size_t make_words(const strata_model *m, uint32_t n_vocab, char *out, uint64_t *seed)
{
    static const char *const words[] = {"hello",
                                        " world",
                                        "  ",
                                        "\n",
                                        "\n\n",
                                        " don't",
                                        "123",
                                        "\xc3\xa9l\xc3\xa8ve",
                                        "\xe6\x9d\xb1\xe4\xba\xac",
                                        "\xe2\x96\x81",
                                        ".",
                                        "<",
                                        ">",
                                        "|",
                                        "[",
                                        "]"};
    size_t n = 0, want = rng_next(seed) % 40;
    for (size_t i = 0; i < want; i++) {
        const char *p = words[rng_next(seed) % (sizeof words / sizeof words[0])];
        size_t len = strlen(p);
        uint64_t kind = rng_next(seed) % 8;
        if (kind < 3) /* the first ids are where special tokens are, mostly */
            OK(strata_token_piece(m, (int32_t)(rng_next(seed) % (kind ? 12 : n_vocab)), &p, &len, err));
        if (n + len > MAX_TEXT) break;
        memcpy(out + n, p, len);
        n += len;
    }
    return n;
}

/* Cuts text anywhere between characters. */
static size_t cut(const char *text, size_t len, strata_text_part *parts, int trust, uint64_t *seed)
{
    size_t n = 0, at = 0;
    while (n + 1 < MAX_PARTS && at < len && rng_next(seed) % 8) {
        size_t to = at + rng_next(seed) % (len - at + 1);
        while (to < len && ((uint8_t)text[to] & 0xc0) == 0x80) to++;
        parts[n++] = (strata_text_part){text + at, to - at, trust < 0 ? (int)(rng_next(seed) & 1) : trust};
        at = to;
    }
    parts[n++] = (strata_text_part){text + at, len - at, trust < 0 ? (int)(rng_next(seed) & 1) : trust};
    return n;
}

static void whole(const strata_model *m, const char *text, size_t len, unsigned flags, result *out)
{
    OK(strata_tokenize(m, text, len, flags, out->id, out->span, CAP, &out->n, err));
}

static void in_parts(const strata_model *m, const strata_text_part *parts, size_t n, unsigned flags, result *out)
{
    OK(strata_tokenize_parts(m, parts, n, flags, out->id, out->span, CAP, &out->n, err));
}

static void same(const result *a, const result *b)
{
    assert_int_equal(a->n, b->n);
    if (a->n) assert_memory_equal(a->id, b->id, a->n * sizeof a->id[0]);
    if (a->n) assert_memory_equal(a->span, b->span, a->n * sizeof a->span[0]);
}

/* Is [begin, end) within trusted parts that touch? */
static bool trusted(const strata_text_part *parts, size_t n, size_t begin, size_t end)
{
    for (size_t i = 0, at = 0; i < n; at += parts[i++].len)
        if (!parts[i].trusted && parts[i].len && at < end && at + parts[i].len > begin) return false;
    return true;
}

/* Tokens that only PARSE_SPECIAL gives: those that a text of their spelling alone does not give without it. */
static void find_control(const strata_model *m, uint32_t n_vocab, uint8_t *control)
{
    static result r;
    for (uint32_t id = 0; id < n_vocab; id++) {
        const char *p;
        size_t len;
        OK(strata_token_piece(m, (int32_t)id, &p, &len, err));
        control[id] = 0;
        if (!len || len > 40) continue;
        if (strata_tokenize(m, p, len, STRATA_TOKENIZE_PARSE_SPECIAL, r.id, NULL, CAP, &r.n, NULL)) continue;
        if (r.n != 1 || r.id[0] != (int32_t)id) continue;
        OK(strata_tokenize(m, p, len, 0, r.id, NULL, CAP, &r.n, err));
        control[id] = r.n != 1 || r.id[0] != (int32_t)id;
    }
    /* <unk> also stands for what no token covers. */
    OK(strata_tokenize(m, "\xf4\x8f\xbf\xbd \xf0\x9f\xa7\xbf", 9, 0, r.id, NULL, CAP, &r.n, err));
    for (size_t i = 0; i < r.n; i++)
        if (control[r.id[i]]) control[r.id[i]] = 2;
}

static size_t check_vocabulary(const char *path, int rounds)
{
    static result a, b;
    char text[MAX_TEXT];
    strata_text_part parts[MAX_PARTS];
    strata_model *m = NULL;
    strata_model_info info;
    OK(strata_model_open(path, &(strata_model_opts){.vocab_only = 1}, &m, err));
    strata_model_get_info(m, &info);
    uint8_t *control = calloc(info.n_vocab, 1);
    find_control(m, info.n_vocab, control);
    size_t seen = 0;
    uint64_t seed = 7;
    for (int i = 0; i < rounds; i++) {
        size_t len = make_words(m, info.n_vocab, text, &seed), n;
        unsigned flags = i & 1 ? STRATA_TOKENIZE_ADD_SPECIAL : 0;
        for (int trust = 0; trust < 2; trust++) {
            n = cut(text, len, parts, trust, &seed);
            in_parts(m, parts, n, flags, &a);
            whole(m, text, len, flags | (trust ? STRATA_TOKENIZE_PARSE_SPECIAL : 0), &b);
            same(&a, &b);
        }
        n = cut(text, len, parts, -1, &seed);
        in_parts(m, parts, n, flags, &a);
        for (size_t k = 0; k < a.n; k++) {
            bool added = a.span[k].begin == a.span[k].end;
            if (control[a.id[k]] != 1 || added) continue;
            seen++;
            size_t from = a.span[k].begin, to = a.span[k].end; /* without white space that the token takes */
            while (from < to && strchr(" \t\r\n", text[from])) from++;
            while (from < to && strchr(" \t\r\n", text[to - 1])) to--;
            if (!trusted(parts, n, from, to)) {
                const char *p;
                OK(strata_token_piece(m, a.id[k], &p, &len, err));
                fail_msg("%s: token %d '%.*s' at %zu-%zu lies on a user's text", path, a.id[k], (int)len, p,
                         a.span[k].begin, a.span[k].end);
            }
        }
        /* Where no control token touches what the user wrote, the ids are those of the whole text. */
        bool touched = false;
        for (size_t k = 0; k < b.n; k++)
            touched = touched || (control[b.id[k]] && !trusted(parts, n, b.span[k].begin, b.span[k].end));
        if (!touched) same(&a, &b);
    }
    free(control);
    strata_model_close(m);
    return seen;
}

static void every_committed_vocabulary(void **state)
{
    (void)state;
    size_t files = 0, with_control = 0;
    char path[600];
    DIR *d = opendir(DATA);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 5, ".gguf") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", DATA, e->d_name);
        files++;
        with_control += check_vocabulary(path, 3000) > 50;
    }
    closedir(d);
    assert_true(files >= 6);
    assert_true(with_control >= 4);
}

static void arguments(void **state)
{
    (void)state;
    strata_model *m = NULL;
    size_t n = 77;
    int32_t ids[4];
    strata_text_part part = {"a b c d e f g h", 15, 0}, null = {NULL, 3, 1}, empty = {NULL, 0, 1};
    OK(strata_model_open(DATA "/spm4k.gguf", &(strata_model_opts){.vocab_only = 1}, &m, err));
    FAILS(strata_tokenize_parts(NULL, &part, 1, 0, ids, NULL, 4, &n, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_tokenize_parts(m, NULL, 1, 0, ids, NULL, 4, &n, err), STRATA_INVALID_ARG, "parts");
    FAILS(strata_tokenize_parts(m, &null, 1, 0, ids, NULL, 4, &n, err), STRATA_INVALID_ARG, "part 0");
    FAILS(strata_tokenize_parts(m, &part, 1, 0, NULL, NULL, 4, &n, err), STRATA_INVALID_ARG, "ids");
    assert_int_equal(n, 77);
    FAILS(strata_tokenize_parts(m, &part, 1, 0, ids, NULL, 4, &n, err), STRATA_TOO_LONG, "room for 4");
    assert_true(n > 4);
    OK(strata_tokenize_parts(m, &empty, 1, 0, NULL, NULL, 0, &n, err));
    assert_int_equal(n, 0);
    OK(strata_tokenize_parts(m, NULL, 0, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, 4, &n, err));
    assert_int_equal(n, 1);
    strata_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_committed_vocabulary), cmocka_unit_test(arguments)};
    return cmocka_run_group_tests_name("token_parts", tests, NULL, NULL);
}
