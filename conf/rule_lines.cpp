#include "conf/rule_lines.h"
