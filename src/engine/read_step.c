/* read_step.c - steps: ops and attributes by name, tails, tactics. */
#include <string.h>

#include "base/hash.h"
#include "engine/cursor.h"

static uint8_t limited_u8(struct dyno_cursor *cursor, const char *what, unsigned count)
{
    const uint8_t value = cursor_u8(cursor);
    if (value >= count)
        cursor_fail(cursor, DYNO_E_FORMAT, "%s %u is unknown", what, value);
    return cursor_ok(cursor) ? value : 0;
}

/* --- attributes --- */

/* Items of a fixed size, copied so that they are aligned; *at stays NULL when absent. */
static void read_list(struct dyno_cursor *cursor, size_t item_bytes, const void **at_out,
                      uint32_t *count_out)
{
    const uint32_t count = cursor_u32(cursor);
    if (!cursor_ok(cursor) || count == DYNO_ENGINE_NONE)
        return;
    const uint8_t *items = cursor_bytes(cursor, (uint64_t)count * item_bytes);
    void *copy = cursor_alloc(cursor, count, item_bytes);
    if (copy == NULL)
        return;
    if (count != 0)
        memcpy(copy, items, count * item_bytes);
    *at_out = copy;
    *count_out = count;
}

static struct dyno_strs read_strs(struct dyno_cursor *cursor)
{
    const uint32_t count = cursor_u32(cursor);
    if (!cursor_ok(cursor) || count == DYNO_ENGINE_NONE)
        return (struct dyno_strs){0};
    if (count > (size_t)(cursor->end - cursor->at) / sizeof(uint32_t)) {
        cursor_fail(cursor, DYNO_E_FORMAT, "%u texts cannot be in the bytes left", count);
        return (struct dyno_strs){0};
    }
    return (struct dyno_strs){.at = cursor_strs(cursor, count), .count = count};
}

static int32_t read_spelling(struct dyno_cursor *cursor, const struct dyno_attr *attr)
{
    const char *spelling = cursor_name(cursor);
    for (int32_t i = 0; cursor_ok(cursor) && attr->names[i] != NULL; i++)
        if (strcmp(attr->names[i], spelling) == 0)
            return i;
    cursor_fail(cursor, DYNO_E_UNSUPPORTED, "attribute %s has no value '%s' in this build",
                attr->name, spelling);
    return 0;
}

static const struct dyno_tensor *read_constant(struct dyno_cursor *cursor)
{
    if (limited_u8(cursor, "presence", 2) == 0)
        return NULL;
    struct dyno_tensor *tensor = cursor_alloc(cursor, 1, sizeof(*tensor));
    if (tensor == NULL)
        return NULL;
    tensor->dtype = (enum dyno_dtype)limited_u8(cursor, "element type", DYNO_DTYPE_COUNT);
    tensor->rank = limited_u8(cursor, "rank", DYNO_RANK_MAX + 1);
    for (int d = 0; d < tensor->rank; d++)
        tensor->dims[d] = cursor_i64(cursor);
    int64_t count = 0;
    size_t bytes = 0;
    if (!dyno_dims_count(tensor->dims, tensor->rank, &count) ||
        !dyno_dtype_bytes(tensor->dtype, (uint64_t)count, &bytes)) {
        cursor_fail(cursor, DYNO_E_FORMAT, "an attribute's tensor has an impossible shape");
        return NULL;
    }
    if (tensor->dtype == DYNO_STR) {
        if (count > (cursor->end - cursor->at) / (int64_t)sizeof(uint32_t)) {
            cursor_fail(cursor, DYNO_E_FORMAT, "an attribute's tensor is cut short");
            return NULL;
        }
        struct dyno_str *texts = cursor_alloc(cursor, (size_t)count, sizeof(*texts));
        for (int64_t i = 0; i < count && texts != NULL; i++)
            texts[i] = cursor_str(cursor);
        tensor->data = texts;
        return tensor;
    }
    const uint8_t *items = cursor_bytes(cursor, bytes);
    tensor->data = items != NULL ? cursor_alloc(cursor, bytes, 1) : NULL;
    if (tensor->data != NULL && bytes != 0)
        memcpy(tensor->data, items, bytes);
    return tensor;
}

static void read_value(struct dyno_cursor *cursor, const struct dyno_attr *attr, char *at)
{
    union {
        int64_t i64;
        float f32;
        int32_t i32;
        struct dyno_str str;
        struct dyno_i64s i64s;
        struct dyno_f32s f32s;
        struct dyno_strs strs;
        const struct dyno_tensor *tensor;
    } value;
    const void *items = NULL;
    uint32_t count = 0;
    memset(&value, 0, sizeof(value));
    size_t bytes = 0;
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        value.i64 = cursor_i64(cursor);
        bytes = sizeof(value.i64);
        break;
    case DYNO_ATTR_F32:
        value.f32 = cursor_f32(cursor);
        bytes = sizeof(value.f32);
        break;
    case DYNO_ATTR_ENUM:
        value.i32 = read_spelling(cursor, attr);
        bytes = sizeof(value.i32);
        break;
    case DYNO_ATTR_STR:
        value.str = cursor_str(cursor);
        bytes = sizeof(value.str);
        break;
    case DYNO_ATTR_I64S:
        read_list(cursor, sizeof(int64_t), &items, &count);
        value.i64s = (struct dyno_i64s){.at = items, .count = count};
        bytes = sizeof(value.i64s);
        break;
    case DYNO_ATTR_F32S:
        read_list(cursor, sizeof(float), &items, &count);
        value.f32s = (struct dyno_f32s){.at = items, .count = count};
        bytes = sizeof(value.f32s);
        break;
    case DYNO_ATTR_STRS:
        value.strs = read_strs(cursor);
        bytes = sizeof(value.strs);
        break;
    case DYNO_ATTR_TENSOR:
        value.tensor = read_constant(cursor);
        bytes = sizeof(value.tensor);
        break;
    }
    memcpy(at, &value, bytes);
}

static void read_attrs(struct dyno_cursor *cursor, const struct dyno_op *op, struct dyno_step *step)
{
    const uint32_t count = cursor_count(cursor, 5);
    char *attrs = cursor_ok(cursor) ? dyno_op_attrs_create(op, cursor->reader->plan->arena) : NULL;
    if (cursor_ok(cursor) && attrs == NULL)
        cursor->reader->status = DYNO_NOMEM(cursor->reader->err);
    step->attrs = attrs;
    for (uint32_t i = 0; i < count && cursor_ok(cursor); i++) {
        const char *name = cursor_name(cursor);
        const unsigned kind = cursor_u8(cursor);
        size_t idx = 0;
        while (idx < op->attr_count && strcmp(op->attrs[idx].name, name) != 0)
            idx++;
        if (!cursor_ok(cursor))
            return;
        if (idx == op->attr_count || (unsigned)op->attrs[idx].kind != kind)
            cursor_fail(cursor, DYNO_E_UNSUPPORTED,
                        "step '%s': %s has no attribute '%s' of kind %u in this build", step->name,
                        op->onnx_name, name, kind);
        else
            read_value(cursor, &op->attrs[idx], attrs + op->attrs[idx].offset_bytes);
    }
}

/* --- tail --- */

static uint8_t read_pw(struct dyno_cursor *cursor)
{
    const char *name = cursor_name(cursor);
    for (unsigned i = 0; cursor_ok(cursor) && i < DYNO_PW_COUNT; i++)
        if (strcmp(dyno_pw_infos[i].name, name) == 0)
            return (uint8_t)i;
    cursor_fail(cursor, DYNO_E_UNSUPPORTED, "tail instruction '%s' is not in this build", name);
    return 0;
}

static void read_tail(struct dyno_cursor *cursor, struct dyno_tail *tail)
{
    const uint32_t count = cursor_u32(cursor);
    if (count > DYNO_TAIL_INSTRS_MAX) {
        cursor_fail(cursor, DYNO_E_FORMAT, "a tail of %u instructions, at most %d", count,
                    DYNO_TAIL_INSTRS_MAX);
        return;
    }
    tail->instr_count = count;
    for (uint32_t i = 0; i < count && cursor_ok(cursor); i++) {
        struct dyno_tail_instr *instr = &tail->instrs[i];
        instr->op = read_pw(cursor);
        for (int k = 0; k < 3; k++) {
            instr->operands[k].kind = cursor_u8(cursor);
            instr->operands[k].idx = cursor_u16(cursor);
            instr->operands[k].value = cursor_f32(cursor);
        }
        instr->p = cursor_f32(cursor);
        instr->q = cursor_f32(cursor);
    }
}

/* --- tactic --- */

struct dyno_layout dyno_engine_read_layout(struct dyno_cursor *cursor)
{
    static const uint8_t elems[] = {0, DYNO_F16, DYNO_BF16};
    const uint8_t both = cursor_u8(cursor);
    const uint8_t block = cursor_u8(cursor);
    const unsigned kind = both & 15U;
    const unsigned elem = both >> 4;
    if (kind > DYNO_LAYOUT_LAST || elem >= DYNO_COUNT(elems)) {
        cursor_fail(cursor, DYNO_E_FORMAT, "layout %u is unknown", both);
        return DYNO_ROW;
    }
    return (struct dyno_layout){.kind = (uint8_t)kind, .block = block, .elem = elems[elem]};
}

static void check_kernel(struct dyno_cursor *cursor, const struct dyno_step *step, const char *name,
                         uint32_t packing)
{
    const uint32_t id = step->tactic.kernel;
    const struct dyno_kernel *kernel = dyno_kernel_find(id);
    if (!cursor_ok(cursor))
        return;
    if (dyno_fnv1a32(name, strlen(name)) != id)
        cursor_fail(cursor, DYNO_E_FORMAT, "step '%s': kernel '%s' has not the id %08x", step->name,
                    name, id);
    else if (kernel == NULL || strcmp(kernel->name, name) != 0)
        cursor_fail(cursor, DYNO_E_UNSUPPORTED,
                    "step '%s' wants kernel '%s', which this build does not have: rebuild the "
                    "engine with this version",
                    step->name, name);
    else if (kernel->packing != packing)
        cursor_fail(cursor, DYNO_E_UNSUPPORTED,
                    "step '%s': weights for kernel '%s' are packed in form %u, this build reads "
                    "form %u: rebuild the engine with this version",
                    step->name, name, packing, kernel->packing);
    else if ((kernel->isa_mask & ~cursor->reader->isa_mask) != 0)
        cursor_fail(cursor, DYNO_E_FORMAT,
                    "step '%s': kernel '%s' wants more of the machine than the header says",
                    step->name, name);
}

static void read_tactic(struct dyno_cursor *cursor, struct dyno_step *step)
{
    struct dyno_tactic *tactic = &step->tactic;
    const char *name = cursor_name(cursor);
    tactic->kernel = cursor_u32(cursor);
    check_kernel(cursor, step, name, cursor_u32(cursor));
    for (int i = 0; i < DYNO_TACTIC_CFGS; i++)
        tactic->cfg[i] = cursor_u32(cursor);
    tactic->flags = cursor_u32(cursor);
    tactic->est_us = cursor_f32(cursor);
    for (uint32_t i = 0; i < step->in_count && i < DYNO_STEP_INS_MAX; i++)
        tactic->in_layouts[i] = dyno_engine_read_layout(cursor);
    tactic->out_layout = dyno_engine_read_layout(cursor);
    step->packed = cursor_blob(cursor, &tactic->packed_bytes);
}

/* --- the whole --- */

static uint32_t *read_ids(struct dyno_cursor *cursor, uint32_t *count_out)
{
    const uint32_t count = cursor_count(cursor, sizeof(uint32_t));
    uint32_t *ids = cursor_alloc(cursor, count, sizeof(*ids));
    const uint8_t *at = cursor_bytes(cursor, (uint64_t)count * sizeof(*ids));
    if (ids == NULL || at == NULL)
        return NULL;
    if (count != 0)
        memcpy(ids, at, count * sizeof(*ids));
    *count_out = count;
    return ids;
}

static void read_origins(struct dyno_cursor *cursor, struct dyno_step *step)
{
    const uint32_t count = cursor_count(cursor, sizeof(uint32_t));
    const char **origins = cursor_alloc(cursor, count, sizeof(*origins));
    for (uint32_t i = 0; i < count && origins != NULL; i++)
        origins[i] = cursor_name(cursor);
    step->origins = origins;
    step->origin_count = origins != NULL ? count : 0;
}

void dyno_engine_read_step(struct dyno_cursor *cursor, struct dyno_step *step)
{
    step->name = cursor_name(cursor);
    read_origins(cursor, step);
    const char *domain = cursor_name(cursor);
    const char *op_name = cursor_name(cursor);
    if (!cursor_ok(cursor))
        return;
    const int op_id = dyno_op_find(domain, op_name);
    if (op_id < 0 || (dyno_ops[op_id]->flags & DYNO_OP_REGIONS) != 0) {
        cursor_fail(cursor, DYNO_E_UNSUPPORTED,
                    "step '%s': op '%s' of domain '%s' is not in this build", step->name, op_name,
                    domain);
        return;
    }
    step->op = (enum dyno_op_id)op_id;
    read_attrs(cursor, dyno_ops[op_id], step);
    step->own_in_count = cursor_u32(cursor);
    step->ins = read_ids(cursor, &step->in_count);
    step->outs = read_ids(cursor, &step->out_count);
    read_tail(cursor, &step->tail);
    read_tactic(cursor, step);
}
