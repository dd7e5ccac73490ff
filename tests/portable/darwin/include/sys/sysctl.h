/* sys/sysctl.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SYS_SYSCTL_H
#define STUB_SYS_SYSCTL_H

#include <sys/types.h>

#if STUB_ALL
int sysctlbyname(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len);
#endif

#endif
