/* cudnn_text.h - plans of the emulated cuDNN as text, which NVIDIA's gives as JSON. */
#ifndef DYNO_TESTS_EMULATE_CUDNN_TEXT_H
#define DYNO_TESTS_EMULATE_CUDNN_TEXT_H

#include "cudnn_conv_run.h"

/* To be freed; NULL: no memory.  engine: its number. */
char *emulate_plan_write(const struct emulate_conv *conv, size_t version, int engine);
/* False: this is no plan.  Whether its numbers make sense is another matter. */
bool emulate_plan_read(const char *text, struct emulate_conv *conv, int *engine_out);

#endif /* DYNO_TESTS_EMULATE_CUDNN_TEXT_H */
