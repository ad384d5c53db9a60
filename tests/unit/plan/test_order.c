/* test_order.c - which steps wait for which: every conflict of bytes, and no edge too many; and
 * memory that is shared by what is apart in a partial order alone.
 */
#include "plan/order.h"

#include <string.h>

#include "base/mem.h"
#include "plan/memory.h"
#include "test.h"

#define STEPS_MAX   70 /* more than a word of bits */
#define EXTENTS_MAX 4
#define BYTES       512

static uint32_t random_state = 7;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (random_state >> 8) % bound;
}

static void mark(const struct dyno_extent *extent, bool bytes[BYTES])
{
    memset(bytes, 0, BYTES);
    for (uint64_t i = 0; i < extent->count; i++) {
        for (uint64_t k = 0; k < extent->width; k++)
            bytes[extent->first + i * extent->stride + k] = true;
    }
}

static struct dyno_extent random_extent(void)
{
    static const uint64_t strides[] = {16, 16, 24};
    struct dyno_extent extent = {.stride = strides[random_below(3)],
                                 .count = random_below(6),
                                 .is_written = random_below(3) == 0};
    extent.width = random_below((uint32_t)extent.stride + 1);
    extent.first = random_below(BYTES - 6 * 24);
    return extent;
}

/* Never no where bytes meet; exact where rows are as far apart, or one is alone. */
static void test_overlap(void)
{
    bool a_bytes[BYTES], b_bytes[BYTES];
    uint32_t beside_count = 0;
    for (int trial = 0; trial < 20000; trial++) {
        const struct dyno_extent a = random_extent(), b = random_extent();
        bool meets = false;
        mark(&a, a_bytes);
        mark(&b, b_bytes);
        for (int i = 0; i < BYTES; i++)
            meets = meets || (a_bytes[i] && b_bytes[i]);
        CHECK(!meets || dyno_extent_overlap(&a, &b));
        CHECK(dyno_extent_overlap(&a, &b) == dyno_extent_overlap(&b, &a));
        const uint64_t shift = a.first > b.first ? a.first - b.first : b.first - a.first;
        beside_count += a.count > 1 && b.count > 1 && a.width != 0 && b.width != 0 &&
                        a.stride == b.stride && shift < a.stride && !dyno_extent_overlap(&a, &b);
    }
    CHECK_MSG(beside_count > 30, "%u", beside_count);
    /* Channels of one tensor beside each other, and a range that wraps into the next row. */
    const struct dyno_extent left = {.first = 0, .width = 16, .stride = 48, .count = 10};
    const struct dyno_extent right = {.first = 16, .width = 32, .stride = 48, .count = 10};
    const struct dyno_extent wraps = {.first = 40, .width = 16, .stride = 48, .count = 10};
    const struct dyno_extent nothing = {.first = 0, .width = 0, .stride = 48, .count = 10};
    CHECK(!dyno_extent_overlap(&left, &right) && dyno_extent_overlap(&left, &wraps));
    CHECK(dyno_extent_overlap(&right, &wraps) && !dyno_extent_overlap(&left, &nothing));
}

static bool conflict(const struct dyno_order_step *a, const struct dyno_order_step *b)
{
    for (uint32_t i = 0; i < a->extent_count; i++) {
        for (uint32_t k = 0; k < b->extent_count; k++) {
            if ((a->extents[i].is_written || b->extents[k].is_written) &&
                dyno_extent_overlap(&a->extents[i], &b->extents[k]))
                return true;
        }
    }
    return false;
}

/* Reachability by edges alone, but for those skipped; barriers are no edges. */
static void reach(const struct dyno_order *order, uint32_t skipped, bool reached[][STEPS_MAX])
{
    for (uint32_t s = 0; s < order->step_count; s++) {
        memset(reached[s], 0, STEPS_MAX * sizeof(bool));
        for (uint32_t e = order->first[s]; e < order->first[s + 1]; e++) {
            if (e == skipped)
                continue;
            reached[s][order->follows[e]] = true;
            for (uint32_t i = 0; i < s; i++)
                reached[s][i] = reached[s][i] || reached[order->follows[e]][i];
        }
    }
}

static void test_random(void)
{
    static struct dyno_extent extents[STEPS_MAX][EXTENTS_MAX];
    static bool reached[STEPS_MAX][STEPS_MAX];
    for (int trial = 0; trial < 60; trial++) {
        struct dyno_order_step steps[STEPS_MAX] = {{0}};
        struct dyno_order order;
        struct dyno_arena *arena = dyno_arena_create();
        const uint32_t count = random_below(STEPS_MAX + 1);
        const uint32_t barrier = trial % 2 == 0 || count == 0 ? 0 : random_below(count);
        for (uint32_t s = 0; s < count; s++) {
            steps[s].extents = extents[s];
            steps[s].extent_count = random_below(EXTENTS_MAX + 1);
            steps[s].barrier = s >= barrier ? barrier : 0;
            for (uint32_t i = 0; i < steps[s].extent_count; i++)
                extents[s][i] = random_extent();
        }
        CHECK(dyno_order_make(steps, count, arena, &order, NULL) == DYNO_OK);
        reach(&order, UINT32_MAX, reached);
        for (uint32_t s = 0; s < count; s++) {
            for (uint32_t i = 0; i < s; i++) {
                const bool waits = i < steps[s].barrier || reached[s][i];
                CHECK(waits || !conflict(&steps[i], &steps[s]));
                CHECK(waits == dyno_order_before(&order, i, s));
            }
            CHECK(!dyno_order_before(&order, s, s));
        }
        for (uint32_t s = 0; s < count; s++) {
            for (uint32_t e = order.first[s]; e < order.first[s + 1]; e++) {
                CHECK(order.follows[e] >= steps[s].barrier && order.follows[e] < s);
                CHECK(conflict(&steps[order.follows[e]], &steps[s]));
                reach(&order, e, reached);
                CHECK(!reached[s][order.follows[e]]);
            }
        }
        dyno_arena_destroy(arena);
    }
}

/* Two branches behind one step: one writes items 1 and 2, the other 3 and 4. */
static bool is_apart(const void *arg, uint32_t a, uint32_t b)
{
    static const uint8_t branches[] = {0, 1, 1, 2, 2};
    (void)arg;
    return a != b && branches[a] == branches[b];
}

static void test_memory(void)
{
    struct dyno_mem_item items[5] = {
        {.bytes = 100}, {.bytes = 200}, {.bytes = 300}, {.bytes = 400}, {.bytes = 500}};
    uint64_t total = 0, sum = 0;
    CHECK(dyno_mem_plan_apart(items, 5, is_apart, NULL, &total, &sum, NULL) == DYNO_OK);
    CHECK(total == 128 + 320 + 512 && sum == 128 + 256 + 320 + 448 + 512);
    CHECK(items[1].offset_out == items[2].offset_out && items[3].offset_out == items[4].offset_out);
    for (uint64_t nth = 1;; nth++) {
        dyno_mem_fail_at(nth);
        const enum dyno_status status =
            dyno_mem_plan_apart(items, 5, is_apart, NULL, &total, &sum, NULL);
        dyno_mem_fail_at(0);
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_NOMEM && dyno_mem_live_count() == 0);
    }
}

static void test_no_memory(void)
{
    const struct dyno_extent extent = {.width = 8, .count = 1, .is_written = true};
    struct dyno_order_step steps[STEPS_MAX];
    for (uint32_t s = 0; s < STEPS_MAX; s++)
        steps[s] = (struct dyno_order_step){.extents = &extent, .extent_count = 1};
    for (uint64_t nth = 1;; nth++) {
        struct dyno_order order;
        struct dyno_arena *arena = dyno_arena_create();
        REQUIRE(arena != NULL);
        dyno_mem_fail_at(nth);
        const enum dyno_status status = dyno_order_make(steps, STEPS_MAX, arena, &order, NULL);
        dyno_mem_fail_at(0);
        dyno_arena_destroy(arena);
        CHECK(dyno_mem_live_count() == 0);
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_NOMEM);
    }
}

int main(void)
{
    test_overlap();
    test_random();
    test_memory();
    test_no_memory();
    return TEST_RESULT();
}
