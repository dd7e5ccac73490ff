/* bench.c: how fast vocabularies open and texts are encoded, on one thread.
 *
 *     bench_token FILE.gguf TEXT...
 *
 * For each file of text: MB/s of the whole as one string, and in pieces of about 2,000 bytes, each of the best of 7
 * runs in CPU time. tests/token/bench_hf.py prints the same of HuggingFace's tokenizers and sentencepiece. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "strata.h"

enum { RUNS = 7, PIECE = 2000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) return NULL;
    *n = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*n + 1);
    if (p && fread(p, 1, *n, f) != *n) *n = 0;
    fclose(f);
    return p;
}

/* The end of a piece that starts at `at`: between characters. */
static size_t cut(const char *p, size_t n, size_t at, size_t len)
{
    size_t to = n - at < len ? n : at + len;
    while (to < n && ((unsigned char)p[to] & 0xc0) == 0x80) to++;
    return to;
}

static double speed(const strata_model *m, const char *p, size_t n, size_t piece, int32_t *ids, size_t *n_ids)
{
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double start = now();
        *n_ids = 0;
        for (size_t at = 0, to, k; at < n; at = to, *n_ids += k) {
            to = cut(p, n, at, piece);
            if (strata_tokenize(m, p + at, to - at, 0, ids, NULL, n + 1, &k, NULL)) return 0;
        }
        double t = now() - start;
        if (t < best) best = t;
    }
    return (double)n / best / 1e6;
}

int main(int argc, char **argv)
{
    strata_error e = {0};
    strata_model *m = NULL;
    double best = 1e9;
    if (argc < 2) return fprintf(stderr, "bench_token FILE.gguf TEXT...\n"), 2;
    for (int run = 0; run < RUNS; run++) {
        strata_model_close(m);
        double start = now();
        if (strata_model_open(argv[1], &(strata_model_opts){.vocab_only = 1}, &m, &e))
            return fprintf(stderr, "%s\n", e.msg), 1;
        double t = now() - start;
        if (t < best) best = t;
    }
    strata_model_info info;
    strata_model_get_info(m, &info);
    const char *name = strrchr(argv[1], '/');
    printf("%s: %s, %u tokens, opens in %.1f ms\n", name ? name + 1 : argv[1], info.tokenizer, info.n_vocab,
           best * 1e3);
    for (int i = 2; i < argc; i++) {
        size_t n = 0, whole_ids, piece_ids;
        char *p = read_file(argv[i], &n);
        int32_t *ids = malloc((n + 1) * sizeof *ids);
        if (!p || !ids || !n) return fprintf(stderr, "cannot read %s\n", argv[i]), 1;
        double whole = speed(m, p, n, n, ids, &whole_ids), pieces = speed(m, p, n, PIECE, ids, &piece_ids);
        printf("  %-24s %8.2f MB  whole %7.1f MB/s (%zu ids)  pieces %7.1f MB/s\n", argv[i], (double)n / 1e6, whole,
               whole_ids, pieces);
        free(p);
        free(ids);
    }
    strata_model_close(m);
    return 0;
}
