/* termios.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_TERMIOS_H
#define STUB_TERMIOS_H

#include <sys/types.h>

typedef unsigned long tcflag_t;
typedef unsigned char cc_t;
typedef unsigned long speed_t;
enum { VMIN = 16, VTIME = 17, NCCS = 20 };
struct termios {
    tcflag_t c_iflag, c_oflag, c_cflag, c_lflag;
    cc_t c_cc[NCCS];
    speed_t c_ispeed, c_ospeed;
};
#define OPOST     0x00000001
#define ECHO      0x00000008
#define ISIG      0x00000080
#define ICANON    0x00000100
#define ICRNL     0x00000100
#define IXON      0x00000200
#define IEXTEN    0x00000400
#define TCSANOW   0
#define TCSADRAIN 1
#define TCSAFLUSH 2
int tcgetattr(int fd, struct termios *t);
int tcsetattr(int fd, int when, const struct termios *t);
#if STUB_ALL
void cfmakeraw(struct termios *t);
#endif

#endif
