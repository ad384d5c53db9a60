/* cudnn_text.c - the texts of the emulated cuDNN's plans. */
#include "cudnn_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *emulate_plan_write(const struct emulate_conv *conv, size_t version, int engine)
{
    static const char *const types[] = {[DYNO_CUDNN_FLOAT] = "FLOAT",
                                        [DYNO_CUDNN_HALF] = "HALF",
                                        [DYNO_CUDNN_BFLOAT16] = "BFLOAT16"};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL)
        return NULL;
    (void)fprintf(out, "{\"cudnnVersion\":%zu,\"operationGraph\":{\"tensors\":[", version);
    const char *comma = "";
    for (int id = 1; id < DYNO_CUDNN_ID_END; id++) {
        const int64_t *d = conv->dims[id], *s = conv->strides[id];
        if (conv->has[id] == 0)
            continue;
        (void)fprintf(out,
                      "%s{\"name\":\"%d\",\"dataType\":\"CUDNN_DATA_%s\",\"dim\":[%lld,%lld,%lld,"
                      "%lld],\"stride\":[%lld,%lld,%lld,%lld],\"isVirtual\":false}",
                      comma, id, types[conv->type], (long long)d[0], (long long)d[1],
                      (long long)d[2], (long long)d[3], (long long)s[0], (long long)s[1],
                      (long long)s[2], (long long)s[3]);
        comma = ",";
    }
    const int64_t *pads = conv->pads, *ends = conv->ends;
    if (pads[0] == ends[0] && pads[1] == ends[1])
        (void)fprintf(out, "],\"nodes\":[{\"pad\":[%lld,%lld]", (long long)pads[0],
                      (long long)pads[1]);
    else
        (void)fprintf(out, "],\"nodes\":[{\"pad_upper\":[%lld,%lld],\"pad_lower\":[%lld,%lld]",
                      (long long)ends[0], (long long)ends[1], (long long)pads[0],
                      (long long)pads[1]);
    (void)fprintf(out,
                  ",\"stride\":[%lld,%lld],\"dilation\":[%lld,%lld],\"relu\":%lld}]},"
                  "\"engine\":{\"engineId\":%d}}",
                  (long long)conv->steps[0], (long long)conv->steps[1],
                  (long long)conv->dilations[0], (long long)conv->dilations[1],
                  (long long)conv->relu, engine);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* Where a text goes on behind `pattern`, in which each # is a number; NULL: it is another text. */
static const char *match(const char *at, const char *pattern, int64_t *numbers)
{
    for (; at != NULL && *pattern != 0; pattern++) {
        char *end = NULL;
        if (*pattern == '#') {
            *numbers++ = strtoll(at, &end, 10);
            at = end != at ? end : NULL;
        } else {
            at = *at == *pattern ? at + 1 : NULL;
        }
    }
    return at;
}

/* One tensor of a text; where it ends, NULL: this is none. */
static const char *read_tensor(const char *at, struct emulate_conv *conv)
{
    int64_t id = 0, n[8];
    at = match(at, "{\"name\":\"#\",\"dataType\":\"CUDNN_DATA_", &id);
    if (at == NULL || id < 1 || id >= DYNO_CUDNN_ID_END)
        return NULL;
    conv->has[id] = 1;
    conv->type = strncmp(at, "HALF", 4) == 0    ? DYNO_CUDNN_HALF
                 : strncmp(at, "FLOAT", 5) == 0 ? DYNO_CUDNN_FLOAT
                                                : DYNO_CUDNN_BFLOAT16;
    at = match(at + strspn(at, "ABFHLOT016"),
               "\",\"dim\":[#,#,#,#],\"stride\":[#,#,#,#],\"isVirtual\":false}", n);
    for (int i = 0; at != NULL && i < 4; i++) {
        conv->dims[id][i] = n[i];
        conv->strides[id][i] = n[4 + i];
    }
    return at;
}

/* The pads behind the tensors; where they end, NULL: there are none. */
static const char *read_pads(const char *at, struct emulate_conv *conv)
{
    int64_t n[4];
    const char *end = match(at, "],\"nodes\":[{\"pad\":[#,#]", n + 2);
    n[0] = end != NULL ? n[2] : 0;
    n[1] = end != NULL ? n[3] : 0;
    if (end == NULL)
        end = match(at, "],\"nodes\":[{\"pad_upper\":[#,#],\"pad_lower\":[#,#]", n);
    for (int i = 0; end != NULL && i < 2; i++) {
        conv->ends[i] = n[i];
        conv->pads[i] = n[2 + i];
    }
    return end;
}

bool emulate_plan_read(const char *text, struct emulate_conv *conv, int *engine_out)
{
    const char *at = strstr(text, "\"tensors\":[");
    int64_t n[6];
    for (at = at != NULL ? at + strlen("\"tensors\":") : NULL; at != NULL && *at != ']';)
        at = read_tensor(at + 1, conv);
    if (at != NULL)
        at = read_pads(at, conv);
    if (match(at, ",\"stride\":[#,#],\"dilation\":[#,#],\"relu\":#}]},\"engine\":{\"engineId\":#}}",
              n) == NULL)
        return false;
    for (int i = 0; i < 2; i++) {
        conv->steps[i] = n[i];
        conv->dilations[i] = n[2 + i];
    }
    conv->relu = n[4];
    *engine_out = (int)n[5];
    return true;
}
