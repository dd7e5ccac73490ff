/* raw.c: the bytes that a token puts into the middle of a text, and which tokens end one. Generation streams by these:
 * a character may be split over tokens, so they are bytes and not text. */
#include <string.h>

#include "token/token_impl.h"

/* GPT-2's alphabet: printable bytes stand for themselves, the others for code points from 256 on, in order
 * (openai/gpt-2, encoder.py, bytes_to_unicode). */
static int byte_of(uint32_t cp)
{
    bool printable = (cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255);
    if (printable) return (int)cp;
    if (cp < 256) return -1;
    uint32_t at = cp - 256;
    for (uint32_t b = 0; b < 256; b++) {
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
        if (!plain && at-- == 0) return (int)b;
    }
    return -1;
}

typedef struct sink {
    char *buf;
    size_t cap, len;
} sink;

static void put(sink *s, char c)
{
    if (s->len < s->cap) s->buf[s->len] = c;
    s->len++;
}

/* Two-byte characters are all that the alphabet has beyond ASCII. Anything else is kept as it stands. */
static void put_byte_level(sink *s, st_str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        uint8_t c = (uint8_t)piece.ptr[i];
        bool two = c >= 0xc2 && c <= 0xc5 && i + 1 < piece.len;
        int b = byte_of(two ? (uint32_t)(c & 0x1f) << 6 | ((uint8_t)piece.ptr[i + 1] & 0x3f) : c);
        if (b < 0 || (c >= 0x80 && !two)) {
            put(s, (char)c);
            continue;
        }
        put(s, (char)b);
        i += two;
    }
}

/* U+2581 is a space. */
static void put_pieces(sink *s, st_str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (i + 2 < piece.len && memcmp(piece.ptr + i, "\xe2\x96\x81", 3) == 0) {
            put(s, ' ');
            i += 2;
        } else {
            put(s, piece.ptr[i]);
        }
    }
}

size_t st_tokenizer_raw(const st_tokenizer *t, int32_t id, char *buf, size_t cap)
{
    st_str piece = st_tokenizer_piece(t, id);
    int type = st_tokenizer_type(t, id);
    sink s = {buf, cap, 0};
    int byte = type == ST_TOKEN_BYTE ? st_byte_token(piece) : -1;
    if (byte >= 0)
        put(&s, (char)byte);
    else if (type == ST_TOKEN_CONTROL || type == ST_TOKEN_USER)
        for (size_t i = 0; i < piece.len; i++) put(&s, piece.ptr[i]);
    else if (t->kind == &st_token_bpe)
        put_byte_level(&s, piece);
    else
        put_pieces(&s, piece);
    return s.len;
}

/* How models of several families spell the end of an answer, where files name only one end token. */
static const char *const end_spellings[] = {
    "<end_of_turn>", "<|im_end|>",      "<|eot_id|>", "<|eom_id|>",   "<|end|>",
    "<|endoftext|>", "<|end_of_text|>", "</s>",       "<EOT>",        "<|END_OF_TURN_TOKEN|>",
    "<|return|>",    "<turn|>",         "[EOS]",      "<|endofturn|>"};

bool st_tokenizer_is_end(const st_tokenizer *t, int32_t id)
{
    if (id == t->info.eos) return true;
    if (st_tokenizer_type(t, id) != ST_TOKEN_CONTROL) return false;
    st_str piece = st_tokenizer_piece(t, id);
    for (size_t i = 0; i < sizeof end_spellings / sizeof *end_spellings; i++)
        if (st_str_eq(piece, end_spellings[i])) return true;
    return false;
}
