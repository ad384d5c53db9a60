/* probe.c - may requests of this engine share a run?
 *
 * An open first dimension proves nothing: it may be time, or be normalised over.  So two requests
 * of one row, different from each other, are run alone and together, and must give the same.
 */
#include <math.h>
#include <string.h>

#include "serve/model/variant.h"

#define TOLERANCE 2e-3 /* of the largest element: two batch sizes may sum in another order */

/* Can the first dimension be a batch at all, and up to what? */
static int64_t largest(const struct dyno_variant *variant)
{
    int64_t max = DYNO_BATCH_ROWS_MAX;
    for (size_t i = 0; i < variant->input_count; i++) {
        const struct dyno_io_info *info = &variant->input_infos[i];
        if (info->rank < 1 || info->min[0] > 1 || info->max[0] < 2)
            return 0;
        max = info->max[0] < max ? info->max[0] : max;
    }
    for (size_t i = 0; i < variant->output_count; i++)
        if (variant->outputs[i].rank < 1 || variant->outputs[i].dims[0] != -1)
            return 0;
    return variant->input_count > 0 && variant->output_count > 0 ? max : 0;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

static void fill(struct dyno_array *array, size_t elements, uint32_t *state)
{
    const enum dyno_dtype dtype = (enum dyno_dtype)array->dtype;
    for (size_t i = 0; i < elements; i++) {
        const uint32_t value = next_random(state);
        if (dyno_dtype_is_float(dtype))
            dyno_elem_store_f64(dtype, array->data, i, (double)(value % 2001) / 1000.0 - 1.0);
        else
            dyno_elem_store_i64(dtype, array->data, i, value % 2);
    }
}

/* Inputs of two rows, of which a single request's are a half. */
static bool make_inputs(const struct dyno_variant *variant, struct dyno_arena *arena,
                        struct dyno_array *both, struct dyno_array *first,
                        struct dyno_array *second)
{
    uint32_t state = 1;
    for (size_t i = 0; i < variant->input_count; i++) {
        const struct dyno_io_info *info = &variant->input_infos[i];
        int64_t count = 0;
        both[i] = (struct dyno_array){.dtype = info->dtype, .rank = info->rank};
        memcpy(both[i].dims, info->opt, sizeof(both[i].dims));
        both[i].dims[0] = 2;
        if (!dyno_dims_count(both[i].dims, both[i].rank, &count) ||
            !dyno_dtype_bytes((enum dyno_dtype)info->dtype, (uint64_t)count, &both[i].bytes))
            return false;
        both[i].data = dyno_arena_alloc(arena, both[i].bytes + 1, 1);
        first[i] = second[i] = both[i];
        first[i].dims[0] = second[i].dims[0] = 1;
        first[i].bytes = second[i].bytes = both[i].bytes / 2;
        /* A copy: rows need not be aligned as a whole input is. */
        first[i].data = dyno_arena_alloc(arena, first[i].bytes + 1, 1);
        second[i].data = dyno_arena_alloc(arena, second[i].bytes + 1, 1);
        if (both[i].data == NULL || first[i].data == NULL || second[i].data == NULL)
            return false;
        fill(&first[i], (size_t)count / 2, &state);
        fill(&second[i], (size_t)count / 2, &state);
        memcpy(both[i].data, first[i].data, first[i].bytes);
        memcpy((char *)both[i].data + first[i].bytes, second[i].data, second[i].bytes);
    }
    return true;
}

/* Is row `row` of `both` what `single` is? */
static bool same_row(const struct dyno_array *both, const struct dyno_array *single, int row)
{
    const enum dyno_dtype dtype = (enum dyno_dtype)both->dtype;
    int64_t count = 1;
    double largest_value = 0.0;
    if (both->rank != single->rank || both->dims[0] != 2 || single->dims[0] != 1)
        return false;
    for (int i = 1; i < both->rank; i++) {
        if (both->dims[i] != single->dims[i])
            return false;
        count *= both->dims[i];
    }
    for (int64_t i = 0; i < count; i++)
        largest_value =
            fmax(largest_value, fabs(dyno_elem_load_f64(dtype, single->data, (size_t)i)));
    for (int64_t i = 0; i < count; i++) {
        const double want = dyno_elem_load_f64(dtype, single->data, (size_t)i);
        const double got = dyno_elem_load_f64(dtype, both->data, (size_t)(row * count + i));
        if (!(fabs(got - want) <= TOLERANCE * largest_value + 1e-30) &&
            !(isnan(got) && isnan(want)))
            return false;
    }
    return true;
}

static bool run_and_keep(struct dyno_variant *variant, const struct dyno_array *inputs,
                         struct dyno_array *outputs, struct dyno_arena *arena)
{
    memset(outputs, 0, variant->output_count * sizeof(*outputs));
    if (dyno_variant_try(variant, 0, inputs, outputs, NULL) != DYNO_OK)
        return false;
    for (size_t i = 0; i < variant->output_count; i++) {
        outputs[i].data = dyno_arena_memdup(arena, outputs[i].data, outputs[i].bytes);
        if (outputs[i].data == NULL)
            return false;
    }
    return true;
}

static bool rows_are_apart(struct dyno_variant *variant, struct dyno_arena *arena)
{
    struct dyno_array *arrays = dyno_arena_alloc(
        arena, 3 * (variant->input_count + variant->output_count), sizeof(*arrays));
    if (arrays == NULL)
        return false;
    struct dyno_array *both = arrays;
    struct dyno_array *first = both + variant->input_count;
    struct dyno_array *second = first + variant->input_count;
    struct dyno_array *both_out = second + variant->input_count;
    struct dyno_array *first_out = both_out + variant->output_count;
    struct dyno_array *second_out = first_out + variant->output_count;
    if (!make_inputs(variant, arena, both, first, second) ||
        !run_and_keep(variant, first, first_out, arena) ||
        !run_and_keep(variant, second, second_out, arena) ||
        !run_and_keep(variant, both, both_out, arena))
        return false;
    for (size_t i = 0; i < variant->output_count; i++)
        if (!same_row(&both_out[i], &first_out[i], 0) || !same_row(&both_out[i], &second_out[i], 1))
            return false;
    return true;
}

int64_t dyno_variant_probe_batch(struct dyno_variant *variant)
{
    const int64_t max = largest(variant);
    struct dyno_arena *arena = max > 1 ? dyno_arena_create() : NULL;
    const bool apart = arena != NULL && rows_are_apart(variant, arena);
    dyno_arena_destroy(arena);
    return apart ? max : 0;
}
