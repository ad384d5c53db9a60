/* test_memory.c - offsets of tensors: who lives at the same time does not share bytes. */
#include "plan/memory.h"

#include <stdbool.h>

#include "base/mem.h"
#include "test.h"

#define ITEMS_MAX 64

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (random_state >> 8) % bound;
}

static bool live_together(const struct dyno_mem_item *a, const struct dyno_mem_item *b)
{
    return a->first_step_idx <= b->last_step_idx && b->first_step_idx <= a->last_step_idx;
}

static void check_plan(struct dyno_mem_item *items, uint32_t count)
{
    uint64_t total = 0;
    uint64_t sum = 0;
    uint64_t plain = 0;
    uint64_t highest = 0;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_mem_plan(items, count, &total, &sum, &err) == DYNO_OK, "%s", err.text);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t end = items[i].offset_out + items[i].bytes;
        plain += (items[i].bytes + 63) / 64 * 64;
        highest = items[i].bytes != 0 && end > highest ? end : highest;
        CHECK(items[i].offset_out % 64 == 0);
        CHECK(items[i].bytes != 0 || items[i].offset_out == 0);
        for (uint32_t k = 0; k < i; k++) {
            const uint64_t other_end = items[k].offset_out + items[k].bytes;
            const bool apart = end <= items[k].offset_out || other_end <= items[i].offset_out;
            CHECK_MSG(apart || items[i].bytes == 0 || items[k].bytes == 0 ||
                          !live_together(&items[i], &items[k]),
                      "items %u and %u of %u share bytes", k, i, count);
        }
    }
    CHECK_MSG(total <= sum, "%llu > %llu", (unsigned long long)total, (unsigned long long)sum);
    CHECK(sum == plain);
    CHECK(total >= highest);
    /* No plan can be smaller than what lives at one step. */
    for (uint32_t step = 0; step < 2 * ITEMS_MAX; step++) {
        uint64_t at_once = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (items[i].first_step_idx <= step && items[i].last_step_idx >= step)
                at_once += items[i].bytes;
        }
        CHECK(total >= at_once);
    }
}

static void test_random(void)
{
    struct dyno_mem_item items[ITEMS_MAX];
    for (int round = 0; round < 300; round++) {
        const uint32_t count = 1 + random_below(ITEMS_MAX);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t first = random_below(ITEMS_MAX);
            items[i] =
                (struct dyno_mem_item){.bytes = random_below(8) == 0 ? 0 : random_below(5000),
                                       .first_step_idx = first,
                                       .last_step_idx = first + random_below(12)};
        }
        check_plan(items, count);
    }
}

/* A chain needs room for its two largest neighbours and no more. */
static void test_chain(void)
{
    struct dyno_mem_item items[32];
    uint64_t total = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < DYNO_COUNT(items); i++)
        items[i] =
            (struct dyno_mem_item){.bytes = 6400, .first_step_idx = i, .last_step_idx = i + 1};
    CHECK(dyno_mem_plan(items, DYNO_COUNT(items), &total, &sum, NULL) == DYNO_OK);
    CHECK(total == 12800 && sum == (uint64_t)32 * 6400);
}

static void test_edges(void)
{
    uint64_t total = 1;
    uint64_t sum = 1;
    struct dyno_mem_item huge[2] = {{.bytes = UINT64_MAX}, {.bytes = 1}};
    struct dyno_err err = {0};
    CHECK(dyno_mem_plan(NULL, 0, &total, &sum, &err) == DYNO_OK && total == 0 && sum == 0);
    CHECK(dyno_mem_plan(huge, 2, &total, &sum, &err) == DYNO_E_LIMIT);
    CHECK(strstr(err.text, "overflow") != NULL);
    const uint64_t live = dyno_mem_live_count();
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct dyno_mem_item one = {.bytes = 5};
        dyno_mem_fail_at(nth);
        CHECK(dyno_mem_plan(&one, 1, &total, &sum, NULL) == DYNO_E_NOMEM);
        dyno_mem_fail_at(0);
        CHECK(dyno_mem_live_count() == live);
    }
}

int main(void)
{
    test_random();
    test_chain();
    test_edges();
    return TEST_RESULT();
}
