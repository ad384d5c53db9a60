/* invoice_focus.c - FOCUS 1.4 Cost and Usage: a row a line, mandatory columns, those that go with
 * them, and our own (x_). */
#include <stdio.h>

#include "base/calendar.h"
#include "rate/document.h"

/* The columns in their order; print_row writes in the same. */
static const char header[] =
    "BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd,"
    "BillingPeriodStart,ChargeCategory,ChargeClass,ChargeDescription,ChargeFrequency,ChargePeriodEnd,"
    "ChargePeriodStart,ConsumedQuantity,ConsumedUnit,ContractedCost,ContractedUnitPrice,"
    "EffectiveCost,HostProviderName,InvoiceId,InvoiceIssuerName,ListCost,ListUnitPrice,"
    "PricingCategory,PricingQuantity,PricingUnit,ResourceId,ResourceName,ResourceType,"
    "ServiceCategory,ServiceName,ServiceProviderName,SkuId,SkuPriceId,"
    "x_CertificateId,x_DeviceNs,x_ExactCost,x_LineKind,x_MerkleRoot,x_Precision,x_ReferenceNs,"
    "x_RequestsAfterCertificate,x_RequestsOfAnotherTariff,x_RequestsWhileSuspended,"
    "x_ServiceClass,x_SpeedUp\r\n";

static const char *category_of(const struct dyno_line *line)
{
    switch (line->kind) {
    case DYNO_LINE_USAGE:
    case DYNO_LINE_COLD_START:
    case DYNO_LINE_RESIDENCY:
        return "Usage";
    case DYNO_LINE_MINIMUM:
        return "Purchase";
    case DYNO_LINE_TIERS:
        return "Adjustment";
    case DYNO_LINE_CREDIT:
        break;
    }
    return "Credit";
}

static const char *frequency_of(const struct dyno_line *line)
{
    if (line->kind == DYNO_LINE_MINIMUM)
        return "Recurring";
    return dyno_line_has_usage(line) ? "Usage-Based" : "One-Time";
}

static void put(struct dyno_strbuf *out, const char *text)
{
    dyno_csv_text(out, text);
    dyno_strbuf_puts(out, ",");
}

static void put_count(struct dyno_strbuf *out, bool is_told, uint64_t count)
{
    if (is_told)
        dyno_strbuf_u64(out, count);
    dyno_strbuf_puts(out, ",");
}

/* --- what was sold --- */

/* Of usage and purchases there is a price: of a unit, or of the line as it is. */
struct sale {
    char sku[64];    /* "" for what only changes other charges */
    char price[600]; /* all that makes the price, in one text */
    char unit_price[DYNO_MONEY_ROOM], quantity[DYNO_MONEY_ROOM], cost[DYNO_MONEY_ROOM];
    const char *unit;
    char consumed[DYNO_MONEY_ROOM];
    const char *consumed_unit;
};

/* A list cost must be its price times its quantity, to the last digit: of the two as they stand
 * here, rounded to nine decimals.  What is charged is BilledCost, and x_ExactCost what it was
 * before. */
static void price_units(const struct dyno_line *line, const struct dyno_line_words *words,
                        struct sale *sale)
{
    int64_t quantity = 0;
    (void)snprintf(sale->unit_price, sizeof(sale->unit_price), "%s", words->unit_price);
    (void)snprintf(sale->quantity, sizeof(sale->quantity), "%s", words->quantity);
    sale->unit = words->unit[0] == 'E' ? "EPU-Hours" : "Device-Hours";
    (void)snprintf(sale->cost, sizeof(sale->cost), "%s", words->exact);
    if (dyno_decimal_parse(words->quantity, 9, "", &quantity, NULL) == DYNO_OK)
        (void)dyno_decimal_text(line->unit_nano * quantity, 18, 2, sale->cost);
}

static void price_whole(const struct dyno_line_words *words, struct sale *sale)
{
    (void)snprintf(sale->unit_price, sizeof(sale->unit_price), "%s", words->exact);
    (void)snprintf(sale->quantity, sizeof(sale->quantity), "1");
    (void)snprintf(sale->cost, sizeof(sale->cost), "%s", words->exact);
    sale->unit = "Charges";
}

static void name_price(const struct dyno_line *line, struct sale *sale)
{
    const char *const parts[] = {line->class_name, line->precision, line->certificate};
    size_t used = 0;
    (void)snprintf(sale->sku, sizeof(sale->sku), "%s%s%s",
                   line->kind == DYNO_LINE_USAGE ? "inference" : dyno_line_kind_text(line->kind),
                   line->kind == DYNO_LINE_USAGE && line->usage != DYNO_USAGE_DELIVERED ? "-" : "",
                   line->kind == DYNO_LINE_USAGE && line->usage != DYNO_USAGE_DELIVERED
                       ? dyno_usage_kind_text(line->usage)
                       : "");
    used = (size_t)snprintf(sale->price, sizeof(sale->price), "%.63s/%.128s/%lld", sale->sku,
                            line->tariff->name, (long long)line->tariff->version);
    for (size_t i = 0; i < DYNO_COUNT(parts) && line->kind == DYNO_LINE_USAGE; i++)
        if (used < sizeof(sale->price))
            used += (size_t)snprintf(sale->price + used, sizeof(sale->price) - used, "/%.120s",
                                     parts[i]);
}

static void tell_consumed(const struct dyno_line *line, struct sale *sale)
{
    const dyno_i128 sign = line->is_taken_back ? -1 : 1;
    if (line->kind == DYNO_LINE_RESIDENCY) {
        (void)dyno_hours_text(line->byte_ns / 1000000000U, sale->consumed);
        sale->consumed_unit = "GB-Hours";
    } else if (dyno_line_has_usage(line)) {
        (void)dyno_decimal_text(sign * (dyno_i128)line->device_ns, 9, 0, sale->consumed);
        sale->consumed_unit = "Device-Seconds";
    }
}

static void sell(const struct dyno_line *line, const struct dyno_line_words *words,
                 struct sale *sale_out)
{
    *sale_out = (struct sale){.unit = "", .consumed_unit = ""};
    (void)snprintf(sale_out->cost, sizeof(sale_out->cost), "%s", words->exact);
    if (words->unit_price[0] != 0)
        price_units(line, words, sale_out);
    else if (dyno_line_has_usage(line) || line->kind == DYNO_LINE_MINIMUM)
        price_whole(words, sale_out);
    if (sale_out->unit_price[0] != 0)
        name_price(line, sale_out);
    tell_consumed(line, sale_out);
}

/* --- rows --- */

/* One root, where there is one: of the ledger when the period was closed. */
static const char *root_of(const struct dyno_invoice *invoice)
{
    if (invoice->closing != NULL)
        return invoice->closing->head_count == 1 ? invoice->closing->heads[0].root : "";
    return invoice->source_count == 1 ? invoice->sources[0].root : "";
}

static void print_own(const struct dyno_invoice *invoice, const struct dyno_line *line,
                      const struct dyno_line_words *words, struct dyno_strbuf *out)
{
    const dyno_i128 sign = line->is_taken_back ? -1 : 1;
    /* Whoever adds up a column must not find the work of the lines again in what is made of them.
     */
    const bool is_work = dyno_line_has_usage(line);
    char ns[DYNO_U128_TEXT_ROOM];
    char speed_up[DYNO_MONEY_ROOM];
    put(out, line->certificate);
    put(out, is_work ? dyno_i128_text(sign * (dyno_i128)line->device_ns, ns) : "");
    put(out, words->exact);
    put(out, dyno_line_kind_text(line->kind));
    put(out, root_of(invoice));
    put(out, line->precision);
    put(out, is_work ? dyno_i128_text(sign * (dyno_i128)line->reference_ns, ns) : "");
    put_count(out, is_work, line->lapsed);
    put_count(out, is_work, line->unclaimed);
    put_count(out, is_work, line->suspended);
    put(out, line->class_name);
    dyno_strbuf_puts(
        out, line->speed_up_ppm > 0 ? dyno_decimal_text(line->speed_up_ppm, 6, 0, speed_up) : "");
    dyno_strbuf_puts(out, "\r\n");
}

static void print_row(const struct dyno_invoice *invoice, const struct dyno_line *line,
                      struct dyno_strbuf *out)
{
    const struct dyno_statement *statement = invoice->statement;
    const struct dyno_account *account = invoice->account;
    struct dyno_line_words words;
    struct sale sale;
    char first[DYNO_TIME_TEXT_ROOM];
    char next[DYNO_TIME_TEXT_ROOM];
    char late[DYNO_TIME_TEXT_ROOM];
    char text[700];
    dyno_line_say(statement, line, &words);
    sell(line, &words, &sale);
    (void)dyno_time_text(statement->first_s, first);
    (void)dyno_time_text(statement->next_s, next);
    (void)dyno_time_text(invoice->late_from_s, late);
    put(out, words.amount);
    put(out, account->tenant);
    put(out, account->tenant);
    put(out, statement->currency->code);
    put(out, next);
    put(out, first);
    put(out, category_of(line));
    put(out, line->is_late ? "Correction" : "");
    (void)snprintf(text, sizeof(text), "%s%s%s", words.title, words.detail[0] != 0 ? ", " : "",
                   words.detail);
    put(out, text);
    put(out, frequency_of(line));
    put(out, line->is_late ? first : next);
    put(out, line->is_late ? late : first);
    put(out, sale.consumed);
    put(out, sale.consumed_unit);
    /* What is charged of a credit is all there is of it. */
    put(out, line->kind == DYNO_LINE_CREDIT ? words.amount : sale.cost);
    put(out, sale.unit_price);
    put(out, words.amount);
    put(out, invoice->platform);
    put(out, invoice->number);
    put(out, invoice->platform);
    put(out, line->kind == DYNO_LINE_CREDIT ? words.amount : sale.cost);
    put(out, sale.unit_price);
    put(out, sale.unit_price[0] != 0 ? "Standard" : "");
    put(out, sale.quantity);
    put(out, sale.unit);
    put(out, line->model);
    put(out, line->model[0] != 0 ? words.title : "");
    put(out, line->model[0] != 0 ? "Model" : "");
    put(out, "AI and Machine Learning");
    put(out, "Inference");
    put(out, invoice->platform);
    put(out, sale.sku);
    put(out, sale.price);
    print_own(invoice, line, &words, out);
}

void dyno_invoice_focus(const struct dyno_invoice *invoice, bool with_header,
                        struct dyno_strbuf *out)
{
    if (with_header)
        dyno_strbuf_puts(out, header);
    for (size_t i = 0; i < invoice->account->line_count; i++)
        print_row(invoice, &invoice->account->lines[i], out);
}
