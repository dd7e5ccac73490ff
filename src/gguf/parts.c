/* parts.c: finds the parts of a split model, checks that they belong together, and makes one tensor directory of
 * theirs. What a single file says of itself is checked by gguf.c for each part. */
#include "gguf/parts.h"

#include <stdio.h>
#include <string.h>

#include "gguf/cursor.h"

#define KEY_NO      "split.no"
#define KEY_COUNT   "split.count"
#define KEY_TENSORS "split.tensors.count"

#define MAX_PARTS   99999u /* what five digits of a name can say */
#define SUFFIX_FMT  "-%05u-of-%05u.gguf"
#define SUFFIX_LEN  20
#define SUFFIX_ROOM 40 /* numbers of ten digits, as far as the compiler knows */

/* What a part says of itself. Numbers from 0, as in the file. */
typedef struct part_label {
    uint32_t no, count, n_tensors;
    bool counted; /* n_tensors is there */
} part_label;

typedef struct part_joiner {
    st_parts *p;
    st_gguf *g; /* of the first part; becomes that of all */
    const char *path;
    const st_parts_opts *opts;
    size_t prefix; /* bytes of path before "-00001-of-..." */
    size_t cap;    /* of g->tensors */
    part_label first;
    char *name; /* of the part at hand */
    strata_error *err;
} part_joiner;

bool st_parts_is_key(st_str key)
{
    return st_str_eq(key, KEY_NO) || st_str_eq(key, KEY_COUNT) || st_str_eq(key, KEY_TENSORS);
}

static const char *part_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* How many bytes of the path stand before the suffix that part `no` of `count` has; SIZE_MAX: it has another. */
static size_t part_prefix(const char *path, uint32_t no, uint32_t count)
{
    char suffix[SUFFIX_ROOM];
    size_t n = strlen(path);
    snprintf(suffix, sizeof suffix, SUFFIX_FMT, no + 1, count);
    return n > SUFFIX_LEN && strcmp(path + n - SUFFIX_LEN, suffix) == 0 ? n - SUFFIX_LEN : SIZE_MAX;
}

/* A split.count of 0 is what gguf-split leaves in a file that it merged. */
static int part_read_label(const st_gguf *g, part_label *l, strata_error *err)
{
    ST_TRY(st_gguf_u32_or(g, KEY_COUNT, 0, &l->count, err));
    ST_FAIL_IF(l->count > MAX_PARTS, err, STRATA_CORRUPT_MODEL, "%s: key '" KEY_COUNT "' is %u, want 0 to %u", g->name,
               l->count, MAX_PARTS);
    ST_TRY(st_gguf_u32_or(g, KEY_NO, 0, &l->no, err));
    ST_FAIL_IF(l->no && l->no >= l->count, err, STRATA_CORRUPT_MODEL,
               "%s: key '" KEY_NO "' is %u, but '" KEY_COUNT "' is %u: which part of the model is it?", g->name, l->no,
               l->count);
    l->counted = st_gguf_find(g, KEY_TENSORS) != NULL;
    return st_gguf_u32_or(g, KEY_TENSORS, 0, &l->n_tensors, err);
}

/* The path names a part that does not lead to the others. */
static int part_refuse_later(const part_joiner *j)
{
    size_t prefix = part_prefix(j->path, j->first.no, j->first.count);
    const char *base = part_base(j->path);
    if (j->opts->buffer || prefix == SIZE_MAX)
        ST_FAIL(j->err, STRATA_UNSUPPORTED_OP,
                "%s: is part %u of %u of a model; open the first, whose name ends in " SUFFIX_FMT, j->g->name,
                j->first.no + 1, j->first.count, 1u, j->first.count);
    ST_FAIL(j->err, STRATA_UNSUPPORTED_OP, "%s: is part %u of %u of a model; open %.*s" SUFFIX_FMT, j->g->name,
            j->first.no + 1, j->first.count, (int)(prefix - (size_t)(base - j->path)), base, 1u, j->first.count);
}

/* Where the other parts are, or that it cannot be told. */
static int part_find_others(part_joiner *j)
{
    ST_FAIL_IF(j->opts->buffer, j->err, STRATA_UNSUPPORTED_OP,
               "%s: is part 1 of %u of a model: one in memory has to be whole, open it by its path", j->g->name,
               j->first.count);
    j->prefix = part_prefix(j->path, 0, j->first.count);
    ST_FAIL_IF(j->prefix == SIZE_MAX, j->err, STRATA_UNSUPPORTED_OP,
               "%s: is part 1 of %u of a model; the others are found by its name, which has to end in " SUFFIX_FMT,
               j->g->name, j->first.count, 1u, j->first.count);
    ST_FAIL_IF(!j->first.counted, j->err, STRATA_CORRUPT_MODEL,
               "%s: is part 1 of %u of a model but has no key '" KEY_TENSORS "'", j->g->name, j->first.count);
    j->name = st_alloc(j->p->mem, j->prefix + SUFFIX_ROOM, 1);
    ST_FAIL_IF(!j->name, j->err, STRATA_NO_MEMORY, "%s: no memory for the names of its parts", j->g->name);
    memcpy(j->name, j->path, j->prefix);
    return STRATA_OK;
}

static int part_open_file(st_parts *p, const char *path, const st_parts_opts *o, strata_error *err)
{
    ST_FAIL_IF(!st_grow(p->mem, &p->files, &p->cap, p->n + 1, p->n, sizeof *p->files), err, STRATA_NO_MEMORY,
               "%s: no memory to open it", path);
    st_file *f = &p->files[p->n];
    if (o->buffer)
        st_file_borrow(f, o->buffer, o->size);
    else
        ST_TRY(st_file_open(f, path, o->copy, p->mem, err));
    p->n++;
    p->bytes += f->size;
    return STRATA_OK;
}

/* A later part has none of the first one's keys, as the writers leave it, or repeats them. */
static int part_check_keys(const part_joiner *j, const st_gguf *part)
{
    const st_gguf *g = j->g;
    for (size_t i = 0; i < part->n_kv; i++) {
        const st_gguf_kv *kv = &part->kv[i], *same;
        char name[ST_STR_PRINT];
        if (st_parts_is_key(kv->key) || st_str_eq(kv->key, "general.alignment")) continue;
        uint32_t at = *st_gguf_probe(g->kv_index, g->kv_slots, g->kv, sizeof *g->kv, kv->key);
        if (!at) {
            st_log_write(j->opts->log, STRATA_LOG_WARN, "%s: key '%s' is not in the first part and is not read",
                         part->name, st_str_print(kv->key, name));
            continue;
        }
        same = &g->kv[at - 1];
        ST_FAIL_IF(same->type != kv->type || same->elem_type != kv->elem_type || same->bytes != kv->bytes ||
                       memcmp(same->data, kv->data, kv->bytes) != 0,
                   j->err, STRATA_CORRUPT_MODEL,
                   "%s: key '%s' has another value than in the first part: of two models?", part->name,
                   st_str_print(kv->key, name));
    }
    return STRATA_OK;
}

static int part_check_label(const part_joiner *j, const st_gguf *part, uint32_t no)
{
    part_label l;
    ST_TRY(part_read_label(part, &l, j->err));
    ST_FAIL_IF(l.count != j->first.count || l.no != no, j->err, STRATA_CORRUPT_MODEL,
               "%s: says that it is part %u of %u, want part %u of %u", part->name, l.no + 1, l.count, no + 1,
               j->first.count);
    ST_FAIL_IF(!l.counted || l.n_tensors != j->first.n_tensors, j->err, STRATA_CORRUPT_MODEL,
               "%s: key '" KEY_TENSORS "' is %u, but %u in the first part: of two models?", part->name, l.n_tensors,
               j->first.n_tensors);
    return part_check_keys(j, part);
}

/* The directory of the first part takes up that of another. */
static int part_append(part_joiner *j, const st_gguf *part)
{
    st_gguf *g = j->g;
    size_t n = g->n_tensors + part->n_tensors;
    ST_FAIL_IF(n > j->first.n_tensors, j->err, STRATA_CORRUPT_MODEL,
               "%s: the parts up to this have %zu tensors, but '" KEY_TENSORS "' is %u", part->name, n,
               j->first.n_tensors);
    ST_FAIL_IF(!st_grow(g->mem, &g->tensors, &j->cap, n, g->n_tensors, sizeof *g->tensors), j->err, STRATA_NO_MEMORY,
               "%s: no memory for %zu tensors", part->name, n);
    if (part->n_tensors) memcpy(g->tensors + g->n_tensors, part->tensors, part->n_tensors * sizeof *part->tensors);
    g->n_tensors = n;
    return STRATA_OK;
}

static int part_add(part_joiner *j, uint32_t no)
{
    st_gguf part = {0};
    snprintf(j->name + j->prefix, SUFFIX_ROOM, SUFFIX_FMT, no + 1, j->first.count);
    int rc = part_open_file(j->p, j->name, j->opts, j->err);
    if (rc) return rc;
    const st_file *f = &j->p->files[j->p->n - 1];
    rc = st_gguf_parse(&part, f->data, f->size, j->name, false, j->p->mem, j->err);
    if (!rc) rc = part_check_label(j, &part, no);
    if (!rc) rc = part_append(j, &part);
    st_gguf_free(&part);
    return rc;
}

static int part_join(part_joiner *j)
{
    ST_TRY(part_find_others(j));
    j->cap = j->g->n_tensors;
    for (uint32_t no = 1; no < j->first.count; no++) ST_TRY(part_add(j, no));
    ST_FAIL_IF(j->g->n_tensors != j->first.n_tensors, j->err, STRATA_CORRUPT_MODEL,
               "%s: its %u parts have %zu tensors, but '" KEY_TENSORS "' is %u", j->g->name, j->first.count,
               j->g->n_tensors, j->first.n_tensors);
    return st_gguf_index_tensors(j->g, j->err);
}

/* A file without the keys is whole whatever it is called, but where its name says otherwise a warning is due. */
static void part_warn_of_name(const part_joiner *j)
{
    unsigned no, count;
    size_t n = strlen(j->path);
    if (j->opts->buffer || n <= SUFFIX_LEN) return;
    if (sscanf(j->path + n - SUFFIX_LEN, "-%5u-of-%5u", &no, &count) != 2 || count < 2 || no < 1) return;
    if (part_prefix(j->path, no - 1, count) == SIZE_MAX) return;
    st_log_write(j->opts->log, STRATA_LOG_WARN,
                 "%s: is called part %u of %u, but is taken for a whole model, for it has no key '" KEY_COUNT "'",
                 j->g->name, no, count);
}

static int part_read_all(part_joiner *j)
{
    const st_file *f = &j->p->files[0];
    ST_TRY(st_gguf_parse(j->g, f->data, f->size, j->path, j->opts->vocab_only, j->p->mem, j->err));
    ST_TRY(part_read_label(j->g, &j->first, j->err));
    if (j->first.no) return part_refuse_later(j);
    if (j->opts->vocab_only) return STRATA_OK;
    if (j->first.count > 1) return part_join(j);
    bool whole = !j->first.counted || j->first.n_tensors == j->g->n_tensors;
    ST_FAIL_IF(!whole, j->err, STRATA_CORRUPT_MODEL,
               "%s: has %zu tensors, but '" KEY_TENSORS "' is %u: one part of a model that was split?", j->g->name,
               j->g->n_tensors, j->first.n_tensors);
    if (j->first.count == 0) part_warn_of_name(j);
    return STRATA_OK;
}

int st_parts_open(st_parts *p, st_gguf *g, const char *path, const st_parts_opts *opts, st_mem *mem, strata_error *err)
{
    *p = (st_parts){.mem = mem};
    *g = (st_gguf){0};
    part_joiner j = {.p = p, .g = g, .path = path, .opts = opts, .err = err};
    int rc = part_open_file(p, path, opts, err);
    if (!rc) rc = part_read_all(&j);
    st_free(mem, j.name);
    if (rc) st_gguf_free(g);
    if (rc) st_parts_close(p);
    return rc;
}

void st_parts_close(st_parts *p)
{
    for (size_t i = 0; i < p->n; i++) st_file_close(&p->files[i]);
    if (p->mem) st_free(p->mem, p->files);
    *p = (st_parts){0};
}
