/* threads.c: one model for many threads, a context for each: a model is immutable and shared, a context is one
 * caller's.
 *
 *     threads MODEL.gguf [THREADS]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

enum { TEXTS = 20, MAX_THREADS = 64 };

typedef struct worker {
    pthread_t thread;
    const strata_model *m;
    int rc;
    strata_error e;
    float *vectors; /* [TEXTS, dims] */
    uint32_t dims;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    strata_ctx *c = NULL;
    strata_ctx_opts one = {.n_threads = 1}; /* the program's own threads are the parallelism */
    w->rc = strata_ctx_open(w->m, &one, &c, &w->e);
    for (int i = 0; !w->rc && i < TEXTS; i++) {
        char text[64];
        snprintf(text, sizeof text, "text number %d", i);
        strata_text t = {text, strlen(text)};
        w->rc = strata_embed(c, &t, 1, NULL, w->vectors + (size_t)i * w->dims, w->dims, NULL, &w->e);
    }
    strata_ctx_close(c);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2) return fprintf(stderr, "usage: threads MODEL.gguf [THREADS]\n"), 2;
    static worker w[MAX_THREADS];
    long n = argc > 2 ? strtol(argv[2], NULL, 10) : 4;
    if (n < 1 || n > MAX_THREADS) return fprintf(stderr, "threads: want 1 to %d threads\n", MAX_THREADS), 2;
    strata_model *m = NULL;
    strata_error e;
    if (strata_model_open(argv[1], NULL, &m, &e)) return fprintf(stderr, "threads: %s\n", e.msg), 1;
    uint32_t dims = strata_embed_dims(m, NULL, &e);
    int rc = dims == 0;
    if (rc) fprintf(stderr, "threads: %s\n", e.msg);

    long started = 0;
    for (; !rc && started < n; started++) {
        worker *x = &w[started];
        x->m = m;
        x->dims = dims;
        x->vectors = calloc((size_t)TEXTS * dims, sizeof *x->vectors);
        if (!x->vectors || pthread_create(&x->thread, NULL, work, x) != 0) {
            rc = 1;
            fprintf(stderr, "threads: no memory or no thread\n");
            free(x->vectors);
            x->vectors = NULL;
            break;
        }
    }
    for (long i = 0; i < started; i++) {
        pthread_join(w[i].thread, NULL);
        if (w[i].rc) rc = 1, fprintf(stderr, "threads: %s\n", w[i].e.msg);
    }
    /* The same text gives the same bits, on any thread. */
    for (long i = 1; !rc && i < n; i++)
        rc = memcmp(w[0].vectors, w[i].vectors, (size_t)TEXTS * dims * sizeof(float)) != 0;
    if (!rc) printf("%ld threads, %d texts each, %u dims: the same bits\n", n, TEXTS, dims);
    for (long i = 0; i < started; i++) free(w[i].vectors);
    strata_model_close(m);
    return rc;
}
