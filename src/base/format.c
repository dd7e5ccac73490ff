/* format.c: the conversions of printf, and what is cut where all of it does not fit. */
#include "base/format.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PIECES = 32, NUMBER = 48, SHORTEST = 40 };

/* A part of a message: its own words, a number, or a string of somebody else's. */
typedef struct format_piece {
    const char *text;
    size_t n, keep; /* bytes of it, and how many may be written */
    bool foreign;
    char number[NUMBER];
} format_piece;

typedef struct format_list {
    format_piece piece[MAX_PIECES];
    size_t n;
} format_list;

/* ---- characters -------------------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p [n], n > 0, and its code; 0 if there is none. */
static size_t format_char(const char *p, size_t n, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *b = (const uint8_t *)p;
    size_t len = b[0] < 0x80             ? 1
                 : (b[0] & 0xe0) == 0xc0 ? 2
                 : (b[0] & 0xf0) == 0xe0 ? 3
                 : (b[0] & 0xf8) == 0xf0 ? 4
                                         : 0;
    if (len == 0 || len > n) return 0;
    uint32_t c = len == 1 ? b[0] : b[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((b[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (b[i] & 0x3f);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *code = c;
    return len;
}

/* Would it move a cursor, end a line or turn the text's direction? */
static bool format_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static bool format_is_tail(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

/* Without a character that was cut off at the end of p [n]. */
static size_t format_whole(const char *p, size_t n)
{
    size_t at = n;
    while (at > 0 && n - at < 3 && format_is_tail(p[at - 1])) at--;
    if (at == 0 || (uint8_t)p[at - 1] < 0xc0) return n;
    uint8_t first = (uint8_t)p[at - 1];
    size_t want = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    return n - (at - 1) < want ? at - 1 : n;
}

/* ---- the arguments ----------------------------------------------------------------------------------------------- */

static format_piece *format_add(format_list *l, const char *text, size_t n, bool foreign)
{
    format_piece *p = &l->piece[l->n++];
    p->text = text;
    p->n = p->keep = n;
    p->foreign = foreign;
    return p;
}

/* One conversion as it stands in a format: flags to length, with '*' made numbers. */
typedef struct format_spec {
    char text[40];
    size_t n;
    int precision; /* -1: none */
    int longs;     /* -2 for hh to 2 for ll, or 'z', 't', 'j' */
} format_spec;

static void format_spec_add(format_spec *s, char c)
{
    if (s->n + 2 < sizeof s->text) s->text[s->n++] = c;
}

static void format_spec_int(format_spec *s, int v)
{
    char digits[16];
    int n = snprintf(digits, sizeof digits, "%d", v);
    for (int i = 0; i < n; i++) format_spec_add(s, digits[i]);
}

/* From behind the '%' to the letter of the conversion. */
static const char *format_read_spec(const char *f, format_spec *s, va_list *ap)
{
    *s = (format_spec){.text = "%", .n = 1, .precision = -1};
    for (bool dot = false; *f && strchr("-+ #0123456789.*", *f); f++) {
        if (*f == '.') {
            dot = true;
            s->precision = 0;
        }
        if (*f == '*') {
            int v = va_arg(*ap, int);
            if (dot) s->precision = v;
            format_spec_int(s, v);
            continue;
        }
        if (dot && *f >= '0' && *f <= '9' && s->precision < 100000) s->precision = 10 * s->precision + (*f - '0');
        format_spec_add(s, *f);
    }
    for (; *f && strchr("hlzjt", *f); f++) {
        s->longs = *f == 'l' ? s->longs + 1 : *f == 'h' ? s->longs - 1 : *f;
        format_spec_add(s, *f);
    }
    format_spec_add(s, *f);
    s->text[s->n] = 0;
    return f;
}

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
static void format_number(format_piece *p, const format_spec *s, char letter, va_list *ap)
{
    int n;
    if (strchr("eEfFgG", letter))
        n = snprintf(p->number, NUMBER, s->text, va_arg(*ap, double));
    else if (letter == 'p')
        n = snprintf(p->number, NUMBER, s->text, va_arg(*ap, void *));
    else if (s->longs == 2 || s->longs == 'j')
        n = snprintf(p->number, NUMBER, s->text, va_arg(*ap, long long));
    else if (s->longs == 1)
        n = snprintf(p->number, NUMBER, s->text, va_arg(*ap, long));
    else if (s->longs == 'z' || s->longs == 't')
        n = snprintf(p->number, NUMBER, s->text, va_arg(*ap, size_t));
    else
        n = snprintf(p->number, NUMBER, s->text, va_arg(*ap, int));
    p->text = p->number;
    p->n = p->keep = n < 0 ? 0 : n < NUMBER ? (size_t)n : NUMBER - 1;
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

static void format_string(format_list *l, int precision, const char *s)
{
    size_t n = 0;
    if (!s) s = "(null)";
    while ((precision < 0 || n < (size_t)precision) && s[n]) n++;
    format_add(l, s, format_whole(s, n), true);
}

static void format_read(format_list *l, const char *f, va_list *ap)
{
    while (*f && l->n + 2 < MAX_PIECES) {
        size_t words = strcspn(f, "%");
        if (words) format_add(l, f, words, false);
        f += words;
        if (!*f) return;
        format_spec s;
        const char *letter = format_read_spec(f + 1, &s, ap);
        f = letter + (*letter != 0);
        if (*letter == '%')
            format_add(l, "%", 1, false);
        else if (*letter == 's')
            format_string(l, s.precision, va_arg(*ap, const char *));
        else if (*letter)
            format_number(format_add(l, "", 0, *letter == 'c'), &s, *letter, ap);
    }
}

/* ---- what fits --------------------------------------------------------------------------------------------------- */

static size_t format_shorten(format_piece *p, size_t over)
{
    if (!p->foreign || p->keep <= SHORTEST) return over;
    size_t by = p->keep - SHORTEST < over ? p->keep - SHORTEST : over;
    p->keep -= by;
    return over - by;
}

static void format_fit(format_list *l, size_t room)
{
    size_t total = 0;
    for (size_t i = 0; i < l->n; i++) total += l->piece[i].keep;
    if (total <= room) return;
    size_t over = format_shorten(&l->piece[0], total - room);
    while (over > 0) {
        format_piece *longest = &l->piece[0];
        for (size_t i = 1; i < l->n; i++)
            if (l->piece[i].foreign && (!longest->foreign || l->piece[i].keep > longest->keep)) longest = &l->piece[i];
        size_t left = format_shorten(longest, over);
        if (left == over) return;
        over = left;
    }
}

typedef struct format_out {
    char *p;
    size_t n, room;
} format_out;

static void format_put(format_out *o, const char *s, size_t n)
{
    if (n > o->room - o->n) n = format_whole(s, o->room - o->n);
    memcpy(o->p + o->n, s, n);
    o->n += n;
}

static void format_put_foreign(format_out *o, const char *s, size_t n)
{
    uint32_t code = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = format_char(s + i, n - i, &code);
        bool shown = len && !format_is_control(code);
        if (!len) len = 1;
        if (shown && len > o->room - o->n) return;
        format_put(o, shown ? s + i : "?", shown ? len : 1);
    }
}

static void format_write(format_out *o, const format_piece *p)
{
    static const char dots[] = "...";
    const size_t n_dots = sizeof dots - 1;
    if (!p->foreign) {
        format_put(o, p->text, p->keep);
        return;
    }
    if (p->keep == p->n) {
        format_put_foreign(o, p->text, p->n);
        return;
    }
    /* More of the end: there is the file's name of a path, and the reason of a message inside a message. */
    size_t head = format_whole(p->text, (p->keep - n_dots) / 3), tail = p->n - (p->keep - n_dots - head);
    while (tail < p->n && format_is_tail(p->text[tail])) tail++;
    format_put_foreign(o, p->text, head);
    format_put(o, dots, n_dots);
    format_put_foreign(o, p->text + tail, p->n - tail);
}

size_t st_vformat(char *out, size_t cap, const char *fmt, va_list ap)
{
    if (cap == 0) return 0;
    format_list l;
    l.n = 0;
    format_out o = {out, 0, cap - 1};
    va_list args;
    va_copy(args, ap);
    format_read(&l, fmt, &args);
    va_end(args);
    format_fit(&l, cap - 1);
    for (size_t i = 0; i < l.n; i++) format_write(&o, &l.piece[i]);
    out[o.n] = 0;
    return o.n;
}

size_t st_format(char *out, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = st_vformat(out, cap, fmt, ap);
    va_end(ap);
    return n;
}
