/* fuzz_json.c: any bytes as JSON, through the one reader of it and through what the program makes of a line of jsonl.
 *
 * Strict reading accepts no more than the looser kinds, and reads the same out of what it accepts; events nest; a
 * string fits the room that was promised and is UTF-8; a value that is finished ends where its events do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "cli/io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 20 };

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "fuzz_json: %s\n", what);
    abort();
}

static void check_string(const st_json *j)
{
    /* Exactly the room: a sanitizer sees the byte behind it. */
    size_t room = st_json_room(j);
    char *out = malloc(room ? room : 1);
    if (!out) return;
    size_t n = st_json_string(j, out);
    must(n <= room, "more than the room");
    must((j->flags & ST_JSON_ANY_BYTES) || st_utf8_check(out, n) == n, "a string that is not UTF-8");
    char *z = malloc(n + 1);
    if (z && !memchr(out, 0, n)) {
        if (n) memcpy(z, out, n);
        z[n] = 0;
        must(st_json_is(j, z), "a string that is not what it says");
        if (n) z[n - 1] ^= 1;
        must(!n || !z[n - 1] || !st_json_is(j, z), "a string that is something else too");
    }
    free(z);
    free(out);
}

static void check_error(const st_json *j)
{
    char why[ST_JSON_REASON];
    st_json again = *j;
    must(j->why != ST_JSON_FINE && j->at <= j->len && j->from <= j->at + 1, "an error that is nowhere");
    must(strlen(st_json_reason(j, why)) > 4, "an error without a reason");
    must(st_json_next(&again) == ST_JSON_ERROR, "an error that goes by");
}

/* Reads to the end; 1: it is JSON. *sum tells of what was read. */
static int walk(const char *text, size_t n, unsigned flags, uint64_t *sum)
{
    st_json j;
    uint32_t depth = 0;
    size_t at = 0;
    *sum = 0;
    st_json_begin(&j, text, n, DEPTH, flags);
    for (st_json_event e; (e = st_json_next(&j)) != ST_JSON_END;) {
        if (e == ST_JSON_ERROR) return check_error(&j), 0;
        must(at <= j.from && j.from < j.to && j.to <= j.at && j.at <= n, "events out of order");
        at = j.to;
        if (e == ST_JSON_ARRAY || e == ST_JSON_OBJECT) depth++;
        if (e == ST_JSON_CLOSE) must(depth-- > 0, "more ends than beginnings");
        must(depth == j.depth && depth <= DEPTH, "the depth");
        if (e == ST_JSON_STRING || e == ST_JSON_NAME) check_string(&j);
        *sum = (*sum * 31 + e) * 31 + j.from * 7 + j.to;
    }
    must(depth == 0, "an end inside");
    return 1;
}

static void check_finish(const char *text, size_t n, int good)
{
    st_json j;
    st_json_begin(&j, text, n, DEPTH, 0);
    int whole = st_json_finish(&j, st_json_next(&j)) && st_json_next(&j) == ST_JSON_END;
    must(whole == good, "finishing and reading differ");
}

static void check_lines(const char *line, size_t size)
{
    json_error e;
    buf strict = {0}, lossy = {0};
    ints ids = {0};
    int read = json_get_string(line, size, "text", false, &strict, &e);
    must(!read || json_check(line, size, &e), "a line that is no JSON");
    must(!read || json_get_string(line, size, "text", true, &lossy, &e), "lossy refuses what strict takes");
    must(!read || (strict.len == lossy.len && (!lossy.len || memcmp(strict.p, lossy.p, lossy.len) == 0)),
         "lossy and strict differ");
    must(!read || !strict.len || st_utf8_check(strict.p, strict.len) == strict.len, "a text that is not UTF-8");
    json_get_ints(line, size, "ids", &ids, &e);
    buf_free(&strict);
    buf_free(&lossy);
    ints_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    uint64_t strict, loose;
    int good = walk(text, size, 0, &strict);
    for (unsigned flags = 1; flags < 8; flags++) {
        int also = walk(text, size, flags, &loose);
        must(!good || (also && loose == strict), "a flag refuses, or changes, what strict reading takes");
    }
    check_finish(text, size, good);
    check_lines(text, size);
    return 0;
}
