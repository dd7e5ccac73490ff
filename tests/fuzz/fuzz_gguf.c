/* fuzz_gguf.c: the GGUF parser on arbitrary bytes, then everything that it hands out is read. */
#include <string.h>

#include "gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t sum_bytes(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint32_t s = 0;
    for (size_t i = 0; i < n; i++) s += b[i];
    return s;
}

static uint32_t read_kv(const st_gguf *g, const st_gguf_kv *kv)
{
    uint32_t s = sum_bytes(kv->data, kv->bytes) + sum_bytes(kv->key.ptr, kv->key.len);
    st_str item;
    for (size_t at = 0; st_gguf_next_string(kv, &at, &item);) s += sum_bytes(item.ptr, item.len);
    char key[300];
    if (kv->key.len >= sizeof key) return s;
    memcpy(key, kv->key.ptr, kv->key.len);
    key[kv->key.len] = 0;
    uint32_t u = 0;
    float f = 0;
    bool b = false;
    const uint8_t *items;
    uint64_t n;
    (void)st_gguf_u32(g, key, &u, NULL);
    (void)st_gguf_u32_or(g, key, 1, &u, NULL);
    (void)st_gguf_u32_at(g, key, kv->count / 2, &u, NULL);
    (void)st_gguf_u32_at(g, key, kv->count, &u, NULL);
    (void)st_gguf_f32(g, key, &f, NULL);
    (void)st_gguf_f32_or(g, key, 1, &f, NULL);
    (void)st_gguf_bool_or(g, key, false, &b, NULL);
    if (!st_gguf_str(g, key, &item, NULL)) s += sum_bytes(item.ptr, item.len);
    if (!st_gguf_array(g, key, kv->elem_type, &items, &n, NULL)) s += (uint32_t)n;
    return s + u + b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    volatile uint32_t sink = 0;
    st_mem mem;
    strata_error err;
    st_mem_init(&mem, NULL, 0);
    for (int skip = 0; skip < 2; skip++) {
        st_gguf g;
        if (st_gguf_parse(&g, data, size, "fuzz", skip, &mem, &err)) continue;
        for (size_t i = 0; i < g.n_kv; i++) sink += read_kv(&g, &g.kv[i]);
        for (size_t i = 0; i < g.n_tensors; i++)
            sink += sum_bytes(g.tensors[i].data, g.tensors[i].bytes) +
                    sum_bytes(g.tensors[i].name.ptr, g.tensors[i].name.len);
        sink += st_gguf_find(&g, "general.architecture") != NULL;
        sink += st_gguf_tensor_find(&g, "token_embd.weight") != NULL;
        st_gguf_free(&g);
    }
    (void)sink;
    if (mem.used) __builtin_trap(); /* a leak */
    return 0;
}
