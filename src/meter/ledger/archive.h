/* archive.h - a closed file of a ledger, compressed, that is read and verified as it was.
 *
 * docs/ledger-format.md has the bytes, which are hostile until they are read. dyno_ledger_file_open
 * opens an archive as it does the file that it was made of.
 */
#ifndef DYNO_METER_LEDGER_ARCHIVE_H
#define DYNO_METER_LEDGER_ARCHIVE_H

#include "meter/ledger/reader.h"

#define DYNO_ARCHIVE_SUFFIX     ".archive"
#define DYNO_ARCHIVE_MAGIC      0x31415944U /* "DYA1" */
#define DYNO_ARCHIVE_END_MAGIC  0x45415944U /* "DYAE" */
#define DYNO_ARCHIVE_FORMAT     1U
#define DYNO_ARCHIVE_HEAD_BYTES 8U
#define DYNO_ARCHIVE_ROW_BYTES  32U
#define DYNO_ARCHIVE_END_BYTES  72U
#define DYNO_ARCHIVE_BLOCK_BYTES                                     \
    (UINT32_C(1) << 20) /* a block ends when it has so many, or more \
                         */
#define DYNO_ARCHIVE_BLOCK_MAX  (UINT32_C(4) << 20)
#define DYNO_ARCHIVE_HEADS_MAX  (UINT32_C(1) << 30)
#define DYNO_ARCHIVE_BLOCKS_MAX (UINT32_C(1) << 24)

/* Is it one, by its first bytes?  What is called a ledger's file is none, and is not opened. */
bool dyno_archive_is(const char *path);

/* E_NOT_FOUND, E_FORMAT, E_CORRUPT, E_UNSUPPORTED (also: no libz), E_IO, E_NOMEM. */
enum dyno_status dyno_archive_open(const char *path, struct dyno_ledger_file **file_out,
                                   struct dyno_err *err);

struct dyno_archive_report {
    uint64_t file_bytes, archive_bytes;
    uint64_t group_count, record_count;
    bool was_there; /* the archive, from an earlier go */
};

/* Make TO/NNNNNNNN.archive of a closed file of a ledger: written aside, synced, renamed; read
 * again, hashed again, compared byte by byte; and only then is the file removed.  Whatever stops it
 * leaves the file, the archive, or both, and each alone is whole; asked again, it goes on.  The
 * caller knows that the file is not the last one of its ledger, which is written.  E_BUSY: it keeps
 * a log; E_CORRUPT: it is not what was written, and stays as it is. */
enum dyno_status dyno_archive_make(const char *path, const char *to,
                                   struct dyno_archive_report *report_out, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_ARCHIVE_H */
