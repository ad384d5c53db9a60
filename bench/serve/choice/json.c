/* json.c - reading the JSON body of an inference request with several readers.
 *
 *   gcc -O2 -I../../../src -I../../../include -o json json.c BASE.a -lyajl -ljansson -lcjson -lm
 * -lpthread && ./json
 *
 * BASE.a is build/release/libdyno_base.a.  Each reader gets the same two bodies and adds up the
 * numbers of "data".  This file decides between libraries
 * (docs/decisions/0011-serving-libraries.md); nothing of it is in Dyno.
 */
#include <cjson/cJSON.h>
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

static double base_tree(const char *text, size_t bytes)
{
    struct dyno_arena *arena = dyno_arena_create();
    const struct dyno_json *root = NULL;
    double sum = 0.0;
    if (dyno_json_parse(text, bytes, arena, &root, NULL) == DYNO_OK) {
        const struct dyno_json *data =
            dyno_json_find(dyno_json_find(root, "inputs")->first, "data");
        for (const struct dyno_json *at = data->first; at != NULL; at = at->next)
            sum += at->number;
    }
    dyno_arena_destroy(arena);
    return sum;
}

static double base_reader(const char *text, size_t bytes)
{
    struct dyno_json_reader reader;
    struct dyno_json_token token;
    double sum = 0.0;
    dyno_json_reader_init(&reader, text, bytes);
    int depth = 0;
    while (dyno_json_read(&reader, &token, NULL) == DYNO_OK && token.kind != DYNO_JSON_TOKEN_END) {
        depth += token.kind == DYNO_JSON_TOKEN_OBJECT || token.kind == DYNO_JSON_TOKEN_ARRAY;
        depth -= token.kind == DYNO_JSON_TOKEN_CLOSE;
        if (token.kind == DYNO_JSON_TOKEN_NUMBER && depth == 4 && !token.has_key)
            sum += token.number;
    }
    return sum;
}

static double jansson(const char *text, size_t bytes)
{
    json_t *root = json_loadb(text, bytes, 0, NULL);
    json_t *data = json_object_get(json_array_get(json_object_get(root, "inputs"), 0), "data");
    double sum = 0.0;
    for (size_t i = 0; i < json_array_size(data); i++)
        sum += json_number_value(json_array_get(data, i));
    json_decref(root);
    return sum;
}

static double cjson(const char *text, size_t bytes)
{
    cJSON *root = cJSON_ParseWithLength(text, bytes);
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(root, "inputs")->child;
    double sum = 0.0;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(input, "data")) sum +=
        item->valuedouble;
    cJSON_Delete(root);
    return sum;
}

static int on_number(void *arg, double value)
{
    *(double *)arg += value;
    return 1;
}

static double yajl(const char *text, size_t bytes)
{
    static const yajl_callbacks callbacks = {.yajl_double = on_number};
    double sum = 0.0;
    yajl_handle handle = yajl_alloc(&callbacks, NULL, &sum);
    yajl_parse(handle, (const void *)text, bytes);
    yajl_complete_parse(handle);
    yajl_free(handle);
    return sum;
}

static const struct {
    const char *name;
    double (*fn)(const char *text, size_t bytes);
} readers[] = {
    {"jansson (tree)", jansson}, {"cJSON (tree)", cjson},        {"yajl (events)", yajl},
    {"base (tree)", base_tree},  {"base (reader)", base_reader},
};

static char *make_body(size_t count, size_t *bytes_out)
{
    char *text = malloc(count * 24 + 256);
    size_t at = (size_t)sprintf(text,
                                "{\"id\":\"1\",\"inputs\":[{\"name\":\"x\",\"shape\":[1,%zu],"
                                "\"datatype\":\"FP32\",\"data\":[",
                                count);
    srand(1);
    for (size_t i = 0; i < count; i++)
        at += (size_t)sprintf(text + at, "%s%.17g", i > 0 ? "," : "",
                              (double)(float)(rand() / (double)RAND_MAX - 0.5));
    at += (size_t)sprintf(text + at, "]}]}");
    *bytes_out = at;
    return text;
}

int main(void)
{
    static const size_t counts[] = {16, 150528};
    for (size_t c = 0; c < 2; c++) {
        size_t bytes = 0;
        char *text = make_body(counts[c], &bytes);
        for (size_t r = 0; r < sizeof(readers) / sizeof(readers[0]); r++) {
            const int rounds = counts[c] > 1000 ? 10 : 20000;
            double best_ns = 1e30;
            double sum = 0.0;
            for (int repeat = 0; repeat < 3; repeat++) {
                const uint64_t start_ns = dyno_clock_ns();
                for (int i = 0; i < rounds; i++)
                    sum = readers[r].fn(text, bytes);
                const double ns = (double)(dyno_clock_ns() - start_ns) / rounds;
                best_ns = ns < best_ns ? ns : best_ns;
            }
            printf("%7zu numbers, %8zu bytes  %-16s %10.1f us %6.0f MB/s  (sum %.6f)\n", counts[c],
                   bytes, readers[r].name, best_ns / 1e3, (double)bytes * 1e3 / best_ns, sum);
        }
        free(text);
    }
    return 0;
}
