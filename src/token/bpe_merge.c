/* bpe_merge.c: the merges of byte-level BPE: reading them and joining one piece.
 *
 * A file lists merges "left right", the most important first. A token is nearly always reached in one way, so a merge
 * is kept with the token that it makes, as the length of its left part, and two neighbours are looked up by what they
 * spell together: one hash of a dozen bytes, which for most neighbours ends at the filter of the vocabulary. Short
 * pieces keep the candidates in an array that is scanned; long ones use a heap, n log n. Both give HF's result
 * (models/bpe/word.rs, merge_all): the merge of the lowest rank first, leftmost on ties.
 *
 * Pieces of more than a window go by windows that overlap. Where no merge crosses a place, both sides merge as if they
 * were alone; so tokens that follow each other in a result are also the result for their own bytes, and a row of tokens
 * of which that is true for every two neighbours is the result for all: the first merge that crossed one of its borders
 * would do so in those two alone. Hence, where two windows that overlap have one token in common, the tokens of the
 * first up to it and those of the second from it on are the tokens of both. Where they have none the window grows. */
#include "token/bpe.h"

#define SHORT 48 /* symbols: up to here a scan over all candidates beats the heap */

static int bpe_merge_no_memory(st_encoder *e)
{
    ST_FAIL(e->err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes", e->len);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct merge {
    int32_t id; /* what it makes; -1: nothing that is a token */
    uint32_t left;
} merge;

/* Merges are looked up in batches, a cache miss at a time for all of them: the slot, the token's place, its
 * spelling. */
enum { AHEAD = 16, STRIDE = 64 };

/* Copies "left right" as leftright to buf; its length, 0 if it is no merge or too long for any token. *left: where the
 * first space after the first byte divides it. */
static size_t bpe_merge_join(st_str s, size_t max, uint8_t *buf, uint32_t *left)
{
    const char *space = s.len > 2 ? memchr(s.ptr + 1, ' ', s.len - 1) : NULL;
    if (!space || s.len - 1 > max) return 0;
    size_t n = (size_t)(space - s.ptr), right = s.len - n - 1;
    if (!right) return 0;
    memcpy(buf, s.ptr, n);
    memcpy(buf + n, space + 1, right);
    *left = (uint32_t)n;
    return n + right;
}

/* What s[0..n) make, n <= AHEAD. long_buf: max_len bytes. */
static void bpe_merge_look_up(const st_vocab *v, const st_str *s, size_t n, uint8_t *long_buf, merge *made)
{
    uint8_t buf[AHEAD][STRIDE];
    uint32_t hash[AHEAD];
    size_t len[AHEAD], max = v->max_len < STRIDE ? v->max_len : STRIDE;
    for (size_t i = 0; i < n; i++) {
        made[i] = (merge){-1, 0};
        len[i] = bpe_merge_join(s[i], max, buf[i], &made[i].left);
        if (!len[i]) continue;
        hash[i] = st_vocab_hash(buf[i], len[i]);
        __builtin_prefetch(&v->slots[hash[i] & v->mask]);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t id = len[i] ? (uint32_t)v->slots[hash[i] & v->mask] : 0;
        if (id) __builtin_prefetch(&v->offsets[id - 1]);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t id = len[i] ? (uint32_t)v->slots[hash[i] & v->mask] : 0;
        if (id) __builtin_prefetch(v->bytes + v->offsets[id - 1]);
    }
    for (size_t i = 0; i < n; i++) {
        if (len[i]) {
            made[i].id = st_vocab_find_hash(v, buf[i], len[i], hash[i]);
        } else if (s[i].len > STRIDE) {
            size_t k = bpe_merge_join(s[i], v->max_len, long_buf, &made[i].left);
            if (k) made[i].id = st_vocab_find(v, long_buf, k);
        }
    }
}

/* Puts merge `rank` among the splits of its token. Of equal merges the last counts, as in HF's map. */
static void bpe_merge_put_split(st_bpe *m, merge g, uint32_t rank)
{
    st_bpe_split *s = m->splits + m->start[g.id];
    while (s->left && s->left != g.left) s++;
    *s = (st_bpe_split){rank, g.left};
}

int st_bpe_read_merges(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err)
{
    static const char *const key = "tokenizer.ggml.merges";
    st_bpe *m = t->state;
    const st_gguf_kv *kv = st_gguf_find(g, key);
    ST_FAIL_IF(!kv, err, STRATA_CORRUPT_MODEL, "%s: key '%s' is missing", g->name, key);
    ST_FAIL_IF(kv->type != ST_GGUF_ARRAY || kv->elem_type != ST_GGUF_STRING, err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' is not an array of strings", g->name, key);
    ST_FAIL_IF(kv->count > INT32_MAX, err, STRATA_CORRUPT_MODEL, "%s: key '%s' has %llu items", g->name, key,
               (unsigned long long)kv->count);
    size_t n = (size_t)kv->count, at = 0, lost = 0;
    merge *made = st_alloc(t->mem, n, sizeof *made);
    uint8_t *buf = st_alloc(t->mem, (size_t)t->vocab.max_len + 1, 1);
    m->start = st_calloc(t->mem, (size_t)t->vocab.n + 1, sizeof *m->start);
    m->splits = st_calloc(t->mem, n + 1, sizeof *m->splits);
    int rc = made && buf && m->start && m->splits ? STRATA_OK : STRATA_NO_MEMORY;
    if (!rc) {
        st_str s[AHEAD];
        for (size_t i = 0, k; i < n; i += k) {
            for (k = 0; k < AHEAD && i + k < n && st_gguf_next_string(kv, &at, &s[k]); k++) continue;
            if (!k) break; /* cannot be: the parser has counted them */
            bpe_merge_look_up(&t->vocab, s, k, buf, made + i);
            for (size_t j = i; j < i + k; j++) {
                if (made[j].id < 0)
                    lost++;
                else
                    m->start[made[j].id + 1]++;
            }
        }
        for (uint32_t i = 0; i < t->vocab.n; i++) m->start[i + 1] += m->start[i];
        for (size_t i = 0; i < n; i++)
            if (made[i].id >= 0) bpe_merge_put_split(m, made[i], (uint32_t)i);
        if (lost)
            st_log_write(log, STRATA_LOG_WARN, "%s: key '%s': %zu of %zu merges make no token and are left out",
                         g->name, key, lost, n);
    } else {
        (void)st_error_set(err, rc, "%s: no memory for %zu merges", g->name, n);
    }
    st_free(t->mem, made);
    st_free(t->mem, buf);
    return rc;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

/* Rank of the merge of p[0..left) and p[left..len), UINT32_MAX: there is none. *id is what it makes. */
static uint32_t bpe_merge_rank_of(const st_encoder *e, const uint8_t *p, uint32_t left, uint32_t len, int32_t *id)
{
    const st_bpe *m = e->t->state;
    *id = st_vocab_find(&e->t->vocab, p, len);
    if (*id < 0) return UINT32_MAX;
    const st_bpe_split *s = m->splits + m->start[*id], *end = m->splits + m->start[*id + 1];
    for (; s < end && s->left; s++)
        if (s->left == left) return s->rank;
    return UINT32_MAX;
}

/* Symbols of word[at..at + len): each stands for a byte. */
static uint32_t bpe_merge_count(const uint8_t *word, uint32_t at, uint32_t len)
{
    uint32_t n = 0;
    for (uint32_t i = at; i < at + len; i++) n += (word[i] & 0xc0) != 0x80;
    return n;
}

static int bpe_merge_short(st_encoder *e, uint32_t len, uint32_t n)
{
    const uint8_t *word = ((st_bpe_scratch *)e->scratch)->word;
    uint32_t at[SHORT + 1]; /* symbol i is word[at[i]..at[i+1]) */
    uint32_t rank[SHORT];   /* of joining i with i+1 */
    int32_t id[SHORT], joined[SHORT];
    n = 0;
    for (uint32_t i = 0; i < len; i += word[i] < 0x80 ? 1 : 2) at[n] = i, id[n++] = -1;
    at[n] = len;
    for (uint32_t i = 0; i + 1 < n; i++)
        rank[i] = bpe_merge_rank_of(e, word + at[i], at[i + 1] - at[i], at[i + 2] - at[i], &joined[i]);
    while (n > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == UINT32_MAX) break;
        id[best] = joined[best];
        n--;
        for (uint32_t i = best + 1; i < n; i++) {
            at[i] = at[i + 1];
            id[i] = id[i + 1];
        }
        at[n] = len;
        for (uint32_t i = best + 1; i + 1 < n; i++) joined[i] = joined[i + 1], rank[i] = rank[i + 1];
        for (uint32_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++)
            rank[i] = bpe_merge_rank_of(e, word + at[i], at[i + 1] - at[i], at[i + 2] - at[i], &joined[i]);
    }
    size_t byte = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bytes = e->out->want_spans ? bpe_merge_count(word, at[i], at[i + 1] - at[i]) : 0;
        if (id[i] < 0) id[i] = st_vocab_find(&e->t->vocab, word + at[i], at[i + 1] - at[i]);
        ST_TRY(st_bpe_push(e, id[i], byte, byte + bytes));
        byte += bytes;
    }
    return STRATA_OK;
}

/* Proposes to join symbol i with its right neighbour. A symbol's index is its place, so ties go leftmost. */
static bool bpe_merge_propose(st_encoder *e, uint32_t i)
{
    st_bpe_scratch *s = e->scratch;
    const st_bpe_symbol *a = &s->symbols[i], *b = &s->symbols[a->next];
    int32_t id;
    uint32_t rank = bpe_merge_rank_of(e, s->word + a->at, a->len, a->len + b->len, &id);
    if (rank == UINT32_MAX) return true;
    return st_heap_put(&s->heap, e->out->mem, (st_pair){(uint64_t)rank << 32 | i, a->len + b->len, id});
}

/* Joins the n symbols of word[0..len) as far as they go: s->symbols, linked from the first on. */
static int bpe_merge_join_all(st_encoder *e, uint32_t len, uint32_t n)
{
    st_bpe_scratch *s = e->scratch;
    if (!st_grow(e->out->mem, &s->symbols, &s->symbol_cap, n, 0, sizeof *s->symbols)) return bpe_merge_no_memory(e);
    st_bpe_symbol *y = s->symbols;
    for (uint32_t i = 0, at = 0; at < len; i++) {
        uint32_t bytes = s->word[at] < 0x80 ? 1 : 2;
        y[i] = (st_bpe_symbol){at, bytes, i - 1, i + 1, -1};
        at += bytes;
    }
    s->heap.n = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        if (!bpe_merge_propose(e, i)) return bpe_merge_no_memory(e);
    while (s->heap.n) {
        st_pair p = st_heap_take(&s->heap);
        uint32_t i = (uint32_t)p.key;
        if (!y[i].len || y[i].next >= n || y[i].len + y[y[i].next].len != p.len) continue;
        st_bpe_symbol *right = &y[y[i].next];
        y[i].len = p.len;
        y[i].id = p.id;
        y[i].next = right->next;
        right->len = 0;
        if (y[i].next < n) y[y[i].next].prev = i;
        if (i && !bpe_merge_propose(e, y[i].prev)) return bpe_merge_no_memory(e);
        if (y[i].next < n && !bpe_merge_propose(e, i)) return bpe_merge_no_memory(e);
    }
    return STRATA_OK;
}

/* Appends the tokens of the symbols before `end`, where one of them ends. */
static int bpe_merge_push_joined(st_encoder *e, uint32_t end)
{
    const st_bpe_scratch *s = e->scratch;
    const st_bpe_symbol *y = s->symbols;
    for (uint32_t i = 0; i < end; i = y[i].next) { /* a symbol a byte */
        int32_t id = y[i].id < 0 ? st_vocab_find(&e->t->vocab, s->word + y[i].at, y[i].len) : y[i].id;
        ST_TRY(st_bpe_push(e, id, i, y[i].next));
    }
    return STRATA_OK;
}

static int merge_long(st_encoder *e, uint32_t len, uint32_t n)
{
    ST_TRY(bpe_merge_join_all(e, len, n));
    return bpe_merge_push_joined(e, n);
}

/* The piece by windows of this size. *failed: two of them had nothing in common. */
static int bpe_merge_windows(st_encoder *e, const uint8_t *p, size_t n, size_t window, bool *failed)
{
    st_bpe_scratch *s = e->scratch;
    const size_t piece = s->piece;
    uint32_t common = 0; /* symbols of the token that both windows should have at `at`; 0: nothing to compare */
    *failed = false;
    for (size_t at = 0, take; at < n; at += take) {
        uint32_t left, cut = 0;
        take = n - at < window ? n - at : window;
        ST_TRY(st_encoder_spend(e, take));
        s->piece = piece + at;
        uint32_t len = st_bpe_spell(e, p + at, take, &left);
        if (len == UINT32_MAX) return bpe_merge_no_memory(e);
        if (!left) continue;
        ST_TRY(bpe_merge_join_all(e, len, left));
        const st_bpe_symbol *y = s->symbols;
        *failed = common && y[0].next != common;
        if (*failed) return STRATA_OK;
        if (at + take == n) return bpe_merge_push_joined(e, left);
        for (uint32_t i = 0; i <= left / 8 * 7 && i < left; i = y[i].next) cut = i;
        *failed = cut == 0;
        if (*failed) return STRATA_OK;
        ST_TRY(bpe_merge_push_joined(e, cut));
        common = y[cut].next - cut;
        take = s->dropped ? s->kept[cut] : cut;
    }
    return STRATA_OK;
}

int st_bpe_merge_long(st_encoder *e, const uint8_t *p, size_t n)
{
    st_bpe_scratch *s = e->scratch;
    const size_t piece = s->piece, before = e->out->n;
    bool failed = true;
    for (size_t window = e->t->window; failed; window *= 2) {
        e->out->n = before;
        ST_TRY(bpe_merge_windows(e, p, n, window, &failed));
        s->piece = piece;
    }
    return STRATA_OK;
}

int st_bpe_merge(st_encoder *e, uint32_t len, uint32_t n)
{
    return n <= SHORT ? bpe_merge_short(e, len, n) : merge_long(e, len, n);
}
