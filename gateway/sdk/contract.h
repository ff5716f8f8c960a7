/*
 * contract.h - holds a plugin to the contract by driving it with the fake host.
 */
#ifndef SDK_CONTRACT_H
#define SDK_CONTRACT_H

#include "sdk/inspect.h"

/*
 * Run all checks, each in a process of its own, so that a crash is one failure. Options are rows
 * "name=value"; required ones that are not given get their example. A line for each check goes to
 * out. Returns how many have failed.
 */
unsigned contract_check(const struct inspected *plugin, const char *const *rows, size_t n_rows,
                        struct text *out);

#endif /* SDK_CONTRACT_H */
