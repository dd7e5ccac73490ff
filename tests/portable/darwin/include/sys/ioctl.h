/* sys/ioctl.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SYS_IOCTL_H
#define STUB_SYS_IOCTL_H

struct winsize {
    unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel;
};
#define TIOCGWINSZ 0x40087468ul
int ioctl(int fd, unsigned long request, ...);

#endif
