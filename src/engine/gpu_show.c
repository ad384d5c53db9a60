/* gpu_show.c - tensors of a GPU for those who look at a run step by step. */
#include "backend/cuda/device.h"
#include "base/mem.h"
#include "engine/binding.h"
#include "engine/gpu.h"

/* From the first element of a tensor to its last; a channel view has others between its own. */
static uint64_t extent_of(const struct dyno_buf *buf, uint64_t bytes)
{
    const unsigned elem_bytes = dyno_dtype_bits(dyno_layout_elem(buf->layout, buf->dtype)) / 8;
    if (buf->layout.kind != DYNO_LAYOUT_LAST || bytes == 0)
        return bytes;
    const uint64_t stored = (uint64_t)dyno_layout_stored(buf->layout, buf->dims[1]);
    const uint64_t positions = bytes / elem_bytes / stored;
    return ((positions - 1) * (uint64_t)buf->ld + stored) * elem_bytes;
}

/* A tensor of the GPU as rows of its own type in `rows`. */
static void as_rows(const struct dyno_buf *buf, const void *stored, void *rows)
{
    const enum dyno_dtype elem = dyno_layout_elem(buf->layout, buf->dtype);
    const bool last = buf->layout.kind == DYNO_LAYOUT_LAST;
    int64_t count = 1, inner = 1;
    for (int d = 0; d < buf->rank; d++) {
        count *= buf->dims[d];
        inner *= d >= 2 ? buf->dims[d] : 1;
    }
    const int64_t channels = last ? buf->dims[1] : 1;
    for (int64_t i = 0; i < count; i++) {
        const int64_t from =
            last ? (i / inner / channels * inner + i % inner) * buf->ld + i / inner % channels : i;
        dyno_elem_store_f64(buf->dtype, rows, (size_t)i,
                            dyno_elem_load_f64(elem, stored, (size_t)from));
    }
}

enum dyno_status dyno_gpu_show(struct dyno_context_gpu *gpu, const struct dyno_binding *binding,
                               uint32_t id, const struct dyno_gpu_watch *watch,
                               struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    struct dyno_buf buf = binding->bufs[id];
    uint64_t bytes = 0, row_bytes = 0;
    enum dyno_status status = DYNO_OK;
    if (!dyno_dtype_is_float(buf.dtype) ||
        !dyno_layout_bytes(buf.layout, buf.dtype, buf.rank, buf.dims, &bytes) ||
        !dyno_layout_bytes(DYNO_ROW, buf.dtype, buf.rank, buf.dims, &row_bytes))
        return DYNO_OK;
    bytes = extent_of(&buf, bytes);
    void *stored = dyno_alloc_raw(bytes + 1, 1);
    void *rows = dyno_alloc_raw(row_bytes + 1, 1);
    if (stored == NULL || rows == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    int code =
        cu->copy_out(stored, dyno_gpu_tensor_address(gpu, binding, id), (size_t)bytes, gpu->stream);
    if (code == DYNO_CU_OK)
        code = cu->stream_wait(gpu->stream);
    status = dyno_cu_check(cu, code, "to copy a tensor", err);
    if (status != DYNO_OK)
        goto out;
    as_rows(&buf, stored, rows);
    buf.data = rows;
    buf.layout = DYNO_ROW;
    watch->tap(watch->tap_arg, &gpu->engine->plan->tensors[id], &buf);
out:
    dyno_free(rows);
    dyno_free(stored);
    return status;
}
