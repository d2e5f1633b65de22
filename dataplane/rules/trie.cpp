#include "dataplane/rules/trie.h"
