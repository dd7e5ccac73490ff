/* op_select.c: the output head when only the largest logits of one row are wanted.
 *
 * A decode step waits for memory, and most of what it reads is the head: 70 % in Gemma 3 270M. A head in two places
 * (ST_WIDTH_5_3) lets it leave out the lower three bits of nearly all weights. With w = 8 u + l, 0 <= l <= 7:
 *
 *   1. every column's product with 8 u, plus the most that 0 <= l <= 7 can add, is an upper bound of its logit;
 *   2. the k columns of largest bound are computed exactly; the k-th largest of those, t, is at most the k-th of all;
 *   3. columns whose bound reaches t are computed exactly. No other can be among the k largest.
 *
 * What is computed exactly has the bits of the whole product, so a sampler that looks at the k largest sees no
 * difference. Of Gemma 3 270M's 16,384 panels of columns 11 come to step 3 for k = 1, and 4 to 5 % for k = 40; of
 * SmolLM2 135M's 3,072, with a vocabulary of 49,152, 1 % and 65 %. Where it is many, the product as a whole is faster:
 * then the next runs make that (st_select_learn). */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"

enum { LOW_MAX = 7 }; /* of the lower bits */

typedef struct head {
    const st_env *e;
    const st_linear *l;
    const st_packed *p;
    const st_wanted *want;
    float *out; /* [n] */
    uint32_t n, blocks;
    uint32_t first, last;   /* panels of this thread */
    const float *up, *down; /* [blocks] what a scale times the lower bits adds at most, by the scale's sign */
    st_qact upper;          /* the activations times 8 */
} head;

static bool select_allowed(const head *h, uint32_t id)
{
    const uint32_t *mask = h->want->mask;
    return !mask || (mask[id >> 5] >> (id & 31) & 1);
}

static uint32_t select_columns_of(const head *h, uint32_t panel)
{
    return h->n - panel * 16 < 16 ? h->n - panel * 16 : 16;
}

/* The least and the most that lower bits can add to a block's sum of products: each takes 7 where the activation's sign
 * is theirs. The slack is for rounding: of this bound, of the product with the upper bits and of the exact one, each a
 * chain of not more than 2 * blocks + 8 operations on terms of at most scale * d * 256 * sum |a|. */
static void select_bound_lower_bits(const st_qact *a, int planes, uint32_t blocks, float *up, float *down, float *d8)
{
    const float slack = 3.0f * 256.0f * (float)(2 * blocks + 8) * 0x1p-24f;
    for (uint32_t b = 0; b < blocks; b++) {
        int32_t plus = 0, minus = 0;
        for (uint32_t i = 32 * b; i < 32 * b + 32; i++) {
            int32_t x = planes == 2 ? 128 * a->hi[i] + a->lo[i] : a->hi[i];
            plus += x > 0 ? x : 0;
            minus += x < 0 ? x : 0;
        }
        const float d = planes == 2 ? a->d[b] / 128 : a->d[b];
        /* Near the smallest floats rounding is not relative, and near the largest a bound overflows before what it
         * bounds: there nothing is left out. */
        const float rest = (d > 0 && d < 1e-24f) || d > 1e24f ? INFINITY : slack * (float)(plus - minus);
        up[b] = d * ((float)(LOW_MAX * plus) + rest);
        down[b] = d * ((float)(LOW_MAX * minus) - rest);
        d8[b] = 8 * a->d[b];
    }
}

/* Columns of a panel, exactly -> out. */
static void select_exact(const head *h, uint32_t panel, float *out)
{
    float c[16];
    const st_packed *p = h->p;
    h->e->k->gemv_i8[ST_WIDTH_5_3](&p->form, &h->e->slots->q[h->l->in], 0, 1, h->l->parts[0].planes,
                                   p->panels + (size_t)panel * p->panel_bytes, st_packed_apart(p, panel, 0), h->blocks,
                                   c, 16);
    memcpy(out, c, select_columns_of(h, panel) * sizeof *out);
}

/* ---- the k largest ----------------------------------------------------------------------------------------------- *
 * A heap whose root is the smallest of them. */

static void select_sift_down(st_scored *heap, uint32_t n, uint32_t i)
{
    st_scored x = heap[i];
    for (uint32_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && heap[c + 1].value < heap[c].value) c++;
        if (!(heap[c].value < x.value)) break;
        heap[i] = heap[c];
    }
    heap[i] = x;
}

static void select_offer(st_scored *heap, uint32_t *n, uint32_t k, st_scored x)
{
    if (*n < k) {
        heap[(*n)++] = x;
        for (uint32_t i = *n / 2; *n == k && i-- > 0;) select_sift_down(heap, k, i);
    } else if (x.value > heap[0].value) {
        heap[0] = x;
        select_sift_down(heap, k, 0);
    }
}

/* Bounds of this thread's columns -> out; its k largest that are allowed -> its worker. */
static void select_bound_all(const head *h)
{
    static const st_panel_form upper = {.shape = ST_SHAPE_32, .width = ST_WIDTH_5, .zero = 16, .tails = ST_TAILS_F16};
    st_worker *w = h->e->worker;
    const st_packed *p = h->p;
    const size_t step = st_form_block_bytes(&p->form);
    w->n_best = 0;
    for (uint32_t panel = h->first; panel < h->last; panel++) {
        float c[16];
        const uint8_t *src = p->panels + (size_t)panel * p->panel_bytes;
        h->e->k->gemv_i8[ST_WIDTH_5](&upper, &h->upper, 0, 1, h->l->parts[0].planes, src, NULL, h->blocks, c, 16);
        h->e->k->add_bound(src + st_width_bytes(ST_WIDTH_5), step, h->blocks, h->up, h->down, c);
        const uint32_t n = select_columns_of(h, panel);
        memcpy(h->out + (size_t)panel * 16, c, n * sizeof *c);
        const float least = w->n_best == h->want->k ? w->best[0].value : -INFINITY;
        for (uint32_t i = 0; i < n; i++)
            if (!(c[i] <= least) && select_allowed(h, panel * 16 + i))
                select_offer(w->best, &w->n_best, h->want->k, (st_scored){c[i], panel * 16 + i});
    }
}

static void select_by_id(st_scored *x, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        st_scored s = x[i];
        uint32_t j = i;
        for (; j > 0 && x[j - 1].id > s.id; j--) x[j] = x[j - 1];
        x[j] = s;
    }
}

/* The columns in the worker, exactly. */
static void select_compute_best(const head *h)
{
    st_worker *w = h->e->worker;
    float c[16] = {0};
    select_by_id(w->best, w->n_best);
    for (uint32_t i = 0, panel = UINT32_MAX; i < w->n_best; i++) {
        if (w->best[i].id / 16 != panel) select_exact(h, panel = w->best[i].id / 16, c);
        w->best[i].value = c[w->best[i].id % 16];
    }
}

/* The k-th largest of what all threads computed; -infinity if there are not so many. */
static float select_threshold(const head *h)
{
    const st_env *e = h->e;
    st_scored heap[ST_WANTED_MAX];
    uint32_t n = 0;
    for (uint32_t t = 0; t < e->nth; t++) {
        const st_worker *w = &e->state->workers[t];
        for (uint32_t i = 0; i < w->n_best; i++) select_offer(heap, &n, h->want->k, w->best[i]);
    }
    return n == h->want->k ? heap[0].value : -INFINITY;
}

static void select_finish(const head *h, uint32_t panel)
{
    float *out = h->out + (size_t)panel * 16;
    const uint32_t n = select_columns_of(h, panel);
    select_exact(h, panel, out);
    if (h->l->scale != 1.0f) h->e->k->scale(out, h->l->scale, out, n);
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(out[i])) __atomic_store_n(&h->e->batch->status[h->e->seq0], STRATA_NONFINITE, __ATOMIC_RELAXED);
}

/* Exact values where a bound reaches t; the others are out. Scaled, different products can be equal: so they are
 * compared. */
static void select_choose(const head *h, float t)
{
    const float scale = h->l->scale;
    uint32_t n_exact = 0;
    t *= scale;
    for (uint32_t panel = h->first; panel < h->last; panel++) {
        float *out = h->out + (size_t)panel * 16;
        const uint32_t n = select_columns_of(h, panel);
        bool reached = false;
        for (uint32_t i = 0; i < n; i++) reached |= !(out[i] * scale < t) && select_allowed(h, panel * 16 + i);
        n_exact += reached;
        if (reached)
            select_finish(h, panel);
        else
            for (uint32_t i = 0; i < n; i++) out[i] = -INFINITY;
    }
    atomic_fetch_add(&h->e->state->n_exact, n_exact);
    for (uint32_t i = 0; i < h->want->n_ids; i++) {
        const uint32_t panel = (uint32_t)h->want->ids[i] / 16;
        if (panel >= h->first && panel < h->last) select_finish(h, panel);
    }
}

bool st_select_can(const st_env *e, const st_linear *l)
{
    const st_linear_part *part = &l->parts[0];
    return e->batch->wanted && !e->state->skip_select && l->out == ST_SLOT_OUT && e->seq1 - e->seq0 == 1 &&
           e->n_rows == 1 && e->state->precision == STRATA_PRECISION_I8 && l->n_parts == 1 &&
           part->packed->kind == ST_PACK_I8 && part->packed->form.width == ST_WIDTH_5_3 && !part->bias &&
           l->act == ST_ACT_NONE && !l->softcap && l->scale > 0;
}

void st_select_run(const st_env *e, const st_linear *l)
{
    const st_linear_part *part = &l->parts[0];
    head h = {.e = e,
              .l = l,
              .p = part->packed,
              .want = e->batch->wanted,
              .out = e->slots->f[ST_SLOT_OUT],
              .n = part->n,
              .blocks = part->packed->k / 32,
              .upper = e->slots->q[l->in]};
    float *up = e->worker->row[0], *down = up + h.blocks, *d8 = down + h.blocks;
    select_bound_lower_bits(&e->slots->q[l->in], part->planes, h.blocks, up, down, d8);
    h.up = up;
    h.down = down;
    h.upper.d = d8;
    if (e->ith == 0) e->state->selected = (h.n + 15) / 16;
    st_env_share(e, (h.n + 15) / 16, 1, &h.first, &h.last);
    select_bound_all(&h);
    select_compute_best(&h);
    st_env_sync(e);
    select_choose(&h, select_threshold(&h));
}

void st_select_learn(st_state *s)
{
    enum { SKIPPED = 31 };
    /* The first pass reads 65 % of the head; computing a panel reads all of it. */
    if (s->skip_select)
        s->skip_select--;
    else if (s->selected && atomic_load(&s->n_exact) > s->selected / 4)
        s->skip_select = SKIPPED;
}
