/* grammar_state.c: where a text stands in a grammar. */
#include "grammar/grammar_internal.h"

int st_grammar_state_open(st_grammar *g, st_grammar_state **out, strata_error *err)
{
    st_grammar_state *s = st_calloc(g->mem, 1, sizeof *s);
    ST_FAIL_IF(!s, err, STRATA_NO_MEMORY, "no memory for the states of a grammar");
    s->g = g;
    s->config = g->initial;
    s->next = g->states;
    if (s->next) s->next->prev = s;
    g->states = s;
    *out = s;
    return STRATA_OK;
}

int st_grammar_state_clone(const st_grammar_state *from, st_grammar_state **out, strata_error *err)
{
    ST_TRY(st_grammar_state_open(from->g, out, err));
    st_grammar_state_copy(*out, from);
    return STRATA_OK;
}

void st_grammar_state_copy(st_grammar_state *to, const st_grammar_state *from)
{
    to->config = from->config;
    to->ended = from->ended;
}

void st_grammar_state_reset(st_grammar_state *s)
{
    s->config = s->g->initial;
    s->ended = false;
}

void st_grammar_state_close(st_grammar_state *s)
{
    if (!s) return;
    if (s->prev)
        s->prev->next = s->next;
    else
        s->g->states = s->next;
    if (s->next) s->next->prev = s->prev;
    st_free(s->g->mem, s);
}

bool st_grammar_is_done(const st_grammar_state *s)
{
    return s->g->configs[s->config].done;
}

bool st_grammar_is_complete(const st_grammar_state *s)
{
    const st_gconfig *c = &s->g->configs[s->config];
    return s->ended || (c->done && c->n == 0);
}

int st_grammar_accept_bytes(st_grammar_state *s, const uint8_t *p, size_t n, strata_error *err)
{
    st_grammar *g = s->g;
    ST_FAIL_IF(s->ended && n, err, STRATA_INVALID_ARG, "the text has ended, want no more of it");
    uint32_t at = s->config;
    for (size_t i = 0; i < n; i++) {
        if (i % 1024 == 0) { /* a budget for each stretch; a purge in it renumbers */
            g->pin = at;
            ST_TRY(st_grammar_begin(g, err));
            at = g->pin;
        }
        ST_TRY(st_grammar_delta(g, at, p[i], &at, err));
        ST_FAIL_IF(at == ST_G_DEAD, err, STRATA_INVALID_ARG,
                   "byte %zu (0x%02x) of the text is not what the grammar wants", i, p[i]);
    }
    s->config = at;
    return STRATA_OK;
}
