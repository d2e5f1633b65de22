#include "dataplane/base/address.h"
