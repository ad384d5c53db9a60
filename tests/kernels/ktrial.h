/* ktrial.h - one tactic under test: its buffers, guarded, and what is in them afterwards. */
#ifndef DYNO_TESTS_KERNELS_KTRIAL_H
#define DYNO_TESTS_KERNELS_KTRIAL_H

#include "kcase.h"

struct trial {
    const struct kcase_data *data;
    const struct dyno_kernel *kernel;
    struct dyno_tactic tactic;
    int threads;
    bool strided; /* blocked tensors are views with a gap between batches */
    struct dyno_step step;
    struct dyno_target target;
    struct dyno_buf ins[KCASE_INS_MAX], outs[KCASE_OUTS_MAX];
    struct dyno_buf seen[KCASE_INS_MAX]; /* ins while a kernel is prepared */
    struct kguard in_mem[KCASE_INS_MAX], out_mem[KCASE_OUTS_MAX];
    struct kguard packed, state, workspace;
    struct dyno_arena *scratch;
};

/* Say what is wrong; counted. */
void fail(const struct trial *trial, const char *what);
extern long fail_count;

int64_t product(const int64_t *dims, int first, int last);
/* A tensor in that layout; no data. */
void describe(struct dyno_buf *buf, const struct dyno_tensor *tensor, struct dyno_layout layout,
              bool strided);

void place_input(struct trial *trial, uint32_t i);  /* in_mem, read-only from now on */
void place_output(struct trial *trial, uint32_t i); /* out_mem, filled with 0xa5 */
/* Outputs with what the reference gives, and all that must be as it was. */
void compare(const struct trial *trial);

#endif /* DYNO_TESTS_KERNELS_KTRIAL_H */
