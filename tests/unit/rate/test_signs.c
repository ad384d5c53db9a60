/* test_signs.c - amounts below the least one: what is used makes no credit by rounding, and no
 * figure of any document is a zero below 0. */
#include <ctype.h>
#include <stdio.h>

#include "desk.h"
#include "rate/invoice.h"
#include "unit/meter/random.h"

#define BOOK(currency, mode, factor)                                                           \
    "{\"tariffs\": [{\"name\": \"t\", \"version\": 1, \"currency\": \"" currency               \
    "\", \"kind\": \"flat-epu\", \"epu_hour\": \"3\", \"cold_start\": true, "                  \
    "\"device_hour\": \"3\", \"residency\": {\"floor\": \"0.5\", \"device_bytes\": 1000000}, " \
    "\"tiers\": {\"mode\": \"" mode "\", \"steps\": [{\"up_to_epu_hours\": \"0.001\", "        \
    "\"factor\": \"1\"}, {\"factor\": \"" factor "\"}]}}], \"grants\": [{\"tariff\": \"t\"}]}"

enum { FIRST = 1000000, NEXT = 2000000, NAME_COUNT = 9 };

static const char *const names[NAME_COUNT] = {"", "a", "b", "m", "n", "v", "fast", "slow", "fp32"};

static uint32_t draw(uint32_t below)
{
    return (uint32_t)random_below(below);
}

static int64_t no_speed_up(void *arg, const char *certificate)
{
    (void)arg;
    (void)certificate;
    return DYNO_PPM;
}

/* Mostly less than the half of a cent. */
static struct dyno_usage tiny(bool may_be_late)
{
    static const enum dyno_usage_kind kinds[] = {DYNO_USAGE_DELIVERED,  DYNO_USAGE_DELIVERED,
                                                 DYNO_USAGE_DELIVERED,  DYNO_USAGE_FAILED,
                                                 DYNO_USAGE_COLD_START, DYNO_USAGE_RESIDENCY};
    const enum dyno_usage_kind kind = kinds[draw(DYNO_COUNT(kinds))];
    const uint64_t ns = draw(3) == 0 ? draw(2000) : (uint64_t)draw(3000) * 4000000U;
    const bool is_late = may_be_late && draw(2) == 0;
    return (struct dyno_usage){
        .kind = kind,
        .key = {.tenant = 1 + draw(2),
                .model = 3 + draw(2),
                .variant = 5,
                .class_name = kind == DYNO_USAGE_DELIVERED ? 6 + draw(2) : 0,
                .precision = kind == DYNO_USAGE_DELIVERED ? 8 : 0},
        .start_s = (is_late ? 500000 : FIRST) + draw(400000),
        .requests = kind == DYNO_USAGE_RESIDENCY ? 0 : 1,
        .items = 1,
        .device_ns = kind == DYNO_USAGE_RESIDENCY ? 0 : ns,
        .reference_ns = kind == DYNO_USAGE_DELIVERED ? ns : 0,
        .byte_ns = kind == DYNO_USAGE_RESIDENCY ? (dyno_u128)ns * 1000 : 0,
        .is_core = draw(2) == 0,
        .is_taken_back = is_late && kind == DYNO_USAGE_DELIVERED && draw(2) == 0,
    };
}

/* A minus before nothing but zeros. */
static bool has_minus_zero(const char *text)
{
    for (const char *at = text; *at != 0; at++) {
        if (*at != '-' || !isdigit((unsigned char)at[1]) ||
            (at > text && isalnum((unsigned char)at[-1])))
            continue;
        const size_t count = strspn(at + 1, "0123456789.");
        if (strcspn(at + 1, "123456789") >= count)
            return true;
    }
    return false;
}

static size_t count_minus_zeros(const struct desk *desk)
{
    size_t count = 0;
    for (int format = DYNO_INVOICE_TEXT; format <= DYNO_INVOICE_FOCUS; format++)
        for (size_t i = 0; i < desk->statement->account_count; i++) {
            const struct dyno_invoice invoice = {.platform = "us",
                                                 .number = "",
                                                 .statement = desk->statement,
                                                 .account = &desk->statement->accounts[i]};
            struct dyno_strbuf text = {0};
            CHECK(dyno_invoice_print(&invoice, (enum dyno_invoice_format)format, true, &text,
                                     NULL) == DYNO_OK);
            count += has_minus_zero(dyno_strbuf_text(&text));
            dyno_strbuf_fini(&text);
        }
    return count;
}

/* What came out wrong, so far. */
struct signs {
    size_t totals, texts;
};

static void rate(const char *book, uint32_t form, bool may_be_late, struct signs *signs)
{
    struct desk desk;
    desk_open(&desk, book,
              (struct dyno_rater_options){.names = names,
                                          .name_count = NAME_COUNT,
                                          .speed_up_ppm = no_speed_up,
                                          .first_s = FIRST,
                                          .next_s = NEXT,
                                          .form = form});
    for (uint32_t count = 1 + draw(12); count > 0; count--) {
        const struct dyno_usage usage = tiny(may_be_late);
        CHECK(dyno_rater_add(desk.rater, &usage, NULL) == DYNO_OK);
    }
    REQUIRE(dyno_rater_finish(desk.rater, desk.arena, &desk.statement, NULL) == DYNO_OK);
    CHECK(desk.statement->form == (form != 0 ? form : DYNO_RATE_FORM));
    for (size_t i = 0; i < desk.statement->account_count; i++)
        signs->totals += desk.statement->accounts[i].total_minor < 0;
    const dyno_i128 minor = desk.statement->currency != NULL
                                ? (dyno_i128)dyno_currency_minor(desk.statement->currency)
                                : 0;
    CHECK(desk.statement->charged_minor * minor + desk.statement->residue_nano ==
          desk.statement->revenue_nano);
    signs->texts += count_minus_zeros(&desk);
    dyno_rater_destroy(desk.rater);
    dyno_arena_destroy(desk.arena);
}

int main(void)
{
    static const char *const books[] = {
        BOOK("USD", "graduated", "0"), BOOK("USD", "volume", "0.5"),  BOOK("JPY", "volume", "0"),
        BOOK("KWD", "volume", "0.9"),  BOOK("USD", "volume", "1.25"),
    };
    struct signs now = {0};
    struct signs late = {0};
    struct signs before = {0};
    for (int round = 0; round < 4000; round++) {
        const char *book = books[draw(DYNO_COUNT(books))];
        rate(book, 0, false, &now);
        rate(book, 0, true, &late);
        rate(book, 1, draw(2) == 0, &before);
    }
    CHECK_MSG(now.totals == 0 && now.texts == 0, "%zu totals, %zu texts", now.totals, now.texts);
    CHECK(late.totals > 0); /* more may be taken back than is used */
    CHECK_MSG(late.texts == 0, "%zu texts", late.texts);
    CHECK(before.totals > 0 && before.texts > 0); /* as it was, and is made again */
    return TEST_RESULT();
}
