/* ktrial.c - buffers of a trial, and comparing. */
#include "ktrial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

long fail_count;

void fail(const struct trial *trial, const char *what)
{
    const struct kcase *row = trial->data->row;
    fail_count++;
    (void)fprintf(
        stderr, "FAIL %s {%s} [%s] tail \"%s\" kernel %s cfg %u,%u,%u out %s threads %d%s: %s\n",
        row->op, row->attrs, row->ins, row->tail == NULL ? "" : row->tail, trial->kernel->name,
        trial->tactic.cfg[0], trial->tactic.cfg[1], trial->tactic.cfg[2],
        trial->tactic.out_layout.kind == DYNO_LAYOUT_BLOCK ? "block" : "row", trial->threads,
        trial->strided ? " strided" : "", what);
}

/* --- buffers --- */

int64_t product(const int64_t *dims, int first, int last)
{
    int64_t value = 1;
    for (int i = first; i < last; i++)
        value *= dims[i];
    return value;
}

void describe(struct dyno_buf *buf, const struct dyno_tensor *tensor, struct dyno_layout layout,
              bool strided)
{
    *buf = (struct dyno_buf){.dtype = tensor->dtype, .layout = layout, .rank = tensor->rank};
    if (tensor->rank < 0)
        return;
    memcpy(buf->dims, tensor->dims, sizeof(buf->dims));
    if (layout.kind == DYNO_LAYOUT_ROW) {
        buf->batch_stride = tensor->rank == 0 ? 1 : product(buf->dims, 1, buf->rank);
        return;
    }
    const int64_t blocks = (buf->dims[1] + layout.block - 1) / layout.block + (strided ? 1 : 0);
    buf->batch_stride = blocks * layout.block * product(buf->dims, 2, buf->rank);
}

static size_t storage_bytes(const struct dyno_buf *buf)
{
    size_t bytes = 0;
    if (buf->layout.kind == DYNO_LAYOUT_BLOCK)
        return (size_t)(buf->dims[0] * buf->batch_stride) * sizeof(float);
    (void)dyno_dtype_bytes(buf->dtype, (uint64_t)product(buf->dims, 0, buf->rank), &bytes);
    return bytes;
}

/* Element `idx` (row-major) of a tensor that lies in BLOCK layout. */
static float *blocked(const struct dyno_buf *buf, int64_t idx)
{
    const int64_t spatial = product(buf->dims, 2, buf->rank);
    const int64_t n = idx / (buf->dims[1] * spatial);
    const int64_t c = idx / spatial % buf->dims[1];
    const int64_t pos = idx % spatial;
    const int64_t block = buf->layout.block;
    float *data = buf->data;
    return data + n * buf->batch_stride + (c / block * spatial + pos) * block + c % block;
}

void place_input(struct trial *trial, uint32_t i)
{
    const struct dyno_tensor *from = &trial->data->ins[i];
    struct dyno_buf *buf = &trial->ins[i];
    const struct dyno_layout layout =
        i < DYNO_STEP_INS_MAX ? trial->tactic.in_layouts[i] : DYNO_ROW;
    describe(buf, from, layout, trial->strided);
    if (from->rank < 0)
        return;
    const size_t elem =
        layout.kind == DYNO_LAYOUT_BLOCK ? 64 : (dyno_dtype_bits(from->dtype) + 7) / 8;
    trial->in_mem[i] = kguard_create(storage_bytes(buf), elem);
    buf->data = trial->in_mem[i].data;
    if (layout.kind == DYNO_LAYOUT_ROW) {
        if (trial->in_mem[i].bytes != 0)
            memcpy(buf->data, from->data, trial->in_mem[i].bytes);
    } else {
        /* NaN in the padded lanes: they must not reach a result. */
        kguard_fill(&trial->in_mem[i], 0xff);
        const float *values = from->data;
        for (int64_t k = 0; k < product(buf->dims, 0, buf->rank); k++)
            *blocked(buf, k) = values[k];
    }
    kguard_readonly(&trial->in_mem[i]);
}

void place_output(struct trial *trial, uint32_t i)
{
    const struct dyno_tensor *like = &trial->data->outs[i];
    const struct dyno_layout layout = i == 0 ? trial->tactic.out_layout : DYNO_ROW;
    describe(&trial->outs[i], like, layout, trial->strided);
    const size_t elem =
        layout.kind == DYNO_LAYOUT_BLOCK ? 64 : (dyno_dtype_bits(like->dtype) + 7) / 8;
    trial->out_mem[i] = kguard_create(storage_bytes(&trial->outs[i]), elem);
    kguard_fill(&trial->out_mem[i], 0xa5);
    trial->outs[i].data = trial->out_mem[i].data;
}

/* --- comparing --- */

static bool same_bits(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

static bool same_float(const struct kcase *row, float got, float want, double bound)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (row->mode == KCHECK_BITS && row->tol == 0.0)
        return same_bits(&got, &want, sizeof(got)) || (got == 0.0F && want == 0.0F);
    if (isinf(got) || isinf(want))
        return got == want;
    return fabs((double)got - (double)want) <= bound;
}

static double bound_of(const struct trial *trial, uint32_t out, int64_t idx, double greatest)
{
    const struct kcase *row = trial->data->row;
    const float *want = trial->data->outs[out].data;
    const double magnitude = fabs((double)want[idx]);
    double tol = row->tol;
    if ((trial->tactic.flags & DYNO_TACTIC_WINOGRAD) != 0)
        tol *= 16.0;
    switch (row->mode) {
    case KCHECK_SUM:
        if (out == 0 && trial->step.tail.instr_count != 0)
            return tol * (4.0 * (double)trial->data->bound[idx] + magnitude);
        return tol * (out == 0 ? (double)trial->data->bound[idx] : magnitude);
    case KCHECK_RANGE:
        return tol * greatest;
    case KCHECK_BITS:
    case KCHECK_REL:
    default:
        return tol * (magnitude + 1e-6);
    }
}

static void compare_floats(const struct trial *trial, uint32_t out)
{
    const struct dyno_buf *buf = &trial->outs[out];
    const float *want = trial->data->outs[out].data;
    const float *dense = buf->data;
    const int64_t count = product(buf->dims, 0, buf->rank);
    double greatest = 0.0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(want[i]))
            greatest = fmax(greatest, fabs((double)want[i]));
    int64_t wrong = 0;
    char text[160] = "";
    for (int64_t i = 0; i < count; i++) {
        const float got = buf->layout.kind == DYNO_LAYOUT_BLOCK ? *blocked(buf, i) : dense[i];
        const double bound = bound_of(trial, out, i, greatest);
        if (same_float(trial->data->row, got, want[i], bound))
            continue;
        if (wrong++ == 0)
            (void)snprintf(text, sizeof(text), "output %u[%lld] is %.9g, wants %.9g (within %.3g)",
                           out, (long long)i, (double)got, (double)want[i], bound);
    }
    if (wrong != 0) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "; %lld of %lld wrong",
                       (long long)wrong, (long long)count);
        fail(trial, text);
    }
}

void compare(const struct trial *trial)
{
    for (uint32_t i = 0; i < trial->step.out_count; i++) {
        const struct dyno_tensor *want = &trial->data->outs[i];
        if (kguard_damage(&trial->out_mem[i]) != 0)
            fail(trial, "wrote outside its output");
        if (want->dtype == DYNO_F32)
            compare_floats(trial, i);
        else if (memcmp(trial->outs[i].data, want->data, trial->out_mem[i].bytes) != 0)
            fail(trial, "bytes of an output differ");
    }
    /* The gaps between the batches of a view belong to others. */
    const struct dyno_buf *out = &trial->outs[0];
    if (trial->strided && out->layout.kind == DYNO_LAYOUT_BLOCK) {
        const int64_t gap = product(out->dims, 2, out->rank) * out->layout.block;
        for (int64_t n = 0; n < out->dims[0]; n++) {
            const unsigned char *end =
                (const unsigned char *)((const float *)out->data + (n + 1) * out->batch_stride);
            for (int64_t k = 1; k <= gap * (int64_t)sizeof(float); k++)
                if (end[-k] != 0xa5) {
                    fail(trial, "wrote between the batches of its output");
                    return;
                }
        }
    }
    if (kguard_damage(&trial->state) != 0 || kguard_damage(&trial->workspace) != 0)
        fail(trial, "wrote outside its state or workspace");
}
