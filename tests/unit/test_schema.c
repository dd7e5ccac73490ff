/* test_schema.c: JSON Schema -> grammar: what it accepts, what it refuses, what it says. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_memalign */
#endif
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "grammar/grammar.h"
#include "grammar/schema/schema.h"
#include "grammar/schema/schema_internal.h"
#include "sample/sampler.h"
#include "support/sanitized.h"

#define N(a) (sizeof(a) / sizeof(a)[0])

static uint32_t rnd(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

typedef struct compiled {
    st_mem mem;
    st_grammar *g;
    st_grammar_state *s;
    char *gbnf;
} compiled;

static void compile(compiled *c, const char *schema)
{
    strata_error err;
    size_t len;
    st_mem_init(&c->mem, NULL, 0);
    if (st_schema_to_gbnf(schema, strlen(schema), &c->mem, &c->gbnf, &len, &err)) fail_msg("%s\n%s", schema, err.msg);
    assert_int_equal(strlen(c->gbnf), len);
    if (st_grammar_open(c->gbnf, len, NULL, &c->mem, &c->g, &err)) fail_msg("%s\n%s\n%s", schema, c->gbnf, err.msg);
    assert_int_equal(st_grammar_state_open(c->g, &c->s, &err), STRATA_OK);
}

static void close_compiled(compiled *c)
{
    st_grammar_state_close(c->s);
    st_grammar_close(c->g);
    st_free(&c->mem, c->gbnf);
    assert_true(c->mem.used == 0);
}

static bool accepts(compiled *c, const char *text, size_t n)
{
    strata_error err;
    st_grammar_state_reset(c->s);
    int rc = st_grammar_accept_bytes(c->s, (const uint8_t *)text, n, &err);
    assert_true(rc == STRATA_OK || rc == STRATA_INVALID_ARG);
    return rc == STRATA_OK && st_grammar_is_done(c->s);
}

static void table(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *yes, *no; /* texts between newlines */
    } c[] = {
        {"true", "1\nnull\n\"a\"\n{\"a\": [1, {}]}\n[]", "tru\n01\n{a:1}"},
        {"{}", "1\n{}\n[ 1,2]", "x"},
        {"{\"type\":\"null\"}", "null", "nul\n0"},
        {"{\"type\":\"boolean\"}", "true\nfalse", "null"},
        {"{\"type\":[\"string\",\"null\"]}", "\"a\"\nnull", "1"},
        {"{\"type\":\"string\",\"nullable\":true}", "\"a\"\nnull", "1"},
        {"{\"type\":\"string\"}", "\"\"\n\"a\\n\\u00e9\\ud83d\\ude00\xc3\xa9\"\n\"\\/\"",
         "\"\\ud83d\"\n\"\\x\"\n\"\t\"\na\n\"a"},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
         "\"ab\"\n\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"\n\"\\n\\\"\"\n\"\\ud83d\\ude00x\"",
         "\"a\"\n\"abcd\"\n\"\\ud83d\\ude00\""},
        {"{\"minLength\":1}", "\"a\"", "\"\"\n1"},
        {"{\"type\":\"integer\"}", "0\n-5\n123456789", "01\n1.5\n1e3\n+1"},
        {"{\"type\":\"number\"}", "0\n-5.25\n1e5\n1.5E-3", ".5\n1.\n-\n00"},
        {"{\"type\":\"number\",\"multipleOf\":1}", "4", "1.5"},
        {"{\"enum\":[\"a\",1,null,true,{\"x\":[1,\"q\\\"\"]}]}", "\"a\"\n1\nnull\ntrue\n{\"x\":[1,\"q\\\"\"]}",
         "\"b\"\nfalse\n2"},
        {"{\"enum\":[\"a\",1,null],\"type\":\"string\"}", "\"a\"", "1\nnull"},
        {"{\"enum\":[1,2,3],\"allOf\":[{\"enum\":[2.0,3,4]}]}", "2\n3", "1\n4"},
        {"{\"const\":\"\\u00e9\\n\\\\\"}", "\"\xc3\xa9\\n\\\\\"", "\"e\""},
        {"{\"const\":null}", "null", "0"},
        {"{\"type\":\"object\"}", "{}\n{\"a\":1}\n{\"a\":1, \"b\":{}}", "[]\n{\"a\"}"},
        {"{\"type\":\"object\",\"properties\":{}}", "{}\n{ }", "{\"a\":1}"},
        {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"},\"c\":{}},\"required\":[\"b\"]}",
         "{\"b\":true}\n{\"a\":1,\"b\":true}\n{\"a\":1, \"b\":false, \"c\":\"x\"}\n{\n  \"b\": "
         "true\n}\n{\"b\":true,\"c\":null}",
         "{}\n{\"a\":1}\n{\"b\":true,\"a\":1}\n{\"b\":1}\n{\"b\":true,}\n{\"b\":true,\"d\":1}\n{\"b\":true,\"b\":true}"
         "\n{,\"b\":true}"},
        {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"additionalProperties\":{\"type\":\"integer\"}}",
         "{}\n{\"a\":null}\n{\"a\":null,\"b\":1}\n{\"b\":1,\"ab\":2}\n{\"\":1}\n{\"\xc3\xa9\":1}",
         "{\"a\":1}\n{\"b\":null}\n{\"b\":1,\"a\":1}\n{\"\\u0061\":1}"},
        {"{\"properties\":{\"ab\":{},\"abc\":{},\"x\\\"y\":{},\"\xc3\xa9\":{}},\"additionalProperties\":true}",
         "{\"a\":1}\n{\"abcd\":1}\n{\"b\":1,\"abd\":1}\n{\"ab\":1,\"abc\":2,\"abcd\":3}\n{\"x\\\"y\":1}\n{\"x\":1}\n{"
         "\"xz\":1}\n{\"\xc3\xa8\":1}",
         "{\"abc\":1,\"ab\":1}\n{\"a\":1,\"ab\":1}\n{\"x\"y\":1}\n{\"q\":1,\"\xc3\xa9\":2}"},
        {"{\"additionalProperties\":{\"type\":\"integer\"}}", "{}\n{\"a\":1}", "{\"a\":\"b\"}"},
        {"{\"type\":\"object\",\"required\":[\"k\"]}", "{\"k\":1}\n{\"k\":[], \"z\":1}", "{}\n{\"z\":1}"},
        {"{\"properties\":{\"a\":false,\"b\":true}}", "{}\n{\"b\":1}", "{\"a\":1}"},
        {"{\"type\":\"array\"}", "[]\n[1, \"a\",{}]", "{}\n[1,]"},
        {"{\"items\":{\"type\":\"integer\"}}", "[]\n[1]\n[1, 2,3]", "[null]"},
        {"{\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}", "[1,2]\n[1,2,3]", "[]\n[1]\n[1,2,3,4]"},
        {"{\"items\":false}", "[]\n[ ]", "[1]"},
        {"{\"type\":\"array\",\"maxItems\":0}", "[]", "[1]"},
        {"{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}",
         "[]\n[1]\n[1,\"a\"]\n[1,\"a\",null]\n[1,\"a\",null,null]", "[\"a\"]\n[1,2]\n[1,\"a\",1]"},
        {"{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false,\"minItems\":1}",
         "[1]\n[1,\"a\"]", "[]\n[1,\"a\",null]"},
        {"{\"items\":[{\"type\":\"integer\"}],\"additionalItems\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":3}",
         "[1,null]\n[1,null,null]", "[1]\n[1,null,null,null]\n[null,null]"},
        {"{\"prefixItems\":[true,false,true]}", "[]\n[1]", "[1,2]"},
        {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}", "1\nnull", "\"a\""},
        {"{\"oneOf\":[{\"const\":1},{\"const\":\"b\"}]}", "1\n\"b\"", "2"},
        {"{\"type\":\"string\",\"anyOf\":[{\"type\":\"integer\"},{\"minLength\":3}]}", "\"abc\"", "1\n\"a\""},
        {"{\"anyOf\":[{\"const\":1},{\"const\":2}],\"oneOf\":[{\"const\":2},{\"const\":3}]}", "2", "1\n3"},
        {"{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"],\"anyOf\":[{\"properties\":{\"b\":{"
         "\"type\":\"null\"}},\"required\":[\"b\"]},"
         "{\"properties\":{\"c\":{\"type\":\"null\"}},\"required\":[\"c\"]}]}",
         "{\"a\":1,\"b\":null}\n{\"a\":1,\"c\":null}", "{\"a\":1}\n{\"b\":null}\n{\"a\":1,\"b\":null,\"c\":null}"},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":1}}},{\"properties\":{\"a\":{\"type\":\"integer\","
         "\"maximum\":3},\"b\":{}},\"required\":[\"a\"]}]}",
         "{\"a\":1}\n{\"a\":3,\"b\":0}", "{\"a\":0}\n{\"a\":4}\n{\"a\":1.5}\n{}"},
        {"{\"allOf\":[{\"minLength\":2},{\"maxLength\":3},{\"minLength\":1}]}", "\"ab\"\n\"abc\"", "\"a\"\n\"abcd\""},
        {"{\"$ref\":\"#/$defs/"
         "t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"k\":{\"type\":"
         "\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"v\"]}}}",
         "{\"v\":1}\n{\"v\":1,\"k\":[]}\n{\"v\":1,\"k\":[{\"v\":2,\"k\":[{\"v\":3}]},{\"v\":4}]}",
         "{}\n{\"v\":1,\"k\":[1]}"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#\"}},\"required\":"
         "[\"next\"]}]}",
         "null\n{\"next\":null}\n{\"next\":{\"next\":null}}", "{}\n{\"next\":1}"},
        {"{\"$ref\":\"#/definitions/a~1b%25\",\"definitions\":{\"a/b%\":{\"type\":\"null\"}}}", "null", "1"},
        {"{\"properties\":{\"x\":{\"$ref\":\"#/properties/y/items/0\"},\"y\":{\"items\":[{\"const\":5}]}}}",
         "{\"x\":5}", "{\"x\":6}"},
        {"{\"$ref\":\"#/$defs/"
         "a\",\"description\":\"d\",\"maximum\":3,\"$defs\":{\"a\":{\"type\":\"integer\",\"minimum\":1}}}",
         "1\n3", "0\n4"},
        {"{\"type\":\"string\",\"format\":\"date\"}", "\"2024-02-29\"\n\"2023-12-31\"\n\"2000-02-29\"\n\"1999-04-30\"",
         "\"2023-02-29\"\n\"1900-02-29\"\n\"2023-04-31\"\n\"2023-13-01\"\n\"2023-1-01\"\n\"2023-01-00\"\n\"2023-01-"
         "32\""},
        {"{\"format\":\"time\"}", "\"23:59:59Z\"\n\"00:00:00.123+01:30\"", "\"24:00:00Z\"\n\"12:00\"\n\"12:60:00Z\""},
        {"{\"format\":\"date-time\"}", "\"2024-01-01T00:00:00Z\"", "\"2024-01-01 00:00:00Z\""},
        {"{\"format\":\"uuid\"}", "\"123e4567-e89b-12d3-a456-426614174000\"",
         "\"123e4567e89b12d3a456426614174000\"\n\"123e4567-e89b-12d3-a456-42661417400g\""},
        {"{\"type\":\"string\",\"format\":\"email\"}", "\"anything\"", "1"},
        {"{\"type\":\"string\",\"pattern\":\"^[a-z]+\\\\d{2,3}$\"}", "\"ab12\"\n\"z999\"",
         "\"12\"\n\"ab1\"\n\"ab1234\"\n\"xab12 \""},
        {"{\"pattern\":\"b\"}", "\"b\"\n\"abc\"\n\"\\nb\"", "\"ac\"\n\"\""},
        {"{\"pattern\":\"^a|b$\"}", "\"a\"\n\"ax\"\n\"b\"\n\"xb\"", "\"xa\"\n\"bx\""},
        {"{\"pattern\":\"^(?:foo|ba[rz])?(?<n>x)*?$\"}", "\"\"\n\"foo\"\n\"bazxx\"", "\"ba\"\n\"foofoo\""},
        {"{\"pattern\":\"^[^a-c]$\"}", "\"d\"\n\"\\n\"\n\"\\\"\"\n\"\\\\\"\n\"\xf0\x9f\x98\x80\"",
         "\"a\"\n\"\"\n\"\\\""},
        {"{\"pattern\":\"^.\\\\.\\\\/[\\\\]\\\\\\\\\\\"]$\"}", "\"x./]\"\n\"\xc3\xa9./\\\\\"\n\"\\\"./\\\"\"",
         "\"\\n./]\"\n\"xa/]\""},
        {"{\"pattern\":\"^\\\\w\\\\W\\\\s\\\\S\\\\D\\\\u0041\\\\x42\\\\u{43}$\"}",
         "\"a- bcABC\"\n\"_\xc3\xa9\\n\xc3\xa9-ABC\"",
         "\"-- bcABC\"\n\"aa bcABC\"\n\"a-bbcABC\"\n\"a-  cABC\"\n\"a- b1ABC\"\n\"a- bcABD\""},
        {"{\"pattern\":\"^[a\\\\-z-]{2}$\",\"minLength\":1,\"maxLength\":2}", "\"a-\"\n\"zz\"", "\"b-\"\n\"-\""},
        {"{\"pattern\":\"^$\"}", "\"\"", "\"a\""},
        {"{\"pattern\":\"\"}", "\"\"\n\"a\"", "1"},
        {"{\"pattern\":\"^[\\\\w.+-]+@[a-z]{1,9}(\\\\.[a-z]+)+$\"}", "\"a.b+c@de.fg.hi\"", "\"a@b\"\n\"@a.b\""},
        {"{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[],\"$schema\":\"s\",\"x-any\":{},"
         "\"uniqueItems\":false,\"type\":\"null\"}",
         "null", "1"},
        {"{\"type\":\"integer\",\"minimum\":0,\"exclusiveMinimum\":true,\"maximum\":2,\"exclusiveMaximum\":false}",
         "1\n2", "0\n3"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{}},\"required\":[\"a\"],\"minProperties\":1}", "{\"a\":1}", "{}"},
        {"{\"type\":[\"integer\",\"string\"],\"minimum\":5,\"maxLength\":1}", "5\n\"a\"", "4\n\"ab\""},
    };
    for (size_t i = 0; i < N(c); i++) {
        compiled k;
        compile(&k, c[i].schema);
        for (int no = 0; no < 2; no++)
            for (const char *p = no ? c[i].no : c[i].yes;; p++) {
                size_t n = strcspn(p, "\n");
                if (strstr(c[i].schema, "\"b\":{\"type\":\"boolean\"},\"c\"") && !no &&
                    n == 1) { /* the one text over lines */
                    n = strlen("{\n  \"b\": true\n}");
                }
                if (accepts(&k, p, n) == no)
                    fail_msg("%s\n'%.*s' is %s\n%s", c[i].schema, (int)n, p, no ? "accepted" : "refused", k.gbnf);
                p += n;
                if (!*p) break;
            }
        close_compiled(&k);
    }
}

/* What generators write: zod 4, pydantic 2, NJsonSchema. */
static void generators(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *yes, *no;
    } c[] = {
        /* counts that are kept exactly, in characters */
        {"{\"maxLength\":9007199254740991}", "\"\"\n\"abc\"", "1"},
        {"{\"pattern\":\"^[a-z]+$\",\"maxLength\":3}", "\"a\"\n\"abc\"", "\"\"\n\"abcd\"\n\"A\""},
        {"{\"pattern\":\"^[a-z_][a-z0-9_]*$\",\"minLength\":3,\"maxLength\":5}", "\"a_1\"\n\"abcde\"",
         "\"a1\"\n\"abcdef\"\n\"1ab\""},
        {"{\"pattern\":\"^(a|bc)+$\",\"minLength\":3,\"maxLength\":4}", "\"aaa\"\n\"abc\"\n\"bcbc\"",
         "\"aa\"\n\"bcbca\"\n\"bc\""},
        {"{\"pattern\":\"b\",\"maxLength\":2}",
         "\"b\"\n\"ab\"\n\"\xc3\xa9"
         "b\"",
         "\"a\"\n\"aab\""},
        {"{\"pattern\":\"^a\",\"allOf\":[{\"pattern\":\"b$\"},{\"pattern\":\"^a\"}]}", "\"ab\"\n\"acb\"",
         "\"a\"\n\"b\"\n\"ba\""},
        /* looking ahead: zod's e-mail, pydantic's Decimal, zod's duration */
        {"{\"type\":\"string\",\"format\":\"email\",\"pattern\":\"^(?!\\\\.)(?!.*\\\\.\\\\.)([A-Za-z0-9_'+\\\\-\\\\.]*)"
         "[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\\\-]*\\\\.)+[A-Za-z]{2,}$\",\"maxLength\":12}",
         "\"a@b.cd\"\n\"a.b@c-d.ef\"", "\".a@b.cd\"\n\"a..b@c.de\"\n\"a.@b.cd\"\n\"abcdef@b.cdef\"\n\"a@b\""},
        {"{\"pattern\":\"^(?!^[-+.]*$)[+-]?0*\\\\d*\\\\.?\\\\d*$\"}", "\"1\"\n\"-0.5\"\n\"+12.\"",
         "\"\"\n\"-\"\n\".\"\n\"1.2.3\""},
        {"{\"pattern\":\"^P(?:(\\\\d+W)|(?!.*W)(?=\\\\d|T\\\\d)(\\\\d+Y)?(\\\\d+D)?(T(?=\\\\d)(\\\\d+H)?(\\\\d+M)?)?)$"
         "\"}",
         "\"P3W\"\n\"P1Y\"\n\"PT5M\"\n\"P1DT2H3M\"", "\"P\"\n\"PT\"\n\"P1YT\"\n\"P1W1D\""},
        {"{\"pattern\":\"^(?=.{2,3}$)[a-z]*$\"}", "\"ab\"\n\"abc\"", "\"a\"\n\"abcd\""},
        /* a format beside a pattern: both, unless nothing is both */
        {"{\"format\":\"date\",\"pattern\":\"^2\"}", "\"2024-02-29\"", "\"2023-02-29\"\n\"1999-01-01\"\n\"2x\""},
        {"{\"format\":\"time\",\"pattern\":\"^\\\\d\\\\d:\\\\d\\\\d$\"}", "\"12:30\"", "\"12:30:00Z\""},
        {"{\"format\":\"uuid\",\"maxLength\":36}", "\"123e4567-e89b-12d3-a456-426614174000\"", "\"1\""},
        /* an enum beside what its values can fail */
        {"{\"enum\":[\"a\",\"abc\",\"abcd\",\"xyz\",5],\"minLength\":2,\"pattern\":\"^a\"}", "\"abc\"\n\"abcd\"\n5",
         "\"a\"\n\"xyz\""},
        {"{\"enum\":[1,2.5,3,4],\"exclusiveMinimum\":1,\"multipleOf\":0.5,\"maximum\":3}", "2.5\n3", "1\n4"},
        {"{\"enum\":[[1],[1,2],[1,1]],\"minItems\":2,\"uniqueItems\":true}", "[1,2]", "[1]\n[1,1]"},
        {"{\"enum\":[{\"a\":1,\"b\":2},{\"a\":1}],\"allOf\":[{\"enum\":[{\"b\":2.0,\"a\":1}]}]}", "{\"a\":1,\"b\":2}",
         "{\"a\":1}"},
        {"{\"enum\":[{\"a\":1},{\"a\":\"x\"},{}],\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}",
         "{\"a\":1}", "{}\n{\"a\":\"x\"}"},
        {"{\"enum\":[1,2,3],\"not\":{\"enum\":[2,7]}}", "1\n3", "2"},
        {"{\"enum\":[\"a\",\"ab\",\"abc\",\"\xc3\xa9\",\"\xc3\xa8\",\"\"]}",
         "\"a\"\n\"ab\"\n\"abc\"\n\"\xc3\xa9\"\n\"\xc3\xa8\"\n\"\"", "\"b\"\n\"abcd\"\n\"\xc3\xaa\""},
        {"{\"anyOf\":[{\"const\":\"a\"},{\"type\":\"integer\"},{\"const\":\"b\",\"title\":\"t\"},{\"enum\":[\"a\","
         "\"c\"]}]}",
         "\"a\"\n\"b\"\n\"c\"\n7", "\"d\""},
        /* zod 4's hostname: 253 places times those of a label */
        {"{\"type\":\"string\",\"format\":\"hostname\",\"pattern\":\"^(?=.{1,253}\\\\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,"
         "61}"
         "[a-zA-Z0-9])?(?:\\\\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\\\\.?$\"}",
         "\"a\"\n\"a-b.example.com\"\n\"a.b.\"", "\"\"\n\"-a\"\n\"a-\"\n\"a..b\"\n\"a_b\""},
        /* bounds with fractions of different length: the shortest form of each is there */
        {"{\"type\":\"number\",\"minimum\":0.1,\"maximum\":0.35}", "0.1\n0.10\n0.2\n0.35\n0.350", "0.09\n0.36\n0\n1"},
        {"{\"type\":\"number\",\"minimum\":0.5,\"maximum\":0.55}", "0.5\n0.50\n0.51\n0.55", "0.49\n0.56\n0.\n0"},
        {"{\"type\":\"number\",\"exclusiveMinimum\":0.1,\"maximum\":0.35}", "0.101\n0.2\n0.3", "0.1\n0.10\n0.36"},
        {"{\"type\":\"number\",\"exclusiveMinimum\":0.5,\"maximum\":0.55}", "0.501\n0.55", "0.5\n0.50\n0.56"},
        /* propertyNames */
        {"{\"propertyNames\":{\"anyOf\":[{\"type\":\"string\",\"const\":\"a\"},{\"enum\":[\"b\",\"cc\"]},false],"
         "\"maxLength\":1},\"additionalProperties\":{\"type\":\"null\"},\"required\":[\"a\"],\"type\":\"object\"}",
         "{\"a\":null}\n{\"a\":null,\"b\":null}",
         "{}\n{\"b\":null}\n{\"a\":null,\"cc\":null}\n{\"a\":null,\"x\":null}"},
        {"{\"propertyNames\":{\"anyOf\":[{\"const\":\"a\"},{\"pattern\":\"^b+$\"}]},\"type\":\"object\"}",
         "{}\n{\"a\":1}\n{\"bb\":1, \"a\":2}", "{\"c\":1}\n{\"aa\":1}"},
        {"{\"propertyNames\":{\"not\":{\"enum\":[\"x\",\"yy\"]}},\"type\":\"object\"}", "{}\n{\"xx\":1,\"y\":2}",
         "{\"x\":1}\n{\"a\":1,\"yy\":2}"},
        {"{\"patternProperties\":{\"^[a-z]*$\":{\"type\":\"null\"}},\"propertyNames\":{\"maxLength\":3},"
         "\"type\":\"object\"}",
         "{}\n{\"abc\":null}", "{\"abcd\":null}\n{\"A\":null}\n{\"a\":1}"},
        {"{\"type\":\"object\",\"propertyNames\":{\"type\":\"string\"},\"additionalProperties\":{\"type\":\"null\"}}",
         "{}\n{\"a\":null}", "{\"a\":1}"},
        {"{\"propertyNames\":{\"type\":\"string\",\"enum\":[\"a\",\"b\"]},\"additionalProperties\":{\"type\":\"null\"},"
         "\"required\":[\"a\"]}",
         "{\"a\":null}\n{\"a\":null,\"b\":null}", "{}\n{\"b\":null}\n{\"a\":null,\"c\":null}"},
        {"{\"propertyNames\":{\"pattern\":\"^[a-z]{2}$\"},\"additionalProperties\":{\"type\":\"null\"}}",
         "{}\n{\"ab\":null}\n{\"ab\":null,\"cd\":null}", "{\"a\":null}\n{\"abc\":null}"},
        {"{\"propertyNames\":{\"maxLength\":2,\"minLength\":1},\"additionalProperties\":true}", "{\"ab\":1}",
         "{\"\":1}\n{\"abc\":1}"},
        {"{\"propertyNames\":{\"maxLength\":1},\"properties\":{\"a\":true,\"bb\":true},\"additionalProperties\":false}",
         "{\"a\":1}\n{}", "{\"bb\":1}"},
        {"{\"patternProperties\":{\"^x-\":{\"type\":\"null\"}},\"additionalProperties\":false}", "{}\n{\"x-a\":null}",
         "{\"y\":null}\n{\"x-a\":1}"},
        {"{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":2}", "{\"a\":1}\n{\"a\":1,\"b\":2}",
         "{}\n{\"a\":1,\"b\":2,\"c\":3}"},
        {"{\"properties\":{\"a\":{},\"b\":{}},\"minProperties\":1}", "{\"a\":1}\n{\"b\":1}\n{\"a\":1,\"b\":1}", "{}"},
        {"{\"properties\":{\"a\":{},\"b\":{}},\"minProperties\":2}", "{\"a\":1,\"b\":1}", "{}\n{\"b\":1}"},
        {"{\"properties\":{\"a\":{}},\"required\":[\"a\"],\"additionalProperties\":true,\"minProperties\":2,"
         "\"maxProperties\":3}",
         "{\"a\":1,\"b\":1}\n{\"a\":1,\"b\":1,\"c\":1}", "{\"a\":1}\n{\"a\":1,\"b\":1,\"c\":1,\"d\":1}"},
        /* not */
        {"{\"anyOf\":[{\"not\":{}},{\"type\":\"null\"}]}", "null", "1"},
        {"{\"properties\":{\"a\":{\"not\":{}},\"b\":{\"type\":\"null\"}}}", "{}\n{\"b\":null}", "{\"a\":1}"},
        {"{\"not\":false,\"type\":\"null\"}", "null", "1"},
        {"{\"type\":[\"string\",\"null\",\"integer\"],\"not\":{\"type\":\"null\"}}", "1\n\"a\"", "null"},
        {"{\"type\":[\"string\",\"null\"],\"not\":{\"const\":null}}", "\"a\"", "null"},
        {"{\"type\":\"string\",\"not\":{\"enum\":[\"ab\",\"\"]}}", "\"a\"\n\"abc\"\n\"b\"", "\"ab\"\n\"\""},
        {"{\"type\":\"string\",\"not\":{\"pattern\":\"^a\",\"type\":\"string\"},\"maxLength\":2}", "\"\"\n\"ba\"",
         "\"a\"\n\"bbb\""},
        /* references */
        {"{\"$ref\":\"#x\",\"$defs\":{\"q\":{\"$anchor\":\"x\",\"type\":\"null\"}}}", "null", "1"},
        {"{\"$ref\":\"#x\",\"definitions\":{\"q\":{\"$id\":\"#x\",\"type\":\"null\"}}}", "null", "1"},
        {"{\"$id\":\"https://e.org/s/"
         "root.json\",\"$ref\":\"item.json\",\"$defs\":{\"q\":{\"$id\":\"item.json\",\"type\":\"null\"}}}",
         "null", "1"},
        {"{\"$id\":\"https://e.org/s/root.json\",\"$ref\":\"https://e.org/s/item.json#/$defs/"
         "a\",\"$defs\":{\"q\":{\"$id\":"
         "\"item.json\",\"$defs\":{\"a\":{\"$ref\":\"#b\"},\"b\":{\"$anchor\":\"b\",\"type\":\"null\"}}}}}",
         "null", "1"},
        {"{\"$id\":\"https://e.org/s.json\",\"anyOf\":[{\"type\":\"null\"},{\"items\":{\"$ref\":\"https://e.org/"
         "s.json\"}}]}",
         "null\n[null,[null]]", "1\n[1]"},
        {"{\"$ref\":\"#/$defs/a%20%22%7E1~0%C3%A9\",\"$defs\":{\"a \\\"/~\\u00e9\":{\"type\":\"null\"}}}", "null", "1"},
        /* a base class first, whichever way round it is said */
        {"{\"allOf\":[{\"$ref\":\"#/$defs/"
         "b\"},{\"properties\":{\"y\":{\"type\":\"null\"}},\"required\":[\"y\"]}],\"$defs\":{\"b\":"
         "{\"properties\":{\"x\":{\"type\":\"null\"}},\"required\":[\"x\"]}}}",
         "{\"x\":null,\"y\":null}", "{\"x\":null}\n{\"y\":null}"},
        {"{\"allOf\":[{\"properties\":{\"y\":{\"type\":\"null\"}},\"required\":[\"y\"]},{\"$ref\":\"#/$defs/"
         "b\"}],\"$defs\":{\"b\":"
         "{\"properties\":{\"x\":{\"type\":\"null\"}},\"required\":[\"x\"]}}}",
         "{\"y\":null,\"x\":null}", "{\"x\":null}\n{\"y\":null}"},
        /* names */
        {"{\"properties\":{\"a\\\"\\\\\\n\\u0001\\u00e9\\ud83d\\ude00\\u007f/~\":{\"type\":\"null\"}},\"required\":"
         "[\"a\\\"\\\\\\n\\u0001\\u00e9\\ud83d\\ude00\\u007f/~\"]}",
         "{\"a\\\"\\\\\\n\\u0001\xc3\xa9\xf0\x9f\x98\x80\x7f/~\":null}", "{}\n{\"a\":null}"},
        /* uniqueItems */
        {"{\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems\":true}",
         "[]\n[\"c\"]\n[\"c\",\"a\"]\n[\"b\",\"c\",\"a\"]", "[\"a\",\"a\"]\n[\"a\",\"b\",\"a\"]\n[\"d\"]"},
        {"{\"items\":{\"type\":[\"boolean\",\"null\"]},\"uniqueItems\":true,\"minItems\":2}",
         "[true,null]\n[null,false,true]", "[true]\n[true,true]"},
        {"{\"items\":{\"type\":\"integer\"},\"uniqueItems\":true,\"maxItems\":1}", "[]\n[5]", "[5,6]"},
        /* multipleOf */
        {"{\"type\":\"integer\",\"multipleOf\":5}", "0\n-15\n100\n5", "3\n-7\n5.0"},
        {"{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":-20,\"maximum\":50}", "-14\n0\n7\n49", "-21\n56\n8"},
        {"{\"multipleOf\":1000,\"type\":\"number\"}", "0\n1000\n-25000", "100\n1500\n10"},
        {"{\"multipleOf\":0.01}", "0.25\n-3\n12.5\n1.10", "0.001\n0.255"},
        {"{\"multipleOf\":2.5,\"minimum\":0,\"maximum\":10}", "0\n2.5\n7.5\n10", "2\n12.5\n5.1\n-2.5"},
        {"{\"type\":\"integer\",\"multipleOf\":10,\"allOf\":[{\"multipleOf\":4}]}", "20\n0\n-40", "10\n4"},
        /* bounds of a double */
        {"{\"type\":\"number\",\"minimum\":-1.7976931348623157E+308,\"maximum\":1.7976931348623157E+308}", "1e20\n-5.5",
         "x"},
        {"{\"type\":\"number\",\"exclusiveMinimum\":5e-324,\"maximum\":2}", "1\n0.5", "0\n-1\n3"},
        {"{\"type\":\"integer\",\"minimum\":-9223372036854775808,\"maximum\":9223372036854775807}",
         "9223372036854775807\n-9223372036854775808", "9223372036854775808\n-9223372036854775809"},
        {"\xef\xbb\xbf{\"type\":\"null\"}", "null", "1"},
        {"{\"type\":\"string\",\"contentMediaType\":\"application/json\",\"contentSchema\":{}}", "\"a\"", "1"},
    };
    for (size_t i = 0; i < N(c); i++) {
        compiled k;
        compile(&k, c[i].schema);
        for (int no = 0; no < 2; no++)
            for (const char *p = no ? c[i].no : c[i].yes;; p++) {
                size_t n = strcspn(p, "\n");
                if (accepts(&k, p, n) == no)
                    fail_msg("%s\n'%.*s' is %s\n%s", c[i].schema, (int)n, p, no ? "accepted" : "refused", k.gbnf);
                p += n;
                if (!*p) break;
            }
        close_compiled(&k);
    }
}

/* Schemas that add up: what is bounded costs nothing, and the bound is kept to a character. */
static void large(void **state)
{
    (void)state;
    enum { CAP = 2 << 20 };
    char *s = malloc(CAP), *text = malloc(CAP);
    assert_true(s && text);
    compiled k;
    size_t n = (size_t)sprintf(s, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < 200; i++)
        n += (size_t)sprintf(s + n, "%s\"f%d\":{\"type\":\"string\",\"maxLength\":%d}", i ? "," : "", i, 10000 + i % 7);
    sprintf(s + n, "}}");
    compile(&k, s);
    assert_true(k.mem.used < (uint64_t)4 << 20);
    for (int more = 0; more < 2; more++) {
        n = (size_t)sprintf(text, "{\"f3\":\"");
        for (int i = 0; i < 10003 + more; i++, n += 2) memcpy(text + n, i % 2 ? "\\n" : "\xc3\xa9", 2);
        n += (size_t)sprintf(text + n, "\"}");
        assert_int_equal(accepts(&k, text, n), !more);
    }
    close_compiled(&k);
    n = (size_t)sprintf(s, "{\"anyOf\":[");
    for (int i = 0; i < 80; i++) {
        n += (size_t)sprintf(s + n, "%s{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"tool%d\"}",
                             i ? "," : "", i);
        for (int j = 0; j < 3; j++) n += (size_t)sprintf(s + n, ",\"a%d\":{\"type\":\"string\",\"maxLength\":500}", j);
        n += (size_t)sprintf(s + n, "},\"required\":[\"name\",\"a0\"]}");
    }
    sprintf(s + n, "]}");
    compile(&k, s);
    assert_true(accepts(&k, "{\"name\":\"tool77\",\"a0\":\"x\"}", 26));
    close_compiled(&k);
    n = (size_t)sprintf(
        s, "{\"type\":\"array\",\"minItems\":3,\"maxItems\":70000,\"items\":{\"type\":\"object\",\"properties\":{"
           "\"a\":{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":9}}}}");
    compile(&k, s);
    for (int items = 2; items < 70003; items = items == 3 ? 70000 : items + 1) {
        n = (size_t)sprintf(text, "[");
        for (int i = 0; i < items; i++) n += (size_t)sprintf(text + n, "%s{}", i ? "," : "");
        n += (size_t)sprintf(text + n, "]");
        assert_int_equal(accepts(&k, text, n), items >= 3 && items <= 70000);
    }
    close_compiled(&k);
    for (int form = 0; form < 4; form++) {
        static const char *const open[] = {"{\"enum\":[", "{\"anyOf\":[", "{\"oneOf\":[",
                                           "{\"minLength\":2,\"enum\":["};
        n = (size_t)sprintf(s, "%s", open[form]);
        for (int i = 0; i < 20000; i++)
            n += (size_t)sprintf(s + n, form % 3 ? "%s{\"const\":\"value%d\"}" : "%s\"value%d\"", i ? "," : "",
                                 i * 7919 % 20011);
        sprintf(s + n, "]}");
        compile(&k, s);
        assert_true(accepts(&k, "\"value7919\"", 11));
        assert_false(accepts(&k, "\"value20011\"", 12));
        close_compiled(&k);
    }
    free(s);
    free(text);
}

/* ---- the caller's stack ------------------------------------------------------------------------------------------ */

#if !SANITIZED
enum { STACK = 64 << 10, PAINT = 0x5a };

static const char *stack_schema;
static size_t stack_len;

static void *on_a_small_stack(void *user)
{
    (void)user;
    st_mem mem;
    strata_error err;
    char *gbnf;
    size_t len;
    st_grammar *g;
    st_mem_init(&mem, NULL, 0);
    const char *text = stack_schema;
    if (*text == 'r') {
        if (!st_grammar_open(text, stack_len, NULL, &mem, &g, &err)) st_grammar_close(g);
        return NULL;
    }
    if (st_schema_to_gbnf(text, stack_len, &mem, &gbnf, &len, &err)) return NULL;
    if (!st_grammar_open(gbnf, len, NULL, &mem, &g, &err)) st_grammar_close(g);
    st_free(&mem, gbnf);
    return NULL;
}

static void stack(void **state)
{
    (void)state;
    static const struct {
        const char *head, *open, *mid, *close, *tail;
        int n;
    } c[] = {
        {"", "[", "", "]", "", 100000},
        {"", "{\"items\":", "{}", "}", "", 62},
        {"", "{\"anyOf\":[", "{\"minLength\":1}", ",{\"type\":\"null\"}]}", "", 30},
        {"", "{\"allOf\":[", "{\"type\":\"null\"}", "]}", "", 30},
        {"{\"const\":", "[", "1", "]", "}", 62},
        {"{\"enum\":[", "{\"a\":", "1", "}", "],\"additionalProperties\":{}}", 60},
        {"{\"pattern\":\"^", "(", "a", ")", "$\"}", 60},
        {"{\"pattern\":\"^", "(a?", "b", ")*", "$\",\"maxLength\":9}", 60},
        {"{\"pattern\":\"^", "(", "a", "|b)", "$\",\"maxLength\":9}", 60},
        {"{\"pattern\":\"^(?!x)", "(", "a", "){1,2}", "$\"}", 40},
        {"{\"pattern\":\"^", "a?", "", "", "$\",\"maxLength\":20}", 2000},
        {"{\"pattern\":\"^", "(?=a", "", ")", "a*$\"}", 60},
        {"{\"type\":\"number\",\"minimum\":0.", "1234567890", "", "", ",\"maximum\":0.7,\"multipleOf\":0.01}", 4},
        {"{\"$defs\":{\"a\":", "{\"properties\":{\"x\":", "{\"$ref\":\"#/$defs/a\"}", "}}", "},\"$ref\":\"#/$defs/a\"}",
         28},
        {"root ::= ", "(", "\"a\"", ")", "", 200},
        {"root ::= ", "(", "\"a\"", ")*", "", 200},
        {"root ::= ", "(", "\"a\"", " | \"b\"){2,9}", "", 200},
        {"root ::= \"a\"", "*", "", "", "", 700},
        {"root ::= \"a\"", "{3}", "", "", "", 700},
        {"root ::= ", "(", "", "", "", 100000},
    };
    char *paint = NULL;
    size_t most = 0;
    assert_int_equal(posix_memalign((void **)&paint, 4096, 4 * STACK), 0);
    for (size_t i = 0; i < N(c); i++) {
        size_t cap = strlen(c[i].head) + strlen(c[i].mid) + strlen(c[i].tail) +
                     (size_t)c[i].n * (strlen(c[i].open) + strlen(c[i].close)) + 1,
               n = 0;
        char *s = malloc(cap);
        assert_non_null(s);
        n = (size_t)sprintf(s, "%s", c[i].head);
        for (int k = 0; k < c[i].n; k++) n += (size_t)sprintf(s + n, "%s", c[i].open);
        n += (size_t)sprintf(s + n, "%s", c[i].mid);
        for (int k = 0; k < c[i].n; k++) n += (size_t)sprintf(s + n, "%s", c[i].close);
        n += (size_t)sprintf(s + n, "%s", c[i].tail);
        stack_schema = s;
        stack_len = n;
        memset(paint, PAINT, 4 * STACK);
        pthread_attr_t a;
        pthread_t t;
        assert_int_equal(pthread_attr_init(&a), 0);
        assert_int_equal(pthread_attr_setstack(&a, paint, 4 * STACK), 0);
        assert_int_equal(pthread_create(&t, &a, on_a_small_stack, NULL), 0);
        pthread_join(t, NULL);
        pthread_attr_destroy(&a);
        size_t left = 0;
        while (left < 4 * STACK && paint[left] == PAINT) left++;
        if (4 * STACK - left > STACK) fail_msg("%s%s...: %zu bytes of stack", c[i].head, c[i].open, 4 * STACK - left);
        if (4 * STACK - left > most) most = 4 * STACK - left;
        free(s);
    }
    print_message("most: %zu bytes\n", most);
    free(paint);
}
#else
static void stack(void **state)
{
    (void)state; /* sanitizers have frames of their own */
}
#endif

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *msg;
    } c[] = {
        {"", "schema 1:1: found the end, want a value"},
        {"{", "1:2: found the end, want a name"},
        {"{\"type\":\"integer\"} x", "1:20: found 'x', want the end"},
        {"{\"a\":1,}", "want a name in quotes"},
        {"{\"a\" 1}", "want ':'"},
        {"{\"a\":1,\"a\":2}", "1:8: a name that stands twice"},
        {"\n {\"type\":\n \"strin\"}", "schema 3:2: a type, want null"},
        {"[1", "want ',' or ']'"},
        {"\"\\q\"", "want an escape of JSON"},
        {"\"\\ud800\"", "half a surrogate"},
        {"\"a", "a string without end"},
        {"\"\x01\"", "control characters"},
        {"{\"const\":01}", "want ',' or '}'"},
        {"{\"const\":-}", "want a digit"},
        {"\xff", "is not UTF-8"},
        {"5", "a schema, want an object"},
        {"{\"properties\":{\"a\":3},\"required\":[\"a\"]}", "1:20: a schema, want an object"},
        {"false", "nothing satisfies"},
        {"{\"type\":[]}", "nothing satisfies"},
        {"{\"type\":\"string\",\"allOf\":[{\"type\":\"null\"}]}", "nothing satisfies"},
        {"{\"enum\":[1],\"type\":\"string\"}", "nothing satisfies"},
        {"{\"enum\":[]}", "enum, want a list with a value"},
        {"{\"anyOf\":[]}", "anyOf and oneOf, want a list"},
        {"{\"allOf\":{}}", "allOf, want a list"},
        {"{\"properties\":{\"a\":false},\"required\":[\"a\"]}", "nothing satisfies"},
        {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "nothing satisfies"},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":1,\"exclusiveMaximum\":2}", "nothing satisfies"},
        {"{\"type\":\"array\",\"minItems\":2,\"maxItems\":1}", "nothing satisfies"},
        {"{\"type\":\"array\",\"minItems\":-1}", "minItems, want a whole number"},
        {"{\"type\":\"array\",\"minItems\":5000000000}", "minItems, want at most 4294967294"},
        {"{\"maxLength\":1.5}", "maxLength, want a whole number"},
        {"{\"minLength\":2,\"maxLength\":1}", "minLength above maxLength"},
        {"{\"not\":{}}", "nothing satisfies"},
        {"{\"not\":{\"required\":[\"a\"]}}", "1:8: 'not' is supported with"},
        {"{\"not\":{\"const\":1}}", "'not' is supported with"},
        {"{\"type\":\"number\",\"not\":{\"type\":\"integer\"}}", "numbers which are no integers"},
        {"{\"if\":{},\"then\":{}}", "'if' is not supported"},
        {"{\"patternProperties\":{\"a\":{},\"b\":{}}}", "'patternProperties' is supported with one"},
        {"{\"uniqueItems\":true}", "uniqueItems is supported for items"},
        {"{\"uniqueItems\":1}", "uniqueItems, want true or false"},
        {"{\"multipleOf\":0}", "multipleOf, want a number above 0"},
        {"{\"multipleOf\":-2}", "multipleOf, want a number above 0"},
        {"{\"multipleOf\":123456789123}", "more than 9 digits"},
        {"{\"multipleOf\":1234567}", "too large together"},
        {"{\"type\":\"object\",\"minProperties\":2}", "minProperties beyond"},
        {"{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"maxProperties\":2}", "maxProperties below"},
        {"{\"enum\":[1],\"minimum\":2}", "nothing satisfies"},
        {"{\"enum\":[\"a\"],\"contains\":{}}", "'contains' is not supported"},
        {"{\"$ref\":\"http://x/y\"}", "references out of the document"},
        {"{\"$ref\":\"#/nowhere\"}", "$ref to what is not there"},
        {"{\"$ref\":3}", "$ref, want a string"},
        {"{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", "an alternative of itself"},
        {"{\"pattern\":\"(\"}", "pattern, character 1: ')' is missing"},
        {"{\"pattern\":\"a)\"}", "')' without '('"},
        {"{\"pattern\":\"[a\"}", "']' is missing"},
        {"{\"pattern\":\"*\"}", "nothing to repeat"},
        {"{\"pattern\":\"a{3,1}\"}", "a quantifier"},
        {"{\"pattern\":\"a{4294967295}\"}", "4294967294"},
        {"{\"pattern\":\"(?<=a)\"}", "looking behind"},
        {"{\"pattern\":\"^(?:(?=a).)*$\"}", "looking ahead inside a repetition"},
        {"{\"pattern\":\"^(?=a)(?!a)\"}", "nothing satisfies"},
        {"{\"pattern\":\"(a)\\\\1\"}", "not supported (back"},
        {"{\"pattern\":\"\\\\ba\"}", "\\b is not supported"},
        {"{\"pattern\":\"a^b\"}", "^ and $ are supported"},
        {"{\"pattern\":\"^(a|bc)+$\",\"maxLength\":30000}", "too large together"},
        {"{\"pattern\":\"^a\",\"allOf\":[{\"pattern\":\"^b\"}]}", "nothing satisfies"},
        {"{\"format\":\"date\",\"maxLength\":3}", "nothing satisfies"},
        {"{\"minimum\":\"1\"}", "a bound, want a number"},
        {"{\"minimum\":1e99}", "a bound with more than 40 digits"},
        {"\xff\xfe{", "schema: the text is UTF-16"},
        {"{\"extends\":{}}", "'extends' is not supported"},
        {"{\"$id\":\"http://a/b\",\"properties\":{\"a\":{}},\"propertyNames\":{\"$ref\":\"c.json\"}}",
         "$ref to no schema of this document"}, /* looked for while there are nodes that the document does not have */
        {"{\"patternProperties\":{\"^x\":{}},\"propertyNames\":{\"enum\":[\"x\"]},\"type\":\"object\"}",
         "patternProperties beside propertyNames of an enum"},
        {"{\"propertyNames\":{\"pattern\":\"^a\"},\"properties\":{\"ab\":{}},\"additionalProperties\":true}",
         "propertyNames for other names"},
        {"{\"$ref\":\"#x\",\"$defs\":{\"a\":{\"$anchor\":\"y\"}}}", "$ref to what is not there"},
        {"{\"properties\":[]}", "properties, want an object"},
        {"{\"type\":\"object\",\"required\":[1]}", "required, want names"},
    };
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    for (size_t i = 0; i < N(c); i++) {
        strata_error err = {0};
        char *gbnf = NULL;
        size_t len;
        int rc = st_schema_to_gbnf(c[i].schema, strlen(c[i].schema), &mem, &gbnf, &len, &err);
        if (rc != STRATA_BAD_GRAMMAR || !strstr(err.msg, c[i].msg))
            fail_msg("%s: %d '%s', want '%s'", c[i].schema, rc, err.msg, c[i].msg);
        assert_int_equal(st_schema_to_gbnf(c[i].schema, strlen(c[i].schema), &mem, &gbnf, &len, NULL), rc);
        assert_true(mem.used == 0);
    }
}

/* ---- keywords ---------------------------------------------------------------------------------------------------- */

/* What schema.h says is kept, or refused: its first comment. */
static void said(const char *name, const char *from, const char *to)
{
    static char text[1 << 14];
    FILE *f = fopen(STRATA_SOURCE_DIR "/src/grammar/schema/schema.h", "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char *at = strstr(text, from), *end = at ? strstr(at, to) : NULL;
    assert_non_null(end);
    *end = 0;
    for (size_t n = strlen(name); (at = strstr(at, name)); at += n)
        if (strchr(" ,\n", at[-1]) && strchr(" ,\n.()", at[n])) return;
    fail_msg("schema.h does not say '%s' under '%s'", name, from);
}

static void make(const char *schema, int want, char **gbnf, strata_error *err, st_mem *mem)
{
    size_t len;
    int rc = st_schema_to_gbnf(schema, strlen(schema), mem, gbnf, &len, err);
    if (rc != want) fail_msg("%s: status %d %s, want %d", schema, rc, err->msg, want);
}

/* Each row of keywords.def is what it says, and schema.h says it too. */
static void keywords(void **state)
{
    (void)state;
    static const struct {
        const char *name, *kind;
    } rows[] = {
#define ST_S_KEYWORD(kind, name, types) {name, #kind},
#include "grammar/schema/keywords.def"
    };
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    for (size_t i = 0; i < N(rows); i++) {
        const char *name = rows[i].name;
        strata_error err = {0};
        char schema[128], needle[128], *gbnf = NULL, *plain = NULL;
        for (size_t j = 0; j < i; j++) assert_string_not_equal(name, rows[j].name);
        bool defs = strcmp(name, "$defs") == 0 || strcmp(name, "definitions") == 0;
        snprintf(schema, sizeof schema, "{\"type\":\"boolean\",\"%s\":%s}", name, defs ? "{}" : "\"x\"");
        if (strcmp(rows[i].kind, "REFUSED") == 0) {
            make(schema, STRATA_BAD_GRAMMAR, &gbnf, &err, &mem);
            snprintf(needle, sizeof needle, "the keyword '%s' is not supported", name);
            if (!strstr(err.msg, needle)) fail_msg("%s: %s", schema, err.msg);
            said(name, "Refused, since", "references out");
        } else if (strcmp(rows[i].kind, "NOTE") == 0) {
            make(schema, STRATA_OK, &gbnf, &err, &mem);
            make("{\"type\":\"boolean\"}", STRATA_OK, &plain, &err, &mem);
            assert_string_equal(gbnf, plain);
        } else {
            said(name, "Kept: ", "oneOf is read");
        }
        st_free(&mem, gbnf);
        st_free(&mem, plain);
    }
    assert_true(mem.used == 0);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

static void integer_bounds(void **state)
{
    (void)state;
    uint64_t s = 5;
    for (int i = 0; i < 400; i++) {
        static const uint32_t widths[] = {4, 30, 200, 3000};
        uint32_t w = widths[i % 4];
        int lo = (int)(rnd(&s) % (2 * w)) - (int)w, hi = lo + (int)(rnd(&s) % w);
        bool has_lo = rnd(&s) % 8, has_hi = rnd(&s) % 8, lo_open = rnd(&s) % 2, hi_open = rnd(&s) % 2,
             half = rnd(&s) % 4 == 0;
        char schema[200];
        int n = snprintf(schema, sizeof schema, "{\"type\":\"integer\"");
        if (has_lo)
            n += snprintf(schema + n, 60, ",\"%s\":%d%s", lo_open ? "exclusiveMinimum" : "minimum", lo,
                          half ? ".5" : "");
        if (has_hi)
            n += snprintf(schema + n, 60, ",\"%s\":%d%s", hi_open ? "exclusiveMaximum" : "maximum", hi,
                          half ? ".5" : "");
        snprintf(schema + n, 4, "}");
        /* -3.5 is written -3 and .5: for negative numbers the half goes the other way */
        double dlo = lo + (half ? lo < 0 || (lo == 0 && 0) ? -0.5 : 0.5 : 0),
               dhi = hi + (half ? hi < 0 ? -0.5 : 0.5 : 0);
        bool any = false;
        for (int v = -7000; v <= 7000 && !any; v++)
            any = (!has_lo || (lo_open ? v > dlo : v >= dlo)) && (!has_hi || (hi_open ? v < dhi : v <= dhi));
        if (!any) {
            st_mem mem;
            strata_error err;
            char *gbnf;
            size_t len;
            st_mem_init(&mem, NULL, 0);
            assert_int_equal(st_schema_to_gbnf(schema, strlen(schema), &mem, &gbnf, &len, &err), STRATA_BAD_GRAMMAR);
            continue;
        }
        compiled c;
        compile(&c, schema);
        for (int v = -6500; v <= 6500; v += v > lo - 30 && v < lo + 30   ? 1
                                            : v > hi - 30 && v < hi + 30 ? 1
                                            : abs(v) < 130               ? 1
                                                                         : 37) {
            char text[16];
            bool want = (!has_lo || (lo_open ? v > dlo : v >= dlo)) && (!has_hi || (hi_open ? v < dhi : v <= dhi));
            int len = snprintf(text, sizeof text, "%d", v);
            if (accepts(&c, text, (size_t)len) != want) fail_msg("%s: %s, want %d\n%s", schema, text, want, c.gbnf);
        }
        close_compiled(&c);
    }
}

/* Bounds with fractions: what is accepted is inside, and every value inside is accepted in its full spelling. */
static void number_bounds(void **state)
{
    (void)state;
    uint64_t s = 11;
    for (int i = 0; i < 600; i++) {
        static const long widths[] = {150, 1500, 20000, 400000};
        long w = widths[i % 4], lo = (long)(rnd(&s) % (uint32_t)(2 * w)) - w, hi = lo + (long)(rnd(&s) % (uint32_t)w);
        bool has_lo = rnd(&s) % 8, has_hi = rnd(&s) % 8, lo_open = rnd(&s) % 2, hi_open = rnd(&s) % 2;
        if ((!has_lo && !has_hi) || (lo == hi && (lo_open || hi_open))) continue;
        char schema[300];
        int n = snprintf(schema, sizeof schema, "{\"type\":\"number\"");
        if (has_lo)
            n += snprintf(schema + n, 90, ",\"%s\":%s%ld.%03ld", lo_open ? "exclusiveMinimum" : "minimum",
                          lo < 0 ? "-" : "", labs(lo) / 1000, labs(lo) % 1000);
        if (has_hi)
            n += snprintf(schema + n, 90, ",\"%s\":%s%ld.%03ld", hi_open ? "exclusiveMaximum" : "maximum",
                          hi < 0 ? "-" : "", labs(hi) / 1000, labs(hi) % 1000);
        snprintf(schema + n, 4, "}");
        compiled c;
        compile(&c, schema);
        for (int k = 0; k < 400; k++) {
            long base = k % 3 == 0 ? lo : k % 3 == 1 ? hi : 0, v = base + (long)(rnd(&s) % 201) - 100;
            if (k % 7 == 0) v = (long)(rnd(&s) % (uint32_t)(4 * w)) - 2 * w;
            bool want = (!has_lo || (lo_open ? v > lo : v >= lo)) && (!has_hi || (hi_open ? v < hi : v <= hi));
            char text[64];
            int len = snprintf(text, sizeof text, "%s%ld.%03ld", v < 0 ? "-" : "", labs(v) / 1000, labs(v) % 1000);
            /* 0.000 is one of the spellings that a bound at 0 may leave out */
            bool got = accepts(&c, text, (size_t)len);
            if (got != want && !(want && v == 0)) fail_msg("%s: %s, want %d\n%s", schema, text, want, c.gbnf);
            /* shorter and longer spellings may be refused, but never accepted outside */
            for (int cut = 1; cut <= 4; cut++) {
                char shorter[64];
                int m = len - cut;
                if (cut == 4) m = len - 4;
                memcpy(shorter, text, (size_t)m);
                shorter[m] = 0;
                if (shorter[m - 1] == '.' || !m) continue;
                double value = strtod(shorter, NULL) * 1000;
                long iv = lround(value);
                bool in = (!has_lo || (lo_open ? iv > lo : iv >= lo)) && (!has_hi || (hi_open ? iv < hi : iv <= hi));
                if (strcmp(shorter, "-") && accepts(&c, shorter, (size_t)m) && !in)
                    fail_msg("%s: %s accepted\n%s", schema, shorter, c.gbnf);
            }
            snprintf(text + len, 8, "0001"); /* a little further from 0 */
            bool in = v < 0 ? (!has_lo || v > lo) && (!has_hi || v <= hi) : (!has_lo || v >= lo) && (!has_hi || v < hi);
            if (accepts(&c, text, (size_t)len + 4) && !in) fail_msg("%s: %s accepted\n%s", schema, text, c.gbnf);
        }
        close_compiled(&c);
    }
}

static void decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *i, *f;
        bool neg, ok;
    } c[] = {{"0", "0", "", false, true},           {"-0.000", "0", "", false, true},
             {"1.50", "1", "5", false, true},       {"-12.034", "12", "034", true, true},
             {"1e3", "1000", "", false, true},      {"1.25e1", "12", "5", false, true},
             {"5e-3", "0", "005", false, true},     {"120e-1", "12", "", false, true},
             {"0.0012E+2", "0", "12", false, true}, {"1e40", "", "", false, false},
             {"1e-41", "", "", false, false},       {"1e999999999999", "", "", false, false}};
    for (size_t i = 0; i < N(c); i++) {
        st_sdec d;
        assert_int_equal(st_sdec_parse(c[i].text, strlen(c[i].text), &d), c[i].ok);
        if (!c[i].ok) continue;
        assert_int_equal(d.neg, c[i].neg);
        assert_int_equal(d.n_int, strlen(c[i].i));
        assert_int_equal(d.n_frac, strlen(c[i].f));
        assert_memory_equal(d.i, c[i].i, d.n_int);
        if (d.n_frac) assert_memory_equal(d.f, c[i].f, d.n_frac);
    }
}

/* ---- generation: 200 documents of a schema with 14 fields -------------------------------------------------------- */

static const char big_schema[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"id\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":99999},"
    "\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":20},"
    "\"email\":{\"type\":\"string\",\"pattern\":\"^[a-z]{1,8}@[a-z]{1,8}\\\\.(com|org)$\"},"
    "\"score\":{\"type\":\"number\",\"minimum\":-1.5,\"exclusiveMaximum\":2.25},"
    "\"active\":{\"type\":\"boolean\"},"
    "\"role\":{\"enum\":[\"admin\",\"user\",\"gu\\\"est\"]},"
    "\"born\":{\"type\":\"string\",\"format\":\"date\"},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":6},\"minItems\":1,\"maxItems\":3},"
    "\"pair\":{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"null\"}],\"items\":false,\"minItems\":2},"
    "\"address\":{\"type\":\"object\",\"properties\":{\"street\":{\"type\":\"string\",\"maxLength\":12},\"zip\":{"
    "\"type\":\"string\",\"pattern\":\"^\\\\d{5}$\"}},\"required\":[\"zip\"]},"
    "\"parent\":{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#/$defs/node\"}]},"
    "\"note\":{\"type\":[\"string\",\"null\"],\"maxLength\":15},"
    "\"key\":{\"type\":\"string\",\"format\":\"uuid\"},"
    "\"kind\":{\"const\":7}},"
    "\"required\":[\"id\",\"name\",\"email\",\"score\",\"active\",\"role\",\"tags\",\"pair\",\"address\",\"parent\","
    "\"key\"],"
    "\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9},"
    "\"kids\":{\"type\":\"array\",\"maxItems\":2,\"items\":{\"$ref\":\"#/$defs/node\"}}},\"required\":[\"v\"]}}}";

/* A validator of its own, for this schema. Reads JSON through the library's parser, whose tree it then checks by
 * hand. */
typedef struct doc {
    st_sjson j;
} doc;

static const st_sjson_node *field(const doc *d, uint32_t o, const char *name)
{
    uint32_t k = st_sjson_get(&d->j, o, name, strlen(name));
    return k == ST_S_NONE ? NULL : &d->j.nodes[k];
}

static uint32_t index_of(const doc *d, const st_sjson_node *n)
{
    return (uint32_t)(n - d->j.nodes);
}

static void copy_text(const doc *d, const st_sjson_node *n, char out[256])
{
    assert_true(n->len < 255);
    memcpy(out, n->type == ST_JSON_STRING ? (n->len ? d->j.pool.p + n->str : "") : d->j.text + n->str, n->len);
    out[n->len] = 0;
}

static size_t string_length(const doc *d, const st_sjson_node *n)
{
    assert_int_equal(n->type, ST_JSON_STRING);
    size_t c = 0;
    for (uint32_t i = 0; i < n->len; i++) c += ((uint8_t)d->j.pool.p[n->str + i] & 0xc0) != 0x80;
    assert_true(!n->len || st_utf8_check(d->j.pool.p + n->str, n->len) == n->len);
    return c;
}

static double number(const doc *d, const st_sjson_node *n)
{
    char s[256], *end;
    assert_int_equal(n->type, ST_JSON_NUMBER);
    copy_text(d, n, s);
    double v = strtod(s, &end);
    assert_true(!*end);
    return v;
}

static void check_integer(const doc *d, const st_sjson_node *n, double lo, double hi)
{
    double v = number(d, n);
    assert_true(v == floor(v) && v >= lo && v <= hi);
}

static void check_tree(const doc *d, const st_sjson_node *n)
{
    assert_int_equal(n->type, ST_JSON_OBJECT);
    check_integer(d, field(d, index_of(d, n), "v"), 0, 9);
    const st_sjson_node *kids = field(d, index_of(d, n), "kids");
    assert_int_equal(n->n, 1 + (kids != NULL));
    if (!kids) return;
    assert_true(kids->type == ST_JSON_ARRAY && kids->n <= 2);
    for (uint32_t k = kids->first; k != ST_S_NONE; k = d->j.nodes[k].next) check_tree(d, &d->j.nodes[k]);
}

static void check_document(const char *text, size_t len)
{
    st_mem mem;
    strata_error err;
    st_mem_init(&mem, NULL, 0);
    doc d = {.j = {.text = text, .len = len, .mem = &mem, .err = &err}};
    if (st_sjson_parse(&d.j)) fail_msg("%s\n%.*s", err.msg, (int)len, text);
    char s[256];
    const st_sjson_node *n;
    static const char *const names[] = {"id",   "name", "email",   "score",  "active", "role", "born",
                                        "tags", "pair", "address", "parent", "note",   "key",  "kind"};
    uint32_t known = 0;
    assert_int_equal(d.j.nodes[0].type, ST_JSON_OBJECT);
    for (size_t i = 0; i < N(names); i++) known += field(&d, 0, names[i]) != NULL;
    assert_int_equal(known, d.j.nodes[0].n); /* no others */
    check_integer(&d, field(&d, 0, "id"), 1, 99999);
    size_t c = string_length(&d, field(&d, 0, "name"));
    assert_true(c >= 1 && c <= 20);
    copy_text(&d, field(&d, 0, "email"), s);
    char *at = strchr(s, '@'), *dot = at ? strchr(at, '.') : NULL;
    assert_true(at && dot && at - s >= 1 && at - s <= 8 && dot - at >= 2 && dot - at <= 9 &&
                (!strcmp(dot, ".com") || !strcmp(dot, ".org")));
    for (char *p = s; p < dot; p++) assert_true(p == at || (*p >= 'a' && *p <= 'z'));
    double v = number(&d, field(&d, 0, "score"));
    assert_true(v >= -1.5 && v < 2.25);
    n = field(&d, 0, "active");
    assert_true(n->type == ST_JSON_TRUE || n->type == ST_JSON_FALSE);
    copy_text(&d, field(&d, 0, "role"), s);
    assert_true(!strcmp(s, "admin") || !strcmp(s, "user") || !strcmp(s, "gu\"est"));
    if ((n = field(&d, 0, "born"))) {
        unsigned y, m, day;
        copy_text(&d, n, s);
        assert_int_equal(sscanf(s, "%4u-%2u-%2u", &y, &m, &day), 3);
        static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        bool leap = (y % 4 == 0 && y % 100) || y % 400 == 0;
        assert_true(strlen(s) == 10 && m >= 1 && m <= 12 && day >= 1 && day <= days[m - 1] + (m == 2 && leap));
    }
    n = field(&d, 0, "tags");
    assert_true(n->type == ST_JSON_ARRAY && n->n >= 1 && n->n <= 3);
    for (uint32_t k = n->first; k != ST_S_NONE; k = d.j.nodes[k].next)
        assert_true(string_length(&d, &d.j.nodes[k]) <= 6);
    n = field(&d, 0, "pair");
    assert_true(n->type == ST_JSON_ARRAY && n->n == 2);
    check_integer(&d, &d.j.nodes[n->first], -1e17, 1e17);
    assert_int_equal(d.j.nodes[d.j.nodes[n->first].next].type, ST_JSON_NULL);
    n = field(&d, 0, "address");
    const st_sjson_node *zip = field(&d, index_of(&d, n), "zip"), *street = field(&d, index_of(&d, n), "street");
    copy_text(&d, zip, s);
    assert_true(strlen(s) == 5 && strspn(s, "0123456789") == 5);
    if (street) assert_true(string_length(&d, street) <= 12);
    assert_int_equal(n->n, 1 + (street != NULL));
    n = field(&d, 0, "parent");
    if (n->type != ST_JSON_NULL) check_tree(&d, n);
    if ((n = field(&d, 0, "note")) && n->type != ST_JSON_NULL) assert_true(string_length(&d, n) <= 15);
    copy_text(&d, field(&d, 0, "key"), s);
    assert_true(strlen(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
                strspn(s, "0123456789abcdefABCDEF-") == 36);
    if ((n = field(&d, 0, "kind"))) check_integer(&d, n, 7, 7);
    st_sjson_free(&d.j);
    assert_true(mem.used == 0);
}

typedef struct vocab {
    uint32_t n;
    uint8_t bytes[900][8];
    size_t len[900];
} vocab;

static const uint8_t *piece(void *user, uint32_t id, size_t *len)
{
    const vocab *v = user;
    *len = v->len[id];
    return v->bytes[id];
}

static int kind(void *user, uint32_t id)
{
    (void)user;
    return id == 256 ? ST_PIECE_EOG : ST_PIECE_TEXT;
}

static void make_vocab(vocab *v)
{
    uint64_t s = 3;
    v->n = 0;
    for (int b = 0; b < 256; b++) v->bytes[v->n][0] = (uint8_t)b, v->len[v->n++] = 1;
    v->len[v->n++] = 0;
    static const char *const more[] = {"\":",  "\": ",     "\",",          ", \"",   "{\"", "\"}",
                                       "name", "true",     "null",         "\"id\"", "ing", "},",
                                       "00",   "\xc3\xa9", "\xe4\xb8\xad", "\n  ",   "\\n", "\\u0"};
    for (size_t i = 0; i < N(more); i++)
        memcpy(v->bytes[v->n], more[i], strlen(more[i])), v->len[v->n++] = strlen(more[i]);
    while (v->n < 880) {
        static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789\"{}[]:, .@-_\\";
        size_t n = 2 + rnd(&s) % 4;
        for (size_t k = 0; k < n; k++) v->bytes[v->n][k] = (uint8_t)chars[rnd(&s) % (sizeof chars - 1)];
        v->len[v->n++] = n;
    }
}

static void documents(void **state)
{
    (void)state;
    static vocab v;
    static float logits[900];
    strata_error err;
    compiled c;
    st_gvocab *gv;
    st_grammar *g;
    st_grammar_state *s;
    st_sampler *sampler;
    make_vocab(&v);
    compile(&c, big_schema);
    st_vocab_view view = {v.n, &v, piece, kind};
    assert_int_equal(st_gvocab_open(&view, &c.mem, &gv, &err), STRATA_OK);
    if (st_grammar_open(c.gbnf, strlen(c.gbnf), gv, &c.mem, &g, &err)) fail_msg("%s", err.msg);
    assert_int_equal(st_grammar_state_open(g, &s, &err), STRATA_OK);
    st_sampler_params q = st_sampler_default();
    q.temperature = 1.5f;
    q.top_k = 0;
    q.top_p = 1;
    q.min_p = 0;
    q.seed = 1;
    assert_int_equal(st_sampler_open(&q, v.n, &c.mem, &sampler, &err), STRATA_OK);
    uint64_t seed = 17;
    for (int i = 0; i < 200; i++) {
        static char text[200000];
        uint32_t mask[900 / 32 + 1];
        size_t n = 0;
        st_grammar_state_reset(s);
        for (;;) {
            for (uint32_t k = 0; k < v.n; k++) logits[k] = (float)(rnd(&seed) % 1000) / 100.0f;
            st_sampled out;
            assert_int_equal(st_grammar_mask(s, mask, &err), STRATA_OK);
            if (st_sampler_sample(sampler, logits, mask, &out, &err)) fail_msg("%s after %.*s", err.msg, (int)n, text);
            assert_int_equal(st_grammar_accept(s, (uint32_t)out.id, &err), STRATA_OK);
            if (out.id == 256) break;
            memcpy(text + n, v.bytes[out.id], v.len[out.id]);
            n += v.len[out.id];
            assert_true(n + 8 < sizeof text);
        }
        check_document(text, n);
    }
    st_sampler_close(sampler);
    st_grammar_state_close(s);
    st_grammar_close(g);
    st_gvocab_close(gv);
    close_compiled(&c);
}

/* ---- hostile, no memory ------------------------------------------------------------------------------------------ */

static int attack(const char *schema, size_t len)
{
    st_mem mem;
    strata_error err = {0};
    char *gbnf;
    size_t gbnf_len;
    st_grammar *g;
    st_mem_init(&mem, NULL, (uint64_t)512 << 20);
    int rc = st_schema_to_gbnf(schema, len, &mem, &gbnf, &gbnf_len, &err);
    if (!rc) {
        rc = st_grammar_open(gbnf, gbnf_len, NULL, &mem, &g, &err);
        if (!rc) st_grammar_close(g);
        st_free(&mem, gbnf);
    }
    if (rc && rc != STRATA_BAD_GRAMMAR) fail_msg("%d %s", rc, err.msg);
    assert_true(mem.used == 0);
    return rc;
}

static void hostile(void **state)
{
    (void)state;
    char *s = malloc(4 << 20);
    assert_non_null(s);
    size_t n = 0;
    memset(s, '[', 100000);
    assert_int_equal(attack(s, 100000), STRATA_BAD_GRAMMAR);
    for (n = 0; n < 50000; n += 5) memcpy(s + n, "{\"a\":", 5);
    assert_int_equal(attack(s, n), STRATA_BAD_GRAMMAR);
    /* 2^40 ways through anyOf */
    n = (size_t)sprintf(s, "{\"allOf\":[");
    for (int i = 0; i < 40; i++)
        n += (size_t)sprintf(s + n, "%s{\"anyOf\":[{\"minLength\":%d},{\"maxLength\":%d}]}", i ? "," : "", i, 100 + i);
    n += (size_t)sprintf(s + n, "]}");
    assert_int_equal(attack(s, n), STRATA_BAD_GRAMMAR);
    /* references in a circle, and onto themselves */
    assert_int_equal(attack("{\"$ref\":\"#\"}", 12), STRATA_OK); /* says nothing: any value */
    n = (size_t)sprintf(s, "{\"$ref\":\"#/$defs/0\",\"$defs\":{");
    for (int i = 0; i < 300; i++)
        n += (size_t)sprintf(s + n, "%s\"%d\":{\"$ref\":\"#/$defs/%d\"}", i ? "," : "", i, (i + 1) % 300);
    n += (size_t)sprintf(s + n, "}}");
    assert_int_equal(attack(s, n), STRATA_BAD_GRAMMAR); /* more than 256 hold together */
    assert_int_equal(attack("{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", 51),
                     STRATA_BAD_GRAMMAR); /* never ends */
    /* many names, many values, long patterns, large counts */
    n = (size_t)sprintf(s, "{\"additionalProperties\":true,\"properties\":{");
    for (int i = 0; i < 3000; i++) n += (size_t)sprintf(s + n, "%s\"name%d\":{}", i ? "," : "", i * 7919);
    n += (size_t)sprintf(s + n, "}}");
    assert_int_equal(attack(s, n), STRATA_OK);
    n = (size_t)sprintf(s, "{\"enum\":[");
    for (int i = 0; i < 20000; i++) n += (size_t)sprintf(s + n, "%s\"value%d\"", i ? "," : "", i);
    n += (size_t)sprintf(s + n, "]}");
    attack(s, n); /* too many at once for a state of the automaton, or not: in time */
    n = (size_t)sprintf(s, "{\"pattern\":\"");
    for (int i = 0; i < 100000; i++) s[n++] = '(';
    n += (size_t)sprintf(s + n, "\"}");
    assert_int_equal(attack(s, n), STRATA_BAD_GRAMMAR);
    n = (size_t)sprintf(s, "{\"pattern\":\"^((((a{100}){100}){100}){100})$\"}");
    assert_int_equal(attack(s, n), STRATA_OK); /* counters */
    n = (size_t)sprintf(s, "{\"items\":{\"items\":{\"maxLength\":60000},\"maxItems\":60000},\"maxItems\":60000}");
    attack(s, n);
    n = (size_t)sprintf(s, "{\"minLength\":60000}");
    assert_int_equal(attack(s, n), STRATA_OK);
    n = (size_t)sprintf(s, "{\"maxLength\":1000000}"); /* as good as none */
    assert_int_equal(attack(s, n), STRATA_OK);
    free(s);
}

/* Any bytes: parsed or refused, without a leak; what comes out is a grammar or too much for one. */
static void mutations(void **state)
{
    (void)state;
    static char s[sizeof big_schema];
    uint64_t seed = 21;
    int ok = 0;
    for (int i = 0; i < 3000; i++) {
        size_t n = sizeof big_schema - 1;
        memcpy(s, big_schema, n);
        for (uint32_t k = 1 + rnd(&seed) % 3; k > 0; k--) {
            static const char chars[] = "{}[]\",:0159aein-.\\";
            size_t at = rnd(&seed) % n;
            if (rnd(&seed) % 2)
                s[at] = chars[rnd(&seed) % (sizeof chars - 1)];
            else
                memmove(s + at, s + at + 1, --n - at);
        }
        ok += attack(s, n) == STRATA_OK;
    }
    assert_true(ok > 100);
}

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

static void no_memory(void **state)
{
    (void)state;
    static const char *const schemas[] = {
        big_schema,
        "{\"properties\":{\"ab\":{\"enum\":[1,[2]],\"const\":[2]},\"ac\":"
        "{}},\"additionalProperties\":{\"type\":\"null\"}}",
        "{\"type\":\"string\",\"pattern\":\"^(?=a)[a-c]+$\",\"maxLength\":3,\"not\":{\"enum\":[\"ab\"]}}",
        "{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[1,2,\"x\"]}}",
        "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":3}",
        "{\"$ref\":\"#a\",\"$defs\":{\"x\":{\"$anchor\":\"a\",\"type\":\"null\"}}}"};
    for (size_t k = 0; k < N(schemas); k++) {
        int n = 0, rc;
        do {
            counting c = {n++, 0};
            st_mem mem;
            strata_error err = {0};
            char *gbnf = NULL;
            size_t len;
            st_mem_init(&mem, &(strata_allocator){counting_alloc, counting_free, &c}, 0);
            rc = st_schema_to_gbnf(schemas[k], strlen(schemas[k]), &mem, &gbnf, &len, &err);
            if (rc && rc != STRATA_NO_MEMORY) fail_msg("%d: %d %s", n, rc, err.msg);
            if (!rc) st_free(&mem, gbnf);
            assert_int_equal(c.live, 0);
        } while (rc);
        assert_true(n > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),         cmocka_unit_test(generators), cmocka_unit_test(large),
        cmocka_unit_test(stack),         cmocka_unit_test(errors),     cmocka_unit_test(integer_bounds),
        cmocka_unit_test(number_bounds), cmocka_unit_test(decimals),   cmocka_unit_test(documents),
        cmocka_unit_test(hostile),       cmocka_unit_test(mutations),  cmocka_unit_test(no_memory),
        cmocka_unit_test(keywords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
