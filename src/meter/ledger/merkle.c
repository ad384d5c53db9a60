/* merkle.c - roots, paths, frontiers, covers. */
#include "meter/ledger/merkle.h"

#include <string.h>

#include "base/err.h"
#include "base/hash.h"

bool dyno_digest_equal(const struct dyno_digest *a, const struct dyno_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void dyno_merkle_node(const struct dyno_digest *left, const struct dyno_digest *right,
                      struct dyno_digest *node_out)
{
    uint8_t bytes[1 + 2 * DYNO_DIGEST_BYTES];
    struct dyno_sha256 sha;
    bytes[0] = 1;
    memcpy(bytes + 1, left->bytes, DYNO_DIGEST_BYTES);
    memcpy(bytes + 1 + DYNO_DIGEST_BYTES, right->bytes, DYNO_DIGEST_BYTES);
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, bytes, sizeof(bytes));
    dyno_sha256_final(&sha, node_out->bytes);
}

/* leaves[i / 2] of leaves[i] and leaves[i + 1], from the first four on. */
static void node_pair(struct dyno_digest *leaves, size_t i)
{
    uint8_t bytes[2][1 + 2 * DYNO_DIGEST_BYTES];
    for (size_t k = 0; k < 2; k++) {
        bytes[k][0] = 1;
        memcpy(bytes[k] + 1, leaves[i + 2 * k].bytes, DYNO_DIGEST_BYTES);
        memcpy(bytes[k] + 1 + DYNO_DIGEST_BYTES, leaves[i + 2 * k + 1].bytes, DYNO_DIGEST_BYTES);
    }
    dyno_sha256_pair(bytes[0], bytes[1], sizeof(bytes[0]), leaves[i / 2].bytes,
                     leaves[i / 2 + 1].bytes);
}

static void hash_nothing(struct dyno_digest *out)
{
    struct dyno_sha256 sha;
    dyno_sha256_init(&sha);
    dyno_sha256_final(&sha, out->bytes);
}

/* --- whole trees --- */

void dyno_merkle_prove(struct dyno_digest *leaves, size_t count, size_t index,
                       struct dyno_digest *path_out, uint32_t *path_count_out,
                       struct dyno_digest *root_out)
{
    uint32_t path_count = 0;
    for (; count > 1; count = (count + 1) / 2, index /= 2) {
        const size_t beside = index ^ 1;
        if (path_out != NULL && beside < count)
            path_out[path_count++] = leaves[beside];
        size_t i = 0;
        for (; i + 3 < count; i += 4)
            node_pair(leaves, i);
        if (i + 1 < count)
            dyno_merkle_node(&leaves[i], &leaves[i + 1], &leaves[i / 2]);
        if (count % 2 != 0) /* it has nothing beside it: it rises as it is */
            leaves[count / 2] = leaves[count - 1];
    }
    if (count == 1)
        *root_out = leaves[0];
    else
        hash_nothing(root_out);
    if (path_count_out != NULL)
        *path_count_out = path_count;
}

void dyno_merkle_root(struct dyno_digest *leaves, size_t count, struct dyno_digest *root_out)
{
    dyno_merkle_prove(leaves, count, 0, NULL, NULL, root_out);
}

bool dyno_merkle_climb(const struct dyno_digest *leaf, uint64_t index, uint64_t count,
                       const struct dyno_digest *path, uint32_t path_count,
                       struct dyno_digest *root_out)
{
    uint32_t used = 0;
    *root_out = *leaf;
    if (index >= count)
        return false;
    /* The last of a level with an odd number of nodes rises as it is. */
    for (uint64_t last = count - 1; last > 0; last /= 2, index /= 2) {
        if (index % 2 == 0 && index == last)
            continue;
        if (used == path_count)
            return false;
        if (index % 2 != 0)
            dyno_merkle_node(&path[used++], root_out, root_out);
        else
            dyno_merkle_node(root_out, &path[used++], root_out);
    }
    return used == path_count;
}

/* --- frontiers --- */

uint32_t dyno_frontier_peaks(uint64_t count)
{
    return (uint32_t)__builtin_popcountll(count);
}

bool dyno_frontier_add_tree(struct dyno_frontier *frontier, const struct dyno_digest *root,
                            uint32_t log2)
{
    if (log2 > 62)
        return false;
    const uint64_t leaves = (uint64_t)1 << log2;
    if (frontier->count % leaves != 0 || frontier->count + leaves > (uint64_t)1 << 63)
        return false;
    struct dyno_digest whole = *root;
    /* It joins with the peaks of its size, like a carry. */
    for (uint64_t rest = frontier->count >> log2; rest % 2 != 0; rest /= 2)
        dyno_merkle_node(&frontier->peaks[--frontier->peak_count], &whole, &whole);
    frontier->peaks[frontier->peak_count++] = whole;
    frontier->count += leaves;
    return true;
}

void dyno_frontier_add(struct dyno_frontier *frontier, const struct dyno_digest *leaf)
{
    const bool fits = dyno_frontier_add_tree(frontier, leaf, 0);
    DYNO_ASSERT(fits);
}

void dyno_frontier_root(const struct dyno_frontier *frontier, struct dyno_digest *root_out)
{
    if (frontier->peak_count == 0) {
        hash_nothing(root_out);
        return;
    }
    *root_out = frontier->peaks[frontier->peak_count - 1];
    for (uint32_t i = frontier->peak_count - 1; i-- > 0;)
        dyno_merkle_node(&frontier->peaks[i], root_out, root_out);
}

/* --- covers --- */

void dyno_cover_init(struct dyno_cover *cover, uint64_t begin)
{
    cover->begin = begin;
    cover->end = begin;
    cover->count = 0;
}

uint32_t dyno_cover_log2(uint64_t at, uint64_t end)
{
    uint32_t log2 = at == 0 ? 62 : (uint32_t)__builtin_ctzll(at);
    while (((uint64_t)1 << log2) > end - at)
        log2--;
    return log2;
}

void dyno_cover_add(struct dyno_cover *cover, const struct dyno_digest *leaf)
{
    struct dyno_digest whole = *leaf;
    /* The tree that ends here joins with its left neighbour, when that is covered, too. */
    uint64_t first = cover->end++;
    for (uint64_t leaves = 1; first % (2 * leaves) != 0; leaves *= 2) {
        if (first - cover->begin < leaves)
            break;
        dyno_merkle_node(&cover->trees[--cover->count], &whole, &whole);
        first -= leaves;
    }
    DYNO_ASSERT(cover->count < DYNO_COVER_MAX);
    cover->trees[cover->count++] = whole;
}

bool dyno_frontier_add_cover(struct dyno_frontier *frontier, uint64_t end,
                             const struct dyno_digest *trees, uint32_t count)
{
    uint32_t used = 0;
    while (frontier->count < end) {
        if (used == count ||
            !dyno_frontier_add_tree(frontier, &trees[used], dyno_cover_log2(frontier->count, end)))
            return false;
        used++;
    }
    return used == count && frontier->count == end;
}

/* --- paths --- */

void dyno_path_finder_init(struct dyno_path_finder *finder, const struct dyno_frontier *before,
                           uint64_t index, uint64_t end)
{
    DYNO_ASSERT(before->count <= index && index < end);
    finder->index = index;
    finder->end = end;
    finder->at = before->count;
    finder->count = 0;
    uint64_t first = 0; /* from the root down: [first, last) holds the leaf */
    for (uint64_t last = end; last - first > 1;) {
        const uint64_t half = (uint64_t)1 << (63 - __builtin_clzll(last - first - 1));
        const bool is_left = index < first + half;
        finder->parts[finder->count].first = is_left ? first + half : first;
        finder->parts[finder->count].end = is_left ? last : first + half;
        finder->parts[finder->count].tree = (struct dyno_frontier){0};
        finder->count++;
        if (is_left)
            last = first + half;
        else
            first += half;
    }
    /* What lies before the first leaf that is shown consists of its peaks. */
    uint64_t at = 0;
    for (uint32_t peak = 0; peak < before->peak_count; peak++) {
        const uint32_t log2 = 63 - (uint32_t)__builtin_clzll(before->count - at);
        for (uint32_t i = 0; i < finder->count; i++)
            if (at >= finder->parts[i].first && at < finder->parts[i].end)
                (void)dyno_frontier_add_tree(&finder->parts[i].tree, &before->peaks[peak], log2);
        at += (uint64_t)1 << log2;
    }
    /* The path is told from the leaf up. */
    for (uint32_t i = 0; i < finder->count / 2; i++) {
        const __typeof__(finder->parts[0]) moved = finder->parts[i];
        finder->parts[i] = finder->parts[finder->count - 1 - i];
        finder->parts[finder->count - 1 - i] = moved;
    }
}

void dyno_path_finder_add(struct dyno_path_finder *finder, const struct dyno_digest *leaf)
{
    const uint64_t at = finder->at++;
    for (uint32_t i = 0; i < finder->count; i++)
        if (at >= finder->parts[i].first && at < finder->parts[i].end)
            dyno_frontier_add(&finder->parts[i].tree, leaf);
}

uint32_t dyno_path_finder_take(const struct dyno_path_finder *finder, struct dyno_digest *path_out)
{
    DYNO_ASSERT(finder->at >= finder->end);
    for (uint32_t i = 0; i < finder->count; i++)
        dyno_frontier_root(&finder->parts[i].tree, &path_out[i]);
    return finder->count;
}
