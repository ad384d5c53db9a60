/* invoice.h - one account of a statement as a document.
 *
 * A pure function of what it is given: the same ledger, tariffs and period give the same bytes, and
 * no clock is read.  Any thread.
 */
#ifndef DYNO_RATE_INVOICE_H
#define DYNO_RATE_INVOICE_H

#include "base/strbuf.h"
#include "rate/rate.h"

/* What of a ledger the invoice was made of: all records of one epoch of a node up to one, and the
 * root over them, so that a customer can have each of his records proved. */
struct dyno_invoice_source {
    uint32_t node, epoch;
    uint64_t first_seq, last_seq;
    const char *root; /* hexadecimal; "": the ledger has none yet */
};

/* A node's ledger as it was when a period was closed. */
struct dyno_invoice_head {
    uint32_t node;
    uint64_t group_count;  /* under the head: the records in them were seen */
    uint64_t billed_count; /* of them, those that the closing before saw */
    bool is_signed;
    bool is_last;     /* the node was retired: nothing comes after */
    const char *root; /* hexadecimal */
    const char *text; /* the whole head, hexadecimal (docs/ledger-format.md) */
};

/* What makes an invoice final: with the ledger and the book of tariffs it gives the same bytes
 * again, whoever asks. */
struct dyno_invoice_closing {
    uint32_t form; /* that it was made by: of the rater's options */
    uint64_t number;
    const char *before;    /* the SHA-256 of the closing before, hexadecimal; "": the first one */
    int64_t billed_from_s; /* of the first one: nothing earlier is billed late */
    const char *tariffs;   /* the SHA-256 of the book, hexadecimal */
    const char *factors;   /* that of the table of devices; "": there was none */
    int64_t issued_s;      /* the day (UTC) that it was made; from form 3 on */
    const struct dyno_invoice_head *heads;
    size_t head_count;
};

/* A name, an address, a tax number, as lines. */
struct dyno_party {
    const char *const *lines;
    size_t line_count; /* 0: nothing is known */
};

struct dyno_invoice {
    const char *platform; /* who issues it */
    struct dyno_party seller, customer;
    const char *number;                         /* "": a draft */
    const struct dyno_invoice_closing *closing; /* NULL: a draft */
    const struct dyno_statement *statement;
    const struct dyno_account *account;
    const struct dyno_invoice_source *sources;
    size_t source_count;
    int64_t late_from_s; /* late lines are of the time from here to the period */
    bool has_trials;     /* certificates that are to be looked at and not billed by: it says so */
};

/* X(symbol, name) */
#define DYNO_INVOICE_FORMATS(X)                                         \
    X(TEXT, "text")                                                     \
    X(JSON, "json")   /* exact amounts beside the rounded ones */       \
    X(CSV, "csv")     /* a row a line */                                \
    X(HTML, "html")   /* one page that prints well and loads nothing */ \
    X(FOCUS, "focus") /* FinOps FOCUS 1.4 Cost and Usage, as CSV */

enum dyno_invoice_format {
#define X(sym, name) DYNO_INVOICE_##sym,
    DYNO_INVOICE_FORMATS(X)
#undef X
};
/* E_ARG names the formats. */
enum dyno_status dyno_invoice_format_parse(const char *text, enum dyno_invoice_format *format_out,
                                           struct dyno_err *err);

/* Adds the document to `out`; CSV and FOCUS have a header line when `with_header`. */
enum dyno_status dyno_invoice_print(const struct dyno_invoice *invoice,
                                    enum dyno_invoice_format format, bool with_header,
                                    struct dyno_strbuf *out, struct dyno_err *err);

/* --- texts that documents share --- */

/* Nanoseconds as hours with at most 9 decimals ("4", "0.0001"), half to even. */
const char *dyno_hours_text(dyno_u128 ns, char out[DYNO_MONEY_ROOM]);
/* Least amounts of a currency as its amount: "187.50". */
const char *dyno_minor_text(const struct dyno_currency *currency, dyno_i128 minor,
                            char out[DYNO_MONEY_ROOM]);

/* How a tariff makes its prices, for a person: all of it but the factors of classes and precisions.
 * terms.c */
void dyno_tariff_say(const struct dyno_tariff *tariff, struct dyno_strbuf *out);

#endif /* DYNO_RATE_INVOICE_H */
