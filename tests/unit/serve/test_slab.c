/* test_slab.c - objects do not overlap, are aligned, and blocks go back. */
#include "serve/net/slab.h"

#include <stdint.h>

#include "base/mem.h"
#include "test.h"

#define OBJECTS 4000

struct object {
    unsigned char *at;
    size_t bytes;
    unsigned char mark;
};

static struct object objects[OBJECTS];

static void check_object(const struct object *object)
{
    size_t wrong = 0;
    for (size_t i = 0; i < object->bytes; i++)
        wrong += object->at[i] != object->mark;
    CHECK(wrong == 0);
}

static void test_random(void)
{
    struct dyno_slab *slab = dyno_slab_create();
    REQUIRE(slab != NULL);
    srand(3);
    for (int i = 0; i < 200000; i++) {
        struct object *object = &objects[rand() % OBJECTS];
        if (object->at != NULL && rand() % 4 != 0) {
            check_object(object);
            dyno_slab_free(slab, object->at);
            object->at = NULL;
            continue;
        }
        const size_t bytes = (size_t)(rand() % (rand() % 50 == 0 ? 20000 : 900));
        if (object->at == NULL)
            object->bytes = 0;
        else
            check_object(object);
        unsigned char *moved = dyno_slab_realloc(slab, object->at, bytes + object->bytes);
        REQUIRE(moved != NULL && (uintptr_t)moved % 16 == 0);
        object->at = moved;
        check_object(object);
        object->bytes += bytes;
        object->mark = (unsigned char)i;
        memset(object->at, object->mark, object->bytes);
        if (object->bytes > 60000) {
            dyno_slab_free(slab, object->at);
            object->at = NULL;
        }
    }
    for (int i = 0; i < OBJECTS; i++)
        dyno_slab_free(slab, objects[i].at);
    CHECK(dyno_mem_live_bytes() < 1000000); /* at most one block a class is kept */
    dyno_slab_destroy(slab);
    CHECK(dyno_mem_live_count() == 0);
}

static void test_out_of_memory(void)
{
    struct dyno_slab *slab = dyno_slab_create();
    dyno_mem_fail_at(1);
    CHECK(dyno_slab_alloc(slab, 100) == NULL);
    dyno_mem_fail_at(1);
    CHECK(dyno_slab_alloc(slab, 100000) == NULL);
    dyno_mem_fail_at(0);
    unsigned char *zeros = dyno_slab_zalloc(slab, 1000);
    CHECK(zeros != NULL && zeros[0] == 0 && zeros[999] == 0);
    dyno_mem_fail_at(1);
    CHECK(dyno_slab_realloc(slab, zeros, 100000) == NULL);
    dyno_mem_fail_at(0);
    dyno_slab_free(slab, zeros);
    dyno_slab_free(slab, NULL);
    CHECK(dyno_slab_alloc(slab, SIZE_MAX - 4) == NULL);
    dyno_slab_destroy(slab);
    CHECK(dyno_mem_live_count() == 0);
}

int main(void)
{
    test_random();
    test_out_of_memory();
    return TEST_RESULT();
}
