/* spm.c: SentencePiece BPE ('llama': Llama, Gemma, Phi-3 and others).
 *
 * A fragment is normalised (spaces become U+2581), user-defined tokens are taken as they stand, and what lies between
 * is cut into segments that no token can cross, mostly words, which spm_merge.c merges.
 *
 * Two references exist for such files. sentencepiece matches user-defined tokens in normalised text; HuggingFace's
 * tokenizers cut them out of raw text first. They differ where a text holds literal U+2581. A file converted from
 * HuggingFace's added tokens shows it by the score -1000 that the converter gives them (convert_hf_to_gguf.py,
 * _create_vocab_sentencepiece); others come from a sentencepiece model. */
#include "token/spm.h"

#include "base/utf8.h"

#define CONVERTED_SCORE (-1000.0f)

static float spm_score_of(const st_spm *m, uint32_t id)
{
    float f;
    memcpy(&f, m->scores + 4 * (size_t)id, 4);
    return f;
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int spm_read_scores(st_tokenizer *t, st_spm *m, const st_gguf *g, strata_error *err)
{
    uint64_t count;
    ST_TRY(st_gguf_array(g, "tokenizer.ggml.scores", ST_GGUF_F32, &m->scores, &count, err));
    ST_FAIL_IF(count != t->vocab.n, err, STRATA_CORRUPT_MODEL,
               "%s: key 'tokenizer.ggml.scores' has %llu items, want %u, one a token", g->name,
               (unsigned long long)count, t->vocab.n);
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        float f = spm_score_of(m, i);
        ST_FAIL_IF(f != f, err, STRATA_CORRUPT_MODEL, "%s: key 'tokenizer.ggml.scores': token %u has the score NaN",
                   g->name, i);
    }
    return STRATA_OK;
}

/* A user-defined token of two or more spaces that came from HuggingFace, where it is spelled with U+2581. */
static bool spm_is_raw_run(const st_spm *m, uint32_t id, st_str s)
{
    if (s.len < 2 || spm_score_of(m, id) != CONVERTED_SCORE) return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != ' ') return false;
    return true;
}

/* Copies *s with U+2581 for spaces into *buf and makes *s that. False: no memory. */
static bool spm_escape(st_str *s, char **buf, size_t *cap, st_mem *mem)
{
    size_t n = 0;
    if (!st_grow(mem, buf, cap, 3 * s->len + 1, 0, 1)) return false;
    for (size_t i = 0; i < s->len; i++) {
        if (s->ptr[i] == ' ')
            memcpy(*buf + n, ST_SPM_SPACE, 3), n += 3;
        else
            (*buf)[n++] = s->ptr[i];
    }
    *s = (st_str){*buf, n};
    return true;
}

/* Fills the two tries: tokens of raw text, and user-defined tokens of normalised text. */
static bool spm_fill_tries(st_tokenizer *t, st_spm *m, char **buf, size_t *cap)
{
    bool raw = false;
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        if (t->vocab.types[i] != ST_TOKEN_USER) continue;
        st_str s = st_vocab_piece(&t->vocab, i);
        raw = raw || spm_is_raw_run(m, i, s);
        if (!spm_escape(&s, buf, cap, t->mem)) return false;
        if (!st_added_put(&m->user, t->mem, s, (int32_t)i, ST_ADDED_ALWAYS, 0)) return false;
    }
    if (m->prefix && !st_tokenizer_add_user(t)) return false;
    if (!st_tokenizer_add(t, 1u << ST_TOKEN_CONTROL | 1u << ST_TOKEN_UNKNOWN, ST_ADDED_PARSE)) return false;
    if (!raw) return true;
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        if (t->vocab.types[i] != ST_TOKEN_USER) continue;
        st_str s = st_vocab_piece(&t->vocab, i);
        if (spm_is_raw_run(m, i, s) && !spm_escape(&s, buf, cap, t->mem)) return false;
        if (!st_tokenizer_add_as(t, (int32_t)i, s, ST_ADDED_ALWAYS)) return false;
    }
    return true;
}

static bool spm_add_tokens(st_tokenizer *t, st_spm *m)
{
    char *buf = NULL;
    size_t cap = 0;
    bool ok = spm_fill_tries(t, m, &buf, &cap);
    st_free(t->mem, buf);
    return ok;
}

/* Which cuts before a space are safe: those after bytes that no token has right before a space. */
static void spm_find_joins(const st_tokenizer *t, st_spm *m)
{
    for (uint32_t id = 0; id < t->vocab.n; id++) {
        int type = t->vocab.types[id];
        m->has_unused = m->has_unused || type == ST_TOKEN_UNUSED;
        if (type != ST_TOKEN_NORMAL && type != ST_TOKEN_USER && type != ST_TOKEN_UNUSED) continue;
        st_str s = st_vocab_piece(&t->vocab, id);
        const uint8_t *p = (const uint8_t *)s.ptr;
        for (size_t i = 1; i + 3 <= s.len; i++) {
            const uint8_t *hit = memchr(p + i, 0xe2, s.len - 2 - i);
            if (!hit) break;
            i = (size_t)(hit - p);
            if (st_spm_is_space(hit) && (i < 3 || !st_spm_is_space(hit - 3))) m->joins[hit[-1]] = true;
        }
    }
    /* Merging and taking apart unused tokens depends on the whole text (sentencepiece keeps one table for it). */
    if (m->has_unused) memset(m->joins, true, sizeof m->joins);
    for (int b = 0; b < 256; b++) m->stop[b] = (uint8_t)((m->user.first[b] ? 1 : 0) | (b == 0xe2 ? 2 : 0));
}

static int open_spm(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err)
{
    st_spm *m = t->state = st_calloc(t->mem, 1, sizeof *m);
    ST_FAIL_IF(!m, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    ST_TRY(spm_read_scores(t, m, g, err));
    ST_TRY(st_tokenizer_bytes(t, m->bytes, g, err));
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", true, &m->prefix, err));
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.remove_extra_whitespaces", false, &m->squeeze, err));
    if (!t->vocab.typed)
        st_log_write(log, STRATA_LOG_WARN,
                     "%s: key 'tokenizer.ggml.token_type' is missing: all but the special ids and "
                     "<0xNN> count as normal tokens",
                     g->name);
    ST_TRY(st_vocab_index(&t->vocab, 1u << ST_TOKEN_NORMAL | 1u << ST_TOKEN_USER | 1u << ST_TOKEN_UNUSED, t->mem, err));
    m->whole = st_calloc(t->mem, t->vocab.n, sizeof *m->whole);
    ST_FAIL_IF(!m->whole || !spm_add_tokens(t, m), err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    spm_find_joins(t, m);
    t->first = t->info.add_bos ? t->info.bos : -1;
    t->last = t->info.add_eos ? t->info.eos : -1;
    return STRATA_OK;
}

static void close_spm(st_tokenizer *t)
{
    st_spm *m = t->state;
    if (!m) return;
    st_added_free(&m->user, t->mem);
    st_free(t->mem, (void *)m->whole);
    st_free(t->mem, m);
}

/* ---- encode ------------------------------------------------------------------------------------------------------ */

strata_span st_spm_span(const st_encoder *e, uint32_t begin, uint32_t end)
{
    const st_spm_scratch *s = e->scratch;
    if (!e->out->want_spans) return (strata_span){0, 0};
    size_t to = end <= s->dummy ? s->from[begin] : s->from[end - 1] + (size_t)1;
    return (strata_span){s->base + s->from[begin], s->base + to};
}

int st_spm_push(st_encoder *e, int32_t id, uint32_t begin, uint32_t end)
{
    strata_span span = st_spm_span(e, begin, end);
    ((st_spm_scratch *)e->scratch)->after_unk = false;
    ST_FAIL_IF(!st_tokens_push(e->out, id, span.begin, span.end), e->err, STRATA_NO_MEMORY,
               "no memory to tokenize %zu bytes", e->len);
    return STRATA_OK;
}

/* norm = the fragment as sentencepiece's normalizer.cc makes it, without its character map. With from == NULL the
 * origin of each byte is not kept. */
static size_t spm_normalize(const st_spm *m, const uint8_t *p, size_t n, st_spm_scratch *s, uint32_t *from)
{
    uint8_t *o = s->norm;
    size_t k = 0, i = 0;
    s->dummy = 0;
    if (m->squeeze)
        while (i < n && p[i] == ' ') i++;
    if (i == n) return 0;
    if (m->prefix) {
        memcpy(o, ST_SPM_SPACE, 3);
        if (from) from[0] = from[1] = from[2] = (uint32_t)i;
        k = s->dummy = 3;
    }
    for (bool after_space = false; i < n; i++) {
        bool space = p[i] == ' ';
        if (space && m->squeeze && after_space) continue;
        after_space = space;
        if (from) {
            from[k] = (uint32_t)i;
            if (space) from[k + 1] = from[k + 2] = (uint32_t)i;
        }
        if (space)
            memcpy(o + k, ST_SPM_SPACE, 3), k += 3;
        else
            o[k++] = p[i];
    }
    if (m->squeeze)
        while (k >= 3 && st_spm_is_space(o + k - 3)) k -= 3;
    return k;
}

/* A segment: often it is a token and merging would only say so, which is tried once a token and remembered. */
static int spm_encode_segment(st_encoder *e, uint32_t begin, uint32_t end)
{
    st_spm *m = e->t->state;
    st_spm_scratch *s = e->scratch;
    if (begin == end) return STRATA_OK;
    int32_t id = m->has_unused ? -1 : st_vocab_find(&e->t->vocab, s->norm + begin, end - begin);
    if (id < 0) return st_spm_merge(e, begin, end);
    uint8_t known = atomic_load_explicit(&m->whole[id], memory_order_relaxed);
    if (known == 1) return st_spm_push(e, id, begin, end);
    size_t n = e->out->n;
    ST_TRY(st_spm_merge(e, begin, end));
    if (!known) {
        bool same = e->out->n == n + 1 && e->out->ids[n & ~e->out->drop] == id;
        atomic_store_explicit(&m->whole[id], same ? 1 : 2, memory_order_relaxed); /* any thread finds the same */
    }
    return STRATA_OK;
}

static int spm_encode_norm(st_encoder *e)
{
    const st_spm *m = e->t->state;
    st_spm_scratch *s = e->scratch;
    const uint8_t *norm = s->norm;
    uint32_t n = (uint32_t)s->n_norm, begin = 0, spaces_end = 0; /* where the last run of spaces ended */
    uint32_t looked = 0;
    ST_TRY(st_encoder_spend(e, n));
    for (uint32_t i = 0; i < n;) {
        uint8_t stop = m->stop[norm[i]];
        if (!stop) {
            i++;
            continue;
        }
        size_t len;
        int32_t id = -1;
        if (stop & 1) {
            id = st_added_match(&m->user, norm + i, n - i, ST_ADDED_ALWAYS, &len, &e->spent);
            ST_TRY(st_encoder_spend(e, 0));
        }
        if (id >= 0) {
            ST_TRY(spm_encode_segment(e, begin, i));
            ST_TRY(st_spm_push(e, id, i, i + (uint32_t)len));
            begin = i += (uint32_t)len;
            continue;
        }
        if (norm[i] == 0xe2 && st_spm_is_space(norm + i)) {
            if (i > begin && spaces_end != i && !m->joins[norm[i - 1]]) {
                ST_TRY(spm_encode_segment(e, begin, i));
                begin = i;
                if (i - looked > ST_LOOK_BYTES) {
                    ST_TRY(st_encoder_look(e));
                    looked = i;
                }
            }
            spaces_end = i + 3;
        }
        i += st_utf8_len(norm[i]);
    }
    return spm_encode_segment(e, begin, n);
}

static int encode_spm(st_encoder *e, size_t begin, size_t end)
{
    const st_spm *m = e->t->state;
    st_mem *mem = e->out->mem;
    if (!e->scratch) e->scratch = st_calloc(mem, 1, sizeof(st_spm_scratch));
    st_spm_scratch *s = e->scratch;
    size_t n = end - begin, need = n + 3;
    for (size_t i = begin; i < end; i++) need += e->text[i] == ' ' ? 2 : 0;
    bool ok = s && st_grow(mem, &s->norm, &s->norm_cap, need, 0, 1) &&
              (!e->out->want_spans || st_grow(mem, &s->from, &s->from_cap, need, 0, sizeof *s->from));
    ST_FAIL_IF(!ok, e->err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes", e->len);
    s->base = begin;
    s->after_unk = false;
    s->n_norm = spm_normalize(m, e->text + begin, n, s, e->out->want_spans ? s->from : NULL);
    return spm_encode_norm(e);
}

static void finish_spm(st_encoder *e)
{
    st_spm_scratch *s = e->scratch;
    if (!s) return;
    void *parts[] = {s->norm, s->from, s->symbols, s->heap.p, s->stack, s->split, s};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) st_free(e->out->mem, parts[i]);
}

/* ---- decode ------------------------------------------------------------------------------------------------------ */

/* A run of byte tokens: its text if it is UTF-8, else U+FFFD for each. HF: byte_fallback.rs. strip: without a space at
 * its start. */
static void spm_put_bytes(const st_tokenizer *t, const int32_t *ids, size_t n, bool strip, st_text_out *out)
{
    bool valid = true;
    for (int pass = 0; pass < 2; pass++) { /* first only to see whether all is valid */
        for (size_t i = 0; i < n;) {
            uint8_t b[4];
            size_t k = 0;
            for (; k < 4 && i + k < n; k++)
                b[k] = (uint8_t)st_byte_token(st_vocab_piece(&t->vocab, (uint32_t)ids[i + k]));
            unsigned bad, len = st_utf8_step(b, k, &bad);
            if (!pass) {
                valid = valid && len;
            } else if (valid) {
                if (i || !strip || b[0] != ' ') st_text_put(out, (char *)b, len);
            } else {
                len = 1;
                st_text_put(out, "\xef\xbf\xbd", 3);
            }
            i += len ? len : 1;
        }
    }
}

static int decode_spm(const st_tokenizer *t, const int32_t *ids, size_t n, st_text_out *out, strata_error *err)
{
    const st_spm *m = t->state;
    bool strip = m->prefix || m->squeeze; /* the space that encode put before the text */
    (void)err;
    for (size_t i = 0; i < n;) {
        if (t->vocab.types[ids[i]] == ST_TOKEN_BYTE) {
            size_t k = i + 1;
            while (k < n && t->vocab.types[ids[k]] == ST_TOKEN_BYTE) k++;
            spm_put_bytes(t, ids + i, k - i, strip, out);
            strip = false;
            i = k;
            continue;
        }
        st_str s = st_vocab_piece(&t->vocab, (uint32_t)ids[i++]);
        size_t begin = 0, at = 0;
        while (at < s.len) {
            bool wide = at + 3 <= s.len && st_spm_is_space((const uint8_t *)s.ptr + at);
            if (!wide && !(strip && s.ptr[at] == ' ')) {
                strip = false;
                at++;
                continue;
            }
            st_text_put_lossy(out, s.ptr + begin, at - begin);
            if (!strip) st_text_put(out, " ", 1);
            if (!m->squeeze) strip = false;
            at += wide ? 3 : 1;
            begin = at;
        }
        st_text_put_lossy(out, s.ptr + begin, s.len - begin);
    }
    return STRATA_OK;
}

const st_token_kind st_token_spm = {
    .name = "llama",
    .specials = {[ST_SPECIAL_BOS] = {NULL, 1},
                 [ST_SPECIAL_EOS] = {NULL, 2},
                 [ST_SPECIAL_UNK] = {NULL, 0},
                 [ST_SPECIAL_PAD] = {NULL, -1},
                 [ST_SPECIAL_SEP] = {NULL, -1},
                 [ST_SPECIAL_CLS] = {NULL, -1},
                 [ST_SPECIAL_MASK] = {NULL, -1}},
    .add_bos = true,
    .add_eos = false,
    .open = open_spm,
    .close = close_spm,
    .encode = encode_spm,
    .finish = finish_spm,
    .decode = decode_spm,
};
