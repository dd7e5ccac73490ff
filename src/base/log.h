/* log.h: lines to the caller's callback. Formatting happens only when somebody listens at that level. */
#ifndef ST_BASE_LOG_H
#define ST_BASE_LOG_H

#include "strata.h"

typedef struct st_log {
    strata_log_fn fn;
    void *user;
    int level;
} st_log;

static inline int st_log_on(const st_log *log, int level)
{
    return log && log->fn && level <= log->level;
}

void st_log_write(const st_log *log, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
