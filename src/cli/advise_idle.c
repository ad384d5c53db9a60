/* advise_idle.c - engines that are held in memory while nobody uses them: what that costs, and the
 * request that ends it. */
#include <stdio.h>
#include <string.h>

#include "cli/advise_judge.h"
#include "rate/charge.h"

/* Of what is held, the part that nobody used: nine tenths are waste, under a half is none. */
#define IDLE_NUM 9U
#define IDLE_DEN 10U
#define CALM_DEN 2U

/* --- what it costs --- */

/* The first tariff of the book, by name, that says how much memory a device has. */
void dyno_advise_memory_price(struct dyno_advise *advise)
{
    const struct dyno_tariff_book *book = advise->book;
    int64_t device_hour = -1;
    for (size_t i = 0; i < book->tariff_count && device_hour < 0; i++)
        device_hour = book->tariffs[i].device_hour;
    for (size_t i = 0; i < book->tariff_count && advise->memory.device_bytes == 0; i++) {
        const struct dyno_tariff *tariff = &book->tariffs[i];
        if (tariff->device_bytes == 0)
            continue;
        advise->memory.device_bytes = tariff->device_bytes;
        advise->memory.device_hour = tariff->device_hour >= 0 ? tariff->device_hour : device_hour;
    }
    if (advise->memory.device_hour < 0)
        advise->memory.device_bytes = 0;
}

/* P x the part of a device's memory x hours, cut to the nano-unit. */
static enum dyno_status cost_of(const struct dyno_advise *advise, dyno_u128 byte_ns,
                                dyno_i128 *nano_out, struct dyno_err *err)
{
    const struct dyno_ratio ratio = {.a = advise->memory.device_hour,
                                     .b = (dyno_i128)byte_ns,
                                     .dens = {advise->memory.device_bytes, DYNO_NS_AN_HOUR},
                                     .den_count = 2};
    return dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, nano_out)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_LIMIT, "what memory costs is past all reason");
}

enum dyno_status dyno_advise_idle_step(const struct dyno_advise *advise,
                                       struct dyno_advise_subject *subject, dyno_u128 held_byte_ns,
                                       dyno_u128 idle_byte_ns, struct dyno_err *err)
{
    struct dyno_advise_track *track = &subject->idle;
    struct dyno_advice_window window = {0};
    dyno_i128 cost = 0;
    dyno_i128 idle = 0;
    track->reason = DYNO_ADVISE_IDLE;
    if (advise->memory.device_bytes == 0)
        return DYNO_OK;
    DYNO_TRY(cost_of(advise, held_byte_ns, &cost, err));
    DYNO_TRY(cost_of(advise, idle_byte_ns, &idle, err));
    if (idle_byte_ns * CALM_DEN >= held_byte_ns)
        window.doubt_nano = idle;
    if (held_byte_ns > 0 && idle_byte_ns * IDLE_DEN >= held_byte_ns * IDLE_NUM) {
        window.waste_nano = idle;
        track->held_byte_ns += held_byte_ns;
        track->waste.cost_nano += cost;
        track->waste.nano += idle;
        track->waste.low_nano = track->waste.high_nano = track->waste.nano;
    }
    dyno_advice_step(&track->advice, &window, advise->least);
    return DYNO_OK;
}

/* --- the request that ends it --- */

static void put_escaped(struct dyno_strbuf *out, const char *name)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~";
    for (; *name != 0; name++) {
        if (strchr(plain, *name) != NULL)
            dyno_strbuf_add(out, name, 1);
        else
            dyno_strbuf_printf(out, "%%%02X", (unsigned)(unsigned char)*name);
    }
}

/* "1/fp32" is a version and a variant. */
static void put_parameters(struct dyno_strbuf *out, const char *variant)
{
    struct dyno_json_writer json = {.out = out, .indent = -1};
    const size_t bytes = strcspn(variant, "/");
    const bool has_version =
        variant[bytes] == '/' && bytes > 0 && strspn(variant, "0123456789") == bytes;
    dyno_json_object_begin(&json);
    dyno_json_put_object_begin(&json, "parameters");
    if (has_version) {
        dyno_json_key(&json, "version");
        dyno_json_strn(&json, variant, bytes);
    }
    dyno_json_put_str(&json, "variant", has_version ? variant + bytes + 1 : variant);
    dyno_json_object_end(&json);
    dyno_json_object_end(&json);
}

enum dyno_status dyno_advise_unload_command(const struct dyno_advise_subject *subject,
                                            struct dyno_strbuf *out, struct dyno_err *err)
{
    struct dyno_strbuf body = {0};
    put_parameters(&body, subject->variant);
    dyno_strbuf_puts(out, "curl http://localhost:8000/v2/repository/models/");
    put_escaped(out, subject->model);
    dyno_strbuf_puts(out, "/unload -d '");
    for (const char *at = dyno_strbuf_text(&body); *at != 0; at++)
        dyno_strbuf_puts(out, *at == '\'' ? "'\\''" : (const char[]){*at, 0});
    dyno_strbuf_puts(out, "'");
    const bool is_whole = dyno_strbuf_ok(&body) && dyno_strbuf_ok(out);
    dyno_strbuf_fini(&body);
    return is_whole ? DYNO_OK : DYNO_NOMEM(err);
}
