/* diff.h: where a model's numbers first differ between two kernel levels. */
#ifndef ST_CHECK_DIFF_H
#define ST_CHECK_DIFF_H

#include "strata.h"

/* strata_model_diff, after the arguments were checked. */
int st_diff(const strata_model *m, const char *against, const int32_t *ids, size_t n, int precision,
            strata_write_fn write, void *user, int *first, strata_error *err);

#endif
