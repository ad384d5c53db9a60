/* document.h - what the forms of an invoice share: a line as texts. */
#ifndef DYNO_RATE_DOCUMENT_H
#define DYNO_RATE_DOCUMENT_H

#include "base/json.h"
#include "rate/invoice.h"

/* A line in the words of a person, and its figures; texts live as long as this. */
struct dyno_line_words {
    char title[320];                  /* "resnet / fp32" */
    char detail[320];                 /* "realtime x 1.5, fp32, speed-up 4, of an earlier period" */
    char items[40];                   /* "20000 items"; "" without */
    const char *unit, *a_unit;        /* "EPU-hour", "device-hour", ""; "an EPU-hour" */
    char quantity[DYNO_MONEY_ROOM];   /* in that unit; "" without */
    char unit_price[DYNO_MONEY_ROOM]; /* "" without */
    char device_hours[DYNO_MONEY_ROOM]; /* "" where there are none */
    char epu_hours[DYNO_MONEY_ROOM];
    char amount[DYNO_MONEY_ROOM];
    char exact[DYNO_MONEY_ROOM]; /* to the nano-unit */
};
void dyno_line_say(const struct dyno_statement *statement, const struct dyno_line *line,
                   struct dyno_line_words *words_out);

/* How the prices of an account are made, what the units are, what optimising saved: lines. */
void dyno_invoice_terms(const struct dyno_statement *statement, const struct dyno_account *account,
                        struct dyno_strbuf *out);

/* One text of CSV (RFC 4180), with quotes where it needs them. */
void dyno_csv_text(struct dyno_strbuf *out, const char *text);
/* Text inside HTML, or inside a quoted attribute. */
void dyno_html_text(struct dyno_strbuf *out, const char *text);

void dyno_invoice_html(const struct dyno_invoice *invoice, struct dyno_strbuf *out);
void dyno_invoice_json(const struct dyno_invoice *invoice, struct dyno_strbuf *out);
/* The member "heads" of an object. */
void dyno_invoice_heads_json(const struct dyno_invoice_closing *closing,
                             struct dyno_json_writer *json);
void dyno_invoice_focus(const struct dyno_invoice *invoice, bool with_header,
                        struct dyno_strbuf *out);

#endif /* DYNO_RATE_DOCUMENT_H */
