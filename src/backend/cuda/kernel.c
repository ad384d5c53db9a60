/* kernel.c - layouts, estimates, launches. */
#include "backend/cuda/kernel.h"

#include "backend/cuda/driver.h"

#define LAUNCH_US   2.5   /* a short kernel inside a graph, its gap included */
#define BYTES_A_US  2.0e6 /* what a plain pass over memory reaches on a data-centre card */
#define GRID_MAX    2147483647LL
#define GRID_YZ_MAX 65535

const struct dyno_layout dyno_cuda_layouts[] = {
    {DYNO_LAYOUT_ROW, 0, 0},         {DYNO_LAYOUT_LAST, 4, 0},
    {DYNO_LAYOUT_ROW, 0, DYNO_F16},  {DYNO_LAYOUT_LAST, 8, DYNO_F16},
    {DYNO_LAYOUT_ROW, 0, DYNO_BF16}, {DYNO_LAYOUT_LAST, 8, DYNO_BF16},
};
const int dyno_cuda_layout_count = (int)DYNO_COUNT(dyno_cuda_layouts);

struct dyno_layout dyno_cuda_last(enum dyno_dtype elem)
{
    const bool is_half = elem == DYNO_F16 || elem == DYNO_BF16;
    return (struct dyno_layout){DYNO_LAYOUT_LAST, is_half ? 8 : 4, is_half ? (uint8_t)elem : 0};
}

struct dyno_layout dyno_cuda_row(enum dyno_dtype elem)
{
    const bool is_half = elem == DYNO_F16 || elem == DYNO_BF16;
    return (struct dyno_layout){DYNO_LAYOUT_ROW, 0, is_half ? (uint8_t)elem : 0};
}

bool dyno_cuda_layout_known(struct dyno_layout layout)
{
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        if (dyno_layout_same(layout, dyno_cuda_layouts[i]))
            return true;
    }
    return false;
}

bool dyno_cuda_layout_allowed(struct dyno_layout layout, const struct dyno_target *target)
{
    if (layout.elem == DYNO_F16)
        return (target->precisions & DYNO_PRECISION_F16) != 0;
    if (layout.elem == DYNO_BF16)
        return (target->precisions & DYNO_PRECISION_BF16) != 0;
    return true;
}

const char *dyno_cuda_type(struct dyno_layout layout)
{
    if (layout.elem == DYNO_F16)
        return "f16";
    return layout.elem == DYNO_BF16 ? "bf16" : "float";
}

bool dyno_cuda_readable(const struct dyno_site *site, uint32_t i)
{
    return i < site->step->in_count && site->ins[i].rank >= 0 &&
           (site->in_is_weight[i] || site->ins[i].data == NULL);
}

bool dyno_cuda_is_f32(const struct dyno_buf *buf)
{
    return buf->rank >= 0 && buf->dtype == DYNO_F32;
}

bool dyno_cuda_is_absent(const struct dyno_site *site, uint32_t i)
{
    return i >= site->step->own_in_count || site->ins[i].rank < 0;
}

bool dyno_cuda_is_constant(const struct dyno_site *site, uint32_t i)
{
    return !dyno_cuda_is_absent(site, i) && site->in_is_weight[i] && site->ins[i].dtype == DYNO_F32;
}

bool dyno_cuda_batch_spreads(const struct dyno_buf *in, const struct dyno_buf *out,
                             bool *shared_out)
{
    bool same = true, one = true;
    for (int i = 0; i < out->rank - 2; i++) {
        const int at = i - (out->rank - in->rank);
        const int64_t dim = at < 0 ? 1 : in->dims[at];
        same = same && dim == out->dims[i];
        one = one && dim == 1;
    }
    *shared_out = one;
    return same || one;
}

int64_t dyno_cuda_count(const struct dyno_buf *buf, int first, int last)
{
    int64_t count = 1;
    for (int i = first; i < last; i++)
        count *= buf->dims[i];
    return count;
}

enum dyno_status dyno_cuda_refuse(const struct dyno_site *site, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                     "its GPU kernel does not do %s on these types, shapes and constants in this "
                     "way",
                     dyno_ops[site->step->op]->onnx_name);
}

bool dyno_cuda_rest_is_zero(const struct dyno_tactic *tactic, int used)
{
    for (int i = used; i < DYNO_TACTIC_CFGS; i++) {
        if (tactic->cfg[i] != 0)
            return false;
    }
    return true;
}

bool dyno_cuda_asks_layout(const struct dyno_tactic *asked, bool last)
{
    if (asked->cfg[0] >= (uint32_t)dyno_cuda_layout_count)
        return false;
    const struct dyno_layout layout = dyno_cuda_layouts[asked->cfg[0]];
    return dyno_cuda_is_last(layout) == last && dyno_layout_same(asked->out_layout, layout);
}

double dyno_cuda_move_us(const struct dyno_target *target, double bytes)
{
    (void)target;
    return LAUNCH_US + bytes / BYTES_A_US;
}

enum dyno_status dyno_cuda_launch(const struct dyno_run_args *args, const int64_t grid[3],
                                  int threads, uint32_t shared_bytes, const void *params,
                                  size_t bytes)
{
    const struct dyno_gpu_launch *gpu = args->gpu;
    if (grid[0] <= 0 || grid[1] <= 0 || grid[2] <= 0)
        return DYNO_OK;
    if (grid[0] > GRID_MAX || grid[1] > GRID_YZ_MAX || grid[2] > GRID_YZ_MAX)
        return DYNO_FAIL(args->err, DYNO_E_LIMIT, "a grid of %lld x %lld x %lld blocks",
                         (long long)grid[0], (long long)grid[1], (long long)grid[2]);
    /* By size, not one by one: what the program says of its parameters is the engine's word. */
    void *extra[] = {(void *)DYNO_CU_PARAMS_AT, (void *)(uintptr_t)params,
                     (void *)DYNO_CU_PARAMS_BYTES, &bytes, NULL};
    const int code =
        gpu->cu->launch(gpu->function, (unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2],
                        (unsigned)threads, 1, 1, shared_bytes, gpu->stream, NULL, extra);
    return dyno_cu_check(gpu->cu, code, "to launch", args->err);
}
