/* test_token_golden.c: token ids and texts against the references of goldens/tok, row by row, without one difference.
 *
 * The vocabularies that are ours are committed with a part of their rows (tests/data/tok). All rows of all
 * vocabularies, and llama.cpp's own vectors, run where the shared material and python3 exist: STRATA_SHARED (default
 * ../shared) and STRATA_TEST_MODELS (default ~/.cache/strata-test-models). What is missing is skipped aloud, unless
 * CI=true: then it fails. */
#include "test_token_rows.h"

/* See make_rows.py. */
static list read_list(cursor *c, const list *base)
{
    list l;
    if (varint(c)) {
        size_t front = varint(c), back = varint(c), k = 0;
        l.n = base->n + (front > 0) + (back > 0);
        l.p = malloc((l.n + 1) * sizeof *l.p);
        if (front) l.p[k++] = (int32_t)front - 1;
        if (base->n) memcpy(l.p + k, base->p, base->n * sizeof *l.p);
        if (back) l.p[l.n - 1] = (int32_t)back - 1;
        return l;
    }
    l.n = varint(c);
    l.p = malloc((l.n + 1) * sizeof *l.p);
    for (size_t i = 0; i < l.n; i++) l.p[i] = (int32_t)varint(c);
    return l;
}

static int check_decoded(const st_tokenizer *t, st_str id, const list *ids, st_str want)
{
    strata_error err = {0};
    size_t len = 0, cap = want.len + 16;
    char *buf = malloc(cap);
    assert_int_equal(st_tokenizer_decode(t, ids->p, ids->n, buf, cap, &len, &err), 0);
    int bad = len != want.len || memcmp(buf, want.ptr, len) != 0;
    if (bad)
        print_error("%.*s decoded: '%.*s', want '%.*s'\n", ST_STR(id), (int)(len < 60 ? len : 60), buf, ST_STR(want));
    free(buf);
    return bad;
}

static void run_rows(const char *name, const char *gguf_path, bytes rows)
{
    strata_error err = {0};
    vocab v;
    open_vocab(&v, gguf_path, NULL, false);
    assert_true(rows.n >= 8 && memcmp(rows.p, "STROWS1\n", 8) == 0);
    cursor c = {rows.p + 8, rows.p + rows.n};
    size_t n = 0, differ = 0;
    while (c.p < c.end) {
        st_str id = blob(&c), text = blob(&c);
        size_t flags = varint(&c);
        st_str decoded = flags & 2 ? text : blob(&c);
        list l[4];
        l[0] = read_list(&c, NULL);
        l[1] = read_list(&c, &l[0]);
        l[2] = read_list(&c, &l[0]);
        l[3] = read_list(&c, &l[2]);
        int bad = 0;
        unsigned lossy = flags & 1 ? STRATA_TOKENIZE_LOSSY : 0;
        for (int i = 0; i < 4; i++) {
            bad |= check_ids(v.t, WHAT[i], id, text, FLAGS[i] | lossy, &l[i], !lossy, v.kind, &v.mem);
        }
        if (lossy) { /* and without LOSSY it is refused */
            st_tokens none = {.mem = &v.mem};
            assert_int_equal(st_tokenizer_encode(v.t, text.ptr, text.len, 0, &none, &err), STRATA_INVALID_ARG);
        }
        bad |= check_decoded(v.t, id, &l[0], decoded);
        for (int i = 0; i < 4; i++) free(l[i].p);
        n++;
        differ += (size_t)bad;
    }
    print_message("%-16s %5zu rows checked, %zu differ\n", name, n, differ);
    close_vocab(&v);
    free(rows.p);
    assert_true(n > 0);
    assert_int_equal(differ, 0);
}

static void committed(void **state)
{
    const char *name = *state;
    char path[1024], gguf[1024];
    snprintf(path, sizeof path, "%s/tests/data/tok/%s.rows", STRATA_SOURCE_DIR, name);
    snprintf(gguf, sizeof gguf, "%s/tests/data/tok/%s.gguf", STRATA_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    bytes rows = read_all(f);
    fclose(f);
    run_rows(name, gguf, rows);
}

static void shared(void **state)
{
    const char *name = ((const char **)*state)[0], *model = ((const char **)*state)[1];
    const char *dir = getenv("STRATA_SHARED"), *models = getenv("STRATA_TEST_MODELS"), *home = getenv("HOME");
    char base[900], golden[1024], gguf[1024], command[3000];
    snprintf(base, sizeof base, "%s", dir ? dir : STRATA_SOURCE_DIR "/../shared");
    snprintf(golden, sizeof golden, "%s/goldens/tok/%s.jsonl.gz", base, name);
    if (!model)
        snprintf(gguf, sizeof gguf, "%s/goldens/tok/%s.gguf", base, name);
    else if (models)
        snprintf(gguf, sizeof gguf, "%s/%s", models, model);
    else
        snprintf(gguf, sizeof gguf, "%s/.cache/strata-test-models/%s", home ? home : "", model);
    if (access(golden, R_OK) != 0) missing(golden);
    if (access(gguf, R_OK) != 0) missing(gguf);
    if (system("python3 -c '' 2>/dev/null") != 0) missing("python3");
    snprintf(command, sizeof command, "python3 -B '%s/tests/data/tok/make_rows.py' '%s' - '%s'", STRATA_SOURCE_DIR,
             golden, gguf);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    bytes rows = read_all(f);
    assert_int_equal(pclose(f), 0);
    run_rows(name, gguf, rows);
}

#define COMMITTED(n)                             \
    {                                            \
        "committed " n, committed, NULL, NULL, n \
    }
#define SHARED(n, m)                                              \
    {                                                             \
        "shared " n, shared, NULL, NULL, (void *)(const char *[]) \
        {                                                         \
            n, m                                                  \
        }                                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMMITTED("spm4k"),
        COMMITTED("spm2k-ud"),
        COMMITTED("wp3k-cased"),
        SHARED("spm4k", NULL),
        SHARED("spm2k-ud", NULL),
        SHARED("wp3k-cased", NULL),
        SHARED("ugm8k", NULL),
        SHARED("ugm8k-bf", NULL),
        SHARED("ugm3k-cf", NULL),
        SHARED("gpt-2", NULL),
        SHARED("smollm2", "smollm2-135m-instruct-q4_1.gguf"),
        SHARED("bpe3k-gpt-2", NULL),
        SHARED("bpe3k-smollm", NULL),
        SHARED("bpe3k-llama-bpe", NULL),
        SHARED("bpe3k-qwen2", NULL),
        SHARED("bpe3k-qwen35", NULL),
        SHARED("bpe3k-gpt-4o", NULL),
        SHARED("bpe3k-tekken", NULL),
        SHARED("bpe3k-deepseek-v3", NULL),
        SHARED("bpe3k-deepseek-coder", NULL),
        SHARED("llama-spm", NULL),
        SHARED("phi-3", NULL),
        SHARED("bert-bge", NULL),
        SHARED("minilm", "all-minilm-l6-v2-q8_0.gguf"),
        SHARED("embeddinggemma", "embeddinggemma-300m-q8_0.gguf"),
        SHARED("gemma3-270m", "gemma-3-270m-q4_k_m.gguf"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
