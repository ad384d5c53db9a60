/* meter.h - a usage record for each request that ran, in the ledger before its answer leaves.
 *
 * What a record says of an engine (its certificates, its names) is looked up when the engine is
 * loaded; of a request it is filled in without a disk.  Once a minute a thread of its own writes
 * what is nobody's request: memory held, the platform's own runs, idle time.
 *
 * A request of a model with a reference certificate has the EPU that the certificate gives its
 * shape; without one, or outside its shapes, its own device time.
 */
#ifndef DYNO_SERVE_METER_METER_H
#define DYNO_SERVE_METER_METER_H

#include "meter/ledger/heads.h"
#include "meter/ledger/ledger.h"
#include "quota/quota.h"
#include "serve/meter/fleet.h"
#include "serve/model/variant.h"
#include "serve/watch/device.h"

struct dyno_meter;

struct dyno_meter_options {
    const char *ledger; /* folder */
    uint32_t node;
    const char *key_path;     /* signs heads; NULL: they are not signed */
    const char *publish;      /* a file or folder that heads are appended to; NULL: none */
    const char *certificates; /* folder; NULL: everything is uncertified */
    const char *device_class; /* that certificates must be of; NULL: of any */
    uint64_t recheck_ns;      /* between two looks at a certificate in force; 0: nobody looks */
    const char *certifier;    /* the program dyno, which looks; NULL: it is looked for */
    bool takes_trials;        /* certificates to try things with, which nobody is billed by */
    bool is_relaxed;          /* answers leave before their record is durable */
    const char *fleet;        /* the fleet's database, which gets the ledger; NULL: there is none */
    bool awaits_fleet;        /* answers leave after it has their record, */
    uint64_t fleet_wait_ns;   /* or do not leave after so long */
    bool is_first_start;      /* what only a person can mend of the fleet's fails the start */
    struct dyno_device *device; /* the CPU */
    struct dyno_device *gpus[DYNO_GPUS_MAX];
    int gpu_count;
    struct dyno_quota *quota; /* is told of records; may be NULL */
    /* The ready variants, each referenced, in `arena`; for what they hold. */
    enum dyno_status (*ready)(void *arg, struct dyno_arena *arena,
                              struct dyno_variant ***variants_out, size_t *count_out,
                              struct dyno_err *err);
    /* These records are durable, or will never be (E_CANCELLED).  A list, on another thread; must
     * be short and must not append. */
    void (*durable)(void *arg, struct dyno_ledger_entry *entries);
    /* Then, of the same: their answers may leave (DYNO_OK), or may not: as before, or E_BUSY, the
     * fleet has not taken them in time. */
    void (*told)(void *arg, struct dyno_ledger_entry *entries);
    /* After a group: all records up to `seq` are durable here, and told.  By the committer. */
    void (*committed)(void *arg, uint64_t seq);
    void *arg;
};

/* Opens the ledger, reads the certificates.  Errors of both. */
enum dyno_status dyno_meter_create(const struct dyno_meter_options *options,
                                   struct dyno_meter **meter_out, struct dyno_err *err);
/* Nobody has a record on its way.  What is pending is written; E_IO when it could not be.  Accepts
 * NULL. */
enum dyno_status dyno_meter_destroy(struct dyno_meter *meter, struct dyno_err *err);

/* Read the certificates again, and give engines that are loaded those that count now; read the book
 * of tariffs when it is another one.  What is wrong is logged.  The meter does so by itself soon
 * after either changed, and when a term ends. */
void dyno_meter_reload(struct dyno_meter *meter);

/* An engine was opened: find its certificates and give it its names.  Not on an I/O thread: reads
 * the whole file.  Sets variant->account. */
enum dyno_status dyno_meter_adopt(struct dyno_meter *meter, struct dyno_variant *variant,
                                  struct dyno_err *err);

/* Should a request be admitted?  NULL: yes; else why not: the disk is full, or answers would wait
 * for the fleet too long. */
const char *dyno_meter_refusal(const struct dyno_meter *meter);

/* The epoch of the ledger's records. */
uint32_t dyno_meter_epoch(const struct dyno_meter *meter);

/* What a request will be worth, and by what its price is made.  Exact where a certificate covers
 * its shape; else as much as `core_ns`, its own time of cores or of a GPU, is. */
struct dyno_meter_quote {
    uint64_t reference_ns;
    const char *precision;
    int64_t speed_up_ppm;
    const char *device_class; /* that its record will be of; "": it is not said */
    const void *subject;      /* of the engine: the same one has the same precision and speed-up */
};
void dyno_meter_quote(struct dyno_variant *variant, const struct dyno_array *inputs,
                      uint64_t core_ns, struct dyno_meter_quote *quote_out);

#define DYNO_METER_CLASSES_MAX 64

/* A request that ran, or that failed after it was submitted. */
struct dyno_meter_request {
    struct dyno_variant *variant;
    uint64_t tenant_id; /* never given to another tenant; 0: nobody was asked who he is */
    const char *tenant; /* its name; "" */
    int class_idx;      /* below DYNO_METER_CLASSES_MAX */
    const char *class_name;
    const struct dyno_array *inputs; /* in the engine's order */
    bool is_good, is_cancelled;
    bool has_waited;  /* for its engine to be loaded */
    uint64_t wall_ns; /* when it came, ns since 1970 */
    uint64_t queue_ns, core_ns;
    uint64_t batch_id;
    uint32_t batch_count;
    /* Of budgets; the owner of a durable record posts it, that of a relaxed one goes with it. */
    struct dyno_reservation *reservation;
};

/* Make the record.  True: hand the entry over, and wait for options.told with the answer.  False:
 * the answer may leave now, as entry->status says (E_NOMEM: there is no record). */
bool dyno_meter_record(struct dyno_meter *meter, const struct dyno_meter_request *request,
                       struct dyno_ledger_entry *entry);
/* Entries in a list, in the order in which they came: many at once cost little more than one.  Each
 * has its id then. */
void dyno_meter_hand_over(struct dyno_meter *meter, struct dyno_ledger_entry *entries);

/* Is what becomes of the answer of this entry to be said?  To be asked when it is over. */
bool dyno_meter_awaits(const struct dyno_ledger_entry *entry);
/* The answers of these records (their seqs) have left. */
void dyno_meter_left(struct dyno_meter *meter, const uint64_t *seqs, size_t count);
/* That of this one will never leave; what was posted of its reservation is taken back with it. */
void dyno_meter_lost(struct dyno_meter *meter, const struct dyno_ledger_entry *entry,
                     struct dyno_reservation *reservation);

struct dyno_meter_figures {
    uint64_t record_count, durable_seq;
    uint64_t uncertified_count, outside_count;
    struct dyno_timeline_sums sums;
    /* Looks at certificates that ended: they stand, were suspended, undecided, could not be done.
     */
    uint64_t check_counts[4], check_ns;
    struct dyno_meter_fleet_figures fleet;
    bool has_fleet, admits;
    bool is_balanced; /* the accounts of each device add up */
};
void dyno_meter_read(struct dyno_meter *meter, struct dyno_meter_figures *figures_out);

/* The newest heads of the ledger as lines of JSON (meter/ledger/heads.h); any thread. */
void dyno_meter_heads(struct dyno_meter *meter, struct dyno_strbuf *out);

#endif /* DYNO_SERVE_METER_METER_H */
