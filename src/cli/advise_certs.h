/* advise_certs.h - the engine certificates that an adviser can go by.
 *
 * All of a folder, and those that were given as a quick probe, with their state at one time.
 * Everything lives in the caller's arena.  One thread at a time.
 */
#ifndef DYNO_CLI_ADVISE_CERTS_H
#define DYNO_CLI_ADVISE_CERTS_H

#include "meter/cert/state.h"
#include "rate/advice.h"

struct dyno_advise_cert {
    char address[DYNO_CERT_HEX_ROOM];
    struct dyno_cert_hash model, engine, reference;
    const char *model_name, *device_class; /* the name as the file had it, without ".onnx" */
    struct dyno_speed speed;               /* low: as it is claimed; high: as a price takes it */
    uint64_t batch;                        /* items that it was measured with */
    uint32_t threads;
    bool is_on_gpu, is_trial;
    int64_t issued_s, ends_s;
    struct dyno_cert_state state;
    const char *probe;    /* as it was given; NULL: it lies in the folder */
    const char *of_model; /* the model that the probe is said to be of; NULL: not said */
};

struct dyno_advise_certs {
    struct dyno_advise_cert *items;
    size_t count, room;
    struct dyno_arena *arena;
    int64_t at_s; /* the time of their states */
};

/* What is known of a model on a device that its certificates could be of. */
struct dyno_advise_tie {
    const char *model, *device;           /* as records name them; device "": not named */
    bool is_on_gpu;                       /* its time is not told by core */
    const struct dyno_advise_cert *cited; /* NULL: records cite none */
    const char *reference;                /* address; "": they cite none */
};

/* All engine certificates of a folder but refused ones; one that cannot be read is passed over.
 * E_NOT_FOUND, E_IO: it cannot be read. */
enum dyno_status dyno_advise_certs_load(struct dyno_advise_certs *certs, const char *folder,
                                        struct dyno_err *err);
/* "FILE" or "MODEL=FILE".  Errors of dyno_cert_load; E_DENIED: a refused one; E_ARG: no engine
 * certificate. */
enum dyno_status dyno_advise_certs_probe(struct dyno_advise_certs *certs, const char *spec,
                                         struct dyno_err *err);
/* NULL: none has this address. */
const struct dyno_advise_cert *dyno_advise_certs_find(const struct dyno_advise_certs *certs,
                                                      const char *address);

/* Is the certificate of that model and device?  By the hash of the model, or the reference
 * certificate; by the model's name only where records cite nothing. */
bool dyno_advise_cert_is_of(const struct dyno_advise_cert *cert, const struct dyno_advise_tie *tie);
/* What an engine of it could do: a probe before all, then one in force, a trial, one that no longer
 * counts; of equals the one with the largest lower bound.  Not of `except` nor its engine (NULL:
 * of any).  NULL: nobody knows. */
const struct dyno_advise_cert *dyno_advise_certs_best(const struct dyno_advise_certs *certs,
                                                      const struct dyno_advise_tie *tie,
                                                      const struct dyno_advise_cert *except);
/* The newest that was suspended or whose term is over; NULL: none. */
const struct dyno_advise_cert *dyno_advise_certs_lapsed(const struct dyno_advise_certs *certs,
                                                        const struct dyno_advise_tie *tie);
/* Anything but a certificate in force that may be billed by is an estimate. */
bool dyno_advise_cert_is_estimate(const struct dyno_advise_cert *cert);

#endif /* DYNO_CLI_ADVISE_CERTS_H */
