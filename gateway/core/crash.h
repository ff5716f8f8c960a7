/*
 * crash.h - who was running when the process dies.
 *
 * A thread names what it is about to call, in words that stay where they are until it names
 * something else. When a signal ends the process, these words go to stderr first; then the
 * signal does what it would have done.
 */
#ifndef CORE_CRASH_H
#define CORE_CRASH_H

/* Static or longer-lived texts; NULL ends them early. */
struct crash_words {
    const char *what; /* "plugin" */
    const char *name, *phase, *id, *place;
};

/* Once, before there are threads: for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT. */
void crash_install(void);

/*
 * A stack of its own for the handler, so that it can tell of a stack that has run out. In the
 * thread itself, at its begin and end; NULL: it has one already, or there is no memory.
 */
void *crash_stack_new(void);
void crash_stack_free(void **stack);

/* This thread's words from now on, borrowed; NULL: none. Returns those before. */
const struct crash_words *crash_say(const struct crash_words *words);

#endif /* CORE_CRASH_H */
