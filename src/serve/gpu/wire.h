/* wire.h - what the server and the child that drives a GPU say to each other.
 *
 * Over a socket pair that keeps messages apart (SOCK_SEQPACKET), both of one build on one machine:
 * the server commands, the child answers each command once, by its number, runs in their order.
 * Tensors lie in memory files that come with commands as descriptors.  A message is one struct, cut
 * after the tensors it has.
 *
 *   HELLO   from the child, once: what its GPU is, or why there is none
 *   OPEN    an engine, whose file comes along
 *   ADD     an instance to an engine, with the memory that its runs use
 *   RUN     an instance; inputs lie in its memory, outputs are to be put there
 *   CLOSE   an engine and its instances, none of which runs
 *   LOOK    at what the card tells of itself
 *
 * The server believes nothing that it has not checked (card.c, remote.c); the child trusts the
 * server, which is its parent.
 */
#ifndef DYNO_SERVE_GPU_WIRE_H
#define DYNO_SERVE_GPU_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "dyno/engine.h"

#define DYNO_GPU_FD          3 /* the child's end */
#define DYNO_GPU_LANES       3 /* runs that the child has in hand at one time */
#define DYNO_GPU_TENSORS_MAX 512
#define DYNO_GPU_TEXT_BYTES  512
#define DYNO_GPU_ALIGN_BYTES 64
#define DYNO_GPU_BYTES_MAX   (UINT64_C(1) << 46) /* more of anything is nonsense */

enum dyno_gpu_verb {
    DYNO_GPU_HELLO = 1,
    DYNO_GPU_OPEN,
    DYNO_GPU_ADD,
    DYNO_GPU_RUN,
    DYNO_GPU_CLOSE,
    DYNO_GPU_LOOK,
};

struct dyno_gpu_tensor {
    int32_t dtype, rank;
    int64_t dims[DYNO_API_RANK_MAX];
    uint64_t offset, bytes; /* in the instance's memory */
};

struct dyno_gpu_message {
    uint32_t verb;
    uint32_t status; /* of an answer: enum dyno_status */
    uint64_t call;   /* number of the command, repeated in its answer */
    uint32_t engine, instance;
    uint32_t tensor_count;
    int32_t compute;                /* HELLO */
    uint64_t bytes;                 /* HELLO: the GPU's memory; ADD, RUN: the instance's */
    uint64_t needs_bytes;           /* RUN: outputs need so much of it, and nothing was delivered */
    uint64_t start_ns, end_ns;      /* RUN: CLOCK_MONOTONIC; ends do not go back */
    uint64_t turn_ns;               /* RUN: ... and when the one before it had ended, if later */
    uint64_t device_ns;             /* RUN: by events */
    uint64_t host_bytes, gpu_bytes; /* that the engine holds now */
    struct dyno_device_facts facts; /* LOOK */
    char text[DYNO_GPU_TEXT_BYTES]; /* HELLO: name; else what is wrong */
    struct dyno_gpu_tensor tensors[DYNO_GPU_TENSORS_MAX];
};

/* Bytes that are sent of it. */
size_t dyno_gpu_message_bytes(const struct dyno_gpu_message *message);

/* fd (-1: none) goes along.  E_IO, which is EAGAIN, too, where the socket does not wait. */
DYNO_NODISCARD enum dyno_status dyno_gpu_send(int socket, const struct dyno_gpu_message *message,
                                              int fd, struct dyno_err *err);

/* *fd_out: what came along, the caller's; -1: nothing.  *is_end_out: the other side has closed.
 * E_FORMAT: it is no message.  E_IO; E_BUSY: nothing is there, where the socket does not wait. */
DYNO_NODISCARD enum dyno_status dyno_gpu_receive(int socket, struct dyno_gpu_message *message_out,
                                                 int *fd_out, bool *is_end_out,
                                                 struct dyno_err *err);

/* The next multiple of DYNO_GPU_ALIGN_BYTES. */
static inline uint64_t dyno_gpu_align(uint64_t bytes)
{
    return (bytes + DYNO_GPU_ALIGN_BYTES - 1) / DYNO_GPU_ALIGN_BYTES * DYNO_GPU_ALIGN_BYTES;
}

#endif /* DYNO_SERVE_GPU_WIRE_H */
