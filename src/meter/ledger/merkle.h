/* merkle.h - trees of hashes, as Certificate Transparency builds them (RFC 6962, section 2.1).
 *
 * A tree over n leaves is the tree over the largest power of two below n, beside the tree over the
 * rest.  Leaves are digests here; what they are digests of, and that no inner node can be taken for
 * one, is the caller's business (meter/ledger/group.h).  Pure functions; nothing allocates.
 */
#ifndef DYNO_METER_LEDGER_MERKLE_H
#define DYNO_METER_LEDGER_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DYNO_DIGEST_BYTES    32U
#define DYNO_MERKLE_PATH_MAX 64U

struct dyno_digest {
    uint8_t bytes[DYNO_DIGEST_BYTES];
};

bool dyno_digest_equal(const struct dyno_digest *a, const struct dyno_digest *b);

/* The inner node above two: SHA-256 of the byte 1 and both. */
void dyno_merkle_node(const struct dyno_digest *left, const struct dyno_digest *right,
                      struct dyno_digest *node_out);

/* --- whole trees in memory --- */

/* The root over leaves[count], which are destroyed; over none, the SHA-256 of nothing. */
void dyno_merkle_root(struct dyno_digest *leaves, size_t count, struct dyno_digest *root_out);

/* The same; what proves that leaf `index` is below the root goes to path_out[DYNO_MERKLE_PATH_MAX].
 * index < count. */
void dyno_merkle_prove(struct dyno_digest *leaves, size_t count, size_t index,
                       struct dyno_digest *path_out, uint32_t *path_count_out,
                       struct dyno_digest *root_out);

/* The root that a leaf, its place and its path lead to; false when the path is too short or too
 * long for the place, or the place is not in the tree. */
bool dyno_merkle_climb(const struct dyno_digest *leaf, uint64_t index, uint64_t count,
                       const struct dyno_digest *path, uint32_t path_count,
                       struct dyno_digest *root_out);

/* --- trees that grow --- */

/* The roots of the whole trees that a tree over `count` leaves consists of, largest first: one for
 * each bit of count that is set. */
struct dyno_frontier {
    uint64_t count;
    uint32_t peak_count;
    struct dyno_digest peaks[64];
};

void dyno_frontier_add(struct dyno_frontier *frontier, const struct dyno_digest *leaf);
void dyno_frontier_root(const struct dyno_frontier *frontier, struct dyno_digest *root_out);

/* Add the root of a whole tree over 2^log2 leaves at once; false when it cannot stand there: count
 * is no multiple of 2^log2, or the tree gets too large. */
bool dyno_frontier_add_tree(struct dyno_frontier *frontier, const struct dyno_digest *root,
                            uint32_t log2);

/* How many peaks a tree over so many leaves has. */
uint32_t dyno_frontier_peaks(uint64_t count);

/* --- consistency: the tree at `end` begins with that at `begin` --- */

#define DYNO_COVER_MAX 128U

/* The roots of whole trees over the leaves [begin, end), as large as their places allow, in order;
 * their sizes follow from the places.  With the peaks at `begin` they prove consistency: the peaks
 * give the root at `begin`, and peaks and cover, added one by one, that at `end`. */
struct dyno_cover {
    uint64_t begin, end;
    uint32_t count;
    struct dyno_digest trees[DYNO_COVER_MAX];
};

void dyno_cover_init(struct dyno_cover *cover, uint64_t begin);
void dyno_cover_add(struct dyno_cover *cover, const struct dyno_digest *leaf);
/* log2 of the tree that begins at `at` in the cover of [begin, end): begin <= at < end. */
uint32_t dyno_cover_log2(uint64_t at, uint64_t end);

/* Add the trees of a cover to the frontier at its begin; false when they do not fit. */
bool dyno_frontier_add_cover(struct dyno_frontier *frontier, uint64_t end,
                             const struct dyno_digest *trees, uint32_t count);

/* --- paths in trees that do not fit in memory --- */

/* Leaves are shown one by one, from `begin` of the frontier before them to `end`; what is left is
 * the path of leaf `index` in the tree over `end` leaves.  begin <= index < end. */
struct dyno_path_finder {
    uint64_t index, end, at;
    uint32_t count;
    struct {
        uint64_t first, end; /* leaves that the part of the path is above */
        struct dyno_frontier tree;
    } parts[DYNO_MERKLE_PATH_MAX]; /* in the order of the path */
};

void dyno_path_finder_init(struct dyno_path_finder *finder, const struct dyno_frontier *before,
                           uint64_t index, uint64_t end);
void dyno_path_finder_add(struct dyno_path_finder *finder, const struct dyno_digest *leaf);
/* All leaves were shown: writes path_out[DYNO_MERKLE_PATH_MAX], returns how many. */
uint32_t dyno_path_finder_take(const struct dyno_path_finder *finder, struct dyno_digest *path_out);

#endif /* DYNO_METER_LEDGER_MERKLE_H */
