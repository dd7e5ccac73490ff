/* log.c: a line for the caller's callback, in its floating-point state. */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>

#include "base/format.h"
#include "base/fp.h"

void st_log_write(const st_log *log, int level, const char *fmt, ...)
{
    if (!st_log_on(log, level)) return;
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    (void)st_vformat(line, sizeof line, fmt, ap);
    va_end(ap);
    bool inside = st_fp_out();
    log->fn(log->user, level, line);
    st_fp_back(inside);
}
