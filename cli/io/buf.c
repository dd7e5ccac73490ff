/* buf.c: memory for the program, which ends with a message where there is none. */
#include "io/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void)
{
    fprintf(stderr, "strata: out of memory\n");
    exit(1);
}

void *must_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) out_of_memory();
    return p;
}

void *must_grow(void *p, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) return p;
    size_t n = *cap ? *cap : 64;
    while (n < need) {
        if (n > SIZE_MAX / 2) out_of_memory();
        n *= 2;
    }
    if (n > SIZE_MAX / size) out_of_memory();
    p = realloc(p, n * size);
    if (!p) out_of_memory();
    *cap = n;
    return p;
}

void buf_add(buf *b, const void *bytes, size_t n)
{
    if (n >= SIZE_MAX - b->len) out_of_memory();
    b->p = must_grow(b->p, &b->cap, b->len + n + 1, 1); /* never NULL, also when nothing is added */
    if (n) memcpy(b->p + b->len, bytes, n);
    b->len += n;
}

void buf_free(buf *b)
{
    free(b->p);
    *b = (buf){0};
}

void ints_add(ints *v, int32_t x)
{
    v->p = must_grow(v->p, &v->cap, v->n + 1, sizeof *v->p);
    v->p[v->n++] = x;
}

void ints_free(ints *v)
{
    free(v->p);
    *v = (ints){0};
}
