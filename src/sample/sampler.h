/* sampler.h: a row of logits -> the next token.
 *
 * The chain, in llama.cpp's default order: logit bias, grammar mask, penalties, then greedy | temperature, mirostat |
 * top-k, typical, top-p, min-p, temperature, draw. Greedy (temperature <= 0) takes the largest logit after bias, mask
 * and penalties; the other stages cannot change which one that is. Where logits tie, the lower id counts as the larger.
 *
 * The same logits, parameters and seed give the same tokens on every machine: probabilities are float32 made of sums,
 * products and bit operations, sums are double in a fixed order, the draw is inverse CDF in order of id, and the
 * generator is splitmix64 (Steele, Lea, Flood 2014), whose n-th number is a function of seed and n alone. Nothing is
 * allocated after open. Work is a few passes over the row; nothing sorts the vocabulary. One caller at a time. */
#ifndef ST_SAMPLE_SAMPLER_H
#define ST_SAMPLE_SAMPLER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/os/mem.h"
#include "sample/knobs.def"

typedef struct st_sampler_params {
    ST_KNOBS(ST_KNOB_FIELD, )            /* temperature and so on: knobs.def explains them */
    uint32_t min_keep;                   /* top-p, min-p and typical leave at least so many; 0 counts as 1 */
    const strata_logit_bias *logit_bias; /* [n_logit_bias], copied; biases of one id add up */
    size_t n_logit_bias;
    bool logprobs;  /* fill st_sampled.logprob and .top */
    uint32_t n_top; /* entries of .top, <= 1024 */
} st_sampler_params;

/* The defaults of knobs.def, and nothing else. */
st_sampler_params st_sampler_default(void);

/* Log-probabilities are those of the model: log-softmax in double over the whole row as given, before bias, mask,
 * penalties and temperature. */
typedef struct st_sampled {
    int32_t id;
    double logprob;            /* of id; 0 without params.logprobs */
    const strata_logprob *top; /* [n_top] falling, the sampler's until the next call */
    uint32_t n_top;
} st_sampled;

typedef struct st_sampler st_sampler;

/* Errors: INVALID_ARG (names the parameter, its value and its range), NO_MEMORY. */
int st_sampler_open(const st_sampler_params *params, uint32_t n_vocab, st_mem *mem, st_sampler **out,
                    strata_error *err);
void st_sampler_close(st_sampler *s);

/* Empties the history, restarts the generator with `seed` and mirostat with its first estimate. */
void st_sampler_reset(st_sampler *s, uint64_t seed);

/* Chooses a token. logits [n_vocab]; changed inside, restored before return. mask: bit id & 31 of word id >> 5 set
 * where the token is allowed, NULL: all are. Each call that does not fail draws one number, also where it has no
 * choice, except greedy ones, which draw none. Errors: NONFINITE (a NaN or +infinity, with its id; or no allowed token
 * above -infinity), BAD_GRAMMAR (the mask is empty). */
int st_sampler_sample(st_sampler *s, float *logits, const uint32_t *mask, st_sampled *out, strata_error *err);

/* Whether the next call looks at no more of the logits than the *k largest that the mask allows (equal ones included)
 * and those of `ids`, at most cap of them: then the others may be -infinity. False: it needs all of them, or *k would
 * be more than `most`. */
bool st_sampler_wants(const st_sampler *s, uint32_t most, uint32_t *k, int32_t *ids, size_t cap, size_t *n_ids);

/* Puts a token into the history that the penalties see: each one sampled, and those of the prompt if they are to count.
 * Ids out of range are ignored. */
void st_sampler_accept(st_sampler *s, int32_t id);

/* The next number of the generator, in [0, 1): for tests and for callers that draw from the same stream. */
double st_sampler_uniform(st_sampler *s);

/* mirostat's running estimate (mu), in bits. */
double st_sampler_mu(const st_sampler *s);

#endif
