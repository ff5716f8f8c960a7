#include "upstream/conf_proxying.h"

#include <stddef.h>

static const struct choice version_choices[] = {
    {"off", PROXYING_NONE, "No header."},
    {"v1", PROXYING_V1, "One line of text, addresses alone."},
    {"v2", PROXYING_V2, "Binary; may say more than addresses."},
    {NULL, 0, NULL},
};

static const struct shape version_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = version_choices};

static const struct choice tlv_choices[] = {
    {"alpn", PROXYING_ALPN, "What the client and we agreed to speak."},
    {"authority", PROXYING_AUTHORITY, "The server name that the client asked for (SNI)."},
    {"ssl", PROXYING_SSL,
     "Version and cipher of the client's TLS, and whether it showed a good "
     "certificate."},
    {"unique_id", PROXYING_UNIQUE_ID, "The number that the access log calls connection."},
    {"crc32c", PROXYING_CRC32C, "A checksum of the header."},
    {NULL, 0, NULL},
};

static const struct shape tlv_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = tlv_choices};

static const struct shape tlvs_shape = {.kind = SHAPE_LIST,
                                        .size = sizeof(struct items),
                                        .element = &tlv_shape,
                                        .what = "a list of what is to be said"};

static void proxying_check(struct bind *bind, const struct tree *node, void *out)
{
    const struct proxying_conf *conf = out;

    if (node && conf->version != PROXYING_V2 && conf->tlvs.n > 0) {
        notes_error(bind->notes, node->at, "write version: v2, or leave tlvs out",
                    "proxy_protocol.tlvs: only version 2 has room for them");
    }
}

static const struct field proxying_fields[] = {
    {.name = "version",
     .shape = &version_shape,
     .offset = offsetof(struct proxying_conf, version),
     .preset = "off",
     .example = "v2",
     .help = "The form of the header."},
    {.name = "tlvs",
     .shape = &tlvs_shape,
     .offset = offsetof(struct proxying_conf, tlvs),
     .preset = "[]",
     .help = "Version v2: what is said beside the addresses, as far as it is known.",
     .example = "[ authority, ssl, crc32c ]"},
    {0},
};

const struct shape proxying_shape = {.kind = SHAPE_STRUCT,
                                     .size = sizeof(struct proxying_conf),
                                     .fields = proxying_fields,
                                     .scalar = "version",
                                     .check = proxying_check,
                                     .title = "upstream proxy protocol"};

bool proxying_has(const struct proxying_conf *conf, enum proxying_tlv tlv)
{
    const int *wanted = conf->tlvs.first;

    for (size_t i = 0; i < conf->tlvs.n; i++) {
        if (wanted[i] == (int)tlv)
            return true;
    }
    return false;
}

struct sluice_span proxying_local(enum proxying_version version)
{
    switch (version) {
    case PROXYING_V1:
        return SPAN("PROXY UNKNOWN\r\n");
    case PROXYING_V2:
        return SPAN("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    case PROXYING_NONE:
        break;
    }
    return SPAN("");
}
