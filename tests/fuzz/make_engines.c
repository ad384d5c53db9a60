/* make_engines.c - small engines to start from: one of each kernel and layout for every case of
 * tests/kernels, and the small models.
 *
 *     make_engines FOLDER [--isa=MASK] [--bytes=MAX]
 *
 * Files are FOLDER/good_NAME.  MASK: instruction sets (enum dyno_isa) kernels may use, 0 by
 * default: such engines run everywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "build/build.h"
#include "build/finish.h"
#include "engine/format.h"
#include "engine_inputs.h"
#include "kcase.h"
#include "small_models.h"
#include "tune/shapes.h"

#define X(name) extern const struct kcase_family kcases_##name;
#include "families.def"
#undef X
static const struct kcase_family *const families[] = {
#define X(name) &kcases_##name,
#include "families.def"
#undef X
};

#define TENSORS_MAX 65536 /* bytes of a case's inputs and outputs */

static const char *folder;
static uint64_t isa_mask;
static unsigned long bytes_max = 32768;
static int made_count, failed_count;

/* A Gather may be given an index that its reference refuses. */
static bool runs(const char *path)
{
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    struct dyno_array inputs[KCASE_INS_MAX];
    struct dyno_array outputs[KCASE_OUTS_MAX];
    if (dyno_engine_open(path, &engine, NULL) != DYNO_OK)
        return false;
    memset(inputs, 0, sizeof(inputs));
    memset(outputs, 0, sizeof(outputs));
    const bool ok = engine_inputs_make(engine, 1, inputs) &&
                    dyno_context_create(engine, NULL, &context, NULL) == DYNO_OK &&
                    dyno_context_run(context, inputs, outputs, NULL) == DYNO_OK;
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++)
        free(inputs[i].data);
    dyno_context_destroy(context);
    dyno_engine_close(engine);
    return ok;
}

static void keep_good(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || (unsigned long)info.st_size > bytes_max || !runs(path))
        (void)unlink(path);
    else
        made_count++;
}

static void complain(const char *what, const struct dyno_err *err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err->text);
    failed_count++;
}

/* --- a case as a plan of one step --- */

static void set_tensor(struct dyno_plan *plan, uint32_t id, const char *name,
                       const struct dyno_tensor *from, enum dyno_role role)
{
    struct dyno_plan_tensor *tensor = &plan->tensors[id];
    size_t bytes = 0;
    *tensor = (struct dyno_plan_tensor){.name = name,
                                        .role = role,
                                        .dtype = from->dtype,
                                        .rank = from->rank,
                                        .base = DYNO_NO_TENSOR,
                                        .view_offset = DYNO_EXPR_NONE};
    for (int d = 0; d < from->rank; d++)
        tensor->dims[d] = dyno_expr_const(plan->exprs, from->dims[d]);
    if (role == DYNO_ROLE_WEIGHT &&
        dyno_dtype_bytes(from->dtype, (uint64_t)dyno_tensor_count(from), &bytes)) {
        tensor->data = from->data;
        tensor->data_bytes = bytes;
    }
}

static struct dyno_io *add_io(struct dyno_plan *plan, struct dyno_io *ios, uint32_t *count,
                              uint32_t id, const struct dyno_tensor *from)
{
    struct dyno_io *io = &ios[(*count)++];
    io->name = plan->tensors[id].name;
    io->tensor = id;
    for (int d = 0; d < from->rank; d++)
        io->min[d] = io->opt[d] = io->max[d] = from->dims[d];
    return io;
}

static struct dyno_plan *make_plan(const struct kcase_data *data)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct dyno_plan *plan = dyno_plan_create();
    if (plan == NULL)
        abort();
    const uint32_t count = data->step.in_count + data->step.out_count;
    plan->name = data->row->op;
    plan->tensor_count = count;
    plan->tensors = dyno_arena_alloc(plan->arena, count + 1U, sizeof(*plan->tensors));
    plan->steps = dyno_arena_alloc(plan->arena, 1, sizeof(*plan->steps));
    plan->inputs = dyno_arena_alloc(plan->arena, count + 1U, sizeof(*plan->inputs));
    plan->outputs = dyno_arena_alloc(plan->arena, count + 1U, sizeof(*plan->outputs));
    uint32_t *ids = dyno_arena_memdup(plan->arena, data->step.ins, count * sizeof(*ids));
    if (plan->tensors == NULL || plan->steps == NULL || plan->inputs == NULL ||
        plan->outputs == NULL || ids == NULL)
        abort();
    for (uint32_t i = 0; i < count; i++) {
        const bool is_in = i < data->step.in_count;
        const struct dyno_tensor none = {.dtype = DYNO_F32};
        const struct dyno_tensor *from =
            is_in ? &data->ins[i] : &data->outs[i - data->step.in_count];
        const bool absent = from->rank < 0;
        const bool is_const = absent || (is_in && data->in_is_known[i]);
        set_tensor(plan, i, names[i % DYNO_COUNT(names)], absent ? &none : from,
                   is_const ? DYNO_ROLE_WEIGHT
                   : is_in  ? DYNO_ROLE_INPUT
                            : DYNO_ROLE_OUTPUT);
        if (absent || is_const)
            continue;
        if (is_in)
            (void)add_io(plan, plan->inputs, &plan->input_count, i, from);
        else
            (void)add_io(plan, plan->outputs, &plan->output_count, i, from);
    }
    plan->steps[0] = data->step;
    plan->steps[0].ins = ids;
    plan->steps[0].outs = ids + data->step.in_count;
    plan->step_count = 1;
    return plan;
}

static void write_case(const struct kcase_data *data, const struct dyno_target *target,
                       const struct dyno_tactic *tactic, const char *path)
{
    struct dyno_err err = {0};
    struct dyno_finish_report report;
    struct dyno_plan *plan = make_plan(data);
    plan->steps[0].tactic = *tactic;
    if (dyno_finish(plan, target, 1, false, &report, &err) != DYNO_OK ||
        dyno_engine_write(plan, target, path, &err) != DYNO_OK)
        complain(path, &err);
    else
        keep_good(path);
    dyno_plan_destroy(plan);
}

static int case_tactics(const struct kcase_data *data, const struct dyno_target *target,
                        const struct dyno_kernel *kernel, struct dyno_tactic *tactics)
{
    struct dyno_err err = {0};
    struct dyno_buf *bufs = NULL;
    struct dyno_site site;
    struct dyno_plan *plan = make_plan(data);
    struct dyno_arena *arena = dyno_arena_create();
    int count = 0;
    if (arena != NULL && dyno_tune_shapes(plan, arena, &bufs, &err) == DYNO_OK &&
        dyno_tune_site(plan, &plan->steps[0], bufs, target, arena, &site, &err) == DYNO_OK)
        count = dyno_kernel_candidates(kernel, &site, tactics, DYNO_TACTICS_MAX);
    else
        complain(data->row->op, &err);
    dyno_arena_destroy(arena);
    dyno_plan_destroy(plan);
    return count;
}

static uint64_t tensor_bytes(const struct kcase_data *data)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < data->step.in_count + data->step.out_count; i++) {
        const struct dyno_tensor *tensor =
            i < data->step.in_count ? &data->ins[i] : &data->outs[i - data->step.in_count];
        size_t bytes = 0;
        if (tensor->rank >= 0 &&
            dyno_dtype_bytes(tensor->dtype, (uint64_t)dyno_tensor_count(tensor), &bytes))
            sum += bytes;
    }
    return sum;
}

/* One engine for each kernel and layout. */
static void make_case(const struct kcase *row, size_t number)
{
    struct dyno_err err = {0};
    static struct kcase_data data;
    struct dyno_target target;
    memset(&data, 0, sizeof(data));
    data.arena = dyno_arena_create();
    dyno_target_detect(&target, NULL);
    target.isa_mask &= isa_mask;
    if (data.arena == NULL || kcase_make(row, 1, &data, &err) != DYNO_OK) {
        complain(row->op, &err);
        dyno_arena_destroy(data.arena);
        return;
    }
    const bool is_small = tensor_bytes(&data) <= TENSORS_MAX;
    for (size_t k = 0; is_small && k < dyno_kernel_count; k++) {
        const struct dyno_kernel *kernel = dyno_kernels[k];
        struct dyno_tactic tactics[DYNO_TACTICS_MAX];
        bool seen[2] = {false, false}; /* by layout */
        if ((kernel->isa_mask & ~isa_mask) != 0)
            continue;
        const int count = case_tactics(&data, &target, kernel, tactics);
        for (int t = 0; t < count; t++) {
            char path[512];
            bool *const layout_seen = &seen[tactics[t].out_layout.kind];
            if (*layout_seen && (tactics[t].flags & DYNO_TACTIC_WINOGRAD) == 0)
                continue;
            *layout_seen = true;
            (void)snprintf(path, sizeof(path), "%s/good_%s_%zu_%s_%d", folder, row->op, number,
                           kernel->name, t);
            write_case(&data, &target, &tactics[t], path);
        }
    }
    dyno_arena_destroy(data.arena);
}

/* --- models --- */

static void make_model(const char *name, message (*model)(void), bool baseline)
{
    char onnx[512];
    char path[512];
    struct dyno_err err = {0};
    struct dyno_built built = {0};
    message bytes = model();
    (void)snprintf(onnx, sizeof(onnx), "%s/model.onnx", folder);
    (void)snprintf(path, sizeof(path), "%s/good_%s%s", folder, name, baseline ? "_baseline" : "");
    /* A mask of 0 would mean all: the bit names none. */
    const struct dyno_build_options options = {.onnx_path = onnx,
                                               .engine_path = path,
                                               .baseline = baseline,
                                               .isa_mask = isa_mask | 1U << 31};
    if (dyno_file_write_atomic(onnx, dyno_strbuf_text(&bytes), bytes.bytes, &err) != DYNO_OK ||
        dyno_build(&options, &built, &err) != DYNO_OK)
        complain(name, &err);
    else
        keep_good(path);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&bytes);
    (void)unlink(onnx);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--isa=", 6) == 0)
            isa_mask = strtoull(argv[i] + 6, NULL, 0);
        else if (strncmp(argv[i], "--bytes=", 8) == 0)
            bytes_max = strtoul(argv[i] + 8, NULL, 10);
        else
            folder = argv[i];
    }
    if (folder == NULL)
        return 64;
    (void)mkdir(folder, 0777);
    for (size_t f = 0; f < DYNO_COUNT(families); f++)
        for (size_t i = 0; i < families[f]->count; i++)
            make_case(&families[f]->cases[i], i);
    for (int baseline = 0; baseline < 2; baseline++) {
        make_model("conv_net", small_conv_net, baseline != 0);
        make_model("token_net", small_token_net, baseline != 0);
        make_model("open_net", small_open_net, baseline != 0);
    }
    printf("%d engines made, %d failed\n", made_count, failed_count);
    return made_count > 0 && failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
