/* mutate_engine.c - some of the fields that a walk over the records notes get other values of their
 * kind.
 */
#include "mutate_engine.h"

#include <stdio.h>

#include "engine_walk.h"

static uint32_t pick(struct walk *walk, uint32_t bound)
{
    walk->random = walk->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return bound == 0 ? 0 : (uint32_t)(walk->random >> 33) % bound;
}

static void put(struct walk *walk, const struct field *field, size_t skip, uint64_t value,
                size_t bytes)
{
    struct engine_section *section = &walk->engine.sections[field->section];
    if (field->at + skip + bytes <= section->bytes)
        memcpy(section->at + field->at + skip, &value, bytes);
}

/* Make bytes [from, to) of a section `with`; false when there is no room. */
static bool splice(struct walk *walk, int id, size_t from, size_t to, const void *with,
                   size_t bytes)
{
    struct engine_section *section = &walk->engine.sections[id];
    if (from > to || to > section->bytes || section->bytes - (to - from) + bytes > section->room)
        return false;
    memmove(section->at + from + bytes, section->at + to, section->bytes - to);
    if (bytes != 0)
        memcpy(section->at + from, with, bytes);
    section->bytes = section->bytes - (to - from) + bytes;
    return true;
}

static void add_to_count(struct walk *walk, int id, size_t at, int32_t by)
{
    uint32_t count = 0;
    memcpy(&count, walk->engine.sections[id].at + at, 4);
    count += (uint32_t)by;
    memcpy(walk->engine.sections[id].at + at, &count, 4);
}

/* The number of a text that is appended; NULL is an empty one. */
static uint32_t add_text(struct walk *walk, const char *text)
{
    char record[160];
    const char *bytes = text != NULL ? text : "";
    const uint32_t length = (uint32_t)strlen(bytes);
    memcpy(record, &length, 4);
    (void)snprintf(record + 4, sizeof(record) - 4, "%s", bytes);
    const size_t end = walk->engine.sections[DYNO_SECTION_STRINGS].bytes;
    if (length + 5 > sizeof(record) ||
        !splice(walk, DYNO_SECTION_STRINGS, end, end, record, length + (size_t)5))
        return 0;
    add_to_count(walk, DYNO_SECTION_STRINGS, 0, 1);
    return walk->text_count++;
}

static int64_t some_size(struct walk *walk)
{
    static const int64_t special[] = {
        -1,      INT32_MAX, (int64_t)INT32_MAX + 1, INT64_MAX, INT64_MIN,
        1 << 20, INT32_MIN, INT64_MAX / 2,          1LL << 40, -(1LL << 40),
        64,      1024};
    const uint32_t which = pick(walk, 8);
    if (which == 0)
        return special[pick(walk, DYNO_COUNT(special))];
    return which == 1 ? -(int64_t)pick(walk, 5) : (int64_t)pick(walk, which < 5 ? 5 : 34);
}

static float some_float(struct walk *walk)
{
    static const float special[] = {0.0F, -1.0F, 0.5F, 2.0F, 1e30F, -1e30F, 1e-40F};
    uint32_t bits = pick(walk, UINT32_MAX);
    float value = 0.0F;
    if (pick(walk, 3) != 0)
        return special[pick(walk, DYNO_COUNT(special))];
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t some_index(struct walk *walk, uint32_t count)
{
    const uint32_t which = pick(walk, 24);
    return which == 0 ? DYNO_ENGINE_NONE : which == 1 ? count : pick(walk, count);
}

static uint64_t float_bits(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static void change_field(struct walk *walk, const struct field *field)
{
    switch ((enum field_kind)field->kind) {
    case FIELD_TEXT:
        put(walk, field, 0, some_index(walk, walk->text_count), 4);
        break;
    case FIELD_EXPR:
        put(walk, field, 0, some_index(walk, walk->expr_count), 4);
        break;
    case FIELD_TENSOR:
        put(walk, field, 0, some_index(walk, walk->tensor_count), 4);
        break;
    case FIELD_ROLE:
        put(walk, field, 0, pick(walk, DYNO_ROLE_HOST + 1), 1);
        break;
    case FIELD_DTYPE:
        put(walk, field, 0, pick(walk, DYNO_DTYPE_COUNT), 1);
        break;
    case FIELD_LAYOUT:
        put(walk, field, 0, pick(walk, 2) != 0 ? 0x1001 : pick(walk, 3), 2);
        break;
    case FIELD_RANK:
        put(walk, field, 0, pick(walk, DYNO_RANK_MAX + 1), 1);
        break;
    case FIELD_SMALL:
        put(walk, field, 0, pick(walk, 7), 4);
        break;
    case FIELD_BITS:
        put(walk, field, 0, pick(walk, 9), 4);
        break;
    case FIELD_CFG:
        put(walk, field, 0, pick(walk, 4) != 0 ? pick(walk, 4) : (uint32_t)some_size(walk), 4);
        break;
    case FIELD_SIZE:
        put(walk, field, 0, (uint64_t)some_size(walk), 8);
        break;
    case FIELD_F32:
        put(walk, field, 0, float_bits(some_float(walk)), 4);
        break;
    case FIELD_BLOB:
        put(walk, field, 0, (uint64_t)pick(walk, 16) * 64, 8);
        put(walk, field, 8, pick(walk, 2) != 0 ? pick(walk, 2048) : pick(walk, 16) * 64U, 8);
        break;
    case FIELD_OPERAND:
        put(walk, field, 0, pick(walk, 4), 1);
        put(walk, field, 1, pick(walk, 5), 2);
        put(walk, field, 3, float_bits(some_float(walk)), 4);
        break;
    case FIELD_EXPR_OP:
        put(walk, field, 0, DYNO_EXPR_ADD + pick(walk, DYNO_EXPR_OP_COUNT - DYNO_EXPR_ADD), 1);
        break;
    }
}

/* The value of another field of the same kind. */
static void copy_field(struct walk *walk, const struct field *field)
{
    static const uint8_t bytes_of[] = {4, 4, 4, 1, 1, 2, 1, 4, 4, 4, 8, 4, 16, 7, 1};
    for (int tries = 0; tries < 16; tries++) {
        const struct field *other = &walk->fields[pick(walk, walk->field_count)];
        const size_t bytes = bytes_of[field->kind];
        const struct engine_section *from = &walk->engine.sections[other->section];
        struct engine_section *to = &walk->engine.sections[field->section];
        if (other->kind != field->kind || other->at + bytes > from->bytes ||
            field->at + bytes > to->bytes)
            continue;
        memmove(to->at + field->at, from->at + other->at, bytes);
        return;
    }
}

static void change_kernel(struct walk *walk, const struct step_place *step)
{
    const struct dyno_kernel *kernel = dyno_kernels[pick(walk, (uint32_t)dyno_kernel_count)];
    const uint32_t record[3] = {add_text(walk, kernel->name), dyno_kernel_id(kernel),
                                kernel->packing};
    const uint64_t isa_mask = dyno_isa_detect();
    memcpy(walk->engine.header + 32, &isa_mask, sizeof(isa_mask));
    (void)splice(walk, DYNO_SECTION_STEPS, step->kernel, step->kernel + 12, record, sizeof(record));
}

/* Another operator; its attributes are what they are without. */
static void change_op(struct walk *walk, const struct step_place *step)
{
    const struct dyno_op *op = dyno_ops[pick(walk, DYNO_OP_COUNT)];
    const uint32_t record[3] = {add_text(walk, op->domain), add_text(walk, op->onnx_name), 0};
    (void)splice(walk, DYNO_SECTION_STEPS, step->op, step->attrs_end, record, sizeof(record));
}

static size_t make_attr(struct walk *walk, const struct dyno_attr *attr, uint8_t *record)
{
    size_t bytes = 5;
    const uint32_t name = add_text(walk, attr->name);
    memcpy(record, &name, 4);
    record[4] = (uint8_t)attr->kind;
    const uint32_t count = pick(walk, 5);
    uint64_t value = 0;
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        value = (uint64_t)some_size(walk);
        memcpy(record + bytes, &value, 8);
        return bytes + 8;
    case DYNO_ATTR_F32:
        value = float_bits(some_float(walk));
        memcpy(record + bytes, &value, 4);
        return bytes + 4;
    case DYNO_ATTR_ENUM: {
        uint32_t spellings = 0;
        while (attr->names[spellings] != NULL)
            spellings++;
        value = add_text(walk, attr->names[pick(walk, spellings)]);
        memcpy(record + bytes, &value, 4);
        return bytes + 4;
    }
    case DYNO_ATTR_I64S:
    case DYNO_ATTR_F32S:
        memcpy(record + bytes, &count, 4);
        bytes += 4;
        for (uint32_t i = 0; i < count; i++) {
            const size_t size = attr->kind == DYNO_ATTR_I64S ? 8 : 4;
            value = size == 8 ? (uint64_t)some_size(walk) : float_bits(some_float(walk));
            memcpy(record + bytes, &value, size);
            bytes += size;
        }
        return bytes;
    case DYNO_ATTR_STR:
        value = pick(walk, walk->text_count);
        memcpy(record + bytes, &value, 4);
        return bytes + 4;
    case DYNO_ATTR_STRS:
    case DYNO_ATTR_TENSOR:
        break;
    }
    return 0;
}

/* One more attribute of the step's operator; the last one of a name counts. */
static void add_attr(struct walk *walk, const struct step_place *step)
{
    uint32_t text_idx = 0;
    uint8_t record[128];
    const uint8_t *steps = walk->engine.sections[DYNO_SECTION_STEPS].at;
    memcpy(&text_idx, steps + step->op + 4, 4);
    const struct engine_section *strings = &walk->engine.sections[DYNO_SECTION_STRINGS];
    const char *name = NULL;
    uint32_t length = 0;
    size_t at = 4;
    for (uint32_t i = 0; i <= text_idx && at + 4 <= strings->bytes; i++, at += length + 5U) {
        memcpy(&length, strings->at + at, 4);
        name = (const char *)strings->at + at + 4;
        if (length > strings->bytes - at - 4)
            return;
    }
    for (int id = 0; id < DYNO_OP_COUNT && name != NULL; id++) {
        const struct dyno_op *op = dyno_ops[id];
        if (strlen(op->onnx_name) != length || memcmp(op->onnx_name, name, length) != 0 ||
            op->attr_count == 0)
            continue;
        const size_t bytes =
            make_attr(walk, &op->attrs[pick(walk, (uint32_t)op->attr_count)], record);
        if (bytes != 0 &&
            splice(walk, DYNO_SECTION_STEPS, step->attrs_end, step->attrs_end, record, bytes))
            add_to_count(walk, DYNO_SECTION_STEPS, step->attrs, 1);
        return;
    }
}

/* One tensor more or less among the inputs (after the attributes: own inputs, all inputs). */
static void change_inputs(struct walk *walk, const struct step_place *step)
{
    const size_t at = step->attrs_end;
    uint32_t counts[2] = {0, 0};
    const struct engine_section *steps = &walk->engine.sections[DYNO_SECTION_STEPS];
    if (at + 8 > steps->bytes)
        return;
    memcpy(counts, steps->at + at, sizeof(counts));
    if (counts[1] >= DYNO_STEP_INS_MAX)
        return;
    const bool own = pick(walk, 3) != 0;
    const uint16_t row = 0;
    /* Layouts stand behind: kernel, cfg, flags, estimate. */
    const size_t layouts = step->kernel + 12 + 6 * 4 + 8;
    if (pick(walk, 3) == 0 && counts[1] > 0) {
        if (splice(walk, DYNO_SECTION_STEPS, layouts + (counts[1] - 1U) * 2,
                   layouts + counts[1] * 2U, NULL, 0) &&
            splice(walk, DYNO_SECTION_STEPS, at + 8 + (counts[1] - 1U) * 4, at + 8 + counts[1] * 4U,
                   NULL, 0)) {
            add_to_count(walk, DYNO_SECTION_STEPS, at + 4, -1);
            add_to_count(walk, DYNO_SECTION_STEPS, at, own ? -1 : 0);
        }
        return;
    }
    const uint32_t id = some_index(walk, walk->tensor_count);
    if (splice(walk, DYNO_SECTION_STEPS, layouts + counts[1] * 2U, layouts + counts[1] * 2U, &row,
               2) &&
        splice(walk, DYNO_SECTION_STEPS, at + 8 + counts[1] * 4U, at + 8 + counts[1] * 4U, &id,
               4)) {
        add_to_count(walk, DYNO_SECTION_STEPS, at + 4, 1);
        add_to_count(walk, DYNO_SECTION_STEPS, at, own ? 1 : 0);
    }
}

/* On a GPU a step has the number of its program elsewhere: it goes along.  to: before that step;
 * UINT32_MAX: nowhere. */
static void move_program(struct walk *walk, uint32_t from, uint32_t to)
{
    const struct engine_section *gpu = &walk->engine.sections[DYNO_SECTION_GPU];
    const size_t at = walk->programs_at + (size_t)from * 4;
    uint32_t number = 0;
    if (walk->programs_at == 0 || at + 4 > gpu->bytes)
        return;
    memcpy(&number, gpu->at + at, 4);
    const size_t place = walk->programs_at + (size_t)to * 4;
    if (to == UINT32_MAX)
        (void)splice(walk, DYNO_SECTION_GPU, at, at + 4, NULL, 0);
    else
        (void)splice(walk, DYNO_SECTION_GPU, place, place, &number, 4);
}

/* The step once more at another place, or nowhere. */
static void move_step(struct walk *walk, const struct step_place *step)
{
    uint8_t record[1024];
    const size_t bytes = step->end - step->start;
    const bool copy = pick(walk, 2) != 0;
    uint32_t idx = 0;
    if (bytes > sizeof(record))
        return;
    while (walk->steps[idx].start != step->start)
        idx++;
    memcpy(record, walk->engine.sections[DYNO_SECTION_STEPS].at + step->start, bytes);
    if (!copy && splice(walk, DYNO_SECTION_STEPS, step->start, step->end, NULL, 0)) {
        add_to_count(walk, DYNO_SECTION_STEPS, 0, -1);
        move_program(walk, idx, UINT32_MAX);
    }
    const uint32_t before = pick(walk, walk->step_count);
    const size_t to = walk->steps[before].start;
    if (copy && splice(walk, DYNO_SECTION_STEPS, to, to, record, bytes)) {
        add_to_count(walk, DYNO_SECTION_STEPS, 0, 1);
        move_program(walk, idx, before);
    }
}

/* Bits anywhere, as if nothing were known. */
static void damage(struct walk *walk)
{
    struct engine_section *section = &walk->engine.sections[1 + pick(walk, DYNO_SECTION_CRC - 1)];
    for (uint32_t i = pick(walk, 3); section->bytes != 0 && i < 3; i++)
        section->at[pick(walk, (uint32_t)section->bytes)] ^= (uint8_t)(1U << pick(walk, 8));
}

static void change(struct walk *walk)
{
    const uint32_t which = pick(walk, 32);
    if (walk->step_count != 0 && which < 10) {
        static void (*const changes[])(struct walk *, const struct step_place *) = {
            change_kernel, change_op, add_attr, add_attr, change_inputs, move_step};
        const struct step_place step = walk->steps[pick(walk, walk->step_count)];
        changes[pick(walk, DYNO_COUNT(changes))](walk, &step);
        return;
    }
    if (walk->field_count == 0 || which == 10) {
        damage(walk);
        return;
    }
    const struct field field = walk->fields[pick(walk, walk->field_count)];
    if (which < 15)
        copy_field(walk, &field);
    else
        change_field(walk, &field);
}

size_t mutate_engine(uint8_t *data, size_t bytes, size_t max, uint32_t seed)
{
    static struct walk walk;
    memset(&walk, 0, sizeof(walk));
    walk.random = seed * 0x9E3779B97F4A7C15ULL + 99991;
    size_t made = bytes;
    if (engine_bytes_split(data, bytes, &walk.engine)) {
        const uint32_t count = 1 + pick(&walk, 3);
        for (uint32_t i = 0; i < count; i++) {
            walk_engine(&walk); /* places move when records do */
            change(&walk);
        }
        const size_t joined = engine_bytes_join(&walk.engine, data, max);
        made = joined != 0 ? joined : bytes;
    }
    engine_bytes_fini(&walk.engine);
    return made;
}
