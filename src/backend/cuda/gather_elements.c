/* gather_elements.c - GatherElements of elements of any width. */
#include "backend/cpu/move.h"

#include "backend/cuda/kernel.h"
#include "ops/move.h"

extern const struct dyno_kernel dyno_kernel_cuda_gather_elements;

#define THREADS 256

struct gather_elements_state {
    struct dyno_gpu_gather_elements params;
};

/* "unsigned": as wide as an element; NULL: there is none. */
static const char *word_of(enum dyno_dtype dtype)
{
    static const char *const words[] = {
        [1] = "unsigned char",
        [2] = "unsigned short",
        [4] = "unsigned",
        [8] = "unsigned long long",
    };
    const int64_t bytes = dyno_cpu_elem_bytes(dtype);
    return bytes > 0 && bytes < (int64_t)DYNO_COUNT(words) ? words[bytes] : NULL;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (max < 1 || site->step->op != DYNO_OP_gather_elements || site->outs[0].rank < 0)
        return 0;
    out[0].est_us = (float)dyno_cuda_move_us(
        site->target, 16.0 * (double)dyno_cuda_count(&site->outs[0], 0, site->outs[0].rank));
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_buf *x = &site->ins[0], *index = &site->ins[1], *y = &site->outs[0];
    if (site->step->op != DYNO_OP_gather_elements || site->step->tail.instr_count != 0 ||
        x->rank < 1 || x->rank > DYNO_GPU_MOVE_AXES || index->rank != x->rank ||
        y->rank != x->rank || x->dtype != y->dtype || word_of(x->dtype) == NULL ||
        (index->dtype != DYNO_I64 && index->dtype != DYNO_I32) || !dyno_cuda_readable(site, 0) ||
        !dyno_cuda_readable(site, 1) || !dyno_cuda_rest_is_zero(asked, 0) ||
        !dyno_cuda_is_plain(asked->out_layout))
        return dyno_cuda_refuse(site, err);
    tactic->flags = DYNO_TACTIC_BASELINE;
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    (void)tactic;
    (void)err;
    *source_out = "gather_elements.cu";
    dyno_strbuf_printf(choices, "#define T %s\n#define INDEX %s\n", word_of(site->ins[0].dtype),
                       site->ins[1].dtype == DYNO_I64 ? "i64" : "int");
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct gather_elements_state *state = state_bytes;
    const struct dyno_axis_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0], *index = &site->ins[1];
    const int64_t count = dyno_cuda_count(index, 0, index->rank);
    const int axis = (int)(attrs->axis < 0 ? attrs->axis + x->rank : attrs->axis);
    int64_t stride = 1;
    *workspace_bytes_out = 0;
    if (axis < 0 || axis >= x->rank)
        return dyno_cuda_refuse(site, err);
    if (count > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a GatherElements of %lld elements is too large",
                         (long long)count);
    if (x->dims[axis] == 0 && count != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "'%s' gathers from an axis without elements",
                         site->step->name);
    state->params = (struct dyno_gpu_gather_elements){
        .count = (unsigned)count, .rank = x->rank, .axis = axis, .size = x->dims[axis]};
    for (int i = x->rank - 1; i >= 0; i--) {
        if (i != axis && index->dims[i] > x->dims[i])
            return DYNO_FAIL(err, DYNO_E_ARG, "'%s' has more indices along axis %d than data",
                             site->step->name, i);
        state->params.dims[i] = (unsigned)index->dims[i];
        state->params.strides[i] = stride;
        stride *= x->dims[i];
    }
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct gather_elements_state *state = args->state;
    struct dyno_gpu_gather_elements params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.index = dyno_cuda_address(args->ins[1].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    const int64_t grid[3] = {dyno_cuda_div_up(params.count, THREADS), 1, 1};
    return dyno_cuda_launch(args, grid, THREADS, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_gather_elements = {
    .name = "gather_elements_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct gather_elements_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
