/* raw.c: the bytes that a token puts into the middle of a text, and which tokens end one. Generation streams by these:
 * a character may be split over tokens, so they are bytes and not text. */
#include <string.h>

#include "token/bpe.h"

typedef struct sink {
    char *buf;
    size_t cap, len;
} sink;

static void raw_put(sink *s, char c)
{
    if (s->len < s->cap) s->buf[s->len] = c;
    s->len++;
}

static void raw_put_byte_level(sink *s, st_str piece)
{
    uint8_t buf[64];
    size_t at = 0, n;
    while ((n = st_bpe_bytes(piece, &at, buf, sizeof buf)))
        for (size_t i = 0; i < n; i++) raw_put(s, (char)buf[i]);
    for (; at < piece.len; at++) raw_put(s, piece.ptr[at]); /* not of the alphabet: as it stands */
}

/* U+2581 is a space. */
static void raw_put_pieces(sink *s, st_str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (i + 2 < piece.len && memcmp(piece.ptr + i, "\xe2\x96\x81", 3) == 0) {
            raw_put(s, ' ');
            i += 2;
        } else {
            raw_put(s, piece.ptr[i]);
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
        raw_put(&s, (char)byte);
    else if (type == ST_TOKEN_CONTROL || (type == ST_TOKEN_USER && t->kind == &st_token_bpe))
        for (size_t i = 0; i < piece.len; i++) raw_put(&s, piece.ptr[i]);
    else if (t->kind == &st_token_bpe)
        raw_put_byte_level(&s, piece);
    else
        raw_put_pieces(&s, piece);
    return s.len;
}

/* How several families of models spell the end of an answer, where files name only one end token. */
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
