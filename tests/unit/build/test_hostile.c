/* test_hostile.c - engines that lie: each of these plans was a good one before one thing in it was
 * changed, and is refused with a sentence, when it is verified or when it meets its first shapes.
 */
#include "chain.h"
#include "engine/engine.h"

typedef void edit_fn(struct dyno_plan *plan);

/* --- finding what to change --- */

static struct dyno_step *step_of(struct dyno_plan *plan, enum dyno_op_id op)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].op == op)
            return &plan->steps[i];
    REQUIRE(!"no such step");
    return NULL;
}

static bool is_viewed(const struct dyno_plan *plan, uint32_t id)
{
    bool viewed = plan->tensors[id].base != DYNO_NO_TENSOR;
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        viewed = viewed || plan->tensors[i].base == id;
    return viewed;
}

static struct dyno_step *step_in_block(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].op != DYNO_OP_reorder && !is_viewed(plan, plan->steps[i].outs[0]) &&
            plan->steps[i].tactic.out_layout.kind == DYNO_LAYOUT_BLOCK)
            return &plan->steps[i];
    REQUIRE(!"no step in BLOCK");
    return NULL;
}

static struct dyno_step *packed_step(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].tactic.packed_bytes != 0)
            return &plan->steps[i];
    REQUIRE(!"no packed step");
    return NULL;
}

static struct dyno_plan_tensor *tensor_with(struct dyno_plan *plan, enum dyno_role role)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        if (plan->tensors[i].role == role && plan->tensors[i].rank > 0)
            return &plan->tensors[i];
    REQUIRE(!"no such tensor");
    return NULL;
}

static struct dyno_plan_tensor *view_of(struct dyno_plan *plan, enum dyno_layout_kind kind)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        if (plan->tensors[i].base != DYNO_NO_TENSOR && plan->tensors[i].layout.kind == kind)
            return &plan->tensors[i];
    REQUIRE(!"no view");
    return NULL;
}

static void set_kernel(struct dyno_step *step, const char *name)
{
    for (size_t i = 0; i < dyno_kernel_count; i++)
        if (strcmp(dyno_kernels[i]->name, name) == 0)
            step->tactic.kernel = dyno_kernel_id(dyno_kernels[i]);
}

/* --- tactics --- */

static void more_packed_bytes(struct dyno_plan *plan)
{
    packed_step(plan)->tactic.packed_bytes += 64;
}

static void fewer_packed_bytes(struct dyno_plan *plan)
{
    packed_step(plan)->tactic.packed_bytes -= 4;
}

static void no_packed_bytes(struct dyno_plan *plan)
{
    struct dyno_step *step = packed_step(plan);
    step->tactic.packed_bytes = 0;
    step->packed = NULL;
}

static void huge_parameter(struct dyno_plan *plan)
{
    packed_step(plan)->tactic.cfg[0] = UINT32_MAX;
}

static void unused_parameter(struct dyno_plan *plan)
{
    packed_step(plan)->tactic.cfg[5] = 1;
}

static void other_flags(struct dyno_plan *plan)
{
    packed_step(plan)->tactic.flags ^= DYNO_TACTIC_REFERENCE;
}

static void other_out_layout(struct dyno_plan *plan)
{
    step_in_block(plan)->tactic.out_layout = DYNO_ROW;
}

static void other_block(struct dyno_plan *plan)
{
    step_in_block(plan)->tactic.out_layout.block = 8;
}

static void tensor_lies_otherwise(struct dyno_plan *plan)
{
    const struct dyno_step *step = step_in_block(plan);
    plan->tensors[step->outs[0]].layout = DYNO_ROW;
}

static void wrong_kernel(struct dyno_plan *plan)
{
    set_kernel(step_of(plan, DYNO_OP_softmax), "pool_portable");
}

static void kernel_of_another_type(struct dyno_plan *plan)
{
    set_kernel(step_of(plan, DYNO_OP_softmax), "binary_portable");
}

/* --- tensors --- */

static void blocked_weight(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        if (plan->tensors[i].role == DYNO_ROLE_WEIGHT && plan->tensors[i].rank == 4)
            plan->tensors[i].layout = DYNO_BLOCK16;
}

static void open_input(struct dyno_plan *plan)
{
    tensor_with(plan, DYNO_ROLE_INPUT)->rank = -1;
}

static void view_at_half_an_element(struct dyno_plan *plan)
{
    struct dyno_plan_tensor *view = view_of(plan, DYNO_LAYOUT_ROW);
    view->view_offset = dyno_expr_const(plan->exprs, 2);
    view->dims[0] = dyno_expr_const(plan->exprs, 0);
}

static void view_past_the_end(struct dyno_plan *plan)
{
    view_of(plan, DYNO_LAYOUT_BLOCK)->view_offset = dyno_expr_const(plan->exprs, 1600);
}

static void view_of_another_type(struct dyno_plan *plan)
{
    view_of(plan, DYNO_LAYOUT_ROW)->dtype = DYNO_I32;
}

static void larger_output(struct dyno_plan *plan)
{
    const struct dyno_step *step = step_of(plan, DYNO_OP_softmax);
    struct dyno_plan_tensor *out = &plan->tensors[step->outs[0]];
    out->dims[1] = dyno_expr_add(plan->exprs, out->dims[1], dyno_expr_const(plan->exprs, 1));
}

static void unlisted_input(struct dyno_plan *plan)
{
    plan->input_count = 0;
}

static void unlisted_output(struct dyno_plan *plan)
{
    plan->output_count--;
}

static void input_listed_twice(struct dyno_plan *plan)
{
    struct dyno_io *inputs = dyno_arena_alloc(plan->arena, 2, sizeof(*inputs));
    REQUIRE(inputs != NULL);
    inputs[0] = inputs[1] = plan->inputs[0];
    plan->inputs = inputs;
    plan->input_count = 2;
}

static void output_never_made(struct dyno_plan *plan)
{
    plan->step_count--;
}

/* --- steps --- */

static void writes_the_input(struct dyno_plan *plan)
{
    struct dyno_step *step = step_of(plan, DYNO_OP_softmax);
    struct dyno_plan_tensor *out = &plan->tensors[step->outs[0]];
    out->base = plan->inputs[0].tensor;
    out->view_offset = dyno_expr_const(plan->exprs, 0);
}

static void writes_what_it_reads(struct dyno_plan *plan)
{
    struct dyno_step *step = step_of(plan, DYNO_OP_softmax);
    struct dyno_plan_tensor *out = &plan->tensors[step->outs[0]];
    out->base = step->ins[0];
    out->view_offset = dyno_expr_const(plan->exprs, 0);
}

static void writes_twice(struct dyno_plan *plan)
{
    plan->steps[1].outs[0] = plan->steps[0].outs[0];
}

static void operand_too_many(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++) {
        struct dyno_tail *tail = &plan->steps[i].tail;
        if (tail->instr_count != 0 && dyno_pw_infos[tail->instrs[0].op].operand_count < 3)
            tail->instrs[0].operands[2] = (struct dyno_operand){DYNO_OPERAND_INPUT, 999, 0.0F};
    }
}

static void wrong_attribute(struct dyno_plan *plan)
{
    struct dyno_step *step = step_of(plan, DYNO_OP_softmax);
    int64_t *axis = dyno_op_attrs_create(dyno_ops[DYNO_OP_softmax], plan->arena);
    REQUIRE(axis != NULL);
    *axis = 77;
    step->attrs = axis;
}

static void weight_is_gone(struct dyno_plan *plan)
{
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        if (plan->tensors[i].role == DYNO_ROLE_WEIGHT) {
            plan->tensors[i].data = NULL;
            plan->tensors[i].data_bytes = 0;
        }
    }
}

/* --- steps whose shapes only the run tells --- */

static void another_open_type(struct dyno_plan *plan)
{
    const struct dyno_step *step = step_of(plan, DYNO_OP_non_zero);
    plan->tensors[step->outs[0]].dtype = DYNO_F64;
}

static const struct lie {
    const char *name;
    message (*model)(void);
    edit_fn *edit;
    const char *says; /* part of the sentence */
} lies[] = {
#define LIE(model, edit, says)   \
    {                            \
#edit, model, edit, says \
    }
    LIE(small_conv_net, more_packed_bytes, "packs its weights into"),
    LIE(small_conv_net, fewer_packed_bytes, "packs its weights into"),
    LIE(small_conv_net, no_packed_bytes, "is not in the engine"),
    LIE(small_conv_net, huge_parameter, "in this way"),
    LIE(small_conv_net, unused_parameter, "in this way"),
    LIE(small_conv_net, other_flags, "has the flags"),
    LIE(small_conv_net, other_out_layout, "another layout"),
    LIE(small_conv_net, other_block, "in this way"),
    LIE(small_conv_net, tensor_lies_otherwise, "in another layout"),
    LIE(small_token_net, wrong_kernel, "in this way"),
    LIE(small_token_net, kernel_of_another_type, "in this way"),
    LIE(small_conv_net, blocked_weight, "is not one that exists"),
    LIE(small_conv_net, open_input, "number of dimensions is open"),
    LIE(small_token_net, view_at_half_an_element, "does not fit into"),
    LIE(small_conv_net, view_past_the_end, "does not fit into"),
    LIE(small_token_net, view_of_another_type, "cannot be a view"),
    LIE(small_token_net, larger_output, "has another shape"),
    LIE(small_conv_net, unlisted_input, "are listed"),
    LIE(small_open_net, unlisted_output, "are listed"),
    LIE(small_conv_net, input_listed_twice, "listed twice"),
    LIE(small_conv_net, output_never_made, "no step makes"),
    LIE(small_token_net, writes_the_input, "cannot be tensor"),
    LIE(small_token_net, writes_what_it_reads, "lies on input"),
    LIE(small_conv_net, writes_twice, "is written twice"),
    LIE(small_conv_net, operand_too_many, "more than"),
    LIE(small_token_net, wrong_attribute, "axis"),
    LIE(small_conv_net, weight_is_gone, "is not in the engine"),
    LIE(small_open_net, another_open_type, "than the engine says"),
#undef LIE
};

/* Verified, and run once at the optimal shapes, as an engine out of a file is. */
static enum dyno_status use(struct dyno_engine *engine, struct dyno_arena *arena,
                            struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array inputs[4];
    struct dyno_array outputs[4];
    DYNO_TRY(dyno_plan_verify(engine->plan, err));
    REQUIRE(engine->plan->input_count <= 4 && engine->plan->output_count <= 4);
    memset(outputs, 0, sizeof(outputs));
    for (uint32_t i = 0; i < engine->plan->input_count; i++) {
        struct dyno_io_info info;
        dyno_engine_input(engine, i, &info);
        inputs[i] = chain_array(arena, info.opt, info.rank, i);
    }
    DYNO_TRY(dyno_context_create(engine, NULL, &context, err));
    const enum dyno_status status = dyno_context_run(context, inputs, outputs, err);
    dyno_context_destroy(context);
    return status;
}

static void try_lie(const struct lie *lie)
{
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    message model = lie->model();
    /* The token net keeps its Softmax when nothing is fused. */
    const struct dyno_build_options options = {.level = 0,
                                               .baseline = lie->model == small_token_net};
    struct dyno_built built = chain_build(&model, options, &err);
    REQUIRE(arena != NULL);
    CHECK_MSG(use(built.engine, arena, &err) == DYNO_OK, "%s, before: %s", lie->name, err.text);
    lie->edit(built.engine->plan);
    for (uint32_t i = 0; i < built.engine->plan->step_count; i++) /* as engine.c finds them */
        built.engine->kernels[i] = dyno_kernel_find(built.engine->plan->steps[i].tactic.kernel);
    const enum dyno_status status = use(built.engine, arena, &err);
    CHECK_MSG(status != DYNO_OK && strstr(err.text, lie->says) != NULL, "%s: '%s'", lie->name,
              err.text);
    dyno_built_fini(&built);
    dyno_arena_destroy(arena);
    dyno_strbuf_fini(&model);
}

int main(void)
{
    for (size_t i = 0; i < DYNO_COUNT(lies); i++)
        try_lie(&lies[i]);
    CHECK(dyno_mem_live_count() == 0);
    return test_result();
}
