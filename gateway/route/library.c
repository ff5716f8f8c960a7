#include "route/library.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

void library_pcre2(struct text *out)
{
    char version[64]; /* PCRE2 says: 24 are enough */

    if (pcre2_config(PCRE2_CONFIG_VERSION, version) > 0)
        text_add(out, span_of(version));
}
