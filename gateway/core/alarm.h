/*
 * alarm.h - deadlines on a wheel, embedded in their owner, nearly free to move later.
 *
 * Arming an alarm for a later moment than before only writes the new deadline:
 * the wheel looks when the old moment comes and puts it where it then belongs.
 * So a deadline that every byte pushes on costs two stores.
 *
 * Threads: the loop's. Precision: ALARM_TICK_MS, never early.
 */
#ifndef CORE_ALARM_H
#define CORE_ALARM_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct alarm;
struct loop;
struct wheel;

enum { ALARM_TICK_MS = 8 };

/*
 * Called once per arming, by the loop. The alarm is then disarmed and may be armed again or
 * freed.
 */
typedef void alarm_fn(struct alarm *alarm);

struct alarm {
    struct list link;  /* the wheel's */
    uint32_t due;      /* tick of the slot it is in */
    uint32_t deadline; /* tick it is meant for; never before due */
    alarm_fn *ring;
};

void alarm_init(struct alarm *alarm, alarm_fn *ring);

/*
 * Ring after ms milliseconds (at least one tick, at most 190 days). Armed again, the last
 * call counts.
 */
void alarm_arm(struct loop *loop, struct alarm *alarm, uint64_t ms);

/* Safe when not armed. */
void alarm_disarm(struct alarm *alarm);

bool alarm_is_armed(const struct alarm *alarm);

/* -- for the loop ------------------------------------------------------ */

struct wheel *wheel_new(struct loop *loop);
void wheel_free(struct wheel **wheel);

#endif /* CORE_ALARM_H */
