/* precision.c - rules of precision, layer by layer. */
#include "build/precision.h"

#include <string.h>

bool dyno_pattern_fits(const char *pattern, const char *name)
{
    const char *star = NULL; /* the last one met, and where the name goes on behind it */
    const char *again = NULL;
    while (*name != 0) {
        if (*pattern == '*') {
            star = pattern++;
            again = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++again;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == 0;
}

static bool means(const struct dyno_layer_precision *rule, const struct dyno_step *step)
{
    bool fits = dyno_pattern_fits(rule->pattern, step->name);
    for (uint32_t i = 0; i < step->origin_count && !fits; i++)
        fits = dyno_pattern_fits(rule->pattern, step->origins[i]);
    return fits;
}

enum dyno_status dyno_layer_precisions(const struct dyno_plan *plan,
                                       const struct dyno_layer_precision *rules,
                                       uint32_t rule_count, uint32_t allowed, uint32_t *by_step_out,
                                       struct dyno_err *err)
{
    for (uint32_t s = 0; s < plan->step_count; s++)
        by_step_out[s] = allowed;
    for (int exact = 0; exact < 2; exact++) { /* those without '*' come last, and so hold */
        for (uint32_t r = 0; r < rule_count; r++) {
            bool found = false;
            if ((strchr(rules[r].pattern, '*') == NULL) != (exact != 0))
                continue;
            for (uint32_t s = 0; s < plan->step_count; s++) {
                if (!means(&rules[r], &plan->steps[s]))
                    continue;
                by_step_out[s] = rules[r].precisions & allowed;
                found = true;
            }
            if (!found)
                return DYNO_FAIL(err, DYNO_E_ARG,
                                 "a precision is given for '%s', which is no layer of the model",
                                 rules[r].pattern);
        }
    }
    return DYNO_OK;
}
