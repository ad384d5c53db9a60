/* heads.c - lines of heads: written, read, checked against the one before. */
#include "meter/ledger/heads.h"

#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "meter/ledger/export.h"

/* --- written --- */

static void put_hex(struct dyno_json_writer *json, const char *key, const void *data, size_t bytes)
{
    struct dyno_strbuf hex = {0};
    dyno_hex_print(data, bytes, &hex);
    dyno_json_put_str(json, key, dyno_strbuf_text(&hex));
    json->out->failed = json->out->failed || !dyno_strbuf_ok(&hex);
    dyno_strbuf_fini(&hex);
}

void dyno_head_json(const struct dyno_head *head, struct dyno_json_writer *json)
{
    char time[DYNO_NS_TEXT_ROOM];
    dyno_json_put_u64(json, "node", head->node);
    dyno_json_put_u64(json, "groups", head->group_count);
    dyno_json_put_u64(json, "epoch", head->epoch);
    dyno_json_put_u64(json, "seq", head->seq);
    dyno_json_put_str(json, "time", dyno_ns_text(head->time_ns, time));
    put_hex(json, "root", head->root.bytes, DYNO_DIGEST_BYTES);
    put_hex(json, "chain", head->chain.bytes, DYNO_DIGEST_BYTES);
    if (head->is_signed)
        put_hex(json, "key", head->key, DYNO_KEY_BYTES);
    dyno_json_put_bool(json, "signed", head->is_signed);
    if (head->is_last) {
        dyno_json_put_bool(json, "last", true);
    }
}

void dyno_head_line_print(const struct dyno_head *head, const uint8_t *bytes, const uint8_t *proof,
                          size_t proof_bytes, struct dyno_strbuf *out)
{
    struct dyno_json_writer json = {.out = out};
    dyno_json_object_begin(&json);
    dyno_head_json(head, &json);
    put_hex(&json, "head", bytes, DYNO_HEAD_BYTES);
    put_hex(&json, "proof", proof, proof_bytes);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(out, "\n");
}

/* --- read --- */

static enum dyno_status take_hex(const struct dyno_json_token *token, const char *what, size_t max,
                                 uint8_t *out, size_t *bytes_out, struct dyno_err *err)
{
    if (token->kind != DYNO_JSON_TOKEN_STRING || token->raw.bytes > 2 * max ||
        !dyno_hex_parse(token->raw.text, token->raw.bytes, out))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "its \"%s\" is no text of at most %zu hexadecimal digits", what, 2 * max);
    *bytes_out = token->raw.bytes / 2;
    return DYNO_OK;
}

enum dyno_status dyno_head_line_parse(const char *text, size_t bytes,
                                      struct dyno_head_line *line_out, struct dyno_err *err)
{
    struct dyno_json_reader reader;
    struct dyno_json_token token;
    size_t head_bytes = 0;
    *line_out = (struct dyno_head_line){0};
    if (bytes > DYNO_HEAD_LINE_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it has more than %u bytes", DYNO_HEAD_LINE_BYTES_MAX);
    dyno_json_reader_init(&reader, text, bytes);
    DYNO_TRY(dyno_json_read(&reader, &token, err));
    if (token.kind != DYNO_JSON_TOKEN_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no JSON object with a \"head\"");
    for (;;) {
        DYNO_TRY(dyno_json_read(&reader, &token, err));
        if (token.kind == DYNO_JSON_TOKEN_CLOSE)
            break;
        if (token.kind == DYNO_JSON_TOKEN_OBJECT || token.kind == DYNO_JSON_TOKEN_ARRAY)
            DYNO_TRY(dyno_json_skip(&reader, err));
        else if (dyno_json_raw_is(&token.key, "head"))
            DYNO_TRY(take_hex(&token, "head", DYNO_HEAD_BYTES, line_out->bytes, &head_bytes, err));
        else if (dyno_json_raw_is(&token.key, "proof"))
            DYNO_TRY(take_hex(&token, "proof", DYNO_HEAD_PROOF_MAX, line_out->proof,
                              &line_out->proof_bytes, err));
    }
    DYNO_TRY(dyno_json_read(&reader, &token, err));
    return dyno_head_decode(line_out->bytes, head_bytes, &line_out->head, err);
}

/* --- one after another --- */

static enum dyno_status check_signature(const struct dyno_head_chain *chain,
                                        const struct dyno_head_line *line, struct dyno_err *err)
{
    DYNO_TRY(dyno_head_check(line->bytes, err));
    if (chain->key != NULL &&
        (!line->head.is_signed || memcmp(line->head.key, chain->key, DYNO_KEY_BYTES) != 0))
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "it is not signed with the key that was given");
    return DYNO_OK;
}

static enum dyno_status check_order(const struct dyno_head *last, const struct dyno_head *head,
                                    struct dyno_err *err)
{
    if (head->node != last->node)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "it is of node %" PRIu32 ", and the one before of node %" PRIu32,
                         head->node, last->node);
    if (last->is_last)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "the one before is the last of a ledger that was retired after %" PRIu64
                         " groups, and this one goes on from it",
                         last->group_count);
    if (head->group_count == last->group_count && !dyno_digest_equal(&head->root, &last->root))
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "there are two heads over %" PRIu64
                         " groups with two roots: one of the two ledgers is not the one",
                         head->group_count);
    if (head->group_count < last->group_count || head->time_ns < last->time_ns ||
        head->epoch < last->epoch)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "it is over %" PRIu64 " groups, and the one before over %" PRIu64
                         ": heads stand in the order of their time",
                         head->group_count, last->group_count);
    return DYNO_OK;
}

/* The proof leads to the head, and from the one before when that one is at hand. */
static enum dyno_status check_proof(struct dyno_head_chain *chain,
                                    const struct dyno_head_line *line, struct dyno_err *err)
{
    struct dyno_frontier before;
    struct dyno_frontier after;
    struct dyno_digest root;
    if (line->proof_bytes == 0) { /* who keeps heads alone has none */
        chain->gaps += chain->has_last;
        return DYNO_OK;
    }
    DYNO_TRY(dyno_head_proof_decode(line->proof, line->proof_bytes, line->head.group_count, &before,
                                    &after, err));
    dyno_frontier_root(&after, &root);
    if (!dyno_digest_equal(&root, &line->head.root))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "its proof leads to another tree");
    if (!chain->has_last)
        return DYNO_OK;
    if (before.count != chain->last.group_count) {
        chain->gaps++;
        return DYNO_OK;
    }
    dyno_frontier_root(&before, &root);
    return dyno_digest_equal(&root, &chain->last.root)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_MISMATCH,
                           "it does not go on from the head before: what lies under that one was "
                           "changed since");
}

enum dyno_status dyno_head_chain_add(struct dyno_head_chain *chain,
                                     const struct dyno_head_line *line, struct dyno_err *err)
{
    DYNO_TRY(check_signature(chain, line, err));
    if (chain->has_last)
        DYNO_TRY(check_order(&chain->last, &line->head, err));
    if (!chain->has_last || line->head.group_count != chain->last.group_count)
        DYNO_TRY(check_proof(chain, line, err));
    chain->has_last = true;
    chain->last = line->head;
    chain->count++;
    chain->signed_count += line->head.is_signed;
    return DYNO_OK;
}
