#include "core/library.h"

#include "base/log.h"

#include <event2/event.h>

const char *library_libevent(void)
{
    return event_get_version();
}

static void on_message(int severity, const char *message)
{
    enum log_level level = LOG_ERROR;

    if (severity == EVENT_LOG_DEBUG) {
        level = LOG_TRACE;
    } else if (severity == EVENT_LOG_MSG) {
        level = LOG_INFO;
    } else if (severity == EVENT_LOG_WARN) {
        level = LOG_WARN;
    }
    log_at(level, "libevent", F_STR("text", message));
}

void library_log(void)
{
    event_set_log_callback(on_message);
}
