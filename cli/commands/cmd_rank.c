/* cmd_rank.c: strata rank: how well passages answer a query, by a model with a classification head. Scores come in
 * input order. With --jsonl and no --query, a query with its passages a line. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/input.h"
#include "io/json.h"
#include "io/lines.h"
#include "io/output.h"

enum { BLOCK_TEXTS = 1024, BLOCK_BYTES = 8 << 20 };
enum { FORMAT_JSON, FORMAT_JSONL, FORMAT_TSV };

static session s;
static input_opts in_opts = {.field = "text"};
static const char *query, *out_path;
static int format = FORMAT_JSON;
static bool format_given;
static uint32_t top;
static strata_rank_opts ro = {.truncate = STRATA_TRUNCATE_END};

/* What is known of one passage; kept to the end only with --top. */
typedef struct result {
    size_t index;
    float score;
    uint32_t n_tokens;
    bool truncated;
    const char *error; /* NULL: none */
    char *id;          /* [id_len] of the caller, JSON */
    size_t id_len;
} result;

typedef struct job {
    input *in;
    lines out;
    input_block block;
    strata_text *texts;
    strata_embed_item *status;
    float *scores;
    size_t cap;
    result *kept; /* the best `top` so far, best first; their ids are copies */
    size_t n_kept, n_put, done, failed, truncated;
} job;

static int write_failed(void)
{
    return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
}

static void make_room(job *j, size_t n)
{
    if (n <= j->cap) return;
    free(j->texts), free(j->status), free(j->scores);
    j->cap = n;
    j->texts = must_calloc(n, sizeof *j->texts);
    j->status = must_calloc(n, sizeof *j->status);
    j->scores = must_calloc(n, sizeof *j->scores);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void put_object(FILE *f, const result *r)
{
    fprintf(f, "{\"index\":%zu,", r->index);
    if (r->id_len) {
        fputs("\"id\":", f);
        fwrite(r->id, 1, r->id_len, f);
        putc(',', f);
    }
    if (r->error) {
        fputs("\"error\":", f);
        json_put_string(f, r->error, strlen(r->error));
    } else {
        char score[32];
        fprintf(f, "\"score\":%s,\"n_tokens\":%u,\"truncated\":%s", json_number((double)r->score, score), r->n_tokens,
                r->truncated ? "true" : "false");
    }
    putc('}', f);
}

static bool put(job *j, const result *r)
{
    FILE *f = j->out.f;
    if (format == FORMAT_TSV) {
        if (r->error)
            fprintf(f, "%zu\tnan\n", r->index);
        else
            fprintf(f, "%zu\t%.9g\n", r->index, (double)r->score);
    } else {
        if (format == FORMAT_JSON) fputs(j->n_put ? ",\n " : "[\n ", f);
        put_object(f, r);
        if (format == FORMAT_JSONL) putc('\n', f);
    }
    j->n_put++;
    return lines_end(&j->out);
}

/* Falling scores; equal ones in input order. */
static void keep(job *j, const result *r)
{
    size_t at = j->n_kept;
    while (at > 0 && j->kept[at - 1].score < r->score) at--;
    if (at == top) return;
    if (j->n_kept < top)
        j->n_kept++;
    else
        free(j->kept[top - 1].id);
    memmove(j->kept + at + 1, j->kept + at, (j->n_kept - 1 - at) * sizeof *r);
    j->kept[at] = *r;
    j->kept[at].id = NULL;
    if (!r->id_len) return;
    j->kept[at].id = must_calloc(r->id_len, 1);
    memcpy(j->kept[at].id, r->id, r->id_len);
}

static int on_result(job *j, const result *r)
{
    j->failed += r->error != NULL;
    j->truncated += r->truncated;
    if (top && !r->error)
        keep(j, r);
    else if (!top && !put(j, r))
        return write_failed();
    return CLI_OK;
}

/* ---- one block of passages --------------------------------------------------------------------------------------- */

static int rank_texts(job *j, const char *q, size_t q_len, size_t n, strata_error *e)
{
    return strata_rank(s.ctx, (strata_text){q, q_len}, j->texts, n, &ro, j->scores, j->status, e);
}

static int rank_block(job *j)
{
    const char *bytes = j->block.bytes.p;
    size_t n = 0, k = 0;
    strata_error e = {0};
    make_room(j, j->block.n);
    for (size_t i = 0; i < j->block.n; i++)
        if (!j->block.items[i].bad) j->texts[n++] = (strata_text){bytes + j->block.items[i].at, j->block.items[i].len};
    int rc = rank_texts(j, query, strlen(query), n, &e);
    /* A query that is not UTF-8 is bad data, not a misuse of the command. */
    if (rc) return cli_fail(rc == STRATA_INVALID_ARG ? CLI_FAILED : cli_exit_code(rc), "%s", cli_words(&e));
    for (size_t i = 0; i < j->block.n && !rc; i++) {
        const input_item *item = &j->block.items[i];
        const strata_embed_item *st = item->bad ? NULL : &j->status[k];
        result r = {.index = j->done + i, .score = NAN, .id_len = item->id_len};
        char place[300], full[600];
        r.id = j->block.bytes.p + item->id_at;
        if (!st || st->status) {
            input_place(item, place, sizeof place);
            snprintf(full, sizeof full, "%s: %.*s", place, st ? (int)sizeof st->msg : (int)item->len,
                     st ? st->msg : bytes + item->at);
            cli_fail(CLI_FAILED, "%s", full);
            r.error = full;
        } else {
            r.score = j->scores[k];
            r.n_tokens = st->n_tokens;
            r.truncated = st->truncated != 0;
        }
        k += st != NULL;
        rc = on_result(j, &r);
    }
    return rc;
}

/* The first block is read already. */
static int run_blocks(job *j)
{
    int rc = CLI_OK;
    while (!rc && j->block.n) {
        rc = rank_block(j);
        if (!rc && !lines_flush(&j->out)) rc = write_failed();
        if (rc) break;
        j->done += j->block.n;
        input_progress(j->in, "passages", j->done, 0, 0);
        if (cli_cancel) return CLI_INTERRUPTED;
        rc = input_next(j->in, &j->block, BLOCK_TEXTS, BLOCK_BYTES);
    }
    cli_progress_end();
    return rc;
}

static bool finish(job *j)
{
    for (size_t i = 0; i < j->n_kept; i++)
        if (!put(j, &j->kept[i])) return false;
    if (format == FORMAT_JSON) fputs(j->n_put ? "\n]\n" : "[]\n", j->out.f);
    return lines_flush(&j->out);
}

/* ---- a query a line ---------------------------------------------------------------------------------------------- */

/* Of one line; reused. */
typedef struct question {
    buf query, list, texts;
    json_part *parts;
    size_t cap, n;
    char msg[256];
} question;

static bool refuse(question *q, const char *msg)
{
    snprintf(q->msg, sizeof q->msg, "%s", msg);
    return false;
}

/* A passage is a string, or an object with its text in --field. */
static bool read_passages(job *j, question *q)
{
    json_error e;
    bool lossy = in_opts.lossy != 0;
    if (!json_elements(q->list.p, q->list.len, lossy, &q->parts, &q->cap, &q->n, &e)) return refuse(q, e.msg);
    make_room(j, q->n);
    q->texts.len = 0;
    for (size_t i = 0; i < q->n; i++) {
        const json_part *p = &q->parts[i];
        size_t at = q->texts.len;
        bool ok = *p->p == '{' ? json_get_string(p->p, p->len, in_opts.field, lossy, &q->texts, &e)
                               : json_decode(p->p, p->len, lossy, &q->texts, &e);
        if (!ok) {
            snprintf(q->msg, sizeof q->msg, "passage %zu: %s", i, e.msg);
            return false;
        }
        j->texts[i] = (strata_text){NULL, q->texts.len - at};
    }
    buf_add(&q->texts, "", 1);
    for (size_t i = 0, at = 0; i < q->n; at += j->texts[i++].len) j->texts[i].ptr = q->texts.p + at;
    return true;
}

static bool read_question(job *j, const char *line, size_t len, question *q)
{
    json_error e;
    bool lossy = in_opts.lossy != 0;
    q->query.len = q->list.len = 0;
    q->msg[0] = 0;
    if (!json_get_string(line, len, "query", lossy, &q->query, &e)) return refuse(q, e.msg);
    int has = json_get_raw(line, len, "passages", lossy, &q->list, &e);
    if (!has) has = json_get_raw(line, len, "documents", lossy, &q->list, &e);
    if (has < 0) return refuse(q, e.msg);
    if (!has) return refuse(q, "neither \"passages\" nor \"documents\" in the object");
    return read_passages(j, q);
}

static int by_score(const void *a, const void *b)
{
    const result *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Without --top all passages in their order, those that failed with why; with it the best that did not. */
static void put_results(job *j, size_t n, const char *place)
{
    result *all = must_calloc(n, sizeof *all);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const strata_embed_item *st = &j->status[i];
        if (st->status) cli_fail(CLI_FAILED, "%s: passage %zu: %s", place, i, st->msg);
        j->failed += st->status != 0;
        j->truncated += !st->status && st->truncated;
        if (st->status && top) continue;
        all[kept++] = (result){.index = i,
                               .score = j->scores[i],
                               .n_tokens = st->n_tokens,
                               .truncated = st->truncated != 0,
                               .error = st->status ? st->msg : NULL};
    }
    if (top) qsort(all, kept, sizeof *all, by_score);
    if (top && kept > top) kept = top;
    fputs("\"results\":[", j->out.f);
    for (size_t i = 0; i < kept; i++) {
        if (i) putc(',', j->out.f);
        put_object(j->out.f, &all[i]);
    }
    putc(']', j->out.f);
    free(all);
}

static int rank_line(job *j, const input_item *item, size_t index, question *q)
{
    const char *line = j->block.bytes.p + item->at;
    char place[300], full[600];
    strata_error e = {0};
    input_place(item, place, sizeof place);
    bool ok = !item->bad && read_question(j, line, item->len, q);
    if (item->bad) snprintf(q->msg, sizeof q->msg, "%.*s", (int)item->len, line);
    int rc = ok ? rank_texts(j, q->query.p ? q->query.p : "", q->query.len, q->n, &e) : STRATA_OK;
    if (rc && rc != STRATA_INVALID_ARG) return cli_fail_by(rc, &e);
    if (rc) ok = refuse(q, e.msg);
    fprintf(j->out.f, "{\"index\":%zu,", index);
    if (item->id_len) {
        fputs("\"id\":", j->out.f);
        fwrite(j->block.bytes.p + item->id_at, 1, item->id_len, j->out.f);
        putc(',', j->out.f);
    }
    if (ok) {
        put_results(j, q->n, place);
        j->done += q->n;
    } else {
        j->failed++;
        snprintf(full, sizeof full, "%s: %s", place, q->msg);
        cli_fail(CLI_FAILED, "%s", full);
        fputs("\"error\":", j->out.f);
        json_put_string(j->out.f, full, strlen(full));
    }
    fputs("}\n", j->out.f);
    return lines_flush(&j->out) ? CLI_OK : write_failed();
}

static int run_lines(job *j)
{
    question q = {0};
    size_t index = 0;
    int rc = CLI_OK;
    while (!rc && j->block.n) {
        for (size_t i = 0; i < j->block.n && !rc; i++, index++) {
            rc = rank_line(j, &j->block.items[i], index, &q);
            input_progress(j->in, "queries", index + 1, i + 1, j->block.n);
            if (!rc && cli_cancel) rc = CLI_INTERRUPTED;
        }
        if (!rc) rc = input_next(j->in, &j->block, 64, 1 << 20);
    }
    cli_progress_end();
    buf_free(&q.query);
    buf_free(&q.list);
    buf_free(&q.texts);
    free(q.parts);
    return rc;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int run_job(const command *c, job *j)
{
    output o = {0};
    if (top) j->kept = must_calloc((size_t)top + 1, sizeof *j->kept);
    int rc = output_open(&o, c, out_path, false);
    if (!rc) rc = input_next(j->in, &j->block, query ? BLOCK_TEXTS : 64, BLOCK_BYTES); /* before anything is written */
    if (!rc && !lines_open(&j->out, o.f)) rc = write_failed();
    if (!rc) rc = query ? run_blocks(j) : run_lines(j);
    if (!rc && query && !finish(j)) rc = write_failed();
    int closed = o.f ? output_close(&o, rc == CLI_OK) : CLI_OK;
    if (rc == CLI_OK) rc = closed;
    if (rc == CLI_OK && j->truncated)
        cli_warn("%zu of %zu passages are longer than the model's context of %u tokens allows and were cut at the %s",
                 j->truncated, j->done, s.info.n_ctx, ro.truncate == STRATA_TRUNCATE_START ? "start" : "end");
    return rc == CLI_OK && j->failed ? CLI_FAILED : rc;
}

/* Before the input is read: a person who typed a wrong model should not have to type the texts too. */
static int check_model(void)
{
    strata_error e = {0};
    int rc = strata_rank(s.ctx, (strata_text){"", 0}, NULL, 0, &ro, NULL, NULL, &e);
    return rc ? cli_fail_by(rc, &e) : CLI_OK;
}

static int check_options(const command *c, int argc)
{
    if (!query && !in_opts.jsonl)
        return cli_usage(c, "no query given (--query TEXT, or --jsonl FILE with a query a line)");
    if (!query && (argc || in_opts.lines))
        return cli_usage(c, "no query given (--query TEXT): --jsonl with a query a line stands alone");
    if (!query && format_given && format != FORMAT_JSONL)
        return cli_usage(c, "a query a line: answers are JSON, a line each");
    if (in_opts.id && query && format == FORMAT_TSV)
        return cli_usage(c, "--id %s: only --format json and jsonl have room for it", in_opts.id);
    return CLI_OK;
}

static int run(const command *c, int argc, char **argv)
{
    job j = {0};
    ro.lossy = in_opts.lossy;
    ro.cancel = &cli_cancel;
    int rc = session_find_path(c, &s, false, &argc, &argv);
    if (!rc) rc = check_options(c, argc);
    if (!rc && query) rc = input_open(&j.in, c, &in_opts, argc, argv);
    if (!rc && !query)
        rc = input_open(&j.in, c, &(input_opts){.jsonl = in_opts.jsonl, .id = in_opts.id, .lossy = in_opts.lossy}, 0,
                        NULL);
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    if (!rc) rc = check_model();
    if (!rc) rc = run_job(c, &j);
    for (size_t i = 0; i < j.n_kept; i++) free(j.kept[i].id);
    free(j.texts), free(j.status), free(j.scores), free(j.kept);
    lines_close(&j.out);
    input_block_free(&j.block);
    input_close(j.in);
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL},
                                {"PASSAGE", "a passage; -: the lines of stdin", ARG_MANY},
                                {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_STRING, 'q', "query", "TEXT", "what the passages are to answer", .value = &query},
    OPT_OF_JSONL(in_opts),
    OPT_OF_FIELD(in_opts),
    OPT_OF_ID(in_opts),
    OPT_OF_LINES(in_opts),
    {OPT_CHOICE, 0, "format", "json|jsonl|tsv", "of what is written", .value = &format, .first = FORMAT_JSON,
     .given = &format_given},
    {OPT_STRING, 'o', "output", "FILE", "output file", .value = &out_path, .def = "stdout"},
    {OPT_COUNT, 0, "top", "N", "only the N best, best first", .value = &top, .def = "all, in input order"},
    {OPT_FLAG, 0, "sigmoid", NULL, "scores from 0 to 1", .value = &ro.sigmoid},
    {OPT_CHOICE, 0, "truncate", "error|end|start", "passages beyond the context", .value = &ro.truncate,
     .first = STRATA_TRUNCATE_ERROR},
    {OPT_CHOICE, 0, "truncate-query", "error|end|start", "queries that fill it", .value = &ro.truncate_query,
     .first = STRATA_TRUNCATE_ERROR},
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
    .note = "With no passage and no file, or for '-', reads lines of stdin. With --jsonl and no --query:\n"
            "{\"query\":\"...\",\"passages\":[\"...\",...]} a line.\n",
    .text = "The model is a cross-encoder, a classification head on an encoder or a decoder. A score is the\n"
            "head's raw output (of two outputs, yes less no), or with --sigmoid from 0 to 1.\n"
            "\n"
            "Only passages are cut to the context, unless --truncate-query says otherwise; a query that leaves\n"
            "no room fails every passage.\n",
    .examples = "strata rank -m reranker.gguf --query \"capital of France\" \"Paris is...\" \"Lyon is...\"\n"
                "strata rank -m reranker.gguf --query \"...\" --jsonl passages.jsonl --top 10 --sigmoid\n",
    .args = args,
    .opts = opts,
    .run = run,
};
