#include "dataplane/state/cache.h"
