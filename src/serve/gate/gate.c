/* gate.c - the judgement. */
#include "serve/gate/gate.h"

#include "base/mem.h"

struct dyno_guest {
    uint64_t id; /* of the tenant; 0: nobody was asked */
};

struct dyno_gate {
    struct dyno_guest anybody;
};

enum dyno_status dyno_gate_create(struct dyno_gate **gate_out, struct dyno_err *err)
{
    *gate_out = dyno_alloc(1, sizeof(**gate_out));
    return *gate_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

void dyno_gate_destroy(struct dyno_gate *gate)
{
    dyno_free(gate);
}

enum dyno_status dyno_gate_admit(struct dyno_gate *gate, const struct dyno_credentials *credentials,
                                 enum dyno_right right, struct dyno_guest **guest_out,
                                 struct dyno_err *err)
{
    (void)credentials;
    (void)right;
    (void)err;
    *guest_out = &gate->anybody;
    return DYNO_OK;
}

void dyno_guest_unref(struct dyno_guest *guest)
{
    (void)guest; /* there is only anybody, who is the gate's */
}
