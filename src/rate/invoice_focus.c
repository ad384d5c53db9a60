/* invoice_focus.c - FOCUS 1.4 Cost and Usage: a row a line, mandatory columns, those that go with
 * them, and our own (x_). */
#include <stdio.h>

#include "base/calendar.h"
#include "rate/document.h"

/* The columns in their order; print_row writes in the same. */
static const char header[] =
    "BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd,"
    "BillingPeriodStart,ChargeCategory,ChargeClass,ChargeDescription,ChargePeriodEnd,"
    "ChargePeriodStart,ConsumedQuantity,ConsumedUnit,ContractedCost,ContractedUnitPrice,"
    "EffectiveCost,HostProviderName,InvoiceId,InvoiceIssuerName,ListCost,ListUnitPrice,"
    "PricingCategory,PricingQuantity,PricingUnit,ResourceId,ResourceName,ResourceType,"
    "ServiceCategory,ServiceName,ServiceProviderName,SkuId,SkuPriceId,"
    "x_CertificateId,x_DeviceNs,x_ExactCost,x_LineKind,x_MerkleRoot,x_Precision,x_ReferenceNs,"
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

static void put(struct dyno_strbuf *out, const char *text)
{
    dyno_csv_text(out, text);
    dyno_strbuf_puts(out, ",");
}

/* A list cost must be its price times its quantity, to the last digit: of the two as they stand
 * here, rounded to nine decimals.  What is charged is BilledCost, and x_ExactCost what it was
 * before. */
static const char *product_of(const struct dyno_line *line, const struct dyno_line_words *words,
                              char out[DYNO_MONEY_ROOM])
{
    int64_t quantity = 0;
    if (words->unit_price[0] == 0 ||
        dyno_decimal_parse(words->quantity, 9, "", &quantity, NULL) != DYNO_OK)
        return words->exact;
    return dyno_decimal_text(line->unit_nano * quantity, 18, 2, out);
}

static void print_row(const struct dyno_invoice *invoice, const struct dyno_line *line,
                      struct dyno_strbuf *out)
{
    const struct dyno_statement *statement = invoice->statement;
    const struct dyno_account *account = invoice->account;
    struct dyno_line_words words;
    char first[DYNO_TIME_TEXT_ROOM];
    char next[DYNO_TIME_TEXT_ROOM];
    char seconds[DYNO_MONEY_ROOM];
    char device_ns[DYNO_U128_TEXT_ROOM];
    char reference_ns[DYNO_U128_TEXT_ROOM];
    char cost[DYNO_MONEY_ROOM];
    char text[700];
    dyno_line_say(statement, line, &words);
    (void)dyno_time_text(statement->first_s, first);
    (void)dyno_time_text(statement->next_s, next);
    const bool is_priced = words.unit_price[0] != 0;
    const char *unit = !is_priced ? "" : words.unit[0] == 'E' ? "EPU-Hours" : "Device-Hours";
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
    put(out, next);
    put(out, first);
    put(out,
        line->device_ns > 0 ? dyno_decimal_text((dyno_i128)line->device_ns, 9, 0, seconds) : "");
    put(out, line->device_ns > 0 ? "Device-Seconds" : "");
    put(out, product_of(line, &words, cost));
    put(out, words.unit_price);
    put(out, words.amount);
    put(out, invoice->platform);
    put(out, invoice->number);
    put(out, invoice->platform);
    put(out, product_of(line, &words, cost));
    put(out, words.unit_price);
    put(out, is_priced ? "Standard" : "");
    put(out, words.quantity);
    put(out, unit);
    put(out, line->model);
    put(out, line->model[0] != 0 ? words.title : "");
    put(out, line->model[0] != 0 ? "Model" : "");
    put(out, "AI and Machine Learning");
    put(out, "Inference");
    put(out, invoice->platform);
    put(out, dyno_line_kind_text(line->kind));
    if (line->tariff != NULL)
        (void)snprintf(text, sizeof(text), "%.128s/%lld", line->tariff->name,
                       (long long)line->tariff->version);
    put(out, line->tariff != NULL ? text : "");
    put(out, line->certificate);
    put(out, dyno_u128_text(line->device_ns, device_ns));
    put(out, words.exact);
    put(out, dyno_line_kind_text(line->kind));
    put(out, invoice->source_count == 1 ? invoice->sources[0].root : "");
    put(out, line->precision);
    put(out, dyno_u128_text(line->reference_ns, reference_ns));
    put(out, line->class_name);
    dyno_strbuf_puts(
        out, line->speed_up_ppm > 0 ? dyno_decimal_text(line->speed_up_ppm, 6, 0, seconds) : "");
    dyno_strbuf_puts(out, "\r\n");
}

void dyno_invoice_focus(const struct dyno_invoice *invoice, bool with_header,
                        struct dyno_strbuf *out)
{
    if (with_header)
        dyno_strbuf_puts(out, header);
    for (size_t i = 0; i < invoice->account->line_count; i++)
        print_row(invoice, &invoice->account->lines[i], out);
}
