/*
 * document.c - looks at the nesting before the parser does: that one recurses.
 */
#include "document.h"

/* Brackets outside of strings; the parser finds what else is wrong. */
static bool is_shallow(struct sluice_span text)
{
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];

        if (in_string) {
            if (byte == '\\') {
                i++;
            } else if (byte == '"') {
                in_string = false;
            }
            continue;
        }
        if (byte == '"') {
            in_string = true;
        } else if ((byte == '{' || byte == '[') && ++depth > DOCUMENT_DEPTH) {
            return false;
        } else if ((byte == '}' || byte == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

json_t *document_parse(struct sluice_span text)
{
    json_t *document;

    if (text.len == 0 || !is_shallow(text))
        return NULL;
    document = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (document && !json_is_object(document)) {
        json_decref(document);
        return NULL;
    }
    return document;
}

struct sluice_span document_span(const json_t *value)
{
    if (!json_is_string(value))
        return (struct sluice_span){NULL, 0};
    return (struct sluice_span){json_string_value(value), json_string_length(value)};
}

struct sluice_span document_text(const json_t *object, const char *name)
{
    return document_span(json_object_get(object, name));
}
