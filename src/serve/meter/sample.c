/* sample.c - live inputs, kept until a certificate is looked at with them. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/npy.h"
#include "serve/meter/internal.h"

#define SAMPLE_BYTES_MAX ((size_t)64 << 20)

struct dyno_sample {
    size_t count;
    struct dyno_tensor arrays[]; /* data behind them */
};

/* Has each open dimension a size that was measured at? */
static bool is_of_a_point(const struct dyno_subject *subject, const struct dyno_array *inputs)
{
    const struct dyno_cert *cert = subject->reference;
    for (uint32_t a = 0; a < cert->axis_count; a++) {
        const struct dyno_cert_axis *axis = &cert->axes[a];
        const struct dyno_cert_place *place = &axis->places[0];
        const int64_t size = inputs[subject->inputs[place->input]].dims[place->dim];
        bool is_there = false;
        for (uint32_t p = 0; p < axis->point_count; p++)
            is_there = is_there || axis->points[p] == size;
        if (!is_there)
            return false;
    }
    return true;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

void dyno_sample_take(struct dyno_subject *subject, const struct dyno_variant *variant,
                      const struct dyno_array *inputs)
{
    const size_t count = variant->input_count;
    const size_t head_bytes = aligned(sizeof(struct dyno_sample) + count * sizeof(inputs[0]));
    size_t bytes = head_bytes;
    for (size_t i = 0; i < count; i++) {
        if (inputs[i].dtype == DYNO_STR || inputs[i].bytes > SAMPLE_BYTES_MAX)
            return;
        bytes += aligned(inputs[i].bytes);
    }
    if (bytes > SAMPLE_BYTES_MAX || subject->certificate == NULL ||
        !is_of_a_point(subject, inputs) || !atomic_exchange(&subject->wants_sample, false))
        return;
    struct dyno_sample *sample = dyno_alloc_raw(bytes, 1);
    if (sample == NULL)
        return;
    unsigned char *at = (unsigned char *)sample + head_bytes;
    sample->count = count;
    for (size_t i = 0; i < count; i++) {
        struct dyno_tensor *to = &sample->arrays[i];
        *to = (struct dyno_tensor){
            .dtype = (enum dyno_dtype)inputs[i].dtype, .rank = inputs[i].rank, .data = at};
        memcpy(to->dims, inputs[i].dims, sizeof(to->dims));
        memcpy(at, inputs[i].data, inputs[i].bytes);
        at += aligned(inputs[i].bytes);
    }
    dyno_sample_destroy(atomic_exchange(&subject->sample, sample));
}

void dyno_sample_destroy(struct dyno_sample *sample)
{
    dyno_free(sample);
}

enum dyno_status dyno_sample_save(const struct dyno_sample *sample, const char *folder,
                                  struct dyno_err *err)
{
    for (size_t i = 0; i < sample->count; i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%zu.npy", folder, i);
        DYNO_TRY(dyno_npy_save(path, &sample->arrays[i], err));
    }
    return DYNO_OK;
}
