/* shm.h - regions of POSIX shared memory that clients lend: tensors that do not cross the network.
 *
 * A region is a range of a shared memory object.  The object is the client's, who may shorten it,
 * or punch holes into it while memory is short, at any time; whoever then touches a map of it is
 * killed by SIGBUS.  So nothing is ever mapped here.  The object's descriptor is kept, and bytes
 * are copied by pread and pwrite, for which a page that is not there is a count or an error and
 * never a signal.  The copy is no loss: what a client can still write must not be what a run reads.
 *
 * Any thread.  A region that was found stays usable until it is let go, also when it was
 * unregistered meanwhile.  Error texts tell what the client said and nothing of this machine.
 */
#ifndef DYNO_SERVE_SHM_SHM_H
#define DYNO_SERVE_SHM_SHM_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

#define DYNO_SHM_REGIONS_MAX    1024
#define DYNO_SHM_BYTES_MAX      ((uint64_t)64 << 30) /* of all regions */
#define DYNO_SHM_NAME_BYTES_MAX 256

struct dyno_shm;
struct dyno_shm_region;

/* No regions yet.  A write that would break the limit of a file's size becomes an error: SIGXFSZ is
 * ignored from here on. */
enum dyno_status dyno_shm_create(struct dyno_shm **shm_out, struct dyno_err *err);
void dyno_shm_destroy(struct dyno_shm *shm); /* nobody holds a region; accepts NULL */

/* Bytes [offset, offset + bytes) of the object `key` get a name.  E_ARG: a name or key that breaks
 * the rules (a key is one component, with or without a slash before it), an object that cannot be
 * opened, a range that is not in it; E_EXISTS: the name is taken; E_LIMIT: too many or too much. */
enum dyno_status dyno_shm_register(struct dyno_shm *shm, const char *name, const char *key,
                                   uint64_t offset, uint64_t bytes, struct dyno_err *err);
/* A name that nothing has is no mistake; "" is every region. */
void dyno_shm_unregister(struct dyno_shm *shm, const char *name);

struct dyno_shm_row {
    const char *name, *key;
    uint64_t offset, bytes;
};
/* What is registered, by name, in `arena`; with a name that one, or E_NOT_FOUND. */
enum dyno_status dyno_shm_list(struct dyno_shm *shm, const char *name, struct dyno_arena *arena,
                               struct dyno_shm_row **rows_out, size_t *count_out,
                               struct dyno_err *err);

/* A region, referenced; E_NOT_FOUND. */
enum dyno_status dyno_shm_find(struct dyno_shm *shm, const char *name,
                               struct dyno_shm_region **region_out, struct dyno_err *err);
void dyno_shm_unref(struct dyno_shm_region *region);

/* Copy bytes from `offset` of the region on.  E_ARG: they are not in the region, or not in the
 * object any more.  An object is never made longer than the client made it, unless it is shortened
 * at that very moment; then its end is at most where it was at registration. */
enum dyno_status dyno_shm_read(const struct dyno_shm_region *region, uint64_t offset, void *to,
                               size_t bytes, struct dyno_err *err);
enum dyno_status dyno_shm_write(const struct dyno_shm_region *region, uint64_t offset,
                                const void *from, size_t bytes, struct dyno_err *err);
/* Is the range in the region?  E_ARG. */
enum dyno_status dyno_shm_check(const struct dyno_shm_region *region, uint64_t offset,
                                uint64_t bytes, struct dyno_err *err);

#endif /* DYNO_SERVE_SHM_SHM_H */
