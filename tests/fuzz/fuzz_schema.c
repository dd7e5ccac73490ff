/* fuzz_schema.c: arbitrary bytes as a JSON Schema, straight through its compiler.
 *
 * The first byte seeds a walk. What compiles is a grammar, and what the grammar writes is JSON: the walk takes bytes
 * that the grammar allows until the document may end, and reads it. fuzz_grammar holds grammars against
 * vocabularies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "grammar/grammar.h"
#include "grammar/schema/schema_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TEXT = 600, WALKS = 3 };

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "fuzz_schema: %s\n", what);
    abort();
}

static uint32_t rnd(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* A byte that goes on, or 256. What closes is tried more often, so that documents come to an end. */
static unsigned next_byte(st_grammar_state *s, uint32_t *seed)
{
    static const char closing[] = "\"}],:0";
    strata_error err;
    uint8_t b;
    for (int k = 0; k < 12; k++) {
        uint32_t r = rnd(seed);
        b = k < 6 && r & 1 ? (uint8_t)closing[(r >> 1) % 6] : (uint8_t)(r >> 1);
        if (!st_grammar_accept_bytes(s, &b, 1, &err)) return b;
        if (err.code != STRATA_INVALID_ARG) return 256;
    }
    for (unsigned k = 0, from = rnd(seed); k < 256; k++) {
        b = (uint8_t)(from + k);
        if (!st_grammar_accept_bytes(s, &b, 1, &err)) return b;
        if (err.code != STRATA_INVALID_ARG) return 256;
    }
    must(st_grammar_is_done(s), "a dead end");
    return 256;
}

static void check_document(const char *text, size_t n, st_mem *mem)
{
    strata_error err = {0};
    st_json j = {.text = text, .len = n, .mem = mem, .err = &err};
    must(st_utf8_check(text, n) == n, "a document that is not UTF-8");
    /* Free names may come twice, and a reference to itself goes as deep as it likes. */
    if (st_json_parse(&j) && !strstr(err.msg, "twice") && !strstr(err.msg, "deeper")) {
        fprintf(stderr, "%.*s\n", (int)n, text);
        must(0, err.msg);
    }
    st_json_free(&j);
}

static void walk(st_grammar *g, uint32_t seed, st_mem *mem)
{
    char text[MAX_TEXT];
    st_grammar_state *s;
    strata_error err;
    must(!st_grammar_state_open(g, &s, &err), "no state");
    for (int i = 0; i < WALKS; i++) {
        size_t n = 0;
        st_grammar_state_reset(s);
        while (n < MAX_TEXT && !(st_grammar_is_done(s) && (st_grammar_is_complete(s) || rnd(&seed) % 4 == 0))) {
            unsigned b = next_byte(s, &seed);
            if (b > 255) break;
            text[n++] = (char)b;
        }
        if (st_grammar_is_done(s)) check_document(text, n, mem);
    }
    st_grammar_state_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    st_mem mem;
    st_mem_init(&mem, NULL, (uint64_t)512 << 20);
    strata_error err = {0};
    st_grammar *g = NULL;
    char *gbnf = NULL;
    size_t len = 0;
    int rc = st_schema_to_gbnf((const char *)data + 1, size - 1, &mem, &gbnf, &len, &err);
    must(rc == STRATA_OK || (rc == STRATA_BAD_GRAMMAR && err.code == rc && err.msg[0]), "unexpected status");
    must(!gbnf == !!rc, "a grammar and an error, or neither");
    if (!rc) {
        must(strlen(gbnf) == len, "the length of the grammar");
        rc = st_grammar_open(gbnf, len, NULL, &mem, &g, &err);
        must(rc == STRATA_OK || (rc == STRATA_BAD_GRAMMAR && err.code == rc && err.msg[0]), "unexpected status");
        /* It may be too large, or never end; anything else is an error of the compiler. */
        if (rc && !strstr(err.msg, "more than") && !strstr(err.msg, "too ambiguous") &&
            !strstr(err.msg, "can never end") && !strstr(err.msg, "deeper") && !strstr(err.msg, "bytes") &&
            !strstr(err.msg, "no character"))
            must(0, err.msg);
    }
    if (!rc) walk(g, data[0], &mem);
    st_grammar_close(g);
    st_free(&mem, gbnf);
    must(mem.used == 0, "memory is left");
    return 0;
}
