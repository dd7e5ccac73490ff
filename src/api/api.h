/* api.h: what the public functions share: they check their arguments here, and the rooms below do the work. */
#ifndef ST_API_API_H
#define ST_API_API_H

#include "api/opts.h"
#include "base/fp.h"
#include "engine/engine.h"

#define ST_NEED(arg) ST_FAIL_IF(!(arg), err, STRATA_INVALID_ARG, "%s: " #arg " is NULL", __func__)
#define ST_NEED_WEIGHTS(m) \
    ST_FAIL_IF((m)->vocab_only, err, STRATA_UNSUPPORTED_OP, "%s: opened for its vocabulary only", (m)->path)

#endif
