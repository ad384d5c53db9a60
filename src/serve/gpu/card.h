/* card.h - one GPU as the server has it: the child that drives it, started when it is wanted,
 * watched, and started again when it falls.
 *
 * What ends a child: it exits or is killed, its GPU fails, it answers nonsense, or it does not
 * answer in time.  Whatever it was told and has not answered then fails with E_BUSY and why, and
 * `fell` is called.  Its engines are gone; whoever wants them opens them again (remote.h).
 *
 * Commands from any thread.  A card has a thread of its own, on which answers and falls are told.
 */
#ifndef DYNO_SERVE_GPU_CARD_H
#define DYNO_SERVE_GPU_CARD_H

#include "serve/gpu/wire.h"

struct dyno_card;

struct dyno_card_options {
    const char *device;  /* "cuda:N"; lives as long as the card, as the next does */
    const char *program; /* that is executed with --drive-gpu DEVICE */
    uint64_t timeout_ns; /* for a command; 0: none */
    /* A child that had served fell, and why; on the card's thread, when nothing of it is in flight
     * any more.  May be NULL. */
    void (*fell)(void *arg, struct dyno_card *card, const char *why);
    void *fell_arg;
};

/* A command that has not been answered.  Zeroed before its first use; used again when it is over.
 */
struct dyno_card_call {
    struct dyno_card_call *next, *prev;
    uint64_t number;
    uint32_t verb;
    uint64_t end_ns; /* when it is too late; 0: never */
    /* NULL: the answer makes sense; else what does not, and the child is ended.  Under the card's
     * lock: it only looks. */
    const char *(*check)(const struct dyno_card_call *call, const struct dyno_gpu_message *answer);
    /* Over.  answer NULL: it fell, as err says.  May send again.  Without the lock. */
    void (*done)(struct dyno_card_call *call, const struct dyno_gpu_message *answer,
                 const struct dyno_err *err);
};

enum dyno_status dyno_card_create(const struct dyno_card_options *options,
                                  struct dyno_card **card_out, struct dyno_err *err);
/* End the child, for good; nothing is in flight.  What is left to be closed there is gone. */
void dyno_card_stop(struct dyno_card *card);
/* Nothing is in flight, and nobody has anything there.  Accepts NULL. */
void dyno_card_destroy(struct dyno_card *card);

/* Wait until there is a child; *epoch_out is which one.  E_BUSY, or what the child said why it
 * cannot be (E_TARGET: there is no such GPU). */
DYNO_NODISCARD enum dyno_status dyno_card_start(struct dyno_card *card, uint64_t *epoch_out,
                                                struct dyno_err *err);

/* Send a command to the child `epoch`, and return; `message` is numbered.  fd: -1, or what goes
 * along.  E_BUSY: it is another one by now, or none, and `done` is not called. */
DYNO_NODISCARD enum dyno_status dyno_card_send(struct dyno_card *card, uint64_t epoch,
                                               struct dyno_card_call *call,
                                               struct dyno_gpu_message *message, int fd,
                                               struct dyno_err *err);

/* The same, and wait; the answer, which has no tensors, into `message`.  The status is the
 * answer's. */
DYNO_NODISCARD enum dyno_status dyno_card_ask(struct dyno_card *card, uint64_t epoch,
                                              struct dyno_gpu_message *message, int fd,
                                              struct dyno_err *err);

/* Now. */
struct dyno_card_figures {
    const char *device;
    char name[128];        /* of the GPU; "": no child has told it yet */
    uint64_t memory_bytes; /* that it has; 0: not known */
    uint64_t restart_count;
    int pid;                        /* of the child; 0: there is none */
    bool has_facts;                 /* the card told of itself, not long ago */
    struct dyno_device_facts facts; /* energy_j since it was first asked */
};
void dyno_card_look(struct dyno_card *card, struct dyno_card_figures *figures_out);
const char *dyno_card_device(const struct dyno_card *card);

#endif /* DYNO_SERVE_GPU_CARD_H */
