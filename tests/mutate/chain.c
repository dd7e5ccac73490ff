/* chain.c: one file through every call. Each failure is one of the codes and says something; a result that is said to
 * be in order has no NaN and no infinity. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "mutate/mutate.h"

enum { WIDE = 1 << 16, N_IDS = 6, N_CTX = 40 };

static void swallow(void *user, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) *(volatile unsigned *)user += (unsigned char)text[i];
}

static void on_log(void *user, int level, const char *msg)
{
    (void)level;
    swallow(user, msg, strlen(msg));
}

/* The status of a call, which has to be one. */
static int call(worker *w, const char *name, int rc, const strata_error *e)
{
    if (rc == STRATA_NONFINITE) w->p->nonfinite++;
    if (rc == STRATA_OK) return rc;
    if (strcmp(strata_status_name(rc), "UNKNOWN") == 0 || rc == STRATA_INTERNAL)
        mutate_found(w, "%s: status %d '%s'", name, rc, e->msg);
    else if (e->code != rc || !e->msg[0])
        mutate_found(w, "%s: status %d, but the message is of %d: '%s'", name, rc, e->code, e->msg);
    return rc;
}

static void finite(worker *w, const char *name, int rc, const float *v, size_t n)
{
    for (size_t i = 0; rc == STRATA_OK && i < n; i++)
        if (!isfinite(v[i])) {
            mutate_found(w, "%s: OK, but value %zu of %zu is %g", name, i, n, (double)v[i]);
            return;
        }
}

static void tokens(worker *w, const strata_model *m, unsigned *sink)
{
    static const char text[] = "a b\xc3\xa9 </s> [SEP] \xe4\xb8\xad.";
    int32_t ids[64];
    strata_span spans[64];
    char back[512];
    const char *piece;
    size_t n = 0, len;
    strata_error e = {0};
    for (unsigned flags = 0; flags < 8; flags += 3) {
        int rc = strata_tokenize(m, text, sizeof text - 1, flags, ids, spans, 64, &n, &e);
        if (call(w, "tokenize", rc, &e)) continue;
        for (size_t i = 0; i < n; i++) {
            if (spans[i].begin > spans[i].end || spans[i].end > sizeof text - 1) mutate_found(w, "a span is outside");
            if (strata_token_piece(m, ids[i], &piece, &len, NULL) == STRATA_OK) swallow(sink, piece, len);
        }
        rc = strata_detokenize(m, ids, n, back, sizeof back, &len, &e);
        if (rc != STRATA_TOO_LONG) call(w, "detokenize", rc, &e);
    }
    strata_message msg = {.role = {"user", 4}, .content = {"hi", 2}};
    call(w, "chat", strata_chat_render(m, &msg, 1, NULL, back, 0, &len, &e), &e);
}

static void facts(const strata_model *m, const strata_model_info *i, unsigned *sink)
{
    const char *strings[] = {i->arch, i->name, i->tokenizer, i->cpu, i->prompt_query, i->prompt_document}, *name;
    uint32_t n;
    uint64_t bytes;
    size_t len;
    for (size_t k = 0; k < sizeof strings / sizeof *strings; k++)
        if (strings[k]) swallow(sink, strings[k], strlen(strings[k]));
    for (uint32_t k = 0; strata_model_get_type(m, k, &name, &n, &bytes); k++) swallow(sink, name, strlen(name));
    for (uint32_t k = 0; strata_model_get_label(m, k, &name, &len); k++) swallow(sink, name, len);
    (void)strata_model_print_plan(m, swallow, sink, NULL);
}

static void eval(worker *w, strata_ctx *c, const strata_model_info *i, float *v, int what, const char *name)
{
    size_t rows = 0, cols = 0;
    int32_t ids[N_IDS];
    strata_error e = {0};
    for (uint32_t k = 0; k < N_IDS; k++) ids[k] = (int32_t)((k * 7 + 1) % i->n_vocab);
    int rc = strata_eval(c, ids, NULL, i->n_ctx < N_IDS ? 1 : N_IDS, what, 0, v, WIDE, &rows, &cols, &e);
    if (call(w, name, rc, &e) == STRATA_OK) finite(w, name, rc, v, rows * cols);
}

static void texts(worker *w, strata_ctx *c, const strata_model_info *i, float *v)
{
    strata_text t[2] = {{"ab c", 4}, {"</s> x", 6}};
    strata_embed_item items[2];
    strata_embed_opts o = {.truncate = STRATA_TRUNCATE_END, .role = STRATA_ROLE_QUERY};
    strata_rank_opts ro = {.truncate = STRATA_TRUNCATE_END};
    strata_error e = {0};
    float scores[2];
    if (!i->can_embed) o.pooling = STRATA_POOLING_LAST;
    if (i->n_embd_out <= WIDE / 2) {
        int rc = strata_embed(c, t, 2, &o, v, i->n_embd_out, items, &e);
        for (int k = 0; call(w, "embed", rc, &e) == STRATA_OK && k < 2; k++)
            finite(w, "embed", items[k].status, v + (size_t)k * i->n_embd_out, i->n_embd_out);
    }
    int rc = strata_rank(c, t[0], t, 2, &ro, scores, items, &e);
    if (call(w, "rank", rc, &e) != STRATA_OK) return;
    for (int k = 0; k < 2; k++) finite(w, "rank", items[k].status, &scores[k], 1);
}

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *t)
{
    worker *w = user;
    if (t && !isfinite(t->logprob)) mutate_found(w, "generate: log-probability %g", t->logprob);
    for (uint32_t i = 0; t && i < t->n_top; i++)
        if (isnan(t->top[i].logprob)) mutate_found(w, "generate: log-probability of a best token is NaN");
    unsigned sink = 0;
    swallow(&sink, text, len);
    return 0;
}

static void generate(worker *w, strata_ctx *c, const strata_model_info *i)
{
    int32_t ids[3];
    strata_error e = {0};
    strata_gen_opts o = strata_gen_default();
    for (uint32_t k = 0; k < 3; k++) ids[k] = (int32_t)((k * 5 + 2) % i->n_vocab);
    o.max_tokens = 6;
    o.seed = 1;
    o.json_schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}";
    o.logprobs = 1;
    o.n_top = 3;
    o.on_text = on_text;
    o.user = w;
    call(w, "generate", strata_generate(c, 0, ids, 3, &o, NULL, &e), &e);
}

static void run(worker *w, const strata_model *m, const strata_model_info *i, int precision, int kv)
{
    strata_ctx *c = NULL;
    strata_error e = {0};
    strata_ctx_opts o = {
        .n_threads = 1, .precision = precision, .n_seqs = 1, .n_ctx = i->n_ctx < N_CTX ? i->n_ctx : N_CTX, .kv = kv};
    if (call(w, "context", strata_ctx_open(m, &o, &c, &e), &e)) return;
    float *v = malloc(WIDE * sizeof *v);
    if (v) {
        if (i->has_logits) eval(w, c, i, v, STRATA_EVAL_LOGITS, "logits");
        eval(w, c, i, v, STRATA_EVAL_HIDDEN, "hidden");
        texts(w, c, i, v);
        generate(w, c, i);
    }
    free(v);
    strata_ctx_close(c);
}

static void on_check(void *user, const strata_verify_check *check)
{
    swallow(user, check->found, strlen(check->found));
}

void mutate_chain(worker *w, const char *path, uint64_t *r)
{
    unsigned sink = 0;
    strata_allocator a = mutate_allocator(w);
    strata_error e = {0};
    int precision = mutate_rng(r) % 4 == 0 ? STRATA_PRECISION_F32 : STRATA_PRECISION_I8, kv = (int)(mutate_rng(r) % 3);
    bool verifies = mutate_rng(r) % 4 == 0, opened = false;
    strata_model_opts o = {.n_threads = 1,
                           .memory_cap = (uint64_t)64 << 20,
                           .log = on_log,
                           .log_user = &sink,
                           .log_level = STRATA_LOG_DEBUG,
                           .no_mmap = mutate_rng(r) % 2 == 0,
                           .allocator = &a};
    for (o.vocab_only = 0; o.vocab_only < 2; o.vocab_only++) {
        strata_model *m = NULL;
        strata_model_info i;
        if (call(w, "open", strata_model_open(path, &o, &m, &e), &e)) {
            if (m) mutate_found(w, "open: failed, but there is a model");
            continue;
        }
        opened |= !o.vocab_only;
        strata_model_get_info(m, &i);
        facts(m, &i, &sink);
        if (!o.vocab_only || !opened) tokens(w, m, &sink);
        if (!o.vocab_only) run(w, m, &i, precision, kv);
        strata_model_close(m);
    }
    if (opened)
        w->p->opened++;
    else
        w->p->refused++;
    char out[MUTATE_PATH];
    snprintf(out, sizeof out, "%s/q.gguf", w->dir);
    strata_quantize_opts q = {.n_threads = 1, .allocator = &a};
    int rc = strata_quantize(path, out, mutate_rng(r) % 2 ? "Q8_0" : "Q4_K_M", &q, &e);
    call(w, "quantize", rc, &e);
    (void)remove(out);
    int passed = 0;
    strata_verify_opts v = {.n_threads = 1, .allocator = &a};
    if (opened && verifies) call(w, "verify", strata_verify(path, &v, on_check, &sink, &passed, &e), &e);
}
