/* bench_texts.c: made-up texts of a wanted number of tokens. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_parts.h"

/* Common words: a token each in most vocabularies. */
static const char *const words[] = {"the", "house", "of",   "water", "and",   "a",     "small", "river",  "to", "light",
                                    "in",  "world", "is",   "old",   "that",  "time",  "for",   "people", "it", "work",
                                    "on",  "year",  "with", "great", "was",   "city",  "as",    "music",  "at", "night",
                                    "by",  "long",  "from", "story", "this",  "first", "are",   "place",  "or", "white",
                                    "an",  "sound", "be",   "hand",  "which", "land",  "has",   "school"};
enum { N_WORDS = sizeof words / sizeof words[0] };

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/* How many tokens the text has; where the token at place `at`, counted without the special ones, begins. */
static bool count(const strata_model *m, const buf *text, size_t at, size_t *n, size_t *n_special, size_t *begin)
{
    strata_error e = {0};
    int rc = strata_tokenize(m, text->p, text->len, STRATA_TOKENIZE_ADD_SPECIAL, NULL, NULL, 0, n, &e);
    int32_t *ids = must_calloc(*n + 1, sizeof *ids);
    strata_span *spans = must_calloc(*n + 1, sizeof *spans);
    if (!rc && *n) rc = strata_tokenize(m, text->p, text->len, STRATA_TOKENIZE_ADD_SPECIAL, ids, spans, *n, n, &e);
    size_t real = 0;
    *begin = text->len;
    for (size_t i = 0; !rc && i < *n; i++) {
        if (spans[i].begin == spans[i].end) continue;
        if (real++ == at) *begin = spans[i].begin;
    }
    *n_special = *n - real;
    free(ids);
    free(spans);
    if (rc) cli_fail_by(rc, &e);
    return rc == STRATA_OK;
}

uint32_t bench_text(const strata_model *m, uint32_t n, uint32_t seed, buf *out)
{
    uint32_t state = seed * 2654435761u + 1;
    size_t got = 0, special = 0, begin = 0;
    out->len = 0;
    while (got < n) {
        for (uint32_t i = 0; i < n; i++) {
            const char *w = words[next(&state) % N_WORDS];
            if (out->len) buf_add(out, " ", 1);
            buf_add(out, w, strlen(w));
        }
        if (!count(m, out, 0, &got, &special, &begin)) return 0;
    }
    /* Cut where the first token too many begins. A cut inside a word may split it in another way: then again,
     * shorter. */
    for (size_t keep = n > special ? n - special : 1; got > n && keep > 0; keep--) {
        if (!count(m, out, keep, &got, &special, &begin)) return 0;
        if (got <= n) break;
        out->len = begin;
        while (out->len && out->p[out->len - 1] == ' ') out->len--;
        if (!count(m, out, 0, &got, &special, &begin)) return 0;
    }
    /* Below n: a token at a time, whatever gives one. */
    static const char *const fill[] = {" a", ".", " the", ","};
    for (size_t i = 0, tries = 0; got < n && tries < 64; tries++, i = (i + 1) % 4) {
        size_t was = out->len, had = got;
        buf_add(out, fill[i], strlen(fill[i]));
        if (!count(m, out, 0, &got, &special, &begin)) return 0;
        if (got > n) out->len = was, got = had;
    }
    return (uint32_t)got;
}

uint32_t bench_ids(const strata_model *m, uint32_t n, ints *out)
{
    buf text = {0};
    size_t got = bench_text(m, n, 1, &text);
    strata_error e = {0};
    int32_t *ids = must_calloc(got + 1, sizeof *ids);
    int rc =
        got ? strata_tokenize(m, text.p, text.len, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, got, &got, &e) : STRATA_OK;
    if (rc) cli_fail_by(rc, &e), got = 0;
    for (size_t i = 0; i < got; i++) ints_add(out, ids[i]);
    /* What a tokenizer cannot hit exactly is filled with the last real token. */
    while (got && out->n < n) ints_add(out, ids[got > 1 ? got - 2 : 0]);
    free(ids);
    buf_free(&text);
    return (uint32_t)out->n;
}
