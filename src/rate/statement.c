/* statement.c - sums into lines, lines into accounts. */
#include <stdlib.h>
#include <string.h>

#include "rate/charge.h"
#include "rate/internal.h"
#include "rate/minimum.h"

static const char *const line_texts[] = {
#define X(sym, name) name,
    DYNO_LINE_KINDS(X)
#undef X
};

const char *dyno_line_kind_text(enum dyno_line_kind kind)
{
    return line_texts[kind];
}

/* What the making of a statement carries around. */
struct work {
    const struct dyno_rater *rater;
    struct dyno_arena *arena;
    const struct dyno_sum **sums; /* sorted */
    size_t sum_count;
    uint64_t minor;  /* nano-units of the least amount */
    int64_t *held_s; /* of each tariff: how long the account had it, and owes its minimum */
    struct dyno_account *account;
    struct dyno_err *err;
};

static uint32_t form_of(const struct work *work)
{
    const uint32_t form = work->rater->options.form;
    return form != 0 ? form : DYNO_RATE_FORM;
}

/* --- order --- */

/* The names make the order, so that it does not depend on the numbers of a dictionary. */
static int compare_names(const char *const *names, const uint32_t *a, const uint32_t *b,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int by_name = a[i] == b[i] ? 0 : strcmp(names[a[i]], names[b[i]]);
        if (by_name != 0)
            return by_name;
    }
    return 0;
}

/* By tenant, tariff, lateness, model, variant, kind, and the rest; hours of one line together. */
static int compare_sums(const void *left, const void *right, void *arg)
{
    const struct dyno_sum *a = *(const struct dyno_sum *const *)left;
    const struct dyno_sum *b = *(const struct dyno_sum *const *)right;
    const char *const *names = ((const struct work *)arg)->rater->options.names;
    const uint32_t a_names[] = {a->key.model, a->key.variant, a->key.class_name, a->key.precision,
                                a->key.certificate};
    const uint32_t b_names[] = {b->key.model, b->key.variant, b->key.class_name, b->key.precision,
                                b->key.certificate};
    const int by_tenant = compare_names(names, &a->key.tenant, &b->key.tenant, 1);
    if (by_tenant != 0)
        return by_tenant;
    if (a->tariff != b->tariff)
        return a->tariff < b->tariff ? -1 : 1;
    if (a->is_late != b->is_late)
        return a->is_late > b->is_late ? -1 : 1;
    const int by_model = compare_names(names, a_names, b_names, 2);
    if (by_model != 0)
        return by_model;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    /* Loading costs the same for every class and certificate: one line. */
    const size_t rest = a->kind == DYNO_USAGE_COLD_START ? 0 : 3;
    const int by_rest = compare_names(names, a_names + 2, b_names + 2, rest);
    if (by_rest != 0)
        return by_rest;
    if (a->is_taken_back != b->is_taken_back)
        return a->is_taken_back < b->is_taken_back ? -1 : 1;
    return a->hour < b->hour ? -1 : a->hour > b->hour;
}

static bool same_line(struct work *work, const struct dyno_sum *a, const struct dyno_sum *b)
{
    struct dyno_sum left = *a;
    struct dyno_sum right = *b;
    left.hour = right.hour = 0;
    const struct dyno_sum *one = &left;
    const struct dyno_sum *other = &right;
    return compare_sums(&one, &other, work) == 0;
}

/* --- amounts --- */

/* Exact to the nano-unit (cut), and rounded once to what is charged. */
static enum dyno_status set_amount(struct work *work, struct dyno_line *line,
                                   struct dyno_ratio ratio, enum dyno_rounding rounding)
{
    bool fits = dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &line->nano);
    ratio.dens[ratio.den_count++] = work->minor;
    fits = fits && dyno_ratio_round(&ratio, rounding, &line->minor);
    if (!fits)
        return DYNO_FAIL(work->err, DYNO_E_LIMIT,
                         "an amount of tenant '%.128s' is too large to be one",
                         work->account->tenant);
    return DYNO_OK;
}

/* What an EPU-hour (or a device-hour) of this line costs. */
static struct dyno_ratio unit_price(const struct dyno_tariff *tariff, const struct dyno_line *line)
{
    if (line->kind == DYNO_LINE_USAGE)
        return dyno_charge_unit(tariff, line->speed_up_ppm, line->class_name, line->precision);
    return (struct dyno_ratio){.a = tariff->device_hour, .b = 1};
}

/* The ratio of a usage line: units * price / hour. */
struct dyno_ratio dyno_line_charge(const struct dyno_line *line)
{
    const struct dyno_tariff *tariff = line->tariff;
    const bool by_device =
        tariff->kind == DYNO_TARIFF_DEVICE_HOUR || line->kind == DYNO_LINE_COLD_START;
    struct dyno_ratio ratio = unit_price(tariff, line);
    ratio.b = (dyno_i128)(by_device ? line->core_ns : line->reference_ns);
    ratio.b = line->is_taken_back ? -ratio.b : ratio.b;
    ratio.dens[ratio.den_count++] = DYNO_NS_AN_HOUR;
    if (by_device)
        ratio.dens[ratio.den_count++] = tariff->device_cores;
    return ratio;
}

bool dyno_line_is_charged(const struct dyno_line *line)
{
    return line->kind == DYNO_LINE_COLD_START
               ? line->tariff->charges_cold_start
               : line->kind == DYNO_LINE_USAGE && line->usage == DYNO_USAGE_DELIVERED;
}

/* --- lines of usage --- */

static struct dyno_line *next_line(struct work *work)
{
    struct dyno_line *line = &work->account->lines[work->account->line_count++];
    *line = (struct dyno_line){
        .model = "", .variant = "", .class_name = "", .precision = "", .certificate = ""};
    return line;
}

static void describe(const struct work *work, const struct dyno_sum *sum, struct dyno_line *line)
{
    const struct dyno_rater_options *options = &work->rater->options;
    line->kind = sum->kind == DYNO_USAGE_COLD_START ? DYNO_LINE_COLD_START : DYNO_LINE_USAGE;
    line->usage = (enum dyno_usage_kind)sum->kind;
    line->model = options->names[sum->key.model];
    line->variant = options->names[sum->key.variant];
    line->tariff = &options->book->tariffs[sum->tariff];
    line->is_late = sum->is_late != 0;
    line->is_taken_back = sum->is_taken_back != 0;
    line->class_name = line->precision = line->certificate = "";
    line->speed_up_ppm = DYNO_PPM;
    if (line->kind == DYNO_LINE_COLD_START)
        return;
    line->class_name = options->names[sum->key.class_name];
    line->precision = options->names[sum->key.precision];
    line->certificate = options->names[sum->key.certificate];
    if (line->certificate[0] != 0 && options->speed_up_ppm != NULL)
        line->speed_up_ppm = options->speed_up_ppm(options->arg, line->certificate);
}

static void add_sum(struct dyno_line *line, const struct dyno_sum *sum)
{
    line->requests += sum->requests;
    line->items += sum->items;
    line->lapsed += sum->lapsed;
    line->suspended += sum->suspended;
    line->unclaimed += sum->unclaimed;
    line->core_ns += sum->core_ns;
    line->reference_ns += sum->reference_ns;
    line->byte_ns += sum->byte_ns;
}

/* The sums from `at` on that make one line. */
static enum dyno_status make_line(struct work *work, size_t *at)
{
    const struct dyno_sum *first = work->sums[*at];
    struct dyno_line *line = next_line(work);
    describe(work, first, line);
    do
        add_sum(line, work->sums[(*at)++]);
    while (*at < work->sum_count && same_line(work, work->sums[*at], first));
    line->device_ns = line->core_ns / line->tariff->device_cores;
    if (!dyno_line_is_charged(line))
        return DYNO_OK;
    const struct dyno_ratio unit = unit_price(line->tariff, line);
    if (!dyno_ratio_round(&unit, DYNO_ROUND_HALF_AWAY, &line->unit_nano))
        return DYNO_FAIL(work->err, DYNO_E_LIMIT, "a price of tariff '%.128s' is too large",
                         line->tariff->name);
    return set_amount(work, line, dyno_line_charge(line),
                      line->is_taken_back ? DYNO_ROUND_HALF_EVEN : DYNO_ROUND_HALF_AWAY);
}

/* --- the residency floor --- */

/* What one hour's sum is charged, to the nano-unit.  What is taken back stood in another hour's
 * floor, that of its own period, and does not raise this one. */
static bool hourly_charge(const struct work *work, const struct dyno_sum *sum, dyno_i128 *nano)
{
    struct dyno_line line = {0};
    describe(work, sum, &line);
    add_sum(&line, sum);
    *nano = 0;
    if (!dyno_line_is_charged(&line) || line.is_taken_back)
        return true;
    const struct dyno_ratio ratio = dyno_line_charge(&line);
    return dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, nano);
}

static bool same_hour(const struct dyno_sum *a, const struct dyno_sum *b)
{
    return a->key.tenant == b->key.tenant && a->tariff == b->tariff && a->is_late == b->is_late &&
           a->key.model == b->key.model && a->key.variant == b->key.variant && a->hour == b->hour;
}

static int compare_hours(const void *left, const void *right, void *arg)
{
    const struct dyno_sum *a = *(const struct dyno_sum *const *)left;
    const struct dyno_sum *b = *(const struct dyno_sum *const *)right;
    const int32_t hours[] = {a->hour, b->hour};
    (void)arg;
    return hours[0] < hours[1] ? -1 : hours[0] > hours[1];
}

/* For each hour what memory alone would cost, less what was charged; of one variant under one
 * tariff, whose sums are sums[0..count). */
static enum dyno_status make_floor(struct work *work, const struct dyno_sum **sums, size_t count)
{
    const struct dyno_tariff *tariff = &work->rater->options.book->tariffs[sums[0]->tariff];
    dyno_i128 short_nano = 0;
    dyno_u128 byte_ns = 0;
    qsort_r(sums, count, sizeof(*sums), compare_hours, NULL);
    for (size_t i = 0; i < count;) {
        const struct dyno_sum *first = sums[i];
        dyno_i128 charged = 0;
        struct dyno_ratio floor = {.a = tariff->device_hour,
                                   .nums = {(uint64_t)tariff->floor_factor},
                                   .num_count = 1,
                                   .dens = {tariff->device_bytes, DYNO_NS_AN_HOUR, DYNO_NANO},
                                   .den_count = 3};
        dyno_i128 least = 0;
        for (; i < count && same_hour(sums[i], first); i++) {
            dyno_i128 nano = 0;
            if (!hourly_charge(work, sums[i], &nano))
                return DYNO_FAIL(work->err, DYNO_E_LIMIT, "an amount is too large to be one");
            charged += nano;
            floor.b += (dyno_i128)sums[i]->byte_ns;
        }
        byte_ns += (dyno_u128)floor.b;
        if (!dyno_ratio_round(&floor, DYNO_ROUND_DOWN, &least))
            return DYNO_FAIL(work->err, DYNO_E_LIMIT, "an amount is too large to be one");
        short_nano += least > charged ? least - charged : 0;
    }
    if (byte_ns == 0)
        return DYNO_OK;
    struct dyno_line *line = next_line(work);
    describe(work, sums[0], line);
    line->kind = DYNO_LINE_RESIDENCY;
    line->is_taken_back = false;
    line->class_name = line->precision = line->certificate = "";
    line->speed_up_ppm = 0;
    line->byte_ns = byte_ns;
    return set_amount(work, line, (struct dyno_ratio){.a = short_nano, .b = 1},
                      DYNO_ROUND_HALF_AWAY);
}

/* --- lines of an account --- */

/* What tiers are made of: the lines of delivered work of the period, at list price. */
struct listed {
    dyno_i128 nano, minor;
    dyno_u128 reference_ns;
};

/* Tiers: how much less (or more) the whole list price is, by where its EPU lie.  Of lines that were
 * rounded to nothing nothing is taken off, or work would make a credit. */
static enum dyno_status make_tiers(struct work *work, const struct dyno_tariff *tariff,
                                   const struct listed *listed)
{
    const dyno_u128 reference_ns = listed->reference_ns;
    dyno_i128 parts = 0; /* units * (factor - 1), nano */
    /* Each reference-ns counts, as long as their number is one of 64 bits: 5000 EPU-hours. */
    const uint64_t unit_ns = reference_ns <= UINT64_MAX ? 1 : 1000;
    const dyno_u128 total = reference_ns / unit_ns;
    dyno_u128 from = 0;
    if (total == 0 || total > UINT64_MAX)
        return total == 0 ? DYNO_OK
                          : DYNO_FAIL(work->err, DYNO_E_LIMIT, "more EPU than tiers can count");
    for (size_t i = 0; i < tariff->tier_count; i++) {
        const struct dyno_tier *tier = &tariff->tiers[i];
        const bool is_last = i + 1 == tariff->tier_count || tier->up_to_ns >= reference_ns;
        const dyno_u128 until = is_last ? total : tier->up_to_ns / unit_ns;
        if (tariff->tier_mode == DYNO_TIERS_GRADUATED)
            parts += (dyno_i128)(until - from) * (tier->factor - DYNO_NANO);
        else if (is_last)
            parts = (dyno_i128)total * (tier->factor - DYNO_NANO);
        from = until;
        if (is_last)
            break;
    }
    if (parts == 0)
        return DYNO_OK;
    struct dyno_line *line = next_line(work);
    line->kind = DYNO_LINE_TIERS;
    line->tariff = tariff;
    line->reference_ns = reference_ns;
    const struct dyno_ratio change = {
        .a = listed->nano, .b = parts, .dens = {(uint64_t)total, DYNO_NANO}, .den_count = 2};
    DYNO_TRY(
        set_amount(work, line, change, parts < 0 ? DYNO_ROUND_HALF_EVEN : DYNO_ROUND_HALF_AWAY));
    if (line->minor < -listed->minor && form_of(work) >= 2)
        line->minor = -listed->minor;
    return DYNO_OK;
}

/* What is missing to the least amount of a period, by the part of it in which the account had the
 * tariff. */
static enum dyno_status make_minimum(struct work *work, const struct dyno_tariff *tariff,
                                     dyno_i128 charged_minor)
{
    const struct dyno_rater_options *options = &work->rater->options;
    int64_t *held_s = &work->held_s[tariff - options->book->tariffs];
    if (*held_s == 0)
        return DYNO_OK;
    struct dyno_line *line = next_line(work);
    line->kind = DYNO_LINE_MINIMUM;
    line->tariff = tariff;
    DYNO_TRY(
        set_amount(work, line,
                   (struct dyno_ratio){.a = tariff->minimum,
                                       .b = *held_s,
                                       .dens = {(uint64_t)(options->next_s - options->first_s)},
                                       .den_count = 1},
                   DYNO_ROUND_HALF_AWAY));
    *held_s = 0;
    line->minor -= charged_minor;
    line->nano -= charged_minor * (dyno_i128)work->minor;
    if (line->minor <= 0)
        work->account->line_count--;
    return DYNO_OK;
}

static enum dyno_status make_credit(struct work *work)
{
    const struct dyno_rater_options *options = &work->rater->options;
    struct dyno_account *account = work->account;
    dyno_i128 credit = 0;
    for (size_t i = 0; i < options->credit_count; i++)
        if (strcmp(options->credits[i].tenant, account->tenant) == 0)
            credit += options->credits[i].nano;
    const dyno_i128 owed = account->total_minor * (dyno_i128)work->minor;
    dyno_i128 used = credit < owed ? credit : owed;
    used = used < 0 ? 0 : used;            /* what is given back is no payment */
    used -= used % (dyno_i128)work->minor; /* credit pays in amounts that can be charged */
    account->credit_left_nano = credit - used;
    if (used <= 0)
        return DYNO_OK;
    struct dyno_line *line = next_line(work);
    line->kind = DYNO_LINE_CREDIT;
    DYNO_TRY(set_amount(work, line, (struct dyno_ratio){.a = -used, .b = 1}, DYNO_ROUND_HALF_EVEN));
    account->credit_minor = -line->minor;
    account->total_minor += line->minor;
    return DYNO_OK;
}

/* Everything under one tariff of one tenant: sums[*at ...]. */
static enum dyno_status make_tariff(struct work *work, size_t *at)
{
    const struct dyno_sum *first = work->sums[*at];
    const struct dyno_tariff *tariff = &work->rater->options.book->tariffs[first->tariff];
    struct dyno_account *account = work->account;
    const size_t first_line = account->line_count;
    size_t variant_at = *at;
    size_t end = *at;
    struct listed listed = {0};
    dyno_i128 charged_minor = 0;
    while (end < work->sum_count && work->sums[end]->key.tenant == first->key.tenant &&
           work->sums[end]->tariff == first->tariff)
        end++;
    while (*at < end) {
        const bool is_residency = work->sums[*at]->kind == DYNO_USAGE_RESIDENCY;
        if (is_residency)
            (*at)++;
        else
            DYNO_TRY(make_line(work, at));
        const struct dyno_sum *before = work->sums[*at - 1];
        const struct dyno_sum *next = *at < end ? work->sums[*at] : before;
        if (*at == end || next->is_late != before->is_late ||
            next->key.model != before->key.model || next->key.variant != before->key.variant) {
            if (tariff->floor_factor > 0)
                DYNO_TRY(make_floor(work, work->sums + variant_at, *at - variant_at));
            variant_at = *at;
        }
    }
    for (size_t i = first_line; i < account->line_count; i++) {
        const struct dyno_line *line = &account->lines[i];
        if (line->kind != DYNO_LINE_USAGE || line->usage != DYNO_USAGE_DELIVERED ||
            line->is_taken_back)
            continue;
        account->device_ns += line->device_ns;
        account->reference_ns += line->reference_ns;
        if (line->is_late) /* tiers and minimum are of a period */
            continue;
        listed.nano += line->nano;
        listed.minor += line->minor;
        listed.reference_ns += line->reference_ns;
    }
    if (tariff->tier_mode != DYNO_TIERS_NONE)
        DYNO_TRY(make_tiers(work, tariff, &listed));
    for (size_t i = first_line; i < account->line_count; i++)
        charged_minor += account->lines[i].is_late ? 0 : account->lines[i].minor;
    return make_minimum(work, tariff, charged_minor);
}

static enum dyno_status add_cost(struct work *work, size_t first_line)
{
    struct dyno_account *account = work->account;
    for (size_t i = first_line; i < account->line_count; i++) {
        const struct dyno_line *line = &account->lines[i];
        dyno_i128 cost = 0;
        if (line->core_ns == 0 || account->cost_nano < 0 || line->is_taken_back)
            continue;
        if (line->tariff->cost_hour < 0) {
            account->cost_nano = -1;
            continue;
        }
        const struct dyno_ratio ratio = {.a = (dyno_i128)line->core_ns,
                                         .b = line->tariff->cost_hour,
                                         .dens = {DYNO_NS_AN_HOUR, line->tariff->device_cores},
                                         .den_count = 2};
        if (!dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &cost))
            return DYNO_FAIL(work->err, DYNO_E_LIMIT, "a cost is too large to be one");
        account->cost_nano += cost;
    }
    return DYNO_OK;
}

/* Of tariffs by which the account used nothing. */
static enum dyno_status make_other_minimums(struct work *work)
{
    const struct dyno_tariff_book *book = work->rater->options.book;
    for (size_t i = 0; i < book->tariff_count; i++)
        DYNO_TRY(make_minimum(work, &book->tariffs[i], 0));
    return DYNO_OK;
}

/* Of one tenant, whose sums are sums[*at .. end), or none; held_s is of it. */
static enum dyno_status make_account(struct work *work, size_t *at, size_t end)
{
    struct dyno_account *account = work->account;
    size_t held_count = 0;
    for (size_t i = 0; i < work->rater->options.book->tariff_count; i++)
        held_count += work->held_s[i] > 0 ? 1 : 0;
    /* A line a sum at most, a floor a sum, two for each tariff (as many as sums), a minimum for
     * each that has one, a credit. */
    account->lines =
        dyno_arena_alloc(work->arena, (end - *at) * 4 + held_count + 1, sizeof(*account->lines));
    if (account->lines == NULL)
        return DYNO_NOMEM(work->err);
    while (*at < end)
        DYNO_TRY(make_tariff(work, at));
    DYNO_TRY(make_other_minimums(work));
    DYNO_TRY(add_cost(work, 0));
    for (size_t i = 0; i < account->line_count; i++) {
        account->total_minor += account->lines[i].minor;
        account->residue_nano +=
            account->lines[i].nano - account->lines[i].minor * (dyno_i128)work->minor;
    }
    return make_credit(work);
}

/* --- the whole --- */

static enum dyno_status sort_sums(struct work *work)
{
    const struct dyno_sums *sums = &work->rater->sums;
    work->sums = dyno_arena_alloc(work->arena, sums->count + 1, sizeof(const struct dyno_sum *));
    if (work->sums == NULL)
        return DYNO_NOMEM(work->err);
    for (size_t i = 0; i < sums->capacity; i++)
        if (sums->used[i])
            work->sums[work->sum_count++] = &sums->slots[i];
    qsort_r(work->sums, work->sum_count, sizeof(const struct dyno_sum *), compare_sums, work);
    return DYNO_OK;
}

static void add_account(struct dyno_statement *statement, const struct dyno_account *account)
{
    statement->account_count++;
    statement->charged_minor += account->total_minor;
    statement->residue_nano += account->residue_nano;
    statement->device_ns += account->device_ns;
    statement->reference_ns += account->reference_ns;
    statement->credit_minor += account->credit_minor;
    for (size_t i = 0; i < account->line_count; i++)
        if (account->lines[i].kind != DYNO_LINE_CREDIT)
            statement->revenue_nano += account->lines[i].nano;
    if (account->cost_nano < 0 || statement->cost_nano < 0)
        statement->cost_nano = -1;
    else
        statement->cost_nano += account->cost_nano;
}

static struct dyno_account *next_account(struct work *work, struct dyno_statement *statement,
                                         const char *tenant)
{
    work->account = &statement->accounts[statement->account_count];
    *work->account = (struct dyno_account){.tenant = tenant};
    return work->account;
}

/* Tenants that used nothing, before `until` (NULL: all that are left), and owe a minimum. */
static enum dyno_status make_idle(struct work *work, struct dyno_statement *statement,
                                  size_t *grant, const char *until)
{
    const struct dyno_rater_options *options = &work->rater->options;
    size_t next = *grant;
    for (const char *tenant = dyno_minimum_next(options->book, &next);
         tenant != NULL && (until == NULL || strcmp(tenant, until) <= 0);
         tenant = dyno_minimum_next(options->book, &next)) {
        size_t none = 0;
        *grant = next;
        if ((until != NULL && strcmp(tenant, until) == 0) ||
            !dyno_minimum_held(options, tenant, true, work->held_s))
            continue;
        struct dyno_account *account = next_account(work, statement, tenant);
        DYNO_TRY(make_account(work, &none, 0));
        if (account->line_count > 0)
            add_account(statement, account);
    }
    return DYNO_OK;
}

/* All tenants in order: those of the sums, and those that the book grants a tariff by name. */
static enum dyno_status make_accounts(struct work *work, struct dyno_statement *statement)
{
    const struct dyno_rater_options *options = &work->rater->options;
    size_t grant = 0;
    for (size_t at = 0; at < work->sum_count;) {
        const uint32_t idx = work->sums[at]->key.tenant;
        const char *tenant = options->names[idx];
        size_t end = at;
        bool used = false; /* in this period: what is late is of another */
        for (; end < work->sum_count && work->sums[end]->key.tenant == idx; end++)
            used = used || work->sums[end]->is_late == 0;
        DYNO_TRY(make_idle(work, statement, &grant, tenant));
        struct dyno_account *account = next_account(work, statement, tenant);
        (void)dyno_minimum_held(options, tenant, !used, work->held_s);
        DYNO_TRY(make_account(work, &at, end));
        add_account(statement, account);
    }
    return make_idle(work, statement, &grant, NULL);
}

enum dyno_status dyno_rater_finish(struct dyno_rater *rater, struct dyno_arena *arena,
                                   struct dyno_statement **statement_out, struct dyno_err *err)
{
    const struct dyno_tariff_book *book = rater->options.book;
    struct work work = {.rater = rater, .arena = arena, .err = err};
    struct dyno_statement *statement = dyno_arena_alloc(arena, 1, sizeof(*statement));
    if (statement == NULL)
        return DYNO_NOMEM(err);
    statement->form = form_of(&work);
    statement->first_s = rater->options.first_s;
    statement->next_s = rater->options.next_s;
    DYNO_TRY(sort_sums(&work));
    statement->accounts = dyno_arena_alloc(arena, work.sum_count + book->grant_count + 1,
                                           sizeof(*statement->accounts));
    work.held_s = dyno_arena_alloc(arena, book->tariff_count + 1, sizeof(*work.held_s));
    if (statement->accounts == NULL || work.held_s == NULL)
        return DYNO_NOMEM(err);
    if (book->tariff_count > 0)
        work.minor = dyno_currency_minor(book->tariffs[0].currency);
    DYNO_TRY(make_accounts(&work, statement));
    if (statement->account_count > 0)
        statement->currency = book->tariffs[0].currency;
    *statement_out = statement;
    return DYNO_OK;
}
