/* mutants.c: models changed in one place or a few: bytes, values and types of keys, strings, records of tensors, whole
 * tensors left out, renamed, doubled or of another shape, files cut short; one in eight is split into parts first. */
#include <stdio.h>
#include <stdlib.h>

#include "mutate/mutate.h"
#include "support/split.h"

typedef struct mutant {
    uint8_t *data;
    size_t size;
} mutant;

static uint8_t *copy_of(const void *p, size_t n)
{
    uint8_t *q = malloc(n ? n : 1);
    if (q && n) memcpy(q, p, n);
    return q;
}

/* Where a view into the model lies in a copy of it. */
static uint8_t *there(const mutant *x, const tiny_model *m, const void *p)
{
    return x->data + ((const uint8_t *)p - m->data);
}

static void put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t odd_float(uint64_t *r, bool wide)
{
    static const double odd[] = {0, -1, 1, 0.5, 1e-30, -1e30, 3e38, 1e-45, 1e308, 2, 1e4, 1e-5};
    uint32_t i = mutate_rng(r) % 15;
    double d = i < 12 ? odd[i] : i == 12 ? (double)__builtin_nanf("") : i == 13 ? (double)__builtin_inff() : -1e-3;
    float f = (float)d;
    uint64_t v = 0;
    if (wide)
        memcpy(&v, &d, 8);
    else
        memcpy(&v, &f, 4);
    return v;
}

/* A scalar, or an item of an array: its value, or now and then its type. */
static void change_key(mutant *x, const tiny_model *m, uint64_t *r)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    const st_gguf_kv *kv = &m->g.kv[mutate_rng(r) % m->g.n_kv];
    uint8_t *data = there(x, m, kv->data);
    size_t size = kv->elem_type < sizeof sizes ? sizes[kv->elem_type] : 0;
    if (mutate_rng(r) % 8 == 0) put(there(x, m, kv->key.ptr) + kv->key.len, mutate_rng(r) % 14, 4);
    if (size == 0) { /* strings: one byte of them, or a length */
        if (kv->bytes > 8) data[mutate_rng(r) % kv->bytes] = (uint8_t)mutate_rng(r);
        return;
    }
    uint64_t at = kv->count > 1 ? mutate_rng(r) % kv->count : 0;
    bool real = kv->elem_type == ST_GGUF_F32 || kv->elem_type == ST_GGUF_F64;
    uint64_t v = real ? odd_float(r, size == 8) : mutate_rng(r) % 2 ? mutate_odd(r) : mutate_rng(r) % 70;
    if (kv->count) put(data + at * size, kv->type == ST_GGUF_BOOL ? v & 1 : v, size);
}

/* The letters of a key or a name. */
static void change_name(mutant *x, const tiny_model *m, uint64_t *r)
{
    bool key = m->g.n_tensors == 0 || mutate_rng(r) % 2;
    st_str s = key ? m->g.kv[mutate_rng(r) % m->g.n_kv].key : m->g.tensors[mutate_rng(r) % m->g.n_tensors].name;
    uint8_t *p = there(x, m, s.ptr);
    p[mutate_rng(r) % s.len] = (uint8_t)(mutate_rng(r) % 3 ? 'a' + mutate_rng(r) % 26 : mutate_rng(r));
}

/* The record of a tensor: dims, number of them, type, offset. */
static void change_record(mutant *x, const tiny_model *m, uint64_t *r)
{
    if (m->g.n_tensors == 0) return;
    const st_gguf_tensor *t = &m->g.tensors[mutate_rng(r) % m->g.n_tensors];
    uint8_t *p = there(x, m, t->name.ptr) + t->name.len, *dims = p + 4, *type = dims + 8 * (size_t)t->n_dims;
    uint64_t d = mutate_rng(r) % t->n_dims;
    switch (mutate_rng(r) % 6) {
    case 0: put(p, mutate_rng(r) % 6, 4); break;
    case 1: put(dims + 8 * d, mutate_odd(r), 8); break;
    case 2: put(dims + 8 * d, t->dims[d] * (mutate_rng(r) % 3) / 2, 8); break;
    case 3: put(type, mutate_rng(r) % 44, 4); break;
    case 4: put(type + 4, mutate_odd(r), 8); break;
    default: put(type + 4, (uint64_t)mutate_rng(r) % x->size & ~UINT64_C(31), 8);
    }
}

/* ---- whole tensors and keys, in a file that is in order otherwise ---- */

static int put_changed(st_gguf_writer *w, const st_gguf *g, const st_gguf_tensor *t, uint64_t *r, uint8_t **keep)
{
    static const char *const names[] = {
        "output.weight",     "blk.0.attn_qkv.weight",   "blk.0.attn_q_norm.weight", "cls.output.weight",
        "cls.weight",        "position_embd.weight",    "blk.0.ffn_norm.bias",      "token_types.weight",
        "rope_freqs.weight", "blk.1.attn_sinks.weight", "blk.0.exp_probs_b.bias",   "dense_2.weight"};
    st_str name = t->name;
    uint64_t dims[4] = {t->dims[0], t->dims[1], t->dims[2], t->dims[3]}, n = 1;
    uint32_t n_dims = t->n_dims;
    if (mutate_rng(r) % 2) {
        const char *other = names[mutate_rng(r) % (sizeof names / sizeof *names)];
        name = mutate_rng(r) % 2 ? (st_str){other, strlen(other)} : g->tensors[mutate_rng(r) % g->n_tensors].name;
    } else {
        uint32_t d = mutate_rng(r) % n_dims;
        dims[d] = mutate_rng(r) % 2 ? dims[d] * 2 : 32 * (1 + mutate_rng(r) % 8);
        if (mutate_rng(r) % 4 == 0 && n_dims > 1) n_dims--;
    }
    for (uint32_t d = 0; d < n_dims; d++) n *= dims[d];
    *keep = calloc(n ? n : 1, 4);
    if (!*keep) return 1;
    memcpy(*keep, t->data, t->bytes < n * 4 ? t->bytes : n * 4);
    return st_gguf_put_tensor(w, name, 0, n_dims, dims, *keep, n * 4, NULL);
}

static bool rewrite_model(mutant *x, const tiny_model *m, uint64_t *r)
{
    st_mem mem;
    st_gguf_writer *w = NULL;
    uint8_t *data = NULL, *keep = NULL;
    size_t size = 0;
    const st_gguf *g = &m->g;
    bool keys = g->n_tensors == 0 || mutate_rng(r) % 3 == 0, drop = mutate_rng(r) % 2;
    size_t at = mutate_rng(r) % (keys ? g->n_kv : g->n_tensors);
    st_mem_init(&mem, NULL, 0);
    int rc = st_gguf_writer_open(&mem, &w, NULL);
    for (size_t i = 0; !rc && i < g->n_kv; i++) {
        char key[128];
        bool this = keys && i == at;
        if (this && drop) continue;
        snprintf(key, sizeof key, "%.*s", (int)(g->kv[i].key.len < 100 ? g->kv[i].key.len : 100), g->kv[i].key.ptr);
        if (!this)
            rc = st_gguf_put_kv(w, &g->kv[i], NULL);
        else if (mutate_rng(r) % 2)
            rc = st_gguf_put_u32(w, key, (uint32_t)mutate_odd(r), NULL);
        else
            rc = st_gguf_put_str(w, key, "llama", mutate_rng(r) % 6, NULL);
    }
    for (size_t i = 0; !rc && i < g->n_tensors; i++) {
        const st_gguf_tensor *t = &g->tensors[i];
        bool this = !keys && i == at;
        if (this && drop) continue;
        rc = this ? put_changed(w, g, t, r, &keep)
                  : st_gguf_put_tensor(w, t->name, t->type, t->n_dims, t->dims, t->data, t->bytes, NULL);
        if (rc && this) rc = 0; /* a name that is there already, or rows that are no whole blocks */
    }
    if (!rc) rc = st_gguf_writer_finish(w, &data, &size, NULL);
    if (!rc) {
        free(x->data);
        x->data = copy_of(data, size);
        x->size = size;
    }
    st_free(&mem, data);
    st_gguf_writer_close(w);
    free(keep);
    return !rc && x->data;
}

/* ---- one mutant ---- */

static const char *change(mutant *x, const tiny_model *m, uint64_t *r)
{
    uint32_t kind = mutate_rng(r) % 16;
    unsigned n = 1 + mutate_rng(r) % 2;
    if (kind < 5) return mutate_bytes(x->data, x->size, m->head, r), "bytes";
    if (kind == 5) return x->size = (size_t)(((uint64_t)mutate_rng(r) << 31 | mutate_rng(r)) % x->size), "cut short";
    if (kind > 13) return rewrite_model(x, m, r) ? "whole tensors or keys" : NULL;
    while (n--) {
        if (kind < 10) change_key(x, m, r);
        if (kind == 10) change_name(x, m, r);
        if (kind > 10) change_record(x, m, r);
    }
    return kind < 10 ? "key" : kind == 10 ? "name" : "tensor record";
}

/* A part of a split model changed. */
static bool make_split(worker *w, const tiny_model *m, uint64_t *r, char *path)
{
    char prefix[MUTATE_PATH - 32], part[MUTATE_PATH];
    size_t cuts[4] = {0, mutate_rng(r) % (m->g.n_tensors + 1), 0, m->g.n_tensors};
    uint32_t count = 2 + mutate_rng(r) % 2, which = mutate_rng(r) % count;
    cuts[2] = count == 2 ? m->g.n_tensors : cuts[1] + mutate_rng(r) % (m->g.n_tensors + 1 - cuts[1]);
    snprintf(prefix, sizeof prefix, "%s/m", w->dir);
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    if (split_model(&m->g, cuts, count, &mem, prefix)) return false;
    split_path(part, sizeof part, prefix, which, count);
    FILE *f = fopen(part, "rb");
    static uint8_t buf[1 << 22];
    size_t size = f ? fread(buf, 1, sizeof buf, f) : 0;
    if (f) fclose(f);
    if (!size) return false;
    uint32_t kind = mutate_rng(r) % 8;
    size_t head = size < 400 || mutate_rng(r) % 2 ? size : 400;
    if (kind < 6) mutate_bytes(buf, size, head, r);
    if (kind == 6) size = mutate_rng(r) % size;
    if (kind == 7)
        remove(part);
    else if (!mutate_write(part, buf, size))
        return false;
    snprintf(w->what, sizeof w->what, "%s, part %u of %u changed", m->name, which + 1, count);
    (void)split_path(path, MUTATE_PATH, prefix, 0, count);
    return true;
}

bool mutate_make(worker *w, uint64_t *r, char *path)
{
    const tiny_model *m = &w->models[mutate_rng(r) % w->n_models];
    if (mutate_rng(r) % 8 == 0 && m->g.n_tensors) return make_split(w, m, r, path);
    mutant x = {copy_of(m->data, m->size), m->size};
    const char *kind = x.data ? change(&x, m, r) : NULL;
    bool made = kind != NULL;
    if (made) {
        snprintf(w->what, sizeof w->what, "%s, %s", m->name, kind);
        snprintf(path, MUTATE_PATH, "%s/m.gguf", w->dir);
        made = mutate_write(path, x.data, x.size);
    }
    free(x.data);
    return made;
}
