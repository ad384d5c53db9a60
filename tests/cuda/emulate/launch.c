/* launch.c - a launch on the CPU: the threads of a cluster are coroutines of the calling thread.
 *
 * A thread runs until it waits for its warp, its block or its cluster, then the next one does.  Odd
 * blocks run their threads from the last to the first, and copy what is copied asynchronously at
 * once; even ones copy it when it is waited for: what is missing a barrier or a wait reads
 * something else in one of the two.
 */
#include "emulate.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define THREADS_MAX  (EMULATE_WARPS * EMULATE_LANES) /* of a cluster */
#define BLOCKS_MAX   8
#define STACK_BYTES  ((size_t)64 << 10)
#define PAGE_BYTES   ((size_t)4096)
#define SHARED_MAX   ((size_t)256 << 10)
#define COPIES_MAX   128
#define BULKS_MAX    16 /* of a block */
#define BARRIER_MARK 0xBA
#define POISON       0xFF /* NaN in every type */

enum state { READY, AT_WARP, AT_BLOCK, AT_CLUSTER, DONE };

struct copy {
    unsigned at;
    int bytes, group;
    const void *from;
};

struct thread {
    void *sp; /* where it goes on */
    enum state state;
    unsigned idx; /* of its block */
    struct block *block;
    enum emulate_op op;
    void *lane;
    int copy_count, group; /* copies under way, in order; the group that is open */
    struct copy copies[COPIES_MAX];
};

/* Of any size; a barrier counts its bytes. */
struct bulk {
    unsigned at, barrier;
    int bytes;
    const unsigned char *from;
};

struct block {
    unsigned char *shared; /* dynamic */
    struct thread *threads;
    struct bulk bulks[BULKS_MAX];
    struct emulate_index idx;
    int bulk_count;      /* copies under way */
    unsigned done_count; /* threads that ended */
    bool is_odd;
};

static struct emulate_now now;
static const struct emulate_launch *launch;
static struct thread *threads, *running; /* running NULL: the scheduler is */
static struct block blocks[BLOCKS_MAX];
static unsigned block_count; /* of a cluster */
static unsigned char *stacks, *shared_maps[BLOCKS_MAX];
static void *scheduler_sp;
static int failure; /* of this launch */
static pthread_t runner;

/* --- switching --- */

/* Keeps what a called function must keep, and the stack in *from; goes on with `to`. */
void emulate_switch(void **from, void *to);
__asm__(
    ".text\n"
    ".type emulate_switch, @function\n"
    "emulate_switch:\n"
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    ".size emulate_switch, . - emulate_switch\n");

/* Gives the thread's place to the scheduler. */
static void leave(enum state state)
{
    struct thread *thread = running;
    thread->state = state;
    running = NULL;
    emulate_switch(&thread->sp, scheduler_sp);
}

static void resume(struct thread *thread)
{
    const unsigned dim = now.block_dim.x;
    now.thread = (struct emulate_index){thread->idx % dim, thread->idx / dim, 0};
    now.block = thread->block->idx;
    now.dynamic = thread->block->shared;
    running = thread;
    emulate_switch(&scheduler_sp, thread->sp);
}

/* Ends the launch; the first reason counts.  Does not return to a thread. */
static void fail(int code, const char *format, ...)
{
    if (failure == EMULATE_OK) {
        va_list args;
        char text[256];
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        (void)fprintf(stderr, "emulated GPU: %s", text);
        if (running != NULL)
            (void)fprintf(stderr, ", thread %u of block %u, %u, %u", running->idx,
                          running->block->idx.x, running->block->idx.y, running->block->idx.z);
        (void)fputc('\n', stderr);
        failure = code;
    }
    if (running != NULL)
        leave(DONE);
}

/* --- what threads call --- */

static void begin(void)
{
    launch->program->enter(launch->params);
    if (running->copy_count != 0)
        fail(EMULATE_FAILED, "a thread ends before its copies");
    running->block->done_count++;
    if (running->block->done_count == launch->threads && running->block->bulk_count != 0)
        fail(EMULATE_FAILED, "a block ends before its copies");
    leave(DONE);
    abort(); /* nobody resumes it */
}

static void block_meet(void)
{
    leave(AT_BLOCK);
}

static void cluster_meet(void)
{
    leave(AT_CLUSTER);
}

static void warp_meet(enum emulate_op op, void *lane)
{
    running->op = op;
    running->lane = lane;
    leave(AT_WARP);
}

void *emulate_shared(unsigned at, unsigned bytes)
{
    const unsigned offset = at - EMULATE_SHARED_AT;
    if (at < EMULATE_SHARED_AT || offset > launch->shared_bytes ||
        bytes > launch->shared_bytes - offset)
        fail(EMULATE_BAD_ADDRESS, "%u bytes of shared memory at %u are outside of its %u", bytes,
             offset, launch->shared_bytes);
    if (offset % bytes != 0)
        fail(EMULATE_MISALIGNED, "%u bytes of shared memory at %u", bytes, offset);
    return now.dynamic + (failure == EMULATE_OK ? offset : 0);
}

static void copy(const struct copy *what)
{
    unsigned char *to = emulate_shared(what->at, 16);
    memset(to, 0, 16);
    memcpy(to, what->from, (size_t)what->bytes);
}

static void copy16(unsigned at, const void *from, int n)
{
    const struct copy what = {.at = at, .bytes = n, .group = running->group, .from = from};
    if (n < 0 || n > 16 || (uintptr_t)from % 16 != 0)
        fail(EMULATE_MISALIGNED, "%d bytes are copied from %p", n, from);
    if (running->block->is_odd)
        copy(&what);
    else if (running->copy_count == COPIES_MAX)
        fail(EMULATE_UNSUPPORTED, "more than %d copies are under way", COPIES_MAX);
    else
        running->copies[running->copy_count++] = what;
}

static void copies_commit(void)
{
    running->group++;
}

static void copies_wait(int left)
{
    struct thread *thread = running;
    int done = 0;
    while (done < thread->copy_count && thread->copies[done].group < thread->group - left)
        copy(&thread->copies[done++]);
    thread->copy_count -= done;
    memmove(thread->copies, thread->copies + done,
            (size_t)thread->copy_count * sizeof(struct copy));
}

static float cluster_load(unsigned at)
{
    const unsigned rank = at / EMULATE_RANK_STEP - 1;
    float x = 0.0F;
    if (rank >= block_count)
        fail(EMULATE_BAD_ADDRESS, "block %u of a cluster of %u", rank, block_count);
    if (blocks[rank].done_count == launch->threads)
        fail(EMULATE_BAD_ADDRESS, "block %u of the cluster has ended", rank);
    const unsigned char *mine = emulate_shared(at % EMULATE_RANK_STEP, 4);
    memcpy(&x, blocks[rank].shared + (mine - now.dynamic), 4);
    return x;
}

/* --- barriers that count copies --- */

/* As it lies in shared memory. */
struct barrier {
    uint8_t mark, phase;
    uint8_t arrivals, left; /* of a phase; of this one */
    int32_t bytes;          /* that are expected and not there yet */
};

static struct barrier *barrier_at(unsigned at)
{
    struct barrier *barrier = emulate_shared(at, sizeof(*barrier));
    if (barrier->mark != BARRIER_MARK)
        fail(EMULATE_FAILED, "no barrier was made at %u", at);
    return barrier;
}

static void barrier_init(unsigned at, int arrivals)
{
    struct barrier *barrier = emulate_shared(at, sizeof(*barrier));
    if (arrivals < 1 || arrivals > UINT8_MAX)
        fail(EMULATE_UNSUPPORTED, "a barrier of %d arrivals", arrivals);
    *barrier = (struct barrier){BARRIER_MARK, 0, (uint8_t)arrivals, (uint8_t)arrivals, 0};
}

static void end_phase(struct barrier *barrier)
{
    if (barrier->left != 0 || barrier->bytes != 0)
        return;
    barrier->phase ^= 1;
    barrier->left = barrier->arrivals;
}

static void barrier_expect(unsigned at, int bytes)
{
    struct barrier *barrier = barrier_at(at);
    if (barrier->left == 0)
        fail(EMULATE_FAILED, "one more arrives at a barrier than it waits for");
    barrier->left--;
    barrier->bytes += bytes;
    end_phase(barrier);
}

static void do_bulk(const struct bulk *what)
{
    struct barrier *barrier = barrier_at(what->barrier);
    for (unsigned i = 0; i < (unsigned)what->bytes; i += 16)
        memcpy(emulate_shared(what->at + i, 16), what->from + i, 16);
    barrier->bytes -= what->bytes;
    end_phase(barrier);
}

static void bulk_copy(unsigned to, const void *from, int bytes, unsigned barrier)
{
    struct block *block = running->block;
    const struct bulk what = {.at = to, .bytes = bytes, .barrier = barrier, .from = from};
    if (bytes < 16 || bytes % 16 != 0 || (uintptr_t)from % 16 != 0)
        fail(EMULATE_MISALIGNED, "%d bytes are copied from %p", bytes, from);
    if (block->is_odd)
        do_bulk(&what);
    else if (block->bulk_count == BULKS_MAX)
        fail(EMULATE_UNSUPPORTED, "more than %d copies are under way", BULKS_MAX);
    else
        block->bulks[block->bulk_count++] = what;
}

/* Whoever waits here has been given the copies that he waits for: nobody goes on meanwhile. */
static void barrier_wait(unsigned at, int parity)
{
    struct block *block = running->block;
    const struct barrier *barrier = barrier_at(at);
    int left = 0;
    if (barrier->phase != (parity & 1))
        return;
    for (int i = 0; i < block->bulk_count; i++) {
        if (block->bulks[i].barrier == at)
            do_bulk(&block->bulks[i]);
        else
            block->bulks[left++] = block->bulks[i];
    }
    block->bulk_count = left;
    if (barrier->phase == (parity & 1))
        fail(EMULATE_FAILED, "a barrier waits for what nobody has begun");
}

/* --- faults --- */

static unsigned char *stack_top(const struct thread *thread)
{
    return stacks + (size_t)(thread - threads + 1) * (STACK_BYTES + PAGE_BYTES);
}

/* In the place of the instruction that failed. */
static void faulted(int signal_number, const char *address)
{
    if (signal_number == SIGILL)
        fail(EMULATE_MISALIGNED, "an address is not a multiple of what is read or written there");
    else if (signal_number == SIGFPE)
        fail(EMULATE_FAILED, "a whole number is divided by zero");
    else
        fail(EMULATE_BAD_ADDRESS, "nothing is at %p", (const void *)address);
}

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };
static struct sigaction before[SIGNALS];

static void on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (running == NULL || !pthread_equal(pthread_self(), runner)) {
        for (int i = 0; i < SIGNALS; i++) {
            if (signals[i] == number)
                (void)sigaction(number, &before[i], NULL); /* it happens again, and is theirs */
        }
        return;
    }
    registers[REG_RIP] = (greg_t)(uintptr_t)faulted;
    registers[REG_RDI] = number;
    registers[REG_RSI] = (greg_t)(uintptr_t)info->si_addr;
    /* Its stack from the start, as after a call: it may be at its end, and nobody goes back. */
    registers[REG_RSP] = (greg_t)(uintptr_t)stack_top(running) - 8;
}

static void watch(stack_t *own)
{
    static unsigned char stack[64 << 10];
    const stack_t ours = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaltstack(&ours, own);
    for (int i = 0; i < SIGNALS; i++)
        (void)sigaction(signals[i], &action, &before[i]);
}

static void unwatch(const stack_t *own)
{
    for (int i = 0; i < SIGNALS; i++)
        (void)sigaction(signals[i], &before[i], NULL);
    (void)sigaltstack(own, NULL);
}

/* --- the scheduler --- */

static void run_lanes(struct thread *first, bool is_odd)
{
    for (int i = 0; i < EMULATE_LANES && failure == EMULATE_OK; i++) {
        struct thread *thread = first + (is_odd ? EMULATE_LANES - 1 - i : i);
        if (thread->state == READY)
            resume(thread);
    }
}

/* Until no lane can go on without other warps. */
static void run_warp(struct thread *first, bool is_odd)
{
    void *lanes[EMULATE_LANES];
    for (run_lanes(first, is_odd); failure == EMULATE_OK; run_lanes(first, is_odd)) {
        int waiting = 0;
        for (int i = 0; i < EMULATE_LANES; i++) {
            waiting += first[i].state == AT_WARP && first[i].op == first[0].op;
            lanes[i] = first[i].lane;
        }
        const bool any = first[0].state == AT_WARP || waiting != 0;
        if (!any)
            return;
        if (waiting != EMULATE_LANES) {
            fail(EMULATE_FAILED, "only %d lanes of warp %u of block %u, %u, %u meet", waiting,
                 first->idx / EMULATE_LANES, first->block->idx.x, first->block->idx.y,
                 first->block->idx.z);
            return;
        }
        now.dynamic = first->block->shared;
        emulate_warp_do(
            first->op, lanes,
            &(struct emulate_warp){.number = (unsigned)(first - threads) / EMULATE_LANES,
                                   .idx = first->idx / EMULATE_LANES,
                                   .is_late = !is_odd});
        for (int i = 0; i < EMULATE_LANES; i++)
            first[i].state = READY;
    }
}

static unsigned count(const struct block *block, enum state state)
{
    unsigned found = 0;
    for (unsigned i = 0; i < launch->threads; i++)
        found += block->threads[i].state == state;
    return found;
}

/* Lets those go on who wait in `state`. */
static void release(const struct block *block, enum state state)
{
    for (unsigned i = 0; i < launch->threads; i++) {
        if (block->threads[i].state == state)
            block->threads[i].state = READY;
    }
}

/* False when the cluster is done, or cannot go on. */
static bool run_round(void)
{
    unsigned at_block = 0, at_cluster = 0, done = 0;
    for (unsigned b = 0; b < block_count; b++) {
        const unsigned warps = launch->threads / EMULATE_LANES;
        for (unsigned w = 0; w < warps && failure == EMULATE_OK; w++)
            run_warp(blocks[b].threads + EMULATE_LANES * (blocks[b].is_odd ? warps - 1 - w : w),
                     blocks[b].is_odd);
        const unsigned here = count(&blocks[b], AT_BLOCK);
        at_cluster += count(&blocks[b], AT_CLUSTER);
        done += blocks[b].done_count;
        if (here != 0 && here + blocks[b].done_count != launch->threads)
            fail(EMULATE_FAILED, "threads of a block wait for one another at two places");
        release(&blocks[b], AT_BLOCK);
        at_block += here;
    }
    if (failure != EMULATE_OK || done == block_count * launch->threads)
        return false;
    if (at_block == 0 && at_cluster + done == block_count * launch->threads) {
        for (unsigned b = 0; b < block_count; b++)
            release(&blocks[b], AT_CLUSTER);
    }
    return true;
}

/* --- memory --- */

static void *map(size_t bytes, int protection)
{
    void *memory =
        mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        (void)fprintf(stderr, "emulated GPU: no memory for its threads\n");
        abort();
    }
    return memory;
}

/* Once; it stays. */
static void prepare(void)
{
    if (threads != NULL)
        return;
    threads = map(THREADS_MAX * sizeof(*threads), PROT_READ | PROT_WRITE);
    stacks = map(THREADS_MAX * (STACK_BYTES + PAGE_BYTES), PROT_READ | PROT_WRITE);
    for (int i = 0; i < THREADS_MAX; i++) /* what grows too deep falls off */
        (void)mprotect(stacks + (size_t)i * (STACK_BYTES + PAGE_BYTES), PAGE_BYTES, PROT_NONE);
    for (int i = 0; i < BLOCKS_MAX; i++) {
        shared_maps[i] = map(SHARED_MAX + PAGE_BYTES, PROT_READ | PROT_WRITE);
        (void)mprotect(shared_maps[i] + SHARED_MAX, PAGE_BYTES, PROT_NONE);
    }
    now = (struct emulate_now){
        .f16 = emulate_f16_table(),
        .block_meet = block_meet,
        .cluster_meet = cluster_meet,
        .warp_meet = warp_meet,
        .copy16 = copy16,
        .copies_commit = copies_commit,
        .copies_wait = copies_wait,
        .cluster_load = cluster_load,
        .barrier_init = barrier_init,
        .barrier_expect = barrier_expect,
        .barrier_wait = barrier_wait,
        .bulk_copy = bulk_copy,
    };
}

static void prepare_thread(struct block *block, unsigned idx)
{
    struct thread *thread = &block->threads[idx];
    void **sp = (void **)(void *)stack_top(thread);
    thread->state = READY;
    thread->idx = idx;
    thread->block = block;
    thread->copy_count = 0;
    thread->group = 0;
    sp -= 2; /* `begin` finds the stack as after a call */
    sp[0] = (void *)(uintptr_t)begin;
    sp[1] = NULL;
    thread->sp = sp - 6; /* the registers that a switch brings back */
}

static void prepare_block(unsigned rank, struct emulate_index idx)
{
    struct block *block = &blocks[rank];
    const struct emulate_about *about = launch->program->about;
    const size_t bytes = (launch->shared_bytes + 1023) / 1024 * 1024;
    block->idx = idx;
    block->done_count = 0;
    block->bulk_count = 0;
    block->is_odd = ((idx.x + idx.y + idx.z) & 1) != 0;
    block->threads = threads + (size_t)rank * launch->threads;
    block->shared = shared_maps[rank] + SHARED_MAX - bytes;
    memset(block->shared, POISON, bytes);
    if (about->shared_begin != about->shared_end)
        memset(about->shared_begin, POISON, (size_t)(about->shared_end - about->shared_begin));
    for (unsigned i = 0; i < launch->threads; i++)
        prepare_thread(block, i);
}

/* The cluster whose first block this is. */
static void run_cluster(struct emulate_index first)
{
    const unsigned *dims = launch->program->about->cluster;
    for (unsigned i = 0; i < block_count; i++)
        prepare_block(i,
                      (struct emulate_index){first.x + i % dims[0], first.y + i / dims[0] % dims[1],
                                             first.z + i / dims[0] / dims[1]});
    while (run_round()) {
    }
    if (emulate_warp_reset() != 0 && failure == EMULATE_OK)
        fail(EMULATE_FAILED, "a warp ends before its products");
}

int emulate_launch_run(const struct emulate_launch *what)
{
    const unsigned *dims = what->program->about->cluster;
    stack_t own;
    prepare();
    launch = what;
    failure = EMULATE_OK;
    block_count = dims[0] * dims[1] * dims[2];
    if (block_count == 0 || block_count > BLOCKS_MAX || what->threads * block_count > THREADS_MAX ||
        what->shared_bytes > SHARED_MAX ||
        (block_count > 1 && what->program->about->shared_begin != what->program->about->shared_end))
        return EMULATE_UNSUPPORTED;
    now.block_dim = (struct emulate_index){what->threads, 1, 1};
    now.grid_dim = (struct emulate_index){what->grid[0], what->grid[1], what->grid[2]};
    *what->program->now = &now;
    runner = pthread_self();
    watch(&own);
    for (unsigned z = 0; z < what->grid[2]; z += dims[2]) {
        for (unsigned y = 0; y < what->grid[1]; y += dims[1]) {
            for (unsigned x = 0; x < what->grid[0] && failure == EMULATE_OK; x += dims[0])
                run_cluster((struct emulate_index){x, y, z});
        }
    }
    unwatch(&own);
    return failure;
}
