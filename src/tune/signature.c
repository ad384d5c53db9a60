/* signature.c - what makes two timings the same. */
#include <string.h>

#include "backend/cuda/nvrtc.h"
#include "base/hash.h"
#include "tune/tune.h"

static void add_attr(struct dyno_strbuf *text, const struct dyno_attr *attr, const void *attrs)
{
    const char *at = (const char *)attrs + attr->offset_bytes;
    switch (attr->kind) {
    case DYNO_ATTR_I64:
        dyno_strbuf_printf(text, "%lld", (long long)*(const int64_t *)(const void *)at);
        break;
    case DYNO_ATTR_F32:
        dyno_strbuf_printf(text, "%a", (double)*(const float *)(const void *)at);
        break;
    case DYNO_ATTR_ENUM:
        dyno_strbuf_printf(text, "%d", *(const int32_t *)(const void *)at);
        break;
    case DYNO_ATTR_I64S: {
        const struct dyno_i64s *list = (const void *)at;
        for (uint32_t i = 0; i < list->count; i++)
            dyno_strbuf_printf(text, "%lld,", (long long)list->at[i]);
        break;
    }
    case DYNO_ATTR_F32S: {
        const struct dyno_f32s *list = (const void *)at;
        for (uint32_t i = 0; i < list->count; i++)
            dyno_strbuf_printf(text, "%a,", (double)list->at[i]);
        break;
    }
    case DYNO_ATTR_STR: {
        const struct dyno_str *str = (const void *)at;
        dyno_strbuf_add(text, str->text, str->bytes);
        break;
    }
    case DYNO_ATTR_STRS:
    case DYNO_ATTR_TENSOR:
        break; /* do not change the time of anything that has them */
    }
    dyno_strbuf_puts(text, ";");
}

static void add_buf(struct dyno_strbuf *text, const struct dyno_buf *buf, bool is_weight,
                    struct dyno_layout layout)
{
    dyno_strbuf_printf(text, "%s%u.%u.%u", is_weight ? "w" : "", buf->dtype, layout.kind,
                       layout.block);
    if (layout.elem != 0)
        dyno_strbuf_printf(text, ".%u", layout.elem);
    dyno_strbuf_puts(text, "[");
    for (int i = 0; i < buf->rank; i++)
        dyno_strbuf_printf(text, "%lld,", (long long)buf->dims[i]);
    dyno_strbuf_puts(text, "]");
}

static void add_step(struct dyno_strbuf *text, const struct dyno_site *site,
                     const struct dyno_tactic *tactic)
{
    const struct dyno_step *step = site->step;
    const struct dyno_op *op = dyno_ops[step->op];
    dyno_strbuf_printf(text, "%s.%s(", op->domain, op->onnx_name);
    for (size_t i = 0; i < op->attr_count; i++)
        add_attr(text, &op->attrs[i], step->attrs);
    for (uint32_t i = 0; i < step->in_count; i++)
        add_buf(text, &site->ins[i], site->in_is_weight[i],
                i < DYNO_STEP_INS_MAX ? tactic->in_layouts[i] : DYNO_ROW);
    dyno_strbuf_puts(text, ")->");
    for (uint32_t i = 0; i < step->out_count; i++)
        add_buf(text, &site->outs[i], false, i == 0 ? tactic->out_layout : DYNO_ROW);
    for (uint32_t i = 0; i < step->tail.instr_count; i++) {
        const struct dyno_tail_instr *instr = &step->tail.instrs[i];
        dyno_strbuf_printf(text, "{%s %a %a", dyno_pw_infos[instr->op].name, (double)instr->p,
                           (double)instr->q);
        for (int k = 0; k < dyno_pw_infos[instr->op].operand_count; k++)
            dyno_strbuf_printf(text, " %u.%u.%a", instr->operands[k].kind, instr->operands[k].idx,
                               (double)instr->operands[k].value);
        dyno_strbuf_puts(text, "}");
    }
}

/* On a GPU the processor beside it does not matter; the card does, and the program with the version
 * of the compiler or (among the tactic's parameters) that of the library. */
static enum dyno_status begin_gpu(struct dyno_strbuf *text, const struct dyno_site *site,
                                  const struct dyno_tactic *tactic,
                                  const struct dyno_kernel *kernel, uint64_t passing_bytes,
                                  struct dyno_err *err)
{
    const struct dyno_gpu *gpu = &site->target->gpu;
    const char *source = "";
    int compiler = 0;
    dyno_strbuf_clear(text);
    enum dyno_status status = DYNO_OK;
    if (dyno_kernel_has_program(kernel, tactic)) {
        status = dyno_cuda_program_choices(kernel, site, tactic, &source, text, err);
        if (status == DYNO_OK)
            status = dyno_nvrtc_version(&compiler, err);
    }
    if (status != DYNO_OK) {
        dyno_strbuf_fini(text);
        return status;
    }
    dyno_strbuf_printf(text, "%s|nvrtc%d|graph%llu|%s|%d|%d|%d|%d|", source, compiler,
                       (unsigned long long)passing_bytes, gpu->name, gpu->compute, gpu->sm_count,
                       gpu->clock_khz, gpu->driver_version);
    return DYNO_OK;
}

enum dyno_status dyno_tune_signature(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                     uint64_t passing_bytes, struct dyno_tune_key *key_out,
                                     struct dyno_err *err)
{
    const struct dyno_kernel *kernel = dyno_kernel_find(tactic->kernel);
    struct dyno_strbuf text = {0};
    char cpu[128];
    dyno_cpu_name(cpu, sizeof(cpu));
    dyno_strbuf_printf(&text, "%s|%d|%llu|", cpu, site->target->thread_count,
                       (unsigned long long)site->target->l3_bytes);
    if (kernel->place == DYNO_ON_GPU)
        DYNO_TRY(begin_gpu(&text, site, tactic, kernel, passing_bytes, err));
    add_step(&text, site, tactic);
    dyno_strbuf_printf(&text, "|%s/%u", kernel->name, kernel->packing);
    for (int i = 0; i < DYNO_TACTIC_CFGS; i++)
        dyno_strbuf_printf(&text, ",%u", tactic->cfg[i]);
    const bool ok = dyno_strbuf_ok(&text);
    if (ok) {
        key_out->hi = dyno_hash64(1, text.text, text.bytes);
        key_out->lo = dyno_hash64(2, text.text, text.bytes);
    }
    dyno_strbuf_fini(&text);
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}
