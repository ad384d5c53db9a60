/* budget.h - budgets: how much work, or money, a tenant may use.
 *
 * A budget is of a tenant, or of every tenant (each for itself; one of his own with the same scope
 * and period stands in its place), of a model or all, of a service class or all.  It counts the
 * requests that come from the second on in which it was made.  Threads as control.h.
 */
#ifndef DYNO_CONTROL_BUDGET_H
#define DYNO_CONTROL_BUDGET_H

#include "control/control.h"

#define DYNO_BUDGETS_MAX        100000
#define DYNO_TENANT_BUDGETS_MAX 256 /* of one tenant; and of every tenant */
#define DYNO_BUDGET_ALERTS_MAX  8
#define DYNO_BUDGET_PERCENT_MAX 1000
#define DYNO_BUDGET_AMOUNT_MAX  INT64_C(4000000000000000000)
#define DYNO_BUDGET_EPU         "EPU" /* the unit of work */
#define DYNO_BUDGET_ALERTS_ROOM 48

/* X(symbol, value, text): when it is full again.  Values are those of the file. */
#define DYNO_TERM_MAP(X) \
    X(DAY, 0, "day")     \
    X(MONTH, 1, "month") \
    X(NONE, 2, "none") /* prepaid: when somebody tops it up */

enum dyno_term {
#define X(sym, value, text) DYNO_TERM_##sym = (value),
    DYNO_TERM_MAP(X)
#undef X
};
const char *dyno_term_text(enum dyno_term term);
/* E_ARG names them. */
enum dyno_status dyno_term_parse(const char *text, enum dyno_term *term_out, struct dyno_err *err);

/* The span that a moment lies in.  `number` counts them; days and months are UTC. */
struct dyno_term_span {
    int64_t number, first_day, next_s; /* next_s: INT64_MAX where there is no next one */
};
struct dyno_term_span dyno_term_at(enum dyno_term term, int64_t time_s);

struct dyno_tenant_budget {
    int64_t id;
    int64_t tenant;                 /* 0: every tenant */
    const char *tenant_name;        /* ""; of a change: the name is what counts */
    const char *model, *class_name; /* "": all */
    char unit[4];                   /* DYNO_BUDGET_EPU, or a currency */
    enum dyno_term term;
    bool is_hard;   /* else it only alerts */
    int64_t amount; /* reference-ns (3.6e12 are an EPU-hour), or nano-units of the currency */
    uint16_t alerts[DYNO_BUDGET_ALERTS_MAX]; /* percent, rising */
    size_t alert_count;
    int64_t created_s;
};

/* The fields of a change beside the scope (tenant, model, class, unit, period). */
enum dyno_budget_field {
    DYNO_BUDGET_AMOUNT = 1,
    DYNO_BUDGET_HARD = 2,
    DYNO_BUDGET_ALERTS = 4,
};

/* "50,80,100": rising percents, at most DYNO_BUDGET_ALERTS_MAX; "" is none. */
enum dyno_status dyno_alerts_parse(const char *text, struct dyno_tenant_budget *budget,
                                   struct dyno_err *err);
const char *dyno_alerts_text(const struct dyno_tenant_budget *budget,
                             char out[DYNO_BUDGET_ALERTS_ROOM]);

/* "a month for model 'm' and class 'c'": period and scope, as sentences have them. */
void dyno_budget_print_scope(const struct dyno_tenant_budget *budget, struct dyno_strbuf *out);

/* All, or those that the tenant of that name has and might have (E_NOT_FOUND); by tenant, those of
 * every tenant first, then by id. */
enum dyno_status dyno_control_read_budgets(struct dyno_control *control, const char *tenant,
                                           struct dyno_arena *arena,
                                           struct dyno_tenant_budget **budgets_out,
                                           size_t *count_out, struct dyno_err *err);

/* Make the budget of that scope, or change these fields of it; *id_out is its id.  A new one needs
 * an amount.  E_ARG names value and rule; another currency than that of the budgets there are is
 * one.  E_NOT_FOUND: the tenant. */
enum dyno_status dyno_control_set_budget(struct dyno_control *control,
                                         const struct dyno_tenant_budget *budget, uint32_t fields,
                                         int64_t *id_out, struct dyno_err *err);
/* Of a prepaid budget.  E_NOT_FOUND, E_ARG. */
enum dyno_status dyno_control_top_up(struct dyno_control *control, int64_t budget, int64_t amount,
                                     struct dyno_err *err);
enum dyno_status dyno_control_remove_budget(struct dyno_control *control, int64_t budget,
                                            struct dyno_err *err);

#endif /* DYNO_CONTROL_BUDGET_H */
