/* report_retime.c - what was decided by runs of the whole graph. */
#include <stdio.h>

#include "base/json.h"
#include "cli/report.h"

/* --- with NVIDIA's libraries or without --- */

void dyno_report_providers_text(const struct dyno_build_report *report)
{
    const struct dyno_providers_report *providers = &report->providers;
    if (providers->was_tried && providers->own_alone)
        printf("  kernels our own alone: the libraries' save nothing in the whole graph\n");
    else if (providers->was_tried && providers->saves_us > 0.0F)
        printf("  kernels with those of the libraries: %.1f us less than our own alone\n",
               (double)providers->saves_us);
    else if (providers->was_tried)
        printf("  kernels with those of the libraries: our own alone break the budget\n");
    if (providers->failure.status != DYNO_OK)
        printf("  kernels our own alone were not tried: %s\n", providers->failure.text);
}

void dyno_report_providers_json(const struct dyno_build_report *report,
                                struct dyno_json_writer *json)
{
    const struct dyno_providers_report *providers = &report->providers;
    if (!providers->was_tried && providers->failure.status == DYNO_OK)
        return;
    dyno_json_put_object_begin(json, "own_kernels");
    dyno_json_put_bool(json, "alone", providers->own_alone);
    dyno_json_put_f64(json, "libraries_save_us", (double)providers->saves_us);
    if (report->accuracy.trials > 0) {
        dyno_json_put_f64(json, "error", providers->own_error);
        dyno_json_put_f64(json, "error_with_libraries", providers->with_error);
    }
    if (providers->failure.status != DYNO_OK)
        dyno_json_put_str(json, "failure", providers->failure.text);
    dyno_json_object_end(json);
}

/* --- alternatives --- */

static const char *kernel_of(const struct dyno_tactic *tactic)
{
    return dyno_kernel_find(tactic->kernel)->name;
}

/* Its parameters, without the zeros behind them; of a library's its version is left out, too. */
static int cfg_count(const struct dyno_tactic *tactic)
{
    const bool has_version = dyno_kernel_find(tactic->kernel)->library != DYNO_LIBRARY_NONE;
    int count = has_version ? DYNO_CFG_LIBRARY : DYNO_TACTIC_CFGS;
    while (count > 0 && tactic->cfg[count - 1] == 0)
        count--;
    return count;
}

static void print_way(const struct dyno_tactic *tactic)
{
    printf("%s", kernel_of(tactic));
    for (int i = 0; i < cfg_count(tactic); i++)
        printf("%c%u", i == 0 ? ':' : ',', tactic->cfg[i]);
}

void dyno_report_retime_text(const struct dyno_retime_report *report, bool verbose)
{
    double saves_us = 0.0;
    for (uint32_t i = 0; i < report->trial_count; i++)
        saves_us += report->trials[i].is_taken ? (double)report->trials[i].saves_us : 0.0;
    if (report->ns != 0)
        printf("  retimed %u alternatives in the whole graph, %u from the cache, in %.2f s: %u "
               "taken, %.1f us less%s\n",
               report->trial_count, report->cached_count, (double)report->ns * 1e-9,
               report->taken_count, saves_us, report->is_cut ? "; not all were tried" : "");
    if (report->failure.status != DYNO_OK)
        printf("  retimed no further: %s\n", report->failure.text);
    for (uint32_t i = 0; verbose && i < report->trial_count; i++) {
        const struct dyno_retime_trial *trial = &report->trials[i];
        printf("  trial %-3u ", i);
        print_way(&trial->other);
        printf(" (%.2f us alone) for ", (double)trial->other_us);
        print_way(&trial->chosen);
        printf(" (%.2f us) in %u steps like %s: ", (double)trial->chosen_us, trial->step_count,
               trial->step_name);
        if (trial->is_cached && !trial->is_taken)
            printf("left\n");
        else
            printf("%.2f us less, %s\n", (double)trial->saves_us,
                   trial->is_taken ? "taken" : "left");
    }
}

static void way_json(const char *key, const struct dyno_tactic *tactic, float us,
                     struct dyno_json_writer *json)
{
    dyno_json_put_object_begin(json, key);
    dyno_json_put_str(json, "kernel", kernel_of(tactic));
    dyno_json_put_array_begin(json, "parameters");
    for (int i = 0; i < cfg_count(tactic); i++)
        dyno_json_u64(json, tactic->cfg[i]);
    dyno_json_array_end(json);
    dyno_json_put_f64(json, "alone_us", (double)us);
    dyno_json_object_end(json);
}

static void trial_json(const struct dyno_retime_trial *trial, struct dyno_json_writer *json)
{
    dyno_json_object_begin(json);
    dyno_json_put_str(json, "step", trial->step_name);
    dyno_json_put_u64(json, "steps", trial->step_count);
    way_json("chosen", &trial->chosen, trial->chosen_us, json);
    way_json("other", &trial->other, trial->other_us, json);
    dyno_json_put_f64(json, "saves_us", (double)trial->saves_us);
    dyno_json_put_bool(json, "cached", trial->is_cached);
    dyno_json_put_bool(json, "taken", trial->is_taken);
    dyno_json_object_end(json);
}

void dyno_report_retime_json(const struct dyno_retime_report *report, struct dyno_json_writer *json)
{
    if (report->ns == 0)
        return;
    dyno_json_put_object_begin(json, "retimed");
    dyno_json_put_f64(json, "ms", (double)report->ns * 1e-6);
    dyno_json_put_f64(json, "graph_us", (double)report->graph_us);
    dyno_json_put_bool(json, "all_tried", !report->is_cut);
    if (report->failure.status != DYNO_OK)
        dyno_json_put_str(json, "failure", report->failure.text);
    dyno_json_put_array_begin(json, "trials");
    for (uint32_t i = 0; i < report->trial_count; i++)
        trial_json(&report->trials[i], json);
    dyno_json_array_end(json);
    dyno_json_object_end(json);
}
