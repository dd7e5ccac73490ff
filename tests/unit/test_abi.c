/* test_abi.c: public structs and their fields stay where they are for the life of a SONAME (abi.def has the numbers);
 * new fields are taken from `reserved`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "strata.h"

/* A number of abi.def that changes needs another minor version. */
#define LP64                   (sizeof(void *) == 8 && sizeof(long) == 8)
#define ABI_STRUCT(type, size) _Static_assert(!LP64 || sizeof(type) == (size), #type " has another size");
#define ABI_FIELD(type, member, offset, size)                                                               \
    _Static_assert(!LP64 || offsetof(type, member) == (offset), #type "." #member " is at another offset"); \
    _Static_assert(!LP64 || sizeof(((type *)0)->member) == (size), #type "." #member " has another size");
#include "unit/abi.def"

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
