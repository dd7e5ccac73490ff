/* batcher.c: sorts token sequences, cuts them into runs, and hands rows back to their texts. */
#include "engine/batcher.h"

#include <stdlib.h>
#include <string.h>

#include "base/format.h"

/* Sequences in one run of the backend: bounds the memory for rows that are cut before the caller gets them. */
#define CHUNK 1024u
/* Tokens in one run, so that counts stay far inside 32 bits. */
#define CHUNK_TOKENS (1u << 24)

int st_stopped(const volatile int *cancel, double deadline, strata_error *err)
{
    if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED)) ST_FAIL(err, STRATA_CANCELLED, "cancelled");
    ST_FAIL_IF(deadline > 0 && st_now() > deadline, err, STRATA_DEADLINE,
               "the deadline passed before the run was done");
    return STRATA_OK;
}

bool st_item_abandon(strata_embed_item *item, int status, const char *msg)
{
    if (item->status == ST_ITEM_PENDING) {
        item->status = status;
        (void)st_format(item->msg, sizeof item->msg, "%s", msg);
    }
    return item->status != STRATA_OK;
}

void st_nan_row(float *row, size_t n)
{
    static const uint32_t quiet_nan = 0x7fc00000u; /* the one NaN that is ever written out */
    for (size_t i = 0; i < n; i++) memcpy(row + i, &quiet_nan, sizeof *row);
}

static int batcher_longest_first(const void *a, const void *b)
{
    const st_item *x = a, *y = b;
    if (x->n_tokens != y->n_tokens) return x->n_tokens < y->n_tokens ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static void batcher_on_progress(void *user, uint32_t n)
{
    st_batcher *b = user;
    if (!b->progress) return;
    st_lock_take(&b->lock);
    b->done += n;
    b->progress(b->user, b->done);
    st_lock_give(&b->lock);
}

/* The arrays of one run. */
typedef struct chunk {
    int32_t *ids, *types;
    uint32_t *starts;
    float **out;
    int *status;
    float *rows;
} chunk;

static size_t batcher_rows_of(const st_batcher *b, const st_item *s)
{
    return b->what == STRATA_EVAL_HIDDEN ? s->n_tokens : 1;
}

static void batcher_fill(const st_batcher *b, const st_item *items, uint32_t n, chunk *c)
{
    float *row = c->rows;
    c->starts[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        const st_item *s = &items[i];
        uint32_t at = c->starts[i];
        memcpy(c->ids + at, b->ids + s->at, s->n_tokens * sizeof *c->ids);
        for (uint32_t t = 0; b->typed && t < s->n_tokens; t++) c->types[at + t] = t >= s->n_first;
        c->starts[i + 1] = at + s->n_tokens;
        c->out[i] = b->target ? b->target(b->user, s) : row;
        if (!b->target) row += batcher_rows_of(b, s) * b->width;
    }
}

static int batcher_run_chunk(st_batcher *b, const st_item *items, uint32_t n, strata_error *err)
{
    st_mem *mem = b->ctx->model->mem;
    size_t n_tokens = 0, n_rows = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_tokens += items[i].n_tokens;
        n_rows += batcher_rows_of(b, &items[i]);
    }
    chunk c = {.ids = st_alloc(mem, n_tokens, sizeof *c.ids),
               .types = b->typed ? st_alloc(mem, n_tokens, sizeof *c.types) : NULL,
               .starts = st_alloc(mem, (size_t)n + 1, sizeof *c.starts),
               .out = st_alloc(mem, n, sizeof *c.out),
               .status = st_calloc(mem, n, sizeof *c.status),
               .rows = b->target ? NULL : st_alloc(mem, n_rows, b->width * sizeof(float))};
    int rc = STRATA_OK;
    if (!c.ids || (b->typed && !c.types) || !c.starts || !c.out || !c.status || (!b->target && !c.rows))
        rc = st_error_set(err, STRATA_NO_MEMORY, "no memory for a batch of %u texts, %zu tokens", n, n_tokens);
    if (!rc) {
        batcher_fill(b, items, n, &c);
        st_batch batch = {.n_seqs = n,
                          .n_tokens = (uint32_t)n_tokens,
                          .ids = c.ids,
                          .types = c.types,
                          .starts = c.starts,
                          .what = b->what,
                          .pooling = b->pooling,
                          .out = c.out,
                          .status = c.status,
                          .cancel = b->cancel,
                          .deadline = b->deadline,
                          .progress = batcher_on_progress,
                          .progress_user = b};
        rc = b->ctx->model->backend->run(b->ctx->state, &batch, err);
    }
    for (uint32_t i = 0; !rc && i < n; i++) b->deliver(b->user, &items[i], c.status[i], c.out[i]);
    st_free(mem, c.ids);
    st_free(mem, c.types);
    st_free(mem, c.starts);
    st_free(mem, c.out);
    st_free(mem, c.status);
    st_free(mem, c.rows);
    return rc;
}

static uint32_t batcher_chunk_len(const st_batcher *b, size_t from)
{
    uint64_t tokens = 0;
    uint32_t n = 0;
    for (; from + n < b->n && n < CHUNK; n++) {
        tokens += b->items[from + n].n_tokens;
        if (n && tokens > CHUNK_TOKENS) break;
    }
    return n;
}

int st_batcher_run(st_batcher *b, strata_error *err)
{
    ST_TRY(st_lock_open(&b->lock, err));
    if (b->n) qsort(b->items, b->n, sizeof *b->items, batcher_longest_first);
    int rc = STRATA_OK;
    for (size_t i = 0; i < b->n && !rc;) {
        uint32_t n = batcher_chunk_len(b, i);
        rc = batcher_run_chunk(b, b->items + i, n, err);
        i += n;
    }
    st_lock_close(&b->lock);
    return rc;
}
