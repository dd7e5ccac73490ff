/* sanitized.h: what a test is built with, by gcc or clang, as 0 or 1. Sanitized programs are slow, and their frames and
 * memory larger; a test that repeats itself does so less often under ThreadSanitizer, which is after its threads. */
#ifndef TESTS_SUPPORT_SANITIZED_H
#define TESTS_SUPPORT_SANITIZED_H

#if defined(__has_feature)
#define SANITIZED_ADDRESS __has_feature(address_sanitizer)
#define SANITIZED_THREAD  __has_feature(thread_sanitizer)
#define SANITIZED_MEMORY  __has_feature(memory_sanitizer)
#else
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED_ADDRESS 1
#else
#define SANITIZED_ADDRESS 0
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZED_THREAD 1
#else
#define SANITIZED_THREAD 0
#endif
#define SANITIZED_MEMORY 0 /* clang alone has it */
#endif

#define SANITIZED (SANITIZED_ADDRESS || SANITIZED_THREAD || SANITIZED_MEMORY)

#endif
