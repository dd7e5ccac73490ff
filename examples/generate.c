/* generate.c: continues a prompt; text comes as it is written, and Ctrl-C ends it between two operations.
 *
 *     generate MODEL.gguf "The capital of France is" [TOKENS]
 */
#define _POSIX_C_SOURCE 200809L /* sigaction */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

/* The library looks at this flag; all that a signal handler may do is set it. */
static volatile int cancel;

static void on_signal(int sig)
{
    (void)sig;
    cancel = 1;
}

/* Whole characters; what this returns says whether to go on. */
static int on_text(void *user, const char *text, size_t len, const strata_gen_token *token)
{
    (void)token;
    FILE *out = user;
    return fwrite(text, 1, len, out) != len || fflush(out) != 0;
}

/* Room for the ids of a text: the first call counts. */
static int32_t *tokenize(const strata_model *m, const char *text, size_t *n, strata_error *e)
{
    size_t len = strlen(text);
    if (strata_tokenize(m, text, len, STRATA_TOKENIZE_ADD_SPECIAL, NULL, NULL, 0, n, e)) return NULL;
    int32_t *ids = malloc((*n + 1) * sizeof *ids);
    if (!ids) snprintf(e->msg, sizeof e->msg, "out of memory");
    if (ids && strata_tokenize(m, text, len, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, *n, n, e)) {
        free(ids);
        return NULL;
    }
    return ids;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: generate MODEL.gguf PROMPT [TOKENS]\n"), 2;
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);

    strata_model *m = NULL;
    strata_ctx *c = NULL;
    strata_error e = {0};
    strata_gen_result result = {0};
    size_t n = 0;
    int32_t *ids = NULL;
    strata_ctx_opts with_sequence = {.n_seqs = 1};
    int rc = strata_model_open(argv[1], NULL, &m, &e);
    if (!rc) rc = strata_ctx_open(m, &with_sequence, &c, &e);
    if (!rc && !(ids = tokenize(m, argv[2], &n, &e))) rc = STRATA_INVALID_ARG;
    if (!rc) {
        strata_gen_opts o = strata_gen_default();
        o.max_tokens = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 64;
        o.temperature = 0.7f;
        o.seed = 1;
        o.cancel = &cancel;
        o.on_text = on_text;
        o.user = stdout;
        rc = strata_generate(c, 0, ids, n, &o, &result, &e);
        putchar('\n');
    }
    if (rc && rc != STRATA_CANCELLED) fprintf(stderr, "generate: %s\n", e.msg);
    if (!rc) fprintf(stderr, "[%s after %u tokens]\n", strata_finish_name(result.finish), result.n_new);
    free(ids);
    strata_ctx_close(c);
    strata_model_close(m);
    return rc == STRATA_CANCELLED ? 130 : rc != 0;
}
