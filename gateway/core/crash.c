/*
 * crash.c - a signal handler that may run anywhere: it writes, and gives the signal back.
 */
#include "core/crash.h"

#include "base/alloc.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { N_SIGNALS = 5, STACK_BYTES = 64 * 1024 };

static const int numbers[N_SIGNALS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/* A handler has no argument of ours: what it needs has to be found without one. */
static _Thread_local const struct crash_words *here;
static struct sigaction before[N_SIGNALS]; /* written once, before there are threads */

static void say(const char *text)
{
    if (text && write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static const char *name_of(int number)
{
    static const char *const names[N_SIGNALS] = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL",
                                                 "SIGABRT"};

    for (unsigned i = 0; i < N_SIGNALS; i++) {
        if (numbers[i] == number)
            return names[i];
    }
    return "a signal";
}

static void on_crash(int number)
{
    const struct crash_words *words = here;

    if (words) {
        say("sluice: ");
        say(name_of(number));
        say(" in ");
        say(words->what);
        say(" ");
        say(words->name);
        say(", phase ");
        say(words->phase);
        say(", content ");
        say(words->id);
        say(", at ");
        say(words->place);
        say("\n");
    }
    for (unsigned i = 0; i < N_SIGNALS; i++) {
        if (numbers[i] == number)
            sigaction(number, &before[i], NULL);
    }
    raise(number); /* blocked until we return; then it does what it would have done */
}

void crash_install(void)
{
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < N_SIGNALS; i++)
        sigaction(numbers[i], &action, &before[i]);
}

void *crash_stack_new(void)
{
    stack_t stack = {0}, old;

    /* A sanitizer brings its own, and takes it back itself. */
    if (sigaltstack(NULL, &old) < 0 || !(old.ss_flags & SS_DISABLE))
        return NULL;
    stack.ss_sp = alloc_try(STACK_BYTES);
    stack.ss_size = STACK_BYTES;
    if (stack.ss_sp && sigaltstack(&stack, NULL) < 0) {
        alloc_free(stack.ss_sp);
        stack.ss_sp = NULL;
    }
    return stack.ss_sp;
}

void crash_stack_free(void **stack)
{
    const stack_t none = {.ss_flags = SS_DISABLE};

    if (*stack)
        (void)sigaltstack(&none, NULL);
    alloc_free(*stack);
    *stack = NULL;
}

const struct crash_words *crash_say(const struct crash_words *words)
{
    const struct crash_words *old = here;

    here = words;
    return old;
}
