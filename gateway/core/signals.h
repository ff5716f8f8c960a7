/*
 * signals.h - signals become callbacks of the control thread's loop.
 */
#ifndef CORE_SIGNALS_H
#define CORE_SIGNALS_H

struct loop;
struct signals;

typedef void signals_fn(void *arg, int number);

/* Ignore SIGPIPE for good, and call on_signal(arg, number) in loop for each of the n signals. */
struct signals *signals_new(struct loop *loop, const int *numbers, unsigned n,
                            signals_fn *on_signal, void *arg);
void signals_free(struct signals **signals);

#endif /* CORE_SIGNALS_H */
