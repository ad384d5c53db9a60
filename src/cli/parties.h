/* parties.h - who sells and who buys: names, addresses and tax numbers, as lines that stand on
 * invoices.  No price is made by them.
 *
 *   {"seller": ["Example Ltd", "1 High Street"], "customers": [{"tenant": "acme", "lines": [...]}]}
 *
 * A closing keeps those of its invoices in the same form, so that it needs no other file for them.
 */
#ifndef DYNO_CLI_PARTIES_H
#define DYNO_CLI_PARTIES_H

#include "cli/closing.h"

#define DYNO_PARTY_LINES_MAX 16

/* From a file; errors begin with its path.  They live in the arena. */
enum dyno_status dyno_parties_load(const char *path, struct dyno_arena *arena,
                                   struct dyno_parties *parties_out, struct dyno_err *err);
/* From the members "seller" and "customers" of an object, and one list of lines.  E_FORMAT. */
enum dyno_status dyno_parties_read(const struct dyno_json *object, struct dyno_arena *arena,
                                   struct dyno_parties *parties_out, struct dyno_err *err);
enum dyno_status dyno_party_read(const struct dyno_json *object, const char *key,
                                 struct dyno_arena *arena, struct dyno_party *party_out,
                                 struct dyno_err *err);
/* Without lines: of this tenant nothing is known. */
struct dyno_party dyno_parties_find(const struct dyno_parties *parties, const char *tenant);
/* Of them those that have an account: a closing tells of nobody else. */
enum dyno_status dyno_parties_of(const struct dyno_parties *parties,
                                 const struct dyno_statement *statement, struct dyno_arena *arena,
                                 struct dyno_parties *parties_out, struct dyno_err *err);
/* The same lines of the same, in order. */
bool dyno_parties_same(const struct dyno_parties *a, const struct dyno_parties *b);
/* The two members. */
void dyno_parties_json(const struct dyno_parties *parties, struct dyno_json_writer *json);

#endif /* DYNO_CLI_PARTIES_H */
