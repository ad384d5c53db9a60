/* cost.c - means by rows, a line through them. */
#include "serve/model/cost.h"

#include <stdbool.h>
#include <string.h>

#define DECAY      0.98 /* of what a run weighs, with each run after it */
#define MOST_NS    1e12 /* a run that is longer is not believed */
#define MEAN_SHIFT 3    /* a run moves its mean by an eighth of the difference */

static const struct dyno_cost_line *find(const struct dyno_cost *cost,
                                         const struct dyno_cost_key *key)
{
    for (size_t i = 0; i < DYNO_COST_SHAPES; i++)
        if (cost->lines[i].used_tick != 0 && cost->lines[i].key.hash == key->hash)
            return &cost->lines[i];
    return NULL;
}

/* The line of this shape; the one that was not used for longest makes room. */
static struct dyno_cost_line *take(struct dyno_cost *cost, const struct dyno_cost_key *key)
{
    struct dyno_cost_line *oldest = &cost->lines[0];
    for (size_t i = 0; i < DYNO_COST_SHAPES; i++) {
        struct dyno_cost_line *line = &cost->lines[i];
        if (line->used_tick != 0 && line->key.hash == key->hash)
            return line;
        if (line->used_tick < oldest->used_tick)
            oldest = line;
    }
    *oldest = (struct dyno_cost_line){.key = *key};
    return oldest;
}

void dyno_cost_note(struct dyno_cost *cost, const struct dyno_cost_key *key, int64_t rows,
                    uint64_t ns)
{
    struct dyno_cost_line *line = take(cost, key);
    const double x = (double)rows;
    const double y = (double)ns;
    line->used_tick = ++cost->tick;
    if (rows <= DYNO_COST_ROWS) {
        uint64_t *mean = &line->mean_ns[rows];
        *mean = *mean == 0 ? ns : *mean - (*mean >> MEAN_SHIFT) + (ns >> MEAN_SHIFT);
    }
    line->count = line->count * DECAY + 1.0;
    line->rows = line->rows * DECAY + x;
    line->rows2 = line->rows2 * DECAY + x * x;
    line->ns = line->ns * DECAY + y;
    line->rows_ns = line->rows_ns * DECAY + x * y;
}

/* a and b, neither below 0; false when all runs had as many rows. */
static bool fit(const struct dyno_cost_line *line, double *a_out, double *b_out)
{
    const double spread = line->count * line->rows2 - line->rows * line->rows;
    if (spread < 1e-3 * line->count * line->rows2)
        return false;
    double b = (line->count * line->rows_ns - line->rows * line->ns) / spread;
    double a = (line->ns - b * line->rows) / line->count;
    if (b < 0.0) {
        b = 0.0;
        a = line->ns / line->count;
    } else if (a < 0.0) {
        a = 0.0;
        b = line->ns / line->rows;
    }
    *a_out = a;
    *b_out = b;
    return true;
}

/* Of a known shape: such runs, or the line, or in proportion; never less than fewer rows took. */
static uint64_t predict(const struct dyno_cost_line *line, int64_t rows)
{
    double a = 0.0;
    double b = 0.0;
    int64_t below = rows < DYNO_COST_ROWS ? rows : DYNO_COST_ROWS;
    if (rows <= DYNO_COST_ROWS && line->mean_ns[rows] != 0)
        return line->mean_ns[rows];
    while (below > 0 && line->mean_ns[below] == 0)
        below--;
    if (!fit(line, &a, &b))
        b = line->ns / line->rows;
    const double ns = a + b * (double)rows;
    const uint64_t least_ns = line->mean_ns[below]; /* [0] is 0 */
    return ns > (double)least_ns ? (uint64_t)ns : least_ns;
}

uint64_t dyno_cost_predict(const struct dyno_cost *cost, const struct dyno_cost_key *key,
                           int64_t rows)
{
    const struct dyno_cost_line *line = find(cost, key);
    if (line != NULL)
        return predict(line, rows);
    /* By its elements, from the shape that was used last. */
    for (size_t i = 0; i < DYNO_COST_SHAPES; i++)
        if (line == NULL || cost->lines[i].used_tick > line->used_tick)
            line = &cost->lines[i];
    if (line->used_tick == 0)
        return 0;
    const double scale = line->key.elements != 0 && key->elements != 0
                             ? (double)key->elements / (double)line->key.elements
                             : 1.0;
    return (uint64_t)((double)predict(line, rows) * scale);
}

void dyno_cost_parts(const struct dyno_cost *cost, const struct dyno_cost_key *key,
                     uint64_t *fixed_ns_out, uint64_t *row_ns_out)
{
    const struct dyno_cost_line *line = find(cost, key);
    double a = 0.0;
    double b = 0.0;
    const bool is_known = line != NULL && fit(line, &a, &b) && a < MOST_NS && b < MOST_NS;
    *fixed_ns_out = is_known ? (uint64_t)a : 0;
    *row_ns_out = is_known ? (uint64_t)b : 0;
}
