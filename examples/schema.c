/* schema.c: an answer that is JSON of a given schema, whatever the model would rather say.
 *
 *     schema MODEL.gguf "Invent a person." ['{"type":"object",...}']
 */
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

static const char person[] = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\",\"age\"],"
                             "\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},"
                             "\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":120}}}";

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *token)
{
    (void)token;
    return fwrite(text, 1, len, user) != len;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: schema MODEL.gguf MESSAGE [SCHEMA]\n"), 2;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    strata_error e = {0};
    strata_gen_result r = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    strata_ctx_opts with_sequence = {.n_seqs = 1};
    strata_message message = {.role = {"user", 4}, .content = {argv[2], strlen(argv[2])}};

    int rc = strata_model_open(argv[1], NULL, &m, &e);
    if (!rc) rc = strata_ctx_open(m, &with_sequence, &c, &e);
    if (!rc) rc = strata_chat_encode(m, &message, 1, NULL, NULL, 0, &n, &e);
    if (!rc && !(ids = malloc((n + 1) * sizeof *ids)))
        rc = STRATA_NO_MEMORY, snprintf(e.msg, sizeof e.msg, "out of memory");
    if (!rc) rc = strata_chat_encode(m, &message, 1, NULL, ids, n, &n, &e);
    if (!rc) {
        strata_gen_opts o = strata_gen_default();
        o.json_schema = argc > 3 ? argv[3] : person;
        o.max_tokens = 200;
        o.on_text = on_text;
        o.user = stdout;
        rc = strata_generate(c, 0, ids, n, &o, &r, &e);
        putchar('\n');
    }
    if (rc) fprintf(stderr, "schema: %s\n", e.msg);
    /* Cut short, it is the beginning of an answer, which no parser takes. */
    if (!rc && r.unfinished) fprintf(stderr, "schema: cut after %u tokens\n", r.n_new);
    free(ids);
    strata_ctx_close(c);
    strata_model_close(m);
    return rc || r.unfinished;
}
