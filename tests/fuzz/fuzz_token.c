/* fuzz_token.c: the tokenizers on arbitrary text and on arbitrary files.
 *
 * The first byte chooses: bits 0..2 the flags of encode, bit 3 the kind (llama or bert; with bit 6 gpt2 or t5), bit 4
 * the space prefix, bit 5 the removal of spaces, bit 7 that the rest is a GGUF file to open instead of text for a
 * vocabulary made here. For gpt2 and t5 the second byte chooses more. */
#define _GNU_SOURCE /* memmem */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "convert/gguf_write.h"
#include "token/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SP   "\xe2\x96\x81"
#define G    "\xc4\xa0" /* a space in the byte alphabet */
#define N(a) (sizeof(a) / sizeof(a)[0])

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "fuzz_token: %s\n", what);
    abort();
}

/* A small file in memory, and its tokenizer. */
typedef struct vocab {
    uint8_t *data;
    size_t size;
    st_gguf g;
    st_tokenizer *t;
} vocab;

static void finish(vocab *v, st_gguf_writer *w, st_mem *mem)
{
    must(!st_gguf_writer_finish(w, &v->data, &v->size, NULL), "the vocabulary cannot be written");
    st_gguf_writer_close(w);
    must(!st_gguf_parse(&v->g, v->data, v->size, "fuzz", true, mem, NULL) &&
             !st_tokenizer_open(&v->g, NULL, NULL, mem, &v->t, NULL),
         "the vocabulary cannot be opened");
}

static void build(vocab *v, st_mem *mem, bool bert, bool prefix, bool squeeze)
{
    static const char *const spm[] = {"<unk>",
                                      "<s>",
                                      "</s>",
                                      SP,
                                      "a",
                                      "b",
                                      "c",
                                      "ab",
                                      "bc",
                                      (SP "a"),
                                      (SP SP),
                                      "aa",
                                      "aaaa",
                                      "ca",
                                      ("b" SP "c"),
                                      "abab",
                                      "\xc3\xa9",
                                      "e",
                                      ("\xc3\xa9"
                                       "e"),
                                      "<sep>",
                                      "  ",
                                      "\n\n"};
    static const char *const wp[] = {
        "[PAD]",    "[UNK]", "[CLS]",    "[SEP]",  "[MASK]", (SP "a"), (SP "b"), "a",
        "b",        "ab",    (SP "abc"), (SP "."), (SP "'"), "c",      (SP "e"), (SP "\xe4\xb8\xad"),
        (SP "[x]"), (SP SP), (SP "1"),   "1"};
    static char bytes[256][8];
    st_str s[300];
    int32_t types[300];
    float scores[300];
    size_t n = bert ? N(wp) : N(spm), bytes_at = n;
    st_gguf_writer *w = NULL;
    for (size_t i = 0; i < n; i++) {
        const char *z = bert ? wp[i] : spm[i];
        s[i] = (st_str){z, strlen(z)};
        types[i] = i < (bert ? 5u : 3u) ? ST_TOKEN_CONTROL : !bert && i >= N(spm) - 3 ? ST_TOKEN_USER : ST_TOKEN_NORMAL;
        scores[i] = squeeze ? -1000.0f : -(float)((i * 7) % 11);
    }
    if (!bert) types[0] = ST_TOKEN_UNKNOWN;
    for (size_t i = 0; !bert && i < 256; i++, n++) {
        snprintf(bytes[i], sizeof bytes[i], "<0x%02X>", (unsigned)i);
        s[bytes_at + i] = (st_str){bytes[i], 6};
        types[n] = ST_TOKEN_BYTE;
        scores[n] = 0;
    }
    must(!st_gguf_writer_open(mem, &w, NULL) && !st_gguf_put_str(w, "general.architecture", "x", 1, NULL) &&
             !st_gguf_put_str(w, "tokenizer.ggml.model", bert ? "bert" : "llama", bert ? 4 : 5, NULL) &&
             !st_gguf_put_strings(w, "tokenizer.ggml.tokens", s, n, NULL) &&
             !st_gguf_put_array(w, "tokenizer.ggml.scores", ST_GGUF_F32, scores, n, NULL) &&
             !st_gguf_put_array(w, "tokenizer.ggml.token_type", ST_GGUF_I32, types, n, NULL) &&
             !st_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", prefix, NULL) &&
             !st_gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", squeeze, NULL) &&
             !st_gguf_put_bool(w, "tokenizer.ggml.normalizer.lowercase", !prefix, NULL),
         "the vocabulary cannot be written");
    finish(v, w, mem);
}

/* Every byte and some merges of them. False: the text is normalised or gets a prefix. */
static bool build_bpe(vocab *v, st_mem *mem, uint8_t which, bool prefix)
{
    static const char *const pres[] = {"gpt-2",       "smollm",         "llama-bpe",    "minicpm5", "qwen2",
                                       "seed-coder",  "qwen35",         "gpt-4o",       "tekken",   "falcon",
                                       "deepseek-v3", "deepseek-coder", "deepseek-llm", "bloom",    "viking",
                                       "command-r",   "ufakzeka"};
    static const char *const merges[] = {"a b",
                                         "b c",
                                         G " a",
                                         "ab c",
                                         (G "a b"),
                                         "a a",
                                         "aa aa",
                                         "a",
                                         "x",
                                         "ab ",
                                         "\xc3\xa4 \xc2\xb8",
                                         "1 2",
                                         "12 3",
                                         "' s",
                                         "\xc4\x8a \xc4\x8a"};
    static const char *const made[] = {"ab",     "bc",     (G "a"), "abc",
                                       (G "ab"), "aa",     "aaaa",  "\xc3\xa4\xc2\xb8",
                                       "12",     "123",    "'s",    "\xc4\x8a\xc4\x8a",
                                       "<s>",    "<user>", "  "};
    static uint8_t alphabet[256][4];
    const char *pre = pres[which % N(pres)];
    st_str s[256 + N(made)], m[N(merges)];
    int32_t types[256 + N(made)];
    st_gguf_writer *w = NULL;
    size_t n = 0;
    for (uint32_t b = 0, next = 256; b < 256; b++) {
        bool prints = (b > 32 && b < 127) || (b > 160 && b != 173);
        unsigned len = st_utf8_put(alphabet[b], prints ? b : next++);
        s[n] = (st_str){(const char *)alphabet[b], len};
        types[n++] = ST_TOKEN_NORMAL;
    }
    for (size_t i = 0; i < N(made); i++, n++) {
        s[n] = (st_str){made[i], strlen(made[i])};
        types[n] = i + 3 < N(made) ? ST_TOKEN_NORMAL : i + 3 == N(made) ? ST_TOKEN_CONTROL : ST_TOKEN_USER;
    }
    for (size_t i = 0; i < N(merges); i++) m[i] = (st_str){merges[i], strlen(merges[i])};
    must(!st_gguf_writer_open(mem, &w, NULL) && !st_gguf_put_str(w, "general.architecture", "x", 1, NULL) &&
             !st_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4, NULL) &&
             !st_gguf_put_str(w, "tokenizer.ggml.pre", pre, strlen(pre), NULL) &&
             !st_gguf_put_strings(w, "tokenizer.ggml.tokens", s, n, NULL) &&
             !st_gguf_put_strings(w, "tokenizer.ggml.merges", m, N(merges), NULL) &&
             !st_gguf_put_array(w, "tokenizer.ggml.token_type", ST_GGUF_I32, types, n, NULL) &&
             !st_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", prefix, NULL),
         "the vocabulary cannot be written");
    finish(v, w, mem);
    return !prefix && strncmp(pre, "qwen", 4) != 0 && strcmp(pre, "command-r") != 0;
}

/* Pieces, maybe byte tokens, and a map that makes "ab " of "A". */
static void build_unigram(vocab *v, st_mem *mem, bool prefix, bool squeeze, bool bytes)
{
    static const char *const pieces[] = {"<pad>", "</s>", "<unk>", SP,    "a",        "b",     "ab", (SP "a"),
                                         "abab",  "<x>",  "ba",    "aaa", "\xc3\xa9", (SP SP), "c"};
    static char spelled[256][8];
    st_str s[N(pieces) + 256];
    int32_t types[N(pieces) + 256];
    float scores[N(pieces) + 256];
    uint32_t map[1 + 512 + 2] = {[0] = 2048, [1] = 256u << 10};
    map[1 + (256 ^ 'A')] = 128u << 10 | 1u << 8 | 'A';
    map[1 + (256 ^ 'A' ^ 128)] = 1u << 31 | 1;
    memcpy(&map[513], "\0ab ", 5);
    size_t n = 0;
    st_gguf_writer *w = NULL;
    for (; n < N(pieces); n++) {
        s[n] = (st_str){pieces[n], strlen(pieces[n])};
        types[n] = n < 2     ? ST_TOKEN_CONTROL
                   : n == 2  ? ST_TOKEN_UNKNOWN
                   : n == 9  ? ST_TOKEN_USER
                   : n == 11 ? ST_TOKEN_UNUSED
                             : ST_TOKEN_NORMAL;
        scores[n] = -(float)((n * 7) % 11);
    }
    for (size_t b = 0; bytes && b < 256; b++, n++) {
        snprintf(spelled[b], sizeof spelled[b], "<0x%02X>", (unsigned)b);
        s[n] = (st_str){spelled[b], 6};
        types[n] = ST_TOKEN_BYTE;
        scores[n] = 0;
    }
    must(!st_gguf_writer_open(mem, &w, NULL) && !st_gguf_put_str(w, "general.architecture", "x", 1, NULL) &&
             !st_gguf_put_str(w, "tokenizer.ggml.model", "t5", 2, NULL) &&
             !st_gguf_put_strings(w, "tokenizer.ggml.tokens", s, n, NULL) &&
             !st_gguf_put_array(w, "tokenizer.ggml.scores", ST_GGUF_F32, scores, n, NULL) &&
             !st_gguf_put_array(w, "tokenizer.ggml.token_type", ST_GGUF_I32, types, n, NULL) &&
             !st_gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", ST_GGUF_U8, map, 4 + 2048 + 5, NULL) &&
             !st_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", prefix, NULL) &&
             !st_gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", squeeze, NULL),
         "the vocabulary cannot be written");
    finish(v, w, mem);
}

/* What decode(encode(text)) must give: anything, the text with spaces for U+2581, the text. */
enum loss { LOSSY, SPACES, LOSSLESS };

static bool same_text(const char *text, size_t n, const char *got, size_t n_got, enum loss loss)
{
    size_t k = 0;
    for (size_t i = 0; i < n; k++) {
        bool space = loss == SPACES && n - i >= 3 && memcmp(text + i, SP, 3) == 0;
        if (k >= n_got || got[k] != (space ? ' ' : text[i])) return false;
        i += space ? 3 : 1;
    }
    return k == n_got;
}

/* The text in three parts, cut where its own bytes say: all trusted, none, and the middle alone. */
static void in_parts(const st_tokenizer *t, st_mem *mem, const char *text, size_t n, unsigned flags)
{
    strata_error err;
    size_t one = n ? (uint8_t)text[0] % (n + 1) : 0, two = n ? (uint8_t)text[n - 1] % (n + 1) : 0;
    if (one > two) one ^= two, two ^= one, one ^= two;
    for (int trust = 0; trust < 3; trust++) {
        const strata_text_part parts[] = {
            {text, one, trust == 1}, {text + one, two - one, trust != 0}, {text + two, n - two, trust == 1}};
        st_tokens a = {.mem = mem, .want_spans = true}, b = {.mem = mem, .want_spans = true};
        int rc = st_tokenizer_encode_parts(t, parts, 3, flags, &a, &err);
        unsigned whole = flags & ~(unsigned)STRATA_TOKENIZE_PARSE_SPECIAL;
        must(rc == st_tokenizer_encode(t, text, n, whole | (trust ? STRATA_TOKENIZE_PARSE_SPECIAL : 0), &b, &err),
             "other status in parts");
        for (size_t i = 0; i < a.n; i++)
            must(a.spans[i].begin <= a.spans[i].end && a.spans[i].end <= n, "a span out of the parts");
        if (trust < 2)
            must(a.n == b.n && (!a.n || (memcmp(a.ids, b.ids, a.n * sizeof *a.ids) == 0 &&
                                         memcmp(a.spans, b.spans, a.n * sizeof *a.spans) == 0)),
                 "other ids in parts");
        st_tokens_free(&a);
        st_tokens_free(&b);
    }
}

static void round_trip(const st_tokenizer *t, st_mem *mem, const char *text, size_t n, unsigned flags, enum loss loss)
{
    strata_error err;
    bool valid = st_utf8_check(text, n) == n;
    st_tokens a = {.mem = mem}, b = {.mem = mem, .want_spans = true};
    int rc = st_tokenizer_encode(t, text, n, flags, &a, &err);
    must(rc == st_tokenizer_encode(t, text, n, flags, &b, &err), "other status with spans");
    must(rc == (valid || flags & STRATA_TOKENIZE_LOSSY ? STRATA_OK : STRATA_INVALID_ARG), "unexpected status");
    must(a.n == b.n && (!a.n || memcmp(a.ids, b.ids, a.n * sizeof *a.ids) == 0), "other ids with spans");
    for (size_t i = 0; i < b.n; i++) {
        must(b.ids[i] >= 0 && (uint32_t)b.ids[i] < st_tokenizer_info(t)->n_vocab, "an id out of range");
        must(b.spans[i].begin <= b.spans[i].end && b.spans[i].end <= n, "a span out of the text");
    }
    size_t len = 0, again = 0;
    must(!st_tokenizer_decode(t, a.ids, a.n, NULL, 0, &len, &err), "decode fails");
    char *buf = malloc(len + 1);
    must(buf && !st_tokenizer_decode(t, a.ids, a.n, buf, len, &again, &err) && again == len, "another length");
    must(st_utf8_check(buf, len) == len, "decode gives no UTF-8");
    if (loss != LOSSY && valid && !(flags & (STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL)))
        must(same_text(text, n, buf, len, loss), "the text does not come back");
    free(buf);
    in_parts(t, mem, text, n, flags);
    st_tokens_free(&a);
    st_tokens_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    uint8_t choice = data[0];
    st_mem mem;
    st_mem_init(&mem, NULL, (uint64_t)256 << 20);
    vocab v = {0};
    if (choice & 128) {
        static const char text[] = " a\n<s>[MASK]\xc3\xa9 \xe4\xb8\xad\xff"
                                   "abab";
        if (st_gguf_parse(&v.g, data + 1, size - 1, "fuzz", true, &mem, NULL)) return 0;
        if (!st_tokenizer_open(&v.g, NULL, NULL, &mem, &v.t, NULL))
            round_trip(v.t, &mem, text, sizeof text - 1, STRATA_TOKENIZE_LOSSY | (choice & 3), LOSSY);
    } else if (choice & 64) {
        uint8_t more = size > 1 ? data[1] : 0;
        size_t skip = size > 1 ? 2 : 1;
        bool lossless = false;
        if (choice & 8)
            build_unigram(&v, &mem, choice & 16, choice & 32, more & 1);
        else
            lossless = build_bpe(&v, &mem, more, choice & 16);
        round_trip(v.t, &mem, (const char *)data + skip, size - skip, choice & 7, lossless ? LOSSLESS : LOSSY);
    } else {
        bool bert = choice & 8, squeeze = choice & 32;
        const char *text = (const char *)data + 1;
        build(&v, &mem, bert, choice & 16, squeeze);
        /* Behind a user-defined token the prefix comes again, as a space. */
        bool again = choice & 16 && (memmem(text, size - 1, "<sep>", 5) || memmem(text, size - 1, "\n\n", 2));
        round_trip(v.t, &mem, text, size - 1, choice & 7, bert || squeeze || again ? LOSSY : SPACES);
    }
    st_tokenizer_close(v.t);
    st_gguf_free(&v.g);
    st_free(&mem, v.data);
    must(mem.used == 0, "memory is left");
    return 0;
}
