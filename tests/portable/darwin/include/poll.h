/* poll.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_POLL_H
#define STUB_POLL_H

#define POLLIN  0x0001
#define POLLPRI 0x0002
#define POLLOUT 0x0004
#define POLLERR 0x0008
#define POLLHUP 0x0010
typedef unsigned int nfds_t;
struct pollfd {
    int fd;
    short events, revents;
};
int poll(struct pollfd *p, nfds_t n, int ms);

#endif
