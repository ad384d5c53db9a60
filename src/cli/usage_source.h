/* usage_source.h - a ledger as usage that can be rated: what usage, invoice and whatif share.
 *
 * A ledger is read twice: once for what is known at its end (which answers left, which records were
 * voided, its names, its last heads), once for the records.  Memory grows with names and voids.
 */
#ifndef DYNO_CLI_USAGE_SOURCE_H
#define DYNO_CLI_USAGE_SOURCE_H

#include "cli/ledger_files.h"
#include "cli/usage_grade.h"
#include "rate/invoice.h"

struct dyno_usage_source;

/* How far the ledger of a node is read, and how far it was read when a period was last closed. */
struct dyno_usage_bound {
    uint32_t node;
    uint64_t group_count;  /* groups that are read; UINT64_MAX: all that there are */
    uint64_t billed_count; /* of them, those that the last closing saw; 0: none */
};

struct dyno_usage_source_options {
    const struct dyno_ledger_files *files; /* open until the source is closed; NULL: */
    const struct dyno_cli_list *ledgers;   /* files and folders, or */
    const char *fleet;                     /* the fleet's database */
    const char *certificates;              /* folder; NULL: records that cite one cannot be rated */
    bool is_counted;                       /* and are counted: nothing is to be rated */
    bool gives_idle;                       /* memory that nobody used, too: its tenant is "" */
    const char *factors;     /* file of the table of devices; NULL: all are the reference device */
    int64_t first_s, next_s; /* records from, and before */
    /* With bounds, one for each node, also what closed periods have not billed: of the time from
     * billed_s to first_s what came after the last closing, and what it took otherwise than it is
     * now known to be. */
    const struct dyno_usage_bound *bounds;
    size_t bound_count;
    int64_t billed_s;
    uint32_t form; /* of what is rated: as in the rater's options */
};

/* Errors of the readers, with the path; E_NOT_FOUND: a certificate that a record cites. */
enum dyno_status dyno_usage_source_open(const struct dyno_usage_source_options *options,
                                        struct dyno_usage_source **source_out,
                                        struct dyno_err *err);
void dyno_usage_source_close(struct dyno_usage_source *source); /* accepts NULL */

/* Every record of the time asked for, in the order of the files.  `take` may stop it by failing. */
typedef enum dyno_status dyno_usage_take_fn(void *arg, const struct dyno_usage *usage,
                                            struct dyno_err *err);
enum dyno_status dyno_usage_source_each(struct dyno_usage_source *source, dyno_usage_take_fn *take,
                                        void *arg, struct dyno_err *err);

/* A rater for this usage, without any; the caller destroys it before the source. */
enum dyno_status dyno_usage_source_rater(struct dyno_usage_source *source,
                                         const struct dyno_tariff_book *book, const char *tariff,
                                         const struct dyno_credit *credits, size_t credit_count,
                                         struct dyno_rater **rater_out, struct dyno_err *err);

/* Rate all of it by a book; tariff NULL: by the grants.  The statement lives in `arena`. */
enum dyno_status dyno_usage_source_rate(struct dyno_usage_source *source,
                                        const struct dyno_tariff_book *book, const char *tariff,
                                        const struct dyno_credit *credits, size_t credit_count,
                                        struct dyno_arena *arena,
                                        struct dyno_statement **statement_out,
                                        struct dyno_err *err);

/* The names that usage has, and the index of one; -1: the ledger has no such name. */
const char *dyno_usage_source_name(const struct dyno_usage_source *source, uint32_t idx);
int64_t dyno_usage_source_find(const struct dyno_usage_source *source, const char *name);
/* The same of a tenant's name; -1: no tenant is called so, whatever else may be. */
int64_t dyno_usage_source_tenant(const struct dyno_usage_source *source, const char *name);

/* From now on records are given as if these certificates (in the caller's memory) had stood in the
 * place of those of the same models; count 0: as they are.  Not while a rater of it is in use. */
enum dyno_status dyno_usage_source_swap(struct dyno_usage_source *source,
                                        const struct dyno_grade *instead, size_t count,
                                        struct dyno_err *err);
/* Records that were given otherwise than they are since then. */
uint64_t dyno_usage_source_swapped(const struct dyno_usage_source *source);

/* Did anything that was rated cite a trial certificate?  Such a statement is to be looked at, and
 * billed by never. */
bool dyno_usage_source_has_trials(const struct dyno_usage_source *source);

/* What of the ledger it is, for invoices. */
const struct dyno_invoice_source *dyno_usage_source_spans(const struct dyno_usage_source *source,
                                                          size_t *count_out);

#endif /* DYNO_CLI_USAGE_SOURCE_H */
