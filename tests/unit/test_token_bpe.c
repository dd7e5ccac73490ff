/* test_token_bpe.c: the rules of byte-level BPE on small vocabularies made here, and what happens when a file is
 * wrong. */
#include "test_token_made.h"

#define G "\xc4\xa0" /* U+0120: a space in the byte alphabet */
#define A "\xc3\x83" /* U+00C3 stands for the byte C3 */

static const tok bpe[] = {
    {"a", 0, NORMAL},   {"b", 0, NORMAL},          {"c", 0, NORMAL},        {G, 0, NORMAL},
    {A, 0, NORMAL},     {"\xc2\xa9", 0, NORMAL},   {"ab", 0, NORMAL},       {"bc", 0, NORMAL},
    {"abc", 0, NORMAL}, {G "a", 0, NORMAL},        {"<s>", 0, CONTROL},     {"<u>", 0, USER},
    {"<u>b", 0, USER},  {A "\xc2\xa9", 0, NORMAL}, {"ca", 0, NORMAL},       {"<e>", 0, CONTROL},
    {"cab", 0, NORMAL}, {"s", 0, NORMAL},          {"'", 0, NORMAL},        {"'s", 0, NORMAL},
    {G G, 0, NORMAL},   {"e", 0, NORMAL},          {"\xc3\x8c", 0, NORMAL}, {"\xc4\xa3", 0, NORMAL}};
static const char *const bpe_merges[] = {"b c", "a b", G " a", "a bc", "ab c", "c a", A " \xc2\xa9", "' s", G " " G};
#define BPE(p) .pre = (p), .merges = bpe_merges, .n_merges = N(bpe_merges)

static void bpe_rules(void **state)
{
    (void)state;
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2")});
    assert_string_equal(m.log, "");
    assert_string_equal(ids(&m, "abc", 0), "8"); /* b c, then a bc */
    assert_string_equal(ids(&m, "ab", 0), "6");
    assert_string_equal(ids(&m, "aab abc", 0), "0 6 9 7"); /* G a comes before a bc */
    assert_string_equal(ids(&m, "cab", 0), "2 6");         /* 'cab' is a token that no merge makes */
    assert_string_equal(ids(&m, "cab cab", 0), "2 6 3 2 6");
    assert_string_equal(ids(&m, "cab", 0), "2 6"); /* and the second time */
    assert_string_equal(ids(&m, "\xc3\xa9", 0), "13");
    assert_string_equal(ids(&m, "a's", 0), "0 19");
    assert_string_equal(ids(&m, "a   b", 0), "0 20 3 1");
    assert_string_equal(ids(&m, "", 0), "");
    assert_string_equal(ids(&m, "<s>a<u>bb<u>", 0), "17 0 12 1 11"); /* '<' and '>' are no tokens: left out */
    assert_string_equal(ids(&m, "<s>a", STRATA_TOKENIZE_PARSE_SPECIAL), "10 0");
    assert_string_equal(spans(&m, "a  b\xc3\xa9"
                                  "abc"),
                        "0-1 1-2 2-3 3-4 4-6 6-9");
    assert_string_equal(spans(&m, "<ab>x c"), "1-3 5-6 6-7");
    assert_string_equal(TEXT(&m, 9, 13, 10, 3, 11), " a\xc3\xa9<s> <u>");
    assert_string_equal(TEXT(&m, 4, 0, 5), FFFD "a" FFFD); /* half characters */
    assert_string_equal(TEXT(&m, 4, 4, 5), FFFD "\xc3\xa9");
    close_model(&m);
}

/* What a token puts into a text is what decode makes of it, byte for byte. */
static void raw_bytes(void **state)
{
    (void)state;
    static const tok odd[] = {
        {G "a", 0, NORMAL},     {"\xc3\x83", 0, NORMAL}, {"\xc2\xa9", 0, NORMAL}, {"\xe6\x97\xa5" G, 0, NORMAL},
        {G "<s>", 0, CONTROL},  {G "u", 0, USER},        {"", 0, NORMAL},         {"\xc4", 0, NORMAL},
        {"\xc2\xa0", 0, NORMAL}};
    static const char *const want[] = {" a", "\xc3", "\xa9", "\xe6\x97\xa5" G, G "<s>", G "u", "", "\xc4", "\xc2\xa0"};
    model m;
    char buf[16];
    opened(&m, "gpt2", odd, N(odd), &(keys){.pre = "gpt-2", .merges = bpe_merges, .n_merges = 0});
    for (int32_t i = 0; i < (int32_t)N(odd); i++) {
        size_t n = st_tokenizer_raw(m.t, i, buf, sizeof buf);
        assert_int_equal(n, strlen(want[i]));
        assert_memory_equal(buf, want[i], n);
    }
    assert_int_equal(st_tokenizer_raw(m.t, 3, buf, 1), 5); /* counts beyond the room */
    assert_string_equal(TEXT(&m, 0, 1, 2, 3), " a\xc3\xa9\xe6\x97\xa5" G);
    close_model(&m);
}

/* Parts as ids; text alternates, '|' starts the next part, the first is trusted. */
static const char *parts_ids(model *m, const char *text, unsigned flags)
{
    static char buf[1024];
    strata_text_part parts[16];
    st_tokens out = {.mem = &m->mem, .want_spans = true};
    size_t n = 0, len = 0, k = 0;
    for (const char *p = text; *p || n == 0; p += parts[n - 1].len + (p[parts[n - 1].len] == '|')) {
        parts[n] = (strata_text_part){p, strcspn(p, "|"), n % 2 == 0};
        n++;
    }
    if (st_tokenizer_encode_parts(m->t, parts, n, flags, &out, &m->err)) return m->err.msg;
    for (size_t i = 0; i < n; i++) len += parts[i].len;
    buf[0] = 0;
    for (size_t i = 0; i < out.n; i++) {
        k += (size_t)snprintf(buf + k, sizeof buf - k, "%s%d", i ? " " : "", out.ids[i]);
        assert_true(out.spans[i].begin <= out.spans[i].end && out.spans[i].end <= len);
        if (i) assert_true(out.spans[i - 1].end <= out.spans[i].begin);
    }
    st_tokens_free(&out);
    return buf;
}

static const tok parts_bpe[] = {
    {"a", 0, NORMAL}, {"b", 0, NORMAL},  {"c", 0, NORMAL},    {"ab", 0, NORMAL}, {"abc", 0, NORMAL}, {"<", 0, NORMAL},
    {"s", 0, NORMAL}, {">", 0, NORMAL},  {"<s>", 0, CONTROL}, {"<u>", 0, USER},  {"<u>b", 0, USER},  {"c<", 0, USER},
    {"ca", 0, USER},  {"<|", 0, NORMAL}, {"<s>b", 0, NORMAL}, {"<s>c", 0, USER}, {"ab<s>d", 0, USER}};
static const char *const parts_merges[] = {"a b", "ab c"};

static void control_tokens_only_in_trusted_parts(void **state)
{
    (void)state;
    model m;
    opened(&m, "gpt2", parts_bpe, N(parts_bpe),
           &(keys){.pre = "gpt-2",
                   .merges = parts_merges,
                   .n_merges = 2,
                   .key = {"tokenizer.ggml.bos_token_id"},
                   .value = {8},
                   .flag = {"tokenizer.ggml.add_bos_token"},
                   .set = {true}});
    assert_string_equal(parts_ids(&m, "", 0), "");
    assert_string_equal(parts_ids(&m, "|", STRATA_TOKENIZE_ADD_SPECIAL), "8");
    assert_string_equal(parts_ids(&m, "a|b|c", 0), "4"); /* one text: merges cross the borders */
    assert_string_equal(parts_ids(&m, "<s>|ab|<s>", 0), "8 3 8");
    assert_string_equal(parts_ids(&m, "a|<s>|b", 0), "0 5 6 7 1"); /* a user's is text */
    assert_string_equal(parts_ids(&m, "<|s>|", 0), "5 6 7");       /* nor may it lie half in each */
    assert_string_equal(parts_ids(&m, "a|<s|>", 0), "0 5 6 7");
    assert_string_equal(parts_ids(&m, "<s||>", 0), "8"); /* an empty part in between is no border */
    assert_string_equal(parts_ids(&m, "a|<s>|<s>|<s>|b", STRATA_TOKENIZE_PARSE_SPECIAL), "0 5 6 7 8 5 6 7 1");
    /* Tokens that always count cross borders, the longest at a place, but never over a control token's start. */
    assert_string_equal(parts_ids(&m, "|<u>|b", 0), "10");
    assert_string_equal(parts_ids(&m, "<u|>b", 0), "10");
    assert_string_equal(parts_ids(&m, "|c|a", 0), "12");
    assert_string_equal(parts_ids(&m, "|c|<s>b", 0), "2 8 1");
    assert_string_equal(parts_ids(&m, "|c|<|s>", 0), "11 6 7");
    assert_string_equal(parts_ids(&m, "c<|s>", 0), "11 6 7");
    assert_string_equal(parts_ids(&m, "a<s>|ca", 0), "0 8 12"); /* nor one where it begins */
    assert_string_equal(parts_ids(&m, "a<s>|c|a", 0), "0 8 12");
    assert_string_equal(parts_ids(&m, "a<s>c", 0), "0 15"); /* both in one part: the longest */
    assert_string_equal(parts_ids(&m, "|<s>c|<s>", 0), "15 8");
    assert_string_equal(parts_ids(&m, "<s|>c", 0), "15");
    assert_string_equal(parts_ids(&m, "ab<s>|d", 0), "3 8"); /* nor one that begins within the part it comes from */
    assert_string_equal(parts_ids(&m, "c<s>", 0), "11 6 7"); /* in one part the leftmost wins, as in HuggingFace */
    /* UTF-8 holds for the joined text. */
    assert_string_equal(parts_ids(&m, "ab|a\xff|b", 0), "part 1 is not UTF-8: byte 0xff at offset 1");
    assert_string_equal(parts_ids(&m, "ab|\xc3|b", 0), "part 1 is not UTF-8: byte 0xc3 at offset 0");
    assert_string_equal(parts_ids(&m, "ab|\xff\xff<s>|<s>", STRATA_TOKENIZE_LOSSY), "3 5 6 7 8");
    assert_string_equal(parts_ids(&m, "\xff<s>\xff\xff|<s>\xf0|<s>", STRATA_TOKENIZE_LOSSY), "8 5 6 7 8");
    assert_string_equal(parts_ids(&m, "ab\xe2|<s>|\x82<s>", STRATA_TOKENIZE_LOSSY), "3 5 6 7 8");
    close_model(&m);
}

static void bpe_bos_and_pre(void **state)
{
    (void)state;
    model m;
#define BOS .key = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"}, .value = {10, 15}
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("llama-bpe"), BOS});
    assert_string_equal(ids(&m, "cab", STRATA_TOKENIZE_ADD_SPECIAL), "10 16"); /* BOS by default, ignore_merges */
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe),
           &(keys){BPE("llama-bpe"), BOS, .flag = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"},
                   .set = {false, true}});
    assert_string_equal(ids(&m, "c", STRATA_TOKENIZE_ADD_SPECIAL), "2 15");
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe),
           &(keys){BPE("gpt-2"), .key = {"tokenizer.ggml.cls_token_id", "tokenizer.ggml.seperator_token_id"},
                   .value = {10, 15}, .flag = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"},
                   .set = {true, true}});
    assert_string_equal(ids(&m, "c", STRATA_TOKENIZE_ADD_SPECIAL), "10 2 15"); /* files of encoders have these */
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2"), .flag = {"tokenizer.ggml.add_space_prefix"}, .set = {true}});
    assert_string_equal(ids(&m, "abc", 0), "9 7");
    assert_string_equal(ids(&m, " a", 0), "9");
    assert_string_equal(spans(&m, "abc"), "0-1 1-3");
    close_model(&m);
}

static void bpe_nfc(void **state)
{
    (void)state;
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("qwen2")});
    assert_string_equal(ids(&m,
                            "ae\xcc\x81"
                            "b",
                            0),
                        "0 13 1"); /* e and U+0301 are one letter, é */
    assert_string_equal(spans(&m, "ae\xcc\x81"
                                  "b"),
                        "0-1 1-4 4-5");
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2")});
    assert_string_equal(ids(&m,
                            "ae\xcc\x81"
                            "b",
                            0),
                        "0 21 22 23 1");
    close_model(&m);
}

static void bpe_names(void **state)
{
    (void)state;
    model m;
    refused(STRATA_UNSUPPORTED_TOKENIZER,
            "pre-tokenizer 'gpt-5' is not supported, one of these can take its place (pre_tokenizer, --pre): gpt-2",
            "gpt2", bpe, N(bpe), &(keys){BPE("gpt-5")});
    assert_int_equal(open_model(&m, "gpt2", bpe, N(bpe), &(keys){BPE("\x1b[2J")}), STRATA_UNSUPPORTED_TOKENIZER);
    assert_non_null(strstr(m.err.msg, "'?[2J'"));
    assert_non_null(strstr(m.info, "poro-chat, viking")); /* the log has all names */
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE(NULL)});
    assert_non_null(strstr(m.log, "key 'tokenizer.ggml.pre' is missing: assuming 'gpt-2'"));
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("default"), .arch = "gptneox"});
    assert_non_null(strstr(m.log, "says only 'default': assuming 'gpt-neox'"));
    assert_string_equal(ids(&m, "e\xcc\x81", 0), "13");
    close_model(&m);
}

static void bpe_wrong_merges(void **state)
{
    (void)state;
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.merges' is missing", "gpt2", bpe, N(bpe),
            &(keys){.pre = "gpt-2", .no_merges = 1});
    refused(STRATA_CORRUPT_MODEL, "'tokenizer.ggml.merges' is not an array of strings", "gpt2", bpe, N(bpe),
            &(keys){.pre = "gpt-2", .merges_f32 = 1});
    /* What makes no token is left out; of two equal ones the last counts, as in HF. */
    static const char *const odd[] = {"",    " ",   "a",   "a ",  " b",  "ab", "a  b",
                                      "x y", "a x", "b c", "a b", "b c", "c",  "  "};
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){.pre = "gpt-2", .merges = odd, .n_merges = N(odd)});
    assert_non_null(strstr(m.log, "11 of 14 merges make no token"));
    assert_string_equal(ids(&m, "abc", 0), "6 2");
    close_model(&m);
    opened(&m, "gpt2", bpe, N(bpe), &(keys){.pre = "gpt-2"}); /* none at all */
    assert_string_equal(ids(&m, "ab", 0), "0 1");
    close_model(&m);
}

/* The array of short pieces and the heap of long ones against the rule spelled out. */
static void bpe_against_naive(void **state)
{
    (void)state;
    char rules[64][24], spelled[67][16];
    const char *list[64];
    tok v[67];
    size_t n = 3;
    for (int i = 0; i < 3; i++) snprintf(spelled[i], 16, "%c", 'a' + i);
    uint64_t seed = 7;
    size_t left[64], right[64], made[64], merges = 0;
    for (int tries = 0; tries < 3000 && merges < 64; tries++) {
        size_t l = NEXT % n, r = NEXT % n;
        if (strlen(spelled[l]) + strlen(spelled[r]) > 8) continue;
        char s[24];
        snprintf(s, sizeof s, "%s%s", spelled[l], spelled[r]);
        size_t id = 0;
        while (id < n && strcmp(spelled[id], s) != 0) id++;
        bool twice = false;
        for (size_t i = 0; i < merges; i++) twice = twice || (left[i] == l && right[i] == r);
        if (twice || id == 67) continue;
        if (id == n) memcpy(spelled[n++], s, 16);
        left[merges] = l, right[merges] = r, made[merges] = id;
        snprintf(rules[merges], sizeof rules[0], "%s %s", spelled[l], spelled[r]);
        list[merges] = rules[merges];
        merges++;
    }
    for (size_t i = 0; i < n; i++) v[i] = (tok){spelled[i], 0, NORMAL};
    model m;
    opened(&m, "gpt2", v, n, &(keys){.pre = "gpt-2", .merges = list, .n_merges = merges});
    for (int round = 0; round < 400; round++) {
        char text[200];
        size_t len = 1 + NEXT % (round % 2 ? 190 : 40), k = len, sym[200];
        for (size_t i = 0; i < len; i++) text[i] = (char)('a' + (sym[i] = NEXT % 3));
        for (;;) {
            size_t best = merges, at = 0;
            for (size_t i = 0; i + 1 < k; i++)
                for (size_t r = 0; r < best; r++)
                    if (left[r] == sym[i] && right[r] == sym[i + 1]) best = r, at = i;
            if (best == merges) break;
            sym[at] = made[best];
            for (size_t i = at + 1; i + 1 < k; i++) sym[i] = sym[i + 1];
            k--;
        }
        char want[1000] = "";
        for (size_t i = 0, o = 0; i < k; i++)
            o += (size_t)snprintf(want + o, sizeof want - o, "%s%zu", i ? " " : "", sym[i]);
        assert_string_equal(ids_n(&m, text, len, 0), want);
    }
    close_model(&m);
}

static void bpe_long(void **state)
{
    (void)state;
    model m;
    opened(&m, "gpt2", bpe, N(bpe), &(keys){BPE("gpt-2")});
    size_t n = 1 << 18;
    char *text = malloc(n);
    static const char *const of[] = {"a", "ab", "abc", "'", " "};
    for (size_t k = 0; k < N(of); k++) {
        for (size_t i = 0; i < n; i++) text[i] = of[k][i % strlen(of[k])];
        st_tokens out = {.mem = &m.mem};
        clock_t begin = clock();
        assert_int_equal(st_tokenizer_encode(m.t, text, n, 0, &out, &m.err), 0);
        assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5);
        if (k == 2) assert_int_equal(out.n, n / 3 + n % 3);
        st_tokens_free(&out);
    }
    free(text);
    close_model(&m);
}

static void bpe_memory(void **state)
{
    (void)state;
    model m;
    make_file(&m, "gpt2", bpe, N(bpe), &(keys){BPE("qwen2")});
    fail_every_allocation(&m);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_rules),
        cmocka_unit_test(raw_bytes),
        cmocka_unit_test(control_tokens_only_in_trusted_parts),
        cmocka_unit_test(bpe_bos_and_pre),
        cmocka_unit_test(bpe_nfc),
        cmocka_unit_test(bpe_names),
        cmocka_unit_test(bpe_wrong_merges),
        cmocka_unit_test(bpe_against_naive),
        cmocka_unit_test(bpe_long),
        cmocka_unit_test(bpe_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
