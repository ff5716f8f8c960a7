#include "chain/template.h"

#include "chain/attribute.h"
#include "chain/state.h"

#include <arpa/inet.h>
#include <string.h>

enum { PARTS_MAX = 64, RENDERED_MAX = 64 * 1024 };

enum part_kind { PART_TEXT, PART_ATTRIBUTE, PART_REQUEST_FIELD, PART_RESPONSE_FIELD };

struct part {
    enum part_kind kind;
    struct sluice_span text; /* PART_TEXT; else the default */
    struct sluice_span name; /* of a field */
    uint32_t attribute;
    uint8_t v4_bits, v6_bits; /* cut an address to so many; 0: whole */
};

struct sluice_template {
    size_t n;
    struct part part[];
};

/* -- compiling ------------------------------------------------------------------- */

static bool take_bits(struct sluice_span *name, struct part *part)
{
    size_t slash = span_find(*name, '/');
    struct sluice_span bits, second;
    uint64_t v4 = 0, v6 = 0;

    if (slash == name->len)
        return true;
    bits = span_make(name->ptr + slash + 1, name->len - slash - 1);
    name->len = slash;
    slash = span_find(bits, '/');
    second = bits;
    if (slash < bits.len)
        second = span_make(bits.ptr + slash + 1, bits.len - slash - 1);
    bits.len = slash;
    if (span_number(second, 128, &v6) || v6 == 0 || span_number(bits, 128, &v4) || v4 == 0)
        return false;
    /* One number is for IPv6: an IPv4 address is one client then. */
    part->v4_bits = (uint8_t)(second.ptr == bits.ptr ? 32 : v4);
    part->v6_bits = (uint8_t)v6;
    return part->v4_bits <= 32;
}

static bool take_default(struct sluice_span *name, struct part *part)
{
    size_t colon = span_find(*name, ':');

    if (colon == name->len)
        return true;
    if (colon + 1 >= name->len || name->ptr[colon + 1] != '-')
        return false;
    part->text = span_make(name->ptr + colon + 2, name->len - colon - 2);
    name->len = colon;
    return true;
}

static bool compile_name(struct sluice_span name, struct attributes *attributes, struct part *part)
{
    static const struct {
        struct sluice_span prefix;
        enum part_kind kind;
    } fields[] = {{SLUICE_SPAN_INIT("request.field."), PART_REQUEST_FIELD},
                  {SLUICE_SPAN_INIT("response.field."), PART_RESPONSE_FIELD}};

    if (!take_default(&name, part) || !take_bits(&name, part))
        return false;
    for (size_t i = 0; i < 2; i++) {
        if (!span_starts(name, fields[i].prefix))
            continue;
        part->kind = fields[i].kind;
        part->name = span_make(name.ptr + fields[i].prefix.len, name.len - fields[i].prefix.len);
        return part->name.len > 0;
    }
    part->kind = PART_ATTRIBUTE;
    part->attribute = attributes ? attribute_number(attributes, name) : 1;
    return part->attribute != CHAIN_NO_ATTRIBUTE;
}

/* Position of the next "${" at or after at, or the end. */
static size_t find_start(struct sluice_span text, size_t at)
{
    while (at + 1 < text.len && !(text.ptr[at] == '$' && text.ptr[at + 1] == '{'))
        at++;
    return at + 1 < text.len ? at : text.len;
}

/* Cut the next part off *rest; false and why when it is malformed. */
static bool compile_part(struct sluice_span *rest, struct attributes *attributes, struct part *part,
                         struct text *why)
{
    size_t start = find_start(*rest, 0), end;
    struct sluice_span name;

    *part = (struct part){.kind = PART_TEXT};
    if (start > 0) {
        bool is_plain = start < rest->len && rest->ptr[start - 1] == '$';

        /* Of "$${" the first dollar stays, and the brace is text. */
        part->text = span_make(rest->ptr, start);
        start += is_plain;
        *rest = span_make(rest->ptr + start, rest->len - start);
        return true;
    }
    name = span_make(rest->ptr + 2, rest->len - 2);
    end = span_find(name, '}');
    if (end == name.len) {
        text_add(why, SPAN("'${' without '}'"));
        return false;
    }
    name.len = end;
    *rest = span_make(rest->ptr + end + 3, rest->len - end - 3);
    if (compile_name(name, attributes, part))
        return true;
    text_format(why, "'${%.*s}' names no attribute", (int)(name.len > 60 ? 60 : name.len),
                name.ptr);
    return false;
}

const struct sluice_template *template_new(struct sluice_span text, struct attributes *attributes,
                                           struct arena *arena, struct text *why)
{
    struct sluice_template *template;
    struct part parts[PARTS_MAX];
    struct sluice_span rest = arena_copy(arena, text);
    size_t n = 0;

    while (rest.len > 0) {
        if (n == PARTS_MAX) {
            text_add(why, SPAN("too many ${...} in one text"));
            return NULL;
        }
        if (!compile_part(&rest, attributes, &parts[n++], why))
            return NULL;
    }
    template = arena_new(arena, sizeof(*template) + n * sizeof(struct part));
    template->n = n;
    if (n > 0)
        memcpy(template->part, parts, n * sizeof(struct part));
    return template;
}

/* -- rendering -------------------------------------------------------------------- */

static void clear_bits(unsigned char *bytes, unsigned n_bytes, unsigned keep)
{
    for (unsigned i = 0; i < n_bytes; i++) {
        unsigned before = i * 8;

        if (before >= keep) {
            bytes[i] = 0;
        } else if (keep - before < 8) {
            bytes[i] &= (unsigned char)(0xff << (8 - (keep - before)));
        }
    }
}

/* The address of the network that text is in; text itself when it is no address. */
static struct sluice_span cut_address(struct sluice_span text, const struct part *part,
                                      char out[INET6_ADDRSTRLEN])
{
    unsigned char bytes[16];
    bool is_v6 = span_find(text, ':') < text.len;

    if (text.len >= INET6_ADDRSTRLEN)
        return text;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, out, bytes) != 1)
        return text;
    clear_bits(bytes, is_v6 ? 16 : 4, is_v6 ? part->v6_bits : part->v4_bits);
    inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes, out, INET6_ADDRSTRLEN);
    return span_of(out);
}

static struct sluice_span value_of(const struct part *part, struct sluice_exchange *ex)
{
    struct sluice_span value = {NULL, 0};

    switch (part->kind) {
    case PART_TEXT:
        return part->text;
    case PART_ATTRIBUTE:
        (void)run_attribute(ex, part->attribute, &value);
        break;
    case PART_REQUEST_FIELD:
        value = run_field(ex, SLUICE_REQUEST, part->name);
        break;
    case PART_RESPONSE_FIELD:
        value = run_field(ex, SLUICE_RESPONSE, part->name);
        break;
    }
    return value.len > 0 ? value : part->text;
}

struct sluice_span template_render(const struct sluice_template *template,
                                   struct sluice_exchange *ex)
{
    char bytes[512], address[INET6_ADDRSTRLEN];
    struct sluice_span result;
    struct text text;

    text_init_fixed(&text, bytes, sizeof(bytes));
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < template->n; i++) {
            struct sluice_span value = value_of(&template->part[i], ex);

            if (template->part[i].v6_bits > 0 && value.len > 0)
                value = cut_address(value, &template->part[i], address);
            text_add(&text, value);
        }
        if (!text.cut || turn > 0)
            break;
        text_init(&text, RENDERED_MAX); /* rare: it is long */
    }
    result = run_copy(ex, text.cut ? (struct sluice_span){NULL, 0} : text_span(&text));
    if (!text.fixed)
        text_fini(&text);
    return result;
}
