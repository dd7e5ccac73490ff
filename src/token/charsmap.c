/* charsmap.c: walking the double-array trie. See charsmap.h; sentencepiece's normalizer.cc reads it the same way. */
#include "token/charsmap.h"

#include <string.h>

#include "base/utf8.h"
#include "token/vocab.h"

#define KEY "tokenizer.ggml.precompiled_charsmap"

static uint32_t charsmap_unit_at(const st_charsmap *c, uint32_t i)
{
    return st_load32(c->units + 4 * (size_t)i);
}

/* A unit's bits: 31 it is a value, 10..30 offset (times 256 with bit 9), 8 it has a leaf, 0..7 its label. */
static uint32_t charsmap_offset_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* Follows byte b from *node (a place before its label is applied). False: no such edge. */
static bool charsmap_step(const st_charsmap *c, uint32_t *node, uint8_t b, uint32_t *unit)
{
    uint32_t i = *node ^ b;
    if (i >= c->n_units) return false;
    *unit = charsmap_unit_at(c, i);
    if ((*unit & (1u << 31 | 0xff)) != b) return false;
    *node = i ^ charsmap_offset_of(*unit);
    return true;
}

static void charsmap_find_plain(st_charsmap *c)
{
    for (uint32_t b = 0; b < 128; b++) {
        uint32_t root = charsmap_offset_of(charsmap_unit_at(c, 0)), unit;
        c->plain[b] = true;
        if (!charsmap_step(c, &root, (uint8_t)b, &unit)) continue;
        c->plain[b] = !(unit >> 8 & 1);
        for (uint32_t next = 0; next < 128; next++) {
            uint32_t node = root;
            if (charsmap_step(c, &node, (uint8_t)next, &unit)) c->plain[b] = false;
        }
    }
}

int st_charsmap_open(st_charsmap *c, const st_gguf *g, strata_error *err)
{
    *c = (st_charsmap){0};
    memset(c->plain, true, sizeof c->plain);
    const st_gguf_kv *kv = st_gguf_find(g, KEY);
    if (!kv) return STRATA_OK;
    ST_FAIL_IF(kv->type != ST_GGUF_ARRAY || (kv->elem_type != ST_GGUF_U8 && kv->elem_type != ST_GGUF_I8), err,
               STRATA_CORRUPT_MODEL, "%s: key '" KEY "' is not an array of bytes", g->name);
    size_t n = (size_t)kv->count;
    if (!n) return STRATA_OK;
    ST_FAIL_IF(n < 4, err, STRATA_CORRUPT_MODEL, "%s: key '" KEY "' has %zu bytes, want none or at least 4", g->name,
               n);
    uint32_t size = st_load32(kv->data);
    ST_FAIL_IF(size >= n - 4 || size % 4 || !size, err, STRATA_CORRUPT_MODEL,
               "%s: key '" KEY "' has a trie of %u bytes, want a multiple of 4 below %zu", g->name, size, n - 4);
    c->units = kv->data + 4;
    c->n_units = size / 4;
    c->strings = (const char *)kv->data + 4 + size;
    c->n_strings = n - 4 - size;
    size_t good = st_utf8_check(c->strings, c->n_strings);
    ST_FAIL_IF(good != c->n_strings, err, STRATA_CORRUPT_MODEL, "%s: key '" KEY "': its replacements are not UTF-8",
               g->name);
    charsmap_find_plain(c);
    return STRATA_OK;
}

size_t st_charsmap_match(const st_charsmap *c, const uint8_t *p, size_t n, st_str *replacement)
{
    if (!c->n_units) return 0;
    size_t best = 0;
    uint32_t node = charsmap_offset_of(charsmap_unit_at(c, 0)), unit, value = 0;
    for (size_t i = 0; i < n && i < ST_CHARSMAP_KEY; i++) {
        if (!charsmap_step(c, &node, p[i], &unit)) break;
        if (!(unit >> 8 & 1) || node >= c->n_units) continue;
        value = charsmap_unit_at(c, node) & 0x7fffffff;
        best = i + 1;
    }
    if (!best || value >= c->n_strings || ((uint8_t)c->strings[value] & 0xc0) == 0x80) return 0;
    const char *end = memchr(c->strings + value, 0, c->n_strings - value);
    replacement->ptr = c->strings + value;
    replacement->len = end ? (size_t)(end - replacement->ptr) : c->n_strings - value;
    return best;
}
