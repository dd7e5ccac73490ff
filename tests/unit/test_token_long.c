/* test_token_long.c: long words and texts: merged by windows as if whole, counted in memory that does not grow with the
 * tokens, stopped in the middle; pieces and added tokens of a length that no real vocabulary has. */
#include "test_token_made.h"

#include "base/os/thread.h"
#include "token/token_internal.h"

static uint64_t state_of_random;

static size_t rnd(size_t n)
{
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state_of_random >> 33) % n;
}

/* Spellings over an alphabet, each joined from two before it, and the merges that say so. */
typedef struct made {
    char text[400][512];
    tok v[400];
    const char *merges[400];
    char merge[400][1100];
    size_t n, n_merges;
} made;

static void add_token(made *m, const char *s, float score, int type)
{
    size_t n = strlen(s);
    assert_true(n < sizeof m->text[0] && m->n < N(m->v));
    memcpy(m->text[m->n], s, n + 1);
    m->v[m->n] = (tok){m->text[m->n], score, type};
    m->n++;
}

static void make_vocabulary(made *m, const char *alphabet, size_t more, bool holes)
{
    m->n = m->n_merges = 0;
    add_token(m, "<unk>", 0, UNKNOWN);
    add_token(m, "<s>", 0, CONTROL);
    add_token(m, "</s>", 0, CONTROL);
    for (const char *p = alphabet; *p; p++)
        if (!holes || p != alphabet + 1) add_token(m, (char[]){*p, 0}, -20, NORMAL);
    for (size_t i = 0; i < more; i++) {
        const char *a = m->text[3 + rnd(m->n - 3)], *b = m->text[3 + rnd(m->n - 3)];
        size_t n_a = strlen(a), n_b = strlen(b);
        char both[256], *merge = m->merge[m->n_merges];
        if (n_a + n_b > 200) continue;
        memcpy(both, a, n_a);
        memcpy(both + n_a, b, n_b + 1);
        memcpy(merge, a, n_a);
        merge[n_a] = ' ';
        memcpy(merge + n_a + 1, b, n_b + 1);
        m->merges[m->n_merges] = m->merge[m->n_merges];
        m->n_merges++;
        bool known = false;
        for (size_t k = 0; k < m->n; k++) known = known || strcmp(m->text[k], both) == 0;
        if (!known) add_token(m, both, -(float)(rnd(16)), NORMAL);
    }
}

static void make_text(char *text, size_t n, const char *alphabet)
{
    size_t k = strlen(alphabet), i = 0;
    while (i < n) { /* runs and repetitions, where merges depend on what lies far away */
        size_t run = 1 + rnd(60), period = 1 + rnd(4), at = i;
        for (; i < n && run; run--, i++) text[i] = i - at < period ? alphabet[rnd(k)] : text[i - period];
    }
    text[n] = 0;
}

static void encode(model *m, const char *text, st_tokens *out)
{
    out->mem = &m->mem;
    if (st_tokenizer_encode(m->t, text, strlen(text), 0, out, &m->err)) fail_msg("%s", m->err.msg);
}

static void same_count(model *m, const char *text, size_t n)
{
    st_tokens out = {.count = true};
    encode(m, text, &out);
    assert_int_equal(out.n, n);
    st_tokens around = {.mem = &m->mem}; /* behind tokens that were counted others may follow */
    unsigned special = STRATA_TOKENIZE_ADD_SPECIAL;
    assert_int_equal(st_tokenizer_encode(m->t, text, strlen(text), special, &around, NULL), 0);
    assert_int_equal(st_tokenizer_encode(m->t, text, strlen(text), special, &out, NULL), 0);
    assert_int_equal(out.n, n + around.n);
    st_tokens_free(&around);
    st_tokens_free(&out);
}

static void windows_are_the_whole(void **state)
{
    (void)state;
    static made v;
    static char text[3001];
    for (int round = 0; round < 30; round++) {
        for (int spm = 0; spm < 2; spm++) {
            const char *alphabet = rnd(2) ? "abc" : "ab";
            model m;
            make_vocabulary(&v, alphabet, 2 + rnd(60), rnd(3) == 0);
            opened(&m, spm ? "llama" : "gpt2", v.v, v.n,
                   &(keys){.pre = "gpt-2",
                           .merges = v.merges,
                           .n_merges = v.n_merges,
                           .flag = {"tokenizer.ggml.add_space_prefix"}});
            for (int k = 0; k < 4; k++) {
                make_text(text, 1 + rnd(3000), alphabet);
                st_tokens want = {.want_spans = true}, got = {.want_spans = true};
                m.t->window = 1 << 20;
                encode(&m, text, &want);
                for (uint32_t window = 8; window < 3000; window = window * 3 + 1) {
                    m.t->window = window;
                    encode(&m, text, &got);
                    assert_int_equal(got.n, want.n);
                    assert_memory_equal(got.ids, want.ids, got.n * sizeof *got.ids);
                    assert_memory_equal(got.spans, want.spans, got.n * sizeof *got.spans);
                    same_count(&m, text, got.n);
                    st_tokens_free(&got);
                }
                st_tokens_free(&want);
            }
            close_model(&m);
        }
    }
}

/* The best path over pieces of any length, the plain way. float32 sums in the order of the texts' places. */
static size_t best_path(const made *v, const char *text, int32_t *ids)
{
    size_t n = strlen(text), k = 0;
    float *score = malloc((n + 1) * sizeof *score), min = 0;
    size_t *from = malloc((n + 1) * sizeof *from);
    int32_t *id = malloc((n + 1) * sizeof *id);
    for (size_t t = 3; t < v->n; t++) min = v->v[t].score < min ? v->v[t].score : min;
    for (size_t i = 0; i <= n; i++) from[i] = SIZE_MAX;
    score[0] = 0;
    from[0] = 0;
    for (size_t i = 0; i < n; i++) {
        bool single = false;
        for (size_t t = 3; t < v->n; t++) single = single || (v->text[t][0] == text[i] && !v->text[t][1]);
        if (!single && (from[i + 1] == SIZE_MAX || score[i] + (min - 10) > score[i + 1])) {
            score[i + 1] = score[i] + (min - 10);
            from[i + 1] = i;
            id[i + 1] = 0;
        }
        for (size_t t = 3; t < v->n; t++) {
            size_t len = strlen(v->text[t]);
            if (len > n - i || memcmp(text + i, v->text[t], len) != 0) continue;
            if (from[i + len] != SIZE_MAX && !(v->v[t].score + score[i] > score[i + len])) continue;
            score[i + len] = v->v[t].score + score[i];
            from[i + len] = i;
            id[i + len] = (int32_t)t;
        }
    }
    for (size_t i = n; i; i = from[i]) ids[k++] = id[i];
    for (size_t i = 0; i < k / 2; i++) { /* they came from behind */
        int32_t t = ids[i];
        ids[i] = ids[k - 1 - i];
        ids[k - 1 - i] = t;
    }
    size_t out = 0;
    for (size_t i = 0; i < k; i++)
        if (ids[i] || !out || ids[out - 1]) ids[out++] = ids[i]; /* unknown characters in a row are one token */
    free(score);
    free(from);
    free(id);
    return out;
}

#define PLAIN .flag = {"tokenizer.ggml.add_space_prefix", "tokenizer.ggml.remove_extra_whitespaces"}

static void long_pieces_of_unigram(void **state)
{
    (void)state;
    static made v;
    static char text[2001], piece[512];
    static int32_t want[2001];
    for (int round = 0; round < 40; round++) {
        model m;
        make_vocabulary(&v, "ab", 20, rnd(3) == 0);
        for (int i = 0; i < 12; i++) { /* around the length that is found by its end */
            size_t len = 120 + rnd(20) + rnd(2) * 200;
            make_text(piece, len, i % 2 ? "ab" : "a");
            bool known = false;
            for (size_t k = 0; k < v.n; k++) known = known || strcmp(v.text[k], piece) == 0;
            if (!known) add_token(&v, piece, -(float)(rnd(300)), NORMAL);
        }
        opened(&m, "t5", v.v, v.n, &(keys){PLAIN, .key = {"tokenizer.ggml.unknown_token_id"}});
        for (int i = 0; i < 6; i++) {
            make_text(text, 1 + rnd(2000), i % 3 ? "ab" : "a");
            for (int k = 0; k < 3; k++) /* the pieces themselves */
                if (strlen(text) > 900) memcpy(text + rnd(400), v.text[v.n - 1 - rnd(12)], 120);
            st_tokens got = {0};
            size_t n = best_path(&v, text, want);
            encode(&m, text, &got);
            assert_int_equal(got.n, n);
            assert_memory_equal(got.ids, want, n * sizeof *want);
            same_count(&m, text, n);
            st_tokens_free(&got);
        }
        close_model(&m);
    }
}

/* Byte tokens for some bytes only: which unknown characters join the one before is counted as it is done. */
static void counting_unknown_characters(void **state)
{
    (void)state;
    static const tok v[] = {{"<pad>", 0, CONTROL}, {"</s>", 0, CONTROL}, {"<unk>", 0, UNKNOWN},
                            {"a", -1, NORMAL},     {"<0x62>", 0, BYTE},  {"aa", -1.5f, NORMAL}};
    static const char *const kinds[] = {"t5", "llama"};
    for (size_t k = 0; k < N(kinds); k++) {
        model m;
        opened(&m, kinds[k], v, N(v), &(keys){PLAIN, .key = {"tokenizer.ggml.unknown_token_id"}, .value = {2}});
        for (int round = 0; round < 200; round++) {
            char text[40];
            size_t n = 1 + rnd(30);
            for (size_t i = 0; i < n; i++) text[i] = "abcd"[rnd(4)];
            text[n] = 0;
            st_tokens got = {0};
            encode(&m, text, &got);
            same_count(&m, text, got.n);
            st_tokens_free(&got);
        }
        close_model(&m);
    }
}

/* ---- long texts -------------------------------------------------------------------------------------------------- */

static const tok letters[] = {{"<unk>", 0, UNKNOWN}, {"<s>", 0, CONTROL}, {"</s>", 0, CONTROL}, {"a", -1, NORMAL},
                              {"b", -2, NORMAL},     {"ab", -3, NORMAL},  {"aa", -2, NORMAL},   {"aaaa", -4, NORMAL}};
static const char *const letter_merges[] = {"a a", "a b", "aa aa"};
static const char *const KINDS[] = {"llama", "t5", "gpt2", "bert"};
#define LETTERS                                                                                                     \
    letters, N(letters), &(keys)                                                                                    \
    {                                                                                                               \
        PLAIN, .pre = "gpt-2", .merges = letter_merges, .n_merges = 3, .key = { "tokenizer.ggml.unknown_token_id" } \
    }

/* A word of megabytes in as much memory beside a copy of it as a page of text needs. */
static void counting_is_flat(void **state)
{
    (void)state;
    enum { SIZE = 8 << 20 };
    char *text = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++) text[i] = i % 7 == 3 ? 'b' : 'a';
    text[SIZE] = 0;
    for (size_t k = 0; k < N(KINDS); k++) {
        model m;
        opened(&m, KINDS[k], LETTERS);
        st_mem small;
        st_mem_init(&small, NULL, SIZE + SIZE / 4 + (4 << 20));
        st_tokens out = {.mem = &small, .count = true};
        if (st_tokenizer_encode(m.t, text, SIZE, 0, &out, &m.err)) fail_msg("%s: %s", KINDS[k], m.err.msg);
        assert_true(k == 3 ? out.n == 1 : out.n > SIZE / 8);
        st_tokens_free(&out);
        assert_int_equal(small.used, 0);
        close_model(&m);
    }
    free(text);
}

/* A letter and millions of marks are one segment to NFC: it took 36 bytes a byte. */
static void marks_in_little_memory(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    char *text = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++) text[i] = i % 2 ? '\x81' : '\xcc';
    text[0] = text[1] = 'a';
    model m;
    opened(&m, "gpt2", letters, N(letters), &(keys){.pre = "qwen2", .merges = letter_merges, .n_merges = 3});
    st_mem small;
    st_mem_init(&small, NULL, (size_t)SIZE * 8);
    st_tokens out = {.mem = &small, .count = true};
    if (st_tokenizer_encode(m.t, text, SIZE, 0, &out, &m.err)) fail_msg("%s", m.err.msg);
    assert_true(out.n > 0);
    st_tokens_free(&out);
    assert_int_equal(small.used, 0);
    close_model(&m);
    free(text);
}

static void stopping(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    for (int words = 0; words < 2; words++) {
        for (size_t i = 0; i < SIZE; i++) text[i] = words && i % 6 == 5 ? ' ' : "aab"[i % 3];
        for (size_t k = 0; k < N(KINDS); k++) {
            model m;
            volatile int cancel = 1;
            st_stop now = {&cancel, 0}, late = {NULL, st_now() - 1}, never = {NULL, 0};
            opened(&m, KINDS[k], LETTERS);
            st_tokens out = {.mem = &m.mem, .stop = &now};
            assert_int_equal(st_tokenizer_encode(m.t, text, SIZE, 0, &out, &m.err), STRATA_CANCELLED);
            assert_int_equal(out.n, 0);
            out.stop = &late;
            assert_int_equal(st_tokenizer_encode(m.t, text, SIZE, 0, &out, &m.err), STRATA_DEADLINE);
            assert_non_null(strstr(m.err.msg, "deadline"));
            assert_int_equal(out.n, 0);
            out.stop = &never;
            assert_int_equal(st_tokenizer_encode(m.t, text, SIZE, 0, &out, &m.err), 0);
            assert_true(out.n > 0);
            st_tokens_free(&out);
            close_model(&m);
        }
    }
    free(text);
}

/* Of any length: control tokens, and user-defined ones also where they are looked for in normalised text. */
static void long_added_tokens(void **state)
{
    (void)state;
    enum { LEN = 5000 };
    static char user[LEN + 1], control[LEN + 1], text[2 * LEN + 3];
    memset(user, 'u', LEN);
    memset(control, 'c', LEN);
    for (size_t k = 0; k < N(KINDS); k++) {
        user[7] = k == 1 ? 'u' : ' '; /* Unigram looks for the spelling as it is */
        for (int prefix = 0; prefix < 2; prefix++) {
            model m;
            tok v[N(letters) + 2];
            memcpy(v, letters, sizeof letters);
            v[N(letters)] = (tok){user, 0, USER};
            v[N(letters) + 1] = (tok){control, 0, CONTROL};
            opened(&m, KINDS[k], v, N(v),
                   &(keys){.pre = "gpt-2",
                           .merges = letter_merges,
                           .n_merges = 3,
                           .key = {"tokenizer.ggml.unknown_token_id"},
                           .flag = {"tokenizer.ggml.add_space_prefix", "tokenizer.ggml.remove_extra_whitespaces"},
                           .set = {prefix}});
            size_t n = (size_t)snprintf(text, sizeof text, "%s%s", user, control), id_user = 0, id_control = 0;
            st_tokens out = {.mem = &m.mem};
            assert_int_equal(st_tokenizer_encode(m.t, text, n, STRATA_TOKENIZE_PARSE_SPECIAL, &out, &m.err), 0);
            for (size_t i = 0; i < out.n; i++) {
                id_user += out.ids[i] == (int32_t)N(letters);
                id_control += out.ids[i] == (int32_t)N(letters) + 1;
            }
            if (id_user != 1 || id_control != 1)
                fail_msg("%s, prefix %d: %zu %zu", KINDS[k], prefix, id_user, id_control);
            st_tokens_free(&out);
            close_model(&m);
        }
    }
}

/* At nearly every place of these texts a user-defined token begins that would cross a control token of a later part,
 * and nearly a control token: each place is looked at once for those. It took the square of a token's length. */
static void crossing_costs_little(void **state)
{
    (void)state;
    enum { LEN = 1000, PLAIN_LEN = 400, COUNT = 320 };
    static char user[LEN + 1], control[LEN / 2 + 1], text[COUNT * LEN];
    static strata_text_part parts[COUNT];
    memset(user, 'a', LEN);
    memset(control, 'a', LEN / 2);
    control[LEN / 2 - 1] = 'x';
    memset(text, 'a', sizeof text);
    for (size_t i = 0, at = 0; i < COUNT; at += parts[i++].len) {
        parts[i] = (strata_text_part){text + at, i % 2 ? LEN : PLAIN_LEN, i % 2};
        if (i % 2) text[at + LEN - 1] = 'x';
    }
    model m;
    tok v[N(letters) + 2];
    memcpy(v, letters, sizeof letters);
    v[N(letters)] = (tok){user, 0, USER};
    v[N(letters) + 1] = (tok){control, 0, CONTROL};
    opened(&m, "gpt2", v, N(v), &(keys){.pre = "gpt-2", .merges = letter_merges, .n_merges = 3});
    st_stop stop = {NULL, st_now() + 20};
    st_tokens out = {.mem = &m.mem, .stop = &stop};
    if (st_tokenizer_encode_parts(m.t, parts, COUNT, 0, &out, &m.err)) fail_msg("%s", m.err.msg);
    size_t n = 0;
    for (size_t i = 0; i < out.n; i++) n += out.ids[i] == (int32_t)N(letters) + 1;
    assert_int_equal(n, COUNT / 2);
    st_tokens_free(&out);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_the_whole),       cmocka_unit_test(long_pieces_of_unigram),
        cmocka_unit_test(counting_unknown_characters), cmocka_unit_test(counting_is_flat),
        cmocka_unit_test(marks_in_little_memory),      cmocka_unit_test(stopping),
        cmocka_unit_test(long_added_tokens),           cmocka_unit_test(crossing_costs_little),
    };
    (void)refused;
    (void)ids;
    (void)spans;
    (void)text_of;
    (void)fail_every_allocation;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
