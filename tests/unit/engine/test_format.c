/* test_format.c - engine files: there and back, damage, foreign machines, foreign builds. */
#include "engine/format.h"

#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
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

static enum dyno_status read_bytes(const uint8_t *bytes, size_t n, uint64_t isa_mask,
                                   struct dyno_err *err)
{
    struct dyno_target here = everything;
    here.isa_mask = isa_mask;
    struct dyno_plan *plan = NULL;
    char warning[512];
    const enum dyno_status status =
        dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), err);
    CHECK((status == DYNO_OK) == (plan != NULL));
    dyno_plan_destroy(plan);
    return status;
}

/* Checksums that fit the bytes again, as an enemy would write them. */
static void mend(uint8_t *bytes, size_t n)
{
    uint64_t covered = 0;
    memcpy(&covered,
           bytes + DYNO_ENGINE_HEADER_BYTES +
               (DYNO_SECTION_CRC - 1) * (size_t)DYNO_ENGINE_ENTRY_BYTES + 8,
           sizeof(covered));
    if (covered > n || n - covered < 8)
        return;
    uint8_t *crcs = bytes + covered;
    size_t count = 0;
    for (uint64_t at = 0; at < covered && covered + (count + 2) * 4 <= n;
         at += DYNO_ENGINE_CHUNK_BYTES, count++) {
        const uint64_t left = covered - at;
        const size_t share =
            (size_t)(left < DYNO_ENGINE_CHUNK_BYTES ? left : DYNO_ENGINE_CHUNK_BYTES);
        const uint32_t crc = dyno_crc32c(0, bytes + at, share);
        memcpy(crcs + count * 4, &crc, 4);
    }
    const uint32_t crc = dyno_crc32c(0, crcs, count * 4);
    memcpy(crcs + count * 4, &crc, 4);
}

/* --- there and back --- */

static void check_step(const struct dyno_step *step)
{
    CHECK_STR(step->name, "sum");
    CHECK(step->origin_count == 2);
    CHECK_STR(step->origins[1], "node two");
    CHECK_STR(dyno_ops[step->op]->onnx_name, "Add");
    CHECK(step->own_in_count == 2 && step->in_count == 3 && step->ins[2] == 1);
    CHECK(step->out_count == 1 && step->outs[0] == 2);
    CHECK(step->tail.instr_count == 2 && step->tail.instrs[0].operands[0].idx == 2);
    CHECK(step->tail.instrs[1].op == DYNO_PW_COUNT - 1 && step->tail.instrs[1].p == 0.5F);
    CHECK(step->tail.instrs[1].operands[dyno_pw_infos[DYNO_PW_COUNT - 1].operand_count - 1].value ==
          2.5F);
    CHECK(step->tactic.cfg[5] == 77 && step->tactic.est_us == 1.25F);
    CHECK(step->tactic.in_layouts[1].block == 16 && step->tactic.in_layouts[2].block == 0);
    CHECK(step->tactic.packed_bytes == sizeof(packed_data));
    CHECK(test_same(step->packed, packed_data, sizeof(packed_data)));
    CHECK((uintptr_t)step->packed % 64 == 0);
}

static void check_elems(const struct dyno_plan *plan, const struct dyno_plan *back)
{
    int64_t symbols[8];
    int64_t *want = calloc(dyno_exprs_count(plan->exprs), sizeof(*want));
    int64_t *got = calloc(dyno_exprs_count(back->exprs), sizeof(*got));
    CHECK(dyno_exprs_symbol_count(back->exprs) == 2);
    for (int64_t n = 1; n <= 64; n++) {
        symbols[0] = 1;
        symbols[1] = n;
        dyno_exprs_eval(plan->exprs, symbols, want);
        dyno_exprs_eval(back->exprs, symbols, got);
        for (uint32_t i = 0; i < 2; i++)
            CHECK(got[back->tensors[5].elems[i]] == want[plan->tensors[5].elems[i]]);
        CHECK(got[back->tensors[0].dims[0]] == n && got[back->tensors[3].dims[0]] == 4 * n);
    }
    free(want);
    free(got);
}

static void test_round_trip(const struct dyno_kernel *kernel)
{
    struct dyno_plan *plan = make_plan(kernel);
    struct dyno_err err = {0};
    CHECK_MSG(dyno_plan_verify(plan, &err) == DYNO_OK, "%s", err.text);
    size_t n = 0;
    size_t again_n = 0;
    uint8_t *bytes = write_plan(plan, &n);
    struct dyno_plan *back = NULL;
    char warning[512] = "";
    CHECK_MSG(dyno_engine_read(bytes, n, &everything, &back, warning, sizeof(warning), &err) ==
                  DYNO_OK,
              "%s", err.text);
    REQUIRE(back != NULL);
    CHECK_STR(warning, "");
    CHECK_STR(back->name, "hand-made");
    CHECK(back->flags == DYNO_PLAN_BASELINE && back->tensor_count == 7 && back->step_count == 2);
    CHECK(back->accuracy_budget == 0.25F && back->accuracy_error == 0.125F);
    CHECK(test_same(back->tensors[1].data, weight_data, sizeof(weight_data)));
    const uint8_t *weight = back->tensors[1].data;
    CHECK(weight > bytes && weight < bytes + n && (uintptr_t)weight % 64 == 0);
    CHECK(back->tensors[3].base == 2 && back->tensors[4].rank == -1);
    const struct dyno_str *texts = back->tensors[6].data;
    CHECK(texts[1].bytes == 3 && memcmp(texts[1].text, "a\0b", 3) == 0);
    CHECK(back->inputs[0].opt[0] == 8 && back->inputs[0].max[1] == 4);
    CHECK_STR(back->outputs[0].name, "out");
    check_step(&back->steps[0]);
    check_elems(plan, back);
    uint8_t *again = write_plan(back, &again_n);
    CHECK(again_n == n && memcmp(again, bytes, n) == 0);
    dyno_plan_destroy(back);
    dyno_plan_destroy(plan);
    dyno_free(bytes);
    dyno_free(again);
}

static void set_attr(const struct dyno_attr *attr, char *at)
{
    static const int64_t i64s[3] = {1, -2, INT64_MIN};
    static const float f32s[2] = {0.25F, -3};
    static const struct dyno_str strs[2] = {{"one", 3}, {"", 0}};
    static int64_t items[2] = {5, 6};
    static const struct dyno_tensor constant = {
        .dtype = DYNO_I64, .rank = 1, .dims = {2}, .data = items};
    const struct dyno_tensor *tensor = &constant;
    const int64_t i64 = -7;
    const float f32 = 0.375F;
    int32_t last = -1;
    while (attr->kind == DYNO_ATTR_ENUM && attr->names[last + 1] != NULL)
        last++;
    const struct dyno_i64s i64_list = {.at = i64s, .count = 3};
    const struct dyno_f32s f32_list = {.at = f32s, .count = 2};
    const struct dyno_strs str_list = {.at = strs, .count = 2};
    const struct dyno_str str = {.text = "t\0u", .bytes = 3};
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        memcpy(at, &i64, sizeof(i64));
        break;
    case DYNO_ATTR_F32:
        memcpy(at, &f32, sizeof(f32));
        break;
    case DYNO_ATTR_ENUM:
        memcpy(at, &last, sizeof(last));
        break;
    case DYNO_ATTR_STR:
        memcpy(at, &str, sizeof(str));
        break;
    case DYNO_ATTR_I64S:
        memcpy(at, &i64_list, sizeof(i64_list));
        break;
    case DYNO_ATTR_F32S:
        memcpy(at, &f32_list, sizeof(f32_list));
        break;
    case DYNO_ATTR_STRS:
        memcpy(at, &str_list, sizeof(str_list));
        break;
    case DYNO_ATTR_TENSOR:
        memcpy(at, &tensor, sizeof(tensor));
        break;
    }
}

static void check_attr(const struct dyno_op *op, const struct dyno_attr *attr, const char *at)
{
    const int64_t i64 = -7;
    const float f32 = 0.375F;
    struct dyno_i64s i64s = {0};
    struct dyno_strs strs = {0};
    struct dyno_str str = {0};
    const struct dyno_tensor *tensor = NULL;
    int32_t choice = -1;
    bool ok = true;
    if (attr->kind == DYNO_ATTR_I64) {
        ok = memcmp(at, &i64, sizeof(i64)) == 0;
    } else if (attr->kind == DYNO_ATTR_F32) {
        ok = test_same(at, &f32, sizeof(f32));
    } else if (attr->kind == DYNO_ATTR_ENUM) {
        memcpy(&choice, at, sizeof(choice));
        ok = choice >= 0 && attr->names[choice] != NULL && attr->names[choice + 1] == NULL;
    } else if (attr->kind == DYNO_ATTR_STR) {
        memcpy(&str, at, sizeof(str));
        ok = str.bytes == 3 && memcmp(str.text, "t\0u", 3) == 0;
    } else if (attr->kind == DYNO_ATTR_I64S) {
        memcpy(&i64s, at, sizeof(i64s));
        ok = i64s.count == 3 && i64s.at[2] == INT64_MIN;
    } else if (attr->kind == DYNO_ATTR_STRS) {
        memcpy(&strs, at, sizeof(strs));
        ok = strs.count == 2 && strs.at[0].bytes == 3 && strs.at[1].bytes == 0;
    } else if (attr->kind == DYNO_ATTR_TENSOR) {
        memcpy(&tensor, at, sizeof(tensor));
        ok = tensor != NULL && tensor->rank == 1 && ((const int64_t *)tensor->data)[1] == 6;
    }
    CHECK_MSG(ok, "%s %s", op->onnx_name, attr->name);
}

/* Each op with each of its attributes, set and at their fallbacks. */
static void test_every_op(const struct dyno_kernel *kernel)
{
    for (int id = 0; id < DYNO_OP_COUNT; id++) {
        const struct dyno_op *op = dyno_ops[id];
        for (int is_set = 0; is_set < 2 && (op->flags & DYNO_OP_REGIONS) == 0; is_set++) {
            struct dyno_plan *plan = make_plan(kernel);
            struct dyno_step *step = &plan->steps[1];
            *step = plan->steps[0];
            step->op = (enum dyno_op_id)id;
            char *attrs = dyno_op_attrs_create(op, plan->arena);
            for (size_t i = 0; is_set && i < op->attr_count; i++)
                set_attr(&op->attrs[i], attrs + op->attrs[i].offset_bytes);
            step->attrs = attrs;
            step->in_count = step->own_in_count = op->in_min;
            step->ins = ids(plan, op->in_min, 0);
            memset(step->ins, 0, op->in_min * sizeof(*step->ins));
            step->out_count = op->out_min > 0 ? op->out_min : 1;
            step->outs = ids(plan, step->out_count, 0);
            for (uint32_t i = 0; i < step->out_count; i++)
                step->outs[i] = i == 0 ? 4 : DYNO_NO_TENSOR;
            step->tail.instr_count = 0;
            size_t n = 0;
            size_t again_n = 0;
            uint8_t *bytes = write_plan(plan, &n);
            struct dyno_plan *back = NULL;
            struct dyno_err err = {0};
            char warning[512];
            CHECK_MSG(dyno_engine_read(bytes, n, &everything, &back, warning, sizeof(warning),
                                       &err) == DYNO_OK,
                      "%s: %s", op->onnx_name, err.text);
            REQUIRE(back != NULL);
            CHECK(back->steps[1].op == (enum dyno_op_id)id);
            for (size_t i = 0; is_set && i < op->attr_count; i++)
                check_attr(op, &op->attrs[i],
                           (const char *)back->steps[1].attrs + op->attrs[i].offset_bytes);
            uint8_t *again = write_plan(back, &again_n);
            CHECK_MSG(again_n == n && memcmp(again, bytes, n) == 0, "%s", op->onnx_name);
            dyno_plan_destroy(back);
            dyno_plan_destroy(plan);
            dyno_free(bytes);
            dyno_free(again);
        }
    }
}

/* --- damage --- */

static void test_truncation(const uint8_t *bytes, size_t n)
{
    for (size_t length = 0; length < n; length++) {
        uint8_t *cut = dyno_alloc_raw(length + 1, 1);
        memcpy(cut, bytes, length);
        struct dyno_err err = {0};
        CHECK_MSG(read_bytes(cut, length, UINT64_MAX, &err) != DYNO_OK, "%zu bytes", length);
        CHECK(err.text[0] != 0);
        dyno_free(cut);
    }
    uint8_t *longer = dyno_alloc(n + 64, 1);
    memcpy(longer, bytes, n);
    CHECK(read_bytes(longer, n + 64, UINT64_MAX, NULL) == DYNO_E_CORRUPT);
    dyno_free(longer);
}

static void test_flips(uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1U << (i % 8));
        struct dyno_err err = {0};
        CHECK_MSG(read_bytes(bytes, n, UINT64_MAX, &err) != DYNO_OK, "bit %zu", i);
        bytes[i / 8] ^= (uint8_t)(1U << (i % 8));
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0xff;
        CHECK_MSG(read_bytes(bytes, n, UINT64_MAX, NULL) != DYNO_OK, "byte %zu", i);
        bytes[i] ^= 0xff;
    }
    CHECK(read_bytes(bytes, n, UINT64_MAX, NULL) == DYNO_OK);
}

/* Bytes changed by someone who mends the checksums: refused with a sentence or a plan that verifies
 * (some bytes are free: a weight, a name); never a crash. */
static void test_mended(uint8_t *bytes, size_t n)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    uint8_t *copy = dyno_alloc_raw(n, 1);
    size_t refused = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof(values); k++) {
            memcpy(copy, bytes, n);
            copy[i] = values[k];
            mend(copy, n);
            struct dyno_err err = {0};
            const enum dyno_status status = read_bytes(copy, n, UINT64_MAX, &err);
            CHECK(status == DYNO_OK || err.text[0] != 0);
            refused += status != DYNO_OK;
        }
        if (i + 4 <= n) {
            memcpy(copy, bytes, n);
            memset(copy + i, 0xff, 4);
            mend(copy, n);
            refused += read_bytes(copy, n, UINT64_MAX, NULL) != DYNO_OK;
        }
    }
    CHECK(refused > n);
    dyno_free(copy);
}

static void test_out_of_memory(const uint8_t *bytes, size_t n, const struct dyno_plan *plan)
{
    const uint64_t live = dyno_mem_live_count();
    for (int is_write = 0; is_write < 2; is_write++) {
        uint64_t nth = 1;
        for (;; nth++) {
            struct dyno_plan *back = NULL;
            struct dyno_err err = {0};
            char warning[512];
            dyno_mem_fail_at(nth);
            const enum dyno_status status = is_write
                                                ? dyno_engine_write(plan, &everything, path, &err)
                                                : dyno_engine_read(bytes, n, &everything, &back,
                                                                   warning, sizeof(warning), &err);
            dyno_mem_fail_at(0);
            CHECK(is_write || (status == DYNO_OK) == (back != NULL));
            dyno_plan_destroy(back);
            CHECK(dyno_mem_live_count() == live);
            if (status == DYNO_OK)
                break;
            CHECK_MSG(status == DYNO_E_NOMEM, "allocation %llu: %s", (unsigned long long)nth,
                      err.text);
            CHECK(nth < 1000);
        }
        CHECK(nth > 5);
    }
}

/* --- other machines, other builds --- */

static void test_foreign_machine(void)
{
    const struct dyno_kernel *kernel = kernel_with(DYNO_ISA_AVX2 | DYNO_ISA_AVX512);
    if (kernel == NULL)
        kernel = kernel_with(DYNO_ISA_AVX512);
    REQUIRE(kernel != NULL);
    struct dyno_plan *plan = make_plan(kernel);
    size_t n = 0;
    uint8_t *bytes = write_plan(plan, &n);
    struct dyno_err err = {0};
    CHECK(read_bytes(bytes, n, DYNO_ISA_AVX2, &err) == DYNO_E_TARGET);
    char cpu_name[128];
    dyno_cpu_name(cpu_name, sizeof(cpu_name));
    CHECK_MSG(strstr(err.text, "wants ") != NULL && strstr(err.text, "avx512;") != NULL, "%s",
              err.text);
    CHECK_MSG(strstr(err.text, "has avx2:") != NULL && strstr(err.text, cpu_name) != NULL, "%s",
              err.text);
    err = (struct dyno_err){0};
    CHECK(read_bytes(bytes, n, 0, &err) == DYNO_E_TARGET);
    CHECK_MSG(strstr(err.text, "has portable:") != NULL, "%s", err.text);
    CHECK(read_bytes(bytes, n, DYNO_ISA_AVX2 | DYNO_ISA_AVX512, NULL) == DYNO_OK);
    dyno_plan_destroy(plan);
    dyno_free(bytes);
}

static void test_warning(const uint8_t *bytes, size_t n)
{
    struct dyno_target here = everything;
    struct dyno_plan *plan = NULL;
    char warning[512];
    here.l2_bytes = (uint64_t)12345 * 1024;
    CHECK(dyno_engine_read(bytes, n, &here, &plan, warning, sizeof(warning), NULL) == DYNO_OK);
    CHECK_MSG(strstr(warning, "12345") != NULL, "%s", warning);
    dyno_plan_destroy(plan);
    CHECK(dyno_engine_read(bytes, n, &here, &plan, NULL, 0, NULL) == DYNO_OK);
    dyno_plan_destroy(plan);
}

/* One text of the file replaced by another of the same length. */
static void check_replaced(const uint8_t *bytes, size_t n, const char *from, const char *to,
                           enum dyno_status want, const char *sentence)
{
    uint8_t *copy = dyno_alloc_raw(n, 1);
    memcpy(copy, bytes, n);
    uint8_t *at = memmem(copy, n, from, strlen(from) + 1);
    REQUIRE(at != NULL && strlen(from) == strlen(to));
    memcpy(at, to, strlen(from));
    mend(copy, n);
    struct dyno_err err = {0};
    CHECK_MSG(read_bytes(copy, n, UINT64_MAX, &err) == want, "%s: %s", to, err.text);
    CHECK_MSG(strstr(err.text, sentence) != NULL, "%s", err.text);
    dyno_free(copy);
}

static void check_patched(const uint8_t *bytes, size_t n, size_t offset, uint32_t value,
                          enum dyno_status want)
{
    uint8_t *copy = dyno_alloc_raw(n, 1);
    memcpy(copy, bytes, n);
    memcpy(copy + offset, &value, sizeof(value));
    mend(copy, n);
    struct dyno_err err = {0};
    CHECK_MSG(read_bytes(copy, n, UINT64_MAX, &err) == want, "%zu: %s", offset, err.text);
    dyno_free(copy);
}

static void test_foreign_build(const uint8_t *bytes, size_t n)
{
    check_replaced(bytes, n, "Add", "Odd", DYNO_E_UNSUPPORTED, "op 'Odd'");
    check_replaced(bytes, n, dyno_pw_infos[DYNO_PW_COUNT - 1].name,
                   "zzzzzzzzzzzzzzzzzz" + 18 - strlen(dyno_pw_infos[DYNO_PW_COUNT - 1].name),
                   DYNO_E_UNSUPPORTED, "tail instruction 'zzz");
    check_patched(bytes, n, 8, DYNO_ENGINE_VERSION + 1, DYNO_E_UNSUPPORTED);
    /* The error and what was allowed: beside each other, behind two names and the plan's flags. */
    uint64_t info = 0;
    memcpy(&info, bytes + 64 + 8, sizeof(info));
    check_patched(bytes, n, (size_t)info + 12, 0x3e800000U, DYNO_OK);       /* 0.25 */
    check_patched(bytes, n, (size_t)info + 12, 0x3d000000U, DYNO_E_FORMAT); /* under the error */
    check_patched(bytes, n, (size_t)info + 12, 0x3f800000U, DYNO_E_FORMAT); /* 1 */
    check_patched(bytes, n, (size_t)info + 12, 0x7fc00000U, DYNO_E_FORMAT); /* NaN */
    check_patched(bytes, n, (size_t)info + 16, 0x3f000000U, DYNO_E_FORMAT); /* over the budget */
    check_patched(bytes, n, (size_t)info + 16, 0xbe000000U, DYNO_E_FORMAT); /* negative */
    check_patched(bytes, n, (size_t)info + 16, 0xffc00000U, DYNO_E_FORMAT); /* NaN */
    check_patched(bytes, n, 12, DYNO_ENGINE_SECTIONS + 1, DYNO_E_FORMAT);
    check_patched(bytes, n, 44, 1, DYNO_E_FORMAT);
    check_patched(bytes, n, 64 + 8, 384, DYNO_E_FORMAT);
    CHECK(read_bytes((const uint8_t *)"", 0, 0, NULL) != DYNO_OK);
    CHECK(read_bytes(bytes + 1, n - 1, UINT64_MAX, NULL) == DYNO_E_ARG);
}

/* Data of several chunks, with a packed block that ends on a chunk. */
static void test_large(const struct dyno_kernel *kernel)
{
    struct dyno_plan *plan = make_plan(kernel);
    const size_t packed_bytes = 5 * (size_t)DYNO_ENGINE_CHUNK_BYTES + 192;
    uint8_t *packed = dyno_alloc_raw(packed_bytes, 1);
    for (size_t i = 0; i < packed_bytes; i++)
        packed[i] = (uint8_t)(i * 31 + i / 1000);
    plan->steps[0].packed = packed;
    plan->steps[0].tactic.packed_bytes = packed_bytes;
    size_t n = 0;
    uint8_t *bytes = write_plan(plan, &n);
    CHECK(n > packed_bytes && read_bytes(bytes, n, UINT64_MAX, NULL) == DYNO_OK);
    for (size_t at = 3; at < n; at += 9973) {
        bytes[at] ^= 0x10;
        struct dyno_err err = {0};
        CHECK(read_bytes(bytes, n, UINT64_MAX, &err) != DYNO_OK);
        bytes[at] ^= 0x10;
    }
    dyno_plan_destroy(plan);
    dyno_free(bytes);
    dyno_free(packed);
}

static void test_writer_refusals(const struct dyno_kernel *kernel)
{
    struct dyno_plan *plan = make_plan(kernel);
    struct dyno_err err = {0};
    CHECK(dyno_engine_write(plan, &everything, "/nonexistent/x.engine", &err) == DYNO_E_IO);
    CHECK(strstr(err.text, "/nonexistent/x.engine") != NULL);
    plan->steps[0].packed = NULL;
    CHECK(dyno_engine_write(plan, &everything, path, NULL) == DYNO_E_ARG);
    plan->steps[0].tactic.kernel ^= 1;
    CHECK(dyno_engine_write(plan, &everything, path, NULL) == DYNO_E_UNSUPPORTED);
    dyno_plan_destroy(plan);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0) {
        path = on_disk;
        fd = mkstemp(path);
    }
    const struct dyno_kernel *kernel = kernel_with(0);
    REQUIRE(fd >= 0 && kernel != NULL);
    (void)close(fd);
    test_round_trip(kernel);
    test_every_op(kernel);
    struct dyno_plan *plan = make_plan(kernel);
    size_t n = 0;
    uint8_t *bytes = write_plan(plan, &n);
    test_truncation(bytes, n);
    test_flips(bytes, n);
    test_mended(bytes, n);
    test_out_of_memory(bytes, n, plan);
    test_warning(bytes, n);
    test_foreign_build(bytes, n);
    dyno_plan_destroy(plan);
    dyno_free(bytes);
    test_foreign_machine();
    test_large(kernel);
    test_writer_refusals(kernel);
    CHECK(unlink(path) == 0 && dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
