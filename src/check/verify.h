/* verify.h: whether a model gives on this machine what it is known to give, and the same bits however it is run. */
#ifndef ST_CHECK_VERIFY_H
#define ST_CHECK_VERIFY_H

#include "strata.h"

/* strata_verify, after the arguments were checked. */
int st_verify(const char *path, const strata_verify_opts *opts, strata_verify_fn report, void *user, int *passed,
              strata_error *err);

#endif
