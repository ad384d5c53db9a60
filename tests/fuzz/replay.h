/* replay.h - run a fuzz target over files and the files of folders, without libFuzzer. */
#ifndef DYNO_TESTS_FUZZ_REPLAY_H
#define DYNO_TESTS_FUZZ_REPLAY_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* 0, or how the input went wrong. */
typedef int replay_fn(const uint8_t *data, size_t bytes);

static inline int replay_file(const char *path, const char **path_out, replay_fn *fn)
{
    struct dyno_file_map map = {0};
    struct dyno_err err = {0};
    if (dyno_file_map(path, &map, &err) != DYNO_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    /* An exact copy on the heap, so that sanitizers see reads past the end. */
    uint8_t *copy = malloc(map.bytes + (map.bytes == 0));
    if (copy == NULL) {
        dyno_file_unmap(&map);
        return 1;
    }
    if (map.bytes > 0)
        memcpy(copy, map.data, map.bytes);
    if (path_out != NULL)
        *path_out = path;
    const int wrong = fn(copy, map.bytes);
    free(copy);
    dyno_file_unmap(&map);
    return wrong;
}

/* Exit status: 0 when at least one input was run, and all could be read and went well.  path_out is
 * set to the path of each before it is run; may be NULL. */
static inline int replay(int argc, char **argv, const char **path_out, replay_fn *fn)
{
    int count = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder == NULL) {
            failed += replay_file(argv[i], path_out, fn);
            count++;
            continue;
        }
        for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            const int length = snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
            failed += length < 0 || (size_t)length >= sizeof(path) ||
                      replay_file(path, path_out, fn) != 0;
            count++;
        }
        (void)closedir(folder);
    }
    printf("%d inputs replayed, %d failed\n", count, failed);
    return failed == 0 && count > 0 ? 0 : 1;
}

#endif /* DYNO_TESTS_FUZZ_REPLAY_H */
