/* sampler_internal.h: what the files of the sampler share.
 *
 *   sampler.c         the call: bias, penalties, log-probabilities, the order of the stages
 *   sampler_stages.c  the stages: each shortens the candidates or draws one
 *   sampler_select.c  the k largest, and the first by mass, without sorting
 *
 * Candidates are three parallel arrays in order of id. A stage shortens them by a threshold, which a radix select over
 * the bits of a float finds in three passes at most; so no stage needs them sorted. */
#ifndef ST_SAMPLE_SAMPLER_INTERNAL_H
#define ST_SAMPLE_SAMPLER_INTERNAL_H

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "sample/sampler.h"

#define MAX_TOP    1024u
#define HEAP_K     512u  /* a larger top-k goes through the radix select */
#define MIROSTAT_M 100u  /* tokens that mirostat 1 estimates from (llama.cpp's default) */
#define BINS       2048u /* of a radix select: 11 bits of a float a pass, so three passes */
#define LANES      8
#define BLOCK      256u /* tokens passed over at once when none is large enough */

typedef struct entry {
    float logit;
    uint32_t id;
} entry;

typedef struct saved {
    uint32_t id;
    float logit;
} saved;

struct st_sampler {
    st_mem *mem;
    st_sampler_params params;
    uint32_t n_vocab;
    strata_logit_bias *bias;
    size_t n_bias;

    uint32_t *ring; /* [repeat_last_n] */
    uint32_t ring_at, ring_n;
    uint32_t *count; /* [n_vocab], times in the ring; the top bit marks "done" inside one call */

    uint64_t key, drawn;
    double mu;

    uint32_t n; /* candidates */
    uint32_t *id;
    float *logit, *p;  /* p: exp(logit - largest), not normalised */
    uint32_t *sort_by; /* larger is first */
    double bin_mass[BINS];
    uint32_t bin_count[BINS];

    entry *heap; /* [max(HEAP_K, MAX_TOP)] */
    saved *undo; /* [n_bias + repeat_last_n] logits as given */
    size_t n_undo;
    strata_logprob *top;
    double max, ln_sum; /* of the row as given: largest logit, ln of the sum of exp(logit - max) */
};

/* ---- numbers ---- */

/* Order of floats as order of integers; -0 counts as 0. */
static inline uint32_t order_key(float f)
{
    uint32_t u = st_f32_bits(f + 0.0f);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static inline float largest(const float *x, size_t n)
{
    float m[LANES];
    for (int j = 0; j < LANES; j++) m[j] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) m[j] = x[i + (size_t)j] > m[j] ? x[i + (size_t)j] : m[j];
    for (; i < n; i++) m[0] = x[i] > m[0] ? x[i] : m[0];
    for (int j = 1; j < LANES; j++) m[0] = m[j] > m[0] ? m[j] : m[0];
    return m[0];
}

/* ---- sampler_select.c ---- */

/* a is before b in falling order. */
static inline bool before(entry a, entry b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Restores the heap h [n], whose root is the last of its entries in falling order, below entry i. */
void st_sampler_heap_down(entry *h, uint32_t n, uint32_t i);
/* Falling order in place; h is a heap. */
void st_sampler_heap_sort(entry *h, uint32_t n);
/* Rising ids. */
void st_sampler_sort_ids(entry *h, uint32_t n);

static inline void heap_offer(entry *h, uint32_t *n, uint32_t k, entry e)
{
    if (*n < k) {
        h[(*n)++] = e;
        if (*n == k)
            for (uint32_t i = k / 2; i-- > 0;) st_sampler_heap_down(h, k, i);
    } else if (e.logit > h[0].logit) { /* ids rise, so an equal one is behind */
        h[0] = e;
        st_sampler_heap_down(h, k, 0);
    }
}

static inline bool is_allowed(const uint32_t *mask, uint32_t id)
{
    return !mask || (mask[id >> 5] >> (id & 31) & 1);
}

/* The first k of the row into s->heap; returns how many there are. */
uint32_t st_sampler_first_k(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t k);
/* All allowed tokens as candidates. */
void st_sampler_gather(st_sampler *s, const float *logits, const uint32_t *mask);
/* sort_by from the logits. */
void st_sampler_sort_by_logit(st_sampler *s);
/* Keeps candidates by falling sort_by until their p sums to `mass` (strict: beyond it) and there are at least `keep` of
 * them; all if that never happens. */
void st_sampler_select_first(st_sampler *s, double mass, bool strict, uint32_t keep);

/* ---- sampler_stages.c ---- */

void st_sampler_top_k(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t k);
void st_sampler_typical(st_sampler *s, float mass, uint32_t keep);
void st_sampler_top_p(st_sampler *s, float mass, uint32_t keep);
void st_sampler_min_p(st_sampler *s, float share, uint32_t keep);
/* The temperature. */
void st_sampler_heat(st_sampler *s);
/* Index of the candidate drawn; *p is its probability. */
uint32_t st_sampler_draw(st_sampler *s, double *p);
/* Either kind, heated already; index of the candidate. */
uint32_t st_sampler_mirostat(st_sampler *s);

#endif
