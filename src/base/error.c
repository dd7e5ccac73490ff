/* error.c: fills the caller's strata_error. */
#include "base/error.h"

#include <stdarg.h>

#include "base/format.h"

#undef st_error_set /* the analyzer's, of error.h */
int st_error_set(strata_error *err, int code, const char *fmt, ...)
{
    if (!err) return code;
    err->code = code;
    va_list ap;
    va_start(ap, fmt);
    (void)st_vformat(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    return code;
}
