/* run_node_tests.c - ONNX's own node tests, against a ratchet list.
 *
 *     run_node_tests FOLDER LIST [--runner=oracle|engine] [--except=LIST] [--only=TEXT] [--verbose]
 *                    [--accept]
 *
 * FOLDER holds test_NAME/model.onnx and test_NAME/test_data_set_N/{input,output}_M.pb.  LIST names
 * the tests that must pass, less those named in the list of exceptions (NAME: REASON).  A listed
 * test that fails is a failure; so is an unlisted one that passes: --accept writes the list anew.
 * Each test runs in a process of its own.
 */
#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "build/build.h"
#include "compare.h"
#include "ir/interpret.h"

#define TESTS_MAX     4096
#define TENSORS_MAX   64
#define REASON_BYTES  512
#define SECONDS_MAX   60
#define EXIT_OF_ERROR 2

/* A path too long is cut: the file is then not found. */
static void path_of(char path_out[PATH_MAX], const char *fmt, ...) DYNO_PRINTF(2, 3);
static void path_of(char path_out[PATH_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(path_out, PATH_MAX, fmt, args);
    va_end(args);
}

/* --- how a model is run --- */

/* A model to run; ins and outs are in the graph's order, outs' data lives in `arena`. */
struct job {
    const char *path;
    struct dyno_graph *graph;
    const struct dyno_tensor *const *ins;
    struct dyno_tensor *outs;
    struct dyno_arena *arena;
};

struct runner {
    const char *name;
    enum dyno_status (*run)(const struct job *job, struct dyno_err *err);
};

/* The reference of every operator, node by node. */
static enum dyno_status run_oracle(const struct job *job, struct dyno_err *err)
{
    return dyno_graph_interpret(job->graph, job->ins, job->outs, job->arena, NULL, NULL, err);
}

/* Built without timing for the very shapes, written, read and run; the process ends with it all. */
static enum dyno_status run_engine(const struct job *job, struct dyno_err *err)
{
    static struct dyno_profile_input profile[TENSORS_MAX];
    static struct dyno_array ins[TENSORS_MAX];
    static struct dyno_array outs[TENSORS_MAX];
    struct dyno_built built = {0};
    struct dyno_engine *engine = NULL;
    struct dyno_context *context = NULL;
    char path[PATH_MAX];
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path_of(path, "%s/dyno-node-test-%d", folder, (int)getpid());
    for (uint32_t i = 0; i < job->graph->input_count; i++) {
        const struct dyno_tensor *in = job->ins[i];
        profile[i].name = job->graph->inputs[i]->name;
        profile[i].rank = in->rank;
        memcpy(profile[i].min, in->dims, sizeof(in->dims));
        memcpy(profile[i].opt, in->dims, sizeof(in->dims));
        memcpy(profile[i].max, in->dims, sizeof(in->dims));
        ins[i] = (struct dyno_array){.dtype = (int)in->dtype, .rank = in->rank, .data = in->data};
        memcpy(ins[i].dims, in->dims, sizeof(ins[i].dims));
        if (!dyno_dtype_bytes(in->dtype, (uint64_t)dyno_tensor_count(in), &ins[i].bytes))
            return DYNO_FAIL(err, DYNO_E_LIMIT, "input %u is too large", i);
    }
    const struct dyno_build_options options = {.onnx_path = job->path,
                                               .engine_path = path,
                                               .profile = profile,
                                               .profile_count = job->graph->input_count};
    DYNO_TRY(dyno_build(&options, &built, err));
    const enum dyno_status status = dyno_engine_open(path, &engine, err);
    (void)unlink(path);
    DYNO_TRY(status);
    DYNO_TRY(dyno_context_create(engine, NULL, &context, err));
    DYNO_TRY(dyno_context_run(context, ins, outs, err));
    for (uint32_t i = 0; i < job->graph->output_count; i++) {
        job->outs[i] = (struct dyno_tensor){
            .dtype = (enum dyno_dtype)outs[i].dtype, .rank = outs[i].rank, .data = outs[i].data};
        memcpy(job->outs[i].dims, outs[i].dims, sizeof(outs[i].dims));
    }
    return DYNO_OK;
}

static const struct runner runners[] = {{"oracle", run_oracle}, {"engine", run_engine}};

struct options {
    const char *folder;
    const char *list;
    const char *except;
    const struct runner *runner;
    const char *only;
    bool verbose;
    bool accept;
};

struct test {
    char *name;
    bool passed;
    bool listed;
    char reason[REASON_BYTES];
};

/* --- one test, in the child --- */

struct data_set {
    struct dyno_tensor tensors[TENSORS_MAX];
    struct dyno_file_map maps[TENSORS_MAX];
    uint32_t count;
};

/* KIND_0.pb, KIND_1.pb ... of a folder. */
static enum dyno_status read_set(const char *folder, const char *kind, struct dyno_arena *arena,
                                 struct data_set *set, struct dyno_err *err)
{
    char path[PATH_MAX];
    for (set->count = 0; set->count < TENSORS_MAX; set->count++) {
        path_of(path, "%s/%s_%u.pb", folder, kind, set->count);
        if (access(path, R_OK) != 0)
            return DYNO_OK;
        struct dyno_file_map *map = &set->maps[set->count];
        DYNO_TRY(dyno_file_map(path, map, err));
        DYNO_TRY(
            dyno_onnx_tensor_read(map->data, map->bytes, arena, &set->tensors[set->count], err));
    }
    return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d tensors in '%s'", TENSORS_MAX, folder);
}

static enum dyno_status refuse_containers(const struct dyno_graph *graph, struct dyno_err *err)
{
    for (uint32_t i = 0; i < graph->input_count; i++) {
        if (graph->inputs[i]->type.kind != DYNO_TYPE_TENSOR)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "input '%s' is a sequence or an optional",
                             graph->inputs[i]->name);
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        if (graph->outputs[i]->type.kind != DYNO_TYPE_TENSOR)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "output '%s' is a sequence or an optional",
                             graph->outputs[i]->name);
    }
    return DYNO_OK;
}

static enum dyno_status run_set(struct dyno_graph *graph, const char *path, const char *folder,
                                const struct runner *runner, struct dyno_err *err)
{
    static struct data_set ins;
    static struct data_set wanted;
    const struct dyno_tensor *in_list[TENSORS_MAX];
    struct dyno_tensor outs[TENSORS_MAX] = {{.rank = 0}};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(refuse_containers(graph, err));
    DYNO_TRY(read_set(folder, "input", arena, &ins, err));
    DYNO_TRY(read_set(folder, "output", arena, &wanted, err));
    if (ins.count != graph->input_count || wanted.count != graph->output_count)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%u inputs and %u outputs given, the graph has %u, %u",
                         ins.count, wanted.count, graph->input_count, graph->output_count);
    for (uint32_t i = 0; i < ins.count; i++)
        in_list[i] = &ins.tensors[i];
    const struct job job = {path, graph, in_list, outs, arena};
    DYNO_TRY(runner->run(&job, err));
    for (uint32_t i = 0; i < wanted.count; i++) {
        struct dyno_err why = {0};
        if (compare_tensors(&outs[i], &wanted.tensors[i], &why) != DYNO_OK)
            return DYNO_FAIL(err, DYNO_E_MISMATCH, "output %u: %s", i, why.text);
    }
    return DYNO_OK;
}

/* The child lives for one test and leaves its memory to the system. */
static enum dyno_status run_test(const char *folder, const struct runner *runner,
                                 struct dyno_err *err)
{
    char path[PATH_MAX];
    int sets = 0;
    path_of(path, "%s/model.onnx", folder);
    for (;; sets++) {
        struct dyno_onnx_model *model = NULL;
        char data[PATH_MAX];
        path_of(data, "%s/test_data_set_%d", folder, sets);
        if (access(data, R_OK) != 0)
            break;
        DYNO_TRY(dyno_onnx_import(path, NULL, &model, err));
        DYNO_TRY(run_set(dyno_onnx_model_graph(model), path, data, runner, err));
    }
    return sets > 0 ? DYNO_OK : DYNO_FAIL(err, DYNO_E_FORMAT, "no data sets in '%s'", folder);
}

/* --- all tests --- */

static void run_in_child(const struct options *options, struct test *test)
{
    int ends[2];
    char folder[PATH_MAX];
    path_of(folder, "%s/%s", options->folder, test->name);
    (void)fflush(NULL);
    if (pipe(ends) != 0) {
        (void)snprintf(test->reason, sizeof(test->reason), "no pipe");
        return;
    }
    const pid_t child = fork();
    if (child == 0) {
        struct dyno_err err = {0};
        (void)alarm(SECONDS_MAX);
        const enum dyno_status status = run_test(folder, options->runner, &err);
        const ssize_t written = write(ends[1], err.text, strlen(err.text));
        _exit(status == DYNO_OK && written >= 0 ? 0 : 1);
    }
    (void)close(ends[1]);
    size_t bytes = 0;
    while (child > 0 && bytes + 1 < sizeof(test->reason)) {
        const ssize_t got = read(ends[0], test->reason + bytes, sizeof(test->reason) - 1 - bytes);
        if (got <= 0)
            break;
        bytes += (size_t)got;
    }
    (void)close(ends[0]);
    int status = -1;
    if (child <= 0 || waitpid(child, &status, 0) != child)
        status = -1;
    test->passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status))
        (void)snprintf(test->reason, sizeof(test->reason), "died of signal %d", WTERMSIG(status));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct test *)a)->name, ((const struct test *)b)->name);
}

static uint32_t find_tests(const struct options *options, struct test *tests)
{
    uint32_t count = 0;
    DIR *folder = opendir(options->folder);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry = readdir(folder); entry != NULL && count < TESTS_MAX;
         entry = readdir(folder)) {
        if (strncmp(entry->d_name, "test_", 5) != 0 ||
            (options->only != NULL && strstr(entry->d_name, options->only) == NULL))
            continue;
        tests[count].name = strdup(entry->d_name);
        if (tests[count].name != NULL)
            count++;
    }
    (void)closedir(folder);
    qsort(tests, count, sizeof(*tests), by_name);
    return count;
}

/* --- the ratchet --- */

/* Sets `listed` of the tests named in a list; returns how many names there is no test for. */
static int read_list(const struct options *options, const char *path, bool listed,
                     struct test *tests, uint32_t count)
{
    char line[1024];
    int unknown = 0;
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, ":\r\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        const struct test key = {.name = line};
        struct test *found = bsearch(&key, tests, count, sizeof(*tests), by_name);
        if (found != NULL) {
            found->listed = listed;
        } else if (options->only == NULL) {
            (void)fprintf(stderr, "%s: listed, but there is no such test\n", line);
            unknown++;
        }
    }
    (void)fclose(file);
    return unknown;
}

static int write_list(const struct options *options, const struct test *tests, uint32_t count)
{
    struct dyno_strbuf text = {0};
    struct dyno_err err = {0};
    dyno_strbuf_puts(&text, "# ONNX node tests (onnx 1.20.0) that must pass; run_node_tests "
                            "--accept writes this.\n");
    for (uint32_t i = 0; i < count; i++) {
        if (tests[i].passed)
            dyno_strbuf_printf(&text, "%s\n", tests[i].name);
    }
    const enum dyno_status status =
        dyno_file_write_atomic(options->list, dyno_strbuf_text(&text), text.bytes, &err);
    if (status != DYNO_OK)
        (void)fprintf(stderr, "%s\n", err.text);
    dyno_strbuf_fini(&text);
    return status == DYNO_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int report(const struct options *options, const struct test *tests, uint32_t count,
                  int unknown)
{
    uint32_t passed = 0;
    int wrong = unknown;
    for (uint32_t i = 0; i < count; i++) {
        const struct test *test = &tests[i];
        passed += test->passed;
        if (test->listed && !test->passed) {
            (void)fprintf(stderr, "%s: must pass, but: %s\n", test->name, test->reason);
            wrong++;
        } else if (!test->listed && test->passed) {
            (void)fprintf(stderr, "%s: passes, but is not listed (--accept)\n", test->name);
            wrong++;
        } else if (options->verbose && !test->passed) {
            printf("%s: %s\n", test->name, test->reason);
        }
    }
    printf("%u of %u node tests pass (%s), %d not as listed\n", passed, count,
           options->runner->name, wrong);
    return wrong == 0 && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool parse(int argc, char **argv, struct options *options)
{
    options->runner = &runners[0];
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--accept") == 0) {
            options->accept = true;
        } else if (strcmp(arg, "--verbose") == 0) {
            options->verbose = true;
        } else if (strncmp(arg, "--except=", 9) == 0) {
            options->except = arg + 9;
        } else if (strncmp(arg, "--only=", 7) == 0) {
            options->only = arg + 7;
        } else if (strncmp(arg, "--runner=", 9) == 0) {
            options->runner = NULL;
            for (size_t j = 0; j < DYNO_COUNT(runners); j++) {
                if (strcmp(runners[j].name, arg + 9) == 0)
                    options->runner = &runners[j];
            }
        } else if (options->folder == NULL) {
            options->folder = arg;
        } else if (options->list == NULL) {
            options->list = arg;
        } else {
            return false;
        }
    }
    return options->folder != NULL && options->list != NULL && options->runner != NULL &&
           !(options->accept && (options->only != NULL || options->except != NULL));
}

int main(int argc, char **argv)
{
    static struct test tests[TESTS_MAX];
    struct options options = {0};
    if (!parse(argc, argv, &options)) {
        (void)fprintf(stderr, "usage: run_node_tests FOLDER LIST [--runner=oracle|engine] "
                              "[--except=LIST] [--only=TEXT] [--verbose] [--accept]\n");
        return EXIT_OF_ERROR;
    }
    const uint32_t count = find_tests(&options, tests);
    for (uint32_t i = 0; i < count; i++)
        run_in_child(&options, &tests[i]);
    int unknown = read_list(&options, options.list, true, tests, count);
    unknown += read_list(&options, options.except, false, tests, count);
    int result = report(&options, tests, count, unknown);
    if (options.accept && count > 0)
        result = write_list(&options, tests, count);
    for (uint32_t i = 0; i < count; i++)
        free(tests[i].name);
    return result;
}
