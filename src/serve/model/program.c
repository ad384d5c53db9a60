/* program.c - finding the program dyno. */
#include "serve/model/program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

#define PROGRAM "dyno"

/* FOLDER/dyno, if it is a program. */
static bool is_here(const char *folder, size_t bytes, char *path_out, size_t room)
{
    const int length = snprintf(path_out, room, "%.*s/%s", (int)bytes, folder, PROGRAM);
    return length > 0 && (size_t)length < room && access(path_out, X_OK) == 0;
}

void dyno_program_find(const char *named, char *path_out, size_t room)
{
    char self[PATH_MAX];
    const ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[bytes > 0 ? bytes : 0] = 0;
    const char *slash = strrchr(self, '/');
    if (named != NULL) {
        (void)snprintf(path_out, room, "%s", named);
        return;
    }
    if (slash != NULL && is_here(self, (size_t)(slash - self), path_out, room))
        return;
    const char *path = getenv("PATH"); // NOLINT(concurrency-mt-unsafe)
    while (path != NULL && *path != 0) {
        const size_t length = strcspn(path, ":");
        if (length > 0 && is_here(path, length, path_out, room))
            return;
        path += length + (path[length] == ':');
    }
    (void)snprintf(path_out, room, "%.*s/%s", slash != NULL ? (int)(slash - self) : 0, self,
                   PROGRAM);
}

bool dyno_program_may_know(const char *item)
{
    static const char *const names[] = {"PATH=",   "HOME=", "TMPDIR=",          "LANG=",
                                        "LC_ALL=", "DYNO_", "LD_LIBRARY_PATH=", "CUDA_",
                                        "NVIDIA_"};
    for (size_t i = 0; i < DYNO_COUNT(names); i++)
        if (strncmp(item, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}
