/* amx.h: asking the system for AMX tiles. */
#ifndef ST_BASE_OS_AMX_H
#define ST_BASE_OS_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether this process may use tiles, asking Linux for their state if it has not been asked. CPUID and XCR0 must say
 * that there are any (ST_CPU_AMX). Virtual machines exist that list AMX and fault on it, so before the process is
 * touched a child (st_trial) asks for itself and runs each instruction once; in a host that uses AMX already there is
 * no child.
 *
 * The first answer holds for the life of the process, also where no child could be had for the moment: contexts of one
 * process compute alike, and a machine that refuses is asked once. It is kept in the library's only global variable:
 * the permission is the kernel's record of the process too, so any narrower place would have each model ask again.
 * Thread-safe; threads that call it first at the same time may start a child each, and get the same answer. */
bool st_amx_claim(void);

#endif
