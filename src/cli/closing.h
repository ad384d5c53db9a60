/* closing.h - closed periods: the folder of what was billed for good.
 *
 *   00000001.closing.json   the first closing; each names the hash of the one before
 *   1-1.invoice.json        its first invoice
 *   SHA256.tariffs.json     a book of tariffs that a closing was made with
 *   SHA256.factors.json     a table of devices, where there was one
 *
 * A closing says what invoices were made of (docs/tariffs.md); it is written last and once, and
 * what it says of them can be made again from it.  Files are hostile until they are read.
 */
#ifndef DYNO_CLI_CLOSING_H
#define DYNO_CLI_CLOSING_H

#include "base/arena.h"
#include "base/json.h"
#include "rate/invoice.h"

#define DYNO_SHA_TEXT_ROOM    65
#define DYNO_CLOSING_PATH_MAX 4096

/* Prepaid by a tenant: before the period, paid in during it included, and what is left. */
struct dyno_closing_credit {
    const char *tenant;
    int64_t before_nano, left_nano;
};

struct dyno_closing_invoice {
    const char *number, *tenant, *total, *sha256;
};

struct dyno_customer {
    const char *tenant;
    struct dyno_party party;
};

struct dyno_parties {
    struct dyno_party seller;
    struct dyno_customer *customers; /* by tenant */
    size_t customer_count;
};

struct dyno_closing {
    struct dyno_invoice_closing made_of;
    const char *platform;
    struct dyno_parties parties;
    int64_t first_s, next_s;
    struct dyno_closing_credit *credits;
    size_t credit_count;
    struct dyno_closing_invoice *invoices;
    size_t invoice_count;
    /* Of all invoices: revenue = charged + paid by credit + residue. */
    const char *currency, *revenue, *charged, *paid_by_credit, *residue;
};

void dyno_closing_print(const struct dyno_closing *closing, struct dyno_strbuf *out);

/* A closing from its text; it lives in the arena.  E_FORMAT, E_ARG name the field and the rule. */
enum dyno_status dyno_closing_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                    struct dyno_closing *closing_out, struct dyno_err *err);

/* What a final invoice says that it was made of. */
struct dyno_invoice_claim {
    const char *platform, *number, *tenant;
    struct dyno_parties parties; /* the seller, and its tenant */
    int64_t first_s, next_s, credit_before_nano;
    struct dyno_invoice_closing made_of;
};
enum dyno_status dyno_invoice_claim_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                          struct dyno_invoice_claim *claim_out,
                                          struct dyno_err *err);

/* --- the folder --- */

/* A file of the folder as text in the arena; errors name it.  E_LIMIT: it is too large. */
enum dyno_status dyno_closing_load(const char *path, struct dyno_arena *arena,
                                   const char **text_out, size_t *bytes_out, struct dyno_err *err);

/* All closings in their order; E_CORRUPT: one does not name the one before it, or one is gone while
 * what came after it, or an invoice of it, is there.  may_be_new: the folder may not be there, and
 * then holds none; else E_NOT_FOUND. */
struct dyno_closings {
    struct dyno_closing *items;
    const char **sha256s; /* of their texts */
    size_t count;
};
enum dyno_status dyno_closings_read(const char *folder, bool may_be_new, struct dyno_arena *arena,
                                    struct dyno_closings *closings_out, struct dyno_err *err);

/* "FOLDER/NAME.SUFFIX" in the arena; NULL: no memory. */
const char *dyno_closing_path(struct dyno_arena *arena, const char *folder, const char *name,
                              const char *suffix);
/* "FOLDER/00000001.closing.json" */
const char *dyno_closing_path_of(struct dyno_arena *arena, const char *folder, uint64_t number);

/* In hexadecimal. */
const char *dyno_sha256_text(const void *data, size_t bytes, char out[DYNO_SHA_TEXT_ROOM]);

#endif /* DYNO_CLI_CLOSING_H */
