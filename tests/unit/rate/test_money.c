/* test_money.c - ratios against a slower way, decimals, currencies. */
#include "rate/money.h"

#include "test.h"

static dyno_i128 round_of(dyno_i128 a, dyno_i128 b, uint64_t num, uint64_t den,
                          enum dyno_rounding rounding)
{
    const struct dyno_ratio ratio = {
        .a = a, .b = b, .nums = {num}, .num_count = 1, .dens = {den}, .den_count = 1};
    dyno_i128 out = 0;
    REQUIRE(dyno_ratio_round(&ratio, rounding, &out));
    return out;
}

static void test_rounding(void)
{
    static const struct {
        int value, den, away, even, down;
    } rows[] = {{0, 2, 0, 0, 0},   {1, 2, 1, 0, 0},     {3, 2, 2, 2, 1},      {5, 2, 3, 2, 2},
                {-1, 2, -1, 0, 0}, {-3, 2, -2, -2, -1}, {-5, 2, -3, -2, -2},  {7, 3, 2, 2, 2},
                {8, 3, 3, 3, 2},   {-8, 3, -3, -3, -2}, {499, 1000, 0, 0, 0}, {501, 1000, 1, 1, 0}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        const int value = rows[i].value;
        const uint64_t den = (uint64_t)rows[i].den;
        CHECK(round_of(value, 1, 1, den, DYNO_ROUND_HALF_AWAY) == rows[i].away);
        CHECK(round_of(value, 1, 1, den, DYNO_ROUND_HALF_EVEN) == rows[i].even);
        CHECK(round_of(value, 1, 1, den, DYNO_ROUND_DOWN) == rows[i].down);
        /* Common factors change nothing: the rounding is that of the whole ratio. */
        CHECK(round_of(value * INT64_C(1000003), 7, 6, den * 42 * UINT64_C(1000003),
                       DYNO_ROUND_HALF_EVEN) == rows[i].even);
        CHECK(round_of(value, -1, 1, den, DYNO_ROUND_HALF_AWAY) == -rows[i].away);
    }
}

/* Numbers whose products do not fit into 128 bits, on the way to a result that does. */
static void test_large(void)
{
    const dyno_i128 huge = ((dyno_i128)1 << 125) + 12345;
    const uint64_t most = UINT64_MAX;
    dyno_i128 out = 0;
    struct dyno_ratio ratio = {.a = huge, .b = huge};
    CHECK(!dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &out));
    for (size_t i = 0; i < DYNO_RATIO_MAX; i++)
        ratio.nums[i] = ratio.dens[i] = most - i;
    ratio.num_count = ratio.den_count = DYNO_RATIO_MAX;
    ratio.b = 1;
    CHECK(dyno_ratio_round(&ratio, DYNO_ROUND_HALF_EVEN, &out) && out == huge);
    ratio.b = -1;
    CHECK(dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &out) && out == -huge);
    ratio.a = ratio.b = ((dyno_i128)1 << 126) + (((dyno_i128)1 << 126) - 1); /* the largest */
    CHECK(!dyno_ratio_round(&ratio, DYNO_ROUND_HALF_AWAY, &out));
}

static void test_decimals(void)
{
    static const struct {
        const char *text;
        int decimals;
        int64_t value;
    } good[] = {{"0", 9, 0},          {"12", 0, 12},
                {"12", 2, 1200},      {"0.5", 6, 500000},
                {"-3.001", 3, -3001}, {"1.875", 9, 1875000000},
                {"007", 0, 7},        {"999999999999999", 3, INT64_C(999999999999999000)}};
    static const char *const bad[] = {"",     "-",   ".5",    "5.",  "1,5",
                                      "1e3",  " 1",  "1 ",    "+1",  "0x1",
                                      "1.23", "--1", "1.2.3", "nan", "1000000000000000",
                                      "-.5"};
    for (size_t i = 0; i < DYNO_COUNT(good); i++) {
        int64_t value = 0;
        CHECK(dyno_decimal_parse(good[i].text, good[i].decimals, "x", &value, NULL) == DYNO_OK);
        CHECK_MSG(value == good[i].value, "%s", good[i].text);
    }
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        int64_t value = 0;
        struct dyno_err err = {0};
        CHECK_MSG(dyno_decimal_parse(bad[i], 1, "price", &value, &err) == DYNO_E_ARG, "%s", bad[i]);
        CHECK_MSG(strncmp(err.text, "price: ", 7) == 0, "%s", err.text);
    }
    int64_t value = 0;
    CHECK(dyno_decimal_parse("99999999999", 9, "x", &value, NULL) == DYNO_E_ARG); /* overflows */
}

static void test_text(void)
{
    char out[DYNO_MONEY_ROOM];
    CHECK_STR(dyno_decimal_text(INT64_C(1875000000), 9, 2, out), "1.875");
    CHECK_STR(dyno_decimal_text(INT64_C(3000000000), 9, 2, out), "3.00");
    CHECK_STR(dyno_decimal_text(187500, 9, 2, out), "0.0001875");
    CHECK_STR(dyno_decimal_text(-5, 2, 2, out), "-0.05");
    CHECK_STR(dyno_decimal_text(0, 2, 2, out), "0.00");
    CHECK_STR(dyno_decimal_text(0, 9, 0, out), "0");
    CHECK_STR(dyno_decimal_text(1234, 0, 0, out), "1234");
    CHECK_STR(dyno_decimal_text(100, 2, 0, out), "1");
    const dyno_i128 least = -((dyno_i128)1 << 126) - ((dyno_i128)1 << 126);
    CHECK_STR(dyno_decimal_text(least, 9, 0, out), "-170141183460469231731687303715.884105728");
}

static void test_currencies(void)
{
    CHECK(dyno_currency_minor(dyno_currency_find("USD")) == 10000000);
    CHECK(dyno_currency_minor(dyno_currency_find("JPY")) == 1000000000);
    CHECK(dyno_currency_minor(dyno_currency_find("KWD")) == 1000000);
    CHECK(dyno_currency_find("XXX") == NULL && dyno_currency_find("usd") == NULL);
}

int main(void)
{
    test_rounding();
    test_large();
    test_decimals();
    test_text();
    test_currencies();
    return TEST_RESULT();
}
