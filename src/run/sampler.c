/* sampler.c: the chain of sampler.h.
 *
 * Candidates are three parallel arrays in order of id. A stage shortens them by a threshold, which a radix select over
 * the bits of a float finds in three passes at most; so no stage needs them sorted. */
#include "run/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/math.h"

#define MAX_TOP    1024u
#define MAX_LAST_N (1u << 20)
#define HEAP_K     512u /* a larger top-k goes through the radix select */
#define MIROSTAT_M 100u /* tokens that mirostat 1 estimates from (llama.cpp's default) */
#define BINS       2048u
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
    st_logit_bias *bias;
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
    st_logprob *top;
    double lse; /* of the row as given */
};

st_sampler_params st_sampler_default(void)
{
    return (st_sampler_params){.temperature = 0.8f,
                               .top_k = 40,
                               .top_p = 0.95f,
                               .min_p = 0.05f,
                               .typical_p = 1,
                               .repeat_penalty = 1,
                               .repeat_last_n = 64,
                               .mirostat_tau = 5,
                               .mirostat_eta = 0.1f,
                               .seed = 0xffffffffu};
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Natural exponent for x <= 0, relative error below 2e-7; 0 below -87. Cephes' expf polynomial; plain operations in a
 * fixed order and no branches, so that compilers may use any vector width. */
static inline float exp_nonpos(float x)
{
    uint32_t u = st_f32_bits(x), live = 0u - (uint32_t)((int32_t)(u & 0x7fffffffu) <= 0x42ae0000); /* 87 */
    x = st_bits_f32(u & live);
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float n = (x * 1.44269504f + magic) - magic;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    y *= st_bits_f32((uint32_t)((int32_t)n + 127) << 23);
    return st_bits_f32(st_f32_bits(y) & live);
}

/* The same in double for -705 <= x <= 0, relative error below 1e-15. Taylor's series to r^12, |r| <= ln(2) / 2. */
static inline double exp_nonpos_double(double x)
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

/* Order of floats as order of integers; -0 counts as 0. */
static inline uint32_t order_key(float f)
{
    uint32_t u = st_f32_bits(f + 0.0f);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static float largest(const float *x, size_t n)
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

static double total(const float *x, size_t n)
{
    double s[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) s[j] += (double)x[i + (size_t)j];
    for (int j = 0; i < n; i++, j++) s[j] += (double)x[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Fills p; returns its sum. *max: the largest logit. */
static double softmax(st_sampler *s, float *max)
{
    *max = largest(s->logit, s->n);
    const float m = *max, *restrict logit = s->logit; /* in locals: loops over s->... are not made of vectors */
    float *restrict p = s->p;
    for (size_t i = 0, n = s->n; i < n; i++) p[i] = exp_nonpos(logit[i] - m);
    return total(p, s->n);
}

double st_sampler_uniform(st_sampler *s)
{
    uint64_t z = s->key + ++s->drawn * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

/* Keeps candidates by falling sort_by until their p sums to `mass` (strict: beyond it) and there are at least `keep` of
 * them; all if that never happens. */
static void select_first(st_sampler *s, double mass, bool strict, uint32_t keep)
{
    static const unsigned shifts[] = {21, 10, 0}, bits[] = {11, 11, 10};
    uint32_t prefix = 0, last = 0;
    double sum = 0;
    uint32_t count = 0;
    for (int level = 0; level < 3; level++) {
        unsigned shift = shifts[level], above = shift + bits[level];
        memset(s->bin_mass, 0, sizeof s->bin_mass);
        memset(s->bin_count, 0, sizeof s->bin_count);
        for (uint32_t i = 0; i < s->n; i++) {
            uint32_t k = s->sort_by[i];
            if (above < 32 && k >> above != prefix) continue;
            uint32_t b = k >> shift & ((1u << bits[level]) - 1);
            s->bin_mass[b] += (double)s->p[i];
            s->bin_count[b]++;
        }
        int b = (1 << bits[level]) - 1;
        for (; b >= 0; b--) {
            double m = sum + s->bin_mass[b];
            if (s->bin_count[b] && (strict ? m > mass : m >= mass) && count + s->bin_count[b] >= keep) break;
            sum = m;
            count += s->bin_count[b];
        }
        if (b < 0) {
            if (level == 0) return; /* all of them */
            /* Sums of finer bins may round below that of their bin: then it is taken whole. */
            last = level == 1 ? prefix << 21 : prefix << 10;
            break;
        }
        prefix = level == 0 ? (uint32_t)b : prefix << bits[level] | (uint32_t)b;
        last = prefix << shift;
    }
    uint32_t n = 0;
    bool done = false;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->sort_by[i] < last) continue;
        if (s->sort_by[i] == last) { /* equals, by id, until it is enough */
            if (done) continue;
            sum += (double)s->p[i];
            count++;
            done = (strict ? sum > mass : sum >= mass) && count >= keep;
        }
        s->id[n] = s->id[i];
        s->logit[n] = s->logit[i];
        s->p[n] = s->p[i];
        n++;
    }
    s->n = n;
}

static void sort_by_logit(st_sampler *s)
{
    for (uint32_t i = 0; i < s->n; i++) s->sort_by[i] = order_key(s->logit[i]);
}

/* a is before b in falling order. */
static inline bool before(entry a, entry b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* The root of the heap is the last of its entries in falling order. */
static void heap_down(entry *h, uint32_t n, uint32_t i)
{
    entry e = h[i];
    for (uint32_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && before(h[c], h[c + 1])) c++;
        if (!before(e, h[c])) break;
        h[i] = h[c];
    }
    h[i] = e;
}

static inline void heap_offer(entry *h, uint32_t *n, uint32_t k, entry e)
{
    if (*n < k) {
        h[(*n)++] = e;
        if (*n == k)
            for (uint32_t i = k / 2; i-- > 0;) heap_down(h, k, i);
    } else if (e.logit > h[0].logit) { /* ids rise, so an equal one is behind */
        h[0] = e;
        heap_down(h, k, 0);
    }
}

static inline bool is_allowed(const uint32_t *mask, uint32_t id)
{
    return !mask || (mask[id >> 5] >> (id & 31) & 1);
}

/* The first k of the row into s->heap; returns how many there are. */
static uint32_t first_k(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t k)
{
    uint32_t n = 0;
    for (uint32_t at = 0; at < s->n_vocab; at += BLOCK) {
        uint32_t end = s->n_vocab - at < BLOCK ? s->n_vocab : at + BLOCK;
        if (n == k && largest(logits + at, end - at) <= s->heap[0].logit) continue;
        for (uint32_t i = at; i < end; i++) {
            if (mask && !mask[i >> 5]) i |= 31; /* 32 that are not allowed */
            if (is_allowed(mask, i) && i < end && logits[i] > -INFINITY)
                heap_offer(s->heap, &n, k, (entry){logits[i], i});
        }
    }
    if (n < k)
        for (uint32_t i = n / 2; i-- > 0;) heap_down(s->heap, n, i);
    return n;
}

/* Falling order in place; h is a heap. */
static void heap_sort(entry *h, uint32_t n)
{
    for (uint32_t end = n; end > 1;) {
        entry e = h[--end];
        h[end] = h[0];
        h[0] = e;
        heap_down(h, end, 0);
    }
}

static void sort_ids(entry *h, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) h[i].id = ~h[i].id; /* one order for both: by logit 0, id falls */
    for (uint32_t gap = n / 2; gap > 0; gap /= 2)
        for (uint32_t i = gap; i < n; i++) {
            entry e = h[i];
            uint32_t j = i;
            for (; j >= gap && h[j - gap].id < e.id; j -= gap) h[j] = h[j - gap];
            h[j] = e;
        }
    for (uint32_t i = 0; i < n; i++) h[i].id = ~h[i].id;
}

/* All allowed tokens as candidates. */
static void gather(st_sampler *s, const float *logits, const uint32_t *mask)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_vocab; i += 32) {
        uint32_t word = mask ? mask[i >> 5] : UINT32_MAX, end = s->n_vocab - i < 32 ? s->n_vocab - i : 32;
        if (!word) continue;
        if (word == UINT32_MAX && end == 32) {
            bool all = true;
            for (uint32_t j = 0; j < 32; j++) all &= logits[i + j] != -INFINITY;
            if (all) {
                for (uint32_t j = 0; j < 32; j++) s->id[n + j] = i + j;
                memcpy(s->logit + n, logits + i, 32 * sizeof *logits);
                n += 32;
                continue;
            }
        }
        for (uint32_t j = 0; j < end; j++) { /* written always, counted only if it stays */
            s->id[n] = i + j;
            s->logit[n] = logits[i + j];
            n += word >> j & 1 && logits[i + j] != -INFINITY;
        }
    }
    s->n = n;
}

/* ---- stages ------------------------------------------------------------------------------------------------------ */

static void top_k(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t k)
{
    if (k > HEAP_K) {
        gather(s, logits, mask);
        if (k >= s->n) return;
        memset(s->p, 0, s->n * sizeof *s->p);
        sort_by_logit(s);
        select_first(s, 0, false, k);
        return;
    }
    s->n = first_k(s, logits, mask, k);
    sort_ids(s->heap, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        s->id[i] = s->heap[i].id;
        s->logit[i] = s->heap[i].logit;
    }
}

/* Drops candidates below e^-9 of the largest if the others have the mass and the number already: those are never
 * chosen, and most of a vocabulary. */
static void cut_tail(st_sampler *s, double mass, uint32_t keep)
{
    static const float least = 1.2340980e-4f; /* e^-9 */
    double m[LANES] = {0};
    uint32_t count = 0, i = 0, n = 0;
    if (s->n < 1024) return;
    for (; i + LANES <= s->n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            float q = s->p[i + (uint32_t)j];
            m[j] += q >= least ? (double)q : 0.0;
            count += q >= least;
        }
    double sum = ((m[0] + m[4]) + (m[2] + m[6])) + ((m[1] + m[5]) + (m[3] + m[7]));
    /* What the tail of the loop left out only makes the sum smaller. */
    if (sum < mass || count < keep) return;
    uint32_t *id = s->id, all = s->n;
    float *logit = s->logit, *p = s->p;
    for (i = 0; i < all; i++) {
        float q = p[i];
        id[n] = id[i];
        logit[n] = logit[i];
        p[n] = q;
        n += q >= least;
    }
    s->n = n;
}

static void typical(st_sampler *s, float mass, uint32_t keep)
{
    if (mass >= 1) return;
    float max;
    double sum = softmax(s, &max), entropy = 0, ln_sum = st_ln(sum);
    for (uint32_t i = 0; i < s->n; i++) { /* -sum p ln p, ln p = logit - max - ln sum */
        double ln_p = (double)s->logit[i] - (double)max - ln_sum;
        entropy -= (double)s->p[i] * ln_p;
    }
    entropy /= sum;
    double centre = (double)max + ln_sum - entropy; /* |-ln p - H| = |centre - logit| */
    for (uint32_t i = 0; i < s->n; i++) s->sort_by[i] = ~order_key((float)fabs(centre - (double)s->logit[i]));
    select_first(s, (double)mass * sum, true, keep);
}

static void top_p(st_sampler *s, float mass, uint32_t keep)
{
    if (mass >= 1) return;
    float max;
    double sum = softmax(s, &max);
    cut_tail(s, (double)mass * sum, keep);
    sort_by_logit(s);
    select_first(s, (double)mass * sum, false, keep);
}

static void min_p(st_sampler *s, float share, uint32_t keep)
{
    if (share <= 0) return;
    double least = (double)largest(s->logit, s->n) + st_ln((double)share);
    uint32_t enough = 0;
    for (uint32_t i = 0; i < s->n; i++) enough += (double)s->logit[i] >= least;
    if (enough < keep) {
        memset(s->p, 0, s->n * sizeof *s->p);
        sort_by_logit(s);
        select_first(s, 0, false, keep);
        return;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if ((double)s->logit[i] < least) continue;
        s->id[n] = s->id[i];
        s->logit[n++] = s->logit[i];
    }
    s->n = n;
}

static void heat(st_sampler *s)
{
    float t = s->params.temperature;
    float *logit = s->logit, max = largest(logit, s->n); /* below it, so that nothing overflows */
    for (size_t i = 0, n = s->n; i < n; i++) logit[i] = (logit[i] - max) / t;
}

/* Index of the candidate drawn; *p is its probability. */
static uint32_t draw(st_sampler *s, double *p)
{
    float max;
    double sum = softmax(s, &max), target = st_sampler_uniform(s) * sum, run = 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->p[i] == 0) continue;
        run += (double)s->p[i];
        last = i;
        if (run > target) break;
    }
    *p = (double)s->p[last] / sum;
    return last;
}

/* Mirostat (Basu et al. 2021, arXiv:2007.14966), algorithm 1: Zipf's exponent from the largest, then top-k. */
static void mirostat_1(st_sampler *s)
{
    float max;
    double sum = softmax(s, &max);
    (void)sum; /* only ratios of neighbours count */
    uint32_t m = 0;
    for (uint32_t i = 0; i < s->n; i++) heap_offer(s->heap, &m, MIROSTAT_M, (entry){s->logit[i], i});
    if (m < MIROSTAT_M)
        for (uint32_t i = m / 2; i-- > 0;) heap_down(s->heap, m, i);
    heap_sort(s->heap, m);
    double tb = 0, tt = 0;
    for (uint32_t i = 0; i + 1 < m; i++) {
        double t = st_ln((double)(i + 2) / (double)(i + 1)),
               b = (double)s->heap[i].logit - (double)s->heap[i + 1].logit;
        tb += t * b;
        tt += t * t;
    }
    double zipf = tt > 0 ? tb / tt : 0, eps = zipf - 1, k = 1;
    if (zipf > 0) {
        double den = 1 - st_pow((double)s->n_vocab, -eps), num = eps * st_pow(2, s->mu);
        k = den != 0 ? st_pow(num / den, 1 / zipf) : (double)s->n;
        if (!(k >= 1)) k = 1;
    } else {
        k = (double)s->n; /* flat: every token is as good */
    }
    if (k < (double)s->n) {
        memset(s->p, 0, s->n * sizeof *s->p);
        sort_by_logit(s);
        select_first(s, 0, false, (uint32_t)k);
    }
}

/* Algorithm 2: cut what surprises more than mu. */
static void mirostat_2(st_sampler *s)
{
    static const double ln2 = 0.6931471805599453;
    float max;
    double sum = softmax(s, &max), least = (double)max + st_ln(sum) - s->mu * ln2;
    if (least > (double)max) least = (double)max;
    uint32_t n = 0;
    bool alone = least == (double)max && s->mu * ln2 < st_ln(sum);
    for (uint32_t i = 0; i < s->n; i++) {
        if ((double)s->logit[i] < least) continue;
        s->id[n] = s->id[i];
        s->logit[n++] = s->logit[i];
        if (alone) break; /* even the largest surprises too much: it, and no tie of it */
    }
    s->n = n;
}

static uint32_t mirostat(st_sampler *s)
{
    static const double ln2 = 0.6931471805599453;
    if (s->params.mirostat == 1)
        mirostat_1(s);
    else
        mirostat_2(s);
    double p;
    uint32_t i = draw(s, &p);
    s->mu -= (double)s->params.mirostat_eta * (-st_ln(p) / ln2 - (double)s->params.mirostat_tau);
    return i;
}

/* ---- bias and penalties ------------------------------------------------------------------------------------------ */

static void change(st_sampler *s, float *logits, uint32_t id, float to)
{
    s->undo[s->n_undo++] = (saved){id, logits[id]};
    logits[id] = to <= FLT_MAX ? to : FLT_MAX;
}

static void bias(st_sampler *s, float *logits)
{
    for (size_t i = 0; i < s->n_bias; i++) {
        uint32_t id = (uint32_t)s->bias[i].id;
        change(s, logits, id, logits[id] + s->bias[i].bias);
    }
}

#define DONE 0x80000000u

static bool has_penalties(const st_sampler_params *q)
{
    return q->repeat_penalty != 1 || q->frequency_penalty != 0 || q->presence_penalty != 0;
}

static void penalties(st_sampler *s, float *logits)
{
    const st_sampler_params *q = &s->params;
    if (!has_penalties(q)) return;
    for (uint32_t i = 0; i < s->ring_n; i++) {
        uint32_t id = s->ring[i], n = s->count[id];
        if (n & DONE) continue;
        s->count[id] |= DONE;
        float l = logits[id];
        if (l == -INFINITY) continue;
        l = l <= 0 ? l * q->repeat_penalty : l / q->repeat_penalty;
        l -= (float)n * q->frequency_penalty + q->presence_penalty;
        change(s, logits, id, l);
    }
    for (uint32_t i = 0; i < s->ring_n; i++) s->count[s->ring[i]] &= ~DONE;
}

static void restore(st_sampler *s, float *logits)
{
    while (s->n_undo > 0) {
        saved u = s->undo[--s->n_undo];
        logits[u.id] = u.logit;
    }
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

/* Id of the first NaN or +infinity; n if there is none. */
static uint32_t bad_logit(const float *x, uint32_t n)
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

/* The larger, without a branch. */
static inline float at_least(float x, float least)
{
    uint32_t below = 0u - (st_f32_bits(x - least) >> 31);
    return st_bits_f32((st_f32_bits(x) & ~below) | (st_f32_bits(least) & below));
}

static void row_logprobs(st_sampler *s, const float *logits, st_sampled *out)
{
    float max_f = largest(logits, s->n_vocab), least = max_f - 700; /* e^-700 changes no sum of 1 or more */
    double max = (double)max_f, lanes[LANES] = {0};
    uint32_t n = s->n_vocab, k = 0;
    for (; k + LANES <= n; k += LANES) {
        const float *q = logits + k;
        for (int j = 0; j < LANES; j++) lanes[j] += exp_nonpos_double((double)at_least(q[j], least) - max);
    }
    for (; k < n; k++) lanes[0] += exp_nonpos_double((double)at_least(logits[k], least) - max);
    double sum = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    s->lse = max + st_ln(sum);
    out->n_top = s->params.n_top;
    if (!out->n_top) return;
    out->n_top = first_k(s, logits, NULL, out->n_top);
    heap_sort(s->heap, out->n_top);
    for (uint32_t i = 0; i < out->n_top; i++)
        s->top[i] = (st_logprob){(int32_t)s->heap[i].id, (double)s->heap[i].logit - s->lse};
    out->top = s->top;
}

static uint32_t greedy(const st_sampler *s, const float *logits, const uint32_t *mask)
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

static int choose(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t *id, strata_error *err)
{
    const st_sampler_params *q = &s->params;
    uint32_t keep = q->min_keep ? q->min_keep : 1;
    if (q->temperature <= 0) {
        *id = greedy(s, logits, mask);
    } else {
        if (q->mirostat || !q->top_k)
            gather(s, logits, mask);
        else
            top_k(s, logits, mask, q->top_k);
        *id = s->n_vocab;
        if (s->n && q->mirostat) {
            heat(s);
            *id = s->id[mirostat(s)];
        } else if (s->n) {
            double p;
            typical(s, q->typical_p, keep);
            top_p(s, q->top_p, keep);
            min_p(s, q->min_p, keep);
            heat(s);
            *id = s->id[draw(s, &p)];
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
    uint32_t bad = bad_logit(logits, s->n_vocab), id = 0;
    ST_FAIL_IF(bad < s->n_vocab, err, STRATA_NONFINITE, "the logit of token %u is %s", (unsigned)bad,
               isnan(logits[bad]) ? "NaN" : "infinity");
    st_sampled got = {0};
    if (s->params.logprobs) row_logprobs(s, logits, &got);
    bias(s, logits);
    penalties(s, logits);
    int rc = choose(s, logits, mask, &id, err);
    restore(s, logits);
    if (rc) return rc;
    got.id = (int32_t)id;
    if (s->params.logprobs) got.logprob = (double)logits[id] - s->lse;
    *out = got;
    return STRATA_OK;
}

/* Bias and penalties change some logits: those are asked for by id. Each may have stood among the largest and leave, so
 * that as many more of the others can come in. */
bool st_sampler_wants(const st_sampler *s, uint32_t most, uint32_t *k, int32_t *ids, size_t cap, size_t *n_ids)
{
    const st_sampler_params *q = &s->params;
    const uint32_t ring = has_penalties(q) ? s->ring_n : 0;
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

static int check_range(const char *name, float v, float lo, float hi, strata_error *err)
{
    ST_FAIL_IF(!(v >= lo && v <= hi), err, STRATA_INVALID_ARG, "%s is %g, want %g to %g", name, (double)v, (double)lo,
               (double)hi);
    return STRATA_OK;
}

static int check_params(const st_sampler_params *q, uint32_t n_vocab, strata_error *err)
{
    static const float big = 1e6f;
    ST_FAIL_IF(!n_vocab || n_vocab > INT32_MAX, err, STRATA_INVALID_ARG, "n_vocab is %u, want 1 to 2147483647",
               (unsigned)n_vocab);
    ST_TRY(check_range("temperature", q->temperature, -big, big, err));
    ST_TRY(check_range("top_p", q->top_p, 0, 1, err));
    ST_TRY(check_range("min_p", q->min_p, 0, 1, err));
    ST_TRY(check_range("typical_p", q->typical_p, 0, 1, err));
    ST_TRY(check_range("repeat_penalty", q->repeat_penalty, 1e-6f, big, err));
    ST_TRY(check_range("frequency_penalty", q->frequency_penalty, -big, big, err));
    ST_TRY(check_range("presence_penalty", q->presence_penalty, -big, big, err));
    ST_TRY(check_range("mirostat_tau", q->mirostat_tau, 0, big, err));
    ST_TRY(check_range("mirostat_eta", q->mirostat_eta, 0, big, err));
    ST_FAIL_IF(q->temperature > 0 && q->temperature < 1e-6f, err, STRATA_INVALID_ARG,
               "temperature is %g, want 0 (greedy) or at least 1e-6", (double)q->temperature);
    ST_FAIL_IF(q->mirostat < 0 || q->mirostat > 2, err, STRATA_INVALID_ARG, "mirostat is %d, want 0, 1 or 2",
               q->mirostat);
    ST_FAIL_IF(q->repeat_last_n > MAX_LAST_N, err, STRATA_INVALID_ARG, "repeat_last_n is %u, want at most %u",
               (unsigned)q->repeat_last_n, MAX_LAST_N);
    ST_FAIL_IF(q->n_top > MAX_TOP, err, STRATA_INVALID_ARG, "n_top is %u, want at most %u", (unsigned)q->n_top,
               MAX_TOP);
    ST_FAIL_IF(q->n_logit_bias && !q->logit_bias, err, STRATA_INVALID_ARG, "logit_bias is NULL, want %zu entries",
               q->n_logit_bias);
    for (size_t i = 0; i < q->n_logit_bias; i++) {
        st_logit_bias b = q->logit_bias[i];
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
    ST_TRY(check_params(params, n_vocab, err));
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
    /* One more than there are tokens: gather writes before it counts. */
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
