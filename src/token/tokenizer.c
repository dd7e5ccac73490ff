/* tokenizer.c: what all kinds of tokenizers share: opening, special tokens, the frame of decode. encode.c has that of
 * encode. */
#include "token/token_internal.h"

#include "base/utf8.h"

/* One row a kind. */
static const st_token_kind *const KINDS[] = {&st_token_spm, &st_token_bpe, &st_token_wordpiece, &st_token_unigram};
#define N_KINDS (sizeof KINDS / sizeof KINDS[0])

static int tokenizer_find_kind(const st_gguf *g, const st_token_kind **out, strata_error *err)
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

/* A window's symbols and candidates fit a second-level cache. */
#define WINDOW 16384

/* seperator: the format's own spelling. */
static const char *const SPECIAL_KEYS[ST_SPECIAL_COUNT] = {
    "tokenizer.ggml.bos_token_id",     "tokenizer.ggml.eos_token_id",       "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.padding_token_id", "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.cls_token_id",
    "tokenizer.ggml.mask_token_id"};

/* *id = what the key says; -1 where it is absent or says that there is no such token (writers put all ones, also as an
 * int32). An id outside the vocabulary counts as none, since most of these are never used; llama.cpp does the same.
 * Errors: CORRUPT_MODEL (not an integer). */
static int tokenizer_read_id(const st_tokenizer *t, const st_gguf *g, const char *key, const st_log *log, int32_t *id,
                             bool *given, strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(g, key);
    uint32_t n = UINT32_MAX;
    *id = -1;
    *given = kv != NULL;
    if (!kv) return STRATA_OK;
    static const uint8_t ones[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    bool wide = kv->type == ST_GGUF_I64 || kv->type == ST_GGUF_U64;
    if ((wide && memcmp(kv->data, ones, 8) == 0) || (kv->type == ST_GGUF_I32 && memcmp(kv->data, ones, 4) == 0))
        return STRATA_OK;
    strata_error why = {0};
    bool number = kv->type <= ST_GGUF_I32 || wide; /* any other type is damage */
    int rc = st_gguf_u32(g, key, &n, number ? &why : err);
    if (rc && !number) return rc;
    if (!rc && n < t->vocab.n) {
        *id = (int32_t)n;
    } else if (rc) {
        *given = false;
        st_log_write(log, STRATA_LOG_WARN, "%s: no token: left out", why.msg);
    } else if (n != UINT32_MAX) {
        *given = false;
        st_log_write(log, STRATA_LOG_WARN, "%s: key '%s' is %u, want less than %u, the number of tokens: left out",
                     g->name, key, n, t->vocab.n);
    }
    return STRATA_OK;
}

/* The kind's default where the file does not say: by spelling, else by number. */
static int32_t tokenizer_default_id(const st_tokenizer *t, int which)
{
    const char *spelling = t->kind->specials[which].spelling;
    int32_t id = spelling ? st_vocab_scan(&t->vocab, spelling) : -1;
    if (id >= 0) return id;
    id = t->kind->specials[which].id;
    return id >= 0 && (uint32_t)id < t->vocab.n ? id : -1;
}

static int tokenizer_read_specials(st_tokenizer *t, const st_gguf *g, const st_log *log, strata_error *err)
{
    st_token_info *info = &t->info;
    int32_t *slot[ST_SPECIAL_COUNT] = {&info->bos, &info->eos, &info->unk, &info->pad,
                                       &info->sep, &info->cls, &info->mask};
    for (int i = 0; i < ST_SPECIAL_COUNT; i++) {
        bool given;
        ST_TRY(tokenizer_read_id(t, g, SPECIAL_KEYS[i], log, slot[i], &given, err));
        /* Text that no token covers has to become something. */
        if (!given || (*slot[i] < 0 && i == ST_SPECIAL_UNK)) *slot[i] = tokenizer_default_id(t, i);
    }
    ST_FAIL_IF(info->unk < 0 && t->kind->specials[ST_SPECIAL_UNK].id >= 0, err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' names none of the %u tokens, and there is none by default (%d)", g->name,
               SPECIAL_KEYS[ST_SPECIAL_UNK], t->vocab.n, t->kind->specials[ST_SPECIAL_UNK].id);
    info->n_vocab = t->vocab.n;
    if (!t->vocab.typed) /* without types the special ids are all that is known */
        for (int i = 0; i < ST_SPECIAL_COUNT; i++)
            if (*slot[i] >= 0) t->vocab.types[*slot[i]] = i == ST_SPECIAL_UNK ? ST_TOKEN_UNKNOWN : ST_TOKEN_CONTROL;
    ST_TRY(st_gguf_bool_or(g, "tokenizer.ggml.add_bos_token", t->kind->add_bos, &info->add_bos, err));
    return st_gguf_bool_or(g, "tokenizer.ggml.add_eos_token", t->kind->add_eos, &info->add_eos, err);
}

static int tokenizer_read_family(st_tokenizer *t, const st_gguf *g, strata_error *err)
{
    st_family *f = &t->family;
    ST_TRY(st_gguf_str(g, "tokenizer.ggml.model", &f->model, err));
    ST_TRY(st_gguf_str_or(g, "tokenizer.ggml.pre", "", &f->pre, err));
    if (t->pre) f->pre = (st_str){t->pre, strlen(t->pre)};
    ST_TRY(st_gguf_str_or(g, "general.architecture", "", &f->arch, err));
    return st_gguf_str_or(g, "general.name", "", &f->name, err);
}

int st_tokenizer_open(const st_gguf *g, const char *pre, const st_log *log, st_mem *mem, st_tokenizer **out,
                      strata_error *err)
{
    const st_token_kind *kind = NULL;
    ST_TRY(tokenizer_find_kind(g, &kind, err));
    ST_FAIL_IF(pre && !kind->has_pre, err, STRATA_UNSUPPORTED_TOKENIZER,
               "%s: the tokenizer '%s' has no pre-tokenizer: '%s' cannot take its place", g->name, kind->name, pre);
    st_tokenizer *t = st_calloc(mem, 1, sizeof *t);
    ST_FAIL_IF(!t, err, STRATA_NO_MEMORY, "%s: no memory for the tokenizer", g->name);
    t->kind = kind;
    t->pre = pre;
    t->mem = mem;
    t->first = t->last = -1;
    t->window = WINDOW;
    int rc = st_vocab_open(&t->vocab, g, mem, err);
    if (!rc) rc = tokenizer_read_family(t, g, err);
    if (!rc) rc = tokenizer_read_specials(t, g, log, err);
    if (!rc) rc = kind->open(t, g, log, err);
    if (rc) {
        st_tokenizer_close(t);
        return rc;
    }
    if (st_log_on(log, STRATA_LOG_INFO))
        st_log_write(log, STRATA_LOG_INFO, "tokenizer %s: %u tokens, puts %d before a text and %d after it", kind->name,
                     t->vocab.n, t->first, t->last);
    t->pre = NULL;
    t->family = (st_family){0};
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

bool st_tokenizer_add_as(st_tokenizer *t, int32_t id, st_str s, unsigned class)
{
    unsigned flags = st_added_known_flags(&t->family, st_vocab_piece(&t->vocab, (uint32_t)id));
    return st_added_put(&t->added, t->mem, s, id, class, flags);
}

bool st_tokenizer_add(st_tokenizer *t, unsigned types, unsigned class)
{
    for (uint32_t i = 0; i < t->vocab.n; i++)
        if (types >> t->vocab.types[i] & 1 && !st_tokenizer_add_as(t, (int32_t)i, st_vocab_piece(&t->vocab, i), class))
            return false;
    return true;
}

/* Copies s with spaces for U+2581 to buf, which has room for it; its length. *solid: it is more than spaces. */
static size_t tokenizer_plain_spaces(st_str s, char *buf, bool *solid)
{
    size_t n = 0;
    *solid = false;
    for (size_t i = 0; i < s.len; i++) {
        bool wide = i + 3 <= s.len && memcmp(s.ptr + i, "\xe2\x96\x81", 3) == 0;
        buf[n++] = wide ? ' ' : s.ptr[i];
        *solid = *solid || buf[n - 1] != ' ';
        i += wide ? 2 : 0;
    }
    return n;
}

bool st_tokenizer_add_user(st_tokenizer *t)
{
    char *buf = NULL;
    size_t cap = 0;
    bool solid, ok = true;
    for (uint32_t i = 0; i < t->vocab.n && ok; i++) {
        if (t->vocab.types[i] != ST_TOKEN_USER) continue;
        st_str s = st_vocab_piece(&t->vocab, i), plain;
        ok = st_grow(t->mem, &buf, &cap, s.len + 1, 0, 1);
        if (!ok) break;
        plain = (st_str){buf, tokenizer_plain_spaces(s, buf, &solid)};
        if (!solid) continue;
        ok = st_tokenizer_add_as(t, (int32_t)i, s, ST_ADDED_ALWAYS) &&
             st_tokenizer_add_as(t, (int32_t)i, plain, ST_ADDED_ALWAYS);
    }
    st_free(t->mem, buf);
    return ok;
}

static int tokenizer_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

int st_byte_token(st_str s)
{
    if (s.len != 6 || memcmp(s.ptr, "<0x", 3) != 0 || s.ptr[5] != '>') return -1;
    int hi = tokenizer_hex_digit(s.ptr[3]), lo = tokenizer_hex_digit(s.ptr[4]);
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
static bool tokenizer_is_open(const st_lossy *l)
{
    unsigned bad = 0;
    return l->n && !st_utf8_step(l->held, l->n, &bad) && bad == l->n && l->held[0] >= 0xc2 && l->held[0] < 0xf5 &&
           l->n < st_utf8_len(l->held[0]);
}

/* Hands on what is decided of held, up to its open end. */
static void tokenizer_settle(st_lossy *l, bool all)
{
    while (l->n && (all || !tokenizer_is_open(l))) {
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
        tokenizer_settle(l, false);
    }
}

void st_lossy_end(st_lossy *l)
{
    tokenizer_settle(l, true);
}

static int tokenizer_check_ids(const st_tokenizer *t, const int32_t *ids, size_t n, strata_error *err)
{
    for (size_t i = 0; i < n; i++)
        ST_FAIL_IF(ids[i] < 0 || (uint32_t)ids[i] >= t->vocab.n, err, STRATA_INVALID_ARG,
                   "token %zu is %d, want 0 to %u", i, ids[i], t->vocab.n - 1);
    return STRATA_OK;
}

int st_tokenizer_decode(const st_tokenizer *t, const int32_t *ids, size_t n, char *buf, size_t cap, size_t *len,
                        strata_error *err)
{
    st_text_out out = {buf, cap, 0};
    ST_TRY(tokenizer_check_ids(t, ids, n, err));
    ST_TRY(t->kind->decode(t, ids, n, &out, err));
    *len = out.len;
    return STRATA_OK;
}

/* HuggingFace takes its special tokens out and decodes the rest: what comes first then begins the text. */
int st_tokenizer_decode_text(const st_tokenizer *t, const int32_t *ids, size_t n, char *buf, size_t cap, size_t *len,
                             strata_error *err)
{
    const unsigned out = 1u << ST_TOKEN_CONTROL | 1u << ST_TOKEN_UNKNOWN | 1u << ST_TOKEN_UNUSED;
    ST_TRY(tokenizer_check_ids(t, ids, n, err));
    int32_t *kept = st_alloc(t->mem, n + 1, sizeof *kept);
    size_t k = 0;
    ST_FAIL_IF(!kept, err, STRATA_NO_MEMORY, "no memory for %zu tokens", n);
    for (size_t i = 0; i < n; i++)
        if (!(out >> t->vocab.types[ids[i]] & 1)) kept[k++] = ids[i];
    int rc = st_tokenizer_decode(t, kept, k, buf, cap, len, err);
    st_free(t->mem, kept);
    return rc;
}
