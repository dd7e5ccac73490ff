/* stream.c: holds bytes back until they are certain. */
#include "engine/stream.h"

#include <string.h>

#include "base/utf8.h"

void st_stream_free(st_stream *h)
{
    st_free(h->mem, h->bytes);
    st_free(h->mem, h->ready);
    h->bytes = h->ready = NULL;
    h->n = h->cap = h->n_ready = h->cap_ready = 0;
}

/* The first n held bytes become ready, as valid UTF-8. */
static int stream_release(st_stream *h, size_t n, strata_error *err)
{
    /* A single invalid byte grows to the three of U+FFFD. */
    ST_FAIL_IF(!st_grow(h->mem, &h->ready, &h->cap_ready, n * 3 + 1, 0, 1), err, STRATA_NO_MEMORY,
               "no memory for %zu bytes of text", n);
    h->n_ready = 0;
    for (size_t at = 0; at < n;) {
        size_t good = st_utf8_check(h->bytes + at, n - at);
        unsigned bad = 0;
        memcpy(h->ready + h->n_ready, h->bytes + at, good);
        h->n_ready += good;
        at += good;
        if (at == n) break;
        st_utf8_step((const uint8_t *)h->bytes + at, n - at, &bad);
        memcpy(h->ready + h->n_ready, "\xef\xbf\xbd", 3);
        h->n_ready += 3;
        at += bad;
    }
    if (n == 0) return STRATA_OK; /* nothing came yet: there are no bytes */
    memmove(h->bytes, h->bytes + n, h->n - n);
    h->n -= n;
    return STRATA_OK;
}

/* Bytes at the end that are the beginning of a character, and of no more than one that UTF-8 has (RFC 3629). */
static size_t stream_open_character(const char *p, size_t n)
{
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        uint8_t c = (uint8_t)p[n - k], second = k > 1 ? (uint8_t)p[n - k + 1] : 0;
        if ((c & 0xc0) == 0x80) continue;
        size_t need = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xc2 && c <= 0xdf ? 2 : 1;
        if (need <= k) return 0;
        if (k > 1 && ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
                      (c == 0xf4 && second > 0x8f)))
            return 0;
        return k;
    }
    return 0;
}

/* Bytes at the end that are the beginning of a stop text. */
static size_t stream_open_stop(const st_stream *h)
{
    size_t longest = 0;
    for (size_t i = 0; i < h->n_stop; i++) {
        size_t len = strlen(h->stop[i]);
        for (size_t k = len ? len - 1 : 0; k > longest; k--)
            if (k <= h->n && memcmp(h->bytes + h->n - k, h->stop[i], k) == 0) longest = k;
    }
    return longest;
}

/* Where the first complete stop text begins, or n. */
static size_t stream_find_stop(const st_stream *h)
{
    size_t first = h->n;
    for (size_t i = 0; i < h->n_stop; i++) {
        size_t len = strlen(h->stop[i]);
        for (size_t at = 0; len && at + len <= h->n && at < first; at++)
            if (memcmp(h->bytes + at, h->stop[i], len) == 0) first = at;
    }
    return first;
}

int st_stream_add(st_stream *h, const char *p, size_t n, bool *stopped, strata_error *err)
{
    ST_FAIL_IF(!st_grow(h->mem, &h->bytes, &h->cap, h->n + n + 1, h->n, 1), err, STRATA_NO_MEMORY,
               "no memory for %zu bytes of text", h->n + n);
    memcpy(h->bytes + h->n, p, n);
    h->n += n;
    size_t at = stream_find_stop(h);
    *stopped = at < h->n;
    if (*stopped) {
        ST_TRY(stream_release(h, at, err));
        h->n = 0;
        return STRATA_OK;
    }
    size_t character = stream_open_character(h->bytes, h->n), stop = stream_open_stop(h);
    return stream_release(h, h->n - (character > stop ? character : stop), err);
}

int st_stream_end(st_stream *h, strata_error *err)
{
    ST_TRY(stream_release(h, h->n - stream_open_character(h->bytes, h->n), err));
    h->n = 0;
    return STRATA_OK;
}
