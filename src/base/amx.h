/* amx.h: asking the system for AMX tiles. */
#ifndef ST_BASE_AMX_H
#define ST_BASE_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether this process may use tiles, asking Linux for their state if it has not been asked. CPUID and XCR0 must say
 * that there are any (ST_CPU_AMX). Virtual machines exist that list AMX and fault on it, so before the process is
 * touched a child (st_trial) asks for itself and runs each instruction once. That the state was granted is remembered
 * by the kernel: a second call, and a call in a host that uses AMX itself, starts no child. Thread-safe. */
bool st_amx_claim(void);

#endif
