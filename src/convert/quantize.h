/* quantize.h: a file -> a file with its matrices in other types, tensor by tensor. */
#ifndef ST_CONVERT_QUANTIZE_H
#define ST_CONVERT_QUANTIZE_H

#include "strata.h"

/* As strata_quantize, whose arguments are not NULL but for opts. */
int st_quantize_file(const char *in, const char *out, const char *type, const strata_quantize_opts *opts,
                     strata_error *err);

#endif
