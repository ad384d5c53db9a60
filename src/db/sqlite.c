/* sqlite.c - finding the library and its functions; its memory is ours. */
#include "db/sqlite.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/library.h"
#include "base/mem.h"

#define VERSION_MIN 3037000 /* STRICT tables */

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct dyno_sqlite library; /* not changed any more once it is loaded */
static char why_not[256];          /* "": it is loaded */

/* --- memory --- */

/* SQLite asks how large a block is: it stands before it. */
#define PREFIX_BYTES 16

static void *take_block(int bytes)
{
    char *block = dyno_alloc_raw(1, PREFIX_BYTES + (size_t)bytes);
    if (block == NULL)
        return NULL;
    memcpy(block, &bytes, sizeof(bytes));
    return block + PREFIX_BYTES;
}

static int block_bytes(void *block)
{
    int bytes = 0;
    if (block != NULL)
        memcpy(&bytes, (char *)block - PREFIX_BYTES, sizeof(bytes));
    return bytes;
}

static void free_block(void *block)
{
    if (block != NULL)
        dyno_free((char *)block - PREFIX_BYTES);
}

static void *move_block(void *block, int bytes)
{
    const int before = block_bytes(block);
    void *moved = take_block(bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, (size_t)(before < bytes ? before : bytes));
    free_block(block);
    return moved;
}

static int round_up(int bytes)
{
    return (bytes + 7) & ~7;
}

static int start_memory(void *arg)
{
    (void)arg;
    return SQLITE_OK;
}

static void end_memory(void *arg)
{
    (void)arg;
}

static const sqlite3_mem_methods memory = {.xMalloc = take_block,
                                           .xFree = free_block,
                                           .xRealloc = move_block,
                                           .xSize = block_bytes,
                                           .xRoundup = round_up,
                                           .xInit = start_memory,
                                           .xShutdown = end_memory};

/* --- loading --- */

static const struct dyno_library_row rows[] = {
#define X(name) {"sqlite3_" #name, offsetof(struct dyno_sqlite, name)},
    DYNO_SQLITE_MAP(X)
#undef X
};

static void load(void)
{
    if (!dyno_library_load(DYNO_SQLITE_LIBRARY, rows, DYNO_COUNT(rows), &library, why_not,
                           sizeof(why_not)))
        return;
    if (library.libversion_number() < VERSION_MIN) {
        (void)snprintf(why_not, sizeof(why_not), DYNO_SQLITE_LIBRARY " is version %s, wants 3.37",
                       library.libversion());
        return;
    }
    /* Refused when somebody in this process uses it already; then it keeps its own memory. */
    (void)library.config(SQLITE_CONFIG_MALLOC, &memory);
    (void)library.config(SQLITE_CONFIG_MEMSTATUS, 0);
}

enum dyno_status dyno_sqlite_get(const struct dyno_sqlite **sqlite_out, struct dyno_err *err)
{
    (void)pthread_once(&load_once, load);
    *sqlite_out = NULL;
    if (why_not[0] != 0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "databases want the SQLite library (Debian package libsqlite3-0): %s",
                         why_not);
    *sqlite_out = &library;
    return DYNO_OK;
}
