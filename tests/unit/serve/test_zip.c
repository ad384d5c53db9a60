/* test_zip.c - which coding is chosen; packing and unpacking inside limits and budget. */
#include "serve/net/zip.h"

#include "base/mem.h"
#include "test.h"

static void test_choice(void)
{
    static const struct {
        const char *accept;
        enum dyno_zip want;
    } cases[] = {
        {NULL, DYNO_ZIP_NONE},
        {"", DYNO_ZIP_NONE},
        {"br", DYNO_ZIP_NONE},
        {"gzip", DYNO_ZIP_GZIP},
        {"GZip", DYNO_ZIP_GZIP},
        {"deflate", DYNO_ZIP_DEFLATE},
        {"deflate, gzip", DYNO_ZIP_GZIP},
        {"br , deflate ;q=0.9,gzip;q=0.8", DYNO_ZIP_DEFLATE},
        {"gzip;q=0", DYNO_ZIP_NONE},
        {"gzip;q=0.000, deflate;q=0.001", DYNO_ZIP_DEFLATE},
        {"gzip; q=0.5, identity", DYNO_ZIP_NONE},
        {"gzip; q=0.5, identity; q=0.5", DYNO_ZIP_GZIP},
        {"*", DYNO_ZIP_GZIP},
        {"*;q=0", DYNO_ZIP_NONE},
        {"gzip;q=0, *", DYNO_ZIP_DEFLATE},
        {"gzip;q=1.0,deflate;q=1", DYNO_ZIP_GZIP},
        {"gzip;q=2", DYNO_ZIP_NONE},
        {"gzip;q=x", DYNO_ZIP_NONE},
        {"gzip;level=1", DYNO_ZIP_NONE},
        {"gzip;", DYNO_ZIP_NONE},
        {"gzips", DYNO_ZIP_NONE},
        {"xgzip", DYNO_ZIP_NONE},
        {",,;,", DYNO_ZIP_NONE},
        {";q=1", DYNO_ZIP_NONE},
    };
    for (size_t i = 0; i < DYNO_COUNT(cases); i++)
        CHECK_MSG(dyno_zip_choose(cases[i].accept) == cases[i].want, "'%s'",
                  cases[i].accept != NULL ? cases[i].accept : "(null)");
}

static void test_round_trip(void)
{
    static char text[100000];
    struct dyno_budget budget = {.limit_bytes = 1000000};
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i % 251);
    for (int kind = DYNO_ZIP_GZIP; kind <= DYNO_ZIP_DEFLATE; kind++) {
        struct dyno_body packed;
        struct dyno_body back;
        dyno_body_init(&packed, &budget, sizeof(text));
        dyno_body_init(&back, &budget, sizeof(text));
        CHECK(dyno_zip_pack((enum dyno_zip)kind, text, sizeof(text), &packed, NULL) == DYNO_OK);
        CHECK(packed.bytes < 2000);
        CHECK(dyno_zip_unpack((enum dyno_zip)kind, packed.data, packed.bytes, &back, NULL) ==
              DYNO_OK);
        CHECK(back.bytes == sizeof(text) && test_same(back.data, text, sizeof(text)));
        dyno_body_fini(&back);
        dyno_body_init(&back, &budget, sizeof(text) - 1);
        CHECK(dyno_zip_unpack((enum dyno_zip)kind, packed.data, packed.bytes, &back, NULL) ==
              DYNO_E_LIMIT);
        dyno_body_fini(&back);
        dyno_body_fini(&packed);
    }
    CHECK(budget.used_bytes == 0 && dyno_mem_live_count() == 0);
}

int main(void)
{
    test_choice();
    test_round_trip();
    return TEST_RESULT();
}
