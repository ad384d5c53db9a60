/* invoice_final.c - a period is closed: invoices that are made once and can be made again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/file.h"
#include "base/hex.h"
#include "cli/invoicing.h"
#include "cli/parties.h"
#include "meter/cert/factor_file.h"

#define NS_A_S      UINT64_C(1000000000)
#define NUMBER_ROOM 48

/* One closing, made now or made again. */
struct final {
    struct dyno_invoicing *work;
    const char *folder;
    struct dyno_closings before;
    struct dyno_node_files *nodes;
    size_t node_count;
    struct dyno_invoice_closing made_of;
    const char *book_text;
    size_t book_bytes;
    const char *factors_text; /* NULL: there is no table of devices */
    struct dyno_closing closing;
    const char **texts;      /* of the invoices */
    struct dyno_strbuf text; /* of the closing */
};

/* --- what it is made of --- */

/* Nothing of a closed time is missing: not its end, as far as anybody can know, nor its begin. */
static enum dyno_status check_node(const struct final *final, const struct dyno_node_files *node,
                                   struct dyno_err *err)
{
    const struct dyno_invoicing *work = final->work;
    char when[DYNO_TIME_TEXT_ROOM];
    if (!node->has_head || (node->head.time_ns / NS_A_S < (uint64_t)work->next_s &&
                            !node->is_ended && !node->head.is_last))
        return DYNO_FAIL(
            err, DYNO_E_ARG,
            "the period is not closed: node %" PRIu32 " has no head of its ledger "
            "since %s; it makes one every hour, and when it starts or ends. If it never "
            "comes back: dyno ledger retire",
            node->node, dyno_time_text(work->next_s, when));
    if (node->first_group > 0 && node->first_ns / NS_A_S > (uint64_t)work->first_s)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "\"%s\" begins at %s: the files before it, which the period needs, are "
                         "not there",
                         node->paths[0], dyno_time_text((int64_t)(node->first_ns / NS_A_S), when));
    return DYNO_OK;
}

static const struct dyno_invoice_head *head_of(const struct dyno_closing *closing, uint32_t node)
{
    for (size_t i = 0; closing != NULL && i < closing->made_of.head_count; i++)
        if (closing->made_of.heads[i].node == node)
            return &closing->made_of.heads[i];
    return NULL;
}

static enum dyno_status take_heads(struct final *final, const struct dyno_closing *last,
                                   struct dyno_err *err)
{
    struct dyno_arena *arena = final->work->arena;
    struct dyno_invoice_head *heads =
        dyno_arena_alloc(arena, final->node_count + 1, sizeof(*heads));
    if (heads == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < final->node_count; i++) {
        const struct dyno_node_files *node = &final->nodes[i];
        const struct dyno_invoice_head *before = head_of(last, node->node);
        char *root = dyno_arena_alloc(arena, 2 * DYNO_DIGEST_BYTES + 1, 1);
        char *text = dyno_arena_alloc(arena, 2 * DYNO_HEAD_BYTES + 1, 1);
        if (root == NULL || text == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(check_node(final, node, err));
        DYNO_TRY(dyno_head_check(node->head_bytes, err));
        heads[i] = (struct dyno_invoice_head){
            .node = node->node,
            .group_count = node->head.group_count,
            .billed_count = before != NULL ? before->group_count : 0,
            .is_signed = node->head.is_signed,
            .is_last = node->head.is_last,
            .root = dyno_hex_text(node->head.root.bytes, DYNO_DIGEST_BYTES, root),
            .text = dyno_hex_text(node->head_bytes, DYNO_HEAD_BYTES, text),
        };
        if (heads[i].group_count < heads[i].billed_count)
            return DYNO_FAIL(err, DYNO_E_MISMATCH,
                             "the ledger of node %" PRIu32 " has %" PRIu64
                             " groups under its head, and had %" PRIu64
                             " when the last period was closed",
                             node->node, heads[i].group_count, heads[i].billed_count);
    }
    for (size_t i = 0; last != NULL && i < last->made_of.head_count; i++) {
        size_t at = 0;
        while (at < final->node_count && heads[at].node != last->made_of.heads[i].node)
            at++;
        if (at == final->node_count)
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                             "the last closing billed node %" PRIu32
                             ", whose ledger is not among those of --ledger",
                             last->made_of.heads[i].node);
    }
    final->made_of.heads = heads;
    final->made_of.head_count = final->node_count;
    return DYNO_OK;
}

static enum dyno_status load_book(struct final *final, const char *path,
                                  const struct dyno_tariff_book **book_out, struct dyno_err *err)
{
    DYNO_TRY(
        dyno_closing_load(path, final->work->arena, &final->book_text, &final->book_bytes, err));
    const enum dyno_status status = dyno_tariff_book_parse(final->book_text, final->book_bytes,
                                                           final->work->arena, book_out, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}

/* The book of a closing, as it was kept. */
static enum dyno_status load_kept_book(struct final *final, const char *sha256,
                                       const struct dyno_tariff_book **book_out,
                                       struct dyno_err *err)
{
    char sha[DYNO_SHA_TEXT_ROOM];
    const char *path = dyno_closing_path(final->work->arena, final->folder, sha256, "tariffs.json");
    DYNO_TRY(load_book(final, path, book_out, err));
    return strcmp(dyno_sha256_text(final->book_text, final->book_bytes, sha), sha256) == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT, "%s is not the book that it was", path);
}

/* The table of devices is chosen with the first closing; rows may be added, and none is changed. */
static enum dyno_status check_factors(struct final *final, const struct dyno_closing *last,
                                      struct dyno_err *err)
{
    struct dyno_arena *arena = final->work->arena;
    const char *path = final->work->factors;
    struct dyno_factors before;
    struct dyno_factors now;
    if (last == NULL)
        return DYNO_OK;
    if ((last->made_of.factors[0] != 0) != (path != NULL))
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         path != NULL ? "the last closing had no table of devices: --factors is "
                                        "for all closings or for none"
                                      : "the last closing had a table of devices: --factors=FILE "
                                        "is missing");
    if (path == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_factors_load(
        dyno_closing_path(arena, final->folder, last->made_of.factors, "factors.json"), arena,
        &before, err));
    DYNO_TRY(dyno_factors_load(path, arena, &now, err));
    for (uint32_t i = 0; i < before.row_count; i++)
        if (dyno_factors_find(&now, before.rows[i].device_class) != before.rows[i].factor_1e9)
            return DYNO_FAIL(
                err, DYNO_E_MISMATCH,
                "%s: device '%.64s' had another factor when the last period was closed", path,
                before.rows[i].device_class);
    return DYNO_OK;
}

static enum dyno_status load_factors(struct final *final, const struct dyno_closing *last,
                                     struct dyno_err *err)
{
    struct dyno_invoicing *work = final->work;
    size_t bytes = 0;
    char sha[DYNO_SHA_TEXT_ROOM];
    work->factors = work->options->bill.factors;
    final->made_of.factors = "";
    DYNO_TRY(check_factors(final, last, err));
    if (work->factors == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_closing_load(work->factors, work->arena, &final->factors_text, &bytes, err));
    final->made_of.factors =
        dyno_arena_strdup(work->arena, dyno_sha256_text(final->factors_text, bytes, sha));
    return final->made_of.factors != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- what it says --- */

static const char *keep(struct final *final, const char *text)
{
    return dyno_arena_strdup(final->work->arena, text);
}

static enum dyno_status add_invoice(struct final *final, size_t i, struct dyno_err *err)
{
    const struct dyno_invoicing *work = final->work;
    const struct dyno_account *account = &work->statement->accounts[i];
    struct dyno_closing_invoice *invoice = &final->closing.invoices[i];
    struct dyno_strbuf text = {0};
    char number[NUMBER_ROOM];
    char total[DYNO_MONEY_ROOM];
    char sha[DYNO_SHA_TEXT_ROOM];
    (void)snprintf(number, sizeof(number), "%" PRIu64 "-%zu", final->made_of.number, i + 1);
    enum dyno_status status =
        dyno_invoicing_print(work, account, number, DYNO_INVOICE_JSON, true, &text, err);
    if (status == DYNO_OK) {
        *invoice = (struct dyno_closing_invoice){
            .number = keep(final, number),
            .tenant = account->tenant,
            .total = keep(final,
                          dyno_minor_text(work->statement->currency, account->total_minor, total)),
            .sha256 = keep(final, dyno_sha256_text(dyno_strbuf_text(&text), text.bytes, sha)),
        };
        final->texts[i] = keep(final, dyno_strbuf_text(&text));
        if (invoice->number == NULL || invoice->total == NULL || invoice->sha256 == NULL ||
            final->texts[i] == NULL)
            status = DYNO_NOMEM(err);
    }
    dyno_strbuf_fini(&text);
    return status;
}

static enum dyno_status add_sums(struct final *final, struct dyno_err *err)
{
    const struct dyno_statement *statement = final->work->statement;
    const struct dyno_currency *currency = statement->currency;
    struct dyno_closing *closing = &final->closing;
    char text[DYNO_MONEY_ROOM];
    closing->currency = currency != NULL ? currency->code : "";
    closing->revenue = keep(final, dyno_decimal_text(statement->revenue_nano, 9, 0, text));
    closing->residue = keep(final, dyno_decimal_text(statement->residue_nano, 9, 0, text));
    closing->charged = currency != NULL
                           ? keep(final, dyno_minor_text(currency, statement->charged_minor, text))
                           : "0";
    closing->paid_by_credit =
        currency != NULL ? keep(final, dyno_minor_text(currency, statement->credit_minor, text))
                         : "0";
    return closing->revenue != NULL && closing->residue != NULL && closing->charged != NULL &&
                   closing->paid_by_credit != NULL
               ? DYNO_OK
               : DYNO_NOMEM(err);
}

/* A pure function of ledger, book, certificates and what the closing is made of. */
static enum dyno_status derive(struct final *final, struct dyno_err *err)
{
    struct dyno_invoicing *work = final->work;
    const uint64_t number = final->made_of.number;
    DYNO_TRY(dyno_node_files_verify(final->nodes, final->node_count,
                                    number > 1 ? &final->before.items[number - 2].made_of : NULL,
                                    &final->made_of, err));
    DYNO_TRY(dyno_invoicing_bounds(work, &final->made_of, err));
    DYNO_TRY(dyno_invoicing_rate(work, err));
    const size_t count = work->statement->account_count;
    final->closing = (struct dyno_closing){
        .made_of = final->made_of,
        .platform = work->platform,
        .first_s = work->first_s,
        .next_s = work->next_s,
        .credits = work->credits,
        .credit_count = work->credit_count,
        .invoices = dyno_arena_alloc(work->arena, count + 1, sizeof(*final->closing.invoices)),
        .invoice_count = count,
    };
    final->texts = dyno_arena_alloc(work->arena, count + 1, sizeof(*final->texts));
    if (final->closing.invoices == NULL || final->texts == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_parties_of(&work->parties, work->statement, work->arena, &final->closing.parties,
                             err));
    for (size_t i = 0; i < count; i++)
        DYNO_TRY(add_invoice(final, i, err));
    DYNO_TRY(add_sums(final, err));
    dyno_closing_print(&final->closing, &final->text);
    return dyno_strbuf_ok(&final->text) ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- on the disk --- */

/* Write it where it is not there yet; what is there must be it. */
static enum dyno_status settle(const char *path, const char *text, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    const size_t bytes = strlen(text);
    if (path == NULL)
        return DYNO_NOMEM(err);
    if (access(path, F_OK) != 0)
        return dyno_file_write_atomic(path, text, bytes, err);
    DYNO_TRY(dyno_file_map(path, &map, err));
    const bool same = map.bytes == bytes && (bytes == 0 || memcmp(map.data, text, bytes) == 0);
    dyno_file_unmap(&map);
    return same ? DYNO_OK
                : DYNO_FAIL(err, DYNO_E_CORRUPT, "%s was changed since it was written", path);
}

static enum dyno_status settle_invoices(const struct final *final, struct dyno_err *err)
{
    for (size_t i = 0; i < final->closing.invoice_count; i++)
        DYNO_TRY(settle(dyno_closing_path(final->work->arena, final->folder,
                                          final->closing.invoices[i].number, "invoice.json"),
                        final->texts[i], err));
    return DYNO_OK;
}

static enum dyno_status say(const struct final *final, bool was_there, struct dyno_err *err)
{
    const struct dyno_closing *closing = &final->closing;
    struct dyno_strbuf out = {0};
    char first[DYNO_TIME_TEXT_ROOM];
    char next[DYNO_TIME_TEXT_ROOM];
    if (dyno_invoice_wants_json(final->work->options)) {
        dyno_strbuf_puts(&out, dyno_strbuf_text(&final->text));
    } else {
        dyno_strbuf_printf(&out, "closing %" PRIu64 ", %s to %s, %s\n", closing->made_of.number,
                           dyno_time_text(closing->first_s, first),
                           dyno_time_text(closing->next_s, next),
                           was_there ? "was made before: everything is as it was" : "is made");
        if (closing->made_of.number == 1)
            dyno_strbuf_printf(&out,
                               "  the first one in %s: what was used before %s is billed to "
                               "nobody\n",
                               final->folder, first);
        for (size_t i = 0; i < closing->invoice_count; i++)
            dyno_strbuf_printf(&out, "  invoice %-10s %-32s %14s\n", closing->invoices[i].number,
                               closing->invoices[i].tenant, closing->invoices[i].total);
        dyno_strbuf_printf(&out, "  charged %s + paid by credit %s + residue %s = revenue %s %s\n",
                           closing->charged, closing->paid_by_credit, closing->residue,
                           closing->revenue, closing->currency);
    }
    const enum dyno_status status = dyno_bill_write(NULL, &out, err);
    dyno_strbuf_fini(&out);
    return status;
}

/* --- closing --- */

/* Closings begin once, and it is said: a misspelt --books would bill a time again that is billed,
 * and what came late to nobody. */
static enum dyno_status check_begin(const struct final *final, struct dyno_err *err)
{
    const struct dyno_invoicing *work = final->work;
    const struct dyno_closing *first = final->before.items;
    char text[DYNO_TIME_TEXT_ROOM];
    if (!work->options->is_first && final->before.count == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "%s has no closing to go on from: --books is the folder that has them, or "
                         "--first says that no period was closed before (what was used before %s "
                         "is then billed to nobody)",
                         final->folder, dyno_time_text(work->first_s, text));
    if (work->options->is_first && final->before.count > 0 &&
        (first->first_s != work->first_s || first->next_s != work->next_s))
        return DYNO_FAIL(err, DYNO_E_EXISTS,
                         "--first: %s has its first closing, of the period from %s, and goes on "
                         "from the last one",
                         final->folder, dyno_time_text(first->first_s, text));
    return DYNO_OK;
}

static enum dyno_status check_order(const struct final *final, const struct dyno_closing *last,
                                    struct dyno_err *err)
{
    const struct dyno_invoicing *work = final->work;
    char text[DYNO_TIME_TEXT_ROOM];
    if (work->next_s > dyno_now_s())
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the period is not closed before %s: without --final it is a draft",
                         dyno_time_text(work->next_s, text));
    if (last != NULL && work->first_s != last->next_s)
        return DYNO_FAIL(err, DYNO_E_ARG, "the next period to be closed begins at %s",
                         dyno_time_text(last->next_s, text));
    return DYNO_OK;
}

static enum dyno_status close_new(struct final *final, struct dyno_err *err)
{
    struct dyno_invoicing *work = final->work;
    struct dyno_arena *arena = work->arena;
    const size_t count = final->before.count;
    const struct dyno_closing *last = count > 0 ? &final->before.items[count - 1] : NULL;
    const struct dyno_tariff_book *book_before = NULL;
    char sha[DYNO_SHA_TEXT_ROOM];
    DYNO_TRY(check_order(final, last, err));
    DYNO_TRY(check_begin(final, err));
    final->made_of.form = DYNO_RATE_FORM;
    final->made_of.issued_s = dyno_day_of(dyno_now_s()) * DYNO_DAY_S;
    final->made_of.number = count + 1;
    final->made_of.before = last != NULL ? final->before.sha256s[count - 1] : "";
    final->made_of.billed_from_s = last != NULL ? last->made_of.billed_from_s : work->first_s;
    work->platform = work->options->platform;
    DYNO_TRY(dyno_invoicing_parties(work, err));
    if (last != NULL)
        DYNO_TRY(load_kept_book(final, last->made_of.tariffs, &book_before, err));
    if (work->options->bill.tariffs == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--tariffs=FILE is missing");
    DYNO_TRY(load_book(final, work->options->bill.tariffs, &work->book, err));
    if (last != NULL)
        DYNO_TRY(dyno_tariff_book_same(book_before, work->book, last->made_of.billed_from_s,
                                       last->next_s, err));
    final->made_of.tariffs =
        keep(final, dyno_sha256_text(final->book_text, final->book_bytes, sha));
    if (final->made_of.tariffs == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(load_factors(final, last, err));
    DYNO_TRY(take_heads(final, last, err));
    DYNO_TRY(dyno_invoicing_credits(work, last, err));
    DYNO_TRY(derive(final, err));
    if (mkdir(final->folder, 0700) != 0 && errno != EEXIST)
        return DYNO_FAIL(err, DYNO_E_IO, "%s: %s", final->folder, strerror(errno));
    DYNO_TRY(settle(dyno_closing_path(arena, final->folder, final->made_of.tariffs, "tariffs.json"),
                    final->book_text, err));
    if (final->factors_text != NULL)
        DYNO_TRY(
            settle(dyno_closing_path(arena, final->folder, final->made_of.factors, "factors.json"),
                   final->factors_text, err));
    /* From here on it is closed; what is missing of the invoices is written the next time. */
    const char *path = dyno_closing_path_of(arena, final->folder, final->made_of.number);
    if (path == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_bill_write(path, &final->text, err);
    if (status == DYNO_E_EXISTS)
        return DYNO_FAIL(err, status,
                         "another command has made closing %" PRIu64
                         " meanwhile: asked again, this says whether it is the same",
                         final->made_of.number);
    DYNO_TRY(status);
    status = settle_invoices(final, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err,
                        "closing %" PRIu64
                        " is made, and asked again writes the invoices that are missing",
                        final->made_of.number);
        return status;
    }
    return say(final, false, err);
}

static enum dyno_status load_kept_factors(struct final *final, const char *sha256,
                                          struct dyno_err *err)
{
    struct dyno_arena *arena = final->work->arena;
    const char *path = dyno_closing_path(arena, final->folder, sha256, "factors.json");
    const char *text = NULL;
    size_t bytes = 0;
    char sha[DYNO_SHA_TEXT_ROOM];
    DYNO_TRY(dyno_closing_load(path, arena, &text, &bytes, err));
    final->work->factors = path;
    return strcmp(dyno_sha256_text(text, bytes, sha), sha256) == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT, "%s is not the table that it was", path);
}

/* Derive what a closing says from what it was made of. */
static enum dyno_status derive_again(struct final *final, const struct dyno_closing *closing,
                                     struct dyno_err *err)
{
    struct dyno_invoicing *work = final->work;
    final->made_of = closing->made_of;
    work->platform = closing->platform;
    work->parties = closing->parties;
    work->first_s = closing->first_s;
    work->next_s = closing->next_s;
    work->credits = closing->credits;
    work->credit_count = closing->credit_count;
    DYNO_TRY(load_kept_book(final, closing->made_of.tariffs, &work->book, err));
    if (closing->made_of.factors[0] != 0)
        DYNO_TRY(load_kept_factors(final, closing->made_of.factors, err));
    return derive(final, err);
}

/* The closing's file is what its ledger gives. */
static enum dyno_status check_again(struct final *final, const struct dyno_closing *closing,
                                    struct dyno_err *err)
{
    const char *path =
        dyno_closing_path_of(final->work->arena, final->folder, closing->made_of.number);
    const char *said = NULL;
    size_t bytes = 0;
    DYNO_TRY(derive_again(final, closing, err));
    DYNO_TRY(dyno_closing_load(path, final->work->arena, &said, &bytes, err));
    return dyno_invoice_compare(path, said, dyno_strbuf_text(&final->text), err);
}

static enum dyno_status begin(struct final *final, struct dyno_invoicing *work,
                              struct dyno_err *err)
{
    *final = (struct final){.work = work, .folder = work->options->books};
    if (final->folder == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--books=DIR is missing: final invoices are kept there");
    DYNO_TRY(dyno_closings_read(final->folder, work->options->is_final, work->arena, &final->before,
                                err));
    return dyno_node_files_find(work, &final->nodes, &final->node_count, err);
}

/* Who sells and who buys was said when the period was closed. */
static enum dyno_status check_parties(const struct final *final, const struct dyno_closing *closing,
                                      struct dyno_err *err)
{
    const struct dyno_invoicing *work = final->work;
    const char *path = work->options->parties;
    struct dyno_parties all;
    struct dyno_parties said;
    if (path == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_parties_load(path, work->arena, &all, err));
    DYNO_TRY(dyno_parties_of(&all, work->statement, work->arena, &said, err));
    if (dyno_parties_same(&said, &closing->parties))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_EXISTS,
                     "closing %" PRIu64 " in %s names other parties than %s, and keeps them",
                     closing->made_of.number, final->folder, path);
}

static enum dyno_status close_period(struct final *final, struct dyno_err *err)
{
    struct dyno_invoicing *work = final->work;
    for (size_t i = 0; i < final->before.count; i++) {
        const struct dyno_closing *closing = &final->before.items[i];
        if (closing->first_s != work->first_s || closing->next_s != work->next_s)
            continue;
        DYNO_TRY(check_begin(final, err));
        DYNO_TRY(check_again(final, closing, err));
        DYNO_TRY(check_parties(final, closing, err));
        DYNO_TRY(settle_invoices(final, err));
        return say(final, true, err);
    }
    return close_new(final, err);
}

enum dyno_status dyno_invoice_close(struct dyno_invoicing *work, struct dyno_err *err)
{
    struct final final;
    enum dyno_status status = begin(&final, work, err);
    if (status == DYNO_OK)
        status = close_period(&final, err);
    dyno_strbuf_fini(&final.text);
    return status;
}

/* --- a final invoice again, as any document --- */

static enum dyno_status find_again(struct final *final, const char **tenant_out,
                                   struct dyno_err *err)
{
    const char *number = final->work->options->number;
    for (size_t i = 0; i < final->before.count; i++) {
        const struct dyno_closing *closing = &final->before.items[i];
        for (size_t k = 0; k < closing->invoice_count; k++)
            if (strcmp(closing->invoices[k].number, number) == 0) {
                *tenant_out = closing->invoices[k].tenant;
                return check_again(final, closing, err);
            }
    }
    return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "%s has no invoice %s", final->folder, number);
}

enum dyno_status dyno_invoice_again(struct dyno_invoicing *work, const char **tenant_out,
                                    struct dyno_err *err)
{
    struct final final;
    enum dyno_status status = begin(&final, work, err);
    if (status == DYNO_OK)
        status = find_again(&final, tenant_out, err);
    dyno_strbuf_fini(&final.text);
    return status;
}
