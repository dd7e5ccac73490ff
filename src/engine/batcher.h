/* batcher.h: token sequences of any number -> runs of the backend -> a row for each, in any order.
 *
 * Sequences are sorted, longest first, so that groups of tokens are full and the last ones small; results come back
 * with the sequence's own index. */
#ifndef ST_ENGINE_BATCHER_H
#define ST_ENGINE_BATCHER_H

#include <limits.h>

#include "base/os/thread.h"
#include "engine/engine.h"

typedef struct st_item {
    size_t index;      /* of the caller's text */
    size_t at;         /* first token in st_batcher.ids */
    uint32_t n_tokens; /* at least 1 */
    uint32_t n_first;  /* tokens of type 0; the rest have type 1. Only if typed */
} st_item;

typedef struct st_batcher {
    strata_ctx *ctx;
    const int32_t *ids;
    st_item *items; /* [n], sorted by the run */
    size_t n;
    bool typed;
    int what, pooling;
    uint32_t width; /* of a row; HIDDEN has a row a token, POOLED one */
    const volatile int *cancel;
    double deadline; /* on st_now's clock, 0: none */

    /* Where the rows of a sequence go; NULL: into memory of the batcher, valid in `deliver`. */
    float *(*target)(void *user, const st_item *s);
    /* Rows are there; status is STRATA_OK or NONFINITE. On the calling thread. */
    void (*deliver)(void *user, const st_item *s, int status, const float *rows);
    /* Sequences finished so far; may be NULL. One call at a time, on any thread of the run. */
    void (*progress)(void *user, size_t done);
    void *user;

    st_lock lock;
    size_t done;
} st_batcher;

/* Errors: NO_MEMORY, CANCELLED, DEADLINE. */
int st_batcher_run(st_batcher *b, strata_error *err);

/* The status of an item whose rows are not complete yet: no caller ever sees it. */
#define ST_ITEM_PENDING INT_MAX

/* For a call that fails as a whole: an item that was not done gets its status and message. Returns whether it was one
 * of these or had failed before, so that its rows are to be NaN. */
bool st_item_abandon(strata_embed_item *item, int status, const char *msg);

/* Fills rows that are no result with NaN. */
void st_nan_row(float *row, size_t n);

/* CANCELLED or DEADLINE if it is time to stop. */
int st_stopped(const volatile int *cancel, double deadline, strata_error *err);

#endif
