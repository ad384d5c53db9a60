/* terms.c - how the prices of an account are made, in sentences: an invoice explains itself. */
#include "rate/charge.h"
#include "rate/document.h"
#include "rate/internal.h"

/* --- what each tariff of the account says --- */

static void say_price(const struct dyno_tariff *tariff, struct dyno_strbuf *out)
{
    char text[DYNO_MONEY_ROOM];
    const int decimals = tariff->currency->decimals;
    switch (tariff->kind) {
    case DYNO_TARIFF_DEVICE_HOUR:
        dyno_strbuf_printf(out, "a device-hour costs %s, whatever is done in it",
                           dyno_decimal_text(tariff->device_hour, 9, decimals, text));
        break;
    case DYNO_TARIFF_FLAT_EPU:
        dyno_strbuf_printf(out, "an EPU-hour costs %s",
                           dyno_decimal_text(tariff->epu_hour, 9, decimals, text));
        break;
    case DYNO_TARIFF_GAIN_SHARE:
        dyno_strbuf_printf(out, "an EPU-hour costs %s",
                           dyno_decimal_text(tariff->device_hour, 9, decimals, text));
        dyno_strbuf_printf(out, " x (1 - %s x (1 - 1 / speed-up))",
                           dyno_decimal_text(tariff->share_ppm, 6, 0, text));
        if (tariff->speed_up_max_ppm < DYNO_TARIFF_SPEED_UP_MAX)
            dyno_strbuf_printf(out, ", with a speed-up of at most %s",
                               dyno_decimal_text(tariff->speed_up_max_ppm, 6, 0, text));
        break;
    }
    if (tariff->device_cores > 1)
        dyno_strbuf_printf(out, "; a device-hour is %llu core-hours",
                           (unsigned long long)tariff->device_cores);
}

/* "EPU-hours of a period x 1 up to 1000, x 0.9 above". */
static void say_tiers(const struct dyno_tariff *tariff, struct dyno_strbuf *out)
{
    char text[DYNO_MONEY_ROOM];
    dyno_strbuf_puts(out, tariff->tier_mode == DYNO_TIERS_VOLUME ? "; all EPU-hours of a period"
                                                                 : "; EPU-hours of a period");
    for (size_t i = 0; i < tariff->tier_count; i++) {
        const struct dyno_tier *tier = &tariff->tiers[i];
        const bool is_last = i + 1 == tariff->tier_count;
        dyno_strbuf_printf(out, "%s x %s", i > 0 ? "," : "",
                           dyno_decimal_text(tier->factor, 9, 0, text));
        if (!is_last)
            dyno_strbuf_printf(out, " up to %s", dyno_hours_text(tier->up_to_ns, text));
        else if (i > 0)
            dyno_strbuf_puts(out, " above");
    }
}

void dyno_tariff_say(const struct dyno_tariff *tariff, struct dyno_strbuf *out)
{
    char text[DYNO_MONEY_ROOM];
    const int decimals = tariff->currency->decimals;
    say_price(tariff, out);
    if (tariff->tier_mode != DYNO_TIERS_NONE)
        say_tiers(tariff, out);
    if (tariff->minimum > 0)
        dyno_strbuf_printf(out, "; at least %s a period",
                           dyno_decimal_text(tariff->minimum, 9, decimals, text));
    if (tariff->floor_factor > 0) {
        dyno_strbuf_printf(out, "; an hour in which memory is held at least %s",
                           dyno_decimal_text(tariff->floor_factor, 9, 0, text));
        dyno_strbuf_printf(out, " x %s x its share of %llu bytes",
                           dyno_decimal_text(tariff->device_hour, 9, decimals, text),
                           (unsigned long long)tariff->device_bytes);
    }
    if (tariff->charges_cold_start)
        dyno_strbuf_printf(out, "; loading at %s a device-hour",
                           dyno_decimal_text(tariff->device_hour, 9, decimals, text));
}

/* Lines of a tariff follow one another. */
static void say_tariffs(const struct dyno_account *account, struct dyno_strbuf *out)
{
    const struct dyno_tariff *before = NULL;
    for (size_t i = 0; i < account->line_count; i++) {
        const struct dyno_tariff *tariff = account->lines[i].tariff;
        if (tariff != NULL && tariff != before) {
            dyno_strbuf_printf(out, "Tariff %s, version %lld: ", tariff->name,
                               (long long)tariff->version);
            dyno_tariff_say(tariff, out);
            dyno_strbuf_puts(out, "\n");
        }
        before = tariff != NULL ? tariff : before;
    }
}

/* --- what optimising saved --- */

/* Is its price made of a speed-up? */
static bool has_gain(const struct dyno_line *line)
{
    return line->kind == DYNO_LINE_USAGE && line->tariff->kind == DYNO_TARIFF_GAIN_SHARE &&
           dyno_line_is_charged(line) && !line->is_taken_back && line->speed_up_ppm > DYNO_PPM;
}

static void say_saving(const struct dyno_statement *statement, const struct dyno_account *account,
                       struct dyno_strbuf *out)
{
    dyno_i128 plain_nano = 0;
    dyno_i128 nano = 0;
    dyno_i128 minor = 0;
    char texts[3][DYNO_MONEY_ROOM];
    for (size_t i = 0; i < account->line_count; i++) {
        struct dyno_line plain = account->lines[i];
        dyno_i128 part = 0;
        if (!has_gain(&plain))
            continue;
        nano += plain.nano;
        minor += plain.minor;
        plain.speed_up_ppm = DYNO_PPM;
        const struct dyno_ratio ratio = dyno_line_charge(&plain);
        if (!dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &part))
            return;
        plain_nano += part;
    }
    const struct dyno_ratio share = {
        .a = plain_nano - nano, .b = 1000, .dens = {(uint64_t)plain_nano}, .den_count = 1};
    dyno_i128 permille = 0;
    if (plain_nano <= nano || plain_nano > UINT64_MAX ||
        !dyno_ratio_round(&share, DYNO_ROUND_DOWN, &permille))
        return;
    const struct dyno_currency *currency = statement->currency;
    dyno_strbuf_printf(
        out,
        "Unoptimised, the work of the lines with a speed-up would have cost %s; it costs %s, %s "
        "%% less.\n",
        dyno_minor_text(currency, dyno_money_minor(currency, plain_nano), texts[0]),
        dyno_minor_text(currency, minor, texts[1]), dyno_decimal_text(permille, 1, 0, texts[2]));
}

/* --- what is strange in the records --- */

struct dyno_account_doubts dyno_account_doubts(const struct dyno_account *account)
{
    struct dyno_account_doubts doubts = {0};
    for (size_t i = 0; i < account->line_count; i++) {
        doubts.lapsed += account->lines[i].lapsed;
        doubts.suspended += account->lines[i].suspended;
        doubts.unclaimed += account->lines[i].unclaimed;
    }
    return doubts;
}

static void say_doubts(const struct dyno_account *account, struct dyno_strbuf *out)
{
    const struct dyno_account_doubts doubts = dyno_account_doubts(account);
    if (doubts.lapsed > 0)
        dyno_strbuf_printf(
            out,
            "Warning: %llu request%s a certificate whose term was over; of such work "
            "at most the device time is charged.\n",
            (unsigned long long)doubts.lapsed, doubts.lapsed == 1 ? " cites" : "s cite");
    if (doubts.suspended > 0)
        dyno_strbuf_printf(
            out,
            "Warning: %llu request%s a certificate that was suspended when %s began; of such work "
            "at most the device time is charged.\n",
            (unsigned long long)doubts.suspended, doubts.suspended == 1 ? " cites" : "s cite",
            doubts.suspended == 1 ? "it" : "they");
    if (doubts.unclaimed > 0)
        dyno_strbuf_printf(
            out,
            "Warning: %llu request%s another version of the tariff than the book has "
            "for that time; the book is charged by.\n",
            (unsigned long long)doubts.unclaimed,
            doubts.unclaimed == 1 ? " was recorded under" : "s were recorded under");
}

/* A credit of the least amount for what cost less than that is no mistake. */
static void say_taken_back(const struct dyno_account *account, struct dyno_strbuf *out)
{
    for (size_t i = 0; i < account->line_count; i++)
        if (account->lines[i].is_taken_back) {
            dyno_strbuf_puts(out,
                             "What is taken back is the exact amount of those records, rounded "
                             "by itself: it may differ by a least amount from what they were "
                             "charged with others.\n");
            return;
        }
}

void dyno_invoice_terms(const struct dyno_statement *statement, const struct dyno_account *account,
                        struct dyno_strbuf *out)
{
    say_tariffs(account, out);
    dyno_strbuf_puts(out, "An EPU-hour is what the reference device does in an hour with the model "
                          "unoptimised; device-hours are what it took.\n");
    say_saving(statement, account, out);
    say_taken_back(account, out);
    say_doubts(account, out);
}
