/* conn.h - a connection: a socket, its output, and a protocol above it.
 *
 * Belongs to one loop.  Closing is never immediate: dyno_conn_close only marks, and the protocol is
 * told by `closed` at the end of the turn, as the last call; so no callback finds its connection
 * freed under it.  Output is gathered during a turn and sent at its end.
 *
 * Output can be held: it is written as ever, and whoever wrote it is done with it, but it does not
 * leave before what it waits for has happened.  What was written before it leaves meanwhile, what
 * is written after it waits behind it.
 */
#ifndef DYNO_SERVE_NET_CONN_H
#define DYNO_SERVE_NET_CONN_H

#include "base/budget.h"
#include "serve/net/loop.h"
#include "serve/net/tls.h"

struct dyno_conn;
struct dyno_port;

/* What output of a loop's connections waits for: numbers that become due in order.  Zeroed, but for
 * `gone`. */
struct dyno_hold {
    uint64_t due;            /* output that waits for a number up to here may leave */
    struct dyno_conn *first; /* connections with output that may not */
    /* A connection with a hold goes; its output is lost where it has not left. */
    void (*gone)(struct dyno_hold *hold, const struct dyno_conn *conn);
};
/* All up to `due` may leave. */
void dyno_hold_release(struct dyno_hold *hold, uint64_t due);

/* The other end of a connection. */
struct dyno_peer {
    uint16_t family; /* 0: not known */
    uint16_t number; /* of its port */
    unsigned char address[16];
};
#define DYNO_PEER_TEXT_BYTES 64

/* "127.0.0.1:4711", "[::1]:4711"; "" when it is not known. */
void dyno_peer_text(const struct dyno_peer *peer, char text[DYNO_PEER_TEXT_BYTES]);

/* A piece of output.  `data` begins `begin` bytes into the room, so that a head can be put before a
 * body that was written first. */
struct dyno_seg {
    struct dyno_seg *next;
    struct dyno_budget *budget; /* NULL, or where room_bytes were taken from */
    uint64_t waits_for;         /* a number of the connection's hold */
    size_t room_bytes, begin, end;
    char data[];
};

/* NULL when out of memory. */
struct dyno_seg *dyno_seg_create(struct dyno_slab *slab, size_t room_bytes);
void dyno_seg_destroy(struct dyno_slab *slab, struct dyno_seg *seg);

struct dyno_conn_ops {
    /* Bytes came.  They are in the loop's buffer and go when this returns. */
    void (*input)(struct dyno_conn *conn, const char *data, size_t bytes);
    /* May be NULL.  Where the next bytes shall go first (*bytes_out of room), NULL: nowhere special
     * (or not at all: then it pauses); and how many went there. */
    char *(*room)(struct dyno_conn *conn, size_t *bytes_out);
    void (*arrived)(struct dyno_conn *conn, size_t bytes);
    /* May be NULL.  The output runs low: write more, if there is more. */
    void (*produce)(struct dyno_conn *conn);
    /* The peer sends no more. */
    void (*ended)(struct dyno_conn *conn);
    /* About once a second: is patience with this one over? */
    bool (*is_late)(struct dyno_conn *conn, uint64_t now_ns);
    /* The server stops: take nothing new, close when done. */
    void (*drain)(struct dyno_conn *conn);
    /* Free everything, the connection itself too. */
    void (*closed)(struct dyno_conn *conn);
};

struct dyno_conn {
    struct dyno_watch watch;
    struct dyno_turn turn;
    struct dyno_loop *loop;
    struct dyno_port *port;
    struct dyno_conn *next, *prev; /* of the port */
    const struct dyno_conn_ops *ops;
    struct dyno_peer peer;        /* where the port wants it */
    struct dyno_tls_session *tls; /* NULL: bytes go as they are */
    struct dyno_seg *out_first, *out_last;
    size_t out_bytes;
    struct dyno_hold *hold; /* NULL: none of its output ever waited */
    uint64_t waits_for;     /* what is written now does: the largest number so far */
    struct dyno_conn *held_next, *held_prev; /* of the hold, where is_held */
    bool is_held;                            /* there is output that may not leave */
    uint64_t active_ns;                      /* when bytes last moved, either way */
    bool is_paused;                          /* the protocol wants no input */
    bool can_read, can_write;
    uint32_t read_waits, write_waits; /* the EPOLL* event that sets them again */
    bool peer_ended, told_ended;
    bool closing;   /* when the output is empty */
    bool lingering; /* the output was ended; what still comes is thrown away */
    bool closed;
};

/* Put an accepted socket to work, inside TLS where the port has it; the caller has zeroed `conn`.
 * On failure the descriptor is still the caller's. */
enum dyno_status dyno_conn_open(struct dyno_conn *conn, struct dyno_port *port, int fd,
                                const struct dyno_conn_ops *ops, struct dyno_err *err);

/* Room for output, for dyno_conn_commit; NULL when out of memory (the connection is closed). */
char *dyno_conn_reserve(struct dyno_conn *conn, size_t bytes);
void dyno_conn_commit(struct dyno_conn *conn, size_t bytes);
void dyno_conn_write(struct dyno_conn *conn, const void *data, size_t bytes);
/* What is written from now on waits for this number, too. */
void dyno_conn_hold(struct dyno_conn *conn, struct dyno_hold *hold, uint64_t waits_for);
/* Takes the segment. */
void dyno_conn_give(struct dyno_conn *conn, struct dyno_seg *seg);

/* Stop and go on with input. */
void dyno_conn_pause(struct dyno_conn *conn);
void dyno_conn_resume(struct dyno_conn *conn);
/* `produce` has something. */
void dyno_conn_wake(struct dyno_conn *conn);

/* Input that is there and was not taken yet, at most; all that will come once the peer has ended.
 */
size_t dyno_conn_waiting(const struct dyno_conn *conn);

void dyno_conn_close(struct dyno_conn *conn);           /* now */
void dyno_conn_close_when_sent(struct dyno_conn *conn); /* after what was written */

#endif /* DYNO_SERVE_NET_CONN_H */
