/* names.c - unique names of values and nodes: open addressing, linear probing, in the arena. */
#include <stdio.h>
#include <string.h>

#include "ir/internal.h"

#define SLOTS_MIN 256

static uint32_t hash_of(enum dyno_name_kind kind, const char *text)
{
    uint32_t hash = 2166136261U ^ (uint32_t)kind;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    return hash;
}

struct dyno_names *dyno_names_create(struct dyno_arena *arena)
{
    struct dyno_names *names = dyno_arena_alloc(arena, 1, sizeof(*names));
    if (names == NULL)
        return NULL;
    names->arena = arena;
    names->slot_count = SLOTS_MIN;
    names->at = dyno_arena_alloc(arena, SLOTS_MIN, sizeof(*names->at));
    return names->at != NULL ? names : NULL;
}

static struct dyno_name *find(const struct dyno_names *names, enum dyno_name_kind kind,
                              const char *text)
{
    const uint32_t hash = hash_of(kind, text);
    const size_t mask = names->slot_count - 1;
    for (size_t i = hash & mask; names->at[i].kind != DYNO_NAME_FREE; i = (i + 1) & mask) {
        struct dyno_name *name = &names->at[i];
        if (name->kind == kind && name->hash == hash && strcmp(name->text, text) == 0)
            return name;
    }
    return NULL;
}

const struct dyno_name *dyno_names_find(const struct dyno_names *names, enum dyno_name_kind kind,
                                        const char *text)
{
    return find(names, kind, text);
}

static void put(struct dyno_names *names, const struct dyno_name *name)
{
    const size_t mask = names->slot_count - 1;
    size_t i = name->hash & mask;
    while (names->at[i].kind != DYNO_NAME_FREE)
        i = (i + 1) & mask;
    names->at[i] = *name;
    names->used_count++;
}

/* Room for one more; the names that are gone are left behind when it grows. */
static bool make_room(struct dyno_names *names)
{
    if (names->used_count < names->slot_count / 2)
        return true;
    struct dyno_names larger = {.arena = names->arena, .slot_count = names->slot_count * 2};
    larger.at = dyno_arena_alloc(names->arena, larger.slot_count, sizeof(*larger.at));
    if (larger.at == NULL)
        return false;
    for (size_t i = 0; i < names->slot_count; i++) {
        if (names->at[i].kind == DYNO_NAME_VALUE || names->at[i].kind == DYNO_NAME_NODE)
            put(&larger, &names->at[i]);
    }
    *names = larger;
    return true;
}

/* `wanted_1`, `wanted_2`, ... the first that is free. */
static const char *derive(struct dyno_names *names, struct dyno_name *taken)
{
    const size_t bytes = strlen(taken->text) + 12;
    char *text = dyno_arena_alloc(names->arena, bytes, 1);
    if (text == NULL)
        return NULL;
    do {
        taken->suffix++;
        (void)snprintf(text, bytes, "%s_%u", taken->text, taken->suffix);
    } while (find(names, taken->kind, text) != NULL);
    return text;
}

const char *dyno_names_add(struct dyno_names *names, enum dyno_name_kind kind, const char *wanted,
                           void *item, const struct dyno_graph *graph)
{
    if (!make_room(names))
        return NULL;
    struct dyno_name *taken = find(names, kind, wanted);
    const char *text =
        taken != NULL ? derive(names, taken) : dyno_arena_strdup(names->arena, wanted);
    if (text == NULL)
        return NULL;
    const struct dyno_name name = {
        .kind = kind, .hash = hash_of(kind, text), .text = text, .item = item, .graph = graph};
    put(names, &name);
    return text;
}

void dyno_names_remove(struct dyno_names *names, enum dyno_name_kind kind, const char *text,
                       const void *item)
{
    struct dyno_name *name = find(names, kind, text);
    if (name != NULL && name->item == item)
        name->kind = DYNO_NAME_GONE;
}
