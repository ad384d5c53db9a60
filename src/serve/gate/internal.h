/* internal.h - the gate itself: shared by gate.c, which keeps the book, and guest.c, which reads
 * it. */
#ifndef DYNO_SERVE_GATE_INTERNAL_H
#define DYNO_SERVE_GATE_INTERNAL_H

#include <pthread.h>

#include "serve/gate/book.h"

#define DYNO_GATE_HEADER_BYTES_MAX 64

struct dyno_gate {
    struct dyno_guest anybody;
    char key_header[DYNO_GATE_HEADER_BYTES_MAX + 1];
    char grpc_key_header[DYNO_GATE_HEADER_BYTES_MAX + 32];
    const char *control_db;   /* NULL: nobody is asked */
    struct dyno_quota *quota; /* NULL: budgets are not looked at */
    pthread_mutex_t lock;     /* of `book`: held while a key is looked up and referenced */
    struct dyno_book *book;
    atomic_uint_fast64_t version; /* of the book */
    atomic_uint_fast64_t refusal_counts[DYNO_REFUSALS];
    /* The thread's. */
    struct dyno_control *control;
    bool is_stale; /* the database has changed and could not be read yet */
    bool complained_read, complained_write, complained_budget;
    uint64_t write_ns;     /* when use is to be written next */
    int64_t forgotten_day; /* use before it was forgotten */
    /* Its end. */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t wait_lock;
    pthread_cond_t wait;
    bool is_ending;
};

#endif /* DYNO_SERVE_GATE_INTERNAL_H */
