/* test_hold.c - output that waits for a number leaves when it is due, and not before. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "serve/net/conn.h"
#include "serve/net/port.h"
#include "test.h"

/* A connection that does what it is told: "w" writes a letter, a digit holds what comes after it,
 * "." ends the turn, "q" closes when all is sent. */
struct teller {
    struct dyno_conn conn; /* first */
    char letter;
};

static struct dyno_hold hold;
static int gone_count, closed_count;

static void gone(struct dyno_hold *of, const struct dyno_conn *conn)
{
    CHECK(of == &hold && conn->closed);
    gone_count++;
}

static void input(struct dyno_conn *conn, const char *data, size_t bytes)
{
    struct teller *teller = (struct teller *)(void *)conn;
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == 'w') {
            dyno_conn_write(conn, &teller->letter, 1);
            teller->letter++;
        } else if (data[i] == 'q') {
            dyno_conn_close_when_sent(conn);
        } else {
            dyno_conn_hold(conn, &hold, (uint64_t)(data[i] - '0'));
        }
    }
}

static void ended(struct dyno_conn *conn)
{
    dyno_conn_close(conn);
}

static bool is_late(struct dyno_conn *conn, uint64_t now_ns)
{
    (void)conn;
    (void)now_ns;
    return false;
}

static void drain(struct dyno_conn *conn)
{
    dyno_conn_close_when_sent(conn);
}

static void closed(struct dyno_conn *conn)
{
    closed_count++;
    dyno_free(conn);
}

static const struct dyno_conn_ops ops = {
    .input = input, .ended = ended, .is_late = is_late, .drain = drain, .closed = closed};

static bool take(struct dyno_port *port, int fd)
{
    struct teller *teller = dyno_alloc(1, sizeof(*teller));
    if (teller == NULL)
        return false;
    teller->letter = 'a';
    if (dyno_conn_open(&teller->conn, port, fd, &ops, NULL) == DYNO_OK)
        return true;
    dyno_free(teller);
    return false;
}

static struct dyno_loop *loop;
static struct dyno_port port;

static void turn(int count)
{
    for (int i = 0; i < count; i++)
        dyno_loop_turn(loop, 20);
}

static int connect_to(int number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    turn(2);
    return fd;
}

static void say(int fd, const char *words)
{
    REQUIRE(send(fd, words, strlen(words), 0) == (ssize_t)strlen(words));
    turn(2);
}

/* What has come by now is just this. */
static void hear(int fd, const char *expected)
{
    char got[64] = "";
    turn(2);
    const ssize_t bytes = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
    if (bytes > 0)
        got[bytes] = 0;
    CHECK(strcmp(got, expected) == 0);
}

static int open_port(void)
{
    struct dyno_err err = {0};
    int fd = -1;
    int number = 0;
    hold = (struct dyno_hold){.gone = gone};
    gone_count = closed_count = 0;
    REQUIRE(dyno_loop_create(&loop, &err) == DYNO_OK);
    REQUIRE(dyno_bind("127.0.0.1", 0, &fd, &number, &err) == DYNO_OK);
    port = (struct dyno_port){.watch.fd = -1, .accept = take, .conn_count_max = 8};
    REQUIRE(dyno_port_open(&port, loop, fd, &err) == DYNO_OK);
    REQUIRE(dyno_port_listen(&port, &err) == DYNO_OK);
    return number;
}

static void close_port(void)
{
    dyno_port_close_all(&port);
    turn(2);
    dyno_port_fini(&port);
    dyno_loop_destroy(loop);
    CHECK(hold.first == NULL && dyno_mem_live_count() == 0);
}

static void test_order(void)
{
    const int fd = connect_to(open_port());
    say(fd, "w");
    hear(fd, "a");
    say(fd, "w1w"); /* in one turn: what was written before the hold does not wait */
    hear(fd, "b");
    say(fd, "2w");
    say(fd, "w");
    hear(fd, "");
    dyno_hold_release(&hold, 1);
    hear(fd, "c");
    dyno_hold_release(&hold, 2);
    hear(fd, "de");
    say(fd, "w1w"); /* nothing is due twice */
    hear(fd, "fg");
    say(fd, "5w");
    dyno_hold_release(&hold, 9);
    hear(fd, "h");
    dyno_hold_release(&hold, 3); /* nor taken back */
    say(fd, "6w");
    hear(fd, "i");
    (void)close(fd);
    turn(3);
    CHECK(gone_count == 1 && closed_count == 1);
    close_port();
}

static void test_closing(void)
{
    const int number = open_port();
    const int fd = connect_to(number);
    char byte = 0;
    say(fd, "1wq");
    hear(fd, "");
    CHECK(closed_count == 0);
    dyno_hold_release(&hold, 1);
    turn(2);
    CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == 1 && byte == 'a');
    CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == 0);
    (void)close(fd);
    turn(3);
    CHECK(gone_count == 1 && closed_count == 1);
    close_port();
}

/* Two wait; one goes. */
static void test_going(void)
{
    const int number = open_port();
    const int goes = connect_to(number);
    const int stays = connect_to(number);
    say(goes, "1w");
    say(stays, "1w2w");
    (void)close(goes);
    turn(3);
    CHECK(gone_count == 1 && closed_count == 1);
    dyno_hold_release(&hold, 1);
    hear(stays, "a");
    CHECK(hold.first != NULL);
    (void)close(stays);
    turn(3);
    CHECK(gone_count == 2 && closed_count == 2 && hold.first == NULL);
    dyno_hold_release(&hold, 2);
    close_port();
}

int main(void)
{
    test_order();
    test_closing();
    test_going();
    return TEST_RESULT();
}
