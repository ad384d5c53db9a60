/* names.c - the names of a file; the files of a ledger. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/mem.h"
#include "meter/ledger/archive.h"
#include "meter/ledger/reader.h"
#include "meter/ledger/segment.h"

/* --- names --- */

void dyno_ledger_names_fini(struct dyno_ledger_names *names)
{
    for (size_t i = 0; i < DYNO_NAME_KINDS; i++)
        dyno_free(names->kinds[i].texts);
    dyno_arena_destroy(names->arena);
    *names = (struct dyno_ledger_names){0};
}

static bool add(struct dyno_ledger_names *names, const struct dyno_entry *entry)
{
    __typeof__(names->kinds[0]) *kind = &names->kinds[entry->kind - 1];
    if (names->arena == NULL)
        names->arena = dyno_arena_create();
    if (kind->count == kind->room) {
        const uint32_t room = kind->room == 0 ? 16 : 2 * kind->room;
        char **moved =
            dyno_realloc(kind->texts, kind->count * sizeof(*moved), room, sizeof(*moved));
        if (moved == NULL)
            return false;
        kind->texts = moved;
        kind->room = room;
    }
    char *text =
        names->arena != NULL ? dyno_arena_alloc(names->arena, entry->text_bytes + 1U, 1) : NULL;
    if (text == NULL)
        return false;
    memcpy(text, entry->text, entry->text_bytes);
    text[entry->text_bytes] = 0;
    kind->texts[kind->count++] = text;
    return true;
}

enum dyno_status dyno_ledger_names_add(struct dyno_ledger_names *names,
                                       const struct dyno_items *items, struct dyno_err *err)
{
    size_t at = 0;
    for (uint32_t i = 0; i < items->entry_count; i++) {
        struct dyno_entry entry;
        DYNO_TRY(dyno_entry_decode(items->entries + at, items->entries_bytes - at, &entry, err));
        at += entry.bytes_count;
        if (entry.id != names->kinds[entry.kind - 1].count + 1)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "the name of %s %u comes after that of %u",
                             dyno_name_kind_text(entry.kind), (unsigned)entry.id,
                             (unsigned)names->kinds[entry.kind - 1].count);
        if (!add(names, &entry))
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

const char *dyno_ledger_names_text(const struct dyno_ledger_names *names, enum dyno_name_kind kind,
                                   uint32_t id)
{
    if (id == 0)
        return "";
    return id <= names->kinds[kind - 1].count ? names->kinds[kind - 1].texts[id - 1] : NULL;
}

/* --- files --- */

struct path_list {
    struct dyno_arena *arena;
    const char **items;
    size_t count, room;
};

static bool push(struct path_list *list, const char *folder, const char *name)
{
    const size_t bytes = strlen(folder) + strlen(name) + 2;
    if (list->count == list->room) {
        const size_t room = list->room == 0 ? 64 : 2 * list->room;
        const char **moved = dyno_arena_alloc(list->arena, room, sizeof(*moved));
        if (moved == NULL)
            return false;
        if (list->count > 0)
            memcpy(moved, list->items, list->count * sizeof(*moved));
        list->items = moved;
        list->room = room;
    }
    char *path = dyno_arena_alloc(list->arena, bytes, 1);
    if (path == NULL)
        return false;
    (void)snprintf(path, bytes, "%s%s%s", folder, name[0] != 0 ? "/" : "", name);
    list->items[list->count++] = path;
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file of which nobody was told anything: its making is going on, or was broken off. */
static bool is_begun(const char *path)
{
    struct dyno_db db = {0};
    struct dyno_stmt stmt = {0};
    bool found = true;
    if (dyno_archive_is(path))
        return true;
    if (dyno_db_is_blank(path))
        return false;
    if (dyno_db_open_to_read(&dyno_ledger_kind, path, 0, &db, NULL) != DYNO_OK)
        return true; /* whoever reads it will say what is wrong */
    if (dyno_stmt_open(&db, "SELECT 1 FROM record_group LIMIT 1", &stmt, NULL) != DYNO_OK ||
        dyno_stmt_step(&stmt, &found, NULL) != DYNO_OK)
        found = true;
    dyno_stmt_close(&stmt);
    dyno_db_close(&db);
    return found;
}

/* Of a file and its archive, which is not done yet, the file.  The list is sorted, and an archive
 * comes before the file of its number. */
static void drop_twins(struct path_list *list, size_t first)
{
    size_t count = first;
    for (size_t i = first; i < list->count; i++) {
        const size_t bytes = strlen(list->items[i]) - (sizeof(DYNO_LEDGER_SUFFIX) - 1);
        const bool is_file = strcmp(list->items[i] + bytes, DYNO_LEDGER_SUFFIX) == 0;
        if (is_file && count > first && strlen(list->items[count - 1]) > bytes &&
            strncmp(list->items[count - 1], list->items[i], bytes) == 0)
            count--;
        list->items[count++] = list->items[i];
    }
    list->count = count;
}

static enum dyno_status push_folder(struct path_list *list, const char *folder,
                                    struct dyno_err *err)
{
    const size_t first = list->count;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot read \"%s\": %s", folder, strerror(errno));
    bool ok = true;
    for (const struct dirent *entry = readdir(dir); ok && entry != NULL; entry = readdir(dir)) {
        const size_t digits = strspn(entry->d_name, "0123456789");
        if (digits == 8 && (strcmp(entry->d_name + digits, DYNO_LEDGER_SUFFIX) == 0 ||
                            strcmp(entry->d_name + digits, DYNO_ARCHIVE_SUFFIX) == 0))
            ok = push(list, folder, entry->d_name);
    }
    (void)closedir(dir);
    if (!ok)
        return DYNO_NOMEM(err);
    if (list->count == first)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "the folder \"%s\" has no file of a ledger",
                         folder);
    qsort(list->items + first, list->count - first, sizeof(*list->items), compare);
    drop_twins(list, first);
    if (list->count > first + 1 && !is_begun(list->items[list->count - 1]))
        list->count--;
    return DYNO_OK;
}

enum dyno_status dyno_ledger_paths(const char *const *given, size_t given_count,
                                   struct dyno_arena *arena, const char ***paths_out,
                                   size_t *count_out, struct dyno_err *err)
{
    struct path_list list = {.arena = arena};
    *paths_out = NULL;
    *count_out = 0;
    for (size_t i = 0; i < given_count; i++) {
        struct stat info;
        if (stat(given[i], &info) == 0 && S_ISDIR(info.st_mode))
            DYNO_TRY(push_folder(&list, given[i], err));
        else if (!push(&list, given[i], ""))
            return DYNO_NOMEM(err);
    }
    *paths_out = list.items;
    *count_out = list.count;
    return DYNO_OK;
}
