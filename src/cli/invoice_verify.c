/* invoice_verify.c - is a final invoice what the ledger, the book and the certificates give? */
#include <stdio.h>
#include <string.h>

#include "cli/invoicing.h"

#define SHOWN_BYTES 120 /* of a line that differs */

static int shown(const char *text)
{
    const size_t bytes = strcspn(text, "\n");
    return (int)(bytes < SHOWN_BYTES ? bytes : SHOWN_BYTES);
}

enum dyno_status dyno_invoice_compare(const char *what, const char *said, const char *given,
                                      struct dyno_err *err)
{
    if (strcmp(said, given) == 0)
        return DYNO_OK;
    size_t line = 1;
    for (;; line++) {
        const size_t a = strcspn(said, "\n");
        const size_t b = strcspn(given, "\n");
        const char *left = said + strspn(said, " ");
        const char *right = given + strspn(given, " ");
        if (a == b && memcmp(said, given, a) == 0 && said[a] != 0 && given[b] != 0) {
            said += a + 1;
            given += b + 1;
            continue;
        }
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "%s, line %zu: it says %.*s, and the ledger gives %.*s", what, line,
                         shown(left), left, shown(right), right);
    }
}

/* The book that it was made with: as it is kept, or the one that is given. */
static enum dyno_status find_book(struct dyno_invoicing *work, const char *sha256,
                                  struct dyno_err *err)
{
    const struct dyno_invoice_options *options = work->options;
    char sha[DYNO_SHA_TEXT_ROOM];
    const char *text = NULL;
    size_t bytes = 0;
    const char *path = options->bill.tariffs;
    if (path == NULL && options->books == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--tariffs=FILE or --books=DIR is missing: the book that "
                         "the invoice was made with");
    if (path == NULL)
        path = dyno_closing_path(work->arena, options->books, sha256, "tariffs.json");
    DYNO_TRY(dyno_closing_load(path, work->arena, &text, &bytes, err));
    if (strcmp(dyno_sha256_text(text, bytes, sha), sha256) != 0)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "%s is another book of tariffs than the invoice was made with, whose "
                         "SHA-256 is %s",
                         path, sha256);
    const enum dyno_status status =
        dyno_tariff_book_parse(text, bytes, work->arena, &work->book, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}

/* With the books at hand: is it the one that the closing lists?  (How far the closing before had
 * read, which an invoice says of itself, stands there.) */
static enum dyno_status check_listed(const struct dyno_invoicing *work,
                                     const struct dyno_invoice_claim *claim, const char *said,
                                     size_t bytes, struct dyno_err *err)
{
    struct dyno_closings closings;
    char sha[DYNO_SHA_TEXT_ROOM];
    if (work->options->books == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_closings_read(work->options->books, false, work->arena, &closings, err));
    (void)dyno_sha256_text(said, bytes, sha);
    for (size_t i = 0; i < closings.count; i++)
        for (size_t k = 0; k < closings.items[i].invoice_count; k++)
            if (strcmp(closings.items[i].invoices[k].number, claim->number) == 0 &&
                strcmp(closings.items[i].invoices[k].sha256, sha) == 0)
                return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_MISMATCH, "%s: no closing of %s lists this text as invoice %.40s",
                     work->options->verify, work->options->books, claim->number);
}

/* The same of the table of devices, where it was made with one. */
static enum dyno_status find_factors(struct dyno_invoicing *work, const char *sha256,
                                     struct dyno_err *err)
{
    const struct dyno_invoice_options *options = work->options;
    char sha[DYNO_SHA_TEXT_ROOM];
    const char *text = NULL;
    size_t bytes = 0;
    const char *path = options->bill.factors;
    if (sha256[0] == 0)
        return DYNO_OK;
    if (path == NULL && options->books == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--factors=FILE or --books=DIR is missing: the table of "
                         "devices that the invoice was made with");
    if (path == NULL)
        path = dyno_closing_path(work->arena, options->books, sha256, "factors.json");
    DYNO_TRY(dyno_closing_load(path, work->arena, &text, &bytes, err));
    work->factors = path;
    return strcmp(dyno_sha256_text(text, bytes, sha), sha256) == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_MISMATCH,
                           "%s is another table of devices than the invoice was made with", path);
}

static enum dyno_status derive(struct dyno_invoicing *work, const struct dyno_invoice_claim *claim,
                               struct dyno_strbuf *out, struct dyno_err *err)
{
    struct dyno_node_files *nodes = NULL;
    size_t node_count = 0;
    work->platform = claim->platform;
    work->parties = claim->parties;
    work->first_s = claim->first_s;
    work->next_s = claim->next_s;
    work->credits = dyno_arena_alloc(work->arena, 1, sizeof(*work->credits));
    if (work->credits == NULL)
        return DYNO_NOMEM(err);
    work->credits[0] = (struct dyno_closing_credit){claim->tenant, claim->credit_before_nano, 0};
    work->credit_count = 1;
    DYNO_TRY(find_book(work, claim->made_of.tariffs, err));
    DYNO_TRY(find_factors(work, claim->made_of.factors, err));
    DYNO_TRY(dyno_node_files_find(work, &nodes, &node_count, err));
    DYNO_TRY(dyno_node_files_verify(nodes, node_count, NULL, &claim->made_of, err));
    DYNO_TRY(dyno_invoicing_bounds(work, &claim->made_of, err));
    DYNO_TRY(dyno_invoicing_rate(work, err));
    const struct dyno_account *account = dyno_invoicing_account(work, claim->tenant);
    if (account == NULL)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "by the ledger tenant '%.128s' used nothing in this period",
                         claim->tenant);
    return dyno_invoicing_print(work, account, claim->number, DYNO_INVOICE_JSON, true, out, err);
}

static enum dyno_status tell(const struct dyno_invoicing *work,
                             const struct dyno_invoice_claim *claim, const char *said, size_t bytes,
                             struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    char sha[DYNO_SHA_TEXT_ROOM];
    const struct dyno_account_doubts doubts =
        dyno_account_doubts(dyno_invoicing_account(work, claim->tenant));
    if (!dyno_invoice_wants_json(work->options)) {
        printf("good: invoice %s of %s is what the ledger, the tariffs and the certificates give\n",
               claim->number, claim->tenant);
        if (doubts.lapsed + doubts.suspended + doubts.unclaimed > 0)
            printf(
                "it warns: %llu of its requests cite a certificate after its term, %llu one that "
                "was suspended, %llu were recorded under another version of the tariff\n",
                (unsigned long long)doubts.lapsed, (unsigned long long)doubts.suspended,
                (unsigned long long)doubts.unclaimed);
        return DYNO_OK;
    }
    dyno_json_object_begin(&json);
    dyno_json_put_bool(&json, "good", true);
    dyno_json_put_str(&json, "number", claim->number);
    dyno_json_put_str(&json, "tenant", claim->tenant);
    dyno_json_put_str(&json, "sha256", dyno_sha256_text(said, bytes, sha));
    dyno_json_put_bool(&json, "is_listed", work->options->books != NULL);
    dyno_json_put_u64(&json, "requests_after_certificate", doubts.lapsed);
    dyno_json_put_u64(&json, "requests_while_suspended", doubts.suspended);
    dyno_json_put_u64(&json, "requests_of_another_tariff", doubts.unclaimed);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(&text, "\n");
    const enum dyno_status status = dyno_bill_write(NULL, &text, err);
    dyno_strbuf_fini(&text);
    return status;
}

enum dyno_status dyno_invoice_verify(struct dyno_invoicing *work, struct dyno_err *err)
{
    struct dyno_invoice_claim claim;
    struct dyno_strbuf out = {0};
    const char *path = work->options->verify;
    const char *said = NULL;
    size_t bytes = 0;
    DYNO_TRY(dyno_closing_load(path, work->arena, &said, &bytes, err));
    enum dyno_status status = dyno_invoice_claim_parse(said, bytes, work->arena, &claim, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "%s", path);
        return status;
    }
    status = derive(work, &claim, &out, err);
    if (status == DYNO_OK)
        status = dyno_invoice_compare(path, said, dyno_strbuf_text(&out), err);
    if (status == DYNO_OK)
        status = check_listed(work, &claim, said, bytes, err);
    if (status == DYNO_OK)
        status = tell(work, &claim, said, bytes, err);
    dyno_strbuf_fini(&out);
    return status;
}
