/* test_stream.c: what a generation shows of its text: never a stop text or the beginning of one that follows, never
 * bytes that are no UTF-8, and the same text however it is cut into tokens. */
#include "base/utf8.h"
#include "engine/stream.h"
#include "unit/test_api.h"

enum { MAX_BYTES = 48, MAX_STOPS = 4 };

typedef struct shown {
    char text[4 * MAX_BYTES];
    size_t n;
} shown;

static void show(const st_stream *h, shown *s)
{
    assert_true(s->n + h->n_ready <= sizeof s->text);
    assert_int_equal(st_utf8_check(h->ready ? h->ready : "", h->n_ready), h->n_ready);
    if (h->n_ready) memcpy(s->text + s->n, h->ready, h->n_ready);
    s->n += h->n_ready;
}

/* All of p[0..n) at once, invalid parts as U+FFFD. */
static void lossy(const char *p, size_t n, shown *s)
{
    s->n = 0;
    for (size_t at = 0; at < n;) {
        size_t good = st_utf8_check(p + at, n - at);
        unsigned bad = 0;
        memcpy(s->text + s->n, p + at, good);
        s->n += good, at += good;
        if (at == n) return;
        st_utf8_step((const uint8_t *)p + at, n - at, &bad);
        memcpy(s->text + s->n, "\xef\xbf\xbd", 3);
        s->n += 3, at += bad;
    }
}

/* Where the first stop text begins in p[0..n), n without one. */
static size_t first_stop(const char *p, size_t n, const char *const *stop, size_t n_stop)
{
    for (size_t at = 0; at < n; at++)
        for (size_t i = 0; i < n_stop; i++) {
            size_t len = strlen(stop[i]);
            if (at + len <= n && memcmp(p + at, stop[i], len) == 0) return at;
        }
    return n;
}

/* Bytes at the end that some continuation makes a character of. */
static size_t unfinished(const char *p, size_t n)
{
    static const char *const more[] = {"\x80", "\xbf", "\x80\x80", "\xbf\xbf", "\x80\x80\x80", "\xbf\xbf\xbf"};
    for (size_t k = 3; k > 0; k--)
        for (size_t i = 0; k <= n && i < sizeof more / sizeof *more; i++) {
            char c[8];
            unsigned len = 0;
            memcpy(c, p + n - k, k);
            memcpy(c + k, more[i], strlen(more[i]));
            if (st_utf8_step((const uint8_t *)c, k + strlen(more[i]), &len) == k + strlen(more[i])) return k;
        }
    return 0;
}

/* p in tokens of the given ends. Shown must be, after each token, a beginning of what the whole of it gives. */
static void check(const char *p, const size_t *ends, size_t n_ends, const char *const *stop, size_t n_stop)
{
    st_mem mem;
    strata_error err;
    st_mem_init(&mem, NULL, 0);
    st_stream h = {.stop = stop, .n_stop = n_stop, .mem = &mem};
    shown got = {.n = 0}, want = {.n = 0};
    size_t end = 0, cut = 0;
    bool stopped = false;
    for (size_t i = 0; i < n_ends && !stopped; i++) {
        assert_int_equal(st_stream_add(&h, p + end, ends[i] - end, &stopped, &err), STRATA_OK);
        end = ends[i];
        cut = first_stop(p, end, stop, n_stop);
        assert_int_equal(stopped, cut < end);
        show(&h, &got);
    }
    if (!stopped) {
        assert_int_equal(st_stream_end(&h, &err), STRATA_OK);
        show(&h, &got);
    }
    lossy(p, stopped ? cut : end - unfinished(p, end), &want);
    if (got.n != want.n || memcmp(got.text, want.text, got.n) != 0)
        fail_msg("\"%.*s\" in %zu tokens, stops \"%s\" ... : shown \"%.*s\", want \"%.*s\"", (int)end, p, n_ends,
                 n_stop ? stop[0] : "", (int)got.n, got.text, (int)want.n, want.text);
    st_stream_free(&h);
    assert_true(mem.used == 0);
}

/* What is shown before the end is never taken back, so a stop that is still open must be held: told by `check` only if
 * the text goes on to complete it. Here it does, at every cut. */
static void test_every_cut(void **state)
{
    (void)state;
    static const char *const stops[] = {"</s>", "\n\nUser:", "\xe4\xb8\xad\xe6\x96\x87", "aab"};
    static const char *const texts[] = {"ab</s>x",
                                        "<</</s>",
                                        "hi\n\n\nUser:",
                                        "\xe4\xb8\xad\xe4\xb8\xad\xe6\x96\x87.",
                                        "aaaaab",
                                        "\xc3\xa9 aa\xc3\xa9 aab",
                                        "\xf0\x9f\x98\x80</s",
                                        "\n\nUser"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]), ends[3];
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                ends[0] = a, ends[1] = b, ends[2] = n;
                check(texts[i], ends, 3, stops, 4);
            }
        size_t each[MAX_BYTES];
        for (size_t k = 0; k < n; k++) each[k] = k + 1;
        check(texts[i], each, n, stops, 4);
    }
}

static void test_random(void **state)
{
    (void)state;
    /* Letters that stops are made of, characters of 2, 3 and 4 bytes, and bytes that are none. */
    static const char *const units[] = {
        "a",    "a",        "b",    "\n",   "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
        "\xc3", "\xe4\xb8", "\xa9", "\xff", "\xf0\x9f", "\xed\xa0\x80"};
    static const char *const pieces[] = {"a", "b", "\n", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80"};
    uint64_t seed = 5;
    size_t with_stop = 0, with_invalid = 0;
    for (int round = 0; round < 60000; round++) {
        char text[MAX_BYTES], stop[MAX_STOPS][20];
        const char *stops[MAX_STOPS];
        size_t n = 0, ends[MAX_BYTES], n_ends = 0, n_stop = rng_next(&seed) % (MAX_STOPS + 1);
        for (uint32_t k = 1 + rng_next(&seed) % 12; k > 0; k--) {
            const char *u = units[rng_next(&seed) % (sizeof units / sizeof *units)];
            memcpy(text + n, u, strlen(u));
            n += strlen(u);
        }
        for (size_t i = 0; i < n_stop; i++) {
            stop[i][0] = 0;
            for (uint32_t k = 1 + rng_next(&seed) % 3; k > 0; k--)
                strcat(stop[i], pieces[rng_next(&seed) % (sizeof pieces / sizeof *pieces)]);
            stops[i] = stop[i];
        }
        for (size_t at = 0; at < n; ends[n_ends++] = at) {
            at += rng_next(&seed) % 4;
            if (at > n || n_ends + 1 == MAX_BYTES) at = n;
        }
        check(text, ends, n_ends, stops, n_stop);
        with_stop += first_stop(text, n, stops, n_stop) < n;
        with_invalid += st_utf8_check(text, n) < n;
    }
    assert_true(with_stop > 10000 && with_invalid > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_cut), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
