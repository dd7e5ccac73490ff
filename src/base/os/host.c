/* host.c: the answers of Linux and of macOS. */
#if defined(__linux__)
#define _POSIX_C_SOURCE 200809L /* readlink under -std=c11 */
#endif
#include "base/os/host.h"

#if defined(__linux__)
#include <stdio.h>
#include <unistd.h>

bool st_host_cpu(char *name, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return false;
    char line[512], found[128] = "";
    int family = -1, model = -1;
    while (fgets(line, sizeof line, f)) {
        (void)sscanf(line, "model name : %127[^\n]", found); /* each sets something on its own line alone */
        (void)sscanf(line, "cpu family : %9d", &family);
        (void)sscanf(line, "model : %9d", &model);
        if (line[0] == '\n') break;
    }
    (void)fclose(f);
    if (family >= 0)
        snprintf(name, size, "%s (family %d, model %d)", found, family, model);
    else
        snprintf(name, size, "%s", found);
    return found[0] != 0;
}

bool st_host_program(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size);
    if (n <= 0 || (size_t)n >= size) return false;
    path[n] = 0;
    return true;
}

#elif defined(__APPLE__)
#include <mach-o/dyld.h>
#include <stdint.h>
#include <sys/sysctl.h>

bool st_host_cpu(char *name, size_t size)
{
    return sysctlbyname("machdep.cpu.brand_string", name, &size, NULL, 0) == 0;
}

bool st_host_program(char *path, size_t size)
{
    uint32_t room = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    return _NSGetExecutablePath(path, &room) == 0;
}

#else

bool st_host_cpu(char *name, size_t size)
{
    (void)name, (void)size;
    return false;
}

bool st_host_program(char *path, size_t size)
{
    (void)path, (void)size;
    return false;
}

#endif
