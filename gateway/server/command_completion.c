#include "server/command.h"

int command_completion(const struct args *args)
{
    return command_fail(EXIT_FAILED, "no completion for %s yet", args->operand[0]);
}
