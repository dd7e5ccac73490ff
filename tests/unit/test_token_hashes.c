/* test_token_hashes.c: one set of texts over twelve vocabularies of ours, the results compared by their hashes
 * (tests/data/tok/make_hashes.py), and llama.cpp's own vectors where the shared material is at hand. */
#include "test_token_rows.h"

/* ---- the same texts for many vocabularies, results as hashes: make_hashes.py ------------------------------------ */

static uint32_t fnv(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x01000193u;
    return h;
}

static int check_hashes(vocab *v, st_str id, st_str text, bool lossy, const uint8_t *want)
{
    int bad = 0;
    strata_error err = {0};
    for (int i = 0; i < 5; i++, want += 4) {
        st_tokens got = {.mem = &v->mem, .want_spans = true};
        unsigned flags = (i < 4 ? FLAGS[i] : 0) | (lossy ? STRATA_TOKENIZE_LOSSY : 0);
        assert_int_equal(st_tokenizer_encode(v->t, text.ptr, text.len, flags, &got, &err), 0);
        uint32_t h = fnv(got.ids, got.n * 4); /* little-endian, as all that strata runs on */
        if (i == 4) {
            size_t cap = 4 * text.len + 64, len = 0;
            char *buf = malloc(cap);
            assert_int_equal(st_tokenizer_decode(v->t, got.ids, got.n, buf, cap, &len, &err), 0);
            assert_true(len <= cap);
            h = fnv(buf, len);
            free(buf);
        }
        if (h != (want[0] | (uint32_t)want[1] << 8 | (uint32_t)want[2] << 16 | (uint32_t)want[3] << 24)) {
            print_error("%.*s: other %s\n", ST_STR(id), i < 4 ? WHAT[i] : "decoded");
            bad = 1;
        } else if (!lossy && !spans_fit(v->t, text, &got, v->kind)) {
            print_error("%.*s: wrong spans\n", ST_STR(id));
            bad = 1;
        }
        st_tokens_free(&got);
    }
    return bad;
}

static void hashes(void **state)
{
    (void)state;
    FILE *f = fopen(STRATA_SOURCE_DIR "/tests/data/tok/shared.hashes", "rb");
    assert_non_null(f);
    bytes b = read_all(f);
    fclose(f);
    assert_true(b.n >= 8 && memcmp(b.p, "STHASH1\n", 8) == 0);
    cursor c = {b.p + 8, b.p + b.n};
    size_t n = varint(&c), all = 0;
    struct {
        st_str id, text;
        bool lossy;
    } *rows = malloc(n * sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        rows[i].id = blob(&c);
        rows[i].text = blob(&c);
        rows[i].lossy = varint(&c);
    }
    for (size_t names = varint(&c); names; names--) {
        st_str s = blob(&c);
        char name[64], path[1024];
        snprintf(name, sizeof name, "%.*s", ST_STR(s));
        const char *pre = strncmp(name, "bpe3k-", 6) == 0 ? name + 6 : NULL;
        snprintf(path, sizeof path, "%s/tests/data/tok/%s.gguf", STRATA_SOURCE_DIR, pre ? "bpe3k" : name);
        vocab v;
        open_vocab(&v, path, pre, pre && strcmp(pre, "llama-bpe") == 0);
        assert_true((size_t)(c.end - c.p) >= 20 * n);
        size_t differ = 0;
        for (size_t i = 0; i < n; i++, c.p += 20)
            differ += (size_t)check_hashes(&v, rows[i].id, rows[i].text, rows[i].lossy, c.p);
        close_vocab(&v);
        print_message("%-20s %5zu rows checked, %zu differ\n", name, n, differ);
        all += differ;
    }
    free(rows);
    free(b.p);
    assert_int_equal(all, 0);
}

/* ---- llama.cpp's own vectors ------------------------------------------------------------------------------------- */

static void vectors(void **state)
{
    static const char *const between = "\n__ggml_vocab_test__\n";
    const char *name = *state, *dir = getenv("STRATA_SHARED");
    char path[1024];
    snprintf(path, sizeof path, "%s/goldens/tok/llamacpp-%s.inp", dir ? dir : STRATA_SOURCE_DIR "/../shared", name);
    FILE *f = fopen(path, "rb");
    if (!f) missing(path);
    bytes in = read_all(f);
    fclose(f);
    snprintf(path + strlen(path) - 4, 5, ".out");
    f = fopen(path, "rb");
    assert_non_null(f);
    bytes out = read_all(f);
    fclose(f);
    in.p = realloc(in.p, in.n + 1);
    out.p = realloc(out.p, out.n + 1);
    in.p[in.n] = out.p[out.n] = 0;
    snprintf(path + strlen(path) - 13 - strlen(name), 64 + strlen(name), "%s.gguf", name);
    vocab v;
    open_vocab(&v, path, NULL, false);
    char *text = (char *)in.p, *want = (char *)out.p;
    size_t n = 0, differ = 0;
    for (; text; n++) {
        char *end = strstr(text, between), *line = strchr(want, '\n');
        st_str s = {text, end ? (size_t)(end - text) : strlen(text)};
        list l = {malloc((s.len + 8) * sizeof(int32_t) * 4), 0};
        for (char *next; (!line || want < line) && *want; want = next) {
            long id = strtol(want, &next, 10);
            if (next == want || (line && next > line)) break;
            l.p[l.n++] = (int32_t)id;
        }
        differ += (size_t)check_ids(v.t, "ids", (st_str){name, strlen(name)}, s, 0, &l, true, v.kind, &v.mem);
        free(l.p);
        want = line ? line + 1 : want + strlen(want);
        text = end ? end + strlen(between) : NULL;
    }
    close_vocab(&v);
    print_message("%-16s %5zu vectors checked, %zu differ\n", name, n, differ);
    free(in.p);
    free(out.p);
    assert_true(n >= 46);
    assert_int_equal(differ, 0);
}

#define VECTORS(n)                               \
    {                                            \
        "llama.cpp's " n, vectors, NULL, NULL, n \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes), VECTORS("gpt-2"), VECTORS("llama-spm"), VECTORS("phi-3"), VECTORS("bert-bge"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
