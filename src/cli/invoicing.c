/* invoicing.c - one rating with what it is rated from, for all ways of dyno invoice. */
#include "cli/invoicing.h"

#include <string.h>

#include "cli/parties.h"
#include "meter/ledger/head.h"

bool dyno_invoice_wants_json(const struct dyno_invoice_options *options)
{
    return options->json || strcmp(options->format, "json") == 0;
}

/* --- prepaid credit --- */

static struct dyno_closing_credit *credit_of(struct dyno_invoicing *work, const char *tenant)
{
    for (size_t i = 0; i < work->credit_count; i++)
        if (strcmp(work->credits[i].tenant, tenant) == 0)
            return &work->credits[i];
    struct dyno_closing_credit *credit = &work->credits[work->credit_count++];
    *credit = (struct dyno_closing_credit){.tenant = tenant};
    return credit;
}

/* TENANT=AMOUNT */
static enum dyno_status add_credit(struct dyno_invoicing *work, const char *text,
                                   struct dyno_err *err)
{
    const char *equals = strrchr(text, '=');
    int64_t nano = 0;
    if (equals == NULL || equals == text)
        return DYNO_FAIL(err, DYNO_E_ARG, "--credit=%s: wants TENANT=AMOUNT", text);
    const char *tenant = dyno_arena_strndup(work->arena, text, (size_t)(equals - text));
    if (tenant == NULL)
        return DYNO_NOMEM(err);
    if (dyno_decimal_parse(equals + 1, 9, "the amount", &nano, err) != DYNO_OK) {
        dyno_err_prefix(err, "--credit=%s", text);
        return DYNO_E_ARG;
    }
    if (nano < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--credit=%s: is negative", text);
    struct dyno_closing_credit *credit = credit_of(work, tenant);
    if (__builtin_add_overflow(credit->before_nano, nano, &credit->before_nano))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "--credit=%s: is too much", text);
    credit->left_nano = credit->before_nano;
    return DYNO_OK;
}

enum dyno_status dyno_invoicing_credits(struct dyno_invoicing *work,
                                        const struct dyno_closing *last, struct dyno_err *err)
{
    const struct dyno_cli_list *list = &work->options->credits;
    const size_t carried = last != NULL ? last->credit_count : 0;
    work->credits =
        dyno_arena_alloc(work->arena, carried + list->count + 1, sizeof(*work->credits));
    if (work->credits == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < carried; i++) {
        struct dyno_closing_credit *credit = credit_of(work, last->credits[i].tenant);
        credit->before_nano = credit->left_nano = last->credits[i].left_nano;
    }
    for (uint32_t i = 0; i < list->count; i++)
        DYNO_TRY(add_credit(work, list->items[i], err));
    return DYNO_OK;
}

static enum dyno_status name_credits(struct dyno_invoicing *work, struct dyno_err *err)
{
    work->rated_credits =
        dyno_arena_alloc(work->arena, work->credit_count + 1, sizeof(*work->rated_credits));
    if (work->rated_credits == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < work->credit_count; i++)
        work->rated_credits[i] =
            (struct dyno_credit){work->credits[i].tenant, work->credits[i].before_nano};
    return DYNO_OK;
}

/* --- bounds --- */

enum dyno_status dyno_invoicing_bounds(struct dyno_invoicing *work,
                                       const struct dyno_invoice_closing *closing,
                                       struct dyno_err *err)
{
    work->closing = dyno_arena_memdup(work->arena, closing, sizeof(*closing));
    if (work->closing == NULL)
        return DYNO_NOMEM(err);
    work->billed_s = closing->billed_from_s;
    work->bounds = dyno_arena_alloc(work->arena, closing->head_count + 1, sizeof(*work->bounds));
    if (work->bounds == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < closing->head_count; i++)
        work->bounds[work->bound_count++] = (struct dyno_usage_bound){
            closing->heads[i].node, closing->heads[i].group_count, closing->heads[i].billed_count};
    return DYNO_OK;
}

/* --- rating --- */

enum dyno_status dyno_invoicing_files(struct dyno_invoicing *work, struct dyno_err *err)
{
    const struct dyno_bill_options *bill = &work->options->bill;
    return work->files.names != NULL ? DYNO_OK
                                     : dyno_ledger_files_open(&bill->ledgers, bill->fleet, -1,
                                                              work->arena, &work->files, err);
}

enum dyno_status dyno_invoicing_rate(struct dyno_invoicing *work, struct dyno_err *err)
{
    const struct dyno_bill_options *bill = &work->options->bill;
    DYNO_TRY(dyno_invoicing_files(work, err));
    const struct dyno_usage_source_options source = {
        .files = &work->files,
        .certificates = bill->certificates,
        .factors = work->factors,
        .first_s = work->first_s,
        .next_s = work->next_s,
        .bounds = work->bounds,
        .bound_count = work->bound_count,
        .billed_s = work->billed_s,
        .form = work->closing != NULL ? work->closing->form : 0,
    };
    DYNO_TRY(dyno_usage_source_open(&source, &work->source, err));
    DYNO_TRY(name_credits(work, err));
    DYNO_TRY(dyno_usage_source_rate(work->source, work->book, NULL, work->rated_credits,
                                    work->credit_count, work->arena, &work->statement, err));
    for (size_t i = 0; i < work->credit_count; i++) {
        const struct dyno_account *account = dyno_invoicing_account(work, work->credits[i].tenant);
        if (account != NULL)
            work->credits[i].left_nano = (int64_t)account->credit_left_nano;
    }
    if (work->closing != NULL && dyno_usage_source_has_trials(work->source))
        return DYNO_FAIL(err, DYNO_E_DENIED,
                         "records cite trial certificates, which nobody is billed by");
    return DYNO_OK;
}

void dyno_invoicing_fini(struct dyno_invoicing *work)
{
    dyno_usage_source_close(work->source);
    work->source = NULL;
    dyno_ledger_files_close(&work->files);
}

const struct dyno_account *dyno_invoicing_account(const struct dyno_invoicing *work,
                                                  const char *tenant)
{
    for (size_t i = 0; i < work->statement->account_count; i++)
        if (strcmp(work->statement->accounts[i].tenant, tenant) == 0)
            return &work->statement->accounts[i];
    return NULL;
}

enum dyno_status dyno_invoicing_parties(struct dyno_invoicing *work, struct dyno_err *err)
{
    const char *path = work->options->parties;
    return path == NULL ? DYNO_OK : dyno_parties_load(path, work->arena, &work->parties, err);
}

enum dyno_status dyno_invoicing_print(const struct dyno_invoicing *work,
                                      const struct dyno_account *account, const char *number,
                                      enum dyno_invoice_format format, bool is_first,
                                      struct dyno_strbuf *out, struct dyno_err *err)
{
    struct dyno_invoice invoice = {.platform = work->platform,
                                   .seller = work->parties.seller,
                                   .customer = dyno_parties_find(&work->parties, account->tenant),
                                   .number = number,
                                   .closing = work->closing,
                                   .statement = work->statement,
                                   .account = account,
                                   .late_from_s = work->billed_s,
                                   .has_trials = dyno_usage_source_has_trials(work->source)};
    invoice.sources = dyno_usage_source_spans(work->source, &invoice.source_count);
    if (!is_first && format == DYNO_INVOICE_TEXT)
        dyno_strbuf_puts(out, "\n");
    return dyno_invoice_print(&invoice, format, is_first, out, err);
}
