/*
 * h1_body.c - bodies by length, to the close, and in the chunked coding (RFC 9112 7.1).
 *
 *   SIZE --;--> EXT_START -> EXT_NAME --=--> EXT_VALUE_START -> EXT_VALUE | EXT_QUOTED
 *   SIZE or any end of an extension --CR--> SIZE_LF --LF--> CONTENT, or FINISHED after size 0
 *   CONTENT --all of it--> CONTENT_CR -> CONTENT_LF -> SIZE
 *
 * Extensions are read by their grammar and dropped: a quoted string can hide neither line end
 * nor semicolon from another parser then. Blanks are let through only where RFC 9112 7.1.1 asks
 * for it and nothing but an extension can be meant: never directly after the size.
 */
#include "http/h1_body.h"

#include "http/octet.h"

enum {
    SIZE_DIGITS = 16,
    LINE_MAX_BYTES = 1024,
    WASTE_MAX =
        16384, /* extension bytes beyond what their chunks carry: no honest sender does it */
};

enum state {
    STATE_SIZE,
    STATE_EXT_START, /* after ';' */
    STATE_EXT_NAME,
    STATE_EXT_NAME_END,    /* blanks after the name */
    STATE_EXT_VALUE_START, /* after '=' */
    STATE_EXT_VALUE,
    STATE_EXT_QUOTED,
    STATE_EXT_PAIR,       /* after '\' */
    STATE_EXT_QUOTED_END, /* after the closing quote */
    STATE_EXT_END,        /* blanks after the value */
    STATE_SIZE_LF,
    STATE_CONTENT,
    STATE_CONTENT_CR,
    STATE_CONTENT_LF,
    STATE_FINISHED,
};

void h1_body_init(struct h1_body *body, enum framing framing, int64_t body_bytes)
{
    *body = (struct h1_body){.framing = (uint8_t)framing};
    if (framing == FRAMING_LENGTH && body_bytes > 0)
        body->left = (uint64_t)body_bytes;
}

static enum h1_rule size_digit(struct h1_body *body, char octet)
{
    if (body->digits == SIZE_DIGITS)
        return H1_RULE_CHUNK_SIZE;
    body->digits++;
    body->left = body->left << 4 | octet_hex(octet);
    return body->left > INT64_MAX ? H1_RULE_CHUNK_SIZE : H1_RULE_NONE;
}

/* What the grammar of extensions tells apart. */
enum octet_kind { TOKEN, BLANK, EQUALS, SEMICOLON, QUOTE, BACKSLASH, TEXT, STOP, N_KINDS };

static enum octet_kind kind_of(char octet)
{
    switch (octet) {
    case ' ':
    case '\t':
        return BLANK;
    case '=':
        return EQUALS;
    case ';':
        return SEMICOLON;
    case '"':
        return QUOTE;
    case '\\':
        return BACKSLASH;
    default:
        if (octet_is(octet, OCTET_TOKEN))
            return TOKEN;
        return octet_is(octet, OCTET_STOP) ? STOP : TEXT;
    }
}

/* Where an octet leads; STATE_SIZE, which none leads to: it may not stand here. */
static const uint8_t extension_next[STATE_EXT_END + 1][N_KINDS] = {
    [STATE_EXT_START] = {[TOKEN] = STATE_EXT_NAME, [BLANK] = STATE_EXT_START},
    [STATE_EXT_NAME] = {[TOKEN] = STATE_EXT_NAME,
                        [BLANK] = STATE_EXT_NAME_END,
                        [EQUALS] = STATE_EXT_VALUE_START,
                        [SEMICOLON] = STATE_EXT_START},
    [STATE_EXT_NAME_END] = {[BLANK] = STATE_EXT_NAME_END,
                            [EQUALS] = STATE_EXT_VALUE_START,
                            [SEMICOLON] = STATE_EXT_START},
    [STATE_EXT_VALUE_START] =
        {[TOKEN] = STATE_EXT_VALUE, [BLANK] = STATE_EXT_VALUE_START, [QUOTE] = STATE_EXT_QUOTED},
    [STATE_EXT_VALUE] =
        {[TOKEN] = STATE_EXT_VALUE, [BLANK] = STATE_EXT_END, [SEMICOLON] = STATE_EXT_START},
    [STATE_EXT_QUOTED] = {[TOKEN] = STATE_EXT_QUOTED,
                          [BLANK] = STATE_EXT_QUOTED,
                          [EQUALS] = STATE_EXT_QUOTED,
                          [SEMICOLON] = STATE_EXT_QUOTED,
                          [QUOTE] = STATE_EXT_QUOTED_END,
                          [BACKSLASH] = STATE_EXT_PAIR,
                          [TEXT] = STATE_EXT_QUOTED},
    [STATE_EXT_PAIR] = {[TOKEN] = STATE_EXT_QUOTED,
                        [BLANK] = STATE_EXT_QUOTED,
                        [EQUALS] = STATE_EXT_QUOTED,
                        [SEMICOLON] = STATE_EXT_QUOTED,
                        [QUOTE] = STATE_EXT_QUOTED,
                        [BACKSLASH] = STATE_EXT_QUOTED,
                        [TEXT] = STATE_EXT_QUOTED},
    [STATE_EXT_QUOTED_END] = {[BLANK] = STATE_EXT_END, [SEMICOLON] = STATE_EXT_START},
    [STATE_EXT_END] = {[BLANK] = STATE_EXT_END, [SEMICOLON] = STATE_EXT_START},
};

static enum h1_rule extension_octet(struct h1_body *body, char octet)
{
    uint8_t next = extension_next[body->state][kind_of(octet)];

    if (next == STATE_SIZE)
        return octet == '\n' ? H1_RULE_BARE_LF : H1_RULE_CHUNK_EXTENSION;
    body->state = next;
    return H1_RULE_NONE;
}

/* A CR may follow the size, an extension's name, and the end of its value. */
static bool may_end(unsigned state)
{
    return state == STATE_SIZE || state == STATE_EXT_NAME || state == STATE_EXT_VALUE ||
           state == STATE_EXT_QUOTED_END;
}

/* One byte of the line that begins a chunk, up to its CR. */
static enum h1_rule size_octet(struct h1_body *body, char octet)
{
    if (octet == '\r' && may_end(body->state) && body->digits != 0) {
        body->state = STATE_SIZE_LF;
        return H1_RULE_NONE;
    }
    if (body->line_bytes == LINE_MAX_BYTES)
        return H1_RULE_CHUNK_EXTENSION;
    body->line_bytes++;
    if (body->state != STATE_SIZE)
        return extension_octet(body, octet);
    if (octet_is(octet, OCTET_HEX))
        return size_digit(body, octet);
    if (octet == '\n')
        return H1_RULE_BARE_LF;
    if (octet != ';' || body->digits == 0)
        return H1_RULE_CHUNK_SIZE;
    body->state = STATE_EXT_START;
    return H1_RULE_NONE;
}

/* The line is complete: content follows, or the trailer section. */
static enum h1_rule size_end(struct h1_body *body, char octet)
{
    uint64_t waste = (uint64_t)body->waste + body->line_bytes - body->digits;

    if (octet != '\n')
        return H1_RULE_BARE_CR;
    waste = waste > body->left ? waste - body->left : 0;
    if (waste > WASTE_MAX)
        return H1_RULE_CHUNK_EXTENSION;
    body->waste = (uint16_t)waste;
    body->state = body->left != 0 ? STATE_CONTENT : STATE_FINISHED;
    return H1_RULE_NONE;
}

/* One byte that is not content. */
static enum h1_rule framing_octet(struct h1_body *body, char octet)
{
    switch (body->state) {
    case STATE_SIZE_LF:
        return size_end(body, octet);
    case STATE_CONTENT_CR:
        body->state = STATE_CONTENT_LF;
        return octet == '\r' ? H1_RULE_NONE : H1_RULE_CHUNK_END;
    case STATE_CONTENT_LF:
        body->state = STATE_SIZE;
        body->digits = 0;
        body->line_bytes = 0;
        return octet == '\n' ? H1_RULE_NONE : H1_RULE_CHUNK_END;
    default:
        return size_octet(body, octet);
    }
}

/* Content from the front of bytes, as much as left allows. */
static void content_take(struct h1_body *body, struct sluice_span bytes, struct sluice_span *piece)
{
    piece->ptr = bytes.ptr;
    piece->len = bytes.len < body->left ? bytes.len : (size_t)body->left;
    body->left -= piece->len;
}

static enum h1_result chunked_next(struct h1_body *body, struct sluice_span bytes, size_t *used,
                                   struct sluice_span *piece)
{
    size_t at = 0;

    while (body->state != STATE_FINISHED) {
        if (at == bytes.len) {
            *used = at;
            return H1_AGAIN;
        }
        if (body->state == STATE_CONTENT) {
            content_take(body, (struct sluice_span){bytes.ptr + at, bytes.len - at}, piece);
            if (body->left == 0)
                body->state = STATE_CONTENT_CR;
            *used = at + piece->len;
            return H1_AGAIN;
        }
        body->rule = (uint8_t)framing_octet(body, bytes.ptr[at]);
        at++;
        if (body->rule) {
            *used = at;
            return H1_WRONG;
        }
    }
    *used = at;
    return H1_DONE;
}

enum h1_result h1_body_next(struct h1_body *body, struct sluice_span bytes, size_t *used,
                            struct sluice_span *piece)
{
    *used = 0;
    *piece = (struct sluice_span){bytes.ptr, 0};
    if (body->rule)
        return H1_WRONG;
    switch ((enum framing)body->framing) {
    case FRAMING_NONE:
        return H1_DONE;
    case FRAMING_LENGTH:
        content_take(body, bytes, piece);
        *used = piece->len;
        return body->left == 0 ? H1_DONE : H1_AGAIN;
    case FRAMING_CHUNKED:
        return chunked_next(body, bytes, used, piece);
    case FRAMING_CLOSE:
        *piece = bytes;
        *used = bytes.len;
        return H1_AGAIN;
    }
    return H1_DONE;
}
