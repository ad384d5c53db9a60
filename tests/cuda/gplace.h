/* gplace.h - how tensors of a trial lie in memory.  A channel view begins behind a block of the
 * tensor that it lies in. */
#ifndef DYNO_TESTS_CUDA_GPLACE_H
#define DYNO_TESTS_CUDA_GPLACE_H

#include "kcase.h"

bool is_last(const struct dyno_buf *buf);
uint64_t elem_bytes(const struct dyno_buf *buf);
/* Of a channel view: of the whole tensor that it lies in. */
uint64_t stored_bytes(const struct dyno_buf *buf);
/* Bytes from there to the first element; 0 when it is no view. */
uint64_t view_at(const struct dyno_buf *buf);
/* Where element i of the row-major order is stored, in elements from the first. */
int64_t place_of(const struct dyno_buf *buf, int64_t i);
int64_t count_of(const struct dyno_buf *buf);
/* to[stored_bytes]: padding becomes zero, channels of others NaN. */
void store(const struct dyno_buf *buf, const struct dyno_tensor *from, char *to);

/* A tensor in that layout, dense; open: as dyno_buf has it. */
void describe(struct dyno_buf *buf, const struct dyno_tensor *tensor,
              const uint32_t open[DYNO_RANK_MAX], struct dyno_layout layout);

/* A case as a build sees it. */
struct place {
    struct dyno_buf ins[KCASE_INS_MAX], outs[KCASE_OUTS_MAX];
    struct dyno_site site;
};
void make_place(const struct kcase_data *data, const struct dyno_target *target,
                struct place *place);

#endif /* DYNO_TESTS_CUDA_GPLACE_H */
