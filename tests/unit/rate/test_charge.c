/* test_charge.c - prices of single requests: what they add up to is what a line charges. */
#include "rate/charge.h"

#include "test.h"

static struct dyno_tariff tariff_of(enum dyno_tariff_kind kind)
{
    return (struct dyno_tariff){.name = "t",
                                .currency = dyno_currency_find("USD"),
                                .until_s = DYNO_TARIFF_FOREVER,
                                .kind = kind,
                                .device_hour = 3 * DYNO_NANO,
                                .epu_hour = 1700000001,
                                .share_ppm = 500000,
                                .speed_up_max_ppm = 8 * DYNO_PPM,
                                .device_cores = 7};
}

/* n requests of random size, each in its amount, against the sum at the exact price. */
static void check_sum(const struct dyno_tariff *tariff, int64_t speed_up_ppm, uint64_t mask)
{
    struct dyno_rate rate;
    dyno_u128 posted = 0;
    dyno_u128 ns = 0;
    dyno_i128 exact = 0;
    uint64_t random = 99;
    REQUIRE(dyno_rate_of(tariff, speed_up_ppm, "c", "fp16", &rate));
    for (int i = 0; i < 20000; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        const uint64_t one = (random >> 24) & mask;
        posted += dyno_rate_amount(&rate, one);
        ns += one;
    }
    struct dyno_ratio ratio = dyno_charge_unit(tariff, speed_up_ppm, "c", "fp16");
    ratio.b = (dyno_i128)ns;
    ratio.dens[ratio.den_count++] = DYNO_NS_AN_HOUR;
    if (rate.is_by_device)
        ratio.dens[ratio.den_count++] = tariff->device_cores;
    REQUIRE(dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &exact));
    const dyno_i128 whole = (dyno_i128)(posted >> DYNO_AMOUNT_FRACTION_BITS);
    CHECK(exact - whole >= 0 && exact - whole <= 1);
}

static void test_sums(void)
{
    struct dyno_factor factor = {"c", 333333333};
    for (int kind = DYNO_TARIFF_DEVICE_HOUR; kind <= DYNO_TARIFF_GAIN_SHARE; kind++) {
        struct dyno_tariff tariff = tariff_of((enum dyno_tariff_kind)kind);
        tariff.classes = &factor;
        tariff.class_count = 1;
        check_sum(&tariff, 3141592, 0xfff); /* some ns: far below a nano-unit each */
        check_sum(&tariff, 1000000, 0xffffffff);
        check_sum(&tariff, 99000000, 0x7fffffffff); /* minutes */
    }
}

static void test_tiers(void)
{
    struct dyno_tariff tariff = tariff_of(DYNO_TARIFF_FLAT_EPU);
    struct dyno_rate plain;
    struct dyno_rate tiered;
    REQUIRE(dyno_rate_of(&tariff, DYNO_PPM, "", "", &plain) && !plain.is_by_device);
    tariff.tier_mode = DYNO_TIERS_GRADUATED;
    tariff.tier_count = 2;
    tariff.tiers[0] = (struct dyno_tier){1000, DYNO_NANO};
    tariff.tiers[1] = (struct dyno_tier){UINT64_MAX, DYNO_NANO / 2};
    REQUIRE(dyno_rate_of(&tariff, DYNO_PPM, "", "", &tiered));
    CHECK(tiered.per_ns == plain.per_ns); /* less is charged: the list price is enough */
    tariff.tiers[1].factor = 2 * DYNO_NANO;
    REQUIRE(dyno_rate_of(&tariff, DYNO_PPM, "", "", &tiered));
    CHECK(tiered.per_ns / 2 == plain.per_ns); /* never too little */
}

static void test_limits(void)
{
    struct dyno_tariff tariff = tariff_of(DYNO_TARIFF_FLAT_EPU);
    struct dyno_factor factor = {"c", DYNO_TARIFF_FACTOR_MAX};
    struct dyno_rate rate;
    char text[DYNO_MONEY_ROOM];
    tariff.epu_hour = DYNO_TARIFF_PRICE_MAX;
    tariff.classes = tariff.precisions = &factor;
    tariff.class_count = tariff.precision_count = 1;
    REQUIRE(dyno_rate_of(&tariff, DYNO_PPM, "c", "c", &rate)); /* the dearest that there can be */
    CHECK(dyno_rate_amount(&rate, 0) == 0);
    CHECK(dyno_rate_amount(&rate, 1) > 0);
    CHECK(dyno_rate_amount(&rate, UINT64_MAX) == (dyno_u128)1 << 91);
    CHECK_STR(dyno_epu_text(0, text), "0");
    CHECK_STR(dyno_epu_text(3600000000000, text), "1");
    CHECK_STR(dyno_epu_text(1, text), "0");
    CHECK_STR(dyno_epu_text(4, text), "0.000000000001");
    CHECK_STR(dyno_epu_text((dyno_u128)UINT64_MAX * 1000, text), "5124095576.030431004166");
}

/* The tariff in force, and until when no other one is. */
static void test_until(void)
{
    static const char text[] =
        "{\"tariffs\": [{\"name\": \"t\", \"version\": 1, \"currency\": \"USD\", \"kind\": \"flat-epu\","
        " \"epu_hour\": \"1\", \"until\": \"2026-03-01\"},"
        " {\"name\": \"t\", \"version\": 2, \"currency\": \"USD\", \"kind\": \"flat-epu\","
        " \"epu_hour\": \"2\", \"from\": \"2026-03-01\"}],"
        " \"grants\": [{\"tenant\": \"a\", \"tariff\": \"t\", \"from\": \"2026-02-01\","
        " \"until\": \"2026-05-01\"}, {\"tenant\": \"b\", \"tariff\": \"t\", \"from\": \"2026-02-15\"}]}";
    const int64_t day_s = 86400;
    const int64_t feb_s = 20485 * day_s; /* 2026-02-01 */
    const struct dyno_tariff_book *book = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_err err = {0};
    int64_t until_s = 0;
    REQUIRE(arena != NULL);
    CHECK_MSG(dyno_tariff_book_parse(text, strlen(text), arena, &book, &err) == DYNO_OK, "%s",
              err.text);
    REQUIRE(book != NULL);
    CHECK(dyno_tariff_until(book, "a", feb_s - 1, &until_s) == NULL && until_s == feb_s);
    const struct dyno_tariff *tariff = dyno_tariff_until(book, "a", feb_s, &until_s);
    CHECK(tariff != NULL && tariff->version == 1 && until_s == feb_s + 28 * day_s);
    tariff = dyno_tariff_until(book, "a", until_s, &until_s);
    CHECK(tariff != NULL && tariff->version == 2 && until_s == feb_s + 89 * day_s);
    CHECK(dyno_tariff_until(book, "a", until_s, &until_s) == NULL);
    CHECK(until_s == DYNO_TARIFF_FOREVER);
    CHECK(dyno_tariff_until(book, "c", feb_s, &until_s) == NULL);
    dyno_arena_destroy(arena);
}

int main(void)
{
    test_sums();
    test_tiers();
    test_limits();
    test_until();
    return TEST_RESULT();
}
