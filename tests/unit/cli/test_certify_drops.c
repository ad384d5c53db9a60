/* test_certify_drops.c - what `dyno certify` says of the blocks that do not count. */
#include "cli/certify_drops.h"

#include "test.h"

/* A second a segment; how long the chain took in each, and what others took of each. */
static struct dyno_cert_block block_of(const uint64_t chain_ns[4], uint64_t steal_ns)
{
    struct dyno_cert_block block;
    for (int i = 0; i < 4; i++)
        block.segments[i] = (struct dyno_cert_segment){
            .items = 2, .ns = 1000000000, .chain_ns = chain_ns[i], .steal_ns = steal_ns};
    return block;
}

static const uint64_t still[4] = {1000, 1000, 1000, 1000};
static const uint64_t slow[4] = {1000, 1000, 1050, 1000};
static const uint64_t b_slow[4] = {1000, 1300, 1300, 1000}; /* a side by itself */
static const uint64_t half_told[4] = {1000, 0, 0, 1000};

static struct dyno_certify_drops drops_of(const struct dyno_cert *cert,
                                          const struct dyno_cert_block *blocks, size_t count)
{
    struct dyno_certify_drops drops = {0};
    for (size_t i = 0; i < count; i++)
        dyno_certify_drops_add(&drops, cert, &blocks[i]);
    return drops;
}

static void check(const struct dyno_cert *cert, const struct dyno_cert_block *blocks, size_t count,
                  const char *says)
{
    char text[DYNO_CERTIFY_DROPS_ROOM];
    const struct dyno_certify_drops drops = drops_of(cert, blocks, count);
    const char *got = dyno_certify_drops_text(&drops, 1, 5, text);
    CHECK(drops.tried_count == count && (got == NULL) == (says == NULL));
    if (got != NULL && says != NULL)
        CHECK_STR(got, says);
}

int main(void)
{
    const struct dyno_cert cpu = {.is_trial = false};
    const struct dyno_cert gpu = {.gpu = {.compute = 90}};
    const struct dyno_cert trial = {.is_trial = true};
    const struct dyno_cert_block quiet = block_of(still, 20000000); /* 2 %, which may be */
    const struct dyno_cert_block taken = block_of(still, 134000000);
    const struct dyno_cert_block moved = block_of(slow, 0);
    const struct dyno_cert_block sided = block_of(b_slow, 0);
    const struct dyno_cert_block silent = block_of(half_told, 0);

    check(&cpu, NULL, 0, NULL);
    check(&cpu, (struct dyno_cert_block[]){quiet, quiet}, 2, NULL);
    check(&trial, (struct dyno_cert_block[]){taken, moved}, 2, NULL); /* all of them count */
    check(&cpu, (struct dyno_cert_block[]){quiet, taken, quiet}, 3,
          "process 2 of 5: 1 of 3 blocks do not count: others took up to 13.4 % of one (2 % may "
          "be)");
    check(&cpu, (struct dyno_cert_block[]){moved, quiet}, 2,
          "process 2 of 5: 1 of 2 blocks do not count: the clock moved by up to 5.0 % (2 % may "
          "be)");
    check(&cpu, (struct dyno_cert_block[]){moved, taken, sided, quiet}, 4,
          "process 2 of 5: 3 of 4 blocks do not count: others took up to 13.4 % of one (2 % may "
          "be), the clock moved by up to 30.0 % (2 % may be)");
    /* On a GPU each side has a clock of its own; and who tells it half the time tells none. */
    check(&gpu, (struct dyno_cert_block[]){sided}, 1, NULL);
    check(&gpu, (struct dyno_cert_block[]){silent}, 1,
          "process 2 of 5: 1 of 1 blocks do not count: the clock was not told all the time");

    /* The longest that there is. */
    char text[DYNO_CERTIFY_DROPS_ROOM];
    const struct dyno_certify_drops most = {UINT32_MAX, UINT32_MAX, {1e15, 1e15}};
    CHECK(dyno_certify_drops_text(&most, UINT32_MAX - 1, UINT32_MAX, text) == text);
    CHECK(strlen(text) < sizeof(text) - 1);
    return TEST_RESULT();
}
