/* fuzz_token.c: the tokenizers on arbitrary text and on arbitrary files.
 *
 * The first byte chooses: bits 0..2 the flags of encode, bit 3 the kind, bit 4 the space prefix, bit 5 the removal of
 * spaces, bit 7 that the rest is a GGUF file to open instead of text for a vocabulary made here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/gguf_write.h"
#include "token/token.h"
#include "token/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SP   "\xe2\x96\x81"
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
             !st_gguf_put_bool(w, "tokenizer.ggml.normalizer.lowercase", !prefix, NULL) &&
             !st_gguf_writer_finish(w, &v->data, &v->size, NULL),
         "the vocabulary cannot be written");
    st_gguf_writer_close(w);
    must(!st_gguf_parse(&v->g, v->data, v->size, "fuzz", true, mem, NULL) &&
             !st_tokenizer_open(&v->g, NULL, mem, &v->t, NULL),
         "the vocabulary cannot be opened");
}

/* What decode(encode(text)) must give where nothing is lost: spaces for U+2581. */
static bool same_text(const char *text, size_t n, const char *got, size_t n_got)
{
    size_t k = 0;
    for (size_t i = 0; i < n; k++) {
        bool space = n - i >= 3 && memcmp(text + i, SP, 3) == 0;
        if (k >= n_got || got[k] != (space ? ' ' : text[i])) return false;
        i += space ? 3 : 1;
    }
    return k == n_got;
}

static void round_trip(const st_tokenizer *t, st_mem *mem, const char *text, size_t n, unsigned flags, bool lossless)
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
    if (lossless && valid && !(flags & (STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL)))
        must(same_text(text, n, buf, len), "the text does not come back");
    free(buf);
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
        if (!st_tokenizer_open(&v.g, NULL, &mem, &v.t, NULL))
            round_trip(v.t, &mem, text, sizeof text - 1, STRATA_TOKENIZE_LOSSY | (choice & 3), false);
    } else {
        bool bert = choice & 8, squeeze = choice & 32;
        build(&v, &mem, bert, choice & 16, squeeze);
        round_trip(v.t, &mem, (const char *)data + 1, size - 1, choice & 7, !bert && !squeeze);
    }
    st_tokenizer_close(v.t);
    st_gguf_free(&v.g);
    st_free(&mem, v.data);
    must(mem.used == 0, "memory is left");
    return 0;
}
