/* invoicing.h - what the ways of dyno invoice share: drafts, closings, their checks. */
#ifndef DYNO_CLI_INVOICING_H
#define DYNO_CLI_INVOICING_H

#include "cli/billing.h"
#include "cli/closing.h"
#include "meter/ledger/reader.h"

struct dyno_invoice_options {
    struct dyno_cli_list positional;
    struct dyno_bill_options bill;
    struct dyno_cli_list credits;
    const char *tenant, *format, *out, *platform, *books, *number, *verify, *parties;
    int64_t line;
    bool json, is_final, is_first, records;
};

/* --json, or --format=json. */
bool dyno_invoice_wants_json(const struct dyno_invoice_options *options);

/* One rating, and what it is rated from. */
struct dyno_invoicing {
    const struct dyno_invoice_options *options;
    struct dyno_arena *arena;
    const struct dyno_tariff_book *book;
    const char *platform;
    struct dyno_parties parties;
    int64_t first_s, next_s;
    const struct dyno_invoice_closing *closing; /* NULL: a draft */
    const char *factors;                        /* file of the table of devices; NULL: none */
    struct dyno_usage_bound *bounds;            /* none: the whole ledger, and nothing late */
    size_t bound_count;
    int64_t billed_s;
    struct dyno_closing_credit *credits; /* left_nano is known when it is rated */
    size_t credit_count;

    struct dyno_ledger_files files; /* open when it is asked for */
    struct dyno_usage_source *source;
    struct dyno_credit *rated_credits;
    struct dyno_statement *statement;
};

/* Open what the ledgers are read from, once. */
enum dyno_status dyno_invoicing_files(struct dyno_invoicing *work, struct dyno_err *err);

/* Rate it; fills in the second half.  E_DENIED: it is to be final, and cites trials. */
enum dyno_status dyno_invoicing_rate(struct dyno_invoicing *work, struct dyno_err *err);
void dyno_invoicing_fini(struct dyno_invoicing *work); /* all but the arena */

/* Of --parties, where it is given. */
enum dyno_status dyno_invoicing_parties(struct dyno_invoicing *work, struct dyno_err *err);

/* Adds the document of one account. */
enum dyno_status dyno_invoicing_print(const struct dyno_invoicing *work,
                                      const struct dyno_account *account, const char *number,
                                      enum dyno_invoice_format format, bool is_first,
                                      struct dyno_strbuf *out, struct dyno_err *err);
const struct dyno_account *dyno_invoicing_account(const struct dyno_invoicing *work,
                                                  const char *tenant);

/* What is left of the last closing, and --credit: to work->credits. */
enum dyno_status dyno_invoicing_credits(struct dyno_invoicing *work,
                                        const struct dyno_closing *last, struct dyno_err *err);
/* How far a closing reads each ledger. */
enum dyno_status dyno_invoicing_bounds(struct dyno_invoicing *work,
                                       const struct dyno_invoice_closing *closing,
                                       struct dyno_err *err);

/* --- ledgers by node: node_files.c --- */

struct dyno_node_files {
    uint32_t node;
    const struct dyno_ledger_store *store;
    const char **paths; /* of its files, in order; names of the store */
    size_t path_count;
    uint64_t first_group;    /* before its first file */
    uint64_t first_ns;       /* when that one was begun */
    bool has_head, is_ended; /* the last group is the end of its file */
    struct dyno_head head;   /* the newest */
    uint8_t head_bytes[DYNO_HEAD_BYTES];
};

/* The files that --ledger names, or the fleet has, by node, rising. */
enum dyno_status dyno_node_files_find(struct dyno_invoicing *work,
                                      struct dyno_node_files **nodes_out, size_t *count_out,
                                      struct dyno_err *err);
/* Are these ledgers what they were when those heads were made, and those of the closing before (may
 * be NULL)?  E_CORRUPT, E_MISMATCH. */
enum dyno_status dyno_node_files_verify(const struct dyno_node_files *nodes, size_t count,
                                        const struct dyno_invoice_closing *before,
                                        const struct dyno_invoice_closing *closing,
                                        struct dyno_err *err);

/* --- final ones: invoice_final.c --- */

/* Close the period, or make its closing again and compare; tells of it on standard output. */
enum dyno_status dyno_invoice_close(struct dyno_invoicing *work, struct dyno_err *err);
/* Derive the closing of invoice --number again; its tenant lives in the arena. */
enum dyno_status dyno_invoice_again(struct dyno_invoicing *work, const char **tenant_out,
                                    struct dyno_err *err);

/* --- checked: invoice_verify.c --- */

enum dyno_status dyno_invoice_verify(struct dyno_invoicing *work, struct dyno_err *err);
/* E_MISMATCH with the first line that is another one. */
enum dyno_status dyno_invoice_compare(const char *what, const char *said, const char *given,
                                      struct dyno_err *err);

/* --- a line's records: invoice_records.c --- */

enum dyno_status dyno_invoice_records(const struct dyno_invoicing *work,
                                      const struct dyno_account *account, struct dyno_err *err);

#endif /* DYNO_CLI_INVOICING_H */
