/* port.h - a listening socket of one loop, and the connections that came from it.
 *
 * Each loop has its own socket on the same address (SO_REUSEPORT), so the kernel spreads
 * connections and no loop waits for another.
 */
#ifndef DYNO_SERVE_NET_PORT_H
#define DYNO_SERVE_NET_PORT_H

#include "serve/net/conn.h"

/* Makes a connection of an accepted descriptor; false: it is closed by the caller. */
typedef bool dyno_accept_fn(struct dyno_port *port, int fd);

struct dyno_port {
    struct dyno_watch watch; /* fd -1: not listening */
    struct dyno_loop *loop;
    dyno_accept_fn *accept;
    void *owner;                              /* of the protocol */
    struct dyno_tls *tls;                     /* NULL: plain */
    const struct dyno_tls_protocol *protocol; /* with tls: what is inside */
    struct dyno_conn *first;
    uint32_t conn_count, conn_count_max;
    uint32_t conn_count_peak; /* since memory was given back */
    struct dyno_timer sweep;
    int spare_fd; /* given up to turn a client away when descriptors run out */
    bool is_draining;
    bool wants_peers; /* who connects is asked for his address */
};

/* A socket that is bound to a numeric address (v4 or v6) and port (0: any free one), and does not
 * listen yet.  E_IO names the address and the reason. */
enum dyno_status dyno_bind(const char *address, int number, int *fd_out, int *number_out,
                           struct dyno_err *err);

/* Serve `fd`, which is taken in any case, once it listens. */
enum dyno_status dyno_port_open(struct dyno_port *port, struct dyno_loop *loop, int fd,
                                struct dyno_err *err);
/* Does nothing for a port that was not opened, or listens already.  E_IO. */
enum dyno_status dyno_port_listen(struct dyno_port *port, struct dyno_err *err);
/* Three steps to the end, some time apart, so that nobody is cut off on his way in: who asks for a
 * connection gets no answer (and asks again a second later, when another server may listen on the
 * port); those that were made are accepted, and nobody listens any more; and the ones there are
 * told. */
void dyno_port_shut(struct dyno_port *port);
void dyno_port_stop(struct dyno_port *port);
void dyno_port_drain(struct dyno_port *port);
/* Close everything that is left; `closed` is called for each at the end of the turn. */
void dyno_port_close_all(struct dyno_port *port);
void dyno_port_fini(struct dyno_port *port); /* no connection is left */

#endif /* DYNO_SERVE_NET_PORT_H */
