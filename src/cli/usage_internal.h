/* usage_internal.h - a source of usage: its names (usage_names.c), its groups (usage_source.c), and
 * what their records are to a bill (usage_give.c). */
#ifndef DYNO_CLI_USAGE_INTERNAL_H
#define DYNO_CLI_USAGE_INTERNAL_H

#include "base/map.h"
#include "cli/ledger_files.h"
#include "cli/usage_source.h"
#include "meter/cert/factor.h"
#include "meter/ledger/parts.h"

/* What is known of one epoch of a node: how far its answers have left; now, and at the closing. */
struct dyno_usage_span {
    struct dyno_invoice_source source;
    uint64_t sent_seq, billed_sent_seq;
};

/* A certificate that records cite, by its name. */
struct dyno_usage_grade {
    struct dyno_grade grade;
    uint32_t precision; /* index of its name */
    /* Of a reference certificate, which nothing else is asked of. */
    struct dyno_cert_term reference;
    bool has_reference;
};

struct dyno_usage_source {
    struct dyno_usage_source_options options;
    struct dyno_arena *arena;
    struct dyno_ledger_files own; /* when none were given */
    const struct dyno_ledger_files *files;
    struct dyno_ledger_part *parts;       /* of each file, as the first pass found it */
    struct dyno_ledger_file *file;        /* that is open now */
    const struct dyno_usage_bound *bound; /* of its node; NULL: it is read to its end */
    struct dyno_map name_indices;
    struct dyno_map tenants; /* of the names, those of tenants */
    const char **names;
    struct dyno_usage_grade *grades; /* by name, of certificates */
    size_t name_count, name_room;
    struct dyno_map
        voids; /* keys: struct dyno_record_id as bytes; values: the group that says it */
    struct dyno_usage_span *spans;
    struct dyno_invoice_source *sources;
    size_t span_count, span_room;
    bool has_trials;
    struct dyno_swaps swaps;
    struct dyno_factors factors; /* of options.factors */
    /* The names that factor_1e9 is of; device UINT32_MAX: none yet. */
    uint32_t device, device_certificate;
    uint64_t factor_1e9;
};

/* The text of a record's names in this source's numbers, of one file. */
struct dyno_usage_names {
    struct dyno_ledger_names names;
    uint32_t *indices[DYNO_NAME_KINDS]; /* by id; as many as names */
    uint32_t counts[DYNO_NAME_KINDS];
};

/* --- usage_names.c --- */

/* The index of a text, which is new or not.  Pointers to names and grades move. */
enum dyno_status dyno_usage_intern(struct dyno_usage_source *source, const char *text,
                                   uint32_t *idx_out, struct dyno_err *err);
enum dyno_status dyno_usage_load_grade(struct dyno_usage_source *source, uint32_t name,
                                       struct dyno_err *err);
/* The term of a reference certificate; not known where its file is not there. */
enum dyno_status dyno_usage_reference_term(struct dyno_usage_source *source, uint32_t name,
                                           const struct dyno_cert_term **term_out,
                                           struct dyno_err *err);
void dyno_usage_names_drop(struct dyno_usage_names *names);
/* Put what a group added to its file's names into the source's. */
enum dyno_status dyno_usage_names_add(struct dyno_usage_source *source,
                                      struct dyno_usage_names *names,
                                      const struct dyno_items *items, struct dyno_err *err);
/* 0 is "": the first name of all. */
enum dyno_status dyno_usage_name_of(const struct dyno_usage_names *names,
                                    const struct dyno_record *record, enum dyno_name_kind kind,
                                    uint32_t *idx_out, struct dyno_err *err);

/* --- usage_source.c --- */

enum dyno_status dyno_usage_span_of(struct dyno_usage_source *source, uint32_t node, uint32_t epoch,
                                    struct dyno_usage_span **span_out, struct dyno_err *err);
/* Was the group there when the last period was closed? */
bool dyno_usage_was_read(const struct dyno_usage_source *source, uint64_t group);
typedef enum dyno_status dyno_usage_group_fn(struct dyno_usage_source *source,
                                             struct dyno_usage_names *names,
                                             const struct dyno_ledger_group *group, void *arg,
                                             struct dyno_err *err);

/* Every group of every file; the first time notes where they end, and later ones stop there. */
enum dyno_status dyno_usage_walk(struct dyno_usage_source *source, bool is_first,
                                 dyno_usage_group_fn *visit, void *arg, struct dyno_err *err);
enum dyno_status dyno_usage_record_at(const struct dyno_ledger_group *group, uint32_t i,
                                      struct dyno_record *record, struct dyno_err *err);

#endif /* DYNO_CLI_USAGE_INTERNAL_H */
