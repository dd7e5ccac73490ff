/* host.h: what the system says of itself and of this process, for people to read. Needs nothing of strata, so that the
 * program includes it too. */
#ifndef ST_BASE_OS_HOST_H
#define ST_BASE_OS_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* The CPU's model, with family and model number where the name alone says little. False: the system does not say. */
bool st_host_cpu(char *name, size_t size);

/* The path of the program that this process runs. False: the system does not say, or it is longer. */
bool st_host_program(char *path, size_t size);

#endif
