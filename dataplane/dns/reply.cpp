#include "dataplane/dns/reply.h"
