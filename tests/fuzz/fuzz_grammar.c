/* fuzz_grammar.c: grammars and JSON schemas on arbitrary bytes.
 *
 * The first byte chooses: bit 0 a schema instead of a grammar; the rest seeds a walk. What compiles is walked: every
 * token of a mask must be accepted by its bytes, every other refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"
#include "grammar/schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N(a) (sizeof(a) / sizeof(a)[0])

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "fuzz_grammar: %s\n", what);
    abort();
}

static const char *const words[] = {"true", "null",     "\"a",      "\":",      "ab",         "abc", "aaaa",
                                    "\\\"", "\\u0",     "00",       "1.5",      "\n ",        "  ",  ", ",
                                    "- ",   "\xc3\xa9", "\xe4\xb8", "\xad\xe6", "\x98\x80\"", "}}",  "[["};

enum { N_TOKENS = 256 + N(words) + 1 };

static const uint8_t *piece(void *user, uint32_t id, size_t *len)
{
    static uint8_t bytes[256];
    (void)user;
    *len = 0;
    if (id == N_TOKENS - 1) return bytes;
    if (id < 256) {
        bytes[id] = (uint8_t)id;
        *len = 1;
        return bytes + id;
    }
    *len = strlen(words[id - 256]);
    return (const uint8_t *)words[id - 256];
}

static int kind(void *user, uint32_t id)
{
    (void)user;
    return id == N_TOKENS - 1 ? ST_PIECE_EOG : ST_PIECE_TEXT;
}

static void walk(st_grammar *g, uint32_t seed)
{
    st_grammar_state *s, *t;
    uint32_t mask[N_TOKENS / 32 + 1];
    strata_error err;
    must(!st_grammar_state_open(g, &s, &err) && !st_grammar_state_clone(s, &t, &err), "no state");
    for (int step = 0; step < 12; step++) {
        uint32_t n = 0, next = 0;
        int rc = st_grammar_mask(s, mask, &err);
        must(rc == STRATA_OK || rc == STRATA_BAD_GRAMMAR, "a mask fails");
        if (rc) break;
        for (uint32_t id = 0; id + 1 < N_TOKENS; id++) {
            size_t len;
            const uint8_t *p = piece(NULL, id, &len);
            int set = mask[id >> 5] >> (id & 31) & 1;
            st_grammar_state_copy(t, s);
            rc = st_grammar_accept_bytes(t, p, len, &err);
            must(rc == (set ? STRATA_OK : STRATA_INVALID_ARG) || rc == STRATA_BAD_GRAMMAR, "mask and bytes differ");
            if (!set) continue;
            seed = seed * 1664525u + 1013904223u;
            if ((seed >> 8) % ++n == 0) next = id;
        }
        must((mask[(N_TOKENS - 1) >> 5] >> ((N_TOKENS - 1) & 31) & 1) == (uint32_t)st_grammar_is_done(s), "end token");
        must(n || st_grammar_is_done(s), "a dead end"); /* all bytes are tokens */
        must(!st_grammar_is_complete(s) || !n, "complete, but it goes on");
        if (!n || st_grammar_accept(s, next, &err)) break;
    }
    st_grammar_state_close(t);
    st_grammar_state_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    st_mem mem;
    st_mem_init(&mem, NULL, (uint64_t)512 << 20);
    strata_error err = {0};
    st_vocab_view view = {N_TOKENS, NULL, piece, kind};
    st_gvocab *v = NULL;
    st_grammar *g = NULL;
    char *gbnf = NULL;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    int rc = STRATA_OK;
    must(!st_gvocab_open(&view, &mem, &v, &err), "no vocabulary");
    if (data[0] & 1) {
        rc = st_schema_to_gbnf(text, len, &mem, &gbnf, &len, &err);
        text = gbnf;
    }
    if (!rc) rc = st_grammar_open(text, len, v, &mem, &g, &err);
    must(rc == STRATA_OK || (rc == STRATA_BAD_GRAMMAR && err.code == rc && err.msg[0]), "unexpected status");
    /* What a schema becomes is a grammar; it may be too large for one, or never end. */
    if (gbnf && rc && !strstr(err.msg, "more than") && !strstr(err.msg, "too ambiguous") &&
        !strstr(err.msg, "can never end") && !strstr(err.msg, "deeper") && !strstr(err.msg, "bytes") &&
        !strstr(err.msg, "no character"))
        must(0, err.msg);
    if (!rc) walk(g, data[0] >> 1);
    st_grammar_close(g);
    st_free(&mem, gbnf);
    st_gvocab_close(v);
    must(mem.used == 0, "memory is left");
    return 0;
}
