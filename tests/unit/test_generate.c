/* test_generate.c: generation through the public interface, on a tiny random decoder: what it says is noise, but the
 * rules hold. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "strata.h"
#include "support/sanitized.h"

#define MODEL STRATA_SOURCE_DIR "/tests/data/tiny/llama-q8_0.gguf"
enum { MAX = 64 };

typedef struct out {
    char text[4096];
    size_t len;
    int32_t ids[MAX];
    double logprobs[MAX];
    uint32_t n, n_top, stop_after;
    int ended; /* it was said that the generation ends */
    volatile int cancel;
} out;

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *t)
{
    out *o = user;
    assert_false(o->ended);
    assert_true(o->len + len < sizeof o->text);
    assert_int_equal(st_utf8_check(text, len), len);
    memcpy(o->text + o->len, text, len);
    o->len += len;
    o->text[o->len] = 0;
    if (!t) return 0;
    assert_true(o->n < MAX);
    o->logprobs[o->n] = t->logprob;
    o->n_top = t->n_top;
    for (uint32_t i = 1; i < t->n_top; i++) assert_true(t->top[i].logprob <= t->top[i - 1].logprob);
    o->ids[o->n++] = t->id;
    return o->ended = o->stop_after && o->n == o->stop_after;
}

typedef struct fixture {
    strata_model *m;
    strata_ctx *c;
    strata_error e;
} fixture;

static void open_threads(fixture *f, uint32_t n_threads, uint32_t n_ctx, int kv)
{
    strata_ctx_opts o = {.n_threads = n_threads, .n_seqs = 2, .n_ctx = n_ctx, .kv = kv};
    if (strata_model_open(MODEL, NULL, &f->m, &f->e)) fail_msg("%s", f->e.msg);
    if (strata_ctx_open(f->m, &o, &f->c, &f->e)) fail_msg("%s", f->e.msg);
}

static void shut(fixture *f)
{
    strata_ctx_close(f->c);
    strata_model_close(f->m);
}

static const int32_t prompt[] = {1, 79, 178, 269, 170, 163, 12, 200};
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

static strata_gen_result go(fixture *f, strata_gen_opts g, out *o)
{
    strata_gen_result r;
    volatile int *cancel = &o->cancel;
    *o = (out){.stop_after = o->stop_after};
    g.on_text = on_text;
    g.user = o;
    g.ignore_end = 1;
    g.cancel = cancel;
    if (strata_generate(f->c, 0, prompt, N_PROMPT, &g, &r, &f->e)) fail_msg("%s", f->e.msg);
    assert_int_equal(r.n_prompt, N_PROMPT);
    assert_int_equal(r.n_new, o->n);
    return r;
}

static strata_gen_opts greedy(uint32_t n)
{
    strata_gen_opts g = strata_gen_default();
    g.temperature = 0;
    g.max_tokens = n;
    return g;
}

/* Each token is the largest logit of the cache-less model, whatever threads and chunks. */
static void test_greedy(void **state)
{
    (void)state;
    out first = {0};
    for (uint32_t threads = 1; threads <= 3; threads++) {
        fixture f = {0};
        open_threads(&f, threads, 0, STRATA_KV_F32);
        for (uint32_t chunk = 0; chunk < 4; chunk++) {
            out o = {0};
            strata_gen_opts g = greedy(8);
            g.chunk = chunk;
            strata_gen_result r = go(&f, g, &o);
            assert_int_equal(r.finish, STRATA_FINISH_LENGTH);
            if (first.n == 0) first = o;
            assert_memory_equal(o.ids, first.ids, sizeof o.ids);
            assert_string_equal(o.text, first.text);
        }
        strata_model_info info;
        strata_model_get_info(f.m, &info);
        int32_t ids[N_PROMPT + 8];
        memcpy(ids, prompt, sizeof prompt);
        float *logits = malloc((N_PROMPT + 8) * info.n_vocab * sizeof *logits);
        for (uint32_t i = 0; i < 8; i++) {
            size_t rows, cols, n = N_PROMPT + i;
            if (strata_eval(f.c, ids, NULL, n, STRATA_EVAL_LOGITS, 0, logits, n * info.n_vocab, &rows, &cols, &f.e))
                fail_msg("%s", f.e.msg);
            const float *row = logits + (n - 1) * cols;
            int32_t best = 0;
            for (uint32_t k = 1; k < cols; k++)
                if (row[k] > row[best]) best = (int32_t)k;
            assert_int_equal(best, first.ids[i]);
            ids[n] = best;
        }
        free(logits);
        shut(&f);
    }
}

static void test_sampling(void **state)
{
    (void)state;
    fixture f = {0};
    open_threads(&f, 2, 0, STRATA_KV_F16);
    strata_logit_bias ban = {.bias = -INFINITY};
    strata_gen_opts cases[7];
    for (int i = 0; i < 7; i++) cases[i] = strata_gen_default();
    cases[1].top_k = 0, cases[1].top_p = 1, cases[1].min_p = 0;
    cases[2].typical_p = 0.7f;
    cases[3].mirostat = 1;
    cases[4].mirostat = 2;
    cases[5].repeat_penalty = 1.3f, cases[5].frequency_penalty = 0.2f, cases[5].presence_penalty = 0.1f;
    cases[6].logprobs = 1, cases[6].n_top = 5;
    for (int i = 0; i < 7; i++) {
        out a = {0}, b = {0}, c = {0};
        cases[i].max_tokens = 16;
        cases[i].seed = 7;
        go(&f, cases[i], &a);
        go(&f, cases[i], &b);
        assert_memory_equal(a.ids, b.ids, sizeof a.ids);
        cases[i].seed = 8;
        go(&f, cases[i], &c);
        assert_memory_not_equal(a.ids, c.ids, sizeof a.ids);
        if (i == 6) {
            assert_int_equal(a.n_top, 5);
            for (uint32_t k = 0; k < a.n; k++) assert_true(a.logprobs[k] < 0);
        }
        ban.id = a.ids[0];
        cases[i].seed = 7;
        cases[i].logit_bias = &ban;
        cases[i].n_logit_bias = 1;
        go(&f, cases[i], &b);
        for (uint32_t k = 0; k < b.n; k++) assert_int_not_equal(b.ids[k], ban.id);
    }
    shut(&f);
}

static void test_endings(void **state)
{
    (void)state;
    fixture f = {0};
    open_threads(&f, 1, 24, STRATA_KV_Q8);
    out o = {0}, whole = {0};
    assert_int_equal(go(&f, greedy(0), &whole).finish, STRATA_FINISH_CONTEXT);
    assert_int_equal(whole.n + N_PROMPT, 24);

    strata_gen_opts g = greedy(0);
    int32_t stop_token = whole.ids[5];
    g.stop_tokens = &stop_token;
    g.n_stop_tokens = 1;
    assert_int_equal(go(&f, g, &o).finish, STRATA_FINISH_STOP);
    assert_true(o.n <= 5);

    /* A stop text that spans tokens never shows, not even its beginning. */
    char stop[8] = {0};
    size_t from = 3, run = 0;
    while (run < 4 && from + run < whole.len)
        if ((unsigned char)whole.text[from + run] < 0x80) /* bytes that are no UTF-8 come out as others */
            run++;
        else
            from += run + 1, run = 0;
    assert_int_equal(run, 4);
    memcpy(stop, whole.text + from, run);
    const char *stops[] = {"no such text", stop};
    g = greedy(0);
    g.stop = stops;
    g.n_stop = 2;
    assert_int_equal(go(&f, g, &o).finish, STRATA_FINISH_STOP);
    const char *at = strstr(whole.text, stop);
    assert_int_equal(o.len, (size_t)(at - whole.text));
    assert_memory_equal(o.text, whole.text, o.len);

    o.stop_after = 3;
    assert_int_equal(go(&f, greedy(0), &o).finish, STRATA_FINISH_CALLER);
    assert_int_equal(o.n, 3);

    /* Nothing comes after that, also where a text was held back that might have become a stop. */
    do {
        o.stop_after++;
        go(&f, greedy(0), &o);
    } while (!o.len || (unsigned char)o.text[o.len - 1] >= 0x80); /* a letter, for sure */
    snprintf(stop, sizeof stop, "%c!?", o.text[o.len - 1]);
    size_t shown = o.len - 1;
    g = greedy(0);
    g.stop = stops;
    g.n_stop = 2;
    assert_int_equal(go(&f, g, &o).finish, STRATA_FINISH_CALLER);
    assert_int_equal(o.n, o.stop_after);
    assert_int_equal(o.len, shown);
    shut(&f);
}

static void test_grammar(void **state)
{
    (void)state;
    fixture f = {0};
    open_threads(&f, 2, 0, STRATA_KV_F16);
    strata_gen_opts g = strata_gen_default();
    g.temperature = 1.5f;
    g.max_tokens = 60;
    g.grammar = "root ::= \"[\" [0-9] (\",\" [0-9]){0,5} \"]\"";
    for (uint64_t seed = 0; seed < 8; seed++) {
        out o = {0};
        g.seed = seed;
        strata_gen_result r = go(&f, g, &o);
        assert_true(r.finish == STRATA_FINISH_GRAMMAR || r.finish == STRATA_FINISH_END);
        assert_int_equal(r.unfinished, 0);
        assert_int_equal(o.text[0], '[');
        assert_int_equal(o.text[o.len - 1], ']');
        for (size_t i = 1; i + 1 < o.len; i++)
            assert_true(i % 2 ? o.text[i] >= '0' && o.text[i] <= '9' : o.text[i] == ',');
    }
    /* Cut inside an array; where it may end as well as go on; without a grammar. */
    static const char *const cut[] = {"root ::= \"[\" [0-9]{9,} \"]\"", "root ::= [a-z]*", NULL};
    for (int i = 0; i < 3; i++) {
        out o = {0};
        strata_gen_opts short_of = g;
        short_of.max_tokens = 3;
        short_of.grammar = cut[i];
        strata_gen_result r = go(&f, short_of, &o);
        assert_int_equal(r.finish, STRATA_FINISH_LENGTH);
        assert_int_equal(r.unfinished, i == 0);
    }
    g.grammar = NULL;
    g.json_schema = "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":2}";
    out json = {0};
    go(&f, g, &json);
    assert_int_equal(json.text[0], '[');
    assert_non_null(strstr(json.text, "e")); /* true or false */
    g.json_schema = NULL;
    strata_gen_result r;
    g.grammar = "root ::= \"a";
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_BAD_GRAMMAR);
    assert_int_equal(strncmp(f.e.msg, "grammar 1:", 10), 0);
    /* No line and column of a grammar that nobody wrote. */
    g.grammar = NULL;
    g.json_schema = "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}";
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_BAD_GRAMMAR);
    assert_int_equal(strncmp(f.e.msg, "the schema's grammar: rule ", 27), 0);
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, NULL), STRATA_BAD_GRAMMAR);
    shut(&f);
}

/* A model that writes nothing but bytes above 0x7f, which seldom make characters: on_text gets whole ones and
 * U+FFFD. */
static void test_invalid_bytes(void **state)
{
    (void)state;
    fixture f = {0};
    open_threads(&f, 1, 0, STRATA_KV_F16);
    strata_logit_bias bias[128];
    size_t n_bytes = 0, replaced = 0;
    for (int32_t id = 0; n_bytes < 128; id++) {
        const char *piece;
        size_t len;
        unsigned byte;
        char spelling[8] = {0};
        if (strata_token_piece(f.m, id, &piece, &len, &f.e)) break;
        if (len != 6) continue;
        memcpy(spelling, piece, len);
        if (sscanf(spelling, "<0x%2X>", &byte) == 1 && byte >= 0x80)
            bias[n_bytes++] = (strata_logit_bias){.id = id, .bias = 100};
    }
    assert_int_equal(n_bytes, 128);
    for (uint64_t seed = 0; seed < 20; seed++) {
        out o = {0};
        strata_gen_opts g = strata_gen_default();
        g.max_tokens = MAX;
        g.temperature = 2;
        g.top_k = 0, g.top_p = 1, g.min_p = 0;
        g.seed = seed;
        g.logit_bias = bias;
        g.n_logit_bias = n_bytes;
        go(&f, g, &o);
        for (const char *p = o.text; (p = strstr(p, "\xef\xbf\xbd")); p += 3) replaced++;
    }
    assert_true(replaced > 20 * MAX / 2);
    shut(&f);
}

/* Bytes in a row of a character: what a cut leaves of it is not shown, whatever ends the text. */
static void test_cut_character(void **state)
{
    (void)state;
    fixture f = {0};
    open_threads(&f, 1, 0, STRATA_KV_F16);
    strata_gen_opts g = greedy(0);
    /* The vocabulary has the bytes of these as tokens alone. */
    static const char *const grammars[] = {"root ::= \"a\" [\U0001F600-\U0001F64F] \"b\"",
                                           "root ::= \"a\xe4\xb8\xad\""};
    for (size_t i = 0; i < 2; i++)
        for (uint32_t n = 1; n <= 7; n++) {
            out o = {0};
            g.grammar = grammars[i];
            g.max_tokens = n;
            strata_gen_result r = go(&f, g, &o);
            assert_null(strstr(o.text, "\xef\xbf\xbd"));
            assert_true(o.len == 1 || (o.len > 3 && r.n_new > 3) || (o.len == 0 && n == 1));
        }
    /* The callback ends it after each token in turn. */
    for (uint32_t n = 1; n <= 5; n++) {
        out o = {.stop_after = n};
        g.max_tokens = 0;
        go(&f, g, &o);
        assert_null(strstr(o.text, "\xef\xbf\xbd"));
    }
    shut(&f);
}

/* ---- thinking ---------------------------------------------------------------------------------------------------- */

enum { N_THINK = 64 };

/* Tokens of a text, special ones too. */
static size_t ids_of(fixture *f, const char *text, int32_t ids[N_THINK])
{
    size_t n;
    if (strata_tokenize(f->m, text, strlen(text), STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL, ids,
                        NULL, N_THINK, &n, &f->e))
        fail_msg("%s", f->e.msg);
    return n;
}

static strata_gen_result think(fixture *f, const char *prompt_text, strata_gen_opts g, out *o)
{
    int32_t ids[N_THINK];
    size_t n = ids_of(f, prompt_text, ids);
    strata_gen_result r;
    *o = (out){0};
    g.on_text = on_text;
    g.user = o;
    if (strata_generate(f->c, 0, ids, n, &g, &r, &f->e)) fail_msg("%s: %s", prompt_text, f->e.msg);
    assert_int_equal(r.n_new, o->n);
    return r;
}

/* Which prompts leave a block open: then the first tokens are free, and n_think counts them. */
static void test_think_opened(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        int open;
    } c[] = {
        {"a <think>", 1},
        {"a <think>\n", 1},
        {"a <think>\n\n\t\r\n", 1},
        {"a <think>\n\n</think>\n\n", 0},
        {"say <think> twice", 0},
        {"<think> x", 0},
        {"x [THINK]", 1},
        {"x [THINK]y[/THINK]", 0},
        {"<|START_THINKING|>", 1},
        {"<|START_THINKING|><|END_THINKING|>", 0},
        {"<seed:think>", 1},
        {"\xe2\x97\x81think\xe2\x96\xb7", 1},
        {"\xe2\x97\x81think\xe2\x96\xb7\xe2\x97\x81/think\xe2\x96\xb7", 0},
        {"<|turn>model\n<|channel>thought\n", 1},
        {"<|turn>model\n<|channel>thought\n<channel|>", 0},
        {"<reasoning>\n", 1},
        {"<thought>\n", 1},
        {"<thinking>", 1},
        {"<thinkin>", 0},
        {"<|start|>assistant", 1},
        {"<|start|>assistant<|channel|>analysis<|message|>", 1},
        {"<|start|>assistant<|channel|>final<|message|>", 0},
        {"<|start|>user<|message|><|start|>assistant<|end|>", 0},
        {"x", 0},
    };
    fixture f = {0};
    open_threads(&f, 1, 0, STRATA_KV_F16);
    strata_gen_opts g = greedy(5);
    g.grammar = "root ::= [0-9]{9}";
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        out o;
        for (int mode = STRATA_THINK_AUTO; mode <= STRATA_THINK_FREE; mode++) {
            g.think = mode;
            strata_gen_result r = think(&f, c[i].prompt, g, &o);
            int free = mode == STRATA_THINK_FREE || (mode == STRATA_THINK_AUTO && c[i].open);
            if (r.n_think != (free ? r.n_new : 0))
                fail_msg("'%s', %d: %u of %u", c[i].prompt, mode, r.n_think, r.n_new);
            assert_int_equal(r.unfinished, 1);
            assert_int_equal(strspn(o.text, "0123456789") == o.len, !free);
        }
        g.grammar = NULL; /* without one nothing waits */
        g.think = STRATA_THINK_FREE;
        assert_int_equal(think(&f, c[i].prompt, g, &o).n_think, 0);
        g.grammar = "root ::= [0-9]{9}";
    }
    g.think = 3;
    strata_gen_result r;
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_INVALID_ARG);
    g.think = STRATA_THINK_FREE;
    g.think_end = "";
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_INVALID_ARG);
    g.think_end = "\xff";
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_INVALID_ARG);
    shut(&f);
}

/* Whatever is written behind the end, in the same token or later, is white space and then the grammar's. The ends are
 * parts of this vocabulary's tokens, t1 to t60 beside the bytes. */
static void test_think_ends(void **state)
{
    (void)state;
    fixture f = {0};
    open_threads(&f, 1, 0, STRATA_KV_F16);
    size_t ended = 0, inside = 0;
    static const char *const ends[] = {"1", "t1", "t2", "3", "t4", "2t", "t"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (uint64_t seed = 0; seed < 40; seed++) {
            out o = {0};
            strata_gen_opts g = strata_gen_default();
            g.temperature = 2;
            g.top_k = 0, g.top_p = 1, g.min_p = 0;
            g.seed = seed;
            g.max_tokens = MAX;
            g.grammar = "root ::= [0-3] \"t5\" | \"t\" [0-9]{2}";
            g.think = STRATA_THINK_FREE;
            g.think_end = ends[i];
            strata_gen_result r = go(&f, g, &o);
            const char *at = NULL; /* the text may hold NUL */
            for (size_t k = 0; k + strlen(ends[i]) <= o.len && !at; k++)
                if (memcmp(o.text + k, ends[i], strlen(ends[i])) == 0) at = o.text + k;
            if (!at) {
                assert_true(r.unfinished && r.finish == STRATA_FINISH_LENGTH && r.n_think == r.n_new);
                continue;
            }
            /* The text as far as the tokens that thought: its end is in the last of them. */
            at += strlen(ends[i]);
            const char *rest = at + strspn(at, " \n\r\t");
            assert_true(r.n_think > 0 && r.n_think <= r.n_new);
            if (!r.unfinished) {
                assert_true(strlen(rest) == 3);
                assert_true(rest[0] == 't' ? isdigit(rest[1]) && isdigit(rest[2])
                                           : rest[0] <= '3' && rest[1] == 't' && rest[2] == '5');
                ended++;
            }
            int32_t last = o.ids[r.n_think - 1];
            char piece[64];
            size_t len;
            if (strata_detokenize(f.m, &last, 1, piece, sizeof piece, &len, &f.e)) fail_msg("%s", f.e.msg);
            inside += len > strlen(ends[i]) && memcmp(piece + len - strlen(ends[i]), ends[i], strlen(ends[i])) != 0;
        }
    if (ended <= 100 || inside <= 20) fail_msg("%zu ended, %zu inside a token", ended, inside);
    shut(&f);
}

static void test_sequences(void **state)
{
    (void)state;
    fixture f = {0};
    open_threads(&f, 2, 0, STRATA_KV_F32);
    strata_model_info info;
    strata_model_get_info(f.m, &info);
    const float *l[2], *one;
    float *alone = malloc(2 * info.n_vocab * sizeof *alone);
    const int32_t a[] = {1, 5, 9, 14}, b[] = {1, 200, 100};
    if (strata_ctx_sync(f.c, 0, a, 4, 0, NULL, &one, &f.e)) fail_msg("%s", f.e.msg);
    memcpy(alone, one, info.n_vocab * sizeof *alone);
    if (strata_ctx_sync(f.c, 1, b, 3, 0, NULL, &one, &f.e)) fail_msg("%s", f.e.msg);
    memcpy(alone + info.n_vocab, one, info.n_vocab * sizeof *alone);
    /* The same last tokens, two sequences in one pass. */
    if (strata_ctx_sync(f.c, 0, a, 3, 0, NULL, &one, &f.e) || strata_ctx_sync(f.c, 1, b, 2, 0, NULL, &one, &f.e))
        fail_msg("%s", f.e.msg);
    if (strata_ctx_step(f.c, (const uint32_t[]){0, 1}, (const int32_t[]){14, 100}, 2, NULL, l, &f.e))
        fail_msg("%s", f.e.msg);
    assert_memory_equal(l[0], alone, info.n_vocab * sizeof *alone);
    assert_memory_equal(l[1], alone + info.n_vocab, info.n_vocab * sizeof *alone);
    assert_int_equal(strata_ctx_step(f.c, (const uint32_t[]){0, 0}, (const int32_t[]){1, 1}, 2, NULL, l, &f.e),
                     STRATA_INVALID_ARG);
    free(alone);
    shut(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    fixture f = {0};
    strata_gen_result r;
    open_threads(&f, 1, 16, STRATA_KV_F16);
    strata_gen_opts g = strata_gen_default();
    int32_t many[32] = {0}, wild = 1 << 20;
    assert_int_equal(strata_generate(f.c, 5, prompt, N_PROMPT, &g, &r, &f.e), STRATA_INVALID_ARG);
    assert_int_equal(strata_generate(f.c, 0, prompt, 0, &g, &r, &f.e), STRATA_EMPTY_PROMPT);
    assert_int_equal(strata_generate(f.c, 0, many, 32, &g, &r, &f.e), STRATA_TOO_LONG);
    assert_int_equal(strata_generate(f.c, 0, &wild, 1, &g, &r, &f.e), STRATA_INVALID_ARG);
    g.top_p = 2;
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_INVALID_ARG);
    g = strata_gen_default();
    const char *empty[] = {""};
    g.stop = empty;
    g.n_stop = 1;
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_INVALID_ARG);
    const char *half[] = {"ok", "\xa9"}; /* would cut characters in two */
    g.stop = half;
    g.n_stop = 2;
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_INVALID_ARG);
    assert_non_null(strstr(f.e.msg, "stop text 1"));
    g = strata_gen_default();
    volatile int cancel = 1;
    g.cancel = &cancel;
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_CANCELLED);
    g = strata_gen_default();
    g.deadline_ms = 1e-6;
    assert_int_equal(strata_generate(f.c, 0, prompt, N_PROMPT, &g, &r, &f.e), STRATA_DEADLINE);
    assert_string_equal(strata_finish_name(STRATA_FINISH_END), "end");
    assert_string_equal(strata_finish_name(99), "unknown");
    shut(&f);
}

/* Bytes that are allocated now. */
typedef struct counter {
    _Atomic size_t live;
} counter;

enum { HEAD = 64 }; /* keeps any alignment; the size of the block is at its start */

static void *count_alloc(void *user, size_t size, size_t align)
{
    assert_true(align <= HEAD);
    uint8_t *p = aligned_alloc(HEAD, (size + 2 * HEAD - 1) / HEAD * HEAD + HEAD);
    if (!p) return NULL;
    memcpy(p, &size, sizeof size);
    atomic_fetch_add(&((counter *)user)->live, size);
    return p + HEAD;
}

static void count_free(void *user, void *p)
{
    if (!p) return;
    size_t size;
    memcpy(&size, (uint8_t *)p - HEAD, sizeof size);
    atomic_fetch_sub(&((counter *)user)->live, size);
    free((uint8_t *)p - HEAD);
}

/* The memory of one context does not grow, however many generations it makes: plain, sampled, by a grammar, stopped. */
static void test_many(void **state)
{
    (void)state;
#if SANITIZED || !defined(NDEBUG)
    enum { N = SANITIZED_THREAD ? 100 : 600 };
#else
    enum { N = 10000 };
#endif
    counter count = {0};
    const strata_allocator allocator = {count_alloc, count_free, &count};
    fixture f = {0};
    strata_ctx_opts o = {.n_threads = 1, .n_seqs = 2, .kv = STRATA_KV_F16};
    if (strata_model_open(MODEL, &(strata_model_opts){.allocator = &allocator}, &f.m, &f.e)) fail_msg("%s", f.e.msg);
    if (strata_ctx_open(f.m, &o, &f.c, &f.e)) fail_msg("%s", f.e.msg);
    size_t before = 0;
    for (uint32_t i = 0; i < N; i++) {
        static const char *const stop[] = {"e", "t"};
        strata_gen_opts g = strata_gen_default();
        out text = {.stop_after = i % 5 == 4 ? 2 : 0};
        g.max_tokens = 6;
        g.temperature = i % 2 ? 1.0f : 0.0f;
        g.seed = i;
        if (i % 5 == 2) g.grammar = "root ::= \"[\" [0-9]{1,3} \"]\"";
        if (i % 5 == 3) g.stop = stop, g.n_stop = 2;
        go(&f, g, &text);
        if (i == N / 10) before = count.live;
    }
    assert_int_equal(count.live, before);
    shut(&f);
    assert_int_equal(count.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),       cmocka_unit_test(test_sampling),      cmocka_unit_test(test_endings),
        cmocka_unit_test(test_grammar),      cmocka_unit_test(test_sequences),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_many),         cmocka_unit_test(test_invalid_bytes), cmocka_unit_test(test_cut_character),
        cmocka_unit_test(test_think_opened), cmocka_unit_test(test_think_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
