/* read.c - a certificate out of a text that may be an enemy's: the samples are taken, everything
 * else is derived from them, and the text must come out again. */
#include <stdio.h>

#include "base/json.h"
#include "meter/cert/internal.h"

#define TEXT_BYTES_MAX 256U /* of names */

struct reader {
    struct dyno_cert *cert;
    bool of_gpu; /* so its version says */
    struct dyno_err *err;
};

#define BAD(reader, ...) return DYNO_FAIL((reader)->err, DYNO_E_FORMAT, __VA_ARGS__)

static enum dyno_status member(const struct reader *reader, const struct dyno_json *object,
                               const char *key, enum dyno_json_kind kind,
                               const struct dyno_json **out)
{
    static const char *const kinds[] = {"null", "true or false", "a number",
                                        "text", "a list",        "an object"};
    *out = dyno_json_find(object, key);
    if (*out == NULL)
        BAD(reader, "'%s' is missing", key);
    if ((*out)->kind != kind)
        BAD(reader, "'%s' is not %s", key, kinds[kind]);
    return DYNO_OK;
}

/* A whole number in 0 .. most. */
static enum dyno_status count_of(const struct reader *reader, const struct dyno_json *value,
                                 const char *what, uint64_t most, uint64_t *out)
{
    if (value->kind != DYNO_JSON_NUMBER || !value->is_int || value->integer < 0 ||
        (uint64_t)value->integer > most)
        BAD(reader, "'%s' is not a whole number from 0 to %llu", what, (unsigned long long)most);
    *out = (uint64_t)value->integer;
    return DYNO_OK;
}

static enum dyno_status take_u64(const struct reader *reader, const struct dyno_json *object,
                                 const char *key, uint64_t *out)
{
    const struct dyno_json *value = NULL;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_NUMBER, &value));
    return count_of(reader, value, key, DYNO_CERT_NUMBER_MAX, out);
}

static enum dyno_status take_u32(const struct reader *reader, const struct dyno_json *object,
                                 const char *key, uint32_t most, uint32_t *out)
{
    const struct dyno_json *value = NULL;
    uint64_t wide = 0;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_NUMBER, &value));
    DYNO_TRY(count_of(reader, value, key, most, &wide));
    *out = (uint32_t)wide;
    return DYNO_OK;
}

static enum dyno_status take_bool(const struct reader *reader, const struct dyno_json *object,
                                  const char *key, bool *out)
{
    const struct dyno_json *value = NULL;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_BOOL, &value));
    *out = value->boolean;
    return DYNO_OK;
}

/* Short, without control characters: it will be shown on terminals. */
static enum dyno_status take_text(const struct reader *reader, const struct dyno_json *object,
                                  const char *key, const char **out)
{
    const struct dyno_json *value = NULL;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_STRING, &value));
    if (value->text_bytes > TEXT_BYTES_MAX)
        BAD(reader, "'%s' is longer than %u bytes", key, TEXT_BYTES_MAX);
    for (size_t i = 0; i < value->text_bytes; i++) {
        if ((unsigned char)value->text[i] < 0x20 || value->text[i] == 0x7f)
            BAD(reader, "'%s' holds a control character", key);
    }
    *out = dyno_arena_strdup(reader->cert->arena, value->text);
    return *out != NULL ? DYNO_OK : DYNO_NOMEM(reader->err);
}

static enum dyno_status take_hash(const struct reader *reader, const struct dyno_json *object,
                                  const char *key, struct dyno_cert_hash *out)
{
    const struct dyno_json *value = NULL;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_STRING, &value));
    if (!dyno_cert_unhex(value->text, value->text_bytes, out))
        BAD(reader, "'%s' is not a SHA-256 in 64 hexadecimal digits", key);
    return DYNO_OK;
}

static enum dyno_status take_time(const struct reader *reader, const struct dyno_json *object,
                                  const char *key, int64_t *out_s)
{
    const struct dyno_json *value = NULL;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_STRING, &value));
    if (!dyno_cert_time(value->text, out_s))
        BAD(reader, "'%s' is not a time like 2026-01-31T12:00:00Z", key);
    return DYNO_OK;
}

/* Storage for the items of a list of at most `most`. */
static enum dyno_status take_list(const struct reader *reader, const struct dyno_json *object,
                                  const char *key, size_t most, size_t item_bytes,
                                  const struct dyno_json **first_out, void **items_out,
                                  uint32_t *count_out)
{
    const struct dyno_json *list = object;
    if (object->kind == DYNO_JSON_OBJECT)
        DYNO_TRY(member(reader, object, key, DYNO_JSON_ARRAY, &list));
    if (list->kind != DYNO_JSON_ARRAY)
        BAD(reader, "'%s' is not a list", key);
    if (list->count > most)
        return DYNO_FAIL(reader->err, DYNO_E_LIMIT, "'%s' has %zu items, at most %zu are allowed",
                         key, list->count, most);
    *items_out = dyno_arena_alloc(reader->cert->arena, list->count + 1, item_bytes);
    *first_out = list->first;
    *count_out = (uint32_t)list->count;
    return *items_out != NULL ? DYNO_OK : DYNO_NOMEM(reader->err);
}

/* A list of exactly `count` whole numbers. */
static enum dyno_status take_tuple(const struct reader *reader, const struct dyno_json *list,
                                   const char *what, uint32_t count, uint64_t *const *outs)
{
    if (list->kind != DYNO_JSON_ARRAY || list->count != count)
        BAD(reader, "'%s': an item is not a list of %u numbers", what, count);
    const struct dyno_json *item = list->first;
    for (uint32_t i = 0; i < count; i++, item = item->next)
        DYNO_TRY(count_of(reader, item, what, DYNO_CERT_NUMBER_MAX, outs[i]));
    return DYNO_OK;
}

/* --- what was measured on --- */

static enum dyno_status take_dims(const struct reader *reader, const struct dyno_json *object,
                                  const char *key, int64_t *dims, uint32_t *rank)
{
    const struct dyno_json *list = NULL;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_ARRAY, &list));
    if (list->count > DYNO_CERT_RANK_MAX || (*rank != UINT32_MAX && *rank != list->count))
        BAD(reader, "'%s' has %zu sizes", key, list->count);
    *rank = (uint32_t)list->count;
    for (const struct dyno_json *item = list->first; item != NULL; item = item->next, dims++) {
        uint64_t size = 0;
        DYNO_TRY(count_of(reader, item, key, DYNO_CERT_NUMBER_MAX, &size));
        *dims = (int64_t)size;
    }
    return DYNO_OK;
}

static enum dyno_status take_inputs(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert *cert = reader->cert;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(take_list(reader, root, "inputs", DYNO_CERT_INPUTS_MAX, sizeof(*cert->inputs), &at,
                       &items, &cert->input_count));
    cert->inputs = items;
    for (uint32_t i = 0; i < cert->input_count; i++, at = at->next) {
        struct dyno_cert_input *input = &cert->inputs[i];
        input->rank = UINT32_MAX;
        DYNO_TRY(take_text(reader, at, "name", &input->name));
        DYNO_TRY(take_text(reader, at, "type", &input->type));
        DYNO_TRY(take_dims(reader, at, "min", input->min, &input->rank));
        DYNO_TRY(take_dims(reader, at, "opt", input->opt, &input->rank));
        DYNO_TRY(take_dims(reader, at, "max", input->max, &input->rank));
    }
    return DYNO_OK;
}

static enum dyno_status take_axis(const struct reader *reader, const struct dyno_json *object,
                                  struct dyno_cert_axis *axis)
{
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(take_list(reader, object, "places", (size_t)DYNO_CERT_INPUTS_MAX * DYNO_CERT_RANK_MAX,
                       sizeof(*axis->places), &at, &items, &axis->place_count));
    axis->places = items;
    for (uint32_t i = 0; i < axis->place_count; i++, at = at->next) {
        uint64_t input = 0;
        uint64_t dim = 0;
        DYNO_TRY(take_tuple(reader, at, "places", 2, (uint64_t *[]){&input, &dim}));
        axis->places[i] =
            (struct dyno_cert_place){.input = (uint32_t)(input < UINT32_MAX ? input : UINT32_MAX),
                                     .dim = (uint32_t)(dim < UINT32_MAX ? dim : UINT32_MAX)};
    }
    DYNO_TRY(take_list(reader, object, "points", DYNO_CERT_POINTS_MAX, sizeof(*axis->points), &at,
                       &items, &axis->point_count));
    axis->points = items;
    for (uint32_t i = 0; i < axis->point_count; i++, at = at->next) {
        uint64_t size = 0;
        DYNO_TRY(count_of(reader, at, "points", DYNO_CERT_NUMBER_MAX, &size));
        axis->points[i] = (int64_t)size;
    }
    return DYNO_OK;
}

static enum dyno_status take_axes(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert *cert = reader->cert;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(take_list(reader, root, "axes", DYNO_CERT_AXES_MAX, sizeof(*cert->axes), &at, &items,
                       &cert->axis_count));
    cert->axes = items;
    cert->point_count = 1;
    for (uint32_t i = 0; i < cert->axis_count; i++, at = at->next) {
        DYNO_TRY(take_axis(reader, at, &cert->axes[i]));
        if (cert->point_count * (uint64_t)cert->axes[i].point_count > DYNO_CERT_POINTS_MAX)
            return DYNO_FAIL(reader->err, DYNO_E_LIMIT, "the grid has more than %u points",
                             DYNO_CERT_POINTS_MAX);
        cert->point_count *= cert->axes[i].point_count;
    }
    return DYNO_OK;
}

static enum dyno_status take_gpu(const struct reader *reader, const struct dyno_json *device)
{
    struct dyno_cert_gpu *gpu = &reader->cert->gpu;
    const struct dyno_json *part = NULL;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    uint32_t count = 0;
    DYNO_TRY(member(reader, device, "gpu", DYNO_JSON_OBJECT, &part));
    DYNO_TRY(take_u32(reader, part, "compute", UINT32_MAX, &gpu->compute));
    if (gpu->compute == 0)
        BAD(reader, "a GPU of compute capability 0");
    DYNO_TRY(take_u32(reader, part, "cuda", UINT32_MAX, &gpu->cuda));
    DYNO_TRY(take_text(reader, part, "driver", &gpu->driver));
    DYNO_TRY(take_u32(reader, part, "multiprocessors", UINT32_MAX, &gpu->multiprocessors));
    DYNO_TRY(take_u64(reader, part, "memory_bytes", &gpu->memory_bytes));
    DYNO_TRY(take_u64(reader, part, "power_limit_mw", &gpu->power_limit_mw));
    DYNO_TRY(take_u64(reader, part, "memory_mhz", &gpu->memory_mhz));
    DYNO_TRY(take_text(reader, part, "libraries", &gpu->libraries));
    DYNO_TRY(take_text(reader, part, "host", &gpu->host));
    DYNO_TRY(take_list(reader, part, "timed_by", 2, sizeof(bool), &at, &items, &count));
    if (count != 2)
        BAD(reader, "'timed_by' is not of two sides");
    for (uint32_t side = 0; side < 2; side++, at = at->next) {
        if (at->kind != DYNO_JSON_STRING)
            BAD(reader, "'timed_by' is not a list of texts");
        gpu->by_host[side] = strcmp(at->text, "host") == 0;
    }
    return DYNO_OK;
}

static enum dyno_status take_heading(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert *cert = reader->cert;
    const struct dyno_json *part = NULL;
    DYNO_TRY(take_text(reader, root, "program", &cert->program));
    DYNO_TRY(take_time(reader, root, "issued", &cert->issued_s));
    DYNO_TRY(take_u32(reader, root, "term_days", UINT32_MAX, &cert->term_days));
    DYNO_TRY(take_bool(reader, root, "trial", &cert->is_trial));
    DYNO_TRY(member(reader, root, "device", DYNO_JSON_OBJECT, &part));
    DYNO_TRY(take_text(reader, part, "class", &cert->device_class));
    DYNO_TRY(take_text(reader, part, "processor", &cert->processor));
    DYNO_TRY(take_text(reader, part, "isa", &cert->isa));
    DYNO_TRY(take_u32(reader, part, "threads", 65536, &cert->threads));
    if (reader->of_gpu)
        DYNO_TRY(take_gpu(reader, part));
    DYNO_TRY(member(reader, root, "model", DYNO_JSON_OBJECT, &part));
    DYNO_TRY(take_text(reader, part, "name", &cert->model_name));
    DYNO_TRY(take_hash(reader, part, "sha256", &cert->model));
    DYNO_TRY(take_hash(reader, root, "baseline_sha256", &cert->baseline));
    if (cert->kind == DYNO_CERT_ENGINE) {
        DYNO_TRY(member(reader, root, "engine", DYNO_JSON_OBJECT, &part));
        DYNO_TRY(take_hash(reader, part, "sha256", &cert->engine));
        DYNO_TRY(take_text(reader, part, "precision", &cert->precision));
        DYNO_TRY(take_hash(reader, root, "reference", &cert->reference));
    }
    DYNO_TRY(take_inputs(reader, root));
    return take_axes(reader, root);
}

/* --- samples --- */

static enum dyno_status take_block(const struct reader *reader, const struct dyno_json *list,
                                   struct dyno_cert_block *block)
{
    if (list->kind != DYNO_JSON_ARRAY || list->count != 4)
        BAD(reader, "a block is not a list of 4 segments");
    const struct dyno_json *at = list->first;
    for (int i = 0; i < 4; i++, at = at->next) {
        struct dyno_cert_segment *s = &block->segments[i];
        DYNO_TRY(take_tuple(reader, at, "segment", 4,
                            (uint64_t *[]){&s->items, &s->ns, &s->chain_ns, &s->steal_ns}));
    }
    return DYNO_OK;
}

static enum dyno_status take_series(const struct reader *reader, const struct dyno_json *object,
                                    const char *key, struct dyno_cert_series *series)
{
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(take_list(reader, object, key, DYNO_CERT_PROCESSES_MAX, sizeof(*series->processes),
                       &at, &items, &series->count));
    series->processes = items;
    for (uint32_t p = 0; p < series->count; p++, at = at->next) {
        struct dyno_cert_process *process = &series->processes[p];
        const struct dyno_json *block = NULL;
        if (at->kind != DYNO_JSON_ARRAY)
            BAD(reader, "'%s': a process is not a list", key);
        DYNO_TRY(take_list(reader, at, key, DYNO_CERT_BLOCKS_MAX, sizeof(*process->blocks), &block,
                           &items, &process->count));
        process->blocks = items;
        for (uint32_t b = 0; b < process->count; b++, block = block->next)
            DYNO_TRY(take_block(reader, block, &process->blocks[b]));
    }
    return DYNO_OK;
}

static enum dyno_status take_point(const struct reader *reader, const struct dyno_json *object,
                                   struct dyno_cert_point *point)
{
    DYNO_TRY(take_series(reader, object, "control", &point->control));
    if (reader->cert->kind == DYNO_CERT_ENGINE)
        DYNO_TRY(take_series(reader, object, "speedup", &point->speedup));
    DYNO_TRY(take_u64(reader, object, "profiled_ns", &point->profiled_ns));
    return take_u64(reader, object, "opaque_ns", &point->opaque_ns);
}

static enum dyno_status take_attempts(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert *cert = reader->cert;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(take_list(reader, root, "attempts", DYNO_CERT_ATTEMPTS_MAX, sizeof(*cert->attempts),
                       &at, &items, &cert->attempt_count));
    cert->attempts = items;
    for (uint32_t a = 0; a < cert->attempt_count; a++, at = at->next) {
        const struct dyno_json *point = NULL;
        uint32_t count = 0;
        DYNO_TRY(take_time(reader, at, "begun", &cert->attempts[a].begun_s));
        DYNO_TRY(take_list(reader, at, "points", DYNO_CERT_POINTS_MAX,
                           sizeof(*cert->attempts[a].points), &point, &items, &count));
        cert->attempts[a].points = items;
        if (count != cert->point_count)
            BAD(reader, "an attempt has %u points, the grid %u", count, cert->point_count);
        for (uint32_t i = 0; i < count; i++, point = point->next)
            DYNO_TRY(take_point(reader, point, &cert->attempts[a].points[i]));
    }
    return DYNO_OK;
}

static enum dyno_status take_earlier(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert *cert = reader->cert;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(take_list(reader, root, "earlier", DYNO_CERT_EARLIER_MAX, sizeof(*cert->earlier), &at,
                       &items, &cert->earlier_count));
    cert->earlier = items;
    for (uint32_t i = 0; i < cert->earlier_count; i++, at = at->next) {
        if (at->kind != DYNO_JSON_STRING ||
            !dyno_cert_unhex(at->text, at->text_bytes, &cert->earlier[i]))
            BAD(reader, "'earlier' holds what is no address");
    }
    return DYNO_OK;
}

static enum dyno_status take_sweep(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert *cert = reader->cert;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(take_list(reader, root, "sweep", DYNO_CERT_ROWS_MAX, sizeof(*cert->sweep), &at, &items,
                       &cert->sweep_count));
    cert->sweep = items;
    for (uint32_t i = 0; i < cert->sweep_count; i++, at = at->next) {
        struct dyno_cert_sweep *row = &cert->sweep[i];
        DYNO_TRY(
            take_tuple(reader, at, "sweep", 3, (uint64_t *[]){&row->batch, &row->items, &row->ns}));
    }
    return DYNO_OK;
}

/* --- accuracy and scenarios --- */

static enum dyno_status take_choice(const struct reader *reader, const struct dyno_json *object,
                                    const char *key, const char *no, const char *yes, bool *out)
{
    const struct dyno_json *value = NULL;
    DYNO_TRY(member(reader, object, key, DYNO_JSON_STRING, &value));
    *out = strcmp(value->text, yes) == 0;
    if (!*out && strcmp(value->text, no) != 0)
        BAD(reader, "'%s' is neither '%s' nor '%s'", key, no, yes);
    return DYNO_OK;
}

static enum dyno_status take_accuracy(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert_accuracy *accuracy = &reader->cert->accuracy;
    const struct dyno_json *part = NULL;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(member(reader, root, "accuracy", DYNO_JSON_OBJECT, &part));
    DYNO_TRY(take_choice(reader, part, "data", "made up", "given", &accuracy->is_given));
    DYNO_TRY(take_choice(reader, part, "judged_by", "error", "top-1", &accuracy->by_top_1));
    DYNO_TRY(take_u32(reader, part, "class_1e6", 1000000, &accuracy->class_1e6));
    DYNO_TRY(take_list(reader, part, "outputs", DYNO_CERT_OUTPUTS_MAX, sizeof(*accuracy->outputs),
                       &at, &items, &accuracy->output_count));
    accuracy->outputs = items;
    for (uint32_t i = 0; i < accuracy->output_count; i++, at = at->next) {
        struct dyno_cert_output *output = &accuracy->outputs[i];
        DYNO_TRY(take_text(reader, at, "name", &output->name));
        DYNO_TRY(take_u64(reader, at, "rows", &output->rows));
        DYNO_TRY(take_u64(reader, at, "elements", &output->elements));
        DYNO_TRY(take_u64(reader, at, "error_1e9", &output->error_1e9));
        DYNO_TRY(take_u64(reader, at, "same_top_1", &output->same_top_1));
    }
    return DYNO_OK;
}

static enum dyno_status take_scenarios(const struct reader *reader, const struct dyno_json *root)
{
    static const char *const sides[] = {"baseline_ns", "engine_ns"};
    struct dyno_cert_scenarios *scenarios = &reader->cert->scenarios;
    const struct dyno_json *part = NULL;
    const struct dyno_json *at = NULL;
    void *items = NULL;
    DYNO_TRY(member(reader, root, "scenarios", DYNO_JSON_OBJECT, &part));
    DYNO_TRY(take_u64(reader, part, "bound_ns", &scenarios->bound_ns));
    DYNO_TRY(take_list(reader, part, "runs", DYNO_CERT_ROWS_MAX, sizeof(*scenarios->rows), &at,
                       &items, &scenarios->row_count));
    scenarios->rows = items;
    for (uint32_t r = 0; r < scenarios->row_count; r++, at = at->next) {
        struct dyno_cert_row *row = &scenarios->rows[r];
        DYNO_TRY(take_u64(reader, at, "batch", &row->batch));
        for (int side = 0; side < 2; side++) {
            const struct dyno_json *run = NULL;
            DYNO_TRY(take_list(reader, at, sides[side], DYNO_CERT_RUNS_MAX, sizeof(uint64_t), &run,
                               &items, &row->counts[side]));
            row->run_ns[side] = items;
            for (uint32_t i = 0; i < row->counts[side]; i++, run = run->next)
                DYNO_TRY(count_of(reader, run, sides[side], DYNO_CERT_NUMBER_MAX,
                                  &row->run_ns[side][i]));
        }
    }
    return DYNO_OK;
}

/* null where the device told none. */
static enum dyno_status take_energy(const struct reader *reader, const struct dyno_json *root)
{
    static const char *const sides[] = {"baseline", "engine"};
    struct dyno_cert_energy *energy = &reader->cert->energy;
    const struct dyno_json *part = dyno_json_find(root, "energy");
    if (part == NULL || part->kind != DYNO_JSON_OBJECT)
        return DYNO_OK; /* what else is there does not come out again */
    for (int side = 0; side < 2; side++) {
        const struct dyno_json *pair = NULL;
        DYNO_TRY(member(reader, part, sides[side], DYNO_JSON_ARRAY, &pair));
        DYNO_TRY(take_tuple(reader, pair, sides[side], 2,
                            (uint64_t *[]){&energy->items[side], &energy->millijoules[side]}));
    }
    return DYNO_OK;
}

static enum dyno_status take_all(const struct reader *reader, const struct dyno_json *root)
{
    struct dyno_cert *cert = reader->cert;
    DYNO_TRY(take_heading(reader, root));
    DYNO_TRY(take_u32(reader, root, "processes", DYNO_CERT_PROCESSES_MAX, &cert->process_count));
    DYNO_TRY(take_u32(reader, root, "blocks", DYNO_CERT_BLOCKS_MAX, &cert->block_count));
    DYNO_TRY(take_u64(reader, root, "segment_ns", &cert->segment_ns));
    DYNO_TRY(take_u64(reader, root, "batch", &cert->batch));
    DYNO_TRY(take_earlier(reader, root));
    DYNO_TRY(take_attempts(reader, root));
    if (cert->kind == DYNO_CERT_REFERENCE)
        return take_sweep(reader, root);
    DYNO_TRY(take_accuracy(reader, root));
    DYNO_TRY(take_scenarios(reader, root));
    return reader->of_gpu ? take_energy(reader, root) : DYNO_OK;
}

/* --- the whole --- */

/* What is written of the certificate must be what was read. */
static enum dyno_status check_text(const struct dyno_cert *cert, const char *text, size_t bytes,
                                   struct dyno_err *err)
{
    struct dyno_strbuf want = {0};
    dyno_cert_text(cert, &want);
    if (!dyno_strbuf_ok(&want)) {
        dyno_strbuf_fini(&want);
        return DYNO_NOMEM(err);
    }
    size_t at = 0;
    while (at < bytes && at < want.bytes && text[at] == want.text[at])
        at++;
    const bool same = at == bytes && at == want.bytes;
    size_t start = at;
    while (start > 0 && at - start < 40 && want.text[start - 1] != ',')
        start--;
    enum dyno_status status = DYNO_OK;
    if (!same)
        status = DYNO_FAIL(err, DYNO_E_CORRUPT,
                           "edited: from byte %zu on it does not follow from its samples, which "
                           "give '%.*s'",
                           at, (int)strcspn(want.text + start, ",\n"), want.text + start);
    dyno_strbuf_fini(&want);
    return status;
}

static enum dyno_status take_kind(const struct dyno_json *root, struct dyno_cert *cert,
                                  bool *of_gpu_out, struct dyno_err *err)
{
    const struct dyno_json *version = dyno_json_find(root, "dyno_certificate");
    const struct dyno_json *kind = dyno_json_find(root, "kind");
    if (version == NULL || !version->is_int || kind == NULL || kind->kind != DYNO_JSON_STRING)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "not a certificate");
    if (version->integer != DYNO_CERT_VERSION && version->integer != DYNO_CERT_VERSION_GPU)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "a certificate of version %lld, this build knows versions %d and %d",
                         (long long)version->integer, DYNO_CERT_VERSION, DYNO_CERT_VERSION_GPU);
    *of_gpu_out = version->integer == DYNO_CERT_VERSION_GPU;
    for (int k = DYNO_CERT_REFERENCE; k <= DYNO_CERT_ENGINE; k++) {
        cert->kind = (enum dyno_cert_kind)k;
        if (strcmp(kind->text, dyno_cert_kind_text(cert->kind)) == 0)
            return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_FORMAT, "a certificate of kind '%.40s'", kind->text);
}

enum dyno_status dyno_cert_parse(const char *text, size_t bytes, struct dyno_cert **cert_out,
                                 struct dyno_err *err)
{
    *cert_out = NULL;
    if (bytes > DYNO_CERT_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "larger than %zu MiB", DYNO_CERT_BYTES_MAX >> 20);
    const struct dyno_json *root = NULL;
    bool of_gpu = false;
    struct dyno_cert *cert = dyno_cert_create(DYNO_CERT_REFERENCE);
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status = cert != NULL && arena != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_json_parse(text, bytes, arena, &root, err);
    if (status == DYNO_OK)
        status = take_kind(root, cert, &of_gpu, err);
    const struct reader reader = {.cert = cert, .of_gpu = of_gpu, .err = err};
    if (status == DYNO_OK)
        status = take_all(&reader, root);
    dyno_arena_destroy(arena);
    if (status == DYNO_OK)
        status = dyno_cert_derive(cert, err);
    if (status == DYNO_OK)
        status = check_text(cert, text, bytes, err);
    if (status == DYNO_OK)
        *cert_out = cert;
    else
        dyno_cert_destroy(cert);
    return status;
}
