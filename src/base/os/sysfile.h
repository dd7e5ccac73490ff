/* sysfile.h: the small files of /proc and /sys, by which the system describes itself. They are read below a folder
 * `root`, "" being the system itself, and without memory from anywhere. */
#ifndef ST_BASE_OS_SYSFILE_H
#define ST_BASE_OS_SYSFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ST_SYSFILE_PATH = 4096 /* of a file's name, its end included: PATH_MAX */ };

/* The first cap - 1 bytes of a file, and a NUL. False: it is not there, or empty. */
bool st_sysfile_text(const char *root, const char *path, char *text, size_t cap);

/* Each line of a file, without its end. What is longer than a name can be is cut to nothing. */
void st_sysfile_lines(const char *root, const char *path, void (*line)(void *user, const char *text), void *user);

/* The number behind `key`, which begins a line; with key "" at the start of the file. False: there is none. */
bool st_sysfile_number(const char *root, const char *path, const char *key, uint64_t *v);

#endif
