/* utf8_fix.c: replaces what is not UTF-8 in a text and keeps the places. */
#include "token/utf8_fix.h"

#include <string.h>

#include "base/utf8.h"

bool st_utf8_fix(const char *text, size_t n, st_mem *mem, st_utf8_fixed *out)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t n_bad = 0, size = 0;
    unsigned bad = 0;
    for (size_t i = 0; i < n;) {
        unsigned len = st_utf8_step(p + i, n - i, &bad);
        n_bad += !len;
        size += len ? len : 3;
        i += len ? len : bad;
    }
    *out = (st_utf8_fixed){.len = size, .n_patches = n_bad};
    out->text = st_alloc(mem, size, 1);
    out->patches = st_alloc(mem, n_bad, sizeof *out->patches);
    if (!out->text || !out->patches) {
        st_utf8_fixed_free(out, mem);
        return false;
    }
    size_t at = 0, k = 0;
    for (size_t i = 0; i < n;) {
        unsigned len = st_utf8_step(p + i, n - i, &bad);
        if (len) {
            memcpy(out->text + at, p + i, len);
            at += len;
            i += len;
        } else {
            memcpy(out->text + at, "\xef\xbf\xbd", 3);
            out->patches[k++] = (st_utf8_patch){at, i, bad};
            at += 3;
            i += bad;
        }
    }
    return true;
}

void st_utf8_fixed_free(st_utf8_fixed *f, st_mem *mem)
{
    st_free(mem, f->text);
    st_free(mem, f->patches);
    *f = (st_utf8_fixed){0};
}

size_t st_utf8_fixed_offset(const st_utf8_fixed *f, size_t offset, bool end)
{
    size_t lo = 0, hi = f->n_patches; /* the last patch that starts before (for an end) or at the offset */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (f->patches[mid].at < offset + !end)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo) return offset;
    const st_utf8_patch *q = &f->patches[lo - 1];
    if (offset < q->at + 3) return end ? q->from + q->len : q->from;
    return q->from + q->len + (offset - q->at - 3);
}

size_t st_utf8_fixed_place(const st_utf8_fixed *f, size_t offset, bool after)
{
    size_t lo = 0, hi = f->n_patches; /* the last patch that starts before the offset */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (f->patches[mid].from < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo) return offset;
    const st_utf8_patch *q = &f->patches[lo - 1];
    if (offset < q->from + q->len) return after ? q->at + 3 : q->at;
    return q->at + 3 + (offset - q->from - q->len);
}
