/* nfc.c: canonical composition. See nfc.h.
 *
 * The text is cut into segments that cannot change each other's form (UAX #15, "stable code points"): each starts at a
 * character that never changes nor joins what stands before it. A segment is decomposed, its marks are put in order of
 * their class, and composed again. */
#include "token/nfc.h"

#include <string.h>

#include "base/utf8.h"
#include "token/unicode_tables.h"

size_t st_nfc_check(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (p[i] < 0x80) {
            i++;
            continue;
        }
        unsigned len;
        if (st_uc_props(st_utf8_get(p + i, &len)) & ST_UC_NFC) return i;
        i += len;
    }
    return n;
}

static bool nfc_grow(st_normal *o, size_t more, bool spans, st_mem *mem)
{
    size_t need = o->n + more;
    return st_grow(mem, &o->text, &o->cap, need, o->n, 1) &&
           (!spans || (st_grow(mem, &o->from, &o->from_cap, need, o->n, sizeof *o->from) &&
                       st_grow(mem, &o->to, &o->to_cap, need, o->n, sizeof *o->to)));
}

bool st_normal_put(st_normal *o, const uint8_t *p, size_t n, size_t from, size_t to, bool spans, st_mem *mem)
{
    if (!n) return true;
    if (!nfc_grow(o, n, spans, mem)) return false;
    memcpy(o->text + o->n, p, n);
    for (size_t i = 0; spans && i < n; i++) {
        o->from[o->n + i] = (uint32_t)from;
        o->to[o->n + i] = (uint32_t)to;
    }
    o->n += n;
    return true;
}

bool st_normal_copy(st_normal *o, const uint8_t *p, size_t n, size_t from, bool spans, st_mem *mem)
{
    if (!n) return true;
    if (!nfc_grow(o, n, spans, mem)) return false;
    memcpy(o->text + o->n, p, n);
    for (size_t i = 0; spans && i < n; i++) {
        o->from[o->n + i] = (uint32_t)(from + i);
        o->to[o->n + i] = (uint32_t)(from + i + 1);
    }
    o->n += n;
    return true;
}

void st_normal_free(st_normal *o, st_mem *mem)
{
    void *parts[] = {o->text, o->from, o->to, o->work};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) st_free(mem, parts[i]);
    *o = (st_normal){0};
}

static uint32_t nfc_ccc_of(uint32_t cp)
{
    return st_uc_ccc(st_uc_props(cp));
}

/* Stable sort of marks by class; tmp has n places. Counting, so that a text of nothing but marks stays linear. */
static void nfc_order(uint32_t *c, size_t n, uint32_t *tmp)
{
    if (n < 2) return;
    if (n <= 16) {
        for (size_t i = 1; i < n; i++) {
            uint32_t cp = c[i], class = nfc_ccc_of(cp);
            size_t k = i;
            for (; k && nfc_ccc_of(c[k - 1]) > class; k--) c[k] = c[k - 1];
            c[k] = cp;
        }
        return;
    }
    size_t at[257] = {0};
    for (size_t i = 0; i < n; i++) at[nfc_ccc_of(c[i]) + 1]++;
    for (size_t i = 0; i < 256; i++) at[i + 1] += at[i];
    for (size_t i = 0; i < n; i++) tmp[at[nfc_ccc_of(c[i])]++] = c[i];
    memcpy(c, tmp, n * sizeof *c);
}

/* The one code point that two compose to, or 0. */
static uint32_t nfc_compose(uint32_t a, uint32_t b)
{
    if (a - 0x1100 < 19 && b - 0x1161 < 21) return 0xac00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28;
    if (a - 0xac00 < 11172 && (a - 0xac00) % 28 == 0 && b - 0x11a8 < 27) return a + (b - 0x11a7);
    size_t lo = 0, hi = ST_UC_N_PAIRS;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const uint32_t *e = st_uc_pairs[mid];
        if (e[0] < a || (e[0] == a && e[1] < b))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < ST_UC_N_PAIRS && st_uc_pairs[lo][0] == a && st_uc_pairs[lo][1] == b ? st_uc_pairs[lo][2] : 0;
}

/* c[0..n) in canonical order -> composed in place; the new length. Unicode 3.11, D117: a character joins the last
 * starter unless one of its own class or a higher one stands between. */
static size_t nfc_compose_all(uint32_t *c, size_t n)
{
    size_t k = 0, starter = SIZE_MAX;
    uint32_t last = 0; /* class of what was kept after the starter; 0: nothing */
    for (size_t i = 0; i < n; i++) {
        uint32_t class = nfc_ccc_of(c[i]), joined = 0;
        bool open = starter != SIZE_MAX && (k == starter + 1 || (last && last < class));
        if (open) joined = nfc_compose(c[starter], c[i]);
        if (joined) {
            c[starter] = joined;
            continue;
        }
        if (!class) starter = k;
        last = class;
        c[k++] = c[i];
    }
    return k;
}

/* Code points of p[0..n) decomposed, or more: short segments, nearly all, are not worth a look. */
static size_t nfc_most_points(const uint8_t *p, size_t n)
{
    size_t k = 0;
    if (n <= 64) return 4 * n; /* a character: at most 4 */
    for (size_t i = 0; i < n;) {
        unsigned len;
        uint32_t points[4], m = st_uc_nfd(st_utf8_get(p + i, &len), points);
        k += m ? m : 1;
        i += len;
    }
    return k;
}

/* One segment: p[0..n), at `from`. */
static bool nfc_put_segment(st_normal *o, const uint8_t *p, size_t n, size_t from, bool spans, st_mem *mem)
{
    size_t most = nfc_most_points(p, n);
    if (!st_grow(mem, &o->work, &o->work_cap, 2 * most, 0, sizeof *o->work)) return false;
    uint32_t *c = o->work, *tmp = c + most;
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        unsigned len;
        uint32_t cp = st_utf8_get(p + i, &len), m = st_uc_nfd(cp, c + k);
        if (!m) c[k] = cp;
        k += m ? m : 1;
        i += len;
    }
    for (size_t i = 0; i < k;) { /* marks between two starters */
        size_t end = i;
        while (end < k && nfc_ccc_of(c[end])) end++;
        nfc_order(c + i, end - i, tmp);
        i = end + 1;
    }
    k = nfc_compose_all(c, k);
    uint8_t *out = (uint8_t *)tmp; /* a code point is 4 bytes at most, so as many words hold them */
    size_t bytes = 0;
    for (size_t i = 0; i < k; i++) bytes += st_utf8_put(out + bytes, c[i]);
    if (bytes == n && memcmp(out, p, n) == 0) return st_normal_copy(o, p, n, from, spans, mem);
    return st_normal_put(o, out, bytes, from, from + n, spans, mem);
}

bool st_nfc_append(st_normal *o, const uint8_t *p, size_t n, size_t base, bool spans, st_mem *mem)
{
    size_t done = 0;
    while (done < n) {
        size_t hit = done + st_nfc_check(p + done, n - done), begin = hit;
        if (hit < n) /* the stable character before it belongs to the segment */
            while (begin > done && (p[--begin] & 0xc0) == 0x80) continue;
        if (!st_normal_copy(o, p + done, begin - done, base + done, spans, mem)) return false;
        if (hit == n) break;
        size_t end = hit;
        while (end < n) {
            unsigned len = 1;
            if (p[end] < 0x80 || !(st_uc_props(st_utf8_get(p + end, &len)) & ST_UC_NFC)) break;
            end += len;
        }
        if (!nfc_put_segment(o, p + begin, end - begin, base + begin, spans, mem)) return false;
        done = end;
    }
    return true;
}
