/* test_config.c - flags from a file: what is taken, what wins, what is refused, what is printed. */
#include "cli/config.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "test.h"

#define FILE_NAME "test_config.tmp.json"

struct options {
    struct dyno_cli_list positional;
    const char *config, *text, *other_text;
    struct dyno_cli_list list;
    int64_t whole;
    double number;
    const struct dyno_json *tree;
    bool is_on, is_off, print;
};

#define AT(field) .offset_bytes = offsetof(struct options, field)
static const struct dyno_flag flags[] = {
    {.name = "--config", .value = "FILE", .help = "", .kind = DYNO_FLAG_CONFIG, AT(config)},
    {.name = "--print", .help = "", .kind = DYNO_FLAG_PRINT_CONFIG, AT(print)},
    {.name = "--text", .value = "T", .help = "", .kind = DYNO_FLAG_STR, AT(text)},
    {.name = "--other-text",
     .value = "T",
     .help = "",
     .kind = DYNO_FLAG_STR,
     AT(other_text),
     .fallback_text = "as it was"},
    {.name = "--list", .value = "T", .help = "", .kind = DYNO_FLAG_LIST, AT(list)},
    {.name = "--whole",
     .value = "N",
     .help = "",
     .kind = DYNO_FLAG_INT,
     AT(whole),
     .fallback = 7,
     .min = -1,
     .max = 1048576},
    {.name = "--number",
     .value = "S",
     .help = "",
     .kind = DYNO_FLAG_F64,
     AT(number),
     .fallback = 2.5,
     .min = 0,
     .max = 10},
    {.name = "--tree", .value = "JSON", .help = "", .kind = DYNO_FLAG_TREE, AT(tree)},
    {.name = "--is-on", .help = "", .kind = DYNO_FLAG_BOOL, AT(is_on)},
    {.name = "--is-off", .help = "", .kind = DYNO_FLAG_BOOL, AT(is_off)},
};

static const struct dyno_command command = {.name = "try",
                                            .flags = flags,
                                            .flag_count = DYNO_COUNT(flags),
                                            .options_bytes = sizeof(struct options),
                                            .text = ""};

static void write_bytes(const char *text, size_t bytes)
{
    FILE *file = fopen(FILE_NAME, "wb");
    REQUIRE(file != NULL);
    CHECK(fwrite(text, 1, bytes, file) == bytes);
    CHECK(fclose(file) == 0);
}

/* Parse these arguments, up to NULL, behind --config=FILE_NAME. */
static enum dyno_status parse(const char *const *args, struct dyno_arena *arena,
                              struct options *options, struct dyno_err *err)
{
    char *argv[8] = {(char *)(uintptr_t) "--config=" FILE_NAME};
    int argc = 1;
    bool help = false;
    *options = (struct options){0};
    for (; args != NULL && *args != NULL; args++)
        argv[argc++] = (char *)(uintptr_t)*args;
    return dyno_cli_parse(&command, argc, argv, arena, options, &help, err);
}

static const char good[] =
    "{\"text\": \"a \\u00e4\", \"list\": [\"x\", \"y\"], \"whole\": -1, \"number\": 1e0,\n"
    " \"is-on\": true, \"is-off\": false,\n"
    " \"tree\": {\"a\": [1, 2.5, \"b\", null, true, {}], \"c\": {\"d\": -3}}}\n";

static void test_values(void)
{
    struct options options;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    write_bytes(good, strlen(good));
    CHECK(parse(NULL, arena, &options, &err) == DYNO_OK);
    CHECK(strcmp(options.text, "a \xc3\xa4") == 0 && strcmp(options.other_text, "as it was") == 0);
    CHECK(options.list.count == 2 && strcmp(options.list.items[1], "y") == 0);
    CHECK(options.whole == -1 && options.number == 1.0 && options.is_on && !options.is_off);
    const struct dyno_json *a = dyno_json_find(options.tree, "a");
    CHECK(a != NULL && a->count == 6 && a->first->next->number == 2.5);
    /* What the command line has stands, and a list is not added to. */
    CHECK(parse((const char *[]){"--text=b", "--list=z", "--is-on=false", "--is-off", "--tree=[]",
                                 "--whole=3", NULL},
                arena, &options, &err) == DYNO_OK);
    CHECK(strcmp(options.text, "b") == 0 && options.list.count == 1 && options.whole == 3);
    CHECK(strcmp(options.list.items[0], "z") == 0 && !options.is_on && options.is_off);
    CHECK(options.tree->kind == DYNO_JSON_ARRAY && options.number == 1.0);
    write_bytes("{}", 2);
    CHECK(parse(NULL, arena, &options, &err) == DYNO_OK);
    CHECK(options.whole == 7 && options.number == 2.5 && options.tree == NULL &&
          options.text == NULL && options.list.count == 0);
    write_bytes("{\"whole\": 3e2, \"list\": []}", 26);
    CHECK(parse(NULL, arena, &options, &err) == DYNO_OK && options.whole == 300);
    dyno_arena_destroy(arena);
}

static void refuses_bytes(const char *text, size_t bytes, enum dyno_status status, const char *says)
{
    struct options options;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    write_bytes(text, bytes);
    /* Also where the command line has the flag itself. */
    CHECK(parse((const char *[]){"--whole=1", "--text=t", "--list=l", "--is-on", NULL}, arena,
                &options, &err) == status);
    CHECK_STR(err.text, says);
    dyno_arena_destroy(arena);
}

static void refuses(const char *text, const char *says)
{
    refuses_bytes(text, strlen(text), DYNO_E_FORMAT, says);
}

#define IS FILE_NAME ": "
static void test_refusals(void)
{
    refuses("", IS "JSON line 1 column 1: a value expected");
    refuses("{\"whole\": 1,}", IS "JSON line 1 column 13: a key in double quotes expected");
    refuses("[]", IS "a configuration is one object");
    refuses("{\"whole\": 1, \"whole\": 2}",
            IS "JSON line 1 column 24: key appears twice in one object");
    refuses("{\"hole\": 1}", IS "there is no key \"hole\": keys are the flags of dyno try --help "
                                "without their dashes");
    refuses("{\"--whole\": 1}", IS "there is no key \"--whole\": keys are the flags of dyno try "
                                   "--help without their dashes");
    refuses("{\"whole\\u0000\": 1}", IS "there is no key \"whole\": keys are the flags of dyno try "
                                        "--help without their dashes");
    refuses("{\"config\": \"x\"}", IS "\"config\" is for the command line only");
    refuses("{\"print\": true}", IS "\"print\" is for the command line only");
#define WHOLE IS "\"whole\" wants a whole number between -1 and 1048576, not "
    refuses("{\"whole\": 1048577}", WHOLE "1048577");
    refuses("{\"whole\": -2}", WHOLE "-2");
    refuses("{\"whole\": 1.5}", WHOLE "1.5");
    refuses("{\"whole\": 1e400}", WHOLE "inf");
    refuses("{\"whole\": \"1\"}", WHOLE "a string");
    refuses("{\"whole\": null}", WHOLE "null");
    refuses("{\"number\": 10.5}", IS "\"number\" wants a number between 0 and 10, not 10.5");
    refuses("{\"number\": true}", IS "\"number\" wants a number between 0 and 10, not true or "
                                     "false");
    refuses("{\"is-on\": 1}", IS "\"is-on\" wants true or false, not 1");
    refuses("{\"text\": [\"a\"]}", IS "\"text\" wants a string that is not empty, not a list of 1");
    refuses("{\"text\": \"\"}", IS "\"text\" wants a string that is not empty, not an empty one");
    refuses("{\"text\": \"a\\u0000b\"}",
            IS "\"text\" wants a string that is not empty, not one with a zero byte");
#define LIST IS "\"list\" wants a list of at most 64 strings that are not empty, not "
    refuses("{\"list\": \"a\"}", LIST "a string");
    refuses("{\"list\": {\"a\": \"b\"}}", LIST "an object");
    refuses("{\"list\": [\"a\", 1]}", LIST "a list of 2");
    refuses("{\"list\": [\"\"]}", LIST "a list of 1");
    struct dyno_strbuf many = {0};
    dyno_strbuf_puts(&many, "{\"list\": [\"a\"");
    for (int i = 0; i < 64; i++)
        dyno_strbuf_puts(&many, ", \"a\"");
    dyno_strbuf_puts(&many, "]}");
    refuses(many.text, LIST "a list of 65");
    dyno_strbuf_fini(&many);
    static char large[1048577];
    memset(large, ' ', sizeof(large));
    refuses_bytes(large, sizeof(large), DYNO_E_LIMIT,
                  IS "a configuration has at most 1048576 bytes, this one 1048577");
    (void)unlink(FILE_NAME);
    struct options options;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    CHECK(parse(NULL, arena, &options, &err) == DYNO_E_NOT_FOUND);
    CHECK_STR(err.text, "cannot open \"" FILE_NAME "\": No such file or directory");
    err = (struct dyno_err){0};
    CHECK(parse((const char *[]){"--tree={", NULL}, arena, &options, &err) == DYNO_E_FORMAT);
    CHECK(strncmp(err.text, "--tree: JSON line 1 column 2: ", 30) == 0);
    dyno_arena_destroy(arena);
}

/* What is printed into `text`. */
static void print(const struct options *options, char *text, size_t bytes)
{
    (void)fflush(stdout);
    const int out = dup(STDOUT_FILENO);
    const int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(out >= 0 && fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
    CHECK(dyno_cli_config_print(&command, options, NULL) == DYNO_OK);
    (void)fflush(stdout);
    (void)dup2(out, STDOUT_FILENO);
    const ssize_t got = pread(fd, text, bytes - 1, 0);
    text[got > 0 ? got : 0] = 0;
    (void)close(fd);
    (void)close(out);
}

static void test_print(void)
{
    char text[2048];
    char again[2048];
    struct options options;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    write_bytes(good, strlen(good));
    CHECK(parse((const char *[]){"--number=10", "--print", NULL}, arena, &options, &err) ==
          DYNO_OK);
    CHECK(options.print);
    print(&options, text, sizeof(text));
    CHECK(strstr(text, "\"other-text\": \"as it was\"") != NULL);
    CHECK(strstr(text, "\"number\": 10,") != NULL && strstr(text, "\"print\"") == NULL);
    CHECK(strstr(text, "\"config\"") == NULL && strstr(text, "\"is-off\": false") != NULL);
    /* The file now holds it: the same values come of it. */
    CHECK(parse(NULL, arena, &options, &err) == DYNO_OK);
    print(&options, again, sizeof(again));
    CHECK(strcmp(text, again) == 0);
    dyno_arena_destroy(arena);
}

static void test_no_memory(void)
{
    write_bytes(good, strlen(good));
    for (uint64_t nth = 1;; nth++) {
        struct options options;
        struct dyno_err err = {0};
        struct dyno_arena *arena = dyno_arena_create();
        REQUIRE(arena != NULL);
        dyno_mem_fail_at(nth);
        const enum dyno_status status = parse(NULL, arena, &options, &err);
        dyno_mem_fail_at(0);
        dyno_arena_destroy(arena);
        CHECK(dyno_mem_live_count() == 0);
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_NOMEM);
        REQUIRE(nth < 1000);
    }
}

int main(void)
{
    char folder[] = "/tmp/dyno-config-XXXXXX";
    REQUIRE(mkdtemp(folder) != NULL && chdir(folder) == 0);
    test_values();
    test_refusals();
    test_print();
    test_no_memory();
    (void)unlink(FILE_NAME);
    CHECK(rmdir(folder) == 0);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
