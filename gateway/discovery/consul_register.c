#include "discovery/consul_register.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "config/json.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "discovery/consul_client.h"
#include "discovery/consul_register_say.h"
#include "observe/metrics.h"

#include <stdio.h>
#include <string.h>

enum {
    PAYLOAD_BYTES = 64 * 1024,
    PATH_BYTES = 2048,
    ID_BYTES = 512,
    WHY_BYTES = 256,
    OUTPUT_BYTES = 1024,
    TICKS_OF_TTL = 3,      /* two may be lost */
    HURRY_MS = 250,        /* until the workers have answered, */
    PATIENCE = 20,         /* times; then they are dead */
    TROUBLE_MS = 1000,     /* and while it is not */
    GONE_WITHIN_MS = 2000, /* an agent that does not answer keeps nobody from ending */
};

enum wanted { REGISTER_IDLE, REGISTER_HERE, REGISTER_LEAVE, REGISTER_GONE };

/* What is being asked. */
enum step {
    STEP_NONE,
    STEP_LOOK,     /* is it there? */
    STEP_PUT,      /* register */
    STEP_CHECKS,   /* was it left in maintenance by an earlier drain of ours? */
    STEP_CLEAR,    /* end that */
    STEP_BEAT,     /* passing, or critical and why */
    STEP_LEAVE,    /* maintenance, or critical for good */
    STEP_REMOVE,   /* deregister */
    STEP_OLD_GONE, /* deregister the identifier of before */
};

struct consul_register {
    struct loop *loop; /* borrowed */
    struct consul_register_host host;
    struct consul_client *client;
    enum wanted wanted;
    enum step step;
    struct fetch *fetch;                 /* under way; NULL: none */
    struct text id, name, payload, look; /* look: what identifies the check, as in its path */
    struct text old_id;                  /* to be deregistered; empty: none */
    struct text ns;
    uint64_t ttl_ms;
    int leave;
    bool is_configured;
    bool is_known;   /* the agent has taken the payload */
    bool is_fresh;   /* is_known has been looked at in this tick */
    bool is_cleared; /* no maintenance of ours is left from before */
    bool has_beaten; /* in this tick */
    bool has_left;   /* maintenance or critical has been said */
    bool is_alive, is_passing;
    unsigned n_asked; /* how often the workers were asked */
    bool refused_token;
    unsigned token;       /* that it was registered with */
    struct text why_dead; /* "" when alive */
    char why[WHY_BYTES];  /* of the last trouble with the agent; "": none */
    struct alarm tick, limit;
    uint64_t registrations, errors, beats;
};

static void act(struct consul_register *reg);

/* -- answers -------------------------------------------------------------------------- */

static void plan_tick(struct consul_register *reg)
{
    uint64_t ms = reg->ttl_ms / TICKS_OF_TTL;
    bool fine = reg->wanted == REGISTER_HERE && reg->is_passing && reg->why[0] == '\0';
    uint64_t sooner = reg->beats == 0 || reg->wanted == REGISTER_GONE ? HURRY_MS : TROUBLE_MS;

    alarm_arm(reg->loop, &reg->tick, fine || ms < sooner ? ms : sooner);
}

static void fail(struct consul_register *reg, const char *why)
{
    reg->errors++;
    if (strcmp(why, reg->why) != 0) {
        snprintf(reg->why, sizeof(reg->why), "%s", why);
        log_warn("consul does not take what the gateway says of itself",
                 F_SPAN("service", text_span(&reg->name)), F_SPAN("id", text_span(&reg->id)),
                 F_STR("cause", why));
    }
    if (!alarm_is_armed(&reg->tick))
        plan_tick(reg);
}

/* "status 403: Permission denied", one line. */
static void fail_status(struct consul_register *reg, const struct fetch_answer *answer)
{
    char why[WHY_BYTES];
    size_t n = 0;

    if (answer->err) {
        fail(reg, answer->why);
        return;
    }
    n = (size_t)snprintf(why, sizeof(why), "status %u: ", answer->status);
    for (size_t i = 0; i < answer->body.len && n + 1 < sizeof(why); i++, n++) {
        char c = answer->body.ptr[i];

        why[n] = ' ';
        if (c >= ' ' && c < 0x7f)
            why[n] = c;
    }
    why[n] = '\0';
    fail(reg, why);
}

/* Told to whoever looks, and how we know our own maintenance from an operator's. */
static void say_leaving(const struct consul_register *reg, char *out, size_t room)
{
    snprintf(out, room, "the gateway %s is draining", reg->id.ptr);
}

static bool is_our_maintenance(const struct consul_register *reg, struct sluice_span body)
{
    char leaving[ID_BYTES + 32];

    say_leaving(reg, leaving, sizeof(leaving));
    return span_has(body, span_of(leaving));
}

static void take_registered(struct consul_register *reg)
{
    reg->registrations++;
    reg->is_known = reg->is_fresh = true;
    reg->token = consul_client_token(reg->client);
    reg->has_beaten = false;
    log_info("registered with consul", F_SPAN("service", text_span(&reg->name)),
             F_SPAN("id", text_span(&reg->id)));
}

static void take_beat(struct consul_register *reg)
{
    if (reg->is_alive != reg->is_passing || reg->beats == 0) {
        log_at(reg->is_alive ? LOG_INFO : LOG_ERROR,
               reg->is_alive ? "consul knows that all workers are alive"
                             : "a worker hangs: the gateway is critical in consul",
               F_SPAN("id", text_span(&reg->id)),
               F_STR("why", reg->why_dead.len > 0 ? reg->why_dead.ptr : ""));
    }
    reg->beats++;
    reg->has_beaten = true;
    reg->is_passing = reg->is_alive;
    reg->why[0] = '\0';
    plan_tick(reg);
}

/* The agent has done what it was asked. */
static void take(struct consul_register *reg, enum step step, const struct fetch_answer *answer)
{
    switch (step) {
    case STEP_NONE:
        break;
    case STEP_LOOK:
        reg->is_fresh = true;
        break;
    case STEP_PUT:
        take_registered(reg);
        break;
    case STEP_CHECKS:
        reg->is_cleared = true;
        if (reg->wanted == REGISTER_HERE && is_our_maintenance(reg, answer->body))
            reg->step = STEP_CLEAR;
        break;
    case STEP_CLEAR:
        log_info("maintenance that an earlier drain has left is over",
                 F_SPAN("id", text_span(&reg->id)));
        break;
    case STEP_BEAT:
        take_beat(reg);
        break;
    case STEP_LEAVE:
        reg->has_left = true;
        log_info("consul knows that the gateway is draining", F_SPAN("id", text_span(&reg->id)));
        break;
    case STEP_REMOVE:
        reg->is_known = false;
        log_info("deregistered from consul", F_SPAN("id", text_span(&reg->id)));
        break;
    case STEP_OLD_GONE:
        text_reset(&reg->old_id);
        break;
    }
}

/* The agent knows nothing of what it was asked about. */
static bool is_forgotten(enum step step, unsigned status)
{
    if (step == STEP_LOOK)
        return status == 404;
    /* An update of a check that is not there: 500 in old versions, 404 in newer ones. */
    return step == STEP_BEAT && (status == 404 || status == 500);
}

static void forget(struct consul_register *reg)
{
    if (reg->is_known) {
        log_warn("consul has forgotten the gateway: it is registered again",
                 F_SPAN("id", text_span(&reg->id)));
    }
    reg->is_known = false;
}

/* True: go on at once. */
static bool take_failure(struct consul_register *reg, enum step step,
                         const struct fetch_answer *answer)
{
    if (!answer->err && is_forgotten(step, answer->status)) {
        bool was_known = reg->is_known;

        forget(reg);
        if (was_known)
            return true;
    }
    if ((step == STEP_REMOVE || step == STEP_OLD_GONE) && !answer->err && answer->status != 403) {
        take(reg, step, answer); /* it is not there: as good as removed */
        return true;
    }
    reg->is_fresh = false; /* whoever answers next may have begun anew */
    fail_status(reg, answer);
    if (answer->err || answer->status != 403 || reg->refused_token)
        return false;
    reg->refused_token = true;
    return consul_client_refused(reg->client);
}

static void on_answer(void *reg_, const struct fetch_answer *answer)
{
    struct consul_register *reg = reg_;
    enum step step = reg->step;

    reg->fetch = NULL;
    reg->step = STEP_NONE;
    if (!answer->err && answer->status == 200) {
        reg->refused_token = false;
        take(reg, step, answer);
        act(reg);
    } else if (take_failure(reg, step, answer)) {
        act(reg);
    }
}

/* -- questions -------------------------------------------------------------------------- */

static void say_update(bool passing, struct sluice_span output, struct text *body)
{
    struct json json = {.out = body};

    json_open_row(&json, NULL, '{');
    json_string(&json, "Status", passing ? SPAN("passing") : SPAN("critical"));
    json_string(&json, "Output", output);
    json_close(&json, '}');
}

static void say_id(struct text *path, const char *before, const struct text *id, const char *after)
{
    text_add(path, span_of(before));
    consul_client_encode(path, text_span(id));
    text_add(path, span_of(after));
}

static void say_leave(const struct consul_register *reg, struct text *path, struct text *body)
{
    char leaving[ID_BYTES + 32];

    say_leaving(reg, leaving, sizeof(leaving));
    if (reg->leave == CONSUL_LEAVE_CRITICAL) {
        say_id(path, "/v1/agent/check/update/", &reg->look, "");
        say_update(false, span_of(leaving), body);
    } else {
        say_id(path, "/v1/agent/service/maintenance/", &reg->id, "?enable=true");
        consul_client_add(path, "reason", span_of(leaving));
    }
}

/* The path and body of a step; returns its method. */
static const char *say_step(const struct consul_register *reg, struct text *path, struct text *body)
{
    const struct sluice_span fine = SPAN("all workers turn their loops");

    switch (reg->step) {
    case STEP_NONE:
        break;
    case STEP_LOOK:
        say_id(path, "/v1/agent/service/", &reg->id, "");
        return "GET";
    case STEP_PUT:
        text_add(path, SPAN("/v1/agent/service/register"));
        text_add(body, text_span(&reg->payload));
        return "PUT";
    case STEP_CHECKS:
        text_add(path, SPAN("/v1/agent/checks"));
        return "GET";
    case STEP_CLEAR:
        say_id(path, "/v1/agent/service/maintenance/", &reg->id, "?enable=false");
        return "PUT";
    case STEP_BEAT:
        say_id(path, "/v1/agent/check/update/", &reg->look, "");
        say_update(reg->is_alive, reg->is_alive ? fine : text_span(&reg->why_dead), body);
        return "PUT";
    case STEP_LEAVE:
        say_leave(reg, path, body);
        return "PUT";
    case STEP_REMOVE:
        say_id(path, "/v1/agent/service/deregister/", &reg->id, "");
        return "PUT";
    case STEP_OLD_GONE:
        say_id(path, "/v1/agent/service/deregister/", &reg->old_id, "");
        return "PUT";
    }
    return NULL;
}

static void ask(struct consul_register *reg, enum step step)
{
    struct consul_question question = {.done = on_answer, .arg = reg};
    struct text path, body;

    text_init(&path, PATH_BYTES);
    text_init(&body, PAYLOAD_BYTES + OUTPUT_BYTES);
    reg->step = step;
    question.method = say_step(reg, &path, &body);
    consul_client_add(&path, "ns", text_span(&reg->ns));
    question.path = path.ptr;
    question.body = text_span(&body);
    reg->fetch = consul_client_ask(reg->client, &question);
    text_fini(&path);
    text_fini(&body);
}

/* What is left to be done in this tick, in order. STEP_NONE: nothing. */
static enum step next_step_here(const struct consul_register *reg)
{
    if (!reg->is_configured)
        return reg->old_id.len > 0 ? STEP_OLD_GONE : STEP_NONE;
    if (reg->step == STEP_CLEAR)
        return STEP_CLEAR;
    if (reg->is_known && !reg->is_fresh)
        return STEP_LOOK;
    /* The agent tells the servers of us with the token that came with the registration. */
    if (!reg->is_known || reg->token != consul_client_token(reg->client))
        return STEP_PUT;
    if (!reg->is_cleared)
        return STEP_CHECKS;
    if (!reg->has_beaten)
        return STEP_BEAT;
    return reg->old_id.len > 0 ? STEP_OLD_GONE : STEP_NONE;
}

static enum step next_step(const struct consul_register *reg)
{
    switch (reg->wanted) {
    case REGISTER_IDLE:
        return STEP_NONE;
    case REGISTER_HERE:
        return next_step_here(reg);
    case REGISTER_LEAVE:
        return reg->is_known && !reg->has_left ? STEP_LEAVE : STEP_NONE;
    case REGISTER_GONE:
        return reg->is_known ? STEP_REMOVE : STEP_NONE;
    }
    return STEP_NONE;
}

static void be_gone(struct consul_register *reg)
{
    alarm_disarm(&reg->tick);
    alarm_disarm(&reg->limit);
    reg->wanted = REGISTER_IDLE;
    reg->host.on_gone(reg->host.arg);
}

static void act(struct consul_register *reg)
{
    enum step step;

    if (reg->fetch)
        return;
    step = next_step(reg);
    reg->step = STEP_NONE;
    if (step != STEP_NONE) {
        ask(reg, step);
    } else if (reg->wanted == REGISTER_GONE) {
        be_gone(reg);
    }
}

static void on_tick(struct alarm *alarm)
{
    struct consul_register *reg = list_entry(alarm, struct consul_register, tick);
    bool patient = reg->n_asked < PATIENCE;

    if (!reg->is_configured && reg->old_id.len == 0)
        return;
    plan_tick(reg);
    if (reg->wanted == REGISTER_HERE) {
        text_reset(&reg->why_dead);
        reg->is_alive = reg->host.is_alive(reg->host.arg, &reg->why_dead);
        /* The first call only asks them, and they may not be through with their start. */
        reg->has_beaten = reg->n_asked == 0 || (!reg->is_alive && reg->beats == 0 && patient);
        reg->n_asked++;
        reg->is_fresh = false;
    }
    act(reg);
}

static void on_limit(struct alarm *alarm)
{
    struct consul_register *reg = list_entry(alarm, struct consul_register, limit);

    log_warn("consul has not confirmed that the gateway is gone", F_SPAN("id", text_span(&reg->id)),
             F_STR("cause", reg->why));
    fetch_cancel(&reg->fetch);
    be_gone(reg);
}

/* -- life ------------------------------------------------------------------------------------ */

struct consul_register *consul_register_new(struct loop *loop,
                                            const struct consul_register_host *host)
{
    struct consul_register *reg = alloc_new(sizeof(*reg));

    reg->loop = loop;
    reg->host = *host;
    reg->client = consul_client_new(loop);
    text_init(&reg->id, ID_BYTES - 64);
    text_init(&reg->old_id, ID_BYTES);
    text_init(&reg->look, ID_BYTES);
    text_init(&reg->name, ID_BYTES);
    text_init(&reg->ns, ID_BYTES);
    text_init(&reg->payload, PAYLOAD_BYTES);
    text_init(&reg->why_dead, OUTPUT_BYTES);
    alarm_init(&reg->tick, on_tick);
    alarm_init(&reg->limit, on_limit);
    return reg;
}

void consul_register_free(struct consul_register **reg)
{
    struct consul_register *old = *reg;

    if (!old)
        return;
    *reg = NULL;
    alarm_disarm(&old->tick);
    alarm_disarm(&old->limit);
    fetch_cancel(&old->fetch);
    consul_client_free(&old->client);
    text_fini(&old->id);
    text_fini(&old->old_id);
    text_fini(&old->look);
    text_fini(&old->name);
    text_fini(&old->ns);
    text_fini(&old->payload);
    text_fini(&old->why_dead);
    alloc_free(old);
}

static void set(struct text *text, struct sluice_span value)
{
    text_reset(text);
    text_add(text, value);
}

static void cancel(struct consul_register *reg)
{
    fetch_cancel(&reg->fetch);
    reg->step = STEP_NONE;
}

/* Another payload is registered over the old one; another identifier leaves one to be removed. */
static void set_payload(struct consul_register *reg, const struct consul_register_conf *conf)
{
    struct text payload;

    text_init(&payload, PAYLOAD_BYTES);
    if (conf->is_written)
        consul_register_say(conf, &payload);
    if (!span_equal(text_span(&payload), text_span(&reg->payload))) {
        if (reg->is_known && !span_equal(conf->id, text_span(&reg->id))) {
            set(&reg->old_id, text_span(&reg->id));
            reg->is_cleared = false;
        }
        reg->is_known = false;
        cancel(reg); /* it may be about what is no longer so */
    }
    set(&reg->payload, text_span(&payload));
    text_fini(&payload);
}

void consul_register_apply(struct consul_register *reg, const struct consul_conf *conf)
{
    const struct consul_register_conf *own = &conf->registration;

    if (!own->is_written && !reg->is_configured)
        return;
    if (consul_client_is_other(reg->client, conf)) {
        cancel(reg);
        reg->is_known = reg->is_cleared = false;
        text_reset(&reg->old_id); /* the other agent's: it forgets us by itself */
    }
    consul_client_apply(reg->client, conf);
    set_payload(reg, own);
    reg->is_configured = own->is_written;
    set(&reg->id, own->id);
    set(&reg->name, own->name);
    set(&reg->ns, conf->ns);
    text_reset(&reg->look);
    text_format(&reg->look, "service:%s:workers", own->is_written ? own->id.ptr : "");
    reg->ttl_ms = own->ttl_ms;
    reg->leave = own->leave;
    reg->has_beaten = false;
    if (reg->wanted != REGISTER_HERE)
        return;
    if (reg->is_configured && !alarm_is_armed(&reg->tick)) {
        on_tick(&reg->tick);
    } else {
        if (!reg->is_configured)
            alarm_disarm(&reg->tick);
        act(reg);
    }
}

void consul_register_begin(struct consul_register *reg)
{
    reg->wanted = REGISTER_HERE;
    if (reg->is_configured)
        on_tick(&reg->tick);
}

void consul_register_leave(struct consul_register *reg)
{
    if (reg->wanted != REGISTER_HERE)
        return;
    reg->wanted = REGISTER_LEAVE;
    act(reg);
}

bool consul_register_end(struct consul_register *reg)
{
    if (reg->wanted == REGISTER_GONE)
        return true;
    if (reg->wanted == REGISTER_IDLE || (!reg->is_known && !reg->fetch)) {
        alarm_disarm(&reg->tick);
        reg->wanted = REGISTER_IDLE;
        return false;
    }
    reg->wanted = REGISTER_GONE;
    alarm_arm(reg->loop, &reg->limit, GONE_WITHIN_MS);
    act(reg);
    return true;
}

/* -- numbers --------------------------------------------------------------------------------- */

void consul_register_collect(void *registration, struct page *page)
{
    const struct consul_register *reg = registration;
    const struct label labels[] = {{"service", text_span(&reg->name)}, {"id", text_span(&reg->id)}};

    if (!reg->is_configured)
        return;
    page_family(page, "sluice_consul_registered", PAGE_GAUGE,
                "1: the agent has taken what the gateway says of itself.");
    page_count(page, labels, 2, reg->is_known);
    page_family(page, "sluice_consul_registration_passing", PAGE_GAUGE,
                "1: the agent has last been told that all workers are alive.");
    page_count(page, labels, 2, reg->is_known && reg->is_passing);
    page_family(page, "sluice_consul_registrations_total", PAGE_COUNTER,
                "Times that the gateway was registered, also again.");
    page_count(page, labels, 2, reg->registrations);
    page_family(page, "sluice_consul_registration_beats_total", PAGE_COUNTER,
                "Times that the agent was told how the workers are.");
    page_count(page, labels, 2, reg->beats);
    page_family(page, "sluice_consul_registration_errors_total", PAGE_COUNTER,
                "Times that the agent did not take what it was told.");
    page_count(page, labels, 2, reg->errors);
}
