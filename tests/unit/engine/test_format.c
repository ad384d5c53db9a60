/* test_format.c - engine files: there and back. */
#include "unit/engine/format_case.h"

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
    const struct dyno_kernel *kernel = kernel_with(0);
    REQUIRE(kernel != NULL);
    open_file();
    test_round_trip(kernel);
    test_every_op(kernel);
    test_writer_refusals(kernel);
    CHECK(unlink(path) == 0 && dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
