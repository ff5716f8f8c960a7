/*
 * json.c - write indented JSON.
 */
#include "config/json.h"

enum { INDENT = 2 };

static void new_line(struct json *json)
{
    if (json->rows) {
        text_add_char(json->out, ' ');
        return;
    }
    text_add_char(json->out, '\n');
    for (unsigned i = 0; i < json->depth * INDENT; i++)
        text_add_char(json->out, ' ');
}

static void add_string(struct json *json, struct sluice_span value)
{
    text_add_char(json->out, '"');
    text_add_json(json->out, value);
    text_add_char(json->out, '"');
}

/* Everything before the value of a member. */
static void begin(struct json *json, const char *name)
{
    if (json->filled)
        text_add_char(json->out, ',');
    if (json->depth > 0)
        new_line(json);
    if (name) {
        add_string(json, span_of(name));
        text_add(json->out, SPAN(": "));
    }
    json->filled = true;
}

void json_open(struct json *json, const char *name, char bracket)
{
    begin(json, name);
    text_add_char(json->out, bracket);
    json->depth++;
    json->rows += json->rows > 0;
    json->filled = false;
}

void json_open_row(struct json *json, const char *name, char bracket)
{
    json_open(json, name, bracket);
    json->rows += json->rows == 0;
}

void json_close(struct json *json, char bracket)
{
    json->depth--;
    if (json->filled)
        new_line(json);
    json->rows -= json->rows > 0;
    text_add_char(json->out, bracket);
    json->filled = true;
}

void json_string(struct json *json, const char *name, struct sluice_span value)
{
    begin(json, name);
    add_string(json, value);
}

void json_literal(struct json *json, const char *name, struct sluice_span value)
{
    begin(json, name);
    text_add(json->out, value);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
    begin(json, name);
    text_add_number(json->out, value);
}
