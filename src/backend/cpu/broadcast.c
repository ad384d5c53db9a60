/* broadcast.c - strides of spread operands, with as few axes as they allow. */
#include "backend/cpu/broadcast.h"

bool dyno_cpu_broadcast_strides(const struct dyno_buf *in, const struct dyno_buf *out,
                                int64_t *strides)
{
    if (in->rank < 0 || in->rank > out->rank)
        return false;
    int64_t stride = 1;
    for (int i = out->rank - 1; i >= 0; i--) {
        const int axis = i - (out->rank - in->rank);
        const int64_t dim = axis >= 0 ? in->dims[axis] : 1;
        if (dim != out->dims[i] && dim != 1)
            return false;
        strides[i] = dim == 1 ? 0 : stride;
        stride *= dim;
    }
    return true;
}

bool dyno_cpu_broadcast_init(struct dyno_cpu_broadcast *spread, const struct dyno_buf *out,
                             const struct dyno_buf *operands, int operand_count)
{
    int64_t strides[DYNO_CPU_OPERANDS_MAX][DYNO_RANK_MAX] = {{0}};
    *spread = (struct dyno_cpu_broadcast){.operand_count = operand_count, .cols = 1};
    for (int k = 0; k < operand_count; k++)
        if (!dyno_cpu_broadcast_strides(&operands[k], out, strides[k]))
            return false;
    /* Groups from the right; a group's strides are those of its innermost axis. */
    int count = 0;
    int64_t dims[DYNO_RANK_MAX] = {0};
    int64_t merged[DYNO_CPU_OPERANDS_MAX][DYNO_RANK_MAX] = {{0}};
    for (int axis = out->rank - 1; axis >= 0; axis--) {
        if (out->dims[axis] == 1)
            continue;
        bool joins = count > 0;
        for (int k = 0; k < operand_count && joins; k++)
            joins = strides[k][axis] == merged[k][count - 1] * dims[count - 1];
        if (joins) {
            dims[count - 1] *= out->dims[axis];
            continue;
        }
        for (int k = 0; k < operand_count; k++)
            merged[k][count] = strides[k][axis];
        dims[count++] = out->dims[axis];
    }
    if (count > 0) {
        spread->cols = dims[0];
        for (int k = 0; k < operand_count; k++)
            spread->col[k] = merged[k][0];
    }
    spread->rank = count > 0 ? count - 1 : 0;
    spread->rows = 1;
    for (int i = 0; i < spread->rank; i++) {
        const int from = count - 1 - i;
        spread->dims[i] = dims[from];
        spread->rows *= dims[from];
        for (int k = 0; k < operand_count; k++)
            spread->strides[k][i] = merged[k][from];
    }
    return true;
}

void dyno_cpu_broadcast_row(const struct dyno_cpu_broadcast *spread, int64_t row,
                            int64_t at[DYNO_CPU_OPERANDS_MAX])
{
    for (int k = 0; k < spread->operand_count; k++)
        at[k] = 0;
    for (int i = spread->rank - 1; i >= 0; i--) {
        const int64_t idx = row % spread->dims[i];
        row /= spread->dims[i];
        for (int k = 0; k < spread->operand_count; k++)
            at[k] += idx * spread->strides[k][i];
    }
}
