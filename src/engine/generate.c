/* generate.c: prompt -> tokens, one at a time: run, mask, sample, stream, until something ends it. */
#include <math.h>
#include <string.h>

#include "base/os/thread.h"
#include "base/utf8.h"
#include "engine/batcher.h"
#include "engine/engine.h"
#include "engine/stream.h"
#include "engine/think.h"
#include "grammar/grammar.h"
#include "grammar/schema/schema.h"
#include "sample/sampler.h"

#define MAX_PIECE 4096u /* bytes of one token that are streamed: real ones are far shorter; beyond this they are cut */

typedef struct job {
    strata_ctx *ctx;
    const strata_model *m;
    const strata_gen_opts *o;
    strata_gen_result *result;
    uint32_t seq;
    int32_t *ids; /* [n_ctx] prompt and answer */
    uint32_t n;
    st_sampler *sampler;
    st_grammar *grammar;
    st_grammar_state *state, *probe; /* probe: for what follows the end of thinking in one token */
    st_think *think;                 /* NULL: there is none, or it has ended */
    uint32_t *mask;
    const uint32_t *allowed; /* mask, or NULL: all tokens */
    st_stream stream;
    double deadline;
} job;

/* ---- the vocabulary as grammars see it --------------------------------------------------------------------------- */

typedef struct view {
    const st_tokenizer *t;
    char piece[MAX_PIECE];
} view;

static const uint8_t *gen_view_piece(void *user, uint32_t id, size_t *len)
{
    view *v = user;
    *len = st_tokenizer_raw(v->t, (int32_t)id, v->piece, sizeof v->piece);
    if (*len > sizeof v->piece) *len = 0; /* too long to be chosen under a grammar */
    return (const uint8_t *)v->piece;
}

static int gen_view_kind(void *user, uint32_t id)
{
    view *v = user;
    if (st_tokenizer_is_end(v->t, (int32_t)id)) return ST_PIECE_EOG;
    int type = st_tokenizer_type(v->t, (int32_t)id);
    return type == ST_TOKEN_CONTROL || type == ST_TOKEN_UNKNOWN || type == ST_TOKEN_UNUSED ? ST_PIECE_SPECIAL
                                                                                           : ST_PIECE_TEXT;
}

static int gen_open_gvocab(strata_ctx *c, strata_error *err)
{
    if (c->gvocab) return STRATA_OK;
    view v = {.t = c->model->tokenizer};
    st_vocab_view vv = {
        .n = st_tokenizer_info(v.t)->n_vocab, .user = &v, .piece = gen_view_piece, .kind = gen_view_kind};
    return st_gvocab_open(&vv, c->model->mem, &c->gvocab, err);
}

/* An error in a grammar that was made from a schema: its line and column would be those of a text that nobody wrote. */
static int gen_schema_error(strata_error *err)
{
    const char *what = err ? strstr(err->msg, ": ") : NULL;
    char msg[sizeof err->msg];
    if (!what || strncmp(err->msg, "grammar ", 8) != 0) return STRATA_BAD_GRAMMAR;
    memcpy(msg, what, strlen(what) + 1);
    ST_FAIL(err, STRATA_BAD_GRAMMAR, "the schema's grammar%s", msg);
}

/* Whether the grammar waits for the end of thinking, and which text that is. */
static int gen_open_think(job *j, strata_error *err)
{
    const strata_gen_opts *o = j->o;
    const st_tokenizer *t = j->m->tokenizer;
    const char *end[2] = {NULL, NULL};
    if (o->think == STRATA_THINK_NONE) return STRATA_OK;
    if (!st_think_opened(t, j->ids, j->n, end)) {
        if (o->think == STRATA_THINK_AUTO) return STRATA_OK;
        if (!o->think_end) st_think_end_of(t, end);
    }
    if (o->think_end) end[0] = o->think_end, end[1] = NULL;
    return st_think_open(t, end, j->m->mem, &j->think, err);
}

static int gen_open_grammar(job *j, strata_error *err)
{
    const strata_gen_opts *o = j->o;
    if (!o->grammar && !o->json_schema) return STRATA_OK;
    ST_TRY(gen_open_think(j, err));
    char *made = NULL;
    size_t len = o->grammar ? strlen(o->grammar) : 0;
    if (o->json_schema) ST_TRY(st_schema_to_gbnf(o->json_schema, strlen(o->json_schema), j->m->mem, &made, &len, err));
    int rc = gen_open_gvocab(j->ctx, err);
    if (!rc) /* models leave an empty line after their thoughts */
        rc = (j->think ? st_grammar_open_spaced : st_grammar_open)(made ? made : o->grammar, len, j->ctx->gvocab,
                                                                   j->m->mem, &j->grammar, err);
    st_free(j->m->mem, made);
    if (rc == STRATA_BAD_GRAMMAR && o->json_schema) return gen_schema_error(err);
    ST_TRY(rc);
    ST_TRY(st_grammar_state_open(j->grammar, &j->state, err));
    if (j->think) ST_TRY(st_grammar_state_open(j->grammar, &j->probe, err));
    /* Rows of the output matrix past the vocabulary are never allowed: their bits stay 0. */
    size_t words = ((size_t)j->m->weights.n_vocab + 31) / 32;
    j->mask = st_calloc(j->m->mem, words, sizeof *j->mask);
    ST_FAIL_IF(!j->mask, err, STRATA_NO_MEMORY, "no memory for a mask of %u tokens", j->m->weights.n_vocab);
    return STRATA_OK;
}

/* ---- one step ---------------------------------------------------------------------------------------------------- */

static bool gen_ends(const job *j, int32_t id)
{
    const strata_gen_opts *o = j->o;
    for (size_t i = 0; i < o->n_stop_tokens; i++)
        if (o->stop_tokens[i] == id) return true;
    return false;
}

/* A token of the output matrix beyond the vocabulary has no text. */
static bool gen_has_text(const job *j, int32_t id)
{
    if ((uint32_t)id >= st_tokenizer_info(j->m->tokenizer)->n_vocab) return false;
    int type = st_tokenizer_type(j->m->tokenizer, id);
    return type != ST_TOKEN_CONTROL && type != ST_TOKEN_UNUSED;
}

static bool gen_tell(const job *j, const strata_gen_token *token)
{
    if (!j->o->on_text) return true;
    bool inside = st_fp_out();
    int over = j->o->on_text(j->o->user, j->stream.n_ready ? j->stream.ready : "", j->stream.n_ready, token);
    st_fp_back(inside);
    return over == 0;
}

/* The text of a token goes on its way. *finish: set if that ends the generation. */
static int gen_stream(job *j, const st_sampled *s, int *finish, strata_error *err)
{
    char piece[MAX_PIECE];
    size_t len = gen_has_text(j, s->id) ? st_tokenizer_raw(j->m->tokenizer, s->id, piece, sizeof piece) : 0;
    bool stopped;
    ST_TRY(st_stream_add(&j->stream, piece, len < sizeof piece ? len : sizeof piece, &stopped, err));
    strata_gen_token token = {.id = s->id, .logprob = s->logprob, .top = s->top, .n_top = s->n_top};
    bool go_on = gen_tell(j, &token);
    if (stopped)
        *finish = STRATA_FINISH_STOP;
    else if (!go_on)
        *finish = STRATA_FINISH_CALLER;
    return STRATA_OK;
}

/* Which tokens may come next. */
static int gen_allow(job *j, strata_error *err)
{
    j->allowed = NULL;
    if (!j->state) return STRATA_OK;
    j->allowed = j->mask;
    if (!j->think) return st_grammar_mask(j->state, j->mask, err);
    size_t words = ((size_t)j->m->weights.n_vocab + 31) / 32;
    bool any = false;
    memset(j->mask, 0xff, words * sizeof *j->mask);
    ST_TRY(st_think_mask(j->think, j->state, j->probe, j->mask, &any, err));
    if (!any) j->allowed = NULL;
    return STRATA_OK;
}

/* The logits of the next token, as many as the sampler looks at. */
static int gen_run(job *j, float **logits, strata_error *err)
{
    int32_t ids[ST_WANTED_MAX];
    ST_TRY(gen_allow(j, err));
    st_wanted w = {.mask = j->allowed, .ids = ids};
    bool some = st_sampler_wants(j->sampler, ST_WANTED_MAX, &w.k, ids, ST_WANTED_MAX, &w.n_ids);
    uint32_t reused;
    ST_TRY(st_seq_sync(j->ctx, j->seq, j->ids, j->n, j->o->chunk, some ? &w : NULL, j->o->cancel, j->deadline, logits,
                       &reused, err));
    if (j->result->n_new == 0) j->result->n_cached = reused;
    return STRATA_OK;
}

/* The grammar, or the thinking before it, goes on by a token. */
static int gen_follow(job *j, int32_t id, strata_error *err)
{
    const uint8_t *rest;
    size_t n = 0;
    if (!j->state) return STRATA_OK;
    if (!j->think) return st_grammar_accept(j->state, (uint32_t)id, err);
    j->result->n_think++;
    st_think_accept(j->think, id, &rest, &n);
    if (st_think_is_on(j->think)) return STRATA_OK;
    if (n) ST_TRY(st_grammar_accept_bytes(j->state, rest, n, err));
    st_think_close(j->think);
    j->think = NULL;
    memset(j->mask, 0, ((size_t)j->m->weights.n_vocab + 31) / 32 * sizeof *j->mask);
    return STRATA_OK;
}

/* An end token that ends this generation. Where a grammar holds it is one of its tokens. */
static bool gen_is_end(const job *j, int32_t id)
{
    if ((uint32_t)id >= st_tokenizer_info(j->m->tokenizer)->n_vocab || !st_tokenizer_is_end(j->m->tokenizer, id))
        return false;
    if (j->think && st_think_passes(j->think, id)) return false;
    return (j->state && !j->think) || !j->o->ignore_end;
}

static int gen_step(job *j, float *logits, int *finish, strata_error *err)
{
    const strata_gen_opts *o = j->o;
    st_sampled s;
    ST_TRY(st_sampler_sample(j->sampler, logits, j->allowed, &s, err));
    if (gen_ends(j, s.id)) {
        *finish = STRATA_FINISH_STOP;
        return STRATA_OK;
    }
    if (gen_is_end(j, s.id)) {
        *finish = STRATA_FINISH_END;
        return STRATA_OK;
    }
    st_sampler_accept(j->sampler, s.id);
    ST_TRY(gen_follow(j, s.id, err));
    j->ids[j->n++] = s.id;
    j->result->n_new++;
    ST_TRY(gen_stream(j, &s, finish, err));
    if (*finish) return STRATA_OK;
    if (j->state && !j->think && st_grammar_is_complete(j->state))
        *finish = STRATA_FINISH_GRAMMAR;
    else if (o->max_tokens && j->result->n_new >= o->max_tokens)
        *finish = STRATA_FINISH_LENGTH;
    else if (j->n >= j->ctx->n_ctx)
        *finish = STRATA_FINISH_CONTEXT;
    return STRATA_OK;
}

static int gen_loop(job *j, strata_error *err)
{
    strata_gen_result *r = j->result;
    const strata_gen_opts *o = j->o;
    int finish = 0;
    double start = st_now();
    if (j->n >= j->ctx->n_ctx)
        ST_FAIL(err, STRATA_TOO_LONG, "a prompt of %u tokens leaves no room in a context of %u", j->n, j->ctx->n_ctx);
    while (!finish) {
        float *logits;
        ST_TRY(st_stopped(o->cancel, j->deadline, err));
        ST_TRY(gen_run(j, &logits, err));
        if (r->n_new == 0) {
            r->prompt_ms = (st_now() - start) * 1e3;
            start = st_now();
        }
        ST_TRY(gen_step(j, logits, &finish, err));
    }
    r->finish = finish;
    r->unfinished = j->state && (j->think || !st_grammar_is_done(j->state));
    r->decode_ms = (st_now() - start) * 1e3;
    /* After a stop text nothing is left; a caller that has ended the generation is not called again. */
    if (finish == STRATA_FINISH_CALLER || (finish == STRATA_FINISH_STOP && j->stream.n == 0)) return STRATA_OK;
    ST_TRY(st_stream_end(&j->stream, err));
    if (j->stream.n_ready) gen_tell(j, NULL);
    return STRATA_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int gen_open_sampler(job *j, strata_error *err)
{
    const strata_gen_opts *o = j->o;
    st_sampler_params p = {.logit_bias = o->logit_bias,
                           .n_logit_bias = o->n_logit_bias,
                           .logprobs = o->logprobs != 0,
                           .n_top = o->n_top,
#define SAME(o, kind, name, ...) .name = (o)->name,
                           ST_KNOBS(SAME, o)};
    return st_sampler_open(&p, j->m->weights.n_vocab, j->m->mem, &j->sampler, err);
}

static int gen_check(const strata_ctx *c, uint32_t seq, size_t n, const strata_gen_opts *o, strata_error *err)
{
    ST_FAIL_IF(c->n_seqs == 0, err, STRATA_UNSUPPORTED_OP, "the context was opened without sequences (n_seqs)");
    ST_FAIL_IF(seq >= c->n_seqs, err, STRATA_INVALID_ARG, "sequence %u: the context has 0..%u", seq, c->n_seqs - 1);
    ST_FAIL_IF(n > c->n_ctx, err, STRATA_TOO_LONG, "%zu tokens, the context holds %u", n, c->n_ctx);
    ST_FAIL_IF(o->grammar && o->json_schema, err, STRATA_INVALID_ARG, "a grammar and a JSON schema: only one can hold");
    ST_FAIL_IF(o->think < STRATA_THINK_AUTO || o->think > STRATA_THINK_FREE, err, STRATA_INVALID_ARG,
               "think: %d, want a strata_think", o->think);
    size_t end = o->think_end ? strlen(o->think_end) : 1;
    ST_FAIL_IF(end == 0, err, STRATA_INVALID_ARG, "think_end is empty, want the text that ends thinking");
    ST_FAIL_IF(o->think_end && st_utf8_check(o->think_end, end) < end, err, STRATA_INVALID_ARG,
               "think_end: byte %zu is not UTF-8", st_utf8_check(o->think_end, end));
    ST_FAIL_IF(o->deadline_ms < 0 || !isfinite(o->deadline_ms), err, STRATA_INVALID_ARG, "deadline_ms: %g, want >= 0",
               o->deadline_ms);
    ST_FAIL_IF((o->n_stop && !o->stop) || (o->n_stop_tokens && !o->stop_tokens), err, STRATA_INVALID_ARG,
               "stop: NULL but not empty");
    for (size_t i = 0; i < o->n_stop; i++) {
        size_t len = o->stop[i] ? strlen(o->stop[i]) : 0, good = len ? st_utf8_check(o->stop[i], len) : 0;
        ST_FAIL_IF(len == 0, err, STRATA_INVALID_ARG, "stop text %zu is empty", i);
        /* Had it started inside a character, it would hold back the half that the text is left with. */
        ST_FAIL_IF(good < len, err, STRATA_INVALID_ARG, "stop text %zu: byte %zu is not UTF-8", i, good);
    }
    return STRATA_OK;
}

static int gen_prepare(job *j, const int32_t *ids, size_t n, strata_error *err)
{
    j->ids = st_alloc(j->m->mem, j->ctx->n_ctx, sizeof *j->ids);
    ST_FAIL_IF(!j->ids, err, STRATA_NO_MEMORY, "no memory for %u tokens", j->ctx->n_ctx);
    if (n) memcpy(j->ids, ids, n * sizeof *ids);
    j->n = (uint32_t)n;
    ST_TRY(gen_open_sampler(j, err));
    for (size_t i = 0; i < n; i++) st_sampler_accept(j->sampler, ids[i]);
    return gen_open_grammar(j, err);
}

int st_generate(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, const strata_gen_opts *o,
                strata_gen_result *result, strata_error *err)
{
    ST_TRY(gen_check(c, seq, n, o, err));
    *result = (strata_gen_result){.n_prompt = (uint32_t)n};
    st_mem *mem = c->model->mem;
    job j = {.ctx = c,
             .m = c->model,
             .o = o,
             .result = result,
             .seq = seq,
             .stream = {.stop = o->stop, .n_stop = o->n_stop, .mem = mem}};
    if (o->deadline_ms > 0) j.deadline = st_now() + o->deadline_ms * 1e-3;
    int rc = gen_prepare(&j, ids, n, err);
    if (!rc) rc = gen_loop(&j, err);
    st_think_close(j.think);
    st_grammar_state_close(j.probe);
    if (rc == STRATA_CANCELLED || rc == STRATA_DEADLINE || rc == STRATA_NO_MEMORY) c->seqs[seq].ready = false;
    st_grammar_state_close(j.state);
    st_grammar_close(j.grammar);
    st_sampler_close(j.sampler);
    st_stream_free(&j.stream);
    st_free(mem, j.mask);
    st_free(mem, j.ids);
    return rc;
}
