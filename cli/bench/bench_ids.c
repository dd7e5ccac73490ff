/* bench_ids.c: ids through the layers, no tokenizer: what a prompt costs, and what each token after it. */
#include <stdlib.h>

#include "bench/bench_parts.h"

/* ---- --prefill: raw ids through the layers ---- */

typedef struct prefill_run {
    ints ids;
    strata_ctx *ctx; /* of a decoder: with room for one sequence */
    float *out;      /* of an encoder: [n, n_embd] */
    size_t cap;
    int32_t firsts[2]; /* in turn, so that nothing of a sequence is kept from the run before */
    uint32_t turn;
} prefill_run;

static int ids_prefill_open(const bench_job *j, prefill_run *p)
{
    strata_error e = {0};
    uint32_t n = bench_ids(j->s.model, j->prefill, &p->ids);
    if (!n) return CLI_FAILED;
    if (!j->s.info.has_logits) {
        p->cap = (size_t)n * j->s.info.n_embd;
        p->out = must_calloc(p->cap, sizeof *p->out);
        return CLI_OK;
    }
    p->firsts[0] = p->ids.p[0];
    p->firsts[1] = p->ids.p[0] ? 0 : 1;
    strata_ctx_opts o = {.n_threads = j->s.threads, .precision = j->s.precision, .n_seqs = 1, .n_ctx = n + 1};
    int rc = strata_ctx_open(j->s.model, &o, &p->ctx, &e);
    return rc ? cli_fail_by(rc, &e) : CLI_OK;
}

/* What a prompt costs: a decoder fills its cache and gives the last token's logits; an encoder gives every row. */
static int ids_prefill_once(const bench_job *j, prefill_run *p, double *seconds)
{
    strata_error e = {0};
    const float *logits;
    size_t rows, cols;
    double t = bench_now();
    if (p->ctx) p->ids.p[0] = p->firsts[p->turn++ & 1];
    int rc = p->ctx ? strata_ctx_sync(p->ctx, 0, p->ids.p, p->ids.n, 0, &cli_cancel, &logits, &e)
                    : strata_eval(j->s.ctx, p->ids.p, NULL, p->ids.n, STRATA_EVAL_HIDDEN, 0, p->out, p->cap, &rows,
                                  &cols, &e);
    *seconds = bench_now() - t;
    return rc ? cli_fail_by(rc, &e) : CLI_OK;
}

int bench_prefill(const bench_job *j, bench_rows *rows)
{
    prefill_run p = {0};
    bench_times mine = {0}, peer = {0};
    int rc = ids_prefill_open(j, &p);
    const uint32_t n = (uint32_t)p.ids.n;
    bool peers = j->peers && bench_llama();
    for (uint32_t r = 0; r <= j->runs && !rc && !cli_cancel; r++) {
        double t;
        rc = ids_prefill_once(j, &p, &t);
        if (!rc && r) bench_time(&mine, t);
        if (!rc && r && peers && !bench_llama_prefill(&j->s, &n, 1, &peer)) {
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
    free(mine.p), free(peer.p), free(p.out);
    ints_free(&p.ids);
    strata_ctx_close(p.ctx);
    return rc;
}

/* ---- --decode: token by token ---- */

/* One token, then n more, greedily, as a text is written. */
static int ids_decode_once(strata_ctx *ctx, int32_t first, uint32_t n, double *seconds)
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
    return rc ? cli_fail_by(rc, &e) : CLI_OK;
}

int bench_decode(const bench_job *j, bench_rows *rows)
{
    bench_times mine = {0}, peer = {0};
    strata_error e = {0};
    strata_ctx *ctx = NULL;
    if (!j->s.info.has_logits) return cli_fail(CLI_USAGE, "--decode: the model has no logits");
    strata_ctx_opts o = {.n_threads = j->s.threads,
                         .precision = j->s.precision,
                         .n_seqs = 1,
                         .n_ctx = j->decode + 2,
                         .kv = STRATA_KV_F16};
    int rc = strata_ctx_open(j->s.model, &o, &ctx, &e);
    if (rc) rc = cli_fail_by(rc, &e);
    bool peers = j->peers && bench_llama();
    for (uint32_t r = 0; r <= j->runs && !rc && !cli_cancel; r++) {
        double t;
        /* Another first token each time, so that nothing of the sequence is kept from the run before. */
        rc = ids_decode_once(ctx, (int32_t)(r & 1), j->decode, &t);
        if (!rc && r) bench_time(&mine, t);
        if (!rc && r && peers && !bench_llama_decode(&j->s, j->decode, &peer)) {
            cli_warn("llama-bench failed with this model");
            peers = false;
        }
    }
    if (!rc) {
        bench_row *row = bench_add(rows, "decode");
        row->tokens = j->decode;
        row->texts = 1;
        bench_times_take(&mine, &row->best, &row->median);
        bench_times_take(&peer, &row->peer_best, &row->peer_median);
    }
    free(mine.p), free(peer.p);
    strata_ctx_close(ctx);
    return rc;
}
