/* usage_grade.h - what certificates say that matters to a bill, and others in their place. */
#ifndef DYNO_CLI_USAGE_GRADE_H
#define DYNO_CLI_USAGE_GRADE_H

#include "meter/cert/term.h"
#include "rate/money.h"

#define DYNO_GRADE_TEXT_ROOM 256

/* Of an engine certificate. */
struct dyno_grade {
    int64_t speed_up_ppm; /* as a price takes it */
    int64_t true_ppm;     /* the value itself: what device time goes by */
    char precision[32];
    char device_class[DYNO_GRADE_TEXT_ROOM];
    struct dyno_cert_hash address, model, reference;
    int64_t issued_s;
    struct dyno_cert_term term;
    bool is_known, is_trial;
};

/* FOLDER/ADDRESS.engine.json, with its state.  E_NOT_FOUND: no folder was given; errors of
 * dyno_cert_load and of dyno_cert_state_read; E_DENIED: a refused one. */
enum dyno_status dyno_grade_load(const char *folder, const char *address, struct dyno_arena *arena,
                                 struct dyno_grade *grade_out, struct dyno_err *err);

/* All engine certificates of a precision in a folder that are not suspended and may be billed by.
 * E_IO; E_NOT_FOUND: there is none, or no such folder. */
enum dyno_status dyno_grades_find(const char *folder, const char *precision, int64_t now_s,
                                  struct dyno_arena *arena, struct dyno_grade **grades_out,
                                  size_t *count_out, struct dyno_err *err);

/* Device time that the same work takes by another engine; was NULL: it was unoptimised. */
uint64_t dyno_grade_device_ns(const struct dyno_grade *was, const struct dyno_grade *now,
                              uint64_t device_ns);

/* --- one in the place of another --- */

/* What stands in for what records cite; remembered by the numbers of their names. */
struct dyno_swaps {
    const struct dyno_grade *instead;
    size_t instead_count;
    struct dyno_swap *items;
    size_t count, room;
    uint64_t found_count; /* times that something stood in */
};
void dyno_swaps_fini(struct dyno_swaps *swaps);
/* For a certificate `certificate` (0: none, and the record cites the reference certificate of the
 * address `reference_text`, or ""): the newest of `instead` of the same model, and the same class
 * of device where that is known.  NULL: nothing. */
enum dyno_status dyno_swaps_find(struct dyno_swaps *swaps, uint32_t certificate,
                                 const struct dyno_grade *grade, uint32_t reference,
                                 const char *reference_text, const struct dyno_grade **instead_out,
                                 struct dyno_err *err);

#endif /* DYNO_CLI_USAGE_GRADE_H */
