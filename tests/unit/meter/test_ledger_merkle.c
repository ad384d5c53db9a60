/* test_ledger_merkle.c - trees against RFC 6962's definition, word by word, for every size up to
 * some. */
#include "meter/ledger/merkle.h"

#include "base/err.h"
#include "base/hash.h"
#include "random.h"
#include "test.h"

#define LEAVES 131

static struct dyno_digest leaves[LEAVES];

/* MTH of the RFC, section 2.1, over digests. */
static struct dyno_digest tree_hash(const struct dyno_digest *list, size_t count)
{
    struct dyno_digest out;
    if (count == 0) {
        struct dyno_sha256 sha;
        dyno_sha256_init(&sha);
        dyno_sha256_final(&sha, out.bytes);
        return out;
    }
    if (count == 1)
        return list[0];
    size_t k = 1;
    while (2 * k < count)
        k *= 2;
    const struct dyno_digest left = tree_hash(list, k);
    const struct dyno_digest right = tree_hash(list + k, count - k);
    dyno_merkle_node(&left, &right, &out);
    return out;
}

/* PATH of the RFC, section 2.1.1; returns how many. */
static uint32_t tree_path(const struct dyno_digest *list, size_t count, size_t m,
                          struct dyno_digest *out)
{
    if (count == 1)
        return 0;
    size_t k = 1;
    while (2 * k < count)
        k *= 2;
    const uint32_t below =
        m < k ? tree_path(list, k, m, out) : tree_path(list + k, count - k, m - k, out);
    out[below] = m < k ? tree_hash(list + k, count - k) : tree_hash(list, k);
    return below + 1;
}

static bool same_path(const struct dyno_digest *a, const struct dyno_digest *b, uint32_t count)
{
    return memcmp(a, b, count * sizeof(*a)) == 0;
}

static void check_paths(size_t count)
{
    struct dyno_digest copy[LEAVES];
    struct dyno_digest want[DYNO_MERKLE_PATH_MAX];
    struct dyno_digest path[DYNO_MERKLE_PATH_MAX + 1];
    struct dyno_digest root;
    const struct dyno_digest whole = tree_hash(leaves, count);
    for (size_t m = 0; m < count; m++) {
        uint32_t path_count = 0;
        memcpy(copy, leaves, sizeof(copy));
        dyno_merkle_prove(copy, count, m, path, &path_count, &root);
        CHECK(dyno_digest_equal(&root, &whole));
        CHECK(path_count == tree_path(leaves, count, m, want));
        CHECK(same_path(path, want, path_count));
        CHECK(dyno_merkle_climb(&leaves[m], m, count, path, path_count, &root) &&
              dyno_digest_equal(&root, &whole));
        /* Another place, another length, another bit: never the root. */
        CHECK(!dyno_merkle_climb(&leaves[m], m, count, path, path_count + 1, &root));
        CHECK(path_count == 0 ||
              !dyno_merkle_climb(&leaves[m], m, count, path, path_count - 1, &root));
        for (size_t other = 0; other < count + 2; other += 1 + other / 4)
            CHECK(other == m ||
                  !dyno_merkle_climb(&leaves[m], other, count, path, path_count, &root) ||
                  !dyno_digest_equal(&root, &whole));
        if (path_count > 0) {
            const uint32_t i = (uint32_t)random_below(path_count);
            path[i].bytes[random_below(32)] ^= (uint8_t)(1U << random_below(8));
            CHECK(dyno_merkle_climb(&leaves[m], m, count, path, path_count, &root) &&
                  !dyno_digest_equal(&root, &whole));
        }
    }
}

static void check_growth(void)
{
    struct dyno_frontier frontier = {0};
    struct dyno_digest root;
    for (size_t count = 0; count <= LEAVES; count++) {
        const struct dyno_digest want = tree_hash(leaves, count);
        dyno_frontier_root(&frontier, &root);
        CHECK(dyno_digest_equal(&root, &want));
        CHECK(frontier.peak_count == dyno_frontier_peaks(count));
        if (count < LEAVES)
            dyno_frontier_add(&frontier, &leaves[count]);
    }
}

static void check_consistency(size_t begin, size_t end)
{
    struct dyno_frontier frontier = {0};
    struct dyno_cover cover;
    struct dyno_digest root;
    for (size_t i = 0; i < begin; i++)
        dyno_frontier_add(&frontier, &leaves[i]);
    dyno_cover_init(&cover, begin);
    for (size_t i = begin; i < end; i++)
        dyno_cover_add(&cover, &leaves[i]);
    const struct dyno_digest want = tree_hash(leaves, end);
    struct dyno_frontier grown = frontier;
    CHECK(dyno_frontier_add_cover(&grown, end, cover.trees, cover.count));
    dyno_frontier_root(&grown, &root);
    CHECK(dyno_digest_equal(&root, &want));
    grown = frontier;
    CHECK(!dyno_frontier_add_cover(&grown, end, cover.trees, cover.count + 1));
    grown = frontier;
    CHECK(cover.count == 0 || !dyno_frontier_add_cover(&grown, end, cover.trees, cover.count - 1));
    if (cover.count > 0) {
        grown = frontier;
        cover.trees[random_below(cover.count)].bytes[3] ^= 1;
        CHECK(dyno_frontier_add_cover(&grown, end, cover.trees, cover.count));
        dyno_frontier_root(&grown, &root);
        CHECK(!dyno_digest_equal(&root, &want));
    }
}

/* From any first leaf on, with the frontier before it. */
static void check_finder(size_t begin, size_t index, size_t end)
{
    static struct dyno_path_finder finder;
    struct dyno_frontier before = {0};
    struct dyno_digest want[DYNO_MERKLE_PATH_MAX];
    struct dyno_digest path[DYNO_MERKLE_PATH_MAX];
    for (size_t i = 0; i < begin; i++)
        dyno_frontier_add(&before, &leaves[i]);
    dyno_path_finder_init(&finder, &before, index, end);
    for (size_t i = begin; i < end; i++)
        dyno_path_finder_add(&finder, &leaves[i]);
    const uint32_t count = dyno_path_finder_take(&finder, path);
    CHECK(count == tree_path(leaves, end, index, want) && same_path(path, want, count));
}

int main(void)
{
    for (size_t i = 0; i < LEAVES; i++)
        for (size_t k = 0; k < 4; k++) {
            const uint64_t word = random_u64();
            memcpy(leaves[i].bytes + 8 * k, &word, 8);
        }
    check_growth();
    for (size_t count = 1; count <= LEAVES; count += count < 40 ? 1 : 7)
        check_paths(count);
    for (size_t end = 0; end <= LEAVES; end += end < 34 ? 1 : 9)
        for (size_t begin = 0; begin <= end; begin++)
            check_consistency(begin, end);
    for (size_t end = 1; end <= 36; end++)
        for (size_t index = 0; index < end; index++)
            for (size_t begin = 0; begin <= index; begin++)
                check_finder(begin, index, end);
    struct dyno_frontier frontier = {.count = 1, .peak_count = 1};
    CHECK(!dyno_frontier_add_tree(&frontier, &leaves[0], 1)); /* cannot stand there */
    CHECK(!dyno_frontier_add_tree(&frontier, &leaves[0], 63));
    return TEST_RESULT();
}
