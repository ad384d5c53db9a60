/* shapes.h - trtexec's way of writing shapes: `input:1x3x224x224,mask:1x128`, `scalar`. */
#ifndef DYNO_CLI_SHAPES_H
#define DYNO_CLI_SHAPES_H

#include "build/lower.h"

struct dyno_cli_shapes {
    struct dyno_profile_input *items; /* names live in `arena` */
    uint32_t count;
};

/* --shapes gives min = opt = max; else --minShapes, --optShapes, --maxShapes, of which one that is
 * missing takes the nearest other.  All may be NULL.  A name may hold colons: the last one counts.
 */
DYNO_NODISCARD enum dyno_status dyno_cli_shapes(const char *shapes, const char *min,
                                                const char *opt, const char *max,
                                                struct dyno_arena *arena,
                                                struct dyno_cli_shapes *out, struct dyno_err *err);

#endif /* DYNO_CLI_SHAPES_H */
