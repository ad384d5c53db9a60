/* test_labels.c - labels in the configuration, and the files that they name. */
#include "serve/model/labels.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "test.h"

static char folder[] = "/tmp/dyno-test-labels-XXXXXX";

static void write_file(const char *text, size_t bytes)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/names.txt", folder);
    REQUIRE(dyno_file_write_atomic(path, text, bytes, NULL) == DYNO_OK);
}

static void check_lines(const char *text, const char *want)
{
    char got[256] = "";
    struct dyno_labels *labels = NULL;
    write_file(text, strlen(text));
    REQUIRE(dyno_labels_read(folder, "names.txt", &labels, NULL) == DYNO_OK);
    for (size_t i = 0; i < labels->labels.count; i++)
        (void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "<%s>",
                       labels->labels.items[i]);
    CHECK_STR(got, want);
    CHECK_STR(labels->file, "names.txt");
    dyno_labels_destroy(labels);
}

static void check_refused(const char *text, size_t bytes, enum dyno_status want, const char *says)
{
    struct dyno_labels *labels = NULL;
    struct dyno_err err = {0};
    write_file(text, bytes);
    CHECK(dyno_labels_read(folder, "names.txt", &labels, &err) == want && labels == NULL);
    CHECK_MSG(strstr(err.text, says) != NULL && strstr(err.text, "'names.txt'") != NULL, "%s",
              err.text);
}

static void test_files(void)
{
    struct dyno_labels *labels = NULL;
    struct dyno_err err = {0};
    check_lines("", "");
    check_lines("\n", "<>");
    check_lines("cat\ndog\n", "<cat><dog>");
    check_lines("cat\r\n\n sea lion\xc3\xa4", "<cat><>< sea lion\xc3\xa4>");
    check_refused("a\0b\n", 4, DYNO_E_FORMAT, "byte 1");
    check_refused("ab\xff\n", 4, DYNO_E_FORMAT, "byte 2");
    static char line[DYNO_LABEL_BYTES_MAX + 2];
    memset(line, 'a', sizeof(line));
    check_refused(line, sizeof(line) - 1, DYNO_E_LIMIT, "line 1");
    line[DYNO_LABEL_BYTES_MAX] = '\n';
    write_file(line, sizeof(line) - 1);
    CHECK(dyno_labels_read(folder, "names.txt", &labels, &err) == DYNO_OK);
    dyno_labels_destroy(labels);
    char *large = calloc(DYNO_LABELS_BYTES_MAX + 1, 1);
    REQUIRE(large != NULL);
    memset(large, '\n', DYNO_LABELS_BYTES_MAX + 1);
    check_refused(large, DYNO_LABELS_BYTES_MAX + 1, DYNO_E_LIMIT, "at most");
    free(large);
    CHECK(dyno_labels_read(folder, "none.txt", &labels, NULL) == DYNO_E_IO);
    CHECK(dyno_labels_read("/", "tmp", &labels, NULL) == DYNO_E_IO);
}

static void test_out_of_memory(void)
{
    enum dyno_status status = DYNO_E_NOMEM;
    write_file("cat\ndog\n", 8);
    for (uint64_t nth = 1; nth < 20 && status != DYNO_OK; nth++) {
        struct dyno_labels *labels = NULL;
        dyno_mem_fail_at(nth);
        status = dyno_labels_read(folder, "names.txt", &labels, NULL);
        dyno_mem_fail_at(0);
        CHECK(status == DYNO_OK ? nth > 4 : status == DYNO_E_NOMEM);
        dyno_labels_destroy(labels);
        CHECK(dyno_mem_live_count() == 0);
    }
    CHECK(status == DYNO_OK);
}

static void check_config(const char *text, const char *says)
{
    struct dyno_model_config config = {0};
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    CHECK(dyno_model_config_parse(text, strlen(text), arena, &config, &err) == DYNO_E_FORMAT);
    CHECK_MSG(strstr(err.text, says) != NULL, "%s", err.text);
    dyno_arena_destroy(arena);
}

static void test_config(void)
{
    static const char good[] = "{\"labels\":{\"y\":\"names.txt\",\"z\":\"b\"}}";
    struct dyno_model_config config = {0};
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(dyno_model_config_parse(good, strlen(good), arena, &config, NULL) == DYNO_OK);
    CHECK_STR(config.labels->output, "z");
    CHECK_STR(config.labels->next->file, "names.txt");
    dyno_arena_destroy(arena);
    check_config("{\"labels\":[]}", "an object of file names");
    check_config("{\"labels\":{\"y\":1}}", "labels.y must be the name of a file");
    check_config("{\"labels\":{\"y\":\"../a\"}}", "labels.y must be the name of a file");
    check_config("{\"labels\":{\"y\":\"/etc/passwd\"}}", "labels.y must be the name of a file");
    check_config("{\"labels\":{\"y\":\"\"}}", "labels.y must be the name of a file");
    check_config("{\"labels\":{\"y\":\"a\\u0000b\"}}", "labels.y must be the name of a file");
    check_config("{\"labels\":{\"y\":\"a\",\"y\":\"b\"}}", "twice");
}

int main(void)
{
    char path[128];
    REQUIRE(mkdtemp(folder) != NULL);
    test_files();
    test_out_of_memory();
    test_config();
    (void)snprintf(path, sizeof(path), "%s/names.txt", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    return TEST_RESULT();
}
