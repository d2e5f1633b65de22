#include "dataplane/base/random.h"
