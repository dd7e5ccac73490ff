/* bpe.c: byte-level BPE ('gpt2': GPT-2, Llama 3, Qwen, DeepSeek and others).
 *
 * A fragment is normalised where the model's HuggingFace tokenizer does so, cut into pieces by its pre-tokeniser
 * (pretok.h), and each piece is merged by itself (bpe_merge.c). The vocabulary spells bytes as characters: those that
 * print stand for themselves, the others for U+0100 and up in order (OpenAI's bytes_to_unicode). Where a byte is no
 * token it is left out, as HF does without an unknown token. */
#include "token/bpe.h"

#include "base/utf8.h"

/* Of an alphabet of 256 characters, all below this. */
#define ALPHABET_END 0x144

static bool bpe_prints(uint32_t b)
{
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

/* The character that stands for a byte. */
static uint32_t bpe_char_of(uint32_t b)
{
    return bpe_prints(b) ? b : b < 0x21 ? 0x100 + b : b < 0xa1 ? 0x121 + (b - 0x7f) : 0x143;
}

/* The byte that a character stands for, or -1. */
static int bpe_byte_of(uint32_t cp)
{
    if (cp < 0x100) return bpe_prints(cp) ? (int)cp : -1;
    if (cp >= ALPHABET_END) return -1;
    return (int)(cp < 0x121 ? cp - 0x100 : cp < 0x143 ? 0x7f + (cp - 0x121) : 0xad);
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int bpe_find_pre(st_bpe *m, const st_gguf *g, const char *instead, const st_log *log, strata_error *err)
{
    static const char *const key = "tokenizer.ggml.pre";
    st_str name, arch = {"", 0};
    ST_TRY(st_gguf_str_or(g, key, "", &name, err));
    if (instead) {
        st_log_write(log, STRATA_LOG_INFO, "%s: pre-tokenizer '%s' in place of the file's", g->name, instead);
        name = (st_str){instead, strlen(instead)};
    }
    if (!name.len || st_str_eq(name, "default")) {
        ST_TRY(st_gguf_str_or(g, "general.architecture", "", &arch, err));
        m->pre = st_pretok_of_arch(arch);
        st_log_write(log, STRATA_LOG_WARN, "%s: key '%s' %s: assuming '%s'; tokens may differ from the model's",
                     g->name, key, name.len ? "says only 'default'" : "is missing", m->pre->name);
        return STRATA_OK;
    }
    m->pre = st_pretok_find(name);
    if (m->pre) return STRATA_OK;
    char buf[2048], shown[ST_STR_PRINT];
    st_pretok_names(buf, sizeof buf, true);
    for (const char *p = buf; *p; p += strspn(p, ", ")) { /* a line of the log is short */
        size_t n = strlen(p);
        while (n > 400 || (p[n] && p[n] != ',')) n--;
        st_log_write(log, STRATA_LOG_INFO, "supported pre-tokenizers: %.*s", (int)n, p);
        p += n;
    }
    st_pretok_names(buf, sizeof buf, false);
    ST_FAIL(
        err, STRATA_UNSUPPORTED_TOKENIZER,
        "%s: pre-tokenizer '%s' is not supported, one of these can take its place (pre_tokenizer, --pre): %s and kin",
        g->name, st_str_print(name, shown), buf);
}

static void bpe_fill_alphabet(const st_tokenizer *t, st_bpe *m)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint8_t c[4];
        unsigned n = st_utf8_put(c, bpe_char_of(b));
        m->spell[b] = (uint16_t)(n == 1 ? c[0] : c[0] | c[1] << 8);
        m->bytes[b] = st_vocab_find(&t->vocab, c, n);
    }
}

static int open_bpe(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err)
{
    st_bpe *m = t->state = st_calloc(t->mem, 1, sizeof *m);
    ST_FAIL_IF(!m, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    ST_TRY(bpe_find_pre(m, g, t->pre, log, err));
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", false, &m->prefix, err));
    ST_TRY(st_vocab_index(&t->vocab, ~(1u << ST_TOKEN_CONTROL | 1u << ST_TOKEN_UNKNOWN), t->mem, err));
    ST_TRY(st_bpe_read_merges(t, g, log, err));
    m->whole = st_calloc(t->mem, t->vocab.n, sizeof *m->whole);
    bool ok = m->whole && st_tokenizer_add(t, 1u << ST_TOKEN_USER, ST_ADDED_ALWAYS) &&
              st_tokenizer_add(t, 1u << ST_TOKEN_CONTROL | 1u << ST_TOKEN_UNKNOWN, ST_ADDED_PARSE);
    ST_FAIL_IF(!ok, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    bpe_fill_alphabet(t, m);
    if (!st_gguf_find(g, "tokenizer.ggml.add_bos_token") && m->pre->add_bos) t->info.add_bos = true;
    if (t->info.add_bos) t->first = t->info.bos >= 0 ? t->info.bos : t->info.cls;
    if (t->info.add_eos) t->last = t->info.eos >= 0 ? t->info.eos : t->info.sep;
    return STRATA_OK;
}

static void close_bpe(st_tokenizer *t)
{
    st_bpe *m = t->state;
    if (!m) return;
    st_free(t->mem, m->start);
    st_free(t->mem, m->splits);
    st_free(t->mem, (void *)m->whole);
    st_free(t->mem, m);
}

/* ---- encode ------------------------------------------------------------------------------------------------------ */

static int bpe_no_memory(st_encoder *e)
{
    ST_FAIL(e->err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes", e->len);
}

int st_bpe_push(st_encoder *e, int32_t id, size_t begin, size_t end)
{
    const st_bpe_scratch *s = e->scratch;
    strata_span span = {0, 0};
    if (e->out->want_spans) {
        if (s->dropped) {
            begin = s->kept[begin];
            end = s->kept[end - 1] + (size_t)1;
        }
        begin += s->piece;
        end += s->piece;
        span = s->normal ? (strata_span){s->base + s->norm.from[begin], s->base + s->norm.to[end - 1]}
                         : (strata_span){s->base + begin, s->base + end};
    }
    return st_tokens_push(e->out, id, span.begin, span.end) ? STRATA_OK : bpe_no_memory(e);
}

/* Spells p[0..n) in s->word without the bytes that are no token; returns the length, *left is how many bytes remain. */
static uint32_t bpe_spell(const st_bpe *m, st_bpe_scratch *s, const uint8_t *p, size_t n, uint32_t *left)
{
    uint32_t k = 0;
    int32_t all = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t c = m->spell[p[i]];
        s->word[k] = (uint8_t)c;
        s->word[k + 1] = (uint8_t)(c >> 8);
        k += 1 + (c > 0xff);
        all |= m->bytes[p[i]];
    }
    *left = (uint32_t)n;
    return all < 0 ? UINT32_MAX : k;
}

/* The same where some byte is no token. */
static uint32_t bpe_spell_known(const st_bpe *m, st_bpe_scratch *s, const uint8_t *p, size_t n, uint32_t *left)
{
    uint32_t k = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (m->bytes[p[i]] < 0) continue;
        uint16_t c = m->spell[p[i]];
        s->word[k++] = (uint8_t)c;
        if (c > 0xff) s->word[k++] = (uint8_t)(c >> 8);
        s->kept[kept++] = (uint32_t)i;
    }
    *left = kept;
    return k;
}

uint32_t st_bpe_spell(st_encoder *e, const uint8_t *p, size_t n, uint32_t *left)
{
    st_bpe *m = e->t->state;
    st_bpe_scratch *s = e->scratch;
    st_mem *mem = e->out->mem;
    if (s->word_cap < 2 * n + 2 && !st_grow(mem, &s->word, &s->word_cap, 2 * n + 2, 0, 1)) return UINT32_MAX;
    uint32_t len = bpe_spell(m, s, p, n, left);
    s->dropped = len == UINT32_MAX;
    if (!s->dropped) return len;
    if (!st_grow(mem, &s->kept, &s->kept_cap, n, 0, sizeof *s->kept)) return UINT32_MAX;
    return bpe_spell_known(m, s, p, n, left);
}

/* A piece: often it is a token and merging would only say so, which is tried once a token and remembered. */
static int bpe_encode_piece(st_encoder *e, const uint8_t *p, size_t n)
{
    st_bpe *m = e->t->state;
    st_bpe_scratch *s = e->scratch;
    uint32_t left;
    if (n > e->t->window && n > e->t->vocab.max_len) return st_bpe_merge_long(e, p, n);
    uint32_t len = st_bpe_spell(e, p, n, &left);
    if (len == UINT32_MAX) return bpe_no_memory(e);
    if (s->dropped) return left ? st_bpe_merge(e, len, left) : STRATA_OK;
    int32_t id = n == 1 ? m->bytes[p[0]] : st_vocab_find(&e->t->vocab, s->word, len);
    if (id < 0) return st_bpe_merge(e, len, left);
    if (n == 1 || m->pre->ignore_merges) return st_bpe_push(e, id, 0, n);
    uint8_t known = atomic_load_explicit(&m->whole[id], memory_order_relaxed);
    if (known == 1) return st_bpe_push(e, id, 0, n);
    size_t before = e->out->n;
    ST_TRY(st_bpe_merge(e, len, left));
    if (!known) {
        bool same = e->out->n == before + 1 && e->out->ids[before & ~e->out->drop] == id;
        atomic_store_explicit(&m->whole[id], same ? 1 : 2, memory_order_relaxed); /* any thread finds the same */
    }
    return STRATA_OK;
}

/* norm = the fragment as HF's normaliser and ByteLevel's add_prefix_space make it. */
static bool bpe_normalize(const st_bpe *m, st_bpe_scratch *s, const uint8_t *p, size_t n, bool spans, st_mem *mem)
{
    bool space = m->prefix && p[0] != ' ';
    s->normal = space || (m->pre->nfc && st_nfc_check(p, n) < n);
    if (!s->normal) return true;
    s->norm.n = 0;
    if (space && !st_normal_put(&s->norm, (const uint8_t *)" ", 1, 0, 0, spans, mem)) return false;
    return m->pre->nfc ? st_nfc_append(&s->norm, p, n, 0, spans, mem) : st_normal_copy(&s->norm, p, n, 0, spans, mem);
}

static int encode_bpe(st_encoder *e, size_t begin, size_t end)
{
    const st_bpe *m = e->t->state;
    st_mem *mem = e->out->mem;
    if (!e->scratch) e->scratch = st_calloc(mem, 1, sizeof(st_bpe_scratch));
    st_bpe_scratch *s = e->scratch;
    const uint8_t *p = e->text + begin;
    size_t n = end - begin;
    if (!s || !bpe_normalize(m, s, p, n, e->out->want_spans, mem)) return bpe_no_memory(e);
    s->base = begin;
    if (s->normal) {
        p = s->norm.text;
        n = s->norm.n;
    }
    st_splitter split = st_split_begin(m->pre, p, n);
    size_t looked = 0; /* counted here, for it shows beside a piece of four bytes */
    while (split.at < n) {
        s->piece = split.at;
        st_split_next(&split);
        ST_TRY(bpe_encode_piece(e, p + s->piece, split.at - s->piece));
        if (split.at - looked < ST_LOOK_BYTES) continue;
        looked = split.at;
        ST_TRY(st_encoder_look(e));
    }
    return STRATA_OK;
}

static void finish_bpe(st_encoder *e)
{
    st_bpe_scratch *s = e->scratch;
    if (!s) return;
    st_normal_free(&s->norm, e->out->mem);
    void *parts[] = {s->word, s->kept, s->symbols, s->heap.p, s};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) st_free(e->out->mem, parts[i]);
}

/* ---- decode ------------------------------------------------------------------------------------------------------ */

/* Is all of a spelling of the alphabet? */
static bool bpe_in_alphabet(st_str s)
{
    for (size_t i = 0; i < s.len;) {
        unsigned len, bad;
        const uint8_t *p = (const uint8_t *)s.ptr + i;
        if (!st_utf8_step(p, s.len - i, &bad) || bpe_byte_of(st_utf8_get(p, &len)) < 0) return false;
        i += len;
    }
    return true;
}

size_t st_bpe_bytes(st_str s, size_t *at, uint8_t *out, size_t cap)
{
    size_t n = 0;
    if (*at == 0 && !bpe_in_alphabet(s)) return 0;
    for (unsigned len; *at < s.len && n < cap; *at += len)
        out[n++] = (uint8_t)bpe_byte_of(st_utf8_get((const uint8_t *)s.ptr + *at, &len));
    return n;
}

/* HF: byte_level.rs, decode_chain. */
static int decode_bpe(const st_tokenizer *t, const int32_t *ids, size_t n, st_text_out *out, strata_error *err)
{
    (void)err;
    st_lossy lossy = {out, {0}, 0};
    for (size_t i = 0; i < n; i++) {
        st_str s = st_vocab_piece(&t->vocab, (uint32_t)ids[i]);
        uint8_t buf[64];
        size_t at = 0, m = 0;
        while ((m = st_bpe_bytes(s, &at, buf, sizeof buf))) st_lossy_put(&lossy, buf, m);
        if (!at) st_lossy_put(&lossy, (const uint8_t *)s.ptr, s.len);
    }
    st_lossy_end(&lossy);
    return STRATA_OK;
}

const st_token_kind st_token_bpe = {
    .name = "gpt2",
    .specials = {[ST_SPECIAL_BOS] = {NULL, -1},
                 [ST_SPECIAL_EOS] = {NULL, -1},
                 [ST_SPECIAL_UNK] = {NULL, -1},
                 [ST_SPECIAL_PAD] = {NULL, -1},
                 [ST_SPECIAL_SEP] = {NULL, -1},
                 [ST_SPECIAL_CLS] = {NULL, -1},
                 [ST_SPECIAL_MASK] = {NULL, -1}},
    .add_bos = false,
    .add_eos = false,
    .has_pre = true,
    .open = open_bpe,
    .close = close_bpe,
    .encode = encode_bpe,
    .finish = finish_bpe,
    .decode = decode_bpe,
};
