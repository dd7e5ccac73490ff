#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void st_log_write(const st_log *log, int level, const char *fmt, ...)
{
    if (!st_log_on(log, level)) return;
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    log->fn(log->user, level, line);
}
