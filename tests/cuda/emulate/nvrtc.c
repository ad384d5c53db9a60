/* nvrtc.c - stands in for NVIDIA's run-time compiler (DYNO_NVRTC names it): the same program text,
 * by the host's C++ compiler.
 *
 * DYNO_EMULATE_CXX names the path of another compiler than the one that was found when this was
 * built.  What was compiled is kept in the folder DYNO_EMULATE_CACHE (/tmp/dyno-emulate-UID).  Any
 * thread.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

enum { SUCCESS = 0, NO_MEMORY = 1, INVALID_INPUT = 3, COMPILATION = 6, INTERNAL_ERROR = 11 };

struct program {
    char *text;
    char *log;
    char *image;
    size_t image_bytes;
};

static const char *const flags[] = {"-std=c++17",
                                    "-O1",
                                    "-w",
                                    "-fPIC",
                                    "-shared",
                                    "-nostdlib",
                                    "-fno-strict-aliasing",
                                    "-ffp-contract=off",
                                    "-fstack-clash-protection",
                                    "-fno-exceptions",
                                    "-fno-rtti",
                                    "-fsanitize=alignment", /* a GPU refuses what x86 takes */
                                    "-fsanitize-undefined-trap-on-error"};

/* --- text --- */

struct text {
    char *data; /* NULL: out of memory */
    size_t bytes;
};

static void add(struct text *text, const char *from, size_t bytes)
{
    char *more = text->data != NULL ? realloc(text->data, text->bytes + bytes + 1) : NULL;
    if (more == NULL) {
        free(text->data);
        text->data = NULL;
        return;
    }
    memcpy(more + text->bytes, from, bytes);
    text->bytes += bytes;
    more[text->bytes] = 0;
    text->data = more;
}

static void add_string(struct text *text, const char *from)
{
    add(text, from, strlen(from));
}

static void add_file(struct text *text, const char *name)
{
    char path[512], line[512];
    (void)snprintf(path, sizeof(path), EMULATE_FOLDER "/%s", name);
    FILE *file = fopen(path, "r");
    (void)snprintf(line, sizeof(line), "#line 1 \"%s\"\n", name);
    add_string(text, line);
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        add_string(text, line);
    if (file != NULL)
        (void)fclose(file);
}

/* `WORD(...)` about the entry becomes a definition that about.hpp reads; where it ends. */
static const char *add_about(struct text *text, const char *at, const char *name)
{
    const char *open = strchr(at, '(');
    const char *close = open != NULL ? strchr(open, ')') : NULL;
    if (close == NULL)
        return at + 1;
    add_string(text, "\n#define ");
    add_string(text, name);
    add_string(text, " ");
    add(text, open + 1, (size_t)(close - open - 1));
    add_string(text, "\n");
    return close + 1;
}

/* `extern __shared__ [__align__(n)] TYPE name[];` becomes EMULATE_DYNAMIC(TYPE, name); where it
 * ends: before the semicolon. */
static const char *add_dynamic(struct text *text, const char *at)
{
    const char *type = at + strlen("extern __shared__ ");
    if (strncmp(type, "__align__(", 10) == 0)
        type = strchr(type, ')') + 2;
    const char *end = strchr(type, '[');
    const char *name = end;
    while (name > type && name[-1] != ' ')
        name--;
    add_string(text, "EMULATE_DYNAMIC(");
    add(text, type, (size_t)(name - type));
    add_string(text, ", ");
    add(text, name, (size_t)(end - name));
    add_string(text, ")");
    return strchr(end, ';');
}

/* The program as the host's compiler reads it. */
static struct text translate(const char *from, int compute)
{
    static const char ptx[] = "#line 1 \"ptx.cuh\"\n", line[] = "#line 1 ";
    struct text text = {.data = calloc(1, 1)};
    char define[64];
    (void)snprintf(define, sizeof(define), "#define EMULATE_COMPUTE %d\n", compute);
    add_string(&text, define);
    add_file(&text, "program.h");
    add_file(&text, "cuda.hpp");
    while (*from != 0) {
        const char *next = NULL;
        if (strncmp(from, ptx, sizeof(ptx) - 1) == 0) {
            add_file(&text, "ptx.hpp");
            next = strstr(from + sizeof(ptx), line);
        } else if (strncmp(from, "__launch_bounds__(", 18) == 0) {
            next = add_about(&text, from, "EMULATE_THREADS");
        } else if (strncmp(from, "__cluster_dims__(", 17) == 0) {
            next = add_about(&text, from, "EMULATE_CLUSTER");
        } else if (strncmp(from, "extern __shared__ ", 18) == 0) {
            next = add_dynamic(&text, from);
        }
        if (next == NULL) {
            next = from + strcspn(from + 1, "#_e") + 1;
            add(&text, from, (size_t)(next - from));
        }
        from = next;
    }
    add_file(&text, "about.hpp");
    return text;
}

/* --- files --- */

static const char *compiler(void)
{
    const char *named = getenv("DYNO_EMULATE_CXX");
    return named != NULL && *named != 0 ? named : EMULATE_CXX;
}

static void folder_of(char *path, size_t bytes)
{
    const char *named = getenv("DYNO_EMULATE_CACHE");
    if (named != NULL && *named != 0)
        (void)snprintf(path, bytes, "%s", named);
    else
        (void)snprintf(path, bytes, "/tmp/dyno-emulate-%u", (unsigned)getuid());
    (void)mkdir(path, 0700);
}

static uint64_t hash(uint64_t value, const char *text)
{
    for (; *text != 0; text++)
        value = (value ^ (unsigned char)*text) * 1099511628211U;
    return value;
}

static bool read_image(struct program *program, const char *path)
{
    const Elf64_Half machine = 190; /* CUDA */
    struct stat about;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    if (fstat(file, &about) == 0 && about.st_size > (off_t)sizeof(Elf64_Ehdr))
        program->image = malloc((size_t)about.st_size);
    const bool done = program->image != NULL &&
                      read(file, program->image, (size_t)about.st_size) == (ssize_t)about.st_size;
    (void)close(file);
    if (!done)
        return false;
    program->image_bytes = (size_t)about.st_size;
    memcpy(program->image + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof(machine));
    return true;
}

static void read_log(struct program *program, const char *path)
{
    FILE *file = fopen(path, "r");
    char log[4096];
    const size_t bytes = file != NULL ? fread(log, 1, sizeof(log) - 1, file) : 0;
    log[bytes] = 0;
    if (file != NULL)
        (void)fclose(file);
    free(program->log);
    program->log = strdup(bytes != 0 ? log : "the host's C++ compiler does not run");
}

static bool run_compiler(const char *source, const char *object, const char *log)
{
    enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };
    char *arguments[FLAGS + 6];
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    int status = -1;
    arguments[0] = (char *)(uintptr_t)compiler();
    for (int i = 0; i < FLAGS; i++)
        arguments[i + 1] = (char *)(uintptr_t)flags[i];
    arguments[FLAGS + 1] = (char *)(uintptr_t) "-o";
    arguments[FLAGS + 2] = (char *)(uintptr_t)object;
    arguments[FLAGS + 3] = (char *)(uintptr_t)source;
    arguments[FLAGS + 4] = (char *)(uintptr_t) "-lm";
    arguments[FLAGS + 5] = NULL;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    (void)posix_spawn_file_actions_adddup2(&actions, 1, 2);
    const int code = posix_spawn(&child, arguments[0], &actions, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return code == 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool write_source(const struct text *text, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    const bool done = fwrite(text->data, 1, text->bytes, file) == text->bytes;
    return fclose(file) == 0 && done;
}

/* Others may have made the same meanwhile: theirs stays, as two compilations differ by the names of
 * their files, and whoever builds twice wants the same bytes.  What cannot be read is replaced. */
static bool keep(struct program *program, const char *object, const char *kept)
{
    const bool is_there = link(object, kept) == 0 || errno == EEXIST;
    return (is_there && read_image(program, kept)) ||
           (rename(object, kept) == 0 && read_image(program, kept));
}

/* Into `kept`, aside and then named so. */
static bool make(struct program *program, const struct text *text, const char *kept)
{
    static atomic_uint number;
    char source[640], object[640], log[640];
    const unsigned mine = atomic_fetch_add(&number, 1);
    (void)snprintf(source, sizeof(source), "%s.%d.%u.cpp", kept, (int)getpid(), mine);
    (void)snprintf(object, sizeof(object), "%s.%d.%u.o", kept, (int)getpid(), mine);
    (void)snprintf(log, sizeof(log), "%s.%d.%u.log", kept, (int)getpid(), mine);
    const bool done = write_source(text, source) && run_compiler(source, object, log) &&
                      keep(program, object, kept);
    if (!done)
        read_log(program, log);
    (void)unlink(source);
    (void)unlink(object);
    (void)unlink(log);
    return done;
}

/* --- the functions that the product calls --- */

/* NOLINTBEGIN(readability-identifier-naming): as NVIDIA names them */
API int nvrtcVersion(int *major, int *minor);
API int nvrtcCreateProgram(void **program, const char *text, const char *name, int header_count,
                           const char *const *headers, const char *const *header_names);
API int nvrtcDestroyProgram(void **program);
API int nvrtcCompileProgram(void *program, int option_count, const char *const *options);
API int nvrtcGetProgramLogSize(void *program, size_t *bytes);
API int nvrtcGetProgramLog(void *program, char *log);
API int nvrtcGetCUBINSize(void *program, size_t *bytes);
API int nvrtcGetCUBIN(void *program, char *cubin);

int nvrtcVersion(int *major, int *minor)
{
    const bool is_there = access(compiler(), X_OK) == 0;
    const char *told = getenv("DYNO_EMULATE_NVRTC_MINOR");
    *major = is_there ? 13 : 0;
    *minor = is_there && told != NULL ? (int)strtol(told, NULL, 10) : 0;
    return is_there ? SUCCESS : INTERNAL_ERROR;
}

int nvrtcCreateProgram(void **program, const char *text, const char *name, int header_count,
                       const char *const *headers, const char *const *header_names)
{
    (void)name;
    (void)headers;
    (void)header_names;
    struct program *made = calloc(1, sizeof(*made));
    if (header_count != 0 || made == NULL || (made->text = strdup(text)) == NULL) {
        free(made);
        return header_count != 0 ? INVALID_INPUT : NO_MEMORY;
    }
    *program = made;
    return SUCCESS;
}

int nvrtcDestroyProgram(void **program)
{
    struct program *old = *program;
    free(old->text);
    free(old->log);
    free(old->image);
    free(old);
    *program = NULL;
    return SUCCESS;
}

int nvrtcCompileProgram(void *opaque, int option_count, const char *const *options)
{
    static const char architecture[] = "--gpu-architecture=sm_";
    struct program *program = opaque;
    char folder[512], kept[600];
    int compute = 0;
    for (int i = 0; i < option_count; i++) {
        if (strncmp(options[i], architecture, sizeof(architecture) - 1) == 0)
            compute = (int)strtol(options[i] + sizeof(architecture) - 1, NULL, 10);
    }
    struct text text = translate(program->text, compute);
    if (text.data == NULL)
        return NO_MEMORY;
    uint64_t key[2] = {14695981039346656037U, 88172645463325252U};
    for (int half = 0; half < 2; half++) {
        key[half] = hash(hash(key[half], text.data), compiler());
        for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
            key[half] = hash(key[half], flags[i]);
    }
    folder_of(folder, sizeof(folder));
    (void)snprintf(kept, sizeof(kept), "%s/%016llx%016llx", folder, (unsigned long long)key[0],
                   (unsigned long long)key[1]);
    const bool done = read_image(program, kept) || make(program, &text, kept);
    free(text.data);
    return done ? SUCCESS : COMPILATION;
}

int nvrtcGetProgramLogSize(void *program, size_t *bytes)
{
    const char *log = ((struct program *)program)->log;
    *bytes = (log != NULL ? strlen(log) : 0) + 1;
    return SUCCESS;
}

int nvrtcGetProgramLog(void *program, char *log)
{
    const char *from = ((struct program *)program)->log;
    memcpy(log, from != NULL ? from : "", (from != NULL ? strlen(from) : 0) + 1);
    return SUCCESS;
}

int nvrtcGetCUBINSize(void *program, size_t *bytes)
{
    *bytes = ((struct program *)program)->image_bytes;
    return SUCCESS;
}

int nvrtcGetCUBIN(void *program, char *cubin)
{
    memcpy(cubin, ((struct program *)program)->image, ((struct program *)program)->image_bytes);
    return SUCCESS;
}
/* NOLINTEND(readability-identifier-naming) */
