/* budget.c - rows of budgets. */
#include "control/budget.h"

#include <stdio.h>
#include <string.h>

#include "control/internal.h"

static const char *const terms[] = {
#define X(sym, value, text) [value] = (text),
    DYNO_TERM_MAP(X)
#undef X
};

const char *dyno_term_text(enum dyno_term term)
{
    return terms[term];
}

enum dyno_status dyno_term_parse(const char *text, enum dyno_term *term_out, struct dyno_err *err)
{
    for (size_t i = 0; i < DYNO_COUNT(terms); i++) {
        if (strcmp(terms[i], text) != 0)
            continue;
        *term_out = (enum dyno_term)i;
        return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "'%.64s' is no period of a budget: day, month or none", text);
}

struct dyno_term_span dyno_term_at(enum dyno_term term, int64_t time_s)
{
    struct dyno_term_span span = {.next_s = INT64_MAX};
    int64_t next = 0;
    if (term == DYNO_TERM_NONE)
        return span;
    const int64_t day = dyno_day_of(time_s);
    dyno_period_of(term == DYNO_TERM_DAY ? DYNO_PERIOD_DAY : DYNO_PERIOD_MONTH, day,
                   &span.first_day, &next);
    span.next_s = next * DYNO_DAY_S;
    span.number = day;
    if (term == DYNO_TERM_MONTH) {
        /* The middle of month n lies n + 1/2 mean months after 1970 began, give or take two days.
         */
        const int64_t middle = span.first_day + 15;
        span.number = middle * 4800 / 146097;
    }
    return span;
}

/* --- alerts --- */

enum dyno_status dyno_alerts_parse(const char *text, struct dyno_tenant_budget *budget,
                                   struct dyno_err *err)
{
    budget->alert_count = 0;
    for (const char *at = text; *at != 0;) {
        uint32_t value = 0;
        size_t digits = 0;
        for (; at[digits] >= '0' && at[digits] <= '9' && digits < 5; digits++)
            value = value * 10 + (uint32_t)(at[digits] - '0');
        const uint16_t before =
            budget->alert_count > 0 ? budget->alerts[budget->alert_count - 1] : 0;
        const char end = at[digits];
        if (digits == 0 || value <= before || value > DYNO_BUDGET_PERCENT_MAX ||
            (end != 0 && (end != ',' || at[digits + 1] == 0)) ||
            budget->alert_count == DYNO_BUDGET_ALERTS_MAX)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "'%.64s' is no list of alerts: at most %d percents from 1 to %d, each "
                             "larger than the one before, as 50,80,100",
                             text, DYNO_BUDGET_ALERTS_MAX, DYNO_BUDGET_PERCENT_MAX);
        budget->alerts[budget->alert_count++] = (uint16_t)value;
        at += digits + (end == ',');
    }
    return DYNO_OK;
}

const char *dyno_alerts_text(const struct dyno_tenant_budget *budget,
                             char out[DYNO_BUDGET_ALERTS_ROOM])
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < budget->alert_count; i++)
        at += (size_t)snprintf(out + at, DYNO_BUDGET_ALERTS_ROOM - at, "%s%u", i > 0 ? "," : "",
                               budget->alerts[i]);
    return out;
}

void dyno_budget_print_scope(const struct dyno_tenant_budget *budget, struct dyno_strbuf *out)
{
    const char *before = "";
    if (budget->term != DYNO_TERM_NONE) {
        dyno_strbuf_printf(out, "a %s", dyno_term_text(budget->term));
        before = " ";
    }
    if (budget->model[0] != 0)
        dyno_strbuf_printf(out, "%sfor model '%s'", before, budget->model);
    if (budget->class_name[0] != 0)
        dyno_strbuf_printf(out, "%s%s class '%s'", before, budget->model[0] != 0 ? "and" : "for",
                           budget->class_name);
}

/* --- reading --- */

static enum dyno_status read_name(struct dyno_stmt *stmt, int column, struct dyno_arena *arena,
                                  const char **name_out, struct dyno_err *err)
{
    const char *text = NULL;
    DYNO_TRY(dyno_stmt_text(stmt, column, DYNO_CONTROL_NAME_BYTES_MAX, &text, err));
    if (text[0] != 0 && !dyno_control_name_ok(text))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s \"%s\": a name breaks the rule of names",
                         stmt->db->kind->what, stmt->db->path);
    *name_out = dyno_arena_strdup(arena, text);
    return *name_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

static bool is_unit(const char *text)
{
    return strlen(text) == 3 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
}

static enum dyno_status read_budget(struct dyno_stmt *stmt, struct dyno_arena *arena,
                                    struct dyno_tenant_budget *budget, struct dyno_err *err)
{
    const char *text = NULL;
    int64_t term = 0;
    int64_t is_hard = 0;
    *budget = (struct dyno_tenant_budget){0};
    DYNO_TRY(dyno_stmt_i64(stmt, 0, 1, INT64_MAX, &budget->id, err));
    if (!dyno_stmt_is_null(stmt, 1))
        DYNO_TRY(dyno_stmt_i64(stmt, 1, 1, INT64_MAX, &budget->tenant, err));
    DYNO_TRY(read_name(stmt, 2, arena, &budget->tenant_name, err));
    DYNO_TRY(read_name(stmt, 3, arena, &budget->model, err));
    DYNO_TRY(read_name(stmt, 4, arena, &budget->class_name, err));
    DYNO_TRY(dyno_stmt_text(stmt, 5, 3, &text, err));
    if (!is_unit(text))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s \"%s\": a budget's unit is none",
                         stmt->db->kind->what, stmt->db->path);
    memcpy(budget->unit, text, sizeof(budget->unit));
    DYNO_TRY(dyno_stmt_i64(stmt, 6, DYNO_TERM_DAY, DYNO_TERM_NONE, &term, err));
    DYNO_TRY(dyno_stmt_i64(stmt, 7, 0, 1, &is_hard, err));
    DYNO_TRY(dyno_stmt_i64(stmt, 8, 0, DYNO_BUDGET_AMOUNT_MAX, &budget->amount, err));
    DYNO_TRY(dyno_stmt_text(stmt, 9, DYNO_BUDGET_ALERTS_ROOM - 1, &text, err));
    DYNO_TRY(dyno_stmt_i64(stmt, 10, 0, INT64_MAX, &budget->created_s, err));
    budget->term = (enum dyno_term)term;
    budget->is_hard = is_hard != 0;
    if (dyno_alerts_parse(text, budget, NULL) != DYNO_OK)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s \"%s\": a budget's alerts are none",
                         stmt->db->kind->what, stmt->db->path);
    return DYNO_OK;
}

#define BUDGET_COLUMNS                                                                          \
    "SELECT budget.id, budget.tenant, coalesce(tenant.name, '') AS name, model, budget.class, " \
    "unit, budget.period, is_hard, amount, alerts, budget.created_s FROM budget "               \
    "LEFT JOIN tenant ON tenant.id = budget.tenant "

static enum dyno_status read_all(struct dyno_stmt *stmt, struct dyno_arena *arena,
                                 struct dyno_tenant_budget **budgets_out, size_t *count_out,
                                 struct dyno_err *err)
{
    size_t room = 0;
    bool has_row = false;
    for (;;) {
        DYNO_TRY(dyno_stmt_step(stmt, &has_row, err));
        if (!has_row)
            return DYNO_OK;
        if (*count_out == DYNO_BUDGETS_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "%s \"%s\" has more than %d budgets",
                             stmt->db->kind->what, stmt->db->path, DYNO_BUDGETS_MAX);
        if (*count_out == room) {
            room = room == 0 ? 16 : room * 2;
            struct dyno_tenant_budget *moved = dyno_arena_alloc(arena, room, sizeof(*moved));
            if (moved == NULL)
                return DYNO_NOMEM(err);
            if (*count_out != 0)
                memcpy(moved, *budgets_out, *count_out * sizeof(*moved));
            *budgets_out = moved;
        }
        DYNO_TRY(read_budget(stmt, arena, &(*budgets_out)[*count_out], err));
        (*count_out)++;
    }
}

static enum dyno_status load(struct dyno_control *control, const char *tenant,
                             struct dyno_arena *arena, struct dyno_tenant_budget **budgets_out,
                             size_t *count_out, struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    int64_t id = 0;
    if (tenant != NULL)
        DYNO_TRY(dyno_control_find(control, tenant, &id, err));
    DYNO_TRY(dyno_stmt_open(&control->db,
                            BUDGET_COLUMNS
                            "WHERE ?1 = 0 OR budget.tenant IS NULL OR budget.tenant = ?1 "
                            "ORDER BY coalesce(budget.tenant, 0), budget.id",
                            &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, id);
    const enum dyno_status status = read_all(&stmt, arena, budgets_out, count_out, err);
    dyno_stmt_close(&stmt);
    return status;
}

enum dyno_status dyno_control_read_budgets(struct dyno_control *control, const char *tenant,
                                           struct dyno_arena *arena,
                                           struct dyno_tenant_budget **budgets_out,
                                           size_t *count_out, struct dyno_err *err)
{
    *budgets_out = NULL;
    *count_out = 0;
    DYNO_TRY(dyno_db_begin(&control->db, false, err));
    return dyno_db_end(&control->db, load(control, tenant, arena, budgets_out, count_out, err),
                       err);
}

/* --- changing --- */

static enum dyno_status check_name(const char *what, const char *name, struct dyno_err *err)
{
    if (name[0] == 0 || dyno_control_name_ok(name))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "'%.128s' is no name of a %s: letters, digits and _.- after a first letter or "
                     "digit, at most %d, and no pattern",
                     name, what, DYNO_CONTROL_NAME_BYTES_MAX);
}

static enum dyno_status check(const struct dyno_tenant_budget *budget, struct dyno_err *err)
{
    DYNO_TRY(check_name("tenant", budget->tenant_name, err));
    DYNO_TRY(check_name("model", budget->model, err));
    DYNO_TRY(check_name("service class", budget->class_name, err));
    if (!is_unit(budget->unit))
        return DYNO_FAIL(err, DYNO_E_ARG, "a budget is of EPU, or of a currency in three capitals");
    if (budget->amount < 0 || budget->amount > DYNO_BUDGET_AMOUNT_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "a budget lies between 0 and 1,111,111 EPU-hours, or 4,000,000,000 of a "
                         "currency");
    return DYNO_OK;
}

/* The one number that a statement gives with these; 0 where it gives no row. */
static enum dyno_status ask(struct dyno_control *control, const char *sql,
                            const struct dyno_tenant_budget *budget, int64_t tenant,
                            int64_t *value_out, struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    bool has_row = false;
    *value_out = 0;
    DYNO_TRY(dyno_stmt_open(&control->db, sql, &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, tenant);
    dyno_stmt_bind_text(&stmt, 2, budget->unit);
    if (strstr(sql, "?3") != NULL) {
        dyno_stmt_bind_text(&stmt, 3, budget->model);
        dyno_stmt_bind_text(&stmt, 4, budget->class_name);
        dyno_stmt_bind_i64(&stmt, 5, (int64_t)budget->term);
    }
    enum dyno_status status = dyno_stmt_step(&stmt, &has_row, err);
    if (status == DYNO_OK && has_row)
        status = dyno_stmt_i64(&stmt, 0, 0, INT64_MAX, value_out, err);
    dyno_stmt_close(&stmt);
    return status;
}

static enum dyno_status check_new(struct dyno_control *control,
                                  const struct dyno_tenant_budget *budget, int64_t tenant,
                                  struct dyno_err *err)
{
    int64_t count = 0;
    DYNO_TRY(ask(control,
                 "SELECT count(*) AS count FROM budget WHERE coalesce(tenant, 0) = ?1 AND ?2 <> ''",
                 budget, tenant, &count, err));
    if (count >= DYNO_TENANT_BUDGETS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "there are %lld such budgets already, as many as may be",
                         (long long)count);
    DYNO_TRY(ask(control, "SELECT count(*) AS count FROM budget WHERE ?1 >= 0 AND ?2 <> ''", budget,
                 tenant, &count, err));
    if (count >= DYNO_BUDGETS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "there are %d budgets already, as many as may be",
                         DYNO_BUDGETS_MAX);
    if (strcmp(budget->unit, DYNO_BUDGET_EPU) == 0)
        return DYNO_OK;
    DYNO_TRY(ask(control,
                 "SELECT count(*) AS count FROM budget WHERE ?1 >= 0 AND unit NOT IN ('EPU', ?2)",
                 budget, tenant, &count, err));
    return count == 0 ? DYNO_OK
                      : DYNO_FAIL(err, DYNO_E_ARG,
                                  "there are budgets in another currency than %s: all are in that "
                                  "of the book of tariffs, which has one",
                                  budget->unit);
}

static enum dyno_status put(struct dyno_control *control, const char *sql,
                            const struct dyno_tenant_budget *budget, int64_t tenant, int64_t id,
                            struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    char alerts[DYNO_BUDGET_ALERTS_ROOM];
    DYNO_TRY(dyno_stmt_open(&control->db, sql, &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, id);
    dyno_stmt_bind_i64(&stmt, 2, budget->amount);
    dyno_stmt_bind_i64(&stmt, 3, budget->is_hard);
    dyno_stmt_bind_text(&stmt, 4, dyno_alerts_text(budget, alerts));
    if (id == 0) {
        if (tenant != 0)
            dyno_stmt_bind_i64(&stmt, 5, tenant);
        else
            dyno_stmt_bind_null(&stmt, 5);
        dyno_stmt_bind_text(&stmt, 6, budget->model);
        dyno_stmt_bind_text(&stmt, 7, budget->class_name);
        dyno_stmt_bind_text(&stmt, 8, budget->unit);
        dyno_stmt_bind_i64(&stmt, 9, (int64_t)budget->term);
        dyno_stmt_bind_i64(&stmt, 10, dyno_now_s());
    }
    const enum dyno_status status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    return status;
}

static const char find_sql[] =
    "SELECT id FROM budget WHERE coalesce(tenant, 0) = ?1 AND unit = ?2 AND model = ?3"
    " AND class = ?4 AND period = ?5";

static enum dyno_status read_one(struct dyno_control *control, int64_t id, struct dyno_arena *arena,
                                 struct dyno_tenant_budget *budget_out, struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    bool has_row = false;
    DYNO_TRY(dyno_stmt_open(&control->db, BUDGET_COLUMNS "WHERE budget.id = ?1", &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, id);
    enum dyno_status status = dyno_stmt_step(&stmt, &has_row, err);
    if (status == DYNO_OK && !has_row)
        status = DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no budget %lld", (long long)id);
    if (status == DYNO_OK)
        status = read_budget(&stmt, arena, budget_out, err);
    dyno_stmt_close(&stmt);
    return status;
}

static enum dyno_status set(struct dyno_control *control, const struct dyno_tenant_budget *change,
                            uint32_t fields, struct dyno_arena *arena, int64_t *id_out,
                            struct dyno_err *err)
{
    struct dyno_tenant_budget whole = *change;
    int64_t tenant = 0;
    if (change->tenant_name[0] != 0)
        DYNO_TRY(dyno_control_find(control, change->tenant_name, &tenant, err));
    DYNO_TRY(ask(control, find_sql, change, tenant, id_out, err));
    if (*id_out == 0) {
        if ((fields & DYNO_BUDGET_AMOUNT) == 0)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "there is no such budget yet: a new one wants an "
                             "amount");
        DYNO_TRY(check_new(control, change, tenant, err));
        DYNO_TRY(put(control,
                     "INSERT INTO budget (amount, is_hard, alerts, tenant, model, class, unit,"
                     " period, created_s) SELECT ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE ?1 = 0",
                     &whole, tenant, 0, err));
        return ask(control, find_sql, change, tenant, id_out, err);
    }
    DYNO_TRY(read_one(control, *id_out, arena, &whole, err));
    if ((fields & DYNO_BUDGET_AMOUNT) != 0)
        whole.amount = change->amount;
    if ((fields & DYNO_BUDGET_HARD) != 0)
        whole.is_hard = change->is_hard;
    if ((fields & DYNO_BUDGET_ALERTS) != 0) {
        memcpy(whole.alerts, change->alerts, sizeof(whole.alerts));
        whole.alert_count = change->alert_count;
    }
    return put(control, "UPDATE budget SET amount = ?2, is_hard = ?3, alerts = ?4 WHERE id = ?1",
               &whole, tenant, *id_out, err);
}

enum dyno_status dyno_control_set_budget(struct dyno_control *control,
                                         const struct dyno_tenant_budget *budget, uint32_t fields,
                                         int64_t *id_out, struct dyno_err *err)
{
    *id_out = 0;
    DYNO_TRY(check(budget, err));
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_db_begin(&control->db, true, err);
    if (status == DYNO_OK)
        status = dyno_db_end(&control->db, set(control, budget, fields, arena, id_out, err), err);
    dyno_arena_destroy(arena);
    return status;
}

static enum dyno_status top_up(struct dyno_control *control, int64_t id, int64_t amount,
                               struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_tenant_budget budget;
    DYNO_TRY(read_one(control, id, arena, &budget, err));
    if (budget.term != DYNO_TERM_NONE)
        return DYNO_FAIL(
            err, DYNO_E_ARG,
            "budget %lld is full again with each %s, and is not topped up: set changes "
            "it",
            (long long)id, dyno_term_text(budget.term));
    if (amount <= 0 || amount > DYNO_BUDGET_AMOUNT_MAX - budget.amount)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "what is added must be above 0, and a budget is at most "
                         "1,111,111 EPU-hours, or 4,000,000,000 of a currency");
    budget.amount += amount;
    return put(control, "UPDATE budget SET amount = ?2, is_hard = ?3, alerts = ?4 WHERE id = ?1",
               &budget, 0, id, err);
}

enum dyno_status dyno_control_top_up(struct dyno_control *control, int64_t budget, int64_t amount,
                                     struct dyno_err *err)
{
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_db_begin(&control->db, true, err);
    if (status == DYNO_OK)
        status = dyno_db_end(&control->db, top_up(control, budget, amount, arena, err), err);
    dyno_arena_destroy(arena);
    return status;
}

static enum dyno_status remove_budget(struct dyno_control *control, int64_t id,
                                      struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_tenant_budget budget;
    DYNO_TRY(read_one(control, id, arena, &budget, err));
    return dyno_control_do(control, "DELETE FROM budget WHERE id = ?1", id, NULL, err);
}

enum dyno_status dyno_control_remove_budget(struct dyno_control *control, int64_t budget,
                                            struct dyno_err *err)
{
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_db_begin(&control->db, true, err);
    if (status == DYNO_OK)
        status = dyno_db_end(&control->db, remove_budget(control, budget, arena, err), err);
    dyno_arena_destroy(arena);
    return status;
}
