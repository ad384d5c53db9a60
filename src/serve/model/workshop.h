/* workshop.h - what joins the maker of engines to the manager: who wants which, and orders to load
 * what was made.
 *
 * An order to load a version that is a model.onnx is done when the first engine of it is loaded, or
 * when there will be none; it is carried out a second time then.  The tuned engine comes later, by
 * an order of its own, in the place of the baseline.
 */
#ifndef DYNO_SERVE_MODEL_WORKSHOP_H
#define DYNO_SERVE_MODEL_WORKSHOP_H

#include "serve/model/internal.h"

/* NULL options: nothing is built here.  The cache's folder and threads come with the first wish. */
DYNO_NODISCARD enum dyno_status dyno_workshop_create(struct dyno_manager *manager,
                                                     const struct dyno_workshop_options *options,
                                                     struct dyno_workshop **workshop_out,
                                                     struct dyno_err *err);
/* End what is built; whoever waits for it hears that the server stops. */
void dyno_workshop_stop(struct dyno_workshop *workshop);
void dyno_workshop_destroy(struct dyno_workshop *workshop); /* accepts NULL */

/* Is it for us to make engines of this version? */
bool dyno_workshop_is_ours(const struct dyno_repo_version *version);

/* Is it "", or the name of a variant that we make? */
bool dyno_workshop_has(const char *variant);

/* Versions of the model that are for us shall have engines.  *wait_count_out: how many of them
 * `order` has to wait for.  What cannot be wanted shows as failed, and is the reason in err. */
enum dyno_status dyno_workshop_want(struct dyno_workshop *workshop, struct dyno_order *order,
                                    const struct dyno_repo_model *model, size_t *wait_count_out,
                                    struct dyno_err *err);
/* Is there a version for us whose files, or whose wish, are others than those it was asked for
 * with? Looks at files; not under the catalog's lock. */
bool dyno_workshop_is_outdated(struct dyno_workshop *workshop, const struct dyno_repo_model *model);
/* Of a model, only versions that are for us are wanted any more. */
void dyno_workshop_retain(struct dyno_workshop *workshop, const struct dyno_repo_model *model);
/* An order to unload was carried out (version 0: all of the model). */
void dyno_workshop_drop(struct dyno_workshop *workshop, const char *model, uint64_t version);

#endif /* DYNO_SERVE_MODEL_WORKSHOP_H */
