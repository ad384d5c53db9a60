/* pw.c - pointwise instructions: names, reference meaning, and tails run by that meaning. */
#include "ops/pw.h"

#include <math.h>

#include "ops/op.h"
#include "ops/ref.h"

const struct dyno_pw_info dyno_pw_infos[DYNO_PW_COUNT] = {
#define DYNO_PW(name, operands, immediates, meaning) \
    [DYNO_PW_##name] = {#name, operands, immediates},
#include "ops/pw.def"
#undef DYNO_PW
};

float dyno_pw_eval(enum dyno_pw_op op, float a, float b, float c, float p, float q)
{
    (void)c; /* for rows of three operands */
    switch (op) {
#define DYNO_PW(name, operands, immediates, meaning) \
    case DYNO_PW_##name:                             \
        return meaning;
#include "ops/pw.def"
#undef DYNO_PW
    case DYNO_PW_COUNT:
        break;
    }
    DYNO_ASSERT(op < DYNO_PW_COUNT);
    return 0.0F;
}

/* An input of the node seen from the output: how far a step along each of its axes moves. */
struct view {
    const float *data;
    int64_t strides[DYNO_RANK_MAX];
};

static enum dyno_status view_init(const struct dyno_tensor *input, const struct dyno_tensor *out,
                                  uint32_t idx, struct view *view, struct dyno_err *err)
{
    if (input == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the tail's operand, input %u, is absent", idx);
    if (input->dtype != DYNO_F32)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the tail's operand, input %u, is %s, must be f32",
                         idx, dyno_dtype_text(input->dtype));
    if (!dyno_ref_broadcasts(input, out))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the tail's operand, input %u, does not broadcast to the output's shape",
                         idx);
    view->data = input->data;
    dyno_ref_broadcast_strides(input, out->rank, view->strides);
    return DYNO_OK;
}

static float operand_load(const struct dyno_operand *operand, const struct view *view,
                          const float *regs, const struct dyno_walk *walk)
{
    switch ((enum dyno_operand_kind)operand->kind) {
    case DYNO_OPERAND_REG:
        return regs[operand->idx];
    case DYNO_OPERAND_CONST:
        return operand->value;
    case DYNO_OPERAND_INPUT: {
        int64_t at = 0;
        DYNO_ASSERT(view->data != NULL);
        for (int i = 0; i < walk->rank; i++)
            at += walk->idx[i] * view->strides[i];
        return view->data[at];
    }
    case DYNO_OPERAND_NONE:
        break;
    }
    return 0.0F;
}

enum dyno_status dyno_tail_run_reference(const struct dyno_tail *tail,
                                         const struct dyno_tensor *const *inputs,
                                         struct dyno_tensor *out, struct dyno_err *err)
{
    struct view views[DYNO_TAIL_INSTRS_MAX][3] = {{{0}}};
    DYNO_ASSERT(tail->instr_count <= DYNO_TAIL_INSTRS_MAX);
    if (tail->instr_count == 0)
        return DYNO_OK;
    if (out->dtype != DYNO_F32)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a tail works on f32, not on %s",
                         dyno_dtype_text(out->dtype));
    for (uint32_t i = 0; i < tail->instr_count; i++)
        for (int j = 0; j < dyno_pw_infos[tail->instrs[i].op].operand_count; j++) {
            const struct dyno_operand *const operand = &tail->instrs[i].operands[j];
            if (operand->kind == DYNO_OPERAND_INPUT)
                DYNO_TRY(view_init(inputs[operand->idx], out, operand->idx, &views[i][j], err));
        }
    float *const data = out->data;
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    for (int64_t at = 0; at < count; at++, dyno_walk_next(&walk)) {
        float regs[DYNO_TAIL_INSTRS_MAX + 1];
        regs[0] = data[at];
        for (uint32_t i = 0; i < tail->instr_count; i++) {
            const struct dyno_tail_instr *const instr = &tail->instrs[i];
            float args[3] = {0.0F};
            for (int j = 0; j < dyno_pw_infos[instr->op].operand_count; j++)
                args[j] = operand_load(&instr->operands[j], &views[i][j], regs, &walk);
            regs[i + 1] = dyno_pw_eval((enum dyno_pw_op)instr->op, args[0], args[1], args[2],
                                       instr->p, instr->q);
        }
        data[at] = regs[tail->instr_count];
    }
    return DYNO_OK;
}
