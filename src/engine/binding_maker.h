/* binding_maker.h - a binding while it is made: what the files of its making share. */
#ifndef DYNO_ENGINE_BINDING_MAKER_H
#define DYNO_ENGINE_BINDING_MAKER_H

#include "engine/binding.h"

struct dyno_binding_maker {
    const struct dyno_engine *engine;
    const struct dyno_plan *plan;
    struct dyno_binding *binding;
    struct dyno_target target;
    int64_t *values; /* of the expressions */
    bool *is_open;   /* may they have others? */
    struct dyno_err *err;
};

/* Places of all tensors, on the CPU and on the GPU.  `workspaces`: bytes by step, on the CPU.
 * The shapes are known and the steps prepared. */
enum dyno_status dyno_binding_plan_memory(struct dyno_binding_maker *maker,
                                          const uint64_t *workspaces);

#endif /* DYNO_ENGINE_BINDING_MAKER_H */
