/* cmd_advise.c - dyno advise: which models waste how much, and the command that mends it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"
#include "cli/advise_judge.h"

struct options {
    struct dyno_cli_list positional;
    struct dyno_bill_options bill;
    struct dyno_cli_list probes;
    const char *window, *least;
    bool json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    DYNO_FLAGS_SOURCE(options),
    DYNO_FLAGS_PERIOD(options),
    DYNO_FLAG_TARIFFS(options),
    {.name = "--window",
     .value = "TIME",
     .help = "How long a window is, as 30m, 1h or 1d, from the start of the time on; a model is "
             "told of after three in a row, and no more after three that are calm",
     .kind = DYNO_FLAG_STR,
     .fallback_text = "1h",
     AT(window)},
    {.name = "--least",
     .value = "MONEY",
     .help = "Waste of a window that is worth a word, in the currency of the tariffs",
     .kind = DYNO_FLAG_STR,
     .fallback_text = "1",
     AT(least)},
    {.name = "--probe",
     .value = "CERT|MODEL=CERT",
     .help = "What an engine could do: an engine certificate, as of `dyno certify --trial`, before "
             "those of --certificates; MODEL where records cite none. May be given again",
     .kind = DYNO_FLAG_LIST,
     AT(probes)},
    DYNO_FLAG_JSON(options),
};

/* --- flags --- */

static enum dyno_status parse_window(const char *text, int64_t *window_s_out, struct dyno_err *err)
{
    static const struct {
        char letter;
        int64_t s;
    } units[] = {{'m', 60}, {'h', 3600}, {'d', DYNO_DAY_S}};
    char *end = NULL;
    const long count = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : 0;
    for (size_t i = 0; i < DYNO_COUNT(units); i++)
        if (count >= 1 && count <= 100000 && end[0] == units[i].letter && end[1] == 0) {
            *window_s_out = count * units[i].s;
            return DYNO_OK;
        }
    return DYNO_FAIL(err, DYNO_E_ARG, "--window=%s: wants minutes, hours or days, as 30m, 1h or 1d",
                     text);
}

static enum dyno_status parse_least(const char *text, int64_t *least_out, struct dyno_err *err)
{
    DYNO_TRY(dyno_decimal_parse(text, 9, "--least", least_out, err));
    return *least_out >= 0 ? DYNO_OK
                           : DYNO_FAIL(err, DYNO_E_ARG, "--least=%s: wants 0 or more", text);
}

/* The windows of the time asked for that are over. */
static enum dyno_status cut(const struct options *options, const struct dyno_bill_options *bill,
                            struct dyno_advise *advise, struct dyno_err *err)
{
    int64_t next_s = 0;
    const int64_t now_s = dyno_now_s();
    DYNO_TRY(parse_window(options->window, &advise->window_s, err));
    DYNO_TRY(parse_least(options->least, &advise->least, err));
    DYNO_TRY(dyno_bill_period(bill, &advise->first_s, &next_s, err));
    const int64_t end_s = next_s < now_s ? next_s : now_s;
    const int64_t count = (end_s - advise->first_s) / advise->window_s;
    if (count < 1)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--window=%s: no such window of the time asked for is over yet",
                         options->window);
    if (count > DYNO_ADVISE_WINDOWS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "--window=%s: at most %d windows are looked at",
                         options->window, DYNO_ADVISE_WINDOWS_MAX);
    advise->window_count = (uint32_t)count;
    return DYNO_OK;
}

static int64_t end_of(const struct dyno_advise *advise)
{
    return advise->first_s + advise->window_count * advise->window_s;
}

static enum dyno_status make(const struct options *options, struct dyno_advise *advise,
                             struct dyno_err *err)
{
    struct dyno_bill_options bill = options->bill;
    dyno_bill_defaults(&bill);
    DYNO_TRY(cut(options, &bill, advise, err));
    DYNO_TRY(dyno_bill_book(bill.tariffs, advise->arena, &advise->book, err));
    if (advise->book->tariff_count == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s has no tariff", bill.tariffs);
    advise->book_path = bill.tariffs;
    advise->folder = bill.certificates;
    advise->certs.arena = advise->arena;
    advise->certs.at_s = end_of(advise);
    if (advise->folder != NULL)
        DYNO_TRY(dyno_advise_certs_load(&advise->certs, advise->folder, err));
    for (uint32_t i = 0; i < options->probes.count; i++)
        DYNO_TRY(dyno_advise_certs_probe(&advise->certs, options->probes.items[i], err));
    const struct dyno_usage_source_options source = {.ledgers = &bill.ledgers,
                                                     .fleet = bill.fleet,
                                                     .is_counted = true,
                                                     .gives_idle = true,
                                                     .first_s = advise->first_s,
                                                     .next_s = end_of(advise)};
    DYNO_TRY(dyno_usage_source_open(&source, &advise->source, err));
    DYNO_TRY(dyno_advise_gather(advise, err));
    if (advise->cell_count == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "nobody used a device in this time");
    return dyno_advise_judge(advise, err);
}

/* --- the commands that mend it --- */

/* A path in a model repository, for a shell. */
static void put_path(struct dyno_strbuf *out, const struct dyno_advise_subject *subject,
                     const char *file, const char *ending)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    const size_t version = strcspn(subject->variant, "/");
    const bool has_version = subject->variant[version] == '/';
    struct dyno_strbuf path = {0};
    dyno_strbuf_printf(&path, "%s/%.*s%s%s%s", subject->model, has_version ? (int)version : 0,
                       subject->variant, has_version ? "/" : "", file, ending);
    const char *text = dyno_strbuf_text(&path);
    if (dyno_strbuf_ok(&path) && strspn(text, plain) == strlen(text)) {
        dyno_strbuf_puts(out, text);
    } else {
        dyno_strbuf_puts(out, "'");
        for (; *text != 0; text++)
            dyno_strbuf_puts(out, *text == '\'' ? "'\\''" : (const char[]){*text, 0});
        dyno_strbuf_puts(out, "'");
    }
    dyno_strbuf_fini(&path);
}

static const char *file_of(const struct dyno_advise_subject *subject)
{
    const char *slash = strrchr(subject->variant, '/');
    return slash != NULL ? slash + 1 : subject->variant;
}

#define COMMANDS_MAX 2

/* From the folder of the model repository; returns how many. */
static size_t commands_of(const struct dyno_advise_subject *subject,
                          const struct dyno_advise_track *track,
                          struct dyno_strbuf out[COMMANDS_MAX])
{
    const bool is_slow =
        track->reason == DYNO_ADVISE_UNOPTIMISED || track->reason == DYNO_ADVISE_SLOW;
    /* What a server tuned by itself lies in its cache, under a name of its own. */
    const bool wants_build = is_slow || strcmp(file_of(subject), "tuned") == 0;
    const char *engine = wants_build ? "tuned" : file_of(subject);
    size_t count = 0;
    if (track->reason == DYNO_ADVISE_UNDER_BATCHED)
        return 0;
    if (wants_build) {
        dyno_strbuf_puts(&out[count], "dyno build --onnx=");
        put_path(&out[count], subject, "model", ".onnx");
        dyno_strbuf_puts(&out[count], " --saveEngine=");
        put_path(&out[count], subject, engine, ".engine");
        if (subject->is_on_gpu)
            dyno_strbuf_puts(&out[count], " --device=cuda");
        if (track->reason == DYNO_ADVISE_SLOW)
            dyno_strbuf_puts(&out[count], " --builderOptimizationLevel=5");
        count++;
    }
    dyno_strbuf_puts(&out[count], "dyno certify ");
    put_path(&out[count], subject, "model", ".onnx");
    dyno_strbuf_puts(&out[count], " --engine=");
    put_path(&out[count], subject, engine, ".engine");
    if (is_slow && track->could == NULL)
        dyno_strbuf_puts(&out[count], " --trial");
    return count + 1;
}

static bool close_commands(struct dyno_strbuf out[COMMANDS_MAX])
{
    bool is_whole = true;
    for (size_t i = 0; i < COMMANDS_MAX; i++) {
        is_whole = is_whole && dyno_strbuf_ok(&out[i]);
        dyno_strbuf_fini(&out[i]);
    }
    return is_whole;
}

/* --- text --- */

static const char *amount(const struct dyno_advise *advise, dyno_i128 nano,
                          char out[DYNO_MONEY_ROOM])
{
    const struct dyno_currency *currency = advise->book->tariffs[0].currency;
    return dyno_minor_text(currency, dyno_money_minor(currency, nano), out);
}

static const char *hundredths(int64_t ppm, char out[DYNO_MONEY_ROOM])
{
    return dyno_decimal_text(ppm / 10000, 2, 2, out);
}

static void print_reason(const struct dyno_advise_track *track, struct dyno_strbuf *out)
{
    char low[DYNO_MONEY_ROOM];
    char high[DYNO_MONEY_ROOM];
    dyno_strbuf_puts(out, dyno_advise_reason_sentence(track->reason));
    if (track->reason == DYNO_ADVISE_SLOW)
        dyno_strbuf_printf(out, ": at most %s times as fast",
                           hundredths(track->now.high_ppm, high));
    else if (track->reason == DYNO_ADVISE_UNDER_BATCHED)
        dyno_strbuf_printf(out, ": %s of %llu items, %s times as fast as unoptimised instead of %s",
                           dyno_decimal_text((dyno_i128)(track->batch_1e3 / 10), 2, 1, low),
                           (unsigned long long)track->own->batch,
                           hundredths(track->now.low_ppm, high),
                           hundredths(track->own->speed.low_ppm, (char[DYNO_MONEY_ROOM]){0}));
    else if (track->reason == DYNO_ADVISE_SUSPENDED && track->own != NULL &&
             track->own->state.reason[0] != 0)
        dyno_strbuf_printf(out, ": %s", track->own->state.reason);
    dyno_strbuf_puts(out, "\n");
}

static void print_waste(const struct dyno_advise *advise, const struct dyno_advise_track *track,
                        struct dyno_strbuf *out)
{
    const char *code = advise->book->tariffs[0].currency->code;
    const struct dyno_waste *waste = &track->waste;
    char text[4][DYNO_MONEY_ROOM];
    dyno_strbuf_printf(out, "  %s device-hours cost %s %s; of that ",
                       dyno_hours_text(track->device_ns, text[0]),
                       amount(advise, waste->cost_nano, text[1]), code);
    if (track->could == NULL) {
        dyno_strbuf_printf(out, "nobody knows what is wasted: no engine of it has a certificate or "
                                "was probed\n");
        return;
    }
    if (waste->low_nano < waste->nano)
        dyno_strbuf_printf(out, "%s to %s wasted; %s if it runs unoptimised",
                           amount(advise, waste->low_nano, text[0]),
                           amount(advise, waste->high_nano, text[1]),
                           amount(advise, waste->nano, text[2]));
    else
        dyno_strbuf_printf(out, "at least %s and at most %s wasted",
                           amount(advise, waste->nano, text[0]),
                           amount(advise, waste->high_nano, text[1]));
    if (track->reason != DYNO_ADVISE_UNDER_BATCHED)
        dyno_strbuf_printf(out, ", as an engine of it is %s to %s times as fast",
                           hundredths(track->could->speed.low_ppm, text[0]),
                           hundredths(track->could->speed.high_ppm, text[3]));
    dyno_strbuf_printf(out, "\n  by certificate %s%s\n", track->could->address,
                       !dyno_advise_cert_is_estimate(track->could) ? ""
                       : track->could->is_trial ? ", a trial: this is an estimate"
                                                : ", which counts no more: this is an estimate");
}

static void print_heading(const struct dyno_advise *advise,
                          const struct dyno_advise_subject *subject,
                          const struct dyno_advise_track *track, struct dyno_strbuf *out)
{
    char when[DYNO_TIME_TEXT_ROOM];
    dyno_strbuf_printf(
        out, "%s %s%s%s, since %s: ", subject->model, subject->variant,
        subject->device[0] != 0 ? " on " : "", subject->device,
        dyno_time_text(advise->first_s + track->advice.since * advise->window_s, when));
}

static enum dyno_status print_track(const struct dyno_advise *advise,
                                    const struct dyno_advise_subject *subject,
                                    const struct dyno_advise_track *track, struct dyno_strbuf *out,
                                    struct dyno_err *err)
{
    struct dyno_strbuf commands[COMMANDS_MAX] = {{0}};
    if (!track->advice.stands)
        return DYNO_OK;
    print_heading(advise, subject, track, out);
    print_reason(track, out);
    print_waste(advise, track, out);
    const size_t count = commands_of(subject, track, commands);
    for (size_t i = 0; i < count; i++)
        dyno_strbuf_printf(out, "    %s\n", dyno_strbuf_text(&commands[i]));
    if (count == 0)
        dyno_strbuf_puts(out, "  let more requests share a run: a later deadline of their class, a "
                              "larger max_batch_size\n");
    return close_commands(commands) ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status print_idle(const struct dyno_advise *advise,
                                   const struct dyno_advise_subject *subject,
                                   struct dyno_strbuf *out, struct dyno_err *err)
{
    const struct dyno_advise_track *track = &subject->idle;
    const char *code = advise->book->tariffs[0].currency->code;
    char text[3][DYNO_MONEY_ROOM];
    if (!track->advice.stands)
        return DYNO_OK;
    print_heading(advise, subject, track, out);
    dyno_strbuf_printf(out,
                       "%s\n  %s GiB-hours of a device's memory cost %s %s; of that %s while "
                       "nobody used it\n    ",
                       dyno_advise_reason_sentence(track->reason),
                       dyno_hours_text(track->held_byte_ns >> 30, text[0]),
                       amount(advise, track->waste.cost_nano, text[1]), code,
                       amount(advise, track->waste.nano, text[2]));
    DYNO_TRY(dyno_advise_unload_command(subject, out, err));
    dyno_strbuf_puts(out, "\n");
    return DYNO_OK;
}

static enum dyno_status print_text(const struct dyno_advise *advise, const char *window,
                                   struct dyno_strbuf *out, struct dyno_err *err)
{
    char from[DYNO_TIME_TEXT_ROOM];
    char until[DYNO_TIME_TEXT_ROOM];
    char least[DYNO_MONEY_ROOM];
    size_t count = 0;
    for (size_t i = 0; i < advise->subject_count; i++) {
        const struct dyno_advise_subject *subject = &advise->subjects[i];
        DYNO_TRY(print_track(advise, subject, &subject->slow, out, err));
        DYNO_TRY(print_track(advise, subject, &subject->batch, out, err));
        DYNO_TRY(print_idle(advise, subject, out, err));
        count += !subject->slow.advice.stands && !subject->batch.advice.stands &&
                 !subject->idle.advice.stands;
    }
    dyno_strbuf_printf(
        out,
        "%zu of %zu variants of models: nothing that wastes %s %s in a window of %s, "
        "from %s until %s.\n",
        count, advise->subject_count,
        dyno_decimal_text(advise->least, 9, advise->book->tariffs[0].currency->decimals, least),
        advise->book->tariffs[0].currency->code, window, dyno_time_text(advise->first_s, from),
        dyno_time_text(end_of(advise), until));
    if (advise->memory.is_idle && advise->memory.device_bytes == 0)
        dyno_strbuf_printf(out,
                           "No tariff of %s says how much memory a device has (residency, "
                           "device_bytes), so memory that is held idle is not told of.\n",
                           advise->book_path);
    return DYNO_OK;
}

/* --- JSON --- */

static void put_speed(struct dyno_json_writer *json, const char *key,
                      const struct dyno_speed *speed)
{
    char text[DYNO_MONEY_ROOM];
    if (speed == NULL || !dyno_speed_is_known(speed)) {
        dyno_json_key(json, key);
        dyno_json_null(json);
        return;
    }
    dyno_json_put_array_begin(json, key);
    dyno_json_str(json, dyno_decimal_text(speed->low_ppm, 6, 0, text));
    dyno_json_str(json, dyno_decimal_text(speed->high_ppm, 6, 0, text));
    dyno_json_array_end(json);
}

static void put_money(const struct dyno_advise *advise, struct dyno_json_writer *json,
                      const char *key, dyno_i128 nano)
{
    char text[DYNO_MONEY_ROOM];
    const int decimals = advise->book->tariffs[0].currency->decimals;
    dyno_json_put_str(json, key, dyno_decimal_text(nano, 9, decimals, text));
}

static void begin_track(const struct dyno_advise *advise, const struct dyno_advise_track *track,
                        struct dyno_json_writer *json)
{
    char when[DYNO_TIME_TEXT_ROOM];
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "reason", dyno_advise_reason_text(track->reason));
    dyno_json_put_bool(json, "stands", track->advice.stands);
    if (track->advice.stands)
        dyno_json_put_str(
            json, "since",
            dyno_time_text(advise->first_s + track->advice.since * advise->window_s, when));
}

static bool put_idle(const struct dyno_advise *advise, const struct dyno_advise_subject *subject,
                     struct dyno_json_writer *json)
{
    const struct dyno_advise_track *track = &subject->idle;
    struct dyno_strbuf command = {0};
    char digits[DYNO_U128_TEXT_ROOM];
    if (track->waste.cost_nano == 0)
        return true;
    const bool is_whole = dyno_advise_unload_command(subject, &command, NULL) == DYNO_OK;
    begin_track(advise, track, json);
    dyno_json_put_str(json, "memory_byte_ns", dyno_u128_text(track->held_byte_ns, digits));
    put_money(advise, json, "cost", track->waste.cost_nano);
    put_money(advise, json, "wasted", track->waste.nano);
    put_money(advise, json, "wasted_at_least", track->waste.low_nano);
    put_money(advise, json, "wasted_at_most", track->waste.high_nano);
    dyno_json_put_bool(json, "is_estimate", false);
    dyno_json_put_array_begin(json, "commands");
    dyno_json_str(json, dyno_strbuf_text(&command));
    dyno_json_array_end(json);
    dyno_json_object_end(json);
    dyno_strbuf_fini(&command);
    return is_whole;
}

static bool put_track(const struct dyno_advise *advise, const struct dyno_advise_subject *subject,
                      const struct dyno_advise_track *track, struct dyno_json_writer *json)
{
    struct dyno_strbuf commands[COMMANDS_MAX] = {{0}};
    const struct dyno_advise_cert *could = track->could;
    char text[DYNO_MONEY_ROOM];
    if (track->waste.cost_nano == 0)
        return true;
    begin_track(advise, track, json);
    dyno_json_put_str(json, "device_hours", dyno_hours_text(track->device_ns, text));
    put_money(advise, json, "cost", track->waste.cost_nano);
    if (could != NULL)
        put_money(advise, json, "wasted", track->waste.nano);
    else
        dyno_json_put_str_or_null(json, "wasted", NULL);
    put_money(advise, json, "wasted_at_least", track->waste.low_nano);
    put_money(advise, json, "wasted_at_most", track->waste.high_nano);
    put_speed(json, "speed_up", &track->now);
    put_speed(json, "speed_up_could_be", could != NULL ? &could->speed : NULL);
    dyno_json_put_str(json, "by_certificate", could != NULL ? could->address : "");
    dyno_json_put_bool(json, "is_estimate", could == NULL || dyno_advise_cert_is_estimate(could));
    if (track->own != NULL) {
        dyno_json_put_str(json, "certificate", track->own->address);
        dyno_json_put_str(json, "certificate_state", dyno_cert_state_text(track->own->state.kind));
    }
    if (track->own != NULL && track->reason == DYNO_ADVISE_UNDER_BATCHED) {
        dyno_json_put_str(json, "batch", dyno_decimal_text(track->batch_1e3, 3, 0, text));
        dyno_json_put_u64(json, "certified_batch", track->own->batch);
    }
    const size_t count = commands_of(subject, track, commands);
    dyno_json_put_array_begin(json, "commands");
    for (size_t i = 0; i < count; i++)
        dyno_json_str(json, dyno_strbuf_text(&commands[i]));
    dyno_json_array_end(json);
    dyno_json_object_end(json);
    return close_commands(commands);
}

static enum dyno_status print_json(const struct dyno_advise *advise, struct dyno_strbuf *out,
                                   struct dyno_err *err)
{
    struct dyno_json_writer json = {.out = out, .indent = 2};
    char when[DYNO_TIME_TEXT_ROOM];
    bool is_whole = true;
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "from", dyno_time_text(advise->first_s, when));
    dyno_json_put_str(&json, "until", dyno_time_text(end_of(advise), when));
    dyno_json_put_i64(&json, "window_s", advise->window_s);
    dyno_json_put_str(&json, "currency", advise->book->tariffs[0].currency->code);
    put_money(advise, &json, "least", advise->least);
    dyno_json_put_array_begin(&json, "models");
    for (size_t i = 0; i < advise->subject_count; i++) {
        const struct dyno_advise_subject *subject = &advise->subjects[i];
        dyno_json_object_begin(&json);
        dyno_json_put_str(&json, "model", subject->model);
        dyno_json_put_str(&json, "variant", subject->variant);
        dyno_json_put_str(&json, "device", subject->device);
        dyno_json_put_u64(&json, "requests", subject->requests);
        dyno_json_put_array_begin(&json, "advice");
        is_whole = put_track(advise, subject, &subject->slow, &json) && is_whole;
        is_whole = put_track(advise, subject, &subject->batch, &json) && is_whole;
        is_whole = put_idle(advise, subject, &json) && is_whole;
        dyno_json_array_end(&json);
        dyno_json_object_end(&json);
    }
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(out, "\n");
    return is_whole ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    struct dyno_advise advise = {.arena = dyno_arena_create()};
    struct dyno_strbuf out = {0};
    enum dyno_status status = advise.arena != NULL ? make(options, &advise, err) : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = options->json ? print_json(&advise, &out, err)
                               : print_text(&advise, options->window, &out, err);
    if (status == DYNO_OK)
        status = dyno_bill_write(NULL, &out, err);
    dyno_strbuf_fini(&out);
    dyno_advise_fini(&advise);
    dyno_usage_source_close(advise.source);
    dyno_arena_destroy(advise.arena);
    return status;
}

const struct dyno_command dyno_command_advise = {
    .name = "advise",
    .summary = "Which models waste how much device time, and the command that mends it",
    .text =
        "Out of a ledger: models that run unoptimised, without a certificate that counts, by an "
        "engine of under 1.2, or in smaller batches than were certified, or that are held in memory "
        "while nobody uses them. Waste is what their device "
        "time cost by the tariffs, less what it would have cost at the speed-up of an engine of the "
        "model that has a certificate, or a trial. Without --ledger, --certificates and --tariffs "
        "it looks at ledger, certificates and tariffs.json here. Paths of its commands are those of "
        "a model repository.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
