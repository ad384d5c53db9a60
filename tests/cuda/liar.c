/* liar.c - a child that answers nonsense. */
#include "liar.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dtype.h"
#include "serve/gpu/wire.h"

/* What a liar answers to a run, with one output of [2, 7]. */
typedef void lie_fn(struct dyno_gpu_message *answer);

static void lie_call(struct dyno_gpu_message *answer)
{
    answer->call += 7;
}

static void lie_verb(struct dyno_gpu_message *answer)
{
    answer->verb = DYNO_GPU_ADD;
}

static void lie_status(struct dyno_gpu_message *answer)
{
    answer->status = 4711;
}

static void lie_count(struct dyno_gpu_message *answer)
{
    answer->tensor_count = 2;
}

static void lie_dtype(struct dyno_gpu_message *answer)
{
    answer->tensors[0].dtype = DYNO_F64;
}

static void lie_rank(struct dyno_gpu_message *answer)
{
    answer->tensors[0].rank = 9;
}

static void lie_dims(struct dyno_gpu_message *answer)
{
    answer->tensors[0].dims[0] = -2;
}

static void lie_product(struct dyno_gpu_message *answer)
{
    answer->tensors[0].dims[0] = INT64_MAX / 2;
}

static void lie_bytes(struct dyno_gpu_message *answer)
{
    answer->tensors[0].bytes = 4;
}

static void lie_offset(struct dyno_gpu_message *answer)
{
    answer->tensors[0].offset = UINT64_MAX - 63;
}

static void lie_inside_inputs(struct dyno_gpu_message *answer)
{
    answer->tensors[0].offset = 0;
}

static void lie_crooked(struct dyno_gpu_message *answer)
{
    answer->tensors[0].offset += 4;
}

static void lie_time(struct dyno_gpu_message *answer)
{
    answer->end_ns = dyno_clock_ns() + UINT64_C(3600000000000);
}

static void lie_past(struct dyno_gpu_message *answer)
{
    answer->start_ns = 1;
}

static void lie_turn(struct dyno_gpu_message *answer)
{
    answer->turn_ns = answer->end_ns + 1;
}

static void lie_before_turn(struct dyno_gpu_message *answer)
{
    answer->turn_ns = answer->start_ns - 1;
}

static void lie_memory(struct dyno_gpu_message *answer)
{
    answer->gpu_bytes = UINT64_MAX;
}

static void lie_needs(struct dyno_gpu_message *answer)
{
    answer->tensor_count = 0;
    answer->needs_bytes = UINT64_MAX;
}

static void lie_needs_little(struct dyno_gpu_message *answer)
{
    answer->tensor_count = 0;
    answer->needs_bytes = 64;
}

static void lie_other(struct dyno_gpu_message *answer)
{
    answer->instance++;
}

static void lie_text(struct dyno_gpu_message *answer)
{
    memset(answer->text, 'x', sizeof(answer->text));
}

static void lie_short(struct dyno_gpu_message *answer)
{
    (void)send(DYNO_GPU_FD, answer, 5, 0);
}

static void lie_with_file(struct dyno_gpu_message *answer)
{
    (void)!dyno_gpu_send(DYNO_GPU_FD, answer, open("/dev/null", O_RDONLY), NULL);
}

/* These two go on living. */
static void lie_nothing(struct dyno_gpu_message *answer)
{
    (void)answer;
    (void)send(DYNO_GPU_FD, "", 0, 0);
    for (;;)
        (void)pause();
}

static void lie_deaf(struct dyno_gpu_message *answer)
{
    (void)answer;
    (void)close(DYNO_GPU_FD);
    for (;;)
        (void)pause();
}

static lie_fn *const lies[] = {
    lie_turn,  lie_before_turn, lie_call,          lie_verb,         lie_status,
    lie_count, lie_dtype,       lie_rank,          lie_dims,         lie_product,
    lie_bytes, lie_offset,      lie_inside_inputs, lie_crooked,      lie_time,
    lie_past,  lie_memory,      lie_needs,         lie_needs_little, lie_other,
    lie_text,  lie_short,       lie_with_file,     lie_nothing,      lie_deaf,
};

int liar_count(void)
{
    return (int)DYNO_COUNT(lies);
}

bool liar_goes_on(int lie)
{
    return lies[lie] == lie_nothing || lies[lie] == lie_deaf;
}

int liar_speak(int lie)
{
    static struct dyno_gpu_message said;
    said = (struct dyno_gpu_message){.verb = DYNO_GPU_HELLO, .bytes = 1 << 20, .text = "Liar"};
    bool is_end = false;
    int fd = -1;
    if (dyno_gpu_send(DYNO_GPU_FD, &said, -1, NULL) != DYNO_OK)
        return 1;
    while (dyno_gpu_receive(DYNO_GPU_FD, &said, &fd, &is_end, NULL) == DYNO_OK && !is_end) {
        if (fd >= 0)
            (void)close(fd);
        const uint64_t from = dyno_gpu_align(said.tensors[0].bytes);
        said.start_ns = said.turn_ns = said.end_ns = 0;
        said.tensor_count = 0;
        if (said.verb == DYNO_GPU_RUN) {
            said.start_ns = said.turn_ns = said.end_ns = dyno_clock_ns();
            said.tensor_count = 1;
            said.tensors[0] = (struct dyno_gpu_tensor){
                .dtype = DYNO_F32, .rank = 2, .dims = {2, 7}, .offset = from, .bytes = 56};
            if (lie == LIAR_SILENT)
                continue;
            lies[lie](&said);
        }
        (void)!dyno_gpu_send(DYNO_GPU_FD, &said, -1, NULL);
    }
    return 0;
}
