/* loopback.h - a server's connection whose client is a string of bytes, for fuzz targets.
 *
 * The bytes go through a socket pair in pieces, so that what a protocol does with cut input is
 * tried, too; then the client is gone, and everything must be given back.
 */
#ifndef DYNO_TESTS_FUZZ_LOOPBACK_H
#define DYNO_TESTS_FUZZ_LOOPBACK_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "serve/net/port.h"

static inline void loopback_drop(int fd)
{
    static char sink[65536];
    while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
    }
}

/* `piece`: bytes at a time, 0: all at once. */
static inline void loopback_run(dyno_accept_fn *accept, void *owner, const uint8_t *data,
                                size_t bytes, size_t piece)
{
    int fds[2];
    struct dyno_err err = {0};
    struct dyno_loop *loop = NULL;
    struct dyno_port port = {.owner = owner, .watch.fd = -1, .spare_fd = -1};
    if (dyno_loop_create(&loop, &err) != DYNO_OK ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        abort();
    port.loop = loop;
    if (!accept(&port, fds[0]))
        abort();
    for (size_t at = 0; at < bytes && port.first != NULL;) {
        const size_t left = bytes - at;
        const size_t now = piece != 0 && piece < left ? piece : left;
        const ssize_t sent = send(fds[1], data + at, now, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        dyno_loop_turn(loop, 0);
        loopback_drop(fds[1]);
    }
    for (int i = 0; i < 4 && port.first != NULL; i++) {
        dyno_loop_turn(loop, 0);
        loopback_drop(fds[1]);
    }
    (void)close(fds[1]);
    dyno_loop_turn(loop, 0);
    dyno_port_close_all(&port);
    dyno_loop_turn(loop, 0);
    dyno_loop_turn(loop, 0);
    dyno_port_fini(&port);
    dyno_loop_destroy(loop);
}

#endif /* DYNO_TESTS_FUZZ_LOOPBACK_H */
