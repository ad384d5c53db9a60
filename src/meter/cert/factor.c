/* factor.c - the table of devices: read, checked, added to. */
#include "meter/cert/factor.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

static const char *const sources[] = {
#define X(sym, name) name,
    DYNO_FACTOR_SOURCES(X)
#undef X
};

/* --- the factor of a row --- */

/* The geometric mean of its pairs, rounded up. */
static uint64_t mean_of(const struct dyno_factor_row *row)
{
    double sum = 0;
    for (uint32_t i = 0; i < row->pair_count; i++)
        sum += log((double)row->pairs[i].ratio_1e9);
    return (uint64_t)ceil(exp(sum / row->pair_count) - 1e-6);
}

/* Libraries differ in the last digit of a logarithm. */
static bool is_near(uint64_t a, uint64_t b)
{
    const uint64_t off = a > b ? a - b : b - a;
    return off <= 1 + b / 100000000;
}

/* --- reading --- */

static enum dyno_status take_count(const struct dyno_json *object, const char *key, uint64_t *out,
                                   struct dyno_err *err)
{
    const struct dyno_json *member = dyno_json_find(object, key);
    if (member == NULL || member->kind != DYNO_JSON_NUMBER || !member->is_int ||
        member->integer < 1 || (uint64_t)member->integer > DYNO_FACTOR_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a whole number from 1 to %llu", key,
                         (unsigned long long)DYNO_FACTOR_MAX);
    *out = (uint64_t)member->integer;
    return DYNO_OK;
}

static enum dyno_status take_text(const struct dyno_json *object, const char *key, const char **out,
                                  struct dyno_err *err)
{
    const struct dyno_json *member = dyno_json_find(object, key);
    if (member == NULL || member->kind != DYNO_JSON_STRING || member->text_bytes == 0 ||
        member->text_bytes > 255 || strlen(member->text) != member->text_bytes)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a text of 1 to 255 bytes", key);
    *out = member->text;
    return DYNO_OK;
}

static enum dyno_status take_hash(const struct dyno_json *object, const char *key,
                                  struct dyno_cert_hash *out, struct dyno_err *err)
{
    const struct dyno_json *member = dyno_json_find(object, key);
    return member != NULL && member->kind == DYNO_JSON_STRING &&
                   dyno_cert_unhex(member->text, member->text_bytes, out)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be a SHA-256, 64 hexadecimal digits", key);
}

static enum dyno_status list_of(const struct dyno_json *object, const char *key, uint32_t max,
                                const struct dyno_json **out, struct dyno_err *err)
{
    *out = dyno_json_find(object, key);
    return *out != NULL && (*out)->kind == DYNO_JSON_ARRAY && (*out)->count >= 1 &&
                   (*out)->count <= max
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "%s must be an array of 1 to %u objects", key, max);
}

static enum dyno_status take_pairs(const struct dyno_json *object, struct dyno_arena *arena,
                                   struct dyno_factor_row *row, struct dyno_err *err)
{
    const struct dyno_json *list = NULL;
    DYNO_TRY(list_of(object, "pairs", DYNO_FACTOR_PAIRS_MAX, &list, err));
    row->pairs = dyno_arena_alloc(arena, list->count, sizeof(*row->pairs));
    if (row->pairs == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next) {
        struct dyno_factor_pair *pair = &row->pairs[row->pair_count++];
        DYNO_TRY(take_hash(at, "model", &pair->model, err));
        DYNO_TRY(take_hash(at, "here", &pair->here, err));
        DYNO_TRY(take_hash(at, "there", &pair->there, err));
        DYNO_TRY(take_count(at, "ratio_1e9", &pair->ratio_1e9, err));
    }
    return is_near(row->factor_1e9, mean_of(row))
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT,
                           "factor_1e9 is %llu, and the mean of its pairs is %llu",
                           (unsigned long long)row->factor_1e9, (unsigned long long)mean_of(row));
}

static enum dyno_status take_source(const struct dyno_json *object, struct dyno_arena *arena,
                                    struct dyno_factor_row *row, struct dyno_err *err)
{
    const char *text = NULL;
    DYNO_TRY(take_text(object, "source", &text, err));
    int source = 0;
    while (source < DYNO_FACTOR_SOURCE_COUNT && strcmp(sources[source], text) != 0)
        source++;
    row->source = (enum dyno_factor_source)source;
    switch (row->source) {
    case DYNO_FACTOR_DEFINITION:
        if (row->factor_1e9 != DYNO_FACTOR_ONE)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "the reference device's factor_1e9 is 1000000000");
        return dyno_json_find(object, "from") != NULL ? take_text(object, "from", &row->from, err)
                                                      : DYNO_OK;
    case DYNO_FACTOR_MEASURED:
        return take_pairs(object, arena, row, err);
    case DYNO_FACTOR_ELSEWHERE:
        return take_text(object, "from", &row->from, err);
    case DYNO_FACTOR_SOURCE_COUNT:
        break;
    }
    return DYNO_FAIL(err, DYNO_E_FORMAT, "source must be definition, measured or elsewhere");
}

static enum dyno_status take_row(const struct dyno_json *object, struct dyno_arena *arena,
                                 struct dyno_factors *factors, struct dyno_err *err)
{
    struct dyno_factor_row row = {.from = ""};
    DYNO_TRY(take_text(object, "class", &row.device_class, err));
    enum dyno_status status = take_count(object, "factor_1e9", &row.factor_1e9, err);
    if (status == DYNO_OK)
        status = take_source(object, arena, &row, err);
    const bool is_first = factors->row_count == 0;
    if (status == DYNO_OK && is_first != (row.source == DYNO_FACTOR_DEFINITION))
        status = DYNO_FAIL(err, DYNO_E_FORMAT,
                           "the first row, and no other, is that of the reference device");
    if (status == DYNO_OK && is_first && strcmp(row.device_class, factors->reference) != 0)
        status = DYNO_FAIL(err, DYNO_E_FORMAT, "the first row is not that of reference");
    if (status == DYNO_OK && dyno_factors_find(factors, row.device_class) != 0)
        status = DYNO_FAIL(err, DYNO_E_FORMAT, "there are two rows of this class");
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "device '%.64s'", row.device_class);
        return status;
    }
    factors->rows[factors->row_count++] = row;
    return DYNO_OK;
}

enum dyno_status dyno_factors_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                    struct dyno_factors *factors_out, struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    const struct dyno_json *list = NULL;
    *factors_out = (struct dyno_factors){0};
    DYNO_TRY(dyno_json_parse(text, bytes, arena, &root, err));
    const struct dyno_json *version = dyno_json_find(root, "dyno_device_factors");
    if (version == NULL || version->kind != DYNO_JSON_NUMBER || version->integer != 1)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no table of device factors, version 1");
    DYNO_TRY(take_text(root, "reference", &factors_out->reference, err));
    DYNO_TRY(list_of(root, "devices", DYNO_FACTOR_ROWS_MAX, &list, err));
    factors_out->rows = dyno_arena_alloc(arena, list->count, sizeof(*factors_out->rows));
    if (factors_out->rows == NULL)
        return DYNO_NOMEM(err);
    for (const struct dyno_json *at = list->first; at != NULL; at = at->next)
        DYNO_TRY(take_row(at, arena, factors_out, err));
    return DYNO_OK;
}

uint64_t dyno_factors_find(const struct dyno_factors *factors, const char *device_class)
{
    if (device_class[0] == 0)
        return DYNO_FACTOR_ONE;
    for (uint32_t i = 0; i < factors->row_count; i++)
        if (strcmp(factors->rows[i].device_class, device_class) == 0)
            return factors->rows[i].factor_1e9;
    return 0;
}

/* --- writing --- */

static void put_hash(struct dyno_json_writer *json, const char *key,
                     const struct dyno_cert_hash *hash)
{
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(hash, hex);
    dyno_json_put_str(json, key, hex);
}

void dyno_factors_print(const struct dyno_factors *factors, struct dyno_strbuf *out)
{
    struct dyno_json_writer json = {.out = out, .indent = 2};
    dyno_json_object_begin(&json);
    dyno_json_put_u64(&json, "dyno_device_factors", 1);
    dyno_json_put_str(&json, "reference", factors->reference);
    dyno_json_put_array_begin(&json, "devices");
    for (uint32_t i = 0; i < factors->row_count; i++) {
        const struct dyno_factor_row *row = &factors->rows[i];
        dyno_json_object_begin(&json);
        dyno_json_put_str(&json, "class", row->device_class);
        dyno_json_put_u64(&json, "factor_1e9", row->factor_1e9);
        dyno_json_put_str(&json, "source", sources[row->source]);
        if (row->from[0] != 0)
            dyno_json_put_str(&json, "from", row->from);
        if (row->source == DYNO_FACTOR_MEASURED) {
            dyno_json_put_array_begin(&json, "pairs");
            for (uint32_t k = 0; k < row->pair_count; k++) {
                dyno_json_object_begin(&json);
                put_hash(&json, "model", &row->pairs[k].model);
                put_hash(&json, "here", &row->pairs[k].here);
                put_hash(&json, "there", &row->pairs[k].there);
                dyno_json_put_u64(&json, "ratio_1e9", row->pairs[k].ratio_1e9);
                dyno_json_object_end(&json);
            }
            dyno_json_array_end(&json);
        }
        dyno_json_object_end(&json);
    }
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(out, "\n");
}

/* --- adding --- */

static enum dyno_status check_pair(const struct dyno_cert *here, const struct dyno_cert *there,
                                   struct dyno_err *err)
{
    if (here->kind != DYNO_CERT_REFERENCE || there->kind != DYNO_CERT_REFERENCE)
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "a factor is of two reference certificates");
    if (here->outcome != DYNO_CERT_ACCEPTED || there->outcome != DYNO_CERT_ACCEPTED)
        return DYNO_FAIL(err, DYNO_E_DENIED, "a trial or a refused certificate ties no devices");
    if (!dyno_cert_same(&here->model, &there->model))
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "the two certificates are of two models");
    if (here->point_count != there->point_count)
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "the two certificates are of other shapes");
    return DYNO_OK;
}

/* t_ref here for 1e9 there: the geometric mean over the points, rounded up. */
static enum dyno_status ratio_of(const struct dyno_cert *here, const struct dyno_cert *there,
                                 uint64_t *ratio_out, struct dyno_err *err)
{
    const struct dyno_cert_point *a = dyno_cert_points(here);
    const struct dyno_cert_point *b = dyno_cert_points(there);
    double sum = 0;
    for (uint32_t i = 0; i < here->point_count; i++) {
        if (a[i].t_ref_ns == 0 || b[i].t_ref_ns == 0 ||
            memcmp(a[i].at, b[i].at, here->axis_count * sizeof(a[i].at[0])) != 0)
            return DYNO_FAIL(err, DYNO_E_MISMATCH, "the two certificates are of other shapes");
        sum += log((double)a[i].t_ref_ns / (double)b[i].t_ref_ns);
    }
    const double ratio = ceil(exp(sum / here->point_count) * 1e9 - 1e-3);
    if (!(ratio >= 1.0 && ratio <= (double)DYNO_FACTOR_MAX))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "the two devices are too far from one another");
    *ratio_out = (uint64_t)ratio;
    return DYNO_OK;
}

static struct dyno_factor_row *row_for(struct dyno_factors *factors, const char *device_class,
                                       struct dyno_arena *arena)
{
    for (uint32_t i = 0; i < factors->row_count; i++)
        if (strcmp(factors->rows[i].device_class, device_class) == 0)
            return &factors->rows[i];
    struct dyno_factor_row *rows = dyno_arena_alloc(arena, factors->row_count + 1U, sizeof(*rows));
    const char *copy = dyno_arena_strdup(arena, device_class);
    if (rows == NULL || copy == NULL || factors->row_count == DYNO_FACTOR_ROWS_MAX)
        return NULL;
    memcpy(rows, factors->rows, factors->row_count * sizeof(*rows));
    factors->rows = rows;
    rows[factors->row_count] =
        (struct dyno_factor_row){.device_class = copy, .source = DYNO_FACTOR_MEASURED, .from = ""};
    return &rows[factors->row_count++];
}

enum dyno_status dyno_factors_add(struct dyno_factors *factors, const struct dyno_cert *here,
                                  const struct dyno_cert *there, struct dyno_arena *arena,
                                  struct dyno_err *err)
{
    struct dyno_factor_pair pair = {here->model, here->address, there->address, 0};
    DYNO_TRY(check_pair(here, there, err));
    DYNO_TRY(ratio_of(here, there, &pair.ratio_1e9, err));
    struct dyno_factor_row *row = row_for(factors, here->device_class, arena);
    if (row == NULL)
        return DYNO_NOMEM(err);
    if (row->source != DYNO_FACTOR_MEASURED)
        return DYNO_FAIL(err, DYNO_E_EXISTS,
                         "the row of '%.64s' is of source %s, and is not measured over",
                         row->device_class, sources[row->source]);
    struct dyno_factor_pair *pairs = dyno_arena_alloc(arena, row->pair_count + 1U, sizeof(*pairs));
    if (pairs == NULL)
        return DYNO_NOMEM(err);
    uint32_t count = 0;
    for (uint32_t i = 0; i < row->pair_count; i++)
        if (!dyno_cert_same(&row->pairs[i].model, &pair.model))
            pairs[count++] = row->pairs[i];
    pairs[count++] = pair;
    row->pairs = pairs;
    row->pair_count = count;
    row->factor_1e9 = mean_of(row);
    return DYNO_OK;
}
