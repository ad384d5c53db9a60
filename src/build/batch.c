/* batch.c - profile entries for the batch dimension. */
#include "build/batch.h"

#include <string.h>

int64_t dyno_batch_middle(int64_t batch_max)
{
    int64_t middle = 1;
    while (middle < (INT64_C(1) << 30) && 4 * middle * middle <= 2 * batch_max)
        middle *= 2;
    return middle;
}

struct batch {
    const struct dyno_graph *graph;
    const struct dyno_build_options *options;
    int64_t opt;
};

static const struct dyno_profile_input *find(const struct batch *batch, const char *name)
{
    for (uint32_t i = 0; i < batch->options->profile_count; i++)
        if (strcmp(batch->options->profile[i].name, name) == 0)
            return &batch->options->profile[i];
    return NULL;
}

/* Is this the first dimension of an input that the profile leaves out? */
static bool is_batch(const struct batch *batch, dyno_expr dim)
{
    const struct dyno_graph *graph = batch->graph;
    if (dyno_exprs_node(graph->exprs, dim).op != DYNO_EXPR_SYMBOL)
        return false;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct dyno_value *input = graph->inputs[i];
        if (input->type.rank > 0 && input->type.dims[0] == dim && find(batch, input->name) == NULL)
            return true;
    }
    return false;
}

/* The optimum of a size that an entry of the profile has already; 0: none has. */
static int64_t named_opt(const struct batch *batch, dyno_expr dim)
{
    const struct dyno_graph *graph = batch->graph;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct dyno_value *input = graph->inputs[i];
        const struct dyno_profile_input *named = find(batch, input->name);
        for (int axis = 0; named != NULL && axis < input->type.rank && axis < named->rank; axis++)
            if (input->type.dims[axis] == dim)
                return named->opt[axis];
    }
    return 0;
}

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : (value > max ? max : value);
}

static void fill(const struct batch *batch, const struct dyno_value *input,
                 struct dyno_profile_input *out)
{
    *out = (struct dyno_profile_input){.name = input->name, .rank = input->type.rank};
    for (int axis = 0; axis < input->type.rank; axis++) {
        const dyno_expr dim = input->type.dims[axis];
        dyno_expr_range(batch->graph->exprs, dim, &out->min[axis], &out->max[axis]);
        const int64_t named = named_opt(batch, dim);
        const int64_t wanted = named != 0 ? named : is_batch(batch, dim) ? batch->opt : 1;
        out->opt[axis] = clamp(wanted, out->min[axis], out->max[axis]);
    }
}

/* Had the model a first dimension that was open?  With a largest batch of 1 it is a constant now.
 */
static bool has_batch(const struct batch *batch)
{
    const struct dyno_graph *graph = batch->graph;
    for (uint32_t i = 0; i < graph->input_count; i++)
        if (graph->inputs[i]->type.rank > 0 && is_batch(batch, graph->inputs[i]->type.dims[0]))
            return true;
    return batch->options->batch_max == 1;
}

enum dyno_status dyno_batch_profile(const struct dyno_graph *graph,
                                    const struct dyno_build_options *options,
                                    struct dyno_arena *arena,
                                    const struct dyno_profile_input **profile_out,
                                    uint32_t *count_out, struct dyno_err *err)
{
    const struct batch batch = {
        .graph = graph,
        .options = options,
        .opt = options->batch_opt > 0 ? options->batch_opt : dyno_batch_middle(options->batch_max)};
    if (!has_batch(&batch))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "no input of '%s' has an open first dimension, so it takes no batch up to "
                         "%lld",
                         options->onnx_path, (long long)options->batch_max);
    struct dyno_profile_input *items = dyno_arena_alloc(
        arena, (size_t)options->profile_count + graph->input_count + 1, sizeof(*items));
    if (items == NULL)
        return DYNO_NOMEM(err);
    uint32_t count = options->profile_count;
    if (count > 0)
        memcpy(items, options->profile, count * sizeof(*items));
    for (uint32_t i = 0; i < graph->input_count; i++)
        if (graph->inputs[i]->type.rank >= 0 && find(&batch, graph->inputs[i]->name) == NULL)
            fill(&batch, graph->inputs[i], &items[count++]);
    *profile_out = items;
    *count_out = count;
    return DYNO_OK;
}
