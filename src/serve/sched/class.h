/* class.h - service classes: what a request is promised, one row of policy each.
 *
 * The first class is the best one.  A caller may use the class of his key and every class after it;
 * a request may ask for any of those.  Immutable once the server runs; any thread.
 */
#ifndef DYNO_SERVE_SCHED_CLASS_H
#define DYNO_SERVE_SCHED_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_CLASSES_MAX          16
#define DYNO_CLASS_NAME_BYTES_MAX 31

struct dyno_class {
    char name[DYNO_CLASS_NAME_BYTES_MAX + 1];
    double accuracy;      /* a variant of less does not serve it; 0..1 */
    uint64_t deadline_ns; /* from the first byte of a request to its answer; 0: none */
    uint32_t weight;      /* share of device time against other classes that wait; 1..1000 */
    bool wants_accurate;  /* the most accurate variant; else the cheapest */
    bool may_degrade;     /* a less accurate one when that would be late */
};

struct dyno_classes {
    struct dyno_class rows[DYNO_CLASSES_MAX];
    int count;
    int fallback; /* of a request that asks for none, when its caller may use it */
};

/* realtime, standard, batch. */
void dyno_classes_init(struct dyno_classes *classes);

/* "NAME,deadline=200ms,weight=8,accuracy=0.99,prefer=accurate|cheap,degrade=yes|no": changes the
 * class of that name, or adds one after those that are there.  E_ARG names the part and the rule.
 */
enum dyno_status dyno_classes_set(struct dyno_classes *classes, const char *text,
                                  struct dyno_err *err);

/* -1: there is none of that name. */
int dyno_class_find(const struct dyno_classes *classes, const char *name);

/* What a request says of its class. */
struct dyno_class_wish {
    const char *sla;   /* a class by its name; NULL: not said */
    uint64_t priority; /* 1: the best its caller may use, 2: the next one, ...; 0: not said */
};

/* The class of a request whose caller may use class `best` and those after it.  E_ARG: no such
 * class; E_DENIED: a better one than its caller may use. */
enum dyno_status dyno_class_choose(const struct dyno_classes *classes, int best,
                                   const struct dyno_class_wish *wish, int *class_out,
                                   struct dyno_err *err);

#endif /* DYNO_SERVE_SCHED_CLASS_H */
