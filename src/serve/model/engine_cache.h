/* engine_cache.h - engines that were built once, in a folder.
 *
 *     FOLDER/KEY.engine     an engine; not written to again, so that its times stay, too
 *     FOLDER/KEY.used       its time is when the engine was used last
 *     FOLDER/draft-KEY/     where one is being built, locked by whoever builds it
 *
 * Several servers may share the folder.  An engine that somebody holds is locked (flock, shared),
 * and is not taken away; an engine takes its place whole, by a rename.  What lies in the folder
 * under other names is left alone, and nothing outside it is touched.
 *
 * Any thread, any number at one time.
 */
#ifndef DYNO_SERVE_MODEL_ENGINE_CACHE_H
#define DYNO_SERVE_MODEL_ENGINE_CACHE_H

#include "serve/model/engine_key.h"

struct dyno_engine_cache;

/* The folder is made, with those above it, when it is not there.  bytes_max: of all engines in it;
 * 0: no limit.  Drafts that nobody works on any more are removed.
 * E_IO; E_DENIED: everybody may write into it, so anybody could put an engine there. */
DYNO_NODISCARD enum dyno_status dyno_engine_cache_open(const char *folder, uint64_t bytes_max,
                                                       struct dyno_engine_cache **cache_out,
                                                       struct dyno_err *err);
/* Its path, without links. */
const char *dyno_engine_cache_folder(const struct dyno_engine_cache *cache);
/* Nobody holds an engine or a draft.  Accepts NULL. */
void dyno_engine_cache_close(struct dyno_engine_cache *cache);

/* What is used when no folder is named: $CACHE_DIRECTORY (of a service manager),
 * $XDG_CACHE_HOME/dyno or $HOME/.cache/dyno, and in it engines; into path_out.  False: none of
 * these is known, or it is longer than that. */
bool dyno_engine_cache_default(char *path_out, size_t bytes);

/* --- an engine that is there --- */

struct dyno_engine_hold {
    char *path; /* NULL: nothing is held */
    int fd;
};
/* E_NOT_FOUND: there is none.  Being held counts as use, now. */
DYNO_NODISCARD enum dyno_status dyno_engine_cache_hold(struct dyno_engine_cache *cache,
                                                       const struct dyno_engine_key *key,
                                                       struct dyno_engine_hold *hold_out,
                                                       struct dyno_err *err);
void dyno_engine_hold_release(struct dyno_engine_hold *hold); /* accepts a zeroed one */
/* Take away one that is damaged, which its holders do not see. */
void dyno_engine_cache_remove(struct dyno_engine_cache *cache, const struct dyno_engine_key *key);

/* --- an engine that is being built --- */

struct dyno_engine_draft {
    struct dyno_engine_key key;
    char *path; /* what the builder shall write; NULL: none */
    int fd;     /* of the draft's folder, locked */
};
/* E_BUSY: somebody else builds it; E_IO. */
DYNO_NODISCARD enum dyno_status dyno_engine_cache_begin(struct dyno_engine_cache *cache,
                                                        const struct dyno_engine_key *key,
                                                        struct dyno_engine_draft *draft_out,
                                                        struct dyno_err *err);
/* Put what was built in its place, held; then the engines that were used least recently go until
 * the rest is within the limit.  The draft is over, also on failure. */
DYNO_NODISCARD enum dyno_status dyno_engine_cache_commit(struct dyno_engine_cache *cache,
                                                         struct dyno_engine_draft *draft,
                                                         struct dyno_engine_hold *hold_out,
                                                         struct dyno_err *err);
void dyno_engine_cache_abort(struct dyno_engine_cache *cache, struct dyno_engine_draft *draft);

#endif /* DYNO_SERVE_MODEL_ENGINE_CACHE_H */
