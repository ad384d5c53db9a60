/* pw.h - tails: short programs of pointwise f32 instructions fused behind a node.
 *
 * A tail rewrites a node's output 0 element by element.  Register 0 is what the node computed;
 * instruction i writes register i + 1; the last register is what is stored.  Operands are earlier
 * registers, the node's extra inputs (broadcast to the output's shape by ONNX rules), or constants.
 */
#ifndef DYNO_OPS_PW_H
#define DYNO_OPS_PW_H

#include <stdint.h>

#define DYNO_TAIL_INSTRS_MAX 24

enum dyno_pw_op {
#define DYNO_PW(name, operands, immediates, meaning) DYNO_PW_##name,
#include "ops/pw.def"
#undef DYNO_PW
    DYNO_PW_COUNT
};

struct dyno_pw_info {
    const char *name;
    int operand_count;
    int immediate_count;
};
extern const struct dyno_pw_info dyno_pw_infos[DYNO_PW_COUNT];

/* The reference meaning; unused operands and immediates are ignored. */
float dyno_pw_eval(enum dyno_pw_op op, float a, float b, float c, float p, float q);

enum dyno_operand_kind {
    DYNO_OPERAND_NONE,
    DYNO_OPERAND_REG,   /* idx: register */
    DYNO_OPERAND_INPUT, /* idx: index into the node's inputs (at or after its own) */
    DYNO_OPERAND_CONST, /* value */
};

struct dyno_operand {
    uint8_t kind; /* enum dyno_operand_kind */
    uint16_t idx;
    float value;
};

struct dyno_tail_instr {
    uint8_t op; /* enum dyno_pw_op */
    struct dyno_operand operands[3];
    float p, q;
};

struct dyno_tail {
    uint32_t instr_count; /* 0: no tail */
    struct dyno_tail_instr instrs[DYNO_TAIL_INSTRS_MAX];
};

#endif /* DYNO_OPS_PW_H */
