/* jinja_lex.c: a template's tokens. Whitespace is Jinja's with trim_blocks and lstrip_blocks: the newline after a block
 * goes, and so do the blanks before a block that begins its line; '-' strips all whitespace on its side, '+' keeps what
 * would be trimmed. See jinja_program.h. */
#include "base/utf8.h"
#include "template/jinja_program.h"

enum { TEXT, VARIABLE, BLOCK };

void st_j_lex_init(st_jlexer *x, st_jrun *r, const char *src, size_t n)
{
    *x = (st_jlexer){.r = r, .src = src, .n = n, .line = 1, .line_starting = true};
}

/* Moves to `to`, counting lines. */
static void lex_move(st_jlexer *x, size_t to)
{
    for (; x->at < to; x->at++)
        if (x->src[x->at] == '\n') {
            x->line++;
            x->line_at = x->at + 1;
        }
}

static void lex_here(const st_jlexer *x, st_jtok *t)
{
    t->line = x->r->line = x->line;
    t->col = x->r->col = (uint32_t)(x->at - x->line_at + 1);
}

static bool lex_looking_at(const st_jlexer *x, size_t at, const char *s)
{
    size_t n = strlen(s);
    return x->n - at >= n && memcmp(x->src + at, s, n) == 0;
}

static size_t lex_skip_space(const st_jlexer *x, size_t at)
{
    unsigned len;
    while (at < x->n && st_j_is_space(st_utf8_get((const uint8_t *)x->src + at, &len))) at += len;
    return at;
}

static size_t lex_drop_space(const st_jlexer *x, size_t from, size_t to)
{
    while (to > from) {
        size_t p = to - 1;
        while (p > from && ((uint8_t)x->src[p] & 0xc0) == 0x80) p--;
        unsigned len;
        if (!st_j_is_space(st_utf8_get((const uint8_t *)x->src + p, &len))) break;
        to = p;
    }
    return to;
}

/* The end of a text whose next tag stands at `tag`: what lstrip_blocks or '-' takes away. */
static size_t lex_text_end(const st_jlexer *x, size_t from, size_t tag)
{
    char sign = tag + 2 < x->n ? x->src[tag + 2] : 0;
    if (sign == '-') return lex_drop_space(x, from, tag);
    if (sign == '+' || x->src[tag + 1] == '{') return tag;
    size_t line = tag;
    while (line > from && x->src[line - 1] != '\n') line--;
    if (line == from && !x->line_starting) return tag;
    return lex_drop_space(x, line, tag) == line ? line : tag;
}

/* After the end of a block or comment at `at` (which its sign precedes). */
static void lex_after_tag(st_jlexer *x, char sign, size_t at, bool trims)
{
    size_t to = at;
    if (sign == '-')
        to = lex_skip_space(x, at);
    else if (trims && sign != '+' && at < x->n && x->src[at] == '\n')
        to = at + 1;
    lex_move(x, to);
    x->line_starting = to && x->src[to - 1] == '\n';
}

static size_t lex_find(const st_jlexer *x, size_t at, const char *s)
{
    while (at < x->n && !lex_looking_at(x, at, s)) at++;
    return at;
}

/* {# ... #}, at its first byte. */
static void lex_skip_comment(st_jlexer *x)
{
    size_t end = lex_find(x, x->at + 2, "#}");
    if (x->at + 2 == x->n) end = x->n - 2; /* nothing behind '{#': Jinja lets that pass */
    if (end >= x->n) ST_J_FAIL(x->r, "a comment without its end '#}'");
    char sign = end > x->at + 2 ? x->src[end - 1] : 0;
    lex_move(x, end + 2);
    lex_after_tag(x, sign, end + 2, true);
}

/* The position behind `word` if a block at `at` says just that, else 0; *sign: what its end strips. */
static size_t lex_word_block(const st_jlexer *x, size_t at, const char *word, char *sign)
{
    if (!lex_looking_at(x, at, "{%")) return 0;
    at += 2;
    if (at < x->n && (x->src[at] == '-' || x->src[at] == '+')) at++;
    at = lex_skip_space(x, at);
    if (!lex_looking_at(x, at, word)) return 0;
    at = lex_skip_space(x, at + strlen(word));
    *sign = at < x->n ? x->src[at] : 0;
    if (*sign == '-' || *sign == '+') at++;
    return lex_looking_at(x, at, "%}") ? at + 2 : 0;
}

/* {% raw %} at the current place: the text up to {% endraw %} as it is. */
static bool lex_raw_block(st_jlexer *x, st_jtok *t)
{
    char sign, end_sign = 0;
    size_t begin = lex_word_block(x, x->at, "raw", &sign), end = 0, to;
    if (!begin) return false;
    if (sign == '+') return false;
    lex_after_tag(x, sign, begin, false); /* the newline behind {% raw %} stays */
    if (x->at >= x->n) return true;       /* nothing behind it: Jinja lets that pass */
    for (to = x->at; to < x->n; to++)
        if (x->src[to] == '{' && (end = lex_word_block(x, to, "endraw", &end_sign))) break;
    if (!end) ST_J_FAIL(x->r, "a raw block without its end");
    t->kind = ST_T_TEXT;
    t->str = (st_jstr){.p = x->src + x->at, .n = lex_text_end(x, x->at, to) - x->at};
    lex_after_tag(x, end_sign, end, true);
    return true;
}

static void lex_next_text(st_jlexer *x, st_jtok *t)
{
    while (x->at < x->n) {
        lex_here(x, t);
        size_t tag = x->at;
        while (tag < x->n &&
               !(x->src[tag] == '{' && tag + 1 < x->n && strchr("{%#", x->src[tag + 1]) && x->src[tag + 1]))
            tag++;
        size_t end = tag < x->n ? lex_text_end(x, x->at, tag) : tag;
        if (end > x->at) {
            t->kind = ST_T_TEXT;
            t->str = (st_jstr){.p = x->src + x->at, .n = end - x->at};
            lex_move(x, tag);
            return;
        }
        lex_move(x, tag);
        if (tag >= x->n) break;
        lex_here(x, t);
        char what = x->src[tag + 1];
        if (what == '#') {
            lex_skip_comment(x);
            continue;
        }
        if (what == '%' && lex_raw_block(x, t)) {
            if (t->str.n) return;
            continue; /* nothing in it */
        }
        size_t to = tag + 2;
        if (to < x->n && (x->src[to] == '-' || x->src[to] == '+')) to++;
        lex_move(x, to);
        t->kind = what == '{' ? ST_T_VAR_BEGIN : ST_T_BLOCK_BEGIN;
        x->mode = what == '{' ? VARIABLE : BLOCK;
        x->nesting = 0;
        return;
    }
    lex_here(x, t);
    t->kind = ST_T_EOF;
}

static int lex_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \xHH, \uHHHH, \UHHHHHHHH at p (behind the letter). */
static uint32_t lex_hex_escape(st_jlexer *x, const char *p, const char *end, int digits)
{
    uint32_t cp = 0;
    for (int i = 0; i < digits; i++) {
        int d = p + i < end ? lex_hex_digit(p[i]) : -1;
        if (d < 0) ST_J_FAIL(x->r, "a string with a broken escape");
        cp = cp << 4 | (uint32_t)d;
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) ST_J_FAIL(x->r, "a string with an escape that is no character");
    return cp;
}

/* Python's escapes in p..end. */
static st_jstr lex_unescape(st_jlexer *x, const char *p, const char *end)
{
    char *out = st_j_alloc(x->r, (size_t)(end - p), 1);
    size_t n = 0;
    while (p < end) {
        if (*p != '\\') {
            out[n++] = *p++;
            continue;
        }
        static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
        char c = p[1];
        const char *k = c ? strchr(from, c) : NULL;
        int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (k) {
            out[n++] = to[k - from];
            p += 2;
        } else if (c == '\n') {
            p += 2;
        } else if (digits) {
            n += st_utf8_put((uint8_t *)out + n, lex_hex_escape(x, p + 2, end, digits));
            p += 2 + digits;
        } else if (c >= '0' && c <= '7') {
            uint32_t cp = 0;
            int i = 0;
            for (p++; i < 3 && p < end && *p >= '0' && *p <= '7'; i++) cp = cp * 8 + (uint32_t)(*p++ - '0');
            n += st_utf8_put((uint8_t *)out + n, cp);
        } else {
            if (c == 'N') ST_J_FAIL(x->r, "a string with \\N: names of characters are not known here");
            out[n++] = *p++;
        }
    }
    return (st_jstr){.p = out, .n = n};
}

static void lex_string(st_jlexer *x, st_jtok *t)
{
    size_t from = x->at + 1, to = from;
    bool escaped = false;
    while (to < x->n && x->src[to] != x->src[x->at]) {
        if (x->src[to] == '\\') escaped = true, to++;
        to++;
    }
    if (to >= x->n) ST_J_FAIL(x->r, "a string without its end");
    t->kind = ST_T_STRING;
    t->str = escaped ? lex_unescape(x, x->src + from, x->src + to) : (st_jstr){.p = x->src + from, .n = to - from};
    lex_move(x, to + 1);
}

static bool lex_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool lex_is_base_digit(char c, int base)
{
    int d = lex_hex_digit(c);
    return d >= 0 && d < base;
}

/* The end of a run of digits at p, with single underscores between them; p: there is none. */
static size_t lex_digits_end(const st_jlexer *x, size_t p, int base)
{
    size_t from = p;
    while (p < x->n) {
        size_t at = p > from && x->src[p] == '_' ? p + 1 : p;
        if (at >= x->n || !lex_is_base_digit(x->src[at], base)) break;
        p = at + 1;
    }
    return p;
}

/* The number in from..to without its underscores. */
static void lex_take_number(st_jlexer *x, st_jtok *t, size_t from, size_t to, int base, bool real)
{
    char *text = st_j_alloc(x->r, to - from, 1);
    size_t n = 0;
    bool ok = true;
    double f;
    for (size_t i = from; i < to; i++)
        if (x->src[i] != '_') text[n++] = x->src[i];
    t->kind = real ? ST_T_FLOAT : ST_T_INT;
    if (real) {
        ok = st_j_parse_float(text, n, &f);
        t->num = st_j_float(f);
    } else {
        t->num = st_j_int_parse(x->r, text, n, base, &ok);
    }
    if (!ok) ST_J_FAIL(x->r, "a number that is not valid");
    lex_move(x, to);
}

/* Jinja's integer_re and float_re. */
static void lex_number(st_jlexer *x, st_jtok *t)
{
    size_t from = x->at, end = lex_digits_end(x, from, 10), p = end;
    char c = from + 1 < x->n ? (char)(x->src[from + 1] | 0x20) : 0;
    int base = x->src[from] != '0' ? 10 : c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
    if (base != 10) {
        size_t first = from + 2 + (from + 2 < x->n && x->src[from + 2] == '_');
        end = lex_digits_end(x, first, base);
        if (end > first) {
            lex_take_number(x, t, first, end, base, false);
            return;
        }
        end = p;
    }
    bool after_point = from && x->src[from - 1] == '.';
    size_t fraction = p < x->n && x->src[p] == '.' ? lex_digits_end(x, p + 1, 10) : p + 1;
    if (fraction > p + 1) p = fraction;
    if (p < x->n && (x->src[p] | 0x20) == 'e') {
        size_t digits = p + 1 + (p + 1 < x->n && (x->src[p + 1] == '-' || x->src[p + 1] == '+'));
        size_t to = lex_digits_end(x, digits, 10);
        if (to > digits) p = to;
    }
    if (p > end && !after_point) {
        lex_take_number(x, t, from, p, 10, true);
        return;
    }
    if (x->src[from] == '0') /* no octal: 0 and 00 are zero, and 012 two tokens */
        for (end = from; end < x->n && x->src[end] == '0';) end++;
    lex_take_number(x, t, from, end, 10, false);
}

static bool lex_is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}

/* }} or %} with its sign, here; outside brackets only, so that a dict may end in }}. */
static bool lex_end(st_jlexer *x, st_jtok *t)
{
    char c = x->src[x->at];
    char sign = c == '-' || (c == '+' && x->mode == BLOCK) ? c : 0;
    size_t at = x->at + (sign ? 1 : 0);
    if (x->nesting || !lex_looking_at(x, at, x->mode == VARIABLE ? "}}" : "%}")) return false;
    t->kind = x->mode == VARIABLE ? ST_T_VAR_END : ST_T_BLOCK_END;
    lex_move(x, at + 2);
    lex_after_tag(x, sign, at + 2, x->mode == BLOCK);
    x->mode = TEXT;
    return true;
}

static void lex_op(st_jlexer *x, st_jtok *t)
{
    static const char *const two[] = {"**", "//", "==", "!=", "<=", ">="};
    unsigned char c = (unsigned char)x->src[x->at];
    t->kind = ST_T_OP;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (lex_looking_at(x, x->at, two[i])) {
            t->op = ST_OP2(two[i][0], two[i][1]);
            lex_move(x, x->at + 2);
            return;
        }
    if (!c || !strchr("+-*/%~()[]{}<>=.:|,;", c))
        ST_J_FAIL(x->r, "a character that means nothing here (byte 0x%02x)", c);
    t->op = c;
    if (strchr("([{", c)) {
        if ((size_t)x->nesting >= sizeof x->open) ST_J_FAIL(x->r, "brackets nested more than %zu deep", sizeof x->open);
        x->open[x->nesting++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c)) {
        if (!x->nesting || x->open[--x->nesting] != (char)c) ST_J_FAIL(x->r, "'%c' that closes nothing", c);
    }
    lex_move(x, x->at + 1);
}

void st_j_lex_next(st_jlexer *x, st_jtok *t)
{
    *t = (st_jtok){0};
    if (x->mode == TEXT) {
        lex_next_text(x, t);
        return;
    }
    lex_move(x, lex_skip_space(x, x->at));
    lex_here(x, t);
    if (x->at >= x->n) ST_J_FAIL(x->r, "the template ends inside a tag");
    char c = x->src[x->at];
    if (lex_end(x, t)) return;
    if (c == '"' || c == '\'') {
        lex_string(x, t);
    } else if (lex_is_digit(c)) {
        lex_number(x, t);
    } else if (lex_is_name(c)) {
        size_t to = x->at;
        while (to < x->n && (lex_is_name(x->src[to]) || lex_is_digit(x->src[to]))) to++;
        t->kind = ST_T_NAME;
        t->str = (st_jstr){.p = x->src + x->at, .n = to - x->at};
        lex_move(x, to);
    } else {
        lex_op(x, t);
    }
}
