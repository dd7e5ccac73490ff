/* quantize.c: reads a mapped file, and writes another that appears whole (base/os/outfile.h). Memory: one slab of
 * output, and a buffer of floats for each thread. A tensor is one run of values for this purpose, since the blocks of
 * every type divide a chunk. */
#include "convert/quantize.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os/cpus.h"
#include "base/os/file.h"
#include "base/os/outfile.h"
#include "base/os/thread.h"
#include "convert/mix.h"
#include "gguf/foreign.h"
#include "gguf/parts.h"

/* Values that a thread takes at a time (64 KB of floats, which stay in its cache), and chunks between two writes, which
 * are of 4 MB at most. */
enum { CHUNK = 1 << 14, SLAB_CHUNKS = 64 };

/* What becomes of one tensor. */
typedef struct target {
    const st_gguf_tensor *t;
    st_role role;
    int32_t layer;
    uint32_t at; /* which of its role */
    uint32_t type;
    bool applies; /* the mix has a say */
    uint64_t n;   /* values */
    size_t bytes;
} target;

typedef struct slab {
    const st_quant *from, *to; /* to NULL: values are looked at, and copied */
    const uint8_t *src;
    uint8_t *dst;
    uint64_t n;    /* values */
    float *floats; /* [nth, 2 * CHUNK] */
    _Atomic uint32_t next;
    double error[SLAB_CHUNKS], square[SLAB_CHUNKS]; /* of each chunk, added in order */
    int bad[SLAB_CHUNKS];                           /* 1: the source is not finite, 2: the result is not */
} slab;

typedef struct job {
    st_mem mem;
    const char *in, *out;
    const st_mix *mix;
    strata_quantize_opts opts;
    st_parts parts;
    st_gguf gguf;
    target *targets;
    st_pool *pool;
    st_outfile f;
    slab s;
} job;

/* ---- which type each tensor gets --------------------------------------------------------------------------------- */

/* The order in which the mixes count layers: by number, then by name. */
static int quantize_by_layer(const void *pa, const void *pb)
{
    const target *a = *(target *const *)pa, *b = *(target *const *)pb;
    if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
    size_t la = a->t->name.len, lb = b->t->name.len;
    int c = memcmp(a->t->name.ptr, b->t->name.ptr, la < lb ? la : lb);
    return c ? c : la < lb ? -1 : la > lb;
}

static int quantize_count_roles(job *j, uint32_t n_expert, strata_error *err)
{
    size_t n = j->gguf.n_tensors;
    target **order = st_alloc(&j->mem, n, sizeof *order);
    ST_FAIL_IF(!order, err, STRATA_NO_MEMORY, "%s: no memory for %zu tensors", j->in, n);
    for (size_t i = 0; i < n; i++) order[i] = &j->targets[i];
    qsort(order, n, sizeof *order, quantize_by_layer);
    uint32_t values = 0, down = 0;
    for (size_t i = 0; i < n; i++) {
        target *t = order[i];
        if (!t->applies) continue;
        if (t->role == ST_ROLE_VALUE) t->at = values++;
        if (t->role != ST_ROLE_DOWN) continue;
        t->at = n_expert > 1 && t->layer >= 0 ? (uint32_t)t->layer : down; /* several a layer */
        down++;
    }
    st_free(&j->mem, order);
    return STRATA_OK;
}

/* An integer of the architecture, 0 if the file does not say. */
static int quantize_arch_u32(job *j, st_str arch, const char *key, uint32_t *v, strata_error *err)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s.%s", ST_STR(arch), key);
    return st_gguf_u32_or(&j->gguf, name, 0, v, err);
}

static int quantize_read_facts(job *j, st_mix_model *m, strata_error *err)
{
    st_str arch;
    ST_TRY(st_foreign_check_tensors(&j->gguf, err));
    uint32_t heads, kv_heads = 0;
    ST_TRY(st_gguf_str(&j->gguf, "general.architecture", &arch, err));
    ST_TRY(quantize_arch_u32(j, arch, "block_count", &m->n_layer, err));
    ST_TRY(quantize_arch_u32(j, arch, "expert_count", &m->n_expert, err));
    m->falcon = st_str_eq(arch, "falcon");
    if (m->n_layer == 80) {
        ST_TRY(quantize_arch_u32(j, arch, "attention.head_count", &heads, err));
        ST_TRY(quantize_arch_u32(j, arch, "attention.head_count_kv", &kv_heads, err));
        m->huge = (st_str_eq(arch, "llama") && kv_heads && kv_heads != heads) || st_str_eq(arch, "qwen2") ||
                  st_str_eq(arch, "olmo") || st_str_eq(arch, "deci");
    }
    m->tied = true;
    for (size_t i = 0; i < j->gguf.n_tensors; i++) {
        m->tied &= j->targets[i].role != ST_ROLE_OUTPUT;
        m->n_values += j->targets[i].role == ST_ROLE_VALUE;
    }
    return STRATA_OK;
}

static void quantize_describe(target *out, const st_gguf_tensor *t)
{
    *out = (target){.t = t, .type = t->type, .n = 1, .bytes = t->bytes};
    bool matrix = false;
    for (uint32_t d = 0; d < t->n_dims; d++) {
        out->n *= t->dims[d];
        matrix |= d > 0 && t->dims[d] > 1;
    }
    out->role = st_mix_role(t->name.ptr, t->name.len);
    out->layer = st_mix_layer(t->name.ptr, t->name.len);
    out->applies = st_mix_applies(t->name.ptr, t->name.len, matrix);
}

static int quantize_choose_types(job *j, strata_error *err)
{
    st_mix_model m = {0};
    for (size_t i = 0; i < j->gguf.n_tensors; i++) quantize_describe(&j->targets[i], &j->gguf.tensors[i]);
    ST_TRY(quantize_read_facts(j, &m, err));
    ST_TRY(quantize_count_roles(j, m.n_expert, err));
    for (size_t i = 0; i < j->gguf.n_tensors; i++) {
        target *t = &j->targets[i];
        char name[ST_STR_PRINT];
        const char *from = "?";
        uint32_t block, bytes;
        if (!t->applies) continue;
        st_mix_tensor what = {t->role, t->at, t->t->dims[0]};
        t->type = st_mix_type(j->mix, &m, &what, j->opts.pure != 0);
        if (t->type == t->t->type) continue;
        (void)st_quant_geometry(t->t->type, &from, &block, &bytes);
        ST_FAIL_IF(!st_quant_get(t->t->type), err, STRATA_UNSUPPORTED_TYPE,
                   "%s: tensor '%s' is of type %s; values can be read of %s", j->in, st_str_print(t->t->name, name),
                   from, st_quant_supported());
        const st_quant *q = st_quant_get(t->type);
        ST_FAIL_IF(t->n / q->block > SIZE_MAX / 2 / q->bytes, err, STRATA_CORRUPT_MODEL,
                   "%s: tensor '%s' has too many values", j->in, st_str_print(t->t->name, name));
        t->bytes = (size_t)(t->n / q->block * q->bytes);
    }
    return STRATA_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void quantize_put(job *j, const void *p, size_t n)
{
    (void)st_outfile_write(&j->f, p, n); /* the file remembers what failed: quantize_stopped looks */
}

static void quantize_put_int(job *j, uint64_t v, size_t bytes)
{
    uint8_t b[8];
    for (size_t i = 0; i < bytes; i++) b[i] = (uint8_t)(v >> (8 * i));
    quantize_put(j, b, bytes);
}

static size_t quantize_put_key_u32(job *j, const char *key, uint32_t v)
{
    size_t len = strlen(key);
    quantize_put_int(j, len, 8);
    quantize_put(j, key, len);
    quantize_put_int(j, ST_GGUF_U32, 4);
    quantize_put_int(j, v, 4);
    return 8 + len + 4 + 4;
}

static void quantize_put_padding(job *j, size_t written)
{
    static const uint8_t zeros[64];
    for (size_t n = st_round_up(written, j->gguf.alignment) - written; n > 0;) {
        size_t part = n < sizeof zeros ? n : sizeof zeros;
        quantize_put(j, zeros, part);
        n -= part;
    }
}

/* What the result says anew, or, being one file, no longer. */
#define FILE_TYPE    "general.file_type"
#define QUANT_FORMAT "general.quantization_version"

static bool quantize_is_replaced(const st_gguf_kv *kv)
{
    return st_str_eq(kv->key, FILE_TYPE) || st_str_eq(kv->key, QUANT_FORMAT) || st_parts_is_key(kv->key);
}

/* The header. Entries are copied as they are in the file, from the length of the key to the end of the value. */
static void quantize_put_head(job *j)
{
    const st_gguf *g = &j->gguf;
    size_t n_kv = 2, bytes = 24;
    for (size_t i = 0; i < g->n_kv; i++) n_kv += !quantize_is_replaced(&g->kv[i]);
    quantize_put(j, "GGUF", 4);
    quantize_put_int(j, 3, 4);
    quantize_put_int(j, g->n_tensors, 8);
    quantize_put_int(j, n_kv, 8);
    for (size_t i = 0; i < g->n_kv; i++) {
        const st_gguf_kv *kv = &g->kv[i];
        if (quantize_is_replaced(kv)) continue;
        const char *from = kv->key.ptr - 8;
        size_t n = (size_t)((const char *)kv->data + kv->bytes - from);
        quantize_put(j, from, n);
        bytes += n;
    }
    bytes += quantize_put_key_u32(j, QUANT_FORMAT, 2);
    bytes += quantize_put_key_u32(j, FILE_TYPE, j->mix->file_type);
    size_t offset = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const target *t = &j->targets[i];
        quantize_put_int(j, t->t->name.len, 8);
        quantize_put(j, t->t->name.ptr, t->t->name.len);
        quantize_put_int(j, t->t->n_dims, 4);
        for (uint32_t d = 0; d < t->t->n_dims; d++) quantize_put_int(j, t->t->dims[d], 8);
        quantize_put_int(j, t->type, 4);
        quantize_put_int(j, offset, 8);
        bytes += 8 + t->t->name.len + 4 + 8 * (size_t)t->t->n_dims + 4 + 8;
        offset += st_round_up(t->bytes, g->alignment);
    }
    if (g->n_tensors) quantize_put_padding(j, bytes);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static bool quantize_all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void quantize_convert_chunk(slab *s, uint32_t c, float *x)
{
    uint64_t at = (uint64_t)c * CHUNK;
    size_t n = s->n - at < CHUNK ? (size_t)(s->n - at) : CHUNK;
    float *y = x + CHUNK;
    double error = 0, square = 0;
    s->from->dequant(s->src + at / s->from->block * s->from->bytes, x, n);
    s->bad[c] = !quantize_all_finite(x, n);
    s->error[c] = s->square[c] = 0;
    if (s->bad[c] || !s->to) return;
    uint8_t *dst = s->dst + at / s->to->block * s->to->bytes;
    s->to->quantize(x, dst, n);
    s->to->dequant(dst, y, n);
    s->bad[c] = quantize_all_finite(y, n) ? 0 : 2;
    for (size_t i = 0; i < n; i++) {
        double d = (double)y[i] - (double)x[i];
        error += d * d;
        square += (double)x[i] * (double)x[i];
    }
    s->error[c] = error;
    s->square[c] = square;
}

static void quantize_convert_slab(void *arg, uint32_t ith, uint32_t nth)
{
    (void)nth;
    slab *s = arg;
    float *x = s->floats + (size_t)ith * 2 * CHUNK;
    for (uint32_t c; (uint64_t)(c = atomic_fetch_add(&s->next, 1)) * CHUNK < s->n;) quantize_convert_chunk(s, c, x);
}

static int quantize_check_slab(job *j, const target *t, double *error, double *square, strata_error *err)
{
    char name[ST_STR_PRINT];
    for (uint32_t c = 0; (uint64_t)c * CHUNK < j->s.n; c++) {
        ST_FAIL_IF(j->s.bad[c] == 1, err, STRATA_NONFINITE, "%s: tensor '%s' has NaN or infinity", j->in,
                   st_str_print(t->t->name, name));
        ST_FAIL_IF(j->s.bad[c] == 2, err, STRATA_NONFINITE, "%s: tensor '%s' has values too large for %s", j->in,
                   st_str_print(t->t->name, name), j->s.to->name);
        *error += j->s.error[c];
        *square += j->s.square[c];
    }
    return STRATA_OK;
}

static int quantize_cannot_write(const job *j, int code, strata_error *err)
{
    char why[ST_OUTFILE_REASON];
    ST_FAIL_IF(code == EINTR, err, STRATA_CANCELLED, "cancelled"); /* a wait ends so with the flag alone */
    ST_FAIL(err, STRATA_IO, "%s: cannot write: %s", j->out, st_outfile_reason(code, why));
}

static int quantize_stopped(const job *j, strata_error *err)
{
    ST_FAIL_IF(j->opts.cancel && *j->opts.cancel, err, STRATA_CANCELLED, "cancelled");
    return j->f.error ? quantize_cannot_write(j, j->f.error, err) : STRATA_OK;
}

/* In slabs; sets the relative error, root mean square. What keeps its type is looked at all the same: otherwise norms,
 * biases and blocks that are copied would carry NaN into a file that looks sound. */
static int quantize_convert_tensor(job *j, const target *t, double *relative, strata_error *err)
{
    slab *s = &j->s;
    double error = 0, square = 0;
    s->from = st_quant_get(t->t->type);
    s->to = t->type == t->t->type ? NULL : st_quant_get(t->type);
    for (uint64_t at = 0; at < t->n; at += s->n) {
        ST_TRY(quantize_stopped(j, err));
        s->n = t->n - at < (uint64_t)SLAB_CHUNKS * CHUNK ? t->n - at : (uint64_t)SLAB_CHUNKS * CHUNK;
        s->src = t->t->data + at / s->from->block * s->from->bytes;
        atomic_store(&s->next, 0);
        ST_TRY(st_pool_run(j->pool, st_pool_size(j->pool), quantize_convert_slab, s, err));
        ST_TRY(quantize_check_slab(j, t, &error, &square, err));
        size_t bytes = (size_t)(s->n / s->from->block * s->from->bytes);
        if (s->to)
            quantize_put(j, s->dst, (size_t)(s->n / s->to->block * s->to->bytes));
        else
            quantize_put(j, s->src, bytes);
        st_file_release(j->parts.files, s->src, bytes);
    }
    *relative = square > 0 ? sqrt(error / square) : 0;
    return STRATA_OK;
}

static int quantize_check_doubles(const job *j, const target *t, const uint8_t *p, size_t bytes, strata_error *err)
{
    enum { TYPE_F64 = 28 };
    char name[ST_STR_PRINT];
    for (size_t at = 0; t->type == TYPE_F64 && at + sizeof(double) <= bytes; at += sizeof(double)) {
        double v;
        memcpy(&v, p + at, sizeof v);
        ST_FAIL_IF(!isfinite(v), err, STRATA_NONFINITE, "%s: tensor '%s' has NaN or infinity", j->in,
                   st_str_print(t->t->name, name));
    }
    return STRATA_OK;
}

/* Of a type whose values this version cannot read, integers and float64: as it is. */
static int quantize_copy_tensor(job *j, const target *t, strata_error *err)
{
    const size_t most = (size_t)SLAB_CHUNKS * CHUNK * sizeof(float);
    for (size_t at = 0, n; at < t->bytes; at += n) {
        n = t->bytes - at < most ? t->bytes - at : most;
        ST_TRY(quantize_stopped(j, err));
        ST_TRY(quantize_check_doubles(j, t, t->t->data + at, n, err));
        quantize_put(j, t->t->data + at, n);
        st_file_release(j->parts.files, t->t->data + at, n);
    }
    return STRATA_OK;
}

static int quantize_put_tensor(job *j, size_t i, strata_error *err)
{
    const target *t = &j->targets[i];
    double error = 0;
    if (st_quant_get(t->t->type))
        ST_TRY(quantize_convert_tensor(j, t, &error, err));
    else
        ST_TRY(quantize_copy_tensor(j, t, err));
    quantize_put_padding(j, t->bytes);
    ST_TRY(quantize_stopped(j, err));
    if (!j->opts.progress) return STRATA_OK;
    char name[ST_STR_PRINT];
    strata_quantize_item item = {.name = st_str_print(t->t->name, name),
                                 .from = "?",
                                 .to = "?",
                                 .index = i,
                                 .n = j->gguf.n_tensors,
                                 .n_values = t->n,
                                 .bytes_from = t->t->bytes,
                                 .bytes_to = t->bytes,
                                 .error = error};
    uint32_t block, bytes;
    const st_quant *from = st_quant_get(t->t->type);
    (void)st_quant_geometry(t->t->type, &item.from, &block, &bytes);
    (void)st_quant_geometry(t->type, &item.to, &block, &bytes);
    item.requantized = t->type != t->t->type && from->group != 0;
    bool inside = st_fp_out();
    j->opts.progress(j->opts.progress_user, &item);
    st_fp_back(inside);
    return st_pool_forked(j->pool) ? st_forked_error(err) : STRATA_OK; /* the file is the parent's */
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int quantize_put_all(job *j, strata_error *err)
{
    quantize_put_head(j);
    ST_TRY(quantize_stopped(j, err));
    for (size_t i = 0; i < j->gguf.n_tensors; i++) ST_TRY(quantize_put_tensor(j, i, err));
    return STRATA_OK;
}

static int quantize_write_file(job *j, strata_error *err)
{
    char why[ST_OUTFILE_REASON];
    uint8_t *buffer = st_alloc(&j->mem, ST_OUTFILE_BUFFER, 1);
    ST_FAIL_IF(!buffer, err, STRATA_NO_MEMORY, "%s: no memory to write it", j->out);
    int code = st_outfile_open(&j->f, j->out, 0, j->opts.cancel), rc;
    j->f.buffer = buffer;
    j->f.cap = ST_OUTFILE_BUFFER;
    if (code == EINTR) {
        rc = quantize_cannot_write(j, code, err);
    } else if (code) {
        rc = st_error_set(err, STRATA_IO, "%s: cannot %s: %s", j->out, j->f.replaces ? "write" : "create",
                          st_outfile_reason(code, why));
    } else {
        rc = quantize_put_all(j, err);
        code = rc ? 0 : st_outfile_commit(&j->f);
        if (code) rc = quantize_cannot_write(j, code, err);
        st_outfile_abort(&j->f);
    }
    st_free(&j->mem, buffer);
    return rc;
}

/* A file may replace its input. But a whole model in place of one of its own parts would leave the other parts behind,
 * and no model under the name that led to them. */
static int quantize_check_out(const job *j, strata_error *err)
{
    for (size_t i = 0; j->parts.n > 1 && i < j->parts.n; i++)
        ST_FAIL_IF(st_file_is(&j->parts.files[i], j->out), err, STRATA_INVALID_ARG,
                   "%s: is part %zu of %zu of the model itself: write the whole under another name", j->out, i + 1,
                   j->parts.n);
    return STRATA_OK;
}

static int quantize_run_job(job *j, strata_error *err)
{
    uint32_t n_threads = j->opts.n_threads ? j->opts.n_threads : st_cpu_count();
    st_parts_opts parts = {.copy = j->opts.no_mmap != 0};
    ST_TRY(st_parts_open(&j->parts, &j->gguf, j->in, &parts, &j->mem, err));
    ST_TRY(quantize_check_out(j, err));
    j->targets = st_alloc(&j->mem, j->gguf.n_tensors, sizeof *j->targets);
    ST_FAIL_IF(!j->targets, err, STRATA_NO_MEMORY, "%s: no memory for %zu tensors", j->in, j->gguf.n_tensors);
    ST_TRY(quantize_choose_types(j, err));
    ST_TRY(st_pool_open(n_threads, &j->mem, &j->pool, err));
    j->s.floats = st_alloc(&j->mem, (size_t)n_threads * 2 * CHUNK, sizeof *j->s.floats);
    j->s.dst = st_alloc(&j->mem, (size_t)SLAB_CHUNKS * CHUNK, sizeof(float));
    ST_FAIL_IF(!j->s.floats || !j->s.dst, err, STRATA_NO_MEMORY, "%s: no memory to convert it", j->in);
    return quantize_write_file(j, err);
}

int st_quantize_file(const char *in, const char *out, const char *type, const strata_quantize_opts *opts,
                     strata_error *err)
{
    const st_mix *mix = st_mix_find(type);
    ST_FAIL_IF(!mix, err, STRATA_INVALID_ARG, "no type or mix '%.40s' to quantise to", type);
    job j = {.in = in, .out = out, .mix = mix, .opts = opts ? *opts : (strata_quantize_opts){0}};
    st_mem_init(&j.mem, j.opts.allocator, 0);
    int rc = quantize_run_job(&j, err);
    st_free(&j.mem, j.s.floats);
    st_free(&j.mem, j.s.dst);
    st_pool_close(j.pool);
    st_free(&j.mem, j.targets);
    st_gguf_free(&j.gguf);
    st_parts_close(&j.parts);
    return rc;
}
