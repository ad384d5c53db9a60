/* billing.h - flags and steps that usage, invoice and whatif share. */
#ifndef DYNO_CLI_BILLING_H
#define DYNO_CLI_BILLING_H

#include "cli/flags.h"
#include "cli/usage_source.h"

/* What a command is asked for; a member of its options, named `bill`. */
struct dyno_bill_options {
    struct dyno_cli_list ledgers;
    const char *fleet; /* NULL: ledgers are files */
    const char *certificates, *period, *since, *until, *tariffs, *factors;
};

#define DYNO_BILL_AT(type, field) .offset_bytes = offsetof(struct type, bill.field)

/* Where the ledger is, and its certificates. */
#define DYNO_FLAGS_SOURCE(type)                                                        \
    {.name = "--ledger",                                                               \
     .value = "PATH",                                                                  \
     .help = "A ledger's folder, or one of its files; may be given again",             \
     .kind = DYNO_FLAG_LIST,                                                           \
     DYNO_BILL_AT(type, ledgers)},                                                     \
        DYNO_FLAG_FLEET_LEDGER(type, bill.fleet),                                      \
    {                                                                                  \
        .name = "--certificates", .value = "DIR",                                      \
        .help = "Folder of the certificates that records cite", .kind = DYNO_FLAG_STR, \
        DYNO_BILL_AT(type, certificates)                                               \
    }

#define DYNO_FLAG_FACTORS(type)                                                                 \
    {                                                                                           \
        .name = "--factors", .value = "FILE",                                                   \
        .help =                                                                                 \
            "The table that ties devices (docs/certificates.md): work is told in reference-ns " \
            "of its reference device",                                                          \
        .kind = DYNO_FLAG_STR, DYNO_BILL_AT(type, factors)                                      \
    }

/* The time that is asked for. */
#define DYNO_FLAGS_PERIOD(type)                                                                 \
    {.name = "--period",                                                                        \
     .value = "YYYY-MM",                                                                        \
     .help = "A month, UTC; without any of the three it is this one",                           \
     .kind = DYNO_FLAG_STR,                                                                     \
     DYNO_BILL_AT(type, period)},                                                               \
        {.name = "--since",                                                                     \
         .value = "TIME",                                                                       \
         .help = "From this day or time on, UTC, as 2026-11-01 or 2026-11-01T00:00:00Z",        \
         .kind = DYNO_FLAG_STR,                                                                 \
         DYNO_BILL_AT(type, since)},                                                            \
    {                                                                                           \
        .name = "--until", .value = "TIME", .help = "Before this day or time; without it, now", \
        .kind = DYNO_FLAG_STR, DYNO_BILL_AT(type, until)                                        \
    }

#define DYNO_FLAGS_LEDGER(type) \
    DYNO_FLAGS_SOURCE(type), DYNO_FLAG_FACTORS(type), DYNO_FLAGS_PERIOD(type)

#define DYNO_FLAG_TARIFFS(type)                                                  \
    {                                                                            \
        .name = "--tariffs", .value = "FILE",                                    \
        .help = "The book of tariffs and who has which, JSON (docs/tariffs.md)", \
        .kind = DYNO_FLAG_STR, DYNO_BILL_AT(type, tariffs)                       \
    }

/* What was not said and lies in the working folder: ledger, certificates, tariffs.json. */
void dyno_bill_defaults(struct dyno_bill_options *options);

/* The span that --period, or --since and --until, say. */
enum dyno_status dyno_bill_period(const struct dyno_bill_options *options, int64_t *first_s_out,
                                  int64_t *next_s_out, struct dyno_err *err);

/* Open the ledger for that span; is_counted: nothing is to be rated. */
enum dyno_status dyno_bill_open(const struct dyno_bill_options *options, bool is_counted,
                                struct dyno_usage_source **source_out, struct dyno_err *err);

/* The book of a file; errors begin with its path. */
enum dyno_status dyno_bill_book(const char *path, struct dyno_arena *arena,
                                const struct dyno_tariff_book **book_out, struct dyno_err *err);

/* Text to standard output, or to a file that is not there yet (E_EXISTS) when `path` is not NULL.
 */
enum dyno_status dyno_bill_write(const char *path, const struct dyno_strbuf *text,
                                 struct dyno_err *err);

#endif /* DYNO_CLI_BILLING_H */
