/* sampler_stages.c: the stages of the chain of sampler.h, and the draw. */
#include "base/math.h"
#include "sample/sampler_internal.h"

/* Natural exponent for x <= 0, relative error below 2e-7; 0 below -87. Cephes' expf polynomial; plain operations in a
 * fixed order and no branches, so that compilers may use any vector width. */
static inline float stages_exp_nonpos(float x)
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

static double stages_total(const float *x, size_t n)
{
    double s[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) s[j] += (double)x[i + (size_t)j];
    for (int j = 0; i < n; i++, j++) s[j] += (double)x[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Fills p; returns its sum. *max: the largest logit. */
static double stages_softmax(st_sampler *s, float *max)
{
    *max = largest(s->logit, s->n);
    const float m = *max, *restrict logit = s->logit; /* in locals: loops over s->... are not made of vectors */
    float *restrict p = s->p;
    for (size_t i = 0, n = s->n; i < n; i++) p[i] = stages_exp_nonpos(logit[i] - m);
    return stages_total(p, s->n);
}

void st_sampler_top_k(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t k)
{
    if (k > HEAP_K) {
        st_sampler_gather(s, logits, mask);
        if (k >= s->n) return;
        memset(s->p, 0, s->n * sizeof *s->p);
        st_sampler_sort_by_logit(s);
        st_sampler_select_first(s, 0, false, k);
        return;
    }
    s->n = st_sampler_first_k(s, logits, mask, k);
    st_sampler_sort_ids(s->heap, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        s->id[i] = s->heap[i].id;
        s->logit[i] = s->heap[i].logit;
    }
}

/* Drops candidates below e^-9 of the largest if the others have the mass and the number already: those are never
 * chosen, and most of a vocabulary. */
static void stages_cut_tail(st_sampler *s, double mass, uint32_t keep)
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

void st_sampler_typical(st_sampler *s, float mass, uint32_t keep)
{
    if (mass >= 1) return;
    float max;
    double sum = stages_softmax(s, &max), entropy = 0, ln_sum = st_ln(sum);
    for (uint32_t i = 0; i < s->n; i++) { /* -sum p ln p, ln p = logit - max - ln sum */
        double ln_p = (double)s->logit[i] - (double)max - ln_sum;
        entropy -= (double)s->p[i] * ln_p;
    }
    entropy /= sum;
    double centre = (double)max + ln_sum - entropy; /* |-ln p - H| = |centre - logit| */
    for (uint32_t i = 0; i < s->n; i++) s->sort_by[i] = ~order_key((float)fabs(centre - (double)s->logit[i]));
    st_sampler_select_first(s, (double)mass * sum, true, keep);
}

void st_sampler_top_p(st_sampler *s, float mass, uint32_t keep)
{
    if (mass >= 1) return;
    float max;
    double sum = stages_softmax(s, &max);
    stages_cut_tail(s, (double)mass * sum, keep);
    st_sampler_sort_by_logit(s);
    st_sampler_select_first(s, (double)mass * sum, false, keep);
}

void st_sampler_min_p(st_sampler *s, float share, uint32_t keep)
{
    if (share <= 0) return;
    double least = (double)largest(s->logit, s->n) + st_ln((double)share);
    uint32_t enough = 0;
    for (uint32_t i = 0; i < s->n; i++) enough += (double)s->logit[i] >= least;
    if (enough < keep) {
        memset(s->p, 0, s->n * sizeof *s->p);
        st_sampler_sort_by_logit(s);
        st_sampler_select_first(s, 0, false, keep);
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

void st_sampler_heat(st_sampler *s)
{
    float t = s->params.temperature;
    float *logit = s->logit, max = largest(logit, s->n); /* below it, so that nothing overflows */
    for (size_t i = 0, n = s->n; i < n; i++) logit[i] = (logit[i] - max) / t;
}

uint32_t st_sampler_draw(st_sampler *s, double *p)
{
    float max;
    double sum = stages_softmax(s, &max), target = st_sampler_uniform(s) * sum, run = 0;
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
static void stages_mirostat_1(st_sampler *s)
{
    float max;
    double sum = stages_softmax(s, &max);
    (void)sum; /* only ratios of neighbours count */
    uint32_t m = 0;
    for (uint32_t i = 0; i < s->n; i++) heap_offer(s->heap, &m, MIROSTAT_M, (entry){s->logit[i], i});
    if (m < MIROSTAT_M)
        for (uint32_t i = m / 2; i-- > 0;) st_sampler_heap_down(s->heap, m, i);
    st_sampler_heap_sort(s->heap, m);
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
        st_sampler_sort_by_logit(s);
        st_sampler_select_first(s, 0, false, (uint32_t)k);
    }
}

/* Algorithm 2: cut what surprises more than mu. */
static void stages_mirostat_2(st_sampler *s)
{
    static const double ln2 = 0.6931471805599453;
    float max;
    double sum = stages_softmax(s, &max), least = (double)max + st_ln(sum) - s->mu * ln2;
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

uint32_t st_sampler_mirostat(st_sampler *s)
{
    static const double ln2 = 0.6931471805599453;
    if (s->params.mirostat == 1)
        stages_mirostat_1(s);
    else
        stages_mirostat_2(s);
    double p;
    uint32_t i = st_sampler_draw(s, &p);
    s->mu -= (double)s->params.mirostat_eta * (-st_ln(p) / ln2 - (double)s->params.mirostat_tau);
    return i;
}
