/* lease.c - what a node is granted; stores by their functions; budgets of a tenant. */
#include "control/lease.h"

#include <stdio.h>
#include <string.h>

#include "base/wide.h"

#define SHARE_IDLE 4 /* one part in so many of what is left, for a node that asks for nothing */
#define SHARE_BUSY 2

void dyno_lease_close(struct dyno_lease_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

enum dyno_status dyno_lease_read_mark(struct dyno_lease_store *store, struct dyno_lease_mark *mark,
                                      struct dyno_err *err)
{
    return store->ops->read_mark(store, mark, err);
}

enum dyno_status dyno_lease_exchange(struct dyno_lease_store *store,
                                     const struct dyno_lease_mark *mark, int64_t now_s,
                                     struct dyno_lease_ask *asks, size_t count,
                                     struct dyno_err *err)
{
    return store->ops->exchange(store, mark, now_s, asks, count, err);
}

enum dyno_status dyno_lease_sum(struct dyno_lease_store *store, const struct dyno_share_key *key,
                                const char *name, int64_t node, struct dyno_lease_sums *sums_out,
                                struct dyno_err *err)
{
    *sums_out = (struct dyno_lease_sums){0};
    return store->ops->sum(store, key, name, node, sums_out, err);
}

const char *dyno_lease_name(const struct dyno_tenant_budget *budget, const char *tenant,
                            char out[DYNO_LEASE_NAME_ROOM])
{
    (void)snprintf(out, DYNO_LEASE_NAME_ROOM, "%s/%s/%s/%s/%s", tenant, budget->model,
                   budget->class_name, budget->unit, dyno_term_text(budget->term));
    return out;
}

enum dyno_status dyno_lease_forget(struct dyno_lease_store *store, int64_t before_day,
                                   struct dyno_err *err)
{
    return store->ops->forget(store, before_day, err);
}

/* Sums of hostile or odd rows stay sums. */
static int64_t add(int64_t a, int64_t b)
{
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* What nobody has, and this node has not used, is shared out: each node that is busy gets its part
 * of a half of it, so that one who comes later finds something, too.  As others use their slices up
 * they ask again, and halves of halves leave nothing lying about but what is less than a floor. */
void dyno_lease_grant(struct dyno_lease_ask *ask, const struct dyno_lease_others *others)
{
    const int64_t taken = add(ask->used, ask->reserved);
    const int64_t others_taken = others->granted > add(others->used, others->reserved)
                                     ? others->granted
                                     : add(others->used, others->reserved);
    ask->all_used = add(ask->used, others->used);
    ask->all_reserved = add(ask->reserved, others->reserved);
    if (ask->is_soft) {
        ask->granted = ask->is_last ? taken : INT64_MAX;
        return;
    }
    const int64_t committed = add(taken, others_taken);
    const int64_t left = ask->limit > committed ? ask->limit - committed : 0;
    const int64_t nodes = others->node_count + 1;
    int64_t slice = left / ((ask->is_idle ? SHARE_IDLE : SHARE_BUSY) * nodes);
    if (!ask->is_idle && slice < ask->floor)
        slice = ask->floor;
    /* Alone, the last of it is not cut up. */
    if (slice > left || (others->node_count == 0 && !ask->is_idle && left / 8 < ask->floor))
        slice = left;
    ask->granted = add(taken, ask->is_last ? 0 : slice);
}

/* A soft budget grants without end, and holds nothing back from anybody. */
int64_t dyno_lease_kept(const struct dyno_lease_ask *ask)
{
    if (ask->is_soft)
        return add(ask->used, ask->reserved);
    return ask->granted > ask->held ? ask->granted : ask->held;
}

enum dyno_status dyno_lease_refuse_node(uint32_t node, struct dyno_err *err)
{
    return DYNO_FAIL(
        err, DYNO_E_MISMATCH,
        "node %u leases budgets for another server, too: each wants a --node of its own", node);
}

bool dyno_lease_is_reached(const struct dyno_lease_ask *ask, size_t i)
{
    return (dyno_i128)ask->all_used * 100 >= (dyno_i128)ask->limit * ask->alerts[i];
}

/* --- budgets of a tenant --- */

bool dyno_budget_same_scope(const struct dyno_tenant_budget *a, const struct dyno_tenant_budget *b)
{
    return a->term == b->term && strcmp(a->unit, b->unit) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->class_name, b->class_name) == 0;
}

/* The first of that tenant in a list that is sorted by tenants. */
static size_t first_of(const struct dyno_tenant_budget *budgets, size_t count, int64_t tenant)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (budgets[middle].tenant < tenant)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t dyno_budgets_of(const struct dyno_tenant_budget *budgets, size_t count, int64_t tenant,
                       const struct dyno_tenant_budget **found_out)
{
    size_t own = 0;
    for (size_t i = first_of(budgets, count, tenant);
         i < count && budgets[i].tenant == tenant && own < DYNO_TENANT_BUDGETS_MAX; i++)
        found_out[own++] = &budgets[i];
    size_t all = own;
    for (size_t i = 0; i < count && budgets[i].tenant == 0 && i < DYNO_TENANT_BUDGETS_MAX; i++) {
        size_t k = 0;
        while (k < own && !dyno_budget_same_scope(found_out[k], &budgets[i]))
            k++;
        if (k == own)
            found_out[all++] = &budgets[i];
    }
    return all;
}

/* --- reports --- */

struct rows {
    struct dyno_tenant *tenants;
    struct dyno_tenant_budget *budgets;
    size_t tenant_count, budget_count;
};

/* A budget of a tenant for each state.  NULL: out of memory. */
static struct dyno_budget_state *list_states(const struct rows *rows, int64_t now_s,
                                             struct dyno_arena *arena, size_t *count_out)
{
    const struct dyno_tenant_budget *found[2 * DYNO_TENANT_BUDGETS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < rows->tenant_count; i++)
        count += dyno_budgets_of(rows->budgets, rows->budget_count, rows->tenants[i].id, found);
    struct dyno_budget_state *states = dyno_arena_alloc(arena, count + 1, sizeof(*states));
    for (size_t i = 0; i < rows->tenant_count && states != NULL; i++) {
        const struct dyno_tenant *tenant = &rows->tenants[i];
        const size_t own = dyno_budgets_of(rows->budgets, rows->budget_count, tenant->id, found);
        for (size_t k = 0; k < own; k++)
            states[(*count_out)++] =
                (struct dyno_budget_state){.budget = found[k],
                                           .tenant = tenant->id,
                                           .tenant_name = tenant->name,
                                           .span = dyno_term_at(found[k]->term, now_s)};
    }
    return states;
}

enum dyno_status dyno_control_read_states(struct dyno_control *control,
                                          struct dyno_lease_store *store, const char *tenant,
                                          int64_t now_s, struct dyno_arena *arena,
                                          struct dyno_budget_state **states_out, size_t *count_out,
                                          struct dyno_err *err)
{
    struct rows rows = {0};
    *states_out = NULL;
    *count_out = 0;
    DYNO_TRY(dyno_control_read(control, tenant, dyno_day_of(now_s), arena, &rows.tenants,
                               &rows.tenant_count, err));
    DYNO_TRY(
        dyno_control_read_budgets(control, tenant, arena, &rows.budgets, &rows.budget_count, err));
    *states_out = list_states(&rows, now_s, arena, count_out);
    if (*states_out == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < *count_out; i++) {
        struct dyno_budget_state *state = &(*states_out)[i];
        const struct dyno_share_key key = {state->budget->id, state->tenant, state->span.first_day};
        char name[DYNO_LEASE_NAME_ROOM];
        DYNO_TRY(dyno_lease_sum(store, &key,
                                dyno_lease_name(state->budget, state->tenant_name, name), -1,
                                &state->sums, err));
    }
    return DYNO_OK;
}
