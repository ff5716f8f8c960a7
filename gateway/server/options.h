/*
 * options.h - the command line: commands, their options, help and completion, all from one table.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

/* Exit codes. */
enum {
    EXIT_FINE = 0,
    EXIT_FAILED = 1, /* at run time: an address in use, an admin listener that does not answer */
    EXIT_USAGE = 2,
    EXIT_REFUSED = 3, /* the configuration */
};

/* Do what argv says; returns the exit code of the process. */
int options_main(int argc, char **argv);

#endif /* SERVER_OPTIONS_H */
