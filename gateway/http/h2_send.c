/*
 * h2_send.c - heads to nghttp2, content when it asks for some, frames to the owner.
 *
 * What can be sent at once is not copied: names and values of a head are borrowed until the frame
 * is made, and content goes from where it lies, behind a frame header of nine bytes. What must wait
 * (inside a callback of nghttp2, or while the connection takes no more) is copied.
 */
#include "http/h2_state.h"

#include "base/alloc.h"

#include <string.h>

enum {
    PULL_BYTES = 128 * 1024, /* of content in one go: then others get their turn */
    FRAME_HEAD = 9,
};

#define ID_BIT(id) (UINT64_C(1) << (id))

/* Told by the arguments, or of no meaning in HTTP/2 (RFC 9113 8.2.2). */
#define NOT_SENT                                                                                   \
    (ID_BIT(FIELD_CONNECTION) | ID_BIT(FIELD_KEEP_ALIVE) | ID_BIT(FIELD_PROXY_CONNECTION) |        \
     ID_BIT(FIELD_TRANSFER_ENCODING) | ID_BIT(FIELD_UPGRADE) | ID_BIT(FIELD_CONTENT_LENGTH) |      \
     ID_BIT(FIELD_HOST))

static bool can_pull(const struct h2 *h2)
{
    return !h2->busy && !h2->blocked && !h2->dead && !h2_has_starved(h2);
}

/* -- heads -------------------------------------------------------------------------- */

static uint8_t *octets(const char *ptr)
{
    uint8_t *same;

    memcpy(&same, &ptr, sizeof(same)); /* nghttp2 only reads; the copy says so without a cast */
    return same;
}

static nghttp2_nv pair(struct sluice_span name, struct sluice_span value, uint8_t flags)
{
    return (nghttp2_nv){.name = octets(name.ptr),
                        .value = octets(value.len > 0 ? value.ptr : ""),
                        .namelen = name.len,
                        .valuelen = value.len,
                        .flags = flags};
}

static bool is_lower(struct sluice_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z')
            return false;
    }
    return true;
}

static bool is_sent(const struct field_line *line)
{
    if ((line->mark & FIELD_DROPPED) || (ID_BIT(line->id) & NOT_SENT))
        return false;
    return line->id != FIELD_TE || span_equal_nocase(field_value(line), SPAN("trailers"));
}

/* Room for so many pairs; the table belongs to the thread. */
static nghttp2_nv *pairs(struct h2_bench *bench, size_t n)
{
    nghttp2_nv *nv;

    if (n <= bench->n_nv)
        return bench->nv;
    nv = alloc_resize_try(bench->nv, n * sizeof(*nv));
    if (!nv)
        return NULL;
    bench->nv = nv;
    bench->n_nv = n;
    return nv;
}

/* Lines of a table, behind the n pairs that are there; returns how many pairs there are then. */
static size_t add_lines(nghttp2_nv *nv, size_t n, const struct field_line *line, unsigned n_lines,
                        uint8_t flags)
{
    for (unsigned i = 0; i < n_lines; i++) {
        struct sluice_span name = field_name(&line[i]);
        uint8_t how = flags;

        if (!is_sent(&line[i]))
            continue;
        if (line[i].id != FIELD_OTHER) {
            name = name_text((enum field_id)line[i].id);
            how |= NGHTTP2_NV_FLAG_NO_COPY_NAME;
        } else if (!is_lower(name)) {
            how &= (uint8_t)~NGHTTP2_NV_FLAG_NO_COPY_NAME; /* the copy will be in lower case */
        }
        nv[n++] = pair(name, field_value(&line[i]), how);
    }
    return n;
}

static size_t add_length(struct h2_bench *bench, nghttp2_nv *nv, size_t n, int64_t length,
                         uint8_t flags)
{
    char *end = bench->length + sizeof(bench->length), *at = end;

    if (length < 0)
        return n;
    do {
        *--at = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    nv[n] = pair(SPAN("content-length"), span_make(at, (size_t)(end - at)), flags);
    return n + 1;
}

static uint8_t copy_flags(const struct h2 *h2)
{
    return can_pull(h2) ? NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE
                        : NGHTTP2_NV_FLAG_NONE;
}

/* -- content, when nghttp2 asks ------------------------------------------------------------ */

static size_t waiting_bytes(const struct h2_stream *stream)
{
    return stream->out.bytes + stream->lent.len;
}

/* After the last content: the trailers end the stream. */
static void submit_trailers(struct h2_stream *stream)
{
    struct h2 *h2 = stream->h2;
    struct h2_section *section = stream->trailers;
    nghttp2_nv *nv = pairs(h2->bench, section->n);
    size_t n = nv ? add_lines(nv, 0, section->line, section->n, NGHTTP2_NV_FLAG_NONE) : 0;

    if (nghttp2_submit_trailer(h2->session, (int32_t)stream->id, nv, n))
        h2_starve(h2);
}

/* NOLINTNEXTLINE(readability-function-size,readability-non-const-parameter): nghttp2's */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *h2_)
{
    struct h2 *h2 = h2_;
    struct h2_stream *stream = source->ptr;
    size_t n = waiting_bytes(stream);

    (void)session;
    (void)id;
    (void)buf;
    if (n == 0 && !(stream->flags & H2_END_OUT))
        return NGHTTP2_ERR_DEFERRED;
    if (n > 0 && h2->pull_left == 0) {
        h2->paused = true;
        return NGHTTP2_ERR_PAUSE;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n > length) {
        n = length;
    } else if (stream->flags & H2_END_OUT) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(stream);
        }
    }
    h2->pull_left -= n < h2->pull_left ? (uint32_t)n : h2->pull_left;
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t length, nghttp2_data_source *source, void *h2_)
{
    struct h2 *h2 = h2_;
    struct h2_stream *stream = source->ptr;

    (void)session;
    (void)frame;
    h2->ops->put(h2, span_make((const char *)head, FRAME_HEAD));
    stream->framed += length;
    while (length > 0 && stream->out.bytes > 0) {
        struct sluice_span piece = h2_queue_front(&stream->out);

        if (piece.len > length)
            piece.len = length;
        h2->ops->put(h2, piece);
        h2_queue_skip(h2, &stream->out, piece.len);
        length -= piece.len;
    }
    if (length > 0) {
        h2->ops->lend(h2, span_make(stream->lent.ptr, length));
        stream->lent = span_make(stream->lent.ptr + length, stream->lent.len - length);
    }
    h2->drained |= waiting_bytes(stream) == 0;
    return 0;
}

/* What the peer does wrong, as far as it makes us reset streams. */
static bool is_provoked(uint32_t code)
{
    return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
           code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR ||
           code == NGHTTP2_REFUSED_STREAM;
}

static void on_end_sent(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = h2_stream_find(h2, frame->hd.stream_id);

    if (!stream)
        return;
    stream->flags |= H2_EOF;
    h2->drained = true;
    if (h2->role == H2_SERVER && !h2_is_owned(stream) && !(stream->flags & (H2_END_IN | H2_RESET)))
        h2_reset(stream, H2_NO_ERROR); /* RFC 9113 8.1: the rest of the request is not needed */
}

static void on_provoked_sent(struct h2 *h2)
{
    if (h2->foreseen > 0) {
        h2->foreseen--;
    } else {
        h2_budget_provoked(h2);
    }
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *h2_)
{
    struct h2 *h2 = h2_;

    (void)session;
    if (frame->hd.type == NGHTTP2_DATA)
        h2->budget.content++;
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        on_end_sent(h2, frame);
    if (frame->hd.type == NGHTTP2_RST_STREAM && is_provoked(frame->rst_stream.error_code))
        on_provoked_sent(h2);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != H2_NO_ERROR &&
        h2->over == OK) {
        h2->over = ERR_PROTOCOL;
        h2_tell_cause(h2, H2_CAUSE_PROTOCOL);
    }
    return 0;
}

/* A head that is larger than a frame sequence may be, or that came too late. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *h2_)
{
    struct h2 *h2 = h2_;

    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS || error == NGHTTP2_ERR_STREAM_CLOSING ||
        error == NGHTTP2_ERR_STREAM_CLOSED)
        return 0;
    if (error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED)
        return 0; /* a GOAWAY was quicker: on_close() says that the peer has seen nothing */
    list_each (link, &h2->streams) {
        struct h2_stream *stream = list_entry(link, struct h2_stream, link);

        if (stream->id == (uint32_t)frame->hd.stream_id) {
            if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
                stream->flags |= H2_GONE;
            h2_break(stream, H2_INTERNAL_ERROR, "the head cannot be sent");
            break;
        }
    }
    return 0;
}

void h2_send_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
}

/*
 * -- pulling ------------------------------------------------------------------------------------
 */

static bool is_drained(const struct h2_stream *stream)
{
    return waiting_bytes(stream) == 0 && (stream->flags & (H2_END_OUT | H2_EOF)) != H2_END_OUT;
}

void h2_pull(struct h2 *h2)
{
    const uint8_t *bytes;
    ssize_t n;

    if (!can_pull(h2))
        return;
    if (!h2->said_magic) {
        h2->said_magic = true;
        h2->ops->put(h2, SPAN(NGHTTP2_CLIENT_MAGIC));
    }
    h2->busy = true;
    h2->paused = false;
    h2->pull_left = PULL_BYTES;
    do {
        n = nghttp2_session_mem_send(h2->session, &bytes);
        if (n > 0)
            h2->ops->put(h2, span_make((const char *)bytes, (size_t)n));
    } while (n > 0);
    h2->busy = false;
    if (n < 0)
        h2_starve(h2);
    if (h2->paused || !list_is_empty(&h2->lost) || (h2->drained && !list_is_empty(&h2->waiting)))
        h2_wake(h2);
}

void h2_tell_drained(struct h2 *h2)
{
    struct list turn;

    h2->drained = false;
    list_init(&turn);
    while (!list_is_empty(&h2->waiting)) {
        struct list *link = h2->waiting.next;

        list_remove(link);
        list_append(&turn, link);
    }
    while (!list_is_empty(&turn)) {
        struct h2_stream *stream = list_entry(turn.next, struct h2_stream, waiting);

        list_remove(&stream->waiting);
        if (is_drained(stream)) {
            h2->ops->on_drained(stream);
        } else {
            list_append(&h2->waiting, &stream->waiting);
        }
    }
}

/*
 * -- from the owner
 * ------------------------------------------------------------------------------
 */

enum err h2_send_request(struct h2 *h2, const struct h2_request_head *head, void *user,
                         struct h2_stream **stream_)
{
    const struct request *request = head->request;
    nghttp2_nv *nv = pairs(h2->bench, request->fields.n + 8U);
    uint8_t flags = copy_flags(h2);
    nghttp2_data_provider provider = {.read_callback = on_read};
    struct h2_stream *stream;
    size_t n = 0;
    int32_t id;

    if (h2_stream_room(h2) == 0)
        return ERR_LIMIT;
    stream = nv ? h2_stream_new(h2, 0) : NULL;
    if (!stream)
        return ERR_MEMORY;
    nv[n++] = pair(SPAN(":method"), head->protocol.len > 0 ? SPAN("CONNECT") : request->method_text,
                   flags);
    if (head->protocol.len > 0)
        nv[n++] = pair(SPAN(":protocol"), head->protocol, flags);
    nv[n++] = pair(SPAN(":scheme"), head->scheme, flags);
    nv[n++] = pair(SPAN(":authority"), head->authority, flags);
    nv[n++] = pair(SPAN(":path"), head->target, flags);
    n = add_lines(nv, n, request->fields.line, request->fields.n, flags);
    n = add_length(h2->bench, nv, n, head->length, flags);
    provider.source.ptr = stream;
    stream->user = user;
    stream->method = (uint8_t)request->method;
    stream->flags |= H2_HEAD_OUT;
    if (head->protocol.len > 0)
        stream->flags |= H2_TUNNEL;
    if (head->last)
        stream->flags |= H2_END_OUT;
    id = nghttp2_submit_request(h2->session, NULL, nv, n, head->last ? NULL : &provider, stream);
    if (id < 0) {
        h2_stream_free(stream);
        return id == NGHTTP2_ERR_NOMEM ? ERR_MEMORY : ERR_LIMIT;
    }
    stream->id = (uint32_t)id;
    *stream_ = stream;
    h2_pull(h2);
    return OK;
}

enum err h2_send_response(struct h2_stream *stream, const struct response *response, int64_t length,
                          bool last)
{
    struct h2 *h2 = stream->h2;
    nghttp2_nv *nv = pairs(h2->bench, response->fields.n + 2U);
    uint8_t flags = copy_flags(h2);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = on_read};
    char *status = h2->bench->status;
    size_t n = 1;
    int failed;

    if (stream->flags & (H2_GONE | H2_RESET))
        return ERR_CLOSED;
    if (!nv)
        return ERR_MEMORY;
    status[0] = (char)('0' + response->status / 100 % 10);
    status[1] = (char)('0' + response->status / 10 % 10);
    status[2] = (char)('0' + response->status % 10);
    nv[0] = pair(SPAN(":status"), span_make(status, 3), flags);
    n = add_lines(nv, n, response->fields.line, response->fields.n, flags);
    n = add_length(h2->bench, nv, n, length, flags);
    if (response->status < 200) {
        failed = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, (int32_t)stream->id, NULL,
                                        nv, n, NULL);
    } else {
        stream->flags |= last ? H2_HEAD_OUT | H2_END_OUT : H2_HEAD_OUT;
        failed = nghttp2_submit_response(h2->session, (int32_t)stream->id, nv, n,
                                         last ? NULL : &provider);
    }
    if (failed)
        return failed == NGHTTP2_ERR_NOMEM ? ERR_MEMORY : ERR_CLOSED;
    h2_pull(h2);
    return OK;
}

/* What was lent goes, or is copied. */
static void push(struct h2_stream *stream)
{
    struct h2 *h2 = stream->h2;

    if (stream->flags & (H2_GONE | H2_RESET)) {
        stream->lent.len = 0;
        return;
    }
    (void)nghttp2_session_resume_data(h2->session, (int32_t)stream->id); /* it may be going on */
    h2_pull(h2);
    if (stream->lent.len > 0 && h2_queue_add(h2, &stream->out, stream->lent))
        h2_break(stream, H2_INTERNAL_ERROR, "out of memory");
    stream->lent.len = 0;
}

void h2_send_body(struct h2_stream *stream, struct sluice_span piece)
{
    if (piece.len == 0 || (stream->flags & (H2_GONE | H2_RESET | H2_END_OUT)))
        return;
    if (stream->lent.len > 0)
        push(stream);
    stream->lent = piece;
}

void h2_send_end(struct h2_stream *stream, const struct fields *trailers)
{
    if (stream->flags & (H2_GONE | H2_RESET | H2_END_OUT))
        return;
    if (trailers && trailers->n > 0) {
        stream->trailers = h2_section_new(trailers);
        if (!stream->trailers) {
            h2_break(stream, H2_INTERNAL_ERROR, "out of memory");
            return;
        }
        if (stream->trailers->n == 0) {
            alloc_free(stream->trailers);
            stream->trailers = NULL;
        }
    }
    stream->flags |= H2_END_OUT;
}

enum err h2_flush(struct h2_stream *stream)
{
    struct h2 *h2 = stream->h2;

    if (!is_drained(stream))
        push(stream);
    if (stream->flags & H2_TO_TELL)
        return ERR_AGAIN; /* until its owner is told why */
    if ((stream->flags & H2_RESET) || ((stream->flags & H2_GONE) && !(stream->flags & H2_EOF)))
        return ERR_CLOSED;
    if (is_drained(stream) && !h2->blocked)
        return OK;
    list_remove(&stream->waiting);
    list_append(&h2->waiting, &stream->waiting);
    return ERR_AGAIN;
}
