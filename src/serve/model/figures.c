/* figures.c - what is counted of models: for the metrics port. */
#include "serve/model/internal.h"

const char *dyno_slot_state_text(enum dyno_slot_state state)
{
    static const char *const texts[DYNO_SLOT_STATES] = {
        [DYNO_SLOT_UNLOADED] = "unloaded", [DYNO_SLOT_LOADING] = "loading",
        [DYNO_SLOT_WARMING] = "warming",   [DYNO_SLOT_READY] = "ready",
        [DYNO_SLOT_DRAINING] = "draining", [DYNO_SLOT_FAILED] = "failed",
    };
    return texts[state];
}

/* Under the lock.  Names are copied: a slot may go. */
static bool put_slot(const struct dyno_slot *slot, struct dyno_arena *arena,
                     struct dyno_slot_figures *row)
{
    *row = (struct dyno_slot_figures){.model = dyno_arena_strdup(arena, slot->shelf->name),
                                      .version = dyno_arena_strdup(arena, slot->version),
                                      .name = dyno_arena_strdup(arena, slot->name),
                                      .state = slot->state,
                                      .hit_count = slot->hit_count,
                                      .miss_count = slot->miss_count};
    return row->model != NULL && row->version != NULL && row->name != NULL;
}

enum dyno_status dyno_catalog_figures(struct dyno_catalog *catalog, struct dyno_arena *arena,
                                      struct dyno_slot_figures **rows_out, size_t *count_out,
                                      struct dyno_err *err)
{
    size_t count = 0;
    *count_out = 0;
    (void)pthread_mutex_lock(&catalog->lock);
    for (size_t i = 0; i < catalog->count; i++)
        for (const struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next)
            count++;
    struct dyno_slot_figures *rows = dyno_arena_alloc(arena, count + 1, sizeof(*rows));
    bool is_good = rows != NULL;
    for (size_t i = 0; i < catalog->count; i++)
        for (const struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL && is_good;
             at = at->next) {
            is_good = put_slot(at, arena, &rows[*count_out]);
            (*count_out)++;
        }
    (void)pthread_mutex_unlock(&catalog->lock);
    *rows_out = rows;
    return is_good ? DYNO_OK : DYNO_NOMEM(err);
}

void dyno_manager_figures(struct dyno_manager *manager, struct dyno_figures *figures_out)
{
    dyno_manager_lock_catalog(manager);
    *figures_out = manager->figures;
    figures_out->memory_bytes = dyno_memory_used(&manager->memory, 0);
    figures_out->memory_bytes_max = manager->memory.rooms[0].limit_bytes;
    figures_out->eviction_count = manager->memory.eviction_count;
    dyno_manager_unlock_catalog(manager);
}
