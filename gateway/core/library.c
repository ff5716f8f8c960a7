#include "core/library.h"

#include <event2/event.h>

const char *library_libevent(void)
{
    return event_get_version();
}
