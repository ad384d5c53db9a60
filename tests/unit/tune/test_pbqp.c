/* test_pbqp.c - the choice over a whole graph against trying every combination. */
#include "tune/pbqp.h"

#include <math.h>

#include "base/mem.h"
#include "test.h"

#define NODES_MAX 8
#define EDGES_MAX 28

/* A problem kept beside the solver's, to be solved by brute force. */
struct problem {
    uint32_t node_count, edge_count;
    int options[NODES_MAX];
    float costs[NODES_MAX][DYNO_PBQP_OPTIONS_MAX];
    uint32_t a[EDGES_MAX], b[EDGES_MAX];
    float edges[EDGES_MAX][DYNO_PBQP_OPTIONS_MAX * DYNO_PBQP_OPTIONS_MAX];
};

static uint32_t random_state = 7;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (random_state >> 8) % bound;
}

/* Sixteenths: sums are exact, so that equal means equal. */
static float random_cost(void)
{
    return (float)random_below(1600) / 16.0F;
}

static void add_edge(struct problem *problem, uint32_t a, uint32_t b)
{
    const uint32_t e = problem->edge_count++;
    problem->a[e] = a;
    problem->b[e] = b;
    for (int i = 0; i < problem->options[a] * problem->options[b]; i++)
        problem->edges[e][i] = random_below(4) == 0 ? 0.0F : random_cost();
}

static void set_nodes(struct problem *problem, uint32_t count)
{
    problem->node_count = count;
    problem->edge_count = 0;
    for (uint32_t n = 0; n < count; n++) {
        problem->options[n] = 1 + (int)random_below(4);
        for (int i = 0; i < problem->options[n]; i++)
            problem->costs[n][i] = random_cost();
    }
}

static double cost_of(const struct problem *problem, const int *choice)
{
    double cost = 0.0;
    for (uint32_t n = 0; n < problem->node_count; n++)
        cost += (double)problem->costs[n][choice[n]];
    for (uint32_t e = 0; e < problem->edge_count; e++) {
        const uint32_t a = problem->a[e];
        const uint32_t b = problem->b[e];
        cost += (double)problem->edges[e][choice[a] * problem->options[b] + choice[b]];
    }
    return cost;
}

/* Least and mean cost of all combinations. */
static void try_all(const struct problem *problem, double *least_out, double *mean_out)
{
    int choice[NODES_MAX] = {0};
    double sum = 0.0;
    uint64_t count = 0;
    *least_out = INFINITY;
    for (;;) {
        const double cost = cost_of(problem, choice);
        *least_out = fmin(*least_out, cost);
        sum += cost;
        count++;
        uint32_t n = 0;
        while (n < problem->node_count && ++choice[n] == problem->options[n])
            choice[n++] = 0;
        if (n == problem->node_count)
            break;
    }
    *mean_out = sum / (double)count;
}

static double solve(const struct problem *problem)
{
    int choice[NODES_MAX];
    struct dyno_pbqp *pbqp = dyno_pbqp_create(problem->node_count);
    REQUIRE(pbqp != NULL);
    for (uint32_t n = 0; n < problem->node_count; n++)
        dyno_pbqp_node(pbqp, n, problem->costs[n], problem->options[n]);
    for (uint32_t e = 0; e < problem->edge_count; e++)
        CHECK(dyno_pbqp_edge(pbqp, problem->a[e], problem->b[e], problem->edges[e], NULL) ==
              DYNO_OK);
    CHECK(dyno_pbqp_solve(pbqp, choice, NULL) == DYNO_OK);
    dyno_pbqp_destroy(pbqp);
    for (uint32_t n = 0; n < problem->node_count; n++)
        REQUIRE(choice[n] >= 0 && choice[n] < problem->options[n]);
    return cost_of(problem, choice);
}

static void check_exact(const char *what, const struct problem *problem)
{
    double least = 0.0;
    double mean = 0.0;
    try_all(problem, &least, &mean);
    const double got = solve(problem);
    CHECK_MSG(got == least, "%s of %u nodes: %g, best is %g", what, problem->node_count, got,
              least);
}

static void test_chains_and_trees(void)
{
    struct problem problem;
    for (int round = 0; round < 200; round++) {
        set_nodes(&problem, 1 + random_below(NODES_MAX));
        for (uint32_t n = 1; n < problem.node_count; n++)
            add_edge(&problem, n - 1, n);
        check_exact("chain", &problem);
        set_nodes(&problem, 1 + random_below(NODES_MAX));
        for (uint32_t n = 1; n < problem.node_count; n++)
            add_edge(&problem, n, random_below(n));
        check_exact("tree", &problem);
    }
}

/* A residual block: one source, two ways, one sink; and one after the other. */
static void test_diamonds(void)
{
    struct problem problem;
    for (int round = 0; round < 200; round++) {
        set_nodes(&problem, 7);
        for (uint32_t first = 0; first < 6; first += 3) {
            add_edge(&problem, first, first + 1);
            add_edge(&problem, first + 2, first);
            add_edge(&problem, first + 1, first + 3);
            add_edge(&problem, first + 2, first + 3);
        }
        check_exact("diamonds", &problem);
        set_nodes(&problem, 4);
        for (uint32_t n = 0; n < 4; n++)
            add_edge(&problem, n, (n + 1) % 4);
        check_exact("ring", &problem);
    }
}

/* Each new node joins one or two that share an edge: what the reductions solve exactly. */
static void test_two_trees(void)
{
    struct problem problem;
    for (int round = 0; round < 300; round++) {
        set_nodes(&problem, 3 + random_below(NODES_MAX - 2));
        add_edge(&problem, 0, 1);
        for (uint32_t n = 2; n < problem.node_count; n++) {
            const uint32_t e = random_below(problem.edge_count);
            const uint32_t a = problem.a[e];
            const uint32_t b = problem.b[e];
            add_edge(&problem, n, a);
            if (random_below(3) != 0)
                add_edge(&problem, b, n);
        }
        check_exact("two-tree", &problem);
    }
}

/* Everybody beside everybody: not exact, but near it, and never worse than chance. */
static void test_dense(void)
{
    struct problem problem;
    double ratio = 0.0;
    enum { ROUNDS = 200 };
    for (int round = 0; round < ROUNDS; round++) {
        double least = 0.0;
        double mean = 0.0;
        set_nodes(&problem, 4 + random_below(3));
        for (uint32_t a = 0; a < problem.node_count; a++) {
            for (uint32_t b = 0; b < a; b++)
                add_edge(&problem, a, b);
        }
        try_all(&problem, &least, &mean);
        const double got = solve(&problem);
        CHECK(got >= least);
        CHECK_MSG(got <= mean, "%g, the mean is %g", got, mean);
        ratio += got / least / ROUNDS;
    }
    CHECK_MSG(ratio < 1.1, "mean of cost / least cost is %g", ratio);
}

static void test_edges_add_up(void)
{
    struct problem problem;
    for (int round = 0; round < 100; round++) {
        set_nodes(&problem, 3);
        add_edge(&problem, 0, 1);
        add_edge(&problem, 1, 0);
        add_edge(&problem, 1, 2);
        add_edge(&problem, 1, 2);
        check_exact("doubled edges", &problem);
    }
}

static void test_forbidden(void)
{
    /* 0 may not stand beside 0: the dearer options are taken. */
    const float costs[2] = {1.0F, 10.0F};
    const float edge[4] = {INFINITY, 0.0F, 0.0F, 0.0F};
    int choice[3];
    struct dyno_pbqp *pbqp = dyno_pbqp_create(3);
    for (uint32_t n = 0; n < 3; n++)
        dyno_pbqp_node(pbqp, n, costs, 2);
    CHECK(dyno_pbqp_edge(pbqp, 0, 1, edge, NULL) == DYNO_OK);
    CHECK(dyno_pbqp_edge(pbqp, 1, 2, edge, NULL) == DYNO_OK);
    CHECK(dyno_pbqp_solve(pbqp, choice, NULL) == DYNO_OK);
    CHECK(choice[0] == 0 && choice[1] == 1 && choice[2] == 0);
    dyno_pbqp_destroy(pbqp);
    dyno_pbqp_destroy(NULL);
}

static enum dyno_status ring_of_four(void)
{
    const float costs[2] = {1.0F, 2.0F};
    const float edge[4] = {0.0F, 1.0F, 1.0F, 0.0F};
    int choice[4];
    struct dyno_pbqp *pbqp = dyno_pbqp_create(4);
    enum dyno_status status = pbqp != NULL ? DYNO_OK : DYNO_E_NOMEM;
    for (uint32_t n = 0; n < 4 && pbqp != NULL; n++)
        dyno_pbqp_node(pbqp, n, costs, 2);
    for (uint32_t n = 0; n < 4 && status == DYNO_OK; n++)
        status = dyno_pbqp_edge(pbqp, n, (n + 1) % 4, edge, NULL);
    if (status == DYNO_OK)
        status = dyno_pbqp_solve(pbqp, choice, NULL);
    dyno_pbqp_destroy(pbqp);
    return status;
}

static void test_no_memory(void)
{
    enum dyno_status status = DYNO_E_NOMEM;
    uint64_t nth = 1;
    for (; status != DYNO_OK && nth < 100; nth++) {
        dyno_mem_fail_at(nth);
        status = ring_of_four();
        dyno_mem_fail_at(0);
        CHECK(status == DYNO_OK || status == DYNO_E_NOMEM);
        CHECK(dyno_mem_live_count() == 0);
    }
    CHECK(nth > 8 && status == DYNO_OK);
}

int main(void)
{
    test_chains_and_trees();
    test_diamonds();
    test_two_trees();
    test_dense();
    test_edges_add_up();
    test_forbidden();
    test_no_memory();
    return TEST_RESULT();
}
