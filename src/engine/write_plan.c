/* write_plan.c - records of an engine file; see docs/engine-format.md. */
#include "engine/write_plan.h"

#include <string.h>

#include "base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are written as they lie in memory");

#define CPU_NAME_BYTES 128

/* --- numbers and texts --- */

static void put_u8(struct dyno_strbuf *out, unsigned value)
{
    const char byte = (char)(uint8_t)value;
    dyno_strbuf_add(out, &byte, 1);
}

static void put_u16(struct dyno_strbuf *out, uint16_t value)
{
    dyno_strbuf_add(out, (const char *)&value, sizeof(value));
}

static void put_u32(struct dyno_strbuf *out, uint32_t value)
{
    dyno_strbuf_add(out, (const char *)&value, sizeof(value));
}

static void put_u64(struct dyno_strbuf *out, uint64_t value)
{
    dyno_strbuf_add(out, (const char *)&value, sizeof(value));
}

static void put_f32(struct dyno_strbuf *out, float value)
{
    dyno_strbuf_add(out, (const char *)&value, sizeof(value));
}

/* The index of a text among the strings, which it joins when new; `text` outlives `parts`. */
static void put_str(struct dyno_engine_parts *parts, struct dyno_strbuf *out, const char *text,
                    size_t bytes)
{
    struct dyno_strbuf *strings = &parts->sections[DYNO_SECTION_STRINGS];
    uint64_t idx = parts->string_count;
    if (!dyno_map_find(&parts->strings, text, bytes, &idx)) {
        parts->failed |= !dyno_map_put(&parts->strings, text, bytes, idx);
        parts->string_count++;
        put_u32(strings, (uint32_t)bytes);
        dyno_strbuf_add(strings, text, bytes);
        put_u8(strings, 0);
    }
    put_u32(out, (uint32_t)idx);
}

static void put_name(struct dyno_engine_parts *parts, struct dyno_strbuf *out, const char *name)
{
    put_str(parts, out, name, strlen(name));
}

static void put_expr(const struct dyno_engine_parts *parts, struct dyno_strbuf *out, dyno_expr e)
{
    put_u32(out, e == DYNO_EXPR_NONE ? DYNO_ENGINE_NONE : parts->expr_ids[e] - 1);
}

/* Offset and size of a block, which joins the data section. */
static void put_blob(struct dyno_engine_parts *parts, struct dyno_strbuf *out, const void *data,
                     uint64_t bytes)
{
    if (bytes == 0) {
        put_u64(out, 0);
        put_u64(out, 0);
        return;
    }
    if (parts->blob_count == parts->blob_capacity) {
        const size_t capacity = parts->blob_capacity != 0 ? parts->blob_capacity * 2 : 64;
        struct dyno_engine_blob *moved = dyno_realloc(
            parts->blobs, parts->blob_count * sizeof(*moved), capacity, sizeof(*moved));
        if (moved == NULL) {
            parts->failed = true;
            return;
        }
        parts->blobs = moved;
        parts->blob_capacity = capacity;
    }
    const uint64_t align = DYNO_ENGINE_ALIGN_BYTES;
    const uint64_t offset = (parts->data_bytes + align - 1) / align * align;
    parts->blobs[parts->blob_count++] =
        (struct dyno_engine_blob){.data = data, .bytes = bytes, .offset = offset};
    parts->data_bytes = offset + bytes;
    put_u64(out, offset);
    put_u64(out, bytes);
}

/* --- expressions --- */

static uint32_t operand_count(enum dyno_expr_op op)
{
    if (op == DYNO_EXPR_CONST || op == DYNO_EXPR_SYMBOL)
        return 0;
    return op == DYNO_EXPR_SELECT ? 3 : 2;
}

static void need(struct dyno_engine_parts *parts, dyno_expr e)
{
    if (e != DYNO_EXPR_NONE)
        parts->expr_ids[e] = 1;
}

/* Number the expressions that the plan uses, in their order. */
static enum dyno_status number_exprs(struct dyno_engine_parts *parts, const struct dyno_plan *plan,
                                     uint32_t *count_out, struct dyno_err *err)
{
    const size_t count = dyno_exprs_count(plan->exprs);
    parts->expr_ids = dyno_alloc(count + 1, sizeof(*parts->expr_ids));
    if (parts->expr_ids == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        const struct dyno_plan_tensor *tensor = &plan->tensors[i];
        for (int d = 0; d < tensor->rank; d++)
            need(parts, tensor->dims[d]);
        if (tensor->base != DYNO_NO_TENSOR)
            need(parts, tensor->view_offset);
        for (uint32_t k = 0; tensor->role == DYNO_ROLE_HOST && k < tensor->elem_count; k++)
            need(parts, tensor->elems[k]);
    }
    for (size_t i = count; i-- > 0;) {
        const struct dyno_expr_node node = dyno_exprs_node(plan->exprs, (dyno_expr)i);
        const dyno_expr operands[3] = {node.a, node.b, node.c};
        for (uint32_t k = 0; parts->expr_ids[i] != 0 && k < operand_count(node.op); k++)
            need(parts, operands[k]);
    }
    *count_out = 0;
    for (size_t i = 0; i < count; i++)
        if (parts->expr_ids[i] != 0)
            parts->expr_ids[i] = ++*count_out;
    if (*count_out > DYNO_ENGINE_EXPRS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "the plan uses %u expressions, an engine holds %u",
                         *count_out, DYNO_ENGINE_EXPRS_MAX);
    return DYNO_OK;
}

static enum dyno_status put_exprs(struct dyno_engine_parts *parts, const struct dyno_plan *plan,
                                  struct dyno_err *err)
{
    struct dyno_strbuf *out = &parts->sections[DYNO_SECTION_EXPRS];
    uint32_t node_count = 0;
    DYNO_TRY(number_exprs(parts, plan, &node_count, err));
    const size_t symbol_count = dyno_exprs_symbol_count(plan->exprs);
    put_u32(out, (uint32_t)symbol_count);
    for (size_t i = 0; i < symbol_count; i++) {
        int64_t min = 0;
        int64_t max = 0;
        put_name(parts, out, dyno_exprs_symbol(plan->exprs, i, &min, &max));
        put_u64(out, (uint64_t)min);
        put_u64(out, (uint64_t)max);
    }
    put_u32(out, node_count);
    for (size_t i = 0; i < dyno_exprs_count(plan->exprs); i++) {
        if (parts->expr_ids[i] == 0)
            continue;
        const struct dyno_expr_node node = dyno_exprs_node(plan->exprs, (dyno_expr)i);
        const dyno_expr operands[3] = {node.a, node.b, node.c};
        put_u8(out, node.op);
        if (operand_count(node.op) == 0)
            put_u64(out, (uint64_t)node.value);
        for (uint32_t k = 0; k < operand_count(node.op); k++)
            put_expr(parts, out, operands[k]);
    }
    return DYNO_OK;
}

/* --- layouts --- */

/* Stored types besides the tensor's own have numbers of their own. */
static void put_layout(struct dyno_strbuf *out, struct dyno_layout layout)
{
    const unsigned elem = layout.elem == DYNO_F16 ? 1U : (layout.elem == DYNO_BF16 ? 2U : 0U);
    put_u8(out, layout.kind | elem << 4);
    put_u8(out, layout.block);
}

/* --- tensors --- */

static void put_tensor(struct dyno_engine_parts *parts, const struct dyno_plan_tensor *tensor)
{
    struct dyno_strbuf *out = &parts->sections[DYNO_SECTION_TENSORS];
    const bool is_weight = tensor->role == DYNO_ROLE_WEIGHT;
    const bool is_text = is_weight && tensor->dtype == DYNO_STR && tensor->data != NULL;
    put_name(parts, out, tensor->name);
    put_u8(out, tensor->role);
    put_u8(out, tensor->dtype);
    put_layout(out, tensor->layout);
    put_u8(out, (uint8_t)tensor->rank);
    for (int d = 0; d < tensor->rank; d++)
        put_expr(parts, out, tensor->dims[d]);
    put_u32(out, tensor->base);
    put_expr(parts, out, tensor->base != DYNO_NO_TENSOR ? tensor->view_offset : DYNO_EXPR_NONE);
    put_blob(parts, out, tensor->data, is_weight && !is_text ? tensor->data_bytes : 0);
    const struct dyno_str *texts = tensor->data;
    const size_t text_count = is_text ? (size_t)(tensor->data_bytes / sizeof(struct dyno_str)) : 0;
    put_u32(out, (uint32_t)text_count);
    for (size_t i = 0; i < text_count; i++)
        put_str(parts, out, texts[i].text, texts[i].bytes);
    const uint32_t elem_count = tensor->role == DYNO_ROLE_HOST ? tensor->elem_count : 0;
    put_u32(out, elem_count);
    for (uint32_t i = 0; i < elem_count; i++)
        put_expr(parts, out, tensor->elems[i]);
}

/* --- steps --- */

static void put_constant(struct dyno_engine_parts *parts, struct dyno_strbuf *out,
                         const struct dyno_tensor *tensor)
{
    put_u8(out, tensor != NULL);
    if (tensor == NULL)
        return;
    put_u8(out, tensor->dtype);
    put_u8(out, (uint8_t)tensor->rank);
    for (int d = 0; d < tensor->rank; d++)
        put_u64(out, (uint64_t)tensor->dims[d]);
    const size_t count = (size_t)dyno_tensor_count(tensor);
    size_t bytes = 0;
    if (tensor->dtype != DYNO_STR) {
        DYNO_ASSERT(dyno_dtype_bytes(tensor->dtype, count, &bytes));
        dyno_strbuf_add(out, tensor->data, bytes);
        return;
    }
    const struct dyno_str *texts = tensor->data;
    for (size_t i = 0; i < count; i++)
        put_str(parts, out, texts[i].text, texts[i].bytes);
}

static void put_list(struct dyno_strbuf *out, const void *at, uint32_t count, size_t item_bytes)
{
    put_u32(out, at != NULL ? count : DYNO_ENGINE_NONE);
    if (at != NULL)
        dyno_strbuf_add(out, at, count * item_bytes);
}

static void put_strs(struct dyno_engine_parts *parts, struct dyno_strbuf *out,
                     const struct dyno_strs *strs)
{
    put_u32(out, strs->at != NULL ? strs->count : DYNO_ENGINE_NONE);
    for (uint32_t i = 0; strs->at != NULL && i < strs->count; i++)
        put_str(parts, out, strs->at[i].text, strs->at[i].bytes);
}

static enum dyno_status put_spelling(struct dyno_engine_parts *parts, struct dyno_strbuf *out,
                                     const struct dyno_step *step, const struct dyno_attr *attr,
                                     int32_t value, struct dyno_err *err)
{
    int32_t count = 0;
    while (attr->names[count] != NULL)
        count++;
    if (value < 0 || value >= count)
        return DYNO_FAIL(err, DYNO_E_ARG, "step '%s': attribute %s is %d, it has %d spellings",
                         step->name, attr->name, value, count);
    put_name(parts, out, attr->names[value]);
    return DYNO_OK;
}

static enum dyno_status put_attr(struct dyno_engine_parts *parts, struct dyno_strbuf *out,
                                 const struct dyno_step *step, const struct dyno_attr *attr,
                                 struct dyno_err *err)
{
    const char *at = (const char *)step->attrs + attr->offset_bytes;
    union {
        int64_t i64;
        float f32;
        int32_t i32;
        struct dyno_str str;
        struct dyno_i64s i64s;
        struct dyno_f32s f32s;
        struct dyno_strs strs;
        const struct dyno_tensor *tensor;
    } value = {0};
    put_name(parts, out, attr->name);
    put_u8(out, attr->kind);
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        memcpy(&value.i64, at, sizeof(value.i64));
        put_u64(out, (uint64_t)value.i64);
        break;
    case DYNO_ATTR_F32:
        memcpy(&value.f32, at, sizeof(value.f32));
        put_f32(out, value.f32);
        break;
    case DYNO_ATTR_ENUM:
        memcpy(&value.i32, at, sizeof(value.i32));
        return put_spelling(parts, out, step, attr, value.i32, err);
    case DYNO_ATTR_STR:
        memcpy(&value.str, at, sizeof(value.str));
        put_str(parts, out, value.str.text, value.str.bytes);
        break;
    case DYNO_ATTR_I64S:
        memcpy(&value.i64s, at, sizeof(value.i64s));
        put_list(out, value.i64s.at, value.i64s.count, sizeof(int64_t));
        break;
    case DYNO_ATTR_F32S:
        memcpy(&value.f32s, at, sizeof(value.f32s));
        put_list(out, value.f32s.at, value.f32s.count, sizeof(float));
        break;
    case DYNO_ATTR_STRS:
        memcpy(&value.strs, at, sizeof(value.strs));
        put_strs(parts, out, &value.strs);
        break;
    case DYNO_ATTR_TENSOR:
        memcpy(&value.tensor, at, sizeof(value.tensor));
        put_constant(parts, out, value.tensor);
        break;
    }
    return DYNO_OK;
}

static void put_tail(struct dyno_engine_parts *parts, struct dyno_strbuf *out,
                     const struct dyno_tail *tail)
{
    put_u32(out, tail->instr_count);
    for (uint32_t i = 0; i < tail->instr_count; i++) {
        const struct dyno_tail_instr *instr = &tail->instrs[i];
        put_name(parts, out, dyno_pw_infos[instr->op].name);
        for (int k = 0; k < 3; k++) {
            put_u8(out, instr->operands[k].kind);
            put_u16(out, instr->operands[k].idx);
            put_f32(out, instr->operands[k].value);
        }
        put_f32(out, instr->p);
        put_f32(out, instr->q);
    }
}

static enum dyno_status put_tactic(struct dyno_engine_parts *parts, struct dyno_strbuf *out,
                                   const struct dyno_step *step, struct dyno_err *err)
{
    const struct dyno_tactic *tactic = &step->tactic;
    const struct dyno_kernel *kernel = dyno_kernel_find(tactic->kernel);
    if (kernel == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "step '%s': kernel %08x is not in this build",
                         step->name, tactic->kernel);
    if (tactic->packed_bytes != 0 && step->packed == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "step '%s': its weights are not packed yet", step->name);
    parts->isa_mask |= kernel->isa_mask;
    put_name(parts, out, kernel->name);
    put_u32(out, tactic->kernel);
    put_u32(out, kernel->packing);
    for (int i = 0; i < DYNO_TACTIC_CFGS; i++)
        put_u32(out, tactic->cfg[i]);
    put_u32(out, tactic->flags);
    put_f32(out, tactic->est_us);
    for (uint32_t i = 0; i < step->in_count && i < DYNO_STEP_INS_MAX; i++)
        put_layout(out, tactic->in_layouts[i]);
    put_layout(out, tactic->out_layout);
    put_blob(parts, out, step->packed, tactic->packed_bytes);
    return DYNO_OK;
}

static enum dyno_status put_step(struct dyno_engine_parts *parts, const struct dyno_step *step,
                                 struct dyno_err *err)
{
    struct dyno_strbuf *out = &parts->sections[DYNO_SECTION_STEPS];
    const struct dyno_op *op = dyno_ops[step->op];
    if ((op->flags & DYNO_OP_REGIONS) != 0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "step '%s': %s holds sub-graphs, which engine files cannot hold",
                         step->name, op->onnx_name);
    put_name(parts, out, step->name);
    put_u32(out, step->origin_count);
    for (uint32_t i = 0; i < step->origin_count; i++)
        put_name(parts, out, step->origins[i]);
    put_name(parts, out, op->domain);
    put_name(parts, out, op->onnx_name);
    put_u32(out, (uint32_t)op->attr_count);
    for (size_t i = 0; i < op->attr_count; i++)
        DYNO_TRY(put_attr(parts, out, step, &op->attrs[i], err));
    put_u32(out, step->own_in_count);
    put_list(out, step->ins != NULL ? (const void *)step->ins : "", step->in_count,
             sizeof(uint32_t));
    put_list(out, step->outs, step->out_count, sizeof(uint32_t));
    put_tail(parts, out, &step->tail);
    return put_tactic(parts, out, step, err);
}

/* --- the rest --- */

static void put_ios(struct dyno_engine_parts *parts, const struct dyno_plan *plan,
                    const struct dyno_io *ios, uint32_t count)
{
    struct dyno_strbuf *out = &parts->sections[DYNO_SECTION_IOS];
    put_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        put_name(parts, out, ios[i].name);
        put_u32(out, ios[i].tensor);
        for (int d = 0; d < plan->tensors[ios[i].tensor].rank; d++) {
            put_u64(out, (uint64_t)ios[i].min[d]);
            put_u64(out, (uint64_t)ios[i].opt[d]);
            put_u64(out, (uint64_t)ios[i].max[d]);
        }
    }
}

/* Programs are blocks of the data, each once; steps name them by number. */
static void put_gpu(struct dyno_engine_parts *parts, const struct dyno_plan *plan)
{
    struct dyno_strbuf *out = &parts->sections[DYNO_SECTION_GPU];
    const struct dyno_gpu *gpu = &plan->gpu;
    put_u32(out, (uint32_t)gpu->compute);
    if (gpu->compute == 0)
        return;
    put_name(parts, out, gpu->name);
    put_u32(out, (uint32_t)gpu->driver_version);
    put_u32(out, (uint32_t)gpu->sm_count);
    put_u32(out, (uint32_t)gpu->clock_khz);
    put_u64(out, gpu->memory_bytes);
    put_u64(out, gpu->l2_bytes);
    put_u64(out, gpu->shared_bytes);
    put_u32(out, plan->program_count);
    for (uint32_t i = 0; i < plan->program_count; i++) {
        put_name(parts, out, plan->programs[i].source);
        put_name(parts, out, plan->programs[i].choices);
        put_blob(parts, out, plan->programs[i].image, plan->programs[i].image_bytes);
    }
    for (uint32_t i = 0; i < plan->step_count; i++)
        put_u32(out, plan->steps[i].program);
}

static void put_info(struct dyno_engine_parts *parts, const struct dyno_plan *plan,
                     const struct dyno_target *target, const char *cpu_name)
{
    struct dyno_strbuf *out = &parts->sections[DYNO_SECTION_INFO];
    put_name(parts, out, plan->name);
    put_name(parts, out, DYNO_VERSION);
    put_u32(out, plan->flags);
    put_f32(out, plan->accuracy_budget);
    put_f32(out, plan->accuracy_error);
    put_name(parts, out, cpu_name);
    put_u64(out, target->l1_bytes);
    put_u64(out, target->l2_bytes);
    put_u64(out, target->l3_bytes);
    put_u32(out, (uint32_t)target->thread_count);
}

enum dyno_status dyno_engine_parts_init(struct dyno_engine_parts *parts,
                                        const struct dyno_plan *plan,
                                        const struct dyno_target *target, struct dyno_err *err)
{
    char cpu_name[CPU_NAME_BYTES];
    dyno_cpu_name(cpu_name, sizeof(cpu_name));
    struct dyno_strbuf *strings = &parts->sections[DYNO_SECTION_STRINGS];
    put_u32(strings, 0);
    put_info(parts, plan, target, cpu_name);
    DYNO_TRY(put_exprs(parts, plan, err));
    put_u32(&parts->sections[DYNO_SECTION_TENSORS], plan->tensor_count);
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        put_tensor(parts, &plan->tensors[i]);
    put_u32(&parts->sections[DYNO_SECTION_STEPS], plan->step_count);
    for (uint32_t i = 0; i < plan->step_count; i++)
        DYNO_TRY(put_step(parts, &plan->steps[i], err));
    put_ios(parts, plan, plan->inputs, plan->input_count);
    put_ios(parts, plan, plan->outputs, plan->output_count);
    put_gpu(parts, plan);
    dyno_map_fini(&parts->strings); /* holds the processor's name, which ends here */
    for (int i = 0; i < DYNO_SECTION_END; i++)
        parts->failed |= !dyno_strbuf_ok(&parts->sections[i]);
    if (parts->failed)
        return DYNO_NOMEM(err);
    memcpy(strings->text, &parts->string_count, sizeof(parts->string_count));
    return DYNO_OK;
}

void dyno_engine_parts_fini(struct dyno_engine_parts *parts)
{
    for (int i = 0; i < DYNO_SECTION_END; i++)
        dyno_strbuf_fini(&parts->sections[i]);
    dyno_map_fini(&parts->strings);
    dyno_free(parts->expr_ids);
    dyno_free(parts->blobs);
    *parts = (struct dyno_engine_parts){0};
}
