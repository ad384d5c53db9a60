/* test_branches.c - steps of a GPU that overlap, on a driver that writes down what it is asked for
 * (record.h): which launch follows how many, what lies where, and an allocation that fails.  That
 * no edge is missing or too many, test_emulated.py shows by numbers.
 */
#include "engine/binding.h"
#include "needs_nvrtc.h"
#include "record.h"
#include "unit/build/chain.h"

#define SKIPPED 77

/* 2 images through small_conv_net, twice. */
static enum dyno_status run_twice(struct dyno_engine *engine, struct dyno_branches *branches_out,
                                  struct dyno_err *err)
{
    static const int64_t dims[4] = {2, 3, 9, 9};
    static float values[2 * 3 * 9 * 9];
    struct dyno_context *context = NULL;
    struct dyno_array input = {
        .dtype = DYNO_F32, .rank = 4, .data = values, .bytes = sizeof(values)};
    memcpy(input.dims, dims, sizeof(dims));
    *branches_out = (struct dyno_branches){0};
    enum dyno_status status = dyno_context_create(engine, NULL, &context, err);
    for (int i = 0; i < 2 && status == DYNO_OK; i++) {
        struct dyno_array output = {.data = NULL};
        status = dyno_context_run(context, &input, &output, err);
    }
    if (status == DYNO_OK && dyno_context_branches(context) != NULL)
        *branches_out = *dyno_context_branches(context);
    dyno_context_destroy(context);
    return status;
}

static struct dyno_built build(enum dyno_build_branches branches)
{
    struct dyno_err err = {0};
    message model = small_conv_net();
    struct dyno_built built = chain_build(
        &model, (struct dyno_build_options){.device = "cuda", .branches = branches}, &err);
    dyno_strbuf_fini(&model);
    return built;
}

/* Two convolutions of a half each, whose results are joined: both follow the first one, and the
 * pooling follows both.  They are captured once. */
static void test_edges(void)
{
    struct dyno_branches branches;
    struct dyno_err err = {0};
    for (int on = 0; on < 2; on++) {
        uint32_t starts = 0, joins = 0;
        struct record *record = record_start(90);
        struct dyno_built built = build(on ? DYNO_BRANCHES_ON : DYNO_BRANCHES_OFF);
        CHECK(((built.engine->plan->flags & DYNO_PLAN_BRANCHES) != 0) == on);
        CHECK_MSG(run_twice(built.engine, &branches, &err) == DYNO_OK, "%s", err.text);
        for (uint32_t i = 0; i < record->launch_count; i++) {
            starts += record->launches[i].follow_count == 0;
            joins += record->launches[i].follow_count == 2;
        }
        CHECK(record->graph_count == 1 && record->graph_launch_count == 2);
        CHECK_MSG(starts == 1 && joins == (uint32_t)on, "%u, %u", starts, joins);
        CHECK(branches.width == 1U + on || !on);
        CHECK(!on || branches.depth + 1 == built.engine->plan->step_count);
        dyno_built_fini(&built);
        CHECK(record->live_count == 0);
        record_end();
    }
}

/* Without timing a graph is a chain. */
static void test_untimed(void)
{
    struct record *record = record_start(90);
    struct dyno_built built = build(DYNO_BRANCHES_TIMED);
    CHECK((built.engine->plan->flags & DYNO_PLAN_BRANCHES) == 0);
    dyno_built_fini(&built);
    CHECK(record->live_count == 0);
    record_end();
}

static void test_no_memory(void)
{
    struct dyno_err err = {0};
    struct dyno_branches branches;
    struct record *record = record_start(90);
    struct dyno_built built = build(DYNO_BRANCHES_ON);
    for (uint64_t nth = 1;; nth++) {
        const int64_t before = record->live_count;
        err = (struct dyno_err){0};
        dyno_mem_fail_at(nth);
        const enum dyno_status status = run_twice(built.engine, &branches, &err);
        dyno_mem_fail_at(0);
        CHECK_MSG(record->live_count == before, "allocation %llu", (unsigned long long)nth);
        if (status == DYNO_OK)
            break;
        CHECK_MSG(status == DYNO_E_NOMEM, "allocation %llu: %s", (unsigned long long)nth, err.text);
    }
    CHECK(branches.width == 2);
    dyno_built_fini(&built);
    record_end();
}

int main(void)
{
    if (nvrtc_is_missing())
        return SKIPPED;
    test_edges();
    test_untimed();
    test_no_memory();
    return TEST_RESULT();
}
