/* gate.h - who asks, and may he: the one place where every route of every port is judged.
 *
 * A row of a route table says which right it needs.  A guest is somebody who was let in; whoever
 * keeps one holds a reference.  With a control database (control/control.h) a guest is a tenant by
 * one of its keys.  A thread of the gate's own watches the database, so what is changed there is in
 * force within a second, and writes there what tenants have used, every few seconds; nothing else
 * here waits for a disk.  When the database cannot be read, what was known stays in force; when it
 * cannot be written, what was used is kept for later.  Any thread.
 */
#ifndef DYNO_SERVE_GATE_GATE_H
#define DYNO_SERVE_GATE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "quota/quota.h"

enum dyno_right {
    DYNO_RIGHT_OPEN,    /* liveness and readiness: nobody is asked who he is */
    DYNO_RIGHT_READ,    /* metadata, configuration, statistics, the index */
    DYNO_RIGHT_INFER,   /* inference */
    DYNO_RIGHT_CONTROL, /* loading and unloading, shared memory, settings */
    DYNO_RIGHT_METRICS, /* the metrics port */
};

#define DYNO_CREDENTIAL_BYTES_MAX 256 /* a longer one is no key, whatever it is */

struct dyno_gate;

/* Not changed while it lives: who is let in later may find another class. */
struct dyno_guest {
    uint64_t tenant;        /* 0: nobody was asked */
    const char *name;       /* of the tenant; "" */
    const char *class_name; /* the best service class it may use; "": any */
};

/* Why somebody was refused. */
enum dyno_refusal {
    DYNO_REFUSED_UNKNOWN, /* no key, or none that is known */
    DYNO_REFUSED_DENIED,  /* right, model, tenant disabled */
    DYNO_REFUSED_LIMIT,   /* rate, concurrency, quota */
    DYNO_REFUSALS
};

struct dyno_gate_options {
    const char *control_db;   /* NULL: everybody is let in, as the same guest; lives as the gate */
    const char *key_header;   /* the header that may hold a key, too; NULL: x-api-key */
    struct dyno_quota *quota; /* keeps budgets, and outlives the gate; NULL: there are none */
};

/* What a request shows of itself; NULL where it shows nothing. */
struct dyno_credentials {
    const char *authorization; /* the header of that name: Bearer KEY */
    const char *key;           /* the header for keys; looked at where the other holds none */
};

/* Write zeros over what was shown: nobody needs it once it was judged. */
void dyno_credentials_wipe(const struct dyno_credentials *credentials);

/* E_ARG: no name of a header; else as dyno_control_open and dyno_control_read. */
enum dyno_status dyno_gate_create(const struct dyno_gate_options *options,
                                  struct dyno_gate **gate_out, struct dyno_err *err);
/* Write what was used and end the thread; guests may still be about.  Accepts NULL. */
void dyno_gate_stop(struct dyno_gate *gate);
/* How often, since the start. */
void dyno_gate_refusals(struct dyno_gate *gate, uint64_t counts_out[DYNO_REFUSALS]);
void dyno_gate_destroy(struct dyno_gate *gate); /* nobody holds a guest; accepts NULL */

/* The header for keys in lower case, and that of gRPC beside it, which Triton's clients use:
 * triton-grpc-protocol-NAME. */
const char *dyno_gate_key_header(const struct dyno_gate *gate);
const char *dyno_gate_grpc_key_header(const struct dyno_gate *gate);

/* --- guests --- */

/* Let him in: a reference in *guest_out.  E_UNKNOWN_CALLER: no key that is known; E_DENIED: the
 * tenant is disabled or lacks the right. */
enum dyno_status dyno_gate_admit(struct dyno_gate *gate, const struct dyno_credentials *credentials,
                                 enum dyno_right right, struct dyno_guest **guest_out,
                                 struct dyno_err *err);
struct dyno_guest *dyno_guest_ref(struct dyno_guest *guest);
void dyno_guest_unref(struct dyno_guest *guest); /* accepts NULL */

/* Around one inference, which must have been admitted.  Begin takes from rate, concurrency and
 * quota, as they are now, or takes nothing: E_UNKNOWN_CALLER and E_DENIED when the key, the tenant
 * or its right has gone since; E_QUOTA when nothing is left, with the seconds after which there may
 * be something in *retry_s_out.  One end for each begin, with the time it had of a device. */
enum dyno_status dyno_guest_begin(struct dyno_guest *guest, uint32_t *retry_s_out,
                                  struct dyno_err *err);
void dyno_guest_end(struct dyno_guest *guest, uint64_t device_ns);

/* Take what the request of a guest, which was begun, will spend: from all his budgets that apply,
 * as they are now, or from none.  Errors of dyno_quota_reserve, and E_UNKNOWN_CALLER. */
enum dyno_status dyno_guest_reserve(struct dyno_guest *guest, const struct dyno_spend *spend,
                                    struct dyno_reservation *reservation,
                                    struct dyno_quota_refusal *refusal, struct dyno_err *err);
/* Has he any budgets? */
bool dyno_guest_has_budgets(const struct dyno_guest *guest);
/* Of who has: is anything left of those that apply (dyno_quota_has_left)? */
enum dyno_status dyno_guest_has_left(struct dyno_guest *guest, const struct dyno_spend *spend,
                                     struct dyno_quota_refusal *refusal, struct dyno_err *err);

/* May he use and see this model, as things are now?  E_DENIED. */
enum dyno_status dyno_guest_check_model(struct dyno_guest *guest, const char *model,
                                        struct dyno_err *err);
/* The same of the guest as he was let in: what lists leave out. */
bool dyno_guest_sees(const struct dyno_guest *guest, const char *model);

#endif /* DYNO_SERVE_GATE_GATE_H */
