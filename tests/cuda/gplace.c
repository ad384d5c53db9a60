/* gplace.c - places of elements. */
#include "gplace.h"

#include <stdlib.h>
#include <string.h>

bool is_last(const struct dyno_buf *buf)
{
    return buf->layout.kind == DYNO_LAYOUT_LAST && buf->layout.block != 0;
}

uint64_t elem_bytes(const struct dyno_buf *buf)
{
    return dyno_dtype_bits(dyno_layout_elem(buf->layout, buf->dtype)) / 8;
}

uint64_t stored_bytes(const struct dyno_buf *buf)
{
    uint64_t bytes = 0;
    if (!dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes))
        exit(EXIT_FAILURE);
    const int64_t stored = is_last(buf) ? dyno_layout_stored(buf->layout, buf->dims[1]) : 0;
    return stored > 0 ? bytes / (uint64_t)stored * (uint64_t)buf->ld : bytes;
}

int64_t place_of(const struct dyno_buf *buf, int64_t i)
{
    if (!is_last(buf))
        return i;
    int64_t inner = 1;
    for (int d = 2; d < buf->rank; d++)
        inner *= buf->dims[d];
    const int64_t channels = buf->dims[1];
    DYNO_ASSERT(inner > 0 && channels > 0); /* or there is no element i */
    return (i / inner / channels * inner + i % inner) * buf->ld + i / inner % channels;
}

int64_t count_of(const struct dyno_buf *buf)
{
    int64_t count = 1;
    for (int d = 0; d < buf->rank; d++)
        count *= buf->dims[d];
    return count;
}

uint64_t view_at(const struct dyno_buf *buf)
{
    const bool dense = !is_last(buf) || buf->ld == dyno_layout_stored(buf->layout, buf->dims[1]);
    return dense ? 0 : buf->layout.block * elem_bytes(buf);
}

static void clear(const struct dyno_buf *buf, char *to)
{
    memset(to, 0xFF, stored_bytes(buf));
    if (!is_last(buf) || buf->ld == 0)
        return;
    const uint64_t stored =
        (uint64_t)dyno_layout_stored(buf->layout, buf->dims[1]) * elem_bytes(buf);
    const uint64_t step = (uint64_t)buf->ld * elem_bytes(buf);
    for (uint64_t at = view_at(buf); at < stored_bytes(buf); at += step)
        memset(to + at, 0, stored);
}

void store(const struct dyno_buf *buf, const struct dyno_tensor *from, char *to)
{
    const enum dyno_dtype elem = dyno_layout_elem(buf->layout, buf->dtype);
    if (buf->layout.kind == DYNO_LAYOUT_ROW && buf->layout.elem == 0) {
        memcpy(to, from->data, stored_bytes(buf));
        return;
    }
    clear(buf, to);
    for (int64_t i = 0; i < count_of(buf); i++)
        dyno_elem_store_f64(elem, to + view_at(buf), (size_t)place_of(buf, i),
                            dyno_elem_load_f64(from->dtype, from->data, (size_t)i));
}

void describe(struct dyno_buf *buf, const struct dyno_tensor *tensor,
              const uint32_t open[DYNO_RANK_MAX], struct dyno_layout layout)
{
    *buf = (struct dyno_buf){.dtype = tensor->dtype, .rank = tensor->rank, .layout = layout};
    if (tensor->rank >= 0)
        memcpy(buf->dims, tensor->dims, sizeof(buf->dims));
    memcpy(buf->open, open, sizeof(buf->open));
    if (is_last(buf) && tensor->rank >= 2)
        buf->ld = dyno_layout_stored(layout, buf->dims[1]);
}

void make_place(const struct kcase_data *data, const struct dyno_target *target,
                struct place *place)
{
    for (uint32_t i = 0; i < data->step.in_count; i++) {
        describe(&place->ins[i], &data->ins[i], data->in_open[i], DYNO_ROW);
        place->ins[i].data = data->in_is_known[i] ? data->ins[i].data : NULL;
    }
    for (uint32_t i = 0; i < data->step.out_count; i++)
        describe(&place->outs[i], &data->outs[i], data->out_open[i], DYNO_ROW);
    place->site = (struct dyno_site){.step = &data->step,
                                     .ins = place->ins,
                                     .outs = place->outs,
                                     .in_is_weight = data->in_is_weight,
                                     .target = target};
}
