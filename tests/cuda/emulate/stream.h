/* stream.h - what the streams (stream.c) and the graphs (graph.c) of the emulated GPU share. */
#ifndef DYNO_TESTS_EMULATE_STREAM_H
#define DYNO_TESTS_EMULATE_STREAM_H

#include "api.h"

#define FOLLOWS_MAX 256 /* nodes that one node of a graph waits for */

enum kind { LAUNCH, COPY, FILL, RECORD, WAIT, GRAPH, CALL };

/* Something to do in order; `data` is its own. */
struct op {
    struct op *next;
    enum kind kind;
    struct emulate_launch launch; /* params: data */
    unsigned char *to;
    const unsigned char *from; /* NULL: data */
    size_t bytes;
    unsigned char value;
    struct event *event;
    struct stream *recorded; /* WAIT: where the event is recorded */
    uint64_t count;          /* WAIT: the record of it that is waited for */
    const struct list *graph;
    emulate_call_fn *call; /* on data[bytes] */
    /* Of a node of a graph: */
    unsigned idx; /* its number there */
    unsigned follows[FOLLOWS_MAX], follow_count;
    unsigned waiting; /* while it runs: for so many of them */
    bool is_done;
    uint64_t end_ns;
    unsigned char data[];
};

struct list {
    struct op *first, *last;
    /* While it is captured: what the next node follows. */
    struct op *heads[FOLLOWS_MAX];
    unsigned head_count;
    unsigned count; /* nodes */
    uint64_t edge_count;
};

struct stream {
    struct list ops;
    struct list *capture; /* NULL: it does not */
    struct stream *next;
};

/* Of the GPU's clock. */
extern uint64_t emulate_time_ns;

/* NULL: the first of all, which is always there. */
struct stream *emulate_stream_of(void *handle);

/* A copy of `op` and its data at the end of the stream, or of what it captures. */
int emulate_stream_put(void *handle, const struct op *op, const void *data, size_t bytes);

void emulate_op_run(const struct op *op);
void emulate_list_clear(struct list *list);

/* All nodes, each when what it follows is done. */
void emulate_graph_run(const struct list *graph);

/* A node that was put to the end of `list` follows the heads of what is captured, and is the only
 * one from now on.  A test may have one of all edges left out. */
void emulate_graph_link(struct list *list, struct op *node);

#endif /* DYNO_TESTS_EMULATE_STREAM_H */
