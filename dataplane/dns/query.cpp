#include "dataplane/dns/query.h"
