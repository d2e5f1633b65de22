#include "dataplane/net/adjacency.h"
