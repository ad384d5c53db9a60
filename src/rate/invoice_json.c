/* invoice_json.c - an account for a program: exact amounts as texts, nanoseconds as texts. */
#include "base/calendar.h"
#include "base/json.h"
#include "rate/document.h"

/* What a number of JSON cannot hold everywhere is a text. */
static void wide(struct dyno_json_writer *json, const char *key, dyno_u128 value)
{
    char digits[DYNO_U128_TEXT_ROOM];
    dyno_json_put_str(json, key, dyno_u128_text(value, digits));
}

static void signed_wide(struct dyno_json_writer *json, const char *key,
                        const struct dyno_line *line, dyno_u128 value)
{
    char digits[DYNO_U128_TEXT_ROOM];
    const dyno_i128 sign = line->is_taken_back ? -1 : 1;
    dyno_json_put_str(json, key, dyno_i128_text(sign * (dyno_i128)value, digits));
}

static void print_line(const struct dyno_statement *statement, const struct dyno_line *line,
                       size_t number, struct dyno_json_writer *json)
{
    struct dyno_line_words words;
    char speed_up[DYNO_MONEY_ROOM];
    dyno_line_say(statement, line, &words);
    dyno_json_object_begin(json);
    dyno_json_put_u64(json, "line", number);
    dyno_json_put_str(json, "kind", dyno_line_kind_text(line->kind));
    if (line->kind == DYNO_LINE_USAGE)
        dyno_json_put_str(json, "usage", dyno_usage_kind_text(line->usage));
    if (line->model[0] != 0) {
        dyno_json_put_str(json, "model", line->model);
        dyno_json_put_str(json, "variant", line->variant);
    }
    if (line->kind == DYNO_LINE_USAGE) {
        dyno_json_put_str(json, "class", line->class_name);
        dyno_json_put_str(json, "precision", line->precision);
        dyno_json_put_str(json, "certificate", line->certificate);
        dyno_json_put_str(json, "speed_up", dyno_decimal_text(line->speed_up_ppm, 6, 0, speed_up));
    }
    if (line->tariff != NULL) {
        dyno_json_put_str(json, "tariff", line->tariff->name);
        dyno_json_put_i64(json, "tariff_version", line->tariff->version);
    }
    dyno_json_put_bool(json, "late", line->is_late);
    dyno_json_put_bool(json, "taken_back", line->is_taken_back);
    dyno_json_put_u64(json, "requests", line->requests);
    dyno_json_put_u64(json, "items", line->items);
    if (line->lapsed > 0)
        dyno_json_put_u64(json, "requests_after_certificate", line->lapsed);
    if (line->suspended > 0)
        dyno_json_put_u64(json, "requests_while_suspended", line->suspended);
    if (line->unclaimed > 0)
        dyno_json_put_u64(json, "requests_of_another_tariff", line->unclaimed);
    signed_wide(json, "core_ns", line, line->core_ns);
    signed_wide(json, "device_ns", line, line->device_ns);
    signed_wide(json, "reference_ns", line, line->reference_ns);
    wide(json, "memory_byte_ns", line->byte_ns);
    if (words.unit_price[0] != 0) {
        dyno_json_put_str(json, "unit", words.unit);
        dyno_json_put_str(json, "quantity", words.quantity);
        dyno_json_put_str(json, "unit_price", words.unit_price);
    }
    dyno_json_put_str(json, "exact", words.exact);
    dyno_json_put_str(json, "amount", words.amount);
    dyno_json_object_end(json);
}

static void print_sources(const struct dyno_invoice *invoice, struct dyno_json_writer *json)
{
    dyno_json_put_array_begin(json, "records");
    for (size_t i = 0; i < invoice->source_count; i++) {
        const struct dyno_invoice_source *source = &invoice->sources[i];
        dyno_json_object_begin(json);
        dyno_json_put_u64(json, "node", source->node);
        dyno_json_put_u64(json, "epoch", source->epoch);
        dyno_json_put_u64(json, "first_seq", source->first_seq);
        dyno_json_put_u64(json, "last_seq", source->last_seq);
        dyno_json_put_str(json, "root", source->root);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

void dyno_invoice_heads_json(const struct dyno_invoice_closing *closing,
                             struct dyno_json_writer *json)
{
    dyno_json_put_array_begin(json, "heads");
    for (size_t i = 0; i < closing->head_count; i++) {
        const struct dyno_invoice_head *head = &closing->heads[i];
        dyno_json_object_begin(json);
        dyno_json_put_u64(json, "node", head->node);
        dyno_json_put_u64(json, "groups", head->group_count);
        dyno_json_put_u64(json, "billed_groups", head->billed_count);
        dyno_json_put_bool(json, "signed", head->is_signed);
        if (head->is_last) {
            dyno_json_put_bool(json, "last", true);
        }
        dyno_json_put_str(json, "root", head->root);
        dyno_json_put_str(json, "head", head->text);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

static void print_closing(const struct dyno_invoice_closing *closing, struct dyno_json_writer *json)
{
    char when[DYNO_TIME_TEXT_ROOM];
    dyno_json_put_object_begin(json, "closing");
    dyno_json_put_u64(json, "number", closing->number);
    dyno_json_put_str(json, "before", closing->before);
    dyno_json_put_str(json, "billed_from", dyno_time_text(closing->billed_from_s, when));
    dyno_json_put_str(json, "tariffs", closing->tariffs);
    dyno_json_put_str(json, "factors", closing->factors);
    dyno_invoice_heads_json(closing, json);
    dyno_json_object_end(json);
}

void dyno_invoice_json(const struct dyno_invoice *invoice, struct dyno_strbuf *out)
{
    const struct dyno_statement *statement = invoice->statement;
    const struct dyno_account *account = invoice->account;
    struct dyno_json_writer json = {.out = out, .indent = 2};
    char when[DYNO_TIME_TEXT_ROOM];
    char amount[DYNO_MONEY_ROOM];
    const dyno_i128 minor = (dyno_i128)dyno_currency_minor(statement->currency);
    dyno_json_object_begin(&json);
    if (statement->form >= 2)
        dyno_json_put_u64(&json, "dyno_invoice", statement->form);
    dyno_json_put_str(&json, "platform", invoice->platform);
    dyno_json_put_str(&json, "number", invoice->number);
    dyno_json_put_str(&json, "status", invoice->closing != NULL ? "final" : "draft");
    dyno_json_put_bool(&json, "by_trial_certificates", invoice->has_trials);
    if (statement->form >= 3) {
        dyno_json_put_str_or_null(
            &json, "issued",
            invoice->closing != NULL ? dyno_day_text(invoice->closing->issued_s, when) : NULL);
        dyno_json_put_strs(&json, "seller", invoice->seller.lines, invoice->seller.line_count);
        dyno_json_put_strs(&json, "customer", invoice->customer.lines,
                           invoice->customer.line_count);
    }
    dyno_json_put_str(&json, "tenant", account->tenant);
    dyno_json_put_str(&json, "from", dyno_time_text(statement->first_s, when));
    dyno_json_put_str(&json, "until", dyno_time_text(statement->next_s, when));
    dyno_json_put_str(&json, "currency", statement->currency->code);
    dyno_json_put_array_begin(&json, "lines");
    for (size_t i = 0; i < account->line_count; i++)
        print_line(statement, &account->lines[i], i + 1, &json);
    dyno_json_array_end(&json);
    dyno_json_put_str(&json, "total",
                      dyno_minor_text(statement->currency, account->total_minor, amount));
    dyno_json_put_str(
        &json, "credit_before",
        dyno_decimal_text(account->credit_left_nano + account->credit_minor * minor, 9, 0, amount));
    dyno_json_put_str(&json, "residue", dyno_decimal_text(account->residue_nano, 9, 0, amount));
    dyno_json_put_str(&json, "credit_left",
                      dyno_decimal_text(account->credit_left_nano, 9, 0, amount));
    print_sources(invoice, &json);
    if (invoice->closing != NULL)
        print_closing(invoice->closing, &json);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(out, "\n");
}
