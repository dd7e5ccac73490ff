/* test_sampling.c: generate and chat have an option for each knob of the library, with its default and its help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "commands/sampling.h"

static const command *command_of(const char *name)
{
    for (size_t i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
    fail_msg("no command %s", name);
    return NULL;
}

static const opt *option_of(const command *c, const char *name)
{
    for (const opt *o = c->opts; o->kind; o++)
        if (o->name && strcmp(o->name, name) == 0) return o;
    fail_msg("%s has no --%s", c->name, name);
    return NULL;
}

static double value_of(const opt *o)
{
    if (o->kind == OPT_NUMBER) return (double)*(const float *)o->value;
    assert_int_equal(o->kind, OPT_WHOLE);
    return (double)*(const uint64_t *)o->value;
}

static void test_options(void **state)
{
    (void)state;
    const command *const commands[] = {command_of("generate"), command_of("chat")};
    for (int i = 0; i < 2; i++) {
        const opt *o;
#define HAS(x, kind, knob, def, least, most, of_letter, option, value, text) \
    o = option_of(commands[i], option);                                      \
    assert_int_equal(o->letter, of_letter);                                  \
    assert_string_equal(o->arg, value);                                      \
    assert_memory_equal(o->help, text, strlen(text));                        \
    assert_true(value_of(o) == (double)(ST_KNOB_TYPE_##kind)(def));
        ST_KNOBS(HAS, )
    }
}

/* What stands in an option comes to the library; a number that its field cannot hold does not wrap to another one. */
static void test_values(void **state)
{
    (void)state;
    sampling x = SAMPLING_DEFAULT;
#define GIVE(x, kind, name, ...) GIVE_##kind(x, name)
#define GIVE_number(x, name)     (x)->g.name = 7;
#define GIVE_seed(x, name)       (x)->g.name = UINT64_MAX;
#define GIVE_whole(x, name)      (x)->name = (1ull << 32) + 1;
#define GIVE_choice(x, name)     (x)->name = (1ull << 32) + 1;
    ST_KNOBS(GIVE, &x)
    assert_int_equal(sampling_read(command_of("generate"), &x), CLI_OK);
#define GOT(x, kind, name, def, least, most, ...) GOT_##kind(x, name, most)
#define GOT_number(x, name, most)                 assert_true((x)->g.name == 7);
#define GOT_seed(x, name, most)                   assert_true((x)->g.name == UINT64_MAX);
#define GOT_whole(x, name, most)                  assert_true((x)->g.name == UINT32_MAX);
#define GOT_choice(x, name, most)                 assert_true((x)->g.name == (most) + 1); /* refused */
    ST_KNOBS(GOT, &x)
    sampling_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_options), cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
