/* write_plan.h - a plan as the sections of an engine file; for write.c and write_plan.c only. */
#ifndef DYNO_ENGINE_WRITE_PLAN_H
#define DYNO_ENGINE_WRITE_PLAN_H

#include "base/map.h"
#include "base/strbuf.h"
#include "engine/format.h"

/* A block of the data section. */
struct dyno_engine_blob {
    const void *data;
    uint64_t bytes;
    uint64_t offset; /* in the section */
};

struct dyno_engine_parts {
    struct dyno_strbuf sections[DYNO_SECTION_END]; /* those before the data */
    struct dyno_map strings;
    uint32_t string_count;
    uint32_t *expr_ids; /* number in the file + 1 of each expression of the plan; 0: not written */
    struct dyno_engine_blob *blobs;
    size_t blob_count;
    size_t blob_capacity;
    uint64_t data_bytes;
    uint64_t isa_mask; /* of all kernels */
    bool failed;       /* out of memory */
};

/* Fill `parts` (zeroed).  Release with dyno_engine_parts_fini on success and failure; the plan must
 * live until then. */
enum dyno_status dyno_engine_parts_init(struct dyno_engine_parts *parts,
                                        const struct dyno_plan *plan,
                                        const struct dyno_target *target, struct dyno_err *err);
void dyno_engine_parts_fini(struct dyno_engine_parts *parts);

#endif /* DYNO_ENGINE_WRITE_PLAN_H */
