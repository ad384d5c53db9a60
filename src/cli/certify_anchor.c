/* certify_anchor.c - the second anchor, told beside its certificate. */
#include <stdio.h>

#include "base/calendar.h"
#include "cli/certify.h"

void dyno_certify_anchor_text(const struct dyno_anchor *anchor)
{
    char when[DYNO_TIME_TEXT_ROOM];
    printf("  anchor     %s, told by %s, %s; never billed\n", anchor->framework, anchor->by,
           dyno_time_text(anchor->made_s, when));
    printf("    %-9s %u segments at point %u, ms an item: %.4g least, %.4g median, %.4g most\n", "",
           anchor->segment_count, anchor->point_idx + 1, anchor->least_ns * 1e-6,
           anchor->median_ns * 1e-6, anchor->most_ns * 1e-6);
    printf("    %-9s the unoptimised execution takes %.4f times as long\n", "", anchor->ratio);
}

void dyno_certify_anchor_json(struct dyno_json_writer *json, const struct dyno_anchor *anchor)
{
    const struct {
        const char *name;
        double value;
    } rows[] = {{"least_ns", anchor->least_ns},
                {"median_ns", anchor->median_ns},
                {"most_ns", anchor->most_ns},
                {"unoptimised_ratio", anchor->ratio}};
    char when[DYNO_TIME_TEXT_ROOM];
    dyno_json_put_object_begin(json, "anchor");
    dyno_json_put_str(json, "framework", anchor->framework);
    dyno_json_put_str(json, "by", anchor->by);
    dyno_json_put_str(json, "made", dyno_time_text(anchor->made_s, when));
    dyno_json_put_u64(json, "point", anchor->point_idx + 1U);
    dyno_json_put_u64(json, "segments", anchor->segment_count);
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        dyno_json_put_f64(json, rows[i].name, rows[i].value);
    }
    dyno_json_object_end(json);
}
