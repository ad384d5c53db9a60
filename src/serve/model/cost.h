/* cost.h - what a run of so many rows takes, learnt from the runs there were.
 *
 * Rows of different shapes (a page of 640 pixels, one of 1280) cost differently, so what was seen
 * is kept by the shape of a row, for the last DYNO_COST_SHAPES of them; a shape that was not seen
 * yet is judged by its elements.  Of one shape there are a moving mean for each number of rows and
 * a line a + b * rows through all of them (least squares, older runs weigh less): a is what sharing
 * a run saves, b what a row costs.
 *
 * Not locked: whoever owns it sees to that.
 */
#ifndef DYNO_SERVE_MODEL_COST_H
#define DYNO_SERVE_MODEL_COST_H

#include <stddef.h>
#include <stdint.h>

#define DYNO_COST_SHAPES 8
#define DYNO_COST_ROWS   128 /* runs of more rows are judged by the line alone */

/* The shape of a row: what distinguishes it, and its elements over all inputs. */
struct dyno_cost_key {
    uint64_t hash;
    uint64_t elements;
};

/* Runs of one shape. */
struct dyno_cost_line {
    struct dyno_cost_key key;
    uint64_t used_tick; /* 0: free */
    uint64_t mean_ns[DYNO_COST_ROWS + 1];
    double count, rows, rows2, ns, rows_ns; /* sums, each run weighs less than the next */
};

struct dyno_cost {
    uint64_t tick;
    struct dyno_cost_line lines[DYNO_COST_SHAPES];
};

/* A run of `rows` rows took `ns`. */
void dyno_cost_note(struct dyno_cost *cost, const struct dyno_cost_key *key, int64_t rows,
                    uint64_t ns);

/* What a run of `rows` rows will take; 0: nothing was ever seen. */
uint64_t dyno_cost_predict(const struct dyno_cost *cost, const struct dyno_cost_key *key,
                           int64_t rows);

/* The line of a shape: what a run costs before its rows, and what a row does, ns; both 0 when that
 * is not known. */
void dyno_cost_parts(const struct dyno_cost *cost, const struct dyno_cost_key *key,
                     uint64_t *fixed_ns_out, uint64_t *row_ns_out);

#endif /* DYNO_SERVE_MODEL_COST_H */
