/* gguf_names.c: names of keys and tensors. Owns their hash tables, and the names of types. */
#include <stddef.h>
#include <string.h>

#include "gguf/cursor.h"

const char *st_gguf_type_name(uint32_t type)
{
    static const char *const name[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                       "bool", "string", "array", "u64", "i64", "f64"};
    return type < sizeof name / sizeof *name ? name[type] : "unknown";
}

/* FNV-1a from a start that depends on where the table lies, so that a file cannot be written to collide, and a final
 * mix, so that the low bits depend on all. */
static size_t names_hash_name(st_str s, const void *table)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)(uintptr_t)table * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < s.len; i++) h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return (size_t)(h ^ h >> 32);
}

static bool names_same(st_str a, st_str b)
{
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

static st_str names_name_at(const void *first, size_t stride, uint32_t i)
{
    st_str s;
    memcpy(&s, (const uint8_t *)first + (size_t)i * stride, sizeof s);
    return s;
}

_Static_assert(offsetof(st_gguf_kv, key) == 0 && offsetof(st_gguf_tensor, name) == 0, "name_at relies on it");

uint32_t *st_gguf_probe(uint32_t *table, size_t slots, const void *first, size_t stride, st_str name)
{
    size_t i = names_hash_name(name, table) & (slots - 1);
    while (table[i] && !names_same(names_name_at(first, stride, table[i] - 1), name)) i = (i + 1) & (slots - 1);
    return &table[i];
}

const st_gguf_kv *st_gguf_find(const st_gguf *g, const char *key)
{
    if (!g->kv_slots) return NULL;
    uint32_t at = *st_gguf_probe(g->kv_index, g->kv_slots, g->kv, sizeof *g->kv, (st_str){key, strlen(key)});
    return at ? &g->kv[at - 1] : NULL;
}

const st_gguf_tensor *st_gguf_tensor_find(const st_gguf *g, const char *name)
{
    if (!g->tensor_slots) return NULL;
    uint32_t at =
        *st_gguf_probe(g->tensor_index, g->tensor_slots, g->tensors, sizeof *g->tensors, (st_str){name, strlen(name)});
    return at ? &g->tensors[at - 1] : NULL;
}
