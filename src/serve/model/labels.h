/* labels.h - names of an output's classes: the lines of a text file in the model's folder.
 *
 * Read once, while the variant is loaded, by the manager's thread; immutable after that.
 */
#ifndef DYNO_SERVE_MODEL_LABELS_H
#define DYNO_SERVE_MODEL_LABELS_H

#include "serve/model/repository.h"
#include "serve/v2/classify.h"

#define DYNO_LABELS_BYTES_MAX ((size_t)16 * 1024 * 1024) /* of one file */
#define DYNO_LABEL_BYTES_MAX  4096

struct dyno_labels {
    struct dyno_v2_labels labels; /* first; by line, so an empty line is a class without a name */
    char file[DYNO_MODEL_NAME_BYTES_MAX + 1];
    char *text;
};

/* FOLDER/FILE: lines end with \n or \r\n, the last one may lack it.  E_IO names the file; E_FORMAT:
 * a zero byte or bytes that are not UTF-8; E_LIMIT: it or a line is too long. */
enum dyno_status dyno_labels_read(const char *folder, const char *file,
                                  struct dyno_labels **labels_out, struct dyno_err *err);
void dyno_labels_destroy(struct dyno_labels *labels); /* accepts NULL */

#endif /* DYNO_SERVE_MODEL_LABELS_H */
