/* test_file.c - maps, atomic replacement, and every failing system call. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "test.h"

static char folder[] = "/tmp/dyno-test-file-XXXXXX";
static char path[64];

static size_t file_count(void)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry = NULL; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

static void check_holds(const char *want, size_t want_bytes)
{
    struct dyno_file_map map;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_file_map(path, &map, &err) == DYNO_OK, "%s", err.text);
    CHECK(map.bytes == want_bytes);
    CHECK(map.bytes == want_bytes && (want_bytes == 0 || memcmp(map.data, want, want_bytes) == 0));
    dyno_file_unmap(&map);
    CHECK(map.data == NULL);
    dyno_file_unmap(&map);
}

static void test_replace(void)
{
    CHECK(dyno_file_write_atomic(path, "one", 3, NULL) == DYNO_OK);
    check_holds("one", 3);
    struct dyno_strbuf text = {0};
    dyno_strbuf_puts(&text, "two");
    CHECK(dyno_file_write_text(path, &text, NULL) == DYNO_OK && text.bytes == 0);
    check_holds("two", 3);
    CHECK(dyno_file_write_atomic(path, "", 0, NULL) == DYNO_OK);
    check_holds("", 0);
    struct dyno_file_writer writer;
    CHECK(dyno_file_write_begin(&writer, path, NULL) == DYNO_OK);
    CHECK(dyno_file_write(&writer, "????two", 7, NULL) == DYNO_OK);
    CHECK(dyno_file_write_at(&writer, 0, "head", 4, NULL) == DYNO_OK);
    CHECK(dyno_file_write(&writer, "!", 1, NULL) == DYNO_OK);
    CHECK(dyno_file_write_at(&writer, 7, "xx", 2, NULL) == DYNO_E_ARG);
    CHECK(writer.offset_bytes == 8);
    check_holds("", 0);
    CHECK(file_count() == 2);
    CHECK(dyno_file_write_commit(&writer, NULL) == DYNO_OK);
    check_holds("headtwo!", 8);
    CHECK(dyno_file_write(&writer, "x", 1, NULL) == DYNO_E_ARG);
    CHECK(dyno_file_write_commit(&writer, NULL) == DYNO_E_ARG);
    CHECK(dyno_file_write_begin(&writer, path, NULL) == DYNO_OK);
    CHECK(dyno_file_write(&writer, "lost", 4, NULL) == DYNO_OK);
    dyno_file_write_abort(&writer);
    dyno_file_write_abort(&writer);
    check_holds("headtwo!", 8);
    CHECK(file_count() == 1);
}

static void test_large(void)
{
    const size_t bytes = 1000003;
    char *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)(i * 7 + i / 251);
    struct dyno_file_writer writer;
    CHECK(dyno_file_write_begin(&writer, path, NULL) == DYNO_OK);
    size_t at = 0;
    for (size_t share = 1; at < bytes; share = share * 3 + 1) {
        const size_t now = share < bytes - at ? share : bytes - at;
        CHECK(dyno_file_write(&writer, data + at, now, NULL) == DYNO_OK);
        at += now;
    }
    CHECK(dyno_file_write_commit(&writer, NULL) == DYNO_OK);
    check_holds(data, bytes);
    free(data);
}

static void test_errors(void)
{
    struct dyno_file_map map;
    struct dyno_err err = {0};
    CHECK(dyno_file_map("/nonexistent/x", &map, &err) == DYNO_E_NOT_FOUND && map.data == NULL);
    CHECK_STR(err.text, "cannot open \"/nonexistent/x\": No such file or directory");
    err = (struct dyno_err){0};
    CHECK(dyno_file_map("/dev/null/x", &map, &err) == DYNO_E_NOT_FOUND);
    CHECK_STR(err.text, "cannot open \"/dev/null/x\": Not a directory");
    err = (struct dyno_err){0};
    CHECK(dyno_file_map("/tmp", &map, &err) == DYNO_E_IO);
    CHECK_STR(err.text, "cannot map \"/tmp\": not a regular file");
    err = (struct dyno_err){0};
    CHECK(dyno_file_write_atomic("/nonexistent/x", "a", 1, &err) == DYNO_E_IO);
    CHECK(strstr(err.text, "cannot create \"/nonexistent/x\"") != NULL);
}

/* A new file: what is there stays, and a failing call leaves nothing, or the whole. */
static void test_failing_calls_of_new(void)
{
    struct dyno_err err = {0};
    CHECK(dyno_file_write_new(path, "other", 5, &err) == DYNO_E_EXISTS && file_count() == 1);
    CHECK(strstr(err.text, "is there already, and is not written over") != NULL);
    for (uint64_t nth = 1;; nth++) {
        struct stat info = {0};
        CHECK(unlink(path) == 0);
        dyno_file_fail_at(nth, ENOSPC);
        const enum dyno_status status = dyno_file_write_new(path, "new", 3, &err);
        dyno_file_fail_at(0, 0);
        const bool is_there = stat(path, &info) == 0;
        CHECK(file_count() == (is_there ? 1 : 0) && (!is_there || info.st_size == 3));
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_IO && nth < 30);
        if (!is_there)
            CHECK(dyno_file_write_atomic(path, "new", 3, NULL) == DYNO_OK);
    }
}

/* Each system call of a replacement fails once: the old file or the new one, nothing beside it. */
static void test_failing_calls(void)
{
    uint64_t nth = 1;
    for (;; nth++) {
        CHECK(dyno_file_write_atomic(path, "old", 3, NULL) == DYNO_OK);
        struct dyno_err err = {0};
        dyno_file_fail_at(nth, ENOSPC);
        const enum dyno_status status = dyno_file_write_atomic(path, "newer", 5, &err);
        dyno_file_fail_at(0, 0);
        CHECK(file_count() == 1);
        struct stat info = {0};
        CHECK(stat(path, &info) == 0 && (info.st_size == 3 || info.st_size == 5));
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_IO && strstr(err.text, "disk or quota is full") != NULL);
        CHECK(strstr(err.text, folder) != NULL);
        CHECK(nth < 30);
    }
    CHECK(nth >= 7); /* create, write, sync, close, rename, open folder, sync folder */
    test_failing_calls_of_new();
    for (nth = 1;; nth++) {
        dyno_mem_fail_at(nth);
        const enum dyno_status status = dyno_file_write_atomic(path, "mem", 3, NULL);
        dyno_mem_fail_at(0);
        CHECK(file_count() == 1);
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_NOMEM && nth < 10);
    }
}

int main(void)
{
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    test_replace();
    test_large();
    test_errors();
    test_failing_calls();
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
