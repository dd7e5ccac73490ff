/* signals.h: how the program ends when it is told to.
 *
 * Any signal that ends a process and can be caught asks once (cli_cancel): the command stops where it can, removes what
 * it was writing, and the program ends by that same signal, so that a shell sees 128 + n. A second one ends it at once,
 * also without anything left. What was ignored when the program started (nohup) stays so. A file that grows beyond its
 * limit is a write error (SIGXFSZ asks nothing), a reader that goes away ends the program silently. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>

#include "base/os/outfile.h"

void signals_begin(void);

/* Where one asked: ends by it, after what is in stdout's buffer. */
void signals_end(void);

/* From here on, or until false, the first signal ends the process: for what cannot be asked to stop. */
void signals_at_once(bool on);

/* At a terminal: Ctrl-C asks as often as it comes, and another signal may take its place. */
void signals_keep_interrupt(void);
void signals_forget_interrupt(void);

/* A file that must not be left behind, from when it is opened until it is closed. */
void signals_watch(const st_outfile *o);
void signals_unwatch(const st_outfile *o);

#endif
