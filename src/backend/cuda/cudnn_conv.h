/* cudnn_conv.h - convolutions as cuDNN does them: what it offers for one, and its plans.
 *
 * What is asked for is a graph: the convolution, then ADD of another tensor, ADD of a bias, RELU,
 * each where it is wanted; in this order cuDNN has engines that were compiled before (with the bias
 * first it compiles one, which takes seconds).  What it offers becomes text (JSON), which an engine
 * file keeps; a plan is made of that text again.
 */
#ifndef DYNO_BACKEND_CUDA_CUDNN_CONV_H
#define DYNO_BACKEND_CUDA_CUDNN_CONV_H

#include "backend/cuda/cudnn.h"

/* A convolution at one shape, channels as stored.  Two with the same bytes are the same. */
struct dyno_cudnn_conv {
    int64_t elem;  /* enum dyno_dtype: F32, F16, BF16; sums are f32, and so is what lies between */
    int64_t last;  /* channels last, weights [m][kh][kw][c / groups]; else [..][c][h][w] both */
    int64_t eager; /* one choice: what a framework takes that does not measure, among engines that
                    * keep f32.  Else those that give the same sums in every run */
    int64_t tf32;  /* F32: engines that round the factors to TF32, and those alone */
    int64_t has_z, has_bias, has_relu;
    int64_t batch, c, h, w, m, oh, ow, groups;
    int64_t kh, kw, sh, sw, dh, dw, ph, pw, ph_end, pw_end;
};

/* Names of its tensors. */
enum dyno_cudnn_id {
    DYNO_CUDNN_X = 1,
    DYNO_CUDNN_W,
    DYNO_CUDNN_Y,
    DYNO_CUDNN_Z,
    DYNO_CUDNN_BIAS,
    DYNO_CUDNN_ID_END
};

#define DYNO_CUDNN_CHOICES_MAX    8
#define DYNO_CUDNN_JSON_BYTES_MAX 65536

/* One way to do it. */
struct dyno_cudnn_choice {
    const char *json; /* of its plan */
    uint32_t json_bytes;
    uint32_t engine; /* cuDNN's number of it */
    uint32_t
        knobs; /* a hash of the engine and all that was chosen for it: the same on every card */
    bool is_winograd;
    uint64_t workspace_bytes;
};

/* The ways that cuDNN likes best, the best first: those whose plans can be made and need no
 * compiler, and that keep to f32 where `elem` is and `tf32` is not.  Asked once in a session, which
 * keeps them; 0: there are none. */
DYNO_NODISCARD enum dyno_status dyno_cudnn_conv_choices(
    struct dyno_cudnn_session *session, const struct dyno_cudnn_conv *conv,
    const struct dyno_cudnn_choice **choices_out, int *count_out, struct dyno_err *err);

struct dyno_cudnn_plan {
    CUDNN_DESCRIPTOR plan;
    uint64_t workspace_bytes;
};

/* The plan of json[bytes], which is hostile, for `conv`, whatever sizes the text was made for:
 * E_FORMAT when its tensors or its window are not those, E_IO when cuDNN refuses it. */
DYNO_NODISCARD enum dyno_status dyno_cudnn_plan_make(const struct dyno_cudnn_session *session,
                                                     const struct dyno_cudnn_conv *conv,
                                                     const char *json, size_t bytes,
                                                     struct dyno_cudnn_plan *plan_out,
                                                     struct dyno_err *err);
void dyno_cudnn_plan_drop(const struct dyno_cudnn_session *session, struct dyno_cudnn_plan *plan);

/* Put it into the stream.  data: by enum dyno_cudnn_id; NULL: the plan has no such tensor.
 * workspace: at a multiple of 256. */
DYNO_NODISCARD enum dyno_status dyno_cudnn_plan_run(struct dyno_cudnn_session *session,
                                                    const struct dyno_cudnn_plan *plan,
                                                    void *stream,
                                                    void *const data[DYNO_CUDNN_ID_END],
                                                    void *workspace, struct dyno_err *err);

/* y += bias, f32 and [batch][m][oh][ow], by a routine of its own. */
DYNO_NODISCARD enum dyno_status dyno_cudnn_add_bias(struct dyno_cudnn_session *session,
                                                    const struct dyno_cudnn_conv *conv,
                                                    void *stream, const void *bias, void *y,
                                                    struct dyno_err *err);

#endif /* DYNO_BACKEND_CUDA_CUDNN_CONV_H */
