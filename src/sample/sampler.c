/* sampler.c: the chain of sampler.h. */
#include "sample/sampler.h"

#include <float.h>
#include <inttypes.h>

#include "base/math.h"
#include "sample/sampler_internal.h"

st_sampler_params st_sampler_default(void)
{
    return (st_sampler_params){ST_KNOBS(ST_KNOB_DEFAULT, )};
}

double st_sampler_uniform(st_sampler *s)
{
    uint64_t z = s->key + ++s->drawn * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* ---- bias and penalties ------------------------------------------------------------------------------------------ */

static void sampler_change(st_sampler *s, float *logits, uint32_t id, float to)
{
    s->undo[s->n_undo++] = (saved){id, logits[id]};
    logits[id] = to <= FLT_MAX ? to : FLT_MAX;
}

static void sampler_bias(st_sampler *s, float *logits)
{
    for (size_t i = 0; i < s->n_bias; i++) {
        uint32_t id = (uint32_t)s->bias[i].id;
        sampler_change(s, logits, id, logits[id] + s->bias[i].bias);
    }
}

#define DONE 0x80000000u

static bool sampler_has_penalties(const st_sampler_params *q)
{
    return q->repeat_penalty != 1 || q->frequency_penalty != 0 || q->presence_penalty != 0;
}

static void sampler_penalties(st_sampler *s, float *logits)
{
    const st_sampler_params *q = &s->params;
    if (!sampler_has_penalties(q)) return;
    for (uint32_t i = 0; i < s->ring_n; i++) {
        uint32_t id = s->ring[i], n = s->count[id];
        if (n & DONE) continue;
        s->count[id] |= DONE;
        float l = logits[id];
        if (l == -INFINITY) continue;
        l = l <= 0 ? l * q->repeat_penalty : l / q->repeat_penalty;
        l -= (float)n * q->frequency_penalty + q->presence_penalty;
        sampler_change(s, logits, id, l >= -FLT_MAX ? l : -FLT_MAX); /* penalised, not banned */
    }
    for (uint32_t i = 0; i < s->ring_n; i++) s->count[s->ring[i]] &= ~DONE;
}

static void sampler_restore(st_sampler *s, float *logits)
{
    while (s->n_undo > 0) {
        saved u = s->undo[--s->n_undo];
        logits[u.id] = u.logit;
    }
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

/* Id of the first NaN or +infinity; n if there is none. */
static uint32_t sampler_bad_logit(const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 1024) {
        const float *q = x + i;
        size_t end = n - i < 1024 ? n - i : 1024;
        int32_t odd = 0; /* an exponent of all ones: signed, which every vector unit compares */
        for (size_t j = 0; j < end; j++) odd |= (int32_t)(st_f32_bits(q[j]) & 0x7fffffffu) > 0x7f7fffff;
        for (size_t j = 0; odd && j < end; j++)
            if (!(q[j] < INFINITY)) return i + (uint32_t)j;
    }
    return n;
}

/* Natural exponent in double for -705 <= x <= 0, relative error below 1e-15. Taylor's series to r^12 for |r| <=
 * ln(2)/2. */
static inline double sampler_exp_nonpos_double(double x)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
    double n = x * 1.4426950408889634 + magic;
    uint64_t bits; /* the integer stands in the low bits */
    memcpy(&bits, &n, sizeof bits);
    n -= magic;
    double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double y = 1.0 / 479001600;
    y = y * r + 1.0 / 39916800;
    y = y * r + 1.0 / 3628800;
    y = y * r + 1.0 / 362880;
    y = y * r + 1.0 / 40320;
    y = y * r + 1.0 / 5040;
    y = y * r + 1.0 / 720;
    y = y * r + 1.0 / 120;
    y = y * r + 1.0 / 24;
    y = y * r + 1.0 / 6;
    y = y * r + 0.5;
    y = y * (r * r) + r + 1.0;
    bits = (bits + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return y * scale;
}

/* exp(x), x <= 0 or -infinity. Below -700 it is taken as e^-700, which changes no sum of 1 or more. */
static inline double sampler_share_of(double x)
{
    return sampler_exp_nonpos_double(x > -700 ? x : -700);
}

/* ln p = (logit - max) - ln sum exp(logit - max), in double: the difference of two floats is exact enough there however
 * large they are, while max + ln(sum) would lose the logarithm beyond 2^53. */
static double sampler_logprob_of(const st_sampler *s, float logit)
{
    return ((double)logit - s->max) - s->ln_sum;
}

static void sampler_row_logprobs(st_sampler *s, const float *logits, st_sampled *out)
{
    double max = (double)largest(logits, s->n_vocab), lanes[LANES] = {0};
    if (!(max > -INFINITY)) max = 0; /* all are -infinity */
    uint32_t n = s->n_vocab, k = 0;
    for (; k + LANES <= n; k += LANES) {
        const float *q = logits + k;
        for (int j = 0; j < LANES; j++) lanes[j] += sampler_share_of((double)q[j] - max);
    }
    for (; k < n; k++) lanes[0] += sampler_share_of((double)logits[k] - max);
    double sum = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    s->max = max;
    s->ln_sum = st_ln(sum);
    out->n_top = s->params.n_top;
    if (!out->n_top) return;
    out->n_top = st_sampler_first_k(s, logits, NULL, out->n_top);
    st_sampler_heap_sort(s->heap, out->n_top);
    for (uint32_t i = 0; i < out->n_top; i++)
        s->top[i] = (strata_logprob){(int32_t)s->heap[i].id, sampler_logprob_of(s, s->heap[i].logit)};
    out->top = s->top;
}

static uint32_t sampler_greedy(const st_sampler *s, const float *logits, const uint32_t *mask)
{
    uint32_t best = s->n_vocab;
    float at = -INFINITY;
    for (uint32_t from = 0; from < s->n_vocab; from += BLOCK) {
        uint32_t end = s->n_vocab - from < BLOCK ? s->n_vocab : from + BLOCK;
        if (largest(logits + from, end - from) <= at) continue;
        for (uint32_t i = from; i < end; i++)
            if (is_allowed(mask, i) && logits[i] > at) at = logits[i], best = i;
    }
    return best;
}

static int sampler_choose(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t *id, strata_error *err)
{
    const st_sampler_params *q = &s->params;
    uint32_t keep = q->min_keep ? q->min_keep : 1;
    if (q->temperature <= 0) {
        *id = sampler_greedy(s, logits, mask);
    } else {
        if (q->mirostat || !q->top_k)
            st_sampler_gather(s, logits, mask);
        else
            st_sampler_top_k(s, logits, mask, q->top_k);
        *id = s->n_vocab;
        if (s->n && q->mirostat) {
            st_sampler_heat(s);
            *id = s->id[st_sampler_mirostat(s)];
        } else if (s->n) {
            double p;
            st_sampler_typical(s, q->typical_p, keep);
            st_sampler_top_p(s, q->top_p, keep);
            st_sampler_min_p(s, q->min_p, keep);
            st_sampler_heat(s);
            *id = s->id[st_sampler_draw(s, &p)];
        }
    }
    if (*id < s->n_vocab) return STRATA_OK;
    bool any = !mask;
    for (uint32_t i = 0; mask && i < s->n_vocab; i++) any |= mask[i >> 5] >> (i & 31) & 1;
    ST_FAIL_IF(!any, err, STRATA_BAD_GRAMMAR, "the grammar allows no token of the vocabulary here");
    ST_FAIL(err, STRATA_NONFINITE, "every allowed token has a logit of -infinity");
}

int st_sampler_sample(st_sampler *s, float *logits, const uint32_t *mask, st_sampled *out, strata_error *err)
{
    uint32_t bad = sampler_bad_logit(logits, s->n_vocab), id = 0;
    ST_FAIL_IF(bad < s->n_vocab, err, STRATA_NONFINITE, "the logit of token %u is %s", (unsigned)bad,
               isnan(logits[bad]) ? "NaN" : "infinity");
    st_sampled got = {0};
    if (s->params.logprobs) sampler_row_logprobs(s, logits, &got);
    sampler_bias(s, logits);
    sampler_penalties(s, logits);
    int rc = sampler_choose(s, logits, mask, &id, err);
    sampler_restore(s, logits);
    if (rc) return rc;
    got.id = (int32_t)id;
    if (s->params.logprobs) got.logprob = sampler_logprob_of(s, logits[id]);
    *out = got;
    return STRATA_OK;
}

/* Bias and penalties change some logits: those are asked for by id. Each may have stood among the largest and leave, so
 * that as many more of the others can come in. */
bool st_sampler_wants(const st_sampler *s, uint32_t most, uint32_t *k, int32_t *ids, size_t cap, size_t *n_ids)
{
    const st_sampler_params *q = &s->params;
    const uint32_t ring = sampler_has_penalties(q) ? s->ring_n : 0;
    const uint32_t first = q->temperature <= 0 ? 1 : q->top_k;
    size_t changed, all;
    if (q->logprobs || (q->temperature > 0 && (q->mirostat || !q->top_k))) return false;
    if (!st_add(s->n_bias, ring, &changed) || changed > cap || !st_add(changed, first, &all) || all > most)
        return false;
    for (size_t i = 0; i < s->n_bias; i++) ids[i] = s->bias[i].id;
    for (uint32_t i = 0; i < ring; i++) ids[s->n_bias + i] = (int32_t)s->ring[i];
    *k = (uint32_t)all;
    *n_ids = changed;
    return true;
}

void st_sampler_accept(st_sampler *s, int32_t id)
{
    uint32_t n = s->params.repeat_last_n;
    if (!n || id < 0 || (uint32_t)id >= s->n_vocab) return;
    if (s->ring_n == n)
        s->count[s->ring[s->ring_at]]--;
    else
        s->ring_n++;
    s->ring[s->ring_at] = (uint32_t)id;
    s->count[id]++;
    s->ring_at = s->ring_at + 1 == n ? 0 : s->ring_at + 1;
}

double st_sampler_mu(const st_sampler *s)
{
    return s->mu;
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static int sampler_check_number(const char *name, float v, float least, float most, strata_error *err)
{
    ST_FAIL_IF(!(v >= least && v <= most), err, STRATA_INVALID_ARG, "%s is %g, want %g to %g", name, (double)v,
               (double)least, (double)most);
    return STRATA_OK;
}

static int sampler_check_whole(const char *name, uint32_t v, int64_t least, int64_t most, strata_error *err)
{
    (void)least;
    ST_FAIL_IF(v > most, err, STRATA_INVALID_ARG, "%s is %u, want at most %" PRId64, name, (unsigned)v, most);
    return STRATA_OK;
}

static int sampler_check_choice(const char *name, int v, int least, int most, strata_error *err)
{
    ST_FAIL_IF(v < least || v > most, err, STRATA_INVALID_ARG, "%s is %d, want %d to %d", name, v, least, most);
    return STRATA_OK;
}

/* Every number is a seed. */
#define sampler_check_seed(name, v, least, most, err) STRATA_OK

static int sampler_check_params(const st_sampler_params *q, uint32_t n_vocab, strata_error *err)
{
    static const float big = 1e6f;
    ST_FAIL_IF(!n_vocab || n_vocab > INT32_MAX, err, STRATA_INVALID_ARG, "n_vocab is %u, want 1 to 2147483647",
               (unsigned)n_vocab);
#define CHECK(x, kind, name, def, least, most, ...) ST_TRY(sampler_check_##kind(#name, q->name, least, most, err));
    ST_KNOBS(CHECK, )
    /* The quotient by less than that could overflow. */
    ST_FAIL_IF(q->temperature > 0 && q->temperature < 1e-6f, err, STRATA_INVALID_ARG,
               "temperature is %g, want 0 (greedy) or at least 1e-6", (double)q->temperature);
    ST_FAIL_IF(q->n_top > MAX_TOP, err, STRATA_INVALID_ARG, "n_top is %u, want at most %u", (unsigned)q->n_top,
               MAX_TOP);
    ST_FAIL_IF(q->n_logit_bias && !q->logit_bias, err, STRATA_INVALID_ARG, "logit_bias is NULL, want %zu entries",
               q->n_logit_bias);
    for (size_t i = 0; i < q->n_logit_bias; i++) {
        strata_logit_bias b = q->logit_bias[i];
        ST_FAIL_IF(b.id < 0 || (uint32_t)b.id >= n_vocab, err, STRATA_INVALID_ARG,
                   "logit_bias[%zu] is for token %d, want 0 to %u", i, (int)b.id, (unsigned)n_vocab - 1);
        ST_FAIL_IF(!(b.bias <= big && (b.bias >= -big || b.bias == -INFINITY)), err, STRATA_INVALID_ARG,
                   "logit_bias[%zu] is %g, want -1e6 to 1e6 or -infinity", i, (double)b.bias);
    }
    return STRATA_OK;
}

void st_sampler_reset(st_sampler *s, uint64_t seed)
{
    memset(s->count, 0, s->n_vocab * sizeof *s->count);
    s->ring_at = s->ring_n = 0;
    s->key = seed;
    s->drawn = 0;
    s->mu = 2 * (double)s->params.mirostat_tau;
}

int st_sampler_open(const st_sampler_params *params, uint32_t n_vocab, st_mem *mem, st_sampler **out, strata_error *err)
{
    ST_TRY(sampler_check_params(params, n_vocab, err));
    size_t n_undo;
    st_sampler *s = st_calloc(mem, 1, sizeof *s);
    if (!s) goto no_memory;
    s->mem = mem;
    if (!st_add(params->n_logit_bias, params->repeat_last_n, &n_undo)) goto no_memory;
    s->params = *params;
    s->params.logit_bias = NULL;
    s->n_vocab = n_vocab;
    s->n_bias = params->n_logit_bias;
    s->bias = st_alloc(mem, s->n_bias, sizeof *s->bias);
    s->ring = st_alloc(mem, params->repeat_last_n, sizeof *s->ring);
    s->count = st_alloc(mem, n_vocab, sizeof *s->count);
    s->heap = st_alloc(mem, MAX_TOP, sizeof *s->heap);
    s->undo = st_alloc(mem, n_undo, sizeof *s->undo);
    s->top = st_alloc(mem, params->n_top, sizeof *s->top);
    /* One more than there are tokens: sampler_select.c writes an entry before it counts it. */
    size_t n = params->temperature > 0 ? (size_t)n_vocab + 1 : 0;
    s->id = st_alloc(mem, n, sizeof *s->id);
    s->logit = st_alloc(mem, n, sizeof *s->logit);
    s->p = st_alloc(mem, n, sizeof *s->p);
    s->sort_by = st_alloc(mem, n, sizeof *s->sort_by);
    if (!s->bias || !s->ring || !s->count || !s->heap || !s->undo || !s->top || !s->id || !s->logit || !s->p ||
        !s->sort_by)
        goto no_memory;
    if (s->n_bias) memcpy(s->bias, params->logit_bias, s->n_bias * sizeof *s->bias);
    st_sampler_reset(s, params->seed);
    *out = s;
    return STRATA_OK;
no_memory:
    st_sampler_close(s);
    ST_FAIL(err, STRATA_NO_MEMORY, "no memory for a sampler of %u tokens", (unsigned)n_vocab);
}

void st_sampler_close(st_sampler *s)
{
    if (!s) return;
    st_mem *mem = s->mem;
    void *all[] = {s->bias, s->ring, s->count, s->heap, s->undo, s->top, s->id, s->logit, s->p, s->sort_by, s};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(mem, all[i]);
}
