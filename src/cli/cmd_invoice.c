/* cmd_invoice.c - dyno invoice: accounts of a period, out of a ledger and a book of tariffs. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "cli/billing.h"

struct options {
    struct dyno_cli_list positional;
    struct dyno_bill_options bill;
    struct dyno_cli_list credits;
    const char *tenant, *format, *out, *platform, *number;
    bool json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    DYNO_FLAGS_LEDGER(options),
    DYNO_FLAG_TARIFFS(options),
    {.name = "--tenant",
     .value = "NAME",
     .help = "Of this tenant; without it all, one after the other",
     .kind = DYNO_FLAG_STR,
     AT(tenant)},
    {.name = "--format",
     .value = "text|json|csv|html|focus",
     .help = "focus is FinOps FOCUS 1.4 Cost and Usage, as CSV",
     .kind = DYNO_FLAG_STR,
     AT(format),
     .fallback_text = "text"},
    DYNO_FLAG_JSON(options),
    {.name = "--out",
     .value = "FILE",
     .help = "Write to this file, which must not be there yet",
     .kind = DYNO_FLAG_STR,
     AT(out)},
    {.name = "--platform",
     .value = "NAME",
     .help = "Who issues it",
     .kind = DYNO_FLAG_STR,
     AT(platform),
     .fallback_text = "the platform"},
    {.name = "--number",
     .value = "TEXT",
     .help = "Makes it final: of one tenant, of a period that is over, into a file",
     .kind = DYNO_FLAG_STR,
     AT(number)},
    {.name = "--credit",
     .value = "TENANT=AMOUNT",
     .help = "Prepaid by a tenant, and left before this period; may be given again",
     .kind = DYNO_FLAG_LIST,
     AT(credits)},
};

struct work {
    const struct options *options;
    struct dyno_usage_source *source;
    struct dyno_arena *arena;
    const struct dyno_tariff_book *book;
    struct dyno_credit *credits;
    size_t credit_count;
    struct dyno_statement *statement;
    enum dyno_invoice_format format;
};

/* Each TENANT=AMOUNT; one of a tenant that the ledger does not know pays for nothing. */
static enum dyno_status take_credits(struct work *work, struct dyno_err *err)
{
    const struct dyno_cli_list *list = &work->options->credits;
    work->credits = dyno_arena_alloc(work->arena, list->count + 1U, sizeof(*work->credits));
    if (work->credits == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < list->count; i++) {
        const char *text = list->items[i];
        const char *equals = strrchr(text, '=');
        struct dyno_credit credit = {0};
        if (equals == NULL || equals == text)
            return DYNO_FAIL(err, DYNO_E_ARG, "--credit=%s: wants TENANT=AMOUNT", text);
        const char *tenant = dyno_arena_strndup(work->arena, text, (size_t)(equals - text));
        if (tenant == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(dyno_decimal_parse(equals + 1, 9, "--credit", &credit.nano, err));
        if (credit.nano < 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "--credit=%s: is negative", text);
        const int64_t idx = dyno_usage_source_find(work->source, tenant);
        if (idx < 0)
            continue;
        credit.tenant = (uint32_t)idx;
        work->credits[work->credit_count++] = credit;
    }
    return DYNO_OK;
}

/* What is final is of one tenant, of a time that is over, and in a file of its own. */
static enum dyno_status check_final(const struct options *options, struct dyno_err *err)
{
    int64_t first_s = 0;
    int64_t next_s = 0;
    char text[DYNO_TIME_TEXT_ROOM];
    if (options->number == NULL)
        return DYNO_OK;
    if (options->number[0] == 0 || options->tenant == NULL || options->out == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--number wants a text, --tenant=NAME and --out=FILE: a final invoice is "
                         "of one tenant and is kept");
    DYNO_TRY(dyno_bill_period(&options->bill, &first_s, &next_s, err));
    if (next_s > dyno_now_s())
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the period is not closed before %s: without --number it is a draft",
                         dyno_time_text(next_s, text));
    return DYNO_OK;
}

static enum dyno_status print_one(const struct work *work, const struct dyno_account *account,
                                  bool is_first, struct dyno_strbuf *out, struct dyno_err *err)
{
    const struct options *options = work->options;
    struct dyno_invoice invoice = {.platform = options->platform,
                                   .number = options->number != NULL ? options->number : "",
                                   .statement = work->statement,
                                   .account = account,
                                   .has_trials = dyno_usage_source_has_trials(work->source)};
    invoice.sources = dyno_usage_source_spans(work->source, &invoice.source_count);
    if (!is_first && work->format == DYNO_INVOICE_TEXT)
        dyno_strbuf_puts(out, "\n");
    return dyno_invoice_print(&invoice, work->format, is_first, out, err);
}

static enum dyno_status print(const struct work *work, struct dyno_err *err)
{
    const char *tenant = work->options->tenant;
    const struct dyno_statement *statement = work->statement;
    struct dyno_strbuf out = {0};
    enum dyno_status status = DYNO_OK;
    size_t count = 0;
    for (size_t i = 0; i < statement->account_count && status == DYNO_OK; i++)
        if (tenant == NULL || strcmp(statement->accounts[i].tenant, tenant) == 0)
            status = print_one(work, &statement->accounts[i], count++ == 0, &out, err);
    if (status == DYNO_OK && count == 0)
        status = tenant != NULL
                     ? DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                                 "tenant '%.128s' used nothing in this period", tenant)
                     : DYNO_FAIL(err, DYNO_E_NOT_FOUND, "nobody used anything in this period");
    if (status == DYNO_OK && count > 1 && work->format == DYNO_INVOICE_HTML)
        status = DYNO_FAIL(err, DYNO_E_ARG, "html is a page of one tenant: --tenant=NAME");
    if (status == DYNO_OK)
        status = dyno_bill_write(work->options->out, &out, err);
    dyno_strbuf_fini(&out);
    return status;
}

static enum dyno_status make(struct work *work, struct dyno_err *err)
{
    const struct options *options = work->options;
    DYNO_TRY(check_final(options, err));
    DYNO_TRY(
        dyno_invoice_format_parse(options->json ? "json" : options->format, &work->format, err));
    DYNO_TRY(dyno_bill_book(options->bill.tariffs, work->arena, &work->book, err));
    DYNO_TRY(dyno_bill_open(&options->bill, false, &work->source, err));
    DYNO_TRY(take_credits(work, err));
    DYNO_TRY(dyno_usage_source_rate(work->source, work->book, NULL, work->credits,
                                    work->credit_count, work->arena, &work->statement, err));
    if (options->number != NULL && dyno_usage_source_has_trials(work->source))
        return DYNO_FAIL(err, DYNO_E_DENIED,
                         "records cite trial certificates, which nobody is billed by: without "
                         "--number it is a draft");
    return print(work, err);
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    struct work work = {.options = opaque, .arena = dyno_arena_create()};
    const enum dyno_status status = work.arena != NULL ? make(&work, err) : DYNO_NOMEM(err);
    dyno_usage_source_close(work.source);
    dyno_arena_destroy(work.arena);
    return status;
}

const struct dyno_command dyno_command_invoice = {
    .name = "invoice",
    .summary = "Invoices of a period, out of a ledger and a book of tariffs",
    .text =
        "The same ledger, book and period give the same bytes. Without --number it is a draft; a "
        "final one is written once and never over another.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
