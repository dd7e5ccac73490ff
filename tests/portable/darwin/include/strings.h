/* strings.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_STRINGS_H
#define STUB_STRINGS_H

#include <sys/types.h>

int strcasecmp(const char *a, const char *b);
int strncasecmp(const char *a, const char *b, size_t n);

#endif
