/* library.h - a shared library that is loaded when it is wanted, and its functions. */
#ifndef DYNO_BASE_LIBRARY_H
#define DYNO_BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/* A function: its symbol, and where in the caller's table its pointer goes. */
struct dyno_library_row {
    const char *symbol;
    size_t offset_bytes;
};

/* Load `file` (a soname) and fill `table`.  False: why_out[room] says what is missing, and nothing
 * is loaded.  What is loaded stays.  Any thread, but each table by one at a time. */
bool dyno_library_load(const char *file, const struct dyno_library_row *rows, size_t count,
                       void *table, char *why_out, size_t room);

#endif /* DYNO_BASE_LIBRARY_H */
