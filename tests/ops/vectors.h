/* vectors.h: reads tests/data/ops/NAME.bin (the format: tools/gen_ops_goldens.py) and compares floats with it. */
#ifndef TESTS_OPS_VECTORS_H
#define TESTS_OPS_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct array {
    char name[64];
    int type; /* 0 float, 1 int32, 2 bytes */
    uint32_t n_dims, dims[4], n;
    union {
        const float *f;
        const int32_t *i;
        const uint8_t *b;
    };
} array;

typedef struct vectors {
    const char *name;
    uint8_t *data;
    array *arrays;
    uint32_t n;
} vectors;

static inline uint32_t vectors_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline vectors vectors_read(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/data/ops/%s.bin", STRATA_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there: tools/gen_ops_goldens.py makes it", path);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f), at = 12;
    rewind(f);
    vectors v = {.name = name, .data = malloc(size)};
    assert_non_null(v.data);
    assert_int_equal(fread(v.data, 1, size, f), size);
    fclose(f);
    assert_memory_equal(v.data, "STOPS1\0", 8);
    v.n = vectors_u32(v.data + 8);
    v.arrays = calloc(v.n, sizeof *v.arrays);
    for (uint32_t i = 0; i < v.n; i++) {
        array *a = &v.arrays[i];
        size_t len = v.data[at++], item;
        assert_true(len < sizeof a->name);
        memcpy(a->name, v.data + at, len);
        a->type = v.data[at + len];
        a->n_dims = v.data[at + len + 1];
        at += len + 2;
        a->n = 1;
        for (uint32_t d = 0; d < a->n_dims; d++, at += 4) a->n *= a->dims[d] = vectors_u32(v.data + at);
        at = (at + 3) & ~(size_t)3;
        item = a->type == 2 ? 1 : 4;
        a->b = v.data + at;
        at = (at + a->n * item + 3) & ~(size_t)3;
        assert_true(at <= size);
    }
    assert_int_equal(at, size);
    return v;
}

static inline void vectors_free(vectors *v)
{
    free(v->arrays);
    free(v->data);
}

/* NULL if there is none. */
static inline const array *vectors_find(const vectors *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline const array *vectors_find(const vectors *v, const char *fmt, ...)
{
    char name[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    for (uint32_t i = 0; i < v->n; i++)
        if (strcmp(v->arrays[i].name, name) == 0) return &v->arrays[i];
    return NULL;
}

#define GET(v, ...) vectors_need(vectors_find(v, __VA_ARGS__), (v)->name, __VA_ARGS__)
static inline const array *vectors_need(const array *a, const char *file, const char *fmt, ...)
{
    if (!a) fail_msg("%s.bin lacks an array like '%s'", file, fmt);
    return a;
}

/* Every value within `rel` of the largest magnitude of its row (rows of `cols`) or within `rel` of itself. */
static inline void close_rows(const char *what, const float *got, size_t ld, const float *want, uint32_t rows,
                              uint32_t cols, double rel)
{
    for (uint32_t r = 0; r < rows; r++) {
        double top = 0;
        for (uint32_t c = 0; c < cols; c++) top = fmax(top, fabs((double)want[(size_t)r * cols + c]));
        for (uint32_t c = 0; c < cols; c++) {
            double g = (double)got[r * ld + c], w = (double)want[(size_t)r * cols + c];
            if (!(fabs(g - w) <= rel * top))
                fail_msg("%s: row %u column %u is %.9g, torch has %.9g: off by %.2g of the row's %.3g", what, r, c, g,
                         w, fabs(g - w) / top, top);
        }
    }
}

/* Every value within rel of itself or abs. */
static inline void close_values(const char *what, const float *got, const float *want, uint32_t n, double rel,
                                double abs_)
{
    for (uint32_t i = 0; i < n; i++) {
        double g = (double)got[i], w = (double)want[i];
        if (!(fabs(g - w) <= rel * fabs(w) + abs_)) fail_msg("%s: value %u is %.9g, torch has %.9g", what, i, g, w);
    }
}

static inline double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

#endif
