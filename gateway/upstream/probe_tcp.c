/*
 * probe_tcp.c - a check that connects (with TLS, where the upstream has it), may say something, and
 * may expect something to be said.
 */
#include "base/alloc.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "net/conn.h"
#include "net/preface.h"
#include "net/tls.h"
#include "upstream/probe.h"

#include <string.h>

struct tcp_probe {
    struct conn conn; /* first: conn_ops find us by it */
    struct probe *probe;
    struct tls_memory memory;
    struct preface *preface; /* owned; NULL: nothing is said first */
    struct alarm deadline;
    struct soon soon; /* tells what was known at once */
    const char *why;  /* a static text */
    bool dialled;     /* there is a conn to close */
    bool connected;   /* and hands are shaken */
    bool failed;      /* at once: tell result and why */
};

static struct tcp_probe *tcp_of(struct conn *conn)
{
    return (struct tcp_probe *)(void *)conn;
}

static void give_back(struct tcp_probe *tcp)
{
    tls_forget(&tcp->memory);
    preface_free(&tcp->preface);
    alloc_free(tcp);
}

/* It is over for the probe; the memory follows once nobody is on the call stack. */
static void end(struct tcp_probe *tcp)
{
    alarm_disarm(&tcp->deadline);
    soon_cancel(&tcp->soon);
    tcp->probe = NULL;
    if (tcp->dialled) {
        conn_close(&tcp->conn);
    } else {
        give_back(tcp);
    }
}

static void tell(struct tcp_probe *tcp, enum probe_result result, const char *why)
{
    struct probe *probe = tcp->probe;

    if (!probe)
        return;
    end(tcp);
    probe->tcp = NULL;
    probe->done(probe, result, why);
}

/* -- events ----------------------------------------------------------------------- */

static enum err say(struct tcp_probe *tcp)
{
    enum err err = OK;

    tcp->connected = true;
    if (tcp->probe->conf->send.len > 0) {
        conn_lend(&tcp->conn, tcp->probe->conf->send);
        err = conn_flush(&tcp->conn);
    }
    return err == ERR_AGAIN ? OK : err;
}

static void on_drained(struct conn *conn)
{
    struct tcp_probe *tcp = tcp_of(conn);

    if (!tcp->probe)
        return;
    if (!tcp->connected && say(tcp) != OK) {
        tell(tcp, PROBE_RESET, "what is to be said cannot be sent");
    } else if (tcp->probe->conf->expect.len == 0 && !conn_has_unsent(conn)) {
        tell(tcp, PROBE_PASSED, "");
    }
}

static void on_readable(struct conn *conn)
{
    struct tcp_probe *tcp = tcp_of(conn);
    struct sluice_span bytes = conn_peek(conn);
    struct sluice_span expect;
    enum err err = OK;

    if (!tcp->probe || !tcp->connected)
        return;
    expect = tcp->probe->conf->expect;
    while (err == OK) {
        if (bytes.len > 0 && memmem(bytes.ptr, bytes.len, expect.ptr, expect.len)) {
            tell(tcp, PROBE_PASSED, "");
            return;
        }
        if (bytes.len >= PROBE_BODY_BYTES) {
            tell(tcp, PROBE_BODY, "what came has not what is expected in it");
            return;
        }
        err = conn_read(conn, &bytes);
    }
    if (err != ERR_AGAIN) {
        tell(tcp, bytes.len > 0 ? PROBE_BODY : PROBE_RESET,
             "the connection ended before what is expected came");
    } else if (conn_settle(conn, true) != OK) {
        tell(tcp, PROBE_PROTOCOL, "out of memory");
    }
}

static void on_failed(struct conn *conn, enum err err)
{
    struct tcp_probe *tcp = tcp_of(conn);
    struct sluice_span tls = tls_failure(conn);

    if (tcp->connected) {
        tell(tcp, PROBE_RESET, err_text(err));
    } else {
        tell(tcp, PROBE_CONNECT, tls.len > 0 ? tls.ptr : err_text(err));
    }
}

static void on_hangup(struct conn *conn, enum err err)
{
    tell(tcp_of(conn), PROBE_RESET, err_text(err));
}

static void on_nothing(struct conn *conn)
{
    (void)conn;
}

static void on_closed(struct conn *conn)
{
    give_back(tcp_of(conn));
}

static const struct conn_ops ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_nothing,
    .on_failed = on_failed,
    .on_alarm = on_nothing,
    .on_closed = on_closed,
};

static void on_deadline(struct alarm *alarm)
{
    struct tcp_probe *tcp = list_entry(alarm, struct tcp_probe, deadline);

    tell(tcp, PROBE_TIMEOUT,
         tcp->connected ? "what is expected did not come in time" : "not connected in time");
}

static void on_soon(struct soon *soon)
{
    struct tcp_probe *tcp = list_entry(soon, struct tcp_probe, soon);

    if (tcp->failed) {
        tell(tcp, PROBE_CONNECT, tcp->why);
    } else {
        on_drained(&tcp->conn);
    }
}

/* -- begin and end --------------------------------------------------------------------- */

/* We come for ourselves. */
static enum err speak_first(struct tcp_probe *tcp, const struct probe_order *order, bool *connected)
{
    tcp->preface = preface_new(probe_preface(order));
    if (!tcp->preface)
        return ERR_MEMORY;
    preface_say(&tcp->conn, tcp->preface);
    *connected = false;
    return OK;
}

void probe_tcp_start(struct probe *probe, const struct probe_order *order)
{
    struct loop *loop = probe->means->loop;
    struct tcp_probe *tcp = alloc_new(sizeof(*tcp));
    struct addr addr = probe_address(order);
    bool connected = false;
    enum err err;

    tcp->probe = probe;
    probe->tcp = tcp;
    alarm_init(&tcp->deadline, on_deadline);
    soon_init(&tcp->soon, on_soon);
    alarm_arm(loop, &tcp->deadline, probe->conf->timeout_ms);
    err = conn_dial(&tcp->conn, loop, &addr, &ops, &connected);
    tcp->dialled = err == OK;
    if (err == OK && order->tls) {
        connected = false;
        err = tls_connect(&tcp->conn, order->tls, order->member->name, &tcp->memory);
    }
    if (err == OK && probe_preface(order).len > 0)
        err = speak_first(tcp, order, &connected);
    tcp->failed = err != OK;
    tcp->why = err_text(err);
    if (err || connected)
        loop_soon(loop, &tcp->soon);
}

void probe_tcp_cancel(struct probe *probe)
{
    struct tcp_probe *tcp = probe->tcp;

    probe->tcp = NULL;
    if (tcp)
        end(tcp);
}
