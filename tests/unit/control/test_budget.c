/* test_budget.c - budgets as rows; slices of them, which together are never more than there is. */
#include "control/lease.h"

#include "control_case.h"

static struct dyno_arena *arena;
static struct dyno_err err;

static struct dyno_tenant_budget budget_of(const char *tenant, enum dyno_term term, int64_t amount)
{
    return (struct dyno_tenant_budget){.tenant_name = tenant,
                                       .model = "",
                                       .class_name = "",
                                       .unit = "EPU",
                                       .term = term,
                                       .is_hard = true,
                                       .amount = amount,
                                       .alerts = {50, 100},
                                       .alert_count = 2};
}

static int64_t set(struct dyno_control *control, const struct dyno_tenant_budget *budget,
                   uint32_t fields)
{
    int64_t id = 0;
    err = (struct dyno_err){0};
    CHECK_MSG(dyno_control_set_budget(control, budget, fields, &id, &err) == DYNO_OK, "%s",
              err.text);
    return id;
}

/* --- periods --- */

static void test_periods(void)
{
    const int64_t day_s = 86400;
    int64_t before = -1;
    struct dyno_term_span span = dyno_term_at(DYNO_TERM_NONE, 1234567890);
    CHECK(span.number == 0 && span.first_day == 0 && span.next_s == INT64_MAX);
    span = dyno_term_at(DYNO_TERM_DAY, 10 * day_s - 1);
    CHECK(span.number == 9 && span.first_day == 9 && span.next_s == 10 * day_s);
    CHECK(dyno_term_at(DYNO_TERM_DAY, 10 * day_s).number == 10);
    /* Months are counted one by one, whatever their lengths, over leap years, too. */
    for (int64_t time_s = 0; time_s < 150 * 366 * day_s;) {
        span = dyno_term_at(DYNO_TERM_MONTH, time_s);
        CHECK(span.number == before + 1 && span.first_day * day_s == time_s);
        CHECK(dyno_term_at(DYNO_TERM_MONTH, span.next_s - 1).number == span.number);
        before = span.number;
        time_s = span.next_s;
    }
    CHECK(before > 1790);
}

static void test_alerts(void)
{
    static const char *const bad[] = {"0",   "50,50", "80,50",       "1001",
                                      "50,", ",50",   "50;6",        "x",
                                      "-1",  "5 ",    "99999999999", "1,2,3,4,5,6,7,8,9"};
    char text[DYNO_BUDGET_ALERTS_ROOM];
    struct dyno_tenant_budget budget = {0};
    CHECK(dyno_alerts_parse("1,50,1000", &budget, NULL) == DYNO_OK && budget.alert_count == 3);
    CHECK_STR(dyno_alerts_text(&budget, text), "1,50,1000");
    CHECK(dyno_alerts_parse("", &budget, NULL) == DYNO_OK && budget.alert_count == 0);
    CHECK_STR(dyno_alerts_text(&budget, text), "");
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        err = (struct dyno_err){0};
        CHECK_MSG(dyno_alerts_parse(bad[i], &budget, &err) == DYNO_E_ARG, "%s", bad[i]);
        CHECK(strstr(err.text, "is no list of alerts") != NULL);
    }
}

/* --- rows --- */

static void test_set_and_read(void)
{
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    struct dyno_tenant_budget *rows = NULL;
    size_t count = 0;
    struct dyno_tenant_budget budget = budget_of("a", DYNO_TERM_MONTH, 1000);
    CHECK(set(control, &budget, DYNO_BUDGET_AMOUNT) == 1);
    budget.model = "m";
    CHECK(set(control, &budget, DYNO_BUDGET_AMOUNT) == 2);
    budget = budget_of("", DYNO_TERM_MONTH, 7);
    CHECK(set(control, &budget, DYNO_BUDGET_AMOUNT) == 3);
    budget = budget_of("a", DYNO_TERM_MONTH, 2000); /* changed, not another one */
    CHECK(set(control, &budget, DYNO_BUDGET_AMOUNT) == 1);
    budget.is_hard = false;
    CHECK(set(control, &budget, DYNO_BUDGET_HARD) == 1);
    CHECK(dyno_control_read_budgets(control, "a", arena, &rows, &count, NULL) == DYNO_OK);
    REQUIRE(count == 3);
    CHECK(rows[0].id == 3 && rows[0].tenant == 0 && rows[0].tenant_name[0] == 0);
    CHECK(rows[1].id == 1 && rows[1].tenant == 1 && rows[1].amount == 2000 && !rows[1].is_hard);
    CHECK_STR(rows[1].tenant_name, "a");
    CHECK(rows[1].alert_count == 2 && rows[1].alerts[1] == 100 && rows[1].created_s > 0);
    CHECK_STR(rows[2].model, "m");
    /* A tenant's own stands in the place of every tenant's of the same scope. */
    const struct dyno_tenant_budget *found[2 * DYNO_TENANT_BUDGETS_MAX];
    CHECK(dyno_budgets_of(rows, count, 1, found) == 2);
    CHECK(dyno_budgets_of(rows, count, 2, found) == 1 && found[0]->id == 3);
    CHECK(dyno_control_remove(control, "a", NULL) == DYNO_OK);
    CHECK(dyno_control_read_budgets(control, NULL, arena, &rows, &count, NULL) == DYNO_OK);
    CHECK(count == 1);
    CHECK(dyno_control_remove_budget(control, 3, NULL) == DYNO_OK);
    err = (struct dyno_err){0};
    CHECK(dyno_control_remove_budget(control, 3, &err) == DYNO_E_NOT_FOUND);
    CHECK_STR(err.text, "there is no budget 3");
    dyno_control_close(control);
}

static void test_refusals(void)
{
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    int64_t id = 0;
    struct dyno_tenant_budget money = budget_of("a", DYNO_TERM_NONE, 5);
    memcpy(money.unit, "USD", 4);
    CHECK(set(control, &money, DYNO_BUDGET_AMOUNT) == 1);
    struct dyno_tenant_budget rows[8];
    const char *const says[] = {"there is no tenant 'you'",
                                "'b*' is no name of a model",
                                "'x y' is no name of a service class",
                                "a budget is of EPU, or of a currency",
                                "a budget lies between 0",
                                "a budget lies between 0",
                                "there are budgets in another currency than EUR",
                                "a new one wants an amount"};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        rows[i] = budget_of("a", DYNO_TERM_DAY, 1);
    rows[0].tenant_name = "you";
    rows[1].model = "b*";
    rows[2].class_name = "x y";
    memcpy(rows[3].unit, "us$", 4);
    rows[4].amount = -1;
    rows[5].amount = DYNO_BUDGET_AMOUNT_MAX + 1;
    memcpy(rows[6].unit, "EUR", 4);
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        err = (struct dyno_err){0};
        CHECK(dyno_control_set_budget(control, &rows[i], i == 7 ? 0 : DYNO_BUDGET_AMOUNT, &id,
                                      &err) != DYNO_OK);
        CHECK_MSG(strstr(err.text, says[i]) != NULL, "row %zu: %s", i, err.text);
    }
    CHECK(dyno_control_top_up(control, 1, 7, NULL) == DYNO_OK);
    CHECK(dyno_control_top_up(control, 1, 0, NULL) == DYNO_E_ARG);
    CHECK(dyno_control_top_up(control, 1, DYNO_BUDGET_AMOUNT_MAX - 11, NULL) == DYNO_E_ARG);
    CHECK(dyno_control_top_up(control, 9, 1, NULL) == DYNO_E_NOT_FOUND);
    rows[7].amount = 1;
    id = set(control, &rows[7], DYNO_BUDGET_AMOUNT);
    err = (struct dyno_err){0};
    CHECK(dyno_control_top_up(control, id, 1, &err) == DYNO_E_ARG);
    CHECK(strstr(err.text, "is full again with each day") != NULL);
    for (int i = 2; i < DYNO_TENANT_BUDGETS_MAX; i++) {
        char model[16];
        (void)snprintf(model, sizeof(model), "m%d", i);
        rows[7].model = model;
        (void)set(control, &rows[7], DYNO_BUDGET_AMOUNT);
    }
    rows[7].model = "one.more";
    CHECK(dyno_control_set_budget(control, &rows[7], DYNO_BUDGET_AMOUNT, &id, NULL) ==
          DYNO_E_LIMIT);
    dyno_control_close(control);
}

/* A file of schema 1 gets the tables and keeps what it has. */
static void test_older_schema(void)
{
    struct dyno_key key;
    dyno_control_close(case_make(&key));
    CHECK(case_sql("DROP TABLE budget_alert; DROP TABLE budget_share; DROP TABLE budget_node;"
                   " DROP TABLE budget; PRAGMA user_version = 1"));
    struct dyno_control *control = case_open(false);
    const struct dyno_tenant_budget budget = budget_of("a", DYNO_TERM_DAY, 3);
    CHECK(set(control, &budget, DYNO_BUDGET_AMOUNT) == 1);
    struct dyno_tenant *tenants = NULL;
    size_t count = 0;
    CHECK(dyno_control_read(control, NULL, 0, arena, &tenants, &count, NULL) == DYNO_OK);
    CHECK(count == 2 && tenants[0].key_count == 1);
    dyno_control_close(control);
    CHECK(case_sql("CREATE TABLE one (x CHECK (x = 2));"
                   "INSERT INTO one SELECT user_version FROM pragma_user_version"));
}

static const struct {
    const char *sql, *says;
} spoilt[] = {
    {"UPDATE budget SET amount = -1", "amount is out of range"},
    {"UPDATE budget SET amount = 9000000000000000000", "amount is out of range"},
    {"UPDATE budget SET unit = 'eur'", "a budget's unit is none"},
    {"UPDATE budget SET period = 3", "period is out of range"},
    {"UPDATE budget SET is_hard = 2", "is_hard is out of range"},
    {"UPDATE budget SET alerts = '50,40'", "a budget's alerts are none"},
    {"UPDATE budget SET alerts = printf('%060d', 1)", "alerts"},
    {"UPDATE budget SET model = '../x'", "breaks the rule of names"},
    {"UPDATE budget SET class = char(10)", "breaks the rule of names"},
    {"UPDATE budget SET created_s = -5", "created_s is out of range"},
    {"DROP TABLE budget", "no such table: budget"},
};

static void test_spoilt_rows(void)
{
    for (size_t i = 0; i < DYNO_COUNT(spoilt); i++) {
        struct dyno_key key;
        struct dyno_tenant_budget *rows = NULL;
        size_t count = 0;
        struct dyno_control *control = case_make(&key);
        const struct dyno_tenant_budget budget = budget_of("a", DYNO_TERM_DAY, 3);
        (void)set(control, &budget, DYNO_BUDGET_AMOUNT);
        dyno_control_close(control);
        if (!case_sql(spoilt[i].sql)) {
            CHECK_MSG(false, "row %zu was not spoilt", i);
            continue;
        }
        control = case_open(false);
        err = (struct dyno_err){0};
        CHECK(dyno_control_read_budgets(control, NULL, arena, &rows, &count, &err) ==
              DYNO_E_FORMAT);
        CHECK_MSG(strstr(err.text, spoilt[i].says) != NULL, "%s: %s", spoilt[i].sql, err.text);
        dyno_control_close(control);
    }
}

/* Shares that nobody writes are a status, or numbers that bound what is granted. */
static void test_spoilt_shares(void)
{
    static const char *const rows[] = {
        "9223372036854775807, 0, 9223372036854775807, 9223372036854775807",
        "-9223372036854775807, 5000000000, -9223372036854775807, 0", "0, -1, 0, -5"};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct dyno_key key;
        char sql[256];
        struct dyno_lease_store *store = NULL;
        struct dyno_lease_sums sums;
        struct dyno_control *control = case_make(&key);
        const struct dyno_tenant_budget budget = budget_of("a", DYNO_TERM_NONE, 1000);
        const int64_t id = set(control, &budget, DYNO_BUDGET_AMOUNT);
        for (int node = 2; node < 4; node++) {
            (void)snprintf(sql, sizeof(sql), "INSERT INTO budget_share VALUES (1, 1, 0, %d, %s)",
                           node, rows[i]);
            CHECK(case_sql(sql));
        }
        CHECK(dyno_lease_open_control(case_path, 5000, &store, NULL) == DYNO_OK);
        REQUIRE(store != NULL);
        struct dyno_lease_ask one = {.key = {id, 1, 0}, .limit = 1000, .floor = 1};
        const struct dyno_lease_mark mark = {.node = 1, .epoch = 1};
        err = (struct dyno_err){0};
        const enum dyno_status status = dyno_lease_exchange(store, &mark, 9, &one, 1, &err);
        CHECK(status == DYNO_OK ? one.granted <= 1000 : err.text[0] != 0);
        err = (struct dyno_err){0};
        CHECK(dyno_lease_sum(store, &one.key, "", -1, &sums, &err) == DYNO_OK || err.text[0] != 0);
        dyno_lease_close(store);
        dyno_control_close(control);
    }
}

/* --- slices --- */

static struct dyno_lease_store *open_store(void)
{
    struct dyno_lease_store *store = NULL;
    CHECK_MSG(dyno_lease_open_control(case_path, 5000, &store, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(store != NULL);
    return store;
}

static int64_t ask(struct dyno_lease_store *store, uint32_t node, struct dyno_lease_ask *asked)
{
    const struct dyno_lease_mark mark = {.node = node, .epoch = 7, .posted_seq = 5};
    err = (struct dyno_err){0};
    CHECK_MSG(dyno_lease_exchange(store, &mark, 1000000, asked, 1, &err) == DYNO_OK, "%s",
              err.text);
    return asked->granted;
}

static void test_slices(void)
{
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    const struct dyno_tenant_budget budget = budget_of("a", DYNO_TERM_NONE, 1000);
    const int64_t id = set(control, &budget, DYNO_BUDGET_AMOUNT);
    struct dyno_lease_store *store = open_store();
    struct dyno_lease_ask one = {.key = {id, 1, 0},
                                 .limit = 1000,
                                 .floor = 1,

                                 .alerts = {50, 100},
                                 .alert_count = 2};
    struct dyno_lease_ask two = one;
    CHECK(ask(store, 1, &one) == 500);
    CHECK(ask(store, 2, &two) == 125); /* half of what is left, of two */
    one.held = one.granted;
    one.used = 480;
    one.reserved = 10;
    CHECK(ask(store, 1, &one) == 490 + (1000 - 490 - 125) / 4);
    CHECK(one.all_used == 480 && one.all_reserved == 10 && one.alerted == 0);
    one.held = one.granted;
    one.used = 510;
    (void)ask(store, 1, &one);
    CHECK(one.alerted == 1);
    (void)ask(store, 1, &one);
    CHECK(one.alerted == 0); /* once */
    /* Less than is held is granted: the share keeps what may still be taken of it. */
    two.held = 125;
    two.limit = 100;
    CHECK(ask(store, 2, &two) < 125);
    CHECK(case_sql("CREATE TABLE one (x CHECK (x = 125));"
                   "INSERT INTO one SELECT granted FROM budget_share WHERE node = 2"));
    two.held = 0;
    two.is_last = true;
    CHECK(ask(store, 2, &two) == 0);
    /* What the store has of one node, and of all. */
    struct dyno_lease_sums sums;
    CHECK(dyno_lease_sum(store, &one.key, "", 1, &sums, NULL) == DYNO_OK);
    CHECK(sums.used == 510 && sums.reserved == 10 && sums.leased > 0 && sums.node_count == 1);
    CHECK(dyno_lease_sum(store, &one.key, "", -1, &sums, NULL) == DYNO_OK);
    CHECK(sums.used == 510 && sums.node_count == 2);
    struct dyno_lease_ask again = {.key = {id, 1, 0}, .limit = 1000, .floor = 1, .used = 513};
    CHECK(ask(store, 1, &again) > 513 && ask(store, 1, &again) > 513 && again.all_used == 513);
    struct dyno_lease_mark mark = {.node = 1};
    CHECK(dyno_lease_read_mark(store, &mark, NULL) == DYNO_OK);
    CHECK(mark.epoch == 7 && mark.posted_seq == 5);
    /* One number, two servers: who comes back is told. */
    struct dyno_lease_mark other = {.node = 1, .epoch = 8};
    CHECK(dyno_lease_exchange(store, &other, 1000000, &one, 0, NULL) == DYNO_OK);
    other.is_known = true;
    CHECK(dyno_lease_exchange(store, &other, 1000000, &one, 0, NULL) == DYNO_OK);
    other.epoch = 7;
    err = (struct dyno_err){0};
    CHECK(dyno_lease_exchange(store, &other, 1000000, &one, 0, &err) == DYNO_E_MISMATCH);
    CHECK(strstr(err.text, "node 1 leases budgets for another server, too") != NULL);
    mark.node = 99;
    CHECK(dyno_lease_read_mark(store, &mark, NULL) == DYNO_OK && mark.epoch == 0);
    again.key.budget = 77;
    CHECK(ask(store, 1, &again) == 0 && again.is_gone);
    dyno_lease_close(store);
    dyno_control_close(control);
}

/* Nodes come, spend, ask, die and come back at random: what is granted to all of them is never more
 * than the budget, and in the end all of it can be spent. */
static void test_never_more(void)
{
    enum { NODES = 4, LIMIT = 100000, ROUNDS = 4000 };
    struct dyno_key key;
    struct dyno_control *control = case_make(&key);
    const struct dyno_tenant_budget budget = budget_of("a", DYNO_TERM_NONE, LIMIT);
    const int64_t id = set(control, &budget, DYNO_BUDGET_AMOUNT);
    struct dyno_lease_store *store = open_store();
    struct dyno_lease_ask nodes[NODES];
    uint32_t random = 5;
    for (int i = 0; i < NODES; i++)
        nodes[i] = (struct dyno_lease_ask){.key = {id, 1, 0}, .limit = LIMIT, .floor = 10};
    for (int round = 0; round < ROUNDS; round++) {
        random = random * 1664525 + 1013904223;
        struct dyno_lease_ask *node = &nodes[random >> 16 & (NODES - 1)];
        const int64_t free = node->held - node->used;
        if (free > 0 && round < ROUNDS - 200)
            node->used += (random >> 8) % (uint32_t)(free / 8 + 1);
        else if (free > 0)
            node->used += free; /* in the end: all that is there */
        node->is_idle = (random >> 3 & 7) == 0;
        (void)ask(store, (uint32_t)(node - nodes) + 1, node);
        node->held = node->granted;
        int64_t held = 0;
        int64_t used = 0;
        for (int i = 0; i < NODES; i++) {
            held += nodes[i].held > nodes[i].used ? nodes[i].held : nodes[i].used;
            used += nodes[i].used;
        }
        CHECK(held <= LIMIT && used <= LIMIT);
        if ((random >> 11 & 63) == 0) { /* dies, and comes back knowing nothing */
            struct dyno_lease_sums sums;
            CHECK(dyno_lease_sum(store, &node->key, "", node - nodes + 1, &sums, NULL) == DYNO_OK);
            CHECK(sums.used == node->used);
            node->held = 0;
            (void)ask(store, (uint32_t)(node - nodes) + 1, node);
            node->held = node->granted;
        }
    }
    int64_t used = 0;
    for (int i = 0; i < NODES; i++)
        used += nodes[i].used;
    CHECK_MSG(used > LIMIT - 100, "%lld", (long long)used);
    dyno_lease_close(store);
    dyno_control_close(control);
}

/* --- each allocation lost --- */

static enum dyno_status use_all(void)
{
    struct dyno_lease_store *store = NULL;
    struct dyno_control *control = NULL;
    struct dyno_budget_state *states = NULL;
    struct dyno_arena *own = dyno_arena_create();
    size_t count = 0;
    int64_t id = 0;
    struct dyno_lease_ask one = {.key = {1, 1, 0}, .limit = 10, .floor = 1};
    const struct dyno_lease_mark mark = {.node = 3, .epoch = 1};
    const struct dyno_tenant_budget budget = budget_of("a", DYNO_TERM_NONE, 10);
    err = (struct dyno_err){0};
    enum dyno_status status = own != NULL ? DYNO_OK : DYNO_NOMEM(&err);
    if (status == DYNO_OK)
        status = dyno_control_open(case_path, false, 1000, &control, &err);
    if (status == DYNO_OK)
        status = dyno_control_set_budget(control, &budget, DYNO_BUDGET_AMOUNT, &id, &err);
    if (status == DYNO_OK)
        status = dyno_lease_open_control(case_path, 1000, &store, &err);
    if (status == DYNO_OK)
        status = dyno_lease_exchange(store, &mark, 5, &one, 1, &err);
    if (status == DYNO_OK)
        status = dyno_control_read_states(control, store, "a", 5, own, &states, &count, &err);
    CHECK(status != DYNO_OK || (count == 1 && states[0].sums.leased > 0));
    dyno_lease_close(store);
    dyno_control_close(control);
    dyno_arena_destroy(own);
    return status;
}

static void test_allocations_lost(void)
{
    struct dyno_key key;
    dyno_control_close(case_make(&key));
    CHECK(use_all() == DYNO_OK);
    const uint64_t live = dyno_mem_live_count();
    for (uint64_t nth = 1; nth < 100000; nth++) {
        dyno_mem_fail_at(nth);
        const enum dyno_status status = use_all();
        dyno_mem_fail_at(0);
        CHECK_MSG(status == DYNO_OK || status == DYNO_E_NOMEM, "%s", err.text);
        CHECK(dyno_mem_live_count() == live);
        if (status == DYNO_OK && nth > 50)
            return;
    }
    CHECK(false);
}

int main(void)
{
    case_begin();
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_periods();
    test_alerts();
    test_set_and_read();
    test_refusals();
    test_older_schema();
    test_spoilt_rows();
    test_spoilt_shares();
    test_slices();
    test_never_more();
    test_allocations_lost();
    dyno_arena_destroy(arena);
    case_end();
    return TEST_RESULT();
}
