/* test_token_added.c: added tokens: white space that they take, words that they must not touch, the space that a
 * vocabulary puts before a text, and special ids of files. What is wanted is HuggingFace tokenizers 0.23.3. */
#include "test_token_made.h"
#include "token/token_internal.h"

/* ---- flags by family --------------------------------------------------------------------------------------------- */

/* "a", a space, and one added token, id 5: whether it took the spaces of "a X a". */
static unsigned flags_of(const char *kind, const char *pre, const char *arch, const char *name, const char *token)
{
    bool spm = strcmp(kind, "llama") == 0, ugm = strcmp(kind, "t5") == 0, bert = strcmp(kind, "bert") == 0;
    const char *a = spm || ugm || bert ? SP "a" : "a", *space = spm || ugm ? SP : bert ? SP "." : "\xc4\xa0";
    const tok v[] = {{"<pad>", 0, CONTROL}, {"<x>", 0, CONTROL}, {"[UNK]", 0, UNKNOWN}, {a, -1, NORMAL},
                     {space, -2, NORMAL},   {token, 0, CONTROL}, {"a", -3, NORMAL}};
    char text[80];
    model m;
    strata_span all[8];
    opened(&m, kind, v, N(v),
           &(keys){
               .pre = pre,
               .arch = arch,
               .name = name,
               .key = {"tokenizer.ggml.unknown_token_id", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"},
               .value = {2, 1, 1},
               .flag = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"}});
    size_t n = (size_t)snprintf(text, sizeof text, "a \t%s\n a", token), k = 0, at = n;
    st_tokens out = {.mem = &m.mem, .want_spans = true};
    assert_int_equal(st_tokenizer_encode(m.t, text, n, STRATA_TOKENIZE_PARSE_SPECIAL, &out, &m.err), 0);
    for (size_t i = 0; i < out.n; i++)
        if (out.ids[i] == 5) at = i, k++;
    assert_int_equal(k, 1);
    all[0] = out.spans[at];
    st_tokens_free(&out);
    close_model(&m);
    assert_true((all[0].begin == 3 || all[0].begin == 1) && (all[0].end == n - 3 || all[0].end == n - 1));
    return (all[0].begin == 1 ? ST_ADDED_LSTRIP : 0u) | (all[0].end == n - 1 ? ST_ADDED_RSTRIP : 0u);
}

static void families(void **state)
{
    (void)state;
    enum { L = ST_ADDED_LSTRIP, R = ST_ADDED_RSTRIP };
    static const struct {
        const char *kind, *pre, *arch, *name, *token;
        unsigned flags;
    } rows[] = {
        {"llama", "default", "phi3", "Phi3", "<|user|>", R},
        {"llama", "default", "phi3", "Phi3", "<|end|>", R},
        {"llama", "default", "phi3", "Phi3", "<|placeholder6|>", R},
        {"llama", "default", "phi3", "Phi3", "</s>", R},
        {"llama", "default", "phi3", "Phi3", "<|endoftext|>", 0},
        {"llama", "default", "phi3", "Phi3", "<s>", 0},
        {"llama", "default", "phi3", "Phi3", "<unk>", 0},
        {"llama", "default", "llama", "Phi-3 Mini 4k Instruct", "<|end|>", R}, /* converted as another architecture */
        {"llama", "default", "llama", "Phi 3.5 mini", "<|user|>", R},
        {"llama", "default", "llama", "TinyLlama", "<|user|>", 0},
        {"llama", "default", "llama", "TinyLlama", "</s>", 0},
        {"llama", "default", "gemma3", "Gemma", "<mask>", 0},
        {"llama", "default", "modern-bert", "mmBERT", "<mask>", L},
        {"gpt2", "gpt-4o", "phi3", "Phi 4 Mini", "<|end|>", R},
        {"gpt2", "gpt-4o", "phi3", "Phi 4 Mini", "<|user|>", R},
        {"gpt2", "gpt-4o", "phi3", "Phi 4 Mini", "<|endoftext|>", 0},
        {"gpt2", "gpt-4o", "gpt-oss", "gpt-oss", "<|end|>", 0},
        {"gpt2", "dbrx", "phi3", "Phi 4", "<|im_sep|>", L | R},
        {"gpt2", "dbrx", "phi3", "Phi 4", "<|dummy_12|>", L | R},
        {"gpt2", "dbrx", "llama", "Phi 4", "<|im_end|>", L | R},
        {"gpt2", "dbrx", "dbrx", "DBRX", "<|im_end|>", 0},
        {"gpt2", "modern-bert", "modern-bert", NULL, "[MASK]", L},
        {"gpt2", "modern-bert", "modern-bert", NULL, "[SEP]", 0},
        {"gpt2", "roberta-bpe", "bert", NULL, "<mask>", L},
        {"gpt2", "roberta-bpe", "bert", NULL, "</s>", 0},
        {"gpt2", "jina-v2-code", "jina-bert-v2", NULL, "<mask>", L},
        {"gpt2", "jina-v2-de", "jina-bert-v2", NULL, "<mask>", L},
        {"gpt2", "jina-v2-es", "jina-bert-v2", NULL, "<mask>", L},
        {"gpt2", "qwen2", "qwen2", NULL, "<|im_end|>", 0},
        {"gpt2", "llama-bpe", "llama", NULL, "<|eot_id|>", 0},
        {"t5", NULL, "bert", "bge-m3", "<mask>", L},
        {"t5", NULL, "nomic-bert-moe", NULL, "<mask>", L},
        {"t5", NULL, "t5", NULL, "<extra_id_0>", 0},
        {"bert", NULL, "bert", "all-mpnet-base-v2", "<mask>", L},
        {"bert", NULL, "bert", NULL, "[MASK]", 0},
    };
    for (size_t i = 0; i < N(rows); i++) {
        unsigned got = flags_of(rows[i].kind, rows[i].pre, rows[i].arch, rows[i].name, rows[i].token);
        if (got != rows[i].flags)
            fail_msg("%s %s %s %s: flags %u, want %u", rows[i].kind, rows[i].pre ? rows[i].pre : "-", rows[i].arch,
                     rows[i].token, got, rows[i].flags);
    }
}

/* ---- what the flags do ------------------------------------------------------------------------------------------- */

#define G    "\xc4\xa0" /* how byte-level BPE spells a space */
#define NL   "\xc4\x8a" /* ... a newline */
#define NBSP "\xc2\xa0"

static const tok bpe[] = {{"a", 0, NORMAL},  {"b", 0, NORMAL},    {G, 0, NORMAL},          {NL, 0, NORMAL},
                          {"<r>", 0, USER},  {"<l>", 0, USER},    {"<x>", 0, USER},        {"<w>", 0, USER},
                          {"\n\n", 0, USER}, {"<b>", 0, CONTROL}, {"\xc3\x82", 0, NORMAL}, {"\xc2\xa0", 0, NORMAL}};

static void set_flags(model *m, int32_t id, unsigned flags)
{
    for (size_t i = 0; i < m->t->added.n_nodes; i++)
        if (m->t->added.nodes[i].id == id) m->t->added.nodes[i].flags = (uint16_t)flags;
    m->t->added.flagged = true;
}

static void open_flagged(model *m)
{
    opened(m, "gpt2", bpe, N(bpe), &(keys){.pre = "gpt-2"});
    set_flags(m, 4, ST_ADDED_RSTRIP);
    set_flags(m, 5, ST_ADDED_LSTRIP);
    set_flags(m, 7, ST_ADDED_WORD);
    set_flags(m, 9, ST_ADDED_LSTRIP | ST_ADDED_RSTRIP);
}

static void spaces_that_tokens_take(void **state)
{
    (void)state;
    model m;
    open_flagged(&m);
    assert_string_equal(ids(&m, "a<r> \n b", 0), "0 4 1");
    assert_string_equal(spans(&m, "a<r> \n b"), "0-1 1-7 7-8");
    assert_string_equal(ids(&m, "a \n <l> b", 0), "0 5 2 1");
    assert_string_equal(spans(&m, "a \n <l>b"), "0-1 1-7 7-8");
    assert_string_equal(ids(&m, "a <x> b", 0), "0 2 6 2 1");
    assert_string_equal(ids(&m, "<r>  <l>", 0), "4 5"); /* the first one has them */
    assert_string_equal(spans(&m, "<r>  <l>"), "0-5 5-8");
    assert_string_equal(ids(&m, "<x>  <l>  <r>  <x>", 0), "6 5 2 2 4 6");
    assert_string_equal(ids(&m, " <r> ", 0), "2 4");
    assert_string_equal(ids(&m, " <l> ", 0), "5 2");
    assert_string_equal(ids(&m, "a" NBSP "\xe2\x80\x83\xe3\x80\x80<l>", 0), "0 5"); /* all of White_Space */
    assert_string_equal(ids(&m,
                            "<r>" NBSP "\xe2\x80\xa8"
                            "b",
                            0),
                        "4 1");
    /* An added token in the white space counts all the same, and the text goes on behind it. */
    assert_string_equal(ids(&m, "a<r>\n\n b", 0), "0 4 8 2 1");
    assert_string_equal(ids(&m, "a <b> b", STRATA_TOKENIZE_PARSE_SPECIAL), "0 9 1");
    assert_string_equal(ids(&m, "<r>", 0), "4");
    assert_string_equal(ids(&m, "<l>", 0), "5");
    close_model(&m);
}

static void single_words(void **state)
{
    (void)state;
    static const char *const none[] = {"a<w>", "<w>a", "a<w>b", "\xc3\xa9<w>", "<w>\xd9\xa1", "<w>_"};
    model m;
    open_flagged(&m);
    assert_string_equal(ids(&m, "<w>", 0), "7");
    assert_string_equal(ids(&m, "a <w> b", 0), "0 2 7 2 1");
    assert_string_equal(ids(&m, "<w><w>", 0), "7 7"); /* '>' is no word character */
    assert_string_equal(ids(&m, "<x><w><x>", 0), "6 7 6");
    for (size_t i = 0; i < N(none); i++)
        if (strchr(ids(&m, none[i], 0), '7')) fail_msg("'%s' has the token", none[i]);
    close_model(&m);
}

/* White space is taken across the border of a user's text, as in the one text; control tokens stay the template's. */
static void spaces_across_parts(void **state)
{
    (void)state;
    model m;
    open_flagged(&m);
    const strata_text_part parts[] = {{"a<b>", 4, 1}, {" \nb ", 4, 0}, {"<b>a", 4, 1}, {" <b> ", 5, 0}};
    st_tokens out = {.mem = &m.mem, .want_spans = true};
    assert_int_equal(st_tokenizer_encode_parts(m.t, parts, 4, 0, &out, &m.err), 0);
    static const int32_t want[] = {0, 9, 1, 9, 0, 2};
    assert_true(out.n >= N(want));
    assert_memory_equal(out.ids, want, sizeof want);
    for (size_t i = N(want); i < out.n; i++) assert_int_not_equal(out.ids[i], 9);
    assert_true(out.spans[1].begin == 1 && out.spans[1].end == 6 && out.spans[3].begin == 7 && out.spans[3].end == 11);
    st_tokens_free(&out);
    close_model(&m);
}

/* ---- user-defined tokens where the vocabulary puts a space in front ---------------------------------------------- */

static void user_tokens_behind_a_prefix(void **state)
{
    (void)state;
    static const tok spm[] = {{"<unk>", 0, UNKNOWN}, {"<s>", 0, CONTROL},  {"</s>", 0, CONTROL}, {SP, -3, NORMAL},
                              {"a", -4, NORMAL},     {SP "a", -1, NORMAL}, {"<t>", 0, USER},     {"<u>", -1000, USER},
                              {SP SP, 0, USER},      {"<c>", 0, CONTROL},  {SP "<v>", 0, USER},  {"aa", -2, NORMAL}};
    for (int kind = 0; kind < 2; kind++) {
        const char *name = kind ? "t5" : "llama";
        model m;
        opened(&m, name, spm, N(spm),
               &(keys){.key = {"tokenizer.ggml.unknown_token_id"},
                       .flag = {"tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.add_bos_token",
                                "tokenizer.ggml.add_eos_token"}});
        assert_string_equal(ids(&m, "<t>", 0), "6");
        assert_string_equal(ids(&m, "<t>a", 0), "6 5"); /* what follows begins as a text does */
        assert_string_equal(ids(&m, "a<t>a", 0), "5 6 5");
        assert_string_equal(ids(&m, "<t><u>a<t>", 0), "6 7 5 6");
        assert_string_equal(ids(&m, "a<u>", 0), "5 7");
        assert_string_equal(ids(&m, "<t> a", 0), "6 8 4");   /* "  a" behind a prefix */
        assert_string_equal(ids(&m, "a <v>a", 0), "5 10 5"); /* spelled with U+2581, written with a space */
        assert_string_equal(ids(&m, "<c><t>a", STRATA_TOKENIZE_PARSE_SPECIAL), "9 6 5");
        assert_string_equal(spans(&m, "a<t>a"), "0-1 1-4 4-5");
        assert_string_equal(TEXT(&m, 6, 5), "<t> a"); /* as HuggingFace decodes it */
        close_model(&m);
        opened(&m, name, spm, N(spm),
               &(keys){.key = {"tokenizer.ggml.unknown_token_id"},
                       .flag = {"tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.add_space_prefix",
                                "tokenizer.ggml.add_eos_token"}});
        assert_string_equal(ids(&m, "<t>a", 0), "6 4"); /* without a prefix: none */
        assert_string_equal(ids(&m, "a<t>a", 0), "4 6 4");
        close_model(&m);
    }
}

static void user_tokens_of_wordpiece(void **state)
{
    (void)state;
    static const tok v[] = {{"[UNK]", 0, UNKNOWN}, {SP "a", 0, NORMAL}, {"b", 0, NORMAL},
                            {SP "[x]", 0, USER},   {"<y>", 0, USER},    {SP "[", 0, NORMAL}};
    model m;
    opened(&m, "bert", v, N(v), &(keys){.flag = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"}});
    assert_string_equal(ids(&m, "ab[x]a", 0), "1 2 3 1"); /* converters spell it as the start of a word */
    assert_string_equal(spans(&m, "ab[x]<y>"), "0-1 1-2 2-5 5-8");
    assert_string_equal(TEXT(&m, 1, 3, 1), "a [x] a");
    close_model(&m);
}

/* ---- special ids of a file --------------------------------------------------------------------------------------- */

static const tok small[] = {{"<unk>", 0, UNKNOWN}, {"<s>", 0, CONTROL},   {"</s>", 0, CONTROL},
                            {SP "a", -1, NORMAL},  {"[UNK]", 0, UNKNOWN}, {"[CLS]", 0, CONTROL}};

static void special_ids_that_are_none(void **state)
{
    (void)state;
    static const char *const names[] = {"bos", "eos", "unknown", "padding", "seperator", "cls", "mask"};
    static const char *const kinds[] = {"llama", "t5", "bert", "gpt2"};
    for (size_t k = 0; k < N(kinds); k++)
        for (size_t i = 0; i < N(names); i++)
            for (int wrong = 0; wrong < 3; wrong++) {
                char key[64];
                model m;
                snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", names[i]);
                opened(&m, kinds[k], small, N(small),
                       &(keys){.pre = "gpt-2",
                               .key = {key},
                               .value = {wrong == 2 ? UINT32_MAX - 1
                                         : wrong    ? 6
                                                    : UINT32_MAX},
                               .negative = wrong == 2});
                const st_token_info *info = st_tokenizer_info(m.t);
                const int32_t got[] = {info->bos, info->eos, info->unk, info->pad, info->sep, info->cls, info->mask};
                assert_true(got[i] >= -1 && got[i] < (int32_t)N(small));
                if (!wrong && i != 2) assert_int_equal(got[i], -1);
                assert_int_equal(strstr(m.log, key) != NULL, wrong > 0); /* another id that is none: a warning */
                size_t n = 0;
                st_tokens out = {.mem = &m.mem};
                assert_int_equal(
                    st_tokenizer_encode(m.t, "a\xe4\xb8\xad", 4, STRATA_TOKENIZE_ADD_SPECIAL, &out, &m.err), 0);
                for (; n < out.n; n++) assert_true(out.ids[n] >= 0 && out.ids[n] < (int32_t)N(small));
                st_tokens_free(&out);
                close_model(&m);
            }
    model m; /* what is left out is as if the file did not say it: the kind's own ids */
    opened(&m, "llama", small, N(small),
           &(keys){.key = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"}, .value = {99, UINT32_MAX}});
    assert_string_equal(ids(&m, "a", STRATA_TOKENIZE_ADD_SPECIAL), "1 3");
    assert_int_equal(st_tokenizer_info(m.t)->eos, -1);
    close_model(&m);
    opened(&m, "llama", small, N(small), &(keys){.key = {"tokenizer.ggml.bos_token_id"}, .value = {UINT32_MAX}});
    assert_string_equal(ids(&m, "a", STRATA_TOKENIZE_ADD_SPECIAL), "3");
    close_model(&m);
}

static void needed_ids_and_memory(void **state)
{
    (void)state;
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.unknown_token_id' names none of the 2 tokens", "t5", small, 2,
            &(keys){.key = {"tokenizer.ggml.unknown_token_id"}, .value = {UINT32_MAX}});
    model m;
    make_file(&m, "t5", small, N(small), &(keys){.arch = "phi3"});
    fail_every_allocation(&m);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),
        cmocka_unit_test(spaces_that_tokens_take),
        cmocka_unit_test(single_words),
        cmocka_unit_test(spaces_across_parts),
        cmocka_unit_test(user_tokens_behind_a_prefix),
        cmocka_unit_test(user_tokens_of_wordpiece),
        cmocka_unit_test(special_ids_that_are_none),
        cmocka_unit_test(needed_ids_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
