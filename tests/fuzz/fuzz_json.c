/* fuzz_json.c: any bytes as a line of jsonl. What was read as a text must be UTF-8, and strict reading accepts no more
 * than lossy. */
#include <stdlib.h>
#include <string.h>

#include "cli/io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line = (const char *)data;
    json_error e;
    buf strict = {0}, lossy = {0};
    ints ids = {0};
    int read = json_get_string(line, size, "text", false, &strict, &e);
    if (read && !json_check(line, size, &e)) abort();
    if (read && !json_get_string(line, size, "text", true, &lossy, &e)) abort();
    if (read && (strict.len != lossy.len || (lossy.len && memcmp(strict.p, lossy.p, lossy.len) != 0))) abort();
    for (const char *p = strict.p, *end = read ? p + strict.len : p; p < end;) {
        size_t n = utf8_len(p, end);
        if (!n) abort();
        p += n;
    }
    json_get_ints(line, size, "ids", &ids, &e);
    buf_free(&strict);
    buf_free(&lossy);
    ints_free(&ids);
    return 0;
}
