/* program.c - texts of GPU programs, and those that were compiled. */
#include "backend/cuda/program.h"

#include <string.h>

#include "backend/cuda/nvrtc.h"
#include "backend/cuda/sources.h"
#include "base/hash.h"
#include "base/mem.h"

static const struct dyno_cuda_source *find_source(const char *name)
{
    for (size_t i = 0; i < dyno_cuda_source_count; i++) {
        if (strcmp(dyno_cuda_sources[i].name, name) == 0)
            return &dyno_cuda_sources[i];
    }
    return NULL;
}

static void add_source(struct dyno_strbuf *text, const char *name)
{
    const struct dyno_cuda_source *source = find_source(name);
    DYNO_ASSERT(source != NULL);
    dyno_strbuf_printf(text, "#line 1 \"%s\"\n", name);
    dyno_strbuf_add(text, source->text, source->bytes);
}

enum dyno_status dyno_cuda_program_text(const char *source, const char *choices,
                                        struct dyno_strbuf *text, struct dyno_err *err)
{
    if (find_source(source) == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "this build has no GPU program '%s'", source);
    add_source(text, "params.h");
    add_source(text, "ptx.cuh");
    add_source(text, "prelude.cuh");
    /* The instructions of tails mean on the GPU what they mean in ops/pw.def. */
    dyno_strbuf_puts(text, "#define DYNO_PW(name, operands, immediates, meaning) \\\n"
                           "    __device__ __forceinline__ float dyno_pw_##name(float a, float b, "
                           "float c, float p, float q) { return meaning; }\n");
    add_source(text, "pw.def");
    dyno_strbuf_puts(text, "#undef DYNO_PW\n#line 1 \"choices\"\n");
    dyno_strbuf_puts(text, choices);
    add_source(text, source);
    return dyno_strbuf_ok(text) ? DYNO_OK : DYNO_NOMEM(err);
}

/* Of the template, and of what stands before each. */
static uint64_t hash_of(const struct dyno_cuda_source *source)
{
    static const char *const shared[] = {"params.h", "ptx.cuh", "prelude.cuh", "pw.def"};
    uint64_t hash = dyno_hash64(1, source->text, source->bytes);
    for (size_t i = 0; i < DYNO_COUNT(shared); i++) {
        const struct dyno_cuda_source *part = find_source(shared[i]);
        DYNO_ASSERT(part != NULL);
        hash = hash * 31 + dyno_hash64(i + 2, part->text, part->bytes);
    }
    return hash;
}

enum dyno_status dyno_cuda_program_choices(const struct dyno_kernel *kernel,
                                           const struct dyno_site *site,
                                           const struct dyno_tactic *tactic,
                                           const char **source_out, struct dyno_strbuf *choices,
                                           struct dyno_err *err)
{
    DYNO_TRY(kernel->program(site, tactic, source_out, choices, err));
    const struct dyno_cuda_source *source = find_source(*source_out);
    DYNO_ASSERT(source != NULL);
    dyno_strbuf_printf(choices, "/* template %016llx */\n", (unsigned long long)hash_of(source));
    return dyno_strbuf_ok(choices) ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- those that were compiled --- */

struct dyno_cuda_programs {
    const struct dyno_cuda *cuda;
    int compute;
    struct dyno_arena *arena;
    struct dyno_cuda_program *first;
    uint32_t count;
};

struct dyno_cuda_programs *dyno_cuda_programs_create(const struct dyno_cuda *cuda, int compute)
{
    struct dyno_cuda_programs *programs = dyno_alloc(1, sizeof(*programs));
    if (programs == NULL)
        return NULL;
    programs->cuda = cuda;
    programs->compute = compute;
    programs->arena = dyno_arena_create();
    if (programs->arena == NULL) {
        dyno_free(programs);
        return NULL;
    }
    return programs;
}

void dyno_cuda_programs_destroy(struct dyno_cuda_programs *programs)
{
    if (programs == NULL)
        return;
    for (struct dyno_cuda_program *at = programs->first; at != NULL; at = at->next) {
        if (programs->cuda != NULL)
            dyno_cuda_module_unload(programs->cuda, &at->module);
        dyno_arena_destroy(at->arena);
    }
    dyno_arena_destroy(programs->arena);
    dyno_free(programs);
}

/* On any thread: touches this program alone. */
static void compile(struct dyno_cuda_program *program, int compute)
{
    struct dyno_strbuf text = {0};
    struct dyno_program *compiled = &program->compiled;
    program->arena = dyno_arena_create();
    enum dyno_status status = program->arena != NULL ? DYNO_OK : DYNO_NOMEM(&program->err);
    if (status == DYNO_OK)
        status = dyno_cuda_program_text(compiled->source, compiled->choices, &text, &program->err);
    if (status == DYNO_OK)
        status =
            dyno_nvrtc_compile(compiled->source, dyno_strbuf_text(&text), compute, program->arena,
                               &compiled->image, &compiled->image_bytes, &program->err);
    dyno_strbuf_fini(&text);
    if (status != DYNO_OK)
        compiled->image = NULL;
}

/* The entry of this step and tactic, made if it is new. */
static enum dyno_status entry_of(struct dyno_cuda_programs *programs,
                                 const struct dyno_kernel *kernel, const struct dyno_site *site,
                                 const struct dyno_tactic *tactic, struct dyno_cuda_program **out,
                                 struct dyno_err *err)
{
    struct dyno_strbuf choices = {0};
    const char *source = NULL;
    struct dyno_cuda_program *found = NULL;
    enum dyno_status status =
        dyno_cuda_program_choices(kernel, site, tactic, &source, &choices, err);
    for (found = programs->first; status == DYNO_OK && found != NULL; found = found->next) {
        if (strcmp(found->compiled.source, source) == 0 &&
            strcmp(found->compiled.choices, dyno_strbuf_text(&choices)) == 0)
            break;
    }
    if (status == DYNO_OK && found == NULL) {
        found = dyno_arena_alloc(programs->arena, 1, sizeof(*found));
        const char *kept = dyno_arena_strdup(programs->arena, dyno_strbuf_text(&choices));
        if (found == NULL || kept == NULL) {
            status = DYNO_NOMEM(err);
        } else {
            found->compiled = (struct dyno_program){.source = source, .choices = kept};
            found->next = programs->first;
            programs->first = found;
            programs->count++;
        }
    }
    dyno_strbuf_fini(&choices);
    *out = status == DYNO_OK ? found : NULL;
    return status;
}

enum dyno_status dyno_cuda_programs_want(struct dyno_cuda_programs *programs,
                                         const struct dyno_kernel *kernel,
                                         const struct dyno_site *site,
                                         const struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cuda_program *program = NULL;
    if (!dyno_kernel_has_program(kernel, tactic))
        return DYNO_OK;
    return entry_of(programs, kernel, site, tactic, &program, err);
}

struct crowd {
    struct dyno_cuda_program **items;
    int compute;
};

static void compile_task(void *arg, int task, int thread)
{
    const struct crowd *crowd = arg;
    (void)thread;
    compile(crowd->items[task], crowd->compute);
}

enum dyno_status dyno_cuda_programs_compile(struct dyno_cuda_programs *programs,
                                            struct dyno_pool *pool, struct dyno_err *err)
{
    struct crowd crowd = {.compute = programs->compute};
    int count = 0;
    crowd.items = dyno_alloc(programs->count + 1U, sizeof(struct dyno_cuda_program *));
    if (crowd.items == NULL)
        return DYNO_NOMEM(err);
    for (struct dyno_cuda_program *at = programs->first; at != NULL; at = at->next) {
        if (at->compiled.image == NULL && at->arena == NULL)
            crowd.items[count++] = at;
    }
    if (count > 0)
        dyno_pool_run(pool, compile_task, &crowd, count);
    dyno_free(crowd.items);
    return DYNO_OK;
}

enum dyno_status dyno_cuda_programs_get(struct dyno_cuda_programs *programs,
                                        const struct dyno_kernel *kernel,
                                        const struct dyno_site *site,
                                        const struct dyno_tactic *tactic,
                                        const struct dyno_cuda_program **out, struct dyno_err *err)
{
    struct dyno_cuda_program *program = NULL;
    *out = NULL;
    if (!dyno_kernel_has_program(kernel, tactic))
        return DYNO_OK;
    DYNO_TRY(entry_of(programs, kernel, site, tactic, &program, err));
    if (program->compiled.image == NULL && program->arena == NULL)
        compile(program, programs->compute);
    if (program->compiled.image == NULL)
        return DYNO_FAIL(err, program->err.status, "%s", program->err.text);
    if (programs->cuda != NULL && program->module.module == NULL)
        DYNO_TRY(
            dyno_cuda_module_load(programs->cuda, program->compiled.image, &program->module, err));
    *out = program;
    return DYNO_OK;
}

const struct dyno_cuda *dyno_cuda_programs_device(const struct dyno_cuda_programs *programs)
{
    return programs->cuda;
}

uint32_t dyno_cuda_programs_count(const struct dyno_cuda_programs *programs)
{
    return programs->count;
}
