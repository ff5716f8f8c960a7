#include "server/upstreams_reading.h"

#include <stdio.h>

enum {
    PAGE_ROWS = 2000, /* some 15 ms of the gateway's control thread */
    PAGES_MAX = 10000,
    TARGET_MAX = 4096
};

/* -- joining pages ----------------------------------------------------------------- */

static const char *name_of(const json_t *upstream)
{
    const char *name = json_string_value(json_object_get(upstream, "name"));

    return name ? name : "";
}

static void add_upstream(json_t *all, json_t *upstream)
{
    size_t n = json_array_size(all);
    const json_t *last = n ? json_array_get(all, n - 1) : NULL;

    if (last && span_equal(span_of(name_of(last)), span_of(name_of(upstream)))) {
        json_array_extend(json_object_get(last, "endpoints"),
                          json_object_get(upstream, "endpoints"));
    } else {
        json_array_append(all, upstream);
    }
}

uint64_t upstreams_reading_add(json_t *whole, json_t *page)
{
    json_t *upstreams = json_object_get(page, "upstreams");
    json_t *all = json_object_get(whole, "upstreams");
    json_int_t next = json_integer_value(json_object_get(page, "next"));

    json_object_set(whole, "generation", json_object_get(page, "generation"));
    if (!all) {
        all = json_array();
        json_object_set_new(whole, "upstreams", all);
    }
    for (size_t i = 0; i < json_array_size(upstreams); i++) {
        add_upstream(all, json_array_get(upstreams, i));
    }
    return next > 0 ? (uint64_t)next : 0;
}

/* -- asking ------------------------------------------------------------------------- */

static void ask(struct upstreams_reading *reading);

static void finish(struct upstreams_reading *reading, enum err err, const char *why)
{
    reading->err = err;
    snprintf(reading->why, sizeof(reading->why), "%s", why);
    reading->done(reading);
}

/* "detail" of a problem report. */
static void refuse(struct upstreams_reading *reading, const json_t *problem)
{
    const char *detail = json_string_value(json_object_get(problem, "detail"));

    finish(reading, detail ? ERR_MISSING : ERR_PROTOCOL, detail ? detail : "");
}

static void on_page(void *reading_, const struct fetch_answer *answer)
{
    struct upstreams_reading *reading = reading_;
    json_t *page;
    uint64_t next;

    reading->fetch = NULL;
    reading->status = answer->status;
    if (answer->err) {
        finish(reading, answer->err, answer->why);
        return;
    }
    page = json_loadb(answer->body.len ? answer->body.ptr : "", answer->body.len, 0, NULL);
    if (answer->status != 200 || !json_is_array(json_object_get(page, "upstreams"))) {
        refuse(reading, page);
        json_decref(page);
        return;
    }
    next = upstreams_reading_add(reading->whole, page);
    json_decref(page);
    if (next > reading->offset && ++reading->n_pages < PAGES_MAX) {
        reading->offset = next;
        ask(reading);
        return;
    }
    finish(reading, OK, "");
}

/* Add value to a query; what is not a letter, a digit or one of -._~ is percent-encoded. */
static void add_encoded(struct text *out, const char *value)
{
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';

        text_format(out, plain ? "%c" : "%%%02X", c);
    }
}

static void ask(struct upstreams_reading *reading)
{
    char buffer[TARGET_MAX];
    struct text target;

    text_init_fixed(&target, buffer, sizeof(buffer));
    text_format(&target, "/upstreams?limit=%d&offset=%llu", PAGE_ROWS,
                (unsigned long long)reading->offset);
    if (reading->name) {
        text_add(&target, SPAN("&upstream="));
        add_encoded(&target, reading->name);
    }
    reading->fetch =
        admin_call_start(reading->fetcher, reading->place, "GET", target.ptr, on_page, reading);
}

void upstreams_reading_start(struct upstreams_reading *reading)
{
    json_decref(reading->whole);
    reading->whole = json_object();
    reading->err = OK;
    reading->offset = 0;
    reading->n_pages = 0;
    ask(reading);
}

void upstreams_reading_fini(struct upstreams_reading *reading)
{
    fetch_cancel(&reading->fetch);
    json_decref(reading->whole);
    reading->whole = NULL;
}
