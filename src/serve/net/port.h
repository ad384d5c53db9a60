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

/* Bind and listen on a numeric address (v4 or v6) and port (0: any free one).  E_IO names the
 * address and the reason. */
enum dyno_status dyno_listen(const char *address, int number, int *fd_out, int *number_out,
                             struct dyno_err *err);

/* Serve `fd`, which is taken in any case. */
enum dyno_status dyno_port_open(struct dyno_port *port, struct dyno_loop *loop, int fd,
                                struct dyno_err *err);
/* No new connections; the ones there are told. */
void dyno_port_drain(struct dyno_port *port);
/* Close everything that is left; `closed` is called for each at the end of the turn. */
void dyno_port_close_all(struct dyno_port *port);
void dyno_port_fini(struct dyno_port *port); /* no connection is left */

#endif /* DYNO_SERVE_NET_PORT_H */
