/* problems.c - what is wrong with a model, collected. */
#include <stdarg.h>
#include <stdio.h>

#include "onnx/importer.h"

void dyno_problem_add(struct dyno_problems *problems, enum dyno_status status, const char *place,
                      const char *fmt, ...)
{
    char text[DYNO_ERR_TEXT_BYTES];
    problems->count++;
    if (problems->status == DYNO_OK || problems->status == DYNO_E_UNSUPPORTED)
        problems->status = status;
    if (problems->count > DYNO_ONNX_PROBLEMS_MAX)
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (problems->first.bytes < DYNO_ERR_TEXT_BYTES)
        dyno_strbuf_printf(&problems->first, "%s%s%s", problems->count > 1 ? "; " : "", place,
                           text);
    if (problems->fn != NULL) {
        char sentence[DYNO_ERR_TEXT_BYTES];
        (void)snprintf(sentence, sizeof(sentence), "%s%s", place, text);
        problems->fn(problems->fn_arg, sentence);
    }
}

enum dyno_status dyno_problems_end(struct dyno_problems *problems, struct dyno_err *err)
{
    if (problems->count == 0)
        return DYNO_OK;
    if (problems->count == 1)
        return DYNO_FAIL(err, problems->status, "%s", dyno_strbuf_text(&problems->first));
    return DYNO_FAIL(err, problems->status, "%u problems: %s", problems->count,
                     dyno_strbuf_text(&problems->first));
}
