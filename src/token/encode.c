/* encode.c: the frame of encode: UTF-8, added tokens, what stands around a text. The kinds turn what lies between into
 * ids.
 *
 * A text may have parts of different trust: control tokens count only where they stand within trusted text, everything
 * else is as if the parts were one text. */
#include "base/os/thread.h"
#include "token/token_internal.h"

#include "base/utf8.h"
#include "token/unicode_tables.h"
#include "token/utf8_fix.h"

/* Longest text of one call. Kinds count bytes of a normalised text, up to three times as long, in 32 bits. */
#define MAX_TEXT ((size_t)1 << 30)

/* Bytes of plain reading that a try to match an added token is worth: most end at their second byte. */
#define MATCH_WORK 16

/* Where control tokens count: ranges of the text, ascending, never touching. */
typedef struct trust {
    strata_span *ranges; /* [n] */
    size_t n, cap;
} trust;

void st_tokens_free(st_tokens *out)
{
    if (!out->mem) return;
    st_free(out->mem, out->ids);
    st_free(out->mem, out->spans);
    *out = (st_tokens){.mem = out->mem, .want_spans = out->want_spans, .count = out->count, .stop = out->stop};
}

bool st_tokens_grow(st_tokens *o)
{
    if (o->count) {
        if (!st_grow(o->mem, &o->ids, &o->cap, 1, 0, sizeof *o->ids)) return false;
        o->cap = o->drop = SIZE_MAX;
        return true;
    }
    if (!st_grow(o->mem, &o->ids, &o->cap, o->n + 1, o->n, sizeof *o->ids)) return false;
    return !o->want_spans || st_grow(o->mem, &o->spans, &o->span_cap, o->cap, o->n, sizeof *o->spans);
}

int st_encoder_look(st_encoder *e)
{
    const st_stop *stop = e->out->stop;
    e->spent = 0;
    if (!stop) return STRATA_OK;
    ST_FAIL_IF(stop->cancel && __atomic_load_n(stop->cancel, __ATOMIC_RELAXED), e->err, STRATA_CANCELLED, "cancelled");
    ST_FAIL_IF(stop->deadline > 0 && st_now() > stop->deadline, e->err, STRATA_DEADLINE,
               "the deadline passed before a text of %zu bytes was tokenized", e->len);
    return STRATA_OK;
}

static int encode_no_memory(strata_error *err, size_t len)
{
    ST_FAIL(err, STRATA_NO_MEMORY, "no memory to tokenize %zu bytes", len);
}

/* ---- added tokens ------------------------------------------------------------------------------------------------ */

/* *at = where the first control token of ranges[0..n) starts in [begin, end); end if there is none. From call to call
 * `begin` does not go back, so that no place is looked at twice. */
static int encode_next_control(st_encoder *e, const strata_span *ranges, size_t n, size_t begin, size_t end, size_t *at)
{
    const st_added *added = &e->t->added;
    size_t len;
    if (e->control < begin) {
        e->control = begin;
        e->control_found = false;
    }
    for (size_t k = 0; k < n && !e->control_found && e->control < end; k++) {
        if (e->control < ranges[k].begin) e->control = ranges[k].begin < end ? ranges[k].begin : end;
        for (size_t stop = ranges[k].end < end ? ranges[k].end : end; e->control < stop; e->control++) {
            size_t i = e->control;
            e->control_found =
                added->first[e->text[i]] & ST_ADDED_PARSE &&
                st_added_match(added, e->text + i, ranges[k].end - i, ST_ADDED_PARSE, &len, &e->spent) >= 0;
            if (e->control_found) break;
            ST_TRY(st_encoder_spend(e, 1));
        }
    }
    if (!e->control_found && e->control < end) e->control = end;
    *at = e->control_found && e->control < end ? e->control : end;
    return STRATA_OK;
}

/* *id = the token that is cut out at text[i], or -1. ranges[0..n) are those that end beyond i. A control token lies
 * within one range. Tokens that always count may cross from one part into another, but not over a control token,
 * whether it stands at i or begins behind: what a user wrote must not undo what the template wrote. */
static int encode_match_at(st_encoder *e, const strata_span *ranges, size_t n, size_t i, int32_t *id, size_t *len)
{
    const st_added *added = &e->t->added;
    bool inside = n && ranges->begin <= i;
    size_t end = inside ? ranges->end : i, wide = 0, most;
    *id = -1;
    if (inside) *id = st_added_match(added, e->text + i, end - i, ST_ADDED_ALWAYS | ST_ADDED_PARSE, len, &e->spent);
    if (end == e->len || !(added->first[e->text[i]] & ST_ADDED_ALWAYS)) return STRATA_OK;
    if (*id >= 0 && st_added_match(added, e->text + i, *len, ST_ADDED_PARSE, &wide, &e->spent) == *id) return STRATA_OK;
    int32_t across = st_added_match(added, e->text + i, e->len - i, ST_ADDED_ALWAYS, &wide, &e->spent);
    if (n && across >= 0 && i + wide > end) {
        ST_TRY(encode_next_control(e, ranges, n, i + 1, i + wide, &most));
        most -= i;
        if (most < wide) across = st_added_match(added, e->text + i, most, ST_ADDED_ALWAYS, &wide, &e->spent);
    }
    if (across < 0 || (*id >= 0 && *len >= wide)) return STRATA_OK;
    *len = wide;
    *id = across;
    return STRATA_OK;
}

/* Where the white space before `at` begins, not before `begin`. */
static size_t encode_spaces_before(const st_encoder *e, size_t begin, size_t at)
{
    while (at > begin) {
        size_t i = at - 1;
        unsigned len;
        while (i > begin && (e->text[i] & 0xc0) == 0x80) i--;
        if (!(st_uc_props(st_utf8_get(e->text + i, &len)) & ST_UC_SPACE)) break;
        at = i;
    }
    return at;
}

static size_t encode_spaces_after(const st_encoder *e, size_t at)
{
    unsigned len;
    while (at < e->len && st_uc_props(st_utf8_get(e->text + at, &len)) & ST_UC_SPACE) at += len;
    return at;
}

/* Does a character of a word stand right before or behind [from, to)? */
static bool encode_touches_word(const st_encoder *e, size_t from, size_t to)
{
    unsigned len;
    size_t i = from;
    while (i && (e->text[--i] & 0xc0) == 0x80) continue;
    return (from && st_uc_props(st_utf8_get(e->text + i, &len)) & ST_UC_WORD) ||
           (to < e->len && st_uc_props(st_utf8_get(e->text + to, &len)) & ST_UC_WORD);
}

/* Cuts added tokens out, leftmost first and the longest at each place, and hands the kind what lies between. White
 * space that a token takes is part of its span, but not of what is looked at: an added token that begins in it counts
 * too, and the text goes on behind that one. HF: added_vocabulary.rs, find_matches and extract_and_normalize. */
static int encode_fragments(st_encoder *e, const trust *trusted)
{
    const st_added *added = &e->t->added;
    const strata_span *ranges = trusted->ranges;
    size_t begin = 0, i = 0, len = 0, n = trusted->n;
    uint32_t classes = ST_ADDED_ALWAYS | (n ? ST_ADDED_PARSE : 0);
    while (i < e->len) {
        size_t start = i, stop = e->len - i < ST_LOOK_BYTES ? e->len : i + ST_LOOK_BYTES;
        while (i < stop && !(added->first[e->text[i]] & classes)) i++;
        ST_TRY(st_encoder_spend(e, i - start));
        if (i == stop) continue;
        for (; n && ranges->end <= i; n--) ranges++;
        int32_t id;
        ST_TRY(encode_match_at(e, ranges, n, i, &id, &len));
        ST_TRY(st_encoder_spend(e, MATCH_WORK));
        if (id < 0) {
            i++;
            continue;
        }
        size_t from = i, to = i + len;
        unsigned flags = added->flagged ? st_added_flags(added, e->text + i, len) : 0;
        i = to;
        if (flags & ST_ADDED_WORD && encode_touches_word(e, from, to)) continue;
        if (flags & ST_ADDED_LSTRIP) from = encode_spaces_before(e, begin, from);
        if (flags & ST_ADDED_RSTRIP) to = encode_spaces_after(e, to);
        if (from > begin) ST_TRY(e->t->kind->encode(e, begin, from));
        if (!st_tokens_push(e->out, id, from, to)) return encode_no_memory(e->err, e->len);
        begin = to;
    }
    return begin < e->len ? e->t->kind->encode(e, begin, e->len) : STRATA_OK;
}

/* ---- a text ------------------------------------------------------------------------------------------------------ */

static int encode_valid(const st_tokenizer *t, const char *text, size_t len, const trust *trusted, unsigned flags,
                        st_tokens *out, strata_error *err)
{
    st_encoder e = {.t = t, .text = (const uint8_t *)text, .len = len, .out = out, .err = err};
    bool special = flags & STRATA_TOKENIZE_ADD_SPECIAL;
    int rc = STRATA_OK;
    if (out->count && !out->cap && !st_tokens_grow(out)) return encode_no_memory(err, len);
    if (special && t->first >= 0 && !st_tokens_push(out, t->first, 0, 0)) rc = encode_no_memory(err, len);
    if (!rc) rc = encode_fragments(&e, trusted);
    if (!rc && special && t->last >= 0 && !st_tokens_push(out, t->last, len, len)) rc = encode_no_memory(err, len);
    if (t->kind->finish) t->kind->finish(&e);
    return rc;
}

/* Invalid UTF-8 under LOSSY: tokenizes the repaired text and translates ranges and spans. A part that was repaired
 * belongs to no range. */
static int encode_repaired(const st_tokenizer *t, const char *text, size_t len, trust *trusted, unsigned flags,
                           st_tokens *out, strata_error *err)
{
    st_utf8_fixed fixed;
    size_t n = out->n;
    if (!st_utf8_fix(text, len, out->mem, &fixed)) return encode_no_memory(err, len);
    for (size_t k = 0; k < trusted->n; k++) {
        strata_span *r = &trusted->ranges[k];
        *r = (strata_span){st_utf8_fixed_place(&fixed, r->begin, true), st_utf8_fixed_place(&fixed, r->end, false)};
        if (r->end < r->begin) r->end = r->begin;
    }
    int rc = encode_valid(t, fixed.text, fixed.len, trusted, flags, out, err);
    for (; !rc && out->want_spans && n < out->n; n++) {
        out->spans[n].begin = st_utf8_fixed_offset(&fixed, out->spans[n].begin, false);
        out->spans[n].end = st_utf8_fixed_offset(&fixed, out->spans[n].end, true);
    }
    st_utf8_fixed_free(&fixed, out->mem);
    return rc;
}

/* parts: those that the text was joined from, or NULL. */
static int encode_not_utf8(const strata_text_part *parts, const char *text, size_t bad, strata_error *err)
{
    size_t i = 0, at = bad;
    ST_FAIL_IF(!parts, err, STRATA_INVALID_ARG, "the text is not UTF-8: byte 0x%02x at offset %zu", (uint8_t)text[bad],
               bad);
    while (at >= parts[i].len) at -= parts[i++].len;
    ST_FAIL(err, STRATA_INVALID_ARG, "part %zu is not UTF-8: byte 0x%02x at offset %zu", i, (uint8_t)text[bad], at);
}

static int encode_text(const st_tokenizer *t, const char *text, size_t len, const strata_text_part *parts,
                       trust *trusted, unsigned flags, st_tokens *out, strata_error *err)
{
    size_t n = out->n, bad = st_utf8_check(text, len);
    int rc;
    if (bad == len)
        rc = encode_valid(t, text, len, trusted, flags, out, err);
    else if (flags & STRATA_TOKENIZE_LOSSY)
        rc = encode_repaired(t, text, len, trusted, flags, out, err);
    else
        rc = encode_not_utf8(parts, text, bad, err);
    if (rc) out->n = n;
    return rc;
}

int st_tokenizer_encode(const st_tokenizer *t, const char *text, size_t len, unsigned flags, st_tokens *out,
                        strata_error *err)
{
    ST_FAIL_IF(len > MAX_TEXT, err, STRATA_INVALID_ARG, "the text has %zu bytes, want at most %zu", len, MAX_TEXT);
    strata_span all = {0, len};
    trust trusted = {&all, len && flags & STRATA_TOKENIZE_PARSE_SPECIAL ? 1 : 0, 1};
    return encode_text(t, text, len, NULL, &trusted, flags, out, err);
}

/* ---- a text in parts --------------------------------------------------------------------------------------------- */

/* The trusted ranges of the joined text: neighbours that touch are one. False: no memory. */
static bool encode_find_trust(const strata_text_part *parts, size_t n, trust *out, st_mem *mem)
{
    for (size_t i = 0, at = 0; i < n; at += parts[i++].len) {
        if (!parts[i].trusted || !parts[i].len) continue;
        if (out->n && out->ranges[out->n - 1].end == at) {
            out->ranges[out->n - 1].end += parts[i].len;
            continue;
        }
        if (!st_grow(mem, &out->ranges, &out->cap, out->n + 1, out->n, sizeof *out->ranges)) return false;
        out->ranges[out->n++] = (strata_span){at, at + parts[i].len};
    }
    return true;
}

int st_tokenizer_encode_parts(const st_tokenizer *t, const strata_text_part *parts, size_t n, unsigned flags,
                              st_tokens *out, strata_error *err)
{
    size_t len = 0, at = 0;
    for (size_t i = 0; i < n; len += parts[i++].len)
        ST_FAIL_IF(parts[i].len > MAX_TEXT - len, err, STRATA_INVALID_ARG, "the parts have more than %zu bytes",
                   MAX_TEXT);
    char *text = st_alloc(out->mem, len + 1, 1);
    trust trusted = {0};
    int rc = text && encode_find_trust(parts, n, &trusted, out->mem) ? STRATA_OK : encode_no_memory(err, len);
    if (!rc) {
        for (size_t i = 0; i < n; at += parts[i++].len)
            if (parts[i].len) memcpy(text + at, parts[i].ptr, parts[i].len);
        rc = encode_text(t, text, len, parts, &trusted, flags, out, err);
    }
    st_free(out->mem, trusted.ranges);
    st_free(out->mem, text);
    return rc;
}
