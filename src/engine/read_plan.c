/* read_plan.c - sections of an engine file into a plan. */
#include <stdio.h>
#include <string.h>

#include "base/cpus.h"
#include "engine/cursor.h"

#define TENSOR_BYTES_MIN 33U /* of one record without dimensions and elements */
#define STEP_BYTES_MIN   80U
#define CPU_NAME_BYTES   128

static void read_strings(struct dyno_engine_reader *reader)
{
    struct dyno_cursor cursor = cursor_open(reader, DYNO_SECTION_STRINGS);
    const uint32_t count = cursor_count(&cursor, 5);
    struct dyno_str *texts = cursor_alloc(&cursor, count, sizeof(*texts));
    for (uint32_t i = 0; i < count && cursor_ok(&cursor); i++) {
        const uint32_t bytes = cursor_u32(&cursor);
        const char *text = (const char *)cursor_bytes(&cursor, (uint64_t)bytes + 1);
        if (text == NULL)
            return;
        if (text[bytes] != 0)
            cursor_fail(&cursor, DYNO_E_FORMAT, "text %u has no NUL behind it", i);
        texts[i] = (struct dyno_str){.text = text, .bytes = bytes};
    }
    reader->texts = texts;
    reader->text_count = count;
    cursor_close(&cursor);
}

/* --- expressions --- */

static dyno_expr build_expr(struct dyno_exprs *pool, enum dyno_expr_op op, int64_t value,
                            const dyno_expr *symbols, const dyno_expr *args)
{
    switch (op) {
    case DYNO_EXPR_CONST:
        return dyno_expr_const(pool, value);
    case DYNO_EXPR_SYMBOL:
        return symbols[value];
    case DYNO_EXPR_ADD:
        return dyno_expr_add(pool, args[0], args[1]);
    case DYNO_EXPR_MUL:
        return dyno_expr_mul(pool, args[0], args[1]);
    case DYNO_EXPR_FLOORDIV:
        return dyno_expr_floordiv(pool, args[0], args[1]);
    case DYNO_EXPR_MOD:
        return dyno_expr_mod(pool, args[0], args[1]);
    case DYNO_EXPR_MIN:
        return dyno_expr_min(pool, args[0], args[1]);
    case DYNO_EXPR_MAX:
        return dyno_expr_max(pool, args[0], args[1]);
    case DYNO_EXPR_EQ:
        return dyno_expr_eq(pool, args[0], args[1]);
    case DYNO_EXPR_LT:
        return dyno_expr_lt(pool, args[0], args[1]);
    case DYNO_EXPR_SELECT:
        return dyno_expr_select(pool, args[0], args[1], args[2]);
    case DYNO_EXPR_OP_COUNT:
        break;
    }
    return DYNO_EXPR_NONE;
}

static dyno_expr *read_symbols(struct dyno_cursor *cursor, uint32_t *count_out)
{
    struct dyno_exprs *pool = cursor->reader->plan->exprs;
    const uint32_t count = cursor_count(cursor, 20);
    dyno_expr *symbols = cursor_alloc(cursor, count, sizeof(*symbols));
    for (uint32_t i = 0; i < count && cursor_ok(cursor); i++) {
        const char *name = cursor_name(cursor);
        const int64_t min = cursor_i64(cursor);
        const int64_t max = cursor_i64(cursor);
        if (min > max)
            cursor_fail(cursor, DYNO_E_FORMAT, "symbol '%s' has the range %lld..%lld", name,
                        (long long)min, (long long)max);
        if (!cursor_ok(cursor))
            break;
        symbols[i] = dyno_expr_symbol(pool, name, min, max);
        if (dyno_exprs_out_of_memory(pool))
            cursor_fail(cursor, DYNO_E_NOMEM, "out of memory");
        else if (dyno_exprs_symbol_count(pool) != i + 1U)
            cursor_fail(cursor, DYNO_E_FORMAT, "symbol '%s' appears twice", name);
    }
    *count_out = count;
    return symbols;
}

static dyno_expr read_expr(struct dyno_cursor *cursor, const dyno_expr *symbols,
                           uint32_t symbol_count)
{
    struct dyno_exprs *pool = cursor->reader->plan->exprs;
    const uint8_t op = cursor_u8(cursor);
    int64_t value = 0;
    dyno_expr args[3] = {DYNO_EXPR_NONE, DYNO_EXPR_NONE, DYNO_EXPR_NONE};
    if (op >= DYNO_EXPR_OP_COUNT)
        cursor_fail(cursor, DYNO_E_FORMAT, "expression operator %u is unknown", op);
    if (op == DYNO_EXPR_CONST || op == DYNO_EXPR_SYMBOL) {
        value = cursor_i64(cursor);
    } else {
        args[0] = cursor_expr(cursor);
        args[1] = cursor_expr(cursor);
        args[2] = op == DYNO_EXPR_SELECT ? cursor_expr(cursor) : DYNO_EXPR_NONE;
    }
    if (op == DYNO_EXPR_SYMBOL && (value < 0 || value >= symbol_count))
        cursor_fail(cursor, DYNO_E_FORMAT, "symbol %lld of %u", (long long)value, symbol_count);
    if (!cursor_ok(cursor))
        return DYNO_EXPR_NONE;
    const dyno_expr e = build_expr(pool, (enum dyno_expr_op)op, value, symbols, args);
    if (dyno_exprs_out_of_memory(pool))
        cursor_fail(cursor, DYNO_E_NOMEM, "out of memory");
    else if (e == DYNO_EXPR_NONE)
        cursor_fail(cursor, DYNO_E_FORMAT, "an expression has no value");
    return e;
}

static void read_exprs(struct dyno_engine_reader *reader)
{
    struct dyno_cursor cursor = cursor_open(reader, DYNO_SECTION_EXPRS);
    uint32_t symbol_count = 0;
    const dyno_expr *symbols = read_symbols(&cursor, &symbol_count);
    const uint32_t count = cursor_count(&cursor, 9);
    if (count > DYNO_ENGINE_EXPRS_MAX)
        cursor_fail(&cursor, DYNO_E_LIMIT, "%u expressions, at most %u", count,
                    DYNO_ENGINE_EXPRS_MAX);
    reader->exprs = cursor_alloc(&cursor, count, sizeof(*reader->exprs));
    for (uint32_t i = 0; i < count && cursor_ok(&cursor); i++) {
        reader->exprs[i] = read_expr(&cursor, symbols, symbol_count);
        reader->expr_count = i + 1;
    }
    cursor_close(&cursor);
}

/* --- tensors --- */

static void read_contents(struct dyno_cursor *cursor, struct dyno_plan_tensor *tensor)
{
    const void *data = cursor_blob(cursor, &tensor->data_bytes);
    const uint32_t text_count = cursor_count(cursor, sizeof(uint32_t));
    const bool is_text = tensor->dtype == DYNO_STR && tensor->role == DYNO_ROLE_WEIGHT;
    if ((text_count != 0 && !is_text) || (is_text && data != NULL))
        cursor_fail(cursor, DYNO_E_FORMAT, "tensor '%s': texts and type do not fit", tensor->name);
    if (text_count != 0) {
        data = cursor_strs(cursor, text_count);
        tensor->data_bytes = text_count * sizeof(struct dyno_str);
    }
    tensor->data = data;
    if (data != NULL && tensor->role != DYNO_ROLE_WEIGHT)
        cursor_fail(cursor, DYNO_E_FORMAT, "tensor '%s' has data but is no weight", tensor->name);
    const uint32_t elem_count = cursor_count(cursor, sizeof(uint32_t));
    dyno_expr *elems = cursor_alloc(cursor, elem_count, sizeof(*elems));
    for (uint32_t i = 0; i < elem_count && elems != NULL; i++)
        elems[i] = cursor_expr(cursor);
    tensor->elems = elem_count != 0 ? elems : NULL;
    tensor->elem_count = elem_count;
}

static void read_tensor(struct dyno_cursor *cursor, struct dyno_plan_tensor *tensor)
{
    tensor->name = cursor_name(cursor);
    const uint8_t role = cursor_u8(cursor);
    const uint8_t dtype = cursor_u8(cursor);
    tensor->layout = dyno_engine_read_layout(cursor);
    const uint8_t rank_byte = cursor_u8(cursor);
    const int rank = rank_byte < 128 ? rank_byte : rank_byte - 256;
    if (role > DYNO_ROLE_HOST || dtype >= DYNO_DTYPE_COUNT || rank < -1 || rank > DYNO_RANK_MAX) {
        cursor_fail(cursor, DYNO_E_FORMAT, "tensor '%s': role %u, type %u or rank %d is unknown",
                    tensor->name, role, dtype, rank);
        return;
    }
    tensor->role = (enum dyno_role)role;
    tensor->dtype = (enum dyno_dtype)dtype;
    tensor->rank = rank;
    for (int d = 0; d < DYNO_RANK_MAX; d++)
        tensor->dims[d] = d < rank ? cursor_expr(cursor) : DYNO_EXPR_NONE;
    tensor->base = cursor_u32(cursor);
    tensor->view_offset = cursor_expr(cursor);
    read_contents(cursor, tensor);
}

static void read_tensors(struct dyno_engine_reader *reader)
{
    struct dyno_cursor cursor = cursor_open(reader, DYNO_SECTION_TENSORS);
    struct dyno_plan *plan = reader->plan;
    const uint32_t count = cursor_count(&cursor, TENSOR_BYTES_MIN);
    plan->tensors = cursor_alloc(&cursor, count, sizeof(*plan->tensors));
    for (uint32_t i = 0; i < count && cursor_ok(&cursor); i++)
        read_tensor(&cursor, &plan->tensors[i]);
    plan->tensor_count = count;
    cursor_close(&cursor);
}

/* --- steps, inputs, outputs --- */

static void read_steps(struct dyno_engine_reader *reader)
{
    struct dyno_cursor cursor = cursor_open(reader, DYNO_SECTION_STEPS);
    struct dyno_plan *plan = reader->plan;
    const uint32_t count = cursor_count(&cursor, STEP_BYTES_MIN);
    plan->steps = cursor_alloc(&cursor, count, sizeof(*plan->steps));
    for (uint32_t i = 0; i < count && cursor_ok(&cursor); i++)
        dyno_engine_read_step(&cursor, &plan->steps[i]);
    plan->step_count = count;
    cursor_close(&cursor);
}

static struct dyno_io *read_io_list(struct dyno_cursor *cursor, uint32_t *count_out)
{
    const struct dyno_plan *plan = cursor->reader->plan;
    const uint32_t count = cursor_count(cursor, 8);
    struct dyno_io *ios = cursor_alloc(cursor, count, sizeof(*ios));
    for (uint32_t i = 0; i < count && cursor_ok(cursor); i++) {
        ios[i].name = cursor_name(cursor);
        ios[i].tensor = cursor_u32(cursor);
        if (ios[i].tensor >= plan->tensor_count)
            cursor_fail(cursor, DYNO_E_FORMAT, "'%s' is tensor %u of %u", ios[i].name,
                        ios[i].tensor, plan->tensor_count);
        const int rank = cursor_ok(cursor) ? plan->tensors[ios[i].tensor].rank : 0;
        for (int d = 0; d < rank; d++) {
            ios[i].min[d] = cursor_i64(cursor);
            ios[i].opt[d] = cursor_i64(cursor);
            ios[i].max[d] = cursor_i64(cursor);
        }
    }
    *count_out = count;
    return ios;
}

static void read_ios(struct dyno_engine_reader *reader)
{
    struct dyno_cursor cursor = cursor_open(reader, DYNO_SECTION_IOS);
    reader->plan->inputs = read_io_list(&cursor, &reader->plan->input_count);
    reader->plan->outputs = read_io_list(&cursor, &reader->plan->output_count);
    cursor_close(&cursor);
}

/* --- the GPU --- */

static int limited_int(struct dyno_cursor *cursor, const char *what, uint32_t most)
{
    const uint32_t value = cursor_u32(cursor);
    if (value > most)
        cursor_fail(cursor, DYNO_E_FORMAT, "%s is %u, more than %u", what, value, most);
    return cursor_ok(cursor) ? (int)value : 0;
}

static void read_programs(struct dyno_cursor *cursor, struct dyno_plan *plan)
{
    const uint32_t count = cursor_count(cursor, 24);
    plan->programs = cursor_alloc(cursor, count, sizeof(*plan->programs));
    for (uint32_t i = 0; i < count && cursor_ok(cursor); i++) {
        struct dyno_program *program = &plan->programs[i];
        program->source = cursor_name(cursor);
        program->choices = cursor_name(cursor);
        program->image = cursor_blob(cursor, &program->image_bytes);
        if (cursor_ok(cursor) && program->image == NULL)
            cursor_fail(cursor, DYNO_E_FORMAT, "program %u ('%s') is empty", i + 1,
                        program->source);
    }
    plan->program_count = cursor_ok(cursor) ? count : 0;
}

static void read_gpu(struct dyno_engine_reader *reader)
{
    struct dyno_cursor cursor = cursor_open(reader, DYNO_SECTION_GPU);
    struct dyno_plan *plan = reader->plan;
    struct dyno_gpu *gpu = &plan->gpu;
    gpu->compute = limited_int(&cursor, "the compute capability", 1000);
    if (gpu->compute != 0) {
        const char *name = cursor_name(&cursor);
        if (strlen(name) >= sizeof(gpu->name))
            cursor_fail(&cursor, DYNO_E_FORMAT, "the GPU's name has %zu bytes", strlen(name));
        (void)snprintf(gpu->name, sizeof(gpu->name), "%s", name);
        gpu->driver_version = limited_int(&cursor, "the driver's version", INT32_MAX);
        gpu->sm_count = limited_int(&cursor, "the number of multiprocessors", 65536);
        gpu->clock_khz = limited_int(&cursor, "the clock", INT32_MAX);
        gpu->memory_bytes = cursor_u64(&cursor);
        gpu->l2_bytes = cursor_u64(&cursor);
        gpu->shared_bytes = cursor_u64(&cursor);
        read_programs(&cursor, plan);
        for (uint32_t i = 0; i < plan->step_count && cursor_ok(&cursor); i++)
            plan->steps[i].program = cursor_u32(&cursor);
    }
    cursor_close(&cursor);
}

/* --- info and the machine --- */

struct machine {
    const char *cpu_name;
    uint64_t l1_bytes, l2_bytes, l3_bytes;
    uint32_t thread_count;
};

static void check_isa(struct dyno_cursor *cursor, const struct machine *built_on)
{
    const struct dyno_engine_reader *reader = cursor->reader;
    const uint64_t missing = reader->isa_mask & ~reader->here->isa_mask;
    if (missing == 0 || !cursor_ok(cursor))
        return;
    char cpu_name[CPU_NAME_BYTES];
    dyno_cpu_name(cpu_name, sizeof(cpu_name));
    struct dyno_strbuf want = {0};
    struct dyno_strbuf have = {0};
    dyno_isa_print(reader->isa_mask, &want);
    if ((reader->isa_mask >> 6) != 0)
        dyno_strbuf_puts(&want, " and sets unknown to this build");
    dyno_isa_print(reader->here->isa_mask, &have);
    cursor->reader->status = DYNO_FAIL(
        reader->err, DYNO_E_TARGET,
        "the engine was built on '%s' and wants %s; this machine, '%s', has %s: build it here",
        built_on->cpu_name, dyno_strbuf_text(&want), cpu_name, dyno_strbuf_text(&have));
    dyno_strbuf_fini(&want);
    dyno_strbuf_fini(&have);
}

static void warn(const struct dyno_engine_reader *reader, const struct machine *built_on)
{
    const struct dyno_target *here = reader->here;
    char cpu_name[CPU_NAME_BYTES];
    dyno_cpu_name(cpu_name, sizeof(cpu_name));
    const uint32_t cpu_count = (uint32_t)dyno_cpus_allowed_count();
    if (reader->warning_bytes == 0)
        return;
    reader->warning[0] = 0;
    if (strcmp(cpu_name, built_on->cpu_name) != 0)
        (void)snprintf(reader->warning, reader->warning_bytes,
                       "the engine was tuned on '%s', this is '%s': it runs, but one built here "
                       "may be faster",
                       built_on->cpu_name, cpu_name);
    else if (here->l1_bytes != built_on->l1_bytes || here->l2_bytes != built_on->l2_bytes ||
             here->l3_bytes != built_on->l3_bytes)
        (void)snprintf(reader->warning, reader->warning_bytes,
                       "the engine was tuned for caches of %llu, %llu and %llu KiB, here they have "
                       "%llu, %llu and %llu: it runs, but one built here may be faster",
                       (unsigned long long)built_on->l1_bytes / 1024,
                       (unsigned long long)built_on->l2_bytes / 1024,
                       (unsigned long long)built_on->l3_bytes / 1024,
                       (unsigned long long)here->l1_bytes / 1024,
                       (unsigned long long)here->l2_bytes / 1024,
                       (unsigned long long)here->l3_bytes / 1024);
    else if (built_on->thread_count > cpu_count)
        (void)snprintf(reader->warning, reader->warning_bytes,
                       "the engine was tuned for %u threads, this process may use %u processors: "
                       "it runs, but one built here may be faster",
                       built_on->thread_count, cpu_count);
}

static void read_info(struct dyno_engine_reader *reader)
{
    struct dyno_cursor cursor = cursor_open(reader, DYNO_SECTION_INFO);
    struct machine built_on;
    reader->plan->name = cursor_name(&cursor);
    (void)cursor_name(&cursor); /* version of the writer: for people who look at the file */
    reader->plan->flags = cursor_u32(&cursor);
    if ((reader->plan->flags & ~(uint32_t)DYNO_PLAN_FLAGS) != 0)
        cursor_fail(&cursor, DYNO_E_FORMAT, "plan flags %x are unknown", reader->plan->flags);
    reader->plan->accuracy_budget = cursor_f32(&cursor);
    reader->plan->accuracy_error = cursor_f32(&cursor);
    if (!(reader->plan->accuracy_budget >= 0.0F && reader->plan->accuracy_budget < 1.0F &&
          reader->plan->accuracy_error >= 0.0F &&
          reader->plan->accuracy_error <= reader->plan->accuracy_budget))
        cursor_fail(&cursor, DYNO_E_FORMAT, "an error of %g with a budget of %g",
                    (double)reader->plan->accuracy_error, (double)reader->plan->accuracy_budget);
    built_on.cpu_name = cursor_name(&cursor);
    built_on.l1_bytes = cursor_u64(&cursor);
    built_on.l2_bytes = cursor_u64(&cursor);
    built_on.l3_bytes = cursor_u64(&cursor);
    built_on.thread_count = cursor_u32(&cursor);
    cursor_close(&cursor);
    check_isa(&cursor, &built_on);
    if (cursor_ok(&cursor))
        warn(reader, &built_on);
}

void dyno_engine_read_plan(struct dyno_engine_reader *reader)
{
    static void (*const parts[])(struct dyno_engine_reader *) = {
        read_strings, read_info, read_exprs, read_tensors, read_steps, read_ios, read_gpu};
    for (size_t i = 0; i < DYNO_COUNT(parts) && reader->status == DYNO_OK; i++)
        parts[i](reader);
    if (reader->status == DYNO_OK)
        reader->status = dyno_plan_verify(reader->plan, reader->err);
}
