#include "dataplane/net/local_addresses.h"
