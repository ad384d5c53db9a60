/* wanted.c - a table of names that a dying writer cannot break. */
#include "serve/super/wanted.h"

#include <string.h>

/* The count lies where a worker gone wild can write: no slot past the table is looked at. */
static unsigned used_count(const struct dyno_wanted *wanted)
{
    const unsigned count = atomic_load(&wanted->used_count);
    return count < DYNO_WANTED_MAX ? count : DYNO_WANTED_MAX;
}

static bool is_whole(const struct dyno_wanted_slot *slot)
{
    return atomic_load(&slot->is_used) == 1 && slot->name[0] != 0 &&
           memchr(slot->name, 0, sizeof(slot->name)) != NULL;
}

bool dyno_wanted_set(struct dyno_wanted *wanted, const char *name, bool is_wanted)
{
    const size_t bytes = strlen(name) + 1;
    const unsigned count = used_count(wanted);
    unsigned free_idx = count;
    if (bytes > DYNO_WANTED_NAME_BYTES_MAX + 1)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct dyno_wanted_slot *slot = &wanted->slots[i];
        if (!is_whole(slot)) {
            free_idx = free_idx < i ? free_idx : i;
        } else if (strcmp(slot->name, name) == 0) {
            atomic_store(&slot->is_used, is_wanted);
            return true;
        }
    }
    if (!is_wanted)
        return true;
    if (free_idx == DYNO_WANTED_MAX)
        return false;
    if (free_idx == count)
        atomic_store(&wanted->used_count, count + 1);
    atomic_store(&wanted->slots[free_idx].is_used, 0);
    memcpy(wanted->slots[free_idx].name, name, bytes);
    atomic_store(&wanted->slots[free_idx].is_used, 1);
    return true;
}

enum dyno_status dyno_wanted_list(const struct dyno_wanted *wanted, struct dyno_arena *arena,
                                  const char *const **names_out, size_t *count_out,
                                  struct dyno_err *err)
{
    const unsigned count = used_count(wanted);
    const char **names = dyno_arena_alloc(arena, (size_t)count + 1, sizeof(*names));
    *names_out = names;
    *count_out = 0;
    if (names == NULL)
        return DYNO_NOMEM(err);
    for (unsigned i = 0; i < count; i++) {
        if (!is_whole(&wanted->slots[i]))
            continue;
        const char *name = dyno_arena_strdup(arena, wanted->slots[i].name);
        if (name == NULL)
            return DYNO_NOMEM(err);
        names[(*count_out)++] = name;
    }
    return DYNO_OK;
}
