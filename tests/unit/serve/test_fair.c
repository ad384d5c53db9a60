/* test_fair.c - a device simulated in virtual time: who gets it, for how long, and who is late. */
#include "base/mem.h"
#include "serve/sched/form.h"

#include "test.h"

#define TASKS_MAX 4096
#define MS        UINT64_C(1000000)

/* One lane, and variants whose runs take exactly what is said of them. */
struct sim {
    struct dyno_task tasks[TASKS_MAX]; /* they are aligned: first */
    struct dyno_variant variants[4];
    struct dyno_array inputs[TASKS_MAX];
    struct dyno_classes classes;
    struct dyno_fair fair;
    uint64_t now_ns, base_ns[4], row_ns[4];
    uint64_t held_wake_ns;
    int task_count;
};

static void init(struct sim *sim)
{
    memset(sim, 0, sizeof(*sim));
    dyno_classes_init(&sim->classes);
    sim->fair.classes = &sim->classes;
    sim->now_ns = 1000 * MS;
}

static void fini(struct sim *sim)
{
    dyno_fair_fini(&sim->fair);
}

/* A run of n rows takes base + n * row. */
static void add_variant(struct sim *sim, int idx, uint64_t base_ns, uint64_t row_ns,
                        int64_t max_batch)
{
    struct dyno_variant *variant = &sim->variants[idx];
    (void)pthread_mutex_init(&variant->lock, NULL);
    variant->input_count = 1;
    variant->max_batch = max_batch;
    variant->instances[0] = (struct dyno_instance *)(void *)variant; /* never looked into */
    variant->instance_count = variant->idle_count = 1;
    sim->base_ns[idx] = base_ns;
    sim->row_ns[idx] = row_ns;
    const struct dyno_cost_key key = {.hash = 7, .elements = 1};
    for (int64_t rows = 1; rows <= (max_batch > 0 ? max_batch : 1); rows++)
        dyno_cost_note(&variant->cost, &key, rows, base_ns + row_ns * (uint64_t)rows);
}

static struct dyno_task *submit(struct sim *sim, int variant, int class_idx, uint64_t tenant,
                                uint64_t deadline_ns)
{
    REQUIRE(sim->task_count < TASKS_MAX);
    struct dyno_task *task = &sim->tasks[sim->task_count];
    struct dyno_array *input = &sim->inputs[sim->task_count++];
    *input = (struct dyno_array){.rank = 1, .dims = {1}};
    task->variant = &sim->variants[variant];
    task->inputs = input;
    task->class_idx = class_idx;
    task->tenant = tenant;
    task->deadline_ns = deadline_ns;
    task->rows = 1;
    task->key = (struct dyno_cost_key){.hash = 7, .elements = 1};
    task->queue_ns = sim->now_ns;
    task->cost_ns = task->alone_ns = dyno_variant_predict(task->variant, &task->key, 1);
    dyno_form_arrived(task->variant, sim->now_ns);
    CHECK(dyno_fair_join(&sim->fair, task, NULL) == DYNO_OK);
    return task;
}

/* One run; false: nothing runs now.  Tasks get start, end and status. */
static bool step(struct sim *sim, struct dyno_form *form)
{
    *form = (struct dyno_form){.lane = 0};
    const bool found = dyno_form_next(&sim->fair, sim->now_ns, 1, form, &sim->held_wake_ns);
    for (struct dyno_task *task = form->dropped; task != NULL; task = task->next)
        task->status = DYNO_E_BUSY;
    if (!found)
        return false;
    struct dyno_variant *variant = form->tasks->variant;
    const long idx = variant - sim->variants;
    const uint64_t run_ns = sim->base_ns[idx] + sim->row_ns[idx] * (uint64_t)form->rows;
    for (struct dyno_task *task = form->tasks; task != NULL; task = task->next) {
        task->start_ns = sim->now_ns;
        task->end_ns = sim->now_ns + run_ns;
        task->device_ns = run_ns / form->count;
        dyno_fair_charge(&sim->fair, task->class_idx, task->tenant,
                         (int64_t)task->device_ns - (int64_t)task->cost_ns);
    }
    dyno_variant_return(variant, form->instance);
    sim->now_ns += run_ns;
    return true;
}

static uint64_t device_ns(const struct sim *sim, int class_idx, uint64_t tenant, uint64_t until_ns)
{
    uint64_t ns = 0;
    for (int i = 0; i < sim->task_count; i++) {
        const struct dyno_task *task = &sim->tasks[i];
        if (task->class_idx == class_idx && task->tenant == tenant && task->end_ns != 0 &&
            task->end_ns <= until_ns)
            ns += task->device_ns;
    }
    return ns;
}

static bool is_share(uint64_t got_ns, double want_ns)
{
    return ((double)got_ns > want_ns * 0.9 && (double)got_ns < want_ns * 1.1) ||
           test_say("got %llu ns, want about %g", (unsigned long long)got_ns, want_ns);
}

static struct sim sim;

/* --- shares --- */

static void test_classes_share_by_weight(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 1 * MS, 0);
    CHECK(dyno_classes_set(&sim.classes, "realtime,deadline=0,weight=6", NULL) == DYNO_OK);
    CHECK(dyno_classes_set(&sim.classes, "standard,weight=3", NULL) == DYNO_OK);
    for (int i = 0; i < 600; i++)
        for (int c = 0; c < 3; c++)
            (void)submit(&sim, 0, c, 1, 0);
    const uint64_t start_ns = sim.now_ns;
    while (sim.now_ns < start_ns + 500 * MS && step(&sim, &form)) {
    }
    CHECK(is_share(device_ns(&sim, 0, 1, sim.now_ns), 300.0 * MS));
    CHECK(is_share(device_ns(&sim, 1, 1, sim.now_ns), 150.0 * MS));
    CHECK(is_share(device_ns(&sim, 2, 1, sim.now_ns), 50.0 * MS));
    while (step(&sim, &form)) {
    }
    CHECK(sim.fair.waiting_count == 0 && sim.fair.backlog_ns == 0);
    fini(&sim);
}

/* A tenant with long runs and many requests takes no more of the device than one with short ones.
 */
static void test_tenants_share_alike(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 10 * MS, 0);
    add_variant(&sim, 1, 0, 1 * MS, 0);
    for (int i = 0; i < 1000; i++)
        (void)submit(&sim, 0, 1, 1, 0);
    for (int i = 0; i < 1000; i++)
        (void)submit(&sim, 1, 1, 2, 0);
    const uint64_t start_ns = sim.now_ns;
    while (sim.now_ns < start_ns + 1000 * MS && step(&sim, &form)) {
    }
    CHECK(is_share(device_ns(&sim, 1, 1, sim.now_ns), 500.0 * MS));
    CHECK(is_share(device_ns(&sim, 1, 2, sim.now_ns), 500.0 * MS));
    while (step(&sim, &form)) {
    }
    fini(&sim);
}

/* Who was away has saved nothing: he begins where the others are, and so does a class. */
static void test_a_pause_saves_nothing(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 1 * MS, 0);
    for (int i = 0; i < 1000; i++)
        (void)submit(&sim, 0, 1, 1, 0);
    for (int i = 0; i < 500; i++)
        CHECK(step(&sim, &form));
    const uint64_t back_ns = sim.now_ns;
    for (int i = 0; i < 1000; i++)
        (void)submit(&sim, 0, 1, 2, 0);
    for (int i = 0; i < 1000; i++)
        (void)submit(&sim, 0, 2, 3, 0);
    for (int i = 0; i < 400; i++)
        CHECK(step(&sim, &form));
    const uint64_t first = device_ns(&sim, 1, 1, sim.now_ns) - device_ns(&sim, 1, 1, back_ns);
    const uint64_t second = device_ns(&sim, 1, 2, sim.now_ns);
    CHECK(is_share(first, 160.0 * MS) && is_share(second, 160.0 * MS));
    CHECK(is_share(device_ns(&sim, 2, 3, sim.now_ns), 80.0 * MS)); /* weight 1 of 5 */
    while (step(&sim, &form)) {
    }
    fini(&sim);
}

static void test_nobody_starves(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 1 * MS, 0);
    CHECK(dyno_classes_set(&sim.classes, "realtime,deadline=0,weight=1000", NULL) == DYNO_OK);
    const struct dyno_task *batch = submit(&sim, 0, 2, 9, 0);
    for (int i = 0; i < 2000 && batch->end_ns == 0; i++) {
        (void)submit(&sim, 0, 0, 1, 0);
        CHECK(step(&sim, &form));
    }
    CHECK(batch->end_ns != 0);
    while (step(&sim, &form)) {
    }
    fini(&sim);
}

/* --- deadlines --- */

static void test_order_by_deadline(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 1 * MS, 0);
    const uint64_t now_ns = sim.now_ns;
    const struct dyno_task *none = submit(&sim, 0, 1, 1, 0);
    const struct dyno_task *late = submit(&sim, 0, 1, 1, now_ns + 500 * MS);
    const struct dyno_task *soon = submit(&sim, 0, 1, 1, now_ns + 50 * MS);
    const struct dyno_task *next = submit(&sim, 0, 1, 1, now_ns + 500 * MS);
    while (step(&sim, &form)) {
    }
    CHECK(soon->start_ns < late->start_ns && late->start_ns < next->start_ns);
    CHECK(next->start_ns < none->start_ns && none->end_ns != 0);
    fini(&sim);
}

static void test_hopeless_ones_are_dropped(void)
{
    struct dyno_form form;
    struct dyno_task *dropped = NULL;
    init(&sim);
    add_variant(&sim, 0, 0, 10 * MS, 0);
    struct dyno_task *first = submit(&sim, 0, 1, 1, sim.now_ns + 30 * MS);
    struct dyno_task *second = submit(&sim, 0, 1, 1, sim.now_ns + 12 * MS);
    struct dyno_task *third = submit(&sim, 0, 1, 1, sim.now_ns + 14 * MS);
    CHECK(step(&sim, &form) && form.tasks == second);
    CHECK(step(&sim, &form) && form.tasks == first && form.dropped == third);
    struct dyno_task *fourth = submit(&sim, 0, 1, 1, sim.now_ns + 5 * MS);
    struct dyno_task *fifth = submit(&sim, 0, 1, 1, sim.now_ns + 500 * MS);
    struct dyno_task *sixth = submit(&sim, 0, 1, 1, 0);
    atomic_store(&sixth->is_cancelled, true);
    CHECK(dyno_form_sweep(&sim.fair, sim.now_ns, &dropped) == sim.now_ns + 500 * MS);
    CHECK((dropped == fourth && fourth->next == sixth) ||
          (dropped == sixth && sixth->next == fourth));
    CHECK(step(&sim, &form) && form.tasks == fifth && !step(&sim, &form));
    fini(&sim);
}

/* --- batches --- */

static void test_batch_takes_what_there_is(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 5 * MS, 1 * MS, 8);
    for (int i = 0; i < 20; i++)
        (void)submit(&sim, 0, 1, (uint64_t)(i % 3), 0);
    int64_t sizes[3] = {0};
    for (int i = 0; i < 3; i++) {
        sim.now_ns += 1000 * MS; /* nobody is expected any more */
        CHECK(step(&sim, &form));
        sizes[i] = form.rows;
    }
    CHECK(sizes[0] == 8 && sizes[1] == 8 && sizes[2] == 4);
    CHECK(!step(&sim, &form));
    fini(&sim);
}

/* The run of a batch is no longer than lets the tightest class in use be in time. */
static void test_batch_is_bounded_by_the_tightest_class(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 20 * MS, 16);
    add_variant(&sim, 1, 0, 10 * MS, 0);
    for (int i = 0; i < 64; i++)
        (void)submit(&sim, 0, 2, 1, 0);
    sim.now_ns += 1000 * MS;
    CHECK(step(&sim, &form) && form.rows == 16); /* nobody is in a hurry */
    (void)submit(&sim, 1, 0, 2, sim.now_ns + 200 * MS);
    CHECK(step(&sim, &form) && form.tasks->class_idx == 0);
    CHECK(step(&sim, &form) && form.rows == 9); /* 180 ms and the 10 of the class's own */
    sim.now_ns += 11000 * MS;
    CHECK(step(&sim, &form) && form.rows == 16); /* forgotten after a while */
    while (step(&sim, &form)) {
    }
    fini(&sim);
}

static void test_batch_keeps_deadlines(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 10 * MS, 10 * MS, 16);
    for (int i = 0; i < 10; i++)
        (void)submit(&sim, 0, 1, 1, sim.now_ns + 45 * MS);
    CHECK(step(&sim, &form) && form.rows == 3); /* 40 ms; 50 would be late */
    CHECK(form.tasks->end_ns <= form.deadline_ns);
    while (step(&sim, &form)) {
    }
    fini(&sim);
}

/* Where two runs are quicker than one together, they stay apart. */
static void test_batch_that_does_not_pay_is_not_made(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 1 * MS, 8);
    const struct dyno_cost_key key = {.hash = 7, .elements = 1};
    for (int64_t rows = 2; rows <= 8; rows++)
        for (int i = 0; i < 60; i++)
            dyno_cost_note(&sim.variants[0].cost, &key, rows, (uint64_t)rows * 2 * MS);
    for (int i = 0; i < 10; i++)
        (void)submit(&sim, 0, 1, 1, 0);
    sim.now_ns += 1000 * MS;
    for (int i = 0; i < 10; i++)
        CHECK(step(&sim, &form) && form.rows == 1);
    fini(&sim);
}

/* --- holding back --- */

/* Requests that come every 100 us, and 10 ms saved by each that joins: the run waits for them. */
static void test_waits_while_it_pays(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 10 * MS, 1 * MS, 8);
    sim.variants[0].gather.use = 1.0;
    for (int i = 0; i < 50; i++) { /* how they come */
        sim.now_ns += 100000;
        dyno_form_arrived(&sim.variants[0], sim.now_ns);
    }
    (void)submit(&sim, 0, 1, 1, 0);
    CHECK(!step(&sim, &form) && sim.held_wake_ns > sim.now_ns);
    CHECK(sim.held_wake_ns <= sim.now_ns + 1 * MS);
    for (int i = 0; i < 7; i++) {
        sim.now_ns += 100000;
        CHECK(!step(&sim, &form));
        (void)submit(&sim, 0, 1, 1, 0);
    }
    CHECK(step(&sim, &form) && form.rows == 8);
    CHECK(sim.variants[0].gather.use > 0.9);
    /* Nobody else comes: the wait ends, and is remembered. */
    (void)submit(&sim, 0, 1, 1, 0);
    CHECK(!step(&sim, &form));
    sim.now_ns = sim.held_wake_ns;
    CHECK(step(&sim, &form) && form.rows == 1);
    CHECK(sim.variants[0].gather.use < 0.9);
    fini(&sim);
}

/* One client alone, whose next request comes after his answer, never waits. */
static void test_one_client_does_not_wait(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 10 * MS, 1 * MS, 8);
    sim.variants[0].gather.use = 1.0;
    for (int i = 0; i < 100; i++) {
        sim.now_ns += 200000;
        (void)submit(&sim, 0, 1, 1, 0);
        CHECK(step(&sim, &form) || i < 5);
        while (sim.fair.waiting_count > 0) {
            sim.now_ns = sim.held_wake_ns;
            (void)step(&sim, &form);
        }
    }
    fini(&sim);
}

/* A deadline ends the wait in time. */
static void test_deadline_ends_the_wait(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 10 * MS, 1 * MS, 8);
    sim.variants[0].gather.use = 1.0;
    sim.variants[0].gather.gap_ns = 5 * MS;
    struct dyno_task *task = submit(&sim, 0, 1, 1, sim.now_ns + 14 * MS);
    CHECK(!step(&sim, &form));
    CHECK(sim.held_wake_ns == task->deadline_ns - 12 * MS); /* with one more row: 12 ms */
    sim.now_ns = sim.held_wake_ns;
    CHECK(step(&sim, &form) && task->end_ns <= task->deadline_ns);
    fini(&sim);
}

/* --- looking ahead --- */

static void test_wait_is_predicted(void)
{
    struct dyno_form form;
    init(&sim);
    add_variant(&sim, 0, 0, 1 * MS, 0);
    CHECK(dyno_fair_wait_ns(&sim.fair, 1, 1) == 0);
    for (int i = 0; i < 100; i++)
        (void)submit(&sim, 0, 1, 1, 0);
    CHECK(dyno_fair_wait_ns(&sim.fair, 1, 1) == 100 * MS);
    CHECK(dyno_fair_wait_ns(&sim.fair, 1, 2) == 0); /* another tenant is next but for one run */
    CHECK(dyno_fair_wait_ns(&sim.fair, 0, 1) == 0);
    while (step(&sim, &form)) {
    }
    CHECK(dyno_fair_wait_ns(&sim.fair, 1, 1) == 0);
    fini(&sim);
}

static void test_memory_runs_out(void)
{
    init(&sim);
    add_variant(&sim, 0, 0, 1 * MS, 0);
    const uint64_t live = dyno_mem_live_count();
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct dyno_err err = {0};
        struct dyno_task *task = &sim.tasks[0];
        *task = (struct dyno_task){.variant = &sim.variants[0], .tenant = nth, .rows = 1};
        dyno_mem_fail_at(nth);
        CHECK(dyno_fair_join(&sim.fair, task, &err) == DYNO_E_NOMEM);
        dyno_mem_fail_at(0);
        CHECK(sim.fair.waiting_count == 0 && sim.variants[0].lines == NULL);
    }
    fini(&sim);
    CHECK(dyno_mem_live_count() == live);
}

int main(void)
{
    test_classes_share_by_weight();
    test_tenants_share_alike();
    test_a_pause_saves_nothing();
    test_nobody_starves();
    test_order_by_deadline();
    test_hopeless_ones_are_dropped();
    test_batch_takes_what_there_is();
    test_batch_is_bounded_by_the_tightest_class();
    test_batch_keeps_deadlines();
    test_batch_that_does_not_pay_is_not_made();
    test_waits_while_it_pays();
    test_one_client_does_not_wait();
    test_deadline_ends_the_wait();
    test_wait_is_predicted();
    test_memory_runs_out();
    return TEST_RESULT();
}
