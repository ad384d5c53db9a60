/* cmd_invoice.c - dyno invoice: accounts of a period, out of a ledger and a book of tariffs. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "cli/invoicing.h"

#define AT(field) DYNO_FLAG_AT(dyno_invoice_options, field)
static const struct dyno_flag flags[] = {
    DYNO_FLAGS_LEDGER(dyno_invoice_options),
    DYNO_FLAG_TARIFFS(dyno_invoice_options),
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
    DYNO_FLAG_JSON(dyno_invoice_options),
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
    {.name = "--parties",
     .value = "FILE",
     .help = "JSON: names, addresses and tax numbers of seller and customers, to stand on invoices "
             "(docs/tariffs.md)",
     .kind = DYNO_FLAG_STR,
     AT(parties)},
    {.name = "--credit",
     .value = "TENANT=AMOUNT",
     .help = "Prepaid by a tenant; beside what the last closing left, where there is one. May be "
             "given again",
     .kind = DYNO_FLAG_LIST,
     AT(credits)},
    {.name = "--books",
     .value = "DIR",
     .help = "Folder of closed periods and their final invoices; a draft shows what came late",
     .kind = DYNO_FLAG_STR,
     AT(books)},
    {.name = "--final",
     .help = "Close the period: the final invoices of all tenants, into --books, once and for good",
     .kind = DYNO_FLAG_BOOL,
     AT(is_final)},
    {.name = "--first",
     .help = "With --final: no period was closed before this one, and --books has no closing yet. "
             "What was used before it is billed to nobody",
     .kind = DYNO_FLAG_BOOL,
     AT(is_first)},
    {.name = "--number",
     .value = "N-M",
     .help = "The final invoice of this number in --books, again, in any format",
     .kind = DYNO_FLAG_STR,
     AT(number)},
    {.name = "--verify",
     .value = "INVOICE",
     .help = "Is this final invoice (JSON) what the ledger gives? Replays it, and says",
     .kind = DYNO_FLAG_STR,
     AT(verify)},
    {.name = "--records",
     .help = "Of one tenant's invoice: the records of --line, as CSV or JSON, with what each one "
             "costs",
     .kind = DYNO_FLAG_BOOL,
     AT(records)},
    {.name = "--line",
     .value = "N",
     .help = "For --records: the number of the line, from 1 on",
     .kind = DYNO_FLAG_INT,
     AT(line),
     .fallback = 0,
     .min = 1,
     .max = 1e6},
};

/* --- drafts --- */

/* What the last closing has seen is billed; what came since is late. */
static enum dyno_status bound_draft(struct dyno_invoicing *work, const struct dyno_closings *all,
                                    struct dyno_err *err)
{
    struct dyno_node_files *nodes = NULL;
    size_t node_count = 0;
    if (all->count == 0)
        return DYNO_OK;
    const struct dyno_closing *last = &all->items[all->count - 1];
    char when[DYNO_TIME_TEXT_ROOM];
    if (work->first_s != last->next_s)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the last closed period ended at %s: a draft beside --books begins there",
                         dyno_time_text(last->next_s, when));
    DYNO_TRY(dyno_node_files_find(work, &nodes, &node_count, err));
    work->billed_s = last->made_of.billed_from_s;
    work->bounds = dyno_arena_alloc(work->arena, node_count + 1, sizeof(*work->bounds));
    if (work->bounds == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < node_count; i++) {
        struct dyno_usage_bound *bound = &work->bounds[work->bound_count++];
        *bound = (struct dyno_usage_bound){nodes[i].node, UINT64_MAX, 0};
        for (size_t k = 0; k < last->made_of.head_count; k++)
            if (last->made_of.heads[k].node == nodes[i].node)
                bound->billed_count = last->made_of.heads[k].group_count;
    }
    return DYNO_OK;
}

static enum dyno_status draft(struct dyno_invoicing *work, struct dyno_err *err)
{
    const struct dyno_invoice_options *options = work->options;
    struct dyno_closings closings = {0};
    work->platform = options->platform;
    DYNO_TRY(dyno_invoicing_parties(work, err));
    work->factors = options->bill.factors;
    DYNO_TRY(dyno_bill_book(options->bill.tariffs, work->arena, &work->book, err));
    if (options->books != NULL)
        DYNO_TRY(dyno_closings_read(options->books, false, work->arena, &closings, err));
    DYNO_TRY(bound_draft(work, &closings, err));
    DYNO_TRY(dyno_invoicing_credits(
        work, closings.count > 0 ? &closings.items[closings.count - 1] : NULL, err));
    return dyno_invoicing_rate(work, err);
}

/* --- output --- */

static enum dyno_status print(const struct dyno_invoicing *work, enum dyno_invoice_format format,
                              const char *tenant, const char *number, struct dyno_err *err)
{
    const struct dyno_statement *statement = work->statement;
    struct dyno_strbuf out = {0};
    enum dyno_status status = DYNO_OK;
    size_t count = 0;
    for (size_t i = 0; i < statement->account_count && status == DYNO_OK; i++)
        if (tenant == NULL || strcmp(statement->accounts[i].tenant, tenant) == 0)
            status = dyno_invoicing_print(work, &statement->accounts[i], number, format,
                                          count++ == 0, &out, err);
    if (status == DYNO_OK && count == 0)
        status = tenant != NULL
                     ? DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                                 "tenant '%.128s' used nothing in this period", tenant)
                     : DYNO_FAIL(err, DYNO_E_NOT_FOUND, "nobody used anything in this period");
    if (status == DYNO_OK && count > 1 && format == DYNO_INVOICE_HTML)
        status = DYNO_FAIL(err, DYNO_E_ARG, "html is a page of one tenant: --tenant=NAME");
    if (status == DYNO_OK)
        status = dyno_bill_write(work->options->out, &out, err);
    dyno_strbuf_fini(&out);
    return status;
}

static enum dyno_status print_records(const struct dyno_invoicing *work, const char *tenant,
                                      struct dyno_err *err)
{
    if (tenant == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--records are of one invoice: --tenant=NAME");
    const struct dyno_account *account = dyno_invoicing_account(work, tenant);
    if (account == NULL)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "tenant '%.128s' used nothing in this period",
                         tenant);
    return dyno_invoice_records(work, account, err);
}

static enum dyno_status check_flags(const struct dyno_invoice_options *options,
                                    struct dyno_err *err)
{
    const int ways = options->is_final + (options->number != NULL) + (options->verify != NULL);
    if (ways > 1)
        return DYNO_FAIL(err, DYNO_E_ARG, "give one of --final, --number and --verify");
    if (options->is_first && !options->is_final)
        return DYNO_FAIL(err, DYNO_E_ARG, "--first is for --final: it begins the closings");
    if (ways == 1 && options->tenant != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--final closes the period of all tenants, and a number or an invoice is "
                         "of one: no --tenant");
    if ((options->number != NULL || options->verify != NULL) &&
        (options->credits.count > 0 || options->bill.period != NULL ||
         options->bill.since != NULL || options->bill.until != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "a final invoice knows its period and credit itself");
    if ((options->number != NULL || options->verify != NULL) && options->parties != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--parties is for a draft or --final: a final invoice has its own");
    if ((options->records || options->line != 0) && (options->is_final || options->verify != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--records is of a draft, or of a final invoice by its --number");
    if (options->out != NULL && (options->is_final || options->verify != NULL || options->records))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--out is for invoices: --final, --verify and --records go to standard "
                         "output");
    if ((options->is_final || options->verify != NULL) && strcmp(options->format, "text") != 0 &&
        strcmp(options->format, "json") != 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--format=%.32s: --final and --verify say what they did as text or as "
                         "json; --number prints a final invoice in any form",
                         options->format);
    for (const char *at = options->platform; *at != 0; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return DYNO_FAIL(err, DYNO_E_ARG, "--platform holds a control character: it is a name");
    if (options->line != 0 && !options->records)
        return DYNO_FAIL(err, DYNO_E_ARG, "--line is for --records");
    return DYNO_OK;
}

static enum dyno_status make(struct dyno_invoicing *work, struct dyno_err *err)
{
    const struct dyno_invoice_options *options = work->options;
    const char *tenant = options->tenant;
    enum dyno_invoice_format format = DYNO_INVOICE_TEXT;
    DYNO_TRY(check_flags(options, err));
    DYNO_TRY(dyno_invoice_format_parse(options->json ? "json" : options->format, &format, err));
    if (options->verify != NULL)
        return dyno_invoice_verify(work, err);
    DYNO_TRY(dyno_bill_period(&options->bill, &work->first_s, &work->next_s, err));
    if (options->is_final)
        return dyno_invoice_close(work, err);
    if (options->number != NULL) {
        DYNO_TRY(dyno_invoice_again(work, &tenant, err));
    } else {
        DYNO_TRY(draft(work, err));
    }
    if (options->records)
        return print_records(work, tenant, err);
    return print(work, format, tenant, options->number != NULL ? options->number : "", err);
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    struct dyno_invoicing work = {.options = opaque, .arena = dyno_arena_create()};
    const enum dyno_status status = work.arena != NULL ? make(&work, err) : DYNO_NOMEM(err);
    dyno_invoicing_fini(&work);
    dyno_arena_destroy(work.arena);
    return status;
}

const struct dyno_command dyno_command_invoice = {
    .name = "invoice",
    .summary = "Invoices of a period, out of a ledger and a book of tariffs",
    .text =
        "The same ledger, book and period give the same bytes. Without --final it is a draft. "
        "--final closes a period (the first of all with --first): its invoices name what they were "
        "made of, and are never written again; what comes late, and what turns out otherwise, is on the next ones. --verify "
        "replays one against the ledger. --records shows what a line is made of.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct dyno_invoice_options),
    .run = run,
};
