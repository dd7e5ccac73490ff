/* engine.h: what the two public handles hold. */
#ifndef ST_ENGINE_ENGINE_H
#define ST_ENGINE_ENGINE_H

#include "backend/backend.h"
#include "base/log.h"
#include "base/os/fork.h"
#include "base/os/mem.h"
#include "gguf/gguf.h"
#include "gguf/parts.h"
#include "model/plan.h"
#include "token/token.h"

/* Totals of one tensor type in the file. */
typedef struct st_type_total {
    const char *name;
    uint32_t n_tensors;
    uint64_t bytes;
} st_type_total;

#define ST_MAX_TYPE_TOTALS 48

/* Immutable once open. The pieces point into each other in the order of the fields, so they are freed from the end. */
struct strata_model {
    st_mem *mem; /* of its allocator; outside of the model, since calls that only read the model count in it too */
    st_log log;
    char *path, *arch, *name, *tokenizer_name; /* NUL-terminated copies for the info; NULL if absent */
    char *prompt_query, *prompt_document;
    bool vocab_only;
    st_parts parts;
    st_gguf gguf; /* of all parts */
    st_tokenizer *tokenizer;
    st_config config;
    st_weights weights;
    st_plan plan;
    const st_backend *backend;
    st_exec *exec;
    st_type_total types[ST_MAX_TYPE_TOTALS];
    uint32_t n_types;
    uint64_t n_params;
};

/* One sequence of a generating context. */
typedef struct st_seq {
    int32_t *ids; /* [cap] the n first are what the cache holds */
    uint32_t n, cap;
    bool ready; /* the last call that changed it succeeded: it can be stepped */
} st_seq;

/* What a step of several sequences passes to the backend, for all of them at most. */
typedef struct st_step {
    uint32_t *starts, *past, *whole;
    float **out;
    int *status;
} st_step;

struct strata_ctx {
    const strata_model *model;
    st_state *state;
    uint32_t n_threads;
    strata_trace_fn trace;
    void *trace_user;
    _Atomic uint32_t busy; /* 0, or the number of the process that a call is inside in */
    st_fork mark;
    uint64_t fp;            /* the caller's floating-point state while a call is inside */
    uint32_t n_seqs, n_ctx; /* of generation; 0: none */
    uint32_t n_batch;       /* most tokens of a sequence in one run */
    st_seq *seqs;           /* [n_seqs] */
    st_step step;
    float *logits; /* [n_rows, n_vocab]: as many rows as the widest step so far had sequences */
    uint32_t n_rows;
    struct st_gvocab *gvocab; /* the vocabulary as grammars see it, made with the first grammar */
};

/* model_open.c: everything that opts ask for, from the file `name` or from a buffer that stands for it. On failure *out
 * stays. */
int st_model_open(const char *name, const void *buffer, size_t size, const strata_model_opts *opts, strata_model **out,
                  strata_error *err);
void st_model_close(strata_model *m); /* NULL: nothing */

/* embed.c: the pooling that a call uses: what was asked for, or the model's own. Errors: UNSUPPORTED_OP. */
int st_embed_pooling(const strata_model *m, int asked, int *pooling, strata_error *err);

/* context.c: enters and leaves a context, with a floating-point state of our own in between. BUSY if it is in a call
 * already, INVALID_ARG if one was when this process was forked. */
int st_ctx_enter(strata_ctx *c, strata_error *err);
void st_ctx_leave(strata_ctx *c);

/* The public functions of these names, after their arguments were checked for NULL. */
int st_embed(strata_ctx *c, const strata_text *texts, size_t n, const strata_embed_opts *opts, float *out,
             size_t stride, strata_embed_item *items, strata_error *err);
int st_embed_tokens(strata_ctx *c, const strata_text *text, const strata_embed_opts *opts, float *out, size_t cap,
                    size_t *n_rows, strata_embed_item *item, strata_error *err);
int st_embed_check(const strata_model *m, const strata_embed_opts *opts, uint32_t *dims, strata_error *err);
int st_rank(strata_ctx *c, strata_text query, const strata_text *passages, size_t n, const strata_rank_opts *opts,
            float *scores, strata_embed_item *items, strata_error *err);
/* Whether st_rank has anything to say of this model. */
bool st_rank_works(const strata_model *m);
/* What the file calls an output of the classification head; false where it has no name. */
bool st_rank_label(const strata_model *m, uint32_t i, st_str *name);

/* context.c. n_batch: most tokens of one sequence in one run of the cache, ST_SEQ_BATCH but in tests, which make rings
 * small enough to come round. */
int st_ctx_open(const strata_model *m, const strata_ctx_opts *opts, uint32_t n_batch, strata_ctx **out,
                strata_error *err);

/* seq.c: sequences of a generating context. */
#define ST_SEQ_BATCH 512u /* most tokens of a prompt in one run: two groups; rings hold as many beyond a window */
int st_seqs_open(strata_ctx *c, uint32_t n_seqs, uint32_t n_ctx, uint32_t n_batch, strata_error *err);
void st_seqs_close(strata_ctx *c);
/* wanted: the logits that the caller looks at, NULL: all. *reused: tokens that were there and did not run again. */
int st_seq_sync(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, uint32_t chunk, const st_wanted *wanted,
                const volatile int *cancel, double deadline, float **logits, uint32_t *reused, strata_error *err);
int st_seq_step(strata_ctx *c, const uint32_t *seqs, const int32_t *ids, size_t n, const volatile int *cancel,
                const float **logits, strata_error *err);

int st_generate(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, const strata_gen_opts *o,
                strata_gen_result *result, strata_error *err);

int st_eval(strata_ctx *c, const int32_t *ids, const int32_t *types, size_t n, int what, int pooling, float *out,
            size_t cap, size_t *rows, size_t *cols, strata_error *err);

#endif
