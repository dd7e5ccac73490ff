/* tokenizer.c: what all kinds of tokenizers share: opening, special tokens, the frame of encode and decode. */
#include "token/token_impl.h"

#include "token/utf8.h"

/* One row a kind. */
static const st_token_kind *const KINDS[] = {&st_token_spm, &st_token_bpe, &st_token_wordpiece, &st_token_unigram};
#define N_KINDS (sizeof KINDS / sizeof KINDS[0])

/* Longest text of one call. Kinds count bytes of a normalised text, up to three times as long, in 32 bits. */
#define MAX_TEXT ((size_t)1 << 30)

static int find_kind(const st_gguf *g, const st_token_kind **out, strata_error *err)
{
    st_str name;
    ST_TRY(st_gguf_str(g, "tokenizer.ggml.model", &name, err));
    char known[64] = "";
    for (size_t i = 0, n = 0; i < N_KINDS; i++) {
        if (st_str_eq(name, KINDS[i]->name)) {
            *out = KINDS[i];
            return STRATA_OK;
        }
        size_t len = strlen(KINDS[i]->name);
        if (n + len + 3 > sizeof known) continue;
        if (n) memcpy(known + n, ", ", 2), n += 2;
        memcpy(known + n, KINDS[i]->name, len + 1);
        n += len;
    }
    ST_FAIL(err, STRATA_UNSUPPORTED_TOKENIZER, "%s: tokenizer '%.*s' is not supported (supported: %s)", g->name,
            ST_STR(name), known);
}

/* seperator: the format's own spelling. */
static const char *const SPECIAL_KEYS[ST_SPECIAL_COUNT] = {
    "tokenizer.ggml.bos_token_id",     "tokenizer.ggml.eos_token_id",       "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.padding_token_id", "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.cls_token_id",
    "tokenizer.ggml.mask_token_id"};

static int read_specials(st_tokenizer *t, const st_gguf *g, strata_error *err)
{
    st_token_info *info = &t->info;
    int32_t *slot[ST_SPECIAL_COUNT] = {&info->bos, &info->eos, &info->unk, &info->pad,
                                       &info->sep, &info->cls, &info->mask};
    for (int i = 0; i < ST_SPECIAL_COUNT; i++) {
        uint32_t id;
        bool given = st_gguf_find(g, SPECIAL_KEYS[i]) != NULL;
        if (given) {
            ST_TRY(st_gguf_u32(g, SPECIAL_KEYS[i], &id, err));
        } else {
            *slot[i] = t->kind->specials[i].spelling ? st_vocab_scan(&t->vocab, t->kind->specials[i].spelling) : -1;
            if (*slot[i] >= 0) continue;
            if (t->kind->specials[i].id < 0) continue;
            id = (uint32_t)t->kind->specials[i].id;
        }
        ST_FAIL_IF(id >= t->vocab.n, err, STRATA_CORRUPT_MODEL,
                   "%s: key '%s' is %u%s, want less than %u, the number of tokens", g->name, SPECIAL_KEYS[i], id,
                   given ? "" : " by default", t->vocab.n);
        *slot[i] = (int32_t)id;
    }
    info->n_vocab = t->vocab.n;
    if (!t->vocab.typed) /* without types the special ids are all that is known */
        for (int i = 0; i < ST_SPECIAL_COUNT; i++)
            if (*slot[i] >= 0) t->vocab.types[*slot[i]] = i == ST_SPECIAL_UNK ? ST_TOKEN_UNKNOWN : ST_TOKEN_CONTROL;
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.add_bos_token", t->kind->add_bos, &info->add_bos, err));
    return st_gguf_bool_or(g, "tokenizer.ggml.add_eos_token", t->kind->add_eos, &info->add_eos, err);
}

int st_tokenizer_open(const st_gguf *g, const st_log *log, st_mem *mem, st_tokenizer **out, strata_error *err)
{
    const st_token_kind *kind = NULL;
    ST_TRY(find_kind(g, &kind, err));
    st_tokenizer *t = st_calloc(mem, 1, sizeof *t);
    ST_FAIL_IF(!t, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    t->kind = kind;
    t->mem = mem;
    t->first = t->last = -1;
    int rc = st_vocab_open(&t->vocab, g, mem, err);
    if (!rc) rc = read_specials(t, g, err);
    if (!rc) rc = kind->open(t, g, log, err);
    if (rc) {
        st_tokenizer_close(t);
        return rc;
    }
    if (st_log_on(log, STRATA_LOG_INFO))
        st_log_write(log, STRATA_LOG_INFO, "tokenizer %s: %u tokens, puts %d before a text and %d after it", kind->name,
                     t->vocab.n, t->first, t->last);
    *out = t;
    return STRATA_OK;
}

void st_tokenizer_close(st_tokenizer *t)
{
    if (!t) return;
    t->kind->close(t);
    st_added_free(&t->added, t->mem);
    st_vocab_close(&t->vocab, t->mem);
    st_free(t->mem, t);
}

const st_token_info *st_tokenizer_info(const st_tokenizer *t)
{
    return &t->info;
}

st_str st_tokenizer_piece(const st_tokenizer *t, int32_t id)
{
    return st_vocab_piece(&t->vocab, (uint32_t)id);
}

int st_tokenizer_type(const st_tokenizer *t, int32_t id)
{
    return t->vocab.types[id];
}

bool st_tokenizer_add(st_tokenizer *t, unsigned types, uint32_t class)
{
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        if (!(types >> t->vocab.types[i] & 1)) continue;
        st_str s = st_vocab_piece(&t->vocab, i);
        if (!st_added_put(&t->added, t->mem, s.ptr, s.len, (int32_t)i, class)) return false;
    }
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

int st_byte_token(st_str s)
{
    if (s.len != 6 || memcmp(s.ptr, "<0x", 3) != 0 || s.ptr[5] != '>') return -1;
    int hi = hex_digit(s.ptr[3]), lo = hex_digit(s.ptr[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

int st_tokenizer_bytes(st_tokenizer *t, int32_t bytes[256], const st_gguf *g, strata_error *err)
{
    for (int i = 0; i < 256; i++) bytes[i] = -1;
    for (uint32_t i = 0; i < t->vocab.n; i++) {
        if (t->vocab.typed && t->vocab.types[i] != ST_TOKEN_BYTE) continue;
        st_str s = st_vocab_piece(&t->vocab, i);
        int b = st_byte_token(s);
        ST_FAIL_IF(b < 0 && t->vocab.typed, err, STRATA_CORRUPT_MODEL,
                   "%s: token %u is a byte token and spelled '%.*s', want <0xNN>", g->name, i, ST_STR(s));
        if (b < 0) continue;
        t->vocab.types[i] = ST_TOKEN_BYTE;
        if (bytes[b] < 0) bytes[b] = (int32_t)i;
    }
    return STRATA_OK;
}

/* ---- encode ------------------------------------------------------------------------------------------------------ */

void st_tokens_free(st_tokens *out)
{
    if (!out->mem) return;
    st_free(out->mem, out->ids);
    st_free(out->mem, out->spans);
    *out = (st_tokens){.mem = out->mem, .want_spans = out->want_spans};
}

bool st_tokens_grow(st_tokens *o)
{
    if (!st_grow(o->mem, &o->ids, &o->cap, o->n + 1, o->n, sizeof *o->ids)) return false;
    return !o->want_spans || st_grow(o->mem, &o->spans, &o->span_cap, o->cap, o->n, sizeof *o->spans);
}

static int no_memory(strata_error *err, size_t len)
{
    ST_FAIL(err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes", len);
}

/* Cuts added tokens out, leftmost first and the longest at each place, and hands the kind what lies between.
 * HF: added_vocabulary.rs, extract_and_normalize. */
static int encode_fragments(st_encoder *e, unsigned flags)
{
    const st_added *added = &e->t->added;
    uint32_t classes = ST_ADDED_ALWAYS | (flags & STRATA_TOKENIZE_PARSE_SPECIAL ? ST_ADDED_PARSE : 0);
    size_t begin = 0, i = 0, len = 0;
    while (i < e->len) {
        int32_t id = -1;
        if (added->first[e->text[i]] & classes) id = st_added_match(added, e->text + i, e->len - i, classes, &len);
        if (id < 0) {
            i++;
            continue;
        }
        if (i > begin) ST_TRY(e->t->kind->encode(e, begin, i));
        if (!st_tokens_push(e->out, id, i, i + len)) return no_memory(e->err, e->len);
        i += len;
        begin = i;
    }
    return begin < e->len ? e->t->kind->encode(e, begin, e->len) : STRATA_OK;
}

static int encode_valid(const st_tokenizer *t, const char *text, size_t len, unsigned flags, st_tokens *out,
                        strata_error *err)
{
    st_encoder e = {t, (const uint8_t *)text, len, out, NULL, err};
    bool special = flags & STRATA_TOKENIZE_ADD_SPECIAL;
    int rc = STRATA_OK;
    if (special && t->first >= 0 && !st_tokens_push(out, t->first, 0, 0)) rc = no_memory(err, len);
    if (!rc) rc = encode_fragments(&e, flags);
    if (!rc && special && t->last >= 0 && !st_tokens_push(out, t->last, len, len)) rc = no_memory(err, len);
    if (t->kind->finish) t->kind->finish(&e);
    return rc;
}

/* Invalid UTF-8 under LOSSY: tokenizes the repaired text and translates the spans. */
static int encode_repaired(const st_tokenizer *t, const char *text, size_t len, unsigned flags, st_tokens *out,
                           strata_error *err)
{
    st_utf8_fixed fixed;
    size_t n = out->n;
    if (!st_utf8_fix(text, len, out->mem, &fixed)) return no_memory(err, len);
    int rc = encode_valid(t, fixed.text, fixed.len, flags, out, err);
    for (; !rc && out->want_spans && n < out->n; n++) {
        out->spans[n].begin = st_utf8_fixed_offset(&fixed, out->spans[n].begin, false);
        out->spans[n].end = st_utf8_fixed_offset(&fixed, out->spans[n].end, true);
    }
    st_utf8_fixed_free(&fixed, out->mem);
    return rc;
}

int st_tokenizer_encode(const st_tokenizer *t, const char *text, size_t len, unsigned flags, st_tokens *out,
                        strata_error *err)
{
    ST_FAIL_IF(len > MAX_TEXT, err, STRATA_TOO_LONG, "the text has %zu bytes, want at most %zu", len, MAX_TEXT);
    size_t n = out->n, bad = st_utf8_check(text, len);
    int rc;
    if (bad == len)
        rc = encode_valid(t, text, len, flags, out, err);
    else if (flags & STRATA_TOKENIZE_LOSSY)
        rc = encode_repaired(t, text, len, flags, out, err);
    else
        ST_FAIL(err, STRATA_INVALID_ARG, "the text is not UTF-8: byte 0x%02x at offset %zu", (uint8_t)text[bad], bad);
    if (rc) out->n = n;
    return rc;
}

/* ---- decode ------------------------------------------------------------------------------------------------------ */

void st_text_put_lossy(st_text_out *o, const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t good = st_utf8_check(p + i, n - i);
        st_text_put(o, p + i, good);
        i += good;
        if (i == n) break;
        unsigned bad = 1;
        (void)st_utf8_step((const uint8_t *)p + i, n - i, &bad);
        st_text_put(o, "\xef\xbf\xbd", 3);
        i += bad;
    }
}

/* May more bytes make a character of held[0..n)? */
static bool is_open(const st_lossy *l)
{
    unsigned bad = 0;
    return l->n && !st_utf8_step(l->held, l->n, &bad) && bad == l->n && l->held[0] >= 0xc2 && l->held[0] < 0xf5 &&
           l->n < st_utf8_len(l->held[0]);
}

/* Hands on what is decided of held, up to its open end. */
static void settle(st_lossy *l, bool all)
{
    while (l->n && (all || !is_open(l))) {
        unsigned bad = 0, len = st_utf8_step(l->held, l->n, &bad), used = len ? len : bad;
        st_text_put(l->out, len ? (const char *)l->held : "\xef\xbf\xbd", len ? len : 3);
        l->n -= used;
        memmove(l->held, l->held + used, l->n);
    }
}

void st_lossy_put(st_lossy *l, const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (!l->n) {
            size_t good = st_utf8_check((const char *)p + i, n - i);
            st_text_put(l->out, (const char *)p + i, good);
            i += good;
            if (i == n) break;
        }
        l->held[l->n++] = p[i++];
        settle(l, false);
    }
}

void st_lossy_end(st_lossy *l)
{
    settle(l, true);
}

int st_tokenizer_decode(const st_tokenizer *t, const int32_t *ids, size_t n, char *buf, size_t cap, size_t *len,
                        strata_error *err)
{
    for (size_t i = 0; i < n; i++)
        ST_FAIL_IF(ids[i] < 0 || (uint32_t)ids[i] >= t->vocab.n, err, STRATA_INVALID_ARG,
                   "token %zu is %d, want 0 to %u", i, ids[i], t->vocab.n - 1);
    st_text_out out = {buf, cap, 0};
    ST_TRY(t->kind->decode(t, ids, n, &out, err));
    *len = out.len;
    return STRATA_OK;
}
