/* view.c - single records for whoever asks in SQL (docs/fleet.md, "Records in SQL").
 *
 * Groups are kept as they were committed.  These functions and views take them apart where they
 * lie, by the offsets of docs/ledger-format.md; they check nothing.  A kind, an outcome, a flag or
 * a name more wants a change more in fleet.c that makes them anew.
 */
#include "meter/account/record.h"
#include "meter/fleet/internal.h"

#define ROW(sym, value, text)  " WHEN " #value " THEN '" text "'"
#define FLAG(sym, value, text) ", CASE WHEN (flags & " #value ") <> 0 THEN '" text "' END"

/* Of one name kind: its texts of a file by their numbers, which have no gaps; and that of a record.
 */
#define NAME_LIST(sym, value, text, field) \
    ", array_agg(n.name ORDER BY n.id) FILTER (WHERE n.kind = " #value ") AS n" #value
#define NAME_OF(sym, value, text, field) \
    ", coalesce(d.n" #value "[dyno_ledger.u32(p.r, 20 + 4 * " #value ")], '') AS \"" text "\""

const char dyno_fleet_functions_sql[] =
    "CREATE FUNCTION dyno_ledger.u32(bytes bytea, at integer) RETURNS bigint"
    " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$"
    " SELECT get_byte(bytes, at)::bigint + get_byte(bytes, at + 1)::bigint * 256"
    " + get_byte(bytes, at + 2)::bigint * 65536 + get_byte(bytes, at + 3)::bigint * 16777216 $$;"
    "CREATE FUNCTION dyno_ledger.u64(bytes bytea, at integer) RETURNS numeric"
    " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$"
    " SELECT dyno_ledger.u32(bytes, at) + dyno_ledger.u32(bytes, at + 4) * 4294967296::numeric $$;"
    /* Of a group some records are expected, and not a thousand; what is strict is not inlined. */
    "CREATE FUNCTION dyno_ledger.indices(count bigint) RETURNS SETOF integer"
    " LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 20 COST 1 AS $$"
    " SELECT generate_series(0, count::integer - 1) $$;"
    /* Names of a group follow its seed; each tells its length. */
    "CREATE FUNCTION dyno_ledger.names(items bytea, name_count bigint)"
    " RETURNS TABLE (kind integer, id bigint, name text)"
    " LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 AS $$"
    " WITH RECURSIVE entry(n, at) AS (SELECT 1::bigint, 32 WHERE name_count > 0"
    " UNION ALL SELECT n + 1, at + 8 + get_byte(items, at + 6) + 256 * get_byte(items, at + 7)"
    " FROM entry WHERE n < name_count)"
    " SELECT get_byte(items, at + 4) + 256 * get_byte(items, at + 5), dyno_ledger.u32(items, at),"
    " convert_from(substring(items FROM at + 9 FOR get_byte(items, at + 6)"
    " + 256 * get_byte(items, at + 7)), 'UTF8') FROM entry $$;"
    /* Records follow the names; a subquery with an offset is worked out once a row. */
    "CREATE VIEW dyno_ledger.packed_record AS SELECT g.node, dyno_ledger.u32(g.header, 16) AS file,"
    " g.number, dyno_ledger.u32(g.header, 12) AS epoch,"
    " (dyno_ledger.u64(g.header, 32) + i)::bigint AS seq, g.node || '-' ||"
    " dyno_ledger.u32(g.header, 12) || '-' || (dyno_ledger.u64(g.header, 32) + i) AS id, raw.r FROM dyno_ledger.record_group g"
    " CROSS JOIN LATERAL dyno_ledger.indices(dyno_ledger.u32(g.header, 20)) i"
    " CROSS JOIN LATERAL (SELECT substring(g.items"
    " FROM 33 + dyno_ledger.u32(g.header, 60)::integer + 128 * i FOR 128) AS r OFFSET 0) raw;";

const char dyno_fleet_views_sql[] =
    "CREATE VIEW dyno_ledger.record AS WITH dictionary AS MATERIALIZED ("
    "SELECT g.node, dyno_ledger.u32(g.header, 16) AS file" DYNO_NAME_KIND_MAP(
        NAME_LIST) " FROM dyno_ledger.record_group g"
                   " CROSS JOIN LATERAL dyno_ledger.names(g.items, dyno_ledger.u32(g.header, 56)) n"
                   " WHERE dyno_ledger.u32(g.header, 56) > 0 GROUP BY 1, 2), voided AS MATERIALIZED ("
                   "SELECT DISTINCT node || '-' || dyno_ledger.u32(r, 120) || '-' || dyno_ledger.u64(r, 64) AS id"
                   " FROM dyno_ledger.packed_record WHERE get_byte(r, 2) = 2)"
                   " SELECT p.id, p.node, p.epoch, p.seq,"
                   " p.number AS group_number, CASE get_byte(p.r, 2)" DYNO_RECORD_KIND_MAP(
                       ROW) " END AS kind,"
                            " CASE WHEN v.id IS NOT NULL THEN 'voided'"
                            " WHEN get_byte(p.r, 2) = 1 AND p.seq > coalesce(w.sent_seq, 0) THEN 'unconfirmed'"
                            " ELSE 'sent' END AS state, CASE get_byte(p.r, 3)" DYNO_OUTCOME_MAP(
                                ROW) " END AS outcome,"
                                     " (SELECT concat_ws(','" DYNO_RECORD_FLAG_MAP(
                                         FLAG) ")"
                                               " FROM (SELECT dyno_ledger.u32(p.r, 4) AS flags) f) AS flags" DYNO_NAME_KIND_MAP(
                                                   NAME_OF) ", dyno_ledger.u32(p.r, 60) AS items,"
                                                            " CASE WHEN get_byte(p.r, 2) = 2 THEN 0 ELSE dyno_ledger.u64(p.r, 64) END AS batch_id,"
                                                            " CASE WHEN get_byte(p.r, 2) = 2 THEN 0 ELSE dyno_ledger.u32(p.r, 120) END AS batch_size,"
                                                            " timestamptz 'epoch' + floor(dyno_ledger.u64(p.r, 72) / 1000)::double precision"
                                                            " * interval '1 microsecond' AS time, dyno_ledger.u64(p.r, 72) AS start_ns,"
                                                            " dyno_ledger.u64(p.r, 80) AS queue_ns, dyno_ledger.u64(p.r, 88) AS device_ns,"
                                                            " dyno_ledger.u64(p.r, 96) AS reference_ns, dyno_ledger.u64(p.r, 104)"
                                                            " + dyno_ledger.u64(p.r, 112) * 18446744073709551616::numeric AS memory_byte_ns,"
                                                            " CASE WHEN get_byte(p.r, 2) = 2 THEN p.node || '-' || dyno_ledger.u32(p.r, 120) || '-'"
                                                            " || dyno_ledger.u64(p.r, 64) ELSE '' END AS voids FROM dyno_ledger.packed_record p"
                                                            " LEFT JOIN dyno_ledger.watermark w ON w.node = p.node AND w.epoch = p.epoch"
                                                            " LEFT JOIN voided v ON v.id = p.id"
                                                            " LEFT JOIN dictionary d ON d.node = p.node AND d.file = p.file;";
