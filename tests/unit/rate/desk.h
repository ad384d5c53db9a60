/* desk.h - a book, usage that is put to it, and what comes out. */
#ifndef DYNO_TESTS_RATE_DESK_H
#define DYNO_TESTS_RATE_DESK_H

#include <string.h>

#include "base/mem.h"
#include "rate/rate.h"
#include "test.h"

struct desk {
    struct dyno_arena *arena;
    struct dyno_rater_options options;
    struct dyno_rater *rater;
    struct dyno_statement *statement;
};

/* options: all but the book. */
static inline void desk_open(struct desk *desk, const char *book, struct dyno_rater_options options)
{
    struct dyno_err err = {0};
    *desk = (struct desk){.arena = dyno_arena_create(), .options = options};
    REQUIRE(desk->arena != NULL);
    if (dyno_tariff_book_parse(book, strlen(book), desk->arena, &desk->options.book, &err) !=
        DYNO_OK)
        (void)test_say("%s", err.text);
    REQUIRE(desk->options.book != NULL);
    REQUIRE(dyno_rater_create(&desk->options, &desk->rater, NULL) == DYNO_OK);
}

#endif /* DYNO_TESTS_RATE_DESK_H */
