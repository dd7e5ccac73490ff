/* error.h: how a function fails.
 *
 * Internal functions return a strata_status and take the caller's strata_error, which may be NULL. ST_FAIL writes the
 * message and returns; ST_TRY passes a failure up unchanged. Messages name the thing, what was found and what was
 * wanted; format.h says what becomes of those that are too long. */
#ifndef ST_BASE_ERROR_H
#define ST_BASE_ERROR_H

#include "strata.h"

/* Fills err (if any) and returns code. */
int st_error_set(strata_error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The analyzer looks into one file at a time, and would follow paths on which a failure is none. */
#ifdef __clang_analyzer__
#define st_error_set(err, code, ...) (st_error_set((err), (code), __VA_ARGS__), (code))
#endif

#define ST_FAIL(err, code, ...) return st_error_set((err), (code), __VA_ARGS__)
#define ST_FAIL_IF(cond, err, code, ...)                           \
    do {                                                           \
        if (cond) return st_error_set((err), (code), __VA_ARGS__); \
    } while (0)
#define ST_TRY(expr)               \
    do {                           \
        int st_rc_ = (expr);       \
        if (st_rc_) return st_rc_; \
    } while (0)

#endif
