/* spm_merge.c: BPE merges by score, one segment at a time.
 *
 * The rule is sentencepiece's (bpe_model.cc, SampleEncode without dropout): start from characters, always join the
 * neighbours whose joined spelling has the highest score, leftmost on ties. Short segments keep the candidates in an
 * array that is scanned; long ones use a heap, n log n. Both give the same tokens. Segments of more than a window go by
 * windows that overlap, for the reason that bpe_merge.c states; not with UNUSED tokens, which are taken apart by one
 * table for all of a text. */
#include "token/spm.h"

#include "base/utf8.h"

#define SHORT 32 /* characters: up to here a scan over all candidates beats the heap */

static int spm_merge_no_memory(st_encoder *e)
{
    ST_FAIL(e->err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes", e->len);
}

/* Order of a candidate: float scores as integers, highest first, then the place. -0 counts as 0. */
static uint64_t spm_merge_rank_of(const st_spm *m, int32_t id, uint32_t at)
{
    float score;
    memcpy(&score, m->scores + 4 * (size_t)id, 4);
    score += 0.0f;
    uint32_t u;
    memcpy(&u, &score, 4);
    u = u >> 31 ? ~u : u | 0x80000000u; /* now ascending as the floats are */
    return (uint64_t)~u << 32 | at;
}

/* A character that is no token: its byte tokens, or <unk>, one for a run of them. */
static int spm_merge_push_unknown(st_encoder *e, uint32_t begin, uint32_t end)
{
    const st_spm *m = e->t->state;
    st_spm_scratch *s = e->scratch;
    bool all = true;
    for (uint32_t i = begin; i < end; i++) all = all && m->bytes[s->norm[i]] >= 0;
    if (all) {
        for (uint32_t i = begin; i < end; i++) ST_TRY(st_spm_push(e, m->bytes[s->norm[i]], i, i + 1));
        return STRATA_OK;
    }
    if (!s->after_unk)
        ST_TRY(st_spm_push(e, e->t->info.unk, begin, end));
    else if (e->out->want_spans)
        e->out->spans[e->out->n - 1].end = st_spm_span(e, begin, end).end;
    s->after_unk = true;
    return STRATA_OK;
}

static int spm_merge_push_symbol(st_encoder *e, int32_t id, uint32_t at, uint32_t len)
{
    st_spm_scratch *s = e->scratch;
    if (id < 0) id = st_vocab_find(&e->t->vocab, s->norm + at, len);
    return id < 0 ? spm_merge_push_unknown(e, at, at + len) : st_spm_push(e, id, at, at + len);
}

/* ---- short segments ---------------------------------------------------------------------------------------------- */

static int spm_merge_short(st_encoder *e, uint32_t begin, uint32_t end)
{
    const st_spm *m = e->t->state;
    const st_vocab *v = &e->t->vocab;
    const uint8_t *norm = ((st_spm_scratch *)e->scratch)->norm;
    uint32_t at[SHORT + 1]; /* symbol i is norm[at[i]..at[i+1]) */
    int32_t id[SHORT], joined[SHORT];
    uint64_t rank[SHORT]; /* of joining i with i+1; UINT64_MAX: no such token. The place is in it only for its ties */
    uint32_t n = 0;
    for (uint32_t i = begin; i < end; i += st_utf8_len(norm[i])) at[n] = i, id[n++] = -1;
    at[n] = end;
    for (uint32_t i = 0; i + 1 < n; i++) {
        joined[i] = st_vocab_find(v, norm + at[i], at[i + 2] - at[i]);
        rank[i] = joined[i] < 0 ? UINT64_MAX : spm_merge_rank_of(m, joined[i], at[i]);
    }
    while (n > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == UINT64_MAX) break;
        id[best] = joined[best];
        n--;
        for (uint32_t i = best + 1; i < n; i++) {
            at[i] = at[i + 1];
            id[i] = id[i + 1];
        }
        at[n] = end;
        for (uint32_t i = best + 1; i + 1 < n; i++) joined[i] = joined[i + 1], rank[i] = rank[i + 1];
        for (uint32_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            joined[i] = st_vocab_find(v, norm + at[i], at[i + 2] - at[i]);
            rank[i] = joined[i] < 0 ? UINT64_MAX : spm_merge_rank_of(m, joined[i], at[i]);
        }
    }
    for (uint32_t i = 0; i < n; i++) ST_TRY(spm_merge_push_symbol(e, id[i], at[i], at[i + 1] - at[i]));
    return STRATA_OK;
}

/* ---- long segments ----------------------------------------------------------------------------------------------- */

/* Proposes to join symbol i, the left one, with its neighbour. A symbol's index is its place, so ties go leftmost. */
static bool spm_merge_propose(st_encoder *e, uint32_t i)
{
    const st_spm *m = e->t->state;
    st_spm_scratch *s = e->scratch;
    const st_spm_symbol *a = &s->symbols[i], *b = &s->symbols[a->next];
    int32_t id = st_vocab_find(&e->t->vocab, s->norm + a->at, (size_t)a->len + b->len);
    if (id < 0) return true;
    if (s->split && e->t->vocab.types[id] == ST_TOKEN_UNUSED) s->split[id] = a->len;
    return st_heap_put(&s->heap, e->out->mem, (st_pair){spm_merge_rank_of(m, id, i), a->len + b->len, id});
}

/* A symbol that ended as an UNUSED token is taken apart again, into the parts that last proposed it. */
static int spm_merge_push_parts(st_encoder *e, const st_spm_symbol *y)
{
    st_spm_scratch *s = e->scratch;
    const st_vocab *v = &e->t->vocab;
    size_t n = 0;
    if (!st_grow(e->out->mem, &s->stack, &s->stack_cap, 16, 0, sizeof *s->stack)) return spm_merge_no_memory(e);
    s->stack[n++] = y->at + y->len;
    for (uint32_t at = y->at; n;) { /* the stack holds where parts end, the nearest on top */
        uint32_t end = s->stack[n - 1], len = end - at;
        int32_t id = st_vocab_find(v, s->norm + at, len);
        if (id >= 0 && v->types[id] == ST_TOKEN_UNUSED && s->split[id] && s->split[id] < len) {
            if (!st_grow(e->out->mem, &s->stack, &s->stack_cap, n + 1, n, sizeof *s->stack))
                return spm_merge_no_memory(e);
            s->stack[n++] = at + s->split[id];
            continue;
        }
        ST_TRY(spm_merge_push_symbol(e, id, at, len));
        at = end;
        n--;
    }
    return STRATA_OK;
}

/* Joins the n characters of norm[begin..end) as far as they go: s->symbols, linked from the first on. */
static int spm_merge_join_all(st_encoder *e, uint32_t begin, uint32_t end, uint32_t n)
{
    st_spm_scratch *s = e->scratch;
    st_mem *mem = e->out->mem;
    if (!st_grow(mem, &s->symbols, &s->symbol_cap, n, 0, sizeof *s->symbols)) return spm_merge_no_memory(e);
    st_spm_symbol *y = s->symbols;
    uint32_t k = 0;
    for (uint32_t i = begin, len; i < end; i += len, k++) {
        len = st_utf8_len(s->norm[i]);
        y[k] = (st_spm_symbol){i, len, k - 1, k + 1, -1};
    }
    s->heap.n = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        if (!spm_merge_propose(e, i)) return spm_merge_no_memory(e);
    while (s->heap.n) {
        st_pair p = st_heap_take(&s->heap);
        uint32_t i = (uint32_t)p.key;
        if (!y[i].len || y[i].next >= n || y[i].len + y[y[i].next].len != p.len) continue;
        st_spm_symbol *right = &y[y[i].next];
        y[i].len = p.len;
        y[i].id = p.id;
        y[i].next = right->next;
        right->len = 0;
        if (y[i].next < n) y[y[i].next].prev = i;
        if (i && !spm_merge_propose(e, y[i].prev)) return spm_merge_no_memory(e);
        if (y[i].next < n && !spm_merge_propose(e, i)) return spm_merge_no_memory(e);
    }
    return STRATA_OK;
}

/* Appends the tokens of the symbols before `end`, where one of them ends. */
static int spm_merge_push_joined(st_encoder *e, uint32_t end)
{
    st_spm_scratch *s = e->scratch;
    const st_spm_symbol *y = s->symbols;
    for (uint32_t i = 0; i < end; i = y[i].next) {
        if (s->split)
            ST_TRY(spm_merge_push_parts(e, &y[i]));
        else
            ST_TRY(spm_merge_push_symbol(e, y[i].id, y[i].at, y[i].len));
    }
    return STRATA_OK;
}

static uint32_t spm_merge_count(const uint8_t *norm, uint32_t begin, uint32_t end)
{
    uint32_t n = 0;
    for (uint32_t i = begin; i < end; i++) n += (norm[i] & 0xc0) != 0x80;
    return n;
}

/* The segment by windows of this size. *failed: two of them had nothing in common. */
static int spm_merge_windows(st_encoder *e, uint32_t begin, uint32_t end, uint32_t window, bool *failed)
{
    st_spm_scratch *s = e->scratch;
    uint32_t common = 0; /* bytes of the token that both windows should have at `begin`; 0: nothing to compare */
    *failed = false;
    for (;;) {
        uint32_t to = end - begin <= window ? end : begin + window, cut = 0;
        while (to < end && (s->norm[to] & 0xc0) == 0x80) to++;
        uint32_t n = spm_merge_count(s->norm, begin, to);
        ST_TRY(st_encoder_spend(e, to - begin));
        ST_TRY(spm_merge_join_all(e, begin, to, n));
        const st_spm_symbol *y = s->symbols;
        *failed = common && y[0].len != common;
        if (*failed) return STRATA_OK;
        if (to == end) return spm_merge_push_joined(e, n);
        for (uint32_t i = 0; i <= n / 8 * 7 && i < n; i = y[i].next) cut = i;
        *failed = cut == 0;
        if (*failed) return STRATA_OK;
        ST_TRY(spm_merge_push_joined(e, cut));
        common = y[cut].len;
        begin = y[cut].at;
    }
}

static int merge_by_windows(st_encoder *e, uint32_t begin, uint32_t end)
{
    st_spm_scratch *s = e->scratch;
    st_tokens *out = e->out;
    const size_t before = out->n;
    const bool after_unk = s->after_unk, spans = out->want_spans && before;
    const strata_span last = spans ? out->spans[before - 1] : (strata_span){0, 0}; /* an <unk> may have been grown */
    bool failed = true;
    for (uint32_t window = e->t->window; failed; window = window > UINT32_MAX / 2 ? UINT32_MAX : window * 2) {
        out->n = before;
        s->after_unk = after_unk;
        if (spans) out->spans[before - 1] = last;
        ST_TRY(spm_merge_windows(e, begin, end, window, &failed));
    }
    return STRATA_OK;
}

int st_spm_merge(st_encoder *e, uint32_t begin, uint32_t end)
{
    const st_spm *m = e->t->state;
    st_spm_scratch *s = e->scratch;
    if (end - begin > e->t->window && !m->has_unused) return merge_by_windows(e, begin, end);
    uint32_t n = spm_merge_count(s->norm, begin, end);
    if (n <= SHORT && !m->has_unused) return spm_merge_short(e, begin, end);
    if (m->has_unused) {
        if (!s->split) s->split = st_calloc(e->out->mem, e->t->vocab.n, sizeof *s->split);
        if (!s->split) return spm_merge_no_memory(e);
    }
    ST_TRY(spm_merge_join_all(e, begin, end, n));
    return spm_merge_push_joined(e, n);
}
