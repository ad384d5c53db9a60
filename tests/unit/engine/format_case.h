/* format_case.h - a plan with all that an engine file can hold, and files of it, for the tests of
 * the format.
 */
#ifndef DYNO_TESTS_UNIT_ENGINE_FORMAT_CASE_H
#define DYNO_TESTS_UNIT_ENGINE_FORMAT_CASE_H

#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/format.h"
#include "test.h"

/* In memory where that is possible: every file is synced. */
static char in_memory[] = "/dev/shm/dyno-test-format-XXXXXX";
static char on_disk[] = "/tmp/dyno-test-format-XXXXXX";
static char *path = in_memory;
static const struct dyno_target everything = {
    .isa_mask = UINT64_MAX, .thread_count = 1, .l1_bytes = 32768, .l2_bytes = 1 << 20};

static _Alignas(64) float weight_data[4] = {1, 2, 3, 4};
static _Alignas(64) float packed_data[40] = {7, 8, 9};
static const struct dyno_str text_data[2] = {{"red", 3}, {"a\0b", 3}};

/* A kernel whose instruction sets are exactly these, else the test has nothing to say. */
static const struct dyno_kernel *kernel_with(uint64_t isa_mask)
{
    for (size_t i = 0; i < dyno_kernel_count; i++)
        if (dyno_kernels[i]->isa_mask == isa_mask)
            return dyno_kernels[i];
    return NULL;
}

static uint32_t *ids(struct dyno_plan *plan, uint32_t count, uint32_t first)
{
    uint32_t *items = dyno_arena_alloc(plan->arena, count, sizeof(*items));
    for (uint32_t i = 0; i < count; i++)
        items[i] = first + i;
    return items;
}

static void set_tensor(struct dyno_plan_tensor *tensor, const char *name, enum dyno_role role,
                       enum dyno_dtype dtype)
{
    *tensor = (struct dyno_plan_tensor){
        .name = name, .role = role, .dtype = dtype, .base = DYNO_NO_TENSOR};
}

static void make_tensors(struct dyno_plan *plan)
{
    struct dyno_exprs *pool = plan->exprs;
    (void)dyno_expr_symbol(pool, "unused", 1, 5);
    const dyno_expr n = dyno_expr_symbol(pool, "batch size", 1, 64);
    const dyno_expr four = dyno_expr_const(pool, 4);
    plan->tensor_count = 7;
    plan->tensors = dyno_arena_alloc(plan->arena, 7, sizeof(*plan->tensors));
    for (uint32_t i = 0; i < 7; i++) {
        static const char *const names[] = {"x", "w", "t", "v", "y", "shape", "colours"};
        static const enum dyno_role roles[] = {DYNO_ROLE_INPUT, DYNO_ROLE_WEIGHT, DYNO_ROLE_TEMP,
                                               DYNO_ROLE_TEMP,  DYNO_ROLE_OUTPUT, DYNO_ROLE_HOST,
                                               DYNO_ROLE_WEIGHT};
        set_tensor(&plan->tensors[i], names[i], roles[i], DYNO_F32);
        plan->tensors[i].rank = 2;
        plan->tensors[i].dims[0] = n;
        plan->tensors[i].dims[1] = four;
    }
    struct dyno_plan_tensor *tensors = plan->tensors;
    tensors[1].rank = 1;
    tensors[1].dims[0] = four;
    tensors[1].data = weight_data;
    tensors[1].data_bytes = sizeof(weight_data);
    tensors[3].rank = 1;
    tensors[3].dims[0] = dyno_expr_mul(pool, n, four);
    tensors[3].base = 2;
    tensors[3].view_offset = dyno_expr_const(pool, 0);
    tensors[4].rank = -1;
    tensors[5].dtype = DYNO_I64;
    tensors[5].rank = 1;
    tensors[5].dims[0] = dyno_expr_const(pool, 2);
    dyno_expr *elems = dyno_arena_alloc(plan->arena, 2, sizeof(*elems));
    elems[0] = dyno_expr_min(pool, n, dyno_expr_const(pool, 7));
    elems[1] = dyno_expr_select(pool, dyno_expr_lt(pool, n, four),
                                dyno_expr_floordiv(pool, n, dyno_expr_const(pool, 3)),
                                dyno_expr_mod(pool, n, dyno_expr_const(pool, 5)));
    tensors[5].elems = elems;
    tensors[5].elem_count = 2;
    tensors[6].dtype = DYNO_STR;
    tensors[6].rank = 1;
    tensors[6].dims[0] = dyno_expr_const(pool, 2);
    tensors[6].data = text_data;
    tensors[6].data_bytes = sizeof(text_data);
}

static void make_sum(struct dyno_plan *plan, const struct dyno_kernel *kernel)
{
    static const char *const origins[] = {"node one", "node two"};
    const int add = dyno_op_find("", "Add");
    REQUIRE(add >= 0);
    struct dyno_step *step = &plan->steps[0];
    *step = (struct dyno_step){.name = "sum", .origins = origins, .origin_count = 2};
    step->op = (enum dyno_op_id)add;
    step->attrs = dyno_op_attrs_create(dyno_ops[add], plan->arena);
    step->in_count = 3;
    step->own_in_count = 2;
    step->ins = ids(plan, 3, 0);
    step->ins[2] = 1;
    step->out_count = 1;
    step->outs = ids(plan, 1, 2);
    step->tail.instr_count = 2;
    step->tail.instrs[0].op = 0;
    for (int k = 0; k < dyno_pw_infos[0].operand_count; k++)
        step->tail.instrs[0].operands[k] =
            (struct dyno_operand){.kind = DYNO_OPERAND_INPUT, .idx = 2};
    step->tail.instrs[1] = (struct dyno_tail_instr){.op = DYNO_PW_COUNT - 1, .p = 0.5F, .q = -1};
    for (int k = 0; k < dyno_pw_infos[DYNO_PW_COUNT - 1].operand_count; k++)
        step->tail.instrs[1].operands[k] =
            (struct dyno_operand){.kind = DYNO_OPERAND_CONST, .value = 2.5F};
    step->tactic.kernel = dyno_kernel_id(kernel);
    step->tactic.cfg[5] = 77;
    step->tactic.in_layouts[1] = DYNO_BLOCK16;
    step->tactic.packed_bytes = sizeof(packed_data);
    step->tactic.est_us = 1.25F;
    step->tactic.flags = DYNO_TACTIC_BASELINE;
    step->packed = packed_data;
}

static void make_identity(struct dyno_plan *plan, const struct dyno_kernel *kernel)
{
    struct dyno_step *give = &plan->steps[1];
    const int identity = dyno_op_find("", "Identity");
    REQUIRE(identity >= 0);
    *give = (struct dyno_step){.name = "give", .op = (enum dyno_op_id)identity};
    give->attrs = dyno_op_attrs_create(dyno_ops[identity], plan->arena);
    give->in_count = give->own_in_count = give->out_count = 1;
    give->ins = ids(plan, 1, 3);
    give->outs = ids(plan, 1, 4);
    give->tactic.kernel = dyno_kernel_id(kernel);
}

/* x[n, 4] + w[4] + tail -> t (viewed as v); v -> y. */
static struct dyno_plan *make_plan(const struct dyno_kernel *kernel)
{
    struct dyno_plan *plan = dyno_plan_create();
    plan->name = "hand-made";
    plan->flags = DYNO_PLAN_BASELINE;
    plan->accuracy_budget = 0.25F;
    plan->accuracy_error = 0.125F;
    make_tensors(plan);
    plan->step_count = 2;
    plan->steps = dyno_arena_alloc(plan->arena, 2, sizeof(*plan->steps));
    make_sum(plan, kernel);
    make_identity(plan, kernel);
    plan->input_count = 1;
    plan->inputs = dyno_arena_alloc(plan->arena, 1, sizeof(*plan->inputs));
    plan->inputs[0] =
        (struct dyno_io){.name = "x", .tensor = 0, .min = {1, 4}, .opt = {8, 4}, .max = {64, 4}};
    plan->output_count = 1;
    plan->outputs = dyno_arena_alloc(plan->arena, 1, sizeof(*plan->outputs));
    plan->outputs[0] = (struct dyno_io){.name = "out", .tensor = 4};
    return plan;
}

/* The bytes of the file at `path`, 64-byte aligned; dyno_free. */
static uint8_t *slurp(size_t *bytes_out)
{
    struct dyno_file_map map;
    REQUIRE(dyno_file_map(path, &map, NULL) == DYNO_OK);
    uint8_t *copy = dyno_alloc_raw(map.bytes, 1);
    memcpy(copy, map.data, map.bytes);
    *bytes_out = map.bytes;
    dyno_file_unmap(&map);
    return copy;
}

static uint8_t *write_plan(const struct dyno_plan *plan, size_t *bytes_out)
{
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_engine_write(plan, &everything, path, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(status == DYNO_OK);
    return slurp(bytes_out);
}

/* A private file; in memory where that is possible. */
static inline void open_file(void)
{
    int fd = mkstemp(path);
    if (fd < 0) {
        path = on_disk;
        fd = mkstemp(path);
    }
    REQUIRE(fd >= 0);
    (void)close(fd);
}

#endif /* DYNO_TESTS_UNIT_ENGINE_FORMAT_CASE_H */
