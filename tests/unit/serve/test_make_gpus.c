/* test_make_gpus.c - what a GPU is is asked once for the wishes that came, and builds take turns.
 */
#include "serve/model/make_gpus.h"

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
static char folder[64], builder[128], answer[128], asked[128];

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    REQUIRE(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* How often it was asked. */
static int ask_count(void)
{
    struct stat info;
    return stat(asked, &info) == 0 ? (int)info.st_size : 0;
}

static enum dyno_status ask(struct dyno_make_gpus *gpus, const char *device, int cancel_fd,
                            char text[DYNO_MAKE_GPU_TEXT_BYTES], struct dyno_err *err)
{
    const struct dyno_make_gpu_asking asking = {
        .builder = builder, .env = env, .cancel_fd = cancel_fd};
    *err = (struct dyno_err){0};
    return dyno_make_gpus_ask(gpus, &asking, device, text, err);
}

static void test_asked_once(void)
{
    struct dyno_make_gpus gpus;
    struct dyno_err err;
    char text[DYNO_MAKE_GPU_TEXT_BYTES];
    dyno_make_gpus_init(&gpus);
    put(answer, "echo card $3");
    for (int i = 0; i < 3; i++) {
        CHECK(ask(&gpus, "cuda:0", -1, text, &err) == DYNO_OK);
        CHECK_STR(text, "card cuda:0\n");
    }
    CHECK(ask(&gpus, "cuda:12", -1, text, &err) == DYNO_OK);
    CHECK_STR(text, "card cuda:12\n");
    CHECK(ask_count() == 2);
    dyno_make_gpus_wish(&gpus);
    put(answer, "echo another");
    CHECK(ask(&gpus, "cuda:0", -1, text, &err) == DYNO_OK);
    CHECK_STR(text, "another\n");
    CHECK(ask_count() == 3);
    dyno_make_gpus_fini(&gpus);
}

static void test_refused(void)
{
    struct dyno_make_gpus gpus;
    struct dyno_err err;
    char text[DYNO_MAKE_GPU_TEXT_BYTES];
    const int before = ask_count();
    dyno_make_gpus_init(&gpus);
    put(answer, "echo 'dyno inspect: there is no GPU' >&2; exit 78");
    for (int i = 0; i < 2; i++) { /* that there is none is known, too */
        CHECK(ask(&gpus, "cuda:0", -1, text, &err) == DYNO_E_TARGET);
        CHECK_STR(err.text, "there is no GPU");
    }
    CHECK(ask_count() == before + 1);
    dyno_make_gpus_wish(&gpus);
    put(answer, "exit 0");
    CHECK(ask(&gpus, "cuda:0", -1, text, &err) == DYNO_E_IO);
    CHECK_STR(err.text, "the builder says nothing of the GPU cuda:0");
    dyno_make_gpus_wish(&gpus);
    put(answer, "kill -SEGV $$");
    CHECK(ask(&gpus, "cuda:0", -1, text, &err) == DYNO_E_IO);
    dyno_make_gpus_wish(&gpus);
    /* Who has no more use for it ends it; that is no answer for the next. */
    const uint64_t one = 1;
    const int fd = eventfd(0, EFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    put(answer, "sleep 600");
    CHECK(ask(&gpus, "cuda:0", fd, text, &err) == DYNO_E_CANCELLED);
    put(answer, "echo back");
    CHECK(ask(&gpus, "cuda:0", -1, text, &err) == DYNO_OK);
    CHECK_STR(text, "back\n");
    CHECK(ask(&gpus, "a device with a long name", -1, text, &err) == DYNO_E_LIMIT);
    (void)close(fd);
    dyno_make_gpus_fini(&gpus);
}

static void test_turns(void)
{
    struct dyno_make_gpus gpus;
    struct dyno_err err;
    char text[DYNO_MAKE_GPU_TEXT_BYTES];
    dyno_make_gpus_init(&gpus);
    put(answer, "echo a card");
    CHECK(ask(&gpus, "cuda:0", -1, text, &err) == DYNO_OK);
    CHECK(ask(&gpus, "cuda:1", -1, text, &err) == DYNO_OK);
    CHECK(dyno_make_gpus_take(&gpus, "cuda:0") && !dyno_make_gpus_take(&gpus, "cuda:0"));
    CHECK(dyno_make_gpus_take(&gpus, "cuda:1"));
    dyno_make_gpus_leave(&gpus, "cuda:0");
    CHECK(dyno_make_gpus_take(&gpus, "cuda:0") && !dyno_make_gpus_take(&gpus, "cuda:1"));
    dyno_make_gpus_fini(&gpus);
}

int main(void)
{
    char text[512];
    (void)snprintf(folder, sizeof(folder), "/tmp/dyno-gpus-XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(builder, sizeof(builder), "%s/dyno", folder);
    (void)snprintf(answer, sizeof(answer), "%s/answer", folder);
    (void)snprintf(asked, sizeof(asked), "%s/asked", folder);
    (void)snprintf(text, sizeof(text),
                   "#!/bin/sh\ntest \"$1 $2 $4\" = 'inspect device --json' || exit 1\n"
                   "printf . >>'%s'\n. '%s'\n",
                   asked, answer);
    put(builder, text);
    REQUIRE(chmod(builder, 0700) == 0);
    test_asked_once();
    test_refused();
    test_turns();
    (void)snprintf(text, sizeof(text), "rm -rf '%s'", folder);
    return system(text) == 0 ? TEST_RESULT() : EXIT_FAILURE;
}
