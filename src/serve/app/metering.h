/* metering.h - the meter beside calls: opened with the server, fed by each of them. */
#ifndef DYNO_SERVE_APP_METERING_H
#define DYNO_SERVE_APP_METERING_H

#include "serve/app/server.h"

/* With options.ledger: open it, before models are loaded. */
enum dyno_status dyno_server_open_meter(struct dyno_server *server, struct dyno_err *err);
/* Nobody runs any more, and I/O threads have ended.  What could not be written is logged. */
void dyno_server_close_meter(struct dyno_server *server);
/* dyno_manager_options.adopt, with the server. */
enum dyno_status dyno_server_adopt(void *arg, struct dyno_variant *variant, struct dyno_err *err);

/* May a request be taken?  E_BUSY while the ledger's disk is full, or answers would wait for
 * the fleet too long. */
enum dyno_status dyno_call_may_run(struct dyno_call *call);
/* May its answer be written before its record is durable, and wait in its connection?  Not where it
 * has others to wait for, nor where a part of it lies in the client's memory. */
bool dyno_call_is_held(const struct dyno_call *call);
/* The run of such a call is over.  On the call's own thread: soon, within this turn, its record is
 * on its way and has its id, and `wake` is called to write the answer; its status may have become
 * an error.  Records of calls that ran one after another go together, so that what asks together
 * is answered together. */
void dyno_call_record_held(struct dyno_call *call, void (*wake)(struct dyno_mail *mail));
/* The run of another call is over: true when a record is on its way.  When the answer may leave,
 * `wake` is delivered on the call's own thread; its status may have become an error (also where
 * this is false). */
bool dyno_call_record(struct dyno_call *call, void (*wake)(struct dyno_mail *mail));
/* The call is over: its answer has left, or has not. */
void dyno_call_settle(struct dyno_call *call);
/* The answer of this record has left. */
void dyno_call_left(struct dyno_io *io, uint64_t seq);

/* What the metrics tell of it; nothing without a meter. */
void dyno_server_print_meter(struct dyno_server *server, struct dyno_strbuf *out);

#endif /* DYNO_SERVE_APP_METERING_H */
