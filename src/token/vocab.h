/* vocab.h: the tokens of a file and the way from bytes to id.
 *
 * Spellings stay in the mapped file; what is built is an offset a token, a type a token and an open-addressing hash
 * whose 8-byte slots hold hash and id, so that most probes touch one cache line and no spelling. 262,144 tokens take a
 * few milliseconds. Where a spelling occurs twice the first id wins. */
#ifndef ST_TOKEN_VOCAB_H
#define ST_TOKEN_VOCAB_H

#include <string.h>

#include "token/token.h"

typedef struct st_vocab {
    const uint8_t *bytes; /* tokenizer.ggml.tokens in the file: before each spelling stands its length, 8 bytes */
    uint32_t *offsets;    /* [n + 1]: where spelling i starts; it ends 8 bytes before the next */
    uint8_t *types;       /* [n] */
    uint64_t *slots;      /* hash << 32 | id + 1; 0: free */
    uint8_t *filter;      /* one bit a hash, some 8 bits a token: most spellings that are no token end here */
    uint32_t mask;        /* slots - 1 */
    uint32_t shift;       /* of a hash to its bit in the filter */
    uint32_t n;
    uint32_t max_len; /* bytes of the longest hashed spelling */
    bool typed;       /* the file says types */
} st_vocab;

/* Offsets and types of the file's tokens. Errors: CORRUPT_MODEL, NO_MEMORY. */
int st_vocab_open(st_vocab *v, const st_gguf *g, st_mem *mem, strata_error *err);

/* Builds the hash over the tokens whose type is in the mask (1 << ST_TOKEN_NORMAL ...). */
int st_vocab_index(st_vocab *v, unsigned types, st_mem *mem, strata_error *err);
void st_vocab_close(st_vocab *v, st_mem *mem);

/* First token of this spelling by linear search, whatever its type; -1. For use before st_vocab_index. */
int32_t st_vocab_scan(const st_vocab *v, const char *spelling);

static inline st_str st_vocab_piece(const st_vocab *v, uint32_t id)
{
    return (st_str){(const char *)v->bytes + v->offsets[id], v->offsets[id + 1] - 8 - v->offsets[id]};
}

static inline uint64_t st_load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t st_load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* Eight bytes a step; the tail is read again from the end, so nothing beyond p[n] is touched. */
static inline uint32_t st_vocab_hash(const uint8_t *p, size_t n)
{
    const uint64_t k = 0x9fb21c651e98df25u;
    uint64_t h = (uint64_t)n * 0xff51afd7ed558ccdu;
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            h = (h ^ st_load64(p + i)) * k;
            h ^= h >> 32;
        }
        h ^= st_load64(p + n - 8);
    } else if (n >= 4) {
        h ^= st_load32(p) | (uint64_t)st_load32(p + n - 4) << 32;
    } else if (n) {
        h ^= p[0] | (uint64_t)p[n >> 1] << 8 | (uint64_t)p[n - 1] << 16;
    }
    h *= k;
    h ^= h >> 29;
    h *= 0xff51afd7ed558ccdu;
    return (uint32_t)(h >> 32);
}

/* p[n] == q[n], for strings too short to be worth a call of memcmp (a fifth of SPM's time). */
static inline bool st_same(const uint8_t *p, const uint8_t *q, size_t n)
{
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            if (st_load64(p + i) != st_load64(q + i)) return false;
        return st_load64(p + n - 8) == st_load64(q + n - 8);
    }
    if (n >= 4) return st_load32(p) == st_load32(q) && st_load32(p + n - 4) == st_load32(q + n - 4);
    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i]) return false;
    return true;
}

/* Id of the indexed token spelled p[n], whose hash is h, or -1. */
static inline int32_t st_vocab_find_hash(const st_vocab *v, const uint8_t *p, size_t n, uint32_t h)
{
    uint32_t bit = h >> v->shift;
    if (!(v->filter[bit >> 3] >> (bit & 7) & 1)) return -1;
    for (uint32_t k = h & v->mask; v->slots[k]; k = (k + 1) & v->mask) {
        if ((uint32_t)(v->slots[k] >> 32) != h) continue;
        uint32_t id = (uint32_t)v->slots[k] - 1;
        if (v->offsets[id + 1] - 8 - v->offsets[id] == n && st_same(v->bytes + v->offsets[id], p, n))
            return (int32_t)id;
    }
    return -1;
}

/* Id of the indexed token spelled p[n], or -1. */
static inline int32_t st_vocab_find(const st_vocab *v, const uint8_t *p, size_t n)
{
    return n > v->max_len ? -1 : st_vocab_find_hash(v, p, n, st_vocab_hash(p, n));
}

#endif
