/* line.c: keys, drawing and history of a line that is being typed. */
#define _DEFAULT_SOURCE /* cfmakeraw, TIOCGWINSZ */
#include "io/line.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"
#include "io/json.h"

/* ---- characters -------------------------------------------------------------------------------------------------- */

typedef struct range {
    unsigned first, last;
} range;

static bool within(unsigned cp, const range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= r[i].first && cp <= r[i].last) return true;
    return false;
}

/* Nonspacing marks, joiners and selectors of the common scripts; East Asian wide characters and emoji (Unicode's
 * EastAsianWidth.txt, by blocks). A terminal that disagrees shows the cursor in the wrong place, no more. */
int line_width(unsigned cp)
{
    static const range none[] = {
        {0x300, 0x36f},   {0x483, 0x489},     {0x591, 0x5bd},    {0x610, 0x61a},   {0x64b, 0x65f},   {0x900, 0x902},
        {0x93c, 0x93c},   {0x941, 0x948},     {0x94d, 0x94d},    {0xe31, 0xe31},   {0xe34, 0xe3a},   {0xe47, 0xe4e},
        {0x1160, 0x11ff}, {0x1ab0, 0x1aff},   {0x1dc0, 0x1dff},  {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
        {0xfe20, 0xfe2f}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef}};
    static const range two[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x4dbf},   {0x4e00, 0xa4cf},
                                {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
                                {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
                                {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd}};
    if (cp < 0x300) return 1;
    return within(cp, none, sizeof none / sizeof *none) ? 0 : within(cp, two, sizeof two / sizeof *two) ? 2 : 1;
}

/* The character at p; *len is 1 for a byte that is no UTF-8. */
static unsigned character(const char *p, const char *end, size_t *len)
{
    unsigned b = (unsigned char)*p;
    *len = utf8_len(p, end);
    if (*len <= 1) return *len = 1, b;
    unsigned cp = b & (0x7fu >> *len);
    for (size_t i = 1; i < *len; i++) cp = cp << 6 | ((unsigned char)p[i] & 63u);
    return cp;
}

/* ---- a line that is being edited --------------------------------------------------------------------------------- */

enum { NO_BYTE = -1 };

typedef struct edit {
    line_editor *e;
    const char *prompt;
    buf text;
    size_t at;    /* the cursor */
    size_t place; /* in the history; n_history: the new line, kept in `fresh` meanwhile */
    buf fresh;
    size_t rows; /* of the screen above the cursor, as drawn */
    int next;    /* a byte that was read and is still to be pressed, or NO_BYTE */
} edit;

static bool joins_left(const edit *d, size_t at)
{
    size_t len;
    return at < d->text.len && line_width(character(d->text.p + at, d->text.p + d->text.len, &len)) == 0;
}

static size_t next_at(const edit *d, size_t at)
{
    size_t len;
    if (at >= d->text.len) return at;
    character(d->text.p + at, d->text.p + d->text.len, &len);
    for (at += len; joins_left(d, at); at += len) character(d->text.p + at, d->text.p + d->text.len, &len);
    return at;
}

static size_t previous_at(const edit *d, size_t at)
{
    do {
        if (!at) return 0;
        for (at--; at && ((unsigned char)d->text.p[at] & 0xc0) == 0x80;) at--;
    } while (joins_left(d, at));
    return at;
}

static size_t line_start(const edit *d, size_t at)
{
    while (at && d->text.p[at - 1] != '\n') at--;
    return at;
}

static size_t line_end(const edit *d, size_t at)
{
    while (at < d->text.len && d->text.p[at] != '\n') at++;
    return at;
}

static bool is_space(const edit *d, size_t at)
{
    return d->text.p[at] == ' ' || d->text.p[at] == '\n' || d->text.p[at] == '\t';
}

static size_t word_left(const edit *d, size_t at)
{
    while (at && is_space(d, at - 1)) at--;
    while (at && !is_space(d, at - 1)) at--;
    return at;
}

static size_t word_right(const edit *d, size_t at)
{
    while (at < d->text.len && is_space(d, at)) at++;
    while (at < d->text.len && !is_space(d, at)) at++;
    return at;
}

static void cut(edit *d, size_t from, size_t to)
{
    memmove(d->text.p + from, d->text.p + to, d->text.len - to);
    d->text.len -= to - from;
    d->at = from;
}

static void insert(edit *d, const char *p, size_t n)
{
    buf_add(&d->text, p, n); /* for the room */
    memmove(d->text.p + d->at + n, d->text.p + d->at, d->text.len - n - d->at);
    memcpy(d->text.p + d->at, p, n);
    d->at += n;
}

static void set_text(edit *d, const char *p, size_t n)
{
    d->text.len = 0;
    buf_add(&d->text, p, n);
    d->at = n;
}

static void walk_history(edit *d, int step)
{
    line_editor *e = d->e;
    if ((step < 0 && d->place == 0) || (step > 0 && d->place == e->n_history)) return;
    if (d->place == e->n_history) {
        d->fresh.len = 0;
        buf_add(&d->fresh, d->text.p, d->text.len);
    }
    d->place = step < 0 ? d->place - 1 : d->place + 1;
    if (d->place == e->n_history)
        set_text(d, d->fresh.p, d->fresh.len);
    else
        set_text(d, e->history[d->place], strlen(e->history[d->place]));
}

/* A line up or down within the text, else in the history. */
static void move_line(edit *d, int step)
{
    size_t start = line_start(d, d->at), end = line_end(d, d->at), column = d->at - start;
    if (step < 0 ? start == 0 : end == d->text.len) {
        walk_history(d, step);
        return;
    }
    size_t to = step < 0 ? line_start(d, start - 1) : end + 1, stop = line_end(d, to);
    d->at = to + column < stop ? to + column : stop;
    while (d->at > to && ((unsigned char)d->text.p[d->at] & 0xc0) == 0x80 && d->at < d->text.len) d->at--;
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

#define MORE "... "

static size_t columns(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 8 ? w.ws_col : 80;
}

typedef struct screen {
    buf out;
    size_t width, row, column;
} screen;

/* Terminals wait with the wrap until the next character; a newline of our own makes the place sure. */
static void put_wide(screen *s, const char *p, size_t n, int width)
{
    if (s->column + (size_t)width > s->width) {
        buf_add(&s->out, "\r\n", 2);
        s->row++;
        s->column = 0;
    }
    buf_add(&s->out, p, n);
    s->column += (size_t)width;
}

static void put_plain(screen *s, const char *p)
{
    for (; *p; p++) put_wide(s, p, 1, 1);
}

/* Draws prompt and text anew from the prompt's row on, and leaves the cursor at d->at. */
static void draw(edit *d, bool last)
{
    screen s = {.width = columns()};
    size_t row = 0, column = 0;
    char move[64];
    if (d->rows) buf_add(&s.out, move, (size_t)snprintf(move, sizeof move, "\x1b[%zuA", d->rows));
    buf_add(&s.out, "\r\x1b[J", 4);
    put_plain(&s, d->prompt);
    const char *end = d->text.p + d->text.len;
    for (size_t i = 0, len; i <= d->text.len; i += len) {
        if (i == d->at) row = s.row, column = s.column;
        len = 1;
        if (i == d->text.len) break;
        unsigned cp = character(d->text.p + i, end, &len);
        if (cp == '\n') {
            buf_add(&s.out, "\r\n", 2);
            s.row++;
            s.column = 0;
            put_plain(&s, MORE);
        } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x80 && len == 1)) {
            put_wide(&s, "?", 1, 1);
        } else {
            put_wide(&s, d->text.p + i, len, line_width(cp));
        }
    }
    if (last) row = s.row, column = s.column;
    if (column == s.width) { /* the cursor has no place there */
        if (row == s.row) buf_add(&s.out, "\r\n", 2), s.row++;
        row++;
        column = 0;
    }
    if (s.row > row) buf_add(&s.out, move, (size_t)snprintf(move, sizeof move, "\x1b[%zuA", s.row - row));
    buf_add(&s.out, "\r", 1);
    if (column) buf_add(&s.out, move, (size_t)snprintf(move, sizeof move, "\x1b[%zuC", column));
    if (last) buf_add(&s.out, "\r\n", 2);
    d->rows = row;
    for (size_t i = 0; i < s.out.len;) {
        ssize_t n = write(STDERR_FILENO, s.out.p + i, s.out.len - i);
        if (n < 0 && errno != EINTR) break;
        if (n > 0) i += (size_t)n;
    }
    buf_free(&s.out);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

enum { CTRL = 0x1f };

/* A byte, or NO_BYTE at the end of the input or when a signal asks to stop. wait_ms < 0: as long as it takes. */
static int get_byte(int wait_ms)
{
    unsigned char c;
    for (;;) {
        if (cli_cancel) return NO_BYTE; /* since before the wait */
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&p, 1, wait_ms);
        if (cli_cancel || ready == 0) return NO_BYTE;
        if (ready < 0 && errno == EINTR) continue;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n == 1) return c;
        if (n == 0 || errno != EINTR) return NO_BYTE;
    }
}

/* Is there more to read already? */
static bool is_waiting(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* What is pasted stands in the text as it is, but for control characters. */
static void paste(edit *d)
{
    static const char stop[] = "\x1b[201~";
    buf b = {0};
    for (int c; (c = get_byte(-1)) != NO_BYTE;) {
        char byte = (char)c;
        buf_add(&b, &byte, 1);
        if (b.len >= 6 && memcmp(b.p + b.len - 6, stop, 6) == 0) {
            b.len -= 6;
            break;
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = (unsigned char)b.p[i];
        if (c == '\r' && i + 1 < b.len && b.p[i + 1] == '\n') continue;
        if (c == '\r') c = '\n';
        if (c >= 0x20 ? c != 0x7f : c == '\n' || c == '\t') b.p[n++] = (char)c;
    }
    insert(d, n ? b.p : "", n);
    buf_free(&b);
}

static void arrow(edit *d, int final, int number, bool word)
{
    switch (final) {
    case 'A': move_line(d, -1); break;
    case 'B': move_line(d, 1); break;
    case 'C': d->at = word ? word_right(d, d->at) : next_at(d, d->at); break;
    case 'D': d->at = word ? word_left(d, d->at) : previous_at(d, d->at); break;
    case 'H': d->at = line_start(d, d->at); break;
    case 'F': d->at = line_end(d, d->at); break;
    case '~':
        if (number == 1 || number == 7) d->at = line_start(d, d->at);
        if (number == 4 || number == 8) d->at = line_end(d, d->at);
        if (number == 3) cut(d, d->at, next_at(d, d->at));
        if (number == 200) paste(d);
        break;
    default: break;
    }
}

/* Behind ESC: CSI and SS3 sequences, and a few of Alt. An ESC alone is nothing. */
static void escape(edit *d)
{
    int c = get_byte(50), number = 0, second = 0;
    if (c == 'b') d->at = word_left(d, d->at);
    if (c == 'f') d->at = word_right(d, d->at);
    if (c == '\r' || c == '\n') insert(d, "\n", 1);
    if (c == 0x7f) {
        size_t to = d->at;
        cut(d, word_left(d, to), to);
    }
    if (c != '[' && c != 'O') return;
    bool after = false;
    while ((c = get_byte(50)) != NO_BYTE && (c < 0x40 || c > 0x7e)) {
        after = after || c == ';';
        int *n = after ? &second : &number;
        if (c >= '0' && c <= '9' && *n < 1000) *n = *n * 10 + c - '0';
    }
    if (c != NO_BYTE) arrow(d, c, number, second == 3 || second == 5); /* with Alt or Ctrl */
}

/* A character of several bytes is inserted when it is whole; what does not belong to it is a key of its own. */
static void typed(edit *d, int c)
{
    char p[4] = {(char)c};
    size_t n = 1, want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    while (n < want && (d->next = get_byte(200)) != NO_BYTE && (d->next & 0xc0) == 0x80) p[n++] = (char)d->next;
    if (n == want) d->next = NO_BYTE;
    insert(d, p, n);
}

static bool ends_in_backslash(const edit *d)
{
    return d->at == d->text.len && d->at && d->text.p[d->at - 1] == '\\';
}

/* One key; true: the line is done, with *result. */
static bool press(edit *d, int c, line_result *result)
{
    size_t at = d->at;
    switch (c) {
    case NO_BYTE: *result = cli_cancel ? LINE_INTERRUPT : LINE_END; return true;
    case '\r':
    case '\n':
        if (ends_in_backslash(d)) {
            cut(d, at - 1, at);
            insert(d, "\n", 1);
            return false;
        }
        *result = LINE_OK;
        return true;
    case 'C' & CTRL: *result = LINE_INTERRUPT; return true;
    case 'D' & CTRL:
        if (!d->text.len) return *result = LINE_END, true;
        cut(d, at, next_at(d, at));
        break;
    case 'A' & CTRL: d->at = line_start(d, at); break;
    case 'E' & CTRL: d->at = line_end(d, at); break;
    case 'B' & CTRL: d->at = previous_at(d, at); break;
    case 'F' & CTRL: d->at = next_at(d, at); break;
    case 'P' & CTRL: move_line(d, -1); break;
    case 'N' & CTRL: move_line(d, 1); break;
    case 'U' & CTRL: cut(d, line_start(d, at), at); break;
    case 'K' & CTRL: cut(d, at, line_end(d, at)), d->at = at; break;
    case 'W' & CTRL: cut(d, word_left(d, at), at); break;
    case 'L' & CTRL:
        (void)!write(STDERR_FILENO, "\x1b[H\x1b[2J", 7);
        d->rows = 0;
        break;
    case 'H' & CTRL:
    case 0x7f: cut(d, previous_at(d, at), at); break;
    case 0x1b: escape(d); break;
    case '\t': insert(d, "\t", 1); break;
    default:
        if (c >= 0x20) typed(d, c);
    }
    return false;
}

/* ---- history ----------------------------------------------------------------------------------------------------- */

static void remember(line_editor *e, const buf *line)
{
    if (!line->len || memchr(line->p, 0, line->len)) return;
    if (e->n_history && strlen(e->history[e->n_history - 1]) == line->len &&
        memcmp(e->history[e->n_history - 1], line->p, line->len) == 0)
        return;
    e->history = must_grow(e->history, &e->history_cap, e->n_history + 1, sizeof *e->history);
    char *copy = must_calloc(line->len + 1, 1);
    memcpy(copy, line->p, line->len);
    e->history[e->n_history++] = copy;
}

static line_result read_keys(line_editor *e, const char *prompt, buf *out)
{
    struct termios before, raw;
    if (tcgetattr(STDIN_FILENO, &before) != 0) return LINE_END;
    raw = before;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* messages of other threads keep their line ends */
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) return LINE_END;
    edit d = {.e = e, .prompt = prompt, .place = e->n_history, .next = NO_BYTE};
    buf_add(&d.text, "", 0);
    (void)!write(STDERR_FILENO, "\x1b[?2004h", 8);
    line_result result = LINE_OK;
    for (int c = NO_BYTE;; c = d.next) {
        d.next = NO_BYTE;
        if (c == NO_BYTE) {
            if (!is_waiting()) draw(&d, false); /* what was typed ahead is drawn once */
            c = get_byte(-1);
        }
        if (press(&d, c, &result)) break;
    }
    draw(&d, true);
    (void)!write(STDERR_FILENO, "\x1b[?2004l", 8);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    if (result == LINE_OK) {
        buf_add(out, d.text.p, d.text.len);
        remember(e, &d.text);
    }
    buf_free(&d.text);
    buf_free(&d.fresh);
    return result;
}

/* ---- plain lines ------------------------------------------------------------------------------------------------- */

/* More of the input, in place of what was handed out; false at its end. */
static bool refill(line_editor *e)
{
    char block[4096];
    if (e->rest_at) memmove(e->rest.p, e->rest.p + e->rest_at, e->rest.len - e->rest_at);
    e->rest.len -= e->rest_at;
    e->rest_at = 0;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, block, sizeof block);
        if (n > 0) return buf_add(&e->rest, block, (size_t)n), true;
        if (n == 0 || errno != EINTR || cli_cancel) return false;
    }
}

static line_result read_plain(line_editor *e, buf *out)
{
    for (bool more = true, any = false; more;) {
        char *from = e->rest.p + e->rest_at, *end;
        size_t have = e->rest.len - e->rest_at, seen = 0;
        while (!(end = have > seen ? memchr(from + seen, '\n', have - seen) : NULL) && !e->end) {
            seen = have;
            e->end = !refill(e);
            if (cli_cancel) return LINE_INTERRUPT;
            from = e->rest.p + e->rest_at;
            have = e->rest.len - e->rest_at;
        }
        if (!end && !have) return any ? LINE_OK : LINE_END;
        size_t n = end ? (size_t)(end - from) : have;
        e->rest_at += n + (end != NULL);
        if (n && from[n - 1] == '\r') n--;
        more = n && from[n - 1] == '\\';
        buf_add(out, from, n - more);
        if (more) buf_add(out, "\n", 1);
        any = true;
    }
    return LINE_OK;
}

void line_open(line_editor *e)
{
    const char *term = getenv("TERM");
    *e = (line_editor){0};
    e->terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void line_close(line_editor *e)
{
    for (size_t i = 0; i < e->n_history; i++) free(e->history[i]);
    free(e->history);
    buf_free(&e->rest);
    *e = (line_editor){0};
}

line_result line_read(line_editor *e, const char *prompt, buf *out)
{
    out->len = 0;
    buf_add(out, "", 0);
    return e->terminal ? read_keys(e, prompt, out) : read_plain(e, out);
}
