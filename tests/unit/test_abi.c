/* test_abi.c: public structs keep their size for the life of a SONAME; new fields are taken from `reserved`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "strata.h"

/* On 64 bits. A size that changes here needs another minor version. */
#define PINNED(type, size) _Static_assert(sizeof(void *) != 8 || sizeof(type) == (size), #type " has another size")

PINNED(strata_error, 260);
PINNED(strata_allocator, 24);
PINNED(strata_model_opts, 128);
PINNED(strata_model_info, 232);
PINNED(strata_span, 16);
PINNED(strata_text_part, 24);
PINNED(strata_ctx_opts, 104);
PINNED(strata_text, 16);
PINNED(strata_embed_opts, 144);
PINNED(strata_embed_item, 160);
PINNED(strata_rank_opts, 96);
PINNED(strata_logit_bias, 8);
PINNED(strata_logprob, 16);
PINNED(strata_gen_token, 32);
PINNED(strata_gen_opts, 240);
PINNED(strata_gen_result, 64);
PINNED(strata_message, 64);
PINNED(strata_chat_opts, 168);
PINNED(strata_peaks, 136);
PINNED(strata_quantize_item, 80);
PINNED(strata_quantize_opts, 104);
PINNED(strata_verify_check, 24);
PINNED(strata_verify_opts, 96);

#define RESERVED(type, member, n)                                                         \
    _Static_assert(sizeof((type){0}.member) >= sizeof(uint64_t) * (n) &&                  \
                       offsetof(type, member) + sizeof((type){0}.member) == sizeof(type), \
                   #type " has no room left at its end")

/* Room for what is to come, at the end. */
RESERVED(strata_model_opts, reserved, 4);
RESERVED(strata_model_info, reserved, 4);
RESERVED(strata_ctx_opts, reserved, 4);
RESERVED(strata_embed_opts, reserved, 4);
RESERVED(strata_rank_opts, reserved, 4);
RESERVED(strata_gen_opts, reserved, 4);
RESERVED(strata_quantize_opts, reserved, 4);
RESERVED(strata_verify_opts, reserved, 4);

/* Enum values that are written in other languages' bindings. */
static void values(void **state)
{
    (void)state;
    assert_int_equal(STRATA_INVALID_ARG, -10);
    assert_int_equal(STRATA_IO, -20);
    assert_int_equal(STRATA_NO_MEMORY, -50);
    assert_int_equal(STRATA_CANCELLED, -80);
    assert_int_equal(STRATA_BUSY, -82);
    assert_int_equal(STRATA_POOLING_RANK, 5);
    assert_int_equal(STRATA_FINISH_CALLER, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
