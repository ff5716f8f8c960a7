#include "chain/attribute.h"

enum { NAME_MAX_BYTES = 128 };

#define ROW(symbol, name) [CHAIN_##symbol] = (name),
static const char *const own[CHAIN_ATTRIBUTES_OWN] = {CHAIN_ATTRIBUTES(ROW)};
#undef ROW

/*
 * Names without a dot look like variables of the environment where ${NAME} is written in a file:
 * these mean the same and do not.
 */
static const struct {
    const char *name;
    enum chain_attribute attribute;
} others[] = {
    {"listener.name", CHAIN_LISTENER}, {"route.name", CHAIN_ROUTE},
    {"upstream.name", CHAIN_UPSTREAM}, {"endpoint.address", CHAIN_ENDPOINT},
    {"response.reason", CHAIN_REASON},
};

static bool is_name(struct sluice_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        char lower = (char)(c | 0x20);

        if ((lower < 'a' || lower > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' &&
            c != '.')
            return false;
    }
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

uint32_t attribute_find(const struct attributes *attributes, struct sluice_span name)
{
    for (uint32_t i = 1; i < CHAIN_ATTRIBUTES_OWN; i++) {
        if (span_equal(name, span_of(own[i])))
            return i;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (span_equal(name, span_of(others[i].name)))
            return others[i].attribute;
    }
    for (unsigned i = 0; i < attributes->n; i++) {
        if (span_equal(name, attributes->name[i]))
            return CHAIN_ATTRIBUTES_OWN + i;
    }
    return CHAIN_NO_ATTRIBUTE;
}

uint32_t attribute_number(struct attributes *attributes, struct sluice_span name)
{
    uint32_t number = attribute_find(attributes, name);
    struct sluice_span copy;

    if (number || !is_name(name) || attributes->n == ATTRIBUTES_MAX)
        return number;
    copy = arena_copy(attributes->arena, name);
    if (!copy.ptr)
        return CHAIN_NO_ATTRIBUTE;
    attributes->name[attributes->n] = copy;
    return CHAIN_ATTRIBUTES_OWN + attributes->n++;
}
