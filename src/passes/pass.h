/* pass.h - rewrites of the graph: one file each, one table row each (passes.def), run in table
 * order.  A pass leaves a graph that verifies and whose every value has a type. */
#ifndef DYNO_PASSES_PASS_H
#define DYNO_PASSES_PASS_H

#include "ir/graph.h"

/* Sets *changed_out when it changed anything. */
typedef enum dyno_status dyno_pass_fn(struct dyno_graph *graph, bool *changed_out,
                                      struct dyno_err *err);

enum dyno_pass_group {
    DYNO_PASS_CLEAN, /* run to a fixed point, before and after the others; safe for the baseline */
    DYNO_PASS_WHOLE, /* once, among those that fuse: what frameworks have as one operator and an
                      * exporter took apart; for the baseline where `wholes` says so */
    DYNO_PASS_FUSE,  /* once, in order; not for the baseline */
    DYNO_PASS_GPU,   /* the same where `gpu` says so: what pays where launches are dear */
    DYNO_PASS_VIEWS, /* the same where `views` says so: what pays where every kernel can read
                      * channels of a wider tensor where they lie */
};

struct dyno_pass {
    const char *name;
    const char *what; /* one line for --help and docs */
    enum dyno_pass_group group;
    dyno_pass_fn *run;
};

extern const struct dyno_pass dyno_passes[];
extern const size_t dyno_pass_count;

struct dyno_passes_options {
    bool baseline;    /* only the CLEAN group ... */
    bool wholes;      /* ... and WHOLE, as on a GPU */
    bool gpu;         /* the GPU group, too */
    bool views;       /* the VIEWS group, too */
    const char *only; /* run this one pass (tests); NULL: all */
    /* Called after each pass that changed the graph; may be NULL. */
    void (*after)(void *arg, const struct dyno_pass *pass, const struct dyno_graph *graph);
    void *after_arg;
};

enum dyno_status dyno_passes_run(struct dyno_graph *graph,
                                 const struct dyno_passes_options *options, struct dyno_err *err);

#endif /* DYNO_PASSES_PASS_H */
