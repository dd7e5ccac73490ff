/* setjmp.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SETJMP_H
#define STUB_SETJMP_H

#if defined(__x86_64__)
typedef int jmp_buf[37];
#else
typedef int jmp_buf[48];
#endif
int setjmp(jmp_buf env);
_Noreturn void longjmp(jmp_buf env, int value);

#endif
