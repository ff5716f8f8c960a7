#include "config/library.h"

#include <yaml.h>

const char *library_libyaml(void)
{
    return yaml_get_version_string();
}
