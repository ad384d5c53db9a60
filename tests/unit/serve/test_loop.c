/* test_loop.c - in what order a loop does things, and that nobody who posts is forgotten. */
#include "serve/net/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "test.h"

/* What was done, a letter each. */
static char done[32];

static void note(char what)
{
    const size_t count = strlen(done);
    REQUIRE(count + 1 < sizeof(done));
    done[count] = what;
    done[count + 1] = 0;
}

static struct dyno_loop *make_loop(void)
{
    struct dyno_loop *loop = NULL;
    REQUIRE(dyno_loop_create(&loop, NULL) == DYNO_OK);
    done[0] = 0;
    return loop;
}

/* --- order --- */

struct source {
    struct dyno_watch watch; /* first */
    struct dyno_loop *loop;
    struct dyno_mail *mail; /* posted when it is ready; NULL: none */
    char name;
};

static void source_ready(struct dyno_watch *watch, uint32_t events)
{
    struct source *source = (struct source *)(void *)watch;
    (void)events;
    note(source->name);
    if (source->mail != NULL)
        dyno_loop_post(source->loop, source->mail);
}

static void open_source(struct source *source, struct dyno_loop *loop, char name)
{
    *source = (struct source){.loop = loop, .name = name};
    source->watch.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    source->watch.ready = source_ready;
    REQUIRE(source->watch.fd >= 0);
    REQUIRE(dyno_loop_watch(loop, &source->watch, EPOLLIN, NULL) == DYNO_OK);
}

static void close_source(struct source *source)
{
    dyno_loop_unwatch(source->loop, &source->watch);
    (void)close(source->watch.fd);
}

struct letter {
    struct dyno_mail mail; /* first */
    struct dyno_turn turn;
    struct dyno_loop *loop;
    struct source *source; /* whose watch it ends; NULL: none */
};

static void letter_turn(struct dyno_turn *turn)
{
    (void)turn;
    note('t');
}

static void letter_came(struct dyno_mail *mail)
{
    struct letter *letter = (struct letter *)(void *)mail;
    note('m');
    letter->turn.end = letter_turn;
    dyno_loop_at_end(letter->loop, &letter->turn);
    if (letter->source != NULL)
        close_source(letter->source);
}

/* What was posted is done, its turn too, before anything is read. */
static void test_mail_comes_first(void)
{
    struct dyno_loop *loop = make_loop();
    struct source a;
    struct source b;
    struct letter letter = {.mail.deliver = letter_came, .loop = loop};
    open_source(&a, loop, 'a');
    open_source(&b, loop, 'b');
    dyno_loop_post(loop, &letter.mail);
    dyno_loop_turn(loop, 0);
    CHECK_MSG(strcmp(done, "mtab") == 0 || strcmp(done, "mtba") == 0, "%s", done);
    close_source(&a);
    close_source(&b);
    dyno_loop_destroy(loop);
}

/* What is posted while one source is read, before the next one is. */
static void test_mail_comes_between(void)
{
    struct dyno_loop *loop = make_loop();
    struct source a;
    struct source b;
    struct letter letters[2] = {{.mail.deliver = letter_came, .loop = loop},
                                {.mail.deliver = letter_came, .loop = loop}};
    open_source(&a, loop, 'a');
    open_source(&b, loop, 'b');
    a.mail = &letters[0].mail;
    b.mail = &letters[1].mail;
    dyno_loop_turn(loop, 0);
    CHECK_MSG(strcmp(done, "amtbmt") == 0 || strcmp(done, "bmtamt") == 0, "%s", done);
    close_source(&a);
    close_source(&b);
    dyno_loop_destroy(loop);
}

/* A source whose watch ends by what comes first is told nothing. */
static void test_mail_ends_a_watch(void)
{
    struct dyno_loop *loop = make_loop();
    struct source a;
    struct source b;
    struct letter letter = {.mail.deliver = letter_came, .loop = loop, .source = &a};
    dyno_loop_turn(loop, 0); /* its events were fewer */
    open_source(&a, loop, 'a');
    open_source(&b, loop, 'b');
    dyno_loop_post(loop, &letter.mail);
    dyno_loop_turn(loop, 0);
    CHECK_MSG(strcmp(done, "mtb") == 0, "%s", done);
    close_source(&b);
    dyno_loop_destroy(loop);
}

/* --- nobody is forgotten --- */

#define POSTS 20000

static struct {
    struct dyno_loop *loop;
    struct dyno_mail mail;
    atomic_int came;
} bounced;

static void bounce(struct dyno_mail *mail)
{
    (void)mail;
    atomic_fetch_add(&bounced.came, 1);
}

/* The next one is posted as soon as one has come: while the loop goes to sleep, mostly. */
static void *post_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < POSTS; i++) {
        dyno_loop_post(bounced.loop, &bounced.mail);
        while (atomic_load(&bounced.came) == i)
            ;
    }
    dyno_loop_stop(bounced.loop);
    return NULL;
}

static void test_every_post_wakes(void)
{
    pthread_t thread;
    bounced.loop = make_loop();
    bounced.mail.deliver = bounce;
    REQUIRE(pthread_create(&thread, NULL, post_all, NULL) == 0);
    dyno_loop_run(bounced.loop); /* sleeps for ever where a post is missed */
    (void)pthread_join(thread, NULL);
    CHECK(atomic_load(&bounced.came) == POSTS);
    dyno_loop_destroy(bounced.loop);
}

int main(void)
{
    test_mail_comes_first();
    test_mail_comes_between();
    test_mail_ends_a_watch();
    test_every_post_wakes();
    return TEST_RESULT();
}
