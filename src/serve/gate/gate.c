/* gate.c - keeping the book: the control database is watched, read anew, and written to. */
#include "serve/gate/gate.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/budget.h"
#include "serve/gate/internal.h"

#define LOOK_NS      250000000            /* between two looks at the database */
#define WRITE_NS     UINT64_C(2000000000) /* between two writings of use */
#define BUSY_MS      200
#define LAST_WRITES  10 /* attempts at the end, BUSY_MS each where the database is locked */
#define KEPT_DAYS    400
#define HEADER_GRPC  "triton-grpc-protocol-"
#define HEADER_NAMED "x-api-key"

/* --- reading --- */

/* Once until it works again. */
static void complain(bool *complained, enum dyno_status status, const struct dyno_err *err,
                     const char *consequence)
{
    if (status != DYNO_OK && !*complained)
        dyno_log(DYNO_LOG_WARN, "%s: %s", err->text, consequence);
    *complained = status != DYNO_OK;
}

/* A budget that cannot be kept is an error at the start; one that comes later is told of, and
 * refuses its tenant's requests. */
static enum dyno_status check_budgets(struct dyno_gate *gate,
                                      const struct dyno_tenant_budget *budgets, size_t count,
                                      struct dyno_err *err)
{
    struct dyno_err late = {0};
    if (gate->book == NULL)
        return dyno_quota_check(gate->quota, budgets, count, err);
    complain(&gate->complained_budget, dyno_quota_check(gate->quota, budgets, count, &late), &late,
             "its requests are refused");
    return DYNO_OK;
}

static enum dyno_status make_book(struct dyno_gate *gate, struct dyno_arena *arena,
                                  struct dyno_book **book_out, struct dyno_err *err)
{
    struct dyno_tenant *tenants = NULL;
    struct dyno_tenant_budget *budgets = NULL;
    struct dyno_book_rows rows = {.day = dyno_day_of(dyno_now_s())};
    const struct dyno_book *before = gate->book; /* only this thread changes it */
    DYNO_TRY(dyno_control_read(gate->control, NULL, rows.day, arena, &tenants, &rows.count, err));
    if (gate->quota != NULL)
        DYNO_TRY(dyno_control_read_budgets(gate->control, NULL, arena, &budgets, &rows.budget_count,
                                           err));
    rows.tenants = tenants;
    rows.budgets = budgets;
    if (gate->quota != NULL)
        DYNO_TRY(check_budgets(gate, budgets, rows.budget_count, err));
    return dyno_book_create(gate, before != NULL ? before->version + 1 : 1, &rows, before, book_out,
                            err);
}

static enum dyno_status read_book(struct dyno_gate *gate, struct dyno_err *err)
{
    struct dyno_book *book = NULL;
    struct dyno_book *before = gate->book;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = make_book(gate, arena, &book, err);
    dyno_arena_destroy(arena);
    DYNO_TRY(status);
    (void)pthread_mutex_lock(&gate->lock);
    gate->book = book;
    atomic_store(&gate->version, book->version);
    (void)pthread_mutex_unlock(&gate->lock);
    dyno_book_destroy(before);
    if (gate->quota != NULL)
        dyno_quota_wake(gate->quota);
    return DYNO_OK;
}

/* SQLite's log beside the file belongs to the file that was opened: another one under its name must
 * not be touched. */
static enum dyno_status check_file(const struct dyno_gate *gate, struct dyno_err *err)
{
    if (!dyno_control_is_replaced(gate->control))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_IO,
                     "control database \"%s\" is not the file any more that was opened: start the "
                     "server again",
                     gate->control_db);
}

static enum dyno_status look(struct dyno_gate *gate, struct dyno_err *err)
{
    bool has_changed = false;
    DYNO_TRY(check_file(gate, err));
    DYNO_TRY(dyno_control_has_changed(gate->control, &has_changed, err));
    gate->is_stale = gate->is_stale || has_changed;
    if (!gate->is_stale)
        return DYNO_OK;
    DYNO_TRY(read_book(gate, err));
    gate->is_stale = false;
    return DYNO_OK;
}

/* --- writing --- */

static enum dyno_status write_rows(struct dyno_gate *gate, struct dyno_use_row *rows,
                                   struct dyno_err *err)
{
    const struct dyno_book *book = gate->book;
    size_t count = 0;
    for (size_t i = 0; i < book->policy_count; i++)
        count += dyno_allowance_unwritten(book->policies[i]->allowance, book->policies[i]->tenant,
                                          rows + count);
    if (count == 0)
        return DYNO_OK;
    DYNO_TRY(dyno_control_add_use(gate->control, rows, count, err));
    size_t at = 0;
    for (size_t i = 0; i < book->policy_count; i++)
        for (; at < count && rows[at].tenant == book->policies[i]->tenant; at++)
            dyno_allowance_written(book->policies[i]->allowance, &rows[at]);
    return DYNO_OK;
}

static enum dyno_status write_use(struct dyno_gate *gate, struct dyno_err *err)
{
    const int64_t forgotten_day = dyno_day_of(dyno_now_s()) - KEPT_DAYS;
    DYNO_TRY(check_file(gate, err));
    struct dyno_use_row *rows =
        dyno_alloc(gate->book->policy_count * DYNO_ALLOWANCE_ROWS + 1, sizeof(*rows));
    if (rows == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = write_rows(gate, rows, err);
    dyno_free(rows);
    if (status == DYNO_OK && forgotten_day > gate->forgotten_day) {
        status = dyno_control_forget_use(gate->control, forgotten_day, err);
        if (status == DYNO_OK)
            gate->forgotten_day = forgotten_day;
    }
    return status;
}

/* --- the thread --- */

static bool wait_a_moment(struct dyno_gate *gate)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&gate->wait_lock);
    int code = 0;
    while (!gate->is_ending && code == 0)
        code = pthread_cond_timedwait(&gate->wait, &gate->wait_lock, &until);
    const bool is_ending = gate->is_ending;
    (void)pthread_mutex_unlock(&gate->wait_lock);
    return is_ending;
}

static void *keep_book(void *arg)
{
    struct dyno_gate *gate = arg;
    while (!wait_a_moment(gate)) {
        struct dyno_err err = {0};
        const enum dyno_status status = look(gate, &err);
        complain(&gate->complained_read, status, &err, "the tenants known so far stay in force");
        if (dyno_clock_ns() < gate->write_ns)
            continue;
        gate->write_ns = dyno_clock_ns() + WRITE_NS;
        err = (struct dyno_err){0};
        complain(&gate->complained_write, write_use(gate, &err), &err,
                 "what tenants use is written later");
    }
    for (int attempt = 1;; attempt++) {
        struct dyno_err err = {0};
        if (write_use(gate, &err) == DYNO_OK)
            return NULL;
        if (err.status == DYNO_E_BUSY && attempt < LAST_WRITES)
            continue;
        dyno_log(DYNO_LOG_WARN, "%s: what tenants have used in the last seconds is lost", err.text);
        return NULL;
    }
}

static enum dyno_status start_thread(struct dyno_gate *gate, struct dyno_err *err)
{
    const int code = pthread_create(&gate->thread, NULL, keep_book, gate);
    gate->has_thread = code == 0;
    if (code != 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
    return DYNO_OK;
}

/* --- the gate --- */

/* A header's name in lower case; the one of authorization has a form of its own, and those in -bin
 * are base64 to gRPC. */
static enum dyno_status take_header(struct dyno_gate *gate, const char *name, struct dyno_err *err)
{
    size_t bytes = 0;
    bool is_good = true;
    for (; bytes < DYNO_GATE_HEADER_BYTES_MAX && name[bytes] != 0; bytes++) {
        const char c = name[bytes];
        const char lower = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        is_good = is_good && ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
                              c == '-' || c == '_');
        gate->key_header[bytes] = lower;
    }
    gate->key_header[bytes] = 0;
    const bool is_binary = bytes >= 4 && strcmp(gate->key_header + bytes - 4, "-bin") == 0;
    if (!is_good || bytes == 0 || name[bytes] != 0 || is_binary ||
        strcmp(gate->key_header, "authorization") == 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "'%.64s' is no name for a header with a key: letters, digits, - and _, at "
                         "most %d, not authorization, not with -bin at its end",
                         name, DYNO_GATE_HEADER_BYTES_MAX);
    (void)snprintf(gate->grpc_key_header, sizeof(gate->grpc_key_header), "%s%s", HEADER_GRPC,
                   gate->key_header);
    return DYNO_OK;
}

static void init_locks(struct dyno_gate *gate)
{
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&gate->lock, NULL);
    (void)pthread_mutex_init(&gate->wait_lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&gate->wait, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static enum dyno_status open_gate(struct dyno_gate *gate, const struct dyno_gate_options *options,
                                  struct dyno_err *err)
{
    DYNO_TRY(
        take_header(gate, options->key_header != NULL ? options->key_header : HEADER_NAMED, err));
    if (options->control_db == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_control_open(options->control_db, false, BUSY_MS, &gate->control, err));
    DYNO_TRY(look(gate, err));
    return start_thread(gate, err);
}

enum dyno_status dyno_gate_create(const struct dyno_gate_options *options,
                                  struct dyno_gate **gate_out, struct dyno_err *err)
{
    struct dyno_gate *gate = dyno_alloc(1, sizeof(*gate));
    *gate_out = NULL;
    if (gate == NULL)
        return DYNO_NOMEM(err);
    gate->anybody = (struct dyno_guest){.name = "", .class_name = ""};
    gate->control_db = options->control_db;
    gate->quota = options->quota;
    gate->write_ns = dyno_clock_ns() + WRITE_NS;
    init_locks(gate);
    const enum dyno_status status = open_gate(gate, options, err);
    if (status != DYNO_OK) {
        dyno_gate_destroy(gate);
        return status;
    }
    *gate_out = gate;
    return DYNO_OK;
}

void dyno_gate_stop(struct dyno_gate *gate)
{
    if (gate == NULL || !gate->has_thread)
        return;
    (void)pthread_mutex_lock(&gate->wait_lock);
    gate->is_ending = true;
    (void)pthread_cond_signal(&gate->wait);
    (void)pthread_mutex_unlock(&gate->wait_lock);
    (void)pthread_join(gate->thread, NULL);
    gate->has_thread = false;
}

void dyno_gate_destroy(struct dyno_gate *gate)
{
    if (gate == NULL)
        return;
    dyno_gate_stop(gate);
    dyno_control_close(gate->control);
    dyno_book_destroy(gate->book);
    (void)pthread_cond_destroy(&gate->wait);
    (void)pthread_mutex_destroy(&gate->wait_lock);
    (void)pthread_mutex_destroy(&gate->lock);
    dyno_free(gate);
}

const char *dyno_gate_key_header(const struct dyno_gate *gate)
{
    return gate->key_header;
}

const char *dyno_gate_grpc_key_header(const struct dyno_gate *gate)
{
    return gate->grpc_key_header;
}
