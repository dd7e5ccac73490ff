/* inttypes.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_INTTYPES_H
#define STUB_INTTYPES_H

#include <stdint.h>

#define PRId32 "d"
#define PRIu32 "u"
#define PRIx32 "x"
#define PRId64 "lld"
#define PRIi64 "lli"
#define PRIu64 "llu"
#define PRIx64 "llx"
#define PRIX64 "llX"
#define SCNu64 "llu"

#endif
