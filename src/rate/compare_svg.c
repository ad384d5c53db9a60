/* compare_svg.c - tariffs side by side as a picture. */
#include <string.h>

#include "rate/compare.h"
#include "rate/document.h"

#define WIDTH      760
#define LEFT       150
#define BAR_ROOM   520 /* the longest bar */
#define BAR_HEIGHT 18
#define TOP        64
#define TENANT_MAX 8 /* shades; the rest is one */

static const char *const shades[TENANT_MAX] = {"#2b5c8a", "#e08a2e", "#4f9d69", "#a44a5f",
                                               "#7a6bb0", "#3aa6a6", "#b0a13a", "#777777"};

/* Money as a length; pictures may be floating. */
static double as_units(const struct dyno_currency *currency, dyno_i128 minor)
{
    double scale = 1;
    for (int i = 0; i < currency->decimals; i++)
        scale *= 10;
    return (double)minor / scale;
}

static double largest(const struct dyno_scenario *scenarios, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        const double value =
            as_units(scenarios[i].statement->currency, scenarios[i].statement->charged_minor);
        most = value > most ? value : most;
    }
    return most > 0 ? most : 1;
}

static void bar(struct dyno_strbuf *out, double x, double y, double width, const char *shade,
                const char *title, const char *amount)
{
    dyno_strbuf_printf(
        out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"><title>", x, y,
        width > 0 ? width : 0, BAR_HEIGHT, shade);
    dyno_html_text(out, title);
    dyno_strbuf_printf(out, ": %s</title></rect>\n", amount);
}

static void label(struct dyno_strbuf *out, double x, double y, const char *anchor, const char *text)
{
    dyno_strbuf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    dyno_html_text(out, text);
    dyno_strbuf_puts(out, "</text>\n");
}

static dyno_i128 minor_of(const struct dyno_currency *currency, dyno_i128 nano)
{
    const struct dyno_ratio ratio = {
        .a = nano, .b = 1, .dens = {dyno_currency_minor(currency)}, .den_count = 1};
    dyno_i128 minor = 0;
    return dyno_ratio_round(&ratio, DYNO_ROUND_HALF_EVEN, &minor) ? minor : 0;
}

/* Under the name: device-hours that the same work would have taken more, unoptimised. */
static void tell_freed(const struct dyno_statement *statement, double y, struct dyno_strbuf *out)
{
    const double hours = ((double)statement->reference_ns - (double)statement->device_ns) / 3600e9;
    dyno_strbuf_printf(out,
                       "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" font-size=\"10\" "
                       "fill=\"#666\">%.2f device-hours freed</text>\n",
                       LEFT - 10, y + BAR_HEIGHT + 16, hours);
}

/* What tenants pay, one after the other, and under it what is left to the platform. */
static void print_scenario(const struct dyno_scenario *scenario, double y, double scale,
                           struct dyno_strbuf *out)
{
    const struct dyno_statement *statement = scenario->statement;
    char amount[DYNO_MONEY_ROOM];
    double x = LEFT;
    label(out, LEFT - 10, y + 14, "end", scenario->name);
    tell_freed(statement, y, out);
    for (size_t i = 0; i < statement->account_count; i++) {
        const struct dyno_account *account = &statement->accounts[i];
        const double width = as_units(statement->currency, account->total_minor) * scale;
        bar(out, x, y, width, shades[i < TENANT_MAX ? i : TENANT_MAX - 1], account->tenant,
            dyno_minor_text(statement->currency, account->total_minor, amount));
        x += width > 0 ? width : 0;
    }
    label(out, x + 6, y + 14, "start",
          dyno_minor_text(statement->currency, statement->charged_minor, amount));
    if (statement->cost_nano < 0)
        return;
    const dyno_i128 left = statement->revenue_nano - statement->cost_nano;
    const double width = (double)left / 1e9 * scale;
    bar(out, LEFT, y + BAR_HEIGHT + 2, width, "#b9c4ce", "left to the platform",
        dyno_minor_text(statement->currency, minor_of(statement->currency, left), amount));
    label(out, LEFT + (width > 0 ? width : 0) + 6, y + BAR_HEIGHT + 16, "start", amount);
}

void dyno_compare_svg(const struct dyno_scenario *scenarios, size_t count, struct dyno_strbuf *out)
{
    const struct dyno_statement *first = scenarios[0].statement;
    const int height = TOP + (int)count * 54 + 16;
    dyno_strbuf_printf(out,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                       "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                       "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                       WIDTH, height, WIDTH, height);
    if (first->currency != NULL) {
        const double scale = BAR_ROOM / largest(scenarios, count);
        double x = LEFT;
        dyno_strbuf_printf(out,
                           "<text x=\"%d\" y=\"24\" font-size=\"15\" font-weight=\"bold\">"
                           "The same work under each tariff, %s</text>\n",
                           LEFT, first->currency->code);
        for (size_t i = 0; i < first->account_count && i < TENANT_MAX; i++) {
            dyno_strbuf_printf(
                out, "<rect x=\"%.1f\" y=\"36\" width=\"10\" height=\"10\" fill=\"%s\"/>\n", x,
                shades[i]);
            label(out, x + 14, 45, "start", first->accounts[i].tenant);
            x += 30 + 7.0 * (double)strlen(first->accounts[i].tenant);
        }
        dyno_strbuf_printf(
            out, "<rect x=\"%.1f\" y=\"36\" width=\"10\" height=\"10\" fill=\"#b9c4ce\"/>\n", x);
        label(out, x + 14, 45, "start", "left to the platform");
        for (size_t i = 0; i < count; i++)
            print_scenario(&scenarios[i], TOP + (double)i * 54, scale, out);
    }
    dyno_strbuf_puts(out, "</svg>\n");
}
