/* tiles.h: loops over the registers of a tile, written out by the preprocessor. In EACH_ROW(i, n, statements) i is a
 * constant 0..n-1 from the first pass of the compiler on, so that arrays of registers never become memory; with a loop
 * that depends on the optimiser's order of passes. n is a constant too. The three nest in one another, not in
 * themselves. */
#ifndef ST_BACKEND_CPU_KERNELS_TILES_H
#define ST_BACKEND_CPU_KERNELS_TILES_H

#define EACH_ONE_(i, n, k, ...) \
    if ((n) > (k)) {            \
        enum { i = (k) };       \
        __VA_ARGS__             \
    }
#define EACH_ROW(i, n, ...)             \
    do {                                \
        EACH_ONE_(i, n, 0, __VA_ARGS__) \
        EACH_ONE_(i, n, 1, __VA_ARGS__) \
        EACH_ONE_(i, n, 2, __VA_ARGS__) \
        EACH_ONE_(i, n, 3, __VA_ARGS__) \
        EACH_ONE_(i, n, 4, __VA_ARGS__) \
        EACH_ONE_(i, n, 5, __VA_ARGS__) \
        EACH_ONE_(i, n, 6, __VA_ARGS__) \
        EACH_ONE_(i, n, 7, __VA_ARGS__) \
    } while (0)

#define EACH_TWO_(i, n, k, ...) \
    if ((n) > (k)) {            \
        enum { i = (k) };       \
        __VA_ARGS__             \
    }
#define EACH_COL(i, n, ...)             \
    do {                                \
        EACH_TWO_(i, n, 0, __VA_ARGS__) \
        EACH_TWO_(i, n, 1, __VA_ARGS__) \
        EACH_TWO_(i, n, 2, __VA_ARGS__) \
        EACH_TWO_(i, n, 3, __VA_ARGS__) \
    } while (0)

#define EACH_THREE_(i, n, k, ...) \
    if ((n) > (k)) {              \
        enum { i = (k) };         \
        __VA_ARGS__               \
    }
#define EACH_STEP(i, n, ...)              \
    do {                                  \
        EACH_THREE_(i, n, 0, __VA_ARGS__) \
        EACH_THREE_(i, n, 1, __VA_ARGS__) \
        EACH_THREE_(i, n, 2, __VA_ARGS__) \
        EACH_THREE_(i, n, 3, __VA_ARGS__) \
        EACH_THREE_(i, n, 4, __VA_ARGS__) \
        EACH_THREE_(i, n, 5, __VA_ARGS__) \
        EACH_THREE_(i, n, 6, __VA_ARGS__) \
        EACH_THREE_(i, n, 7, __VA_ARGS__) \
    } while (0)

/* Makes the value of a pointer opaque here, so that the compiler neither simplifies the addresses made from it nor
 * hoists the loads. */
#define KEEP(p) __asm__ volatile("" : "+r"(p))

#ifdef __clang__
#define NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define NO_UNROLL _Pragma("GCC unroll 1")
#endif

#endif
