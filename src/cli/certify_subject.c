/* certify_subject.c - what is certified: model, engine, baseline, range of shapes, points. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/mem.h"
#include "cli/certify.h"
#include "cli/shapes.h"
#include "plan/plan.h"

/* Of the sweep: no unoptimised execution gains beyond. */
#define BATCH_MAX     64
#define BATCH_MAX_GPU 256

/* --- range --- */

static enum dyno_status range_of_engine(struct dyno_certify_subject *subject,
                                        const struct dyno_engine *engine, struct dyno_err *err)
{
    subject->input_count = dyno_engine_input_count(engine);
    subject->inputs =
        dyno_arena_alloc(subject->arena, subject->input_count + 1U, sizeof(*subject->inputs));
    if (subject->inputs == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < subject->input_count; i++) {
        struct dyno_io_info info;
        struct dyno_cert_input *input = &subject->inputs[i];
        dyno_engine_input(engine, i, &info);
        *input = (struct dyno_cert_input){
            .name = dyno_arena_strdup(subject->arena, info.name),
            .type = dyno_dtype_text((enum dyno_dtype)info.dtype),
            .rank = (uint32_t)info.rank,
        };
        if (input->name == NULL)
            return DYNO_NOMEM(err);
        for (uint32_t d = 0; d < input->rank; d++) {
            input->min[d] = info.min[d];
            input->opt[d] = info.opt[d];
            input->max[d] = info.max[d];
        }
    }
    return DYNO_OK;
}

static enum dyno_status narrow(struct dyno_certify_subject *subject,
                               const struct dyno_profile_input *shape, struct dyno_err *err)
{
    for (uint32_t i = 0; i < subject->input_count; i++) {
        struct dyno_cert_input *input = &subject->inputs[i];
        if (strcmp(input->name, shape->name) != 0)
            continue;
        if ((uint32_t)shape->rank != input->rank)
            return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': a shape of %d sizes, wants %u",
                             input->name, shape->rank, input->rank);
        for (uint32_t d = 0; d < input->rank; d++) {
            if (shape->min[d] < input->min[d] || shape->max[d] > input->max[d])
                return DYNO_FAIL(err, DYNO_E_ARG,
                                 "input '%s': size %u from %lld to %lld is not in the engine's "
                                 "range, %lld to %lld",
                                 input->name, d, (long long)shape->min[d], (long long)shape->max[d],
                                 (long long)input->min[d], (long long)input->max[d]);
            input->min[d] = shape->min[d];
            input->opt[d] = shape->opt[d];
            input->max[d] = shape->max[d];
        }
        return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "a shape is given for '%s', which is not an input of the engine", shape->name);
}

static enum dyno_status fail_unbounded(const struct dyno_cert_input *input, uint32_t dim,
                                       struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "input '%s': size %u is open without a bound: --maxShapes must give one",
                     input->name, dim);
}

static int64_t batch_limit(const struct dyno_certify_subject *subject)
{
    return subject->device.on_gpu ? BATCH_MAX_GPU : BATCH_MAX;
}

static enum dyno_status range_of_flags(const struct dyno_certify_options *options,
                                       struct dyno_certify_subject *subject, struct dyno_err *err)
{
    struct dyno_cli_shapes shapes;
    DYNO_TRY(dyno_cli_shapes(options->shapes, options->min_shapes, options->opt_shapes,
                             options->max_shapes, subject->arena, &shapes, err));
    for (uint32_t i = 0; i < shapes.count; i++)
        DYNO_TRY(narrow(subject, &shapes.items[i], err));
    for (uint32_t i = 0; i < subject->input_count; i++) {
        struct dyno_cert_input *input = &subject->inputs[i];
        for (uint32_t d = 0; d < input->rank; d++) {
            const bool is_first = d == 0;
            if (input->max[d] > DYNO_CERT_AXIS_MAX && input->min[d] < input->max[d] && !is_first)
                return fail_unbounded(input, d, err);
            /* A batch without a bound is certified as far as the sweep goes. */
            if (is_first && input->max[d] > DYNO_CERT_AXIS_MAX)
                input->max[d] = batch_limit(subject);
        }
    }
    return DYNO_OK;
}

/* Without an engine, of what the baseline was built for, which the flags have said. */
static enum dyno_status range_of_baseline(struct dyno_certify_subject *subject,
                                          struct dyno_err *err)
{
    DYNO_TRY(range_of_engine(subject, subject->baseline, err));
    for (uint32_t i = 0; i < subject->input_count; i++) {
        const struct dyno_cert_input *input = &subject->inputs[i];
        for (uint32_t d = 0; d < input->rank; d++) {
            if (input->max[d] > DYNO_CERT_AXIS_MAX && input->min[d] < input->max[d])
                return fail_unbounded(input, d, err);
        }
    }
    return DYNO_OK;
}

static enum dyno_status copy_range(const struct dyno_cert *like,
                                   struct dyno_certify_subject *subject, struct dyno_err *err)
{
    subject->inputs = dyno_arena_memdup(subject->arena, like->inputs,
                                        like->input_count * sizeof(*subject->inputs));
    subject->input_count = like->input_count;
    subject->axes = dyno_arena_memdup(subject->arena, like->axes,
                                      (like->axis_count + 1U) * sizeof(*like->axes));
    subject->axis_count = like->axis_count;
    subject->point_count = like->point_count;
    return subject->inputs != NULL && subject->axes != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

/* The engine has the inputs of the range; it is of the model by its own account. */
static enum dyno_status check_inputs(const struct dyno_certify_subject *subject,
                                     const struct dyno_engine *engine, struct dyno_err *err)
{
    bool same = dyno_engine_input_count(engine) == subject->input_count &&
                dyno_engine_output_count(engine) == dyno_engine_output_count(subject->baseline);
    for (uint32_t i = 0; same && i < subject->input_count; i++) {
        struct dyno_io_info info;
        dyno_engine_input(engine, i, &info);
        same = strcmp(info.name, subject->inputs[i].name) == 0 &&
               (uint32_t)info.rank == subject->inputs[i].rank;
    }
    for (uint32_t i = 0; same && i < dyno_engine_output_count(engine); i++) {
        struct dyno_io_info ours;
        struct dyno_io_info theirs;
        dyno_engine_output(engine, i, &ours);
        dyno_engine_output(subject->baseline, i, &theirs);
        same = strcmp(ours.name, theirs.name) == 0;
    }
    if (!same)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "%s is not an engine of %s: its inputs and outputs are others",
                         subject->engine_path, subject->onnx_path);
    return DYNO_OK;
}

/* --- axes --- */

static enum dyno_status add_place(struct dyno_certify_subject *subject, uint32_t input,
                                  uint32_t dim, dyno_expr expr, dyno_expr *exprs,
                                  struct dyno_err *err)
{
    uint32_t a = 0;
    while (a < subject->axis_count && exprs[a] != expr)
        a++;
    if (a == DYNO_CERT_AXES_MAX)
        return DYNO_FAIL(
            err, DYNO_E_UNSUPPORTED,
            "more than %u open dimensions besides the batch: fix some with --minShapes "
            "and --maxShapes",
            DYNO_CERT_AXES_MAX);
    struct dyno_cert_axis *axis = &subject->axes[a];
    if (a == subject->axis_count) {
        exprs[subject->axis_count++] = expr;
        axis->places =
            dyno_arena_alloc(subject->arena, (size_t)DYNO_CERT_INPUTS_MAX * DYNO_CERT_RANK_MAX,
                             sizeof(*axis->places));
        if (axis->places == NULL)
            return DYNO_NOMEM(err);
    }
    axis->places[axis->place_count++] = (struct dyno_cert_place){.input = input, .dim = dim};
    return DYNO_OK;
}

/* Smallest, best and largest size, each once. */
static enum dyno_status default_points(struct dyno_certify_subject *subject,
                                       struct dyno_cert_axis *axis, struct dyno_err *err)
{
    const struct dyno_cert_input *input = &subject->inputs[axis->places[0].input];
    const uint32_t dim = axis->places[0].dim;
    const int64_t least = input->min[dim] > 0 ? input->min[dim] : 1;
    const int64_t sizes[] = {least, input->opt[dim], input->max[dim]};
    axis->points = dyno_arena_alloc(subject->arena, DYNO_CERT_POINTS_MAX, sizeof(*axis->points));
    if (axis->points == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < DYNO_COUNT(sizes); i++) {
        if (axis->point_count == 0 || sizes[i] > axis->points[axis->point_count - 1])
            axis->points[axis->point_count++] = sizes[i];
    }
    return DYNO_OK;
}

/* NAME[DIM]:SIZE,SIZE,... for the axis that has this place. */
static enum dyno_status flag_points(struct dyno_certify_subject *subject, const char *text,
                                    struct dyno_err *err)
{
    const char *open = strrchr(text, '[');
    const char *at = open != NULL ? strstr(open, "]:") : NULL;
    char *end = NULL;
    const long dim = open != NULL ? strtol(open + 1, &end, 10) : -1;
    if (at == NULL || end != at)
        return DYNO_FAIL(err, DYNO_E_ARG, "--points=%s: wants INPUT[DIM]:SIZE,SIZE,...", text);
    struct dyno_cert_axis *axis = NULL;
    for (uint32_t a = 0; a < subject->axis_count; a++) {
        for (uint32_t i = 0; i < subject->axes[a].place_count; i++) {
            const struct dyno_cert_place *place = &subject->axes[a].places[i];
            const char *name = subject->inputs[place->input].name;
            if (strlen(name) == (size_t)(open - text) &&
                strncmp(name, text, (size_t)(open - text)) == 0 && place->dim == (uint32_t)dim)
                axis = &subject->axes[a];
        }
    }
    if (axis == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--points=%s: that is no open dimension of the range",
                         text);
    const struct dyno_cert_input *input = &subject->inputs[axis->places[0].input];
    axis->point_count = 0;
    for (at += 2; *at != 0;) {
        errno = 0;
        const long long size = strtoll(at, &end, 10);
        if (end == at || errno != 0 || (*end != 0 && *end != ',') || strcmp(end, ",") == 0 ||
            axis->point_count == DYNO_CERT_POINTS_MAX || size < input->min[axis->places[0].dim] ||
            size > input->max[axis->places[0].dim] ||
            (axis->point_count > 0 && size <= axis->points[axis->point_count - 1]))
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "--points=%s: sizes must rise and lie in the range, %lld to %lld",
                             text, (long long)input->min[axis->places[0].dim],
                             (long long)input->max[axis->places[0].dim]);
        axis->points[axis->point_count++] = size;
        at = *end == ',' ? end + 1 : end;
    }
    return DYNO_OK;
}

/* Open dimensions of the baseline: the first one of the first input is the batch, the others are
 * axes, those with the same expression one axis. */
static enum dyno_status find_axes(const struct dyno_certify_options *options,
                                  struct dyno_certify_subject *subject, struct dyno_err *err)
{
    const struct dyno_plan *plan = subject->baseline->plan;
    dyno_expr exprs[DYNO_CERT_AXES_MAX] = {0};
    subject->axes = dyno_arena_alloc(subject->arena, DYNO_CERT_AXES_MAX, sizeof(*subject->axes));
    if (subject->axes == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < subject->input_count; i++) {
        const struct dyno_cert_input *input = &subject->inputs[i];
        for (uint32_t d = 0; d < input->rank; d++) {
            const dyno_expr expr = plan->tensors[plan->inputs[i].tensor].dims[d];
            if (input->min[d] == input->max[d] ||
                (subject->has_batch && expr == subject->batch_expr))
                continue;
            if (d == 0)
                return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                                 "the first dimension of input '%s' is open and not the batch of "
                                 "the first input: fix it with --shapes",
                                 input->name);
            DYNO_TRY(add_place(subject, i, d, expr, exprs, err));
        }
    }
    for (uint32_t a = 0; a < subject->axis_count; a++)
        DYNO_TRY(default_points(subject, &subject->axes[a], err));
    for (uint32_t i = 0; i < options->points.count; i++)
        DYNO_TRY(flag_points(subject, options->points.items[i], err));
    subject->point_count = 1;
    for (uint32_t a = 0; a < subject->axis_count; a++)
        subject->point_count *= subject->axes[a].point_count;
    if (subject->point_count > DYNO_CLI_LIST_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%u points are to be measured, at most %d are",
                         subject->point_count, DYNO_CLI_LIST_MAX);
    return DYNO_OK;
}

static void find_batch(struct dyno_certify_subject *subject)
{
    const struct dyno_plan *plan = subject->baseline->plan;
    const struct dyno_cert_input *first = &subject->inputs[0];
    subject->batch_min = subject->batch_max = first->rank > 0 ? first->opt[0] : 1;
    subject->has_batch = first->rank > 0 && first->min[0] < first->max[0];
    if (!subject->has_batch)
        return;
    subject->batch_expr = plan->tensors[plan->inputs[0].tensor].dims[0];
    subject->batch_min = first->min[0] > 0 ? first->min[0] : 1;
    subject->batch_max =
        first->max[0] < batch_limit(subject) ? first->max[0] : batch_limit(subject);
    if (subject->engine != NULL) {
        struct dyno_io_info info;
        dyno_engine_input(subject->engine, 0, &info);
        subject->batch_min = info.min[0] > subject->batch_min ? info.min[0] : subject->batch_min;
        subject->batch_max = info.max[0] < subject->batch_max ? info.max[0] : subject->batch_max;
    }
}

/* The axis that a dimension belongs to; the number of axes: none. */
static uint32_t axis_of(const struct dyno_certify_subject *subject, uint32_t input, uint32_t dim)
{
    for (uint32_t a = 0; a < subject->axis_count; a++) {
        for (uint32_t k = 0; k < subject->axes[a].place_count; k++) {
            const struct dyno_cert_place *place = &subject->axes[a].places[k];
            if (place->input == input && place->dim == dim)
                return a;
        }
    }
    return subject->axis_count;
}

static bool is_batch(const struct dyno_certify_subject *subject, uint32_t input, uint32_t dim)
{
    const struct dyno_plan *plan = subject->baseline->plan;
    return subject->has_batch &&
           subject->inputs[input].min[dim] < subject->inputs[input].max[dim] &&
           plan->tensors[plan->inputs[input].tensor].dims[dim] == subject->batch_expr;
}

void dyno_certify_shape(const struct dyno_certify_subject *subject, int64_t batch, uint32_t point,
                        uint32_t input_idx, struct dyno_certify_dims *dims_out)
{
    int64_t sizes[DYNO_CERT_AXES_MAX] = {0};
    const struct dyno_cert_input *input = &subject->inputs[input_idx];
    for (uint32_t a = subject->axis_count; a-- > 0;) {
        sizes[a] = subject->axes[a].points[point % subject->axes[a].point_count];
        point /= subject->axes[a].point_count;
    }
    dims_out->rank = input->rank;
    for (uint32_t d = 0; d < input->rank; d++) {
        const uint32_t axis = axis_of(subject, input_idx, d);
        dims_out->sizes[d] = axis < subject->axis_count ? sizes[axis] : input->opt[d];
        dims_out->is_batch[d] = batch > 0 && is_batch(subject, input_idx, d);
        if (dims_out->is_batch[d])
            dims_out->sizes[d] = batch;
    }
}

void dyno_certify_shape_text(const struct dyno_certify_subject *subject, int64_t batch,
                             uint32_t point, struct dyno_strbuf *out)
{
    for (uint32_t i = 0; i < subject->input_count; i++) {
        const struct dyno_cert_input *input = &subject->inputs[i];
        struct dyno_certify_dims dims;
        dyno_certify_shape(subject, batch, point, i, &dims);
        dyno_strbuf_printf(out, "%s%s:%s", i > 0 ? "," : "", input->name,
                           input->rank == 0 ? "scalar" : "");
        for (uint32_t d = 0; d < dims.rank; d++)
            dyno_strbuf_printf(out, "%s%lld", d > 0 ? "x" : "", (long long)dims.sizes[d]);
    }
}

/* --- the baseline --- */

enum dyno_status dyno_certify_model_hash(const char *path, struct dyno_cert_hash *hash_out,
                                         struct dyno_err *err)
{
    struct dyno_onnx_model *model = NULL;
    struct dyno_findings findings = {0};
    const struct dyno_onnx_options options = {.problem = dyno_findings_add,
                                              .problem_arg = &findings};
    enum dyno_status status = dyno_onnx_import(path, &options, &model, err);
    dyno_findings_end(&findings, err);
    if (status == DYNO_OK)
        status = dyno_onnx_model_identity(model, hash_out->bytes, err);
    dyno_onnx_model_close(model);
    return status;
}

/* From here on the file has no name, only a descriptor that workers inherit: nobody can put another
 * in its place, and nothing is left behind, however this ends. */
static enum dyno_status hide_baseline(struct dyno_certify_subject *subject, struct dyno_err *err)
{
    // NOLINTNEXTLINE(android-cloexec-open): workers shall have it
    subject->baseline_fd = open(subject->baseline_path, O_RDONLY);
    if (subject->baseline_fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot open '%s': %s", subject->baseline_path,
                         strerror(errno));
    (void)unlink(subject->baseline_path);
    (void)rmdir(subject->temp_folder);
    subject->temp_folder[0] = 0;
    (void)snprintf(subject->baseline_path, sizeof(subject->baseline_path), "/proc/self/fd/%d",
                   subject->baseline_fd);
    return DYNO_OK;
}

struct dyno_profile_input *dyno_certify_profile(const struct dyno_certify_subject *subject)
{
    struct dyno_profile_input *profile =
        dyno_arena_alloc(subject->arena, subject->input_count + 1U, sizeof(*profile));
    for (uint32_t i = 0; profile != NULL && i < subject->input_count; i++) {
        const struct dyno_cert_input *input = &subject->inputs[i];
        profile[i].name = input->name;
        profile[i].rank = (int)input->rank;
        memcpy(profile[i].min, input->min, sizeof(input->min));
        memcpy(profile[i].opt, input->opt, sizeof(input->opt));
        memcpy(profile[i].max, input->max, sizeof(input->max));
    }
    return profile;
}

static enum dyno_status build_baseline(const struct dyno_certify_options *options,
                                       struct dyno_certify_subject *subject, struct dyno_err *err)
{
    struct dyno_built built = {0};
    struct dyno_findings findings = {0};
    struct dyno_cli_shapes profile = {dyno_certify_profile(subject), subject->input_count};
    if (profile.items == NULL)
        return DYNO_NOMEM(err);
    if (subject->inputs == NULL) /* its own range, as far as the flags do not say */
        DYNO_TRY(dyno_cli_shapes(options->shapes, options->min_shapes, options->opt_shapes,
                                 options->max_shapes, subject->arena, &profile, err));
    if (options->save_baseline != NULL) {
        (void)snprintf(subject->baseline_path, sizeof(subject->baseline_path), "%s",
                       options->save_baseline);
    } else {
        const char *temp = getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe)
        (void)snprintf(subject->temp_folder, sizeof(subject->temp_folder), "%s/dyno-certify-XXXXXX",
                       temp != NULL ? temp : "/tmp");
        if (mkdtemp(subject->temp_folder) == NULL) {
            subject->temp_folder[0] = 0;
            return DYNO_FAIL(err, DYNO_E_IO, "cannot make a folder in '%s': %s",
                             temp != NULL ? temp : "/tmp", strerror(errno));
        }
        (void)snprintf(subject->baseline_path, sizeof(subject->baseline_path), "%s/baseline.engine",
                       subject->temp_folder);
    }
    const struct dyno_build_options build = {.onnx_path = subject->onnx_path,
                                             .engine_path = subject->baseline_path,
                                             .profile = profile.items,
                                             .profile_count = profile.count,
                                             .pool = subject->pool,
                                             .device = subject->device.name,
                                             .baseline = true,
                                             .problem = dyno_findings_add,
                                             .problem_arg = &findings};
    enum dyno_status status = dyno_build(&build, &built, err);
    dyno_findings_end(&findings, err);
    if (status == DYNO_OK && subject->temp_folder[0] != 0)
        status = hide_baseline(subject, err);
    dyno_built_fini(&built);
    return status;
}

/* One that was kept counts if it is the one that the certificate names, which is checked later. */
static enum dyno_status open_baseline(const struct dyno_certify_options *options,
                                      struct dyno_certify_subject *subject, struct dyno_err *err)
{
    if (options->baseline == NULL)
        DYNO_TRY(build_baseline(options, subject, err));
    else
        (void)snprintf(subject->baseline_path, sizeof(subject->baseline_path), "%s",
                       options->baseline);
    DYNO_TRY(
        dyno_engine_open_on(subject->baseline_path, subject->device.name, &subject->baseline, err));
    return dyno_engine_identity(subject->baseline, subject->baseline_hash.bytes, err);
}

static enum dyno_status open_all(const struct dyno_certify_options *options,
                                 const struct dyno_cert *like, struct dyno_certify_subject *subject,
                                 struct dyno_err *err)
{
    const struct dyno_pool_options pool = {.thread_count = (int)options->threads, .bind = true};
    DYNO_TRY(dyno_certify_device(options, like, &subject->device, err));
    DYNO_TRY(dyno_pool_create(&pool, &subject->pool, err));
    if (subject->engine_path != NULL) {
        if (subject->device.on_gpu)
            DYNO_TRY(dyno_engine_open_on(subject->engine_path, subject->device.name,
                                         &subject->engine, err));
        else
            DYNO_TRY(dyno_engine_inspect(subject->engine_path, &subject->engine, err));
        DYNO_TRY(dyno_engine_identity(subject->engine, subject->engine_hash.bytes, err));
        subject->precision = dyno_certify_precision(subject->engine, subject->arena);
        if (subject->precision == NULL)
            return DYNO_NOMEM(err);
    }
    if (like != NULL) {
        DYNO_TRY(copy_range(like, subject, err));
    } else if (subject->engine != NULL) {
        DYNO_TRY(range_of_engine(subject, subject->engine, err));
        DYNO_TRY(range_of_flags(options, subject, err));
    }
    DYNO_TRY(open_baseline(options, subject, err));
    if (subject->inputs == NULL)
        DYNO_TRY(range_of_baseline(subject, err));
    DYNO_TRY(dyno_certify_describe(subject, err));
    DYNO_TRY(check_inputs(subject, subject->baseline, err));
    if (subject->engine != NULL)
        DYNO_TRY(check_inputs(subject, subject->engine, err));
    find_batch(subject);
    return like != NULL ? DYNO_OK : find_axes(options, subject, err);
}

enum dyno_status dyno_certify_subject_open(const struct dyno_certify_options *options,
                                           const struct dyno_cert_hash *model,
                                           const struct dyno_cert *like,
                                           struct dyno_certify_subject *subject,
                                           struct dyno_err *err)
{
    const char *name = options->onnx != NULL ? options->onnx : like->model_name;
    const char *slash = strrchr(name, '/');
    *subject = (struct dyno_certify_subject){
        .onnx_path = options->onnx,
        .engine_path = options->engine,
        .baseline_fd = -1,
        .model_hash = *model,
        .model_name = slash != NULL ? slash + 1 : name,
        .arena = dyno_arena_create(),
    };
    if (subject->arena == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = open_all(options, like, subject, err);
    if (status != DYNO_OK)
        dyno_certify_subject_close(subject);
    return status;
}

void dyno_certify_subject_close(struct dyno_certify_subject *subject)
{
    dyno_engine_close(subject->engine);
    dyno_engine_close(subject->baseline);
    if (subject->temp_folder[0] != 0) {
        (void)unlink(subject->baseline_path);
        (void)rmdir(subject->temp_folder);
    }
    dyno_pool_destroy(subject->pool);
    dyno_arena_destroy(subject->arena);
    if (subject->baseline_fd >= 0)
        (void)close(subject->baseline_fd);
    *subject = (struct dyno_certify_subject){.baseline_fd = -1};
}

/* --- into a certificate --- */

enum dyno_status dyno_certify_fill(const struct dyno_certify_options *options,
                                   const struct dyno_certify_subject *subject,
                                   struct dyno_cert *cert, struct dyno_err *err)
{
    const struct dyno_certify_schedule schedule =
        dyno_certify_schedule(options->trial, options->processes);
    struct dyno_arena *arena = cert->arena;
    cert->program = "dyno " DYNO_VERSION;
    cert->issued_s = dyno_now_s();
    cert->term_days = (uint32_t)options->term_days;
    cert->is_trial = options->trial;
    cert->device_class = dyno_arena_strdup(arena, subject->device.class);
    cert->processor = dyno_arena_strdup(arena, subject->processor);
    cert->isa = dyno_arena_strdup(arena, subject->isa);
    cert->threads = subject->threads;
    cert->gpu = subject->gpu;
    cert->model_name = dyno_arena_strdup(arena, subject->model_name);
    cert->model = subject->model_hash;
    cert->baseline = subject->baseline_hash;
    cert->engine = subject->engine_hash;
    cert->precision =
        subject->precision != NULL ? dyno_arena_strdup(arena, subject->precision) : "";
    cert->process_count = schedule.processes;
    cert->block_count = schedule.blocks;
    cert->segment_ns = (uint64_t)(schedule.segment_ms * 1e6);
    cert->inputs =
        dyno_arena_memdup(arena, subject->inputs, subject->input_count * sizeof(*cert->inputs));
    cert->input_count = subject->input_count;
    cert->axes =
        dyno_arena_memdup(arena, subject->axes, (subject->axis_count + 1U) * sizeof(*cert->axes));
    cert->axis_count = subject->axis_count;
    cert->point_count = subject->point_count;
    cert->attempts = dyno_arena_alloc(arena, DYNO_CERT_ATTEMPTS_MAX, sizeof(*cert->attempts));
    if (cert->device_class == NULL || cert->processor == NULL || cert->isa == NULL ||
        cert->model_name == NULL || cert->precision == NULL || cert->inputs == NULL ||
        cert->axes == NULL || cert->attempts == NULL)
        return DYNO_NOMEM(err);
    return DYNO_OK;
}
