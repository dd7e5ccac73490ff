/* wordpiece.c: WordPiece ('bert': BERT, MiniLM, bge, nomic, jina and others).
 *
 * Text is cleaned and cut into words in one pass, as HuggingFace's BertNormalizer and BertPreTokenizer do it, one after
 * the other (normalizers/bert.rs, pre_tokenizers/bert.rs); each word is matched longest piece first (models/wordpiece).
 * GGUF spells a piece that starts a word with a leading U+2581 and one that continues a word without its "##", so a
 * word is kept behind U+2581 in memory: its start and its rest are both plain views for the hash. */
#include "token/token_internal.h"

#include "base/utf8.h"
#include "token/unicode_tables.h"

#define MARK      "\xe2\x96\x81" /* U+2581 */
#define MARK_LEN  3
#define MAX_CHARS 100 /* HF: max_input_chars_per_word */
#define MAX_BYTES (4 * MAX_CHARS)

/* What to do with an ASCII byte. */
enum { KEEP, SPACE, REMOVE, PUNCT, WIDE };

typedef struct wordpiece {
    bool lower, strip; /* lower-case; decompose and drop Mn */
    uint8_t kind[256], fold[256];
    int32_t punct[128]; /* token of an ASCII character that is a word of its own */
    uint32_t plain;     /* a code point with none of these properties goes into the word as it is */
} wordpiece;

/* The word that is being read. */
typedef struct word {
    uint8_t buf[MARK_LEN + MAX_BYTES + 16]; /* MARK, then the word */
    uint8_t *text;                          /* the word */
    uint32_t len, chars;
    uint32_t run;                                    /* where the combining marks after the last starter begin */
    size_t begin, end;                               /* in the fragment's text */
    size_t from[MAX_BYTES + 16], to[MAX_BYTES + 16]; /* of each byte, only with spans */
} word;

/* ---- open -------------------------------------------------------------------------------------------------------- */

static bool wordpiece_is_bracketed(st_str s)
{
    return s.len >= 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']';
}

/* Files without the key: a vocabulary in which more than one token in a hundred holds an ASCII capital was made from
 * text with capitals. Uncased BERT vocabularies have none outside [UNK] and its like, cased ones a third. */
static bool wordpiece_looks_cased(const st_vocab *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        st_str s = st_vocab_piece(v, i);
        if (v->types[i] != ST_TOKEN_NORMAL || wordpiece_is_bracketed(s)) continue;
        bool capital = false;
        for (size_t k = 0; k < s.len; k++) capital = capital || (s.ptr[k] >= 'A' && s.ptr[k] <= 'Z');
        n += capital;
    }
    return n > v->n / 100;
}

static void wordpiece_fill_tables(const st_tokenizer *t, wordpiece *m)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t p = st_uc_props(b);
        m->fold[b] = (uint8_t)(m->lower && b >= 'A' && b <= 'Z' ? b + 32 : b);
        m->kind[b] = b >= 128                ? WIDE
                     : p & ST_UC_BERT_REMOVE ? REMOVE
                     : p & ST_UC_BERT_SPACE  ? SPACE
                     : p & ST_UC_BERT_PUNCT  ? PUNCT
                                             : KEEP;
        if (b >= 128) continue;
        uint8_t buf[4] = {0xe2, 0x96, 0x81, (uint8_t)b};
        int32_t id = st_vocab_find(&t->vocab, buf, 4);
        m->punct[b] = id < 0 ? t->info.unk : id;
    }
    m->plain = ST_UC_BERT_REMOVE | ST_UC_BERT_SPACE | ST_UC_BERT_PUNCT | ST_UC_BERT_CJK | ST_UC_SPACE;
    if (m->lower) m->plain |= ST_UC_LOWER;
    if (m->strip) m->plain |= ST_UC_NFD | ST_UC_BERT_MN | 0xff000000u;
}

/* Converters put U+2581 before user-defined tokens too, as before all that starts a word; a text has none. */
static bool wordpiece_add_user(st_tokenizer *t)
{
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        if (t->vocab.types[i] != ST_TOKEN_USER) continue;
        st_str s = st_vocab_piece(&t->vocab, i);
        if (s.len > MARK_LEN && memcmp(s.ptr, MARK, MARK_LEN) == 0) s = (st_str){s.ptr + MARK_LEN, s.len - MARK_LEN};
        if (!st_tokenizer_add_as(t, (int32_t)i, s, ST_ADDED_ALWAYS)) return false;
    }
    return true;
}

static int open_wordpiece(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err)
{
    wordpiece *m = t->state = st_calloc(t->mem, 1, sizeof *m);
    ST_FAIL_IF(!m, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    ST_FAIL_IF(t->info.unk < 0, err, STRATA_CORRUPT_MODEL,
               "%s: key 'tokenizer.ggml.unknown_token_id' is missing and no token is spelled [UNK]", g->name);
    if (t->info.cls < 0 || t->info.sep < 0)
        st_log_write(log, STRATA_LOG_WARN, "%s: no token for the start or the end of a text: nothing is added there",
                     g->name);
    bool given = st_gguf_find(g, "tokenizer.ggml.normalizer.lowercase") != NULL;
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.normalizer.lowercase", given || !wordpiece_looks_cased(&t->vocab),
                           &m->lower, err));
    /* HF: strip_accents follows lowercase unless it is set. */
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.normalizer.strip_accents", m->lower, &m->strip, err));
    ST_TRY(st_vocab_index(&t->vocab, ~(1u << ST_TOKEN_CONTROL | 1u << ST_TOKEN_UNKNOWN), t->mem, err));
    bool ok =
        wordpiece_add_user(t) && st_tokenizer_add(t, 1u << ST_TOKEN_CONTROL | 1u << ST_TOKEN_UNKNOWN, ST_ADDED_PARSE);
    ST_FAIL_IF(!ok, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    wordpiece_fill_tables(t, m);
    if (t->info.add_bos) t->first = t->info.cls >= 0 ? t->info.cls : t->info.bos;
    if (t->info.add_eos) t->last = t->info.sep >= 0 ? t->info.sep : t->info.eos;
    return STRATA_OK;
}

static void close_wordpiece(st_tokenizer *t)
{
    st_free(t->mem, t->state);
}

/* ---- a finished word --------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int wordpiece_push(st_encoder *e, int32_t id, size_t begin, size_t end)
{
    ST_FAIL_IF(!st_tokens_push(e->out, id, begin, end), e->err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes",
               e->len);
    return STRATA_OK;
}

/* Longest token at text[at..]; its length goes to *len. -1: none. */
static int32_t wordpiece_longest(const st_vocab *v, const word *w, uint32_t at, uint32_t *len)
{
    /* Inside a word a view that starts with U+2581 would find tokens that start words. */
    if (at && w->len - at >= MARK_LEN && memcmp(w->text + at, MARK, MARK_LEN) == 0) return -1;
    const uint8_t *p = at ? w->text + at : w->buf;
    uint32_t head = at ? 0 : MARK_LEN, n = w->len - at;
    if (n + head > v->max_len) n = v->max_len > head ? v->max_len - head : 0;
    for (; n; n--) {
        if (at + n < w->len && (w->text[at + n] & 0xc0) == 0x80) continue; /* not between characters */
        int32_t id = st_vocab_find(v, p, n + head);
        if (id >= 0) return *len = n, id;
    }
    return -1;
}

/* Ends the word, if there is one: its pieces, or one [UNK]. */
static int wordpiece_flush(st_encoder *e, word *w)
{
    if (!w->chars) {
        w->run = 0;
        return STRATA_OK;
    }
    size_t n = e->out->n;
    bool known = w->chars <= MAX_CHARS;
    for (uint32_t at = 0, len; known && at < w->len; at += len) {
        int32_t id = wordpiece_longest(&e->t->vocab, w, at, &len);
        known = id >= 0;
        if (!known) break;
        size_t from = SIZE_MAX, to = 0; /* marks may have changed places: the outermost ends count */
        for (uint32_t i = at; e->out->want_spans && i < at + len; i++) {
            from = w->from[i] < from ? w->from[i] : from;
            to = w->to[i] > to ? w->to[i] : to;
        }
        ST_TRY(wordpiece_push(e, id, from, to));
    }
    if (!known) {
        e->out->n = n;
        ST_TRY(wordpiece_push(e, e->t->info.unk, w->begin, w->end));
    }
    w->len = w->chars = w->run = 0;
    return STRATA_OK;
}

/* ---- reading words ----------------------------------------------------------------------------------------------- */

static void wordpiece_put_spans(word *w, uint32_t at, uint32_t n, size_t begin, size_t end)
{
    for (uint32_t i = 0; i < n; i++) {
        w->from[at + i] = begin;
        w->to[at + i] = end;
    }
}

/* Appends a character that comes from text[begin..end). With more than MAX_CHARS only the count matters. */
static void wordpiece_append(st_encoder *e, word *w, uint32_t cp, uint32_t ccc, size_t begin, size_t end)
{
    if (!w->chars) w->begin = begin;
    w->end = end;
    if (++w->chars > MAX_CHARS) return;
    uint8_t c[4];
    uint32_t n = st_utf8_put(c, cp), at = w->len;
    /* Canonical order: a mark moves before marks of a higher class. Only spacing marks get here with a class; the
     * others are dropped. */
    while (ccc && at > w->run) {
        uint32_t k = at - 1;
        unsigned len;
        while ((w->text[k] & 0xc0) == 0x80) k--;
        if (st_uc_ccc(st_uc_props(st_utf8_get(w->text + k, &len))) <= ccc) break;
        at = k;
    }
    memmove(w->text + at + n, w->text + at, w->len - at);
    memcpy(w->text + at, c, n);
    if (e->out->want_spans) {
        memmove(w->from + at + n, w->from + at, (w->len - at) * sizeof w->from[0]);
        memmove(w->to + at + n, w->to + at, (w->len - at) * sizeof w->to[0]);
        wordpiece_put_spans(w, at, n, begin, end);
    }
    w->len += n;
    if (!ccc) w->run = w->len;
}

/* A character behind the normaliser: into the word, or a word of its own, or a gap. */
static int wordpiece_place(st_encoder *e, word *w, uint32_t cp, size_t begin, size_t end)
{
    const wordpiece *m = e->t->state;
    uint32_t p = st_uc_props(cp);
    if (p & (ST_UC_SPACE | ST_UC_BERT_PUNCT)) ST_TRY(wordpiece_flush(e, w));
    if (p & ST_UC_SPACE) return STRATA_OK;
    wordpiece_append(e, w, cp, m->strip ? st_uc_ccc(p) : 0, begin, end);
    return p & ST_UC_BERT_PUNCT ? wordpiece_flush(e, w) : STRATA_OK;
}

/* A character that is not plain. The order is BertNormalizer's: clean, isolate ideographs, decompose and strip,
 * lower. */
static int wordpiece_normalize(st_encoder *e, word *w, uint32_t cp, uint32_t props, size_t begin, size_t end)
{
    const wordpiece *m = e->t->state;
    if (props & ST_UC_BERT_REMOVE) return STRATA_OK;
    if (props & ST_UC_BERT_SPACE) return wordpiece_flush(e, w);
    if (props & ST_UC_BERT_CJK) ST_TRY(wordpiece_flush(e, w));
    uint32_t seq[4] = {cp}, n = m->strip ? st_uc_nfd(cp, seq) : 0;
    if (!n) n = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = st_uc_props(seq[i]), k = 0;
        if (m->strip && p & ST_UC_BERT_MN) {
            if (!st_uc_ccc(p)) w->run = w->len; /* dropped, but marks do not cross it */
            continue;
        }
        const uint32_t *low;
        if (m->lower) k = st_uc_lower(seq[i], &low);
        if (!k) low = &seq[i], k = 1;
        for (uint32_t j = 0; j < k; j++) ST_TRY(wordpiece_place(e, w, low[j], begin, end));
    }
    return props & ST_UC_BERT_CJK ? wordpiece_flush(e, w) : STRATA_OK;
}

/* A run of ASCII that belongs into words; returns where it ends. */
static size_t wordpiece_read_plain(st_encoder *e, const wordpiece *m, word *w, size_t i, size_t end)
{
    const uint8_t *text = e->text;
    size_t start = i;
    if (!w->chars) w->begin = i;
    uint32_t room = w->chars < MAX_CHARS ? MAX_CHARS - w->chars : 0, k = 0;
    for (; i < end && m->kind[text[i]] == KEEP; i++, k++)
        if (k < room) w->text[w->len + k] = m->fold[text[i]];
    uint32_t kept = k < room ? k : room;
    for (uint32_t j = 0; e->out->want_spans && j < kept; j++)
        wordpiece_put_spans(w, w->len + j, 1, start + j, start + j + 1);
    w->len += kept;
    w->chars += k;
    w->run = w->len;
    w->end = i;
    return i;
}

/* Reads on from *at until it is at `end`, or by a character beyond. */
static int wordpiece_read_some(st_encoder *e, word *w, size_t *at, size_t end)
{
    const wordpiece *m = e->t->state;
    size_t i = *at;
    while (i < end) {
        unsigned len = 1;
        switch (m->kind[e->text[i]]) {
        case KEEP: i = wordpiece_read_plain(e, m, w, i, end); continue;
        case SPACE: ST_TRY(wordpiece_flush(e, w)); break;
        case REMOVE: break;
        case PUNCT:
            ST_TRY(wordpiece_flush(e, w));
            ST_TRY(wordpiece_push(e, m->punct[e->text[i]], i, i + 1));
            break;
        default: {
            uint32_t cp = st_utf8_get(e->text + i, &len), props = st_uc_props(cp);
            if (props & m->plain)
                ST_TRY(wordpiece_normalize(e, w, cp, props, i, i + len));
            else
                wordpiece_append(e, w, cp, 0, i, i + len);
        }
        }
        i += len;
    }
    *at = i;
    return STRATA_OK;
}

static int encode_wordpiece(st_encoder *e, size_t begin, size_t end)
{
    word w;
    memcpy(w.buf, MARK, MARK_LEN);
    w.text = w.buf + MARK_LEN;
    w.len = w.chars = w.run = 0;
    w.begin = w.end = begin;
    for (size_t i = begin; i < end;) {
        ST_TRY(st_encoder_look(e));
        ST_TRY(wordpiece_read_some(e, &w, &i, end - i < ST_LOOK_BYTES ? end : i + ST_LOOK_BYTES));
    }
    return wordpiece_flush(e, &w);
}

/* ---- decode ------------------------------------------------------------------------------------------------------ */

/* HF's WordPiece decoder with clean-up (decoders/wordpiece.rs): tokens are joined by spaces but for continuations, and
 * the space before these goes. Its other replacements need a space inside a token. */
static bool wordpiece_hugs_left(st_str s)
{
    static const char *const heads[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        size_t n = strlen(heads[i]);
        if (s.len >= n && memcmp(s.ptr, heads[i], n) == 0) return true;
    }
    return false;
}

static int decode_wordpiece(const st_tokenizer *t, const int32_t *ids, size_t n, st_text_out *out, strata_error *err)
{
    (void)err;
    for (size_t i = 0; i < n; i++) {
        st_str s = st_vocab_piece(&t->vocab, (uint32_t)ids[i]);
        bool starts = t->vocab.types[ids[i]] != ST_TOKEN_NORMAL || wordpiece_is_bracketed(s);
        if (s.len >= MARK_LEN && memcmp(s.ptr, MARK, MARK_LEN) == 0) {
            starts = true;
            s.ptr += MARK_LEN;
            s.len -= MARK_LEN;
        }
        if (!starts && !i) st_text_put(out, "##", 2); /* nothing to continue: HF leaves the token as it is */
        if (starts && i && !wordpiece_hugs_left(s)) st_text_put(out, " ", 1);
        st_text_put_lossy(out, s.ptr, s.len);
    }
    return STRATA_OK;
}

const st_token_kind st_token_wordpiece = {
    .name = "bert",
    .specials = {[ST_SPECIAL_BOS] = {NULL, -1},
                 [ST_SPECIAL_EOS] = {NULL, -1},
                 [ST_SPECIAL_UNK] = {"[UNK]", -1},
                 [ST_SPECIAL_PAD] = {"[PAD]", -1},
                 [ST_SPECIAL_SEP] = {"[SEP]", -1},
                 [ST_SPECIAL_CLS] = {"[CLS]", -1},
                 [ST_SPECIAL_MASK] = {"[MASK]", -1}},
    .add_bos = true,
    .add_eos = true,
    .open = open_wordpiece,
    .close = close_wordpiece,
    .encode = encode_wordpiece,
    .decode = decode_wordpiece,
};
