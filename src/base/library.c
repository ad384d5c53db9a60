/* library.c - dlopen and a table. */
#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool dyno_library_load(const char *file, const struct dyno_library_row *rows, size_t count,
                       void *table, char *why_out, size_t room)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *said = dlerror();
        (void)snprintf(why_out, room, "%s", said != NULL ? said : "unknown");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        void *found = dlsym(handle, rows[i].symbol);
        if (found == NULL) {
            (void)snprintf(why_out, room, "%s has no %s", file, rows[i].symbol);
            (void)dlclose(handle);
            return false;
        }
        /* POSIX lets a function's address be an object's; C does not. */
        memcpy((char *)table + rows[i].offset_bytes, &found, sizeof(found));
    }
    return true;
}
