/*
 * report.h - what plugins say of themselves, worker by worker, and commands for them: a question
 * for every worker (inquiry.h).
 *
 * Threads: the control thread's.
 */
#ifndef PROXY_REPORT_H
#define PROXY_REPORT_H

#include "base/span.h"
#include "proxy/inquiry.h"

struct snapshot;

enum {
    REPORT_MAX = 64 * 1024, /* bytes that a place may say on one worker */
    REPORT_ALL = -1,
};

/*
 * Ask a place of the newest published snapshot (shared), by its index in the set, or REPORT_ALL.
 * There must be plugins in it. command: copied; ptr NULL: let it report. Not with REPORT_ALL.
 */
struct question report_ask(struct snapshot *snapshot, int place, struct sluice_span command);

/* -- inside done of its inquiry -------------------------------------------------------- */

const struct snapshot *report_snapshot(const struct inquiry *inquiry);

/* REPORT_ALL, or the one place that was asked. */
int report_place(const struct inquiry *inquiry);

/* What a place said there: empty when nothing; *cut when it said more than is kept. */
struct sluice_span report_of(const struct inquiry *inquiry, unsigned worker, unsigned place,
                             bool *cut);

#endif /* PROXY_REPORT_H */
