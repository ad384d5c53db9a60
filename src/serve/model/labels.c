/* labels.c - a text file cut into its lines. */
#include "serve/model/labels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "base/utf8.h"

void dyno_labels_destroy(struct dyno_labels *labels)
{
    if (labels == NULL)
        return;
    dyno_free(labels->labels.items);
    dyno_free(labels->text);
    dyno_free(labels);
}

/* Read, not mapped: a map of a file that is cut short would fault. */
static enum dyno_status read_all(int fd, size_t bytes, char **text_out, struct dyno_err *err)
{
    size_t got = 0;
    char *text = dyno_alloc_raw(bytes + 1, 1);
    if (text == NULL)
        return DYNO_NOMEM(err);
    *text_out = text;
    while (got < bytes) {
        const ssize_t now = read(fd, text + got, bytes - got);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return DYNO_FAIL(err, DYNO_E_IO, "%s", now < 0 ? strerror(errno) : "it became shorter");
        got += (size_t)now;
    }
    text[bytes] = 0;
    return DYNO_OK;
}

static enum dyno_status read_file(const char *path, char **text_out, size_t *bytes_out,
                                  struct dyno_err *err)
{
    struct stat info;
    enum dyno_status status = DYNO_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "%s", strerror(errno));
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = DYNO_FAIL(err, DYNO_E_IO, "it is no file");
    } else if ((uint64_t)info.st_size > DYNO_LABELS_BYTES_MAX) {
        status = DYNO_FAIL(err, DYNO_E_LIMIT, "it has %lld bytes, at most %zu are read",
                           (long long)info.st_size, DYNO_LABELS_BYTES_MAX);
    } else {
        *bytes_out = (size_t)info.st_size;
        status = read_all(fd, *bytes_out, text_out, err);
    }
    (void)close(fd);
    return status;
}

static enum dyno_status check_text(const char *text, size_t bytes, struct dyno_err *err)
{
    for (size_t at = 0; at < bytes;) {
        const size_t length = text[at] != 0 ? dyno_utf8_next(text + at, bytes - at) : 0;
        if (length == 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "byte %zu of it is zero or not UTF-8", at);
        at += length;
    }
    return DYNO_OK;
}

/* Lines become texts of their own. */
static enum dyno_status cut(struct dyno_labels *labels, size_t bytes, struct dyno_err *err)
{
    size_t count = bytes > 0 && labels->text[bytes - 1] != '\n';
    for (size_t i = 0; i < bytes; i++)
        count += labels->text[i] == '\n';
    const char **items = dyno_alloc(count + 1, sizeof(*items));
    labels->labels.items = items;
    if (items == NULL)
        return DYNO_NOMEM(err);
    for (char *at = labels->text; labels->labels.count < count;) {
        char *end = strchrnul(at, '\n');
        const bool is_last = *end == 0;
        *end = 0;
        if (end > at && end[-1] == '\r')
            end[-1] = 0;
        items[labels->labels.count++] = at;
        if (strlen(at) > DYNO_LABEL_BYTES_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "line %zu of it is longer than %d bytes",
                             labels->labels.count, DYNO_LABEL_BYTES_MAX);
        at = end + !is_last;
    }
    return DYNO_OK;
}

enum dyno_status dyno_labels_read(const char *folder, const char *file,
                                  struct dyno_labels **labels_out, struct dyno_err *err)
{
    struct dyno_err reason = {0};
    struct dyno_strbuf path = {0};
    size_t bytes = 0;
    struct dyno_labels *labels = dyno_alloc(1, sizeof(*labels));
    *labels_out = NULL;
    dyno_strbuf_printf(&path, "%s/%s", folder, file);
    enum dyno_status status = labels != NULL && dyno_strbuf_ok(&path)
                                  ? read_file(path.text, &labels->text, &bytes, &reason)
                                  : DYNO_NOMEM(&reason);
    if (status == DYNO_OK)
        status = check_text(labels->text, bytes, &reason);
    if (status == DYNO_OK)
        status = cut(labels, bytes, &reason);
    if (status == DYNO_OK) {
        (void)snprintf(labels->file, sizeof(labels->file), "%s", file);
        *labels_out = labels;
    } else {
        status = DYNO_FAIL(err, status, "labels '%s': %s", file, reason.text);
        dyno_labels_destroy(labels);
    }
    dyno_strbuf_fini(&path);
    return status;
}
