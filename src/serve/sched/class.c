/* class.c - rows of policy, read from flags. */
#include "serve/sched/class.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)

static const struct dyno_class defaults[] = {
    {.name = "realtime",
     .accuracy = 0.0,
     .deadline_ns = 200 * MS,
     .weight = 16,
     .wants_accurate = true},
    {.name = "standard", .weight = 4, .wants_accurate = true, .may_degrade = true},
    {.name = "batch", .weight = 1},
};

void dyno_classes_init(struct dyno_classes *classes)
{
    *classes = (struct dyno_classes){.count = DYNO_COUNT(defaults), .fallback = 1};
    memcpy(classes->rows, defaults, sizeof(defaults));
}

int dyno_class_find(const struct dyno_classes *classes, const char *name)
{
    for (int i = 0; i < classes->count; i++)
        if (strcmp(classes->rows[i].name, name) == 0)
            return i;
    return -1;
}

/* --- rows as text --- */

static bool take_number(const char *text, double min, double max, const char **end_out, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    *end_out = end;
    return end != text && isfinite(*out) && *out >= min && *out <= max;
}

/* "200ms", "1.5s", "0": none. */
static bool take_deadline(const char *text, uint64_t *ns_out)
{
    double value = 0.0;
    const char *unit = NULL;
    if (!take_number(text, 0.0, 86400000.0, &unit, &value))
        return false;
    if (strcmp(unit, "s") == 0)
        value *= 1000.0;
    else if (strcmp(unit, "ms") != 0 && !(*unit == 0 && value == 0.0))
        return false;
    *ns_out = (uint64_t)(value * (double)MS);
    return true;
}

static bool take_choice(const char *text, const char *yes, const char *no, bool *out)
{
    *out = strcmp(text, yes) == 0;
    return *out || strcmp(text, no) == 0;
}

/* One "key=value"; the rule when it is broken, NULL when not. */
static const char *take_part(struct dyno_class *row, const char *key, const char *value)
{
    double number = 0.0;
    const char *end = "";
    if (strcmp(key, "deadline") == 0)
        return take_deadline(value, &row->deadline_ns)
                   ? NULL
                   : "wants a time as 200ms or 1.5s, 0 for none";
    if (strcmp(key, "weight") == 0) {
        const bool ok =
            take_number(value, 1.0, 1000.0, &end, &number) && *end == 0 && number == floor(number);
        row->weight = ok ? (uint32_t)number : row->weight;
        return ok ? NULL : "wants a whole number, 1 to 1000";
    }
    if (strcmp(key, "accuracy") == 0) {
        const bool ok = take_number(value, 0.0, 1.0, &end, &number) && *end == 0;
        row->accuracy = ok ? number : row->accuracy;
        return ok ? NULL : "wants a number, 0 to 1";
    }
    if (strcmp(key, "prefer") == 0)
        return take_choice(value, "accurate", "cheap", &row->wants_accurate)
                   ? NULL
                   : "wants accurate or cheap";
    if (strcmp(key, "degrade") == 0)
        return take_choice(value, "yes", "no", &row->may_degrade) ? NULL : "wants yes or no";
    return "is not known: deadline, weight, accuracy, prefer and degrade are";
}

static bool is_name(const char *text)
{
    const size_t bytes = strlen(text);
    return bytes > 0 && bytes <= DYNO_CLASS_NAME_BYTES_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
               bytes;
}

/* Cuts `text` at its commas. */
static enum dyno_status take_row(struct dyno_classes *classes, char *text, struct dyno_err *err)
{
    char *rest = NULL;
    const char *name = strtok_r(text, ",", &rest);
    if (name == NULL || !is_name(name))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "a service class begins with its name: letters, digits, _ and -, at most "
                         "%d",
                         DYNO_CLASS_NAME_BYTES_MAX);
    const int known = dyno_class_find(classes, name);
    if (known < 0 && classes->count == DYNO_CLASSES_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "more than %d service classes", DYNO_CLASSES_MAX);
    struct dyno_class row = {.weight = 1, .wants_accurate = true, .may_degrade = true};
    memcpy(row.name, name, strlen(name) + 1);
    if (known >= 0)
        row = classes->rows[known];
    for (char *part = strtok_r(NULL, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(part, '=');
        if (equals != NULL)
            *equals = 0;
        const char *rule = take_part(&row, part, equals != NULL ? equals + 1 : "");
        if (rule != NULL)
            return DYNO_FAIL(err, DYNO_E_ARG, "service class '%s': %.64s %s", row.name, part, rule);
    }
    classes->rows[known >= 0 ? known : classes->count++] = row;
    return DYNO_OK;
}

enum dyno_status dyno_classes_set(struct dyno_classes *classes, const char *text,
                                  struct dyno_err *err)
{
    char own[512];
    const size_t bytes = strlen(text) + 1;
    if (bytes > sizeof(own))
        return DYNO_FAIL(err, DYNO_E_ARG, "a service class of more than %zu bytes",
                         sizeof(own) - 1);
    memcpy(own, text, bytes);
    return take_row(classes, own, err);
}

/* --- requests --- */

enum dyno_status dyno_class_choose(const struct dyno_classes *classes, int best,
                                   const struct dyno_class_wish *wish, int *class_out,
                                   struct dyno_err *err)
{
    const int last = classes->count - 1;
    *class_out = classes->fallback > best ? classes->fallback : best;
    if (wish->sla != NULL) {
        *class_out = dyno_class_find(classes, wish->sla);
        if (*class_out < 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "there is no service class '%.64s'", wish->sla);
        if (*class_out < best)
            return DYNO_FAIL(err, DYNO_E_DENIED,
                             "service class '%s' is not allowed to this caller, '%s' is", wish->sla,
                             classes->rows[best].name);
    } else if (wish->priority != 0) {
        const uint64_t steps = wish->priority - 1;
        *class_out = steps < (uint64_t)(last - best) ? best + (int)steps : last;
    }
    return DYNO_OK;
}
