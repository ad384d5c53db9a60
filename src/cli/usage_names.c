/* usage_names.c - the names of ledgers as one list, with what certificates say. */
#include <string.h>

#include "base/mem.h"
#include "cli/usage_internal.h"

/* --- names --- */

enum dyno_status dyno_usage_intern(struct dyno_usage_source *source, const char *text,
                                   uint32_t *idx_out, struct dyno_err *err)
{
    uint64_t found = 0;
    if (dyno_map_find(&source->name_indices, text, strlen(text), &found)) {
        *idx_out = (uint32_t)found;
        return DYNO_OK;
    }
    if (source->name_count == source->name_room) {
        const size_t room = source->name_room > 0 ? source->name_room * 2 : 64;
        const char **names =
            dyno_realloc(source->names, source->name_count * sizeof(*names), room, sizeof(*names));
        if (names == NULL)
            return DYNO_NOMEM(err);
        source->names = names;
        struct dyno_usage_grade *grades = dyno_realloc(
            source->grades, source->name_count * sizeof(*grades), room, sizeof(*grades));
        if (grades == NULL)
            return DYNO_NOMEM(err);
        source->grades = grades;
        source->name_room = room;
    }
    const char *copy = dyno_arena_strdup(source->arena, text);
    if (copy == NULL ||
        !dyno_map_put(&source->name_indices, copy, strlen(copy), source->name_count))
        return DYNO_NOMEM(err);
    source->names[source->name_count] = copy;
    *idx_out = (uint32_t)source->name_count++;
    return DYNO_OK;
}

/* --- certificates --- */

enum dyno_status dyno_usage_load_grade(struct dyno_usage_source *source, uint32_t name,
                                       struct dyno_err *err)
{
    struct dyno_grade grade;
    uint32_t precision = 0;
    DYNO_TRY(dyno_grade_load(source->options.certificates, source->names[name], source->arena,
                             &grade, err));
    DYNO_TRY(dyno_usage_intern(source, grade.precision, &precision, err));
    source->grades[name] = (struct dyno_usage_grade){.grade = grade, .precision = precision};
    return DYNO_OK;
}

enum dyno_status dyno_usage_reference_term(struct dyno_usage_source *source, uint32_t name,
                                           const struct dyno_cert_term **term_out,
                                           struct dyno_err *err)
{
    struct dyno_usage_grade *grade = &source->grades[name];
    *term_out = &grade->reference;
    if (grade->has_reference)
        return DYNO_OK;
    DYNO_TRY(dyno_cert_term_read(source->options.certificates, source->names[name],
                                 DYNO_CERT_REFERENCE, source->arena, &grade->reference, err));
    grade->has_reference = true;
    return DYNO_OK;
}

static enum dyno_status note_tenant(struct dyno_usage_source *source, uint32_t name,
                                    struct dyno_err *err)
{
    const char *text = source->names[name];
    return dyno_map_put(&source->tenants, text, strlen(text), name) ? DYNO_OK : DYNO_NOMEM(err);
}

/* One that is not there matters when a record of the time asked for cites it. */
static void try_grade(struct dyno_usage_source *source, uint32_t name)
{
    struct dyno_err ignored = {0};
    if (!source->grades[name].grade.is_known && source->options.certificates != NULL)
        (void)dyno_usage_load_grade(source, name, &ignored);
}

/* --- the names of a file --- */

void dyno_usage_names_drop(struct dyno_usage_names *names)
{
    dyno_ledger_names_fini(&names->names);
    for (size_t i = 0; i < DYNO_NAME_KINDS; i++)
        dyno_free(names->indices[i]);
    *names = (struct dyno_usage_names){0};
}

/* Put what a group added to its file's names into the source's. */
enum dyno_status dyno_usage_names_add(struct dyno_usage_source *source,
                                      struct dyno_usage_names *names,
                                      const struct dyno_items *items, struct dyno_err *err)
{
    if (items->entry_count == 0)
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_names_add(&names->names, items, err));
    for (uint32_t kind = 0; kind < DYNO_NAME_KINDS; kind++) {
        const uint32_t count = names->names.kinds[kind].count;
        if (count == names->counts[kind])
            continue;
        const size_t used = names->indices[kind] != NULL ? names->counts[kind] + 1U : 0;
        uint32_t *grown =
            dyno_realloc(names->indices[kind], used * sizeof(*grown), count + 1U, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        names->indices[kind] = grown;
        for (; names->counts[kind] < count; names->counts[kind]++) {
            uint32_t *name = &grown[names->counts[kind] + 1];
            DYNO_TRY(dyno_usage_intern(source, names->names.kinds[kind].texts[names->counts[kind]],
                                       name, err));
            if (kind + 1 == DYNO_NAME_TENANT)
                DYNO_TRY(note_tenant(source, *name, err));
        }
        if (kind + 1 == DYNO_NAME_CERTIFICATE)
            for (uint32_t id = 1; id <= count; id++)
                try_grade(source, grown[id]);
    }
    return DYNO_OK;
}

/* 0 is "": the first name of all. */
enum dyno_status dyno_usage_name_of(const struct dyno_usage_names *names,
                                    const struct dyno_record *record, enum dyno_name_kind kind,
                                    uint32_t *idx_out, struct dyno_err *err)
{
    const uint32_t id = dyno_record_name(record, kind);
    if (id > names->counts[kind - 1])
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "a record has a %s of number %u, which is none",
                         dyno_name_kind_text(kind), id);
    *idx_out = id > 0 ? names->indices[kind - 1][id] : 0;
    return DYNO_OK;
}

/* --- others in their place --- */

enum dyno_status dyno_usage_source_swap(struct dyno_usage_source *source,
                                        const struct dyno_grade *instead, size_t count,
                                        struct dyno_err *err)
{
    dyno_swaps_fini(&source->swaps);
    source->swaps = (struct dyno_swaps){.instead = instead, .instead_count = count};
    for (size_t i = 0; i < count; i++) {
        char address[DYNO_CERT_HEX_ROOM];
        uint32_t name = 0;
        uint32_t precision = 0;
        dyno_cert_hex(&instead[i].address, address);
        DYNO_TRY(dyno_usage_intern(source, address, &name, err));
        DYNO_TRY(dyno_usage_intern(source, instead[i].precision, &precision, err));
        source->grades[name] =
            (struct dyno_usage_grade){.grade = instead[i], .precision = precision};
    }
    return DYNO_OK;
}

uint64_t dyno_usage_source_swapped(const struct dyno_usage_source *source)
{
    return source->swaps.found_count;
}
