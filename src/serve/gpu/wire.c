/* wire.c - messages and descriptors over a socket. */
#include "serve/gpu/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES offsetof(struct dyno_gpu_message, tensors)

size_t dyno_gpu_message_bytes(const struct dyno_gpu_message *message)
{
    return HEAD_BYTES + message->tensor_count * sizeof(message->tensors[0]);
}

/* Room for one descriptor. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

enum dyno_status dyno_gpu_send(int socket, const struct dyno_gpu_message *message, int fd,
                               struct dyno_err *err)
{
    union control control = {0};
    DYNO_ASSERT(message->tensor_count <= DYNO_GPU_TENSORS_MAX);
    struct iovec part = {.iov_base = (void *)(uintptr_t)message,
                         .iov_len = dyno_gpu_message_bytes(message)};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(item), &fd, sizeof(fd));
    }
    ssize_t sent = 0;
    do {
        sent = sendmsg(socket, &head, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? DYNO_OK
                     : DYNO_FAIL(err, DYNO_E_IO, "cannot send a command: %s", strerror(errno));
}

static int take_fd(struct msghdr *head)
{
    const struct cmsghdr *item = CMSG_FIRSTHDR(head);
    int fd = -1;
    if (item != NULL && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
        item->cmsg_len == CMSG_LEN(sizeof(fd)))
        memcpy(&fd, CMSG_DATA(item), sizeof(fd));
    return fd;
}

/* Whole, and as long as it says. */
static bool is_message(const struct dyno_gpu_message *message, size_t bytes, int flags)
{
    return (flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && bytes >= HEAD_BYTES &&
           message->tensor_count <= DYNO_GPU_TENSORS_MAX &&
           bytes == dyno_gpu_message_bytes(message) &&
           memchr(message->text, 0, sizeof(message->text)) != NULL;
}

enum dyno_status dyno_gpu_receive(int socket, struct dyno_gpu_message *message_out, int *fd_out,
                                  bool *is_end_out, struct dyno_err *err)
{
    union control control = {0};
    struct iovec part = {.iov_base = message_out, .iov_len = sizeof(*message_out)};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes)};
    ssize_t got = 0;
    *fd_out = -1;
    *is_end_out = false;
    do {
        got = recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return DYNO_E_BUSY;
    if (got < 0 && errno != ECONNRESET)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot receive a message: %s", strerror(errno));
    *is_end_out = got <= 0;
    if (got <= 0)
        return DYNO_OK;
    *fd_out = take_fd(&head);
    if (is_message(message_out, (size_t)got, head.msg_flags))
        return DYNO_OK;
    if (*fd_out >= 0)
        (void)close(*fd_out);
    *fd_out = -1;
    return DYNO_FAIL(err, DYNO_E_FORMAT, "a message of %zd bytes that is none", got);
}
