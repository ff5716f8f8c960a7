#include "server/command.h"

int command_explain(const struct args *args)
{
    (void)args;
    return command_fail(EXIT_FAILED, "not yet");
}
