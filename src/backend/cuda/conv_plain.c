/* conv_plain.c - parameters and launches of the convolutions that are no product. */
#include "backend/cuda/conv_plain.h"

bool dyno_cuda_conv_asks(const struct dyno_tactic *asked, uint32_t longest)
{
    const uint32_t run = asked->cfg[1];
    return run >= 1 && run <= longest && (run & (run - 1)) == 0 &&
           dyno_cuda_rest_is_zero(asked, 2) && dyno_cuda_asks_layout(asked, true);
}

enum dyno_status dyno_cuda_conv_prepare(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic,
                                        const struct dyno_gpu_conv *params, int64_t threads,
                                        struct dyno_cuda_conv_state *state_out,
                                        struct dyno_err *err)
{
    struct dyno_cuda_conv_state *state = state_out;
    *state = (struct dyno_cuda_conv_state){.params = *params};
    if (!dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    if (!dyno_cuda_tail_sizes(site, tactic, &state->tail, &state->params.tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "an operand of the tail is too large");
    state->grid[0] = dyno_cuda_div_up(threads, DYNO_CUDA_CONV_THREADS);
    state->grid[1] = state->grid[2] = 1;
    return DYNO_OK;
}

enum dyno_status dyno_cuda_conv_run(struct dyno_run_args *args)
{
    const struct dyno_cuda_conv_state *state = args->state;
    struct dyno_gpu_conv params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    params.bias = dyno_cuda_address(args->packed);
    params.weights = params.bias + (unsigned long long)params.m * sizeof(float);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    return dyno_cuda_launch(args, state->grid, DYNO_CUDA_CONV_THREADS, 0, &params, sizeof(params));
}
