/* test_invoice.c - documents of a statement: figures, hostile names, the rules of FOCUS. */
#include "rate/compare.h"
#include "rate/invoice.h"

#include "base/json.h"
#include "test.h"

#define FIRST_S INT64_C(1793491200) /* 2026-11-01 */
#define NEXT_S  INT64_C(1796083200)
#define HOUR_NS UINT64_C(3600000000000)

static const char *const names[] = {"",     "acme",     "<b>\"x\", & co", "resnet",
                                    "fp32", "realtime", "sha256:0b91"};
static struct dyno_arena *arena;

static int64_t speed_up(void *arg, const char *certificate)
{
    (void)arg;
    (void)certificate;
    return 4 * DYNO_PPM;
}

static const struct dyno_tariff_book *book_of(const char *text)
{
    const struct dyno_tariff_book *book = NULL;
    REQUIRE(dyno_tariff_book_parse(text, strlen(text), arena, &book, NULL) == DYNO_OK);
    return book;
}

static const char gain_share[] =
    "{\"tariffs\": [{\"name\": \"gain\", \"version\": 3, \"currency\": \"USD\", \"kind\":"
    " \"gain-share\", \"device_hour\": \"3\", \"share\": \"0.5\", \"cost_hour\": \"1.8\"},"
    "{\"name\": \"old\", \"version\": 1, \"currency\": \"USD\", \"kind\": \"device-hour\","
    " \"device_hour\": \"3\", \"cost_hour\": \"1.8\"}], \"grants\": [{\"tariff\": \"gain\"}]}";

/* A device-hour of each tenant at a speed-up of 4, and a failed request of the first. */
static const struct dyno_statement *statement_by(const char *book, const char *tariff)
{
    const struct dyno_rater_options options = {.book = book_of(book),
                                               .tariff = tariff,
                                               .names = names,
                                               .name_count = DYNO_COUNT(names),
                                               .speed_up_ppm = speed_up,
                                               .first_s = FIRST_S,
                                               .next_s = NEXT_S};
    struct dyno_rater *rater = NULL;
    struct dyno_statement *statement = NULL;
    REQUIRE(dyno_rater_create(&options, &rater, NULL) == DYNO_OK);
    for (uint32_t tenant = 1; tenant <= 2; tenant++) {
        struct dyno_usage usage = {.key = {tenant, 3, 4, 5, 4, 6},
                                   .start_s = FIRST_S,
                                   .requests = 40000,
                                   .items = 40000,
                                   .device_ns = HOUR_NS,
                                   .reference_ns = 4 * HOUR_NS};
        REQUIRE(dyno_rater_add(rater, &usage, NULL) == DYNO_OK);
        usage.kind = DYNO_USAGE_FAILED;
        usage.requests = 1;
        usage.device_ns = 1234567;
        usage.reference_ns = 0;
        if (tenant == 1)
            REQUIRE(dyno_rater_add(rater, &usage, NULL) == DYNO_OK);
    }
    REQUIRE(dyno_rater_finish(rater, arena, &statement, NULL) == DYNO_OK);
    dyno_rater_destroy(rater);
    return statement;
}

static const struct dyno_statement *statement_of(const char *tariff)
{
    return statement_by(gain_share, tariff);
}

static const struct dyno_invoice_source source = {1, 17, 1, 40001, "5ca1ab1e"};

static char *print(const struct dyno_statement *statement, size_t account,
                   enum dyno_invoice_format format)
{
    const struct dyno_invoice invoice = {.platform = "Example GmbH & Co",
                                         .number = account == 0 ? "2026-11-7" : "",
                                         .statement = statement,
                                         .account = &statement->accounts[account],
                                         .sources = &source,
                                         .source_count = 1};
    struct dyno_strbuf out = {0};
    REQUIRE(dyno_invoice_print(&invoice, format, true, &out, NULL) == DYNO_OK);
    char *copy = dyno_arena_strdup(arena, dyno_strbuf_text(&out));
    dyno_strbuf_fini(&out);
    return copy;
}

static void test_text(const struct dyno_statement *statement)
{
    const char *text = print(statement, 1, DYNO_INVOICE_TEXT);
    CHECK(strstr(text, "INVOICE from Example GmbH & Co\nNumber") == NULL); /* a draft */
    CHECK(strstr(text, "DRAFT INVOICE from Example GmbH & Co\nTo       acme\n") != NULL);
    CHECK(strstr(text,
                 "  1 resnet / fp32                      40000              1              4"
                 "          1.875         7.50\n"
                 "      realtime, fp32, speed-up 4.00; 40000 items; price of an EPU-hour\n") !=
          NULL);
    CHECK(strstr(text, "failed: free") != NULL);
    CHECK(strstr(text, "Records  1-17-1 to 40001, root 5ca1ab1e") != NULL);
}

/* How its prices are made, in sentences; of the tariffs that it has, once each. */
static void test_terms(void)
{
    static const struct {
        const char *fields, *says, *detail;
    } rows[] = {
        {"\"kind\": \"gain-share\", \"device_hour\": \"3\", \"share\": \"0.5\","
         " \"classes\": {\"realtime\": \"1.5\", \"batch\": \"2\"}, \"precisions\": {\"fp32\": \"0.9\"},"
         " \"minimum\": \"100\"",
         "Tariff t, version 2: an EPU-hour costs 3.00 x (1 - 0.5 x (1 - 1 / speed-up)); at least "
         "100.00 a period\n"
         "An EPU-hour is what the reference device does in an hour with the model unoptimised; "
         "device-hours are what it took.\n"
         "Unoptimised, the work of the lines with a speed-up would have cost 16.20; it costs "
         "10.13, 37.5 % less.\n\nCertificate",
         "realtime x 1.5, fp32 x 0.9, speed-up 4.00; 40000 items;"},
        {"\"kind\": \"gain-share\", \"device_hour\": \"3\", \"share\": \"1\","
         " \"speed_up_max\": \"2.5\", \"device_cores\": 8",
         "x (1 - 1 x (1 - 1 / speed-up)), with a speed-up of at most 2.5; a device-hour is 8 "
         "core-hours\n",
         "realtime, fp32, speed-up 4.00; 40000 items;"},
        {"\"kind\": \"gain-share\", \"device_hour\": \"3\", \"share\": \"0\"",
         "what it took.\n\nCertificate", "speed-up 4.00"}, /* nothing was saved */
        {"\"kind\": \"flat-epu\", \"epu_hour\": \"2.125\"",
         "Tariff t, version 2: an EPU-hour costs 2.125\nAn EPU-hour is",
         "realtime, fp32, speed-up 4.00; 40000"},
        {"\"kind\": \"device-hour\", \"device_hour\": \"3\"",
         "Tariff t, version 2: a device-hour costs 3.00, whatever is done in it\nAn EPU-hour is",
         "price of a device-hour"}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        char book[1024];
        (void)snprintf(book, sizeof(book),
                       "{\"tariffs\": [{\"name\": \"t\", \"version\": 2, \"currency\": \"USD\","
                       " %s}], \"grants\": [{\"tariff\": \"t\"}]}",
                       rows[i].fields);
        const char *text = print(statement_by(book, NULL), 1, DYNO_INVOICE_TEXT);
        CHECK_MSG(strstr(text, rows[i].says) != NULL, "row %zu: %s", i, text);
        CHECK_MSG(strstr(text, rows[i].detail) != NULL, "row %zu: %s", i, text);
        const char *once = strstr(text, "Tariff t,");
        CHECK(once != NULL && strstr(once + 1, "Tariff t,") == NULL);
    }
}

static void test_html(const struct dyno_statement *statement)
{
    const char *page = print(statement, 0, DYNO_INVOICE_HTML);
    CHECK(strstr(page, "<b>\"x\"") == NULL);
    CHECK(strstr(page, "&lt;b&gt;&quot;x&quot;, &amp; co") != NULL);
    CHECK(strstr(page, "http") == NULL && strstr(page, "<script") == NULL);
    CHECK(strstr(page, "7.50") != NULL && strstr(page, "2026-11-7") != NULL);
    CHECK(strstr(page, "<div class=\"terms\">Tariff gain, version 3: an EPU-hour costs 3.00 x") !=
          NULL);
}

static void test_json(const struct dyno_statement *statement)
{
    const char *text = print(statement, 1, DYNO_INVOICE_JSON);
    const struct dyno_json *root = NULL;
    REQUIRE(dyno_json_parse(text, strlen(text), arena, &root, NULL) == DYNO_OK);
    CHECK_STR(dyno_json_find(root, "total")->text, "7.50");
    CHECK_STR(dyno_json_find(root, "status")->text, "draft");
    CHECK_STR(dyno_json_find(dyno_json_find(root, "lines")->first, "exact")->text, "7.50");
    CHECK_STR(dyno_json_find(dyno_json_find(root, "lines")->first, "device_ns")->text,
              "3600000000000");
}

/* The fields of a CSV row, quotes taken off; destroys the row. */
static size_t split(char *row, char **fields, size_t max)
{
    size_t count = 0;
    for (char *at = row; count < max; at++) {
        char *to = at;
        fields[count++] = at;
        if (*at == '"') {
            for (at++; *at != '"' || *++at == '"'; at++)
                *to++ = *at;
        } else {
            while (*at != ',' && *at != '\r' && *at != 0)
                *to++ = *at++;
        }
        const char end = *at;
        *to = 0;
        if (end != ',')
            break;
    }
    return count;
}

static void test_focus(const struct dyno_statement *statement)
{
    static const char *const mandatory[] = {
        "BilledCost",         "BillingAccountId",   "BillingAccountName", "BillingCurrency",
        "BillingPeriodEnd",   "BillingPeriodStart", "ChargeCategory",     "ChargeClass",
        "ChargeDescription",  "ChargePeriodEnd",    "ChargePeriodStart",  "ContractedCost",
        "EffectiveCost",      "HostProviderName",   "InvoiceIssuerName",  "ListCost",
        "PricingQuantity",    "PricingUnit",        "ServiceCategory",    "ServiceName",
        "ServiceProviderName"};
    char *text = print(statement, 0, DYNO_INVOICE_FOCUS);
    char *heads[64];
    char *cells[64];
    char *second = strstr(text, "\r\n");
    REQUIRE(second != NULL);
    const size_t head_count = split(text, heads, DYNO_COUNT(heads));
    const size_t cell_count = split(second + 2, cells, DYNO_COUNT(cells));
    CHECK(head_count == cell_count && head_count > DYNO_COUNT(mandatory));
    for (size_t i = 0; i < DYNO_COUNT(mandatory); i++) {
        bool found = false;
        for (size_t k = 0; k < head_count; k++)
            found = found || strcmp(heads[k], mandatory[i]) == 0;
        CHECK_MSG(found, "%s", mandatory[i]);
    }
    for (size_t k = 0; k < cell_count; k++) {
        if (strcmp(heads[k], "BilledCost") == 0)
            CHECK_STR(cells[k], "7.50");
        if (strcmp(heads[k], "ListCost") == 0)
            CHECK_STR(cells[k], "7.50");
        if (strcmp(heads[k], "PricingUnit") == 0)
            CHECK_STR(cells[k], "EPU-Hours");
        if (strcmp(heads[k], "BillingAccountId") == 0)
            CHECK_STR(cells[k], names[2]);
        if (strcmp(heads[k], "SkuPriceId") == 0)
            CHECK_STR(cells[k], "inference/gain/3/realtime/fp32/sha256:0b91");
    }
}

static void test_compare(void)
{
    const struct dyno_scenario scenarios[] = {{"in force", statement_of(NULL)},
                                              {"device-hour", statement_of("old")}};
    struct dyno_strbuf out = {0};
    dyno_compare_text(scenarios, 2, &out);
    const char *text = dyno_strbuf_text(&out);
    CHECK(strstr(text, "acme                                     7.50               3.00") != NULL);
    CHECK(strstr(text, "all tenants pay                         15.00               6.00") != NULL);
    CHECK(strstr(text, "left to the platform       ") != NULL);
    CHECK(strstr(text, "device-hours freed                          6") != NULL);
    dyno_strbuf_clear(&out);
    dyno_compare_svg(scenarios, 2, &out);
    CHECK(strstr(dyno_strbuf_text(&out), "&lt;b&gt;") != NULL);
    CHECK(strstr(dyno_strbuf_text(&out), "15.00") != NULL);
    dyno_strbuf_clear(&out);
    dyno_compare_json(scenarios, 2, &out);
    const struct dyno_json *root = NULL;
    CHECK(dyno_json_parse(dyno_strbuf_text(&out), out.bytes, arena, &root, NULL) == DYNO_OK);
    dyno_strbuf_fini(&out);
}

static size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        count++;
    return count;
}

/* Tenants under the one tariff, under the other, under both; more than there are shades; a name
 * that is long. */
static void test_compare_many(void)
{
    static struct dyno_account accounts[2][10];
    static char tenants[12][160];
    struct dyno_statement statements[2] = {*statement_of(NULL), *statement_of(NULL)};
    for (int i = 0; i < 12; i++)
        (void)snprintf(tenants[i], sizeof(tenants[i]), "tenant-%c%0*d", 'a' + i, i == 3 ? 140 : 1,
                       0);
    for (int i = 0; i < 10; i++) {
        accounts[0][i] = (struct dyno_account){.tenant = tenants[i], .total_minor = 100 + i};
        accounts[1][i] = (struct dyno_account){.tenant = tenants[i + 2], .total_minor = 200 + i};
    }
    for (int s = 0; s < 2; s++) {
        statements[s].accounts = accounts[s];
        statements[s].account_count = 10;
    }
    const struct dyno_scenario scenarios[] = {{"gain-share,a=0.25,p=3.50", &statements[0]},
                                              {"gain-share,a=0.25,p=3.75", &statements[1]}};
    struct dyno_compare_row row = {.tenant = NULL};
    for (int i = 0; i < 12; i++) {
        REQUIRE(dyno_compare_next(scenarios, 2, &row));
        CHECK_STR(row.tenant, tenants[i]);
        CHECK(row.accounts[0] == (i < 10 ? &accounts[0][i] : NULL));
        CHECK(row.accounts[1] == (i >= 2 ? &accounts[1][i - 2] : NULL));
    }
    CHECK(!dyno_compare_next(scenarios, 2, &row));
    struct dyno_strbuf out = {0};
    dyno_compare_text(scenarios, 2, &out);
    const char *text = dyno_strbuf_text(&out);
    CHECK(strstr(text, " gain-share,a=0.25,p=3.50 gain-share,a=0.25,p=3.75\n") != NULL);
    /* The longest name makes the first column as wide as it is. */
    static const char *const lines[][3] = {
        {"tenant-a0", "1.00", "0.00"}, {tenants[3], "1.03", "2.01"}, {"tenant-l0", "0.00", "2.09"}};
    for (size_t i = 0; i < DYNO_COUNT(lines); i++) {
        char line[256];
        (void)snprintf(line, sizeof(line), "\n%-148s %24s %24s\n", lines[i][0], lines[i][1],
                       lines[i][2]);
        CHECK_MSG(strstr(text, line) != NULL, "%s", line);
    }
    dyno_strbuf_clear(&out);
    dyno_compare_svg(scenarios, 2, &out);
    text = dyno_strbuf_text(&out);
    CHECK(count_of(text, ">others</text>") == 1 && count_of(text, ">tenant-") == 7 + 20);
    CHECK(count_of(text, "00\xE2\x80\xA6</text>") == 1);
    CHECK(count_of(text, "gain-share,a=0.25,p=3.75</text>") == 1);
    dyno_strbuf_fini(&out);
}

int main(void)
{
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    const struct dyno_statement *statement = statement_of(NULL);
    REQUIRE(statement->account_count == 2); /* "<b>..." sorts before "acme" */
    test_text(statement);
    test_terms();
    test_html(statement);
    test_json(statement);
    test_focus(statement);
    test_compare();
    test_compare_many();
    dyno_arena_destroy(arena);
    return TEST_RESULT();
}
