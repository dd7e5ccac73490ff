/* verify.c: opens models of its own, at one kernel level after the other, and is a caller of the public functions like
 * any program. */
#include "check/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/format.h"
#include "base/fp.h"
#include "base/os/mem.h"
#include "check/reference.h"

enum { MAX_MADE_UP = 64 };
/* For a known model in another tensor type than its reference: shows only that it is the same model. */
#define LOOSE_COSINE 0.8
/* Limits for the slower kernel levels: sequences of at most so many tokens, and so many of them. */
enum { LEVEL_TOKENS = 48, LEVEL_CASES = 6 };

typedef struct verifier {
    const char *path;
    strata_verify_opts opts;
    strata_verify_fn report;
    void *user;
    st_mem mem;
    const st_verify_reference *ref; /* NULL: not a known model */
    int same_type;
    const st_verify_case *cases;
    uint32_t n_cases;
    int what; /* strata_eval_what of cases without text */
    size_t width;
    float *vectors; /* [n_cases, width]: what everything is compared with */
    float *again;   /* the same, of another run */
    int passed;
} verifier;

__attribute__((format(printf, 4, 5))) static void verify_tell(verifier *v, const char *name, int passed,
                                                              const char *fmt, ...)
{
    char found[256];
    va_list ap;
    va_start(ap, fmt);
    (void)st_vformat(found, sizeof found, fmt, ap);
    va_end(ap);
    if (!passed) v->passed = 0;
    const strata_verify_check check = {.name = name, .passed = passed, .found = found};
    bool inside = st_fp_out();
    v->report(v->user, &check);
    st_fp_back(inside);
}

static int verify_stop(const verifier *v, strata_error *err)
{
    ST_FAIL_IF(v->opts.cancel && *v->opts.cancel, err, STRATA_CANCELLED, "cancelled");
    return STRATA_OK;
}

/* Cases for a model that is not known: runs must still agree in their bits. */
static void verify_make_up_cases(verifier *v, uint32_t n_vocab, uint32_t n_ctx, int32_t *ids, st_verify_case *cases)
{
    static const uint32_t lengths[] = {1, 9, 40};
    v->cases = cases;
    v->n_cases = 0;
    for (uint32_t i = 0; i < MAX_MADE_UP; i++) ids[i] = (int32_t)((uint64_t)(i + 1) * 7919 % n_vocab);
    for (uint32_t i = 0; i < 3 && lengths[i] <= n_ctx; i++)
        cases[v->n_cases++] = (st_verify_case){.ids = ids + i, .n_ids = lengths[i]};
}

static int verify_run_case(verifier *v, strata_ctx *c, uint32_t i, float *out, strata_error *err)
{
    const st_verify_case *k = &v->cases[i];
    ST_TRY(verify_stop(v, err));
    if (k->text) {
        strata_text t = {k->text, k->len};
        strata_embed_opts o = {.cancel = v->opts.cancel};
        return strata_embed(c, &t, 1, &o, out, v->width, NULL, err);
    }
    size_t rows = 0, cols = 0, cap;
    int rc = strata_eval(c, k->ids, NULL, k->n_ids, v->what, STRATA_POOLING_DEFAULT, NULL, 0, &rows, &cols, err);
    ST_FAIL_IF(rc != STRATA_TOO_LONG || cols != v->width || !st_mul(rows, cols, &cap), err, rc ? rc : STRATA_INTERNAL,
               "%s: ids cannot be run", v->path);
    float *all = st_alloc(&v->mem, cap, sizeof *all);
    ST_FAIL_IF(!all, err, STRATA_NO_MEMORY, "no memory for %zu floats", cap);
    rc = strata_eval(c, k->ids, NULL, k->n_ids, v->what, STRATA_POOLING_DEFAULT, all, cap, &rows, &cols, err);
    if (!rc) memcpy(out, all + (rows - 1) * cols, cols * sizeof *out);
    st_free(&v->mem, all);
    return rc;
}

/* Ids of every text as a HuggingFace tokenizer makes them. */
static int verify_check_tokens(verifier *v, const strata_model *m, strata_error *err)
{
    enum { CAP = 4096 };
    uint32_t texts = 0, equal = 0, first = 0;
    int32_t *ids = st_alloc(&v->mem, CAP, sizeof *ids);
    ST_FAIL_IF(!ids, err, STRATA_NO_MEMORY, "no memory for %d ids", (int)CAP);
    for (uint32_t i = 0; i < v->n_cases; i++) {
        const st_verify_case *k = &v->cases[i];
        size_t n = 0;
        if (!k->text) continue;
        int rc = strata_tokenize(m, k->text, k->len, STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL, ids,
                                 NULL, CAP, &n, NULL);
        int same = rc == STRATA_OK && n == k->n_ids && memcmp(ids, k->ids, n * sizeof *ids) == 0;
        if (!same && equal == texts) first = i;
        texts++;
        equal += same != 0;
    }
    st_free(&v->mem, ids);
    if (!texts)
        verify_tell(v, "tokens", -1, "the reference has ids only");
    else if (equal == texts)
        verify_tell(v, "tokens", 1, "%u texts, ids equal", texts);
    else
        verify_tell(v, "tokens", 0, "%u of %u texts have equal ids; not '%.40s'", equal, texts, v->cases[first].text);
    return STRATA_OK;
}

/* Each vector on its own, kept, and compared with the reference. */
static int verify_check_vectors(verifier *v, strata_ctx *c, strata_error *err)
{
    double low = 2, sum = 0;
    for (uint32_t i = 0; i < v->n_cases; i++) {
        ST_TRY(verify_run_case(v, c, i, v->vectors + i * v->width, err));
        if (!v->ref) continue;
        double cosine = st_verify_cosine(v->vectors + i * v->width, v->ref->vectors + (size_t)i * v->width, v->width);
        if (!(cosine >= low)) low = cosine;
        sum += cosine;
    }
    if (!v->ref) return STRATA_OK;
    double mean = sum / v->n_cases, want_low = v->same_type ? v->ref->min_cosine : LOOSE_COSINE,
           want_mean = v->same_type ? v->ref->mean_cosine : LOOSE_COSINE;
    verify_tell(v, "vectors", low >= want_low && mean >= want_mean,
                "%u vectors: cosine min %.6f, mean %.6f (want %g, %g)%s%s", v->n_cases, low, mean, want_low, want_mean,
                v->same_type ? "" : "; reference of ", v->same_type ? "" : v->ref->type);
    return STRATA_OK;
}

static void verify_tell_same(verifier *v, const char *name, uint32_t n, uint32_t differ)
{
    if (differ)
        verify_tell(v, name, 0, "%u of %u vectors have other bits", differ, n);
    else
        verify_tell(v, name, 1, "%u vectors, the same bits", n);
}

static int verify_same_bits(const verifier *v, uint32_t i)
{
    return memcmp(v->again + i * v->width, v->vectors + i * v->width, v->width * sizeof(float)) == 0;
}

static int verify_check_batch(verifier *v, strata_ctx *c, strata_error *err)
{
    uint32_t differ = 0;
    if (!v->cases[0].text) return STRATA_OK;
    strata_text *t = st_alloc(&v->mem, v->n_cases, sizeof *t);
    ST_FAIL_IF(!t, err, STRATA_NO_MEMORY, "no memory for %u texts", v->n_cases);
    for (uint32_t i = 0; i < v->n_cases; i++) t[i] = (strata_text){v->cases[i].text, v->cases[i].len};
    strata_embed_opts o = {.cancel = v->opts.cancel};
    int rc = strata_embed(c, t, v->n_cases, &o, v->again, v->width, NULL, err);
    st_free(&v->mem, t);
    if (rc) return rc;
    for (uint32_t i = 0; i < v->n_cases; i++) differ += !verify_same_bits(v, i);
    verify_tell_same(v, "in one batch", v->n_cases, differ);
    return STRATA_OK;
}

/* The shorter cases again, on a model of another level or a context of other threads. */
static int verify_check_again(verifier *v, const strata_model *m, uint32_t n_threads, const char *name,
                              strata_error *err)
{
    uint32_t n = 0, differ = 0;
    strata_ctx *c = NULL;
    ST_TRY(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = n_threads}, &c, err));
    int rc = STRATA_OK;
    for (uint32_t i = 0; !rc && i < v->n_cases && n < LEVEL_CASES; i++) {
        if (v->cases[i].n_ids > LEVEL_TOKENS) continue;
        rc = verify_run_case(v, c, i, v->again + i * v->width, err);
        n++;
        differ += !rc && !verify_same_bits(v, i);
    }
    strata_ctx_close(c);
    if (!rc) verify_tell_same(v, name, n, differ);
    return rc;
}

static int verify_open_model(const verifier *v, const char *level, strata_model **m, strata_error *err)
{
    strata_model_opts o = {
        .no_mmap = v->opts.no_mmap, .n_threads = v->opts.n_threads, .cpu = level, .allocator = v->opts.allocator};
    return strata_model_open(v->path, &o, m, err);
}

static int verify_check_levels(verifier *v, const char *used, strata_error *err)
{
    const char *level;
    for (uint32_t i = 0; (level = strata_cpu_level(i)); i++) {
        strata_model *m = NULL;
        char name[48];
        if (strcmp(level, used) == 0) continue;
        snprintf(name, sizeof name, "kernels %s", level);
        ST_TRY(verify_stop(v, err));
        ST_TRY(verify_open_model(v, level, &m, err));
        int rc = verify_check_again(v, m, v->opts.n_threads, name, err);
        strata_model_close(m);
        if (rc) return rc;
    }
    return STRATA_OK;
}

static void verify_tell_model(verifier *v, const strata_model *m)
{
    char names[200] = "";
    const st_verify_reference *r;
    const char *type, *last = "";
    uint32_t n;
    uint64_t bytes;
    if (v->ref) {
        for (uint32_t i = 0; strata_model_get_type(m, i, &type, &n, &bytes); i++) {
            size_t len = strlen(names);
            snprintf(names + len, sizeof names - len, "%s%s", len ? " + " : "", type);
        }
        verify_tell(v, "model", 1, "%s in %s%s", v->ref->name, names,
                    v->same_type ? "" : ": no reference was made with these types");
        return;
    }
    for (uint32_t i = 0; (r = st_verify_reference_at(i)); i++) {
        if (strncmp(r->name, "tiny ", 5) == 0 || strcmp(r->name, last) == 0) continue;
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", r->name);
        last = r->name;
    }
    verify_tell(v, "model", 0, "not one with a reference (%s)", names);
}

static int verify_check_all(verifier *v, const strata_model *m, strata_ctx *c, const strata_model_info *info,
                            strata_error *err)
{
    verify_tell_model(v, m);
    verify_tell(v, "machine", 1, "kernels %s, %u threads, strata " STRATA_VERSION, info->cpu, strata_ctx_threads(c));
    if (v->ref) ST_TRY(verify_check_tokens(v, m, err));
    ST_TRY(verify_check_vectors(v, c, err));
    ST_TRY(verify_check_batch(v, c, err));
    uint32_t others = strata_ctx_threads(c) == 1 ? 2 : 1;
    ST_TRY(verify_check_again(v, m, others, others == 1 ? "1 thread" : "2 threads", err));
    return verify_check_levels(v, info->cpu, err);
}

static int verify_model(verifier *v, const strata_model *m, strata_error *err)
{
    strata_model_info info;
    strata_ctx *c = NULL;
    int32_t ids[MAX_MADE_UP];
    st_verify_case made_up[3];
    strata_model_get_info(m, &info);
    v->ref = st_verify_find(m, &v->same_type);
    if (v->ref) {
        v->cases = v->ref->cases;
        v->n_cases = v->ref->n_cases;
    } else {
        verify_make_up_cases(v, info.n_vocab, info.n_ctx, ids, made_up);
    }
    v->what = info.pooling != STRATA_POOLING_NONE ? STRATA_EVAL_POOLED
              : info.has_logits                   ? STRATA_EVAL_LOGITS
                                                  : STRATA_EVAL_HIDDEN;
    v->width = v->what == STRATA_EVAL_LOGITS         ? info.n_vocab
               : v->what == STRATA_EVAL_HIDDEN       ? info.n_embd
               : info.pooling == STRATA_POOLING_RANK ? info.n_labels
                                                     : info.n_embd_out;
    ST_FAIL_IF(v->ref && v->ref->width != v->width, err, STRATA_UNSUPPORTED_OP,
               "%s: gives %zu values, the reference of %s has %u: is a tensor missing?", v->path, v->width,
               v->ref->name, v->ref->width);
    v->vectors = st_calloc(&v->mem, v->n_cases * v->width, sizeof *v->vectors);
    v->again = st_calloc(&v->mem, v->n_cases * v->width, sizeof *v->again);
    ST_FAIL_IF(!v->vectors || !v->again, err, STRATA_NO_MEMORY, "no memory for %u vectors", v->n_cases);
    ST_TRY(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = v->opts.n_threads}, &c, err));
    int rc = verify_check_all(v, m, c, &info, err);
    strata_ctx_close(c);
    return rc;
}

int st_verify(const char *path, const strata_verify_opts *opts, strata_verify_fn report, void *user, int *passed,
              strata_error *err)
{
    verifier v = {
        .path = path, .opts = opts ? *opts : (strata_verify_opts){0}, .report = report, .user = user, .passed = 1};
    st_mem_init(&v.mem, v.opts.allocator, 0);
    strata_model *m = NULL;
    int rc = verify_open_model(&v, v.opts.cpu, &m, err);
    if (!rc) rc = verify_model(&v, m, err);
    strata_model_close(m);
    st_free(&v.mem, v.vectors);
    st_free(&v.mem, v.again);
    if (!rc) *passed = v.passed;
    return rc;
}
