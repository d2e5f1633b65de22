#include "dataplane/net/frame.h"
