/* invoice_html.c - an account as a page: no script, nothing loaded, prints on A4 and Letter. */
#include <string.h>

#include "base/calendar.h"
#include "rate/document.h"

static const char style[] =
    "body{font:10pt/1.45 sans-serif;color:#111;margin:2em auto;max-width:60em;padding:0 1em}"
    "h1{font-size:17pt;margin:0}.to{margin:1.2em 0;display:grid;grid-template-columns:7em 1fr}"
    ".to span{color:#555}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th{font-weight:600;text-align:right;border-bottom:1.5pt solid #111;padding:.3em .5em}"
    "td{text-align:right;border-bottom:.5pt solid #bbb;padding:.35em .5em;vertical-align:top;"
    "white-space:nowrap}th:nth-child(-n+2),td:nth-child(-n+2){text-align:left;padding-left:0;"
    "white-space:normal}td:first-child{color:#555}small{color:#555}tfoot td{font-weight:600;border-bottom:0;"
    "border-top:1.5pt solid #111}.terms{margin-top:1.2em;white-space:pre-line}.proof{margin-top:1.6em;color:#333;font-size:8.5pt;"
    "overflow-wrap:anywhere}.draft{color:#a00}tr{break-inside:avoid}"
    "@page{margin:16mm}@media print{body{margin:0;max-width:none;padding:0}}";

void dyno_html_text(struct dyno_strbuf *out, const char *text)
{
    for (const char *at = text; *at != 0; at++) {
        switch (*at) {
        case '&':
            dyno_strbuf_puts(out, "&amp;");
            break;
        case '<':
            dyno_strbuf_puts(out, "&lt;");
            break;
        case '>':
            dyno_strbuf_puts(out, "&gt;");
            break;
        case '"':
            dyno_strbuf_puts(out, "&quot;");
            break;
        default:
            dyno_strbuf_add(out, at, 1);
        }
    }
}

static void field(struct dyno_strbuf *out, const char *name, const char *value)
{
    dyno_strbuf_printf(out, "<span>%s</span><b>", name);
    dyno_html_text(out, value);
    dyno_strbuf_puts(out, "</b>\n");
}

/* A name, and what is known of whose it is. */
static void party(struct dyno_strbuf *out, const char *title, const char *name,
                  const struct dyno_party *lines)
{
    dyno_strbuf_printf(out, "<span>%s</span><div><b>", title);
    dyno_html_text(out, name);
    dyno_strbuf_puts(out, "</b>");
    for (size_t i = 0; i < lines->line_count; i++) {
        dyno_strbuf_puts(out, "<br>");
        dyno_html_text(out, lines->lines[i]);
    }
    dyno_strbuf_puts(out, "</div>\n");
}

static void cell(struct dyno_strbuf *out, const char *text)
{
    dyno_strbuf_puts(out, "<td>");
    dyno_html_text(out, text);
}

static void print_line(const struct dyno_statement *statement, const struct dyno_line *line,
                       size_t number, struct dyno_strbuf *out)
{
    struct dyno_line_words words;
    dyno_line_say(statement, line, &words);
    dyno_strbuf_printf(out, "<tr><td>%zu<td>", number);
    dyno_html_text(out, words.title);
    dyno_strbuf_puts(out, "<br><small>");
    dyno_html_text(out, words.detail);
    if (words.items[0] != 0)
        dyno_strbuf_printf(out, "; %s", words.items);
    dyno_strbuf_puts(out, "</small><td>");
    if (line->requests > 0)
        dyno_strbuf_u64(out, line->requests);
    cell(out, words.device_hours);
    cell(out, words.epu_hours);
    cell(out, words.unit_price);
    if (words.unit_price[0] != 0)
        dyno_strbuf_printf(out, "<br><small>%s</small>", words.a_unit);
    cell(out, words.amount);
    dyno_strbuf_puts(out, "</tr>\n");
}

/* A line each: the style keeps them apart. */
static void print_terms(const struct dyno_invoice *invoice, struct dyno_strbuf *out)
{
    struct dyno_strbuf terms = {0};
    dyno_invoice_terms(invoice->statement, invoice->account, &terms);
    dyno_strbuf_puts(out, "<div class=\"terms\">");
    dyno_html_text(out, dyno_strbuf_text(&terms));
    dyno_strbuf_puts(out, "</div>\n");
    out->failed = out->failed || terms.failed;
    dyno_strbuf_fini(&terms);
}

static void print_proof(const struct dyno_invoice *invoice, struct dyno_strbuf *out)
{
    const struct dyno_account *account = invoice->account;
    const char *before = "";
    dyno_strbuf_puts(out, "<div class=\"proof\">");
    for (size_t i = 0; i < account->line_count; i++) {
        const struct dyno_line *line = &account->lines[i];
        if (line->certificate[0] == 0 || strcmp(line->certificate, before) == 0)
            continue;
        dyno_strbuf_puts(out, "Certificate of ");
        dyno_html_text(out, line->model);
        dyno_strbuf_puts(out, " / ");
        dyno_html_text(out, line->variant);
        dyno_strbuf_puts(out, ": ");
        dyno_html_text(out, line->certificate);
        dyno_strbuf_puts(out, "<br>\n");
        before = line->certificate;
    }
    for (size_t i = 0; i < invoice->source_count; i++) {
        const struct dyno_invoice_source *source = &invoice->sources[i];
        dyno_strbuf_printf(out, "Records %u-%u-%llu to %llu", source->node, source->epoch,
                           (unsigned long long)source->first_seq,
                           (unsigned long long)source->last_seq);
        if (source->root[0] != 0) {
            dyno_strbuf_puts(out, ", root ");
            dyno_html_text(out, source->root);
        }
        dyno_strbuf_puts(out, "<br>\n");
    }
    for (size_t i = 0; invoice->closing != NULL && i < invoice->closing->head_count; i++) {
        const struct dyno_invoice_head *head = &invoice->closing->heads[i];
        dyno_strbuf_printf(out, "Head of node %u over %llu groups, %s%s, root ", head->node,
                           (unsigned long long)head->group_count,
                           head->is_signed ? "signed" : "not signed",
                           head->is_last ? ", the last one" : "");
        dyno_html_text(out, head->root);
        dyno_strbuf_puts(out, "<br>\n");
    }
    if (invoice->closing != NULL) {
        dyno_strbuf_printf(out, "Closing %llu, by the tariffs ",
                           (unsigned long long)invoice->closing->number);
        dyno_html_text(out, invoice->closing->tariffs);
        dyno_strbuf_puts(out, "<br>\n");
    }
    dyno_strbuf_puts(out, "</div>\n");
}

/* Whole days as people say them, the last one included; else the times as they are. */
static void print_period(const struct dyno_statement *statement, struct dyno_strbuf *out)
{
    char first[DYNO_TIME_TEXT_ROOM];
    char next[DYNO_TIME_TEXT_ROOM];
    const bool is_days =
        statement->first_s % DYNO_DAY_S == 0 && statement->next_s % DYNO_DAY_S == 0;
    (void)dyno_time_text(statement->first_s, first);
    (void)dyno_time_text(is_days ? statement->next_s - 1 : statement->next_s, next);
    if (is_days)
        dyno_strbuf_printf(out, "<span>Period</span><b>%.10s to %.10s, whole days, UTC</b>\n",
                           first, next);
    else
        dyno_strbuf_printf(out, "<span>Period</span><b>%s until %s</b>\n", first, next);
}

void dyno_invoice_html(const struct dyno_invoice *invoice, struct dyno_strbuf *out)
{
    const struct dyno_statement *statement = invoice->statement;
    const struct dyno_account *account = invoice->account;
    char total[DYNO_MONEY_ROOM];
    char issued[DYNO_TIME_TEXT_ROOM];
    const bool is_final = invoice->closing != NULL;
    const char *title = account->total_minor < 0 ? "Credit note" : "Invoice";
    dyno_strbuf_puts(out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
                          "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    dyno_strbuf_printf(out, "%s ", title);
    dyno_html_text(out, invoice->number);
    dyno_strbuf_puts(out, " ");
    dyno_html_text(out, account->tenant);
    dyno_strbuf_printf(out, "</title>\n<style>%s</style>\n<h1>%s%s</h1>\n<div class=\"to\">\n",
                       style, title, is_final ? "" : " <span class=\"draft\">(draft)</span>");
    party(out, "From", invoice->platform, &invoice->seller);
    party(out, "To", account->tenant, &invoice->customer);
    if (is_final)
        field(out, "Number", invoice->number);
    if (is_final && invoice->closing->form >= 3)
        field(out, "Issued", dyno_day_text(invoice->closing->issued_s, issued));
    if (invoice->has_trials)
        field(out, "Note", "By trial certificates: to be looked at, and no bill");
    print_period(statement, out);
    dyno_strbuf_printf(out,
                       "</div>\n<table><thead><tr><th>Line<th>Used<th>Requests<th>Device-hours"
                       "<th>EPU-hours<th>Price<th>%s</tr></thead>\n<tbody>\n",
                       statement->currency->code);
    for (size_t i = 0; i < account->line_count; i++)
        print_line(statement, &account->lines[i], i + 1, out);
    dyno_strbuf_printf(
        out, "</tbody><tfoot><tr><td><td>Total<td><td><td><td><td>%s</tr></tfoot></table>\n",
        dyno_minor_text(statement->currency, account->total_minor, total));
    print_terms(invoice, out);
    print_proof(invoice, out);
    dyno_strbuf_puts(out, "</html>\n");
}
