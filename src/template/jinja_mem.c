/* jinja_mem.c: the arena of a compilation or a rendering, its budgets, and the way out. See jinja.h. */
#include <stdio.h>

#include "template/jinja.h"

#define CHUNK ((size_t)16 << 10)
#define ALIGN ((size_t)16)

struct st_jchunk {
    st_jchunk *next;
    size_t used, cap;
};

_Noreturn void st_j_fail(st_jrun *r, int status, const char *fmt, ...)
{
    char what[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (r->line && status == STRATA_BAD_TEMPLATE)
        st_error_set(r->err, status, "chat template %u:%u: %s", r->line, r->col, what);
    else
        st_error_set(r->err, status, "chat template: %s", what);
    r->status = status;
    longjmp(r->leave, 1);
}

void *st_j_alloc(st_jrun *r, size_t n, size_t size)
{
    size_t bytes;
    if (!st_mul(n, size, &bytes) || bytes > SIZE_MAX / 2) st_j_fail(r, STRATA_NO_MEMORY, "no memory");
    bytes = st_round_up(bytes ? bytes : 1, ALIGN);
    st_jchunk *c = r->chunks;
    if (!c || c->cap - c->used < bytes) {
        size_t head = st_round_up(sizeof *c, ALIGN), cap = bytes > CHUNK / 4 ? bytes : CHUNK;
        if (r->bytes + cap > r->max_bytes)
            ST_J_FAIL(r, "the template needs more than %llu bytes of memory", (unsigned long long)r->max_bytes);
        c = st_alloc(r->mem, 1, head + cap);
        if (!c) st_j_fail(r, STRATA_NO_MEMORY, "no memory for %zu bytes", cap);
        r->bytes += cap;
        c->used = 0;
        c->cap = cap;
        /* A large block of its own goes behind the chunk in use, whose rest stays of use. */
        if (cap == CHUNK || !r->chunks) {
            c->next = r->chunks;
            r->chunks = c;
        } else {
            c->next = r->chunks->next;
            r->chunks->next = c;
        }
    }
    void *p = (char *)c + st_round_up(sizeof *c, ALIGN) + c->used;
    c->used += bytes;
    return p;
}

void *st_j_grow(st_jrun *r, void *old, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) return old;
    size_t next = *cap < 4 ? 4 : *cap * 2;
    if (next < need) next = need;
    void *p = st_j_alloc(r, next, size);
    if (*cap) memcpy(p, old, *cap * size);
    *cap = next;
    return p;
}

void st_j_free_all(st_jrun *r)
{
    while (r->chunks) {
        st_jchunk *c = r->chunks;
        r->chunks = c->next;
        st_free(r->mem, c);
    }
}

void st_j_step(st_jrun *r, uint64_t n)
{
    if (r->steps < n) ST_J_FAIL(r, "the template runs too long: out of steps");
    r->steps -= n;
}

void st_j_enter(st_jrun *r)
{
    if (r->depth >= ST_TEMPLATE_MAX_NESTING) ST_J_FAIL(r, "nested more than %d deep", ST_TEMPLATE_MAX_NESTING);
    r->depth++;
}
