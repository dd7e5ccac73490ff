/* cmd_embed.c: strata embed: texts -> vectors, in blocks of bounded memory, in input order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/vectors.h"
#include "io/input.h"
#include "io/output.h"

/* A block is large enough to sort and group texts by length, small enough to hold. */
enum { BLOCK_TEXTS = 1024, BLOCK_BYTES = 8 << 20 };

static session s;
static input_opts in_opts = {.field = "text"};
static const char *out_path;
static int format = VEC_JSON, with_similarity;
static bool format_given, dims_given;
static strata_embed_opts eo = {.truncate = STRATA_TRUNCATE_END};

/* One run of the command. */
typedef struct job {
    input *in;
    input_block block;
    strata_text *texts;        /* of the items that are texts */
    strata_embed_item *status; /* beside them */
    float *vectors;            /* [BLOCK_TEXTS, cols], or [n_ctx, n_embd] for the tokens of one text */
    uint32_t cols;
    vec_writer writer;
    similarity sim;
    size_t done, failed, truncated;
} job;

static bool by_token(void)
{
    return eo.pooling == STRATA_POOLING_NONE;
}

static void progress(void *user, size_t done, size_t n)
{
    const job *j = user;
    input_progress(j->in, "texts", j->done + done, done, n);
}

/* ---- results ---- */

static int write_failed(void)
{
    return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
}

static int put_error(job *j, const input_item *item, const char *msg)
{
    char place[300], full[600];
    input_place(item, place, sizeof place);
    snprintf(full, sizeof full, "%s: %s", place, msg);
    cli_fail(CLI_FAILED, "%s", full);
    j->failed++;
    vec_item out = {.error = full, .id = j->block.bytes.p + item->id_at, .id_len = item->id_len};
    if (!with_similarity) return vec_put(&j->writer, &out) ? CLI_OK : write_failed();
    similarity_add(&j->sim, NULL, full, strlen(full));
    return CLI_OK;
}

static int put_vector(job *j, const input_item *item, const strata_embed_item *st, const float *v, size_t rows)
{
    j->truncated += st->truncated != 0;
    if (with_similarity) {
        similarity_add(&j->sim, v, j->block.bytes.p + item->at, item->len);
        return CLI_OK;
    }
    vec_item out = {.v = v,
                    .rows = rows,
                    .by_token = by_token(),
                    .n_tokens = st->n_tokens,
                    .truncated = st->truncated != 0,
                    .id = j->block.bytes.p + item->id_at,
                    .id_len = item->id_len};
    return vec_put(&j->writer, &out) ? CLI_OK : write_failed();
}

/* ---- one block ---- */

/* All the texts of the block in one call, then out in order. */
static int embed_pooled(job *j)
{
    const char *bytes = j->block.bytes.p;
    size_t n = 0, k = 0;
    strata_error e = {0};
    for (size_t i = 0; i < j->block.n; i++)
        if (!j->block.items[i].bad) j->texts[n++] = (strata_text){bytes + j->block.items[i].at, j->block.items[i].len};
    int rc = n ? strata_embed(s.ctx, j->texts, n, &eo, j->vectors, j->cols, j->status, &e) : STRATA_OK;
    if (rc) return cli_fail_by(rc, &e);
    for (size_t i = 0; i < j->block.n && !rc; i++) {
        const input_item *item = &j->block.items[i];
        char why[200];
        if (item->bad) {
            snprintf(why, sizeof why, "%.*s", (int)item->len, bytes + item->at);
            rc = put_error(j, item, why);
            continue;
        }
        const strata_embed_item *st = &j->status[k];
        rc = st->status ? put_error(j, item, st->msg) : put_vector(j, item, st, j->vectors + k * j->cols, 1);
        k++;
    }
    return rc;
}

/* One text at a time: each brings as many rows as it has tokens. */
static int embed_by_token(job *j)
{
    int rc = CLI_OK;
    for (size_t i = 0; i < j->block.n && !rc; i++) {
        const input_item *item = &j->block.items[i];
        const char *text = j->block.bytes.p + item->at;
        strata_embed_item st = {0};
        strata_error e = {0};
        size_t rows = 0;
        if (item->bad) {
            snprintf(e.msg, sizeof e.msg, "%.*s", (int)item->len, text);
            rc = put_error(j, item, e.msg);
            continue;
        }
        int got = strata_embed_tokens(s.ctx, text, item->len, &eo, j->vectors, s.info.n_ctx, &rows, &st, &e);
        if (got == STRATA_CANCELLED || got == STRATA_NO_MEMORY) return cli_fail_by(got, &e);
        rc = got ? put_error(j, item, e.msg) : put_vector(j, item, &st, j->vectors, rows);
    }
    return rc;
}

/* The first block is read already. Its answers are out before the next is waited for. */
static int run_blocks(job *j)
{
    int rc = CLI_OK;
    while (!rc && j->block.n) {
        rc = by_token() ? embed_by_token(j) : embed_pooled(j);
        if (!rc && !with_similarity && !vec_flush(&j->writer)) rc = write_failed();
        if (rc) break;
        j->done += j->block.n;
        input_progress(j->in, "texts", j->done, 0, 0);
        if (cli_cancel) return CLI_INTERRUPTED;
        rc = input_next(j->in, &j->block, BLOCK_TEXTS, BLOCK_BYTES);
    }
    cli_progress_end();
    return rc;
}

/* ---- the command ---- */

static int check_options(const command *c)
{
    if (with_similarity && (format_given || by_token()))
        return cli_usage(c, "--similarity prints a table of cosines: it goes with neither --format nor --pooling none");
    if (in_opts.id && (with_similarity || format > VEC_JSONL))
        return cli_usage(c, "--id %s: only --format json and jsonl have room for it", in_opts.id);
    if (by_token() && dims_given) return cli_usage(c, "--dims cuts pooled vectors, not those of --pooling none");
    return CLI_OK;
}

static void warn_truncated(const job *j)
{
    if (!j->truncated) return;
    const char *side = eo.truncate == STRATA_TRUNCATE_START ? "start" : "end";
    cli_warn("%zu of %zu texts are longer than the model's context of %u tokens and were cut at the %s", j->truncated,
             j->done, s.info.n_ctx, side);
}

static int run_job(const command *c, job *j)
{
    strata_error e = {0};
    j->cols = by_token() ? s.info.n_embd : strata_embed_dims(s.model, &eo, &e);
    if (!j->cols) return cli_fail(CLI_USAGE, "%s", cli_words(&e));
    const char *prompt = eo.role == STRATA_ROLE_QUERY ? s.info.prompt_query : s.info.prompt_document;
    if (eo.role == STRATA_ROLE_NONE) prompt = NULL;
    j->texts = must_calloc(BLOCK_TEXTS, sizeof *j->texts);
    j->status = must_calloc(BLOCK_TEXTS, sizeof *j->status);
    j->vectors = must_calloc((by_token() ? (size_t)s.info.n_ctx : BLOCK_TEXTS) * j->cols, sizeof *j->vectors);
    j->sim.cols = j->cols;
    eo.cancel = &cli_cancel;
    eo.progress = progress;
    eo.progress_user = j;

    output o = {0};
    int rc = output_open(&o, c, out_path, format == VEC_NPY || format == VEC_F32);
    if (!rc) rc = input_next(j->in, &j->block, BLOCK_TEXTS, BLOCK_BYTES); /* before anything is written */
    if (!rc && !with_similarity && !vec_begin(&j->writer, (vec_format)format, o.f, j->cols, prompt))
        rc = write_failed();
    if (!rc) rc = run_blocks(j);
    if (!rc && with_similarity) similarity_print(&j->sim, o.f);
    if (!rc && !with_similarity && !vec_end(&j->writer)) rc = write_failed();
    int closed = output_close(&o, rc == CLI_OK);
    if (rc == CLI_OK) rc = closed;
    if (rc == CLI_OK) warn_truncated(j);
    return rc == CLI_OK && j->failed ? CLI_FAILED : rc;
}

static int run(const command *c, int argc, char **argv)
{
    job j = {0};
    eo.lossy = in_opts.lossy;
    int rc = session_find_path(c, &s, false, &argc, &argv);
    if (!rc) rc = check_options(c);
    if (!rc) rc = input_open(&j.in, c, &in_opts, argc, argv);
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    if (!rc) rc = run_job(c, &j);
    free(j.texts), free(j.status), free(j.vectors);
    vec_free(&j.writer);
    similarity_free(&j.sim);
    input_block_free(&j.block);
    input_close(j.in);
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL},
                                {"TEXT", "a text; -: the lines of stdin", ARG_MANY},
                                {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    OPT_OF_JSONL(in_opts),
    OPT_OF_FIELD(in_opts),
    OPT_OF_ID(in_opts),
    OPT_OF_LINES(in_opts),
    {OPT_CHOICE, 0, "format", "json|jsonl|npy|f32", "of what is written", .value = &format, .first = VEC_JSON,
     .given = &format_given},
    {OPT_STRING, 'o', "output", "FILE", "output file", .value = &out_path, .def = "stdout"},
    {OPT_FLAG, 0, "similarity", NULL, "instead of vectors, a table of cosines", .value = &with_similarity},
    {OPT_CHOICE, 0, "role", "none|query|document", "prompt before each text", .value = &eo.role,
     .first = STRATA_ROLE_NONE},
    {OPT_COUNT, 0, "dims", "N", "keep the first N values, then normalise", .value = &eo.dims, .given = &dims_given},
    {OPT_FLAG, 0, "force-dims", NULL, "even where the model is not trained for it", .value = &eo.force_dims},
    {OPT_CHOICE, 0, "normalize", "l2|none", "length of the vectors", .value = &eo.normalize,
     .first = STRATA_NORMALIZE_L2},
    {OPT_CHOICE, 0, "pooling", "none|mean|cls|last", "none: a row a token", .value = &eo.pooling, .def = "the model's",
     .first = STRATA_POOLING_NONE},
    {OPT_CHOICE, 0, "truncate", "error|end|start", "texts beyond the context", .value = &eo.truncate,
     .first = STRATA_TRUNCATE_ERROR},
    OPT_OF_PRECISION(s),
    OPT_OF_LOSSY(in_opts),
    OPT_OF_THREADS(s),
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_embed = {
    .name = "embed",
    .usage = "-m MODEL [TEXT...] [options]",
    .summary = "texts to vectors",
    .text = "Texts are arguments, then the lines of --jsonl and of --lines; with none of these, the lines of\n"
            "stdin. They are read in blocks and written in order; where the input pauses, what was read is\n"
            "answered, so that a program may keep strata embed --format jsonl open and ask line by line.\n"
            "\n"
            "json is an array, jsonl an object a line, npy a float32 array [texts, dims], f32 the same without\n"
            "a header. A text that failed is an object with its error, or a row of NaN, and the exit code is 1.\n"
            "\n"
            "Numbers give every bit of the float32 back, and the same text gives the same bits in any batch, on\n"
            "any number of threads.\n",
    .examples = "strata embed -m model.gguf --format npy -o out.npy   # lines of stdin\n",
    .args = args,
    .opts = opts,
    .run = run,
};
