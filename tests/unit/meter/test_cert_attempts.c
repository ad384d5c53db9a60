/* Attempts of a certificate that ended before their time; what disturbed a block. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "test.h"
#include "unit/meter/cert_case.h"

/* Leave processes from `first` on without blocks. */
static void end_attempt(struct dyno_cert *cert, uint32_t first)
{
    for (uint32_t i = 0; i < cert->point_count; i++) {
        struct dyno_cert_point *point = &cert->attempts[0].points[i];
        for (uint32_t p = first; p < cert->process_count; p++) {
            point->control.processes[p].count = 0;
            if (cert->kind == DYNO_CERT_ENGINE)
                point->speedup.processes[p].count = 0;
        }
    }
}

/* An attempt that one process cannot save any more has no further ones: it is kept, and refused. */
static void test_attempt_ended(void)
{
    struct cert_case c = cert_good;
    struct dyno_err err;
    c.slow_clocks = 1;
    struct dyno_cert *cert = cert_case_make(DYNO_CERT_ENGINE, &c, 1);
    end_attempt(cert, 2);
    CHECK_MSG(dyno_cert_derive(cert, &err) == DYNO_OK, "%s", err.text);
    CHECK(cert->outcome == DYNO_CERT_REFUSED && strcmp(cert->rule, "clock") == 0);
    CHECK_MSG(strstr(cert->reason, "process 1: 3 of 4 blocks") != NULL, "%s", cert->reason);
    dyno_cert_destroy(cert);
    /* Nobody ends one for another reason and has it accepted. */
    c.slow_clocks = 0;
    cert = cert_case_make(DYNO_CERT_REFERENCE, &c, 1);
    end_attempt(cert, 4);
    CHECK_MSG(dyno_cert_derive(cert, &err) == DYNO_OK, "%s", err.text);
    CHECK(cert->outcome == DYNO_CERT_REFUSED);
    CHECK_MSG(strstr(cert->reason, "ended after 4 of 5 processes") != NULL, "%s", cert->reason);
    /* Nor goes it on again, nor is it empty. */
    dyno_cert_points(cert)[0].control.processes[4].count = 4;
    dyno_cert_points(cert)[0].control.processes[3].count = 0;
    CHECK(dyno_cert_derive(cert, &err) == DYNO_E_FORMAT);
    end_attempt(cert, 0);
    CHECK(dyno_cert_derive(cert, &err) == DYNO_E_FORMAT);
    dyno_cert_destroy(cert);
}

static void test_disturbance(void)
{
    struct dyno_cert_block block;
    for (int i = 0; i < 4; i++)
        block.segments[i] = (struct dyno_cert_segment){
            .items = 2, .ns = 1000000000, .chain_ns = 100000, .steal_ns = 10000000};
    block.segments[1].chain_ns = 103000;
    struct dyno_cert_disturbance by = dyno_cert_block_disturbance(&block, false);
    CHECK(fabs(by.taken - 0.01) < 1e-12 && fabs(by.clock - 0.03) < 1e-12);
    /* On a GPU a side is held against itself. */
    block.segments[2].chain_ns = 103000;
    by = dyno_cert_block_disturbance(&block, true);
    CHECK(by.clock == 0.0 && dyno_cert_block_held(&block, true));
    CHECK(!dyno_cert_block_held(&block, false));
}

int main(void)
{
    test_attempt_ended();
    test_disturbance();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
