/* pbqp.c - reductions R0, R1, R2 and a heuristic for the rest. */
#include "tune/pbqp.h"

#include <float.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define OPTIONS_MAX DYNO_PBQP_OPTIONS_MAX

struct edge {
    uint32_t a, b;
    bool dead;
    struct edge *next_a, *next_b; /* lists of the edges of a and of b */
    struct edge *next_all;
    float costs[OPTIONS_MAX][OPTIONS_MAX]; /* [option of a][option of b] */
};

struct node {
    float costs[OPTIONS_MAX];
    int option_count;
    struct edge *edges;
    int degree;
    bool gone;
};

struct dyno_pbqp {
    struct node *nodes;
    uint32_t node_count;
    struct edge *all_edges;
    uint32_t *order; /* nodes in the order they were taken out */
    uint32_t order_count;
};

struct dyno_pbqp *dyno_pbqp_create(uint32_t node_count)
{
    struct dyno_pbqp *pbqp = dyno_alloc(1, sizeof(*pbqp));
    if (pbqp == NULL)
        return NULL;
    pbqp->nodes = dyno_alloc(node_count + 1U, sizeof(*pbqp->nodes));
    pbqp->order = dyno_alloc(node_count + 1U, sizeof(*pbqp->order));
    pbqp->node_count = node_count;
    if (pbqp->nodes == NULL || pbqp->order == NULL) {
        dyno_pbqp_destroy(pbqp);
        return NULL;
    }
    return pbqp;
}

void dyno_pbqp_destroy(struct dyno_pbqp *pbqp)
{
    if (pbqp == NULL)
        return;
    while (pbqp->all_edges != NULL) {
        struct edge *next = pbqp->all_edges->next_all;
        dyno_free(pbqp->all_edges);
        pbqp->all_edges = next;
    }
    dyno_free(pbqp->order);
    dyno_free(pbqp->nodes);
    dyno_free(pbqp);
}

void dyno_pbqp_node(struct dyno_pbqp *pbqp, uint32_t node, const float *costs, int option_count)
{
    DYNO_ASSERT(node < pbqp->node_count && option_count >= 1 && option_count <= OPTIONS_MAX);
    memcpy(pbqp->nodes[node].costs, costs, (size_t)option_count * sizeof(*costs));
    pbqp->nodes[node].option_count = option_count;
}

static struct edge **link_of(struct edge *edge, uint32_t node)
{
    return edge->a == node ? &edge->next_a : &edge->next_b;
}

static uint32_t other_end(const struct edge *edge, uint32_t node)
{
    return edge->a == node ? edge->b : edge->a;
}

static float *cost_at(struct edge *edge, uint32_t node, int option, int other_option)
{
    return edge->a == node ? &edge->costs[option][other_option]
                           : &edge->costs[other_option][option];
}

static struct edge *find_edge(struct dyno_pbqp *pbqp, uint32_t a, uint32_t b)
{
    struct edge *edge = pbqp->nodes[a].edges;
    while (edge != NULL && (edge->dead || other_end(edge, a) != b))
        edge = *link_of(edge, a);
    return edge;
}

static struct edge *edge_between(struct dyno_pbqp *pbqp, uint32_t a, uint32_t b)
{
    struct edge *edge = find_edge(pbqp, a, b);
    if (edge != NULL)
        return edge;
    edge = dyno_alloc(1, sizeof(*edge));
    if (edge == NULL)
        return NULL;
    edge->a = a;
    edge->b = b;
    edge->next_a = pbqp->nodes[a].edges;
    pbqp->nodes[a].edges = edge;
    edge->next_b = pbqp->nodes[b].edges;
    pbqp->nodes[b].edges = edge;
    edge->next_all = pbqp->all_edges;
    pbqp->all_edges = edge;
    pbqp->nodes[a].degree++;
    pbqp->nodes[b].degree++;
    return edge;
}

enum dyno_status dyno_pbqp_edge(struct dyno_pbqp *pbqp, uint32_t a, uint32_t b, const float *costs,
                                struct dyno_err *err)
{
    DYNO_ASSERT(a != b && a < pbqp->node_count && b < pbqp->node_count);
    struct edge *edge = edge_between(pbqp, a, b);
    if (edge == NULL)
        return DYNO_NOMEM(err);
    const int b_count = pbqp->nodes[b].option_count;
    for (int i = 0; i < pbqp->nodes[a].option_count; i++) {
        for (int j = 0; j < b_count; j++)
            *cost_at(edge, a, i, j) += costs[i * b_count + j];
    }
    return DYNO_OK;
}

static struct edge *first_live(const struct dyno_pbqp *pbqp, uint32_t node)
{
    struct edge *edge = pbqp->nodes[node].edges;
    while (edge != NULL && edge->dead)
        edge = *link_of(edge, node);
    return edge;
}

static struct edge *next_live(struct edge *edge, uint32_t node)
{
    do {
        edge = *link_of(edge, node);
    } while (edge != NULL && edge->dead);
    return edge;
}

static void kill(struct dyno_pbqp *pbqp, struct edge *edge)
{
    edge->dead = true;
    pbqp->nodes[edge->a].degree--;
    pbqp->nodes[edge->b].degree--;
}

/* Degree one: the neighbour carries this node's best answer to each of its options. */
static void reduce_one(struct dyno_pbqp *pbqp, uint32_t x)
{
    struct edge *edge = first_live(pbqp, x);
    const uint32_t y = other_end(edge, x);
    for (int j = 0; j < pbqp->nodes[y].option_count; j++) {
        float best = FLT_MAX;
        for (int i = 0; i < pbqp->nodes[x].option_count; i++) {
            const float cost = pbqp->nodes[x].costs[i] + *cost_at(edge, x, i, j);
            best = cost < best ? cost : best;
        }
        pbqp->nodes[y].costs[j] += best;
    }
    kill(pbqp, edge);
}

/* Degree two: the same, as an edge between the two neighbours. */
static bool reduce_two(struct dyno_pbqp *pbqp, uint32_t x)
{
    struct edge *first = first_live(pbqp, x);
    struct edge *second = next_live(first, x);
    const uint32_t y = other_end(first, x);
    const uint32_t z = other_end(second, x);
    struct edge *joined = edge_between(pbqp, y, z);
    if (joined == NULL)
        return false;
    for (int j = 0; j < pbqp->nodes[y].option_count; j++) {
        for (int k = 0; k < pbqp->nodes[z].option_count; k++) {
            float best = FLT_MAX;
            for (int i = 0; i < pbqp->nodes[x].option_count; i++) {
                const float cost =
                    pbqp->nodes[x].costs[i] + *cost_at(first, x, i, j) + *cost_at(second, x, i, k);
                best = cost < best ? cost : best;
            }
            *cost_at(joined, y, j, k) += best;
        }
    }
    kill(pbqp, first);
    kill(pbqp, second);
    return true;
}

/* The option that is cheapest when every neighbour then does its best. */
static int cheapest_locally(const struct dyno_pbqp *pbqp, uint32_t x)
{
    int best_option = 0;
    float best = FLT_MAX;
    for (int i = 0; i < pbqp->nodes[x].option_count; i++) {
        float cost = pbqp->nodes[x].costs[i];
        for (struct edge *edge = first_live(pbqp, x); edge != NULL; edge = next_live(edge, x)) {
            const struct node *y = &pbqp->nodes[other_end(edge, x)];
            float least = FLT_MAX;
            for (int j = 0; j < y->option_count; j++) {
                const float sum = y->costs[j] + *cost_at(edge, x, i, j);
                least = sum < least ? sum : least;
            }
            cost += least;
        }
        if (cost < best) {
            best = cost;
            best_option = i;
        }
    }
    return best_option;
}

/* More than two: settle the node now and pass its edge costs on. */
static void settle(struct dyno_pbqp *pbqp, uint32_t x)
{
    const int option = cheapest_locally(pbqp, x);
    for (struct edge *edge = first_live(pbqp, x); edge != NULL; edge = next_live(edge, x)) {
        struct node *y = &pbqp->nodes[other_end(edge, x)];
        for (int j = 0; j < y->option_count; j++)
            y->costs[j] += *cost_at(edge, x, option, j);
        kill(pbqp, edge);
    }
    for (int i = 0; i < pbqp->nodes[x].option_count; i++) {
        if (i != option)
            pbqp->nodes[x].costs[i] = FLT_MAX;
    }
}

static uint32_t pick(const struct dyno_pbqp *pbqp)
{
    uint32_t least = UINT32_MAX;
    uint32_t most = UINT32_MAX;
    for (uint32_t i = 0; i < pbqp->node_count; i++) {
        const struct node *node = &pbqp->nodes[i];
        if (node->gone)
            continue;
        if (least == UINT32_MAX || node->degree < pbqp->nodes[least].degree)
            least = i;
        if (most == UINT32_MAX || node->degree > pbqp->nodes[most].degree)
            most = i;
    }
    return pbqp->nodes[least].degree <= 2 ? least : most;
}

/* Choose for a node whose live neighbours at its removal are all chosen (they left later). */
static int choose(const struct dyno_pbqp *pbqp, uint32_t x, const uint32_t *rank, const int *choice)
{
    const struct node *node = &pbqp->nodes[x];
    int best_option = 0;
    float best = FLT_MAX;
    for (int i = 0; i < node->option_count; i++) {
        float cost = node->costs[i];
        for (struct edge *edge = node->edges; edge != NULL && cost < FLT_MAX;
             edge = *link_of(edge, x)) {
            const uint32_t y = other_end(edge, x);
            if (rank[y] > rank[x])
                cost += *cost_at(edge, x, i, choice[y]);
        }
        if (cost < best) {
            best = cost;
            best_option = i;
        }
    }
    return best_option;
}

enum dyno_status dyno_pbqp_solve(struct dyno_pbqp *pbqp, int *choice_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    uint32_t *rank = dyno_alloc(pbqp->node_count + 1U, sizeof(*rank));
    if (rank == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < pbqp->node_count; i++) {
        const uint32_t x = pick(pbqp);
        if (pbqp->nodes[x].degree == 1) {
            reduce_one(pbqp, x);
        } else if (pbqp->nodes[x].degree == 2) {
            if (!reduce_two(pbqp, x)) {
                status = DYNO_NOMEM(err);
                goto out;
            }
        } else if (pbqp->nodes[x].degree > 2) {
            settle(pbqp, x);
        }
        pbqp->nodes[x].gone = true;
        rank[x] = i;
        pbqp->order[i] = x;
    }
    for (uint32_t i = pbqp->node_count; i > 0; i--) {
        const uint32_t x = pbqp->order[i - 1];
        choice_out[x] = choose(pbqp, x, rank, choice_out);
    }
out:
    dyno_free(rank);
    return status;
}
