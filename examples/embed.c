/* embed.c: texts -> vectors, and how alike each is to the first.
 *
 *     embed MODEL.gguf "A cat sits on the mat" "A kitten lies on a rug" "Interest rates rose"
 */
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

static int fail(const char *msg)
{
    fprintf(stderr, "embed: %s\n", msg);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fail("usage: embed MODEL.gguf TEXT...");
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    strata_error e;
    size_t n = (size_t)argc - 2;
    strata_text *texts = calloc(n, sizeof *texts);
    strata_embed_item *items = calloc(n, sizeof *items);
    float *vectors = NULL;
    int rc = 1;

    if (!texts || !items) {
        fail("out of memory");
        goto done;
    }
    if (strata_model_open(argv[1], NULL, &m, &e) || strata_ctx_open(m, NULL, &c, &e)) {
        fail(e.msg);
        goto done;
    }
    for (size_t i = 0; i < n; i++) texts[i] = (strata_text){argv[i + 2], strlen(argv[i + 2])};

    /* How long a vector is depends on the model and the options: ask. */
    strata_embed_opts o = {.truncate = STRATA_TRUNCATE_END};
    uint32_t dims = strata_embed_dims(m, &o, &e);
    vectors = dims ? malloc(n * dims * sizeof *vectors) : NULL;
    if (!vectors) {
        fail(dims ? "out of memory" : e.msg);
        goto done;
    }
    if (strata_embed(c, texts, n, &o, vectors, dims, items, &e)) {
        fail(e.msg);
        goto done;
    }
    rc = 0;
    for (size_t i = 0; i < n; i++) {
        if (items[i].status) { /* this text failed, the others did not */
            fprintf(stderr, "embed: text %zu: %s\n", i + 1, items[i].msg);
            rc = 1;
            continue;
        }
        double dot = 0; /* of vectors of length 1: the cosine */
        for (uint32_t k = 0; k < dims; k++) dot += (double)vectors[k] * (double)vectors[i * dims + k];
        printf("%6.3f  %u tokens, %u dims  %s\n", dot, items[i].n_tokens, dims, argv[i + 2]);
    }
done:
    free(vectors);
    free(items);
    free(texts);
    strata_ctx_close(c);
    strata_model_close(m);
    return rc;
}
