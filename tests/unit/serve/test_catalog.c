/* test_catalog.c - slots: which version answers, who waits, who goes, and what is told of them. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "serve/model/catalog.h"
#include "test.h"

static const struct dyno_tally_shape shape = {.thread_count = 1, .class_count = 1};

static int reaped_count;

static void reap(struct dyno_variant *variant)
{
    reaped_count++;
    dyno_variant_destroy(variant);
}

/* A slot that has a file, in the given state; ready ones get a variant without an engine. */
static struct dyno_slot *put(struct dyno_catalog *catalog, const char *model, uint64_t version,
                             const char *name, enum dyno_slot_state state)
{
    struct dyno_shelf *shelf = dyno_catalog_take_shelf(catalog, model);
    struct dyno_slot *slot = dyno_shelf_take_slot(shelf, version, name);
    if (slot->path == NULL) {
        slot->path = dyno_alloc(1, 2);
        slot->path[0] = 'x';
    }
    dyno_slot_set(slot, state, NULL);
    if (state == DYNO_SLOT_READY) {
        struct dyno_variant *variant = dyno_variant_create(model, version, name, &shape);
        variant->reap = reap;
        variant->slot = slot;
        CHECK(dyno_slot_put(slot, variant) == NULL);
    }
    return slot;
}

/* Everything goes: what answered drains, and is gone at once, for nobody holds it. */
static void fini(struct dyno_catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++)
        for (struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next) {
            struct dyno_variant *old = dyno_slot_empty(at, NULL);
            if (old == NULL)
                continue;
            dyno_variant_unref(old);
            dyno_catalog_drained(catalog, at);
        }
    dyno_catalog_fini(catalog);
}

/* "VERSION/NAME" of what answers, or the sentence why nothing does. */
static const char *answer(struct dyno_catalog *catalog, const char *model, const char *version)
{
    static char text[1100];
    struct dyno_err err = {0};
    struct dyno_variant *variant = NULL;
    const enum dyno_status status = dyno_catalog_find(catalog, model, version, &variant, &err);
    if (status == DYNO_OK) {
        (void)snprintf(text, sizeof(text), "%s/%s", variant->version, variant->name);
        dyno_variant_unref(variant);
    } else {
        (void)snprintf(text, sizeof(text), "%d %s", (int)status, err.text);
    }
    return text;
}

static void test_which_version(void)
{
    struct dyno_catalog catalog;
    dyno_catalog_init(&catalog);
    (void)put(&catalog, "m", 1, "b", DYNO_SLOT_READY);
    (void)put(&catalog, "m", 1, "a", DYNO_SLOT_FAILED);
    struct dyno_slot *two = put(&catalog, "m", 2, "a", DYNO_SLOT_LOADING);
    (void)put(&catalog, "k", 10, "a", DYNO_SLOT_LOADING);
    CHECK_STR(answer(&catalog, "m", ""), "1/b");
    CHECK_STR(answer(&catalog, "m", "2"),
              "12 Request for unknown model: 'm' version 2 is not at ready state: it is loading");
    CHECK_STR(answer(&catalog, "m", "3"),
              "11 Request for unknown model: 'm' version 3 is not found");
    CHECK_STR(answer(&catalog, "k", NULL),
              "12 Request for unknown model: 'k' has no available versions: it is loading");
    CHECK_STR(answer(&catalog, "l", ""), "11 Request for unknown model: 'l' is not found");
    /* One that was evicted is the newest still: it comes when it is wanted. */
    dyno_slot_set(two, DYNO_SLOT_UNLOADED, "evicted");
    CHECK_STR(answer(&catalog, "m", ""), "1/b");
    two->is_evicted = true;
    CHECK_STR(answer(&catalog, "m", ""),
              "12 Request for unknown model: 'm' has no available versions: evicted");
    /* One that cannot be loaded is not. */
    dyno_slot_set(two, DYNO_SLOT_FAILED, "noise");
    CHECK_STR(answer(&catalog, "m", ""), "1/b");
    fini(&catalog);
}

static int wanted_count, woken_count;
static bool want_fails;

static bool want(void *arg, struct dyno_slot *slot, bool is_spare)
{
    (void)arg;
    (void)is_spare;
    if (want_fails)
        return false;
    wanted_count++;
    slot->is_ordered = true;
    dyno_slot_set(slot, DYNO_SLOT_LOADING, NULL);
    return true;
}

static void woken(struct dyno_wait *wait)
{
    woken_count++;
    if (wait->variant != NULL)
        dyno_variant_unref(wait->variant);
}

static enum dyno_status ask(struct dyno_catalog *catalog, struct dyno_wait *wait,
                            struct dyno_err *err)
{
    struct dyno_variant *variant = NULL;
    *wait = (struct dyno_wait){.done = woken, .err = err};
    const enum dyno_status status =
        dyno_catalog_choose(catalog, "m", "", dyno_choose_first, NULL, wait, &variant, err);
    if (variant != NULL)
        dyno_variant_unref(variant);
    return status;
}

static void test_waiting(void)
{
    struct dyno_catalog catalog;
    struct dyno_wait waits[4];
    struct dyno_err err = {0};
    dyno_catalog_init(&catalog);
    catalog.on_demand = true;
    catalog.wait_max = 2;
    catalog.want = want;
    wanted_count = woken_count = 0;
    struct dyno_slot *slot = put(&catalog, "m", 1, "a", DYNO_SLOT_UNLOADED);
    want_fails = true;
    CHECK(ask(&catalog, &waits[0], &err) == DYNO_E_NOMEM && waits[0].slot == NULL);
    want_fails = false;
    err = (struct dyno_err){0};
    CHECK(ask(&catalog, &waits[0], &err) == DYNO_OK && waits[0].slot == slot);
    CHECK(ask(&catalog, &waits[1], &err) == DYNO_OK && slot->wait_count == 2);
    CHECK(ask(&catalog, &waits[2], &err) == DYNO_E_BUSY && waits[2].retry_ns > 0);
    CHECK(wanted_count == 1 && slot->miss_count == 4 && slot->hit_count == 0);
    CHECK(dyno_catalog_unwait(&catalog, &waits[0]) && !dyno_catalog_unwait(&catalog, &waits[0]));
    CHECK(ask(&catalog, &waits[3], &err) == DYNO_OK && slot->wait_count == 2);
    /* It came: each holds it until he has chosen. */
    (void)put(&catalog, "m", 1, "a", DYNO_SLOT_READY);
    struct dyno_wait *list = dyno_slot_take_waits(slot, DYNO_OK, NULL, 0);
    CHECK(list == &waits[1] && list->next == &waits[3] && slot->wait_count == 0);
    CHECK(atomic_load(&slot->variant->ref_count) == 3);
    CHECK(!dyno_catalog_unwait(&catalog, &waits[1]));
    dyno_waits_wake(list);
    CHECK(woken_count == 2 && atomic_load(&slot->variant->ref_count) == 1);
    slot->is_ordered = false;
    CHECK(ask(&catalog, &waits[0], &err) == DYNO_OK && slot->hit_count == 1);
    fini(&catalog);
}

static void test_failed_on_demand(void)
{
    struct dyno_catalog catalog;
    struct dyno_wait wait;
    struct dyno_err err = {0};
    dyno_catalog_init(&catalog);
    catalog.on_demand = true;
    catalog.wait_max = 9;
    catalog.want = want;
    wanted_count = woken_count = 0;
    struct dyno_slot *slot = put(&catalog, "m", 1, "a", DYNO_SLOT_UNLOADED);
    CHECK(ask(&catalog, &wait, &err) == DYNO_OK && wait.slot == slot);
    slot->is_ordered = false;
    dyno_slot_set(slot, DYNO_SLOT_FAILED, "noise");
    slot->retry_ns = UINT64_MAX;
    dyno_waits_wake(dyno_slot_take_waits(slot, DYNO_E_BUSY, "noise", 5));
    CHECK(woken_count == 1 && wait.status == DYNO_E_BUSY && wait.retry_ns == 5);
    CHECK_STR(err.text, "model 'm' version 1 could not be loaded: noise");
    err = (struct dyno_err){0};
    CHECK(ask(&catalog, &wait, &err) == DYNO_E_BUSY && wait.slot == NULL && wait.retry_ns > 0);
    CHECK_STR(err.text, "model 'm' version 1 could not be loaded: noise");
    slot->retry_ns = 0; /* the time has passed */
    err = (struct dyno_err){0};
    CHECK(ask(&catalog, &wait, &err) == DYNO_OK && wait.slot == slot && wanted_count == 2);
    CHECK(dyno_catalog_unwait(&catalog, &wait));
    fini(&catalog);
}

/* What is replaced, or unloaded, stays until nobody holds it; and the slot with it. */
static void test_draining(void)
{
    struct dyno_catalog catalog;
    struct dyno_variant *held = NULL;
    dyno_catalog_init(&catalog);
    reaped_count = 0;
    struct dyno_slot *slot = put(&catalog, "m", 1, "a", DYNO_SLOT_READY);
    REQUIRE(dyno_catalog_find(&catalog, "m", "1", &held, NULL) == DYNO_OK);
    struct dyno_variant *old = dyno_slot_empty(slot, "unloaded");
    CHECK(old == held && slot->state == DYNO_SLOT_DRAINING && slot->drain_count == 1);
    dyno_catalog_drop(&catalog, slot);
    CHECK(slot->is_gone && dyno_catalog_shelf(&catalog, "m") != NULL);
    CHECK_STR(answer(&catalog, "m", "1"),
              "11 Request for unknown model: 'm' version 1 is not found");
    dyno_variant_unref(old);
    CHECK(reaped_count == 0);
    dyno_variant_unref(held);
    CHECK(reaped_count == 1);
    dyno_catalog_drained(&catalog, slot);
    CHECK(catalog.count == 0);
    fini(&catalog);
}

static void test_index(void)
{
    static struct dyno_repo_model folders[] = {{.name = "a"}, {.name = "c"}, {.name = "z"}};
    static const char want_text[] = "a - - ;b 2 READY variant 'y': noise;b 1 UNAVAILABLE gone;"
                                    "c - UNAVAILABLE bad config.json;z - - ;";
    char text[512] = "";
    struct dyno_catalog catalog;
    struct dyno_index_row *rows = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    dyno_catalog_init(&catalog);
    folders[0].next = &folders[1];
    folders[1].next = &folders[2];
    (void)put(&catalog, "b", 2, "x", DYNO_SLOT_READY);
    dyno_slot_set(put(&catalog, "b", 2, "y", DYNO_SLOT_FAILED), DYNO_SLOT_FAILED, "noise");
    dyno_slot_set(put(&catalog, "b", 1, "x", DYNO_SLOT_FAILED), DYNO_SLOT_FAILED, "gone");
    dyno_slot_set(put(&catalog, "b", 1, "y", DYNO_SLOT_FAILED), DYNO_SLOT_UNLOADED, "gone");
    dyno_shelf_tell(dyno_catalog_take_shelf(&catalog, "c"), "bad config.json");
    CHECK(dyno_catalog_index(&catalog, folders, arena, &rows, NULL) == DYNO_OK);
    for (const struct dyno_index_row *at = rows; at != NULL; at = at->next)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s %s %s %s;", at->model,
                       at->version != NULL ? at->version : "-", at->state[0] != 0 ? at->state : "-",
                       at->reason);
    CHECK_STR(text, want_text);
    dyno_arena_destroy(arena);
    fini(&catalog);
}

int main(void)
{
    test_which_version();
    test_waiting();
    test_failed_on_demand();
    test_draining();
    test_index();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
