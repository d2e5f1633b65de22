#include "dataplane/net/prefixes.h"
