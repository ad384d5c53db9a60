/* image.c - programs: an image is the host's shared object under the machine number of a cubin. */
#include "emulate.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The driver is given no size: up to the end of what its header names. */
static size_t image_bytes(const unsigned char *image)
{
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof(header));
    size_t end = header.e_shoff + (size_t)header.e_shnum * sizeof(Elf64_Shdr);
    for (size_t i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr section;
        memcpy(&section, image + header.e_shoff + i * sizeof(section), sizeof(section));
        if (section.sh_type != SHT_NOBITS && section.sh_offset + section.sh_size > end)
            end = section.sh_offset + section.sh_size;
    }
    return end;
}

/* As a file that the host's loader takes, of a name that it has not seen. */
static bool write_file(const unsigned char *image, char *path)
{
    const Elf64_Half machine = EM_X86_64;
    const size_t bytes = image_bytes(image);
    const int file = mkstemp(path);
    const bool done =
        file >= 0 && write(file, image, bytes) == (ssize_t)bytes &&
        pwrite(file, &machine, sizeof(machine), offsetof(Elf64_Ehdr, e_machine)) == sizeof(machine);
    if (file >= 0)
        (void)close(file);
    return done;
}

static bool find(struct emulate_program *program)
{
    void *const enter = dlsym(program->handle, "emulate_enter");
    program->now = dlsym(program->handle, "emulate_now");
    program->about = dlsym(program->handle, "emulate_about");
    memcpy(&program->enter, &enter, sizeof(enter));
    return enter != NULL && program->now != NULL && program->about != NULL;
}

int emulate_program_load(const void *image, int compute, struct emulate_program **program_out)
{
    char path[] = "/tmp/dyno-emulate-XXXXXX";
    struct emulate_program *program = calloc(1, sizeof(*program));
    if (program == NULL)
        return EMULATE_NO_MEMORY;
    if (memcmp(image, ELFMAG, SELFMAG) == 0 && write_file(image, path))
        program->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    (void)unlink(path);
    const bool is_one = program->handle != NULL && find(program);
    if (is_one && program->about->compute == compute) {
        *program_out = program;
        return EMULATE_OK;
    }
    emulate_program_unload(program);
    return is_one ? EMULATE_OTHER_GPU : EMULATE_BAD_IMAGE;
}

void emulate_program_unload(struct emulate_program *program)
{
    if (program->handle != NULL)
        (void)dlclose(program->handle);
    free(program);
}
