/* ship_badly.c - a ledger's groups into the fleet over a way that loses them, doubles them and
 * mixes them up: for the cases of test_fleet.py.
 *
 *     ship_badly CONNINFO FOLDER SEED        until all are there; prints what was done to them
 *     ship_badly CONNINFO FOLDER foreign     all at once, where another ledger has this node's
 *                                            number
 *     ship_badly CONNINFO FOLDER retired     all at once, where the node was retired
 *     ship_badly CONNINFO FOLDER starved     a shipper whose n-th allocation fails
 */
#include <inttypes.h>

#include "../unit/meter/random.h"
#include "base/arena.h"
#include "base/mem.h"
#include "meter/fleet/ship.h"
#include "test.h"

#define GROUPS_MAX   10000
#define DELIVERY_MAX 40

static struct dyno_arena *arena;
static struct dyno_fleet_group groups[GROUPS_MAX];
static size_t group_count;
static struct dyno_opening openings[64];
static size_t opening_count;
static struct dyno_ledger_head heads[256];
static size_t head_count;
static uint32_t node;
static struct dyno_err err;

static void must(enum dyno_status status)
{
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(status == DYNO_OK);
}

static void read_file(const char *path)
{
    struct dyno_ledger_file *file = NULL;
    must(dyno_ledger_file_open(path, &file, &err));
    node = dyno_ledger_file_opening(file)->node;
    REQUIRE(opening_count < DYNO_COUNT(openings));
    openings[opening_count++] = *dyno_ledger_file_opening(file);
    for (;;) {
        struct dyno_ledger_group group;
        bool found = false;
        must(dyno_ledger_file_group(file, group_count, &group, &found, &err));
        if (!found)
            break;
        REQUIRE(group_count < GROUPS_MAX);
        struct dyno_fleet_group *kept = &groups[group_count++];
        kept->header = dyno_arena_memdup(arena, group.header, DYNO_GROUP_HEADER_BYTES);
        if (group.items.seed != NULL)
            kept->items_bytes = DYNO_SEED_BYTES + (size_t)group.items.entries_bytes +
                                (size_t)group.items.record_count * DYNO_RECORD_BYTES;
        if (kept->items_bytes > 0)
            kept->items = dyno_arena_memdup(arena, group.items.seed, kept->items_bytes);
    }
    for (uint64_t place = 0;;) {
        struct dyno_ledger_head head;
        bool found = false;
        must(dyno_ledger_file_head(file, place, &head, &found, &err));
        if (!found)
            break;
        place = head.head.group_count + 1;
        REQUIRE(head_count < DYNO_COUNT(heads));
        head.bytes = dyno_arena_memdup(arena, head.bytes, DYNO_HEAD_BYTES);
        head.proof = dyno_arena_memdup(arena, head.proof, head.proof_bytes);
        heads[head_count++] = head;
    }
    dyno_ledger_file_close(file);
}

static struct dyno_fleet *connect_to(const char *conninfo)
{
    const struct dyno_fleet_options options = {.conninfo = conninfo, .writes = true};
    struct dyno_fleet *fleet = NULL;
    must(dyno_fleet_open(&options, &fleet, &err));
    return fleet;
}

/* Some of the groups about the watermark: before it, over it, after it; some twice, some not. */
static size_t pick(struct dyno_fleet_group *out, uint64_t mark, uint64_t *lost, uint64_t *doubled)
{
    size_t count = 0;
    const uint64_t back = random_below(6);
    uint64_t at = mark > back ? mark - back : 0;
    if (random_below(8) == 0)
        at += random_below(20);
    for (; at < group_count && count + 2 < DELIVERY_MAX && random_below(25) != 0; at++) {
        if (random_below(12) == 0) {
            (*lost)++;
            continue;
        }
        out[count++] = groups[at];
        if (random_below(5) == 0) {
            out[count++] = groups[at];
            (*doubled)++;
        }
    }
    for (size_t i = count; random_below(2) == 0 && i > 1; i--) {
        const size_t k = (size_t)random_below(i);
        const struct dyno_fleet_group kept = out[i - 1];
        out[i - 1] = out[k];
        out[k] = kept;
    }
    return count;
}

static void deliver_badly(const char *conninfo)
{
    struct dyno_fleet *fleet = connect_to(conninfo);
    struct dyno_fleet_mark mark = {0};
    uint64_t lost = 0;
    uint64_t doubled = 0;
    uint64_t deliveries = 0;
    while (mark.group_count < group_count || mark.head_count < group_count) {
        struct dyno_fleet_group some[DELIVERY_MAX];
        const uint64_t before = mark.group_count;
        const struct dyno_fleet_delivery delivery = {.node = node,
                                                     .groups = some,
                                                     .group_count =
                                                         pick(some, before, &lost, &doubled),
                                                     .openings = openings,
                                                     .opening_count = opening_count,
                                                     .heads = heads,
                                                     .head_count = head_count};
        if (random_below(20) == 0) { /* the answer was lost, and everything begins anew */
            dyno_fleet_close(fleet);
            fleet = connect_to(conninfo);
        }
        must(dyno_fleet_deliver(fleet, &delivery, &mark, &err));
        CHECK(mark.group_count >= before && mark.group_count <= group_count);
        deliveries++;
    }
    printf("%zu groups in %" PRIu64 " deliveries, %" PRIu64 " lost, %" PRIu64 " twice\n",
           group_count, deliveries, lost, doubled);
    dyno_fleet_close(fleet);
}

static enum dyno_status ship(const char *conninfo, const char *folder)
{
    const struct dyno_fleet_options options = {.conninfo = conninfo, .writes = true};
    struct dyno_shipper *shipper = NULL;
    struct dyno_fleet *fleet = NULL;
    bool is_all = false;
    enum dyno_status status = dyno_shipper_create(&folder, 1, &shipper, &err);
    if (status == DYNO_OK)
        status = dyno_fleet_open(&options, &fleet, &err);
    if (status == DYNO_OK)
        status = dyno_shipper_begin(shipper, fleet, &err);
    while (status == DYNO_OK && !is_all) {
        status = dyno_shipper_read(shipper, &err);
        if (status == DYNO_OK)
            status = dyno_shipper_send(shipper, fleet, &is_all, &err);
    }
    dyno_fleet_close(fleet);
    dyno_shipper_destroy(shipper);
    return status;
}

/* True when one of the next `count` allocations is the one set to fail: the run before it made all
 * of its own. */
static bool was_not_reached(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        void *probe = dyno_alloc(1, 1);
        dyno_free(probe);
        if (probe == NULL)
            return true;
    }
    return false;
}

/* All of the first ones, and then one in sixteen: most are SQLite's.  It does without some of them,
 * so that they fail and nothing happens. */
static void starve(const char *conninfo, const char *folder)
{
    static const char *const nothing[] = {"SELECT 1"};
    static const struct dyno_pg_kind kind = {
        .what = "trial", .schema = "dyno_try", .version = 1, .changes = nothing};
    const struct dyno_pg_options options = {.conninfo = conninfo, .creates = true};
    struct dyno_pg *pg = NULL;
    uint64_t failures = 0;
    uint64_t nth = 1;
    bool is_over = false;
    must(dyno_pg_open(&kind, &options, &pg, &err));
    const uint64_t live_count = dyno_mem_live_count();
    for (; !is_over; nth += 1 + nth / 16) {
        must(dyno_pg_exec(pg, "DROP SCHEMA IF EXISTS dyno_ledger CASCADE", &err));
        dyno_mem_fail_at(nth);
        const enum dyno_status status = ship(conninfo, folder);
        is_over = was_not_reached(nth);
        dyno_mem_fail_at(0);
        CHECK_MSG(dyno_mem_live_count() == live_count, "%" PRIu64 ": blocks are left", nth);
        CHECK_MSG(status == DYNO_OK || status == DYNO_E_NOMEM, "%" PRIu64 ": %s", nth, err.text);
        failures += status != DYNO_OK;
        err = (struct dyno_err){0};
    }
    CHECK_MSG(failures > 20, "%" PRIu64 " failures", failures);
    printf("%" PRIu64 " allocations, %" PRIu64 " failures\n", nth, failures);
    dyno_pg_close(pg);
    must(ship(conninfo, folder));
}

/* What the fleet has of the other one is not taken for these, wherever they begin and end. */
static void deliver_foreign(const char *conninfo)
{
    struct dyno_fleet *fleet = connect_to(conninfo);
    for (size_t first = 0; first < 3; first++)
        for (size_t count = 1; first + count <= group_count && count < 30; count += 7) {
            const struct dyno_fleet_delivery delivery = {
                .node = node, .groups = groups + first, .group_count = count};
            struct dyno_fleet_mark mark;
            CHECK(dyno_fleet_deliver(fleet, &delivery, &mark, &err) == DYNO_E_MISMATCH);
            CHECK(strstr(err.text, "the fleet has another ledger of node") != NULL);
            err = (struct dyno_err){0};
        }
    dyno_fleet_close(fleet);
}

/* A shipper that had begun before hears of it, too. */
static void deliver_retired(const char *conninfo)
{
    struct dyno_fleet *fleet = connect_to(conninfo);
    struct dyno_fleet_mark before;
    struct dyno_fleet_mark mark;
    must(dyno_fleet_mark(fleet, node, &before, &err));
    REQUIRE(before.is_retired && before.group_count > 0 && before.group_count < group_count);
    struct dyno_fleet_delivery delivery = {
        .node = node, .groups = groups, .group_count = before.group_count};
    must(dyno_fleet_deliver(fleet, &delivery, &mark, &err));
    for (size_t more = 1; before.group_count + more <= group_count; more++) {
        delivery.group_count = before.group_count + more;
        CHECK(dyno_fleet_deliver(fleet, &delivery, &mark, &err) == DYNO_E_DENIED);
        CHECK(strstr(err.text, "was retired at") != NULL);
        err = (struct dyno_err){0};
    }
    must(dyno_fleet_mark(fleet, node, &mark, &err));
    CHECK(mark.group_count == before.group_count && dyno_digest_equal(&mark.chain, &before.chain));
    dyno_fleet_close(fleet);
}

int main(int argc, char **argv)
{
    const char **paths = NULL;
    size_t count = 0;
    if (argc != 4)
        return 2;
    if (strcmp(argv[3], "starved") == 0) {
        starve(argv[1], argv[2]);
        return TEST_RESULT();
    }
    const char *folder = argv[2];
    random_state = strtoull(argv[3], NULL, 10);
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    must(dyno_ledger_paths(&folder, 1, arena, &paths, &count, &err));
    for (size_t i = 0; i < count; i++)
        read_file(paths[i]);
    if (strcmp(argv[3], "foreign") == 0)
        deliver_foreign(argv[1]);
    else if (strcmp(argv[3], "retired") == 0)
        deliver_retired(argv[1]);
    else
        deliver_badly(argv[1]);
    dyno_arena_destroy(arena);
    return TEST_RESULT();
}
