/* no_threads.c: linked into the tests that tests/CMakeLists.txt says start no thread, as their pthread_create. */
#include <stdio.h>
#include <stdlib.h>

int __wrap_pthread_create(void *thread, const void *attr, void *(*start)(void *), void *arg);

int __wrap_pthread_create(void *thread, const void *attr, void *(*start)(void *), void *arg)
{
    (void)thread, (void)attr, (void)start, (void)arg;
    fputs("This test starts a thread: take its name out of no_threads in tests/CMakeLists.txt.\n", stderr);
    abort();
}
