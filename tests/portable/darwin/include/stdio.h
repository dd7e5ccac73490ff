/* stdio.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_STDIO_H
#define STUB_STDIO_H

#include <stdarg.h>
#include <sys/types.h>

typedef struct stub_file FILE;
extern FILE *__stdinp, *__stdoutp, *__stderrp;
#define stdin    __stdinp
#define stdout   __stdoutp
#define stderr   __stderrp
#define EOF      (-1)
#define BUFSIZ   1024
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#define _IOFBF   0
#define _IOLBF   1
#define _IONBF   2

#define STUB_PRINTF(at, first) __attribute__((format(printf, at, first)))
STUB_PRINTF(1, 2) int printf(const char *format, ...);
STUB_PRINTF(2, 3) int fprintf(FILE *f, const char *format, ...);
STUB_PRINTF(2, 3) int sprintf(char *s, const char *format, ...);
STUB_PRINTF(3, 4) int snprintf(char *s, size_t n, const char *format, ...);
STUB_PRINTF(1, 0) int vprintf(const char *format, va_list args);
STUB_PRINTF(2, 0) int vfprintf(FILE *f, const char *format, va_list args);
STUB_PRINTF(3, 0) int vsnprintf(char *s, size_t n, const char *format, va_list args);
__attribute__((format(scanf, 2, 3))) int sscanf(const char *s, const char *format, ...);
int puts(const char *s);
int putchar(int c);
int putc(int c, FILE *f);
int fputc(int c, FILE *f);
int fputs(const char *s, FILE *f);
int getc(FILE *f);
int fgetc(FILE *f);
int getchar(void);
char *fgets(char *s, int n, FILE *f);
int ungetc(int c, FILE *f);
size_t fread(void *p, size_t size, size_t n, FILE *f);
size_t fwrite(const void *p, size_t size, size_t n, FILE *f);
FILE *fopen(const char *path, const char *mode);
int fclose(FILE *f);
int fflush(FILE *f);
int ferror(FILE *f);
int feof(FILE *f);
void clearerr(FILE *f);
int fseek(FILE *f, long at, int whence);
long ftell(FILE *f);
void rewind(FILE *f);
int setvbuf(FILE *f, char *buffer, int mode, size_t n);
int remove(const char *path);
int rename(const char *from, const char *to);
void perror(const char *s);
FILE *fdopen(int fd, const char *mode);
int fileno(FILE *f);
int fseeko(FILE *f, off_t at, int whence);
off_t ftello(FILE *f);
FILE *open_memstream(char **text, size_t *len);
ssize_t getline(char **line, size_t *cap, FILE *f);
int renameat(int from_dir, const char *from, int to_dir, const char *to);

#endif
