/* sampling.c: reads what the options of generation name: biases, grammars, schemas, stop texts. */
#define _POSIX_C_SOURCE 200809L /* access */
#include "commands/sampling.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/encoding.h"
#include "io/input.h"

/* ID=X, X a number or -inf. */
static bool read_bias(const char *text, strata_logit_bias *out)
{
    char *end;
    errno = 0;
    const long id = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '=' || errno || id > INT32_MAX) return false;
    const char *number = end + 1;
    *out = (strata_logit_bias){.id = (int32_t)id, .bias = strtof(number, &end)};
    return end != number && *end == 0 && !isnan(out->bias);
}

static int read_biases(const command *c, sampling *x)
{
    x->biases = must_calloc(x->bias.n + 1, sizeof *x->biases);
    for (size_t i = 0; i < x->bias.n; i++)
        if (!read_bias(x->bias.p[i], &x->biases[i]))
            return cli_usage(c, "--logit-bias %s: expected ID=X, a token's id and a number or -inf", x->bias.p[i]);
    x->g.logit_bias = x->biases;
    x->g.n_logit_bias = x->bias.n;
    return CLI_OK;
}

/* Whether the value is a schema itself: an object, or one of the two words that are schemas. */
static bool is_schema(const char *v)
{
    v += encoding_mark(v, strlen(v));
    v += strspn(v, " \t\r\n");
    return *v == '{' || strcmp(v, "true") == 0 || strcmp(v, "false") == 0;
}

/* No file has "::=" in its name. */
static bool is_grammar(const char *v)
{
    return strstr(v, "::=") != NULL;
}

static int read_text(const char *option, const char *value, bool inline_text, const char *what, buf *out)
{
    if (!inline_text && strcmp(value, "-") != 0 && access(value, F_OK) != 0)
        return cli_fail(CLI_FAILED, "%s %s: neither %s nor a file", option, value, what);
    return inline_text ? input_copy_string(option, value, out) : input_read_string(value, out);
}

/* What lies beside the options of the library goes there; what its type cannot hold becomes what is refused, or for a
 * count the largest. */
#define SAMPLING_STORE(x, kind, name, def, least, most, ...) SAMPLING_STORE_##kind(x, name, most)
#define SAMPLING_STORE_number(x, name, most)
#define SAMPLING_STORE_seed(x, name, most)
#define SAMPLING_STORE_whole(x, name, most)  (x)->g.name = (uint32_t)((x)->name < UINT32_MAX ? (x)->name : UINT32_MAX);
#define SAMPLING_STORE_choice(x, name, most) (x)->g.name = (int)((x)->name <= (most) ? (x)->name : (most) + 1);

int sampling_read(const command *c, sampling *x)
{
    strata_gen_opts *g = &x->g;
    if (x->grammar_file && x->schema_file) return cli_usage(c, "give --grammar or --json-schema, not both");
    const char *grammar = x->grammar_file, *schema = x->schema_file;
    int rc = grammar ? read_text("--grammar", grammar, is_grammar(grammar), "a grammar (NAME ::= ...)", &x->grammar)
                     : CLI_OK;
    if (!rc && schema)
        rc = read_text("--json-schema", schema, is_schema(schema), "a schema that begins with '{'", &x->schema);
    if (!rc) rc = read_biases(c, x);
    if (rc) return rc;
    ST_KNOBS(SAMPLING_STORE, x)
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
    free(x->stop.p), free(x->bias.p), free(x->biases);
    x->stop = x->bias = (strings){0};
    x->biases = NULL;
}
