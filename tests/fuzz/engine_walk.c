/* engine_walk.c - reads what a good engine file holds, and stops at what is none. */
#include "engine_walk.h"

static uint64_t take(struct walk *walk, size_t bytes)
{
    const struct engine_section *section = &walk->engine.sections[walk->section];
    uint64_t value = 0;
    if (walk->bad || walk->at > section->bytes || bytes > section->bytes - walk->at) {
        walk->bad = true;
        return 0;
    }
    memcpy(&value, section->at + walk->at, bytes < 8 ? bytes : 8);
    walk->at += bytes;
    return value;
}

static uint64_t note(struct walk *walk, enum field_kind kind, size_t bytes)
{
    if (walk->field_count < FIELDS_MAX)
        walk->fields[walk->field_count++] =
            (struct field){(uint8_t)walk->section, (uint8_t)kind, (uint32_t)walk->at};
    return take(walk, bytes);
}

static uint32_t count_of(struct walk *walk)
{
    const uint64_t count = take(walk, 4);
    const size_t left = walk->engine.sections[walk->section].bytes - walk->at;
    if (walk->bad || count > left) {
        walk->bad = true;
        return 0;
    }
    return (uint32_t)count;
}

static void open_section(struct walk *walk, int id)
{
    walk->section = id;
    walk->at = 0;
}

static void walk_exprs(struct walk *walk)
{
    open_section(walk, DYNO_SECTION_EXPRS);
    const uint32_t symbol_count = count_of(walk);
    for (uint32_t i = 0; i < symbol_count && !walk->bad; i++) {
        (void)take(walk, 4);
        (void)note(walk, FIELD_SIZE, 8);
        (void)note(walk, FIELD_SIZE, 8);
    }
    walk->expr_count = count_of(walk);
    for (uint32_t i = 0; i < walk->expr_count && !walk->bad; i++) {
        const uint64_t op = note(walk, FIELD_EXPR_OP, 1);
        if (op == DYNO_EXPR_CONST) {
            (void)note(walk, FIELD_SIZE, 8);
        } else if (op == DYNO_EXPR_SYMBOL) {
            (void)take(walk, 8);
        } else {
            for (int k = 0; k < (op == DYNO_EXPR_SELECT ? 3 : 2); k++)
                (void)note(walk, FIELD_EXPR, 4);
        }
    }
}

static void walk_tensors(struct walk *walk)
{
    open_section(walk, DYNO_SECTION_TENSORS);
    walk->tensor_count = count_of(walk);
    for (uint32_t i = 0; i < walk->tensor_count && !walk->bad; i++) {
        (void)take(walk, 4);
        (void)note(walk, FIELD_ROLE, 1);
        (void)note(walk, FIELD_DTYPE, 1);
        (void)note(walk, FIELD_LAYOUT, 2);
        const uint64_t rank_byte = note(walk, FIELD_RANK, 1);
        const int rank = rank_byte < 128 ? (int)rank_byte : -1; /* -1: absent */
        for (int d = 0; d < rank; d++)
            (void)note(walk, FIELD_EXPR, 4);
        (void)note(walk, FIELD_TENSOR, 4);
        (void)note(walk, FIELD_EXPR, 4);
        (void)note(walk, FIELD_BLOB, 16);
        for (int list = 0; list < 2; list++) {
            const uint32_t count = count_of(walk);
            for (uint32_t k = 0; k < count && !walk->bad; k++)
                (void)note(walk, list == 0 ? FIELD_TEXT : FIELD_EXPR, 4);
        }
    }
}

static void walk_list(struct walk *walk, enum field_kind kind, size_t bytes)
{
    const uint64_t count = take(walk, 4);
    for (uint64_t i = 0; count != DYNO_ENGINE_NONE && i < count && !walk->bad; i++)
        (void)note(walk, kind, bytes);
}

static void walk_constant(struct walk *walk)
{
    if (take(walk, 1) == 0)
        return;
    const enum dyno_dtype dtype = (enum dyno_dtype)note(walk, FIELD_DTYPE, 1);
    const uint64_t rank = take(walk, 1);
    int64_t dims[DYNO_RANK_MAX] = {0};
    int64_t count = 0;
    size_t bytes = 0;
    for (uint64_t d = 0; d < rank && d < DYNO_RANK_MAX; d++)
        dims[d] = (int64_t)note(walk, FIELD_SIZE, 8);
    if (rank > DYNO_RANK_MAX || dtype >= DYNO_DTYPE_COUNT || dtype == DYNO_STR ||
        !dyno_dims_count(dims, (int)rank, &count) ||
        !dyno_dtype_bytes(dtype, (uint64_t)count, &bytes))
        walk->bad = true;
    (void)take(walk, bytes);
}

static void walk_attr(struct walk *walk)
{
    (void)take(walk, 4);
    switch (take(walk, 1)) {
    case DYNO_ATTR_I64:
        (void)note(walk, FIELD_SIZE, 8);
        break;
    case DYNO_ATTR_F32:
        (void)note(walk, FIELD_F32, 4);
        break;
    case DYNO_ATTR_ENUM:
    case DYNO_ATTR_STR:
        (void)note(walk, FIELD_TEXT, 4);
        break;
    case DYNO_ATTR_I64S:
        walk_list(walk, FIELD_SIZE, 8);
        break;
    case DYNO_ATTR_F32S:
        walk_list(walk, FIELD_F32, 4);
        break;
    case DYNO_ATTR_STRS:
        walk_list(walk, FIELD_TEXT, 4);
        break;
    case DYNO_ATTR_TENSOR:
        walk_constant(walk);
        break;
    default:
        walk->bad = true;
    }
}

static void walk_tail(struct walk *walk)
{
    const uint32_t count = count_of(walk);
    for (uint32_t i = 0; i < count && !walk->bad; i++) {
        (void)note(walk, FIELD_TEXT, 4);
        for (int k = 0; k < 3; k++)
            (void)note(walk, FIELD_OPERAND, 7);
        (void)note(walk, FIELD_F32, 4);
        (void)note(walk, FIELD_F32, 4);
    }
}

static void walk_step(struct walk *walk)
{
    struct step_place place = {.start = (uint32_t)walk->at};
    (void)take(walk, 4);
    const uint32_t origin_count = count_of(walk);
    (void)take(walk, (size_t)origin_count * 4);
    place.op = (uint32_t)walk->at;
    (void)take(walk, 8);
    place.attrs = (uint32_t)walk->at;
    const uint32_t attr_count = count_of(walk);
    for (uint32_t i = 0; i < attr_count && !walk->bad; i++)
        walk_attr(walk);
    place.attrs_end = (uint32_t)walk->at;
    (void)note(walk, FIELD_SMALL, 4);
    const size_t ins_at = walk->at;
    walk_list(walk, FIELD_TENSOR, 4);
    const size_t in_count = walk->at >= ins_at + 4 ? (walk->at - ins_at - 4) / 4 : 0;
    walk_list(walk, FIELD_TENSOR, 4);
    walk_tail(walk);
    place.kernel = (uint32_t)walk->at;
    (void)take(walk, 12);
    for (int i = 0; i < DYNO_TACTIC_CFGS; i++)
        (void)note(walk, FIELD_CFG, 4);
    (void)note(walk, FIELD_BITS, 4);
    (void)note(walk, FIELD_F32, 4);
    for (size_t i = 0; i < in_count && i < DYNO_STEP_INS_MAX; i++)
        (void)note(walk, FIELD_LAYOUT, 2);
    (void)note(walk, FIELD_LAYOUT, 2);
    (void)note(walk, FIELD_BLOB, 16);
    place.end = (uint32_t)walk->at;
    if (!walk->bad && walk->step_count < STEPS_MAX)
        walk->steps[walk->step_count++] = place;
}

/* What a card is, the programs but for their bytes, and which one each step has. */
static void walk_gpu(struct walk *walk)
{
    open_section(walk, DYNO_SECTION_GPU);
    if (take(walk, 4) == 0) /* the compute capability: of none */
        return;
    (void)take(walk, 4); /* the card's name */
    for (int i = 0; i < 3; i++)
        (void)note(walk, FIELD_CFG, 4);
    for (int i = 0; i < 3; i++)
        (void)note(walk, FIELD_SIZE, 8);
    const uint32_t program_count = count_of(walk);
    for (uint32_t i = 0; i < program_count && !walk->bad; i++) {
        (void)note(walk, FIELD_TEXT, 4);
        (void)note(walk, FIELD_TEXT, 4);
        (void)take(walk, 16);
    }
    walk->programs_at = (uint32_t)walk->at;
    for (uint32_t i = 0; i < walk->step_count && !walk->bad; i++)
        (void)note(walk, FIELD_SMALL, 4);
}

void walk_engine(struct walk *walk)
{
    walk->field_count = walk->step_count = walk->programs_at = 0;
    walk->bad = false;
    open_section(walk, DYNO_SECTION_STRINGS);
    walk->text_count = count_of(walk);
    walk_exprs(walk);
    walk_tensors(walk);
    open_section(walk, DYNO_SECTION_STEPS);
    const uint32_t step_count = count_of(walk);
    for (uint32_t i = 0; i < step_count && !walk->bad; i++)
        walk_step(walk);
    open_section(walk, DYNO_SECTION_IOS);
    /* Ranks are in the tensors: no more is told apart than numbers of eight bytes. */
    (void)take(walk, 4);
    while (!walk->bad && walk->at + 8 <= walk->engine.sections[walk->section].bytes)
        (void)note(walk, FIELD_SIZE, 8);
    walk_gpu(walk);
}
