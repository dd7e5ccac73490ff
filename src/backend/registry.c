/* registry.c: the list of backends. */
#include "backend/backend.h"
#include "backend/cpu/cpu.h"

/* Best first. The CPU is always available and stands last. */
static const st_backend *const backends[] = {&st_backend_cpu};

const st_backend *st_backend_default(void)
{
    return backends[0];
}
