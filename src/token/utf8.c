/* utf8.c: validation and lossy replacement. See utf8.h. */
#include "token/utf8.h"

#include <string.h>

unsigned st_utf8_step(const uint8_t *p, size_t n, unsigned *bad)
{
    uint8_t b = p[0];
    if (b < 0x80) return 1;
    unsigned len = b < 0xc2 ? 0 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : b < 0xf5 ? 4 : 0;
    /* The second byte's range excludes overlong forms, surrogates and code points beyond U+10FFFF. */
    uint8_t lo = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80, hi = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    unsigned i = 1;
    for (; i < len && i < n && p[i] >= lo && p[i] <= hi; i++) lo = 0x80, hi = 0xbf;
    if (len && i == len) return len;
    *bad = i;
    return 0;
}

size_t st_utf8_check(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    while (i < n) {
        uint64_t w;
        while (i + 8 <= n && (memcpy(&w, p + i, 8), !(w & 0x8080808080808080u))) i += 8;
        if (i == n) break;
        unsigned bad, len = st_utf8_step(p + i, n - i, &bad);
        if (!len) return i;
        i += len;
    }
    return n;
}

const char *st_utf8_begin(const char **text, size_t *n)
{
    const uint8_t *p = (const uint8_t *)*text;
    bool marked = *n >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff));
    bool zeros = *n >= 4 && !p[0] != !p[1] && !p[0] == !p[2] && !p[1] == !p[3];
    if (marked || zeros) return "the text is UTF-16, want UTF-8";
    if (*n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) *text += 3, *n -= 3;
    return NULL;
}

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
