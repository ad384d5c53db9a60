/* tariff.c - a book of tariffs out of JSON, checked; which tariff when; prices. */
#include "rate/tariff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"

#define NS_AN_HOUR INT64_C(3600000000000)
#define CORES_MAX  65536

static const char *const kind_texts[] = {
#define X(sym, name) name,
    DYNO_TARIFF_KINDS(X)
#undef X
};

const char *dyno_tariff_kind_text(enum dyno_tariff_kind kind)
{
    return kind_texts[kind];
}

/* --- fields --- */

/* Where a field stands, for sentences: "tariff 'name' version 3: field". */
struct place {
    char text[DYNO_TARIFF_NAME_BYTES + 96];
};

static const char *in(const struct place *place, const char *field, struct place *out)
{
    (void)snprintf(out->text, sizeof(out->text), "%.*s: %s", DYNO_TARIFF_NAME_BYTES + 48,
                   place->text, field);
    return out->text;
}

/* Members that are none of `known` are refused: a misspelt price must not be passed over. */
static enum dyno_status check_keys(const struct dyno_json *object, const struct place *place,
                                   const char *const *known, size_t count, struct dyno_err *err)
{
    if (object->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: must be an object", place->text);
    for (const struct dyno_json *at = object->first; at != NULL; at = at->next) {
        size_t i = 0;
        while (i < count && strcmp(known[i], at->key) != 0)
            i++;
        if (i == count)
            return DYNO_FAIL(err, DYNO_E_ARG, "%s: there is no field \"%.64s\"", place->text,
                             at->key);
    }
    return DYNO_OK;
}

static bool is_text(const struct dyno_json *value)
{
    return value != NULL && value->kind == DYNO_JSON_STRING &&
           strlen(value->text) == value->text_bytes;
}

/* One line, as names of the ledger are: it stands in invoices, and in records as NAME/VERSION. */
static bool is_line(const char *text)
{
    while ((unsigned char)*text >= ' ' && *text != 0x7f)
        text++;
    return *text == 0;
}

static enum dyno_status take_name(const struct dyno_json *object, const char *key,
                                  const struct place *place, const char **name_out,
                                  struct dyno_err *err)
{
    const struct dyno_json *value = dyno_json_find(object, key);
    if (!is_text(value) || value->text_bytes == 0 || value->text_bytes > DYNO_TARIFF_NAME_BYTES)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: %s must be a text of 1 to %d bytes", place->text,
                         key, DYNO_TARIFF_NAME_BYTES);
    if (!is_line(value->text))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: %s holds a control character", place->text, key);
    if (strchr("=+-@", value->text[0]) != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s: %s begins with '%c', which spreadsheets take for a formula",
                         place->text, key, value->text[0]);
    *name_out = value->text;
    return DYNO_OK;
}

/* A number as text, exact; in units of 10^-decimals, 0 to max.  Absent: *value_out stays. */
static enum dyno_status take_decimal(const struct dyno_json *object, const char *key,
                                     const struct place *place, int decimals, int64_t max,
                                     int64_t *value_out, struct dyno_err *err)
{
    const struct dyno_json *value = dyno_json_find(object, key);
    struct place here = {""};
    char bound[DYNO_MONEY_ROOM];
    if (value == NULL)
        return DYNO_OK;
    if (!is_text(value))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s must be a decimal number as a text, as \"1.25\"",
                         in(place, key, &here));
    DYNO_TRY(dyno_decimal_parse(value->text, decimals, in(place, key, &here), value_out, err));
    if (*value_out < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: %.40s is negative", in(place, key, &here),
                         value->text);
    if (*value_out > max)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: %.40s is above %s", in(place, key, &here),
                         value->text, dyno_decimal_text(max, decimals, 0, bound));
    return DYNO_OK;
}

static enum dyno_status take_time(const struct dyno_json *object, const char *key,
                                  const struct place *place, int64_t *time_s_out,
                                  struct dyno_err *err)
{
    const struct dyno_json *value = dyno_json_find(object, key);
    if (value == NULL || value->kind == DYNO_JSON_NULL)
        return DYNO_OK;
    if (!is_text(value) || !dyno_time_parse(value->text, time_s_out))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s: %s must be a day or a time in UTC, as \"2026-11-01\" or "
                         "\"2026-11-01T00:00:00Z\"",
                         place->text, key);
    return DYNO_OK;
}

/* "from" and "until" of a version or a grant. */
static enum dyno_status take_term(const struct dyno_json *object, const struct place *place,
                                  int64_t *from_s, int64_t *until_s, struct dyno_err *err)
{
    *from_s = 0;
    *until_s = DYNO_TARIFF_FOREVER;
    DYNO_TRY(take_time(object, "from", place, from_s, err));
    DYNO_TRY(take_time(object, "until", place, until_s, err));
    if (*until_s <= *from_s)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: until must be later than from", place->text);
    return DYNO_OK;
}

/* --- parts of a tariff --- */

static enum dyno_status take_factors(const struct dyno_json *tariff, const char *key,
                                     const struct place *place, struct dyno_arena *arena,
                                     struct dyno_factor **factors_out, size_t *count_out,
                                     struct dyno_err *err)
{
    const struct dyno_json *list = dyno_json_find(tariff, key);
    struct place here = {""};
    if (list == NULL)
        return DYNO_OK;
    if (list->kind != DYNO_JSON_OBJECT || list->count > DYNO_TARIFF_FACTORS_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s must be an object of at most %d factors by name",
                         in(place, key, &here), DYNO_TARIFF_FACTORS_MAX);
    (void)in(place, key, &here);
    *factors_out = dyno_arena_alloc(arena, list->count + 1, sizeof(**factors_out));
    if (*factors_out == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next) {
        struct dyno_factor *factor = &(*factors_out)[(*count_out)++];
        factor->name = at->key;
        if (!is_line(at->key))
            return DYNO_FAIL(err, DYNO_E_ARG, "%s: a name in it holds a control character",
                             here.text);
        DYNO_TRY(
            take_decimal(list, at->key, &here, 9, DYNO_TARIFF_FACTOR_MAX, &factor->factor, err));
    }
    return DYNO_OK;
}

/* {"up_to_epu_hours": "100", "factor": "0.9"}; the last one has no bound. */
static enum dyno_status take_tier(const struct dyno_json *item, const struct place *place,
                                  struct dyno_tariff *tariff, struct dyno_err *err)
{
    static const char *const known[] = {"up_to_epu_hours", "factor"};
    struct dyno_tier *tier = &tariff->tiers[tariff->tier_count];
    const uint64_t before = tariff->tier_count > 0 ? tier[-1].up_to_ns : 0;
    int64_t hours_ppm = -1;
    tier->factor = -1;
    DYNO_TRY(check_keys(item, place, known, DYNO_COUNT(known), err));
    DYNO_TRY(
        take_decimal(item, "up_to_epu_hours", place, 6, INT64_C(1000000000000), &hours_ppm, err));
    DYNO_TRY(take_decimal(item, "factor", place, 9, DYNO_TARIFF_FACTOR_MAX, &tier->factor, err));
    if (tier->factor < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: a step wants a factor", place->text);
    if ((hours_ppm < 0) != (item->next == NULL))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s: all steps but the last want up_to_epu_hours, and the last has none",
                         place->text);
    tier->up_to_ns =
        hours_ppm < 0 ? UINT64_MAX : (uint64_t)hours_ppm * (uint64_t)(NS_AN_HOUR / DYNO_PPM);
    if (tier->up_to_ns <= before)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: steps must rise", place->text);
    tariff->tier_count++;
    return DYNO_OK;
}

static enum dyno_status take_tiers(const struct dyno_json *object, const struct place *place,
                                   struct dyno_tariff *tariff, struct dyno_err *err)
{
    static const char *const known[] = {"mode", "steps"};
    const struct dyno_json *tiers = dyno_json_find(object, "tiers");
    const char *mode = "";
    struct place here = {""};
    if (tiers == NULL)
        return DYNO_OK;
    (void)in(place, "tiers", &here);
    DYNO_TRY(check_keys(tiers, &here, known, DYNO_COUNT(known), err));
    DYNO_TRY(take_name(tiers, "mode", &here, &mode, err));
    tariff->tier_mode = strcmp(mode, "graduated") == 0 ? DYNO_TIERS_GRADUATED
                        : strcmp(mode, "volume") == 0  ? DYNO_TIERS_VOLUME
                                                       : DYNO_TIERS_NONE;
    const struct dyno_json *steps = dyno_json_find(tiers, "steps");
    if (tariff->tier_mode == DYNO_TIERS_NONE)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: mode is graduated or volume, not %.32s", here.text,
                         mode);
    if (steps == NULL || steps->kind != DYNO_JSON_ARRAY || steps->count == 0 ||
        steps->count > DYNO_TARIFF_TIERS_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: steps must be an array of 1 to %d objects",
                         here.text, DYNO_TARIFF_TIERS_MAX);
    for (const struct dyno_json *at = steps->first; at != NULL; at = at->next)
        DYNO_TRY(take_tier(at, &here, tariff, err));
    return DYNO_OK;
}

static enum dyno_status take_residency(const struct dyno_json *object, const struct place *place,
                                       struct dyno_tariff *tariff, struct dyno_err *err)
{
    static const char *const known[] = {"floor", "device_bytes"};
    const struct dyno_json *residency = dyno_json_find(object, "residency");
    struct place here = {""};
    if (residency == NULL)
        return DYNO_OK;
    (void)in(place, "residency", &here);
    DYNO_TRY(check_keys(residency, &here, known, DYNO_COUNT(known), err));
    DYNO_TRY(take_decimal(residency, "floor", &here, 9, DYNO_NANO, &tariff->floor_factor, err));
    const struct dyno_json *bytes = dyno_json_find(residency, "device_bytes");
    if (bytes == NULL || !bytes->is_int || bytes->integer <= 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: device_bytes must be a whole number above 0",
                         here.text);
    tariff->device_bytes = (uint64_t)bytes->integer;
    return DYNO_OK;
}

static enum dyno_status take_kind(const struct dyno_json *object, const struct place *place,
                                  struct dyno_tariff *tariff, struct dyno_err *err)
{
    const char *kind = "";
    DYNO_TRY(take_name(object, "kind", place, &kind, err));
    for (size_t i = 0; i < DYNO_COUNT(kind_texts); i++) {
        if (strcmp(kind, kind_texts[i]) == 0) {
            tariff->kind = (enum dyno_tariff_kind)i;
            return DYNO_OK;
        }
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "%s: kind is device-hour, flat-epu or gain-share, not %.32s",
                     place->text, kind);
}

/* What each kind needs. */
static enum dyno_status check_prices(const struct dyno_tariff *tariff, const struct place *place,
                                     struct dyno_err *err)
{
    const char *missing = NULL;
    if (tariff->kind == DYNO_TARIFF_FLAT_EPU && tariff->epu_hour < 0)
        missing = "epu_hour";
    else if (tariff->kind != DYNO_TARIFF_FLAT_EPU && tariff->device_hour < 0)
        missing = "device_hour";
    else if (tariff->kind == DYNO_TARIFF_GAIN_SHARE && tariff->share_ppm < 0)
        missing = "share";
    else if ((tariff->floor_factor > 0 || tariff->charges_cold_start) && tariff->device_hour < 0)
        missing = "device_hour";
    if (missing != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: a tariff of kind %s wants %s", place->text,
                         dyno_tariff_kind_text(tariff->kind), missing);
    return DYNO_OK;
}

static enum dyno_status take_tariff(const struct dyno_json *object, size_t number,
                                    struct dyno_arena *arena, struct dyno_tariff *tariff,
                                    struct dyno_err *err)
{
    static const char *const known[] = {
        "device_cores", "name",        "version",  "currency", "from",         "until",
        "kind",         "device_hour", "epu_hour", "share",    "speed_up_max", "cost_hour",
        "classes",      "precisions",  "tiers",    "minimum",  "residency",    "cold_start"};
    struct place place;
    const char *currency = "";
    tariff->device_hour = tariff->epu_hour = tariff->share_ppm = tariff->cost_hour = -1;
    tariff->speed_up_max_ppm = DYNO_TARIFF_SPEED_UP_MAX;
    (void)snprintf(place.text, sizeof(place.text), "tariff %zu of the book", number);
    DYNO_TRY(check_keys(object, &place, known, DYNO_COUNT(known), err));
    DYNO_TRY(take_name(object, "name", &place, &tariff->name, err));
    const struct dyno_json *version = dyno_json_find(object, "version");
    if (version == NULL || !version->is_int || version->integer < 1)
        return DYNO_FAIL(err, DYNO_E_ARG, "tariff '%.128s': version must be a whole number above 0",
                         tariff->name);
    tariff->version = version->integer;
    (void)snprintf(place.text, sizeof(place.text), "tariff '%.128s' version %lld", tariff->name,
                   (long long)tariff->version);
    DYNO_TRY(take_name(object, "currency", &place, &currency, err));
    tariff->currency = dyno_currency_find(currency);
    if (tariff->currency == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: currency '%.16s' is not known (ISO 4217, as USD)",
                         place.text, currency);
    DYNO_TRY(take_term(object, &place, &tariff->from_s, &tariff->until_s, err));
    DYNO_TRY(take_kind(object, &place, tariff, err));
    const struct {
        const char *key;
        int decimals;
        int64_t max;
        int64_t *to;
    } numbers[] = {
        {"device_hour", 9, DYNO_TARIFF_PRICE_MAX, &tariff->device_hour},
        {"epu_hour", 9, DYNO_TARIFF_PRICE_MAX, &tariff->epu_hour},
        {"share", 6, DYNO_PPM, &tariff->share_ppm},
        {"speed_up_max", 6, DYNO_TARIFF_SPEED_UP_MAX, &tariff->speed_up_max_ppm},
        {"cost_hour", 9, DYNO_TARIFF_PRICE_MAX, &tariff->cost_hour},
        {"minimum", 9, DYNO_TARIFF_PRICE_MAX * 1000, &tariff->minimum},
    };
    for (size_t i = 0; i < DYNO_COUNT(numbers); i++)
        DYNO_TRY(take_decimal(object, numbers[i].key, &place, numbers[i].decimals, numbers[i].max,
                              numbers[i].to, err));
    if (tariff->speed_up_max_ppm < DYNO_PPM)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: speed_up_max must be at least 1", place.text);
    DYNO_TRY(take_factors(object, "classes", &place, arena, &tariff->classes, &tariff->class_count,
                          err));
    DYNO_TRY(take_factors(object, "precisions", &place, arena, &tariff->precisions,
                          &tariff->precision_count, err));
    DYNO_TRY(take_tiers(object, &place, tariff, err));
    DYNO_TRY(take_residency(object, &place, tariff, err));
    const struct dyno_json *cores = dyno_json_find(object, "device_cores");
    if (cores != NULL && (!cores->is_int || cores->integer < 1 || cores->integer > CORES_MAX))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: device_cores must be a whole number from 1 to %d",
                         place.text, CORES_MAX);
    tariff->device_cores = cores != NULL ? (uint64_t)cores->integer : 1;
    const struct dyno_json *cold = dyno_json_find(object, "cold_start");
    if (cold != NULL && cold->kind != DYNO_JSON_BOOL)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: cold_start must be true or false", place.text);
    tariff->charges_cold_start = cold != NULL && cold->boolean;
    return check_prices(tariff, &place, err);
}

static enum dyno_status take_grant(const struct dyno_json *object, size_t number,
                                   struct dyno_tariff_grant *grant, struct dyno_err *err)
{
    static const char *const known[] = {"tenant", "tariff", "from", "until"};
    struct place place;
    (void)snprintf(place.text, sizeof(place.text), "grant %zu of the book", number);
    DYNO_TRY(check_keys(object, &place, known, DYNO_COUNT(known), err));
    DYNO_TRY(take_name(object, "tariff", &place, &grant->tariff, err));
    if (dyno_json_find(object, "tenant") != NULL)
        DYNO_TRY(take_name(object, "tenant", &place, &grant->tenant, err));
    (void)snprintf(place.text, sizeof(place.text), "grant %zu of the book, of '%.128s'", number,
                   grant->tariff);
    return take_term(object, &place, &grant->from_s, &grant->until_s, err);
}

/* --- the book --- */

static int by_name_and_time(const void *a, const void *b)
{
    const struct dyno_tariff *left = a;
    const struct dyno_tariff *right = b;
    const int by_name = strcmp(left->name, right->name);
    if (by_name != 0)
        return by_name;
    return left->from_s < right->from_s ? -1 : left->from_s > right->from_s;
}

static int compare_tenants(const char *left, const char *right)
{
    if (left == NULL || right == NULL)
        return (left == NULL) - (right == NULL);
    return strcmp(left, right);
}

static int by_tenant_and_time(const void *a, const void *b)
{
    const struct dyno_tariff_grant *left = a;
    const struct dyno_tariff_grant *right = b;
    const int by_tenant = compare_tenants(left->tenant, right->tenant);
    if (by_tenant != 0)
        return by_tenant;
    return left->from_s < right->from_s ? -1 : left->from_s > right->from_s;
}

static enum dyno_status check_tariffs(const struct dyno_tariff_book *book, struct dyno_err *err)
{
    for (size_t i = 1; i < book->tariff_count; i++) {
        const struct dyno_tariff *before = &book->tariffs[i - 1];
        const struct dyno_tariff *tariff = &book->tariffs[i];
        if (tariff->currency != before->currency)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "tariff '%.128s' is in %s and '%.128s' in %s: a book has one currency",
                             before->name, before->currency->code, tariff->name,
                             tariff->currency->code);
        if (strcmp(before->name, tariff->name) != 0)
            continue;
        if (tariff->from_s < before->until_s)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "tariff '%.128s': versions %lld and %lld are in force at one time",
                             tariff->name, (long long)before->version, (long long)tariff->version);
        if (tariff->version <= before->version)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "tariff '%.128s': version %lld comes after version %lld", tariff->name,
                             (long long)tariff->version, (long long)before->version);
    }
    return DYNO_OK;
}

static enum dyno_status check_grants(const struct dyno_tariff_book *book, struct dyno_err *err)
{
    for (size_t i = 0; i < book->grant_count; i++) {
        const struct dyno_tariff_grant *grant = &book->grants[i];
        const char *tenant = grant->tenant != NULL ? grant->tenant : "everybody else";
        size_t k = 0;
        while (k < book->tariff_count && strcmp(book->tariffs[k].name, grant->tariff) != 0)
            k++;
        if (k == book->tariff_count)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "%.128s is granted the tariff '%.128s', which is not there", tenant,
                             grant->tariff);
        if (i > 0 && compare_tenants(grant[-1].tenant, grant->tenant) == 0 &&
            grant->from_s < grant[-1].until_s)
            return DYNO_FAIL(err, DYNO_E_ARG, "%.128s is granted '%.128s' and '%.128s' at one time",
                             tenant, grant[-1].tariff, grant->tariff);
    }
    return DYNO_OK;
}

static enum dyno_status list_of(const struct dyno_json *root, const char *key,
                                const struct dyno_json **list_out, struct dyno_err *err)
{
    const struct dyno_json *list = dyno_json_find(root, key);
    if (list == NULL || list->kind != DYNO_JSON_ARRAY || list->count > DYNO_TARIFFS_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s must be an array of at most %d objects", key,
                         DYNO_TARIFFS_MAX);
    *list_out = list;
    return DYNO_OK;
}

enum dyno_status dyno_tariff_book_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                        const struct dyno_tariff_book **book_out,
                                        struct dyno_err *err)
{
    static const char *const known[] = {"tariffs", "grants"};
    const struct place place = {"a book of tariffs"};
    const struct dyno_json *root = NULL;
    const struct dyno_json *tariffs = NULL;
    const struct dyno_json *grants = NULL;
    DYNO_TRY(dyno_json_parse(text, bytes, arena, &root, err));
    DYNO_TRY(check_keys(root, &place, known, DYNO_COUNT(known), err));
    DYNO_TRY(list_of(root, "tariffs", &tariffs, err));
    DYNO_TRY(list_of(root, "grants", &grants, err));
    struct dyno_tariff_book *book = dyno_arena_alloc(arena, 1, sizeof(*book));
    struct dyno_tariff *rows = dyno_arena_alloc(arena, tariffs->count + 1, sizeof(*rows));
    struct dyno_tariff_grant *given = dyno_arena_alloc(arena, grants->count + 1, sizeof(*given));
    if (book == NULL || rows == NULL || given == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = tariffs->first; at != NULL;
         at = at->next, book->tariff_count++)
        DYNO_TRY(take_tariff(at, book->tariff_count + 1, arena, &rows[book->tariff_count], err));
    for (const struct dyno_json *at = grants->first; at != NULL; at = at->next, book->grant_count++)
        DYNO_TRY(take_grant(at, book->grant_count + 1, &given[book->grant_count], err));
    qsort(rows, book->tariff_count, sizeof(*rows), by_name_and_time);
    qsort(given, book->grant_count, sizeof(*given), by_tenant_and_time);
    book->tariffs = rows;
    book->grants = given;
    DYNO_TRY(check_tariffs(book, err));
    DYNO_TRY(check_grants(book, err));
    *book_out = book;
    return DYNO_OK;
}

const struct dyno_tariff *dyno_tariff_at(const struct dyno_tariff_book *book, const char *name,
                                         int64_t time_s)
{
    for (size_t i = 0; i < book->tariff_count; i++) {
        const struct dyno_tariff *tariff = &book->tariffs[i];
        if (time_s >= tariff->from_s && time_s < tariff->until_s && strcmp(tariff->name, name) == 0)
            return tariff;
    }
    return NULL;
}

/* A grant of one's own goes before the one for everybody else. */
static const struct dyno_tariff_grant *grant_of(const struct dyno_tariff_book *book,
                                                const char *tenant, int64_t time_s)
{
    for (size_t i = 0; i < book->grant_count; i++) {
        const struct dyno_tariff_grant *grant = &book->grants[i];
        if (time_s >= grant->from_s && time_s < grant->until_s &&
            (grant->tenant == NULL || strcmp(grant->tenant, tenant) == 0))
            return grant;
    }
    return NULL;
}

const struct dyno_tariff *dyno_tariff_of(const struct dyno_tariff_book *book, const char *tenant,
                                         int64_t time_s)
{
    const struct dyno_tariff_grant *grant = grant_of(book, tenant, time_s);
    return grant != NULL ? dyno_tariff_at(book, grant->tariff, time_s) : NULL;
}

bool dyno_tariff_is_granted(const struct dyno_tariff_book *book, const char *tenant, int64_t time_s)
{
    const struct dyno_tariff_grant *grant = grant_of(book, tenant, time_s);
    return grant != NULL && grant->tenant != NULL;
}

static void narrow(int64_t *until_s, int64_t time_s, int64_t bound_s)
{
    if (bound_s > time_s && bound_s < *until_s)
        *until_s = bound_s;
}

const struct dyno_tariff *dyno_tariff_until(const struct dyno_tariff_book *book, const char *tenant,
                                            int64_t time_s, int64_t *until_s_out)
{
    *until_s_out = DYNO_TARIFF_FOREVER;
    for (size_t i = 0; i < book->grant_count; i++) {
        const struct dyno_tariff_grant *grant = &book->grants[i];
        if (grant->tenant != NULL && strcmp(grant->tenant, tenant) != 0)
            continue;
        narrow(until_s_out, time_s, grant->from_s);
        narrow(until_s_out, time_s, grant->until_s);
    }
    for (size_t i = 0; i < book->tariff_count; i++) {
        narrow(until_s_out, time_s, book->tariffs[i].from_s);
        narrow(until_s_out, time_s, book->tariffs[i].until_s);
    }
    return dyno_tariff_of(book, tenant, time_s);
}

int64_t dyno_tariff_factor(const struct dyno_factor *factors, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(factors[i].name, name) == 0)
            return factors[i].factor;
    return DYNO_NANO;
}

/* P * (1 - a * (1 - 1/s)) = P * (s - a * (s - 1)) / s, in parts per million. */
struct dyno_price dyno_tariff_price(const struct dyno_tariff *tariff, int64_t speed_up_ppm)
{
    DYNO_ASSERT(tariff->kind != DYNO_TARIFF_DEVICE_HOUR);
    if (tariff->kind == DYNO_TARIFF_FLAT_EPU)
        return (struct dyno_price){tariff->epu_hour, 1, 1};
    int64_t s = speed_up_ppm < DYNO_PPM ? DYNO_PPM : speed_up_ppm;
    s = s > tariff->speed_up_max_ppm ? tariff->speed_up_max_ppm : s;
    const int64_t num = DYNO_PPM * s - tariff->share_ppm * (s - DYNO_PPM);
    return (struct dyno_price){tariff->device_hour, (uint64_t)num, (uint64_t)(DYNO_PPM * s)};
}
