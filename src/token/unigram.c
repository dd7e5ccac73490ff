/* unigram.c: Unigram ('t5': T5, XLM-R, bge-m3 and others), as sentencepiece does it.
 *
 * A fragment is normalised (normalizer.cc: character map, spaces, U+2581) and the pieces of highest total score are
 * found by Viterbi (unigram_model.cc, EncodeOptimized), with sentencepiece 0.2.3's float32 sums in its order, since
 * ties and near-ties are decided by rounding. Wherever no piece spans a position the best path up to there is final and
 * its tokens go out, so that the working set stays a word long; a text without such places costs 12 bytes a byte,
 * unless its tokens are only counted. */
#include <float.h>
#include <math.h>

#include "base/utf8.h"
#include "token/charsmap.h"
#include "token/nfc.h"
#include "token/unigram_long.h"
#include "token/unigram_trie.h"

#define SPACE       "\xe2\x96\x81"   /* U+2581 */
#define UNK_SURFACE " \xe2\x81\x87 " /* what sentencepiece decodes <unk> to */
#define UNK_PENALTY 10.0f
#define RESET       100000.0f
#define UNSET       UINT32_MAX
#define KEEP_PLACES 16384 /* of paths that only count */

typedef struct unigram {
    float *scores;        /* [n_vocab]; NaN: user-defined */
    int32_t bytes[256];   /* byte tokens, -1: none */
    bool prefix, squeeze; /* add_dummy_prefix, remove_extra_whitespaces */
    float unk_score;
    st_charsmap map;
    st_added user; /* user-defined tokens: what they spell is not normalised */
    st_trie trie;
    st_longs longs; /* the pieces that the trie has not */
} unigram;

/* Best path that ends at a byte. */
typedef struct best {
    float score;
    uint32_t from; /* UNSET: none yet. Where only the number of tokens is wanted: the tokens of the path */
    int32_t id; /* -1: an unknown character. Of a path that counts: 1 after an <unk> that the next one joins, else 0 */
} best;

/* Scores were counted from `at` again. */
typedef struct shift {
    size_t at;
    float score;
} shift;

typedef struct scratch {
    st_normal norm;
    size_t base;    /* of the fragment in the text */
    bool after_unk; /* the last token is an <unk> that the next unknown character joins */
    best *best;
    uint32_t *stack;
    shift *shifts; /* only with long pieces: the latest, ascending */
    size_t best_cap, stack_cap, shift_cap, n_shifts;
} scratch;

static int unigram_no_memory(st_encoder *e)
{
    ST_FAIL(e->err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes", e->len);
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int unigram_read_scores(st_tokenizer *t, unigram *m, const st_gguf *g, strata_error *err)
{
    const uint8_t *data;
    uint64_t count;
    ST_TRY(st_gguf_array(g, "tokenizer.ggml.scores", ST_GGUF_F32, &data, &count, err));
    ST_FAIL_IF(count != t->vocab.n, err, STRATA_CORRUPT_MODEL,
               "%s: key 'tokenizer.ggml.scores' has %llu items, want %u, one a token", g->name,
               (unsigned long long)count, t->vocab.n);
    m->scores = st_alloc(t->mem, t->vocab.n, sizeof *m->scores);
    ST_FAIL_IF(!m->scores, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    memcpy(m->scores, data, t->vocab.n * sizeof *m->scores);
    float min = FLT_MAX;
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        float f = m->scores[i];
        ST_FAIL_IF(!(f - f == 0), err, STRATA_CORRUPT_MODEL,
                   "%s: key 'tokenizer.ggml.scores': token %u has the score %f, want a finite number", g->name, i,
                   (double)f);
        if (t->vocab.types[i] == ST_TOKEN_NORMAL && f < min) min = f;
        if (t->vocab.types[i] == ST_TOKEN_USER) m->scores[i] = NAN;
    }
    m->unk_score = min - UNK_PENALTY;
    return STRATA_OK;
}

static bool unigram_add_user(const st_tokenizer *t, unigram *m)
{
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        st_str s = st_vocab_piece(&t->vocab, i);
        if (t->vocab.types[i] == ST_TOKEN_USER && !st_added_put(&m->user, t->mem, s, (int32_t)i, ST_ADDED_ALWAYS, 0))
            return false;
    }
    return true;
}

static int open_unigram(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err)
{
    (void)log;
    unigram *m = t->state = st_calloc(t->mem, 1, sizeof *m);
    ST_FAIL_IF(!m, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    ST_TRY(st_tokenizer_bytes(t, m->bytes, g, err));
    ST_TRY(unigram_read_scores(t, m, g, err));
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", true, &m->prefix, err));
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.remove_extra_whitespaces", true, &m->squeeze, err));
    ST_TRY(st_charsmap_open(&m->map, g, err));
    ST_TRY(st_trie_build(&m->trie, t, g, err));
    bool ok = st_longs_build(&m->longs, t) && unigram_add_user(t, m) && (!m->prefix || st_tokenizer_add_user(t)) &&
              st_tokenizer_add(t, 1u << ST_TOKEN_CONTROL | 1u << ST_TOKEN_UNKNOWN, ST_ADDED_PARSE);
    ST_FAIL_IF(!ok, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    t->first = t->info.add_bos ? t->info.bos : -1;
    t->last = t->info.add_eos ? t->info.eos : -1;
    return STRATA_OK;
}

static void close_unigram(st_tokenizer *t)
{
    unigram *m = t->state;
    if (!m) return;
    st_added_free(&m->user, t->mem);
    st_longs_free(&m->longs, t->mem);
    st_free(t->mem, m->trie.edges);
    st_free(t->mem, m->scores);
    st_free(t->mem, m);
}

/* ---- normalising ------------------------------------------------------------------------------------------------- */

/* What stands at p[0..n) and how many bytes of it are used up: a user-defined token as it is, a rule's replacement, or
 * one character. */
static st_str unigram_next_unit(const unigram *m, const uint8_t *p, size_t n, size_t *used, size_t *work)
{
    st_str out;
    if (m->user.first[p[0]] && st_added_match(&m->user, p, n, ST_ADDED_ALWAYS, used, work) >= 0)
        return (st_str){(const char *)p, *used};
    if (p[0] < 0x80 && m->map.plain[p[0]] && (n == 1 || p[1] < 0x80)) {
        *used = 1;
    } else if ((*used = st_charsmap_match(&m->map, p, n, &out))) {
        return out;
    } else {
        *used = st_utf8_len(p[0]);
    }
    return (st_str){(const char *)p, *used};
}

static bool unigram_put_unit(st_normal *o, st_str s, size_t from, size_t to, bool spans, st_mem *mem)
{
    for (size_t i = 0; i < s.len;) {
        const char *space = memchr(s.ptr + i, ' ', s.len - i);
        size_t end = space ? (size_t)(space - s.ptr) : s.len;
        if (!st_normal_put(o, (const uint8_t *)s.ptr + i, end - i, from, to, spans, mem)) return false;
        if (space && !st_normal_put(o, (const uint8_t *)SPACE, 3, from, to, spans, mem)) return false;
        i = end + (space != NULL);
    }
    return true;
}

/* A run of characters that stay as they are. */
static size_t unigram_plain_run(const unigram *m, const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i + 1 < n && p[i] < 0x80 && p[i] != ' ' && p[i + 1] < 0x80 && m->map.plain[p[i]] && !m->user.first[p[i]])
        i++;
    return i;
}

/* False: no memory, or it was stopped: *rc says so. */
static bool unigram_normalize(st_encoder *e, const uint8_t *p, size_t n, st_normal *o, int *rc)
{
    const unigram *m = e->t->state;
    const bool spans = e->out->want_spans;
    st_mem *mem = e->out->mem;
    size_t i = 0, used;
    o->n = 0;
    if (!st_grow(mem, &o->text, &o->cap, n + n / 8 + 16, 0, 1)) return false;
    while (m->squeeze && i < n) { /* leading spaces; also what a rule makes one */
        st_str s = unigram_next_unit(m, p + i, n - i, &used, &e->spent);
        if (!st_str_eq(s, " ")) break;
        i += used;
    }
    if (i == n) return true;
    if (m->prefix && !st_normal_put(o, (const uint8_t *)SPACE, 3, i, i, spans, mem)) return false;
    bool after_space = m->squeeze;
    while (i < n) {
        size_t plain = unigram_plain_run(m, p + i, n - i);
        if (plain) {
            if (!st_normal_copy(o, p + i, plain, i, spans, mem)) return false;
            i += plain;
            after_space = false;
        }
        st_str s = unigram_next_unit(m, p + i, n - i, &used, &e->spent);
        for (; after_space && s.len && s.ptr[0] == ' '; s.len--) s.ptr++;
        if (s.len) {
            bool same =
                s.len == used && s.ptr[0] != ' ' && memcmp(s.ptr, p + i, used) == 0 && !memchr(s.ptr, ' ', s.len);
            if (!(same ? st_normal_copy(o, p + i, used, i, spans, mem)
                       : unigram_put_unit(o, s, i, i + used, spans, mem)))
                return false;
            after_space = m->squeeze && s.ptr[s.len - 1] == ' ';
        }
        i += used;
        if ((*rc = st_encoder_spend(e, plain + used))) return false;
        if (o->n > UINT32_MAX / 2) return false; /* rules of a hostile file */
    }
    while (m->squeeze && o->n >= 3 && memcmp(o->text + o->n - 3, SPACE, 3) == 0) o->n -= 3;
    return true;
}

/* ---- encode ------------------------------------------------------------------------------------------------------ */

/* Appends the token for norm[begin..end). */
static int unigram_push(st_encoder *e, int32_t id, size_t begin, size_t end)
{
    const scratch *s = e->scratch;
    strata_span span = {0, 0};
    if (e->out->want_spans) span = (strata_span){s->base + s->norm.from[begin], s->base + s->norm.to[end - 1]};
    return st_tokens_push(e->out, id, span.begin, span.end) ? STRATA_OK : unigram_no_memory(e);
}

/* A character that no piece covers: its byte tokens, or <unk>, one for a run of them. */
static int unigram_push_unknown(st_encoder *e, size_t begin, size_t end)
{
    const unigram *m = e->t->state;
    scratch *s = e->scratch;
    bool all = true;
    for (size_t i = begin; i < end; i++) all = all && m->bytes[s->norm.text[i]] >= 0;
    for (size_t i = begin; all && i < end; i++) ST_TRY(unigram_push(e, m->bytes[s->norm.text[i]], i, i + 1));
    if (all) return STRATA_OK;
    if (!s->after_unk)
        ST_TRY(unigram_push(e, e->t->info.unk, begin, end));
    else if (e->out->want_spans)
        e->out->spans[e->out->n - 1].end = s->base + s->norm.to[end - 1];
    s->after_unk = true;
    return STRATA_OK;
}

/* Emits the best path from `begin` to `end`. */
static int unigram_flush(st_encoder *e, size_t begin, size_t end)
{
    scratch *s = e->scratch;
    size_t n = 0;
    for (uint32_t at = (uint32_t)(end - begin); at; at = s->best[at].from) {
        if (n == s->stack_cap && !st_grow(e->out->mem, &s->stack, &s->stack_cap, n + 1, n, sizeof *s->stack))
            return unigram_no_memory(e);
        s->stack[n++] = at;
    }
    for (size_t from = 0; n;) {
        size_t at = s->stack[--n];
        int32_t id = s->best[at].id;
        if (id < 0) {
            ST_TRY(unigram_push_unknown(e, begin + from, begin + at));
        } else {
            s->after_unk = false;
            ST_TRY(unigram_push(e, id, begin + from, begin + at));
        }
        from = at;
    }
    return STRATA_OK;
}

/* The number of tokens that unigram_push_unknown makes; *joins: whether the next one joins it. */
static uint32_t unigram_count_unknown(const unigram *m, const uint8_t *p, size_t n, int32_t *joins)
{
    for (size_t i = 0; i < n; i++) {
        if (m->bytes[p[i]] >= 0) continue;
        uint32_t more = !*joins;
        *joins = 1;
        return more;
    }
    return (uint32_t)n;
}

/* Makes room for paths that end at `end` and marks the new places. */
static inline bool unigram_reach(scratch *s, size_t old, size_t end, st_mem *mem)
{
    if (end >= s->best_cap && !st_grow(mem, &s->best, &s->best_cap, end + 1, old + 1, sizeof *s->best)) return false;
    for (size_t i = old + 1; i <= end; i++) s->best[i].from = UNSET;
    return true;
}

/* Sums of long texts lose their digits: sentencepiece counts from the current place again where they grow too large. */
static void unigram_rebase(best *b, uint32_t from, uint32_t far)
{
    float score = b[from].score;
    for (uint32_t i = from; i <= far; i++)
        if (i == from || b[i].from != UNSET) b[i].score -= score;
}

/* Offers b a path from `from` that ends with `id`; the first of equals stays. */
static inline void unigram_offer(best *b, float sum, uint32_t from, int32_t id)
{
    if (b->from == UNSET || sum > b->score) *b = (best){sum, from, id};
}

static float unigram_score_of(const unigram *m, int32_t id, size_t len)
{
    float score = m->scores[id];
    return score != score ? (float)(0.1 * (double)(len - 1)) : score; /* user-defined */
}

/* One text on its way through viterbi. */
typedef struct walk {
    size_t begin; /* the first place of s->best */
    size_t far;   /* no path ends beyond */
    size_t read;  /* what the automaton of long pieces has seen */
    uint32_t node;
    bool count;
} walk;

/* The long pieces that end at `end`: their best path goes to its place, to which no other has come yet. They were to be
 * offered one after the other as their starts came by, so the sums are what they would be by now: where scores were
 * counted anew in between, a sum is changed as often, and compared as it was then. */
static void unigram_offer_longs(st_encoder *e, walk *w, size_t end)
{
    const unigram *m = e->t->state;
    scratch *s = e->scratch;
    best found = {0, UNSET, -1};
    size_t shifted = 0; /* shifts[0..shifted) are in found.score, or before its start */
    for (uint32_t node = st_longs_ends(&m->longs, w->node); node; node = m->longs.nodes[node].ends) {
        size_t len = m->longs.nodes[node].depth, start = end - len;
        int32_t id = m->longs.pieces.nodes[node].id;
        const best *b = &s->best[start - w->begin];
        float sum = unigram_score_of(m, id, len) + b->score;
        for (; shifted < s->n_shifts && s->shifts[shifted].at <= start; shifted++)
            found.score -= s->shifts[shifted].score;
        if (found.from == UNSET || sum > found.score)
            found = w->count ? (best){sum, b->from + 1, 0} : (best){sum, (uint32_t)(start - w->begin), id};
    }
    for (; shifted < s->n_shifts; shifted++) found.score -= s->shifts[shifted].score;
    s->best[end - w->begin] = found;
}

/* Reads on to `to` and offers the long pieces that end on the way. Errors: NO_MEMORY, CANCELLED, DEADLINE. */
static int unigram_read_longs(st_encoder *e, walk *w, size_t to)
{
    const unigram *m = e->t->state;
    scratch *s = e->scratch;
    for (; w->read < to; w->read++) {
        w->node = st_longs_step(&m->longs, w->node, s->norm.text[w->read]);
        if (!st_longs_ends(&m->longs, w->node)) continue;
        size_t end = w->read + 1;
        if (end > w->far) {
            if (!unigram_reach(s, w->far - w->begin, end - w->begin, e->out->mem)) return unigram_no_memory(e);
            w->far = end;
        }
        unigram_offer_longs(e, w, end);
    }
    return STRATA_OK;
}

/* The first place that a path can still come from, at or before i. */
static size_t unigram_needed(const st_encoder *e, const walk *w, size_t i)
{
    const unigram *m = e->t->state;
    size_t open = m->longs.nodes ? w->read - m->longs.nodes[w->node].depth : i;
    return open < i ? open : i;
}

/* A place that every path goes through: what lies before is decided. */
static int unigram_settle(st_encoder *e, walk *w, size_t i)
{
    scratch *s = e->scratch;
    best b = s->best[i - w->begin];
    if (w->count) {
        e->out->n += b.from;
        b.from = 0;
    } else {
        ST_TRY(unigram_flush(e, w->begin, i));
    }
    s->best[0] = b;
    s->n_shifts = 0;
    w->begin = i;
    return STRATA_OK;
}

/* A path that counts has no use for the places behind it. */
static void unigram_forget(scratch *s, walk *w, size_t from)
{
    size_t gone = from - w->begin;
    if (gone < KEEP_PLACES || gone < w->far - from) return;
    memmove(s->best, s->best + gone, (w->far - from + 1) * sizeof *s->best);
    w->begin = from;
}

/* Counts scores from place i again, where sentencepiece does. */
static int unigram_restart(st_encoder *e, walk *w, size_t i)
{
    const unigram *m = e->t->state;
    scratch *s = e->scratch;
    float score = s->best[i - w->begin].score;
    if (score >= -RESET && score <= RESET) return STRATA_OK;
    if (m->longs.nodes) {
        size_t from = unigram_needed(e, w, i), k = 0;
        while (k < s->n_shifts && s->shifts[k].at <= from) k++;
        if (k > 64 && k > s->n_shifts / 2) {
            memmove(s->shifts, s->shifts + k, (s->n_shifts - k) * sizeof *s->shifts);
            s->n_shifts -= k;
        }
        if (!st_grow(e->out->mem, &s->shifts, &s->shift_cap, s->n_shifts + 1, s->n_shifts, sizeof *s->shifts))
            return unigram_no_memory(e);
        s->shifts[s->n_shifts++] = (shift){i, score};
    }
    unigram_rebase(s->best, (uint32_t)(i - w->begin), (uint32_t)(w->far - w->begin));
    return STRATA_OK;
}

/* Instructions and mispredicted branches are what this costs, not the table's latency: with the walks of eight places
 * side by side, each step prefetched a round before, it ran at 18 MB/s instead of 27 (8 k pieces, 15 instead of 19 with
 * 262 k, Zen 4). */
static inline int unigram_viterbi(st_encoder *e, const bool longs, const bool count)
{
    const unigram *m = e->t->state;
    scratch *s = e->scratch;
    st_mem *mem = e->out->mem;
    const uint8_t *text = s->norm.text;
    size_t n = s->norm.n;
    walk w = {.count = count};
    if (!st_grow(mem, &s->best, &s->best_cap, 64, 0, sizeof *s->best)) return unigram_no_memory(e);
    s->best[0] = (best){0, 0, count ? s->after_unk : -1};
    s->n_shifts = 0;
    for (size_t i = 0; i < n;) {
        if (longs) ST_TRY(unigram_read_longs(e, &w, n - i < ST_TRIE_MAX ? n : i + ST_TRIE_MAX));
        if (i == w.far && i > w.begin && (!longs || unigram_needed(e, &w, i) == i)) ST_TRY(unigram_settle(e, &w, i));
        if (count) unigram_forget(s, &w, longs ? unigram_needed(e, &w, i) : i);
        uint32_t from = (uint32_t)(i - w.begin);
        if (s->best[from].score < -RESET || s->best[from].score > RESET) ST_TRY(unigram_restart(e, &w, i));
        const float till_here = s->best[from].score;
        const uint32_t tokens = s->best[from].from;
        unsigned len;
        uint32_t cp = st_utf8_get(text + i, &len);
        const st_trie_edge *g = cp < 128 ? &m->trie.ascii[cp] : st_trie_find(&m->trie, 0, cp);
        size_t at = i + len, next = at;
        bool single = g->child && g->id >= 0;
        if (at > w.far) {
            if (!unigram_reach(s, w.far - w.begin, at - w.begin, mem)) return unigram_no_memory(e);
            w.far = at;
        }
        if (!single && !count) unigram_offer(&s->best[at - w.begin], m->unk_score + till_here, from, -1);
        if (!single && count) {
            int32_t joins = s->best[from].id;
            uint32_t more = unigram_count_unknown(m, text + i, len, &joins);
            unigram_offer(&s->best[at - w.begin], m->unk_score + till_here, tokens + more, joins);
        }
        for (;;) {
            if (g->id >= 0 && g->child) {
                if (at > w.far) {
                    if (!unigram_reach(s, w.far - w.begin, at - w.begin, mem)) return unigram_no_memory(e);
                    w.far = at;
                }
                float score = m->scores[g->id];
                if (score != score) score = (float)(0.1 * (double)(at - i - 1)); /* user-defined */
                unigram_offer(&s->best[at - w.begin], score + till_here, count ? tokens + 1 : from, count ? 0 : g->id);
            }
            if (!g->child || at >= n) break;
            cp = st_utf8_get(text + at, &len);
            if (!(g->key & st_trie_bit(cp))) break;
            g = st_trie_find(&m->trie, g->child, cp);
            at += len;
        }
        ST_TRY(st_encoder_spend(e, next - i));
        i = next;
    }
    if (!n) return STRATA_OK;
    ST_TRY(unigram_settle(e, &w, n));
    if (count) s->after_unk = s->best[0].id;
    return STRATA_OK;
}

static int encode_unigram(st_encoder *e, size_t begin, size_t end)
{
    st_mem *mem = e->out->mem;
    if (!e->scratch) e->scratch = st_calloc(mem, 1, sizeof(scratch));
    scratch *s = e->scratch;
    int rc = STRATA_OK;
    if (!s || !unigram_normalize(e, e->text + begin, end - begin, &s->norm, &rc)) return rc ? rc : unigram_no_memory(e);
    s->base = begin;
    s->after_unk = false;
    const unigram *m = e->t->state;
    if (m->longs.nodes) return e->out->count ? unigram_viterbi(e, true, true) : unigram_viterbi(e, true, false);
    return e->out->count ? unigram_viterbi(e, false, true) : unigram_viterbi(e, false, false);
}

static void finish_unigram(st_encoder *e)
{
    scratch *s = e->scratch;
    if (!s) return;
    st_normal_free(&s->norm, e->out->mem);
    void *parts[] = {s->best, s->stack, s->shifts, s};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) st_free(e->out->mem, parts[i]);
}

/* ---- decode ------------------------------------------------------------------------------------------------------ */

/* A run of byte tokens: valid characters of it, U+FFFD for each other byte. */
static void unigram_put_bytes(const st_tokenizer *t, const int32_t *ids, size_t n, st_text_out *out)
{
    for (size_t i = 0; i < n;) {
        uint8_t b[4];
        size_t k = 0;
        for (; k < 4 && i + k < n; k++) b[k] = (uint8_t)st_byte_token(st_vocab_piece(&t->vocab, (uint32_t)ids[i + k]));
        unsigned bad, len = st_utf8_step(b, k, &bad);
        st_text_put(out, len ? (char *)b : "\xef\xbf\xbd", len ? len : 3);
        i += len ? len : 1;
    }
}

/* sentencepiece_processor.cc, Decode; but control tokens are text, as HF's decode gives them. */
static int decode_unigram(const st_tokenizer *t, const int32_t *ids, size_t n, st_text_out *out, strata_error *err)
{
    const unigram *m = t->state;
    bool start = m->prefix || m->squeeze; /* the space that encode put before the text goes */
    (void)err;
    for (size_t i = 0; i < n;) {
        int type = t->vocab.types[ids[i]];
        if (type == ST_TOKEN_BYTE) {
            size_t k = i + 1;
            while (k < n && t->vocab.types[ids[k]] == ST_TOKEN_BYTE) k++;
            unigram_put_bytes(t, ids + i, k - i, out);
            start = false;
            i = k;
            continue;
        }
        st_str s = st_vocab_piece(&t->vocab, (uint32_t)ids[i++]);
        if (type == ST_TOKEN_UNKNOWN) s = (st_str){UNK_SURFACE, sizeof UNK_SURFACE - 1};
        if (start && s.len >= 3 && memcmp(s.ptr, SPACE, 3) == 0) {
            s.ptr += 3;
            s.len -= 3;
            start = m->squeeze && !s.len;
        } else {
            start = start && !s.len;
        }
        while (s.len) {
            const char *hit = s.ptr;
            while ((hit = memchr(hit, 0xe2, s.len - (size_t)(hit - s.ptr))) &&
                   ((size_t)(s.ptr + s.len - hit) < 3 || memcmp(hit, SPACE, 3) != 0))
                hit++;
            size_t k = hit ? (size_t)(hit - s.ptr) : s.len;
            st_text_put_lossy(out, s.ptr, k);
            if (hit) st_text_put(out, " ", 1), k += 3;
            s.ptr += k;
            s.len -= k;
        }
    }
    return STRATA_OK;
}

const st_token_kind st_token_unigram = {
    .name = "t5",
    .specials = {[ST_SPECIAL_BOS] = {NULL, -1},
                 [ST_SPECIAL_EOS] = {NULL, 1},
                 [ST_SPECIAL_UNK] = {NULL, 2},
                 [ST_SPECIAL_PAD] = {NULL, 0},
                 [ST_SPECIAL_SEP] = {NULL, -1},
                 [ST_SPECIAL_CLS] = {NULL, -1},
                 [ST_SPECIAL_MASK] = {NULL, -1}},
    .add_bos = false,
    .add_eos = true,
    .open = open_unigram,
    .close = close_unigram,
    .encode = encode_unigram,
    .finish = finish_unigram,
    .decode = decode_unigram,
};
