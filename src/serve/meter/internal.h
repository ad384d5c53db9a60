/* internal.h - the meter: its ledger, certificates, and what it knows of engines. */
#ifndef DYNO_SERVE_METER_INTERNAL_H
#define DYNO_SERVE_METER_INTERNAL_H

#include "base/map.h"
#include "meter/account/residency.h"
#include "meter/cert/epu.h"
#include "meter/cert/state.h"
#include "serve/meter/meter.h"

#define DYNO_TENANTS_KEPT 1024 /* their handles at hand */
#define DYNO_HANDLE_BITS  24
#define DYNO_SHAPES_KEPT  64   /* names of shapes at hand, of one engine */
#define DYNO_SHAPES_MAX   1024 /* names of shapes that one engine may add to the ledger */

#define DYNO_CERT_AHEAD_S 2 /* engines are given other certificates so long before a term ends */

/* What was read of a folder of certificates; it stays until the meter goes. */
struct dyno_cert_shelf {
    struct dyno_cert_shelf *next;
    struct dyno_cert **certs; /* accepted, and in force when they were read */
    size_t count, room;
};

/* What a tenant used of an engine since the last tick. */
struct dyno_meter_use {
    struct dyno_meter_use *next;
    uint32_t tenant;
    atomic_uint_fast64_t core_ns;
};

#define DYNO_USE_CHAINS 64

/* One engine under one name. */
struct dyno_subject {
    struct dyno_subject *next;
    struct dyno_meter *meter;
    char *model, *variant;
    struct dyno_cert_hash engine;
    const struct dyno_cert *reference, *certificate; /* NULL: none */
    int64_t ends_s;       /* the term of one of them, and what they say with it; INT64_MAX: none */
    int64_t speed_up_ppm; /* that prices are made with */
    uint32_t inputs[DYNO_CERT_INPUTS_MAX]; /* of the reference: which of the engine's */
    uint32_t names[DYNO_NAME_KINDS];       /* handles of the ledger; 0 where a request says */
    struct dyno_meter_account *account;
    char gpu[128]; /* what the driver calls it, where its time is not that of cores */
    /* By the hash of a shape: its upper 40 bits, and the handle in the lower 24. */
    atomic_uint_fast64_t shapes[DYNO_SHAPES_KEPT];
    atomic_uint_fast32_t shape_count;

    /* By tenant % chains.  Put in front under the lock, and there as long as the subject; read
     * without. */
    _Atomic(struct dyno_meter_use *) uses[DYNO_USE_CHAINS];

    pthread_mutex_t lock;
    struct dyno_residency residency;
    uint64_t held_from_ns; /* what is told next was held since then, ns since 1970; 0: nothing is */

    /* Its certificate is looked after (recheck.c). */
    uint64_t check_ns; /* when next; 0: it is not known yet */
    _Atomic(struct dyno_sample *) sample;
    atomic_bool wants_sample;
    bool was_held; /* at this tick */
    bool is_core;  /* its time is that of cores */
};

/* The time of a device, and what records of idle time and of the platform say of it so far. */
struct dyno_meter_account {
    struct dyno_device *device;
    atomic_uint_fast32_t name;    /* of a GPU: the handle; 0: it has not been used yet */
    atomic_uint_fast64_t cold_ns; /* of the platform's time, what tenants were told */
    uint64_t cold_told_ns;        /* of cold_ns, what is in `told` */
    uint64_t told_ns;             /* when they were told, ns since 1970 */
    struct dyno_timeline_sums told;
};

#define DYNO_CHECK_VERDICTS 4 /* stands, suspended, undecided, failed */

struct dyno_meter {
    struct dyno_meter_options options;
    struct dyno_ledger *ledger;
    struct dyno_head_board *board;
    struct dyno_meter_fleet *fleet; /* NULL: there is none */
    /* Handles of the ledger's names: of a class by its index; of a tenant by its id, with the id in
     * the bits above.  0: not asked for yet. */
    atomic_uint_fast32_t classes[DYNO_METER_CLASSES_MAX];
    atomic_uint_fast64_t tenants[DYNO_TENANTS_KEPT];
    atomic_uint_fast64_t record_count, uncertified_count, outside_count;
    uint64_t id; /* of this process's meters: no two are the same */
    struct dyno_meter_account accounts[DYNO_DEVICES_MAX]; /* by device */
    int account_count;
    pthread_t thread; /* ticks */
    bool has_thread;

    pthread_mutex_t lock;
    pthread_cond_t tick;
    bool is_ending;
    bool has_told_imbalance;
    struct dyno_cert_shelf *shelf; /* the newest first */
    uint64_t shelf_stamp;          /* of the folder, when it was read */
    int64_t shelf_ends_s;          /* when the next of its certificates ends */
    struct dyno_subject *subjects;
    struct dyno_recheck *recheck; /* NULL: certificates are not looked after */
};

/* meter.c: a record on a way of its own, where nobody waits for it.  One that there is no memory
 * for is logged, and lost.  A reservation (may be NULL) goes with it, and is posted. */
void dyno_meter_append(struct dyno_meter *meter, const struct dyno_record *record,
                       struct dyno_reservation *reservation);

/* What the ledger calls the tenant of a request. */
const char *dyno_meter_tenant_name(const struct dyno_meter_request *request);

/* tariff.c: the handle of the tariff version that its tenant has, by the book; 0: none is named. */
uint32_t dyno_meter_tariff(struct dyno_meter *meter, const struct dyno_meter_request *request);
void dyno_meter_begin_tariffs(struct dyno_meter *meter);
/* Now and then: when the book's file has changed, it is read again. */
void dyno_meter_look_at_book(struct dyno_meter *meter);

/* Do the accounts of each device add up to its time?  E_MISMATCH: how they do not. */
enum dyno_status dyno_meter_check(struct dyno_meter *meter, struct dyno_err *err);

/* certs.c */
enum dyno_status dyno_cert_shelf_read(struct dyno_meter *meter, struct dyno_err *err);
void dyno_cert_shelf_destroy(struct dyno_cert_shelf *shelf);
/* The certificates of an engine whose terms last; NULL where there is none.  Under the lock. */
void dyno_cert_shelf_find(const struct dyno_cert_shelf *shelf, const struct dyno_cert_hash *engine,
                          const struct dyno_cert **engine_out,
                          const struct dyno_cert **reference_out);
/* Has the folder changed since it was read: a new certificate, one suspended or reinstated? */
bool dyno_cert_shelf_has_changed(struct dyno_meter *meter);
/* Is the term of one of them about to end? */
bool dyno_cert_shelf_ends(struct dyno_meter *meter);

/* subject.c */
enum dyno_status dyno_subject_create(struct dyno_meter *meter, const struct dyno_variant *variant,
                                     const struct dyno_cert_hash *engine,
                                     struct dyno_subject **subject_out, struct dyno_err *err);
void dyno_subject_destroy(struct dyno_subject *subject);
/* The handle of the request's shape; 0: there are too many, or no memory. */
uint32_t dyno_subject_shape(struct dyno_subject *subject, const struct dyno_variant *variant,
                            const struct dyno_array *inputs);
/* Along the first dimension of the model's first input, whether runs are shared or not: t_ref is of
 * one of them. */
uint32_t dyno_subject_items(const struct dyno_subject *subject, const struct dyno_variant *variant,
                            const struct dyno_array *inputs);
void dyno_subject_quote(const struct dyno_subject *subject, const struct dyno_array *inputs,
                        uint64_t core_ns, struct dyno_meter_quote *quote_out);
/* Of a request that came then: what is over counts nothing. */
struct dyno_epu dyno_subject_epu(const struct dyno_subject *subject,
                                 const struct dyno_array *inputs, uint64_t core_ns,
                                 int64_t start_s);
void dyno_subject_use(struct dyno_subject *subject, uint32_t tenant, uint64_t core_ns);

/* sample.c: inputs of one request, copied, for a check of the certificate.  By whoever serves a
 * request that suits one of its points, when one is wanted. */
void dyno_sample_take(struct dyno_subject *subject, const struct dyno_variant *variant,
                      const struct dyno_array *inputs);
void dyno_sample_destroy(struct dyno_sample *sample); /* accepts NULL */
/* Its arrays as FOLDER/N.npy, N in the order of the engine's inputs. */
enum dyno_status dyno_sample_save(const struct dyno_sample *sample, const char *folder,
                                  struct dyno_err *err);

/* recheck.c */
enum dyno_status dyno_recheck_start(struct dyno_meter *meter, struct dyno_err *err);
void dyno_recheck_stop(struct dyno_meter *meter); /* before its subjects go */
void dyno_recheck_read(const struct dyno_meter *meter, struct dyno_meter_figures *figures);

/* tick.c */
void *dyno_meter_keep_time(void *arg);
/* Write what was held, idle, and the platform's since the last time. */
void dyno_meter_tick(struct dyno_meter *meter);

/* meter.c: each variant that is ready and has a subject; subject: only those that have this one,
 * NULL: any.  Ends with the first failure.  Any thread. */
typedef enum dyno_status dyno_meter_variant_fn(struct dyno_meter *meter,
                                               struct dyno_variant *variant, void *arg,
                                               struct dyno_err *err);
DYNO_NODISCARD enum dyno_status dyno_meter_each_variant(struct dyno_meter *meter,
                                                        const struct dyno_subject *subject,
                                                        dyno_meter_variant_fn *fn, void *arg,
                                                        struct dyno_err *err);

#endif /* DYNO_SERVE_METER_INTERNAL_H */
