/* batch.h: the work of one run: texts as flat ragged arrays, no padding. */
#ifndef ST_BACKEND_BATCH_H
#define ST_BACKEND_BATCH_H

#include "strata.h"

#define ST_WANTED_MAX 256u

/* What a sampler looks at in a row of logits: the k largest of those that are allowed, equal ones included, and those
 * of ids. The others may be left out: they are -infinity then, and whether they are finite is not checked. */
typedef struct st_wanted {
    uint32_t k;           /* 1..ST_WANTED_MAX */
    const uint32_t *mask; /* bit id & 31 of word id >> 5: allowed; NULL: all are */
    const int32_t *ids;   /* [n_ids] */
    size_t n_ids;
} st_wanted;

typedef struct st_batch {
    uint32_t n_seqs, n_tokens;
    const int32_t *ids;      /* [n_tokens], each < n_vocab */
    const int32_t *types;    /* [n_tokens] token types, each < n_types; NULL: all 0 */
    const uint32_t *starts;  /* [n_seqs + 1]: sequence s is tokens starts[s]..starts[s+1], at least one */
    const uint32_t *past;    /* [n_seqs]: tokens of each sequence that the cache holds; NULL: no cache */
    const uint32_t *seqs;    /* [n_seqs]: which of the cache's sequences each is, with past */
    const uint32_t *whole;   /* [n_seqs]: length that the sequence will have once its prompt is in, with past: LongRoPE
                              * chooses its factors by it */
    int last_only;           /* LOGITS: only of each sequence's last token, and out[s] = out[0] + s * n_vocab */
    const st_wanted *wanted; /* with last_only, of one sequence; NULL: all logits */
    int what;                /* strata_eval_what */
    int pooling;       /* strata_pooling, for POOLED: MEAN, CLS or LAST, or RANK for a classification head's outputs */
    float *const *out; /* [n_seqs]: where each sequence's rows go: [rows, width] without gaps */
    int *status;       /* [n_seqs]: set to STRATA_OK or NONFINITE */
    const volatile int *cancel;                    /* looked at between ops; NULL: never */
    double deadline;                               /* on st_now's clock; 0: none */
    void (*progress)(void *user, uint32_t n_seqs); /* sequences finished; may come from any worker */
    void *progress_user;
} st_batch;

#endif
