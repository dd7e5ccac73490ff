/* test_grammar.c: GBNF parser, automaton, masks. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_memalign */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os/file.h"
#include "base/os/thread.h"
#include "base/utf8.h"
#include "grammar/grammar.h"
#include "grammar/grammar_internal.h"
#include "support/sanitized.h"

enum { SECONDS = SANITIZED_MEMORY ? 50 : 5 }; /* of one step; other sanitizers are slow too */

#define N(a) (sizeof(a) / sizeof(a)[0])

/* ---- a vocabulary: all bytes, pieces, an end token, a special one, an empty one ---------------------------------- */

typedef struct vocab {
    uint32_t n;
    uint8_t bytes[1200][16];
    size_t len[1200];
    int kind[1200];
} vocab;

static vocab words;

static const uint8_t *piece(void *user, uint32_t id, size_t *len)
{
    const vocab *v = user;
    *len = v->len[id];
    return v->bytes[id];
}

static int kind(void *user, uint32_t id)
{
    return ((const vocab *)user)->kind[id];
}

static void push_word(const void *p, size_t n, int k)
{
    assert_true(words.n < N(words.len) && n <= sizeof words.bytes[0]);
    memcpy(words.bytes[words.n], p, n);
    words.len[words.n] = n;
    words.kind[words.n++] = k;
}

static uint32_t rnd(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

enum { EOS = 256, SPECIAL = 257, EMPTY = 258 };

static void make_words(void)
{
    static const char *const text[] = {"true",
                                       "false",
                                       "null",
                                       "tru",
                                       "e\"",
                                       "\"e",
                                       "\",\"",
                                       "{\"",
                                       "\":",
                                       "\": ",
                                       "\"}",
                                       "}}",
                                       "]}",
                                       "[[",
                                       "]]",
                                       "[{",
                                       "ab",
                                       "abc",
                                       "abcd",
                                       "bcd",
                                       "cd",
                                       "aa",
                                       "aaa",
                                       "aaaa",
                                       "bb",
                                       "\\n",
                                       "\\\"",
                                       "\\u00",
                                       "00",
                                       "123",
                                       "1.5",
                                       "-1",
                                       "e+",
                                       "E1",
                                       "0.",
                                       "\n\t",
                                       "\n\n",
                                       "  ",
                                       "   ",
                                       ", ",
                                       "- ",
                                       "- a",
                                       "a\n- b",
                                       "1. ",
                                       "e4 ",
                                       "Nf3",
                                       "O-O",
                                       "x=",
                                       "= ",
                                       "+1",
                                       "(a",
                                       "))\n",
                                       "\xc3\xa9",
                                       "\xc3\xa9\xc3\xa9",
                                       "a\xc3",
                                       "\xa9x",
                                       "\xe4\xb8\xad",
                                       "\xe4\xb8",
                                       "\xad\xe6",
                                       "\xb8\xad",
                                       "\xf0\x9f\x98\x80",
                                       "\xf0\x9f",
                                       "\x98\x80",
                                       "z\xf0\x9f\x98",
                                       "\x80\"",
                                       "\xff\xfe",
                                       "\xed\xa0\x80",
                                       "\xc0\x80",
                                       "name",
                                       "\"name\"",
                                       "name\":"};
    words.n = 0;
    for (int b = 0; b < 256; b++) push_word(&(uint8_t){(uint8_t)b}, 1, ST_PIECE_TEXT);
    push_word("</s>", 4, ST_PIECE_EOG);
    push_word("<pad>", 5, ST_PIECE_SPECIAL);
    push_word("", 0, ST_PIECE_TEXT);
    for (size_t i = 0; i < N(text); i++) push_word(text[i], strlen(text[i]), ST_PIECE_TEXT);
    push_word("abc", 3, ST_PIECE_TEXT); /* the same bytes twice */
    push_word("<end>", 5, ST_PIECE_EOG);
    uint64_t s = 7;
    for (int i = 0; i < 700; i++) { /* random ones of frequent characters */
        static const char chars[] = "abcdxyz01239\"{}[]:, \n\t\\-+.eE=()/u";
        uint8_t w[12];
        size_t n = 0, len = 1 + rnd(&s) % 5;
        while (n < len) w[n++] = (uint8_t)chars[rnd(&s) % (sizeof chars - 1)];
        push_word(w, n, ST_PIECE_TEXT);
    }
}

typedef struct fixture {
    st_mem mem;
    st_gvocab *v;
    strata_error err;
} fixture;

static void open_fixture(fixture *f)
{
    make_words();
    st_mem_init(&f->mem, NULL, 0);
    st_vocab_view view = {words.n, &words, piece, kind};
    assert_int_equal(st_gvocab_open(&view, &f->mem, &f->v, &f->err), STRATA_OK);
    assert_int_equal(st_gvocab_words(f->v), (words.n + 31) / 32);
}

static void close_fixture(fixture *f)
{
    st_gvocab_close(f->v);
    assert_true(f->mem.used == 0);
}

static bool bit(const uint32_t *mask, uint32_t id)
{
    return mask[id >> 5] >> (id & 31) & 1;
}

static char *read_data(const char *name, st_mem *mem, size_t *len)
{
    char path[512];
    strata_error err;
    st_file f;
    snprintf(path, sizeof path, "%s/tests/data/grammar/%s.gbnf", STRATA_SOURCE_DIR, name);
    if (st_file_open(&f, path, true, mem, &err)) fail_msg("%s", err.msg);
    char *p = malloc(f.size + 1);
    assert_non_null(p);
    memcpy(p, f.data, f.size);
    p[f.size] = 0;
    *len = f.size;
    st_file_close(&f);
    return p;
}

/* ---- matching ---------------------------------------------------------------------------------------------------- */

/* 'y': all of it and may end; 'p': a part of more; 'n': no. */
static char match(const char *grammar, const char *text, size_t len)
{
    st_mem mem;
    strata_error err;
    st_grammar *g;
    st_grammar_state *s;
    st_mem_init(&mem, NULL, 0);
    if (st_grammar_open(grammar, strlen(grammar), NULL, &mem, &g, &err)) fail_msg("%s\n%s", err.msg, grammar);
    assert_int_equal(st_grammar_state_open(g, &s, &err), STRATA_OK);
    int rc = st_grammar_accept_bytes(s, (const uint8_t *)text, len, &err);
    char r = rc == STRATA_INVALID_ARG ? 'n' : rc ? '!' : st_grammar_is_done(s) ? 'y' : 'p';
    /* byte by byte it is the same */
    st_grammar_state_reset(s);
    int each = STRATA_OK;
    for (size_t i = 0; i < len && !each; i++) each = st_grammar_accept_bytes(s, (const uint8_t *)text + i, 1, &err);
    assert_int_equal(each, rc);
    st_grammar_state_close(s);
    st_grammar_close(g);
    assert_true(mem.used == 0);
    return r;
}

static void syntax(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *yes, *part, *no; /* texts between '|' */
    } c[] = {
        {"root ::= \"a\"", "a", "", "b|aa|A"},
        {"root ::= \"\"", "", "", "a"},
        {"root ::= \"a\" | \"b\" |\n \"c\"", "a|b|c", "", "d|ab"},
        {"# c\nroot ::= # c\n  \"a\" # c\n# c\n\nx ::= \"y\"\n", "a", "", "y"},
        {"root ::= \"a\"*", "|a|aaaa", "", "b"},
        {"root ::= \"a\"+", "a|aaaa", "", "b"},
        {"root ::= \"a\"?", "|a", "", "aa"},
        {"root ::= \"a\"{2}", "aa", "a", "aaa"},
        {"root ::= \"a\"{2,}", "aa|aaaaa", "a", "b"},
        {"root ::= \"a\"{ 2 , 3 }", "aa|aaa", "a", "aaaa"},
        {"root ::= \"a\"{0}\"b\"", "b", "", "a"},
        {"root ::= \"a\"{0,2}", "|a|aa", "", "aaa"},
        {"root ::= \"ab\"{2}", "abab", "aba", "abb"},
        {"root ::= (\"a\" | \"b\"){2,3} \"c\"", "abc|babc", "ab", "ac|abbac"},
        {"root ::= (\n\"a\"\n|\n\"b\"\n)\n\"c\"?", NULL, NULL, NULL},
        {"root ::= ((\"a\")* \"b\")*", "|b|ab|aabab", "a|aaba", "c"},
        {"root ::= (\"a\"*)*", "|a|aa", "", "b"},
        {"root ::= (\"a\"?)+", "|a|aa", "", "b"},
        {"root ::= \"a\"*+ \"b\"?*", "|a|ab|bb", "", "ba"},
        {"root ::= [abc]", "a|b|c", "", "d"},
        {"root ::= [^abc]", "d|\xc3\xa9|\n|\xf0\x9f\x98\x80", "\xc3|\xf0\x9f", "a|\xff|\xc0|\xed\xa0"},
        {"root ::= [a-cx-z-]", "a|c|y|-", "", "d"},
        {"root ::= [-a]", "a|-", "", "b"},
        {"root ::= [a\\-c]", "a|-|c", "", "b"},
        {"root ::= [\\]\\[\\\\]", "]|[|\\", "", "a"},
        {"root ::= [\\x41-\\x43\\u00e9\\U0001F600]", "A|C|\xc3\xa9|\xf0\x9f\x98\x80", "", "D|\xc3\xaa"},
        {"root ::= \"\\x41\\u4e2d\\n\\r\\t\\\"\\\\\"", "A\xe4\xb8\xad\n\r\t\"\\", "A\xe4", "B"},
        {"root ::= .", "a|\n|\xc3\xa9", "\xc3", "\x80"},
        {"root ::= .*", "|abc\n|\xc3\xa9", "\xc3", "\xff"},
        {"root ::= [\xd0\xb0-\xd1\x8f]+", "\xd0\xb0|\xd1\x8f|\xd0\xbf\xd1\x80", "\xd0", "\xd1\x90|a"},
        {"root ::= a-1 b_2\na-1 ::= \"x\"\nb_2 ::= \"y\" | a-1", "xy|xx", "x", "y"},
        {"root::=\"a\"|\"b\"", "a|b", "", "c"},
        {"root ::= \"(\" root \")\" | \"x\"", "x|(x)|((x))", "(|((x)", ")|x)"},
        {"root ::= \"a\" root | \"\"", "|a|aaaa", "", "b"},
        {"root ::= \"a\" root \"b\" | \"\"", "|ab|aabb", "a|aab", "b|aba"},
        {"root ::= x \"c\" | y \"d\"\nx ::= \"a\"*\ny ::= \"a\"*", "c|d|aac|aad", "a", "e"},
        {"root ::= line+\r\nline ::= type \": \" content \"\\n\"\r\ntype ::= \"lex\"|\"vec\"|\"hyde\"\r\ncontent ::= "
         "[^\\n]+",
         "lex: a\n|lex: a\nhyde: \xc3\xa9\n", "lex|lex: a|vec: b\nl", "lex:a|foo|lex: \n"},
    };
    for (size_t i = 0; i < N(c); i++) {
        if (!c[i].yes) { /* a newline outside of a group ends the rule */
            st_mem mem;
            strata_error err;
            st_grammar *g;
            st_mem_init(&mem, NULL, 0);
            assert_int_equal(st_grammar_open(c[i].grammar, strlen(c[i].grammar), NULL, &mem, &g, &err),
                             STRATA_BAD_GRAMMAR);
            continue;
        }
        const char *lists[] = {c[i].yes, c[i].part, c[i].no};
        for (int k = 0; k < 3; k++) {
            if (k > 0 && !*lists[k]) continue;
            for (const char *p = lists[k];; p++) {
                size_t n = strcspn(p, "|");
                char got = match(c[i].grammar, p, n);
                if (got != "ypn"[k]) fail_msg("%s: '%.*s' is '%c', want '%c'", c[i].grammar, (int)n, p, got, "ypn"[k]);
                p += n;
                if (!*p) break;
            }
        }
    }
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *msg;
    } c[] = {
        {"", "grammar 1:1: no rule 'root'"},
        {"x ::= \"a\"", "no rule 'root'"},
        {"root ::= \"a", "grammar 1:10: a literal without end"},
        {"root ::= [a", "1:10: a class without end"},
        {"root ::= []", "1:10: no character"},
        {"root ::= [^\\U00000000-\\U0010FFFF]", "1:10: no character"},
        {"root ::= [z-a]", "1:11: a range from U+007A down to U+0061"},
        {"root ::= \"\\q\"", "1:12: found 'q', want an escape"},
        {"root ::= \"\\x4\"", "1:14: found '\"', want 2 hexadecimal digits"},
        {"root ::= \"\\u12g4\"", "want 4 hexadecimal"},
        {"root ::= \"\\UFFFFFFFF\"", "1:11: U+FFFFFFFF is no character"},
        {"root ::= \"\\ud800\"", "1:11: no character"},
        {"root ::= (\"a\"", "found the end, want ')'"},
        {"root ::= \"a\")", "1:13: found ')', want an item"},
        {"root ::= *", "1:10: found '*' with nothing before it"},
        {"root ::= | +", "1:12: found '+' with nothing"},
        {"root ::= \"a\"{", "want a number of repetitions"},
        {"root ::= \"a\"{1", "want ',' or '}'"},
        {"root ::= \"a\"{1,x}", "want a number"},
        {"root ::= \"a\"{3,2}", "1:13: {3,2}, want the smaller"},
        {"root ::= \"a\"{1,4294967295}", "1:16: more than 4294967294 repetitions"},
        {"root ::= (\"a\" root){1,3}", "rule 'root' can never end"},
        {"root ::= (\"a\"? root \"b\"){0,3}", "left recursion"},
        {"root ::= (\"a\"{0,9} x{7} root){0,3}\nx ::= \"b\" | (\"c\"? \"d\"?){2,40}", "left recursion"},
        {"root = \"a\"", "1:6: found '=', want '::='"},
        {"root ::= a\n\nb ::= \"c\"", "1:10: rule 'a' is not defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "2:1: rule 'root' is defined twice"},
        {"root ::= \"a\"\n  ?", "2:3: found '?', want the name of a rule"},
        {"root ::= root \"a\" | \"b\"", "1:1: rule 'root' calls itself before any character"},
        {"root ::= x\nx ::= y? x \"a\" | \"b\"\ny ::= \"c\"", "2:1: rule 'x' calls itself"},
        {"root ::= x\nx ::= y\ny ::= x | \"a\"", "calls itself before any character"},
        {"root ::= e e root | \"a\"\ne ::= \"\" | f\nf ::= \"x\"*", "calls itself"},
        {"root ::= \"a\" root", "1:1: rule 'root' can never end"},
        {"root ::= \"a\" | x\nx ::= \"(\" x \")\"", "2:1: rule 'x' can never end"},
        {"root ::= <[12]>", "1:10: token terminals"},
        {"root ::= !<think>", "token terminals"},
        {"root ::= \"\xff\"", "1:11: byte 0xff is not UTF-8"},
        {"root ::= \"\xc3\xa9\" $", "1:14: found '$'"},
        {"root ::= a.b\n", "rule 'a' is not defined"},
        {"::= \"a\"", "1:1: found ':', want the name"},
    };
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    for (size_t i = 0; i < N(c); i++) {
        strata_error err = {0};
        st_grammar *g = NULL;
        int rc = st_grammar_open(c[i].grammar, strlen(c[i].grammar), NULL, &mem, &g, &err);
        if (rc != STRATA_BAD_GRAMMAR || err.code != rc || !strstr(err.msg, c[i].msg))
            fail_msg("%s: %d '%s', want '%s'", c[i].grammar, rc, err.msg, c[i].msg);
        assert_int_equal(st_grammar_open(c[i].grammar, strlen(c[i].grammar), NULL, &mem, &g, NULL), rc);
        assert_true(mem.used == 0);
    }
}

/* ---- published examples ------------------------------------------------------------------------------------------ */

static void examples(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        char want;
    } c[] = {
        {"json", "{}", 'y'},
        {"json", "{\"a\": [1, -2.5e+1, true, null, \"x\\u00e9\\n\"], \"b\":{\"c\":{}}}", 'y'},
        {"json", "{\n\t\"a\":1}", 'y'},
        {"json", "[1]", 'n'},
        {"json", "{\"a\":01}", 'n'},
        {"json", "{\"a\":\"\\x\"}", 'n'},
        {"json", "{\"a\":\"\xe4\xb8\xad", 'p'},
        {"json", "{\"a\":tru", 'p'},
        {"json", "{\"a\":1}}", 'n'},
        {"list", "- a b\n- c\n", 'y'},
        {"list", "- a", 'p'},
        {"list", "- \xc2\x85", 'n'},
        {"list", "- \xe2\x80\xa8", 'n'},
        {"list", "- \xe2\x80\xa7\n", 'y'},
        {"arithmetic", "a = 1+2\n", 'n'}, /* the published grammar: expr "=" ws term */
        {"arithmetic", "1+2=3\n", 'y'},
        {"arithmetic", "x *(y1_ )= 12\n(a)=b\n", 'y'},
        {"arithmetic", "1+=3\n", 'n'},
        {"chess", "1. e4 e5\n2. Nf3 Nc6\n10. O-O exd8=Q+\n", 'y'},
        {"chess", "1. e4 e5\n", 'p'},
        {"chess", "2. e4", 'n'},
        {"chess", "1. Zf3", 'n'},
    };
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    for (size_t i = 0; i < N(c); i++) {
        size_t len;
        char *text = read_data(c[i].name, &mem, &len), got = match(text, c[i].text, strlen(c[i].text));
        if (got != c[i].want) fail_msg("%s: '%s' is '%c', want '%c'", c[i].name, c[i].text, got, c[i].want);
        free(text);
    }
}

/* ---- masks ------------------------------------------------------------------------------------------------------- */

/* Every bit of the mask against the bytes of the token, tried on a copy. */
static uint32_t check_mask(const st_grammar_state *s, st_grammar_state *copy, const uint32_t *mask, const char *name)
{
    strata_error err;
    uint32_t n = 0;
    for (uint32_t id = 0; id < words.n; id++) {
        bool want = false;
        if (words.kind[id] == ST_PIECE_EOG) {
            want = st_grammar_is_done(s);
        } else if (words.kind[id] == ST_PIECE_TEXT && words.len[id]) {
            st_grammar_state_copy(copy, s);
            int rc = st_grammar_accept_bytes(copy, words.bytes[id], words.len[id], &err);
            assert_true(rc == STRATA_OK || rc == STRATA_INVALID_ARG);
            want = rc == STRATA_OK;
        }
        if (bit(mask, id) != want)
            fail_msg("%s: token %u '%s': mask %d", name, id, (const char *)words.bytes[id], !want);
        bool allows;
        st_grammar_state_copy(copy, s);
        assert_int_equal(st_grammar_allows(copy, id, &allows, &err), STRATA_OK);
        assert_int_equal(allows, want);
        n += want;
    }
    return n;
}

static void walk(fixture *f, const char *name, const char *text, size_t len, int walks, int steps)
{
    st_grammar *g;
    st_grammar_state *s, *copy;
    strata_error err;
    uint32_t mask[N(words.len) / 32 + 1];
    if (st_grammar_open(text, len, f->v, &f->mem, &g, &err)) fail_msg("%s: %s", name, err.msg);
    assert_int_equal(st_grammar_state_open(g, &s, &err), STRATA_OK);
    assert_int_equal(st_grammar_state_clone(s, &copy, &err), STRATA_OK);
    uint64_t seed = 99;
    for (int w = 0; w < walks; w++) {
        uint8_t said[4096];
        size_t n_said = 0;
        st_grammar_state_reset(s);
        for (int i = 0; i < steps && n_said + 16 < sizeof said; i++) {
            assert_int_equal(st_grammar_mask(s, mask, &err), STRATA_OK);
            uint32_t n = w < 6 || i % 16 == 0 ? check_mask(s, copy, mask, name) : 0;
            if (!n)
                for (uint32_t id = 0; id < words.n; id++) n += bit(mask, id);
            assert_true(n > 0);
            uint32_t pick = rnd(&seed) % n, id = 0;
            for (;; id++)
                if (bit(mask, id) && pick-- == 0) break;
            assert_int_equal(st_grammar_accept(s, id, &err), STRATA_OK);
            if (words.kind[id] == ST_PIECE_EOG) {
                bool allows = true;
                assert_true(st_grammar_is_complete(s));
                assert_int_equal(st_grammar_mask(s, mask, &err), STRATA_OK);
                for (uint32_t k = 0; k < words.n; k++) assert_int_equal(bit(mask, k), words.kind[k] == ST_PIECE_EOG);
                assert_int_equal(st_grammar_allows(s, 'a', &allows, &err), STRATA_OK);
                assert_false(allows);
                assert_int_equal(st_grammar_accept(s, EOS, &err), STRATA_OK);
                break;
            }
            memcpy(said + n_said, words.bytes[id], words.len[id]);
            n_said += words.len[id];
        }
        /* What was said parses from the start, by bytes. */
        st_grammar_state_reset(copy);
        assert_int_equal(st_grammar_accept_bytes(copy, said, n_said, &err), STRATA_OK);
        assert_int_equal(st_grammar_is_done(copy), st_grammar_is_done(s));
        if (st_grammar_is_complete(s)) assert_true(st_utf8_check((const char *)said, n_said) == n_said);
        /* A byte that is refused leaves the state as it was. */
        st_grammar_state_copy(copy, s);
        if (st_grammar_accept_bytes(copy, (const uint8_t *)"\xff", 1, &err)) {
            assert_int_equal(st_grammar_is_done(copy), st_grammar_is_done(s));
        }
    }
    st_grammar_state_close(copy);
    st_grammar_state_close(s);
    st_grammar_close(g);
}

static const char *const small_grammars[] = {
    "root ::= ([^\"\\\\] | \"\\\\n\"){40,90} \"\\\"\"", /* counters: below, between and near the bounds */
    "root ::= (c{20,60} \",\"){1,3} (\"ab\" | c){0,45} \"]\"\nc ::= [^\",\\\\] | \"\\\\\" [n\"]",
    "root ::= ((\"a\"{0,30} [bc]?){2,40} \"1\"?){17,} \"x\"",
    "root ::= \"[\" (root | [a-z]{1,30}) (\",\" (root | [a-z]{1,30})){0,20} \"]\"",
    "root ::= [^\"\\\\]{0,7} \"\\\"\"",
    "root ::= \"\\\"\" c{2,5} \"\\\"\"\nc ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" [nrt\"]",
    "root ::= [^\\n]{3} \"abc\" .* ",
    "root ::= .{2,6}",
    "root ::= ([^a] [^b])*",
    "root ::= (l | d | \" \")* \"]\"\nl ::= [a-z]\nd ::= [0-9]",
    "root ::= [^\\x00-\\x7f]* \"a\"",
    "root ::= \"a\"{3,6} | [^\\n]{2,9} \"\\n\"",
    "root ::= x [^ab] | \"a\" root \"b\"\nx ::= [^c]{0,3}",
    "root ::= [^a]* | [^b]* | \"ab\"*",
    "root ::= ([^\"] y)* \"\\\"\"\ny ::= [^\"]",
    "root ::= \"(\" [^()]* root? [^()]* \")\"",
    "root ::= \"\xc3\xa9\" | [\xe4\xb8\xad\xf0\x9f\x98\x80]+",
    "root ::= line+\nline ::= type \": \" content \"\\n\"\ntype ::= \"lex\"|\"vec\"|\"hyde\"\ncontent ::= [^\\n]+",
};

static void masks(void **state)
{
    (void)state;
    static const char *const names[] = {"json", "list", "arithmetic", "chess"};
    fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < N(names); i++) {
        size_t len;
        char *text = read_data(names[i], &f.mem, &len);
        walk(&f, names[i], text, len, 30, 60);
        free(text);
    }
    for (size_t i = 0; i < N(small_grammars); i++)
        walk(&f, small_grammars[i], small_grammars[i], strlen(small_grammars[i]), 30, 30);
    close_fixture(&f);
}

/* Runs with bounds close to the longest token, for every count. */
static void long_tokens(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    static const char a[] = "aaaaaaaaaaaaaaaa";
    for (size_t n = 5; n <= 16; n++) push_word(a, n, ST_PIECE_TEXT);
    st_gvocab_close(f.v);
    st_vocab_view view = {words.n, &words, piece, kind};
    assert_int_equal(st_gvocab_open(&view, &f.mem, &f.v, &f.err), STRATA_OK);
    for (int k = 0; k < 20; k++) {
        char text[80];
        snprintf(text, sizeof text, "root ::= [^b]{0,%d} (\"ab\" | [^b] \"aaab\")", k);
        walk(&f, text, text, strlen(text), 6, 8);
    }
    close_fixture(&f);
}

/* A repetition written as {m,n} and written out are one language, whatever is in it. */
static int bounded(char *out, size_t cap, uint64_t *s, int depth, bool expand)
{
    static const char *const atoms[] = {"\"a\"", "[ab]", "\"ab\"", "x", "\"\"", "(\"b\" | \"aab\")", "\"c\""};
    char body[4096];
    size_t n = 0;
    if (depth == 0 || rnd(s) % 4 == 0) return snprintf(out, cap, "%s ", atoms[rnd(s) % N(atoms)]);
    int len = bounded(body, sizeof body, s, depth - 1, expand);
    len += bounded(body + len, sizeof body - (size_t)len, s, depth - 1, expand);
    uint32_t min = rnd(s) % 4, max = min + rnd(s) % 4, open = rnd(s) % 5 == 0;
    if (!expand) {
        return open ? snprintf(out, cap, "(%s){%u,} ", body, min) : snprintf(out, cap, "(%s){%u,%u} ", body, min, max);
    }
    n += (size_t)snprintf(out, cap, "(\"\" ");
    for (uint32_t i = 0; i < min; i++) n += (size_t)snprintf(out + n, cap - n, "(%s) ", body);
    if (open) n += (size_t)snprintf(out + n, cap - n, "(%s)* ", body);
    for (uint32_t i = min; i < max && !open; i++) n += (size_t)snprintf(out + n, cap - n, "((%s) ", body);
    for (uint32_t i = min; i < max && !open; i++) n += (size_t)snprintf(out + n, cap - n, ")? ");
    return (int)(n + (size_t)snprintf(out + n, cap - n, ") "));
}

static void counters(void **state)
{
    (void)state;
    static char counted[1 << 16], plain[1 << 20];
    uint64_t seed = 77;
    for (int i = 0; i < 250; i++) {
        uint64_t same = seed;
        int a = snprintf(counted, sizeof counted, "x ::= [bc] | \"\" | \"a\" \"c\"\nroot ::= ");
        memcpy(plain, counted, (size_t)a);
        int b = bounded(counted + a, sizeof counted - (size_t)a, &seed, 2, false);
        int e = bounded(plain + a, sizeof plain - (size_t)a, &same, 2, true);
        snprintf(counted + a + b, 8, "\"d\"");
        snprintf(plain + a + e, 8, "\"d\"");
        for (int k = 0; k < 60; k++) {
            char text[24];
            size_t n = 0, len = rnd(&seed) % 20;
            while (n < len) text[n++] = (char)('a' + rnd(&seed) % 3);
            text[n++] = 'd';
            char got = match(counted, text, n), want = match(plain, text, n);
            if (got != want) fail_msg("%s\n%s\n'%.*s': '%c', want '%c'", counted, plain, (int)n, text, got, want);
        }
    }
}

static void split_characters(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    st_grammar *g;
    st_grammar_state *s;
    static const char text[] = "root ::= [\xe4\xb8\xad\xf0\x9f\x98\x80] \"\\\"\"";
    assert_int_equal(st_grammar_open(text, strlen(text), f.v, &f.mem, &g, &f.err), STRATA_OK);
    assert_int_equal(st_grammar_state_open(g, &s, &f.err), STRATA_OK);
    uint32_t mask[N(words.len) / 32 + 1];
    static const char *const path[] = {"\xf0\x9f", "\x98", "\x80\""};
    for (size_t i = 0; i < N(path); i++) {
        assert_false(st_grammar_is_done(s));
        assert_int_equal(st_grammar_mask(s, mask, &f.err), STRATA_OK);
        uint32_t id = 0;
        while (words.len[id] != strlen(path[i]) || memcmp(words.bytes[id], path[i], words.len[id]) != 0) id++;
        assert_true(bit(mask, id));
        assert_false(bit(mask, 'a'));
        assert_false(bit(mask, 0xff));
        assert_false(bit(mask, EOS));
        assert_int_equal(st_grammar_accept(s, id, &f.err), STRATA_OK);
    }
    assert_true(st_grammar_is_done(s) && st_grammar_is_complete(s));
    assert_int_equal(st_grammar_accept(s, SPECIAL, &f.err), STRATA_INVALID_ARG);
    assert_int_equal(st_grammar_accept(s, EMPTY, &f.err), STRATA_INVALID_ARG);
    assert_int_equal(st_grammar_accept(s, words.n, &f.err), STRATA_INVALID_ARG);
    assert_int_equal(st_grammar_accept(s, EOS, &f.err), STRATA_OK);
    assert_int_equal(st_grammar_accept(s, 'a', &f.err), STRATA_INVALID_ARG);
    assert_int_equal(st_grammar_accept_bytes(s, (const uint8_t *)"a", 1, &f.err), STRATA_INVALID_ARG);
    st_grammar_state_reset(s);
    assert_int_equal(st_grammar_accept(s, EOS, &f.err), STRATA_INVALID_ARG);
    assert_non_null(strstr(f.err.msg, "does not allow token 256"));
    st_grammar_state_close(s);
    st_grammar_close(g);
    close_fixture(&f);
}

/* ---- hostile ----------------------------------------------------------------------------------------------------- */

/* Compiles and, if that succeeds, takes masks along `text`. Returns the status that ended it. */
static int attack(fixture *f, const char *name, const char *grammar, size_t len, const char *text)
{
    st_mem *mem = &f->mem;
    uint64_t before = mem->used;
    strata_error err = {0};
    st_grammar *g;
    double t = st_now();
    int rc = st_grammar_open(grammar, len, f->v, mem, &g, &err);
    if (!rc) {
        st_grammar_state *s;
        uint32_t mask[N(words.len) / 32 + 1];
        assert_int_equal(st_grammar_state_open(g, &s, &err), STRATA_OK);
        for (size_t i = 0; !rc; i++) {
            t = st_now();
            rc = st_grammar_mask(s, mask, &err);
            double took = st_now() - t;
            if (took > SECONDS) fail_msg("%s: a mask of %.2f s", name, took);
            if (!rc && !text[i]) break;
            if (!rc) rc = st_grammar_accept_bytes(s, (const uint8_t *)text + i, 1, &err);
        }
        st_grammar_state_close(s);
        st_grammar_close(g);
    } else if (st_now() - t > SECONDS) {
        fail_msg("%s: %.2f s to compile", name, st_now() - t);
    }
    if (rc && rc != STRATA_BAD_GRAMMAR) fail_msg("%s: %d %s", name, rc, err.msg);
    assert_true(mem->used == before);
    return rc;
}

static char *repeat(const char *head, const char *part, size_t n, const char *tail)
{
    size_t h = strlen(head), p = strlen(part), t = strlen(tail);
    char *s = malloc(h + p * n + t + 1);
    assert_non_null(s);
    memcpy(s, head, h);
    for (size_t i = 0; i < n; i++) memcpy(s + h + i * p, part, p);
    memcpy(s + h + p * n, tail, t + 1);
    return s;
}

static void hostile(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    char *s;
    static const struct {
        const char *name, *head, *part;
        size_t n;
        const char *tail, *text;
        int rc;
    } c[] = {
        {"groups", "root ::= ", "(", 100000, "", "", STRATA_BAD_GRAMMAR},
        {"closed groups", "root ::= ", "(\"a\" ", 201, "", "", STRATA_BAD_GRAMMAR},
        {"stars", "root ::= \"a\"", "*", 100000, "", "", STRATA_BAD_GRAMMAR},
        {"few stars", "root ::= \"a\"", "*", 300, "", "aaaa", STRATA_OK},
        {"products", "root ::= \"a\"", "{100}", 5, "", "aaaaaaaa", STRATA_OK},
        {"empty products", "root ::= \"\"", "{60000}", 8, "", "", STRATA_OK},
        {"a large bound", "root ::= \"a\"{1,1000000}", "", 0, "", "aaaaaaaa", STRATA_OK},
        {"the largest bound", "root ::= [^\\n]{1,65535}", "", 0, "", "aaaaaaaa", STRATA_OK},
        {"large class bounds", "root ::= [^\\n]{1,65535}{1,65535}", "", 0, "", "aaaaaaaa", STRATA_OK},
        {"counts of what may be empty", "root ::= ((\"a\"{0,40} \"b\"?){3,50} \"c\"?){2,4294967294}", "", 0, "",
         "aaaaabbbbbcabcabcc", STRATA_OK},
        {"stacks that double", "root ::= \"x\" root \"y\" | \"x\" root \"z\" | \"x\"", "", 0, "",
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", STRATA_BAD_GRAMMAR},
        {"stacks that double, slowly", "root ::= a | b\na ::= [^q] root \"y\" | \"\"\nb ::= [^q] root \"z\" | \"\"", "",
         0, "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", STRATA_BAD_GRAMMAR},
        {"deep recursion", "root ::= \"[\" root \"]\" | \"x\"", "", 0, "", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[x",
         STRATA_OK},
        {"nullable loops", "root ::= ((\"a\"*)*)* (\"b\"?)* ((((\"c\"?)?)*)+)*", "", 0, "", "aabbcc", STRATA_OK},
        {"many counters", "root ::= ([^x]{0,50} \"a\"){0,60} \"x\"", "", 0, "", "bbbabbbabbbabbbabbbabbbabbba",
         STRATA_OK},
        {"a long literal", "root ::= \"", "abcdefgh", 140000, "\"", "", STRATA_BAD_GRAMMAR},
        {"open quotes", "", "\"[", 100000, "", "", STRATA_BAD_GRAMMAR},
        {"many alternatives", "root ::= \"b\"", " | \"ab\" \"c\"", 8000, "", "ab", STRATA_OK},
        {"too many alternatives", "root ::= \"b\"", " | \"ab\" \"c\"", 30000, "", "ab", STRATA_BAD_GRAMMAR},
        {"many characters", "root ::= \"b\"", " | \"a\"", 200000, "", "a", STRATA_OK},
    };
    for (size_t i = 0; i < N(c); i++) {
        s = repeat(c[i].head, c[i].part, c[i].n, c[i].tail);
        int rc = attack(&f, c[i].name, s, strlen(s), c[i].text);
        if (rc != c[i].rc) fail_msg("%s: %d, want %d", c[i].name, rc, c[i].rc);
        free(s);
    }
    /* Left corners that double without recursion; chains of names; many rules; all of them nullable. */
    s = malloc(8 << 20);
    assert_non_null(s);
    for (int what = 0; what < 5; what++) {
        static const int sizes[] = {40, 20000, 70000, 20000, 3000};
        size_t n = (size_t)snprintf(s, 100, "root ::= r0\n");
        int last = sizes[what];
        for (int i = 0; i < last; i++) {
            static const char *const form[] = {"r%d ::= r%d \"a\" | r%d \"b\"\n", "r%d ::= r%d\n",
                                               "r%d ::= r%d | \"b\"\n", "r%d ::= r%d? r%d?\n",
                                               "r%d ::= r%d | r%d \"ab\" \n"};
            n += (size_t)snprintf(s + n, 100, form[what], i, i + 1, i + 1);
        }
        n += (size_t)snprintf(s + n, 100, "r%d ::= \"cd\"\n", last);
        int rc = attack(&f, "chain", s, n, "");
        static const int want[] = {STRATA_BAD_GRAMMAR, STRATA_OK, STRATA_BAD_GRAMMAR, STRATA_BAD_GRAMMAR,
                                   STRATA_BAD_GRAMMAR};
        if (rc != want[what]) fail_msg("chain %d: %d, want %d", what, rc, want[what]);
    }
    free(s);
    close_fixture(&f);
}

/* A text nested a million deep: old states are dropped, and those in use stay what they are. */
static void purge(void **state)
{
    (void)state;
    st_mem mem;
    strata_error err;
    st_grammar *g;
    st_grammar_state *s, *early;
    static const char text[] = "root ::= \"[\" root \"]\" | \"{\" root \"}\" | \"x\"";
    enum { DEEP = 1000000 };
    uint8_t *up = malloc(DEEP), *down = malloc(DEEP);
    assert_true(up && down);
    for (int i = 0; i < DEEP; i++) {
        up[i] = i % 3 ? '[' : '{';
        down[DEEP - 1 - i] = i % 3 ? ']' : '}';
    }
    st_mem_init(&mem, NULL, 0);
    assert_int_equal(st_grammar_open(text, strlen(text), NULL, &mem, &g, &err), STRATA_OK);
    assert_int_equal(st_grammar_state_open(g, &s, &err), STRATA_OK);
    assert_int_equal(st_grammar_accept_bytes(s, up, 1000, &err), STRATA_OK);
    assert_int_equal(st_grammar_state_clone(s, &early, &err), STRATA_OK);
    assert_int_equal(st_grammar_accept_bytes(s, up + 1000, DEEP - 1000, &err), STRATA_OK);
    assert_true(mem.used < (uint64_t)256 << 20);
    assert_int_equal(st_grammar_accept_bytes(s, (const uint8_t *)"x", 1, &err), STRATA_OK);
    assert_int_equal(st_grammar_accept_bytes(early, (const uint8_t *)"x", 1, &err), STRATA_OK);
    assert_int_equal(st_grammar_accept_bytes(early, down + DEEP - 1000, 999, &err), STRATA_OK);
    assert_false(st_grammar_is_done(early));
    assert_int_equal(st_grammar_accept_bytes(early, down + DEEP - 1, 1, &err), STRATA_OK);
    assert_true(st_grammar_is_done(early));
    assert_int_equal(st_grammar_accept_bytes(s, down, DEEP - 1, &err), STRATA_OK);
    assert_false(st_grammar_is_done(s));
    assert_int_equal(st_grammar_accept_bytes(s, down + DEEP - 1, 1, &err), STRATA_OK);
    assert_true(st_grammar_is_complete(s));
    st_grammar_state_reset(s);
    assert_int_equal(st_grammar_accept_bytes(s, (const uint8_t *)"[x]", 3, &err), STRATA_OK);
    assert_true(st_grammar_is_complete(s));
    st_grammar_state_close(s);
    st_grammar_state_close(early);
    st_grammar_close(g);
    assert_true(mem.used == 0);
    free(up);
    free(down);
}

/* More masks than are kept. */
static void evicted_masks(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    st_grammar *g;
    st_grammar_state *s, *copy;
    uint32_t mask[N(words.len) / 32 + 1];
    static const char text[] = "root ::= [a-d]{600} \"x\"";
    assert_int_equal(st_grammar_open(text, strlen(text), f.v, &f.mem, &g, &f.err), STRATA_OK);
    assert_int_equal(st_grammar_state_open(g, &s, &f.err), STRATA_OK);
    assert_int_equal(st_grammar_state_clone(s, &copy, &f.err), STRATA_OK);
    for (int round = 0; round < 2; round++) {
        st_grammar_state_reset(s);
        for (int i = 0; i <= 600; i++) {
            assert_int_equal(st_grammar_mask(s, mask, &f.err), STRATA_OK);
            if (i % 50 == 0 || i > 590) check_mask(s, copy, mask, "600");
            assert_int_equal(st_grammar_accept(s, i < 600 ? 'a' : 'x', &f.err), STRATA_OK);
        }
    }
    st_grammar_state_close(copy);
    st_grammar_state_close(s);
    st_grammar_close(g);
    close_fixture(&f);
}

/* ---- no memory --------------------------------------------------------------------------------------------------- */

typedef struct counting {
    int left, live;
} counting;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    counting *c = user;
    void *p = NULL;
    if (c->left-- <= 0 || posix_memalign(&p, align, size)) return NULL;
    c->live++;
    return p;
}

static void counting_free(void *user, void *p)
{
    ((counting *)user)->live--;
    free(p);
}

static int use(st_mem *mem, const char *text, size_t len, strata_error *err)
{
    st_vocab_view view = {words.n, &words, piece, kind};
    st_gvocab *v = NULL;
    st_grammar *g = NULL;
    st_grammar_state *s = NULL, *t = NULL;
    uint32_t mask[N(words.len) / 32 + 1];
    int rc = st_gvocab_open(&view, mem, &v, err);
    if (!rc) rc = st_grammar_open(text, len, v, mem, &g, err);
    if (!rc) rc = st_grammar_state_open(g, &s, err);
    if (!rc) rc = st_grammar_mask(s, mask, err);
    if (!rc) rc = st_grammar_accept_bytes(s, (const uint8_t *)"{\"a\":[\"\xc3\xa9", 9, err);
    if (!rc) rc = st_grammar_mask(s, mask, err);
    if (!rc) rc = st_grammar_state_clone(s, &t, err);
    if (!rc) rc = st_grammar_accept_bytes(t, (const uint8_t *)"b\"]}", 4, err);
    if (!rc) rc = st_grammar_mask(t, mask, err);
    st_grammar_state_close(t);
    st_grammar_state_close(s);
    st_grammar_close(g);
    st_gvocab_close(v);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    make_words();
    st_mem plain;
    size_t len;
    st_mem_init(&plain, NULL, 0);
    char *text = read_data("json", &plain, &len);
    int n = 0, rc;
    do {
        counting c = {n, 0};
        st_mem mem;
        strata_error err = {0};
        st_mem_init(&mem, &(strata_allocator){counting_alloc, counting_free, &c}, 0);
        rc = use(&mem, text, len, &err);
        assert_int_equal(c.live, 0);
        if (rc) assert_int_equal(rc, STRATA_NO_MEMORY);
        if (rc) assert_int_equal(err.code, STRATA_NO_MEMORY);
        n++;
    } while (rc);
    assert_true(n > 50);
    free(text);
}

static void odd_vocabularies(void **state)
{
    (void)state;
    st_mem mem;
    strata_error err;
    st_gvocab *v;
    st_grammar *g;
    st_grammar_state *s;
    uint32_t mask[2] = {7, 7};
    bool allowed;
    st_mem_init(&mem, NULL, 0);
    words.n = 0;
    st_vocab_view view = {0, &words, piece, kind};
    assert_int_equal(st_gvocab_open(&view, &mem, &v, &err), STRATA_INVALID_ARG);
    push_word("", 0, ST_PIECE_TEXT);
    push_word("s", 1, ST_PIECE_SPECIAL);
    view.n = 2;
    assert_int_equal(st_gvocab_open(&view, &mem, &v, &err), STRATA_OK);
    assert_int_equal(st_grammar_open("root ::= .*", 11, v, &mem, &g, &err), STRATA_OK);
    assert_int_equal(st_grammar_state_open(g, &s, &err), STRATA_OK);
    assert_int_equal(st_grammar_mask(s, mask, &err), STRATA_OK);
    assert_int_equal(mask[0], 0);
    assert_int_equal(mask[1], 7);
    st_grammar_state_close(s);
    st_grammar_close(g);
    assert_int_equal(st_grammar_open("root ::= .*", 11, NULL, &mem, &g, &err), STRATA_OK);
    assert_int_equal(st_grammar_state_open(g, &s, &err), STRATA_OK);
    assert_int_equal(st_grammar_mask(s, mask, &err), STRATA_INVALID_ARG);
    assert_int_equal(st_grammar_allows(s, 0, &allowed, &err), STRATA_INVALID_ARG);
    st_grammar_state_close(s);
    st_grammar_close(g);
    st_gvocab_close(v);
    st_gvocab_close(NULL);
    st_grammar_close(NULL);
    st_grammar_state_close(NULL);
    assert_true(mem.used == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax),        cmocka_unit_test(errors),      cmocka_unit_test(examples),
        cmocka_unit_test(masks),         cmocka_unit_test(long_tokens), cmocka_unit_test(split_characters),
        cmocka_unit_test(counters),      cmocka_unit_test(hostile),     cmocka_unit_test(purge),
        cmocka_unit_test(evicted_masks), cmocka_unit_test(no_memory),   cmocka_unit_test(odd_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
