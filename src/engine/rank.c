/* rank.c: query and passage in one sequence -> a score of the classification head. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/format.h"
#include "base/math.h"
#include "base/utf8.h"
#include "engine/batcher.h"

/* A decoder's template, cut at its placeholders. */
enum { OWN, QUERY, DOCUMENT };
enum { MAX_TEMPLATE_PARTS = 32 };

typedef struct template_part {
    int what;
    st_str text; /* of OWN */
} template_part;

typedef struct job {
    strata_ctx *ctx;
    const strata_model *m;
    strata_rank_opts opts;
    unsigned flags; /* of tokenizing user text */
    double deadline;
    template_part template[MAX_TEMPLATE_PARTS];
    size_t n_template; /* 0: a pair of segments */
    strata_text query;
    const strata_text *passages;
    size_t n;
    float *scores;
    strata_embed_item *items;
    st_tokens tokens; /* of all pairs */
    st_stop stop;
    st_item *todo;
    size_t n_todo;
    uint32_t yes; /* which of two labels is "yes" */
} job;

static void rank_fail_item(strata_embed_item *item, int status, const char *msg)
{
    item->status = status;
    (void)st_format(item->msg, sizeof item->msg, "%s", msg);
}

/* ---- one pair -> tokens ------------------------------------------------------------------------------------------ */

static int rank_encode(job *j, strata_text t, unsigned flags, strata_error *err)
{
    return st_tokenizer_encode(j->m->tokenizer, t.ptr ? t.ptr : "", t.len, flags, &j->tokens, err);
}

static int rank_push(job *j, int32_t id, strata_error *err)
{
    st_tokens *t = &j->tokens;
    ST_FAIL_IF(!st_grow(t->mem, &t->ids, &t->cap, t->n + 1, t->n, sizeof *t->ids), err, STRATA_NO_MEMORY,
               "no memory for a token");
    t->ids[t->n++] = id;
    return STRATA_OK;
}

/* Positions in the tokens of a pair. */
typedef struct layout {
    struct {
        size_t at, end; /* tokens of the query alone, in order: a template may hold it more than once */
    } query[MAX_TEMPLATE_PARTS];
    size_t n_query;
    size_t passage, passage_end; /* tokens of the passage alone */
    size_t second;               /* first token of the second segment */
} layout;

/* Two separators between the segments, as RoBERTa and XLM-R have (<s> A </s></s> B </s>), when the file says so or,
 * where it says nothing, by how they spell what stands around a text. HF: RobertaProcessing and kin. */
static bool rank_doubled_separator(const strata_model *m, int32_t first, int32_t last)
{
    bool says = false;
    const st_gguf_kv *kv = st_gguf_find(&m->gguf, "tokenizer.ggml.add_sep_token");
    if (kv && st_gguf_bool_or(&m->gguf, "tokenizer.ggml.add_sep_token", false, &says, NULL) == STRATA_OK)
        return says && strcmp(m->tokenizer_name, "bert") != 0;
    return st_tokenizer_info(m->tokenizer)->add_bos && !m->config.causal &&
           st_str_eq(st_tokenizer_piece(m->tokenizer, first), "<s>") &&
           st_str_eq(st_tokenizer_piece(m->tokenizer, last), "</s>");
}

/* [CLS] query [SEP] passage [SEP]: what HF's post-processors make of a pair. */
static int rank_encode_pair(job *j, size_t i, layout *l, strata_error *err)
{
    const st_token_info *info = st_tokenizer_info(j->m->tokenizer);
    size_t start = j->tokens.n;
    ST_TRY(rank_encode(j, j->query, j->flags | STRATA_TOKENIZE_ADD_SPECIAL, err));
    bool closed = info->add_eos && j->tokens.n > start;
    int32_t end = closed ? j->tokens.ids[j->tokens.n - 1] : -1;
    size_t first = start + (info->add_bos && j->tokens.n > start), after = j->tokens.n - closed;
    l->query[0].at = first < after ? first : after;
    l->query[0].end = after;
    l->n_query = 1;
    if (closed && rank_doubled_separator(j->m, j->tokens.ids[start], end)) ST_TRY(rank_push(j, end, err));
    l->second = l->passage = j->tokens.n;
    ST_TRY(rank_encode(j, j->passages[i], j->flags, err));
    l->passage_end = j->tokens.n;
    return closed ? rank_push(j, end, err) : STRATA_OK;
}

static int rank_check_utf8(strata_text t, const char *what, strata_error *err)
{
    size_t bad = t.len ? st_utf8_check(t.ptr, t.len) : 0;
    ST_FAIL_IF(bad < t.len, err, STRATA_INVALID_ARG, "the %s is not UTF-8: byte 0x%02x at offset %zu", what,
               (uint8_t)t.ptr[bad], bad);
    return STRATA_OK;
}

/* A decoder's template is one text: its own words may be control tokens, those of query and document never are. The
 * tokens of the passage are those that stand for bytes of it alone. */
static int rank_encode_template(job *j, size_t i, layout *l, strata_error *err)
{
    strata_text_part parts[MAX_TEMPLATE_PARTS];
    strata_text query = j->query, passage = j->passages[i];
    size_t start = j->tokens.n, at = 0, begin = 0, end = 0, asked[MAX_TEMPLATE_PARTS];
    if (!j->opts.lossy) ST_TRY(rank_check_utf8(passage, "passage", err));
    for (size_t k = 0; k < j->n_template; at += parts[k++].len) {
        const template_part *t = &j->template[k];
        strata_text user = t->what == QUERY ? query : passage;
        parts[k] = t->what == OWN ? (strata_text_part){t->text.ptr, t->text.len, 1}
                                  : (strata_text_part){user.ptr, user.len, 0};
        if (t->what == QUERY) asked[l->n_query++] = at;
        if (t->what == DOCUMENT) begin = at, end = at + passage.len;
    }
    unsigned flags = STRATA_TOKENIZE_ADD_SPECIAL | (j->opts.lossy ? STRATA_TOKENIZE_LOSSY : 0);
    ST_TRY(st_tokenizer_encode_parts(j->m->tokenizer, parts, j->n_template, flags, &j->tokens, err));
    l->second = j->tokens.n;
    for (size_t k = start, q = 0; k < j->tokens.n; k++) {
        strata_span s = j->tokens.spans[k];
        if (s.begin == s.end) continue;
        if (s.begin >= begin && s.end <= end) {
            if (!l->passage_end) l->passage = k;
            l->passage_end = k + 1;
        }
        while (q < l->n_query && s.begin >= asked[q] + query.len) q++;
        if (q == l->n_query || s.begin < asked[q] || s.end > asked[q] + query.len) continue;
        if (!l->query[q].end) l->query[q].at = k;
        l->query[q].end = k + 1;
    }
    return STRATA_OK;
}

/* Takes `over` tokens out of ids[from, end), at the end or the start of them. */
static void rank_cut(job *j, size_t from, size_t end, size_t over, int side)
{
    size_t to = side == STRATA_TRUNCATE_END ? end - over : from;
    int32_t *ids = j->tokens.ids;
    memmove(ids + to, ids + to + over, (j->tokens.n - to - over) * sizeof *ids);
    j->tokens.n -= over;
}

/* A query that leaves its passage no room is cut, to half of the context at most, of which each place of it gets its
 * share. From the last one on, since what is behind it moves. */
static bool rank_fit_query(job *j, size_t start, layout *l)
{
    size_t ctx = j->m->config.n_ctx, have = l->passage_end - l->passage, share = l->n_query ? ctx / 2 / l->n_query : 0;
    bool done = false;
    if (j->opts.truncate_query == STRATA_TRUNCATE_ERROR || j->tokens.n - start - have < ctx) return false;
    for (size_t k = l->n_query; k-- > 0;) {
        size_t at = l->query[k].at, end = l->query[k].end;
        if (end - at <= share) continue;
        size_t over = end - at - share;
        rank_cut(j, at, end, over, j->opts.truncate_query);
        if (l->second > at) l->second -= over;
        if (l->passage > at) l->passage -= over, l->passage_end -= over;
        done = true;
    }
    return done;
}

/* Cuts the passage so that the pair fits. */
static int rank_fit(job *j, size_t start, layout *l, strata_embed_item *item)
{
    if (rank_fit_query(j, start, l)) item->truncated = 1;
    if (j->tokens.n - start <= j->m->config.n_ctx) return 0;
    size_t n = j->tokens.n - start, ctx = j->m->config.n_ctx, over = n - ctx, have = l->passage_end - l->passage;
    char msg[128];
    if (j->opts.truncate == STRATA_TRUNCATE_ERROR || over > have) {
        if (over > have)
            snprintf(msg, sizeof msg, "the query and the tokens around both: %zu tokens, the model's context has %zu",
                     n - have, ctx);
        else
            snprintf(msg, sizeof msg, "%zu tokens, the model's context has %zu", n, ctx);
        rank_fail_item(item, STRATA_TOO_LONG, msg);
        return -1;
    }
    rank_cut(j, l->passage, l->passage_end, over, j->opts.truncate);
    item->truncated = 1;
    return 0;
}

static int rank_tokenize_pair(job *j, size_t i, strata_error *err)
{
    strata_embed_item *item = &j->items[i];
    size_t start = j->tokens.n;
    layout l = {0};
    strata_error e = {0};
    if (j->passages[i].len && !j->passages[i].ptr) {
        rank_fail_item(item, STRATA_INVALID_ARG, "the passage is NULL but not empty");
        return STRATA_OK;
    }
    int rc = j->n_template ? rank_encode_template(j, i, &l, &e) : rank_encode_pair(j, i, &l, &e);
    if (rc && rc != STRATA_INVALID_ARG) ST_FAIL(err, rc, "%s", e.msg); /* no fault of the pair */
    if (rc) {
        j->tokens.n = start;
        rank_fail_item(item, rc, e.msg);
        return STRATA_OK;
    }
    size_t n = j->tokens.n - start;
    item->n_tokens = item->n_tokens_all = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    if (n == 0) {
        rank_fail_item(item, STRATA_EMPTY_PROMPT, "the pair has no tokens");
        return STRATA_OK;
    }
    if (n > j->m->config.n_ctx && rank_fit(j, start, &l, item)) {
        j->tokens.n = start;
        return STRATA_OK;
    }
    item->n_tokens = (uint32_t)(j->tokens.n - start);
    j->todo[j->n_todo++] =
        (st_item){.index = i, .at = start, .n_tokens = item->n_tokens, .n_first = (uint32_t)(l.second - start)};
    return STRATA_OK;
}

/* ---- scores ------------------------------------------------------------------------------------------------------ */

static void rank_deliver(void *user, const st_item *s, int status, const float *v)
{
    job *j = user;
    float *score = &j->scores[s->index];
    j->items[s->index].status = STRATA_OK;
    if (status) {
        rank_fail_item(&j->items[s->index], status, "the model gave NaN or infinity for this pair");
        return;
    }
    *score = j->m->plan.n_labels == 2 ? v[j->yes] - v[1 - j->yes] : v[0];
    if (j->opts.sigmoid) *score = (float)(1.0 / (1.0 + st_exp(-(double)*score)));
}

bool st_rank_label(const strata_model *m, uint32_t i, st_str *name)
{
    char key[96];
    snprintf(key, sizeof key, "%s.classifier.output_labels", m->config.arch->name);
    const st_gguf_kv *kv = st_gguf_find(&m->gguf, key);
    if (!kv || kv->type != ST_GGUF_ARRAY || kv->elem_type != ST_GGUF_STRING) return false;
    size_t at = 0;
    for (uint32_t k = 0; st_gguf_next_string(kv, &at, name); k++)
        if (k == i) return true;
    return false;
}

/* The file may name its labels; otherwise the first is "yes". */
static uint32_t rank_yes_label(const strata_model *m)
{
    st_str s;
    for (uint32_t i = 0; i < 2 && st_rank_label(m, i, &s); i++)
        if (st_str_eq(s, "yes")) return i;
    return 0;
}

/* Cuts the file's template, or the architecture's, at {query} and {document}. */
static int rank_find_template(job *j, strata_error *err)
{
    static const char key[] = "tokenizer.chat_template.rerank";
    static const char *const names[] = {[QUERY] = "{query}", [DOCUMENT] = "{document}"};
    const char *arch = j->m->config.arch->rank_template;
    st_str t = {arch, arch ? strlen(arch) : 0};
    if (st_gguf_find(&j->m->gguf, key)) ST_TRY(st_gguf_str(&j->m->gguf, key, &t, err));
    while (t.len) {
        int what = OWN;
        size_t at = 0, n = 0;
        for (; at < t.len && what == OWN; at += what == OWN)
            for (int k = QUERY; k <= DOCUMENT && what == OWN; k++) {
                n = strlen(names[k]);
                if (t.len - at >= n && memcmp(t.ptr + at, names[k], n) == 0) what = k;
            }
        ST_FAIL_IF(j->n_template + 2 > MAX_TEMPLATE_PARTS, err, STRATA_BAD_TEMPLATE,
                   "%s: key '%s' holds more than %d placeholders", j->m->path, key, MAX_TEMPLATE_PARTS / 2 - 1);
        if (at) j->template[j->n_template++] = (template_part){OWN, {t.ptr, at}};
        if (what == OWN) break;
        j->template[j->n_template++] = (template_part){what, {NULL, 0}};
        t.ptr += at + n;
        t.len -= at + n;
    }
    j->tokens.want_spans = j->n_template > 0;
    return STRATA_OK;
}

/* What the model lacks for ranking; finds the template on the way. */
static int rank_check_model(job *j, strata_error *err)
{
    const strata_model *m = j->m;
    ST_FAIL_IF(m->plan.head_lacks, err, STRATA_UNSUPPORTED_OP, "%s: its classification head has no %s", m->path,
               m->plan.head_lacks);
    ST_FAIL_IF(m->plan.n_labels == 0, err, STRATA_UNSUPPORTED_OP,
               "%s: not a ranking model: it has no classification head (tensor 'cls.output.weight')", m->path);
    ST_FAIL_IF(m->plan.n_labels > 2, err, STRATA_UNSUPPORTED_OP, "%s: a head of %u labels gives no score; want 1 or 2",
               m->path, m->plan.n_labels);
    return m->config.causal ? rank_find_template(j, err) : STRATA_OK;
}

bool st_rank_works(const strata_model *m)
{
    job j = {.m = m};
    return !m->vocab_only && rank_check_model(&j, NULL) == STRATA_OK;
}

static int rank_prepare(job *j, strata_ctx *c, const strata_rank_opts *opts, strata_error *err)
{
    const strata_model *m = c->model;
    *j = (job){.ctx = c, .m = m, .opts = opts ? *opts : (strata_rank_opts){0}, .tokens = {.mem = m->mem}};
    const strata_rank_opts *o = &j->opts;
    ST_FAIL_IF(o->deadline_ms < 0 || !isfinite(o->deadline_ms), err, STRATA_INVALID_ARG, "deadline_ms: %g, want >= 0",
               o->deadline_ms);
    ST_TRY(rank_check_model(j, err));
    j->yes = rank_yes_label(m);
    if (o->deadline_ms > 0) j->deadline = st_now() + o->deadline_ms * 1e-3;
    j->stop = (st_stop){o->cancel, j->deadline};
    j->tokens.stop = &j->stop;
    if (!o->plain_special) j->flags |= STRATA_TOKENIZE_PARSE_SPECIAL;
    if (o->lossy) j->flags |= STRATA_TOKENIZE_LOSSY;
    return STRATA_OK;
}

static int rank_run_all(job *j, strata_error *err)
{
    for (size_t i = 0; i < j->n; i++) {
        if (i % 64 == 0) ST_TRY(st_stopped(j->opts.cancel, j->deadline, err));
        ST_TRY(rank_tokenize_pair(j, i, err));
    }
    st_batcher b = {.ctx = j->ctx,
                    .ids = j->tokens.ids,
                    .items = j->todo,
                    .n = j->n_todo,
                    .typed = j->m->weights.n_types > 1,
                    .what = STRATA_EVAL_POOLED,
                    .pooling = STRATA_POOLING_RANK,
                    .width = j->m->plan.n_labels,
                    .cancel = j->opts.cancel,
                    .deadline = j->deadline,
                    .deliver = rank_deliver,
                    .user = j};
    return st_batcher_run(&b, err);
}

int st_rank(strata_ctx *c, strata_text query, const strata_text *passages, size_t n, const strata_rank_opts *opts,
            float *scores, strata_embed_item *items, strata_error *err)
{
    job j;
    ST_TRY(rank_prepare(&j, c, opts, err));
    if (!j.opts.lossy) ST_TRY(rank_check_utf8(query, "query", err)); /* no passage's fault */
    st_mem *mem = j.tokens.mem;
    strata_embed_item *own = items ? NULL : st_alloc(mem, n, sizeof *own);
    j.query = query;
    j.passages = passages;
    j.n = n;
    j.scores = scores;
    j.items = items ? items : own;
    j.todo = st_alloc(mem, n, sizeof *j.todo);
    strata_error why = {0};
    for (size_t i = 0; j.items && i < n; i++) j.items[i] = (strata_embed_item){.status = ST_ITEM_PENDING};
    int rc = j.items && j.todo ? rank_run_all(&j, &why)
                               : st_error_set(&why, STRATA_NO_MEMORY, "no memory for %zu passages", n);
    if (rc && err) *err = why;
    for (size_t i = 0; i < n; i++) /* whoever was not done, and whoever failed */
        if (!j.items || st_item_abandon(&j.items[i], rc, why.msg)) st_nan_row(&scores[i], 1);
    for (size_t i = 0; !rc && !items && i < n; i++)
        if (own[i].status) rc = st_error_set(err, own[i].status, "passage %zu: %s", i, own[i].msg);
    st_free(mem, own);
    st_free(mem, j.todo);
    st_tokens_free(&j.tokens);
    return rc;
}
