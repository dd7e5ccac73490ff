/* bench_embed.c: texts through strata_embed: a grid of lengths and batch sizes, the caller's texts, and the first
 * one. */
#include <stdlib.h>
#include <string.h>

#include "bench/bench_parts.h"

enum { MAX_CELL_TOKENS = 4096, SHORT_TOKENS = 16, BLOCK_TEXTS = 1024 };

/* ---- texts through strata_embed ---- */

typedef struct corpus {
    buf bytes;
    size_t *at; /* [n + 1] */
    size_t n, cap;
    strata_text *texts; /* [n], once all are there */
    strata_embed_item *items;
    float *out;
    uint32_t dims;
} corpus;

static strata_embed_opts embed_opts(const bench_job *j)
{
    strata_embed_opts o = {.truncate = STRATA_TRUNCATE_END, .lossy = j->in.lossy, .cancel = &cli_cancel};
    int p = j->s.info.pooling;
    if (p != STRATA_POOLING_MEAN && p != STRATA_POOLING_CLS && p != STRATA_POOLING_LAST)
        o.pooling = j->s.info.causal ? STRATA_POOLING_LAST : STRATA_POOLING_MEAN;
    return o;
}

static void corpus_add(corpus *c, const char *text, size_t len)
{
    c->at = must_grow(c->at, &c->cap, c->n + 2, sizeof *c->at);
    c->at[c->n++] = c->bytes.len;
    buf_add(&c->bytes, text, len);
    c->at[c->n] = c->bytes.len;
}

static void corpus_end(const bench_job *j, corpus *c)
{
    strata_error e = {0};
    strata_embed_opts o = embed_opts(j);
    buf_add(&c->bytes, "", 1);
    c->dims = strata_embed_dims(j->s.model, &o, &e);
    c->texts = must_calloc(c->n + 1, sizeof *c->texts);
    c->items = must_calloc(c->n + 1, sizeof *c->items);
    c->out = must_calloc((c->n < BLOCK_TEXTS ? c->n : BLOCK_TEXTS) * (size_t)c->dims + 1, sizeof *c->out);
    for (size_t i = 0; i < c->n; i++) c->texts[i] = (strata_text){c->bytes.p + c->at[i], c->at[i + 1] - c->at[i]};
}

static void corpus_free(corpus *c)
{
    buf_free(&c->bytes);
    free(c->at), free(c->texts), free(c->items), free(c->out);
    *c = (corpus){0};
}

/* One pass over all texts, in blocks as `strata embed` does. Returns an exit code. */
static int corpus_run(const bench_job *j, strata_ctx *ctx, corpus *c, double *seconds, uint32_t *n_tokens)
{
    strata_embed_opts o = embed_opts(j);
    strata_error e = {0};
    double t = bench_now();
    for (size_t i = 0; i < c->n; i += BLOCK_TEXTS) {
        size_t n = c->n - i < BLOCK_TEXTS ? c->n - i : BLOCK_TEXTS;
        int rc = strata_embed(ctx, c->texts + i, n, &o, c->out, c->dims, c->items + i, &e);
        if (rc) return cli_fail_by(rc, &e);
    }
    *seconds = bench_now() - t;
    *n_tokens = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->items[i].status) return cli_fail(CLI_FAILED, "text %zu: %s", i + 1, c->items[i].msg);
        *n_tokens += c->items[i].n_tokens;
    }
    return CLI_OK;
}

/* ---- the grid of lengths and batch sizes ---- */

typedef struct grid_cell {
    uint32_t len, batch, tokens;
    corpus texts;
    bench_times times;
    int peer; /* index of the length in the peers' list, -1: none */
} grid_cell;

static void defaults(ints *v, const char *list)
{
    if (!v->n) opt_ints(list, strlen(list), v);
}

int bench_grid(bench_job *j, bench_rows *rows)
{
    defaults(&j->lengths, BENCH_LENGTHS);
    defaults(&j->batches, BENCH_BATCHES);
    grid_cell *cells = must_calloc(j->lengths.n * j->batches.n + 1, sizeof *cells);
    uint32_t *peer_len = must_calloc(j->lengths.n + 1, sizeof *peer_len);
    bench_times *peer_times = must_calloc(j->lengths.n + 1, sizeof *peer_times);
    size_t n = 0, n_peer = 0;
    int rc = CLI_OK;
    buf text = {0};
    for (size_t i = 0; i < j->lengths.n && !rc; i++) {
        uint32_t len = (uint32_t)j->lengths.p[i];
        bool first = true;
        if (j->lengths.p[i] < 1 || (j->s.info.n_ctx && len > j->s.info.n_ctx)) continue;
        for (size_t l = 0; l < j->batches.n && !rc; l++) {
            uint32_t batch = (uint32_t)j->batches.p[l];
            if (j->batches.p[l] < 1 || (batch > 1 && (uint64_t)len * batch > MAX_CELL_TOKENS)) continue;
            grid_cell *c = &cells[n++];
            *c = (grid_cell){.len = len, .batch = batch, .peer = first ? (int)n_peer : -1};
            for (uint32_t k = 0; k < batch && !rc; k++) {
                if (!bench_text(j->s.model, len, k + 1, &text)) rc = CLI_FAILED;
                corpus_add(&c->texts, text.p, text.len);
            }
            corpus_end(j, &c->texts);
            if (first) peer_len[n_peer++] = len;
            first = false;
        }
    }
    buf_free(&text);
    if (!rc && !n)
        rc = cli_fail(CLI_USAGE, "no length of the grid fits into the context of %u tokens", j->s.info.n_ctx);
    bool peers = j->peers && bench_llama();
    for (uint32_t r = 0; r <= j->runs && !rc && !cli_cancel; r++) {
        for (size_t i = 0; i < n && !rc && !cli_cancel; i++) {
            double t;
            rc = corpus_run(j, j->s.ctx, &cells[i].texts, &t, &cells[i].tokens);
            if (!rc && r) bench_time(&cells[i].times, t); /* the first round grows the scratch */
            cli_progress("round %u: %u x %u", r, cells[i].batch, cells[i].len);
        }
        if (!rc && r && peers && !bench_llama_prefill(&j->s, peer_len, n_peer, peer_times)) {
            cli_warn("llama-bench failed with this model");
            peers = false;
        }
    }
    cli_progress_end();
    for (size_t i = 0; i < n; i++) {
        grid_cell *c = &cells[i];
        if (!rc && !cli_cancel) {
            bench_row *row = bench_add(rows, "grid");
            row->tokens = c->tokens;
            row->texts = c->batch;
            bench_times_take(&c->times, &row->best, &row->median);
            if (c->peer >= 0) bench_times_take(&peer_times[c->peer], &row->peer_best, &row->peer_median);
            /* llama-bench runs one text; a cell of more is compared by its rate. */
            row->peer_best *= c->batch, row->peer_median *= c->batch;
        }
        free(c->times.p);
        corpus_free(&c->texts);
    }
    for (size_t i = 0; i < n_peer; i++) free(peer_times[i].p);
    free(cells), free(peer_len), free(peer_times);
    return rc;
}

/* ---- --embed ---- */

static int read_corpus(const bench_job *j, const command *cmd, corpus *c)
{
    input *in = NULL;
    input_block b = {0};
    int rc = input_open(&in, cmd, &j->in, 0, NULL);
    while (!rc && !(rc = input_next(in, &b, BLOCK_TEXTS, (size_t)8 << 20)) && b.n) {
        for (size_t i = 0; i < b.n && !rc; i++) {
            char place[300];
            input_place(&b.items[i], place, sizeof place);
            if (b.items[i].bad)
                rc = cli_fail(CLI_FAILED, "%s: %.*s", place, (int)b.items[i].len, b.bytes.p + b.items[i].at);
            else
                corpus_add(c, b.bytes.p + b.items[i].at, b.items[i].len);
        }
        if (rc) break;
    }
    input_block_free(&b);
    input_close(in);
    if (!rc && !c->n) rc = cli_fail(CLI_FAILED, "%s: no texts", strcmp(j->in.jsonl, "-") == 0 ? "stdin" : j->in.jsonl);
    return rc;
}

int bench_embed(bench_job *j, const command *cmd, bench_rows *rows)
{
    corpus c = {0};
    bench_times times = {0};
    uint32_t tokens = 0;
    int rc = read_corpus(j, cmd, &c);
    corpus_end(j, &c);
    for (uint32_t r = 0; r <= j->runs && !rc && !cli_cancel; r++) {
        double t;
        rc = corpus_run(j, j->s.ctx, &c, &t, &tokens);
        if (!rc && r) bench_time(&times, t);
        cli_progress("round %u of %u", r, j->runs);
    }
    cli_progress_end();
    if (!rc && !cli_cancel) {
        bench_row *row = bench_add(rows, "embed");
        row->tokens = tokens;
        row->texts = (uint32_t)c.n;
        bench_times_take(&times, &row->best, &row->median);
        row->peak_mb = bench_peak_mb();
        if (strcmp(j->in.jsonl, "-") != 0)
            bench_whole(j, rows, c.texts, c.n, tokens, j->in.jsonl, j->runs < 3 ? j->runs : 3);
    }
    free(times.p);
    corpus_free(&c);
    return rc;
}

/* ---- --start ---- */

int bench_start(bench_job *j, const command *cmd, bench_rows *rows)
{
    corpus c = {0};
    buf text = {0};
    bench_times open = {0}, first = {0};
    uint32_t tokens = bench_text(j->s.model, SHORT_TOKENS, 1, &text);
    int rc = tokens ? CLI_OK : CLI_FAILED;
    corpus_add(&c, text.p, text.len);
    corpus_end(j, &c);
    for (uint32_t r = 0; r < j->runs && !rc && !cli_cancel; r++) {
        session fresh = j->s;
        fresh.model = NULL, fresh.ctx = NULL;
        double t0 = bench_now(), t;
        rc = session_open(cmd, &fresh, SESSION_CONTEXT);
        t = bench_now() - t0;
        if (!rc) bench_time(&open, t);
        if (!rc) rc = corpus_run(j, fresh.ctx, &c, &t, &tokens);
        if (!rc) bench_time(&first, bench_now() - t0);
        session_close(&fresh);
    }
    if (!rc && !cli_cancel) {
        bench_row *row = bench_add(rows, "open");
        bench_times_take(&open, &row->best, &row->median);
        row = bench_add(rows, "first");
        row->tokens = tokens;
        row->texts = 1;
        bench_times_take(&first, &row->best, &row->median);
        bench_whole(j, rows, c.texts, c.n, tokens, NULL, j->runs);
    }
    free(open.p), free(first.p);
    buf_free(&text);
    corpus_free(&c);
    return rc;
}
