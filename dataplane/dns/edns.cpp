#include "dataplane/dns/edns.h"
