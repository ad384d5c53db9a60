/* compare_svg.c - tariffs side by side as a picture. */
#include <stdio.h>
#include <string.h>

#include "rate/compare.h"
#include "rate/document.h"

#define WIDTH      760
#define LEFT_MIN   150
#define LEFT_MAX   330
#define END_ROOM   90 /* for the amount behind the longest bar */
#define LETTER     6.8
#define NAME_BYTES 40 /* that are shown of a name */
#define KEY_HEIGHT 18
#define BAR_HEIGHT 18
#define KEY_TOP    36
#define ROW_HEIGHT 54
#define TENANT_MAX 8 /* shades; the last one is that of all others when there are more tenants */

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

struct picture {
    const struct dyno_scenario *scenarios;
    size_t count, tenant_count;
    double left, scale; /* where bars begin, and how long an amount is */
    struct dyno_strbuf *out;
};

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

static double width_of(const char *name)
{
    const size_t bytes = strlen(name);
    return LETTER * (double)(bytes < NAME_BYTES ? bytes : NAME_BYTES);
}

/* Room for the longest name. */
static double left_of(const struct dyno_scenario *scenarios, size_t count)
{
    double left = LEFT_MIN;
    for (size_t i = 0; i < count; i++) {
        const double width = width_of(scenarios[i].name) + 20;
        left = width > left ? width : left;
    }
    return left < LEFT_MAX ? left : LEFT_MAX;
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
    size_t bytes = strlen(text);
    char cut[NAME_BYTES + 8];
    if (bytes > NAME_BYTES) {
        bytes = NAME_BYTES - 1;
        while (bytes > 0 && ((unsigned char)text[bytes] & 0xC0) == 0x80) /* inside of a letter */
            bytes--;
        (void)snprintf(cut, sizeof(cut), "%.*s\xE2\x80\xA6", (int)bytes, text);
        text = cut;
    }
    dyno_strbuf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    dyno_html_text(out, text);
    dyno_strbuf_puts(out, "</text>\n");
}

/* The shade of the tenant of that place, and whether it is that of several. */
static const char *shade_of(const struct picture *picture, size_t tenant, bool *is_others_out)
{
    *is_others_out = picture->tenant_count > TENANT_MAX && tenant + 1 >= TENANT_MAX;
    return shades[tenant < TENANT_MAX ? tenant : TENANT_MAX - 1];
}

/* Under the name: device-hours that the same work would have taken more, unoptimised. */
static void tell_freed(const struct picture *picture, const struct dyno_statement *statement,
                       double y)
{
    const double hours = ((double)statement->reference_ns - (double)statement->device_ns) / 3600e9;
    dyno_strbuf_printf(picture->out,
                       "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" font-size=\"10\" "
                       "fill=\"#666\">%.2f device-hours freed</text>\n",
                       picture->left - 10, y + BAR_HEIGHT + 16, hours);
}

/* What tenants pay, one after the other, and under it what is left to the platform. */
static void print_scenario(const struct picture *picture, size_t idx, double y)
{
    const struct dyno_statement *statement = picture->scenarios[idx].statement;
    struct dyno_strbuf *out = picture->out;
    struct dyno_compare_row row = {.tenant = NULL};
    char amount[DYNO_MONEY_ROOM];
    double x = picture->left;
    label(out, picture->left - 10, y + 14, "end", picture->scenarios[idx].name);
    tell_freed(picture, statement, y);
    for (size_t i = 0; dyno_compare_next(picture->scenarios, picture->count, &row); i++) {
        const struct dyno_account *account = row.accounts[idx];
        bool is_others = false;
        if (account == NULL)
            continue;
        const double width = as_units(statement->currency, account->total_minor) * picture->scale;
        bar(out, x, y, width, shade_of(picture, i, &is_others), account->tenant,
            dyno_minor_text(statement->currency, account->total_minor, amount));
        x += width > 0 ? width : 0;
    }
    label(out, x + 6, y + 14, "start",
          dyno_minor_text(statement->currency, statement->charged_minor, amount));
    if (statement->cost_nano < 0)
        return;
    const dyno_i128 left = statement->revenue_nano - statement->cost_nano;
    const double width = (double)left / 1e9 * picture->scale;
    bar(out, picture->left, y + BAR_HEIGHT + 2, width, "#b9c4ce", "left to the platform",
        dyno_minor_text(statement->currency, dyno_money_minor(statement->currency, left), amount));
    label(out, picture->left + (width > 0 ? width : 0) + 6, y + BAR_HEIGHT + 16, "start", amount);
}

/* One square with its meaning; a new line where this one is full. */
static void add_key(const struct picture *picture, double *x, double *y, const char *shade,
                    const char *name)
{
    const double width = 30 + width_of(name);
    if (*x > picture->left && *x + width > WIDTH) {
        *x = picture->left;
        *y += KEY_HEIGHT;
    }
    dyno_strbuf_printf(picture->out,
                       "<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\" fill=\"%s\"/>\n", *x,
                       *y, shade);
    label(picture->out, *x + 14, *y + 9, "start", name);
    *x += width;
}

/* Returns where the rows begin. */
static double print_keys(const struct picture *picture)
{
    struct dyno_compare_row row = {.tenant = NULL};
    double x = picture->left;
    double y = KEY_TOP;
    bool is_others = false;
    for (size_t i = 0; !is_others && dyno_compare_next(picture->scenarios, picture->count, &row);
         i++) {
        const char *shade = shade_of(picture, i, &is_others);
        add_key(picture, &x, &y, shade, is_others ? "others" : row.tenant);
    }
    add_key(picture, &x, &y, "#b9c4ce", "left to the platform");
    return y + KEY_HEIGHT + 10;
}

void dyno_compare_svg(const struct dyno_scenario *scenarios, size_t count, struct dyno_strbuf *out)
{
    struct dyno_strbuf inside = {0};
    struct picture picture = {
        .scenarios = scenarios, .count = count, .left = left_of(scenarios, count), .out = &inside};
    struct dyno_compare_row row = {.tenant = NULL};
    while (dyno_compare_next(scenarios, count, &row))
        picture.tenant_count++;
    picture.scale = (WIDTH - END_ROOM - picture.left) / largest(scenarios, count);
    dyno_strbuf_printf(&inside,
                       "<text x=\"%.1f\" y=\"24\" font-size=\"15\" font-weight=\"bold\">"
                       "The same work under each tariff, %s</text>\n",
                       picture.left, scenarios[0].statement->currency->code);
    const double top = print_keys(&picture);
    const double height = top + ROW_HEIGHT * (double)count + 16;
    for (size_t i = 0; i < count; i++)
        print_scenario(&picture, i, top + ROW_HEIGHT * (double)i);
    dyno_strbuf_printf(out,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
                       "viewBox=\"0 0 %d %.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
                       "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                       WIDTH, height, WIDTH, height);
    dyno_strbuf_puts(out, dyno_strbuf_text(&inside));
    out->failed = out->failed || inside.failed;
    dyno_strbuf_puts(out, "</svg>\n");
    dyno_strbuf_fini(&inside);
}
