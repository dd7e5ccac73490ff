/* pthread.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_PTHREAD_H
#define STUB_PTHREAD_H

#include <signal.h>
#include <sys/types.h>
#include <time.h>

typedef struct stub_pthread *pthread_t;
typedef struct {
    long sig;
    char opaque[56];
} pthread_attr_t;
typedef struct {
    long sig;
    char opaque[56];
} pthread_mutex_t;
typedef struct {
    long sig;
    char opaque[8];
} pthread_mutexattr_t;
typedef struct {
    long sig;
    char opaque[40];
} pthread_cond_t;
typedef struct {
    long sig;
    char opaque[8];
} pthread_condattr_t;
#define PTHREAD_MUTEX_INITIALIZER \
    {                             \
        0x32AAABA7,               \
        {                         \
            0                     \
        }                         \
    }
#define PTHREAD_COND_INITIALIZER \
    {                            \
        0x3CB0B1BB,              \
        {                        \
            0                    \
        }                        \
    }

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int pthread_join(pthread_t t, void **result);
int pthread_detach(pthread_t t);
pthread_t pthread_self(void);
int pthread_attr_init(pthread_attr_t *attr);
int pthread_attr_destroy(pthread_attr_t *attr);
int pthread_attr_setstacksize(pthread_attr_t *attr, size_t size);
int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int pthread_mutex_destroy(pthread_mutex_t *m);
int pthread_mutex_lock(pthread_mutex_t *m);
int pthread_mutex_unlock(pthread_mutex_t *m);
int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int pthread_cond_destroy(pthread_cond_t *c);
int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int pthread_cond_broadcast(pthread_cond_t *c);
int pthread_cond_signal(pthread_cond_t *c);
#if STUB_ALL
int pthread_setname_np(const char *name); /* of the calling thread alone */
#endif

#endif
