/* rank.c: passages, best answer first, by a reranker (a model with a classification head).
 *
 *     rank RERANKER.gguf "capital of France" "Lyon is a city." "Paris is the capital of France."
 */
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

typedef struct scored {
    float score;
    const char *text;
} scored;

static int by_score(const void *a, const void *b)
{
    float x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return x < y ? 1 : x > y ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) return fprintf(stderr, "usage: rank RERANKER.gguf QUERY PASSAGE...\n"), 2;
    size_t n = (size_t)argc - 3, kept = 0;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    strata_error e;
    strata_text *passages = calloc(n, sizeof *passages);
    strata_embed_item *items = calloc(n, sizeof *items);
    float *scores = calloc(n, sizeof *scores);
    scored *best = calloc(n, sizeof *best);
    int rc = !passages || !items || !scores || !best;
    if (rc) fprintf(stderr, "rank: out of memory\n");
    if (!rc && (strata_model_open(argv[1], NULL, &m, &e) || strata_ctx_open(m, NULL, &c, &e)))
        rc = 1, fprintf(stderr, "rank: %s\n", e.msg);
    for (size_t i = 0; !rc && i < n; i++) passages[i] = (strata_text){argv[i + 3], strlen(argv[i + 3])};

    strata_rank_opts o = {.truncate = STRATA_TRUNCATE_END, .truncate_query = STRATA_TRUNCATE_END, .sigmoid = 1};
    strata_text query = {argv[2], strlen(argv[2])};
    if (!rc && strata_rank(c, query, passages, n, &o, scores, items, &e)) rc = 1, fprintf(stderr, "rank: %s\n", e.msg);
    for (size_t i = 0; !rc && i < n; i++) {
        if (items[i].status)
            fprintf(stderr, "rank: passage %zu: %s\n", i + 1, items[i].msg);
        else
            best[kept++] = (scored){scores[i], argv[i + 3]};
    }
    if (!rc && kept) qsort(best, kept, sizeof *best, by_score);
    for (size_t i = 0; !rc && i < kept; i++) printf("%.4f  %s\n", (double)best[i].score, best[i].text);

    free(best), free(scores), free(items), free(passages);
    strata_ctx_close(c);
    strata_model_close(m);
    return rc || kept < n;
}
