/* epu.c - the work of a request in reference-ns. */
#include "meter/cert/epu.h"

#include "base/wide.h"

#define ITEMS_MAX ((uint64_t)1 << 20)

typedef dyno_u128 u128;

/* Where a size lies between two points of its axis. */
struct spot {
    uint32_t below;  /* index of the point at or below */
    uint64_t offset; /* from it, in 0 .. width */
    uint64_t width;  /* to the next point; 1 at a point */
};

static bool find_spot(const struct dyno_cert_axis *axis, int64_t size, struct spot *spot_out)
{
    const uint32_t last = axis->point_count - 1;
    if (size < axis->points[0] || size > axis->points[last])
        return false;
    uint32_t below = last;
    while (axis->points[below] > size)
        below--;
    *spot_out = (struct spot){.below = below, .width = 1};
    if (size > axis->points[below]) {
        spot_out->offset = (uint64_t)(size - axis->points[below]);
        spot_out->width = (uint64_t)(axis->points[below + 1] - axis->points[below]);
    }
    return true;
}

/* The size that the places of an axis agree on. */
static bool size_of(const struct dyno_cert_axis *axis, const struct dyno_epu_shape *shape,
                    int64_t *size_out)
{
    *size_out = shape->dims[axis->places[0].input][axis->places[0].dim];
    for (uint32_t i = 1; i < axis->place_count; i++) {
        if (shape->dims[axis->places[i].input][axis->places[i].dim] != *size_out)
            return false;
    }
    return true;
}

/* Ranks as certified, sizes inside.  The first dimension is free: t_ref is an item's. */
static bool fits(const struct dyno_cert *cert, const struct dyno_epu_shape *shape)
{
    for (uint32_t i = 0; i < cert->input_count; i++) {
        const struct dyno_cert_input *input = &cert->inputs[i];
        if (shape->ranks[i] != input->rank)
            return false;
        for (uint32_t d = 1; d < input->rank; d++) {
            if (shape->dims[i][d] < input->min[d] || shape->dims[i][d] > input->max[d])
                return false;
        }
    }
    return true;
}

/* Items times the interpolated t_ref.  No overflow: a t_ref is below 2^44, items are at most 2^20,
 * the widths of three axes at most 2^60 together, and there are 8 corners whose weights add up to
 * the product of the widths. */
static uint64_t interpolate(const struct dyno_cert *cert, const struct spot *spots, uint64_t items)
{
    const struct dyno_cert_point *points = dyno_cert_points(cert);
    u128 sum = 0;
    u128 whole = 1;
    for (uint32_t a = 0; a < cert->axis_count; a++)
        whole *= spots[a].width;
    for (uint32_t corner = 0; corner < 1U << cert->axis_count; corner++) {
        u128 weight = 1;
        uint32_t idx = 0;
        for (uint32_t a = 0; a < cert->axis_count; a++) {
            const bool upper = (corner >> a & 1U) != 0;
            weight *= upper ? spots[a].offset : spots[a].width - spots[a].offset;
            const uint32_t at = spots[a].below + (upper && weight != 0 ? 1U : 0U);
            idx = idx * cert->axes[a].point_count + at;
        }
        if (weight != 0)
            sum += weight * points[idx].t_ref_ns;
    }
    DYNO_ASSERT(whole > 0);
    return (uint64_t)(sum * items / whole);
}

static bool certified(const struct dyno_cert *cert, const struct dyno_epu_shape *shape,
                      uint64_t *reference_ns_out)
{
    struct spot spots[DYNO_CERT_AXES_MAX];
    if (!fits(cert, shape))
        return false;
    const int64_t items = cert->inputs[0].rank > 0 ? shape->dims[0][0] : 1;
    if (items < 1 || (uint64_t)items > ITEMS_MAX)
        return false;
    for (uint32_t a = 0; a < cert->axis_count; a++) {
        int64_t size = 0;
        if (!size_of(&cert->axes[a], shape, &size) || !find_spot(&cert->axes[a], size, &spots[a]))
            return false;
    }
    *reference_ns_out = interpolate(cert, spots, (uint64_t)items);
    return true;
}

struct dyno_epu dyno_epu_of(const struct dyno_cert *reference, const struct dyno_epu_shape *shape,
                            uint64_t device_ns, bool delivered)
{
    struct dyno_epu epu = {.reference_ns = device_ns, .basis = DYNO_EPU_OUTSIDE};
    if (!delivered)
        return (struct dyno_epu){.basis = DYNO_EPU_NONE};
    if (reference == NULL || reference->kind != DYNO_CERT_REFERENCE ||
        reference->outcome == DYNO_CERT_REFUSED)
        return (struct dyno_epu){.reference_ns = device_ns, .basis = DYNO_EPU_UNCERTIFIED};
    if (certified(reference, shape, &epu.reference_ns))
        epu.basis = DYNO_EPU_CERTIFIED;
    return epu;
}

const char *dyno_epu_basis_text(enum dyno_epu_basis basis)
{
    static const char *const texts[] = {"certified", "outside", "uncertified", "none"};
    return texts[basis];
}
