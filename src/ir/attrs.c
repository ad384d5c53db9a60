/* attrs.c - attributes and tensors compared by content, through the tables of the ops. */
#include <string.h>

#include "base/hash.h"
#include "ir/graph.h"

void *dyno_node_attr(const struct dyno_node *node, const char *name, enum dyno_attr_kind kind)
{
    const struct dyno_op *op = dyno_ops[node->op];
    for (size_t i = 0; i < op->attr_count; i++) {
        if (op->attrs[i].kind == kind && strcmp(op->attrs[i].name, name) == 0)
            return (char *)node->attrs + op->attrs[i].offset_bytes;
    }
    return NULL;
}

static bool same_text(const struct dyno_str *a, const struct dyno_str *b)
{
    return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->text, b->text, a->bytes) == 0);
}

bool dyno_tensors_equal(const struct dyno_tensor *a, const struct dyno_tensor *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i])
            return false;
    }
    const size_t count = (size_t)dyno_tensor_count(a);
    size_t bytes = 0;
    if (a->data == b->data || count == 0)
        return true;
    if (a->dtype != DYNO_STR)
        return dyno_dtype_bytes(a->dtype, count, &bytes) && memcmp(a->data, b->data, bytes) == 0;
    for (size_t i = 0; i < count; i++) {
        if (!same_text((const struct dyno_str *)a->data + i, (const struct dyno_str *)b->data + i))
            return false;
    }
    return true;
}

static bool lists_equal(const void *a, uint32_t a_count, const void *b, uint32_t b_count,
                        size_t item_bytes)
{
    if (a_count != b_count || (a == NULL) != (b == NULL))
        return false;
    return a_count == 0 || a == NULL || memcmp(a, b, a_count * item_bytes) == 0;
}

static bool strs_equal(const struct dyno_strs *a, const struct dyno_strs *b)
{
    if (a->count != b->count || (a->at == NULL) != (b->at == NULL))
        return false;
    for (uint32_t i = 0; a->at != NULL && i < a->count; i++) {
        if (!same_text(&a->at[i], &b->at[i]))
            return false;
    }
    return true;
}

static bool attr_equal(enum dyno_attr_kind kind, const void *a, const void *b)
{
    switch (kind) {
    case DYNO_ATTR_I64:
        return memcmp(a, b, sizeof(int64_t)) == 0;
    case DYNO_ATTR_F32:
        return memcmp(a, b, sizeof(float)) == 0;
    case DYNO_ATTR_ENUM:
        return memcmp(a, b, sizeof(int32_t)) == 0;
    case DYNO_ATTR_STR:
        return same_text(a, b);
    case DYNO_ATTR_I64S: {
        const struct dyno_i64s *x = a;
        const struct dyno_i64s *y = b;
        return lists_equal(x->at, x->count, y->at, y->count, sizeof(int64_t));
    }
    case DYNO_ATTR_F32S: {
        const struct dyno_f32s *x = a;
        const struct dyno_f32s *y = b;
        return lists_equal(x->at, x->count, y->at, y->count, sizeof(float));
    }
    case DYNO_ATTR_STRS:
        return strs_equal(a, b);
    case DYNO_ATTR_TENSOR: {
        const struct dyno_tensor *x = *(const struct dyno_tensor *const *)a;
        const struct dyno_tensor *y = *(const struct dyno_tensor *const *)b;
        return x == y || (x != NULL && y != NULL && dyno_tensors_equal(x, y));
    }
    }
    return false;
}

bool dyno_node_attrs_equal(const struct dyno_node *a, const struct dyno_node *b)
{
    const struct dyno_op *op = dyno_ops[a->op];
    DYNO_ASSERT(a->op == b->op);
    for (size_t i = 0; i < op->attr_count; i++) {
        const size_t offset = op->attrs[i].offset_bytes;
        if (!attr_equal(op->attrs[i].kind, (const char *)a->attrs + offset,
                        (const char *)b->attrs + offset))
            return false;
    }
    return true;
}

uint64_t dyno_node_attrs_hash(const struct dyno_node *node)
{
    const struct dyno_op *op = dyno_ops[node->op];
    uint64_t hash = 0;
    for (size_t i = 0; i < op->attr_count; i++) {
        const void *at = (const char *)node->attrs + op->attrs[i].offset_bytes;
        switch (op->attrs[i].kind) {
        case DYNO_ATTR_I64:
            hash = dyno_hash64(hash, at, sizeof(int64_t));
            break;
        case DYNO_ATTR_F32:
            hash = dyno_hash64(hash, at, sizeof(float));
            break;
        case DYNO_ATTR_ENUM:
            hash = dyno_hash64(hash, at, sizeof(int32_t));
            break;
        case DYNO_ATTR_I64S: {
            const struct dyno_i64s *list = at;
            if (list->count != 0)
                hash = dyno_hash64(hash, list->at, list->count * sizeof(int64_t));
            break;
        }
        case DYNO_ATTR_STR:
        case DYNO_ATTR_F32S:
        case DYNO_ATTR_STRS:
        case DYNO_ATTR_TENSOR:
            break; /* rare: told apart by comparing */
        }
    }
    return hash;
}

enum dyno_status dyno_tensor_copy(struct dyno_arena *arena, const struct dyno_tensor *from,
                                  struct dyno_tensor *to, struct dyno_err *err)
{
    const size_t count = (size_t)dyno_tensor_count(from);
    size_t bytes = 0;
    *to = *from;
    DYNO_ASSERT(dyno_dtype_bytes(from->dtype, count, &bytes));
    to->data = dyno_arena_alloc(arena, bytes, 1);
    if (to->data == NULL)
        return DYNO_NOMEM(err);
    if (bytes != 0)
        memcpy(to->data, from->data, bytes);
    for (size_t i = 0; from->dtype == DYNO_STR && i < count; i++) {
        struct dyno_str *item = (struct dyno_str *)to->data + i;
        item->text = dyno_arena_strndup(arena, item->text, item->bytes);
        if (item->text == NULL)
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}
