/* charsmap.h: sentencepiece's precompiled normalisation rules, tokenizer.ggml.precompiled_charsmap.
 *
 * Four bytes of size, a double-array trie of that size (Darts-clone units: https://github.com/s-yata/darts-clone), then
 * NUL-terminated replacements; a leaf holds the offset of one. The bytes are the file's: every index is checked against
 * the array, an offset that is no replacement counts as no rule, and a key is at most ST_CHARSMAP_KEY bytes long. */
#ifndef ST_TOKEN_CHARSMAP_H
#define ST_TOKEN_CHARSMAP_H

#include "gguf/gguf.h"

#define ST_CHARSMAP_KEY 256

typedef struct st_charsmap {
    const uint8_t *units; /* little-endian, unaligned */
    uint32_t n_units;     /* 0: no rules */
    const char *strings;
    size_t n_strings;
    bool plain[128]; /* an ASCII character that stays itself before another one */
} st_charsmap;

/* Without the key, or with an empty value, there are no rules. Errors: CORRUPT_MODEL. */
int st_charsmap_open(st_charsmap *c, const st_gguf *g, strata_error *err);

/* Bytes of the longest rule that matches at p, and its replacement, which is UTF-8; 0: none. */
size_t st_charsmap_match(const st_charsmap *c, const uint8_t *p, size_t n, st_str *replacement);

#endif
