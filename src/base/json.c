/* json.c: a machine of six states over the text, and a bit for each open bracket. See json.h. */
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "base/utf8.h"

/* What may follow. */
enum { VALUE, FIRST_ITEM, FIRST_NAME, MORE, NOTHING, FAILED };

void st_json_begin(st_json *j, const char *text, size_t len, uint32_t max_depth, unsigned flags)
{
    *j = (st_json){.text = text, .len = len, .max_depth = max_depth, .flags = flags};
}

static st_json_event json_fail(st_json *j, st_json_why why, size_t at)
{
    unsigned bad;
    /* Outside of strings all is ASCII: a byte that is in its place in no text is named as that. */
    if (at < j->len && (uint8_t)j->text[at] >= 0x80 && !(j->flags & ST_JSON_ANY_BYTES) &&
        !st_utf8_step((const uint8_t *)j->text + at, j->len - at, &bad))
        why = ST_JSON_NOT_UTF8;
    j->why = why;
    j->at = j->to = at;
    j->next = FAILED;
    return ST_JSON_ERROR;
}

static char json_peek(const st_json *j, size_t at)
{
    return at < j->len ? j->text[at] : 0;
}

static void json_skip_space(st_json *j)
{
    for (; j->at < j->len; j->at++) {
        char c = j->text[j->at];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') break;
    }
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

/* Four hexadecimal digits. False: *at is where they end too early. */
static bool json_hex4(const st_json *j, size_t *at, uint32_t *v)
{
    *v = 0;
    for (int k = 0; k < 4; k++, ++*at) {
        int d = st_hex_digit(json_peek(j, *at));
        if (d < 0) return false;
        *v = *v << 4 | (uint32_t)d;
    }
    return true;
}

static bool json_is_high(uint32_t cp)
{
    return cp >= 0xd800 && cp < 0xdc00;
}

static bool json_is_low(uint32_t cp)
{
    return cp >= 0xdc00 && cp < 0xe000;
}

static const char json_escapes[] = "\"\\/bfnrt", json_escaped[] = "\"\\/\b\f\n\r\t";

/* The escape whose backslash is at *at; goes behind it. */
static st_json_why json_check_escape(const st_json *j, size_t *at)
{
    size_t backslash = *at, p = backslash + 1;
    char c = json_peek(j, p);
    uint32_t cp, low = 0;
    *at = p;
    if (c != 'u') {
        if (!c || !strchr(json_escapes, c)) return ST_JSON_WANT_ESCAPE;
        ++*at;
        return ST_JSON_FINE;
    }
    ++*at;
    if (!json_hex4(j, at, &cp)) return ST_JSON_WANT_HEX;
    if ((!json_is_high(cp) && !json_is_low(cp)) || (j->flags & ST_JSON_LONE_SURROGATES)) return ST_JSON_FINE;
    if (json_is_high(cp) && json_peek(j, *at) == '\\' && json_peek(j, *at + 1) == 'u') {
        *at += 2;
        if (!json_hex4(j, at, &low)) return ST_JSON_WANT_HEX;
        if (json_is_low(low)) return ST_JSON_FINE;
    }
    *at = backslash;
    return ST_JSON_SURROGATE;
}

#define EACH(byte) (0x0101010101010101u * (byte))

/* The first byte from `at` on that is not simply part of a string: a quote, a backslash, a control character, or the
 * end. *high gathers the bits of those that are. */
static size_t json_plain(const st_json *j, size_t at, uint64_t *high)
{
    const char *p = j->text;
    for (uint64_t w; at + 8 <= j->len; at += 8) {
        memcpy(&w, p + at, 8);
        uint64_t quote = w ^ EACH('"'), backslash = w ^ EACH('\\');
        uint64_t stop = ((w - EACH(0x20)) & ~w) | ((quote - EACH(1)) & ~quote) | ((backslash - EACH(1)) & ~backslash);
        if (stop & EACH(0x80)) break;
        *high |= w;
    }
    for (; at < j->len; at++) {
        uint8_t c = (uint8_t)p[at];
        if (c == '"' || c == '\\' || c < 0x20) break;
        *high |= c;
    }
    return at;
}

/* The string whose quote is at `at`. */
static bool json_read_string(st_json *j)
{
    size_t open = j->at, at;
    uint64_t high = 0;
    st_json_why why = ST_JSON_FINE;
    j->escaped = false;
    for (at = json_plain(j, open + 1, &high); json_peek(j, at) == '\\'; at = json_plain(j, at, &high)) {
        j->escaped = true;
        why = json_check_escape(j, &at);
        if (why) break;
    }
    size_t n = at - open - 1;
    if ((high & EACH(0x80)) && !(j->flags & ST_JSON_ANY_BYTES)) {
        size_t bad = st_utf8_check(j->text + open + 1, n);
        if (bad < n) return json_fail(j, ST_JSON_NOT_UTF8, open + 1 + bad), false;
    }
    if (!why && at == j->len)
        at = open, why = ST_JSON_UNENDED;
    else if (!why && j->text[at] != '"')
        why = ST_JSON_CONTROL;
    if (why) return json_fail(j, why, at), false;
    j->at = j->to = at + 1;
    return true;
}

/* One character of a checked string at p, or all up to the next escape: *n bytes at the result. Returns where it goes
 * on. */
static const char *json_piece(const char *p, const char *end, char utf8[4], const char **piece, size_t *n)
{
    if (*p != '\\') {
        const char *next = memchr(p, '\\', (size_t)(end - p));
        *piece = p;
        *n = (size_t)((next ? next : end) - p);
        return p + *n;
    }
    *piece = utf8;
    if (p[1] != 'u') {
        utf8[0] = json_escaped[strchr(json_escapes, p[1]) - json_escapes];
        *n = 1;
        return p + 2;
    }
    st_json text = {.text = p, .len = (size_t)(end - p)};
    uint32_t cp = 0, low = 0;
    size_t at = 2, behind = 8;
    (void)json_hex4(&text, &at, &cp);
    if (json_is_high(cp) && json_peek(&text, 6) == '\\' && json_peek(&text, 7) == 'u' &&
        json_hex4(&text, &behind, &low) && json_is_low(low)) {
        cp = 0x10000 + ((cp & 0x3ff) << 10 | (low & 0x3ff));
        at = behind;
    }
    if (json_is_high(cp) || json_is_low(cp)) cp = 0xfffd;
    *n = st_utf8_put((uint8_t *)utf8, cp);
    return p + at;
}

size_t st_json_string(const st_json *j, char *out)
{
    size_t room = st_json_room(j), len = 0, n;
    const char *p = j->text + j->from + 1, *end = p + room, *piece;
    char utf8[4];
    if (!j->escaped) {
        if (room) memcpy(out, p, room);
        return room;
    }
    for (; p < end; len += n) {
        p = json_piece(p, end, utf8, &piece, &n);
        memcpy(out + len, piece, n);
    }
    return len;
}

bool st_json_is(const st_json *j, const char *z)
{
    size_t room = st_json_room(j), left = strlen(z), n;
    const char *p = j->text + j->from + 1, *end = p + room, *piece;
    char utf8[4];
    if (!j->escaped) return room == left && memcmp(p, z, room) == 0;
    for (; p < end; z += n, left -= n) {
        p = json_piece(p, end, utf8, &piece, &n);
        if (n > left || memcmp(piece, z, n) != 0) return false;
    }
    return left == 0;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool json_digits(const st_json *j, size_t *at)
{
    size_t from = *at;
    while (*at < j->len && j->text[*at] >= '0' && j->text[*at] <= '9') ++*at;
    return *at > from;
}

static st_json_event json_read_number(st_json *j)
{
    size_t at = j->at;
    j->whole = true;
    if (json_peek(j, at) == '-') at++;
    if (json_peek(j, at) == '0')
        at++;
    else if (!json_digits(j, &at))
        return json_fail(j, ST_JSON_WANT_DIGIT, at);
    if (json_peek(j, at) == '.') {
        at++;
        j->whole = false;
        if (!json_digits(j, &at)) return json_fail(j, ST_JSON_WANT_DIGIT, at);
    }
    if (json_peek(j, at) == 'e' || json_peek(j, at) == 'E') {
        at++;
        j->whole = false;
        if (json_peek(j, at) == '+' || json_peek(j, at) == '-') at++;
        if (!json_digits(j, &at)) return json_fail(j, ST_JSON_WANT_DIGIT, at);
    }
    j->at = j->to = at;
    return ST_JSON_NUMBER;
}

static bool json_take_word(st_json *j, const char *word)
{
    size_t n = strlen(word);
    if (j->len - j->at < n || memcmp(j->text + j->at, word, n) != 0) return false;
    j->at = j->to = j->at + n;
    return true;
}

static bool json_take_nan(st_json *j)
{
    j->whole = false;
    return json_take_word(j, "NaN") || json_take_word(j, "Infinity") || json_take_word(j, "-Infinity");
}

static st_json_event json_open(st_json *j, bool object)
{
    if (j->depth == j->max_depth) return json_fail(j, ST_JSON_DEEP, j->at);
    uint64_t *word = &j->objects[j->depth / 64], bit = (uint64_t)1 << (j->depth % 64);
    *word = object ? *word | bit : *word & ~bit;
    j->depth++;
    j->to = ++j->at;
    j->next = object ? FIRST_NAME : FIRST_ITEM;
    return object ? ST_JSON_OBJECT : ST_JSON_ARRAY;
}

static bool json_in_object(const st_json *j)
{
    return j->objects[(j->depth - 1) / 64] >> ((j->depth - 1) % 64) & 1;
}

static st_json_event json_close(st_json *j)
{
    j->depth--;
    j->to = ++j->at;
    j->next = j->depth ? MORE : NOTHING;
    return ST_JSON_CLOSE;
}

static st_json_event json_read_name(st_json *j)
{
    j->from = j->at;
    if (json_peek(j, j->at) != '"') return json_fail(j, ST_JSON_WANT_NAME, j->at);
    if (!json_read_string(j)) return ST_JSON_ERROR;
    json_skip_space(j);
    if (json_peek(j, j->at) != ':') return json_fail(j, ST_JSON_WANT_COLON, j->at);
    j->at++;
    j->next = VALUE;
    return ST_JSON_NAME;
}

static st_json_event json_read_value(st_json *j)
{
    char c = json_peek(j, j->at);
    j->from = j->at;
    if (c == '[' || c == '{') return json_open(j, c == '{');
    j->next = j->depth ? MORE : NOTHING;
    if (c == '"') return json_read_string(j) ? ST_JSON_STRING : ST_JSON_ERROR;
    if ((j->flags & ST_JSON_NAN) && (c == 'N' || c == 'I' || c == '-') && json_take_nan(j)) return ST_JSON_NUMBER;
    if (c == '-' || (c >= '0' && c <= '9')) return json_read_number(j);
    if (c == 'n' && json_take_word(j, "null")) return ST_JSON_NULL;
    if (c == 't' && json_take_word(j, "true")) return ST_JSON_TRUE;
    if (c == 'f' && json_take_word(j, "false")) return ST_JSON_FALSE;
    return json_fail(j, ST_JSON_WANT_VALUE, j->at);
}

st_json_event st_json_next(st_json *j)
{
    if (j->next == FAILED) return ST_JSON_ERROR;
    json_skip_space(j);
    char c = json_peek(j, j->at);
    j->from = j->at;
    switch (j->next) {
    case VALUE: return json_read_value(j);
    case FIRST_ITEM: return c == ']' ? json_close(j) : json_read_value(j);
    case FIRST_NAME: return c == '}' ? json_close(j) : json_read_name(j);
    case NOTHING: return j->at == j->len ? ST_JSON_END : json_fail(j, ST_JSON_WANT_END, j->at);
    default: break;
    }
    bool object = json_in_object(j);
    if (c == (object ? '}' : ']')) return json_close(j);
    if (c != ',') return json_fail(j, object ? ST_JSON_WANT_MORE_MEMBERS : ST_JSON_WANT_MORE_ITEMS, j->at);
    j->at++;
    json_skip_space(j);
    return object ? json_read_name(j) : json_read_value(j);
}

bool st_json_finish(st_json *j, st_json_event e)
{
    if (e == ST_JSON_ARRAY || e == ST_JSON_OBJECT) {
        size_t from = j->from;
        for (uint32_t inside = j->depth; j->depth >= inside;)
            if (st_json_next(j) == ST_JSON_ERROR) return false;
        j->from = from;
    }
    return e >= ST_JSON_NULL && e <= ST_JSON_OBJECT;
}

const char *st_json_reason(const st_json *j, char buf[ST_JSON_REASON])
{
    static const char *const wants[] = {
        [ST_JSON_WANT_VALUE] = "a value of JSON",
        [ST_JSON_WANT_NAME] = "a name in quotes",
        [ST_JSON_WANT_COLON] = "':'",
        [ST_JSON_WANT_MORE_ITEMS] = "',' or ']'",
        [ST_JSON_WANT_MORE_MEMBERS] = "',' or '}'",
        [ST_JSON_WANT_END] = "the end",
        [ST_JSON_WANT_DIGIT] = "a digit",
        [ST_JSON_WANT_HEX] = "four hexadecimal digits",
        [ST_JSON_WANT_ESCAPE] = "an escape of JSON",
        [ST_JSON_CONTROL] = "an escape: control characters may not stand in a string",
    };
    uint8_t c = (uint8_t)json_peek(j, j->at);
    switch (j->why) {
    case ST_JSON_FINE: snprintf(buf, ST_JSON_REASON, "nothing is wrong"); break;
    case ST_JSON_NOT_UTF8: snprintf(buf, ST_JSON_REASON, "byte 0x%02x is not UTF-8", c); break;
    case ST_JSON_SURROGATE: snprintf(buf, ST_JSON_REASON, "half a surrogate pair"); break;
    case ST_JSON_UNENDED: snprintf(buf, ST_JSON_REASON, "a string without end"); break;
    case ST_JSON_DEEP: snprintf(buf, ST_JSON_REASON, "nested deeper than %u", (unsigned)j->max_depth); break;
    default:
        if (j->at >= j->len)
            snprintf(buf, ST_JSON_REASON, "found the end, want %s", wants[j->why]);
        else if (c < 0x20 || c >= 0x7f)
            snprintf(buf, ST_JSON_REASON, "found byte 0x%02x, want %s", c, wants[j->why]);
        else
            snprintf(buf, ST_JSON_REASON, "found '%c', want %s", c, wants[j->why]);
    }
    return buf;
}
