/* sampler_select.c: the largest of a row or of the candidates, without sorting them. */
#include "sample/sampler_internal.h"

void st_sampler_select_first(st_sampler *s, double mass, bool strict, uint32_t keep)
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

void st_sampler_sort_by_logit(st_sampler *s)
{
    for (uint32_t i = 0; i < s->n; i++) s->sort_by[i] = order_key(s->logit[i]);
}

void st_sampler_heap_down(entry *h, uint32_t n, uint32_t i)
{
    entry e = h[i];
    for (uint32_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && before(h[c], h[c + 1])) c++;
        if (!before(e, h[c])) break;
        h[i] = h[c];
    }
    h[i] = e;
}

uint32_t st_sampler_first_k(st_sampler *s, const float *logits, const uint32_t *mask, uint32_t k)
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
        for (uint32_t i = n / 2; i-- > 0;) st_sampler_heap_down(s->heap, n, i);
    return n;
}

void st_sampler_heap_sort(entry *h, uint32_t n)
{
    for (uint32_t end = n; end > 1;) {
        entry e = h[--end];
        h[end] = h[0];
        h[0] = e;
        st_sampler_heap_down(h, end, 0);
    }
}

void st_sampler_sort_ids(entry *h, uint32_t n)
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

void st_sampler_gather(st_sampler *s, const float *logits, const uint32_t *mask)
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
