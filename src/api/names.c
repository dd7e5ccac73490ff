/* names.c: the version, and names of the values of enumerations. */
#include "api/api.h"

const char *strata_version(void)
{
    return STRATA_VERSION;
}

const char *strata_status_name(int code)
{
    switch (code) {
    case STRATA_OK: return "OK";
    case STRATA_INVALID_ARG: return "INVALID_ARG";
    case STRATA_IO: return "IO";
    case STRATA_NOT_GGUF: return "NOT_GGUF";
    case STRATA_CORRUPT_MODEL: return "CORRUPT_MODEL";
    case STRATA_UNSUPPORTED_ARCH: return "UNSUPPORTED_ARCH";
    case STRATA_UNSUPPORTED_TYPE: return "UNSUPPORTED_TYPE";
    case STRATA_UNSUPPORTED_TOKENIZER: return "UNSUPPORTED_TOKENIZER";
    case STRATA_UNSUPPORTED_OP: return "UNSUPPORTED_OP";
    case STRATA_TOO_LONG: return "TOO_LONG";
    case STRATA_EMPTY_PROMPT: return "EMPTY_PROMPT";
    case STRATA_BAD_GRAMMAR: return "BAD_GRAMMAR";
    case STRATA_BAD_TEMPLATE: return "BAD_TEMPLATE";
    case STRATA_NO_MEMORY: return "NO_MEMORY";
    case STRATA_DEVICE_UNAVAILABLE: return "DEVICE_UNAVAILABLE";
    case STRATA_DEVICE_LOST: return "DEVICE_LOST";
    case STRATA_NONFINITE: return "NONFINITE";
    case STRATA_CANCELLED: return "CANCELLED";
    case STRATA_DEADLINE: return "DEADLINE";
    case STRATA_BUSY: return "BUSY";
    case STRATA_INTERNAL: return "INTERNAL";
    default: return "UNKNOWN";
    }
}

const char *strata_pooling_name(int pooling)
{
    static const char *const names[] = {"default", "none", "mean", "cls", "last", "rank"};
    return pooling >= 0 && pooling <= STRATA_POOLING_RANK ? names[pooling] : "unknown";
}

const char *strata_cpu_level(uint32_t i)
{
    return st_backend_default()->level_at(i);
}

const char *strata_finish_name(int finish)
{
    static const char *const names[] = {"unfinished", "end", "length", "stop", "grammar", "context", "caller"};
    return finish >= 0 && finish <= STRATA_FINISH_CALLER ? names[finish] : "unknown";
}
