/* mean.c - y = the mean of the inputs, broadcast.  (ONNX Mean-13) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    return dyno_infer_broadcast(ctx);
}

static double f64(double a, double b)
{
    return a + b;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    struct dyno_tensor *const out = &ctx->out[0];
    DYNO_TRY(dyno_ref_variadic(ctx, &(struct dyno_ref_binary){.pw = DYNO_PW_add, .f64 = f64}));
    const int64_t count = dyno_tensor_count(out);
    for (int64_t i = 0; i < count; i++) {
        const double sum = dyno_elem_load_f64(out->dtype, out->data, (size_t)i);
        dyno_elem_store_f64(out->dtype, out->data, (size_t)i, sum / (double)ctx->in_count);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_mean = {
    .onnx_name = "Mean",
    .since = 13,
    DYNO_VARIADIC_OP,
    .flags = DYNO_OP_COMMUTES,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
