#include "server/command.h"

int command_reload(const struct args *args)
{
    (void)args;
    return command_fail(EXIT_FAILED, "not yet");
}
