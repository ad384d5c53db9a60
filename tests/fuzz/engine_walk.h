/* engine_walk.h - one walk over the records of an engine file: where each field is, and what it
 * means.
 */
#ifndef DYNO_TESTS_FUZZ_ENGINE_WALK_H
#define DYNO_TESTS_FUZZ_ENGINE_WALK_H

#include "engine_bytes.h"

#define FIELDS_MAX 8192
#define STEPS_MAX  256

enum field_kind {
    FIELD_TEXT,    /* u32: string */
    FIELD_EXPR,    /* u32: expression */
    FIELD_TENSOR,  /* u32: tensor */
    FIELD_ROLE,    /* u8 */
    FIELD_DTYPE,   /* u8 */
    FIELD_LAYOUT,  /* u8, u8 */
    FIELD_RANK,    /* u8 */
    FIELD_SMALL,   /* u32: a count or an index */
    FIELD_BITS,    /* u32: flags */
    FIELD_CFG,     /* u32 */
    FIELD_SIZE,    /* i64: a dimension, an attribute */
    FIELD_F32,     /* f32 */
    FIELD_BLOB,    /* u64, u64: offset and bytes in the data */
    FIELD_OPERAND, /* u8, u16, f32 */
    FIELD_EXPR_OP, /* u8 */
};

struct field {
    uint8_t section;
    uint8_t kind;
    uint32_t at;
};

/* Places in a step's record. */
struct step_place {
    uint32_t start, op, attrs, attrs_end, kernel, end;
};

struct walk {
    struct engine_bytes engine;
    struct field fields[FIELDS_MAX];
    uint32_t field_count;
    struct step_place steps[STEPS_MAX];
    uint32_t step_count;
    uint32_t text_count, expr_count, tensor_count;
    uint32_t programs_at; /* in the GPU's section: a number for each step; 0: there are none */
    uint64_t random;      /* of who changes what was found */
    /* of the section that is walked */
    int section;
    size_t at;
    bool bad;
};

/* Notes the fields and steps of walk->engine anew; walk->bad when the records are none. */
void walk_engine(struct walk *walk);

#endif /* DYNO_TESTS_FUZZ_ENGINE_WALK_H */
