/* strata rank: how well passages answer a query, by a model with a classification head. Scores come in input order. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "json.h"
#include "output.h"

enum { BLOCK_TEXTS = 1024, BLOCK_BYTES = 8 << 20 };
enum { FORMAT_JSON, FORMAT_JSONL, FORMAT_TSV };

static session s;
static input_opts in_opts = {.field = "text"};
static const char *query, *out_path;
static int format = FORMAT_JSON;
static uint32_t top;
static strata_rank_opts ro = {.truncate = STRATA_TRUNCATE_END};

/* What is known of one passage; kept to the end only with --top. */
typedef struct result {
    size_t index;
    float score;
    uint32_t n_tokens;
    bool truncated;
    char *error; /* NULL: none */
} result;

typedef struct job {
    FILE *f;
    input_block block;
    strata_text *texts;
    strata_embed_item *status;
    float *scores;
    result *kept; /* the best `top` so far, best first */
    size_t n_kept, n_put, done, failed, truncated;
} job;

/* ---- results ------------------------------------------------------------------------------------------------------
 */

static bool put(job *j, const result *r)
{
    if (format == FORMAT_TSV) {
        if (r->error)
            fprintf(j->f, "%zu\tnan\n", r->index);
        else
            fprintf(j->f, "%zu\t%.9g\n", r->index, (double)r->score);
    } else {
        if (format == FORMAT_JSON) fputs(j->n_put ? ",\n " : "[\n ", j->f);
        fprintf(j->f, "{\"index\":%zu,", r->index);
        if (r->error) {
            fputs("\"error\":", j->f);
            json_put_string(j->f, r->error, strlen(r->error));
        } else {
            char score[32];
            fprintf(j->f, "\"score\":%s,\"n_tokens\":%u,\"truncated\":%s", json_number((double)r->score, score),
                    r->n_tokens, r->truncated ? "true" : "false");
        }
        fputs(format == FORMAT_JSONL ? "}\n" : "}", j->f);
    }
    j->n_put++;
    return !ferror(j->f);
}

/* Falling scores; equal ones in input order. */
static void keep(job *j, const result *r)
{
    size_t at = j->n_kept;
    while (at > 0 && j->kept[at - 1].score < r->score) at--;
    if (at == top) return;
    if (j->n_kept < top) j->n_kept++;
    memmove(j->kept + at + 1, j->kept + at, (j->n_kept - 1 - at) * sizeof *r);
    j->kept[at] = *r;
}

static int on_result(job *j, const result *r)
{
    j->failed += r->error != NULL;
    j->truncated += r->truncated;
    if (top && !r->error)
        keep(j, r);
    else if (!top && !put(j, r))
        return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
    return CLI_OK;
}

static int on_error(job *j, const input_item *item, size_t index, const char *msg)
{
    char place[300], full[600];
    input_place(item, place, sizeof place);
    snprintf(full, sizeof full, "%s: %s", place, msg);
    cli_fail(CLI_FAILED, "%s", full);
    return on_result(j, &(result){.index = index, .score = NAN, .error = full});
}

/* ---- one block ----------------------------------------------------------------------------------------------------
 */

static int rank_block(job *j)
{
    const char *bytes = j->block.bytes.p;
    size_t n = 0, k = 0;
    strata_error e = {0};
    for (size_t i = 0; i < j->block.n; i++)
        if (!j->block.items[i].bad) j->texts[n++] = (strata_text){bytes + j->block.items[i].at, j->block.items[i].len};
    int rc = strata_rank(s.ctx, (strata_text){query, strlen(query)}, j->texts, n, &ro, j->scores, j->status, &e);
    /* A query that is not UTF-8 is bad data, not a misuse of the command. */
    if (rc) return cli_fail(rc == STRATA_INVALID_ARG ? CLI_FAILED : cli_exit_code(rc), "%s", e.msg);
    for (size_t i = 0; i < j->block.n && !rc; i++) {
        const input_item *item = &j->block.items[i];
        char why[200];
        if (item->bad) {
            snprintf(why, sizeof why, "%.*s", (int)item->len, bytes + item->at);
            rc = on_error(j, item, j->done + i, why);
            continue;
        }
        const strata_embed_item *st = &j->status[k];
        if (st->status)
            rc = on_error(j, item, j->done + i, st->msg);
        else
            rc = on_result(j, &(result){.index = j->done + i,
                                        .score = j->scores[k],
                                        .n_tokens = st->n_tokens,
                                        .truncated = st->truncated != 0});
        k++;
    }
    return rc;
}

static int run_blocks(job *j, input *in)
{
    int rc;
    while (!(rc = input_next(in, &j->block, BLOCK_TEXTS, BLOCK_BYTES)) && j->block.n) {
        if ((rc = rank_block(j)) != CLI_OK) break;
        j->done += j->block.n;
        cli_progress("%zu passages", j->done);
        if (cli_cancel) return CLI_INTERRUPTED;
    }
    cli_progress_end();
    return rc;
}

/* ---- the command --------------------------------------------------------------------------------------------------
 */

static bool finish(job *j)
{
    for (size_t i = 0; i < j->n_kept; i++)
        if (!put(j, &j->kept[i])) return false;
    if (format == FORMAT_JSON) fputs(j->n_put ? "\n]\n" : "[]\n", j->f);
    return fflush(j->f) == 0 && !ferror(j->f);
}

static int run_job(const command *c, job *j, input *in)
{
    output o;
    j->texts = must_calloc(BLOCK_TEXTS, sizeof *j->texts);
    j->status = must_calloc(BLOCK_TEXTS, sizeof *j->status);
    j->scores = must_calloc(BLOCK_TEXTS, sizeof *j->scores);
    if (top) j->kept = must_calloc((size_t)top + 1, sizeof *j->kept);
    int rc = output_open(&o, c, out_path, false);
    j->f = o.f;
    if (!rc) rc = run_blocks(j, in);
    if (!rc && !finish(j)) rc = cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
    int closed = output_close(&o, rc == CLI_OK);
    if (rc == CLI_OK) rc = closed;
    if (rc == CLI_OK && j->truncated)
        cli_warn("%zu of %zu passages are longer than the model's context of %u tokens allows and were cut at the %s",
                 j->truncated, j->done, s.info.n_ctx, ro.truncate == STRATA_TRUNCATE_START ? "start" : "end");
    return rc == CLI_OK && j->failed ? CLI_FAILED : rc;
}

/* Before the input is read: a person who typed a wrong model should not have to type the texts too. */
static int check_model(void)
{
    if (s.info.n_labels) return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: not a ranking model: it has no classification head", s.path);
}

static int run(const command *c, int argc, char **argv)
{
    input *in = NULL;
    job j = {0};
    ro.lossy = in_opts.lossy;
    ro.cancel = &cli_cancel;
    if (!query) return cli_usage(c, "no query given (--query TEXT)");
    int rc = input_open(&in, c, &in_opts, argc, argv);
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    if (!rc) rc = check_model();
    if (!rc) rc = run_job(c, &j, in);
    free(j.texts), free(j.status), free(j.scores), free(j.kept);
    input_block_free(&j.block);
    input_close(in);
    session_close(&s);
    return rc;
}

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_STRING, 'q', "query", "TEXT", "what the passages are to answer (required)", &query, 0, NULL},
    OPT_OF_JSONL(in_opts),
    OPT_OF_FIELD(in_opts),
    OPT_OF_LINES(in_opts),
    {OPT_CHOICE, 0, "format", "json|jsonl|tsv", "default: json", &format, FORMAT_JSON, NULL},
    {OPT_STRING, 'o', "output", "FILE", "output file (default: stdout)", &out_path, 0, NULL},
    {OPT_COUNT, 0, "top", "N", "only the N best, best first (default: all, in input order)", &top, 0, NULL},
    {OPT_FLAG, 0, "sigmoid", NULL, "scores from 0 to 1", &ro.sigmoid, 0, NULL},
    {OPT_CHOICE, 0, "truncate", "error|end|start", "passages beyond the context (default: end)", &ro.truncate,
     STRATA_TRUNCATE_ERROR, NULL},
    OPT_OF_PRECISION(s),
    OPT_OF_LOSSY(in_opts),
    OPT_OF_THREADS(s),
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_rank = {
    .name = "rank",
    .usage = "-m MODEL --query QUERY [PASSAGE...] [options]",
    .summary = "scores passages against a query (rerankers)",
    .examples = "With no passage and no file, reads lines of stdin.\n"
                "  strata rank -m reranker.gguf --query \"capital of France\" \"Paris is...\" \"Lyon is...\"\n"
                "  strata rank -m reranker.gguf --query \"...\" --jsonl passages.jsonl --top 10 --sigmoid\n",
    .opts = opts,
    .run = run,
};
