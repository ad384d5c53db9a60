/* spending.h - budgets beside calls: reserved before a run, posted or released after it. */
#ifndef DYNO_SERVE_APP_SPENDING_H
#define DYNO_SERVE_APP_SPENDING_H

#include "serve/app/server.h"

/* Before the gate is opened. */
enum dyno_status dyno_server_open_quota(struct dyno_server *server, struct dyno_err *err);
/* The meter is open. */
enum dyno_status dyno_server_start_quota(struct dyno_server *server, struct dyno_err *err);
/* No request runs any more, and the meter is closed. */
void dyno_server_close_quota(struct dyno_server *server);

/* Its model and class are known: has its guest anything left?  E_QUOTA, as below. */
enum dyno_status dyno_call_may_spend(struct dyno_call *call);
/* The call's inputs are arranged: take what it will spend.  E_QUOTA, E_BUSY and their sentences;
 * fields for the answer in call->limit_policy and call->limit. */
enum dyno_status dyno_call_reserve(struct dyno_call *call);

#endif /* DYNO_SERVE_APP_SPENDING_H */
