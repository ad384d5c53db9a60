/* baseline.c - what the unoptimised execution on a GPU is made of. */
#include "tune/baseline.h"

#include "backend/cpu/conv.h"
#include "backend/cuda/libraries.h"

/* A filter a channel: frameworks have kernels of their own for it, as we do. */
static bool is_depthwise(const struct dyno_site *site)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    return dyno_cpu_conv_accepts(site, DYNO_OP_conv) &&
           dyno_cpu_conv_resolve(site, &conv, NULL) == DYNO_OK && conv.cg == 1 && conv.groups > 1;
}

/* Whose work is the step: a library's, or NONE's?  False: no matter whose. */
static bool is_decided(const struct dyno_site *site, enum dyno_library *library_out)
{
    switch ((int)site->step->op) {
    case DYNO_OP_conv:
        *library_out = is_depthwise(site) ? DYNO_LIBRARY_NONE : DYNO_LIBRARY_cudnn;
        return true;
    case DYNO_OP_mat_mul:
    case DYNO_OP_gemm:
        *library_out = DYNO_LIBRARY_cublaslt;
        return true;
    default:
        return false;
    }
}

static enum dyno_status refuse(const struct dyno_site *site, enum dyno_library library,
                               struct dyno_err *err)
{
    const char *op = dyno_ops[site->step->op]->onnx_name;
    struct dyno_err why = {0};
    uint32_t version = 0;
    if (library == DYNO_LIBRARY_NONE)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "step '%s': the unoptimised execution on a GPU takes %s of a filter a "
                         "channel by our kernel, which does not do this one",
                         site->step->name, op);
    const char *name = dyno_cuda_library_of(library)->name;
    if (site->target->libraries == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "the unoptimised execution on a GPU takes %s by %s, as frameworks do, "
                         "which this build leaves out",
                         op, name);
    if (dyno_cuda_library_of(library)->version(&version, &why) != DYNO_OK)
        return DYNO_FAIL(
            err, DYNO_E_UNSUPPORTED,
            "the unoptimised execution on a GPU takes %s by %s, as frameworks do, which "
            "is not here: %s",
            op, name, why.text);
    return DYNO_FAIL(
        err, DYNO_E_UNSUPPORTED,
        "step '%s': the unoptimised execution on a GPU takes %s by %s, which does not do "
        "this one",
        site->step->name, op, name);
}

enum dyno_status dyno_tune_baseline(const struct dyno_site *site, struct dyno_tactic *out,
                                    int *count_in_out, struct dyno_err *err)
{
    int kept = 0;
    if (!site->target->baseline || site->target->gpu.compute == 0 || *count_in_out == 0 ||
        dyno_kernel_find(out[0].kernel)->place != DYNO_ON_GPU)
        return DYNO_OK;
    enum dyno_library library = DYNO_LIBRARY_NONE;
    if (!is_decided(site, &library))
        return DYNO_OK;
    for (int i = 0; i < *count_in_out; i++) {
        if (dyno_kernel_find(out[i].kernel)->library == library)
            out[kept++] = out[i];
    }
    *count_in_out = kept;
    return kept != 0 ? DYNO_OK : refuse(site, library, err);
}
