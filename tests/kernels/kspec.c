/* kspec.c - from a row of text to tensors, attributes, a tail and the reference's answer. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kcase.h"

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static float uniform(uint64_t *state)
{
    return (float)(int32_t)(next_random(state) >> 32) * 0x1p-31F;
}

/* The next word of *text, copied into word. */
static bool next_word(const char **text, const char *stop, char *word, size_t bytes)
{
    const char *at = *text + strspn(*text, " ");
    const size_t length = strcspn(at, stop);
    if (length == 0 || length >= bytes)
        return false;
    memcpy(word, at, length);
    word[length] = '\0';
    *text = at + length;
    return true;
}

/* --- attributes --- */

static uint32_t count_items(const char *text)
{
    uint32_t count = *text == '\0' ? 0 : 1;
    for (; *text != '\0'; text++)
        count += *text == ',';
    return count;
}

static bool set_list(struct dyno_arena *arena, const char *text, bool floats, void *to)
{
    const uint32_t count = count_items(text);
    if (floats) {
        float *values = dyno_arena_alloc(arena, count + 1U, sizeof(*values));
        for (uint32_t i = 0; values != NULL && i < count; i++, text += *text == ',')
            values[i] = strtof(text, (char **)(uintptr_t)&text);
        *(struct dyno_f32s *)to = (struct dyno_f32s){values, count};
        return values != NULL;
    }
    int64_t *values = dyno_arena_alloc(arena, count + 1U, sizeof(*values));
    for (uint32_t i = 0; values != NULL && i < count; i++, text += *text == ',')
        values[i] = strtoll(text, (char **)(uintptr_t)&text, 10);
    *(struct dyno_i64s *)to = (struct dyno_i64s){values, count};
    return values != NULL;
}

static bool set_attr(struct dyno_arena *arena, const struct dyno_attr *attr, const char *text,
                     void *attrs)
{
    void *to = (char *)attrs + attr->offset_bytes;
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        *(int64_t *)to = strtoll(text, NULL, 10);
        return true;
    case DYNO_ATTR_F32:
        *(float *)to = strtof(text, NULL);
        return true;
    case DYNO_ATTR_ENUM:
        for (int32_t i = 0; attr->names[i] != NULL; i++)
            if (strcmp(attr->names[i], text) == 0) {
                *(int32_t *)to = i;
                return true;
            }
        return false;
    case DYNO_ATTR_I64S:
        return set_list(arena, text, false, to);
    case DYNO_ATTR_F32S:
        return set_list(arena, text, true, to);
    case DYNO_ATTR_STR: {
        char *copy = dyno_arena_strdup(arena, text);
        *(struct dyno_str *)to = (struct dyno_str){copy, strlen(text)};
        return copy != NULL;
    }
    case DYNO_ATTR_STRS:
    case DYNO_ATTR_TENSOR:
    default:
        return false;
    }
}

static enum dyno_status parse_attrs(const struct dyno_op *op, const char *text,
                                    struct kcase_data *data, struct dyno_err *err)
{
    data->attrs = dyno_op_attrs_create(op, data->arena);
    if (data->attrs == NULL)
        return DYNO_NOMEM(err);
    char word[256];
    while (next_word(&text, " ", word, sizeof(word))) {
        char *value = strchr(word, '=');
        bool done = false;
        if (value != NULL)
            *value++ = '\0';
        for (size_t i = 0; value != NULL && i < op->attr_count; i++)
            if (strcmp(op->attrs[i].name, word) == 0)
                done = set_attr(data->arena, &op->attrs[i], value, data->attrs);
        if (!done)
            return DYNO_FAIL(err, DYNO_E_ARG, "attribute '%s' is not understood", word);
    }
    return DYNO_OK;
}

/* --- inputs --- */

static void fill_floats(const struct kcase *row, struct dyno_tensor *tensor, bool positive,
                        uint64_t *random)
{
    const int64_t count = dyno_tensor_count(tensor);
    float *values = tensor->data;
    for (int64_t i = 0; i < count; i++) {
        if (row->mode == KCHECK_BITS && !positive) {
            /* Half of them ordinary, so that comparisons see both sides. */
            const uint64_t bits = next_random(random);
            const uint32_t word = (uint32_t)(bits >> 8);
            memcpy(&values[i], &word, sizeof(word));
            if ((bits & 1) != 0)
                values[i] = uniform(random) * 4.0F;
        } else {
            values[i] = uniform(random);
            if (positive)
                values[i] = fabsf(values[i]) + 0.01F;
            else if (row->mode == KCHECK_REL)
                values[i] *= (next_random(random) & 7) == 0 ? 30.0F : 3.0F;
        }
    }
}

static void fill_random(const struct kcase *row, struct dyno_tensor *tensor, int64_t modulus,
                        bool positive, uint64_t *random)
{
    const int64_t count = dyno_tensor_count(tensor);
    if (modulus == 0 && tensor->dtype == DYNO_F32) {
        fill_floats(row, tensor, positive, random);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const uint64_t bits = next_random(random) >> 16;
        if (modulus != 0)
            dyno_elem_store_i64(tensor->dtype, tensor->data, (size_t)i,
                                (int64_t)(bits % (uint64_t)modulus));
        else if (dyno_dtype_is_float(tensor->dtype))
            dyno_elem_store_f64(tensor->dtype, tensor->data, (size_t)i,
                                (double)uniform(random) * 3.0);
        else
            dyno_elem_store_i64(tensor->dtype, tensor->data, (size_t)i,
                                (int64_t)(bits % 251) - 100);
    }
}

static enum dyno_status parse_input(struct kcase_data *data, const char *word, uint32_t idx,
                                    uint64_t *random, struct dyno_err *err)
{
    struct dyno_tensor *tensor = &data->ins[idx];
    *tensor = (struct dyno_tensor){.dtype = DYNO_F32, .rank = 0};
    if (strcmp(word, "-") == 0) {
        tensor->rank = -1;
        return DYNO_OK;
    }
    const char *colon = strchr(word, ':');
    if (colon != NULL) {
        tensor->dtype = dyno_dtype_parse(word, (size_t)(colon - word));
        word = colon + 1;
    }
    word += *word == 's';
    while (isdigit((unsigned char)*word) && tensor->rank < DYNO_RANK_MAX) {
        tensor->dims[tensor->rank++] = strtoll(word, (char **)(uintptr_t)&word, 10);
        word += *word == 'x';
    }
    size_t bytes = 0;
    const int64_t count = dyno_tensor_count(tensor);
    if (!dyno_dtype_bytes(tensor->dtype, (uint64_t)count, &bytes))
        return DYNO_FAIL(err, DYNO_E_ARG, "input %u is not understood", idx);
    tensor->data = dyno_arena_alloc(data->arena, bytes + 1, 1);
    if (tensor->data == NULL)
        return DYNO_NOMEM(err);
    int64_t modulus = 0;
    bool positive = false;
    for (; *word == '!' || *word == '%' || *word == '+';) {
        if (*word == '!')
            data->in_is_weight[idx] = data->in_is_known[idx] = true;
        positive = positive || *word == '+';
        if (*word++ == '%')
            modulus = strtoll(word, (char **)(uintptr_t)&word, 10);
    }
    if (*word != '=' && *word != '\0')
        return DYNO_FAIL(err, DYNO_E_ARG, "input %u ends in '%s'", idx, word);
    if (*word == '\0') {
        fill_random(data->row, tensor, modulus, positive, random);
        return DYNO_OK;
    }
    data->in_is_known[idx] = true;
    word++;
    for (int64_t i = 0; i < count; i++, word += *word == ',')
        dyno_elem_store_f64(tensor->dtype, tensor->data, (size_t)i,
                            strtod(word, (char **)(uintptr_t)&word));
    return DYNO_OK;
}

static enum dyno_status parse_inputs(struct kcase_data *data, const char *text, uint64_t *random,
                                     struct dyno_err *err)
{
    char word[512];
    struct dyno_step *step = &data->step;
    bool in_tail = false;
    while (next_word(&text, " ", word, sizeof(word))) {
        if (strcmp(word, "|") == 0) {
            in_tail = true;
            continue;
        }
        if (step->in_count == KCASE_INS_MAX)
            return DYNO_FAIL(err, DYNO_E_ARG, "more than %d inputs", KCASE_INS_MAX);
        DYNO_TRY(parse_input(data, word, step->in_count++, random, err));
        if (!in_tail)
            step->own_in_count = step->in_count;
    }
    return DYNO_OK;
}

/* --- tail --- */

static enum dyno_status parse_instr(const char *text, struct dyno_tail *tail, struct dyno_err *err)
{
    struct dyno_tail_instr *instr = &tail->instrs[tail->instr_count++];
    char word[64];
    int op = 0;
    if (!next_word(&text, " ", word, sizeof(word)))
        return DYNO_FAIL(err, DYNO_E_ARG, "an empty instruction");
    while (op < DYNO_PW_COUNT && strcmp(dyno_pw_infos[op].name, word) != 0)
        op++;
    if (op == DYNO_PW_COUNT)
        return DYNO_FAIL(err, DYNO_E_ARG, "instruction '%s' does not exist", word);
    instr->op = (uint8_t)op;
    int operands = 0;
    int immediates = 0;
    while (next_word(&text, " ", word, sizeof(word))) {
        const char *number = word + 1;
        if (word[0] == 'r')
            instr->operands[operands++] =
                (struct dyno_operand){DYNO_OPERAND_REG, (uint16_t)strtoul(number, NULL, 10), 0.0F};
        else if (word[0] == '$')
            instr->operands[operands++] = (struct dyno_operand){
                DYNO_OPERAND_INPUT, (uint16_t)strtoul(number, NULL, 10), 0.0F};
        else if (word[0] == '#')
            instr->operands[operands++] =
                (struct dyno_operand){DYNO_OPERAND_CONST, 0, strtof(number, NULL)};
        else if (immediates++ == 0)
            instr->p = strtof(word, NULL);
        else
            instr->q = strtof(word, NULL);
    }
    if (operands != dyno_pw_infos[op].operand_count)
        return DYNO_FAIL(err, DYNO_E_ARG, "'%s' has %d operands, wants %d", dyno_pw_infos[op].name,
                         operands, dyno_pw_infos[op].operand_count);
    return DYNO_OK;
}

static enum dyno_status parse_tail(const char *text, struct dyno_tail *tail, struct dyno_err *err)
{
    char instr[128];
    while (text != NULL && next_word(&text, ";", instr, sizeof(instr))) {
        DYNO_TRY(parse_instr(instr, tail, err));
        text += *text == ';';
    }
    return DYNO_OK;
}

/* --- reference --- */

static enum dyno_status run_reference(struct kcase_data *data, const struct dyno_tensor *ins,
                                      struct dyno_tensor *outs, bool with_tail,
                                      struct dyno_err *err)
{
    const struct dyno_step *step = &data->step;
    const struct dyno_tensor *ptrs[KCASE_INS_MAX] = {NULL};
    for (uint32_t i = 0; i < step->in_count; i++)
        ptrs[i] = ins[i].rank < 0 ? NULL : &ins[i];
    DYNO_TRY(dyno_op_run_reference(dyno_ops[step->op], data->attrs, ptrs, step->own_in_count, outs,
                                   step->out_count, data->arena, err));
    if (with_tail && step->tail.instr_count != 0)
        DYNO_TRY(dyno_tail_run_reference(&step->tail, ptrs, &outs[0], err));
    return DYNO_OK;
}

/* The operator on magnitudes: what its rounding errors are measured against. */
static enum dyno_status run_magnitudes(struct kcase_data *data, struct dyno_err *err)
{
    struct dyno_tensor ins[KCASE_INS_MAX];
    struct dyno_tensor outs[KCASE_OUTS_MAX];
    memcpy(ins, data->ins, sizeof(ins));
    memset(outs, 0, sizeof(outs));
    for (uint32_t i = 0; i < data->step.own_in_count; i++) {
        if (ins[i].rank < 0 || ins[i].dtype != DYNO_F32)
            continue;
        const int64_t count = dyno_tensor_count(&ins[i]);
        float *values =
            dyno_arena_memdup(data->arena, ins[i].data, (size_t)count * sizeof(*values));
        if (values == NULL && count != 0)
            return DYNO_NOMEM(err);
        for (int64_t k = 0; k < count; k++)
            values[k] = fabsf(values[k]);
        ins[i].data = values;
    }
    DYNO_TRY(run_reference(data, ins, outs, false, err));
    data->bound = outs[0].data;
    return DYNO_OK;
}

enum dyno_status kcase_make(const struct kcase *row, uint64_t seed, struct kcase_data *data,
                            struct dyno_err *err)
{
    uint64_t random = seed * 0x9E3779B97F4A7C15ULL + 1;
    data->row = row;
    int id = dyno_op_find("", row->op);
    if (id < 0)
        id = dyno_op_find("dyno", row->op);
    if (id < 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "operator '%s' does not exist", row->op);
    struct dyno_step *step = &data->step;
    step->name = row->op;
    step->op = (enum dyno_op_id)id;
    step->out_count = row->out_count == 0 ? 1 : (uint32_t)row->out_count;
    DYNO_TRY(parse_attrs(dyno_ops[id], row->attrs, data, err));
    step->attrs = data->attrs;
    DYNO_TRY(parse_inputs(data, row->ins, &random, err));
    DYNO_TRY(parse_tail(row->tail, &step->tail, err));
    /* Tensor ids: inputs, then outputs. */
    step->ins =
        dyno_arena_alloc(data->arena, step->in_count + step->out_count + 1U, sizeof(*step->ins));
    if (step->ins == NULL)
        return DYNO_NOMEM(err);
    step->outs = step->ins + step->in_count;
    for (uint32_t i = 0; i < step->in_count + step->out_count; i++)
        step->ins[i] = i < step->in_count && data->ins[i].rank < 0 ? DYNO_NO_TENSOR : i;
    DYNO_TRY(run_reference(data, data->ins, data->outs, true, err));
    if (row->mode == KCHECK_SUM)
        DYNO_TRY(run_magnitudes(data, err));
    return DYNO_OK;
}
