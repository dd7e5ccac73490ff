/* opts.c: the rules of the fields of each option struct. */
#include "api/opts.h"

#include <stdbool.h>
#include <string.h>

/* A field with a rule. */
typedef struct opts_field {
    const char *name;
    size_t at, bytes;
    int last; /* of an enum, 0..last; RESERVED: all zero */
} opts_field;

enum { RESERVED = -1 };

#define ENUM(type, field, last)                                         \
    {                                                                   \
#field, offsetof(type, field), sizeof(((type *)0)->field), last \
    }
#define SPARE(type, field) ENUM(type, field, RESERVED)

static const opts_field of_model[] = {ENUM(strata_model_opts, log_level, STRATA_LOG_TRACE),
                                      SPARE(strata_model_opts, reserved)};
static const opts_field of_ctx[] = {ENUM(strata_ctx_opts, precision, STRATA_PRECISION_BF16),
                                    ENUM(strata_ctx_opts, kv, STRATA_KV_Q8), SPARE(strata_ctx_opts, reserved)};
static const opts_field of_embed[] = {
    ENUM(strata_embed_opts, role, STRATA_ROLE_DOCUMENT), ENUM(strata_embed_opts, pooling, STRATA_POOLING_RANK),
    ENUM(strata_embed_opts, normalize, STRATA_NORMALIZE_NONE), ENUM(strata_embed_opts, truncate, STRATA_TRUNCATE_START),
    SPARE(strata_embed_opts, reserved)};
static const opts_field of_rank[] = {ENUM(strata_rank_opts, truncate, STRATA_TRUNCATE_START),
                                     ENUM(strata_rank_opts, truncate_query, STRATA_TRUNCATE_START),
                                     SPARE(strata_rank_opts, reserved_int), SPARE(strata_rank_opts, reserved)};
static const opts_field of_gen[] = {ENUM(strata_gen_opts, think, STRATA_THINK_FREE),
                                    SPARE(strata_gen_opts, reserved_int), SPARE(strata_gen_opts, reserved)};
static const opts_field of_chat[] = {SPARE(strata_chat_opts, reserved)};
static const opts_field of_quantize[] = {SPARE(strata_quantize_opts, reserved)};
static const opts_field of_verify[] = {SPARE(strata_verify_opts, reserved)};

int st_opts_check_value(const char *name, int v, int last, strata_error *err)
{
    ST_FAIL_IF(v < 0 || v > last, err, STRATA_INVALID_ARG, "%s: no such value as %d", name, v);
    return STRATA_OK;
}

int st_opts_check_flags(unsigned flags, unsigned known, strata_error *err)
{
    ST_FAIL_IF(flags & ~known, err, STRATA_INVALID_ARG, "flags: no such flag as 0x%x", flags & ~known);
    return STRATA_OK;
}

static int opts_check_reserved(const opts_field *f, const uint8_t *p, strata_error *err)
{
    const size_t unit = f->bytes % sizeof(uint64_t) ? sizeof(int) : sizeof(uint64_t);
    for (size_t at = 0; at < f->bytes; at++) {
        if (p[at] == 0) continue;
        if (unit == f->bytes) ST_FAIL(err, STRATA_INVALID_ARG, "%s is not 0: it is no option yet", f->name);
        ST_FAIL(err, STRATA_INVALID_ARG, "%s[%zu] is not 0: it is no option yet", f->name, at / unit);
    }
    return STRATA_OK;
}

static int opts_check(const void *opts, const opts_field *fields, size_t n, strata_error *err)
{
    for (size_t i = 0; opts && i < n; i++) {
        const opts_field *f = &fields[i];
        const uint8_t *p = (const uint8_t *)opts + f->at;
        if (f->last == RESERVED) {
            ST_TRY(opts_check_reserved(f, p, err));
            continue;
        }
        int v;
        memcpy(&v, p, sizeof v);
        ST_TRY(st_opts_check_value(f->name, v, f->last, err));
    }
    return STRATA_OK;
}

#define CHECKER(name)                                                               \
    int st_opts_check_##name(const strata_##name##_opts *o, strata_error *err)      \
    {                                                                               \
        return opts_check(o, of_##name, sizeof of_##name / sizeof *of_##name, err); \
    }

CHECKER(model)
CHECKER(ctx)
CHECKER(embed)
CHECKER(rank)
CHECKER(gen)
CHECKER(chat)
CHECKER(quantize)
CHECKER(verify)
