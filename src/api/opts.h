/* opts.h: what callers put into option structs: values of enums that exist, and nothing in reserved fields, so that
 * these can become options later. INVALID_ARG names the field. */
#ifndef ST_API_OPTS_H
#define ST_API_OPTS_H

#include "base/error.h"

/* NULL: the defaults, which are right. */
int st_opts_check_model(const strata_model_opts *o, strata_error *err);
int st_opts_check_ctx(const strata_ctx_opts *o, strata_error *err);
int st_opts_check_embed(const strata_embed_opts *o, strata_error *err);
int st_opts_check_rank(const strata_rank_opts *o, strata_error *err);
int st_opts_check_gen(const strata_gen_opts *o, strata_error *err);
int st_opts_check_chat(const strata_chat_opts *o, strata_error *err);
int st_opts_check_quantize(const strata_quantize_opts *o, strata_error *err);
int st_opts_check_verify(const strata_verify_opts *o, strata_error *err);

/* `known`: the bits that may be set. */
int st_opts_check_flags(unsigned flags, unsigned known, strata_error *err);
/* 0..last */
int st_opts_check_value(const char *name, int v, int last, strata_error *err);

#endif
