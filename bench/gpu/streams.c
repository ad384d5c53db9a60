/* streams.c - live streams of sound, each with a window to be looked at every second.
 *
 *   gcc -O2 -o streams streams.c -lpthread
 *   streams PORT MODEL INPUT STREAMS THREADS WINDOW STEP PERIOD_MS WARM_UP_S SECONDS even|random
 * shm|http
 *
 * A stream has a connection of its own.  Each period it gets STEP samples more, which it writes
 * behind the others, and asks for the last WINDOW of them (f32); so a window is never put together
 * anew.  shm: the samples lie in shared memory that the server has been told of, and a request says
 * where; http: the window travels.  The periods of the streams begin spread evenly over one, or by
 * chance (the same each time).  Latency is from when the last sample was there to the end of the
 * answer; a window without an answer when the next one is due, or with another status than 200, has
 * none.  Prints one JSON object; "send_ms" tells how late the requests themselves were, which shows
 * whether this program is what the server is measured by.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SPARE_STEPS 6 /* written behind a window before it is moved to the front */
#define HEAD_MAX    4096
#define NOISE_COUNT (1 << 20)

struct stream {
    int fd;
    float *ring;
    size_t ring_at; /* in all of the memory, bytes */
    size_t end;     /* samples in the ring */
    uint64_t phase_ns;
    /* the request in flight */
    uint64_t due_ns; /* 0: none is */
    bool counts;
    char out[1024];
    size_t text_bytes, out_bytes, sent;
    char head[HEAD_MAX];
    size_t head_bytes, left;
    bool has_head, is_good;
};

struct thread {
    pthread_t thread;
    struct stream **streams;
    uint32_t count;
    uint64_t random;
    double *latency_ms, *send_ms;
    uint64_t asked, answered, sent, lost, refused;
};

static struct {
    int port;
    const char *model, *input;
    uint32_t streams, threads;
    size_t window, step;
    uint64_t period_ns, warm_up_ns, measured_ns;
    bool is_even, is_shm;
    uint64_t start_ns;
    float *noise;
    char key[64];
} all;

static void die(const char *what)
{
    fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000U + (uint64_t)at.tv_nsec;
}

static uint64_t next_random(uint64_t *state) /* xorshift64* */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static int dial(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)all.port),
                                   .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int one = 1;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
        die("no connection");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* --- one request --- */

static void make_request(struct stream *stream)
{
    char text[512];
    char where[160] = "";
    const size_t bytes = all.window * sizeof(float);
    if (all.is_shm)
        (void)snprintf(where, sizeof(where),
                       "\"shared_memory_region\":\"sound\",\"shared_memory_offset\":%zu,"
                       "\"shared_memory_byte_size\":%zu",
                       stream->ring_at + (stream->end - all.window) * sizeof(float), bytes);
    else
        (void)snprintf(where, sizeof(where), "\"binary_data_size\":%zu", bytes);
    const int length =
        snprintf(text, sizeof(text),
                 "{\"inputs\":[{\"name\":\"%s\",\"datatype\":\"FP32\",\"shape\":[1,%zu],"
                 "\"parameters\":{%s}}],\"parameters\":{\"binary_data_output\":true}}",
                 all.input, all.window, where);
    stream->text_bytes = (size_t)snprintf(
        stream->out, sizeof(stream->out),
        "POST /v2/models/%s/infer HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
        "Inference-Header-Content-Length: %d\r\nContent-Length: %zu\r\n\r\n%s",
        all.model, length, (size_t)length + (all.is_shm ? 0 : bytes), text);
    stream->out_bytes = stream->text_bytes + (all.is_shm ? 0 : bytes);
    stream->sent = stream->head_bytes = stream->left = 0;
    stream->has_head = false;
}

/* As much as the socket takes. */
static void send_more(struct stream *stream)
{
    while (stream->sent < stream->out_bytes) {
        const size_t text_left =
            stream->sent < stream->text_bytes ? stream->text_bytes - stream->sent : 0;
        const size_t window_at = stream->sent + text_left - stream->text_bytes;
        struct iovec parts[2] = {{stream->out + stream->sent, text_left},
                                 {(char *)(stream->ring + stream->end - all.window) + window_at,
                                  stream->out_bytes - stream->text_bytes - window_at}};
        const int first = text_left == 0;
        const ssize_t got = writev(stream->fd, parts + first, 2 - first);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0)
            die("the server takes no more");
        stream->sent += (size_t)got;
    }
}

/* What its head says, when all of that is there. */
static void read_head(struct stream *stream)
{
    stream->head[stream->head_bytes] = 0;
    char *end = strstr(stream->head, "\r\n\r\n");
    if (end == NULL) {
        if (stream->head_bytes == HEAD_MAX - 1)
            die("a head without an end");
        return;
    }
    const char *length = strcasestr(stream->head, "\r\ncontent-length:");
    const size_t body = (size_t)(stream->head + stream->head_bytes - (end + 4));
    const size_t bytes = length != NULL ? strtoull(length + 17, NULL, 10) : 0;
    if (body > bytes)
        die("an answer longer than it says");
    stream->has_head = true;
    stream->is_good = strncmp(stream->head, "HTTP/1.1 200", 12) == 0;
    stream->left = bytes - body;
}

static void finish(struct thread *thread, struct stream *stream)
{
    if (stream->counts && stream->is_good)
        thread->latency_ms[thread->answered++] = (double)(now_ns() - stream->due_ns) * 1e-6;
    thread->refused += stream->counts && !stream->is_good;
    stream->due_ns = 0;
}

static void receive(struct thread *thread, struct stream *stream)
{
    static _Thread_local char scratch[1 << 18];
    for (;;) {
        char *to = stream->has_head ? scratch : stream->head + stream->head_bytes;
        const size_t room = stream->has_head ? sizeof(scratch) : HEAD_MAX - 1 - stream->head_bytes;
        const ssize_t got = read(stream->fd, to, room);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0)
            die("the server closed a connection");
        if (stream->due_ns == 0)
            die("an answer to nothing");
        if (stream->has_head) {
            if ((size_t)got > stream->left)
                die("an answer longer than it says");
            stream->left -= (size_t)got;
        } else {
            stream->head_bytes += (size_t)got;
            read_head(stream);
        }
        if (stream->has_head && stream->left == 0)
            finish(thread, stream);
    }
}

/* --- time --- */

static void hear(struct stream *stream, uint64_t *random)
{
    const size_t ring = all.window + SPARE_STEPS * all.step;
    if (stream->end + all.step > ring) {
        const size_t keep = all.window - all.step;
        memmove(stream->ring, stream->ring + stream->end - keep, keep * sizeof(float));
        stream->end = keep;
    }
    const size_t from = next_random(random) % (NOISE_COUNT - all.step);
    memcpy(stream->ring + stream->end, all.noise + from, all.step * sizeof(float));
    stream->end += all.step;
}

static void begin(struct thread *thread, struct stream *stream, uint64_t due_ns)
{
    const uint64_t from_ns = all.start_ns + all.warm_up_ns;
    const bool counts = due_ns >= from_ns && due_ns < from_ns + all.measured_ns;
    thread->asked += counts;
    if (stream->due_ns != 0) { /* too late for good; the samples of this period are left out */
        thread->lost += counts;
        return;
    }
    hear(stream, &thread->random);
    make_request(stream);
    stream->due_ns = due_ns;
    stream->counts = counts;
    if (counts)
        thread->send_ms[thread->sent++] = (double)(now_ns() - due_ns) * 1e-6;
    send_more(stream);
}

static void set_timer(int timer, uint64_t ns)
{
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(ns / 1000000000U), .tv_nsec = (long)(ns % 1000000000U)}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL) != 0)
        die("no timer");
}

static int watch_all(struct thread *thread, int timer)
{
    const int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) != 0)
        die("no epoll");
    for (uint32_t i = 0; i < thread->count; i++) {
        event.events = EPOLLIN | EPOLLOUT | EPOLLET;
        event.data.ptr = thread->streams[i];
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, thread->streams[i]->fd, &event) != 0)
            die("no epoll");
    }
    return epoll;
}

static void *work(void *arg)
{
    struct thread *thread = arg;
    struct epoll_event events[256];
    const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    const int epoll = watch_all(thread, timer);
    const uint64_t end_ns = all.start_ns + all.warm_up_ns + all.measured_ns;
    uint64_t cycle = 0;
    uint32_t next = 0;
    /* The last of them may take a period more. */
    while (now_ns() < end_ns + all.period_ns) {
        uint64_t due_ns = 0;
        for (;;) {
            due_ns = all.start_ns + cycle * all.period_ns + thread->streams[next]->phase_ns;
            if (due_ns > now_ns() || due_ns >= end_ns)
                break;
            begin(thread, thread->streams[next], due_ns);
            next = (next + 1) % thread->count;
            cycle += next == 0;
        }
        set_timer(timer, due_ns < end_ns ? due_ns : end_ns + all.period_ns);
        const int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct stream *stream = events[i].data.ptr;
            if (stream == NULL) {
                uint64_t ticks = 0;
                (void)!read(timer, &ticks, sizeof(ticks));
                continue;
            }
            if (stream->due_ns != 0)
                send_more(stream);
            receive(thread, stream);
        }
    }
    for (uint32_t i = 0; i < thread->count; i++)
        thread->lost += thread->streams[i]->due_ns != 0 && thread->streams[i]->counts;
    return NULL;
}

/* --- memory --- */

/* A short request about it, and whether the server agrees. */
static void tell_server(const char *what, const char *text)
{
    char request[512];
    char answer[1024];
    const int size = snprintf(request, sizeof(request),
                              "POST /v2/systemsharedmemory/region/sound/%s HTTP/1.1\r\nHost: a\r\n"
                              "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                              what, strlen(text), text);
    const int fd = dial();
    if (write(fd, request, (size_t)size) != size)
        die("the server takes nothing");
    const ssize_t got = read(fd, answer, sizeof(answer) - 1);
    if (got < 12 || memcmp(answer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "streams: %.*s\n", got > 0 ? (int)got : 0, answer);
        exit(1);
    }
    (void)close(fd);
}

static void register_memory(size_t bytes)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "{\"key\":\"%s\",\"offset\":0,\"byte_size\":%zu}", all.key,
                   bytes);
    tell_server("unregister", "{}"); /* of one before this that was stopped */
    tell_server("register", text);
}

static float *make_memory(size_t bytes)
{
    int fd = -1;
    if (all.is_shm) {
        (void)snprintf(all.key, sizeof(all.key), "/dyno-streams-%d", (int)getpid());
        fd = shm_open(all.key, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || (errno = posix_fallocate(fd, 0, (off_t)bytes)) != 0) {
            (void)shm_unlink(all.key);
            die("no shared memory");
        }
    }
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        all.is_shm ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
    if (memory == MAP_FAILED)
        die("no memory");
    if (all.is_shm) {
        register_memory(bytes); /* the server has it open from now on */
        (void)shm_unlink(all.key);
    }
    return memory;
}

static int by_phase(const void *a, const void *b)
{
    const uint64_t x = (*(struct stream *const *)a)->phase_ns;
    const uint64_t y = (*(struct stream *const *)b)->phase_ns;
    return x < y ? -1 : x > y;
}

static struct stream *make_streams(void)
{
    const size_t ring = all.window + SPARE_STEPS * all.step;
    struct stream *streams = calloc(all.streams, sizeof(*streams));
    float *memory = make_memory(all.streams * ring * sizeof(float));
    uint64_t random = 2463534242U;
    if (streams == NULL)
        die("no memory");
    all.noise = malloc(NOISE_COUNT * sizeof(float));
    for (size_t i = 0; all.noise != NULL && i < NOISE_COUNT; i++)
        all.noise[i] = (float)((double)(int64_t)next_random(&random) / 9.3e18);
    for (uint32_t i = 0; i < all.streams; i++) {
        struct stream *stream = &streams[i];
        stream->ring = memory + i * ring;
        stream->ring_at = i * ring * sizeof(float);
        stream->end = all.window - all.step;
        memcpy(stream->ring, all.noise, stream->end % NOISE_COUNT * sizeof(float));
        stream->phase_ns =
            all.is_even ? all.period_ns * i / all.streams : next_random(&random) % all.period_ns;
        stream->fd = dial();
        (void)fcntl(stream->fd, F_SETFL, O_NONBLOCK);
    }
    return streams;
}

/* --- the result --- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Of `of` that should be there; -1: it is among those that are not. */
static double quantile(const double *sorted, uint64_t count, uint64_t of, double q)
{
    const uint64_t at = (uint64_t)((double)of * q);
    return at < count ? sorted[at] : -1.0;
}

static void gather(struct thread *sum, const struct thread *threads)
{
    const uint64_t most =
        (all.measured_ns / all.period_ns + 2) * all.streams; /* of windows that count */
    sum->latency_ms = calloc(most, sizeof(double));
    sum->send_ms = calloc(most, sizeof(double));
    for (uint32_t i = 0; i < all.threads; i++) {
        const struct thread *own = &threads[i];
        memcpy(sum->latency_ms + sum->answered, own->latency_ms, own->answered * sizeof(double));
        memcpy(sum->send_ms + sum->sent, own->send_ms, own->sent * sizeof(double));
        sum->answered += own->answered;
        sum->sent += own->sent;
        sum->asked += own->asked;
        sum->lost += own->lost;
        sum->refused += own->refused;
    }
    qsort(sum->latency_ms, sum->answered, sizeof(double), by_value);
    qsort(sum->send_ms, sum->sent, sizeof(double), by_value);
}

static void report(const struct thread *sum)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    printf(
        "{\"streams\": %u, \"asked\": %llu, \"answered\": %llu, \"lost\": %llu, \"refused\": %llu, "
        "\"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, \"send_p99_ms\": %.3f, "
        "\"client_cpu_s\": %.2f}\n",
        all.streams, (unsigned long long)sum->asked, (unsigned long long)sum->answered,
        (unsigned long long)sum->lost, (unsigned long long)sum->refused,
        quantile(sum->latency_ms, sum->answered, sum->asked, 0.5),
        quantile(sum->latency_ms, sum->answered, sum->asked, 0.9),
        quantile(sum->latency_ms, sum->answered, sum->asked, 0.99),
        quantile(sum->send_ms, sum->sent, sum->sent, 0.99),
        (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
            (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6);
}

static void run_all(void)
{
    struct rlimit files = {0};
    struct thread threads[64] = {{0}};
    struct thread sum = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    struct stream *streams = make_streams();
    struct stream **order = calloc(all.streams, sizeof(*order));
    for (uint32_t i = 0; order != NULL && i < all.streams; i++)
        order[i] = &streams[i];
    if (order == NULL)
        die("no memory");
    qsort(order, all.streams, sizeof(struct stream *), by_phase);
    all.start_ns = now_ns() + 200000000U;
    for (uint32_t t = 0; t < all.threads; t++) { /* every so-many-th, so that all are as busy */
        struct thread *thread = &threads[t];
        const uint32_t room = all.streams / all.threads + 1;
        const uint64_t most = (all.measured_ns / all.period_ns + 2) * room;
        thread->random = 88172645463325252U + t;
        thread->streams = calloc(room, sizeof(struct stream *));
        thread->latency_ms = calloc(most, sizeof(double));
        thread->send_ms = calloc(most, sizeof(double));
        if (thread->streams == NULL || thread->latency_ms == NULL || thread->send_ms == NULL)
            die("no memory");
        for (uint32_t i = t; i < all.streams; i += all.threads)
            thread->streams[thread->count++] = order[i];
        if (pthread_create(&thread->thread, NULL, work, thread) != 0)
            die("no thread");
    }
    for (uint32_t i = 0; i < all.threads; i++)
        (void)pthread_join(threads[i].thread, NULL);
    if (all.is_shm)
        tell_server("unregister", "{}");
    gather(&sum, threads);
    report(&sum);
}

int main(int argc, char **argv)
{
    if (argc != 13) {
        fprintf(
            stderr,
            "usage: streams PORT MODEL INPUT STREAMS THREADS WINDOW STEP PERIOD_MS WARM_UP_S SECONDS "
            "even|random shm|http\n");
        return 64;
    }
    all.port = atoi(argv[1]);
    all.model = argv[2];
    all.input = argv[3];
    all.streams = (uint32_t)atoi(argv[4]);
    all.threads = (uint32_t)atoi(argv[5]);
    all.window = (size_t)atoll(argv[6]);
    all.step = (size_t)atoll(argv[7]);
    all.period_ns = (uint64_t)(atof(argv[8]) * 1e6);
    all.warm_up_ns = (uint64_t)(atof(argv[9]) * 1e9);
    all.measured_ns = (uint64_t)(atof(argv[10]) * 1e9);
    all.is_even = strcmp(argv[11], "even") == 0;
    all.is_shm = strcmp(argv[12], "shm") == 0;
    all.threads = all.threads > all.streams ? all.streams : all.threads > 64 ? 64 : all.threads;
    if (all.streams == 0 || all.threads == 0 || all.step == 0 || all.window < all.step ||
        all.period_ns == 0 || NOISE_COUNT <= all.window) {
        fprintf(stderr, "streams: a number that makes no sense\n");
        return 64;
    }
    run_all();
    return 0;
}
