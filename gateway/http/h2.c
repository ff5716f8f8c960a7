/*
 * h2.c - the life of an HTTP/2 connection, and of its streams.
 *
 * A stream is made when its head comes (server) or is sent (client), and freed when nghttp2 has
 * closed it and its owner has left it, whichever is later. Its loss is only noted where nghttp2
 * tells it, and told by h2_settle() from outside of nghttp2: so no owner is called while another
 * one is sending.
 */
#include "http/h2_state.h"

#include "base/alloc.h"

#include <string.h>

enum {
    HEAD_BLOCK_MAX = 256 * 1024, /* of a head that we send */
    SPARE_MAX = 64 * 1024,       /* a larger head's memory is not kept */
    FRAME_MIN = 16 * 1024,       /* nghttp2's buffer for a frame is larger, nothing else is */
    RESERVE_BYTES = 4096,        /* more than the queues of nghttp2 grow to */
    RING_BYTES = 1024,           /* of a table of HPACK: a pointer for each of 128 lines */
};

const char *h2_code_name(uint32_t code)
{
    static const char *const names[] = {
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    };

    return code < sizeof(names) / sizeof(names[0]) ? names[code] : "UNKNOWN";
}

#define CAUSE_NAME(symbol, name, text) [H2_CAUSE_##symbol] = (name),
#define CAUSE_TEXT(symbol, name, text) [H2_CAUSE_##symbol] = (text),

const char *h2_cause_name(enum h2_cause cause)
{
    static const char *const names[] = {H2_CAUSES(CAUSE_NAME)};

    return names[cause];
}

const char *h2_cause_text(enum h2_cause cause)
{
    static const char *const texts[] = {H2_CAUSES(CAUSE_TEXT)};

    return texts[cause];
}

#undef CAUSE_NAME
#undef CAUSE_TEXT

/* -- memory for nghttp2 --------------------------------------------------------- */

/* The same memory for all sessions of the thread; NULL: memory of their own. */
static void *shared(struct h2_bench *bench, size_t size)
{
    if (bench->ring_wanted && size == RING_BYTES) {
        bench->ring_wanted = false;
        return bench->ring;
    }
    if (!bench->frame_wanted || size < FRAME_MIN)
        return NULL;
    if (!bench->frame) {
        bench->frame = alloc_try(size);
        bench->frame_bytes = size;
    }
    if (bench->frame_bytes != size)
        return NULL;
    bench->frame_wanted = false;
    return bench->frame;
}

/*
 * nghttp2 1.52 frees a frame of content that its queue cannot grow for, and leaves it in its
 * stream: what it asks little more for it gets from what we keep for that.
 */
static void *resize(struct h2_bench *bench, void *memory, size_t size)
{
    void *larger = alloc_resize_try(memory, size);

    if (larger || size > RESERVE_BYTES || !bench->reserve)
        return larger;
    alloc_free(bench->reserve);
    alloc_faults_stop();
    larger = alloc_resize_try(memory, size);
    bench->reserve = alloc_try(RESERVE_BYTES);
    alloc_faults_start();
    return larger;
}

static void *on_malloc(size_t size, void *h2)
{
    void *memory = shared(((struct h2 *)h2)->bench, size);

    return memory ? memory : alloc_try(size);
}

static void on_free(void *memory, void *h2_)
{
    struct h2 *h2 = h2_;

    if (memory && memory == h2->page) {
        pages_give(&h2->bench->pages, memory);
        h2->page = NULL;
    } else if (memory != h2->bench->frame && memory != h2->bench->ring) {
        alloc_free(memory);
    }
}

/*
 * The table by which nghttp2 finds streams is a page; while there are none, it need not be there.
 */
static void *on_calloc(size_t n, size_t size, void *h2_)
{
    struct h2 *h2 = h2_;

    if (n * size == PAGE_BYTES && !h2->page) {
        h2->page = pages_take(&h2->bench->pages);
        return h2->page;
    }
    return alloc_zero_try(n * size); /* nghttp2 asks for structs of its own */
}

static void *on_realloc(void *memory, size_t size, void *h2_)
{
    const struct h2 *h2 = h2_;
    struct h2_bench *bench = h2->bench;
    bool is_page = memory && memory == h2->page;
    size_t before = is_page ? PAGE_BYTES : bench->frame_bytes;
    void *larger;

    if (!memory) {
        larger = shared(bench, size);
        return larger ? larger : resize(bench, NULL, size);
    }
    if (memory != bench->frame && !is_page)
        return resize(bench, memory, size);
    larger = alloc_try(size);
    if (!larger)
        return NULL;
    memcpy(larger, memory, size < before ? size : before);
    on_free(memory, h2_);
    return larger;
}

void h2_rest(struct h2 *h2)
{
    if (h2->page && h2->n_streams == 0)
        (void)pages_rest(h2->page); /* else there are streams that only have a priority */
}

/* -- the bench --------------------------------------------------------------------- */

struct h2_bench *h2_bench_new(void)
{
    struct h2_bench *bench = alloc_new(sizeof(*bench));

    slab_init(&bench->streams, sizeof(struct h2_stream), 0);
    pages_init(&bench->pages);
    bench->ring = alloc_new(RING_BYTES);
    bench->reserve = alloc_new(RESERVE_BYTES);
    h2_queue_prepare(&bench->chunks);
    if (nghttp2_session_callbacks_new(&bench->callbacks)) {
        h2_bench_free(&bench);
        return NULL;
    }
    h2_receive_callbacks(bench->callbacks);
    h2_send_callbacks(bench->callbacks);
    return bench;
}

void h2_bench_join(struct h2_bench *bench, struct slab_set *set)
{
    slab_join(&bench->streams, set);
    slab_join(&bench->chunks, set);
}

struct slab_look h2_bench_streams(const struct h2_bench *bench)
{
    return slab_look(&bench->streams);
}

struct slab_look h2_bench_queues(const struct h2_bench *bench)
{
    return slab_look(&bench->chunks);
}

size_t h2_bench_bytes(const struct h2_bench *bench)
{
    return slab_bytes(&bench->streams) + slab_bytes(&bench->chunks);
}

void h2_bench_free(struct h2_bench **bench)
{
    if (!*bench)
        return;
    nghttp2_session_callbacks_del((*bench)->callbacks);
    slab_fini(&(*bench)->streams);
    slab_fini(&(*bench)->chunks);
    pages_fini(&(*bench)->pages);
    h2_head_fini(&(*bench)->spare);
    alloc_free((*bench)->lines);
    alloc_free((*bench)->nv);
    alloc_free((*bench)->frame);
    alloc_free((*bench)->ring);
    alloc_free((*bench)->reserve);
    alloc_free(*bench);
    *bench = NULL;
}

/* -- settings ------------------------------------------------------------------------ */

/* The options are nghttp2's own memory, for the time of one call. */
static enum err session_new(struct h2 *h2)
{
    const struct h2_settings *settings = h2->settings;
    struct h2_bench *bench = h2->bench;
    nghttp2_mem mem = {.mem_user_data = h2,
                       .malloc = on_malloc,
                       .free = on_free,
                       .calloc = on_calloc,
                       .realloc = on_realloc};
    nghttp2_option *option;
    int failed;

    if (nghttp2_option_new(&option))
        return ERR_MEMORY;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, settings->encoder_table);
    nghttp2_option_set_max_send_header_block_length(option, HEAD_BLOCK_MAX);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX); /* ours is told */
    if (settings->limits.continuations)
        nghttp2_option_set_max_continuations(option, settings->limits.continuations);
    if (settings->limits.control_queue)
        nghttp2_option_set_max_outbound_ack(option, settings->limits.control_queue);
    bench->frame_wanted = true;
    bench->ring_wanted = settings->encoder_table == 0; /* the encoder's is the first to be made */
    failed = h2->role == H2_SERVER
                 ? nghttp2_session_server_new3(&h2->session, bench->callbacks, h2, option, &mem)
                 : nghttp2_session_client_new3(&h2->session, bench->callbacks, h2, option, &mem);
    bench->frame_wanted = bench->ring_wanted = false;
    nghttp2_option_del(option);
    if (failed)
        return ERR_MEMORY;
    return OK;
}

/* What the peer is to know; those that are as it assumes are left out, but for the limits. */
static enum err submit_settings(struct h2 *h2)
{
    const struct h2_settings *settings = h2->settings;
    nghttp2_settings_entry entry[8];
    size_t n = 0;

    if (h2->role == H2_CLIENT) {
        entry[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    } else {
        entry[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                              settings->max_streams};
        entry[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
    }
    entry[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings->window};
    entry[n++] =
        (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings->head_bytes};
    if (settings->decoder_table != NGHTTP2_DEFAULT_HEADER_TABLE_SIZE) {
        entry[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, settings->decoder_table};
    }
    if (h2->role == H2_SERVER && settings->extended_connect)
        entry[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
    if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entry, n))
        return ERR_MEMORY;
    if (nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)settings->connection_window))
        return ERR_MEMORY;
    return OK;
}

/* nghttp2 makes a client's preface in the buffer that all sessions share: h2_pull() says it. */
static enum err take_magic(struct h2 *h2)
{
    const uint8_t *magic;

    if (h2->role == H2_SERVER)
        return OK;
    return nghttp2_session_mem_send(h2->session, &magic) == (ssize_t)NGHTTP2_CLIENT_MAGIC_LEN
               ? OK
               : ERR_MEMORY;
}

enum err h2_bench_fit(struct h2_bench *bench, const struct h2_settings *settings)
{
    size_t n = settings->field_count + 2U; /* and a cookie, a host */
    struct field_line *lines;

    if (n <= bench->n_lines)
        return OK;
    lines = alloc_resize_try(bench->lines, n * sizeof(*lines));
    if (!lines)
        return ERR_MEMORY;
    bench->lines = lines;
    bench->n_lines = n;
    return OK;
}

/* -- life ------------------------------------------------------------------------------ */

struct h2 *h2_new(struct h2_bench *bench, enum h2_role role, const struct h2_settings *settings,
                  const struct h2_ops *ops, void *owner)
{
    struct h2 *h2 = alloc_zero_try(sizeof(*h2));

    if (!h2)
        return NULL;
    h2->bench = bench;
    h2->role = role;
    h2->settings = settings;
    h2->ops = ops;
    h2->owner = owner;
    h2->said_magic = role == H2_SERVER;
    h2->walk.left = role == H2_SERVER ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    list_init(&h2->streams);
    list_init(&h2->ready);
    list_init(&h2->waiting);
    list_init(&h2->lost);
    if (h2_bench_fit(bench, settings) || session_new(h2) || take_magic(h2) || submit_settings(h2))
        h2_free(&h2);
    return h2;
}

static void release(struct h2 *h2)
{
    list_each_safe (link, after, &h2->streams) {
        h2_stream_free(list_entry(link, struct h2_stream, link));
    }
    nghttp2_session_del(h2->session);
    h2_queue_reset(h2, &h2->handed);
    h2_head_fini(&h2->head);
    alloc_free(h2);
}

void h2_free(struct h2 **h2)
{
    if (!*h2)
        return;
    release(*h2);
    *h2 = NULL;
}

void h2_fail(struct h2 *h2, const struct h2_loss *loss)
{
    if (h2->over == OK)
        h2->over = ERR_CLOSED;
    h2->dead = true;
    list_each (link, &h2->streams) {
        struct h2_stream *stream = list_entry(link, struct h2_stream, link);

        if (h2_has_whole(stream)) {
            stream->flags |= H2_GONE;
            list_remove(&stream->waiting);
        } else {
            h2_lose(stream, loss);
        }
    }
    h2_settle(h2);
}

/* -- streams --------------------------------------------------------------------------- */

struct h2_stream *h2_stream_new(struct h2 *h2, uint32_t id)
{
    struct h2_stream *stream = slab_take(&h2->bench->streams);

    if (!stream)
        return NULL;
    memset(stream, 0, sizeof(*stream));
    stream->h2 = h2;
    stream->id = id;
    stream->left = BODY_UNKNOWN;
    stream->urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY;
    stream->flags = H2_OWNED;
    list_append(&h2->streams, &stream->link);
    list_init(&stream->ready);
    list_init(&stream->waiting);
    h2->n_streams++;
    return stream;
}

void h2_stream_free(struct h2_stream *stream)
{
    struct h2 *h2 = stream->h2;

    if (h2->told == stream)
        h2->told = NULL;
    if (h2->session)
        (void)nghttp2_session_set_stream_user_data(h2->session, (int32_t)stream->id, NULL);
    list_remove(&stream->link);
    list_remove(&stream->ready);
    list_remove(&stream->waiting);
    h2_queue_reset(h2, &stream->in);
    h2_queue_reset(h2, &stream->out);
    alloc_free(stream->trailers);
    alloc_free(stream->kept);
    h2->n_streams--;
    slab_give(&h2->bench->streams, stream);
}

struct h2_stream *h2_stream_find(struct h2 *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

bool h2_has_whole(const struct h2_stream *stream)
{
    return stream->h2->role == H2_CLIENT &&
           (stream->flags & (H2_END_IN | H2_ENDED | H2_TUNNEL | H2_TO_TELL)) == H2_END_IN;
}

void h2_lose(struct h2_stream *stream, const struct h2_loss *loss)
{
    struct h2 *h2 = stream->h2;

    if (!h2_is_owned(stream) || (stream->flags & H2_TO_TELL))
        return;
    stream->flags |= H2_TO_TELL;
    stream->loss = *loss;
    list_remove(&stream->ready);
    list_remove(&stream->waiting);
    list_append(&h2->lost, &stream->waiting);
    h2_say(h2);
}

void h2_settle(struct h2 *h2)
{
    while (!list_is_empty(&h2->lost)) {
        struct h2_stream *stream = list_entry(h2->lost.next, struct h2_stream, waiting);
        struct h2_loss loss = stream->loss;

        list_remove(&stream->waiting);
        if (!h2_is_owned(stream))
            continue;
        h2->told = stream;
        h2->ops->on_lost(stream, &loss);
        if (!h2->told)
            continue;
        h2->told = NULL;
        stream->flags &= ~(unsigned)H2_OWNED;
        stream->user = NULL;
        if (stream->flags & H2_GONE)
            h2_stream_free(stream);
    }
}

/* Nobody wants to hear of it any more. */
static void disown(struct h2_stream *stream)
{
    stream->user = NULL;
    stream->flags &= ~(unsigned)H2_OWNED;
    list_remove(&stream->ready);
    list_remove(&stream->waiting);
    h2_queue_reset(stream->h2, &stream->in);
}

static void submit_reset(struct h2_stream *stream, uint32_t code)
{
    struct h2 *h2 = stream->h2;

    if (stream->flags & (H2_GONE | H2_RESET))
        return;
    stream->flags |= H2_RESET;
    h2_queue_reset(h2, &stream->out);
    stream->lent.len = 0;
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)stream->id, code))
        h2_starve(h2);
    h2_say(h2);
}

void h2_break(struct h2_stream *stream, uint32_t code, const char *detail)
{
    struct h2_loss loss = {.code = code, .detail = detail};

    submit_reset(stream, code);
    h2_lose(stream, &loss);
}

void h2_reset(struct h2_stream *stream, uint32_t code)
{
    disown(stream);
    submit_reset(stream, code);
    if (stream->flags & H2_GONE)
        h2_stream_free(stream);
}

void h2_leave(struct h2_stream *stream)
{
    bool ended = (stream->flags & H2_END_IN) != 0;

    disown(stream);
    if (stream->flags & H2_GONE) {
        h2_stream_free(stream);
    } else if (!(stream->flags & H2_END_OUT)) {
        submit_reset(stream, stream->h2->role == H2_SERVER ? H2_INTERNAL_ERROR : H2_CANCEL);
    } else if (stream->h2->role == H2_CLIENT && !ended) {
        submit_reset(stream, H2_CANCEL);
    } else if ((stream->flags & H2_EOF) && !ended) {
        submit_reset(stream, H2_NO_ERROR); /* else when it is framed: on_frame_send() */
    }
}

/* -- bytes ------------------------------------------------------------------------------- */

void h2_wake(struct h2 *h2)
{
    if (h2->woken)
        return;
    h2->woken = true;
    h2->ops->wake(h2);
}

void h2_starve(struct h2 *h2)
{
    h2->over = ERR_MEMORY;
    h2_wake(h2);
}

void h2_say(struct h2 *h2)
{
    if (!h2->busy)
        h2_wake(h2);
}

void h2_taken(struct h2 *h2, uint32_t stream, size_t bytes)
{
    if (bytes > 0 && nghttp2_session_consume(h2->session, (int32_t)stream, bytes))
        h2_starve(h2);
}

/* What nghttp2 could not bear, and has said nothing about. */
static enum err refused(struct h2 *h2, ssize_t error)
{
    if (error == NGHTTP2_ERR_FLOODED) {
        h2_end(h2, H2_CAUSE_CONTROL_QUEUE);
    } else if (error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        h2_end(h2, H2_CAUSE_CONTINUATIONS);
    } else if (error == NGHTTP2_ERR_NOMEM || error == NGHTTP2_ERR_CALLBACK_FAILURE) {
        h2->over = ERR_MEMORY;
        h2_tell_cause(h2, H2_CAUSE_MEMORY);
    } else {
        h2->over = ERR_PROTOCOL;
        h2_tell_cause(h2, H2_CAUSE_PROTOCOL);
        (void)nghttp2_session_terminate_session(h2->session, H2_PROTOCOL_ERROR);
    }
    return h2->over;
}

/* Memory for heads is the bench's, but while one is under way. */
static void head_give(struct h2 *h2)
{
    struct h2_head *spare = &h2->bench->spare;

    if (h2->head.kind != H2_SECTION_NONE)
        return;
    if (!spare->bytes && h2->head.room <= SPARE_MAX) {
        *spare = h2->head;
        h2->head = (struct h2_head){0};
    }
    h2_head_fini(&h2->head);
}

enum err h2_feed(struct h2 *h2, struct sluice_span bytes, uint64_t now_us)
{
    ssize_t n;

    if (h2->over)
        return h2->over;
    h2_budget_turn(h2, now_us);
    if (h2_budget_walk(h2, bytes)) {
        h2_settle(h2);
        return h2->over;
    }
    if (h2->head.kind == H2_SECTION_NONE && !h2->head.bytes) {
        h2->head = h2->bench->spare;
        h2->bench->spare = (struct h2_head){0};
    }
    h2->busy = true;
    n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, bytes.len);
    h2->busy = false;
    head_give(h2);
    if (n < 0 && h2->over == OK)
        (void)refused(h2, n);
    h2_settle(h2);
    return h2->over;
}

void h2_run(struct h2 *h2)
{
    h2->woken = false;
    h2_deliver(h2);
    h2_settle(h2);
    if (h2->drained && !h2->blocked)
        h2_tell_drained(h2);
    h2_pull(h2);
    h2_queue_reset(h2, &h2->handed);
}

void h2_block(struct h2 *h2)
{
    h2->blocked = true;
}

void h2_unblock(struct h2 *h2)
{
    h2->blocked = false;
    h2->drained = true;
}

/* -- the connection -------------------------------------------------------------------------- */

void h2_shutdown_notice(struct h2 *h2)
{
    if (nghttp2_submit_shutdown_notice(h2->session))
        h2_starve(h2);
    h2_say(h2);
}

void h2_goaway(struct h2 *h2, uint32_t code)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);

    h2->leaving = true;
    if (nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, code, NULL, 0))
        h2_starve(h2);
    h2_say(h2);
}

void h2_ping(struct h2 *h2)
{
    if (nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL))
        h2_starve(h2);
    h2_say(h2);
}

void h2_set_settings(struct h2 *h2, const struct h2_settings *settings)
{
    h2->settings = settings;
    if (h2_bench_fit(h2->bench, settings) || submit_settings(h2))
        h2_starve(h2);
    h2_say(h2);
}

void h2_end(struct h2 *h2, enum h2_cause cause)
{
    h2_tell_cause(h2, cause);
    if (h2->over)
        return;
    h2->over = ERR_LIMIT;
    if (nghttp2_session_terminate_session(h2->session, H2_ENHANCE_YOUR_CALM))
        h2_starve(h2);
    h2_say(h2);
}

/* -- questions --------------------------------------------------------------------------------- */

void *h2_owner(const struct h2 *h2)
{
    return h2->owner;
}

uint32_t h2_stream_cap(const struct h2 *h2)
{
    return nghttp2_session_get_remote_settings(h2->session,
                                               NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

uint32_t h2_stream_room(const struct h2 *h2)
{
    uint32_t max = h2_stream_cap(h2);

    if (h2->over || h2->leaving || !nghttp2_session_check_request_allowed(h2->session))
        return 0;
    return max > h2->n_streams ? max - h2->n_streams : 0;
}

bool h2_has_extended_connect(const struct h2 *h2)
{
    return nghttp2_session_get_remote_settings(h2->session,
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

unsigned h2_streams(const struct h2 *h2)
{
    return h2->n_streams;
}

bool h2_has_starved(const struct h2 *h2)
{
    return h2->over == ERR_MEMORY;
}

bool h2_is_over(const struct h2 *h2)
{
    return h2->over != OK ||
           (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session));
}

bool h2_is_broken(const struct h2 *h2)
{
    return h2->over != OK;
}

bool h2_is_leaving(const struct h2 *h2)
{
    return h2->leaving;
}

uint64_t h2_framed(const struct h2_stream *stream)
{
    return stream->framed;
}

int64_t h2_left(const struct h2_stream *stream)
{
    return stream->left;
}

size_t h2_room(const struct h2_stream *stream)
{
    nghttp2_session *session = stream->h2->session;
    int32_t all = nghttp2_session_get_remote_window_size(session);
    int32_t its;

    if (stream->h2->blocked || all <= 0 || (stream->flags & (H2_GONE | H2_RESET)) ||
        stream->out.bytes > 0)
        return 0;
    its = nghttp2_session_get_stream_remote_window_size(session, (int32_t)stream->id);
    if (its > all)
        its = all;
    return its > 0 ? (size_t)its : 0;
}

size_t h2_queued(const struct h2 *h2)
{
    return h2->queued_bytes;
}

bool h2_is_stuck(const struct h2_stream *stream)
{
    if (stream->flags & (H2_GONE | H2_RESET))
        return false;
    return stream->out.bytes > 0 || stream->lent.len > 0 ||
           (stream->flags & (H2_END_OUT | H2_EOF)) == H2_END_OUT;
}
