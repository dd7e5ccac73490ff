/* test_parts.c: split models are the whole model, bit for bit, wherever they are cut; what is not all of one model is
 * refused by what it is. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp, symlink */
#endif
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/split.h"
#include "unit/test_api.h"

enum { MAX_PARTS = 6, MAX_IDS = 12, PATH = 600 };

static char dir[64];

static const char *path_of(const char *name)
{
    static char path[8][PATH];
    static unsigned at;
    char *p = path[at++ % 8];
    snprintf(p, PATH, "%s/%s", dir, name);
    return p;
}

static void remove_all(void)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') remove(path_of(e->d_name));
    closedir(d);
}

/* ---- a model in memory, to be cut ---- */

typedef struct source {
    blob b;
    st_mem mem;
    st_gguf g;
} source;

static void source_open(source *s, blob b)
{
    *s = (source){.b = b};
    st_mem_init(&s->mem, NULL, 0);
    OK(st_gguf_parse(&s->g, b.data, b.size, "source", false, &s->mem, err));
}

static void source_close(source *s)
{
    st_gguf_free(&s->g);
    assert_int_equal(s->mem.used, 0);
    free(s->b.data);
}

static size_t put_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
    return size;
}

/* Two parts of "m" cut in the middle; the second says `label` and has `more` as well. */
static void two_parts(source *s, const split_label *first, const split_label *second)
{
    char path[PATH];
    size_t half = s->g.n_tensors / 2;
    split_label a = split_labels(0, 2, s->g.n_tensors), b = split_labels(1, 2, s->g.n_tensors);
    remove_all();
    assert_int_equal(split_write(&s->g, 0, half, true, first ? first : &a, &s->mem,
                                 split_path(path, sizeof path, path_of("m"), 0, 2)),
                     0);
    assert_int_equal(split_write(&s->g, half, s->g.n_tensors, false, second ? second : &b, &s->mem,
                                 split_path(path, sizeof path, path_of("m"), 1, 2)),
                     0);
}

#define FIRST  path_of("m-00001-of-00002.gguf")
#define SECOND path_of("m-00002-of-00002.gguf")

static int open_first(strata_error *err)
{
    strata_model *m = NULL;
    int rc = strata_model_open(FIRST, &(strata_model_opts){.n_threads = 1}, &m, err);
    if (rc) assert_null(m);
    strata_model_close(m);
    return rc;
}

static int quantize_first(strata_error *err)
{
    return strata_quantize(FIRST, path_of("out.gguf"), "Q8_0", &(strata_quantize_opts){.n_threads = 1}, err);
}

/* Opening and quantising say the same. */
#define REFUSED(status, needle)                                                                \
    do {                                                                                       \
        FAILS(open_first(err), status, needle);                                                \
        FAILS(quantize_first(err), status, needle);                                            \
        if (access(path_of("out.gguf"), F_OK) == 0) fail_msg("a file was left: %s", (needle)); \
    } while (0)

/* ---- the same bits ---- */

static float *run_all(const strata_model *m, size_t *n)
{
    strata_model_info info;
    int32_t ids[MAX_IDS];
    size_t rows = 0, cols = 0;
    strata_model_get_info(m, &info);
    for (int i = 0; i < MAX_IDS; i++) ids[i] = (int32_t)((uint32_t)(i * 37 + 5) % info.n_vocab);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    int what = info.has_logits ? STRATA_EVAL_LOGITS : STRATA_EVAL_HIDDEN;
    (void)strata_eval(c, ids, NULL, MAX_IDS, what, 0, NULL, 0, &rows, &cols, NULL);
    size_t more = info.can_embed ? info.n_embd_out : 0;
    float *v = calloc(rows * cols + more, sizeof *v);
    assert_non_null(v);
    OK(strata_eval(c, ids, NULL, MAX_IDS, what, 0, v, rows * cols, &rows, &cols, err));
    *n = rows * cols + more;
    if (more) embed_one(c, text_of("ab cde"), NULL, v + rows * cols, more);
    strata_ctx_close(c);
    return v;
}

/* Random cuts, also with parts that have no tensor at all, as gguf-split --no-tensor-first-split makes the first. */
static void make_cuts(size_t *cuts, uint32_t count, size_t n_tensors, uint64_t *seed)
{
    cuts[0] = 0;
    cuts[count] = n_tensors;
    for (uint32_t i = 1; i < count; i++) cuts[i] = rng_next(seed) % (n_tensors + 1);
    for (uint32_t i = 1; i < count; i++) /* in order */
        for (uint32_t k = i + 1; k < count; k++)
            if (cuts[k] < cuts[i]) {
                size_t x = cuts[i];
                cuts[i] = cuts[k], cuts[k] = x;
            }
    if (rng_next(seed) % 3 == 0) cuts[1] = 0;
}

static void same_as_whole(const char *name, source *s, uint64_t *seed, const float *want, size_t n_want, bool copied)
{
    size_t cuts[MAX_PARTS + 1], n, bytes = 0;
    uint32_t count = 2 + rng_next(seed) % (MAX_PARTS - 1);
    char path[PATH];
    struct stat st;
    strata_model_info a, b;
    make_cuts(cuts, count, s->g.n_tensors, seed);
    if (split_model(&s->g, cuts, count, &s->mem, path_of("m"))) fail_msg("%s cannot be split", name);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(stat(split_path(path, sizeof path, path_of("m"), i, count), &st), 0);
        bytes += (size_t)st.st_size;
    }
    strata_model_opts o = {.no_mmap = copied, .n_threads = 2};
    strata_model *whole = open_blob(s->b, NULL), *m = NULL;
    split_path(path, sizeof path, path_of("m"), 0, count);
    OK(strata_model_open(path, &o, &m, err));
    if (!copied) remove_all(); /* what is mapped stays */
    float *got = run_all(m, &n);
    assert_int_equal(n, n_want);
    if (memcmp(got, want, n * sizeof *got) != 0) fail_msg("%s in %u parts has other bits", name, count);
    strata_model_get_info(whole, &a);
    strata_model_get_info(m, &b);
    assert_int_equal(a.n_parts, 1);
    assert_int_equal(b.n_parts, count);
    assert_int_equal(a.file_bytes, s->b.size);
    assert_int_equal(b.file_bytes, bytes);
    assert_int_equal(a.n_params, b.n_params);
    assert_int_equal(a.n_tensors, b.n_tensors);
    free(got);
    strata_model_close(m);
    strata_model_close(whole);
    remove_all();
}

static void every_model(void **state)
{
    (void)state;
    uint64_t seed = 1;
    char folder[PATH];
    snprintf(folder, sizeof folder, "%s/tests/data/tiny", STRATA_SOURCE_DIR);
    DIR *d = opendir(folder);
    int n_models = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char *dot = strstr(e->d_name, ".gguf");
        size_t n;
        if (!dot) continue;
        *dot = 0;
        source s;
        source_open(&s, blob_read(tiny(e->d_name)));
        strata_model *m = open_blob(s.b, NULL);
        float *want = run_all(m, &n);
        strata_model_close(m);
        for (int i = 0; i < 2; i++) same_as_whole(e->d_name, &s, &seed, want, n, i == 1);
        free(want);
        source_close(&s);
        n_models++;
    }
    closedir(d);
    assert_true(n_models > 50);
}

/* The file is the whole one's, byte for byte, and says nothing of parts. */
static void quantised_whole(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 6; i++) {
        source s;
        size_t cuts[4];
        source_open(&s, blob_read(tiny(i % 2 ? "llama-q8_0" : "bert")));
        make_cuts(cuts, 3, s.g.n_tensors, &seed);
        assert_int_equal(split_model(&s.g, cuts, 3, &s.mem, path_of("m")), 0);
        const char *whole = path_of("whole.gguf"), *a = path_of("a.gguf"), *b = path_of("b.gguf");
        put_file(whole, s.b.data, s.b.size);
        strata_quantize_opts o = {.n_threads = 1, .no_mmap = i > 3};
        OK(strata_quantize(whole, a, "Q4_K_M", &o, err));
        OK(strata_quantize(path_of("m-00001-of-00003.gguf"), b, "Q4_K_M", &o, err));
        blob x = blob_read(a), y = blob_read(b);
        assert_int_equal(x.size, y.size);
        assert_memory_equal(x.data, y.data, x.size);
        free(x.data);
        free(y.data);
        remove_all();
        source_close(&s);
    }
}

/* Onto a part of the model itself, also through a link: refused, and every part stays as it is. */
static void quantised_onto_a_part(void **state)
{
    (void)state;
    source s;
    source_open(&s, blob_read(tiny("bert")));
    two_parts(&s, NULL, NULL);
    char link_path[PATH];
    snprintf(link_path, sizeof link_path, "%s", path_of("link.gguf"));
    assert_int_equal(symlink("m-00002-of-00002.gguf", link_path), 0);
    for (int i = 0; i < 3; i++) {
        const char *out = i == 0 ? FIRST : i == 1 ? SECOND : link_path;
        FAILS(strata_quantize(FIRST, out, "Q8_0", &(strata_quantize_opts){.n_threads = 1}, err), STRATA_INVALID_ARG,
              i == 0 ? "part 1 of 2 of the model itself" : "part 2 of 2 of the model itself");
        OK(open_first(err));
    }
    remove_all();
    source_close(&s);
}

static void ignore_check(void *user, const strata_verify_check *check)
{
    (void)user;
    (void)check;
}

/* A model that is known is known in parts. */
static void verified(void **state)
{
    (void)state;
    source s;
    int passed = 0;
    source_open(&s, blob_read(tiny("bert")));
    two_parts(&s, NULL, NULL);
    OK(strata_verify(FIRST, &(strata_verify_opts){.n_threads = 1}, ignore_check, NULL, &passed, err));
    assert_int_equal(passed, 1);
    remove_all();
    source_close(&s);
}

/* ---- where the parts are ---- */

/* HuggingFace's cache: links with the names, to files that are called by their hashes, elsewhere. */
static void links(void **state)
{
    (void)state;
    source s;
    source_open(&s, blob_read(tiny("bert")));
    two_parts(&s, NULL, NULL);
    char a[PATH], b[PATH];
    snprintf(a, sizeof a, "%s", path_of("8f3a"));
    snprintf(b, sizeof b, "%s", path_of("c01d"));
    assert_int_equal(rename(FIRST, a), 0);
    assert_int_equal(rename(SECOND, b), 0);
    assert_int_equal(symlink("8f3a", FIRST), 0);
    assert_int_equal(symlink("c01d", SECOND), 0);
    OK(open_first(err));
    OK(quantize_first(err));
    strata_model *m = NULL;
    FAILS(strata_model_open(a, NULL, &m, err), STRATA_UNSUPPORTED_OP,
          "8f3a: is part 1 of 2 of a model; the others are found by its name, which has to end in "
          "-00001-of-00002.gguf");
    FAILS(strata_model_open(b, NULL, &m, err), STRATA_UNSUPPORTED_OP,
          "c01d: is part 2 of 2 of a model; open the first, whose name ends in -00001-of-00002.gguf");
    remove_all();
    source_close(&s);
}

static void alone(void **state)
{
    (void)state;
    source s;
    strata_model *m = NULL;
    source_open(&s, blob_read(tiny("bert")));
    two_parts(&s, NULL, NULL);
    FAILS(strata_model_open(SECOND, NULL, &m, err), STRATA_UNSUPPORTED_OP,
          "m-00002-of-00002.gguf: is part 2 of 2 of a model; open m-00001-of-00002.gguf");
    FAILS(strata_quantize(SECOND, path_of("out.gguf"), "Q8_0", NULL, err), STRATA_UNSUPPORTED_OP,
          "is part 2 of 2 of a model; open m-00001-of-00002.gguf");
    blob one = blob_read(FIRST), two = blob_read(SECOND);
    FAILS(strata_model_open_buffer(one.data, one.size, "x-00001-of-00002.gguf", NULL, &m, err), STRATA_UNSUPPORTED_OP,
          "is part 1 of 2 of a model: one in memory has to be whole");
    FAILS(strata_model_open_buffer(two.data, two.size, NULL, NULL, &m, err), STRATA_UNSUPPORTED_OP,
          "(memory): is part 2 of 2 of a model; open the first");
    /* The first part has the vocabulary: it does without the others, and the second without anything. */
    strata_model_opts vocab = {.vocab_only = 1};
    strata_model_info info;
    OK(strata_model_open_buffer(one.data, one.size, NULL, &vocab, &m, err));
    strata_model_get_info(m, &info);
    assert_int_equal(info.n_parts, 1);
    assert_true(info.n_vocab > 100);
    strata_model_close(m);
    m = NULL;
    remove(FIRST);
    FAILS(strata_model_open(FIRST, NULL, &m, err), STRATA_IO, "m-00001-of-00002.gguf: cannot open");
    FAILS(strata_model_open(SECOND, &vocab, &m, err), STRATA_UNSUPPORTED_OP, "is part 2 of 2 of a model");
    put_file(path_of("renamed.gguf"), one.data, one.size);
    OK(strata_model_open(path_of("renamed.gguf"), &vocab, &m, err));
    strata_model_close(m);
    m = NULL;
    FAILS(strata_model_open(path_of("renamed.gguf"), NULL, &m, err), STRATA_UNSUPPORTED_OP, "by its name");
    put_file(path_of("m-00001-of-00003.gguf"), one.data, one.size); /* a name of another count */
    FAILS(strata_model_open(path_of("m-00001-of-00003.gguf"), NULL, &m, err), STRATA_UNSUPPORTED_OP,
          "has to end in -00001-of-00002.gguf");
    free(one.data);
    free(two.data);
    remove_all();
    source_close(&s);
}

static void missing_or_broken(void **state)
{
    (void)state;
    source s;
    source_open(&s, blob_read(tiny("bert")));
    two_parts(&s, NULL, NULL);
    blob second = blob_read(SECOND);
    remove(SECOND);
    REFUSED(STRATA_IO, "m-00002-of-00002.gguf: cannot open");
    assert_int_equal(mkdir(SECOND, 0700), 0);
    REFUSED(STRATA_IO, "m-00002-of-00002.gguf: is a directory");
    rmdir(SECOND);
    assert_int_equal(mkfifo(SECOND, 0600), 0);
    REFUSED(STRATA_IO, "m-00002-of-00002.gguf: is not a regular file");
    remove(SECOND);
    put_file(SECOND, "", 0);
    REFUSED(STRATA_NOT_GGUF, "m-00002-of-00002.gguf: is empty");
    put_file(SECOND, "<!DOCTYPE html><html>", 21);
    REFUSED(STRATA_NOT_GGUF, "m-00002-of-00002.gguf: is a web page");
    for (size_t n = 24; n < second.size; n += second.size / 37) {
        put_file(SECOND, second.data, n);
        REFUSED(STRATA_CORRUPT_MODEL, "m-00002-of-00002.gguf: ");
    }
    put_file(SECOND, second.data, second.size);
    OK(open_first(err));
    blob first = blob_read(FIRST); /* the first again, under the second's name */
    put_file(SECOND, first.data, first.size);
    REFUSED(STRATA_CORRUPT_MODEL, "m-00002-of-00002.gguf: says that it is part 1 of 2, want part 2 of 2");
    put_file(SECOND, s.b.data, s.b.size); /* the whole model */
    REFUSED(STRATA_CORRUPT_MODEL, "m-00002-of-00002.gguf: says that it is part 1 of 0, want part 2 of 2");
    free(first.data);
    free(second.data);
    remove_all();
    source_close(&s);
}

/* ---- what the parts say ---- */

static void labels(void **state)
{
    (void)state;
    source s;
    source_open(&s, blob_read(tiny("bert")));
    const size_t n = s.g.n_tensors;
    split_label l;
#define SAYS(which, field, t, value, status, needle)         \
    do {                                                     \
        l = split_labels(which, 2, n);                       \
        l.field = (split_key){t, value};                     \
        two_parts(&s, which ? NULL : &l, which ? &l : NULL); \
        if (status)                                          \
            REFUSED(status, needle);                         \
        else                                                 \
            OK(open_first(err));                             \
    } while (0)
    /* Any integer type does. */
    SAYS(0, count, ST_GGUF_U64, 2, 0, "");
    SAYS(0, no, ST_GGUF_I8, 0, 0, "");
    SAYS(1, no, ST_GGUF_I64, 1, 0, "");
    SAYS(1, n_tensors, ST_GGUF_U64, n, 0, "");
    SAYS(0, no, SPLIT_LEAVE_OUT, 0, 0, ""); /* part 1 of 2 by its count */
    SAYS(0, count, ST_GGUF_STRING, 0, STRATA_CORRUPT_MODEL, "key 'split.count' is string");
    SAYS(0, count, ST_GGUF_F32, 0x40000000, STRATA_CORRUPT_MODEL, "key 'split.count' is f32");
    SAYS(0, count, ST_GGUF_I32, UINT64_MAX, STRATA_CORRUPT_MODEL, "key 'split.count' is -1");
    SAYS(0, count, ST_GGUF_U32, 100000, STRATA_CORRUPT_MODEL, "key 'split.count' is 100000, want 0 to 99999");
    SAYS(0, count, ST_GGUF_U64, UINT64_MAX, STRATA_CORRUPT_MODEL, "key 'split.count' is 18446744073709551615");
    SAYS(0, count, ST_GGUF_U16, 3, STRATA_UNSUPPORTED_OP, "part 1 of 3");
    SAYS(0, count, ST_GGUF_U16, 1, STRATA_CORRUPT_MODEL, "one part of a model that was split?");
    SAYS(0, count, ST_GGUF_U16, 0, STRATA_CORRUPT_MODEL, "one part of a model that was split?");
    SAYS(0, count, SPLIT_LEAVE_OUT, 0, STRATA_CORRUPT_MODEL, "one part of a model that was split?");
    SAYS(0, no, ST_GGUF_U16, 1, STRATA_UNSUPPORTED_OP, "is part 2 of 2 of a model; open the first");
    SAYS(0, no, ST_GGUF_U16, 2, STRATA_CORRUPT_MODEL, "key 'split.no' is 2, but 'split.count' is 2");
    SAYS(0, n_tensors, SPLIT_LEAVE_OUT, 0, STRATA_CORRUPT_MODEL, "no key 'split.tensors.count'");
    SAYS(0, n_tensors, ST_GGUF_BOOL, 1, STRATA_CORRUPT_MODEL, "key 'split.tensors.count' is bool");
    SAYS(0, n_tensors, ST_GGUF_I32, n + 1, STRATA_CORRUPT_MODEL, "key 'split.tensors.count' is");
    SAYS(1, n_tensors, ST_GGUF_I32, n - 1, STRATA_CORRUPT_MODEL, "key 'split.tensors.count' is");
    SAYS(1, n_tensors, SPLIT_LEAVE_OUT, 0, STRATA_CORRUPT_MODEL, "m-00002-of-00002.gguf: key 'split.tensors.count'");
    SAYS(1, no, ST_GGUF_U16, 0, STRATA_CORRUPT_MODEL, "says that it is part 1 of 2, want part 2 of 2");
    SAYS(1, no, SPLIT_LEAVE_OUT, 0, STRATA_CORRUPT_MODEL, "says that it is part 1 of 2, want part 2 of 2");
    SAYS(1, count, ST_GGUF_U16, 3, STRATA_CORRUPT_MODEL, "says that it is part 2 of 3, want part 2 of 2");
    SAYS(1, count, SPLIT_LEAVE_OUT, 0, STRATA_CORRUPT_MODEL, "which part of the model is it?");
    remove_all();
    source_close(&s);
}

/* Both parts say that there are n tensors together. */
static void write_counted(source *s, size_t from, size_t to, uint64_t n)
{
    split_label a = split_labels(0, 2, n), b = split_labels(1, 2, n);
    remove_all();
    assert_int_equal(split_write(&s->g, 0, to, true, &a, &s->mem, FIRST), 0);
    assert_int_equal(split_write(&s->g, from, s->g.n_tensors, false, &b, &s->mem, SECOND), 0);
}

static void tensors(void **state)
{
    (void)state;
    source s;
    source_open(&s, blob_read(tiny("bert")));
    size_t n = s.g.n_tensors, half = n / 2;
    write_counted(&s, half, half, n);
    OK(open_first(err));
    write_counted(&s, half - 1, half, n + 1); /* one in both */
    REFUSED(STRATA_CORRUPT_MODEL, "is there twice");
    write_counted(&s, half - 1, half, n);
    REFUSED(STRATA_CORRUPT_MODEL, "the parts up to this have");
    write_counted(&s, half + 1, half, n); /* one in none */
    REFUSED(STRATA_CORRUPT_MODEL, "its 2 parts have");
    write_counted(&s, half + 1, half, n - 1); /* and nobody counts on it: the ordinary message */
    FAILS(open_first(err), STRATA_CORRUPT_MODEL, "no ");
    write_counted(&s, n, n, n); /* nothing in the second */
    OK(open_first(err));
    write_counted(&s, 0, 0, n); /* nothing in the first */
    OK(open_first(err));
    remove_all();
    source_close(&s);
}

/* Keys of a later part agree with the first one's. */
static void keys(void **state)
{
    (void)state;
    source s, other;
    source_open(&s, blob_read(tiny("bert")));
    size_t n = s.g.n_tensors, half = n / 2;
    two_parts(&s, NULL, NULL);
    split_label l = split_labels(1, 2, n);
    assert_int_equal(split_write(&s.g, half, n, true, &l, &s.mem, SECOND), 0); /* all of them again */
    OK(open_first(err));
    const edit edits[] = {{.kind = SET_U32, .name = "bert.attention.head_count", .u = 8}, {0}};
    source_open(&other, rewrite(tiny("bert"), edits));
    assert_int_equal(split_write(&other.g, half, n, true, &l, &s.mem, SECOND), 0);
    REFUSED(STRATA_CORRUPT_MODEL,
            "m-00002-of-00002.gguf: key 'bert.attention.head_count' has another value than in the first part");
    source_close(&other);
    /* A part has its own alignment. */
    const edit aligned[] = {{.kind = SET_U32, .name = "general.alignment", .u = 256}, {0}};
    source_open(&other, rewrite(tiny("bert"), aligned));
    assert_int_equal(split_write(&other.g, half, n, true, &l, &s.mem, SECOND), 0);
    OK(open_first(err));
    OK(quantize_first(err));
    source_close(&other);
    remove_all();
    source_close(&s);
}

/* gguf-split leaves split.count 0 in what it merged; a split into one part is the whole as well. */
static void one_file(void **state)
{
    (void)state;
    source s;
    source_open(&s, blob_read(tiny("bert")));
    for (uint32_t count = 0; count < 2; count++) {
        split_label l = split_labels(0, count, s.g.n_tensors);
        const char *path = path_of("merged.gguf");
        strata_model *m = NULL;
        assert_int_equal(split_write(&s.g, 0, s.g.n_tensors, true, &l, &s.mem, path), 0);
        OK(strata_model_open(path, NULL, &m, err));
        strata_model_close(m);
        m = NULL;
        blob b = blob_read(path);
        OK(strata_model_open_buffer(b.data, b.size, NULL, NULL, &m, err));
        strata_model_close(m);
        free(b.data);
        OK(strata_quantize(path, path_of("q.gguf"), "Q8_0", NULL, err));
        OK(strata_quantize(tiny("bert"), path_of("r.gguf"), "Q8_0", NULL, err));
        blob x = blob_read(path_of("q.gguf")), y = blob_read(path_of("r.gguf"));
        assert_int_equal(x.size, y.size);
        assert_memory_equal(x.data, y.data, x.size);
        free(x.data);
        free(y.data);
    }
    remove_all();
    source_close(&s);
}

static void count_warning(void *user, int level, const char *msg)
{
    if (level == STRATA_LOG_WARN && strstr(msg, "is called part 1 of 3")) ++*(int *)user;
}

/* A name alone makes no part of a model, but is worth a warning. */
static void name_alone(void **state)
{
    (void)state;
    blob b = blob_read(tiny("bert"));
    int warned = 0;
    strata_model *m = NULL;
    strata_model_opts o = {.log = count_warning, .log_user = &warned};
    put_file(path_of("m-00001-of-00003.gguf"), b.data, b.size);
    OK(strata_model_open(path_of("m-00001-of-00003.gguf"), &o, &m, err));
    assert_int_equal(warned, 1);
    strata_model_close(m);
    free(b.data);
    remove_all();
}

/* ---- memory ---- */

typedef struct heap {
    size_t n, fail_at;
    long live;
} heap;

static void *take(void *user, size_t size, size_t align)
{
    heap *h = user;
    if (++h->n == h->fail_at) return NULL;
    h->live++;
    return aligned_alloc(align, st_round_up(size, align));
}

static void give(void *user, void *p)
{
    heap *h = user;
    h->live -= p != NULL;
    free(p);
}

static void every_allocation_fails(void **state)
{
    (void)state;
    source s;
    size_t cuts[4] = {0, 3, 9, 0};
    heap h = {0};
    strata_allocator a = {take, give, &h};
    source_open(&s, blob_read(tiny("bert")));
    cuts[3] = s.g.n_tensors;
    assert_int_equal(split_model(&s.g, cuts, 3, &s.mem, path_of("m")), 0);
    for (int copied = 0; copied < 2; copied++) {
        int rc = STRATA_NO_MEMORY;
        for (size_t n = 1; rc == STRATA_NO_MEMORY; n++) {
            strata_model *m = NULL;
            strata_model_opts o = {.allocator = &a, .n_threads = 1, .no_mmap = copied};
            h = (heap){.fail_at = n};
            rc = strata_model_open(path_of("m-00001-of-00003.gguf"), &o, &m, NULL);
            strata_model_close(m);
            assert_int_equal(h.live, 0);
        }
        assert_int_equal(rc, STRATA_OK);
    }
    strata_model *m = NULL; /* each part counts towards the cap */
    FAILS(strata_model_open(path_of("m-00001-of-00003.gguf"),
                            &(strata_model_opts){.no_mmap = 1, .memory_cap = s.b.size / 2}, &m, err),
          STRATA_NO_MEMORY, "-of-00003.gguf: no memory for its");
    remove_all();
    source_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model),
        cmocka_unit_test(quantised_whole),
        cmocka_unit_test(quantised_onto_a_part),
        cmocka_unit_test(verified),
        cmocka_unit_test(links),
        cmocka_unit_test(alone),
        cmocka_unit_test(missing_or_broken),
        cmocka_unit_test(labels),
        cmocka_unit_test(tensors),
        cmocka_unit_test(keys),
        cmocka_unit_test(one_file),
        cmocka_unit_test(name_alone),
        cmocka_unit_test(every_allocation_fails),
    };
    snprintf(dir, sizeof dir, "/tmp/strata-parts-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    int failed = cmocka_run_group_tests_name("parts", tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
