/* pretok_split.c: the automata of the pre-tokenisers. See pretok.h.
 *
 * The expressions are written above each function as in the model's tokenizer.json; what they say about order and
 * backtracking is worked out in the code. \p{..} and \s are Oniguruma's, as HF tokenizers 0.23.3 has it. */
#include "token/pretok.h"

#include "base/utf8.h"
#include "token/unicode_tables.h"

#define L     ST_UC_L
#define N     ST_UC_N
#define M     ST_UC_M
#define SPACE ST_UC_SPACE

/* Properties of the character at p, in valid text; *len is its length. */
static inline uint32_t split_props_at(const uint8_t *p, unsigned *len)
{
    if (p[0] < 0x80) return *len = 1, st_uc_ascii[p[0]];
    return st_uc_props(st_utf8_get(p, len));
}

/* End of the run from i of characters with one of the properties. */
static inline size_t split_run(const uint8_t *p, size_t i, size_t n, uint32_t mask)
{
    unsigned len;
    for (; i < n && split_props_at(p + i, &len) & mask; i += len) continue;
    return i;
}

/* ... with none of them. */
static inline size_t split_run_not(const uint8_t *p, size_t i, size_t n, uint32_t mask)
{
    unsigned len;
    for (; i < n && !(split_props_at(p + i, &len) & mask); i += len) continue;
    return i;
}

static inline bool split_is_newline(uint8_t c)
{
    return c == '\r' || c == '\n';
}

/* End of the character at i, or up to max of the set. */
static size_t split_run_up_to(const uint8_t *p, size_t i, size_t n, uint32_t mask, uint32_t max)
{
    unsigned len;
    for (uint32_t k = 0; i < n && (!max || k < max) && split_props_at(p + i, &len) & mask; i += len) k++;
    return i;
}

/* 's|'t|'re|'ve|'m|'ll|'d at p[0] == '\''; its length or 0. In any case: and U+017F, which folds to s. */
static size_t split_contraction(const uint8_t *p, size_t n, bool any_case)
{
    if (n < 2) return 0;
    uint8_t fold = any_case ? 0x20 : 0, a = p[1] | fold, b = n > 2 ? p[2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return any_case && n > 2 && p[1] == 0xc5 && p[2] == 0xbf ? 3 : 0;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ at a space: the run up to its last newline; else the run without its last character, which
 * goes before what follows it; else the run. */
static size_t split_spaces(const uint8_t *p, size_t n, bool newlines)
{
    size_t end = 0, last = 0, newline = 0;
    while (end < n) {
        unsigned len;
        if (!(split_props_at(p + end, &len) & SPACE)) break;
        if (split_is_newline(p[end])) newline = end + 1;
        last = end;
        end += len;
    }
    if (newlines && newline) return newline;
    return end < n && last ? last : end;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+     (HF: byte_level.rs; openai gpt2) */
size_t st_split_gpt2(const st_split_stage *s, const uint8_t *p, size_t n)
{
    (void)s;
    size_t i = 0;
    if (p[0] == '\'') {
        size_t k = split_contraction(p, n, false);
        if (k) return k;
    }
    i = p[0] == ' ' && n > 1;
    unsigned len;
    uint32_t c = split_props_at(p + i, &len);
    if (c & L) return split_run(p, i + len, n, L);
    if (c & N) return split_run(p, i + len, n, N);
    if (!(c & SPACE)) return split_run_not(p, i + len, n, SPACE | L | N);
    return split_spaces(p, n, false);
}

/* ` ?[^\s\p{L}\p{N}]+[\r\n]*` without its class (also less \p{M} where words hold marks): the end, or 0. */
static size_t split_punctuation(const st_split_stage *s, const uint8_t *p, size_t n)
{
    size_t i = p[0] == ' ';
    uint32_t not = SPACE | N | s->letters;
    if (i == n) return 0;
    size_t end = split_run_not(p, i, n, not );
    if (end == i) return 0;
    for (; s->newlines && end < n && (split_is_newline(p[end]) || (s->slash && p[end] == '/')); end++) continue;
    return end;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * (Llama-3; Qwen2 has \p{N}, Qwen3.5 [\p{L}\p{M}]+ and [^\s\p{L}\p{M}\p{N}]+, Seed-Coder no [\r\n]*) */
size_t st_split_words(const st_split_stage *s, const uint8_t *p, size_t n)
{
    unsigned len, next;
    uint32_t c = split_props_at(p, &len);
    if (c & L) return split_run(p, len, n, s->letters);
    if (p[0] == '\'' && s->contractions) {
        size_t k = split_contraction(p, n, true);
        if (k) return k;
    }
    if (c & N) return split_run_up_to(p, 0, n, N, s->max);
    if (!split_is_newline(p[0]) && len < n && split_props_at(p + len, &next) & s->letters)
        return split_run(p, len + next, n, s->letters);
    if (c & s->letters) return split_run(p, len, n, s->letters); /* a mark */
    size_t end = split_punctuation(s, p, n);
    return end ? end : split_spaces(p, n, true);
}

#define UPPER (ST_UC_LU | ST_UC_LT | ST_UC_LM | ST_UC_LO | M)
#define LOWER (ST_UC_LL | ST_UC_LM | ST_UC_LO | M)

/* [UPPER]*[LOWER]+ (first) or [UPPER]+[LOWER]* from i: the end, or 0. Both sets hold \p{Lm}\p{Lo}\p{M}, so the first
 * expression can give back characters of its run of UPPER until one of these is the one LOWER that it needs. */
static size_t split_cased_word(const uint8_t *p, size_t i, size_t n, bool first)
{
    size_t upper = i, both = 0;
    unsigned len;
    uint32_t c;
    for (; upper < n && (c = split_props_at(p + upper, &len)) & UPPER; upper += len)
        if (c & LOWER) both = upper + len;
    size_t end = split_run(p, upper, n, LOWER);
    if (end > upper) return end;
    if (first) return both;
    return upper > i ? upper : 0;
}

/* [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 * |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 * |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+     (gpt-4o; Mistral-Nemo: \p{N}, no contractions) */
size_t st_split_cased(const st_split_stage *s, const uint8_t *p, size_t n)
{
    unsigned len;
    uint32_t c = split_props_at(p, &len);
    size_t end = 0;
    for (int first = 1; first >= 0 && !end; first--) {
        if (!(c & (L | N)) && !split_is_newline(p[0])) end = split_cased_word(p, len, n, first);
        if (!end) end = split_cased_word(p, 0, n, first);
    }
    if (end)
        return s->contractions && end < n && p[end] == '\'' ? end + split_contraction(p + end, n - end, true) : end;
    if (c & N) return split_run_up_to(p, 0, n, N, s->max);
    end = split_punctuation(s, p, n);
    return end ? end : split_spaces(p, n, true);
}

/* One match at p[0], or 0. */
static size_t split_deepseek_match(const uint8_t *p, size_t n)
{
    const uint32_t word = L | M, mark = ST_UC_P | ST_UC_S;
    unsigned len, next;
    uint32_t c = split_props_at(p, &len);
    if (len == 1 && c & mark && n > 1 && (uint8_t)((p[1] | 0x20) - 'a') < 26) {
        size_t i = 2;
        while (i < n && (uint8_t)((p[i] | 0x20) - 'a') < 26) i++;
        return i;
    }
    if (!(c & (L | mark)) && !split_is_newline(p[0]) && len < n && split_props_at(p + len, &next) & word)
        return split_run(p, len + next, n, word);
    if (c & word) return split_run(p, len, n, word);
    size_t i = p[0] == ' ', end = split_run(p, i, n, mark);
    if (end > i) {
        while (end < n && split_is_newline(p[end])) end++;
        return end;
    }
    return c & SPACE ? split_spaces(p, n, true) : 0;
}

/* [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
 * |\s*[\r\n]+|\s+(?!\S)|\s+     (DeepSeek-V3; what no match covers is a piece) */
size_t st_split_deepseek(const st_split_stage *s, const uint8_t *p, size_t n)
{
    (void)s;
    size_t end = split_deepseek_match(p, n);
    for (size_t i = 0; !end && i < n; i += st_utf8_len(p[i]))
        if (i && split_deepseek_match(p + i, n - i)) return i;
    return end ? end : n;
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static bool split_in_set(const st_split_set *set, const uint8_t *p, unsigned *len)
{
    if (!set->n_ranges) return split_props_at(p, len) & set->mask;
    uint32_t cp = st_utf8_get(p, len), lo = 0, hi = set->n_ranges;
    while (lo < hi) { /* the first range that ends at cp or later */
        uint32_t mid = (lo + hi) / 2;
        if (set->ranges[mid][1] < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < set->n_ranges && set->ranges[lo][0] <= cp;
}

/* [set]+ or [set]{1,max}, isolated. */
size_t st_split_isolate(const st_split_stage *s, const uint8_t *p, size_t n)
{
    unsigned len;
    size_t i = 0;
    bool in = split_in_set(&s->set, p, &len);
    for (uint32_t k = 0; i < n && (!in || !s->max || k < s->max) && split_in_set(&s->set, p + i, &len) == in; i += len)
        k++;
    return i;
}

/* [\r\n], isolated. */
size_t st_split_newline(const st_split_stage *s, const uint8_t *p, size_t n)
{
    (void)s;
    if (split_is_newline(p[0])) return 1;
    size_t i = 1;
    while (i < n && !split_is_newline(p[i])) i++;
    return i;
}

/* \s?[set]+ at p[0]: its end or 0. */
static size_t split_spaced_match(const st_split_stage *s, const uint8_t *p, size_t n)
{
    unsigned len, next;
    size_t i = 0;
    if (split_props_at(p, &len) & SPACE && len < n && split_in_set(&s->set, p + len, &next)) i = len;
    size_t end = i;
    for (; end < n && split_in_set(&s->set, p + end, &next); end += next) continue;
    return end > i ? end : 0;
}

/* \s?[set]+, isolated. */
size_t st_split_spaced(const st_split_stage *s, const uint8_t *p, size_t n)
{
    size_t end = split_spaced_match(s, p, n);
    if (end) return end;
    for (size_t i = st_utf8_len(p[0]); i < n;) {
        unsigned len, next;
        bool space = split_props_at(p + i, &len) & SPACE;
        if (split_in_set(&s->set, p + i, &next) || (space && i + len < n && split_in_set(&s->set, p + i + len, &next)))
            return i;
        i += len;
    }
    return n;
}

/* \s+$, isolated. $ is the end of the piece: a stage before this one has cut at newlines. */
size_t st_split_trailing(const st_split_stage *s, const uint8_t *p, size_t n)
{
    (void)s;
    size_t begin = n; /* of the spaces at the end */
    while (begin) {
        size_t i = begin - 1;
        unsigned len;
        while (i && (p[i] & 0xc0) == 0x80) i--;
        if (!(split_props_at(p + i, &len) & SPACE)) break;
        begin = i;
    }
    return begin ? begin : n;
}

/* In (\s|[.,!?…。，、।۔،]): all of it is one class in Oniguruma, so the brackets and the bar count too. */
static bool split_in_bloom(const uint8_t *p, unsigned *len)
{
    if (split_props_at(p, len) & SPACE) return false;
    switch (st_utf8_get(p, len)) {
    case '(':
    case ')':
    case '|':
    case '.':
    case ',':
    case '!':
    case '?':
    case 0x60c:
    case 0x6d4:
    case 0x964:
    case 0x2026:
    case 0x3001:
    case 0x3002:
    case 0xff0c: return false;
    default: return true;
    }
}

/* ` ?[^(\s|[.,!?…。，、।۔،])]+`, isolated (BLOOM). */
size_t st_split_bloom(const st_split_stage *s, const uint8_t *p, size_t n)
{
    (void)s;
    unsigned len = 1;
    size_t i = p[0] == ' ' && n > 1 && split_in_bloom(p + 1, &len);
    if (i || split_in_bloom(p, &len)) {
        for (; i < n && split_in_bloom(p + i, &len); i += len) continue;
        return i;
    }
    for (i = st_utf8_len(p[0]); i < n; i += len)
        if (split_in_bloom(p + i, &len) || (p[i] == ' ' && i + 1 < n && split_in_bloom(p + i + 1, &(unsigned){0})))
            return i;
    return n;
}

/* Digits(individual_digits = false) after ByteLevel, as falcon has it: it sees the byte alphabet, in which the bytes
 * B2 B3 B9 BC BD BE are written as superscripts and fractions, numeric both. */
size_t st_split_mapped_digits(const st_split_stage *s, const uint8_t *p, size_t n)
{
    (void)s;
    size_t i = 0;
    bool in = false;
    for (; i < n; i++) {
        uint8_t b = p[i];
        bool digit = (b >= '0' && b <= '9') || b == 0xb2 || b == 0xb3 || b == 0xb9 || (b >= 0xbc && b <= 0xbe);
        if (!i) in = digit;
        if (digit != in) break;
    }
    return i;
}

/* [0-9][0-9][0-9], isolated. */
size_t st_split_three_digits(const st_split_stage *s, const uint8_t *p, size_t n)
{
    (void)s;
    size_t k = 0; /* digits before i */
    for (size_t i = 0; i < n; i++) {
        k = p[i] >= '0' && p[i] <= '9' ? k + 1 : 0;
        if (k == 3) return i == 2 ? 3 : i - 2;
    }
    return n;
}
