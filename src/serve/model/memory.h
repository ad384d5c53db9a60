/* memory.h - the bytes that loaded variants hold, and the bounds on them: of the host, and of each
 * GPU.
 *
 * What is held is told by the engines themselves, to the byte, whenever it is asked for; so what
 * they come to need while they serve counts from that moment on.  A load promises beforehand what
 * it is going to hold, and what it promised stands for it until it is ready.
 *
 * Where a promise does not fit, room is made: of the variants that are ready, not pinned and that
 * nobody holds, and that hold bytes there, the one whose last request is longest ago goes, until it
 * fits.
 *
 * Everything is under the catalog's lock unless it says otherwise.
 */
#ifndef DYNO_SERVE_MODEL_MEMORY_H
#define DYNO_SERVE_MODEL_MEMORY_H

#include "serve/model/catalog.h"

/* Of one device: the first is the host, the others are GPUs. */
struct dyno_memory_room {
    const char *name;        /* of the GPU */
    uint64_t limit_bytes;    /* 0: none */
    uint64_t promised_bytes; /* of loads */
    uint64_t leaving_bytes;  /* of what is being destroyed */
};

struct dyno_memory {
    struct dyno_memory_room rooms[DYNO_DEVICES_MAX]; /* by device */
    struct dyno_variant *held;                       /* ready, or draining */
    uint64_t eviction_count;
};

/* One load. */
struct dyno_promise {
    struct dyno_catalog *catalog;
    struct dyno_memory *memory;
    const struct dyno_slot *slot; /* it is for, whose own variant stays */
    bool may_evict;
    bool is_put_off; /* it failed for want of room now, not for ever */
    uint64_t bytes[DYNO_DEVICES_MAX];
};

/* What is held and promised of a device's. */
uint64_t dyno_memory_used(const struct dyno_memory *memory, int device);

enum dyno_fit {
    DYNO_FIT_YES,   /* and it is promised */
    DYNO_FIT_EVICT, /* *victim_out was taken out of its slot: let it go and ask again */
    DYNO_FIT_WAIT,  /* somebody holds what could go, or it is going */
    DYNO_FIT_NOT_NOW,
    DYNO_FIT_NEVER,
};
/* May the load hold `bytes` of a device's in all?  The last two with a sentence. */
enum dyno_fit dyno_memory_ask(struct dyno_promise *promise, int device, uint64_t bytes,
                              struct dyno_variant **victim_out, struct dyno_err *err);
/* It is over: what it promised is held from now on (the variant), or not at all (NULL). */
void dyno_memory_settle(struct dyno_promise *promise, struct dyno_variant *variant);

/* More is held than the bound allows: what goes for it, NULL: nothing can. */
struct dyno_variant *dyno_memory_trim(struct dyno_memory *memory, struct dyno_catalog *catalog);

/* Around the destruction of a variant that was held. */
struct dyno_memory_left {
    int gpu; /* its device; 0: it had none */
    uint64_t host_bytes, gpu_bytes;
};
struct dyno_memory_left dyno_memory_leave(struct dyno_memory *memory, struct dyno_variant *variant);
void dyno_memory_left(struct dyno_memory *memory, const struct dyno_memory_left *left);

#endif /* DYNO_SERVE_MODEL_MEMORY_H */
