/* reflection.h - gRPC's server reflection: what services and messages there are.
 *
 * The tables are made by the build out of src/serve/v2/proto.  Pure functions of bytes; any thread.
 */
#ifndef DYNO_SERVE_V2_REFLECTION_H
#define DYNO_SERVE_V2_REFLECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/strbuf.h"

#define DYNO_V2_REFLECT_BYTES_MAX 16384 /* of a request, which its answer repeats */

struct dyno_v2_proto_file {
    const char *name;
    const unsigned char *descriptor; /* google.protobuf.FileDescriptorProto */
    size_t descriptor_bytes;
    unsigned needs;             /* a bit for each file that this one imports, or those import */
    const char *const *symbols; /* full names of all that it declares, in order */
    size_t symbol_count;
};

extern const struct dyno_v2_proto_file dyno_v2_proto_files[];
extern const size_t dyno_v2_proto_file_count;
extern const char *const dyno_v2_proto_services[];
extern const size_t dyno_v2_proto_service_count;

/* Is it a service of this server, by its full name? */
bool dyno_v2_has_service(const char *name);

/* ServerReflectionRequest to ServerReflectionResponse, the same in v1 and v1alpha.  What there is
 * not is told in the response; E_FORMAT, E_LIMIT: the request is none. */
enum dyno_status dyno_v2_reflect(const void *body, size_t bytes, struct dyno_strbuf *out,
                                 struct dyno_err *err);

#endif /* DYNO_SERVE_V2_REFLECTION_H */
