/*
 * h2_receive.c - what nghttp2 tells of frames that came, as heads, content and ends.
 *
 * nghttp2 keeps the states of streams, so a frame that may not come in a state never gets here.
 * What is judged here is the message: heads (h2_head.c), content against what was announced,
 * trailers.
 */
#include "http/h2_state.h"

#include "base/alloc.h"

#include <string.h>

enum {
    TINY_WINDOW =
        256,          /* bytes: a window that is opened by less costs more frames than it carries */
    FRAME_TYPES = 10, /* of RFC 9113: 0 to 9 */
};

static struct sluice_span span_from(const uint8_t *ptr, size_t len)
{
    return span_make((const char *)ptr, len);
}

/* -- ends ------------------------------------------------------------------------- */

struct h2_section *h2_section_new(const struct fields *fields)
{
    size_t bytes = sizeof(struct h2_section) + fields->n * sizeof(struct field_line);
    struct h2_section *section;
    char *at;

    for (unsigned i = 0; i < fields->n; i++)
        bytes += fields->line[i].name_len + fields->line[i].value_len;
    section = alloc_try(bytes);
    if (!section)
        return NULL;
    at = (char *)&section->line[fields->n];
    section->n = 0;
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *from = &fields->line[i];
        struct field_line *line = &section->line[section->n];

        if (from->mark & FIELD_DROPPED)
            continue;
        *line = *from;
        line->name = memcpy(at, from->name, from->name_len);
        at += from->name_len;
        line->value = at;
        if (from->value_len > 0)
            memcpy(at, from->value, from->value_len);
        at += from->value_len;
        section->n++;
    }
    return section;
}

static void tell_end(struct h2_stream *stream, const struct fields *trailers)
{
    stream->flags |= H2_ENDED;
    stream->h2->ops->on_end(stream, trailers);
}

/* Something of it is about to be told, or held. */
static inline void announce(struct h2_stream *stream)
{
    if (!(stream->flags & H2_AWAITS))
        return;
    stream->flags &= ~(unsigned)H2_AWAITS;
    stream->h2->ops->on_content(stream);
}

/* The peer's side is over. */
static void end_in(struct h2_stream *stream, const struct fields *trailers)
{
    stream->flags |= H2_END_IN;
    if (!h2_is_owned(stream) || (stream->flags & (H2_REFUSED | H2_TO_TELL)))
        return;
    if (stream->left > 0) {
        h2_break(stream, H2_PROTOCOL_ERROR, h1_rule_text(H1_RULE_CONTENT));
        return;
    }
    announce(stream);
    if (!(stream->flags & H2_HELD) && stream->in.bytes == 0) {
        tell_end(stream, trailers);
        return;
    }
    if (trailers && trailers->n > 0) {
        stream->kept = h2_section_new(trailers);
        if (!stream->kept)
            h2_break(stream, H2_INTERNAL_ERROR, "out of memory");
    }
}

/* -- heads -------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *h2_)
{
    struct h2 *h2 = h2_;
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);
    enum h2_section_kind kind = H2_SECTION_TRAILERS;

    if (h2_bench_fit(h2->bench, h2->settings))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (h2->role == H2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream = h2_stream_new(h2, (uint32_t)frame->hd.stream_id);
        if (!stream)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
        kind = H2_SECTION_REQUEST;
        h2->budget.requests++;
    } else if (stream && h2->role == H2_CLIENT && !(stream->flags & H2_HEAD_IN)) {
        kind = H2_SECTION_RESPONSE;
    }
    h2_head_begin(&h2->head, kind, h2->settings);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are nghttp2's */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *h2_)
{
    struct h2 *h2 = h2_;

    (void)session;
    (void)frame;
    (void)flags;
    if (h2->over == OK &&
        h2_head_add(&h2->head, span_from(name, name_len), span_from(value, value_len)))
        h2_end(h2, H2_CAUSE_HEAD_BYTES);
    return 0;
}

/* RFC 9218 4: "u=2, i" and the like; what is not understood changes nothing. */
static nghttp2_extpri read_priority(struct sluice_span value)
{
    nghttp2_extpri priority = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY};
    struct sluice_span piece;

    while (span_split(&value, ',', &piece)) {
        if (piece.len == 3 && piece.ptr[0] == 'u' && piece.ptr[1] == '=' && piece.ptr[2] >= '0' &&
            piece.ptr[2] <= '7')
            priority.urgency = (uint32_t)(piece.ptr[2] - '0');
        if (span_equal(piece, SPAN("i")) || span_equal(piece, SPAN("i=?1")))
            priority.inc = 1;
    }
    return priority;
}

static void set_priority(struct h2 *h2, struct h2_stream *stream, nghttp2_extpri priority)
{
    stream->urgency = (uint8_t)priority.urgency;
    (void)nghttp2_session_change_extpri_stream_priority(h2->session, (int32_t)stream->id, &priority,
                                                        0);
}

static struct h2_early *find_early(struct h2 *h2, uint32_t id)
{
    for (size_t i = 0; i < H2_EARLY_MAX; i++) {
        if (h2->early[i].id == id)
            return &h2->early[i];
    }
    return NULL;
}

/*
 * RFC 9218 7.1: a PRIORITY_UPDATE may come before the head of its stream, and counts more than the
 * field in it. Of more than are kept the newest are: a frame says no more than a hint.
 */
static void keep_priority(struct h2 *h2, const nghttp2_ext_priority_update *update)
{
    nghttp2_extpri priority =
        read_priority(span_from(update->field_value, update->field_value_len));
    struct h2_early *early = find_early(h2, (uint32_t)update->stream_id);

    if (!early)
        early = &h2->early[h2->n_early++ % H2_EARLY_MAX];
    early->id = (uint32_t)update->stream_id;
    early->urgency = (uint8_t)priority.urgency;
    early->incremental = priority.inc != 0;
}

static bool take_early_priority(struct h2 *h2, struct h2_stream *stream)
{
    struct h2_early *early = find_early(h2, stream->id);

    if (!early)
        return false;
    set_priority(h2, stream,
                 (nghttp2_extpri){.urgency = early->urgency, .inc = early->incremental});
    early->id = 0;
    return true;
}

static void find_priority(struct h2 *h2, struct h2_stream *stream, const struct fields *fields)
{
    if (h2->n_early > 0 && take_early_priority(h2, stream))
        return;
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        if (line->id == FIELD_OTHER && line->name_len == 8 &&
            memcmp(line->name, "priority", 8) == 0)
            set_priority(h2, stream, read_priority(field_value(line)));
    }
}

static void on_request(struct h2 *h2, struct h2_stream *stream, bool last)
{
    struct request request;
    enum h1_rule rule = h2_head_request(&h2->head, h2->settings, last, h2->bench->lines, &request);

    stream->flags |= H2_HEAD_IN;
    if (last)
        stream->flags |= H2_END_IN | H2_ENDED;
    if (rule) {
        stream->flags |= H2_REFUSED;
        h2->ops->on_refused(stream, rule);
        return;
    }
    stream->method = (uint8_t)request.method;
    if (request.protocol.len > 0)
        stream->flags |= H2_TUNNEL;
    if (request.framing == FRAMING_LENGTH)
        stream->left = request.body_bytes;
    find_priority(h2, stream, &request.fields);
    h2->ops->on_request(stream, &request, h2_head_bytes(&h2->head));
}

static void on_response(struct h2 *h2, struct h2_stream *stream, bool last)
{
    struct response response;
    enum h1_rule rule =
        h2_head_response(&h2->head, (enum method)stream->method, last, h2->bench->lines, &response);

    if (!h2_is_owned(stream) || (stream->flags & H2_TO_TELL))
        return;
    if (rule) {
        h2_break(stream, H2_PROTOCOL_ERROR, h1_rule_text(rule));
        return;
    }
    if (response.status >= 200) {
        stream->flags |= H2_HEAD_IN;
        if (response.framing == FRAMING_NONE && !(stream->flags & H2_TUNNEL))
            stream->flags |= H2_NO_CONTENT;
        if (response.framing == FRAMING_LENGTH)
            stream->left = response.body_bytes;
    }
    h2->ops->on_response(stream, &response, h2_head_bytes(&h2->head));
    if (last)
        end_in(stream, NULL);
}

static void on_trailers(struct h2 *h2, struct h2_stream *stream, bool last)
{
    struct fields trailers = {0};
    enum h1_rule rule =
        last ? h2_head_trailers(&h2->head, h2->bench->lines, &trailers) : H1_RULE_TRAILER;

    if (!h2_is_owned(stream) || (stream->flags & H2_TO_TELL))
        return;
    if (rule && !(stream->flags & H2_REFUSED)) {
        h2_break(stream, H2_PROTOCOL_ERROR, h1_rule_text(rule));
    } else {
        end_in(stream, &trailers);
    }
}

static void on_headers(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    enum h2_section_kind kind = (enum h2_section_kind)h2->head.kind;

    if (stream && kind == H2_SECTION_REQUEST) {
        on_request(h2, stream, last);
    } else if (stream && kind == H2_SECTION_RESPONSE) {
        on_response(h2, stream, last);
    } else if (stream) {
        on_trailers(h2, stream, last);
    }
    h2->head.kind = H2_SECTION_NONE;
}

/* -- content ------------------------------------------------------------------------------ */

/* Content beyond what was announced, or where there may be none; NULL: it is right. */
static const char *check_content(struct h2_stream *stream, size_t len)
{
    if (!(stream->flags & H2_HEAD_IN))
        return "content before the head";
    if (stream->flags & H2_NO_CONTENT)
        return "content where none may be";
    if (stream->left == BODY_UNKNOWN)
        return NULL;
    if ((int64_t)len > stream->left)
        return h1_rule_text(H1_RULE_CONTENT);
    stream->left -= (int64_t)len;
    return NULL;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *h2_)
{
    struct h2 *h2 = h2_;
    struct h2_stream *stream = h2_stream_find(h2, id);
    const char *wrong;

    (void)session;
    (void)flags;
    if (!stream || h2->over || !h2_is_owned(stream) ||
        (stream->flags & (H2_REFUSED | H2_TO_TELL))) {
        h2_taken(h2, (uint32_t)id, len);
        return 0;
    }
    wrong = check_content(stream, len);
    if (wrong) {
        h2_break(stream, H2_PROTOCOL_ERROR, wrong);
        h2_taken(h2, (uint32_t)id, len);
        return 0;
    }
    announce(stream);
    if ((stream->flags & H2_HELD) || stream->in.bytes > 0) {
        if (h2_queue_add(h2, &stream->in, span_from(data, len)))
            h2_break(stream, H2_INTERNAL_ERROR, "out of memory");
        return 0;
    }
    h2->ops->on_body(stream, span_from(data, len));
    h2_taken(h2, (uint32_t)id, len);
    return 0;
}

static int on_data_frame(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    h2->budget.content++;
    if (!last && frame->hd.length == frame->data.padlen) {
        return h2_budget_spend(h2, &h2->budget.empty, h2->settings->limits.empty_frames,
                               H2_CAUSE_EMPTY_FRAMES);
    }
    if (last && stream)
        end_in(stream, NULL);
    return OK;
}

/* -- holding ---------------------------------------------------------------------------------- */

void h2_hold(struct h2_stream *stream)
{
    stream->flags |= H2_HELD;
    list_remove(&stream->ready);
}

void h2_release(struct h2_stream *stream)
{
    bool ends = (stream->flags & (H2_END_IN | H2_ENDED)) == H2_END_IN;

    stream->flags &= ~(unsigned)H2_HELD;
    if ((stream->in.bytes == 0 && !ends) || !h2_is_owned(stream) || (stream->flags & H2_TO_TELL))
        return;
    list_remove(&stream->ready);
    list_append(&stream->h2->ready, &stream->ready);
    h2_wake(stream->h2);
}

/* All that it takes now. */
static void deliver(struct h2 *h2, struct h2_stream *stream)
{
    uint32_t id = stream->id;

    h2->told = stream;
    while (h2->told && !(stream->flags & H2_HELD) && stream->in.bytes > 0) {
        struct sluice_span piece = h2_queue_front(&stream->in);

        h2_queue_pass(&stream->in, &h2->handed);
        h2->ops->on_body(stream, piece);
        h2_taken(h2, id, piece.len);
    }
    if (!h2->told || (stream->flags & (H2_HELD | H2_END_IN | H2_ENDED)) != H2_END_IN)
        return;
    if (stream->kept) {
        struct fields trailers = {.line = stream->kept->line,
                                  .n = (uint16_t)stream->kept->n,
                                  .cap = (uint16_t)stream->kept->n};

        tell_end(stream, &trailers);
    } else {
        tell_end(stream, NULL);
    }
}

void h2_hand_over(struct h2_stream *stream)
{
    struct h2 *h2 = stream->h2;

    if (list_is_empty(&stream->ready))
        return;
    list_remove(&stream->ready);
    deliver(h2, stream);
    h2->told = NULL;
}

void h2_await_content(struct h2_stream *stream)
{
    stream->flags |= H2_AWAITS;
}

void h2_deliver(struct h2 *h2)
{
    struct list turn;

    list_init(&turn);
    while (!list_is_empty(&h2->ready)) {
        struct list *link = h2->ready.next;

        list_remove(link);
        list_append(&turn, link);
    }
    while (!list_is_empty(&turn)) {
        struct h2_stream *stream = list_entry(turn.next, struct h2_stream, ready);

        list_remove(&stream->ready);
        deliver(h2, stream);
        h2->told = NULL;
    }
}

/* -- other frames -------------------------------------------------------------------------- */

static int on_reset(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);

    if (!stream)
        return OK;
    stream->flags |= H2_PEER_RESET;
    /* What is answered is no loss to us; an upstream that resets is counted elsewhere. */
    if (h2->role == H2_CLIENT || (stream->flags & H2_EOF))
        return OK;
    return h2_budget_reset(h2);
}

static int on_settings(struct h2 *h2, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK)
        return OK;
    h2->ops->on_settings(h2);
    return h2_budget_spend(h2, &h2->budget.settings, h2->settings->limits.settings,
                           H2_CAUSE_SETTINGS);
}

/* Some peers measure the path by a PING a piece of content, so those are free. */
static int on_ping(struct h2 *h2, const nghttp2_frame *frame)
{
    uint32_t limit = h2->settings->limits.pings;

    if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
        h2->ops->on_pong(h2);
        return OK;
    }
    return h2_budget_spend(h2, &h2->budget.pings, limit ? limit + h2->budget.content : 0,
                           H2_CAUSE_PINGS);
}

static int on_window(struct h2 *h2, const nghttp2_frame *frame)
{
    if (frame->window_update.window_size_increment >= TINY_WINDOW)
        return OK;
    return h2_budget_spend(h2, &h2->budget.tiny, h2->settings->limits.tiny_windows,
                           H2_CAUSE_TINY_WINDOWS);
}

static int on_goaway(struct h2 *h2, const nghttp2_frame *frame)
{
    h2->leaving = true;
    h2->ops->on_goaway(h2, (uint32_t)frame->goaway.last_stream_id, frame->goaway.error_code);
    return OK;
}

/* That of a stream which is open is nghttp2's matter: it orders what is sent. */
static void on_priority(struct h2 *h2, const nghttp2_frame *frame)
{
    const nghttp2_ext_priority_update *update = frame->ext.payload;

    if (!h2_stream_find(h2, update->stream_id))
        keep_priority(h2, update);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *h2_)
{
    struct h2 *h2 = h2_;
    enum err err = OK;

    (void)session;
    if (h2->over)
        return 0;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        err = on_data_frame(h2, frame);
        break;
    case NGHTTP2_HEADERS:
        on_headers(h2, frame);
        break;
    case NGHTTP2_RST_STREAM:
        err = on_reset(h2, frame);
        break;
    case NGHTTP2_SETTINGS:
        err = on_settings(h2, frame);
        break;
    case NGHTTP2_PING:
        err = on_ping(h2, frame);
        break;
    case NGHTTP2_GOAWAY:
        err = on_goaway(h2, frame);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        err = on_window(h2, frame);
        break;
    case NGHTTP2_PRIORITY_UPDATE:
        on_priority(h2, frame);
        break;
    default:
        break;
    }
    (void)err; /* the connection is over then, and nghttp2 takes nothing more */
    return 0;
}

/*
 * nghttp2 resets a stream for this frame, which it tells as such when that is sent: too late for a
 * stream whose request would be begun before, and for a read that brings thousands of them. What
 * ends the connection is told here as well, and is none of these two.
 */
static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int error, void *h2_)
{
    struct h2_loss loss = {.code = H2_FLOW_CONTROL_ERROR};
    struct h2 *h2 = h2_;
    struct h2_stream *stream = NULL;

    (void)session;
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE && error == NGHTTP2_ERR_FLOW_CONTROL &&
        frame->hd.stream_id != 0) {
        stream = h2_stream_find(h2, frame->hd.stream_id);
    } else if (frame->hd.type != NGHTTP2_HEADERS || error != NGHTTP2_ERR_REFUSED_STREAM) {
        return 0;
    }
    if (stream) {
        stream->flags |= H2_RESET;
        h2_lose(stream, &loss);
    }
    h2->foreseen++;
    h2_budget_provoked(h2);
    return 0;
}

/* Both sides are through with it, or one has reset it. */
static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *h2_)
{
    struct h2 *h2 = h2_;
    struct h2_stream *stream = h2_stream_find(h2, id);
    struct h2_loss loss = {.code = code};

    (void)session;
    if (!stream)
        return 0;
    stream->flags |= H2_GONE;
    if (!h2_is_owned(stream)) {
        h2_stream_free(stream);
        return 0;
    }
    if ((stream->flags & (H2_END_IN | H2_EOF)) == (H2_END_IN | H2_EOF))
        return 0; /* until it is left */
    if (h2_has_whole(stream))
        return 0; /* the same */
    loss.by_peer = (stream->flags & H2_PEER_RESET) != 0 || h2->leaving;
    loss.unprocessed = h2->role == H2_CLIENT && code == H2_REFUSED_STREAM;
    h2_lose(stream, &loss);
    return 0;
}

void h2_receive_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
}
