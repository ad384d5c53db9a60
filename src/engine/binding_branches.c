/* binding_branches.c - which steps of the GPU may run at the same time, and memory that lets them.
 *
 * First every tensor has bytes of its own: what is left is who needs whose results.  Memory is then
 * planned so that tensors share bytes only where that keeps them apart, if it does not become much
 * larger.  What the steps wait for in the end is read off the addresses that they got.
 */
#include <string.h>

#include "base/mem.h"
#include "engine/binding_maker.h"
#include "plan/order.h"

/* What memory may grow by: half, or so much where all of it is small. */
#define GROWTH_SHARE 2
#define GROWTH_BYTES (UINT64_C(8) << 20)
/* Of the relations of steps and items while they are found; a plan with more of both is a chain. */
#define WORDS_MAX    (UINT64_C(8) << 20)

struct brancher {
    struct dyno_binding_maker *maker;
    struct dyno_mem_item *items;
    uint32_t item_count, step_count;
    struct dyno_arena *arena; /* of what is needed here alone */
    struct dyno_extent *extents;
    struct dyno_order_step *steps;
    struct dyno_order order;
    uint64_t *places;                    /* by item: where it lies */
    uint32_t *touch_first, *touch_steps; /* item i: touch_steps[touch_first[i] ..[i + 1]) */
    uint64_t *before; /* bits[step_count] of each item: steps before all that touch it */
};

/* --- what steps touch --- */

static bool is_placed(const struct dyno_plan *plan, uint32_t id)
{
    if (id == DYNO_NO_TENSOR)
        return false;
    const enum dyno_role role = plan->tensors[dyno_plan_root(plan, id)].role;
    return role != DYNO_ROLE_WEIGHT && role != DYNO_ROLE_HOST;
}

static struct dyno_extent extent_of(const struct brancher *brancher, uint32_t id, bool is_written)
{
    const struct dyno_plan *plan = brancher->maker->plan;
    const struct dyno_binding *binding = brancher->maker->binding;
    const struct dyno_buf *buf = &binding->bufs[id];
    const uint32_t root = dyno_plan_root(plan, id);
    struct dyno_extent extent = {.count = 1, .is_written = is_written};
    extent.first = brancher->places[root] + (root != id ? binding->offsets[id] : 0);
    (void)dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &extent.width);
    if (buf->layout.kind != DYNO_LAYOUT_LAST || extent.width == 0)
        return extent;
    const uint64_t elem_bytes = dyno_dtype_bits(dyno_layout_elem(buf->layout, buf->dtype)) / 8;
    const uint64_t row_bytes = (uint64_t)dyno_layout_stored(buf->layout, buf->dims[1]) * elem_bytes;
    if ((uint64_t)buf->ld * elem_bytes == row_bytes)
        return extent; /* densely */
    extent.count = extent.width / row_bytes;
    extent.width = row_bytes;
    extent.stride = (uint64_t)buf->ld * elem_bytes;
    return extent;
}

/* What step s reads and writes where the items lie now; behind the last extent. */
static struct dyno_extent *list_extents(const struct brancher *brancher, uint32_t s,
                                        struct dyno_extent *next)
{
    const struct dyno_plan *plan = brancher->maker->plan;
    const struct dyno_step *step = &plan->steps[s];
    const uint32_t workspace = plan->tensor_count + s;
    for (uint32_t i = 0; i < step->in_count; i++) {
        if (is_placed(plan, step->ins[i]))
            *next++ = extent_of(brancher, step->ins[i], false);
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (is_placed(plan, step->outs[i]))
            *next++ = extent_of(brancher, step->outs[i], true);
    }
    *next++ = (struct dyno_extent){.first = brancher->places[workspace],
                                   .width = brancher->items[workspace].bytes,
                                   .count = 1,
                                   .is_written = true};
    return next;
}

/* A step of the GPU waits for all segments before its own, one of the CPU for all before it. */
static enum dyno_status find_order(struct brancher *brancher, struct dyno_arena *arena,
                                   struct dyno_order *order_out)
{
    const struct dyno_schedule *schedule = &brancher->maker->engine->schedule;
    struct dyno_extent *next = brancher->extents;
    for (uint32_t k = 0; k < schedule->segment_count; k++) {
        const struct dyno_segment *segment = &schedule->segments[k];
        const bool here = segment->place == DYNO_ON_GPU;
        const uint32_t end = segment->first_step + segment->step_count;
        for (uint32_t s = segment->first_step; s < end && s < brancher->step_count; s++) {
            struct dyno_order_step *step = &brancher->steps[s];
            step->extents = next;
            step->barrier = here ? segment->first_step : s;
            next = here ? list_extents(brancher, s, next) : next;
            step->extent_count = (uint32_t)(next - step->extents);
        }
    }
    return dyno_order_make(brancher->steps, brancher->step_count, arena, order_out,
                           brancher->maker->err);
}

/* --- memory --- */

/* The i-th item that step s touches; the last is its workspace. */
static uint32_t item_of(const struct dyno_plan *plan, uint32_t s, uint32_t i)
{
    const struct dyno_step *step = &plan->steps[s];
    if (i == step->in_count + step->out_count)
        return plan->tensor_count + s;
    const uint32_t id = i < step->in_count ? step->ins[i] : step->outs[i - step->in_count];
    return id != DYNO_NO_TENSOR ? dyno_plan_root(plan, id) : DYNO_NO_TENSOR;
}

static uint32_t item_count_of(const struct dyno_plan *plan, uint32_t s)
{
    return plan->steps[s].in_count + plan->steps[s].out_count + 1;
}

/* Who touches each item.  touch_first has room for two more than there are items. */
static void list_touches(struct brancher *brancher)
{
    const struct dyno_plan *plan = brancher->maker->plan;
    uint32_t *next = brancher->touch_first + 1;
    for (uint32_t s = 0; s < brancher->step_count; s++) {
        for (uint32_t i = 0; i < item_count_of(plan, s); i++) {
            const uint32_t item = item_of(plan, s, i);
            if (item != DYNO_NO_TENSOR)
                next[item + 1]++;
        }
    }
    for (uint32_t i = 0; i < brancher->item_count; i++)
        next[i + 1] += next[i];
    for (uint32_t s = 0; s < brancher->step_count; s++) {
        for (uint32_t i = 0; i < item_count_of(plan, s); i++) {
            const uint32_t item = item_of(plan, s, i);
            if (item != DYNO_NO_TENSOR)
                brancher->touch_steps[next[item]++] = s;
        }
    }
}

/* An input is there before the first step; what nobody touches begins before everything, too. */
static void find_before(struct brancher *brancher)
{
    const struct dyno_plan *plan = brancher->maker->plan;
    const struct dyno_order *order = &brancher->order;
    for (uint32_t i = 0; i < brancher->item_count; i++) {
        uint64_t *bits = brancher->before + (size_t)i * order->word_count;
        const uint32_t first = brancher->touch_first[i];
        const uint32_t end = brancher->touch_first[i + 1];
        if (first == end || (i < plan->tensor_count && plan->tensors[i].role == DYNO_ROLE_INPUT))
            continue;
        memset(bits, 0xff, order->word_count * sizeof(*bits));
        for (uint32_t t = first; t < end; t++) {
            const uint64_t *theirs =
                order->before + (size_t)brancher->touch_steps[t] * order->word_count;
            for (uint32_t w = 0; w < order->word_count; w++)
                bits[w] &= theirs[w];
        }
    }
}

/* Are all that touch item a done before any that touches b begins?  Never where a is wanted after
 * the last step. */
static bool is_before(const struct brancher *brancher, uint32_t a, uint32_t b)
{
    const uint64_t *bits = brancher->before + (size_t)b * brancher->order.word_count;
    if (brancher->items[a].last_step_idx >= brancher->step_count)
        return false;
    for (uint32_t t = brancher->touch_first[a]; t < brancher->touch_first[a + 1]; t++) {
        const uint32_t s = brancher->touch_steps[t];
        if ((bits[s / 64] >> s % 64 & 1U) == 0)
            return false;
    }
    return brancher->touch_first[a] != brancher->touch_first[a + 1];
}

static bool is_apart(const void *arg, uint32_t a, uint32_t b)
{
    return is_before(arg, a, b) || is_before(arg, b, a);
}

/* Every item with bytes of its own. */
static void place_apart(struct brancher *brancher)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < brancher->item_count; i++) {
        brancher->places[i] = at;
        at += brancher->items[i].bytes; /* the sum of all was checked */
    }
}

static void take_places(struct brancher *brancher)
{
    for (uint32_t i = 0; i < brancher->item_count; i++)
        brancher->places[i] = brancher->items[i].offset_out;
}

/* Memory that adds nothing to the order, if it is not much more than that of a chain; else the
 * items keep their places. */
static enum dyno_status plan_memory(struct brancher *brancher)
{
    struct dyno_binding *binding = brancher->maker->binding;
    const uint64_t chain = binding->gpu_bytes;
    uint64_t total = 0, sum = 0;
    list_touches(brancher);
    find_before(brancher);
    take_places(brancher);
    DYNO_TRY(dyno_mem_plan_apart(brancher->items, brancher->item_count, is_apart, brancher, &total,
                                 &sum, brancher->maker->err));
    if (total > chain + chain / GROWTH_SHARE && total > chain + GROWTH_BYTES) {
        for (uint32_t i = 0; i < brancher->item_count; i++)
            brancher->items[i].offset_out = brancher->places[i];
        return DYNO_OK;
    }
    take_places(brancher);
    binding->gpu_bytes = total;
    return DYNO_OK;
}

/* --- the whole --- */

static enum dyno_status allocate(struct brancher *brancher)
{
    const struct dyno_plan *plan = brancher->maker->plan;
    const size_t items = brancher->item_count;
    size_t touches = 0;
    for (uint32_t s = 0; s < brancher->step_count; s++)
        touches += item_count_of(plan, s);
    brancher->arena = dyno_arena_create();
    if (brancher->arena == NULL)
        return DYNO_NOMEM(brancher->maker->err);
    struct dyno_arena *arena = brancher->arena;
    brancher->extents = dyno_arena_alloc(arena, touches + 1, sizeof(*brancher->extents));
    brancher->steps = dyno_arena_alloc(arena, brancher->step_count + 1U, sizeof(*brancher->steps));
    brancher->places = dyno_arena_alloc(arena, items + 1, sizeof(*brancher->places));
    brancher->touch_first = dyno_arena_alloc(arena, items + 2, sizeof(uint32_t));
    brancher->touch_steps = dyno_arena_alloc(arena, touches + 1, sizeof(uint32_t));
    brancher->before = dyno_arena_alloc(
        arena, (items + 1) * (brancher->step_count / 64 + (size_t)1), sizeof(uint64_t));
    if (brancher->extents == NULL || brancher->steps == NULL || brancher->places == NULL ||
        brancher->touch_first == NULL || brancher->touch_steps == NULL || brancher->before == NULL)
        return DYNO_NOMEM(brancher->maker->err);
    return DYNO_OK;
}

/* How far each step is from the start of its segment, at least. */
static enum dyno_status measure(const struct brancher *brancher, struct dyno_branches *branches)
{
    const struct dyno_schedule *schedule = &brancher->maker->engine->schedule;
    const size_t count = (size_t)brancher->step_count + 2;
    uint32_t *depths = dyno_arena_alloc(brancher->arena, count, sizeof(*depths));
    uint32_t *widths = dyno_arena_alloc(brancher->arena, count, sizeof(*widths));
    if (depths == NULL || widths == NULL)
        return DYNO_NOMEM(brancher->maker->err);
    for (uint32_t k = 0; k < schedule->segment_count; k++) {
        const struct dyno_segment *segment = &schedule->segments[k];
        const uint32_t end = segment->first_step + segment->step_count;
        uint32_t deepest = 0;
        memset(widths, 0, count * sizeof(*widths));
        for (uint32_t s = segment->first_step; s < end && s < brancher->step_count; s++) {
            for (uint32_t i = branches->first[s]; i < branches->first[s + 1]; i++) {
                const uint32_t depth = depths[branches->follows[i]];
                depths[s] = depth > depths[s] ? depth : depths[s];
            }
            depths[s]++;
            widths[depths[s]]++;
            deepest = depths[s] > deepest ? depths[s] : deepest;
            if (segment->place == DYNO_ON_GPU && widths[depths[s]] > branches->width)
                branches->width = widths[depths[s]];
        }
        branches->depth += segment->place == DYNO_ON_GPU ? deepest : 0;
    }
    return DYNO_OK;
}

static enum dyno_status find_branches(struct brancher *brancher)
{
    struct dyno_binding *binding = brancher->maker->binding;
    struct dyno_branches *branches = dyno_arena_alloc(binding->memory, 1, sizeof(*branches));
    struct dyno_order order;
    DYNO_TRY(allocate(brancher));
    if (branches == NULL)
        return DYNO_NOMEM(brancher->maker->err);
    branches->chain_bytes = binding->gpu_bytes;
    place_apart(brancher);
    DYNO_TRY(find_order(brancher, brancher->arena, &brancher->order));
    DYNO_TRY(plan_memory(brancher));
    DYNO_TRY(find_order(brancher, brancher->arena, &order));
    branches->step_count = brancher->step_count;
    branches->edge_count = order.first[brancher->step_count];
    branches->first = dyno_arena_memdup(binding->memory, order.first,
                                        (brancher->step_count + (size_t)1) * sizeof(uint32_t));
    branches->follows = dyno_arena_alloc(binding->memory, branches->edge_count + (size_t)1,
                                         sizeof(*branches->follows));
    if (branches->first == NULL || branches->follows == NULL)
        return DYNO_NOMEM(brancher->maker->err);
    for (uint32_t i = 0; i < branches->edge_count; i++)
        branches->follows[i] = order.follows[i];
    DYNO_TRY(measure(brancher, branches));
    if (branches->width > 1)
        binding->branches = branches;
    return DYNO_OK;
}

enum dyno_status dyno_binding_plan_branches(struct dyno_binding_maker *maker,
                                            struct dyno_mem_item *items)
{
    const uint32_t step_count = maker->binding->fixed_step_count;
    const uint64_t words =
        ((uint64_t)maker->plan->tensor_count + step_count) * (step_count / 64 + 1);
    if ((maker->plan->flags & DYNO_PLAN_BRANCHES) == 0 || step_count > DYNO_ORDER_STEPS_MAX ||
        words > WORDS_MAX)
        return DYNO_OK;
    struct brancher brancher = {.maker = maker,
                                .items = items,
                                .item_count = maker->plan->tensor_count + step_count,
                                .step_count = step_count};
    const enum dyno_status status = find_branches(&brancher);
    dyno_arena_destroy(brancher.arena);
    return status;
}
