/* test_npy.c - arrays there and back, Fortran order, hostile headers. */
#include "base/npy.h"

#include <unistd.h>

#include "base/mem.h"
#include "test.h"

static struct dyno_arena *arena;

/* A file with this dictionary and this data, in format `major`. */
static enum dyno_status parse(int major, const char *dictionary, const void *data, size_t bytes,
                              struct dyno_tensor *tensor, struct dyno_err *err)
{
    struct dyno_strbuf file = {0};
    const size_t length = strlen(dictionary);
    const char start[8] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y', (char)major, 0};
    const char lengths[4] = {(char)(length & 0xff), (char)(length >> 8), 0, 0};
    dyno_strbuf_add(&file, start, 8);
    dyno_strbuf_add(&file, lengths, major == 1 ? 2 : 4);
    dyno_strbuf_add(&file, dictionary, length);
    dyno_strbuf_add(&file, data, bytes);
    char *exact = malloc(file.bytes);
    memcpy(exact, file.text, file.bytes);
    const enum dyno_status status = dyno_npy_parse(exact, file.bytes, arena, tensor, err);
    free(exact);
    dyno_strbuf_fini(&file);
    return status;
}

static void test_round_trip(void)
{
    char path[] = "/tmp/dyno-test-npy-XXXXXX";
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    (void)close(fd);
    unsigned char data[16 * 24];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 29);
    for (unsigned dtype = 1; dtype < DYNO_DTYPE_COUNT; dtype++) {
        struct dyno_tensor tensor = {
            .dtype = (enum dyno_dtype)dtype, .rank = 3, .dims = {2, 3, 4}, .data = data};
        for (tensor.rank = 0; tensor.rank <= 3; tensor.rank++) {
            struct dyno_tensor back;
            struct dyno_err err = {0};
            const enum dyno_status status = dyno_npy_save(path, &tensor, &err);
            if (status == DYNO_E_UNSUPPORTED) {
                CHECK(dyno_dtype_bits(tensor.dtype) <= 8 || tensor.dtype == DYNO_STR);
                continue;
            }
            CHECK_MSG(status == DYNO_OK, "%s", err.text);
            CHECK_MSG(dyno_npy_load(path, arena, &back, &err) == DYNO_OK, "%s", err.text);
            CHECK(back.dtype == tensor.dtype && back.rank == tensor.rank);
            CHECK(memcmp(back.dims, tensor.dims, sizeof(int64_t) * (size_t)tensor.rank) == 0);
            size_t bytes = 0;
            CHECK(dyno_dtype_bytes(tensor.dtype, (uint64_t)dyno_tensor_count(&tensor), &bytes));
            CHECK(memcmp(back.data, data, bytes) == 0 && (uintptr_t)back.data % 64 == 0);
        }
    }
    CHECK(unlink(path) == 0);
    struct dyno_tensor none;
    struct dyno_err err = {0};
    CHECK(dyno_npy_load(path, arena, &none, &err) == DYNO_E_NOT_FOUND);
}

static void test_header_text(void)
{
    struct dyno_strbuf out = {0};
    const struct dyno_tensor tensor = {.dtype = DYNO_F32, .rank = 1, .dims = {5}};
    CHECK(dyno_npy_header(&tensor, &out, NULL) == DYNO_OK);
    CHECK(out.bytes == 128 || out.bytes == 64);
    CHECK(memcmp(out.text + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }", 57) ==
          0);
    CHECK(out.text[out.bytes - 1] == '\n');
    dyno_strbuf_fini(&out);
}

static void test_variants(void)
{
    struct dyno_tensor tensor;
    const uint8_t six[6] = {0, 1, 2, 3, 4, 5};
    for (int major = 1; major <= 3; major++)
        CHECK(parse(major, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n", six, 6,
                    &tensor, NULL) == DYNO_OK);
    CHECK(tensor.dtype == DYNO_U8 && tensor.dims[1] == 3);
    CHECK(parse(1, "{\"shape\":(2L,3L),\"fortran_order\":True,\"descr\":\"|u1\"}", six, 6, &tensor,
                NULL) == DYNO_OK);
    const uint8_t want[6] = {0, 2, 4, 1, 3, 5};
    CHECK(memcmp(tensor.data, want, 6) == 0);
    uint16_t cube[24];
    for (uint16_t i = 0; i < 24; i++)
        cube[i] = i;
    CHECK(parse(1, "{'descr':'<u2','fortran_order':True,'shape':(2,3,4)}", cube, 48, &tensor,
                NULL) == DYNO_OK);
    for (int i = 0; i < 24; i++)
        CHECK(((const uint16_t *)tensor.data)[i] == i / 12 + i / 4 % 3 * 2 + i % 4 * 6);
    CHECK(parse(1, "{'descr':'|V2','fortran_order':False,'shape':(3,)}", six, 6, &tensor, NULL) ==
          DYNO_OK);
    CHECK(tensor.dtype == DYNO_BF16);
    CHECK(parse(1, "{'descr':'>u1','fortran_order':False,'shape':(6,)}", six, 6, &tensor, NULL) ==
          DYNO_OK);
    CHECK(parse(1, "{'descr':'<f4','fortran_order':True,'shape':(0, 3)}", "", 0, &tensor, NULL) ==
          DYNO_OK);
    CHECK(tensor.rank == 2 && tensor.dims[0] == 0);
}

static void test_hostile(void)
{
    static const struct {
        const char *dictionary;
        size_t bytes;
        enum dyno_status want;
    } cases[] = {
        {"", 0, DYNO_E_FORMAT},
        {"{}", 0, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(3)}", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(3,,)}", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(-3,)}", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(3,)} x", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(3,)", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':Maybe,'shape':(3,)}", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(3,),'x':1}", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','descr':'<f4','fortran_order':False,'shape':(3,)}", 12, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False}", 4, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(3,)}", 11, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(3,)}", 13, DYNO_E_FORMAT},
        {"{'descr':'>f4','fortran_order':False,'shape':(3,)}", 12, DYNO_E_UNSUPPORTED},
        {"{'descr':'|O','fortran_order':False,'shape':(3,)}", 12, DYNO_E_UNSUPPORTED},
        {"{'descr':'','fortran_order':False,'shape':(3,)}", 12, DYNO_E_UNSUPPORTED},
        {"{'descr':'<U4','fortran_order':False,'shape':(3,)}", 12, DYNO_E_UNSUPPORTED},
        {"{'descr':[('a','<f4')],'fortran_order':False,'shape':(3,)}", 12, DYNO_E_UNSUPPORTED},
        {"{'descr':'<f4','fortran_order':False,'shape':(1,1,1,1,1,1,1,1,1)}", 4, DYNO_E_LIMIT},
        {"{'descr':'<f4','fortran_order':False,'shape':(9223372036854775807,8)}", 4, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(99999999999999999999,)}", 4, DYNO_E_FORMAT},
        {"{'descr':'<f4','fortran_order':False,'shape':(4611686018427387904,4)}", 0, DYNO_E_FORMAT},
    };
    const char data[16] = {0};
    for (size_t i = 0; i < DYNO_COUNT(cases); i++) {
        struct dyno_tensor tensor;
        struct dyno_err err = {0};
        const enum dyno_status status =
            parse(1, cases[i].dictionary, data, cases[i].bytes, &tensor, &err);
        CHECK_MSG(status == cases[i].want, "%s: %s", cases[i].dictionary, err.text);
        CHECK(tensor.data == NULL && strncmp(err.text, "npy ", 4) == 0);
    }
    struct dyno_tensor tensor;
    CHECK(parse(4, "{}", data, 0, &tensor, NULL) == DYNO_E_UNSUPPORTED);
    CHECK(dyno_npy_parse("\x93NUMPX\x01\x00\x00\x00", 10, arena, &tensor, NULL) == DYNO_E_FORMAT);
    CHECK(dyno_npy_parse("", 0, arena, &tensor, NULL) == DYNO_E_FORMAT);
}

static void test_truncation(void)
{
    struct dyno_strbuf file = {0};
    const struct dyno_tensor tensor = {.dtype = DYNO_F32, .rank = 2, .dims = {1, 2}};
    CHECK(dyno_npy_header(&tensor, &file, NULL) == DYNO_OK);
    dyno_strbuf_add(&file, "12345678", 8);
    for (size_t bytes = 0; bytes <= file.bytes; bytes++) {
        char *copy = malloc(bytes + 1);
        memcpy(copy, file.text, bytes);
        struct dyno_tensor back;
        CHECK((dyno_npy_parse(copy, bytes, arena, &back, NULL) == DYNO_OK) ==
              (bytes == file.bytes));
        free(copy);
    }
    dyno_strbuf_fini(&file);
}

int main(void)
{
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_round_trip();
    test_header_text();
    test_variants();
    test_hostile();
    test_truncation();
    dyno_arena_destroy(arena);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
