/* grammar_vocab.c: the tokens of a vocabulary as a trie over their bytes, in preorder. */
#include <string.h>

#include "grammar/grammar_internal.h"

typedef struct piece {
    uint64_t key; /* its first 8 bytes, as a big-endian number */
    uint32_t id, at, len;
} piece;

typedef struct builder {
    st_gvocab *v;
    uint8_t *text; /* all pieces */
    piece *pieces;
    size_t n; /* pieces that are tokens of text and not empty */
} builder;

static int gvocab_no_memory(strata_error *err)
{
    st_error_set(err, STRATA_NO_MEMORY, "no memory for the vocabulary of a grammar");
    return STRATA_NO_MEMORY;
}

static bool gvocab_piece_less(const builder *b, const piece *x, const piece *y)
{
    if (x->key != y->key) return x->key < y->key;
    uint32_t n = x->len < y->len ? x->len : y->len;
    int c = n ? memcmp(b->text + x->at, b->text + y->at, n) : 0;
    if (c) return c < 0;
    return x->len != y->len ? x->len < y->len : x->id < y->id;
}

/* Merge sort from the bottom; tmp [n]. */
static void gvocab_sort_pieces(const builder *b, piece *tmp)
{
    piece *from = b->pieces, *to = tmp;
    for (size_t width = 1; width < b->n; width *= 2) {
        for (size_t lo = 0; lo < b->n; lo += 2 * width) {
            size_t mid = lo + width < b->n ? lo + width : b->n, hi = lo + 2 * width < b->n ? lo + 2 * width : b->n;
            for (size_t i = lo, j = mid, k = lo; k < hi; k++)
                to[k] = i < mid && (j >= hi || !gvocab_piece_less(b, &from[j], &from[i])) ? from[i++] : from[j++];
        }
        piece *t = from;
        from = to;
        to = t;
    }
    if (from != b->pieces) memcpy(b->pieces, from, b->n * sizeof *from);
}

static uint32_t gvocab_common(const builder *b, const piece *x, const piece *y)
{
    uint32_t n = x->len < y->len ? x->len : y->len, i = 0;
    while (i < n && b->text[x->at + i] == b->text[y->at + i]) i++;
    return i;
}

/* Copies the pieces. */
static int gvocab_collect(builder *b, const st_vocab_view *view, strata_error *err)
{
    st_gvocab *v = b->v;
    size_t total = 0, cap = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        size_t len = 0;
        v->kinds[id] = (uint8_t)view->kind(view->user, id);
        if (v->kinds[id] == ST_PIECE_EOG) v->n_eog++;
        if (v->kinds[id] != ST_PIECE_TEXT) continue;
        const uint8_t *p = view->piece(view->user, id, &len);
        if (!len || len > UINT16_MAX) continue; /* longer ones cannot be walked: never allowed */
        ST_FAIL_IF(total + len > INT32_MAX, err, STRATA_INVALID_ARG, "the tokens have more than 2^31 bytes");
        if (!st_grow(v->mem, &b->text, &cap, total + len, total, 1)) return gvocab_no_memory(err);
        memcpy(b->text + total, p, len);
        piece q = {0, id, (uint32_t)total, (uint32_t)len};
        for (uint32_t i = 0; i < 8; i++) q.key = q.key << 8 | (i < len ? p[i] : 0);
        b->pieces[b->n++] = q;
        total += len;
        uint32_t chars = 0;
        for (size_t i = 0; i < len; i++) chars += (p[i] & 0xc0) != 0x80;
        v->tok_chars[id] = (uint8_t)(chars < 255 ? chars : 255);
        if (chars > v->max_chars) v->max_chars = chars;
        if (len > v->max_depth) v->max_depth = (uint32_t)len;
    }
    v->eog = st_alloc(v->mem, v->n_eog, sizeof *v->eog);
    if (!v->eog) return gvocab_no_memory(err);
    v->n_eog = 0;
    for (uint32_t id = 0; id < v->n; id++)
        if (v->kinds[id] == ST_PIECE_EOG) v->eog[v->n_eog++] = id;
    return STRATA_OK;
}

static int gvocab_make_nodes(builder *b, strata_error *err)
{
    st_gvocab *v = b->v;
    size_t n = 1;
    for (size_t i = 0; i < b->n; i++)
        n += b->pieces[i].len - (i ? gvocab_common(b, &b->pieces[i - 1], &b->pieces[i]) : 0);
    v->byte = st_alloc(v->mem, n, 1);
    v->chars = st_calloc(v->mem, n, 1);
    v->depth = st_alloc(v->mem, n, sizeof *v->depth);
    v->next = st_alloc(v->mem, n, sizeof *v->next);
    v->token = st_alloc(v->mem, n, sizeof *v->token);
    v->parent = st_alloc(v->mem, n, sizeof *v->parent);
    uint32_t *path = st_alloc(v->mem, (size_t)v->max_depth + 1, sizeof *path); /* node at each depth */
    if (!v->byte || !v->chars || !v->depth || !v->next || !v->token || !v->parent || !path) {
        st_free(v->mem, path);
        return gvocab_no_memory(err);
    }
    memset(v->token, 0xff, n * sizeof *v->token);
    memset(v->same, 0xff, v->n * sizeof *v->same);
    memset(v->node, 0, v->n * sizeof *v->node);
    v->byte[0] = 0;
    v->depth[0] = 0;
    v->parent[0] = 0;
    path[0] = 0;
    uint32_t at = 1, open = 0; /* deepest node on the path */
    for (size_t i = 0; i < b->n; i++) {
        const piece *q = &b->pieces[i];
        uint32_t keep = i ? gvocab_common(b, q - 1, q) : 0;
        for (; open > keep; open--) v->next[path[open]] = at;
        for (; open < q->len; at++) {
            v->byte[at] = b->text[q->at + open];
            v->parent[at] = path[open];
            v->depth[at] = (uint16_t)++open;
            path[open] = at;
        }
        uint32_t end = path[open], first = v->token[end];
        v->same[q->id] = first;
        v->token[end] = q->id;
        v->node[q->id] = end;
        v->chars[end] = v->tok_chars[q->id];
    }
    for (; open > 0; open--) v->next[path[open]] = at;
    v->next[0] = at;
    v->n_nodes = at;
    for (uint32_t i = at; i-- > 1;)
        if (v->chars[i] > v->chars[v->parent[i]]) v->chars[v->parent[i]] = v->chars[i];
    st_free(v->mem, path);
    return STRATA_OK;
}

int st_gvocab_open(const st_vocab_view *view, st_mem *mem, st_gvocab **out, strata_error *err)
{
    ST_FAIL_IF(!view->n || view->n > INT32_MAX, err, STRATA_INVALID_ARG, "a vocabulary of %u tokens, want at least 1",
               (unsigned)view->n);
    st_gvocab *v = st_calloc(mem, 1, sizeof *v);
    if (!v) return gvocab_no_memory(err);
    builder b = {.v = v};
    v->mem = mem;
    v->n = view->n;
    v->n_words = (v->n - 1) / 32 + 1;
    v->same = st_alloc(mem, v->n, sizeof *v->same);
    v->node = st_alloc(mem, v->n, sizeof *v->node);
    v->kinds = st_calloc(mem, v->n, 1);
    v->tok_chars = st_calloc(mem, v->n, 1);
    b.pieces = st_alloc(mem, v->n, sizeof *b.pieces);
    piece *tmp = st_alloc(mem, v->n, sizeof *tmp);
    int rc = v->same && v->node && v->kinds && v->tok_chars && b.pieces && tmp ? STRATA_OK : gvocab_no_memory(err);
    if (!rc) rc = gvocab_collect(&b, view, err);
    if (!rc) {
        gvocab_sort_pieces(&b, tmp);
        rc = gvocab_make_nodes(&b, err);
    }
    st_free(mem, tmp);
    st_free(mem, b.pieces);
    st_free(mem, b.text);
    if (rc) {
        st_gvocab_close(v);
        return rc;
    }
    *out = v;
    return STRATA_OK;
}

void st_gvocab_close(st_gvocab *v)
{
    if (!v) return;
    st_mem *mem = v->mem;
    void *all[] = {v->byte, v->chars,  v->depth, v->next,      v->token, v->same,
                   v->node, v->parent, v->kinds, v->tok_chars, v->eog,   v};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) st_free(mem, all[i]);
}

uint32_t st_gvocab_words(const st_gvocab *v)
{
    return v->n_words;
}
