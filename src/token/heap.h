/* heap.h: candidates for merges of a long piece, the best first: a binary heap. */
#ifndef ST_TOKEN_HEAP_H
#define ST_TOKEN_HEAP_H

#include "base/os/mem.h"

typedef struct st_pair {
    uint64_t key; /* smaller is joined first: how good the merge is, then the place of its left part */
    uint32_t len; /* of both parts when proposed: tells a stale entry */
    int32_t id;   /* what they join to */
} st_pair;

typedef struct st_heap {
    st_pair *p;
    size_t n, cap;
} st_heap;

/* False: no memory. */
static inline bool st_heap_put(st_heap *h, st_mem *mem, st_pair pair)
{
    if (!st_grow(mem, &h->p, &h->cap, h->n + 1, h->n, sizeof *h->p)) return false;
    size_t i = h->n++;
    for (; i && h->p[(i - 1) / 2].key > pair.key; i = (i - 1) / 2) h->p[i] = h->p[(i - 1) / 2];
    h->p[i] = pair;
    return true;
}

/* Before: h->n > 0. */
static inline st_pair st_heap_take(st_heap *h)
{
    st_pair top = h->p[0], last = h->p[--h->n];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < h->n; i = c) {
        if (c + 1 < h->n && h->p[c + 1].key < h->p[c].key) c++;
        if (h->p[c].key >= last.key) break;
        h->p[i] = h->p[c];
    }
    h->p[i] = last;
    return top;
}

#endif
