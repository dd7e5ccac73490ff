/* strata bench: how fast a model runs on this machine, and where the time goes. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, mkstemp */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench_parts.h"
#include "input.h"

enum { DEFAULT_RUNS = 5, MAX_CELL_TOKENS = 4096, OPS_TOKENS = 128, SHORT_TOKENS = 16, BLOCK_TEXTS = 1024 };

static session s;
static uint32_t prefill, decode, runs;
static input_opts in_opts = {.field = "text"};
static ints lengths, batches;
static int want_start, want_ops, want_peers, as_json, as_csv;

/* ---- rows and times ---- */

bench_row *bench_add(bench_rows *r, const char *what)
{
    r->p = must_grow(r->p, &r->cap, r->n + 1, sizeof *r->p);
    bench_row *row = &r->p[r->n++];
    *row = (bench_row){.what = what};
    return row;
}

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void bench_time(bench_times *t, double seconds)
{
    t->p = must_grow(t->p, &t->cap, t->n + 1, sizeof *t->p);
    t->p[t->n++] = seconds;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_times_take(bench_times *t, double *best, double *median)
{
    *best = *median = 0;
    if (t->n) {
        qsort(t->p, t->n, sizeof *t->p, ascending);
        *best = t->p[0];
        *median = t->n % 2 ? t->p[t->n / 2] : (t->p[t->n / 2 - 1] + t->p[t->n / 2]) / 2;
    }
    free(t->p);
    *t = (bench_times){0};
}

static double peak_mb(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
#if defined(__APPLE__)
    return (double)u.ru_maxrss / 1e6;
#else
    return (double)u.ru_maxrss * 1024 / 1e6;
#endif
}

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

static strata_embed_opts embed_opts(void)
{
    strata_embed_opts o = {.truncate = STRATA_TRUNCATE_END, .lossy = in_opts.lossy, .cancel = &cli_cancel};
    int p = s.info.pooling;
    if (p != STRATA_POOLING_MEAN && p != STRATA_POOLING_CLS && p != STRATA_POOLING_LAST)
        o.pooling = s.info.causal ? STRATA_POOLING_LAST : STRATA_POOLING_MEAN;
    return o;
}

static void corpus_add(corpus *c, const char *text, size_t len)
{
    c->at = must_grow(c->at, &c->cap, c->n + 2, sizeof *c->at);
    c->at[c->n++] = c->bytes.len;
    buf_add(&c->bytes, text, len);
    c->at[c->n] = c->bytes.len;
}

static void corpus_end(corpus *c)
{
    strata_error e = {0};
    strata_embed_opts o = embed_opts();
    buf_add(&c->bytes, "", 1);
    c->dims = strata_embed_dims(s.model, &o, &e);
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
static int corpus_run(strata_ctx *ctx, corpus *c, double *seconds, uint32_t *n_tokens)
{
    strata_embed_opts o = embed_opts();
    strata_error e = {0};
    double t = bench_now();
    for (size_t i = 0; i < c->n; i += BLOCK_TEXTS) {
        size_t n = c->n - i < BLOCK_TEXTS ? c->n - i : BLOCK_TEXTS;
        int rc = strata_embed(ctx, c->texts + i, n, &o, c->out, c->dims, c->items + i, &e);
        if (rc) return cli_fail(cli_exit_code(rc), "%s", e.msg);
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

static int grid(bench_rows *rows)
{
    defaults(&lengths, "16,64,128,256,512,1024,2048");
    defaults(&batches, "1,8,32");
    grid_cell *cells = must_calloc(lengths.n * batches.n + 1, sizeof *cells);
    uint32_t *peer_len = must_calloc(lengths.n + 1, sizeof *peer_len);
    bench_times *peer_times = must_calloc(lengths.n + 1, sizeof *peer_times);
    size_t n = 0, n_peer = 0;
    int rc = CLI_OK;
    buf text = {0};
    for (size_t i = 0; i < lengths.n && !rc; i++) {
        uint32_t len = (uint32_t)lengths.p[i];
        bool first = true;
        if (lengths.p[i] < 1 || (s.info.n_ctx && len > s.info.n_ctx)) continue;
        for (size_t j = 0; j < batches.n && !rc; j++) {
            uint32_t batch = (uint32_t)batches.p[j];
            if (batches.p[j] < 1 || (batch > 1 && (uint64_t)len * batch > MAX_CELL_TOKENS)) continue;
            grid_cell *c = &cells[n++];
            *c = (grid_cell){.len = len, .batch = batch, .peer = first ? (int)n_peer : -1};
            for (uint32_t k = 0; k < batch && !rc; k++) {
                if (!bench_text(s.model, len, k + 1, &text)) rc = CLI_FAILED;
                corpus_add(&c->texts, text.p, text.len);
            }
            corpus_end(&c->texts);
            if (first) peer_len[n_peer++] = len;
            first = false;
        }
    }
    buf_free(&text);
    if (!rc && !n) rc = cli_fail(CLI_USAGE, "no length of the grid fits into the context of %u tokens", s.info.n_ctx);
    bool peers = want_peers && bench_llama();
    for (uint32_t r = 0; r <= runs && !rc && !cli_cancel; r++) {
        for (size_t i = 0; i < n && !rc && !cli_cancel; i++) {
            double t;
            rc = corpus_run(s.ctx, &cells[i].texts, &t, &cells[i].tokens);
            if (!rc && r) bench_time(&cells[i].times, t); /* the first round grows the scratch */
            cli_progress("round %u: %u x %u", r, cells[i].batch, cells[i].len);
        }
        if (!rc && r && peers && !bench_llama_prefill(&s, peer_len, n_peer, peer_times)) {
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

/* ---- --prefill: raw ids through the layers ---- */

typedef struct prefill_job {
    ints ids;
    strata_ctx *ctx; /* of a decoder: with room for one sequence */
    float *out;      /* of an encoder: [n, n_embd] */
    size_t cap;
    int32_t firsts[2]; /* in turn, so that nothing of a sequence is kept from the run before */
    uint32_t turn;
} prefill_job;

static int prefill_open(prefill_job *j)
{
    strata_error e = {0};
    uint32_t n = bench_ids(s.model, prefill, &j->ids);
    if (!n) return CLI_FAILED;
    if (!s.info.has_logits) {
        j->cap = (size_t)n * s.info.n_embd;
        j->out = must_calloc(j->cap, sizeof *j->out);
        return CLI_OK;
    }
    j->firsts[0] = j->ids.p[0];
    j->firsts[1] = j->ids.p[0] ? 0 : 1;
    strata_ctx_opts o = {.n_threads = s.threads, .precision = s.precision, .n_seqs = 1, .n_ctx = n + 1};
    int rc = strata_ctx_open(s.model, &o, &j->ctx, &e);
    return rc ? cli_fail(cli_exit_code(rc), "%s", e.msg) : CLI_OK;
}

/* What a prompt costs: a decoder fills its cache and gives the last token's logits; an encoder gives every row. */
static int prefill_once(prefill_job *j, double *seconds)
{
    strata_error e = {0};
    const float *logits;
    size_t rows, cols;
    double t = bench_now();
    if (j->ctx) j->ids.p[0] = j->firsts[j->turn++ & 1];
    int rc =
        j->ctx ? strata_ctx_sync(j->ctx, 0, j->ids.p, j->ids.n, 0, &cli_cancel, &logits, &e)
               : strata_eval(s.ctx, j->ids.p, NULL, j->ids.n, STRATA_EVAL_HIDDEN, 0, j->out, j->cap, &rows, &cols, &e);
    *seconds = bench_now() - t;
    return rc ? cli_fail(cli_exit_code(rc), "%s", e.msg) : CLI_OK;
}

static int run_prefill(bench_rows *rows)
{
    prefill_job j = {0};
    bench_times mine = {0}, peer = {0};
    int rc = prefill_open(&j);
    const uint32_t n = (uint32_t)j.ids.n;
    bool peers = want_peers && bench_llama();
    for (uint32_t r = 0; r <= runs && !rc && !cli_cancel; r++) {
        double t;
        rc = prefill_once(&j, &t);
        if (!rc && r) bench_time(&mine, t);
        if (!rc && r && peers && !bench_llama_prefill(&s, &n, 1, &peer)) {
            cli_warn("llama-bench failed with this model");
            peers = false;
        }
    }
    if (!rc) {
        bench_row *row = bench_add(rows, "prefill");
        row->tokens = n;
        row->texts = 1;
        bench_times_take(&mine, &row->best, &row->median);
        bench_times_take(&peer, &row->peer_best, &row->peer_median);
    }
    free(mine.p), free(peer.p), free(j.out);
    ints_free(&j.ids);
    strata_ctx_close(j.ctx);
    return rc;
}

/* ---- --decode: token by token ---- */

/* One token, then n more, greedily, as a text is written. */
static int decode_once(strata_ctx *ctx, int32_t first, uint32_t n, double *seconds)
{
    strata_error e = {0};
    strata_gen_result r;
    strata_gen_opts o = strata_gen_default();
    o.temperature = 0;
    o.max_tokens = n + 1; /* the first comes of the prompt */
    o.ignore_end = 1;
    o.cancel = &cli_cancel;
    int rc = strata_generate(ctx, 0, &first, 1, &o, &r, &e);
    *seconds = r.decode_ms * 1e-3;
    return rc ? cli_fail(cli_exit_code(rc), "%s", e.msg) : CLI_OK;
}

static int run_decode(bench_rows *rows)
{
    bench_times mine = {0}, peer = {0};
    strata_error e = {0};
    strata_ctx *ctx = NULL;
    if (!s.info.has_logits) return cli_fail(CLI_USAGE, "--decode: the model has no logits");
    strata_ctx_opts o = {.n_threads = s.threads,
                         .precision = s.precision,
                         .n_seqs = 1,
                         .n_ctx = decode + 2,
                         .kv = STRATA_KV_F16};
    int rc = strata_ctx_open(s.model, &o, &ctx, &e);
    if (rc) rc = cli_fail(cli_exit_code(rc), "%s", e.msg);
    bool peers = want_peers && bench_llama();
    for (uint32_t r = 0; r <= runs && !rc && !cli_cancel; r++) {
        double t;
        /* Another first token each time, so that nothing of the sequence is kept from the run before. */
        rc = decode_once(ctx, (int32_t)(r & 1), decode, &t);
        if (!rc && r) bench_time(&mine, t);
        if (!rc && r && peers && !bench_llama_decode(&s, decode, &peer)) {
            cli_warn("llama-bench failed with this model");
            peers = false;
        }
    }
    if (!rc) {
        bench_row *row = bench_add(rows, "decode");
        row->tokens = decode;
        row->texts = 1;
        bench_times_take(&mine, &row->best, &row->median);
        bench_times_take(&peer, &row->peer_best, &row->peer_median);
    }
    free(mine.p), free(peer.p);
    strata_ctx_close(ctx);
    return rc;
}

/* ---- whole processes: strata embed and llama-embedding, in turn ---- */

/* Writes texts as jsonl or with llama.cpp's separator. The caller removes the file and frees the path. */
static char *temporary(const void *bytes, size_t len)
{
    const char *dir = getenv("TMPDIR");
    size_t size = (dir ? strlen(dir) : 4) + 32;
    char *path = must_calloc(size, 1);
    snprintf(path, size, "%s/strata-bench-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    bool ok = f && fwrite(bytes, 1, len, f) == len;
    if (f && fclose(f) != 0) ok = false;
    if (ok) return path;
    cli_warn("cannot write a temporary file: %s", strerror(errno));
    if (fd >= 0) remove(path);
    free(path);
    return NULL;
}

static void whole(bench_rows *rows, const corpus *c, uint32_t tokens, const char *jsonl, uint32_t n_runs)
{
    const char *self = bench_self();
    if (!self) return;
    char threads[16], *raw = NULL;
    snprintf(threads, sizeof threads, "%u", strata_ctx_threads(s.ctx));
    char *path = (char *)(uintptr_t)s.path, *field = (char *)(uintptr_t)in_opts.field;
    char *from_file[] = {(char *)(uintptr_t)self,
                         "embed",
                         "-m",
                         path,
                         "--jsonl",
                         (char *)(uintptr_t)jsonl,
                         "--field",
                         field,
                         "--format",
                         "f32",
                         "-o",
                         "/dev/null",
                         "-t",
                         threads,
                         "--precision",
                         (char *)(uintptr_t)precision_name(s.precision),
                         s.no_mmap ? "--no-mmap" : NULL,
                         NULL};
    char *text = (char *)(uintptr_t)c->texts[0].ptr;
    char *one_text[] = {(char *)(uintptr_t)self,
                        "embed",
                        "-m",
                        path,
                        "--format",
                        "f32",
                        "-o",
                        "/dev/null",
                        "-t",
                        threads,
                        "--precision",
                        (char *)(uintptr_t)precision_name(s.precision),
                        s.no_mmap ? "--no-mmap" : "--",
                        s.no_mmap ? "--" : text,
                        s.no_mmap ? text : NULL,
                        NULL};
    bool peers = want_peers && bench_llama();
    if (peers) {
        buf b = {0};
        for (size_t i = 0; i < c->n; i++) {
            if (i) buf_add(&b, bench_llama_separator, strlen(bench_llama_separator));
            buf_add(&b, c->texts[i].ptr, c->texts[i].len);
        }
        raw = temporary(b.p, b.len);
        buf_free(&b);
        peers = raw != NULL;
    }
    bench_times mine = {0}, peer = {0};
    double mb = 0, peer_mb = 0, cpu = 0, peer_cpu = 0; /* cpu: the least of the runs */
    bool ok = true;
    for (uint32_t r = 0; r <= n_runs && ok && !cli_cancel; r++) {
        bench_process p;
        ok = bench_run_process(jsonl ? from_file : one_text, NULL, NULL, &p);
        if (ok && r) bench_time(&mine, p.seconds);
        if (ok && p.peak_mb > mb) mb = p.peak_mb;
        if (ok && (!r || p.cpu < cpu)) cpu = p.cpu;
        if (!ok || !peers) continue;
        peers = bench_llama_embed(&s, raw, &p);
        if (!peers) cli_warn("llama-embedding failed with this model");
        if (peers && r) bench_time(&peer, p.seconds);
        if (peers && p.peak_mb > peer_mb) peer_mb = p.peak_mb;
        if (peers && (!r || p.cpu < peer_cpu)) peer_cpu = p.cpu;
    }
    if (raw) remove(raw);
    free(raw);
    if (ok && mine.n) {
        bench_row *row = bench_add(rows, "whole");
        row->tokens = tokens;
        row->texts = (uint32_t)c->n;
        bench_times_take(&mine, &row->best, &row->median);
        bench_times_take(&peer, &row->peer_best, &row->peer_median);
        row->peak_mb = mb, row->peer_mb = peer_mb;
        row->cpu = cpu, row->peer_cpu = peer_cpu;
    } else if (!cli_cancel) {
        cli_warn("strata embed failed as a process of its own");
    }
    free(mine.p), free(peer.p);
}

/* ---- --embed ---- */

static int read_corpus(const command *cmd, corpus *c)
{
    input *in = NULL;
    input_block b = {0};
    int rc = input_open(&in, cmd, &in_opts, 0, NULL);
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
    if (!rc && !c->n)
        rc = cli_fail(CLI_FAILED, "%s: no texts", strcmp(in_opts.jsonl, "-") == 0 ? "stdin" : in_opts.jsonl);
    return rc;
}

static int run_embed(const command *cmd, bench_rows *rows)
{
    corpus c = {0};
    bench_times times = {0};
    uint32_t tokens = 0;
    int rc = read_corpus(cmd, &c);
    corpus_end(&c);
    for (uint32_t r = 0; r <= runs && !rc && !cli_cancel; r++) {
        double t;
        rc = corpus_run(s.ctx, &c, &t, &tokens);
        if (!rc && r) bench_time(&times, t);
        cli_progress("round %u of %u", r, runs);
    }
    cli_progress_end();
    if (!rc && !cli_cancel) {
        bench_row *row = bench_add(rows, "embed");
        row->tokens = tokens;
        row->texts = (uint32_t)c.n;
        bench_times_take(&times, &row->best, &row->median);
        row->peak_mb = peak_mb();
        if (strcmp(in_opts.jsonl, "-") != 0) whole(rows, &c, tokens, in_opts.jsonl, runs < 3 ? runs : 3);
    }
    free(times.p);
    corpus_free(&c);
    return rc;
}

/* ---- --start ---- */

static int run_start(const command *cmd, bench_rows *rows)
{
    corpus c = {0};
    buf text = {0};
    bench_times open = {0}, first = {0};
    uint32_t tokens = bench_text(s.model, SHORT_TOKENS, 1, &text);
    int rc = tokens ? CLI_OK : CLI_FAILED;
    corpus_add(&c, text.p, text.len);
    corpus_end(&c);
    for (uint32_t r = 0; r < runs && !rc && !cli_cancel; r++) {
        session fresh = s;
        fresh.model = NULL, fresh.ctx = NULL;
        double t0 = bench_now(), t;
        rc = session_open(cmd, &fresh, SESSION_CONTEXT);
        t = bench_now() - t0;
        if (!rc) bench_time(&open, t);
        if (!rc) rc = corpus_run(fresh.ctx, &c, &t, &tokens);
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
        whole(rows, &c, tokens, NULL, runs);
    }
    free(open.p), free(first.p);
    buf_free(&text);
    corpus_free(&c);
    return rc;
}

/* ---- the command ---- */

static int check_options(const command *c, int argc, char **argv)
{
    if (argc) return cli_usage(c, "'%s': no arguments, texts come with --embed FILE", argv[0]);
    if (as_json && as_csv) return cli_usage(c, "--json or --csv, not both");
    return CLI_OK;
}

static int run_parts(const command *c, bench_rows *rows, strata_peaks *peaks, double *mb)
{
    int rc = CLI_OK;
    if (prefill && s.info.n_ctx && prefill > s.info.n_ctx)
        return cli_fail(CLI_USAGE, "--prefill %u: the model's context is %u tokens", prefill, s.info.n_ctx);
    if (decode && s.info.n_ctx && decode >= s.info.n_ctx)
        return cli_fail(CLI_USAGE, "--decode %u: the model's context is %u tokens", decode, s.info.n_ctx);
    if (want_peers && !bench_llama()) cli_warn("llama-bench not found ($STRATA_LLAMA_BIN or PATH): no peers");
    if (!rc && want_start) rc = run_start(c, rows);
    if (!rc && prefill && !want_ops) rc = run_prefill(rows);
    if (!rc && decode) rc = run_decode(rows);
    if (!rc && in_opts.jsonl) rc = run_embed(c, rows);
    if (!rc && !want_start && !prefill && !decode && !in_opts.jsonl && !want_ops) rc = grid(rows);
    uint32_t n = prefill ? prefill : s.info.n_ctx && s.info.n_ctx < OPS_TOKENS ? s.info.n_ctx : OPS_TOKENS;
    if (!rc && want_ops) rc = bench_ops(&s, n, runs, rows);
    *mb = peak_mb(); /* before the peaks, which take memory of their own */
    strata_error e = {0};
    if (!rc && want_ops && !cli_cancel && (rc = strata_measure_peaks(s.model, s.threads, peaks, &e)))
        rc = cli_fail(cli_exit_code(rc), "%s", e.msg);
    return rc;
}

static int run(const command *c, int argc, char **argv)
{
    bench_rows rows = {0};
    strata_peaks peaks;
    double mb = 0;
    int rc = check_options(c, argc, argv);
    if (!runs) runs = DEFAULT_RUNS;
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    if (!rc) rc = run_parts(c, &rows, &peaks, &mb);
    if (!rc && !cli_cancel) {
        bench_report r = {.s = &s,
                          .rows = &rows,
                          .peaks = want_ops ? &peaks : NULL,
                          .runs = runs,
                          .peak_mb = mb,
                          .peers = want_peers && bench_llama()};
        bench_print(stdout, &r, as_json ? BENCH_JSON : as_csv ? BENCH_CSV : BENCH_TABLE);
    }
    free(rows.p);
    ints_free(&lengths);
    ints_free(&batches);
    session_close(&s);
    return rc;
}

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_COUNT, 0, "prefill", "N", "N tokens through the layers, no tokenizer", &prefill, 0, NULL},
    {OPT_COUNT, 0, "decode", "N", "N tokens one by one, greedily, as a text is written", &decode, 0, NULL},
    {OPT_STRING, 0, "embed", "FILE.jsonl|-", "these texts, loaded and as a process", &in_opts.jsonl, 0, NULL},
    OPT_OF_FIELD(in_opts),
    {OPT_FLAG, 0, "start", NULL, "open, first vector, whole process", &want_start, 0, NULL},
    {OPT_FLAG, 0, "ops", NULL, "time of each operation (of --prefill N)", &want_ops, 0, NULL},
    {OPT_INTS, 0, "lengths", "16,128", "of the grid: tokens a text", &lengths, 0, NULL},
    {OPT_INTS, 0, "batches", "1,8", "of the grid: texts a call", &batches, 0, NULL},
    {OPT_COUNT, 0, "runs", "N", "default: 5, after one to warm up", &runs, 0, NULL},
    {OPT_FLAG, 0, "peers", NULL, "llama.cpp in turn, where it is found", &want_peers, 0, NULL},
    {OPT_FLAG, 0, "json", NULL, "one JSON object", &as_json, 0, NULL},
    {OPT_FLAG, 0, "csv", NULL, "comma-separated", &as_csv, 0, NULL},
    OPT_OF_PRECISION(s),
    OPT_OF_THREADS(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_bench = {
    .name = "bench",
    .usage = "-m MODEL [options]",
    .summary = "how fast a model runs here, and where the time goes",
    .examples = "Without --prefill, --decode, --embed, --start or --ops: a grid of lengths and batch sizes.\n"
                "  strata bench -m model.gguf --peers\n"
                "  strata bench -m model.gguf --prefill 512 --json\n"
                "  strata bench -m model.gguf --ops --prefill 128\n",
    .opts = opts,
    .run = run,
};
