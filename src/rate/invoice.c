/* invoice.c - an account as text and as CSV, and the words that all forms share. */
#include "rate/invoice.h"

#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "rate/document.h"

#define NS_AN_HOUR  UINT64_C(3600000000000)
#define TITLE_BYTES 30 /* of a line's title, beside its figures */

static const char *const format_texts[] = {
#define X(sym, name) name,
    DYNO_INVOICE_FORMATS(X)
#undef X
};

enum dyno_status dyno_invoice_format_parse(const char *text, enum dyno_invoice_format *format_out,
                                           struct dyno_err *err)
{
    for (size_t i = 0; i < DYNO_COUNT(format_texts); i++) {
        if (strcmp(text, format_texts[i]) == 0) {
            *format_out = (enum dyno_invoice_format)i;
            return DYNO_OK;
        }
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "a format is text, json, csv, html or focus, not %.32s",
                     text);
}

/* --- figures --- */

const char *dyno_hours_text(dyno_u128 ns, char out[DYNO_MONEY_ROOM])
{
    const struct dyno_ratio ratio = {
        .a = (dyno_i128)ns, .b = DYNO_NANO, .dens = {NS_AN_HOUR}, .den_count = 1};
    dyno_i128 nano = 0;
    if (!dyno_ratio_round(&ratio, DYNO_ROUND_HALF_EVEN, &nano))
        nano = 0; /* 10^17 years */
    return dyno_decimal_text(nano, 9, 0, out);
}

const char *dyno_minor_text(const struct dyno_currency *currency, dyno_i128 minor,
                            char out[DYNO_MONEY_ROOM])
{
    return dyno_decimal_text(minor, currency->decimals, currency->decimals, out);
}

/* --- words --- */

static void say_hours(const struct dyno_statement *statement, const struct dyno_line *line,
                      dyno_u128 ns, char out[DYNO_MONEY_ROOM])
{
    char text[DYNO_MONEY_ROOM];
    (void)dyno_hours_text(ns, text);
    const bool is_none = statement->form >= 2 ? strcmp(text, "0") == 0 : ns == 0;
    (void)snprintf(out, DYNO_MONEY_ROOM, "%s%.54s", line->is_taken_back && !is_none ? "-" : "",
                   text);
}

/* A class or a precision, and the factor that it has on the price. */
static void say_factor(struct dyno_strbuf *out, const char *name, const struct dyno_factor *factors,
                       size_t count)
{
    const int64_t factor = dyno_tariff_factor(factors, count, name);
    char text[DYNO_MONEY_ROOM];
    dyno_strbuf_printf(out, "%.64s", name);
    if (factor != DYNO_NANO)
        dyno_strbuf_printf(out, " x %s", dyno_decimal_text(factor, 9, 0, text));
}

static void say_usage(const struct dyno_statement *statement, const struct dyno_line *line,
                      struct dyno_line_words *words)
{
    char speed_up[DYNO_MONEY_ROOM];
    struct dyno_strbuf detail = {0};
    const bool by_device =
        line->kind == DYNO_LINE_COLD_START || line->tariff->kind == DYNO_TARIFF_DEVICE_HOUR;
    (void)snprintf(words->title, sizeof(words->title), "%.128s / %.128s", line->model,
                   line->variant);
    if (line->kind == DYNO_LINE_COLD_START)
        dyno_strbuf_puts(&detail, "loading for this tenant");
    else
        say_factor(&detail, line->class_name, line->tariff->classes, line->tariff->class_count);
    if (line->kind == DYNO_LINE_USAGE && line->precision[0] != 0) {
        dyno_strbuf_puts(&detail, ", ");
        say_factor(&detail, line->precision, line->tariff->precisions,
                   line->tariff->precision_count);
    }
    if (line->items > 0)
        (void)snprintf(words->items, sizeof(words->items), "%llu item%s",
                       (unsigned long long)line->items, line->items == 1 ? "" : "s");
    if (line->kind == DYNO_LINE_USAGE && line->usage != DYNO_USAGE_DELIVERED)
        dyno_strbuf_printf(&detail, ", %s: free", dyno_usage_kind_text(line->usage));
    if (line->kind == DYNO_LINE_USAGE && line->speed_up_ppm > DYNO_PPM)
        dyno_strbuf_printf(&detail, ", speed-up %s",
                           dyno_decimal_text(line->speed_up_ppm, 6, 2, speed_up));
    (void)snprintf(words->detail, sizeof(words->detail), "%.200s%s", dyno_strbuf_text(&detail),
                   line->is_taken_back ? ", of an earlier period, taken back"
                   : line->is_late     ? ", of an earlier period"
                                       : "");
    dyno_strbuf_fini(&detail);
    words->unit = by_device ? "device-hour" : "EPU-hour";
    words->a_unit = by_device ? "a device-hour" : "an EPU-hour";
    say_hours(statement, line, by_device ? line->device_ns : line->reference_ns, words->quantity);
    (void)dyno_decimal_text(line->unit_nano, 9, 2, words->unit_price);
    say_hours(statement, line, line->device_ns, words->device_hours);
    if (line->kind == DYNO_LINE_USAGE && line->usage == DYNO_USAGE_DELIVERED)
        say_hours(statement, line, line->reference_ns, words->epu_hours);
}

void dyno_line_say(const struct dyno_statement *statement, const struct dyno_line *line,
                   struct dyno_line_words *words_out)
{
    *words_out = (struct dyno_line_words){.unit = "", .a_unit = ""};
    struct dyno_line_words *words = words_out;
    switch (line->kind) {
    case DYNO_LINE_USAGE:
    case DYNO_LINE_COLD_START:
        say_usage(statement, line, words);
        break;
    case DYNO_LINE_RESIDENCY:
        (void)snprintf(words->title, sizeof(words->title), "%.128s / %.128s", line->model,
                       line->variant);
        (void)snprintf(words->detail, sizeof(words->detail),
                       "memory held, hours that used less than its floor%s",
                       line->is_late ? ", of an earlier period" : "");
        break;
    case DYNO_LINE_TIERS:
        (void)snprintf(words->title, sizeof(words->title), "Tiers of %.128s", line->tariff->name);
        (void)snprintf(words->detail, sizeof(words->detail), "by the EPU-hours of the period");
        (void)dyno_hours_text(line->reference_ns, words->epu_hours);
        break;
    case DYNO_LINE_MINIMUM:
        (void)snprintf(words->title, sizeof(words->title), "Minimum of %.128s", line->tariff->name);
        (void)snprintf(words->detail, sizeof(words->detail), "what is missing to it");
        break;
    case DYNO_LINE_CREDIT:
        (void)snprintf(words->title, sizeof(words->title), "Prepaid credit");
        break;
    }
    (void)dyno_minor_text(statement->currency, line->minor, words->amount);
    (void)dyno_decimal_text(line->nano, 9, statement->currency->decimals, words->exact);
}

void dyno_csv_text(struct dyno_strbuf *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        dyno_strbuf_puts(out, text);
        return;
    }
    dyno_strbuf_puts(out, "\"");
    for (const char *at = text; *at != 0; at++) {
        if (*at == '"')
            dyno_strbuf_puts(out, "\"");
        dyno_strbuf_add(out, at, 1);
    }
    dyno_strbuf_puts(out, "\"");
}

/* --- text --- */

static void print_lines(const struct dyno_invoice *invoice, struct dyno_strbuf *out)
{
    const struct dyno_account *account = invoice->account;
    dyno_strbuf_printf(out, "%-34s %9s %14s %14s %14s %12s\n", "", "requests", "device-hours",
                       "EPU-hours", "price", "amount");
    for (size_t i = 0; i < account->line_count; i++) {
        const struct dyno_line *line = &account->lines[i];
        struct dyno_line_words words;
        char requests[32] = "";
        dyno_line_say(invoice->statement, line, &words);
        if (line->requests > 0)
            (void)snprintf(requests, sizeof(requests), "%llu", (unsigned long long)line->requests);
        /* A name is never cut: two models may differ in their last letter. */
        const bool is_long = strlen(words.title) > TITLE_BYTES;
        dyno_strbuf_printf(out, "%3zu %-*s", i + 1, TITLE_BYTES, words.title);
        if (is_long)
            dyno_strbuf_printf(out, "\n%*s", TITLE_BYTES + 4, "");
        dyno_strbuf_printf(out, " %9s %14s %14s %14s %12s\n", requests, words.device_hours,
                           words.epu_hours, words.unit_price, words.amount);
        if (words.detail[0] == 0)
            continue;
        dyno_strbuf_printf(out, "      %s%s%s%s%s\n", words.detail, words.items[0] != 0 ? "; " : "",
                           words.items, words.unit_price[0] != 0 ? "; price of " : "",
                           words.unit_price[0] != 0 ? words.a_unit : "");
    }
}

static void print_certificates(const struct dyno_account *account, struct dyno_strbuf *out)
{
    const char *before = "";
    for (size_t i = 0; i < account->line_count; i++) {
        const char *certificate = account->lines[i].certificate;
        if (certificate[0] == 0 || strcmp(certificate, before) == 0)
            continue;
        dyno_strbuf_printf(out, "Certificate of %s / %s: %s\n", account->lines[i].model,
                           account->lines[i].variant, certificate);
        before = certificate;
    }
}

static void print_closing(const struct dyno_invoice_closing *closing, struct dyno_strbuf *out)
{
    dyno_strbuf_printf(out, "Closing  %llu, by the tariffs %s\n",
                       (unsigned long long)closing->number, closing->tariffs);
    for (size_t i = 0; i < closing->head_count; i++) {
        const struct dyno_invoice_head *head = &closing->heads[i];
        dyno_strbuf_printf(out, "Head     of node %u over %llu groups, %s%s, root %s\n", head->node,
                           (unsigned long long)head->group_count,
                           head->is_signed ? "signed" : "not signed",
                           head->is_last ? ", the last one" : "", head->root);
    }
}

/* Under a field's first line. */
static void print_party(const struct dyno_party *party, struct dyno_strbuf *out)
{
    for (size_t i = 0; i < party->line_count; i++)
        dyno_strbuf_printf(out, "         %s\n", party->lines[i]);
}

static void print_text(const struct dyno_invoice *invoice, struct dyno_strbuf *out)
{
    const struct dyno_statement *statement = invoice->statement;
    const struct dyno_account *account = invoice->account;
    char first[DYNO_TIME_TEXT_ROOM];
    char next[DYNO_TIME_TEXT_ROOM];
    char total[DYNO_MONEY_ROOM];
    /* What is below nothing is given back. */
    dyno_strbuf_printf(out, "%s%s from %s\n", invoice->closing != NULL ? "" : "DRAFT ",
                       account->total_minor < 0 ? "CREDIT NOTE" : "INVOICE", invoice->platform);
    print_party(&invoice->seller, out);
    if (invoice->number[0] != 0)
        dyno_strbuf_printf(out, "Number   %s\n", invoice->number);
    if (invoice->closing != NULL && invoice->closing->form >= 3)
        dyno_strbuf_printf(out, "Issued   %s\n", dyno_day_text(invoice->closing->issued_s, first));
    if (invoice->has_trials)
        dyno_strbuf_puts(out, "By trial certificates: to be looked at, and no bill\n");
    dyno_strbuf_printf(out, "To       %s\n", account->tenant);
    print_party(&invoice->customer, out);
    dyno_strbuf_printf(out, "Period   %s to %s\nAmounts  %s\n\n",
                       dyno_time_text(statement->first_s, first),
                       dyno_time_text(statement->next_s, next), statement->currency->code);
    print_lines(invoice, out);
    dyno_strbuf_printf(out, "%-34s %66s\n\n", "TOTAL",
                       dyno_minor_text(statement->currency, account->total_minor, total));
    dyno_invoice_terms(statement, account, out);
    dyno_strbuf_puts(out, "\n");
    print_certificates(account, out);
    for (size_t i = 0; i < invoice->source_count; i++) {
        const struct dyno_invoice_source *source = &invoice->sources[i];
        dyno_strbuf_printf(out, "Records  %u-%u-%llu to %llu%s%s\n", source->node, source->epoch,
                           (unsigned long long)source->first_seq,
                           (unsigned long long)source->last_seq,
                           source->root[0] != 0 ? ", root " : "", source->root);
    }
    if (invoice->closing != NULL)
        print_closing(invoice->closing, out);
}

/* --- CSV --- */

static void print_csv(const struct dyno_invoice *invoice, bool with_header, struct dyno_strbuf *out)
{
    if (with_header)
        dyno_strbuf_puts(out,
                         "tenant,kind,model,variant,class,precision,certificate,speed_up,"
                         "tariff,tariff_version,late,taken_back,usage,requests,items,device_ns,"
                         "reference_ns,unit,quantity,unit_price,exact,amount,currency,"
                         "requests_after_certificate,requests_of_another_tariff,"
                         "requests_while_suspended,invoice,issued\r\n");
    char issued[DYNO_TIME_TEXT_ROOM] = "";
    if (invoice->closing != NULL && invoice->closing->form >= 3)
        (void)dyno_day_text(invoice->closing->issued_s, issued);
    for (size_t i = 0; i < invoice->account->line_count; i++) {
        const struct dyno_line *line = &invoice->account->lines[i];
        struct dyno_line_words words;
        const dyno_i128 sign = line->is_taken_back ? -1 : 1;
        char device_ns[DYNO_U128_TEXT_ROOM];
        char reference_ns[DYNO_U128_TEXT_ROOM];
        char speed_up[DYNO_MONEY_ROOM];
        dyno_line_say(invoice->statement, line, &words);
        const char *const names[] = {invoice->account->tenant,
                                     dyno_line_kind_text(line->kind),
                                     line->model,
                                     line->variant,
                                     line->class_name,
                                     line->precision,
                                     line->certificate};
        for (size_t k = 0; k < DYNO_COUNT(names); k++) {
            dyno_csv_text(out, names[k]);
            dyno_strbuf_puts(out, ",");
        }
        dyno_strbuf_printf(
            out, "%s,",
            line->speed_up_ppm > 0 ? dyno_decimal_text(line->speed_up_ppm, 6, 0, speed_up) : "");
        dyno_csv_text(out, line->tariff != NULL ? line->tariff->name : "");
        dyno_strbuf_printf(
            out, ",%lld,%s,%s,%s,%llu,%llu,%s,%s,%s,%s,%s,%s,%s,%s,%llu,%llu,%llu,%s,%s\r\n",
            line->tariff != NULL ? (long long)line->tariff->version : 0,
            line->is_late ? "true" : "false", line->is_taken_back ? "true" : "false",
            line->kind == DYNO_LINE_USAGE ? dyno_usage_kind_text(line->usage) : "",
            (unsigned long long)line->requests, (unsigned long long)line->items,
            dyno_i128_text(sign * (dyno_i128)line->device_ns, device_ns),
            dyno_i128_text(dyno_line_has_usage(line) ? sign * (dyno_i128)line->reference_ns : 0,
                           reference_ns),
            words.unit, words.quantity, words.unit_price, words.exact, words.amount,
            invoice->statement->currency->code, (unsigned long long)line->lapsed,
            (unsigned long long)line->unclaimed, (unsigned long long)line->suspended,
            invoice->number, issued);
    }
}

enum dyno_status dyno_invoice_print(const struct dyno_invoice *invoice,
                                    enum dyno_invoice_format format, bool with_header,
                                    struct dyno_strbuf *out, struct dyno_err *err)
{
    switch (format) {
    case DYNO_INVOICE_TEXT:
        print_text(invoice, out);
        break;
    case DYNO_INVOICE_JSON:
        dyno_invoice_json(invoice, out);
        break;
    case DYNO_INVOICE_CSV:
        print_csv(invoice, with_header, out);
        break;
    case DYNO_INVOICE_HTML:
        dyno_invoice_html(invoice, out);
        break;
    case DYNO_INVOICE_FOCUS:
        dyno_invoice_focus(invoice, with_header, out);
        break;
    }
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_NOMEM(err);
}
