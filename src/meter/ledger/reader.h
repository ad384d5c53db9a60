/* reader.h - one file of a ledger, read: by anybody, also while it is being written.
 *
 * What is read in order is read some groups a transaction, so a writer is never held up, and its
 * log can always be moved.  The file is hostile.  One thread at a time.
 */
#ifndef DYNO_METER_LEDGER_READER_H
#define DYNO_METER_LEDGER_READER_H

#include "meter/ledger/head.h"

struct dyno_ledger_file;

/* E_NOT_FOUND, E_FORMAT (no ledger, or one that says what nothing writes), E_CORRUPT,
 * E_UNSUPPORTED, E_IO, E_NOMEM. */
enum dyno_status dyno_ledger_file_open(const char *path, struct dyno_ledger_file **file_out,
                                       struct dyno_err *err);
void dyno_ledger_file_close(struct dyno_ledger_file *file); /* accepts NULL */

/* Where files are found by names of its own: a fleet's database (meter/fleet), for one. */
struct dyno_ledger_store {
    enum dyno_status (*open)(void *arg, const char *name, struct dyno_ledger_file **file_out,
                             struct dyno_err *err);
    void *arg;
};
/* NULL: the name is a path. */
enum dyno_status dyno_ledger_store_open(const struct dyno_ledger_store *store, const char *name,
                                        struct dyno_ledger_file **file_out, struct dyno_err *err);

/* Its path, or its name in its store. */
const char *dyno_ledger_file_path(const struct dyno_ledger_file *file);
const struct dyno_opening *dyno_ledger_file_opening(const struct dyno_ledger_file *file);

/* A group as it lies in the file: header and sizes are right, what they cover is not looked at. */
struct dyno_ledger_group {
    const uint8_t *header; /* DYNO_GROUP_HEADER_BYTES */
    struct dyno_group group;
    struct dyno_items items;
};

/* The first group whose number is at least `number`; lives until the next call on the file.
 * *found_out false: there is none. */
enum dyno_status dyno_ledger_file_group(struct dyno_ledger_file *file, uint64_t number,
                                        struct dyno_ledger_group *group_out, bool *found_out,
                                        struct dyno_err *err);

/* The same without its items, which are not read. */
enum dyno_status dyno_ledger_file_header(struct dyno_ledger_file *file, uint64_t number,
                                         struct dyno_ledger_group *group_out, bool *found_out,
                                         struct dyno_err *err);

/* The last group's number; *found_out false: there is none. */
enum dyno_status dyno_ledger_file_last(struct dyno_ledger_file *file, uint64_t *number_out,
                                       bool *found_out, struct dyno_err *err);

/* The first head over at least so many groups; lives until the next call on the file. */
struct dyno_ledger_head {
    const uint8_t *bytes; /* DYNO_HEAD_BYTES */
    struct dyno_head head;
    const uint8_t *proof;
    size_t proof_bytes;
};
enum dyno_status dyno_ledger_file_head(struct dyno_ledger_file *file, uint64_t group_count,
                                       struct dyno_ledger_head *head_out, bool *found_out,
                                       struct dyno_err *err);

/* --- the names of a file --- */

/* What was read of a file's names so far.  Zero-initialised is empty. */
struct dyno_ledger_names {
    struct {
        char **texts; /* [id - 1] */
        uint32_t count, room;
    } kinds[DYNO_NAME_KINDS];
    struct dyno_arena *arena;
};

void dyno_ledger_names_fini(struct dyno_ledger_names *names);
/* The names of one more group; E_FORMAT when they do not go on from what is there. */
enum dyno_status dyno_ledger_names_add(struct dyno_ledger_names *names,
                                       const struct dyno_items *items, struct dyno_err *err);
/* "" for 0; NULL when there is no such name. */
const char *dyno_ledger_names_text(const struct dyno_ledger_names *names, enum dyno_name_kind kind,
                                   uint32_t id);

/* --- the files of a ledger --- */

/* Paths of files and folders (all of a folder's files, but for a last one that has no groups yet)
 * as one list, folders in the order of numbers; it lives in the arena.  E_NOT_FOUND: a folder
 * without one; E_IO, E_NOMEM. */
enum dyno_status dyno_ledger_paths(const char *const *given, size_t given_count,
                                   struct dyno_arena *arena, const char ***paths_out,
                                   size_t *count_out, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_READER_H */
