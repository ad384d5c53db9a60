/* program.h - what an emulated program and the emulated driver know of each other.  Read by C and
 * by C++, without any other header.
 *
 * A program is a shared object that gives: emulate_now (a pointer that the driver sets),
 * emulate_enter, and what it says of itself (emulate_about).
 */
#ifndef DYNO_TESTS_EMULATE_PROGRAM_H
#define DYNO_TESTS_EMULATE_PROGRAM_H

#define EMULATE_SHARED_AT 1024U      /* address of the first byte of dynamic shared memory */
#define EMULATE_RANK_STEP (1U << 24) /* between the same addresses of two blocks of a cluster */

/* Operations for which the lanes of a warp meet. */
enum emulate_op {
    EMULATE_SHUFFLE,
    EMULATE_LOAD_MATRICES,
    EMULATE_LOAD_TURNED,
    EMULATE_MULTIPLY_F16,
    EMULATE_MULTIPLY_BF16,
    EMULATE_MULTIPLY_TF32,
    EMULATE_WGMMA_F16,
    EMULATE_WGMMA_BF16,
    EMULATE_WGMMA_COMMIT,
    EMULATE_WGMMA_WAIT,
};

/* What a lane brings, and takes away. */
struct emulate_shuffle {
    float value;
    int lane_mask;
};
struct emulate_matrices {
    unsigned r[4], at;
};
struct emulate_multiply {
    float *c;
    const unsigned *a;
    unsigned b[2];
};
struct emulate_wgmma {
    float (*d)[4];
    unsigned long long a, b;
    int columns;
};
struct emulate_wait {
    int left; /* groups that may run on */
};

struct emulate_index {
    unsigned x, y, z;
};

/* The thread that runs, and what it can call. */
struct emulate_now {
    struct emulate_index thread, block, block_dim, grid_dim;
    unsigned char *dynamic; /* shared memory of the block */
    const float *f16;       /* numbers by their bits */
    void (*block_meet)(void);
    void (*cluster_meet)(void);
    void (*warp_meet)(enum emulate_op op, void *lane);
    void (*copy16)(unsigned at, const void *from, int n);
    void (*copies_commit)(void);
    void (*copies_wait)(int left);
    float (*cluster_load)(unsigned at);
    void (*barrier_init)(unsigned at, int arrivals);
    void (*barrier_expect)(unsigned at, int bytes);
    void (*barrier_wait)(unsigned at, int parity);
    void (*bulk_copy)(unsigned to, const void *from, int bytes, unsigned barrier);
};

struct emulate_about {
    int compute; /* 80 */
    unsigned params_bytes, threads_max, cluster[3];
    unsigned char *shared_begin, *shared_end; /* static shared memory */
};

#endif /* DYNO_TESTS_EMULATE_PROGRAM_H */
