/* vocab.c: reads and indexes the vocabulary. See vocab.h. */
#include "token/vocab.h"

#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES  "tokenizer.ggml.token_type"

static int vocab_read_types(st_vocab *v, const st_gguf *g, strata_error *err)
{
    v->typed = st_gguf_find(g, KEY_TYPES) != NULL;
    memset(v->types, ST_TOKEN_NORMAL, v->n);
    if (!v->typed) return STRATA_OK;
    const uint8_t *data;
    uint64_t count;
    ST_TRY(st_gguf_array(g, KEY_TYPES, ST_GGUF_I32, &data, &count, err));
    ST_FAIL_IF(count != v->n, err, STRATA_CORRUPT_MODEL, "%s: key '" KEY_TYPES "' has %llu items, want %u, one a token",
               g->name, (unsigned long long)count, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        uint32_t type = st_load32(data + 4 * (size_t)i);
        ST_FAIL_IF(type > ST_TOKEN_BYTE, err, STRATA_CORRUPT_MODEL,
                   "%s: key '" KEY_TYPES "': token %u has type %d, want 1 to 6", g->name, i, (int)type);
        if (type) v->types[i] = (uint8_t)type; /* 0, undefined, is as good as normal */
    }
    return STRATA_OK;
}

int st_vocab_open(st_vocab *v, const st_gguf *g, st_mem *mem, strata_error *err)
{
    *v = (st_vocab){0};
    const st_gguf_kv *kv = st_gguf_find(g, KEY_TOKENS);
    ST_FAIL_IF(!kv, err, STRATA_CORRUPT_MODEL, "%s: key '" KEY_TOKENS "' is missing", g->name);
    ST_FAIL_IF(kv->type != ST_GGUF_ARRAY || kv->elem_type != ST_GGUF_STRING, err, STRATA_CORRUPT_MODEL,
               "%s: key '" KEY_TOKENS "' is not an array of strings", g->name);
    ST_FAIL_IF(kv->count < 1 || kv->count > INT32_MAX || kv->bytes > UINT32_MAX - 8, err, STRATA_CORRUPT_MODEL,
               "%s: key '" KEY_TOKENS "' has %llu tokens in %zu bytes, want 1 to 2147483647 in less than 4 GiB",
               g->name, (unsigned long long)kv->count, kv->bytes);
    v->bytes = kv->data;
    v->n = (uint32_t)kv->count;
    v->offsets = st_alloc(mem, (size_t)v->n + 1, sizeof *v->offsets);
    v->types = st_alloc(mem, v->n, 1);
    ST_FAIL_IF(!v->offsets || !v->types, err, STRATA_NO_MEMORY, "%s: no memory for %u tokens", g->name, v->n);
    size_t at = 0;
    st_str s;
    uint32_t i = 0;
    for (; i < v->n && st_gguf_next_string(kv, &at, &s); i++) v->offsets[i] = (uint32_t)(at - s.len);
    ST_FAIL_IF(i < v->n, err, STRATA_CORRUPT_MODEL, "%s: key '" KEY_TOKENS "' ends after %u of %u tokens", g->name, i,
               v->n);
    v->offsets[v->n] = (uint32_t)(at + 8);
    return vocab_read_types(v, g, err);
}

/* The slot where spelling id belongs, or of its equal; past a length of probes that only crafted spellings reach,
 * UINT32_MAX: they would make the build quadratic. */
static uint32_t vocab_slot_of(const st_vocab *v, uint32_t id, uint32_t hash)
{
    enum { MAX_PROBES = 512 };
    st_str s = st_vocab_piece(v, id);
    uint32_t k = hash & v->mask;
    for (int probes = 0; probes < MAX_PROBES; probes++, k = (k + 1) & v->mask) {
        if (!v->slots[k]) return k;
        if ((uint32_t)(v->slots[k] >> 32) != hash) continue;
        st_str q = st_vocab_piece(v, (uint32_t)v->slots[k] - 1);
        if (q.len == s.len && memcmp(q.ptr, s.ptr, s.len) == 0) return k;
    }
    return UINT32_MAX;
}

int st_vocab_index(st_vocab *v, unsigned types, st_mem *mem, strata_error *err)
{
    enum { AHEAD = 16 }; /* hash a batch and prefetch its slots before the first is used: 3x on 262k tokens */
    size_t n_slots = 16;
    /* Four bits of filter a slot. Tokens of 4 GiB, 8 bytes each at least, need 2^30 slots: the shift reaches 0, not
     * less. */
    for (v->shift = 32 - 6; n_slots < (size_t)v->n * 2; n_slots *= 2) v->shift--;
    v->slots = st_alloc_huge(mem, n_slots, sizeof *v->slots);
    v->filter = st_calloc(mem, n_slots / 2, 1);
    ST_FAIL_IF(!v->slots || !v->filter, err, STRATA_NO_MEMORY, "no memory for the index of %u tokens", v->n);
    memset(v->slots, 0, n_slots * sizeof *v->slots);
    v->mask = (uint32_t)(n_slots - 1);
    for (uint32_t base = 0; base < v->n; base += AHEAD) {
        uint32_t n = v->n - base < AHEAD ? v->n - base : AHEAD, hash[AHEAD];
        for (uint32_t j = 0; j < n; j++) {
            st_str s = st_vocab_piece(v, base + j);
            hash[j] = st_vocab_hash((const uint8_t *)s.ptr, s.len);
            __builtin_prefetch(&v->slots[hash[j] & v->mask], 1);
        }
        for (uint32_t j = 0; j < n; j++) {
            uint32_t id = base + j, len = v->offsets[id + 1] - 8 - v->offsets[id];
            if (!(types >> v->types[id] & 1) || !len) continue;
            uint32_t k = vocab_slot_of(v, id, hash[j]);
            ST_FAIL_IF(k == UINT32_MAX, err, STRATA_CORRUPT_MODEL,
                       "key '" KEY_TOKENS "': token %u and hundreds of others share a hash", id);
            if (v->slots[k]) continue; /* a duplicate: the first id stays */
            v->slots[k] = (uint64_t)hash[j] << 32 | (id + 1);
            uint32_t bit = hash[j] >> v->shift;
            v->filter[bit >> 3] |= (uint8_t)(1u << (bit & 7));
            if (len > v->max_len) v->max_len = len;
        }
    }
    return STRATA_OK;
}

void st_vocab_close(st_vocab *v, st_mem *mem)
{
    st_free(mem, v->offsets);
    st_free(mem, v->types);
    st_free(mem, v->slots);
    st_free(mem, v->filter);
    *v = (st_vocab){0};
}

int32_t st_vocab_scan(const st_vocab *v, const char *spelling)
{
    for (uint32_t i = 0; i < v->n; i++)
        if (st_str_eq(st_vocab_piece(v, i), spelling)) return (int32_t)i;
    return -1;
}
