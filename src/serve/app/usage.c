/* usage.c - records on their way, and what becomes of their answers. */
#include "serve/app/usage.h"

#include "base/mem.h"
#include "serve/app/metering.h"

#define SPARE_MAX 4096

static struct dyno_io *of_hold(struct dyno_hold *hold)
{
    return (struct dyno_io *)(void *)((char *)hold - offsetof(struct dyno_io, usage.hold));
}

static struct dyno_io *of_bell(struct dyno_mail *bell)
{
    return (struct dyno_io *)(void *)((char *)bell - offsetof(struct dyno_io, usage.bell));
}

/* --- memory --- */

/* By the committer. */
static void done(struct dyno_ledger_entry *entry)
{
    struct dyno_usage *usage = (struct dyno_usage *)(void *)entry; /* its first member */
    if (entry->status != DYNO_OK)
        return; /* the server has ended, and answers nobody */
    dyno_quota_post(&entry->record, &usage->reservation);
    usage->io->usage.is_awaited = true;
}

struct dyno_usage *dyno_usage_create(struct dyno_io *io)
{
    struct dyno_usage *usage = io->usage.spare;
    if (usage != NULL) {
        io->usage.spare = usage->next;
        io->usage.spare_count--;
    } else {
        usage = dyno_alloc_raw(1, sizeof(*usage));
    }
    if (usage == NULL)
        return NULL;
    usage->reservation.quota = NULL;
    usage->reservation.count = 0;
    usage->entry.done = done;
    usage->entry.next = NULL;
    usage->io = io;
    usage->next = NULL;
    usage->conn = NULL;
    usage->is_durable = usage->is_settled = false;
    return usage;
}

void dyno_usage_destroy(struct dyno_usage *usage)
{
    struct dyno_io *io = usage->io;
    dyno_quota_release(&usage->reservation);
    if (io->usage.spare_count == SPARE_MAX) {
        dyno_free(usage);
        return;
    }
    usage->next = io->usage.spare;
    io->usage.spare = usage;
    io->usage.spare_count++;
}

/* --- what becomes of an answer --- */

/* Durable, and over. */
static void finish(struct dyno_usage *usage)
{
    if (usage->conn != NULL && !usage->conn->closed)
        dyno_call_left(usage->io, usage->entry.record.id.seq);
    else
        dyno_meter_lost(usage->io->server->meter, &usage->entry, &usage->reservation);
    dyno_usage_destroy(usage);
}

void dyno_usage_settle(struct dyno_usage *usage, bool has_left)
{
    if (!has_left)
        usage->conn = NULL;
    usage->is_settled = true;
    if (usage->is_durable)
        finish(usage);
    else /* its call is not counted any more */
        atomic_fetch_add_explicit(&usage->io->open_count, 1, memory_order_relaxed);
}

/* What it has not sent will not leave. */
static void gone(struct dyno_hold *hold, const struct dyno_conn *conn)
{
    for (struct dyno_usage *usage = of_hold(hold)->usage.pending; usage != NULL;
         usage = usage->next)
        if (usage->conn == conn)
            usage->conn = NULL;
}

/* --- when it is durable --- */

void dyno_usage_begin(struct dyno_usage *usage)
{
    struct dyno_io_usage *all = &usage->io->usage;
    if (all->pending == NULL)
        all->pending_last = &all->pending;
    *all->pending_last = usage;
    all->pending_last = &usage->next;
}

void dyno_usage_committed(struct dyno_server *server, uint64_t seq)
{
    atomic_store(&server->told_seq, seq);
    for (int i = 0; i < server->io_count; i++) {
        struct dyno_io_usage *usage = &server->ios[i].usage;
        if (!usage->is_awaited)
            continue;
        usage->is_awaited = false;
        if (!atomic_exchange(&usage->is_rung, true))
            dyno_loop_post(server->ios[i].loop, &usage->bell);
    }
}

/* On the I/O thread, once for all that has become durable meanwhile. */
static void ring(struct dyno_mail *bell)
{
    struct dyno_io *io = of_bell(bell);
    struct dyno_io_usage *all = &io->usage;
    atomic_store(&all->is_rung, false);
    const uint64_t seq = atomic_load(&io->server->told_seq);
    while (all->pending != NULL && all->pending->entry.record.id.seq <= seq) {
        struct dyno_usage *usage = all->pending;
        all->pending = usage->next;
        usage->is_durable = true;
        if (!usage->is_settled)
            continue;
        atomic_fetch_sub_explicit(&io->open_count, 1, memory_order_relaxed);
        finish(usage);
    }
    dyno_hold_release(&all->hold, seq);
}

/* --- opening and closing --- */

void dyno_usage_init(struct dyno_io *io)
{
    io->usage.hold.gone = gone;
    io->usage.bell.deliver = ring;
}

void dyno_usage_fini(struct dyno_io *io)
{
    while (io->usage.pending != NULL) {
        struct dyno_usage *usage = io->usage.pending;
        io->usage.pending = usage->next;
        dyno_usage_destroy(usage);
    }
    while (io->usage.spare != NULL) {
        struct dyno_usage *usage = io->usage.spare;
        io->usage.spare = usage->next;
        dyno_free(usage);
    }
    io->usage.spare_count = 0;
}
