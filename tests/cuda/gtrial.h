/* gtrial.h - one tactic under test on a GPU, and whether it made what the reference makes. */
#ifndef DYNO_TESTS_CUDA_GTRIAL_H
#define DYNO_TESTS_CUDA_GTRIAL_H

#include "kcase.h"

#define GUARD_BYTES 1024

struct memory {
    uint64_t base;
    uint64_t bytes;
    uint64_t at; /* of the tensor in there: it is a channel view */
    char *host;  /* stored form */
};

struct trial {
    const struct kcase_data *data;
    const struct dyno_kernel *kernel;
    struct dyno_tactic tactic;
    struct dyno_step step;
    struct dyno_buf ins[KCASE_INS_MAX], outs[KCASE_OUTS_MAX];
    struct dyno_buf gpu_ins[KCASE_INS_MAX], gpu_outs[KCASE_OUTS_MAX];
    struct memory in_mem[KCASE_INS_MAX], out_mem[KCASE_OUTS_MAX], packed, workspace;
    void *host_packed;
    struct dyno_err err;
};

/* Say what is wrong; counted. */
void fail(const struct trial *trial, const char *what);

/* Does a tactic store elements in 16 bits, or round them? */
bool stores_halves(const struct dyno_tactic *tactic, uint32_t in_count);
/* What 16 bits cannot show: random bits, and angles of a million. */
bool is_for_halves(const struct kcase *row);
/* Output o, which lies on the host: with the reference's, and what lies around it. */
void compare(const struct trial *trial, uint32_t o);

#endif /* DYNO_TESTS_CUDA_GTRIAL_H */
