/* classify.c - a heap of the best so far for each row, then their text. */
#include "serve/v2/classify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define VALUE_TEXT_MAX 384 /* %f of the largest double has 316 characters */

/* An element by what it is compared by: a larger key is a larger value. */
struct ranked {
    uint64_t key;
    uint64_t idx;
};

static uint64_t float_key(double value)
{
    uint64_t bits = 0;
    if (isnan(value))
        return 0;
    value = value == 0.0 ? 0.0 : value; /* both zeros are one */
    memcpy(&bits, &value, sizeof(bits));
    return (bits >> 63) != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

static uint64_t key_of(const struct dyno_v2_tensor *tensor, uint64_t idx)
{
    if (dyno_dtype_is_float(tensor->dtype))
        return float_key(dyno_elem_load_f64(tensor->dtype, tensor->data, (size_t)idx));
    const uint64_t bits = (uint64_t)dyno_elem_load_i64(tensor->dtype, tensor->data, (size_t)idx);
    return dyno_dtype_is_signed(tensor->dtype) ? bits ^ UINT64_C(1) << 63 : bits;
}

/* Does a come after b? */
static bool is_after(const struct ranked *a, const struct ranked *b)
{
    return a->key < b->key || (a->key == b->key && a->idx > b->idx);
}

/* --- a heap whose root is what comes last --- */

static void sink(struct ranked *heap, uint64_t count, uint64_t at)
{
    const struct ranked moved = heap[at];
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && is_after(&heap[child + 1], &heap[child]))
            child++;
        if (!is_after(&heap[child], &moved))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* The first `kept` of `elements` elements from `first` on, in order, into heap[0..kept). */
static void rank_row(const struct dyno_v2_tensor *tensor, uint64_t first, uint64_t elements,
                     struct ranked *heap, uint64_t kept)
{
    for (uint64_t i = 0; i < kept; i++)
        heap[i] = (struct ranked){.key = key_of(tensor, first + i), .idx = i};
    for (uint64_t i = kept / 2; i-- > 0;)
        sink(heap, kept, i);
    for (uint64_t i = kept; i < elements; i++) {
        const struct ranked next = {.key = key_of(tensor, first + i), .idx = i};
        if (is_after(&heap[0], &next)) {
            heap[0] = next;
            sink(heap, kept, 0);
        }
    }
    for (uint64_t left = kept; left > 1; left--) {
        const struct ranked last = heap[0];
        heap[0] = heap[left - 1];
        heap[left - 1] = last;
        sink(heap, left - 1, 0);
    }
}

/* --- text --- */

/* "value:index" into text[VALUE_TEXT_MAX]; its length. */
static size_t print_class(const struct dyno_v2_tensor *tensor, uint64_t first, uint64_t idx,
                          char *text)
{
    const size_t at = (size_t)(first + idx);
    int bytes = 0;
    if (dyno_dtype_is_float(tensor->dtype)) {
        const double value = dyno_elem_load_f64(tensor->dtype, tensor->data, at);
        bytes = isnan(value) ? snprintf(text, VALUE_TEXT_MAX, "nan")
                             : snprintf(text, VALUE_TEXT_MAX, "%f", value);
    } else {
        const int64_t value = dyno_elem_load_i64(tensor->dtype, tensor->data, at);
        bytes = dyno_dtype_is_signed(tensor->dtype)
                    ? snprintf(text, VALUE_TEXT_MAX, "%lld", (long long)value)
                    : snprintf(text, VALUE_TEXT_MAX, "%llu", (unsigned long long)value);
    }
    bytes +=
        snprintf(text + bytes, VALUE_TEXT_MAX - (size_t)bytes, ":%llu", (unsigned long long)idx);
    return (size_t)bytes;
}

static const char *label_of(const struct dyno_v2_labels *labels, uint64_t idx)
{
    return labels != NULL && idx < labels->count ? labels->items[idx] : "";
}

/* One element of a BYTES tensor to `to`, NULL: nowhere; its length. */
static size_t put_class(const struct dyno_v2_tensor *tensor, uint64_t first, uint64_t idx,
                        const char *label, char *to)
{
    char text[VALUE_TEXT_MAX];
    const size_t text_bytes = print_class(tensor, first, idx, text);
    const size_t label_bytes = strlen(label);
    const size_t total = text_bytes + (label_bytes > 0 ? 1 + label_bytes : 0);
    const uint32_t length = (uint32_t)total;
    if (to == NULL)
        return sizeof(length) + total;
    memcpy(to, &length, sizeof(length));
    to += sizeof(length);
    memcpy(to, text, text_bytes);
    if (label_bytes > 0) {
        to[text_bytes] = ':';
        memcpy(to + text_bytes + 1, label, total - text_bytes - 1);
    }
    return sizeof(length) + total;
}

/* All classes of all rows; with `to` NULL only their length. */
static size_t put_classes(const struct dyno_v2_tensor *tensor, uint64_t rows, uint64_t elements,
                          const struct ranked *ranks, uint64_t kept,
                          const struct dyno_v2_labels *labels, char *to)
{
    size_t bytes = 0;
    for (uint64_t row = 0; row < rows; row++)
        for (uint64_t i = 0; i < kept; i++) {
            const uint64_t idx = ranks[row * kept + i].idx;
            bytes += put_class(tensor, row * elements, idx, label_of(labels, idx),
                               to != NULL ? to + bytes : NULL);
        }
    return bytes;
}

static enum dyno_status check_kind(const struct dyno_v2_tensor *tensor, uint64_t elements,
                                   struct dyno_err *err)
{
    if (!dyno_dtype_is_float(tensor->dtype) && !dyno_dtype_is_int(tensor->dtype))
        return DYNO_FAIL(err, DYNO_E_ARG, "output '%s' is %s, which has no classification",
                         tensor->name, dyno_v2_datatype(tensor->dtype));
    if (elements > DYNO_V2_CLASSES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "output '%s': a classification of %llu elements, at most %d are taken",
                         tensor->name, (unsigned long long)elements, DYNO_V2_CLASSES_MAX);
    return DYNO_OK;
}

enum dyno_status dyno_v2_classify(const struct dyno_v2_tensor *tensor, bool is_batch,
                                  uint32_t count, const struct dyno_v2_labels *labels,
                                  struct dyno_v2_memory *memory, struct dyno_v2_tensor *classes_out,
                                  struct dyno_err *err)
{
    uint64_t all = 0;
    size_t bytes = 0;
    DYNO_TRY(dyno_v2_size(tensor, &all, &bytes, err));
    is_batch = is_batch && tensor->rank > 0;
    const uint64_t rows = is_batch ? (uint64_t)tensor->dims[0] : 1;
    const uint64_t elements = rows > 0 ? all / rows : 0;
    DYNO_TRY(check_kind(tensor, elements, err));
    const uint64_t kept = count < elements ? count : elements;
    /* No more than elements of the output, which is in memory. */
    struct ranked *ranks = memory->take(memory, (size_t)(rows * kept + 1) * sizeof(*ranks));
    if (ranks == NULL)
        return DYNO_FAIL(err, DYNO_E_BUSY, "the server has too many bytes in flight");
    for (uint64_t row = 0; kept > 0 && row < rows; row++)
        rank_row(tensor, row * elements, elements, ranks + row * kept, kept);
    bytes = put_classes(tensor, rows, elements, ranks, kept, labels, NULL);
    char *to = memory->take(memory, bytes + 1);
    if (to == NULL)
        return DYNO_FAIL(err, DYNO_E_BUSY, "the server has too many bytes in flight");
    (void)put_classes(tensor, rows, elements, ranks, kept, labels, to);
    *classes_out = (struct dyno_v2_tensor){
        .name = tensor->name,
        .dtype = DYNO_STR,
        .rank = is_batch ? 2 : 1,
        .dims = {is_batch ? (int64_t)rows : (int64_t)kept, is_batch ? (int64_t)kept : 0},
        .data = to,
        .bytes = bytes};
    return DYNO_OK;
}
