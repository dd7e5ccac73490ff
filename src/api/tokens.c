/* tokens.c: the public functions of tokens: to ids and back. */
#include <string.h>

#include "api/api.h"

#define ALL_FLAGS (STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL | STRATA_TOKENIZE_LOSSY)

/* Hands tokens over to the caller's memory and frees them. */
static int take_tokens(st_tokens *t, int32_t *ids, strata_span *spans, size_t cap, size_t *n, strata_error *err)
{
    size_t k = t->n < cap ? t->n : cap, all = t->n;
    if (k) memcpy(ids, t->ids, k * sizeof *ids);
    if (k && spans) memcpy(spans, t->spans, k * sizeof *spans);
    *n = all;
    st_tokens_free(t);
    ST_FAIL_IF(cap && cap < all, err, STRATA_TOO_LONG, "room for %zu ids, the text has %zu tokens", cap, all);
    return STRATA_OK;
}

int strata_tokenize(const strata_model *m, const char *text, size_t len, unsigned flags, int32_t *ids,
                    strata_span *spans, size_t cap, size_t *n, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(n);
    ST_FAIL_IF(len && !text, err, STRATA_INVALID_ARG, "strata_tokenize: text is NULL but has %zu bytes", len);
    ST_FAIL_IF(cap && !ids, err, STRATA_INVALID_ARG, "strata_tokenize: ids is NULL but holds %zu", cap);
    ST_TRY(st_opts_check_flags(flags, ALL_FLAGS, err));
    st_tokens t = {.mem = m->mem, .want_spans = spans && cap, .count = !cap};
    uint64_t fp = st_fp_enter(); /* scores of a vocabulary are floats */
    int rc = st_tokenizer_encode(m->tokenizer, text ? text : "", len, flags, &t, err);
    st_fp_leave(fp);
    if (!rc) return take_tokens(&t, ids, spans, cap, n, err);
    st_tokens_free(&t);
    return rc;
}

int strata_tokenize_parts(const strata_model *m, const strata_text_part *parts, size_t n_parts, unsigned flags,
                          int32_t *ids, strata_span *spans, size_t cap, size_t *n, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(n);
    ST_FAIL_IF(n_parts && !parts, err, STRATA_INVALID_ARG, "strata_tokenize_parts: parts is NULL but has %zu", n_parts);
    for (size_t i = 0; i < n_parts; i++)
        ST_FAIL_IF(parts[i].len && !parts[i].ptr, err, STRATA_INVALID_ARG,
                   "strata_tokenize_parts: part %zu is NULL but has %zu bytes", i, parts[i].len);
    ST_FAIL_IF(cap && !ids, err, STRATA_INVALID_ARG, "strata_tokenize_parts: ids is NULL but holds %zu", cap);
    ST_TRY(st_opts_check_flags(flags, ALL_FLAGS, err));
    st_tokens t = {.mem = m->mem, .want_spans = spans && cap, .count = !cap};
    uint64_t fp = st_fp_enter();
    int rc = st_tokenizer_encode_parts(m->tokenizer, parts, n_parts, flags, &t, err);
    st_fp_leave(fp);
    if (!rc) return take_tokens(&t, ids, spans, cap, n, err);
    st_tokens_free(&t);
    return rc;
}

int strata_detokenize_flags(const strata_model *m, const int32_t *ids, size_t n, unsigned flags, char *text, size_t cap,
                            size_t *len, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(len);
    ST_FAIL_IF(flags & ~(unsigned)STRATA_DETOKENIZE_SKIP_SPECIAL, err, STRATA_INVALID_ARG,
               "flags: 0x%x, want 0 or STRATA_DETOKENIZE_SKIP_SPECIAL", flags);
    ST_FAIL_IF(n && !ids, err, STRATA_INVALID_ARG, "strata_detokenize: ids is NULL but has %zu", n);
    ST_FAIL_IF(cap && !text, err, STRATA_INVALID_ARG, "strata_detokenize: text is NULL but holds %zu", cap);
    uint64_t fp = st_fp_enter();
    int rc = flags & STRATA_DETOKENIZE_SKIP_SPECIAL
                 ? st_tokenizer_decode_text(m->tokenizer, ids, n, text, cap, len, err)
                 : st_tokenizer_decode(m->tokenizer, ids, n, text, cap, len, err);
    st_fp_leave(fp);
    ST_TRY(rc);
    ST_FAIL_IF(cap && cap < *len, err, STRATA_TOO_LONG, "room for %zu bytes, the text has %zu", cap, *len);
    return STRATA_OK;
}

int strata_detokenize(const strata_model *m, const int32_t *ids, size_t n, char *text, size_t cap, size_t *len,
                      strata_error *err)
{
    return strata_detokenize_flags(m, ids, n, 0, text, cap, len, err);
}

static int tokens_check_id(const strata_model *m, int32_t id, strata_error *err)
{
    uint32_t n = st_tokenizer_info(m->tokenizer)->n_vocab;
    ST_FAIL_IF(id < 0 || (uint32_t)id >= n, err, STRATA_INVALID_ARG, "id %d: the vocabulary has 0..%u", id, n - 1);
    return STRATA_OK;
}

int strata_token_piece(const strata_model *m, int32_t id, const char **piece, size_t *len, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(piece);
    ST_NEED(len);
    ST_TRY(tokens_check_id(m, id, err));
    st_str s = st_tokenizer_piece(m->tokenizer, id);
    *piece = s.ptr;
    *len = s.len;
    return STRATA_OK;
}

int strata_token_get(const strata_model *m, int32_t id, strata_token *token, char *bytes, size_t cap, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(token);
    ST_FAIL_IF(cap && !bytes, err, STRATA_INVALID_ARG, "strata_token_get: bytes is NULL but holds %zu", cap);
    ST_TRY(tokens_check_id(m, id, err));
    *token = (strata_token){.kind = st_tokenizer_type(m->tokenizer, id),
                            .ends = st_tokenizer_is_end(m->tokenizer, id),
                            .n_bytes = st_tokenizer_raw(m->tokenizer, id, bytes, cap)};
    ST_FAIL_IF(cap && cap < token->n_bytes, err, STRATA_TOO_LONG, "room for %zu bytes, token %d has %zu", cap, id,
               token->n_bytes);
    return STRATA_OK;
}
