#include "sampling.h"

#include <stdlib.h>

#include "input.h"

int sampling_read(const command *c, sampling *x)
{
    strata_gen_opts *g = &x->g;
    if (x->grammar_file && x->schema_file) return cli_usage(c, "give --grammar or --json-schema, not both");
    int rc = x->grammar_file ? input_read_string(x->grammar_file, &x->grammar) : CLI_OK;
    if (!rc && x->schema_file) rc = input_read_string(x->schema_file, &x->schema);
    if (rc) return rc;
    g->top_k = (uint32_t)(x->top_k < UINT32_MAX ? x->top_k : UINT32_MAX);
    g->repeat_last_n = (uint32_t)(x->repeat_last_n < UINT32_MAX ? x->repeat_last_n : UINT32_MAX);
    g->mirostat = (int)(x->mirostat < 3 ? x->mirostat : 3);
    g->grammar = x->grammar.len ? x->grammar.p : NULL;
    g->json_schema = x->schema.len ? x->schema.p : NULL;
    g->stop = x->stop.p;
    g->n_stop = x->stop.n;
    g->ignore_end = x->ignore_end;
    g->cancel = &cli_cancel;
    return CLI_OK;
}

void sampling_free(sampling *x)
{
    buf_free(&x->grammar);
    buf_free(&x->schema);
    free(x->stop.p);
    x->stop = (strings){0};
}
