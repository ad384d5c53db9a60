/* io.h - an I/O thread: its loop, its ports, and what it is told. */
#ifndef DYNO_SERVE_APP_IO_H
#define DYNO_SERVE_APP_IO_H

#include "serve/app/server.h"

/* Its loop and its ports, over listeners[DYNO_PORT_KINDS], which are its from now on (-1: none).
 * io->server and idx are set.  Errors of sockets; dyno_io_free in any case. */
DYNO_NODISCARD enum dyno_status dyno_io_open(struct dyno_io *io, int *listeners,
                                             struct dyno_err *err);
void *dyno_io_run(void *arg); /* a struct dyno_io: what its thread does, until dyno_io_close */
void dyno_io_free(struct dyno_io *io);

/* Said to its thread, from another, once each, in this order: the three steps of its ports to the
 * end (net/port.h); then all that is left is closed, and the loop stops. */
void dyno_io_shut(struct dyno_io *io);
void dyno_io_stop(struct dyno_io *io);
void dyno_io_drain(struct dyno_io *io);
void dyno_io_close(struct dyno_io *io);

#endif /* DYNO_SERVE_APP_IO_H */
