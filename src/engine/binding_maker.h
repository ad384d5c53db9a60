/* binding_maker.h - a binding while it is made: what the files of its making share. */
#ifndef DYNO_ENGINE_BINDING_MAKER_H
#define DYNO_ENGINE_BINDING_MAKER_H

#include "engine/binding.h"
#include "plan/memory.h"

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

/* Which steps of the GPU need not wait for each other, where the plan allows it and there are any.
 * items: of the tensors, then of the steps' workspaces, placed for a chain; they are placed anew
 * where what may run at the same time can have memory of its own. */
enum dyno_status dyno_binding_plan_branches(struct dyno_binding_maker *maker,
                                            struct dyno_mem_item *items);

#endif /* DYNO_ENGINE_BINDING_MAKER_H */
