/* shapes.h - every tensor of an unfinished plan at one set of shapes, without memory. */
#ifndef DYNO_TUNE_SHAPES_H
#define DYNO_TUNE_SHAPES_H

#include "backend/backend.h"

enum dyno_corner { DYNO_CORNER_MIN, DYNO_CORNER_OPT, DYNO_CORNER_MAX }; /* of the profile */

/* One buffer a tensor: ROW layout, dims at that corner, data set for constants and host values,
 * rank -1 where the run alone tells.  All in `arena`. */
DYNO_NODISCARD enum dyno_status dyno_tune_shapes_at(const struct dyno_plan *plan,
                                                    enum dyno_corner corner,
                                                    struct dyno_arena *arena,
                                                    struct dyno_buf **bufs_out,
                                                    struct dyno_err *err);
/* At the optimum. */
DYNO_NODISCARD enum dyno_status dyno_tune_shapes(const struct dyno_plan *plan,
                                                 struct dyno_arena *arena,
                                                 struct dyno_buf **bufs_out, struct dyno_err *err);

/* `buf` in another layout: sets layout and batch_stride. */
void dyno_tune_set_layout(struct dyno_buf *buf, struct dyno_layout layout);

/* A site for a step from those buffers, in row-major layouts; arrays live in `arena`. */
DYNO_NODISCARD enum dyno_status dyno_tune_site(const struct dyno_plan *plan,
                                               const struct dyno_step *step,
                                               const struct dyno_buf *bufs,
                                               const struct dyno_target *target,
                                               struct dyno_arena *arena, struct dyno_site *site_out,
                                               struct dyno_err *err);

#endif /* DYNO_TUNE_SHAPES_H */
