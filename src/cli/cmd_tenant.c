/* cmd_tenant.c - dyno tenant: who may use a server, with which keys, and how much. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/flags.h"
#include "control/control.h"

#define BUSY_MS   5000
#define NOT_GIVEN (-1)

struct options {
    struct dyno_cli_list positional;
    struct dyno_cli_list models;
    const char *control_db, *rights, *class_name, *period, *key;
    double rate, quota_device_s;
    int64_t burst, concurrent, quota_requests, grace_s;
    bool all_models, json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    {.name = "--control-db",
     .value = "FILE",
     .help = "The control database; add makes it when it is not there",
     .kind = DYNO_FLAG_STR,
     AT(control_db)},
    {.name = "--rights",
     .value = "LIST",
     .help = "What it may do: infer, read (metadata, statistics, the index), control (loading and "
             "unloading), metrics; new tenants have infer,read",
     .kind = DYNO_FLAG_STR,
     AT(rights)},
    {.name = "--class",
     .value = "NAME",
     .help = "The best service class it may use; that of new tenants is standard",
     .kind = DYNO_FLAG_STR,
     AT(class_name)},
    {.name = "--rate",
     .value = "N",
     .help = "Requests a second, over any long time; 0: no limit, as for new tenants",
     .kind = DYNO_FLAG_F64,
     AT(rate),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = DYNO_RATE_MAX},
    {.name = "--burst",
     .value = "N",
     .help = "Requests at once, after a pause; 0: as many as in a second, as for new tenants",
     .kind = DYNO_FLAG_INT,
     AT(burst),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = DYNO_COUNT_MAX},
    {.name = "--concurrent",
     .value = "N",
     .help = "Requests in flight in one server; 0: no limit, as for new tenants",
     .kind = DYNO_FLAG_INT,
     AT(concurrent),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = DYNO_COUNT_MAX},
    {.name = "--period",
     .value = "day|month",
     .help = "Of the quota, in UTC; that of new tenants is day",
     .kind = DYNO_FLAG_STR,
     AT(period)},
    {.name = "--quota-requests",
     .value = "N",
     .help = "Requests a period; 0: no limit, as for new tenants",
     .kind = DYNO_FLAG_INT,
     AT(quota_requests),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = (double)DYNO_QUOTA_REQUESTS_MAX},
    {.name = "--quota-device-secs",
     .value = "S",
     .help = "Seconds of a device a period; 0: no limit, as for new tenants",
     .kind = DYNO_FLAG_F64,
     AT(quota_device_s),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = DYNO_QUOTA_DEVICE_S_MAX},
    {.name = "--model",
     .value = "NAME",
     .help = "It may use and see this model and no others; may be given again",
     .kind = DYNO_FLAG_LIST,
     AT(models)},
    {.name = "--all-models",
     .help = "It may use all models, as new tenants may",
     .kind = DYNO_FLAG_BOOL,
     AT(all_models)},
    {.name = "--grace-secs",
     .value = "S",
     .help = "rotate: how long the keys before stay valid; without it they end now",
     .kind = DYNO_FLAG_INT,
     AT(grace_s),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = DYNO_COUNT_MAX},
    {.name = "--key",
     .value = "ID",
     .help = "revoke: this key only, the second part of dyno_ID_SECRET",
     .kind = DYNO_FLAG_STR,
     AT(key)},
    DYNO_FLAG_JSON(options),
};

/* One call of the program. */
struct work {
    const struct options *options;
    const char *name; /* of a tenant; NULL: all */
    struct dyno_control *control;
    struct dyno_arena *arena;
    struct dyno_tenant change;
    uint32_t fields; /* of the change: enum dyno_tenant_field */
};

/* --- flags into values --- */

static enum dyno_status take_period(const char *text, struct dyno_tenant *change,
                                    struct dyno_err *err)
{
    for (int i = DYNO_PERIOD_DAY; i <= DYNO_PERIOD_MONTH; i++) {
        if (strcmp(text, dyno_period_text((enum dyno_period)i)) != 0)
            continue;
        change->period = (enum dyno_period)i;
        return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "--period=%s: wants day or month", text);
}

static enum dyno_status take_limits(const struct options *options, struct work *work,
                                    struct dyno_err *err)
{
    struct dyno_tenant *change = &work->change;
    *change = dyno_tenant_defaults(work->name);
    if (options->rights != NULL)
        DYNO_TRY(dyno_permits_parse(options->rights, &change->permits, err));
    if (options->period != NULL)
        DYNO_TRY(take_period(options->period, change, err));
    if (options->models.count > 0 && options->all_models)
        return DYNO_FAIL(err, DYNO_E_ARG, "give either --model or --all-models");
    if (options->class_name != NULL)
        change->class_name = options->class_name;
    if (options->rate >= 0)
        change->rate_per_s = options->rate;
    if (options->burst >= 0)
        change->burst = (uint32_t)options->burst;
    if (options->concurrent >= 0)
        change->concurrent_max = (uint32_t)options->concurrent;
    if (options->quota_requests >= 0)
        change->quota_requests = (uint64_t)options->quota_requests;
    if (options->quota_device_s >= 0)
        change->quota_device_ns = (uint64_t)(options->quota_device_s * 1e9);
    change->models = options->models.items;
    change->model_count = options->models.count;
    work->fields = (options->rights != NULL ? DYNO_TENANT_PERMITS : 0U) |
                   (options->class_name != NULL ? DYNO_TENANT_CLASS : 0U) |
                   (options->rate >= 0 ? DYNO_TENANT_RATE : 0U) |
                   (options->burst >= 0 ? DYNO_TENANT_BURST : 0U) |
                   (options->concurrent >= 0 ? DYNO_TENANT_CONCURRENT : 0U) |
                   (options->period != NULL ? DYNO_TENANT_PERIOD : 0U) |
                   (options->quota_requests >= 0 ? DYNO_TENANT_QUOTA_REQUESTS : 0U) |
                   (options->quota_device_s >= 0 ? DYNO_TENANT_QUOTA_DEVICE : 0U) |
                   (options->models.count > 0 || options->all_models ? DYNO_TENANT_MODELS : 0U);
    return work->name != NULL ? dyno_tenant_check(change, err) : DYNO_OK;
}

/* --- a tenant as JSON --- */

static void put_time(struct dyno_json_writer *json, const char *key, int64_t time_s)
{
    char text[DYNO_TIME_TEXT_ROOM];
    dyno_json_put_str_or_null(json, key, time_s != 0 ? dyno_time_text(time_s, text) : NULL);
}

static int64_t renewal_of(const struct dyno_tenant *tenant)
{
    int64_t first = 0;
    int64_t next = 0;
    dyno_period_of(tenant->period, dyno_day_of(dyno_now_s()), &first, &next);
    return next * DYNO_DAY_S;
}

static void put_quota(struct dyno_json_writer *json, const struct dyno_tenant *tenant)
{
    const struct dyno_use *use =
        tenant->period == DYNO_PERIOD_DAY ? &tenant->day_use : &tenant->month_use;
    dyno_json_put_object_begin(json, "quota");
    dyno_json_put_str(json, "period", dyno_period_text(tenant->period));
    dyno_json_put_u64(json, "requests", tenant->quota_requests);
    dyno_json_put_f64(json, "device_s", (double)tenant->quota_device_ns * 1e-9);
    dyno_json_put_u64(json, "used_requests", use->requests);
    dyno_json_put_f64(json, "used_device_s", (double)use->device_ns * 1e-9);
    put_time(json, "renewed", renewal_of(tenant));
    dyno_json_object_end(json);
}

static void put_keys(struct dyno_json_writer *json, const struct dyno_tenant *tenant)
{
    dyno_json_put_array_begin(json, "keys");
    for (size_t i = 0; i < tenant->key_count; i++) {
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "id", tenant->keys[i].id);
        put_time(json, "created", tenant->keys[i].created_s);
        put_time(json, "ends", tenant->keys[i].ends_s);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

static void put_tenant(struct dyno_json_writer *json, const struct dyno_tenant *tenant)
{
    struct dyno_strbuf rights = {0};
    dyno_permits_print(tenant->permits, &rights);
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "name", tenant->name);
    dyno_json_put_i64(json, "id", tenant->id);
    dyno_json_put_bool(json, "enabled", tenant->enabled);
    put_time(json, "created", tenant->created_s);
    dyno_json_put_str(json, "rights", dyno_strbuf_text(&rights));
    dyno_json_put_str(json, "class", tenant->class_name);
    dyno_json_put_f64(json, "rate_per_s", tenant->rate_per_s);
    dyno_json_put_u64(json, "burst", tenant->burst);
    dyno_json_put_u64(json, "concurrent_max", tenant->concurrent_max);
    put_quota(json, tenant);
    dyno_json_put_strs(json, "models", tenant->models, tenant->model_count);
    put_keys(json, tenant);
    dyno_json_object_end(json);
    dyno_strbuf_fini(&rights);
}

/* --- a tenant as text --- */

static void print_quota(const struct dyno_tenant *tenant)
{
    char renewed[DYNO_TIME_TEXT_ROOM];
    const char *period = dyno_period_text(tenant->period);
    const struct dyno_use *use =
        tenant->period == DYNO_PERIOD_DAY ? &tenant->day_use : &tenant->month_use;
    printf("  quota       ");
    if (tenant->quota_requests != 0)
        printf("%llu requests a %s, ", (unsigned long long)tenant->quota_requests, period);
    if (tenant->quota_device_ns != 0)
        printf("%g device-seconds a %s, ", (double)tenant->quota_device_ns * 1e-9, period);
    if (tenant->quota_requests == 0 && tenant->quota_device_ns == 0)
        printf("no limit, ");
    printf("used %llu requests and %g device-seconds until %s\n", (unsigned long long)use->requests,
           (double)use->device_ns * 1e-9, dyno_time_text(renewal_of(tenant), renewed));
}

static void print_keys(const struct dyno_tenant *tenant)
{
    char created[DYNO_TIME_TEXT_ROOM];
    char ends[DYNO_TIME_TEXT_ROOM];
    const int64_t now_s = dyno_now_s();
    for (size_t i = 0; i < tenant->key_count; i++) {
        const struct dyno_key_row *key = &tenant->keys[i];
        printf("  key         %s, made %s", key->id, dyno_time_text(key->created_s, created));
        if (key->ends_s != 0)
            printf(", %s %s", key->ends_s > now_s ? "ends" : "ended",
                   dyno_time_text(key->ends_s, ends));
        printf("\n");
    }
    if (tenant->key_count == 0)
        printf("  key         none\n");
}

static void print_tenant(const struct dyno_tenant *tenant)
{
    char created[DYNO_TIME_TEXT_ROOM];
    struct dyno_strbuf rights = {0};
    dyno_permits_print(tenant->permits, &rights);
    printf("tenant %s: id %lld, %s, made %s\n", tenant->name, (long long)tenant->id,
           tenant->enabled ? "enabled" : "disabled", dyno_time_text(tenant->created_s, created));
    printf("  rights      %s\n", tenant->permits != 0 ? dyno_strbuf_text(&rights) : "none");
    dyno_strbuf_fini(&rights);
    printf("  class       %s\n", tenant->class_name);
    if (tenant->rate_per_s == 0)
        printf("  rate        no limit\n");
    else if (tenant->burst == 0)
        printf("  rate        %g requests a second\n", tenant->rate_per_s);
    else
        printf("  rate        %g requests a second, %u at once\n", tenant->rate_per_s,
               tenant->burst);
    if (tenant->concurrent_max == 0)
        printf("  concurrent  no limit\n");
    else
        printf("  concurrent  %u requests\n", tenant->concurrent_max);
    print_quota(tenant);
    printf("  models      ");
    for (size_t i = 0; i < tenant->model_count; i++)
        printf("%s%s", i > 0 ? ", " : "", tenant->models[i]);
    printf("%s\n", tenant->model_count == 0 ? "all" : "");
    print_keys(tenant);
}

static void print_list(const struct dyno_tenant *tenants, size_t count)
{
    int width = 4;
    for (size_t i = 0; i < count; i++)
        if ((int)strlen(tenants[i].name) > width)
            width = (int)strlen(tenants[i].name);
    if (count > 0)
        printf("%-*s  %6s  %-8s  %4s  %-26s  %s\n", width, "NAME", "ID", "STATE", "KEYS", "RIGHTS",
               "CLASS");
    for (size_t i = 0; i < count; i++) {
        struct dyno_strbuf rights = {0};
        dyno_permits_print(tenants[i].permits, &rights);
        printf("%-*s  %6lld  %-8s  %4zu  %-26s  %s\n", width, tenants[i].name,
               (long long)tenants[i].id, tenants[i].enabled ? "enabled" : "disabled",
               tenants[i].key_count, dyno_strbuf_text(&rights), tenants[i].class_name);
        dyno_strbuf_fini(&rights);
    }
}

/* --- keys --- */

/* Past the buffers of stdio, where it would stay. */
static enum dyno_status write_out(const char *text, size_t bytes, struct dyno_err *err)
{
    if (fflush(stdout) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot write to standard output: %s", strerror(errno));
    while (bytes > 0) {
        const ssize_t written = write(STDOUT_FILENO, text, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return DYNO_FAIL(err, DYNO_E_IO, "cannot write to standard output: %s",
                             strerror(errno));
        text += written;
        bytes -= (size_t)written;
    }
    return DYNO_OK;
}

/* The one time that it is shown.  Nothing in it needs an escape. */
static enum dyno_status show_key(const struct work *work, struct dyno_key *key,
                                 struct dyno_err *err)
{
    char text[512];
    const int bytes =
        work->options->json
            ? snprintf(text, sizeof(text),
                       "{\n  \"tenant\": \"%s\",\n  \"key_id\": \"%s\",\n  \"key\": \"%s\"\n}\n",
                       work->name, key->id, key->text)
            : snprintf(text, sizeof(text),
                       "tenant %s has the key %s, which is shown this once:\n%s\n", work->name,
                       key->id, key->text);
    DYNO_ASSERT(bytes > 0 && (size_t)bytes < sizeof(text)); /* a name has at most 128 bytes */
    const enum dyno_status status = write_out(text, (size_t)bytes, err);
    explicit_bzero(text, sizeof(text));
    dyno_key_wipe(key);
    return status;
}

/* --- actions --- */

static enum dyno_status show(struct work *work, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    struct dyno_tenant *tenant = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_control_read(work->control, work->name, dyno_day_of(dyno_now_s()), work->arena,
                               &tenant, &count, err));
    if (!work->options->json) {
        print_tenant(tenant);
        return DYNO_OK;
    }
    put_tenant(&json, tenant);
    return dyno_cli_print(&text, err);
}

static enum dyno_status list(struct work *work, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    struct dyno_tenant *tenants = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_control_read(work->control, NULL, dyno_day_of(dyno_now_s()), work->arena,
                               &tenants, &count, err));
    if (!work->options->json) {
        print_list(tenants, count);
        return DYNO_OK;
    }
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        put_tenant(&json, &tenants[i]);
    dyno_json_array_end(&json);
    return dyno_cli_print(&text, err);
}

static enum dyno_status add(struct work *work, struct dyno_err *err)
{
    struct dyno_key key;
    DYNO_TRY(dyno_control_add(work->control, &work->change, &key, err));
    return show_key(work, &key, err);
}

static enum dyno_status rotate_keys(struct work *work, struct dyno_err *err)
{
    struct dyno_key key;
    const int64_t grace_s = work->options->grace_s >= 0 ? work->options->grace_s : 0;
    DYNO_TRY(dyno_control_rotate(work->control, work->name, grace_s, &key, err));
    return show_key(work, &key, err);
}

static enum dyno_status set(struct work *work, struct dyno_err *err)
{
    DYNO_TRY(dyno_control_set(work->control, &work->change, work->fields, err));
    return show(work, err);
}

static enum dyno_status enable(struct work *work, struct dyno_err *err)
{
    work->change.enabled = true;
    work->fields = DYNO_TENANT_ENABLED;
    return set(work, err);
}

static enum dyno_status disable(struct work *work, struct dyno_err *err)
{
    work->change.enabled = false;
    work->fields = DYNO_TENANT_ENABLED;
    return set(work, err);
}

static enum dyno_status revoke_keys(struct work *work, struct dyno_err *err)
{
    DYNO_TRY(dyno_control_revoke(work->control, work->name, work->options->key, err));
    return show(work, err);
}

static enum dyno_status remove_tenant(struct work *work, struct dyno_err *err)
{
    DYNO_TRY(dyno_control_remove(work->control, work->name, err));
    printf(work->options->json ? "{\n  \"removed\": \"%s\"\n}\n" : "tenant %s is removed\n",
           work->name);
    return DYNO_OK;
}

/* --- the command --- */

static const struct action {
    const char *name;
    enum dyno_status (*run)(struct work *work, struct dyno_err *err);
    bool is_of_all, takes_limits, takes_grace, takes_key;
} actions[] = {
    {.name = "add", .run = add, .takes_limits = true},
    {.name = "list", .run = list, .is_of_all = true},
    {.name = "show", .run = show},
    {.name = "set", .run = set, .takes_limits = true},
    {.name = "rotate", .run = rotate_keys, .takes_grace = true},
    {.name = "revoke", .run = revoke_keys, .takes_key = true},
    {.name = "enable", .run = enable},
    {.name = "disable", .run = disable},
    {.name = "remove", .run = remove_tenant},
};

static enum dyno_status find_action(const struct options *options, const struct action **action_out,
                                    struct dyno_err *err)
{
    const char *name = options->positional.items[0];
    *action_out = NULL;
    for (size_t i = 0; i < DYNO_COUNT(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            *action_out = &actions[i];
    if (*action_out == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "it knows add, list, show, set, rotate, revoke, enable, disable and "
                         "remove, not '%s'",
                         name);
    const bool has_name = options->positional.count > 1;
    if ((*action_out)->is_of_all && has_name)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s is of all tenants and takes no name", name);
    if (!(*action_out)->is_of_all && !has_name)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s wants the name of a tenant", name);
    return DYNO_OK;
}

static enum dyno_status check_flags(const struct action *action, const struct work *work,
                                    struct dyno_err *err)
{
    if (work->options->control_db == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--control-db=FILE is missing");
    if (work->fields != 0 && !action->takes_limits)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no rights, limits or models: that is set",
                         action->name);
    if (work->options->grace_s >= 0 && !action->takes_grace)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --grace-secs", action->name);
    if (work->options->key != NULL && !action->takes_key)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --key", action->name);
    if (work->fields == 0 && action->run == set)
        return DYNO_FAIL(err, DYNO_E_ARG, "there is nothing to set");
    return DYNO_OK;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    const struct action *action = NULL;
    struct work work = {.options = options};
    DYNO_TRY(find_action(options, &action, err));
    work.name = action->is_of_all ? NULL : options->positional.items[1];
    DYNO_TRY(take_limits(options, &work, err));
    DYNO_TRY(check_flags(action, &work, err));
    work.arena = dyno_arena_create();
    if (work.arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status =
        dyno_control_open(options->control_db, action->run == add, BUSY_MS, &work.control, err);
    if (status == DYNO_OK)
        status = action->run(&work, err);
    dyno_control_close(work.control);
    dyno_arena_destroy(work.arena);
    return status;
}

const struct dyno_command dyno_command_tenant = {
    .name = "tenant",
    .summary = "Manage who may use a server: tenants, their keys and limits",
    .positional = "add|list|show|set|rotate|revoke|enable|disable|remove [NAME]",
    .positional_min = 1,
    .positional_max = 2,
    .text = "add makes a tenant and shows its key, once; rotate makes another key; revoke ends one "
            "or all. What is changed is in force in running servers (dyno serve --control-db) "
            "within a second.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
